"""Many-to-one (多对一), with sequences of unequal length: who is speaking?

The Japanese vowels of Kudo, Toyama and Shimbo (1999), as aeon brings them: nine men say the vowels /ae/, and every few
milliseconds 12 coefficients describe the sound; a recording has 7 to 29 steps. The last step of each says which of the
nine it was. aeon's own cut is kept: 270 recordings to train on, 370 to test; a fifth of the 270, six of every speaker,
is the validation part. The metric is the share of recordings whose speaker is recognised.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..layers.base import Layer
from ..layers.linear import Linear
from ..layers.rnn import RNN
from ..model import SequenceModel
from ..optimizers import Adam
from ..sequences import pad
from ..training.callbacks import CosineDecay
from ..training.fit import fit
from .task import Part, Trained, accuracy, need


class Vowels(NamedTuple):
    """Three parts that share no recording: x (N, T, 12), of mean 0 and variance 1 over the steps that train."""

    train: Part
    validation: Part
    test: Part


def data() -> Vowels:
    """The recordings; raises ImportError where aeon is not installed."""
    load = need("aeon.datasets").load_japanese_vowels
    learn, test = (_part(*load(split=part)) for part in ("train", "test"))
    rng = np.random.default_rng(0)
    held_out = np.concatenate([rng.permutation(np.flatnonzero(learn.target == who))[:6] for who in range(9)])
    kept = np.setdiff1d(np.arange(len(learn.x)), held_out)
    train, validation = (Part(*(array[rows] for array in learn)) for rows in (kept, held_out))
    steps = train.x[_inside(train)]  # (steps of all recordings, 12)
    mean, std = steps.mean(axis=0), steps.std(axis=0)
    return Vowels(
        *(
            part._replace(x=np.where(_inside(part)[..., None], (part.x - mean) / std, 0))
            for part in (train, validation, test)
        )
    )


def _part(recordings: list[np.ndarray], speakers: np.ndarray) -> Part:
    """aeon's (12, steps) arrays, and its speakers "1" … "9"."""
    x, lengths = pad([recording.T.astype(np.float32) for recording in recordings])
    return Part(x, speakers.astype(int) - 1, lengths)


def _inside(part: Part) -> np.ndarray:
    return np.arange(part.x.shape[1]) < part.lengths[:, None]  # (N, T)


def train(
    *, epochs: int = 60, seed: int = 0, backend: str | None = None, dtype: str = "float32", progress: bool = True
) -> Trained:
    """One recurrent layer of 128."""
    vowels = data()
    layers: list[Layer] = [RNN(12, 128), Linear(128, 9)]
    model = SequenceModel(layers, loss="cross_entropy", backend=backend, dtype=dtype, seed=seed)
    history = fit(
        model,
        vowels.train.x,
        vowels.train.target,
        lengths=vowels.train.lengths,
        steps="last",
        epochs=epochs,
        optimizer=Adam(0.003),
        clip_norm=1.0,
        validation=vowels.validation._asdict(),
        seed=seed,
        progress=progress,
        callbacks=[CosineDecay(epochs)],
    )
    beside = {"validation accuracy": accuracy(model, vowels.validation)}
    return Trained({"model": model}, history, accuracy(model, vowels.test), beside)
