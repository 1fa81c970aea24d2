"""How the pictures of this package look: figures, colours, labels, log axes that survive 1e±300, notes."""

from __future__ import annotations

from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"  # Okabe and Ito 2008
SKY, PURPLE = "#56B4E9", "#CC79A7"
GREY = "#777777"
COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, "#000000")  # of curves, in order
LINES = ("-", "--", "-.", ":")  # of curves, in order: what grey print keeps apart
GUIDE = "_guide"  # label of a line that the limits of an axis pass over; the underscore keeps it out of a legend
NORM = r"$N\,\Vert\partial L/\partial h_t\Vert$"
PER_SAMPLE = rf"{NORM}  (per sample)"


def new_figure(width: float = 7.0, height: float = 4.0) -> Figure:
    """An empty figure of that size in inches, independent of pyplot: save it with `figure.savefig(path)`."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def axes(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure that pyplot shows."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(7, 4), layout="constrained")[1]


def figure(fig: Figure | SubFigure | None, width: float = 9, height: float = 5) -> Figure | SubFigure:
    """The given figure, or a new one of that size in inches, which pyplot shows."""
    if fig is not None:
        return fig
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height), layout="constrained")


def style(ax: Axes, title: str, xlabel: str, ylabel: str, grid: bool = True) -> None:
    """Title at the left, labels, no frame at the top and the right, a faint grid."""
    ax.set_title(title, loc="left", fontsize="large")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    if grid:
        ax.grid(True, color=GREY, alpha=0.25, linewidth=0.6)
        ax.set_axisbelow(True)


def positive(values: Any) -> tuple[np.ndarray, int]:
    """The values with NaN where a log scale has no place for them, and how many of them were exactly 0.

    No place is at 0, at infinity, and above 1e300, where matplotlib's own arithmetic overflows.
    """
    values = np.asarray(values, dtype=float)
    return np.where((values > 0) & (values < 1e300), values, np.nan), int((values == 0).sum())


def quantiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least, middle and greatest of each column (N, T) → three (T,), passing over NaN; NaN where nothing is left."""
    ordered = np.sort(values, axis=0)  # NaN last
    count = np.isfinite(values).sum(axis=0)  # (T,)
    columns = np.arange(values.shape[1])
    last = np.maximum(count - 1, 0)
    middle = np.sqrt(ordered[last // 2, columns]) * np.sqrt(ordered[(last + 1) // 2, columns])  # geometric: log scale
    return ordered[0], middle, ordered[last, columns]


def marker(values: Any) -> str:
    """A dot for values that no line would show: a single one."""
    return "o" if np.isfinite(values).sum() == 1 else ""


class Decades(LogLocator):
    """Powers of ten, few however wide the range, and none that a float cannot hold."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Of matplotlib's ticks those that exist."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            ticks = np.asarray(super().tick_values(vmin, vmax))
        return ticks[(ticks > 0) & np.isfinite(ticks)]


def log(ax: Axes, which: Literal["x", "y"], *more: np.ndarray) -> None:
    """A log scale on one axis that holds every line but the guides, and `more`.

    Set by hand: matplotlib's own margin overflows where a gradient explodes to 1e300.
    """
    lines = [line for line in ax.lines if line.get_label() != GUIDE]
    values = [np.asarray(line.get_xdata() if which == "x" else line.get_ydata(), float) for line in lines]
    everything = np.concatenate([v.reshape(-1) for v in (*values, *more)])
    finite = everything[np.isfinite(everything) & (everything > 0)]
    low, high = (np.log10(finite.min()), np.log10(finite.max())) if len(finite) else (-1.0, 1.0)
    margin = max(0.05 * (high - low), 0.03)
    limits = 10 ** max(low - margin, -307.0), 10 ** min(high + margin, 308.0)
    (ax.set_xlim if which == "x" else ax.set_ylim)(limits)
    (ax.set_xscale if which == "x" else ax.set_yscale)("log")
    decades(ax.xaxis if which == "x" else ax.yaxis, high - low, numticks=5 if which == "x" else 8)


def decades(axis: Any, width: float, numticks: int) -> None:
    """Ticks of a log axis that is `width` decades wide: powers of ten, or plain numbers where those are few."""
    axis.set_minor_formatter(NullFormatter())
    if width > 2:
        axis.set_major_locator(Decades(numticks=numticks))
        if width > 8:
            axis.set_minor_locator(NullLocator())
        return
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)) if width > 0.6 else MaxNLocator(4, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda value, _: f"{value:g}")


def span(ax: Axes, n: int, start: int = 0) -> None:
    """Let the x axis show the n numbers from `start`, also where nothing is drawn."""
    ax.update_datalim([(start, 1), (start + n - 1, 1)], updatey=False)
    ax.autoscale_view(scaley=False)


def integers(axis: Any) -> None:
    """Ticks at whole numbers, as steps, epochs and updates are."""
    axis.set_major_locator(MaxNLocator(integer=True, nbins="auto", steps=[1, 2, 5, 10], min_n_ticks=1))


def percent(ax: Axes, fractions: np.ndarray) -> None:
    """A y axis in percent that holds these fractions, from 0 to a tenth at least."""
    highest = fractions[np.isfinite(fractions)].max(initial=0.0)
    ax.set_ylim(-0.04 * max(highest, 0.1), max(1.1 * highest, 0.1))
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")


def colour_limits(
    values: np.ndarray, peak: bool = False
) -> tuple[float, float, Literal["neither", "min", "max", "both"]]:
    """The range of all finite values but the outermost 0.5 % at each end, and at which ends it leaves any out.

    With `peak` the greatest value is inside.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.5, 2.0, "neither"
    low, high = np.quantile(finite, (0.005, 1.0 if peak else 0.995), method="nearest")
    if np.log(high) - np.log(low) < 0.01:
        low, high = low / 2, high * 2
    low, high = np.clip((low, high), 1e-200, 1e200)  # matplotlib's colour bar reckons with high · (high / low)
    low = max(low, high / 1e100)
    below, above = finite.min() < low, finite.max() > high
    return low, high, "both" if below and above else "min" if below else "max" if above else "neither"


def around_one(radii: list[float]) -> list[Any]:
    """Colours of sorted spectral radii: blue below 1, grey at 1, red above, stronger further away."""
    below, above = [r for r in radii if r < 1], [r for r in radii if r > 1]
    blues = mpl.colormaps["Blues"](np.linspace(0.95, 0.65, len(below)))
    reds = mpl.colormaps["Oranges"](np.linspace(0.55, 0.95, len(above)))
    return [*blues, *[GREY] * (len(radii) - len(below) - len(above)), *reds]


def label_ends(ax: Axes, ends: list[tuple[int, float, str, Any]]) -> None:
    """Write each curve's name at its end, pushed apart where they would overlap; thin lines lead to those moved."""
    low, high = np.log10(ax.get_ylim())
    ends = sorted(ends, key=lambda end: end[1])
    line = min(0.18 * ax.figure.get_figure(root=True).dpi / ax.bbox.height, 1 / max(len(ends), 1))  # height of a name
    own = [float(np.clip((np.log10(end[1]) - low) / (high - low), 0, 1)) for end in ends]  # as fractions of the axes
    free, ceiling, places = 0.0, 1.0 - line * max(len(ends) - 0.5, 0), []  # the highest clear of the title
    for i, place in enumerate(own):
        places.append(max(free, min(place, ceiling + line * i)))  # leave room for those above
        free = places[-1] + line
    moved = np.abs(np.subtract(places, own)) > line / 2
    gap = 14 if moved.any() else 6
    for (lag, _, text, colour), at, height, leads in zip(ends, own, places, moved, strict=True):
        if leads:
            _lead(ax, (lag, at), (lag, height), gap - 2, colour)
        ax.annotate(
            text,
            (lag, height),
            xycoords=ax.get_xaxis_transform(),
            xytext=(gap, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            annotation_clip=False,
        )


def _lead(ax: Axes, start: tuple[float, float], end: tuple[float, float], gap: float, colour: Any) -> None:
    """A thin line from a place (data, fraction of the axes) to another, `gap` points to the right of it."""
    place = ax.get_xaxis_transform()
    moved = place + ScaledTranslation(gap / 72, 0, ax.figure.dpi_scale_trans)
    line = ConnectionPatch(start, end, place, moved, color=colour, linewidth=0.7, clip_on=False)
    line.set_in_layout(False)
    ax.add_artist(line)


def legend_beside(ax: Axes) -> None:
    """A legend to the right of the axes, where no curve is."""
    many = len(ax.get_legend_handles_labels()[0]) > 8
    look: dict[str, Any] = {"fontsize": "x-small", "labelspacing": 0.2} if many else {"fontsize": "small"}
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.6, **look)


def note(ax: Axes, text: str) -> None:
    """A line below the label of the x axis, where no curve is."""
    ax.set_xlabel(f"{ax.get_xlabel()}\n{text}")
