"""Who depends on whom in time: ‖∂L_t/∂h_k‖ and ‖∂y_t/∂x_k‖ for every pair of steps.

Both are exact and come from the model's own backward pass along the traces of one forward pass. What is followed back,
a *seed*, is a derivative with respect to the states h_t of the top recurrent layer at a single step t:

    of the loss of step t         ∂L_nt/∂h_t                                 one seed of each step
    of the outputs of step t      the rows of ∂y_t/∂h_t, one for each output      min(O, F) of each step

The layers above the top recurrent one work step by step, so they make the seeds of a step from that step alone. Rows of
a batch are independent: seeds travel back side by side, each in a copy of the rows it belongs to, and the copies end
after step t where no layer reads a sequence from its end. Where O > F, the F rows of R serve in place of the O rows of
∂y_t/∂h_t = Q·R: the columns of Q are orthonormal, so that ‖Q·R·A‖ = ‖R·A‖ for every A.

Letters: N rows, T time steps, D inputs, F features of the top recurrent layer, O outputs, P seeds that travel together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import network
from .._arrays import Array, map_arrays, namespace, to_numpy
from .._numerics import row_norms
from .._steps import StepSelection, scatter
from ..backends.base import Backend
from ..backends.row_blocks import run_in_own_memory, run_in_workspace
from ..network import Backward, Batch, Forward, Network
from ..parameters import Parameters

NUMBERS = 1 << 22  # entries of traces and derivatives that are in use at a time, near enough


def lag_map(model: Any, batch: Batch, done: Callable[[], Any]) -> np.ndarray:
    """(T, T) float64: [t, k] is the root mean square, over the rows that count at t, of ‖∂L_nt/∂h_k[n]‖.

    h_k is that of the top recurrent layer, both directions together. NaN where no row counts; and for k > t, where that
    layer has one direction. done is called after every step of every block of rows.
    """
    T = len(batch.x)
    squares, rows = Squares(T), np.zeros((T, T))
    for walk in _walks(model, batch):
        mask, selection = walk.counts, walk.batch.selection
        y = selection.gather(walk.forward.y)
        _, dy = model.network.loss(y, walk.batch.target, 1, selection.mask)
        seeds = walk.above(slice(None), _all_steps(dy, selection, T)[:, None])[:, 0]  # (T, N, F)
        for part in walk.parts(T):
            steps = range(T)[part]
            norms, _ = walk.below(steps, seeds[part], inputs=False)
            for p, t in enumerate(steps):
                squares.add(t, norms[:, p])
                done()
        rows += mask.astype(float) @ walk.inside.T
    return squares.mean(rows, causal=model.network.directions == 1)


def input_map(model: Any, batch: Batch, done: Callable[[], Any]) -> np.ndarray:
    """(T, T) float64: [t, k] is the root mean square over rows of the Frobenius norm ‖∂y_t/∂x_k‖.

    x_k is what the first layer sees as a vector: of a token the one-hot vector, of an embedding what it gives. Rows
    that are over take no part. NaN where all are; and for k > t, where no layer reads from the end.
    """
    T = len(batch.x)
    squares, rows = Squares(T), np.zeros((T, T))
    for walk in _walks(model, batch):
        xp, inside = walk.backend.xp, walk.backend.asarray(walk.inside)
        for t in range(T):
            seeds = walk.backend.asarray(_shortened(walk.jacobians(t, model.output_size, model.dtype)))  # (P, N, F)
            seeds = xp.where(inside[t, :, None], seeds, 0)
            for part in walk.parts(len(seeds)):
                _, norms = walk.below([t] * len(seeds[part]), seeds[part], inputs=True)
                squares.add(t, norms.reshape(len(norms), -1))
            done()
        rows += walk.inside.astype(float) @ walk.inside.T
    return squares.mean(rows, causal=walk.causal)


class Squares:
    """Roots of sums of squares for every pair of steps (t, k); nothing over- or underflows."""

    def __init__(self, T: int) -> None:
        self.roots = np.zeros((T, T))

    def add(self, t: int, norms: np.ndarray) -> None:
        """Add the squares of norms (K, …) at steps k = 0 … K − 1."""
        K = len(norms)
        self.roots[t, :K] = np.hypot(self.roots[t, :K], row_norms(norms))

    def mean(self, rows: np.ndarray, causal: bool) -> np.ndarray:
        """Divided by √rows (T, T); NaN where that is 0, and with `causal` for k > t."""
        with np.errstate(invalid="ignore"):
            result = self.roots / np.sqrt(np.where(rows > 0, rows, np.nan))
        return np.where(np.tri(len(result), dtype=bool), result, np.nan) if causal else result


class Walk(NamedTuple):
    """A forward pass over a block of rows, and the ways back along its traces."""

    backend: Backend
    params: Parameters
    lower: Network  # from where x is a vector to the top recurrent layer
    upper: Network  # what stands above it
    forward: Forward  # y (T, N, O)
    batch: Batch
    traces: tuple[list[Any], list[Any]]  # of lower and of upper
    causal: bool  # no layer reads from the end

    @classmethod
    def of(cls, model: Any, batch: Batch) -> Walk:
        """Forward over a block of rows."""
        whole, backend, params = model.network, model.device, model.params
        forward: Forward = run_in_own_memory(
            backend, lambda: network.run(whole, params, batch.x, batch.states, batch.lengths)
        )
        top = whole.top + 1
        bottom = 0 if model.layers[0].takes_vectors else 1  # an embedding's outputs are x
        lower, upper = (
            whole._replace(layers=whole.layers[part], symbols=whole.symbols[part])
            for part in (slice(bottom, top), slice(top, None))
        )
        traces = [_dense(trace, model.input_size, model.dtype) for trace in forward.traces[bottom:top]]
        causal = not any(layer.directions == 2 for layer in model.layers)
        return cls(backend, params, lower, upper, forward, batch, (traces, forward.traces[top:]), causal)

    def above(self, steps: slice, dy: Array) -> Array:
        """∂/∂h (K, P, N, F) of the top recurrent layer at these K steps, from dy (K, P, N, O)."""
        K, P, N, O = dy.shape
        if not self.upper.layers:
            return dy
        traces = [map_arrays(lambda a: _copies(a[steps], P), trace) for trace in self.traces[1]]
        dh: Array = run_in_workspace(
            self.backend, lambda: self._back(self.upper, traces, dy.reshape(K, P * N, O), (), inputs=True).dx
        )
        return dh.reshape(K, P, N, -1)

    def jacobians(self, t: int, O: int, dtype: np.dtype) -> Array:
        """∂y_t/∂h_t (O, N, F) of every row, so many outputs at a time as fit the memory."""
        N = self.batch.x.shape[1]
        size = max(1, NUMBERS // (N * O))
        parts = []
        for first in range(0, O, size):
            eye = np.eye(min(size, O - first), O, first, dtype)  # rows of the unit matrix
            dy = self.backend.asarray(np.repeat(eye[None, :, None], N, axis=2))  # (1, ≤ size, N, O)
            parts.append(self.above(slice(t, t + 1), dy)[0])
        return self.backend.xp.concatenate(parts)

    def below(self, steps: Sequence[int], seeds: Array, inputs: bool) -> tuple[np.ndarray, np.ndarray]:
        """What comes back from P seeds (P, N, F), each at a step of its own: its norms ‖∂/∂h_k‖ and, with `inputs`,
        ‖∂/∂x_k‖, both (K, P, N) for the steps k = 0 … K − 1 that it can reach."""
        xp, (P, N, F), T = self.backend.xp, seeds.shape, len(self.batch.x)
        K = max(steps) + 1 if self.causal else T
        traces = [map_arrays(lambda a: _copies(_until(a, K - T), P), trace) for trace in self.traces[0]]
        dh = xp.zeros((K, P, N, F), seeds.dtype)
        dh[self.backend.asarray(np.array(steps)), xp.arange(P)] = seeds
        dstates = map_arrays(lambda s: xp.zeros((*s.shape[:-2], P * N, s.shape[-1]), s.dtype), self.batch.states)

        def norms() -> tuple[Array, Array]:
            result = self._back(self.lower, traces, dh.reshape(K, P * N, F), dstates, inputs)
            of_x = row_norms(result.dx) if inputs else xp.zeros((K, P * N))
            return result.flow.per_sample.T, of_x

        of_h, of_x = run_in_workspace(self.backend, norms)
        return to_numpy(of_h).reshape(K, P, N), to_numpy(of_x).reshape(K, P, N)

    def parts(self, seeds: int) -> Iterator[slice]:
        """So many seeds in parts that fit the memory."""
        size = max(1, NUMBERS // (len(self.batch.x) * self.batch.x.shape[1] * _width(self.lower, self.params)))
        return (slice(i, min(i + size, seeds)) for i in range(0, seeds, size))

    @property
    def inside(self) -> np.ndarray:
        """(T, N): what is not past the end of a row."""
        T, N = self.batch.x.shape[:2]
        lengths = self.batch.lengths
        return np.ones((T, N), bool) if lengths is None else np.arange(T)[:, None] < to_numpy(lengths)

    @property
    def counts(self) -> np.ndarray:
        """(T, N): what counts in the loss."""
        xp, selection = self.backend.xp, self.batch.selection
        mask = xp.ones(self.batch.target.shape[:2], bool) if selection.mask is None else selection.mask
        return to_numpy(_all_steps(mask, selection, len(self.batch.x)))

    def _back(self, part: Network, traces: list[Any], dy: Array, dstates: Any, inputs: bool) -> Backward:
        options: dict[str, Any] = {"batch_rows": 1, "dstates": dstates, "inputs": inputs}
        return network.backward(part, self.params, Forward(None, None, (), traces), dy, **options)


def _walks(model: Any, batch: Batch) -> Iterator[Walk]:
    """Forward passes over blocks of rows that fit the memory."""
    T, N = batch.x.shape[:2]
    rows = max(1, NUMBERS // (T * _width(model.network, model.params)))
    for start in range(0, N, rows):
        yield Walk.of(model, batch.select(slice(start, min(start + rows, N))))


def blocks(model: Any, batch: Batch) -> int:
    """How many of them there are."""
    T, N = batch.x.shape[:2]
    return -(-N // max(1, NUMBERS // (T * _width(model.network, model.params))))


def _width(network: Network, params: Parameters) -> int:
    """Entries that a row has at a step on the way down and up: in and out of every layer, near enough."""
    shapes = [params.shapes[name] for symbols in network.symbols for _, name in symbols]
    return 2 * sum(sum(shape) for shape in shapes if len(shape) == 2)


def _shortened(J: Array) -> Array:
    """Jacobians (O, N, F) of N rows, or the (F, N, F) of the same Frobenius norm behind any further factor."""
    O, _, F = J.shape
    if O <= F:
        return J
    R: Any = np.linalg.qr(to_numpy(J).swapaxes(0, 1), mode="r")  # (N, F, F)
    return R.swapaxes(0, 1)


def _dense(trace: Any, D: int, dtype: np.dtype) -> Any:
    """The trace of a layer that read tokens, as one of vectors: zeros, since no derivative that is taken here reads
    them."""
    if hasattr(trace, "cells"):
        return trace._replace(cells=tuple(_dense(cell, D, dtype) for cell in trace.cells))
    if hasattr(trace, "x") and trace.x.ndim == 2:
        return trace._replace(x=namespace(trace.x).zeros((*trace.x.shape, D), dtype))
    return trace


def _all_steps(selected: Array, selection: StepSelection, T: int) -> Array:
    """(K, N, …) → (T, N, …), zero at the steps that are not selected."""
    return selected if selection.every_step else scatter(selected, selection.index, T, None)[0]


def _until(a: Array, end: int) -> Array:
    """An array of a trace (T, N, …), or of the T + 1 states, without its last −end steps; lengths (N,) as they are."""
    return a[: len(a) + end] if a.ndim > 1 else a


def _copies(a: Array, P: int) -> Array:
    """P copies of all rows side by side: (T, N, …) → (T, P·N, …); lengths (N,) → (P·N,)."""
    axis = min(1, a.ndim - 1)
    return a if P == 1 else namespace(a).concatenate([a] * P, axis=axis)
