"""What every op states once: operands, type rule, bound, integer meaning, cost, ONNX form, samples.

An op is a frozen dataclass whose fields are its attributes. All engines read the attributes and the type rule from
here; the arithmetic of torch and of the C++ is written elsewhere, on purpose (invariant 3).
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import reprlib
import typing
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from qfx.errors import GraphError
from qfx.fixed import MAX_WIDTH, FixedType, IntArray
from qfx.ir.value import Value
from qfx.ops.onnx_form import OnnxForm

Shape = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Cost:
    """Arithmetic of one node for one sample.

    Attributes:
        multiplications: products that need a multiplier.
        shift_adds: shifted additions that stand for products with K-hot constants.
        additions: other additions and comparisons.
    """

    multiplications: int = 0
    shift_adds: int = 0
    additions: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.multiplications + other.multiplications, self.shift_adds + other.shift_adds, self.additions + other.additions
        )


@dataclass(frozen=True)
class Sample:
    """One way to use an op, run by the conformance suite through every engine.

    Attributes:
        label: what is special about it.
        op: the op with its attributes.
        operands: example operands; constants carry their codes, the others are fed random and corner inputs.
    """

    label: str
    op: Op
    operands: tuple[Value, ...]


class Op(ABC):
    """Base of all ops. Subclasses are frozen dataclasses; the fields are JSON-able attributes."""

    kind: ClassVar[str]
    """Name in prints, JSON and file names, such as `conv2d`."""
    operand_names: ClassVar[tuple[str, ...]]
    """Names of the operands in order; a trailing `?` marks an optional one. Activations come first."""
    constant_operands: ClassVar[frozenset[str]] = frozenset()
    """Names of operands that have to be constants."""
    variadic: ClassVar[bool] = False
    """Whether more operands like the last one may follow."""
    lossy: ClassVar[bool] = False
    """Whether information may be lost (Requantize, Lookup, ArgMax)."""

    def __post_init__(self) -> None:
        """Raises GraphError for an attribute that is not of its type."""
        for name, kind in _attribute_types(type(self)).items():
            if not _fits(getattr(self, name), kind):
                wanted = str(kind) if typing.get_args(kind) else kind.__name__
                raise GraphError(f"{self.kind}: attribute {name} is {reprlib.repr(getattr(self, name))}, which is no {wanted}")

    @abstractmethod
    def infer(self, operands: Sequence[Value]) -> tuple[FixedType, Shape]:
        """Format and shape of the result, exact for every input within the operands' formats.

        Raises:
            GraphError: shapes or constants that do not fit.
            FormatError: a result wider than 63 bits.
        """

    @abstractmethod
    def bound(self, operands: Sequence[Value]) -> int:
        """Largest magnitude of any intermediate integer, on the finest grid that the computation touches.

        It counts the operands themselves, each product, every partial sum in any order, and rounding offsets.
        """

    @abstractmethod
    def evaluate(self, arrays: Sequence[IntArray], operands: Sequence[Value]) -> IntArray:
        """The op on integer codes: activations with a leading batch axis, constants without."""

    def keeps_order(self, operands: Sequence[Value]) -> bool:
        """Whether it works element by element, and a larger element of the first operand gives no smaller result.

        False is what nobody has looked into; the other operands are constants.
        """
        return False

    @abstractmethod
    def cost(self, operands: Sequence[Value]) -> Cost:
        """Arithmetic for one sample."""

    @abstractmethod
    def onnx(self, form: OnnxForm, operands: Sequence[Value]) -> str:
        """Append ONNX nodes on integer-valued tensors to `form`; returns the name of the result tensor."""

    @classmethod
    @abstractmethod
    def samples(cls) -> tuple[Sample, ...]:
        """Uses that cover the attributes and the corners of the type rule."""

    def attributes(self) -> dict[str, object]:
        """The fields, for JSON."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    def describe(self) -> str:
        """`conv2d(stride=(1, 1), ...)`, without the attributes at their defaults."""
        shown = [
            f"{f.name}={_shown(getattr(self, f.name))}"
            for f in dataclasses.fields(self)  # type: ignore[arg-type]
            if getattr(self, f.name) != f.default
        ]
        return f"{self.kind}({', '.join(shown)})"

    def check_operands(self, operands: Sequence[Value]) -> None:
        """Raises GraphError on a wrong number of operands, or a computed value where a constant must be."""
        least = sum(not name.endswith("?") for name in self.operand_names)
        most = len(operands) if self.variadic else len(self.operand_names)
        if not least <= len(operands) <= most:
            raise GraphError(f"{self.kind} takes {least} to {len(self.operand_names)} operands, not {len(operands)}")
        for name, value in zip(self.operand_names, operands, strict=False):
            if name.rstrip("?") in self.constant_operands and value.constant is None:
                raise GraphError(f"operand {name.rstrip('?')} of {self.kind} must be a constant, but {value.name!r} is computed")


@functools.cache
def _attribute_types(op: type[Op]) -> dict[str, Any]:
    """Name -> type of the attributes of an op."""
    hints = typing.get_type_hints(op)
    return {field.name: hints[field.name] for field in dataclasses.fields(op)}  # type: ignore[arg-type]


def _fits(item: Any, kind: Any) -> bool:
    """Whether an attribute is of its type: a class, a tuple, or one of several."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is not tuple:
        return any(_fits(item, one) for one in arguments) if arguments else type(item) is kind
    if type(item) is not tuple:
        return False
    items = cast("tuple[Any, ...]", item)
    kinds = arguments[:1] * len(items) if arguments[-1] is Ellipsis else arguments
    return len(kinds) == len(items) and all(map(_fits, items, kinds))


def _shown(attribute: object) -> str:
    if isinstance(attribute, FixedType):
        return attribute.ap_name
    return str(attribute.value) if isinstance(attribute, enum.Enum) else str(attribute)


def signed_digits(codes: IntArray) -> IntArray:
    """Number of non-zero digits of each code in canonical signed-digit (non-adjacent) form, any shape."""
    magnitude = np.abs(codes).astype(np.uint64)
    bits = (magnitude + (magnitude << np.uint64(1))) ^ magnitude  # NAF digits of m are the set bits of 3m ^ m
    count = np.zeros(codes.shape, np.int64)
    for _ in range(MAX_WIDTH + 1):
        count += (bits & np.uint64(1)).astype(np.int64)
        bits >>= np.uint64(1)
    return count


def check_digits(kind: str, value: Value, digits: int | None) -> None:
    """Raises GraphError if a constant that is declared K-hot has a code with more than `digits` signed digits."""
    if digits is None:
        return
    most = int(signed_digits(value.codes).max(initial=0))
    if most > digits:
        raise GraphError(f"{kind} declares {digits}-hot constants, but {value.name!r} has a code with {most} signed digits")


def channelwise(codes: IntArray, x: Value) -> IntArray:
    """Per-channel codes (channel,) shaped to broadcast against (batch, *x.shape)."""
    return codes.reshape(-1, *(1,) * (len(x.shape) - 1))


def align(codes: IntArray, frac: int, to: int) -> IntArray:
    """Codes on a finer grid; `to >= frac`, and the caller has proved that the result fits."""
    return codes << (to - frac)
