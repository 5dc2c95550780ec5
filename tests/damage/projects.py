"""The projects that are damaged: one with every kind of layer, one with recorded torch values, one with several ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from qfx.export.accelerator import AcceleratorOptions, accelerate
from qfx.frontend import lower
from qfx.ir import Graph, GraphBuilder, HostStep
from qfx.ops import Add, Lookup, Rearrange, Requantize, Slice
from qfx.ops.sampling import random_codes
from qfx.project import write_project
from tests.error_models import Net
from tests.networks import S5, U4, residual_network


def several_ends() -> Graph:
    """Inputs `a` and `b` (2, 3), outputs `total` and `part`, and a softmax on the CPU."""
    build = GraphBuilder("ends")
    a, b = build.input("a", U4, (2, 3)), build.input("b", S5, (2, 3))
    table = build.constant("table", S5, random_codes(S5, (16,), 1))
    total = build.add("total", Requantize(S5), build.add("sum", Add(), build.add("look", Lookup("sigmoid"), a, table), b))
    turned = build.add("turned", Rearrange((2, 3), (1, 0), (3, 2)), b)
    part = build.add("part", Slice((0, 0), (3, 2), (2, 1)), turned)
    return build.build(total, part, host=[HostStep("share", "softmax", "total", 0)])


def write_projects(home: Path) -> list[Path]:
    """Write them into `home`."""
    torch.manual_seed(0)
    model = Net().eval()
    graphs = {"layers": residual_network(), "recorded": lower(model, (6,)), "ends": several_ends()}
    for name, graph in graphs.items():
        codes = {end: np.zeros((1, *graph.values[end].shape), np.int64) for end in graph.inputs}
        made = accelerate(graph, AcceleratorOptions(folding="plain"))
        write_project(made, home / name, codes, model if name == "recorded" else None)
    return [home / name for name in graphs]
