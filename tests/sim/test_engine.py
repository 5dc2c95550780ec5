"""The integer engine: checks, kept values, bounded memory."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from qfx.errors import ExactnessError, GraphError, InputError
from qfx.fixed import FixedType, IntArray
from qfx.ir import Graph, GraphBuilder
from qfx.ir.proof import prove
from qfx.ops import Conv2d, Linear, ReLU, Requantize, Reshape
from qfx.ops.sampling import random_codes
from qfx.sim import FastSimulator, Simulator, engine, simulate_chunks

U4 = FixedType(False, 4, 2)


def network() -> Graph:
    build = GraphBuilder("net")
    x = build.input("x", U4, (2, 6, 5))
    w = build.constant("conv.weight", FixedType(True, 4, 3), random_codes(FixedType(True, 4, 3), (3, 2, 3, 3), 1))
    act = build.add("act", ReLU(), build.add("conv", Conv2d(stride=(2, 1)), x, w))
    quant = build.add("act.quant", Requantize(U4), act)
    flat = build.add("flat", Reshape((18,)), quant)
    head = build.constant("head.weight", FixedType(True, 6, 3), random_codes(FixedType(True, 6, 3), (4, 18), 2))
    return build.build(build.add("head", Linear(), flat, head))


def images(count: int) -> IntArray:
    return random_codes(U4, (count, 2, 6, 5), 5)


def test_every_value_is_returned_or_the_ones_asked_for() -> None:
    graph = network()
    everything = Simulator(graph).run({"x": images(3)})
    assert list(everything) == ["x", "conv", "act", "act.quant", "flat", "head"]
    assert {name: codes.shape for name, codes in everything.items()}["conv"] == (3, 3, 2, 3)
    for wanted in ({"act"}, {"x", "conv", "head"}):
        only = FastSimulator(graph, wanted).run({"x": images(3)})
        assert list(only) == [name for name in everything if name in wanted]
        assert all(np.array_equal(codes, everything[name]) for name, codes in only.items())
    assert list(FastSimulator(graph).run({"x": images(3)})) == ["head"]


def test_batches_of_other_sizes_by_one_simulator() -> None:
    simulator, wanted = FastSimulator(network()), Simulator(network()).run({"x": images(7)})["head"]
    for count in (7, 2, 0, 7, 1):
        assert np.array_equal(simulator.run({"x": images(7)[:count]})["head"], wanted[:count])


def test_samples_do_not_influence_each_other() -> None:
    graph = network()
    batch = Simulator(graph).run({"x": images(7)})["head"]
    single = [Simulator(graph).run({"x": images(7)[i : i + 1]})["head"] for i in range(7)]
    assert np.array_equal(batch, np.concatenate(single))


def test_chunks_equal_one_batch_and_take_any_integer_dtype() -> None:
    graph = network()
    whole = Simulator(graph).run({"x": images(10)})["head"]
    chunks = list(simulate_chunks(graph, {"x": images(10).astype(np.uint8)}, chunk=4))
    assert [len(chunk["head"]) for chunk in chunks] == [4, 4, 2]
    assert np.array_equal(np.concatenate([chunk["head"] for chunk in chunks]), whole)


def test_the_chunk_size_bounds_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = network()
    per_sample = 8 * (60 + 18 * 4 + 4)
    assert engine.chunk_size(graph) == engine.CHUNK_BYTES // per_sample
    monkeypatch.setattr(engine, "CHUNK_BYTES", 1)
    assert engine.chunk_size(graph) == 1


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "input 'x' is missing; the network wants x"),
        ({"x": np.zeros((1, 2, 5, 6), np.int64)}, "input 'x' has shape (1, 2, 5, 6), wanted (batch, 2, 6, 5)"),
        ({"x": np.zeros((1, 2, 6, 5))}, "input 'x' has dtype float64; it wants integer codes of ap_ufixed<4, 2>"),
        ({"x": np.full((1, 2, 6, 5), 16)}, "input 'x' has codes from 16 to 16, outside 0..15 of ap_ufixed<4, 2>"),
        ({"x": np.full((1, 2, 6, 5), -1)}, "outside 0..15"),
    ],
)
def test_bad_inputs_are_refused(inputs: dict[str, IntArray], message: str) -> None:
    for simulator in (Simulator(network()), FastSimulator(network())):
        with pytest.raises(InputError, match=re.escape(message)):
            simulator.run(inputs)


def test_a_value_that_leaves_its_format_is_caught() -> None:
    graph = network()
    graph.values["conv"] = replace(graph.values["conv"], type=FixedType(True, 3, 5))
    with pytest.raises(GraphError, match=r"node 'conv': codes from -?\d+ to -?\d+ leave FixedType\(signed=True, width=3, frac=5\)"):
        Simulator(graph).run({"x": images(4)})


def test_the_proof_widens_only_the_nodes_that_need_it() -> None:
    build = GraphBuilder("wide")
    x = build.input("x", FixedType(True, 16, 8), (4, 6, 6))
    w = build.constant("w", FixedType(True, 12, 8), random_codes(FixedType(True, 12, 8), (2, 4, 3, 3), 1))
    conv = build.add("conv", Conv2d(), x, w)
    cut = build.add("cut", Requantize(FixedType(True, 8, 3)), conv)
    proofs = prove(build.build(build.add("act", ReLU(), cut)))
    assert {name: proof.accumulator for name, proof in proofs.items()} == {"conv": "float64", "cut": "float64", "act": "float32"}
    assert proofs["act"].bits == 8


def test_what_no_accumulator_holds_is_refused_with_layer_and_formats() -> None:
    build = GraphBuilder("huge")
    x = build.input("x", FixedType(True, 60, 80), (1,))
    graph = build.build(build.add("cut", Requantize(FixedType(True, 8, 4)), x))
    message = r"node 'cut' \(requantize of x ap_fixed<60, -20>\): an intermediate reaches 76 bits, above the 63"
    with pytest.raises(ExactnessError, match=message):
        prove(graph)
