"""A few sequences of the task that a saved model was trained on, and which steps its loss counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...tasks import adding, chapter, digits, poems, sine, sunspots, surnames, tagging, temporal_order, tunes, vowels


class Given(NamedTuple):
    """What a model is measured on."""

    x: Any
    target: Any
    steps: Any = "all"
    lengths: Any = None
    said: str = "sequences"


LAST = {"digits": 8, "vowels": 29, "sunspots": 40, "surnames": 10}  # steps, whose last counts: for noise in their place


def of_task(extra: Mapping[str, Any], N: int, seed: int) -> Given | None:
    """At most N sequences of the task that a saved model names; None where there are none here.

    Raises ImportError where they come with a package that is not installed.
    """
    task = TASKS.get(extra.get("task", ""))
    return None if task is None else task(extra, N, seed)


def _sine(extra: Mapping[str, Any], N: int, seed: int) -> Given:
    window = int(extra["window"])
    data = sine.data(window=window)
    said = f"test windows of {window} points of the sine"
    return Given(data.x_test[:N], data.target_test[:N], "last", said=said)


def _drawn(task: Any, length: int) -> Callable[..., Given]:
    def few(extra: Mapping[str, Any], N: int, seed: int) -> Given:
        x, target = task.draw(np.random.default_rng(seed), N, length)
        return Given(x, target, "last", said=f"new sequences of {length} steps")

    return few


def _tagging(tag: str) -> Callable[..., Given]:
    def few(extra: Mapping[str, Any], N: int, seed: int) -> Given:
        x, target = tagging.data(tag, train=1, test=N, seed=seed).test
        return Given(x, target, said="sequences of bits")

    return few


def _tunes(feedback: bool) -> Callable[..., Given]:
    def few(extra: Mapping[str, Any], N: int, seed: int) -> Given:
        _, x, target, lengths = tunes.data()
        return Given((x if feedback else tunes.blank(x))[:N], target[:N], lengths=lengths[:N], said="tunes")

    return few


def _poems(extra: Mapping[str, Any], N: int, seed: int) -> Given:
    data = poems.data()
    return Given(data.x[:N], data.target[:N], data.steps[:N], said="pairs of lines")


def _chapter(extra: Mapping[str, Any], N: int, seed: int) -> Given:
    _, x, target = chapter.data()
    return Given(x[:N], target[:N], "last", said=f"windows of {chapter.WINDOW} characters of the chapter’s text")


def _classes(task: Any) -> Callable[..., Given]:
    def few(extra: Mapping[str, Any], N: int, seed: int) -> Given:
        x, target, lengths = (part[:N] for part in task.data().test)
        return Given(x, target, "last", lengths, "test sequences")

    return few


def _sunspots(extra: Mapping[str, Any], N: int, seed: int) -> Given:
    x, target, _ = sunspots.windows(sunspots.data().spots)
    return Given(x[-N:], target[-N:], "last", said=f"windows of {sunspots.WINDOW} years, the last ones")


TASKS: dict[str, Callable[..., Given]] = {
    "sine": _sine,
    "temporal-order": _drawn(temporal_order, 30),  # as `scratchrnn train` has them
    "adding": _drawn(adding, 20),
    **dict.fromkeys(("pairs", "pairs-one-way"), _tagging("pair")),
    **dict.fromkeys(("xor", "xor-one-way"), _tagging("xor")),
    "tunes": _tunes(True),
    "tunes-blank": _tunes(False),
    "poems": _poems,
    "chapter": _chapter,
    "digits": _classes(digits),
    "vowels": _classes(vowels),
    "surnames": _classes(surnames),
    "sunspots": _sunspots,
}
