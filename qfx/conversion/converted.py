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
from typing import Any

import torch
from torch import Tensor, fx, nn

import qfx.nn as qnn
from qfx import arguments
from qfx.annotations import explained
from qfx.conversion.calibration import calibrate
from qfx.conversion.config import ConvertConfig, InputFormat
from qfx.conversion.handlers import HANDLERS
from qfx.conversion.paths import RESERVED
from qfx.conversion.shapes import record
from qfx.conversion.walk import Walk
from qfx.errors import ConversionError, InputError, LoweringError
from qfx.files import File
from qfx.fixed import FixedType
from qfx.frontend.given import Inputs, check_finite, check_network, tensors
from qfx.frontend.trace import Trace, described, trace
from qfx.nn.quantize import RAW, InputLayer
from qfx.quant import QuantSpec, best_frac, quantizers, set_enabled
from qfx.quant.once import making

COMPARED = 4
"""Samples on which the float model and the converted one are compared."""
TOLERANCE = 1e-3
"""Largest difference there, relative to the largest output: float32 sums in another order."""


class Converted(fx.GraphModule, qnn.Model):
    """What `convert` returns: a `qfx.nn.Model` whose layers have the names of the float model's, and whose code torch.fx wrote.

    It trains, lowers, copies and saves like any other; `print(model.code)` shows the calls.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        restore, (state, *rest) = super().__reduce__()[:2]
        return _restored, (
            restore,
            ({**state, "_plan": None}, *rest),
        )  # the plan is about these tensors, and has a trace of its own


def _restored(restore: Any, given: tuple[Any, ...]) -> Converted:
    """torch.fx restores a plain GraphModule, whatever class it had."""
    with making:  # it traces
        plain: fx.GraphModule = restore(*given)
    return Converted(plain, plain.graph, plain._get_name())  # pyright: ignore[reportPrivateUsage]


@explained
def convert(model: nn.Module, sample: Inputs, config: ConvertConfig | File | None = None) -> Converted:
    """Convert a float model: the same weights and names, with casts where qfx.nn's networks have them, calibrated on the sample.

    Args:
        model: in plain torch; it is not changed.
        sample: what the converted network will read, (batch, ...), a tensor or NumPy array per input, in order or by name: raw
            integers of any dtype where the configuration has mean and std, or a type that is not `real`, real values otherwise,
            which are taken in float32. A few hundred samples are plenty.
        config: widths and exceptions, or a TOML file with them; None for 8 bits.

    Returns:
        the network in eval mode, calibrated.

    Raises:
        ConversionError: what has no quantized counterpart, all of it, by name and with what to do; a sample that does not fit; a
            model that fails on it, or computes NaN.
        ConfigError: a wrong configuration.
        InputError: no network that has Python code, or no sample; weights or a sample that are not finite; a sample of real values
            where raw integers are read.
        LoweringError: the model cannot be traced.
        ExactnessError: widths beyond what torch computes exactly.
    """
    config = _config(config)
    own = _copied(check_network(model, "the model"))
    if type(own).__module__.startswith("torch.nn") and not isinstance(own, nn.Sequential):
        own = nn.Sequential(own)  # the root of a trace is never a leaf
    _check_root(own)
    traced = trace(own, RESERVED)
    samples = _samples(traced, sample)
    inputs = _inputs(traced, config, samples)
    few = tuple(part[:COMPARED] for part in samples)
    _check_weights(traced)
    set_enabled(traced.module, False)  # of layers of qfx.nn that are there already
    found = record(traced, own, _as_floats(inputs, few))
    walk = Walk(traced, found.results, config, inputs, HANDLERS)
    walk.run()
    if walk.problems:
        raise ConversionError(_listed(type(model).__name__, walk.problems))
    if found.not_finite:
        raise ConversionError(
            f"the float model computes values on the sample that are NaN or infinite, the first in {found.not_finite}"
        )
    converted = Converted(_rooted(walk.modules), walk.graph, type(model).__name__)
    converted.to(samples[0].device).eval()
    _compare(converted, few, found.returned)
    calibrate(converted, [samples], config.calibration, percentile=config.percentile, statistics=config.statistics)
    try:
        _prove(converted, few)
    except LoweringError as error:
        raise ConversionError(_listed(type(model).__name__, [str(error)])) from error
    return converted


_CONFIGURATION = "a qfx.ConvertConfig is wanted, or the path of a TOML file with one"


def _config(given: ConvertConfig | File | None) -> ConvertConfig:
    if given is None or isinstance(given, ConvertConfig):
        return given or ConvertConfig()
    return ConvertConfig.read(arguments.path("the configuration", given, _CONFIGURATION))


def _samples(traced: Trace, sample: Inputs) -> tuple[Tensor, ...]:
    """The sample of each input; real values as the float model takes them."""
    names = [str(node.target) for node in traced.nodes if node.op == "placeholder"]
    given = tensors("the sample", sample, names)
    parts = tuple(part.detach().to(torch.float32) if part.is_floating_point() else part for part in given)
    for name, part in zip(names, parts, strict=True):
        if part.dim() < 2 or len(part) == 0:
            raise ConversionError(f"the sample of input {name!r} has shape {list(part.shape)}; (batch, ...) is wanted")
        check_finite(f"the sample of input {name!r}", part)
    return parts


def _check_weights(traced: Trace) -> None:
    """Whether the parameters and buffers of the layers that are called are finite.

    Raises:
        InputError: they are not; names the tensor.
    """
    for node, path in traced.paths.items():
        layer = traced.layer(node)
        if layer is not None:
            for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
                check_finite(f"{path}.{name} ({type(layer).__name__}) of the float model", tensor)


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
        InputError: parameters or buffers that are complex numbers, or without values.
        ConversionError: torch cannot copy it.
    """
    wrapper: Any = getattr(model, "_orig_mod", model)
    own: nn.Module = wrapper.module if type(wrapper) in _PARALLEL else wrapper
    for name, tensor in (*own.named_parameters(), *own.named_buffers()):
        if tensor.is_complex():
            raise InputError(f"{name} of the float model holds complex numbers ({tensor.dtype}); only real ones can be converted")
        if tensor.is_meta:
            raise InputError(f"{name} of the float model is on the device meta, which holds no values; load its weights first")
    try:
        return copy.deepcopy(own).to(torch.float32).eval()
    except RuntimeError as error:
        raise ConversionError(
            f"{type(own).__name__} cannot be copied: {described(error)}; tensors that are computed from parameters, as"
            " torch.nn.utils.weight_norm keeps them, have to be removed first"
        ) from error


def _check_root(model: nn.Module) -> None:
    """Raises ConversionError where the model itself has hooks; the walk finds those of its parts."""
    if vars(model)["_forward_hooks"] or vars(model)["_forward_pre_hooks"]:
        raise ConversionError(f"{type(model).__name__} has hooks, which the converted network would not run; remove them first")


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
        ConversionError: names that the model does not have, or a format that does not fit the sample.
    """
    names = [str(node.target) for node in traced.nodes if node.op == "placeholder"]
    unknown = [name for name in config.inputs if name not in names]
    if unknown:
        raise ConversionError(f"[inputs] names {unknown[0]!r}, but the model reads {', '.join(names)}")
    return {
        name: _input_layer(name, config.inputs.get(name, config.input), config, part)
        for name, part in zip(names, samples, strict=True)
    }


def _input_layer(name: str, given: InputFormat, config: ConvertConfig, sample: Tensor) -> InputLayer:
    if given.mean is not None:
        scale, offset = dataclasses.replace(config.scale(), learn=False), QuantSpec(config.constants, learn=False)
        quant = QuantSpec(given.width, learn=config.learn)
        specs: dict[str, Any] = {"scale": scale, "offset": offset, "output": quant}
        if len(given.mean) != sample.shape[1]:
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
