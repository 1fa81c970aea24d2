"""What a training run leaves behind: its losses, its gradient norms, and what is needed to go on with it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .backends.arrays import to_numpy
from .gradients.flow import Flow
from .optimizers import Moments, Optimizer

MAX_FLOW_ROWS = 512


@dataclass(repr=False)
class FlowRecord:
    """‖∂L/∂h_t‖ over time steps and updates, thinned evenly to at most MAX_FLOW_ROWS rows.

    When the rows run out every second one is dropped and twice as many updates are skipped from then on, so that the
    rows kept are always evenly spaced over the whole run.
    """

    updates: list[int] = field(default_factory=list)  # number of the update, from 1, that each row belongs to
    batch_rows: list[int] = field(default_factory=list)  # N of that minibatch
    every: int = 1  # one update in so many has a row
    _norms: list[np.ndarray] = field(default_factory=list)

    def add(self, update: int, flow: Flow) -> None:
        """Record one update, or pass over it."""
        if len(self) == MAX_FLOW_ROWS and (update - 1) % self.every == 0:
            self.every *= 2
            self.updates, self.batch_rows, self._norms = self.updates[::2], self.batch_rows[::2], self._norms[::2]
        if (update - 1) % self.every == 0:
            self.keep(update, to_numpy(flow.norms), len(flow.per_sample))

    def keep(self, update: int, norms: np.ndarray, batch_rows: int) -> None:
        """Append a row."""
        self.updates.append(update)
        self.batch_rows.append(batch_rows)
        self._norms.append(norms)

    def __len__(self) -> int:
        return len(self.updates)

    def __repr__(self) -> str:
        return f"FlowRecord({len(self)} updates × {self.norms.shape[1]} time steps, every {self.every})"

    @property
    def norms(self) -> np.ndarray:
        """(rows, T) float64: ‖∂L/∂h_t‖ of the top recurrent layer; NaN past the end of shorter sequences."""
        table = np.full((len(self._norms), max((len(row) for row in self._norms), default=0)), np.nan)
        for i, row in enumerate(self._norms):
            table[i, : len(row)] = row
        return table

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.norms if dtype is None else self.norms.astype(dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.norms[index]

    @property
    def per_sample(self) -> np.ndarray:
        """(rows, T): √N · ‖∂L/∂h_t‖, the root mean square over rows of N · ‖∂L/∂h_t[n]‖.

        The norm of a mean loss's gradient shrinks as 1/√N; this does not, so minibatches of different size compare.
        """
        return self.norms * np.sqrt(np.array(self.batch_rows, dtype=float))[:, None]


@dataclass
class History:
    """A training run.

    loss, val_loss : per epoch, weighted by counted steps; val_loss is empty without validation.
    grad_norm, clipped : per update, the global norm before clipping and whether clipping changed the gradient.
    flow : per-step norms ‖∂L/∂h_t‖ over the run (`FlowRecord`), within a bounded number of rows.
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

    def end_epoch(self, loss: float, val_loss: float | None) -> None:
        """Record an epoch. Earlier epochs without validation count as NaN, so that the lists stay in step."""
        self.loss.append(loss)
        if val_loss is not None:
            self.val_loss += [math.nan] * (len(self.loss) - 1 - len(self.val_loss)) + [val_loss]

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
        from .plots import plot_loss

        return plot_loss(self, ax)

    def plot_gradients(self, fig: Any = None) -> Any:
        """Draw ‖∂L/∂h_t‖ over time steps and updates beside the global norm per update; returns the figure."""
        from .plots import plot_gradients

        return plot_gradients(self, fig)
