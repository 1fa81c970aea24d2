"""Checks of single numbers that a user passes, said the same way everywhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def integer(name: str, value: Any, at_least: int = 1) -> int:
    """The value as an int; TypeError unless it is an integer, ValueError below the least one allowed."""
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    return int(value)


def above_zero(name: str, value: Any, infinity: bool = False) -> float:
    """The value as a float; TypeError unless it is a number, ValueError unless above 0 and, by default, finite."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number above 0, got {value!r}")
    if not value > 0 or (math.isinf(value) and not infinity):
        raise ValueError(f"{name} must be above 0{'' if infinity else ' and finite'}, got {value}")
    return float(value)


def not_negative(name: str, value: Any) -> float:
    """The value as a float; TypeError unless it is a number, ValueError unless at least 0 and finite."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number of at least 0, got {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be at least 0 and finite, got {value}")
    return float(value)


def probability(name: str, value: Any) -> float:
    """The value as a float; TypeError unless it is a number, ValueError unless in [0, 1)."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number from 0 up to, but not including, 1, got {value!r}")
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value}")
    return float(value)
