"""The plain cast on a GPU: one element-wise kernel forward and one backward, compiled at run time by torch (its "jiterator").

Plain means AP_RND and AP_SAT without K-hot digits, what networks are trained with; torch computes the others in several passes.
Before the first use on a device the kernels are compared with torch's own operations there, bit by bit. Where they differ, or
cannot be made, torch's operations are used, and `status()` says so. A product with a power of two is exact, so a compiler that
fuses it with the next operation changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qfx.quant.tracing import recording

CAST = Path(__file__).with_name("fused_cast.cuh").read_text(encoding="utf-8")
BACKWARD = Path(__file__).with_name("fused_backward.cuh").read_text(encoding="utf-8")
FUSED = "one kernel per cast"

Check = Callable[[torch.device], bool]

messages: dict[str, str] = {}


@cache
def forward_kernel() -> Callable[..., Tensor]:
    jiterator: Any = torch.cuda.jiterator
    return jiterator._create_jit_fn(CAST, low=0.0, high=0.0)


@cache
def backward_kernel() -> Callable[..., tuple[Tensor, Tensor]]:
    jiterator: Any = torch.cuda.jiterator
    return jiterator._create_multi_output_jit_fn(BACKWARD, 2, low=0.0, high=0.0, relu=0.0)


def status() -> str:
    """What is used on each GPU so far."""
    return "; ".join(f"{device}: {message}" for device, message in messages.items()) or "no GPU has been used"


def serves(x: Tensor, check: Check) -> bool:
    """Whether the kernels compute on x's device; `check` compares them with torch's operations, once per device."""
    if x.device.type != "cuda" or x.dtype not in (torch.float32, torch.float64) or recording():
        return False
    device = str(x.device)
    if device not in messages:
        messages[device] = _outcome(x.device, check)
    return messages[device] == FUSED


def _outcome(device: torch.device, check: Check) -> str:
    try:
        return FUSED if check(device) else "torch's operations, since the kernels gave other bits"
    except (RuntimeError, AttributeError, AssertionError) as error:
        return f"torch's operations, since the kernels cannot be made: {error}"


def cast(x: Tensor, scale: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """clip(floor(x * scale + 1/2), low, high) * step; scale and step broadcast over x and have its dtype."""
    return forward_kernel()(x, scale, step, low=float(low), high=float(high))


def backward(grad: Tensor, x: Tensor, scale: Tensor, step: Tensor, low: int, high: int, relu: bool) -> tuple[Tensor, Tensor]:
    """The gradient of x, and per element what it adds to that of the binary point, without the factor ln 2."""
    return backward_kernel()(grad, x, scale, step, low=float(low), high=float(high), relu=float(relu))
