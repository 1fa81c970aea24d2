"""Remedies against vanishing and exploding gradients on one task, for the report of `scratchrnn flow`.

The first input is −1 or +1, all later ones are noise; after the last step the network says which it was. So the error
has to travel back over all T steps, through a W_hh whose spectral radius makes it vanish or explode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..._arrays import to_numpy
from ...gradients.omega import Omega
from ...layers.linear import Linear
from ...layers.rnn import RNN
from ...model import SequenceModel
from ...optimizers import SGD
from ...training.fit import NonFiniteError, fit
from ...training.history import History

N, T, HIDDEN, NOISE = 512, 50, 32, 0.1
EPOCHS, RATE = 12, 0.3
RATE_RELU = 0.05  # nothing saturates: at 0.3 the first large step ends it
CLIP_NORM, CLIP_VALUE, WEIGHT = 1.0, 0.1, 0.1


class Remedy(NamedTuple):
    """What is different from a plain network."""

    name: str
    init: str | None = None  # of W_hh; None: spectral, as the plain network has it
    nonlinearity: str = "tanh"
    rate: float = RATE
    training: dict[str, Any] = {}  # more arguments of `fit`


REMEDIES = (
    Remedy("none"),
    Remedy(f"clip the norm at {CLIP_NORM:g}", training={"clip_norm": CLIP_NORM}),
    Remedy(f"clip values at {CLIP_VALUE:g}", training={"clip_value": CLIP_VALUE}),
    Remedy("orthogonal W_hh", "orthogonal"),
    Remedy("identity W_hh", "identity"),
    Remedy("identity, ReLU, clipped", "identity", "relu", RATE_RELU, {"clip_norm": CLIP_NORM}),
    Remedy("Ω, clipped", training={"regularizer": Omega(WEIGHT), "clip_norm": CLIP_NORM}),
)


class Outcome(NamedTuple):
    """How one run of a remedy fared."""

    at_first: np.ndarray  # (T,): median over rows of N · ‖∂L/∂h_t[n]‖ at lag 0, 1, … before training
    at_last: np.ndarray  # (T,): after it
    history: History
    accuracy: float  # share of the training sequences that are right after the last update
    stopped: bool  # numbers were not finite

    @property
    def solved(self) -> bool:
        """Whether 99 % are right."""
        return self.accuracy >= 0.99


def compare(
    radius: float, runs: int, *, seed: int, backend: str | None, dtype: str, done: Callable[[], Any] = lambda: None
) -> dict[str, list[Outcome]]:
    """Train networks with each remedy, all from the same seeds and on the same sequences; done() follows each.

    radius is that of W_hh where a remedy does not set it; runs, how many of each, for what a gradient that explodes
    does to a network is a matter of luck.
    """
    outcomes: dict[str, list[Outcome]] = {remedy.name: [] for remedy in REMEDIES}
    for own in range(seed, seed + runs):
        rng = np.random.default_rng(own)
        x = rng.normal(0, NOISE, (N, T, 1))
        target = rng.integers(2, size=N)
        x[:, 0, 0] = 2 * target - 1
        for remedy in REMEDIES:
            init = remedy.init or f"spectral({radius!r})"
            layers: list[Any] = [RNN(1, HIDDEN, nonlinearity=remedy.nonlinearity, init=init), Linear(HIDDEN, 2)]
            model = SequenceModel(layers, loss="cross_entropy", backend=backend, dtype=dtype, seed=own)
            outcomes[remedy.name].append(_train(model, x, target, remedy))
            done()
    return outcomes


def _train(model: SequenceModel, x: np.ndarray, target: np.ndarray, remedy: Remedy) -> Outcome:
    at_first = lag_norms(model, x, target)
    stopped = False
    settings: dict[str, Any] = {"epochs": EPOCHS, "optimizer": SGD(remedy.rate), "steps": "last", "progress": False}
    try:
        history = fit(model, x, target, **settings, **remedy.training)
    except NonFiniteError as error:
        history, stopped = error.history, True
    with np.errstate(over="ignore", invalid="ignore"):  # weights may be as large as a float gets
        right = to_numpy(model.predict(x, steps="last")).argmax(axis=-1) == target
        at_last = lag_norms(model, x, target)
    return Outcome(at_first, at_last, history, float(right.mean()), stopped)


def lag_norms(model: SequenceModel, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(T,): median over rows of N · ‖∂L/∂h_t[n]‖ at lag 0, 1, …, T − 1, the loss on the last step."""
    flow = model.loss_and_grads(x, target, steps="last").flow
    return np.median(to_numpy(flow.per_sample), axis=0)[::-1]
