"""What `convert` is told: widths, exceptions by type and by name of layers, the format of the inputs, the way of calibration.

A setting is looked up in this order: the last of `layers` whose pattern fits the name, `first_last` for the weights of the first
and the last layers, `types`, the configuration itself. docs/guides/convert.md has the table of all keys.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qfx import checks, settings
from qfx.annotations import explained
from qfx.checks import Check, keep
from qfx.conversion.calibration import Method
from qfx.errors import ConfigError
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.quant import QuantSpec
from qfx.settings import checked, nearest, read_toml

TYPES = (
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "Linear",
    "BatchNorm1d",
    "BatchNorm2d",
    "ReLU",
    "ReLU6",
    "Hardtanh",
    "PReLU",
    "Lookup",
    "Add",
    "AvgPool1d",
    "AvgPool2d",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "Quantize",
)
"""Layers of qfx.nn that `convert` makes and gives formats."""

_FORMATS: Mapping[str, Check] = {
    "weights": settings.width,
    "activations": settings.width,
    "pre_add": checks.or_none(settings.width),
    "constants": settings.width,
    "pool": settings.width,
    "weights_k_hot": settings.digits,
    "weights_max_exponent": settings.exponent,
    "constants_k_hot": settings.digits,
    "constants_max_exponent": settings.exponent,
    "per_channel": checks.flag,
    "learn": checks.flag,
    "rounding": checks.choice(Rounding),
    "overflow": checks.choice(Overflow),
}
_INPUT: Mapping[str, Check] = {
    "mean": settings.numbers,
    "std": settings.numbers,
    "full_scale": checks.positive,
    "type": settings.fixed_type,
    "real": checks.flag,
    "width": settings.width,
}


@dataclass(frozen=True)
class Formats:
    """What can be said of a layer.

    Attributes:
        weights: bits of the weights of convolutions and linear layers.
        activations: bits of what an activation function gives, and of other values that a weighted layer reads.
        pre_add: bits of the signed casts before an addition and a PReLU; None for one more than activations.
        constants: bits of batch-normalisation scales and offsets, of slopes and of biases.
        pool: bits after average pooling.
        weights_k_hot: signed digits of a weight; None or 0 for all codes.
        weights_max_exponent: largest exponent of these digits, in steps of the codes; None for what the width holds.
        constants_k_hot: signed digits of a scale or slope; None or 0 for all codes.
        constants_max_exponent: as for weights.
        per_channel: whether each output channel of a weight has a binary point of its own.
        learn: whether training moves the binary points.
        rounding, overflow: of the casts of values; constants are rounded to nearest and saturate.

    Raises:
        ConfigError: a wrong value.
    """

    weights: int = 8
    activations: int = 8
    pre_add: int | None = None
    constants: int = 8
    pool: int = 8
    weights_k_hot: int | None = None
    weights_max_exponent: int | None = None
    constants_k_hot: int | None = None
    constants_max_exponent: int | None = None
    per_channel: bool = False
    learn: bool = True
    rounding: Rounding = Rounding.RND
    overflow: Overflow = Overflow.SAT

    def __post_init__(self) -> None:
        keep(self, "the formats", _FORMATS, ConfigError)

    def weight(self) -> QuantSpec:
        """Of the weights of a convolution or linear layer."""
        return QuantSpec(
            self.weights,
            learn=self.learn,
            per_channel=self.per_channel,
            k_hot=self.weights_k_hot,
            max_exponent=self.weights_max_exponent,
        )

    def scale(self) -> QuantSpec:
        """Of scales and slopes."""
        return QuantSpec(self.constants, learn=self.learn, k_hot=self.constants_k_hot, max_exponent=self.constants_max_exponent)

    def offset(self) -> QuantSpec:
        """Of offsets and biases."""
        return QuantSpec(self.constants, learn=self.learn)

    def result(self, signed: bool) -> QuantSpec:
        """Of an activation."""
        return self._cast(self.activations, signed)

    def branch(self) -> QuantSpec:
        """Of a value before an addition or a PReLU."""
        return self._cast(self.activations + 1 if self.pre_add is None else self.pre_add, True)

    def pooled(self, signed: bool) -> QuantSpec:
        """Of an average."""
        return self._cast(self.pool, signed)

    def _cast(self, width: int, signed: bool) -> QuantSpec:
        return QuantSpec(width, signed, learn=self.learn, rounding=self.rounding, overflow=self.overflow)


@dataclass(frozen=True)
class InputFormat:
    """What the converted network reads.

        mean and std        raw integers, normalised in the network: (x / full_scale - mean) / std, then cast to `width` bits
        type                raw integers of this format; `fractions()` for pixels as fractions of 256
        type, real          real values, cast to this format
        none of them        real values, cast to `width` bits, the binary point from the sample

    Attributes:
        mean, std: per channel, in units of `full_scale`.
        full_scale: raw value that counts as 1.
        type: of the input; unsigned 8-bit integers where mean and std stand alone.
        real: whether `type` is a format of real values.
        width: bits of the normalised input.

    Raises:
        ConfigError: entries that are wrong, or do not go together.
    """

    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    full_scale: float = 255.0
    type: FixedType | None = None
    real: bool = False
    width: int = 8

    @classmethod
    @explained
    def fractions(cls, bits: int = 8) -> InputFormat:
        """Raw unsigned integers of `bits` bits, such as pixels, as fractions of `2**bits`."""
        return cls(type=FixedType(False, bits, bits))

    def __post_init__(self) -> None:
        keep(self, "the input", _INPUT, ConfigError)
        if (self.mean is None) != (self.std is None) or len(self.mean or ()) != len(self.std or ()):
            raise ConfigError("the input: mean and std belong together, with one entry per channel each")
        if any(entry <= 0 for entry in self.std or ()):
            raise ConfigError(f"the input: std = {list(self.std or ())}, but positive numbers are wanted")
        if self.real and (self.mean is not None or self.type is None):
            raise ConfigError("the input: real = true makes `type` the format of real values; give type, and no mean and std")


_OF_FORMATS = frozenset(entry.name for entry in dataclasses.fields(Formats))


@dataclass(frozen=True)
class ConvertConfig(Formats):
    """How to convert a float model; the widths of `Formats` hold for all layers.

    Attributes:
        first_last: bits of the weights of the first and the last layers.
        input: of every input that `inputs` does not name.
        inputs: by name of the parameter of `forward`.
        types: settings of `Formats` by one of `TYPES`, as {"PReLU": {"constants": 6}}.
        layers: settings of `Formats` by name, with the wildcards of file names; later ones come before earlier ones, and the
            weights given here count for the first and last layers, too.
        calibration, percentile, statistics: how binary points follow from the sample; `method` and the others of
            `qfx.conversion.calibrate`.

    Raises:
        ConfigError: unknown or wrong entries; says where, and lists what is known.
    """

    first_last: int = 8
    input: InputFormat = field(default_factory=InputFormat)
    inputs: Mapping[str, InputFormat] = field(default_factory=dict[str, InputFormat])
    types: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    calibration: Method = Method.MSE
    percentile: float = 99.99
    statistics: bool = True

    def __post_init__(self) -> None:
        keep(self, "the configuration", _CONFIG, ConfigError)

    @classmethod
    def bits(cls, bits: int, **others: Any) -> ConvertConfig:
        """What "b bits" means: weights and activations b; first and last weights, constants, pool and input 8."""
        return cls(**checked("the configuration", _CONFIG, {"weights": bits, "activations": bits, **others}))

    @classmethod
    def multiplier_free(cls, **others: Any) -> ConvertConfig:
        """Shifts and additions alone: 6-bit 2-hot weights everywhere, 8-bit 2-hot scales and slopes, 4-bit activations."""
        two_hot = {"weights": 6, "first_last": 6, "activations": 4, "weights_k_hot": 2, "constants_k_hot": 2}
        return cls(**checked("the configuration", _CONFIG, {**two_hot, **others}))

    @classmethod
    @explained
    def read(cls, file: Path | str) -> ConvertConfig:
        """The configuration in a TOML file; its keys are the attributes.

        Raises:
            ConfigError: the file cannot be read, or holds unknown or wrong entries.
        """
        return cls(**read_toml(file, "the configuration", _CONFIG))

    def formats(self, name: str, layer: str, first_last: bool = False) -> Formats:
        """The settings of one layer.

        Args:
            name: its path in the converted network.
            layer: its class in qfx.nn.
            first_last: whether it is among the first or last layers with weights.
        """
        found: dict[str, Any] = {key: getattr(self, key) for key in _OF_FORMATS}
        found |= _without_digits(self.types.get(layer, {}))
        if first_last:
            found["weights"] = self.first_last
        for pattern, given in self.layers.items():
            if fnmatch.fnmatchcase(name, pattern):
                found |= _without_digits(given)
        return Formats(**found)


def _without_digits(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, in which all codes in the place of K-hot ones have no digits whose exponents could be limited."""
    dense = [key for key in ("weights", "constants") if given.get(f"{key}_k_hot", 1) is None]
    return {**{f"{key}_max_exponent": None for key in dense}, **given}


def _input(value: Any) -> InputFormat:
    return value if isinstance(value, InputFormat) else InputFormat(**checked("[input]", _INPUT, value))


def _inputs(value: Any) -> dict[str, InputFormat]:
    return {name: _input(entry) for name, entry in settings.table(value).items()}


def _types(value: Any) -> dict[str, dict[str, Any]]:
    unknown = [name for name in settings.table(value) if name not in TYPES]
    if unknown:
        raise ValueError(
            f"{unknown[0]!r}{nearest(unknown[0], TYPES)} is no type of layer that convert makes; those are {', '.join(TYPES)}"
        )
    return {name: checked(f"[types.{name}]", _FORMATS, entry) for name, entry in settings.table(value).items()}


def _layers(value: Any) -> dict[str, dict[str, Any]]:
    return {pattern: checked(f"[layers.{pattern!r}]", _FORMATS, entry) for pattern, entry in settings.table(value).items()}


_CONFIG: Mapping[str, Check] = {
    **_FORMATS,
    "first_last": settings.width,
    "input": _input,
    "inputs": _inputs,
    "types": _types,
    "layers": _layers,
    "calibration": checks.choice(Method),
    "percentile": settings.percentile,
    "statistics": checks.flag,
}
