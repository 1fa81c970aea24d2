"""Initial weights: each rule's own property, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import scratchrnn as sr

D, H = 40, 60
SQUARE = ["orthogonal", "identity", "spectral(1.3)"]


def initial(init: str, **options: Any) -> dict[str, np.ndarray]:
    return sr.RNN(D, H, init=init, **options).initial(np.random.default_rng(0))


def radius(W: np.ndarray) -> float:
    return float(np.abs(np.linalg.eigvals(W)).max())


@pytest.mark.parametrize("init", ["xavier", "he", "normal(0.02)", *SQUARE])
def test_biases_are_zero_and_matrices_are_drawn_anew(init: str) -> None:
    layer = sr.RNN(D, H, num_layers=2, bidirectional=True, init=init)
    arrays = layer.initial(np.random.default_rng(0))
    assert {symbol: array.shape for symbol, array in arrays.items()} == layer.shapes()
    for symbol, array in arrays.items():
        assert array.dtype == np.float64
        assert array.any() == (array.ndim == 2), symbol
    again = layer.initial(np.random.default_rng(0))
    other = layer.initial(np.random.default_rng(1))
    for symbol, array in arrays.items():
        assert (array == again[symbol]).all()
        if array.ndim == 2 and not (init == "identity" and symbol.startswith("W_hh")):
            assert (array != other[symbol]).any()
            assert not any(array.shape == a.shape and (array == a).all() for s, a in arrays.items() if s != symbol)


def test_normal_and_he_have_their_standard_deviation() -> None:
    for init, of in (("he", lambda W: np.sqrt(2 / W.shape[1])), ("normal(0.02)", lambda W: 0.02)):
        arrays = initial(init)
        for symbol in ("W_xh", "W_hh"):
            W = arrays[symbol]
            assert W.std() == pytest.approx(of(W), rel=0.05) and abs(W.mean()) < 0.1 * of(W)
            assert np.abs(W).max() > 2.5 * of(W)  # not uniform


def test_rules_for_W_hh() -> None:  # noqa: N802
    for after in ("", "_reverse", "_l1", "_l1_reverse"):
        options = {"num_layers": 2, "bidirectional": True}
        Q = initial("orthogonal", **options)[f"W_hh{after}"]
        np.testing.assert_allclose(Q.T @ Q, np.eye(H), atol=1e-14)
        assert np.array_equal(initial("identity", **options)[f"W_hh{after}"], np.eye(H))
        assert radius(initial("spectral(1.3)", **options)[f"W_hh{after}"]) == pytest.approx(1.3, rel=1e-12)


def test_orthogonal_matrices_are_uniform() -> None:
    """Of a uniform one the mean of every entry is 0; the sign convention of a bare QR would leave Q[0, 0] negative."""
    rng = np.random.default_rng(0)
    entries = np.array([sr.RNN(1, 3, init="orthogonal").initial(rng)["W_hh"] for _ in range(2000)])
    assert np.abs(entries.mean(axis=0)).max() < 0.05
    np.testing.assert_allclose(entries.var(axis=0), 1 / 3, rtol=0.1)


@pytest.mark.parametrize("init", SQUARE)
def test_rules_for_W_hh_leave_the_others_xavier(init: str) -> None:  # noqa: N802
    for arrays in (
        initial(init, num_layers=2),
        sr.Linear(D, H, init=init).initial(np.random.default_rng(0)),
        sr.Embedding(D, H, init=init).initial(np.random.default_rng(0)),
    ):
        for symbol, W in arrays.items():
            if W.ndim == 2 and not symbol.startswith("W_hh"):
                limit = np.sqrt(6 / sum(W.shape))
                assert 0.95 * limit < np.abs(W).max() <= limit
                assert W.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)


def test_an_embedding_starts_standard_normal() -> None:
    E = sr.Embedding(D, H).initial(np.random.default_rng(0))["E"]
    assert E.shape == (D, H) and E.std() == pytest.approx(1, rel=0.05) and np.abs(E).max() > 2.5


def test_layer_norm_starts_as_no_more_than_the_normalisation() -> None:
    arrays = sr.LayerNorm(5).initial(np.random.default_rng(0))
    assert arrays["gamma"].tolist() == [1] * 5 and arrays["beta"].tolist() == [0] * 5


def test_the_irnn_starts_by_adding_up() -> None:
    """h_t = relu(h_{t−1} + W_xh · x_t) with W_hh = 1, and inputs that keep it above 0."""
    model = sr.SequenceModel([sr.RNN(1, 3, nonlinearity="relu", init="identity"), sr.Linear(3, 1)], backend="numpy")
    model.params["0.W_xh"] = [[1.0], [2.0], [3.0]]
    h = model.forward(np.arange(6.0).reshape(1, 6, 1)).h[0]
    np.testing.assert_allclose(h, np.cumsum(np.arange(6.0))[:, None] * [1, 2, 3], rtol=1e-15)


@pytest.mark.parametrize("make", [sr.RNN, sr.Linear, sr.Embedding])
@pytest.mark.parametrize(
    ("init", "message"),
    [
        (
            "zeros",
            r"init='zeros' is not known; choose one of xavier, he, orthogonal, identity, normal\(std\), spectral\(",
        ),
        ("xavier(2)", "init='xavier\\(2\\)': xavier takes no number"),
        ("normal", r"init='normal': normal needs a std above 0 and finite, as in normal\(0.1\)"),
        ("normal()", "normal needs a std"),
        ("normal(a)", "normal needs a std"),
        ("normal(-1)", "normal needs a std"),
        ("normal(inf)", "normal needs a std"),
        ("spectral(0)", "spectral needs a radius above 0"),
        ("spectral(nan)", "spectral needs a radius above 0"),
        ("normal(0.1", "is not known"),
        (3, "init=3 is not known"),
        (None, "init=None is not known"),
    ],
)
def test_unknown_rules_are_refused(make: Any, init: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(3, 4, init=init)
