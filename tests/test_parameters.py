"""Parameters: named views of one flat vector."""

from __future__ import annotations

import copy
import pickle
from collections.abc import MutableMapping
from typing import Any

import numpy as np
import pytest

import scratchrnn as sr

SHAPES = {"W": (2, 3), "b": (2,), "s": ()}


def numbered(dtype: Any = np.float64) -> sr.Parameters:
    return sr.Parameters(SHAPES, np.arange(9, dtype=dtype))


def test_views_lie_in_declared_order_without_gaps() -> None:
    params = numbered()
    assert isinstance(params, MutableMapping)
    assert list(params) == ["W", "b", "s"]
    assert len(params) == 3
    assert params.shapes == {"W": (2, 3), "b": (2,), "s": ()}
    np.testing.assert_array_equal(params["W"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(params["b"], [6, 7])
    assert params["s"] == 8
    for array in params.values():
        assert np.shares_memory(array, params.vector)
        assert array.flags.c_contiguous


def test_a_vector_is_taken_as_it_is() -> None:
    vector = np.zeros(9, np.float32)
    params = sr.Parameters(SHAPES, vector)
    assert params.vector is vector
    vector[7] = 5
    assert params["b"][1] == 5
    params["W"][1, 0] = 2
    assert vector[3] == 2
    assert not sr.Parameters(SHAPES).vector.any()
    assert sr.Parameters(SHAPES).vector.dtype == np.float64


def test_assignment_copies_into_the_view() -> None:
    params = numbered(np.float32)
    view, value = params["W"], np.full((2, 3), 7.5)
    params["W"] = value
    value[:] = 0
    assert params["W"] is view
    assert params.vector.dtype == np.float32
    np.testing.assert_array_equal(params.vector, [7.5] * 6 + [6, 7, 8])
    params["b"] = [1, 2]
    params["s"] = 3
    np.testing.assert_array_equal(params.vector[6:], [1, 2, 3])
    params["b"] += 1
    np.testing.assert_array_equal(params.vector[6:], [2, 3, 3])
    params.update(b=[8, 9])
    np.testing.assert_array_equal(params.vector[6:], [8, 9, 3])


@pytest.mark.parametrize("value", [np.zeros((3, 2)), np.zeros(3), np.zeros((1, 3)), 0.0, np.zeros((1, 2, 3))])
def test_assignment_checks_the_shape(value: Any) -> None:
    params = numbered()
    shape = str(np.shape(value)).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"W has shape \(2, 3\), got an array of shape {shape}"):
        params["W"] = value
    np.testing.assert_array_equal(params.vector, np.arange(9))


def test_names_are_fixed() -> None:
    params = numbered()
    with pytest.raises(KeyError, match="no parameter 'U'; there are W, b, s"):
        params["U"]
    with pytest.raises(KeyError, match="no parameter 'U'"):
        params["U"] = np.zeros(2)
    for remove in (lambda: params.pop("W"), lambda: params.__delitem__("W"), params.clear):
        with pytest.raises(TypeError, match="none can be deleted"):
            remove()
    assert "W" in params and "U" not in params
    np.testing.assert_array_equal(params.vector, np.arange(9))


@pytest.mark.parametrize("vector", [np.zeros(8), np.zeros(10), np.zeros((9, 1)), np.zeros((3, 3))])
def test_a_vector_of_another_size_is_refused(vector: Any) -> None:
    with pytest.raises(ValueError, match="these parameters need a vector of 9 entries, got an array of shape"):
        sr.Parameters(SHAPES, vector)


def test_like_gives_the_same_names_over_another_vector() -> None:
    params, other = numbered(), np.arange(9) * 1j
    like = params.like(other)
    assert like.vector is other
    assert like.shapes == params.shapes
    assert like["b"].tolist() == [6j, 7j]


@pytest.mark.parametrize(
    "copied", [sr.Parameters.copy, copy.copy, copy.deepcopy, lambda params: pickle.loads(pickle.dumps(params))]
)
def test_copies_are_views_of_a_vector_of_their_own(copied: Any) -> None:
    params = numbered(np.float32)
    other = copied(params)
    assert other.shapes == params.shapes
    assert other.vector.dtype == np.float32
    np.testing.assert_array_equal(other.vector, params.vector)
    other["W"][0, 0] = 99
    assert other.vector[0] == 99
    if copied is not copy.copy:  # which shares the vector, as a shallow copy does
        assert params.vector[0] == 0


def test_repr() -> None:
    assert repr(numbered(np.float32)) == "Parameters(W (2, 3), b (2,), s (); 9 float32)"


def test_ends_say_where_each_array_lies() -> None:
    params = sr.Parameters({"W": (2, 3), "b": (2,)}, np.arange(8.0))
    assert params.ends.tolist() == [6, 8]
    for array, part in zip(params.values(), np.split(params.vector, params.ends[:-1]), strict=True):
        np.testing.assert_array_equal(part, array.reshape(-1))
