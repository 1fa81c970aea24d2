"""What may be done between epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .._arguments import above_zero, boolean, integer, not_negative
from .._arrays import to_numpy
from ..model import SequenceModel
from .history import CallbackState, History


class Callback:
    """Called by `fit` between epochs; override what is needed. A function (model, history) serves as on_epoch_end.

    A callback that remembers something from epoch to epoch goes on from there in `fit(resume=…)`, as if training had
    never stopped, when it says what that is in `state_dict` and takes it back in `load_state_dict`. The state is kept
    in the history, and so in a checkpoint. It goes to a callback of the same class with the same `arguments`. A
    callback that saves the history itself comes last in the list.

    >>> class Snapshots(Callback):
    ...     def on_train_begin(self, model, history):
    ...         self.norms = []
    ...     def on_epoch_end(self, model, history):
    ...         self.norms.append(float(abs(model.params["W_hh"]).max()))
    ...     def state_dict(self):
    ...         return {"norms": self.norms}
    ...     def load_state_dict(self, state):
    ...         self.norms = list(state["norms"])
    """

    def on_train_begin(self, model: SequenceModel, history: History) -> None:
        """Before the first update."""

    def on_epoch_begin(self, model: SequenceModel, history: History) -> None:
        """Before the first update of each epoch."""

    def on_epoch_end(self, model: SequenceModel, history: History) -> bool | None:
        """After each epoch; returning True ends training."""

    def on_train_end(self, model: SequenceModel, history: History) -> None:
        """After the last epoch, or after Ctrl-C."""

    def arguments(self) -> dict[str, Any]:
        """What it was made with: numbers and strings that tell it from another of its class."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What it needs to go on: values that JSON can hold, and arrays. Read after every epoch, and at the end."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of an earlier run. Called after on_train_begin, if there is a state."""


class EarlyStopping(Callback):
    """Stop when the validation loss (the training loss where there is none) has not improved for `patience` epochs.

    An epoch improves when its loss is below the best so far by more than min_delta. When training ends, for whatever
    reason short of an error, the model gets the weights of its best epoch back (restore_best=False: it keeps the last).

    In `fit(resume=…)` the best loss so far, and the weights that belong to it, are still known, and training goes on
    from the last weights rather than the best. Where a resumed run has validation and the earlier one had none, or the
    other way round, losses do not compare and the best is looked for anew.
    """

    def __init__(self, patience: int = 10, min_delta: float = 0.0, restore_best: bool = True) -> None:
        self.patience = integer("patience", patience)
        self.min_delta = not_negative("min_delta", min_delta)
        self.restore_best = boolean("restore_best", restore_best)
        self._best: tuple[float, int, Any] = (math.inf, 0, None)  # loss, epoch, weights
        self._validated: bool | None = None  # whether that is a validation loss; None before any epoch
        self._last_vector: Any = None  # the last weights, while the model has the best ones
        self._judged = 0  # the last epoch that was compared with the best

    @property
    def best(self) -> float:
        """The lowest loss so far; infinity before any epoch."""
        return self._best[0]

    @property
    def best_epoch(self) -> int:
        """The epoch that had it, from 1; 0 before any epoch."""
        return self._best[1]

    def on_train_begin(self, model: SequenceModel, history: History) -> None:
        """Forget an earlier run."""
        self._forget()
        self._judged = history.epochs

    def on_epoch_begin(self, model: SequenceModel, history: History) -> None:
        """Resumed: go on from the last weights, unless the model has others than the best by now."""
        if self._last_vector is not None and np.array_equal(to_numpy(model.params.vector), to_numpy(self._best[2])):
            model.params.vector = self._last_vector
        self._last_vector = None

    def on_epoch_end(self, model: SequenceModel, history: History) -> bool:
        """Remember the best epoch; True when it is too long ago."""
        self._judged, loss = history.epochs, history.latest
        if self._validated != history.validated:
            self._forget()
        self._validated = history.validated
        if self._best[2] is None or loss < self.best - self.min_delta:
            best = math.inf if math.isnan(loss) else loss  # any number is better than NaN
            self._best = best, history.epochs, model.params.vector.copy()  # at once: Ctrl-C may come at any time
        return history.epochs - self.best_epoch >= self.patience

    def on_train_end(self, model: SequenceModel, history: History) -> None:
        """Give the model its best weights back."""
        if history.epochs > self._judged:  # Ctrl-C came between the end of the epoch and on_epoch_end
            self.on_epoch_end(model, history)
        if self.restore_best and self._best[2] is not None and self._last_vector is None:
            self._last_vector = model.params.vector.copy()
            model.params.vector = self._best[2]

    def arguments(self) -> dict[str, Any]:
        """What it was made with."""
        return {"patience": self.patience, "min_delta": self.min_delta, "restore_best": self.restore_best}

    def state_dict(self) -> dict[str, Any]:
        """The best epoch, its loss and weights, and the last weights where the model has the best ones."""
        best, epoch, vector = self._best
        vectors = {"best_vector": vector, "last_vector": self._last_vector}
        return {
            "best": best,
            "best_epoch": epoch,
            "validated": self._validated,
            **{name: vector for name, vector in vectors.items() if vector is not None},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Know the best of an earlier run."""
        self._best = state["best"], state["best_epoch"], state.get("best_vector")
        self._validated, self._last_vector = state["validated"], state.get("last_vector")

    def _forget(self) -> None:
        self._best, self._validated, self._last_vector = (math.inf, 0, None), None, None


class CosineDecay(Callback):
    """Let the learning rate fall over the epochs, along half a cosine, to `last` times what it was at first.

        η_e = η · (last + (1 − last) · (1 + cos(π · e/epochs)) / 2)      after e = 0, 1, … epochs, then last · η

    In `fit(resume=…)` it goes on where it was. An optimizer with another learning rate than that of the history, given
    there, changes η.
    """

    def __init__(self, epochs: int, last: float = 0.05) -> None:
        self.epochs, self.last = integer("epochs", epochs), above_zero("last", last)
        self._first, self._done, self._resumed = 0.0, 0, False

    def on_train_begin(self, model: SequenceModel, history: History) -> None:
        """Remember the first learning rate, and where the run begins."""
        self._first, self._done, self._resumed = history.optimizer.learning_rate, history.epochs, False

    def on_epoch_begin(self, model: SequenceModel, history: History) -> None:
        """Resumed: the learning rate that the next epoch would have had."""
        if self._resumed:
            self._resumed = False
            given = history.optimizer.learning_rate
            if not math.isclose(given, self._first * self._factor(history)):
                self._first = given
            self._set_rate(history)

    def on_epoch_end(self, model: SequenceModel, history: History) -> None:
        """Set the learning rate of the next epoch."""
        self._set_rate(history)

    def arguments(self) -> dict[str, Any]:
        """What it was made with."""
        return {"epochs": self.epochs, "last": self.last}

    def state_dict(self) -> dict[str, Any]:
        """The first learning rate, and the epochs that were over when the run began."""
        return {"first": self._first, "done": self._done}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on along the same curve."""
        self._first, self._done, self._resumed = state["first"], state["done"], True

    def _factor(self, history: History) -> float:
        part = min(1.0, (history.epochs - self._done) / self.epochs)
        return self.last + (1 - self.last) * (1 + math.cos(math.pi * part)) / 2

    def _set_rate(self, history: History) -> None:
        rate = self._first * self._factor(history)
        history.optimizer = replace(history.optimizer, learning_rate=rate)  # type: ignore[type-var]


class TimeLimit(Callback):
    """End training before the epoch that, taking as long as the longest so far, would not be over after `seconds`.

    Seconds are those of one call of `fit`; a resumed run has as many again.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = above_zero("seconds", seconds)

    def on_train_begin(self, model: SequenceModel, history: History) -> None:
        """Start the clock."""
        self._began = self._last = time.monotonic()
        self._longest = 0.0

    def on_epoch_end(self, model: SequenceModel, history: History) -> bool:
        """True when another epoch would be too much."""
        now = time.monotonic()
        self._longest, self._last = max(self._longest, now - self._last), now
        return now - self._began + self._longest > self.seconds


def states(callbacks: list[Callback]) -> list[CallbackState]:
    """What the history keeps of those callbacks that have a state, in their order."""
    found = ((callback, callback.state_dict()) for callback in callbacks)
    return [CallbackState(_kind(callback), callback.arguments(), state) for callback, state in found if state]


def go_on(callbacks: list[Callback], kept: list[CallbackState]) -> None:
    """Give every callback the state that one of its class with its arguments left; of several alike, in their order."""
    waiting = list(kept)
    for callback in callbacks:
        for i, (kind, arguments, state) in enumerate(waiting):
            if kind == _kind(callback) and dict(arguments) == callback.arguments():
                del waiting[i]
                callback.load_state_dict(state)
                break


def _kind(callback: Callback) -> str:
    return f"{type(callback).__module__}.{type(callback).__qualname__}"
