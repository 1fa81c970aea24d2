"""The rows of a call: split, run group by group, on threads where the backend has any, and put back in order.

*Row blocks* come from shapes alone and decide the bits: sums over the rows of a block are kept apart and added up in
the order of the blocks, so that results are the same for any number of threads. *Row groups*, the neighbouring blocks
that run together, may depend on threads and cache sizes: they decide speed alone. The more rows share a step, the less
it costs to fetch its weights.

Rows of different lengths are sorted first, so that a block is over when the longest of its rows is. Without gradients
there is nothing to add up, and a group has no more rows than MAX_NUMBERS allows (and those that fill a tile): memory
for states on the way does not grow with the batch.

Only this module opens a workspace, starts threads and restores the order of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from .._arrays import Array, detach, map_arrays
from ..parameters import Parameters
from .base import Backend

MAX_NUMBERS = 1 << 23  # outputs of the widest layer that a group holds where there are no gradients
MIN_PARALLEL_SUM = 1 << 19  # below this many numbers, one thread adds them up sooner than another is woken

Entries = list[tuple[slice, Parameters]]


class RowResult(Protocol):
    """What a function of rows returns: results of these rows alone."""

    def detached(self) -> Any:
        """The same in memory of its own, to be kept when the workspace is used again."""

    @staticmethod
    def joined(parts: Sequence[Any], order: Array | None) -> Any:
        """The results of all groups side by side, their rows in this order (None: as they are)."""


Result = TypeVar("Result", bound=RowResult)


class RowGroup(NamedTuple):
    """Neighbouring row blocks that run together."""

    rows: Any  # of the minibatch: a slice, or their numbers
    blocks: list[tuple[int, slice]]  # the number of each block, and which rows of the group are its own


class RowPlan(NamedTuple):
    """How the rows of a call run."""

    backend: Backend
    groups: list[RowGroup]
    blocks: int  # how many there are
    order: Array | None  # permutation that restores the original row order; None if unchanged


def plan_with_gradients(
    backend: Backend, params: Parameters, T: int, N: int, lengths: Array | None, directions: int
) -> RowPlan:
    """Row blocks whose gradients are summed apart, in groups whose states stay in a cache until the way back."""
    blocks, order = _split(backend, params, T, N, lengths)
    if len(blocks) == 1:
        return RowPlan(backend, [RowGroup(blocks[0], [(0, blocks[0])])], 1, None)
    if order is not None:  # a block is over when its rows are, so each runs by itself
        return RowPlan(backend, _alone(blocks), len(blocks), order)
    outputs = sum(shape[0] for shape in params.shapes.values() if len(shape) == 1)  # every unit has a bias
    # Its states, ∂L/∂h and, where it does not take the place of that, ∂L/∂a; of two directions, which go through copies
    # in their own time, twice as much.
    row_bytes = 3 * directions * T * outputs * params.vector.itemsize
    groups = []
    for numbers in backend.group_blocks(blocks, params.vector.nbytes, row_bytes):
        start = blocks[numbers[0]].start
        own = [(i, slice(blocks[i].start - start, blocks[i].stop - start)) for i in numbers]
        groups.append(RowGroup(slice(start, blocks[numbers[-1]].stop), own))
    return RowPlan(backend, groups, len(blocks), None)


def plan_forward(
    backend: Backend, params: Parameters, T: int, N: int, lengths: Array | None, directions: int, widest: int
) -> RowPlan:
    """The same groups, none with more rows than MAX_NUMBERS allows. widest: features of the widest layer."""
    plan = plan_with_gradients(backend, params, T, N, lengths, directions)
    most = max_rows(T, widest) // backend.tile * backend.tile or backend.tile
    if N <= most:
        return plan
    groups = []
    for group in plan.groups:
        is_slice = isinstance(group.rows, slice)
        start, end = (group.rows.start, group.rows.stop) if is_slice else (0, len(group.rows))
        while start < end:
            # Rows that do not fill a tile stay with others: alone they would be computed in another way.
            stop = start + most if end - start >= most + backend.tile else end
            rows = slice(start, stop)
            groups.append(RowGroup(rows if is_slice else group.rows[rows], []))
            start = stop
    return plan._replace(groups=groups)


def max_rows(T: int, widest: int) -> int:
    """How many rows of T steps run at a time where there are no gradients."""
    return max(1, MAX_NUMBERS // (T * widest))


def map_rows(plan: RowPlan, function: Callable[[Any, Entries], Result], grads: Parameters | None = None) -> Result:
    """function(rows, entries) for every group of rows, its results put together in the order of the rows.

    entries : of each block in the group its rows there, and parameters to write their gradients into. The gradients of
        all blocks are added up into `grads`; without it there are no entries.
    """
    backend, groups, blocks, order = plan
    if len(groups) == 1:
        (group,) = groups
        entries = [] if grads is None else [(rows, grads) for _, rows in group.blocks]
        if len(entries) < 2:
            with backend.workspace():
                return function(group.rows, entries).detached()
    with backend.workspace():
        others: Any = None
        if grads is not None:
            others = backend.empty((blocks - 1, grads.vector.size), grads.vector.dtype)

        def of_group(group: RowGroup) -> Result:
            entries: Entries = []
            if grads is not None:
                entries = [
                    (rows, grads.like(others[i - 1]) if i else grads) for i, rows in group.blocks
                ]  # block 0: grads
            with backend.workspace():
                return function(group.rows, entries).detached()

        results = backend.map(of_group, groups)
        if grads is not None:
            add_up(backend, grads.vector, others)
    return type(results[0]).joined(results, order)


def run_in_workspace(backend: Backend, function: Callable[[], Any]) -> Any:
    """What a function returns, its arrays in memory of their own; what it makes on the way is workspace memory."""
    with backend.workspace():
        return map_arrays(detach, function())


def run_in_own_memory(backend: Backend, function: Callable[[], Any]) -> Any:
    """What a function returns, made outside any workspace: for what is kept, such as traces."""
    backend.settle()
    return function()


def add_up(backend: Backend, total: Array, others: Array) -> None:
    """total += Σ others (blocks, size), in the order of the blocks; in pieces, where they are worth another thread."""
    size = -(-total.size // max(1, others.size // MIN_PARALLEL_SUM))

    def add_piece(start: int) -> None:
        part = total[start : start + size]
        for other in others:
            part += other[start : start + size]

    backend.map(add_piece, range(0, total.size, size))


def _split(
    backend: Backend, params: Parameters, T: int, N: int, lengths: Array | None
) -> tuple[list[Any], Array | None]:
    """The rows of each block, and where the rows of all blocks, side by side, belong."""
    blocks = backend.split_rows(N, T * N * params.vector.size)
    if lengths is None or len(blocks) == 1:
        return list(blocks), None
    order = lengths.argsort(kind="stable")
    return [order[rows] for rows in blocks], order.argsort()


def _alone(blocks: Sequence[Array]) -> list[RowGroup]:
    """Each block as a group of its own."""
    return [RowGroup(rows, [(i, slice(0, len(rows)))]) for i, rows in enumerate(blocks)]
