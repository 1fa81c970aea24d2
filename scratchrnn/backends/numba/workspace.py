"""Memory that is used again from one call to the next.

A pass makes large arrays that nobody sees once it is over: states, outputs, their derivatives. Fresh memory for them
costs more than it seems to, since the system hands it out page by page, each cleared, when it is first touched: a tenth
of a whole update, as measured. A room keeps the memory instead.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from ..._arrays import Array

LIMIT = 1 << 28  # bytes that a thread keeps
LINE = 64  # arrays start on a multiple of so many bytes: a line of the cache, the widest vector register
KEPT = 512  # arrays that a thread keeps


class Room:
    """Memory for the arrays of one thread that live no longer than the `with room:` block they were made in.

    Inside a block `empty` hands out pieces of it, one after the other; outside, and where the room is full, new arrays.
    A room that was too small is made larger when the outermost block ends, up to LIMIT. What shall outlive its block
    must be copied. The arrays themselves are kept too: a pass asks for the same ones as the pass before, and to find
    one costs less than to make it.
    """

    def __init__(self) -> None:
        self._raw = np.empty(0, np.uint8)
        self._memory = self._raw[:]  # the part of it that begins with a line
        self._size = 0
        self._used = 0
        self._most = 0
        self._starts: list[int] = []  # of the blocks that are open
        self._arrays: dict[Any, tuple[Array, int]] = {}  # by where they start, and where they end

    def __enter__(self) -> None:
        self._starts.append(self._used)

    def __exit__(self, *error: object) -> None:
        self._most = max(self._most, self._used)
        self._used = self._starts.pop()
        if not self._starts and self._size < self._most <= LIMIT:
            self._size = self._most
            self._arrays.clear()
            self._raw = np.empty(self._size + LINE, np.uint8)
            self._memory = self._raw[-self._raw.ctypes.data % LINE :][: self._size]

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """An array whose entries are whatever was there."""
        if not self._starts:
            return np.empty(shape, dtype)
        key = self._used, shape, dtype
        kept = self._arrays.get(key)
        if kept is None:
            kept = self._make(*key)
            if len(self._arrays) == KEPT:
                self._arrays.clear()
            if kept[1] <= self._size:
                self._arrays[key] = kept
        array, self._used = kept
        return array

    def scratch(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """As `empty`, but good only until the next array is asked for, which may lie in the same memory."""
        used = self._used
        array = self.empty(shape, dtype)
        self._most, self._used = max(self._most, self._used), used
        return array

    def holds(self, array: Array) -> bool:
        """Whether the array, or what it is a view of, lies in the memory of the room, whoever asked for it there.

        Never while no block is open: then nothing of the room is in use.
        """
        return bool(self._starts) and array.base is self._raw

    def _make(self, start: int, shape: tuple[int, ...], dtype: np.dtype) -> tuple[Array, int]:
        """An array that starts there, elsewhere where there is no room for it, and where the next one may start."""
        end = start + -(-math.prod(shape) * dtype.itemsize // LINE) * LINE
        return (np.ndarray(shape, dtype, self._memory, start) if end <= self._size else np.empty(shape, dtype)), end


_rooms = threading.local()


def room() -> Room:
    """The room of the calling thread."""
    try:
        return _rooms.room
    except AttributeError:
        _rooms.room = Room()
        return _rooms.room
