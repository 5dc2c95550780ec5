# QFX. Every target sets up what it needs in .venv; `make help` lists them.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := PYTHONWARNINGS=ignore $(BIN)/python -m pip --disable-pip-version-check --no-input
READY  := $(VENV)/.ready
PEERS  := $(VENV)/.peers
LOCK   := constraints.txt

# $(call alive,WHAT,COMMAND): the command, and every few seconds a line, since pip says nothing for minutes. Its own output goes
# elsewhere, or a reader of make's would wait for the last sleep.
define alive
begun=$$(date +%s); (while sleep 8 >&- 2>&-; do echo "[$$(printf %4d $$(($$(date +%s) - begun))) s] $(1)"; done) & beat=$$!; \
	trap 'kill $$beat 2> /dev/null' EXIT; $(2)
endef

# Workers have one thread each (tests/conftest.py); one that has run out of tests takes over some of the other's.
WORKERS ?= 2
PYTEST  := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

comma := ,

export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help venv demo test test-quick test-full check lint types format wheel docs bench-env bench lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

venv: $(READY)  ## set up .venv with pinned versions

# The vendor's ap_types headers come with hls4ml; its own dependencies are not needed for them, hence --no-deps.
$(READY): pyproject.toml $(LOCK)
	@echo "Setting up $(VENV): a minute or more, torch is large"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(call alive,install pip and setuptools,$(PIP) install -q -c $(LOCK) pip setuptools wheel)
	@$(call alive,install torch,$(PIP) install -q -c $(LOCK) torch)
	@$(call alive,install QFX and what it needs,$(PIP) install -q -c $(LOCK) --no-build-isolation -e ".[test$(comma)docs]")
	@$(call alive,install the ap_types headers,$(PIP) install -q -c $(LOCK) --no-deps hls4ml)
	@touch $@

demo: $(READY)  ## train, export, compile and verify two networks on handwritten digits (out/demo)
	$(BIN)/qfx demo

test: $(READY)  ## run the tests
	$(PYTEST)

test-quick: $(READY)  ## the tests that need no C++ compiler and take no seconds: under a minute
	$(PYTEST) --quick

test-full: $(READY)  ## run the tests, the long ones included
	$(PYTEST) --full

check: lint types docs wheel demo test  ## everything CI runs

lint: $(READY)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)  ## rewrite the sources in ruff's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)  ## pyright, strict
	$(BIN)/pyright

docs: $(READY)  ## build the documentation into site/, links checked
	$(BIN)/properdocs build --strict

# The wheel made from the sdist, in a fresh environment with its declared dependencies and nothing else.
wheel: $(READY)  ## build sdist and wheel, install the wheel in a fresh environment, try it
	@rm -rf dist out/wheel; mkdir -p out
	$(BIN)/python -m build --no-isolation --outdir dist . > out/build.log 2>&1 || { cat out/build.log; exit 1; }
	$(PYTHON) -m venv out/wheel
	out/wheel/bin/python -m pip --disable-pip-version-check --no-input install -q -c $(LOCK) dist/qfx-*.whl
	cd out/wheel && bin/python -I ../../tests/architecture/smoke.py && bin/qfx --help > /dev/null

bench-env: $(PEERS)  ## add the peers that benchmarks compare with to .venv

$(PEERS): $(READY)
	@$(call alive,install the peers,$(PIP) install -q -c $(LOCK) --no-build-isolation -e ".[bench]")
	@touch $@

bench: $(PEERS)  ## run every benchmark; results as JSON in out/bench
	@mkdir -p out/bench; failed=; \
	for script in $$(ls benchmarks/*.py | grep -v '/_'); do \
		name=$$(basename $$script .py); echo "== $$name"; \
		$(BIN)/python $$script --json out/bench/$$name.json || failed="$$failed $$name"; \
	done; \
	test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# Local version parts (torch's +cpu) are dropped, so that the pins hold for every build of a version.
lock:  ## resolve all dependencies anew and rewrite constraints.txt
	rm -rf out/lock && $(PYTHON) -m venv out/lock
	out/lock/bin/python -m pip install -q --upgrade pip "setuptools<81" wheel
	out/lock/bin/python -m pip install -q "$$(grep '^torch==' $(LOCK))" -e ".[test,docs,bench]" tomli  # of Python 3.10
	{ sed -n '/^#/p' $(LOCK); out/lock/bin/python -m pip freeze --all --exclude qfx --exclude-editable | sed 's/+[a-z0-9.]*$$//' | sort -f; } > out/lock/new
	mv out/lock/new $(LOCK)

clean:  ## remove everything that was built, the environment included
	rm -rf $(VENV) out build dist site *.egg-info .pytest_cache .ruff_cache .hypothesis
