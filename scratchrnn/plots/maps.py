"""Which step depends on which: ∂L_t/∂h_k and ∂y_t/∂x_k for every pair of steps, and the decay with the lag t − k."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .._arrays import to_numpy
from .._numerics import expected_underflow
from .heat import heat_map
from .style import BLUE, GREY, axes, integers, log, marker, note, positive, quantiles, span, style


@expected_underflow
def plot_lag_map(lag_map: Any, ax: Axes | None = None) -> Axes:
    """‖∂L_t/∂h_k‖: how much the loss of step t (down) depends on the state of step k (to the right).

    lag_map (T, T) is that of a `GradientFlow`; NaN is left blank, exactly 0 is grey. On the diagonal a loss meets the
    state of its own step; each step to the left of it is one step back in time. Where one loss alone counts, its row is
    drawn as a curve. Returns the axes.
    """
    table = to_numpy(lag_map)
    counted = np.flatnonzero(np.isfinite(table).any(axis=-1))
    if len(counted) == 1 < len(table):
        return _one_loss(table[counted[0]], int(counted[0]), axes(ax))
    return _steps_by_steps(
        lag_map,
        ax,
        "Lag map: what each loss depends on",
        ("state of step $k$", "loss of step $t$"),
        r"$\Vert\partial L_t/\partial h_k\Vert$",
    )


@expected_underflow
def plot_input_map(input_map: Any, ax: Axes | None = None) -> Axes:
    """‖∂y_t/∂x_k‖: how much output t (down) depends on input k (to the right): what did this output look at?

    input_map (T, T) is that of a `GradientFlow`; NaN is left blank, exactly 0 is grey. Returns the axes.
    """
    return _steps_by_steps(
        input_map,
        ax,
        "Input map: what each output looked at",
        ("input of step $k$", "output of step $t$"),
        r"$\Vert\partial y_t/\partial x_k\Vert$",
    )


@expected_underflow
def plot_lag_decay(
    lag_map: Any, ax: Axes | None = None, *, bound: float | None = None, radius: float | None = None, cell: str = ""
) -> Axes:
    """‖∂L_t/∂h_{t−lag}‖ in units of ‖∂L_t/∂h_t‖, against the lag: median over t and its whole range.

    bound = γ‖W_hh‖₂ draws what no ratio exceeds, bound^lag: each step back multiplies by W_hhᵀ and by slopes of at most
    γ. radius draws ρ^lag, the rate at which W_hh alone works in the long run; cell names whose states h are. Returns
    the axes.

    Source: Pascanu, Mikolov, Bengio 2013, On the difficulty of training recurrent neural networks, section 2.1.
    """
    ax = axes(ax)
    ratios = lag_ratios(to_numpy(lag_map))  # (T, lags)
    ylabel = r"$\Vert\partial L_t/\partial h_{t-\mathrm{lag}}\Vert\;/\;\Vert\partial L_t/\partial h_t\Vert$"
    title = f"Decay with the lag, {cell}" if cell else "Decay with the lag: median over $t$, and range"
    style(ax, title, r"lag $t - k$  (steps back from a loss)", ylabel)
    integers(ax.xaxis)
    values, zeros = positive(ratios)
    lags = np.arange(values.shape[1])
    low, median, high = quantiles(values)
    if np.isfinite(values).sum(axis=0).max(initial=0) > 1:
        ax.fill_between(lags, low, high, color=BLUE, alpha=0.2, linewidth=0)
    ax.plot(lags, median, color=BLUE, linewidth=1.8, marker=marker(median), markersize=4, label="measured")
    theory = {"bound": (bound, ":"), r"$\rho$": (radius, "--")}
    top = _room_above(values)
    drawn = [(label, base, line) for label, (base, line) in theory.items() if base is not None and base > 0]
    for label, base, line in drawn:
        exponent = lags * np.log10(base)
        inside = (exponent <= top) & (exponent > -300)
        ax.plot(
            lags[inside],
            10 ** exponent[inside],
            line,
            color=GREY,
            linewidth=1.4,
            label=rf"{label}: ${base:.3g}^{{\,\mathrm{{lag}}}}$",
        )
    log(ax, "y", values)
    span(ax, len(lags))
    if drawn:
        ends = median[np.isfinite(median)]
        rises = len(ends) > 0 and ends[-1] > 1
        ax.legend(loc="lower right" if rises else "lower left", fontsize="small", framealpha=0.85, edgecolor="none")
    if zeros:
        note(ax, f"exactly 0, not drawn: {zeros} of {np.isfinite(ratios).sum()} pairs of steps")
    return ax


def _one_loss(row: np.ndarray, t: int, ax: Axes) -> Axes:
    """The row of the only loss that counts."""
    style(ax, f"Lag map: the loss of step {t} alone", "state of step $k$", r"$\Vert\partial L_t/\partial h_k\Vert$")
    integers(ax.xaxis)
    values, zeros = positive(row)
    ax.plot(values, color=BLUE, linewidth=1.8, marker=marker(values), markersize=4)
    log(ax, "y")
    span(ax, len(row))
    if zeros:
        note(ax, f"exactly 0, not drawn: {zeros} of {len(row)} steps")
    return ax


def _room_above(values: np.ndarray) -> float:
    """The power of ten up to which a line of theory may stretch the picture of these values."""
    finite = values[np.isfinite(values)]
    low, high = (np.log10(finite.min()), np.log10(finite.max())) if len(finite) else (0.0, 0.0)
    return float(min(high + max(0.3 * (high - low), 0.5), 300))


def lag_ratios(lag_map: np.ndarray) -> np.ndarray:
    """lag_map[t, t − lag] / lag_map[t, t], (T, T) by t and lag; NaN where either is missing, or 0 at lag 0."""
    T = len(lag_map)
    t, lag = np.indices((T, T))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratios = lag_map[t, t - lag] / np.diagonal(lag_map)[:, None]
    return np.where((lag <= t) & np.isfinite(ratios), ratios, np.nan)


def _steps_by_steps(table: Any, ax: Axes | None, title: str, labels: tuple[str, str], label: str) -> Axes:
    table = to_numpy(table)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"a map of steps by steps is square, (T, T), got {table.shape}")
    ax = axes(ax)
    style(ax, title, *labels, grid=False)
    heat_map(ax, table, label)
    integers(ax.xaxis)
    integers(ax.yaxis)
    return ax
