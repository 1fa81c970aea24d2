"""Arrays as the kernels need them: their layout, what belongs to their dtype, and sizes of scratch memory."""

from __future__ import annotations

from functools import cache

import numpy as np

from ..._arrays import Array
from .kernels.cpu import DEPTH, LANE_BYTES, NARROW
from .kernels.gemm import addresses

DOUBLE, INTEGER = np.dtype(np.float64), np.dtype(int)


def ready(a: Array) -> Array:
    """The array as the kernels were compiled for: contiguous, aligned and writeable; a copy where it is not."""
    return a if a.flags.carray else np.array(a, order="C")


def rows_of(a: Array) -> Array:
    """Every step of every row: (T, N, F) → (T·N, F)."""
    return a.reshape(-1, a.shape[2])


class Dtype:
    """What the kernels need for one dtype: compiled functions, the width of a panel, empty arrays."""

    def __init__(self, dtype: np.dtype) -> None:
        self.functions = addresses(np.empty(0, dtype))
        self.width = 2 * LANE_BYTES // dtype.itemsize
        self.narrow = min(NARROW, self.width)  # columns: with fewer, and more than one, a sum is left transposed
        self.tiny = dtype.type(np.finfo(dtype).tiny)
        self.largest = np.finfo(dtype).max
        self.none1 = np.empty(0, dtype)
        self.none2 = np.empty((0, 0), dtype)
        self.none3 = np.empty((0, 0, 0), dtype)

    def columns(self, n: int) -> int:
        """Columns of as many panels as n columns need."""
        return -(-n // self.width) * self.width


_dtypes: dict[np.dtype, Dtype] = {}


def of_dtype(dtype: np.dtype) -> Dtype:
    """What the kernels need for that dtype."""
    try:
        return _dtypes[dtype]
    except KeyError:
        return _dtypes.setdefault(dtype, Dtype(dtype))


@cache
def for_states(kind: Dtype, N: int, D: int, H: int) -> tuple[int]:
    """Entries of scratch memory that `states` needs, as a shape."""
    return (kind.columns(H) * (H + D) + N * H,)


@cache
def for_outputs(kind: Dtype, O: int, H: int) -> tuple[int]:
    """Entries that `outputs` needs."""
    return (kind.columns(O) * H,)


@cache
def for_backward(kind: Dtype, H: int, D: int, N: int) -> tuple[int]:
    """Entries that `through_time` needs for N rows, and `outputs` for ∂L/∂x of D inputs."""
    return (max(kind.columns(N * H) + kind.columns(H) * H, kind.columns(D) * H),)


@cache
def for_sums(kind: Dtype, M: int, J: int) -> tuple[int]:
    """Entries that `gradients` needs for a layer of M outputs and at most J inputs."""
    return (kind.width + (kind.columns(M) + kind.columns(J)) * DEPTH,)
