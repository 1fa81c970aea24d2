"""JAX: one jitted function per pass, the recurrence a lax.scan, all inputs projected at once before it.

Unrolling the scan 2, 5 or 10 steps was measured and made nothing faster.

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
        self.first = self.x[:, : workload.N].copy(), self.target[:, : workload.N].copy()
        self.state = jax.tree.map(jnp.copy, self.p), jax.tree.map(jnp.zeros_like, (self.p, self.p)), jnp.zeros((), int)
        self.rng = np.random.default_rng(0)
        self._outputs = jax.jit(partial(outputs, workload))
        self._grads = jax.jit(jax.value_and_grad(partial(loss, workload)))
        self._update = jax.jit(partial(update, workload), donate_argnums=0)

    def forward(self) -> object:
        return self._outputs(self.p, self.first[0]).block_until_ready()

    def grads(self) -> Any:
        return jax.block_until_ready(self._grads(self.p, *self.first))

    def result(self) -> tuple[float, Weights]:
        value, grads = self.grads()
        return float(value), {name: np.asarray(array) for name, array in grads.items()}

    def epoch(self) -> None:
        order = self.rng.permutation(self.x.shape[1]).astype(np.int32)
        for start in range(0, len(order), self.workload.N):
            self.state = self._update(self.state, self.x, self.target, order[start : start + self.workload.N])
        jax.block_until_ready(self.state)

    def epochs(self, count: int) -> list[float]:
        return timed(self.epoch, count)


def outputs(w: Workload, p: dict[str, Any], x: Any) -> Any:
    """y of the counted steps, (K, N, O)."""
    for i in range(w.layers):
        W_hh = p[f"{i}.W_hh"]
        a = x @ p[f"{i}.W_xh"].T + p[f"{i}.b_h"]  # (T, N, H)

        def step(h: Any, a_t: Any, W_hh: Any = W_hh) -> tuple[Any, Any]:
            h = jnp.tanh(a_t + h @ W_hh.T)
            return h, h

        x = jax.lax.scan(step, jnp.zeros_like(a[0]), a)[1]
    x = x[-1:] if w.last else x
    return x @ p[f"{w.top}.W_hy"].T + p[f"{w.top}.b_y"]


def loss(w: Workload, p: dict[str, Any], x: Any, target: Any) -> Any:
    """Mean squared error."""
    return ((outputs(w, p, x) - target) ** 2).mean()


def update(w: Workload, state: Any, x: Any, target: Any, rows: Any) -> Any:
    """Gather, gradient, clip, Adam."""
    p, (m, v), count = state
    g = jax.grad(partial(loss, w))(p, x[:, rows], target[:, rows])
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
