"""Pictures of training and of gradients, in one restrained style.

Colours are Okabe and Ito's and viridis, which colour-blind readers and grey print keep apart. Norms are drawn on a log
scale; what is exactly 0 has no place there and is left out, with a note that says so. Every function draws into the
axes or the figure it is given. Given none it opens one with pyplot, so that a notebook shows it; pyplot is imported for
that alone, and no global setting is touched. `new_figure` makes a figure to be saved without pyplot or a screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from .backends.arrays import to_numpy
from .plot_style import (
    BLUE,
    GREEN,
    GREY,
    GUIDE,
    ORANGE,
    VERMILLION,
    around_one,
    colour_limits,
    decades,
    integers,
    label_ends,
    log,
    marker,
    note,
    positive,
    quantiles,
    span,
    style,
)

if TYPE_CHECKING:
    from .gradients.flow import Flow
    from .history import History

NORM = r"$N\,\Vert\partial L/\partial h_t\Vert$"
PER_SAMPLE = rf"{NORM}  (per sample)"


def new_figure(width: float = 7.0, height: float = 4.0) -> Figure:
    """An empty figure of that size in inches, independent of pyplot: save it with `figure.savefig(path)`."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def plot_loss(history: History, ax: Axes | None = None, *, validation: str = "validation") -> Axes:
    """The loss per epoch, and the validation loss under the name given, on a log scale. Returns the axes.

    Raises ValueError before the first epoch has finished.
    """
    if not history.loss:
        raise ValueError("no epoch has finished yet, so there is no loss to draw")
    ax = _axes(ax)
    style(ax, "Loss", "epoch", "loss")
    integers(ax.xaxis)
    curves = {"training": (history.loss, BLUE, "-"), validation: (history.val_loss, VERMILLION, "--")}
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


def plot_flow(flow: Flow, ax: Axes | None = None) -> Axes:
    """‖∂L/∂h_t‖ of each row, freed of the batch's 1/N, against the time step: median over rows and their whole range.

    One curve per recurrent layer. Rows whose derivative is exactly 0 at a step are left out there, with a note.
    Returns the axes.
    """
    ax = _axes(ax)
    style(ax, "Gradient flow: median over the rows, and their range", "time step $t$", PER_SAMPLE)
    integers(ax.xaxis)
    zeros, everything = 0, []
    for i, layer in enumerate(flow.layers):
        values, some = positive(to_numpy(layer.per_sample))  # (N, T)
        zeros += some
        everything.append(values)
        t = np.arange(values.shape[1])
        low, median, high = quantiles(values)
        colour = (BLUE, VERMILLION, GREEN, ORANGE)[i % 4]
        if len(values) > 1:
            ax.fill_between(t, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(t, median, color=colour, linewidth=1.6, marker=marker(median), markersize=4, label=f"layer {i}")
        span(ax, len(t))
    log(ax, "y", *everything)
    if len(flow.layers) > 1:
        ax.legend(frameon=False, title="recurrent")
    if zeros:
        note(ax, f"exactly 0, not drawn: {zeros} of {sum(v.size for v in everything)} entries (row, step)")
    return ax


def plot_gradients(history: History, fig: Figure | SubFigure | None = None, *, clip_norm: float | None = None) -> Any:
    """‖∂L/∂h_t‖ over time steps and updates as a heat map; beside it the global norm of each update before clipping.

    Both share the axis of updates. Clipped updates are marked; clip_norm, where given, draws the limit. Entries that
    are exactly 0 are grey, steps past the end of shorter sequences blank. Returns the figure.
    Raises ValueError before the first update.
    """
    if not history.grad_norm:
        raise ValueError("no update has been made yet, so there is no gradient to draw")
    fig = _figure(fig)
    if not len(history.flow):
        _norm_per_update(history, fig.subplots(), clip_norm)
        return fig
    left, right = fig.subplots(1, 2, sharey=True, width_ratios=[2.2, 1])
    _norm_per_update(history, right, clip_norm)
    _flow_map(history, left, fig)
    if legend := right.get_legend():
        legend.set_in_layout(False)  # its place is beside the colour bar
    right.set_ylabel("")
    return fig


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
    fig = _figure(fig)
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


def plot_decay(curves: Mapping[float, np.ndarray], ax: Axes | None = None, *, guides: bool = True) -> Axes:
    """‖∂L/∂h_t‖ against the lag T − 1 − t, for several spectral radii of W_hh: vanishing and exploding side by side.

    curves maps a spectral radius ρ to the norms at lag 0, 1, 2, …. The dotted guides are ρ^lag, the rate of a network
    without tanh: the factors 1 − h² ≤ 1 of tanh keep a real one from exploding as fast. A curve that becomes exactly 0
    ends there, with a note. Returns the axes.
    """
    if not curves:
        raise ValueError("no curves to draw")
    ax = _axes(ax)
    title = r"Vanishing and exploding: spectral radius $\rho$ of $W_{hh}$"
    style(ax, title, r"lag $T - 1 - t$  (steps back from the loss)", PER_SAMPLE)
    integers(ax.xaxis)
    ends, zeros = [], False
    values = {radius: positive(curve)[0] for radius, curve in curves.items()}
    for (radius, curve), colour in zip(sorted(values.items()), around_one(sorted(values)), strict=True):
        lags = np.arange(len(curve))
        ax.plot(lags, curve, color=colour, linewidth=1.8, marker=marker(curve), markersize=4)
        span(ax, len(curve))
        drawn = np.flatnonzero(np.isfinite(curve))
        zeros |= len(drawn) < len(curve)
        if len(drawn):
            ends.append((drawn[-1], curve[drawn[-1]], rf"$\rho$ = {radius:g}", colour))
            if guides and radius > 0:
                _guide(ax, radius, lags, curve[drawn[0]], colour)
    log(ax, "y")
    label_ends(ax, ends)
    notes = [r"dotted: $\rho^{\,\mathrm{lag}}$, the rate without tanh"] * guides
    notes += ["a curve that ends early is exactly 0 from there on"] * zeros
    if notes:
        note(ax, "\n".join(notes))
    return ax


def _axes(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure that pyplot shows."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(7, 4), layout="constrained")[1]


def _figure(fig: Figure | SubFigure | None) -> Figure | SubFigure:
    """The given figure, or a new one that pyplot shows."""
    if fig is not None:
        return fig
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(9, 5), layout="constrained")


def _guide(ax: Axes, radius: float, lags: np.ndarray, start: float, colour: Any) -> None:
    """ρ^lag from where the curve starts, as far as a float reaches."""
    exponent = np.log10(start) + lags * np.log10(radius)
    kept = (exponent > -307) & (exponent < 308)
    ax.plot(lags[kept], 10 ** exponent[kept], ":", color=colour, linewidth=1.0, label=GUIDE)


def _flow_map(history: History, ax: Axes, fig: Figure | SubFigure) -> None:
    """The heat map of ‖∂L/∂h_t‖ per sample, with its colour bar."""
    table, updates = history.flow.per_sample, history.flow.updates
    values, _ = positive(table)
    style(ax, "Gradient at each time step", "time step $t$", "update", grid=False)
    half = 0.5 if len(updates) == 1 else (updates[1] - updates[0]) / 2
    extent = (-0.5, table.shape[1] - 0.5, updates[0] - half, updates[-1] + half)
    placing: dict[str, Any] = {"extent": extent, "origin": "lower", "aspect": "auto", "interpolation": "nearest"}
    if (table == 0).any():
        ax.imshow(np.ma.masked_not_equal(table, 0), cmap=ListedColormap(["#bbbbbb"]), **placing)
        note(ax, "grey: exactly 0")
    low, high, extend = colour_limits(values)
    image = ax.imshow(np.ma.masked_invalid(values), cmap="viridis", norm=LogNorm(low, high), **placing)
    ax.set_ylim(extent[2:])
    integers(ax.xaxis)
    integers(ax.yaxis)
    if np.isfinite(values).any():
        bar = fig.colorbar(image, ax=ax, location="bottom", label=PER_SAMPLE, aspect=40, pad=0.02, extend=extend)
        decades(bar.ax.xaxis, np.log10(high) - np.log10(low), numticks=8)


def _norm_per_update(history: History, ax: Axes, clip_norm: float | None) -> None:
    """The global norm of each update on a log scale, updates upwards."""
    style(ax, "Norm before clipping", r"global norm $\Vert g\Vert$", "update")
    norms, zeros = positive(history.grad_norm)
    updates = np.arange(1, len(norms) + 1)
    clipped = np.array(history.clipped, dtype=bool)
    ax.plot(norms, updates, color=BLUE, linewidth=0.8, marker=marker(norms), markersize=4)
    if clipped.any():
        label = f"clipped: {clipped.mean():.0%} of the updates"
        ax.plot(norms[clipped], updates[clipped], ".", color=VERMILLION, markersize=3, label=label)
    if clip_norm is not None:
        ax.axvline(clip_norm, color=VERMILLION, linewidth=1.2, linestyle="--", label=f"limit {clip_norm:g}")
    if zeros:
        ax.plot([], [], " ", label=f"exactly 0, not drawn: {zeros}")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.16), borderaxespad=0)
    log(ax, "x")
    integers(ax.yaxis)
