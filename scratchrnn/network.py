"""A minibatch through the layers: down once, up once, block of rows by block of rows.

Everything here is past the door (`door.py`): arrays are time-major, contiguous, checked, and live where the backend
computes. `params` is handed in, so the same text runs on any vector: the complex step runs it on complex numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ._arrays import Array, namespace
from ._numerics import any_magnitude
from ._steps import Counted
from .backends.base import Backend
from .gradients import saturation as saturations
from .gradients.flow import Flow, LayerFlow
from .layers.base import Layer
from .parameters import Parameters, Symbols

States = tuple[Array, ...]  # one state per recurrent layer, bottom to top
Parts = Sequence[tuple[slice, Parameters]]  # blocks of rows side by side, and what takes the gradients of each
Noise = tuple["Array | None", ...]  # what each layer drew at random, rows on the last axis but one; None for nothing

ALONE = 1 << 19  # numbers that one thread adds up sooner than another is woken


class Part(NamedTuple):
    """What the passes need of a layer, looked up once."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    tangent: Callable[..., Any]
    options: Mapping[str, Any]
    recurrent: bool
    draw: Callable[..., Any] | None


class Network(NamedTuple):
    """What is computed, without any array: the layers, the names of their parameters, the loss."""

    layers: tuple[Part, ...]
    symbols: tuple[Symbols, ...]
    loss: Callable[..., tuple[Array, Array]]
    directions: int  # of the top recurrent layer

    @classmethod
    def of(cls, layers: Sequence[Layer], symbols: tuple[Symbols, ...], loss: Callable[..., Any]) -> Network:
        """The network of these layers."""
        parts = tuple(
            Part(i.forward, i.backward, i.tangent, i.options, i.recurrent, getattr(i, "draw", None)) for i in layers
        )
        top = [part for part in parts if part.recurrent][-1]
        return cls(parts, symbols, loss, 2 if top.options.get("bidirectional") else 1)

    def own(self, i: int, params: Parameters) -> dict[str, Array]:
        """Parameters of layer i by its own symbols."""
        return params.groups(self.symbols)[i]


class Batch(NamedTuple):
    """A minibatch past the door."""

    x: Array  # (T, N, D) or integer (T, N)
    states: States
    lengths: Array | None  # (N,)
    target: Array  # (K, N, O) or integer (K, N)
    counted: Counted
    batch_rows: int  # N of the whole minibatch, also in a block of it
    noise: Noise | None = None  # None is evaluation

    def work(self, params: Parameters) -> int:
        """Multiplications of a forward pass, near enough: every parameter once per step and row."""
        return len(self.x) * self.batch_rows * params.vector.size

    def block(self, rows: Any) -> Batch:
        """A block of its rows (a slice, or their numbers)."""
        return Batch(
            self.x[:, rows],
            tuple(state[..., rows, :] for state in self.states),
            None if self.lengths is None else self.lengths[rows],
            self.target[:, rows],
            self.counted.rows(rows),
            self.batch_rows,
            None if self.noise is None else tuple(None if m is None else m[..., rows, :] for m in self.noise),
        )


class Forward(NamedTuple):
    """What a forward pass leaves."""

    y: Array  # (K, N, O)
    h: Array  # (T, N, H): states of the top recurrent layer
    h_last: States
    traces: list[Any]


class Backward(NamedTuple):
    """Loss and gradients of some rows. Over blocks of rows gradients add up; all else stands side by side."""

    losses: Array  # (N,): the share of each row; their sum is the loss
    grads: Parameters  # of all rows, or of their first block
    grads_h0: States
    grads_x: Array | None  # (T, N, D)
    h_last: States
    flow: Flow


def run(
    network: Network,
    backend: Backend,
    params: Parameters,
    x: Array,
    states: States,
    lengths: Array | None,
    counted: Counted | None = None,
    noise: Noise | None = None,
) -> Forward:
    """Forward through all layers. Those above the top recurrent one work step by step: they see counted steps only."""
    traces, h_last, remaining = [], [], list(states)
    own = params.groups(network.symbols)
    h = x
    for i, layer in enumerate(network.layers):
        state = remaining.pop(0) if layer.recurrent else None
        drawn = {} if noise is None or noise[i] is None else {"noise": noise[i]}
        function = backend.twin(layer.forward)
        x, state, trace = function(own[i], x, state, lengths=lengths, **drawn, **layer.options)
        traces.append(trace)
        if layer.recurrent:
            h_last.append(state)
            if not remaining:
                h = x
                x = x if counted is None else counted.take(x)
    return Forward(x, h, tuple(h_last), traces)


def draw(network: Network, backend: Backend, batch: Batch, rng: np.random.Generator, dtype: np.dtype) -> Noise:
    """What the layers draw at random for a whole minibatch, bottom to top, before its rows are cut into blocks.

    Layers above the top recurrent one draw for the steps that they see.
    """
    top = max(i for i, layer in enumerate(network.layers) if layer.recurrent)

    def drawn(i: int, layer: Part) -> Array | None:
        if layer.draw is None:
            return None
        noise = layer.draw(rng, len(batch.target if i > top else batch.x), batch.batch_rows, dtype)
        return None if noise is None else backend.asarray(noise)

    return tuple(drawn(i, layer) for i, layer in enumerate(network.layers))


def block_loss(network: Network, backend: Backend, params: Parameters, batch: Batch) -> tuple[Array, Array, Forward]:
    """The share of each row in the loss (N,), ∂L/∂y, and the forward pass they came from."""
    x, states, lengths, target, counted, _, noise = batch
    contiguous = backend.xp.ascontiguousarray
    forward = run(network, backend, params, contiguous(x), states, lengths, counted, noise)
    losses, dy = backend.twin(network.loss)(forward.y, contiguous(target), counted.total, counted.mask)
    return losses, dy, forward


def backward(
    network: Network,
    backend: Backend,
    params: Parameters,
    forward: Forward,
    dy: Array,
    grads: Parts,
    *,
    batch_rows: int,
    counted: Counted | None = None,
    dstates: States | None = None,
    inputs: bool = False,
) -> tuple[Array | None, States, Flow]:
    """Backward through all layers from any ∂L/∂y, along the traces of a forward pass.

    Parameters
    ----------
    dy : ∂L/∂y (K, N, O), of the outputs that `forward` computed; `counted` says which steps they are (None: all).
        Where it lies in the room of the backend it is spent, as each ∂L/∂x on the way down.
    grads : blocks of rows, and what takes the gradients of the parameters of each.
    batch_rows : what flow.per_sample multiplies ‖∂L/∂h_t[n]‖ by.
    dstates : ∂L/∂(last states), like forward.h_last; None is zeros.
    inputs : also compute ∂L/∂x.

    Returns ∂L/∂x (T, N, D) or None, ∂L/∂h0, and the flow. Within a room of the backend ∂L/∂x lies in that room.
    """
    dstates0: list[Array] = []  # filled from the top recurrent layer down
    flows: list[LayerFlow] = []
    own = params.groups(network.symbols)
    own_grads = [(rows, part.groups(network.symbols)) for rows, part in grads]
    for i in reversed(range(len(network.layers))):
        layer, dstate = network.layers[i], None
        if layer.recurrent:
            last = (forward.h_last if dstates is None else dstates)[-1 - len(dstates0)]
            dstate = backend.xp.zeros(last.shape, last.dtype) if dstates is None else last
            if not dstates0 and counted is not None:
                free = dstate if dstates is None and network.directions == 1 else None
                dy = counted.put(dy, len(forward.h), backend, free)
        dy, dstate, flow = backend.backward(
            layer.backward,
            own[i],
            dy,
            forward.traces[i],
            dstate,
            [(rows, part[i]) for rows, part in own_grads],
            inputs=inputs or i > 0,
            **layer.options,
        )
        if layer.recurrent:
            dstates0.append(dstate if layer.backward in backend.fills else dstate.copy())  # twins make it anew
            for cell in reversed(getattr(flow, "cells", (flow,))):
                norms = cell.row_norms.T
                per_sample = norms if batch_rows == 1 else batch_rows * norms  # spares a stream a ufunc
                flows.append(LayerFlow(per_sample, cell.flushed))
    return dy if inputs else None, tuple(dstates0[::-1]), Flow(tuple(flows[::-1]), network.directions)


def block_grads(
    network: Network,
    backend: Backend,
    params: Parameters,
    batch: Batch,
    grads: Parts,
    inputs: bool = False,
    saturation: bool = False,
) -> Backward:
    """Loss and gradients of one block of rows, or of several neighbours at once; `grads` as `backward` takes it.

    Of several, what is returned has the gradients of the first.
    """
    with backend.room():  # of what is made in here only copies may leave
        losses, dy, forward = block_loss(network, backend, params, batch)
        given: dict[str, Any] = {"batch_rows": batch.batch_rows, "counted": batch.counted, "inputs": inputs}
        dx, dstates0, flow = backward(network, backend, params, forward, dy, grads, **given)
        if saturation:
            cells = saturations.of_cells(network.layers, backend, forward.traces, batch.lengths)
            flow = flow.saturated_as(cells)
        h_last = tuple(state.copy() for state in forward.h_last)
        dx = dx.copy() if dx is not None else None
    return Backward(losses, grads[0][1], dstates0, dx, h_last, flow)


def total(losses: Array) -> Any:
    """The loss of which each row has its share: a float, or a 0-d array on a device.

    Of host arrays by a plain sum, since a ufunc takes longer to get going than many rows take to be added up.
    """
    return sum(losses.tolist()) if namespace(losses) is np else losses.sum()


def rows_of_blocks(backend: Backend, N: int, work: int, lengths: Array | None) -> tuple[list[Any], Array | None]:
    """The rows of each block, and where the rows of all blocks, side by side, belong: None, where they belong.

    Where rows differ in length, those of like length share a block, which is then over when the longest of them is.
    """
    blocks = backend.cut(N, work)
    if lengths is None or len(blocks) == 1:
        return list(blocks), None
    order = lengths.argsort(kind="stable")
    return [order[rows] for rows in blocks], order.argsort()


class Run(NamedTuple):
    """Neighbouring blocks of rows that go through the layers as one."""

    rows: Any  # of the minibatch: a slice, or their numbers
    blocks: list[tuple[int, slice]]  # the number of each block, and which rows of the run are its own


def runs(network: Network, backend: Backend, params: Parameters, blocks: Sequence[Any], T: int) -> list[Run]:
    """Which blocks run as one, through T steps.

    The more rows share a step, the less it costs to fetch its weights, and a run is prepared once. Rows are
    independent, and sums over the rows of a block are kept apart, so results are the same as block by block, bit for
    bit. A block stays alone where its rows were sorted by length, since it is over when they are; and so do all, where
    a layer has parameters but no twin that keeps sums apart.
    """
    apart = all(
        part.backward in backend.fills or not own for part, own in zip(network.layers, network.symbols, strict=True)
    )
    if not isinstance(blocks[0], slice):
        return [Run(rows, [(i, slice(0, len(rows)))]) for i, rows in enumerate(blocks)]
    outputs = sum(shape[0] for shape in params.shapes.values() if len(shape) == 1)  # every unit has a bias
    # Its states, ∂L/∂h and, where it does not take the place of that, ∂L/∂a; of two directions, which go through copies
    # in their own time, twice as much.
    row = 3 * network.directions * T * outputs * params.vector.itemsize
    found = []
    for numbers in (backend if apart else Backend()).together(blocks, params.vector.nbytes, row):
        start = blocks[numbers[0]].start
        own = [(i, slice(blocks[i].start - start, blocks[i].stop - start)) for i in numbers]
        found.append(Run(slice(start, blocks[numbers[-1]].stop), own))
    return found


@any_magnitude
def forward(
    network: Network,
    backend: Backend,
    params: Parameters,
    x: Array,
    states: States,
    lengths: Array | None,
    counted: Counted,
    *,
    hidden: bool,
) -> Forward:
    """Forward through all layers for a whole minibatch: y (K, N, O), h (T, N, H) where `hidden` (else None), h_last."""
    T, N = x.shape[:2]
    blocks, back = rows_of_blocks(backend, N, T * N * params.vector.size, lengths)

    def block(rows: Any) -> Forward:
        part = namespace(x).ascontiguousarray(x[:, rows])
        part_states = tuple(state[..., rows, :] for state in states)
        part_lengths = None if lengths is None else lengths[rows]
        if len(found) == 1:
            return run(network, backend, params, part, part_states, part_lengths, counted)
        with backend.room():
            result = run(network, backend, params, part, part_states, part_lengths, counted.rows(rows))
            h_last = tuple(state.copy() for state in result.h_last)
            return Forward(result.y.copy(), result.h.copy() if hidden else None, h_last, [])

    found = runs(network, backend, params, blocks, T)
    results = backend.map(block, [r.rows for r in found])
    if len(results) == 1:
        return results[0]
    return Forward(
        _side_by_side([r.y for r in results], 1, back),
        _side_by_side([r.h for r in results], 1, back) if hidden else None,
        tuple(_side_by_side(parts, -2, back) for parts in zip(*(r.h_last for r in results), strict=True)),
        [],
    )


@any_magnitude
def loss(network: Network, backend: Backend, params: Parameters, batch: Batch) -> tuple[Any, States]:
    """The loss of a minibatch, and its last states."""
    blocks, back = rows_of_blocks(backend, batch.batch_rows, batch.work(params), batch.lengths)

    def block(rows: Any) -> tuple[Array, States]:
        with backend.room():
            losses, _, forward = block_loss(network, backend, params, batch.block(rows))
            return losses, tuple(state.copy() for state in forward.h_last)

    results = backend.map(block, [r.rows for r in runs(network, backend, params, blocks, len(batch.x))])
    h_last = tuple(_side_by_side(parts, -2, back) for parts in zip(*(last for _, last in results), strict=True))
    return total(_side_by_side([losses for losses, _ in results], 0, back)), h_last


@any_magnitude
def loss_and_grads(
    network: Network,
    backend: Backend,
    params: Parameters,
    batch: Batch,
    inputs: bool = False,
    rng: np.random.Generator | None = None,
    saturation: bool = False,
) -> Backward:
    """Loss and gradients of a minibatch: its blocks, put together in their order."""
    if rng is not None and any(layer.draw for layer in network.layers):
        batch = batch._replace(noise=draw(network, backend, batch, rng, params.vector.dtype))
    blocks, back = rows_of_blocks(backend, batch.batch_rows, batch.work(params), batch.lengths)
    grads = params.like(backend.xp.empty_like(params.vector))
    if len(blocks) == 1:
        return block_grads(network, backend, params, batch, [(slice(0, batch.batch_rows), grads)], inputs, saturation)

    with backend.room():
        others = backend.empty((len(blocks) - 1, grads.vector.size), grads.vector.dtype)

        def of_run(run: Run) -> Backward:
            parts = [(rows, params.like(others[i - 1]) if i else grads) for i, rows in run.blocks]
            return block_grads(network, backend, params, batch.block(run.rows), parts, inputs, saturation)

        results = backend.map(of_run, runs(network, backend, params, blocks, len(batch.x)))
        add_up(backend, grads.vector, others)

    def layer_flow(i: int) -> LayerFlow:
        flows = [r.flow.layers[i] for r in results]
        return LayerFlow(
            _side_by_side([flow.per_sample for flow in flows], 0, back),
            sum(flow.flushed for flow in flows),
            _side_by_side([flow.saturation for flow in flows], 0, back) if saturation else None,
        )

    layers = range(len(results[0].grads_h0))
    return Backward(
        _side_by_side([r.losses for r in results], 0, back),
        grads,
        tuple(_side_by_side([r.grads_h0[i] for r in results], -2, back) for i in layers),
        _side_by_side([r.grads_x for r in results], 1, back) if inputs else None,
        tuple(_side_by_side([r.h_last[i] for r in results], -2, back) for i in layers),
        Flow(tuple(layer_flow(i) for i in range(len(results[0].flow.layers))), network.directions),
    )


def add_up(backend: Backend, total: Array, others: Array) -> None:
    """total += Σ others (blocks, size), in the order of the blocks; in pieces, where they are worth another thread."""
    size = -(-total.size // max(1, others.size // ALONE))

    def piece(start: int) -> None:
        part = total[start : start + size]
        for other in others:
            part += other[start : start + size]

    backend.map(piece, range(0, total.size, size))


def tangent(
    network: Network,
    params: Parameters,
    traces: Sequence[Any],
    counted: Counted,
    dparams: Parameters,
    dx: Array | None,
    dstates: States,
) -> Array:
    """The forward pass linearised along stored traces: how the counted outputs (K, N, O) move."""
    remaining = list(dstates)
    own, moved = params.groups(network.symbols), dparams.groups(network.symbols)
    for i, layer in enumerate(network.layers):
        dstate = remaining.pop(0) if layer.recurrent else None
        dx, _ = layer.tangent(own[i], traces[i], moved[i], dx, dstate, **layer.options)
        if layer.recurrent and not remaining:
            dx = counted.take(dx)
    return dx


def _side_by_side(arrays: Sequence[Array], axis: int, back: Array | None = None) -> Array:
    """The rows of all blocks along an axis; `back` puts them where they belong."""
    joined = namespace(arrays[0]).concatenate(arrays, axis) if len(arrays) > 1 else arrays[0]
    return joined if back is None else joined.take(back, axis=axis)
