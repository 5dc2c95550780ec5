"""Torch functions beyond the single lines of the layer table: whole blocks, several inputs and outputs, and every refusal."""

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
from qfx.engines.onnx_engine import OnnxEngine
from qfx.engines.torch_engine import TorchEngine
from qfx.errors import GraphError, LoweringError
from qfx.export.onnx import onnx_model
from qfx.fixed import FixedType
from qfx.frontend import lower
from qfx.ir import Graph
from qfx.ops.sampling import corner_codes, random_codes
from qfx.quant import QuantSpec
from qfx.sim.engine import Simulator

S6 = FixedType(True, 6, 3)
U4 = FixedType(False, 4, -1)
Shape = tuple[int, ...]


class Given(qnn.Model):
    """A model whose forward after the input layer is a function."""

    def __init__(self, body: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.body, self.input = body, qnn.QuantInput(type=S6)
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.body(self, self.input(x))


def assert_agree(model: nn.Module, *inputs: tuple[str, FixedType, Shape]) -> Graph:
    """Train a step, calibrate, lower; torch, simulator and ONNX Runtime agree at every value."""
    codes = {
        name: np.concatenate([random_codes(type, (12, *shape), seed), corner_codes(type, shape)])
        for seed, (name, type, shape) in enumerate(inputs)
    }
    fed = [torch.from_numpy(array) for array in codes.values()]
    model(*fed)
    if len(fed) == 1:
        calibrate(model, fed)
    graph = lower(model.eval(), [shape for _, _, shape in inputs])
    wanted = Simulator(graph).run(codes)
    for engine in (TorchEngine(model, graph), OnnxEngine(graph, onnx_model(graph), threads=1)):
        found = engine.run(codes)
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values, err_msg=f"{engine.name} {name}")
    return graph


class SqueezeExcite(nn.Module):
    """Gates channels by their averages."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = qnn.AdaptiveAvgPool2d(1)
        self.down, self.up = qnn.Conv2d(channels, 3, 1), qnn.Conv2d(3, channels, 1)
        self.act, self.gate = qnn.ReLU(), qnn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(self.up(self.act(self.down(self.pool(x))))) * x


class Mobile(qnn.Model):
    """An inverted residual with squeeze-and-excite, and a head on the mean of the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.input = qnn.QuantInput(type=S6)
        self.expand = nn.Sequential(qnn.Conv2d(4, 12, 1, bias=False), qnn.BatchNorm2d(12), qnn.Hardswish())
        self.depthwise = nn.Sequential(qnn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False), qnn.BatchNorm2d(12), qnn.ReLU6())
        self.excite = SqueezeExcite(12)
        self.narrow = qnn.Quantize(QuantSpec(8))
        self.project = nn.Sequential(qnn.Conv2d(12, 4, 1, bias=False), qnn.BatchNorm2d(4), qnn.Quantize(QuantSpec(8)))
        self.head = qnn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.input(x)
        y = x + self.project(self.narrow(self.excite(self.depthwise(self.expand(x)))))
        return self.head(y.mean((2, 3))).argmax(dim=1)


class Unet(qnn.Model):
    """Down, up, and the skipped value beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.input = qnn.QuantInput(type=S6)
        self.first, self.second = qnn.Conv2d(2, 4, 3, padding=1), qnn.Conv2d(4, 6, 3, padding="same")
        self.up, self.last = qnn.ConvTranspose2d(6, 4, 2, 2), qnn.Conv2d(8, 3, 1)
        self.act, self.pool = qnn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(self.input(x)))
        y = self.up(self.act(self.second(self.pool(x))))[:, :, : x.size(2), : x.shape[3]]
        return self.last(torch.cat((x, self.act(y)), 1))


class Shuffle(qnn.Model):
    """Half of the channels go through a branch, then all are shuffled, as ShuffleNet does by view and transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.input = qnn.QuantInput(type=S6)
        self.branch = nn.Sequential(qnn.Conv2d(3, 3, 3, padding=1, groups=3), qnn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.input(x).chunk(2, dim=1)
        y = torch.cat([a, self.branch(b)], dim=1)
        batch, channels, height, width = y.size()
        y = y.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        return y.view(batch, -1, height, width)


class Sound(qnn.Model):
    """One dimension from end to end, with a convolution that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.input = qnn.QuantInput(type=S6)
        self.conv, self.bn, self.act = qnn.Conv1d(4, 4, 3, padding=1), qnn.BatchNorm1d(4), qnn.ReLU6()
        self.pool, self.average, self.head = nn.MaxPool1d(2), qnn.AdaptiveAvgPool1d(1), qnn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(self.input(x))))
        x = self.act(self.bn(self.conv(self.pool(x))))
        return self.head(self.average(x).squeeze(-1))


NETWORKS: dict[str, tuple[Callable[[], qnn.Model], Shape]] = {
    "mobile": (Mobile, (4, 8, 4)),
    "unet": (Unet, (2, 7, 9)),
    "shuffle": (Shuffle, (6, 5, 4)),
    "sound": (Sound, (4, 21)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_blocks_that_people_build(name: str) -> None:
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    assert_agree(make(), ("x", S6, shape))


def test_a_block_used_twice_has_two_sets_of_values() -> None:
    torch.manual_seed(0)
    block = nn.Sequential(qnn.Linear(6, 6), qnn.ReLU())
    graph = assert_agree(Given(lambda m, x: m.block(m.block(x)), block=block), ("x", S6, (6,)))
    assert [node.name for node in graph.nodes] == [
        "block.0",
        "block.1",
        "block.1.quant",
        "block.0_1",
        "block.1_1",
        "block.1_1.quant",
    ]
    np.testing.assert_array_equal(graph.values["block.0.weight"].codes, graph.values["block.0_1.weight"].codes)


class Pair(qnn.Model):
    """Two inputs of different formats and three outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = qnn.QuantInput(type=S6), qnn.QuantInput(type=U4)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        left, right = self.left(a), self.right(b)
        return left + right, torch.cat([left, right, left], 1), left * right


def test_several_inputs_and_outputs() -> None:
    graph = assert_agree(Pair(), ("a", S6, (4, 3, 3)), ("b", U4, (4, 3, 3)))
    assert graph.inputs == ["a", "b"] and graph.outputs == ["add", "cat", "mul"]


def test_operands_of_different_accumulators_meet() -> None:
    wide, narrow = QuantSpec(26, frac=12, learn=False), QuantSpec(5, frac=1, learn=False)
    layers = {"wide": qnn.Quantize(wide), "narrow": qnn.Quantize(narrow)}
    graph = assert_agree(Given(lambda m, x: torch.cat([m.wide(x), m.narrow(x)], 1), **layers), ("x", S6, (3, 2, 2)))
    assert graph.values["cat"].type.width == 26
    graph = assert_agree(Given(lambda m, x: m.wide(x) * m.narrow(x), **layers), ("x", S6, (3, 2, 2)))
    assert graph.values["mul"].type.width > 24


def unpacked(m: Any, x: Any) -> Tensor:
    a, _, c = x.split(3, dim=1)
    return a * c[:, :, :1, :1]


def split_by_keyword(m: Any, x: Any) -> Tensor:
    return x.split(split_size=2, dim=-1)[0]


def split_by_nothing(m: Any, x: Any) -> Any:
    return x.split(2)


def parts_of_parts(m: Any, x: Any) -> Tensor:
    return torch.flatten(x.split(2, 1), 1)


def joined_parts(m: Any, x: Any) -> Tensor:
    return torch.cat(x.split(2, 1), 1)


CASES: dict[str, tuple[Callable[[Any, Tensor], Any], Shape, list[str]]] = {
    "unpacked split": (unpacked, (9, 2, 2), ["slice", "slice", "slice", "multiply"]),
    "number of axes": (lambda m, x: x.flatten(1, x.dim() - 1).unsqueeze(x.ndim - 2), (3, 2), ["reshape", "reshape"]),
    "factors on the left": (lambda m, x: x[:, :, :1, :1] * x, (3, 2, 2), ["slice", "multiply"]),
    "keywords": (lambda m, x: torch.clamp(input=torch.flatten(input=x, start_dim=1), min=0), (3, 2), ["reshape", "clamp"]),
    "split by method keyword": (split_by_keyword, (3, 4), ["slice"]),
    "torch.split": (lambda m, x: torch.split(x, split_size_or_sections=[1, 2], dim=1)[1], (3, 4), ["slice"]),
    "torch.chunk with a rest": (lambda m, x: torch.chunk(x, 2, 1)[1], (3, 4), ["slice"]),
    "negative index": (lambda m, x: x[:, -1], (3, 4), ["slice", "reshape"]),
    "index of an axis of one": (lambda m, x: x[:, 0], (1, 4), ["reshape"]),
    "narrow and select": (lambda m, x: x.narrow(1, 1, 2).select(2, 3), (3, 4), ["slice", "slice", "reshape"]),
    "all of it": (lambda m, x: x[:].relu()[:, :, :], (3, 4), ["relu"]),
    "permute by a list": (lambda m, x: torch.permute(x, [0, 3, 1, 2]), (3, 4, 2), ["rearrange"]),
    "order that changes nothing": (lambda m, x: x.permute(0, 1, 2).relu(), (3, 4), ["relu"]),
    "swapaxes": (lambda m, x: x.swapaxes(-1, -2), (3, 4), ["rearrange"]),
    "squeeze two": (lambda m, x: x.squeeze((2, 3)), (3, 1, 1), ["reshape"]),
    "squeeze nothing": (lambda m, x: x.squeeze(1).relu(), (3, 4), ["relu"]),
    "unsqueeze last": (lambda m, x: x.unsqueeze(-1), (3, 4), ["reshape"]),
    "unflatten": (lambda m, x: torch.unflatten(x, 1, (-1, 2)), (6, 3), ["reshape"]),
    "one tensor together": (lambda m, x: torch.cat([x.relu()], 1), (3,), ["relu"]),
    "features together": (lambda m, x: torch.concat([x, x.relu()], -1), (3,), ["relu", "concat"]),
    "in place": (lambda m, x: x.relu().clamp_(max=1).mul_(x), (3,), ["relu", "clamp", "multiply"]),
    "pad a length": (lambda m, x: functional.pad(x, (2, 1)), (3, 4), ["reshape", "pad", "reshape"]),
    "enlarge a length": (lambda m, x: functional.interpolate(x, size=12), (3, 4), ["reshape", "upsample", "reshape"]),
    "mean of a length, kept": (lambda m, x: x.mean(2, keepdim=True), (3, 4), ["reshape", "avg_pool2d", "reshape"]),
    "mean of rows, kept": (lambda m, x: x.mean(2, True), (3, 4, 5), ["avg_pool2d"]),
    "argmax kept": (lambda m, x: torch.argmax(x, dim=-1, keepdim=True), (7,), ["argmax"]),
    "F.max_pool1d": (lambda m, x: functional.max_pool1d(x, 3, 2, 1), (3, 7), ["reshape", "max_pool2d", "reshape"]),
    "F.avg_pool1d": (lambda m, x: functional.avg_pool1d(x, 2), (3, 7), ["reshape", "avg_pool2d", "reshape"]),
    "F.adaptive 1d": (lambda m, x: functional.adaptive_avg_pool1d(x, 2), (3, 8), ["reshape", "avg_pool2d", "reshape"]),
    "F.adaptive max": (lambda m, x: functional.adaptive_max_pool2d(x, (5, 1)), (3, 5, 6), ["max_pool2d"]),
    "F.pixel_unshuffle": (lambda m, x: functional.pixel_unshuffle(x, 2), (3, 4, 6), ["rearrange"]),
    "F.channel_shuffle": (lambda m, x: torch.channel_shuffle(x, 3), (6, 4, 2), ["rearrange"]),
}


@pytest.mark.parametrize("case", CASES)
def test_functions(case: str) -> None:
    body, shape, kinds = CASES[case]
    graph = assert_agree(Given(body), ("x", S6, shape))
    assert [node.op.kind for node in graph.nodes] == kinds


REFUSED: list[tuple[Callable[[Any, Tensor], Any], str]] = [
    (lambda m, x: x.unsqueeze(0), "it works on the batch axis"),
    (lambda m, x: x.unsqueeze(6), "axis 6 is not one of the 5 axes"),
    (split_by_nothing, "it works on the batch axis"),
    (lambda m, x: x[:, :, :1, :1].squeeze((1, 2)).select(1, 0).squeeze(1), "axis"),
    (lambda m, x: x[:, :1, :1, :1].squeeze((1, 2, 3)), r"squeezing axes \(1, 2, 3\) of \[1, 1, 1\] leaves no axis"),
    (lambda m, x: x.permute(1, 0, 2, 3), r"the order \[1, 0, 2, 3\] moves the batch axis; keep 0 in front"),
    (lambda m, x: x.permute(0, 1, 1, 3), r"\[0, 1, 1, 3\] is no order of 4 axes"),
    (lambda m, x: x[:, 0, 0, 0], "indexing every axis leaves none"),
    (lambda m, x: x[:, 9], "index 9 is outside an axis of 4"),
    (lambda m, x: x[:, None], "only numbers, slices and ... can stand in an index"),
    (lambda m, x: x[:, [0, 1]], "only numbers, slices and ... can stand in an index"),
    (joined_parts, "take the results of a split one by one"),
    (lambda m, x: x.chunk(2, 1), "has to return a computed tensor"),
    (lambda m, x: functional.pad(x, (1, 1, 1, 1, 1, 1)), r"padding of \[1, 1, 1, 1, 1, 1\] goes beyond the pixels of \[4, 4, 4\]"),
    (lambda m, x: functional.pad(x, (-1, 1)), "cuts pixels away; slice instead"),
    (lambda m, x: functional.pad(x, (1, 1), value=100.0), "the padding value 100.0 is no value of ap_fixed<6, 3>"),
    (lambda m, x: functional.interpolate(x, size=(4, 6)), r"enlarging \[4, 4\] by \[1.0, 1.5\] is not supported"),
    (lambda m, x: nn.functional.max_pool2d(x, (1, 2, 3)), "neither a number nor a pair"),
    (lambda m, x: x.flatten(2).mean((1, 2)), "mixes samples or channels"),
    (lambda m, x: x.mean(), "mixes samples or channels"),
    (lambda m, x: x.view(x.size(0) * 4, -1), "arguments that have no fixed-point form"),
    (lambda m, x: functional.pixel_shuffle(x, 0), "arguments that have no fixed-point form"),
    (parts_of_parts, "arguments that have no fixed-point form"),
    (lambda m, x: x.clamp(x, x), "arguments that have no fixed-point form"),
    (lambda m, x: functional.max_pool1d(x.flatten(2), 2, return_indices=True)[0], "leave return_indices out"),
    (lambda m, x: x.argmax(), "argmax over axis None"),
    (lambda m, x: nn.ReLU()(x), "cannot be traced at .*: module is not installed as a submodule"),
    (lambda m, x: m.indices(x.flatten(2)), "max_pool1d with return_indices has no fixed-point form"),
]


def in_place(m: Any, x: Tensor) -> Tensor:
    y = x.relu()
    return y.add_(x) + y


def in_place_through_a_view(m: Any, x: Tensor) -> Tensor:
    y = x.relu()
    z = y.flatten(1)
    z.add_(x.flatten(1))
    return z * y.flatten(1)


def in_place_by_a_module(m: Any, x: Tensor) -> Tensor:
    y = x + x
    return m.clip(y) + y


def in_place_through_a_module(m: Any, x: Tensor) -> Tensor:
    y = x + x
    m.same(y).add_(x)
    return y + x


@pytest.mark.parametrize("body", [in_place, in_place_through_a_view, in_place_by_a_module, in_place_through_a_module])
def test_what_was_changed_in_place_cannot_be_read_again(body: Callable[[Any, Tensor], Tensor]) -> None:
    text = r"at .*: it changes a tensor in place that \w+ \(\w+\) at .* reads again; use the form that makes a new tensor"
    with pytest.raises(LoweringError, match=text):
        lower(Given(body, clip=nn.ReLU6(inplace=True), same=nn.Identity()), (4, 4, 4))


@pytest.mark.parametrize(("body", "text"), REFUSED, ids=[text[:45] for _, text in REFUSED])
def test_refusals(body: Callable[[Any, Tensor], Any], text: str) -> None:
    with pytest.raises(LoweringError, match=text):
        lower(Given(body, indices=nn.MaxPool1d(2, return_indices=True)), (4, 4, 4))


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(GraphError, match=r"max_pool2d in one dimension wants x \(C, L\), not \(4, 4, 4\)"):
        lower(Given(lambda m, x: m.pool(x), pool=nn.MaxPool1d(2)), (4, 4, 4))
    with pytest.raises(GraphError, match=r"max_pool2d wants x \(C, H, W\), not \(4, 4\)"):
        lower(Given(lambda m, x: m.pool(x), pool=nn.MaxPool2d(2)), (4, 4))
    with pytest.raises(GraphError, match=r"multiply: \(2, 4\) is neither \(4, 4\) nor one element per channel"):
        lower(Given(lambda m, x: x * x[:, :2]), (4, 4))


def test_a_lookup_trains() -> None:
    torch.manual_seed(0)
    model = Given(lambda m, x: m.act(m.fc(x)), fc=qnn.Linear(6, 3), act=qnn.Sigmoid())
    model(torch.from_numpy(random_codes(S6, (9, 6), 0))).sum().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    missing = [name for name, grad in gradients.items() if grad is None or not bool(torch.isfinite(grad).all())]
    assert missing == [] and float(model.get_parameter("fc.weight").grad.abs().sum()) > 0  # type: ignore[union-attr]
