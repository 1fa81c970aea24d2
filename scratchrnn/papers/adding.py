"""The adding problem: the error of answering the mean, exactly, and a network far below it.

The target is the sum of two independent numbers, uniform on [0, 1]. Its variance, and so the mean squared error of
whoever answers its mean, is 2 · 1/12 = 1/6. scratchrnn/tasks/adding.py says what the data are and where they come from.

Setting: 64 tanh units, orthogonal W_hh, Adam with cosine decay, clip 1. T = 20: rate 0.003, batches of 64, 15,000
updates; T = 50: rate 0.002, batches of 32, 40,000 updates. Quick: T = 20, 3,000 updates. The published figures are what
a PyTorch network of this size reached in 40 s and 100 s; they say how good is good, and ours may be off by their order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..tasks import adding
from .result import Result

SEQUENCES = 1_000_000


class Scores(NamedTuple):
    """Mean squared errors on sequences that were never seen."""

    baseline: float
    trained: dict[int, tuple[int, float]]  # by T: updates, error


def baseline(sequences: int = SEQUENCES, length: int = 20, seed: int = 0) -> float:
    """The error of answering 1 for so many new sequences."""
    rng = np.random.default_rng(seed)
    parts = [adding.draw(rng, min(sequences, 100_000), length).target for _ in range(0, sequences, 100_000)]
    return float(np.mean([((target - 1.0) ** 2).mean() for target in parts]))


def measure(quick: bool, progress: bool) -> Scores:
    """Draw, and train."""
    settings = {20: (64, 0.003, 12)} if quick else {20: (64, 0.003, 60), 50: (32, 0.002, 160)}
    trained = {}
    for length, (batch, rate, epochs) in settings.items():
        done = adding.train(length, batch, rate, epochs=epochs, progress=progress)
        trained[length] = done.history.updates, done.score
    return Scores(baseline(), trained)


def results(scores: Scores) -> list[Result]:
    """The baseline beside 1/6; the trained networks beside what was seen."""
    found = [
        Result("adding: answering the mean", f"{SEQUENCES:,} sequences", 1 / 6, scores.baseline, 5e-4, "exact: 1/6")
    ]
    for length, (updates, error) in scores.trained.items():
        published = {20: 1.3e-4, 50: 8e-4}[length]
        found.append(
            Result(
                "adding: trained",
                f"T = {length}, {updates:,} updates",
                published,
                error,
                0.005,
                f"1/{1 / 6 / error:.0f} of the baseline",
            )
        )
    return found


def run(quick: bool, progress: bool) -> list[Result]:
    """Measure and compare."""
    return results(measure(quick, progress))
