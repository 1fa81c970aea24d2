"""The adding problem: the error of answering the mean, exactly, and a network far below it.

The target is the sum of two independent numbers, uniform on [0, 1]. Its variance, and so the mean squared error of
whoever answers its mean, is 2 · 1/12 = 1/6. scratchrnn/tasks/adding.py says what the data are and where they come from.

Setting: 64 tanh units, orthogonal W_hh, Adam whose rate decays along a cosine, the gradient's norm clipped to 1, and
the lengths, batches, rates and epochs of 250 updates below. The figures beside the trained networks are what a PyTorch
network of this size reached in 40 s (T = 20) and in 100 s (T = 50: 4e-4 to 1.2e-3), with a constant rate. They say how
good is good; the tolerance asks for a thirtieth (quick) or a sixtieth of the baseline, or less.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..tasks import adding
from .result import Result

SEQUENCES = 1_000_000


class Setting(NamedTuple):
    """A network to train, and what is asked of it."""

    length: int
    batch: int
    rate: float
    epochs: int
    seen: float
    tolerance: float


FULL = (Setting(20, 64, 0.003, 60, 1.3e-4, 5e-4), Setting(50, 32, 0.002, 160, 8e-4, 2e-3))
QUICK = (Setting(20, 64, 0.003, 12, 1.3e-4, 5e-3),)


class Scores(NamedTuple):
    """Mean squared errors on sequences that were never seen."""

    baseline: float
    trained: dict[Setting, float]


def baseline(sequences: int = SEQUENCES, length: int = 20, seed: int = 0) -> float:
    """The error of answering 1 for so many new sequences."""
    rng = np.random.default_rng(seed)
    parts = [adding.draw(rng, min(sequences, 100_000), length).target for _ in range(0, sequences, 100_000)]
    return float(np.mean([((target - 1.0) ** 2).mean() for target in parts]))


def measure(quick: bool, progress: bool) -> Scores:
    """Draw, and train."""
    trained = {}
    for setting in QUICK if quick else FULL:
        length, batch, rate, epochs, _, _ = setting
        done = adding.train(length, batch, rate, epochs=epochs, progress=progress)
        if done.history.interrupted:
            raise KeyboardInterrupt
        trained[setting] = done.score
    return Scores(baseline(), trained)


def results(scores: Scores) -> list[Result]:
    """The baseline beside 1/6; the trained networks beside what was seen."""
    where, name = f"{SEQUENCES:,} sequences", "adding: error of answering the mean"
    found = [Result(name, where, adding.BASELINE, scores.baseline, 1e-3, "exact: 1/6")]
    for (length, _, _, epochs, seen, tolerance), error in scores.trained.items():
        where, note = f"T = {length}, {epochs * adding.EVERY:,} updates", f"1/{adding.BASELINE / error:.0f} of that"
        found.append(Result("adding: error of a trained network", where, seen, error, tolerance, note))
    return found
