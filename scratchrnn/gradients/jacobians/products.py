"""Singular values of long products of Jacobians, the smallest as well as the largest, at any length.

    J_{t,k} = ∂h_t/∂h_k = D_t · W_hh · D_{t−1} · W_hh ⋯ D_{k+1} · W_hh      D_i = diag(slope of h_i)

After a few dozen steps the singular values of such a product span more than the 16 digits of a float, and after a few
thousand more than its range, so the product itself is never formed. What is kept is X with X · Vᵀ = J_{t,k}ᵀ for some
orthogonal V that nobody needs, as columns of length 1 and the logarithms of their lengths. One step further back is

    X ← W_hhᵀ · D_k · X,  and then X ← X · V with orthogonal V until the columns are orthogonal to one another

whereupon their lengths are the singular values. V is a QR decomposition from either side, which settles what differs
much in length, and then plane rotations (one-sided Jacobi) for the rest. Columns are scaled exactly, so that each
step has an error of eps times the condition of unit columns, whatever the condition of the product is.

Sources: Demmel and Veselić 1992, "Jacobi's method is more accurate than QR"; Drmač and Veselić 2008, "New fast and
accurate Jacobi SVD algorithm" (both QR decompositions before the rotations); Stewart 1997, "On graded QR
decompositions of products of matrices".
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from ..._numerics import expected_underflow

Array = np.ndarray

SETTLED = 1e-16  # relative change of a length below which a pair is not turned
SWEEPS = 60


class Columns(NamedTuple):
    """Vectors of length e^logs: `unit` holds one in each row, of length 1, the longest first."""

    unit: Array  # (m, n)
    logs: Array  # (m,)


def product_spectrum(slopes: Array, W_hh: Array) -> Iterator[Array]:
    """Natural logarithms of the singular values of ∂h_t/∂h_k, descending (H,), for lag t − k = 0, 1, … T.

    slopes (T, H) is the derivative of the nonlinearity at h_{t−T+1} … h_t, in this order; W_hh (H, H). A singular value
    is −inf where the product has a lower rank because units are dead (slope exactly 0); one that is 0 because W_hh is
    singular comes out as small as rounding makes it. Raises ValueError where shapes do not fit together or a number is
    not finite.

    >>> W_hh = np.diag([1.0, 1e-9])
    >>> *_, last = product_spectrum(np.ones((1000, 2)), W_hh)
    >>> last / np.log(10)
    array([    0., -9000.])
    """
    H = len(W_hh)
    if W_hh.shape != (H, H) or slopes.ndim != 2 or slopes.shape[1] != H:
        raise ValueError(f"expected slopes (T, H) and W_hh (H, H), got {slopes.shape} and {W_hh.shape}")
    for name, array in (("slopes", slopes), ("W_hh", W_hh)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite; found {array[~np.isfinite(array)][0]}")
    X = Columns(np.eye(H), np.zeros(H))
    yield X.logs.copy()
    for slope in slopes[::-1]:
        alive = slope != 0
        X = compact(X.unit[:, alive] * slope[alive], X.logs)
        X = orthogonal(compact(X.unit @ W_hh[alive], X.logs))
        yield np.concatenate([X.logs, np.full(H - len(X.logs), -np.inf)])


@expected_underflow
def compact(rows: Array, logs: Array) -> Columns:
    """Vectors e^logs · rows, scaled; not more of them than they have entries, none of length 0.

    Where there are more of them than entries, orthogonal V leaves the surplus exactly 0.
    """
    X, _ = scaled(rows, logs)
    if len(X.unit) > X.unit.shape[1]:
        basis, Y = decomposed(X)
        _, Z = decomposed(Y)
        X, _ = scaled(Z.unit @ basis.T, Z.logs)
    return X


@expected_underflow
def orthogonal(X: Columns) -> Columns:
    """X · V with orthogonal V, such that no two columns are far enough from orthogonal to change their lengths."""
    basis, Y = decomposed(X)
    _, Z = decomposed(Y)  # X = basis · Yᵀ = basis · Z · (orthogonal)ᵀ: left to be turned is Z, nearly diagonal
    unit, logs = Z.unit.copy(), Z.logs.copy()
    for _ in range(SWEEPS):
        cosines = unit @ unit.T
        ratio = np.exp(-np.abs(logs[:, None] - logs))
        wrong = np.abs(cosines * tangents(cosines, ratio)) > SETTLED
        np.fill_diagonal(wrong, False)
        if not wrong.any():
            Z, _ = scaled(unit, logs)
            return Columns(Z.unit @ basis.T, Z.logs)
        for p, q in rounds(wrong):
            turn(unit, logs, p, q)
    raise FloatingPointError(f"the columns of a product are not orthogonal after {SWEEPS} sweeps")


def decomposed(X: Columns) -> tuple[Array, Columns]:
    """X as basis · Yᵀ: orthonormal columns (n, k), and k vectors of m entries, by the QR decomposition of unit columns.

    Row i of R · diag(e^logs) is e^logs_i times (R_ij · e^(logs_j − logs_i)), and no number in it grows, since R is
    upper triangular and the logarithms descend.
    """
    Q, R = np.linalg.qr(X.unit.T)
    k = len(R)
    Y, order = scaled(R * np.exp(np.minimum(X.logs - X.logs[:k, None], 0)), X.logs[:k])
    return Q[:, order], Y


def scaled(rows: Array, logs: Array) -> tuple[Columns, Array]:
    """Vectors e^logs · rows as Columns, without those that are 0, and which row each of them was."""
    largest = np.abs(rows).max(axis=1, initial=0)
    order = np.flatnonzero(largest)
    rows = rows[order] / largest[order, None]
    lengths = np.sqrt((rows**2).sum(axis=1))
    logs = logs[order] + np.log(largest[order]) + np.log(lengths)
    descending = np.argsort(-logs, kind="stable")
    return Columns((rows / lengths[:, None])[descending], logs[descending]), order[descending]


def tangents(cosine: Array, ratio: Array) -> Array:
    """tan θ / ratio of the rotation by which two vectors become orthogonal; ratio ≤ 1 is that of their lengths."""
    z = (1 - ratio) * (1 + ratio)
    return 2 * cosine / (z + np.sqrt(z**2 + (2 * ratio * cosine) ** 2) + (cosine == 0))


def turn(unit: Array, logs: Array, p: Array, q: Array) -> None:
    """Rotate the vectors p[i] and q[i], for every i, until they are orthogonal; the longer one stays the longer.

        tan 2θ = 2 · p·q / (|p|² − |q|²)      p ← cos θ · p + sin θ · q      q ← cos θ · q − sin θ · p

    In terms of unit vectors and of r = |q|/|p|, which may underflow, with tan θ = r · τ.
    """
    swap = logs[q] > logs[p]
    p, q = np.where(swap, q, p), np.where(swap, p, q)
    u, v = unit[p], unit[q]
    r = np.exp(logs[q] - logs[p])
    tau = tangents((u * v).sum(axis=1), r)
    for i, moved in ((p, u + (r**2 * tau)[:, None] * v), (q, v - tau[:, None] * u)):
        length = np.sqrt((moved**2).sum(axis=1))
        unit[i] = moved / length[:, None]
        logs[i] += np.log(length) - np.log1p((r * tau) ** 2) / 2


def rounds(wrong: Array) -> Iterator[tuple[Array, Array]]:
    """The pairs (p, q) that are wrong, in rounds of pairs that have no member in common.

    In a long product only neighbours are: these go by their distance q − p, many pairs as in a tournament.
    """
    p, q = np.nonzero(np.triu(wrong))
    distances = np.unique(q - p)
    if 2 * len(distances) < len(wrong):
        for distance in distances:
            for parity in (0, 1):
                at = (q - p == distance) & (p // distance % 2 == parity)
                if at.any():
                    yield p[at], q[at]
        return
    for p, q in tournament(len(wrong)):
        at = wrong[p, q]
        if at.any():
            yield p[at], q[at]


@cache
def tournament(m: int) -> tuple[tuple[Array, Array], ...]:
    """All pairs of m numbers in rounds, in each of which every number has at most one partner."""
    players = np.arange(m + m % 2)
    rounds = []
    for _ in range(len(players) - 1):
        p, q = players[: len(players) // 2], players[: len(players) // 2 - 1 : -1]
        real = (p < m) & (q < m)
        rounds.append((p[real], q[real]))
        players = np.concatenate([players[:1], players[-1:], players[1:-1]])
    return tuple(rounds)
