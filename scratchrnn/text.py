"""Text for a character model: reading it, numbering its characters, cutting it into windows.

A character stands for a one-hot vector and is never written as one: everything here speaks of integer ids, which the
first layer takes as they are. A long text costs its own size in memory, once, in the smallest integer type that fits.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .backends.arrays import to_numpy
from .checks import integer

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


def streams(ids: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A text as parallel streams for `fit(…, batch_size=rows, truncate=K, stateful=True)`, with the characters after.

        x[n, t] = ids[n · T + t]      target[n, t] = ids[n · T + t + 1]      T = ⌊(len(ids) − 1) / rows⌋

    Returns x and target, both (rows, T) and views of ids, which is (n,) integers. Characters at the end that fill no
    step of all rows are left out. Raises ValueError where the text is too short for one step.

    >>> x, target = streams(np.arange(10), 2)
    >>> x.tolist(), target.tolist()
    ([[0, 1, 2, 3], [4, 5, 6, 7]], [[1, 2, 3, 4], [5, 6, 7, 8]])
    """
    rows, ids = integer("rows", rows), np.asarray(ids)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise ValueError(f"expected integer ids of shape (n,), got {ids.dtype} of shape {ids.shape}")
    T = (len(ids) - 1) // rows
    if T < 1:
        raise ValueError(
            f"a text of {len(ids)} characters is too short for {rows} streams with a target after each character; it "
            f"needs at least {rows + 1}, or fewer rows"
        )
    return ids[: rows * T].reshape(rows, T), ids[1 : rows * T + 1].reshape(rows, T)


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
        self.ids, self.seq_length = ids, integer("seq_length", seq_length)
        self.stride = self.seq_length if stride is None else integer("stride", stride)
        if len(ids) <= self.seq_length:
            raise ValueError(
                f"a text of {len(ids)} characters is too short for windows of {self.seq_length} with a target after "
                f"each; it needs at least {self.seq_length + 1}, or shorter windows"
            )

    def __len__(self) -> int:
        return (len(self.ids) - 1 - self.seq_length) // self.stride + 1

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x and target (N, T) of the windows with these numbers; both are views of one time-major array (T + 1, N)."""
        steps = np.arange(self.seq_length + 1)
        ids = self.ids[steps[:, None] + np.asarray(rows) * self.stride]
        return ids[:-1].T, ids[1:].T
