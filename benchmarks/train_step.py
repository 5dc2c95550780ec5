"""Time of a training step and of a forward in eval, as ratios to the same network in plain float torch.

    python benchmarks/train_step.py [--rounds 40] [--threads 1] [--json FILE]

Two networks of qfx.models, 8 bits: cifar-small with batches of 128 and ResNet-20 with batches of 32. Arms:

    weights+activations  convolutions, classifier and ReLUs quantized; batch normalisation, pools and sums are torch's
    everything           the network as qfx.convert makes it: constants of batch normalisation, sums and pools quantized, too
    everything, K=2      the same with 2-hot weights
    Brevitas, torch.ao   weights and activations, by other libraries (benchmarks/_train_peers.py)
    eval                 everything, the exact forward of `model.eval()`, against the float network's

QFX's arms are measured with the C kernel and eagerly. A step is forward, cross-entropy, backward and a fused AdamW. All arms
run once per round, one after the other; a ratio is the median over the rounds of the ratio within a round, and what K=2 adds is
that of the difference within a round, in units of the float step. One thread unless told otherwise: with more, a step waits for
whatever else runs on the machine. Exit code 1 if a target is missed, 3 without a peer or without the kernel.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from _targets import finish, summary
from _train_peers import brevitas, replace, torch_ao
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import qfx
from qfx import nn as qnn
from qfx.cli.exit_codes import exit_code
from qfx.errors import QfxError, ToolMissingError
from qfx.models import CifarSmall, ResNet20
from qfx.quant import kernel

WARM_UP = 4
"""Rounds that do not count: Brevitas collects its statistics."""
FLOAT = "float"
ADDED = "what K=2 adds"
PARTLY, ALL, TWO_HOT = "weights+activations", "everything", "everything, K=2"
ENGINES = {"kernel": True, "eager": False}
LIMITS = {("kernel", PARTLY): 1.35, ("kernel", ALL): 1.4, ("eager", PARTLY): 1.6, ("eager", ALL): 1.85}
EVAL_LIMITS = {"kernel": 1.35, "eager": 2.1}
TWO_HOT_LIMIT = 0.1


@dataclass(frozen=True)
class Network:
    """A float network and the batch."""

    name: str
    plain: type[CifarSmall] | type[ResNet20]
    batch: int

    def quantized(self, raw: Tensor, k_hot: int | None = None) -> nn.Module:
        """The network that reads raw pixels, in 8 bits; `k_hot`: digits of its weights."""
        config = qfx.ConvertConfig(weights_k_hot=k_hot, input=qfx.InputFormat.fractions())
        return qfx.convert(self.plain(), config=config, sample=raw)


NETWORKS = (Network("cifar-small", CifarSmall, 128), Network("ResNet-20", ResNet20, 32))


@dataclass
class Arm:
    """Something to be timed, once per round.

    Attributes:
        name: such as `everything`.
        engine: `kernel`, `eager`, or empty for what is not QFX's.
        run: one step.
        seconds: one entry per round.
    """

    name: str
    engine: str
    run: Callable[[], object]
    seconds: list[float] = field(default_factory=list[float])

    def time(self) -> float:
        """Run once; wall seconds."""
        with kernel.using(ENGINES.get(self.engine, True)):
            start = time.perf_counter()
            self.run()
            return time.perf_counter() - start


class _Sum(nn.Module):
    """a + b."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b


def partly(network: Network, raw: Tensor) -> nn.Module:
    """Weights and activations quantized; what is element-wise is torch's, biases are float, as other libraries have it."""

    def plain(layer: nn.Module) -> nn.Module | None:
        if isinstance(layer, qnn.BatchNorm2d):
            return nn.BatchNorm2d(layer.num_features)
        if isinstance(layer, qnn.AvgPool2d):
            return nn.AvgPool2d(layer.kernel)
        return _Sum() if isinstance(layer, qnn.Add) else None

    model = replace(network.quantized(raw), plain)
    for layer in model.modules():
        if isinstance(layer, qnn.Conv2d | qnn.Linear) and layer.bias_quant is not None:
            layer.bias_quant.enabled = False
    return model


def stepper(model: nn.Module, x: Tensor, y: Tensor) -> Callable[[], object]:
    """A training step of `model`."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
    model.train()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def forwarder(model: nn.Module, x: Tensor) -> Callable[[], object]:
    """A forward in eval, after one in training."""
    model.train()
    model(x)
    model.eval()

    def forward() -> None:
        with torch.no_grad():
            model(x)

    return forward


def training_arms(network: Network, raw: Tensor, real: Tensor, y: Tensor) -> list[Arm]:
    """The float step first."""
    makers: dict[str, Callable[[], nn.Module]] = {
        PARTLY: lambda: partly(network, raw),
        ALL: lambda: network.quantized(raw),
        TWO_HOT: lambda: network.quantized(raw, 2),
    }
    arms = [Arm(FLOAT, "", stepper(network.plain(), real, y))]
    arms += [Arm(name, engine, stepper(make(), raw, y)) for name, make in makers.items() for engine in ENGINES]
    peers = {"Brevitas": brevitas, "torch.ao": torch_ao}
    return arms + [Arm(name, "", stepper(peer(network.plain()), real, y)) for name, peer in peers.items()]


def eval_arms(network: Network, raw: Tensor, real: Tensor) -> list[Arm]:
    """The float forward first."""
    arms = [Arm(FLOAT, "", forwarder(network.plain(), real))]
    return arms + [Arm("eval", engine, forwarder(network.quantized(raw), raw)) for engine in ENGINES]


def measure(arms: Sequence[Arm], rounds: int) -> dict[tuple[str, str], float]:
    """Ratio to the first arm per (name, engine); every arm keeps its times."""
    for number in range(WARM_UP + rounds):
        for arm in arms:
            seconds = arm.time()
            if number >= WARM_UP:
                arm.seconds.append(seconds)
    reference = arms[0].seconds
    return {
        (arm.name, arm.engine): statistics.median(a / b for a, b in zip(arm.seconds, reference, strict=True)) for arm in arms[1:]
    }


def added(arms: Sequence[Arm]) -> dict[tuple[str, str], float]:
    """What 2-hot weights add to a step in units of the float step, per (`ADDED`, engine)."""
    seconds = {(arm.name, arm.engine): arm.seconds for arm in arms}
    rounds = {engine: zip(seconds[TWO_HOT, engine], seconds[ALL, engine], seconds[FLOAT, ""], strict=True) for engine in ENGINES}
    return {(ADDED, engine): statistics.median((more - less) / unit for more, less, unit in rounds[engine]) for engine in ENGINES}


def targets(network: str, found: Mapping[tuple[str, str], float]) -> list[dict[str, object]]:
    """What is promised, with the value found."""
    entries = [
        (f"{network}: {name}, {engine}, of float", found[name, engine], limit, "<=") for (engine, name), limit in LIMITS.items()
    ]
    for engine in ENGINES:
        entries.append((f"{network}: {ADDED}, {engine}", found[ADDED, engine], TWO_HOT_LIMIT, "<="))
        entries.append((f"{network}: exact eval, {engine}, of float", found["eval", engine], EVAL_LIMITS[engine], "<="))
        for name in (PARTLY, ALL):
            entries.append((f"{network}: Brevitas over {name}, {engine}", found["Brevitas", ""] / found[name, engine], 1.0, ">="))
    return [{"name": name, "value": value, "target": target, "sense": sense} for name, value, target, sense in entries]


def rows(network: Network, arms: Sequence[Arm], found: Mapping[tuple[str, str], float], what: str) -> list[dict[str, object]]:
    """One row per arm: times in milliseconds, and the ratio."""
    return [
        {
            "network": network.name,
            "batch": network.batch,
            "what": what,
            "arm": arm.name,
            "engine": arm.engine,
            "median_ms": 1e3 * statistics.median(arm.seconds),
            "min_ms": 1e3 * min(arm.seconds),
            "ratio": found.get((arm.name, arm.engine), 1.0),
            "rounds": len(arm.seconds),
        }
        for arm in arms
    ]


def run(network: Network, rounds: int) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Rows and targets of one network."""
    torch.manual_seed(0)
    raw = torch.randint(0, 256, (network.batch, 3, 32, 32), dtype=torch.uint8)
    real, y = raw / 256 - 0.5, torch.randint(0, 10, (network.batch,))
    training, evaluation = training_arms(network, raw, real, y), eval_arms(network, raw, real)
    steps, forwards = measure(training, rounds), measure(evaluation, rounds)
    table = [*rows(network, training, steps, "step"), *rows(network, evaluation, forwards, "eval")]
    return table, targets(network.name, {**steps, **forwards, **added(training)})


def show(table: Sequence[Mapping[str, object]], found: Sequence[Mapping[str, object]], console: Console) -> None:
    """Print both tables."""
    view = Table("network", "what", "arm", "engine", "median, ms", "least, ms", "of float", title="Ratio to float torch")
    for row in table:
        numbers = [f"{row['median_ms']:.1f}", f"{row['min_ms']:.1f}", f"{row['ratio']:.3f}"]
        view.add_row(*(str(row[key]) for key in ("network", "what", "arm", "engine")), *numbers)
    console.print(view)
    for entry in found:
        console.print(summary(entry, ".3f"), soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description="Time of a training step as a ratio to float torch.")
    parser.add_argument("--rounds", type=int, default=40, help="how often each arm runs; at least 10 count")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch and the kernel")
    parser.add_argument("--json", type=Path, help="also write the rows and targets here")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    torch.set_num_threads(options.threads)
    table: list[dict[str, object]] = []
    found: list[dict[str, object]] = []
    try:
        if kernel.library() is None:
            raise ToolMissingError(f"{kernel.status()}; the comparison needs a C compiler: install gcc, or name one in CC")
        for network in NETWORKS:
            more_rows, more_targets = run(network, max(options.rounds, 10))
            table += more_rows
            found += more_targets
    except QfxError as error:
        print(error, file=sys.stderr)
        return exit_code(error)
    show(table, found, console)
    return finish(options.json, table, found, threads=options.threads)


if __name__ == "__main__":
    sys.exit(main())
