"""Boards: their facts as data, the clocks that follow from them, errors."""

from __future__ import annotations

import re

import pytest

from qfx.errors import ExportError
from qfx.export.hls.board import board_names, load_board


def test_the_ultra96() -> None:
    board = load_board("ultra96")
    assert board.resources == {"lut": 70560, "ff": 141120, "dsp": 360, "bram18": 432, "uram": 0, "lutram": 28800}
    assert board.clocks_mhz == (
        *(100.0, 107.142857, 115.384615, 125.0, 136.363636, 150.0),
        *(166.666667, 187.5, 214.285714, 250.0, 300.0, 375.0),
    )
    assert board.memory_mb_s == 4266.7
    assert board.clock_ns == 5.333


@pytest.mark.parametrize("name", board_names())
def test_every_board(name: str) -> None:
    board = load_board(name)
    assert board.name == name and re.fullmatch(r"xc[a-z0-9]+-[a-z0-9]+-\d-[ei]", board.part)
    assert board.clock() == board.clock_mhz
    assert list(board.clocks_mhz) == sorted(board.clocks_mhz)
    assert board.resources["ff"] == 2 * board.resources["lut"]


def test_there_is_more_than_one() -> None:
    assert board_names() == ["ultra96", "zcu104"]


def test_a_clock_by_its_first_digits() -> None:
    assert load_board("ultra96").clock(214.286) == 214.285714


def test_a_clock_out_of_reach() -> None:
    with pytest.raises(
        ExportError, match=r"'ultra96' cannot run at 200 MHz; PL clock 0 can have 100, .*187\.5, 214\.286, .*375 MHz"
    ):
        load_board("ultra96").clock(200)


def test_an_unknown_board() -> None:
    with pytest.raises(ExportError, match="there is no board 'zcu102'; known: ultra96, zcu104"):
        load_board("zcu102")
