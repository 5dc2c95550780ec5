"""Post-processing on the CPU: what a network does behind the chip's outputs, in floating point."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from qfx.errors import GraphError
from qfx.ir.value import Value

KINDS = ("softmax", "log_softmax", "topk", "topk_indices")
"""What `qfx.host` computes."""


@dataclass(frozen=True)
class HostStep:
    """One step on the real values of one output.

    Attributes:
        name: of its result.
        kind: one of `KINDS`; `topk` gives the values of the greatest elements in their order, `topk_indices` where they stand.
        source: name of the output that it reads.
        axis: of the output, 0 for its first axis behind the batch.
        count: elements that topk keeps; all of them are a sort.
        largest: whether topk begins with the greatest, not with the least.
    """

    name: str
    kind: str
    source: str
    axis: int
    count: int | None = None
    largest: bool = True

    def text(self) -> str:
        """`softmax(axis=0) of fc`."""
        shown = [f"axis={self.axis}"]
        shown += [f"count={self.count}"] if self.count is not None else []
        shown += ["largest=False"] if not self.largest else []
        return f"{self.kind}({', '.join(shown)}) of {self.source}"

    def check(self, source: Value) -> None:
        """Raises GraphError unless the step fits the value that it reads."""
        if self.kind not in KINDS:
            raise GraphError(f"host step {self.name!r} is of unknown kind {self.kind!r}; known are {', '.join(KINDS)}")
        if not 0 <= self.axis < len(source.shape):
            raise GraphError(f"host step {self.name!r}: {source.name!r} {source.shape} has no axis {self.axis}")
        counted = self.kind.startswith("topk")
        if counted != (self.count is not None) or (self.count is not None and not 1 <= self.count <= source.shape[self.axis]):
            raise GraphError(f"host step {self.name!r}: count {self.count} does not fit an axis of {source.shape[self.axis]}")

    def document(self) -> dict[str, object]:
        """For JSON."""
        return dataclasses.asdict(self)
