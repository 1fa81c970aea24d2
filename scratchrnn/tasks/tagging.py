"""Synchronous many-to-many (同步多对多): tag every step by what comes before it and what comes after it.

The input is T = 20 fair bits x_0 … x_19. The tag of step t speaks of the bits k = 3 steps away on both sides, where a
bit outside the sequence is 0:

    pair    the tag is (x_{t−3}, x_{t+3}), one of four
    xor     the tag is x_{t−3} ⊕ x_{t+3}

One bidirectional layer and a linear output can give the pair: its logits are a part that looks back plus a part that
looks ahead, and so is the logarithm of a product. They cannot give the exclusive or, which is no sum of a function of
one bit and a function of the other; with a second bidirectional layer, which sees both, they can.

A network in one direction knows x_{t−3} but not x_{t+3}. That bit is 0 or 1 at equal odds for the first T − k steps,
whatever has been read, and outside for the last k, so the best that it can do is

    ((T − k)/2 + k)/T = (17/2 + 3)/20 = 0.575     of all steps,

which already `always answer 0 for what is to come` reaches. This holds for both tags.

No sequence is drawn twice: of the 2²⁰ sequences some train, others test.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arrays import to_numpy
from ..layers.base import Layer
from ..layers.linear import Linear
from ..layers.rnn import RNN
from ..model import SequenceModel
from ..optimizers import Adam
from ..training.fit import fit
from .task import Trained

T = 20
K = 3  # how far away the bits are that a tag speaks of
CEILING = ((T - K) / 2 + K) / T  # of a network that reads in one direction
TAGS = {"pair": 4, "xor": 2}
BATCH = 64


class Part(NamedTuple):
    """Sequences and their tags."""

    x: np.ndarray  # (N, T) int: 0 or 1
    target: np.ndarray  # (N, T) int


class Tagging(NamedTuple):
    """Two parts that share no sequence."""

    train: Part
    test: Part


def data(tag: str = "pair", *, train: int = 1500 * BATCH, test: int = 5000, seed: int = 0) -> Tagging:
    """Distinct sequences of fair bits, with their tags.

    >>> tagging = data(train=2, test=1)
    >>> tagging.train.x.shape, tagging.test.target.shape
    ((2, 20), (1, 20))
    """
    drawn = np.random.default_rng(seed).choice(2**T, train + test, replace=False)
    x = drawn[:, None] >> np.arange(T) & 1
    target = tags(x, tag)
    return Tagging(Part(x[:train], target[:train]), Part(x[train:], target[train:]))


def tags(x: np.ndarray, tag: str) -> np.ndarray:
    """The tag of every step: 2·x_{t−3} + x_{t+3} for the pair, x_{t−3} ⊕ x_{t+3} for xor.

    >>> tags(np.array([[1, 0, 0, 1, 1]]), "pair")
    array([[1, 1, 0, 2, 0]])
    """
    around = np.pad(x, ((0, 0), (K, K)))
    before, after = around[:, : -2 * K], around[:, 2 * K :]
    return before ^ after if tag == "xor" else 2 * before + after


def metric(model: SequenceModel, part: Part) -> float:
    """The share of steps that get the right tag."""
    return float((to_numpy(model(part.x)).argmax(axis=2) == part.target).mean())


def train(
    tag: str = "pair",
    layers: int = 1,
    directions: int = 2,
    *,
    epochs: int = 1,
    seed: int = 0,
    backend: str | None = None,
    dtype: str = "float32",
    progress: bool = True,
) -> Trained:
    """Stacked recurrent layers of 64 with orthogonal W_hh; Adam 0.003, 1,500 updates of 64 new sequences an epoch."""
    parts = data(tag, seed=seed)
    rnn = RNN(2, 64, num_layers=layers, bidirectional=directions == 2, init="orthogonal")
    stack: list[Layer] = [rnn, Linear(64 * directions, TAGS[tag])]
    model = SequenceModel(stack, loss="cross_entropy", backend=backend, dtype=dtype, seed=seed)
    history = fit(
        model,
        *parts.train,
        epochs=epochs,
        batch_size=BATCH,
        optimizer=Adam(0.003),
        clip_norm=1.0,
        seed=seed,
        progress=progress,
    )
    beside = {"ceiling in one direction": CEILING}
    x, target, tagged = parts.test.x[0], parts.test.target[0], to_numpy(model(parts.test.x[:1])).argmax(axis=2)[0]
    examples = (
        ("bits  " + " ".join(map(str, x)), ""),
        ("tags  " + " ".join(map(str, target)), "found  " + " ".join(map(str, tagged))),
    )
    return Trained({"model": model}, history, metric(model, parts.test), beside, examples)
