"""NumPy: the text itself, no twins."""

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
# Blocks of rows, side by side, and the arrays to write the gradients of each into: the `out` of a backward twin that
# fills. A layer may run on several blocks at once, but sums over their rows are kept apart.
Blocks = Sequence[tuple[slice, Mapping[str, Array]]]

ANYWHERE = nullcontext()


class Backend:
    """Where arrays live, which functions have a faster twin, and how an update is mapped over blocks of rows.

    This base is the NumPy backend; the others change what differs. A backend has no state of its own that a model could
    depend on, so copies of a model share it.
    """

    name: ClassVar[str] = "numpy"
    origin: tuple[Any, ...] = ()  # what a pickle calls to find it in another process; `backends.resolve` sets it
    fills: frozenset[Callable[..., Any]] = frozenset()  # backward functions whose twin writes into out=, block by block

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

    def room(self) -> AbstractContextManager[Any]:
        """A block of code whose arrays from `empty` are used again by the next block: nothing of them may leave it."""
        return ANYWHERE

    def empty(self, shape: Shape, dtype: np.dtype) -> Array:
        """An array whose entries are whatever was there."""
        return self.xp.empty(shape, dtype)

    def twin(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The faster function with the same arguments and results, or the text itself where there is none."""
        return function

    def backward(
        self,
        function: Callable[..., Any],
        params: Mapping[str, Array],
        dy: Array,
        trace: Any,
        dstate: Any,
        out: Blocks,
        *,
        inputs: bool,
        **options: Any,
    ) -> tuple[Any, Any, Any]:
        """A layer's backward function, or its twin; returns dx, dstate0 and the flow.

        out : a single block for a function that has parameters and is none of `fills`.
        """
        if function in self.fills:
            options["out"] = out
        dx, dstate0, own, flow = self.twin(function)(params, dy, trace, dstate, inputs=inputs, **options)
        if own and function not in self.fills:
            ((_, grads),) = out
            for symbol, array in own.items():
                grads[symbol][...] = array
        return dx, dstate0, flow

    def cut(self, rows: int, work: int) -> list[slice]:
        """Row blocks of an update, by shape alone. work: multiplications of its forward pass."""
        return [slice(0, rows)]

    def together(self, blocks: Sequence[slice], weights: int, row: int) -> list[range]:
        """Which neighbouring blocks run as one, by their numbers.

        weights, row: bytes of all weights, and of what a pass keeps of one row, near enough.
        """
        return [range(i, i + 1) for i in range(len(blocks))]

    def map(self, function: Callable[[Item], Result], blocks: Sequence[Item]) -> list[Result]:
        """[function(block) for block in blocks], results in order."""
        return [function(block) for block in blocks]

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return self.origin or (type(self), ())
