"""Writing on from a prompt with a character model, one drawn character at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from ._arguments import integer, not_negative
from ._arrays import to_numpy
from ._hints import check_order
from .encoder_decoder import EncoderDecoder
from .model import SequenceModel
from .text import Vocabulary


def sample(
    model: SequenceModel,
    vocabulary: Vocabulary,
    prompt: str,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    mode: str = "carried",
    window: int | None = None,
    seed: int | np.random.Generator = 0,
) -> str:
    """Write on from a prompt, one character at a time, each drawn from p = softmax(y / temperature).

    Parameters
    ----------
    model : takes and gives `len(vocabulary)` characters.
    prompt : at least one character.
    length : how many characters to add.
    temperature : below 1 likely characters become likelier still, above 1 all become alike; 0 is greedy: always the
        likeliest character, nothing is drawn.
    top_k : only the k likeliest characters can be drawn, of equally likely ones those of smaller id; None is all.
    mode : "carried" reads the prompt once and carries the state from character to character; "window" is the
        chapter's way, which starts from a zero state for every character and reads the last `window` characters.
    window : for mode "window"; None is the length of the prompt, as in the chapter.
    seed : a number, or a generator to draw from. The same seed gives the same text on every backend, up to rounding.

    Returns the prompt and what was added. Raises ValueError or TypeError that says what was expected and what came.
    Source: chapter, 文本处理示例:字符级语言模型 (generate_text).
    """
    ids = _check_sample(model, vocabulary, prompt, length, temperature, top_k, mode, window)
    rng = np.random.default_rng(seed)
    outputs = _carried(model, ids) if mode == "carried" else _sliding(model, ids, window or len(ids))
    for y in islice(outputs, length):
        ids.append(draw(y, temperature, rng, top_k))
    return vocabulary.decode(ids)


def draw(y: np.ndarray, temperature: float, rng: np.random.Generator, top_k: int | None = None) -> int:
    """An id drawn from softmax(y / temperature), in float64. The largest output is subtracted first: nothing overflows.

    At temperature 0 it is the first of the largest outputs, and no random number is used. With top_k the softmax is
    over the k largest outputs alone; of equal ones those that come first.

    Raises ValueError where an output is not finite.
    """
    y = y.astype(np.float64)
    if not np.isfinite(y).all():
        raise ValueError("the model's outputs are not finite: there is nothing to draw from")
    if temperature == 0:
        return int(y.argmax())
    kept = np.sort(np.argsort(-y, kind="stable")[:top_k])  # in the order of their ids, all of them for None
    with np.errstate(over="ignore", under="ignore"):
        cumulative = np.cumsum(np.exp((y[kept] - y.max()) / temperature))
    return int(kept[np.searchsorted(cumulative[:-1], rng.random() * cumulative[-1], side="right")])


def _carried(model: SequenceModel, ids: list[int]) -> Iterator[np.ndarray]:
    """Outputs (V,) after the last of the ids; each time only those are read that were not read before."""
    state, read = None, 0
    while True:
        out = model.forward(np.array([ids[read:]]), state)
        state, read = out.h_last, len(ids)
        yield to_numpy(out.y[0, -1])


def _sliding(model: SequenceModel, ids: list[int], window: int) -> Iterator[np.ndarray]:
    """Outputs (V,) after the last `window` of the ids, from a zero state."""
    while True:
        yield to_numpy(model.predict(np.array([ids[-window:]]), steps="last")[0])


def _check_sample(
    model: SequenceModel,
    vocabulary: Vocabulary,
    prompt: str,
    length: int,
    temperature: float,
    top_k: int | None,
    mode: str,
    window: int | None,
) -> list[int]:
    """The door of `sample`; returns the prompt's ids."""
    call = "sample(model, vocabulary, prompt, length)"
    check_order(call, model, [vocabulary, prompt], SequenceModel)
    if not isinstance(model, SequenceModel):
        hint = "; an EncoderDecoder has write(x)" if isinstance(model, EncoderDecoder) else ""
        raise TypeError(f"{call} takes a SequenceModel or VanillaRNN, got {type(model).__name__}{hint}")
    if not isinstance(vocabulary, Vocabulary):
        hint = "; make one: Vocabulary(text)" if isinstance(vocabulary, str) else ""
        raise TypeError(f"{call} takes a Vocabulary, got {type(vocabulary).__name__}{hint}")
    if not model.input_size == model.output_size == len(vocabulary):
        raise ValueError(
            f"the vocabulary has {len(vocabulary)} characters, but this model takes {model.input_size} and gives "
            f"{model.output_size}"
        )
    if not isinstance(prompt, str):
        raise TypeError(f"the prompt must be a string, got {type(prompt).__name__}")
    if not prompt:
        raise ValueError("the prompt is empty; give at least one character to write on from")
    integer("length", length, at_least=0)
    not_negative("temperature", temperature)
    if top_k is not None:
        integer("top_k", top_k)
    if mode not in ("carried", "window"):
        raise ValueError(f'mode must be "carried" or "window", got {mode!r}')
    if mode == "carried" and any(layer.directions == 2 for layer in model.layers):
        raise ValueError('this model reads a text from its end too, so it has no state to carry on; use mode="window"')
    if window is not None:
        if mode != "window":
            raise ValueError('window is for mode="window"; a carried state has none')
        integer("window", window)
    return vocabulary.encode(prompt).tolist()
