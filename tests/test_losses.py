"""Losses: values against plain formulas, gradients against the complex step, masks, blocks and extreme logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from helpers import LOSSES, N, O, T, complex_step, difference, naive_entry

import scratchrnn.losses

MASK = np.random.default_rng(1).random((T, N)) < 0.6
MASK[2] = False


def problem(loss: str, masked: bool = False, dtype: Any = np.float64) -> tuple[Any, tuple[Any, Any, int, Any]]:
    """The loss function and its arguments y, target, count, mask, with garbage in the targets that do not count."""
    rng = np.random.default_rng(0)
    y = rng.normal(0, 3, (T, N, O)).astype(dtype)
    target = rng.normal(size=(T, N, O)).astype(dtype) if loss == "mse" else rng.integers(O, size=(T, N))
    mask, count = (MASK, int(MASK.sum())) if masked else (None, T * N)
    if masked:
        target[~MASK] = np.nan if loss == "mse" else -(10**9)
    return summed(scratchrnn.losses.LOSSES[loss]), (y, target, count, mask)


def summed(function: Any) -> Any:
    """A loss function that returns L, the sum of what its rows contribute."""

    def total(*args: Any) -> Any:
        losses, dy = function(*args)
        assert losses.shape == dy.shape[1:2]
        return losses.sum(), dy

    return total


@pytest.fixture(params=LOSSES)
def loss(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[False, True], ids=["everything counts", "masked"])
def masked(request: pytest.FixtureRequest) -> bool:
    return request.param


def test_the_value_is_the_plain_formula(loss: str, masked: bool) -> None:
    function, (y, target, count, mask) = problem(loss, masked)
    value, _ = function(y, target, count, mask)
    entries = [(t, n) for t in range(T) for n in range(N) if mask is None or mask[t, n]]
    expected = math.fsum(naive_entry(loss, y[t, n].tolist(), target[t, n].tolist()) for t, n in entries) / len(entries)
    assert value == pytest.approx(expected, rel=1e-14)


def test_the_gradient_is_the_complex_step(loss: str, masked: bool) -> None:
    function, (y, *rest) = problem(loss, masked)
    _, dy = function(y, *rest)
    assert difference(dy, complex_step(lambda z: function(z, *rest)[0], y)) < 1e-14
    if masked:
        assert not dy[~MASK].any()


def test_value_and_gradient_are_pytorchs(torch: Any, loss: str, masked: bool) -> None:
    function, (y, target, count, mask) = problem(loss, masked)
    value, dy = function(y, target, count, mask)
    z = torch.tensor(y, requires_grad=True)
    chosen = np.ones((T, N), dtype=bool) if mask is None else mask
    theirs = torch.nn.functional.mse_loss if loss == "mse" else torch.nn.functional.cross_entropy
    expected = theirs(z[chosen], torch.tensor(target[chosen]))
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-14)
    assert difference(dy, z.grad.numpy()) < 1e-14


def test_float32_gives_float32_gradients_and_a_float64_value(loss: str, masked: bool) -> None:
    function, (y, target, count, mask) = problem(loss, masked, np.float32)
    value, dy = function(y, target, count, mask)
    wide_target = target.astype(np.float64) if loss == "mse" else target
    expected, expected_dy = function(y.astype(np.float64), wide_target, count, mask)
    assert value.dtype == np.float64
    assert dy.dtype == np.float32
    assert value == pytest.approx(float(expected), rel=1e-7)
    assert difference(dy, expected_dy) < 1e-6


def test_values_accumulate_in_float64() -> None:
    """A mean over many float32 errors of 0.1, one of which is 1e4: float32 sums would lose the small ones."""
    y = np.full((1000, 100, 1), 0.1, np.float32)
    y[0] = 1e4
    exact = (100 * 1e4**2 + 99_900 * float(np.float32(0.1)) ** 2) / 100_000
    losses, _ = scratchrnn.losses.mse(y, np.zeros_like(y), 100_000)
    assert losses.sum() == pytest.approx(exact, rel=1e-12)


def test_each_row_is_told_its_share(loss: str, masked: bool) -> None:
    _, (y, target, count, mask) = problem(loss, masked)
    shares, _ = scratchrnn.losses.LOSSES[loss](y, target, count, mask)
    for n, share in enumerate(shares):
        steps = [t for t in range(T) if mask is None or mask[t, n]]
        expected = math.fsum(naive_entry(loss, y[t, n].tolist(), target[t, n].tolist()) for t in steps) / count
        assert share == pytest.approx(expected, rel=1e-14)


def test_blocks_of_rows_add_up(loss: str, masked: bool) -> None:
    function, (y, target, count, mask) = problem(loss, masked)
    value, dy = function(y, target, count, mask)
    blocks = [
        function(y[:, rows], target[:, rows], count, None if mask is None else mask[:, rows])
        for rows in (slice(0, 1), slice(1, N))
    ]
    assert sum(block[0] for block in blocks) == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(np.concatenate([block[1] for block in blocks], axis=1), dy, rtol=1e-14)


def test_what_does_not_count_is_never_read(loss: str) -> None:
    function, (y, target, count, mask) = problem(loss, masked=True)
    before = function(y, target, count, mask)
    target[~MASK] = 1e300 if loss == "mse" else 10**9
    after = function(y, target, count, mask)
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])


def test_arguments_are_left_as_they_were(loss: str, masked: bool) -> None:
    function, arguments = problem(loss, masked)
    before = [np.copy(a) for a in arguments[:2]]
    function(*arguments)
    for array, copy in zip(arguments[:2], before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_nan_in_a_counted_output_gives_a_nan_loss(loss: str) -> None:
    function, (y, *rest) = problem(loss)
    y[1, 2, 3] = np.nan
    assert math.isnan(function(y, *rest)[0])


def test_a_single_class_costs_nothing() -> None:
    y, target = np.random.default_rng(0).normal(size=(T, N, 1)), np.zeros((T, N), int)
    target[~MASK] = 99
    losses, dy = scratchrnn.losses.softmax_cross_entropy(y, target, int(MASK.sum()), MASK)
    assert losses.tolist() == [0] * N
    assert not dy.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shift", [0, -2e4])
@pytest.mark.parametrize(
    ("logits", "target", "value", "gradient"),
    [
        ([1, 0, 0], 0, 0.0, [0, 0, 0]),  # certain and right
        ([1, 0, 0], 1, 1e4, [1, -1, 0]),  # certain and wrong by the whole distance
        ([1, 1, 0], 1, math.log(2), [0.5, -0.5, 0]),  # undecided between two
        ([1, 1, 1], 2, math.log(3), [1 / 3, 1 / 3, -2 / 3]),
        ([-1, 1, -1], 2, 2e4, [0, 1, -1]),
    ],
)
def test_cross_entropy_is_exact_for_huge_logits(
    dtype: Any, shift: float, logits: list[float], target: int, value: float, gradient: list[float]
) -> None:
    """Logits of ±1e4; a shift of all of them changes nothing."""
    y = np.array([[logits]], dtype) * dtype(1e4) + dtype(shift)
    (loss,), dy = scratchrnn.losses.softmax_cross_entropy(y, np.array([[target]]), 1)
    assert loss == pytest.approx(value, rel=1e-15)
    np.testing.assert_allclose(dy[0, 0], np.array(gradient, dtype), rtol=np.finfo(dtype).eps, atol=0)


def test_a_tiny_probability_keeps_its_digits() -> None:
    """log Σ exp of logits 0 and −50 is 1.9e-22: lost in the sum, but the loss of the second class is exact."""
    y = np.array([[[0.0, -50.0]]])
    (loss,), dy = scratchrnn.losses.softmax_cross_entropy(y, np.array([[1]]), 1)
    assert loss == 50.0
    assert dy[0, 0].tolist() == pytest.approx([1.0, -1.0], rel=1e-15)
    _, dy = scratchrnn.losses.softmax_cross_entropy(y, np.array([[0]]), 1)
    assert dy[0, 0, 1] == pytest.approx(math.exp(-50), rel=1e-14)
