"""What the single calls become: modules and functions, used once or twice, several inputs; and what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import qfx
from qfx import nn as qnn
from qfx.conversion import Converted
from qfx.errors import ConversionError, ExactnessError, InputError, LoweringError
from qfx.fixed import FixedType
from qfx.quant import QuantSpec
from tests.conversion.nets import FAMILIES, check_exact, floats, images, reals, uneven

SHAPE = (4, 8, 8)


class Net(nn.Module):
    """A convolution, `line` on its result, with `module` at hand."""

    def __init__(self, line: Callable[[nn.Module, Tensor], Any], module: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.module = nn.Identity() if module is None else module  # a name that qfx.nn.Model uses itself
        self.line = line

    def forward(self, x: Tensor) -> Any:
        return self.line(self.module, self.conv(x))


def converted(line: Callable[[Any, Tensor], Any], module: nn.Module | None = None, config: Any = None) -> Converted:
    """The converted network, checked: exact in eval, the float function without quantizers."""
    x, model = reals(*SHAPE), uneven(Net(line, module))
    with torch.no_grad():
        wanted = model(x)
    result = qfx.convert(model, x, config)
    check_exact(result, x)
    torch.testing.assert_close(floats(result, x), wanted, rtol=0.1, atol=0.5)  # the input is on a grid of 8 bits
    return result


def kinds(model: Converted, shape: tuple[int, ...] = SHAPE) -> list[str]:
    """Ops behind the casts of the input and the convolution."""
    graph = model.lower(shape)
    return [node.op.kind for node in graph.nodes][2:]


MODULES = {
    "relu": (nn.ReLU(inplace=True), ["relu", "requantize"]),
    "relu6": (nn.ReLU6(), ["clamp", "requantize"]),
    "hardtanh": (nn.Hardtanh(-0.5, 2.0), ["clamp", "requantize"]),
    "prelu": (nn.PReLU(4), ["requantize", "prelu", "requantize"]),
    "leaky relu": (nn.LeakyReLU(0.2), ["requantize", "prelu", "requantize"]),
    "batch norm": (nn.BatchNorm2d(4), ["affine"]),
    "batch norm, not learned": (nn.BatchNorm2d(4, affine=False), ["affine"]),
    "two batch norms": (nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4)), ["affine", "requantize", "affine"]),
    "sigmoid": (nn.Sigmoid(), ["requantize", "lookup"]),
    "hardswish": (nn.Hardswish(), ["requantize", "lookup"]),
    "gelu": (nn.GELU("tanh"), ["requantize", "lookup"]),
    "elu": (nn.ELU(0.5), ["requantize", "lookup"]),
    "softplus": (nn.Softplus(2.0), ["requantize", "lookup"]),
    "max pool": (nn.MaxPool2d(2, ceil_mode=True), ["max_pool2d"]),
    "average pool": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), ["avg_pool2d", "requantize"]),
    "adaptive pool": (nn.AdaptiveAvgPool2d((None, 4)), ["avg_pool2d", "requantize"]),
    "transposed": (nn.ConvTranspose2d(4, 2, 3, 2, 1, 1), ["requantize", "upsample", "conv2d"]),
    "grouped": (nn.Conv2d(4, 8, 3, groups=4, padding="same"), ["requantize", "conv2d"]),
    "nested": (nn.Sequential(nn.Sequential(nn.ReLU(), nn.Identity()), nn.Dropout2d()), ["relu", "requantize"]),
    "flat": (nn.Sequential(nn.Flatten(), nn.Linear(256, 3), nn.Softmax(1)), ["reshape", "requantize", "linear"]),
    "upsampled": (nn.Upsample(scale_factor=2), ["upsample"]),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str) -> None:
    module, ops = MODULES[name]
    if name == "flat":
        x = reals(*SHAPE)
        assert kinds(qfx.convert(Net(lambda m, x: m(x), module), x)) == ops
    else:
        assert kinds(converted(lambda m, x: m(x), module)) == ops


FUNCTIONS: dict[str, tuple[Callable[[Any, Tensor], Any], list[str]]] = {
    "F.relu": (lambda m, x: F.relu(x, inplace=True), ["relu", "requantize"]),
    "relu method": (lambda m, x: x.relu_(), ["relu", "requantize"]),
    "F.relu6": (lambda m, x: F.relu6(x), ["clamp", "requantize"]),
    "clamp": (lambda m, x: torch.clamp(x, -1, 1.5), ["clamp", "requantize"]),
    "clamp from below": (lambda m, x: x.clamp_min(0.25), ["clamp", "requantize"]),
    "clamp at zero": (lambda m, x: x.clamp(min=0), ["relu", "requantize"]),
    "leaky": (lambda m, x: F.leaky_relu(x, 0.125), ["requantize", "prelu", "requantize"]),
    "sigmoid": (lambda m, x: x.sigmoid(), ["requantize", "lookup"]),
    "silu": (lambda m, x: F.silu(x, inplace=True), ["requantize", "lookup"]),
    "elu": (lambda m, x: F.elu(x, alpha=0.5), ["requantize", "lookup"]),
    "sum": (lambda m, x: x + x.relu(), ["relu", "requantize", "requantize", "add"]),
    "sum in place": (lambda m, x: x.relu().add_(x), ["relu", "requantize", "requantize", "add"]),
    "difference": (lambda m, x: torch.sub(x.relu(), x), ["relu", "requantize", "requantize", "add"]),
    "product": (lambda m, x: x * x.relu(), ["relu", "requantize", "requantize", "multiply"]),
    "gate": (lambda m, x: x.relu() * x.mean((2, 3), keepdim=True).sigmoid(), []),
    "numbers": (lambda m, x: 0.5 * x + 1, ["shift", "affine"]),
    "halves feed weights as they are": (
        lambda m, x: m(x.relu() / 2),
        ["relu", "requantize", "shift", "conv2d"],
    ),
    "thirds do not": (
        lambda m, x: m(x.relu() * 3 + 1),
        ["relu", "requantize", "affine", "affine", "requantize", "conv2d"],
    ),
    "negative": (lambda m, x: -x.relu(), ["relu", "requantize", "affine"]),
    "concatenation": (lambda m, x: torch.cat([x.relu(), F.relu6(x)], 1), ["relu", "requantize", "clamp", "requantize", "concat"]),
    "mean": (lambda m, x: x.mean((2, 3)), ["avg_pool2d", "requantize", "reshape", "reshape"]),
    "mean, kept": (lambda m, x: torch.mean(x, dim=[-2, -1], keepdim=True), ["avg_pool2d", "requantize"]),
    "mean of rows": (lambda m, x: x.mean(2), ["avg_pool2d", "requantize", "reshape"]),
    "pools": (
        lambda m, x: F.avg_pool2d(F.max_pool2d(x, 2), 3, 1, 1),
        ["max_pool2d", "avg_pool2d", "requantize"],
    ),
    "adaptive": (lambda m, x: F.adaptive_avg_pool2d(x, 1).flatten(1), ["avg_pool2d", "requantize", "reshape"]),
    "dropped": (lambda m, x: F.dropout(x.relu(), 0.5, m.training), ["relu", "requantize"]),
    "shapes": (lambda m, x: x.view(x.size(0), -1).unsqueeze(1).squeeze(1), ["reshape", "reshape", "reshape"]),
    "parts": (lambda m, x: x.chunk(2, 1)[1].relu(), ["slice", "relu", "requantize"]),
    "one-dimensional": (lambda m, x: F.avg_pool1d(x.flatten(2), 4).mean(2), []),
    "several results": (lambda m, x: (x.relu(), x), ["relu", "requantize"]),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    line, ops = FUNCTIONS[name]
    model = converted(line, nn.Conv2d(4, 2, 1) if name.endswith(("as they are", "do not")) else None)
    found = kinds(model)
    assert found == ops or not ops


SAME: list[tuple[Callable[[Any, Tensor], Any], nn.Module]] = [
    (lambda m, x: F.dropout(x, 0.5, False), nn.Dropout()),
    (lambda m, x: x.contiguous(), nn.Identity()),
    (lambda m, x: torch.unflatten(x, 1, (2, 2)).flatten(1, 2), nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Flatten(1, 2))),
]


@pytest.mark.parametrize(("line", "module"), SAME)
def test_functions_convert_as_their_modules_do(line: Callable[[Any, Tensor], Any], module: nn.Module) -> None:
    """A sum reads the cast of what reaches weights with the same values, in another shape or not."""
    weighted = nn.Conv2d(4, 4, 1)
    by_function = converted(lambda m, x: m(line(m, x)) + x, weighted)
    by_module = converted(lambda m, x: m[1](m[0](x)) + x, nn.Sequential(module, weighted))
    assert kinds(by_function) == kinds(by_module)


class Twice(nn.Module):
    """A convolution with one normalisation and one activation, called twice."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.bn, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), act

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(x)))
        return self.act(self.bn(self.conv(x)))


@pytest.mark.parametrize("act", [nn.ReLU(), nn.PReLU()])
def test_modules_used_twice(act: nn.Module) -> None:
    """Weights are shared, with their format; each call of an activation has a format of its own."""
    x = reals(*SHAPE)
    model = qfx.convert(uneven(Twice(act)), x)
    check_exact(model, x)
    graph = model.lower(SHAPE)
    assert [name for name in graph.values if name.endswith(("weight", ".scale"))].count("conv.weight") == 1
    assert {"conv", "conv_1", "bn", "bn_1", "act.quant", "act_1.quant"} <= set(graph.values)
    if isinstance(act, nn.PReLU):
        assert model.get_parameter("act.weight") is model.get_parameter("act_1.weight")
        assert model.get_submodule("act.slope_quant") is model.get_submodule("act_1.slope_quant")


class Signals(nn.Module):
    """Two inputs and two outputs, in one dimension."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Conv1d(2, 4, 3, padding=1), nn.Conv1d(3, 4, 5, padding=2, stride=1)
        self.norm, self.pool = nn.BatchNorm1d(4), nn.AvgPool1d(2)
        self.up = nn.ConvTranspose1d(4, 2, 2, stride=2)
        self.fc = nn.Linear(4, 3)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.norm(self.left(a)) + self.right(b))
        return self.fc(self.pool(x).mean(2)), self.up(x)


def test_tables_can_be_saved() -> None:
    x = reals(*SHAPE)
    model = converted(lambda m, x: F.elu(m(x), 0.5), nn.Softplus(2.0))
    saved = io.BytesIO()
    torch.save(model, saved)
    saved.seek(0)
    restored: Any = torch.load(saved, weights_only=False)  # our own bytes
    with torch.no_grad():
        assert torch.equal(restored(x), model(x))


def test_several_inputs_and_outputs() -> None:
    a, b = reals(2, 8), torch.randint(-128, 128, (8, 3, 8), generator=torch.Generator().manual_seed(0))
    config = qfx.ConvertConfig(inputs={"b": qfx.InputFormat(type=FixedType(True, 8, 5))})
    model = qfx.convert(uneven(Signals()), (a, b), config)
    graph = model.lower([(2, 8), (3, 8)])
    assert graph.inputs == ["a", "b"] and graph.outputs == ["fc", "up"]
    assert graph.values["b"].type == FixedType(True, 8, 5)
    check_exact(model, a, b)


class Ends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input, self.mid, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mid(self.input(x).relu()).relu())


def test_a_layer_of_the_model_may_be_called_input() -> None:
    model = qfx.convert(Ends(), reals(3, 6, 6), qfx.ConvertConfig.bits(4))
    widths = {name: value.type.width for name, value in model.lower((3, 6, 6)).values.items()}
    assert {"input", "input_1"} <= set(dict(model.named_children()))
    assert (widths["input.weight"], widths["mid.weight"], widths["head.weight"]) == (8, 4, 8)


def test_a_single_layer_is_a_model() -> None:
    x = reals(4)
    model = qfx.convert(nn.Linear(4, 2), x)
    check_exact(model, x)


def test_a_wrapper_for_several_devices_is_taken_off() -> None:
    model = qfx.convert(nn.DataParallel(nn.Sequential(nn.Linear(4, 2))), reals(4))
    assert set(dict(model.named_children())) == {"input", "0"}


def test_a_model_that_cannot_be_copied() -> None:
    model = nn.Linear(4, 2)
    model.register_buffer("scaled", model.weight * 2, persistent=False)
    with pytest.raises(ConversionError, match=r"Linear cannot be copied: Only Tensors created explicitly .*weight_norm keeps them"):
        qfx.convert(model, reals(4))


def test_layers_of_qfx_stay() -> None:
    x = images((3, 6, 6))
    own = nn.Sequential(
        qnn.QuantInput((0.5,) * 3, (0.25,) * 3), nn.Conv2d(3, 4, 3), qnn.ReLU(output=QuantSpec(3, False)), nn.Flatten()
    )
    model = qfx.convert(own, x, qfx.ConvertConfig(input=qfx.InputFormat(type=FixedType(False, 8, 0))))
    graph = model.lower((3, 6, 6))
    assert graph.values["2.quant"].type.width == 3 and [n.name for n in graph.nodes][:2] == ["0.norm", "0.quant"]
    check_exact(model, x)


class OwnNorm(qnn.BatchNorm2d):
    """A user's class; what it is does not lie in its name."""


@pytest.mark.parametrize("norm", [qnn.BatchNorm2d, OwnNorm])
def test_a_layer_of_qfx_is_known_by_its_base(norm: type[qnn.BatchNorm2d]) -> None:
    """An affine of an accumulator is cast before another normalisation reads it."""
    model = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), norm(4), nn.BatchNorm2d(4))
    assert kinds(qfx.convert(model, reals(*SHAPE))) == ["affine", "requantize", "affine"]


class Unsupported(nn.Module):
    """Several things at once that have no fixed-point form."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")
        self.norm = nn.GroupNorm(2, 8)
        self.weight = nn.Parameter(torch.ones(8, 1, 1))
        self.hooked = nn.Conv2d(8, 8, 1)
        self.hooked.register_forward_hook(lambda module, args, output: None)
        self.parametrized = parametrizations.weight_norm(nn.Conv2d(8, 8, 1))
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.pool = nn.AdaptiveAvgPool2d(5)
        self.fc = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)) * self.weight
        x = self.up(self.parametrized(self.hooked(x)))
        x = self.pool(x) + x.amax((2, 3), keepdim=True)
        return self.fc(torch.matmul(x, torch.cumsum(x, 1)).mean(1) / 3)


def test_everything_that_cannot_be_converted_is_named() -> None:
    x = reals(3, 6, 6)
    model = Unsupported()
    model.fc = nn.Linear(5, 4)
    with pytest.raises(ConversionError) as raised:
        qfx.convert(model, x)
    text = str(raised.value)
    assert text.startswith("Unsupported cannot be converted; 14 parts have no fixed-point form:\n")
    for part in (
        "conv (Conv2d) at ",
        "Conv2d: padding_mode='reflect' is not supported; use 'zeros'",
        "norm (GroupNorm) at ",
        "its statistics depend on the input; use qfx.nn.BatchNorm2d",
        "mul (mul) at ",
        "it reads weight directly, a tensor without a format; use a layer that owns it, as nn.Linear does",
        "it has hooks, which the converted layer would not run; remove them first",
        "call torch.nn.utils.parametrize.remove_parametrizations(module, 'weight') first",
        "interpolation with mode='bilinear' is not supported; use mode='nearest', or qfx.nn.ConvTranspose2d",
        "adaptive pooling of (12, 12) to (5, 5) has windows of different sizes; use a size that divides",
        "amax (amax) at ",
        "torch.argmax(x, dim=1) gives the best on the chip",
        "add (add) at ",
        "shapes [8, 5, 5] and [8, 1, 1] differ; broadcasting is not supported",
        "only products with weights are supported; use qfx.nn.Linear",
        "cumsum (cumsum) at ",
        "a mean over axes 1 mixes samples or channels; only pixels can be averaged, as in x.mean((2, 3))",
        "dividing by 3 is not exact",
        "its input has 3 axes, and qfx.nn.Linear wants (batch, feature); flatten before it, or use nn.Conv1d",
        f"{__file__}:",
    ):
        assert part in text, f"{part}\n\n{text}"


REFUSED: list[tuple[Callable[[Any, Tensor], Any], nn.Module | None, str]] = [
    (lambda m, x: m(x.flatten(2))[0], nn.LSTM(64, 4), "a network keeps no state between steps"),
    (lambda m, x: F.dropout(x, 0.5, True), None, "dropout with training=True drops values in eval, too"),
    (lambda m, x: x.clamp(0, 0.1), None, "the bound 0.1 is on no grid 2**-24 or coarser"),
    (lambda m, x: m(x), nn.BatchNorm2d(4, track_running_stats=False), "leave track_running_stats on"),
    (lambda m, x: m(x), nn.AvgPool2d(2, divisor_override=3), "AvgPool2d: divisor_override is not supported; leave it out"),
    (lambda m, x: x.softmax(1).relu(), None, "it is softmax, post-processing on the CPU, which can only end a network"),
    (lambda m, x: {"out": x.relu()}, None, "the model has to return a computed tensor, or a tuple of computed tensors"),
    (lambda m, x: torch.add(x, x, alpha=2), None, "alpha=2 is not supported; use a product"),
    (lambda m, x: 2 / x, None, "a computed divisor has no exact form; use qfx.nn.Lookup for 1 / x, and multiply"),
    (lambda m, x: x / x.relu(), None, "a computed divisor has no exact form; use qfx.nn.Lookup for 1 / x, and multiply"),
    (lambda m, x: m(input=x), nn.ReLU(), "a layer takes tensors by position, nothing else"),
    (lambda m, x: x.view(8, -1, 2, 8, 8)[:, 0, 0], nn.ReLU(), "does not keep the batch axis"),
]


@pytest.mark.parametrize(("line", "module", "message"), REFUSED)
def test_refused(line: Callable[[Any, Tensor], Any], module: nn.Module | None, message: str) -> None:
    with pytest.raises(ConversionError) as raised:
        qfx.convert(Net(line, module), reals(*SHAPE))
    assert message in str(raised.value) and "cannot be converted; 1 part has no fixed-point form:\n" in str(raised.value)


class Changed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y = x
        y += 1.0
        return F.relu(x) + x.clamp(-1, 1)


def test_a_tensor_changed_under_another_name() -> None:
    """torch.fx sees a sum of its own in `y += 1`, torch changes x as well."""
    with pytest.raises(
        ConversionError, match=r"differs from the float model's by .*; a tensor that is changed in place and read again"
    ):
        qfx.convert(Changed(), reals(*SHAPE))


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("model", "config", "sample", "message"),
    [
        (
            nn.Flatten(),
            None,
            images((3, 4, 4)),
            "holds integers (torch.uint8), and nothing says what they mean; give InputFormat(mean=",
        ),
        (
            nn.Flatten(),
            None,
            (reals(2), reals(2)),
            "the sample has 2 tensors, but the model reads 1: input; one (batch",
        ),
        (nn.Linear(3, 2), None, reals(4), "the float model fails on the sample of [4, 4]: "),
        (nn.Flatten(), None, torch.zeros(3), "the sample of input 'input' has shape [3]; (batch, ...) is wanted"),
        (
            nn.Flatten(),
            qfx.ConvertConfig(input=qfx.InputFormat((0.5,), (0.5,))),
            images((3, 4, 4)),
            "input 'input' has 3 channels, but mean and std have 1 entries",
        ),
        (
            nn.Flatten(),
            qfx.ConvertConfig(inputs={"y": qfx.InputFormat()}),
            reals(4),
            "[inputs] names 'y', but the model reads input",
        ),
    ],
)
def test_samples_that_do_not_fit(model: nn.Module, config: Any, sample: Any, message: str) -> None:
    with pytest.raises((ConversionError, InputError)) as raised:
        qfx.convert(model, sample, config)
    assert message in str(raised.value)


@pytest.mark.parametrize("given", [qfx.InputFormat((0.5,) * 3, (0.25,) * 3), qfx.InputFormat(type=FixedType(False, 8, 8))])
def test_a_sample_that_is_normalised_already(given: qfx.InputFormat) -> None:
    with pytest.raises(InputError, match=r"the model wants raw integers of .* \(normalisation is part of the model\)"):
        qfx.convert(nn.Flatten(), reals(3, 4, 4), qfx.ConvertConfig(input=given))


def test_widths_beyond_every_float() -> None:
    with pytest.raises(ExactnessError, match=r"torch cannot compute '0'.* float64 holds 53"):
        qfx.convert(nn.Sequential(nn.Linear(4, 2)), reals(4), qfx.ConvertConfig(first_last=50))


def test_control_flow_on_data() -> None:
    with pytest.raises(LoweringError, match=r"Branching cannot be traced at .*control flow, loops and shapes"):
        qfx.convert(Branching(), reals(4))


def test_kinds_of_inputs() -> None:
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), images((3, 2, 2))
    for given, sample, format in (
        (qfx.InputFormat((0.5,) * 3, (0.25,) * 3, width=6), x, FixedType(False, 8, 0)),
        (qfx.InputFormat(type=FixedType(False, 8, 8)), x, FixedType(False, 8, 8)),
        (qfx.InputFormat(type=FixedType(True, 6, 4), real=True), reals(3, 2, 2), FixedType(True, 6, 4)),
        (qfx.InputFormat(width=5), reals(3, 2, 2).abs() + 1, FixedType(False, 5, 3)),
        (qfx.InputFormat(width=5), reals(3, 2, 2), FixedType(True, 5, 2)),
    ):
        graph = qfx.convert(model, sample, qfx.ConvertConfig(input=given)).lower((3, 2, 2))
        assert graph.values[graph.inputs[0]].type == format
        if given.mean is not None:
            assert graph.values["input.quant"].type.width == 6


def test_all_families_are_here() -> None:
    assert set(FAMILIES) == {"resnet", "mobilenet_v1", "mobilenet_v2", "vgg", "mlp"}
