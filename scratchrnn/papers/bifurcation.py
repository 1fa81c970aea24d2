"""Two attractors that come and go: the saddle-node bifurcations of a single unit.

    x_t = w · σ(x_{t−1}) + b      σ(x) = 1 / (1 + e^{−x})

A fixed point has x = w·σ(x) + b. It attracts where the slope w·σ(x)·(1 − σ(x)) is below 1 in size. At a slope of
exactly 1 an attractor and the point that repels beside it meet and vanish; then the state must travel to the other
attractor, however little b has moved, and a gradient across that b is as large as one pleases. With w = 5 both
bifurcations are known exactly:

    5·σ(1 − σ) = 1  ⇒  σ = (1 ± √(1 − 4/5)) / 2      x = ln(σ / (1 − σ))      b = x − 5σ = −2.65561 and −2.34439.

Setting: b swept over [−2.9, −2.1] in steps of 1e-4; for every b the unit runs for 5,000 steps from x = −10 and from
x = 10. Between the bifurcations the two end at different attractors, elsewhere at the same one.
Source: Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks", figure 3.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .result import Result

WEIGHT = 5.0
B = np.linspace(-2.9, -2.1, 8001)
STEPS = 5000
APART = 0.1  # attractors are further apart than this wherever there are two; runs to the same one are not


class Sweep(NamedTuple):
    """Where a unit ends for every b."""

    w: float
    b: np.ndarray  # (K,)
    low: np.ndarray  # (K,): x after STEPS steps from x = −10
    high: np.ndarray  # (K,): the same from x = 10


def saddle_nodes(w: float = WEIGHT) -> tuple[float, float]:
    """The two b at which an attractor vanishes, from the exact solution; there are two where w > 4.

    >>> [round(b, 5) for b in saddle_nodes(5.0)]
    [-2.65561, -2.34439]
    """
    if not w > 4:
        raise ValueError(f"the slope w·σ(1 − σ) ≤ w/4 passes 1 only where w > 4, got w = {w}")
    root = math.sqrt(1 - 4 / w)
    first, second = ((1 + sign * root) / 2 for sign in (1, -1))
    return math.log(first / (1 - first)) - w * first, math.log(second / (1 - second)) - w * second


def fixed_points(x: np.ndarray, w: float = WEIGHT) -> tuple[np.ndarray, np.ndarray]:
    """For each state x the b = x − w·σ(x) that makes it a fixed point, and the slope w·σ(x)·(1 − σ(x)) there."""
    s = 1 / (1 + np.exp(-x))
    return x - w * s, w * s * (1 - s)


def sweep(w: float = WEIGHT, b: np.ndarray = B, steps: int = STEPS) -> Sweep:
    """Run the unit for every b, from below and from above."""
    x = np.array([[-10.0], [10.0]]) * np.ones(len(b))
    for _ in range(steps):
        x = w / (1 + np.exp(-x)) + b
    return Sweep(w, b, *x)


def bounds(swept: Sweep) -> tuple[float, float]:
    """The b between which the two runs end apart, each half-way between two points of the sweep."""
    apart = np.flatnonzero(swept.high - swept.low > APART)
    if not len(apart):
        return math.nan, math.nan
    first, last = max(apart[0], 1), min(apart[-1], len(swept.b) - 2)
    return float(swept.b[first - 1 : first + 1].mean()), float(swept.b[last : last + 2].mean())


def measure(quick: bool, progress: bool) -> Sweep:
    """The sweep."""
    return sweep()


def results(swept: Sweep) -> list[Result]:
    """The bifurcations found beside the exact ones."""
    setting = f"one unit, w = {swept.w:g}, {len(swept.b):,} values of b"
    pairs = zip(("both attractors appear", "the lower one vanishes"), saddle_nodes(swept.w), bounds(swept), strict=True)
    note = f"exact: {swept.w:g}·σ(1 − σ) = 1"
    return [Result(f"saddle-node: {what}", setting, exact, found, 1e-3, note) for what, exact, found in pairs]


def draw(swept: Sweep, out: Path) -> dict[str, str]:
    """bifurcation.png."""
    from ..plots import new_figure, papers

    x = np.linspace(swept.low.min(), swept.high.max(), 2001)
    b, slope = fixed_points(x, swept.w)
    figure = new_figure(7, 4.5)
    papers.plot_bifurcation(swept, (x, b, slope), saddle_nodes(swept.w), figure.subplots())
    figure.savefig(out / "bifurcation.png")
    return {"bifurcation.png": "where the state of one unit ends against b, with the exact fixed points"}
