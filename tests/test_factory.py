"""The model of a command: a factory with weights, or a file that `qfx.save` wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import qfx
from qfx.cli.factory import load_model
from qfx.errors import InputError
from qfx.quant.stated import KEY
from tests.user_models import narrow, net

FACTORY = "tests.user_models:net"
X = torch.randint(0, 16, (3, 2, 5, 6), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with weights of all kinds, and the current one."""
    monkeypatch.chdir(tmp_path)
    state = net().state_dict()
    torch.save(state, "net.pt")
    torch.save({name: tensor for name, tensor in state.items() if not name.endswith(KEY)}, "old.pt")
    torch.save({name: tensor for name, tensor in state.items() if name in ("1.weight", "4.weight", "4.bias")}, "float.pt")
    torch.save({"epoch": 1, "state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, "wrapped.pt")
    torch.save(narrow().state_dict(), "narrow.pt")
    torch.save([1], "list.pt")
    qfx.save(narrow(), "narrow.qfx")
    qfx.save(net(), "net.qfx")
    return tmp_path


@pytest.mark.parametrize(("spec", "weights"), [(FACTORY, "net.pt"), (FACTORY, "net.qfx"), ("net.qfx", None)])
def test_what_a_model_may_come_from(home: Path, spec: str, weights: str | None) -> None:
    found = load_model(spec, weights)
    assert not found.training and torch.equal(found(X), net().eval()(X))


def test_an_old_state_dict_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_model(FACTORY, "old.pt")
    assert "note: old.pt has binary points but no formats, as QFX wrote it before" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("spec", "weights", "message"),
    [
        (FACTORY, "narrow.pt", r"1\.weight_quant: narrow\.pt has 4 bits signed, AP_RND, AP_SAT; the network has 5 bits signed"),
        (FACTORY, "narrow.qfx", r"1\.weight_quant: the file has 4 bits signed, AP_RND, AP_SAT; the model has 5 bits signed"),
        (FACTORY, "float.pt", r"float\.pt has the weights of a float model and no binary points; load it into the float model"),
        (FACTORY, "wrapped.pt", r"wrapped\.pt is a checkpoint, whose state dict lies under 'state_dict', with 'module\.' before"),
        (FACTORY, "list.pt", r"list\.pt holds a list; save model\.state_dict\(\)"),
        (FACTORY, "none.pt", r"there is no file none\.pt"),
        (FACTORY, None, ":net makes a model, but its weights are missing; give --weights FILE, or a file of qfx.save for both"),
        (
            "net.qfx",
            "net.pt",
            r"net\.qfx is a file, and a saved network has its weights; leave out --weights, or give module:factory",
        ),
        ("net.pt", None, r"net\.pt holds a state dict, which does not say how its network is made; make one, and load into it"),
        (
            "none.qfx",
            None,
            r"there is no file none\.qfx; give a network that qfx\.save wrote, or module:factory and --weights FILE",
        ),
        ("none.qfx", "net.pt", r"'none\.qfx' does not name a model; write module:factory, such as models:make_net"),
    ],
)
def test_what_it_may_not(home: Path, spec: str, weights: str | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_model(spec, weights)
