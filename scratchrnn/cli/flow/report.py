"""The report of `scratchrnn flow`: one HTML file that holds its pictures; report.html is the template."""

from __future__ import annotations

import math
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from importlib.resources import files
from string import Template

import numpy as np

from ..._arrays import to_numpy
from ...gradients.observe import GradientFlow
from .. import output
from . import pictures, remedies
from .data import Subject
from .decay import RADIUS, decay_rows
from .pictures import Picture
from .remedies import Outcome

TEMPLATE = files(__package__) / "report.html"  # also where the package is inside a zip file
PIXELS = 94  # of the page for each inch: 7.5 inches fill its column
NOISE = " (no data of this task here)"
Table = Sequence[Sequence[str]]  # the first row is its head


def page(
    arguments: Namespace,
    measured: Subject,
    curves: Mapping[float, np.ndarray],
    seen: GradientFlow,
    outcomes: Mapping[str, Sequence[Outcome]],
) -> str:
    """All of it: settings, equations, decay, the one network, remedies. Needs nothing outside itself."""
    decay = _section(
        "Decay: the spectral radius decides",
        "The loss looks at the last step only. Its gradient goes back step by step, and each step multiplies it by "
        "W_hhᵀ and by slopes of at most 1.",
        figure_html(pictures.decay(curves)),
        table_html(decay_rows(curves), "‖∂L/∂h_t‖ per sample at lag T − 1 − t; × is the factor per step"),
    )
    network = _section(
        "One network in full",
        f"Here is {measured.about}, on {measured.data}{NOISE if measured.noise else ''}; the loss counts "
        f"{measured.counted}.",
        *(figure_html(picture) for picture in pictures.network(measured, seen)),
        table_html(number_rows(seen), "The numbers"),
    )
    compared = [_remedies(arguments, outcomes)] if arguments.runs else []
    texts = {
        "title": "Gradients through time",
        "about": f"What a recurrent network can learn from how far back: {measured.about}.",
    }
    texts |= {"version": output.version(), "date": f"{date.today():%d %B %Y}"}
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        {name: symbols(text) for name, text in texts.items()},
        settings=settings_html(arguments, measured),
        sections="\n".join((decay, network, *compared)),
    )


def _remedies(arguments: Namespace, outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """The section that compares them."""
    task = (
        f"The first input is −1 or +1, the other {remedies.T - 1} are noise, and after the last the network says which "
        f"it was. All networks have {remedies.HIDDEN} units and see the same {remedies.N} sequences {remedies.EPOCHS} "
        f"times, in steps of plain gradient descent at rate {remedies.RATE:g} ({remedies.RATE_RELU:g} for ReLU). Where "
        f"nothing else is said W_hh is Gaussian with spectral radius {arguments.spectral_radius or RADIUS:g}."
    )
    return _section(
        "Remedies compared",
        task,
        figure_html(pictures.remedies(outcomes, arguments.spectral_radius or RADIUS)),
        table_html(
            remedy_rows(outcomes),
            "After training: runs with 99 % right; the median loss; the greatest global norm; updates clipped",
        ),
    )


def figure_html(picture: Picture) -> str:
    """A picture that holds its own bytes, with its explanation; a sentence in its place where it cannot be drawn."""
    drawn = output.attempt(f"the picture {picture.name!r} of flow.html", picture.png)
    if drawn is None:
        return f"<p><strong>{symbols(picture.name)}.</strong> This picture could not be drawn.</p>"
    width, height = (round(PIXELS * inches) for inches in drawn.inches)
    return (
        f'<figure>\n<img src="data:image/png;base64,{drawn.data}" width="{width}" height="{height}" '
        f'alt="{escape(picture.alt)}">\n'
        f"<figcaption><strong>{symbols(picture.name)}.</strong> {symbols(picture.reading)}</figcaption>\n</figure>"
    )


def table_html(rows: Table, caption: str) -> str:
    """A table whose first row is its head."""
    head, *body = ["".join(f"<CELL>{symbols(cell)}</CELL>" for cell in row) for row in rows]
    lines = [f"<tr>{head.replace('CELL', 'th')}</tr>", *(f"<tr>{row.replace('CELL', 'td')}</tr>" for row in body)]
    return (
        f'<div class="table"><table>\n<caption>{symbols(caption)}</caption>\n' + "\n".join(lines) + "\n</table></div>"
    )


def settings_html(arguments: Namespace, measured: Subject) -> str:
    """What was asked for, as a list of terms."""
    radii = ", ".join(f"{radius:g}" for radius in sorted(set(arguments.radii)))
    rows = {
        "decay": f"untrained networks with {arguments.hidden_size} units, spectral radii {radii}; "
        f"{arguments.batch_size} sequences of {arguments.time} steps of noise N(0, {arguments.input_scale:g}²), "
        "loss on the last step",
        "in full": f"{measured.about}, on {measured.data}; loss on {measured.counted}",
    }
    if arguments.runs:
        radius = f"{arguments.spectral_radius or RADIUS:g}"
        rows["remedies"] = f"{arguments.runs} runs of each, W_hh of spectral radius {radius} where the remedy sets none"
    rows["machine"] = f"backend {measured.model.backend}, {measured.model.dtype}, seed {arguments.seed}"
    return "<dl>\n" + "\n".join(f"<dt>{symbols(a)}</dt><dd>{symbols(b)}</dd>" for a, b in rows.items()) + "\n</dl>"


def number_rows(seen: GradientFlow) -> Table:
    """The loss, norms, and what the spectrum says."""
    rows = [["what", "value"], ["loss", f"{seen.loss:.4g}"]]
    norms = np.median(to_numpy(seen.per_sample), axis=0)
    named = {"N·‖∂L/∂h_t‖ per sample, median, at the first step": norms[0], "at the last": norms[-1]}
    named |= {f"‖∂L/∂{name}‖": norm for name, norm in seen.grad_norms.items()}
    with np.errstate(divide="ignore"):  # log10 of 0 is −∞
        rows += [[name, power_of_ten(float(np.log10(norm)))] for name, norm in named.items()]
    for cell, fraction in zip(seen.cells, np.nanmean(seen.saturated, axis=1), strict=True):
        whose = f" of {cell}" if len(seen.cells) > 1 else ""
        rows.append([f"saturated units{whose}, mean over steps", f"{fraction:.1%}"])
    if (spectrum := seen.spectrum) is not None:
        K = len(spectrum.log10) - 1
        greatest, least = spectrum.log10[-1, 0], spectrum.log10[-1, -1]
        rows += [
            ["spectral radius ρ of W_hh", f"{spectrum.radius:.4g}"],
            ["norm ‖W_hh‖₂", f"{spectrum.norm:.4g}"],
            [f"greatest singular value of ∂h_t/∂h_{{t−{K}}}", power_of_ten(greatest)],
            ["least", power_of_ten(least)],
            ["condition number", power_of_ten(float(spectrum.log10_condition[-1]))],
            [f"bound (γ·‖W_hh‖)^{K}", power_of_ten(float(spectrum.log10_bound[-1]))],
        ]
    return rows


def short_rows(seen: GradientFlow) -> list[tuple[str, str]]:
    """The numbers that say most, for a terminal."""
    rows = [("loss", f"{seen.loss:.4g}")]
    if (spectrum := seen.spectrum) is not None:
        K = len(spectrum.log10) - 1
        greatest = float(spectrum.log10[-1, 0])
        rows += [
            ("ρ of W_hh", f"{spectrum.radius:.4g}"),
            ("‖W_hh‖₂", f"{spectrum.norm:.4g}"),
            (f"σ₁ at lag {K}", f"{power_of_ten(greatest)}, × {10 ** (greatest / K):.3f} per step"),
        ]
    saturated = np.nanmean(seen.saturated, axis=1)
    rows.append(("saturated units", ", ".join(f"{fraction:.1%}" for fraction in saturated) + ", mean over steps"))
    return rows


def remedy_rows(outcomes: Mapping[str, Sequence[Outcome]]) -> Table:
    """How each remedy fared."""
    rows = [["remedy", "solved", "last loss", "greatest norm", "clipped", "not finite"]]
    for name, runs in outcomes.items():
        losses = [run.history.loss[-1] for run in runs if run.history.loss]
        norms = [norm for run in runs for norm in run.history.grad_norm]
        clipped = [each for run in runs for each in run.history.clipped]
        rows.append(
            [
                name,
                f"{sum(run.solved for run in runs)} of {len(runs)}",
                f"{np.median(losses):.2g}" if losses else "–",
                f"{max(norms):.2g}" if norms else "–",
                f"{np.mean(clipped):.0%}" if any(clipped) else "–",
                f"{sum(run.stopped for run in runs)}",
            ]
        )
    return rows


def power_of_ten(log10: float) -> str:
    """A number, written from its logarithm, for it may lie far outside of a float.

    >>> power_of_ten(-2.0), power_of_ten(-432.1), power_of_ten(-54321.0), power_of_ten(-np.inf)
    ('0.01', '7.94·10^−433', '10^−54321.0', '0')
    """
    if np.isinf(log10):
        return "0" if log10 < 0 else "∞"
    if abs(log10) >= 1e4:
        return f"10^{log10:.1f}".replace("-", "−")
    if -3 <= log10 < 5:
        return f"{10.0**log10:.3g}"
    power = math.floor(log10)
    return f"{10.0 ** (log10 - power):.2f}·10^{power}".replace("-", "−")


def symbols(text: str) -> str:
    """Text as HTML: everything escaped, W_hh and h_{t−1} with subscripts, ρ^lag and 10^−9 with superscripts.

    >>> symbols("W_hh & h_{t−1}, 10^−9")
    'W<sub>hh</sub> &amp; h<sub>t−1</sub>, 10<sup>−9</sup>'
    """
    text = re.sub(r"\b([WbhxyL])_(?:\{([^}]*)\}|([a-z]+))", r"\1<sub>\2\3</sub>", escape(text))
    return re.sub(r"\^(−?[\d.]*\d|lag)", r"<sup>\1</sup>", text)


def _section(title: str, text: str, *parts: str) -> str:
    return f"<section>\n<h2>{symbols(title)}</h2>\n<p>{symbols(text)}</p>\n" + "\n".join(parts) + "\n</section>"
