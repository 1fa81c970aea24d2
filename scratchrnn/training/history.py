"""What a training run leaves behind: its losses, its gradient norms, and what is needed to go on with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..optimizers import Moments, Optimizer
from .flow_record import FlowRecord


class CallbackState(NamedTuple):
    """What a callback needs to go on in a later call of `fit`."""

    type: str  # module and name of its class
    arguments: Mapping[str, Any]  # what it was made with
    state: Mapping[str, Any]  # what its `state_dict` returned


@dataclass
class History:
    """A training run.

    loss, val_loss : per epoch, weighted by counted steps; val_loss is empty without validation.
    grad_norm, clipped : per update, the global norm before clipping and whether clipping changed the gradient.
    flow : per-step norms ‖∂L/∂h_t‖ over the run (`FlowRecord`), in bounded memory; with track="all" also their spread
        over rows, saturated units, gradient norms and update ratios of every tensor.
    interrupted : True when Ctrl-C ended the run.

    The remaining fields are what `fit(resume=history)` needs to go on as if it had never stopped.
    """

    optimizer: Optimizer
    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    grad_norm: list[float] = field(default_factory=list)
    clipped: list[bool] = field(default_factory=list)
    flow: FlowRecord = field(default_factory=FlowRecord)
    interrupted: bool = False
    moments: Moments = field(default_factory=dict)
    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    callbacks: list[CallbackState] = field(default_factory=list)

    def end_epoch(self, loss: float, val_loss: float | None) -> None:
        """Record an epoch. Earlier epochs without validation count as NaN, so that the lists stay in step."""
        self.loss.append(loss)
        if val_loss is not None:
            self.val_loss += [math.nan] * (len(self.loss) - 1 - len(self.val_loss)) + [val_loss]

    @property
    def latest(self) -> float:
        """What the last epoch is judged by: its validation loss, or its training loss where it has none."""
        return self.val_loss[-1] if self.validated else self.loss[-1]

    @property
    def validated(self) -> bool:
        """Whether the last epoch has a validation loss."""
        return bool(self.loss) and len(self.val_loss) == len(self.loss)

    @property
    def epochs(self) -> int:
        """Finished epochs."""
        return len(self.loss)

    @property
    def updates(self) -> int:
        """Finished updates."""
        return len(self.grad_norm)

    def __repr__(self) -> str:
        losses = f", loss {self.loss[-1]:.4g}" if self.loss else ""
        losses += f", val_loss {self.val_loss[-1]:.4g}" if self.val_loss else ""
        clipped = f", clipped {np.mean(self.clipped):.0%}" if any(self.clipped) else ""
        stopped = ", interrupted" if self.interrupted else ""
        return f"History({self.epochs} epochs, {self.updates} updates{losses}{clipped}{stopped})"

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss per epoch, and the validation loss, on a log scale. Returns the matplotlib axes."""
        from ..plots import plot_loss

        return plot_loss(self, ax)

    def plot_gradients(self, fig: Any = None, *, clip_norm: float | None = None) -> Any:
        """Draw ‖∂L/∂h_t‖ over time steps and updates beside the global norm per update, with the limit that is given.

        Below stands what else was tracked. Returns the figure.
        """
        from ..plots import plot_gradients

        return plot_gradients(self, fig, clip_norm=clip_norm)
