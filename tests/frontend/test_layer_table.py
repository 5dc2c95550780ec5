"""Every line of the layer table in torch, in the simulator and in ONNX Runtime; docs/layers.md is made of it."""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import qfx
import qfx.nn as qnn
from qfx import host
from qfx.conversion import calibrate
from qfx.engines.onnx_engine import OnnxEngine
from qfx.engines.torch_engine import TorchEngine
from qfx.errors import LoweringError
from qfx.export.onnx import onnx_model
from qfx.fixed import FixedType
from qfx.frontend import lower
from qfx.frontend.calls.call import Call
from qfx.frontend.calls.table import CALLS, call_of
from qfx.frontend.trace import trace
from qfx.ir import Graph
from qfx.ops.sampling import corner_codes, random_codes
from qfx.quant import QuantSpec
from qfx.sim.engine import FastSimulator, Simulator
from tests.frontend.layer_table import FUNCTIONS, HEADS, LAYERS, MODULES, REFUSED, Row

PAGE = Path(__file__).parents[2] / "docs" / "layers.md"
NAMES: dict[str, Any] = {"torch": torch, "nn": nn, "F": functional, "qfx": qfx, "QuantSpec": QuantSpec}
RAW = FixedType(True, 6, 3)
CONVERTED = (*LAYERS, *MODULES, *FUNCTIONS, *HEADS)


class Line(qnn.Model):
    """One line of the table behind an input of 6 bits."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self.given = qnn.QuantInput(type=RAW)
        self.code = code
        self.line: Any = eval(code, NAMES) if code.startswith(("nn.", "qfx.")) else None

    def forward(self, x: Tensor) -> Any:
        x = self.given(x)
        return eval(self.code, {**NAMES, "x": x}) if self.line is None else self.line(x)


def name_of(row: Row) -> str:
    return f"{row.code} on {row.shape}"


@functools.cache
def lowered(row: Row) -> tuple[Line, Graph, dict[str, Any]]:
    """The model, its graph, and codes for its input."""
    torch.manual_seed(0)
    model = Line(row.code)
    codes = np.concatenate([random_codes(RAW, (8, *row.shape), 0), corner_codes(RAW, row.shape)])
    if list(model.parameters()):
        model(torch.from_numpy(codes))  # moves running statistics
    calibrate(model, [torch.from_numpy(codes)])
    return model, lower(model.eval(), row.shape), {"x": codes}


def passes_through(row: Row) -> bool:
    """Whether the result is the input itself, which is no output of a graph."""
    return row.code.startswith(("nn.Identity", "nn.Dropout"))


@pytest.mark.parametrize("row", [row for row in CONVERTED if not passes_through(row)], ids=name_of)
def test_it_converts_exactly(row: Row) -> None:
    model, graph, inputs = lowered(row)
    wanted = Simulator(graph).run(inputs)
    for engine in (TorchEngine(model, graph), OnnxEngine(graph, onnx_model(graph), threads=1)):
        found = engine.run(inputs)
        assert found.keys() >= wanted.keys()
        for value, codes in wanted.items():
            np.testing.assert_array_equal(found[value], codes, err_msg=f"{engine.name} {value}")


@pytest.mark.parametrize("row", HEADS, ids=name_of)
def test_the_host_computes_the_rest(row: Row) -> None:
    """In floating point, so within rounding errors; up to there everything is exact."""
    model, graph, inputs = lowered(row)
    outputs = FastSimulator(graph).run(inputs)
    with torch.no_grad():
        returned: Any = model(torch.from_numpy(inputs["x"]))
    found = host.results(graph, outputs)
    wanted: list[Tensor] = [returned] if isinstance(returned, Tensor) else [*returned]
    assert len(found) == len(wanted) and graph.host
    for name, tensor in zip(found, wanted, strict=True):
        if "indices" not in name:  # of equal elements torch may take any
            np.testing.assert_allclose(found[name], tensor.numpy(), rtol=1e-5, atol=1e-6)
        assert found[name].shape == tuple(tensor.shape)


def refusal(row: Row) -> str:
    """What the message says after the call and its line."""
    with pytest.raises(LoweringError) as caught:
        lower(Line(row.code).eval(), row.shape)
    return re.sub(r"^.*? at \S+:\d+: ", "", str(caught.value))


@pytest.mark.parametrize("row", REFUSED, ids=name_of)
def test_it_is_refused_with_advice(row: Row) -> None:
    assert re.search(r"\b(use|leave|take|keep|begin|start|slice|name|pad|only|unroll|requantize|gives|flatten)\b", refusal(row))


def test_there_are_more_than_the_31_modules_of_the_comparison() -> None:
    assert len(LAYERS) + len(MODULES) > 31 and len({*CONVERTED, *REFUSED}) == len(CONVERTED) + len(REFUSED)


def steps(row: Row) -> str:
    """The ops of the graph."""
    if passes_through(row):
        return "nothing: the value itself"
    return ", ".join(node.op.kind for node in lowered(row)[1].nodes)


def step_of_the_host(row: Row) -> str:
    """The post-processing."""
    return ", ".join(f"`{step.name} = {step.text()}`" for step in lowered(row)[1].host)


def table(heading: str, rows: tuple[Row, ...], right: str, cell: Any) -> str:
    lines = [f"## {heading}", "", f"| PyTorch | `x` | {right} |", "|---|---|---|"]
    lines += [f"| `{row.code}` | {row.shape} | {cell(row)} |" for row in rows]
    return "\n".join([*lines, "", ""])


INTRODUCTION = """# What converts

This page is made by `tests/frontend/test_layer_table.py`, which runs every line of it: what converts is compared in PyTorch, in the
simulator and in ONNX Runtime at every value; what does not is refused with the text shown. `x` has the shape shown behind the
batch axis. The ops are explained in [Graph and ops](ir.md).

Layers of `qfx.nn` are drop-ins for torch's, with formats of their own. What torch itself does exactly on integers needs no
replacement: it converts as it is, and its result has the format that the op infers. Put `qfx.nn.Quantize` behind it where
that grows too wide.

One dimension goes through images of height 1: `.image` and `.result` name operand and result there.

Some things hold for all lines. The batch axis stays in front and is never mixed. A module that is called twice gives two
sets of values, `fc` and `fc_1`, from the same weights. A model may have several inputs, each read by a `qfx.nn.QuantInput`
or `qfx.nn.Quantize`, and may return a tuple.

A scalar constant is exact where it is a multiple of 2**-24 of at most 24 bits: 0.1 is none. A power of two moves the binary
point and costs nothing on the chip; factors of one or two signed digits, such as 3 or -0.375, take shifts and additions.

A classifier ends in its logits or in `argmax`. A softmax, topk or sort behind them is post-processing on the CPU: the graph
ends before it, and names it. `qfx.host` computes it in float64, `qfx simulate --host` applies it. That is floating point: it
agrees with PyTorch's within rounding errors, and it is no part of what is compared bit by bit. In the middle of a network such
a step is refused.

The last section has all calls of torch that are known, with their names. A function or method has the in-place form of its name,
too: `relu_`, `operator.iadd`. `qfx.convert` makes a layer of it, leaves it as it is with casts before it where they are needed, or
leaves it as it is. The layer of `qfx.nn` does the same, with formats of its own.

"""


def names(call: Call) -> str:
    """Of functions, methods, operators and modules."""
    operators = [f"operator.{name}" for name in call.operators]
    known = [name for name in call.names if dataclasses.replace(call, names=(name,), operators=(), modules={}, others=()).aliases()]
    return ", ".join(f"`{name}`" for name in (*known, *operators, *(f"nn.{kind.__name__}" for kind in call.modules)))


def converts(call: Call) -> str:
    """What `qfx.convert` makes of it."""
    return "a layer" if call.handled and call.layer else "it, with casts" if call.handled else "it" if call.lower else "refused"


def all_names() -> str:
    lines = [
        "## All names",
        "",
        "| torch | in a network of layers | `qfx.convert` makes | layer of `qfx.nn` |",
        "|---|---|---|---|",
    ]
    for call in CALLS:
        cells = names(call), "converts" if call.lower else call.advice, converts(call), f"`{call.layer}`" if call.layer else ""
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", ""])


def test_every_call_that_lowers_has_a_line() -> None:
    """Found in the traces of the lines."""
    used: set[str] = set()
    for row in CONVERTED:
        traced = trace(Line(row.code).eval())
        used |= {call_of(node, traced.layer(node)).name for node in traced.nodes}
    assert [call.name for call in CALLS if call.lower is not None and call.name not in used] == []


def page() -> str:
    """The text of docs/layers.md."""
    sections = (
        table("Layers of qfx.nn", LAYERS, "ops", steps),
        table("Modules of torch", MODULES, "ops", steps),
        table("Functions and methods", FUNCTIONS, "ops", steps),
        table("Post-processing on the CPU", HEADS, "steps", step_of_the_host),
        table("Refused", REFUSED, "the message says", refusal),
        all_names(),
    )
    return INTRODUCTION + "\n".join(section.rstrip() + "\n" for section in sections)


def test_the_page_is_up_to_date(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "docs/layers.md is not what the table says; run pytest --update-golden on this file"
