"""Arguments are checked where they are given, by type and range, everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import qfx
import qfx.nn as qnn
from qfx import checks
from qfx.conversion import calibrate
from qfx.errors import ConfigError, ConversionError, FormatError, InputError, QuantizationError
from qfx.export.hls.board import load_board
from qfx.fixed import FixedType, Overflow, Rounding, cast
from qfx.quant import Quantizer, QuantSpec
from qfx.sim.engine import FastSimulator, Simulator
from qfx.training import BinaryPointFreezer, OscillationFreezer, Recipe, Watcher, accuracy, parameter_groups, reestimate_statistics
from tests.networks import residual_network

GRAPH = residual_network()
S8 = FixedType(True, 8, 0)
NET = nn.Sequential(nn.Linear(2, 2))


def any_(value: Any) -> Any:
    """Any type, for what is wrong on purpose."""
    return value


def quantizer() -> Quantizer:
    return Quantizer(QuantSpec(4, frac=1))


def spec(**fields: Any) -> QuantSpec:
    given: dict[str, Any] = {"width": 8, **fields}
    return QuantSpec(**given)


def options(**fields: Any) -> Any:
    return qfx.AcceleratorOptions(**fields)


def complex_weights() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2, dtype=torch.complex64))


WRONG: Mapping[str, tuple[type[qfx.QfxError], str, Callable[[], Any]]] = {
    "width of a format": (
        FormatError,
        "a fixed-point format: width = 7.5, but a whole number",
        lambda: FixedType(True, any_(7.5), 5),
    ),
    "bool as width": (FormatError, "width = True, but a whole number is wanted", lambda: FixedType(True, True, 5)),
    "frac of a format": (FormatError, "frac = '5', but a whole number is wanted", lambda: FixedType(True, 7, any_("5"))),
    "sign as text": (FormatError, "signed = 'no', but true or false is wanted", lambda: FixedType(any_("no"), 8, 5)),
    "sign as number": (FormatError, "signed = 1, but true or false is wanted", lambda: FixedType(any_(1), 8, 5)),
    "code range": (FormatError, "a code range: low = 0.5, but a whole number", lambda: FixedType.for_range(any_(0.5), 3, 0)),
    "rounding of a cast": (
        FormatError,
        "a cast: rounding = 'AP_RND', but a Rounding",
        lambda: cast(np.zeros(1, int), S8, S8, any_("AP_RND")),
    ),
    "overflow of a cast": (
        FormatError,
        "a cast: overflow = 1, but an? Overflow",
        lambda: cast(np.zeros(1, int), S8, S8, overflow=any_(1)),
    ),
    "QuantSpec width": (QuantizationError, "a quantizer's format: width = 4.0, but a whole number", lambda: spec(width=4.0)),
    "QuantSpec width as text": (QuantizationError, "width = '4', but a whole number", lambda: spec(width="4")),
    "QuantSpec sign": (QuantizationError, "signed = 'no', but true or false", lambda: spec(signed="no")),
    "QuantSpec frac": (QuantizationError, "frac = 5.5, but a whole number", lambda: spec(frac=5.5)),
    "QuantSpec learn": (QuantizationError, "learn = 1, but true or false", lambda: spec(learn=1)),
    "QuantSpec digits": (QuantizationError, "k_hot = 1.5, but a whole number", lambda: spec(k_hot=1.5)),
    "QuantSpec exponent": (QuantizationError, "max_exponent = nan, but a whole", lambda: spec(k_hot=2, max_exponent=math.nan)),
    "QuantSpec rounding": (QuantizationError, "rounding = 'nonsense', but one of AP_TRN, ", lambda: spec(rounding="nonsense")),
    "QuantSpec overflow": (QuantizationError, r"overflow = \[\], but one of AP_WRAP, ", lambda: spec(overflow=[])),
    "a quantizer's spec": (QuantizationError, "a quantizer: spec = 4, but a QuantSpec", lambda: qnn.Linear(2, 2, weight=any_(4))),
    "eps": (QuantizationError, "eps = nan, but a number is wanted, 0 or more", lambda: qnn.BatchNorm2d(2, math.nan)),
    "momentum": (QuantizationError, "momentum = 2, but a number in 0..1", lambda: qnn.BatchNorm2d(2, momentum=2)),
    "reciprocal": (QuantizationError, "reciprocal_width = 8.5, but a whole", lambda: qnn.AvgPool2d(3, reciprocal_width=any_(8.5))),
    "mean": (QuantizationError, "QuantInput: mean = nan, but a finite number", lambda: qnn.QuantInput([math.nan], [1.0])),
    "full scale": (QuantizationError, "full_scale = inf, but a finite", lambda: qnn.QuantInput([0.0], [1.0], math.inf)),
    "type of an input": (QuantizationError, "type = 8, but a FixedType", lambda: qnn.QuantInput(type=any_(8))),
    "formats": (ConfigError, "the formats: weights = '4', but a number of bits", lambda: qfx.Formats(weights=any_("4"))),
    "configuration": (ConfigError, "the configuration: learn = 1, but true", lambda: qfx.ConvertConfig(learn=any_(1))),
    "means": (ConfigError, r"mean = \[nan\], but a finite number", lambda: qfx.InputFormat(mean=[math.nan], std=[1.0])),
    "recipe": (ConfigError, "the recipe: epochs = True, but a whole number", lambda: Recipe(True)),
    "learning rate": (ConfigError, "lr = inf, but a number is wanted, 0 or more", lambda: Recipe(1, lr=math.inf)),
    "fit": (InputError, "fit: recipe = 3, but a Recipe", lambda: qfx.fit(NET, any_([]), any_(3))),
    "a function to fit": (InputError, "fit: model = .*, but a Module", lambda: qfx.fit(any_(abs), any_([]), Recipe(1))),
    "percentile": (InputError, "percentile = nan, but a finite", lambda: calibrate(quantizer(), [], percentile=math.nan)),
    "window": (InputError, "window = 0, but a whole number is wanted, 1 or more", lambda: BinaryPointFreezer(quantizer(), 0)),
    "hysteresis": (InputError, "hysteresis = nan", lambda: BinaryPointFreezer(quantizer(), hysteresis=math.nan)),
    "threshold": (InputError, "threshold = 2, but a number in 0..1", lambda: OscillationFreezer(NET, 2)),
    "watching": (InputError, "the watcher: every = 1.5, but a whole", lambda: Watcher(quantizer(), every=any_(1.5))),
    "batch": (InputError, "accuracy: batch = 0, but a whole", lambda: accuracy(NET, torch.ones(1, 2), torch.zeros(1), 0)),
    "accuracy of nothing": (InputError, "accuracy of no samples", lambda: accuracy(NET, torch.ones(0, 2), torch.zeros(0))),
    "groups": (InputError, "lr = -1, but a number", lambda: parameter_groups(NET, lr=-1)),
    "steps": (InputError, "steps = 0, but a whole", lambda: reestimate_statistics(NET, [], 0)),
    "clock nan": (InputError, "the accelerator: clock_mhz = nan, but a finite number", lambda: options(clock_mhz=math.nan)),
    "clock inf": (InputError, "clock_mhz = inf, but a finite", lambda: qfx.accelerate(GRAPH, clock_mhz=math.inf)),
    "clock of a board": (InputError, "the clock: MHz = nan, but a positive", lambda: load_board("ultra96").clock(math.nan)),
    "no clock": (InputError, "MHz = 0, but a positive", lambda: load_board("ultra96").clock(0)),
    "fps": (InputError, "fps = '500', but a finite number", lambda: options(fps="500")),
    "board": (InputError, "board = None, but a str", lambda: options(board=None)),
    "products": (InputError, r"products = \['dsp'\], but a Mapping", lambda: options(products=["dsp"])),
    "without multipliers": (InputError, "multiplier_free = 'no', but true", lambda: options(multiplier_free="no")),
    "beats": (InputError, "axi_bits = 64.0, but a whole", lambda: options(axi_bits=64.0)),
    "threads": (InputError, "the simulator: threads = -1, but a whole", lambda: Simulator(GRAPH, -1)),
    "threads of programs": (InputError, "threads = 1.5, but a whole", lambda: FastSimulator(GRAPH, None, any_(1.5))),
    "no samples": (InputError, "hold no sample; give one or more", lambda: qfx.simulate(GRAPH, np.zeros((0, 2, 5, 6), np.int8))),
    "seed": (InputError, "write_project: seed = -1, but a whole", lambda: qfx.write_project(GRAPH, "p", np.zeros(0, int), seed=-1)),
    "overwrite": (InputError, "overwrite = 'no'", lambda: qfx.write_project(GRAPH, "p", np.zeros(0, int), overwrite=any_("no"))),
    "samples": (InputError, "verify: samples = 2.5, but a whole", lambda: qfx.verify("p", samples=any_(2.5))),
    "seed of a verification": (InputError, "verify: seed = -1, but a whole", lambda: qfx.verify("p", seed=-1)),
    "outputs only": (InputError, "outputs_only = 1, but true", lambda: qfx.verify("p", outputs_only=any_(1))),
    "complex weights": (
        ConversionError,
        r"0\.weight holds complex numbers \(torch.complex64\)",
        lambda: qfx.convert(complex_weights(), torch.ones(2, 2)),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_arguments(what: str) -> None:
    error, message, ask = WRONG[what]
    with pytest.raises(error, match=message):
        ask()


def test_values_of_numpy_are_kept_as_python_s() -> None:
    format = FixedType(any_(np.bool_(True)), any_(np.int64(8)), any_(np.int32(5)))
    assert (format, type(format.width), type(format.signed)) == (FixedType(True, 8, 5), int, bool)
    given = spec(width=np.int8(4), frac=np.int64(2), k_hot=np.uint8(2))
    assert given == spec(width=4, frac=2, k_hot=2) and type(given.width) is int
    assert type(Recipe(any_(np.int64(3)), lr=any_(np.float32(0.5))).lr) is float
    assert options(clock_mhz=np.float32(100)).clock_mhz == 100.0


def test_modes_by_name() -> None:
    assert spec(rounding="AP_TRN", overflow="AP_WRAP") == spec(rounding=Rounding.TRN, overflow=Overflow.WRAP)


@pytest.mark.parametrize(
    ("entry", "message"), [("frac = 5.5", "frac = 5.5, but a whole"), ('frac = 5\nsigned = "no"', "signed = 'no'")]
)
def test_formats_in_files(entry: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    signed = "" if "signed" in entry else "signed = true\n"
    file.write_text(f"[input.type]\nwidth = 8\n{signed}{entry}\n")
    with pytest.raises(ConfigError, match=message):
        qfx.ConvertConfig.read(file)


def test_bounds() -> None:
    assert [checks.whole(1, 3)(value) for value in (1, 3)] == [1, 3]
    assert checks.or_none(checks.positive)(None) is None and checks.number(0)(0) == 0.0
    for check, value, message in (
        (checks.whole(1, 3), 4, "a whole number is wanted, 1..3"),
        (checks.positive, 0, "a positive number is wanted"),
        (checks.number(0, 1), 1.5, "a number in 0..1 is wanted"),
        (checks.number(), 1j, "a finite number is wanted"),
        (checks.flag, None, "true or false is wanted"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            check(value)
