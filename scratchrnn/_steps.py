"""Which outputs count: the `steps` and `lengths` of the public calls in the form that the inside works with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import _hints
from ._arrays import Array, map_arrays, namespace, plain, to_numpy


class StepSelection(NamedTuple):
    """The wanted outputs of a time-major (T, N, …) array: K steps of every row, and which of those entries count.

    index : what `h[index]` takes: all steps, one step, some steps, or one step of each row.
    mask : (K, N) bool, or None where every selected entry counts.
    total : number of counted entries in the whole batch.
    """

    index: Any
    mask: Array | None
    total: int

    @property
    def every_step(self) -> bool:
        """Whether all T steps are selected: then `gather` and `scatter` change nothing."""
        return isinstance(self.index, slice) and self.index == slice(None)

    def gather(self, h: Array) -> Array:
        """(T, N, …) → (K, N, …)."""
        selected = h[self.index]
        return selected if selected.ndim == h.ndim else selected[None]  # one step of each row

    def map(self, function: Callable[[Array], Array]) -> StepSelection:
        """The same with its arrays changed, such as moved to where a backend computes."""
        index = self.index
        if isinstance(index, slice) and self.mask is None:
            return self
        if not isinstance(index, slice):
            index = map_arrays(function, index)
        return StepSelection(index, map_arrays(function, self.mask), self.total)

    def select(self, rows: Any) -> StepSelection:
        """The same for some rows (a slice, or their numbers); `total` stays that of the whole batch."""
        index = self.index
        if isinstance(index, tuple):  # (step of each row, row)
            steps = index[0][rows]
            index = (steps, index[1][: len(steps)])
        return StepSelection(index, None if self.mask is None else self.mask[:, rows], self.total)


def scatter(selected: Array, index: Any, T: int, dstate: Any) -> tuple[Array, Any]:
    """(K, N, …) → (T, N, …), zero at the steps that `index` does not select: the transpose of `gather`.

    Returns it with dstate, ∂L/∂(last state), to which a kernel may add what belongs to the last step instead, in place.
    """
    h = namespace(selected).zeros((T, *selected.shape[1:]), selected.dtype)
    h[index] = selected.reshape(h[index].shape)
    return h, dstate


def select_steps(steps: Any, T: int, N: int, lengths: np.ndarray | None) -> StepSelection:
    """Read `steps`: "all", "last", or a boolean mask (T,) or (N, T). Entries past a row's length never count.

    Raises ValueError for an unknown word, a mask of another shape, or when nothing counts; TypeError for a mask that is
    not boolean.
    """
    if isinstance(steps, str):
        if steps == "last":
            index: Any = slice(T - 1, T) if lengths is None else (lengths - 1, np.arange(N))
            return StepSelection(index, None, N)
        if steps != "all":
            raise ValueError(f'steps={steps!r} is not known; use "all", "last" or a boolean mask (T,) or (N, T)')
        if lengths is None:
            return StepSelection(slice(None), None, N * T)
        chosen = np.ones((T, 1), dtype=bool)
    else:
        chosen = _mask(steps, T, N)
    selected = chosen.any(axis=1)  # (T,): steps at which some row counts
    mask: np.ndarray = np.broadcast_to(chosen, (T, N))
    if lengths is not None:
        mask = mask & (np.arange(T)[:, None] < lengths)
    mask = mask[selected]
    total = int(mask.sum())
    if total == 0:
        raise ValueError(
            "no step counts: the mask is False everywhere" + ("" if lengths is None else " within the lengths")
        )
    index = slice(None) if selected.all() else np.flatnonzero(selected)
    return StepSelection(index, None if mask.all() else mask, total)


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
