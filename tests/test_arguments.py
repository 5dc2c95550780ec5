"""What the front door says of arguments of other kinds: never a traceback from within."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import qfx
from qfx import arguments
from qfx import nn as qnn
from qfx.errors import InputError
from qfx.fixed import FixedType
from qfx.quant import QuantSpec

_qfx: Any = qfx
WEIGHT = QuantSpec(5, frac=4, learn=False)
CODES = np.zeros((3, 6), np.int64)


def network() -> nn.Sequential:
    return nn.Sequential(qnn.QuantInput(type=FixedType(False, 4, 2)), qnn.Linear(6, 3, weight=WEIGHT, bias=WEIGHT))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> qfx.Project:
    return qfx.write_project(qfx.lower(network(), (6,)), tmp_path_factory.mktemp("odd") / "project", CODES, network())


def verbs(project: qfx.Project, home: Path) -> dict[str, Callable[[Any], object]]:
    """Every verb with everything in place but one argument."""
    graph, x = project.graph, torch.zeros(2, 6)
    pairs = [(x, torch.zeros(2, dtype=torch.long))]
    verify = partial(_qfx.verify, project, ("sim", "onnx"))
    return {
        "convert model": lambda odd: _qfx.convert(odd, x),
        "convert sample": lambda odd: _qfx.convert(nn.Linear(6, 3), odd),
        "convert config": lambda odd: _qfx.convert(nn.Linear(6, 3), x, odd),
        "calibrate model": lambda odd: _qfx.calibrate(odd, [x]),
        "calibrate batches": lambda odd: _qfx.calibrate(network(), odd),
        "calibrate batch": lambda odd: _qfx.calibrate(network(), [odd]),
        "calibrate method": lambda odd: _qfx.calibrate(network(), [x], odd),
        "calibrate percentile": lambda odd: _qfx.calibrate(network(), [x], "percentile", percentile=odd),
        "fit model": lambda odd: _qfx.fit(odd, pairs, qfx.Recipe(epochs=1)),
        "fit data": lambda odd: _qfx.fit(network(), odd, qfx.Recipe(epochs=1)),
        "fit batch": lambda odd: _qfx.fit(network(), [odd], qfx.Recipe(epochs=1)),
        "fit recipe": lambda odd: _qfx.fit(network(), pairs, odd),
        "lower model": lambda odd: _qfx.lower(odd, (6,)),
        "lower shape": lambda odd: _qfx.lower(network(), odd),
        "lower size": lambda odd: _qfx.lower(network(), (odd,)),
        "accelerate": lambda odd: _qfx.accelerate(odd),
        "write": lambda odd: _qfx.write_project(odd, home / "a", CODES),
        "write path": lambda odd: _qfx.write_project(graph, odd, CODES),
        "write samples": lambda odd: _qfx.write_project(graph, home / "b", odd),
        "write seed": lambda odd: _qfx.write_project(graph, home / "d", CODES, seed=odd),
        "write progress": lambda odd: _qfx.write_project(graph, home / "e", CODES, progress=odd),
        "open": _qfx.open,
        "simulate": lambda odd: _qfx.simulate(odd, CODES),
        "simulate inputs": lambda odd: _qfx.simulate(graph, odd),
        "simulate threads": lambda odd: _qfx.simulate(graph, CODES, threads=odd),
        "verify": _qfx.verify,
        "verify sanitize": lambda odd: verify(sanitize=odd),
        "verify progress": lambda odd: verify(progress=odd),
        "save": lambda odd: _qfx.save(odd, home / "c"),
        "save path": lambda odd: _qfx.save(network(), odd),
        "load": _qfx.load,
    }


ODD: list[Any] = [None, -1, float("nan"), "", b"x", [1], {"a": 1}, {1}, object(), int, len, range(2), 10**30, "a\0b", 1j]
TAKEN = {
    ("convert config", 0),  # None
    ("calibrate method", 3),
}
"""What is right, or refused with a text of its own."""


def test_no_verb_falls_over_an_argument(project: qfx.Project, tmp_path: Path) -> None:
    for name, verb in verbs(project, tmp_path).items():
        for index, odd in enumerate(ODD):
            if (name, index) in TAKEN or (name.endswith("progress") and odd is len):
                continue
            if (
                name in ("lower size", "calibrate percentile", "write seed", "simulate threads")
                and isinstance(odd, int)
                and odd > 1
            ):
                continue
            with pytest.raises(qfx.QfxError) as caught:
                verb(odd)
            assert str(caught.value), (name, odd)
    assert not list(tmp_path.iterdir())


REFUSED: list[tuple[str, Any, str]] = [
    ("convert model", "x", "the model is 'x'; a torch.nn.Module is wanted, made: an object, not its class"),
    ("convert model", nn.Linear, "the model is the class Linear; a torch.nn.Module is wanted"),
    ("convert model", nn.Linear(1, 1).state_dict(), "the model is an OrderedDict; weights alone are no network"),
    ("convert model", torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1), "the model is an SGD; a torch.nn.Module is wanted"),
    ("convert config", {"weights": 4}, "the configuration is a dict; a qfx.ConvertConfig is wanted, or the path of a TOML file"),
    ("convert config", "", "the configuration is '', which names no file and no folder"),
    ("calibrate batches", 3, "the batches are 3; a list of tensors (batch, ...) is wanted, or a DataLoader of inputs"),
    ("calibrate percentile", "x", "the percentile 'x' is outside 0..100"),
    ("fit data", 3, "the data are 3; a list of batches (input, label) is wanted, or a torch DataLoader"),
    ("fit batch", torch.zeros(2), "a batch holds a Tensor; two tensors are wanted, the input (batch, ...) and the label (batch,)"),
    ("fit recipe", 3, "the recipe is 3; a qfx.Recipe is wanted, such as qfx.Recipe(epochs=10)"),
    ("lower shape", "x", "the input shape is 'x'; a tuple without the batch axis is wanted, such as (channel, height, width)"),
    ("lower size", 0, "a size in the input shape is 0; a whole number is wanted, 1 or more"),
    ("accelerate", None, "the network is None; a qfx.Graph is wanted, as qfx.lower makes it"),
    ("write", None, "the network is None; what qfx.accelerate or qfx.lower makes is wanted"),
    ("write seed", -1, "the seed is -1; a whole number is wanted, 0 or more"),
    ("write progress", 3, "progress is 3; a function is wanted that is called as progress(text, done, all)"),
    ("write path", "a\0b", r"the path of the project is 'a\x00b', which names no file and no folder"),
    ("open", b"x", "the project is b'x'; a path is wanted, as text or as a pathlib.Path"),
    ("open", "x" * 300, "is no directory; give the folder that `qfx export` wrote"),
    ("simulate", network(), "the network is a Sequential; a qfx.Graph is wanted, a Project or an Accelerator"),
    ("simulate inputs", torch.zeros(3, 6), "the inputs are a Tensor; a NumPy array of integer codes (batch, ...) is wanted"),
    ("simulate inputs", {"input": [1]}, "input 'input' is a list; a NumPy array of integer codes (batch, ...) is wanted"),
    ("verify sanitize", "address", "sanitize is 'address'; a list of address, undefined is wanted"),
    ("verify sanitize", ["thread"], "sanitize holds 'thread'; a list of address, undefined is wanted"),
    ("save", {}, "the network is a dict; weights alone are no network: make one, and load them with load_state_dict"),
]


@pytest.mark.parametrize(("name", "odd", "message"), REFUSED)
def test_what_is_said(project: qfx.Project, tmp_path: Path, name: str, odd: Any, message: str) -> None:
    with pytest.raises((InputError, qfx.errors.ProjectError)) as caught:
        verbs(project, tmp_path)[name](odd)
    assert message in str(caught.value)


def test_paths_and_engines_as_text(project: qfx.Project) -> None:
    text = str(project.path)
    assert qfx.open(text).path == qfx.open(project.path).path == project.path
    for given in (text, project.path, project):
        report = qfx.verify(given, "sim, onnx", samples=2)
        assert list(report.engines) == ["sim", "onnx"] and report.mismatches == 0


def test_a_live_model_of_another_kind(project: qfx.Project) -> None:
    with pytest.raises(InputError, match=r"the model is 3; a torch\.nn\.Module is wanted"):
        _qfx.verify(project, ["torch", "sim"], model=3)
    with pytest.raises(InputError, match="wanted is 'logits'; a list of names is wanted"):
        _qfx.simulate(project, CODES, "logits")
    with pytest.raises(InputError, match="engines holds 3; a list of names is wanted"):
        _qfx.verify(project, [3])
    with pytest.raises(InputError, match="model_name is 3; text of the form module:factory is wanted"):
        _qfx.write_project(project.graph, "nowhere", CODES, model_name=3)


def test_seeds_and_numbers_of_samples(project: qfx.Project) -> None:
    verify = partial(_qfx.verify, project, ["sim", "onnx"])
    with pytest.raises(InputError, match="the seed is -1; a whole number is wanted, 0 or more"):
        verify(seed=-1)
    with pytest.raises(InputError, match=r"the number of samples is 1\.5; a whole number is wanted"):
        verify(samples=1.5)
    with pytest.raises(InputError, match=r"1,000,000,000,000 random samples of 1 inputs would take 48,000\.0 GB of memory"):
        verify(seed=0, samples=10**12)


def test_what_a_value_is_called() -> None:
    values: list[Any] = [None, "x" * 99, True, nn.Linear, len, [1], {}, object(), np.zeros(1)]
    found = [arguments.shown(value) for value in values]
    long = repr("x" * 99)[:60] + "..."
    assert found == ["None", long, "True", "the class Linear", "the function len", "a list", "a dict", "an object", "a ndarray"]


def test_numpy_numbers_are_whole() -> None:
    assert arguments.whole("n", np.int16(3), 0) == 3
    with pytest.raises(InputError, match="n is True; a whole number is wanted, 0 or more"):
        arguments.whole("n", True, 0)
