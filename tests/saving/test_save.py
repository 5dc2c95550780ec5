"""`qfx.save` and `qfx.load`: the same network again, bit for bit, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import qfx
from qfx import nn as qnn
from qfx.conversion import calibrate
from qfx.errors import InputError
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.quant import QuantSpec, quantizers, set_enabled
from tests.conversion.test_table import FROM_TORCH, NOT_TORCH, RAW, Line, Row, name_of, sample_of
from tests.frontend.layer_table import FUNCTIONS, MODULES

PIXELS = FixedType(False, 8, 8)
SPEC = QuantSpec(5, rounding=Rounding.RND_CONV, overflow=Overflow.WRAP)


def equal(a: nn.Module, b: nn.Module, x: Tensor) -> bool:
    """Whether both give the same tensors."""
    with torch.no_grad():
        found, wanted = a(x), b(x)
    found, wanted = (one if isinstance(one, tuple) else (one,) for one in (found, wanted))
    return all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def again(network: nn.Module, folder: Path) -> nn.Module:
    """Saved and loaded; nothing of it differs."""
    qfx.save(network, folder / "network.qfx")
    found = qfx.load(folder / "network.qfx")
    ours, theirs = found.state_dict(), network.state_dict()
    assert list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert {path: q.spec for path, q in quantizers(found).items()} == {path: q.spec for path, q in quantizers(network).items()}
    trained = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    assert trained == [name for name, parameter in found.named_parameters() if parameter.requires_grad]
    assert not any(module.training for module in found.modules())
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.filterwarnings("ignore:Implicit dimension choice for softmax")
@pytest.mark.parametrize(
    "row", [row for row in dict.fromkeys((*FROM_TORCH, *MODULES, *FUNCTIONS)) if not row.code.startswith(NOT_TORCH)], ids=name_of
)
def test_everything_that_converts(row: Row, tmp_path: Path) -> None:
    network = qfx.convert(Line(row.code), sample_of(row), qfx.ConvertConfig(input=qfx.InputFormat(type=RAW)))
    found = again(network, tmp_path)
    assert equal(network, found, sample_of(row))
    assert isinstance(found, qfx.Converted) and found.code == network.code and type(found).__name__ == type(network).__name__


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Add": (lambda: qnn.Add(), (3, 6, 6)),
    "AdaptiveAvgPool1d": (lambda: qnn.AdaptiveAvgPool1d(2), (3, 6)),
    "AdaptiveAvgPool2d": (lambda: qnn.AdaptiveAvgPool2d((2, 3)), (3, 6, 6)),
    "AvgPool1d": (lambda: qnn.AvgPool1d(2), (3, 6)),
    "AvgPool2d": (lambda: qnn.AvgPool2d(2), (3, 6, 6)),
    "BatchNorm1d": (lambda: qnn.BatchNorm1d(3), (3, 6)),
    "BatchNorm2d": (lambda: qnn.BatchNorm2d(3, scale=QuantSpec.weights(8, k_hot=2, max_exponent=5)), (3, 6, 6)),
    "Conv1d": (lambda: qnn.Conv1d(3, 2, 3, padding="same"), (3, 6)),
    "Conv2d": (lambda: qnn.Conv2d(3, 2, 3, stride=2, bias=False, weight=QuantSpec.weights(4, per_channel=True)), (3, 6, 6)),
    "ConvTranspose1d": (lambda: qnn.ConvTranspose1d(3, 2, 3), (3, 6)),
    "ConvTranspose2d": (lambda: qnn.ConvTranspose2d(3, 2, 3, accumulator=SPEC), (3, 6, 6)),
    "Dropout": (lambda: qnn.Dropout(0.3), (3, 6)),
    "Exp": (lambda: qnn.Exp(), (3, 6)),
    "Flatten": (lambda: qnn.Flatten(1, 2), (3, 6, 6)),
    "GELU": (lambda: qnn.GELU("tanh"), (3, 6)),
    "Hardsigmoid": (lambda: qnn.Hardsigmoid(), (3, 6)),
    "Hardswish": (lambda: qnn.Hardswish(), (3, 6)),
    "Hardtanh": (lambda: qnn.Hardtanh(-0.25, float("inf")), (3, 6)),
    "Identity": (lambda: qnn.Identity(), (3, 6)),
    "Linear": (lambda: qnn.Linear(6, 4, bias=SPEC), (6,)),
    "Lookup": (lambda: qnn.Lookup(functional.softsign, SPEC, SPEC), (3, 6)),
    "MaxPool1d": (lambda: qnn.MaxPool1d(2), (3, 6)),
    "MaxPool2d": (lambda: qnn.MaxPool2d(3, 2, 1), (3, 6, 6)),
    "PReLU": (lambda: qnn.PReLU(3), (3, 6, 6)),
    "QuantInput": (lambda: qnn.Identity(), (3, 6)),  # what every network here starts with
    "Quantize": (lambda: qnn.Quantize(SPEC), (3, 6)),
    "ReLU": (lambda: qnn.ReLU(), (3, 6)),
    "ReLU6": (lambda: qnn.ReLU6(), (3, 6)),
    "SiLU": (lambda: qnn.SiLU(), (3, 6)),
    "Sigmoid": (lambda: qnn.Sigmoid(), (3, 6)),
    "Tanh": (lambda: qnn.Tanh(), (3, 6)),
}


def test_every_layer_is_tried() -> None:
    untried = set(qnn.__all__) - {"Layer", "Model", "fold_batch_norm"} - set(LAYERS)
    assert not untried, f"give a use of {', '.join(sorted(untried))} in LAYERS of {Path(__file__).name}"


class Twice(nn.Module):
    """An Add of a tensor and itself, so that it fits in a row."""

    def __init__(self, add: nn.Module) -> None:
        super().__init__()
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        return self.add(x, x)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    layer = make()
    network = qnn.Model(
        nn.Sequential(qnn.QuantInput(type=PIXELS), qnn.Quantize(QuantSpec(8)), Twice(layer) if name == "Add" else layer)
    )
    x = torch.randint(0, 256, (6, *shape))
    calibrate(network, [x])
    if name == "Add":
        qfx.save(network, tmp_path / "network.qfx")
        found = qfx.load(tmp_path / "network.qfx", qnn.Model(nn.Sequential(*(network.module or [])[:2], Twice(make()))))  # type: ignore[index]
    else:
        found = again(network, tmp_path)
        assert type(found) is qnn.Model
    assert equal(network.eval(), found.eval(), x)


class Own(qnn.Model):
    """A network of a class that QFX does not know."""

    def __init__(self, bits: int = 4, stride: int = 1, channels: int = 2, act: type[nn.Module] = qnn.ReLU) -> None:
        super().__init__()
        self.input = qnn.QuantInput([0.5], [0.25])
        self.conv = qnn.Conv2d(1, channels, 3, stride, weight=QuantSpec.weights(bits))
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.conv(self.input(x)))


IMAGES = torch.randint(0, 256, (4, 1, 7, 7), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Own, Path]:
    torch.manual_seed(0)
    network = Own()
    calibrate(network, [IMAGES])
    network.conv.weight_quant.freeze()
    qfx.save(network.eval(), tmp_path / "own.qfx")
    return network, tmp_path / "own.qfx"


def test_a_class_of_the_user_s(saved: tuple[Own, Path]) -> None:
    network, file = saved
    with pytest.raises(InputError) as raised:
        qfx.load(str(file))
    assert str(raised.value) == (
        f"{file} does not say how its network is made: the network is of the class {Own.__module__}.Own; make one, and load into"
        " it: qfx.load(path, network), or module:factory and --weights on the command line"
    )
    model = Own().train()
    assert qfx.load(file, model) is model and model.training
    assert model.conv.weight_quant.frozen and equal(model.eval(), network, IMAGES)


def test_quantizers_that_are_off_stay_off(tmp_path: Path) -> None:
    network = nn.Sequential(qnn.QuantInput(type=PIXELS), qnn.Linear(3, 2))
    x = torch.randint(0, 256, (4, 3))
    calibrate(network, [x])
    set_enabled(network, False)
    found = again(network, tmp_path)
    assert not any(quantizer.enabled for quantizer in quantizers(found).values())
    set_enabled(network, True)
    qfx.load(tmp_path / "network.qfx", network)
    assert not any(quantizer.enabled for quantizer in quantizers(network).values()) and equal(network.eval(), found, x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: Own(bits=5), "conv.weight_quant: the file has 4 bits signed, AP_RND, AP_SAT; the model has 5 bits signed, AP_RND"),
        (lambda: Own(stride=2), r"conv: the file has stride=\(1, 1\), the model stride=\(2, 2\)"),
        (lambda: Own(channels=3), r"conv.weight: the file has \[2, 1, 3, 3\] of float32, the model \[3, 1, 3, 3\] of float32"),
        (lambda: Own(act=qnn.ReLU6), "act: the file has a qfx.nn.ReLU, the model a qfx.nn.ReLU6"),
        (lambda: nn.Sequential(qnn.Quantize(QuantSpec(8))), r"0 \(Quantize\) is not in the file"),
        (lambda: Own().double(), r"conv.weight: the file has \[2, 1, 3, 3\] of float32, the model \[2, 1, 3, 3\] of float64"),
        (lambda: nn.Sequential(nn.Linear(2, 2)), "0.bias is a tensor of the model that the file does not have"),
        (
            lambda: nn.Sequential(),
            "act.quant.calibrated is a tensor of the file that the model does not have\n(.*\n)*  and 14 more$",
        ),
    ],
)
def test_a_model_that_differs(model: Callable[[], nn.Module], message: str, saved: tuple[Own, Path]) -> None:
    other = model()
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(InputError, match=rf"own.qfx does not fit the model:\n(.*\n)*  {message}"):
        qfx.load(saved[1], other)
    after = other.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_function_of_the_user_s(tmp_path: Path) -> None:
    def doubled(x: Tensor) -> Tensor:
        return 2 * x

    network = nn.Sequential(qnn.QuantInput(type=PIXELS), qnn.Lookup(doubled, QuantSpec(6), QuantSpec(6)))
    x = torch.randint(0, 256, (4, 3))
    calibrate(network, [x])
    qfx.save(network, tmp_path / "network.qfx")
    with pytest.raises(
        InputError, match=r"made: 1 \(Lookup\) holds test_a_function_of_the_user_s.<locals>.doubled, which is no plain"
    ):
        qfx.load(tmp_path / "network.qfx")
    model = nn.Sequential(qnn.QuantInput(type=PIXELS), qnn.Lookup(doubled, QuantSpec(6), QuantSpec(6)))
    assert equal(qfx.load(tmp_path / "network.qfx", model).eval(), network.eval(), x)


def test_a_layer_that_is_called_under_two_names(tmp_path: Path) -> None:
    layer = qnn.Linear(3, 3)
    network = nn.Sequential(qnn.QuantInput(type=PIXELS), layer, qnn.Quantize(QuantSpec(8)), layer)
    calibrate(network, [torch.randint(0, 256, (4, 3))])
    found = again(network, tmp_path)
    assert isinstance(found, nn.Sequential) and found[1] is found[3]


def test_it_trains_on(tmp_path: Path) -> None:
    row = Row("nn.Conv2d(4, 4, 3)", (4, 6, 6))
    network = qfx.convert(Line(row.code), sample_of(row), qfx.ConvertConfig(input=qfx.InputFormat(type=RAW)))
    found = again(network, tmp_path).train()
    found(sample_of(row)).sum().backward()
    assert all(parameter.grad is not None for parameter in found.parameters() if parameter.requires_grad)
    with torch.no_grad():
        next(found.parameters()).add_(1.0)  # the tensors are its own, and may be written


def test_a_loaded_network_goes_on_as_the_saved_one_would(tmp_path: Path) -> None:
    """It lowers to the same graph, trains to the same weights, and is saved again; the float model is gone."""
    torch.manual_seed(0)
    images, labels = torch.randint(0, 256, (32, 4)), torch.randint(0, 3, (32,))
    config = qfx.ConvertConfig.bits(4, input=qfx.InputFormat(type=PIXELS))
    network = qfx.convert(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), images, config)
    qfx.save(network, tmp_path / "network.qfx")
    found = qfx.load(tmp_path / "network.qfx")
    assert isinstance(found, qnn.Model) and found.lower((4,)).text() == network.lower((4,)).text()
    for one in (network, found):
        torch.manual_seed(0)
        qfx.fit(one, [(images, labels)], qfx.Recipe(epochs=3, lr=1e-2))
    assert equal(network, found, images)
    qfx.save(found, tmp_path / "again.qfx")
    found.load_state_dict(network.state_dict())
    assert equal(qfx.load(tmp_path / "again.qfx"), network, images)
