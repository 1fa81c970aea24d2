"""The chapter's character model (字符级语言模型), to the letter: 31 kinds of characters, 150 windows of 50, last step.

An embedding of 128, two recurrent layers of 128 and a linear output say which character comes after a window of the
chapter's five lines; Adam 0.001, batches of 32, 200 epochs. The metric is the mean training loss of the last epoch, as
the chapter prints it. It writes as the chapter does: from the last characters alone, in a window that slides along.
(characters.py is the general model of a text: windows in which every step counts, a held-out part, a carried state.)
"""

from __future__ import annotations

import math

import numpy as np

from ..layers.base import Layer
from ..layers.embedding import Embedding
from ..layers.linear import Linear
from ..layers.rnn import RNN
from ..model import SequenceModel
from ..optimizers import Adam
from ..sampling import sample
from ..sequences import windows
from ..text import Vocabulary, read_text
from ..training.fit import fit
from .characters import CHAPTER
from .task import Trained

WINDOW = 50


def data() -> tuple[Vocabulary, np.ndarray, np.ndarray]:
    """Characters, windows (150, 50) and the character after each (150,).

    >>> vocabulary, x, target = data()
    >>> vocabulary.decode(x[1]), vocabulary.decode(target[1:2])
    ('To be, or not to be, that is the question:\\nWhether', ' ')
    """
    text = read_text(CHAPTER)
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    x, target = windows(ids, WINDOW)
    return vocabulary, x[..., 0], target[:, 0]


def recited(model: SequenceModel, temperature: float = 0.8, seed: int = 0) -> float:
    """The share of the 150 characters after the first window that it writes as they are, drawing at a temperature.

    One wrong character may shift all that follow, so that what is counted is the text up to the first wrong one.
    """
    vocabulary, x, target = data()
    written = sample(
        model, vocabulary, vocabulary.decode(x[0]), len(target), temperature=temperature, mode="window", seed=seed
    )
    right = vocabulary.encode(written)[WINDOW:] == target
    return float(right.cumprod().mean())


def train(
    *, epochs: int = 200, seed: int = 0, backend: str | None = None, dtype: str = "float32", progress: bool = True
) -> Trained:
    """The chapter's model with the chapter's settings."""
    vocabulary, x, target = data()
    V = len(vocabulary)
    layers: list[Layer] = [Embedding(V, 128), RNN(128, 128, num_layers=2), Linear(128, V)]
    model = SequenceModel(layers, loss="cross_entropy", backend=backend, dtype=dtype, seed=seed)
    history = fit(
        model,
        x,
        target,
        steps="last",
        epochs=epochs,
        batch_size=32,
        optimizer=Adam(0.001),
        seed=seed,
        progress=progress,
    )
    score = history.loss[-1] if history.loss else math.nan
    beside = {"recited at temperature 0.8": recited(model)}
    prompt = "To be or not to "  # the chapter's; its window is as long as the prompt
    written = sample(model, vocabulary, prompt, 200, temperature=0.8, mode="window")
    examples = ((prompt, written[len(prompt) :]),)
    extra = {"vocabulary": vocabulary.to_list()}
    return Trained({"model": model}, history, score, beside, examples, extra)
