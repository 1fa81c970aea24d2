"""`scratchrnn flow`: vanishing and exploding gradients in pictures, and as one report to read and to send on."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends.arrays import to_numpy
from ..files import replacing
from ..gradients.observe import GradientFlow, gradient_flow
from ..model import VanillaRNN
from ..progress import progress_bar
from . import options, output

if TYPE_CHECKING:
    from . import remedies
    from .flow_data import Subject

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
RADIUS, RUNS = 2.0, 3
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
    from . import flow_pictures, flow_report
    from .flow_data import subject

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
    page = flow_report.page(arguments, measured, curves, seen, outcomes)
    with replacing(arguments.out / "flow.html") as file:
        file.write(page.encode("utf-8", "replace"))  # a file name may hold bytes that are no text
    radius = arguments.spectral_radius or RADIUS
    files = flow_pictures.write(arguments.out, measured, curves, seen, outcomes, radius)
    print(table(curves))
    if arguments.model is not None:
        print(f"\n{measured.about}, on {measured.data}; the loss counts {measured.counted}")
        if measured.noise:
            print("no data of this task here: measured on noise")
        output.print_table(flow_report.short_rows(seen))
    files["flow.html"] = "all of it in one file that explains itself: to read, to print, to send on"
    output.print_files(arguments.out, files)
    output.print_next(NEXT if arguments.model is None else NEXT_OF_MODEL)
    return 0


def _measure(
    measured: Subject, arguments: Namespace
) -> tuple[dict[float, np.ndarray], GradientFlow, dict[str, list[remedies.Outcome]]]:
    """The decay for every radius, the one network in full, and the remedies, with a progress bar."""
    from . import remedies

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


def lag_norms(radius: float, arguments: Namespace) -> np.ndarray:
    """(T,): ‖∂L/∂h_t‖ per sample at lag 0, 1, …, T − 1, the median over sequences."""
    rng = np.random.default_rng(arguments.seed)
    N, T = arguments.batch_size, arguments.time
    model = network(radius, arguments)
    x = rng.normal(0, arguments.input_scale, (N, T, 1))
    flow = model.loss_and_grads(x, rng.normal(size=(N, 1)), steps="last").flow
    return np.median(to_numpy(flow.per_sample), axis=0)[::-1]


def network(radius: float, arguments: Namespace) -> VanillaRNN:
    """A new VanillaRNN(1, H, 1) whose W_hh has this spectral radius."""
    model = VanillaRNN(
        1, arguments.hidden_size, 1, backend=arguments.backend, dtype=arguments.dtype, seed=arguments.seed
    )
    set_spectral_radius(model, radius)
    return model


def set_spectral_radius(model: VanillaRNN, radius: float) -> None:
    """Scale W_hh so that its largest eigenvalue has this absolute value."""
    W_hh = to_numpy(model.params["W_hh"])
    model.params["W_hh"] = W_hh * (radius / np.abs(np.linalg.eigvals(W_hh)).max())


def decay_rows(curves: Mapping[float, np.ndarray]) -> list[list[str]]:
    """Norms at a few lags, and the factor per step that leads from the first to the last; the head of the table first.

    >>> decay_rows({0.5: 0.5 ** np.arange(5.0)})
    [['radius', 'lag 0', 'lag 1', 'lag 2', 'lag 4', 'per step'],
     ['0.5', '1.0e+00', '5.0e-01', '2.5e-01', '6.2e-02', '× 0.500']]
    """
    longest = max(len(curve) for curve in curves.values()) - 1
    lags = sorted({0, longest // 10, longest // 4, longest // 2, longest})
    rows = [["radius", *(f"lag {lag}" for lag in lags), "per step"]]
    for radius, curve in curves.items():
        there = np.append(np.isfinite(curve) & (curve > 0), False)
        last = max(int(there.argmin()) - 1, 0)
        factor = f"× {(curve[last] / curve[0]) ** (1 / last):.3f}" if last else "–"
        rows.append([f"{radius:g}", *(_norm(curve[lag]) for lag in lags), factor])
    return rows


def _norm(value: float) -> str:
    if not np.isfinite(value):
        return "overflow"
    return "0" if value == 0 else f"{value:.1e}"


def table(curves: Mapping[float, np.ndarray]) -> str:
    """The same for a terminal."""
    lines = ["‖∂L/∂h_t‖ per sample at lag T − 1 − t"]
    for radius, *cells in decay_rows(curves):
        lines.append(f"{radius:>8}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)
