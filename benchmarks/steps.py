"""Benchmark 1: what a pass and an update cost, on every side that is installed.

First way: each number of threads is a process of its own. Inside it, for every workload and precision, all sides must
first agree with a float64 reference on the loss and on every gradient; then they take turns (`harness.interleave`).

Second way: each side is in a process of its own, where it must agree with the reference too; then the processes take
turns (`separate`). Times in milliseconds are of the first way. A ratio is the lower of the two ways: the one less
favourable to scratchrnn. The results hold both, as a run's `sides` and `separate`; records from before the second way
have only `sides`.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from typing import Any

from . import harness, separate
from .sides import OURS, Side, load
from .workloads import WORKLOADS, Weights, Workload

MODES = {"forward": "forward", "grads": "forward + backward", "update": "whole update"}
# Largest difference from the float64 reference: of the loss relatively, of a gradient in norm, relative to its norm.
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}
QUICK = ("sine", "minchar", "char")
# Turns of each process in the second way, for each workload, precision and mode: the whole run and the quick one.
ROUNDS = {False: 5, True: 3}


class DisagreementError(RuntimeError):
    """A side computes something else, so that its time would mean nothing."""


def run(
    *, quick: bool, threads: Iterable[int], names: list[str] | None = None, rounds: int | None = None
) -> dict[str, Any]:
    """Measure in child processes; returns what `results/steps.json` holds. With 0 `rounds` there is no second way."""
    head = {"benchmark": "steps", "quick": quick, **harness.machine()}
    rounds = ROUNDS[quick] if rounds is None else rounds
    parts = []
    for count in threads:
        parts.append(harness.child("benchmarks.steps", {"quick": quick, "names": names}, count))
        if rounds:
            measure_separately(parts[-1]["runs"], threads=count, rounds=rounds)
    runs = [run for part in parts for run in part["runs"]]
    return {**head, "missing": parts[0]["missing"], "blas": [part["blas"] for part in parts], "runs": runs}


def measure(
    *, quick: bool, threads: int, names: list[str] | None = None, only: list[str] | None = None
) -> dict[str, Any]:
    """Every workload, precision and mode with this number of threads, in this process; `only` these sides."""
    found, missing = load(threads, only)
    workloads = names or (QUICK if quick else tuple(WORKLOADS))
    dtypes = ("float32",) if quick else ("float32", "float64")
    runs = []
    with harness.progress(len(workloads) * len(dtypes) * len(MODES)) as bar:
        for name in workloads:
            for dtype in dtypes:
                bar.set_description(f"{name} {dtype}, {threads} thread{'s' if threads > 1 else ''}")
                sides = {side: make(WORKLOADS[name], dtype) for side, make in found.items()}
                check_agreement(WORKLOADS[name], dtype, sides)
                seconds = 1.0 if quick else 2.0
                runs += compare(WORKLOADS[name], dtype, threads, sides, seconds=seconds, done=bar.update)
    return {"missing": missing, "blas": blas(), "runs": runs}


def measure_separately(
    runs: list[dict[str, Any]], *, threads: int, rounds: int, workloads: dict[str, Workload] = WORKLOADS
) -> None:
    """Measure these runs the second way and add the times to each as `separate`."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(separate.SideProcess("benchmarks.steps", side, threads)) for side in runs[0]["sides"]
        ]
        bar = stack.enter_context(harness.progress(len(runs)))
        for (name, dtype), modes in groupby(runs, key=lambda run: (run["workload"], run["dtype"])):
            bar.set_description(f"{name} {dtype}, {threads} thread{'s' if threads > 1 else ''}, separate processes")
            for process in processes:
                process.ask("prepare", workload=list(workloads[name]), dtype=dtype)
            for run in modes:
                run["separate"] = separate.take_turns(processes, run["mode"], rounds)
                bar.update()


class Separate:
    """One side in a process of its own: what `separate.serve` calls there."""

    side: Side
    turn: harness.Turn
    calls: int

    def __init__(self, name: str, threads: int) -> None:
        found, missing = load(threads, [name])
        if missing:
            raise ImportError(missing[name])
        self.name, self.make = name, found[name]

    def prepare(self, workload: list[Any], dtype: str) -> None:
        """Build the side and check that it agrees with the reference."""
        w = Workload(*workload)
        self.side = self.make(w, dtype)
        check_agreement(w, dtype, {self.name: self.side})

    def warm_up(self, mode: str) -> None:
        """Compile, where there is something to compile, and see how many calls fill a turn."""
        self.turn = turn(self.side, mode)
        self.turn(1)
        self.calls = harness.calls_per_turn(self.turn)
        gc.collect()

    def take_turn(self) -> dict[str, Any]:
        """Seconds of each call, and how many cores the turn kept busy. The garbage collector is off."""
        gc.disable()
        try:
            wall, processor = time.perf_counter(), time.process_time()
            seconds = self.turn(self.calls)
            cores = (time.process_time() - processor) / (time.perf_counter() - wall)
        finally:
            gc.enable()
        return {"seconds": seconds, "cores": cores}


def check_agreement(w: Workload, dtype: str, sides: dict[str, Side]) -> None:
    """Raise DisagreementError unless every side has the reference's loss and gradients."""
    from .sides import numpy_loop

    reference = numpy_loop.Side(w, "float64").result()  # the same numbers, before rounding
    for name, side in sides.items():
        where, error = worst(side.result(), reference)
        if not error <= TOLERANCE[dtype]:  # NaN too
            raise DisagreementError(
                f"{name} on {w.name} in {dtype}: {where} is {error:.1e} from the reference, at most "
                f"{TOLERANCE[dtype]:.0e} is allowed; nothing was timed"
            )


def worst(result: tuple[float, Weights], reference: tuple[float, Weights]) -> tuple[str, float]:
    """What differs most from the reference, and by how much."""
    import numpy as np

    (loss, grads), (true_loss, true_grads) = result, reference
    if grads.keys() != true_grads.keys():
        return "the set of gradients", float("inf")
    errors = {"the loss": abs(loss - true_loss) / abs(true_loss)}
    for name, true in true_grads.items():
        if grads[name].shape != true.shape:
            return f"the shape of ∂L/∂{name}", float("inf")
        errors[f"∂L/∂{name}"] = float(np.linalg.norm(grads[name] - true) / np.linalg.norm(true))
    return max(errors.items(), key=lambda item: np.nan_to_num(item[1], nan=np.inf))


def compare(
    w: Workload,
    dtype: str,
    threads: int,
    sides: dict[str, Side],
    *,
    seconds: float,
    size: int = 2048,
    done: Callable[[], object] = lambda: None,
) -> list[dict[str, Any]]:
    """The three modes of one workload, with products of size × size matrices before, between and after them."""
    peak = [gemm(dtype, size)]
    runs = []
    for mode in MODES:
        times = harness.interleave({name: turn(side, mode) for name, side in sides.items()}, seconds=seconds)
        peak += [gemm(dtype, size), gemm(dtype, size)]
        runs.append({"workload": w.name, "dtype": dtype, "threads": threads, "mode": mode, "flops": w.flops(mode)})
        runs[-1]["sides"] = times
        done()
    for run in runs:
        run["peak"] = statistics.median(peak)
    return runs


def turn(side: Side, mode: str) -> harness.Turn:
    """What a side does when it is its turn: seconds per pass, or per update, its mean over an epoch."""
    if mode == "update":
        return lambda count: [seconds / side.workload.batches for seconds in side.epochs(count)]
    return partial(harness.timed, getattr(side, mode))


def gemm(dtype: str, n: int) -> float:
    """Operations per second of NumPy's product of two n × n matrices, the better of two."""
    import numpy as np

    a = np.full((n, n), 0.5, dtype=dtype)
    out = np.empty_like(a)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        np.dot(a, a, out=out)
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 / min(seconds)


def blas() -> dict[str, Any] | None:
    """Which BLAS NumPy has and for which processor it chose its kernels; None where threadpoolctl is missing."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    keys = ("internal_api", "version", "architecture", "num_threads")
    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas" and "numpy" in pool["filepath"]]
    return {key: found[0].get(key) for key in keys} if found else None


def ratio(run: dict[str, Any], peer: str) -> float:
    """The peer's median over ours: the lower of the two ways, or that of the only one."""
    ways = [run["sides"], run["separate"]] if "separate" in run else [run["sides"]]
    return min(times[peer]["median"] / times[OURS]["median"] for times in ways)


def lowest_ratio(run: dict[str, Any]) -> float | None:
    """The ratio of the peer that comes closest to us or leads most; None without peers."""
    return min((ratio(run, peer) for peer in run["sides"] if peer != OURS), default=None)


def measured_both_ways(result: dict[str, Any]) -> bool:
    """False for a record from before the second way, or without it."""
    return all("separate" in run for run in result["runs"])


def table(result: dict[str, Any]) -> str:
    """Medians in ms and, in brackets, each peer's ratio; the lowest ratio; our share of the peak."""
    names = list(dict.fromkeys(name for run in result["runs"] for name in run["sides"]))
    lines = [f"{result['processor']}, {result['cores']} cores, {result['date']}"]
    lines += [f"without {name}: {reason}" for name, reason in result["missing"].items()]
    lines.append("median ms of all sides in one process; in brackets the peer's time over ours:")
    if measured_both_ways(result):
        lines.append("the lower of two ways: all sides in one process, each side in a process of its own")
    else:
        lines.append("measured in one way only, all sides in one process")
    for threads in sorted({run["threads"] for run in result["runs"]}):
        for mode, title in MODES.items():
            lines.append(f"\n{title}, {threads} thread{'s' if threads > 1 else ''}: median ms (ratio)")
            lines.append(f"  {'':<22}" + "".join(f"{n:>17}" for n in names) + f"{'best peer':>12}{'of peak':>9}")
            for run in result["runs"]:
                if (run["threads"], run["mode"]) != (threads, mode):
                    continue
                cells = "".join(f"{cell(run, name):>17}" for name in names)
                lowest = lowest_ratio(run)
                best = "–" if lowest is None else f"{lowest:.2f} ×"
                share = f"{run['flops'] / run['sides'][OURS]['median'] / run['peak']:.0%}"
                lines.append(f"  {run['workload']:<14}{run['dtype']:<8}{cells}{best:>12}{share:>9}")
    return "\n".join(lines)


def cell(run: dict[str, Any], name: str) -> str:
    """A side's median in ms; a peer's ratio beside it."""
    milliseconds = f"{1e3 * run['sides'][name]['median']:.4g}"
    return milliseconds if name == OURS else f"{milliseconds} ({ratio(run, name):.2f})"
