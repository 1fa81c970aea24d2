"""Minibatches of the data that `fit` trains on or validates with, and the pieces in time that they are cut into."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from .._arrays import as_array, map_arrays, namespace, plain, to_numpy
from .._numerics import all_finite
from .._steps import select_steps
from ..backends.row_blocks import max_rows
from ..model import SequenceModel


class BatchSource(Protocol):
    """Data that makes its minibatches when they are wanted: a length and a gather."""

    def __len__(self) -> int: ...

    def gather(self, rows: np.ndarray) -> tuple[Any, Any]:
        """x and target of the sequences with these numbers, batch first."""


def is_batch_source(x: Any) -> bool:
    """Whether x makes its own minibatches. What NumPy reads as an array never does, though it may have a `gather` too.

    Raises TypeError for a class, and for an object with a gather and no length.
    """
    if not callable(getattr(x, "gather", None)) or (not isinstance(x, type) and hasattr(x, "__array__")):
        return False
    if namespace(x) is not np:
        return False
    if isinstance(x, type):
        raise TypeError(f"expected an object, got the class {x.__name__}; make one: {x.__name__}(…)")
    if not hasattr(x, "__len__"):
        raise TypeError(f"a batch source has a length and a gather(rows), but {type(x).__name__} has no __len__")
    return True


class Minibatch(NamedTuple):
    """Some rows of the data as `model.loss_and_grads` takes them. The arrays are good until the next one is made."""

    x: Any  # (n, T, D) or integer (n, T), a view of a time-major array
    target: Any
    steps: Any
    lengths: Any
    counted: int  # entries that count
    h0: Any = None  # the state before the first step; None is zeros
    kept: Any = None  # in a piece: which rows of the piece before go on, None for all

    @property
    def arguments(self) -> dict[str, Any]:
        """For `model.loss_and_grads` and `model.loss`."""
        given = {"h0": self.h0, "lengths": self.lengths}
        return {
            "x": self.x,
            "target": self.target,
            "steps": self.steps,
            **{name: value for name, value in given.items() if value is not None},
        }

    def pieces(self, K: int | None) -> Iterator[Minibatch]:
        """Pieces of K steps, the last one what is left: x[:, i·K : (i + 1)·K] and everything that belongs to it.

        A row whose length is over takes no part in later pieces. None, or K ≥ T, leaves the minibatch as it is.
        """
        batch, T = self, self.x.shape[1]
        if K is None or K >= T:
            yield self
            return
        if tuple(self.target.shape[:2]) != tuple(self.x.shape[:2]):
            raise ValueError(
                f"truncate={K} cuts x and target side by side, so both must have the same (N, T); "
                f"got x of shape {self.x.shape} and target of shape {self.target.shape}"
            )
        for start in range(0, T, K):
            kept = None
            if batch.lengths is not None and (batch.lengths <= start).any():
                kept = np.flatnonzero(batch.lengths > start)
                if not len(kept):
                    return
                batch = batch._only(kept)
            yield batch._between(start, min(start + K, T))._replace(kept=kept)

    def after(self, state: Any) -> Minibatch:
        """This piece begun from the last state of the piece before."""

        if self.kept is not None:
            state = map_arrays(lambda a: a[..., namespace(a).asarray(self.kept), :], state)
        return self._replace(h0=state)

    def _between(self, start: int, stop: int) -> Minibatch:
        x, steps = self.x[:, start:stop], self.steps
        steps = steps if isinstance(steps, str) else steps[..., start:stop]
        lengths = None if self.lengths is None else np.minimum(self.lengths - start, stop - start)
        counts = np.broadcast_to(True if isinstance(steps, str) else steps, x.shape[:2])
        if lengths is not None:
            counts = counts & (np.arange(stop - start) < lengths[:, None])
        return Minibatch(x, self.target[:, start:stop], steps, lengths, int(counts.sum()))

    def _only(self, rows: np.ndarray) -> Minibatch:
        at = namespace(self.x).asarray(rows)
        steps = self.steps if isinstance(self.steps, str) or self.steps.ndim == 1 else self.steps[rows]
        return self._replace(x=self.x[at], target=self.target[at], steps=steps, lengths=self.lengths[rows])


class Rows:
    """Arrays, checked once and gathered row by row, or a source that is asked for each minibatch."""

    def __init__(self, model: SequenceModel, x: Any, target: Any, steps: Any, lengths: Any) -> None:
        self.steps = steps if isinstance(steps, str) else to_numpy(plain("steps", steps))
        self._source: BatchSource | None = x if is_batch_source(x) else None
        if self._source is not None:
            if target is not None or lengths is not None:
                raise TypeError("a batch source brings its own targets; target and lengths must be None")
            if len(self._source) == 0:
                raise ValueError("the batch source is empty")
            if not isinstance(steps, str) and np.ndim(self.steps) == 2:
                raise ValueError(
                    "steps is a mask (N, T) of the rows, and a batch source makes its rows when they are wanted; "
                    'use "all", "last" or a mask (T,)'
                )
            self._length = len(self._source)
            return
        if target is None:
            plain("x", x)  # has more to say of a data set
            raise TypeError("fit needs a target beside x, unless x is a batch source with a gather method")
        whole = model.check_batch(x, target, None, steps, lengths)
        self._length = N = whole.batch_rows
        self._backend = backend = model.device
        x = (
            whole.x
            if whole.x.ndim == 3
            else whole.x.astype(np.min_scalar_type(model.layers[0].input_size - 1), copy=False)
        )
        self._x = backend.xp.ascontiguousarray(x)  # (T, N, …)
        self._target = backend.asarray(as_array("target", target))
        self._lengths = None if lengths is None else to_numpy(as_array("lengths", lengths))
        mask = whole.selection.mask
        self._count_per_row = whole.selection.total // N
        self._counts = None if mask is None else to_numpy(mask).sum(axis=0)
        self._kept: dict[Any, Any] = {}

    def __len__(self) -> int:
        return self._length

    def updates(self, batch_size: int, truncate: int | None) -> int:
        """Updates of an epoch, where something counts in every piece."""
        pieces = 1
        if truncate is not None:
            T = self._x.shape[0] if self._source is None else _gathered(self._source, np.arange(1))[0].shape[1]
            pieces = math.ceil(T / truncate)
        return math.ceil(self._length / batch_size) * pieces

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
            x, target = _gathered(self._source, rows)
            N, T = x.shape[:2]
            if not N * T:
                raise ValueError(f"the batch source gave x of shape {tuple(x.shape)}, in which there is no step")
            return Minibatch(x, target, self.steps, None, select_steps(self.steps, T, N, None).total)
        steps = self.steps if isinstance(self.steps, str) or self.steps.ndim == 1 else self.steps[rows]
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


def _gathered(source: BatchSource, rows: np.ndarray) -> tuple[Any, Any]:
    """x and target of these rows of a source as arrays. Their shapes are checked where the model takes them."""
    batch = source.gather(rows)
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TypeError(f"gather of {type(source).__name__} must return x and target, got {type(batch).__name__}")
    try:
        x, target = as_array("x", batch[0]), as_array("target", batch[1])
    except (TypeError, ValueError) as error:
        raise type(error)(f"gather of {type(source).__name__}: {error}") from None
    if x.ndim < 2:
        raise ValueError(
            f"gather of {type(source).__name__} gave x of shape {x.shape}; expected (N, T, D), or integer tokens (N, T)"
        )
    return x, target


def validation_rows(model: SequenceModel, validation: Any, steps: Any, lengths: Any) -> Rows:
    """What `fit` takes as validation: (x, target), a batch source, or a dict with steps and lengths of its own.

    steps, lengths : those of the training rows. What belongs to single rows there cannot hold for other rows, so it
        must be given anew, in a dict.
    """
    of_rows = {} if lengths is None else {"lengths": "(N,)"}
    if not isinstance(steps, str) and np.ndim(to_numpy(steps)) == 2:
        of_rows["steps"] = "a mask (N, T)"
    if isinstance(validation, dict):
        unknown = set(validation) - {"x", "target", "steps", "lengths"}
        if unknown or "x" not in validation:
            raise ValueError(f"a validation dict has x, target, steps and lengths, got {', '.join(validation)}")
        given = {"target": None, "steps": steps, "lengths": None, **validation}
        _refuse_missing(set(of_rows) - set(validation), of_rows)
        return Rows(model, given["x"], given["target"], given["steps"], given["lengths"])
    if is_batch_source(validation):
        _refuse_missing(set(of_rows) - {"lengths"}, of_rows)  # a source has rows of one length
        return Rows(model, validation, None, steps, None)
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise TypeError("validation must be (x, target), or a dict with x, target, steps and lengths")
    _refuse_missing(set(of_rows), of_rows)
    x, target = validation
    return Rows(model, x, target, steps, None)


def _refuse_missing(missing: set[str], of_rows: dict[str, str]) -> None:
    """ValueError for what the training rows have and the validation rows were not given."""
    if missing:
        name = sorted(missing)[0]
        example = ", ".join(f'"{each}": …' for each in ("x", "target", *sorted(of_rows)))
        whole = '; "lengths": None says that its rows have no padding' if name == "lengths" else ""
        raise ValueError(
            f"{name} is {of_rows[name]} of the training rows; give validation as a dict with {name} of its own, "
            f"validation={{{example}}}{whole}"
        )


def losses(
    batch: Minibatch, truncate: int | None, stateful: bool, run: Callable[[Minibatch], tuple[float, Any]]
) -> Iterator[tuple[float, int]]:
    """Loss and number of counted entries of every piece of a minibatch, in the order of time.

    run : takes a piece to its loss and its last state. With `stateful` that is where the next piece begins, and pieces
        in which nothing counts are run too, for their last state alone; otherwise every piece begins from zeros.
    """
    state = None
    for piece in batch.pieces(truncate):
        if state is not None:
            piece = piece.after(state)
        if piece.counted or stateful:
            loss, last = run(piece)
            state = last if stateful else None
        if piece.counted:
            yield loss, piece.counted


def mean_loss(model: SequenceModel, data: Rows, truncate: int | None = None, stateful: bool = False) -> float:
    """Loss over all rows, a bounded number of rows and steps at a time.

    With `truncate` in pieces of so many steps, each from a zero state; with `stateful` the state goes on from the first
    step to the last, and pieces are as long as the bound allows, since where they end changes nothing then. NaN where a
    state that is carried on is not finite.
    """
    T = next(data.in_order(1)).x.shape[1]
    rows = max_rows(min(T, truncate or T), model.widest)
    if truncate is not None and stateful:
        truncate = max(truncate, max_rows(min(rows, len(data)), model.widest))

    def run(piece: Minibatch) -> tuple[float, Any]:
        if not stateful:
            return float(model.loss(**piece.arguments)), None
        if not are_finite(piece.h0):
            return math.nan, piece.h0
        if not piece.counted:
            return 0.0, model.forward(piece.x, piece.h0, piece.lengths).h_last
        loss, last = model.loss_and_last(**piece.arguments)
        return float(loss), last

    total, weight = 0.0, 0
    for batch in data.in_order(rows):
        for loss, counted in losses(batch, truncate, stateful, run):
            total += loss * counted
            weight += counted
    return total / weight


def are_finite(h0: Any) -> bool:
    """Whether every entry of a state is finite; None is zeros."""
    finite: list[bool] = []
    map_arrays(lambda a: finite.append(all_finite(a)), h0)
    return all(finite)
