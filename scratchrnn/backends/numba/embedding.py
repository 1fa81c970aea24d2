"""Kernel for `layers.embedding`."""

from __future__ import annotations

from collections.abc import Mapping

from ..._arrays import Array
from ...layers import embedding
from .arrays import ready
from .kernels.rnn import scatter


def weight_grads(dy: Array, trace: embedding.Trace, rows: slice, out: Mapping[str, Array]) -> None:
    """Kernel for `layers.embedding.weight_grads`."""
    scatter(out["E"], ready(trace.x), ready(dy), rows.start, rows.stop)
