"""How fast a gradient decays: ln g per step, for tanh units near h = 0 whose weights are N(0, g²/N).

On the way back from the loss, ∂L/∂h_{t−1} = W_hhᵀ · diag(1 − h_t²) · ∂L/∂h_t. Near h = 0 the slope 1 − h² is 1, and a
random matrix of N(0, g²/N) entries multiplies the length of a vector by g, so that over K steps

    log ‖∂L/∂h_{T−K}‖ = log ‖∂L/∂h_T‖ + K · ln g      on average over many large matrices.

Setting: N = 100 units, one loss on the last step, K = 0 … 20 lags, h_0 of size 1e-6 and no input, the mean over 20
seeds of the slope that fits the 21 norms best. The same matrix is applied again and again, and N is finite: longer lags
find its largest eigenvalue, which is a little more than g, and the slope drifts up by 0.02.

Source: Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks", section 2.1; the
factor g is that of Sompolinsky, Crisanti and Sommers 1988, "Chaos in random neural networks".
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from .._arrays import to_numpy
from ..model import VanillaRNN
from .result import Result

UNITS, LAGS, SEEDS = 100, 20, 20
GAINS = (0.5, 0.9, 1.1, 1.5)


def log_norms(g: float, seed: int, *, units: int = UNITS, lags: int = LAGS) -> np.ndarray:
    """(lags + 1,): ln ‖∂L/∂h_{T−K}‖ at lag K = 0, 1, …, of an untrained network, as its backward pass saw it."""
    model = VanillaRNN(1, units, 1, init=f"normal({g / math.sqrt(units)})", seed=seed)
    h0 = 1e-6 * np.random.default_rng(seed).normal(size=(1, units))
    flow = model.loss_and_grads(np.zeros((1, lags + 1, 1)), np.ones((1, 1)), h0, "last").flow
    return np.log(to_numpy(flow.norms)[::-1])


def slope(curve: np.ndarray) -> float:
    """Of the straight line that fits a curve of logarithms over its lags best.

    >>> round(slope(np.log([8.0, 4.0, 2.0, 1.0])), 6) == round(-math.log(2), 6)
    True
    """
    return float(np.polyfit(np.arange(len(curve)), curve, 1)[0])


def measure(quick: bool, progress: bool) -> dict[float, np.ndarray]:
    """For each g the curves of all seeds (seeds, lags + 1)."""
    return {g: np.array([log_norms(g, seed) for seed in range(SEEDS)]) for g in GAINS}


def results(curves: dict[float, np.ndarray]) -> list[Result]:
    """The mean slopes beside ln g."""
    setting = f"N = {UNITS}, {LAGS} lags, {SEEDS} seeds"
    return [
        Result(
            "slope of log‖∂L/∂h‖",
            f"g = {g}, {setting}",
            math.log(g),
            float(np.mean([*map(slope, many)])),
            0.02,
            "ln g as N → ∞",
        )
        for g, many in curves.items()
    ]


def draw(curves: dict[float, np.ndarray], out: Path) -> dict[str, str]:
    """decay.png."""
    from ..plots import new_figure, papers

    figure = new_figure(7, 4.5)
    papers.plot_growth(curves, figure.subplots())
    figure.savefig(out / "decay.png")
    return {"decay.png": "‖∂L/∂h‖ against the lag beside g^lag, mean and spread of the seeds"}
