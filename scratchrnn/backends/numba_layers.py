"""Twins of further layers: the stack and the embedding, made of what `numba_twins.py` has, layer normalisation,
the count of saturated units and the search for numbers that are not finite.

`TWINS` and `FILLS` are the whole tables, theirs and those of `numba_twins.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from .. import door
from ..gradients import saturation
from ..layers import embedding, layer_norm, stack
from . import numba_twins
from .arrays import Array
from .numba_twins import OPTIONS, Kernel, ready
from .room import room


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
    dx: Array, dgamma: Array, dbeta: Array, dy: Array, x_hat: Array, deviation: Array, gamma: Array, sums: Array
) -> None:
    """∂L/∂γ, ∂L/∂β and, where dx has rows, ∂L/∂x; all (M, F). sums (2, F) float64 is scratch."""
    M, F = dy.shape
    sums[:] = 0
    for i in range(M):
        for j in range(F):
            sums[0, j] += dy[i, j] * x_hat[i, j]
            sums[1, j] += dy[i, j]
        if len(dx):
            mean, along = 0.0, 0.0  # of ∂L/∂x̂, and of its product with x̂
            for j in range(F):
                mean += gamma[j] * dy[i, j]
                along += gamma[j] * dy[i, j] * x_hat[i, j]
            mean, along, scale = mean / F, along / F, 1.0 / deviation[i]
            for j in range(F):
                dx[i, j] = (gamma[j] * dy[i, j] - mean - x_hat[i, j] * along) * scale
    for j in range(F):
        dgamma[j] = sums[0, j]
        dbeta[j] = sums[1, j]


def _saturated(fractions: Array, h: Array, valid: Array, tanh: bool, limit: Any) -> None:
    """The fraction of saturated units of every row, NaN where a row is over (valid may be empty: none is).

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
        fractions[i] = count / H if len(valid) == 0 or valid[i] else np.nan


def rows_of(a: Array) -> Array:
    """Every step of every row: (T, N, F) → (T·N, F)."""
    return a.reshape(-1, a.shape[2])


norm = Kernel(_norm, **OPTIONS)
norm_back = Kernel(_norm_back, **OPTIONS)
saturated = Kernel(_saturated, **OPTIONS | {"nogil": False})  # too short to be worth waiting for the lock afterwards
NONE_OVER = np.empty(0, bool)


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
    out: Mapping[str, Array] | None = None,
) -> tuple[Array | None, None, Mapping[str, Array], None]:
    """Twin of `layers.layer_norm.backward`. The gradients are written into the arrays of `out`, where it is given."""
    dy, gamma = ready(dy), ready(params["gamma"])
    if out is None:
        out = {"gamma": np.empty_like(gamma), "beta": np.empty_like(gamma)}
    dx = room().empty(dy.shape, dy.dtype) if inputs else None
    given = rows_of(dy), rows_of(trace.x_hat), trace.deviation.reshape(-1), gamma
    none = np.empty((0, len(gamma)), dy.dtype)
    norm_back(none if dx is None else rows_of(dx), out["gamma"], out["beta"], *given, np.empty((2, len(gamma))))
    return dx, None, out, None


def embedding_backward(
    params: Mapping[str, Array],
    dy: Array,
    trace: embedding.Trace,
    dstate: None,
    *,
    inputs: bool = True,
    out: Mapping[str, Array] | None = None,
) -> tuple[None, None, Mapping[str, Array], None]:
    """Twin of `layers.embedding.backward`. The gradient is written into the array of `out`, where it is given."""
    if out is None:
        out = {"E": np.empty(params["E"].shape, dy.dtype)}
    numba_twins.scatter(out["E"], ready(trace.x), ready(dy))
    return None, None, out, None


def saturated_fractions(h: Array, valid: Array | None, nonlinearity: str) -> Array:
    """Twin of `gradients.saturation.saturated`."""
    fractions = np.empty(h.shape[:2])
    mask = NONE_OVER if valid is None else ready(valid).reshape(-1)
    limit = h.dtype.type(saturation.SATURATED)
    saturated(fractions.reshape(-1), rows_of(ready(h)), mask, nonlinearity == "tanh", limit)
    return fractions


def all_finite(a: Array) -> bool:
    """Twin of `door.all_finite`: the norm is finite where all entries are, unless it overflows float64 itself."""
    in_memory = a.ravel("K")  # most often a view
    return math.isfinite(numba_twins.whole_norm(ready(in_memory))) or door.all_finite(a)


TWINS: dict[Callable[..., Any], Callable[..., Any]] = {
    **numba_twins.TWINS,
    stack.forward: partial(stack.forward, recurrence=numba_twins.rnn_forward),
    stack.backward: partial(stack.backward, recurrence=numba_twins.rnn_backward),
    embedding.backward: embedding_backward,
    layer_norm.forward: layer_norm_forward,
    layer_norm.backward: layer_norm_backward,
    saturation.saturated: saturated_fractions,
    door.all_finite: all_finite,
}
FILLS: frozenset[Callable[..., Any]] = numba_twins.FILLS | {
    stack.backward,
    embedding.backward,
    layer_norm.backward,
}
