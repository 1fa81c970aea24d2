"""Text generation (生成古诗): a line of a Tang poem → the next line.

    床前明月光，  →  疑是地上霜。

poems.txt holds some dozens of the best-known poems of the Tang (绝句 and 律诗), one integer per character. A row is a
line and the one after it, each with its mark; the loss counts the characters of the second. The network writes
greedily from the first line alone. A few dozen poems teach no Chinese: it learns them by heart, there is no test
part, and the score is the share of lines that it goes on from exactly."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from .._arrays import to_numpy
from ..layers.linear import Linear
from ..layers.rnn import RNN
from ..model import SequenceModel
from ..optimizers import Adam
from ..sequences import pad
from ..text import Vocabulary, read_text
from ..training.callbacks import CosineDecay
from ..training.fit import fit
from .task import Trained

FILE = files(__package__) / "poems.txt"  # also where the package is inside a zip file
MARKS = "，。？"


class Poems(NamedTuple):
    """Neighbouring lines as rows of characters."""

    pairs: list[tuple[str, str]]  # a line and the next, each with its mark
    vocabulary: Vocabulary
    x: np.ndarray  # (N, T) int: both lines but the last mark, zeros after them
    target: np.ndarray  # (N, T) int: the character after each
    steps: np.ndarray  # (N, T) bool: the target is of the second line


def read(text: str) -> list[list[str]]:
    """The lines of every poem, each with its mark; poems stand apart by an empty line and begin with title and poet.

    >>> read("江雪 柳宗元\\n千山鸟飞绝，万径人踪灭。\\n孤舟蓑笠翁，独钓寒江雪。\\n")
    [['千山鸟飞绝，', '万径人踪灭。', '孤舟蓑笠翁，', '独钓寒江雪。']]
    """
    return [re.findall(f"[^{MARKS}\n]+[{MARKS}]", poem.partition("\n")[2]) for poem in text.strip().split("\n\n")]


def data() -> Poems:
    """Every line that has a next one in its poem, with that."""
    pairs = [pair for lines in read(read_text(FILE)) for pair in zip(lines, lines[1:], strict=False)]
    vocabulary = Vocabulary("".join(first + then for first, then in pairs))
    ids, _ = pad([vocabulary.encode(first + then) for first, then in pairs])
    second, _ = pad([np.arange(len(first + then)) >= len(first) for first, then in pairs])
    return Poems(pairs, vocabulary, ids[:, :-1], ids[:, 1:], second[:, 1:])


def next_line(model: SequenceModel, vocabulary: Vocabulary, line: str, limit: int = 20) -> str:
    """What the network writes after a line: the likeliest character each time, up to the next mark."""
    out = model.forward(vocabulary.encode(line)[None])
    written = ""
    while len(written) < limit:
        best = int(to_numpy(out.y[0, -1]).argmax())
        written += vocabulary.decode([best])
        if written[-1] in MARKS:
            break
        out = model.forward(np.array([[best]]), out.h_last)
    return written


def metric(model: SequenceModel, poems: Poems) -> float:
    """The share of lines whose next is written without a wrong character."""
    return float(np.mean([next_line(model, poems.vocabulary, first) == then for first, then in poems.pairs]))


def train(
    *, epochs: int = 40, seed: int = 0, backend: str | None = None, dtype: str = "float32", progress: bool = True
) -> Trained:
    """One recurrent layer of 256 under a softmax over all characters; Adam 0.003."""
    poems = data()
    V = len(poems.vocabulary)
    model = SequenceModel([RNN(V, 256), Linear(256, V)], loss="cross_entropy", backend=backend, dtype=dtype, seed=seed)
    history = fit(
        model,
        poems.x,
        poems.target,
        steps=poems.steps,
        epochs=epochs,
        batch_size=16,
        optimizer=Adam(0.003),
        clip_norm=1.0,
        seed=seed,
        progress=progress,
        callbacks=[CosineDecay(epochs)],
    )
    examples = tuple((first, next_line(model, poems.vocabulary, first)) for first, _ in poems.pairs[::40])
    extra = {"vocabulary": poems.vocabulary.to_list()}
    return Trained({"model": model}, history, metric(model, poems), examples=examples, extra=extra)
