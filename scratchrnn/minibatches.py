"""Minibatches: arrays checked once and gathered row by row, or a source that is asked for each.

`fit` takes its data through here, and so does whatever measures a loss over more rows than one pass should hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from . import passes
from .model import SequenceModel
from .passes import Batch

VALIDATION_NUMBERS = 1 << 22  # hidden states and outputs that a validation loss holds at a time


class BatchSource(Protocol):
    """Data that makes its minibatches when they are wanted: a length and a gather."""

    def __len__(self) -> int: ...

    def gather(self, rows: np.ndarray) -> tuple[Any, Any]:
        """x and target of the sequences with these numbers, batch first."""


class Rows:
    """The training data as minibatches: arrays checked once and gathered row by row, or a source asked for each."""

    def __init__(self, model: SequenceModel, x: Any, target: Any, steps: Any, lengths: Any) -> None:
        self._model, self._steps = model, steps
        self._source: BatchSource | None = x if hasattr(x, "gather") else None
        if self._source is None:
            if target is None:
                raise TypeError("fit needs a target beside x, unless x is a batch source with a gather method")
            self._whole = model._check_batch(x, target, None, steps, lengths)
            self._length = self._whole.batch_rows
            return
        if target is not None or lengths is not None:
            raise TypeError("a batch source brings its own targets; target and lengths must be None")
        self._length = len(self._source)
        if self._length == 0:
            raise ValueError("the batch source is empty")

    def __len__(self) -> int:
        return self._length

    def minibatches(self, rng: np.random.Generator, batch_size: int) -> Iterator[Batch]:
        """One epoch: every row once, in a random order. Minibatches in which nothing counts are passed over."""
        order = rng.permutation(self._length)
        for start in range(0, self._length, batch_size):
            batch = self.batch(order[start : start + batch_size])
            if batch.counted.total:
                yield batch

    def batch(self, rows: np.ndarray) -> Batch:
        """The rows with these numbers."""
        if self._source is not None:
            return self._model._check_batch(*self._source.gather(rows), None, self._steps, None)
        return self._whole.minibatch(self._model._backend.asarray(rows))


def validation_rows(model: SequenceModel, validation: Any, steps: Any) -> Rows:
    if isinstance(validation, dict):
        unknown = set(validation) - {"x", "target", "steps", "lengths"}
        if unknown or not {"x"} <= set(validation):
            raise ValueError(f"a validation dict has x, target, steps and lengths, got {', '.join(validation)}")
        given = {"target": None, "steps": steps, "lengths": None, **validation}
        return Rows(model, given["x"], given["target"], given["steps"], given["lengths"])
    if hasattr(validation, "gather"):
        return Rows(model, validation, None, steps, None)
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise TypeError("validation must be (x, target), or a dict with x, target, steps and lengths")
    x, target = validation
    return Rows(model, x, target, steps, None)


def mean_loss(model: SequenceModel, data: Rows) -> float:
    """Loss over all rows, a bounded number of them at a time."""
    T = data.batch(np.arange(1)).x.shape[0]
    widest = max(layer.output_size for layer in model.layers)
    rows = max(1, VALIDATION_NUMBERS // (T * widest))
    total, weight = 0.0, 0
    for start in range(0, len(data), rows):
        batch = data.batch(np.arange(start, min(start + rows, len(data))))
        if batch.counted.total:
            loss = float(passes.loss(model._network, model._backend, model.params, batch))
            total += loss * batch.counted.total
            weight += batch.counted.total
    return total / weight
