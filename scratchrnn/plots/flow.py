"""Pictures of the flow of gradients through time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .._arrays import to_numpy
from .._numerics import expected_underflow
from ..gradients.flow import Flow
from .style import (
    COLOURS,
    GUIDE,
    LINES,
    PER_SAMPLE,
    around_one,
    axes,
    integers,
    label_ends,
    legend_beside,
    log,
    marker,
    note,
    positive,
    quantiles,
    span,
    style,
)


@expected_underflow
def plot_flow(flow: Flow, ax: Axes | None = None, *, names: Sequence[str] = ()) -> Axes:
    """‖∂L/∂h_t‖ of each row, freed of the batch's 1/N, against the time step: median over rows and their whole range.

    One curve per recurrent cell, under the names given or those of the flow. Rows whose derivative is exactly 0 at a
    step are left out there, with a note. Returns the axes.
    """
    ax = axes(ax)
    style(ax, "Gradient flow: median and range of the rows", "time step $t$", PER_SAMPLE)
    integers(ax.xaxis)
    zeros, everything = 0, []
    for i, (layer, name) in enumerate(zip(flow.layers, names or flow.names, strict=True)):
        values, some = positive(to_numpy(layer.per_sample))  # (N, T)
        zeros += some
        everything.append(values)
        t = np.arange(values.shape[1])
        low, median, high = quantiles(values)
        colour = COLOURS[i % len(COLOURS)]
        if len(values) > 1:
            ax.fill_between(t, low, high, color=colour, alpha=0.2, linewidth=0)
        line = LINES[i % len(LINES)]
        ax.plot(t, median, line, color=colour, linewidth=1.6, marker=marker(median), markersize=4, label=name)
        span(ax, len(t))
    log(ax, "y", *everything)
    if len(flow.layers) > 1:
        legend_beside(ax)
    if zeros:
        note(ax, f"exactly 0, not drawn: {zeros} of {sum(v.size for v in everything)} entries (row, step)")
    return ax


@expected_underflow
def plot_decay(curves: Mapping[float, np.ndarray], ax: Axes | None = None, *, guides: bool = True) -> Axes:
    """‖∂L/∂h_t‖ against the lag T − 1 − t, for several spectral radii of W_hh: vanishing and exploding side by side.

    curves maps a spectral radius ρ to the norms at lag 0, 1, 2, …. The dotted guides are ρ^lag, the rate of a network
    without tanh: the factors 1 − h² ≤ 1 of tanh keep a real one from exploding as fast. A curve ends where it
    becomes exactly 0, or overflows, with a note. Returns the axes.
    """
    if not curves:
        raise ValueError("no curves to draw")
    ax = axes(ax)
    title = r"Vanishing and exploding: spectral radius $\rho$ of $W_{hh}$"
    style(ax, title, r"lag $T - 1 - t$  (steps back from the loss)", PER_SAMPLE)
    integers(ax.xaxis)
    ends, zeros, overflows = [], False, False
    values = {radius: positive(curve)[0] for radius, curve in curves.items()}
    for (radius, curve), colour in zip(sorted(values.items()), around_one(sorted(values)), strict=True):
        lags = np.arange(len(curve))
        ax.plot(lags, curve, color=colour, linewidth=1.8, marker=marker(curve), markersize=4)
        span(ax, len(curve))
        drawn = np.flatnonzero(np.isfinite(curve))
        zeros |= bool((to_numpy(curves[radius]) == 0).any())
        overflows |= not np.isfinite(to_numpy(curves[radius])).all()
        if len(drawn):
            ends.append((drawn[-1], curve[drawn[-1]], rf"$\rho$ = {radius:g}", colour))
            if guides and radius > 0:
                _guide(ax, radius, lags, curve[drawn[0]], colour)
    log(ax, "y")
    label_ends(ax, ends)
    notes = [r"dotted: $\rho^{\,\mathrm{lag}}$, the rate without tanh"] * guides
    notes += ["a curve that falls to its end is exactly 0 from there on"] * zeros
    notes += ["a curve that rises to its end overflows the float there"] * overflows
    if notes:
        note(ax, "\n".join(notes))
    return ax


def _guide(ax: Axes, radius: float, lags: np.ndarray, start: float, colour: Any) -> None:
    """ρ^lag from where the curve starts, as far as a float reaches."""
    exponent = np.log10(start) + lags * np.log10(radius)
    kept = (exponent > -307) & (exponent < 308)
    ax.plot(lags[kept], 10 ** exponent[kept], ":", color=colour, linewidth=1.0, label=GUIDE)
