"""Initial weights by name, always drawn by NumPy in float64 so that every backend starts from the same numbers.

Two rules go by the shape of a matrix (M, K), which takes K numbers to M: "xavier" and "he". "normal(std)" asks for
nothing. Three more say what W_hh does to a state from step to step, so they make sense for W_hh alone and leave every
other matrix to "xavier": "orthogonal" keeps its length, "identity" the state itself, and "spectral(radius)" says by
which factor it shrinks or grows per step in the long run. Biases start at 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

import numpy as np

from ..parameters import Shape

Rule = Callable[[np.random.Generator, Shape], np.ndarray]


def xavier(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Glorot uniform: U(−r, r) with r = √(6 / (fan_in + fan_out)).

    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks", eq. 16.
    """
    limit = np.sqrt(6.0 / sum(shape))
    return rng.uniform(-limit, limit, shape)


def he(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """N(0, 2 / fan_in), 2 / fan_in the variance: for relu, which lets half of a variance through.

    Source: He, Zhang, Ren and Sun 2015, "Delving deep into rectifiers", eq. 10.
    """
    return rng.normal(0.0, np.sqrt(2.0 / shape[1]), shape)


def normal(rng: np.random.Generator, shape: Shape, std: float) -> np.ndarray:
    """N(0, std²)."""
    return rng.normal(0.0, std, shape)


def orthogonal(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """A square matrix with Wᵀ · W = 1, uniform among all of them: ‖W · h‖ = ‖h‖.

    The signs make the factorisation of a Gaussian matrix unique; without them Q would not be uniform.
    Source: Saxe, McClelland and Ganguli 2014, section 3; Mezzadri 2007, "How to generate random matrices from the
    classical compact groups".
    """
    Q, R = np.linalg.qr(rng.normal(size=shape))
    return Q * np.sign(np.diag(R))


def identity(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """The identity: with relu and b_h = 0, the IRNN, which starts by adding up what comes in.

    Source: Le, Jaitly and Hinton 2015, "A simple way to initialize recurrent networks of rectified linear units".
    """
    return np.eye(shape[0])


def spectral(rng: np.random.Generator, shape: Shape, radius: float) -> np.ndarray:
    """A Gaussian matrix scaled to the largest |eigenvalue| given."""
    W = rng.normal(size=shape)
    return W * (radius / np.abs(np.linalg.eigvals(W)).max())


RULES: dict[str, Callable[..., np.ndarray]] = {
    "xavier": xavier,
    "he": he,
    "orthogonal": orthogonal,
    "identity": identity,
    "normal": normal,
    "spectral": spectral,
}
ARGUMENTS = {"normal": "std", "spectral": "radius"}
FOR_W_HH = ("orthogonal", "identity", "spectral")
FORMS = ", ".join(f"{name}({ARGUMENTS[name]})" if name in ARGUMENTS else name for name in RULES)


def check_init(name: str) -> None:
    """Raise ValueError for what names no rule."""
    _read(name)


def draw(rng: np.random.Generator, shapes: Mapping[str, Shape], init: str) -> dict[str, np.ndarray]:
    """Initial arrays in the declared order: matrices by the named rule, biases (one axis) zero."""
    rule, for_W_hh = _read(init)

    def initial(symbol: str, shape: Shape) -> np.ndarray:
        if len(shape) == 1:
            return np.zeros(shape)
        return (xavier if for_W_hh and not symbol.startswith("W_hh") else rule)(rng, shape)

    return {symbol: initial(symbol, shape) for symbol, shape in shapes.items()}


def _read(init: str) -> tuple[Rule, bool]:
    """The rule that "name" or "name(number)" stands for, and whether it is for W_hh alone."""
    found = re.fullmatch(r"([a-z]+)(?:\((.*)\))?", init) if isinstance(init, str) else None
    if found is None or found[1] not in RULES:
        raise ValueError(f"init={init!r} is not known; choose one of {FORMS}")
    name, argument = found.groups()
    rule, what = RULES[name], ARGUMENTS.get(name)
    if what is None:
        if argument is not None:
            raise ValueError(f"init={init!r}: {name} takes no number; choose one of {FORMS}")
        return rule, name in FOR_W_HH
    try:
        number = float(argument)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"init={init!r}: {name} needs a {what} above 0 and finite, as in {name}(0.1)")
    return lambda rng, shape: rule(rng, shape, number), name in FOR_W_HH
