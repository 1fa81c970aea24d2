"""Singular values of ∂h_t/∂h_k: by how much a small change of h_k can grow or shrink on its way to h_t.

    ∂h_t/∂h_k = Π_{i = k+1 … t} diag(φ′(a_i)) · W_hh        ‖∂h_t/∂h_k‖ ≤ (γ · ‖W_hh‖)^(t − k),  γ = max φ′

The bound is the chapter's reason for vanishing gradients: below 1 they must vanish, above 1 they may explode. The
singular values say what happens in the directions in between.
Source: chapter, 梯度消失和梯度爆炸; Pascanu, Mikolov and Bengio 2013, section 2.2 and eq. 7.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ... import _hints, network
from ..._arrays import map_arrays, to_numpy
from ..._numerics import any_magnitude
from ..._progress import progress_bar
from ...backends.row_blocks import run_in_workspace
from ...layers import recurrent
from ...layers.recurrent import RecurrentLayer
from ...model import SequenceModel
from .products import product_spectrum

GAMMA = 1.0  # the largest slope of tanh, and of relu


class JacobianSpectrum(NamedTuple):
    """Singular values of ∂h_t/∂h_{t−lag} along one row, t its last step, for lag = 0 … K."""

    log10: np.ndarray  # (K + 1, H): log10 of the singular values, descending; −inf where exactly 0
    radius: float  # the largest |eigenvalue| of W_hh
    norm: float  # ‖W_hh‖₂, its largest singular value
    gamma: float = GAMMA  # the largest slope that the nonlinearity can have

    @property
    def log10_condition(self) -> np.ndarray:
        """(K + 1,): log10 of largest / smallest singular value; inf where the smallest is 0."""
        smallest = self.log10[:, -1]
        return np.where(np.isfinite(smallest), self.log10[:, 0] - np.where(np.isfinite(smallest), smallest, 0), np.inf)

    @property
    def log10_bound(self) -> np.ndarray:
        """(K + 1,): log10 of (γ · ‖W_hh‖)^lag, which no singular value exceeds."""
        factor = self.gamma * self.norm
        lag = np.arange(len(self.log10))
        return lag * np.log10(factor) if factor > 0 else np.where(lag == 0, 0.0, -np.inf)

    def __repr__(self) -> str:
        K, H = len(self.log10) - 1, self.log10.shape[1]
        return (
            f"JacobianSpectrum(H={H}, lag 0 … {K}, log10 of singular values at lag {K}: {self.log10[-1, 0]:.4g} … "
            f"{self.log10[-1, -1]:.4g}, spectral radius {self.radius:.4g}, norm {self.norm:.4g})"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the fan of singular values against the lag, with the bound. Returns the matplotlib axes."""
        from ...plots import plot_spectrum

        return plot_spectrum(self, ax)


@any_magnitude
def jacobian_spectrum(
    model: Any,
    x: Any,
    *,
    h0: Any = None,
    lengths: Any = None,
    row: int = 0,
    cell: int = -1,
    progress: bool = True,
) -> JacobianSpectrum:
    """Singular values of ∂h_t/∂h_{t−lag} of one recurrent cell along one row, for every lag from its last step back.

    Parameters
    ----------
    x, h0, lengths : as `model.forward`; only the chosen row is looked at.
    row : n, which sequence. K is its number of steps, and at lag K stands ∂h_last/∂h0.
    cell : which recurrence, in the order of `flow.layers` (bottom to top; in a layer level by level, forward before
        reverse); −1 is the top one. A reverse cell has its own time: its last step is the one at x_0. Only the path
        through the cell's own states counts.
    progress : show a progress bar for what takes more than a few seconds.

    The states are those of the model's own forward pass; the products are taken in float64, whatever its dtype.
    Nothing under- or overflows at any length. Each step adds a relative error of about 1e-16 times the condition number
    of diag(slope) · W_hh to the smallest singular value, less to larger ones: after a hundred steps log10 is usually
    right to 12 digits after the point, and to 8 where slopes go down to 1e-8 (saturation, where 1 − h² has lost as many
    digits itself). A singular value is exactly 0 (−inf) where dead units make it so: relu at 0, tanh at ±1.
    Raises TypeError, ValueError or IndexError for what does not fit.

    >>> from scratchrnn import VanillaRNN
    >>> spectrum = jacobian_spectrum(VanillaRNN(2, 3, 1), np.ones((4, 50, 2)))
    >>> spectrum.log10.shape, bool((spectrum.log10[:, 0] <= spectrum.log10_bound + 1e-12).all())
    ((51, 3), True)
    """
    h, slopes, W_hh = cell_states(model, x, h0, lengths, row, cell)
    finite = np.isfinite(h).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"the states of row {row} are not finite from step {int(finite.argmin()) - 1} of this cell on, and have no "
            "Jacobians; check the weights for NaN and for numbers that are too large"
        )
    lags = progress_bar(
        product_spectrum(slopes, W_hh),
        total=len(h),
        unit="lag",
        delay=2,
        leave=False,
        show=progress,
    )
    logs = np.array(list(lags))  # refuses what is not finite before the eigenvalues are asked for
    radius = float(np.abs(np.linalg.eigvals(W_hh)).max())
    return JacobianSpectrum(logs / np.log(10), radius, float(np.linalg.norm(W_hh, 2)))


def cell_states(
    model: Any, x: Any, h0: Any, lengths: Any, row: int, cell: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One cell along one row in its own time, in float64: its states (K + 1, H), and ∂h_t/∂h_{t−1} in two factors.

    These are its slopes (K, H), which stand on a diagonal, and its W_hh.
    """
    _hints.check_order("jacobian_spectrum(model, x)", model, [x], SequenceModel)
    if not isinstance(model, SequenceModel):
        raise TypeError(
            f"expected a SequenceModel or VanillaRNN, got {type(model).__name__}; of an EncoderDecoder pass its "
            "encoder or its decoder"
        )
    x, states, lengths, _ = model.check_inputs(x, h0, lengths)
    T, N = x.shape[:2]
    if not -N <= row < N:
        raise IndexError(f"row {row} of {N} rows does not exist")
    row %= N
    K = T if lengths is None else int(to_numpy(lengths)[row])
    x = model.device.xp.ascontiguousarray(x[:K, row : row + 1])
    states = map_arrays(lambda state: state[..., row : row + 1, :], states)

    def of_cells() -> list[Any]:
        traces = network.run(model.network, model.params, x, states, None).traces
        found = []
        for i, layer in enumerate(model.layers):
            if not isinstance(layer, RecurrentLayer):
                continue
            own = model.network.own(i, model.params)
            for j, trace in enumerate(getattr(traces[i], "cells", (traces[i],))):
                params = recurrent.own(own, layer.cell.symbols, j, layer.bidirectional)
                trace = map_arrays(lambda a: to_numpy(a).astype(np.float64), trace)
                found.append((layer.cell.states(trace), *layer.cell.step_jacobians(params, trace, **layer.options)))
        return found

    cells = run_in_workspace(model.device, lambda: tuple(of_cells()))
    if not -len(cells) <= cell < len(cells):
        raise IndexError(f"cell {cell} does not exist: this model has {len(cells)} recurrent cells")
    h, slopes, W_hh = cells[cell]
    return h[:, 0], slopes[:, 0], to_numpy(W_hh).astype(np.float64)
