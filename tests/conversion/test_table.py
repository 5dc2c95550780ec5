"""The lines of the layer table as float models: what lowers also converts; of what lowering refuses, conversion takes some."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import qfx
from qfx.errors import ConversionError
from qfx.fixed import FixedType
from tests.conversion.nets import check_exact, floats, uneven
from tests.frontend.layer_table import FUNCTIONS, LAYERS, MODULES, REFUSED, Row

NAMES: dict[str, Any] = {"torch": torch, "nn": nn, "F": functional}
RAW = FixedType(True, 6, 3)
NOT_TORCH = (*(f"qfx.nn.{name}(" for name in qfx.nn.__all__ if not hasattr(nn, name)), "nn.Identity", "nn.Dropout")
"""No module of torch, or nothing but the input itself."""
FROM_TORCH = [Row(row.code.replace("qfx.nn.", "nn."), row.shape) for row in LAYERS if not row.code.startswith(NOT_TORCH)]
TAKEN = {  # refused in a network of qfx.nn, where formats would have to be given
    "nn.Conv2d(4, 4, 3)",
    "nn.Linear(12, 4)",
    "nn.BatchNorm2d(4)",
    "nn.Sigmoid()",
    "nn.GELU()",
    "nn.LeakyReLU()",
    "nn.ELU()",
    "nn.ConvTranspose1d(4, 4, 2)",
    "nn.AvgPool2d(3)",
    "nn.AvgPool2d(2, padding=1, count_include_pad=False)",
    "x.mean((2, 3))",
}


class Line(nn.Module):
    """One line of the table."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self.code = code
        self.line: Any = eval(code, NAMES) if code.startswith("nn.") else None

    def forward(self, x: Tensor) -> Any:
        return eval(self.code, {**NAMES, "x": x}) if self.line is None else self.line(x)


def sample_of(row: Row) -> Tensor:
    """Codes of RAW."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(RAW.min_int, RAW.max_int + 1, (6, *row.shape), generator=generator)


def checked(row: Row) -> None:
    """Converts the line; the result is exact, and the float function without quantizers."""
    torch.manual_seed(0)
    model, x = uneven(Line(row.code)), sample_of(row)
    with torch.no_grad():
        wanted = model(x * 2.0**-RAW.frac)
    network = qfx.convert(model, x, qfx.ConvertConfig(input=qfx.InputFormat(type=RAW)))
    check_exact(network, x)
    torch.testing.assert_close(floats(network, x), wanted, rtol=1e-4, atol=1e-4, check_dtype=False)


def name_of(row: Any) -> str:
    return f"{row.code} on {row.shape}"


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize(
    "row", [row for row in dict.fromkeys((*FROM_TORCH, *MODULES, *FUNCTIONS)) if not row.code.startswith(NOT_TORCH)], ids=name_of
)
def test_it_converts(row: Row) -> None:
    checked(row)


@pytest.mark.filterwarnings("ignore:Implicit dimension choice for softmax")
@pytest.mark.parametrize("row", REFUSED, ids=name_of)
def test_what_lowering_refuses(row: Any) -> None:
    if row.code in TAKEN:
        checked(row)
        return
    with pytest.raises(ConversionError) as raised:
        qfx.convert(Line(row.code), sample_of(row), qfx.ConvertConfig(input=qfx.InputFormat(type=RAW)))
    assert "cannot be converted; " in str(raised.value) or "fails on the sample" in str(raised.value)
