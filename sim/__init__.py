"""The bit-exact simulator: NumPy, qfx.fixed, qfx.ir and qfx.ops, and nothing else."""
