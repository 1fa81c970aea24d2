"""Kernel for `layers.embedding`."""

from __future__ import annotations

from collections.abc import Mapping

from ..._arrays import Array
from ...layers import embedding
from ..base import Blocks
from .arrays import new_gradients, ready
from .kernels.rnn import scatter


def backward(
    params: Mapping[str, Array],
    dy: Array,
    trace: embedding.Trace,
    dstate: None,
    *,
    inputs: bool = True,
    out: Blocks | None = None,
) -> tuple[None, None, Mapping[str, Array], None]:
    """Kernel for `layers.embedding.backward`, with `out` as in `Blocks`."""
    dy, x = ready(dy), ready(trace.x)
    out = out or new_gradients(params, dy.shape[1], dy.dtype)
    for rows, grads in out:
        scatter(grads["E"], x, dy, rows.start, rows.stop)
    return None, None, out[0][1], None
