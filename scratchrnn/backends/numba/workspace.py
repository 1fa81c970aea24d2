"""Memory that is used again from one call to the next.

A call makes large arrays that are not needed after it: states, outputs, their derivatives. Fresh memory for them is
slow, because the system clears each page when it is first used: a tenth of the time of an update, as measured. A
workspace keeps the memory for the next call instead.
"""

from __future__ import annotations

import math
import sys
import threading
from types import FrameType
from typing import Any

import numpy as np

from ..._arrays import Array
from .threads import is_running

LIMIT = 1 << 28  # bytes that a thread keeps
ALIGNMENT = 64  # arrays start at multiples of this many bytes: a cache line, the widest vector register
MAX_ARRAYS = 512  # arrays that a thread keeps


class Memory:
    """A piece of memory, and the arrays that were made in it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.raw = np.empty(size + ALIGNMENT if size else 0, np.uint8)
        self.aligned = self.raw[-self.raw.ctypes.data % ALIGNMENT :][:size]
        self.arrays: dict[Any, tuple[Array, int]] = {}  # by where they start; each with its end


class Block:
    """An open block of code that uses a workspace."""

    __slots__ = ("frame", "outer", "used")

    def __init__(self, frame: FrameType, outer: Block | None, used: int) -> None:
        self.frame = frame  # of the function that has the `with` statement
        self.outer = outer
        self.used = used  # bytes in use, those of outer blocks included


class Workspace:
    """Memory for the arrays of one thread that live no longer than the `with` block that they were made in.

    Inside a block `empty` hands out pieces of it, one after the other. Outside, or where the workspace is full, it
    makes new arrays. If one call does not fit, the next one starts with more memory, up to LIMIT. What must outlive its
    block has to be copied. The array objects are kept too: a pass asks for the same ones as the pass before, and to
    find one costs less than to make it.

    An interrupt (Ctrl-C) may come between the `with` statement and its block, or before `__exit__` has done anything.
    So a block also ends when the function that opened it does: every block knows the frame of that function. Write the
    `with` statement there; ExitStack would open the block in a frame of its own. Each change of state is one
    assignment, so an interrupt leaves none half done.
    """

    def __init__(self) -> None:
        self._memory = Memory(0)
        self._block: Block | None = None  # the innermost open block
        self._missing = 0  # size that would have been enough for the last outermost block; 0 if it was

    def __enter__(self) -> None:
        outer = self._block
        if outer is not None and not is_running(outer.frame):
            self.close_abandoned()
            outer = self._block
        if outer is None and self._missing:
            if self._missing <= LIMIT:
                self._memory = Memory(self._missing)
            self._missing = 0
        self._block = Block(sys._getframe(1), outer, 0 if outer is None else outer.used)

    def __exit__(self, *error: object) -> None:
        frame, block = sys._getframe(1), self._block
        while block is not None and block.frame is not frame:  # an interrupt kept that one from closing
            block = block.outer
        if block is not None:
            self._block = block.outer

    def close_abandoned(self) -> None:
        """Close blocks whose function is over."""
        while self._block is not None and not is_running(self._block.frame):
            self._block = self._block.outer

    @property
    def is_open(self) -> bool:
        """Whether a block is open."""
        self.close_abandoned()
        return self._block is not None

    def empty(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """An array whose entries are whatever was there."""
        block = self._block
        if block is None:
            return np.empty(shape, dtype)
        key = block.used, shape, dtype
        array, block.used = self._memory.arrays.get(key) or self._make(*key)
        return array

    def scratch(self, shape: tuple[int, ...], dtype: np.dtype) -> Array:
        """As `empty`, but good only until the next array is asked for, which may lie in the same memory."""
        block = self._block
        if block is None:
            return np.empty(shape, dtype)
        key = block.used, shape, dtype
        return (self._memory.arrays.get(key) or self._make(*key))[0]

    def owns(self, array: Array) -> bool:
        """Whether the array, or the array that it is a view of, lies in the workspace.

        Never while no block is open: then nothing of the workspace is in use.
        """
        return self._block is not None and array.base is self._memory.raw

    def _make(self, start: int, shape: tuple[int, ...], dtype: np.dtype) -> tuple[Array, int]:
        """An array that starts there, or elsewhere if it does not fit, and where the next one may start."""
        memory = self._memory
        end = start + -(-math.prod(shape) * dtype.itemsize // ALIGNMENT) * ALIGNMENT
        if end > memory.size:
            self._missing = max(self._missing, end)
            return np.empty(shape, dtype), end
        if len(memory.arrays) >= MAX_ARRAYS:
            memory.arrays.clear()
        made = memory.arrays[start, shape, dtype] = np.ndarray(shape, dtype, memory.aligned, start), end
        return made


_workspaces = threading.local()


def workspace() -> Workspace:
    """The workspace of the calling thread."""
    try:
        memory: Workspace = _workspaces.workspace
    except AttributeError:
        memory = _workspaces.workspace = Workspace()
    return memory
