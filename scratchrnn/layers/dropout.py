"""Dropout: in training, each feature is left out with probability p, and what stays is scaled up to make up for it.

    y_t = m_t ⊙ x_t,   each entry of m_t is 0 with probability p, else 1 / (1 − p)

The expectation of y is x, so evaluation is y = x ("inverted" dropout). K below is the number of steps the layer sees.

The factors m are random, forward is not: they are drawn beforehand (`draw`) for all rows of a minibatch and handed in
as `mask`, so that it makes no difference into how many blocks the rows are cut.
Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014, "Dropout", section 10 for the scaling.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .._arguments import integer, normalize, probability
from .._arrays import Array
from ..parameters import Shape
from .base import Layer


class Trace(NamedTuple):
    """What forward hands to backward."""

    mask: Array | None  # (K, N, F): m; None in evaluation


def forward(
    params: Mapping[str, Array], x: Array, state: None, *, lengths: Array | None = None, mask: Array | None = None
) -> tuple[Array, None, Trace]:
    """y_t = m_t ⊙ x_t. x (K, N, F) → y (K, N, F). mask is m (K, N, F); None is evaluation, y = x."""
    return x if mask is None else x * mask, None, Trace(mask)


def backward(
    params: Mapping[str, Array], dy: Array, trace: Trace, dstate: None, *, inputs: bool = True
) -> tuple[Array | None, None, None, None]:
    """∂L/∂x_t = m_t ⊙ ∂L/∂y_t. dy (K, N, F) → dx (K, N, F), None with inputs=False."""
    if not inputs:
        return None, None, None, None
    return dy if trace.mask is None else dy * trace.mask, None, None, None


def weight_grads(da: None, trace: Trace, rows: slice, out: Mapping[str, Array]) -> None:
    """There are no parameters."""


def tangent(
    params: Mapping[str, Array], trace: Trace, dparams: Mapping[str, Array], dx: Array, dstate: None
) -> tuple[Array, None]:
    """ẏ_t = m_t ⊙ ẋ_t."""
    return dx if trace.mask is None else dx * trace.mask, None


def draw(rng: np.random.Generator, shape: Shape, p: float, dtype: Any) -> np.ndarray:
    """The factors: 0 with probability p, else 1 / (1 − p). The same ones in float32 and float64, from the same rng."""
    stays = rng.random(shape, dtype=np.float32) >= p
    return np.multiply(stays, 1 / (1 - p), dtype=dtype)


@dataclass(frozen=True)
class Dropout(Layer):
    """y_t = m_t ⊙ x_t with entries of m_t that are 0 with probability p, else 1 / (1 − p), in training; y = x else.

    No parameters. (N, T, F) → (N, T, F); F is that of the layer before (the one after, at the bottom of a model), and
    `size` need not be given. Training is a call with an `rng`: `fit` passes its own, `loss_and_grads` what it is given;
    everything else evaluates. Raises ValueError for p outside [0, 1).

    >>> from scratchrnn import RNN, Dropout, Linear, SequenceModel
    >>> SequenceModel([RNN(3, 16), Dropout(0.3), Linear(16, 2)], backend="numpy").layers[1]
    Dropout(p=0.3, size=16)
    """

    p: float
    size: int | None = field(default=None, kw_only=True)

    forward = staticmethod(forward)
    backward = staticmethod(backward)
    weight_grads = staticmethod(weight_grads)
    tangent = staticmethod(tangent)

    def __post_init__(self) -> None:
        normalize(self, p=probability)
        if self.size is not None:
            normalize(self, size=integer)

    @property
    def input_size(self) -> int:
        """F."""
        if self.size is None:
            raise ValueError(f"{self} takes its size from a layer beside it in a model; alone it needs size=")
        return self.size

    @property
    def output_size(self) -> int:
        """F."""
        return self.input_size

    def sized(self, size: int) -> Dropout:
        """The same between layers of that size."""
        return dataclasses.replace(self, size=size)

    def shapes(self) -> dict[str, Shape]:
        """There are no parameters."""
        return {}

    def initial(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """There are no parameters."""
        return {}

    def draw_mask(self, rng: np.random.Generator, steps: int, rows: int, dtype: Any) -> np.ndarray | None:
        """What a pass over so many steps and rows leaves out: its mask (K, N, F), or None with p = 0."""
        return draw(rng, (steps, rows, self.input_size), self.p, dtype) if self.p else None
