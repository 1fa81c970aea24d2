"""Pictures of a training run: losses, gradients over updates, predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from .._arrays import to_numpy
from .._numerics import expected_underflow
from .heat import heat_map
from .protocols import HistoryLike
from .style import BLUE, GREY, PER_SAMPLE, VERMILLION, axes, figure, integers, log, marker, note, positive, style
from .tracked import tracked_panels

WIDTH, HEIGHT, ROW = 9.0, 5.0, 2.8  # inches: of the two upper panels, and of a row of those below


@expected_underflow
def plot_loss(history: HistoryLike, ax: Axes | None = None) -> Axes:
    """The loss per epoch, and the validation loss, on a log scale. Returns the axes.

    Raises ValueError before the first epoch has finished.
    """
    if not history.loss:
        raise ValueError("no epoch has finished yet, so there is no loss to draw")
    ax = axes(ax)
    style(ax, "Loss", "epoch", "loss")
    integers(ax.xaxis)
    curves = {"training": (history.loss, BLUE, "-"), "validation": (history.val_loss, VERMILLION, "--")}
    drawn = {name: curve for name, curve in curves.items() if len(curve[0])}
    zeros = 0
    for name, (losses, colour, line) in drawn.items():
        values, some = positive(losses)
        zeros += some
        epochs = np.arange(1, len(values) + 1)
        ax.plot(epochs, values, line, color=colour, label=name, linewidth=1.6, marker=marker(values), markersize=4)
    log(ax, "y")
    if len(drawn) > 1:
        ax.legend(frameon=False)
    if zeros:
        note(ax, f"{zeros} losses of exactly 0 are not drawn")
    return ax


@expected_underflow
def plot_gradients(
    history: HistoryLike, fig: Figure | SubFigure | None = None, *, clip_norm: float | None = None
) -> Any:
    """‖∂L/∂h_t‖ over time steps and updates as a heat map; beside it the global norm of each update before clipping.

    Both share the axis of updates. Clipped updates are marked; clip_norm, where given, draws the limit. Entries that
    are exactly 0 are grey, steps past the end of shorter sequences blank. Below them stands what else was tracked:
    every layer where there are several, and of `fit(track="all")` saturated units, the gradient of each tensor, and the
    size of a step beside it, two panels to a row. A figure that is given wants `gradients_size` inches. Returns the
    figure.
    Raises ValueError before the first update.
    """
    if not history.grad_norm:
        raise ValueError("no update has been made yet, so there is no gradient to draw")
    panels = tracked_panels(history.flow)
    width, height = gradients_size(history)
    fig = figure(fig, width, height)
    if not len(history.flow):
        ax = fig.subplots()
        _norm_per_update(history, ax, clip_norm)
        note(ax, "no norms over time: fit(track=None) records none")
        return fig
    upper = fig
    if panels:
        parts = fig.add_gridspec(2, 1, height_ratios=[HEIGHT, height - HEIGHT])
        upper, lower = fig.add_subfigure(parts[0]), fig.add_subfigure(parts[1])
        grid = lower.add_gridspec((len(panels) + 1) // 2, 2)
        for i, draw in enumerate(panels):
            draw(lower.add_subplot(grid[i // 2, i % 2]))
    left, right = upper.subplots(1, 2, sharey=True, width_ratios=[2.2, 1])
    _norm_per_update(history, right, clip_norm)
    _flow_map(history, left)
    if legend := right.get_legend():
        legend.set_in_layout(False)  # its place is beside the colour bar
    right.set_ylabel("")
    return fig


def gradients_size(history: HistoryLike) -> tuple[float, float]:
    """Width and height in inches that `plot_gradients` gives to its figure."""
    return WIDTH, HEIGHT + ROW * ((len(tracked_panels(history.flow)) + 1) // 2)


@expected_underflow
def plot_prediction(
    wave: np.ndarray, prediction: np.ndarray, fig: Figure | SubFigure | None = None, *, context: int | None = None
) -> Any:
    """A series and the prediction of its last points, above the error of each prediction. Returns the figure.

    wave (points,) is the whole series, prediction (n,) that of its last n points; `context` points before them are
    drawn as well (None: a third as many).
    """
    wave, prediction = np.ravel(to_numpy(wave)), np.ravel(to_numpy(prediction))
    n, points = len(prediction), len(wave)
    if not 0 < n <= points:
        raise ValueError(f"a series of {points} points cannot have {n} predicted ones")
    fig = figure(fig)
    top, bottom = fig.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    split = points - n
    start = max(split - (n // 3 if context is None else context), 0)
    i = np.arange(points)
    error = prediction - wave[split:]

    style(top, "", "", "value")
    top.plot(i[start : split + 1], wave[start : split + 1], color=GREY, linewidth=1.6, label="training part")
    top.plot(i[split:], wave[split:], color=BLUE, linewidth=2.6, alpha=0.55, label="test part")
    top.plot(i[split:], prediction, "--", color=VERMILLION, linewidth=1.6, label="prediction, one step ahead")
    top.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, borderaxespad=0.4)
    top.yaxis.set_major_locator(MaxNLocator(5))
    style(bottom, "", "time step $i$", "prediction − value")
    bottom.axhline(0, color=GREY, linewidth=0.8)
    bottom.plot(i[split:], error, color=VERMILLION, linewidth=1.2)
    bottom.yaxis.set_major_locator(MaxNLocator(4))
    bottom.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=True)
    return fig


def _flow_map(history: HistoryLike, ax: Axes) -> None:
    """The heat map of ‖∂L/∂h_t‖ per sample, with its colour bar."""
    table, updates = history.flow.per_sample, history.flow.updates
    style(ax, "Gradient at each time step", "time step $t$", "update", grid=False)
    half = 0.5 if len(updates) == 1 else (updates[1] - updates[0]) / 2
    extent = (-0.5, table.shape[1] - 0.5, updates[0] - half, updates[-1] + half)
    heat_map(ax, table, PER_SAMPLE, extent=extent, origin="lower", bar="bottom")
    ax.set_ylim(extent[2:])
    integers(ax.xaxis)
    integers(ax.yaxis)


def _norm_per_update(history: HistoryLike, ax: Axes, clip_norm: float | None) -> None:
    """The global norm of each update on a log scale, updates upwards."""
    clipped = np.array(history.clipped, dtype=bool)
    limited = clip_norm is not None or clipped.any()
    style(ax, "Norm before clipping" if limited else "Gradient norm", r"global norm $\Vert g\Vert$", "update")
    norms, zeros = positive(history.grad_norm)
    updates = np.arange(1, len(norms) + 1)
    ax.plot(norms, updates, color=BLUE, linewidth=0.8, marker=marker(norms), markersize=4)
    if clipped.any():
        label = f"clipped: {clipped.sum():,} of {len(clipped):,} ({clipped.mean():.0%})"
        ax.plot(norms[clipped], updates[clipped], ".", color=VERMILLION, markersize=3, label=label)
    if clip_norm is not None:
        ax.axvline(clip_norm, color=VERMILLION, linewidth=1.2, linestyle="--", label=f"limit {clip_norm:g}")
    if zeros:
        ax.plot([], [], " ", label=f"exactly 0, not drawn: {zeros}")
    if ax.get_legend_handles_labels()[0]:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.16), "borderaxespad": 0}
        ax.legend(frameon=False, fontsize="small", handlelength=1.2, **place)
    log(ax, "x")
    integers(ax.yaxis)
