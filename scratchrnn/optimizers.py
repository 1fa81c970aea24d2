"""Optimizers on the flat vector: hyper-parameters that never change, and update rules as pure functions.

An optimizer object holds hyper-parameters only. Its running averages are a dict of vectors that `init` makes and the
history of a training run keeps, so one object can serve many runs. A backend may have a kernel for each rule below:
it advances the averages in place, leaves in `delta`, which may be `grad` itself, what is to be subtracted from the
parameters, and returns nothing.

Every optimizer takes `weight_decay` λ, decoupled from the gradient and its averages: θ ← θ − η·λ·θ − δ, so that each
update shrinks the weights by the same factor 1 − η·λ whatever the rule makes of the gradient. With Adam that is AdamW
(Loshchilov and Hutter 2019, algorithm 2), with plain SGD the same as a penalty ½·λ·‖θ‖² on the loss. It acts on every
parameter, biases included, as PyTorch's AdamW does: to an optimizer the parameters are one vector.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol

from ._arguments import real
from ._arrays import Array, namespace
from ._numerics import expected_underflow
from .backends.base import Backend

Moments = dict[str, Array]  # running averages by name, each as long as the parameter vector


@expected_underflow
def sgd(delta: Array, grad: Array, moments: Moments, step: int, learning_rate: float, momentum: float) -> None:
    """m ← μ·m + g (m = g at first);  δ = η·m. Without momentum δ = η·g."""
    if momentum:
        m = moments["m"]
        m *= momentum
        m += grad
        grad = m
    namespace(grad).multiply(grad, learning_rate, out=delta)


@expected_underflow
def adagrad(delta: Array, grad: Array, moments: Moments, step: int, learning_rate: float, eps: float) -> None:
    """v ← v + g²;  δ = η·g / (√v + ε). Source: Duchi, Hazan and Singer 2011."""
    v = moments["v"]
    v += grad * grad
    delta[...] = learning_rate * grad / (namespace(v).sqrt(v) + eps)


@expected_underflow
def rmsprop(
    delta: Array, grad: Array, moments: Moments, step: int, learning_rate: float, decay: float, eps: float
) -> None:
    """v ← α·v + (1 − α)·g²;  δ = η·g / (√v + ε). Source: Hinton, Coursera lecture 6e, 2012."""
    v = moments["v"]
    v *= decay
    v += (1 - decay) * (grad * grad)
    delta[...] = learning_rate * grad / (namespace(v).sqrt(v) + eps)


@expected_underflow
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
    """m ← β₁·m + (1 − β₁)·g;  v ← β₂·v + (1 − β₂)·g²;  δ = η · m̂ / (√v̂ + ε), m̂ = m / (1 − β₁ˢ), v̂ = v / (1 − β₂ˢ).

    s counts updates from 1. Source: Kingma and Ba 2015, algorithm 1.
    """
    m, v = moments["m"], moments["v"]
    m *= beta1
    m += (1 - beta1) * grad
    v *= beta2
    v += (1 - beta2) * (grad * grad)
    size = learning_rate / (1 - beta1**step)
    delta[...] = size * m / (namespace(v).sqrt(v) * (1 - beta2**step) ** -0.5 + eps)


@expected_underflow
def subtract(vector: Array, delta: Array) -> bool:
    """θ ← θ − δ, unless an entry of δ is not finite; returns whether all were."""
    if not namespace(delta).isfinite(delta).all():
        return False
    vector -= delta
    return True


@expected_underflow
def decay_weights(delta: Array, vector: Array, rate: float) -> None:
    """δ ← δ + rate·θ: weight decay."""
    delta += rate * vector


class Optimizer(Protocol):
    """What `fit` needs of an optimizer."""

    @property
    def learning_rate(self) -> float: ...

    def init(self, vector: Array) -> Moments: ...

    def step(
        self, delta: Array, grad: Array, moments: Moments, step: int, backend: Backend, vector: Array | None = None
    ) -> None: ...


@dataclass(frozen=True)
class _Rule:
    """Shared by the rules: the averages they keep, and the call with hyper-parameters in declared order."""

    learning_rate: float
    weight_decay: float = field(default=0.0, kw_only=True)

    _keeps: ClassVar[tuple[str, ...]] = ()
    _text: ClassVar[Any]

    def __post_init__(self) -> None:
        for name in [each.name for each in fields(self) if each.type in ("float", float)]:
            value = real(f"{type(self).__name__}: {name}", getattr(self, name), "a number")
            lower = 0 <= value if name != "learning_rate" else 0 < value
            upper = value < 1 if name in ("momentum", "decay", "beta1", "beta2") else math.isfinite(value)
            if not (lower and upper):
                raise ValueError(f"{type(self).__name__}: {name}={value} is out of range")
            object.__setattr__(self, name, value)

    def _hyper(self) -> dict[str, float]:
        """What the rule's text needs: all but weight_decay."""
        return {name: value for name, value in vars(self).items() if name != "weight_decay"}

    def init(self, vector: Array) -> Moments:
        """Averages of a training run that has not begun: zeros."""
        return {name: namespace(vector).zeros_like(vector) for name in self._keeps}

    def step(
        self, delta: Array, grad: Array, moments: Moments, step: int, backend: Backend, vector: Array | None = None
    ) -> None:
        """Write into delta what update number `step` (from 1) subtracts from the parameters; advance the averages.

        delta may be grad itself. vector holds the parameters, which weight decay needs.
        """
        backend.kernel(self._text)(delta, grad, moments, step, **self._hyper())
        if self.weight_decay:
            if vector is None:
                raise TypeError(
                    f"{self}: weight decay needs the parameters as well; call step(…, vector=params.vector)"
                )
            decay_weights(delta, vector, self.learning_rate * self.weight_decay)


@dataclass(frozen=True)
class SGD(_Rule):
    """Stochastic gradient descent, with momentum μ where asked for: m ← μ·m + g; θ ← θ − η·m."""

    learning_rate: float = 0.01
    momentum: float = 0.0

    _text = staticmethod(sgd)

    def init(self, vector: Array) -> Moments:
        """The velocity, zero at first; nothing without momentum."""
        return {"m": namespace(vector).zeros_like(vector)} if self.momentum else {}


@dataclass(frozen=True)
class Adagrad(_Rule):
    """Adagrad: θ ← θ − η·g / (√Σg² + ε). Source: Duchi, Hazan and Singer 2011."""

    learning_rate: float = 0.01
    eps: float = 1e-10

    _text = staticmethod(adagrad)
    _keeps = ("v",)


@dataclass(frozen=True)
class RMSProp(_Rule):
    """RMSProp: θ ← θ − η·g / (√v + ε), v a running mean of g² with decay α. Source: Hinton, lecture 6e, 2012."""

    learning_rate: float = 0.01
    decay: float = 0.99
    eps: float = 1e-8

    _text = staticmethod(rmsprop)
    _keeps = ("v",)


@dataclass(frozen=True)
class Adam(_Rule):
    """Adam: θ ← θ − η · m̂ / (√v̂ + ε). Source: Kingma and Ba 2015, algorithm 1."""

    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    _text = staticmethod(adam)
    _keeps = ("m", "v")
