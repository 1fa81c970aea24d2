"""What the tasks of `scratchrnn train` and `make tasks` have in common: a description, a bar, one training run, parts.

A task is measured on its test part after training, once. Settings were chosen on a validation part, or on nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from .._arrays import to_numpy
from ..model import SequenceModel
from ..training.history import History

# The modules that bring data, and the packages that they are in.
PACKAGES = {"sklearn": "scikit-learn", "aeon": "aeon", "faker": "Faker", "statsmodels": "statsmodels"}
NOT_INSTALLED = "data comes with packages that are not installed: {}; pip install 'scratchrnn[tasks]'"


class Trained(NamedTuple):
    """What a task's `train` returns."""

    models: Mapping[str, SequenceModel]  # by the name of the file that may hold it
    history: History  # of the last of them, where there are several
    score: float  # on the test part, after the last update
    beside: Mapping[str, float] = {}  # other scores to read it by: a ceiling, a baseline, the validation part
    examples: tuple[tuple[str, str], ...] = ()  # what went in, and what the network made of it
    extra: Mapping[str, Any] = {}  # what a file with the model should hold beside it


class Task(NamedTuple):
    """A task, its metric, and the range in which the median of its scores over seeds is to lie.

    A range of one number is for every seed: what is to be learned by heart is learned whole or not.
    """

    kind: str  # one of the chapter's types
    about: str
    metric: str
    bar: tuple[float, float]
    train: Callable[..., Trained]  # train(*, epochs=…, seed=0, backend=None, dtype=…, progress=True)
    loss: str = "cross-entropy (nats)"  # what its history holds, with the unit
    needs: str = ""  # the module that brings its data, where that is not in this package

    @property
    def epochs(self) -> int:
        """Of the training run, where nothing else is said."""
        return inspect.signature(self.train).parameters["epochs"].default

    def reached(self, *scores: float) -> bool:
        """Whether the scores of some seeds reach the bar."""
        low, high = self.bar
        return all(low <= score <= high for score in (scores if low == high else [np.median(scores)]))


def require(tasks: Iterable[Task]) -> None:
    """Raise ImportError that names every package that the data of these tasks comes with and that is not installed."""
    modules = dict.fromkeys(task.needs for task in tasks if task.needs)
    absent = [PACKAGES[module] for module in modules if importlib.util.find_spec(module) is None]
    if absent:
        raise ImportError(NOT_INSTALLED.format(", ".join(absent)))


def need(module: str) -> ModuleType:
    """A module that brings data; raises ImportError that says how to get it where it is not installed."""
    top = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != top:
            raise
        raise ImportError(NOT_INSTALLED.format(PACKAGES[top])) from None


class Part(NamedTuple):
    """Sequences, and which class each belongs to: a part of the data of a many-to-one task."""

    x: np.ndarray  # (N, T, D), or integer (N, T); zeros past the end of each row
    target: np.ndarray  # (N,) int
    lengths: np.ndarray  # (N,)


def accuracy(model: SequenceModel, part: Part) -> float:
    """The share of sequences whose class is the likeliest at their last step."""
    y = to_numpy(model.predict(part.x, steps="last", lengths=part.lengths))
    return float((y.argmax(axis=1) == part.target).mean())


class Noisy:
    """A batch source: rows of `x` (N, T, D) with fresh normal noise on every input, each time they are asked for.

    The noise takes the place of the training sequences that there are not: no update sees the same input twice.
    """

    def __init__(self, x: np.ndarray, target: np.ndarray, std: float, seed: int) -> None:
        self.x, self.target, self.std = x, target, std
        self._rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.x)

    def gather(self, rows: np.ndarray) -> tuple[Any, Any]:
        """The rows with these numbers and their targets."""
        x = self.x[rows]
        return x + self.std * self._rng.standard_normal(x.shape, dtype=np.float32), self.target[rows]


def split(count: int, *sizes: int, seed: int = 0) -> list[np.ndarray]:
    """The numbers 0 … count − 1 shuffled and cut: first what is left to train on, then a part of each size.

    >>> [len(part) for part in split(10, 2, 3)]
    [5, 2, 3]
    """
    order = np.random.default_rng(seed).permutation(count)
    return np.split(order, np.cumsum([count - sum(sizes), *sizes])[:-1])
