"""Kernels for the norms and the clipping of `gradients.clip`, and for `_numerics.all_finite`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import _numerics
from ..._arrays import Array
from ...gradients import clip
from .arrays import ready
from .kernels.norms import norms_of_parts, scale, whole_norm


def vector_norm(vector: Array) -> Any:
    """Kernel for `gradients.clip.vector_norm`."""
    return np.float64(whole_norm(ready(vector)))


def part_norms(vector: Array, ends: Array) -> Array:
    """Kernel for `gradients.clip.part_norms`."""
    norms = np.empty(len(ends))
    norms_of_parts(norms, ready(vector), ends)
    return norms


def shrink(array: Array, norm: float, max_norm: float) -> bool:
    """Kernel for `gradients.clip.shrink`."""
    if not norm > max_norm:
        return False
    if not array.flags.carray:
        return clip.shrink(array, norm, max_norm)
    scale(array.reshape(-1), max_norm / norm)
    return True


def all_finite(a: Array) -> bool:
    """Kernel for `_numerics.all_finite`.

    The norm is finite where all entries are, unless it overflows float64 itself.
    """
    in_memory = a.ravel("K")  # most often a view
    return math.isfinite(whole_norm(ready(in_memory))) or _numerics.all_finite(a)
