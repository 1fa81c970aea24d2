"""Many-to-one (多对一): in which order did two signals come?

A sequence of L symbols, one-hot of six: at t₁ ∈ [L/10, 2L/10) and at t₂ ∈ [5L/10, 6L/10) stands A or B at equal odds,
at every other step one of the distractors c, d, e, f. After the last step the network says which of AA, AB, BA, BB it
was, so that it must carry the first signal over half the sequence and more. The symbols are 0 … 5 for A, B, c, d, e, f;
the classes 0 … 3 are 2·(first is B) + (second is B).

Every update draws new sequences. The task counts as solved once fewer than 1 % of 10,000 fresh ones are wrong.

Source: Hochreiter and Schmidhuber 1997, "Long short-term memory", experiment 6a; in this form Pascanu, Mikolov and
Bengio 2013, "On the difficulty of training recurrent neural networks", section 4.1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._arrays import to_numpy
from ..model import SequenceModel, VanillaRNN
from ..optimizers import SGD
from ..training.callbacks import Callback
from ..training.fit import fit
from ..training.history import History
from .task import Trained

SYMBOLS, CLASSES = "ABcdef", ("AA", "AB", "BA", "BB")
BATCH = 20
EVERY = 250  # updates from one test to the next
TEST = 10_000  # sequences of a test
SOLVED = 0.01  # share of them that may be wrong


class Part(NamedTuple):
    """Sequences and their classes."""

    x: np.ndarray  # (N, L) int8: 0 … 5
    target: np.ndarray  # (N,) int: 0 … 3


def draw(rng: np.random.Generator, count: int, length: int) -> Part:
    """New sequences.

    >>> x, target = draw(np.random.default_rng(0), 3, 20)
    >>> ["".join(SYMBOLS[i] for i in row) for row in x], [CLASSES[i] for i in target]
    (['defAffcecfAefecdeffd', 'ecdBcfdceccBcdfcddcf', 'dcdBddefdefAdddedeef'], ['AA', 'BB', 'BA'])
    """
    if length < 10:
        raise ValueError(f"a tenth of the sequence must hold at least one step, so length ≥ 10; got {length}")
    x = rng.integers(2, len(SYMBOLS), (count, length), dtype=np.int8)
    signals = rng.integers(0, 2, (count, 2), dtype=np.int8)
    rows = np.arange(count)
    for i, tenth in enumerate((1, 5)):
        places = rng.integers(-(-tenth * length // 10), -(-(tenth + 1) * length // 10), count)
        x[rows, places] = signals[:, i]
    return Part(x, 2 * signals[:, 0].astype(np.int64) + signals[:, 1])


class Fresh:
    """A batch source whose rows are new each time: an epoch is EVERY minibatches of sequences never seen before."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self._rng = length, np.random.default_rng(seed)
        self._part, self._used = draw(self._rng, len(self), length), 0

    def __len__(self) -> int:
        return EVERY * BATCH

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As many sequences as there are numbers in `rows`."""
        if self._used + len(rows) > len(self):
            self._part, self._used = draw(self._rng, len(self), self.length), 0
        new = slice(self._used, self._used + len(rows))
        self._used = new.stop
        return self._part.x[new], self._part.target[new]


class Test(Callback):
    """After every epoch 10,000 new sequences; `solved`, and the end of training, once fewer than 1 % are wrong.

    They are counted a thousand at a time, and no further once too many were wrong.
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length, self._rng, self.solved = length, np.random.default_rng((seed, 1)), False

    def on_epoch_end(self, model: SequenceModel, history: History) -> bool:
        """True where the task is solved."""
        part, wrong = draw(self._rng, TEST, self.length), 0
        for start in range(0, TEST, 1000):
            some = Part(*(array[start : start + 1000] for array in part))
            wrong += round(1000 * (1 - metric(model, some)))
            if wrong >= SOLVED * TEST:
                return False
        self.solved = True
        return True


def metric(model: SequenceModel, part: Part) -> float:
    """The share of sequences that get the right class."""
    return float((to_numpy(model.predict(part.x, steps="last")).argmax(axis=1) == part.target).mean())


def network(*, std: float = 0.1, seed: int = 0, backend: str | None = None, dtype: str = "float32") -> VanillaRNN:
    """50 tanh units; every weight matrix N(0, std²), biases 0."""
    sizes = len(SYMBOLS), 50, len(CLASSES)
    return VanillaRNN(*sizes, loss="cross_entropy", init=f"normal({std})", backend=backend, dtype=dtype, seed=seed)


def learn(
    model: SequenceModel,
    length: int,
    rate: float,
    clip_norm: float | None,
    *,
    epochs: int,
    seed: int,
    progress: bool,
) -> tuple[History, bool]:
    """Plain SGD on new sequences, epochs of 250 updates of 20; the history, and whether the task was solved.

    It ends as soon as that is so. Raises NonFiniteError where a gradient explodes beyond what a float can hold.
    """
    test = Test(length, seed)
    history = fit(
        model,
        Fresh(length, seed),
        steps="last",
        epochs=epochs,
        batch_size=BATCH,
        optimizer=SGD(rate),
        clip_norm=clip_norm,
        seed=seed,
        progress=progress,
        callbacks=[test],
    )
    return history, test.solved


def train(
    length: int = 30,
    *,
    epochs: int = 60,
    seed: int = 0,
    backend: str | None = None,
    dtype: str = "float32",
    progress: bool = True,
) -> Trained:
    """Plain SGD 0.05 with the gradient's norm clipped to 1, at most 60 epochs of 250 updates."""
    model = network(seed=seed, backend=backend, dtype=dtype)
    history, _ = learn(model, length, 0.05, 1.0, epochs=epochs, seed=seed, progress=progress)
    part = draw(np.random.default_rng((seed, 2)), TEST, length)
    answers = to_numpy(model.predict(part.x[:4], steps="last")).argmax(axis=1)
    examples = tuple(
        ("".join(SYMBOLS[i] for i in row), f"{CLASSES[target]}, found {CLASSES[answer]}")
        for row, target, answer in zip(part.x, part.target, answers, strict=False)
    )
    beside = {"updates": history.updates, "guessing": 0.25}
    return Trained({"model": model}, history, metric(model, part), beside, examples)
