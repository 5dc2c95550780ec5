"""A call in the top function: a kernel, what its template arguments name, and its streams."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from qfx.export.hls.kernels import Kernel
from qfx.export.hls.words import Wire
from qfx.export.schedule import Frame

STREAM_DEPTH = 2
"""Of every stream, until the schedule has said how deep it has to be."""


@dataclass(frozen=True)
class Stream:
    """A FIFO of the top function.

    Attributes:
        space, owner, member: the C++ type of its words, `space::owner::member`.
        width: bits of a word.
        frame_words: how many words there are a frame.
        depth: words that it holds.
    """

    name: str
    space: Literal["value", "layer"]
    owner: str
    member: Literal["word", "window"]
    width: int
    frame_words: int
    depth: int = STREAM_DEPTH

    @classmethod
    def of(cls, name: str, wire: Wire) -> Stream:
        """One that carries a value."""
        return cls(name, "value", wire.name, "word", wire.word_width, wire.words)


@dataclass(frozen=True)
class Stage:
    """A call in the top function, after the streams it writes are declared; of the schedule a process.

    Attributes:
        kernel: what runs.
        space, traits: the structs that are its template arguments: of a layer's settings, a port, one or two values.
        reads: streams or ports that it reads, in the order of its parameters.
        writes: streams that it writes.
        port: that it writes to instead; empty for none.
        node: that it computes, or whose windows it picks; empty for what lies between nodes.
        comment: what it is; empty for a stage that belongs to the one before.
    """

    kernel: Kernel
    space: Literal["layer", "port", "value"]
    traits: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[Stream, ...] = ()
    port: str = ""
    node: str = ""
    comment: str = ""

    @property
    def written(self) -> tuple[str, ...]:
        """Names of the streams, or of the port, that it writes."""
        return (self.port,) if self.port else tuple(stream.name for stream in self.writes)

    @property
    def call(self) -> str:
        """What the top function calls, in messages: `conv2d<layer::stem>`."""
        return f"{self.kernel.function}<{', '.join(f'{self.space}::{name}' for name in self.traits)}>"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Streams, readers first."""
        return (*self.reads, *self.written)

    @property
    def name(self) -> str:
        """`conv2d stem_conv`, or `fork image_copy0` after the first stream that it writes: the same for no two stages."""
        return f"{self.kernel.function} {self.written[0]}"

    @property
    def label(self) -> str:
        """The node; of what lies between nodes the first stream that it writes, of a fork what it reads, else the port."""
        if self.node:
            return self.node
        return {"fork": self.reads[0], "axi": self.traits[0]}.get(self.kernel.kind, self.written[0])

    @property
    def latency(self) -> int:
        """Cycles from an iteration to its words."""
        return self.kernel.depth

    @property
    def passes(self) -> bool:
        """Whether words had better wait behind it than in front of it."""
        return self.kernel.passes

    @property
    def frame(self) -> Frame:
        """When it touches its streams."""
        return self._frame

    @cached_property
    def _frame(self) -> Frame:
        touched, written = self.kernel.touched(), self.written
        reads = {self.reads[index]: at for index, at in touched.reads.items()}
        writes = {written[index]: at for index, at in touched.writes.items()}
        return Frame(self.kernel.iterations, reads, writes, touched.ahead)

    def with_depths(self, depths: dict[str, int]) -> Stage:
        """The stage, its streams so deep."""
        return replace(self, writes=tuple(replace(stream, depth=depths[stream.name]) for stream in self.writes))
