"""The engines that sim_speed.py compares, each in a process of its own, so that its memory is its own.

    python benchmarks/_sim_engines.py ENGINE FOLDER

FOLDER is what `sim_speed.write_network` wrote. Standard input has commands, a JSON object a line, each answered by one:

    {"do": "compile"}             -> {"seconds": processor time of the compiler}
    {"do": "run", "images": n}    -> {"seconds": wall time}
    {"do": "codes", "images": n}  -> {"codes": the outputs' codes}
    {"do": "stream", "file": f}   -> {"seconds": wall time}    images from an .npy file, memory-mapped
    {"do": "memory"}              -> {"mib": peak of this process, "children_mib": peak of its largest child}
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qfx.cli.exit_codes import TOOL_MISSING, exit_code
from qfx.errors import InputError, QfxError, ToolMissingError
from qfx.ir import load_graph

IMAGE = (3, 32, 32)
HLS4ML_TYPE = "ap_fixed<8,3>"
"""Of weights and activations there; accumulators are inferred in full."""


def images(count: int) -> npt.NDArray[np.uint8]:
    """The same random images in every process."""
    return np.random.default_rng(2).integers(0, 256, (count, *IMAGE), np.uint8)


class Engine(ABC):
    """One engine on one network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def run(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """The network's outputs."""

    def compile(self) -> None:
        """What a compiler has to do before the first run.

        Raises:
            InputError: this engine has no compiler.
        """
        raise InputError(f"{type(self).__name__} compiles nothing")


class NumPyEngine(Engine):
    """`qfx.sim.engine.simulate_chunks`, as it streams any number of images."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.graph = load_graph(folder)

    def run(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        from qfx.sim.engine import simulate_chunks

        (output,) = self.graph.outputs
        return np.concatenate([chunk[output] for chunk in simulate_chunks(self.graph, {self.graph.inputs[0]: codes})])


class OnnxRuntimeEngine(Engine):
    """ONNX Runtime on the integer network, as `qfx simulate --engine onnx` runs it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from qfx.engines.chunks import fast_onnx_engine

        self.graph = load_graph(folder)
        self.engine = fast_onnx_engine(self.graph)

    def run(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        return self.engine.run({self.graph.inputs[0]: codes})[self.graph.outputs[0]]


class CsimEngine(Engine):
    """The exported C++. The first compilation is kept, and is what a process started later runs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._compiled = 0
        self._simulator: Any = None

    def compile(self) -> None:
        from qfx.sim.csim import CSimulator

        CSimulator(self.folder, cache=self.folder / f"cache{self._compiled}").compile()
        self._compiled += 1

    def run(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        if self._simulator is None:
            from qfx.sim.csim import CSimulator

            self._simulator = CSimulator(self.folder, cache=self.folder / "cache0")
        graph = self._simulator.graph
        return self._simulator.run({graph.inputs[0]: codes}, frozenset(graph.outputs))[graph.outputs[0]]


class FloatEngine(Engine):
    """ONNX Runtime on the float network, as torch exports it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        options: Any = importlib.import_module("onnxruntime").SessionOptions()
        options.log_severity_level = 3
        session: Any = importlib.import_module("onnxruntime").InferenceSession
        self.session: Any = session(str(folder / "float.onnx"), options, providers=["CPUExecutionProvider"])

    def run(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        name = self.session.get_inputs()[0].name
        return self.session.run(None, {name: codes.astype(np.float32) / np.float32(256)})[0]


class Hls4mlEngine(Engine):
    """hls4ml's conversion of the float network (io_stream), compiled by its own script, called through its own predict."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        import torch

        hls4ml: Any = importlib.import_module("hls4ml")
        models: Any = importlib.import_module("qfx.models")
        float_model = getattr(models, json.loads((folder / "network.json").read_text())["float"])()
        float_model.load_state_dict(torch.load(folder / "float.pt", weights_only=True))
        keys = {"backend": "Vitis", "default_precision": HLS4ML_TYPE, "channels_last_conversion": "internal"}
        config = hls4ml.utils.config_from_pytorch_model(
            float_model.eval(), IMAGE, granularity="name", transpose_outputs=False, **keys
        )
        self.model: Any = hls4ml.converters.convert_from_pytorch_model(
            float_model, hls_config=config, io_type="io_stream", backend="Vitis", output_dir=str(folder / "hls4ml")
        )
        self.model.write()

    def compile(self) -> None:
        self.model._compile()

    def run(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        return self.model.predict(np.ascontiguousarray(codes.transpose(0, 2, 3, 1), np.float32) / np.float32(256))


ENGINES: dict[str, type[Engine]] = {
    "numpy": NumPyEngine,
    "onnx": OnnxRuntimeEngine,
    "csim": CsimEngine,
    "float": FloatEngine,
    "hls4ml": Hls4mlEngine,
}
"""`csim` takes two processes: one compiles, another runs."""


def answer(engine: Engine, command: dict[str, Any]) -> dict[str, Any]:
    """Do what a command says."""
    if command["do"] == "memory":
        peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return {"mib": int(peak.split()[1]) / 1024, "children_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}
    if command["do"] == "codes":
        return {"codes": engine.run(images(command["images"])).tolist()}
    if command["do"] == "compile":
        before = _children()
        engine.compile()
        return {"seconds": _children() - before}
    codes = np.load(command["file"], mmap_mode="r") if command["do"] == "stream" else images(command["images"])
    start = time.perf_counter()
    engine.run(codes)
    return {"seconds": time.perf_counter() - start}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # hls4ml prints
    try:
        engine = ENGINES[sys.argv[1]](Path(sys.argv[2]))
        for line in sys.stdin:
            print(json.dumps(answer(engine, json.loads(line))), file=answers)
    except ImportError as error:
        print(ToolMissingError(f"{error}; install the peers: make bench-env"), file=sys.stderr)
        return TOOL_MISSING
    except QfxError as error:
        print(error, file=sys.stderr)
        return exit_code(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
