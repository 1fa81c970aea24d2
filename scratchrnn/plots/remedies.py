"""Remedies against vanishing and exploding gradients, beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .._arrays import to_numpy
from .._numerics import expected_underflow
from .style import COLOURS, LINES, axes, integers, label_ends, log, marker, note, positive, span, style

LAG = r"lag $T - 1 - t$  (steps back from the loss)"


@expected_underflow
def plot_remedies(
    curves: Mapping[str, Any],
    ax: Axes | None = None,
    *,
    title: str = "Remedies compared",
    xlabel: str = LAG,
    ylabel: str = r"$N\,\Vert\partial L/\partial h_t\Vert$  (per sample)",
    start: int = 0,
    among: Sequence[str] = (),
    floor: float = 0.0,
) -> Axes:
    """One curve of norms for each remedy, on a log scale, with its name at its end.

    curves maps a name to norms per lag, from lag 0; per update with xlabel="update" and start=1. What is exactly 0 is
    left out, with a note. among: all names, in one order for several pictures that show some of them each, so that a
    remedy looks the same in all. What lies below `floor` is not drawn either, lest it press the rest flat. Returns the
    axes.
    """
    if not curves:
        raise ValueError("no curves to draw")
    ax = axes(ax)
    style(ax, title, xlabel, ylabel)
    integers(ax.xaxis)
    ends, zeros, low, total, longest = [], 0, 0, 0, 0
    order = list(among or curves)
    for name, curve in curves.items():
        i = order.index(name)
        values, some = positive(np.ravel(to_numpy(curve)))
        low += int((values < floor).sum())
        values = np.where(values < floor, np.nan, values)
        colour, line = COLOURS[i % len(COLOURS)], LINES[i % len(LINES)]
        x = start + np.arange(len(values))
        ax.plot(x, values, line, color=colour, linewidth=1.6, marker=marker(values), markersize=4, label=name)
        drawn = np.flatnonzero(np.isfinite(values))
        if len(drawn):
            ends.append((x[drawn[-1]], values[drawn[-1]], name, colour))
        zeros, total, longest = zeros + some, total + len(values), max(longest, len(values))
    log(ax, "y")
    span(ax, longest, start)
    label_ends(ax, ends)
    notes = [f"exactly 0, not drawn: {zeros} of {total} points"] * bool(zeros)
    notes += [f"below {floor:g}, not drawn: {low} of {total} points"] * bool(low)
    if notes:
        note(ax, "; ".join(notes))
    return ax
