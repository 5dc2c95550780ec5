"""The bit-exact simulator: NumPy, qfx.fixed, qfx.ir and qfx.ops, and nothing else."""

if __name__ == "sim":
    raise ImportError("import qfx.sim, not sim: that would be a second copy of the same modules, with classes of its own")

from qfx.sim.engine import FastSimulator, Simulator, simulate_chunks

__all__ = ["FastSimulator", "Simulator", "simulate_chunks"]
