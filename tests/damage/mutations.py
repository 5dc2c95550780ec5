"""Damage to the files of a project: bytes, JSON, arrays, archives, ONNX models, C++. A random generator decides."""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, cast

import onnx

Mutation = Callable[[random.Random, bytes], bytes]

ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 63, 64, 65, 513, -513, 1 << 31, 1 << 63, -(1 << 63), 1 << 64, 1 << 200,
    0.0, 0.5, -0.5, 1e308, 5e-324,
    "", "x", "..", "../x", "/", "conv2d", "AP_WRAP", "sim", "x" * 5000,
    "[bold]", "\x1b[31m", [], {}, [[]], [0], [1, 1], [1 << 40, 1 << 40],
    {"fixed": {}}, {"rounding": "AP_RND"}, {"overflow": "AP_SAT"}, {"fixed": {"signed": True, "width": 63, "frac": -512}},
]  # fmt: skip
"""Values that an entry of a JSON file may become."""

LITERALS = [
    "NaN",
    "-Infinity",
    "1e400",
    "9" * 5000,
    '"\\u0000"',
    '"\\ud800"',
    "[" * 3000,
    '{"a":' * 100_000,
    "",
    "}",
    "\x00",
    "0x1",
    "1" * 300,
]
"""Texts that an entry of a JSON file may become."""


def bytewise(pick: random.Random, data: bytes) -> bytes:
    """Bits flipped, a part cut, removed, repeated, or overwritten."""
    if not data:
        return b"\x00"
    start = pick.randrange(len(data))
    end = min(len(data), start + pick.choice((1, 2, 4, 8, 64, 1000)))
    kind = pick.randrange(8)
    if kind < 3:
        flipped = bytearray(data)
        for _ in range(pick.choice((1, 1, 2, 10))):
            flipped[pick.randrange(len(data))] ^= 1 << pick.randrange(8)
        return bytes(flipped)
    filling = (b"\x00", b"\xff", bytes([pick.randrange(256)]))[pick.randrange(3)] * (end - start)
    return (
        data[:start],
        data[:start] + data[end:],
        data[:end] + data[start:],
        data[:start] + filling + data[end:],
        data + pick.randbytes(pick.choice((1, 8, 500))),
    )[kind - 3]


def one_more(pick: random.Random, data: bytes) -> bytes:
    """A byte that is larger or smaller by one, which is mostly a number that still fits."""
    changed, place = bytearray(data), pick.randrange(len(data))
    changed[place] = (changed[place] + pick.choice((1, -1))) % 256
    return bytes(changed)


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key of a document."""
    if isinstance(document, dict | list):
        held = cast("Any", document)
        for key in [*held] if isinstance(document, dict) else range(len(held)):
            yield held, key
            yield from _places(held[key])


def in_json(pick: random.Random, data: bytes) -> bytes:
    """An entry with another value, a text that is no value, another entry's, or none; a key twice."""
    document = json.loads(data)
    places = [*_places(document)]
    holder, key = places[pick.randrange(len(places))]
    numbers = [(holder, key) for holder, key in places if type(holder[key]) is int]
    kind = pick.randrange(12)
    if kind > 9 and numbers:
        holder, key = pick.choice(numbers)
        holder[key] += pick.choice((1, -1))
    elif kind < 5:
        holder[key] = pick.choice(ODD)
    elif kind == 5:
        other, place = places[pick.randrange(len(places))]
        holder[key] = json.loads(json.dumps(other[place]))
    elif kind == 6:
        del holder[key]
    elif kind == 7 and not isinstance(key, str):
        holder.insert(pick.randrange(len(holder) + 1), holder[key])
    elif kind == 8 and isinstance(holder[key], int | float):
        holder[key] = pick.choice(
            (
                -holder[key],
                holder[key] + 1,
                holder[key] - 1,
                holder[key] * 1000,
                holder[key] << 40 if type(holder[key]) is int else 1,
            )
        )
    else:
        holder[key] = "@"
        return json.dumps(document, indent=1).replace('"@"', pick.choice(LITERALS), 1).encode()
    text = json.dumps(document, indent=1)
    if pick.randrange(20) == 0:
        text = re.sub(r'\n( +)("\w+"): ', r"\n\1\2: 0,\n\1\2: ", text, count=1)
    return text.encode()


DTYPES = [
    "|b1",
    "<i1",
    ">i8",
    "<u8",
    "<f4",
    "<f8",
    "<c16",
    "<m8",
    "<m8[ns]",
    "<M8[us]",
    "|O",
    "<U4",
    "|S9",
    "|V4",
    "<f16",
    "i",
    "i8",
    "<i99",
    "<i4,<i4",
    "(2,)i4",
    "\\x00",
    "<q",
]
SHAPES = [
    "()",
    "(0,)",
    "(-1,)",
    "(1,)",
    "(100,0)",
    "(240000000000,)",
    "(99999999999999999999,)",
    "(1<<9,)",
    "(True,)",
    "(1,1,1,1,1)",
    "7",
    "(2L,)",
    "((((1,))))",
]


def in_array(pick: random.Random, data: bytes) -> bytes:
    """A `.npy` file with another header or other elements."""
    head, place = data[:10], 10 + int.from_bytes(data[8:10], "little")
    text, rest = data[10:place].decode("latin1"), data[place:]
    kind = pick.randrange(9)
    if kind == 0:
        text = re.sub(r"'descr': '[^']*'", lambda _: f"'descr': '{pick.choice(DTYPES)}'", text)
    elif kind == 1:
        text = re.sub(r"'shape': \([^)]*\)", lambda _: "'shape': " + pick.choice(SHAPES), text)
    elif kind == 2:
        text = text.replace("False", pick.choice(("True", "1", "None", "(" * 300, "'\\d'")))
    elif kind == 3:
        head = head[:6] + bytes([pick.randrange(5), pick.randrange(3)]) + head[8:]
    elif kind == 4:
        rest = bytes([pick.choice((0x00, 0x7F, 0x80, 0xFF))]) * len(rest)
    elif kind == 5:
        rest = bytewise(pick, rest)[: len(rest)].ljust(len(rest), b"\x00")
    elif rest:
        rest = one_more(pick, rest)
    if kind < 3:
        head = head[:8] + len(text).to_bytes(2, "little")
    return head + text.encode("latin1") + rest


def in_archive(pick: random.Random, data: bytes) -> bytes:
    """A `.npz` file with a member changed, missing, added, twice, encrypted, or compressed in a way nobody knows."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    kind, index = pick.randrange(7), pick.randrange(len(members))
    name, content = members[index]
    if kind < 3:
        members[index] = name, in_array(pick, content) if kind else bytewise(pick, content)
    elif kind == 3:
        members[index] = pick.choice(("../x.npy", "x", "-", "constant_99.npy", "a\x00.npy", "\u20ac.npy")), content
    elif kind == 4:
        members.pop(index)
    elif kind == 5:
        members.append((name + pick.choice(("", ".npy")), content))
    target = io.BytesIO()
    method = pick.choice((zipfile.ZIP_STORED, *[zipfile.ZIP_DEFLATED] * 6, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, content in dict(members).items() if kind != 5 else members:
            archive.writestr(name, content)
    packed = bytearray(target.getvalue())
    if kind == 6:  # flags or method, in the local header or in the directory
        magic, field = pick.choice(((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)))
        place = packed.find(magic) + field + pick.choice((0, 2, 16, 20, 21))
        if place < len(packed):
            packed[place] = pick.choice((1, 9, 12, 99, 255))
    return bytes(packed)


def in_onnx(pick: random.Random, data: bytes) -> bytes:
    """A field of the model with another value, repeated, or none."""
    model = onnx.load_model_from_string(data)
    message: Any = model
    while True:
        fields = [(field, value) for field, value in message.ListFields()]
        if not fields:
            break
        field, value = fields[pick.randrange(len(fields))]
        if field.type == field.TYPE_MESSAGE:
            inner = value[pick.randrange(len(value))] if field.is_repeated else value
            if pick.randrange(8) == 0:
                if field.is_repeated and pick.randrange(2):
                    value.append(inner)
                else:
                    message.ClearField(field.name)
                break
            message = inner
            continue
        new = _other(pick, field, value[0] if field.is_repeated else value)
        if field.is_repeated:
            value[pick.randrange(len(value))] = new
        else:
            setattr(message, field.name, new)
        break
    return model.SerializeToString()


def _other(pick: random.Random, field: Any, value: Any) -> Any:
    """Another value for a field of a protobuf message."""
    if isinstance(value, bytes):
        return one_more(pick, value) if value and pick.randrange(3) else bytewise(pick, value)
    if isinstance(value, str):
        return pick.choice(("", "x", "Relu", "Conv", "head", value + "_"))
    if isinstance(value, float):
        return pick.choice((0.0, -value, 1e30, float("inf"), float("nan")))
    if field.type == field.TYPE_ENUM:
        return pick.choice(list(field.enum_type.values_by_number))
    return pick.choice(
        (0, 1, -1 if value >= 0 and field.type in (field.TYPE_INT64, field.TYPE_INT32) else 2, value + 1, 1 << 20, (1 << 31) - 1)
    )


def in_text(pick: random.Random, data: bytes) -> bytes:
    """A number in a text made extreme, or a line repeated or removed."""
    text = data.decode("utf-8", "replace")
    numbers = [*re.finditer(r"\b\d+\b", text)]
    if numbers and pick.randrange(3):
        found = pick.choice(numbers)
        return (text[: found.start()] + pick.choice(("0", "-1", "99999999999999999999", "1e9")) + text[found.end() :]).encode()
    lines = text.split("\n")
    place = pick.randrange(len(lines))
    lines[place : place + 1] = pick.choice(([], [lines[place]] * 2))
    return "\n".join(lines).encode()


STRUCTURAL: dict[str, Mutation] = {".json": in_json, ".npy": in_array, ".npz": in_archive, ".onnx": in_onnx}
"""Ending of a file -> the damage that knows its layout."""


def mutated(pick: random.Random, name: str, data: bytes) -> bytes:
    """The content of file `name` of a project, damaged."""
    structural = STRUCTURAL.get(name[name.rfind(".") :], in_text)
    return bytewise(pick, data) if pick.randrange(6) == 0 else structural(pick, data)
