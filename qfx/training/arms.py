"""The arms of the digits experiment: one network, trained in floating point, then quantized in several ways.

    float         quantizers off
    ptq-b         b bits, binary points by least squared error on the float network, no training
    fixed-b       the same, then trained with these binary points
    learned-b     the same, then trained together with the binary points
    multiplier-free  `ConvertConfig.multiplier_free`: shifts and additions alone; trained like learned-b

Fixed and learned arms have the same recipe and start from the same weights, so that their difference is the learning
of binary points, and the difference to ptq is mostly training.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qfx.conversion import ConvertConfig, Converted, InputFormat, convert
from qfx.errors import ToolMissingError
from qfx.models import DigitsNet
from qfx.quant import set_enabled
from qfx.training.loop import accuracy, fit
from qfx.training.recipe import Recipe

FLOAT_RECIPE = Recipe(epochs=20, lr=5e-3, weight_decay=1e-2)
QAT_RECIPE = Recipe(epochs=16, lr=8e-3, weight_decay=1e-3, freeze_after=0.6)
BATCH = 64
CALIBRATION_SAMPLES = 512
FULL_SCALE = 16.0
"""The largest raw value of a pixel."""

Progress = Callable[[str, int, int], None]
"""Called with the arm's name, the epochs done and the epochs in all."""


@dataclass(frozen=True)
class Digits:
    """Raw digits: images (n, 1, 8, 8) uint8, 0..16, and labels (n,), split 80/20 with equal shares of each class."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


@dataclass(frozen=True)
class Arm:
    """A trained network.

    Attributes:
        name: such as `learned-4`.
        model: converted, in eval mode; with its quantizers off where it computes in floating point.
        accuracy: on the 360 test images, in percent.
        bits: of weights and activations; None for float.
        flips: how often the binary points in use changed in training.
    """

    name: str
    model: Converted
    accuracy: float
    bits: int | None = None
    flips: int = 0


class ShiftedBatches:
    """Shuffled batches, each image moved by up to one pixel; the same sequence for the same seed.

    Args:
        x, y: images and labels.
        seed: of shuffling and shifting.
    """

    def __init__(self, x: Tensor, y: Tensor, seed: int) -> None:
        self.x, self.y = x, y
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.y) // BATCH

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.y), generator=self.generator)
        for start in range(0, len(self) * BATCH, BATCH):
            index = order[start : start + BATCH]
            yield self._shifted(self.x[index]), self.y[index]

    def _shifted(self, x: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
        shifts = torch.randint(0, 3, (len(x), 2), generator=self.generator)
        rows = shifts[:, :1] + torch.arange(x.shape[2])
        columns = shifts[:, 1:] + torch.arange(x.shape[3])
        samples = torch.arange(len(x))[:, None, None]
        return padded[samples, 0, rows[:, :, None], columns[:, None, :]].unsqueeze(1)


def load_digits(seed: int = 0) -> Digits:
    """scikit-learn's bundled digits; 1,437 to train on, 360 to test on.

    Raises:
        ToolMissingError: scikit-learn is not installed.
    """
    try:
        datasets: Any = importlib.import_module("sklearn.datasets")
        selection: Any = importlib.import_module("sklearn.model_selection")
    except ImportError as error:
        raise ToolMissingError("the digits come with scikit-learn, which is not installed; run pip install 'qfx[demo]'") from error
    images, labels = datasets.load_digits(return_X_y=True)
    images = images.reshape(-1, 1, 8, 8).astype(np.uint8)
    parts = selection.train_test_split(images, labels, test_size=360, stratify=labels, random_state=seed)
    train_x, test_x, train_y, test_y = (torch.from_numpy(part) for part in parts)
    return Digits(train_x, train_y.long(), test_x, test_y.long())


@contextmanager
def one_thread() -> Generator[None]:
    """torch on one thread: batches as small as these gain little from a second, and lose minutes where another program has it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def train_arms(
    seed: int = 0, bits: Sequence[int] = (4, 2), multiplier_free: bool = True, progress: Progress | None = None
) -> list[Arm]:
    """Train every arm.

    Args:
        seed: of initial weights, shuffling and shifting; the test images are always the same.
        bits: widths of the ptq, fixed and learned arms.
        multiplier_free: whether to train that arm.
        progress: called when an arm begins, and after each of its epochs.

    Returns:
        float first, then ptq, fixed and learned per width, then multiplier-free.
    """
    with one_thread():
        data = load_digits()
        reference = _train_float(data, seed, progress)
        arms = [reference]
        for width in bits:
            fixed, learned = ConvertConfig.bits(width, learn=False), ConvertConfig.bits(width)
            ptq = _quantized(reference.model, fixed, data)
            arms.append(Arm(f"ptq-{width}", ptq, accuracy(ptq, data.test_x, data.test_y), width))
            arms.append(_train_quantized(f"fixed-{width}", fixed, reference.model, data, seed, progress))
            arms.append(_train_quantized(f"learned-{width}", learned, reference.model, data, seed, progress))
        if multiplier_free:
            config = ConvertConfig.multiplier_free()
            arms.append(_train_quantized("multiplier-free", config, reference.model, data, seed, progress))
        return arms


def _train_float(data: Digits, seed: int, progress: Progress | None) -> Arm:
    """The network reads raw digits like the others, but its quantizers are off."""
    torch.manual_seed(seed)
    model = _converted(DigitsNet(), ConvertConfig(), data)
    set_enabled(model, False)
    fit(model, ShiftedBatches(data.train_x, data.train_y, seed), FLOAT_RECIPE, _named(progress, "float", FLOAT_RECIPE))
    return Arm("float", model, accuracy(model, data.test_x, data.test_y))


def _quantized(reference: Converted, config: ConvertConfig, data: Digits) -> Converted:
    """The float network with calibrated quantizers."""
    plain, state = DigitsNet(), reference.state_dict()
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})
    return _converted(plain, config, data)


def _converted(model: DigitsNet, config: ConvertConfig, data: Digits) -> Converted:
    images = data.train_x.to(torch.float64) / FULL_SCALE
    raw = InputFormat((float(images.mean()),), (float(images.std()),), FULL_SCALE)
    return convert(model, config=dataclasses.replace(config, input=raw), sample=data.train_x[:CALIBRATION_SAMPLES])


def _train_quantized(
    name: str, config: ConvertConfig, reference: Converted, data: Digits, seed: int, progress: Progress | None
) -> Arm:
    model = _quantized(reference, config, data)
    told = _named(progress, name, QAT_RECIPE)
    freezer = fit(model, ShiftedBatches(data.train_x, data.train_y, seed + 1), QAT_RECIPE, told)
    score = accuracy(model, data.test_x, data.test_y)
    return Arm(name, model, score, config.activations, sum(freezer.flips.values()))


def _named(progress: Progress | None, name: str, recipe: Recipe) -> Callable[[int, int], None] | None:
    """Tells that an arm's training begins, and gives what is called after each epoch."""
    if progress is None:
        return None
    progress(name, 0, recipe.epochs)
    return lambda done, total: progress(name, done, total)
