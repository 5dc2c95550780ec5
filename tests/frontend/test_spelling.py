"""Submodules with names that Python code cannot spell: they keep them in graphs and C++, and lose nothing on the way."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import qfx
from qfx import nn as qnn
from qfx.frontend.spelling import can_spell, spellings
from qfx.frontend.trace import trace
from qfx.quant import QuantSpec

QUOTED = ('a"b', "a\\b", "a\nb", "a\0b")
ODD = (
    "class",
    "class_",
    "None",
    "\u017f",
    "s",
    "e\u0301",
    "\u00e9",
    'a"b',
    "a\\b",
    "a\nb",
    "a\0b",
    "a b",
    "größe",
    "GRÖSSE",
    "x" * 250,
)

NOTHING = np.zeros((1, 2, 5, 5), np.int64)


class Named(nn.Module):
    """A chain of convolutions under these names, the last of them twice."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleDict({name: nn.Conv2d(2, 2, 1) for name in names})

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers.values():
            x = torch.relu(layer(x))
        return layer(x)  # pyright: ignore[reportPossiblyUnboundVariable]


@pytest.mark.parametrize(
    ("name", "can"),
    [
        ("conv", True),
        ("0", True),
        ("a b", True),
        ("größe", True),
        ("class", False),
        ("None", False),
        ("\u017f", False),
        ('"', False),
    ],
)
def test_what_can_be_spelt(name: str, can: bool) -> None:
    assert can_spell(name) is can


def test_spellings_are_unique_and_deterministic() -> None:
    module = Named(ODD)
    found = spellings(module, reserved=("layers",))
    assert len(set(found.values())) == len(found)
    assert found["layers.class"] == "layers_.class__" and found["layers.class_.weight"] == "layers_.class_.weight"
    assert found == spellings(copy.deepcopy(module), ("layers",))
    assert spellings(Named(("conv", "a b"))) == {path: path for path in spellings(Named(("conv", "a b")))}


def test_a_trace_keeps_the_paths_of_the_model() -> None:
    model = Named(ODD)
    traced = trace(model)
    layers = [node for node in traced.nodes if node.op == "call_module"]
    assert [traced.paths[node] for node in layers] == [f"layers.{name}" for name in (*ODD, ODD[-1])]
    assert all(traced.layer(node) is model.get_submodule(traced.paths[node]) for node in layers)
    x = torch.randn(1, 2, 3, 3)
    torch.testing.assert_close(traced.module(x), model(x), rtol=0, atol=0)


def test_it_converts_copies_saves_and_agrees(tmp_path: Path) -> None:
    x = torch.randn(4, 2, 5, 5)
    model = qfx.convert(Named(ODD), x)
    wanted = model(x)
    stream = io.BytesIO()
    pickle.dump(model, stream)
    stream.seek(0)
    qfx.save(model, tmp_path / "net.qfx")
    for other in (copy.deepcopy(model), pickle.load(stream), qfx.load(tmp_path / "net.qfx")):
        assert torch.equal(other.eval()(x), wanted)
    graph = qfx.lower(model, (2, 5, 5))
    project = qfx.write_project(graph, tmp_path / "project", NOTHING, model)
    assert qfx.verify(project, "torch,sim,onnx", samples=20).mismatches == 0


@pytest.mark.compiler
def test_its_cpp_compiles_and_agrees(tmp_path: Path) -> None:
    x = torch.randn(4, 2, 3, 3)
    graph = qfx.lower(qfx.convert(Named(("class", 'a"b', "größe", "GRÖSSE")), x), (2, 3, 3))
    project = qfx.write_project(graph, tmp_path / "project", NOTHING[:, :, :3, :3])
    assert qfx.verify(project, "sim,csim", samples=4).mismatches == 0


def test_layers_of_qfx_keep_such_names_in_the_graph() -> None:
    spec = QuantSpec(8, frac=4, learn=False)
    module = nn.ModuleDict({"class": qnn.Quantize(spec)})

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = module

        def forward(self, x: Tensor) -> Tensor:
            return torch.flatten(self.layers["class"](x), 1).relu()

    x = torch.randn(2, 3)
    model = qnn.Model(Net()).eval()
    graph = qfx.lower(model, (3,))
    assert "layers.class.quant" in [node.name for node in graph.nodes]
    assert torch.equal(model(x), Net()(x))


def test_a_network_that_code_cannot_spell_is_not_made_anew(tmp_path: Path) -> None:
    net = nn.Sequential()
    net.add_module("class", qnn.Quantize(QuantSpec(8, frac=4, learn=False)))
    qfx.save(net, tmp_path / "net.qfx")
    with pytest.raises(qfx.errors.InputError, match="'class' has a name that code cannot spell; make one, and load into it"):
        qfx.load(tmp_path / "net.qfx")
    assert qfx.load(tmp_path / "net.qfx", net) is net


def test_a_graph_name_that_no_file_can_have() -> None:
    net = nn.Sequential(qnn.Quantize(QuantSpec(8, frac=4, learn=False)), nn.ReLU())
    with pytest.raises(
        qfx.errors.LoweringError, match=r"the graph name n{20}\.\.\. has 101 characters, and files are named after it; 100 at most"
    ):
        qfx.lower(net, (3,), "n" * 101)
    with pytest.raises(qfx.errors.LoweringError, match="the graph name 'größe' is no C identifier"):
        qfx.lower(net, (3,), "größe")
