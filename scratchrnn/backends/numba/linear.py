"""Kernels for `layers.linear`, and a trial of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..._arrays import Array
from ...layers import linear
from . import workspace
from .arrays import for_outputs, of_dtype, ready
from .kernels.cpu import FEW_ROWS
from .kernels.linear import few_outputs
from .products import block_sums, products


def forward(
    params: Mapping[str, Array], h: Array, state: None, *, lengths: Array | None = None
) -> tuple[Array, None, linear.Trace]:
    """Kernel for `layers.linear.forward`."""
    W_hy = ready(params["W_hy"])
    O, H = W_hy.shape
    dtype = W_hy.dtype
    kind = of_dtype(dtype)
    memory = workspace.workspace()
    h = ready(h)
    y = memory.empty((*h.shape[:2], O), dtype)
    b_y = ready(params["b_y"])
    if y.size < FEW_ROWS * O:
        few_outputs(y, h, W_hy, b_y)
    else:
        products(y, h, W_hy, b_y, memory.scratch(for_outputs(kind, O, H), dtype))
    return y, None, linear.Trace(h)


def backward(
    params: Mapping[str, Array], dy: Array, trace: linear.Trace, dstate: None, *, inputs: bool = True
) -> tuple[Array | None, None, Array, None]:
    """Kernel for `layers.linear.backward`."""
    if not inputs:
        return None, None, dy, None
    W_hy, dy = ready(params["W_hy"]), ready(dy)
    kind = of_dtype(dy.dtype)
    memory = workspace.workspace()
    dh = memory.empty(trace.h.shape, dy.dtype)
    products(dh, dy, W_hy, kind.none1, memory.scratch(for_outputs(kind, *W_hy.shape[::-1]), dy.dtype))
    return dh, None, dy, None


def weight_grads(dy: Array, trace: linear.Trace, rows: slice, out: Mapping[str, Array]) -> None:
    """Kernel for `layers.linear.weight_grads`."""
    kind = of_dtype(dy.dtype)
    block_sums(kind, out["b_y"], out["W_hy"], kind.none2, ready(dy), trace.h, kind.none3, rows)


def check(dtype: np.dtype) -> None:
    """Compute a small product as a linear layer does. Raises RuntimeError where it comes out wrong.

    The kernels that it compiles are those that every model begins with.
    """
    W, b = np.arange(15, dtype=dtype).reshape(5, 3), np.arange(5, dtype=dtype)
    h = np.arange(24, dtype=dtype).reshape(2, 4, 3)
    y = forward({"W_hy": W, "b_y": b}, h, None)[0]
    if not np.array_equal(y, h @ W.T + b):
        raise RuntimeError(f"a product of small integers came out wrong in {dtype}")
