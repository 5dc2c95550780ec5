"""What a verification found."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qfx import notebook
from qfx.fixed import FixedType


@dataclass(frozen=True)
class Difference:
    """The first element that differs, in topological order of the layers.

    Attributes:
        layer, op: the node.
        sample: index of the sample.
        index: of the element in the sample.
        engines: those that differ from the reference.
        codes: engine -> the integer (torch: possibly a fraction) it has there.
        type: format of the value.
        operands: operand name -> its format.
    """

    layer: str
    op: str
    sample: int
    index: tuple[int, ...]
    engines: tuple[str, ...]
    codes: dict[str, int | float]
    type: FixedType
    operands: dict[str, FixedType]

    @property
    def reals(self) -> dict[str, float]:
        """Engine -> the real value."""
        return {engine: code * self.type.step for engine, code in self.codes.items()}

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "layer": self.layer,
            "op": self.op,
            "sample": self.sample,
            "index": list(self.index),
            "engines": list(self.engines),
            "codes": {engine: code if isinstance(code, int) else repr(code) for engine, code in self.codes.items()},
            "reals": {engine: repr(real) for engine, real in self.reals.items()},
            "type": self.type.ap_name,
            "operands": {name: type.ap_name for name, type in self.operands.items()},
        }

    def text(self) -> str:
        """Several lines for people."""
        where = f"[{', '.join(map(str, self.index))}]"
        lines = [f"first mismatch: layer {self.layer} ({self.op}), sample {self.sample}, element {where}"]
        lines += [f"  {engine:<6} {code:>12}  = {self.reals[engine]!r}" for engine, code in self.codes.items()]
        lines.append(f"  format {self.type.ap_name}, {self.type!r}")
        lines += [f"  operand {name}: {type.ap_name}, {type!r}" for name, type in self.operands.items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class LayerReport:
    """One layer.

    Attributes:
        name, op: the node.
        type: C++ name of the value's format.
        values: elements per sample.
        compared: elements, over all samples and engines, that were compared with the reference.
        mismatches: those that differ from it.
        seconds: that the comparison took.
    """

    name: str
    op: str
    type: str
    values: int
    compared: int
    mismatches: int
    seconds: float = field(default=0.0, compare=False)

    def document(self) -> dict[str, Any]:
        """For JSON, which holds no times: it is the same for the same values."""
        document = dataclasses.asdict(self)
        del document["seconds"]
        return document


@dataclass(frozen=True, repr=False)
class Report:
    """A verification.

    Attributes:
        engines: compared, the reference first.
        samples: inputs run.
        layers: in topological order.
        first: the first difference; None if there is none.
        notes: what the reader should know, such as an engine left out.
        outputs_only: whether only the network's outputs were compared, and `layers` are those that compute them.
        seconds: engine -> that it ran, without its preparation.
    """

    engines: tuple[str, ...]
    samples: int
    layers: tuple[LayerReport, ...]
    first: Difference | None = None
    notes: tuple[str, ...] = ()
    outputs_only: bool = False
    seconds: Mapping[str, float] = field(default_factory=dict[str, float], compare=False)

    def __repr__(self) -> str:
        return f"Report({self.summary})"

    def _repr_html_(self) -> str:
        """For notebooks: a row per layer, and the first difference."""
        rows = [(layer.name, layer.op, layer.type, layer.compared, layer.mismatches) for layer in self.layers]
        shown = notebook.table(self.summary, ("layer", "op", "format", "compared", "mismatches"), rows)
        return shown + (notebook.text(self.first.text()) if self.first else "")

    @property
    def summary(self) -> str:
        """A line: the engines, with `=` between them where they agree, and what was compared."""
        engines = (", " if self.mismatches else " = ").join(self.engines)
        only = " (outputs only)" if self.outputs_only else ""
        return (
            f"{engines}: {self.samples:,} samples, {self.values_compared:,} values compared{only}, {self.mismatches:,} mismatches"
        )

    @property
    def values_compared(self) -> int:
        """samples x elements of all layers x (engines - 1), less what an engine has no values of."""
        return sum(layer.compared for layer in self.layers)

    @property
    def mismatches(self) -> int:
        """Over all layers."""
        return sum(layer.mismatches for layer in self.layers)

    def document(self) -> dict[str, Any]:
        """For JSON; `outputs_only` is there only if it is true, `first_mismatch` only if there is one."""
        document: dict[str, Any] = {
            "engines": list(self.engines),
            "samples": self.samples,
            "values_compared": self.values_compared,
            "mismatches": self.mismatches,
            "layers": [layer.document() for layer in self.layers],
        }
        document |= {"outputs_only": True} if self.outputs_only else {}
        return document | ({"first_mismatch": self.first.document()} if self.first else {})


def totals(reports: dict[str, Report]) -> dict[str, Any]:
    """The JSON of several projects verified with the same engines and samples: their sums, and each by its name."""
    documents = {name: report.document() for name, report in reports.items()}
    first = next(iter(documents.values()))
    return {
        "engines": first["engines"],
        "samples": first["samples"],
        "values_compared": _sum(documents.values(), "values_compared"),
        "mismatches": _sum(documents.values(), "mismatches"),
        "layers": [layer | {"name": f"{name}/{layer['name']}"} for name, doc in documents.items() for layer in doc["layers"]],
        "projects": documents,
    }


def _sum(documents: Sequence[dict[str, Any]] | Any, key: str) -> int:
    return sum(document[key] for document in documents)
