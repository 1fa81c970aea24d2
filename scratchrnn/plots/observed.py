"""All of a GradientFlow on one picture, and the panels that are its alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from .._arrays import to_numpy
from .._numerics import expected_underflow
from .flow import plot_flow
from .maps import plot_input_map, plot_lag_decay, plot_lag_map
from .protocols import GradientFlowLike
from .spectra import plot_spectrum
from .style import BLUE, COLOURS, GREY, LINES, axes, figure, integers, log, marker, percent, positive, span, style

WIDTH, ROW = 9.5, 3.7  # inches


@expected_underflow
def plot_gradient_flow(
    flow: GradientFlowLike, fig: Figure | SubFigure | None = None, *, title: str | None = None
) -> Any:
    """Everything that `gradient_flow` measured, two panels to a row, under a title (None: flow.about).

    Norms over time with the saturated fraction below them, the gradient of each tensor, lag map and input map, decay
    with the lag beside its bound, singular values of ∂h_t/∂h_{t−lag}. What was not measured (None) has no panel. A
    figure that is given wants `gradient_flow_size` inches. Returns the figure.
    """
    panels = _panels(flow)
    rows = _rows(flow)
    fig = figure(fig, *gradient_flow_size(flow))
    fig.suptitle(flow.about if title is None else title, x=0.01, ha="left", fontsize="medium")
    grid = fig.add_gridspec(rows, 2)
    upper = grid[0, 0].subgridspec(2, 1, height_ratios=[2.6, 1])
    top = fig.add_subplot(upper[0])
    bottom = fig.add_subplot(upper[1], sharex=top)
    top.tick_params(labelbottom=False)
    plot_flow(flow.flow, top, names=flow.cells)
    plot_saturated(flow.saturated, bottom)
    step, _, said = top.get_xlabel().partition("\n")
    top.set_xlabel("")
    bottom.set_xlabel(f"{step}\n{said}".strip())
    for i, draw in enumerate(panels, start=1):
        alone = i == len(panels) and i % 2 == 0  # the last, with nothing beside it
        draw(fig.add_subplot(grid[i // 2, :] if alone else grid[i // 2, i % 2]))
    return fig


def gradient_flow_size(flow: GradientFlowLike) -> tuple[float, float]:
    """Width and height in inches that `plot_gradient_flow` gives to its figure."""
    return WIDTH, ROW * _rows(flow)


def _rows(flow: GradientFlowLike) -> int:
    return (len(_panels(flow)) + 2) // 2


def _panels(flow: GradientFlowLike) -> list[Callable[[Axes], Any]]:
    """What stands after the norms over time."""
    spectrum = flow.spectrum
    panels: list[Callable[[Axes], Any]] = [partial(plot_tensor_norms, flow.grad_norms)]
    if flow.lag_map is not None:
        panels.append(partial(plot_lag_map, flow.lag_map))
    if flow.input_map is not None:
        panels.append(partial(plot_input_map, flow.input_map))
    if flow.lag_map is not None:
        theory: dict[str, Any] = (
            {} if spectrum is None else {"bound": spectrum.gamma * spectrum.norm, "radius": spectrum.radius}
        )
        panels.append(partial(plot_lag_decay, flow.lag_map, **theory, cell=top_cells(flow)))
    if spectrum is not None:
        panels.append(partial(plot_spectrum, spectrum, cell=spectrum_cell(flow)))
    return panels


def top_cells(flow: GradientFlowLike) -> str:
    """Whose states the lag map is about, where there are several cells: the top level, both directions together."""
    return flow.cells[-1].removesuffix(" reverse") if len(flow.cells) > 1 else ""


def spectrum_cell(flow: GradientFlowLike) -> str:
    """Whose singular values the spectrum has, where there are several cells: the top level, forward."""
    return flow.cells[-flow.flow.directions] if len(flow.cells) > 1 else ""


@expected_underflow
def plot_saturated(saturated: Any, ax: Axes | None = None) -> Axes:
    """The fraction of units whose slope is (nearly) 0 at each step, one line per recurrent cell: nothing flows through.

    saturated (cells, T) or (T,). Returns the axes.
    """
    ax = axes(ax)
    table = np.atleast_2d(np.asarray(to_numpy(saturated), dtype=float))
    style(ax, "", "time step $t$", "saturated")
    integers(ax.xaxis)
    for i, values in enumerate(table):
        colour, line = COLOURS[i % len(COLOURS)], LINES[i % len(LINES)]
        ax.plot(values, line, color=colour, linewidth=1.4, marker=marker(values), markersize=4)
    span(ax, table.shape[1])
    percent(ax, table)
    ax.yaxis.set_major_locator(MaxNLocator(3))
    return ax


@expected_underflow
def plot_tensor_norms(grad_norms: Mapping[str, float], ax: Axes | None = None) -> Axes:
    """‖∂L/∂θ‖ of each tensor as a dot on a log scale, in the order of the parameters. Exactly 0 is written out.

    Returns the axes. Raises ValueError where there is no tensor.
    """
    if not grad_norms:
        raise ValueError("no tensors to draw")
    ax = axes(ax)
    style(ax, "Gradient of each tensor", r"$\Vert\partial L/\partial\theta\Vert$", "")
    places = np.arange(len(grad_norms))
    norms = np.array([float(norm) for norm in grad_norms.values()])
    values, _ = positive(norms)
    ax.plot(values, places, "o", color=BLUE, markersize=6)
    log(ax, "x")
    for place, norm, value in zip(places.tolist(), norms, values, strict=True):
        if np.isnan(value):
            said = "exactly 0" if norm == 0 else f"{norm:g}, not drawn"
            ax.text(0.02, place, said, transform=ax.get_yaxis_transform(), va="center", color=GREY)
            continue
        right = np.log10(value) < np.log10(ax.get_xlim()).mean()  # on the side that has room
        ax.annotate(
            f"{norm:.2g}",
            (value, place),
            xytext=(7 if right else -7, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize="small",
        )
    ax.set_yticks(places, list(grad_norms))
    ax.set_ylim(len(places) - 0.5, -0.5)
    return ax
