"""Loops of linear layers: outputs, and the sums over all steps that are the gradients of weights and biases.

In all loops that call the product, `functions` holds the addresses of product and packing, `width` is the number of
columns of a panel, `work` is scratch memory that starts on a register boundary. A matrix product reads A row by row,
and B as panels. Where one compiled kernel serves with and without an argument, an empty array stands for its absence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...._arrays import Array
from ..compile import STRICT, helper, kernel, sum_helper
from .cpu import DEPTH, GEMM_ROWS
from .ir import at, call
from .pack import pack_rows
from .product import PLAIN, UNUSED


@helper
def multiply_rows(functions: Any, C: int, A: int, M: int, K: int, W: Any, bias: int, panels: int, size: int) -> None:
    """C = A · W, plus a bias where there is one (else 0). A (M, K) and C (M, J) are contiguous.

    W is a tuple: J, and the address of W (K, J) with the distances from row to row and from column to column. A number
    has `size` bytes.
    """
    product, pack = functions
    J, weights, row, step = W
    call(pack, (panels, weights, row, step, K, J, K))
    for i in range(0, M, GEMM_ROWS):
        source = (A + i * K * size, K, 1, K, panels)
        call(product, ((C + i * J * size, J, min(GEMM_ROWS, M - i), J), (bias, 0), source, UNUSED, PLAIN))


def _outputs(functions: Any, y: Array, h: Array, W: Array, b: Array, work: Array, begin: int, end: int) -> None:
    """y = h · Wᵀ + b for rows begin … end − 1 of all steps; without a b (an empty one), y = h · W.

    y (T, N, O), h (T, N, H), W (O, H), or (H, O) without a b.
    """
    O, H = y.shape[2], h.shape[2]
    of_W, bias = (O, at(W, 0), np.int64(1), H), at(b, 0)
    if not b.size:
        of_W, bias = (O, at(W, 0), O, np.int64(1)), np.int64(0)
    size = np.int64(y.itemsize)
    multiply_rows(functions, at(y, begin * O), at(h, begin * H), end - begin, H, of_W, bias, at(work, 0), size)


@sum_helper
def dot(a: Array, b: Array) -> float:
    """Σ a·b of two rows."""
    total = a[0] * b[0]
    for k in range(1, len(a)):
        total += a[k] * b[k]
    return total


def _few_outputs(y: Array, h: Array, W: Array, b: Array) -> None:
    """`_outputs` for very few rows."""
    for t in range(h.shape[0]):
        for n in range(h.shape[1]):
            for j in range(W.shape[0]):
                y[t, n, j] = b[j] + dot(W[j], h[t, n])


@helper
def add_outer(
    functions: Any, C: int, V: int, M: int, B: int, J: int, block: Any, k: int, depth: int, of_B: int, shape: Any
) -> None:
    """C += Aᵀ · B over rows k … k + depth − 1 of a block (C = … if k is 0), from A in panels V and B (T, N, J).

    With fewer columns in B than are narrow, Cᵀ += Bᵀ · A instead, which leaves no lanes idle. block and shape as in
    `pack_rows`.
    """
    product, pack = functions
    width, size, narrow = shape
    N, first, count = block
    is_narrow = J < narrow
    as_it_lies = count == N and (is_narrow or J == width)  # where a panel is as wide, B is its own
    W, step = B + k * J * size, J
    if not as_it_lies:
        pack_rows(pack, of_B, B, J, block, k, depth, shape)
        W, step = of_B, width
    if is_narrow:
        start = 0 if k == 0 else C
        call(product, ((C, M, J, M), (start, M), (W, 1, step, depth, V), UNUSED, PLAIN))
        return
    for i in range(0, M, width):
        c = C + i * J * size
        start = 0 if k == 0 else c
        source = (V + i * depth * size, 1, width, depth, W)
        call(product, ((c, J, min(width, M - i), J), (start, J), source, UNUSED, PLAIN))


def _gradients(
    functions: Any,
    db: Array,
    dW: Array,
    dW_xh: Array,
    da: Array,
    h: Array,
    x: Array,
    work: Array,
    width: int,
    narrow: int,
    first: int,
    count: int,
    begin: int,
    end: int,
) -> None:
    """db = Σ ∂L/∂a, dW = Σ ∂L/∂a · hᵀ and dW_xh = Σ ∂L/∂a · xᵀ over rows first … first + count − 1 of all steps.

    With K = T·count such rows one call does begin … end − 1 of them, and adds to what calls for earlier ones left in
    db, dW and dW_xh. The sum is the same, bit for bit, whatever other rows there are.

    da (T, N, M), db (M,), dW (M, J1), dW_xh (M, J2), each transposed where it has fewer columns than are narrow; h (…,
    N, J1) and x (…, N, J2) have T steps or more; dW_xh and x may be empty. Some rows of da are packed once and serve
    all three sums; db is a row of ones times them.
    """
    product, pack = functions
    N, M = da.shape[1:]
    J1, J2, size = h.shape[2], x.shape[2], work.itemsize
    columns = (M + width - 1) // width * width
    of_A, of_B = at(work, width), at(work, width + DEPTH * columns)
    block, shape = (N, first, count), (width, size, narrow)
    work[0] = 1
    for k in range(begin, end, DEPTH):
        depth = min(DEPTH, end - k)
        V = at(da, k * M)
        if M != width or count != N:  # else A is its own panel
            pack_rows(pack, of_A, at(da, 0), M, block, k, depth, shape)
            V = of_A
        start = at(db, 0) if k else 0
        call(product, ((at(db, 0), M, 1, M), (start, M), (at(work, 0), 0, 0, depth, V), UNUSED, PLAIN))
        for second in range(2 if J2 else 1):  # one call in a loop: it is compiled into this kernel only once
            C, B, J = (at(dW_xh, 0), at(x, 0), J2) if second else (at(dW, 0), at(h, 0), J1)
            add_outer(functions, C, V, M, B, J, block, k, depth, of_B, shape)


outputs = kernel(_outputs, **STRICT)
few_outputs = kernel(_few_outputs, **STRICT)
gradients = kernel(_gradients, **STRICT)
