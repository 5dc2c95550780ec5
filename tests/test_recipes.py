"""Recipes: hysteresis, early freezing, oscillating weights, phases, the penalty on digits, statistics taken anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import qfx.nn as qnn
from qfx.conversion import calibrate
from qfx.errors import InputError
from qfx.ops.base import signed_digits
from qfx.quant import Quantizer, QuantSpec, quantizers
from qfx.training import (
    BinaryPointFreezer,
    OscillationFreezer,
    Phase,
    Recipe,
    accuracy,
    digit_penalty,
    fit,
    fit_phases,
    mean_digits,
    reestimate_statistics,
)
from qfx.training.phases import change_spec, relaxed
from tests.test_training import Blobs, small


def move(quantizer: Quantizer, by: float) -> None:
    with torch.no_grad():
        quantizer.frac.add_(by)


def test_hysteresis_holds_a_point_until_it_is_pushed_far_enough() -> None:
    quantizer = Quantizer(QuantSpec(4, frac=3))
    freezer = BinaryPointFreezer(quantizer, hysteresis=0.25)
    freezer.step()
    used: list[int] = []
    for by in (0.45, 0.1, 0.1, -0.3, 0.4, 0.1, 0.1):
        move(quantizer, by)
        freezer.step()
        used.append(int(quantizer.fracs))
    assert used == [3, 3, 3, 3, 3, 3, 4]  # pushed by 0.05 and 0.1, back, then by 0.1, 0.1 and 0.1
    assert freezer.flips == {"": 1}


def test_without_hysteresis_points_are_left_alone() -> None:
    quantizer = Quantizer(QuantSpec(4, frac=3))
    freezer = BinaryPointFreezer(quantizer)
    for by in (0.4, 0.2, -0.2):
        move(quantizer, by)
        freezer.step()
    assert quantizer.frac.item() == pytest.approx(3.4) and freezer.flips == {"": 2}


def test_settled_points_are_frozen_early() -> None:
    model = nn.Sequential(Quantizer(QuantSpec(4, frac=3)), Quantizer(QuantSpec(4, frac=5)))
    freezer, found = BinaryPointFreezer(model, window=3), quantizers(model)
    for by in (0.4, 0.3, -0.3):
        assert freezer.freeze_settled() == []  # the window is not full yet
        move(found["1"], by)
        freezer.step()
    assert freezer.freeze_settled() == ["0"] and not found["1"].frozen
    freezer.freeze()
    assert bool(found["1"].frozen) and found["0"].frac.item() == 3.0


def test_fit_with_every_option() -> None:
    model, data = small(), Blobs()
    calibrate(model, [data.x])
    recipe = Recipe(6, lr=2e-2, freeze_early=True, hysteresis=0.05, oscillation_threshold=0.05, digit_penalty=1e-3)
    history = fit(model, data, recipe)
    assert accuracy(model, data.x, data.y) > 97 and set(history.flips) == set(quantizers(model))
    assert all(bool(q.frozen) for q in quantizers(model).values())


def oscillating(steps: int, threshold: float) -> tuple[qnn.Linear, OscillationFreezer]:
    """Three weights: one at rest, one that rises once, one that goes back and forth between two codes, more often at 0.25."""
    layer = qnn.Linear(3, 1, bias=False, weight=QuantSpec(3, frac=2))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5, 0.0, 0.25]]))
    freezer = OscillationFreezer(layer, threshold, momentum=0.1)
    for step in range(steps):
        with torch.no_grad():
            layer.weight[0, 1] = 0.5 if step > 3 else 0.0
            layer.weight[0, 2] = 0.5 if step % 3 == 2 else 0.25
        freezer.step()
    return layer, freezer


def test_oscillating_weights_are_frozen_where_they_were_most() -> None:
    layer, freezer = oscillating(20, threshold=0.3)
    assert freezer.frozen() == 1
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.1, 0.1, 0.1]]))
    freezer.step()
    assert layer.weight[0].tolist() == [pytest.approx(0.1), pytest.approx(0.1), 0.25]


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_binary_point_that_flips_is_no_oscillation_of_weights(per_channel: bool) -> None:
    """All codes double and halve with it; a frozen weight keeps its value."""
    layer = qnn.Linear(2, 2, bias=False, weight=QuantSpec(4, frac=2, per_channel=per_channel))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5, 0.25], [-0.75, 0.5]]))
    freezer = OscillationFreezer(layer, threshold=0.3, momentum=0.1)
    for step in range(20):
        layer.weight_quant.frac.data.fill_(2 + step % 2)
        freezer.step()
    assert freezer.frozen() == 0
    for step in range(20):
        layer.weight.data[0, 0] = 0.5 if step % 2 else 0.375
        freezer.step()
    held = float(layer.weight.detach()[0, 0])
    assert freezer.frozen() == 1 and held in (0.375, 0.5)
    layer.weight_quant.frac.data.add_(-1)
    freezer.step()
    layer.weight_quant.frac.data.add_(1)
    freezer.step()
    assert float(layer.weight.detach()[0, 0]) == held


def test_below_the_threshold_nothing_is_frozen() -> None:
    assert oscillating(20, threshold=0.99)[1].frozen() == 0


def test_only_few_bits_are_watched() -> None:
    assert OscillationFreezer(qnn.Linear(3, 1, weight=QuantSpec(5, frac=2))).frozen() == 0


def two_hot() -> qnn.Model:
    torch.manual_seed(0)
    first, last = qnn.Linear(6, 16, weight=QuantSpec(6, k_hot=2)), qnn.Linear(16, 3, weight=QuantSpec(3))
    return qnn.Model(nn.Sequential(qnn.Quantize(QuantSpec(8, frac=0)), first, qnn.ReLU(output=QuantSpec(3, False)), last))


def test_stages_end_with_the_formats_wanted() -> None:
    model, data = two_hot(), Blobs()
    calibrate(model, [data.x])
    wanted = {path: quantizer.spec for path, quantizer in quantizers(model).items()}
    seen: list[tuple[int | None, int]] = []

    def watch(done: int, total: int) -> None:
        seen.append((quantizers(model)["module.1.weight_quant"].spec.k_hot, quantizers(model)["module.3.weight_quant"].spec.width))

    phases = [Phase(Recipe(4, lr=1e-2), 2, None), Phase(Recipe(2, lr=1e-2), 1, 1), Phase(Recipe(4, lr=1e-2))]
    fit_phases(model, data, phases, watch)
    assert seen == [(None, 5)] * 4 + [(3, 4)] * 2 + [(2, 3)] * 4
    assert {path: quantizer.spec for path, quantizer in quantizers(model).items()} == wanted
    assert accuracy(model, data.x, data.y) > 90
    graph = model.lower((6,))
    assert int(signed_digits(graph.values["1.weight"].codes).max()) <= 2


def test_stages_of_digits_with_a_largest_exponent() -> None:
    """More bits raise it, dense codes have none; the range stays, within the factor of 2 that a binary point can tell."""
    spec, recipe = QuantSpec(4, k_hot=1, max_exponent=1), Recipe(1)
    assert relaxed(spec, Phase(recipe, extra_bits=2)) == QuantSpec(6, k_hot=1, max_exponent=3)
    assert relaxed(spec, Phase(recipe, extra_digits=1)) == QuantSpec(4, k_hot=2, max_exponent=1)
    dense = relaxed(spec, Phase(recipe, extra_digits=None))
    assert dense == QuantSpec(4)
    quantizer = Quantizer(dense)
    quantizer.calibrate(torch.tensor([-1.5, 0.25, 1.75]))
    reach = dense.largest * 2.0 ** -float(quantizer.fracs)
    change_spec(quantizer, spec)
    assert reach / 2 <= spec.largest * 2.0 ** -float(quantizer.fracs) <= reach * 2


def test_a_narrower_stage_keeps_the_range() -> None:
    model, data = two_hot(), Blobs()
    calibrate(model, [data.x])
    quantizer = quantizers(model)["module.3.weight_quant"]
    before = int(quantizer.fracs)
    fit_phases(model, data, [Phase(Recipe(1, lr=0.0, frac_lr=0.0), 2), Phase(Recipe(1, lr=0.0, frac_lr=0.0))])
    assert int(quantizer.fracs) == before and quantizer.frozen


@pytest.mark.parametrize("phases", [[], [Phase(Recipe(1), extra_bits=1)], [Phase(Recipe(1), extra_digits=None)]])
def test_stages_that_end_elsewhere_are_refused(phases: list[Phase]) -> None:
    with pytest.raises(InputError, match="the last phase has to end with the formats wanted"):
        fit_phases(small(), Blobs(), phases)


def test_the_penalty_pulls_to_the_nearest_code_with_a_digit_fewer() -> None:
    layer = qnn.Linear(5, 1, bias=False, weight=QuantSpec(6, frac=0))
    with torch.no_grad():  # 7 = 8 - 1 to 8, 11 = 8 + 2 + 1 to 12 (or 10), -5 = -4 - 1 to -4 (or -6), 8 to 0, 0 stays
        layer.weight.copy_(torch.tensor([[7.0, 11.0, -5.0, 8.0, 0.0]]))
    digit_penalty(layer).backward()  # type: ignore[no-untyped-call]
    assert layer.weight.grad is not None
    signs = [float(sign) for sign in torch.sign(layer.weight.grad)[0]]
    assert signs[0] == -1 and signs[3:] == [1, 0] and signs[1] != 0 and signs[2] != 0
    assert mean_digits(layer) == (2 + 3 + 2 + 1 + 0) / 5


def test_fewer_digits_are_learned_with_the_penalty() -> None:
    found: list[tuple[float, float]] = []
    for weight in (0.0, 3e-2):
        model, data = two_hot(), Blobs()
        calibrate(model, [data.x])
        fit(model, data, Recipe(20, lr=1e-2, digit_penalty=weight))
        found.append((mean_digits(model), accuracy(model, data.x, data.y)))
    (dense, _), (sparse, score) = found
    assert sparse < 0.9 * dense and score > 97


def test_statistics_are_taken_anew() -> None:
    model, data = small(), Blobs()
    calibrate(model, [data.x])
    norm = model.get_submodule("2")
    assert isinstance(norm, qnn.BatchNorm1d)
    entering: list[torch.Tensor] = []
    hook = norm.register_forward_pre_hook(lambda module, inputs: entering.append(inputs[0]))
    assert reestimate_statistics(model.eval(), data, steps=8) == 8  # the six batches, then two of them again
    hook.remove()
    means = torch.stack([x.mean(0) for x in entering])
    torch.testing.assert_close(norm.running_mean, means.mean(0))
    assert norm.momentum == 0.1 and not model.training and len(entering) == 8
    assert reestimate_statistics(nn.Sequential(qnn.Linear(2, 2)), data) == 0
    with pytest.raises(InputError, match="no batches to take statistics from"):
        reestimate_statistics(model, [])


def test_statistics_follow_a_late_freeze() -> None:
    """Fewer than 100 steps are left after freezing: `fit` takes the statistics of the frozen network."""
    model, data = small(), Blobs()
    calibrate(model, [data.x])
    fit(model, data, Recipe(2, lr=1e-2, freeze_after=0.9))
    norm = model.get_submodule("2")
    assert isinstance(norm, qnn.BatchNorm1d) and int(norm.num_batches_tracked) == 100


def test_binary_points_per_channel_stay_unless_asked() -> None:
    assert not QuantSpec.weights(4, per_channel=True).learn
    assert QuantSpec.weights(4, per_channel=True, learn=True).learn and QuantSpec.weights(4).learn


def test_flags_are_read_only_when_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an accelerator, reading a flag at each step would wait for all that was started."""
    quantizer = Quantizer(QuantSpec(4))
    x = torch.randn(10)
    quantizer(x)
    quantizer(x)
    reads: list[int] = []
    plain = torch.Tensor.__bool__

    def watched(self: torch.Tensor) -> bool:
        reads.append(1)
        return plain(self)

    monkeypatch.setattr(torch.Tensor, "__bool__", watched)
    quantizer(x)
    assert reads == []
    quantizer.freeze()
    quantizer(x)
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": -1}, "the recipe: epochs = -1, but a whole number is wanted, 0 or more"),
        ({"lr": "fast"}, "lr = 'fast', but a number is wanted, 0 or more"),
        ({"frac_lr": float("nan")}, "frac_lr = nan, but a number is wanted, 0 or more"),
        ({"freeze_after": 1.5}, "freeze_after = 1.5, but a number in 0..1 is wanted"),
        ({"freeze_early": 1}, "freeze_early = 1, but true or false is wanted"),
        ({"oscillation_threshold": -0.1}, "oscillation_threshold = -0.1, but a number in 0..1 is wanted"),
    ],
)
def test_a_recipe_is_checked(given: dict[str, Any], message: str) -> None:
    wrong: dict[str, Any] = {"epochs": 1, **given}
    with pytest.raises(InputError) as raised:
        Recipe(**wrong)
    assert message in str(raised.value)


def test_a_stage_is_checked() -> None:
    with pytest.raises(InputError, match="the phase: extra_bits = -1, but a whole number is wanted, 0 or more"):
        Phase(Recipe(1), extra_bits=-1)
    wrong: Any = 4
    with pytest.raises(InputError, match="the phase: recipe = 4, but a Recipe is wanted"):
        Phase(wrong)


def test_a_recipe_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("epochs = 3\nlr = 0.01\nfreeze_early = true\n")
    assert Recipe.read(file) == Recipe(3, lr=0.01, freeze_early=True)
    file.write_text("lr = 0.01\n")
    with pytest.raises(InputError, match=r"recipe\.toml: the recipe lacks epochs"):
        Recipe.read(str(file))
    file.write_text("epochs = 3\noscillation = 0.01\n")
    with pytest.raises(InputError, match=r"there is no key 'oscillation' \(did you mean oscillation_threshold\?\); the keys are"):
        Recipe.read(file)
