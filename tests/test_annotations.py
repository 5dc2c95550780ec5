"""Arguments of wrong types: the error names the argument; what works and what fails for other reasons stays as it is."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

import qfx
from qfx.annotations import explained, explained_init
from qfx.errors import InputError


class Kind(enum.Enum):
    A = 1


class Sized(Protocol):
    def __len__(self) -> int: ...


@explained
def fails(
    number: int = 0,
    real: float = 0.0,
    flag: bool = False,
    text: str | None = None,
    file: Path | str = "",
    codes: npt.NDArray[np.int64] | None = None,
    pair: tuple[int, int] = (0, 0),
    many: Sequence[str] = (),
    by_name: Mapping[str, int] | None = None,
    each: Iterable[int] = (),
    call: Callable[[], None] = print,
    kind: Kind = Kind.A,
    word: Literal["a", "b"] = "a",
    sized: Sized = (),
    made: type[int] = int,
    unknown: Unknown | None = None,  # noqa: F821  # pyright: ignore
) -> None:
    """Always; for a reason of its own, unless an argument is to blame."""
    raise KeyError("its own reason")


GOOD: dict[str, Sequence[Any]] = {
    "number": [1, np.int8(1)],
    "real": [1, 1.5, np.float32(2)],
    "flag": [True, np.True_],
    "text": ["x", None],
    "file": ["x", Path()],
    "codes": [np.zeros(3, np.uint8), None],
    "pair": [(1, 2), [1, 2]],
    "many": [("a",), ["a", "b"]],
    "by_name": [{"a": 1}, None],
    "each": [[1], {2}, iter([1]), np.arange(3)],
    "call": [print, int],
    "kind": [Kind.A],
    "word": ["b"],
    "sized": ["", []],
    "made": [bool],
    "unknown": [object()],
}
BAD: dict[str, Sequence[Any]] = {
    "number": [True, 1.0, "1", None],
    "real": ["1", None, True, 1j],
    "flag": [1, "no", None],
    "text": [1, b"x"],
    "file": [1, None],
    "codes": [[1], np.zeros(3), np.zeros(3, "m8[s]")],
    "pair": [(1,), (1, "x"), 3, "ab"],
    "many": ["a", [1], {"a": 1}, {1}, np.array(3), np.zeros(2), np.zeros(0)],
    "by_name": [[1], {"a": "x"}, {1: 1}],
    "each": [None, 3, "ab", {"a": 1}],
    "call": [None, 3],
    "kind": [1, "A"],
    "word": ["c", 1],
    "sized": [3, np.array(1)],
    "made": [3, str],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values if name != "made"])
def test_the_argument_is_named(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{name} is (.|\n)*; wanted is ") as found:
        fails(**{name: value})
    assert isinstance(found.value.__cause__, KeyError)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_other_errors_stay(name: str, value: Any) -> None:
    with pytest.raises(KeyError, match="its own reason"):
        fails(**{name: value})


def test_the_words() -> None:
    with pytest.raises(InputError, match=r"^number is 'x' \(str\); wanted is int$"):
        fails("x")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="unexpected keyword argument 'wrong'"):
        fails(wrong=1)  # pyright: ignore[reportCallIssue]


def test_a_value_that_cannot_be_printed() -> None:
    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(InputError, match=r"^number is .*Rude"):
        fails(Rude())  # pyright: ignore[reportArgumentType]


def test_constructors() -> None:
    @explained_init
    class Made:
        def __init__(self, count: int) -> None:
            self.all = [0] * count
            raise RuntimeError("torch has its reasons:\n  many")

    with pytest.raises(InputError, match=r"^Made: count is 1.5 \(float\); wanted is int$"):
        Made(1.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"^Made: torch has its reasons: many$"):
        Made(1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: qfx.nn.Conv2d("2", 3, 3), "Conv2d: in_channels is '2' (str); wanted is int"),  # pyright: ignore
        (lambda: qfx.nn.Linear(6, None), "Linear: out_features is None; wanted is int"),  # pyright: ignore
        (lambda: qfx.quant.project_k_hot(3, 1, None), "x is 3 (int); wanted is Tensor"),  # pyright: ignore
        (lambda: qfx.training.mean_digits(3), "model is 3 (int); wanted is nn.Module"),  # pyright: ignore
        (lambda: qfx.ir.load_graph(None), "the folder is None; a path is wanted, as text or as a pathlib.Path"),  # pyright: ignore
    ],
)
def test_public_functions(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError) as found:
        call()
    assert str(found.value) == message


def test_sparse_tensors_and_paths_that_no_system_has() -> None:
    sparse: Any = torch.ones(2).to_sparse()
    with pytest.raises(InputError, match=r"x is .*wanted is Tensor"):
        qfx.quant.best_frac(sparse, qfx.QuantSpec(4))
    with pytest.raises(InputError, match=r"per_channel is .*wanted is bool"):
        qfx.QuantSpec.weights(4, per_channel=sparse)
    with pytest.raises(InputError, match=r"the folder is .*which names no file and no folder"):
        qfx.ir.save_graph(qfx.lower(qfx.convert(nn.Linear(1, 1), torch.ones(2, 1)), (1,)), "a\0b")
