"""Everything there is to see of the gradients of one batch, in one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _hints
from .._arrays import Array, to_numpy
from .._numerics import any_magnitude
from .._progress import progress_bar
from .._summary import layer_name
from ..model import SequenceModel
from ..network import Batch
from . import maps
from .clip import global_norm
from .flow import Flow, LayerFlow, cell_names

if TYPE_CHECKING:
    from .jacobians.spectrum import JacobianSpectrum


@dataclass(frozen=True, repr=False)
class GradientFlow:
    """The gradients of one batch, as `gradient_flow` saw them.

    loss : L.
    flow : ‖∂L/∂h_t‖ of every recurrent layer, the `Flow` of `loss_and_grads`; `norms`, `per_sample`, `layers` and
        `flushed` are its own.
    grad_norms : ‖∂L/∂θ‖ of every parameter by its name.
    saturated (cells, T) : fraction of units whose slope is (nearly) 0, |h| > 0.999 of tanh and h = 0 of relu, for every
        recurrent cell from bottom to top; NaN at steps where all rows are over.
    lag_map (T, T) : [t, k] is ‖∂L_t/∂h_k‖ of the top recurrent layer: the root mean square, over the rows that count at
        t, of ‖∂L_nt/∂h_k[n]‖. NaN where no row counts, and for k > t (with both directions they are there).
    input_map (T, T) : [t, k] is ‖∂y_t/∂x_k‖, the root mean square over rows of the Frobenius norm; NaN likewise.
    spectrum : singular values of ∂h_t/∂h_k, the `JacobianSpectrum` of the first row in the top recurrent layer; of one
        with both directions that of its forward cell.

    about : what was measured in a line: the network, the batch, and what the loss counts.

    Maps and spectrum are None where they were not asked for.
    """

    loss: float
    flow: Flow
    grad_norms: dict[str, float]
    saturated: np.ndarray
    lag_map: np.ndarray | None = None
    input_map: np.ndarray | None = None
    spectrum: JacobianSpectrum | None = None
    about: str = ""

    @property
    def cells(self) -> list[str]:
        """What the entries of `layers` and the rows of `saturated` are called, by level and direction."""
        return cell_names(len(self.layers), self.flow.directions, self.grad_norms)

    @property
    def norms(self) -> Array:
        """(T,) float64: ‖∂L/∂h_t‖ of the top recurrent layer over batch and hidden units."""
        return self.flow.norms

    @property
    def per_sample(self) -> Array:
        """(N, T) float64: N · ‖∂L/∂h_t[n]‖ of the top recurrent layer."""
        return self.flow.per_sample

    @property
    def layers(self) -> tuple[LayerFlow, ...]:
        """Norms of every recurrent layer, bottom to top."""
        return self.flow.layers

    @property
    def flushed(self) -> Array:
        """(T,) int: entries of ∂L/∂h_t set to 0 because they were subnormal."""
        return self.flow.flushed

    def __repr__(self) -> str:
        seen = [name for name in ("lag_map", "input_map", "spectrum") if getattr(self, name) is not None]
        return f"GradientFlow(loss {self.loss:.4g}, {self.flow!r}{''.join(f', {name}' for name in seen)})"

    def plot(self, fig: Any = None) -> Any:
        """Draw all of it. Returns the matplotlib figure."""
        from ..plots import plot_gradient_flow

        return plot_gradient_flow(self, fig)


@any_magnitude
def gradient_flow(
    model: SequenceModel,
    x: Any,
    target: Any,
    *,
    h0: Any = None,
    steps: Any = "all",
    lengths: Any = None,
    lag_map: bool = True,
    input_map: bool = True,
    spectrum: bool = True,
    progress: bool = True,
) -> GradientFlow:
    """What a batch sends back through time: norms, saturation, which step depends on which, and Jacobian spectra.

    Parameters
    ----------
    x, target, h0, steps, lengths : as `model.loss_and_grads`.
    lag_map : also ‖∂L_t/∂h_k‖ for all pairs of steps: as long as T backward passes.
    input_map : also ‖∂y_t/∂x_k‖ ("what did this output look at?"): min(O, H) times as long.
    spectrum : also the singular values of ∂h_t/∂h_k, for the first row.
    progress : show a progress bar where it takes long (never where standard error is no terminal).

    The maps take memory for a bounded number of rows and steps at a time. Layers that are random in training are not
    random here. Raises what `loss_and_grads` raises, and TypeError for a model that is no SequenceModel.

    >>> from scratchrnn import VanillaRNN
    >>> rng = np.random.default_rng(0)
    >>> model = VanillaRNN(2, 4, 3, backend="numpy")
    >>> seen = gradient_flow(model, rng.normal(size=(2, 5, 2)), rng.normal(size=(2, 5, 3)), spectrum=False)
    >>> seen.lag_map.shape, seen.saturated.shape
    ((5, 5), (1, 5))
    """
    _hints.check_order("gradient_flow(model, x, target)", model, [x, target], SequenceModel)
    if not isinstance(model, SequenceModel):
        raise TypeError(
            f"gradient_flow looks into a SequenceModel, got {type(model).__name__}; of an EncoderDecoder pass its "
            "decoder, with x=model.shifted(target) and h0=model.encoder.forward(x).h_last"
        )
    given: dict[str, Any] = {"h0": h0, "steps": steps, "lengths": lengths}
    result = model.loss_and_grads(x, target, **given, saturation=True)
    batch = model.check_batch(x, target, h0, steps, lengths)
    wanted = {"lag_map": (maps.lag_map, lag_map), "input_map": (maps.input_map, input_map)}
    seen: dict[str, Any] = {}
    total = maps.blocks(model, batch) * len(batch.x) * (bool(lag_map) + bool(input_map))
    with progress_bar(total=total, unit="step", delay=2, leave=False, show=progress) as bar:
        for name, (compute, asked) in wanted.items():
            if asked:
                seen[name] = compute(model, batch, bar.update)
    if spectrum:
        from .jacobians.spectrum import jacobian_spectrum

        cell = -result.flow.directions  # forward, as the lag map's k ≤ t: its bound is that of this W_hh
        seen["spectrum"] = jacobian_spectrum(model, x, h0=h0, lengths=lengths, cell=cell, progress=progress)
    return GradientFlow(
        float(result.loss),
        result.flow,
        {name: global_norm(grad) for name, grad in result.grads.items()},
        np.stack([to_numpy(layer.saturated) for layer in result.flow.layers]),
        **seen,
        about=_about(model, batch, steps, float(result.loss)),
    )


def _about(model: SequenceModel, batch: Batch, steps: Any, loss: float) -> str:
    """The network, N and T, and the loss, in a line.

    >>> from scratchrnn import VanillaRNN
    >>> x = np.zeros((2, 5, 1))
    >>> gradient_flow(VanillaRNN(1, 4, 3, backend="numpy"), x, np.zeros((2, 3)), steps="last", spectrum=False).about
    'RNN(1 → 4), Linear(4 → 3): N = 2, T = 5, loss mse 0 on the last step'
    """
    layers = ", ".join(layer_name(layer) for layer in model.layers)
    counted = {"all": "every step", "last": "the last step"}[steps] if isinstance(steps, str) else "chosen steps"
    T, N = batch.x.shape[:2]
    return f"{layers}: N = {N}, T = {T}, loss {model.loss_name} {loss:.3g} on {counted}"
