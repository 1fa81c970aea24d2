"""How command lines are read: a parser that says what is wrong in one line, and options that several commands share."""

from __future__ import annotations

import argparse
import difflib
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ..backends import NAMES, set_num_threads
from ..optimizers import SGD, Adagrad, Adam, Optimizer, RMSProp
from ..text import encoding_name

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"adam": Adam, "sgd": SGD, "rmsprop": RMSProp, "adagrad": Adagrad}


class Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults where there are any, and keeps the lines of the examples."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with exit code 2, and whose options cannot be abbreviated."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=Help, allow_abbrev=False, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:  # type: ignore[override]
        """What nobody knows is refused by the command that it was said to, which names its own help."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._meant(unknown)}")
        return known, unknown

    def _meant(self, unknown: list[str]) -> str:
        """The option that the first of some unknown ones looks like."""
        said = next((word.partition("=")[0] for word in unknown if word.startswith("-")), "")
        alike = difflib.get_close_matches(said, self._option_string_actions, n=1, cutoff=0.7)
        return f" (did you mean {alike[0]}?)" if alike else ""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is."""
        self.exit(2, f"scratchrnn: error: {message}; see {self.prog} --help\n")


def command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], help: str, **more: str) -> Parser:
    """A parser for one command, listed with `help` and run by `run`."""
    parser: Parser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".", **more)
    parser.set_defaults(run=run)
    return parser


def count(text: str) -> int:
    """An integer of at least 1."""
    return _number(text, int, "an integer of at least 1", lambda value: value >= 1)


def positive(text: str) -> float:
    """A finite number above 0."""
    return _number(text, float, "a number above 0", lambda value: 0 < value < math.inf)


def not_negative(text: str) -> float:
    """A finite number of at least 0."""
    return _number(text, float, "a number of at least 0", lambda value: 0 <= value < math.inf)


def probability(text: str) -> float:
    """A number from 0 to below 1."""
    return _number(text, float, "a number from 0 to below 1", lambda value: 0 <= value < 1)


def seed(text: str) -> int:
    """An integer of at least 0."""
    return _number(text, int, "an integer of at least 0", lambda value: value >= 0)


def path(text: str) -> Path:
    """A path; "~" is the home folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got ''")
    return Path(os.path.expanduser(text))


def encoding(text: str) -> str:
    """A text encoding, by Python's name for it."""
    try:
        return encoding_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_encoding(parser: Any, file: str) -> None:
    """The encoding of the text file that the option `file` names."""
    help = f"of {file}, such as gb18030 or latin-1 (default: utf-8)"
    parser.add_argument("--encoding", type=encoding, metavar="NAME", help=help)


def add_drop_unknown(parser: Any) -> None:
    """Characters that a model does not know are left out."""
    help = "leave out characters that the model does not know; without it, they are an error"
    parser.add_argument("--drop-unknown", action="store_true", help=help)


def text_encoding(arguments: argparse.Namespace, file: str) -> str:
    """The encoding of the file that the option `file` names; without that file --encoding is an error."""
    if arguments.encoding is not None and getattr(arguments, file[2:].replace("-", "_")) is None:
        arguments.parser.error(f"--encoding is for {file}, which is not given")
    return arguments.encoding or "utf-8"


def add_machine(parser: argparse.ArgumentParser, dtype: str | None = "float64") -> None:
    """Where and how exactly to compute; dtype None leaves that option out."""
    group = parser.add_argument_group("machine")
    group.add_argument("--backend", choices=[*NAMES, "auto"], help="what computes; scratchrnn info shows the default")
    group.add_argument("--threads", type=count, metavar="N", help="of the numba backend; results do not depend on it")
    if dtype is not None:
        group.add_argument("--dtype", choices=["float64", "float32"], default=dtype, help="precision")


def add_training(
    parser: argparse.ArgumentParser,
    *,
    hidden: int,
    epochs: int | None,
    clip: float | None = None,
    epochs_help: str = "",
) -> None:
    """Sizes of the network and of the training run, and the update rule."""
    group = parser.add_argument_group("training")
    group.add_argument("--hidden-size", type=count, default=hidden, metavar="H", help="hidden units")
    group.add_argument("--epochs", type=count, default=epochs, metavar="N", help="passes over the data" + epochs_help)
    group.add_argument("--batch-size", type=count, default=32, metavar="N", help="sequences per update")
    group.add_argument("--optimizer", choices=list(OPTIMIZERS), default="adam", help="update rule")
    group.add_argument("--learning-rate", type=positive, default=0.01, metavar="X", help="its step size")
    group.add_argument("--momentum", type=not_negative, metavar="X", help="of sgd (default: 0)")
    group.add_argument(
        "--clip-norm", type=positive, default=clip, metavar="X", help="limit of the global gradient norm"
    )
    group.add_argument("--clip-value", type=positive, metavar="X", help="limit of every entry of a gradient")
    group.add_argument("--seed", type=seed, default=0, metavar="N", help="of the initial weights and the shuffling")
    parser.set_defaults(parser=parser)


def training(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_training`, `add_quiet` and `add_machine` as the tasks' `train` functions take them."""
    hyper = {"learning_rate": arguments.learning_rate}
    if arguments.momentum is not None:
        if arguments.optimizer != "sgd":
            arguments.parser.error(f"--momentum is for --optimizer sgd, not {arguments.optimizer}")
        hyper["momentum"] = arguments.momentum
    names = ("hidden_size", "epochs", "batch_size", "clip_norm", "clip_value", "seed", "backend", "dtype")
    settings = {name: getattr(arguments, name) for name in names}
    return settings | {"optimizer": OPTIMIZERS[arguments.optimizer](**hyper), "progress": not arguments.quiet}


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    """Where files go."""
    help = "folder to write to; made where it is missing, files in it are replaced"
    parser.add_argument("--out", type=path, default=Path(default), metavar="FOLDER", help=help)


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """No progress bar."""
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def use_threads(arguments: argparse.Namespace) -> None:
    """Set the number of threads where one was asked for."""
    if arguments.threads is not None:
        set_num_threads(arguments.threads)


def _number(text: str, kind: Callable[[str], Any], expected: str, valid: Callable[[Any], bool]) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not valid(value):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return value
