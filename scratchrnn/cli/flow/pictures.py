"""The pictures of `scratchrnn flow`: three files, and for the report one picture for each thing measured."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ... import plots
from ..._arrays import to_numpy
from ...gradients.observe import GradientFlow
from ...plots.observed import spectrum_cell, top_cells
from .. import output
from .data import Subject
from .remedies import Outcome, T

DPI = 120
FLOOR = 1e-30  # of norms after training: dead networks leave next to nothing
ONE_START = "clip", "Ω"  # remedies that begin where the plain network does, or nearly


class Drawn(NamedTuple):
    """A picture that was drawn."""

    data: str  # a PNG file as base64
    inches: tuple[float, float]  # width and height


class Picture(NamedTuple):
    """A picture of the report, drawn when it is asked for."""

    draw: Callable[[], Figure]
    name: str
    alt: str  # what it shows, for those who do not see it
    reading: str  # how to read it, in two sentences

    def png(self) -> Drawn:
        """Draw it; raises whatever matplotlib raises."""
        figure = self.draw()
        with io.BytesIO() as file:
            figure.savefig(file, format="png", dpi=DPI)
            width, height = figure.get_size_inches()
            return Drawn(base64.b64encode(file.getvalue()).decode("ascii"), (width, height))


def write(
    out: Path,
    measured: Subject,
    curves: Mapping[float, np.ndarray],
    seen: GradientFlow,
    outcomes: Mapping[str, Sequence[Outcome]],
    radius: float,
) -> output.Files:
    """flow.png, network.png and remedies.png, each where it can be drawn."""

    def in_full() -> Figure:
        figure = plots.new_figure(*plots.gradient_flow_size(seen))
        told = "No data of this task here: measured on noise." if measured.noise else f"On {measured.data}."
        title = f"{measured.about[0].upper()}{measured.about[1:]}\n{seen.about}\n{told}"
        return plots.plot_gradient_flow(seen, figure, title=title.replace("$", r"\$"))  # of a file name: no formula

    about = "‖∂L/∂h_t‖ against the lag, one curve per spectral radius"
    files = output.draw(out, "flow.png", about, decay(curves).draw)
    about = "one network in full: norms, lag map, input map, singular values"
    files |= output.draw(out, "network.png", about, in_full)
    if any(outcomes.values()):
        about = "remedies on one task: the gradient before and after training, and the loss"
        files |= output.draw(out, "remedies.png", about, remedies(outcomes, radius).draw)
    return files


def decay(curves: Mapping[float, np.ndarray]) -> Picture:
    """‖∂L/∂h_t‖ against the lag for every radius."""

    def draw() -> Figure:
        figure = plots.new_figure(8, 5)
        plots.plot_decay(curves, figure.subplots())
        return figure

    return Picture(
        draw,
        "Vanishing and exploding",
        "Line chart of the norm of the gradient against the lag, one curve per spectral radius",
        "Each curve is one network; to the right the gradient has travelled further back. On the log scale a straight "
        "line is a constant factor per step: blue ones shrink, orange ones grow where tanh lets them, and the dotted "
        "lines are ρ^lag, the rate without tanh.",
    )


def remedies(outcomes: Mapping[str, Sequence[Outcome]], radius: float) -> Picture:
    """The gradient against the lag before training, where networks differ; the loss over epochs; the gradient after."""

    def draw() -> Figure:
        figure = plots.new_figure(8, 9.6)
        about = (
            rf"first run; task: the sign of the first of {T} inputs; $W_{{hh}}$ of spectral radius $\rho$ = {radius:g}"
        )
        figure.suptitle(f"Remedies: {about}\n(where the remedy sets none)", x=0.01, ha="left", fontsize="medium")
        first, loss, last = figure.subplots(3, 1)
        names = tuple(outcomes)
        first_runs = {name: runs[0] for name, runs in outcomes.items()}
        starts = {name: run.at_first for name, run in first_runs.items() if not name.startswith(ONE_START)}
        plots.plot_remedies(starts, first, title="The gradient before training (clipping and Ω: as none)", among=names)
        losses = {name: run.history.loss for name, run in first_runs.items() if run.history.loss}
        look: dict[str, Any] = {"xlabel": "epoch", "ylabel": "cross-entropy (nats)", "start": 1}
        plots.plot_remedies(losses, loss, title="The loss", among=names, **look)
        ends = {name: run.at_last for name, run in first_runs.items()}
        plots.plot_remedies(ends, last, title="The gradient after training", among=names, floor=FLOOR)
        return figure

    return Picture(
        draw,
        "Remedies",
        "Three line charts: the gradient against the lag before training, the loss over epochs, the gradient after it",
        "On top is what initialisation does: a curve that stays level brings news from the first input. In the middle "
        "is who learns in the first run; below is the gradient once that is over: low at lag 0 where the loss is low, "
        "and level where it still reaches back, as Ω asks it to.",
    )


def network(measured: Subject, seen: GradientFlow) -> Iterator[Picture]:
    """Of the one network, each with its explanation."""

    def norms() -> Figure:
        figure = plots.new_figure(7.5, 4.6)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.6, 1])
        plots.plot_flow(seen.flow, upper, names=seen.cells).set_xlabel("")
        plots.plot_saturated(seen.saturated, lower)
        return figure

    yield Picture(
        norms,
        "Norms over time",
        "Two line charts over time: the norm of the gradient by the state, and the fraction of saturated units",
        "Above stands how strongly the whole loss pulls at the state of each step: the line is the median over the "
        "sequences, the band their whole range. Below is the fraction of units whose slope is nearly 0, through which "
        "no gradient passes.",
    )
    yield _alone(
        plots.plot_tensor_norms,
        seen.grad_norms,
        "Gradient of each tensor",
        "Dot chart of the norm of the gradient of each parameter",
        "Each dot is the norm of ∂L/∂θ of one parameter, on a log scale. Where they lie far apart one learning rate "
        "cannot suit all of them, which is what Adam and RMSProp are for.",
        height=3.2,
    )
    yield _alone(
        plots.plot_lag_map,
        seen.lag_map,
        "Lag map",
        "Heat map of the norm of the loss of step t by the state of step k",
        "Each row is the loss of one step, each column a state it may depend on; one cell to the left of the diagonal "
        "is one step back. Where a row turns dark it can hardly learn from that far back; grey is exactly 0, and "
        "blank rows belong to steps whose loss does not count.",
    )
    yield _alone(
        plots.plot_input_map,
        seen.input_map,
        "Input map",
        "Heat map of the norm of output t by input k",
        "Each row is one output, each column an input: bright cells are what this output looked at. It is free of the "
        "loss and of the target, so it shows what the network does rather than what it was asked to do.",
    )
    spectrum = seen.spectrum
    if seen.lag_map is not None and spectrum is not None:
        bound = spectrum.gamma * spectrum.norm
        given: dict[str, Any] = {"bound": bound, "radius": spectrum.radius, "cell": top_cells(seen)}
        yield _alone(
            partial(plots.plot_lag_decay, **given),
            seen.lag_map,
            "Decay with the lag",
            "Line chart of the relative norm of the gradient against the lag, with the bound of theory",
            "The same numbers along the diagonals: what is left of a gradient after so many steps back, relative to "
            "where it began. The dotted line is the bound (γ·‖W_hh‖)^lag, which it never crosses; the dashed line "
            "ρ^lag is the rate of W_hh alone in its leading direction. The curve lies below it where slopes "
            "1 − h² are below 1, and where the gradient lies in other directions than the leading one.",
            height=4.2,
        )
    if spectrum is not None:
        yield _alone(
            partial(plots.plot_spectrum, cell=spectrum_cell(seen)),
            spectrum,
            "Singular values",
            "Line chart of the logarithms of the singular values of the Jacobian against the lag: a fan",
            "Each line says by how much the gradient changes along one direction on its way back, in powers of ten. "
            "The fan opens: some directions survive long after others are lost, and the gap between the outermost "
            "lines is the condition number.",
        )
    name = _top_matrix(measured)
    yield _alone(
        plots.plot_eigenvalues,
        to_numpy(measured.model.params[name]),
        f"Eigenvalues of {name}",
        "Scatter plot of the eigenvalues of the recurrent matrix beside the unit circle",
        "Each dot is an eigenvalue of the recurrent matrix in the complex plane; the circle has radius 1. Directions "
        "inside shrink from step to step, those outside (diamonds) grow, until tanh stops them.",
        width=5.4,
        height=4.8,
    )


def _alone(
    plot: Any, what: Any, name: str, alt: str, reading: str, *, width: float = 7.5, height: float = 4.4
) -> Picture:
    """A picture with one pair of axes."""

    def draw() -> Figure:
        figure = plots.new_figure(width, height)
        plot(what, figure.subplots())
        return figure

    return Picture(draw, name, alt, reading)


def _top_matrix(measured: Subject) -> str:
    """The name of the W_hh of the top recurrent cell, the forward one of two: that of the spectrum."""
    names = [name for name in measured.model.params if name.rpartition(".")[2].startswith("W_hh")]
    return [name for name in names if not name.endswith("_reverse")][-1]
