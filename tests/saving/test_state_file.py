"""`qfx.load` of a state dict into a network: files of torch.save and of safetensors, whole, damaged, and of something else."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import torch as safetensors
from torch import Tensor, nn

import qfx
from qfx import nn as qnn
from qfx.errors import InputError, StateError
from qfx.fixed import FixedType
from qfx.quant import QuantSpec
from qfx.quant.stated import KEY

State = dict[str, Any]
Writer = Callable[[Any, Path], None]


def network(bits: int = 8, weight: float = 0.25) -> nn.Sequential:
    spec = QuantSpec(bits, frac=3)
    made = nn.Sequential(qnn.QuantInput(type=FixedType(False, 8, 8)), qnn.Linear(3, 2, weight=spec, bias=spec))
    with torch.no_grad():
        made.get_parameter("1.weight").fill_(weight)
        made.get_parameter("1.bias").fill_(weight)
    return made.eval()


def pickled(state: Any, file: Path) -> None:
    torch.save(state, file)


def legacy(state: Any, file: Path) -> None:
    torch.save(state, file, _use_new_zipfile_serialization=False)


def safe(state: Any, file: Path) -> None:
    file.write_bytes(safetensors.save(state))


WRITERS: tuple[Writer, ...] = (pickled, legacy, safe)
X = torch.randint(0, 256, (4, 3), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("write", WRITERS)
def test_a_state_dict_in_a_network(write: Writer, tmp_path: Path) -> None:
    saved, found = network(weight=0.5), network().train()
    write(saved.state_dict(), tmp_path / "state")
    assert qfx.load(str(tmp_path / "state"), found) is found and found.training
    assert torch.equal(found.eval()(X), saved(X)) and not torch.equal(network()(X), saved(X))


@pytest.mark.parametrize("write", WRITERS)
def test_other_formats(write: Writer, tmp_path: Path) -> None:
    write(network(4, 0.5).state_dict(), tmp_path / "state")
    found = network()
    with pytest.raises(StateError) as raised:
        qfx.load(tmp_path / "state", found)
    assert str(raised.value) == (
        f"{tmp_path}/state does not fit Sequential:\n"
        f"  1.weight_quant: {tmp_path}/state has 4 bits signed, AP_RND, AP_SAT; the network has 8 bits signed, AP_RND, AP_SAT\n"
        f"  1.bias_quant: {tmp_path}/state has 4 bits signed, AP_RND, AP_SAT; the network has 8 bits signed, AP_RND, AP_SAT\n"
        "  make the network with the formats that were saved (constants, weights in the configuration of a conversion);"
        " qfx.save keeps them, and qfx.load makes the network"
    )
    assert torch.equal(found.get_parameter("1.weight"), network().get_parameter("1.weight"))


def test_an_old_one(tmp_path: Path) -> None:
    state = network(weight=0.5).state_dict()
    torch.save({name: tensor for name, tensor in state.items() if not name.endswith(KEY)}, tmp_path / "old")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = qfx.load(tmp_path / "old", network())
    assert [warning.filename for warning in caught] == [__file__]
    assert str(caught[0].message).startswith(f"{tmp_path}/old has binary points but no formats, as QFX wrote it before formats")
    assert torch.equal(found(X), network(weight=0.5)(X))


def test_without_a_network(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "state")
    with pytest.raises(InputError, match="state holds a state dict, which does not say how its network is made; make one, and"):
        qfx.load(tmp_path / "state")


def test_a_saved_network_with_other_names(tmp_path: Path) -> None:
    saved = network()
    qfx.save(saved, tmp_path / "network")
    with pytest.raises(StateError, match=r"network has no 'module\.' before its names, as the network has; load it into netw"):
        qfx.load(tmp_path / "network", qnn.Model(network()))
    with pytest.raises(
        StateError, match=r"network does not fit the model:\n(.*\n)*  1\.bias_quant\.calibrated is a tensor of the file"
    ):
        qfx.load(tmp_path / "network", nn.Sequential(nn.Identity(), nn.Linear(3, 2)))


def test_what_torch_says_where_hooks_rename(tmp_path: Path) -> None:
    """Names are torch's to judge then, since a hook may change them."""
    state = network().state_dict()
    del state["1.bias"]
    torch.save(state, tmp_path / "state")
    found = network()

    def nothing(*_: Any) -> None:
        pass

    found.register_load_state_dict_pre_hook(nothing)
    with pytest.raises(
        StateError, match=r'state does not fit Sequential: Error\(s\) in .*\n\tMissing key\(s\) in state_dict: "1.bias"'
    ):
        qfx.load(tmp_path / "state", found)


class Stranger:
    """Nothing that weights_only reads."""


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ([1], "state holds a list; save model"),
        ({}, "state is empty; save model"),
        ({1: torch.zeros(1)}, "state has 1 among its keys, which is no name of a tensor; save model"),
        (
            {"state_dict": network().state_dict()},
            r"state is a checkpoint, whose state dict lies under 'state_dict'; load checkpoint\[",
        ),
        (
            nn.Sequential(nn.Identity(), nn.Linear(3, 2)).state_dict(),
            "state has the weights of a float model and no binary points; load",
        ),
        (Stranger(), "state is no state dict that torch.load reads with weights_only=True: it holds more than tensors"),
        (torch.zeros(2), "state holds a Tensor; save model"),
    ],
    ids=range(7),
)
def test_something_else(held: Any, message: str, tmp_path: Path) -> None:
    pickled(held, tmp_path / "state")
    with pytest.raises(InputError, match=message):
        qfx.load(tmp_path / "state", network())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("write", WRITERS)
def test_damaged_files_are_errors_or_what_they_were(write: Writer, tmp_path: Path) -> None:
    write(network().state_dict(), tmp_path / "state")
    content, picked = (tmp_path / "state").read_bytes(), random.Random(0)
    for number in range(150):
        place = picked.randrange(len(content))
        changed = content[:place] + (b"" if number % 2 else bytes([picked.randrange(256)]) + content[place + 1 :])
        (tmp_path / "damaged").write_bytes(changed)
        try:
            found: Tensor = qfx.load(tmp_path / "damaged", network())(X)
            assert found.shape == (4, 2)
        except (InputError, qfx.errors.QuantizationError):  # a binary point may have become no number
            pass
