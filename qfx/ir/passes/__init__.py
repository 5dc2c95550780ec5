"""Passes: each makes a graph of a graph, verified, whose outputs are the same codes.

A pass is a module of its own. Its docstring is a numbered list of what it rewrites; `tests/ir/passes/test_<module>.py` has a test
for every number, `test_<number>_...`, that compares the outputs before and after.

Merging that has no form as ops of the graph belongs to the engine it is for: `qfx.sim.chain` plans NumPy calls, and
`qfx.export.onnx_merge` ONNX nodes, in which a scale by a power of two and a sum with one half are one step.
"""
