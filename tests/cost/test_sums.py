"""What a whole node costs is the sum of its parts: a lane as often as there are lanes, and the counters that its loops need."""

from __future__ import annotations

import pytest

from qfx.export.cost.resources import Resources
from qfx.export.hls.node_folds import Candidates
from qfx.fixed import FixedType, Overflow
from qfx.ir import Graph, GraphBuilder, Value
from qfx.ops import Add, AvgPool2d, Clamp, Conv2d, MaxPool2d, Op, ReLU, Requantize
from qfx.ops.sampling import constant

S4 = FixedType(True, 4, 2)


def one(op: Op, width: int, height: int = 6, *, operands: int = 1, constants: tuple[Value, ...] = ()) -> Graph:
    """The op on images of 8 channels in a signed format of `width` bits."""
    build = GraphBuilder("one")
    inputs = [build.input(f"x{number}", FixedType(True, width, 2), (8, height, 6)) for number in range(operands)]
    return build.build(build.add("y", op, *inputs, *(build.constant(value.name, value.type, value.codes) for value in constants)))


def by_lanes(graph: Graph) -> dict[int, Resources]:
    """Codes per word -> what the node costs, whole pixels among them."""
    (node,), candidates = graph.nodes, Candidates(graph)
    return {fold.writes: candidates.of(node, fold).cost for fold in candidates.folds(node) if fold.product in ("", "dsp")}


@pytest.mark.parametrize(
    ("op", "operands"),
    [(Clamp(-8, 7, 2), 1), (Requantize(S4, overflow=Overflow.SAT), 1), (ReLU(), 1), (Add(), 2)],
    ids=lambda value: getattr(value, "kind", None),
)
def test_a_lane_costs_the_same_as_often_as_there_are_lanes(op: Op, operands: int) -> None:
    """Counters and control do not see the width of a code, so that wider codes cost more per lane and nothing else."""
    narrow, wide = (by_lanes(one(op, width, operands=operands)) for width in (8, 16))
    lanes = sorted(narrow.keys() & wide.keys())
    assert lanes[:4] == [1, 2, 4, 8] and max(lanes) > 8
    lane = wide[1].lut - narrow[1].lut
    assert lane > 1
    for count in lanes:
        assert wide[count].lut - narrow[count].lut == pytest.approx(count * lane)


@pytest.mark.parametrize(
    ("op", "counters"),
    [
        (ReLU(), 1),
        (Conv2d(), 1),
        (MaxPool2d((2, 1), (2, 1)), 2),
        (AvgPool2d((2, 1), (2, 1)), 2),
        (Conv2d(stride=(2, 1)), 2),
    ],
    ids=["relu", "1x1", "max_pool2d", "avg_pool2d", "conv2d"],
)
def test_a_window_costs_counters_of_its_own(op: Op, counters: int) -> None:
    """An image of twice the height has a bit more in the counter of the rows that go out and, with a window, of those that come."""
    kernel = (8, 8, 1, 1) if counters == 1 else (8, 8, 2, 1)
    constants = (constant("w", S4, kernel, 1),) if isinstance(op, Conv2d) else ()
    low, middle, high = (by_lanes(one(op, 8, height, constants=constants))[1] for height in (8, 16, 32))
    assert middle.ff - low.ff == high.ff - middle.ff == counters
    assert high.lut - middle.lut == pytest.approx(middle.lut - low.lut)
    assert middle.lut > low.lut
