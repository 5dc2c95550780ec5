"""Names of torch's calls that lowering or conversion once did not know: both take them, and compute what torch does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import qfx
from qfx.errors import ConversionError, LoweringError
from qfx.frontend import lower
from tests.conversion.nets import check_exact, floats, reals, uneven
from tests.frontend.test_functions import S6, Given, assert_agree

_torch: Any = torch
_F: Any = F
Line = Callable[[Any], Any]

LOWERED: dict[str, tuple[Line, list[str]]] = {
    "F.relu_": (lambda x: F.relu_(x + 1), ["affine", "relu"]),
    "F.hardtanh_": (lambda x: F.hardtanh_(x + 1, 0, 1), ["affine", "clamp"]),
    "torch.clamp_": (lambda x: torch.clamp_(x + 1, max=1), ["affine", "clamp"]),
    "torch.clip_": (lambda x: _torch.clip_(x + 1, -1, 1), ["affine", "clamp"]),
    "clip_": (lambda x: (x + 1).clip_(-1, 1), ["affine", "clamp"]),
    "torch.clamp_min_": (lambda x: torch.clamp_min_(x + 1, 0.5), ["affine", "clamp"]),
    "torch.clamp_max_": (lambda x: torch.clamp_max_(x + 1, 0.5), ["affine", "clamp"]),
    "clamp_min_": (lambda x: (x + 1).clamp_min_(0.5), ["affine", "clamp"]),
    "clamp_max_": (lambda x: (x + 1).clamp_max_(0.5), ["affine", "clamp"]),
    "torch.neg_": (lambda x: torch.neg_(x + 1), ["affine", "affine"]),
    "torch.negative_": (lambda x: torch.negative_(x + 1), ["affine", "affine"]),
    "torch.rsub": (lambda x: torch.rsub(x, 2), ["affine"]),
    "squeeze_": (lambda x: (x + 1).mean((2, 3), keepdim=True).squeeze_((2, 3)), ["affine", "avg_pool2d", "reshape"]),
    "unsqueeze_": (lambda x: (x + 1).unsqueeze_(2), ["affine", "reshape"]),
    "transpose_": (lambda x: (x + 1).transpose_(2, 3), ["affine", "rearrange"]),
    "swapaxes_": (lambda x: (x + 1).swapaxes_(1, 2), ["affine", "rearrange"]),
    "swapdims": (lambda x: (x + 1).swapdims(1, 2), ["affine", "rearrange"]),
    "swapdims_": (lambda x: (x + 1).swapdims_(1, 2), ["affine", "rearrange"]),
    "torch.swapdims": (lambda x: torch.swapdims(x, 1, 2), ["rearrange"]),
    "torch.dropout": (lambda x: torch.dropout(x + 1, 0.5, False), ["affine"]),
    "F.dropout1d": (lambda x: F.dropout1d((x + 1).flatten(2), 0.5, False), ["affine", "reshape"]),
    "F.dropout2d": (lambda x: F.dropout2d(x + 1, 0.5, False), ["affine"]),
    "F.dropout3d": (lambda x: F.dropout3d(x + 1, 0.5, False), ["affine"]),
    "F.alpha_dropout": (lambda x: F.alpha_dropout(x + 1, 0.5), ["affine"]),
    "F.feature_alpha_dropout": (lambda x: F.feature_alpha_dropout(x + 1, 0.5), ["affine"]),
}
CONVERTED: dict[str, Line] = {
    **{name: line for name, (line, _) in LOWERED.items()},
    "torch.sigmoid_": lambda x: torch.sigmoid_(x + 1),
    "torch.tanh_": lambda x: torch.tanh_(x + 1),
    "torch.exp_": lambda x: torch.exp_(x / 4),
    "torch.square_": lambda x: _torch.square_(x + 1),
    "torch.abs_": lambda x: torch.abs_(x + 1),
    "torch.absolute": lambda x: torch.absolute(x),
    "absolute": lambda x: x.absolute(),
    "absolute_": lambda x: (x + 1).absolute_(),
    "torch.selu": lambda x: torch.selu(x),
    "torch.selu_": lambda x: torch.selu_(x + 1),
    "torch.celu": lambda x: torch.celu(x),
    "torch.celu_": lambda x: torch.celu_(x + 1),
    "F.elu_": lambda x: _F.elu_(x + 1, 0.5),
    "F.tanhshrink": lambda x: F.tanhshrink(x),
    "F.softshrink": lambda x: F.softshrink(x, 0.25),
    "F.hardshrink": lambda x: F.hardshrink(x, 0.25),
    "hardshrink": lambda x: x.hardshrink(0.25),
}


@pytest.mark.parametrize("name", LOWERED)
def test_lowering_knows_it(name: str) -> None:
    line, kinds = LOWERED[name]
    graph = assert_agree(Given(lambda m, x: line(x)), ("x", S6, (4, 4, 8)))
    assert [node.op.kind for node in graph.nodes] == kinds


class Net(nn.Module):
    """A convolution, and a line on its result."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.line = nn.Conv2d(4, 4, 3, padding=1), line

    def forward(self, x: Tensor) -> Any:
        return self.line(self.conv(x))


@pytest.mark.parametrize("name", CONVERTED)
def test_conversion_knows_it(name: str) -> None:
    x, model = reals(4, 8, 8), uneven(Net(CONVERTED[name]))
    with torch.no_grad():
        wanted = model(x)
    converted = qfx.convert(model, x)
    check_exact(converted, x)
    torch.testing.assert_close(floats(converted, x), wanted, rtol=0.1, atol=0.5)  # the input is on a grid of 8 bits


DROPOUTS: list[tuple[Line, type[nn.Module]]] = [
    (lambda x: F.dropout(x, 0.5, False), nn.Dropout),
    (lambda x: F.dropout2d(x, 0.5, False), nn.Dropout2d),
    (lambda x: F.dropout3d(x, 0.5, False), nn.Dropout3d),
    (lambda x: F.dropout1d(x.flatten(2), 0.5, False), nn.Dropout1d),
    (lambda x: F.alpha_dropout(x, 0.5, False), nn.AlphaDropout),
    (lambda x: F.feature_alpha_dropout(x, 0.5, False), nn.FeatureAlphaDropout),
]


@pytest.mark.parametrize(("line", "kind"), DROPOUTS)
def test_dropout_stays_of_its_kind(line: Line, kind: type[nn.Module]) -> None:
    """The converted network trains: whole channels are dropped where the float model drops them."""
    converted = qfx.convert(Net(line), reals(4, 8, 8))
    assert type(converted.get_submodule("dropout")) is kind


ADVICE: list[tuple[Line, str]] = [
    (lambda x: torch.adaptive_max_pool1d(x.flatten(2), 1)[0], "leave return_indices out"),
    (lambda x: F.max_pool3d(x, 1), "only layers of one and two dimensions are supported"),
    (lambda x: F.adaptive_avg_pool3d(x, 1), "only layers of one and two dimensions are supported"),
    (lambda x: x.log_(), r"use qfx.nn.Lookup\(function, input, output\)"),
    (lambda x: F.threshold(x, 0, 1), r"use qfx.nn.Lookup\(function, input, output\)"),
    (lambda x: x**2, r"use qfx.nn.Lookup\(function, input, output\)"),
    (lambda x: x @ x, "only products with weights are supported; use qfx.nn.Linear"),
    (lambda x: x.cumsum(1), "use layers of qfx.nn, or the functions that docs/layers.md lists"),
]


@pytest.mark.parametrize(("line", "advice"), ADVICE)
def test_both_give_the_same_advice(line: Line, advice: str) -> None:
    with pytest.raises(LoweringError, match=f"it has no fixed-point form; {advice}"):
        lower(Given(lambda m, x: line(x)), (4, 8, 8))
    with pytest.raises(ConversionError, match=f"it has no fixed-point form; {advice}"):
        qfx.convert(Net(line), reals(4, 8, 8).abs())


def test_training_alone_switches_alpha_dropout_on() -> None:
    """Its default is off, unlike that of dropout."""
    with pytest.raises(LoweringError, match=r"dropout with training=True drops values in eval, too; pass training=self.training"):
        lower(Given(lambda m, x: F.alpha_dropout(x, 0.5, True)), (4, 8, 8))
    with pytest.raises(ConversionError, match=r"dropout with training=True drops values in eval, too; pass training=self.training"):
        qfx.convert(Net(lambda x: F.alpha_dropout(x, 0.5, True)), reals(4, 8, 8))
