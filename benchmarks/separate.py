"""The second way of measuring: each side in a process of its own, and the processes take turns, round after round.

In one process all sides share memory, caches and the threads of common libraries, which may help one and hurt another.
Here they share only the machine. Each process starts once, compiles once, and sleeps while another has its turn. Every
round starts with the next side. What counts is the median over the rounds of each turn's median.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from . import harness

CODE = "import sys; from benchmarks import separate; separate.serve(*sys.argv[1:])"


class SideProcess:
    """A process for one side, which does what it is asked: `module.Separate(side, threads)` and its methods.

    Requests and answers are lines of JSON on its standard input and output. Its standard error is kept back;
    RuntimeError gives the last line of it when the process fails.
    """

    def __init__(self, module: str, side: str, threads: int) -> None:
        self.name, self.title = side, f"{module}, {side} in a process of its own, with {threads} thread(s)"
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            [sys.executable, "-c", CODE, module, side, str(threads)],
            cwd=harness.ROOT,
            env=harness.environment(threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            encoding="utf-8",
        )

    def __enter__(self) -> SideProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process; it has no work left, or none that anybody waits for."""
        self.process.kill()
        self.process.communicate()
        self.log.close()

    def ask(self, method: str, **arguments: Any) -> Any:
        """Call a method in the process and return its answer when the process is at rest again."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps([method, arguments]) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the process has ended; there is no answer either
        answer = self.process.stdout.readline()
        if not answer:
            code = self.process.wait()
            self.log.seek(0)
            raise RuntimeError(f"{self.title}: {harness.last_line(self.log.read(), code)}")
        return json.loads(answer)


def serve(module: str, side: str, threads: str) -> None:
    """The process's own part: answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    served = importlib.import_module(module).Separate(side, int(threads))
    for line in sys.stdin:
        method, arguments = json.loads(line)
        answer = getattr(served, method)(**arguments)
        harness.rest()  # threads that still spin would slow the next process
        print(json.dumps(answer), file=answers, flush=True)


def take_turns(processes: Sequence[Any], mode: str, rounds: int) -> dict[str, dict[str, float]]:
    """Let the processes take so many turns each; what `harness.interleave` returns, and the number of rounds."""
    for process in processes:
        process.ask("warm_up", mode=mode)
    turns: dict[str, list[dict[str, Any]]] = {process.name: [] for process in processes}
    for i in range(rounds):
        first = i % len(processes)
        for process in [*processes[first:], *processes[:first]]:
            turns[process.name].append(process.ask("take_turn"))
    return {name: summary(answers) for name, answers in turns.items()}


def summary(turns: list[dict[str, Any]]) -> dict[str, float]:
    """Median over rounds of each turn's median, and the minimum over all calls, in seconds.

    >>> summary([{"seconds": [1.0, 2.0, 9.0], "cores": 1.0}, {"seconds": [4.0], "cores": 2.0}])
    {'median': 3.0, 'min': 1.0, 'calls': 4, 'cores': 1.5, 'rounds': 2}
    """
    return {
        "median": statistics.median(statistics.median(turn["seconds"]) for turn in turns),
        "min": min(min(turn["seconds"]) for turn in turns),
        "calls": sum(len(turn["seconds"]) for turn in turns),
        "cores": round(statistics.median(turn["cores"] for turn in turns), 2),
        "rounds": len(turns),
    }
