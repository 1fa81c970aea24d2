"""A minibatch through the layers: down once, up once, block of rows by block of rows.

Everything here is past the door (`door.py`): arrays are time-major, contiguous, checked, and live where the backend
computes. `params` is handed in, so the same text runs on any vector: the complex step runs it on complex numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .backends.arrays import Array, namespace
from .backends.numpy_backend import Backend
from .gradients.flow import Flow, LayerFlow
from .layers import Layer
from .parameters import Parameters
from .steps import Counted

States = tuple[Array, ...]  # one state per recurrent layer, bottom to top
Noise = tuple["Array | None", ...]  # what each layer drew at random, rows on the last axis but one; None for nothing


class Network(NamedTuple):
    """What is computed, without any array: the layers, what stands before their symbols, the loss."""

    layers: tuple[Layer, ...]
    prefixes: tuple[str, ...]
    loss: Callable[..., tuple[Array, Array]]

    def own(self, i: int, params: Parameters) -> dict[str, Array]:
        """Parameters of layer i by its own symbols."""
        return {symbol: params[self.prefixes[i] + symbol] for symbol in self.layers[i].shapes()}

    @property
    def directions(self) -> int:
        """Of the top recurrent layer."""
        return 2 if [layer for layer in self.layers if layer.recurrent][-1].options.get("bidirectional") else 1


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

    def block(self, rows: slice) -> Batch:
        """A block of its rows, contiguous; the batch itself where the block is all of it."""
        if rows == slice(0, self.batch_rows):
            return self
        contiguous = namespace(self.x).ascontiguousarray
        return Batch(
            contiguous(self.x[:, rows]),
            tuple(state[..., rows, :] for state in self.states),
            None if self.lengths is None else self.lengths[rows],
            contiguous(self.target[:, rows]),
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
    """Loss and gradients of a block of rows. Over blocks, losses and gradients add up; rows stand side by side."""

    loss: Any
    grads: Parameters
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
    h = x
    for i, layer in enumerate(network.layers):
        state = remaining.pop(0) if layer.recurrent else None
        drawn = {} if noise is None or noise[i] is None else {"noise": noise[i]}
        function = backend.twin(layer.forward)
        x, state, trace = function(network.own(i, params), x, state, lengths=lengths, **drawn, **layer.options)
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

    def drawn(i: int, layer: Any) -> Array | None:
        if not hasattr(layer, "draw"):
            return None
        noise = layer.draw(rng, len(batch.target if i > top else batch.x), batch.batch_rows, dtype)
        return None if noise is None else backend.asarray(noise)

    return tuple(drawn(i, layer) for i, layer in enumerate(network.layers))


def block_loss(network: Network, backend: Backend, params: Parameters, batch: Batch) -> tuple[Any, Array, Forward]:
    """The block's share of the loss, ∂L/∂y, and the forward pass they came from."""
    x, states, lengths, target, counted, _, noise = batch
    forward = run(network, backend, params, x, states, lengths, counted, noise)
    loss, dy = backend.twin(network.loss)(forward.y, target, counted.total, counted.mask)
    return loss, dy, forward


def block_grads(
    network: Network,
    backend: Backend,
    params: Parameters,
    batch: Batch,
    inputs: bool = False,
) -> Backward:
    """Loss and gradients of one block of rows."""
    loss, dy, forward = block_loss(network, backend, params, batch)
    grads = params.like(backend.xp.empty_like(params.vector))
    dstates: list[Array] = []  # filled from the top recurrent layer down
    flows: list[LayerFlow] = []
    for i, layer in reversed(list(enumerate(network.layers))):
        dstate = None
        if layer.recurrent:
            if not dstates:
                dy = batch.counted.put(dy, len(batch.x))
            dstate = backend.xp.zeros_like(forward.h_last[-1 - len(dstates)])
        backward = backend.twin(layer.backward)
        dy, dstate, own, flow = backward(
            network.own(i, params), dy, forward.traces[i], dstate, inputs=inputs or i > 0, **layer.options
        )
        for symbol, array in own.items():
            grads[network.prefixes[i] + symbol][...] = array
        if layer.recurrent:
            dstates.append(dstate)
            for cell in reversed(getattr(flow, "cells", (flow,))):
                flows.append(LayerFlow(batch.batch_rows * cell.row_norms.T, cell.flushed))
    flow = Flow(tuple(flows[::-1]), network.directions)
    return Backward(loss, grads, tuple(dstates[::-1]), dy, forward.h_last, flow)


def loss(network: Network, backend: Backend, params: Parameters, batch: Batch) -> Any:
    """The loss of a minibatch."""
    blocks = backend.cut(batch.batch_rows, batch.work(params))
    return sum(backend.map(lambda rows: block_loss(network, backend, params, batch.block(rows))[0], blocks))


def loss_and_grads(
    network: Network,
    backend: Backend,
    params: Parameters,
    batch: Batch,
    inputs: bool = False,
    rng: np.random.Generator | None = None,
) -> Backward:
    """Loss and gradients of a minibatch: its blocks, put together in their order."""
    if rng is not None:
        batch = batch._replace(noise=draw(network, backend, batch, rng, params.vector.dtype))
    blocks = backend.cut(batch.batch_rows, batch.work(params))
    results = backend.map(lambda rows: block_grads(network, backend, params, batch.block(rows), inputs), blocks)
    if len(results) == 1:
        return results[0]
    grads = results[0].grads
    for result in results[1:]:
        grads.vector += result.grads.vector

    def layer_flow(i: int) -> LayerFlow:
        flows = [r.flow.layers[i] for r in results]
        return LayerFlow(_side_by_side([flow.per_sample for flow in flows]), sum(flow.flushed for flow in flows))

    layers = range(len(results[0].grads_h0))
    return Backward(
        sum(r.loss for r in results),
        grads,
        tuple(_side_by_side([r.grads_h0[i] for r in results], axis=-2) for i in layers),
        _side_by_side([r.grads_x for r in results], axis=1) if inputs else None,
        tuple(_side_by_side([r.h_last[i] for r in results], axis=-2) for i in layers),
        Flow(tuple(layer_flow(i) for i in range(len(results[0].flow.layers))), network.directions),
    )


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
    for i, layer in enumerate(network.layers):
        dstate = remaining.pop(0) if layer.recurrent else None
        own, moved = network.own(i, params), network.own(i, dparams)
        dx, _ = layer.tangent(own, traces[i], moved, dx, dstate, **layer.options)
        if layer.recurrent and not remaining:
            dx = counted.take(dx)
    return dx


def _side_by_side(arrays: Sequence[Array], axis: int = 0) -> Array:
    return namespace(arrays[0]).concatenate(arrays, axis)
