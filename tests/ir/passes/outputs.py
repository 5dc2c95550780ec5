"""What every test of a pass does: the outputs before and after, compared."""

from __future__ import annotations

import numpy as np

from qfx.ir import Graph
from qfx.ops.sampling import corner_codes, random_codes
from qfx.sim import Simulator


def assert_same_outputs(before: Graph, after: Graph, samples: int = 30) -> None:
    """Both graphs take the same inputs and give the same outputs, by the ops' own arithmetic, on corner and random codes."""
    assert before.inputs == after.inputs and before.outputs == after.outputs
    inputs = [before.values[name] for name in before.inputs]
    assert inputs == [after.values[name] for name in after.inputs]
    codes = {
        value.name: np.concatenate([corner_codes(value.type, value.shape), random_codes(value.type, (samples, *value.shape), seed)])
        for seed, value in enumerate(inputs)
    }
    wanted, found = Simulator(before).run(codes), Simulator(after).run(codes)
    for name in before.outputs:
        assert before.values[name].type == after.values[name].type
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
