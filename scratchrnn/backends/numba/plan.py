"""Numba: compiled kernels for the reference implementation, and the rows of a batch split into blocks for threads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from ..._arrays import Array
from ..base import Backend, Item, Result, Shape
from .threads import pool
from .workspace import LIMIT, workspace

MAX_BLOCKS = 8
MAX_GROUP_ROWS = 64  # in blocks that run together: enough to share a weight among
L2_BYTES = 1 << 20  # bytes of weights that stay in a second-level cache beside what a step reads
L3_BYTES = 3 << 20  # bytes that a group may leave behind, to find them in a cache when it comes to sums over all steps
MIN_WORK = 1 << 22  # multiplications going forward: with the way back about half a millisecond, worth handing over


def import_numba() -> None:
    """Import Numba, but not SciPy's linear algebra on its behalf.

    Numba's first kernel makes it import `numba.np.arraymath`, which imports scipy.linalg to see whether compiled code
    could call BLAS. Ours never does; where SciPy is installed, that took a fifth of the time from the start of Python
    to the first gradients (0.2 of 1.0 s). So arraymath is imported here, and for that moment its question whether BLAS
    is there (`ensure_blas`) asks nothing. Numba asks again whenever it compiles such a call.
    """
    import_module("numba")
    if "scipy" not in sys.modules or "numba.np.arraymath" in sys.modules:  # numba imports scipy where it is installed
        return
    with suppress(ImportError, AttributeError):  # of a Numba that has other names: it imports what it wants
        linalg: Any = import_module("numba.np.linalg")
        ensure_blas = linalg.ensure_blas
        try:
            linalg.ensure_blas = lambda: None
            import_module("numba.np.arraymath")
        finally:  # also after an interrupt
            linalg.ensure_blas = ensure_blas
            arraymath: Any = sys.modules.get("numba.np.arraymath")
            if arraymath is not None:
                arraymath.ensure_blas = ensure_blas


def brief(error: Exception) -> str:
    """Kind and first line of an error; those of Numba's compiler are pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


class NumbaBackend(Backend):
    """NumPy arrays, with kernels for the functions that cost time; a function without one runs as the reference does.

    Raises ImportError that says what to install where numba does not import, and RuntimeError where it imports and
    cannot compute. That is found out by a small product in a dtype (None: float64).
    """

    name: ClassVar[str] = "numba"

    def __init__(self, dtype: Any = None) -> None:
        try:
            import_numba()
        except Exception as error:  # a numba that does not suit this numpy or python fails in several ways
            raise ImportError(
                f"the numba backend needs the package numba, which does not import ({brief(error)}): pip install numba"
            ) from error
        numba: Any = import_module("numba")
        if getattr(getattr(numba, "config", None), "DISABLE_JIT", False):
            raise RuntimeError(
                "the numba backend cannot compute while NUMBA_DISABLE_JIT is set: unset it, or choose the backend numpy"
            )
        try:
            from .kernels.cpu import TILE_ROWS
            from .linear import check
            from .table import KERNELS

            check(np.dtype(np.float64 if dtype is None else dtype))
        except MemoryError:  # says nothing about the next time
            raise
        except Exception as error:  # kernels use parts of Numba that another version may name or build differently
            raise RuntimeError(
                f"the numba backend cannot compute with numba {getattr(numba, '__version__', '(unknown version)')} "
                f"({brief(error)}): pip install --upgrade numba scratchrnn, or choose the backend numpy"
            ) from error
        self.kernels, self.tile = KERNELS, TILE_ROWS

    def workspace(self) -> AbstractContextManager[Any]:
        """The workspace of the calling thread, once no worker writes into it any more."""
        pool.settle()
        return workspace()

    def settle(self) -> None:
        """Wait for workers that an interrupt left running, and close the blocks that it left open."""
        pool.settle()
        workspace().close_abandoned()

    def empty(self, shape: Shape, dtype: np.dtype) -> Array:
        """An array whose entries are whatever was there; workspace memory in a block of it."""
        return workspace().empty(shape, dtype)

    def split_rows(self, rows: int, work: int) -> list[slice]:
        """At most 8 blocks of whole tiles of rows, the last with what is left over, as even as can be.

        By shape alone, whatever the number of threads. The few rows that fill no tile are computed in another way
        (`write_rows` in kernels/gemm.py); with whole tiles before it they are the same ones, whether a block runs by
        itself or together with others.
        """
        tiles = rows // self.tile
        n = min(MAX_BLOCKS, tiles, work // MIN_WORK)
        if n <= 1:
            return [slice(0, rows)]
        starts = [-(-i * tiles // n) * self.tile for i in range(n)]
        return [slice(start, end) for start, end in zip(starts, [*starts[1:], rows], strict=True)]

    def group_blocks(self, blocks: Sequence[slice], weight_bytes: int, row_bytes: int) -> list[range]:
        """One group of neighbouring blocks for each thread, or more where it would have too many rows; large ones
        first.

        The states of a group stay in a cache until the backward pass. Where the weights do not fit one themselves,
        sharing them among many rows is worth more, and the states need only fit the workspace.
        """
        near = L3_BYTES if weight_bytes <= L2_BYTES else LIMIT
        most = max(1, min(MAX_GROUP_ROWS, near // max(1, row_bytes)))
        threads = min(pool.size, len(blocks))
        turns = -(-blocks[-1].stop // (most * threads))
        n = min(len(blocks), turns * threads)
        ends = [-(-i * len(blocks) // n) for i in range(n + 1)]
        return [range(*pair) for pair in zip(ends, ends[1:], strict=False)]

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """[function(item) for item in items] on the threads of the pool, results in order."""
        return pool.map(function, items)
