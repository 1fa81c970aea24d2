"""Where an array lives, asked of the array itself, and what a user may pass as one."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # a NumPy array, or a CuPy array on a device

# Entries of a list that NumPy reads without help. Others are looked at one by one.
PLAIN = frozenset({int, float, bool, complex, str, bytes, type(None), np.ndarray, np.float64, np.int64, np.bool_})


def namespace(array: Array) -> ModuleType:
    """The module whose functions work on this array: numpy, or cupy for an array on a device."""
    kind = type(array)
    return np if kind is np.ndarray or kind.__module__.partition(".")[0] != "cupy" else sys.modules["cupy"]


def map_arrays(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """The function applied to an array, or to every array of a tuple or NamedTuple, however nested; None stays None.

    With several such structures of the same form, function takes the arrays at the same place in each.
    """
    if first is None:
        return None
    if not isinstance(first, tuple):
        return function(first, *others)
    parts = [map_arrays(function, *entries) for entries in zip(first, *others, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)


def detach(array: Array) -> Array:
    """The array, in memory of its own: a copy of what is a part of other memory, such as a workspace or all states."""
    return array if getattr(array, "base", None) is None else array.copy()


def side_by_side(arrays: Sequence[Array], axis: int, order: Array | None = None) -> Array:
    """Arrays joined along an axis, whose entries are then put in this order (None: left as they are)."""
    joined = namespace(arrays[0]).concatenate(arrays, axis) if len(arrays) > 1 else arrays[0]
    return joined if order is None else joined.take(order, axis=axis)


def to_numpy(array: Any) -> np.ndarray:
    """The array as a NumPy array: copied from a device where it lives on one, otherwise in its own memory if possible.

    array : a NumPy or CuPy array, lists of numbers, a PyTorch tensor in main memory (its values, without its gradient),
        a pandas or polars frame or series, or anything else that NumPy can read.

    Raises TypeError for a masked array, an array with units, and what NumPy cannot read; ValueError for lists of
    different lengths.

    >>> to_numpy([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    array = plain("array", array)
    return array if namespace(array) is np else array.get()


def as_array(name: str, value: Any) -> Array:
    """What a user passed under this name, as a plain array of real numbers; otherwise as `plain`."""
    array = plain(name, value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got {array.dtype}{_explained(name, array)}")
    return array


def plain(name: str, value: Any) -> Array:
    """What a user passed under this name, as a `numpy.ndarray` of any dtype, or as the CuPy array that it is.

    Memory is shared where NumPy can do so. A subclass of ndarray (a memory map, a matrix) is read as its plain entries
    unless they mean more than their numbers: a masked array, or one with arithmetic of its own, such as a quantity with
    a unit, raises TypeError. So does what NumPy cannot read; lists of different lengths raise ValueError.
    """
    if type(value) is np.ndarray or namespace(value) is not np:
        return value
    torch: Any = sys.modules.get("torch")
    if isinstance(value, (list, tuple)):
        value = value if _is_plain(value) else _entries(name, value)
    elif torch is not None and isinstance(value, getattr(torch, "Tensor", ())):
        tensor: Any = value
        if tensor.device.type != "cpu":
            raise TypeError(f"{name} is a tensor on the device {tensor.device}; pass {_variable(name)}.cpu()")
        value = tensor.detach()
        if tensor.dtype == torch.bfloat16:  # NumPy has no such dtype; float32 holds every one of its numbers
            value = value.float()
    elif isinstance(value, (set, frozenset, dict)) or _is_data_set(value):
        hint = f"; pass its arrays: x, target = {name}.tensors" if hasattr(value, "tensors") else "; pass its arrays"
        raise TypeError(f"{name} must be an array, got a {type(value).__name__}{hint}")
    try:
        array = np.asanyarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        if isinstance(value, list) and isinstance(error, ValueError):
            raise ValueError(_ragged(name)) from None
        raise TypeError(f"{name} is a {type(value).__name__}, which NumPy cannot read as an array: {error}") from error
    return array if type(array) is np.ndarray else _without_subclass(name, array)


def _is_data_set(value: Any) -> bool:
    """Whether this is a PyTorch data set or loader, whose items NumPy would take for rows."""
    data: Any = sys.modules.get("torch.utils.data")
    kinds = (getattr(data, "Dataset", None), getattr(data, "DataLoader", None)) if data is not None else ()
    return isinstance(value, tuple(kind for kind in kinds if kind is not None))


def _is_plain(values: list[Any] | tuple[Any, ...]) -> bool:
    """Whether these are numbers of Python, or lists of such lists: what NumPy reads by itself."""
    if PLAIN.issuperset(map(type, values)):
        return True
    return all(type(value) in (list, tuple) and _is_plain(value) for value in values)


def _entries(name: str, values: list[Any] | tuple[Any, ...]) -> list[Any]:
    """The entries of a list with what NumPy does not read by itself, or reads without its mask, made plain."""
    return [
        _entries(f"{name}[{i}]", value)
        if isinstance(value, (list, tuple))
        else value
        if isinstance(value, (numbers.Number, np.generic, str, bytes, type(None)))
        else plain(f"{name}[{i}]", value)
        for i, value in enumerate(values)
    ]


def _without_subclass(name: str, array: np.ndarray) -> np.ndarray:
    """The array without its subclass; TypeError where its entries mean more than their numbers."""
    if isinstance(array, np.ma.MaskedArray):
        advice = "; say which steps count with steps= or lengths=, and" if name in ("x", "target") else ";"
        raise TypeError(
            f"{name} is a masked array, and its mask would be lost{advice} pass {_variable(name)}.filled(0), or "
            "another value"
        )
    kind = type(array)
    if (kind.__array_ufunc__, kind.__array_function__) != (np.ndarray.__array_ufunc__, np.ndarray.__array_function__):
        raise TypeError(
            f"{name} is a {kind.__name__}, an array with arithmetic of its own (such as a unit), which would be lost; "
            f"pass {_variable(name)}.view(np.ndarray)"
        )
    return array.view(np.ndarray)


def _variable(name: str) -> str:
    """What to call an array in advice: its name, unless that is no expression, such as "0.W_hh"."""
    return name if name.partition("[")[0].isidentifier() else "array"


def _ragged(name: str) -> str:
    advice = f"; pad them: x, lengths = sr.pad({name})" if name == "x" else ""
    return f"{name} must be one array, but its rows differ in shape{advice}"


def _explained(name: str, array: Array) -> str:
    """What else to say of an array that does not hold real numbers."""
    if array.dtype.kind != "O":
        return ""
    for where in np.ndindex(array.shape):
        entry = array[where]
        if not isinstance(entry, (numbers.Real, np.bool_)):
            at = f"{name}[{', '.join(map(str, where))}]" if where else name
            shown = repr(entry)
            return f": {at} is {shown}" if len(shown) <= 40 else f": {at} is a {type(entry).__name__}"
    return f"; pass sr.to_numpy({name}).astype(float)"
