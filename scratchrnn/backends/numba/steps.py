"""Kernel for the choice of steps: `_steps.scatter`, in workspace memory."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..._arrays import Array
from . import workspace


def scatter(selected: Array, index: Any, T: int, dstate: Any) -> tuple[Array, Any]:
    """Kernel for `_steps.scatter`.

    Where the last step alone is selected, and the last state has its shape, ∂L/∂y of that step is added to ∂L/∂(last
    state), and all steps share one row of zeros: no memory of T steps has to be filled and read.
    """
    shape = selected.shape[1:]
    last_step = isinstance(index, slice) and index.start == T - 1
    if last_step and isinstance(dstate, np.ndarray) and dstate.shape[-2:] == shape:
        if dstate.ndim == 2:
            dstate += selected[0]
        else:  # of several cells the last is the one on top
            dstate[-1] += selected[0]
        return zeros((T, *shape), selected.dtype), dstate
    h = workspace.workspace().empty((T, *shape), selected.dtype)
    h[...] = 0
    h[index] = selected.reshape(h[index].shape)
    return h, dstate


@lru_cache(64)
def zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of zeros that takes the memory of one row, to be read only."""
    return np.broadcast_to(np.zeros(shape[1:], dtype), shape)
