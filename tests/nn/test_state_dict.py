"""Loading a state dict: formats are compared, what is something else is named in a line, and nothing is half done."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import qfx
from qfx import nn as qnn
from qfx.errors import StateError
from qfx.nn.state_dict import fitted
from qfx.quant.stated import KEY

State = dict[str, Any]


class Net(nn.Module):
    """With weights that are neither first nor last, a residual sum and a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body, self.norm = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2)
        self.act, self.pool, self.head = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.stem(x))
        x = self.act(self.norm(self.body(x)) + x)
        return self.head(torch.flatten(self.pool(x), 1))


IMAGES = torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(0))


def made(bits: int, **others: Any) -> qfx.Converted:
    torch.manual_seed(0)
    return qfx.convert(Net(), IMAGES, qfx.ConvertConfig.bits(bits, **others))


@pytest.fixture(scope="module")
def eight() -> qfx.Converted:
    return made(8)


def tensors(network: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in (*network.named_parameters(), *network.named_buffers())}


def moved(network: nn.Module) -> State:
    """A state dict of other weights."""
    return {name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("strict", [True, False])
def test_other_formats_are_refused_all_at_once_and_nothing_is_loaded(eight: qfx.Converted, strict: bool) -> None:
    network = made(4)
    before = tensors(network)
    with pytest.raises(StateError) as raised:
        network.load_state_dict(moved(eight), strict)
    lines = str(raised.value).splitlines()
    assert lines[0] == "the state dict does not fit Net:"
    assert (
        "  body.weight_quant: the state dict has 8 bits signed, AP_RND, AP_SAT; the network has 4 bits signed, AP_RND, AP_SAT"
        in lines
    )
    wanted = {
        path
        for (path, mine), theirs in zip(qfx.quant.quantizers(network).items(), qfx.quant.quantizers(eight).values(), strict=True)
        if mine.spec.width != theirs.spec.width
    }
    assert {line.partition(":")[0].strip() for line in lines[1:-1]} == wanted and len(wanted) >= 4
    assert lines[-1] == (
        "  make the network with the formats that were saved (activations, pre_add, weights in the configuration of a conversion);"
        " qfx.save keeps them, and qfx.load makes the network"
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors(network).items())
    assert isinstance(raised.value, RuntimeError | ValueError)


def test_the_sign_of_an_input_that_the_sample_decided(eight: qfx.Converted) -> None:
    other = qfx.convert(Net(), IMAGES - 0.5)
    with pytest.raises(
        StateError, match=r"input\.quant: the state dict has 8 bits unsigned, AP_RND, AP_SAT; the network has 8 bits"
    ):
        other.load_state_dict(eight.state_dict())


def test_the_same_formats_give_the_same_bits(eight: qfx.Converted) -> None:
    network = made(8)
    network.load_state_dict(moved(network))
    assert not torch.equal(network(IMAGES), eight(IMAGES))
    network.load_state_dict(eight.state_dict())
    assert torch.equal(network(IMAGES), eight(IMAGES))


def test_an_old_state_dict(eight: qfx.Converted) -> None:
    network = made(8)
    old = OrderedDict((name, tensor) for name, tensor in moved(eight).items() if not name.endswith(KEY))
    old._metadata = eight.state_dict()._metadata  # type: ignore[attr-defined]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert str(network.load_state_dict(old)) == "<All keys matched successfully>"
    assert len(caught) == 1 and caught[0].filename == __file__
    assert str(caught[0].message).startswith("the state dict has binary points but no formats, as QFX wrote it before")
    assert torch.equal(network.get_parameter("stem.weight"), eight.get_parameter("stem.weight") + 1)
    state, note = fitted(network, old, source="old.pt")
    assert note.startswith("old.pt has binary points") and set(state) == set(network.state_dict()) and hasattr(state, "_metadata")


def behind(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


WRONG: dict[str, tuple[Callable[[State], Any], str]] = {
    "DDP": (
        behind("module."),
        "has 'module.' before its names, as DistributedDataParallel has them; load"
        " {name.removeprefix('module.'): tensor for name, tensor in state_dict.items()}",
    ),
    "torch.compile": (
        behind("_orig_mod."),
        "has '_orig_mod.' before its names, as torch.compile has them; load"
        " {name.removeprefix('_orig_mod.'): tensor for name, tensor in state_dict.items()}",
    ),
    "two of them": (
        behind("module._orig_mod."),
        "has 'module._orig_mod.' before its names; load"
        " {name.removeprefix('module._orig_mod.'): tensor for name, tensor in state_dict.items()}",
    ),
    "checkpoint": (
        lambda state: {"epoch": 3, "optimizer": {"state": {}}, "model": state},
        "is a checkpoint, whose state dict lies under 'model'; load checkpoint['model']",
    ),
    "Lightning": (
        lambda state: {"epoch": 3, "state_dict": {"loss.weight": torch.ones(3), **behind("model.")(state)}},
        "is a checkpoint, whose state dict lies under 'state_dict', with 'model.' before its names; load"
        " {name.removeprefix('model.'): tensor for name, tensor in checkpoint['state_dict'].items()}",
    ),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("kind", ["own", "float"])
def test_what_a_state_dict_is_wrapped_in(eight: qfx.Converted, what: str, strict: bool, kind: str) -> None:
    """Without strict torch would load nothing of it, and say that all went well."""
    change, message = WRONG[what]
    with pytest.raises(StateError) as raised:
        eight.load_state_dict(change(eight.state_dict() if kind == "own" else Net().state_dict()), strict)
    assert str(raised.value) == f"the state dict {message}"


def test_the_advice_works(eight: qfx.Converted) -> None:
    network, state_dict = made(8), behind("module.")(eight.state_dict())
    network.load_state_dict({name.removeprefix("module."): tensor for name, tensor in state_dict.items()})


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            Net().state_dict(),
            "the state dict has the weights of a float model and no binary points; load it into the float model, and",
        ),
        ({}, r"the state dict is empty; save model\.state_dict\(\)"),
        ({1: torch.ones(1)}, r"the state dict has 1 among its keys, which is no name of a tensor; save model\.state_dict\(\)"),
        ([torch.ones(1)], r"the state dict holds a list; save model\.state_dict\(\)"),
    ],
)
def test_what_is_no_state_dict_of_a_network(eight: qfx.Converted, state: Any, message: str) -> None:
    with pytest.raises(StateError, match=message):
        eight.load_state_dict(state)


def test_float_weights_alone_are_taken_where_that_is_asked_for(eight: qfx.Converted) -> None:
    network, plain = made(8), Net()
    assert "stem.weight_quant.frac" in network.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert torch.equal(network.get_parameter("stem.weight"), plain.stem.weight)


def test_a_network_in_a_wrapper(eight: qfx.Converted) -> None:
    wrapper = qnn.Model(eight)
    with pytest.raises(StateError, match=r"has no 'module\.' before its names, as the network has; load it into network\.module"):
        wrapper.load_state_dict(eight.state_dict())
    with pytest.raises(StateError, match=r"has 'module\.' before its names, as DistributedDataParallel has them; load"):
        eight.load_state_dict(wrapper.state_dict())


def test_a_float_model_for_the_state_dict_of_a_network(eight: qfx.Converted) -> None:
    with pytest.raises(
        StateError, match="is that of a network with formats, and the model has none; make the network that was trained"
    ):
        fitted(Net(), eight.state_dict())


def test_names_and_sizes_that_differ(eight: qfx.Converted) -> None:
    state: State = {name: tensor for name, tensor in eight.state_dict().items() if not name.startswith("norm.")}
    with pytest.raises(StateError) as raised:
        others = {"head.weight": torch.zeros(4, 2), "body.weight": torch.zeros(4), "stem.weight": torch.zeros(5)}
        eight.load_state_dict({**state, **others, "spare": torch.zeros(1)})
    lines = str(raised.value).splitlines()
    assert lines[1:] == [
        "  stem.weight: the state dict has [5]; the network has [2, 1, 3, 3]",
        "  body.weight: the state dict has [4]; the network has [2, 2, 3, 3]",
        "  head.weight: the state dict has [4, 2]; the network has [3, 2]",
        "  it lacks norm.bias, norm.num_batches_tracked, norm.offset_quant.calibrated, norm.offset_quant.frac,"
        " norm.offset_quant.frozen, norm.running_mean and 5 more",
        "  it alone has spare",
    ]
    eight.load_state_dict(state, strict=False)
    scalar = {"head.weight_quant.frac": eight.state_dict()["head.weight_quant.frac"].reshape(1)}
    eight.load_state_dict({**eight.state_dict(), **scalar})  # as torch takes it


def test_hooks_that_rename_come_first(eight: qfx.Converted) -> None:
    network = made(8)

    def rename(_: nn.Module, state: State, prefix: str, *__: Any) -> None:
        state["head.weight"] = state.pop("classifier.weight")

    network.register_load_state_dict_pre_hook(rename)
    state = moved(eight)
    state["classifier.weight"] = state.pop("head.weight")
    network.load_state_dict(state)
    assert torch.equal(network.get_parameter("head.weight"), eight.get_parameter("head.weight") + 1)
