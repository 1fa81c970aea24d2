"""Benchmark 5: what `fit(track=…)` costs: whole updates with norms, with everything, and with nothing recorded.

The three take turns in one process, each update recorded: a run that is long enough records ever fewer of them, and
pays less. Limits: norms 2 %, everything 5 % of an update without.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from . import harness
from .workloads import WORKLOADS

LIMITS = {"norms": 1.02, "all": 1.05}
NAMES = ("char", "mid")
SECONDS = {False: 50.0, True: 5.0}  # of each; the whole measurement and the quick one


def run(*, quick: bool) -> dict[str, Any]:
    """Measure in a child process; returns what `results/tracking.json` holds."""
    head = {"benchmark": "tracking", "quick": quick, **harness.machine()}
    return {**head, **harness.child("benchmarks.tracking", {"quick": quick}, min(harness.cores(), 2))}


def measure(*, quick: bool, threads: int) -> dict[str, Any]:
    """Updates in float32, on so many threads."""
    from .sides import ours
    from .steps import turn

    ours.set_threads(threads)
    runs = []
    with harness.progress(len(NAMES)) as bar:
        for name in NAMES:
            bar.set_description(name)
            make = partial(ours.Side, WORKLOADS[name], "float32")
            turns = {str(track): turn(make(track=track), "update") for track in (None, *LIMITS)}
            times = harness.interleave(turns, seconds=SECONDS[quick], most=2000)
            runs.append({"workload": name, "threads": threads, "times": times, "ratios": ratios(times)})
            bar.update()
    return {"runs": runs}


def ratios(times: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Medians and minima over those of an update without tracking."""
    return {
        track: {which: round(times[track][which] / times["None"][which], 4) for which in ("median", "min")}
        for track in LIMITS
    }


def table(result: dict[str, Any]) -> str:
    """Milliseconds of an update without tracking, and how much longer it takes with."""
    lines = [f"{result['processor']}, {result['cores']} cores, {result['date']}: a whole update, float32"]
    lines.append(f"  {'':<14}{'median ms':>12}" + "".join(f"{f'track={track}':>24}" for track in LIMITS))
    for run in result["runs"]:
        cells = "".join(f"{r['median'] - 1:>+15.1%}{r['min'] - 1:>+9.1%}" for r in run["ratios"].values())
        lines.append(f"  {run['workload']:<14}{1e3 * run['times']['None']['median']:>12.4g}{cells}")
    limits = ", ".join(f"{track} {limit - 1:.0%}" for track, limit in LIMITS.items())
    return "\n".join([*lines, f"  by medians and by minima; limits: {limits}"])
