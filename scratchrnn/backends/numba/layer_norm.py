"""Kernels for `layers.layer_norm`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..._arrays import Array
from ...layers import layer_norm
from ..base import Blocks
from . import workspace
from .arrays import new_gradients, ready, rows_of
from .kernels.layer_norm import normalize, normalize_backward


def forward(
    params: Mapping[str, Array], x: Array, state: None, *, lengths: Array | None = None, eps: float = 1e-5
) -> tuple[Array, None, layer_norm.Trace]:
    """Kernel for `layers.layer_norm.forward`."""
    x, gamma, beta = ready(x), ready(params["gamma"]), ready(params["beta"])
    memory = workspace.room()
    y, x_hat = memory.empty(x.shape, x.dtype), memory.empty(x.shape, x.dtype)
    deviation = memory.empty((*x.shape[:2], 1), x.dtype)
    normalize(rows_of(y), rows_of(x_hat), deviation.reshape(-1), rows_of(x), gamma, beta, eps)
    return y, None, layer_norm.Trace(x_hat, deviation)


def backward(
    params: Mapping[str, Array],
    dy: Array,
    trace: layer_norm.Trace,
    dstate: None,
    *,
    inputs: bool = True,
    eps: float = 1e-5,
    out: Blocks | None = None,
) -> tuple[Array | None, None, Mapping[str, Array], None]:
    """Kernel for `layers.layer_norm.backward`, with `out` as in `Blocks`."""
    dy, gamma = ready(dy), ready(params["gamma"])
    out = out or new_gradients(params, dy.shape[1], dy.dtype)
    dx = workspace.room().empty(dy.shape, dy.dtype) if inputs else None
    for_dx = np.empty((0, 0, 0), dy.dtype) if dx is None else dx
    arguments = dy, trace.x_hat, trace.deviation, gamma, np.empty((2, len(gamma)))
    for rows, grads in out:
        normalize_backward(for_dx, grads["gamma"], grads["beta"], *arguments, rows.start, rows.stop)
    return dx, None, out[0][1], None
