"""`README.md` of a project."""

from __future__ import annotations

from qfx._version import __version__
from qfx.engines.protocol import Extent
from qfx.ir import Graph


def readme(graph: Graph, model_name: str | None, recorded: Extent | None = None) -> str:
    """What the project holds and how to use it.

    Args:
        model_name: `module:factory` of its model.
        recorded: what it holds of torch's values; None for nothing.
    """
    origin = f", from the model `{model_name}`" if model_name else ""
    formats = [(kind, name) for kind, names in (("input", graph.inputs), ("output", graph.outputs)) for name in names]
    rows = [
        f"| {kind} | {name} | {list(graph.values[name].shape)} | `{graph.values[name].type.ap_name}` |" for kind, name in formats
    ]
    return "\n".join(
        [
            f"# {graph.name}",
            "",
            f"Written by QFX {__version__}{origin}. `qfx verify .` compares all engines, `qfx info .` prints the network.",
            "",
            "|  | value | shape | format |",
            "|---|---|---|---|",
            *rows,
            *_host_lines(graph),
            "",
            "| file | holds |",
            "|---|---|",
            "| `hls/` | the C++ project for Vitis HLS; see its README |",
            "| `model.onnx` | the network for ONNX Runtime: integer codes in, integer codes out |",
            "| `graph.json`, `graph.npz` | the network: every format, every constant |",
            f"| `golden/` | recorded inputs and outputs{'' if recorded is None else ', and ' + recorded_text(recorded)} |",
            "| `manifest.json` | versions, and the hash of every file |",
            "",
            "A code is an integer; its value is `code * 2**-frac`, with `frac = W - I` of `ap_fixed<W, I>`.",
            "",
        ]
    )


def recorded_text(extent: Extent) -> str:
    """What of PyTorch's values a project holds, in words."""
    if extent.outputs_only:
        return "the outputs as PyTorch computed them"
    return f"every value{'' if extent.samples is None else f' of the first {extent.samples:,} samples'} as PyTorch computed it"


def _host_lines(graph: Graph) -> list[str]:
    """What the README says about post-processing."""
    if not graph.host:
        return []
    return [
        "",
        "The model goes on after these outputs. What follows is post-processing on the CPU, in floating point;",
        "`qfx simulate . --host` computes it with NumPy in float64 (`qfx.host`). It is no part of what `qfx verify` compares.",
        "",
        *(f"- `{step.name} = {step.text()}`" for step in graph.host),
    ]
