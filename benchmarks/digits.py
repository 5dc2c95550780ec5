"""Accuracy of every arm on handwritten digits, over several seeds.

    python benchmarks/digits.py [--seeds 5] [--bits 4 3 2] [--json FILE]

Each seed trains one float network, and from it the quantized arms of `qfx.training.arms` at each width: post-training
quantization (ptq), training with fixed binary points (fixed) and with learned ones (learned), and the multiplier-free network. "b
bits" means weights and activations of b bits; first and last layer's weights, all constants, input and pool 8 bits. The test
images are the same 360 for every seed. Exit code 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the modules beside this one, however it is started

from benchmarks._targets import finish, summary
from qfx.training.arms import train_arms

Scores = Mapping[str, Sequence[float]]
"""Arm name -> test accuracy in percent, per seed."""

LEAST_ACCURACY = 97.0
"""Percent that the 4-bit learned and the multiplier-free arm reach with every seed."""


def measure(seeds: int, bits: Sequence[int], console: Console) -> dict[str, list[float]]:
    """Train all arms with each seed."""
    scores: dict[str, list[float]] = {}
    for seed in range(seeds):
        start = time.monotonic()
        for arm in train_arms(seed, bits):
            scores.setdefault(arm.name, []).append(arm.accuracy)
        console.print(f"seed {seed}: {time.monotonic() - start:.0f} s")
    return scores


def rows(scores: Scores) -> list[dict[str, object]]:
    """One row per arm: mean, spread and every seed's value."""
    return [
        {
            "arm": name,
            "mean": statistics.mean(values),
            "std": statistics.stdev(values) if len(values) > 1 else 0.0,
            "min": min(values),
            "accuracies": list(values),
        }
        for name, values in scores.items()
    ]


def targets(scores: Scores) -> list[dict[str, object]]:
    """What is promised, with the value found; `>=` means that the value has to reach the target."""
    found: list[tuple[str, float, float]] = []
    for bits, least in ((2, 0.0), (3, -0.3)):
        if f"learned-{bits}" in scores:
            gain = statistics.mean(scores[f"learned-{bits}"]) - statistics.mean(scores[f"ptq-{bits}"])
            found.append((f"{bits} bits: mean(learned) - mean(PTQ), points", gain, least))
    for name in ("learned-4", "multiplier-free"):
        if name in scores:
            found.append((f"{name}: least test accuracy of all seeds, percent", min(scores[name]), LEAST_ACCURACY))
    return [{"name": name, "value": value, "target": target, "sense": ">="} for name, value, target in found]


def show(scores: Scores, found: Sequence[Mapping[str, object]], console: Console) -> None:
    """Print both tables."""
    table = Table("arm", "mean", "std", "min", "max", title=f"Test accuracy in percent, {len(scores['float'])} seeds")
    for name, values in scores.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        table.add_row(name, *(f"{number:.2f}" for number in (statistics.mean(values), spread, min(values), max(values))))
    console.print(table)
    for entry in found:
        console.print(summary(entry, ".2f"), soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description="Accuracy of every arm on handwritten digits, over several seeds.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 3, 2])
    parser.add_argument("--json", type=Path, help="also write the rows and targets here")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    scores = measure(options.seeds, options.bits, console)
    found = targets(scores)
    show(scores, found, console)
    return finish(options.json, rows(scores), found)


if __name__ == "__main__":
    sys.exit(main())
