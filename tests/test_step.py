"""A stream, one time step at a time; and the model as a table."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from helpers import ARCHITECTURES, BIDIRECTIONAL, D, H, N, O, T, as_states, difference, make_batch, make_model

import scratchrnn as sr

STREAMING = [name for name in ARCHITECTURES if name not in BIDIRECTIONAL]


@pytest.mark.parametrize(
    ("architecture", "tokens"),
    [(name, False) for name in STREAMING] + [(name, True) for name in ("vanilla", "relu", "deep", "embedding")],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("start", ["zeros", "h0"])
def test_step_by_step_is_the_whole_sequence(
    architecture: str, tokens: bool, dtype: str, start: str, backend: str
) -> None:
    model = make_model(architecture, backend=backend, dtype=dtype)
    batch = make_batch(model, tokens=tokens)
    state = None if start == "zeros" else batch["h0"]
    out = model.forward(batch["x"], state)
    tolerance = {"float64": 1e-14, "float32": 1e-5}[dtype]
    for t in range(T):
        y_t, state = model.step(batch["x"][:, t], state)
        assert y_t.shape == (N, O) and y_t.dtype == dtype
        assert difference(y_t, out.y[:, t]) < tolerance
    assert type(state) is type(out.h_last)
    for actual, expected in zip(as_states(state), as_states(out.h_last), strict=True):
        assert actual.shape == expected.shape and difference(actual, expected) < tolerance


def test_a_step_changes_nothing_that_was_handed_in(backend: str) -> None:
    model = make_model("deep", backend=backend)
    batch = make_batch(model)
    x_t, state = batch["x"][:, 0], batch["h0"]
    before = x_t.copy(), state[0].copy()
    _, after = model.step(x_t, state)
    kept = after[0].copy()
    model.step(x_t, after)
    assert (x_t == before[0]).all() and (state[0] == before[1]).all() and (after[0] == kept).all()


@pytest.mark.parametrize("architecture", ["bidirectional", "deep-bidirectional", "embedding-bidirectional"])
def test_a_bidirectional_model_has_no_stream(architecture: str, backend: str) -> None:
    model = make_model(architecture, backend=backend)
    x_t = make_batch(model)["x"][:, 0]
    with pytest.raises(ValueError, match="is bidirectional: it reads a sequence from its end, which a stream does not"):
        model.step(x_t)


@pytest.mark.parametrize(
    ("architecture", "x_t", "error", "message"),
    [
        (
            "vanilla",
            np.zeros((N, D + 1)),
            ValueError,
            "expected x_t of shape (N, 3), or as integer tokens (N,), got float64",
        ),
        ("vanilla", np.zeros(D), ValueError, "got float64 of shape (3,)"),
        ("vanilla", np.zeros((N, 1, D)), ValueError, "got float64 of shape (4, 1, 3)"),
        ("vanilla", np.full((N, D), np.nan), ValueError, "every input must be finite"),
        ("vanilla", np.array([0, D]), IndexError, "token 3"),
        ("vanilla", "text", TypeError, "x_t must be an array of real numbers"),
        ("linear-rnn-linear", np.array([0, 1]), ValueError, "expected x_t of shape (N, 3), got int64 of shape (2,)"),
        ("embedding", np.zeros((N, D)), ValueError, "expected x_t as integer tokens (N,), got float64"),
        ("embedding", np.array([0.0, 1.0]), ValueError, "expected x_t as integer tokens (N,), got float64"),
    ],
)
def test_what_is_no_step_is_refused(architecture: str, x_t: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make_model(architecture).step(x_t)


def test_a_state_of_another_shape_is_refused() -> None:
    model = make_model("deep")
    x_t = make_batch(model)["x"][:, 0]
    wanted = re.escape("expected h0 of shape (num_layers · directions, N, H) = (3, 4, 6), got (4, 6)")
    with pytest.raises(ValueError, match=wanted):
        model.step(x_t, (np.zeros((N, H)),))
    with pytest.raises(TypeError, match="h0 must be a tuple with one state per recurrent layer"):
        model.step(x_t, np.zeros((3, N, H)))


# The table.


def test_the_table_says_what_was_asked_for() -> None:
    layers: list[Any] = [
        sr.Embedding(31, 8),
        sr.Dropout(0.5),
        sr.RNN(8, 6, num_layers=2, bidirectional=True, nonlinearity="relu", dropout=0.3),
        sr.LayerNorm(12),
        sr.Linear(12, 31),
    ]
    model = sr.SequenceModel(layers, loss="cross_entropy", backend="numpy", dtype="float32")
    title, head, *rows, total = model.summary().splitlines()
    assert title == "SequenceModel · loss cross_entropy · float32 on numpy"
    assert head.split() == ["layer", "output", "parameter", "shape", "count"]
    for start in (
        "  Embedding(31 → 8)                                           (N, T, 8)   0.E                (31, 8)      248",
        "  Dropout(8 → 8, p=0.5)                                       (N, T, 8)                                     0",
        "  RNN(8 → 12, num_layers=2, bidirectional, relu, dropout=0.3)  (N, T, 12)  2.W_xh",
        "  LayerNorm(12 → 12)",
        "  Linear(12 → 31)",
    ):
        assert any(re.sub(" +", " ", row).startswith(re.sub(" +", " ", start)) for row in rows), start
    assert len(rows) == 1 + 1 + 12 + 2 + 2
    assert total.startswith("  total, all of them trained ") and total.endswith(f" {model.params.vector.size:,}")
    assert len({len(line) for line in [head, *rows, total]}) == 1  # the counts stand in one column
    counts = [int(row.split()[-1].replace(",", "")) for row in rows]
    assert sum(counts) == model.params.vector.size
    assert str(model) == repr(model) == model.summary()
