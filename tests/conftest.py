"""What holds for every test: one thread per worker, fixed examples, long tests only on request, quick ones, no silent skips."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:  # before the first import of numpy or torch
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

settings.register_profile("qfx", deadline=None, derandomize=True)  # the same examples on every machine, loaded or not
settings.load_profile("qfx")

HERE = Path(__file__).parent
ALLOWED_SKIPS = HERE / "allowed_skips.txt"
"""Node ids that may be skipped in CI, one a line, each after a comment that says why."""

COMPILING = frozenset({"CSimulator", "ThreadedSimulator", "compare_compiled", "check_graphs", "compile_casts"})
"""A module that has one of these is marked `compiler`."""

_SLOW = """
benchmarks/ conversion/ engines/ nn/ quant/ frontend/test_layer_table.py frontend/test_scalars.py
hls/test_export.py hls/test_kernel_objects.py hls/test_validator.py sim/test_program.py
architecture/test_docs.py architecture/test_packaging.py architecture/test_skips.py architecture/test_testing.py
test_accelerator.py test_cli.py test_cli_verify.py test_completion.py test_damage.py test_demo.py test_errors.py test_estimate.py
test_host.py test_kills.py test_models.py test_own_network.py test_random_networks.py test_recipes.py test_schedule.py
test_several_inputs.py test_tables.py test_training.py test_verify.py test_watch.py test_workplace.py
"""
SLOW = tuple(_SLOW.split())
"""Folders and modules that are marked `slow`: they train, start processes, or go through many networks."""

_skipped: set[str] = set()


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Programs that tests have compiled go nowhere near the user's cache."""
    os.environ["QFX_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(params=[True, False], ids=["kernel", "eager"])
def engine(request: pytest.FixtureRequest) -> Generator[bool]:
    """Casts in C, and by torch; whether they are in C."""
    from qfx.quant import kernel

    if request.param and kernel.library() is None:
        pytest.skip(kernel.status())
    with kernel.using(request.param):
        yield request.param


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the tests marked `full` too")
    parser.addoption("--quick", action="store_true", help="only tests that need no C++ compiler and take no seconds")
    parser.addoption("--update-golden", action="store_true", help="rewrite the files in tests/golden/ instead of comparing")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):  # what compiles without being marked fails, and the message has this name
        os.environ["CXX"] = "no-compiler-in-a-quick-run"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if COMPILING & vars(getattr(item, "module", None) or object).keys():
            item.add_marker("compiler")
        if item.path.is_relative_to(HERE) and item.path.relative_to(HERE).as_posix().startswith(SLOW):
            item.add_marker("slow")
    left_out = [] if config.getoption("--full") else ["full"]
    left_out += ["compiler", "slow"] if config.getoption("--quick") else []
    dropped = {item for item in items if any(map(item.get_closest_marker, left_out))}
    config.hook.pytest_deselected(items=list(dropped))
    items[:] = [item for item in items if item not in dropped]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:  # an expected failure counts as skipped, too
        _skipped.add(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skipped.add(report.nodeid)


def unexpected_skips(config: pytest.Config) -> list[str]:
    """Skipped tests that the committed list does not name; empty outside CI and in quick runs, which leave out more than that."""
    if os.environ.get("CI") != "true" or "PYTEST_XDIST_WORKER" in os.environ or config.getoption("--quick"):
        return []
    lines = ALLOWED_SKIPS.read_text().splitlines() if ALLOWED_SKIPS.exists() else []
    return sorted(_skipped - {line.strip() for line in lines})


def pytest_sessionfinish(session: pytest.Session) -> None:
    if unexpected_skips(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name in unexpected_skips(config):
        terminalreporter.write_line(f"skipped, but not listed in tests/{ALLOWED_SKIPS.name}: {name}", red=True)
