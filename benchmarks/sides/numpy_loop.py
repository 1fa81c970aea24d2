"""The loop a learner writes: NumPy, one step at a time, every gradient added up as the equations have it.

A row that is over keeps its state, and nothing flows back through its padding. In a reverse recurrence the padding
comes first: the row waits in its zero state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..harness import timed
from ..workloads import Weights, Workload
from . import CLIP, LEARNING_RATE


def set_threads(threads: int) -> None:
    """OpenBLAS reads its number from the environment when NumPy is imported (`harness.environment`)."""


class Side:
    """Time-major arrays, so that x[t] is contiguous."""

    def __init__(self, workload: Workload, dtype: str) -> None:
        self.workload, self.p = workload, workload.weights(dtype)
        x, target = workload.data(dtype)
        self.x = np.ascontiguousarray(x.swapaxes(0, 1))  # (T, rows, D)
        self.target = target[None] if workload.last else np.ascontiguousarray(target.swapaxes(0, 1))
        lengths, t = workload.lengths(), np.arange(workload.T)[:, None, None]
        self.valid = None if lengths is None else t < lengths[:, None]  # (T, rows, 1)
        x, target, valid = self.minibatch(np.arange(workload.N))
        self.first = x.copy(), target.copy(), None if valid is None else valid.copy()
        self.moments = {name: (np.zeros_like(a), np.zeros_like(a)) for name, a in self.p.items()}
        self.updates = 0
        self.rng = np.random.default_rng(0)

    def minibatch(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """x, target, and what of it is no padding, of the rows with these numbers."""
        return self.x[:, rows], self.target[:, rows], None if self.valid is None else self.valid[:, rows]

    def run(self, x: Any, valid: np.ndarray | None) -> tuple[list[Any], list[Any], dict[str, Any]]:
        """Of the counted steps y and what it is made of; inputs and states of every recurrence, in its own time."""
        seen = {}
        for layer in self.workload.suffixes:
            sides = []
            for after in layer:
                W_xh, W_hh, b_h = (self.p[f"0.{name}{after}"] for name in ("W_xh", "W_hh", "b_h"))
                h = [np.zeros((len(x[0]), self.workload.H), dtype=b_h.dtype)]  # h_{−1}
                own_x, own_valid = own_time(x, after), own_time(valid, after)
                for t, x_t in enumerate(own_x):
                    h_t = np.tanh(x_t @ W_xh.T + h[-1] @ W_hh.T + b_h)
                    h.append(h_t if own_valid is None else np.where(own_valid[t], h_t, h[-1]))
                seen[after] = own_x, h
                sides.append(own_time(h[1:], after))
            x = sides[0] if len(sides) == 1 else [np.concatenate(both, axis=1) for both in zip(*sides, strict=True)]
        W_hy, b_y = self.p["1.W_hy"], self.p["1.b_y"]
        top = x[-1:] if self.workload.last else x
        return [h_t @ W_hy.T + b_y for h_t in top], top, seen

    def forward(self) -> object:
        x, _, valid = self.first
        return self.run(x, valid)[0]

    def grads(self) -> tuple[float, Weights]:
        return self.loss_and_grads(*self.first)

    result = grads

    def loss_and_grads(self, x: np.ndarray, target: np.ndarray, valid: np.ndarray | None) -> tuple[float, Weights]:
        """Backpropagation through time; the counted steps are the last `len(target)` ones."""
        y, top, seen = self.run(x, valid)
        g = {name: np.zeros_like(array) for name, array in self.p.items()}
        T, K, H = len(x), len(target), self.workload.H
        size = target.size if valid is None else int(valid.sum()) * self.workload.O
        loss, dh = 0.0, [np.zeros((len(x[0]), self.workload.width), dtype=x.dtype) for _ in range(T)]
        for k in range(K):
            error = y[k] - target[k] if valid is None else (y[k] - target[k]) * valid[k]
            loss += float((error**2).sum()) / size
            dy = error * (2 / size)
            g["1.W_hy"] += dy.T @ top[k]
            g["1.b_y"] += dy.sum(axis=0)
            dh[T - K + k] = dy @ self.p["1.W_hy"]
        for i, layer in reversed(list(enumerate(self.workload.suffixes))):
            sides = []
            for j, after in enumerate(layer):
                W_xh, W_hh = self.p[f"0.W_xh{after}"], self.p[f"0.W_hh{after}"]
                own_x, h = seen[after]
                own_dh, own_valid = own_time(dh, after), own_time(valid, after)
                carried = np.zeros_like(h[0])
                dx = []
                for t in reversed(range(T)):
                    da = (own_dh[t][:, j * H : (j + 1) * H] + carried) * (1 - h[t + 1] ** 2)
                    if own_valid is not None:
                        da = da * own_valid[t]
                    g[f"0.W_xh{after}"] += da.T @ own_x[t]
                    g[f"0.W_hh{after}"] += da.T @ h[t]
                    g[f"0.b_h{after}"] += da.sum(axis=0)
                    carried = da @ W_hh
                    if i > 0:
                        dx.append(da @ W_xh)
                sides.append(own_time(dx[::-1], after))
            dh = sides[0] if len(sides) == 1 else [a + b for a, b in zip(*sides, strict=True)]
        return loss, g

    def update(self, rows: np.ndarray) -> None:
        """One update on the rows with these numbers."""
        _, g = self.loss_and_grads(*self.minibatch(rows))
        norm = np.sqrt(sum(float((array**2).sum()) for array in g.values()))
        shrink = min(1.0, CLIP / norm)
        self.updates += 1
        for name, (m, v) in self.moments.items():
            grad = g[name] * shrink
            m[...] = 0.9 * m + 0.1 * grad
            v[...] = 0.999 * v + 0.001 * grad**2
            m_hat, v_hat = m / (1 - 0.9**self.updates), v / (1 - 0.999**self.updates)
            self.p[name] -= LEARNING_RATE * m_hat / (np.sqrt(v_hat) + 1e-8)

    def epoch(self) -> None:
        order = self.rng.permutation(self.x.shape[1])
        for start in range(0, len(order), self.workload.N):
            self.update(order[start : start + self.workload.N])

    def epochs(self, count: int) -> list[float]:
        return timed(self.epoch, count)


def own_time(steps: Any, after: str) -> Any:
    """Steps in the order in which the recurrence with this suffix takes them, and back; None stays None."""
    return steps[::-1] if steps is not None and after.endswith("_reverse") else steps
