"""Saturated units: where the slope of the nonlinearity is (nearly) 0, nothing comes back through a unit.

Counted where the states are, in the traces of a forward pass, since nobody else keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backends.arrays import Array, namespace
from ..backends.numpy_backend import Backend
from ..layers.stack import turn

SATURATED = 0.999  # |h| above it: a slope 1 − h² below 0.002


def flat(h: Array, nonlinearity: str) -> Array:
    """(T, N) int: how many units of each row are saturated: |h| > 0.999 of tanh, h = 0 of relu. h (T, N, H)."""
    xp = namespace(h)
    return ((xp.abs(h) > SATURATED) if nonlinearity == "tanh" else (h == 0)).sum(axis=2)


def flat_units(layers: Sequence[Any], backend: Backend, traces: Sequence[Any], lengths: Array | None) -> list[Array]:
    """(2, T) int for every recurrent cell, bottom to top: saturated units of all rows, and units in all.

    What lies past the end of a row is not counted. Cells that read from the end are counted in the time of x.
    """
    count = backend.twin(flat)
    xp = backend.xp
    result = []
    for layer, trace in zip(layers, traces, strict=True):
        if not layer.recurrent:
            continue
        directions = 2 if layer.options.get("bidirectional") else 1
        for i, cell in enumerate(getattr(trace, "cells", (trace,))):
            h = cell.h[1:]
            T, N, H = h.shape
            counts = count(h, layer.options["nonlinearity"])
            if i % directions:
                counts = turn(counts, lengths)
            inside = xp.ones((T, N), bool) if lengths is None else xp.arange(T)[:, None] < lengths
            result.append(xp.stack([xp.where(inside, counts, 0).sum(axis=1), H * inside.sum(axis=1)]))
    return result
