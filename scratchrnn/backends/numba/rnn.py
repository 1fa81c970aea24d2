"""Kernels for `layers.rnn`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..._arrays import Array
from ...layers import rnn
from . import workspace
from .arrays import DOUBLE, INTEGER, for_backward, for_states, of_dtype, ready, rows_of
from .kernels.cpu import FEW_ROWS
from .kernels.product import ACTIVATION, DERIVATIVE
from .kernels.rnn import few_states, scatter, states, through_time
from .kernels.saturation import saturated_of_rows
from .products import block_sums, products, spans


def forward(
    params: Mapping[str, Array],
    x: Array,
    state: Array,
    *,
    lengths: Array | None = None,
    nonlinearity: str = "tanh",
) -> tuple[Array, Array, rnn.Trace]:
    """Kernel for `layers.rnn.forward`."""
    W_xh, W_hh, b_h = ready(params["W_xh"]), ready(params["W_hh"]), ready(params["b_h"])
    x = ready(x)
    T, N = x.shape[:2]
    H, D = W_xh.shape
    kind = of_dtype(W_hh.dtype)
    memory = workspace.workspace()
    h = memory.empty((T + 1, N, H), W_hh.dtype)
    h[0] = state
    valid = None if lengths is None else np.arange(T)[:, None, None] < lengths[:, None]
    mask = None if valid is None else valid.reshape(T, N)
    dense, tokens = (x, None) if x.ndim == 3 else (kind.none3, x)
    activation = ACTIVATION[nonlinearity]
    if T * N < FEW_ROWS and valid is None:
        few_states(h, dense, tokens, W_xh, W_hh, b_h, activation)
    else:
        work = memory.scratch(for_states(kind, N, D if tokens is None else 0, H), W_hh.dtype)
        longest = T if lengths is None else int(lengths.max())
        for begin, end in spans(longest, N * H * (H + D)):
            states(kind.functions, h, dense, tokens, W_xh, W_hh, b_h, mask, work, kind.width, activation, begin, end)
        if longest < T:
            h[longest + 1 :] = h[longest]  # every row is over
    return h[1:], h[T], rnn.Trace(x, h, valid)


def backward(
    params: Mapping[str, Array],
    dy: Array,
    trace: rnn.Trace,
    dstate: Array,
    *,
    inputs: bool = True,
    nonlinearity: str = "tanh",
) -> tuple[Array | None, Array, Array, rnn.Flow]:
    """Kernel for `layers.rnn.backward`. The error signals leave out the steps at which every row is over.

    If dy is workspace memory, ∂L/∂a overwrites it: dy is not read later.
    """
    x, h, valid = trace
    W_xh, W_hh = ready(params["W_xh"]), ready(params["W_hh"])
    T, N, H = dy.shape
    dtype = h.dtype
    kind = of_dtype(dtype)
    memory = workspace.workspace()
    dense = x.ndim == 3
    dh_next = np.empty((N, H), dtype)
    row_norms, subnormals_flushed = np.empty((T, N)), np.empty(T, INTEGER)
    squares = memory.empty((1 if dtype.itemsize == 4 else 2, N), DOUBLE)
    dx = memory.empty(x.shape, dtype) if inputs and dense else None
    steps = T if valid is None else int(valid.any(axis=1).sum())  # of the longest row
    if steps < T and (dstate.any() or dy[steps:].any()):
        steps = T  # something comes back from where all rows are over
    dstate = ready(dstate)
    if not dy.strides[0]:  # all steps share their rows
        dy, da = ready(dy[:1]), memory.empty((T, N, H), dtype)
    else:
        dy_argument, dy = dy, ready(dy)
        may_be_overwritten = dy is not dy_argument or memory.owns(dy)
        da = dy if may_be_overwritten else memory.empty((T, N, H), dtype)
    work = memory.scratch(for_backward(kind, H, x.shape[2] if dense else 0, N), dtype)
    mask = None if valid is None else ready(valid.reshape(T, N))
    results = da, dh_next, squares, row_norms, subnormals_flushed
    operands = h, W_hh, mask, work, kind.width, kind.tiny, DERIVATIVE[nonlinearity]
    for first, end in reversed(spans(steps, N * H * H)):
        through_time(kind.functions, *results, dy, dstate if end == steps else dh_next, *operands, first, end)
    if steps < T:
        for zero in (row_norms, subnormals_flushed) if dx is None else (row_norms, subnormals_flushed, dx):
            zero[steps:] = 0
        da = da[:steps]
    if dx is not None:
        products(dx, da, W_xh, kind.none1, work)
    return dx, dh_next, da, rnn.Flow(row_norms, subnormals_flushed)


def weight_grads(da: Array, trace: rnn.Trace, rows: slice, out: Mapping[str, Array]) -> None:
    """Kernel for `layers.rnn.weight_grads`."""
    x, h, _ = trace
    kind = of_dtype(h.dtype)
    dW_xh, dW_hh, db_h = out["W_xh"], out["W_hh"], out["b_h"]
    if x.ndim == 3:
        block_sums(kind, db_h, dW_hh, dW_xh, da, h, x, rows)
        return
    block_sums(kind, db_h, dW_hh, kind.none2, da, h, kind.none3, rows)
    columns = workspace.workspace().scratch(dW_xh.shape[::-1], h.dtype)
    scatter(columns, x[: len(da)], da, rows.start, rows.stop)
    dW_xh[...] = columns.T


def saturated(trace: rnn.Trace, *, nonlinearity: str = "tanh") -> Array:
    """Kernel for `layers.rnn.saturated`."""
    h, valid = trace.h[1:], trace.valid
    fractions = np.empty(h.shape[:2])
    mask = None if valid is None else ready(valid).reshape(-1)
    limit = h.dtype.type(rnn.SATURATED)
    saturated_of_rows(fractions.reshape(-1), rows_of(ready(h)), mask, nonlinearity == "tanh", limit)
    return fractions
