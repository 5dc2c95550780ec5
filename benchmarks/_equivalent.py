"""A planted change of generated C++, and the list of those that change no value, each with its proof (see mutate.py)."""

from __future__ import annotations

import re
from dataclasses import dataclass

WINDOWS = frozenset({"conv", "pool", "deep", "mean", "group"})
"""Layers before which a window slides; for each of them a kernel position is one word (INSIDE = 1), and a step is made every cycle
(SCAN_EVERY = 1)."""

FULL_TURNS = WINDOWS - {"pool"}
"""Those with as many steps as cycles in a turn, and of which one window begins one word after the other."""


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        project: name of the network.
        kind: `table`, `setting`, `mode` or `kernel`.
        file: relative to `hls/`.
        line: number, from 0.
        before, after: the line without and with the change.
        layers: that may be named, by their C++ names.
    """

    project: str
    kind: str
    file: str
    line: int
    before: str
    after: str
    layers: frozenset[str]

    @property
    def text(self) -> str:
        """`khot layers.hpp:61 setting`, and both lines."""
        return f"{self.project} {self.file}:{self.line + 1} {self.kind}\n  - {self.before.strip()}\n  + {self.after.strip()}"


@dataclass(frozen=True)
class Equivalent:
    """Changes that change no value.

    Attributes:
        before, after: regular expressions found in the line without and with the change.
        reason: the proof.
        layers: those for which it holds; None for all.
        one_more: it holds for a number that has become larger by one.
    """

    before: str
    after: str
    reason: str
    layers: frozenset[str] | None = None
    one_more: bool = False

    def holds(self, mutant: Mutant) -> bool:
        """Whether it proves this one equivalent."""
        if self.layers is not None and not mutant.layers <= self.layers:
            return False
        old, new = (re.search(pattern, line) for pattern, line in ((self.before, mutant.before), (self.after, mutant.after)))
        return bool(old and new) and (not self.one_more or _number(mutant.after) == _number(mutant.before) + 1)


def _number(line: str) -> int:
    """Of a setting."""
    return int(line.rpartition("= ")[2].rstrip(";"))


ROOM = "words come in earlier or later, and the ring has room for them: what they overwrite has been read"
EQUAL = "what is assigned where they are equal is equal"
ONE_TURN = "the loop has one turn"
NEVER = "this branch is never taken"
SHIFT_0 = "a shift by 0, to either side"

EQUIVALENT = [
    Equivalent(
        r" LINES = ",
        r"",
        "a row lies in line (row modulo LINES), as static assertions hold: a line more keeps rows longer than they are read",
        one_more=True,
    ),
    # Windows: when words come in, and when steps are made.
    Equivalent(r"row_fetched < L::READS", r"row_fetched <= L::READS", ROOM, WINDOWS),
    Equivalent(r"if \(read_tick == 0 &&", r"if \(read_tick != 0 &&", ROOM, FULL_TURNS),
    Equivalent(r"^\s*read_tick = ", r"read_tick \+ 2", ROOM, frozenset({"conv", "pool", "group"})),
    Equivalent(r"^\s*read_tick = ", r"read_tick !=|READ_EVERY - 2|read_tick = 1", ROOM, FULL_TURNS),
    Equivalent(
        r"fetched < L::in::WORDS &&", r"fetched <= L::in::WORDS &&", "a frame has no turns for more reads", frozenset({"group"})
    ),
    Equivalent(r"scanned < L::SCAN", r"scanned <= L::SCAN|scan_tick == 0 \|\|", "a turn has no cycle for another step", FULL_TURNS),
    Equivalent(r"\? 0 : scan_tick \+ 1", r"\? 0 : scan_tick (- 1|\+ 2)", NEVER, WINDOWS),
    # Windows: which word is next.
    Equivalent(r"tap \+ inside", r"tap - inside", "`inside` is always 0", WINDOWS),
    Equivalent(r"group != L::OUTSIDE - 1", r"", "`window` grows by 1 on either branch", FULL_TURNS),
    Equivalent(r"^\s*group = 0;", r"", "`window` grows by 1 on either branch", FULL_TURNS),
    Equivalent(r"window \+= L::INSIDE", r"", NEVER, WINDOWS - {"group"}),
    Equivalent(r"^\s*(row|line) \+= |\(line >= L::LINES", r"", "the kernel has one row: " + NEVER, frozenset({"group"})),
    Equivalent(r"row < height", r"row <= height", "no padding: all rows under a window lie in the image", frozenset({"group"})),
    Equivalent(
        r"top_line \+= L::FRAME_STEP",
        r"",
        "the last windows of a frame lie in line 1 of 2: a line back is 0, as is a line on",
        frozenset({"group"}),
    ),
    # Loops of one turn, groups of one word.
    Equivalent(r"first \+= L::PER_ENTRY", r"first -= ", ONE_TURN, frozenset({"conv", "head", "group", "point"})),
    Equivalent(r"low \+= L::in::WORD_WIDTH", r"low -= L::in::WORD_WIDTH", ONE_TURN, frozenset({"deep", "mean"})),
    Equivalent(r"at = low \+ L::in", r"at = low -|at -=", "the loop has no turn", frozenset({"pool"})),
    Equivalent(r"\? 0 : bias_word \+ 1", r"\? 0 : bias_word (- 1|\+ 2)", NEVER, frozenset({"conv", "head", "point"})),
    Equivalent(r"\? 0 : weight_word \+ 1", r"\? 0 : weight_word (- 1|\+ 2)", NEVER, frozenset({"point"})),
    # Bits that are not there.
    Equivalent(r"target\.range", r"target\.range\(L::out::WIDTH \+ 1", "the bits above are cut off by the range on the left"),
    Equivalent(r"source\.range", r"source\.range\(L::SOURCE_WIDTH \+ 1", "there are no bits above, and none are given for them"),
    Equivalent(r"digit < L::DIGITS", r"digit <= ", "there are no bits above: no digit is present there"),
    Equivalent(r"i < L::WORD_TAPS", r"i <= ", "there are no bits above: the code is 0", frozenset({"mean"})),
    # Values.
    Equivalent(r"code > largest|largest > best", r"code >= largest|largest >= best", EQUAL),
    Equivalent(r"limited < low|limited > high", r"limited <= low|limited >= high", EQUAL),
    Equivalent(r"code >=? 0", r"code >=? 0", "the code 0 gives 0 on either branch"),
    Equivalent(r"product << L::PRODUCT_SHIFT", r"product >> L::PRODUCT_SHIFT", SHIFT_0, frozenset({"prelu_v", "bn", "point"})),
    Equivalent(r"code << L::SHIFT;", r"code >> L::SHIFT;", SHIFT_0, frozenset({"clamp_v"})),
    Equivalent(r"right << L::SHIFT_B", r"right >> L::SHIFT_B", SHIFT_0, frozenset({"sum_v"})),
]
"""What the compiler does not prove, or not always."""
