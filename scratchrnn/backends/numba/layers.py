"""Twins of further layers: the stack and the embedding, made of what `twins.py` has, layer normalisation,
the count of saturated units and the search for numbers that are not finite.

`TWINS` and `FILLS` are the whole tables, theirs and those of `twins.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ... import _numerics
from ..._arrays import Array
from ...gradients import saturation
from ...layers import embedding, layer_norm, recurrent, rnn
from ..base import Blocks
from . import twins
from .twins import OPTIONS, kernel, new_gradients, ready
from .workspace import room


def _norm(y: Array, x_hat: Array, deviation: Array, x: Array, gamma: Array, beta: Array, eps: float) -> None:
    """x̂ and y of every row of x; all (M, F), deviation (M,). Means are taken in float64."""
    M, F = x.shape
    for i in range(M):
        total = 0.0
        for j in range(F):
            total += x[i, j]
        mean = total / F
        squares = 0.0
        for j in range(F):
            squares += (x[i, j] - mean) ** 2
        deviation[i] = math.sqrt(squares / F + eps)
        scale = 1.0 / math.sqrt(squares / F + eps)
        for j in range(F):
            x_hat[i, j] = (x[i, j] - mean) * scale
            y[i, j] = gamma[j] * x_hat[i, j] + beta[j]


def _norm_back(
    dx: Array,
    dgamma: Array,
    dbeta: Array,
    dy: Array,
    x_hat: Array,
    deviation: Array,
    gamma: Array,
    sums: Array,
    first: int,
    end: int,
) -> None:
    """∂L/∂γ, ∂L/∂β and, where dx has steps, ∂L/∂x, of rows first … end − 1 of every step.

    dx, dy and x_hat (T, N, F), deviation (T, N, 1); sums (2, F) float64 is scratch.
    """
    T, _, F = dy.shape
    sums[:] = 0
    for t in range(T):
        for i in range(first, end):
            for j in range(F):
                sums[0, j] += dy[t, i, j] * x_hat[t, i, j]
                sums[1, j] += dy[t, i, j]
            if len(dx):
                mean, along = 0.0, 0.0  # of ∂L/∂x̂, and of its product with x̂
                for j in range(F):
                    mean += gamma[j] * dy[t, i, j]
                    along += gamma[j] * dy[t, i, j] * x_hat[t, i, j]
                mean, along, scale = mean / F, along / F, 1.0 / deviation[t, i, 0]
                for j in range(F):
                    dx[t, i, j] = (gamma[j] * dy[t, i, j] - mean - x_hat[t, i, j] * along) * scale
    for j in range(F):
        dgamma[j] = sums[0, j]
        dbeta[j] = sums[1, j]


def _saturated(fractions: Array, h: Array, valid: Array | None, tanh: bool, limit: Any) -> None:
    """The fraction of saturated units of every row, NaN where a row is over (valid None: none is).

    h (M, H), fractions (M,); limit is a number of the dtype of h.
    """
    M, H = h.shape
    for i in range(M):
        count = np.int32(0)
        if tanh:
            for j in range(H):
                count += np.int32(abs(h[i, j]) > limit)
        else:
            for j in range(H):
                count += np.int32(h[i, j] == 0)
        fractions[i] = count / H
        if valid is not None and not valid[i]:
            fractions[i] = np.nan


def rows_of(a: Array) -> Array:
    """Every step of every row: (T, N, F) → (T·N, F)."""
    return a.reshape(-1, a.shape[2])


norm = kernel(_norm, **OPTIONS)
norm_back = kernel(_norm_back, **OPTIONS)
saturated = kernel(_saturated, **OPTIONS | {"nogil": False})  # too short to be worth waiting for the lock afterwards


def layer_norm_forward(
    params: Mapping[str, Array], x: Array, state: None, *, lengths: Array | None = None, eps: float = 1e-5
) -> tuple[Array, None, layer_norm.Trace]:
    """Twin of `layers.layer_norm.forward`."""
    x, gamma, beta = ready(x), ready(params["gamma"]), ready(params["beta"])
    here = room()
    y, x_hat = here.empty(x.shape, x.dtype), here.empty(x.shape, x.dtype)
    deviation = here.empty((*x.shape[:2], 1), x.dtype)
    norm(rows_of(y), rows_of(x_hat), deviation.reshape(-1), rows_of(x), gamma, beta, eps)
    return y, None, layer_norm.Trace(x_hat, deviation)


def layer_norm_backward(
    params: Mapping[str, Array],
    dy: Array,
    trace: layer_norm.Trace,
    dstate: None,
    *,
    inputs: bool = True,
    eps: float = 1e-5,
    out: Blocks | None = None,
) -> tuple[Array | None, None, Mapping[str, Array], None]:
    """Twin of `layers.layer_norm.backward`, with `out` as in `Blocks`."""
    dy, gamma = ready(dy), ready(params["gamma"])
    out = out or new_gradients(params, dy.shape[1], dy.dtype)
    dx = room().empty(dy.shape, dy.dtype) if inputs else None
    for_dx = np.empty((0, 0, 0), dy.dtype) if dx is None else dx
    given = dy, trace.x_hat, trace.deviation, gamma, np.empty((2, len(gamma)))
    for rows, own in out:
        norm_back(for_dx, own["gamma"], own["beta"], *given, rows.start, rows.stop)
    return dx, None, out[0][1], None


def embedding_backward(
    params: Mapping[str, Array],
    dy: Array,
    trace: embedding.Trace,
    dstate: None,
    *,
    inputs: bool = True,
    out: Blocks | None = None,
) -> tuple[None, None, Mapping[str, Array], None]:
    """Twin of `layers.embedding.backward`, with `out` as in `Blocks`."""
    dy, x = ready(dy), ready(trace.x)
    out = out or new_gradients(params, dy.shape[1], dy.dtype)
    for rows, own in out:
        twins.scatter(own["E"], x, dy, rows.start, rows.stop)
    return None, None, out[0][1], None


def saturated_fractions(h: Array, valid: Array | None, nonlinearity: str) -> Array:
    """Twin of `gradients.saturation.saturated`."""
    fractions = np.empty(h.shape[:2])
    mask = None if valid is None else ready(valid).reshape(-1)
    limit = h.dtype.type(saturation.SATURATED)
    saturated(fractions.reshape(-1), rows_of(ready(h)), mask, nonlinearity == "tanh", limit)
    return fractions


def all_finite(a: Array) -> bool:
    """Twin of `_numerics.all_finite`: the norm is finite where all entries are, unless it overflows float64 itself."""
    in_memory = a.ravel("K")  # most often a view
    return math.isfinite(twins.whole_norm(ready(in_memory))) or _numerics.all_finite(a)


TWINS: dict[Callable[..., Any], Callable[..., Any]] = {
    **twins.TWINS,
    rnn.stacked_forward: partial(recurrent.forward, recurrence=twins.rnn_forward),
    rnn.stacked_backward: partial(recurrent.backward, recurrence=twins.rnn_backward),
    embedding.backward: embedding_backward,
    layer_norm.forward: layer_norm_forward,
    layer_norm.backward: layer_norm_backward,
    saturation.saturated: saturated_fractions,
    _numerics.all_finite: all_finite,
}
FILLS: frozenset[Callable[..., Any]] = twins.FILLS | {
    rnn.stacked_backward,
    embedding.backward,
    layer_norm.backward,
}
