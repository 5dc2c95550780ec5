"""The devices on which torch is tested: the CPU, and a GPU where there is one."""

from __future__ import annotations

import pytest
import torch

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")),
]
"""For `pytest.mark.parametrize("device", DEVICES)`."""
