"""Type rules and bounds: exact for every input, by brute force and by random search."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfx.errors import ExactnessError, FormatError, GraphError
from qfx.exact import accumulator_dtype, storage_dtype, widest
from qfx.fixed import FixedType, IntArray, Overflow
from qfx.ir import Value
from qfx.ops import OPS, Add, Affine, AvgPool2d, Concat, Conv2d, Linear, MaxPool2d, Op, PReLU, ReLU, Requantize, Reshape, Sample
from qfx.ops.base import signed_digits
from qfx.ops.sampling import activation, constant, corner_codes, khot_constant, random_codes

SAMPLES = [(kind, sample) for kind, op in OPS.items() for sample in op.samples()]
IDS = [f"{kind}: {sample.label}" for kind, sample in SAMPLES]


@pytest.mark.parametrize(("kind", "sample"), SAMPLES, ids=IDS)
def test_results_stay_in_the_inferred_type_and_bound(kind: str, sample: Sample) -> None:
    operands = sample.operands
    arrays = [
        value.constant
        if value.constant is not None
        else np.concatenate([random_codes(value.type, (64, *value.shape), 7), corner_codes(value.type, value.shape)])
        for value in operands
    ]
    type, shape = sample.op.infer(operands)
    result = sample.op.evaluate(arrays, operands)
    assert result.shape[1:] == shape
    assert result.dtype == np.int64
    assert type.contains(result)
    if not sample.op.lossy:
        assert np.abs(result).max() <= sample.op.bound(operands)


def extremes(op: Op, operands: tuple[Value, ...]) -> tuple[int, int]:
    """Least and greatest result over every combination of extreme inputs."""
    free = [value for value in operands if value.constant is None]
    rows: list[tuple[int, ...]] = [
        tuple(r) for r in itertools.product(*[(v.type.min_int, v.type.max_int, 0) for v in free for _ in range(v.size)])
    ]
    batch = np.array(rows, np.int64)
    arrays: list[IntArray] = []
    start = 0
    for value in operands:
        if value.constant is not None:
            arrays.append(value.constant)
        else:
            arrays.append(batch[:, start : start + value.size].reshape(len(batch), *value.shape))
            start += value.size
    result = op.evaluate(arrays, operands)
    return int(result.min()), int(result.max())


formats = st.builds(FixedType, st.booleans(), st.integers(1, 9), st.integers(-4, 12))


@settings(deadline=None)
@given(x=formats, w=formats, b=formats, seed=st.integers(0, 99))
def test_sums_of_products_cover_the_extremes(x: FixedType, w: FixedType, b: FixedType, seed: int) -> None:
    operands = (activation("x", x, (4,)), constant("w", w, (3, 4), seed), constant("b", b, (3,), seed + 1))
    type, _ = Linear().infer(operands)
    low, high = extremes(Linear(), operands)
    assert type.min_int <= low and high <= type.max_int
    without = operands[:2]
    low, high = extremes(Linear(), without)
    type, _ = Linear().infer(without)
    assert type == FixedType.for_range(low, high, x.frac + w.frac)  # without a bias the rule is tight


@settings(deadline=None)
@given(x=formats, s=formats, o=formats, seed=st.integers(0, 99))
def test_element_wise_rules_cover_the_extremes(x: FixedType, s: FixedType, o: FixedType, seed: int) -> None:
    value, scale, offset = activation("x", x, (3,)), constant("s", s, (3,), seed), constant("o", o, (3,), seed + 1)
    cases: list[tuple[Op, tuple[Value, ...]]] = [
        (Affine(), (value, scale, offset)),
        (PReLU(), (value, scale)),
        (Add(), (value, activation("y", o, (3,)))),
        (ReLU(), (value,)),
    ]
    for op, operands in cases:
        type, _ = op.infer(operands)
        low, high = extremes(op, operands)
        assert type.min_int <= low and high <= type.max_int, op
        if op.kind in ("add", "relu"):
            assert type == FixedType.for_range(min(low, 0), high, type.frac)


def test_real_values_are_kept_exactly() -> None:
    """Equations on real values, in float64, for formats whose results are exact there."""
    x = activation("x", FixedType(True, 6, 3), (2, 4, 4))
    w, b = constant("w", FixedType(True, 5, 4), (3, 2, 2, 2), 1), constant("b", FixedType(True, 7, 9), (3,), 2)
    codes = random_codes(x.type, (5, *x.shape), 3)
    type, _ = Conv2d().infer((x, w, b))
    result = type.to_real(Conv2d().evaluate([codes, w.codes, b.codes], (x, w, b)))
    expected = np.zeros_like(result)
    for i, j in itertools.product(range(3), repeat=2):
        patch = x.type.to_real(codes)[:, None, :, i : i + 2, j : j + 2]
        expected[:, :, i, j] = (patch * w.type.to_real(w.codes)).sum(axis=(2, 3, 4)) + b.type.to_real(b.codes)
    assert np.array_equal(result, expected)


def test_average_of_a_power_of_two_area_is_exact() -> None:
    x = activation("x", FixedType(False, 4, 1), (2, 4, 4))
    codes = random_codes(x.type, (9, *x.shape), 4)
    op = AvgPool2d((2, 4), (2, 4))
    type, _ = op.infer((x,))
    mean = x.type.to_real(codes).reshape(9, 2, 2, 2, 1, 4).mean(axis=(3, 5))
    assert np.array_equal(type.to_real(op.evaluate([codes], (x,))), mean)
    assert op.cost((x,)).multiplications == 0


def test_signed_digits_of_known_numbers() -> None:
    codes = np.array([0, 1, -1, 3, 7, -7, 11, 45, 85, 170, -128, 127, 2**62, -(2**62)])
    assert signed_digits(codes).tolist() == [0, 1, 1, 2, 2, 2, 3, 4, 4, 4, 1, 2, 1, 1]


def test_khot_claims_are_checked_and_costed() -> None:
    x = activation("x", FixedType(True, 8, 0), (2,))
    w = Value("w", FixedType(True, 8, 0), (2, 2), np.array([[3, 0], [5, 64]]))
    assert Linear(digits=2).cost((x, w)).shift_adds == 5
    assert Linear(digits=2).cost((x, w)).multiplications == 0
    with pytest.raises(GraphError, match="linear declares 1-hot constants, but 'w' has a code with 2 signed digits"):
        Linear(digits=1).infer((x, w))
    for op in (Affine(digits=1), PReLU(digits=1)):
        scale = Value("s", FixedType(True, 8, 0), (2,), np.array([4, 11]))
        with pytest.raises(GraphError, match=f"{op.kind} declares 1-hot constants, but 's' has a code with 3 signed digits"):
            op.infer((x, scale, scale)[: len(op.operand_names)])


IMAGE = activation("x", FixedType(True, 4, 2), (4, 5, 5))
S4 = IMAGE.type
BAD: list[tuple[Op, tuple[Value, ...], str]] = [
    (Conv2d(), (IMAGE, constant("w", S4, (3, 3, 3, 3), 1)), "4 channels, 1 groups and weight (3, 3, 3, 3) do not fit"),
    (Conv2d(), (activation("x", S4, (4,)), constant("w", S4, (3, 4, 3, 3), 1)), "conv2d wants x (C, H, W)"),
    (
        Conv2d(),
        (IMAGE, constant("w", S4, (3, 4, 7, 3), 1)),
        "a window of (7, 3) with dilation (1, 1) is larger than the image (5, 5)",
    ),
    (Conv2d(stride=(0, 1)), (IMAGE, constant("w", S4, (3, 4, 3, 3), 1)), "stride (0, 1) is below 1"),
    (Conv2d(), (IMAGE, constant("w", S4, (3, 4, 3, 3), 1), constant("b", S4, (4,), 1)), "bias (4,) does not fit 3 output channels"),
    (
        Linear(),
        (activation("x", S4, (4,)), constant("w", S4, (3, 4), 1), constant("b", S4, (4,), 1)),
        "bias (4,) does not fit 3 outputs",
    ),
    (Affine(), (IMAGE, constant("s", S4, (4,), 1), constant("o", S4, (3,), 1)), "'o' (3,) does not fit 4 channels"),
    (Affine(), (IMAGE, constant("s", S4, (4,), 1), constant("o", S4, (1,), 1)), "'o' (1,) does not fit 4 channels"),
    (Concat(3), (IMAGE, IMAGE), "concat: (4, 5, 5) has no axis 3"),
    (Concat(1), (IMAGE, activation("y", S4, (4, 5, 1))), "shapes (4, 5, 5) and (4, 5, 1) differ in more than axis 1"),
    (Concat(), (IMAGE, activation("y", S4, (4, 5))), "shapes (4, 5, 5) and (4, 5) differ in more than axis 0"),
    (Concat(1), (activation("x", S4, (4, 5)), activation("y", S4, (4,))), "shapes (4, 5) and (4,) differ in more than axis 1"),
    (PReLU(), (IMAGE, constant("s", S4, (1,), 1)), "slope (1,) does not fit 4 channels"),
    (Add(), (IMAGE, activation("y", S4, (4, 5, 1))), "shapes (4, 5, 5) and (4, 5, 1) differ; broadcasting is not supported"),
    (Reshape((3, 3)), (IMAGE,), "(4, 5, 5) has 100 elements, (3, 3) has 9"),
    (MaxPool2d((2, 2), (2, 2), (2, 0)), (IMAGE,), "padding (2, 0) is above half the kernel (2, 2)"),
    (MaxPool2d((2, 2), (2, 2)), (activation("x", S4, (4,)),), "max_pool2d wants x (C, H, W)"),
    (AvgPool2d((3, 3), (3, 3)), (IMAGE,), "an area of 9 is no power of two and needs a reciprocal format"),
    (AvgPool2d((2, 2), (2, 2), reciprocal=S4), (IMAGE,), "an area of 4 is a power of two; leave the reciprocal out"),
    (AvgPool2d((3, 3), (3, 3), reciprocal=FixedType(False, 4, 2)), (IMAGE,), "1/9 has the code 0 in FixedType"),
    (
        Requantize(FixedType(False, 4, 2), overflow=Overflow.WRAP_SM),
        (IMAGE,),
        r"requantize to ap_ufixed<4, 2>: AP_WRAP_SM has no meaning in an unsigned format",
    ),
]


@pytest.mark.parametrize(("op", "operands", "message"), BAD, ids=[message for _, _, message in BAD])
def test_misfits_are_refused(op: Op, operands: tuple[Value, ...], message: str) -> None:
    with pytest.raises(GraphError, match=re.escape(message)):
        op.infer(operands)


def test_results_beyond_63_bits_are_refused() -> None:
    wide = FixedType(True, 40, 0)
    with pytest.raises(FormatError, match="above the limit of 63; narrow the operands"):
        Linear().infer((activation("x", wide, (4,)), constant("w", wide, (2, 4), 1)))


def test_accumulator_limits() -> None:
    assert [accumulator_dtype(b) for b in (0, 2**24 - 1, 2**24, 2**53 - 1, 2**53, 2**63 - 1)] == [
        "float32", "float32", "float64", "float64", "int64", "int64",
    ]  # fmt: skip
    with pytest.raises(ExactnessError, match="an intermediate reaches 64 bits, above the 63 of the widest accumulator"):
        accumulator_dtype(2**63)


def test_what_is_only_stored_may_have_the_magnitude_of_the_limit() -> None:
    assert [storage_dtype(b) for b in (2**24, 2**24 + 1, 2**53, 2**53 + 1)] == ["float32", "float64", "float64", None]


def test_accumulators_are_ordered_by_what_they_hold() -> None:
    assert widest(["float64", "float32"]) == "float64" and widest(["float64", "int64", "float32"]) == "int64"


def test_wide_weights_are_summed_without_overflow() -> None:
    x = activation("x", FixedType(True, 2, 0), (4,))
    w = Value("w", FixedType(True, 61, 0), (1, 4), np.full((1, 4), 2**59, np.int64))
    type, _ = Linear().infer((x, w))
    assert type == FixedType.for_range(-2 * 4 * 2**59, 4 * 2**59, 0)
    codes = np.array([[1, 1, 1, 1], [-2, -2, -2, -2]])
    assert Linear().evaluate([codes, w.codes], (x, w)).tolist() == [[2**61], [-(2**62)]]


def test_khot_samples_are_khot() -> None:
    for width, digits in ((6, 1), (8, 2), (8, 3)):
        assert signed_digits(khot_constant("w", FixedType(True, width, 0), (500,), 3, digits).codes).max() <= digits
