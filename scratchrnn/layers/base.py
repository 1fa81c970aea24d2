"""Layers: one file, one section of the chapter.

A layer is a specification (sizes and initialisation, no arrays) beside three pure functions at module level:

    forward(params, x, state, *, lengths=None)           → y, state, trace
    backward(params, dy, trace, dstate, *, inputs=True)  → dx, dstate0, grads, flow
    tangent(params, trace, dparams, dx, dstate)          → dy, dstate

`params` maps the layer's own symbols to arrays, `trace` is whatever forward leaves for backward, and nothing is
remembered anywhere else. `inputs=False` says that nobody will read dx. A layer without a state takes and returns None.

What else these functions need (a nonlinearity, a number of levels) stands in the specification's `options` and is
passed to all three. A layer that is random in training has a method

    draw(rng, steps, rows, dtype) → noise

which is called once for all rows of a minibatch; forward gets the noise of its rows, or no `noise` at all, which is
evaluation. Rows are the last axis but one of noise, and of a state. Where a layer is made of several recurrences, its
flow and its trace have a tuple `cells` with one entry for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np

from ..parameters import Shape


class Layer(Protocol):
    """What a model needs to know of a layer."""

    recurrent: bool  # has a state, and its steps depend on one another
    takes_tokens: bool  # accepts integer input (T, N)
    takes_vectors: bool  # accepts input (T, N, D)

    @property
    def forward(self) -> Callable[..., Any]: ...

    @property
    def backward(self) -> Callable[..., Any]: ...

    @property
    def tangent(self) -> Callable[..., Any]: ...

    @property
    def options(self) -> Mapping[str, Any]: ...

    @property
    def input_size(self) -> int: ...

    @property
    def output_size(self) -> int: ...

    def shapes(self) -> dict[str, Shape]: ...

    def initial(self, rng: np.random.Generator) -> dict[str, np.ndarray]: ...


class RecurrentLayer(Layer, Protocol):
    """A layer with a state."""

    def state_shape(self, rows: int) -> Shape: ...


def sized(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers; one that goes by its neighbour gets its size from the one before, at the bottom from the next."""
    waiting = [getattr(layer, "size", "its own") is None for layer in layers]
    if all(waiting):
        return tuple(layers)
    size = layers[waiting.index(False)].input_size
    result: list[Any] = []
    for layer, waits in zip(layers, waiting, strict=True):
        result.append(cast(Any, layer).sized(size) if waits else layer)
        size = result[-1].output_size
    return tuple(result)
