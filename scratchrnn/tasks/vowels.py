"""Many-to-one (多对一), with sequences of unequal length: who is speaking?

The Japanese vowels of Kudo, Toyama and Shimbo (1999), as aeon brings them: nine men say the vowels /ae/, and every few
milliseconds 12 coefficients describe the sound; a recording has 7 to 29 steps. The last step of each says which of the
nine it was. aeon's own cut is kept: 270 recordings to train on, 370 to test; a fifth of the 270, six of every speaker,
is the validation part.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..backends.arrays import to_numpy
from ..callbacks import CosineDecay
from ..layers import Layer
from ..layers.linear import Linear
from ..layers.stack import RNN
from ..model import SequenceModel
from ..optimizers import Adam
from ..training import fit
from .task import Trained, need


class Part(NamedTuple):
    """Recordings and who speaks."""

    x: np.ndarray  # (N, T, 12), zeros past the end of each recording
    target: np.ndarray  # (N,): 0 … 8
    lengths: np.ndarray  # (N,)


class Vowels(NamedTuple):
    """Three parts that share no recording; coefficients have mean 0 and variance 1 over the steps that train."""

    train: Part
    validation: Part
    test: Part


def data() -> Vowels:
    """The recordings; raises ImportError where aeon is not installed."""
    datasets = need("aeon.datasets", "aeon")
    learn, test = (_pad(*datasets.load_japanese_vowels(split=part)) for part in ("train", "test"))
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


def _pad(recordings: list[np.ndarray], speakers: np.ndarray) -> Part:
    """aeon's (12, steps) arrays as one."""
    lengths = np.array([recording.shape[1] for recording in recordings])
    x = np.zeros((len(recordings), lengths.max(), 12), dtype=np.float32)
    for row, recording in zip(x, recordings, strict=True):
        row[: recording.shape[1]] = recording.T
    return Part(x, speakers.astype(int) - 1, lengths)


def _inside(part: Part) -> np.ndarray:
    return np.arange(part.x.shape[1]) < part.lengths[:, None]  # (N, T)


def metric(model: SequenceModel, part: Part) -> float:
    """The share of recordings whose speaker is recognised."""
    y = to_numpy(model.predict(part.x, lengths=part.lengths))
    return float((y.argmax(axis=1) == part.target).mean())


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
    beside = {"validation accuracy": metric(model, vowels.validation)}
    return Trained({"model": model}, history, metric(model, vowels.test), beside)
