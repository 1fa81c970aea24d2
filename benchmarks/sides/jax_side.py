"""JAX: one jitted function per pass, the recurrence a lax.scan, all inputs projected at once before it.

Unrolling the scan 2, 5 or 10 steps was measured and made nothing faster. A row that is over keeps its state.

An update is jitted whole and its buffers are donated. An epoch is dispatched update by update, waiting at the end.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..harness import timed
from ..workloads import Weights, Workload
from . import CLIP, LEARNING_RATE

jax.config.update("jax_enable_x64", True)  # float32 arrays stay float32


def set_threads(threads: int) -> None:
    """XLA reads its flags from the environment when it starts (`harness.environment`)."""


class Side:
    """Time-major arrays."""

    def __init__(self, workload: Workload, dtype: str) -> None:
        self.workload = workload
        self.p = {name: jnp.asarray(array) for name, array in workload.weights(dtype).items()}
        x, target = workload.data(dtype)
        self.x = jnp.asarray(x.swapaxes(0, 1))  # (T, rows, D)
        self.target = jnp.asarray(target[None] if workload.last else target.swapaxes(0, 1))
        lengths, t = workload.lengths(), np.arange(workload.T)[:, None, None]
        self.valid = None if lengths is None else jnp.asarray(t < lengths[:, None])  # (T, rows, 1)
        data = self.x, self.target, self.valid
        self.first = jax.tree.map(lambda array: array[:, : workload.N].copy(), data)
        self.state = jax.tree.map(jnp.copy, self.p), jax.tree.map(jnp.zeros_like, (self.p, self.p)), jnp.zeros((), int)
        self.rng = np.random.default_rng(0)
        self._outputs = jax.jit(partial(outputs, workload))
        self._grads = jax.jit(jax.value_and_grad(partial(loss, workload)))
        self._update = jax.jit(partial(update, workload), donate_argnums=0)

    def forward(self) -> object:
        return self._outputs(self.p, self.first[0], self.first[2]).block_until_ready()

    def grads(self) -> Any:
        return jax.block_until_ready(self._grads(self.p, *self.first))

    def result(self) -> tuple[float, Weights]:
        value, grads = self.grads()
        return float(value), {name: np.asarray(array) for name, array in grads.items()}

    def epoch(self) -> None:
        order = self.rng.permutation(self.x.shape[1]).astype(np.int32)
        for start in range(0, len(order), self.workload.N):
            rows = order[start : start + self.workload.N]
            self.state = self._update(self.state, self.x, self.target, self.valid, rows)
        jax.block_until_ready(self.state)

    def epochs(self, count: int) -> list[float]:
        return timed(self.epoch, count)


def outputs(w: Workload, p: dict[str, Any], x: Any, valid: Any) -> Any:
    """y of the counted steps, (K, N, O)."""
    for layer in w.suffixes:
        sides = [states(p, after, x, valid) for after in layer]
        x = sides[0] if len(sides) == 1 else jnp.concatenate(sides, axis=2)
    x = x[-1:] if w.last else x
    return x @ p["1.W_hy"].T + p["1.b_y"]


def states(p: dict[str, Any], after: str, x: Any, valid: Any) -> Any:
    """h of every step (T, N, H) of the recurrence with this suffix."""
    W_hh = p[f"0.W_hh{after}"]
    a = x @ p[f"0.W_xh{after}"].T + p[f"0.b_h{after}"]  # (T, N, H)

    def step(before: Any, this: tuple[Any, Any]) -> tuple[Any, Any]:
        a_t, valid_t = this
        h = jnp.tanh(a_t + before @ W_hh.T)
        h = h if valid_t is None else jnp.where(valid_t, h, before)
        return h, h

    return jax.lax.scan(step, jnp.zeros_like(a[0]), (a, valid), reverse=after.endswith("_reverse"))[1]


def loss(w: Workload, p: dict[str, Any], x: Any, target: Any, valid: Any) -> Any:
    """Mean squared error."""
    return ((outputs(w, p, x, valid) - target) ** 2).mean(where=valid)


def update(w: Workload, state: Any, x: Any, target: Any, valid: Any, rows: Any) -> Any:
    """Gather, gradient, clip, Adam."""
    p, (m, v), count = state
    batch = jax.tree.map(lambda array: array[:, rows], (x, target, valid))
    g = jax.grad(partial(loss, w))(p, *batch)
    norm = jnp.sqrt(sum((array**2).sum() for array in g.values()))
    count += 1
    g = {name: array * jnp.minimum(1, CLIP / norm) for name, array in g.items()}
    m = {name: 0.9 * m[name] + 0.1 * g[name] for name in g}
    v = {name: 0.999 * v[name] + 0.001 * g[name] ** 2 for name in g}
    rate, second = LEARNING_RATE / (1 - 0.9**count), 1 - 0.999**count
    kind = next(iter(p.values())).dtype
    rate, second = rate.astype(kind), second.astype(kind)
    p = {name: p[name] - rate * m[name] / (jnp.sqrt(v[name] / second) + 1e-8) for name in p}
    return p, (m, v), count
