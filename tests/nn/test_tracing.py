"""Others that record or transform what torch computes: what they make computes the same on other inputs, or is refused."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import qfx.nn as qnn
from qfx.conversion import calibrate
from qfx.errors import QuantizationError
from qfx.fixed import Overflow, Rounding
from qfx.quant import QuantSpec

pytestmark = pytest.mark.filterwarnings("default")  # torch's own, of exporters that it is about to replace


class Net(qnn.Model):
    """Every kind of step that eval computes past torch."""

    def __init__(self, weight: QuantSpec, output: QuantSpec) -> None:
        super().__init__()
        self.input = qnn.QuantInput([0.5] * 3, [0.25] * 3)
        self.conv, self.bn, self.act = qnn.Conv2d(3, 4, 3, padding=1, weight=weight), qnn.BatchNorm2d(4), qnn.ReLU(output=output)
        self.skip, self.add, self.out = qnn.Conv2d(3, 4, 1, bias=False), qnn.Add(), qnn.ReLU()
        self.slope, self.pool, self.table = qnn.PReLU(4), qnn.AvgPool2d(3, 2, 1), qnn.Sigmoid()
        self.fc = qnn.Linear(4 * 9, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.input(x)
        x = self.out(self.add(self.act(self.bn(self.conv(x))), self.skip(x)))
        return self.fc(self.table(self.pool(self.slope(x))).flatten(1))


W4 = QuantSpec.weights(4)
KINDS = {
    "plain": (W4, QuantSpec(5, False)),
    "2-hot, half to even": (QuantSpec.weights(6, k_hot=2), QuantSpec(5, False, rounding=Rounding.RND_CONV)),
    "per channel, wraps": (QuantSpec.weights(4, per_channel=True), QuantSpec(6, overflow=Overflow.WRAP)),
}


def images(samples: int, seed: int) -> Tensor:
    return torch.randint(0, 256, (samples, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def network(kind: str = "plain") -> Net:
    torch.manual_seed(0)
    model = Net(*KINDS[kind])
    model(images(8, 0))
    calibrate(model, [images(8, 0)])
    return model.eval()


Made = Callable[[Tensor], Any]

torch_onnx: Any = torch.onnx
torch_jit: Any = torch.jit


def by_onnx(model: Net, x: Tensor) -> Made:
    file = io.BytesIO()
    torch_onnx.export(model, (x,), file, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    session = onnxruntime.InferenceSession(file.getvalue())
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def by_jit(model: Net, x: Tensor) -> Made:
    return torch_jit.trace(model, x)


def by_fx(model: Net, x: Tensor) -> Made:
    return fx.symbolic_trace(model)


def by_compile(model: Net, x: Tensor) -> Made:
    return torch.compile(model, backend="eager")


def by_functional_call(model: Net, x: Tensor) -> Made:
    return lambda x: torch.func.functional_call(model, dict(model.named_parameters()), (x,))


class Seen(TorchDispatchMode):
    """Does nothing, but see every operation."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class Called(TorchFunctionMode):
    """Does nothing, but see every function."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@contextmanager
def default_float64() -> Generator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def under(mode: Callable[[], Any]) -> Callable[[Net, Tensor], Made]:
    def make(model: Net, x: Tensor) -> Made:
        def run(x: Tensor) -> Tensor:
            with mode():
                return model(x)

        return run

    return make


FOLLOW: dict[str, Callable[[Net, Tensor], Made]] = {
    "torch.onnx": by_onnx,
    "torch.jit.trace": by_jit,
    "torch.fx": by_fx,
    "torch.compile": by_compile,
    "a dispatch mode": under(Seen),
    "a function mode": under(Called),
    "a flop counter": under(lambda: FlopCounterMode(display=False)),
    "another default device": under(lambda: torch.device("meta")),
    "another default dtype": under(default_float64),
    "functional_call": by_functional_call,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("who", FOLLOW)
def test_what_others_make_computes_the_same(who: str, kind: str) -> None:
    """On other inputs than the traced one, in batches of another size, with and without gradients, evaluated before or not."""
    for grad in (False, True):
        model, twin = network(kind), network(kind)
        with torch.set_grad_enabled(grad):
            if grad:
                model(images(4, 1))
            made = FOLLOW[who](model, images(4, 1))
            for x in (images(4, 2), images(7, 3)):
                wanted = twin(x)
                assert torch.equal(made(x).detach(), wanted), f"gradients {grad}: {int((made(x) != wanted).sum())} values differ"
                assert torch.equal(model(x), wanted)


def _trace_in_training(model: Net, x: Tensor) -> None:
    torch_jit.trace(model.train(), x)


def _batch_norm_in_training(model: Net, x: Tensor) -> None:
    torch_jit.trace(model.bn.train(), torch.rand(4, 4, 3, 3))


def _vmap(model: Net, x: Tensor) -> None:
    def one(x: Tensor) -> Any:
        return model(x[None])

    torch.func.vmap(one)(x)


def _fake(model: Net, x: Tensor) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        model(mode.from_tensor(x))


def _compiled_by_onnx(model: Net, x: Tensor) -> None:
    try:
        torch_onnx.export(model, (x,), io.BytesIO(), dynamo=True)
    except RuntimeError as error:
        assert error.__cause__ is not None
        raise error.__cause__ from None


REFUSED: dict[str, tuple[str, Callable[[Net, Tensor], Any]]] = {
    "torch.jit.script": ("torch.jit.script", lambda model, x: torch_jit.script(model)),
    "a scripted layer": ("torch.jit.script", lambda model, x: torch_jit.script(model.act)),
    "a scripted quantizer": ("torch.jit.script", lambda model, x: torch_jit.script(model.conv.weight_quant)),
    "training": ("torch.jit.trace in training, which loses the gradients of the casts,", _trace_in_training),
    "a layer in training": ("torch.jit.trace in training", _batch_norm_in_training),
    "torch.export": ("torch.export", lambda model, x: torch.export.export(model, (x,))),
    "torch.export, of Python": ("torch.export", lambda model, x: torch.export.export(model, (x,), strict=False)),
    **({"torch.onnx by torch.export": ("torch.export", _compiled_by_onnx)} if find_spec("onnxscript") else {}),  # what it needs
    "make_fx": ("make_fx", lambda model, x: make_fx(model)(x)),
    "make_fx, symbolic": ("make_fx", lambda model, x: make_fx(model, tracing_mode="symbolic")(x)),
    "fake tensors": ("a FakeTensorMode", _fake),
    "vmap": ("a transform of torch.func", _vmap),
    "jacrev": ("a transform of torch.func", lambda model, x: torch.func.jacrev(model)(x.float())),
    "vmap of a layer": ("a transform of torch.func", lambda model, x: torch.func.vmap(model.act)(x.float())),
}


@pytest.mark.parametrize("who", REFUSED)
def test_who_cannot_follow_is_refused(who: str) -> None:
    what, ask = REFUSED[who]
    model = network()
    wanted = model(images(4, 2))
    with pytest.raises(QuantizationError, match=rf"{what}.*cannot follow a quantized network: .* take torch.jit.trace in eval"):
        ask(model, images(4, 1))
    assert torch.equal(model.eval()(images(4, 2)), wanted)


def test_an_own_trace_keeps_layers_whole() -> None:
    """So it trains, and lowers, as the network does."""
    model = network()
    traced = fx.symbolic_trace(model)
    assert [str(node.target) for node in traced.graph.nodes if node.op == "call_module"][:3] == ["input", "conv", "bn"]
    assert str(qnn.Model(traced).lower((3, 6, 6)).values["fc"]) == str(model.lower((3, 6, 6)).values["fc"])


def test_a_layer_by_itself_is_traced() -> None:
    layer = nn.Sequential(qnn.Quantize(QuantSpec(4, frac=1)), qnn.AvgPool2d(2)).eval()
    calibrate(layer, [torch.randn(4, 2, 4, 4)])
    layer.eval()
    made: Any = torch_jit.trace(layer, torch.randn(4, 2, 4, 4))
    x = torch.randn(3, 2, 4, 4)
    assert torch.equal(made(x), layer(x))
