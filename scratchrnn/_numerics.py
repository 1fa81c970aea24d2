"""Norms that neither over- nor underflow, reversal of time, and which of NumPy's floating-point errors are reported.

Gradients that vanish and explode are what this package shows, so a number below the range of its dtype becomes a
subnormal number or 0 without a word, whatever `np.seterr` says. Compiled kernels do not report such errors either.
"""

from __future__ import annotations

import numpy as np

from ._arrays import Array, namespace

# Two decorators. What they set holds on worker threads too, which copy their caller's context.
# For every public function that computes: an underflow says nothing.
expected_underflow = np.errstate(under="ignore")
# For functions that run a network. Where it explodes, inf and NaN come out, on every backend alike; `fit` names them.
any_magnitude = np.errstate(over="ignore", under="ignore", invalid="ignore")


@expected_underflow
def row_norms(a: Array) -> Array:
    """Euclidean norm over the last axis, float64.

    float32 is squared in float64, where none of its numbers over- or underflows; float64 is scaled to at most 1.
    """
    xp = namespace(a)
    a = a.astype(np.float64, copy=False)
    largest = xp.abs(a).max(axis=-1)
    scale = xp.where((largest > 0) & (largest < np.inf), largest, 1.0)
    return scale * xp.sqrt(((a / scale[..., None]) ** 2).sum(axis=-1))


def all_finite(a: Array) -> bool:
    """Whether every entry is finite. A backend may have a kernel for it."""
    return bool(namespace(a).isfinite(a).all())


def reverse_time(a: Array, lengths: Array | None) -> Array:
    """Reverse the first lengths[n] steps of row n, or all steps; its own inverse. a (T, N, …)."""
    if lengths is None:
        return a[::-1]
    xp = namespace(a)
    t = xp.arange(len(a))[:, None]
    return a[xp.where(t < lengths, lengths - 1 - t, t), xp.arange(a.shape[1])]
