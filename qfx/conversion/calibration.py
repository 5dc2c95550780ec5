"""Post-training quantization: binary points from data.

mse         the f with the least squared error of the cast
max         the largest f at which nothing saturates
percentile  the same for all but the largest magnitudes: those above the given percentile may saturate
"""

from __future__ import annotations

import enum
import functools
import inspect
import math
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from qfx.annotations import explained
from qfx.arguments import shown
from qfx.checks import argument, flag
from qfx.checks import number as finite
from qfx.conversion.layerwise import CallByCall, Search, calls_of, even_batches, moments
from qfx.errors import InputError, QfxError, QuantizationError
from qfx.frontend.given import Array, check_finite, check_network, tensor
from qfx.frontend.leaf import network_of
from qfx.frontend.trace import described, user_line
from qfx.nn.batch_norm import BatchNorm
from qfx.quant import Quantizer, QuantSpec, best_frac, quantizers, set_enabled
from qfx.quant.cast import quantize
from qfx.quant.exact_arithmetic import exact_arithmetic
from qfx.quant.kept_modes import modes_kept
from qfx.quant.search import MOST_SAMPLES as MSE_SAMPLES
from qfx.quant.spec import MAX_FRAC
from qfx.settings import nearest

Batch = Array | Sequence[Array]
"""What a model takes in one call: a tensor or a NumPy array, or one per input."""

MOST_SAMPLES = 1 << 22
"""Magnitudes of which a percentile is taken; larger tensors are looked at with a fixed stride."""


class Method(enum.Enum):
    """How a binary point follows from data; see the module's table."""

    MSE = "mse"
    MAX = "max"
    PERCENTILE = "percentile"


@explained
def calibrate(
    model: nn.Module,
    batches: Iterable[Batch],
    method: Method | str = Method.MSE,
    *,
    percentile: float = 99.99,
    statistics: bool = True,
) -> None:
    """Give every quantizer the binary point that fits what reaches it, and batch normalisations the statistics of it.

    The network is gone through in eval, call by call (`qfx.conversion.layerwise`): each quantizer sees inputs that the ones before
    it have already quantized. The running statistics of batch normalisations are corrected by what that has changed, since those of
    the float network do not fit what few bits leave of its values. Weights, scales and slopes are calibrated on their own values.
    How samples are distributed over batches does not matter, and memory is bounded. Can be called again, also in the middle of a
    training; quantizers whose spec gives a frac keep it. Those that were switched off are switched on, frozen ones learn again.

    Args:
        model: the network; its mode stays.
        batches: inputs as the model takes them, (batch, ...) each, or a tuple of them where it takes several; a few hundred
            samples are plenty. A tensor alone is one batch.
        method: `mse`, `max` or `percentile`.
        percentile: for that method, of the magnitudes, in 0..100.
        statistics: whether running statistics are corrected; those of batch normalisations that have never been trained are taken
            from the samples.

    Raises:
        InputError: no network, no data, data that do not fit it or are not finite, or an unknown method.
        LoweringError: the model cannot be traced.
        QuantizationError: a quantizer that the forward does not reach, or values that are NaN or infinite.

    After an error the model is as it was.

    Warns:
        UserWarning: a quantizer makes 0 of all its values, by path.
    """
    search = search_of(method, percentile)
    check_network(model)
    inputs = even_batches(_inputs(model, batches))
    with _restored_on_error(model), torch.no_grad(), exact_arithmetic(inputs[0][0].device):
        silent = _calibrate(model, inputs, search, argument("calibrate", "statistics", statistics, flag))
    if silent:
        warnings.warn(
            f"the quantizers {', '.join(silent)} make 0 of every value they are given, so what follows them learns nothing;"
            " give them more bits, calibrate with method='max', or look at the layers before them",
            stacklevel=3,  # behind `explained`
        )


def _calibrate(model: nn.Module, inputs: Sequence[tuple[Tensor, ...]], search: Search, statistics: bool) -> list[str]:
    found = quantizers(model)
    try:
        with modes_kept(model):
            model.eval()
            traced = calls_of(model)
            old = moments(model, traced, inputs) if statistics else None
            walk = CallByCall(traced, inputs, search, _values_for(search), old)
            set_enabled(model, True)
            for quantizer in found.values():
                quantizer.calibrated.fill_(quantizer.spec.frac is not None)
                quantizer.frozen.fill_(False)
                quantizer.collector = walk.see
            walk.run()
    except QfxError:
        raise
    except (Exception, SystemExit) as error:  # the code is the user's, and may raise anything
        line, _ = user_line(error)
        shapes = ", ".join(str(list(part.shape)) for part in inputs[0])
        raise InputError(f"the network fails on inputs of {shapes}{f' at {line}' if line else ''}: {described(error)}") from error
    finally:
        for quantizer in found.values():
            quantizer.collector = None
    missed = [path for path, quantizer in found.items() if not quantizer.calibrated]
    if missed:
        raise QuantizationError(f"the forward pass did not reach the quantizers {', '.join(missed)}; remove them or use them")
    return walk.silent


def _values_for(search: Search) -> int | None:
    """How many values a search wants to see; None for the least and the largest."""
    if not isinstance(search, functools.partial):
        return MSE_SAMPLES
    return None if search.keywords["percentile"] == 100.0 else MOST_SAMPLES


@contextmanager
def _restored_on_error(model: nn.Module) -> Generator[None]:
    """Whatever calibration changes is as it was if it fails."""
    owners = [module for module in model.modules() if isinstance(module, Quantizer | BatchNorm)]
    tensors = [tensor for owner in owners for tensor in (*owner.parameters(recurse=False), *owner.buffers(recurse=False))]
    values = [tensor.detach().clone() for tensor in tensors]
    enabled = {owner: owner.enabled for owner in owners if isinstance(owner, Quantizer)}
    try:
        yield
    except BaseException:
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)
        for quantizer, was in enabled.items():
            quantizer.enabled = was
        raise


def _inputs(model: nn.Module, batches: Any) -> list[tuple[Tensor, ...]]:
    """The batches, a tensor per input.

    Raises:
        InputError: something else, none, or batches that fit neither each other nor the model.
    """
    if isinstance(batches, Tensor | np.ndarray):
        batches = [batches]
    if isinstance(batches, str | bytes | Mapping) or not isinstance(batches, Iterable):
        raise InputError(f"the batches are {shown(batches)}; a list of tensors (batch, ...) is wanted, or a DataLoader of inputs")
    given = [_batch(index, batch) for index, batch in enumerate(cast("Iterable[Any]", batches))]
    if not given:
        raise InputError("calibrate needs at least one batch of inputs")
    for index, batch in enumerate(given):
        if [part.shape[1:] for part in batch] != [part.shape[1:] for part in given[0]]:
            first, other = (", ".join(str(list(part.shape)) for part in parts) for parts in (given[0], batch))
            raise InputError(f"batch 0 has the shapes {first}, but batch {index} has {other}; all have to be alike")
    takes = network_of(model)
    try:
        inspect.signature(takes.forward).bind(*given[0])
    except TypeError as error:
        raise InputError(
            f"a batch has {len(given[0])} tensors, but {type(takes).__name__}.forward takes others: {error}; give the inputs alone,"
            " without labels"
        ) from error
    return given


def _batch(index: int, batch: object) -> tuple[Tensor, ...]:
    parts = cast(Sequence[object], batch) if isinstance(batch, list | tuple) else [batch]
    found = tuple(tensor(f"batch {index}", part) for part in parts)
    for part in found:
        if part.dim() == 0 or len(part) == 0:
            raise InputError(f"batch {index} has the shape {list(part.shape)}; (batch, ...) is wanted, with a sample or more")
        check_finite(f"batch {index}", part)
    if len({len(part) for part in found}) > 1:
        sizes = ", ".join(str(len(part)) for part in found)
        raise InputError(f"batch {index} holds {sizes} samples of its inputs; as many of each are wanted")
    return found


def search_of(method: Method | str, percentile: float) -> Search:
    """The search of a method.

    Raises:
        InputError: an unknown method, or a percentile outside 0..100.
    """
    names = [known.value for known in Method]
    name = method.value if isinstance(method, Method) else method if isinstance(method, str) else shown(method)  # pyright: ignore[reportUnnecessaryIsInstance]
    if name not in names:
        raise InputError(f"there is no calibration method {name!r}{nearest(name, names)}; the methods are {', '.join(names)}")
    if not 0 < argument("calibrate", "percentile", percentile, finite()) <= 100:
        raise InputError(f"the percentile {percentile:g} is outside 0..100; 99.99 lets one value in 10,000 saturate")
    if name == Method.MSE.value:
        return best_frac
    return functools.partial(largest_frac, percentile=100.0 if name == Method.MAX.value else percentile)


def largest_frac(x: Tensor, spec: QuantSpec, percentile: float = 100.0) -> Tensor:
    """The largest integer f at which no value is outside the range, those beyond the percentile of the magnitudes left out.

    A tensor without a value that the format could hold gets `width - 1`.

    Args:
        x: finite values; per channel, the channel is axis 0.

    Returns:
        int64, a scalar or (channels,).
    """
    rows = x.detach().reshape(len(x), -1) if spec.per_channel else x.detach().reshape(1, -1)
    rows = rows if spec.signed else rows.clamp(min=0)
    limits = torch.stack([_percentile(row.abs(), percentile) for row in rows]).to(torch.float64)
    rows = torch.stack(torch.aminmax(rows, dim=1), 1).to(torch.float64).clamp(-limits[:, None], limits[:, None])
    start = spec.largest.bit_length() - torch.frexp(limits)[1].to(torch.int64)
    best = start - 2
    for delta in (-1, 0, 1):  # inside once means inside at every smaller f
        frac = (start + delta).clamp(-MAX_FRAC, MAX_FRAC)
        best = torch.where(quantize(rows, frac, spec)[1].all(1), frac, best)
    best = torch.where(limits == 0, torch.full_like(best, spec.width - 1), best).clamp(-MAX_FRAC, MAX_FRAC)
    return best if spec.per_channel else best[0]


def _percentile(magnitudes: Tensor, percentile: float) -> Tensor:
    if percentile == 100.0:
        return magnitudes.max()
    sampled: Any = magnitudes[:: 1 + len(magnitudes) // MOST_SAMPLES]
    return sampled.kthvalue(max(1, math.ceil(len(sampled) * percentile / 100.0))).values
