"""Board facts, read as data: part, resources, the clocks that can be had, memory."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from pathlib import Path

from qfx.checks import argument, positive
from qfx.errors import ExportError
from qfx.records import read_json, record_of

CLOSE = 1e-4
"""Two clocks are one if they differ by less than this part: 187.5 and 187.4999."""


@dataclass(frozen=True)
class Board:
    """What costs, folding and scripts take from `boards/<name>/board.json`.

    Attributes:
        part: of the FPGA, with package and speed grade.
        clock_mhz: the default clock, one of `clocks_mhz`.
        clocks_mhz: what PL clock 0 can be, ascending: PLL frequency / n, as only divisors change when a bitstream is loaded.
        clock_uncertainty: share of the period that synthesis keeps free, such as `27%`.
        memory_mb_s: peak of the processing system's memory in 10^6 bytes/s, which every user of it shares.
        axi_port_bits: widest high-performance port between the processing system and the logic.
        resources: lut, ff, dsp, bram18, uram, and lutram, the LUTs among them that can be memory.
    """

    name: str
    title: str
    part: str
    clock_mhz: float
    clocks_mhz: tuple[float, ...]
    clock_uncertainty: str
    memory_mb_s: float
    axi_port_bits: int
    resources: dict[str, int]

    @property
    def clock_ns(self) -> float:
        """Period of the default clock, to the picosecond."""
        return round(1000 / self.clock_mhz, 3)

    def clock(self, mhz: float | None = None) -> float:
        """The clock that is meant by `mhz`; None means the default.

        Raises:
            ExportError: PL clock 0 cannot have this frequency.
            InputError: no positive number.
        """
        wanted = self.clock_mhz if mhz is None else argument("the clock", "MHz", mhz, positive)
        nearest = min(self.clocks_mhz, key=lambda one: abs(one - wanted))
        if abs(nearest - wanted) > CLOSE * wanted:
            have = ", ".join(f"{one:g}" for one in self.clocks_mhz)
            raise ExportError(f"board {self.name!r} cannot run at {wanted:g} MHz; PL clock 0 can have {have} MHz")
        return nearest


@dataclass(frozen=True)
class _Memory:
    clock_mhz: float
    bus_bits: int


@dataclass(frozen=True)
class _Pl0:
    reference_mhz: float
    multiplier: int
    divider: int
    divisors: tuple[int, ...]


@dataclass(frozen=True)
class _Facts:
    """What is read of `board.json`."""

    name: str
    title: str
    part: str
    clock_mhz: float
    clock_uncertainty: str
    axi_port_bits: int
    resources: dict[str, int]
    pl0: _Pl0
    memory: _Memory


def board_names() -> list[str]:
    """Every folder of `boards/` that holds a board."""
    boards = importlib.resources.files("qfx") / "boards"
    return sorted(folder.name for folder in boards.iterdir() if (folder / "board.json").is_file())


def load_board(name: str) -> Board:
    """The board `name`.

    Raises:
        ExportError: there is no such board.
    """
    if name not in board_names():
        raise ExportError(f"there is no board {name!r}; known: {', '.join(board_names())}")
    file = Path(str(importlib.resources.files("qfx"))) / "boards" / name / "board.json"
    facts = record_of(read_json(file), _Facts, file)
    return Board(
        clocks_mhz=_clocks(facts.pl0),
        memory_mb_s=round(2 * facts.memory.clock_mhz * facts.memory.bus_bits / 8, 1),  # two words a clock
        name=facts.name,
        title=facts.title,
        part=facts.part,
        clock_mhz=facts.clock_mhz,
        clock_uncertainty=facts.clock_uncertainty,
        axi_port_bits=facts.axi_port_bits,
        resources=facts.resources,
    )


def _clocks(pl0: _Pl0) -> tuple[float, ...]:
    """reference * multiplier / divider / n for the divisors n from first to last; the PLL to the kilohertz."""
    pll_mhz = round(pl0.reference_mhz * pl0.multiplier / pl0.divider, 3)
    first, last = pl0.divisors
    return tuple(round(pll_mhz / n, 6) for n in range(last, first - 1, -1))
