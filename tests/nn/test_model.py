"""The proof of a live model: accumulator dtypes, staleness, refusal; exact whatever torch's precision settings; folding."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import qfx.nn as qnn
from qfx.conversion import calibrate
from qfx.engines.torch_engine import TorchEngine
from qfx.errors import ExactnessError, LoweringError, QuantizationError
from qfx.fixed import FixedType
from qfx.nn._plan import Plan
from qfx.nn.layer import Layer
from qfx.ops.sampling import random_codes
from qfx.quant import QuantSpec, set_enabled
from qfx.sim.engine import Simulator

S8 = FixedType(True, 8, 5)
SHAPE = (4, 6, 5)


class Net(qnn.Model):
    """Convolution, batch normalisation, ReLU, classifier."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.input = qnn.QuantInput(type=S8)
        self.conv = qnn.Conv2d(4, 8, 3, padding=1, weight=QuantSpec(width))
        self.bn = qnn.BatchNorm2d(8)
        self.act = qnn.ReLU()
        self.fc = qnn.Linear(8 * 30, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.act(self.bn(self.conv(self.input(x)))).flatten(1))


def data(samples: int = 32) -> Tensor:
    return torch.from_numpy(random_codes(S8, (samples, *SHAPE), 0))


def calibrated(width: int = 8) -> Net:
    torch.manual_seed(0)
    model = Net(width)
    for _ in range(5):
        model(data())
    calibrate(model, [data()])
    return model.eval()


def planned(model: Net) -> Plan:
    """The plan of the model as it is now."""
    plan = model.exact_plan([SHAPE])
    assert plan is not None
    return plan


def wanted(model: Net, x: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    graph = model.lower(SHAPE)
    return graph.values["fc"].type.to_real(Simulator(graph).run({"x": x.numpy()})["fc"])


def test_only_nodes_that_need_it_are_widened() -> None:
    model = calibrated()
    with pytest.raises(QuantizationError, match=r"exactness\(\) needs input_shape"):
        model.exactness()
    model(data())
    accumulators = {proof.name: proof.accumulator for proof in model.exactness()}
    assert accumulators["conv"] == accumulators["fc"] == "float32" and accumulators["bn"] == "float64"
    dtypes = planned(model).dtypes
    assert dtypes[model.conv] == {"": torch.float32} and dtypes[model.bn] == {"": torch.float64}
    assert dtypes[model.act][".quant"] == torch.float64


def test_an_unproved_model_computes_in_float64() -> None:
    model = calibrated()
    bare = nn.Sequential(model.input, model.conv, model.bn, model.act, nn.Flatten(), model.fc)
    assert bare(data()).dtype == torch.float64
    np.testing.assert_array_equal(bare(data()).detach().numpy(), wanted(model, data()))


def test_a_changed_parameter_is_proved_again() -> None:
    model = calibrated()
    model(data())
    assert planned(model).dtypes[model.conv][""] == torch.float32
    with torch.no_grad():
        model.conv.weight_quant.frac.add_(14)  # far finer: the aligned bias now needs more than 24 bits
        model.conv.weight.mul_(2.0**-14)
    model(data())
    assert planned(model).dtypes[model.conv][""] == torch.float64
    np.testing.assert_array_equal(model(data()).to(torch.float64).detach().numpy(), wanted(model, data()))


def test_what_float64_cannot_hold_is_refused() -> None:
    model = calibrated()
    with torch.no_grad():
        model.conv.weight_quant.frac.add_(40)
    text = r"torch cannot compute 'bn' \(affine of conv ap_fixed<\d+, -?\d+>, bn.scale ap_fixed<8, -?\d+>, bn.offset"
    with pytest.raises(ExactnessError, match=text):
        model(data())
    with pytest.raises(ExactnessError, match=r"reaches \d+ bits, float64 holds 53; narrow the operands"):
        model(data())


def test_training_drops_the_proof() -> None:
    model = calibrated()
    model(data())
    model.conv.weight.data.mul_(0.5)  # behind the version counter's back
    model.train()
    model.eval()
    np.testing.assert_array_equal(model(data()).to(torch.float64).detach().numpy(), wanted(model, data()))


def test_a_float_model_needs_no_proof() -> None:
    model = Net().eval()
    set_enabled(model, False)
    assert model(data().float()).dtype == torch.float32


def test_a_model_that_cannot_be_lowered_is_refused_in_eval() -> None:
    class Soft(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).tanh()

    model = Soft()
    model(data())
    calibrate(model, [data()])
    with pytest.raises(LoweringError, match=r"tanh \(tanh\) at .*test_model.py:\d+: it has no fixed-point form"):
        model.eval()(data())


@pytest.mark.parametrize("sign", [1, -1])
def test_binary_points_beyond_the_exponents_of_float32(sign: int) -> None:
    """Small codes whose real values underflow float32, or overflow it: eval takes float64 there."""
    weight = QuantSpec(3, frac=-64 * sign, learn=False)
    layers = [qnn.Linear(4, 4, bias=False, weight=weight) for _ in range(2)]
    with torch.no_grad():
        for seed, layer in enumerate(layers):
            codes = random_codes(FixedType(True, 3, 0), (4, 4), seed)
            layer.weight.copy_(torch.from_numpy(codes) * 2.0 ** (64 * sign))
    cast = qnn.Quantize(QuantSpec(6, frac=32 * sign - 2, learn=False))
    given = qnn.QuantInput(type=FixedType(True, 6, 160 * sign))
    model = qnn.Model(nn.Sequential(given, layers[0], qnn.ReLU(output=None), layers[1], cast)).eval()
    graph = model.lower((4,))
    inputs = {graph.inputs[0]: random_codes(FixedType(True, 6, 0), (20, 4), 3)}
    found, wanted = TorchEngine(model, graph).run(inputs), Simulator(graph).run(inputs)
    assert len(wanted) == 5
    for name, codes in wanted.items():
        np.testing.assert_array_equal(found[name], codes, err_msg=name)


@pytest.fixture
def careless() -> Iterator[None]:
    """Global settings that allow reduced precision."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(precision)


@pytest.mark.usefixtures("careless")
def test_exact_under_reduced_precision_and_autocast() -> None:
    model = calibrated()
    x = data()
    expected = wanted(model, x)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(model(x).to(torch.float64).detach().numpy(), expected)
    assert torch.get_float32_matmul_precision() == "medium"


def reduced(setting: Any) -> Iterator[str]:
    """Set one precision switch to bf16 for a while."""
    before = setting.fp32_precision
    setting.fp32_precision = "bf16"
    yield setting.fp32_precision
    setting.fp32_precision = before


@pytest.mark.parametrize("kind", ["conv", "matmul"])
def test_products_are_exact_whatever_the_backend_is_told(kind: str) -> None:
    """Codes of 12 bits do not fit bf16, whose products oneDNN takes where it is told to and the processor can."""
    setting: Any = getattr(torch.backends.mkldnn, kind, None)
    if setting is None:
        return  # before torch 2.9 the global precision is the only switch
    type = FixedType(False, 12, 0)
    layers = (qnn.Conv2d(8, 16, 3, weight=QuantSpec(5)), nn.Flatten(), qnn.Linear(16 * 16, 8, weight=QuantSpec(5)))
    model = qnn.Model(nn.Sequential(qnn.QuantInput(type=type), layers[0], qnn.ReLU(output=QuantSpec(12, False)), *layers[1:]))
    x = torch.from_numpy(random_codes(type, (8, 8, 6, 6), 0))
    calibrate(model, [x])
    expected = model.eval()(x).detach()
    for level in reduced(setting):
        assert torch.equal(model(x), expected)
        assert setting.fp32_precision == level
    graph = model.lower((8, 6, 6))
    codes = Simulator(graph).run({"input": x.numpy()})["4"]
    np.testing.assert_array_equal(expected.to(torch.float64).numpy(), graph.values["4"].type.to_real(codes))


def test_a_wrapper_names_layers_as_the_wrapped_model_does() -> None:
    model = calibrated()
    inner = nn.Sequential(model.input, model.conv, model.bn, model.act, nn.Flatten(), model.fc)
    wrapped = qnn.Model(inner).eval()
    graph = wrapped.lower(SHAPE)
    assert [node.name for node in graph.nodes] == ["1", "2", "3", "3.quant", "4", "5"]
    np.testing.assert_array_equal(wrapped(data()).to(torch.float64).detach().numpy(), wanted(model, data()))


def test_gradients_flow_in_eval() -> None:
    model = calibrated()
    model(data()).square().mean().backward()
    assert model.conv.weight.grad is not None and float(model.conv.weight.grad.abs().sum()) > 0


def test_state_dict_round_trip() -> None:
    model = calibrated()
    again = Net()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(data()), model(data()))


def test_folding() -> None:
    model = calibrated()
    set_enabled(model, False)
    before = model(data().float())
    assert qnn.fold_batch_norm(model) == ["bn"]
    torch.testing.assert_close(model(data().float()), before)
    set_enabled(model, True)
    with pytest.raises(QuantizationError, match=r"'conv\.weight_quant' .* is not calibrated"):
        model(data())
    calibrate(model, [data()])
    np.testing.assert_array_equal(model(data()).to(torch.float64).detach().numpy(), wanted(model, data()))
    assert [node.name for node in model.lower(SHAPE).nodes] == ["conv", "act", "act.quant", "flatten", "fc"]


def test_folding_gives_a_bias_where_there_was_none() -> None:
    model = nn.Sequential(qnn.QuantInput(type=S8), qnn.Linear(6, 4, bias=False), qnn.BatchNorm1d(4))
    set_enabled(model, False)
    model(torch.from_numpy(random_codes(S8, (50, 6), 0)))
    x = torch.from_numpy(random_codes(S8, (9, 6), 1))
    before = model.eval()(x)
    assert qnn.fold_batch_norm(model, QuantSpec(12)) == ["2"]
    set_enabled(model, False)
    torch.testing.assert_close(model(x), before)


def test_folding_leaves_shared_values_alone() -> None:
    class Shared(Net):
        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(self.input(x))
            return self.bn(y) + y

    model = Shared()
    assert qnn.fold_batch_norm(model) == [] and isinstance(model.bn, Layer)
