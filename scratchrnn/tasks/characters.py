"""The chapter's second program (文本处理示例:字符级语言模型): which character comes next, at every place of a text.

The network is the plain one, VanillaRNN(V, H, V) on integer characters, or a deeper one with dropout; cross-entropy at
every step (many-to-many) over windows from a zero state. The last tenth of the text is held out; it is scored in one
run, the state carried from its first character to its last. Losses are in nats per character; ln V is the loss of a
model that knows nothing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from .._arrays import to_numpy
from ..layers.base import Layer
from ..layers.dropout import Dropout
from ..layers.linear import Linear
from ..layers.rnn import RNN
from ..losses import softmax_cross_entropy
from ..model import SequenceModel, VanillaRNN
from ..optimizers import Adam, Optimizer
from ..text import Vocabulary, Windows, read_text
from ..training.callbacks import Callback, CosineDecay, TimeLimit
from ..training.fit import fit
from ..training.history import History

CHAPTER = files(__package__) / "chapter.txt"  # also where the package is inside a zip file
CHUNK = 1 << 20  # numbers in the widest array that `metric` holds at a time
UPDATES = 3000  # of the default settings, more or less: six epochs of 1 MB
MAX_EPOCHS = 20  # more of them learn a short text by heart, and the held-out loss rises
BY_HEART = 200  # epochs at most where nothing is held out: the chapter's number
WINDOWS = 128  # windows overlap where a text has fewer side by side


class Characters(NamedTuple):
    """A text as ids in the smallest integer type, and what the ids mean."""

    vocabulary: Vocabulary  # of the whole text: no held-out character is unknown
    train: np.ndarray  # (n,)
    held_out: np.ndarray  # (n_held_out,): the end of the text


class Trained(NamedTuple):
    """What `train` returns."""

    model: SequenceModel
    history: History  # loss and val_loss (over held-out windows from a zero state) after every epoch
    data: Characters
    held_out_loss: float | None  # nats per character after the last update; None where it was not measured

    @property
    def vocabulary(self) -> Vocabulary:
        """What the ids mean: `sample(trained.model, trained.vocabulary, …)`."""
        return self.data.vocabulary

    @property
    def held_out_bits(self) -> float | None:
        """The held-out loss in bits per character."""
        return None if self.held_out_loss is None else self.held_out_loss / math.log(2)


def data(
    file: str | os.PathLike[str] | None = None,
    *,
    held_out: float | None = None,
    seq_length: int = 50,
    encoding: str = "utf-8",
) -> Characters:
    """Read and number a text; raises what `read_text` raises, and ValueError where too little is left to train on.

    file : any text; None is the chapter's.
    held_out : fraction at the end of the text that is not trained on. None is a tenth, or nothing where a tenth makes
        no window of seq_length, as with the chapter's 200 characters.
    encoding : of the file.

    >>> chapter = data()
    >>> len(chapter.vocabulary), len(chapter.train), len(chapter.held_out)
    (31, 200, 0)
    """
    text = read_text(CHAPTER) if file is None else read_text(file, encoding)
    if held_out is None:
        held_out = 0.1 if len(text) > 10 * (seq_length + 1) else 0.0
    elif not 0 <= held_out < 1:
        raise ValueError(f"held_out is a fraction of the text, from 0 to below 1, got {held_out}")
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text, vocabulary.dtype)
    split = len(ids) - round(held_out * len(ids))
    if len(ids) - split == 1:
        raise ValueError(f"held_out={held_out} of {len(ids)} characters is one: no next character to predict")
    Windows(ids[:split], seq_length)  # says what is too short
    return Characters(vocabulary, ids[:split], ids[split:])


def metric(model: SequenceModel, ids: np.ndarray) -> float:
    """The metric: mean cross-entropy, in nats, of each character of `ids` but the first, given all those before it.

        L = −1/(n − 1) · Σ_t log p(ids[t + 1] | ids[0 … t])

    One run from a zero state, in chunks: the state after one is the h0 of the next, so that memory does not grow.
    """
    count = len(ids) - 1
    if count < 1:
        raise ValueError(f"predicting the next character takes at least 2 characters, got {len(ids)}")
    steps = max(1, CHUNK // max(layer.output_size for layer in model.layers))
    loss, state = 0.0, None
    for start in range(0, count, steps):
        following = ids[start + 1 : start + 1 + steps].astype(np.int64)
        out = model.forward(ids[None, start : start + len(following)], state)
        state = out.h_last
        losses, _ = softmax_cross_entropy(to_numpy(out.y), following[None], count)
        loss += float(losses.sum())
    return loss


def network(V: int, H: int, num_layers: int, dropout: float, **settings: Any) -> SequenceModel:
    """V characters in, V logits out: the plain network, or several levels with dropout above each."""
    if num_layers == 1 and not dropout:
        return VanillaRNN(V, H, V, **settings)
    recurrent = RNN(V, H, num_layers=num_layers, dropout=dropout if num_layers > 1 else 0.0)
    layers: list[Layer] = [recurrent, Dropout(dropout), Linear(H, V)]
    return SequenceModel(layers, **settings)


def train(
    file: str | os.PathLike[str] | None = None,
    *,
    encoding: str = "utf-8",
    hidden_size: int = 128,
    num_layers: int = 1,
    dropout: float = 0.0,
    seq_length: int = 50,
    epochs: int | None = None,
    batch_size: int = 32,
    optimizer: Optimizer | None = None,
    clip_norm: float | None = 5.0,
    clip_value: float | None = None,
    held_out: float | None = None,
    seconds: float | None = None,
    backend: str | None = None,
    dtype: str = "float32",
    seed: int = 0,
    progress: bool = True,
    callbacks: Sequence[Callback | Callable[[SequenceModel, History], Any]] = (),
) -> Trained:
    """Train a network on the windows of a text: VanillaRNN(V, hidden_size, V), unless it is deeper or has dropout.

    Parameters
    ----------
    file, encoding, held_out : as `data`.
    num_layers : recurrent layers on top of one another.
    dropout : probability with which, in training, a state is not seen by what stands above it.
    seq_length : characters in a window. Windows stand side by side; in a short text they overlap, so that there are
        at least 128 of them where it has that many.
    epochs : None is about 3,000 updates, six epochs of 1 MB, fewer of a longer text and more of a shorter one, but at
        most 20 epochs; or 200, to learn the text by heart, where nothing is held out.
    optimizer : None is Adam(0.01). The learning rate falls to a twentieth over the epochs, along half a cosine.
    seconds : end training before the epoch that would not be over by then; one epoch always runs.

    The rest as `fit`. Ctrl-C ends training early (`history.interrupted`), and also the measurement on the held-out text
    after it, whose loss is then None. Raises as `data` and `fit` do.
    """
    characters = data(file, held_out=held_out, seq_length=seq_length, encoding=encoding)
    V = len(characters.vocabulary)
    hooks: list[Any] = [*callbacks] if seconds is None else [TimeLimit(seconds), *callbacks]
    overlapping = max(1, (len(characters.train) - 1 - seq_length) // (WINDOWS - 1))
    windows = Windows(characters.train, seq_length, min(seq_length, overlapping))
    if epochs is None:
        updates = math.ceil(len(windows) / batch_size)
        epochs = min(MAX_EPOCHS if len(characters.held_out) else BY_HEART, math.ceil(UPDATES / updates))
    validation = None
    if len(characters.held_out):
        validation = Windows(characters.held_out, min(seq_length, len(characters.held_out) - 1))

    model = network(V, hidden_size, num_layers, dropout, loss="cross_entropy", backend=backend, dtype=dtype, seed=seed)
    history = fit(
        model,
        windows,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer or Adam(0.01),
        clip_norm=clip_norm,
        clip_value=clip_value,
        validation=validation,
        seed=seed,
        progress=progress,
        callbacks=[CosineDecay(epochs), *hooks],
    )
    held_out_loss = None
    try:
        if len(characters.held_out):
            held_out_loss = metric(model, characters.held_out)
    except KeyboardInterrupt:  # the model is trained: return it
        history.interrupted = True
    return Trained(model, history, characters, held_out_loss)
