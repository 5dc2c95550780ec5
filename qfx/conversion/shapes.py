"""What every node of a trace computes for a sample: tensors as shapes without data, sizes as they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from qfx.conversion.tracked import Shape
from qfx.errors import ConversionError, QfxError


class _Recorder(fx.Interpreter):
    """Runs the trace; frees tensors as it goes."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.results: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        self.results[n] = map_aggregate(result, _without_data)
        return result


def _without_data(result: Any) -> Any:
    return result.to("meta") if isinstance(result, Tensor) else result


def record(module: fx.GraphModule, model: nn.Module, sample: tuple[Tensor, ...]) -> tuple[dict[fx.Node, Any], Any]:
    """What the nodes of the trace compute, and what the model itself returns, whose `x += y` torch.fx traces as a sum.

    Raises:
        ConversionError: the model fails on the sample.
    """
    recorder = _Recorder(module)
    try:
        with torch.no_grad():
            returned = model(*(part.clone() for part in sample))
            recorder.run(*sample)
    except QfxError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shapes = ", ".join(str(list(part.shape)) for part in sample)
        raise ConversionError(f"the float model fails on the sample of {shapes}: {str(error).splitlines()[0]}") from error
    return recorder.results, returned


def holds_tensors(result: Any) -> bool:
    """Whether it is a tensor, or a sequence with tensors in it; a size is neither."""
    return any(isinstance(part, Tensor) for part in _parts(result))


def shape_of(result: Any) -> Shape:
    """The shape with the batch axis; of several tensors, none."""
    return tuple(result.shape) if isinstance(result, Tensor) else ()


def _parts(result: Any) -> list[Any]:
    return [*result] if isinstance(result, list | tuple) else [result]
