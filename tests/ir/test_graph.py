"""Graph building, verification, printing and storage."""

from __future__ import annotations

import contextlib
import errno
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qfx.errors import GraphError, WriteError
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.ir import Graph, GraphBuilder, Node, Value, load_graph, save_graph
from qfx.ops import Add, Affine, AvgPool2d, Linear, ReLU, Requantize, Reshape

S8 = FixedType(True, 8, 4)


def small_graph() -> Graph:
    """Two branches of one input, added and reduced."""
    build = GraphBuilder("small")
    x = build.input("x", S8, (2, 3, 3))
    scale = build.constant("bn.scale", FixedType(True, 4, 2), np.array([3, -2]))
    offset = build.constant("bn.offset", FixedType(True, 4, 1), np.array([7, -8]))
    bn = build.add("bn", Affine(), x, scale, offset, source="model.bn")
    act = build.add("act", ReLU(), bn)
    cut = build.add("act.quant", Requantize(FixedType(False, 4, 2), Rounding.RND_CONV, Overflow.WRAP), act)
    pool = build.add("pool", AvgPool2d((3, 3), (3, 3), reciprocal=FixedType(False, 8, 11)), build.add("sum", Add(), cut, x))
    flat = build.add("flat", Reshape((2,)), pool)
    weight = build.constant("head.weight", FixedType(True, 3, 2), np.array([[1, -4], [3, 0], [2, 2]]))
    return build.build(build.add("head", Linear(), flat, weight))


def test_print_is_one_line_per_value() -> None:
    assert small_graph().text().splitlines() == [
        "graph small",
        "  input  x: ap_fixed<8, 4> [2, 3, 3]",
        "  bn: ap_fixed<11, 5> [2, 3, 3] = affine() x, bn.scale, bn.offset",
        "  act: ap_ufixed<10, 4> [2, 3, 3] = relu() bn",
        "  act.quant: ap_ufixed<4, 2> [2, 3, 3] = requantize(type=ap_ufixed<4, 2>, rounding=AP_RND_CONV, overflow=AP_WRAP) act",
        "  sum: ap_fixed<9, 5> [2, 3, 3] = add() act.quant, x",
        "  pool: ap_fixed<21, 6> [2, 1, 1] = avg_pool2d(kernel=(3, 3), stride=(3, 3), reciprocal=ap_ufixed<8, -3>) sum",
        "  flat: ap_fixed<21, 6> [2] = reshape(shape=(2,)) pool",
        "  head: ap_fixed<24, 7> [3] = linear() flat, head.weight",
        "  output head",
    ]


def test_consumers_and_activations() -> None:
    graph = small_graph()
    assert [node.name for node in graph.consumers("x")] == ["bn", "sum"]
    assert graph.consumers("head") == [] and graph.consumers("nothing") == []
    assert graph.activations() == ["x", "bn", "act", "act.quant", "sum", "pool", "flat", "head"]
    assert graph.node("sum").inputs == ("act.quant", "x")
    with pytest.raises(GraphError, match="graph 'small' has no node 'nothing'"):
        graph.node("nothing")


def test_consumers_are_those_of_now() -> None:
    """They are looked up in an index, which a graph that has grown or changed in place makes anew."""
    build = GraphBuilder("grows")
    x = build.input("x", S8, (2,))
    graph = build.build(build.add("twice", Add(), x, x))
    assert [node.name for node in graph.consumers("x")] == ["twice", "twice"]
    graph.consumers("x").clear()
    graph = build.build(build.add("more", ReLU(), x))
    assert [node.name for node in graph.consumers("x")] == ["twice", "twice", "more"]
    graph.nodes[1] = Node("more", ReLU(), ("twice",))
    assert [node.name for node in graph.consumers("twice")] == ["more"] and len(graph.consumers("x")) == 2


def test_a_graph_survives_its_files(tmp_path: Path) -> None:
    graph = small_graph()
    save_graph(graph, tmp_path)
    loaded = load_graph(tmp_path)
    assert (loaded.text(), loaded.nodes, loaded.inputs, loaded.outputs) == (graph.text(), graph.nodes, graph.inputs, graph.outputs)
    for name, value in graph.values.items():
        assert loaded.values[name] == value
        if value.constant is not None:
            assert np.array_equal(loaded.values[name].codes, value.constant)


def broken(change: str) -> tuple[Graph, str]:
    """A graph with one fault, and the message that must name it."""
    graph = small_graph()
    values, nodes = graph.values, graph.nodes
    if change == "type":
        values["act"] = replace(values["act"], type=FixedType(False, 9, 4))
        return (
            graph,
            "node 'act' (relu) has FixedType(signed=False, width=9, frac=4) [2, 3, 3], wanted FixedType(signed=False, width=10",
        )
    if change == "shape":
        values["flat"] = replace(values["flat"], shape=(1, 2))
        return graph, "node 'flat' (reshape) has FixedType(signed=True, width=21, frac=15) [1, 2], wanted"
    if change == "order":
        nodes[0], nodes[1] = nodes[1], nodes[0]
        return graph, "node 'act' (relu) reads 'bn', which is not defined before it"
    if change == "twice":
        nodes.append(nodes[-1])
        return graph, "node 'head' (linear) defines a value that exists already"
    if change == "range":
        values["bn.scale"] = replace(values["bn.scale"], constant=np.array([3, 9]))
        return graph, "constant 'bn.scale' has a code of magnitude 9 outside FixedType(signed=True, width=4, frac=2)"
    if change == "constant shape":
        values["bn.scale"] = replace(values["bn.scale"], constant=np.array([3, 1, 1]))
        return graph, "constant 'bn.scale' has shape (3,), wanted (2,)"
    if change == "computed constant":
        nodes[-1] = Node("head", Linear(), ("flat", "pool"))
        return graph, "operand weight of linear must be a constant, but 'pool' is computed"
    if change == "operands":
        nodes[-1] = Node("head", Linear(), ("flat",))
        return graph, "linear takes 2 to 3 operands, not 1"
    if change == "output":
        graph.outputs = ["tail"]
        return graph, "output 'tail' is not defined"
    graph.outputs = []
    return graph, "graph 'small' has no outputs"


@pytest.mark.parametrize(
    "change",
    ["type", "shape", "order", "twice", "range", "constant shape", "computed constant", "operands", "output", "no output"],
)
def test_verify_names_the_fault_and_the_step(change: str) -> None:
    graph, message = broken(change)
    with pytest.raises(GraphError, match="after pass 'merge'.*" + re.escape(message)):
        graph.verify("pass 'merge'")


def test_builder_errors_name_node_and_source() -> None:
    build = GraphBuilder("g")
    x = build.input("x", S8, (2, 3, 3))
    weight = build.constant("w", S8, np.zeros((2, 5), np.int64))
    with pytest.raises(GraphError, match=r"node 'head' \(linear\) from model.py:7: linear wants x \(F,\).*flatten x first"):
        build.add("head", Linear(), x, weight, source="model.py:7")
    with pytest.raises(GraphError, match="value 'x' is defined twice"):
        build.input("x", S8, (1,))
    with pytest.raises(GraphError, match="value 'x' is computed; its operand position wants a constant"):
        _ = x.codes


def test_constants_are_stored_as_narrow_as_they_are(tmp_path: Path) -> None:
    build = GraphBuilder("wide")
    x = build.input("x", S8, (3,))
    codes = {"weight": [[1, -2, 3]] * 2, "bias": [-(2**31), 2**31]}
    operands = [build.constant(name, FixedType(True, 40, 4), np.array(array)) for name, array in codes.items()]
    save_graph(build.build(build.add("head", Linear(), x, *operands)), tmp_path)
    with np.load(tmp_path / "graph.npz") as arrays:
        assert [str(arrays[name].dtype) for name in arrays.files] == ["int8", "int64"]
    loaded = load_graph(tmp_path)
    assert all(loaded.values[name].codes.dtype == np.int64 for name in codes)
    assert all(loaded.values[name].codes.tolist() == array for name, array in codes.items())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"no graph in .*: graph.json is missing; export the project again"):
        load_graph(tmp_path)
    save_graph(small_graph(), tmp_path)
    (tmp_path / "graph.npz").unlink()
    with pytest.raises(GraphError, match=r"graph.npz is missing"):
        load_graph(tmp_path)


@pytest.mark.parametrize("name", ["graph.json", "graph.npz"])
def test_a_truncated_file_is_an_error(tmp_path: Path, name: str) -> None:
    save_graph(small_graph(), tmp_path)
    data = (tmp_path / name).read_bytes()
    for size in (0, 1, len(data) // 2, len(data) - 20):
        (tmp_path / name).write_bytes(data[:size])
        with pytest.raises(GraphError, match="holds no readable graph"):
            load_graph(tmp_path)


def test_what_cannot_be_written_leaves_the_former_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WriteError, match=r"graph\.json cannot be written: .*; make the folder .*none first"):
        save_graph(small_graph(), tmp_path / "none")
    save_graph(small_graph(), tmp_path)

    def full(file: Any, **arrays: Any) -> None:
        with contextlib.nullcontext(file) if hasattr(file, "write") else Path(file).open("wb") as stream:
            stream.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(WriteError, match=r"graph\.npz cannot be written: No space left on device; free some space"):
        save_graph(small_graph(), tmp_path)
    assert load_graph(tmp_path).name == "small" and {file.name for file in tmp_path.iterdir()} == {"graph.json", "graph.npz"}


def test_other_versions_and_unknown_ops_are_refused(tmp_path: Path) -> None:
    save_graph(small_graph(), tmp_path)
    path = tmp_path / "graph.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"version": 99}))
    with pytest.raises(GraphError, match="format version 99, this QFX reads version 1"):
        load_graph(tmp_path)
    document["nodes"][0]["kind"] = "winograd"
    path.write_text(json.dumps(document))
    with pytest.raises(GraphError, match="node 'bn' is of unknown kind 'winograd'; known are add, affine"):
        load_graph(tmp_path)


def test_a_pickled_constant_is_never_loaded(tmp_path: Path) -> None:
    save_graph(small_graph(), tmp_path)
    hostile = np.array([print], dtype=object)
    np.savez(tmp_path / "graph.npz", constant_0=hostile, constant_1=hostile, constant_2=hostile, allow_pickle=True)
    with pytest.raises(GraphError, match="holds no readable graph"):
        load_graph(tmp_path)


def entry(document: Any, kind: str) -> Any:
    """The attributes of the first node of a kind."""
    return next(node for node in document["nodes"] if node["kind"] == kind)["attributes"]


DAMAGE: dict[str, tuple[Callable[[Any], object], str]] = {
    "attribute of another type": (
        lambda d: entry(d, "linear").update(digits="two"),
        "the attributes of node 'head' make no linear: linear: attribute digits is 'two', which is no int | None",
    ),
    "bool for a number": (lambda d: entry(d, "linear").update(digits=True), "attribute digits is True, which is no int | None"),
    "pair of three": (lambda d: entry(d, "reshape").update(shape=[1.5]), r"attribute shape is (1.5,), which is no tuple[int, ...]"),
    "attribute that is not there": (lambda d: entry(d, "linear").update(power=2), "unexpected keyword argument 'power'"),
    "unknown tag": (lambda d: entry(d, "linear").update(digits={"pickle": 1}), "make no linear: 'pickle'"),
    "two tags": (lambda d: entry(d, "linear").update(digits={"a": 1, "b": 1}), "make no linear: "),
    "no width": (
        lambda d: d["values"][0]["type"].update(width=None),
        "field 'values[0].type.width' is missing or of the wrong kind",
    ),
    "wide": (lambda d: d["values"][0]["type"].update(width=99), "a fixed-point width of 99 bits is outside 1..63"),
    "frac of text": (lambda d: d["values"][0]["type"].update(frac="1"), "field 'values[0].type.frac' is missing"),
    "extent of text": (lambda d: d["values"][0].update(shape=["1"]), "field 'values[0].shape[0]' is missing"),
    "no elements": (lambda d: d["values"][0].update(shape=[2, 0, 3]), "value 'x' has shape [2, 0, 3]; every extent is 1 or more"),
    "too many elements": (lambda d: d["values"][0].update(shape=[1 << 40]), "their product 2,147,483,648 or less"),
    "value twice": (lambda d: d["values"].append(d["values"][0]), "value 'x' is there twice"),
    "no name": (lambda d: d["values"][0].update(name=""), "value '' needs a name of its own that is text"),
    "NUL": (lambda d: d["values"][0].update(name="a\0"), r"has the character '\x00'"),
    "no such input": (lambda d: d.update(inputs=["y"]), "input 'y' is not defined"),
    "input twice": (lambda d: d.update(inputs=["x", "x"]), "input 'x' is there twice"),
    "constant as input": (lambda d: d.update(inputs=["x", "bn.scale"]), "input 'bn.scale' is a constant"),
    "more constants": (lambda d: d["values"][0].update(constant=True), "has no array in graph.npz; export the project again"),
    "no list": (lambda d: d.update(nodes={}), "field 'nodes' is missing or of the wrong kind"),
    "input in a list": (lambda d: d["nodes"][0].update(inputs=[["x"]]), "field 'nodes[0].inputs[0]' is missing"),
    "step without an axis": (
        lambda d: d.update(host=[{"name": "p", "kind": "softmax", "source": "head"}]),
        "field 'host[0].axis' is missing",
    ),
    "kind of nothing": (lambda d: d["nodes"][0].update(kind=["x"]), "field 'nodes[0].kind' is missing"),
    "result that is not listed": (lambda d: d["nodes"][0].update(name="other"), "computes a value that the graph does not list"),
    "version of text": (lambda d: d.update(version=["1"]), "has format version ['1'], this QFX reads version 1"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_named(what: str, tmp_path: Path) -> None:
    save_graph(small_graph(), tmp_path)
    change, message = DAMAGE[what]
    document = json.loads((tmp_path / "graph.json").read_text())
    change(document)
    (tmp_path / "graph.json").write_text(json.dumps(document))
    with pytest.raises(GraphError, match=re.escape(message)):
        load_graph(tmp_path)


def test_constants_of_another_kind(tmp_path: Path) -> None:
    save_graph(small_graph(), tmp_path)
    with np.load(tmp_path / "graph.npz") as arrays:
        changed = {name: array.astype(np.float64) for name, array in arrays.items()}
    np.savez(tmp_path / "graph.npz", **changed)  # pyright: ignore[reportArgumentType]
    with pytest.raises(GraphError, match=r"constant '.*' has an array of float64 in graph.npz; export the project again"):
        load_graph(tmp_path)


def test_a_source_that_is_no_text_is_written_as_far_as_it_is(tmp_path: Path) -> None:
    graph = small_graph()
    graph.nodes[0] = replace(graph.nodes[0], source="models\udcff.py")
    save_graph(graph, tmp_path)
    assert load_graph(tmp_path).nodes[0].source == "models?.py"


def test_values_are_made_of_what_they_say() -> None:
    for given in ((3, S8, (1,)), ("x", "ap_fixed<8, 4>", (1,)), ("x", S8, [1]), ("x", S8, (1.5,)), ("x", S8, (True,))):
        with pytest.raises(GraphError, match="a value is made of a name, a FixedType and a tuple of ints, not of "):
            Value(*given)  # pyright: ignore[reportArgumentType]
    for constant in ([1], np.zeros(1), np.zeros(1, "m8[s]")):
        with pytest.raises(GraphError, match=r"constant 'x' is a \w+ and no array of int64 codes"):
            Value("x", S8, (1,), constant)  # pyright: ignore[reportArgumentType]
