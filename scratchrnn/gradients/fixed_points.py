"""Fixed points of the map h ↦ φ(W_hh · h + b_h): where a network without input stays, and whether it comes back.

    h* = φ(W_hh · h* + b_h)        ∂h_t/∂h_{t−1} at h*:  J = diag(φ′(a*)) · W_hh

A fixed point draws nearby states in when every |eigenvalue| of J is below 1. Information that a network keeps for long
is kept by such points, and at a stable one gradients vanish: chapter, 梯度消失和梯度爆炸; Pascanu, Mikolov and Bengio
2013, section 2.3; Sussillo and Barak 2013, "Opening the black box".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._arguments import above_zero, integer
from .._numerics import expected_underflow
from .._progress import progress_bar
from ..layers import rnn
from .lyapunov import check_map

ITERATIONS = 200
HALVINGS = 30


class FixedPoint(NamedTuple):
    """A state that the map leaves where it is."""

    h: np.ndarray  # (H,)
    residual: float  # the largest |h − φ(W_hh · h + b_h)|
    eigenvalues: np.ndarray  # (H,) complex: of J, the largest first
    radius: float  # the largest |eigenvalue|
    stable: bool  # radius < 1

    def __repr__(self) -> str:
        kind = "stable" if self.stable else "unstable"
        return f"FixedPoint(H={len(self.h)}, ‖h‖ = {np.linalg.norm(self.h):.3g}, {kind}, radius {self.radius:.3g})"


@expected_underflow
def fixed_points(
    W_hh: Any,
    b_h: Any = None,
    *,
    nonlinearity: str = "tanh",
    starts: int = 100,
    tolerance: float = 1e-12,
    apart: float = 1e-5,
    seed: int = 0,
    progress: bool = True,
) -> list[FixedPoint]:
    """Fixed points that Newton's method finds from many starts, stable and unstable ones, the nearest to 0 first.

        F(h) = h − φ(W_hh · h + b_h)        h ← h − s · F′(h)⁻¹ · F(h),  F′ = 1 − J

    s is halved from 1 until F becomes smaller. Starts are 0, points of U(−1, 1)^H shrunk by a random factor, and states
    that the map itself reaches from there; where h ↦ −h is a symmetry (tanh without bias) both signs of each.

    Parameters
    ----------
    W_hh, b_h : (H, H) and (H,); b_h None is zeros.
    nonlinearity : "tanh" or "relu". Of a continuum of fixed points, as relu has some, single points come back.
    starts : how many. Nothing says that more would not find more.
    tolerance : the largest residual of what counts as a fixed point, relative to max(1, |h|).
    apart : of points no farther apart than this, in every unit, the one with the smallest residual is kept.
    seed : of the starts.
    progress : show a progress bar for what takes more than a few seconds.

    Raises ValueError for arguments that do not fit.

    >>> [(point.h.round(4), point.stable) for point in fixed_points([[2.0]])]
    [(array([0.]), False), (array([-0.9575]), True), (array([0.9575]), True)]
    """
    W_hh, b_h = check_map(W_hh, b_h, nonlinearity)
    above_zero("tolerance", tolerance)
    above_zero("apart", apart)
    found: list[tuple[float, np.ndarray]] = []
    beginnings = draw_starts(W_hh, b_h, nonlinearity, integer("starts", starts), np.random.default_rng(seed))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in progress_bar(beginnings, unit="start", delay=2, leave=False, show=progress):
            h = newton(start, W_hh, b_h, nonlinearity)
            residual = float(np.abs(h - rnn.activate(W_hh @ h + b_h, nonlinearity)).max())
            if residual <= tolerance * max(1.0, float(np.abs(h).max())):
                found.append((residual, h))

    kept: list[tuple[float, np.ndarray]] = []
    for residual, h in sorted(found, key=lambda pair: pair[0]):
        if all(np.abs(h - other).max() > apart for _, other in kept):
            kept.append((residual, h))
    points = [described(h, residual, W_hh, b_h, nonlinearity) for residual, h in kept]
    return sorted(points, key=lambda point: (round(float(np.linalg.norm(point.h)), 9), tuple(point.h)))


def newton(h: np.ndarray, W_hh: np.ndarray, b_h: np.ndarray, nonlinearity: str) -> np.ndarray:
    """Newton's method for F(h) = h − φ(W_hh · h + b_h) with steps short enough to make F smaller; the last h."""
    image = rnn.activate(W_hh @ h + b_h, nonlinearity)
    for _ in range(ITERATIONS):
        F = h - image
        size = np.linalg.norm(F)
        derivative = np.eye(len(h)) - rnn.activation_grad(image, nonlinearity)[:, None] * W_hh
        if size == 0 or not np.isfinite(derivative).all():
            break
        try:
            step = np.linalg.solve(derivative, F)
        except np.linalg.LinAlgError:
            step = np.linalg.lstsq(derivative, F)[0]
        for halving in range(HALVINGS):
            shorter = h - step / 2**halving
            image_there = rnn.activate(W_hh @ shorter + b_h, nonlinearity)
            if np.linalg.norm(shorter - image_there) < size:
                break
        else:  # no smaller F: a rounding error of it, or a minimum that is no zero
            break
        h, image = shorter, image_there
    return h


def draw_starts(
    W_hh: np.ndarray, b_h: np.ndarray, nonlinearity: str, starts: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """0, random points near and far, and for every second one what the map makes of it; mirrored where it is odd."""
    H = len(W_hh)
    points = [np.zeros(H)]
    for i in range(starts - 1):
        h = rng.uniform(-1, 1, H) * rng.random()
        for _ in range(int(rng.integers(1, 100)) if i % 2 else 0):
            moved = rnn.activate(W_hh @ h + b_h, nonlinearity)
            h = moved if np.abs(moved).max() < 1e6 else h
        points.append(h)
    if nonlinearity == "tanh" and not b_h.any():
        points += [-h for h in points[1:]]
    return points


def described(h: np.ndarray, residual: float, W_hh: np.ndarray, b_h: np.ndarray, nonlinearity: str) -> FixedPoint:
    """The fixed point with the eigenvalues of its Jacobian."""
    J = rnn.activation_grad(rnn.activate(W_hh @ h + b_h, nonlinearity), nonlinearity)[:, None] * W_hh
    eigenvalues = np.linalg.eigvals(J).astype(complex)
    eigenvalues = eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")]
    radius = float(np.abs(eigenvalues[0]))
    return FixedPoint(h, residual, eigenvalues, radius, radius < 1)
