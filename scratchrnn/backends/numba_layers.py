"""Twins of the layers that are built from what `numba_twins.py` has: the stack and the embedding.

`TWINS` is the whole table, theirs and those of `numba_twins.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..layers import embedding, stack
from . import numba_twins
from .arrays import Array


def embedding_backward(
    params: Mapping[str, Array], dy: Array, trace: embedding.Trace, dstate: None, *, inputs: bool = True
) -> tuple[None, None, dict[str, Array], None]:
    """Twin of `layers.embedding.backward`."""
    dE = np.empty(params["E"].shape, dy.dtype)
    numba_twins.scatter(dE, numba_twins.ready(trace.x), numba_twins.ready(dy).reshape(-1))
    return None, None, {"E": dE}, None


TWINS: dict[Callable[..., Any], Callable[..., Any]] = {
    **numba_twins.TWINS,
    stack.forward: partial(stack.forward, recurrence=numba_twins.rnn_forward),
    stack.backward: partial(stack.backward, recurrence=numba_twins.rnn_backward),
    embedding.backward: embedding_backward,
}
