"""The chapter's first program (简单RNN示例:序列预测): the next point of a sine wave from the 50 points before it.

The wave is sin(0.1·i), i = 0 … 999. Its 950 windows keep their order; the first 80 % train, the rest test.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..model import SequenceModel, VanillaRNN
from ..optimizers import Adam, Optimizer
from ..sequences import windows
from ..training.fit import fit
from ..training.history import History


class Sine(NamedTuple):
    """The wave, and its windows with the point that follows each."""

    wave: np.ndarray  # (points,)
    x: np.ndarray  # (N, window, 1): training windows
    target: np.ndarray  # (N, 1)
    x_test: np.ndarray  # (N_test, window, 1)
    target_test: np.ndarray  # (N_test, 1): the last N_test points of the wave


class Trained(NamedTuple):
    """What `train` returns."""

    model: VanillaRNN
    history: History  # val_loss is the test MSE after every epoch
    data: Sine
    test_mse: float  # after the last update


def data(points: int = 1000, frequency: float = 0.1, window: int = 50, train_fraction: float = 0.8) -> Sine:
    """The chapter's wave and windows; raises ValueError where nothing is left to train or to test on.

    >>> sine = data()
    >>> sine.x.shape, sine.target.shape, sine.x_test.shape
    ((760, 50, 1), (760, 1), (190, 50, 1))
    """
    if window < 1:
        raise ValueError(f"a window has at least 1 point, got window={window}")
    wave = np.sin(frequency * np.arange(points))
    count = max(points - window, 0)
    train = int(train_fraction * count)
    if not 0 < train < count:
        raise ValueError(
            f"{points} points give {count} windows of {window}; train_fraction={train_fraction} "
            "must leave some of them to train on and some to test on"
        )
    x, target = windows(wave, window)
    return Sine(wave, x[:train], target[:train], x[train:], target[train:])


def metric(model: SequenceModel, sine: Sine) -> float:
    """The metric: mean squared error of the predicted next point over the test windows."""
    return float(model.loss(sine.x_test, sine.target_test, steps="last"))


def train(
    *,
    hidden_size: int = 32,
    epochs: int = 100,
    batch_size: int = 32,
    optimizer: Optimizer | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    window: int = 50,
    backend: str | None = None,
    dtype: str = "float64",
    seed: int = 0,
    progress: bool = True,
) -> Trained:
    """Train VanillaRNN(1, hidden_size, 1) on the mean squared error of its last output, as the chapter does.

    The defaults are the chapter's settings; optimizer None is its Adam(0.01). The seed sets the initial weights and the
    shuffling. Ctrl-C ends training early (`history.interrupted`). Raises as `fit` does.
    """
    sine = data(window=window)
    model = VanillaRNN(1, hidden_size, 1, loss="mse", backend=backend, dtype=dtype, seed=seed)
    history = fit(
        model,
        sine.x,
        sine.target,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer or Adam(0.01),
        clip_norm=clip_norm,
        clip_value=clip_value,
        validation=(sine.x_test, sine.target_test),
        steps="last",
        seed=seed,
        progress=progress,
    )
    return Trained(model, history, sine, metric(model, sine))
