"""ONNX Runtime on a QFX model, every value visible."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import onnx

from qfx.errors import EngineUnavailable, ProjectError
from qfx.export.onnx import expose
from qfx.fixed import IntArray
from qfx.golden import code_dtype
from qfx.ir import Graph
from qfx.verify.engine import Values


class OnnxEngine:
    """Runs a model of `graph`, as it is, on the CPU.

    Args:
        graph: the network, for names and formats.
        model: its ONNX model, as `qfx.export.onnx.onnx_model` makes it.
        threads: of ONNX Runtime; 0 for its own choice.
        outputs_only: whether `run` gives the graph's outputs only, which is faster.

    The graph's outputs come from the model as given. A copy of it that has every value as an output gives the rest:
    ONNX Runtime fuses less in that one.

    Raises:
        EngineUnavailable: onnxruntime is not installed.
        ProjectError: onnxruntime refuses the model.
    """

    name = "onnx"

    def __init__(self, graph: Graph, model: onnx.ModelProto, threads: int = 0, outputs_only: bool = False) -> None:
        self._graph = graph
        self._shown = () if outputs_only else tuple(graph.inputs)
        self._outputs = [output.name for output in model.graph.output]
        self._plain = _session(model, threads)
        self._hidden: list[str] = []
        if outputs_only:
            return
        visible = onnx.ModelProto()
        visible.CopyFrom(model)
        expose(visible, graph, [node.name for node in graph.nodes])
        self._hidden = [output.name for output in visible.graph.output if output.name not in self._outputs]
        self._visible = _session(visible, threads)

    def run(self, inputs: dict[str, IntArray]) -> Values:
        """int64 codes of every input and computed value; of the outputs, with `outputs_only`."""
        feed = {name: inputs[name].astype(code_dtype(self._graph.values[name].type)) for name in self._graph.inputs}
        values: dict[str, IntArray] = {name: inputs[name].astype(np.int64) for name in self._shown}
        values |= zip(self._outputs, cast("list[IntArray]", self._plain.run(self._outputs, feed)), strict=True)
        if self._hidden:
            values |= zip(self._hidden, cast("list[IntArray]", self._visible.run(self._hidden, feed)), strict=True)
        return values


def _session(model: onnx.ModelProto, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineUnavailable("engine onnx needs onnxruntime, which is not installed: pip install onnxruntime") from error
    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    try:
        return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises types of its own for each way a model can be wrong
        raise ProjectError(f"ONNX Runtime refuses the model: {error}") from error


def load_model(content: bytes, where: str) -> onnx.ModelProto:
    """The model in the bytes of a `.onnx` file.

    Raises:
        ProjectError: they are no ONNX model; names `where` they came from.
    """
    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and the checker raise types of their own
        raise ProjectError(f"{where} is no valid ONNX model: {error}") from error
    return model
