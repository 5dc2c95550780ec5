"""What a training leaves behind."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from qfx.conversion import calibrate
from qfx.nn import Linear, Quantize
from qfx.quant import QuantSpec, quantizers
from qfx.training import History, Phase, Recipe, fit, fit_phases


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(Quantize(QuantSpec(8)), Linear(4, 3, weight=QuantSpec.weights(4)))


def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(24, 4, generator=generator)
    return [(part, part[:, :3].argmax(1)) for part in torch.split(x, 8)]


def test_a_loss_for_every_epoch() -> None:
    model = network()
    history = fit(model, batches(), Recipe(4, lr=0.05))
    assert len(history.losses) == 4 and history.losses[-1] < history.losses[0]
    assert history.steps == 12
    assert set(history.flips) == set(quantizers(model))
    assert repr(history).startswith(f"History(4 epochs of 12 steps in all: loss {history.losses[0]:.4g} to ")
    assert "<td" in history._repr_html_()  # pyright: ignore[reportPrivateUsage]


def test_the_loss_is_the_mean_of_the_epoch() -> None:
    model, (x, y) = network(), batches()[0]
    calibrate(model, [x])
    with torch.no_grad():
        wanted = nn.functional.cross_entropy(model.train()(x), y)
    assert fit(model, [(x, y), (x, y)], Recipe(1, lr=1e-12, frac_lr=0.0)).losses == pytest.approx([float(wanted)])


def test_stages_follow_each_other() -> None:
    phases = [Phase(Recipe(2, lr=0.05), extra_bits=1), Phase(Recipe(1, lr=0.01))]
    history = fit_phases(network(), batches(), phases)
    assert len(history.losses) == 3 and history.steps == 9


def test_flips_of_parts_add_up() -> None:
    joined = History.joined([History((2.0,), 3, {"a": 1}), History((1.0, 0.5), 6, {"a": 2, "b": 1})])
    assert joined == History((2.0, 1.0, 0.5), 9, {"a": 3, "b": 1})
    assert repr(joined) == "History(3 epochs of 9 steps in all: loss 2 to 0.5, 4 flips)"
