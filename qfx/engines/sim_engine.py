"""The simulators as an engine of verification: both that there are, each for the values that it is evidence for."""

from __future__ import annotations

from qfx.fixed import IntArray
from qfx.ir import Graph
from qfx.sim.engine import FastSimulator, Simulator


class SimulatorEngine:
    """The graph's outputs as the program gives them, so that what users run is what is verified; all other values as the
    interpreter gives them, which checks every code against its format.

    Args:
        graph: the network.
        outputs_only: whether to give no value but the outputs; then the interpreter does not run.
    """

    name = "sim"

    def __init__(self, graph: Graph, outputs_only: bool = False) -> None:
        self._interpreter = None if outputs_only else Simulator(graph)
        self._program = FastSimulator(graph)

    def run(self, inputs: dict[str, IntArray]) -> dict[str, IntArray]:
        """Values of one batch of input codes (batch, *shape)."""
        values = {} if self._interpreter is None else self._interpreter.run(inputs)
        return {**values, **self._program.run(inputs)}
