"""Pictures of what scratchrnn/papers/ measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle

from .._numerics import expected_underflow
from .protocols import RunLike, SettingLike, SurfaceLike, SweepLike
from .style import (
    BLUE,
    GREEN,
    GREY,
    GUIDE,
    VERMILLION,
    around_one,
    axes,
    figure,
    integers,
    label_ends,
    log,
    note,
    positive,
    style,
)
from .surface import plot_surface

# The runs of one setting, and the 95 % confidence interval of the share that solved the task.
Group = tuple[SettingLike, Sequence[RunLike], tuple[float, float]]


@expected_underflow
def plot_growth(curves: Mapping[float, np.ndarray], ax: Axes | None = None) -> Axes:
    """Gradient norms against the lag for several g, relative to lag 0: mean of the logarithms, spread, and g^lag.

    curves maps g to the logarithms of the norms (seeds, lags). Returns the axes.
    """
    ax = axes(ax)
    style(
        ax,
        "Gradients change by the factor $g$ per step",
        "lag  (steps back from the loss)",
        r"$\Vert\partial L/\partial h\Vert$, relative to lag 0",
    )
    integers(ax.xaxis)
    ends: list[tuple[int, float, str, Any]] = []
    for (g, many), colour in zip(sorted(curves.items()), around_one(sorted(curves)), strict=True):
        relative, lags = many - many[:, :1], np.arange(many.shape[1])
        mean, spread = relative.mean(axis=0), relative.std(axis=0)
        ax.fill_between(lags, np.exp(mean - spread), np.exp(mean + spread), color=colour, alpha=0.2, linewidth=0)
        ax.plot(lags, np.exp(mean), color=colour, linewidth=1.8)
        ax.plot(lags, g**lags, ":", color="black", linewidth=1.2, label=GUIDE)
        ends.append((int(lags[-1]), float(np.exp(mean[-1])), f"$g$ = {g:g}", colour))
    log(ax, "y")
    label_ends(ax, ends)
    note(ax, r"dotted: $g^{\,\mathrm{lag}}$; band: standard deviation over the seeds")
    return ax


@expected_underflow
def plot_wall(
    surface: SurfaceLike,
    steepest: tuple[np.ndarray, np.ndarray, np.ndarray],
    plain: np.ndarray,
    clipped: np.ndarray,
    fig: Figure | SubFigure | None = None,
) -> Any:
    """The error around two ways down, one of them clipped; beside it the norm of the gradient over the whole grid.

    steepest is w (I,), b (J,) and the largest norm (I, J) of each 4 × 4 points of the surface. plain and clipped
    (updates + 1, 2) are w and b after each update. Returns the figure.
    """
    fig = figure(fig)
    left, right = fig.subplots(1, 2, gridspec_kw={"wspace": 0.08})
    w, b, norm = surface.w, surface.b, surface.norm
    around = np.array([clipped.min(axis=0) - 0.25, clipped.max(axis=0) + 0.25]).T  # (w, b) × (from, to)
    near_w, near_b = ((values >= low) & (values <= high) for values, (low, high) in zip((w, b), around, strict=True))
    ways = {"not clipped": plain, "clipped": clipped}
    title, label = "The error, and two ways down", r"$E = (\sigma(x_T) - 0.7)^2$"
    error = surface.error[np.ix_(near_w, near_b)]
    plot_surface(w[near_w], b[near_b], error.T, left, title=title, label=label, paths=ways)
    at_w, at_b, thick = steepest
    label = r"$\Vert\nabla E\Vert$, largest of 4 × 4 points"
    plot_surface(at_w, at_b, thick.T, right, title="Its gradient: a wall", label=label)
    corner, size = around[:, 0], np.ptp(around, axis=1)
    right.add_patch(Rectangle((corner[0], corner[1]), size[0], size[1], fill=False, edgecolor="white", linewidth=1.4))
    right.annotate("left panel", tuple(corner), xytext=(2, -10), textcoords="offset points", color="white")
    i, j = np.unravel_index(norm.argmax(), norm.shape)
    right.annotate(
        rf"$\Vert\nabla E\Vert$ = {norm[i, j]:,.0f}",
        (w[i], b[j]),
        xytext=(-40, -24),
        textcoords="offset points",
        color="white",
        ha="right",
        arrowprops={"arrowstyle": "-", "color": "white"},
    )
    return fig


@expected_underflow
def plot_bifurcation(
    swept: SweepLike,
    fixed_points: tuple[np.ndarray, np.ndarray, np.ndarray],
    saddle_nodes: tuple[float, float],
    ax: Axes | None = None,
) -> Axes:
    """Where the state ends against b, from below and from above, over the exact fixed points.

    fixed_points is x (M,), the b (M,) that makes each x a fixed point, and the slope (M,) there. saddle_nodes is the
    two b at which an attractor vanishes, the smaller one first. Returns the axes.
    """
    ax = axes(ax)
    title = f"One unit, $w$ = {swept.w:g}: two attractors between two saddle-nodes"
    style(ax, title, "$b$", r"state $x$ after many steps")
    x, b, slope = fixed_points
    ax.plot(b, np.where(slope > 1, x, np.nan), ":", color=GREY, linewidth=1.6, label="repelling fixed point")
    ax.plot(b, np.where(slope <= 1, x, np.nan), color=GREY, linewidth=4.5, alpha=0.4, label="attracting, exact")
    for values, colour, line, start in ((swept.high, VERMILLION, "--", "10"), (swept.low, BLUE, "-", "−10")):
        ax.plot(swept.b, values, line, color=colour, linewidth=1.5, label=f"run from $x$ = {start}")
    for place, side in zip(saddle_nodes, ("right", "left"), strict=True):
        ax.axvline(place, color=GREY, linewidth=0.8)
        at = (-4 if side == "right" else 4, 4)
        text = f"{place:.5f}".replace("-", "−")
        ax.annotate(
            text,
            (place, 0),
            xycoords=ax.get_xaxis_transform(),
            xytext=at,
            textcoords="offset points",
            ha=side,
            fontsize="small",
        )
    ax.set_xlim(swept.b[0], swept.b[-1])
    ax.legend(frameon=False, fontsize="small", loc="center left", borderaxespad=0)
    return ax


@expected_underflow
def plot_temporal_order(groups: Sequence[Group], fig: Figure | SubFigure | None = None) -> Any:
    """Success with confidence intervals, and beside it the norms of every run, solved or not. Returns the figure.

    A row for each length, spread and rate; columns: the share of runs that solved the task, the global norm over
    updates without and with clipping (the largest of each 250 updates, before clipping), and ‖∂L/∂h_t‖ at the end.
    groups has, for each setting, its runs and the 95 % confidence interval of their share.
    """
    fig = figure(fig)
    rows: dict[Any, list[Group]] = {}
    for group in groups:
        setting = group[0]
        rows.setdefault((setting.length, setting.std, setting.rate), []).append(group)
    table = fig.subplots(len(rows), 4, squeeze=False, width_ratios=[0.7, 1, 1, 1])
    for (success, *norms, flow), pair in zip(table, rows.values(), strict=True):
        first = pair[0][0]
        _success(success, pair)
        success.set_ylabel(f"$L$ = {first.length}, std {first.std:g}, rate {first.rate:g}\nshare solved")
        style(flow, "", "time step $t$", r"$\Vert\partial L/\partial h_t\Vert$ at the end")
        for ax, (setting, runs, _) in zip(norms, pair, strict=False):
            style(ax, "", "thousand updates", r"global norm, largest of 250" if ax is norms[0] else "")
            _norms(ax, runs, setting)
            for run in runs:
                flow.plot(positive(run.flow)[0], _line(setting), color=_colour(run), linewidth=1.0, alpha=0.8)
        log(flow, "y")
        limits = [ax.get_ylim() for ax in norms[: len(pair)]]
        for ax in norms[: len(pair)]:
            ax.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    titles = (
        "Share solved",
        "Norm, no clipping",
        "Norm, clipping",
        "Flow at the end",
    )
    for ax, title in zip(table[0], titles, strict=True):
        ax.set_title(title, loc="left", fontsize="large")
    note(table[-1][0], "● here, 95 %\n× a plain loop,\nseen before")
    note(table[-1][1], "blue: solved; orange: failed\ndotted: the limit 1")
    note(table[-1][3], "solid: clipping; dashed: none")
    return fig


def _success(ax: Axes, groups: Sequence[Group]) -> None:
    """The share of each of two settings, and what was seen."""
    style(ax, "", "", "")
    names = []
    for i, (setting, runs, interval) in enumerate(groups):
        count = sum(run.solved for run in runs)
        ax.plot([i, i], interval, color=GREEN, linewidth=3, alpha=0.5, solid_capstyle="butt")
        ax.plot(i, count / len(runs), "o", color=GREEN, markersize=7)
        ax.plot(i + 0.18, setting.seen[0] / setting.seen[1], "x", color="black")
        names.append(f"{'none' if setting.clip_norm is None else 'clipped'}\n{count} of {len(runs)}")
    ax.set(xlim=(-0.6, len(groups) - 0.4), ylim=(-0.05, 1.05))
    ax.set_xticks(range(len(groups)), names)
    ax.grid(False, axis="x")


def _norms(ax: Axes, runs: Sequence[RunLike], setting: SettingLike) -> None:
    """The largest norm of each stretch of updates, a line for each run."""
    for run in sorted(runs, key=lambda run: run.solved):
        values, _ = positive(run.largest_norm)
        updates = np.linspace(0, run.updates / 1000, len(values) + 1)[1:]
        ax.plot(updates, values, color=_colour(run), linewidth=0.9, alpha=0.8)
        ax.plot(updates[-1:], values[-1:], "o" if run.solved else "x", color=_colour(run), markersize=4)
    ax.axhline(1.0, color=GREY, linewidth=1.2, linestyle=":", label=GUIDE)
    ax.set_xlim(0, setting.updates / 1000)
    log(ax, "y")


def _colour(run: RunLike) -> str:
    return BLUE if run.solved else VERMILLION


def _line(setting: SettingLike) -> str:
    return "--" if setting.clip_norm is None else "-"
