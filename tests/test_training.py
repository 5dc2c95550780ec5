"""Optimizer groups, freezing, the loop, calibration, and the arms of the digits experiment."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import qfx.nn as qnn
from qfx.conversion import ConvertConfig, Converted, InputFormat, calibrate, convert
from qfx.engines.torch_engine import TorchEngine
from qfx.errors import InputError, ToolMissingError, TrainingError
from qfx.fixed import FixedType
from qfx.models import DigitsNet, ResNet8
from qfx.ops.base import signed_digits
from qfx.quant import Quantizer, QuantSpec, best_frac, quantizers, set_enabled
from qfx.sim.engine import Simulator
from qfx.training import BinaryPointFreezer, OscillationFreezer, Recipe, accuracy, fit, parameter_groups
from qfx.training.arms import ShiftedBatches, load_digits, train_arms
from qfx.training.loop import train_step

S8 = FixedType(True, 8, 5)


def small() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (
        qnn.QuantInput(type=S8, output=QuantSpec(6)),
        qnn.Linear(6, 16),
        qnn.BatchNorm1d(16),
        qnn.PReLU(16),
        qnn.Linear(16, 3),
    )
    return nn.Sequential(*layers)


class Blobs:
    """Three well separated clusters of codes."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.y = torch.randint(0, 3, (192,), generator=generator)
        centres = torch.tensor([[60.0, 0, 0, -60, 0, 0], [0, 60, 0, 0, -60, 0], [0, 0, 60, 0, 0, -60]])
        self.x = (centres[self.y] + 12 * torch.randn(192, 6, generator=generator)).round().clamp(-128, 127)

    def __len__(self) -> int:
        return 6

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter([(self.x[i : i + 32], self.y[i : i + 32]) for i in range(0, 192, 32)])


def test_groups_hold_every_parameter_once() -> None:
    model = small()
    groups = {group["name"]: group for group in parameter_groups(model, 1e-3, 0.1, 0.02)}
    members = [id(p) for group in groups.values() for p in group["params"]]
    assert sorted(members) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    assert {id(p) for p in groups["fracs"]["params"]} == {id(q.frac) for q in quantizers(model).values() if q.spec.learn}
    assert all(p.dim() == 2 for p in groups["weights"]["params"]) and len(groups["weights"]["params"]) == 2
    assert [groups[name]["weight_decay"] for name in ("weights", "constants", "fracs")] == [0.1, 0.0, 0.0]
    assert [groups[name]["lr"] for name in ("weights", "constants", "fracs")] == [1e-3, 1e-3, 0.02]


def test_fixed_binary_points_are_in_no_group() -> None:
    model = nn.Sequential(Quantizer(QuantSpec(4, learn=False)))
    assert [group["params"] for group in parameter_groups(model)] == [[], [], []]


def test_the_freezer_takes_the_most_used_integer() -> None:
    quantizer = Quantizer(QuantSpec(4, frac=0))
    freezer = BinaryPointFreezer(quantizer, window=5)
    for frac in (7.0, 7.0, 7.0, 2.4, 3.2, 2.1, 2.6, 3.4):  # within the window: 2, 3, 2, 3, 3
        with torch.no_grad():
            quantizer.frac.fill_(frac)
        freezer.step()
    assert freezer.flips == {"": 4}
    freezer.freeze()
    assert quantizer.frac.item() == 3.0 and bool(quantizer.frozen)


def test_of_equally_used_integers_the_latest_is_frozen() -> None:
    quantizer = Quantizer(QuantSpec(4, frac=0, per_channel=True), 2)
    freezer = BinaryPointFreezer(quantizer, window=4)
    for fracs in ((1.0, 5.0), (2.0, 5.0), (1.0, 6.0), (2.0, 5.0)):
        with torch.no_grad():
            quantizer.frac.copy_(torch.tensor(fracs))
        freezer.step()
    freezer.freeze()
    assert quantizer.frac.tolist() == [2.0, 5.0]


def test_freezing_changes_no_output_and_stops_learning() -> None:
    model = small()
    data = Blobs()
    calibrate(model, [data.x])
    before = model.eval()(data.x)
    BinaryPointFreezer(model).freeze()
    assert torch.equal(model(data.x), before)
    fracs = [q.frac.item() for q in quantizers(model).values()]
    fit(model, data, Recipe(2, lr=1e-2))
    assert [q.frac.item() for q in quantizers(model).values()] == fracs


def test_freezing_leaves_switched_off_quantizers_alone() -> None:
    model = small()
    set_enabled(model, False)
    BinaryPointFreezer(model).freeze()
    assert not any(bool(q.frozen) for q in quantizers(model).values())


def test_fit_learns_freezes_and_reports() -> None:
    model, data = small(), Blobs()
    calibrate(model, [data.x])
    seen: list[tuple[int, int]] = []
    fit(model, data, Recipe(8, lr=2e-2, frac_lr=0.1, freeze_after=0.5), lambda done, total: seen.append((done, total)))
    assert accuracy(model, data.x, data.y) > 97
    assert seen == [(i, 8) for i in range(1, 9)] and not model.training
    assert all(bool(q.frozen) and q.frac.item() == q.fracs.item() for q in quantizers(model).values() if q.spec.learn)


def test_fit_without_freezing() -> None:
    model, data = small(), Blobs()
    calibrate(model, [data.x])
    before = {path: q.frac.item() for path, q in quantizers(model).items()}
    fit(model, data, Recipe(2, freeze_after=1.0))
    assert not any(bool(q.frozen) for q in quantizers(model).values())
    assert any(q.frac.item() != before[path] for path, q in quantizers(model).items())


def test_fit_errors() -> None:
    model, data = small(), Blobs()
    with pytest.raises(InputError, match="nothing to train on: 0 epochs of 6 batches"):
        fit(model, data, Recipe(0))
    set_enabled(model, False)
    with torch.no_grad():
        model.get_parameter("4.weight").fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss is no longer finite; lower the learning rate"):
        fit(model, data, Recipe(1))


def test_calibration_is_sequential_and_repeatable() -> None:
    model, data = small(), Blobs()
    model.eval()
    calibrate(model, [data.x[:50], data.x[50:]])
    found = quantizers(model)
    assert int(found["1.weight_quant"].fracs) == int(best_frac(model.get_parameter("1.weight"), found["1.weight_quant"].spec))
    entering = data.x / 32
    assert int(found["0.quant"].fracs) == int(best_frac(entering, found["0.quant"].spec))
    state = {key: value.clone() for key, value in model.state_dict().items()}
    found["1.weight_quant"].freeze()
    calibrate(model, [data.x])
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert not model.training


def test_digits_are_split_evenly() -> None:
    data = load_digits()
    assert data.train_x.shape == (1437, 1, 8, 8) and data.test_x.shape == (360, 1, 8, 8)
    assert data.test_x.dtype == torch.uint8 and int(data.test_x.max()) == 16
    counts = torch.bincount(data.test_y)
    assert int(counts.min()) >= 35 and int(counts.max()) <= 37


def test_digits_need_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ToolMissingError, match=r"pip install 'qfx\[demo\]'"):
        load_digits()


def test_shifted_batches_are_shifted_and_repeat() -> None:
    x = torch.zeros(200, 1, 8, 8, dtype=torch.uint8)
    x[:, :, 3, 4] = 9
    y = torch.arange(200)
    first, second = (list(ShiftedBatches(x, y, 5)) for _ in range(2))
    assert len(first) == 3 and all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, second, strict=True))
    where = torch.cat([images for images, _ in first]).nonzero()
    assert len(where) == 192 and where[:, 2].unique().tolist() == [2, 3, 4] and where[:, 3].unique().tolist() == [3, 4, 5]


def lowered_and_compared(config: ConvertConfig) -> Converted:
    """A digits network after a few steps, compared with the integer engine at every value."""
    torch.manual_seed(0)
    data = load_digits()
    raw = InputFormat((0.305,), (0.376,), 16.0)
    model = convert(DigitsNet(), config=dataclasses.replace(config, input=raw), sample=data.train_x[:128])
    fit(model, ShiftedBatches(data.train_x[:256], data.train_y[:256], 0), Recipe(1))
    graph = model.lower((1, 8, 8), "digits")
    codes = data.test_x[:40].numpy()
    live, wanted = TorchEngine(model, graph).run({"x": codes}), Simulator(graph).run({"x": codes})
    assert live.keys() == wanted.keys()
    for name, values in wanted.items():
        np.testing.assert_array_equal(live[name], values, err_msg=name)
    return model


@pytest.mark.parametrize("bits", [2, 4])
def test_the_digits_network_is_exact(bits: int) -> None:
    graph = lowered_and_compared(ConvertConfig.bits(bits)).lower((1, 8, 8))
    assert graph.values["block1.act1.quant"].type.width == bits
    assert graph.values["block2.add.a"].type.width == bits + 1
    assert {node.op.kind for node in graph.nodes} >= {"conv2d", "affine", "prelu", "add", "avg_pool2d", "linear"}


def test_the_multiplier_free_network_is_exact_and_two_hot() -> None:
    graph = lowered_and_compared(ConvertConfig.multiplier_free()).lower((1, 8, 8))
    kinds = {"conv2d": ".weight", "linear": ".weight", "affine": ".scale", "prelu": ".slope"}
    checked = 0
    for node in graph.nodes:
        if node.op.kind in kinds:
            constant = graph.values[node.inputs[1]]
            assert constant.name.endswith(kinds[node.op.kind]) and int(signed_digits(constant.codes).max()) <= 2
            assert node.op.attributes()["digits"] == 2
            checked += 1
        assert node.op.cost(graph.operands(node)).multiplications == 0
    assert checked == 19


@pytest.mark.full
def test_the_arms_of_the_experiment() -> None:
    seen: list[str] = []
    arms = {arm.name: arm for arm in train_arms(0, (4,), progress=lambda name, done, total: seen.append(name))}
    assert list(arms) == ["float", "ptq-4", "fixed-4", "learned-4", "multiplier-free"]
    assert arms["learned-4"].accuracy >= 97 and arms["multiplier-free"].accuracy >= 97
    assert set(seen) == {"float", "fixed-4", "learned-4", "multiplier-free"}
    fixed = {path: q.frac.item() for path, q in quantizers(arms["fixed-4"].model).items()}
    ptq = {path: q.frac.item() for path, q in quantizers(arms["ptq-4"].model).items()}
    assert fixed == ptq


@pytest.mark.full
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_learned_binary_points_beat_calibrated_ones(seed: int) -> None:
    """At 2 bits; the arm with fixed binary points shows how much of it is training."""
    arms = {arm.name: arm for arm in train_arms(seed, (2,))}
    assert arms["learned-2"].accuracy > arms["ptq-2"].accuracy + 20
    assert arms["fixed-2"].accuracy > arms["ptq-2"].accuracy


def meta_statistics(x: Tensor, *rest: object) -> tuple[Tensor, Tensor]:
    """In the place of torch's, which the meta device lacks."""
    return x.mean((0, 2, 3)), x.var((0, 2, 3))


def calibrated_flag(quantizer: Quantizer, name: str) -> bool:
    """In the place of the buffers."""
    return name == "calibrated"


@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_step_reads_nothing_from_the_device(monkeypatch: pytest.MonkeyPatch, momentum: float | None) -> None:
    """Tensors of the meta device have no values: an `item`, a `bool` or a copy to the host is an error there.

    The flags of a quantizer are read when they change only; another test counts that.
    """
    config = ConvertConfig(weights=4, weights_k_hot=2, input=InputFormat.fractions())
    model = convert(ResNet8(), config=config, sample=torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8))
    for module in model.modules():
        if isinstance(module, qnn.BatchNorm2d):
            module.momentum = momentum
    model.to("meta")
    monkeypatch.setattr(Quantizer, "_flag", calibrated_flag)
    monkeypatch.setattr(torch, "batch_norm_update_stats", meta_statistics)
    freezer, weights = BinaryPointFreezer(model, 10, hysteresis=0.1), OscillationFreezer(model)
    optimizer = torch.optim.AdamW(parameter_groups(model))
    x = torch.empty(4, 3, 32, 32, dtype=torch.uint8, device="meta")
    with pytest.raises(RuntimeError, match="meta"):
        bool(x.any())
    y, losses = torch.empty(4, dtype=torch.int64, device="meta"), list[Tensor]()
    for _ in range(3):
        losses.append(train_step(model.train(), optimizer, x, y, Recipe(1, digit_penalty=0.1)))
        freezer.step()
        weights.step()
    assert losses[-1].is_meta and all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_accuracy_of_what_does_not_fit() -> None:
    data = Blobs()
    for x, y in ((torch.tensor(3.0), data.y), (data.x, torch.tensor(3)), (data.x[:3], data.y[:2])):
        with pytest.raises(InputError, match=r"accuracy wants inputs \(samples, \.\.\.\) and as many labels \(samples,\), not"):
            accuracy(small(), x, y)
