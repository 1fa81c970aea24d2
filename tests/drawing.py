"""What the tests of pictures share."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scratchrnn.gradients.flow import Flow, LayerFlow


def ink(figure: Figure) -> float:
    """How much of the picture is not white; drawing it also shows warnings."""
    with io.BytesIO() as file:
        figure.savefig(file, format="rgba", dpi=50)
        return float((np.frombuffer(file.getvalue(), np.uint8) < 250).mean())


def make_flow(*layers: list) -> Flow:
    return Flow(tuple(LayerFlow(np.array(rows, dtype=float), np.zeros(len(rows[0]), int)) for rows in layers))


def x_of(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xdata(), dtype=float)


def y_of(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_ydata(), dtype=float)


def x_label(ax: Axes) -> str:
    return ax.get_xlabel()
