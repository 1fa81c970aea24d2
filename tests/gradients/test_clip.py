"""Norms and clipping: exact where squares over- or underflow, and refusing what cannot be meant."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchrnn as sr
from scratchrnn._numerics import row_norms
from scratchrnn.gradients.clip import shrink, vector_norm

DTYPES = [np.float32, np.float64]
SHAPES = {"W": (2, 3), "b": (4,)}
VALUES = np.array([3.0, -4.0, 0.5, -0.25, 2.0, 1.0, -1.0, 0.0, 8.0, -6.0])

# The forms that gradients come in.
FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "Parameters": lambda v: sr.Parameters(SHAPES, v),
    "mapping": lambda v: {"W": v[:6].reshape(2, 3), "b": v[6:]},
    "list": lambda v: [v[:4].reshape(2, 2), v[4:]],
    "array": lambda v: v.reshape(2, 5),
}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Callable[[np.ndarray], Any]:
    """Gradients in one of their forms, as views of the vector."""
    return FORMS[request.param]


@pytest.fixture(params=DTYPES, ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


# Norms.


def test_norm_of_ordinary_numbers(form: Any, dtype: Any) -> None:
    norm = sr.global_norm(form(VALUES.astype(dtype)))
    assert isinstance(norm, float)
    assert norm == pytest.approx(math.sqrt(math.fsum(v * v for v in VALUES)), rel=1e-15)


@pytest.mark.parametrize(
    ("dtype", "size"),
    [(np.float32, s) for s in (1e-38, 1e-30, 1e-23, 1e20, 1e38)]
    + [(np.float64, s) for s in (1e-300, 1e-200, 1e-160, 1e160, 1e300)],
)
def test_norm_where_squares_leave_the_range(form: Any, dtype: Any, size: float) -> None:
    entry = float(dtype(size))
    assert sr.global_norm(form(np.full(10, size, dtype))) == pytest.approx(math.sqrt(10) * entry, rel=1e-14)
    mixed = np.array([3, -4, 0, 0, 0, 0, 0, 0, 0, 0]).astype(dtype) * dtype(size / 4)
    assert sr.global_norm(form(mixed)) == pytest.approx(5 / 4 * entry, rel=1e-6 if dtype == np.float32 else 1e-14)


def test_norm_of_float32_is_summed_in_float64() -> None:
    """A million entries of 1e-4 beside one of 1: a float32 sum would stop counting."""
    g = np.full(10**6, 1e-4, np.float32)
    g[0] = 1
    exact = math.sqrt(1 + (10**6 - 1) * float(np.float32(1e-4)) ** 2)
    assert sr.global_norm(g) == pytest.approx(exact, rel=1e-12)


def test_norm_of_nothing_and_of_the_smallest_number(form: Any, dtype: Any) -> None:
    g = np.zeros(10, dtype)
    assert sr.global_norm(form(g)) == 0.0
    g[7] = -np.finfo(dtype).smallest_subnormal
    assert sr.global_norm(form(g)) == float(np.finfo(dtype).smallest_subnormal)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_norm_lets_what_is_not_finite_through(form: Any, dtype: Any, bad: float) -> None:
    g = VALUES.astype(dtype)
    g[8] = bad
    assert math.isnan(sr.global_norm(form(g))) if math.isnan(bad) else sr.global_norm(form(g)) == math.inf


def test_norm_of_no_entries(dtype: Any) -> None:
    empty = np.zeros((0, 3), dtype)
    assert sr.global_norm(empty) == sr.global_norm({}) == sr.global_norm([]) == 0
    assert sr.global_norm([empty, np.full(4, 2, dtype)]) == 4
    assert sr.clip_by_global_norm([empty], 1.0) == 0
    assert sr.clip_by_value([empty], 1.0) is False


@pytest.mark.parametrize(
    "call", [sr.global_norm, lambda g: sr.clip_by_global_norm(g, 1), lambda g: sr.clip_by_value(g, 1)]
)
@pytest.mark.parametrize("wrong", [np.arange(3), 3.0, None, [1.0, 2.0], {"W": np.ones(2), "b": [1.0]}, np.ones(2) * 1j])
def test_what_is_no_array_of_floats_is_refused(call: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match="gradients must be arrays of floats, got"):
        call(wrong)


def test_norms_of_rows(dtype: Any) -> None:
    rows = np.array([[3, 4, 0], [1e-30, 0, 0], [0, 0, 0], [2e30, -1e30, 2e30], [np.inf, 1, 0], [1, np.nan, 0]], dtype)
    norms = row_norms(rows)
    assert norms.dtype == np.float64
    np.testing.assert_allclose(norms[:4], [5, 1e-30, 0, 3e30], rtol=1e-7 if dtype == np.float32 else 1e-15)
    assert norms[4] == np.inf and np.isnan(norms[5])
    assert row_norms(rows.reshape(2, 3, 3)).shape == (2, 3)
    assert float(vector_norm(rows[0])) == 5.0


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False, max_value=1e307, min_value=-1e307), min_size=1, max_size=8
    )
)
def test_norm_of_any_numbers(values: list[float]) -> None:
    assert sr.global_norm(np.array(values)) == pytest.approx(math.hypot(*values), rel=1e-14)


# Clipping by global norm.


def test_clipping_by_norm_is_exactly_the_ratio(form: Any, dtype: Any) -> None:
    g = VALUES.astype(dtype)
    norm = sr.global_norm(g)
    assert sr.clip_by_global_norm(form(g), 2.0) == norm
    assert g.dtype == dtype
    np.testing.assert_array_equal(g, (VALUES.astype(dtype).astype(np.float64) * (2.0 / norm)).astype(dtype))
    assert sr.global_norm(g) == pytest.approx(2.0, rel=float(4 * np.finfo(dtype).eps))


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_clipping_is_exact_at_any_size(form: Any, dtype: Any, scale: float) -> None:
    """PyTorch's 1e-6 in the denominator would zero the small ones."""
    g = (VALUES * scale).astype(dtype)
    limit = sr.global_norm(g) / 3
    expected = g.astype(np.float64) / 3
    sr.clip_by_global_norm(form(g), limit)
    np.testing.assert_allclose(g, expected, rtol=2 * np.finfo(dtype).eps)


def test_clipping_where_the_ratio_is_below_float32() -> None:
    """3e38 · 1e-45: the ratio underflows float32, the result does not."""
    g = np.array([3e38, 0], np.float32)
    sr.clip_by_global_norm(g, 1e-6)
    assert g[0] == pytest.approx(1e-6, rel=1e-6)


@pytest.mark.parametrize("limit", [1e6, math.inf])
def test_a_norm_within_the_limit_changes_nothing(form: Any, dtype: Any, limit: float) -> None:
    g = VALUES.astype(dtype)
    before = g.tobytes()
    assert sr.clip_by_global_norm(form(g), limit) == sr.global_norm(VALUES.astype(dtype))
    assert g.tobytes() == before
    assert sr.clip_by_global_norm(form(g), sr.global_norm(g)) == sr.global_norm(g)
    assert g.tobytes() == before


def test_shrink_says_whether_it_did(dtype: Any) -> None:
    g = VALUES.astype(dtype)
    assert shrink(g, 2.0, 2.0) is False
    assert shrink(g, 1.9, 2.0) is False
    np.testing.assert_array_equal(g, VALUES.astype(dtype))
    assert shrink(g, 4.0, 2.0) is True
    np.testing.assert_array_equal(g, VALUES.astype(dtype) / 2)


def test_zero_gradients_stay_zero(form: Any, dtype: Any) -> None:
    g = np.zeros(10, dtype)
    assert sr.clip_by_global_norm(form(g), 1.0) == 0.0
    assert not g.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("limit", [1.0, math.inf])
def test_a_norm_that_is_not_finite_refuses(form: Any, dtype: Any, bad: float, limit: float) -> None:
    g = VALUES.astype(dtype)
    g[3] = bad
    before = g.tobytes()
    with pytest.raises(FloatingPointError, match=r"the gradient norm is (nan|inf); clipping cannot mend that"):
        sr.clip_by_global_norm(form(g), limit)
    assert g.tobytes() == before


# Clipping by value.


def test_clipping_by_value(form: Any, dtype: Any) -> None:
    g = VALUES.astype(dtype)
    assert sr.clip_by_value(form(g), 2.0) is True
    np.testing.assert_array_equal(g, np.array([2, -2, 0.5, -0.25, 2, 1, -1, 0, 2, -2], dtype))
    assert sr.clip_by_value(form(g), 2.0) is False  # an entry at the limit is no change
    assert sr.clip_by_value(form(g), math.inf) is False
    np.testing.assert_array_equal(g, np.array([2, -2, 0.5, -0.25, 2, 1, -1, 0, 2, -2], dtype))
    assert sr.clip_by_value(form(g), 1.5) is True
    assert np.abs(g).max() == 1.5


@pytest.mark.parametrize("position", [0, 9])
@pytest.mark.parametrize("value", [5.0, -5.0])
def test_one_entry_beyond_the_limit_is_a_change(form: Any, position: int, value: float) -> None:
    g = np.zeros(10)
    g[position] = value
    assert sr.clip_by_value(form(g), 1) is True
    assert g[position] == np.sign(value)


def test_clipping_by_value_keeps_nan_and_limits_infinity(form: Any, dtype: Any) -> None:
    g = VALUES.astype(dtype)
    g[:3] = np.nan, np.inf, -np.inf
    assert sr.clip_by_value(form(g), 1.0) is True
    assert np.isnan(g[0]) and g[1:3].tolist() == [1.0, -1.0]


# Limits.


@pytest.mark.parametrize("clip", [sr.clip_by_global_norm, sr.clip_by_value])
@pytest.mark.parametrize(
    ("limit", "error", "text"),
    [
        (0, ValueError, "must be above 0, got 0"),
        (0.0, ValueError, "must be above 0, got 0.0"),
        (-1.0, ValueError, "must be above 0, got -1.0"),
        (-math.inf, ValueError, "must be above 0, got -inf"),
        (math.nan, ValueError, "must be above 0, got nan"),
        (np.float32(-2), ValueError, "must be above 0, got -2.0"),
        (True, TypeError, "must be a number above 0, got True"),
        (np.True_, TypeError, "must be a number above 0, got"),
        ("1", TypeError, "must be a number above 0, got '1'"),
        (None, TypeError, "must be a number above 0, got None"),
        (np.ones(1), TypeError, "must be a number above 0, got array"),
        (1j, TypeError, "must be a number above 0, got 1j"),
    ],
)
def test_impossible_limits(clip: Any, form: Any, limit: Any, error: type[Exception], text: str) -> None:
    g = VALUES.copy()
    name = "max_norm" if clip is sr.clip_by_global_norm else "limit"
    with pytest.raises(error, match=f"{name} {text}"):
        clip(form(g), limit)
    np.testing.assert_array_equal(g, VALUES)


@pytest.mark.parametrize("limit", [1e300, np.float64(1e300), 10**100, 1e-300])
def test_limits_outside_the_range_of_float32(form: Any, limit: Any) -> None:
    g = VALUES.astype(np.float32)
    assert sr.clip_by_value(form(g), limit) is bool(limit < 1)
    np.testing.assert_array_equal(g, VALUES.astype(np.float32) if limit > 1 else np.zeros(10))
    assert sr.clip_by_value(form(g), limit) is False
    g = VALUES.astype(np.float32)
    sr.clip_by_global_norm(form(g), limit)
    np.testing.assert_array_equal(g, VALUES.astype(np.float32) if limit > 1 else np.zeros(10))


@pytest.mark.parametrize("limit", [0.1, np.float64(0.1), np.float32(0.1)])
def test_an_entry_at_the_limit_in_its_own_dtype_is_no_change(dtype: Any, limit: Any) -> None:
    g = np.array([1.0, -2.0], dtype)
    assert sr.clip_by_value(g, limit) is True
    np.testing.assert_array_equal(g, np.array([limit, -limit], dtype))
    assert sr.clip_by_value(g, limit) is False


@pytest.mark.parametrize("clip", [sr.clip_by_global_norm, sr.clip_by_value])
@pytest.mark.parametrize("limit", [1, 1.0, np.float32(1), np.float64(1), np.int64(1)])
def test_limits_of_any_number_type(clip: Any, limit: Any) -> None:
    clipped, expected = VALUES.copy(), VALUES.copy()
    clip(clipped, limit)
    clip(expected, 1.0)
    np.testing.assert_array_equal(clipped, expected)
    assert (clipped != VALUES).any()
