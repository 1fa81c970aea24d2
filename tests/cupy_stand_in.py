"""A stand-in for CuPy on a machine without a GPU: NumPy's arithmetic behind CuPy's rules.

Placed in `sys.modules["cupy"]` it lets the package run on "device" arrays, and refuses what CuPy 14 refuses:

- a device array becomes a NumPy array through `get` alone, and meets no NumPy array in an operator or a function;
- a result without axes stays on the device; `float`, `int`, `bool` and `item` fetch it;
- a slice cannot be assigned from a NumPy array;
- `empty` is not zero: it holds NaN, or the most negative integer.

It is stricter where CuPy goes on in silence: an index out of bounds (CuPy wraps it around), several values assigned to
one place (CuPy keeps any of them), a NumPy function called on a device array (CuPy takes over), and a CuPy function
called on a NumPy array (some answer). The text asks `namespace` which function to call. All names are CuPy's; there are
as many of them as the package needs.
"""

from __future__ import annotations

import builtins as _builtins  # CuPy's any, max, sum … are defined below
import operator as _operator
import types as _types
from typing import Any as _Any

import numpy as _np
from numpy import float32 as float32
from numpy import float64 as float64
from numpy import int32 as int32
from numpy import int64 as int64

__version__ = "14.2.0"


class ndarray:  # noqa: N801
    """An array on the device. What it holds is a NumPy array, in `_host`."""

    __module__ = "cupy"
    __slots__ = ("_host",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, shape: _Any, dtype: _Any = float) -> None:
        self._host: _np.ndarray = _np.full(shape, _garbage(_np.dtype(dtype)), dtype)

    def get(self) -> _np.ndarray:
        return self._host.copy()

    def set(self, array: _Any) -> None:
        if not isinstance(array, _np.ndarray) or (array.shape, array.dtype) != (self.shape, self.dtype):
            raise TypeError("only a numpy.ndarray of the same shape and dtype can be set")
        self._host[...] = array

    def __array__(self, dtype: _Any = None, copy: _Any = None) -> _np.ndarray:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, function: _Any, method: str, *inputs: _Any, **options: _Any) -> _Any:
        if method == "__call__" and not options and _builtins.any(isinstance(x, _np.generic) for x in inputs):
            return _compute(function, *inputs)  # np.float64(2) * array
        raise TypeError(f"NumPy's {function.__name__} met a device array; use namespace(array)")

    def __array_function__(self, function: _Any, *args: _Any) -> _Any:
        raise TypeError(f"numpy.{function.__name__} was called on a device array; use namespace(array)")

    def __iter__(self) -> _Any:
        return (self[i] for i in range(self.shape[0]))

    def __getitem__(self, key: _Any) -> _Any:
        return _device(self._host[_index(key)])

    def __setitem__(self, key: _Any, value: _Any) -> None:
        key = _index(key)
        by_arrays = _builtins.any(isinstance(k, (list, _np.ndarray)) for k in key)
        if isinstance(value, ndarray):
            value = value._host
        elif not by_arrays and _np.ndim(value) > 0:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        if by_arrays and _np.ndim(value) > 0:
            places = _np.arange(self.size).reshape(self.shape)[key]
            if _np.unique(places).size < places.size:
                raise IndexError("several values are assigned to one place; which of them stays is undefined")
        with _np.errstate(all="ignore"):
            self._host[key] = value

    def fill(self, value: _Any) -> None:
        self[...] = value

    def astype(self, dtype: _Any, order: _Any = "K", *, copy: bool = True) -> _Any:
        if not copy and self.dtype == dtype:
            return self
        with _np.errstate(all="ignore"):
            return _device(self._host.astype(dtype, order))

    def clip(self, a_min: _Any = None, a_max: _Any = None, out: _Any = None) -> _Any:
        return _compute(_np.clip, self, a_min, a_max, out=out)

    def __copy__(self) -> _Any:
        return _device(self._host.copy())

    def __deepcopy__(self, memo: _Any) -> _Any:
        return _device(self._host.copy())

    def __reduce__(self) -> _Any:
        return array, (self.get(),)

    def __getattr__(self, name: str) -> _Any:  # for type checkers: the loops below set what there is
        raise AttributeError(f"the stand-in's ndarray has no {name!r}; where CuPy's has it, add it")


class ufunc:  # noqa: N801
    """One of NumPy's universal functions, for device arrays and scalars."""

    def __init__(self, name: str) -> None:
        self.name, self._function = name, getattr(_np, name)

    def __call__(self, *args: _Any, out: _Any = None) -> _Any:
        return _compute(self._function, *args, out=out)

    def at(self, a: _Any, indices: _Any, b: _Any) -> None:
        if self.name != "add":
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        if a.dtype not in (float32, float64, int32):
            raise TypeError("scatter_add only supports int32, float16, float32, float64, uint32, uint64, as data type")
        _np.add.at(_only_device(a)._host, _index(indices), asarray(b, a.dtype)._host)


def _device(host: _Any) -> _Any:
    array = object.__new__(ndarray)
    array._host = _np.asarray(host)
    return array


def _only_device(value: _Any) -> _Any:
    if not isinstance(value, ndarray):
        raise TypeError(f"expected cupy.ndarray, got {type(value)}")
    return value


def _garbage(dtype: _np.dtype) -> _Any:
    """What uninitialised memory holds."""
    return _np.iinfo(dtype).min if dtype.kind in "iu" else True if dtype.kind == "b" else _np.nan


def _operand(value: _Any) -> _Any:
    """What NumPy shall compute with: CuPy takes device arrays, and scalars of Python and NumPy."""
    if isinstance(value, ndarray):
        return value._host
    if isinstance(value, (bool, int, float, complex, _np.generic)):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def _compute(function: _Any, *args: _Any, out: _Any = None, **options: _Any) -> _Any:
    """The function of what the arrays hold; a device does not warn of overflow."""
    if out is not None:
        options["out"] = _only_device(out)._host
    with _np.errstate(all="ignore"):
        result = function(*map(_operand, args), **options)
    return _device(result) if out is None else out


def _index(key: _Any) -> tuple[_Any, ...]:
    """An index for NumPy: device, NumPy and list indices are welcome. With the ellipsis an entry stays a 0-d view."""
    key = tuple(k._host if isinstance(k, ndarray) else k for k in (key if isinstance(key, tuple) else (key,)))
    return key if _builtins.any(k is Ellipsis for k in key) else (*key, ...)


# What is alike but for its name.


def _attribute(name: str) -> _Any:
    return property(lambda self: getattr(self._host, name))


def _part(name: str) -> _Any:
    return property(lambda self: _device(getattr(self._host, name)))


def _to_python(name: str) -> _Any:
    return lambda self, *args: getattr(self._host, name)(*args)


def _view(name: str) -> _Any:
    return lambda self, *args, **options: _device(getattr(self._host, name)(*args, **options))


def _operation(name: str) -> _Any:
    return lambda *args: _compute(getattr(_operator, name), *args)


def _reflected(name: str) -> _Any:
    return lambda self, other: _compute(getattr(_operator, name), other, self)


def _in_place(name: str) -> _Any:
    def method(self: _Any, other: _Any) -> _Any:
        _compute(getattr(_operator, name), self, other)
        return self

    return method


def _reduction(name: str) -> _Any:
    def reduce(self: _Any, axis: _Any = None, *, out: _Any = None, keepdims: bool = False) -> _Any:
        return _compute(getattr(_np, name), _only_device(self), axis=axis, out=out, keepdims=keepdims)

    return reduce


_REDUCTIONS = "all any argmax argmin max mean min prod sum".split()
_UFUNCS = (
    "abs absolute add divide equal exp expm1 greater greater_equal isfinite isinf isnan less less_equal log log1p "
    "logical_and logical_not logical_or matmul maximum minimum multiply negative not_equal power sign sqrt square "
    "subtract tanh true_divide"
)
_ARITHMETIC = "add sub mul truediv floordiv mod pow and or xor".split()
_METHODS: list[tuple[_Any, list[str]]] = [
    (_attribute, "shape dtype ndim size itemsize nbytes flags strides".split()),
    (_part, ["T", "real", "imag"]),
    (_to_python, "__bool__ __int__ __float__ __complex__ __repr__ __str__ __format__ __len__ item tolist".split()),
    (_view, "copy flatten ravel reshape squeeze swapaxes transpose".split()),
    (_operation, [f"__{name}__" for name in [*_ARITHMETIC, *"matmul eq ne lt le gt ge neg pos abs invert".split()]]),
    (_in_place, [f"__i{name}__" for name in _ARITHMETIC]),
    (_reduction, _REDUCTIONS),
]
for _make, _names in _METHODS:
    for _name in _names:
        setattr(ndarray, _name, _make(_name))
for _name in [*_ARITHMETIC, "matmul"]:
    setattr(ndarray, f"__r{_name}__", _reflected(f"__{_name}__"))
globals().update({name: ufunc(name) for name in _UFUNCS.split()})
globals().update({name: _reduction(name) for name in _REDUCTIONS})


def count_nonzero(a: _Any, axis: _Any = None) -> _Any:
    return _compute(_np.sum, _only_device(a) != 0, axis=axis)


# Making arrays.


def array(obj: _Any, dtype: _Any = None, copy: _Any = True) -> _Any:
    if isinstance(obj, ndarray):
        return obj.astype(obj.dtype if dtype is None else dtype, copy=bool(copy))
    return _device(_np.array(obj, dtype))


def asarray(a: _Any, dtype: _Any = None) -> _Any:
    return array(a, dtype, copy=None)


def ascontiguousarray(a: _Any, dtype: _Any = None) -> _Any:
    return a if _only_device(a).flags.c_contiguous and dtype in (None, a.dtype) else a.astype(dtype or a.dtype, "C")


def empty(shape: _Any, dtype: _Any = float) -> _Any:
    return ndarray(shape, dtype)


def zeros(shape: _Any, dtype: _Any = float) -> _Any:
    return _device(_np.zeros(shape, dtype))


def ones(shape: _Any, dtype: _Any = float) -> _Any:
    return _device(_np.ones(shape, dtype))


def eye(N: int, dtype: _Any = float) -> _Any:
    return _device(_np.eye(N, dtype=dtype))


def arange(*args: _Any, dtype: _Any = None) -> _Any:
    return _compute(_np.arange, *args, **({} if dtype is None else {"dtype": dtype}))


def zeros_like(a: _Any, dtype: _Any = None, *, shape: _Any = None) -> _Any:
    return _device(_np.zeros_like(_only_device(a)._host, dtype, shape=shape))


def empty_like(prototype: _Any, dtype: _Any = None, *, shape: _Any = None) -> _Any:
    like = zeros_like(prototype, dtype, shape=shape)
    like.fill(_garbage(like.dtype))
    return like


# Functions of arrays.


def where(condition: _Any, x: _Any, y: _Any) -> _Any:
    return _compute(_np.where, condition.astype(bool, copy=False), x, y)


def clip(a: _Any, a_min: _Any, a_max: _Any, out: _Any = None) -> _Any:
    return _only_device(a).clip(a_min, a_max, out)


def stack(tup: _Any, axis: int = 0) -> _Any:
    return _device(_np.stack([_only_device(a)._host for a in tup], axis))


def concatenate(tup: _Any, axis: int = 0) -> _Any:
    return _device(_np.concatenate([_only_device(a)._host for a in tup], axis))


class _CUDARuntimeError(RuntimeError):
    pass


cuda = _types.SimpleNamespace(
    runtime=_types.SimpleNamespace(getDeviceCount=lambda: 1, CUDARuntimeError=_CUDARuntimeError)
)
