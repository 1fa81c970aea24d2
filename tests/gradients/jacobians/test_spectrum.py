"""Singular values of products of Jacobians: against PyTorch, against exact rational arithmetic, at any length."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from helpers import make_batch, make_model

import scratchrnn as sr
from scratchrnn.gradients.jacobians import products
from scratchrnn.gradients.jacobians.products import product_spectrum

ARCHITECTURES = (
    "vanilla",
    "rnn-rnn-linear",
    "relu",
    "deep",
    "deep-bidirectional",
    "norm-dropout",
    "embedding-bidirectional",
)


def exact_product(slopes: Any, W_hh: Any) -> list[list[Fraction]]:
    """Π diag(slope) · W_hh in rational numbers: every float is one."""
    H = len(W_hh)
    product = [[Fraction(int(i == j)) for j in range(H)] for i in range(H)]
    W = [[Fraction(float(w)) for w in row] for row in W_hh]
    for slope in slopes[::-1]:
        scaled = [[Fraction(float(d)) * w for w in row] for d, row in zip(slope, W, strict=True)]
        product = [[sum((p[k] * scaled[k][j] for k in range(H)), start=Fraction(0)) for j in range(H)] for p in product]
    return product


def log_minors(matrix: list[list[Fraction]]) -> list[float]:
    """log of e_k = Σ (products of k squared singular values) = Σ (k × k minors)², k = 1 … H, by the exact minors."""
    H = len(matrix)

    def minor(rows: tuple[int, ...], columns: tuple[int, ...]) -> Fraction:
        total = Fraction(0)
        for permutation in itertools.permutations(range(len(rows))):
            inversions = sum(a > b for a, b in itertools.combinations(permutation, 2))
            total += (-1) ** inversions * math.prod(
                (matrix[r][columns[c]] for r, c in zip(rows, permutation, strict=True)), start=Fraction(1)
            )
        return total

    def log(value: Fraction) -> float:
        return math.log(value.numerator) - math.log(value.denominator)

    return [
        log(
            sum(
                (minor(r, c) ** 2 for r, c in itertools.product(itertools.combinations(range(H), k), repeat=2)),
                start=Fraction(0),
            )
        )
        for k in range(1, H + 1)
    ]


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
@pytest.mark.parametrize("T", [1, 12, 60])
def test_every_singular_value_has_the_digits_of_exact_arithmetic(
    rng: np.random.Generator, scale: float, T: int
) -> None:
    W_hh, slopes = scale * rng.normal(size=(4, 4)), rng.uniform(0.05, 1, (T, 4))
    *_, logs = product_spectrum(slopes, W_hh)
    for k, expected in enumerate(log_minors(exact_product(slopes, W_hh)), start=1):
        subsets = [2 * sum(subset) for subset in itertools.combinations(logs, k)]
        assert np.logaddexp.reduce(subsets) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("scale", [0.05, 20.0])
def test_ten_thousand_steps_neither_over_nor_underflow(rng: np.random.Generator, scale: float) -> None:
    H, T = 5, 10_000
    W_hh, slopes = scale * rng.normal(size=(H, H)), rng.uniform(0.3, 1, (T, H))
    spectra = np.array(list(product_spectrum(slopes, W_hh)))
    assert spectra.shape == (T + 1, H) and np.isfinite(spectra).all()
    assert abs(spectra[-1, 0]) > 10_000 and spectra[-1, 0] - spectra[-1, -1] > 5000
    determinants = np.log(abs(np.linalg.det(W_hh))) + np.log(slopes[::-1]).sum(axis=1)
    np.testing.assert_allclose(spectra[1:].sum(axis=1), determinants.cumsum(), rtol=1e-12)


def test_orthogonal_and_diagonal_products_are_exact(rng: np.random.Generator) -> None:
    Q, _ = np.linalg.qr(rng.normal(size=(7, 7)))
    for logs in product_spectrum(np.ones((300, 7)), Q):
        assert np.abs(logs).max() < 1e-12
    d = np.array([0.5, -2.0, 1e-200, 1e200])
    *_, last = product_spectrum(np.ones((50, 4)), np.diag(d))
    np.testing.assert_allclose(last, 50 * np.sort(np.log(np.abs(d)))[::-1], rtol=1e-14)


def test_dead_units_make_exact_zeros(rng: np.random.Generator) -> None:
    W_hh, slopes = rng.normal(size=(6, 6)), np.ones((9, 6))
    slopes[7, [1, 4]] = 0  # of the step that lag 2 takes in
    slopes[3, [0, 1, 2, 5]] = 0  # lag 6
    slopes[1] = 0  # lag 8
    spectra = list(product_spectrum(slopes, W_hh))
    ranks = [int(np.isfinite(logs).sum()) for logs in spectra]
    assert ranks == [6, 6, 4, 4, 4, 4, 2, 2, 0, 0]
    product = np.eye(6)
    for logs, slope in zip(spectra[1:8], slopes[::-1], strict=False):
        product = product @ np.diag(slope) @ W_hh
        exact = np.linalg.svd(product, compute_uv=False)
        np.testing.assert_allclose(np.exp(logs), exact, atol=1e-12 * exact[0])
    assert not np.isnan(spectra).any()


def test_units_of_an_identity_die_one_by_one(rng: np.random.Generator) -> None:
    slopes = (rng.random((40, 30)) < 0.95).astype(float)
    alive = slopes[::-1].cumprod(axis=0).sum(axis=1)
    assert 0 < alive[-1] < 10
    for logs, count in zip(list(product_spectrum(slopes, np.eye(30)))[1:], alive, strict=True):
        assert np.isfinite(logs).sum() == count and not logs[: int(count)].any()


def test_a_singular_matrix_of_zeros() -> None:
    *_, logs = product_spectrum(np.ones((3, 2)), np.zeros((2, 2)))
    assert (logs == -np.inf).all()
    spectrum = sr.JacobianSpectrum(np.array([[0.0, 0.0], [-np.inf, -np.inf]]), 0.0, 0.0)
    np.testing.assert_array_equal(spectrum.log10_bound, [0, -np.inf])
    np.testing.assert_array_equal(spectrum.log10_condition, [0, np.inf])


def test_a_product_that_does_not_fit_is_refused() -> None:
    slopes, W_hh = np.ones((5, 3)), np.eye(3)
    for ours, theirs in ((slopes, np.ones((3, 4))), (slopes[0], W_hh), (slopes[None], W_hh), (np.ones((5, 4)), W_hh)):
        with pytest.raises(ValueError, match=r"expected slopes \(T, H\) and W_hh \(H, H\), got "):
            next(product_spectrum(ours, theirs))
    W_hh[1, 2], slopes[4, 0] = np.inf, np.nan
    with pytest.raises(ValueError, match="slopes must be finite; found nan"):
        next(product_spectrum(slopes, W_hh))
    with pytest.raises(ValueError, match="W_hh must be finite; found inf"):
        next(product_spectrum(np.ones((5, 3)), W_hh))


def test_equal_lengths_far_from_one_are_told_apart() -> None:
    """e^±20 · [[1, c], [c, 1]] has the singular values e^±20 · (1 ± c)."""
    c = 1e-9
    for logarithm in (-20, 20):
        *_, logs = product_spectrum(np.ones((1, 2)), np.exp(logarithm) * np.array([[1, c], [c, 1]]))
        np.testing.assert_allclose(logs - logarithm, [c, -c], atol=1e-14)


@pytest.mark.parametrize("apart", [0.0, 0.001, 0.5, 3.0, 20.0, 900.0])
def test_a_turn_makes_vectors_orthogonal(rng: np.random.Generator, apart: float) -> None:
    """And changes nothing of Σ length² · u · uᵀ, the product with its own transpose."""
    unit = rng.normal(size=(6, 7))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    unit[5] -= unit[5] @ unit[4] * unit[4]  # orthogonal already
    unit[5] /= np.linalg.norm(unit[5])
    logs = np.array([0, -apart, -apart, 0, 0, -apart])
    p, q = np.array([0, 2, 4]), np.array([1, 3, 5])
    before = unit.T * np.exp(2 * logs) @ unit
    products.turn(unit, logs, p, q)
    np.testing.assert_allclose((unit[p] * unit[q]).sum(axis=1), 0, atol=1e-15)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(unit.T * np.exp(2 * logs) @ unit, before, atol=1e-15)
    assert apart == 0 or (logs[[0, 3, 4]] > logs[[1, 2, 5]]).all()  # the longer one stays the longer


@pytest.mark.parametrize("m", [1, 2, 3, 8, 9])
def test_a_round_has_every_number_once_at_most(rng: np.random.Generator, m: int) -> None:
    p, q = np.indices((m, m))
    for wrong in (
        p != q,
        abs(p - q) == 1,
        (abs(p - q) == 1) | (abs(p - q) == 3),
        (p != q) & (abs(p - q) <= 3),
        (p != q) & (rng.random((m, m)) < 0.2),
    ):
        wrong = wrong | wrong.T
        played = list(products.rounds(wrong))
        for one in played:
            members = np.concatenate(one)
            assert len(members) and len(set(members)) == len(members)
        pairs = [tuple(sorted(pair)) for one in played for pair in zip(*one, strict=True)]
        assert sorted(pairs) == [tuple(pair) for pair in np.argwhere(np.triu(wrong))]
        distances = len(np.unique(abs(p - q)[wrong]))
        assert len(played) <= min(2 * distances, m - 1 + m % 2)


def test_few_sweeps_are_enough(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong turn, or a pair that no round has, would be made good by later sweeps: their number tells."""
    sweeps, orthogonal, rounds = [], products.orthogonal, products.rounds

    def watched(X: products.Columns) -> products.Columns:
        sweeps.append(0)
        return orthogonal(X)

    def counted(wrong: Any) -> Any:
        sweeps[-1] += 1
        return rounds(wrong)

    monkeypatch.setattr(products, "orthogonal", watched)
    monkeypatch.setattr(products, "rounds", counted)
    for W_hh in (rng.normal(size=(20, 20)) / np.sqrt(20), np.linalg.qr(rng.normal(size=(20, 20)))[0]):
        sweeps.clear()
        list(product_spectrum(rng.uniform(0.3, 1, (60, 20)), W_hh))
        assert len(sweeps) == 60 and max(sweeps) <= 7 and np.mean(sweeps) < 4
    monkeypatch.setattr(products, "SWEEPS", 1)
    with pytest.raises(FloatingPointError, match="a product are not orthogonal after 1 sweeps"):
        list(product_spectrum(rng.uniform(0.3, 1, (60, 20)), W_hh))


def cells_by_hand(model: Any, x: Any, states: Any) -> Iterator[tuple[Any, Any, Any, str]]:
    """W_hh, what is added to W_hh · h at each step (K, H), the first state and the nonlinearity of every cell, of one
    row x (K, D) or tokens (K,), each in its own time."""
    states = list(states)
    for i, layer in enumerate(model.layers):
        p = {symbol: np.asarray(array) for symbol, array in model.network.own(i, model.params).items()}
        if isinstance(layer, sr.Embedding):
            x = p["E"][x]
        elif isinstance(layer, sr.LayerNorm):
            x = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + layer.eps)
            x = p["gamma"] * x + p["beta"]
        elif isinstance(layer, sr.Linear):
            x = x @ p["W_hy"].T + p["b_y"]
        elif isinstance(layer, sr.RNN):
            firsts = states.pop(0).reshape(-1, layer.hidden_size)
            for level in range(layer.num_layers):
                sides = []
                for reverse in range(1 + layer.bidirectional):
                    after = (f"_l{level}" if level else "") + "_reverse" * reverse
                    h = firsts[(1 + layer.bidirectional) * level + reverse]
                    added = x[:: -1 if reverse else 1] @ p["W_xh" + after].T + p["b_h" + after]
                    yield p["W_hh" + after], added, h, layer.nonlinearity
                    side = []
                    for a in added:
                        h = p["W_hh" + after] @ h + a
                        h = np.tanh(h) if layer.nonlinearity == "tanh" else np.maximum(h, 0)
                        side.append(h)
                    sides.append(side[:: -1 if reverse else 1])
                x = np.concatenate(sides, axis=1)


def jacobians_by_autograd(torch: Any, W_hh: Any, added: Any, h: Any, nonlinearity: str) -> list[Any]:
    """∂h_last/∂h_{last − lag} for lag = 0, 1, … by PyTorch."""
    activate = torch.tanh if nonlinearity == "tanh" else torch.relu
    W_hh, added, h = torch.tensor(np.array(W_hh)), torch.tensor(np.array(added)), torch.tensor(np.array(h))
    states = [h.requires_grad_()]
    for a in added:
        states.append(activate(W_hh @ states[-1] + a))
    rows = [torch.autograd.grad(unit, states, retain_graph=True) for unit in states[-1]]
    return [np.array([row[-1 - lag].numpy() for row in rows]) for lag in range(len(states))]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("padded", [False, True])
def test_agrees_with_autograd(torch: ModuleType, backend: str, architecture: str, padded: bool) -> None:
    model = make_model(architecture, radius=1.3, backend=backend)
    batch = make_batch(model, time=11, rows=3, padded=padded)
    for row, length in enumerate((11, 11, 11) if batch["lengths"] is None else batch["lengths"]):
        states = batch["h0"] if isinstance(batch["h0"], tuple) else (batch["h0"],)
        cells = cells_by_hand(model, batch["x"][row, :length], [state[..., row, :] for state in states])
        for cell, (W_hh, added, h, nonlinearity) in enumerate(cells):
            spectrum = sr.jacobian_spectrum(
                model, batch["x"], h0=batch["h0"], lengths=batch["lengths"], row=row, cell=cell
            )
            assert spectrum.log10.shape == (length + 1, len(W_hh))
            assert spectrum.radius == pytest.approx(np.abs(np.linalg.eigvals(W_hh)).max(), rel=1e-12)
            assert spectrum.norm == pytest.approx(np.linalg.svd(W_hh)[1][0], rel=1e-12)
            assert (spectrum.log10[:, 0] <= spectrum.log10_bound + 1e-12).all()
            for lag, J in enumerate(jacobians_by_autograd(torch, W_hh, added, h, nonlinearity)):
                exact = np.linalg.svd(J, compute_uv=False)
                assert np.abs(10 ** spectrum.log10[lag] - exact).max() <= 1e-10 * exact[0]
        top = sr.jacobian_spectrum(model, batch["x"], h0=batch["h0"], lengths=batch["lengths"], row=row)
        np.testing.assert_array_equal(top.log10, spectrum.log10)


def test_the_longest_of_a_hundred_steps_agree_with_autograd(torch: ModuleType) -> None:
    model = sr.VanillaRNN(3, 40, 2, init="normal(0.2)")
    x = np.random.default_rng(1).normal(size=(1, 100, 3))
    spectrum = sr.jacobian_spectrum(model, x)
    ((W_hh, added, h, _),) = cells_by_hand(model, x[0], [np.zeros(40)])
    for lag, J in enumerate(jacobians_by_autograd(torch, W_hh, added, h, "tanh")):
        exact = np.linalg.svd(J, compute_uv=False)
        assert np.abs(10 ** spectrum.log10[lag] - exact).max() <= 1e-10 * exact[0]


def test_condition_and_bound() -> None:
    model = sr.VanillaRNN(2, 5, 1, init="orthogonal")
    spectrum = sr.jacobian_spectrum(model, np.zeros((2, 30, 2)))
    np.testing.assert_allclose(spectrum.log10_condition, 0, atol=1e-12)
    np.testing.assert_allclose(spectrum.log10_bound, 0, atol=1e-12)
    assert "spectral radius 1, norm 1" in repr(spectrum)
    model.params["W_hh"] = 0.5 * model.params["W_hh"]
    spectrum = sr.jacobian_spectrum(model, np.zeros((2, 30, 2)))
    np.testing.assert_allclose(spectrum.log10_bound, np.arange(31) * math.log10(0.5))
    np.testing.assert_allclose(spectrum.log10[:, 0], spectrum.log10_bound)


def test_float32_models_give_float64_products() -> None:
    model = make_model(radius=1.1, dtype="float32")
    batch = make_batch(model)
    single = sr.jacobian_spectrum(model, batch["x"], h0=batch["h0"], row=2).log10
    double = sr.jacobian_spectrum(model.to(None, "float64"), batch["x"], h0=batch["h0"], row=2).log10
    assert single.dtype == np.float64
    np.testing.assert_allclose(single, double, atol=1e-4)


def test_what_does_not_fit_is_refused() -> None:
    model = sr.VanillaRNN(2, 3, 1)
    x = np.zeros((4, 5, 2))
    for options, error in (
        ({"row": 4}, IndexError),
        ({"cell": 1}, IndexError),
        ({"lengths": [1, 2, 3, 6]}, ValueError),
    ):
        with pytest.raises(error):
            sr.jacobian_spectrum(model, x, **options)
    with pytest.raises(TypeError, match="expected a SequenceModel"):
        sr.jacobian_spectrum(np.eye(3), x)
    model.params["W_hh"][0, 0] = np.nan
    with pytest.raises(ValueError, match="row 0 are not finite from step 0"):
        sr.jacobian_spectrum(model, x)
