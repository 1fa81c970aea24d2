"""Twins of the layers that are built from what `numba_twins.py` has: the stack and the embedding.

`TWINS` and `FILLS` are the whole tables, theirs and those of `numba_twins.py`.
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
    params: Mapping[str, Array],
    dy: Array,
    trace: embedding.Trace,
    dstate: None,
    *,
    inputs: bool = True,
    out: Mapping[str, Array] | None = None,
) -> tuple[None, None, Mapping[str, Array], None]:
    """Twin of `layers.embedding.backward`. The gradient is written into the array of `out`, where it is given."""
    if out is None:
        out = {"E": np.empty(params["E"].shape, dy.dtype)}
    numba_twins.scatter(out["E"], numba_twins.ready(trace.x), numba_twins.ready(dy).reshape(-1))
    return None, None, out, None


TWINS: dict[Callable[..., Any], Callable[..., Any]] = {
    **numba_twins.TWINS,
    stack.forward: partial(stack.forward, recurrence=numba_twins.rnn_forward),
    stack.backward: partial(stack.backward, recurrence=numba_twins.rnn_backward),
    embedding.backward: embedding_backward,
}
FILLS = numba_twins.FILLS | {embedding.backward}
