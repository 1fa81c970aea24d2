"""`pad` and `windows`: rows of unequal length and series as the arrays that a model takes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import scratchrnn as sr


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_of_vectors(dtype: Any, rng: np.random.Generator) -> None:
    rows = [rng.normal(size=(n, 3)).astype(dtype) for n in (4, 7, 1, 6, 7)]
    x, lengths = sr.pad(rows)
    assert x.shape == (5, 7, 3) and x.dtype == dtype
    assert lengths.tolist() == [4, 7, 1, 6, 7] and lengths.dtype == np.int64
    for padded, row in zip(x, rows, strict=True):
        np.testing.assert_array_equal(padded[: len(row)], row)
        assert not padded[len(row) :].any()


def test_a_model_makes_of_padded_rows_what_it_makes_of_each(rng: np.random.Generator) -> None:
    model = sr.VanillaRNN(3, 6, 5, backend="numpy")
    rows, targets = [rng.normal(size=(n, 3)) for n in (4, 7, 1)], [rng.normal(size=(n, 5)) for n in (4, 7, 1)]
    (x, lengths), (target, _) = sr.pad(rows), sr.pad(targets)
    losses = [model.loss(row[None], its[None]) for row, its in zip(rows, targets, strict=True)]
    assert model.loss(x, target, lengths=lengths) == pytest.approx(np.average(losses, weights=lengths), rel=1e-14)


def test_rows_of_numbers_get_an_axis_of_one_feature() -> None:
    x, lengths = sr.pad([[0.5, 0.25], np.array([1.0, 2.0, 3.0]), (4.0,)])
    assert x[..., 0].tolist() == [[0.5, 0.25, 0], [1, 2, 3], [4, 0, 0]] and x.shape == (3, 3, 1)
    assert sr.VanillaRNN(1, 4, 2, backend="numpy").predict(x, "all", lengths=lengths).shape == (3, 3, 2)


def test_rows_of_tokens_and_of_booleans() -> None:
    x, lengths = sr.pad([[3, 1, 4], [1], [5, 2]])
    assert x.tolist() == [[3, 1, 4], [1, 0, 0], [5, 2, 0]] and x.dtype == np.int64 and lengths.tolist() == [3, 1, 2]
    assert sr.pad([np.array([1, 2], np.uint8), np.array([300], np.int16)])[0].dtype == np.int16
    assert sr.pad([np.array([[1, 2]]), np.array([[3, 4], [5, 6]])])[0].shape == (2, 2, 2)
    mask, _ = sr.pad([[True, True], [False, True, True]])
    assert mask.dtype == bool and mask.tolist() == [[True, True, False], [False, True, True]]


def test_rows_may_come_as_anything_that_is_gone_through(rng: np.random.Generator) -> None:
    rows = [rng.normal(size=(n, 2)) for n in (3, 5)]
    expected, lengths = sr.pad(rows)
    for given in (tuple(rows), iter(rows), dict(enumerate(rows)).values(), np.array([*rows, None], object)[:2]):
        np.testing.assert_array_equal(sr.pad(given)[0], expected)
    x, lengths = sr.pad(expected)  # rows of one length
    assert (x == expected).all() and lengths.tolist() == [5, 5]
    x[...] = 0
    assert expected.any()


@pytest.mark.parametrize(
    ("rows", "error", "text"),
    [
        ([], ValueError, "there are no rows to pad"),
        (np.zeros((0, 4)), ValueError, "there are no rows to pad"),
        ([[1, 2], []], ValueError, "rows[1] is empty, of shape (0,); a model reads at least one step"),
        ([np.zeros((2, 3)), np.zeros((0, 3))], ValueError, "rows[1] is empty, of shape (0, 3)"),
        ([np.zeros((2, 3)), np.zeros((4, 2))], ValueError, "rows[1] has shape (4, 2), but rows[0] has shape (2, 3)"),
        ([np.zeros(2), np.zeros((4, 1))], ValueError, "rows[1] has shape (4, 1), but rows[0] has shape (2,)"),
        ([np.zeros((1, 2, 3))], ValueError, "rows[0] has shape (1, 2, 3), expected (T,) or (T, D)"),
        ([1, 2, 3], ValueError, "rows[0] has shape (), expected (T,) or (T, D); for one row pass [rows]"),
        (5, TypeError, "pad takes a list of rows, got int"),
        ([[[1.0], [2.0, 3.0]]], ValueError, "rows[0] must be one array, but its rows differ in shape"),
        ([[1, 2], [0.5]], TypeError, "rows[1] holds floats, but rows[0] integers; if all are numbers"),
        ([[0.5], [1, 2]], TypeError, "rows[1] holds integers, but rows[0] floats"),
        ([[True], [1]], TypeError, "rows[1] holds integers, but rows[0] booleans"),
        ([np.ma.array([1.0, 2.0])], TypeError, "rows[0] is a masked array"),
        ("text", TypeError, "pad takes a list of rows, got str"),
        ({"a": [1]}, TypeError, "rows must be an array, got a dict"),
        ([["a"]], TypeError, "rows[0] must be an array of real numbers, got <U1"),
        ([[1j]], TypeError, "rows[0] must be an array of real numbers, got complex128"),
        ([np.array([1], np.uint64), np.array([1])], TypeError, "no integer type holds rows of int64 and uint64"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        sr.pad(rows)


def test_the_advice_for_mixed_rows_leads_on() -> None:
    rows = [[1, 2], [0.5]]
    with pytest.raises(TypeError) as caught:
        sr.pad(rows)
    x, _ = sr.pad(eval(str(caught.value).rpartition("pass ")[2], {"np": np, "rows": rows}))
    assert x[..., 0].tolist() == [[1, 2], [0.5, 0]]


@pytest.mark.parametrize("shape", [(17,), (17, 3)])
@pytest.mark.parametrize(("length", "horizon"), [(5, 1), (5, 4), (16, 1), (1, 1), (1, 16)])
def test_windows(shape: tuple[int, ...], length: int, horizon: int, rng: np.random.Generator) -> None:
    series = rng.normal(size=shape)
    x, target = sr.windows(series, length, horizon)
    M, F = 17 - length - horizon + 1, 1 if len(shape) == 1 else 3
    assert x.shape == (M, length, F) and target.shape == (M, F)
    table = series.reshape(17, F)
    for m in range(M):
        np.testing.assert_array_equal(x[m], table[m : m + length])
        np.testing.assert_array_equal(target[m], table[m + length - 1 + horizon])


def test_windows_are_views_that_cannot_be_written_through(rng: np.random.Generator) -> None:
    series = rng.normal(size=30)
    x, target = sr.windows(series, 6)
    assert np.shares_memory(x, series) and np.shares_memory(target, series)
    assert not x.flags.writeable and not target.flags.writeable and series.flags.writeable
    series[0] += 1
    assert x[0, 0, 0] == series[0]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_windows_train(backend: str) -> None:
    series = np.sin(0.3 * np.arange(80))
    x, target = sr.windows(series, 10)
    losses = []
    for data in ((x, target), (x.copy(), target.copy())):
        model = sr.VanillaRNN(1, 8, 1, backend=backend)
        losses.append(sr.fit(model, *data, steps="last", epochs=5, progress=False).loss)
    assert losses[0] == losses[1] and losses[0][-1] < losses[0][0] / 2


def test_integers_are_numbers_and_may_be_taken_for_tokens() -> None:
    x, target = sr.windows([2, 0, 1, 1, 2, 0], 3)
    assert x.shape == (3, 3, 1) and x.dtype == np.int64
    model = sr.VanillaRNN(3, 4, 3, loss="cross_entropy", backend="numpy")
    assert model.loss(x[..., 0], target[:, 0], steps="last") > 0
    assert sr.VanillaRNN(1, 4, 1, backend="numpy").loss(x, target, steps="last") > 0


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (
            (np.zeros(5), 5),
            ValueError,
            "a series of 5 steps has no window of 5 with a value 1 steps after it; it needs at",
        ),
        ((np.zeros(5), 3, 3), ValueError, "it needs at least 6 steps"),
        ((np.zeros(0), 1), ValueError, "a series of 0 steps"),
        ((np.zeros((2, 3, 4)), 1), ValueError, "expected a series of shape (n,) or (n, F), got (2, 3, 4)"),
        ((3.0, 1), ValueError, "expected a series of shape (n,) or (n, F), got ()"),
        ((np.zeros(9), 0), ValueError, "length must be at least 1, got 0"),
        ((np.zeros(9), 2, 0), ValueError, "horizon must be at least 1, got 0"),
        ((np.zeros(9), 2.5), TypeError, "length must be an integer, got 2.5"),
        ((np.ma.array(np.zeros(9)), 2), TypeError, "series is a masked array"),
        (([[1, 2], [3]], 1), ValueError, "series must be one array, but its rows differ in shape"),
        (("text", 1), TypeError, "series must be an array of real numbers"),
    ],
)
def test_series_that_do_not_fit_are_refused(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        sr.windows(*arguments)
    assert sr.windows(np.zeros(6), 3, 3)[0].shape == (1, 3, 1)
