"""A minibatch through the layers: forward, the loss, backward, and the forward pass linearised.

Everything here comes after validation (`_validation.py`): arrays are time-major, checked, and live where the backend
computes. Functions take the rows that they are given and know of no others. `params` is an argument, so the
same code runs on any vector: the complex step runs it on complex numbers.

Letters: N rows, T time steps, K steps whose outputs are selected, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import losses
from ._arrays import Array, detach, map_arrays, namespace, side_by_side
from ._steps import StepSelection, scatter
from .gradients.flow import Flow, LayerFlow
from .layers.base import Kernel, Layer, LayerFunctions
from .parameters import Parameters, Symbols

States = tuple[Any, ...]  # the state of each recurrent layer, bottom to top: an array, or a NamedTuple of arrays
Masks = tuple["Array | None", ...]  # what each layer drew at random, rows on the last axis but one; None for nothing
Entries = Iterable[tuple[slice, Parameters]]  # rows of one block, and parameters to overwrite with their gradients


class Network(NamedTuple):
    """What is computed, without any array: functions of the layers, the names of their parameters, the loss."""

    layers: tuple[LayerFunctions, ...]
    symbols: tuple[Symbols, ...]
    loss: Callable[..., tuple[Array, Array]]
    scatter: Callable[..., tuple[Array, Any]]
    top: int  # the number of the last layer that mixes time: those above it see selected steps only
    directions: int  # of the top recurrent layer

    @classmethod
    def of(cls, layers: Sequence[Layer], symbols: tuple[Symbols, ...], loss: str, kernel: Kernel) -> Network:
        """The network of these layers. `kernel` maps a function of the reference to what the backend computes."""
        functions = tuple(layer.functions(kernel) for layer in layers)
        top = max(i for i, layer in enumerate(layers) if layer.recurrent or layer.mixes_time)
        directions = [layer.directions for layer in layers if layer.recurrent][-1]
        return cls(functions, symbols, kernel(losses.LOSSES[loss]), kernel(scatter), top, directions)

    def own(self, i: int, params: Parameters) -> dict[str, Array]:
        """Parameters of layer i by its own symbols."""
        return params.groups(self.symbols)[i]


class Batch(NamedTuple):
    """A minibatch after validation."""

    x: Array  # (T, N, D) or integer (T, N)
    states: States
    lengths: Array | None  # (N,)
    target: Array  # (K, N, O) or integer (K, N)
    selection: StepSelection
    batch_rows: int  # N of the whole minibatch, also after `select`
    masks: Masks | None = None  # None is evaluation

    def select(self, rows: Any) -> Batch:
        """Some of its rows (a slice, or their numbers)."""
        if isinstance(rows, slice) and rows.stop - rows.start == self.x.shape[1]:
            return self

        def last_but_one(a: Array) -> Array:
            return a[..., rows, :]

        return Batch(
            self.x[:, rows],
            map_arrays(last_but_one, self.states),
            None if self.lengths is None else self.lengths[rows],
            self.target[:, rows],
            self.selection.select(rows),
            self.batch_rows,
            map_arrays(last_but_one, self.masks),
        )


class Forward(NamedTuple):
    """What a forward pass leaves."""

    y: Array  # (K, N, O)
    h: Any  # (T, N, H): outputs of the last layer that mixes time; None where they are not wanted
    h_last: States
    traces: list[Any]

    def detached(self) -> Forward:
        """Outputs and last states in memory of their own, without the traces."""
        return Forward(detach(self.y), map_arrays(detach, self.h), map_arrays(detach, self.h_last), [])

    @staticmethod
    def joined(parts: Sequence[Forward], order: Array | None) -> Forward:
        """Those of several groups of rows as one."""
        h = None if parts[0].h is None else side_by_side([part.h for part in parts], 1, order)
        y = side_by_side([part.y for part in parts], 1, order)
        return Forward(y, h, joined_states([part.h_last for part in parts], order), [])


class Backward(NamedTuple):
    """What a backward pass leaves."""

    dx: Array | None  # ∂L/∂x (T, N, D)
    dstates0: States  # ∂L/∂h0
    da: list[Any]  # the error signals of every layer, bottom to top
    flow: Flow


class Loss(NamedTuple):
    """The loss of some rows, and their last states."""

    of_rows: Array  # (N,): the share of each row; their sum is the loss
    h_last: States

    def detached(self) -> Loss:
        """The same in memory of its own."""
        return Loss(self.of_rows, map_arrays(detach, self.h_last))

    @staticmethod
    def joined(parts: Sequence[Loss], order: Array | None) -> Loss:
        """Those of several groups of rows as one."""
        of_rows = side_by_side([part.of_rows for part in parts], 0, order)
        return Loss(of_rows, joined_states([part.h_last for part in parts], order))


class Gradients(NamedTuple):
    """Loss and gradients of some rows. Gradients of the parameters are in the entries that took them."""

    of_rows: Array  # (N,): the share of each row in the loss
    grads_h0: States
    grads_x: Array | None  # (T, N, D)
    h_last: States
    flow: Flow

    def detached(self) -> Gradients:
        """The same in memory of its own."""
        grads_x = None if self.grads_x is None else detach(self.grads_x)
        return Gradients(self.of_rows, self.grads_h0, grads_x, map_arrays(detach, self.h_last), self.flow)

    @staticmethod
    def joined(parts: Sequence[Gradients], order: Array | None) -> Gradients:
        """Those of several groups of rows as one."""
        return Gradients(
            side_by_side([part.of_rows for part in parts], 0, order),
            joined_states([part.grads_h0 for part in parts], order),
            None if parts[0].grads_x is None else side_by_side([part.grads_x for part in parts], 1, order),
            joined_states([part.h_last for part in parts], order),
            Flow.joined([part.flow for part in parts], order),
        )


def run(
    network: Network,
    params: Parameters,
    x: Array,
    states: States,
    lengths: Array | None,
    selection: StepSelection | None = None,
    masks: Masks | None = None,
) -> Forward:
    """Forward through all layers. Those above the last that mixes time see selected steps only (None: all)."""
    traces, h_last, remaining = [], [], list(states)
    own = params.groups(network.symbols)
    h = x
    for i, layer in enumerate(network.layers):
        state = remaining.pop(0) if layer.recurrent else None
        if masks is None or masks[i] is None:
            x, state, trace = layer.forward(own[i], x, state, lengths=lengths)
        else:
            x, state, trace = layer.forward(own[i], x, state, lengths=lengths, mask=masks[i])
        traces.append(trace)
        if layer.recurrent:
            h_last.append(state)
        if i == network.top:
            h = x
            x = x if selection is None else selection.gather(x)
    return Forward(x, h, tuple(h_last), traces)


def draw_masks(
    network: Network, batch: Batch, rng: np.random.Generator, dtype: np.dtype, asarray: Callable[[Any], Array]
) -> Masks:
    """What the layers draw at random for a whole minibatch, bottom to top, before its rows are split.

    Layers above the last that mixes time draw for the steps that they see. asarray puts a mask where the network
    computes.
    """
    top = network.top
    masks: list[Any] = []
    for i, layer in enumerate(network.layers):
        steps = len(batch.target if i > top else batch.x)
        mask = None if layer.draw_mask is None else layer.draw_mask(rng, steps, batch.batch_rows, dtype)
        masks.append(None if mask is None else asarray(mask))
    return tuple(masks)


def with_loss(network: Network, params: Parameters, batch: Batch) -> tuple[Array, Array, Forward]:
    """The share of each row in the loss (N,), ∂L/∂y, and the forward pass that they came from."""
    contiguous = namespace(batch.target).ascontiguousarray
    x, states, lengths, target, selection, _, masks = batch
    forward = run(network, params, contiguous(x), states, lengths, selection, masks)
    of_rows, dy = network.loss(forward.y, contiguous(target), selection.total, selection.mask)
    return of_rows, dy, forward


def loss(network: Network, params: Parameters, batch: Batch) -> Loss:
    """The loss of the rows of a batch."""
    of_rows, _, forward = with_loss(network, params, batch)
    return Loss(of_rows, forward.h_last)


def backward(
    network: Network,
    params: Parameters,
    forward: Forward,
    dy: Array,
    *,
    batch_rows: int,
    entries: Entries = (),
    selection: StepSelection | None = None,
    dstates: States | None = None,
    inputs: bool = False,
) -> Backward:
    """Backward through all layers from any ∂L/∂y, along the traces of a forward pass.

    Parameters
    ----------
    dy : ∂L/∂y (K, N, O), of the outputs that `forward` computed; `selection` says which steps they are (None: all). If
        it is workspace memory, it may be overwritten, as each ∂L/∂x on the way down.
    batch_rows : what flow.per_sample multiplies ‖∂L/∂h_t[n]‖ by.
    entries : rows, and what takes the gradients of the parameters summed over them. None are computed without entries.
    dstates : ∂L/∂(last states), like forward.h_last; None is zeros.
    inputs : also compute ∂L/∂x.
    """
    dstates0: list[Any] = []  # filled from the top recurrent layer down
    flows: list[LayerFlow] = []
    signals: list[Any] = [None] * len(network.layers)
    own = params.groups(network.symbols)
    own_grads = [(rows, grads.groups(network.symbols)) for rows, grads in entries]
    for i in reversed(range(len(network.layers))):
        layer, dstate = network.layers[i], None
        if layer.recurrent:
            last = (forward.h_last if dstates is None else dstates)[-1 - len(dstates0)]
            dstate = map_arrays(zeros_like, last) if dstates is None else last
        if i == network.top and selection is not None and not selection.every_step:
            dy, dstate = network.scatter(dy, selection.index, len(forward.h), dstate)
        trace = forward.traces[i]
        dy, dstate, da, flow = layer.backward(own[i], dy, trace, dstate, inputs=inputs or i > 0)
        for rows, grads in own_grads:
            layer.weight_grads(da, trace, rows, grads[i])
        signals[i] = da
        if layer.recurrent:
            dstates0.append(dstate)
            for cell in reversed(getattr(flow, "cells", (flow,))):
                norms = cell.row_norms.T
                per_sample = norms if batch_rows == 1 else batch_rows * norms
                flows.append(LayerFlow(per_sample, cell.flushed))
    flow = Flow(tuple(flows[::-1]), network.directions)
    return Backward(dy if inputs else None, tuple(dstates0[::-1]), signals, flow)


def loss_and_grads(
    network: Network,
    params: Parameters,
    batch: Batch,
    entries: Entries,
    inputs: bool = False,
    saturation: bool = False,
) -> Gradients:
    """Loss and gradients of the rows of a batch."""
    of_rows, dy, forward = with_loss(network, params, batch)
    rest: dict[str, Any] = {"batch_rows": batch.batch_rows, "selection": batch.selection, "inputs": inputs}
    dx, dstates0, _, flow = backward(network, params, forward, dy, entries=entries, **rest)
    if saturation:
        flow = flow.saturated_as(saturated(network, forward.traces))
    return Gradients(of_rows, dstates0, dx, forward.h_last, flow)


def saturated(network: Network, traces: Sequence[Any]) -> list[Array]:
    """(N, T) of every recurrent cell, bottom to top, in the time of x: the fraction of units that are saturated."""
    layers = zip(network.layers, traces, strict=True)
    return [cell.T for layer, trace in layers if layer.saturated for cell in layer.saturated(trace)]


def tangent(
    network: Network,
    params: Parameters,
    traces: Sequence[Any],
    selection: StepSelection,
    dparams: Parameters,
    dx: Array | None,
    dstates: States,
) -> Array:
    """The forward pass linearised along stored traces: how the selected outputs (K, N, O) move."""
    remaining = list(dstates)
    own, moved = params.groups(network.symbols), dparams.groups(network.symbols)
    for i, layer in enumerate(network.layers):
        dstate = remaining.pop(0) if layer.recurrent else None
        dx, _ = layer.tangent(own[i], traces[i], moved[i], dx, dstate)
        if i == network.top:
            dx = selection.gather(dx)
    return dx


def total(of_rows: Array) -> Any:
    """The loss of which each row has its share: a float, or a 0-d array on a device.

    Of host arrays by a plain sum, since a ufunc takes longer to start than many rows take to be added up.
    """
    return sum(of_rows.tolist()) if namespace(of_rows) is np else of_rows.sum()


def joined_states(states: Sequence[Any], order: Array | None) -> Any:
    """States of several groups of rows as one; rows are their last axis but one."""
    return map_arrays(lambda *arrays: side_by_side(arrays, -2, order), *states)


def zeros_like(a: Array) -> Array:
    """Zeros in fresh memory."""
    return namespace(a).zeros(a.shape, a.dtype)
