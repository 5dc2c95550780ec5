"""Formats in state dicts.

The width of a cast is no tensor, so the state dicts of two networks with other formats would fit each other. A `Stated` module puts
what decides its values, and no tensor shows, under the key that torch has for such things, `_extra_state`:

    Quantizer       [version, width, signed, digits or 0, largest exponent or -1, axis of the channels or -1, rounding, overflow]
    QuantInput      [version, width, signed, frac] of the raw input
    average pools   [version, bits of the reciprocal]
    other layers    [version], so that a layer without casts is told from one that the state dict does not have

It is a tensor of whole numbers: `torch.save`, `weights_only` and safetensors take it, and halving or averaging the floats of a
state dict passes it by. It is no buffer, since averages of weights mix buffers, too, and the plan of eval compares them at each
forward. Rounding and overflow have their numbers in AMD's `ap_q_mode` and `ap_o_mode`.

Loading compares: what differs is refused, however strict torch is asked to be, and each module that differs is in the one error.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from qfx.errors import QfxError, StateError
from qfx.fixed import Overflow, Rounding
from qfx.quant.spec import QuantSpec

KEY = "_extra_state"
"""torch's, behind the path of a module."""

VERSION = 1
"""Of the numbers."""

SOURCE = "the state dict"

ROUNDINGS = (
    Rounding.RND,
    Rounding.RND_ZERO,
    Rounding.RND_MIN_INF,
    Rounding.RND_INF,
    Rounding.RND_CONV,
    Rounding.TRN,
    Rounding.TRN_ZERO,
)
OVERFLOWS = (Overflow.SAT, Overflow.SAT_ZERO, Overflow.SAT_SYM, Overflow.WRAP, Overflow.WRAP_SM)

UNKNOWN = (
    "has binary points but no formats, as QFX wrote it before formats were part of it. It is loaded, but whether its widths, digits"
    " and roundings are those of the network cannot be told; check the results, and save it again"
)
"""Of a state dict; what is said once about each."""


class Stated(nn.Module):
    """A module whose format stands in state dicts."""

    def format_codes(self) -> list[int]:
        """What decides values and no tensor shows, as whole numbers."""
        return []

    @staticmethod
    def format_text(codes: Sequence[int]) -> str:
        """`format_codes` in words.

        Raises:
            ValueError, LookupError, TypeError, QfxError: they are those of something else.
        """
        if codes:
            raise ValueError("a layer without a format of its own")
        return "no format of its own"

    def get_extra_state(self) -> Tensor:
        """The format; see above."""
        return torch.tensor([VERSION, *self.format_codes()], dtype=torch.int64, device="cpu")

    def set_extra_state(self, state: Any) -> None:
        """Compare.

        Raises:
            StateError: it is another format.
        """
        for difference in Stated.format_differences(self, {KEY: state}, ""):  # of this module alone
            raise StateError(difference)

    def format_differences(self, state: Mapping[str, Any], prefix: str) -> Iterator[str]:
        """What `state` says of this module's format that is not so; nothing where it says nothing.

        Args:
            state: a state dict.
            prefix: of the module's keys there, with its dot.
        """
        there, here = state.get(prefix + KEY), self.get_extra_state()
        if there is not None and _whole_numbers(there) != here.tolist():
            kind = type(self)
            yield f"{prefix[:-1] or kind.__name__}: {SOURCE} has {shown(kind, there)}; the network has {shown(kind, here)}"

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """As in torch, for the module alone; nothing of it is loaded if its format differs."""
        differences = list(self.format_differences(state_dict, prefix))
        if differences:
            error_msgs.extend(differences)
            return
        if prefix + KEY not in state_dict:
            if unknown(self, state_dict, prefix):
                _warn_once(error_msgs)
            state_dict[prefix + KEY] = self.get_extra_state()  # a copy of torch's, in which the key is not missed then
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)


def shown(kind: type[Stated], state: Any) -> str:
    """The format that an extra state says of a module of this kind, whatever it is."""
    codes = _whole_numbers(state)
    if not codes:
        return f"{state!r:.60}, which is no format"
    if codes[0] != VERSION:
        return f"a format of version {codes[0]}, of which this QFX reads {VERSION}"
    try:
        return kind.format_text(codes[1:])
    except (ValueError, LookupError, TypeError, QfxError):
        return f"{codes[1:]}, which is no format of a {kind.__name__}"


def unknown(module: Stated, state: Mapping[str, Any], prefix: str) -> bool:
    """Whether `state` has tensors of a module, such as a binary point, and not the format that goes with them."""
    if prefix + KEY in state or not module.format_codes():
        return False
    own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    return any(prefix + name in state for name, _ in own)


_warned: list[list[str]] = []
"""The list of errors of the load that was warned about last: torch makes one for each."""


def _warn_once(errors: list[str]) -> None:
    if not _warned or _warned[0] is not errors:
        _warned[:] = [errors]
        warnings.warn(f"{SOURCE} {UNKNOWN}", stacklevel=2)


def _whole_numbers(state: Any) -> list[int] | None:
    """Of a tensor, of floats too if somebody has cast the whole state dict; None for anything else."""
    if not isinstance(state, Tensor) or state.dim() != 1 or state.is_complex() or state.is_meta:
        return None
    numbers = cast("list[float]", state.tolist())
    return [int(number) for number in numbers] if all(number % 1 == 0 for number in numbers) else None


def spec_codes(spec: QuantSpec) -> list[int]:
    """What of a format decides values, but its binary point."""
    exponent = -1 if spec.max_exponent is None else spec.max_exponent
    axis = 0 if spec.per_channel else -1
    modes = ROUNDINGS.index(spec.rounding), OVERFLOWS.index(spec.overflow)
    return [spec.width, int(spec.signed), spec.k_hot or 0, exponent, axis, *modes]


def spec_of(codes: Sequence[int]) -> QuantSpec:
    """The format of `spec_codes`.

    Raises:
        ValueError, LookupError, QfxError: they are those of something else.
    """
    width, signed, digits, exponent, axis, rounding, overflow = codes
    if signed not in (0, 1) or axis not in (0, -1) or exponent < -1 or min(rounding, overflow) < 0:
        raise ValueError(f"{list(codes)} is no format of a quantizer")
    return QuantSpec(
        width,
        signed == 1,
        per_channel=axis == 0,
        k_hot=digits or None,
        max_exponent=None if exponent == -1 else exponent,
        rounding=ROUNDINGS[rounding],
        overflow=OVERFLOWS[overflow],
    )


def spec_text(spec: QuantSpec) -> str:
    """`spec_codes` in words."""
    digits = "" if spec.k_hot is None else f", {spec.k_hot}-hot"
    most = "" if spec.max_exponent is None else f" up to 2**{spec.max_exponent}"
    channel = ", per channel" if spec.per_channel else ""
    sign = "signed" if spec.signed else "unsigned"
    return f"{spec.width} bits {sign}{digits}{most}{channel}, {spec.rounding.value}, {spec.overflow.value}"
