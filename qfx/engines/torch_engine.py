"""The live torch model as an engine: every value of the graph, as the model's own layers compute it in eval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from qfx.errors import InputError, QfxError
from qfx.frontend import Lowered, lower_traced
from qfx.frontend.given import check_network
from qfx.frontend.scope import IMAGE
from qfx.frontend.trace import described, user_line
from qfx.ir import Graph
from qfx.nn._basis import Basis
from qfx.nn._evaluation import entered
from qfx.nn._plan import Plan
from qfx.nn.layer import Layer
from qfx.nn.model import Model
from qfx.nn.quantize import InputLayer
from qfx.sim.engine import check_inputs

Record = Callable[[str, Tensor], None]

CHUNK_ELEMENTS = 1 << 24
"""Recorded values per chunk of samples."""


class TorchEngine:
    """Runs the live model, not the graph; the graph only says which values are wanted and in which format they ought to be.

    Args:
        model: the model that the graph was lowered from.
        graph: its graph.
        device: where to run; None for where the model's parameters are.
        outputs_only: whether `run` gives the graph's outputs only, which is faster.

    Raises:
        InputError: no network, or one that has no value of some name in the graph.
    """

    name = "torch"

    def __init__(
        self, model: nn.Module, graph: Graph, device: torch.device | str | None = None, outputs_only: bool = False
    ) -> None:
        check_network(model, "the model")
        self.model, self.graph, self.outputs_only = model, graph, outputs_only
        self._plan: Plan | None = None
        first = next(iter(model.parameters()), None)
        self.device = torch.device(device or (first.device if first is not None else "cpu"))

    def run(self, inputs: Mapping[str, npt.NDArray[np.integer]]) -> dict[str, npt.NDArray[np.float64]]:
        """Codes (batch, *shape) of every input and computed value, as float64; fractional where torch is off the grid.

        With `outputs_only` those of the outputs alone. The outputs are those of `model(x)` itself; all other values come from the
        same layers, observed.

        Raises:
            InputError: inputs that do not fit the graph, a graph of another model, or a model that fails; names the user's line.
        """
        codes = check_inputs(self.graph, inputs)
        samples = len(next(iter(codes.values())))
        per_sample = sum(self.graph.values[name].size for name in self.graph.activations())
        step = max(1, CHUNK_ELEMENTS // per_sample)
        mode = self.model.training
        self.model.to(self.device).eval()
        try:
            with torch.no_grad():
                plan = self._planned()
                chunks = [
                    self._chunk(plan, {name: array[start : start + step] for name, array in codes.items()})
                    for start in range(0, samples, step)
                ]
        except QfxError:
            raise
        except (Exception, SystemExit) as error:  # the code is the user's, and may raise anything
            line, _ = user_line(error)
            raise InputError(f"the torch model fails{f' at {line}' if line else ''}: {described(error)}") from error
        finally:
            self.model.train(mode)
        return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in self._wanted()}

    def _planned(self) -> Plan:
        """The model's plan, or for a module that is no `qfx.nn.Model` one made here; the same until something changes."""
        shapes = [self.graph.values[name].shape for name in self.graph.inputs]
        plan = self.model.exact_plan(shapes) if isinstance(self.model, Model) else self._plan
        basis = Basis(self.model, shapes)
        if plan is None or not plan.holds(basis):
            plan = Plan(lower_traced(self.model, shapes, self.graph.name), basis)
        self._plan = plan
        return plan

    def _wanted(self) -> list[str]:
        return self.graph.outputs if self.outputs_only else self.graph.activations()

    def _chunk(self, plan: Plan, codes: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, npt.NDArray[np.float64]]:
        found: dict[str, npt.NDArray[np.float64]] = {name: array.astype(np.float64) for name, array in codes.items()}
        lowered = plan.lowered

        def record(name: str, real: Tensor) -> None:
            if name in self.graph.values:
                frac = self.graph.values[name].type.frac
                codes = np.ldexp(real.to(torch.float64).cpu().numpy(), frac)
                found[name] = codes[:, None] if codes.ndim == 1 else codes  # a graph has no scalars: an argmax is (1,)

        fed = [_encode(lowered, name, array).to(self.device) for name, array in codes.items()]
        if not self.outputs_only or None in lowered.returned:  # of an output that only post-processing reads nothing is returned
            interpreter = _Observer(lowered, record)
            with entered(plan.evaluation(interpreter.observe)):
                interpreter.run(*fed)
        with entered(plan.evaluation()):
            outputs: Any = self.model(*fed)
        results: list[Any] = [*outputs] if len(lowered.returned) > 1 or type(outputs) in (list, tuple) else [outputs]
        for name, real in zip(lowered.returned, results, strict=True):
            if name is not None:  # else post-processing of an output, which is observed before it
                record(name, real)
        missing = [name for name in self._wanted() if name not in found]
        if missing:
            raise InputError(f"the torch model has no value {missing[0]!r}; the graph was lowered from another model")
        return found


def _encode(lowered: Lowered, name: str, codes: npt.NDArray[np.int64]) -> Tensor:
    """What the model is fed for these codes: the layer that reads the input knows."""
    trace = lowered.trace
    placeholder = next(node for node in trace.nodes if node.op == "placeholder" and trace.names[node] == name)
    readers = (trace.layer(node) for node in trace.nodes if placeholder in node.all_input_nodes)
    return next(layer for layer in readers if isinstance(layer, InputLayer)).encode(codes)


class _Observer(fx.Interpreter):
    """Runs the trace node by node on the live modules; each step of the plan, and each function's result, goes to `record`."""

    def __init__(self, lowered: Lowered, record: Record) -> None:
        super().__init__(lowered.trace.module)
        self.names, self.layer_of, self.record = lowered.trace.names, lowered.trace.layer, record
        self.suffixes, self.values = lowered.suffixes, lowered.graph.values
        self.prefix = ""

    def observe(self, layer: nn.Module, suffix: str, value: Tensor) -> None:
        """A step of the layer whose node runs."""
        self.record(self.prefix + suffix, value)

    def run_node(self, n: fx.Node) -> Any:
        self.prefix = self.names[n]
        if isinstance(self.layer_of(n), Layer):
            return super().run_node(n)
        operands, kwargs = self.fetch_args_kwargs_from_env(n)
        result = super().run_node(n)
        for name, suffix in self.suffixes.get(n, {}).items():
            shown = next(iter((*operands, *kwargs.values()))) if suffix == IMAGE else result
            # the steps of a function hold the same codes: the operand's before it, the result's after it
            self.record(name, shown.reshape(len(shown), *self.values[name].shape))
        return result
