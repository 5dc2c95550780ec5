"""Samples and weights of every dtype, and those that are no numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import qfx
from qfx.errors import ConversionError, InputError
from qfx.fixed import FixedType
from tests.conversion.nets import reals

SHAPE = (4, 8, 8)


class Net(nn.Module):
    """A convolution and a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).relu()


SENSOR = {
    "normalised": qfx.InputFormat((0.5,) * 4, (0.25,) * 4, full_scale=4095.0, type=FixedType(False, 12, 0)),
    "given a binary point": qfx.InputFormat(type=FixedType(False, 12, 12)),
}


@pytest.mark.parametrize("given", SENSOR.values(), ids=SENSOR)
def test_images_of_twelve_bits(given: qfx.InputFormat, tmp_path: Path) -> None:
    """torch has uint16, but compares none of it."""
    config = qfx.ConvertConfig(input=given)
    x = torch.randint(0, 4096, (6, *SHAPE)).to(torch.uint16)
    model = qfx.convert(Net(), x, config)
    wanted = model(x)
    assert torch.equal(wanted, model(x.to(torch.int32))) and torch.equal(wanted, model(x.to(torch.float32)))
    assert torch.equal(wanted, qfx.convert(Net(), x.numpy(), config)(x))
    project = qfx.write_project(qfx.lower(model, SHAPE), tmp_path / "project", x.numpy(), model)
    assert qfx.verify(project, "torch,sim,onnx").mismatches == 0
    with pytest.raises(InputError, match=r"the input holds values from 0 to 65535; the model wants raw integers of ap_ufixed<12"):
        model(torch.tensor([0, 65535]).to(torch.uint16).expand(1, 4, 8, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_real_samples_of_other_dtypes(dtype: torch.dtype) -> None:
    """They are taken in float32, which holds what the short ones do."""
    x = reals(*SHAPE).to(dtype)
    model = qfx.convert(Net(), x)
    assert torch.equal(model(x.float()), qfx.convert(Net(), x.float())(x.float()))


def test_samples_by_name_and_of_numpy() -> None:
    x = reals(*SHAPE)
    wanted = qfx.convert(Net(), x)(x)
    for sample in (x.numpy(), {"x": x}, [x], (x.numpy(),)):
        assert torch.equal(qfx.convert(Net(), sample)(x), wanted)


def _with(tensor: str, value: float) -> nn.Sequential:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    with torch.no_grad():
        dict(model.state_dict())[tensor][1] = value
    return model


@pytest.mark.parametrize(
    ("model", "sample", "message"),
    [
        (
            _with("0.weight", float("nan")),
            reals(*SHAPE),
            r"0\.weight \(Conv2d\) of the float model holds 4 of 16 values that are NaN",
        ),
        (
            _with("0.bias", float("inf")),
            reals(*SHAPE),
            r"0\.bias \(Conv2d\) of the float model holds 1 of 4 .* first, inf, at \[1\]",
        ),
        (_with("1.running_mean", float("nan")), reals(*SHAPE), r"1\.running_mean \(BatchNorm2d\) of the float model holds 1 of 4"),
        (
            _with("1.running_var", -1.0),
            reals(*SHAPE),
            r"values on the sample that are NaN or infinite, the first in 1 \(BatchNorm2d\)",
        ),
        (nn.Conv2d(4, 4, 1), reals(*SHAPE).clamp(max=1).div(0), "the sample of input 'input' holds .* NaN or infinite"),
        (nn.Conv2d(4, 4, 1, dtype=torch.complex64), reals(*SHAPE), r"weight of the float model holds complex numbers"),
        (
            nn.Conv2d(4, 4, 1, device="meta"),
            reals(*SHAPE),
            "weight of the float model is on the device meta",
        ),
    ],
)
def test_what_is_no_number_is_named(model: nn.Module, sample: Tensor, message: str) -> None:
    with pytest.raises((InputError, ConversionError), match=message):
        qfx.convert(model, sample)
