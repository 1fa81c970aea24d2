"""Several cells as one layer: on top of one another, and in both directions of time.

Layer 0 reads x, each further layer what the one below gives. With two directions, a layer has a second cell with
parameters of its own, which reads each sequence from its end: a row of length n is reversed within its first n steps,
and what comes out is reversed back, so that both directions speak of the same step. A layer gives [forward, reverse]
side by side. Between layers there may be dropout.

Nothing is computed here but reversal, joining and dropout. `cell` is any cell's function: that of the reference
implementation, or the kernel that stands for it.

Letters: N rows, T time steps, D input features, H hidden units, L layers, R directions (1 or 2). Cells are numbered
layer by layer, forward before reverse, and so are their states in a (L·R, N, H) array. Parameters of a cell are its own
symbols followed by nothing, "_reverse", "_l1", "_l1_reverse", "_l2", …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._arrays import Array, map_arrays, namespace
from .._numerics import reverse_time
from ..parameters import Shape
from . import dropout
from .base import Function, Kernel, Layer, LayerFunctions
from .initializers import draw as draw_initial

Symbols = tuple[str, ...]


class Cell(NamedTuple):
    """One recurrence: its functions, as `base.py` describes those of a layer, and what it calls its parameters."""

    forward: Function
    backward: Function
    weight_grads: Function
    tangent: Function
    saturated: Function  # trace → (T, N), the fraction of units that are saturated
    states: Function  # trace → (T + 1, N, H), before the first step and after each
    step_jacobians: Function  # params, trace → ∂h_t/∂h_{t−1} of every step
    symbols: Symbols  # of its parameters, in the order in which they are stored


class Trace(NamedTuple):
    """What forward hands to backward."""

    cells: tuple[Any, ...]  # of every cell, in its own time: a reverse cell's trace runs from the end
    mask: Array | None  # (L − 1, T, N, R·H): what multiplied the input of layer 1, 2, …
    lengths: Array | None  # (N,)


class Flow(NamedTuple):
    """What backward saw, cell by cell, all of it in the time of x."""

    cells: tuple[Any, ...]


def forward(
    params: Mapping[str, Array],
    x: Array,
    state: Any,
    *,
    cell: Function,
    symbols: Symbols,
    lengths: Array | None = None,
    mask: Array | None = None,
    num_layers: int = 1,
    bidirectional: bool = False,
    **options: Any,
) -> tuple[Array, Any, Trace]:
    """All layers from the bottom up, both directions in each.

    x (T, N, D) or integer (T, N); state (L·R, N, H); lengths (N,); mask (L − 1, T, N, R·H), None in evaluation.
    Returns the top layer's outputs (T, N, R·H), the last states (L·R, N, H) and the trace. The last state of a reverse
    cell is the one after x_0.
    """
    traces: list[Any] = []
    last: list[Any] = []
    y = x
    for layer in range(num_layers):
        if layer and mask is not None:
            y = y * mask[layer - 1]
        sides = []
        for reverse in range(1 + bidirectional):
            i = len(traces)
            h, h_last, trace = cell(
                own(params, symbols, i, bidirectional),
                reverse_time(y, lengths) if reverse else y,
                state_of(state, i),
                lengths=lengths,
                **options,
            )
            sides.append(reverse_time(h, lengths) if reverse else h)
            last.append(h_last)
            traces.append(trace)
        y = namespace(sides[0]).concatenate(sides, axis=2) if bidirectional else sides[0]
    return y, joined(last), Trace(tuple(traces), mask, lengths)


def backward(
    params: Mapping[str, Array],
    dy: Array,
    trace: Trace,
    dstate: Any,
    *,
    cell: Function,
    symbols: Symbols,
    inputs: bool = True,
    num_layers: int = 1,
    bidirectional: bool = False,
    **options: Any,
) -> tuple[Array | None, Any, tuple[Any, ...], Flow]:
    """From the top layer down: ∂L/∂y of a layer is split into its sides, and their ∂L/∂x are added up.

    dy (T, N, R·H) and dstate (L·R, N, H) as for a single cell. Returns dx (None for integer x or inputs=False),
    ∂L/∂h0 (L·R, N, H), the error signals of every cell, each in its own time, and the flow of every cell.
    """
    cells, mask, lengths = trace
    R = 1 + bidirectional
    H = dy.shape[2] // R
    dstates: list[Any] = [None] * len(cells)
    da: list[Any] = [None] * len(cells)
    flows: list[Any] = [None] * len(cells)
    dx = None
    for layer in reversed(range(num_layers)):
        dx = None
        for reverse in range(R):
            i = R * layer + reverse
            side = dy[:, :, reverse * H : (reverse + 1) * H]
            dx_side, dstates[i], da[i], flow = cell(
                own(params, symbols, i, bidirectional),
                reverse_time(side, lengths) if reverse else side,
                cells[i],
                state_of(dstate, i),
                inputs=inputs or layer > 0,
                **options,
            )
            flows[i] = in_time_of_x(flow, lengths) if reverse else flow
            if dx_side is not None:
                dx_side = reverse_time(dx_side, lengths) if reverse else dx_side
                dx = dx_side if dx is None else dx + dx_side
        dy = dx if mask is None or layer == 0 else dx * mask[layer - 1]
    return dx, joined(dstates), tuple(da), Flow(tuple(flows))


def weight_grads(
    da: Sequence[Any],
    trace: Trace,
    rows: slice,
    out: Mapping[str, Array],
    *,
    cell: Function,
    symbols: Symbols,
    bidirectional: bool = False,
) -> None:
    """The gradients of every cell: its sums over all steps of these rows, written into `out`."""
    for i, (signals, of_cell) in enumerate(zip(da, trace.cells, strict=True)):
        cell(signals, of_cell, rows, own(out, symbols, i, bidirectional))


def tangent(
    params: Mapping[str, Array],
    trace: Trace,
    dparams: Mapping[str, Array],
    dx: Array | None,
    dstate: Any,
    *,
    cell: Function,
    symbols: Symbols,
    num_layers: int = 1,
    bidirectional: bool = False,
    **options: Any,
) -> tuple[Array, Any]:
    """The linearised forward pass, layer by layer. Returns how the outputs (T, N, R·H) and last states move."""
    cells, mask, lengths = trace
    last: list[Any] = []
    dy = dx
    for layer in range(num_layers):
        if layer and mask is not None:
            dy = dy * mask[layer - 1]
        sides = []
        for reverse in range(1 + bidirectional):
            i = len(last)
            dh, dh_last = cell(
                own(params, symbols, i, bidirectional),
                cells[i],
                own(dparams, symbols, i, bidirectional),
                reverse_time(dy, lengths) if reverse and dy is not None else dy,
                state_of(dstate, i),
                **options,
            )
            sides.append(reverse_time(dh, lengths) if reverse else dh)
            last.append(dh_last)
        dy = namespace(sides[0]).concatenate(sides, axis=2) if bidirectional else sides[0]
    return dy, joined(last)


def saturated(trace: Trace, *, cell: Function, bidirectional: bool = False, **options: Any) -> list[Array]:
    """The saturated fraction of every cell, in the time of x."""
    fractions = [cell(of_cell, **options) for of_cell in trace.cells]
    return [reverse_time(a, trace.lengths) if i % (1 + bidirectional) else a for i, a in enumerate(fractions)]


def saturated_alone(trace: Any, *, cell: Function, **options: Any) -> list[Array]:
    """The saturated fraction of a cell that is a layer by itself."""
    return [cell(trace, **options)]


def state_of(state: Any, i: int) -> Any:
    """The state of cell i."""
    return map_arrays(lambda a: a[i], state)


def joined(states: Sequence[Any]) -> Any:
    """The states of all cells, one above the other: (L·R, N, H)."""
    return map_arrays(lambda *arrays: namespace(arrays[0]).stack(arrays), *states)


def suffix(i: int, bidirectional: bool) -> str:
    """What follows the symbols of cell i in the names of its parameters, as in PyTorch."""
    layer, reverse = divmod(i, 1 + bidirectional)
    return (f"_l{layer}" if layer else "") + ("_reverse" if reverse else "")


@cache
def names(symbols: Symbols, i: int, bidirectional: bool) -> tuple[tuple[str, str], ...]:
    """The symbols of a cell, and the names that the parameters of cell i have."""
    return tuple((symbol, symbol + suffix(i, bidirectional)) for symbol in symbols)


def own(params: Mapping[str, Array], symbols: Symbols, i: int, bidirectional: bool) -> dict[str, Array]:
    """The parameters of cell i by their own symbols."""
    return {symbol: params[name] for symbol, name in names(symbols, i, bidirectional)}


def in_time_of_x(flow: Any, lengths: Array | None) -> Any:
    """The flow of a reverse cell in the time of x. What was flushed is counted per step of all rows, so that with
    lengths it stands where it would for a row of T steps."""
    return flow._replace(row_norms=reverse_time(flow.row_norms, lengths), flushed=flow.flushed[::-1])


class RecurrentLayer(Layer):
    """A layer of one or several cells of one kind. A subclass names its cell, and has these fields."""

    input_size: int
    hidden_size: int
    num_layers: int
    bidirectional: bool
    dropout: float
    init: str

    recurrent = True
    takes_tokens = True
    cell: ClassVar[Cell]

    def cell_shapes(self, input_size: int) -> dict[str, Shape]:
        """Parameter shapes of one cell by symbol, in the order in which they are stored and drawn."""
        raise NotImplementedError

    def state_shape(self, rows: int) -> Shape:
        """Shape of the state of a batch of `rows` rows."""
        return (rows, self.hidden_size) if self.cells == 1 else (self.cells, rows, self.hidden_size)

    @property
    def directions(self) -> int:
        """2 where the layer is bidirectional, else 1."""
        return 1 + self.bidirectional

    @property
    def cells(self) -> int:
        """Number of cells: layers times directions."""
        return self.num_layers * self.directions

    @property
    def output_size(self) -> int:
        """H, or 2·H with both directions."""
        return self.hidden_size * self.directions

    def shapes(self) -> dict[str, Shape]:
        """Parameter shapes by symbol, in the order in which they are stored and drawn."""
        shapes: dict[str, Shape] = {}
        for i in range(self.cells):
            of_cell = self.cell_shapes(self.input_size if i < self.directions else self.output_size)
            shapes |= {symbol + suffix(i, self.bidirectional): shape for symbol, shape in of_cell.items()}
        return shapes

    def initial(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Initial parameters."""
        return draw_initial(rng, self.shapes(), self.init)

    def draw_mask(self, rng: np.random.Generator, steps: int, rows: int, dtype: Any) -> np.ndarray | None:
        """What dropout between the layers leaves out of a pass over so many steps and rows: (L − 1, T, N, R·H)."""
        if not self.dropout:
            return None
        return dropout.draw(rng, (self.num_layers - 1, steps, rows, self.output_size), self.dropout, dtype)

    def functions(self, kernel: Kernel) -> LayerFunctions:
        """The functions of one cell; of several cells those above, which call the cell's function, or its kernel."""
        forward_cell, backward_cell, weight_grads_cell, tangent_cell, saturated_cell = map(kernel, self.cell[:5])
        options = self.options
        if self.cells == 1:
            return LayerFunctions(
                partial(forward_cell, **options),
                partial(backward_cell, **options),
                weight_grads_cell,
                partial(tangent_cell, **options),
                saturated=partial(saturated_alone, cell=saturated_cell, **options),
                recurrent=True,
            )
        over: dict[str, Any] = {"symbols": self.cell.symbols, "bidirectional": self.bidirectional}
        through: dict[str, Any] = {**over, "num_layers": self.num_layers, **options}
        return LayerFunctions(
            partial(forward, cell=forward_cell, **through),
            partial(backward, cell=backward_cell, **through),
            partial(weight_grads, cell=weight_grads_cell, **over),
            partial(tangent, cell=tangent_cell, **through),
            partial(saturated, cell=saturated_cell, bidirectional=self.bidirectional, **options),
            recurrent=True,
            draw_mask=self.draw_mask,
        )
