"""The decay of ‖∂L/∂h_t‖ with the lag, for networks of several spectral radii: measured, and as a table."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping

import numpy as np

from ..._arrays import to_numpy
from ...model import VanillaRNN

RADIUS = 2.0  # of the network that is measured in full, and of the remedies, where nothing else is asked for


def lag_norms(radius: float, arguments: Namespace) -> np.ndarray:
    """(T,): ‖∂L/∂h_t‖ per sample at lag 0, 1, …, T − 1, the median over sequences."""
    rng = np.random.default_rng(arguments.seed)
    N, T = arguments.batch_size, arguments.time
    model = network(radius, arguments)
    x = rng.normal(0, arguments.input_scale, (N, T, 1))
    flow = model.loss_and_grads(x, rng.normal(size=(N, 1)), steps="last").flow
    return np.median(to_numpy(flow.per_sample), axis=0)[::-1]


def network(radius: float, arguments: Namespace) -> VanillaRNN:
    """A new VanillaRNN(1, H, 1) whose W_hh has this spectral radius."""
    model = VanillaRNN(
        1, arguments.hidden_size, 1, backend=arguments.backend, dtype=arguments.dtype, seed=arguments.seed
    )
    set_spectral_radius(model, radius)
    return model


def set_spectral_radius(model: VanillaRNN, radius: float) -> None:
    """Scale W_hh so that its largest eigenvalue has this absolute value."""
    W_hh = to_numpy(model.params["W_hh"])
    model.params["W_hh"] = W_hh * (radius / np.abs(np.linalg.eigvals(W_hh)).max())


def decay_rows(curves: Mapping[float, np.ndarray]) -> list[list[str]]:
    """Norms at a few lags, and the factor per step that leads from the first to the last; the head of the table first.

    >>> decay_rows({0.5: 0.5 ** np.arange(5.0)})
    [['radius', 'lag 0', 'lag 1', 'lag 2', 'lag 4', 'per step'],
     ['0.5', '1.0e+00', '5.0e-01', '2.5e-01', '6.2e-02', '× 0.500']]
    """
    longest = max(len(curve) for curve in curves.values()) - 1
    lags = sorted({0, longest // 10, longest // 4, longest // 2, longest})
    rows = [["radius", *(f"lag {lag}" for lag in lags), "per step"]]
    for radius, curve in curves.items():
        there = np.append(np.isfinite(curve) & (curve > 0), False)
        last = max(int(there.argmin()) - 1, 0)
        factor = f"× {(curve[last] / curve[0]) ** (1 / last):.3f}" if last else "–"
        rows.append([f"{radius:g}", *(_norm(curve[lag]) for lag in lags), factor])
    return rows


def _norm(value: float) -> str:
    if not np.isfinite(value):
        return "overflow"
    return "0" if value == 0 else f"{value:.1e}"


def table(curves: Mapping[float, np.ndarray]) -> str:
    """The same for a terminal."""
    lines = ["‖∂L/∂h_t‖ per sample at lag T − 1 − t"]
    for radius, *cells in decay_rows(curves):
        lines.append(f"{radius:>8}" + "".join(f"{cell:>11}" for cell in cells))
    return "\n".join(lines)
