"""What eval keeps while a proof holds: constants and sums that are computed together, and every change that ends it."""

from __future__ import annotations

import copy
import dataclasses
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import qfx.nn as qnn
from qfx.conversion import calibrate
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.nn._evaluation import observing
from qfx.quant import Quantizer, QuantSpec, kernel
from qfx.quant.cast import compute
from qfx.quant.kernel import Operand
from qfx.quant.snapshot import Snapshot
from qfx.quant.sum_cast import operand, sum_cast, total
from qfx.sim.engine import Simulator

S8 = FixedType(True, 8, 5)
SHAPE = (4, 6, 5)


class Net(qnn.Model):
    """A residual block with a convolution in its shortcut, and a classifier."""

    def __init__(self, branch: QuantSpec | None = None) -> None:
        super().__init__()
        branch = branch or QuantSpec(7)
        self.input = qnn.QuantInput(type=S8)
        self.conv, self.bn = qnn.Conv2d(4, 8, 3, padding=1, bias=False), qnn.BatchNorm2d(8)
        self.shortcut = qnn.Conv2d(4, 8, 1)
        self.add, self.act = qnn.Add(branch, branch), qnn.ReLU(output=QuantSpec(5, False, rounding=branch.rounding))
        self.fc = qnn.Linear(8 * 30, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.input(x)
        return self.fc(self.act(self.add(self.bn(self.conv(x)), self.shortcut(x))).flatten(1))


def images(samples: int = 16) -> Tensor:
    return torch.randint(-128, 128, (samples, *SHAPE), generator=torch.Generator().manual_seed(0)).to(torch.int8)


def calibrated(branch: QuantSpec | None = None) -> Net:
    """With statistics of its own."""
    torch.manual_seed(0)
    model = Net(branch)
    for _ in range(3):
        model(images())
    calibrate(model, [images()])
    return model.eval()


def outputs(model: qnn.Model) -> Tensor:
    with torch.no_grad():
        return model(images()).to(torch.float64)


def simulated(model: qnn.Model) -> Tensor:
    """By the simulator, from the model as it is now."""
    graph = model.lower(SHAPE)
    return torch.from_numpy(graph.values["fc"].type.to_real(Simulator(graph).run({"x": images().numpy()})["fc"]))


def count_casts(model: qnn.Model, monkeypatch: pytest.MonkeyPatch) -> int:
    """Forwards of quantizers in one forward of the model."""
    calls: list[Quantizer] = []
    forward = Quantizer.forward

    def counted(self: Quantizer, *args: Any) -> Tensor:
        calls.append(self)
        return forward(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Quantizer, "forward", counted)
        outputs(model)
    return len(calls)


@pytest.mark.usefixtures("engine")
def test_constants_are_quantized_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = calibrated()
    outputs(model)
    kept = count_casts(model, monkeypatch)
    with torch.no_grad():
        model.fc.weight.mul_(1.5)
    constants = 7  # 3 weights, 2 biases, scale, offset; each once for the proof and once for the forward
    assert count_casts(model, monkeypatch) == kept + 2 * constants and count_casts(model, monkeypatch) == kept


def _behind_the_counter(model: Net) -> None:
    model.conv.weight.data.mul_(0.75)


def _through_numpy(model: Net) -> None:
    model.shortcut.weight.detach().numpy()[...] *= 0.5


def _replaced(model: Net) -> None:
    model.fc.weight = nn.Parameter(model.fc.weight.detach() * 0.5)


def _statistics(model: Net) -> None:
    model.bn.running_var.data.mul_(2)


def _point(model: Net) -> None:
    model.fc.weight_quant.frac.data.sub_(1)


def _point_of_a_deferred_cast(model: Net) -> None:
    assert model.add.a is not None
    model.add.a.frac.data.sub_(2)


def _width(model: Net) -> None:
    model.conv.weight_quant.spec = dataclasses.replace(model.conv.weight_quant.spec, width=3)


def _state(model: Net) -> None:
    state = {name: value.clone() for name, value in model.state_dict().items()}
    state["conv.weight"] = state["conv.weight"].flip(0)
    model.load_state_dict(state)


def _layer(model: Net) -> None:
    model.conv = copy.deepcopy(model.conv)
    with torch.no_grad():
        model.conv.weight.mul_(-1)


def _before_each_forward(model: Net) -> None:
    def negate(layer: nn.Module, args: object) -> None:
        if not done:
            model.conv.weight.data.mul_(-0.5)
            done.append(layer)

    done: list[nn.Module] = []
    model.conv.register_forward_pre_hook(negate)


CHANGES = (_behind_the_counter, _through_numpy, _replaced, _statistics, _point, _point_of_a_deferred_cast, _width, _state, _layer, _before_each_forward)  # fmt: skip # noqa: E501


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_every_change_is_seen(change: Callable[[Net], None]) -> None:
    model = calibrated()
    before = outputs(model)
    assert torch.equal(before, outputs(model)) and torch.equal(before, simulated(model))
    change(model)
    after = outputs(model)
    assert not torch.equal(after, before) and torch.equal(after, simulated(model))


def test_layers_of_two_models() -> None:
    """Each model has a plan of its own for them."""
    model = calibrated()
    tail = qnn.Model(nn.Sequential(qnn.QuantInput(type=FixedType(False, 20, 12)), nn.Flatten(), model.fc)).eval()
    x = torch.full((2, 8, 6, 5), 2.0**20 - 1)
    with torch.no_grad():
        wanted, wanted_tail = outputs(model), tail(x)
        assert wanted_tail.dtype == torch.float64 and model(images()).dtype == torch.float32
        assert torch.equal(outputs(model), wanted)
        model.fc.weight.data.mul_(0.5)
        assert torch.equal(outputs(model), simulated(model))
        assert not torch.equal(tail(x), wanted_tail)


def test_exactness_of_another_shape_changes_nothing() -> None:
    model = qnn.Model(nn.Sequential(qnn.QuantInput(type=FixedType(False, 15, 0)), qnn.AdaptiveAvgPool2d(1))).eval()
    calibrate(model, [torch.randint(0, 2**15, (2, 1, 32, 32))])
    x = torch.randint(0, 2**15, (2, 1, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = model(x)
        model.exactness((1, 2, 2))
        found = model(x)
    assert torch.equal(found, wanted) and found.dtype == torch.float32


def test_copies_prove_anew() -> None:
    model = calibrated()
    wanted = outputs(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for twin in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        twin.conv.weight.data.mul_(0.5)
        assert torch.equal(outputs(twin), simulated(twin)) and torch.equal(outputs(model), wanted)


def test_gradients_in_eval() -> None:
    """What is kept has no gradients, so it serves only where none are asked for."""
    model = calibrated()
    wanted = outputs(model)
    for _ in range(2):
        model.zero_grad()
        y = model(images())
        assert torch.equal(y.detach().double(), wanted)
        y.square().sum().backward()
        assert model.conv.weight.grad is not None and bool(model.conv.weight.grad.any())


def test_what_is_not_one_run_of_memory_goes_by_versions() -> None:
    whole = torch.zeros(4, 6)
    part = whole[:, ::2]
    snapshot = Snapshot([part])
    assert not snapshot.comparable and snapshot.same([part])
    part.add_(1)
    assert not snapshot.same([part])


MODES = [QuantSpec(6, rounding=r, overflow=o) for r, o in product(Rounding, (Overflow.SAT, Overflow.SAT_SYM, Overflow.WRAP))]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("branch", MODES, ids=lambda spec: f"{spec.rounding.name}-{spec.overflow.name}")
def test_a_sum_with_its_casts(branch: QuantSpec) -> None:
    """In every mode the steps taken together are those of the simulator, and those that an observer sees."""
    model = calibrated(branch)
    together = outputs(model)
    assert torch.equal(together, simulated(model))
    seen: list[str] = []
    with observing(lambda layer, suffix, value: seen.append(suffix) if layer is model.add else None):
        assert torch.equal(outputs(model), together) and seen == [".a", ".b", ""]


def hard_sums() -> tuple[Tensor, Tensor, Tensor]:
    """Codes, a scale and an offset whose products lie at and beside all halves; all exact in float64."""
    codes = torch.arange(-3000, 3000, dtype=torch.float32).reshape(2, 3, 10, 100)
    return codes, torch.tensor([2.0**-3, -(2.0**-4), 3 * 2.0**-5]).double(), torch.tensor([0.0, 2.0**-9, -(2.0**-9)]).double()


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("relu", [False, True])
def test_an_affine_step_with_its_cast(relu: bool) -> None:
    x, scale, offset = hard_sums()
    wide = x.double() * scale.view(-1, 1, 1) + offset.view(-1, 1, 1)
    for signed, rounding, width in product((True, False), Rounding, (1, 2, 8, 24)):
        quantizer = Quantizer(QuantSpec(width, signed, frac=1, rounding=rounding))
        with torch.no_grad():
            found = sum_cast([operand(x, (scale, offset))], quantizer, relu)
        with kernel.using(False):
            wanted, _ = compute(wide.relu() if relu else wide, torch.tensor(1.0), quantizer.spec)
        np.testing.assert_array_equal(found.numpy(), wanted.numpy(), err_msg=str(quantizer.spec))


@pytest.mark.usefixtures("engine")
def test_the_sum_of_three_operands() -> None:
    """The kernel adds any number of them; the layers have two."""
    x, scale, offset = hard_sums()
    frac, spec = torch.tensor(2.0), QuantSpec(9)
    operands = (Operand(x, (scale, offset), (frac, spec)), Operand(x), Operand(x, None, (frac, spec)))
    quantizer = Quantizer(QuantSpec(8, False, frac=1))
    wide = total(operands)
    with torch.no_grad():
        found = sum_cast(operands, quantizer, relu=True)
    np.testing.assert_array_equal(found.numpy(), compute(wide.relu(), quantizer.frac.detach(), quantizer.spec)[0].numpy())


class Block(nn.Module):
    """Convolution and normalisation, apart from the ReLU that reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = qnn.Conv2d(4, 8, 3, bias=False), qnn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class Curious(qnn.Model):
    """Keeps what goes between its layers, behind the trace's back."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.block, self.act = qnn.QuantInput(type=S8), Block(), qnn.ReLU()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(self.input(x))
        if isinstance(y, Tensor):
            self.seen.append(y)
        return self.act(y)


def curious() -> Curious:
    model = Curious()
    model(images())
    calibrate(model, [images()])
    model.eval()
    outputs(model)
    model.seen.clear()
    return model


def test_between_steps_taken_together_goes_no_wrong_number() -> None:
    model = curious()
    wanted = outputs(model)
    assert model.seen.pop().is_meta
    assert torch.equal(model(images()).double(), wanted)
    assert model.seen.pop().device.type == "cpu"  # with gradients every step is taken by itself


def _see(found: list[Any]) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        found.append(output)

    return hook


HOOKED: dict[str, Callable[[Curious, Callable[..., None]], Any]] = {
    "the normalisation": lambda model, hook: model.block.bn.register_forward_hook(hook),
    "its container": lambda model, hook: model.block.register_forward_hook(hook),
    "the reader": lambda model, hook: model.act.register_forward_pre_hook(lambda module, inputs: hook(module, (), inputs[0])),
    "all modules": lambda model, hook: nn.modules.module.register_module_forward_hook(hook),
}


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("where", HOOKED)
def test_hooks_see_values(where: str) -> None:
    model = curious()
    wanted = outputs(model)
    found: list[Any] = []
    handle = HOOKED[where](model, _see(found))
    try:
        assert torch.equal(outputs(model), wanted)
    finally:
        handle.remove()
    assert found and not any(value.is_meta for value in found)
    assert torch.equal(outputs(model), wanted) and model.seen[-1].is_meta


class Doubled(qnn.ReLU):
    """A subclass that computes otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + x)


def test_a_subclass_computes_by_itself() -> None:
    model = curious()
    twin = copy.deepcopy(model)
    twin.act.__class__ = Doubled
    assert not torch.equal(outputs(twin), outputs(model))
    assert not twin.seen[-1].is_meta and model.seen[-1].is_meta


def test_a_layer_with_a_forward_of_its_own_computes_by_it() -> None:
    model = curious()
    twin = copy.deepcopy(model)
    forward = twin.act.forward
    twin.act.forward = lambda x: forward(x + x)
    assert not torch.equal(outputs(twin), outputs(model)) and not twin.seen[-1].is_meta


def test_gradients_that_the_forward_itself_wants() -> None:
    class Wants(Curious):
        def forward(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                return super().forward(x)

    model = Wants()
    model(images())
    calibrate(model, [images()])
    model.eval()
    with torch.no_grad():
        y = model(images())
    y.square().sum().backward()
    assert model.block.conv.weight.grad is not None and bool(model.block.conv.weight.grad.any())
    assert torch.equal(y.detach().double(), torch.as_tensor(simulate(model)))


def simulate(model: qnn.Model) -> Any:
    graph = model.lower(SHAPE)
    (name,) = graph.outputs
    return graph.values[name].type.to_real(Simulator(graph).run({"x": images().numpy()})[name])


def test_threads_share_a_plan_and_no_values() -> None:
    model = calibrated()
    batches = [images(size) for size in (3, 5, 8, 2)]
    with torch.no_grad():
        wanted = [model(x) for x in batches]

    def found(x: Tensor) -> Tensor:
        with torch.no_grad():
            return [model(x) for _ in range(20)][-1]

    with ThreadPoolExecutor(len(batches)) as pool:
        assert all(map(torch.equal, pool.map(found, batches), wanted))


def test_a_layer_put_back_in_training_computes_as_in_training() -> None:
    model = curious()
    outputs(model)
    model.block.bn.train()
    before = model.block.bn.running_mean.clone()
    outputs(model)
    assert not torch.equal(model.block.bn.running_mean, before) and not model.seen[-1].is_meta
