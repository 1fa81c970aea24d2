"""Heat maps whose colours are logarithms: exact zeros grey, what is not defined blank."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm

from .._arrays import to_numpy
from .style import colour_limits, decades, note, positive

ZERO = "#bbbbbb"


def heat_map(
    ax: Axes,
    table: np.ndarray,
    label: str,
    *,
    extent: tuple[float, float, float, float] | None = None,
    origin: Literal["upper", "lower"] = "upper",
    bar: Literal["right", "bottom"] = "right",
    interpolation: str = "nearest",
    peak: bool = False,
) -> None:
    """The entries of a table (rows, columns) ≥ 0 in viridis on a log scale, with a colour bar that bears the label.

    extent (left, right, bottom, top) says where the outer edges of the table lie; None: entry [i, j] lies at (j, i).
    The scale leaves out a few extreme entries, at the top not where `peak` is what the picture is about.
    """
    table = np.asarray(to_numpy(table), dtype=float)
    values, zeros = positive(table)
    placing: dict[str, Any] = {"extent": extent, "origin": origin, "aspect": "auto"}
    if zeros:
        grey = np.ma.masked_not_equal(table, 0)
        ax.imshow(grey, cmap=ListedColormap([ZERO]), interpolation="nearest", **placing)
        note(ax, "grey: exactly 0")
    low, high, extend = colour_limits(values, peak)
    shown = np.ma.masked_invalid(values)
    image = ax.imshow(shown, cmap="viridis", norm=LogNorm(low, high), interpolation=interpolation, **placing)
    if not np.isfinite(values).any():
        return
    placed: dict[str, Any] = {"aspect": 40, "pad": 0.02} if bar == "bottom" else {"aspect": 25, "pad": 0.02}
    colours = ax.figure.colorbar(image, ax=ax, location=bar, label=label, extend=extend, **placed)
    axis = colours.ax.xaxis if bar == "bottom" else colours.ax.yaxis
    decades(axis, np.log10(high) - np.log10(low), numticks=8 if bar == "bottom" else 6)
