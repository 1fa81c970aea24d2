"""Training: one loop.

An update is four plain lines: gradients, clip, step, subtract. What surrounds them makes minibatches, keeps the
history, and stops before a number that is not finite reaches the weights.
"""

from __future__ import annotations

import copy
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import passes
from .backends.arrays import to_numpy
from .callbacks import Callback
from .gradients.clip import check_limit, clip_by_value, shrink, vector_norm
from .history import History
from .minibatches import Rows, mean_loss, validation_rows
from .model import SequenceModel
from .optimizers import Adam, Optimizer
from .parameters import Parameters
from .passes import Backward, Batch


class NonFiniteError(FloatingPointError):
    """Training met a NaN or an infinity. The weights are those of the last good update; `history` is the run up to it.

    update (from 1), tensor and time_step (None where no step is to blame) say where it was first seen.
    """

    def __init__(self, message: str, history: History, update: int, tensor: str, time_step: int | None) -> None:
        super().__init__(message)
        self.history = history
        self.update = update
        self.tensor = tensor
        self.time_step = time_step


def fit(
    model: SequenceModel,
    x: Any,
    target: Any = None,
    *,
    epochs: int,
    batch_size: int = 32,
    optimizer: Optimizer | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
    validation: Any = None,
    steps: Any = "all",
    lengths: Any = None,
    seed: int = 0,
    progress: bool = True,
    callbacks: Sequence[Callback | Callable[[SequenceModel, History], Any]] = (),
    track: str | None = "norms",
    resume: History | None = None,
) -> History:
    """Train a model in place by minibatch gradient descent, and return what happened.

    Parameters
    ----------
    x, target, steps, lengths : as `model.loss_and_grads`; or x a `BatchSource`, which brings its own targets.
    epochs : passes over the data; with `resume`, how many more.
    batch_size : rows per minibatch; the last one of an epoch may be smaller.
    optimizer : None is Adam(1e-2); with `resume`, that of the history.
    clip_norm, clip_value : limits of the global norm and of every entry; with both, the norm is clipped first.
    validation : (x, target), or a dict with x, target and their own steps and lengths; its loss follows every epoch.
    seed : of the shuffling, and of layers that draw random numbers.
    progress : show a progress bar (never where standard error is no terminal).
    callbacks : `Callback` objects such as `EarlyStopping`, or functions (model, history); True ends training.
    track : "norms" keeps ‖∂L/∂h_t‖ in `history.flow`; None does not.
    resume : a history to go on from: same optimizer averages, same random numbers, as if training had never stopped.

    Ctrl-C ends training and returns the history so far. Raises NonFiniteError when a loss, a gradient or an update is
    not finite, ValueError, TypeError or IndexError for arguments that do not fit, before anything is changed.
    """
    _check_arguments(epochs, batch_size, optimizer, clip_norm, clip_value, track, resume)
    data = Rows(model, x, target, steps, lengths)
    held_out = None if validation is None else validation_rows(model, validation, steps)
    if resume is None:
        history = History(optimizer or Adam(1e-2), rng=np.random.default_rng(seed))
        history.moments = history.optimizer.init(model.params.vector)
    else:
        history = copy.deepcopy(resume)
        history.moments = {name: model._backend.asarray(m, model.dtype) for name, m in history.moments.items()}
        history.optimizer, history.interrupted = optimizer or history.optimizer, False
    hooks = [c if isinstance(c, Callback) else _Function(c) for c in callbacks]

    for hook in hooks:
        hook.on_train_begin(model, history)
    with _bar(epochs * math.ceil(len(data) / batch_size), progress) as bar, np.errstate(all="ignore"):
        try:
            for _ in range(epochs):
                total, weight = 0.0, 0
                for batch in data.minibatches(history.rng, batch_size):
                    loss = _update(model, batch, history, clip_norm, clip_value, track)
                    total += loss * batch.counted.total
                    weight += batch.counted.total
                    bar.update()
                history.loss.append(total / weight)
                if held_out is not None:
                    history.val_loss.append(mean_loss(model, held_out))
                bar.set_postfix(_latest(history), refresh=False)
                if any([hook.on_epoch_end(model, history) for hook in hooks]):
                    break
        except KeyboardInterrupt:
            history.interrupted = True
            print(f"interrupted after update {history.updates}; the history so far is kept", file=sys.stderr)
    for hook in hooks:
        hook.on_train_end(model, history)
    return history


def _update(
    model: SequenceModel,
    batch: Batch,
    history: History,
    clip_norm: float | None,
    clip_value: float | None,
    track: str | None,
) -> float:
    """One update of the model; returns its loss."""
    network, backend, params = model._network, model._backend, model.params
    update = history.updates + 1
    result = passes.loss_and_grads(network, backend, params, batch, rng=history.rng)
    loss, grads = float(result.loss), result.grads
    norm = float(backend.twin(vector_norm)(grads.vector))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise _not_finite(model, batch, result, history, update)

    clipped = clip_norm is not None and shrink(grads.vector, norm, float(clip_norm))
    if clip_value is not None:
        clipped |= clip_by_value(grads, clip_value)

    delta = backend.xp.empty_like(params.vector)
    history.optimizer.step(delta, grads.vector, history.moments, update, backend)
    if not bool(backend.xp.isfinite(delta).all()):
        where = _first_not_finite(params.like(delta))
        raise NonFiniteError(_message(update, f"the step of {where} is not finite"), history, update, where, None)
    params.vector -= delta

    history.grad_norm.append(norm)
    history.clipped.append(clipped)
    if track:
        history.flow.add(update, to_numpy(result.flow.norms), batch.batch_rows)
    return loss


def _not_finite(model: SequenceModel, batch: Batch, result: Backward, history: History, update: int) -> NonFiniteError:
    """Say what became NaN or infinite first: an output going forward, else ∂L/∂h_t going back, else a gradient."""
    forward = passes.run(model._network, model._backend, model.params, batch.x, batch.states, batch.lengths)
    bad_outputs = ~np.isfinite(to_numpy(forward.y)).all(axis=(1, 2))
    bad_flow = ~np.isfinite(to_numpy(result.flow.norms))
    if bad_outputs.any():
        tensor, t = "y", int(np.argmax(bad_outputs))
        what = f"the output y is not finite from time step {t} on"
    elif not math.isfinite(float(result.loss)):
        size = to_numpy(abs(forward.y)).max(axis=(1, 2))
        tensor, t = "loss", int(np.argmax(size))
        what = f"the loss is {float(result.loss)}; the largest output, {size[t]:.3g}, is at time step {t}"
    elif bad_flow.any():
        tensor, t = "h", int(np.flatnonzero(bad_flow)[-1])
        what = f"the gradient ∂L/∂h_t is not finite at time step {t} and before"
    else:
        tensor, t = _first_not_finite(result.grads), None
        what = f"the gradient of {tensor} is not finite"
    return NonFiniteError(_message(update, what), history, update, tensor, t)


def _message(update: int, what: str) -> str:
    return (
        f"update {update}: {what}. Training stopped with the weights of the last good update; "
        "try clip_norm=1.0, a smaller learning rate, or inputs and targets of order 1"
    )


def _first_not_finite(params: Parameters) -> str:
    return next(name for name, array in params.items() if not np.isfinite(to_numpy(array)).all())


class _Function(Callback):
    """A plain function as a callback."""

    def __init__(self, function: Callable[[SequenceModel, History], Any]) -> None:
        self._function = function

    def on_epoch_end(self, model: SequenceModel, history: History) -> bool:
        return self._function(model, history) is True


def _bar(updates: int, progress: bool) -> Any:
    from tqdm import tqdm

    columns = shutil.get_terminal_size().columns  # 80 where the terminal does not say; tqdm would draw nothing there
    return tqdm(total=updates, unit="update", disable=None if progress else True, ncols=columns)


def _latest(history: History) -> dict[str, str]:
    latest = {"epoch": str(history.epochs), "loss": f"{history.loss[-1]:.3g}"}
    if history.val_loss:
        latest["val"] = f"{history.val_loss[-1]:.3g}"
    return latest


def _check_arguments(
    epochs: int,
    batch_size: int,
    optimizer: Any,
    clip_norm: float | None,
    clip_value: float | None,
    track: str | None,
    resume: History | None,
) -> None:
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    for name, limit in (("clip_norm", clip_norm), ("clip_value", clip_value)):
        if limit is not None:
            check_limit(name, limit)
    if optimizer is not None and not hasattr(optimizer, "step"):
        raise TypeError(f"optimizer must be an object such as Adam(1e-3), got {optimizer!r}")
    if track not in ("norms", None):
        raise ValueError(f'track must be "norms" or None, got {track!r}')
    if resume is not None and optimizer is not None and type(optimizer) is not type(resume.optimizer):
        raise ValueError(
            f"the history to resume used {type(resume.optimizer).__name__}, not {type(optimizer).__name__}"
        )
