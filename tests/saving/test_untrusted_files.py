"""Files that were damaged, or made to do something: reading them is an InputError, and executes nothing."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

import qfx
from qfx import nn as qnn
from qfx.conversion import calibrate
from qfx.errors import InputError
from qfx.files import joint_hash
from qfx.quant import QuantSpec
from qfx.saving.tensor_file import read_tensors, write_tensors

Document = dict[str, Any]


class Net(nn.Module):
    """With a function, a method, an attribute and keywords in its code."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(2, 4, 3), nn.Mish()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.conv(x)) + 0.5
        return torch.flatten(torch.nn.functional.pad(y, (1, 1)), start_dim=1).reshape(x.shape[0], 2, -1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("saved") / "network.qfx"
    qfx.save(qfx.convert(Net(), torch.randn(8, 2, 5, 5)), file)
    return file


def with_document(file: Path, change: Callable[[Document], object], to: Path) -> Path:
    """A copy whose document was changed by somebody who knows the layout; its digest fits."""
    tensors, document = read_tensors(file)
    assert document is not None
    change(document)
    write_tensors(to, tensors, document)
    return to


def test_it_is_in_the_layout_of_safetensors(file: Path) -> None:
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    assert size % 8 == 0 and set(map(type, header.pop("__metadata__").values())) == {str}
    ends = [0]
    for place in header.values():
        assert place["data_offsets"][0] == ends[-1]
        ends.append(place["data_offsets"][1])
    assert 8 + size + ends[-1] == len(content)
    assert header["conv.weight"]["dtype"] == "F32" and header["conv.weight"]["shape"] == [4, 2, 3, 3]


def test_whoever_writes_it(file: Path, tmp_path: Path) -> None:
    """The same file by hand: the tensors in another order, the header padded."""
    tensors, document = read_tensors(file)
    assert document is not None
    header, rest = dict[str, Any](), b""
    for name, tensor in reversed(tensors.items()):
        part = tensor.reshape(-1).view(torch.uint8).numpy().tobytes()
        dtype = {torch.float32: "F32", torch.bool: "BOOL", torch.int64: "I64"}[tensor.dtype]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [len(rest), len(rest) + len(part)]}
        rest += part
    text = json.dumps(document)
    header["__metadata__"] = {"format": "pt", "qfx": joint_hash(text.encode(), rest) + text}
    head = json.dumps(header).encode()
    (tmp_path / "before").write_bytes(in_layout(head + b" " * (-len(head) % 8), rest))
    x = torch.randn(3, 2, 5, 5)
    assert torch.equal(qfx.load(tmp_path / "before")(x), qfx.load(file)(x))


def in_layout(header: bytes, rest: bytes = b"") -> bytes:
    """A file with this header."""
    return len(header).to_bytes(8, "little") + header + rest


PLACE = b'{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
NEITHER = r"other is neither a file of qfx\.save nor a state dict of torch\.save or safetensors: "


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", NEITHER),
        (b"hello", NEITHER),
        (b"\x80\x04N." * 9, r"other is no state dict that torch\.load reads with weights_only=True: "),
        (b"\xff" * 8 + b"{}", NEITHER + ".*header too large; give one, or save again"),
        (in_layout(b"{}" + b" " * 100_000_000), NEITHER + ".*header too large"),
        (in_layout(b"[]"), NEITHER),
        (
            in_layout(b'{"__metadata__":{}}'),
            "other holds a state dict, which does not say how its network is made; make one, and load",
        ),
        (in_layout(b"[" * 200_000), NEITHER),
        (in_layout(b'{"a":' + b"[" * 200_000), NEITHER + ".*recursion limit exceeded"),
        (in_layout(b'{"a":%s,"a":%s}' % (PLACE, PLACE), bytes(8)), NEITHER + "the key 'a' is given twice"),
        (in_layout(b'{"__metadata__":{"qfx":"{}","qfx":"[]"}}'), NEITHER + "the key 'qfx' is given twice"),
        (in_layout(b'{"__metadata__":{"qfx":"{}"}}'), "other was cut short or altered: its content differs from its sha256"),
        (in_layout(b'{"a":%s}' % PLACE, bytes(7)), NEITHER + ".*file not fully covered"),
        (in_layout(b'{"a":%s}' % PLACE, bytes(9)), NEITHER + ".*file not fully covered"),
        (
            in_layout(b'{"a":%s}' % PLACE.replace(b"F32", b"C64").replace(b"[2]", b"[1]"), bytes(8)),
            "a is a tensor of torch.complex64",
        ),
        (in_layout(b'{"a":%s}' % PLACE.replace(b"F32", b"F4").replace(b"[2]", b"[16]"), bytes(8)), NEITHER + "'F4'"),
    ],
    ids=range(16),
)
def test_something_else(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(content)
    with pytest.raises(InputError, match=message):
        qfx.load(tmp_path / "other")


def test_a_document_that_is_none(file: Path, tmp_path: Path) -> None:
    tensors, document = read_tensors(file)
    assert document is not None
    others: list[tuple[Any, str]] = [
        ([], "its document is no object"),
        ({**document, "modules": 0}, "does not hold a network that QFX has"),
    ]
    for other, message in others:
        write_tensors(tmp_path / "other", tensors, other)
        with pytest.raises(InputError, match=message):
            qfx.load(tmp_path / "other")


def test_a_length_that_begins_as_a_pickle_does(tmp_path: Path) -> None:
    header = b'{"a":%s}' % PLACE
    (tmp_path / "other").write_bytes(in_layout(header + b" " * (128 - len(header)), bytes(8)))
    assert list(read_tensors(tmp_path / "other")[0]) == ["a"]
    with pytest.raises(InputError, match="other holds a state dict"):
        qfx.load(tmp_path / "other")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*none\.qfx"):
        qfx.load(tmp_path / "none.qfx")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        qfx.load(tmp_path)


def test_every_cut_and_every_flipped_byte_is_noticed(file: Path, tmp_path: Path) -> None:
    content, damaged = file.read_bytes(), tmp_path / "damaged"
    picked = random.Random(0)
    for _ in range(100):
        place = picked.randrange(len(content))
        damaged.write_bytes(content[:place])
        with pytest.raises(InputError):
            qfx.load(damaged)
    start = 8 + int.from_bytes(content[:8], "little")
    for place in (*picked.sample(range(start, len(content)), 50), len(content) - 1):
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(
            InputError, match="was cut short or altered: its content differs from its sha256; save the network again"
        ):
            qfx.load(damaged)


def test_places_that_do_not_fit(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    for key, value in (("shape", [1 << 40]), ("shape", [-4, -18]), ("data_offsets", [0, 1 << 40]), ("data_offsets", [8, 0])):
        header = json.loads(content[8:start])
        header["conv.weight"][key] = value
        head = json.dumps(header).encode()
        (tmp_path / "moved").write_bytes(len(head).to_bytes(8, "little") + head + content[start:])
        with pytest.raises(InputError, match=NEITHER.replace("other", "moved") + "Error while deserializing"):
            qfx.load(tmp_path / "moved")


def test_another_version(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="other has format 2; this QFX reads format 1"):
        qfx.load(with_document(file, lambda document: document.update(format=2), tmp_path / "other"))


def node(document: Document, op: str, index: int = 0) -> Document:
    """A node of the code."""
    return [item for item in document["code"] if item["op"] == op][index]


ATTACK = "__import__('os').abort()"
HOSTILE: dict[str, tuple[Callable[[Document], object], str]] = {
    "class of another package": (
        lambda d: d["modules"]["conv"].update({"class": "os.system"}),
        "'os.system' is no layer that a file",
    ),
    "class without a row": (lambda d: d["modules"]["act"].update({"class": "torch.nn.LSTM"}), "'torch.nn.LSTM' is no layer that a"),
    "float layer": (
        lambda d: d["modules"]["act"].update({"class": "torch.nn.Conv2d"}),
        "'torch.nn.Conv2d' is no layer that a file",
    ),
    "function as class": (
        lambda d: d["modules"]["conv"].update({"class": "qfx.nn.fold_batch_norm"}),
        "'qfx.nn.fold_batch_norm' is no layer that a file may name",
    ),
    "method as setting": (lambda d: d["modules"]["conv"]["settings"].update(forward=1), "'forward' is no setting of Conv2d"),
    "private setting": (lambda d: d["modules"]["conv"]["settings"].update(_modules=1), "'_modules' is no setting of Conv2d"),
    "own hooks": (lambda d: d["modules"]["conv"]["settings"].update(training=1), "'training' is no setting of Conv2d"),
    "function as setting": (
        lambda d: d["modules"]["act"]["settings"].update(function={"function": "os.system"}),
        "save it again",
    ),
    "unknown kind": (lambda d: d["modules"]["act"]["settings"].update(x={"pickle": "gA=="}), "'pickle' is nothing that a file may"),
    "unknown number": (lambda d: d["modules"]["act"]["settings"].update(x={"float": ATTACK}), "is no such number"),
    "name of a tensor": (
        lambda d: d["modules"]["conv"]["tensors"].update({"__class__": "none"}),
        "'__class__' is no name of a tensor",
    ),
    "path with code": (lambda d: d["modules"].update({f'a"){ATTACK}': d["modules"]["act"]}), "is no path of a module"),
    "no format": (
        lambda d: d["modules"]["conv.weight_quant"]["settings"].update(spec={"tuple": []}),
        r"\(\) is no format of a quantizer",
    ),
    "bad format": (
        lambda d: d["modules"]["conv.weight_quant"]["settings"]["spec"]["QuantSpec"].update(width=99),
        "a quantizer of 99 bits is outside",
    ),
    "format for other points": (
        lambda d: d["modules"]["conv.weight_quant"]["settings"]["spec"]["QuantSpec"].update(per_channel=True),
        "the binary points do not fit the format of their quantizer|save it again",
    ),
    "parameter with code": (
        lambda d: node(d, "placeholder").update(target=f"x, y={ATTACK}"),
        "is no name; save it again",
    ),
    "keyword as parameter": (lambda d: node(d, "placeholder").update(target="lambda"), "'lambda' is no name"),
    "default with code": (
        lambda d: node(d, "placeholder").update(args={"tuple": [ATTACK]}),
        "placeholder 'x' is no call that a file may name",
    ),
    "name with code": (lambda d: d["code"][0].update(name=f"x = {ATTACK}"), "is no name; save it again"),
    "name of another type": (lambda d: d["code"][0].update(name=7), "7 is no name; save it again"),
    "function of another package": (
        lambda d: node(d, "call_function").update(target={"function": "os.system"}),
        "save it again",
    ),
    "no function": (lambda d: node(d, "call_function").update(target="print"), "'print' is no function"),
    "method": (
        lambda d: node(d, "call_method").update(target="__reduce__"),
        "call_method '__reduce__' is no call that a file may name",
    ),
    "method with code": (lambda d: node(d, "call_method").update(target=f"size() or {ATTACK}"), "is no call that a file may name"),
    "attribute": (
        lambda d: next(n for n in d["code"] if n["target"] == "getattr")["args"]["tuple"].__setitem__(1, "__class__"),
        r"\('__class__',\) is no attribute that a file may name",
    ),
    "module that is not there": (lambda d: node(d, "call_module").update(target=f'conv"){ATTACK}'), "save it again"),
    "keyword with code": (
        lambda d: node(d, "call_function").update(kwargs={"dict": [[f"a={ATTACK}, b", 1]]}),
        "is no name; save it again",
    ),
    "record as argument": (
        lambda d: node(d, "call_function").update(kwargs={"dict": [["a", {"FixedType": {}}]]}),
        "'FixedType' is no argument of a call",
    ),
    "function as argument": (
        lambda d: node(d, "call_function").update(kwargs={"dict": [["a", {"function": "torch.relu"}]]}),
        "'function' is no argument of a call",
    ),
    "arguments of another kind": (
        lambda d: node(d, "output").update(args=[]),
        "the arguments of a call are no tuple and dictionary",
    ),
    "a tensor read directly": (
        lambda d: node(d, "call_module").update(op="get_attr"),
        "get_attr 'input' is no call that a file may",
    ),
    "other output": (lambda d: node(d, "output").update(target=ATTACK), "is no call that a file may name"),
    "name of the class": (lambda d: d.update(name=f"A: {ATTACK}"), "is no name of a network"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_a_file_may_not_name(what: str, file: Path, tmp_path: Path) -> None:
    change, message = HOSTILE[what]
    with pytest.raises(InputError, match=rf"^{tmp_path}/hostile does not hold a network that QFX has saved: (.|\n)*({message})"):
        qfx.load(with_document(file, change, tmp_path / "hostile"))


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key in a document."""
    if isinstance(document, dict | list):
        held = cast("Any", document)
        for key in [*held] if isinstance(document, dict) else range(len(held)):
            yield held, key
            yield from places(held[key])


@pytest.mark.slow
def test_a_changed_document_is_a_network_or_an_error(file: Path, tmp_path: Path) -> None:
    tensors, document = read_tensors(file)
    assert document is not None
    count, errors = len([*places(document)]), 0
    picked, junk = random.Random(0), list[Any]([None, 7, -1, 1e300, "x", "conv", [], {}, {"tuple": []}, {"node": "x"}, True])
    for _ in range(300):
        changed = copy.deepcopy(document)
        holder, key = [*places(changed)][picked.randrange(count)]
        holder[key] = picked.choice(junk)
        write_tensors(tmp_path / "changed", tensors, changed)
        try:
            assert isinstance(qfx.load(tmp_path / "changed"), nn.Module)
        except InputError:
            errors += 1
    assert errors > 100


def test_a_save_that_fails_leaves_what_was_there(file: Path, tmp_path: Path) -> None:
    network = nn.Sequential(qnn.Quantize(QuantSpec(8, frac=0)))
    calibrate(network, [torch.zeros(1, 2)])
    qfx.save(network, tmp_path / "kept")
    before = (tmp_path / "kept").read_bytes()
    for phase, message in (
        (torch.zeros(2, dtype=torch.complex64), r"of torch.complex64, which cannot be saved; the dtypes are torch.bool, "),
        (torch.eye(2).to_sparse(), r"of layout torch.sparse_coo, which cannot be saved; make it dense"),
    ):
        network.register_buffer("phase", phase)
        with pytest.raises(InputError, match=rf"phase is a tensor {message}"):
            qfx.save(network, tmp_path / "kept")
    assert (tmp_path / "kept").read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_every_dtype(tmp_path: Path) -> None:
    dtypes = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]
    dtypes += [torch.float16, torch.bfloat16, torch.float32, torch.float64]
    tensors = {str(dtype): torch.tensor([[0, 1], [1, 3]]).to(dtype).t() for dtype in dtypes} | {
        "scalar": torch.tensor(0.1),
        "empty": torch.zeros(0, 3),
    }
    write_tensors(tmp_path / "all", tensors, {})
    found, _ = read_tensors(tmp_path / "all")
    assert all(found[name].dtype == tensor.dtype and torch.equal(found[name], tensor) for name, tensor in tensors.items())
