"""What the exporter knows of a kernel of `hls_templates/kernels`, in one object: its C++, its streams, its foldings, its resources.

The iterations of a kernel's pipelined loops, which follow each other without a gap, are stated once; cycles per frame, the schedule
and the depths of streams all follow from them. What a kernel does once per start (clearing its memories) is left out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from qfx.export.cost.resources import Resources
from qfx.export.cost.storage import Control
from qfx.export.hls.stage_settings import Settings
from qfx.fixed import IntArray


@dataclass(frozen=True)
class Header:
    """A C++ header of a project.

    Attributes:
        name: of the file, without `.hpp`.
        template: below `hls_templates/`, without `.hpp.j2`.
        values: that the template prints with; all that it names.
        needs: the headers of QFX that it includes.
    """

    name: str
    template: str
    values: Mapping[str, object] = field(default_factory=dict[str, object])
    needs: tuple[Header, ...] = ()

    def all(self) -> dict[str, Header]:
        """It and all that it includes, by name."""
        found: dict[str, Header] = {self.name: self}
        for header in self.needs:
            found |= header.all()
        return found


LANES = Header("lanes", "parts/lanes")
"""Codes in packed words."""


@dataclass(frozen=True)
class Touched:
    """One frame of a kernel.

    Attributes:
        reads, writes: the iteration of each word, by the position of the stream among those that the kernel reads or writes; in
            the order of the program.
        ahead: words that it reads before the first frame.
    """

    reads: dict[int, IntArray]
    writes: dict[int, IntArray]
    ahead: int = 0


def facts(latency: int, takes: str) -> str:
    """Comment lines for the head of a kernel's file."""
    tree = " and a cycle per level of the adder tree" if "adder tree" in takes else ""
    head = f"// Latency: {latency} cycles{tree}, declared for the schedule; no vendor tool has confirmed it.\n"
    return f"{head}// Resources: {takes}.\n"


def header_of(name: str, template: str, facts: str, needs: Sequence[Header] = (LANES,), /, **values: object) -> Header:
    """A header from `hls_templates/kernels/<template>.hpp.j2`."""
    return Header(name, f"kernels/{template}", {**values, "facts": facts}, tuple(needs))


class Kernel(ABC):
    """A kernel at its place in an accelerator."""

    kind: ClassVar[str]
    """What it is, in estimates: the kind of its op, or `fork`, `convert`, `axi`."""
    functions: ClassVar[tuple[str, ...]]
    """C++ functions that it can be, which no value may be called; a `#` stands for a number."""
    endings: ClassVar[tuple[str, ...]] = ("",)
    """What may follow these names: the ways in which it multiplies."""
    latency: int
    """Depth of its pipeline in cycles, without an adder tree; no vendor tool has confirmed it."""
    takes: str
    """What it is made of, in words; `resources` counts it."""
    passes: ClassVar[bool] = False
    """A word for a word: where several follow each other, a requantize is mostly the last, so words that wait behind them are
    narrower than in front of them."""

    @property
    @abstractmethod
    def function(self) -> str:
        """The C++ function."""

    @property
    @abstractmethod
    def header(self) -> Header:
        """The header that defines it."""

    @property
    @abstractmethod
    def iterations(self) -> int:
        """Of its pipelined loops per frame; one takes a cycle."""

    @abstractmethod
    def touched(self) -> Touched:
        """When it reads and writes."""

    @abstractmethod
    def resources(self) -> Resources:
        """Resource usage, estimated, without the FIFOs behind it."""

    @property
    def terms(self) -> int:
        """Numbers that its adder tree adds."""
        return 1

    @property
    def depth(self) -> int:
        """Cycles from an iteration to its words: the latency, and a cycle per level of the adder tree."""
        return self.latency + (self.terms - 1).bit_length()

    def from_template(self, name: str, template: str, needs: Sequence[Header] = (LANES,), /, **values: object) -> Header:
        """Its header from `hls_templates/kernels/<template>.hpp.j2`."""
        return header_of(name, template, facts(self.latency, self.takes), needs, **values)


class Parameterized(Kernel):
    """A kernel whose template argument is a struct of settings."""

    @abstractmethod
    def describe(self, settings: Settings) -> None:
        """Add what the kernel wants to know."""


def every(count: int, step: int = 1, first: int = 0) -> IntArray:
    """first, first + step, ...: so many."""
    return np.arange(count, dtype=np.int64) * step + first


def where(mask: IntArray) -> IntArray:
    """The iterations in which something happens."""
    return np.flatnonzero(mask.ravel())


def counters(*bounds: int) -> Resources:
    """Counters of nested loops, outermost first; a loop of one turn needs none."""
    nest = tuple(bound for bound in bounds if bound > 1)
    return Control(nest).resources() if nest else Resources()
