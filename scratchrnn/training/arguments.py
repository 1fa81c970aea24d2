"""What `fit` refuses before anything is changed, and what it warns of."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .._arguments import above_zero, integer
from .._arrays import to_numpy
from ..encoder_decoder import EncoderDecoder
from ..model import SequenceModel
from .batches import Minibatch, Rows
from .callbacks import Callback
from .history import History


def check_pieces(model: SequenceModel, truncate: int | None, stateful: bool, data: Sequence[Rows]) -> None:
    """Refuse what cannot be cut in time, or carried over a cut."""
    if not isinstance(stateful, (bool, np.bool_)):
        raise TypeError(f"stateful must be True or False, got {stateful!r}")
    if truncate is None:
        if stateful:
            raise ValueError(
                "stateful=True carries the state from piece to piece of the same rows; say how long a piece is with "
                "truncate=K"
            )
        return
    integer("truncate", truncate)
    if not isinstance(model, SequenceModel):
        raise TypeError(f"truncate cuts x and target side by side in time, which {type(model).__name__} does not have")
    if any(isinstance(rows.steps, str) and rows.steps == "last" for rows in data):
        raise ValueError(
            'steps="last" has one loss, at the end of a row, and truncate would leave it the gradient of the last '
            'piece alone; use steps="all" or a mask, or no truncate'
        )
    for i, layer in enumerate(model.layers if stateful else ()):
        if layer.directions == 2:
            raise ValueError(
                f"layer {i} is bidirectional: its state comes from the end of a sequence too, so it cannot be carried "
                "from piece to piece; use stateful=False"
            )


def check_arguments(
    epochs: int,
    batch_size: int,
    optimizer: Any,
    clip_norm: float | None,
    clip_value: float | None,
    callbacks: Any,
    track: str | None,
) -> list[Callback]:
    """Refuse what does not fit; returns the callbacks as objects."""
    integer("epochs", epochs)
    integer("batch_size", batch_size)
    for name, limit in (("clip_norm", clip_norm), ("clip_value", clip_value)):
        if limit is not None:
            above_zero(name, limit, infinity=True)
    ours = hasattr(optimizer, "init") and hasattr(optimizer, "step") and not isinstance(optimizer, type)
    if optimizer is not None and not ours:  # PyTorch's have a step too
        raise TypeError(f"optimizer must be an object such as Adam(1e-3), got {optimizer!r}")
    if track not in ("norms", "all", None):
        raise ValueError(f'track must be "norms", "all" or None, got {track!r}')
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list, got {callbacks!r}")
    hooks = []
    for callback in callbacks:
        if isinstance(callback, type) or not (isinstance(callback, Callback) or callable(callback)):
            raise TypeError(f"a callback is a Callback object or a function (model, history), got {callback!r}")
        hooks.append(callback if isinstance(callback, Callback) else FunctionCallback(callback))
    return hooks


class FunctionCallback(Callback):
    """A plain function as a callback."""

    def __init__(self, function: Callable[[SequenceModel, History], Any]) -> None:
        self._function = function

    def on_epoch_end(self, model: SequenceModel, history: History) -> bool:
        ends = self._function(model, history)
        return isinstance(ends, (bool, np.bool_)) and bool(ends)


def warn_of_next_input(model: SequenceModel, batch: Minibatch) -> None:
    """Say so where every counted target is the next input, and a layer reads that from the end of the sequence."""
    if not any(layer.directions == 2 for layer in model.layers) or isinstance(model, EncoderDecoder):
        return
    x, target = to_numpy(batch.x), to_numpy(batch.target)
    target = target.astype(x.dtype, copy=False)  # x is in the dtype of the model by now
    if x.shape != target.shape or x.shape[1] < 2 or (x[:, 1:] == x[:, :-1]).all():
        return
    counts = np.broadcast_to(True if isinstance(batch.steps, str) else to_numpy(batch.steps), x.shape[:2])
    if batch.lengths is not None:
        counts = counts & (np.arange(1, x.shape[1] + 1) < to_numpy(batch.lengths)[:, None])
    counts = counts[:, :-1]
    if counts.any() and (target[:, :-1] == x[:, 1:])[counts].all():
        warnings.warn(
            "this model is trained to predict its own next input, and its bidirectional layer reads that input: the "
            "loss says nothing about prediction; use bidirectional=False",
            stacklevel=3,
        )
