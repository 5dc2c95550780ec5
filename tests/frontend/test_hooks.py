"""What hangs on a layer beside its forward is part of the graph, or refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

import qfx
import qfx.nn as qnn
from qfx.conversion import calibrate
from qfx.errors import ConversionError, LoweringError
from qfx.frontend.hooks import returns_nothing
from qfx.quant import QuantSpec

X = torch.randint(-32, 32, (6, 4), generator=torch.Generator().manual_seed(0)) / 8


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = qnn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


def network() -> Any:
    torch.manual_seed(0)
    model = qnn.Model(nn.Sequential(qnn.Quantize(QuantSpec(6, frac=3)), Block(), qnn.ReLU(), nn.Flatten()))
    calibrate(model, [X])
    return model.eval()


def assert_the_graph_is_the_model(model: Any) -> None:
    graph = model.lower((4,))
    (codes,) = qfx.simulate(graph, (X.numpy() * 8).astype(np.int64)).values()
    with torch.no_grad():
        assert np.array_equal(codes * graph.values[graph.outputs[0]].type.step, model(X).numpy())


seen: list[Tensor] = []


def looks(module: nn.Module, inputs: Any, output: Tensor) -> None:
    if len(seen) > 100:
        return
    seen.append(output)


def doubles(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output * 2


def _before(model: Any, hook: Any) -> Any:
    def changed(module: nn.Module, inputs: tuple[Tensor]) -> Any:
        return hook(module, (), inputs[0])

    return model.module[2].register_forward_pre_hook(changed)


def _global(model: Any, hook: Any) -> Any:
    return torch.nn.modules.module.register_module_forward_hook(hook)


PLACES: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "a layer": (r"1\.fc \(Linear\)", lambda model, hook: model.module[1].fc.register_forward_hook(hook)),
    "before a layer": (
        r"2 \(ReLU\)",
        _before,
    ),
    "a quantizer": (r"2\.quant \(Quantizer\)", lambda model, hook: model.module[2].quant.register_forward_hook(hook)),
    "a module of torch": (r"3 \(Flatten\)", lambda model, hook: model.module[3].register_forward_hook(hook)),
    "the model": (r"the model \(Model\)", lambda model, hook: model.register_forward_hook(hook)),
    "the wrapped network": (r"module \(Sequential\)", lambda model, hook: model.module.register_forward_hook(hook)),
    "all modules": (r"the model \(Model\)", _global),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_hook_that_changes_values_is_refused(place: str) -> None:
    path, put = PLACES[place]
    model = network()
    handle = put(model, doubles)
    try:
        message = (
            rf"{path} has a hook, .* at .*test_hooks.py:\d+, which may change what it computes; remove it \(handle.remove\(\)\)"
        )
        with pytest.raises(LoweringError, match=message):
            model.lower((4,))
        with pytest.raises(LoweringError, match=message):
            qfx.lower(model, (4,))
    finally:
        handle.remove()
    assert_the_graph_is_the_model(model)


def test_a_hook_in_what_is_traced_is_part_of_the_graph() -> None:
    model = network()
    model.module[1].register_forward_hook(doubles)
    assert_the_graph_is_the_model(model)
    assert len(model.lower((4,)).nodes) == len(network().lower((4,)).nodes) + 1


def test_hooks_that_look_stay() -> None:
    model = network()
    for module in model.modules():
        if not isinstance(module, qnn.Model | nn.Sequential | Block):
            module.register_forward_hook(looks)
    assert_the_graph_is_the_model(model)
    assert seen


def test_what_is_known_to_return_nothing() -> None:
    class Looks:
        def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
            seen.append(output)

    def either(module: nn.Module, inputs: Any, output: Tensor) -> Any:
        return seen or None

    looking: list[Any] = [looks, Looks(), functools.partial(looks, nn.ReLU()), Looks().__call__, lambda: None]
    unknown: list[Any] = [doubles, either, print, functools.partial(doubles, nn.ReLU()), lambda: seen.append(X), lambda: 1]
    assert all(map(returns_nothing, looking)) and not any(map(returns_nothing, unknown))


def _doubled(layer: nn.Module) -> nn.Module:
    return parametrize.register_parametrization(layer, "weight", Doubled())


@pytest.mark.parametrize("put", [_doubled, parametrizations.weight_norm])
def test_parametrizations_are_part_of_the_graph(put: Callable[[Any], Any]) -> None:
    model = network()
    put(model.module[1].fc)
    calibrate(model, [X])
    assert_the_graph_is_the_model(model)
    with torch.no_grad():
        for parameter in model.module[1].fc.parametrizations.parameters():
            parameter.mul_(0.7)
    assert_the_graph_is_the_model(model)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
def test_weights_made_by_hooks_are_refused() -> None:
    """Between two forwards they are old."""
    model = network()
    nn.utils.weight_norm(model.module[1].fc)
    with pytest.raises(LoweringError, match=r"1\.fc \(Linear\) has a hook, WeightNorm, .* use torch.nn.utils.parametrizations"):
        model.lower((4,))


def test_a_forward_put_on_a_layer_is_refused() -> None:
    model = network()
    model.module[2].forward = Doubled().forward
    with pytest.raises(LoweringError, match=r"2 \(ReLU\) has a forward of its own, which a graph passes by; derive a layer"):
        model.lower((4,))


def test_hooks_of_a_float_model_are_refused() -> None:
    plain = nn.Sequential(nn.Linear(4, 2))
    plain.register_forward_hook(doubles)
    with pytest.raises(ConversionError, match="Sequential has hooks, which the converted network would not run; remove them first"):
        qfx.convert(plain, X)
