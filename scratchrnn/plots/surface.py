"""The surface of a loss over two parameters."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .._arrays import to_numpy
from .._numerics import expected_underflow
from .heat import heat_map
from .style import PURPLE, SKY, VERMILLION, axes, style

PATH_COLOURS = (VERMILLION, SKY, PURPLE)


@expected_underflow
def plot_surface(
    w: Any,
    b: Any,
    values: Any,
    ax: Axes | None = None,
    *,
    label: str = "error $E$",
    title: str = "Loss surface of one unit",
    paths: Mapping[str, Any] | None = None,
) -> Axes:
    """The error, or the norm of its gradient, over two parameters: w to the right, b upwards, log colours.

    w (n,) and b (m,) are evenly spaced and rising, values (m, n) ≥ 0. paths maps a name to the points (steps, 2) of a
    descent, each a pair (w, b); its start is a circle, and what lies outside the surface is not drawn. The picture
    keeps every cell of a wall that is one cell wide only where it is as fine as the screen. Returns the axes.

    Source: Pascanu, Mikolov, Bengio 2013, On the difficulty of training recurrent neural networks, figure 6.
    """
    w, b, values = np.ravel(to_numpy(w)), np.ravel(to_numpy(b)), to_numpy(values)
    if values.shape != (len(b), len(w)):
        raise ValueError(f"values have shape {values.shape}, expected (b, w) = ({len(b)}, {len(w)})")
    extent = (*_edges(w, "w"), *_edges(b, "b"))
    ax = axes(ax)
    style(ax, title, "weight $w$", "bias $b$", grid=False)
    heat_map(ax, values, label, extent=extent, origin="lower", interpolation="auto", peak=True)
    for (name, path), colour in zip((paths or {}).items(), cycle(PATH_COLOURS), strict=False):
        points = np.asarray(to_numpy(path), dtype=float)
        ax.plot(*points.T, color="white", linewidth=3.2, alpha=0.7)  # an outline that parts it from the surface
        ax.plot(*points.T, color=colour, linewidth=1.4, marker=".", markersize=4, label=name)
        ax.plot(*points[0], "o", color=colour, markersize=7, markeredgecolor="black")
    if paths:
        ax.plot([], [], "o", color="white", markersize=7, markeredgecolor="black", label="start")
    ax.set_xlim(extent[:2])
    ax.set_ylim(extent[2:])
    if paths:
        ax.legend(loc="upper left", framealpha=0.9, edgecolor="none")
    return ax


def _edges(values: np.ndarray, name: str) -> tuple[float, float]:
    """Outer edges of cells that have these centres."""
    steps = np.diff(values)
    if not len(steps):
        return float(values[0]) - 0.5, float(values[0]) + 0.5
    if not (steps > 0).all() or np.ptp(steps) > 1e-6 * steps.max():
        raise ValueError(f"{name} must be evenly spaced and rising")
    return float(values[0] - steps[0] / 2), float(values[-1] + steps[0] / 2)
