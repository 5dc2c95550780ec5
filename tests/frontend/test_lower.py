"""Lowering: names, plain torch functions, every refusal with its line, and a network that nobody prepared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import qfx.nn as qnn
from qfx.conversion import calibrate
from qfx.engines.torch_engine import TorchEngine
from qfx.errors import GraphError, InputError, LoweringError, QuantizationError
from qfx.fixed import FixedType, IntArray
from qfx.frontend import lower
from qfx.ir import Graph
from qfx.quant import Quantizer, QuantSpec, set_enabled
from qfx.sim.engine import Simulator

W = QuantSpec.weights
S6 = FixedType(True, 6, 3)
U8 = FixedType(False, 8, 0)


class Given(qnn.Model):
    """A model whose forward after the input layer is a function."""

    def __init__(self, body: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.input = qnn.QuantInput(type=S6)
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.body(self, self.input(x))


def codes_for(shape: tuple[int, ...], type: FixedType, samples: int = 12) -> IntArray:
    return np.random.default_rng(0).integers(type.min_int, type.max_int + 1, (samples, *shape))


def assert_agree(model: nn.Module, shape: tuple[int, ...], type: FixedType = S6, input: str = "x") -> Graph:
    """Calibrate, lower, compare torch with the integer engine at every value."""
    codes = codes_for(shape, type)
    calibrate(model, [torch.from_numpy(codes)])
    model.eval()
    graph = lower(model, shape)
    live = TorchEngine(model, graph).run({input: codes})
    wanted = Simulator(graph).run({input: codes})
    assert live.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_array_equal(live[name], values, err_msg=name)
    return graph


class Nasty(qnn.Model):
    """Odd sizes, stride 2, depthwise, a non-square input, two shortcuts, padded pooling, a 3x3 average."""

    def __init__(self) -> None:
        super().__init__()
        self.input = qnn.QuantInput((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
        self.stem = qnn.Conv2d(3, 6, (3, 5), stride=2, padding=(1, 2), weight=W(5, per_channel=True))
        self.bn = qnn.BatchNorm2d(6, scale=W(8, k_hot=2))
        self.act = qnn.ReLU(output=QuantSpec.activations(4))
        self.pool = qnn.MaxPool2d(3, 2, 1)
        self.depthwise = qnn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False, weight=W(4), accumulator=QuantSpec(10))
        self.bn2 = qnn.BatchNorm2d(6)
        self.add = qnn.Add(QuantSpec(5, frac=5), None)
        self.prelu = qnn.PReLU(6, output=QuantSpec(4))
        self.point = qnn.Conv2d(6, 6, 1, weight=W(4, k_hot=1))
        self.narrow = qnn.Quantize(QuantSpec(5))
        self.average = qnn.AvgPool2d(3, 2, 1)
        self.dropout = nn.Dropout(0.5)
        self.head = qnn.Linear(6 * 4 * 3, 7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.act(self.bn(self.stem(self.input(x)))))
        y = self.prelu(self.add(self.bn2(self.depthwise(x)), x))
        z = self.narrow(self.point(y)) + y
        z = self.average(functional.relu(z))
        return self.head(self.dropout(z.view(z.size(0), -1)))


def test_a_network_that_nobody_prepared() -> None:
    torch.manual_seed(0)
    model = Nasty()
    codes = torch.from_numpy(codes_for((3, 29, 21), U8))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(10):
        optimizer.zero_grad()
        model(codes).square().mean().backward()
        optimizer.step()
    graph = assert_agree(model, (3, 29, 21), U8)
    names = ["input.norm", "input.quant", "stem", "bn", "act", "act.quant", "pool", "depthwise", "depthwise.acc", "bn2", "add.a"]
    names += ["add", "prelu.pre", "prelu", "prelu.quant", "point", "narrow.quant", "add_1", "relu", "average", "average.quant"]
    assert [node.name for node in graph.nodes] == [*names, "view", "head"]
    assert graph.values["add.a"].type.frac != graph.values["pool"].type.frac
    assert graph.node("bn").source.startswith("bn (BatchNorm2d) at ") and "test_lower.py:" in graph.node("bn").source


def test_batch_size_does_not_matter() -> None:
    torch.manual_seed(0)
    model = Nasty()
    codes = torch.from_numpy(codes_for((3, 29, 21), U8))
    calibrate(model, [codes])
    model.eval()
    assert torch.equal(torch.cat([model(codes[i : i + 1]) for i in range(len(codes))]), model(codes))


def in_place(m: Any, x: Tensor) -> Tensor:
    y = x.relu()
    y += x
    return y


FUNCTIONS: dict[str, tuple[Callable[[Any, Tensor], Any], list[str]]] = {
    "add": (lambda m, x: x + torch.relu(x), ["relu", "add"]),
    "torch.add": (lambda m, x: torch.add(x, x.relu()), ["relu", "add"]),
    "iadd": (in_place, ["relu", "add"]),
    "method add": (lambda m, x: x.relu().add_(x), ["relu", "add_"]),
    "flatten": (lambda m, x: torch.flatten(x.relu_(), 1), ["relu_", "flatten"]),
    "flatten some axes": (lambda m, x: x.flatten(2, 3).relu(), ["flatten", "relu"]),
    "view": (lambda m, x: x.view(x.size(0), -1), ["view"]),
    "view the whole size": (lambda m, x: x.relu().view(x.size()), ["relu", "view"]),
    "reshape by shape": (lambda m, x: x.reshape(x.shape[0], x.shape[1] * x.shape[2], -1), ["reshape"]),
    "torch.reshape": (lambda m, x: torch.reshape(x, (-1, 8, 4, 2)).contiguous(), ["reshape"]),
    "F.relu": (lambda m, x: functional.relu(x, inplace=True), ["relu"]),
    "F.max_pool2d": (lambda m, x: functional.max_pool2d(x, 3, stride=2, padding=1), ["max_pool2d"]),
    "torch.max_pool2d": (lambda m, x: torch.max_pool2d(x, (2, 1)), ["max_pool2d"]),
    "F.avg_pool2d": (lambda m, x: functional.avg_pool2d(x, 2, 1), ["avg_pool2d"]),
    "F.adaptive": (lambda m, x: functional.adaptive_avg_pool2d(x, 1), ["adaptive_avg_pool2d"]),
    "F.dropout": (lambda m, x: functional.dropout(x.relu(), 0.3, m.training), ["relu"]),
    "two outputs": (lambda m, x: (x.relu(), x.flatten(1)), ["relu", "flatten"]),
    "dead code": (lambda m, x: (torch.sigmoid(x), x.relu())[1], ["relu"]),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_plain_torch_functions(case: str) -> None:
    body, names = FUNCTIONS[case]
    assert [node.name for node in assert_agree(Given(body), (4, 4, 4)).nodes] == names


def test_plain_torch_modules() -> None:
    modules = (
        nn.Identity(),
        nn.ReLU(),
        nn.MaxPool2d(2, 1),
        nn.AvgPool2d(2, 1),
        nn.Dropout(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    model = nn.Sequential(qnn.QuantInput(type=S6), *modules)
    graph = assert_agree(model, (3, 6, 6), input="input")
    assert [node.name for node in graph.nodes] == ["2", "3", "4", "6", "7"]


def test_sums_that_need_float64_are_widened() -> None:
    """The operands fit float32, their sum on the finer grid does not."""
    wide, fine = QuantSpec(14, frac=0, learn=False), QuantSpec(14, frac=20, learn=False)
    model = Given(lambda m, x: (m.a(x) + m.b(x)).relu(), a=qnn.Quantize(wide), b=qnn.Quantize(fine))
    graph = assert_agree(model, (5,))
    assert {proof.name: proof.accumulator for proof in model.exactness((5,))}["add"] == "float64"
    assert graph.values["add"].type.width > 24


def test_a_layer_called_twice_gets_two_names() -> None:
    graph = assert_agree(Given(lambda m, x: m.act(m.fc(m.act(m.fc(x)))), fc=qnn.Linear(6, 6), act=qnn.ReLU()), (6,))
    assert [node.name for node in graph.nodes] == ["fc", "act", "act.quant", "fc_1", "act_1", "act_1.quant"]


def test_a_function_never_takes_a_layers_name() -> None:
    graph = assert_agree(Given(lambda m, x: m.block.add(x + x), block=nn.ModuleDict({"add": qnn.ReLU(output=None)})), (6,))
    assert [node.name for node in graph.nodes] == ["add", "block.add"]
    graph = assert_agree(Given(lambda m, x: m.add(x + x), add=qnn.ReLU(output=None)), (6,))
    assert [node.name for node in graph.nodes] == ["add_1", "add"]


def branching(m: Any, x: Tensor) -> Tensor:
    return x if x.sum() > 0 else x.relu()


def too_many(m: Any, x: Any) -> Any:
    return x.relu(3, 4, 5)


REFUSED: list[tuple[Callable[[Any, Tensor], Any], dict[str, nn.Module], str]] = [
    (
        lambda m, x: torch.sigmoid(x),
        {},
        r"sigmoid \(sigmoid\) at .*test_lower.py:\d+: it has no fixed-point form; use qfx.nn.Sigmoid",
    ),
    (lambda m, x: functional.conv2d(x, x), {}, "has no fixed-point form; use qfx.nn.Conv2d"),
    (lambda m, x: x.tanh(), {}, r"tanh \(tanh\) at .*: it has no fixed-point form"),
    (lambda m, x: x * 0.7, {}, "the scalar constant 0.7 is no multiple of 2"),
    (lambda m, x: torch.add(x, x, alpha=2), {}, "alpha=2 is not supported"),
    (
        lambda m, x: m.conv(x),
        {"conv": nn.Conv2d(4, 4, 1)},
        r"conv \(Conv2d\) at .*: it computes in floating point; use qfx.nn.Conv2d",
    ),
    (lambda m, x: m.act(x), {"act": nn.GELU()}, r"act \(GELU\) at .*: it computes in floating point; use qfx.nn.GELU"),
    (
        lambda m, x: m.q(x),
        {"q": Quantizer(QuantSpec(4))},
        r"q \(Quantizer\) at .*: a bare quantizer is no layer; use qfx.nn.Quantize",
    ),
    (lambda m, x: m.bn(x), {"bn": nn.BatchNorm2d(4)}, "use qfx.nn.BatchNorm2d"),
    (lambda m, x: m.fc(bias=x), {"fc": qnn.ReLU()}, "a layer takes tensors by position"),
    (lambda m, x: m.fc.weight + x, {"fc": qnn.Linear(4, 4)}, "the tensor fc.weight, read directly,"),
    (branching, {}, r"cannot be traced at .*test_lower.py:\d+: .* must not depend on the data"),
    (lambda m, x: [y for y in x], {}, "Given cannot be traced at"),  # noqa: C416
    (lambda m, x: torch.flatten(x), {}, "flatten from axis 0 mixes the samples"),
    (lambda m, x: x.view(-1), {}, "does not keep the batch axis"),
    (lambda m, x: x.view(4, -1), {}, "does not keep the batch axis"),
    (lambda m, x: x.view(x.size(0), 5), {}, "does not keep the batch axis"),
    (lambda m, x: x.view(-1, x.size(0)), {}, "is not constant; give numbers after the batch axis"),
    (
        lambda m, x: functional.max_pool2d(x, 2, return_indices=True)[0],
        {},
        "max_pool2d_with_indices .* leave return_indices out",
    ),
    (lambda m, x: functional.avg_pool2d(x, 3), {}, "dividing by 9 is not exact; use qfx.nn.AvgPool2d"),
    (
        lambda m, x: functional.avg_pool2d(x, 2, divisor_override=3),
        {},
        "avg_pool2d with divisor_override has no",
    ),
    (lambda m, x: functional.adaptive_avg_pool2d(x, 3), {}, r"adaptive pooling of \(4, 4\) to \(3, 3\) has windows of different"),
    (lambda m, x: functional.dropout(x), {}, "pass training=self.training"),
    (too_many, {}, "arguments that have no fixed-point form"),
    (lambda m, x: {"y": x}, {}, "has to return a computed tensor"),
    (lambda m, x: x, {}, "has to return a computed tensor"),
]


@pytest.mark.parametrize(("body", "layers", "text"), REFUSED, ids=[text[:45] for _, _, text in REFUSED])
def test_refusals(body: Callable[[Any, Tensor], Any], layers: dict[str, nn.Module], text: str) -> None:
    with pytest.raises(LoweringError, match=text):
        lower(Given(body, **layers), (4, 4, 4))


def test_inputs_need_a_format() -> None:
    with pytest.raises(
        LoweringError, match=r"input 'x' goes to fc \(Linear\) at .*, which gives it no format; let qfx.nn.QuantInput"
    ):
        lower(Raw(), (4,))
    with pytest.raises(LoweringError, match="input 'x' is read in 2 formats"):
        lower(Raw(qnn.QuantInput(type=S6), qnn.QuantInput(type=U8)), (4,))
    with pytest.raises(LoweringError, match="reads 1 inputs, but 2 input shapes"):
        lower(Raw(qnn.QuantInput(), qnn.QuantInput()), ((4,), (4,)))
    with pytest.raises(LoweringError, match="'my net' is no C identifier"):
        lower(Raw(), (4,), "my net")


class Raw(nn.Module):
    """Two layers that read the input."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.fc = layers[0] if layers else qnn.Linear(4, 4)
        self.other = layers[-1] if layers else self.fc

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) + self.other(x)


def test_shapes_that_do_not_fit_name_the_layer_and_line() -> None:
    model = Given(lambda m, x: m.fc(x), fc=qnn.Linear(5, 2))
    calibrate(model, [torch.zeros(2, 5)])
    with pytest.raises(GraphError, match=r"node 'fc' \(linear\) from fc \(Linear\) at .*test_lower.py:\d+: linear wants x"):
        lower(model, (4,))


def test_uncalibrated_and_float_models() -> None:
    model = Given(lambda m, x: m.fc(x), fc=qnn.Linear(4, 2))
    with pytest.raises(QuantizationError, match=r"the quantizer 'fc.weight_quant' \(8 bits\) is not calibrated"):
        lower(model, (4,))
    set_enabled(model, False)
    with pytest.raises(QuantizationError, match=r"'fc\.weight_quant' .* is switched off"):
        lower(model, (4,))


def test_lowering_leaves_the_model_as_it_was() -> None:
    model = Nasty()
    calibrate(model, [torch.from_numpy(codes_for((3, 29, 21), U8))])
    model.train()
    model.dropout.eval()
    model.lower((3, 29, 21))
    assert model.training and model.stem.training and not model.dropout.training


def test_several_inputs() -> None:
    model = Pair()
    a, b = codes_for((3,), S6), codes_for((3,), U8)
    graph = lower(model.eval(), ((3,), (3,)))
    live, wanted = TorchEngine(model, graph).run({"a": a, "b": b}), Simulator(graph).run({"a": a, "b": b})
    np.testing.assert_array_equal(live["add"], wanted["add"])


class Pair(qnn.Model):
    """The sum of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = qnn.QuantInput(type=S6), qnn.QuantInput(type=U8)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.left(a) + self.right(b)


def test_the_engine_knows_a_foreign_graph() -> None:
    graph = assert_agree(Given(lambda m, x: m.act(x), act=qnn.ReLU()), (4,))
    other = Given(lambda m, x: m.relu(x), relu=qnn.ReLU())
    calibrate(other, [torch.zeros(2, 4)])
    with pytest.raises(InputError, match=r"the torch model has no value 'act.*lowered from another model"):
        TorchEngine(other, graph).run({"x": codes_for((4,), S6)})


def test_the_engine_judges_the_live_model() -> None:
    """A weight changed after lowering shows in the engine's values; a value off the grid is reported as it is."""
    model = Given(lambda m, x: m.fc(x), fc=qnn.Linear(4, 2))
    graph = assert_agree(model, (4,))
    codes = codes_for((4,), S6)
    before = TorchEngine(model, graph).run({"x": codes})["fc"]
    with torch.no_grad():
        model.get_parameter("fc.weight")[0, 0] += 0.25
    assert not np.array_equal(TorchEngine(model, graph).run({"x": codes})["fc"], before)
    set_enabled(model.get_submodule("fc.bias_quant"), True)
    assert TorchEngine(model, graph, "cpu").run({"x": codes})["fc"].dtype == np.float64
