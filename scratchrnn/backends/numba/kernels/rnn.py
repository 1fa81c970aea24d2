"""Loops of the plain recurrence: states forward, ∂L/∂a backward, and the gradients of weights that tokens select.

What only some networks need (tokens, valid) is None for the others: Numba then compiles nothing of it, which took a
tenth off their time to compile; a network that needs both compiles a kernel twice. The other arguments are as in
`linear.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...._arrays import Array
from ..compile import STRICT, kernel
from .cpu import FEW_ROWS
from .ir import at, call
from .linear import dot
from .product import PLAIN, SCALE_DOWN, SCALE_UP, TANH, UNUSED
from .tanh import tanh


def _states(
    functions: Any,
    h: Array,
    x: Array,
    tokens: Array | None,
    W_xh: Array,
    W_hh: Array,
    b_h: Array,
    valid: Array | None,
    work: Array,
    width: int,
    activation: int,
    begin: int,
    end: int,
) -> None:
    """h_t = tanh(W_xh · x_t + b_h + W_hh · h_{t−1}) for t = begin … end − 1, one two-source product per step.

    h (T + 1, N, H): the state before is given. x (T, N, D), empty where tokens (T, N) are given, which otherwise are
    None; valid (T, N), or None.
    """
    product, pack = functions
    N, H = h.shape[1], h.shape[2]
    D = W_xh.shape[1]
    columns = (H + width - 1) // width * width
    recurrent, projection, start = at(work, 0), at(work, columns * H), columns * H
    call(pack, (recurrent, at(W_hh, 0), 1, H, H, H, H))
    if tokens is None:
        ahead = N < FEW_ROWS  # so few rows are best served with W_hh alone in the first-level cache
        call(pack, (projection, at(W_xh, 0), 1, D, D, H, D))
        if ahead:
            source = (at(x, begin * N * D), D, 1, D, projection)
            rows = (end - begin) * N
            call(product, ((at(h, (begin + 1) * N * H), H, rows, H), (at(b_h, 0), 0), source, UNUSED, PLAIN))
    for t in range(begin, end):
        if tokens is None:
            first = (at(x, t * N * D), D, D, projection)
            start_from = (at(b_h, 0), 0)
            if ahead:
                first = (0, 0, 0, 0)
                start_from = (at(h, (t + 1) * N * H), H)
        else:
            for n in range(N):
                token = tokens[t, n]
                for j in range(H):
                    work[start + n * H + j] = W_xh[j, token] + b_h[j]
            first = (0, 0, 0, 0)
            start_from = (at(work, start), H)
        source = (first[0], first[1], 1, first[2], first[3])
        second = (at(h, t * N * H), H, 1, H, recurrent)
        epilogue = (t % 2, activation, 0, 0, 0, 0, 0)
        call(product, ((at(h, (t + 1) * N * H), H, N, H), start_from, source, second, epilogue))
        if valid is not None:
            for n in range(N):
                if not valid[t, n]:
                    for j in range(H):
                        h[t + 1, n, j] = h[t, n, j]


def _few_states(
    h: Array, x: Array, tokens: Array | None, W_xh: Array, W_hh: Array, b_h: Array, activation: int
) -> None:
    """`_states` for very few rows and steps, as a stream has them: packing would cost more than it saves."""
    for t in range(h.shape[0] - 1):
        for n in range(h.shape[1]):
            for j in range(h.shape[2]):
                a = b_h[j] + dot(W_hh[j], h[t, n])
                if tokens is None:
                    a += dot(W_xh[j], x[t, n])
                else:
                    a += W_xh[j, tokens[t, n]]
                h[t + 1, n, j] = tanh(a) if activation == TANH else a * 0 if a <= 0 else a


def _through_time(
    functions: Any,
    da: Array,
    dh_next: Array,
    squares: Array,
    row_norms: Array,
    subnormals_flushed: Array,
    dy: Array,
    dstate: Array,
    h: Array,
    W_hh: Array,
    valid: Array | None,
    work: Array,
    width: int,
    tiny: float,
    derivative: int,
    first: int,
    end: int,
) -> None:
    """∂L/∂a_t for t = end − 1 … first. dstate (N, H) is ∂L/∂h_{end − 1} as step `end` and the users of the last
    state pass it back.

    dh_next (N, H), which may be dstate itself, is in the end what step `first` hands back to the one before, and on the
    way what rows that are over hand back. da and dy (T, N, H), which may be one array, dy also (1, N, H) where all
    steps share their rows; h (T + 1, N, H), valid as in `_states`, squares (1 or 2, N) is scratch. row_norms (T, N) and
    subnormals_flushed (T,) become ‖∂L/∂h_t[n]‖ and how many entries were set to 0. tiny is the smallest normal number.
    """
    product, pack = functions
    N, H = h.shape[1], h.shape[2]
    step, moving = N * H, np.int64(dy.shape[0] > 1)
    start, panels = at(work, 0), at(work, (step + width - 1) // width * width)
    for n in range(N):
        for i in range(H):
            work[n * H + i] = dy[(end - 1) * moving, n, i] + dstate[n, i]
    call(pack, (panels, at(W_hh, 0), H, 1, H, H, H))
    for t in range(end - 1, first - 1, -1):
        begin, K = at(dy, t * moving * step), H
        if t == end - 1:  # what is handed back is given, not a product
            begin, K = start, 0
        elif valid is not None:  # so it is for rows that end here
            for n in range(N):
                if not valid[t + 1, n]:
                    begin = start
            for n in range(N):
                if begin != start:
                    break
                for i in range(H):
                    dh = dy[t * moving, n, i]
                    work[n * H + i] = dh if valid[t + 1, n] else dh + dh_next[n, i]
        source = (at(da, (t + 1) * step), H, 1, K, panels)
        sums = (at(squares, 0), at(squares, (squares.shape[0] - 1) * N))
        for s in range(squares.shape[0]):
            for n in range(N):
                squares[s, n] = 0
        subnormals_flushed[t] = 0
        epilogue = (t % 2, derivative, at(h, (t + 1) * step), H, sums, at(subnormals_flushed, t))
        call(product, ((at(da, t * step), H, N, H), (begin, H), source, UNUSED, epilogue))
        for n in range(N):
            if squares.shape[0] == 1:
                row_norms[t, n] = np.sqrt(squares[0, n])
            elif squares[1, n] < 2.0**-1000:
                row_norms[t, n] = np.sqrt(squares[0, n]) / SCALE_UP
            else:
                row_norms[t, n] = np.sqrt(squares[1, n]) / SCALE_DOWN
        if valid is not None:
            for n in range(N):
                if not valid[t, n]:  # the step is not there: ∂L/∂h_t goes back as it is
                    for i in range(H):
                        dh = work[n * H + i]
                        dh_next[n, i] = dh if abs(dh) >= tiny or dh != dh else dh * 0
                        da[t, n, i] = 0
    if valid is None:
        source = (at(da, first * step), H, 1, H, panels)
        call(product, ((at(dh_next, 0), H, N, H), (0, 0), source, UNUSED, PLAIN))
    else:
        for n in range(N):
            if valid[first, n]:
                source = (at(da, first * step + n * H), H, 1, H, panels)
                call(product, ((at(dh_next, n * H), H, 1, H), (0, 0), source, UNUSED, PLAIN))


def _scatter(columns: Array, tokens: Array, rows: Array, first: int, end: int) -> None:
    """Add rows first … end − 1 of each step to the column (stored as a row) of their tokens.

    columns (D, H), tokens (T, N), rows (T, N, H).
    """
    columns[:] = 0
    for t in range(tokens.shape[0]):
        for n in range(first, end):
            for j in range(columns.shape[1]):
                columns[tokens[t, n], j] += rows[t, n, j]


states = kernel(_states, **STRICT)
few_states = kernel(_few_states, **STRICT)
through_time = kernel(_through_time, **STRICT)
scatter = kernel(_scatter, **STRICT)
