"""What every node of a trace computes for a sample: tensors as shapes without data, sizes as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from qfx.conversion.tracked import Shape
from qfx.errors import ConversionError, QfxError
from qfx.frontend.trace import Trace, described, user_line


class _Recorder(fx.Interpreter):
    """Runs the trace; frees tensors as it goes."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.results: dict[fx.Node, Any] = {}
        self.not_finite: fx.Node | None = None

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if self.not_finite is None and not _finite(result):
            self.not_finite = n
        self.results[n] = map_aggregate(result, _without_data)
        return result


def _without_data(result: Any) -> Any:
    return result.to("meta") if isinstance(result, Tensor) else result


def _finite(result: Any) -> bool:
    return all(bool(torch.isfinite(part).all()) for part in _parts(result) if isinstance(part, Tensor))


@dataclass(frozen=True)
class Recorded:
    """What a sample has shown of a model.

    Attributes:
        results: of each node of the trace.
        returned: by the model itself, whose `x += y` torch.fx traces as a sum.
        not_finite: the call that computed the first value that is NaN or infinite, as messages name it, if one is returned.
    """

    results: dict[fx.Node, Any]
    returned: Any
    not_finite: str | None


def record(traced: Trace, model: nn.Module, sample: tuple[Tensor, ...]) -> Recorded:
    """Run the model and its trace.

    Raises:
        ConversionError: the model fails on the sample.
    """
    recorder = _Recorder(traced.module)
    try:
        with torch.no_grad():
            returned = model(*(part.clone() for part in sample))
            recorder.run(*sample)
    except QfxError:
        raise
    except (Exception, SystemExit) as error:  # the code is the user's, and may raise anything
        line, raised = user_line(error)
        shapes = ", ".join(str(list(part.shape)) for part in sample)
        where = f" at {line}, where its own code raises it" if raised else f" at {line}" if line else ""
        raise ConversionError(f"the float model fails on the sample of {shapes}{where}: {described(error)}") from error
    first = recorder.not_finite
    return Recorded(recorder.results, returned, None if first is None or _finite(returned) else traced.describe(first))


def holds_tensors(result: Any) -> bool:
    """Whether it is a tensor, or a sequence with tensors in it; a size is neither."""
    return any(isinstance(part, Tensor) for part in _parts(result))


def shape_of(result: Any) -> Shape:
    """The shape with the batch axis; of several tensors, none."""
    return tuple(result.shape) if isinstance(result, Tensor) else ()


def _parts(result: Any) -> list[Any]:
    return [*result] if isinstance(result, list | tuple) else [result]
