"""Odd values and damaged files: what people hand over by mistake, and what somebody hands over on purpose."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

from qfx.fixed import FixedType

OBJECTS: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "-1": lambda: -1,
    "0": lambda: 0,
    "2**70": lambda: 1 << 70,
    "0.5": lambda: 0.5,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "1j": lambda: 1j,
    "''": lambda: "",
    "'x'": lambda: "x",
    "NUL": lambda: "a\0b",
    "half a surrogate": lambda: "a\ud800",
    "long text": lambda: "x" * 5000,
    "bytes": lambda: b"x",
    "[]": list,
    "()": tuple,
    "{}": dict,
    "[None]": lambda: [None],
    "(-1, 0)": lambda: (-1, 0),
    "(2**40, 2**40)": lambda: (1 << 40, 1 << 40),
    "('a', 'b')": lambda: ("a", "b"),
    "{'a': 1}": lambda: {"a": 1},
    "{1: 2}": lambda: {1: 2},
    "{'x': None}": lambda: {"x": None},
    "an object": object,
    "a class": lambda: int,
    "a function": lambda: print,
    "a generator": lambda: (i for i in range(3)),
    "a module": lambda: os,
    "a torch module": lambda: nn.Linear(6, 3),
    "a torch layer's class": lambda: nn.Linear,
    "a format": lambda: FixedType(True, 4, 2),
    "a 0-d array": lambda: np.array(3),
    "a float array": lambda: np.full((2, 6), np.nan),
    "a bool array": lambda: np.zeros((2, 6), bool),
    "an object array": lambda: np.array([None, {}], object),
    "a time array": lambda: np.zeros((2, 6), "m8[s]"),
    "a complex array": lambda: np.zeros((2, 6), complex),
    "an empty array": lambda: np.zeros((0, 6), np.int64),
    "a uint64 array": lambda: np.full((2, 6), 2**64 - 1, np.uint64),
    "a NumPy number": lambda: np.int64(4),
    "a 0-d tensor": lambda: torch.tensor(3),
    "a NaN tensor": lambda: torch.full((2, 6), torch.nan),
    "a complex tensor": lambda: torch.zeros(2, 6, dtype=torch.complex64),
    "a half tensor": lambda: torch.zeros(2, 6, dtype=torch.float16),
    "a meta tensor": lambda: torch.zeros(2, 6, device="meta"),
    "a sparse tensor": lambda: torch.zeros(2, 6).to_sparse(),
    "an empty tensor": lambda: torch.zeros(0, 6),
    "a folder": lambda: Path(),
    "no file": lambda: Path("none/none"),
}
"""Name -> how it is made anew."""


def drawn() -> st.SearchStrategy[tuple[str, Any]]:
    """A value of any kind, with how to call it: one of `OBJECTS`, or plain data."""
    plain = st.one_of(
        st.integers(), st.floats(), st.text(st.characters(), max_size=8), st.binary(max_size=8), st.booleans(), st.none()
    )
    nested = st.recursive(
        plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    )
    return st.sampled_from([*OBJECTS]).map(lambda name: (name, OBJECTS[name]())) | nested.map(
        lambda value: (repr(value)[:80], value)
    )


def _npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _header(text: str, version: int = 1, elements: bytes = b"") -> bytes:
    """A `.npy` file with this text as header."""
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(2 if version == 1 else 4, "little") + text.encode() + elements


def _npz(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", ".").replace("up", "../"), content)
    return stream.getvalue()


def _patched(packed: bytes, field: int, value: int, kind: str = "<H") -> bytes:
    """A field of the directory of an archive, and the same of its first member."""
    changed = bytearray(packed)
    for magic, place in ((b"PK\x03\x04", field - 2), (b"PK\x01\x02", field)):
        struct.pack_into(kind, changed, packed.find(magic) + place, value)
    return bytes(changed)


CODES = np.arange(12, dtype=np.uint8).reshape(2, 6)
PLAIN = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 6), }"

BOMB = _header("{'descr': '|u1', 'fortran_order': False, 'shape': (4000000000,), }".ljust(118), elements=bytes(1 << 20))

ARRAYS: dict[str, bytes] = {
    "times.npy": _npy(CODES.astype("m8[s]")),
    "dates.npy": _npy(CODES.astype("M8[s]")),
    "objects.npy": _npy(np.array([{}], object)),
    "records.npy": _npy(np.zeros(2, [("a", "i4")])),
    "complex.npy": _npy(CODES.astype(complex)),
    "bools.npy": _npy(CODES > 3),
    "nans.npy": _npy(np.full((2, 6), np.nan)),
    "texts.npy": _npy(CODES.astype(str)),
    "single.npy": _npy(np.array(3)),
    "huge.npy": _header("{'descr': '|u1', 'fortran_order': False, 'shape': (240000000000,), }", elements=b"\0" * 64),
    "beyond.npy": _header("{'descr': '<i8', 'fortran_order': False, 'shape': (9223372036854775807, 4), }"),
    "negative.npy": _header("{'descr': '<i8', 'fortran_order': False, 'shape': (-1,), }"),
    "deep.npy": _header("(" * 5000),
    "code.npy": _header("__import__('os').abort()"),
    "axes.npy": _header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({'1,' * 99}), }}", elements=b"\0"),
    "version.npy": _header(PLAIN, version=9, elements=bytes(12)),
    "cut.npy": _npy(CODES)[:-3],
    "more.npy": _npy(CODES) * 2,
    "empty.npy": b"",
    "text.npy": b"hello",
    "archive.npy": _npz(a__npy=_npy(CODES)),
    "array.npz": _npy(CODES),
    "encrypted.npz": _patched(_npz(x__npy=_npy(CODES)), 8, 1),
    "method.npz": _patched(_npz(x__npy=_npy(CODES)), 10, 99),
    "lzma.npz": _npz(zipfile.ZIP_LZMA, x__npy=_npy(CODES)),
    "up.npz": _npz(upx__npy=_npy(CODES)),
    "bomb.npz": _patched(_npz(zipfile.ZIP_DEFLATED, x__npy=BOMB), 24, 4_000_000_128, "<I"),
    "inside.npz": _npz(x__npy=_npy(np.array([{}], object))),
    "cut.npz": _npz(x__npy=_npy(CODES))[:-30],
    "text.npz": _npz(x__txt=b"hello"),
    "none.npz": _npz(),
}
"""Name -> content, of files that hold no codes or are damaged."""

WEIGHTS: dict[str, Callable[[Path], object]] = {
    "numbers.pt": lambda file: torch.save({1: torch.zeros(2)}, file),
    "nothing.pt": lambda file: torch.save({}, file),
    "list.pt": lambda file: torch.save([torch.zeros(2)], file),
    "none.pt": lambda file: torch.save(None, file),
    "strings.pt": lambda file: torch.save({"head.weight": "x"}, file),
    "nested.pt": lambda file: torch.save({"state_dict": {"head.weight": torch.zeros(3, 6)}}, file),
    "complex.pt": lambda file: torch.save({"head.weight": torch.zeros(3, 6, dtype=torch.complex64)}, file),
    "module.pt": lambda file: torch.save(nn.Linear(2, 2), file),
    "pickle.pt": lambda file: file.write_bytes(pickle.dumps({"head.weight": print})),
    "empty.pt": lambda file: file.write_bytes(b""),
    "zip.pt": lambda file: file.write_bytes(_npz()),
    "text.toml": lambda file: file.write_text("hello"),
    "wrong.toml": lambda file: file.write_text("bits = nan\nlayers = 3\nepochs = 'x'\n"),
    "deep.toml": lambda file: file.write_text("a = " + "[" * 5000),
    "bytes.toml": lambda file: file.write_bytes(b"\xff\xfe\0"),
}
"""Name -> how it is written, of files of weights and of settings that are none."""


def write_files(folder: Path) -> list[str]:
    """Write them all; returns their names, and those of a folder and of a link to itself."""
    for name, content in ARRAYS.items():
        (folder / name).write_bytes(content)
    for name, write in WEIGHTS.items():
        write(folder / name)
    (folder / "folder.npz").mkdir(exist_ok=True)
    if not (folder / "loop").is_symlink():
        (folder / "loop").symlink_to("loop")
    return [*ARRAYS, *WEIGHTS, "folder.npz", "loop", "/dev/null", "none/none", "x" * 300]
