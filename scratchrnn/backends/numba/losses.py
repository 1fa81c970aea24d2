"""Kernels for `scratchrnn.losses`."""

from __future__ import annotations

import numpy as np

from ..._arrays import Array
from . import workspace
from .arrays import DOUBLE, ready
from .kernels.losses import cross_entropy_of_rows, mse_of_rows


def mse(y: Array, target: Array, count: int, mask: Array | None = None) -> tuple[Array, Array]:
    """Kernel for `losses.mse`."""
    memory = workspace.workspace()
    dy, of_rows = memory.empty(y.shape, y.dtype), np.empty(y.shape[1])
    mse_of_rows(dy, of_rows, ready(y), ready(target), None if mask is None else ready(mask), count * y.shape[2])
    return of_rows, dy


def softmax_cross_entropy(y: Array, target: Array, count: int, mask: Array | None = None) -> tuple[Array, Array]:
    """Kernel for `losses.softmax_cross_entropy`."""
    memory = workspace.workspace()
    dy, of_rows = memory.empty(y.shape, y.dtype), np.empty(y.shape[1])
    counted = None if mask is None else ready(mask)
    cross_entropy_of_rows(dy, of_rows, ready(y), ready(target), counted, count, memory.empty(y.shape[2:], DOUBLE))
    return of_rows, dy
