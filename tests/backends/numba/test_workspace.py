"""Memory and arrays that are used again from one pass to the next."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import interrupted_at

from scratchrnn.backends.numba import workspace as numba_workspace
from scratchrnn.backends.numba.workspace import ALIGNMENT, MAX_ARRAYS, Workspace

FLOAT = np.dtype(np.float32)


def arrays(memory: Workspace, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """What a block of code with these wishes gets."""
    with memory:
        return [memory.empty(shape, FLOAT) for shape in shapes]


def test_a_block_gets_the_arrays_of_the_block_before() -> None:
    memory = Workspace()
    shapes = (3, 5), (7,), (7,)
    fresh = arrays(memory, *shapes)  # which tells how much is needed
    first, second = arrays(memory, *shapes), arrays(memory, *shapes)
    assert all(a is b for a, b in zip(first, second, strict=True))
    assert not any(a is b for a, b in zip(fresh, first, strict=True))
    assert [a.shape for a in first] == [*shapes]
    assert all(a.ctypes.data % ALIGNMENT == 0 for a in first)
    assert not any(np.shares_memory(a, b) for i, a in enumerate(first) for b in first[:i])


def test_other_wishes_get_other_arrays() -> None:
    memory = Workspace()
    arrays(memory, (64,))
    (one,) = arrays(memory, (2, 3))
    (other,) = arrays(memory, (3, 2))
    assert one.shape == (2, 3) and other.shape == (3, 2) and np.shares_memory(one, other)
    with memory:
        assert memory.empty((2, 3), np.dtype(float)).dtype == float


def test_kept_arrays_are_bounded() -> None:
    memory = Workspace()
    arrays(memory, (2 * MAX_ARRAYS,))
    for n in range(1, 2 * MAX_ARRAYS):
        arrays(memory, (n,))
    assert len(memory._memory.arrays) <= MAX_ARRAYS


def test_kept_arrays_go_with_their_memory() -> None:
    memory = Workspace()
    arrays(memory, (64,))
    before = arrays(memory, (4,))[0]
    arrays(memory, (128,))  # too small: larger from now on
    after = arrays(memory, (4,))[0]
    assert not np.shares_memory(before, after)


def test_a_block_within_a_block_takes_what_is_free() -> None:
    memory = Workspace()
    arrays(memory, (64,))
    with memory:
        outer = memory.empty((8,), FLOAT)
        with memory:
            inner = memory.empty((8,), FLOAT)
        again = memory.empty((8,), FLOAT)
    assert again is inner and not np.shares_memory(outer, inner)


def test_a_workspace_owns_what_it_gave_and_views_of_it() -> None:
    memory = Workspace()
    assert not memory.owns(np.empty(3))
    arrays(memory, (64,))
    with memory:
        own = memory.empty((4, 6), FLOAT)
        too_large = memory.empty((1000,), FLOAT)
        assert memory.owns(own) and memory.owns(own[1:]) and memory.owns(own.reshape(-1)[3:])
        assert not memory.owns(too_large) and not memory.owns(np.empty((4, 6))) and not memory.owns(own.copy())
    assert not memory.owns(own)  # nothing may be overwritten any more


def test_more_than_the_limit_once_does_not_keep_it_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a call that needs more than LIMIT, the memory still grows to what later calls need."""
    monkeypatch.setattr(numba_workspace, "LIMIT", 64 * ALIGNMENT)
    memory = Workspace()
    arrays(memory, (ALIGNMENT,))
    for needed in (1, 65, 2, 64, 65):  # in units of ALIGNMENT
        arrays(memory, (needed * ALIGNMENT // FLOAT.itemsize,))
        with memory:
            fits = memory.owns(memory.empty((needed * ALIGNMENT // FLOAT.itemsize,), FLOAT))
        assert fits == (needed <= 64), needed


def nested_blocks(memory: Workspace) -> None:
    """Two blocks, one in the other; the inner one in a function of its own, as where rows are mapped."""
    with memory:
        memory.empty((8,), FLOAT)
        arrays(memory, (8,), (3, 3))
        memory.scratch((16,), FLOAT)
        memory.empty((2, 2), FLOAT)


@pytest.mark.parametrize("size", [1, 1024], ids=["grows", "is large enough"])
def test_an_interrupt_anywhere_leaves_no_block_open(size: int) -> None:
    """Before every bytecode of a block and of the workspace: the next block starts where an undisturbed one does."""

    def next_block(memory: Workspace) -> tuple[np.ndarray, int]:
        with memory:
            array = memory.empty((4,), FLOAT)
            return array, array.ctypes.data - memory._memory.aligned.ctypes.data

    code = {nested_blocks.__code__, arrays.__code__}
    n, interrupted = 0, True
    while interrupted:
        memory = Workspace()
        arrays(memory, (size,))
        arrays(memory, (size,))
        interrupted = interrupted_at(n, lambda: nested_blocks(memory), code, numba_workspace.__file__)  # noqa: B023
        assert not memory.is_open, n
        assert not memory.owns(memory.empty((4,), FLOAT)), n
        array, offset = next_block(memory)
        assert memory.owns(array) is False and offset == 0, n
        assert next_block(memory)[0] is array, n
        assert all(a.shape == key[1] and end <= memory._memory.size for key, (a, end) in memory._memory.arrays.items())
        n += 1
    assert n > 200


def test_an_interrupt_in_an_inner_block_leaves_the_outer_one_open() -> None:
    """What the outer block has is never given out again before it ends."""
    code = {nested_blocks.__code__, arrays.__code__}
    n, interrupted = 0, True

    def outer_block(memory: Workspace) -> bool:
        with memory:
            first = memory.empty((4,), FLOAT)
            raised = interrupted_at(n, lambda: nested_blocks(memory), code, numba_workspace.__file__)
            assert memory.is_open and memory.owns(first), n
            second = memory.empty((4,), FLOAT)
            inner = arrays(memory, (4,))
            third = memory.empty((4,), FLOAT)
            assert third is inner[0]
            assert second.ctypes.data - first.ctypes.data == ALIGNMENT == third.ctypes.data - second.ctypes.data, n
        assert not memory.is_open, n
        return raised

    while interrupted:
        memory = Workspace()
        arrays(memory, (1024,))
        interrupted = outer_block(memory)
        n += 1
    assert n > 200
