"""A graph as an ONNX model of standard operators that ONNX Runtime computes exactly.

Tensors between the nodes hold integer codes in float32 or float64, whichever holds the value's format exactly
(invariant 4: up to 2**24, up to 2**53). Inputs are integers in the narrowest ONNX integer type; outputs are int64 codes. The
real value of a code is `code * 2**-frac`; the formats stand in the model's metadata as `qfx.type.<value>`, and what is left to
the host as `qfx.host.<result>`.

Names: value `v` of the graph is the tensor `v/codes`; an input or output `v` of the graph is the model's `v`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from qfx._version import __version__
from qfx.errors import ExactnessError, ExportError
from qfx.exact import FLOATS, storage_dtype
from qfx.export.onnx_merge import Run, run_accumulator, run_form, runs
from qfx.fixed import code_dtype
from qfx.ir import Graph, Node, Value
from qfx.ir.proof import Proof, prove
from qfx.ops.onnx_form import OnnxForm, OnnxNode

OPSET = 17
IR_VERSION = 8
"""The IR version that came with the opset: every ONNX Runtime since 1.13 reads it."""

_ELEMENT_TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
}


def onnx_model(graph: Graph, all_values: bool = False, merged: bool = False) -> onnx.ModelProto:
    """The model of `graph`, checked by onnx.checker.

    Args:
        graph: the network.
        all_values: whether every computed value is an output, not only the graph's outputs.
        merged: whether runs of affine, relu and requantize become one step, which is faster; values inside a run
            have no tensor then, so that `expose` cannot show them.

    Returns:
        a model with a free batch dimension: integer codes in (batch, *shape), int64 codes out.

    Raises:
        ExactnessError: a node or a value that no floating-point dtype holds; names it and its width.
        ExportError: a graph output that is also an input.
    """
    proofs = prove(graph)
    dtypes: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    initializers: list[onnx.TensorProto] = []
    for name in graph.inputs:
        dtypes[codes_name(name)] = value_dtype(graph.values[name])
        nodes.append(_cast(name, codes_name(name), dtypes[codes_name(name)]))
    for run in runs(graph) if merged else [[node] for node in graph.nodes]:
        form = _run_form(graph, run, dtypes) if len(run) > 1 else _node_form(graph, run[0], proofs[run[0].name], dtypes)
        nodes += [_node_proto(item) for item in form.nodes]
        initializers += [numpy_helper.from_array(array, name) for name, array in form.constants.items()]
    proto = helper.make_graph(
        nodes, graph.name, [_info(graph.values[n], code_dtype(graph.values[n].type)) for n in graph.inputs], [], initializers
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(proto, opset_imports=opset, ir_version=IR_VERSION, producer_name="qfx", producer_version=__version__)
    expose(model, graph, [*graph.outputs, *([node.name for node in graph.nodes] if all_values else [])])
    types = {f"qfx.type.{v}": repr(graph.values[v].type) for v in (*graph.inputs, *graph.outputs)}
    helper.set_model_props(model, types | {f"qfx.host.{step.name}": step.text() for step in graph.host})
    onnx.checker.check_model(model, full_check=True)
    return model


def expose(model: onnx.ModelProto, graph: Graph, names: Iterable[str]) -> None:
    """Make the values `names` int64 outputs of `model`, a model of `graph`, in place; those that are outputs already stay.

    Raises:
        ExportError: a name that is an input of the graph.
    """
    present = {output.name for output in model.graph.output}
    for name in dict.fromkeys(names):
        if name in graph.inputs:
            raise ExportError(f"value {name!r} is an input of graph {graph.name!r} and cannot be an output of its ONNX model too")
        if name not in present:
            model.graph.node.append(_cast(codes_name(name), name, "int64"))
            model.graph.output.append(_info(graph.values[name], np.dtype(np.int64)))


def codes_name(value: str) -> str:
    """The tensor that holds the codes of `value` inside the model."""
    return f"{value}/codes"


def value_dtype(value: Value) -> str:
    """The floating-point dtype that holds every code of `value` exactly.

    Raises:
        ExactnessError: the format is too wide for float64.
    """
    dtype = storage_dtype(value.type.max_abs)
    if dtype is None:
        raise ExactnessError(
            f"value {value.name!r} has {value.type.width} bits ({value.type.ap_name}); ONNX carries codes in float64, which is "
            f"exact up to 53. Narrow its operands or requantize them first"
        )
    return dtype


def _node_form(graph: Graph, node: Node, proof: Proof, dtypes: dict[str, str]) -> OnnxForm:
    """The form of one node; `dtypes` gains its tensors."""
    if proof.accumulator not in FLOATS:
        raise ExactnessError(
            f"node {node.name!r} ({node.op.kind}) reaches {proof.bits} bits in an intermediate; ONNX carries codes in float64,"
            f" which is exact below 53. Narrow its operands or requantize them first"
        )
    form = OnnxForm(node.name, [codes_name(name) for name in node.inputs], dtypes, proof.accumulator)
    return _named(graph, node, form, node.op.onnx(form, graph.operands(node)))


def _run_form(graph: Graph, run: Run, dtypes: dict[str, str]) -> OnnxForm:
    """The form of several nodes that are merged."""
    inputs = [codes_name(name) for name in run[0].inputs]
    form = OnnxForm(run[-1].name, inputs, dtypes, run_accumulator(graph, run))
    return _named(graph, run[-1], form, run_form(form, graph, run))


def _named(graph: Graph, node: Node, form: OnnxForm, result: str) -> OnnxForm:
    """The form with its last tensor named and typed as the node's value."""
    target = value_dtype(graph.values[node.name])
    form.dtypes[codes_name(node.name)] = target
    form.nodes.append(OnnxNode("Cast", (result,), codes_name(node.name), {"to": target}))
    return form


def _node_proto(node: OnnxNode) -> onnx.NodeProto:
    proto = helper.make_node(node.op_type, list(node.inputs), [node.output], name=node.output)
    for key, item in node.attributes.items():
        # the form states element types by their NumPy names
        value = _ELEMENT_TYPES[str(item)] if key == "to" else item
        proto.attribute.append(helper.make_attribute(key, value))
    return proto


def _cast(source: str, target: str, dtype: str) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}/cast", to=_ELEMENT_TYPES[dtype])


def _info(value: Value, dtype: npt.DTypeLike) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(value.name, element, ["batch", *value.shape], doc_string=value.type.ap_name)
