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
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..backends.arrays import Array, namespace
from ..backends.numpy_backend import Blocks
from ..checks import boolean, integer, normalize, probability
from ..parameters import Shape
from . import dropout, rnn
from .initial import check_init
from .initial import draw as draw_initial

Recurrence = Callable[..., Any]


class Trace(NamedTuple):
    """What forward hands to backward."""

    cells: tuple[Any, ...]  # of every cell, in its own time: a reverse cell's trace runs from the end
    noise: Array | None  # (L − 1, T, N, R·H): what multiplied the input of level 1, 2, …
    lengths: Array | None  # (N,)


class Flow(NamedTuple):
    """What backward saw, cell by cell, all of it in the time of x."""

    cells: tuple[rnn.Flow, ...]


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
    recurrence: Recurrence = rnn.forward,
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
                turn(y, lengths) if reverse else y,
                state[i],
                lengths=lengths,
                nonlinearity=nonlinearity,
            )
            sides.append(turn(h, lengths) if reverse else h)
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
    recurrence: Recurrence = rnn.backward,
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
                turn(side, lengths) if reverse else side,
                cells[i],
                dstate[i],
                inputs=inputs or level > 0,
                nonlinearity=nonlinearity,
                **to_fill,
            )
            if dx_side is not None:
                dx_side = turn(dx_side, lengths) if reverse else dx_side
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
    recurrence: Recurrence = rnn.tangent,
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
                turn(dy, lengths) if reverse and dy is not None else dy,
                dstate[i],
                nonlinearity=nonlinearity,
            )
            sides.append(turn(dh, lengths) if reverse else dh)
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


def turn(a: Array, lengths: Array | None) -> Array:
    """Time turned around: of row n the first lengths[n] steps, the rest stays. Twice is nothing. a (T, N, …)."""
    if lengths is None:
        return a[::-1]
    xp = namespace(a)
    t = xp.arange(len(a))[:, None]
    return a[xp.where(t < lengths, lengths - 1 - t, t), xp.arange(a.shape[1])]


def in_time(flow: rnn.Flow, lengths: Array | None) -> rnn.Flow:
    """The flow of a reverse cell in the time of x. What was flushed is counted per step of all rows, so that with
    lengths it stands where it would for a row of T steps."""
    return rnn.Flow(turn(flow.row_norms, lengths), flow.flushed[::-1])


@dataclass(frozen=True)
class RNN:
    """A plain recurrent layer: h_t = tanh(W_hh · h_{t−1} + W_xh · x_t + b_h).

    Parameters
    ----------
    input_size : D. Integer tokens (N, T) stand for one-hot vectors of that size.
    hidden_size : H.
    num_layers : that many on top of one another, each reading the states of the one below.
    bidirectional : beside each, another that reads the sequence from its end; outputs are [forward, reverse], 2·H wide.
    nonlinearity : "tanh", or "relu" for h_t = max(0, …).
    dropout : probability with which, in training, an output of a lower layer is not seen by the next (`Dropout`).
    init : rule for the weight matrices; biases start at 0. "xavier" is Glorot uniform, "he" N(0, 2 / inputs),
        "normal(std)" N(0, std²). "orthogonal", "identity" (with relu: the IRNN) and "spectral(radius)" are for W_hh;
        the other matrices are then "xavier".

    The model's parameters are W_xh (H, D), W_hh (H, H), b_h (H,); further cells add "_reverse", "_l1", "_l1_reverse", …
    to these names. Input (N, T, D), output h (N, T, H). The state is (N, H), but (num_layers · directions, N, H), as in
    PyTorch, where there is more than one cell. Raises ValueError or TypeError that says what was expected.
    Source: chapter, 循环神经网络(RNN) and 双向RNN(Bi-RNN); Schuster and Paliwal 1997 for both directions.

    >>> list(RNN(3, 4, bidirectional=True).shapes())
    ['W_xh', 'W_hh', 'b_h', 'W_xh_reverse', 'W_hh_reverse', 'b_h_reverse']
    """

    input_size: int
    hidden_size: int
    num_layers: int = field(default=1, kw_only=True)
    bidirectional: bool = field(default=False, kw_only=True)
    nonlinearity: str = field(default="tanh", kw_only=True)
    dropout: float = field(default=0.0, kw_only=True)
    init: str = field(default="xavier", kw_only=True)

    recurrent = True
    takes_tokens = True
    takes_vectors = True

    def __post_init__(self) -> None:
        normalize(self, input_size=integer, hidden_size=integer, num_layers=integer, bidirectional=boolean)
        normalize(self, dropout=probability)
        if self.nonlinearity not in ("tanh", "relu"):
            raise ValueError(f'nonlinearity={self.nonlinearity!r} is not known; choose "tanh" or "relu"')
        if self.dropout and self.num_layers == 1:
            raise ValueError(
                f"dropout={self.dropout} acts between the layers of an RNN, and num_layers=1 has none between; "
                f"put Dropout({self.dropout}) after it"
            )
        check_init(self.init)

    @property
    def cells(self) -> int:
        """Number of recurrences: levels times directions."""
        return self.num_layers * (1 + self.bidirectional)

    @property
    def forward(self) -> Callable[..., Any]:
        """The function of `rnn.py`, or with several cells that of `stack.py`."""
        return rnn.forward if self.cells == 1 else forward

    @property
    def backward(self) -> Callable[..., Any]:
        """As `forward`."""
        return rnn.backward if self.cells == 1 else backward

    @property
    def tangent(self) -> Callable[..., Any]:
        """As `forward`."""
        return rnn.tangent if self.cells == 1 else tangent

    @property
    def options(self) -> Mapping[str, Any]:
        """What these functions need besides arrays."""
        options: dict[str, Any] = {"nonlinearity": self.nonlinearity}
        if self.cells > 1:
            options |= {"num_layers": self.num_layers, "bidirectional": self.bidirectional}
        return options

    @property
    def output_size(self) -> int:
        """H, or 2·H with both directions."""
        return self.hidden_size * (1 + self.bidirectional)

    def shapes(self) -> dict[str, Shape]:
        """Parameter shapes by symbol, in the order in which they are stored and drawn."""
        H = self.hidden_size
        shapes: dict[str, Shape] = {}
        for i in range(self.cells):
            D = self.input_size if i < 1 + self.bidirectional else self.output_size
            after = suffix(i, self.bidirectional)
            shapes |= {f"W_xh{after}": (H, D), f"W_hh{after}": (H, H), f"b_h{after}": (H,)}
        return shapes

    def initial(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Initial parameters."""
        return draw_initial(rng, self.shapes(), self.init)

    def state_shape(self, rows: int) -> Shape:
        """Shape of the state of a batch of `rows` rows."""
        return (rows, self.hidden_size) if self.cells == 1 else (self.cells, rows, self.hidden_size)

    def draw(self, rng: np.random.Generator, steps: int, rows: int, dtype: Any) -> np.ndarray | None:
        """What dropout between the levels leaves out of a pass over so many steps and rows: (L − 1, T, N, R·H)."""
        if not self.dropout:
            return None
        return dropout.draw(rng, (self.num_layers - 1, steps, rows, self.output_size), self.dropout, dtype)
