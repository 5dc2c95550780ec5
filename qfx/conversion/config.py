"""What `convert` is told: widths, exceptions by type and by name of layers, the format of the inputs, the way of calibration.

A setting is looked up in this order: the last of `layers` whose pattern fits the name, `ends` for the weights of the first and the
last layers, `types`, the configuration itself.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import importlib
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from qfx.conversion.calibration import Method
from qfx.errors import ConfigError, FormatError
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.quant import QuantSpec
from qfx.quant.spec import MAX_WIDTH

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

Check = Callable[[Any], Any]
"""Returns the value as it is kept; raises ValueError with what is wanted."""


def _width(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_WIDTH:
        raise ValueError(f"a number of bits is wanted, 1..{MAX_WIDTH}")
    return value


def _width_or_none(value: Any) -> int | None:
    return None if value is None else _width(value)


def _digits(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError("a number of signed digits is wanted, 0 for all codes")
    return value or None


def _exponent(value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 0):
        raise ValueError("the largest exponent of a digit is wanted, 0 or more")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false is wanted")
    return value


def _positive(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not (value > 0 and math.isfinite(value)):
        raise ValueError("a positive number is wanted")
    return float(value)


def _percentile(value: Any) -> float:
    if _positive(value) > 100:
        raise ValueError("a percentile is wanted, above 0 and at most 100")
    return float(value)


def _numbers(value: Any) -> tuple[float, ...] | None:
    given = list(cast(Sequence[Any], value)) if isinstance(value, list | tuple) else None
    if value is not None and (not given or not all(isinstance(entry, int | float) for entry in given)):
        raise ValueError("a list of numbers is wanted, one per channel")
    return None if given is None else tuple(float(entry) for entry in given)


def _choice(kind: type[Rounding] | type[Overflow] | type[Method]) -> Check:
    def check(value: Any) -> Any:
        names = [member.value for member in kind]
        if not isinstance(value, kind) and value not in names:
            raise ValueError(f"one of {', '.join(names)} is wanted")
        return kind(value)

    return check


def _fixed_type(value: Any) -> FixedType | None:
    if value is None or isinstance(value, FixedType):
        return value
    try:
        return FixedType(**value)
    except (TypeError, FormatError) as error:
        raise ValueError(f"a table such as {{ signed = true, width = 8, frac = 5 }} is wanted ({error})") from error


def _checked(where: str, known: Mapping[str, Check], given: Any) -> dict[str, Any]:
    """`given` with every value as it is kept.

    Raises:
        ConfigError: no table, an unknown key, a wrong value.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} is {given!r}; a table of {', '.join(known)} is wanted")
    result: dict[str, Any] = {}
    for key, value in cast(Mapping[str, Any], given).items():
        if key not in known:
            raise ConfigError(f"{where}: there is no key {key!r}; the keys are {', '.join(known)}")
        try:
            result[key] = known[key](value)
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"{where}: {key} = {value!r}, but {error}") from error
    return result


_FORMATS: Mapping[str, Check] = {
    "weights": _width,
    "activations": _width,
    "before": _width_or_none,
    "norm": _width,
    "pool": _width,
    "weights_k_hot": _digits,
    "weights_max_exponent": _exponent,
    "norm_k_hot": _digits,
    "norm_max_exponent": _exponent,
    "per_channel": _flag,
    "learn": _flag,
    "rounding": _choice(Rounding),
    "overflow": _choice(Overflow),
}
_INPUT: Mapping[str, Check] = {
    "mean": _numbers,
    "std": _numbers,
    "full_scale": _positive,
    "type": _fixed_type,
    "real": _flag,
    "width": _width,
}


@dataclass(frozen=True)
class Formats:
    """What can be said of a layer.

    Attributes:
        weights: bits of the weights of convolutions and linear layers.
        activations: bits of what an activation function gives, and of other values that a weighted layer reads.
        before: bits of the signed casts before an addition and a PReLU; None for one more than activations.
        norm: bits of batch-normalisation scales and offsets, of slopes and of biases.
        pool: bits after average pooling.
        weights_k_hot: signed digits of a weight; None or 0 for all codes.
        weights_max_exponent: largest exponent of these digits, in steps of the codes; None for what the width holds.
        norm_k_hot: signed digits of a scale or slope; None or 0 for all codes.
        norm_max_exponent: as for weights.
        per_channel: whether each output channel of a weight has a binary point of its own.
        learn: whether training moves the binary points.
        rounding, overflow: of the casts of values; constants are rounded to nearest and saturate.
    """

    weights: int = 8
    activations: int = 8
    before: int | None = None
    norm: int = 8
    pool: int = 8
    weights_k_hot: int | None = None
    weights_max_exponent: int | None = None
    norm_k_hot: int | None = None
    norm_max_exponent: int | None = None
    per_channel: bool = False
    learn: bool = True
    rounding: Rounding = Rounding.RND
    overflow: Overflow = Overflow.SAT

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
        return QuantSpec(self.norm, learn=self.learn, k_hot=self.norm_k_hot, max_exponent=self.norm_max_exponent)

    def offset(self) -> QuantSpec:
        """Of offsets and biases."""
        return QuantSpec(self.norm, learn=self.learn)

    def result(self, signed: bool) -> QuantSpec:
        """Of an activation."""
        return self._cast(self.activations, signed)

    def branch(self) -> QuantSpec:
        """Of a value before an addition or a PReLU."""
        return self._cast(self.activations + 1 if self.before is None else self.before, True)

    def pooled(self, signed: bool) -> QuantSpec:
        """Of an average."""
        return self._cast(self.pool, signed)

    def _cast(self, width: int, signed: bool) -> QuantSpec:
        return QuantSpec(width, signed, learn=self.learn, rounding=self.rounding, overflow=self.overflow)


@dataclass(frozen=True)
class InputFormat:
    """What the converted network reads.

        mean and std        raw integers, normalised in the network: (x / full_scale - mean) / std, then cast to `width` bits
        type                raw integers of this format, such as pixels as fractions of 256 for FixedType(False, 8, 8)
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

    def __post_init__(self) -> None:
        _keep(self, _checked("the input", _INPUT, _own_fields(self)))
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
        ends: weight bits of the first and the last layers.
        input: of every input that `inputs` does not name.
        inputs: by name of the parameter of `forward`.
        types: settings of `Formats` by one of `TYPES`, as {"PReLU": {"norm": 6}}.
        layers: settings of `Formats` by name, with the wildcards of file names; later ones come before earlier ones, and the
            weights given here count for the first and last layers, too.
        method, percentile: of calibration, see `qfx.conversion.calibrate`.

    Raises:
        ConfigError: unknown or wrong entries; says where, and lists what is known.
    """

    ends: int = 8
    input: InputFormat = field(default_factory=InputFormat)
    inputs: Mapping[str, InputFormat] = field(default_factory=dict[str, InputFormat])
    types: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    method: Method = Method.MSE
    percentile: float = 99.99

    def __post_init__(self) -> None:
        _keep(self, _checked("the configuration", _CONFIG, _own_fields(self)))

    @classmethod
    def bits(cls, bits: int, **others: Any) -> ConvertConfig:
        """What "b bits" means: weights and activations b, the ends, constants, pool and input 8."""
        return cls(weights=bits, activations=bits, **others)

    @classmethod
    def read(cls, file: Path | str) -> ConvertConfig:
        """The configuration in a TOML file; its keys are the attributes.

        Raises:
            ConfigError: the file cannot be read, or holds unknown or wrong entries.
        """
        toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
        try:
            table = toml.loads(Path(file).read_text(encoding="utf-8"))
            return cls(**_checked("the configuration", _CONFIG, table))
        except ConfigError as error:
            raise ConfigError(f"{file}: {error}") from error
        except (OSError, ValueError) as error:
            raise ConfigError(f"{file} cannot be read as TOML: {error}") from error

    def formats(self, name: str, layer: str, end: bool = False) -> Formats:
        """The settings of one layer.

        Args:
            name: its path in the converted network.
            layer: its class in qfx.nn.
            end: whether it is among the first or last layers with weights.
        """
        found: dict[str, Any] = {key: getattr(self, key) for key in _OF_FORMATS}
        found |= _without_digits(self.types.get(layer, {}))
        if end:
            found["weights"] = self.ends
        for pattern, settings in self.layers.items():
            if fnmatch.fnmatchcase(name, pattern):
                found |= _without_digits(settings)
        return Formats(**found)


def _without_digits(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, in which all codes in the place of K-hot ones have no digits whose exponents could be limited."""
    dense = [key for key in ("weights", "norm") if settings.get(f"{key}_k_hot", 1) is None]
    return {**{f"{key}_max_exponent": None for key in dense}, **settings}


def _input(value: Any) -> InputFormat:
    return value if isinstance(value, InputFormat) else InputFormat(**_checked("[input]", _INPUT, value))


def _inputs(value: Any) -> dict[str, InputFormat]:
    return {name: _input(entry) for name, entry in _table(value).items()}


def _types(value: Any) -> dict[str, dict[str, Any]]:
    unknown = [name for name in _table(value) if name not in TYPES]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no type of layer that convert makes; those are {', '.join(TYPES)}")
    return {name: _checked(f"[types.{name}]", _FORMATS, entry) for name, entry in _table(value).items()}


def _layers(value: Any) -> dict[str, dict[str, Any]]:
    return {pattern: _checked(f"[layers.{pattern!r}]", _FORMATS, entry) for pattern, entry in _table(value).items()}


def _table(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("a table of tables is wanted")
    return cast(Mapping[str, Any], value)


_CONFIG: Mapping[str, Check] = {
    **_FORMATS,
    "ends": _width,
    "input": _input,
    "inputs": _inputs,
    "types": _types,
    "layers": _layers,
    "method": _choice(Method),
    "percentile": _percentile,
}


def _own_fields(config: Any) -> dict[str, Any]:
    return {entry.name: getattr(config, entry.name) for entry in dataclasses.fields(config)}


def _keep(config: object, values: Mapping[str, Any]) -> None:
    """Set the fields of a frozen dataclass."""
    for key, value in values.items():
        object.__setattr__(config, key, value)
