"""Models in training: dropout's gradients, its masks for any cut of the rows, and evaluation without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import (
    ARCHITECTURES,
    LOSSES,
    OF_TOKENS,
    RANDOM,
    STEPS,
    D,
    H,
    InBlocks,
    N,
    O,
    T,
    all_grads,
    as_states,
    assert_close,
    assert_same,
    complex_step,
    difference,
    make_batch,
    make_model,
)

import scratchrnn as sr
from scratchrnn import network as passes
from scratchrnn.backends.numba import plan as numba_backend

architectures = pytest.mark.parametrize("architecture", RANDOM)
padding = pytest.mark.parametrize("padded", [False, True], ids=["full", "lengths"])


def seeded() -> np.random.Generator:
    return np.random.default_rng(8)


def train(model: Any, batch: dict[str, Any]) -> Any:
    """`loss_and_grads` in training, with ∂L/∂x where x has one."""
    return model.loss_and_grads(**batch, inputs=batch["x"].ndim == 3, rng=seeded())


@architectures
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("steps", STEPS)
@padding
def test_gradients_under_a_mask_are_the_complex_step(architecture: str, loss: str, steps: str, padded: bool) -> None:
    """The same draws stand in both; a few entries of every tensor."""
    model = make_model(architecture, loss=loss)
    batch = make_batch(model, steps, padded=padded)
    r = train(model, batch)
    prepared = model.check_batch(**batch)
    noise = passes.draw_masks(model.network, prepared, seeded(), np.dtype(float), np.asarray)
    assert any(m is not None and (m == 0).any() for m in noise)
    prepared = prepared._replace(masks=noise)

    def value(vector: Any, x: Any = prepared.x) -> Any:
        z = prepared._replace(x=x, states=tuple(s.astype(complex) for s in prepared.states))
        return passes.with_loss(model.network, model.params.like(vector), z)[0].sum()

    assert r.loss == pytest.approx(float(value(model.params.vector.astype(complex)).real), rel=1e-14)
    some = np.random.default_rng(0).choice(model.params.vector.size, 40, replace=False)
    assert difference(r.grads.vector[some], complex_step(value, model.params.vector, some)) < 1e-12
    if r.grads_x is not None:
        vector = model.params.vector.astype(complex)
        expected = complex_step(lambda x: value(vector, x), prepared.x)
        assert difference(r.grads_x.swapaxes(0, 1), expected) < 1e-12


@architectures
def test_training_is_random_and_exact_under_a_seed(architecture: str, backend: str) -> None:
    model = make_model(architecture, backend=backend)
    batch = make_batch(model, padded=True)
    once, rng = train(model, batch), seeded()
    assert_same(tuple(train(model, batch))[:5], tuple(once)[:5])
    first, second = (model.loss_and_grads(**batch, rng=rng) for _ in range(2))
    assert first.loss == once.loss and second.loss != first.loss
    assert first.loss != model.loss(**batch)


@architectures
def test_without_an_rng_nothing_is_left_out(architecture: str, backend: str) -> None:
    """Evaluation is the same network without its dropout."""
    model = make_model(architecture, backend=backend)
    plain: list[Any] = [
        sr.RNN(layer.input_size, layer.hidden_size, num_layers=layer.num_layers, bidirectional=layer.bidirectional,
               nonlinearity=layer.nonlinearity) if isinstance(layer, sr.RNN) else layer
        for layer in model.layers if not isinstance(layer, sr.Dropout)
    ]  # fmt: skip
    other = sr.SequenceModel(plain, backend=backend)
    other.params.vector[:] = model.params.vector
    batch = make_batch(model)
    assert_same(model.loss_and_grads(**batch).grads.vector, other.loss_and_grads(**batch).grads.vector)
    assert_same(model.forward(batch["x"]).y, other.forward(batch["x"]).y)
    assert_same(model.predict(batch["x"]), other.predict(batch["x"]))


@architectures
@pytest.mark.parametrize("steps", STEPS)
@padding
def test_blocks_of_rows_get_the_masks_of_the_whole(architecture: str, steps: str, padded: bool) -> None:
    model = make_model(architecture)
    batch = make_batch(model, steps, padded=padded)
    whole = train(model, batch)
    model.move(InBlocks(), None)
    r = train(model, batch)
    assert r.loss == pytest.approx(whole.loss, rel=1e-14)
    assert_close(all_grads(r), all_grads(whole), 1e-13)
    for actual, expected in zip(as_states(r.h_last), as_states(whole.h_last), strict=True):
        assert difference(actual, expected) < 1e-14
    assert difference(r.flow.per_sample, whole.flow.per_sample) < 1e-13


@architectures
def test_threads_and_blocks_of_the_numba_backend(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_backend, "MIN_WORK", 1)
    numba, numpy = (make_model(architecture, backend=backend) for backend in ("numba", "numpy"))
    batch = make_batch(numpy, padded=True, rows=26, time=9)
    expected = train(numpy, batch)
    results = []
    threads = sr.get_num_threads()
    try:
        for n in (1, 2, 3):
            sr.set_num_threads(n)
            results.append(train(numba, batch))
    finally:
        sr.set_num_threads(threads)
    assert_close(all_grads(results[0]), all_grads(expected), 1e-12)
    for r in results[1:]:
        assert r.loss == results[0].loss
        assert_same(r.grads.vector, results[0].grads.vector)


def test_layers_above_the_recurrent_ones_draw_for_the_steps_they_see() -> None:
    """One mask below and one above, by hand: the draws come bottom to top, (T, N, …) and then (K, N, …)."""
    model = sr.SequenceModel([sr.Dropout(0.4), sr.RNN(D, H), sr.Dropout(0.4), sr.Linear(H, O)], backend="numpy")
    for steps, K in (("all", T), ("last", 1), ("mask (T,)", 3)):
        batch = make_batch(model, steps)
        rng = seeded()
        below = (rng.random((T, N, D), dtype=np.float32) >= 0.4) / 0.6
        above = (rng.random((K, N, H), dtype=np.float32) >= 0.4) / 0.6
        taken = {"all": np.arange(T), "last": [T - 1], "mask (T,)": np.flatnonzero(batch["steps"])}[steps]
        h = model.forward(batch["x"] * below.swapaxes(0, 1), batch["h0"]).h[:, taken] * above.swapaxes(0, 1)
        y = h @ model.params["3.W_hy"].T + model.params["3.b_y"]
        target = batch["target"][:, None] if steps == "last" else batch["target"][:, taken]
        r = model.loss_and_grads(**batch, rng=seeded())
        assert r.loss == pytest.approx(((y - target) ** 2).mean(), rel=1e-14)


def test_fit_trains_with_dropout_and_goes_on_as_if_it_had_never_stopped(backend: str) -> None:
    options: dict[str, Any] = {"batch_size": 3, "progress": False}
    runs = []
    for epochs in ([4], [2, 2], [4]):
        model = make_model("norm-dropout", backend=backend)
        batch = make_batch(model, rows=7)
        history = None
        for n in epochs:
            history = sr.fit(model, batch["x"], batch["target"], epochs=n, resume=history, **options)
        runs.append((model.params.vector.copy(), history))
    assert_same(runs[0][0], runs[1][0])
    assert_same(runs[0][0], runs[2][0])
    assert runs[0][1] is not None and len(runs[0][1].loss) == 4


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *OF_TOKENS])
def test_every_architecture_learns(architecture: str, backend: str) -> None:
    """A few rows of unequal length, with dropout where there is any: half of the loss is soon gone."""
    model = make_model(architecture, backend=backend, loss="cross_entropy")
    batch = make_batch(model, rows=6, padded=True)
    data = {name: batch[name] for name in ("x", "target", "lengths")}
    before = model.loss(**data)
    history = sr.fit(model, **data, epochs=150, batch_size=4, optimizer=sr.Adam(0.02), clip_norm=1.0, progress=False)
    assert len(history.loss) == 150 and np.isfinite(history.flow.norms[:, 0]).all()
    assert model.loss(**data) < before / 2


# Sizes, and what is refused.


def test_a_dropout_takes_its_size_from_a_neighbour() -> None:
    layers: list[Any] = [
        sr.Dropout(0.1),
        sr.Dropout(0.2),
        sr.RNN(3, 4, bidirectional=True),
        sr.Dropout(0.3),
        sr.Dropout(0.4),
    ]
    model = sr.SequenceModel([*layers, sr.Linear(8, 2), sr.Dropout(0.5)], backend="numpy")
    assert [layer.input_size for layer in model.layers] == [3, 3, 3, 8, 8, 8, 2]
    assert (model.input_size, model.output_size) == (3, 2)
    assert layers[0] == sr.Dropout(0.1) and model.layers[0] == sr.Dropout(0.1, size=3)
    assert model(np.zeros((2, 5, 3))).shape == (2, 5, 2)
    with pytest.raises(ValueError, match="layer 0 gives 4 features, but layer 1 expects 5"):
        sr.SequenceModel([sr.RNN(3, 4), sr.Dropout(0.1, size=5), sr.Linear(5, 1)], backend="numpy")
    with pytest.raises(ValueError, match="needs at least one recurrent layer"):
        sr.SequenceModel([sr.Dropout(0.1)], backend="numpy")
    with pytest.raises(ValueError, match=r"Dropout\(p=0.1, size=None\) takes its size from a layer beside it"):
        _ = sr.Dropout(0.1).input_size


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: sr.Dropout(1), ValueError, "p must be at least 0 and below 1, got 1"),
        (lambda: sr.Dropout(-0.1), ValueError, "p must be at least 0 and below 1, got -0.1"),
        (lambda: sr.Dropout(float("nan")), ValueError, "p must be at least 0 and below 1, got nan"),
        (lambda: sr.Dropout("a"), TypeError, "p must be a number from 0 up to, but not including, 1, got 'a'"),  # type: ignore[arg-type]
        (lambda: sr.Dropout(True), TypeError, "p must be a number"),
        (lambda: sr.Dropout(0.5, size=0), ValueError, "size must be at least 1, got 0"),
        (lambda: sr.LayerNorm(0), ValueError, "size must be at least 1, got 0"),
        (lambda: sr.LayerNorm(3, eps=0), ValueError, "eps must be above 0"),
        (lambda: sr.RNN(3, 4, num_layers=0), ValueError, "num_layers must be at least 1, got 0"),
        (lambda: sr.RNN(3, 4, num_layers=1.0), TypeError, "num_layers must be an integer, got 1.0"),  # type: ignore[arg-type]
        (lambda: sr.RNN(3, 4, bidirectional=1), TypeError, "bidirectional must be True or False, got 1"),  # type: ignore[arg-type]
        (lambda: sr.RNN(3, 4, nonlinearity="sigmoid"), ValueError, 'is not known; choose "tanh" or "relu"'),
        (lambda: sr.RNN(3, 4, dropout=0.5), ValueError, r"num_layers=1 has none between; put Dropout\(0.5\) after it"),
        (lambda: sr.RNN(3, 4, num_layers=2, dropout=1.0), ValueError, "dropout must be at least 0 and below 1, got 1"),
        (lambda: sr.Embedding(0, 4), ValueError, "input_size must be at least 1, got 0"),
        (lambda: sr.Embedding(4, 2.5), TypeError, "output_size must be an integer, got 2.5"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_impossible_layers_are_refused(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_an_rng_that_is_none_is_refused() -> None:
    model = make_model("deep")
    batch = make_batch(model)
    for rng in (5, np.random.RandomState(0), np.random):
        with pytest.raises(TypeError, match=r"rng must be a generator such as np.random.default_rng\(0\), or None"):
            model.loss_and_grads(**batch, rng=rng)
