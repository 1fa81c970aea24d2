"""Kernels for `layers.layer_norm`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..._arrays import Array
from ...layers import layer_norm
from . import workspace
from .arrays import ready, rows_of
from .kernels.layer_norm import normalize, normalize_backward, normalize_sums


def forward(
    params: Mapping[str, Array], x: Array, state: None, *, lengths: Array | None = None, eps: float = 1e-5
) -> tuple[Array, None, layer_norm.Trace]:
    """Kernel for `layers.layer_norm.forward`."""
    x, gamma, beta = ready(x), ready(params["gamma"]), ready(params["beta"])
    memory = workspace.workspace()
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
) -> tuple[Array | None, None, Array, None]:
    """Kernel for `layers.layer_norm.backward`."""
    if not inputs:
        return None, None, dy, None
    dy, gamma = ready(dy), ready(params["gamma"])
    dx = workspace.workspace().empty(dy.shape, dy.dtype)
    normalize_backward(rows_of(dx), rows_of(dy), rows_of(trace.x_hat), trace.deviation.reshape(-1), gamma)
    return dx, None, dy, None


def weight_grads(dy: Array, trace: layer_norm.Trace, rows: slice, out: Mapping[str, Array]) -> None:
    """Kernel for `layers.layer_norm.weight_grads`."""
    sums = np.empty((2, dy.shape[2]))
    normalize_sums(out["gamma"], out["beta"], ready(dy), trace.x_hat, sums, rows.start, rows.stop)
