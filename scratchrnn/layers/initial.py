"""Initial weights by name, always drawn by NumPy in float64 so that every backend starts from the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..parameters import Shape


def xavier(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Glorot uniform: U(−r, r) with r = √(6 / (fan_in + fan_out)).

    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 16.
    """
    limit = np.sqrt(6.0 / sum(shape))
    return rng.uniform(-limit, limit, shape)


INITIALISERS: dict[str, Callable[[np.random.Generator, Shape], np.ndarray]] = {"xavier": xavier}


def check_init(name: str) -> None:
    """Raise ValueError for a name that is no initialiser."""
    if name not in INITIALISERS:
        raise ValueError(f"init={name!r} is not known; choose one of {', '.join(INITIALISERS)}")


def draw(rng: np.random.Generator, shapes: Mapping[str, Shape], init: str) -> dict[str, np.ndarray]:
    """Initial arrays in the declared order: matrices by the named rule, biases (one axis) zero."""
    return {name: INITIALISERS[init](rng, s) if len(s) > 1 else np.zeros(s) for name, s in shapes.items()}
