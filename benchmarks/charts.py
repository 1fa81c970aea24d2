"""The charts: where every side stands beside ours, and how cost grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from scratchrnn.plots.style import BLUE, GREEN, GREY, ORANGE, VERMILLION, log, style

from .sides import OURS
from .steps import MODES, measured_both_ways, ratio

# Colour and marker; either alone tells the sides apart.
LOOKS = {
    OURS: (BLUE, "|"),
    "PyTorch": (VERMILLION, "o"),
    "JAX": (GREEN, "s"),
    "Keras": (ORANGE, "D"),
    "NumPy loop": (GREY, "X"),
}


def steps(result: dict[str, Any]) -> Figure:
    """Time over ours, a panel for each mode and number of threads, a row for each workload and precision."""
    runs = result["runs"]
    threads = sorted({run["threads"] for run in runs})
    rows = list(dict.fromkeys((run["workload"], run["dtype"]) for run in runs))
    factors = [ratio(run, name) for run in runs for name in run["sides"]]
    size = 0.27 * len(rows) + 0.5
    figure = Figure(figsize=(11, 1.4 + len(threads) * (size + 0.7)), layout="constrained", dpi=120)
    panels = figure.subplots(len(threads), len(MODES), sharex=True, sharey=True, squeeze=False)
    for row, count in zip(panels, threads, strict=True):
        for ax, (mode, title) in zip(row, MODES.items(), strict=True):
            chosen = [run for run in runs if (run["threads"], run["mode"]) == (count, mode)]
            draw_factors(ax, chosen, rows)
            style(ax, f"{title}, {count} thread{'s' if count > 1 else ''}", "", "", grid=False)
            ax.set_xscale("log")
            ax.set_xlim(min(0.8, 0.85 * min(factors)), 1.2 * max(factors))
            ax.xaxis.set_major_locator(ticks(max(factors)))
            ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
            ax.xaxis.set_minor_locator(ticks(0))
    panels[0, 0].set_yticks(range(len(rows)), [f"{name} {dtype}" for name, dtype in rows])
    panels[0, 0].set_ylim(len(rows) - 0.4, -0.6)
    drawn = {name for run in runs for name in run["sides"]}
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle="", markersize=9 if name == OURS else 6, label=name)
        for name, (colour, marker) in LOOKS.items()
        if name in drawn
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False)
    lower = ", the lower of two ways of measuring" if measured_both_ways(result) else ""
    label = f"time over that of scratchrnn{lower}: right of 1× is slower"
    figure.supxlabel(f"{label} · {where(result)}", fontsize="medium")
    return figure


def draw_factors(ax: Axes, runs: list[dict[str, Any]], rows: list[tuple[str, str]]) -> None:
    """One panel."""
    ax.axvline(1, color=BLUE, linewidth=1.2)
    for y in range(len(rows)):
        ax.axhline(y, color=GREY, alpha=0.25, linewidth=0.6)
    for run in runs:
        y = rows.index((run["workload"], run["dtype"]))
        for name in run["sides"]:
            colour, marker = LOOKS[name]
            ax.plot(ratio(run, name), y, marker, color=colour, markersize=10 if name == OURS else 6, zorder=3)


def ticks(highest: float) -> Any:
    """1, 2, 5, 10, … while there is room for them; else powers of ten, none at all for 0."""
    if highest == 0:
        return NullLocator()
    return LogLocator(subs=(1, 2, 5) if highest < 60 else (1,))


def scaling(result: dict[str, Any]) -> Figure:
    """Milliseconds against T, N and H on log-log axes, slopes in the legends."""
    letters = {"T": "time steps T", "N": "rows N", "H": "hidden units H"}
    figure = Figure(figsize=(11, 4), layout="constrained", dpi=120)
    for ax, (letter, label) in zip(figure.subplots(1, len(letters), sharey=True), letters.items(), strict=True):
        for name, by_letter in result["points"].items():
            colour, marker = LOOKS[name]
            sizes, seconds = zip(*by_letter[letter], strict=True)
            marker = "o" if name == OURS else marker
            fill = "full" if name == OURS else "none"
            legend = f"{name}, slope {result['slopes'][name][letter]:.2f}"
            milliseconds = [1e3 * s for s in seconds]
            ax.plot(sizes, milliseconds, color=colour, marker=marker, fillstyle=fill, label=legend)
        style(ax, f"cost against {letter}", label, "loss_and_grads, ms" if letter == "T" else "")
        log(ax, "x")
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.legend(frameon=False)
    every = [1e3 * s for lines in result["points"].values() for points in lines.values() for _, s in points]
    ax.set_ylim(0.7 * min(every), 1.4 * max(every))
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    base = ", ".join(f"{letter} = {result['base'][letter]}" for letter in "NTDHO")
    figure.supxlabel(f"from {base}; float32, 1 thread · {where(result)}", fontsize="medium")
    return figure


def where(result: dict[str, Any]) -> str:
    """Machine and date."""
    return f"{result['processor']}, {result['cores']} cores, {result['date']}"


CHARTS: dict[str, Callable[[dict[str, Any]], Figure]] = {"steps": steps, "scaling": scaling}
