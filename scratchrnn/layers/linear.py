"""The output: y_t = W_hy · h_t + b_y, the same for every step.

K below is the number of steps whose outputs are wanted: T, or 1 for the last step alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .._arguments import integer, normalize
from .._arrays import Array
from ..parameters import Shape
from .base import Layer
from .initializers import check_init, draw


class Trace(NamedTuple):
    """What forward hands to backward."""

    h: Array  # (K, N, H)


def forward(
    params: Mapping[str, Array], h: Array, state: None, *, lengths: Array | None = None
) -> tuple[Array, None, Trace]:
    """y_t = W_hy · h_t + b_y. h (K, N, H) → y (K, N, O). There is no state."""
    return h @ params["W_hy"].T + params["b_y"], None, Trace(h)


def backward(
    params: Mapping[str, Array], dy: Array, trace: Trace, dstate: None, *, inputs: bool = True
) -> tuple[Array | None, None, Array, None]:
    """∂L/∂h_t = W_hyᵀ · ∂L/∂y_t. dy (K, N, O) → dh (K, N, H), None with inputs=False; the error signals are dy."""
    return dy @ params["W_hy"] if inputs else None, None, dy, None


def weight_grads(dy: Array, trace: Trace, rows: slice, out: Mapping[str, Array]) -> None:
    """∂L/∂W_hy = Σ_t ∂L/∂y_t · h_tᵀ and ∂L/∂b_y = Σ_t ∂L/∂y_t over all steps of some rows, written into `out`."""
    h = trace.h[:, rows]
    dy = dy[:, rows].reshape(-1, dy.shape[2])  # (K·N, O)
    out["W_hy"][...] = dy.T @ h.reshape(-1, h.shape[2])
    out["b_y"][...] = dy.sum(axis=0)


def tangent(
    params: Mapping[str, Array], trace: Trace, dparams: Mapping[str, Array], dh: Array, dstate: None
) -> tuple[Array, None]:
    """ẏ_t = Ẇ_hy · h_t + W_hy · ḣ_t + ḃ_y."""
    return trace.h @ dparams["W_hy"].T + dh @ params["W_hy"].T + dparams["b_y"], None


@dataclass(frozen=True)
class Linear(Layer):
    """y_t = W_hy · h_t + b_y. Parameters: W_hy (O, H), b_y (O,). (N, T, H) → (N, T, O).

    init names the rule for W_hy, as `RNN` explains.
    """

    input_size: int
    output_size: int
    init: str = field(default="xavier", kw_only=True)

    forward = staticmethod(forward)
    backward = staticmethod(backward)
    weight_grads = staticmethod(weight_grads)
    tangent = staticmethod(tangent)

    def __post_init__(self) -> None:
        normalize(self, input_size=integer, output_size=integer)
        check_init(self.init)

    def shapes(self) -> dict[str, Shape]:
        """Parameter shapes by symbol, in the order in which they are stored and drawn."""
        return {"W_hy": (self.output_size, self.input_size), "b_y": (self.output_size,)}

    def initial(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Initial parameters."""
        return draw(rng, self.shapes(), self.init)
