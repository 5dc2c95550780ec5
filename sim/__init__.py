"""The bit-exact simulator: NumPy, qfx.fixed, qfx.ir and qfx.ops, and nothing else."""

from qfx.sim.engine import Simulator, simulate

__all__ = ["Simulator", "simulate"]
