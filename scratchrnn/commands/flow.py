"""`scratchrnn flow`: the picture of vanishing and exploding gradients."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from ..backends.arrays import to_numpy
from ..model import VanillaRNN
from . import options, output

EPILOG = """\
The loss looks at the last step only. On the way back to step t its gradient is multiplied T − 1 − t times by W_hhᵀ
and by 1 − h² ≤ 1 (tanh′), so the spectral radius of W_hh decides whether it vanishes or explodes. The network is
untrained, inputs are N(0, scale²); norms are per sample, the median over sequences.

examples:
  scratchrnn flow
  scratchrnn flow --radii 0.5 1 2 --time 200 --input-scale 0.01
  scratchrnn flow --radii 0.3 0.5 --dtype float32      where float32 runs out: exactly 0
"""


def add(commands: Any) -> None:
    """Its options."""
    help = "draw ‖∂L/∂h_t‖ against the lag T−1−t for several spectral radii"
    parser = options.command(commands, "flow", run, help, epilog=EPILOG)
    radii = [0.5, 0.9, 1.0, 1.1, 1.5, 3.0]
    help = "spectral radii of W_hh"
    parser.add_argument("--radii", type=options.not_negative, nargs="+", default=radii, metavar="X", help=help)
    parser.add_argument("--time", type=options.count, default=100, metavar="T", help="time steps")
    parser.add_argument("--hidden-size", type=options.count, default=64, metavar="H", help="hidden units")
    parser.add_argument("--batch-size", type=options.count, default=16, metavar="N", help="sequences")
    parser.add_argument(
        "--input-scale", type=options.not_negative, default=1.0, metavar="X", help="spread of the inputs"
    )
    parser.add_argument("--seed", type=options.seed, default=0, metavar="N", help="of weights and inputs")
    options.add_out(parser, "flow-output")
    options.add_machine(parser)


def run(arguments: Namespace) -> int:
    """Print the table, write the picture."""
    from .. import plots

    output.prepare(arguments.out)
    options.use_threads(arguments)
    curves = {radius: lag_norms(radius, arguments) for radius in sorted(set(arguments.radii))}
    print(table(curves))
    figure = plots.new_figure(8, 5)
    plots.plot_decay(curves, figure.subplots())
    figure.savefig(arguments.out / "flow.png")
    output.print_files(arguments.out, {"flow.png": "‖∂L/∂h_t‖ against the lag, one curve per spectral radius"})
    return 0


def lag_norms(radius: float, arguments: Namespace) -> np.ndarray:
    """(T,): ‖∂L/∂h_t‖ per sample at lag 0, 1, …, T − 1, the median over sequences."""
    rng = np.random.default_rng(arguments.seed)
    N, T = arguments.batch_size, arguments.time
    model = VanillaRNN(
        1, arguments.hidden_size, 1, backend=arguments.backend, dtype=arguments.dtype, seed=arguments.seed
    )
    set_spectral_radius(model, radius)
    x = rng.normal(0, arguments.input_scale, (N, T, 1))
    flow = model.loss_and_grads(x, rng.normal(size=(N, 1)), steps="last").flow
    return np.median(to_numpy(flow.per_sample), axis=0)[::-1]


def set_spectral_radius(model: VanillaRNN, radius: float) -> None:
    """Scale W_hh so that its largest eigenvalue has this absolute value."""
    W_hh = to_numpy(model.params["W_hh"])
    model.params["W_hh"] = W_hh * (radius / np.abs(np.linalg.eigvals(W_hh)).max())


def table(curves: dict[float, np.ndarray]) -> str:
    """Norms at a few lags, and the factor per step that leads from the first to the last."""
    longest = max(len(curve) for curve in curves.values()) - 1
    lags = sorted({0, longest // 10, longest // 4, longest // 2, longest})
    lines = [
        "‖∂L/∂h_t‖ per sample at lag T − 1 − t",
        f"{'radius':>8}" + "".join(f"{'lag ' + str(lag):>11}" for lag in lags) + f"{'per step':>11}",
    ]
    for radius, curve in curves.items():
        drawn = np.flatnonzero(curve)
        last = int(drawn[-1]) if len(drawn) else 0
        factor = f"× {(curve[last] / curve[0]) ** (1 / last):.3f}" if last else "–"
        cells = "".join(f"{'0' if curve[lag] == 0 else format(curve[lag], '.1e'):>11}" for lag in lags)
        lines.append(f"{radius:>8g}{cells}{factor:>11}")
    return "\n".join(lines)
