"""`scratchrnn train`: the sine or a text at settings of one's own, or one of the other tasks at its own."""

from __future__ import annotations

import math
import re
import time
from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from ..checkpoint import save
from ..model import SequenceModel
from ..sampling import sample
from ..tasks import characters, sine
from ..tasks.table import TASKS, bar
from ..tasks.task import Trained as TaskTrained
from ..training.fit import NonFiniteError
from . import options, output

SINE_EPILOG = """\
Predicts the next point of sin(0.1·i) from the points before it. The defaults are the chapter's settings.

examples:
  scratchrnn train sine
  scratchrnn train sine --hidden-size 8 --optimizer sgd --momentum 0.9 --learning-rate 0.05 --clip-norm 1
"""
TEXT_EPILOG = """\
Learns which character comes next in a text, and reports the loss on the last tenth, which it never trains on.
The learning rate falls to a twentieth over the epochs. The saved model holds the first 2,000 characters of --file, for
scratchrnn flow to read.

examples:
  scratchrnn train text --file book.txt
  scratchrnn train text --file book.txt --encoding gb18030
  scratchrnn train text --file book.txt --hidden-size 384 --layers 2 --dropout 0.25 --learning-rate 0.002 --seconds 600
  scratchrnn sample --prompt "Once upon a time"
"""
EXCERPT = 2000  # characters of a user's text that a model holds
TASK_EPILOG = """\
Trains at the settings that reach the bar; scratchrnn/tasks/{file}.py says what they are, and where the data is from.

examples:
  scratchrnn train {name}
  scratchrnn train {name} --seed 1 --epochs {epochs}
"""
Trained = TypeVar("Trained", sine.Trained, characters.Trained, TaskTrained)


def add(commands: Any) -> None:
    """Its tasks and their options."""
    parser = commands.add_parser(
        "train",
        help="train on the sine wave, a text or another task",
        description="Train on a task; each has its own --help.",
    )
    tasks = parser.add_subparsers(title="tasks", metavar="TASK", dest="task", required=True)

    wave = options.command(tasks, "sine", run_sine, "learn the next point of a sine wave", epilog=SINE_EPILOG)
    options.add_out(wave, "sine-output")
    options.add_quiet(wave)
    wave.add_argument("--window", type=options.count, default=50, metavar="T", help="points that a prediction sees")
    options.add_training(wave, hidden=32, epochs=100)
    options.add_machine(wave)

    text = options.command(tasks, "text", run_text, "learn the next character of a text", epilog=TEXT_EPILOG)
    help = "the text (default: the chapter's lines from Hamlet)"
    text.add_argument("--file", type=options.path, metavar="FILE", help=help)
    options.add_encoding(text, "--file")
    options.add_out(text, "text-output")
    options.add_quiet(text)
    text.add_argument("--seq-length", type=options.count, default=50, metavar="T", help="characters in a window")
    text.add_argument("--layers", type=options.count, default=1, metavar="L", help="recurrent layers, one on another")
    help = "share of states that are not seen from above in training"
    text.add_argument("--dropout", type=options.probability, default=0.0, metavar="P", help=help)
    text.add_argument("--seconds", type=options.positive, metavar="X", help="end training after so long")
    enough = " (default: about 3,000 updates, at most 20 passes, or 200 where nothing is held out)"
    options.add_training(text, hidden=128, epochs=None, clip=5.0, epochs_help=enough)
    options.add_machine(text, dtype="float32")

    for name, task in TASKS.items():
        file = getattr(task.train, "func", task.train).__module__.rpartition(".")[2]
        epilog = TASK_EPILOG.format(file=file, name=name, epochs=max(1, task.epochs // 2))
        parser = options.command(tasks, name, run_task, f"{task.kind}: {task.about}", epilog=epilog)
        options.add_out(parser, f"{name}-output")
        options.add_quiet(parser)
        parser.add_argument(
            "--epochs", type=options.count, default=task.epochs, metavar="N", help="passes over the data"
        )
        help = "of the initial weights, the shuffling, and data that is drawn"
        parser.add_argument("--seed", type=options.seed, default=0, metavar="N", help=help)
        parser.set_defaults(clip_norm=None)
        options.add_machine(parser, dtype="float32")


def run_sine(arguments: Namespace) -> int:
    """Train on the sine; write the model and three pictures."""
    settings = options.training(arguments) | {"window": arguments.window}
    result, rows = _train(sine.train, arguments, "mean squared error", settings, output.SINE_FILES)
    if result.history.updates:
        files = output.sine_files(result, arguments.out, arguments.clip_norm)
        rows.append(("test MSE", f"{result.test_mse:.2e}"))
        output.print_table(rows)
        output.print_files(arguments.out, files)
        output.print_next([_flow(arguments.out / output.MODEL)])
    return 130 if result.history.interrupted else 0


def run_text(arguments: Namespace) -> int:
    """Train on a text; write the model and two pictures, print a sample."""
    given = {name: getattr(arguments, name) for name in ("file", "seq_length", "seconds", "dropout")}
    given["num_layers"], given["encoding"] = arguments.layers, options.text_encoding(arguments, "--file")
    loss_name = "cross-entropy (nats per character)"
    names = (*output.HISTORY_PICTURES, output.MODEL)
    result, rows = _train(characters.train, arguments, loss_name, options.training(arguments) | given, names)
    history, vocabulary, out = result.history, result.vocabulary, arguments.out
    if history.updates:
        extra = {"task": "text", "vocabulary": vocabulary.to_list(), "seq_length": arguments.seq_length}
        if arguments.file is not None:
            extra["excerpt"] = vocabulary.decode(result.data.train[:EXCERPT])
        save(result.model, out / output.MODEL, history=history, extra=extra)
        files = output.history_pictures(history, out, loss=loss_name, clip_norm=arguments.clip_norm)
        size, V = len(result.data.train), len(vocabulary)
        rows.append(("text", f"{size:,} characters of {V} kinds; knowing nothing costs ln {V} = {math.log(V):.3f}"))
        if history.loss:
            rows.append(("training loss", f"{history.loss[-1]:.3f} nats per character in the last epoch"))
        if result.held_out_loss is not None:
            loss = f"{result.held_out_bits:.3f} bits per character ({result.held_out_loss:.3f} nats)"
            rows.append(("held-out loss", f"{loss}, over {len(result.data.held_out):,}"))
        output.print_table(rows)
        output.print_files(out, files | {output.MODEL: "the model and its characters, for scratchrnn sample"})
        prompt = vocabulary.decode(result.data.train[:20])
        print(f"\nit writes on from {prompt!r}:\n{sample(result.model, vocabulary, prompt, 160, temperature=0.7)}")
        following = [_flow(out / output.MODEL, _text_options(arguments))]
        if word := re.search(r"\w{1,20}", vocabulary.decode(result.data.train[:1000])):
            model = output.shell_path(out / output.MODEL)
            following.insert(0, (f'sample --model {model} --prompt "{word[0]}"', "goes on writing"))
        output.print_next(following)
    return 130 if history.interrupted else 0


def run_task(arguments: Namespace) -> int:
    """Train on one of the tasks; write its models and two pictures, print scores and a few answers."""
    task, out = TASKS[arguments.task], arguments.out
    settings = {name: getattr(arguments, name) for name in ("epochs", "seed", "backend", "dtype")}
    settings |= {"progress": not arguments.quiet}
    names = (*output.HISTORY_PICTURES, output.MODEL)
    result, rows = _train(task.train, arguments, task.loss, settings, names)
    history = result.history if len(result.models) == 1 else None
    for name, model in result.models.items():
        save(model, out / f"{name}.npz", history=history, extra={"task": arguments.task, **result.extra})
    files = output.history_pictures(result.history, out, loss=task.loss)
    files |= {f"{name}.npz": "the trained model, for scratchrnn.load" for name in result.models}
    whose = "every seed" if len(set(task.bar)) == 1 else "the median over seeds"
    rows.append((task.metric, f"{result.score:.4g} (goal for {whose}: {bar(task)})"))
    rows += [(what, f"{value:.4g}") for what, value in result.beside.items()]
    output.print_table(rows)
    if result.examples:
        print()
        output.print_table(result.examples)
    output.print_files(out, files)
    name, model = next(iter(result.models.items()))
    following = [_flow(out / f"{name}.npz")] if isinstance(model, SequenceModel) else []
    output.print_next([*following, (f"tasks {arguments.task}", "the same over three seeds, as a table")])
    return 130 if result.history.interrupted else 0


def _flow(model: Path, more: str = "") -> tuple[str, str]:
    """The command that looks into a model, and what it shows."""
    return f"flow --model {output.shell_path(model)}{more}", "how gradients flow through what it has learned"


def _text_options(arguments: Namespace) -> str:
    """The text that was learned, as options of another command."""
    if arguments.file is None:
        return ""
    encoding = "" if arguments.encoding is None else f" --encoding {arguments.encoding}"
    return f" --file {output.shell_path(arguments.file)}{encoding}"


def _train(
    train: Callable[..., Trained], arguments: Namespace, loss: str, settings: dict[str, Any], names: Iterable[str]
) -> tuple[Trained, list[tuple[str, str]]]:
    """Train, and say how it went; `names` are the files that will be written.

    Where numbers stop being finite the pictures of the way there are written first.
    """
    output.prepare(arguments.out, names)
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
