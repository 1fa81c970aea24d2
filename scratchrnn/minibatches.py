"""Minibatches of the data that `fit` trains on or validates with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from .backends.arrays import namespace, to_numpy
from .door import as_array
from .model import SequenceModel
from .steps import counted_steps

VALIDATION_NUMBERS = 1 << 22  # hidden states and outputs that a validation loss holds at a time


class BatchSource(Protocol):
    """Data that makes its minibatches when they are wanted: a length and a gather."""

    def __len__(self) -> int: ...

    def gather(self, rows: np.ndarray) -> tuple[Any, Any]:
        """x and target of the sequences with these numbers, batch first."""


class Minibatch(NamedTuple):
    """Some rows of the data as `model.loss_and_grads` takes them. The arrays are good until the next one is made."""

    x: Any  # (n, T, D) or integer (n, T), a view of a time-major array
    target: Any
    steps: Any
    lengths: Any
    counted: int  # entries that count

    @property
    def arguments(self) -> dict[str, Any]:
        """For `model.loss_and_grads` and `model.loss`."""
        lengths = {} if self.lengths is None else {"lengths": self.lengths}
        return {"x": self.x, "target": self.target, "steps": self.steps, **lengths}


class Rows:
    """Arrays, checked once and gathered row by row, or a source that is asked for each minibatch."""

    def __init__(self, model: SequenceModel, x: Any, target: Any, steps: Any, lengths: Any) -> None:
        self._steps = steps if isinstance(steps, str) else to_numpy(steps)
        self._source: BatchSource | None = x if hasattr(x, "gather") else None
        if self._source is not None:
            if target is not None or lengths is not None:
                raise TypeError("a batch source brings its own targets; target and lengths must be None")
            if len(self._source) == 0:
                raise ValueError("the batch source is empty")
            self._length = len(self._source)
            return
        if target is None:
            raise TypeError("fit needs a target beside x, unless x is a batch source with a gather method")
        whole = model._check_batch(x, target, None, steps, lengths)
        self._length = N = whole.batch_rows
        self._backend = backend = model._backend
        self._x = backend.xp.ascontiguousarray(whole.x)  # (T, N, …)
        self._target = backend.asarray(as_array("target", target))
        self._lengths = None if lengths is None else to_numpy(as_array("lengths", lengths))
        mask = whole.counted.mask
        self._count_per_row = whole.counted.total // N
        self._counts = None if mask is None else to_numpy(mask).sum(axis=0)
        self._kept: dict[Any, Any] = {}

    def __len__(self) -> int:
        return self._length

    def shuffled(self, rng: np.random.Generator, batch_size: int) -> Iterator[Minibatch]:
        """One epoch: every row once, in a random order. Minibatches in which nothing counts are passed over."""
        yield from self._cut(rng.permutation(self._length), batch_size)

    def in_order(self, batch_size: int) -> Iterator[Minibatch]:
        """Every row once, in order."""
        yield from self._cut(np.arange(self._length), batch_size)

    def _cut(self, order: np.ndarray, batch_size: int) -> Iterator[Minibatch]:
        for start in range(0, self._length, batch_size):
            batch = self._gather(order[start : start + batch_size])
            if batch.counted:
                yield batch

    def _gather(self, rows: np.ndarray) -> Minibatch:
        if self._source is not None:
            x, target = self._source.gather(rows)
            N, T = x.shape[:2]
            return Minibatch(x, target, self._steps, None, counted_steps(self._steps, T, N, None).total)
        steps = self._steps if isinstance(self._steps, str) or self._steps.ndim == 1 else self._steps[rows]
        lengths = None if self._lengths is None else self._lengths[rows]
        count = len(rows) * self._count_per_row if self._counts is None else int(self._counts[rows].sum())
        x = self._take("x", self._x, rows, axis=1).swapaxes(0, 1)
        return Minibatch(x, self._take("target", self._target, rows, axis=0), steps, lengths, count)

    def _take(self, name: str, array: Any, rows: np.ndarray, axis: int) -> Any:
        """Some rows of an array, in memory that the next minibatch of this size has again."""
        if namespace(array) is not np:
            return array[(slice(None),) * axis + (self._backend.asarray(rows),)]  # CuPy keeps what it has freed
        key = name, len(rows)
        if key not in self._kept:
            self._kept[key] = array.take(rows, axis=axis)
        return array.take(rows, axis=axis, out=self._kept[key], mode="clip")  # "raise" would take through a buffer


def validation_rows(model: SequenceModel, validation: Any, steps: Any) -> Rows:
    """What `fit` takes as validation: (x, target), a batch source, or a dict with steps and lengths of its own."""
    if isinstance(validation, dict):
        unknown = set(validation) - {"x", "target", "steps", "lengths"}
        if unknown or "x" not in validation:
            raise ValueError(f"a validation dict has x, target, steps and lengths, got {', '.join(validation)}")
        given = {"target": None, "steps": steps, "lengths": None, **validation}
        return Rows(model, given["x"], given["target"], given["steps"], given["lengths"])
    if not isinstance(steps, str) and np.ndim(to_numpy(steps)) == 2:
        raise ValueError("steps is a mask of the training rows; give validation as a dict with steps of its own")
    if hasattr(validation, "gather"):
        return Rows(model, validation, None, steps, None)
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise TypeError("validation must be (x, target), or a dict with x, target, steps and lengths")
    x, target = validation
    return Rows(model, x, target, steps, None)


def mean_loss(model: SequenceModel, data: Rows) -> float:
    """Loss over all rows, a bounded number of them at a time."""
    T = next(data.in_order(1)).x.shape[1]
    widest = max(layer.output_size for layer in model.layers)
    total, weight = 0.0, 0
    for batch in data.in_order(max(1, VALIDATION_NUMBERS // (T * widest))):
        total += float(model.loss(**batch.arguments)) * batch.counted
        weight += batch.counted
    return total / weight
