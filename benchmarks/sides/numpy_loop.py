"""The loop a learner writes: NumPy, one step at a time, every gradient added up as the equations have it."""

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
        self.first = self.x[:, : workload.N].copy(), self.target[:, : workload.N].copy()
        self.moments = {name: (np.zeros_like(a), np.zeros_like(a)) for name, a in self.p.items()}
        self.updates = 0
        self.rng = np.random.default_rng(0)

    def run(self, x: Any) -> tuple[list[Any], list[list[Any]]]:
        """Outputs of the counted steps, and the states of every layer, h_{−1} first."""
        states = []
        for i in range(self.workload.layers):
            W_xh, W_hh, b_h = (self.p[f"{i}.{name}"] for name in ("W_xh", "W_hh", "b_h"))
            h = [np.zeros((len(x[0]), self.workload.H), dtype=b_h.dtype)]
            for x_t in x:
                h.append(np.tanh(x_t @ W_xh.T + h[-1] @ W_hh.T + b_h))
            states.append(h)
            x = h[1:]
        W_hy, b_y = self.p[f"{self.workload.top}.W_hy"], self.p[f"{self.workload.top}.b_y"]
        return [h_t @ W_hy.T + b_y for h_t in (x[-1:] if self.workload.last else x)], states

    def forward(self) -> object:
        return self.run(self.first[0])[0]

    def grads(self) -> tuple[float, Weights]:
        return self.loss_and_grads(*self.first)

    result = grads

    def loss_and_grads(self, x: np.ndarray, target: np.ndarray) -> tuple[float, Weights]:
        """Backpropagation through time; the counted steps are the last `len(target)` ones."""
        y, states = self.run(x)
        g = {name: np.zeros_like(array) for name, array in self.p.items()}
        top, T, K = self.workload.top, len(x), len(target)
        W_hy = self.p[f"{top}.W_hy"]
        loss, dh = 0.0, [np.zeros_like(states[-1][0]) for _ in range(T)]
        for k in range(K):
            t = T - K + k
            error = y[k] - target[k]
            loss += float((error**2).sum()) / target.size
            dy = error * (2 / target.size)
            g[f"{top}.W_hy"] += dy.T @ states[-1][t + 1]
            g[f"{top}.b_y"] += dy.sum(axis=0)
            dh[t] = dy @ W_hy
        for i in reversed(range(self.workload.layers)):
            h, below = states[i], x if i == 0 else states[i - 1][1:]
            W_xh, W_hh = self.p[f"{i}.W_xh"], self.p[f"{i}.W_hh"]
            carried = np.zeros_like(h[0])
            dx = []
            for t in reversed(range(T)):
                da = (dh[t] + carried) * (1 - h[t + 1] ** 2)
                g[f"{i}.W_xh"] += da.T @ below[t]
                g[f"{i}.W_hh"] += da.T @ h[t]
                g[f"{i}.b_h"] += da.sum(axis=0)
                carried = da @ W_hh
                if i > 0:
                    dx.append(da @ W_xh)
            dh = dx[::-1]
        return loss, g

    def update(self, rows: np.ndarray) -> None:
        """One update on the rows with these numbers."""
        _, g = self.loss_and_grads(self.x[:, rows], self.target[:, rows])
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
