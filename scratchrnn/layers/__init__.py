"""Layers: one file, one section of the chapter.

A layer is a specification (sizes and initialisation, no arrays) beside three pure functions at module level:

    forward(params, x, state, *, lengths=None, rng=None) → y, state, trace
    backward(params, dy, trace, dstate, *, inputs=True)  → dx, dstate0, grads, flow
    tangent(params, trace, dparams, dx, dstate)          → dy, dstate

`params` maps the layer's own symbols to arrays, `trace` is whatever forward leaves for backward, and nothing is
remembered anywhere else. `inputs=False` says that nobody will read dx. A layer without a state takes and returns None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ..parameters import Shape


class Layer(Protocol):
    """What a model needs to know of a layer."""

    recurrent: bool  # has a state, and its steps depend on one another
    takes_tokens: bool  # accepts integer input (T, N)
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    tangent: Callable[..., Any]

    @property
    def input_size(self) -> int: ...

    @property
    def output_size(self) -> int: ...

    def shapes(self) -> dict[str, Shape]: ...

    def initial(self, rng: np.random.Generator) -> dict[str, np.ndarray]: ...


class RecurrentLayer(Layer, Protocol):
    """A layer with a state."""

    def state_shape(self, rows: int) -> Shape: ...
