"""Loops for norms of vectors and for clipping by them."""

from __future__ import annotations

import numpy as np

from ...._arrays import Array
from ..compile import OPTIONS, kernel, sum_helper


def _norm(a: Array) -> float:
    """√(Σ a²) in float64, scaled by the largest entry first where the squares over- or underflow. a (M,)."""
    total = 0.0
    for i in range(a.size):
        total += np.float64(a[i]) * np.float64(a[i])
    if 1e-280 < total < 1e280:
        return np.sqrt(total)
    largest = 0.0
    for i in range(a.size):
        size = abs(np.float64(a[i]))
        largest = size if size > largest else largest  # a NaN is left to the sum below
    scale = largest if 0 < largest < np.inf else 1.0
    total = 0.0
    for i in range(a.size):
        scaled = np.float64(a[i]) / scale
        total += scaled * scaled
    return scale * np.sqrt(total)


norm_helper = sum_helper(_norm)


def _part_norms(norms: Array, a: Array, ends: Array) -> None:
    """`_norm` of every part of a, each before its end."""
    begin = 0
    for i in range(len(ends)):
        norms[i] = norm_helper(a[begin : ends[i]])
        begin = ends[i]


def _scale(a: Array, factor: float) -> None:
    """a ← factor · a, the product taken in float64."""
    for i in range(a.size):
        a[i] = factor * np.float64(a[i])


whole_norm = kernel(_norm, **OPTIONS)
norms_of_parts = kernel(_part_norms, **OPTIONS)
scale = kernel(_scale, **OPTIONS)
