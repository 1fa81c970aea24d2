"""What to pass instead: the advice at the end of an error message, tried on the array before it is given.

A hint is an expression in the user's own variable. It is part of the message only where its value would be accepted in
place of what came, so that following it always leads on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from ._arrays import Array, namespace


class Hint(NamedTuple):
    """A change of an array."""

    why: str  # when it is the right one, such as "for one sequence"
    text: str  # the expression, with {} for the array
    change: Callable[[Array], Array]  # what the expression gives, or raises IndexError or ValueError


def advice(name: str, value: object, array: Array, hints: Iterable[Hint], accepted: Callable[[Array], bool]) -> str:
    """The first hint whose result is accepted, as the end of a message; empty where there is none.

    value : what the user passed under this name. Unless it is an array, the expression makes one of it first.
    """
    expression = spelled(name, value)
    for hint in hints:
        try:
            changed = hint.change(array)
        except (IndexError, ValueError):
            continue
        if accepted(changed):
            return f"; {hint.why}{' ' if hint.why else ''}pass {hint.text.format(expression)}"
    return ""


def spelled(name: str, value: object) -> str:
    """An expression for the array that a user passed under this name: it has an array's methods."""
    return name if type(value) is np.ndarray or namespace(value) is not np else f"sr.to_numpy({name})"


def check_order(call: str, model: object, others: Iterable[object], kinds: type | tuple[type, ...]) -> None:
    """TypeError where the model is not the first argument of a call such as "save(model, path)", or is a class."""
    function = call.partition("(")[0]
    if isinstance(model, kinds):
        return
    if any(isinstance(other, kinds) for other in others):
        raise TypeError(f"{function} takes the model first: {call}")
    if isinstance(model, type) and issubclass(model, kinds):
        raise TypeError(f"{function} takes a model, got the class {model.__name__}; make one: {model.__name__}(…)")


def inputs(features: int) -> list[Hint]:
    """For x (N, T, D), or integer tokens (N, T), with D or V = features."""
    return [
        Hint("for one sequence", "{}[None]", lambda x: x[None]),
        Hint("for one feature per step", "{}[..., None]", lambda x: x[..., None]),
        Hint("for one sequence of one feature", "{}[None, :, None]", lambda x: x[None, :, None]),
        Hint("for one step of one sequence", "{}[None, None]", lambda x: x[None, None]),
        Hint("for tokens", "{}.astype(int)", integers),
        Hint("for tokens", "{}.astype(int)[None]", lambda x: integers(x)[None]),
        Hint("for tokens", "{}[..., 0]", lambda x: only(x, -1)),
        Hint("for tokens", "{}[..., 0].astype(int)", lambda x: integers(only(x, -1))),
        Hint("for the tokens of one-hot vectors", "{}.argmax(-1)", lambda x: tokens_of(x, features)),
        Hint("for one-hot vectors", f"np.eye({features})[{{}}]", lambda x: one_hot(x, features)),
        Hint("for time before features", "{}.swapaxes(1, 2)", lambda x: x.swapaxes(1, 2)),
        Hint("for one sequence with time before features", "{}.T[None]", lambda x: x.T[None]),
        Hint("for its only entry", "{}[0]", lambda x: only(x, 0)),
    ]


def step_inputs(features: int) -> list[Hint]:
    """For x_t (N, D), or integer tokens (N,)."""
    return [
        Hint("for one row", "{}[None]", lambda x: x[None]),
        Hint("for one feature", "{}[..., None]", lambda x: x[..., None]),
        Hint("for one row of one feature", "{}[None, None]", lambda x: x[None, None]),
        Hint("for tokens", "{}.astype(int)", integers),
        Hint("for one token", "{}.astype(int)[None]", lambda x: integers(x)[None]),
        Hint("for the tokens of one-hot vectors", "{}.argmax(-1)", lambda x: tokens_of(x, features)),
        Hint("for one-hot vectors", f"np.eye({features})[{{}}]", lambda x: one_hot(x, features)),
        Hint("without the axis of time", "{}[:, 0]", lambda x: only(x, 1)),
    ]


def states(shape: tuple[int, ...]) -> list[Hint]:
    """For h0 of this shape."""

    def in_every_row(h0: Array) -> Array:
        if h0.ndim != 1 and h0.shape != (*shape[:-2], 1, shape[-1]):
            raise ValueError("this is no state of one row")
        return np.broadcast_to(h0, shape) if namespace(h0) is np else namespace(h0).broadcast_to(h0, shape)

    return [
        Hint("for one row", "{}[None]", lambda h0: h0[None]),
        Hint("for the same state in every row", f"np.broadcast_to({{}}, {shape})", in_every_row),
        Hint("for its only entry", "{}[0]", lambda h0: only(h0, 0)),
        Hint("for its only entry", "{}[:, 0]", lambda h0: only(h0, 1)),
        Hint("for rows before features", "{}.T", lambda h0: h0.T),
        Hint("for layers before rows", "{}.swapaxes(0, 1)", lambda h0: h0.swapaxes(0, 1)),
    ]


def row_lengths(N: int) -> list[Hint]:
    """For lengths (N,)."""

    def steps_of(mask: Array) -> Array:
        if mask.dtype != bool or mask.ndim != 2 or (mask[:, 1:] & ~mask[:, :-1]).any():
            raise ValueError("this is no mask of the first steps of each row")
        return mask.sum(-1)

    return [
        Hint("", "{}.astype(int)", integers_of_floats),
        Hint("for rows of one length", f"np.full({N}, {{}})", lambda lengths: np.full(N, alone(lengths))),
        Hint("", "{}[:, 0]", lambda lengths: only(lengths, 1)),
        Hint("for a mask of the steps that are there", "{}.sum(-1)", steps_of),
    ]


def targets(outputs: int, classes: bool, last: bool) -> list[Hint]:
    """For the target of a loss: numbers (…, O), or integer classes."""
    hints = [
        Hint("for one output", "{}[..., None]", lambda target: target[..., None]),
        Hint("for one sequence", "{}[None]", lambda target: target[None]),
        Hint("for one sequence of one output", "{}[None, :, None]", lambda target: target[None, :, None]),
    ]
    if classes:
        hints = [
            Hint("for one-hot vectors or probabilities", "{}.argmax(-1)", lambda target: argmax(target, outputs)),
            Hint("", "{}.astype(int)", integers),
            Hint("", "{}[..., 0]", lambda target: only(target, -1)),
            Hint("", "{}[..., 0].astype(int)", lambda target: integers(only(target, -1))),
            Hint("for one sequence", "{}[None]", lambda target: target[None]),
            Hint("for one sequence", "{}[None].astype(int)", lambda target: integers(target)[None]),
        ]
    if last:
        hints.append(Hint("for the target of the last step", "{}[:, -1]", lambda target: target[:, -1]))
        if classes:
            hints.append(Hint("", "{}[:, -1].astype(int)", lambda target: integers(target)[:, -1]))
    return hints


def step_masks(T: int) -> list[Hint]:
    """For a boolean mask (T,) or (N, T)."""

    def of_zeros_and_ones(steps: Array) -> Array:
        if steps.dtype.kind not in "iuf" or not np.isin(steps, (0, 1)).all():
            raise ValueError("these are not zeros and ones")
        return steps.astype(bool)

    def of_positions(steps: Array) -> Array:
        if steps.dtype.kind not in "iu" or steps.ndim != 1 or not ((steps >= 0) & (steps < T)).all():
            raise ValueError("these are no steps")
        return np.isin(np.arange(T), steps)

    return [
        Hint("", "{}.astype(bool)", of_zeros_and_ones),
        Hint("for the numbers of steps", f"np.isin(np.arange({T}), {{}})", of_positions),
        Hint("", "{}.T", lambda steps: steps.T),
        Hint("", "{}[..., 0]", lambda steps: only(steps, -1)),
    ]


def only(array: Array, axis: int) -> Array:
    """The array without an axis of one entry."""
    if array.shape[axis] != 1:
        raise ValueError("there are several")
    index: list[int | slice] = [slice(None)] * array.ndim
    index[axis] = 0
    return array[tuple(index)]


def alone(array: Array) -> Array:
    """An array of a single number without axes."""
    if array.ndim:
        raise ValueError("this is no single number")
    return array


def integers(array: Array) -> Array:
    """The same numbers as integers; ValueError where one is none."""
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):  # infinity has no remainder
            if not ((abs(array) < 2**53) & (array % 1 == 0)).all():
                raise ValueError("these are no integers")
    return array.astype(int)


def integers_of_floats(array: Array) -> Array:
    """`integers`; ValueError for bool, which may be meant as a mask."""
    if array.dtype.kind == "b":
        raise ValueError("these are no numbers")
    return integers(array)


def argmax(array: Array, outputs: int) -> Array:
    """The largest of that many outputs."""
    if array.shape[-1] != outputs:
        raise ValueError("these are no classes")
    return array.argmax(-1)


def tokens_of(array: Array, features: int) -> Array:
    """The tokens of one-hot vectors; ValueError where they are none."""
    if (
        array.shape[-1] != features
        or not ((array == 1).sum(-1) == 1).all()
        or not (array != 0).sum() == array[..., 0].size
    ):
        raise ValueError("these are no one-hot vectors")
    return array.argmax(-1)


def one_hot(array: Array, features: int) -> Array:
    """Of the shape of one-hot vectors, without their memory; ValueError where the array holds no tokens."""
    if array.dtype.kind not in "iu" or not array.size or not 0 <= array.min() <= array.max() < features:
        raise ValueError("these are no tokens")
    return np.broadcast_to(0.0, (*array.shape, features))
