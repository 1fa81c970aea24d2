"""Benchmark 3: how the cost of `loss_and_grads` grows with T, N and H, one at a time, on one thread in float32.

On log-log axes cost ∝ size^slope is a straight line. The equations say: slope 1 in T and N; in H between 1, where x and
the outputs dominate, and 2, where W_hh does.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from . import harness
from .sides import load
from .workloads import Workload

BASE = Workload("base", N=32, T=64, D=16, H=128, O=16)
SIZES = {"T": (16, 32, 64, 128, 256, 512), "N": (8, 16, 32, 64, 128, 256), "H": (32, 64, 128, 256, 512, 1024)}


def run(*, quick: bool) -> dict[str, Any]:
    """Measure in a child process; returns what `results/scaling.json` holds."""
    head = {"benchmark": "scaling", "quick": quick, **harness.machine()}
    return {**head, **harness.child("benchmarks.scaling", {"quick": quick}, 1)}


def measure(*, quick: bool, threads: int) -> dict[str, Any]:
    """scratchrnn, and PyTorch where it is installed."""
    found, missing = load(threads, ["scratchrnn", "PyTorch"])
    points: dict[str, dict[str, list[list[float]]]] = {name: {letter: [] for letter in SIZES} for name in found}
    with harness.progress(sum(map(len, SIZES.values()))) as bar:
        for letter, sizes in SIZES.items():
            for size in sizes[1::2] if quick else sizes:
                bar.set_description(f"{letter} = {size}")
                changed: dict[str, Any] = {letter: size}
                w = BASE._replace(**changed)
                turns = {name: partial(harness.timed, side(w, "float32").grads) for name, side in found.items()}
                for name, times in harness.interleave(turns, seconds=0.2 if quick else 1.0, least=3).items():
                    points[name][letter].append([size, times["median"]])
                bar.update()
    slopes = {name: {letter: slope(line) for letter, line in lines.items()} for name, lines in points.items()}
    return {"missing": missing, "base": BASE._asdict(), "points": points, "slopes": slopes}


def slope(points: list[list[float]]) -> float:
    """Least-squares slope of log(seconds) against log(size) over the larger half of the sizes, past the fixed costs.

    >>> slope([[5, 2.9], [10, 3.0], [20, 12.0], [40, 48.0]])
    2.0
    """
    points = points[(len(points) - 1) // 2 :]
    x, y = [math.log(size) for size, _ in points], [math.log(seconds) for _, seconds in points]
    x_mean, y_mean = sum(x) / len(x), sum(y) / len(y)
    covariance = sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True))
    return round(covariance / sum((a - x_mean) ** 2 for a in x), 3)


def table(result: dict[str, Any]) -> str:
    """Milliseconds at every size, and the slopes."""
    base = ", ".join(f"{letter} = {result['base'][letter]}" for letter in "NTDHO")
    lines = [f"cost of loss_and_grads, 1 thread, float32, from {base}: median ms"]
    for name, by_letter in result["points"].items():
        for letter, points in by_letter.items():
            cells = "".join(f"{letter + '=' + str(size):>9} {1e3 * seconds:<8.3g}" for size, seconds in points)
            lines.append(f"  {name:<11}{cells} slope {result['slopes'][name][letter]:.2f}")
    return "\n".join(lines)
