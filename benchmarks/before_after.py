"""`python -m benchmarks.before_after CHECKOUT`: is any workload slower than in another checkout?

Three copies of the package are imported under three names in one process: that of the other checkout (before), the one
here (after), and that of the other checkout once more, whose ratio says how far apart identical code can lie. They take
turns, in another order every round, and what counts is the median over all rounds of the ratio of two turns of the same
round: what slows the machine for seconds slows both. A ratio above 1.03 is reported, and the exit code is 1.

The packages are copied first, without their compiled kernels: a checkout may change while it is measured, and Numba
gives functions of equal names equal symbols, which must not be mixed up. Each copy compiles its own kernels once (about
half a minute each) and has its own thread pool, whose workers sleep while another copy has its turn. Float32 on one
thread takes about six minutes on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from types import ModuleType
from typing import Any

from . import harness
from .steps import MODES, TOLERANCE, check_agreement, turn
from .workloads import WORKLOADS

LIMIT = 1.03
ROUNDS = 40
TURN = 0.04  # seconds that a turn of short calls is to last
BEFORE, AFTER, AGAIN = "before", "after", "before again"
PACKAGE = "scratchrnn"


def main(argv: list[str] | None = None) -> int:
    """Measure and print; 1 where a median ratio is above the limit, 2 where nothing could be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.before_after", description="Compare the speed of this code with another checkout's."
    )
    parser.add_argument("before", type=Path, metavar="CHECKOUT", help="folder that holds the other scratchrnn/")
    parser.add_argument("--after", type=Path, metavar="CHECKOUT", default=harness.ROOT, help="this checkout, if none")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"paired turns of each workload and mode: {ROUNDS}")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), metavar="NAME", help=", ".join(WORKLOADS))
    parser.add_argument("--dtype", choices=list(TOLERANCE), default="float32")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="1, if none")
    arguments = parser.parse_args(argv)
    if arguments.rounds < 1 or min(arguments.threads) < 1:
        parser.error("--rounds and --threads must be at least 1")
    for checkout in (arguments.before, arguments.after):
        if not (checkout / PACKAGE / "__init__.py").is_file():
            parser.error(f"{checkout} is no checkout: it has no {PACKAGE}/__init__.py")

    start = time.perf_counter()
    machine = harness.machine()
    print(f"{machine['processor']}, {machine['cores']} cores, load {machine['load']}, {machine['date']}", flush=True)
    slower = 0
    with tempfile.TemporaryDirectory() as folder:
        copies = copy_packages(arguments.before, arguments.after, Path(folder))
        options = {"copies": copies, "names": arguments.workloads or list(WORKLOADS)}
        options |= {"dtype": arguments.dtype, "rounds": arguments.rounds}
        for threads in arguments.threads:
            try:
                result = harness.child("benchmarks.before_after", options, threads)
            except RuntimeError as error:
                print(f"error: {error}", file=sys.stderr)
                return 2
            print(table(result), flush=True)
            slower += sum(run["ratio"] > LIMIT for run in result["runs"])
    print(f"\n{slower} above {LIMIT}, {(time.perf_counter() - start) / 60:.1f} minutes")
    return int(slower > 0)


def copy_packages(before: Path, after: Path, folder: Path) -> dict[str, str]:
    """Copy the packages of both checkouts, that of the first one twice; returns the folder of each copy by its name."""
    copies = {}
    for name, source in ((BEFORE, before), (AFTER, after), (AGAIN, before)):
        copies[name] = str(folder / name.replace(" ", "_") / PACKAGE)
        shutil.copytree(source / PACKAGE, copies[name], ignore=shutil.ignore_patterns("__pycache__"))
    return copies


def load_copy(name: str, folder: str) -> ModuleType:
    """Import the package in that folder under another name; its modules import one another relatively."""
    module_name = f"{PACKAGE}_{name.replace(' ', '_')}"
    init = Path(folder) / "__init__.py"
    spec = importlib.util.spec_from_file_location(module_name, init, submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        raise ImportError(f"{init} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


def measure(*, copies: dict[str, str], names: Sequence[str], dtype: str, rounds: int, threads: int) -> dict[str, Any]:
    """Every workload in every mode, in this process; medians in seconds, and the ratios to before."""
    from .sides import Side, ours

    packages = {name: load_copy(name, folder) for name, folder in copies.items()}
    for package in packages.values():
        package.set_num_threads(threads)
    runs = []
    with harness.progress(len(names) * len(MODES)) as bar:
        for name in names:
            bar.set_description(f"{name}, {threads} thread{'s' if threads > 1 else ''}")
            workload = WORKLOADS[name]
            sides: dict[str, Side] = {
                which: ours.Side(workload, dtype, package=package) for which, package in packages.items()
            }
            check_agreement(workload, dtype, sides)
            for mode in MODES:
                seconds = paired({which: long_enough(turn(side, mode)) for which, side in sides.items()}, rounds)
                runs.append({"workload": name, "mode": mode, **summary(seconds)})
                bar.update()
    backends = {which: package.get_backend() for which, package in packages.items()}
    return {"dtype": dtype, "threads": threads, "rounds": rounds, "backends": backends, "runs": runs}


def long_enough(take_turn: harness.Turn) -> Callable[[], float]:
    """A turn of so many calls that it can be timed, as a function that returns the median of their seconds."""
    take_turn(1)  # compiles, where there is something to compile
    start = time.perf_counter()
    take_turn(1)  # with what comes before it untimed: a call that fills the caches, or an epoch
    calls = max(1, int(TURN / (time.perf_counter() - start)))
    return lambda: statistics.median(take_turn(calls))


def paired(turns: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Let all take a turn in every round, in every order as often; seconds by round. The garbage collector is off."""
    orders = list(permutations(turns))
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    gc.collect()
    gc.disable()
    try:
        for i in range(rounds):
            for name in orders[i % len(orders)]:
                seconds[name].append(turns[name]())
    finally:
        gc.enable()
    return seconds


def summary(seconds: Mapping[str, list[float]]) -> dict[str, float]:
    """Medians over the rounds: seconds before, after over before, and before again over before.

    >>> summary({"before": [1.0, 2.0, 4.0], "after": [1.1, 2.0, 5.0], "before again": [1.0, 2.0, 4.0]})
    {'seconds': 2.0, 'ratio': 1.1, 'identical': 1.0}
    """

    def ratio(name: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[name], seconds[BEFORE], strict=True))

    return {"seconds": statistics.median(seconds[BEFORE]), "ratio": ratio(AFTER), "identical": ratio(AGAIN)}


def table(result: dict[str, Any]) -> str:
    """Milliseconds before, and both ratios; what is above the limit is marked."""
    threads, backends = result["threads"], result["backends"]
    used = " and ".join(dict.fromkeys(backends.values()))
    setting = f"{result['dtype']}, {threads} thread{'s' if threads > 1 else ''}, {used}"
    lines = [
        f"\n{setting}: medians of {result['rounds']} rounds",
        f"  {'':<34}{'before ms':>11}{'after / before':>17}{'identical code':>17}",
    ]
    for run in result["runs"]:
        slower = "  slower" * (run["ratio"] > LIMIT)
        lines.append(
            f"  {run['workload']:<14}{MODES[run['mode']]:<20}{1e3 * run['seconds']:>11.4g}{run['ratio']:>17.3f}"
            f"{run['identical']:>17.3f}{slower}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
