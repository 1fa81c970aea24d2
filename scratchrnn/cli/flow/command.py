"""`scratchrnn flow`: vanishing and exploding gradients in pictures, and as one report to read and to send on."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from ..._files import replacing
from ..._progress import progress_bar
from ...gradients.observe import GradientFlow, gradient_flow
from .. import options, output
from . import remedies
from .data import Subject, subject
from .decay import RADIUS, lag_norms, table

EPILOG = """\
First the decay, for several networks: the loss looks at the last step only. On the way back to step t its gradient is
multiplied T − 1 − t times by W_hhᵀ and by 1 − h² ≤ 1 (tanh′), so the spectral radius of W_hh decides whether it
vanishes or explodes. The networks are untrained, inputs are N(0, scale²); norms are per sample, the median over
sequences. Then everything about one network (or --model, a saved one, on the data of its task): norms at each step,
which loss depends on which state, singular values of ∂h_t/∂h_k. Then remedies, compared on one task. A saved model
of a task whose data is not here (it may come with a package) is measured on noise, which is said. A text model reads
--file, or the beginning of the text that it was trained on, which its file holds, or the chapter's lines.

examples:
  scratchrnn flow
  scratchrnn flow --radii 0.5 1 2 --time 200 --input-scale 0.01
  scratchrnn flow --radii 0.3 0.5 --dtype float32      where float32 runs out: exactly 0
  scratchrnn flow --model demo-output/model.npz        what a trained network does
"""
RUNS = 3
FILES = ("flow.png", "network.png", "remedies.png", "flow.html")
NEXT = [
    ("demo", "train a network on the chapter's sine wave"),
    ("flow --model demo-output/model.npz", "the same of that network"),
]
NEXT_OF_MODEL = [("papers --help", "what papers say of vanishing and exploding gradients, measured")]


def add(commands: Any) -> None:
    """Its options."""
    help = "show gradients vanish and explode: pictures, and a report in one file"
    parser = options.command(commands, "flow", run, help, epilog=EPILOG)
    radii = [0.5, 0.9, 1.0, 1.1, 1.5, 3.0]
    help = "spectral radii of W_hh whose decay is drawn"
    parser.add_argument("--radii", type=options.not_negative, nargs="+", default=radii, metavar="X", help=help)
    parser.add_argument("--time", type=options.count, default=100, metavar="T", help="time steps")
    parser.add_argument("--hidden-size", type=options.count, default=64, metavar="H", help="hidden units")
    parser.add_argument("--batch-size", type=options.count, default=16, metavar="N", help="sequences")
    parser.add_argument(
        "--input-scale", type=options.not_negative, default=1.0, metavar="X", help="spread of the inputs"
    )
    parser.add_argument("--seed", type=options.seed, default=0, metavar="N", help="of weights and inputs")
    group = parser.add_argument_group("the network that is measured in full")
    help = f"of its W_hh, and of that of the remedies (default: {RADIUS:g})"
    group.add_argument("--spectral-radius", type=options.positive, metavar="X", help=help)
    group.add_argument(
        "--model", type=options.path, metavar="FILE", help="a saved model instead, as demo and train write it"
    )
    help = "what a saved text model reads (default: the beginning of the text that it was trained on)"
    group.add_argument("--file", type=options.path, metavar="FILE", help=help)
    options.add_encoding(group, "--file")
    options.add_drop_unknown(group)
    group = parser.add_argument_group("the remedies")
    help = f"of each; 0 leaves them out (default: {RUNS}, and 0 with --model)"
    group.add_argument("--runs", type=options.seed, metavar="N", help=help)
    options.add_out(parser, "flow-output")
    options.add_quiet(parser)
    options.add_machine(parser)
    parser.set_defaults(parser=parser)


def run(arguments: Namespace) -> int:
    """Write the report and three of its pictures; print the table of the decay."""
    from . import pictures, report  # these import matplotlib

    if arguments.model is not None and arguments.spectral_radius is not None:
        arguments.parser.error("--spectral-radius is for a new network, and --model names a saved one")
    if arguments.model is None and arguments.file is not None:
        arguments.parser.error("--file is what a saved text model reads; name one with --model")
    if arguments.runs is None:
        arguments.runs = RUNS if arguments.model is None else 0
    options.text_encoding(arguments, "--file")
    output.prepare(arguments.out, FILES)
    options.use_threads(arguments)
    measured = subject(arguments)
    curves, seen, outcomes = _measure(measured, arguments)
    page = report.page(arguments, measured, curves, seen, outcomes)
    with replacing(arguments.out / "flow.html") as file:
        file.write(page.encode("utf-8", "replace"))  # a file name may hold bytes that are no text
    radius = arguments.spectral_radius or RADIUS
    files = pictures.write(arguments.out, measured, curves, seen, outcomes, radius)
    print(table(curves))
    if arguments.model is not None:
        print(f"\n{measured.about}, on {measured.data}; the loss counts {measured.counted}")
        if measured.noise:
            print("no data of this task here: measured on noise")
        output.print_table(report.short_rows(seen))
    files["flow.html"] = "all of it in one file that explains itself: to read, to print, to send on"
    output.print_files(arguments.out, files)
    output.print_next(NEXT if arguments.model is None else NEXT_OF_MODEL)
    return 0


def _measure(
    measured: Subject, arguments: Namespace
) -> tuple[dict[float, np.ndarray], GradientFlow, dict[str, list[remedies.Outcome]]]:
    """The decay for every radius, the one network in full, and the remedies, with a progress bar."""
    radii = sorted(set(arguments.radii))
    settings = {"seed": arguments.seed, "backend": arguments.backend, "dtype": arguments.dtype}
    bar = progress_bar(
        total=len(radii) + 1 + arguments.runs * len(remedies.REMEDIES),
        unit="network",
        delay=2,
        leave=False,
        show=not arguments.quiet,
    )
    with bar:
        curves = {}
        for radius in radii:
            curves[radius] = lag_norms(radius, arguments)
            bar.update()
        batch: dict[str, Any] = {"x": measured.x, "target": measured.target, "steps": measured.steps}
        batch["lengths"] = measured.lengths
        seen = gradient_flow(measured.model, **batch, progress=not arguments.quiet)
        bar.update()
        radius = arguments.spectral_radius or RADIUS
        outcomes = remedies.compare(radius, arguments.runs, **settings, done=bar.update)
    return curves, seen, outcomes
