"""Which outputs count: the `steps` and `lengths` of the public calls in the form that the inside works with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from . import _hints
from ._arrays import Array, plain, to_numpy
from .backends.base import Backend


class Counted(NamedTuple):
    """The wanted outputs of a time-major (T, N, …) array: K steps of every row, and which of those entries count.

    index : what `h[index]` takes: all steps, one step, some steps, or one step of each row.
    mask : (K, N) bool, or None where every taken entry counts.
    total : number of counted entries in the whole batch.
    """

    index: Any
    mask: Array | None
    total: int

    def take(self, h: Array) -> Array:
        """(T, N, …) → (K, N, …)."""
        taken = h[self.index]
        return taken if taken.ndim == h.ndim else taken[None]  # one step of each row

    def put(self, taken: Array, T: int, backend: Backend, last: Array | None = None) -> Array:
        """(K, N, …) → (T, N, …), zero at the steps that were not taken: the transpose of `take`.

        Where the last step alone was taken and there is a place for it, an array whose last rows are as many as those
        of a step, it goes there, and no step is left: nothing of T steps has to be made then. (Host arrays only: what
        is kept for that must not outlive a change of device.)
        """
        if isinstance(self.index, slice):
            if self.index == slice(None):
                return taken
            if last is not None and self.mask is None and backend.xp is np:
                last.reshape(-1, *taken.shape[1:])[-1] = taken[0]
                return _zeros((T, *taken.shape[1:]), last.dtype)
        h = backend.empty((T, *taken.shape[1:]), taken.dtype)
        h[...] = 0
        h[self.index] = taken.reshape(h[self.index].shape)
        return h

    def on(self, backend: Backend) -> Counted:
        """The same with its arrays where the backend computes."""
        index = self.index
        if isinstance(index, slice) and self.mask is None:
            return self
        if isinstance(index, tuple):
            index = tuple(backend.asarray(i) for i in index)
        elif not isinstance(index, slice):
            index = backend.asarray(index)
        return Counted(index, None if self.mask is None else backend.asarray(self.mask), self.total)

    def rows(self, block: Any) -> Counted:
        """The same for a block of rows (a slice, or their numbers); `total` stays that of the whole batch."""
        index = self.index
        if isinstance(index, tuple):  # (step of each row, row)
            steps = index[0][block]
            index = (steps, index[1][: len(steps)])
        return Counted(index, None if self.mask is None else self.mask[:, block], self.total)


def counted_steps(steps: Any, T: int, N: int, lengths: np.ndarray | None) -> Counted:
    """Read `steps`: "all", "last", or a boolean mask (T,) or (N, T). Entries past a row's length never count.

    Raises ValueError for an unknown word, a mask of another shape, or when nothing counts; TypeError for a mask that is
    not boolean.
    """
    if isinstance(steps, str):
        if steps == "last":
            index: Any = slice(T - 1, T) if lengths is None else (lengths - 1, np.arange(N))
            return Counted(index, None, N)
        if steps != "all":
            raise ValueError(f'steps={steps!r} is not known; use "all", "last" or a boolean mask (T,) or (N, T)')
        if lengths is None:
            return Counted(slice(None), None, N * T)
        chosen = np.ones((T, 1), dtype=bool)
    else:
        chosen = _mask(steps, T, N)
    taken = chosen.any(axis=1)  # (T,): steps at which some row counts
    mask: np.ndarray = np.broadcast_to(chosen, (T, N))
    if lengths is not None:
        mask = mask & (np.arange(T)[:, None] < lengths)
    mask = mask[taken]
    total = int(mask.sum())
    if total == 0:
        raise ValueError(
            "no step counts: the mask is False everywhere" + ("" if lengths is None else " within the lengths")
        )
    index = slice(None) if taken.all() else np.flatnonzero(taken)
    return Counted(index, None if mask.all() else mask, total)


@lru_cache(64)
def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of zeros that takes the memory of one, to be read only."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def _mask(steps: Any, T: int, N: int) -> np.ndarray:
    """A boolean mask as time-major (T, 1) or (T, N)."""
    mask = to_numpy(plain("steps", steps))
    if mask.dtype == bool:
        if mask.shape == (T,):
            return mask[:, None]
        if mask.shape == (N, T):
            return mask.T

    def accepted(mask: Array) -> bool:
        return mask.dtype == bool and mask.shape in ((T,), (N, T)) and bool(mask.any())

    hint = _hints.advice("steps", steps, mask, _hints.step_masks(T), accepted) if mask.dtype != object else ""
    if mask.dtype != bool:
        hint = '; for every step say steps="all"' if steps is None else hint
        raise TypeError(f'steps must be "all", "last" or a boolean mask, got an array of {mask.dtype}{hint}')
    raise ValueError(f"a steps mask has shape (T,) = ({T},) or (N, T) = ({N}, {T}), got {mask.shape}{hint}")
