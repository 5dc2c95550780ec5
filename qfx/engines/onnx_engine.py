"""ONNX Runtime on a QFX model, every value visible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qfx.errors import ProjectError, ToolMissingError
from qfx.export.onnx import expose
from qfx.fixed import IntArray, code_dtype
from qfx.ir import Graph
from qfx.sim.engine import cores, each
from qfx.sim.program import block_samples


class OnnxEngine:
    """Runs a model of `graph`, as it is, on the CPU.

    Args:
        graph: the network, for names and formats.
        model: its ONNX model, as `qfx.export.onnx.onnx_model` makes it.
        threads: blocks of samples that are computed at a time; 0 for one per core.
        outputs_only: whether `run` gives the graph's outputs only, which is faster.

    The graph's outputs come from the model as given. A copy of it that has every value as an output gives the rest:
    ONNX Runtime fuses less in that one.

    Raises:
        ToolMissingError: onnxruntime is not installed.
        ProjectError: onnxruntime refuses the model.
    """

    name = "onnx"

    def __init__(self, graph: Graph, model: onnx.ModelProto, threads: int = 0, outputs_only: bool = False) -> None:
        self._graph, self._threads, self._shown = graph, threads or cores(), () if outputs_only else tuple(graph.inputs)
        outputs = [output.name for output in model.graph.output]
        self._sessions = [(_session(model), outputs)]
        if not outputs_only:
            visible = onnx.ModelProto()
            visible.CopyFrom(model)
            expose(visible, graph, [node.name for node in graph.nodes])
            hidden = [output.name for output in visible.graph.output if output.name not in outputs]
            self._sessions.append((_session(visible), hidden))

    def run(self, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, IntArray]:
        """int64 codes of every input and computed value; of the outputs, with `outputs_only`."""
        feed = {name: inputs[name].astype(code_dtype(self._graph.values[name].type), copy=False) for name in self._graph.inputs}
        count = len(feed[self._graph.inputs[0]])
        values: dict[str, IntArray] = {name: inputs[name].astype(np.int64) for name in self._shown}
        for _, names in self._sessions:
            values |= {name: np.empty((count, *self._graph.values[name].shape), np.int64) for name in names}
        step = max(1, block_samples(self._graph) // 2)

        def block(start: int) -> None:
            part = {name: codes[start : start + step] for name, codes in feed.items()}
            for session, names in self._sessions:
                for name, codes in zip(names, session.run(names, part) if names else (), strict=True):
                    values[name][start : start + step] = codes

        each(block, range(0, count, step), self._threads)
        return values


def _session(model: onnx.ModelProto) -> Any:
    """A session that computes in the calling thread: blocks that fit the cache on every core are faster than its own threads."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ToolMissingError("engine onnx needs onnxruntime, which is not installed: pip install onnxruntime") from error
    runtime: Any = onnxruntime
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is in the error that it raises
    options.intra_op_num_threads = 1
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
