"""The C++ of every sample of every op; and that no op is left out of the suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from qfx.frontend.calls.table import BY_NAME
from qfx.ops import OPS, Sample
from qfx.project import verify, write_project
from qfx.testing.conformance import activations, check_sample, many_inputs, many_samples, samples_of

NARROW = 16
"""Widest operands of the samples that are compiled per op; wider ones of all ops go into one network."""


def is_narrow(sample: Sample) -> bool:
    return all(value.type.width <= NARROW for value in activations(sample))


KINDS: dict[str, tuple[str, ...]] = {
    "windows": ("conv2d", "avg_pool2d", "max_pool2d"),
    "requantize": ("requantize",),
    "moves": ("concat", "pad", "rearrange", "reshape", "shift", "slice", "upsample"),
}
"""Ops whose samples are compiled together."""
KINDS["others"] = tuple(kind for kind in OPS if not any(kind in kinds for kinds in KINDS.values()))

GROUPS = {
    **{group: [s for kind in kinds for s in samples_of(kind) if is_narrow(s)] for group, kinds in KINDS.items()},
    "wide": [s for kind in OPS for s in samples_of(kind) if not is_narrow(s)],
}


@pytest.mark.compiler
@pytest.mark.parametrize("group", GROUPS)
def test_cpp_equals_the_simulator(group: str, tmp_path: Path) -> None:
    graph = many_samples(GROUPS[group])
    project = write_project(graph, tmp_path / "project", many_inputs(GROUPS[group], graph), allow_unverified_modes=True)
    report = verify(project, ["sim", "csim"])
    assert report.first is None, report.first.text()
    assert {layer.op for layer in report.layers} >= {sample.op.kind for sample in GROUPS[group]}


def test_every_sample_is_in_a_group() -> None:
    assert sum(map(len, GROUPS.values())) == sum(len(samples_of(kind)) for kind in OPS)


def file_of(kind: str) -> Path:
    """The file that runs an op's samples through simulator, ONNX Runtime and torch."""
    return Path(__file__).with_name(f"test_{kind}.py")


PLAIN = [kind for kind in OPS if not file_of(kind).is_file() and kind in BY_NAME]
"""Ops that are a function of torch called as the op is, with operands alone: their samples need no file of their own."""


class Plain(nn.Module):
    """A function of torch."""

    def __init__(self, sample: Sample) -> None:
        super().__init__()
        self.function: Callable[..., Tensor] = getattr(torch, sample.op.kind)

    def forward(self, *operands: Tensor) -> Tensor:
        return self.function(*operands)


@pytest.mark.parametrize("corners", [False, True], ids=["random", "corners"])
@pytest.mark.parametrize("sample", [s for kind in PLAIN for s in samples_of(kind)], ids=lambda s: f"{s.op.kind}-{s.label}")
def test_engines_agree_on_functions_of_torch(sample: Sample, corners: bool) -> None:
    check_sample(sample, Plain, corners)


@pytest.mark.parametrize("kind", OPS)
def test_every_op_has_its_file_here(kind: str) -> None:
    """The file runs the op's samples through simulator, ONNX Runtime and torch, unless the test above does."""
    if kind in PLAIN:
        return
    file = file_of(kind)
    assert file.is_file(), f"{kind} lacks its conformance test tests/ops/{file.name}"
    assert f'samples_of("{kind}")' in file.read_text()
