"""Losses: the value and its gradient, on the same screen.

    L = Σ_n L_n,   L_n = (1/count) · Σ_t L_nt   over the counted (n, t)

With no padding that is the chapter's L = (1/T) · Σ_t L_t, averaged over the batch. Each function returns the shares L_n
of the rows, (N,), of which L is the sum. Shapes: y (K, N, O) for K steps, time-major; `mask` (K, N) says which entries
count (None: all); `count` is their number in the *whole* batch, of which y may be a block of rows, so that blocks add
up. Values are accumulated in float64 whatever the dtype of y. An entry that does not count is never read: NaN in its
target changes nothing. The value runs on complex numbers too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._arrays import Array, namespace


def mse(y: Array, target: Array, count: int, mask: Array | None = None) -> tuple[Array, Array]:
    """Mean squared error: L_nt = (1/O) · Σ_o (y_o − ŷ_o)², with the chapter's ŷ for the target (K, N, O).

    Returns L_n (N,) and ∂L/∂y = 2 (y − ŷ) / (O · count).
    """
    xp = namespace(y)
    error = y - target
    if mask is not None:
        error = xp.where(mask[..., None], error, 0)
    outputs = count * y.shape[2]
    return (widen(error) ** 2).sum(axis=(0, 2)) / outputs, error * (2 / outputs)


def softmax_cross_entropy(y: Array, target: Array, count: int, mask: Array | None = None) -> tuple[Array, Array]:
    """Cross-entropy of softmax(y), in nats, with integer targets (K, N): L_nt = log Σ_o exp(y_o) − y_target.

    Returns L_n (N,) and ∂L/∂y = (softmax(y) − onehot(target)) / count; nothing overflows.
    """
    xp = namespace(y)
    if mask is not None:
        target = xp.where(mask, target, 0)
    z = widen(y)
    z = (z - z.real.max(axis=-1, keepdims=True)).reshape(-1, y.shape[2])  # (K·N, O)
    at_target = xp.arange(len(z)), target.reshape(-1)
    log_sum = xp.log(xp.exp(z).sum(axis=-1))

    losses = (log_sum - z[at_target]).reshape(target.shape)
    dy = xp.exp(z - log_sum[:, None])
    dy[at_target] -= 1
    dy = (dy / count).astype(y.dtype).reshape(y.shape)
    if mask is not None:
        losses = xp.where(mask, losses, 0)
        dy = xp.where(mask[..., None], dy, 0)
    return losses.sum(axis=0) / count, dy


def widen(a: Array) -> Array:
    """The array in double precision (complex stays complex)."""
    return a.astype(np.result_type(a.dtype, np.float64), copy=False)


LOSSES: dict[str, Callable[..., tuple[Array, Array]]] = {"mse": mse, "cross_entropy": softmax_cross_entropy}
