"""`scratchrnn demo`: the chapter's sine from start to end."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any

import numpy as np

from ..gradients.check.check import check_gradients
from ..gradients.check.report import GradientReport
from ..layers import rnn
from ..model import VanillaRNN
from ..tasks import sine
from . import options, output

EPILOG = """\
what it does, with the chapter's settings (32 hidden units, windows of 50 points, Adam 0.01, batches of 32):
  checks every gradient of the untrained network against three references,
  trains on the first 80 % of the windows, tests on the rest,
  writes data.png, loss.png, gradients.png and model.npz.

examples:
  scratchrnn demo
  scratchrnn demo --epochs 10 --backend numpy --out /tmp/demo
"""
NEXT = [
    ("flow", "why ∂L/∂h_t vanishes or explodes"),
    ("train text", "a character model of the chapter's lines; --file FILE for your own text"),
    ("check --help", "gradient checks of any size"),
]


def add(commands: Any) -> None:
    """Its options."""
    parser = options.command(
        commands, "demo", run, "train on the chapter's sine wave and write pictures", epilog=EPILOG
    )
    options.add_out(parser, "demo-output")
    parser.add_argument("--epochs", type=options.count, default=100, metavar="N", help="passes over the data")
    parser.add_argument(
        "--seed", type=options.seed, default=0, metavar="N", help="of the initial weights and shuffling"
    )
    options.add_quiet(parser)
    options.add_machine(parser)


def run(arguments: Namespace) -> int:
    """Check, train, draw, tell."""
    output.prepare(arguments.out, output.SINE_FILES)
    options.use_threads(arguments)
    settings = {"backend": arguments.backend, "dtype": arguments.dtype, "seed": arguments.seed}
    report = _check(settings)
    print(f"the chapter's sine: predict the next point from the last 50 ({report.title.partition(', loss')[0]})\n")

    start = time.perf_counter()
    result = sine.train(epochs=arguments.epochs, progress=not arguments.quiet, **settings)
    seconds = time.perf_counter() - start
    history = result.history
    files = output.sine_files(result, arguments.out)
    rows = [("gradient check", _verdict(report)), *output.training_rows(history, seconds)]
    if history.loss:
        rows.append(("training MSE", f"{history.loss[-1]:.2e} in the last epoch"))
        last = history.val_loss[-20:]
        median = f"median of the last {len(last)} epochs {np.median(last):.2e}"
        rows.append(("test MSE", f"{result.test_mse:.2e} at the end; {median}"))
    output.print_table(rows)
    if not report:
        print(f"\n{report}")
    output.print_files(arguments.out, files)
    output.print_next(NEXT, (output.shell_path(rnn.__file__), "the chapter's equations, forward and backward"))
    return 130 if history.interrupted else 0 if report else 1


def _check(settings: dict[str, Any]) -> GradientReport:
    """The gradients of the untrained network on five windows."""
    data = sine.data()
    rows = np.linspace(0, len(data.x) - 1, 5).astype(int)
    model = VanillaRNN(1, 32, 1, **settings)
    return check_gradients(model, data.x[rows], data.target[rows], steps="last", seed=settings["seed"])


def _verdict(report: GradientReport) -> str:
    """The report in half a line: where the adjoint test, which resolves the smallest gradients, is furthest off."""
    tensors = [t for t in report.tensors if t.comparisons["adjoint"].verdict != "INCONCLUSIVE"] or report.tensors
    worst = max(tensors, key=lambda t: t.comparisons["adjoint"].error)
    error = worst.comparisons["adjoint"].error
    return f"{report.verdict}: {len(report.tensors)} tensors, largest relative error {error:.0e} ({worst.name})"
