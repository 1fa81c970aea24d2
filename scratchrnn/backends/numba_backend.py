"""Numba: jitted twins of the text, and the rows of a batch cut into blocks that run on several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import numpy as np

from .arrays import Array
from .numpy_backend import Backend, Item, Result, Shape
from .room import room
from .threads import pool

MAX_BLOCKS = 8
MIN_ROWS = 8  # a block of fewer rows leaves the kernels too little to share a weight among
MIN_WORK = 1 << 22  # multiplications going forward: with the way back about half a millisecond, worth handing over


class NumbaBackend(Backend):
    """NumPy arrays, with jitted twins for the functions that cost time; what has no twin runs as its text.

    Raises ImportError that says what to install where numba does not import.
    """

    name: ClassVar[str] = "numba"

    def __init__(self) -> None:
        try:
            import numba  # noqa: F401
        except Exception as error:  # a numba that does not suit this numpy or python fails in several ways
            raise ImportError(
                f"the numba backend needs the package numba, which does not import ({error}): pip install numba"
            ) from error
        from .numba_layers import FILLS, TWINS

        self._twins, self.fills = TWINS, FILLS

    def twin(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The jitted function with the same arguments and results, or the text itself where there is none."""
        return self._twins.get(function, function)

    def room(self) -> AbstractContextManager[Any]:
        """A block of code whose arrays from `empty` are used again by the next block: nothing of them may leave it."""
        return room()

    def empty(self, shape: Shape, dtype: np.dtype) -> Array:
        """An array whose entries are whatever was there."""
        return room().empty(shape, dtype)

    def cut(self, rows: int, work: int) -> list[slice]:
        """At most 8 blocks of at least 8 rows, as even as can be: by shape alone, whatever the number of threads."""
        n = max(1, min(MAX_BLOCKS, rows // MIN_ROWS, work // MIN_WORK))
        return [slice(i * rows // n, (i + 1) * rows // n) for i in range(n)]

    def map(self, function: Callable[[Item], Result], blocks: Sequence[Item]) -> list[Result]:
        """[function(block) for block in blocks] on the threads of the pool, results in order."""
        return pool.map(function, blocks)
