"""Loops of the losses: the loss of every row, and ∂L/∂y."""

from __future__ import annotations

import numpy as np

from ...._arrays import Array
from ..compile import OPTIONS, STRICT, kernel
from .tanh import exp


def _mse(dy: Array, losses: Array, y: Array, target: Array, mask: Array | None, outputs: int) -> None:
    """Σ (y − ŷ)² / outputs of every row over its counted steps; dy = 2 (y − ŷ) / outputs, 0 at the others.

    dy, y and target (K, N, O); losses (N,); mask (K, N), or None.
    """
    K, N, O = y.shape
    for n in range(N):
        losses[n] = 0
    scale = y.dtype.type(2 / outputs)
    for k in range(K):
        for n in range(N):
            if mask is not None and not mask[k, n]:
                for o in range(O):
                    dy[k, n, o] = 0
                continue
            total = 0.0
            for o in range(O):
                error = y[k, n, o] - target[k, n, o]
                total += np.float64(error) * np.float64(error)
                dy[k, n, o] = error * scale
            losses[n] += total
    for n in range(N):
        losses[n] /= outputs


def _cross_entropy(dy: Array, losses: Array, y: Array, target: Array, mask: Array | None, count: int, e: Array) -> None:
    """Σ (log Σ_o exp y_o − y_target) / count of every row over its counted steps, and ∂L/∂y.

    dy = (softmax(y) − onehot) / count, 0 at steps that do not count. dy, y (K, N, O); losses (N,); target (K, N); mask
    (K, N), or None; e (O,) float64 is scratch.
    """
    K, N, O = y.shape
    for n in range(N):
        losses[n] = 0
    for k in range(K):
        for n in range(N):
            if mask is not None and not mask[k, n]:
                for o in range(O):
                    dy[k, n, o] = 0
                continue
            c, largest = target[k, n], y[k, n, 0]
            for o in range(O):
                largest = y[k, n, o] if y[k, n, o] > largest else largest
            for o in range(O):
                e[o] = exp(np.float64(y[k, n, o]) - np.float64(largest))
            normaliser = 0.0
            for o in range(O):
                normaliser += e[o]
            losses[n] += np.log(normaliser) - (np.float64(y[k, n, c]) - np.float64(largest))
            share = 1.0 / (normaliser * count)
            for o in range(O):
                dy[k, n, o] = e[o] * share
            dy[k, n, c] = (e[c] / normaliser - 1.0) / count  # in float64: near 1 − 1 float32 has few digits
    for n in range(N):
        losses[n] /= count


mse_of_rows = kernel(_mse, **OPTIONS)
cross_entropy_of_rows = kernel(_cross_entropy, **STRICT)
