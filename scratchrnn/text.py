"""Text for a character model: reading it, numbering its characters, cutting it into windows.

A character stands for a one-hot vector and is never written as one: everything here speaks of integer ids, which the
first layer takes as they are. A long text costs its own size in memory, once, in the smallest integer type that fits.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ._arguments import integer
from ._arrays import Array, as_array, plain, to_numpy

if TYPE_CHECKING:
    from importlib.abc import Traversable

    import numpy.typing as npt

BLOCK = 1 << 18  # characters numbered at a time: bounds the working memory of `encode`


def read_text(path: str | os.PathLike[str] | Traversable, encoding: str = "utf-8") -> str:
    """The text of a file; a byte-order mark is dropped and line ends become "\\n", as Python reads text files.

    Parameters
    ----------
    path : the file; "~" is the home folder. A file from `importlib.resources.files` is read too.
    encoding : the encoding that the file was saved in, by Python's name for it, such as "utf-8", "gb18030", "utf-16".

    Raises FileNotFoundError or IsADirectoryError where there is no such file. Raises ValueError for an empty file, for
    bytes that the encoding does not have (with the position of the first), and for an unknown encoding.
    """
    encoding = encoding_name(encoding)
    file = Path(os.path.expanduser(path)) if isinstance(path, (str, os.PathLike)) else path
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {str(path)!r}") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"{str(path)!r} is a folder, not a text file") from None
    try:
        text = data.decode(encoding)
    except UnicodeError as error:
        raise ValueError(f"{str(path)!r} is not {encoding.upper()}: {_wrong_bytes(data, error)}") from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text:
        raise ValueError(f"{str(path)!r} is empty")
    return text


def encoding_name(encoding: str) -> str:
    """The name of a text encoding as Python spells it; ValueError for an unknown one, TypeError for no string.

    >>> encoding_name("GB18030"), encoding_name("UTF8")
    ('gb18030', 'utf-8')
    """
    if not isinstance(encoding, str):
        raise TypeError(f"encoding must be a string such as 'utf-8', got {encoding!r}")
    try:
        name = codecs.lookup(encoding).name
        b"ab".decode(name, "ignore")  # refuses codecs that give no text, such as base64
    except (LookupError, ValueError):
        raise ValueError(
            f"there is no text encoding {encoding!r}; Python knows utf-8, gb18030, big5, shift_jis, utf-16, latin-1 "
            "and the others in the documentation of its module codecs"
        ) from None
    return name


def _wrong_bytes(data: bytes, error: UnicodeError) -> str:
    """What does not decode and where, and which argument to change."""
    where = str(error)
    if isinstance(error, UnicodeDecodeError):
        where = f"byte 0x{data[error.start]:02X} at position {error.start} ({error.reason})"
    likely = (
        '"utf-16"'
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        else '"gb18030", "latin-1" or "utf-16"'
    )
    return (
        f"{where}; pass the encoding that the file was saved in, such as encoding={likely} (--encoding on the command "
        "line), or save the file as UTF-8"
    )


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

    def encode(
        self, text: str, dtype: npt.DTypeLike = np.int64, *, unknown: Literal["error", "drop"] = "error"
    ) -> np.ndarray:
        """Ids (len(text),) of the characters of a text.

        Parameters
        ----------
        text : any string.
        dtype : an integer type that holds every id; `vocabulary.dtype` is the smallest.
        unknown : "error" raises for a character that the vocabulary does not have; "drop" leaves such characters out,
            so that fewer ids than characters may come back, or none.

        Raises ValueError that names the first unknown character, its code point and its position, and ValueError for a
        dtype that does not hold every id.

        >>> Vocabulary("to be").encode("robot", unknown="drop")
        array([3, 1, 3, 4])
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a string to encode, got {type(text).__name__}")
        if unknown not in ("error", "drop"):
            raise ValueError(f'unknown must be "error" or "drop", got {unknown!r}')
        dtype = np.dtype(dtype)
        if dtype.kind not in "iu" or np.iinfo(dtype).max < len(self) - 1:
            raise ValueError(
                f"dtype {dtype} does not hold the ids 0 … {len(self) - 1} of this vocabulary; pass vocabulary.dtype, "
                f"which is {self.dtype}, or a larger integer type"
            )
        ids = np.empty(len(text), dtype)
        size = 0
        for start in range(0, len(text), BLOCK):
            codes = _code_points(text[start : start + BLOCK])
            block = np.searchsorted(self._codes, codes)
            known = self._codes[np.minimum(block, len(self) - 1)] == codes
            if not known.all():
                if unknown == "error":
                    position = start + int(np.argmin(known))
                    raise ValueError(
                        f"character {text[position]!r} (U+{ord(text[position]):04X}) at position {position} is not "
                        f"among the {len(self)} characters of this vocabulary; leave it out, or train on a text that "
                        'has it; unknown="drop" (--drop-unknown on the command line) leaves out all such characters'
                    )
                block = block[known]
            ids[size : size + len(block)] = block
            size += len(block)
        return ids if size == len(text) else ids[:size].copy()

    def decode(self, ids: Any) -> str:
        """The text with these ids, a sequence (n,) of integers. Raises IndexError for an id that no character has."""
        ids = to_numpy(plain("ids", ids))
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


def _check_ids(ids: Any) -> Array:
    """The integers (n,) of a text."""
    if isinstance(ids, (str, bytes)):
        raise TypeError("expected the integer ids of a text, got the text itself; pass vocabulary.encode(text)")
    ids = as_array("ids", ids)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise ValueError(f"expected integer ids of shape (n,), got {ids.dtype} of shape {ids.shape}")
    return ids


def streams(ids: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A text as parallel streams for `fit(…, batch_size=rows, truncate=K, stateful=True)`, with the characters after.

        x[n, t] = ids[n · T + t]      target[n, t] = ids[n · T + t + 1]      T = ⌊(len(ids) − 1) / rows⌋

    Returns x and target, both (rows, T) and views of ids, which is (n,) integers. Characters at the end that fill no
    step of all rows are left out. Raises ValueError where the text is too short for one step.

    >>> x, target = streams(np.arange(10), 2)
    >>> x.tolist(), target.tolist()
    ([[0, 1, 2, 3], [4, 5, 6, 7]], [[1, 2, 3, 4], [5, 6, 7, 8]])
    """
    rows, ids = integer("rows", rows), _check_ids(ids)
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

    def __init__(self, ids: Any, seq_length: int, stride: int | None = None) -> None:
        self.ids, self.seq_length = _check_ids(ids), integer("seq_length", seq_length)
        self.stride = self.seq_length if stride is None else integer("stride", stride)
        if len(self.ids) <= self.seq_length:
            raise ValueError(
                f"a text of {len(self.ids)} characters is too short for windows of {self.seq_length} with a target "
                f"after each; it needs at least {self.seq_length + 1}, or shorter windows"
            )

    def __len__(self) -> int:
        return (len(self.ids) - 1 - self.seq_length) // self.stride + 1

    def gather(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x and target (N, T) of the windows with these numbers; both are views of one time-major array (T + 1, N)."""
        steps = np.arange(self.seq_length + 1)
        starts = np.asarray(rows).astype(np.int64, copy=False) * self.stride  # a narrow type of rows would wrap around
        ids = self.ids[steps[:, None] + starts]
        return ids[:-1].T, ids[1:].T
