"""Kernel for `gradients.saturation`."""

from __future__ import annotations

import numpy as np

from ..._arrays import Array
from ...gradients import saturation
from .arrays import ready, rows_of
from .kernels.saturation import saturated_of_rows


def saturated(h: Array, valid: Array | None, nonlinearity: str) -> Array:
    """Kernel for `gradients.saturation.saturated`."""
    fractions = np.empty(h.shape[:2])
    mask = None if valid is None else ready(valid).reshape(-1)
    limit = h.dtype.type(saturation.SATURATED)
    saturated_of_rows(fractions.reshape(-1), rows_of(ready(h)), mask, nonlinearity == "tanh", limit)
    return fractions
