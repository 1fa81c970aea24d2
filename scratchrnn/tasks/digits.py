"""Many-to-one (多对一): a handwritten digit, read row by row.

scikit-learn's 1,797 digits of 8 × 8 pixels: a step is a row of 8 pixels, and the last of the 8 steps says which digit
it was. 360 digits are the test part and 180 the validation part, the same ones whatever the seed. The metric is the
share of digits that are recognised.
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
from ..training.callbacks import CosineDecay
from ..training.fit import fit
from .task import Noisy, Part, Trained, accuracy, need, split


class Digits(NamedTuple):
    """Three parts that share no digit: x (N, 8, 8) in [−1, 1], rows from top to bottom, pixels from left to right."""

    train: Part
    validation: Part
    test: Part


def data() -> Digits:
    """The digits; raises ImportError where scikit-learn is not installed."""
    digits = need("sklearn.datasets").load_digits()
    x = (digits.images / 8 - 1).astype(np.float32)  # pixels are 0 … 16
    parts = (Part(x[rows], digits.target[rows], np.full(len(rows), 8)) for rows in split(len(x), 180, 360))
    return Digits(*parts)


def train(
    *, epochs: int = 60, seed: int = 0, backend: str | None = None, dtype: str = "float32", progress: bool = True
) -> Trained:
    """One recurrent layer of 128 on digits with fresh noise of 0.25 in every update."""
    digits = data()
    layers: list[Layer] = [RNN(8, 128), Linear(128, 10)]
    model = SequenceModel(layers, loss="cross_entropy", backend=backend, dtype=dtype, seed=seed)
    history = fit(
        model,
        Noisy(digits.train.x, digits.train.target, std=0.25, seed=seed),
        steps="last",
        epochs=epochs,
        optimizer=Adam(0.003),
        clip_norm=1.0,
        validation=digits.validation._asdict(),
        seed=seed,
        progress=progress,
        callbacks=[CosineDecay(epochs)],
    )
    beside = {"validation accuracy": accuracy(model, digits.validation)}
    return Trained({"model": model}, history, accuracy(model, digits.test), beside, examples(model, digits.test))


def examples(model: SequenceModel, part: Part, count: int = 10) -> tuple[tuple[str, str], ...]:
    """The first few answers."""
    answers = to_numpy(model.predict(part.x[:count], steps="last")).argmax(axis=1)
    return (("digits " + " ".join(map(str, part.target[:count])), "read as " + " ".join(map(str, answers))),)
