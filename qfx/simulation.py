"""`simulate`: what a network gives for integer inputs, by the bit-exact simulator. Needs NumPy only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from qfx.annotations import explained
from qfx.arguments import instance, names, whole
from qfx.errors import InputError
from qfx.fixed import IntArray
from qfx.ir import Graph
from qfx.sim.engine import Codes, FastSimulator, given_codes


class HasGraph(Protocol):
    """What holds a graph, such as a project or an accelerator."""

    @property
    def graph(self) -> Graph: ...


@explained
def simulate(
    network: Graph | HasGraph, inputs: Codes, wanted: Collection[str] | None = None, *, threads: int = 0
) -> dict[str, IntArray]:
    """The outputs of a network for integer inputs, exact to the bit.

    Args:
        network: a graph, or what has one: a project, an accelerator.
        inputs: codes (samples, *shape) of the only input, any integer dtype; of several inputs the codes of each by its name.
        wanted: names of the values to give; None for the network's outputs.
        threads: blocks of samples that are computed at a time; 0 for one per core.

    Returns:
        int64 codes (samples, *shape) by the name of the value; a code times `graph.values[name].type.step` is the real value.

    Raises:
        InputError: arguments of another kind; inputs that do not fit the network, by shape, dtype, range or name, or hold no
            sample; a value that it does not compute.
    """
    graph = instance("the network", getattr(network, "graph", network), Graph, "a qfx.Graph is wanted, a Project or an Accelerator")
    wanted = None if wanted is None else names("wanted", wanted)
    threads = whole("the number of threads", threads, 0)
    unknown = [] if wanted is None else [name for name in wanted if name not in graph.activations()]
    if unknown:
        raise InputError(f"{unknown[0]!r} is no value that the network computes; it has {', '.join(graph.activations())}")
    return FastSimulator(graph, wanted, threads).run(given_codes(graph, inputs))
