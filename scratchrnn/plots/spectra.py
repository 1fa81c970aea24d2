"""Pictures of Jacobians: the fan of singular values over the lag, eigenvalues of W_hh, Lyapunov exponents."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .._arrays import to_numpy
from .._numerics import expected_underflow
from .protocols import JacobianSpectrumLike
from .style import BLUE, GREY, VERMILLION, axes, integers, note, span, style

MAX_LINES = 24  # singular values drawn
MAX_POINTS = 1000  # lags drawn
BELOW = 20  # powers of ten below the greatest singular value that are drawn whatever the range of that is


@expected_underflow
def plot_spectrum(spectrum: JacobianSpectrumLike, ax: Axes | None = None, *, cell: str = "") -> Axes:
    """The singular values of ∂h_t/∂h_{t−lag} against the lag, from the greatest (dark) to the least (light): a fan.

    The axis is log₁₀ σ itself, for a product of many Jacobians leaves the range of a float. The dotted line is the
    bound (γ‖W_hh‖)^lag on the greatest. A line ends where its singular value becomes exactly 0, and leaves the picture
    where it would press the greatest flat. cell names whose Jacobians they are. Returns the axes.
    """
    ax = axes(ax)
    values = to_numpy(spectrum.log10)  # (K + 1, H)
    bound = to_numpy(spectrum.log10_bound)  # (K + 1,)
    K, H = len(values) - 1, values.shape[1]
    symbol = r"\partial h_t/\partial h_{t-\mathrm{lag}}"
    ylabel = rf"$\log_{{10}}\,\sigma_i({symbol})$"
    style(
        ax,
        f"Singular values, {cell}" if cell else rf"Singular values of ${symbol}$",
        r"lag  (steps back from the last)",
        ylabel,
    )
    integers(ax.xaxis)
    lags = np.unique(np.linspace(0, K, min(K + 1, MAX_POINTS)).round().astype(int))
    which = np.unique(np.linspace(0, H - 1, min(H, MAX_LINES)).round().astype(int))
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(which)))
    drawn = np.where(np.isfinite(values), values, np.nan)
    for i, colour in zip(which, colours, strict=True):
        wide = i in (0, H - 1)
        name = f"$\\sigma_{{{i + 1}}}$" + (" (greatest)" if i == 0 else " (least)") if wide else None
        dot = "o" if np.isfinite(drawn[:, i]).sum() == 1 else ""
        ax.plot(
            lags, drawn[lags, i], color=colour, linewidth=1.8 if wide else 0.8, marker=dot, markersize=4, label=name
        )
    ax.plot(
        lags, np.where(np.isfinite(bound), bound, np.nan)[lags], ":", color=VERMILLION, linewidth=1.6, label="bound"
    )
    limits = _room(drawn, bound)
    ax.set_ylim(limits)
    span(ax, K + 1)
    ax.yaxis.set_major_locator(MaxNLocator(6))
    ax.legend(frameon=False, fontsize="small")
    notes = [f"{len(which)} of {H} singular values drawn"] * (len(which) < H)
    if zeros := int(np.isneginf(values).sum()):
        notes.append(f"exactly 0, not drawn: {zeros} of {values.size}")
    if np.nanmin(drawn, initial=0) < limits[0]:
        notes.append(f"below $10^{{{limits[0]:.0f}}}$ not drawn")
    if notes:
        note(ax, "; ".join(notes))
    return ax


def _room(values: np.ndarray, bound: np.ndarray) -> tuple[float, float]:
    """Limits that hold the greatest values, and as much of the others and of the bound as does not press them flat."""
    finite, line = values[np.isfinite(values)], bound[np.isfinite(bound)]
    low, high = (finite.min(), finite.max()) if len(finite) else (-1.0, 1.0)
    greatest = values[:, 0][np.isfinite(values[:, 0])]
    if len(greatest):
        low = max(low, greatest.min() - max(BELOW, 3 * np.ptp(greatest)))
    height = max(high - low, 1.0)
    high = max(high, min(line.max(initial=high), high + height / 4))
    return low - 0.05 * height, high + 0.05 * height


@expected_underflow
def plot_eigenvalues(W_hh: Any, ax: Axes | None = None) -> Axes:
    """The eigenvalues of W_hh in the complex plane, beside the unit circle.

    Directions inside the circle shrink from step to step, those outside grow. Below stand the spectral radius
    ρ = max |λ|, which rules the long run, and the norm ‖W_hh‖₂ ≥ ρ, which bounds a single step. Returns the axes.
    Raises ValueError for a matrix that is not square or not finite.
    """
    W_hh = np.asarray(to_numpy(W_hh), dtype=float)
    if W_hh.ndim != 2 or W_hh.shape[0] != W_hh.shape[1] or not np.isfinite(W_hh).all():
        raise ValueError(f"eigenvalues need a square matrix (H, H) of finite entries, got shape {W_hh.shape}")
    ax = axes(ax)
    values = np.linalg.eigvals(W_hh)
    style(ax, r"Eigenvalues $\lambda$ of $W_{hh}$", r"Re $\lambda$", r"Im $\lambda$")
    angle = np.linspace(0, 2 * np.pi, 361)
    ax.plot(np.cos(angle), np.sin(angle), color=GREY, linewidth=1.2)
    outside = np.abs(values) > 1
    for some, colour, form in ((~outside, BLUE, "o"), (outside, VERMILLION, "D")):
        ax.plot(values[some].real, values[some].imag, form, color=colour, markersize=4, alpha=0.8, linestyle="")
    ax.set_aspect("equal", adjustable="datalim")
    radius, norm = np.abs(values).max(), np.linalg.norm(W_hh, 2)
    beyond = f"\n{outside.sum()} of {len(values)} outside the circle" if outside.any() else ""
    note(ax, rf"$\rho$ = {radius:.3g}, $\Vert W_{{hh}}\Vert_2$ = {norm:.3g}{beyond}")
    return ax


@expected_underflow
def plot_lyapunov(exponents: Any, ax: Axes | None = None, *, exact: Any = None, exact_name: str = "exact") -> Axes:
    """Lyapunov exponents λ_1 ≥ λ_2 ≥ … against their number, and the exact ones where there are any.

    An exponent of λ means that a direction grows as e^{λt}: above 0 a disturbance grows, below it dies out. −∞ (a
    direction that is lost at once) is left out, with a note. Returns the axes.
    """
    exponents = np.ravel(to_numpy(exponents)).astype(float)
    if not len(exponents):
        raise ValueError("no exponents to draw")
    ax = axes(ax)
    style(ax, "Lyapunov spectrum", "number $i$", r"exponent $\lambda_i$  (per step)")
    integers(ax.xaxis)
    ax.axhline(0, color=GREY, linewidth=0.8)
    number = np.arange(1, len(exponents) + 1)
    finite = np.isfinite(exponents)
    ax.plot(number[finite], exponents[finite], "o", color=BLUE, markersize=4, label="measured")
    if exact is not None:
        ax.plot(number, np.ravel(exact), color=VERMILLION, linewidth=1.2, label=exact_name)
        ax.legend(frameon=False)
    if lost := int(np.isneginf(exponents).sum()):
        note(ax, f"−∞, not drawn: {lost} of {len(exponents)}")
    return ax


@expected_underflow
def plot_chaos(
    gains: Any, exponents: Any, ax: Axes | None = None, *, known: Any = None, known_name: str = "known"
) -> Axes:
    """The greatest Lyapunov exponent of h = tanh(W h), W ~ N(0, g²/N), against the gain g: chaos begins at g = 1.

    exponents (gains,) or (gains, seeds): each seed is a dot, their mean the line. known (gains,) are crosses beside
    them. Returns the axes.
    """
    gains, table = np.ravel(gains), np.asarray(to_numpy(exponents), dtype=float)
    table = table[:, None] if table.ndim == 1 else table
    if len(gains) != len(table):
        raise ValueError(f"{len(gains)} gains need as many rows of exponents, got shape {table.shape}")
    ax = axes(ax)
    style(ax, "Onset of chaos", "gain $g$", r"greatest exponent $\lambda_1$  (per step)")
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    order = np.argsort(gains)
    if table.shape[1] > 1:
        dots: dict[str, Any] = {"color": BLUE, "markersize": 3, "alpha": 0.4, "label": "one network"}
        ax.plot(np.repeat(gains, table.shape[1]), table.reshape(-1), "o", **dots)
    ax.plot(
        gains[order], table.mean(axis=1)[order], color=BLUE, linewidth=1.6, marker="o", markersize=4, label="measured"
    )
    if known is not None:
        ax.plot(gains, np.ravel(known), "x", color=VERMILLION, markersize=8, label=known_name)
        ax.legend(frameon=False)
    return ax
