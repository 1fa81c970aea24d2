"""Kernel for the choice of steps: `_steps.scatter`, in workspace memory."""

from __future__ import annotations

from typing import Any

from ..._arrays import Array
from . import workspace


def scatter(selected: Array, index: Any, T: int) -> Array:
    """Kernel for `_steps.scatter`. It is NumPy's, since filling memory needs no loop of ours."""
    h = workspace.workspace().empty((T, *selected.shape[1:]), selected.dtype)
    h[...] = 0
    h[index] = selected.reshape(h[index].shape)
    return h
