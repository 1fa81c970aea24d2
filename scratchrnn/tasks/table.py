"""The tasks by name, each with the bar that its scores over seeds are to reach."""

from __future__ import annotations

from functools import partial

from . import adding, chapter, dates, digits, poems, sunspots, surnames, tagging, temporal_order, tunes, vowels
from .task import Task

ONE_TO_MANY, MANY_TO_ONE = "one-to-many", "many-to-one"
SYNCHRONOUS, ASYNCHRONOUS = "many-to-many, synchronous", "many-to-many, asynchronous"
FORECAST, TEXT = "forecasting", "text generation"
MSE, MSE_SCALED = "mean squared error", "mean squared error of scaled numbers"
ONE_WAY = (tagging.CEILING - 0.02, tagging.CEILING + 0.02)

TASKS = {
    "tunes": Task(
        ONE_TO_MANY,
        "eight folk tunes, each from its first note alone; its own notes are fed back",
        "tunes exact, of 8",
        (8, 8),
        tunes.train,
    ),
    "tunes-blank": Task(
        ONE_TO_MANY,
        "the same without anything fed back: the state alone knows where in the tune it is",
        "tunes exact, of 8",
        (8, 8),
        partial(tunes.train, feedback=False, epochs=1000),
    ),
    "digits": Task(
        MANY_TO_ONE, "a handwritten digit read row by row", "test accuracy", (0.97, 1), digits.train, needs="sklearn"
    ),
    "vowels": Task(
        MANY_TO_ONE,
        "who speaks a Japanese vowel, in 7 to 29 steps",
        "test accuracy",
        (0.955, 1),
        vowels.train,
        needs="aeon",
    ),
    "surnames": Task(
        MANY_TO_ONE,
        "which of ten languages a surname is from",
        "test accuracy",
        (0.55, 1),
        surnames.train,
        needs="faker",
    ),
    "temporal-order": Task(
        MANY_TO_ONE,
        "which of two signals, half a sequence apart, came first; plain SGD with clipping",
        "sequences right",
        (0.985, 1),
        temporal_order.train,
    ),
    "adding": Task(
        MANY_TO_ONE, "the sum of two marked numbers of 20", "mean squared error", (0, 0.002), adding.train, MSE
    ),
    "pairs": Task(
        SYNCHRONOUS,
        "tag each of 20 bits with the bits 3 before and 3 after it; one bidirectional layer",
        "steps right",
        (0.999, 1),
        tagging.train,
    ),
    "pairs-one-way": Task(
        SYNCHRONOUS,
        "the same in one direction, which cannot know the bit to come",
        "steps right",
        ONE_WAY,
        partial(tagging.train, directions=1),
    ),
    "xor": Task(
        SYNCHRONOUS,
        "tag each of 20 bits with the exclusive or of those two; two bidirectional layers",
        "steps right",
        (0.999, 1),
        partial(tagging.train, "xor", 2),
    ),
    "xor-one-way": Task(
        SYNCHRONOUS,
        "the same in one direction, under the same ceiling",
        "steps right",
        ONE_WAY,
        partial(tagging.train, "xor", 2, directions=1),
    ),
    "dates": Task(
        ASYNCHRONOUS,
        "dates as people write them, in four forms, to ISO 8601; encoder and decoder",
        "unseen days exact",
        (0.99, 1),
        dates.train,
    ),
    "sunspots": Task(
        FORECAST,
        "next year's sunspots, the mean of five networks",
        "RMSE of 62 years",
        (0, 18.9),
        sunspots.train,
        MSE_SCALED,
        "statsmodels",
    ),
    "poems": Task(TEXT, "a line of a Tang poem to the next line", "lines exact", (0.99, 1), poems.train),
    "chapter": Task(
        TEXT, "the chapter's character model with the chapter's settings", "loss at the end", (0, 0.01), chapter.train
    ),
}


def bar(task: Task) -> str:
    """The bar for people: "≥ 0.97", "≤ 18.9", "0.555 … 0.595" or "= 8".

    >>> bar(TASKS["digits"]), bar(TASKS["sunspots"])
    ('≥ 0.97', '≤ 18.9')
    """
    low, high = task.bar
    if low == high:
        return f"= {low:g}"
    if low == 0:
        return f"≤ {high:g}"
    return f"≥ {low:g}" if high == 1 else f"{low:.3f} … {high:.3f}"
