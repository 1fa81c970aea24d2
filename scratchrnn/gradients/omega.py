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
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import network
from .._arguments import normalize, not_negative
from .._arrays import Array, namespace, to_numpy
from .._numerics import any_magnitude, reverse_time
from ..backends.row_blocks import run_in_workspace
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
        batch = model.check_batch(x, target, h0, steps, lengths)
        cells = run_in_workspace(model.device, lambda: tuple(_of_cells(model, batch)))
        return OmegaValue(
            sum(float(value) for _, value, _, _ in cells),
            {name: grad.astype(model.dtype) for name, _, grad, _ in cells},
            {name: ratio.T for name, _, _, ratio in cells},
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


def _of_cells(model: Any, batch: network.Batch) -> Iterator[tuple[str, Any, Array, Array]]:
    """The name of W_hh, Ω, ∂⁺Ω/∂W_hh and ρ (T, N) of every cell, from the error signals of a backward pass."""
    net, params = model.network, model.params
    _, dy, forward = network.with_loss(net, params, batch)
    result = network.backward(net, params, forward, dy, batch_rows=1, selection=batch.selection)
    T = len(batch.x)
    norms = iter(result.flow.layers)  # in the time of x
    for layer, symbols, signals in zip(model.layers, net.symbols, result.da, strict=True):
        if not layer.recurrent:
            continue
        names = [name for symbol, name in symbols if symbol.startswith("W_hh")]
        for i, (name, da) in enumerate(zip(names, signals if isinstance(signals, tuple) else (signals,), strict=True)):
            of_rows = next(norms).per_sample.T  # (T, N)
            of_rows = reverse_time(of_rows, batch.lengths) if i % layer.directions else of_rows  # the cell's own time
            if len(da) < T:  # steps at which every row is over are left out
                da = namespace(da).concatenate([da, namespace(da).zeros((T - len(da), *da.shape[1:]), da.dtype)])
            yield name, *omega(params[name], da, of_rows)
