"""Kernels for the steps of `scratchrnn.optimizers`."""

from __future__ import annotations

import numpy as np

from ..._arrays import Array
from ...optimizers import Moments
from .arrays import of_dtype
from .kernels.optimizers import adam_step, momentum_step, rescaled_step, subtract_step


def subtract(vector: Array, delta: Array) -> bool:
    """Kernel for `optimizers.subtract`."""
    return subtract_step(vector, delta, of_dtype(delta.dtype).largest)


def in_place(delta: Array, grad: Array) -> Array:
    """delta, filled with the gradient that the step will replace."""
    if delta is not grad:
        delta[...] = grad
    return delta


def sgd(delta: Array, grad: Array, moments: Moments, step: int, learning_rate: float, momentum: float) -> None:
    """Kernel for `optimizers.sgd`."""
    if momentum:
        momentum_step(in_place(delta, grad), moments["m"], momentum, learning_rate)
    else:
        with np.errstate(under="ignore"):
            np.multiply(grad, grad.dtype.type(learning_rate), out=delta)


def adagrad(delta: Array, grad: Array, moments: Moments, step: int, learning_rate: float, eps: float) -> None:
    """Kernel for `optimizers.adagrad`."""
    rescaled_step(in_place(delta, grad), moments["v"], 1.0, 1.0, learning_rate, eps)


def rmsprop(
    delta: Array, grad: Array, moments: Moments, step: int, learning_rate: float, decay: float, eps: float
) -> None:
    """Kernel for `optimizers.rmsprop`."""
    rescaled_step(in_place(delta, grad), moments["v"], decay, 1 - decay, learning_rate, eps)


def adam(
    delta: Array,
    grad: Array,
    moments: Moments,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """Kernel for `optimizers.adam`."""
    rate, scale = learning_rate / (1 - beta1**step), (1 - beta2**step) ** -0.5
    adam_step(in_place(delta, grad), moments["m"], moments["v"], beta1, beta2, rate, scale, eps)
