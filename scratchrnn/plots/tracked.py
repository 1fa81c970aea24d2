"""What `fit(track="all")` adds to the picture of a training run: layers, saturation, each tensor over the updates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from ..gradients.flow import cell_names
from .protocols import FlowRecordLike
from .style import COLOURS, LINES, integers, legend_beside, log, marker, note, percent, positive, style


def tracked_panels(record: FlowRecordLike) -> list[Callable[[Axes], None]]:
    """Functions that each draw a panel, for what was recorded besides the norms of the top layer."""
    panels: list[Callable[[Axes], None]] = []
    if record.layers.shape[1] > 1:
        panels.append(partial(_layers, record))
    if np.isfinite(record.saturated).any():
        panels.append(partial(_saturated, record))
    for table, title, ylabel in (
        (record.grad_norms, "Gradient of each tensor", r"$\Vert\partial L/\partial\theta\Vert$"),
        (record.update_ratios, "Step relative to its tensor", r"$\Vert\Delta\theta\Vert\;/\;\Vert\theta\Vert$"),
    ):
        if table:
            panels.append(partial(_tensors, record, table, title, ylabel))
    return panels


def _layers(record: FlowRecordLike, ax: Axes) -> None:
    """The root mean square over time steps of N · ‖∂L/∂h_t‖ per sample, one line per cell."""
    style(ax, "Each layer", "update", r"$\sqrt{N}\,\Vert\partial L/\partial h_t\Vert$, mean over $t$")
    per_sample = record.layers * np.sqrt(np.array(record.batch_rows, dtype=float))[:, None, None]
    means = np.exp(_mean(np.log(np.where(per_sample > 0, per_sample, np.nan))))  # geometric: no step outshines the rest
    _lines(
        ax,
        record,
        {name: means[:, i] for i, name in enumerate(cell_names(means.shape[1], record.directions, record.names))},
    )


def _saturated(record: FlowRecordLike, ax: Axes) -> None:
    """The fraction of saturated units, mean over time steps, one line per cell."""
    style(ax, "Saturated units", "update", "fraction, mean over $t$")
    means = _mean(record.saturated)
    for i, name in enumerate(cell_names(means.shape[1], record.directions, record.names)):
        ax.plot(
            record.updates,
            means[:, i],
            LINES[i % len(LINES)],
            color=COLOURS[i % len(COLOURS)],
            label=name,
            linewidth=1.2,
            marker=marker(means[:, i]),
            markersize=4,
        )
    percent(ax, means)
    integers(ax.xaxis)
    if means.shape[1] > 1:
        legend_beside(ax)


def _tensors(record: FlowRecordLike, table: Mapping[str, np.ndarray], title: str, ylabel: str, ax: Axes) -> None:
    style(ax, title, "update", ylabel)
    _lines(ax, record, table)


def _lines(ax: Axes, record: FlowRecordLike, curves: Mapping[str, np.ndarray]) -> None:
    """Curves over the updates on a log scale, with a legend beside them."""
    integers(ax.xaxis)
    zeros = 0
    for i, (name, curve) in enumerate(curves.items()):
        values, some = positive(curve)
        zeros += some
        look = LINES[i // len(COLOURS) % len(LINES)]
        ax.plot(
            record.updates,
            values,
            look,
            color=COLOURS[i % len(COLOURS)],
            linewidth=1.0,
            label=name,
            marker=marker(values),
            markersize=4,
        )
    log(ax, "y")
    legend_beside(ax)
    if zeros:
        note(ax, f"exactly 0, not drawn: {zeros}")


def _mean(table: np.ndarray) -> np.ndarray:
    """The mean over the last axis, passing over NaN; NaN where nothing is left."""
    there = np.isfinite(table)
    count = there.sum(axis=-1)
    return np.where(count > 0, np.where(there, table, 0).sum(axis=-1) / np.maximum(count, 1), np.nan)
