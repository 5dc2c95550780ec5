"""The ONNX model: exact in ONNX Runtime, made of standard operators, refused where no float holds the codes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from qfx.engines.onnx_engine import OnnxEngine
from qfx.errors import ExactnessError, ExportError
from qfx.export.onnx import OPSET, expose, onnx_model
from qfx.export.onnx_merge import runs
from qfx.fixed import FixedType, IntArray, Rounding, code_dtype
from qfx.ir import Graph, GraphBuilder
from qfx.ops import Affine, Conv2d, Linear, ReLU, Requantize
from qfx.ops.onnx_conv import limb_widths
from qfx.ops.onnx_form import OnnxForm
from qfx.ops.sampling import constant, corner_codes, random_codes
from qfx.sim import Simulator
from qfx.testing.choices import Seeded
from qfx.testing.graphs import random_graph, random_inputs
from tests.networks import residual_network

LEVELS = ["ORT_DISABLE_ALL", "ORT_ENABLE_ALL"]


def run(model: onnx.ModelProto, inputs: dict[str, np.ndarray[Any, Any]], level: str = "ORT_ENABLE_ALL") -> dict[str, IntArray]:
    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, level)
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in model.graph.output]
    return dict(zip(names, session.run(names, inputs), strict=True))


def codes_for(graph: Graph, count: int = 30) -> dict[str, np.ndarray[Any, Any]]:
    values = [graph.values[name] for name in graph.inputs]
    return {
        v.name: np.concatenate([corner_codes(v.type, v.shape), random_codes(v.type, (count, *v.shape), 9)]).astype(
            code_dtype(v.type)
        )
        for v in values
    }


def chain(x: FixedType, weight: FixedType, seed: int, groups: int = 1) -> Graph:
    """Convolution, affine, cast, linear with codes as wide as asked for."""
    build = GraphBuilder("wide")
    image = build.input("x", x, (4, 5, 5))
    w = constant("w", weight, (6, 4 // groups, 3, 3) if groups < 4 else (8, 1, 3, 3), seed)
    conv = build.add("conv", Conv2d(padding=(1, 1), groups=groups), image, build.constant("w", w.type, w.codes))
    scale, offset = (
        constant("s", FixedType(True, 8, 5), (conv.channels,), seed + 1),
        constant("o", FixedType(True, 9, 20), (conv.channels,), seed + 2),
    )
    bn = build.add(
        "bn", Affine(), conv, build.constant("s", scale.type, scale.codes), build.constant("o", offset.type, offset.codes)
    )
    cut = build.add("cut", Requantize(FixedType(True, 14, bn.type.frac - bn.type.width + 14)), bn)
    return build.build(cut)


@pytest.mark.parametrize("level", LEVELS)
def test_every_value_equals_the_simulator(level: str) -> None:
    graph = residual_network()
    inputs = codes_for(graph)
    found = run(onnx_model(graph, all_values=True), inputs, level)
    wanted = Simulator(graph).run(inputs)
    assert set(found) == {node.name for node in graph.nodes}
    for name, codes in found.items():
        assert codes.dtype == np.int64
        np.testing.assert_array_equal(codes, wanted[name], err_msg=name)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(("x", "weight"), [(8, 12), (12, 12), (16, 12), (12, 16), (16, 16), (20, 8), (24, 4), (4, 16), (16, 1)])
def test_wide_accumulators_are_exact(x: int, weight: int, groups: int, level: str) -> None:
    graph = chain(FixedType(True, x, 6), FixedType(True, weight, 3), x * 100 + weight, groups)
    inputs = codes_for(graph)
    wanted = Simulator(graph).run(inputs)
    for all_values in (False, True):
        for name, codes in run(onnx_model(graph, all_values), inputs, level).items():
            np.testing.assert_array_equal(codes, wanted[name], err_msg=name)


def test_a_wide_linear_is_exact() -> None:
    build = GraphBuilder("wide")
    x = build.input("x", FixedType(True, 18, 3), (40,))
    weight = constant("w", FixedType(True, 18, 2), (7, 40), 3)
    graph = build.build(build.add("fc", Linear(), x, build.constant("w", weight.type, weight.codes)))
    inputs = codes_for(graph)
    np.testing.assert_array_equal(run(onnx_model(graph), inputs)["fc"], Simulator(graph).run(inputs)["fc"])


def test_the_splitting_is_needed() -> None:
    """The same convolution in plain float32 is not exact: the test above can fail."""
    graph = chain(FixedType(True, 16, 6), FixedType(True, 16, 3), 1)
    x = codes_for(graph)["x"]
    weight = graph.values["w"].codes
    build = GraphBuilder("one")
    conv = build.add(
        "conv", Conv2d(), build.input("x", FixedType(True, 16, 0), (4, 5, 5)), build.constant("w", graph.values["w"].type, weight)
    )
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"])
    info = onnx.helper.make_tensor_value_info
    proto = onnx.helper.make_graph(
        [node],
        "g",
        [info("x", 1, ["n", 4, 5, 5])],
        [info("y", 1, None)],
        [onnx.numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    model = onnx.helper.make_model(proto, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=8)
    wanted = Simulator(build.build(conv)).run({"x": x})["conv"]
    assert np.any(run(model, {"x": x.astype(np.float32)})["y"].astype(np.int64) != wanted)


@pytest.mark.parametrize(
    ("type", "dtype"),
    [
        (FixedType(False, 8, 0), "uint8"),
        (FixedType(True, 8, 0), "int8"),
        (FixedType(False, 9, 0), "uint16"),
        (FixedType(True, 16, 0), "int16"),
        (FixedType(False, 17, 0), "uint32"),
        (FixedType(True, 32, 0), "int32"),
        (FixedType(True, 33, 0), "int64"),
        (FixedType(False, 33, 0), "uint64"),
    ],
)
def test_inputs_have_the_narrowest_integer_dtype(type: FixedType, dtype: str) -> None:
    build = GraphBuilder("cast")
    graph = build.build(build.add("y", Requantize(FixedType(True, 6, -2)), build.input("x", type, (3,))))
    model = onnx_model(graph)
    assert (
        onnx.helper.tensor_dtype_to_np_dtype(model.graph.input[0].type.tensor_type.elem_type) == np.dtype(dtype) == code_dtype(type)
    )
    inputs = codes_for(graph)
    np.testing.assert_array_equal(run(model, inputs)["y"], Simulator(graph).run(inputs)["y"])


def test_the_model_is_portable() -> None:
    graph = residual_network()
    model = onnx_model(graph)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", OPSET)]
    assert {node.domain for node in model.graph.node} == {""}
    assert [output.name for output in model.graph.output] == graph.outputs
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["batch", 2, 5, 6]
    properties = {item.key: item.value for item in model.metadata_props}
    assert properties == {"qfx.type.x": repr(graph.values["x"].type), "qfx.type.head": repr(graph.values["head"].type)}
    assert onnx_model(graph).SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_narrow_convolutions_stay_in_float32() -> None:
    model = onnx_model(residual_network())
    floats = {tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convs) == 3 and all(node.input[1] in floats for node in convs)


def test_a_node_beyond_float64_is_refused() -> None:
    build = GraphBuilder("huge")
    x = build.input("x", FixedType(True, 40, 3), (4,))
    weight = constant("w", FixedType(True, 16, 2), (2, 4), 3)
    fc = build.add("fc", Linear(), x, build.constant("w", weight.type, weight.codes))
    graph = build.build(build.add("cut", Requantize(FixedType(True, 8, 0)), fc))
    message = "node 'fc' (linear) reaches 56 bits in an intermediate; ONNX carries codes in float64, which is exact below 53"
    with pytest.raises(ExactnessError, match=re.escape(message)):
        onnx_model(graph)


def test_an_input_beyond_float64_is_refused() -> None:
    build = GraphBuilder("huge")
    graph = build.build(build.add("cut", Requantize(FixedType(True, 8, 0)), build.input("x", FixedType(True, 56, 3), (4,))))
    with pytest.raises(ExactnessError, match=re.escape("value 'x' has 56 bits (ap_fixed<56, 53>); ONNX carries codes in float64")):
        onnx_model(graph)


def test_an_input_cannot_be_an_output() -> None:
    graph = residual_network()
    graph.outputs = ["x"]
    with pytest.raises(ExportError, match="value 'x' is an input of graph 'residual' and cannot be an output"):
        onnx_model(graph)


def test_exposing_twice_changes_nothing() -> None:
    graph = residual_network()
    model = onnx_model(graph, all_values=True)
    before = model.SerializeToString(deterministic=True)
    expose(model, graph, ["stem", "head"])
    assert model.SerializeToString(deterministic=True) == before


def test_a_convolution_that_no_split_makes_exact_is_refused() -> None:
    weight = np.ones((1, 1 << 20, 1, 1), np.int64)
    with pytest.raises(ExactnessError, match="conv: no split of 30-bit inputs and 1-bit weights makes float32 convolutions exact"):
        limb_widths(FixedType(True, 30, 0), weight, "conv")


def test_a_constant_must_fit_its_dtype() -> None:
    with pytest.raises(ExactnessError, match="bn: a constant does not fit float32 exactly"):
        OnnxForm("bn", [], {}, "float32").constant((1 << 24) + 1, "float32")


S8 = FixedType(True, 8, 5)


def batch_norm(shape: tuple[int, ...], relu: bool, target: FixedType, rounding: Rounding = Rounding.RND) -> Graph:
    """affine, relu if asked for, requantize: what is merged."""
    build = GraphBuilder("norm")
    x = build.input("x", FixedType(True, 20, 6), shape)
    y = build.add("bn", Affine(), x, *(build.constant(n, S8, random_codes(S8, shape[:1], s)) for n, s in (("s", 3), ("o", 4))))
    y = build.add("act", ReLU(), y) if relu else y
    return build.build(build.add("cut", Requantize(target, rounding), y))


@pytest.mark.parametrize("target", [FixedType(False, 8, 4), FixedType(True, 8, 4), FixedType(False, 11, 1), FixedType(True, 6, -4)])
@pytest.mark.parametrize("rounding", [Rounding.RND, Rounding.TRN])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(5, 3, 4), (6,)])
def test_merged_runs(shape: tuple[int, ...], relu: bool, rounding: Rounding, target: FixedType) -> None:
    graph = batch_norm(shape, relu, target, rounding)
    inputs, merged = codes_for(graph), onnx_model(graph, merged=True)
    assert [node.name for node in merged.graph.node if node.name.endswith("/codes")] == ["cut/codes"]
    for level in LEVELS:
        np.testing.assert_array_equal(run(merged, inputs, level)["cut"], Simulator(graph).run(inputs)["cut"])


def test_what_is_read_twice_or_rounds_otherwise_is_not_merged() -> None:
    assert len(runs(batch_norm((5, 3, 4), True, FixedType(False, 8, 4)))) == 1
    assert len(runs(batch_norm((5, 3, 4), True, FixedType(False, 8, 4), Rounding.RND_CONV))) == 3
    graph = batch_norm((5, 3, 4), True, FixedType(False, 8, 4))
    graph.outputs.append("act")
    assert [len(run) for run in runs(graph)] == [1, 1, 1]


@pytest.mark.parametrize("start", range(0, 90, 30))
def test_merged_random_networks(start: int) -> None:
    for seed in range(start, start + 30):
        graph = random_graph(Seeded(seed))
        inputs = {graph.inputs[0]: random_inputs(graph, 12, seed)}
        found = OnnxEngine(graph, onnx_model(graph, merged=True), 2, outputs_only=True).run(inputs)
        wanted = Simulator(graph).run(inputs)
        assert list(found) == graph.outputs
        for name in graph.outputs:
            np.testing.assert_array_equal(found[name], wanted[name], err_msg=f"seed {seed}\n{graph.text()}")
