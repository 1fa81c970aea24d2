"""Series and rows of unequal length as the arrays that a model takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ._arguments import integer
from ._arrays import as_array, namespace, plain, to_numpy

KINDS = {"f": "floats", "i": "integers", "u": "integers", "b": "booleans"}


def pad(rows: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of unequal length as one array x, filled with 0 past their ends, and their lengths.

    Parameters
    ----------
    rows : N rows of at least one step each, all of one form:

        floats (T_n,)        x (N, T, 1), one feature per step
        numbers (T_n, D)     x (N, T, D)
        integers (T_n,)      x (N, T), tokens or classes
        booleans (T_n,)      x (N, T), a mask for `steps`

    Returns x, with T the largest T_n, and lengths (N,) int64. x has the dtype of the rows, or the smallest that holds
    all of theirs. Targets of every step are padded in the same way. Raises ValueError for an empty row, or rows of
    different widths; TypeError for integers beside floats, and for what is no array of numbers.

    >>> x, lengths = pad([[3, 1, 4], [1, 5]])
    >>> x.tolist(), lengths.tolist()
    ([[3, 1, 4], [1, 5, 0]], [3, 2])
    >>> x, lengths = pad([np.ones((3, 2)), np.ones((5, 2))])
    >>> x.shape, pad([[0.5, 0.1], [0.3]])[0].shape
    ((2, 5, 2), (2, 2, 1))
    """
    if hasattr(rows, "__array__") or namespace(rows) is not np or isinstance(rows, (dict, set)):
        rows = to_numpy(plain("rows", rows))
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable) or getattr(rows, "shape", None) == ():
        raise TypeError(f"pad takes a list of rows, got {type(rows).__name__}")
    arrays = [to_numpy(as_array(f"rows[{i}]", row)) for i, row in enumerate(rows)]
    if not arrays:
        raise ValueError("there are no rows to pad; a model reads at least one")
    first = arrays[0]
    for i, row in enumerate(arrays):
        if row.ndim not in (1, 2):
            hint = "; for one row pass [rows]" if all(row.ndim == 0 for row in arrays) else ""
            raise ValueError(f"rows[{i}] has shape {row.shape}, expected (T,) or (T, D){hint}")
        if not row.size:
            raise ValueError(f"rows[{i}] is empty, of shape {row.shape}; a model reads at least one step; leave it out")
        if row.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"rows[{i}] has shape {row.shape}, but rows[0] has shape {first.shape}; only their lengths may differ"
            )
        if KINDS[row.dtype.kind] != KINDS[first.dtype.kind]:
            raise TypeError(
                f"rows[{i}] holds {KINDS[row.dtype.kind]}, but rows[0] {KINDS[first.dtype.kind]}; if all are numbers "
                "rather than tokens, pass [np.asarray(row, float) for row in rows]"
            )
    dtype = np.result_type(*(row.dtype for row in arrays))
    if KINDS[dtype.kind] != KINDS[first.dtype.kind]:
        dtypes = sorted({str(row.dtype) for row in arrays})
        raise TypeError(f"no integer type holds rows of {' and '.join(dtypes)}; give them one type with row.astype")
    lengths = np.array([len(row) for row in arrays], np.int64)
    x = np.zeros((len(arrays), lengths.max(), *first.shape[1:]), dtype)
    for padded, row in zip(x, arrays, strict=True):
        padded[: len(row)] = row
    return (x[..., None] if dtype.kind == "f" and first.ndim == 1 else x), lengths


def windows(series: Any, length: int, horizon: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Every window of a series, and the value that follows `horizon` steps after the window's last.

        x[m, t] = series[m + t]      target[m] = series[m + length − 1 + horizon]      M = n − length − horizon + 1

    Parameters
    ----------
    series : (n,), or (n, F) for F values per step. Integers are numbers here too, not tokens; for tokens take x[..., 0]
        and target[:, 0], or `scratchrnn.text.Windows`, whose every step has a target.
    length : steps in a window.
    horizon : how far ahead the target lies; 1 is the next value.

    Returns x (M, length, F) and target (M, F), for `fit(…, steps="last")`. Both are read-only views of the series, so
    that windows that overlap take no memory of their own; take a copy to change them. Raises ValueError where the
    series is too short for one window and its target.

    >>> x, target = windows([0.0, 0.1, 0.2, 0.3, 0.4], 3)
    >>> x[..., 0].tolist(), target[:, 0].tolist()
    ([[0.0, 0.1, 0.2], [0.1, 0.2, 0.3]], [0.3, 0.4])
    """
    length, horizon = integer("length", length), integer("horizon", horizon)
    series = to_numpy(as_array("series", series))
    if series.ndim not in (1, 2):
        raise ValueError(f"expected a series of shape (n,) or (n, F), got {series.shape}")
    series = series[:, None] if series.ndim == 1 else series
    M = len(series) - length - horizon + 1
    if M < 1:
        raise ValueError(
            f"a series of {len(series)} steps has no window of {length} with a value {horizon} steps after it; it "
            f"needs at least {length + horizon} steps"
        )
    x = np.lib.stride_tricks.sliding_window_view(series, length, axis=0)[:M].swapaxes(1, 2)
    target = series[length + horizon - 1 :]
    target.flags.writeable = False
    return x, target
