"""Calibration goes through a network call by call, on inputs that are quantized already."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import cast

import pytest
import torch
from torch import Tensor, nn

import qfx
from qfx import nn as qnn
from qfx.conversion import calibrate, layerwise
from qfx.conversion.layerwise import EvenSample
from qfx.errors import InputError, QuantizationError
from qfx.fixed import FixedType
from qfx.models import ResNet
from qfx.quant import QuantSpec, quantizers, set_enabled
from tests.conversion.nets import for_images, images, uneven

RAW = FixedType(True, 8, 4)


@pytest.fixture
def samples() -> Tensor:
    return images((3, 8, 8), 40)


def network(samples: Tensor, bits: int = 3) -> qfx.Converted:
    torch.manual_seed(0)
    return qfx.convert(ResNet((1, 1), 4, 10), samples, for_images(bits))


def split(samples: Tensor, sizes: list[int]) -> list[Tensor]:
    """Into batches of these sizes."""
    parts: tuple[Tensor, ...] = torch.split(samples, sizes)  # pyright: ignore[reportUnknownMemberType]
    return list(parts)


def names_of(model: nn.Module) -> dict[nn.Module, str]:
    return {module: name for name, module in cast(Iterator[tuple[str, nn.Module]], model.named_modules())}


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("method", ["mse", "max", "percentile"])
def test_batches_and_memory_do_not_matter(method: str, samples: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(samples)
    calibrate(model, [samples], method)
    once = state(model)
    for sizes in ([1] * 40, [35, 5]):
        calibrate(model, split(samples, sizes), method)
        assert same(state(model), once), sizes
    monkeypatch.setattr(layerwise, "MOST_BYTES", 1 << 14)
    calibrate(model, split(samples, [12, 12, 16]), method)
    assert same(state(model), once)


def inputs_of_norms(model: nn.Module, samples: Tensor) -> dict[qnn.BatchNorm2d, Tensor]:
    """What reaches each batch normalisation in eval."""
    seen: dict[qnn.BatchNorm2d, Tensor] = {}

    def keep(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, qnn.BatchNorm2d)
        seen[norm] = inputs[0].to(torch.float64)

    norms = [module for module in model.modules() if isinstance(module, qnn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(keep) for norm in norms]
    with torch.no_grad():
        model(samples)
    for handle in handles:
        handle.remove()
    assert len(seen) == len(norms) >= 4
    return seen


def statistics(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in state(model).items() if "running" in name}


def test_an_untrained_network_takes_statistics_of_quantized_inputs(samples: Tensor) -> None:
    model = network(samples, bits=2)
    for norm, x in inputs_of_norms(model, samples).items():
        assert torch.allclose(norm.running_mean, x.mean((0, 2, 3)).float(), rtol=1e-5, atol=1e-6)
        assert torch.allclose(norm.running_var, x.var((0, 2, 3)).float(), rtol=1e-5)


def test_a_trained_one_corrects_them_by_what_quantization_has_changed(samples: Tensor) -> None:
    float_network = uneven(ResNet((1, 1), 4, 10))
    model = qfx.convert(float_network, samples, for_images(2))
    changed = statistics(model)
    for name, value in statistics(float_network).items():
        model.get_buffer(name).copy_(value)
    set_enabled(model, False)
    floats = inputs_of_norms(model, samples)
    set_enabled(model, True)
    model.load_state_dict(state(model) | changed)
    names = names_of(model)
    trained = statistics(float_network)
    for norm, x in inputs_of_norms(model, samples).items():
        shift = x.mean((0, 2, 3)) - floats[norm].mean((0, 2, 3))
        ratio = x.var((0, 2, 3)) / floats[norm].var((0, 2, 3))
        mean, var = trained[f"{names[norm]}.running_mean"], trained[f"{names[norm]}.running_var"]
        assert float(shift.abs().max()) > 1e-3
        assert torch.allclose(norm.running_mean, (mean + shift).float(), rtol=1e-4, atol=1e-5)
        assert torch.allclose(norm.running_var, (var * ratio).float(), rtol=1e-4)


def test_a_channel_that_quantization_makes_constant_keeps_its_variance(samples: Tensor) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()
    with torch.no_grad():
        model.get_parameter("0.weight")[1] *= 1e-4  # 0 in 4 bits
        model.get_buffer("1.running_mean")[1] = 0.001
        model.get_buffer("1.running_var")[1] = 0.005
    var = qfx.convert(model, samples, for_images(4)).get_buffer("1.running_var")
    assert float(var[1]) == pytest.approx(0.005)
    assert bool((var[[0, 2, 3]] != 1).all())


def test_the_same_again_changes_nothing_and_statistics_can_be_left_alone(samples: Tensor) -> None:
    model = network(samples)
    once = state(model)
    calibrate(model, [samples])
    assert same(state(model), once)
    calibrate(model, [samples.flip(3)], "max", statistics=False)
    assert same(statistics(model), {name: value for name, value in once.items() if "running" in name})
    assert not same(state(model), once)


def test_in_the_middle_of_a_training(samples: Tensor) -> None:
    model = network(samples).train()
    model(samples)
    before = [module.training for module in model.modules()]
    calibrate(model, [samples], "max")
    assert [module.training for module in model.modules()] == before
    assert torch.isfinite(model.eval()(samples)).all()


@pytest.mark.parametrize("broken", ["nan", "shape", "late", "interrupted"])
def test_a_refused_calibration_changes_nothing(broken: str, samples: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(samples)
    quantizers(model)["conv1.weight_quant"].enabled = False
    quantizers(model)["fc.weight_quant"].freeze()
    model.train()
    once = state(model)
    batches: list[Tensor] = [samples.flip(2)]
    expected: tuple[type[BaseException], str] = (QuantizationError, "cannot be calibrated on an empty or non-finite tensor")
    if broken == "nan":
        batches = [torch.full((2, 3, 8, 8), torch.nan)]
        expected = (InputError, "batch 0 holds .* NaN")
    elif broken == "shape":
        batches.append(samples[:, :2])
        expected = (InputError, r"batch 0 has the shapes \[40, 3, 8, 8\], but batch 1 has \[40, 2, 8, 8\]")
    elif broken == "late":
        once["fc.bias"][0] = model.get_parameter("fc.bias").data[0] = torch.inf
    else:
        expected = (KeyboardInterrupt, "^$")
        calls: list[object] = []

        def interrupt(*args: object) -> Tensor:
            calls.append(args)
            if len(calls) == 12:
                raise KeyboardInterrupt
            return torch.tensor(3)

        monkeypatch.setattr("qfx.conversion.calibration.best_frac", interrupt)
    with pytest.raises(expected[0], match=expected[1]):
        calibrate(model, batches)
    assert same(state(model), once)
    assert not quantizers(model)["conv1.weight_quant"].enabled
    assert all(quantizer.collector is None for quantizer in quantizers(model).values())
    assert model.training


def test_a_silent_quantizer_is_named() -> None:
    model = nn.Sequential(qnn.QuantInput(type=RAW), qnn.Linear(3, 2, bias=False), qnn.ReLU())
    with torch.no_grad():
        model.get_parameter("1.weight").fill_(-1.0)
    with pytest.warns(UserWarning, match=r"the quantizers 2\.quant make 0 of every value they are given"):
        calibrate(model, [torch.full((4, 3), 16.0)])


def test_a_layer_that_is_called_twice_fits_both_calls() -> None:
    class Twice(qnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.input, self.cast = qnn.QuantInput(type=FixedType(True, 16, 4)), qnn.Quantize(QuantSpec(8))
            self.large = qnn.Linear(1, 1, bias=False, weight=QuantSpec(8))

        def forward(self, x: Tensor) -> Tensor:
            small = self.cast(self.input(x))
            return self.cast(self.large(small))

    model = Twice()
    with torch.no_grad():
        model.large.weight.fill_(64.0)
    calibrate(model, [torch.full((2, 1), 32.0)], "max")  # 2, and then 128
    type = model.cast.quant.fixed_type()
    assert type.max_int * 2.0**-type.frac >= 127
    with torch.no_grad():
        assert float(model.eval()(torch.full((1, 1), 32.0))) == pytest.approx(128, abs=2)


@pytest.mark.parametrize("bias", [4.0, -4.0])
def test_a_layer_that_is_called_twice_is_silent_if_both_calls_are(bias: float) -> None:
    class Twice(qnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.input, self.relu, self.shift = qnn.QuantInput(type=RAW), qnn.ReLU(), qnn.Linear(1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(self.shift(self.relu(self.input(x))))

    model = Twice()
    with torch.no_grad():
        model.shift.weight.fill_(1.0)
        model.get_parameter("shift.bias").fill_(bias)
    named = r"the quantizers relu\.quant make 0 of every value"
    with contextlib.nullcontext() if bias > 0 else pytest.warns(UserWarning, match=named):
        calibrate(model, [torch.full((2, 1), -32.0)])  # 0, and then the bias


def test_a_sample_is_even_and_has_both_ends() -> None:
    x = torch.arange(4000.0).reshape(4, 1000)
    whole, parts = EvenSample(4, 400), EvenSample(4, 400)
    whole.add(x, 4)
    for row in x:
        parts.add(row.unsqueeze(0), 1)
    assert torch.equal(whole.values(), parts.values()) and 300 <= whole.values().numel() <= 400
    assert torch.equal(whole.values()[: whole.values().numel() // 4], x[0, :: int(whole.values()[1])])
    assert whole.ends().tolist() == parts.ends().tolist() == [0, 3999]


def test_calibrated_copies_are_independent(samples: Tensor) -> None:
    model = network(samples)
    other = copy.deepcopy(model)
    calibrate(other, [samples.flip(2)], "max")
    assert not same(state(model), state(other))


def test_a_call_that_changes_its_operand_does_so_once() -> None:
    class InPlace(qnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.input, self.norm = qnn.Quantize(QuantSpec(8)), qnn.BatchNorm1d(1)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.input(x.mul_(2)))

    model, x = InPlace(), torch.linspace(-1, 1, 40).reshape(40, 1)
    before = x.clone()
    calibrate(model, [x], "max")
    assert torch.equal(x, before) and int(model.input.quant.fracs) == 5  # of -2 to 2
