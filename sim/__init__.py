"""The bit-exact simulator: NumPy, qfx.fixed, qfx.ir and qfx.ops, and nothing else."""

from qfx.sim.engine import FastSimulator, Simulator, simulate

__all__ = ["FastSimulator", "Simulator", "simulate"]
