"""Callbacks go on in a resumed run as if training had never stopped, in memory and through a file."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import make_batch, make_model

import scratchrnn as sr
from scratchrnn import checkpoint

Resume = Callable[[Any, sr.History], tuple[Any, sr.History]]


def through_file(model: Any, history: sr.History, path: Path) -> tuple[Any, sr.History]:
    sr.save(model, path, history=history)
    model, history_again, _ = checkpoint.read(path, backend="numpy")
    assert history_again is not None
    return model, history_again


@pytest.fixture(params=["in memory", "through a file"])
def resumed(request: pytest.FixtureRequest, tmp_path: Path) -> Resume:
    """The model and the history of a run that is to go on."""
    if request.param == "in memory":
        return lambda model, history: (model, history)
    return lambda model, history: through_file(model, history, tmp_path / "model.npz")


def problem() -> tuple[Any, dict[str, Any], tuple[Any, Any]]:
    """A small network, training rows of noise, and other rows that training on them makes worse."""
    model = make_model("deep")
    batch, other = make_batch(model), make_batch(model, seed=5)
    data = {"x": batch["x"], "target": batch["target"], "batch_size": 3, "progress": False}
    return model, data, (other["x"], other["target"])


def rates(into: list[float]) -> Callable[[Any, sr.History], None]:
    return lambda model, history: into.append(history.optimizer.learning_rate)


@pytest.mark.parametrize("again", [None, 0.02])
def test_the_cosine_goes_on(resumed: Resume, again: float | None) -> None:
    """Whether or not the optimizer is named again."""
    model, data, _ = problem()
    expected, whole = copy.deepcopy(model), list[float]()
    long = sr.fit(expected, **data, epochs=10, optimizer=sr.Adam(0.02), callbacks=[sr.CosineDecay(10), rates(whole)])
    parts: list[float] = []
    first = sr.fit(model, **data, epochs=5, optimizer=sr.Adam(0.02), callbacks=[sr.CosineDecay(10), rates(parts)])
    model, first = resumed(model, first)
    more: dict[str, Any] = {} if again is None else {"optimizer": sr.Adam(again)}
    second = sr.fit(model, **data, epochs=5, resume=first, callbacks=[sr.CosineDecay(10), rates(parts)], **more)
    assert parts == whole and parts[-1] == pytest.approx(0.05 * 0.02)
    assert model.params == expected.params and second.loss == long.loss


def test_another_learning_rate_starts_another_cosine_of_the_same_phase() -> None:
    model, data, _ = problem()
    first = sr.fit(model, **data, epochs=2, optimizer=sr.Adam(0.02), callbacks=[sr.CosineDecay(8, last=0.2)])
    seen: list[float] = []
    options: dict[str, Any] = {"optimizer": sr.Adam(0.1), "callbacks": [sr.CosineDecay(8, last=0.2), rates(seen)]}
    sr.fit(model, **data, epochs=3, resume=first, **options)
    assert seen == pytest.approx([0.1 * (0.2 + 0.8 * (1 + math.cos(math.pi * e / 8)) / 2) for e in (3, 4, 5)])


def test_other_arguments_begin_anew() -> None:
    model, data, _ = problem()
    first = sr.fit(model, **data, epochs=2, optimizer=sr.SGD(0.02), callbacks=[sr.CosineDecay(4)])
    rate, seen = first.optimizer.learning_rate, list[float]()
    sr.fit(model, **data, epochs=1, resume=first, callbacks=[sr.CosineDecay(2), rates(seen)])
    assert seen == pytest.approx([rate * (0.05 + 0.95 * (1 + math.cos(math.pi / 2)) / 2)])


def stopping(model: Any, data: Any, *epochs: int, resumed: Resume, **options: Any) -> tuple[Any, Any, Any]:
    """Train in several calls with EarlyStopping anew in each; the last one, the history and the model."""
    history = None
    for part in epochs:
        stop = sr.EarlyStopping(patience=50)
        history = sr.fit(model, **data, epochs=part, resume=history, callbacks=[stop], **options)
        model, history = resumed(model, history)
    return stop, history, model


def test_early_stopping_remembers_its_best(resumed: Resume) -> None:
    """Also where the best epoch was in the first of two calls; then its weights come back at the end of the second."""
    model, data, held_out = problem()
    options: dict[str, Any] = {"optimizer": sr.Adam(0.05), "validation": held_out}
    whole, long, expected = stopping(copy.deepcopy(model), data, 12, resumed=resumed, **options)
    assert 1 < whole.best_epoch < 6, whole.best_epoch  # later epochs are worse
    for parts in ((6, 6), (1, 11), (6, 5, 1)):
        stop, history, again = stopping(copy.deepcopy(model), data, *parts, resumed=resumed, **options)
        assert (stop.best, stop.best_epoch) == (whole.best, whole.best_epoch)
        assert again.params == expected.params and history.val_loss == long.val_loss and history.loss == long.loss


def test_early_stopping_counts_its_patience_over_calls(resumed: Resume) -> None:
    model, data, held_out = problem()
    options: dict[str, Any] = {"optimizer": sr.Adam(0.05), "validation": held_out}

    def run(model: Any, epochs: int, history: Any = None) -> Any:
        return sr.fit(model, **data, **options, epochs=epochs, resume=history, callbacks=[sr.EarlyStopping(4)])

    whole = run(copy.deepcopy(model), 40)
    assert whole.epochs < 15
    model, first = resumed(model, run(model, whole.epochs - 2))
    assert run(model, 30, first).epochs == whole.epochs


def test_weights_that_somebody_has_changed_are_not_replaced() -> None:
    model, data, held_out = problem()
    stop = sr.EarlyStopping(patience=50)
    options: dict[str, Any] = {"optimizer": sr.Adam(0.05), "validation": held_out, "callbacks": [stop]}
    first = sr.fit(model, **data, epochs=8, **options)
    model.params.vector = np.zeros(model.params.vector.size)
    seen: list[np.ndarray] = []
    options["callbacks"] = [stop, lambda model, history: seen.append(model.params.vector.copy())]
    sr.fit(model, **data, epochs=1, resume=first, **options | {"optimizer": sr.Adam(1e-9)})
    assert np.abs(seen[0]).max() < 1e-6


def test_a_resumed_run_without_validation_follows_its_training_loss() -> None:
    """A validation loss that no longer moves says nothing."""
    model, data, held_out = problem()
    options: dict[str, Any] = {"optimizer": sr.Adam(0.005)}
    first = sr.fit(model, **data, epochs=3, validation=held_out, callbacks=[sr.EarlyStopping(3)], **options)
    stop = sr.EarlyStopping(3)
    second = sr.fit(model, **data, epochs=10, resume=first, callbacks=[stop], **options)
    assert second.epochs == 13 and len(second.val_loss) == 3  # the training loss falls all the way
    assert stop.best == min(second.loss[3:]) and stop.best_epoch == second.loss.index(stop.best) + 1 > 10
    third = sr.EarlyStopping(3)
    again = sr.fit(model, **data, epochs=1, resume=second, validation=held_out, callbacks=[third], **options)
    assert third.best == again.val_loss[-1] and third.best_epoch == 14  # and the other way round


class Counting(sr.Callback):
    """A user's own callback: how often it was called, and the largest weight each time."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_train_begin(self, model: Any, history: Any) -> None:
        self.calls, self.largest = 0, np.zeros(0)

    def on_epoch_end(self, model: Any, history: Any) -> None:
        self.calls += 1
        self.largest = np.append(self.largest, np.abs(model.params.vector).max())

    def arguments(self) -> dict[str, Any]:
        return {"name": self.name}

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls, "largest": self.largest}

    def load_state_dict(self, state: Any) -> None:
        self.calls, self.largest = state["calls"], state["largest"]


def test_a_callback_of_the_user_goes_on_too(resumed: Resume) -> None:
    """Two of one class are told apart by their arguments; what is no longer there is forgotten."""
    model, data, _ = problem()
    first = [Counting("a"), Counting("b"), Counting("c")]
    history = sr.fit(model, **data, epochs=2, callbacks=first)
    model, history = resumed(model, history)
    second: list[Any] = [Counting("b"), lambda model, history: None, Counting("a"), Counting("d")]
    history = sr.fit(model, **data, epochs=3, resume=history, callbacks=second)
    b, _, a, d = second
    assert (a.calls, b.calls, d.calls) == (5, 5, 3)
    assert a.largest.tolist()[:2] == first[0].largest.tolist()
    assert [state.arguments["name"] for state in history.callbacks] == ["b", "a", "d"]


def test_a_state_is_kept_after_every_epoch() -> None:
    """So that a callback that saves, if it comes after the others, and a run that ends in an error have it."""
    model, data, _ = problem()
    seen: list[int] = []

    def note(model: Any, history: Any) -> None:
        seen.append(history.callbacks[0].state["calls"] if history.callbacks else 0)

    sr.fit(model, **data, epochs=3, callbacks=[Counting("a"), note])
    assert seen == [1, 2, 3]

    class Fails(sr.Callback):
        def on_epoch_end(self, model: Any, history: Any) -> None:
            if history.epochs == 2:
                model.params.vector[:] = np.inf

    with pytest.raises(sr.NonFiniteError) as caught:
        sr.fit(model, **data, epochs=3, callbacks=[Counting("a"), Fails()])
    assert caught.value.history.callbacks[0].state["calls"] == 2


def test_epochs_begin_where_they_should() -> None:
    model, data, _ = problem()
    seen: list[tuple[str, int]] = []

    class Watches(sr.Callback):
        def on_epoch_begin(self, model: Any, history: sr.History) -> None:
            seen.append(("begin", history.updates))

        def on_epoch_end(self, model: Any, history: sr.History) -> None:
            seen.append(("end", history.updates))

    sr.fit(model, **data, epochs=2, callbacks=[Watches()])
    assert seen == [("begin", 0), ("end", 2), ("begin", 2), ("end", 4)]


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"patience": "3"}, TypeError),
        ({"patience": 0}, ValueError),
        ({"min_delta": "0.1"}, TypeError),
        ({"min_delta": -1.0}, ValueError),
        ({"restore_best": 1}, TypeError),
    ],
)
def test_early_stopping_checks_its_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(arguments))):
        sr.EarlyStopping(**arguments)


def test_numbers_of_numpy_become_plain() -> None:
    arguments: Any = np.int64(3), np.float32(0.5), np.False_
    stop = sr.EarlyStopping(*arguments)
    assert stop.arguments() == {"patience": 3, "min_delta": 0.5, "restore_best": False}
    assert {type(value) for value in stop.arguments().values()} == {int, float, bool}
    assert type(sr.Omega(np.float32(0.5)).weight) is float and type(sr.CosineDecay(np.int8(3)).epochs) is int


def test_an_epoch_that_ctrl_c_ends_before_its_callbacks_is_judged_too() -> None:
    model, data, held_out = problem()

    def interrupting(model: Any, history: sr.History) -> None:
        if history.epochs == 3:
            raise KeyboardInterrupt

    stop = sr.EarlyStopping(patience=50)
    history = sr.fit(model, **data, epochs=9, validation=held_out, callbacks=[interrupting, stop])
    assert history.interrupted and history.epochs == 3
    assert stop.best == min(history.val_loss) and stop.best_epoch == history.val_loss.index(stop.best) + 1 == 3
    assert model.loss(*held_out) == pytest.approx(stop.best, rel=1e-12)
