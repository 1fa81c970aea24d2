"""NumPy: where its arrays live, and how it runs the rows of a call. The other backends change what differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, ClassVar, TypeVar

import numpy as np

from .._arrays import Array, to_numpy

Item = TypeVar("Item")
Result = TypeVar("Result")
Shape = tuple[int, ...]
Function = Callable[..., Any]

NO_WORKSPACE = nullcontext()


class Backend:
    """Where arrays live, which kernels stand for functions of the reference implementation, and how rows are split.

    This base is the NumPy backend. A backend has no state of its own that a model could depend on, so copies of a model
    share it.
    """

    name: ClassVar[str] = "numpy"
    origin: tuple[Any, ...] = ()  # what a pickle calls to find it in another process; `backends.resolve` sets it
    kernels: Mapping[Function, Function] = {}  # function of the reference implementation → its kernel
    tile: int = 1  # rows that kernels compute together: groups begin at multiples of it

    @property
    def xp(self) -> ModuleType:
        """The array module."""
        return np

    def asarray(self, array: Any, dtype: Any = None) -> Array:
        """The array where this backend computes; copied only where needed, as it lies in memory."""
        if type(array) is np.ndarray and (dtype is None or array.dtype == dtype):
            return array
        with np.errstate(under="ignore"):
            return np.asarray(to_numpy(array), dtype=dtype)

    def kernel(self, function: Function) -> Function:
        """The kernel with the same arguments and results, or the function itself where there is none."""
        return self.kernels.get(function, function)

    def workspace(self) -> AbstractContextManager[Any]:
        """A block of code whose memory the next one uses again: what leaves it must be copied."""
        return NO_WORKSPACE

    def settle(self) -> None:
        """Leave nothing open of an earlier call that an interrupt ended."""

    def empty(self, shape: Shape, dtype: np.dtype) -> Array:
        """An array whose entries are whatever was there; workspace memory in a block of it."""
        return self.xp.empty(shape, dtype)

    def split_rows(self, rows: int, work: int) -> list[slice]:
        """Row blocks, by shape alone: they decide the bits. work: multiplications of a forward pass."""
        return [slice(0, rows)]

    def group_blocks(self, blocks: Sequence[slice], weight_bytes: int, row_bytes: int) -> list[range]:
        """Which neighbouring blocks run together, by their numbers: this decides speed alone.

        weight_bytes, row_bytes: bytes of all weights, and of what a pass keeps of one row, near enough.
        """
        return [range(i, i + 1) for i in range(len(blocks))]

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """[function(item) for item in items], results in order."""
        return [function(item) for item in items]

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return self.origin or (type(self), ())
