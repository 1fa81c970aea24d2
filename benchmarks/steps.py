"""Benchmark 1: what a pass and an update cost, on every side that is installed.

Each number of threads is a process of its own. Inside it, for every workload and precision, all sides must first agree
with a float64 reference on the loss and on every gradient; then they take turns (`harness.interleave`).
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from . import harness
from .sides import OURS, Side, load
from .workloads import WORKLOADS, Weights, Workload

MODES = {"forward": "forward", "grads": "forward + backward", "update": "whole update"}
# Largest difference from the float64 reference: of the loss relatively, of a gradient in norm, relative to its norm.
TOLERANCE = {"float32": 2e-5, "float64": 1e-11}
QUICK = ("sine", "minchar", "char")


class DisagreementError(RuntimeError):
    """A side computes something else, so that its time would mean nothing."""


def run(*, quick: bool, threads: Iterable[int], names: list[str] | None = None) -> dict[str, Any]:
    """Measure in child processes; returns what `results/steps.json` holds."""
    head = {"benchmark": "steps", "quick": quick, **harness.machine()}
    parts = [harness.child("benchmarks.steps", {"quick": quick, "names": names}, n) for n in threads]
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


def best_peer(times: dict[str, dict[str, float]]) -> str | None:
    """Name of the fastest side that is not ours; None without peers."""
    return min((name for name in times if name != OURS), key=lambda name: times[name]["median"], default=None)


def table(result: dict[str, Any]) -> str:
    """Medians in ms, the best peer's median over ours, and our share of the peak."""
    names = list(dict.fromkeys(name for run in result["runs"] for name in run["sides"]))
    lines = [f"{result['processor']}, {result['cores']} cores, {result['date']}"]
    lines += [f"without {name}: {reason}" for name, reason in result["missing"].items()]
    for threads in sorted({run["threads"] for run in result["runs"]}):
        for mode, title in MODES.items():
            lines.append(f"\n{title}, {threads} thread{'s' if threads > 1 else ''}: median ms")
            lines.append(f"  {'':<22}" + "".join(f"{n:>12}" for n in names) + f"{'best peer':>12}{'of peak':>9}")
            for run in result["runs"]:
                if (run["threads"], run["mode"]) != (threads, mode):
                    continue
                times = run["sides"]
                cells = "".join(f"{1e3 * times[n]['median']:>12.4g}" for n in names)
                peer, ours = best_peer(times), times[OURS]["median"]
                ratio = f"{times[peer]['median'] / ours:.2f} ×" if peer else "–"
                share = f"{run['flops'] / ours / run['peak']:.0%}"
                lines.append(f"  {run['workload']:<14}{run['dtype']:<8}{cells}{ratio:>12}{share:>9}")
    return "\n".join(lines)
