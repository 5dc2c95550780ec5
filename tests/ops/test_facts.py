"""What ops say of themselves to passes and engines, held against their meaning."""

from __future__ import annotations

import numpy as np
import pytest

from qfx.fixed import FixedType
from qfx.ir import Value
from qfx.ops import OPS
from qfx.ops.base import Sample
from qfx.ops.multiplying import MultipliesByConstants, SumOfProducts
from qfx.ops.sampling import random_codes

SAMPLES = [sample for op in OPS.values() for sample in op.samples()]
LABELS = [f"{sample.op.kind}: {sample.label}" for sample in SAMPLES]


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if sample.op.keeps_order(sample.operands)])
def test_what_keeps_order_does(sample: Sample) -> None:
    x, *others = sample.operands
    constants = [value.codes for value in others]
    codes = random_codes(x.type, (2, 8, *x.shape), 5)
    small, large = (sample.op.evaluate([array, *constants], sample.operands) for array in (codes.min(0), codes.max(0)))
    assert (small <= large).all()


@pytest.mark.parametrize("sample", SAMPLES, ids=LABELS)
def test_digits_go_with_products_of_constants(sample: Sample) -> None:
    assert isinstance(sample.op, MultipliesByConstants) == ("digits" in sample.op.attributes())
    if isinstance(sample.op, MultipliesByConstants):
        name = sample.op.operand_names[1]
        assert name in sample.op.constant_operands
        assert sample.op.khot(40).attributes() == {**sample.op.attributes(), "digits": 40}


@pytest.mark.parametrize("sample", [sample for sample in SAMPLES if isinstance(sample.op, SumOfProducts)])
def test_a_sum_of_products_is_linear_in_its_constants(sample: Sample) -> None:
    x, *constants = sample.operands
    opposite = [
        Value(value.name, FixedType(True, value.type.width + 1, value.type.frac), value.shape, -value.codes) for value in constants
    ]
    codes = random_codes(x.type, (3, *x.shape), 5)
    there, back = (
        sample.op.evaluate([codes, *(value.codes for value in values)], [x, *values]) for values in (constants, opposite)
    )
    np.testing.assert_array_equal(there, -back)
