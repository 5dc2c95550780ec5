"""Watching a network in training: the numbers, when they are measured, and where they go."""

from __future__ import annotations

import csv
import importlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from qfx import nn as qnn
from qfx.conversion import calibrate
from qfx.errors import QuantizationError, ToolMissingError
from qfx.fixed import FixedType
from qfx.nn._evaluation import observing
from qfx.quant import Quantizer, QuantSpec, quantizers, set_enabled
from qfx.training.watch import CsvWriter, JsonLinesWriter, Row, TensorBoardWriter, Watcher

X = torch.tensor([[0.0, 0.1, 0.2, 0.6], [1.0, 2.0, 3.0, -9.0]])


def known() -> nn.Sequential:
    """A cast to signed 3 bits of 2**-1 (-2..1.5), and a linear layer with 4-bit weights of 2**-2."""
    model = nn.Sequential(
        qnn.Quantize(QuantSpec(3, frac=1)), qnn.Linear(4, 2, bias=False, weight=QuantSpec(4, frac=2, per_channel=True))
    )
    with torch.no_grad():
        model.get_parameter("1.weight").copy_(torch.tensor([[0.25, 0.75, -1.25, 0.1], [5.0, 0.0, 1.75, -2.0]]))
    return model


def by_path(rows: list[Row]) -> dict[str, Row]:
    return {row.path: row for row in rows}


def test_rates_and_digits() -> None:
    model = known()
    watcher = Watcher(model)
    with watcher.measuring():
        model(X)
    rows = by_path(watcher.rows())
    cast, weight = rows["0.quant"], rows["1.weight_quant"]
    assert (cast.signed, cast.width, cast.frac, cast.learned, cast.frozen, cast.digits) == (True, 3, 1, 1.0, False, None)
    assert cast.saturated == 3 / 8  # 2, 3 and -9
    assert cast.underflowed == 2 / 8  # 0.1 and 0.2; zero is no loss
    assert weight.saturated == 1 / 8 and weight.underflowed == 1 / 8  # 5.0; 0.1
    assert weight.digits == sum((1, 2, 2, 0, 2, 0, 2, 1)) / 8  # codes 1, 3, -5, 0, 7, 0, 7, -8


def test_two_passes_are_added_and_rows_start_anew() -> None:
    model = known()
    watcher = Watcher(model)
    with watcher.measuring():
        model(X)
        model(torch.full((1, 4), 100.0))
    assert by_path(watcher.rows())["0.quant"].saturated == 7 / 12
    model(X)
    assert by_path(watcher.rows())["0.quant"].saturated is None


def test_k_hot_digits_and_slopes() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(qnn.Quantize(QuantSpec(8, frac=4)), qnn.PReLU(3, slope=QuantSpec(8, k_hot=1)))
    calibrate(model, [torch.randn(4, 3)])
    watcher = Watcher(model)
    with watcher.measuring():
        model(torch.randn(4, 3))
    assert by_path(watcher.rows())["1.slope_quant"].digits == 1.0


class Named(qnn.Linear):
    """A constant and an activation whose quantizers have other names than those of the library."""

    def __init__(self) -> None:
        super().__init__(4, 2, bias=False)
        self.factor, self.out_quant = Quantizer(QuantSpec(4, frac=1), 2), Quantizer(QuantSpec(8, frac=0))

    def forward(self, x: Tensor) -> Tensor:
        return self.out_quant(x @ self.weight_quant(self.weight).T * self.factor(torch.tensor([0.5, 1.5])))


def test_a_quantizer_knows_whether_it_casts_a_constant() -> None:
    model = Named()
    calibrate(model, [X])
    watcher = Watcher(model)
    with watcher.measuring():
        model(X)
    rows = by_path(watcher.rows())
    assert rows["factor"].digits == (1 + 2) / 2  # codes 1 and 3
    assert rows["out_quant"].digits is None and rows["out_quant"].saturated is not None


def test_flips_are_counted_at_every_step() -> None:
    model = known()
    watcher = Watcher(model)
    weight = quantizers(model)["1.weight_quant"]
    for fracs in ((2.4, 2.4), (2.6, 2.4), (2.7, 1.4), (2.4, 1.4)):  # 2 2, 3 2, 3 1, 2 1
        with torch.no_grad():
            weight.frac.copy_(torch.tensor(fracs))
        watcher.step()
    rows = by_path(watcher.rows())
    assert (rows["1.weight_quant"].flips, rows["0.quant"].flips, watcher.steps) == (3, 0, 4)
    assert (rows["1.weight_quant"].frac, rows["1.weight_quant"].coarsest) == (2, 1)
    assert rows["1.weight_quant"].learned == pytest.approx(1.9)


class Operations(TorchDispatchMode):
    """The names of all that torch computes."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.__name__)
        return func(*args, **(kwargs or {}))


def test_a_step_takes_no_number_out_of_a_tensor() -> None:
    """On an accelerator that would wait for it. Asking for rows does."""
    watcher = Watcher(known())
    with Operations() as step:
        watcher.step()
    with Operations() as rows:
        watcher.rows()
    assert "_local_scalar_dense.default" in rows.names
    assert step.names and not {name for name in step.names if name.startswith(("_local_scalar", "nonzero", "is_nonzero"))}


class Kept:
    """A writer that keeps the rows."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.closed = False

    def write(self, rows: Sequence[Row]) -> None:
        self.rows += rows

    def close(self) -> None:
        self.closed = True


def test_every_third_step_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    model, kept = known(), Kept()
    watcher = Watcher(model, every=3, writers=[kept])
    hooked: list[int] = []
    register = Quantizer.register_forward_hook

    def counted(self: Quantizer, *args: object) -> object:
        hooked.append(watcher.steps)
        return register(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Quantizer, "register_forward_hook", counted)
    for step in range(7):
        model(X if step == 2 else torch.zeros(1, 4))
        watcher.step()
    assert set(hooked) == {2, 5}  # the third and the sixth forward
    assert [(row.step, row.saturated) for row in kept.rows if row.path == "0.quant"] == [(3, 3 / 8), (6, 0.0)]
    watcher.close()
    model(X)
    watcher.step()
    assert kept.closed and set(hooked) == {2, 5}


def test_measuring_changes_nothing() -> None:
    model = known()
    before: Tensor = model(X)
    watcher = Watcher(model)
    with watcher.measuring():
        during: Tensor = model(X)
        during.sum().backward()
    gradient = model.get_parameter("1.weight").grad
    model.zero_grad()
    before.sum().backward()
    assert torch.equal(before, during) and gradient is not None
    assert torch.equal(gradient, model.get_parameter("1.weight").grad)  # type: ignore[arg-type]


def test_files(tmp_path: Path) -> None:
    model = known()
    writers = [CsvWriter(tmp_path / "watch.csv"), JsonLinesWriter(tmp_path / "watch.jsonl")]
    watcher = Watcher(model, every=1, writers=writers)
    for _ in range(2):
        model(X)
        watcher.step()
    watcher.close()
    with (tmp_path / "watch.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    objects = [json.loads(line) for line in (tmp_path / "watch.jsonl").read_text().splitlines()]
    assert [(line["step"], line["path"], line["saturated"], line["digits"]) for line in lines[:2]] == [
        ("1", "0.quant", "0.375", ""),
        ("1", "1.weight_quant", "0.125", "1.25"),
    ]
    assert [row["step"] for row in objects] == [1, 1, 2, 2] and objects[0]["digits"] is None
    assert list(lines[0]) == list(objects[0])


def test_tensorboard(tmp_path: Path) -> None:
    """In a process of its own: importing TensorBoard warns of its own dependencies."""
    program = f"""
import torch
from tests.test_watch import X, known
from qfx.training.watch import TensorBoardWriter, Watcher
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
model = known()
watcher = Watcher(model, every=1, writers=[TensorBoardWriter({str(tmp_path)!r})])
model(X)
watcher.step()
watcher.close()
events = EventAccumulator({str(tmp_path)!r}).Reload()
print(*events.Tags()["scalars"])
print(events.Scalars("0.quant/saturated")[0].value, events.Scalars("1.weight_quant/digits")[0].step)
"""
    root = Path(__file__).parents[1]
    result = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    tags, values = result.stdout.splitlines()
    assert values == "0.375 1"
    assert "0.quant/learned" in tags and "0.quant/digits" not in tags and "1.weight_quant/flips" in tags


def test_tensorboard_is_an_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ToolMissingError, match=r"pip install 'qfx\[tensorboard\]'"):
        TensorBoardWriter(tmp_path)


def test_only_a_calibrated_network_can_be_watched() -> None:
    model = nn.Sequential(qnn.QuantInput(type=FixedType(True, 8, 4), output=QuantSpec(4)))
    with pytest.raises(QuantizationError, match=r"the quantizers 0\.quant are not calibrated; run qfx\.conversion\.calibrate"):
        Watcher(model)
    set_enabled(model, False)
    with pytest.raises(QuantizationError, match="no quantizer is switched on"):
        Watcher(model)


class Residual(qnn.Model):
    """Batch normalisation, a sum and ReLUs: layers that are computed together where nobody watches."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.conv = qnn.QuantInput(type=FixedType(False, 8, 8)), qnn.Conv2d(1, 2, 1, bias=False)
        self.bn, self.act = qnn.BatchNorm2d(2), qnn.ReLU(output=QuantSpec(3, False))
        self.conv2, self.bn2 = qnn.Conv2d(2, 2, 1, bias=False), qnn.BatchNorm2d(2)
        self.add, self.act2 = qnn.Add(b=None), qnn.ReLU(output=QuantSpec(3, False))

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(self.input(x))))
        return self.act2(self.add(self.bn2(self.conv2(x)), x))


@pytest.mark.parametrize("training", [True, False])
def test_layers_that_are_computed_together_are_measured(training: bool) -> None:
    """Every quantizer, and a ReLU's without the negative values, of which it loses nothing."""
    torch.manual_seed(0)
    model, x = Residual(), torch.randint(0, 256, (8, 1, 4, 4), dtype=torch.uint8)
    model(x)
    calibrate(model, [x])
    model.train(training)
    with torch.no_grad():
        wanted = model(x)
        watcher = Watcher(model)
        with watcher.measuring():
            found = model(x)
        rows = by_path(watcher.rows())
    assert training or torch.equal(found, wanted)
    assert not [path for path, row in rows.items() if row.saturated is None]
    seen: list[Tensor] = []
    with torch.no_grad(), observing(lambda layer, suffix, value: seen.append(value) if layer is model.act else None):
        model(x)
    positive, quantized = seen
    assert model.act.quant is not None
    step = 2.0 ** -int(model.act.quant.fracs)
    assert rows["act.quant"].underflowed == float(((positive > 0) & (quantized == 0)).double().mean())
    assert rows["act.quant"].saturated == float((positive >= 7.5 * step).double().mean())
