"""A stream that carries too many or too few words: the stage at fault is the one whose count is wrong."""

from __future__ import annotations

import pytest

from qfx.sim.csim_layout import Flow
from qfx.sim.stream_faults import explained

FLOWS = {
    "s": Flow(4, "", "first<layer::a>"),
    "a": Flow(4, "first<layer::a>", "second<layer::b>"),
    "b": Flow(2, "second<layer::b>", "third<layer::c>"),
    "m": Flow(3, "third<layer::c>", ""),
}


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        (
            "stream 'a' is read while it is empty, after 12 words, in a call of 3 frames",
            "second<layer::b> reads more than the 4 of a frame",
        ),
        (
            "stream 'a' is read while it is empty, after 11 words, in a call of 3 frames",
            "first<layer::a> writes fewer than the 4 of a frame",
        ),
        ("stream 'b' has 1 words left at the end, of 2, in a call of 1 frame", "third<layer::c> reads fewer than the 2 of a frame"),
        (
            "stream 'b' has 1 words left at the end, of 3, in a call of 1 frame",
            "second<layer::b> writes more than the 2 of a frame",
        ),
    ],
)
def test_the_stage_whose_count_is_wrong(line: str, stage: str) -> None:
    assert explained(line, FLOWS) == f"{line}: {stage}"
    assert explained(line, {}) == line


def test_other_lines_stay_and_earlier_stages_come_first() -> None:
    third, first = (
        f"stream '{name}' has 1 words left at the end, of {count}, in a call of 1 frame" for name, count in (("b", 2), ("a", 5))
    )
    found = explained(f"{third}\nno stream\n{first}", FLOWS).splitlines()
    assert [line.partition(": ")[2][:15] for line in found] == ["first<layer::a>", "third<layer::c>", ""] and found[
        2
    ] == "no stream"
    outside = "stream 'm' has 3 words left at the end, of 3, in a call of 1 frame"
    assert explained(outside, FLOWS) == outside
