"""Several recurrences as one layer: on top of one another, and in both directions of time.

Level 0 reads x, each further level what the one below gives. With two directions, a level has a second recurrence with
parameters of its own, which reads each sequence from its end: a row of length n is turned around within its first n
steps, and what comes out is turned back, so that both directions speak of the same step. A level gives [forward,
reverse] side by side. Between levels there may be dropout.

Nothing is computed here but turning, joining and dropout; the recurrences are `rnn.forward`, `rnn.backward` and
`rnn.tangent`, or whatever else is handed in as `recurrence`: a backend's twins stand here in their place.

Letters: N rows, T time steps, D input features, H hidden units, L levels, R directions (1 or 2). A cell is one
recurrence; cells are numbered level by level, forward before reverse, and so are their states in a (L·R, N, H) array.
Parameters of a cell are its own symbols followed by nothing, "_reverse", "_l1", "_l1_reverse", "_l2", …
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

from .._arrays import Array, namespace
from .._numerics import reverse_time
from ..backends.base import Blocks

Recurrence = Callable[..., Any]


class Trace(NamedTuple):
    """What forward hands to backward."""

    cells: tuple[Any, ...]  # of every cell, in its own time: a reverse cell's trace runs from the end
    noise: Array | None  # (L − 1, T, N, R·H): what multiplied the input of level 1, 2, …
    lengths: Array | None  # (N,)


class Flow(NamedTuple):
    """What backward saw, cell by cell, all of it in the time of x."""

    cells: tuple[Any, ...]


def forward(
    params: Mapping[str, Array],
    x: Array,
    state: Array,
    *,
    lengths: Array | None = None,
    noise: Array | None = None,
    num_layers: int = 1,
    bidirectional: bool = False,
    nonlinearity: str = "tanh",
    recurrence: Recurrence,
) -> tuple[Array, Array, Trace]:
    """All levels from the bottom up, both directions in each.

    x (T, N, D) or integer (T, N); state (L·R, N, H); lengths (N,); noise (L − 1, T, N, R·H), None in evaluation.
    Returns the top level's outputs (T, N, R·H), the last states (L·R, N, H) and the trace. The last state of a reverse
    cell is the one after x_0.
    """
    xp = namespace(state)
    cells: list[Any] = []
    last: list[Array] = []
    y = x
    for level in range(num_layers):
        if level and noise is not None:
            y = y * noise[level - 1]
        sides = []
        for reverse in range(1 + bidirectional):
            i = len(cells)
            h, h_last, cell = recurrence(
                own(params, i, bidirectional),
                reverse_time(y, lengths) if reverse else y,
                state[i],
                lengths=lengths,
                nonlinearity=nonlinearity,
            )
            sides.append(reverse_time(h, lengths) if reverse else h)
            last.append(h_last[None])
            cells.append(cell)
        y = xp.concatenate(sides, axis=2) if bidirectional else sides[0]
    return y, xp.concatenate(last), Trace(tuple(cells), noise, lengths)


def backward(
    params: Mapping[str, Array],
    dy: Array,
    trace: Trace,
    dstate: Array,
    *,
    inputs: bool = True,
    num_layers: int = 1,
    bidirectional: bool = False,
    nonlinearity: str = "tanh",
    recurrence: Recurrence,
    out: Blocks | None = None,
) -> tuple[Array | None, Array, dict[str, Array], Flow]:
    """From the top level down: ∂L/∂y of a level is split into its sides, and their ∂L/∂x are added up.

    dy (T, N, R·H) and dstate (L·R, N, H) as for a single recurrence; `out` is for a recurrence that fills it, and the
    gradients returned are then those of its first block. Returns
    dx (None for integer x or inputs=False), ∂L/∂h0 (L·R, N, H), the gradients by name, and the flow of every cell.
    """
    cells, noise, lengths = trace
    xp = namespace(dy)
    R, H = 1 + bidirectional, dstate.shape[2]
    results: list[Any] = [None] * len(cells)
    dx = None
    for level in reversed(range(num_layers)):
        dx = None
        for reverse in range(R):
            i = R * level + reverse
            side = dy[:, :, reverse * H : (reverse + 1) * H]
            to_fill = {} if out is None else {"out": [(rows, own(part, i, bidirectional)) for rows, part in out]}
            dx_side, *results[i] = recurrence(
                own(params, i, bidirectional),
                reverse_time(side, lengths) if reverse else side,
                cells[i],
                dstate[i],
                inputs=inputs or level > 0,
                nonlinearity=nonlinearity,
                **to_fill,
            )
            if dx_side is not None:
                dx_side = reverse_time(dx_side, lengths) if reverse else dx_side
                dx = dx_side if dx is None else dx + dx_side
        dy = dx if noise is None or level == 0 else dx * noise[level - 1]

    dstate0 = xp.concatenate([dstate0[None] for dstate0, _, _ in results])
    grads = {
        name: of_cell[symbol]
        for i, (_, of_cell, _) in enumerate(results)
        for symbol, name in names(i, bidirectional)
        if symbol in of_cell
    }
    flow = Flow(tuple(in_time(flow, lengths) if i % R else flow for i, (_, _, flow) in enumerate(results)))
    return dx, dstate0, grads, flow


def tangent(
    params: Mapping[str, Array],
    trace: Trace,
    dparams: Mapping[str, Array],
    dx: Array | None,
    dstate: Array,
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    nonlinearity: str = "tanh",
    recurrence: Recurrence,
) -> tuple[Array, Array]:
    """The linearised forward pass, level by level. Returns how the outputs (T, N, R·H) and last states move."""
    cells, noise, lengths = trace
    xp = namespace(dstate)
    last: list[Array] = []
    dy = dx
    for level in range(num_layers):
        if level and noise is not None:
            dy = dy * noise[level - 1]
        sides = []
        for reverse in range(1 + bidirectional):
            i = len(last)
            dh, dh_last = recurrence(
                own(params, i, bidirectional),
                cells[i],
                own(dparams, i, bidirectional),
                reverse_time(dy, lengths) if reverse and dy is not None else dy,
                dstate[i],
                nonlinearity=nonlinearity,
            )
            sides.append(reverse_time(dh, lengths) if reverse else dh)
            last.append(dh_last[None])
        dy = xp.concatenate(sides, axis=2) if bidirectional else sides[0]
    return dy, xp.concatenate(last)


def suffix(i: int, bidirectional: bool) -> str:
    """What follows the symbols of cell i in the names of its parameters, as in PyTorch."""
    level, reverse = divmod(i, 1 + bidirectional)
    return (f"_l{level}" if level else "") + ("_reverse" if reverse else "")


@cache
def names(i: int, bidirectional: bool) -> tuple[tuple[str, str], ...]:
    """The symbols of a recurrence, and the names that the parameters of cell i have."""
    return tuple((symbol, symbol + suffix(i, bidirectional)) for symbol in ("W_xh", "W_hh", "b_h"))


def own(params: Mapping[str, Array], i: int, bidirectional: bool) -> dict[str, Array]:
    """The parameters of cell i by their own symbols."""
    return {symbol: params[name] for symbol, name in names(i, bidirectional)}


def in_time(flow: Any, lengths: Array | None) -> Any:
    """The flow of a reverse cell in the time of x. What was flushed is counted per step of all rows, so that with
    lengths it stands where it would for a row of T steps."""
    return flow._replace(row_norms=reverse_time(flow.row_norms, lengths), flushed=flow.flushed[::-1])
