"""NumPy: the text itself, no twins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, ClassVar, TypeVar

import numpy as np

from .arrays import Array, to_numpy

Result = TypeVar("Result")


class Backend:
    """Where arrays live, which functions have a faster twin, and how an update is mapped over blocks of rows.

    This base is the NumPy backend; the others change what differs. A backend has no state of its own that a model could
    depend on, so copies of a model share it.
    """

    name: ClassVar[str] = "numpy"

    @property
    def xp(self) -> ModuleType:
        """The array module."""
        return np

    def asarray(self, array: Any, dtype: Any = None) -> Array:
        """The array where this backend computes, C-contiguous; copied only where needed."""
        return np.ascontiguousarray(to_numpy(array), dtype=dtype)

    def twin(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The faster function with the same arguments and results, or the text itself where there is none."""
        return function

    def cut(self, rows: int, work: int) -> list[slice]:
        """Row blocks of an update, by shape alone. work: multiplications of its forward pass."""
        return [slice(0, rows)]

    def map(self, function: Callable[[slice], Result], blocks: Sequence[slice]) -> list[Result]:
        """[function(block) for block in blocks], results in order."""
        return [function(block) for block in blocks]

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        from . import resolve

        return resolve, (self.name,)
