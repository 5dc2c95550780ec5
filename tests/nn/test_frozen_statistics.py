"""Batch normalisations that are kept in eval while the network trains: torch's idiom, and the recipe's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from qfx import nn as qnn
from qfx.conversion import calibrate
from qfx.fixed import FixedType
from qfx.quant import QuantSpec, set_enabled
from qfx.training import Recipe, fit, freeze_statistics, reestimate_statistics
from tests.test_training import Blobs, small


def layers() -> list[nn.Module]:
    made: list[nn.Module] = [
        qnn.QuantInput(type=FixedType(True, 8, 4)),
        qnn.Conv2d(2, 3, 3, weight=QuantSpec.weights(4)),
        qnn.BatchNorm2d(3),
        qnn.ReLU(output=QuantSpec.activations(4)),
        qnn.Conv2d(3, 2, 1, weight=QuantSpec.weights(4)),
        qnn.BatchNorm2d(2),
    ]
    return made


def codes(count: int = 24) -> Tensor:
    return torch.randint(-128, 128, (count, 2, 5, 5), generator=torch.Generator().manual_seed(0)).float()


def network(wrap: Callable[[nn.Module], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = wrap(nn.Sequential(*layers())).eval()
    calibrate(model, [codes()])
    return model


def norms(model: nn.Module) -> list[qnn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, qnn.BatchNorm2d)]


def itself(module: nn.Module) -> nn.Module:
    return module


@pytest.mark.parametrize("wrap", [qnn.Model, itself], ids=["Model", "Sequential"])
def test_it_trains_with_its_running_statistics(wrap: Callable[[nn.Module], nn.Module]) -> None:
    """The idiom of torch: `norm.eval()` after `model.train()`; gradients reach the layers before it and its own parameters."""
    model = network(wrap)
    with torch.no_grad():
        exact = model(codes())
    model.train()
    for norm in norms(model):
        norm.eval()
    before = [(norm.running_mean.clone(), norm.running_var.clone(), int(norm.num_batches_tracked)) for norm in norms(model)]
    y = model(codes())
    assert y.dtype == (torch.float32 if wrap is qnn.Model else torch.float64)
    assert torch.allclose(y.double(), exact.double(), atol=1e-3)
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == p.dtype for p in model.parameters() if p.dim())
    assert all(bool(norm.weight.grad is not None and norm.weight.grad.abs().sum() > 0) for norm in norms(model))
    after = [(norm.running_mean, norm.running_var, int(norm.num_batches_tracked)) for norm in norms(model)]
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and a[2] == b[2] for a, b in zip(before, after, strict=True))


def test_the_gradient_is_that_of_the_affine_map() -> None:
    model = network(qnn.Model)
    set_enabled(model, False)
    model.train()
    freeze_statistics(model)
    wanted = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    own = [module for module in model.modules() if isinstance(module, qnn.Conv2d | qnn.BatchNorm2d)]
    theirs = [module for module in wanted if not isinstance(module, nn.ReLU)]
    for ours, other in zip(own, theirs, strict=True):
        other.load_state_dict({name: ours.state_dict()[name] for name in other.state_dict()})
    wanted.eval()
    for output in (model(codes()), wanted(codes() / 16)):
        output.square().sum().backward()
    for ours, other in zip(own, theirs, strict=True):
        for name in ("weight", "bias"):
            torch.testing.assert_close(ours.get_parameter(name).grad, other.get_parameter(name).grad, rtol=1e-4, atol=1e-4)


def test_exact_in_eval_again() -> None:
    model = network(qnn.Model)
    model.train()
    freeze_statistics(model)
    model(codes()).sum().backward()
    model.eval()
    with torch.no_grad():
        assert torch.equal(model(codes()), network(qnn.Model)(codes()))


def test_parameters_that_do_not_learn() -> None:
    model = network(qnn.Model).train()
    for norm in norms(model):
        norm.eval().requires_grad_(False)
    model(codes()).square().sum().backward()
    assert all(norm.weight.grad is None and norm.bias.grad is None for norm in norms(model))
    assert all(p.grad is not None for name, p in model.named_parameters() if name.endswith("weight") and p.dim() == 4)


def test_a_recipe_keeps_statistics_from_a_share_of_the_steps_on() -> None:
    seen: list[int] = []
    model, data = small(), Blobs()
    calibrate(model, [data.x])
    norm = next(module for module in model.modules() if isinstance(module, qnn.BatchNorm1d | qnn.BatchNorm2d))

    def see(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(int(module.training))

    norm.register_forward_pre_hook(see)
    fit(model, data, Recipe(2, freeze_after=1, freeze_statistics=0.5))
    assert seen == [1] * 6 + [0] * 6
    assert not model.training


def test_statistics_that_are_kept_are_not_taken_anew() -> None:
    model, data = network(qnn.Model), [(codes(8), torch.zeros(8))]
    model.train()
    first, second = norms(model)
    first.eval()
    before = first.running_mean.clone(), second.running_mean.clone()
    assert reestimate_statistics(model, data, 2) == 2
    assert torch.equal(first.running_mean, before[0]) and not torch.equal(second.running_mean, before[1])
    assert not first.training and second.training
    assert freeze_statistics(model) == 2 and reestimate_statistics(model, data, 2) == 0
