"""What may be done between epochs."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

from .checks import above_zero, integer
from .history import History
from .model import SequenceModel


class Callback:
    """Called by `fit` between epochs; override what is needed. A function (model, history) serves as on_epoch_end."""

    def on_train_begin(self, model: SequenceModel, history: History) -> None:
        """Before the first update."""

    def on_epoch_end(self, model: SequenceModel, history: History) -> bool | None:
        """After each epoch; returning True ends training."""

    def on_train_end(self, model: SequenceModel, history: History) -> None:
        """After the last epoch, or after Ctrl-C."""


class EarlyStopping(Callback):
    """Stop when the validation loss (the training loss where there is none) has not improved for `patience` epochs.

    An epoch improves when its loss is below the best so far by more than min_delta. When training ends, for whatever
    reason short of an error, the model gets the weights of its best epoch back (restore_best=False: it keeps the last).
    """

    def __init__(self, patience: int = 10, min_delta: float = 0.0, restore_best: bool = True) -> None:
        integer("patience", patience)
        if not min_delta >= 0:
            raise ValueError(f"min_delta must not be negative, got {min_delta}")
        self.patience = patience
        self.min_delta = min_delta
        self.restore_best = restore_best
        self.best = math.inf
        self.best_epoch = 0  # from 1; 0 before any epoch
        self._best_vector: Any = None

    def on_train_begin(self, model: SequenceModel, history: History) -> None:
        """Forget an earlier run."""
        self.best, self.best_epoch, self._best_vector = math.inf, 0, None

    def on_epoch_end(self, model: SequenceModel, history: History) -> bool:
        """Remember the best epoch; True when it is too long ago."""
        loss = (history.val_loss or history.loss)[-1]
        if self._best_vector is None or loss < self.best - self.min_delta:
            self.best = math.inf if math.isnan(loss) else loss  # any number is better than NaN
            self.best_epoch = history.epochs
            self._best_vector = model.params.vector.copy()
        return history.epochs - self.best_epoch >= self.patience

    def on_train_end(self, model: SequenceModel, history: History) -> None:
        """Give the model its best weights back."""
        if self.restore_best and self._best_vector is not None:
            model.params.vector[...] = self._best_vector


class CosineDecay(Callback):
    """Let the learning rate fall over the epochs, along half a cosine, to `last` times what it was at first."""

    def __init__(self, epochs: int, last: float = 0.05) -> None:
        self.epochs, self.last = integer("epochs", epochs), above_zero("last", last)

    def on_train_begin(self, model: SequenceModel, history: History) -> None:
        """Remember the first learning rate, and where the run begins."""
        self._first, self._done = history.optimizer.learning_rate, history.epochs

    def on_epoch_end(self, model: SequenceModel, history: History) -> None:
        """Set the learning rate of the next epoch."""
        part = min(1.0, (history.epochs - self._done) / self.epochs)
        factor = self.last + (1 - self.last) * (1 + math.cos(math.pi * part)) / 2
        history.optimizer = replace(history.optimizer, learning_rate=self._first * factor)  # type: ignore[type-var]


class TimeLimit(Callback):
    """End training before the epoch that, taking as long as the longest so far, would not be over after `seconds`."""

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
