"""One sample of one op, through all engines: what the conformance suite is made of.

The simulator (`op.evaluate`), ONNX Runtime and torch run each sample by itself. The C++ of many samples is compiled as one
network, in which every sample hangs on the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from qfx.annotations import explained
from qfx.engines.onnx_engine import OnnxEngine
from qfx.engines.torch_engine import TorchEngine
from qfx.export.onnx import onnx_model
from qfx.fixed import FixedType, IntArray
from qfx.frontend import lower
from qfx.ir import Graph, GraphBuilder, Value
from qfx.nn import QuantInput
from qfx.ops import OPS, Sample
from qfx.ops.sampling import corner_codes, random_codes
from qfx.quant import QuantSpec
from qfx.sim import Simulator
from qfx.testing.one_network import fed, flat_input, one_number, total

Counterpart = Callable[[Sample], nn.Module]
"""Makes the torch layer that computes a sample; its inputs are the sample's activations."""


def samples_of(kind: str) -> tuple[Sample, ...]:
    """All samples of one op."""
    return OPS[kind].samples()


def label(sample: Sample) -> str:
    """Test id."""
    return sample.label


def activations(sample: Sample) -> list[Value]:
    """The operands that are not constants."""
    return [value for value in sample.operands if value.constant is None]


def sample_graph(sample: Sample) -> Graph:
    """The sample by itself: inputs `in0`, `in1`, one node `y`."""
    build = GraphBuilder("sample")
    operands = [
        build.input(f"in{i}", value.type, value.shape)
        if value.constant is None
        else build.constant(f"c{i}", value.type, value.constant)
        for i, value in enumerate(sample.operands)
    ]
    return build.build(build.add("y", sample.op, *operands))


def sample_inputs(sample: Sample, corners: bool) -> dict[str, IntArray]:
    """Corner codes, every corner of the first input with every corner of the second; or random codes."""
    values = {f"in{i}": value for i, value in enumerate(sample.operands) if value.constant is None}
    if not corners:
        return {name: random_codes(value.type, (25, *value.shape), seed) for seed, (name, value) in enumerate(values.items())}
    sets = {name: corner_codes(value.type, value.shape) for name, value in values.items()}
    picks = np.meshgrid(*(np.arange(len(codes)) for codes in sets.values()), indexing="ij")
    return {name: codes[pick.ravel()] for (name, codes), pick in zip(sets.items(), picks, strict=True)}


@explained
def check_sample(sample: Sample, counterpart: Counterpart, corners: bool, alone: bool = True) -> None:
    """Asserts that ONNX Runtime and torch give the simulator's codes, and that the torch layer lowers to the sample.

    Args:
        alone: whether the sample is all that the layer lowers to, or only a part.
    """
    graph, inputs = sample_graph(sample), sample_inputs(sample, corners)
    wanted = Simulator(graph).run(inputs)["y"]
    np.testing.assert_array_equal(OnnxEngine(graph, onnx_model(graph), threads=1).run(inputs)["y"], wanted, err_msg="onnx")
    types = [value.type for value in activations(sample)]
    model = (_Unary, _Binary, _Ternary)[len(types) - 1](counterpart(sample), *types).eval()
    lowered = lower(model, [value.shape for value in activations(sample)])
    if alone:
        _check_lowered(lowered, sample)
    assert sample.op.kind in [node.op.kind for node in lowered.nodes]
    fed = dict(zip(lowered.inputs, inputs.values(), strict=True))
    np.testing.assert_array_equal(TorchEngine(model, lowered).run(fed)[lowered.outputs[0]], wanted, err_msg="torch")


def _check_lowered(lowered: Graph, sample: Sample) -> None:
    (node,) = lowered.nodes
    assert node.op == sample.op
    for found, value in zip(lowered.operands(node), sample.operands, strict=True):
        assert (found.type, found.shape) == (value.type, value.shape)
        assert value.constant is None or np.array_equal(found.codes, value.constant)


class _Unary(nn.Module):
    """A layer whose input comes as raw integer codes of a known format."""

    def __init__(self, layer: nn.Module, type: FixedType) -> None:
        super().__init__()
        self.layer, self.given = layer, QuantInput(type=type)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(self.given(x))


class _Binary(nn.Module):
    """The same for two inputs."""

    def __init__(self, layer: nn.Module, a: FixedType, b: FixedType) -> None:
        super().__init__()
        self.layer, self.first, self.second = layer, QuantInput(type=a), QuantInput(type=b)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.layer(self.first(a), self.second(b))


class _Ternary(nn.Module):
    """The same for three inputs."""

    def __init__(self, layer: nn.Module, a: FixedType, b: FixedType, c: FixedType) -> None:
        super().__init__()
        self.layer, self.first, self.second, self.third = layer, QuantInput(type=a), QuantInput(type=b), QuantInput(type=c)

    def forward(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return self.layer(self.first(a), self.second(b), self.third(c))


class Function(nn.Module):
    """A torch function of one tensor as a layer."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def spec_of(value: Value, digits: int | None = None) -> QuantSpec:
    """The format of a constant, as a quantizer is asked for it."""
    type = value.type
    return QuantSpec(type.width, type.signed, type.frac, learn=False, k_hot=digits)


def bias_of(sample: Sample) -> QuantSpec | bool:
    """The format of the third operand of a sum of products, as a layer is asked for it; False without one."""
    return spec_of(sample.operands[2]) if len(sample.operands) > 2 else False


def real_of(value: Value) -> torch.Tensor:
    """The real values of a constant, exact in float32 for codes up to 24 bits."""
    return torch.from_numpy(value.type.to_real(value.codes)).to(torch.float32)


Layer = TypeVar("Layer", bound=nn.Module)


def with_constants(layer: Layer, sample: Sample) -> Layer:
    """The layer, its weight and its bias those of a sample."""
    for name, value in zip(("weight", "bias"), sample.operands[1:], strict=False):
        layer.get_parameter(name).data.copy_(real_of(value))
    return layer


def many_samples(samples: Sequence[Sample]) -> Graph:
    """All samples as one network with one flat input.

    Any code of an operand can be fed. Behind each sample one bit of every element goes on, so that all end in one output.
    """
    build = GraphBuilder("samples")
    x = flat_input(build, [value for sample in samples for value in activations(sample)])
    parts: list[Value] = []
    for position, sample in enumerate(samples):
        name = f"s{position}"
        operands = [
            fed(build, x, value, f"{name}.in{i}")
            if value.constant is None
            else build.constant(f"{name}.in{i}", value.type, value.constant)
            for i, value in enumerate(sample.operands)
        ]
        parts.append(one_number(build, build.add(f"{name}.{sample.op.kind}", sample.op, *operands), name))
    return build.build(total(build, parts))


def many_inputs(samples: Sequence[Sample], graph: Graph) -> IntArray:
    """Corners of every format among the operands, then random codes."""
    x = graph.values["x"]
    types = {value.type for sample in samples for value in activations(sample)}
    corners = [np.concatenate([corner_codes(type, x.shape)]) for type in sorted(types, key=repr)]
    wrapped = np.concatenate(corners) & ((1 << x.type.width) - 1)
    signed = wrapped - ((wrapped & (1 << (x.type.width - 1))) << 1)
    return np.concatenate([np.unique(signed, axis=0), random_codes(x.type, (25, *x.shape), 1)])
