"""The error wall of a single unit, and why a clipped step stays beside it.

A unit with no input runs for T = 50 steps from x_0 = 0.5, and its last output is to be 0.7:

    x_t = w · σ(x_{t−1}) + b      E(w, b) = (σ(x_T) − 0.7)²      σ(x) = 1 / (1 + e^{−x})

Backpropagation through time, with s_t = σ(x_t) and σ′ = s · (1 − s):

    δ_T = ∂E/∂x_T = 2 · (s_T − 0.7) · s_T · (1 − s_T)      δ_{t−1} = δ_t · w · s_{t−1} · (1 − s_{t−1})
    ∂E/∂w = Σ_t δ_t · s_{t−1}      ∂E/∂b = Σ_t δ_t      t = 1 … T

Where the unit has two attractors for some w and b (see bifurcation.py), the edge of a basin of attraction passes x_0.
On either side of that edge E is flat, across it x_T jumps, and E rises like a wall: ‖∇E‖ reaches 3.3e3 where its median
is 0.078. One plain step taken on the wall ends far away; with the norm clipped it is as short as any other.

Setting: 501 × 401 points of w in [2, 7] and b in [−3.5, −1.5].
Source: Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks", figure 6.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..gradients.clip import clip_by_global_norm
from .result import Result

STEPS, START, GOAL = 50, 0.5, 0.7
W, B = np.linspace(2, 7, 501), np.linspace(-3.5, -1.5, 401)
BEGIN, RATE, LIMIT, UPDATES = (5.5, -2.7), 0.2, 1.0, 100  # of the two ways down
SIZE = (10, 4.6)  # of the picture, in inches


class Surface(NamedTuple):
    """The error over a grid of w and b, and the norm of its gradient."""

    w: np.ndarray  # (I,)
    b: np.ndarray  # (J,)
    error: np.ndarray  # (I, J)
    norm: np.ndarray  # (I, J): ‖(∂E/∂w, ∂E/∂b)‖


class Wall(NamedTuple):
    """What is measured: the surface, and the way down it with and without clipping."""

    surface: Surface
    plain: np.ndarray  # (UPDATES + 1, 2): (w, b) after each update
    clipped: np.ndarray


def error(w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """E(w, b), for real or complex numbers."""
    x = START
    for _ in range(STEPS):
        x = w / (1 + np.exp(-x)) + b
    return (1 / (1 + np.exp(-x)) - GOAL) ** 2


def error_and_gradient(w: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E, ∂E/∂w and ∂E/∂b, each of the shape of w and b together."""
    w, b = np.broadcast_arrays(w, b)
    s = np.empty((STEPS + 1, *w.shape))  # s[t] = σ(x_t)
    s[0] = 1 / (1 + np.exp(-START))
    for t in range(STEPS):
        s[t + 1] = 1 / (1 + np.exp(-(w * s[t] + b)))
    miss = s[-1] - GOAL
    delta = 2 * miss * s[-1] * (1 - s[-1])
    dw, db = np.zeros(w.shape), np.zeros(w.shape)
    for before in s[-2::-1]:
        dw += delta * before
        db += delta
        delta = delta * w * before * (1 - before)
    return miss**2, dw, db


def surface(w: np.ndarray = W, b: np.ndarray = B) -> Surface:
    """Error and gradient norm over a grid, one row of it at a time."""
    rows = [error_and_gradient(value, b) for value in w]
    E, dw, db = (np.array(part) for part in zip(*rows, strict=True))
    return Surface(w, b, E, np.hypot(dw, db))


def descend(
    limit: float | None, begin: tuple[float, float] = BEGIN, rate: float = RATE, updates: int = UPDATES
) -> np.ndarray:
    """(updates + 1, 2): w and b along θ ← θ − rate · ∇E, the norm of the gradient clipped to a limit, or not (None)."""
    path = [np.array(begin)]
    for _ in range(updates):
        _, dw, db = error_and_gradient(*path[-1])
        gradient = np.array([dw, db])
        if limit is not None:
            clip_by_global_norm(gradient, limit)
        path.append(path[-1] - rate * gradient)
    return np.array(path)


def measure(quick: bool, progress: bool) -> Wall:
    """The surface, and two ways down."""
    return Wall(surface(), descend(None), descend(LIMIT))


def results(wall: Wall) -> list[Result]:
    """Where the wall is steepest, and how steep the surface is as a rule."""
    w, b, _, norm = wall.surface
    i, j = np.unravel_index(norm.argmax(), norm.shape)
    grid = f"{STEPS} steps, {len(w)} × {len(b)} points"
    longest = [float(np.hypot(*np.diff(path, axis=0).T).max()) for path in (wall.plain, wall.clipped)]
    return [
        Result("error wall: greatest ‖∇E‖", grid, 3.32e3, float(norm.max()), 33.2, "one percent"),
        Result("error wall: w of it", grid, 4.94, float(w[i]), 0.01, "one point of the grid"),
        Result("error wall: b of it", grid, -2.575, float(b[j]), 0.005, "one point of the grid"),
        Result("error wall: median ‖∇E‖", grid, 0.078, float(np.median(norm)), 0.00078, "one percent"),
        Result(
            "error wall: longest clipped step",
            f"rate {RATE}, limit {LIMIT:g}",
            RATE * LIMIT,
            longest[1],
            1e-12,
            f"exact: rate · limit; without clipping {longest[0]:.3g}",
        ),
    ]


def steepest(surface: Surface, size: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """w, b and the largest norm of each size × size points, since the wall is one point wide."""
    I, J = len(surface.w) // size, len(surface.b) // size
    w, b, norm = surface.w[: I * size], surface.b[: J * size], surface.norm[: I * size, : J * size]
    w, b = w.reshape(I, size).mean(axis=1), b.reshape(J, size).mean(axis=1)
    return w, b, norm.reshape(I, size, J, size).max(axis=(1, 3))


def draw(wall: Wall, out: Path) -> dict[str, str]:
    """wall.png."""
    from ..plots import new_figure, papers

    figure = new_figure(*SIZE)
    drawn = papers.plot_wall(wall.surface, steepest(wall.surface), wall.plain, wall.clipped, figure)
    drawn.savefig(out / "wall.png")
    return {"wall.png": "the error of one unit over w and b, its gradient, and two ways down"}
