"""Truncated backpropagation through time in fit: pieces, what crosses their seams, and what does not."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers import STEPS, D, H, InBlocks, O, difference, make_batch, make_model

import scratchrnn as sr
from scratchrnn.backends import row_blocks
from scratchrnn.text import streams
from scratchrnn.training import batches as minibatches
from scratchrnn.training import fit as training
from scratchrnn.training.batches import Rows, mean_loss

ROWS, T, K = 5, 8, 3  # minibatches of 2, 2 and 1 rows; pieces of 3, 3 and 2 steps
LENGTHS = np.array([8, 3, 1, 6, 4])  # among them rows over at a seam, before one, and in the last piece


def data(
    architecture: str = "vanilla", steps: str = "all", loss: str = "mse", padded: bool = False
) -> tuple[Any, dict[str, Any]]:
    """A model and arguments of `fit`; in the masks nothing counts from step 3 to 5, a piece of its own."""
    stack = architecture == "stack"
    layers: list[Any] = [sr.RNN(D, H, num_layers=2), sr.Linear(H, O)]
    model = sr.SequenceModel(layers, loss=loss, backend="numpy") if stack else make_model(architecture, loss=loss)
    batch = make_batch(model, rows=ROWS, time=T)
    rng = np.random.default_rng(3)
    if padded:
        batch["lengths"] = LENGTHS
    if steps == "mask (T,)":
        batch["steps"] = np.array([True, False, True, False, False, False, False, True])
    if steps == "mask (N, T)":
        batch["steps"] = rng.random((ROWS, T)) < 0.6
        batch["steps"][:, 0], batch["steps"][:, 3:6] = True, False
    del batch["h0"]
    return model, {**batch, "batch_size": 2, "progress": False}


def by_hand(model: Any, given: dict[str, Any], epochs: int, rate: float, stateful: bool, seed: int = 0) -> Any:
    """Plain SGD over pieces, the state carried by hand: loss of every epoch, norm of every gradient.

    Where lengths are given, rows that are over stay in, masked: fit leaves them out.
    """
    rng = np.random.default_rng(seed)
    losses, norms = [], []
    counts = np.ones((ROWS, T), bool) & (True if isinstance(given["steps"], str) else given["steps"])
    lengths = np.full(ROWS, T) if given["lengths"] is None else given["lengths"]
    counts &= np.arange(T) < lengths[:, None]
    for _ in range(epochs):
        order, total, weight = rng.permutation(ROWS), 0.0, 0
        for start in range(0, ROWS, given["batch_size"]):
            rows, h = order[start : start + given["batch_size"]], None
            for t in range(0, T, K):
                piece, mask = given["x"][rows, t : t + K], counts[rows, t : t + K]
                ends = None if given["lengths"] is None else np.clip(lengths[rows] - t, 1, piece.shape[1])
                if mask.any():
                    target = given["target"][rows, t : t + K]
                    r = model.loss_and_grads(piece, target, h0=h, steps=mask, lengths=ends, rng=rng)
                    total, weight = total + r.loss * mask.sum(), weight + mask.sum()
                    norms.append(sr.global_norm(r.grads))
                    model.params.vector -= rate * r.grads.vector
                    h = r.h_last
                elif stateful and (lengths[rows] > t).any():
                    h = model.forward(piece, h, ends).h_last
                h = h if stateful else None
        losses.append(total / weight)
    return losses, norms


@pytest.mark.parametrize("stateful", [False, True], ids=["zeros", "stateful"])
@pytest.mark.parametrize("steps", [s for s in STEPS if s != "last"])
@pytest.mark.parametrize("padded", [False, True], ids=["full", "lengths"])
@pytest.mark.parametrize(
    ("architecture", "loss"), [("vanilla", "mse"), ("rnn-rnn-linear", "cross_entropy"), ("embedding", "cross_entropy")]
)
def test_fit_is_the_loop_that_carries_the_last_state(
    architecture: str, loss: str, steps: str, padded: bool, stateful: bool
) -> None:
    if architecture == "embedding" and padded:
        pytest.skip("fit draws dropout for the rows still running, the loop by hand for all of them: other masks")
    model, given = data(architecture, steps, loss, padded)
    same, _ = data(architecture, steps, loss, padded)
    history = sr.fit(model, **given, epochs=3, optimizer=sr.SGD(0.1), truncate=K, stateful=stateful, seed=4)
    losses, norms = by_hand(same, given, epochs=3, rate=0.1, stateful=stateful, seed=4)
    assert history.loss == pytest.approx(losses, rel=1e-12)
    assert history.grad_norm == pytest.approx(norms, rel=1e-11)
    assert difference(model.params.vector, same.params.vector) < 1e-12
    assert history.flow.updates == list(range(1, len(norms) + 1)) and history.flow.norms.shape[1] == K


@pytest.mark.parametrize("stateful", [False, True])
@pytest.mark.parametrize("steps", [s for s in STEPS if s != "last"])
@pytest.mark.parametrize("length", [T, T + 1, 10**9])
def test_one_piece_is_no_truncation_to_the_bit(stateful: bool, steps: str, length: int) -> None:
    runs = []
    cut: dict[str, Any] = {"truncate": length, "stateful": stateful}
    for options in ({}, cut):
        model, given = data(steps=steps, padded=True)
        validation = {name: given[name] for name in ("x", "target", "steps", "lengths")}
        history = sr.fit(model, **given, epochs=2, validation=validation, **options)
        runs.append((history.loss, history.val_loss, history.grad_norm, model.params.vector.tobytes()))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("architecture", ["vanilla", "rnn-rnn-linear", "stack"])
@pytest.mark.parametrize("padded", [False, True], ids=["full", "lengths"])
@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_the_pieces_of_a_run_at_rest_add_up_to_the_whole(architecture: str, padded: bool, length: int) -> None:
    """With weights that stay, the state carried on makes the loss of the pieces that of the whole rows."""
    model, given = data(architecture, padded=padded)
    rest: dict[str, Any] = {"epochs": 1, "optimizer": sr.SGD(1e-300), "truncate": length}
    whole = model.loss(given["x"], given["target"], lengths=given["lengths"])
    validation = {name: given[name] for name in ("x", "target", "lengths")}
    history = sr.fit(model, **given, **rest, stateful=True, validation=validation)
    assert history.loss == pytest.approx([whole], rel=1e-13)
    assert history.val_loss == pytest.approx([whole], rel=1e-13)
    zeros = sr.fit(model, **given, **rest, validation=validation)
    assert zeros.loss[0] == pytest.approx(zeros.val_loss[0], rel=1e-13)
    assert abs(zeros.loss[0] - whole) > 1e-4


def test_a_gradient_does_not_cross_a_seam_but_its_value_does() -> None:
    """Only h_0 sees x; the loss is at the last step. In one piece x's weight learns, past a seam it cannot."""
    x = np.zeros((2, 6, 1))
    x[:, 0] = 1.0
    target, steps = np.ones((2, 6, 1)), np.arange(6) == 5
    moved = {}
    for length in (3, 6):
        model = sr.VanillaRNN(1, 4, 1, backend="numpy")
        before, y = model.params["W_xh"].copy(), model(x)[0, 5, 0]
        options: dict[str, Any] = {"steps": steps, "truncate": length, "stateful": True, "progress": False}
        history = sr.fit(model, x, target, epochs=1, optimizer=sr.SGD(0.1), **options)
        assert history.updates == 1 and history.loss == pytest.approx([(y - 1) ** 2], rel=1e-13)
        moved[length] = np.abs(model.params["W_xh"] - before).max()
    assert moved[3] == 0 < moved[6]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_backend_learns_a_stream_the_same(backend: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    ids = np.cumsum(rng.integers(1, 3, size=500)) % 7
    x, target = streams(ids.astype(np.uint8), 4)

    def run(backend: str, dtype: str) -> tuple[Any, sr.History]:
        model = sr.VanillaRNN(7, 9, 7, loss="cross_entropy", backend=backend, dtype=dtype)
        options: dict[str, Any] = {"batch_size": 4, "truncate": 10, "stateful": True, "progress": False}
        return model, sr.fit(model, x, target, epochs=3, validation=(x[:2], target[:2]), **options)

    model, history = run(backend, dtype)
    _, expected = run("numpy", "float64")
    assert model.params.vector.dtype == dtype and history.updates == 3 * 13  # 124 steps: 12 pieces of 10, one of 4
    rel = 1e-10 if dtype == "float64" else 1e-4
    assert history.loss == pytest.approx(expected.loss, rel=rel)
    assert history.val_loss == pytest.approx(expected.val_loss, rel=rel)
    assert history.loss[-1] < history.loss[0] - 0.2


def test_a_source_is_cut_like_arrays() -> None:
    class Source:
        def __init__(self, x: Any, target: Any) -> None:
            self.x, self.target = x, target

        def __len__(self) -> int:
            return len(self.x)

        def gather(self, rows: np.ndarray) -> tuple[Any, Any]:
            return self.x[rows], self.target[rows]

    options: dict[str, Any] = {"epochs": 2, "batch_size": 2, "truncate": K, "stateful": True, "progress": False}
    model, given = data()
    same, _ = data()
    source = Source(given["x"], given["target"])
    history = sr.fit(model, source, **options, validation=source)
    expected = sr.fit(same, *source.gather(np.arange(ROWS)), **options, validation=(source.x, source.target))
    assert history.loss == expected.loss and history.val_loss == pytest.approx(expected.val_loss, rel=1e-14)
    longer = np.concatenate([given["target"], given["target"]], axis=1)
    with pytest.raises(ValueError, match=r"must have the same \(N, T\); .* \(2, 8, 3\) .* \(2, 16, 5\)"):
        sr.fit(model, Source(given["x"], longer), **options)


def test_the_state_goes_on_in_blocks_of_rows_too() -> None:
    runs = []
    for blocks in (False, True):
        model, given = data("stack")
        given["batch_size"] = ROWS
        if blocks:
            model.move(InBlocks(), None)
        validation = (given["x"][::-1], given["target"][::-1])
        runs.append(sr.fit(model, **given, epochs=2, truncate=K, stateful=True, validation=validation))
        rows = Rows(model, *validation, "all", None)
        (batch,) = rows.in_order(ROWS)
        loss, h_last = model.loss_and_last(**batch.arguments)
        assert loss == model.loss(*validation)
        assert difference(h_last[0], model.forward(validation[0]).h_last[0]) < 1e-14
    assert runs[1].loss == pytest.approx(runs[0].loss, rel=1e-12)
    assert runs[1].val_loss == pytest.approx(runs[0].val_loss, rel=1e-12)


def test_resume_goes_on_as_if_it_had_never_stopped() -> None:
    whole, given = data("embedding", loss="cross_entropy")
    halves, _ = data("embedding", loss="cross_entropy")
    options: dict[str, Any] = {**given, "truncate": K, "stateful": True}
    expected = sr.fit(whole, **options, epochs=5)
    second = sr.fit(halves, **options, epochs=3, resume=sr.fit(halves, **options, epochs=2))
    assert second.loss == expected.loss and second.grad_norm == expected.grad_norm
    assert (halves.params.vector == whole.params.vector).all()


@pytest.mark.parametrize("steps", [s for s in STEPS if s != "last"])
@pytest.mark.parametrize("numbers", [1, 8, 40, 100, 1 << 22])
def test_validation_carries_the_state_whatever_fits_at_a_time(
    monkeypatch: pytest.MonkeyPatch, steps: str, numbers: int
) -> None:
    monkeypatch.setattr(row_blocks, "MAX_NUMBERS", numbers)
    for padded in (False, True):
        model, given = data("rnn-rnn-linear", steps, padded=padded)
        arguments = {name: given[name] for name in ("x", "target", "steps", "lengths")}
        rows = Rows(model, **arguments)
        assert mean_loss(model, rows, K, True) == pytest.approx(model.loss(**arguments), rel=1e-13)
        assert mean_loss(model, rows) == pytest.approx(model.loss(**arguments), rel=1e-13)


@pytest.mark.parametrize("stateful", [False, True])
def test_memory_is_that_of_a_piece(monkeypatch: pytest.MonkeyPatch, stateful: bool) -> None:
    monkeypatch.setattr(row_blocks, "MAX_NUMBERS", 1 << 12)
    rng = np.random.default_rng(0)
    rows, hidden = 4, 64
    peaks = {}
    for steps in (800, 800, 8000):  # the first run warms up
        x = rng.integers(5, size=(rows, steps)).astype(np.uint8)
        model = sr.VanillaRNN(5, hidden, 5, loss="cross_entropy", backend="numpy")
        options: dict[str, Any] = {"batch_size": rows, "truncate": 50, "stateful": stateful, "track": None}
        tracemalloc.start()
        sr.fit(model, x, x, epochs=1, **options, validation=(x, x), progress=False)
        peaks[steps] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # The check of the whole text makes integers of 8 bytes of it, twice. Hidden states would be 512 bytes a step.
    assert peaks[8000] - peaks[800] < 30 * rows * 7200


def test_the_bar_counts_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = []

    class Bar:
        def __init__(self, total: int, progress: bool) -> None:
            self.total, self.n = total, 0
            bars.append(self)

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *error: Any) -> None:
            """Nothing to close."""

        def update(self) -> None:
            self.n += 1

        def set_postfix(self, *_: Any, **__: Any) -> None:
            """Not looked at."""

    monkeypatch.setattr(training, "_bar", Bar)
    for steps, updates in (("all", 9), ("mask (T,)", 6)):
        model, given = data(steps=steps)
        history = sr.fit(model, **given, epochs=2, truncate=K, stateful=True)
        assert bars[-1].n == history.updates == 2 * updates and bars[-1].total == 2 * 9


# Numbers that are not finite.


def growing(factor: float, loss: str = "cross_entropy") -> tuple[Any, np.ndarray, np.ndarray]:
    """A ReLU that keeps one number and multiplies it at every step; its outputs are alike, so no gradient grows."""
    model = sr.SequenceModel([sr.RNN(1, 1, nonlinearity="relu"), sr.Linear(1, 2)], loss=loss, backend="numpy")
    model.params.vector[:] = 0
    model.params["0.W_xh"][:], model.params["0.W_hh"][:], model.params["1.W_hy"][:] = 1, factor, 1
    x = np.zeros((1, 6, 1))
    x[0, 0] = 1
    return model, x, np.zeros((1, 6), int)


def test_the_diagnosis_begins_where_the_piece_did() -> None:
    model, x, target = growing(1e100)  # 1, 1e100, 1e200 | 1e300, inf, inf
    before = model.params.vector.copy()
    options: dict[str, Any] = {"epochs": 1, "truncate": 3, "stateful": True, "progress": False}
    with pytest.raises(sr.NonFiniteError, match="output y is not finite from time step 1 on") as caught:
        sr.fit(model, x, target, **options, optimizer=sr.SGD(1e-320))
    assert (caught.value.update, caught.value.time_step) == (2, 1) and caught.value.history.updates == 1
    assert np.allclose(model.params.vector, before)


@pytest.mark.parametrize("mask", [[1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1]])
def test_a_carried_state_that_is_not_finite_stops_training(mask: list[int]) -> None:
    model, x, target = growing(1e200)  # 1, 1e200, inf at the end of the first piece, where nothing counts
    options: dict[str, Any] = {"steps": np.array(mask, bool), "truncate": 3, "stateful": True, "progress": False}
    with pytest.raises(sr.NonFiniteError, match="update 2: the state carried over from the piece before") as caught:
        sr.fit(model, x, target, epochs=1, **options, optimizer=sr.SGD(1e-320))
    assert (caught.value.tensor, caught.value.time_step, caught.value.history.updates) == ("h0", None, 1)


def test_a_carried_state_that_is_not_finite_gives_a_validation_loss_of_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_blocks, "MAX_NUMBERS", 1)
    model, x, target = growing(1e200)
    rows = Rows(model, x, target, np.array([1, 1, 0, 0, 0, 1], bool), None)
    with np.errstate(all="ignore"):
        assert math.isnan(mean_loss(model, rows, 3, True))


# What is refused.


def bidirectional() -> Any:
    return sr.SequenceModel([sr.RNN(D, H), sr.RNN(H, 4, bidirectional=True), sr.Linear(8, O)], backend="numpy")


@pytest.mark.parametrize(
    ("change", "make", "error", "message"),
    [
        ({"truncate": 0}, None, ValueError, "truncate must be at least 1, got 0"),
        ({"truncate": 2.0}, None, TypeError, "truncate must be an integer, got 2.0"),
        ({"truncate": True}, None, TypeError, "truncate must be an integer, got True"),
        ({"stateful": True}, None, ValueError, "say how long a piece is with truncate=K"),
        ({"stateful": "yes", "truncate": 3}, None, TypeError, "stateful must be True or False, got 'yes'"),
        ({"truncate": 3, "steps": "last"}, None, ValueError, 'steps="last" has one loss, at the end of a row'),
        ({"truncate": 3, "validation": "last"}, None, ValueError, 'steps="last" has one loss, at the end of a row'),
        ({"truncate": 3, "stateful": True}, bidirectional, ValueError, "layer 1 is bidirectional: .* stateful=False"),
    ],
)
def test_what_cannot_be_cut_or_carried_is_refused(
    change: dict[str, Any], make: Callable[[], Any] | None, error: type[Exception], message: str
) -> None:
    model, given = data()
    model = make() if make else model
    before = model.params.vector.tobytes()
    if change.get("steps") == "last":
        given["target"] = given["target"][:, -1]
    if "validation" in change:
        change = {**change, "validation": {"x": given["x"], "target": given["target"][:, -1], "steps": "last"}}
    with pytest.raises(error, match=message):
        sr.fit(model, **{**given, "epochs": 1, **change})
    assert model.params.vector.tobytes() == before


def test_both_directions_of_a_piece_are_trained_from_zeros() -> None:
    _, given = data()
    assert sr.fit(bidirectional(), **given, epochs=2, truncate=K).updates == 18


def test_an_encoder_decoder_is_not_cut() -> None:
    encoder = sr.SequenceModel([sr.RNN(3, 4)], backend="numpy")
    decoder = sr.SequenceModel([sr.RNN(4, 4), sr.Linear(4, 3)], loss="cross_entropy", backend="numpy")
    model = sr.EncoderDecoder(encoder, decoder, length=6)
    tokens = np.zeros((2, 6), int)
    with pytest.raises(TypeError, match="side by side in time, which EncoderDecoder does not have"):
        sr.fit(model, tokens, tokens, epochs=1, truncate=3, progress=False)  # type: ignore[arg-type]


def pieces(batch: minibatches.Minibatch, length: int) -> Iterator[tuple[Any, Any, int]]:
    """Shape of x, lengths and count of each piece."""
    for piece in batch.pieces(length):
        yield piece.x.shape, None if piece.lengths is None else piece.lengths.tolist(), piece.counted


def test_rows_that_are_over_leave() -> None:
    model, given = data(padded=True)
    (batch,) = Rows(model, given["x"], given["target"], "all", np.array([7, 3, 1, 6, 4])).in_order(ROWS)
    assert list(pieces(batch, 3)) == [
        ((5, 3, D), [3, 3, 1, 3, 3], 13),
        ((3, 3, D), [3, 3, 1], 7),
        ((1, 2, D), [1], 1),
    ]
    assert len(list(pieces(batch._replace(lengths=np.array([3, 3, 1, 3, 3])), 3))) == 1
