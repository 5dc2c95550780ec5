"""The typed intermediate representation: values, nodes, graphs, their files."""

from qfx.ir.graph import Graph, GraphBuilder, Node
from qfx.ir.graph_files import load_graph, save_graph
from qfx.ir.host_step import HostStep
from qfx.ir.value import Value

__all__ = ["Graph", "GraphBuilder", "HostStep", "Node", "Value", "load_graph", "save_graph"]
