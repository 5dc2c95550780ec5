"""Formats in the state dicts of quantizers and layers: all that decides a value, whichever way a state dict is kept."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import io
import itertools
import re
import warnings
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from qfx import nn as qnn
from qfx.errors import StateError
from qfx.fixed import FixedType, Overflow, Rounding
from qfx.quant import Quantizer, QuantSpec
from qfx.quant.stated import KEY, OVERFLOWS, ROUNDINGS, spec_codes, spec_of, spec_text

State = dict[str, Any]


def network(spec: QuantSpec, input: int = 8, reciprocal: int = 8, accumulator: QuantSpec | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        qnn.QuantInput(type=FixedType(False, input, input)),
        qnn.Conv2d(2, 3, 3, weight=spec, accumulator=accumulator),
        qnn.AvgPool2d(3, output=QuantSpec(8, frac=4), reciprocal_width=reciprocal),
        nn.Flatten(),
        qnn.Linear(3, 2, weight=spec),
    )


BASE = QuantSpec(8, frac=3, k_hot=2, max_exponent=3)
OTHERS: dict[str, Callable[[], nn.Module]] = {
    "width": lambda: network(dataclasses.replace(BASE, width=9)),
    "sign": lambda: network(dataclasses.replace(BASE, signed=False)),
    "digits": lambda: network(dataclasses.replace(BASE, k_hot=3)),
    "all codes": lambda: network(QuantSpec(8, frac=3)),
    "exponent": lambda: network(dataclasses.replace(BASE, max_exponent=4)),
    "no exponent": lambda: network(dataclasses.replace(BASE, max_exponent=None)),
    "rounding": lambda: network(dataclasses.replace(BASE, rounding=Rounding.TRN)),
    "input": lambda: network(BASE, input=7),
    "reciprocal": lambda: network(BASE, reciprocal=9),
    "accumulator": lambda: network(BASE, accumulator=QuantSpec(8, frac=3)),
}


PLACES = {"input": "0", "reciprocal": "2", "accumulator": "1.acc"}
"""Where the others differ, if not in the weights of the convolution."""


@pytest.mark.parametrize("what", OTHERS)
def test_whatever_decides_a_value_is_compared(what: str) -> None:
    """Both ways, however strict; the binary points stay."""
    pairs = (OTHERS[what](), network(BASE)), (network(BASE), OTHERS[what]())
    for (saved, own), strict in itertools.product(pairs, (True, False)):
        with torch.no_grad():
            saved.get_parameter("1.weight_quant.frac").add_(1)
        place = re.escape(PLACES.get(what, "1.weight_quant"))
        with pytest.raises(RuntimeError, match=rf"\t{place}: the state dict has .*; the network has "):
            own.load_state_dict(saved.state_dict(), strict)
        assert what in PLACES or int(own.get_parameter("1.weight_quant.frac")) == 3


GIVEN: State = {
    "in_channels": 2,
    "out_channels": 3,
    "kernel_size": 3,
    "in_features": 3,
    "out_features": 2,
    "num_features": 3,
    "mean": [0.5],
    "std": [0.5],
    "function": torch.sin,
    "output": QuantSpec(8),
    "bias": QuantSpec(8),
}
"""Values of arguments, by name, where a layer has them."""
FORMATS = [
    (name, parameter)
    for name in qnn.__all__
    if isinstance(kind := getattr(qnn, name), type) and issubclass(kind, qnn.Layer) and kind is not qnn.Layer
    for parameter, described in inspect.signature(kind).parameters.items()
    if re.search(r"QuantSpec|FixedType", str(described.annotation)) or parameter.endswith("_width")
]
"""Every layer, with each of its arguments for formats."""


@pytest.mark.parametrize(("name", "parameter"), FORMATS)
def test_every_argument_for_a_format_is_in_the_state_dict(name: str, parameter: str) -> None:
    """A new layer, or a new argument, may not forget it."""
    kind = getattr(qnn, name)
    given = {key: value for key, value in GIVEN.items() if key in inspect.signature(kind).parameters}
    other = FixedType(False, 5, 3) if parameter == "type" else 5 if parameter.endswith("_width") else QuantSpec(5)
    states = [kind(**values).state_dict() for values in (given, {**given, parameter: other})]
    with pytest.raises(RuntimeError, match=r"\t.*: the state dict has .*; the network has "):
        kind(**given).load_state_dict(states[1], strict=False)
    kind(**given).load_state_dict(states[0])


def test_every_difference_is_in_the_one_error() -> None:
    with pytest.raises(RuntimeError) as raised:
        network(QuantSpec(4, frac=3), 7, 9).load_state_dict(network(BASE).state_dict())
    assert str(raised.value) == (
        "Error(s) in loading state_dict for Sequential:\n"
        "\t0: the state dict has raw integers of ap_ufixed<8, 0>; the network has raw integers of ap_ufixed<7, 0>\n"
        "\t1.weight_quant: the state dict has 8 bits signed, 2-hot up to 2**3, AP_RND, AP_SAT; "
        "the network has 4 bits signed, AP_RND, AP_SAT\n"
        "\t2: the state dict has reciprocals of 8 bits; the network has reciprocals of 9 bits\n"
        "\t4.weight_quant: the state dict has 8 bits signed, 2-hot up to 2**3, AP_RND, AP_SAT; "
        "the network has 4 bits signed, AP_RND, AP_SAT"
    )


def test_codes_are_amd_s_numbers_and_come_back() -> None:
    for number, rounding in enumerate(ROUNDINGS):
        assert spec_codes(QuantSpec(5, rounding=rounding)) == [5, 1, 0, -1, -1, number, 0]
    for number, overflow in enumerate(OVERFLOWS):
        assert spec_codes(QuantSpec(5, overflow=overflow)) == [5, 1, 0, -1, -1, 0, number]
    assert set(ROUNDINGS) == set(Rounding) and set(OVERFLOWS) == set(Overflow)
    full = QuantSpec(6, False, per_channel=True, k_hot=2, max_exponent=4, rounding=Rounding.TRN_ZERO)
    assert spec_codes(full) == [6, 0, 2, 4, 0, 6, 0] and spec_of(spec_codes(full)) == full
    assert spec_of(spec_codes(dataclasses.replace(full, frac=3, learn=False, scale_gradient=True))) == full


def halved(state: State) -> State:
    return {name: tensor.half() for name, tensor in state.items()}


def written(state: State) -> State:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def averaged(state: State) -> State:
    return {name: tensor.lerp(tensor + 0.5, 0.1) if tensor.is_floating_point() else tensor for name, tensor in state.items()}


@pytest.mark.parametrize("way", [dict, copy.deepcopy, halved, written, averaged])
def test_the_ways_of_keeping_a_state_dict(way: Callable[[State], State]) -> None:
    state = way(network(BASE).state_dict())
    network(BASE).load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"4\.weight_quant: the state dict has 8 bits signed"):
        network(QuantSpec(4, frac=3)).load_state_dict(state)


def test_copies_and_averages_of_networks_keep_the_format() -> None:
    model = network(BASE)
    mean = cast(Any, get_ema_multi_avg_fn(0.9))
    average = AveragedModel(model, multi_avg_fn=mean, use_buffers=True)
    for _ in range(3):
        average.update_parameters(model)
    for other in (copy.deepcopy(model), copy.deepcopy(model).double(), copy.deepcopy(model).half(), average.module):
        model.load_state_dict(other.state_dict())
        found, wanted = other.state_dict(), model.state_dict()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted if name.endswith(KEY))
    assert torch.func.functional_call(model, model.state_dict(), torch.zeros(1, 2, 5, 5)).shape == (1, 2)
    assert KEY not in dict(model[1].named_buffers())


def old(state: State) -> State:
    """As QFX wrote it before formats were part of it."""
    return {name: tensor for name, tensor in state.items() if not name.endswith(KEY)}


def test_an_old_state_dict_is_loaded_with_one_warning() -> None:
    saved, found = network(BASE), network(QuantSpec(8, frac=5))
    with torch.no_grad():
        saved[1].weight.add_(1)  # type: ignore[union-attr]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found.load_state_dict(old(saved.state_dict()))
    assert [str(warning.message) for warning in caught] == [
        "the state dict has binary points but no formats, as QFX wrote it before formats were part of it. It is loaded, but whether"
        " its widths, digits and roundings are those of the network cannot be told; check the results, and save it again"
    ]
    assert torch.equal(found[1].weight, saved[1].weight)  # type: ignore[union-attr, arg-type]
    with pytest.warns(UserWarning, match="has binary points but no formats"):
        found.load_state_dict(old(saved.state_dict()))


def test_float_weights_and_single_layers_load_as_in_torch() -> None:
    model = network(BASE)
    plain = nn.Sequential(nn.Identity(), nn.Conv2d(2, 3, 3), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(3, 2))
    found: Any = model.load_state_dict(plain.state_dict(), strict=False)
    assert "1.weight_quant.frac" in found.missing_keys and not [key for key in found.missing_keys if key.endswith(KEY)]
    assert torch.equal(model[1].weight, plain[1].weight)  # type: ignore[union-attr, arg-type]
    assert not plain.load_state_dict(model.state_dict(), strict=False)[0]
    qnn.Linear(3, 2, weight=BASE).load_state_dict(model[4].state_dict())
    with pytest.raises(RuntimeError, match="weight_quant: the state dict has 8 bits signed, 2-hot"):
        qnn.Linear(3, 2, weight=QuantSpec(8)).load_state_dict(model[4].state_dict(), strict=False)
    part = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("1.")}
    assert "4.weight" in network(BASE).load_state_dict(part, strict=False).missing_keys


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (torch.tensor([2, 8, 1]), "a format of version 2, of which this QFX reads 1"),
        (torch.tensor([1, 8, 1]), "[8, 1], which is no format of a Quantizer"),
        (torch.tensor([1, 99, 1, 0, -1, -1, 0, 0]), "[99, 1, 0, -1, -1, 0, 0], which is no format of a Quantizer"),
        (torch.tensor([1, 8, 2, 0, -1, -1, 0, 0]), "[8, 2, 0, -1, -1, 0, 0], which is no format of a Quantizer"),
        (torch.tensor([1, 8, 1, 0, -1, -1, 7, 0]), "[8, 1, 0, -1, -1, 7, 0], which is no format of a Quantizer"),
        (torch.tensor([1, 8, 1, 0, -1, -1, -1, 0]), "[8, 1, 0, -1, -1, -1, 0], which is no format of a Quantizer"),
        (torch.tensor([1.5]), "tensor([1.5000]), which is no format"),
        (torch.tensor(1), "tensor(1), which is no format"),
        (torch.empty(0), "tensor([]), which is no format"),
        ("8 bits", "'8 bits', which is no format"),
    ],
)
def test_what_is_no_format(state: Tensor, text: str) -> None:
    quantizer = Quantizer(QuantSpec(8))
    with pytest.raises(StateError) as raised:
        quantizer.set_extra_state(state)
    assert str(raised.value) == f"Quantizer: the state dict has {text}; the network has 8 bits signed, AP_RND, AP_SAT"
    with pytest.raises(RuntimeError, match=r"which is no format|of which this QFX reads 1"):
        quantizer.load_state_dict({**quantizer.state_dict(), KEY: state})


def test_the_format_of_another_kind_of_layer() -> None:
    pool, act = qnn.AvgPool2d(2, output=None), qnn.ReLU(output=None)
    with pytest.raises(StateError, match=r"the state dict has \[8\], which is no format of a ReLU; the network has no format"):
        act.set_extra_state(pool.get_extra_state())
    with pytest.raises(StateError, match=r"AvgPool2d: the state dict has \[\], which is no format of a AvgPool2d"):
        pool.set_extra_state(act.get_extra_state())


def test_every_part_of_a_format_counts() -> None:
    spec = QuantSpec(8, k_hot=2, max_exponent=3)
    others: list[dict[str, Any]] = [{"width": 7}, {"signed": False}, {"k_hot": 3}, {"max_exponent": 2}, {"per_channel": True}]
    others += [{"rounding": Rounding.TRN}]
    made = [dataclasses.replace(spec, **change) for change in others]
    assert len({*map(spec_text, made), spec_text(spec)}) == len({*map(str, map(spec_codes, made)), str(spec_codes(spec))}) == 7
    wrapping = QuantSpec(8, overflow=Overflow.WRAP)
    assert spec_text(wrapping) != spec_text(QuantSpec(8)) and spec_codes(wrapping) != spec_codes(QuantSpec(8))
    assert spec_text(spec) == "8 bits signed, 2-hot up to 2**3, AP_RND, AP_SAT"
    free = dataclasses.replace(spec, frac=3, learn=False, scale_gradient=True)
    assert spec_text(free) == spec_text(spec)
