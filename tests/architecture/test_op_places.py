"""An op has a fixed number of places; this names the one that was forgotten. (docs/ir.md is checked in test_docs.py.)"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from qfx.export.hls.kernels import OP_KERNELS
from qfx.ops import OPS

ROOT = Path(__file__).parents[2]


def text_of(files: Iterable[Path]) -> str:
    return "\n".join(file.read_text() for file in files)


@pytest.mark.parametrize("kind", OPS)
def test_module_is_named_after_the_kind(kind: str) -> None:
    assert OPS[kind].__module__ == f"qfx.ops.{kind}"


@pytest.mark.parametrize("kind", OPS)
def test_samples_reach_every_attribute(kind: str) -> None:
    op = OPS[kind]
    values = {
        field.name: {repr(getattr(sample.op, field.name)) for sample in op.samples()}
        for field in dataclasses.fields(op)  # type: ignore[arg-type]
    }
    assert [name for name, seen in values.items() if len(seen) < 2] == []


@pytest.mark.parametrize("kind", OPS)
def test_samples_have_labels_of_their_own(kind: str) -> None:
    labels = [sample.label for sample in OPS[kind].samples()]
    assert len(labels) == len(set(labels)) > 0


@pytest.mark.parametrize("kind", OPS)
def test_a_torch_layer_lowers_to_it(kind: str) -> None:
    sources = text_of([*(ROOT / "qfx" / "nn").glob("*.py"), *(ROOT / "qfx" / "frontend").rglob("*.py")])
    assert re.search(rf"\b{OPS[kind].__name__}\(", sources), f"nothing in qfx/nn or qfx/frontend lowers to {kind}"


@pytest.mark.parametrize("kind", OPS)
def test_it_has_a_kernel_with_a_template(kind: str) -> None:
    kernels = [kernel for kernel in OP_KERNELS if kernel.serves is OPS[kind]]
    assert kernels, f"no kernel in export/hls/kernels serves {kind}"
    for kernel in kernels:
        assert kernel.kind == kind and kernel.__module__ == f"qfx.export.hls.kernels.{kind}"
        assert not kernel.functions or (ROOT / "hls_templates" / "kernels" / f"{kind}.hpp.j2").is_file()
