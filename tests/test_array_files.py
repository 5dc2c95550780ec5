"""NumPy's files: what is whole is read as NumPy reads it; what is damaged, hostile or something else is refused in words."""

from __future__ import annotations

import io
import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from qfx.array_files import read_npy, read_npz
from qfx.errors import InputError
from qfx.project.golden import read_archive, read_codes
from tests.damage.values import ARRAYS, CODES

MESSAGES = {
    "times.npy": "it holds time differences (dtype '<m8[s]')",
    "dates.npy": "it holds dates (dtype '<M8[s]')",
    "objects.npy": "it holds Python objects, which are never unpickled (dtype '|O')",
    "records.npy": "its header \"{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (2,), }\" describes no array of plain",
    "complex.npy": "it holds complex numbers (dtype '<c16')",
    "texts.npy": "it holds text (dtype '<U3')",
    "huge.npy": "its shape (240000000000,) of uint8 takes 240,000,000,000 bytes, and 64 are there",
    "beyond.npy": "an array of shape (9223372036854775807, 4) cannot be",
    "negative.npy": "describes no array of plain numbers",
    "deep.npy": "describes no array of plain numbers",
    "code.npy": "its header \"__import__('os').abort()\" describes no array of plain numbers",
    "axes.npy": "an array of shape (1,1,1,1,",
    "version.npy": "it does not begin as one",
    "cut.npy": "its shape (2, 6) of uint8 takes 12 bytes, and 9 are there",
    "more.npy": "its shape (2, 6) of uint8 takes 12 bytes, and 152 are there",
    "empty.npy": "it does not begin as one",
    "text.npy": "it does not begin as one",
    "archive.npy": "archive.npy is an archive of arrays; give one .npy file",
    "array.npz": "array.npz is one array; an .npz archive holds the codes by name",
    "encrypted.npz": "'x.npy' is encrypted; save it with numpy.savez",
    "method.npz": "'x.npy' is compressed by method 99; save it with numpy.savez",
    "lzma.npz": "'x.npy' is compressed by method 14; save it with numpy.savez",
    "bomb.npz": "unpack to 4,000,000,128, above the limit of 1,073,741,824; save it with numpy.savez",
    "inside.npz": "'x.npy': it holds Python objects, which are never unpickled",
    "cut.npz": "cut.npz is no NumPy .npz archive of numbers: File is not a zip file",
    "text.npz": "'x.txt' is no .npy file",
}


@pytest.mark.parametrize("name", MESSAGES)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(ARRAYS[name])
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=re.escape(MESSAGES[name])):
            (read_npz if name.endswith("z") else read_npy)(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array(3), "holds a single number; codes have samples as their first axis"),
        (CODES > 3, "holds bool; integer codes are wanted"),
        (np.full(3, np.nan), "holds float64; integer codes are wanted"),
    ],
)
def test_numbers_that_are_no_codes(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "x.npz", a=array)
    with pytest.raises(InputError, match=f"x.npy {message}"):
        read_codes(tmp_path / "x.npy")
    with pytest.raises(InputError, match=f"x.npz: 'a' {message}"):
        read_archive(tmp_path / "x.npz")


def test_an_archive_that_unpacks_to_less_than_it_says(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<i8", "fortran_order": False, "shape": (20,)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", stream.getvalue() + bytes(80))
        archive.infolist()[0].file_size += 80  # what the directory at the end says
    with pytest.raises(InputError, match=r"'a\.npy': it ends after 80 of 160 bytes of elements"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("dtype", ["i1", "u2", "<i4", ">i4", ">u8", "f4", ">f8", "?"])
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (3, 4, 5), (600, 700)])
def test_every_number_order_and_version(version: tuple[int, int], dtype: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    for one in (array, np.array(array, order="F")):
        with (tmp_path / "x.npy").open("wb") as stream:
            np.lib.format.write_array(stream, one, version=version)
        found = read_npy(tmp_path / "x.npy")
        assert found.dtype == array.dtype and np.array_equal(found, array)
        np.savez_compressed(tmp_path / "x.npz", first=one, second=CODES)
        both = read_npz(tmp_path / "x.npz")
        assert list(both) == ["first", "second"] and np.array_equal(both["first"], array) and np.array_equal(both["second"], CODES)


def test_a_large_file_stays_where_it_is(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(1 << 20, np.int16))
    assert isinstance(read_npy(tmp_path / "x.npy"), np.memmap)


def test_every_cut_and_every_flipped_byte(tmp_path: Path) -> None:
    """An archive has checksums; of an array alone the header and the size are all that tells."""
    np.savez_compressed(tmp_path / "x.npz", a=CODES, b=np.arange(99))
    whole, file = (tmp_path / "x.npz").read_bytes(), tmp_path / "damaged.npz"
    right = read_npz(tmp_path / "x.npz")
    for place in range(0, len(whole), 3):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        for content in (whole[:place], bytes(flipped)):
            file.write_bytes(content)
            try:
                found = read_npz(file)
            except InputError:
                continue
            assert all(np.array_equal(right[name], array) for name, array in found.items() if name in right)


def test_a_member_twice(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, CODES)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", stream.getvalue())
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.npy", stream.getvalue())
    with pytest.raises(InputError, match=r"'a\.npy' is there twice"):
        read_npz(tmp_path / "x.npz")


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for read in (read_npy, read_npz):
        with pytest.raises(InputError, match="cannot be read: Is a directory"):
            read(tmp_path)
        with pytest.raises(InputError, match="cannot be read: Too many levels of symbolic links"):
            read(tmp_path / "loop")
        with pytest.raises(InputError, match="cannot be read: No such file"):
            read(tmp_path / "none")


def test_the_rest_of_a_member_that_lies_about_its_size(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.arange(1000))
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", stream.getvalue() + b"more")
    with pytest.raises(InputError, match=r"'a\.npy': its shape \(1000,\) of int64 takes 8,000 bytes, and 8,004 are there"):
        read_npz(tmp_path / "x.npz")
