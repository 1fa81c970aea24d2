"""Temporal order with and without clipping: how often a plain tanh network learns it, and the norms that explain it.

The task is that of scratchrnn/tasks/temporal_order.py: which of two signals, half a sequence apart, came first. At rate
0.05 clipping the global norm decides it: none of ten runs without, all ten with it. At rate 0.01 ours differs from what
was seen: 5 of 10 with clipping and 5 without, not 8 and 4. That is within the scatter of ten runs, and shows no gain.

Setting: 50 tanh units, all weight matrices N(0, std²), biases 0, float32;
plain SGD, 20 new sequences an update; global-norm clipping at 1 or none. Every 250 updates 10,000 fresh sequences are
tested; the first time fewer than 1 % are wrong the run counts as solved and ends. A run whose gradient is no longer
finite counts as failed. Ten seeds of every setting; quick: two of rate 0.05 at L = 30, at most 8,000 updates.

Pascanu, Mikolov and Bengio draw success rates as curves over L. The shares to compare with are those that a plain
loop at the same settings gave, each of ten runs (six at L = 50), so that both sides are samples. The tolerance
is about twice the standard deviation of the difference of two such samples.

Source: Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks", figure 7.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._arrays import to_numpy
from .._numerics import row_norms
from .._progress import progress_bar
from ..backends import set_num_threads
from ..tasks import temporal_order as task
from ..training.fit import NonFiniteError
from .result import Result

PROCESSES = 2
LIMIT = 1.0
PROBE = 1000  # sequences on which ‖∂L/∂h_t‖ is measured at the end of a run


class Setting(NamedTuple):
    """What all runs of a row of the table share."""

    length: int
    std: float
    rate: float
    updates: int  # at most
    clip_norm: float | None
    seen: tuple[int, int]  # solved, of so many, by a plain loop
    tolerance: float  # of the share

    def __str__(self) -> str:
        clipping = "no clipping" if self.clip_norm is None else f"clipping at {self.clip_norm:g}"
        return f"L = {self.length}, std {self.std:g}, rate {self.rate:g}, {clipping}"


SETTINGS = (
    Setting(30, 0.1, 0.01, 40_000, None, (4, 10), 0.4),
    Setting(30, 0.1, 0.01, 40_000, LIMIT, (8, 10), 0.4),
    Setting(30, 0.1, 0.05, 15_000, None, (0, 10), 0.2),
    Setting(30, 0.1, 0.05, 15_000, LIMIT, (10, 10), 0.2),
    Setting(50, 0.14, 0.05, 15_000, None, (0, 6), 0.2),
    Setting(50, 0.14, 0.05, 15_000, LIMIT, (6, 6), 0.2),
)
QUICK = tuple(setting._replace(updates=8_000) for setting in SETTINGS[2:4])


class Run(NamedTuple):
    """One network: whether it solved the task, and its gradients on the way and at the end."""

    setting: Setting
    seed: int
    solved: bool
    updates: int  # until it was solved, or given up
    ended_by: str  # why it failed, where that was not for want of updates
    loss: list[float]  # mean of each 250 updates
    median_norm: list[float]  # of the global norm before clipping over each 250 updates
    largest_norm: list[float]
    flow: list[float]  # ‖∂L/∂h_t‖ for every t after the last update, the root mean square over PROBE new sequences


def one_run(setting: Setting, seed: int) -> Run:
    """Train one network until it has solved the task, or cannot any more."""
    network = task.network(std=setting.std, seed=seed)
    solved, ended_by, epochs = False, "", setting.updates // task.EVERY
    try:
        history, solved = task.learn(
            network, setting.length, setting.rate, setting.clip_norm, epochs=epochs, seed=seed, progress=False
        )
    except NonFiniteError as error:
        history, ended_by = error.history, error.what
    if history.interrupted:
        raise KeyboardInterrupt
    part = task.draw(np.random.default_rng((seed, 3)), PROBE, setting.length)
    flow = to_numpy(network.loss_and_grads(*part, steps="last").flow.per_sample)  # (PROBE, L)
    norms = [history.grad_norm[start : start + task.EVERY] for start in range(0, history.updates, task.EVERY)]
    medians, largest = [float(np.median(some)) for some in norms], [max(some) for some in norms]
    rms = row_norms(flow.T) / math.sqrt(PROBE)
    return Run(setting, seed, solved, history.updates, ended_by, history.loss, medians, largest, rms.tolist())


def study(settings: Iterable[Setting], seeds: int, progress: bool) -> list[Run]:
    """All runs, in the order of settings and seeds, on PROCESSES processes of one thread each."""
    jobs = [(setting, seed) for setting in settings for seed in range(seeds)]
    pool = ProcessPoolExecutor(PROCESSES, get_context("spawn"), _begin)
    try:
        runs = [pool.submit(one_run, *job) for job in jobs]
        with progress_bar(total=len(runs), unit="run", show=progress) as bar:
            for _ in as_completed(runs):
                bar.update()
        return [run.result() for run in runs]
    finally:
        pool.shutdown(cancel_futures=True)


def _begin() -> None:
    """In each process: one thread; and Ctrl-C, which a terminal sends to all of them, ends it without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    set_num_threads(1)


def wilson(solved: int, runs: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % confidence interval of a share of which `solved` of so many runs are a sample.

    Unlike p ± z·√(p(1 − p)/n) it has a width where all runs, or none, succeed.
    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> [round(bound, 3) for bound in wilson(0, 10)], [round(bound, 3) for bound in wilson(8, 10)]
    ([0.0, 0.278], [0.49, 0.943])
    """
    share, spread = solved / runs, z**2 / runs
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / runs + spread / (4 * runs))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def by_setting(runs: Iterable[Run]) -> dict[Setting, list[Run]]:
    """The runs of each setting, in the order in which they come."""
    groups: dict[Setting, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.setting, []).append(run)
    return groups


def with_intervals(runs: Iterable[Run]) -> list[tuple[Setting, list[Run], tuple[float, float]]]:
    """Each setting, its runs, and the 95 % confidence interval of the share of them that solved the task."""
    groups = by_setting(runs).items()
    return [(setting, group, wilson(sum(run.solved for run in group), len(group))) for setting, group in groups]


def measure(quick: bool, progress: bool, seeds: int | None = None) -> list[Run]:
    """Train them all."""
    return study(QUICK, seeds or 2, progress) if quick else study(SETTINGS, seeds or 10, progress)


def results(runs: Iterable[Run]) -> list[Result]:
    """The share of solved runs of each setting."""
    found = []
    for setting, some, (low, high) in with_intervals(runs):
        times = [run.updates for run in some if run.solved]
        seen, of = setting.seen
        note = f"{len(times)} of {len(some)}, 95 % in [{low:.2f}, {high:.2f}]; a plain loop: {seen} of {of}"
        note += f"; median {np.median(times):,.0f} updates" if times else ""
        share = len(times) / len(some)
        found.append(Result("temporal order: solved", str(setting), seen / of, share, setting.tolerance, note))
    return found


def save(runs: Iterable[Run], path: Path) -> None:
    """All runs as JSON."""
    path.write_text(json.dumps([run._asdict() | {"setting": run.setting._asdict()} for run in runs]), encoding="utf-8")


def read(path: Path) -> list[Run]:
    """What `save` wrote."""

    def setting(entry: dict[str, Any]) -> Setting:
        return Setting(**entry | {"seen": tuple(entry["seen"])})

    entries = json.loads(path.read_text(encoding="utf-8"))
    return [Run(**entry | {"setting": setting(entry["setting"])}) for entry in entries]


def keep(runs: list[Run], out: Path) -> dict[str, str]:
    """Write temporal-order.json."""
    save(runs, out / "temporal-order.json")
    return {"temporal-order.json": "every run of it: updates, losses, norms"}


def draw(runs: list[Run], out: Path) -> dict[str, str]:
    """Write temporal-order.png."""
    from ..plots import new_figure, papers

    groups = with_intervals(runs)
    figure = new_figure(10.5, 2.7 * len({setting[:3] for setting, *_ in groups}) + 0.6)
    papers.plot_temporal_order(groups, figure).savefig(out / "temporal-order.png")
    return {"temporal-order.png": "how many runs solved temporal order, and the norms that explain it"}
