"""Directional derivatives of a model's loss by three independent ways, each with its own noise.

Everything here is float64 NumPy and time-major, whatever the model's backend and dtype. See `check.py` for what the
three are for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import network
from ..._arrays import Array, map_arrays, to_numpy
from ...backends.base import Backend
from ...backends.row_blocks import run_in_own_memory
from ...network import Batch, Network
from ...parameters import Parameters

FD_STEP = 2 * np.finfo(np.float64).eps ** (1 / 3)  # 1.2e-5, along a unit direction
CS_STEP = 1e-30
SAFETY = 4.0  # times what a last-bit change does


class Point(NamedTuple):
    """Where the loss is differentiated: every tensor as float64 NumPy, time-major. Also a direction to move in."""

    params: Parameters
    x: Array | None  # (T, N, D); None for integer tokens
    states: tuple[Array, ...]

    def tensor(self, name: str) -> Array:
        """A parameter by its name; "x"; "h0", or "h0[i]" for recurrent layer i."""
        if name in self.params:
            return self.params[name]
        return self.x if name == "x" else self.states[0 if name == "h0" else int(name[3:-1])]

    def map(self, function: Callable[[Array], Array]) -> Point:
        """The function applied to every tensor."""
        x = None if self.x is None else function(self.x)
        return Point(self.params.like(function(self.params.vector)), x, tuple(function(s) for s in self.states))

    def plus(self, name: str, change: Array) -> Point:
        """A copy with one tensor changed, complex where the change is."""
        dtype = np.result_type(np.float64, change.dtype)
        moved = self.map(lambda a: a.astype(dtype))
        moved.tensor(name)[...] += change
        return moved


class Trajectory(NamedTuple):
    """What a forward pass left, as float64 NumPy: ∂L/∂y and the traces."""

    loss: float
    dy: Array
    traces: list[Any]

    def jittered(self, rng: np.random.Generator, eps: float) -> Trajectory:
        """The same with every stored number moved in its last bit."""
        return Trajectory(self.loss, self.dy, [map_arrays(lambda a: jitter(a, rng, eps), t) for t in self.traces])


class Checker:
    """One model, one batch: the analytic gradients and the three ways of computing directional derivatives."""

    def __init__(
        self, model: Any, x: Any, target: Any, h0: Any, steps: Any, lengths: Any, rng: np.random.Generator
    ) -> None:
        self.rng = rng
        self.dtype = model.dtype
        self.eps = float(np.finfo(model.dtype).eps)
        self.reference = copy.deepcopy(model).to("numpy", "float64")
        batch = model.check_batch(x, target, None, steps, lengths)
        target = to_numpy(target)
        if target.dtype.kind == "f":
            target = target.astype(model.dtype)
        self.arguments = {"target": target, "steps": steps, "lengths": lengths}
        if h0 is None:
            states = tuple(rng.uniform(-0.5, 0.5, s.shape).astype(model.dtype) for s in batch.states)
            h0 = model.unpack_states(states)
        batch = model.check_batch(x, target, h0, steps, lengths)

        tokens = batch.x.ndim == 2
        options = {"h0": h0, "steps": steps, "inputs": not tokens} | ({} if lengths is None else {"lengths": lengths})
        result = model.loss_and_grads(x, target, **options)
        self.loss = float(result.loss)

        self.layers = model.layers
        self.reference_network = model.network_of(Backend())
        self.kinked = any(layer.options.get("nonlinearity") == "relu" for layer in model.layers)
        self.batch = Batch(  # in float64, on NumPy
            _double(batch.x),
            map_arrays(_double, batch.states),
            None if batch.lengths is None else to_numpy(batch.lengths),
            _double(batch.target),
            batch.selection.map(to_numpy),
            batch.batch_rows,
        )
        vector = to_numpy(model.params.vector).astype(np.float64)
        self.point = Point(model.params.like(vector), None if tokens else self.batch.x, self.batch.states)
        self.analytic = self._by_name(result, tokens)

        self.stored = run_in_own_memory(model.device, lambda: self._trajectory(model.network, model.params, batch))
        self.stored_jittered = self.stored.jittered(rng, self.eps)
        self.text = self._text_trajectory(self.point)
        moved = self.point.map(lambda a: jitter(a, rng, self.eps))
        self.text_jittered = self._text_trajectory(moved).jittered(rng, self.eps)

    def finite_differences(self, name: str, v: Array) -> tuple[float, float, str]:
        """Directional derivative by central differences; its noise (rounding of L, truncation, conditioning); a note.

        Where a relu switches within the step, the difference says nothing: the noise is infinite, the note "kink".
        """
        size = max(1.0, float(np.sqrt(np.mean(self.point.tensor(name) ** 2))))
        h = FD_STEP * size / float(np.linalg.norm(v))

        def central(step: float) -> float:
            return (self._public_loss(name, step * v) - self._public_loss(name, -step * v)) / (2 * step)

        near, far = central(h), central(2 * h)
        rounding = 2 * np.finfo(np.float64).eps * abs(self.loss) / h
        truncation = abs(far - near)
        if truncation > 0.1 * abs(near) and truncation > 10 * rounding:
            truncation = np.inf  # the step leaves the range in which the loss is anything like linear: chaos
        if self.kinked and not np.array_equal(self._active(name, 2 * h * v), self._active(name, -2 * h * v)):
            return near, np.inf, "kink"
        return near, rounding + truncation + self._conditioning(name, v), ""

    def complex_step(self, name: str, v: Array) -> tuple[float, float]:
        """Directional derivative by the complex step, and its noise, which is conditioning."""
        params, x, states = self.point.plus(name, 1j * CS_STEP * v)
        batch = self.batch._replace(states=states, x=self.batch.x if x is None else x)
        of_rows, _, _ = network.with_loss(self.reference_network, params, batch)
        return float(of_rows.sum().imag) / CS_STEP, self._conditioning(name, v)

    def adjoint(self, name: str, v: Array) -> tuple[float, float]:
        """⟨∂L/∂y, J·v⟩ along the stored trajectory, and how far a last-bit change of that trajectory moves it."""
        value = self._along(self.stored, name, v)
        return value, SAFETY * abs(self._along(self.stored_jittered, name, v) - value)

    def _active(self, name: str, change: Array) -> Array:
        """Which hidden units are above 0 with one tensor moved."""
        traces = self._text_trajectory(self.point.plus(name, change)).traces
        return np.concatenate([(states[1:] > 0).reshape(-1) for _, states in cell_states(self.layers, traces)])

    def _conditioning(self, name: str, v: Array) -> float:
        """How far the derivative moves when the point, and each state on the way, moves in its last bit.

        In chaos the trajectories part and this is as large as the derivative; under saturation 1 − h² has few digits.
        """
        return SAFETY * abs(self._along(self.text_jittered, name, v) - self._along(self.text, name, v))

    def _along(self, trajectory: Trajectory, name: str, v: Array) -> float:
        """The linearised loss in direction v."""
        direction = self.point.map(np.zeros_like).plus(name, v)
        moved = network.tangent(
            self.reference_network, self.point.params, trajectory.traces, self.batch.selection, *direction
        )
        return float((trajectory.dy * moved).sum())

    def _text_trajectory(self, point: Point) -> Trajectory:
        batch = self.batch._replace(states=point.states, x=self.batch.x if point.x is None else point.x)
        return self._trajectory(self.reference_network, point.params, batch)

    def _trajectory(self, computed_by: Network, params: Parameters, batch: Batch) -> Trajectory:
        of_rows, dy, forward = network.with_loss(computed_by, params, batch)
        return Trajectory(float(of_rows.sum()), _double(dy), [map_arrays(_double, trace) for trace in forward.traces])

    def _public_loss(self, name: str, change: Array) -> float:
        """`model.loss` of the float64 NumPy copy with one tensor moved."""
        point = self.point.plus(name, change)
        self.reference.params.vector[...] = point.params.vector
        x = self.batch.x if point.x is None else point.x
        h0 = self.reference.unpack_states(point.states)
        return float(self.reference.loss(x.swapaxes(0, 1), h0=h0, **self.arguments))

    def _by_name(self, result: Any, tokens: bool) -> dict[str, Array]:
        """Analytic gradients as float64 NumPy, time-major, under the names of the report."""
        named = dict(result.grads.items())
        if set(named) != set(self.point.params):
            wrong = ", ".join(sorted(set(named) ^ set(self.point.params)))
            raise ValueError(f"loss_and_grads must return one gradient per parameter; missing or unknown: {wrong}")
        if result.grads_h0 is None or (result.grads_x is None and not tokens):
            raise ValueError("loss_and_grads(inputs=True) must return grads_h0 and grads_x")
        if isinstance(result.grads_h0, tuple):
            named |= {f"h0[{i}]": grad for i, grad in enumerate(result.grads_h0)}
        else:
            named["h0"] = result.grads_h0
        if not tokens:
            named["x"] = result.grads_x.swapaxes(0, 1)
        return {name: _double(grad) for name, grad in named.items()}


def cell_states(layers: Sequence[Any], traces: Sequence[Any]) -> list[tuple[Any, Array]]:
    """Of every recurrent cell, bottom to top, its layer and its states (T + 1, N, H)."""
    return [
        (layer, layer.cell.states(cell))
        for layer, trace in zip(layers, traces, strict=True)
        if layer.recurrent
        for cell in getattr(trace, "cells", (trace,))
    ]


def jitter(array: Array, rng: np.random.Generator, eps: float) -> Array:
    """Every float moved up or down by a relative eps; other arrays as they are."""
    if array.dtype.kind != "f":
        return array
    return array * (1 + eps * rng.choice([-1.0, 1.0], array.shape))


def _double(array: Array) -> Array:
    """float64 NumPy; masks and tokens keep their dtype."""
    array = to_numpy(array)
    return array.astype(np.float64) if array.dtype.kind == "f" else array
