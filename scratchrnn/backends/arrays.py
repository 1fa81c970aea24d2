"""Where an array lives, asked of the array itself."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np

Array = Any  # a NumPy array, or a CuPy array on a device


def namespace(array: Array) -> ModuleType:
    """The module whose functions work on this array: numpy, or cupy for an array on a device."""
    kind = type(array)
    return np if kind is np.ndarray or kind.__module__.partition(".")[0] != "cupy" else sys.modules["cupy"]


def to_numpy(array: Array) -> np.ndarray:
    """The array as a NumPy array: copied from the device where it lives on one, otherwise as it is."""
    return np.asarray(array) if namespace(array) is np else array.get()
