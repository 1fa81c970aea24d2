"""What is computed: five networks, their data and weights, and how many operations one pass needs.

Letters as in the package: N rows, T time steps, D input features, H hidden units, O outputs. The loss is the mean
squared error over every step, or over the last one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Weights = dict[str, np.ndarray]  # by the names of a SequenceModel: "0.W_xh", …, "1.W_hy", "1.b_y"


class Workload(NamedTuple):
    """One network and one minibatch."""

    name: str
    N: int
    T: int
    D: int
    H: int
    O: int
    layers: int = 1
    last: bool = False  # the loss looks at the last step only
    batches: int = 1  # minibatches in the data that a whole epoch goes through

    @property
    def top(self) -> int:
        """Position of the output layer, as its parameters' names have it."""
        return self.layers

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i in range(self.layers):
            D = self.D if i == 0 else self.H
            shapes |= {f"{i}.W_xh": (self.H, D), f"{i}.W_hh": (self.H, self.H), f"{i}.b_h": (self.H,)}
        return shapes | {f"{self.top}.W_hy": (self.O, self.H), f"{self.top}.b_y": (self.O,)}

    def weights(self, dtype: str, seed: int = 0) -> Weights:
        """Glorot uniform matrices, and biases that are not 0, so that a wrong one shows."""
        rng = np.random.default_rng(seed)
        bounds = {name: (6 / sum(s)) ** 0.5 if len(s) == 2 else 0.1 for name, s in self.shapes().items()}
        return {name: rng.uniform(-b, b, self.shapes()[name]).astype(dtype) for name, b in bounds.items()}

    def data(self, dtype: str, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """x (batches·N, T, D) and targets (batches·N, T, O), or (batches·N, O) for the last step; N(0, 1)."""
        rng = np.random.default_rng(seed)
        rows = self.batches * self.N
        shape = (rows, self.O) if self.last else (rows, self.T, self.O)
        return rng.normal(size=(rows, self.T, self.D)).astype(dtype), rng.normal(size=shape).astype(dtype)

    def flops(self, mode: str) -> int:
        """Multiplications and additions in the matrix products of one minibatch.

        ∂L/∂h is counted between steps and between layers, where the parameters' gradients need it; ∂L/∂x is not.
        tanh, the loss and the update of the parameters are not counted.
        """
        N, T, H = self.N, self.T, self.H
        outputs = 2 * N * (1 if self.last else T) * H * self.O
        forward, backward = outputs, 2 * outputs
        for i in range(self.layers):
            D = self.D if i == 0 else H
            forward += 2 * N * T * H * (D + H)
            backward += 2 * N * T * H * (D + H) + 2 * N * (T - 1) * H * H  # weights; ∂L/∂h_t → ∂L/∂h_{t−1}
            backward += 2 * N * T * H * D if i > 0 else 0  # to the layer below
        return forward if mode == "forward" else forward + backward


WORKLOADS = {
    w.name: w
    for w in (
        Workload("sine", 32, 50, 1, 32, 1, last=True, batches=24),
        Workload("minchar", 1, 25, 65, 100, 65, batches=24),
        Workload("char", 32, 50, 128, 128, 35, layers=2, last=True, batches=4),
        Workload("mid", 64, 100, 64, 256, 64),
        Workload("large", 64, 100, 256, 1024, 64),
    )
}
