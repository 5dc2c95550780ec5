"""Every layer in eval against the integer engine, at every value; its torch counterpart in float mode; its errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import qfx.nn as qnn
from qfx.conversion import calibrate
from qfx.engines.torch_engine import TorchEngine
from qfx.errors import InputError, QuantizationError
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.nn.layer import Layer
from qfx.ops.sampling import corner_codes, random_codes
from qfx.quant import QuantSpec, set_enabled
from qfx.sim.engine import Simulator

W = QuantSpec.weights
S6 = FixedType(True, 6, 3)


class Alone(qnn.Model):
    """One layer behind an input of 6 bits."""

    def __init__(self, layer: nn.Module, raw: FixedType = S6) -> None:
        super().__init__()
        self.input = qnn.QuantInput(type=raw)
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.input(x))


def assert_exact(model: qnn.Model, shape: tuple[int, ...], raw: FixedType = S6) -> None:
    """torch and the integer engine agree at every value, on random and on corner inputs."""
    codes = np.concatenate([random_codes(raw, (24, *shape), 0), corner_codes(raw, shape)])
    model.train()
    for _ in range(2):  # moves running statistics
        model(torch.from_numpy(codes))
    calibrate(model, [torch.from_numpy(codes)])
    model.eval()
    graph = model.lower(shape)
    live = TorchEngine(model, graph).run({graph.inputs[0]: codes})
    wanted = Simulator(graph).run({graph.inputs[0]: codes})
    assert live.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_array_equal(live[name], values, err_msg=name)
    (output,) = graph.outputs
    real = graph.values[output].type.to_real(wanted[output])
    np.testing.assert_array_equal(model(torch.from_numpy(codes)).to(torch.float64).detach().numpy(), real)


IMAGE, VECTOR, SIGNAL = (4, 7, 6), (12,), (4, 13)
ACT = QuantSpec.activations(4)
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv": (lambda: qnn.Conv2d(4, 5, 3, weight=W(4)), IMAGE),
    "conv-stride-padding": (lambda: qnn.Conv2d(4, 5, (3, 2), (2, 1), (1, 0), bias=False), IMAGE),
    "conv-same-dilated": (lambda: qnn.Conv2d(4, 3, 3, padding="same", dilation=2), IMAGE),
    "conv-valid": (lambda: qnn.Conv2d(4, 3, 3, padding="valid"), IMAGE),
    "conv-depthwise": (lambda: qnn.Conv2d(4, 8, 3, groups=4, weight=W(5, k_hot=2)), IMAGE),
    "conv-per-channel-acc": (lambda: qnn.Conv2d(4, 5, 1, weight=W(3, per_channel=True), accumulator=QuantSpec(7)), IMAGE),
    "conv-float64": (lambda: qnn.Conv2d(4, 5, 3, weight=W(16), bias=W(20)), IMAGE),
    "conv-same-even": (lambda: qnn.Conv2d(4, 3, (2, 4), padding="same", dilation=(1, 3)), IMAGE),
    "conv-extra": (lambda: qnn.Conv2d(4, 3, 3, 2, (0, 1), extra=(2, 1)), IMAGE),
    "conv-grouped-stride-dilation": (lambda: qnn.Conv2d(4, 6, (2, 3), (2, 1), 1, (2, 1), groups=2), IMAGE),
    "conv-depthwise-same-khot": (lambda: qnn.Conv2d(4, 4, 2, padding="same", groups=4, weight=W(5, k_hot=1)), IMAGE),
    "conv1d": (lambda: qnn.Conv1d(4, 5, 3, 2, 1, weight=W(4)), SIGNAL),
    "conv1d-same-grouped-acc": (
        lambda: qnn.Conv1d(4, 6, 4, padding="same", dilation=(1,), groups=2, accumulator=QuantSpec(7)),
        SIGNAL,
    ),
    "conv1d-depthwise-float64": (lambda: qnn.Conv1d(4, 4, 3, groups=4, bias=False, weight=W(22, per_channel=True)), SIGNAL),
    "transposed": (lambda: qnn.ConvTranspose2d(4, 5, 3, 2, 1, 1), IMAGE),
    "transposed-stride-1": (lambda: qnn.ConvTranspose2d(4, 5, (3, 2), bias=False, weight=W(4, per_channel=True)), IMAGE),
    "transposed-grouped": (lambda: qnn.ConvTranspose2d(4, 6, (2, 3), (3, 2), (0, 1), (2, 0), 2, dilation=(2, 1)), IMAGE),
    "transposed-depthwise-khot": (lambda: qnn.ConvTranspose2d(4, 4, 2, 2, groups=4, weight=W(6, k_hot=2)), IMAGE),
    "transposed-1d": (lambda: qnn.ConvTranspose1d(4, 5, 3, 2, 1, 1), SIGNAL),
    "transposed-1d-grouped-khot-acc": (
        lambda: qnn.ConvTranspose1d(4, 6, 4, 3, (2,), 2, 2, dilation=2, weight=W(6, k_hot=2), accumulator=QuantSpec(7)),
        SIGNAL,
    ),
    "transposed-1d-float64": (
        lambda: qnn.ConvTranspose1d(4, 4, 2, groups=4, bias=False, weight=W(22, per_channel=True)),
        SIGNAL,
    ),
    "transposed-float64-acc": (lambda: qnn.ConvTranspose2d(4, 3, 4, 2, 1, weight=W(18), accumulator=QuantSpec(9)), IMAGE),
    "linear": (lambda: qnn.Linear(12, 5), VECTOR),
    "linear-khot-acc": (lambda: qnn.Linear(12, 5, False, weight=W(6, k_hot=1), accumulator=QuantSpec(6)), VECTOR),
    "bn2d": (lambda: qnn.BatchNorm2d(4), IMAGE),
    "bn2d-khot": (lambda: qnn.BatchNorm2d(4, momentum=None, scale=W(8, k_hot=2)), IMAGE),
    "bn2d-per-channel": (lambda: qnn.BatchNorm2d(4, affine=False, scale=W(5, per_channel=True)), IMAGE),
    "bn1d": (lambda: qnn.BatchNorm1d(12), VECTOR),
    "bn1d-signal": (lambda: qnn.BatchNorm1d(4), SIGNAL),
    "relu6": (lambda: qnn.ReLU6(), IMAGE),
    "relu6-exact": (lambda: qnn.ReLU6(output=None), SIGNAL),
    "hardtanh": (lambda: qnn.Hardtanh(-1.75, 0.5, output=QuantSpec(5)), VECTOR),
    "hardtanh-one-side": (lambda: qnn.Hardtanh(-math.inf, 2**-5, output=None), VECTOR),
    "lookup": (lambda: qnn.Lookup(torch.cos, QuantSpec(5), QuantSpec(6, rounding=Rounding.TRN)), IMAGE),
    "lookup-wraps": (lambda: qnn.Lookup(torch.square, QuantSpec(6), QuantSpec(4, frac=2, overflow=Overflow.WRAP)), IMAGE),
    "lookup-own-format": (lambda: qnn.Lookup(torch.sin, QuantSpec.of(S6), QuantSpec(30)), SIGNAL),
    "sigmoid": (lambda: qnn.Sigmoid(), IMAGE),
    "hardsigmoid": (lambda: qnn.Hardsigmoid(QuantSpec(12)), IMAGE),
    "tanh": (lambda: qnn.Tanh(), VECTOR),
    "silu": (lambda: qnn.SiLU(True), IMAGE),
    "hardswish": (lambda: qnn.Hardswish(), SIGNAL),
    "gelu": (lambda: qnn.GELU("tanh"), IMAGE),
    "exp": (lambda: qnn.Exp(QuantSpec(16)), VECTOR),
    "relu": (lambda: qnn.ReLU(output=QuantSpec.activations(3)), IMAGE),
    "relu-exact": (lambda: qnn.ReLU(inplace=True, output=None), IMAGE),
    "prelu": (lambda: qnn.PReLU(4, input=QuantSpec(5), output=QuantSpec(4)), IMAGE),
    "prelu-one-slope-khot": (lambda: qnn.PReLU(init=-0.3, slope=W(8, k_hot=2), input=None, output=None), VECTOR),
    "add": (lambda: Sum(QuantSpec(5, frac=1), QuantSpec(4, frac=6)), IMAGE),
    "add-bare": (lambda: Sum(None, QuantSpec(3, False)), VECTOR),
    "max": (lambda: qnn.MaxPool2d(3, 2, 1, output=QuantSpec(4)), IMAGE),
    "max-oblong": (lambda: qnn.MaxPool2d((2, 3)), IMAGE),
    "max-ceil": (lambda: qnn.MaxPool2d(2, 2, ceil_mode=True), IMAGE),
    "max-ceil-padded": (lambda: qnn.MaxPool2d((2, 3), 3, (1, 0), ceil_mode=True), IMAGE),
    "max-dilated": (lambda: qnn.MaxPool2d((3, 2), 2, 1, (2, 3), output=QuantSpec(5)), IMAGE),
    "max-1d": (lambda: qnn.MaxPool1d(3, 2, 1, 2, ceil_mode=True), SIGNAL),
    "max-1d-quant": (lambda: qnn.MaxPool1d((4,), output=QuantSpec(4)), SIGNAL),
    "avg-ceil": (lambda: qnn.AvgPool2d(2, 2, ceil_mode=True), IMAGE),
    "avg-ceil-padded": (lambda: qnn.AvgPool2d((3, 4), (4, 3), (1, 2), ceil_mode=True, output=None), IMAGE),
    "avg-without-pad": (lambda: qnn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE),
    "avg-without-pad-ceil": (lambda: qnn.AvgPool2d((2, 5), 3, (1, 2), True, False, reciprocal_width=12), IMAGE),
    "avg-1d": (lambda: qnn.AvgPool1d(3, 2, 1, count_include_pad=False), SIGNAL),
    "avg-1d-ceil": (lambda: qnn.AvgPool1d(4, ceil_mode=True, output=None), SIGNAL),
    "avg-to-2x3": (lambda: qnn.AdaptiveAvgPool2d((2, 3)), (3, 6, 9)),
    "avg-to-own-height": (lambda: qnn.AdaptiveAvgPool2d((None, 1), output=None), IMAGE),
    "avg-1d-global": (lambda: qnn.AdaptiveAvgPool1d(1), SIGNAL),
    "avg-1d-to-3": (lambda: qnn.AdaptiveAvgPool1d((3,)), (2, 12)),
    "avg-513": (lambda: qnn.AdaptiveAvgPool2d(1), (1, 27, 19)),
    "avg": (lambda: qnn.AvgPool2d(2), IMAGE),
    "avg-odd": (lambda: qnn.AvgPool2d((3, 3), (2, 1), 1, reciprocal_width=10), IMAGE),
    "avg-global": (lambda: qnn.AdaptiveAvgPool2d(1, output=None), IMAGE),
    "avg-global-power-of-two": (lambda: qnn.AdaptiveAvgPool2d((1, 1)), (3, 4, 4)),
    "quantize": (lambda: qnn.Quantize(QuantSpec(4, rounding=Rounding.RND_CONV, overflow=Overflow.SAT_SYM)), IMAGE),
    "quantize-wrap": (lambda: qnn.Quantize(QuantSpec(4, frac=2, rounding=Rounding.TRN, overflow=Overflow.WRAP)), IMAGE),
}


class Sum(nn.Module):
    """x + relu(x), on different binary points."""

    def __init__(self, a: QuantSpec | None, b: QuantSpec | None) -> None:
        super().__init__()
        self.relu = qnn.ReLU(output=QuantSpec.activations(3))
        self.add = qnn.Add(a, b)

    def forward(self, x: Tensor) -> Tensor:
        return self.add(x, self.relu(x))


@pytest.mark.parametrize("case", CASES)
def test_layer_is_exact(case: str) -> None:
    torch.manual_seed(0)
    make, shape = CASES[case]
    assert_exact(Alone(make()), shape)


COUNTERPARTS: list[tuple[Layer, nn.Module, tuple[int, ...]]] = [
    (qnn.Conv2d(4, 6, 3, 2, 1, groups=2), nn.Conv2d(4, 6, 3, 2, 1, groups=2), IMAGE),
    (qnn.Linear(12, 5), nn.Linear(12, 5), VECTOR),
    (qnn.BatchNorm2d(4), nn.BatchNorm2d(4), IMAGE),
    (qnn.BatchNorm2d(4, momentum=None), nn.BatchNorm2d(4, momentum=None), IMAGE),
    (qnn.BatchNorm1d(12), nn.BatchNorm1d(12), VECTOR),
    (qnn.ReLU(), nn.ReLU(), IMAGE),
    (qnn.PReLU(4), nn.PReLU(4), IMAGE),
    (qnn.MaxPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1), IMAGE),
    (qnn.AvgPool2d(3, 2, 1), nn.AvgPool2d(3, 2, 1), IMAGE),
    (qnn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d(1), IMAGE),
    (qnn.AdaptiveAvgPool2d((None, 3)), nn.AdaptiveAvgPool2d((None, 3)), IMAGE),
    (qnn.AdaptiveAvgPool1d(1), nn.AdaptiveAvgPool1d(1), SIGNAL),
    (qnn.AvgPool2d(3, 2, 1, True, False), nn.AvgPool2d(3, 2, 1, True, False), IMAGE),
    (qnn.AvgPool1d(3, 2, 1, True), nn.AvgPool1d(3, 2, 1, True), SIGNAL),
    (qnn.MaxPool2d(2, 2, 1, 2, False, True), nn.MaxPool2d(2, 2, 1, 2, False, True), IMAGE),
    (qnn.MaxPool1d(2, 2, 1, 2, False, True), nn.MaxPool1d(2, 2, 1, 2, False, True), SIGNAL),
    (qnn.Conv1d(4, 6, 3, 2, 1, 2, 2), nn.Conv1d(4, 6, 3, 2, 1, 2, 2), SIGNAL),
    (qnn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2), nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2), IMAGE),
    (qnn.ConvTranspose1d(4, 6, 3, 2, 1, 1, 2), nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, 2), SIGNAL),
    (qnn.BatchNorm1d(4), nn.BatchNorm1d(4), SIGNAL),
    (qnn.ReLU6(), nn.ReLU6(), IMAGE),
    (qnn.Hardtanh(-2.5, 1.5), nn.Hardtanh(-2.5, 1.5), IMAGE),
    (qnn.Sigmoid(), nn.Sigmoid(), IMAGE),
    (qnn.Hardsigmoid(), nn.Hardsigmoid(), IMAGE),
    (qnn.Tanh(), nn.Tanh(), VECTOR),
    (qnn.SiLU(), nn.SiLU(), IMAGE),
    (qnn.Hardswish(), nn.Hardswish(), IMAGE),
    (qnn.GELU(), nn.GELU(), IMAGE),
    (qnn.GELU("tanh"), nn.GELU("tanh"), IMAGE),
]


@pytest.mark.parametrize(("layer", "counterpart", "shape"), COUNTERPARTS, ids=lambda item: type(item).__name__)
def test_float_mode_is_the_torch_counterpart(layer: Layer, counterpart: nn.Module, shape: tuple[int, ...]) -> None:
    counterpart.load_state_dict({key: value for key, value in layer.state_dict().items() if key in counterpart.state_dict()})
    set_enabled(layer, False)
    x = torch.randn(8, *shape, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        torch.testing.assert_close(layer(x), counterpart(x))
    layer.eval()
    counterpart.eval()
    result = layer(x)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, counterpart(x))


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_same_padding_of_even_kernels_is_torchs() -> None:
    layer, counterpart = (make(4, 4, (2, 4), padding="same", dilation=(3, 1)) for make in (qnn.Conv2d, nn.Conv2d))
    counterpart.load_state_dict({key: value for key, value in layer.state_dict().items() if key in counterpart.state_dict()})
    set_enabled(layer, False)
    x = torch.randn(2, *IMAGE, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(x), counterpart(x))


def test_normalisation_of_pixels() -> None:
    torch.manual_seed(0)
    raw = FixedType(False, 8, 0)
    model = qnn.Model(qnn.QuantInput((0.5, 0.4, 0.3), (0.2, 0.3, 0.1)))
    assert_exact(model, (3, 5, 4), raw)
    assert_exact(qnn.Model(qnn.QuantInput((0.5,), (0.2,), scale=W(8, k_hot=2), output=QuantSpec(4))), (1, 5, 4), raw)
    x = torch.arange(240, dtype=torch.uint8).view(1, 3, 10, 8)
    wanted = (x / 255 - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.2, 0.3, 0.1]).view(3, 1, 1)
    assert float((model(x) - wanted).detach().abs().max()) < 0.1
    set_enabled(model, False)
    torch.testing.assert_close(model(x), wanted)


def test_quantize_at_the_input_takes_real_values() -> None:
    model = qnn.Model(nn.Sequential(qnn.Quantize(QuantSpec.of(S6)), qnn.ReLU()))
    codes = random_codes(S6, (9, 5), 0)
    calibrate(model, [torch.from_numpy(S6.to_real(codes))])
    graph = model.eval().lower((5,))
    live, wanted = TorchEngine(model, graph).run({"input": codes}), Simulator(graph).run({"input": codes})
    for name, values in wanted.items():
        np.testing.assert_array_equal(live[name], values)


@pytest.mark.parametrize("x", [torch.tensor([[300.0]]), torch.tensor([[0.5]]), torch.tensor([[-1]])])
def test_inputs_that_are_not_raw(x: Tensor) -> None:
    with pytest.raises(InputError, match=r"the model wants raw integers of ap_ufixed<8, 8>, 0\.\.255 \(normalisation is part"):
        qnn.QuantInput().eval()(x)


ERRORS: list[tuple[Callable[[], object], str]] = [
    (lambda: qnn.Conv2d(1, 1, 3, padding_mode="reflect"), "padding_mode='reflect' is not supported; use 'zeros'"),
    (lambda: qnn.Conv2d(1, 1, 2, 2, "same"), r"Conv2d: padding='same' with stride \(2, 2\) has no meaning; use 'valid', 'same' or"),
    (lambda: qnn.Conv1d(1, 1, 2, padding="full"), "Conv1d: padding='full' with stride"),
    (lambda: qnn.Conv1d(1, 1, 2, padding_mode="circular"), "Conv1d: padding_mode='circular' is not supported"),
    (lambda: qnn.Conv1d(1, 1, 3, stride=(1, 2)), r"stride=\(1, 2\) is neither a number nor a tuple of one"),  # type: ignore[arg-type]
    (lambda: qnn.ConvTranspose2d(1, 1, 2, padding=(0, 2)), r"padding \(0, 2\) is above dilation \* \(kernel_size - 1\) = \(1, 1\)"),
    (lambda: qnn.ConvTranspose1d(1, 1, 2, padding=2), r"ConvTranspose1d: padding \(0, 2\) is above dilation .* = \(0, 1\)"),
    (lambda: qnn.ConvTranspose1d(1, 1, 2, padding_mode="reflect"), "ConvTranspose1d: padding_mode='reflect' is not supported"),
    (lambda: qnn.ConvTranspose1d(1, 1, 2)(torch.zeros(2, 3)), r"ConvTranspose1d wants \(batch, channel, length\), not \(2, 3\)"),
    (lambda: qnn.MaxPool1d(2)(torch.zeros(2, 3)), r"MaxPool1d wants \(batch, channel, length\), not \(2, 3\)"),
    (lambda: qnn.Hardtanh(0, 0.1), r"the bound 0.1 is on no grid 2\*\*-24 or coarser; .* such as 0.1015625"),
    (lambda: qnn.Hardtanh(-math.inf, math.inf), "a clamp to -inf..inf has no bound; leave it out"),
    (lambda: qnn.Hardtanh(math.nan), "a clamp to nan..1.0 has no bound"),
    (lambda: qnn.Lookup(torch.exp, QuantSpec(17)), r"an input of 17 bits would need 2\*\*17 entries; at most 16 bits"),
    (lambda: table_of(torch.log), "Lookup of log: it is not finite at -4, a code of its ap_fixed<6, 3> input"),
    (lambda: table_of(torch.sum), r"Lookup of sum: it makes \(\) of \(64,\), not one each"),
    (lambda: qnn.Sigmoid().table(), "is not calibrated"),
    (lambda: qnn.Conv2d(1, 1, 3, stride=(1, 2, 3)), "neither a number nor a pair"),  # type: ignore[arg-type]
    (lambda: qnn.BatchNorm2d(3, track_running_stats=False), "leave track_running_stats on"),
    (lambda: qnn.BatchNorm2d(3)(torch.zeros(2, 4, 2, 2)), r"BatchNorm2d\(3\) got an input of shape \(2, 4, 2, 2\)"),
    (lambda: qnn.BatchNorm1d(3)(torch.zeros(1, 3)), "more than one value per channel"),
    (lambda: qnn.MaxPool2d(2, return_indices=True), "MaxPool2d: return_indices is not supported; leave it out"),
    (lambda: qnn.AvgPool2d(2, divisor_override=3), "AvgPool2d: divisor_override is not supported; leave it out"),
    (lambda: qnn.AdaptiveAvgPool2d(2)(torch.zeros(1, 1, 4, 5)), r"pooling of \(4, 5\) to \(2, 2\) has windows of different sizes"),
    (lambda: qnn.Add()(torch.zeros(2, 3), torch.zeros(2, 1)), r"shapes \(2, 3\) and \(2, 1\) differ; broadcasting"),
    (lambda: qnn.QuantInput(mean=(0.5,)), "mean and std with one entry per channel each, or neither"),
    (lambda: qnn.QuantInput((0.5,), (0.0,)), "have to be positive"),
    (lambda: qnn.Quantize(QuantSpec(4)).input_type(), r"needs QuantSpec\(frac=\.\.\.\)"),
    (lambda: Alone(qnn.PReLU(3, slope=W(8)), S6).lower((2, 4)), "not calibrated"),
    (
        lambda: calibrated(qnn.PReLU(3, input=None, output=None), 3).lower((2, 4, 4)),
        "layer: PReLU has 3 slopes, its input 2 channels",
    ),
    (lambda: calibrated(qnn.ReLU(output=QuantSpec(4, k_hot=1)), 2).lower((2, 4, 4)), "layer.quant: activations cannot be 1-hot"),
    (lambda: qnn.Model()(torch.zeros(2)), "Model has no forward; define one, or wrap a network"),
    (lambda: calibrate(Unused(qnn.ReLU()), [torch.zeros(1, 2)]), "did not reach the quantizers spare.quant"),
]


def table_of(function: Callable[[Tensor], Tensor]) -> Tensor:
    return qnn.Lookup(function, QuantSpec.of(S6), QuantSpec(8, frac=4)).eval().table()


class Unused(Alone):
    """A model with a layer that it does not call."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__(layer)
        self.spare = qnn.ReLU()


def calibrated(layer: nn.Module, channels: int) -> Alone:
    model = Alone(layer)
    calibrate(model, [torch.from_numpy(random_codes(S6, (4, channels, 4, 4), 0))])
    return model.eval()


@pytest.mark.parametrize(("call", "text"), ERRORS, ids=[text[:40] for _, text in ERRORS])
def test_errors(call: Callable[[], object], text: str) -> None:
    with pytest.raises(QuantizationError, match=text):
        call()


BIASED: list[Callable[[bool | QuantSpec], Any]] = [
    lambda bias: qnn.Linear(4, 2, bias),
    lambda bias: qnn.Conv2d(4, 2, 1, bias=bias),
    lambda bias: qnn.ConvTranspose1d(4, 2, 1, bias=bias),
]


@pytest.mark.parametrize("make", BIASED)
def test_a_bias_is_there_or_not_or_has_a_format(make: Callable[[bool | QuantSpec], Any]) -> None:
    assert make(False).bias is None and make(False).bias_quant is None
    assert make(True).bias_quant.spec == W(8)
    assert make(W(3)).bias_quant.spec == W(3) and make(W(3)).bias.shape == (2,)
