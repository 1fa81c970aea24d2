"""Loops of layer normalisation."""

from __future__ import annotations

import math

from ...._arrays import Array
from ..compile import OPTIONS, kernel


def _normalize(y: Array, x_hat: Array, deviation: Array, x: Array, gamma: Array, beta: Array, eps: float) -> None:
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


def _normalize_backward(dx: Array, dy: Array, x_hat: Array, deviation: Array, gamma: Array) -> None:
    """∂L/∂x of every row; all (M, F), deviation (M,)."""
    M, F = dy.shape
    for i in range(M):
        mean, along = 0.0, 0.0  # of ∂L/∂x̂, and of its product with x̂
        for j in range(F):
            mean += gamma[j] * dy[i, j]
            along += gamma[j] * dy[i, j] * x_hat[i, j]
        mean, along, scale = mean / F, along / F, 1.0 / deviation[i]
        for j in range(F):
            dx[i, j] = (gamma[j] * dy[i, j] - mean - x_hat[i, j] * along) * scale


def _normalize_sums(dgamma: Array, dbeta: Array, dy: Array, x_hat: Array, sums: Array, first: int, end: int) -> None:
    """∂L/∂γ and ∂L/∂β over rows first … end − 1 of every step.

    dy and x_hat (T, N, F); sums (2, F) float64 is scratch.
    """
    T, _, F = dy.shape
    sums[:] = 0
    for t in range(T):
        for i in range(first, end):
            for j in range(F):
                sums[0, j] += dy[t, i, j] * x_hat[t, i, j]
                sums[1, j] += dy[t, i, j]
    for j in range(F):
        dgamma[j] = sums[0, j]
        dbeta[j] = sums[1, j]


normalize = kernel(_normalize, **OPTIONS)
normalize_backward = kernel(_normalize_backward, **OPTIONS)
normalize_sums = kernel(_normalize_sums, **OPTIONS)
