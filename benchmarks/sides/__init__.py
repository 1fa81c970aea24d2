"""The sides of the comparison, one file each, all with the same methods (`Side`)."""

from __future__ import annotations

import importlib
from typing import Protocol

from ..workloads import Weights, Workload

OURS = "scratchrnn"
# Name in tables, module here that defines `Side` and `set_threads`.
MODULES = {
    OURS: "ours",
    "PyTorch": "pytorch_side",
    "JAX": "jax_side",
    "Keras": "keras_side",
    "NumPy loop": "numpy_loop",
}


class Side(Protocol):
    """One workload in one library: weights and data as `workload` gives them, ready to be run again and again."""

    workload: Workload

    def __init__(self, workload: Workload, dtype: str) -> None: ...

    def forward(self) -> object:
        """The outputs that the loss looks at, of the first minibatch; no trace is kept where that can be helped."""

    def grads(self) -> object:
        """Loss and ∂L/∂θ of the first minibatch, as the library's users get them. No ∂L/∂x."""

    def result(self) -> tuple[float, Weights]:
        """The loss and the gradients of `grads()` by the names of the workload, to compare sides."""

    def epochs(self, count: int) -> list[float]:
        """Seconds of each of `count` epochs of training over all minibatches, shuffled.

        An update gathers its rows and goes forward, back, takes the norm, clips it to CLIP, and steps with Adam.
        """


CLIP = 1.0
LEARNING_RATE = 1e-4


def load(threads: int, names: list[str] | None = None) -> tuple[dict[str, type[Side]], dict[str, str]]:
    """The sides that are installed, each told how many threads it has, and why the others are missing."""
    found, missing = {}, {}
    for name in MODULES if names is None else names:
        try:
            module = importlib.import_module(f"{__name__}.{MODULES[name]}")
        except ImportError as error:
            missing[name] = f"{error}"
            continue
        module.set_threads(threads)
        found[name] = module.Side
    return found, missing
