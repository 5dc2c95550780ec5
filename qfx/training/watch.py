"""Watching a network in training: what its quantizers hold, and what they lose.

    width, frac     the format in use; `learned` is the real binary point behind frac, of several channels the mean
    digits          signed digits per code of a constant, on average
    saturated       part of the values that lay outside the range
    underflowed     part of the values that were not zero and became zero
    flips           how often a binary point in use has changed since the watch began

Flips are counted after every step. The others are measured on demand, in the forward passes of a `measuring` block or of every
n-th step. Counts stay on the model's device until rows are asked for.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib
import io
import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from qfx.annotations import explained_init
from qfx.checks import argument, whole
from qfx.errors import QuantizationError, ToolMissingError
from qfx.files import add_text, write_text
from qfx.ops.base import signed_digits
from qfx.quant import Quantizer, quantizers
from qfx.quant.cast import integer_frac, quantize


@dataclass(frozen=True)
class Row:
    """One quantizer at one step.

    Attributes:
        step: optimizer steps since the watch began.
        path: of the quantizer.
        signed, width: of its codes.
        frac: binary point in use; of several channels the finest.
        coarsest: of several channels the coarsest, else frac.
        learned: the real binary point; of several channels the mean.
        frozen: whether training no longer moves it.
        digits: of a constant that was measured.
        saturated, underflowed: parts of the values measured, 0..1; None if there were none.
        flips: of all channels together.
    """

    step: int
    path: str
    signed: bool
    width: int
    frac: int
    coarsest: int
    learned: float
    frozen: bool
    digits: float | None
    saturated: float | None
    underflowed: float | None
    flips: int


class Writer(Protocol):
    """Where rows go."""

    def write(self, rows: Sequence[Row]) -> None: ...

    def close(self) -> None: ...


class _Measured:
    """What a quantizer did since the last rows."""

    def __init__(self) -> None:
        self.values = 0
        self.lost: Tensor | None = None  # saturated, underflowed
        self.codes: Tensor | None = None

    def add(self, quantizer: Quantizer, x: Tensor, result: Tensor) -> None:
        frac = quantizer.fracs
        inside = quantize(x, frac, quantizer.spec)[1]
        lost = torch.stack([(~inside).sum(), ((x != 0) & (result == 0)).sum()])
        self.values += x.numel()
        self.lost = lost if self.lost is None else self.lost + lost
        if quantizer.constant:
            per_channel = frac.view(-1, *[1] * (result.dim() - 1)) if frac.dim() else frac
            self.codes = result.to(torch.float64) * 2.0 ** per_channel.to(torch.float64)

    def parts(self) -> tuple[float | None, float | None]:
        if self.lost is None or self.values == 0:
            return None, None
        return int(self.lost[0]) / self.values, int(self.lost[1]) / self.values

    def digits(self) -> float | None:
        if self.codes is None:
            return None
        return float(signed_digits(self.codes.cpu().numpy().astype(np.int64)).mean())


@explained_init
class Watcher:
    """Watches the quantizers of `model` that are switched on; a calibrated model, since others have no formats.

    Args:
        model: the network.
        every: measure the forward passes of every n-th step, and write its rows; 0 for never.
        writers: where these rows go; `close` closes them.

    Raises:
        QuantizationError: a quantizer that is not calibrated, or none at all.
    """

    def __init__(self, model: nn.Module, every: int = 0, writers: Sequence[Writer] = ()) -> None:
        self._quantizers = {path: quantizer for path, quantizer in quantizers(model).items() if quantizer.enabled}
        missing = [path for path, quantizer in self._quantizers.items() if not quantizer.calibrated]
        if missing or not self._quantizers:
            what = f"the quantizers {', '.join(missing)} are not calibrated" if missing else "no quantizer is switched on"
            raise QuantizationError(f"{what}; run qfx.conversion.calibrate(model, batches) before watching")
        self.steps = 0
        self._every, self._writers = argument("the watcher", "every", every, whole(0)), writers
        self._measured: dict[str, _Measured] = {}
        self._hooks: list[RemovableHandle] = []
        self._fracs = self._in_use()
        self._flips = torch.zeros_like(self._fracs)
        self._attach_if_due()

    def step(self) -> None:
        """Count flips; call it after each optimizer step."""
        now = self._in_use()
        self._flips += now != self._fracs
        self._fracs = now
        self.steps += 1
        if self._every and self.steps % self._every == 0:
            rows = self.rows()
            for writer in self._writers:
                writer.write(rows)
        self._attach_if_due()

    def rows(self) -> list[Row]:
        """The quantizers as they are, with what was measured since the last call. Waits for the device."""
        sizes = [quantizer.frac.numel() for quantizer in self._quantizers.values()]
        parts: Sequence[Tensor] = torch.split(self._flips.cpu(), sizes)
        flips = [int(part.sum()) for part in parts]
        measured, self._measured = self._measured, {}
        return [
            self._row(path, quantizer, measured.get(path, _Measured()), flipped)
            for (path, quantizer), flipped in zip(self._quantizers.items(), flips, strict=True)
        ]

    @contextmanager
    def measuring(self) -> Generator[None]:
        """Measure every forward pass inside."""
        self._attach()
        try:
            yield
        finally:
            self._attach_if_due()

    def close(self) -> None:
        """Measure no more, and close the writers."""
        self._detach()
        self._every = 0
        for writer in self._writers:
            writer.close()

    def _row(self, path: str, quantizer: Quantizer, measured: _Measured, flips: int) -> Row:
        fracs, spec = quantizer.fracs, quantizer.spec
        saturated, underflowed = measured.parts()
        return Row(
            self.steps,
            path,
            spec.signed,
            spec.width,
            int(fracs.max()),
            int(fracs.min()),
            float(quantizer.frac.detach().mean()),
            bool(quantizer.frozen),
            measured.digits(),
            saturated,
            underflowed,
            flips,
        )

    def _in_use(self) -> Tensor:
        """Every binary point in use, one after the other."""
        fracs = [quantizer.frac.detach().reshape(-1) for quantizer in self._quantizers.values()]
        return integer_frac(torch.cat([frac.to(fracs[0].device, non_blocking=True) for frac in fracs]))

    def _attach_if_due(self) -> None:
        due = self._every and (self.steps + 1) % self._every == 0
        (self._attach if due else self._detach)()

    def _attach(self) -> None:
        self._detach()
        for path, quantizer in self._quantizers.items():
            self._hooks.append(quantizer.register_forward_hook(self._hook(path)))

    def _hook(self, path: str) -> Any:
        def measure(quantizer: Quantizer, args: tuple[Any, ...], result: Tensor) -> None:
            x, relu = args[0].detach(), args[1:2] == (True,)
            with torch.no_grad():
                measured = self._measured.setdefault(path, _Measured())
                measured.add(quantizer, x.relu() if relu else x, result.detach())

        return measure

    def _detach(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()


@explained_init
class CsvWriter:
    """A line per row, under a line with the names of the columns.

    Args:
        file: made anew.

    Raises:
        WriteError: it cannot be written; it ends with the rows before.
    """

    def __init__(self, file: Path | str) -> None:
        self._file = Path(file)
        write_text(self._file, _csv([[field.name for field in dataclasses.fields(Row)]]))

    def write(self, rows: Sequence[Row]) -> None:
        """Add the rows; what was not measured stays empty."""
        add_text(self._file, _csv([dataclasses.astuple(row) for row in rows]))

    def close(self) -> None:
        """Nothing: the file is complete after each write."""


def _csv(lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue()


@explained_init
class JsonLinesWriter:
    """A JSON object per row and line.

    Args:
        file: made anew.

    Raises:
        WriteError: it cannot be written; it ends with the rows before.
    """

    def __init__(self, file: Path | str) -> None:
        self._file = Path(file)
        write_text(self._file, "")

    def write(self, rows: Sequence[Row]) -> None:
        """Add the rows; what was not measured is null."""
        add_text(self._file, "".join(json.dumps(dataclasses.asdict(row)) + "\n" for row in rows))

    def close(self) -> None:
        """Nothing: the file is complete after each write."""


@explained_init
class TensorBoardWriter:
    """Scalars `path/column` for TensorBoard.

    Args:
        directory: of the run.

    Raises:
        ToolMissingError: TensorBoard is not installed.
    """

    COLUMNS = ("learned", "frac", "digits", "saturated", "underflowed", "flips")

    def __init__(self, directory: Path | str) -> None:
        try:
            board: Any = importlib.import_module("torch.utils.tensorboard")
        except ImportError as error:
            raise ToolMissingError("TensorBoard is not installed; run pip install 'qfx[tensorboard]'") from error
        self._board: Any = board.SummaryWriter(str(directory))

    def write(self, rows: Sequence[Row]) -> None:
        """Add what is known."""
        for row in rows:
            for column in self.COLUMNS:
                value = getattr(row, column)
                if value is not None:
                    self._board.add_scalar(f"{row.path}/{column}", value, row.step)
        self._board.flush()

    def close(self) -> None:
        """Write what is left, and close the files."""
        self._board.close()
