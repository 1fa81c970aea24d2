"""Matrix products over all steps, in calls so short that Ctrl-C need not wait for them."""

from __future__ import annotations

from ..._arrays import Array
from . import workspace
from .arrays import Dtype, for_sums, of_dtype
from .kernels.cpu import DEPTH, GEMM_ROWS
from .kernels.linear import gradients, outputs

# Multiplications in one call of a kernel, which Ctrl-C waits for: half a second on a slow processor.
MAX_OPS_PER_CALL = 1 << 31


def spans(count: int, work: int, step: int = 1) -> list[tuple[int, int]]:
    """range(count) in parts (begin, end) of at most MAX_OPS_PER_CALL multiplications; work: those for one of them."""
    if count * work <= MAX_OPS_PER_CALL:
        return [(0, count)]
    span = max(1, MAX_OPS_PER_CALL // (work * step)) * step
    return [(i, min(i + span, count)) for i in range(0, count, span)]


def products(y: Array, h: Array, W: Array, b: Array, work: Array) -> None:
    """`outputs` for all rows of all steps of h."""
    kind = of_dtype(y.dtype)
    T, N, H = h.shape
    for span in spans(T * N, y.shape[2] * H, GEMM_ROWS):
        outputs(kind.functions, y, h, W, b, work, *span)


def block_sums(kind: Dtype, db: Array, dW: Array, dW_xh: Array, da: Array, h: Array, x: Array, rows: slice) -> None:
    """`gradients` of a block of rows; those that it leaves transposed are transposed back."""
    T, _, M = da.shape
    first, count = rows.start, rows.stop - rows.start
    memory = workspace.workspace()
    results = [dW, dW_xh]
    transposed = [i for i in (0, 1) if 1 < results[i].shape[1] < kind.narrow]
    for i in transposed:
        results[i] = memory.empty(results[i].shape[::-1], da.dtype)
    work = memory.scratch(for_sums(kind, M, max(h.shape[2], x.shape[2])), da.dtype)
    for span in spans(T * count, M * (h.shape[2] + x.shape[2]), DEPTH):
        gradients(kind.functions, db, *results, da, h, x, work, kind.width, kind.narrow, first, count, *span)
    for i in transposed:
        (dW, dW_xh)[i][...] = results[i].T
