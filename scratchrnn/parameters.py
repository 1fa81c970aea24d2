"""Named parameters that are views of one flat vector.

The chapter speaks of W_xh, W_hh, b_h, W_hy and b_y; an optimizer, a norm or a checkpoint wants one vector. `Parameters`
is both at once: a mapping from symbol to array whose arrays are views of `params.vector` (dense, in declared order, no
padding). Gradients have the same type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

from ._arrays import Array, namespace, plain, to_numpy

Shape = tuple[int, ...]
Symbols = tuple[tuple[str, str], ...]  # pairs: a layer's own symbol, and the name that the model gives it


class Parameters(MutableMapping[str, Array]):
    """A fixed set of named arrays stored end to end in one vector.

    Parameters
    ----------
    shapes : mapping from name to shape, in the order in which the arrays lie in the vector.
    vector : one-dimensional array with exactly as many entries as the shapes need; zeros when omitted.

    Assignment, to a name or to `vector`, copies into the memory that is there and checks the shape, so every
    holder of these parameters sees the new numbers. Names can be neither added nor removed.

    >>> params = Parameters({"W": (2, 3), "b": (2,)})
    >>> params["b"] = [1.0, 2.0]
    >>> params.vector
    array([0., 0., 0., 0., 0., 0., 1., 2.])
    >>> params.vector = params.vector - 0.5
    >>> params["b"]
    array([0.5, 1.5])
    """

    def __init__(self, shapes: Mapping[str, Shape], vector: Array | None = None) -> None:
        self.shapes: dict[str, Shape] = {name: tuple(shape) for name, shape in shapes.items()}
        self._places: list[tuple[str, slice, Shape]] = []
        size = 0
        for name, shape in self.shapes.items():
            self._places.append((name, slice(size, size + math.prod(shape)), shape))
            size += math.prod(shape)
        self.ends = np.array([place.stop for _, place, _ in self._places], int)  # where in the vector each array ends
        if vector is None:
            vector = np.zeros(size)
        if vector.shape != (size,):
            raise ValueError(f"these parameters need a vector of {size} entries, got an array of shape {vector.shape}")
        self._whole: Parameters | None = None
        self._view(vector)

    def _view(self, vector: Array) -> None:
        self._vector = vector
        self._views = {
            name: vector[place] if len(shape) == 1 else vector[place].reshape(shape)
            for name, place, shape in self._places
        }
        self._groups: tuple[Any, list[dict[str, Array]]] = (None, [])

    @property
    def vector(self) -> Array:
        """All parameters end to end, (size,). Assignment copies into it: real numbers of the same shape, any dtype."""
        return self._vector

    @vector.setter
    def vector(self, value: Any) -> None:
        if value is not self._vector:  # `params.vector -= step` assigns the vector to itself
            copy_into(self._vector, value, "the vector of these parameters")

    def groups(self, symbols: tuple[Symbols, ...]) -> list[dict[str, Array]]:
        """The arrays under other names, layer by layer: its parameters by its own symbols. The latest are kept."""
        of, groups = self._groups
        if of is not symbols:
            groups = [{symbol: self._views[name] for symbol, name in own} for own in symbols]
            self._groups = symbols, groups
        return groups

    def __getitem__(self, name: str) -> Array:
        try:
            return self._views[name]
        except KeyError:
            raise KeyError(f"no parameter {name!r}; there are {', '.join(self._views)}") from None

    def __setitem__(self, name: str, value: Any) -> None:
        copy_into(self[name], value, name)

    def __delitem__(self, name: str) -> None:
        raise TypeError("parameters have a fixed set of names; none can be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    @property
    def whole(self) -> Parameters | None:
        """The parameters of a larger model of which these are a part; None where these are a model's own."""
        return self._whole

    def become_part(self, whole: Parameters, start: int) -> int:
        """Become views of the vector of a larger model, from this entry on. Returns where they end."""
        end = start + self._vector.size
        self._whole = whole
        self._view(whole.vector[start:end])
        return end

    def like(self, vector: Array) -> Parameters:
        """The same names and shapes as views of another vector of the same length."""
        other = Parameters.__new__(Parameters)
        other.shapes, other._places, other.ends = self.shapes, self._places, self.ends
        other._whole = None
        other._view(vector)
        return other

    def copy(self) -> Parameters:
        """An independent copy."""
        return self.like(self.vector.copy())

    def __eq__(self, other: object) -> bool:
        """Same names, shapes and numbers."""
        if not isinstance(other, Parameters):
            return NotImplemented
        return self.shapes == other.shapes and bool((self.vector == other.vector).all())

    __hash__ = None  # type: ignore[assignment]

    __copy__ = copy  # one that shared the vector would change with the original

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameters:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameters, (self.shapes, self.vector)

    def __repr__(self) -> str:
        inside = ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())
        return f"Parameters({inside}; {self.vector.size} {self.vector.dtype})"


def copy_into(view: Array, value: Any, name: str) -> None:
    """Copy real numbers into an array of the same shape. `name` is what messages call the array."""
    value = plain(name, value)
    value = to_numpy(value) if namespace(view) is np else namespace(view).asarray(value)
    if value.dtype.kind not in "fiub":
        raise TypeError(f"{name} holds real numbers, got an array of {value.dtype}")
    if value.shape != view.shape:
        raise ValueError(f"{name} has shape {view.shape}, got an array of shape {value.shape}")
    with np.errstate(under="ignore"):
        view[...] = value


def assign(params: Parameters, value: Any) -> None:
    """Copy all numbers of a mapping with the same names and shapes into parameters; where one differs, none."""
    if value is params:
        return
    if not isinstance(value, Mapping):
        raise TypeError(f"params must be Parameters or a mapping of arrays, got {type(value).__name__}")
    if set(value) != set(params):
        wrong = ", ".join(sorted(set(value) ^ set(params)))
        raise ValueError(f"these parameters are {', '.join(params)}; missing or unknown: {wrong}")
    new = params.copy()
    for name, array in value.items():
        new[name] = array
    params.vector = new.vector
