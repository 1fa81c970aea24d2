"""Pictures of training and of gradients, in one restrained style.

Colours are Okabe and Ito's and viridis, which colour-blind readers and grey print keep apart. Norms are drawn on a log
scale; what is exactly 0 has no place there and is left out, with a note that says so. Every function draws into the axes
or the figure it is given. Given none it opens one with pyplot, so that a notebook shows it; pyplot is imported for that
alone, and no global setting is touched. `new_figure` makes a figure to be saved without pyplot or a screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from .backends.arrays import to_numpy

if TYPE_CHECKING:
    from .gradients.flow import Flow
    from .history import History

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"  # Okabe and Ito 2008
GREY = "#777777"
NORM = r"$N\,\Vert\partial L/\partial h_t\Vert$"
PER_SAMPLE = rf"{NORM}  (per sample)"


def new_figure(width: float = 7.0, height: float = 4.0) -> Figure:
    """An empty figure of that size in inches, independent of pyplot: save it with `figure.savefig(path)`."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def plot_loss(history: History, ax: Axes | None = None) -> Axes:
    """The loss per epoch, and the validation loss, on a log scale. Returns the axes.

    Raises ValueError before the first epoch has finished.
    """
    if not history.loss:
        raise ValueError("no epoch has finished yet, so there is no loss to draw")
    ax = _axes(ax)
    _style(ax, "Loss", "epoch", "loss")
    _integers(ax.xaxis)
    curves = {"training": (history.loss, BLUE, "-"), "validation": (history.val_loss, VERMILLION, "--")}
    drawn = {name: curve for name, curve in curves.items() if len(curve[0])}
    zeros = 0
    for name, (losses, colour, line) in drawn.items():
        values, some = _positive(losses)
        zeros += some
        epochs = np.arange(1, len(values) + 1)
        ax.plot(epochs, values, line, color=colour, label=name, linewidth=1.6, marker=_marker(values), markersize=4)
    _log(ax, "y")
    if len(drawn) > 1:
        ax.legend(frameon=False)
    if zeros:
        _note(ax, f"{zeros} losses of exactly 0 are not drawn")
    return ax


def plot_flow(flow: Flow, ax: Axes | None = None) -> Axes:
    """‖∂L/∂h_t‖ of each row, freed of the batch's 1/N, against the time step: median over rows and their whole range.

    One curve per recurrent layer. Rows whose derivative is exactly 0 at a step are left out there, with a note.
    Returns the axes.
    """
    ax = _axes(ax)
    _style(ax, "Gradient flow: median over the rows, and their range", "time step $t$", PER_SAMPLE)
    _integers(ax.xaxis)
    zeros = entries = 0
    for i, layer in enumerate(flow.layers):
        values, some = _positive(to_numpy(layer.per_sample))  # (N, T)
        zeros, entries = zeros + some, entries + values.size
        t = np.arange(values.shape[1])
        low, median, high = _quantiles(values)
        colour = (BLUE, VERMILLION, GREEN, ORANGE)[i % 4]
        if len(values) > 1:
            ax.fill_between(t, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(t, median, color=colour, linewidth=1.6, marker=_marker(median), markersize=4, label=f"recurrent layer {i}")
    _log(ax, "y")
    if len(flow.layers) > 1:
        ax.legend(frameon=False)
    if zeros:
        _note(ax, f"exactly 0, not drawn: {zeros / entries:.0%} of the entries (row, step)")
    return ax


def plot_gradients(history: History, fig: Figure | SubFigure | None = None, *, clip_norm: float | None = None) -> Any:
    """‖∂L/∂h_t‖ over time steps and updates as a heat map; beside it the global norm of each update before clipping.

    Both share the axis of updates. Clipped updates are marked; clip_norm, where given, draws the limit. Entries that
    are exactly 0 are grey, steps past the end of shorter sequences blank. Returns the figure.
    Raises ValueError before the first update.
    """
    if not history.grad_norm:
        raise ValueError("no update has been made yet, so there is no gradient to draw")
    if fig is None:
        import matplotlib.pyplot as plt

        fig = plt.figure(figsize=(9, 5), layout="constrained")
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

    wave (points,) is the whole series, prediction (n,) that of its last n points; `context` points before them are drawn
    as well (None: a third as many).
    """
    wave, prediction = np.ravel(to_numpy(wave)), np.ravel(to_numpy(prediction))
    n, points = len(prediction), len(wave)
    if not 0 < n <= points:
        raise ValueError(f"a series of {points} points cannot have {n} predicted ones")
    if fig is None:
        import matplotlib.pyplot as plt

        fig = plt.figure(figsize=(9, 5), layout="constrained")
    top, bottom = fig.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    split = points - n
    start = max(split - (n // 3 if context is None else context), 0)
    i = np.arange(points)
    error = prediction - wave[split:]

    _style(top, "", "", "value")
    top.plot(i[start : split + 1], wave[start : split + 1], color=GREY, linewidth=1.6, label="training part")
    top.plot(i[split:], wave[split:], color=BLUE, linewidth=2.6, alpha=0.55, label="test part")
    top.plot(i[split:], prediction, "--", color=VERMILLION, linewidth=1.6, label="prediction, one step ahead")
    top.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, borderaxespad=0.4)
    top.yaxis.set_major_locator(MaxNLocator(5))
    _style(bottom, "", "time step $i$", "prediction − value")
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
    _style(ax, title, r"lag $T - 1 - t$  (steps back from the loss)", PER_SAMPLE)
    _integers(ax.xaxis)
    ends, zeros = [], False
    values = {radius: _positive(curve)[0] for radius, curve in curves.items()}
    for (radius, curve), colour in zip(sorted(values.items()), _around_one(sorted(values)), strict=True):
        lags = np.arange(len(curve))
        ax.plot(lags, curve, color=colour, linewidth=1.8, marker=_marker(curve), markersize=4)
        drawn = np.flatnonzero(np.isfinite(curve))
        zeros |= len(drawn) < len(curve)
        if len(drawn):
            ends.append((drawn[-1], curve[drawn[-1]], rf"$\rho$ = {radius:g}", colour))
            if guides and radius > 0:
                ax.plot(lags, curve[drawn[0]] * radius ** (lags - float(drawn[0])), ":", color=colour, linewidth=1.0)
    _limits_of(ax, values.values())
    _label_ends(ax, ends)
    notes = [r"dotted: $\rho^{\,\mathrm{lag}}$, the rate without tanh"] * guides
    notes += ["a curve that ends early is exactly 0 from there on"] * zeros
    if notes:
        _note(ax, "\n".join(notes))
    return ax


def _flow_map(history: History, ax: Axes, fig: Figure | SubFigure) -> None:
    """The heat map of ‖∂L/∂h_t‖ per sample, with its colour bar."""
    table, updates = history.flow.per_sample, history.flow.updates
    values, _ = _positive(table)
    _style(ax, "Gradient at each time step", "time step $t$", "update", grid=False)
    half = 0.5 if len(updates) == 1 else (updates[1] - updates[0]) / 2
    extent = (-0.5, table.shape[1] - 0.5, updates[0] - half, updates[-1] + half)
    if (table == 0).any():
        zero = mpl.colors.ListedColormap(["#bbbbbb"])
        ax.imshow(
            np.ma.masked_not_equal(table, 0),
            cmap=zero,
            extent=extent,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
        )
        ax.set_xlabel("time step $t$   (grey: exactly 0)")
    norm, extend = _log_norm(values)
    image = ax.imshow(
        np.ma.masked_invalid(values),
        cmap="viridis",
        norm=norm,
        extent=extent,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
    )
    ax.set_ylim(extent[2:])
    _integers(ax.xaxis)
    _integers(ax.yaxis)
    if np.isfinite(values).any():
        fig.colorbar(image, ax=ax, location="bottom", label=PER_SAMPLE, aspect=40, pad=0.02, extend=extend)


def _norm_per_update(history: History, ax: Axes, clip_norm: float | None) -> None:
    """The global norm of each update on a log scale, updates upwards."""
    _style(ax, "Norm before clipping", r"global norm $\Vert g\Vert$", "update")
    norms, zeros = _positive(history.grad_norm)
    updates = np.arange(1, len(norms) + 1)
    clipped = np.array(history.clipped, dtype=bool)
    ax.plot(norms, updates, color=BLUE, linewidth=0.8, marker=_marker(norms), markersize=4)
    if clipped.any():
        label = f"clipped: {clipped.mean():.0%} of the updates"
        ax.plot(norms[clipped], updates[clipped], ".", color=VERMILLION, markersize=3, label=label)
    if clip_norm is not None:
        ax.axvline(clip_norm, color=VERMILLION, linewidth=1.2, linestyle="--", label=f"limit {clip_norm:g}")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.16), borderaxespad=0)
    _log(ax, "x")
    _integers(ax.yaxis)
    if zeros:
        _note(ax, f"exactly 0, not drawn: {zeros} updates")


def _axes(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure that pyplot shows."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(7, 4), layout="constrained")[1]


def _style(ax: Axes, title: str, xlabel: str, ylabel: str, grid: bool = True) -> None:
    ax.set_title(title, loc="left", fontsize="large")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(True, color=GREY, alpha=0.25, linewidth=0.6)
        ax.set_axisbelow(True)


def _positive(values: Any) -> tuple[np.ndarray, int]:
    """The values with NaN where a log scale has no place for them, and how many of them were exactly 0."""
    values = np.asarray(values, dtype=float)
    return np.where((values > 0) & (values < np.inf), values, np.nan), int((values == 0).sum())


def _quantiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least, middle and greatest of each column (N, T) → three (T,), passing over NaN; NaN where nothing is left."""
    ordered = np.sort(values, axis=0)  # NaN last
    count = np.isfinite(values).sum(axis=0)  # (T,)
    columns = np.arange(values.shape[1])
    last = np.maximum(count - 1, 0)
    middle = np.sqrt(ordered[last // 2, columns] * ordered[(last + 1) // 2, columns])  # of an even number: between two
    return ordered[0], middle, ordered[last, columns]


def _marker(values: Any) -> str:
    """A dot for values that no line would show: a single one."""
    return "o" if np.isfinite(values).sum() == 1 else ""


def _log(ax: Axes, which: str) -> None:
    """A log scale on one axis, with labels at a few powers of ten however many decades there are."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    (ax.set_xscale if which == "x" else ax.set_yscale)("log")
    axis.set_major_locator(LogLocator(numticks=8 if which == "y" else 5))
    low, high = ax.get_xlim() if which == "x" else ax.get_ylim()
    if high / low > 1e3:
        axis.set_minor_formatter(NullFormatter())


def _integers(axis: Any) -> None:
    axis.set_major_locator(MaxNLocator(integer=True, nbins="auto", steps=[1, 2, 5, 10], min_n_ticks=1))


def _log_norm(values: np.ndarray) -> tuple[LogNorm, Literal["neither", "min", "max", "both"]]:
    """A log colour scale over all but the outermost 0.5 % at each end, and at which ends it leaves any out."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return LogNorm(0.5, 2.0), "neither"
    low, high = np.quantile(finite, (0.005, 0.995))
    if high / low < 1.01:
        low, high = low / 2, high * 2
    below, above = finite.min() < low, finite.max() > high
    return LogNorm(low, high), "both" if below and above else "min" if below else "max" if above else "neither"


def _limits_of(ax: Axes, curves: Any) -> None:
    """A log y axis that holds the curves, whatever the guides do."""
    finite = np.concatenate([curve[np.isfinite(curve)] for curve in curves])
    if len(finite):
        low, high = np.log10(finite.min()), np.log10(finite.max())
        margin = max(0.05 * (high - low), 0.3)
        ax.set_ylim(10 ** max(low - margin, -307), 10 ** min(high + margin, 307))
    _log(ax, "y")


def _around_one(radii: list[float]) -> list[Any]:
    """Colours of sorted spectral radii: blue below 1, grey at 1, red above, stronger further away."""
    below, above = [r for r in radii if r < 1], [r for r in radii if r > 1]
    blues = mpl.colormaps["Blues"](np.linspace(0.95, 0.5, len(below)))
    reds = mpl.colormaps["Oranges"](np.linspace(0.5, 0.9, len(above)))
    return [*blues, *[GREY] * (len(radii) - len(below) - len(above)), *reds]


def _label_ends(ax: Axes, ends: list[tuple[int, float, str, Any]]) -> None:
    """Write each curve's name at its end, pushed apart where they would overlap."""
    low, high = np.log10(ax.get_ylim())
    height = 0.0  # lowest place still free, as a fraction of the axes
    for lag, value, text, colour in sorted(ends, key=lambda end: end[1]):
        height = max(height, (np.log10(value) - low) / (high - low))
        ax.annotate(
            text,
            (lag, 10 ** (low + height * (high - low))),
            xytext=(6, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            annotation_clip=False,
        )
        height += 0.06


def _note(ax: Axes, text: str) -> None:
    ax.text(0.02, 0.03, text, transform=ax.transAxes, fontsize="small", color=GREY, va="bottom")
