"""Networks and inputs that are none, and those of every dtype that work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import qfx
from qfx.errors import InputError
from qfx.frontend.given import check_finite, check_network, tensor, tensors

X = torch.randn(4, 3)
SCRIPTED = "was scripted or traced by torch.jit, and has no Python code; give the module that it was made of"
VERBS: tuple[Any, ...] = ((qfx.convert, X), (qfx.lower, (3,)), (qfx.calibrate, [X]))
EXPORTED = "was exported by torch.export, which left ATen operators of its layers; give the module that it was made of"


LOADER = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X))


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU())


def made_of_aten() -> list[tuple[Any, str]]:
    program: Any = torch.export.export(net(), (X,))
    return [
        (torch.jit.script(net()), f"the network {SCRIPTED}"),
        (torch.jit.trace(net(), X), f"the network {SCRIPTED}"),
        (nn.Sequential(torch.jit.script(nn.Linear(3, 2))), f"the network's 0 {SCRIPTED}"),
        (program, f"the network {EXPORTED}"),
        (program.module(), f"the network {EXPORTED}"),
        (nn.Sequential(program.module()), f"the network's 0 {EXPORTED}"),
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_code_that_is_gone() -> None:
    for model, message in made_of_aten():
        with pytest.raises(InputError) as caught:
            check_network(model)
        assert str(caught.value) == message
        for verb, rest in VERBS:
            with pytest.raises(InputError, match="give the module that it was made of"):
                verb(model, rest)


def test_a_network_stays_what_it_is() -> None:
    model = qfx.convert(net(), X)
    assert check_network(model) is model


REFUSED: list[tuple[Any, str]] = [
    (X.to(torch.complex64), "x has dtype torch.complex64; real or whole numbers are wanted"),
    (X.to("meta"), "x is on the device meta, which holds no values"),
    (X.to_sparse(), r"x has the layout torch.sparse_coo; give a dense one, as tensor.to_dense()"),
    (np.array(["a"]), "x has dtype <U1; real or whole numbers are wanted"),
    (np.array([None]), "x has dtype object; real or whole numbers are wanted"),
    (np.array(["2020"], "M8[D]"), "x has dtype datetime64[D]; real or whole numbers are wanted"),
    ([1.0], "x is a list; a tensor (batch, ...) is wanted"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_what_holds_no_plain_values(given: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        tensor("x", given)
    assert str(caught.value) == message


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_quantized_tensors() -> None:
    with pytest.raises(InputError, match=r"x has dtype torch\.qint8; give its values, as tensor\.dequantize\(\)"):
        tensor("x", torch.quantize_per_tensor(X, 0.1, 0, torch.qint8))


def test_arrays_of_numpy_become_tensors() -> None:
    values = np.arange(6).reshape(2, 3)
    for array in (values.astype(">i2"), np.asfortranarray(values.astype(np.uint16)), values[::-1][::-1], values.astype("<f4")):
        found = tensor("x", array)
        assert found.tolist() == values.tolist()
    values.setflags(write=False)
    assert tensor("x", values).tolist() == values.tolist()


def test_inputs_by_order_and_by_name() -> None:
    names = ["a", "b"]
    for given in ((X, X[:, :1]), [X, X[:, :1].numpy()], {"b": X[:, :1], "a": X}):
        found = tensors("the sample", given, names)
        assert [part.shape[1] for part in found] == [3, 1]


ANOTHER_KIND: list[tuple[Any, str]] = [
    ([X], "the sample has 1 tensors, but the model reads 2: a, b; one (batch, ...) is wanted for each, and torch.stack"),
    ({"a": X}, "the sample is for a, but the model reads a, b"),
    ({}, "the sample is for no input, but the model reads a, b"),
    (iter([X, X]), "the sample is a list_iterator; a tensor (batch, ...) is wanted, of several inputs one for each;"),
    ("x.npy", "the sample is 'x.npy'; a tensor (batch, ...) is wanted"),
    (LOADER, "the sample is a DataLoader; a tensor (batch, ...) is wanted, of several inputs one for each; of a DataLoader"),
    ([X, None], "the sample of input 'b' is None; a tensor (batch, ...) is wanted"),
]


@pytest.mark.parametrize(("given", "message"), ANOTHER_KIND)
def test_samples_of_another_kind(given: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        tensors("the sample", given, ["a", "b"])
    assert str(caught.value).startswith(message)


def test_values_that_are_not_finite() -> None:
    check_finite("x", torch.tensor([[1, 2]]))
    with pytest.raises(InputError, match=r"x holds 2 of 4 values that are NaN or infinite, the first, inf, at \[0, 1\]"):
        check_finite("x", torch.tensor([[1.0, torch.inf], [torch.nan, 2.0]]))
