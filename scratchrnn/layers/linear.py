"""The output: y_t = W_hy · h_t + b_y, the same for every step.

K below is the number of steps whose outputs are wanted: T, or 1 for the last step alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._arguments import integer, normalize
from .._arrays import Array
from ..parameters import Shape
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
) -> tuple[Array | None, None, dict[str, Array], None]:
    """∂L/∂h_t = W_hyᵀ · ∂L/∂y_t,  ∂L/∂W_hy = Σ_t ∂L/∂y_t · h_tᵀ,  ∂L/∂b_y = Σ_t ∂L/∂y_t.

    dy (K, N, O) → dh (K, N, H), None with inputs=False.
    """
    (h,) = trace
    rows = dy.reshape(-1, dy.shape[2])  # (K·N, O)
    grads = {"W_hy": rows.T @ h.reshape(-1, h.shape[2]), "b_y": rows.sum(axis=0)}
    return dy @ params["W_hy"] if inputs else None, None, grads, None


def tangent(
    params: Mapping[str, Array], trace: Trace, dparams: Mapping[str, Array], dh: Array, dstate: None
) -> tuple[Array, None]:
    """ẏ_t = Ẇ_hy · h_t + W_hy · ḣ_t + ḃ_y."""
    return trace.h @ dparams["W_hy"].T + dh @ params["W_hy"].T + dparams["b_y"], None


@dataclass(frozen=True)
class Linear:
    """y_t = W_hy · h_t + b_y. Parameters: W_hy (O, H), b_y (O,). (N, T, H) → (N, T, O).

    init names the rule for W_hy, as `RNN` explains.
    """

    input_size: int
    output_size: int
    init: str = field(default="xavier", kw_only=True)

    recurrent = False
    takes_tokens = False
    takes_vectors = True
    options: ClassVar[Mapping[str, Any]] = {}
    forward = staticmethod(forward)
    backward = staticmethod(backward)
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
