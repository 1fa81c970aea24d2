"""Training: one loop.

An update is: gradients, clip, step, subtract. What surrounds these makes minibatches, keeps the history, and stops
before a number that is not finite reaches the weights. Gradients come from the model's public `loss_and_grads`, so a
model that overrides it trains with its own.

Truncated backpropagation through time is the same loop over pieces of a minibatch: with pieces of K steps, piece i has

    h_{i·K − 1} = the last state of piece i − 1 (stateful), or 0      L_i = the mean of L_nt over its own counted steps

and the update follows ∂L_i/∂θ with h_{i·K − 1} held fixed: values cross the seam, gradients do not.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .._arrays import to_numpy
from .._hints import check_order
from .._numerics import all_finite
from .._progress import progress_bar
from ..encoder_decoder import EncoderDecoder
from ..gradients.clip import clip_by_value, part_norms, shrink, vector_norm
from ..gradients.omega import Omega
from ..model import LossAndGrads, SequenceModel
from ..optimizers import Adam, Moments, Optimizer, subtract
from .arguments import check_arguments, check_pieces, warn_of_next_input
from .batches import Minibatch, Rows, are_finite, losses, mean_loss, validation_rows
from .callbacks import Callback, go_on, states
from .flow_record import TensorNorms
from .history import History
from .interrupts import Interrupts

# Norms below this have finite squares.
LARGE = {np.dtype(dtype): float(np.finfo(dtype).max) ** 0.5 for dtype in (np.float32, np.float64)}


class NonFiniteError(FloatingPointError):
    """Training met a NaN or an infinity. The weights are those of the last good update; `history` is the run up to it.

    update (from 1), tensor and time_step (None where no step is to blame) say where it was first seen.
    """

    def __init__(self, what: str, tensor: str, time_step: int | None, history: History, update: int) -> None:
        super().__init__(what, tensor, time_step, history, update)
        self.what, self.tensor, self.time_step = what, tensor, time_step
        self.history, self.update = history, update

    def __str__(self) -> str:
        return (
            f"update {self.update}: {self.what}. Training stopped with the weights of the last good update; "
            "try clip_norm=1.0, a smaller learning rate, or inputs and targets of order 1"
        )


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
    regularizer: Omega | None = None,
    validation: Any = None,
    steps: Any = "all",
    lengths: Any = None,
    truncate: int | None = None,
    stateful: bool = False,
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
    regularizer : `Omega(weight)`, whose gradient is added to that of every update before it is clipped.
    validation : (x, target), or a dict with x, target and their own steps and lengths; its loss follows every epoch.
        `steps` holds for it too, unless it is a mask of single rows; `lengths`, and such a mask, must then be given in
        the dict.
    truncate : K, truncated backpropagation through time: each minibatch is cut into pieces of K steps (the last may be
        shorter), each piece is one update, and no gradient crosses from one to the one before. Memory for states and
        gradients is that of one piece, whatever T is. A row whose length is over takes no part in later pieces.
    stateful : with `truncate`, a piece begins from the last state of the piece before it (its value alone), the first
        from zeros, as every piece does otherwise. Pieces in which nothing counts carry the state on without an update,
        and without dropout. So a long text in `rows` parallel streams, x (rows, T) with batch_size=rows, is read from
        end to end once an epoch. Validation is cut and carried likewise.
    seed : of the shuffling, and of layers that draw random numbers; with `resume`, those of the history go on.
    progress : show a progress bar, in a terminal or a notebook.
    callbacks : `Callback` objects such as `EarlyStopping`, or functions (model, history); True ends training.
    track : "norms" keeps ‖∂L/∂h_t‖ of every recurrent cell in `history.flow`. "all" also keeps its least, median and
        largest over the rows, the fraction of saturated units, the gradient norm of every tensor before clipping, and
        ‖Δθ‖/‖θ‖; a model that overrides `loss_and_grads` must take `saturation=True` for it. None keeps nothing.
    resume : a history to go on from: same optimizer averages, same random numbers, same state of callbacks of the same
        class and arguments, as if training had never stopped.

    Ctrl-C ends training and returns the history so far; weights, averages and history are those after the same update.
    A warning is given where a model with a bidirectional layer is trained to predict its own next input. Raises
    NonFiniteError when a loss, a gradient or an update is not finite, ValueError, TypeError or IndexError for arguments
    that do not fit, before anything is changed; among them steps="last" with `truncate`, and `stateful` without it or
    with a bidirectional layer.
    Source: Williams and Peng 1990, An efficient gradient-based algorithm for on-line training of recurrent networks.
    """
    check_order("fit(model, x, target, epochs=…)", model, [x, target], (SequenceModel, EncoderDecoder))
    if not hasattr(model, "loss_and_grads"):
        raise TypeError(f"fit trains a SequenceModel, a VanillaRNN or an EncoderDecoder, got {type(model).__name__}")
    hooks = check_arguments(epochs, batch_size, optimizer, clip_norm, clip_value, callbacks, track)
    if regularizer is not None:
        if not isinstance(regularizer, Omega):
            raise TypeError(f"regularizer must be an object such as Omega(0.1), or None, got {regularizer!r}")
        regularizer.check(model)
    data = Rows(model, x, target, steps, lengths)
    held_out = None if validation is None else validation_rows(model, validation, steps, lengths)
    check_pieces(model, truncate, stateful, [data] if held_out is None else [data, held_out])
    history = _begin(model, optimizer, seed) if resume is None else _go_on(model, optimizer, resume)

    for hook in hooks:
        hook.on_train_begin(model, history)
    go_on(hooks, history.callbacks)
    try:
        with (
            _bar(epochs * data.updates(batch_size, truncate), progress) as bar,
            np.errstate(all="ignore"),
            Interrupts() as interrupts,
        ):
            update = partial(_update, model, history, interrupts, clip_norm, clip_value, regularizer, track)
            if _draws(model):
                update = partial(_with_draws, history, update)
            for epoch in range(epochs):
                for hook in hooks:
                    hook.on_epoch_begin(model, history)
                total, weight = 0.0, 0
                for i, batch in enumerate(data.shuffled(history.rng, batch_size)):
                    if epoch == i == 0:
                        warn_of_next_input(model, batch)
                    for loss, counted in losses(batch, truncate, stateful, update):
                        total += loss * counted
                        weight += counted
                        bar.update()
                val_loss = None if held_out is None else mean_loss(model, held_out, truncate, stateful)
                interrupts.hold()
                history.end_epoch(total / weight, val_loss)
                interrupts.release()
                bar.set_postfix(_latest(history), refresh=False)
                ends = False
                for hook in hooks:
                    ends |= bool(hook.on_epoch_end(model, history))
                    history.callbacks = states(hooks)  # the next one may save the history
                if ends:
                    break
    except KeyboardInterrupt:
        history.interrupted = True
        print(f"interrupted after update {history.updates}; the history so far is kept", file=sys.stderr)
    for hook in hooks:
        hook.on_train_end(model, history)
    history.callbacks = states(hooks)
    return history


def _draws(model: SequenceModel) -> bool:
    """Whether an update may draw random numbers: a layer does, or the model's own `loss_and_grads` may."""
    if type(model).loss_and_grads not in (SequenceModel.loss_and_grads, EncoderDecoder.loss_and_grads):
        return True
    rng = np.random.default_rng(0)
    return any(layer.draw_mask and layer.draw_mask(rng, 1, 1, model.dtype) is not None for layer in model.layers)


def _with_draws(
    history: History, update: Callable[[Minibatch], tuple[float, Any]], batch: Minibatch
) -> tuple[float, Any]:
    """An update; one that does not come to its end takes back the random numbers that it drew."""
    updates, state = history.updates, history.rng.bit_generator.state
    try:
        return update(batch)
    except BaseException:
        if history.updates == updates:
            history.rng.bit_generator.state = state
        raise


def _update(
    model: SequenceModel,
    history: History,
    interrupts: Interrupts,
    clip_norm: float | None,
    clip_value: float | None,
    regularizer: Omega | None,
    track: str | None,
    batch: Minibatch,
) -> tuple[float, Any]:
    """One update of the model, none where nothing counts; returns the loss and the last state."""
    backend, vector = model.device, model.params.vector
    update = history.updates + 1
    if not are_finite(batch.h0):
        raise NonFiniteError("the state carried over from the piece before is not finite", "h0", None, history, update)
    if not batch.counted:
        return 0.0, model.forward(batch.x, batch.h0, batch.lengths).h_last
    closely = track == "all" and history.flow.wants(update)
    result = model.loss_and_grads(**batch.arguments, rng=history.rng, **({"saturation": True} if closely else {}))
    if regularizer is not None:
        regularizer.add(model, result.grads, **batch.arguments)
    loss, grad = float(result.loss), result.grads.vector
    norm = float(backend.kernel(vector_norm)(grad))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise NonFiniteError(*_diagnosis(model, batch, result), history, update)

    grads = _tensor_norms(model, grad) if closely else None
    clipped = clip_norm is not None and backend.kernel(shrink)(grad, norm, float(clip_norm))
    if clip_value is not None:
        clipped |= clip_by_value(grad, clip_value)

    delta = grad  # the step takes the place of the gradient
    interrupts.hold()  # averages, weights and history advance together
    try:
        history.optimizer.step(delta, grad, history.moments, update, backend, vector)
        seen = None if grads is None else TensorNorms(grads, _tensor_norms(model, delta), _tensor_norms(model, vector))
        if not ((norm < LARGE[grad.dtype] or _are_finite(history.moments)) and backend.kernel(subtract)(vector, delta)):
            history.moments = {}  # spoiled: nothing can go on from them
            names = [name for name, d in model.params.like(delta).items() if not np.isfinite(to_numpy(d)).all()]
            what = f"the step of {names[0]} is not finite" if names else f"the squared gradient overflows {model.dtype}"
            raise NonFiniteError(what, names[0] if names else "grads", None, history, update)

        history.grad_norm.append(norm)
        history.clipped.append(clipped)
        if track:
            longer = result.flow.per_sample.shape[1] > batch.x.shape[1]  # it goes on where another sequence is written
            lengths = None if longer else batch.lengths
            history.flow.add(update, result.flow, lengths=lengths, names=model.params, tensors=seen)
    except NonFiniteError:
        interrupts.drop()  # the error ends training too, and says more
        raise
    finally:
        interrupts.release()
    return loss, result.h_last


def _tensor_norms(model: SequenceModel, vector: Any) -> np.ndarray:
    """(tensors,): ‖·‖ of every tensor in a vector such as the model's."""
    return to_numpy(model.device.kernel(part_norms)(vector, model.params.ends))


def _are_finite(moments: Moments) -> bool:
    """Whether averages are still good. Those of squares overflow where the gradient's norm does not itself."""
    return all(all_finite(m) for m in moments.values())


def _diagnosis(model: SequenceModel, batch: Minibatch, result: LossAndGrads) -> tuple[str, str, int | None]:
    """What became NaN or infinite first: an output going forward, else ∂L/∂h_t going back, else a gradient.

    Returns a sentence, the tensor and the time step.
    """
    y = to_numpy(model.forward(batch.x, batch.h0, batch.lengths).y)
    size = np.abs(y).max(axis=(0, 2))  # (T,)
    bad_flow = np.flatnonzero(~np.isfinite(to_numpy(result.flow.norms)))
    if not np.isfinite(size).all():
        t = int(np.argmin(np.isfinite(size)))
        return f"the output y is not finite from time step {t} on", "y", t
    if not math.isfinite(float(result.loss)):
        t = int(np.argmax(size))
        return f"the loss is {float(result.loss)}; the largest output, {size[t]:.3g}, is at time step {t}", "loss", t
    if len(bad_flow):
        t = int(bad_flow[-1])
        return f"the gradient ∂L/∂h_t is not finite at time step {t} and before", "h", t
    name = next(name for name, grad in result.grads.items() if not np.isfinite(to_numpy(grad)).all())
    return f"the gradient of {name} is not finite", name, None


def _begin(model: SequenceModel, optimizer: Optimizer | None, seed: int) -> History:
    history = History(optimizer or Adam(1e-2), rng=np.random.default_rng(seed))
    history.moments = history.optimizer.init(model.params.vector)
    return history


def _go_on(model: SequenceModel, optimizer: Optimizer | None, resume: History) -> History:
    """A copy of the history to go on with, its averages where the model computes; it must fit model and optimizer."""
    if not isinstance(resume, History):
        raise TypeError(f"resume must be the History of an earlier fit, got {type(resume).__name__}")
    optimizer = optimizer or resume.optimizer
    if type(optimizer) is not type(resume.optimizer):
        raise ValueError(
            f"the history to resume used {type(resume.optimizer).__name__}, not {type(optimizer).__name__}"
        )
    needed = {name: m.size for name, m in optimizer.init(model.params.vector).items()}
    kept = {name: m.size for name, m in resume.moments.items()}
    if needed != kept:
        raise ValueError(
            f"the history to resume keeps {kept or 'nothing'}, but this model and {optimizer} need {needed}"
        )
    history = copy.deepcopy(resume)
    history.moments = {name: model.device.asarray(m, model.dtype) for name, m in history.moments.items()}
    history.optimizer, history.interrupted = optimizer, False
    return history


def _bar(updates: int, progress: bool) -> Any:
    return progress_bar(total=updates, unit="update", show=progress)


def _latest(history: History) -> dict[str, str]:
    latest = {"epoch": str(history.epochs), "loss": f"{history.loss[-1]:.3g}"}
    if history.val_loss:
        latest["val"] = f"{history.val_loss[-1]:.3g}"
    return latest
