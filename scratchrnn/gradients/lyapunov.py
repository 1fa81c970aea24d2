"""Lyapunov exponents: how fast two nearby states part, or meet, in the long run.

    h_t = φ(W_hh · h_{t−1} + b_h)        λ_i = lim (1/T) · log σ_i(∂h_T/∂h_0)

They are what is left of the singular values of `jacobian_spectrum` after many steps, per step. The largest one is the
long-run rate at which gradients vanish (below 0) or explode (above 0: chaos).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._arguments import integer
from .._arrays import as_array, to_numpy
from .._numerics import expected_underflow
from .._progress import progress_bar
from ..layers import rnn
from ..parameters import Parameters

BLOCKS = 20  # of steps, whose means tell the standard error


class LyapunovSpectrum(NamedTuple):
    """Lyapunov exponents in nats per step."""

    exponents: np.ndarray  # (m,), descending; −inf where dead units (slope exactly 0) lose a direction for good
    standard_errors: np.ndarray  # (m,), from the means of 20 blocks of steps; NaN beside −inf
    dimension: float  # Kaplan and Yorke's, of the attractor; NaN when the exponents asked for do not reach that far
    h: np.ndarray  # (H,): the last state

    def __repr__(self) -> str:
        error = "" if np.isnan(self.standard_errors[0]) else f" ± {self.standard_errors[0]:.1g}"
        return (
            f"LyapunovSpectrum({len(self.exponents)} exponents, λ₁ = {self.exponents[0]:.3g}{error}, "
            f"dimension {self.dimension:.3g})"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the exponents against their number. Returns the matplotlib axes."""
        from ..plots import plot_lyapunov

        return plot_lyapunov(self.exponents, ax)


@expected_underflow
def lyapunov_spectrum(
    W_hh: Any,
    b_h: Any = None,
    *,
    steps: int = 2000,
    discard: int = 500,
    count: int | None = None,
    drive: Any = None,
    h0: Any = None,
    nonlinearity: str = "tanh",
    seed: int = 0,
    progress: bool = True,
) -> LyapunovSpectrum:
    """Lyapunov exponents of h_t = φ(W_hh · h_{t−1} + b_h + u_t) by a QR decomposition at every step.

        Q_t · R_t = diag(φ′(a_t)) · W_hh · Q_{t−1}        λ_i = (1/steps) · Σ_t log |R_t,ii|

    Parameters
    ----------
    W_hh, b_h : (H, H) and (H,); b_h None is zeros.
    steps, discard : steps that count, after those in which the state finds its attractor and Q its directions.
    count : m, how many exponents, the largest; None is all H. Few are cheaper.
    drive : u (discard + steps, H), what inputs add at each step, such as x @ W_xh.T; None is nothing.
    h0 : (H,), the first state; None draws it from U(−1, 1).
    nonlinearity : "tanh" or "relu".
    seed : of h0 and of the first directions.
    progress : show a progress bar for what takes more than a few seconds.

    An exponent that is −∞ because W_hh is singular comes out as small as rounding makes it. Raises ValueError for
    arguments that do not fit, FloatingPointError when the state overflows (relu).
    Source: Benettin, Galgani, Giorgilli and Strelcyn 1980; for recurrent networks Engelken, Wolf and Abbott 2023.

    >>> lyapunov_spectrum(np.diag([0.5, 0.2]), h0=np.zeros(2)).exponents.round(3)
    array([-0.693, -1.609])
    """
    W_hh, b_h = check_map(W_hh, b_h, nonlinearity)
    H = len(W_hh)
    integer("steps", steps)
    integer("discard", discard, at_least=0)
    m = H if count is None else integer("count", count)
    if m > H:
        raise ValueError(f"there are H = {H} exponents, count asks for {m}")
    added = np.broadcast_to(b_h, (discard + steps, H))
    if drive is not None:
        drive = to_numpy(as_array("drive", drive)).astype(np.float64)
        if drive.shape != added.shape:
            raise ValueError(f"expected drive of shape (discard + steps, H) = {added.shape}, got {drive.shape}")
        added = added + drive
    rng = np.random.default_rng(seed)
    h = rng.uniform(-1, 1, H) if h0 is None else to_numpy(as_array("h0", h0)).astype(np.float64)
    if h.shape != (H,):
        raise ValueError(f"expected h0 of shape (H,) = ({H},), got {h.shape}")
    Q, _ = np.linalg.qr(rng.normal(size=(H, m)))

    growth = np.empty((discard + steps, m))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        for t in progress_bar(range(discard + steps), unit="step", delay=2, leave=False, show=progress):
            h = rnn.activate(W_hh @ h + added[t], nonlinearity)
            if not np.isfinite(h).all():
                raise FloatingPointError(f"the state is not finite at step {t}: this map has no attractor")
            slope = rnn.activation_grad(h, nonlinearity)
            Q, R = np.linalg.qr(slope[:, None] * (W_hh @ Q))
            growth[t] = np.log(np.abs(np.diag(R)))
            growth[t, np.count_nonzero(slope) :] = -np.inf  # exactly 0 but for the rounding of R: dead units
        growth = growth[discard:]
        exponents = growth.mean(axis=0)
        means = np.array([block.mean(axis=0) for block in np.array_split(growth, min(BLOCKS, steps))])
        errors = means.std(axis=0, ddof=1) / np.sqrt(len(means)) if len(means) > 1 else np.full(m, np.nan)
    order = np.argsort(-exponents, kind="stable")
    return LyapunovSpectrum(exponents[order], errors[order], kaplan_yorke(exponents[order], H), h)


def kaplan_yorke(exponents: np.ndarray, H: int) -> float:
    """D = j + (λ_1 + … + λ_j) / |λ_{j+1}|, j the most exponents whose sum is not negative; 0 where λ_1 < 0.

    Of H descending exponents at least the first j + 1 must be given; NaN where they are not.
    """
    sums = np.cumsum(exponents)
    j = int(np.sum(sums >= 0))
    if j == len(exponents):
        return float(H) if j == H else float("nan")
    return j + float(sums[j - 1] / abs(exponents[j])) if j else 0.0


def check_map(W_hh: Any, b_h: Any, nonlinearity: str) -> tuple[np.ndarray, np.ndarray]:
    """W_hh (H, H) and b_h (H,) in float64; ValueError for what is no such map, TypeError for a model."""
    if isinstance(getattr(W_hh, "params", None), Parameters):
        name = next(name for name in W_hh.params if "W_hh" in name)
        raise TypeError(f'expected a matrix W_hh (H, H), got a {type(W_hh).__name__}: pass model.params["{name}"]')
    W_hh = to_numpy(as_array("W_hh", W_hh)).astype(np.float64)
    if W_hh.ndim != 2 or W_hh.shape[0] != W_hh.shape[1] or not len(W_hh):
        raise ValueError(f"expected W_hh of shape (H, H), got {W_hh.shape}")
    b_h = np.zeros(len(W_hh)) if b_h is None else to_numpy(as_array("b_h", b_h)).astype(np.float64)
    if b_h.shape != W_hh.shape[:1]:
        raise ValueError(f"expected b_h of shape (H,) = {W_hh.shape[:1]}, got {b_h.shape}")
    if not (np.isfinite(W_hh).all() and np.isfinite(b_h).all()):
        raise ValueError("W_hh and b_h must be finite")
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f'nonlinearity={nonlinearity!r} is not known; choose "tanh" or "relu"')
    return W_hh, b_h
