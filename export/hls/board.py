"""Board facts, read as data."""

from __future__ import annotations

import importlib.resources
import json
from dataclasses import dataclass

from qfx.errors import ExportError


@dataclass(frozen=True)
class Board:
    """What an HLS project takes from `boards/<name>/board.json`.

    Attributes:
        part: of the FPGA, with package and speed grade.
        clock_mhz: the default clock.
        clock_uncertainty: share of the period that synthesis keeps free, such as `27%`.
        resources: lut, ff, dsp, bram18, uram.
    """

    name: str
    title: str
    part: str
    clock_mhz: float
    clock_uncertainty: str
    resources: dict[str, int]

    @property
    def clock_ns(self) -> float:
        """Clock period, to the picosecond."""
        return round(1000 / self.clock_mhz, 3)


def load_board(name: str) -> Board:
    """The board `name`.

    Raises:
        ExportError: there is no such board.
    """
    boards = importlib.resources.files("qfx") / "boards"
    file = boards / name / "board.json"
    if not file.is_file():
        known = sorted(folder.name for folder in boards.iterdir() if (folder / "board.json").is_file())
        raise ExportError(f"there is no board {name!r}; known: {', '.join(known)}")
    facts = json.loads(file.read_text(encoding="utf-8"))
    return Board(**{key: facts[key] for key in ("name", "title", "part", "clock_mhz", "clock_uncertainty", "resources")})
