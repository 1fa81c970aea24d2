"""Memory and arrays that are used again from one pass to the next."""

from __future__ import annotations

import numpy as np

from scratchrnn.backends.numba.workspace import KEPT, LINE, Room

FLOAT = np.dtype(np.float32)


def arrays(room: Room, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """What a block of code with these wishes gets."""
    with room:
        return [room.empty(shape, FLOAT) for shape in shapes]


def test_a_block_gets_the_arrays_of_the_block_before() -> None:
    room = Room()
    shapes = (3, 5), (7,), (7,)
    fresh = arrays(room, *shapes)  # which tells how much is needed
    first, second = arrays(room, *shapes), arrays(room, *shapes)
    assert all(a is b for a, b in zip(first, second, strict=True))
    assert not any(a is b for a, b in zip(fresh, first, strict=True))
    assert [a.shape for a in first] == [*shapes]
    assert all(a.ctypes.data % LINE == 0 for a in first)
    assert not any(np.shares_memory(a, b) for i, a in enumerate(first) for b in first[:i])


def test_other_wishes_get_other_arrays() -> None:
    room = Room()
    arrays(room, (64,))
    (one,) = arrays(room, (2, 3))
    (other,) = arrays(room, (3, 2))
    assert one.shape == (2, 3) and other.shape == (3, 2) and np.shares_memory(one, other)
    with room:
        assert room.empty((2, 3), np.dtype(float)).dtype == float


def test_kept_arrays_are_bounded() -> None:
    room = Room()
    arrays(room, (2 * KEPT,))
    for n in range(1, 2 * KEPT):
        arrays(room, (n,))
    assert len(room._arrays) <= KEPT


def test_kept_arrays_go_with_their_memory() -> None:
    room = Room()
    arrays(room, (64,))
    before = arrays(room, (4,))[0]
    arrays(room, (128,))  # too small: larger from now on
    after = arrays(room, (4,))[0]
    assert not np.shares_memory(before, after)


def test_a_block_within_a_block_takes_what_is_free() -> None:
    room = Room()
    arrays(room, (64,))
    with room:
        outer = room.empty((8,), FLOAT)
        with room:
            inner = room.empty((8,), FLOAT)
        again = room.empty((8,), FLOAT)
    assert again is inner and not np.shares_memory(outer, inner)


def test_a_room_holds_what_it_gave_and_views_of_it() -> None:
    room = Room()
    assert not room.holds(np.empty(3))
    arrays(room, (64,))
    with room:
        own = room.empty((4, 6), FLOAT)
        too_large = room.empty((1000,), FLOAT)
        assert room.holds(own) and room.holds(own[1:]) and room.holds(own.reshape(-1)[3:])
        assert not room.holds(too_large) and not room.holds(np.empty((4, 6))) and not room.holds(own.copy())
    assert not room.holds(own)  # nothing may be spent any more
