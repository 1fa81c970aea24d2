"""Gradient norms that neither overflow nor underflow, and clipping by exactly the ratio asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from .._arguments import above_zero
from .._arrays import Array, namespace, plain
from .._numerics import expected_underflow, row_norms
from ..parameters import Parameters

Gradients = Mapping[str, Array] | Sequence[Array] | Array


def vector_norm(vector: Array) -> Array:
    """Euclidean norm of one vector as a float64 scalar, safe as `row_norms` is. A backend may have a kernel for it."""
    return row_norms(vector)


def part_norms(vector: Array, ends: Array) -> Array:
    """(K,) float64: the norms of K parts of a vector, one after the other. A backend may have a kernel for it.

    ends (K,): how many entries there are up to the end of each.
    """
    return namespace(vector).stack([vector_norm(vector[a:b]) for a, b in pairwise([0, *ends.tolist()])])


def global_norm(grads: Gradients) -> float:
    """‖g‖ = √(Σ g²) over all entries of all parameters, in float64.

    Takes gradients (`Parameters`, any mapping or list of arrays or PyTorch tensors) or one array. Exact for entries of
    1e-30 in float32 or 1e±300 in float64, where `np.linalg.norm` gives 0 or inf; NaN and inf come through.

    >>> float(np.linalg.norm(np.full(4, 1e-30, dtype=np.float32)))
    0.0
    >>> round(global_norm(np.full(4, 1e-30, dtype=np.float32)) * 1e30, 6)
    2.0
    """
    norms = [float(vector_norm(array.reshape(-1))) for array in _arrays(grads, in_place=False) if array.size]
    return float(vector_norm(np.array(norms))) if norms else 0.0


def clip_by_global_norm(grads: Gradients, max_norm: float) -> float:
    """Scale gradients in place so that their global norm is at most max_norm; returns the norm before clipping.

        g ← g · max_norm / ‖g‖   if ‖g‖ > max_norm

    Raises ValueError for a limit that is not above 0, and FloatingPointError, leaving the gradients alone, where the
    norm is not finite: no factor would mend that. Source: Pascanu, Mikolov and Bengio 2013, algorithm 1.
    """
    max_norm = above_zero("max_norm", max_norm, infinity=True)
    norm = global_norm(grads)
    if not math.isfinite(norm):
        raise FloatingPointError(
            f"the gradient norm is {norm}; clipping cannot mend that, and the gradients are left alone"
        )
    for array in _arrays(grads):
        shrink(array, norm, max_norm)
    return norm


@expected_underflow
def shrink(array: Array, norm: float, max_norm: float) -> bool:
    """array ← array · max_norm / norm in place where norm is above max_norm; returns whether it was.

    The product is taken in float64, since a ratio in float32 could underflow.
    """
    if not norm > max_norm:
        return False
    array *= np.float64(max_norm / norm)
    return True


@expected_underflow
def clip_by_value(grads: Gradients, limit: float) -> bool:
    """Limit every entry to [−limit, limit] in place; returns whether any entry was changed.

    This bends the direction of the gradient, which clipping by norm does not. NaN stays NaN.
    Raises ValueError for a limit that is not above 0.
    """
    limit = above_zero("limit", limit, infinity=True)
    changed = False
    for array in _arrays(grads):
        xp = namespace(array)
        with np.errstate(over="ignore"):  # a limit beyond the range of float32 is none
            bound = array.dtype.type(limit)
        changed |= bool((xp.abs(array) > bound).any())
        xp.clip(array, -bound, bound, out=array)
    return changed


def _arrays(grads: Gradients, in_place: bool = True) -> list[Array]:
    """The arrays of gradients; TypeError for what are no floats, or, in place, what is no array of ours to change."""
    if isinstance(grads, Parameters):
        return [grads.vector]
    arrays = (
        list(grads.values())
        if isinstance(grads, Mapping)
        else list(grads)
        if isinstance(grads, (list, tuple))
        else [grads]
    )
    for array in arrays:
        readable = isinstance(array, np.ndarray) or namespace(array) is not np
        if not readable and (in_place or not hasattr(array, "__array__")):
            hint = (
                "; sr.to_numpy makes one of it, in its own memory where it can" if hasattr(array, "__array__") else ""
            )
            raise TypeError(f"gradients must be arrays of floats, got {type(array).__name__}{hint}")
    result = [plain("gradients", array) for array in arrays]
    wrong = [str(array.dtype) for array in result if array.dtype.kind != "f"]
    if wrong:
        raise TypeError(f"gradients must be arrays of floats, got {wrong[0]}")
    return result
