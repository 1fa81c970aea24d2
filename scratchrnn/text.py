"""Text for a character model: reading it, numbering its characters, cutting it into windows, writing on from a prompt.

A character stands for a one-hot vector and is never written as one: everything here speaks of integer ids, which the
first layer takes as they are. A long text costs its own size in memory, once, in the smallest integer type that fits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from .backends.arrays import to_numpy
from .model import SequenceModel

BLOCK = 1 << 18  # characters numbered at a time: bounds the working memory of `encode`


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a UTF-8 file; a byte-order mark is dropped and line ends become "\\n", as Python reads text files.

    Raises FileNotFoundError or IsADirectoryError where there is no such file, ValueError where it is empty, or is not
    UTF-8 (with the position of the first byte that is not).
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {str(path)!r}") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"{str(path)!r} is a folder, not a text file") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is not UTF-8: byte 0x{data[error.start]:02X} at position {error.start} ({error.reason}); "
            "save the file as UTF-8"
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text:
        raise ValueError(f"{str(path)!r} is empty")
    return text


class Vocabulary:
    """The characters of a text, sorted, each with its place in that order as its id.

    Parameters
    ----------
    text : whatever characters are to be known, in any order, repeated or not.

    A character is a Unicode code point, so any text will do. Equal character sets make equal vocabularies. Raises
    ValueError for an empty text.

    >>> vocabulary = Vocabulary("to be")
    >>> vocabulary.encode("bet")
    array([1, 2, 4])
    >>> vocabulary.decode([4, 3])
    'to'
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"a vocabulary is made from a string, got {type(text).__name__}")
        if not text:
            raise ValueError("a vocabulary needs at least one character, got an empty text")
        self.characters = "".join(sorted(set(text)))
        self._codes = _code_points(self.characters)

    @classmethod
    def from_list(cls, characters: Sequence[str]) -> Vocabulary:
        """The vocabulary that `to_list` was called on. Raises ValueError unless these are sorted single characters."""
        vocabulary = cls("".join(characters))
        if vocabulary.to_list() != list(characters):
            raise ValueError("the characters of a vocabulary must be single, distinct and sorted by code point")
        return vocabulary

    def to_list(self) -> list[str]:
        """The characters in the order of their ids: what JSON can hold."""
        return list(self.characters)

    @property
    def dtype(self) -> np.dtype:
        """The smallest integer type that holds every id."""
        return np.min_scalar_type(len(self) - 1)

    def encode(self, text: str, dtype: Any = np.int64) -> np.ndarray:
        """Ids (len(text),) of the characters of a text.

        Raises ValueError that names the first unknown character, its code point and its position.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a string to encode, got {type(text).__name__}")
        ids = np.empty(len(text), dtype)
        for start in range(0, len(text), BLOCK):
            codes = _code_points(text[start : start + BLOCK])
            block = np.searchsorted(self._codes, codes)
            unknown = self._codes[np.minimum(block, len(self) - 1)] != codes
            if unknown.any():
                position = start + int(np.argmax(unknown))
                raise ValueError(
                    f"character {text[position]!r} (U+{ord(text[position]):04X}) at position {position} is not among "
                    f"the {len(self)} characters of this vocabulary; leave it out, or train on a text that has it"
                )
            ids[start : start + BLOCK] = block
        return ids

    def decode(self, ids: Any) -> str:
        """The text with these ids, a sequence (n,) of integers. Raises IndexError for an id that no character has."""
        ids = to_numpy(ids)
        if ids.ndim != 1:
            raise ValueError(f"expected ids of shape (n,), got {ids.shape}")
        if ids.size == 0:
            return ""
        if ids.dtype.kind not in "iu":
            raise TypeError(f"ids must be integers, got {ids.dtype}")
        wrong = (ids < 0) | (ids >= len(self))
        if wrong.any():
            position = int(np.argmax(wrong))
            raise IndexError(f"id {int(ids[position])} at position {position} is outside 0 … {len(self) - 1}")
        return self._codes[ids].tobytes().decode("utf-32-le", "surrogatepass")

    def __len__(self) -> int:
        return len(self.characters)

    def __contains__(self, character: object) -> bool:
        return isinstance(character, str) and len(character) == 1 and character in self.characters

    def __eq__(self, other: object) -> bool:
        return self.characters == other.characters if isinstance(other, Vocabulary) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        shown = self.characters if len(self) <= 40 else self.characters[:39] + "…"
        return f"Vocabulary({len(self)} characters: {shown!r})"


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


class Windows:
    """A batch source for `fit`: windows of a text, each character's target the one after it.

        x[n, t] = ids[n · stride + t]      target[n, t] = ids[n · stride + t + 1]

    Parameters
    ----------
    ids : (n,) integers, kept as they are: no window is copied before it is asked for.
    seq_length : T, characters in a window.
    stride : from the start of one window to the start of the next; None is seq_length, windows side by side.

    Characters at the end that fill no window are left out. Raises ValueError where the text is shorter than one window
    and its last target.

    >>> windows = Windows(np.arange(10), 4)
    >>> len(windows)
    2
    >>> x, target = windows.gather(np.array([1]))
    >>> x.tolist(), target.tolist()
    ([[4, 5, 6, 7]], [[5, 6, 7, 8]])
    """

    def __init__(self, ids: np.ndarray, seq_length: int, stride: int | None = None) -> None:
        self.ids, self.seq_length = ids, _count("seq_length", seq_length)
        self.stride = self.seq_length if stride is None else _count("stride", stride)
        if len(ids) <= self.seq_length:
            raise ValueError(
                f"a text of {len(ids)} characters is too short for windows of {self.seq_length} with a target after "
                f"each; it needs at least {self.seq_length + 1}, or a smaller seq_length"
            )

    def __len__(self) -> int:
        return (len(self.ids) - 1 - self.seq_length) // self.stride + 1

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x and target (N, T) of the windows with these numbers; both are views of one time-major array (T + 1, N)."""
        steps = np.arange(self.seq_length + 1)
        ids = self.ids[steps[:, None] + np.asarray(rows) * self.stride]
        return ids[:-1].T, ids[1:].T


def sample(
    model: SequenceModel,
    vocabulary: Vocabulary,
    prompt: str,
    length: int,
    *,
    temperature: float = 1.0,
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
    temperature : below 1 likely characters become likelier still, above 1 all become alike.
    mode : "carried" reads the prompt once and carries the state from character to character; "window" is the
    chapter's way, which starts from a zero state for every character and reads the last `window` characters.
    window : for mode "window"; None is the length of the prompt, as in the chapter.
    seed : a number, or a generator to draw from. The same seed gives the same text on every backend, up to rounding.

    Returns the prompt and what was added. Raises ValueError or TypeError that says what was expected and what came.
    Source: chapter, 文本处理示例:字符级语言模型 (generate_text).
    """
    ids = _check_sample(model, vocabulary, prompt, length, temperature, mode, window)
    rng = np.random.default_rng(seed)
    outputs = _carried(model, ids) if mode == "carried" else _sliding(model, ids, window or len(ids))
    for y in islice(outputs, length):
        ids.append(draw(y, temperature, rng))
    return vocabulary.decode(ids)


def draw(y: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """An id drawn from softmax(y / temperature), in float64. The largest output is subtracted first: nothing overflows.

    Raises ValueError where an output is not finite.
    """
    y = y.astype(np.float64)
    if not np.isfinite(y).all():
        raise ValueError("the model's outputs are not finite: there is nothing to draw from")
    with np.errstate(over="ignore", under="ignore"):
        cumulative = np.cumsum(np.exp((y - y.max()) / temperature))
    return int(np.searchsorted(cumulative[:-1], rng.random() * cumulative[-1], side="right"))


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
    mode: str,
    window: int | None,
) -> list[int]:
    """The door of `sample`; returns the prompt's ids."""
    if not model.input_size == model.output_size == len(vocabulary):
        raise ValueError(
            f"the vocabulary has {len(vocabulary)} characters, but this model takes {model.input_size} and gives "
            f"{model.output_size}"
        )
    if not isinstance(prompt, str):
        raise TypeError(f"the prompt must be a string, got {type(prompt).__name__}")
    if not prompt:
        raise ValueError("the prompt is empty; give at least one character to write on from")
    _count("length", length, at_least=0)
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float, np.number)):
        raise TypeError(f"temperature must be a number, got {temperature!r}")
    if not (temperature > 0 and np.isfinite(temperature)):
        raise ValueError(f"temperature must be positive and finite, got {temperature}")
    if mode not in ("carried", "window"):
        raise ValueError(f'mode must be "carried" or "window", got {mode!r}')
    if window is not None:
        if mode != "window":
            raise ValueError('window is for mode="window"; a carried state has none')
        _count("window", window)
    return vocabulary.encode(prompt).tolist()


def _count(name: str, value: int, at_least: int = 1) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    return int(value)
