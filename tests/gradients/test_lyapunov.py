"""Lyapunov exponents and fixed points of the autonomous map, against what is known exactly."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from helpers import make_batch, make_model

import scratchrnn as sr
from scratchrnn.gradients.jacobians.products import product_spectrum
from scratchrnn.gradients.lyapunov import kaplan_yorke
from scratchrnn.layers import rnn

QUIET: dict[str, Any] = {"progress": False}


def test_exponents_at_a_fixed_point_are_those_of_its_eigenvalues(rng: np.random.Generator) -> None:
    W_hh, b_h = 0.5 * rng.normal(size=(5, 5)) / math.sqrt(5), rng.normal(size=5)
    (point,) = sr.fixed_points(W_hh, b_h)
    assert point.stable
    found = sr.lyapunov_spectrum(W_hh, b_h, steps=4000, discard=500)
    np.testing.assert_allclose(found.exponents, np.log(np.abs(point.eigenvalues)), atol=2e-3)
    np.testing.assert_allclose(found.h, point.h, atol=1e-12)
    assert found.dimension == 0


def test_exponents_are_the_growth_of_singular_values(rng: np.random.Generator) -> None:
    H, steps = 12, 3000
    W_hh, b_h, h = 2.5 * rng.normal(size=(H, H)) / math.sqrt(H), 0.1 * rng.normal(size=H), rng.normal(size=H)
    found = sr.lyapunov_spectrum(W_hh, b_h, steps=steps, discard=0, h0=h)
    slopes = []
    for _ in range(steps):
        h = np.tanh(W_hh @ h + b_h)
        slopes.append(1 - h**2)
    *_, logs = product_spectrum(np.array(slopes), W_hh)
    np.testing.assert_allclose(found.exponents, logs / steps, atol=0.01)
    assert found.exponents.sum() == pytest.approx(logs.sum() / steps, rel=1e-9)  # the determinant is exact
    assert (np.diff(found.exponents) <= 0).all()
    assert np.all(found.standard_errors > 0) and np.all(found.standard_errors < 0.1)


def test_few_exponents_are_the_largest_of_all() -> None:
    W_hh = np.diag([0.2, 0.9, -0.5])
    whole = sr.lyapunov_spectrum(W_hh, h0=np.zeros(3), steps=50)
    np.testing.assert_allclose(whole.exponents, np.log([0.9, 0.5, 0.2]))
    np.testing.assert_allclose(whole.standard_errors, 0, atol=1e-12)
    few = sr.lyapunov_spectrum(W_hh, h0=np.zeros(3), steps=50, count=2)
    np.testing.assert_allclose(few.exponents, whole.exponents[:2])


def test_driven_by_inputs_they_are_those_of_the_network() -> None:
    model: Any = make_model("vanilla", radius=1.5)
    batch = make_batch(model, time=400)
    p, x = model.params, batch["x"][2]
    found = sr.lyapunov_spectrum(
        p["W_hh"], p["b_h"], drive=x @ p["W_xh"].T, steps=400, discard=0, h0=batch["h0"][2], **QUIET
    )
    spectrum = sr.jacobian_spectrum(model, batch["x"], h0=batch["h0"], row=2)
    np.testing.assert_allclose(found.exponents, spectrum.log10[-1] * math.log(10) / 400, atol=0.02)
    assert found.exponents.sum() == pytest.approx(spectrum.log10[-1].sum() * math.log(10) / 400, rel=1e-9)
    np.testing.assert_allclose(found.h, model.forward(batch["x"], batch["h0"]).h_last[2], atol=1e-9)


def test_a_dead_direction_has_minus_infinity() -> None:
    W_hh = np.array([[0.5, 0.3], [0.2, 0.4]])
    found = sr.lyapunov_spectrum(W_hh, [1.0, -9.0], nonlinearity="relu", steps=40)
    assert found.exponents[0] == pytest.approx(math.log(0.5)) and found.exponents[1] == -math.inf
    assert math.isnan(found.standard_errors[1])


@pytest.mark.parametrize("seed", range(6))
def test_so_many_are_lost_as_the_product_has_no_rank_for(seed: int) -> None:
    """Whatever units are dead, and whenever: with none left out, those of the product itself."""
    rng = np.random.default_rng(seed)
    H, steps = 6, 30
    W_hh, drive, h = 0.6 * rng.normal(size=(H, H)), rng.normal(1, 1, (steps, H)), rng.random(H)
    found = sr.lyapunov_spectrum(W_hh, drive=drive, steps=steps, discard=0, h0=h, nonlinearity="relu")
    few = sr.lyapunov_spectrum(W_hh, drive=drive, steps=steps, discard=0, h0=h, nonlinearity="relu", count=3)
    slopes = []
    for added in drive:
        h = np.maximum(W_hh @ h + added, 0)
        slopes.append((h > 0).astype(float))
    *_, logs = product_spectrum(np.array(slopes), W_hh)
    assert 0 < np.isneginf(logs).sum() < H
    np.testing.assert_array_equal(np.isneginf(found.exponents), np.isneginf(logs))
    np.testing.assert_array_equal(np.isneginf(few.exponents), np.isneginf(logs[:3]))
    alive = np.isfinite(logs)
    np.testing.assert_allclose(found.exponents[alive].sum(), logs[alive].sum() / steps, atol=0.3)


def test_dimension() -> None:
    assert kaplan_yorke(np.array([0.5, -0.25, -1.0]), 3) == pytest.approx(2.25)
    assert kaplan_yorke(np.array([0.5, 0.0, -1.0]), 3) == pytest.approx(2.5)
    assert kaplan_yorke(np.array([-0.1, -0.2]), 2) == 0
    assert kaplan_yorke(np.array([0.3, 0.1]), 2) == 2
    assert math.isnan(kaplan_yorke(np.array([0.3, 0.1]), 5))


def test_one_unit_has_its_pitchfork_at_1() -> None:
    for w in (-0.7, 0.0, 0.5, 1.0):
        (point,) = sr.fixed_points([[w]])
        assert abs(point.h[0]) < 1e-5 and point.radius == pytest.approx(abs(w), abs=1e-9)
        assert point.stable == (abs(w) < 1 and w != 1.0)
    for w in (1.01, 1.5, 4.0):
        middle, low, high = sr.fixed_points([[w]])
        assert middle.h[0] == 0 and middle.radius == w and not middle.stable
        assert high.h[0] == pytest.approx(-low.h[0], rel=1e-11) and high.h[0] > 0 and high.stable and low.stable
        assert high.h[0] == pytest.approx(math.tanh(w * high.h[0]), abs=1e-12)
        assert high.radius == pytest.approx(w * (1 - high.h[0] ** 2), rel=1e-9)
    (point,) = sr.fixed_points([[-3.0]])  # oscillates: 0 is unstable, and nothing else stays
    assert point.h[0] == 0 and not point.stable


def test_without_recurrence_there_is_one() -> None:
    b_h = np.array([0.3, -1.0, 2.0])
    (point,) = sr.fixed_points(np.zeros((3, 3)), b_h)
    np.testing.assert_array_equal(point.h, np.tanh(b_h))
    assert point.radius == 0 and point.stable and point.residual == 0


def test_independent_units_give_all_combinations() -> None:
    points = sr.fixed_points(np.diag([2.0, 3.0]), starts=200)
    assert len(points) == 9
    assert [point.stable for point in points].count(True) == 4
    assert all(len(point.eigenvalues) == 2 for point in points)


def test_points_stay_come_in_pairs_and_their_stability_is_seen(rng: np.random.Generator) -> None:
    W_hh = 1.6 * rng.normal(size=(15, 15)) / math.sqrt(15)
    points = sr.fixed_points(W_hh, starts=150)
    assert len(points) >= 3
    for point in points:
        assert point.residual <= 1e-12
        np.testing.assert_allclose(np.tanh(W_hh @ point.h), point.h, atol=1e-12)
        assert any(np.abs(other.h + point.h).max() < 1e-9 for other in points)
        assert point.radius == np.abs(point.eigenvalues).max() == np.abs(point.eigenvalues[0])
        near = point.h + 1e-7 * rng.normal(size=15)
        for _ in range(400):
            near = np.tanh(W_hh @ near)
        if abs(point.radius - 1) > 0.05:
            assert (np.abs(near - point.h).max() < 1e-6) == point.stable


def test_relu_is_linear_piece_by_piece() -> None:
    W_hh, b_h = np.array([[0.5, 0.0], [0.3, -2.0]]), np.array([1.0, 1.0])
    (point,) = sr.fixed_points(W_hh, b_h, nonlinearity="relu")
    np.testing.assert_allclose(point.h, [2.0, 1.6 / 3])
    assert point.radius == pytest.approx(2) and not point.stable
    np.testing.assert_allclose(rnn.activate(W_hh @ point.h + b_h, "relu"), point.h)
    assert sr.fixed_points([[2.0]], [1.0], nonlinearity="relu") == []  # h = 2h + 1 has none above 0


def test_what_is_printed_is_one_line() -> None:
    rng = np.random.default_rng(0)
    found = sr.lyapunov_spectrum(rng.normal(0, 0.6, (7, 7)), steps=200, discard=50)
    error = f"{found.standard_errors[0]:.1g}"
    said = f"LyapunovSpectrum(7 exponents, λ₁ = {found.exponents[0]:.3g} ± {error}, dimension {found.dimension:.3g})"
    assert repr(found) == said
    dead = sr.lyapunov_spectrum(np.zeros((2, 2)), [-1.0, -1.0], nonlinearity="relu", steps=40)
    assert repr(dead) == "LyapunovSpectrum(2 exponents, λ₁ = -inf, dimension 0)"
    middle, low, _ = sr.fixed_points([[2.0]])
    assert repr(middle) == "FixedPoint(H=1, ‖h‖ = 0, unstable, radius 2)"
    assert repr(low) == f"FixedPoint(H=1, ‖h‖ = 0.958, stable, radius {low.radius:.3g})"


def test_a_spectrum_draws_itself(pyplot: Any) -> None:
    found = sr.lyapunov_spectrum(np.diag([0.5, 0.2]), h0=np.zeros(2), steps=40)
    (dots,) = (line for line in found.plot().get_lines() if line.get_label() == "measured")
    np.testing.assert_array_equal(dots.get_ydata(), found.exponents)


def test_a_model_is_not_its_matrix() -> None:
    deep = sr.SequenceModel([sr.Embedding(4, 3), sr.RNN(3, 5), sr.Linear(5, 2)], backend="numpy")
    name = next(name for name in deep.params if "W_hh" in name)
    for function in (sr.lyapunov_spectrum, sr.fixed_points):
        with pytest.raises(TypeError, match=r'got a VanillaRNN: pass model.params\["W_hh"\]'):
            function(sr.VanillaRNN(1, 2, 1, backend="numpy"))
        with pytest.raises(TypeError, match=re.escape(f'model.params["{name}"]')):
            function(deep)


def test_what_does_not_fit_is_refused() -> None:
    square = np.eye(3)
    for options in ({"count": 4}, {"drive": np.zeros((5, 3))}, {"h0": np.zeros(2)}, {"b_h": np.zeros(2)}):
        with pytest.raises(ValueError, match="expected|count"):
            sr.lyapunov_spectrum(square, **options)  # type: ignore[arg-type]
    for function in (sr.lyapunov_spectrum, sr.fixed_points):
        with pytest.raises(ValueError, match="W_hh"):
            function(np.zeros((2, 3)))
        with pytest.raises(ValueError, match="finite"):
            function(np.full((2, 2), np.nan))
        with pytest.raises(ValueError, match="sigmoid"):
            function(square, nonlinearity="sigmoid")
    with pytest.raises(FloatingPointError, match="attractor"):
        sr.lyapunov_spectrum([[3.0]], [1.0], nonlinearity="relu")
