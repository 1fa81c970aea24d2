"""`scratchrnn train`: the sine or a text, at settings of one's own."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..checkpoint import save
from ..sampling import sample
from ..tasks import characters, sine
from ..training import NonFiniteError
from . import options, output

SINE_EPILOG = """\
Predicts the next point of sin(0.1·i) from the points before it. The defaults are the chapter's settings.

examples:
  scratchrnn train sine
  scratchrnn train sine --hidden-size 8 --optimizer sgd --momentum 0.9 --learning-rate 0.05 --clip-norm 1
"""
TEXT_EPILOG = """\
Learns which character comes next in a UTF-8 text, and reports the loss on the last tenth, which it never trains on.
The learning rate falls to a twentieth over the epochs.

examples:
  scratchrnn train text --file book.txt
  scratchrnn train text --file book.txt --hidden-size 256 --epochs 20 --seconds 600
  scratchrnn sample --prompt "Once upon a time"
"""
Trained = TypeVar("Trained", sine.Trained, characters.Trained)


def add(commands: Any) -> None:
    """Its two tasks and their options."""
    parser = commands.add_parser(
        "train", help="train on the sine wave or on a text", description="Train on a task; each has its own --help."
    )
    tasks = parser.add_subparsers(title="tasks", metavar="TASK", dest="task", required=True)

    wave = options.command(tasks, "sine", run_sine, "learn the next point of a sine wave", epilog=SINE_EPILOG)
    options.add_out(wave, "sine-output")
    options.add_quiet(wave)
    wave.add_argument("--window", type=options.count, default=50, metavar="T", help="points that a prediction sees")
    options.add_training(wave, hidden=32, epochs=100)
    options.add_machine(wave)

    text = options.command(tasks, "text", run_text, "learn the next character of a text", epilog=TEXT_EPILOG)
    text.add_argument("--file", type=Path, metavar="FILE", help="the text (default: the chapter's lines from Hamlet)")
    options.add_out(text, "text-output")
    options.add_quiet(text)
    text.add_argument("--seq-length", type=options.count, default=50, metavar="T", help="characters in a window")
    text.add_argument("--seconds", type=options.positive, metavar="X", help="end training after so long")
    enough = " (default: about 3,000 updates, at most 20 passes, or 200 where nothing is held out)"
    options.add_training(text, hidden=128, epochs=None, clip=5.0, epochs_help=enough)
    options.add_machine(text, dtype="float32")


def run_sine(arguments: Namespace) -> int:
    """Train on the sine; write the model and three pictures."""
    result, rows = _train(sine.train, arguments, "mean squared error", window=arguments.window)
    if result.history.updates:
        rows.append(("test MSE", f"{result.test_mse:.2e}"))
        output.print_table(rows)
        output.print_files(arguments.out, output.sine_files(result, arguments.out, arguments.clip_norm))
    return 130 if result.history.interrupted else 0


def run_text(arguments: Namespace) -> int:
    """Train on a text; write the model and two pictures, print a sample."""
    given = {"file": arguments.file, "seq_length": arguments.seq_length, "seconds": arguments.seconds}
    result, rows = _train(characters.train, arguments, "cross-entropy (nats per character)", **given)
    history, vocabulary, out = result.history, result.vocabulary, arguments.out
    if history.updates:
        size, V = len(result.data.train), len(vocabulary)
        rows.append(("text", f"{size:,} characters of {V} kinds; knowing nothing costs ln {V} = {math.log(V):.3f}"))
        if history.loss:
            rows.append(("training loss", f"{history.loss[-1]:.3f} nats per character in the last epoch"))
        if result.held_out_loss is not None:
            size = len(result.data.held_out)
            rows.append(("held-out loss", f"{result.held_out_loss:.3f} nats per character, over {size:,}"))
        output.print_table(rows)
        files = output.history_pictures(
            history, out, loss="cross-entropy (nats per character)", clip_norm=arguments.clip_norm
        )
        extra = {"task": "text", "vocabulary": vocabulary.to_list(), "seq_length": arguments.seq_length}
        save(result.model, out / output.MODEL, history=history, extra=extra)
        output.print_files(out, files | {output.MODEL: "the model and its characters, for scratchrnn sample"})
        prompt = vocabulary.decode(result.data.train[:20])
        print(f"\nit writes on from {prompt!r}:\n{sample(result.model, vocabulary, prompt, 160, temperature=0.7)}")
    return 130 if history.interrupted else 0


def _train(
    train: Callable[..., Trained], arguments: Namespace, loss: str, **given: Any
) -> tuple[Trained, list[tuple[str, str]]]:
    """Train, and say how it went. Where numbers stop being finite the pictures of the way there are written first."""
    settings = options.training(arguments) | given
    output.prepare(arguments.out)
    options.use_threads(arguments)
    start = time.perf_counter()
    try:
        result = train(**settings)
    except NonFiniteError as error:
        files = output.history_pictures(error.history, arguments.out, loss=loss, clip_norm=arguments.clip_norm)
        if files:
            output.print_files(arguments.out, files)
        raise
    return result, output.training_rows(result.history, time.perf_counter() - start)
