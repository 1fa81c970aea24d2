"""`scratchrnn tasks`: every task at its settings over several seeds, as one table."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..tasks.table import TASKS, bar
from ..tasks.task import Trained, require
from . import options

EPILOG = """\
Each task is trained anew for every seed and measured on its test part after the last update. The table has the median
of the scores, the least and the greatest, the bar for the median (one with "=" is for every seed), and the seconds that
one run takes. Below it stand the scores to read them by. The exit code is 1 where a bar is missed.

examples:
  scratchrnn tasks
  scratchrnn tasks digits vowels --seeds 5
"""
HEAD = f"{'task':<14} {'metric':<18} {'median':>8} {'least … greatest':>19}  {'bar':<15} {'seconds':>7}"


def add(commands: Any) -> None:
    """Its options."""
    parser = options.command(commands, "tasks", run, "train every task and print a table of scores", epilog=EPILOG)
    parser.add_argument("task", nargs="*", choices=[[], *TASKS], metavar="TASK", help=f"any of {', '.join(TASKS)}")
    parser.add_argument("--seeds", type=options.count, default=3, metavar="N", help="runs of each task")
    options.add_machine(parser, dtype=None)


def run(arguments: Namespace) -> int:
    """Train and tell, a line as soon as it is known."""
    options.use_threads(arguments)
    names = arguments.task or list(TASKS)
    require(TASKS[name] for name in names)
    print(HEAD)
    beside: list[str] = []
    try:
        missed = sum(not _row(name, arguments, beside) for name in names)
    finally:  # what is known, also after Ctrl-C
        if beside:
            print("\nbeside (medians)")
            for line in beside:
                print(line)
    return 1 if missed else 0


def _row(name: str, arguments: Namespace, beside: list[str]) -> bool:
    """Train one task, print its row, add its other scores to `beside`; whether its bar is reached."""
    task = TASKS[name]
    runs, seconds = [], []
    for seed in range(arguments.seeds):
        start = time.perf_counter()
        runs.append(task.train(seed=seed, backend=arguments.backend, progress=False))
        seconds.append(time.perf_counter() - start)
        if runs[-1].history.interrupted:
            raise KeyboardInterrupt
    scores = [trained.score for trained in runs]
    median = float(np.median(scores))
    reached = task.reached(*scores)
    spread = f"{min(scores):.4g} … {max(scores):.4g}"
    mark = "" if reached else "  missed"
    line = f"{name:<14} {task.metric:<18} {median:>8.4g} {spread:>19}  {bar(task):<15} {np.median(seconds):>7.1f}"
    print(line + mark, flush=True)
    beside += _beside(name, runs)
    return reached


def _beside(name: str, runs: Sequence[Trained]) -> list[str]:
    """The other scores of a task, over the same runs."""
    medians = {what: float(np.median([trained.beside[what] for trained in runs])) for what in runs[0].beside}
    return [f"{name:<14} {what:<32} {value:>8.4g}" for what, value in medians.items()]
