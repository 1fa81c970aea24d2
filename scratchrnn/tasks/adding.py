"""Many-to-one (多对一): the sum of two marked numbers, the adding problem.

Each of the T steps brings a value, uniform on [0, 1], and a mark, which is 1 at one step of each half of the sequence
and 0 elsewhere. After the last step the network says the sum of the two marked values. Nothing but the marks tells
which values matter, and the first of them must be kept, to some digits, past all that come after it.

Who answers the mean, 1, whatever comes, has the variance of a sum of two uniform numbers as mean squared error:

    2 · 1/12 = 1/6.

Every update draws new sequences.

Source: Hochreiter and Schmidhuber 1997, "Long short-term memory", experiment 4; with one mark in each half Le, Jaitly
and Hinton 2015, "A simple way to initialize recurrent networks of rectified linear units", section 4.1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arrays import to_numpy
from ..model import SequenceModel, VanillaRNN
from ..optimizers import Adam
from ..training.callbacks import CosineDecay
from ..training.fit import fit
from .task import Trained

BASELINE = 1 / 6  # mean squared error of answering the mean
EVERY = 250  # updates in an epoch
TEST = 10_000


class Part(NamedTuple):
    """Sequences and their sums."""

    x: np.ndarray  # (N, T, 2) float32: value, mark
    target: np.ndarray  # (N, 1) float32 in [0, 2]


def draw(rng: np.random.Generator, count: int, length: int) -> Part:
    """New sequences.

    >>> x, target = draw(np.random.default_rng(0), 3, 20)
    >>> x.shape, target.shape, x[:, :, 1].sum(axis=1)
    ((3, 20, 2), (3, 1), array([2., 2., 2.], dtype=float32))
    """
    if length < 2:
        raise ValueError(f"both halves of a sequence need a step to mark, so length ≥ 2; got {length}")
    x = np.zeros((count, length, 2), np.float32)
    x[:, :, 0] = rng.random((count, length), dtype=np.float32)
    rows, half = np.arange(count), length // 2
    x[rows, rng.integers(0, half, count), 1] = 1
    x[rows, rng.integers(half, length, count), 1] = 1
    return Part(x, x.prod(axis=2).sum(axis=1, keepdims=True))


class Fresh:
    """A batch source that draws every minibatch anew; an epoch is EVERY of them."""

    def __init__(self, length: int, batch: int, seed: int) -> None:
        self.length, self.batch, self._rng = length, batch, np.random.default_rng(seed)

    def __len__(self) -> int:
        return EVERY * self.batch

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As many sequences as there are numbers in `rows`."""
        return draw(self._rng, len(rows), self.length)


def metric(model: SequenceModel, part: Part) -> float:
    """Mean squared error."""
    return float(model.loss(*part, steps="last"))


def train(
    length: int = 20,
    batch: int = 64,
    rate: float = 0.003,
    *,
    epochs: int = 20,
    seed: int = 0,
    backend: str | None = None,
    dtype: str = "float32",
    progress: bool = True,
) -> Trained:
    """64 units with orthogonal W_hh; Adam whose rate decays from 0.003, the gradient's norm clipped to 1."""
    model = VanillaRNN(2, 64, 1, init="orthogonal", backend=backend, dtype=dtype, seed=seed)
    history = fit(
        model,
        Fresh(length, batch, seed),
        steps="last",
        epochs=epochs,
        batch_size=batch,
        optimizer=Adam(rate),
        clip_norm=1.0,
        seed=seed,
        progress=progress,
        callbacks=[CosineDecay(epochs)],
    )
    part = draw(np.random.default_rng((seed, 1)), TEST, length)
    return Trained(
        {"model": model}, history, metric(model, part), {"answering the mean": BASELINE}, examples(model, part)
    )


def examples(model: SequenceModel, part: Part, count: int = 3) -> tuple[tuple[str, str], ...]:
    """The marked values of the first few sequences, their sum and the answer."""
    answers = to_numpy(model.predict(part.x[:count], steps="last"))[:, 0]
    shown = []
    for x, target, answer in zip(part.x, part.target[:, 0], answers, strict=False):
        values = " + ".join(f"{value:.3f}" for value in x[x[:, 1] == 1, 0])
        shown.append((f"{values} = {target:.3f}", f"found {answer:.3f}"))
    return tuple(shown)
