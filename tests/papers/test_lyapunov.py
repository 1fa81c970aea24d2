"""Exponents with a known answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scratchrnn.papers import lyapunov


def test_digamma() -> None:
    assert lyapunov.digamma(1) == pytest.approx(-0.5772156649015329, rel=1e-15)
    assert lyapunov.digamma(0.5) == pytest.approx(-1.9635100260214235, rel=1e-15)
    for x in (3.5, 10.0, 40.5):  # ψ is the slope of log Γ
        h = 1e-4
        assert lyapunov.digamma(x) == pytest.approx((math.lgamma(x + h) - math.lgamma(x - h)) / (2 * h), abs=1e-7)
    for x in (0.0, -1.0, 0.3):
        with pytest.raises(ValueError, match="half-integer"):
            lyapunov.digamma(x)


def test_every_exponent_of_gaussian_products_is_newmans() -> None:
    ours = lyapunov.gaussian_exponents(N=12, products=200)
    assert np.abs(ours - lyapunov.newman(12)).max() < 0.02
    assert lyapunov.newman(12)[0] == pytest.approx(0.5 * (math.log(1 / 6) + lyapunov.digamma(6)))


@pytest.mark.parametrize("quick", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_all_results_are_within_their_tolerance(quick: bool) -> None:
    results = lyapunov.results(lyapunov.measure(quick, progress=False))
    assert len(results) == 1 + len(lyapunov.CHAOS)
    for result in results:
        assert result.ok, result
