"""`scratchrnn check`: are the gradients right?"""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import numpy as np

from ..checkpoint import read
from ..gradients.check.check import check_gradients
from ..losses import LOSSES
from ..model import SequenceModel, VanillaRNN
from . import options
from .flow.decay import set_spectral_radius

EPILOG = """\
Analytic gradients are set against finite differences, the complex step and the adjoint test, tensor by tensor. Exit
code 1 unless every tensor passes. Sizes that differ from one another check best.

examples:
  scratchrnn check
  scratchrnn check --hidden-size 20 --time 100 --spectral-radius 1.5 --steps last
  scratchrnn check --model demo-output/model.npz --backend numba --dtype float32
"""
SIZES = {"input_size": 3, "hidden_size": 6, "output_size": 2}


def add(commands: Any) -> None:
    """Its options."""
    help = "check the gradients of a network against three references"
    parser = options.command(commands, "check", run, help, epilog=EPILOG)
    parser.add_argument(
        "--model", type=options.path, metavar="FILE", help="a saved model; without it, a new VanillaRNN"
    )
    group = parser.add_argument_group("a new network")
    for name, letter in (("input_size", "D"), ("hidden_size", "H"), ("output_size", "O")):
        flag, help = "--" + name.replace("_", "-"), f"{name.replace('_', ' ')} (default: {SIZES[name]})"
        group.add_argument(flag, type=options.count, metavar=letter, help=help)
    group.add_argument("--loss", choices=list(LOSSES), help="(default: mse)")
    group.add_argument("--spectral-radius", type=options.not_negative, metavar="X", help="scale W_hh to it")
    group = parser.add_argument_group("the batch, drawn from N(0, 1)")
    group.add_argument("--batch-size", type=options.count, default=4, metavar="N", help="sequences")
    group.add_argument("--time", type=options.count, default=7, metavar="T", help="time steps")
    group.add_argument("--steps", choices=["all", "last"], default="all", help="steps whose outputs count")
    group = parser.add_argument_group("the check")
    group.add_argument("--seed", type=options.seed, default=0, metavar="N", help="of weights, batch and directions")
    group.add_argument(
        "--tolerance", type=options.positive, metavar="X", help="of every method, relative to a tensor's norm"
    )
    options.add_machine(parser, dtype=None)
    parser.add_argument(
        "--dtype", choices=["float64", "float32"], help="precision (default: the saved one, or float64)"
    )
    parser.set_defaults(parser=parser)


def run(arguments: Namespace) -> int:
    """Print the report; 0 when every tensor passes."""
    options.use_threads(arguments)
    if arguments.model is None:
        model, tokens = _new(arguments), False
    else:
        given = [name for name in (*SIZES, "loss", "spectral_radius") if getattr(arguments, name) is not None]
        if given:
            arguments.parser.error(
                f"--{given[0].replace('_', '-')} is for a new network, and --model names a saved one"
            )
        checkpoint = read(arguments.model, backend=arguments.backend)
        if not isinstance(checkpoint.model, SequenceModel):
            kind = type(checkpoint.model).__name__
            raise ValueError(f"{arguments.model} holds an {kind}; check takes a SequenceModel or a VanillaRNN")
        model = checkpoint.model.to(None, arguments.dtype)
        tokens = "vocabulary" in checkpoint.extra or not model.layers[0].takes_vectors
    x, target = _batch(model, arguments, tokens)
    report = check_gradients(
        model, x, target, steps=arguments.steps, tolerance=arguments.tolerance, seed=arguments.seed
    )
    print(report)
    if model.backend == "numba":
        print("numba runs kernels in place of the layers; --backend numpy checks scratchrnn/layers itself")
    return 0 if report else 1


def _new(arguments: Namespace) -> SequenceModel:
    sizes = [getattr(arguments, name) or default for name, default in SIZES.items()]
    model = VanillaRNN(
        *sizes,
        loss=arguments.loss or "mse",
        backend=arguments.backend,
        dtype=arguments.dtype or "float64",
        seed=arguments.seed,
    )
    if arguments.spectral_radius is not None:
        set_spectral_radius(model, arguments.spectral_radius)
    return model


def _batch(model: SequenceModel, arguments: Namespace, tokens: bool) -> tuple[Any, Any]:
    """Random inputs (tokens for a text model) and targets for the steps that count."""
    rng = np.random.default_rng(arguments.seed)
    N, T, D, O = arguments.batch_size, arguments.time, model.input_size, model.output_size
    x: Any = rng.integers(D, size=(N, T)) if tokens else rng.normal(size=(N, T, D))
    shape = (N,) if arguments.steps == "last" else (N, T)
    if model.loss_name == "cross_entropy":
        return x, rng.integers(O, size=shape)
    return x, rng.normal(size=(*shape, O))
