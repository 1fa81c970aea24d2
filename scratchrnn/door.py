"""The door: every public entry checks once what came in, and says what was expected; inside nothing is checked again.

Each function takes what a user passed and returns it in the form that the inside works with: time-major (a view, where
that takes no copy), in the model's dtype, on the model's backend. Nothing of the model is touched, so a refused call
leaves it as it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .backends.arrays import Array, namespace, to_numpy
from .backends.numpy_backend import Backend
from .steps import Counted


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
    x = as_array("x", x)
    tokens = x.dtype.kind in "iu" and x.ndim == 2
    if not tokens and not vectors_allowed:
        kind = TypeError if x.dtype.kind not in "iu" else ValueError
        hint = "; pass x.astype(int)" if x.dtype.kind == "f" and x.ndim == 2 else ""
        raise kind(f"the first layer takes nothing but integer tokens (N, T), got {x.dtype} of shape {x.shape}{hint}")
    if tokens and not tokens_allowed:
        raise ValueError(
            f"the first layer takes no integer tokens; expected x of shape (N, T, {features}), got {x.shape}"
        )
    if not tokens and x.ndim != 3:
        hint = "; for one feature per step pass x[..., None]" if x.ndim == 2 else ""
        or_tokens = ", or integer tokens (N, T)" if tokens_allowed else ""
        raise ValueError(f"expected x of shape (N, T, {features}){or_tokens}, got {x.dtype} of shape {x.shape}{hint}")
    if not tokens and x.shape[2] != features:
        raise ValueError(
            f"x has {x.shape[2]} features, but this model expects {features} "
            f"(x.shape = {x.shape}, expected (N, T, {features}))"
        )
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
            hint = "; for one feature per step pass x[..., None]" if features == 1 else ""
            raise IndexError(f"token {int(x[where])} at x[{n}, {t}] is outside 0 … {features - 1}{hint}")
    elif not backend.twin(all_finite)(x):
        t, n, d = where = _not_finite(x)
        raise ValueError(f"x[{n}, {t}, {d}] is {float(x[where])} in {x.dtype}; every input must be finite")
    return (x.astype(np.int64, copy=False) if tokens else x), lengths


def one_step(x_t: Any, features: int, tokens_allowed: bool, vectors_allowed: bool) -> Array:
    """x_t (N, D), or integer tokens (N,) where the first layer takes them → a sequence of that one step."""
    x_t = as_array("x_t", x_t)
    tokens = tokens_allowed and x_t.dtype.kind in "iu" and x_t.ndim == 1
    vectors = vectors_allowed and x_t.ndim == 2 and x_t.shape[1] == features
    if not tokens and not vectors:
        forms = [f"of shape (N, {features})"] * vectors_allowed + ["as integer tokens (N,)"] * tokens_allowed
        raise ValueError(f"expected x_t {', or '.join(forms)}, got {x_t.dtype} of shape {x_t.shape}")
    return x_t[:, None]


def row_lengths(lengths: Any, N: int, T: int) -> np.ndarray | None:
    """lengths (N,) of integers in [1, T] as int64; None when it says nothing: no lengths, or all rows T long."""
    if lengths is None:
        return None
    lengths = to_numpy(as_array("lengths", lengths))
    if lengths.dtype.kind not in "iu":
        raise TypeError(f"lengths must be integers, got {lengths.dtype}")
    if lengths.shape != (N,):
        raise ValueError(f"expected lengths of shape (N,) = ({N},), got {lengths.shape}")
    wrong = (lengths < 1) | (lengths > T)
    if wrong.any():
        n = int(np.argmax(wrong))
        raise ValueError(f"lengths[{n}] is {int(lengths[n])}, but each row has between 1 and T = {T} steps")
    return None if (lengths == T).all() else lengths.astype(np.int64)


def state(h0: Any, shape: tuple[int, ...], dtype: np.dtype, backend: Backend) -> Array:
    """The state before the first step; zeros when None."""
    if h0 is None:
        return backend.xp.zeros(shape, dtype)
    h0 = as_array("h0", h0)
    if h0.shape != shape:
        letters = "(N, H)" if len(shape) == 2 else "(num_layers · directions, N, H)"
        raise ValueError(f"expected h0 of shape {letters} = {shape}, got {h0.shape}")
    h0 = _cast(h0, dtype, backend)
    if not backend.twin(all_finite)(h0):
        where = _not_finite(h0)
        raise ValueError(f"h0{list(where)} is {float(h0[where])} in {h0.dtype}; every state must be finite")
    return h0


def targets(
    target: Any,
    loss: str,
    steps: Any,
    counted: Counted,
    N: int,
    T: int,
    outputs: int,
    dtype: np.dtype,
    backend: Backend,
) -> Array:
    """The target of the taken steps, time-major: (K, N, O), or integer (K, N) for cross-entropy.

    Never broadcast: a target of another shape is an error. Only counted entries are read.
    """
    target = as_array("target", target)
    classes = loss == "cross_entropy"
    last = isinstance(steps, str) and steps == "last"
    if classes and target.dtype.kind not in "iu":
        hint = "target.argmax(-1)" if target.ndim > (1 if last else 2) else "target.astype(int)"
        raise TypeError(f"cross_entropy needs integer class numbers as target, got {target.dtype}; pass {hint}")
    shape = (N,) if last else (N, T)
    letters = "N," if last else "N, T"
    if not classes:
        shape, letters = (*shape, outputs), "N, O" if last else "N, T, O"
    if target.shape != shape:
        hint = "; pass target[..., None]" if (*target.shape, 1) == shape else ""
        if not last and target.shape == (shape[:1] + shape[2:]):
            hint = '; for a target of the last step alone say steps="last"'
        which = f'steps="{steps}"' if isinstance(steps, str) else "a steps mask"
        raise ValueError(f"expected a target of shape ({letters}) = {shape} with {which}, got {target.shape}{hint}")

    taken = target[None] if last else target.swapaxes(0, 1)[counted.index]
    taken = _cast(taken, taken.dtype if classes else dtype, backend)
    if not classes and backend.twin(all_finite)(taken):
        return taken
    right = (taken >= 0) & (taken < outputs) if classes else backend.xp.isfinite(taken)
    if counted.mask is not None:
        mask = backend.asarray(counted.mask)
        right |= ~(mask if classes else mask[..., None])
    if not right.all():
        where = _first(~right)
        k, n, *rest = where
        position = [n, *rest] if last else [n, int(np.arange(T)[counted.index][k]), *rest]
        if classes:
            raise IndexError(f"target{position} is {int(taken[where])}, outside the classes 0 … {outputs - 1}")
        raise ValueError(
            f"target{position} is {float(taken[where])} in {taken.dtype}; every counted target must be finite"
        )
    return taken.astype(np.int64, copy=False) if classes else taken


def as_array(name: str, value: Any) -> Array:
    """The value as an array of real numbers."""
    try:
        array = value if isinstance(value, np.ndarray) or namespace(value) is not np else np.asarray(value)
    except ValueError:  # NumPy found lists of different lengths
        raise ValueError(
            f"{name} must be one array, but its rows differ in shape; pad them, and pass lengths"
        ) from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got {array.dtype}")
    return array


def _cast(array: Array, dtype: np.dtype, backend: Backend) -> Array:
    if array.dtype == dtype:
        return backend.asarray(array)
    with np.errstate(over="ignore"):  # a float64 beyond float32's range becomes inf, and `all_finite` says so
        return backend.asarray(array, dtype)


def all_finite(a: Array) -> bool:
    """Whether no entry is NaN or infinite. The text that backends twin."""
    return bool(namespace(a).isfinite(a).all())


def _not_finite(a: Array) -> tuple[int, ...]:
    """Where the first entry is that is NaN or infinite."""
    return _first(~namespace(a).isfinite(a))


def _first(wrong: Array) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))
