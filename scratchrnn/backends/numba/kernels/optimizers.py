"""Loops of the optimizers.

The steps take the place of the gradient in its own array: with an array each, a loop would have to be sure that they do
not overlap before it may run in vectors. Numbers come in float64 and are rounded here.
"""

from __future__ import annotations

import numpy as np

from ...._arrays import Array
from ..compile import OPTIONS, kernel


def _subtract(vector: Array, delta: Array, largest: float) -> bool:
    """vector ← vector − delta where no |δ| is above the largest finite number; whether that was so."""
    finite = True
    for i in range(delta.size):
        finite &= abs(delta[i]) <= largest
    if finite:
        for i in range(delta.size):
            vector[i] -= delta[i]
    return finite


def _momentum(g: Array, m: Array, momentum: float, rate: float) -> None:
    """m ← μ·m + g;  g ← η·m."""
    F = g.dtype.type
    momentum, rate = F(momentum), F(rate)
    for i in range(g.size):
        m[i] = momentum * m[i] + g[i]
        g[i] = rate * m[i]


def _rescaled(g: Array, v: Array, keep: float, add: float, rate: float, eps: float) -> None:
    """v ← keep · v + add · g²;  g ← η·g / (√v + ε)."""
    F = g.dtype.type
    keep, add, rate, eps = F(keep), F(add), F(rate), F(eps)
    for i in range(g.size):
        v[i] = keep * v[i] + add * (g[i] * g[i])
        g[i] = rate * g[i] / (np.sqrt(v[i]) + eps)


def _adam(g: Array, m: Array, v: Array, beta1: float, beta2: float, rate: float, scale: float, eps: float) -> None:
    """m ← β₁·m + (1 − β₁)·g;  v ← β₂·v + (1 − β₂)·g²;  g ← η·m / (scale · √v + ε)."""
    F = g.dtype.type
    keep_m, add_m, keep_v, add_v = F(beta1), F(1 - beta1), F(beta2), F(1 - beta2)
    rate, scale, eps = F(rate), F(scale), F(eps)
    for i in range(g.size):
        m[i] = keep_m * m[i] + add_m * g[i]
        v[i] = keep_v * v[i] + add_v * (g[i] * g[i])
        g[i] = rate * m[i] / (scale * np.sqrt(v[i]) + eps)


subtract_step = kernel(_subtract, **OPTIONS)
momentum_step = kernel(_momentum, **OPTIONS)
rescaled_step = kernel(_rescaled, **OPTIONS)
adam_step = kernel(_adam, **OPTIONS)
