"""A kernel against the function of the reference implementation that it stands for: what several tests share."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from helpers import difference, name_of

import scratchrnn as sr
from scratchrnn.backends.numba.table import KERNELS as TABLE
from scratchrnn.layers import recurrent, rnn

# Layers of several cells, which are given those of the backend.
SYMBOLS = sr.RNN.cell.symbols
STACKED_FORWARD = partial(recurrent.forward, cell=rnn.forward, symbols=SYMBOLS)
STACKED_BACKWARD = partial(recurrent.backward, cell=rnn.backward, symbols=SYMBOLS)
STACKED_SUMS = partial(recurrent.weight_grads, cell=rnn.weight_grads, symbols=SYMBOLS)
KERNELS: dict[Any, Any] = {
    **TABLE,
    STACKED_FORWARD: partial(recurrent.forward, cell=TABLE[rnn.forward], symbols=SYMBOLS),
    STACKED_BACKWARD: partial(recurrent.backward, cell=TABLE[rnn.backward], symbols=SYMBOLS),
    STACKED_SUMS: partial(recurrent.weight_grads, cell=TABLE[rnn.weight_grads], symbols=SYMBOLS),
}


def unwritten(params: dict[str, Any]) -> dict[str, Any]:
    """Places for gradients."""
    return {symbol: np.full_like(array, np.nan) for symbol, array in params.items()}


def converted(value: Any, to_float: Any) -> Any:
    """A copy of arguments or results, however nested, with every float array in another dtype."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(converted(v, to_float) for v in value))
    if isinstance(value, (tuple, list)):
        return tuple(converted(v, to_float) for v in value)
    if isinstance(value, dict):
        return {name: converted(v, to_float) for name, v in value.items()}
    if isinstance(value, np.ndarray):
        return value.astype(to_float) if value.dtype.kind == "f" else value.copy()
    return value


def assert_same(actual: Any, text: Any, exact: Any, tolerance: float, where: str) -> None:
    """The kernel's result has the types, shapes and dtypes of the reference, and its values in float64."""
    assert type(actual) is type(text), f"{where}: {type(actual)}, expected {type(text)}"
    if isinstance(text, dict):
        assert list(actual) == list(text), where
        actual, text, exact = list(actual.values()), list(text.values()), list(exact.values())
    if isinstance(text, (tuple, list)):
        assert len(actual) == len(text), where
        for i, parts in enumerate(zip(actual, text, exact, strict=True)):
            assert_same(*parts, tolerance, f"{where}[{i}]")
    elif isinstance(text, (np.ndarray, np.generic)):
        assert (actual.dtype, actual.shape) == (text.dtype, text.shape), where
        if actual.dtype.kind != "f":
            assert np.array_equal(actual, text), where
        elif np.isfinite(exact).all():
            error = difference(actual, exact)
            assert error <= tolerance, f"{where}: off by {error}"
        else:
            assert np.array_equal(actual, text, equal_nan=True), where
    else:
        assert actual == text, where


def with_all_steps(result: Any) -> Any:
    """What a backward function returned, its error signals with zeros for the steps that it leaves out."""
    dx, dstate0, da, flow = result

    def whole(da: Any) -> Any:
        if isinstance(da, tuple):
            return tuple(map(whole, da))
        T = len(getattr(flow, "cells", (flow,))[0].row_norms)
        return np.concatenate([da, np.zeros((T - len(da), *da.shape[1:]), da.dtype)])

    return dx, dstate0, whole(da), flow


def assert_kernel(text: Any, args: Any, options: Any, dtype: np.dtype, tolerance: float, where: str) -> None:
    """The kernel computes what the reference does in float64: results, and what arguments hold afterwards."""
    call = {which: (converted(args, dtype), converted(options, dtype)) for which in ("kernel", "text")}
    call["exact"] = (converted(args, np.float64), converted(options, np.float64))
    with np.errstate(all="ignore"):
        result = {which: (KERNELS[text] if which == "kernel" else text)(*a, **o) for which, (a, o) in call.items()}
    if name_of(text) in ("rnn.backward", "recurrent.backward"):
        result["kernel"] = with_all_steps(result["kernel"])
    assert_same(result["kernel"], result["text"], result["exact"], tolerance, where)
    assert_same(call["kernel"], call["text"], call["exact"], tolerance, f"arguments after {where}")
