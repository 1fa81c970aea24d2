"""Lyapunov exponents with a known answer: products of Gaussian matrices, and where a random network becomes chaotic.

    X_t = A_t · X_{t−1}, A_t iid N(0, 1/N):   λ_i = ½ · [ln(2/N) + ψ((N − i + 1)/2)],  i = 1 … N, exactly
    h_t = tanh(W · h_{t−1}),  W ~ N(0, g²/N):  λ_1 < 0 for g < 1, chaos (λ_1 > 0) for g > 1 when N is large

Setting: N = 20, products of 200 matrices, for each of which the diagonal of R counts from the first step on, since
Gaussian matrices have no preferred direction; N = 200, 500 steps dropped, 2,000 used, mean of 5 networks.
Sources: Newman 1986, "The distribution of Lyapunov exponents: exact results for random matrices"; Sompolinsky, Crisanti
and Sommers 1988, "Chaos in random neural networks". No paper states λ_1 at this N in discrete time: the figures beside
ours come from a plain loop written independently of this package.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .._progress import progress_bar
from ..gradients.lyapunov import lyapunov_spectrum
from .result import Result

EULER = 0.5772156649015329
CHAOS = {0.8: -0.186, 1.0: -0.001, 1.5: 0.044, 2.0: 0.138, 3.0: 0.293, 5.0: 0.509}  # g and λ_1, mean of 5 networks


def digamma(x: float) -> float:
    """ψ(x) of a positive integer or half-integer: ψ(1) = −γ, ψ(½) = −γ − 2 ln 2, ψ(x + 1) = ψ(x) + 1/x.

    >>> round(digamma(1.5), 6), round(digamma(3), 6)
    (0.03649, 0.922784)
    """
    start = x % 1 or 1.0
    if start not in (0.5, 1.0) or x <= 0:
        raise ValueError(f"x must be a positive integer or half-integer, got {x}")
    value = -EULER - (2 * math.log(2) if start == 0.5 else 0.0)
    return value + sum(1 / (start + k) for k in range(round(x - start)))


def newman(N: int) -> np.ndarray:
    """Newman's exponents (N,), descending."""
    return np.array([(math.log(2 / N) + digamma((N - i + 1) / 2)) / 2 for i in range(1, N + 1)])


def gaussian_exponents(
    N: int = 20, steps: int = 200, products: int = 400, seed: int = 0, progress: bool = False
) -> np.ndarray:
    """Measured exponents (N,) of products of N × N Gaussian matrices, by QR; the mean of several products."""
    rng = np.random.default_rng(seed)
    Q = np.broadcast_to(np.eye(N), (products, N, N))
    total = np.zeros(N)
    for _ in progress_bar(range(steps), desc="Gaussian products", leave=False, show=progress):
        Q, R = np.linalg.qr(rng.normal(0, N**-0.5, (products, N, N)) @ Q)
        total += np.log(np.abs(np.diagonal(R, axis1=1, axis2=2))).mean(axis=0)
    return total / steps


def largest_exponents(g: float, N: int = 200, seeds: int = 5, steps: int = 2000, discard: int = 500) -> np.ndarray:
    """λ_1 of h ↦ tanh(W · h), W ~ N(0, g²/N), for several random W (seeds,)."""

    def exponent(seed: int) -> float:
        W = np.random.default_rng(seed).normal(0, g / math.sqrt(N), (N, N))
        return float(
            lyapunov_spectrum(W, steps=steps, discard=discard, count=1, seed=seed, progress=False).exponents[0]
        )

    return np.array([exponent(seed) for seed in range(seeds)])


class Exponents(NamedTuple):
    """What was measured."""

    products: int
    gaussian: np.ndarray  # (N,): of products of Gaussian matrices
    chaos: dict[float, np.ndarray]  # g: λ_1 of random networks (seeds,)


def measure(quick: bool, progress: bool) -> Exponents:
    """Both; quick takes fewer products."""
    products = 200 if quick else 1000
    gaussian = gaussian_exponents(products=products, progress=progress)
    gains = progress_bar(CHAOS, desc="onset of chaos", leave=False, show=progress)
    return Exponents(products, gaussian, {g: largest_exponents(g) for g in gains})


def results(measured: Exponents) -> list[Result]:
    """Of the Gaussian products the exponent that lies farthest from Newman's; the largest one of each network."""
    products, gaussian, chaos = measured
    exact = newman(len(gaussian))
    worst = int(np.abs(gaussian - exact).argmax())
    setting = f"N = {len(exact)}, {products} products of 200, λ_{worst + 1}: the worst of all"
    found = [
        Result("Gaussian products", setting, float(exact[worst]), float(gaussian[worst]), 0.02, "exact: Newman 1986")
    ]
    for g, exponents in chaos.items():
        setting = f"g = {g:g}, N = 200, λ_1, {len(exponents)} networks"
        note = f"spread {exponents.std(ddof=1):.3f}"
        found.append(Result("onset of chaos", setting, CHAOS[g], float(exponents.mean()), 0.03, note))
    return found


def draw(measured: Exponents, out: Path) -> dict[str, str]:
    """lyapunov.png."""
    from ..plots import new_figure, plot_chaos, plot_lyapunov

    figure = new_figure(9, 4)
    left, right = figure.subplots(1, 2)
    plot_lyapunov(measured.gaussian, left, exact=newman(len(measured.gaussian)), exact_name="exact (Newman)")
    left.set_title("Products of Gaussian matrices", loc="left", fontsize="large")
    gains = list(measured.chaos)
    known = [CHAOS[g] for g in gains]
    plot_chaos(gains, [measured.chaos[g] for g in gains], right, known=known, known_name="a plain loop")
    figure.savefig(out / "lyapunov.png")
    return {"lyapunov.png": "Lyapunov exponents: of Gaussian products beside Newman's, of random networks against g"}
