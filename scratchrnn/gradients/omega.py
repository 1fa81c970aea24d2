"""Pascanu's regulariser Ω: gradients that neither grow nor shrink on their way back through time.

    Ω = Σ_t (ρ_t − 1)²        ρ_t = ‖(∂L/∂h_t) · ∂h_t/∂h_{t−1}‖ / ‖∂L/∂h_t‖ = ‖W_hhᵀ · ∂L/∂a_t‖ / ‖∂L/∂h_t‖

over the steps of a row, then averaged over the rows. Its gradient is the *immediate* one: every h_t and ∂L/∂h_t is
held fixed, and W_hh is moved only where it stands in ∂h_t/∂h_{t−1} = diag(φ′(a_t)) · W_hh. With u_t = ∂L/∂a_t /
‖∂L/∂h_t‖ and z_t = W_hhᵀ · u_t, so that ρ_t = ‖z_t‖:

    ∂⁺Ω_t/∂W_hh = 2 · (ρ_t − 1) / ρ_t · u_t · z_tᵀ

Neither depends on the size of ∂L/∂h_t, only on its direction. Steps that no gradient reaches do not count.
Source: Pascanu, Mikolov and Bengio 2013, "On the difficulty of training recurrent neural networks", eq. 9 and 10.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .. import network
from .._arguments import normalize, not_negative
from .._arrays import Array, namespace, to_numpy
from .._numerics import any_magnitude
from ..backends.base import Backend
from ..layers import rnn
from ..model import SequenceModel
from ..parameters import Parameters


def omega(W_hh: Array, da: Array, norms: Array) -> tuple[Any, Array, Array]:
    """Ω of one cell, ∂⁺Ω/∂W_hh beside it, and ρ (T, N), NaN where no gradient arrives.

    W_hh (H, H); da (T, N, H) is ∂L/∂a_t; norms (T, N) is ‖∂L/∂h_t‖ of every row.
    """
    xp = namespace(norms)
    N, H = da.shape[1:]
    reached = norms > 0
    u = da / xp.where(reached, norms, 1)[..., None]  # (T, N, H)
    z = u @ W_hh  # (T, N, H): W_hhᵀ · u_t
    rho = xp.sqrt((z**2).sum(axis=-1))
    excess = xp.where(reached, rho - 1, 0) / N
    value = (excess * (rho - 1)).sum()

    factor = 2 * excess / xp.where(rho == 0, 1, rho)  # at ρ = 0, which has no derivative, z makes it 0
    grad = u.reshape(-1, H).T @ (factor[..., None] * z).reshape(-1, H)
    return value, grad, xp.where(reached, rho, math.nan)


class OmegaValue(NamedTuple):
    """Ω of a minibatch."""

    value: float  # over all recurrent cells
    grads: dict[str, Array]  # ∂⁺Ω/∂W_hh of every cell, under the name of its W_hh in `model.params`
    ratios: dict[str, Array]  # under the same names: ρ (N, T) in the cell's own time, NaN where no gradient arrives

    def __repr__(self) -> str:
        cells = "".join(f", {name}: {_range(to_numpy(ratio))}" for name, ratio in self.ratios.items())
        return f"OmegaValue(Ω = {self.value:.4g}{cells})"


@dataclass(frozen=True)
class Omega:
    """Pascanu's regulariser as `fit(…, regularizer=Omega(weight))`: weight · ∂⁺Ω/∂W_hh is added to every gradient.

        Ω = (1/N) · Σ_n Σ_t (‖(∂L/∂h_t) · ∂h_t/∂h_{t−1}‖ / ‖∂L/∂h_t‖ − 1)²

    It is that of the network without dropout, costs a second pass, and is there before gradients are clipped. The
    losses of the history stay L alone. Each recurrent cell of a `SequenceModel` or `VanillaRNN` has its own Ω, on every
    backend.
    Source: Pascanu, Mikolov and Bengio 2013, eq. 9 and 10; `gradients/omega.py` has the equations.

    >>> import numpy as np
    >>> from scratchrnn import VanillaRNN
    >>> model = VanillaRNN(1, 4, 1, init="orthogonal")
    >>> Omega(0.1).measure(model, np.zeros((2, 30, 1)), np.ones((2, 30, 1))).value < 1e-20
    True
    """

    weight: float

    def __post_init__(self) -> None:
        normalize(self, weight=not_negative)

    @any_magnitude
    def measure(
        self, model: Any, x: Any, target: Any, h0: Any = None, steps: Any = "all", lengths: Any = None
    ) -> OmegaValue:
        """Ω, its gradient (without the weight) and the ratios ρ; arguments as `model.loss_and_grads`."""
        self.check(model)
        backend, params = model._backend, model.params
        batch = model._check_batch(x, target, h0, steps, lengths).block(slice(None))
        results: dict[str, Any] = {}

        def see(W_hh: Array, da: Array, norms: Array) -> None:
            name = next(name for name, own in params.items() if own is W_hh)
            results[name] = omega(W_hh, da, norms)

        cell = partial(cell_backward, see, backend)
        layers = [
            layer._replace(
                backward=cell if layer.backward is rnn.backward else partial(layer.backward, recurrence=cell)
            )
            if layer.recurrent
            else layer
            for layer in model._network.layers
        ]
        unused = [(slice(0, batch.batch_rows), params.like(backend.xp.empty_like(params.vector)))]
        network.block_grads(model._network._replace(layers=tuple(layers)), backend, params, batch, unused)
        found = {name: results[name] for name in params if name in results}
        return OmegaValue(
            sum(float(value) for value, _, _ in found.values()),
            {name: grad.astype(model.dtype) for name, (_, grad, _) in found.items()},
            {name: ratio.T for name, (_, _, ratio) in found.items()},
        )

    @any_magnitude
    def add(self, model: Any, grads: Parameters, **arguments: Any) -> None:
        """grads += weight · ∂⁺Ω/∂W_hh, in place; arguments as `measure`."""
        for name, grad in self.measure(model, **arguments).grads.items():
            grads[name][...] += self.weight * grad

    def check(self, model: Any) -> None:
        """TypeError for a model that has no Ω."""
        if not isinstance(model, SequenceModel):
            raise TypeError(f"Omega needs a SequenceModel or VanillaRNN, got {type(model).__name__}")


def _range(ratio: np.ndarray) -> str:
    """ρ from its least to its greatest."""
    there = ratio[~np.isnan(ratio)]
    return f"ρ {there.min():.3g} … {there.max():.3g}" if there.size else "no gradient arrives"


def cell_backward(
    see: Callable[[Array, Array, Array], None],
    backend: Backend,
    params: Mapping[str, Array],
    dy: Array,
    trace: rnn.Trace,
    dstate: Array,
    *,
    inputs: bool = True,
    nonlinearity: str = "tanh",
) -> tuple[Array | None, Array, dict[str, Array], rnn.Flow]:
    """`rnn.backward` without gradients of parameters; see(W_hh, ∂L/∂a, ‖∂L/∂h‖) is called with what it went by.

    With the identity in place of W_xh, the ∂L/∂x_t of `rnn.backward` or its twin is ∂L/∂a_t.
    """
    xp, W_hh = backend.xp, params["W_hh"]
    by_itself = {"W_xh": xp.eye(len(W_hh), dtype=W_hh.dtype), "W_hh": W_hh, "b_h": params["b_h"]}
    added = rnn.Trace(xp.zeros(dy.shape, dy.dtype), trace.h, trace.valid)
    da, dstate, _, flow = backend.twin(rnn.backward)(
        by_itself, dy, added, dstate, inputs=True, nonlinearity=nonlinearity
    )
    see(W_hh, da, flow.row_norms)
    dx = da @ params["W_xh"] if inputs else None
    return dx, dstate, {}, flow
