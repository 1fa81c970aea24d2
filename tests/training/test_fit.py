"""fit: what it learns, what it records, how it stops, and what it refuses."""

from __future__ import annotations

import _thread
import io
import math
import pickle
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import LOSSES, STEPS, D, O, difference, flow_of, make_batch, make_model

import scratchrnn as sr
from scratchrnn import text
from scratchrnn.training.flow_record import MAX_FLOW_ROWS, FlowRecord

ROWS = 21  # three minibatches of 8, the last one smaller


def data(steps: str = "all", loss: str = "mse", padded: bool = False) -> tuple[sr.SequenceModel, dict[str, Any]]:
    """A model and arguments of `fit`."""
    model = make_model(loss=loss)
    batch = make_batch(model, steps, padded=padded, rows=ROWS)
    del batch["h0"]
    return model, {**batch, "batch_size": 8, "progress": False}


def naive_fit(model: sr.SequenceModel, batch: dict[str, Any], epochs: int, rate: float, seed: int) -> list[float]:
    """Plain SGD written with the public `loss_and_grads`: the epoch losses."""
    rng = np.random.default_rng(seed)
    mask = isinstance(batch["steps"], np.ndarray) and batch["steps"].ndim == 2
    losses = []
    for _ in range(epochs):
        order = rng.permutation(ROWS)
        total, weight = 0.0, 0
        for start in range(0, ROWS, batch["batch_size"]):
            rows = order[start : start + batch["batch_size"]]
            lengths = None if batch["lengths"] is None else batch["lengths"][rows]
            steps = batch["steps"][rows] if mask else batch["steps"]
            x, target = batch["x"][rows], batch["target"][rows]
            r = model.loss_and_grads(x, target, steps=steps, lengths=lengths)
            count = counted(steps, lengths, *x.shape[:2])
            total, weight = total + r.loss * count, weight + count
            model.params.vector -= rate * r.grads.vector
        losses.append(total / weight)
    return losses


def counted(steps: Any, lengths: Any, N: int, T: int) -> int:
    """Number of counted entries."""
    if isinstance(steps, str) and steps == "last":
        return N
    inside = np.ones((N, T), bool) if lengths is None else np.arange(T) < lengths[:, None]
    return int((inside & (True if isinstance(steps, str) else steps)).sum())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("padded", [False, True], ids=["full", "lengths"])
def test_fit_is_the_plain_loop(loss: str, steps: str, padded: bool) -> None:
    model, arguments = data(steps, loss, padded)
    twin, _ = data(steps, loss, padded)
    history = sr.fit(model, **arguments, epochs=3, optimizer=sr.SGD(0.1), seed=5)
    expected = naive_fit(twin, arguments, epochs=3, rate=0.1, seed=5)
    assert np.allclose(history.loss, expected, rtol=1e-12, atol=0)
    assert difference(model.params.vector, twin.params.vector) < 1e-12
    assert history.epochs == 3 and history.updates == 9 and len(history.clipped) == 9


def test_same_seed_same_run() -> None:
    runs = []
    for seed in (1, 1, 2):
        model, arguments = data()
        runs.append((sr.fit(model, **arguments, epochs=2, seed=seed).loss, model.params.vector.copy()))
    assert runs[0][0] == runs[1][0] and (runs[0][1] == runs[1][1]).all()
    assert runs[0][0] != runs[2][0]


def test_resume_goes_on_as_if_it_had_never_stopped() -> None:
    whole, arguments = data()
    halves, _ = data()
    expected = sr.fit(whole, **arguments, epochs=5)
    first = sr.fit(halves, **arguments, epochs=2)
    second = sr.fit(halves, **arguments, epochs=3, resume=first)
    assert second.loss == expected.loss and second.grad_norm == expected.grad_norm
    assert (halves.params.vector == whole.params.vector).all()
    assert second.flow.updates == expected.flow.updates and first.epochs == 2  # the first history is left alone
    fresh = sr.fit(halves, **arguments, epochs=1)
    assert fresh.epochs == 1 and fresh.updates == 3


def test_history_records_norms_before_clipping_and_the_flow() -> None:
    model, arguments = data()
    free, _ = data()
    expected = free.loss_and_grads(arguments["x"], arguments["target"])
    history = sr.fit(model, **{**arguments, "batch_size": ROWS}, epochs=1, clip_norm=1e-3)
    assert history.grad_norm[0] == pytest.approx(sr.global_norm(expected.grads), rel=1e-12) and history.clipped == [
        True
    ]
    # The rows are shuffled, which the norms over the batch do not see.
    assert difference(history.flow.norms[0], expected.flow.norms) < 1e-12
    assert history.flow.batch_rows == [ROWS]
    rms = np.sqrt((expected.flow.per_sample**2).mean(axis=0))
    assert difference(history.flow.per_sample[0], rms) < 1e-12
    assert len(sr.fit(model, **arguments, epochs=1, track=None).flow) == 0


@pytest.mark.parametrize("limit", [1e-3, 1e3])
def test_clipping_by_norm_and_by_value(limit: float) -> None:
    for option in ("clip_norm", "clip_value"):
        model, arguments = data()
        before = model.params.vector.copy()
        grads = model.loss_and_grads(arguments["x"], arguments["target"]).grads
        if option == "clip_norm":
            sr.clip_by_global_norm(grads, limit)
        else:
            sr.clip_by_value(grads, limit)
        options = {**arguments, "batch_size": ROWS, option: limit}
        history = sr.fit(model, **options, epochs=1, optimizer=sr.SGD(1.0))
        assert difference(before - model.params.vector, grads.vector) < 1e-9
        assert history.clipped == [limit < 1]


def test_flow_record_is_thinned_evenly_and_bounded() -> None:
    record = FlowRecord()
    for update in range(1, 10_001):
        record.add(update, flow_of([float(update), 0.0]))
        assert len(record) <= MAX_FLOW_ROWS
    gaps = set(np.diff(record.updates))
    assert len(record) > MAX_FLOW_ROWS // 2 and len(gaps) == 1 and record.updates[0] == 1
    assert record.updates[-1] > 10_000 - gaps.pop()
    assert (record.norms[:, 0] == record.updates).all()


def test_validation_follows_every_epoch() -> None:
    model, arguments = data()
    held_out = make_batch(model, "last", padded=True, rows=13, seed=9)
    del held_out["h0"]
    losses = []
    history = sr.fit(
        model,
        **arguments,
        epochs=3,
        validation=held_out,
        callbacks=[lambda m, h: losses.append(m.loss(**held_out))],
    )
    assert history.val_loss == pytest.approx(losses, rel=1e-12) and len(losses) == 3
    pair = sr.fit(model, **arguments, epochs=1, validation=(arguments["x"], arguments["target"]))
    assert pair.val_loss[0] == pytest.approx(model.loss(arguments["x"], arguments["target"]), rel=1e-12)


class Windows:
    """A batch source: windows of a long series."""

    def __init__(self, series: np.ndarray, T: int) -> None:
        self.series, self.T = series, T
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.series) - self.T

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.asked.extend(rows)
        at = rows[:, None] + np.arange(self.T)
        return self.series[at][..., None], self.series[at + 1][..., None]


def test_a_batch_source_is_asked_for_every_row_once_an_epoch() -> None:
    source = Windows(np.sin(np.arange(60) * 0.3), 9)
    everything = source.gather(np.arange(len(source)))
    by_source, by_array = (sr.VanillaRNN(1, 5, 1, backend="numpy") for _ in range(2))
    source.asked.clear()
    a = sr.fit(by_source, source, epochs=2, progress=False)
    b = sr.fit(by_array, *everything, epochs=2, progress=False)
    assert a.loss == b.loss and (by_source.params.vector == by_array.params.vector).all()
    assert sorted(source.asked) == sorted([*range(51), *range(51)])


def test_a_batch_source_that_does_not_fit_is_refused() -> None:
    source = Windows(np.ones(20), 5)
    model = sr.VanillaRNN(1, 3, 1, backend="numpy")
    with pytest.raises(ValueError, match=r"steps is a mask \(N, T\) of the rows, and a batch source"):
        sr.fit(model, source, steps=np.ones((15, 5), bool), epochs=1, batch_size=15, progress=False)
    assert source.asked == []
    assert sr.fit(model, source, steps=np.arange(5) > 2, epochs=1, progress=False).updates == 1
    for truncate in (None, 2):
        with pytest.raises(ValueError, match=r"gave x of shape \(15, 0, 1\), in which there is no step"):
            sr.fit(model, Windows(np.ones(15), 0), epochs=1, truncate=truncate, progress=False)


def test_a_model_that_overrides_its_gradients_trains_with_them() -> None:
    class Half(sr.VanillaRNN):
        def loss_and_grads(self, *args: Any, **options: Any) -> Any:
            result = super().loss_and_grads(*args, **options)
            result.grads.vector[...] *= 0.5
            return result

    model, arguments = data()
    half = Half(D, model.layers[0].output_size, O, backend="numpy")
    half.params.vector[...] = model.params.vector
    sr.fit(model, **arguments, epochs=2, optimizer=sr.SGD(0.1))
    sr.fit(half, **arguments, epochs=2, optimizer=sr.SGD(0.2))
    assert difference(half.params.vector, model.params.vector) < 1e-12


def test_an_override_without_lengths_will_do_where_there_are_none() -> None:
    class Plain(sr.VanillaRNN):
        def loss_and_grads(self, x: Any, target: Any, steps: Any, rng: Any) -> Any:  # type: ignore[override]
            return super().loss_and_grads(x, target, steps=steps, rng=rng)

    _, arguments = data()
    assert sr.fit(Plain(D, 4, O, backend="numpy"), **arguments, epochs=1).updates == 3


def test_rows_in_which_nothing_counts_are_passed_over() -> None:
    model, arguments = data()
    steps = np.zeros((ROWS, 7), dtype=bool)
    steps[[2, 5], 3:] = True
    history = sr.fit(model, **{**arguments, "steps": steps, "batch_size": 1}, epochs=2)
    assert history.updates == 4


def test_flow_record_reads_as_an_array() -> None:
    model, arguments = data()
    flow = sr.fit(model, **arguments, epochs=1).flow
    assert np.asarray(flow).shape == (3, 7) and (flow[-1] == flow.norms[-1]).all()
    assert np.asarray(flow, dtype="float32").dtype == "float32"


# Stopping.


def test_early_stopping_restores_the_best_weights() -> None:
    model, arguments = data()
    seen: list[np.ndarray] = []
    stop = sr.EarlyStopping(patience=3)
    history = sr.fit(
        model,
        **arguments,
        epochs=200,
        optimizer=sr.Adam(0.1),
        validation=make_validation(model),
        callbacks=[lambda m, h: seen.append(m.params.vector.copy()), stop],
    )
    best = int(np.argmin(history.val_loss))
    assert history.epochs == best + 1 + 3 < 200
    assert stop.best_epoch == best + 1 and stop.best == history.val_loss[best]
    assert (model.params.vector == seen[best]).all() and not (seen[best] == seen[-1]).all()


def make_validation(model: sr.SequenceModel) -> tuple[Any, Any]:
    """Noise that training on other noise cannot predict."""
    batch = make_batch(model, rows=9, seed=77)
    return batch["x"], batch["target"]


def test_a_callback_that_returns_true_ends_training() -> None:
    model, arguments = data()
    assert sr.fit(model, **arguments, epochs=9, callbacks=[lambda m, h: h.epochs == 2]).epochs == 2


def test_ctrl_c_keeps_the_history_so_far(capsys: pytest.CaptureFixture[str]) -> None:
    model, arguments = data()

    def interrupt(model: sr.SequenceModel, history: sr.History) -> None:
        if history.epochs == 2:
            _thread.interrupt_main()

    history = sr.fit(model, **arguments, epochs=1000, callbacks=[interrupt])
    assert history.interrupted and 2 <= history.epochs < 1000 and "interrupted" in repr(history)
    assert "history so far is kept" in capsys.readouterr().err
    assert not sr.fit(model, **arguments, epochs=1, resume=history).interrupted


def test_a_loss_that_is_not_finite_stops_with_the_last_good_weights() -> None:
    model, arguments = data()
    after_one, _ = data()
    sr.fit(after_one, **{**arguments, "batch_size": ROWS}, epochs=1, optimizer=sr.SGD(1e200))
    with pytest.raises(sr.NonFiniteError, match="update 2: the loss is inf; the largest output") as caught:
        sr.fit(model, **{**arguments, "batch_size": ROWS}, epochs=5, optimizer=sr.SGD(1e200))
    error = caught.value
    assert (error.update, error.tensor) == (2, "loss") and error.history.updates == 1
    assert (model.params.vector == after_one.params.vector).all()
    assert "clip_norm" in str(error)


def test_the_first_output_that_is_not_finite_is_named() -> None:
    model, arguments = data()
    model.params["W_hh"][:] = 0
    model.params["W_xh"][:] = 0
    model.params["W_xh"][0, 0] = 1e4  # h[0] follows the sign of x[..., 0]
    model.params["W_hy"][:] = 1e308
    model.params["b_h"][:] = 0
    model.params["b_y"][:] = 1e308
    x = np.full((ROWS, 7, D), -1.0)
    x[4, 5, 0] = 1.0  # row 4 overflows at step 5 only
    before = model.params.vector.copy()
    with pytest.raises(sr.NonFiniteError, match="output y is not finite from time step 5 on") as caught:
        sr.fit(model, x, np.zeros((ROWS, 7, O)), epochs=1, batch_size=ROWS, progress=False)
    assert (caught.value.update, caught.value.tensor, caught.value.time_step) == (1, "y", 5)
    assert (model.params.vector == before).all()


def test_a_gradient_that_explodes_is_named_with_its_time_step() -> None:
    model = sr.VanillaRNN(1, 2, 1, backend="numpy")
    model.params.vector[:] = 0
    model.params["W_hh"] = 1e80 * np.eye(2)  # h stays 0, and ∂L/∂h_t grows by 1e80 a step, going back
    model.params["W_hy"] = np.ones((1, 2))
    x, target = np.zeros((3, 6, 1)), np.ones((3, 1))
    with pytest.raises(sr.NonFiniteError, match="∂L/∂h_t is not finite at time step 1 and before") as caught:
        sr.fit(model, x, target, steps="last", epochs=1, progress=False)
    assert (caught.value.tensor, caught.value.time_step) == ("h", 1)


def test_an_update_that_is_not_finite_is_not_applied() -> None:
    model, arguments = data()
    arguments["target"] = arguments["target"] * 1e10
    before = model.params.vector.copy()
    with pytest.raises(sr.NonFiniteError, match="the step of W_xh is not finite") as caught:
        sr.fit(model, **arguments, epochs=1, optimizer=sr.SGD(1e308))
    assert caught.value.tensor == "W_xh" and (model.params.vector == before).all()


def test_the_learning_rate_falls_along_half_a_cosine() -> None:
    model = sr.VanillaRNN(1, 2, 1, backend="numpy")
    rates = []
    history = sr.fit(
        model,
        np.ones((4, 3, 1)),
        np.ones((4, 3, 1)),
        epochs=4,
        optimizer=sr.Adam(0.01),
        progress=False,
        callbacks=[sr.CosineDecay(4, last=0.2), lambda m, h: rates.append(h.optimizer.learning_rate)],
    )
    half = [0.2 + 0.8 * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(1, 5)]
    assert rates == pytest.approx([0.01 * factor for factor in half])
    assert rates[1] == pytest.approx(0.006) and rates[-1] == pytest.approx(0.002)
    assert type(history.optimizer) is sr.Adam


def test_the_time_limit_counts_the_epoch_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 104.0, 106.0, 109.0])  # epochs of 4, 2 and 3 seconds
    monkeypatch.setattr("scratchrnn.training.callbacks.time", SimpleNamespace(monotonic=lambda: next(clock)))
    limit, history = sr.TimeLimit(12), sr.History(sr.Adam())
    model = sr.VanillaRNN(1, 2, 1, backend="numpy")
    limit.on_train_begin(model, history)
    assert [limit.on_epoch_end(model, history) for _ in range(3)] == [False, False, True]

    with pytest.raises(ValueError, match="seconds must be above 0 and finite, got 0"):
        sr.TimeLimit(0)


def test_early_stopping_does_not_hold_on_to_nan() -> None:
    model, history = sr.VanillaRNN(1, 2, 1, backend="numpy"), sr.History(sr.Adam())
    stop = sr.EarlyStopping(patience=3)
    stop.on_train_begin(model, history)
    ended = []
    for loss in (math.nan, 1.0, 0.5, 0.6):
        history.end_epoch(loss, None)
        ended.append(stop.on_epoch_end(model, history))
    assert ended == [False] * 4 and (stop.best, stop.best_epoch) == (0.5, 3)


def test_a_numpy_bool_ends_training_too() -> None:
    model, arguments = data()
    assert sr.fit(model, **arguments, epochs=9, callbacks=[lambda m, h: np.mean(h.loss) < 1e9]).epochs == 1


def test_losses_stay_in_step_when_validation_begins_late_or_is_interrupted() -> None:
    model, arguments = data()
    pair = (arguments["x"], arguments["target"])
    first = sr.fit(model, **arguments, epochs=2)
    second = sr.fit(model, **arguments, epochs=1, validation=pair, resume=first)
    assert len(second.val_loss) == len(second.loss) == 3 and np.isnan(second.val_loss[:2]).all()

    class Interrupts(Windows):
        def gather(self, rows: np.ndarray) -> Any:
            raise KeyboardInterrupt

    model = sr.VanillaRNN(1, 3, 1, backend="numpy")
    x, target = np.ones((4, 5, 1)), np.ones((4, 5, 1))
    history = sr.fit(model, x, target, epochs=3, validation=Interrupts(np.ones(20), 5), progress=False)
    assert history.interrupted and history.loss == history.val_loss == [] and history.updates == 1


@pytest.mark.parametrize("optimizer", [sr.RMSProp(), sr.Adam(), sr.Adagrad()], ids=repr)
def test_a_squared_gradient_beyond_float32_is_said_and_not_swallowed(optimizer: Any) -> None:
    model, arguments = data()
    model.to("numpy", "float32")
    before = model.params.vector.copy()
    arguments["target"] = arguments["target"] * np.float32(1e22)
    with pytest.raises(sr.NonFiniteError, match="the squared gradient overflows float32") as caught:
        sr.fit(model, **arguments, epochs=1, optimizer=optimizer)
    assert (model.params.vector == before).all()
    with pytest.raises(ValueError, match="the history to resume keeps nothing"):
        sr.fit(model, **arguments, epochs=1, resume=caught.value.history)


def test_errors_survive_pickling() -> None:
    model, arguments = data()
    with pytest.raises(sr.NonFiniteError) as caught:
        sr.fit(model, **arguments, epochs=5, optimizer=sr.SGD(1e200))
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.update == caught.value.update


# The door.


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"epochs": 2.5}, TypeError, "epochs must be an integer, got 2.5"),
        ({"batch_size": -1}, ValueError, "batch_size must be at least 1"),
        ({"clip_norm": 0}, ValueError, "clip_norm must be above 0, got 0"),
        ({"clip_norm": -1.0}, ValueError, "clip_norm must be above 0"),
        ({"clip_value": float("nan")}, ValueError, "clip_value must be above 0, got nan"),
        ({"clip_norm": "1"}, TypeError, "clip_norm must be a number"),
        ({"optimizer": "adam"}, TypeError, r"optimizer must be an object such as Adam\(1e-3\), got 'adam'"),
        ({"track": "every"}, ValueError, 'track must be "norms", "all" or None, got'),
        ({"target": None}, TypeError, "fit needs a target"),
        ({"steps": "first"}, ValueError, "steps='first' is not known"),
        ({"x": np.full((ROWS, 7), 0.5)}, ValueError, r"expected x of shape .* got float64"),
        ({"optimizer": sr.Adam}, TypeError, "optimizer must be an object such as"),
        ({"callbacks": [3]}, TypeError, "a callback is a Callback object or a function"),
        ({"callbacks": [sr.EarlyStopping]}, TypeError, "a callback is a Callback object or a function"),
        ({"callbacks": sr.EarlyStopping()}, TypeError, "callbacks must be a list"),
        ({"resume": "abc"}, TypeError, "resume must be the History of an earlier fit, got str"),
        ({"steps": np.ones((ROWS, 7), bool), "validation": (0, 0)}, ValueError, "give validation as a dict"),
        ({"validation": np.zeros(3)}, TypeError, "validation must be"),
        ({"validation": {"x": 1, "y": 2}}, ValueError, "a validation dict has x, target, steps and lengths"),
        ({"validation": (np.zeros((2, 7, 9)), 0)}, ValueError, "x has 9 features"),
    ],
)
def test_wrong_arguments_change_nothing(change: dict[str, Any], error: type[Exception], message: str) -> None:
    model, arguments = data()
    before = model.params.vector.tobytes()
    with pytest.raises(error, match=message):
        sr.fit(model, **{**arguments, "epochs": 1, **change})
    assert model.params.vector.tobytes() == before


def test_resuming_with_another_optimizer_is_refused() -> None:
    model, arguments = data()
    history = sr.fit(model, **arguments, epochs=1, optimizer=sr.SGD(0.1))
    with pytest.raises(ValueError, match="the history to resume used SGD, not Adam"):
        sr.fit(model, **arguments, epochs=1, optimizer=sr.Adam(), resume=history)
    with pytest.raises(ValueError, match="the history to resume keeps nothing, but this model and SGD"):
        sr.fit(model, **arguments, epochs=1, optimizer=sr.SGD(0.1, momentum=0.9), resume=history)
    larger = sr.VanillaRNN(D, 9, O, backend="numpy")
    with pytest.raises(ValueError, match="need {'m': "):
        sr.fit(larger, **arguments, epochs=1, resume=sr.fit(model, **arguments, epochs=1, optimizer=sr.SGD(0.1, 0.9)))


def test_progress_is_silent_when_not_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    model, arguments = data()
    sr.fit(model, **{**arguments, "progress": True}, epochs=1)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_backend_learns_the_same(backend: str, dtype: str) -> None:
    model, arguments = data()
    same, _ = data()
    model.to(backend, dtype)
    history = sr.fit(model, **arguments, epochs=4)
    expected = sr.fit(same, **arguments, epochs=4)
    assert history.loss[-1] < history.loss[0]
    assert model.params.vector.dtype == dtype
    assert history.loss == pytest.approx(expected.loss, rel=1e-10 if dtype == "float64" else 1e-4)


# Options of the training rows and the validation rows.


def padded_data() -> tuple[Any, dict[str, Any]]:
    model = sr.VanillaRNN(3, 4, 2, backend="numpy")
    rng = np.random.default_rng(3)
    lengths = np.array([7, 2, 5, 1, 4])
    return model, {"x": rng.normal(size=(5, 7, 3)), "target": rng.normal(size=(5, 7, 2)), "lengths": lengths}


def test_lengths_of_the_training_rows_are_asked_for_again_in_validation() -> None:
    model, arguments = padded_data()
    options: dict[str, Any] = {"epochs": 1, "optimizer": sr.SGD(1e-12), "progress": False}
    pair = (arguments["x"], arguments["target"])
    for validation in (pair, {"x": pair[0], "target": pair[1]}):
        with pytest.raises(ValueError, match=r"lengths is \(N,\) of the training rows; give validation as a dict") as e:
            sr.fit(model, **arguments, validation=validation, **options)
    assert '{"x": …, "target": …, "lengths": …}' in str(e.value)
    right = sr.fit(model, **arguments, validation=arguments, **options)  # the advice
    assert right.val_loss[0] == pytest.approx(right.loss[0], rel=1e-9)
    assert right.val_loss[0] == pytest.approx(float(model.loss(**arguments)), rel=1e-9)
    whole = sr.fit(model, **arguments, validation={"x": pair[0], "target": pair[1], "lengths": None}, **options)
    assert whole.val_loss[0] == pytest.approx(float(model.loss(*pair)), rel=1e-9) != right.val_loss[0]


def test_a_mask_of_single_rows_is_asked_for_again_in_validation() -> None:
    model, arguments = padded_data()
    rng = np.random.default_rng(1)
    arguments["steps"] = rng.random((5, 7)) < 0.7
    options: dict[str, Any] = {"epochs": 1, "optimizer": sr.SGD(1e-12), "progress": False}
    x, target, lengths = (arguments[name] for name in ("x", "target", "lengths"))
    for validation, missing in (
        ((x, target), "lengths"),
        ({"x": x, "target": target, "lengths": lengths}, "steps"),  # five rows too, but other ones
    ):
        with pytest.raises(ValueError, match=rf"{missing} is .* of the training rows; give validation as a dict"):
            sr.fit(model, **arguments, validation=validation, **options)
    history = sr.fit(model, **arguments, validation=arguments, **options)
    assert history.val_loss[0] == pytest.approx(float(model.loss(**arguments)), rel=1e-9)
    of_steps = {**arguments, "steps": np.arange(7) > 2, "lengths": None}  # of all rows alike: holds for both
    history = sr.fit(model, **of_steps, validation=(x, target), **options)
    assert history.val_loss[0] == pytest.approx(float(model.loss(x, target, steps=np.arange(7) > 2)), rel=1e-9)


# A model that sees what it is to predict.


def text_model(bidirectional: bool) -> tuple[Any, np.ndarray]:
    layers: list[Any] = [sr.RNN(6, 5, bidirectional=bidirectional), sr.Linear(10 if bidirectional else 5, 6)]
    model = sr.SequenceModel(layers, loss="cross_entropy", backend="numpy")
    return model, np.random.default_rng(0).integers(6, size=(4, 9))


LEAK = "trained to predict its own next input, and its bidirectional layer reads that input"


@pytest.mark.parametrize("kind", ["arrays", "source", "mask", "lengths", "floats", "float32"])
def test_a_bidirectional_model_that_predicts_its_next_input_is_told_so(kind: str) -> None:
    model, ids = text_model(True)
    x, target = ids[:, :-1], ids[:, 1:]
    arguments: dict[str, Any] = {"x": x, "target": target}
    if kind == "source":
        arguments = {"x": text.Windows(ids.reshape(-1), 8)}
    if kind == "mask":
        arguments |= {"steps": np.arange(8) > 3, "target": np.where(np.arange(8) > 3, target, 0)}
    if kind == "lengths":
        lengths = np.array([8, 3, 5, 6])
        arguments |= {"lengths": lengths, "target": np.where(np.arange(8) < lengths[:, None], target, 0)}
        arguments["x"] = np.where(np.arange(8) < lengths[:, None], x, 0)
    if kind.startswith("float"):
        layers: list[Any] = [sr.RNN(2, 5, bidirectional=True), sr.Linear(10, 2)]
        dtype = "float32" if kind == "float32" else "float64"
        model, series = (
            sr.SequenceModel(layers, backend="numpy", dtype=dtype),
            np.random.default_rng(0).normal(size=(4, 9, 2)),
        )
        arguments = {"x": series[:, :-1], "target": series[:, 1:]}
    with pytest.warns(UserWarning, match=LEAK) as told:
        sr.fit(model, **arguments, epochs=2, progress=False)
    assert len(told) == 1 and told[0].filename == __file__  # once, at the line that calls fit


def test_other_tasks_of_a_bidirectional_model_are_not_warned_about() -> None:
    """Warnings are errors here."""
    model, ids = text_model(True)
    rest: dict[str, Any] = {"epochs": 1, "progress": False}
    sr.fit(model, ids[:, :-1], ids[:, :-1], **rest)  # tags of the same step
    sr.fit(model, ids[:, :-1], ids[:, -1], steps="last", **rest)
    sr.fit(model, np.zeros((4, 8), int), np.zeros((4, 8), int), **rest)  # says nothing either way
    model, ids = text_model(False)
    sr.fit(model, ids[:, :-1], ids[:, 1:], **rest)


# Where progress is drawn.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_drawn_in_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, arguments = data()
    del arguments["progress"]
    for stream, progress, drawn in ((Terminal(), True, True), (Terminal(), False, False), (io.StringIO(), True, False)):
        monkeypatch.setattr(sys, "stderr", stream)
        sr.fit(model, **arguments, epochs=2, progress=progress)
        assert ("update" in stream.getvalue()) is drawn
    monkeypatch.setattr(sys, "stderr", None)  # of a process without one
    sr.fit(model, **arguments, epochs=2)


def test_the_bar_is_drawn_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """There standard error is no terminal, and without ipywidgets the bar is text."""
    model, arguments = data()
    del arguments["progress"]
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    sr.fit(model, **arguments, epochs=2)
    assert "update" in stream.getvalue()
    stream.truncate(0)
    sr.fit(model, **arguments, epochs=2, progress=False)
    assert not stream.getvalue().strip("\0")
