"""Comparing engines: every value counts, the first difference is found, memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qfx.engines import comparison
from qfx.engines.comparison import chunk_size, compare_engines
from qfx.engines.protocol import Values
from qfx.engines.report import totals
from qfx.errors import ProjectError
from qfx.fixed import IntArray
from qfx.ops.sampling import random_codes
from qfx.sim import Simulator
from tests.networks import residual_network

GRAPH = residual_network()
IMAGES = random_codes(GRAPH.values["x"].type, (20, 2, 5, 6), 3)
ELEMENTS = sum(GRAPH.values[node.name].size for node in GRAPH.nodes)


class Fake:
    """The simulator under another name, with its values changed by `change`."""

    def __init__(
        self, name: str, change: Callable[[dict[str, npt.NDArray[Any]], IntArray], object] = lambda values, x: None
    ) -> None:
        self.name = name
        self.batches: list[int] = []
        self._change = change

    def run(self, inputs: dict[str, IntArray]) -> Values:
        values: dict[str, npt.NDArray[Any]] = {**Simulator(GRAPH).run(inputs)}
        self.batches.append(len(inputs["x"]))
        self._change(values, inputs["x"])
        return values


def bump(layer: str, sample: int, index: tuple[int, ...], by: float = 1) -> Callable[[dict[str, npt.NDArray[Any]], IntArray], None]:
    """Changes one element of one sample, wherever in the chunks it comes."""

    def change(values: dict[str, npt.NDArray[Any]], x: IntArray) -> None:
        rows = [row for row, image in enumerate(x) if np.array_equal(image, IMAGES[sample])]
        if isinstance(by, float):
            values[layer] = values[layer].astype(np.float64)
        for row in rows:
            values[layer][(row, *index)] += by

    return change


def test_agreement() -> None:
    report = compare_engines(GRAPH, [Fake("a"), Fake("b"), Fake("c")], IMAGES)
    assert (report.engines, report.samples, report.mismatches, report.first) == (("a", "b", "c"), 20, 0, None)
    assert report.values_compared == 20 * ELEMENTS * 2
    document = report.document()
    assert list(document) == ["engines", "samples", "values_compared", "mismatches", "layers"]
    assert [layer["name"] for layer in document["layers"]] == [node.name for node in GRAPH.nodes]
    assert document["layers"][0] == {
        "name": "stem.conv",
        "op": "conv2d",
        "type": "ap_fixed<11, 6>",
        "values": 90,
        "compared": 3600,
        "mismatches": 0,
    }
    assert sum(layer["values"] for layer in document["layers"]) == ELEMENTS


def test_the_first_layer_is_named_even_if_a_later_chunk_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "CHUNK_BYTES", 8 * 2 * (60 + ELEMENTS) * 3)

    def change(values: dict[str, npt.NDArray[Any]], x: IntArray) -> None:
        bump("head", 1, (2,))(values, x)
        bump("stem", 19, (2, 4, 5))(values, x)
        bump("stem", 18, (0, 1, 3), -1)(values, x)

    report = compare_engines(GRAPH, [Fake("sim"), Fake("csim", change)], IMAGES)
    assert report.mismatches == 3
    assert {layer.name: layer.mismatches for layer in report.layers if layer.mismatches} == {"stem": 2, "head": 1}
    first = report.first
    assert first is not None
    assert (first.layer, first.op, first.sample, first.index, first.engines) == ("stem", "requantize", 18, (0, 1, 3), ("csim",))
    code = int(Simulator(GRAPH).run({"x": IMAGES})["stem"][18, 0, 1, 3])
    assert first.codes == {"sim": code, "csim": code - 1}
    assert first.reals == {"sim": code / 4, "csim": (code - 1) / 4}
    assert first.text() == (
        f"first mismatch: layer stem (requantize), sample 18, element [0, 1, 3]\n"
        f"  sim    {code:>12}  = {code / 4!r}\n"
        f"  csim   {code - 1:>12}  = {(code - 1) / 4!r}\n"
        "  format ap_ufixed<4, 2>, FixedType(signed=False, width=4, frac=2)\n"
        "  operand stem.act: ap_ufixed<17, 3>, FixedType(signed=False, width=17, frac=14)"
    )
    assert report.document()["first_mismatch"] == {
        "layer": "stem",
        "op": "requantize",
        "sample": 18,
        "index": [0, 1, 3],
        "engines": ["csim"],
        "codes": {"sim": code, "csim": code - 1},
        "reals": {"sim": repr(code / 4), "csim": repr((code - 1) / 4)},
        "type": "ap_ufixed<4, 2>",
        "operands": {"stem.act": "ap_ufixed<17, 3>"},
    }


def test_an_input_that_an_engine_has_read_wrong_is_named() -> None:
    """The layers behind it compute what they are given."""
    right = Simulator(GRAPH).run({"x": IMAGES})
    read: IntArray = IMAGES.astype(np.int64)
    read[7, 1, 2, 3] = 15 - read[7, 1, 2, 3]

    def change(values: dict[str, npt.NDArray[Any]], x: IntArray) -> None:
        values.update(Simulator(GRAPH).run({"x": read}))

    report = compare_engines(GRAPH, [Fake("sim"), Fake("csim", change)], IMAGES)
    first = report.first
    assert first is not None and (first.layer, first.op, first.sample, first.index) == ("x", "input", 7, (1, 2, 3))
    assert first.codes == {"sim": int(right["x"][7, 1, 2, 3]), "csim": int(read[7, 1, 2, 3])} and first.operands == {}
    assert (report.layers[0].name, report.layers[0].op, report.layers[0].mismatches) == ("x", "input", 1)
    assert report.layers[1].name == "stem.conv" and report.layers[1].mismatches > 0 and len(report.layers) == len(GRAPH.nodes) + 1


def test_every_engine_is_compared_with_the_first() -> None:
    report = compare_engines(GRAPH, [Fake("a", bump("add", 4, (0, 0, 0))), Fake("b"), Fake("c", bump("add", 4, (0, 0, 0)))], IMAGES)
    assert report.mismatches == 1
    assert report.first is not None and report.first.engines == ("b",) and list(report.first.codes) == ["a", "b", "c"]


@pytest.mark.parametrize("by", [0.5, float("nan"), float("inf"), 2.0**-40])
def test_a_value_off_the_grid_is_a_mismatch(by: float) -> None:
    for engines in (
        [Fake("torch", bump("head", 0, (1,), by)), Fake("sim")],
        [Fake("sim"), Fake("torch", bump("head", 0, (1,), by))],
    ):
        report = compare_engines(GRAPH, engines, IMAGES)
        assert report.mismatches == 1 and report.first is not None
        assert isinstance(report.first.codes["torch"], float) and isinstance(report.first.codes["sim"], int)
        assert repr(report.first.codes["torch"]) in report.first.text()


def test_whole_floats_agree() -> None:
    assert compare_engines(GRAPH, [Fake("torch", bump("head", 0, (1,), 0.0)), Fake("sim")], IMAGES).mismatches == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    per_sample = 8 * 2 * (60 + ELEMENTS)
    assert chunk_size(GRAPH, 2) == comparison.CHUNK_BYTES // per_sample
    monkeypatch.setattr(comparison, "CHUNK_BYTES", 8 * per_sample)
    one, two = Fake("a"), Fake("b")
    told: list[tuple[str, int, int]] = []
    compare_engines(GRAPH, [one, two], IMAGES, lambda task, done, total: told.append((task, done, total)))
    assert one.batches == two.batches == [6, 7, 7]
    assert [item for item in told if item[0] == "compare"] == [("compare", 6, 20), ("compare", 13, 20), ("compare", 20, 20)]
    monkeypatch.setattr(comparison, "CHUNK_BYTES", per_sample)
    one.batches.clear()
    compare_engines(GRAPH, [one, two], IMAGES)
    assert one.batches == [3, 3, 4, 3, 3, 4]  # several at least


def test_few_samples_are_run_again() -> None:
    """What differs in the second run of a sample only, as where state is kept between frames, differs; each element counts once."""

    def change(values: dict[str, npt.NDArray[Any]], x: IntArray) -> None:
        values["head"][len(x) - 1 :, 2] += 1
        values["head"][2:, 0] -= 1

    for count, batch in ((1, 3), (2, 4)):
        fake = Fake("csim", change)
        report = compare_engines(GRAPH, [Fake("sim"), fake], IMAGES[:count])
        assert fake.batches == [batch]
        assert (report.samples, report.values_compared, report.mismatches) == (count, count * ELEMENTS, 3 if count == 2 else 2)
        assert report.first is not None and (report.first.layer, report.first.sample, report.first.index) == ("head", 0, (0,))
        code = int(Simulator(GRAPH).run({"x": IMAGES})["head"][0, 0])
        assert report.first.codes == {"sim": code, "csim": code - 1}


def test_an_engine_that_leaves_a_layer_out() -> None:
    with pytest.raises(ProjectError, match="engine b gave no value for layer 'pool'; the project and its engines do not belong"):
        compare_engines(GRAPH, [Fake("a"), Fake("b", lambda values, x: values.pop("pool"))], IMAGES)


def test_an_engine_that_gives_another_shape() -> None:
    def change(values: dict[str, npt.NDArray[Any]], x: IntArray) -> None:
        values["pool"] = values["pool"][:, :, 0]

    with pytest.raises(ProjectError, match=r"engine b gave layer 'pool' the shape \(20, 3, 1\), wanted \(20, 3, 1, 1\)"):
        compare_engines(GRAPH, [Fake("a"), Fake("b", change)], IMAGES)


def test_outputs_only() -> None:
    def change(values: dict[str, npt.NDArray[Any]], x: IntArray) -> None:
        bump("head", 4, (2,))(values, x)
        values["stem"] += 1
        del values["pool"]

    report = compare_engines(GRAPH, [Fake("a"), Fake("b", change)], IMAGES, outputs_only=True)
    assert [(layer.name, layer.mismatches) for layer in report.layers] == [("head", 1)]
    assert report.values_compared == 20 * 4 and report.document()["outputs_only"] is True
    assert chunk_size(GRAPH, 2, outputs_only=True) == comparison.CHUNK_BYTES // (8 * 2 * (60 + 4))


def test_totals_over_projects() -> None:
    good = compare_engines(GRAPH, [Fake("a"), Fake("b")], IMAGES)
    bad = compare_engines(GRAPH, [Fake("a"), Fake("b", bump("head", 3, (0,)))], IMAGES)
    document = totals({"one": good, "two": bad})
    assert (document["engines"], document["samples"], document["mismatches"]) == (["a", "b"], 20, 1)
    assert document["values_compared"] == 2 * 20 * ELEMENTS
    assert len(document["layers"]) == 2 * len(GRAPH.nodes) and document["layers"][0]["name"] == "one/stem.conv"
    assert document["projects"] == {"one": good.document(), "two": bad.document()}
