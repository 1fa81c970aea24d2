"""Layer normalisation: the features of each step are shifted to mean 0 and scaled to variance 1, whatever they were.

    μ = (1/F) Σ_i x_i      σ² = (1/F) Σ_i (x_i − μ)²      x̂ = (x − μ) / √(σ² + ε)      y = γ ⊙ x̂ + β

F is the number of features; K below is the number of steps the layer sees. Each step of each row stands by itself.
Source: Ba, Kiros and Hinton 2016, "Layer normalization"; ε inside the root, as there and in PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .._arguments import above_zero, integer, normalize
from .._arrays import Array, namespace
from ..parameters import Shape
from .base import Layer


class Trace(NamedTuple):
    """What forward hands to backward."""

    x_hat: Array  # (K, N, F): the normalised features
    deviation: Array  # (K, N, 1): √(σ² + ε)


def forward(
    params: Mapping[str, Array], x: Array, state: None, *, lengths: Array | None = None, eps: float = 1e-5
) -> tuple[Array, None, Trace]:
    """y = γ ⊙ x̂ + β. x (K, N, F) → y (K, N, F). There is no state."""
    centred = x - x.mean(axis=2, keepdims=True)
    deviation = namespace(x).sqrt((centred**2).mean(axis=2, keepdims=True) + eps)
    x_hat = centred / deviation
    return params["gamma"] * x_hat + params["beta"], None, Trace(x_hat, deviation)


def backward(
    params: Mapping[str, Array], dy: Array, trace: Trace, dstate: None, *, inputs: bool = True, eps: float = 1e-5
) -> tuple[Array | None, None, Array, None]:
    """∂L/∂x̂ = γ ⊙ ∂L/∂y, and through μ and σ, which depend on x as well,

        ∂L/∂x = (∂L/∂x̂ − mean(∂L/∂x̂) − x̂ · mean(x̂ ⊙ ∂L/∂x̂)) / √(σ² + ε)

    with means over the features. dy (K, N, F) → dx (K, N, F), None with inputs=False; the error signals are dy.
    """
    return _project(params["gamma"] * dy, trace) if inputs else None, None, dy, None


def weight_grads(dy: Array, trace: Trace, rows: slice, out: Mapping[str, Array]) -> None:
    """∂L/∂γ = Σ ∂L/∂y ⊙ x̂ and ∂L/∂β = Σ ∂L/∂y over all steps of some rows, written into `out`."""
    dy, x_hat = dy[:, rows], trace.x_hat[:, rows]
    out["gamma"][...] = (dy * x_hat).sum(axis=(0, 1))
    out["beta"][...] = dy.sum(axis=(0, 1))


def tangent(
    params: Mapping[str, Array],
    trace: Trace,
    dparams: Mapping[str, Array],
    dx: Array,
    dstate: None,
    *,
    eps: float = 1e-5,
) -> tuple[Array, None]:
    """ẏ = γ ⊙ x̂˙ + γ̇ ⊙ x̂ + β̇; x̂˙ comes from ẋ by the same map that takes ∂L/∂x̂ to ∂L/∂x: it is symmetric."""
    return params["gamma"] * _project(dx, trace) + dparams["gamma"] * trace.x_hat + dparams["beta"], None


def _project(v: Array, trace: Trace) -> Array:
    """(v − mean(v) − x̂ · mean(x̂ ⊙ v)) / √(σ² + ε): what of v moves x̂. The Jacobian ∂x̂/∂x, its own transpose."""
    x_hat, deviation = trace
    return (v - v.mean(axis=2, keepdims=True) - x_hat * (x_hat * v).mean(axis=2, keepdims=True)) / deviation


@dataclass(frozen=True)
class LayerNorm(Layer):
    """y = γ ⊙ (x − μ) / √(σ² + ε) + β, with mean and variance over the features of each step.

    Parameters: gamma (F,), which starts at 1, and beta (F,), which starts at 0. (N, T, F) → (N, T, F). eps keeps steps
    whose features are all alike from dividing by 0.
    """

    size: int
    eps: float = field(default=1e-5, kw_only=True)

    forward = staticmethod(forward)
    backward = staticmethod(backward)
    weight_grads = staticmethod(weight_grads)
    tangent = staticmethod(tangent)

    def __post_init__(self) -> None:
        normalize(self, size=integer, eps=above_zero)

    @property
    def input_size(self) -> int:
        """F."""
        return self.size

    @property
    def output_size(self) -> int:
        """F."""
        return self.size

    @property
    def options(self) -> Mapping[str, Any]:
        """What the functions need besides arrays."""
        return {"eps": self.eps}

    def shapes(self) -> dict[str, Shape]:
        """Parameter shapes by symbol, in the order in which they are stored."""
        return {"gamma": (self.size,), "beta": (self.size,)}

    def initial(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Initial parameters: nothing is drawn."""
        return {"gamma": np.ones(self.size), "beta": np.zeros(self.size)}
