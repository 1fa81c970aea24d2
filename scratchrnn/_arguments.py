"""Checks of single numbers that a user passes, said the same way everywhere.

Each returns a plain Python number, whatever kind of number came in (NumPy's included), so that what is kept from it can
be written to a file.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np


def integer(name: str, value: Any, at_least: int = 1) -> int:
    """The value as an int; TypeError unless it is an integer, ValueError below the least one allowed."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {number}")
    return number


def above_zero(name: str, value: Any, infinity: bool = False) -> float:
    """The value as a float; TypeError unless it is a number, ValueError unless above 0 and, by default, finite."""
    number = real(name, value, "a number above 0")
    if not number > 0 or (math.isinf(number) and not infinity):
        raise ValueError(f"{name} must be above 0{'' if infinity else ' and finite'}, got {number}")
    return number


def not_negative(name: str, value: Any) -> float:
    """The value as a float; TypeError unless it is a number, ValueError unless at least 0 and finite."""
    number = real(name, value, "a number of at least 0")
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} must be at least 0 and finite, got {number}")
    return number


def probability(name: str, value: Any) -> float:
    """The value as a float; TypeError unless it is a number, ValueError unless in [0, 1)."""
    number = real(name, value, "a number from 0 up to, but not including, 1")
    if not 0 <= number < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {number}")
    return number


def real(name: str, value: Any, expected: str) -> float:
    """The value as a float; TypeError that says what is expected unless it is one real number."""
    scalar = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(scalar, (bool, np.bool_)) or not isinstance(scalar, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be {expected}, got {value!r}")
    return float(scalar)


def boolean(name: str, value: Any) -> bool:
    """The value as a bool; TypeError unless it is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def normalize(specification: Any, **checks: Callable[[str, Any], Any]) -> None:
    """Replace fields of a frozen dataclass, in its `__post_init__`, by what their checks return."""
    for name, check in checks.items():
        object.__setattr__(specification, name, check(name, getattr(specification, name)))
