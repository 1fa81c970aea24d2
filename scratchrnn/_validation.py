"""The door: every public entry checks once what came in, and says what was expected; inside nothing is checked again.

Each function takes what a user passed and returns it in the form that the inside works with: time-major (a view, where
that takes no copy), in the model's dtype, on the model's backend. Nothing of the model is touched, so a refused call
leaves it as it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _hints
from ._arrays import Array, as_array, namespace, to_numpy
from ._numerics import all_finite
from ._steps import StepSelection
from .backends.base import Backend


def sequences(
    x: Any,
    lengths: Any,
    features: int,
    tokens_allowed: bool,
    dtype: np.dtype,
    backend: Backend,
    vectors_allowed: bool = True,
) -> tuple[Array, np.ndarray | None]:
    """x (N, T, D), or integer tokens (N, T) where the first layer takes them → (T, N, D) or int64 (T, N), and lengths.

    What stands past the end of a row is replaced by 0 unread.
    """
    value, x = x, as_array("x", x)
    tokens = x.dtype.kind in "iu" and x.ndim == 2
    if not (tokens_allowed if tokens else vectors_allowed and x.ndim == 3 and x.shape[2] == features):
        raise _not_sequences(value, x, features, tokens_allowed, vectors_allowed)
    N, T = x.shape[:2]
    if N == 0 or T == 0:
        raise ValueError(f"x has {N} sequences of {T} steps; there must be at least one of each")
    lengths = row_lengths(lengths, N, T)

    x = _cast(x.swapaxes(0, 1), x.dtype if tokens else dtype, backend)
    if lengths is not None:
        inside = backend.asarray(np.arange(T)[:, None] < lengths)  # (T, N)
        x = backend.xp.where(inside if tokens else inside[..., None], x, x.dtype.type(0))
    if tokens:
        right = (x >= 0) & (x < features)
        if not right.all():
            t, n = where = _first(~right)
            hint = _input_hint(value, x.T, features, False, vectors_allowed)
            raise IndexError(f"token {int(x[where])} at x[{n}, {t}] is outside 0 … {features - 1}{hint}")
    elif not backend.kernel(all_finite)(x):
        t, n, d = where = _not_finite(x)
        raise ValueError(f"x[{n}, {t}, {d}] is {float(x[where])} in {x.dtype}; every input must be finite")
    return (x.astype(np.int64, copy=False) if tokens else x), lengths


def one_step(x_t: Any, features: int, tokens_allowed: bool, vectors_allowed: bool) -> Array:
    """x_t (N, D), or integer tokens (N,) where the first layer takes them → a sequence of that one step."""
    value, x_t = x_t, as_array("x_t", x_t)
    tokens = tokens_allowed and x_t.dtype.kind in "iu" and x_t.ndim == 1
    vectors = vectors_allowed and x_t.ndim == 2 and x_t.shape[1] == features
    if not tokens and not vectors:
        forms = [f"of shape (N, {features})"] * vectors_allowed + ["as integer tokens (N,)"] * tokens_allowed

        def accepted(x: Array) -> bool:
            return _are_inputs(x[:, None] if x.ndim else x, features, tokens_allowed, vectors_allowed)

        hint = _hints.advice("x_t", value, x_t, _hints.step_inputs(features), accepted)
        raise ValueError(f"expected x_t {', or '.join(forms)}, got {x_t.dtype} of shape {x_t.shape}{hint}")
    return x_t[:, None]


def row_lengths(lengths: Any, N: int, T: int) -> np.ndarray | None:
    """lengths (N,) of integers in [1, T] as int64; None when it says nothing: no lengths, or all rows T long."""
    if lengths is None:
        return None
    value, lengths = lengths, to_numpy(as_array("lengths", lengths))
    integers = lengths.dtype.kind in "iu"
    if not integers or lengths.shape != (N,):

        def accepted(lengths: np.ndarray) -> bool:
            return (
                lengths.shape == (N,)
                and lengths.dtype.kind in "iu"
                and bool((1 <= lengths).all() & (lengths <= T).all())
            )

        hint = _hints.advice("lengths", value, lengths, _hints.row_lengths(N), accepted)
        if not integers:
            raise TypeError(f"lengths must be integers, got {lengths.dtype}{hint}")
        raise ValueError(f"expected lengths of shape (N,) = ({N},), got {lengths.shape}{hint}")
    wrong = (lengths < 1) | (lengths > T)
    if wrong.any():
        n = int(np.argmax(wrong))
        raise ValueError(f"lengths[{n}] is {int(lengths[n])}, but each row has between 1 and T = {T} steps")
    return None if (lengths == T).all() else lengths.astype(np.int64)


def state(h0: Any, shape: tuple[int, ...], dtype: np.dtype, backend: Backend, number: int | None = None) -> Array:
    """The state before the first step; zeros when None.

    number : which entry of a tuple h0 this is, for messages; None where h0 is this state alone.
    """
    if h0 is None:
        return backend.xp.zeros(shape, dtype)
    name = "h0" if number is None else f"h0[{number}]"
    value, h0 = h0, as_array(name, h0)
    if h0.shape != shape:
        letters = "(N, H)" if len(shape) == 2 else "(num_layers · directions, N, H)"
        hint = _hints.advice(name, value, h0, _hints.states(shape), lambda h0: h0.shape == shape)
        raise ValueError(f"expected h0 of shape {letters} = {shape}, got {h0.shape}{hint}")
    h0 = _cast(h0, dtype, backend)
    if not backend.kernel(all_finite)(h0):
        where = _not_finite(h0)
        raise ValueError(f"{name}{list(where)} is {float(h0[where])} in {h0.dtype}; every state must be finite")
    return h0


def targets(
    target: Any,
    loss: str,
    steps: Any,
    counted: StepSelection,
    N: int,
    T: int,
    outputs: int,
    dtype: np.dtype,
    backend: Backend,
) -> Array:
    """The target of the taken steps, time-major: (K, N, O), or integer (K, N) for cross-entropy.

    Never broadcast: a target of another shape is an error. Only counted entries are read.
    """
    value, target = target, as_array("target", target)
    classes = loss == "cross_entropy"
    last = isinstance(steps, str) and steps == "last"
    shape, letters = ((N,), "N,") if last else ((N, T), "N, T")
    if not classes:
        shape, letters = (*shape, outputs), "N, O" if last else "N, T, O"
    integers = target.dtype.kind in "iu"
    if target.shape != shape or (classes and not integers):

        def accepted(target: Array) -> bool:
            return target.shape == shape and (not classes or target.dtype.kind in "iu")

        of_last = last and isinstance(counted.index, slice)  # with lengths it is not target[:, -1]
        hint = _hints.advice("target", value, target, _hints.targets(outputs, classes, of_last), accepted)
        if classes and not integers:
            raise TypeError(f"cross_entropy needs integer class numbers as target, got {target.dtype}{hint}")
        if not last and target.shape == shape[:1] + shape[2:]:
            hint = '; for a target of the last step alone say steps="last"'
        which = f'steps="{steps}"' if isinstance(steps, str) else "a steps mask"
        raise ValueError(f"expected a target of shape ({letters}) = {shape} with {which}, got {target.shape}{hint}")

    taken = target[None] if last else target.swapaxes(0, 1)[counted.index]
    taken = _cast(taken, taken.dtype if classes else dtype, backend)
    if not classes and backend.kernel(all_finite)(taken):
        return taken
    right = (taken >= 0) & (taken < outputs) if classes else backend.xp.isfinite(taken)
    if counted.mask is not None:
        mask = backend.asarray(counted.mask)
        right |= ~(mask if classes else mask[..., None])
    if not right.all():
        where = _first(~right)
        k, n, *rest = where
        position = [n, *rest] if last else [n, int(np.arange(T)[counted.index][k]), *rest]
        whole = isinstance(steps, str) and steps == "all" and counted.mask is None
        if classes:
            some = whole and int(taken.max()) < outputs and bool((taken >= 0).any())
            hint = f"; to leave such steps out say steps={_hints.spelled('target', value)} >= 0" if some else ""
            raise IndexError(f"target{position} is {int(taken[where])}, outside the classes 0 … {outputs - 1}{hint}")
        some = whole and bool(backend.xp.isfinite(taken).all(-1).any())
        hint = (
            f"; to leave such steps out say steps=np.isfinite({_hints.spelled('target', value)}).all(-1)"
            if some
            else ""
        )
        raise ValueError(
            f"target{position} is {float(taken[where])} in {taken.dtype}; every counted target must be finite{hint}"
        )
    return taken.astype(np.int64, copy=False) if classes else taken


def _not_sequences(value: Any, x: Array, features: int, tokens_allowed: bool, vectors_allowed: bool) -> Exception:
    """What is wrong with the shape or the kind of x, and what to pass instead."""
    hint = _input_hint(value, x, features, tokens_allowed, vectors_allowed)
    if not vectors_allowed:
        kind = ValueError if x.dtype.kind in "iu" else TypeError
        return kind(f"the first layer takes nothing but integer tokens (N, T), got {x.dtype} of shape {x.shape}{hint}")
    if x.dtype.kind in "iu" and x.ndim == 2:
        return ValueError(
            f"the first layer takes no integer tokens; expected x of shape (N, T, {features}), got {x.shape}{hint}"
        )
    if x.ndim == 3:
        return ValueError(
            f"x has {x.shape[2]} features, but this model expects {features} "
            f"(x.shape = {x.shape}, expected (N, T, {features})){hint}"
        )
    or_tokens = ", or integer tokens (N, T)" if tokens_allowed else ""
    return ValueError(f"expected x of shape (N, T, {features}){or_tokens}, got {x.dtype} of shape {x.shape}{hint}")


def _input_hint(value: Any, x: Array, features: int, tokens_allowed: bool, vectors_allowed: bool) -> str:
    def accepted(x: Array) -> bool:
        return _are_inputs(x, features, tokens_allowed, vectors_allowed)

    return _hints.advice("x", value, x, _hints.inputs(features), accepted)


def _are_inputs(x: Array, features: int, tokens_allowed: bool, vectors_allowed: bool) -> bool:
    """Whether x is (N, T, D), or integer tokens (N, T), as the first layer takes it."""
    if not x.size or x.ndim not in (2, 3):
        return False
    if x.ndim == 3:
        return vectors_allowed and x.shape[2] == features
    return tokens_allowed and x.dtype.kind in "iu" and bool(x.min() >= 0) and bool(x.max() < features)


def _cast(array: Array, dtype: np.dtype, backend: Backend) -> Array:
    if array.dtype == dtype:
        return backend.asarray(array)
    with np.errstate(over="ignore", under="ignore"):  # beyond float32's range lies inf, and `all_finite` says so
        return backend.asarray(array, dtype)


def _not_finite(a: Array) -> tuple[int, ...]:
    """Where the first entry is that is NaN or infinite."""
    return _first(~namespace(a).isfinite(a))


def _first(wrong: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))
