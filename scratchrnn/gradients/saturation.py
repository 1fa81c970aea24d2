"""Saturated units: where the slope of the nonlinearity is (nearly) 0, nothing comes back through a unit.

Counted where the states are, in the traces of a forward pass, since nobody else keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._arrays import Array, namespace
from .._numerics import reverse_time
from ..backends.base import Backend

SATURATED = 0.999  # |h| above it: a slope 1 − h² below 0.002


def saturated(h: Array, valid: Array | None, nonlinearity: str) -> Array:
    """(T, N) float64: the fraction of units of each row that are saturated: |h| > 0.999 of tanh, h = 0 of relu.

    h (T, N, H); valid (T, N, 1) as in a trace: NaN where a row is over.
    """
    xp = namespace(h)
    fractions = ((xp.abs(h) > SATURATED) if nonlinearity == "tanh" else (h == 0)).mean(axis=2)
    return fractions if valid is None else xp.where(valid[..., 0], fractions, np.nan)


def of_cells(layers: Sequence[Any], backend: Backend, traces: Sequence[Any], lengths: Array | None) -> list[Array]:
    """(N, T) of every recurrent cell, bottom to top, all in the time of x."""
    twin = backend.twin(saturated)
    result = []
    for layer, trace in zip(layers, traces, strict=True):
        if layer.recurrent:
            directions = 2 if layer.options.get("bidirectional") else 1
            for i, cell in enumerate(getattr(trace, "cells", (trace,))):
                fractions = twin(cell.h[1:], cell.valid, layer.options["nonlinearity"])
                result.append((reverse_time(fractions, lengths) if i % directions else fractions).T)
    return result
