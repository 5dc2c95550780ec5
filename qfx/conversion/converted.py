"""`convert`: a float model becomes a network of qfx.nn layers, calibrated, with its own weights.

1. The model, a copy of the caller's, is traced and run on the sample.
2. Each call is replaced by its quantized counterpart in qfx.nn or kept, and casts go in between (`walk`).
3. With the quantizers off the result has to compute what the float model does.
4. The quantizers are calibrated on the sample, and the network is lowered and proved exact once.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

import qfx.nn as qnn
from qfx.conversion.calibration import calibrate
from qfx.conversion.config import ConvertConfig, InputFormat
from qfx.conversion.handlers import HANDLERS
from qfx.conversion.paths import RESERVED, allowed
from qfx.conversion.shapes import record
from qfx.conversion.walk import Walk
from qfx.errors import ConversionError, LoweringError
from qfx.files import File
from qfx.fixed import FixedType
from qfx.frontend.trace import Trace, trace
from qfx.nn.quantize import RAW, InputLayer
from qfx.quant import QuantSpec, best_frac, quantizers, set_enabled

COMPARED = 4
"""Samples on which the float model and the converted one are compared."""
TOLERANCE = 1e-3
"""Largest difference there, relative to the largest output: float32 sums in another order."""


class Converted(fx.GraphModule, qnn.Model):
    """What `convert` returns: a `qfx.nn.Model` whose layers have the names of the float model's, and whose code torch.fx wrote.

    It trains, lowers, copies and saves like any other; `print(model.code)` shows the calls.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        restore, given = super().__reduce__()[:2]
        return _restored, (restore, given)


def _restored(restore: Any, given: tuple[Any, ...]) -> Converted:
    """torch.fx restores a plain GraphModule, whatever class it had."""
    plain: fx.GraphModule = restore(*given)
    return Converted(plain, plain.graph, plain._get_name())  # pyright: ignore[reportPrivateUsage]


def convert(model: nn.Module, sample: Tensor | Sequence[Tensor], config: ConvertConfig | File | None = None) -> Converted:
    """Convert a float model: the same weights and names, with casts where qfx.nn's networks have them, calibrated on the sample.

    Args:
        model: in plain torch; it is not changed.
        sample: what the converted network will read, (batch, ...), a tensor per input: raw integers where the configuration has
            mean and std, or a type that is not `real`, real values otherwise. A few hundred samples are plenty.
        config: widths and exceptions, or a TOML file with them; None for 8 bits.

    Returns:
        the network in eval mode, calibrated.

    Raises:
        ConversionError: what has no quantized counterpart, all of it, by name and with what to do; or a sample that does not fit.
        ConfigError: a wrong configuration.
        InputError: a sample of real values where raw integers are read.
        LoweringError: the model cannot be traced.
        ExactnessError: widths beyond what torch computes exactly.
    """
    config = (
        ConvertConfig() if config is None else config if isinstance(config, ConvertConfig) else ConvertConfig.read(Path(config))
    )
    samples = (sample,) if isinstance(sample, Tensor) else tuple(sample)
    own = _copied(model)
    if type(own).__module__.startswith("torch.nn") and not isinstance(own, nn.Sequential):
        own = nn.Sequential(own)  # the root of a trace is never a leaf
    traced = trace(own)
    _rename(traced)
    inputs = _inputs(traced, config, samples)
    few = tuple(part[:COMPARED] for part in samples)
    set_enabled(traced.module, False)  # of layers of qfx.nn that are there already
    results, wanted = record(traced.module, own, _as_floats(inputs, few))
    walk = Walk(traced, results, config, inputs, HANDLERS)
    walk.run()
    if walk.problems:
        raise ConversionError(_listed(type(model).__name__, walk.problems))
    converted = Converted(_rooted(walk.modules), walk.graph, type(model).__name__)
    converted.to(samples[0].device).eval()
    _compare(converted, few, wanted)
    calibrate(converted, [samples], config.calibration, percentile=config.percentile)
    try:
        _prove(converted, few)
    except LoweringError as error:
        raise ConversionError(_listed(type(model).__name__, [str(error)])) from error
    return converted


def _prove(converted: Converted, samples: Sequence[Tensor]) -> None:
    """Lower and prove the network once. A network with quantizers does so where it runs in eval, and keeps the proof; one without
    is a float model there.
    """
    if not quantizers(converted):
        converted.exactness([tuple(part.shape[1:]) for part in samples])
        return
    with torch.no_grad():
        converted(*samples)


_PARALLEL: tuple[Any, ...] = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def _copied(model: nn.Module) -> nn.Module:
    """A copy in float32 and eval, without what wraps it for several devices or a compiler.

    Raises:
        ConversionError: torch cannot copy it.
    """
    wrapper: Any = getattr(model, "_orig_mod", model)
    own: nn.Module = wrapper.module if type(wrapper) in _PARALLEL else wrapper
    try:
        return copy.deepcopy(own).to(torch.float32).eval()
    except RuntimeError as error:
        raise ConversionError(
            f"{type(own).__name__} cannot be copied: {str(error).splitlines()[0]}; tensors that are computed from parameters, as"
            " torch.nn.utils.weight_norm keeps them, have to be removed first"
        ) from error


def _rename(traced: Trace) -> None:
    """Submodules with a name that `Converted` has for something else get a `_` behind it."""
    for name in RESERVED & dict(traced.module.named_children()).keys():
        traced.module.add_module(f"{name}_", traced.module.get_submodule(name))
    for node in traced.nodes:
        if node.op == "call_module":
            node.target = allowed(str(node.target))


def _listed(name: str, problems: Sequence[str]) -> str:
    what = "1 part has" if len(problems) == 1 else f"{len(problems)} parts have"
    return "\n  ".join([f"{name} cannot be converted; {what} no fixed-point form:", *problems])


def _rooted(modules: dict[str, nn.Module]) -> nn.Module:
    """The layers under their paths; torch.fx wants them below one module."""
    root = nn.Module()
    for path, layer in modules.items():
        owner = root
        *owners, name = path.split(".")
        for part in owners:
            if part not in dict(owner.named_children()):
                owner.add_module(part, nn.Module())
            owner = owner.get_submodule(part)
        owner.add_module(name, layer)
    return root


def _inputs(traced: Trace, config: ConvertConfig, samples: Sequence[Tensor]) -> dict[str, InputLayer]:
    """The layer that reads each input.

    Raises:
        ConversionError: samples or names that do not fit the model.
    """
    names = [str(node.target) for node in traced.nodes if node.op == "placeholder"]
    if len(names) != len(samples):
        raise ConversionError(f"the model reads {len(names)} inputs, {', '.join(names)}, but the sample has {len(samples)}")
    unknown = [name for name in config.inputs if name not in names]
    if unknown:
        raise ConversionError(f"[inputs] names {unknown[0]!r}, but the model reads {', '.join(names)}")
    return {
        name: _input_layer(name, config.inputs.get(name, config.input), config, part)
        for name, part in zip(names, samples, strict=True)
    }


def _input_layer(name: str, given: InputFormat, config: ConvertConfig, sample: Tensor) -> InputLayer:
    if sample.dim() < 2 or len(sample) == 0:
        raise ConversionError(f"the sample of input {name!r} has shape {list(sample.shape)}; (batch, ...) is wanted")
    if given.mean is not None:
        scale, offset = dataclasses.replace(config.scale(), learn=False), QuantSpec(config.constants, learn=False)
        quant = QuantSpec(given.width, learn=config.learn)
        specs: dict[str, Any] = {"scale": scale, "offset": offset, "output": quant}
        if sample.dim() < 2 or len(given.mean) != sample.shape[1]:
            raise ConversionError(f"input {name!r} has {sample.shape[1]} channels, but mean and std have {len(given.mean)} entries")
        return qnn.QuantInput(given.mean, given.std, given.full_scale, given.type or RAW, **specs)
    if given.type is not None:
        return qnn.Quantize(QuantSpec.of(given.type)) if given.real else qnn.QuantInput(type=given.type)
    if not sample.is_floating_point():
        raise ConversionError(
            f"the sample of input {name!r} holds integers ({sample.dtype}), and nothing says what they mean; give"
            " InputFormat(mean=..., std=...), or InputFormat.fractions() for pixels as fractions of 256"
        )
    signed = bool((sample < 0).any())
    spec = QuantSpec(given.width, signed, learn=False)
    return qnn.Quantize(QuantSpec.of(FixedType(signed, given.width, int(best_frac(sample, spec)))))


def _as_floats(inputs: dict[str, InputLayer], samples: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """What the float model reads for these samples of the converted one."""
    floats: list[Tensor] = []
    for layer, part in zip(inputs.values(), samples, strict=True):
        layer.eval().to(part.device)
        set_enabled(layer, False)
        with torch.no_grad():
            floats.append(layer(part).to(torch.float32))
        set_enabled(layer, True)
    return tuple(floats)


def _compare(converted: Converted, samples: Sequence[Tensor], wanted: Any) -> None:
    """With the quantizers off the network has to be the float model.

    Raises:
        ConversionError: it is not.
    """
    set_enabled(converted, False)
    with torch.no_grad():
        found = converted(*samples)
    set_enabled(converted, True)
    pairs = list(zip(_tensors(found), _tensors(wanted), strict=True))
    for index, (ours, theirs) in enumerate(pairs):
        difference = float((ours.to(torch.float64) - theirs.to(torch.float64)).abs().max()) if ours.numel() else 0.0
        limit = TOLERANCE * max(1e-3, float(theirs.abs().max()))
        if not difference <= limit:
            raise ConversionError(
                f"output {index} of the converted network, without quantization, differs from the float model's by"
                f" {difference:.3g}, more than {limit:.3g}; a tensor that is changed in place and read again would explain it,"
                " as in x += y with another name of x read later: use x = x + y there"
            )


def _tensors(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else [part for part in result if isinstance(part, Tensor)]
