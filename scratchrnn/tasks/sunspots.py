"""Forecasting (时间序列预测): next year's number of sunspots.

The yearly numbers 1700 … 2008 that statsmodels brings: 247 years train, the last 62 (a fifth) test, one step ahead
and walking forward: the forecast of a year may use every year before it. Numbers of spots are counts, whose spread
grows as their root, so the networks see s = √number, standardised over the training years, and say by how much s will
change:

    ŝ_t = s_{t−1} + y(s_{t−40} … s_{t−1})

Five networks that differ in their seed give a forecast each; the mean of them is the forecast. Beside it stand the
naïve forecast (as last year) and the linear autoregression of order 9, fitted by least squares on the training years,
on the numbers as they are and on their roots.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import sequences
from .._arrays import to_numpy
from ..layers.linear import Linear
from ..layers.rnn import RNN
from ..model import SequenceModel
from ..optimizers import Adam
from ..training.callbacks import CosineDecay
from ..training.fit import fit
from .task import Noisy, Trained, need

TRAIN = 247  # years: 1700 … 1946
WINDOW = 40  # years that a network sees
ORDER = 9  # years that the autoregression sees
NETWORKS = 5


class Sunspots(NamedTuple):
    """Years and numbers of spots."""

    years: np.ndarray  # (309,) int
    spots: np.ndarray  # (309,)


def data() -> Sunspots:
    """The series; raises ImportError where statsmodels is not installed."""
    table = need("statsmodels.datasets.sunspots").load_pandas().data
    return Sunspots(table["YEAR"].to_numpy().astype(int), table["SUNACTIVITY"].to_numpy(dtype=float))


def rmse(forecast: np.ndarray, spots: np.ndarray) -> float:
    """The metric: root of the mean squared error over the test years, in spots. forecast (62,), spots (309,)."""
    return float(np.sqrt(np.mean((forecast - spots[TRAIN:]) ** 2)))


def naive(spots: np.ndarray) -> np.ndarray:
    """Every year as the one before it: (62,)."""
    return spots[TRAIN - 1 : -1]


def autoregression(series: np.ndarray, order: int = ORDER) -> np.ndarray:
    """x̂_t = c + Σ_i φ_i · x_{t−i}, i = 1 … order, with c and φ of least squares over the training years: (62,)."""
    past = np.lib.stride_tricks.sliding_window_view(series[:-1], order)  # row j: the years before year j + order
    past = np.column_stack([np.ones(len(past)), past])
    known = TRAIN - order
    coefficients = np.linalg.lstsq(past[:known], series[order:TRAIN], rcond=None)[0]
    return past[known:] @ coefficients


def windows(spots: np.ndarray) -> tuple[np.ndarray, np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """What a network sees and says, for every year that has 40 before it: x (269, 40, 1), the changes (269, 1), and the
    way back from changes to numbers of spots.

    Mean and spread are those of the training years; x[j] ends the year before the one that target[j] leads to.
    """
    root = np.sqrt(spots)
    mean, std = root[:TRAIN].mean(), root[:TRAIN].std()
    s = (root - mean) / std
    x, following = sequences.windows(s, WINDOW)
    last = x[:, -1]  # (269, 1)

    def spots_of(change: np.ndarray) -> np.ndarray:
        return np.maximum((last[-len(change) :] + change) * std + mean, 0)[:, 0] ** 2

    return x, following - last, spots_of


def forecast(model: SequenceModel, spots: np.ndarray) -> np.ndarray:
    """One network's forecasts of the test years, each from the 40 years before it: (62,)."""
    x, _, spots_of = windows(spots)
    return spots_of(to_numpy(model.predict(x[TRAIN - WINDOW :], steps="last")))


def train(
    *, epochs: int = 60, seed: int = 0, backend: str | None = None, dtype: str = "float32", progress: bool = True
) -> Trained:
    """Five networks with one recurrent layer of 16, on windows with fresh noise of 0.1 in every update."""
    spots = data().spots
    x, target, _ = windows(spots)
    models = []
    for number in range(NETWORKS * seed, NETWORKS * (seed + 1)):
        model = SequenceModel([RNN(1, 16), Linear(16, 1)], loss="mse", backend=backend, dtype=dtype, seed=number)
        history = fit(
            model,
            Noisy(x[: TRAIN - WINDOW], target[: TRAIN - WINDOW], std=0.1, seed=number),
            steps="last",
            epochs=epochs,
            optimizer=Adam(0.005),
            seed=number,
            progress=progress,
            callbacks=[CosineDecay(epochs)],
        )
        models.append(model)
        if history.interrupted:
            break
    forecasts = np.array([forecast(model, spots) for model in models])
    mean = forecasts.mean(axis=0)
    beside = {
        "one network": float(np.median([rmse(f, spots) for f in forecasts])),
        "naïve": rmse(naive(spots), spots),
        "AR(9)": rmse(autoregression(spots), spots),
        "AR(9) on roots": rmse(np.maximum(autoregression(np.sqrt(spots)), 0) ** 2, spots),
    }
    examples = tuple(
        (f"{1947 + i}: {spots[TRAIN + i]:.0f} spots", f"forecast {mean[i]:.0f}") for i in range(0, len(mean), 10)
    )
    named = {f"model-{i}": model for i, model in enumerate(models)}
    return Trained(named, history, rmse(mean, spots), beside, examples)
