"""The embedding: each token has a vector of its own, a row of the table E, and that vector is learned.

    y_t = E[x_t], which is Eᵀ · onehot(x_t)

V below is the number of tokens, F the number of features of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .._arguments import integer, normalize
from .._arrays import Array, namespace
from ..parameters import Shape
from .base import Layer
from .initializers import check_init, draw


class Trace(NamedTuple):
    """What forward hands to backward."""

    x: Array  # (T, N) integer tokens


def forward(
    params: Mapping[str, Array], x: Array, state: None, *, lengths: Array | None = None
) -> tuple[Array, None, Trace]:
    """y_t = E[x_t]. x integer (T, N) → y (T, N, F). There is no state. Padding is token 0, which nothing counts."""
    return params["E"][x], None, Trace(x)


def backward(
    params: Mapping[str, Array], dy: Array, trace: Trace, dstate: None, *, inputs: bool = True
) -> tuple[None, None, Array, None]:
    """Tokens have no gradient. The error signals are dy (T, N, F)."""
    return None, None, dy, None


def weight_grads(dy: Array, trace: Trace, rows: slice, out: Mapping[str, Array]) -> None:
    """∂L/∂E[i] = Σ ∂L/∂y_t over the steps at which x_t = i, of some rows, written into `out`."""
    dE = out["E"]
    dE[...] = 0
    namespace(dE).add.at(dE, trace.x[:, rows].reshape(-1), dy[:, rows].reshape(-1, dE.shape[1]))


def tangent(
    params: Mapping[str, Array], trace: Trace, dparams: Mapping[str, Array], dx: None, dstate: None
) -> tuple[Array, None]:
    """ẏ_t = Ė[x_t]."""
    return dparams["E"][trace.x], None


@dataclass(frozen=True)
class Embedding(Layer):
    """y_t = E[x_t], for integer tokens x_t in 0 … V − 1. Parameter: E (V, F). (N, T) → (N, T, F).

    The first layer of a model, `Embedding(number of tokens, number of features)`. init names the rule for E, as `RNN`
    explains; the default is N(0, 1), PyTorch's. Rules that go by a shape ("xavier", "he") do not know that
    of V inputs one alone is active.

    >>> from scratchrnn import RNN, Embedding, Linear, SequenceModel
    >>> model = SequenceModel([Embedding(30, 8), RNN(8, 16), Linear(16, 30)], loss="cross_entropy", backend="numpy")
    >>> model(np.array([[3, 1, 4, 1, 5]])).shape
    (1, 5, 30)
    """

    input_size: int
    output_size: int
    init: str = field(default="normal(1)", kw_only=True)

    takes_tokens = True
    takes_vectors = False
    forward = staticmethod(forward)
    backward = staticmethod(backward)
    weight_grads = staticmethod(weight_grads)
    tangent = staticmethod(tangent)

    def __post_init__(self) -> None:
        normalize(self, input_size=integer, output_size=integer)
        check_init(self.init)

    def shapes(self) -> dict[str, Shape]:
        """Parameter shapes by symbol."""
        return {"E": (self.input_size, self.output_size)}

    def initial(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Initial parameters."""
        return draw(rng, self.shapes(), self.init)
