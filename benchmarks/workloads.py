"""What is computed: seven networks, their data and weights, and how many operations one pass needs.

Letters as in the package: N rows, T time steps, D input features, H hidden units, O outputs. The loss is the mean
squared error over every step, or over the last one; padding past the end of a row never counts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# By the names of a SequenceModel: "0.W_xh", "0.W_hh", "0.b_h", "0.W_xh_l1", …, "1.W_hy", "1.b_y".
Weights = dict[str, np.ndarray]


class Workload(NamedTuple):
    """One network and one minibatch. `last` goes with one direction and rows of equal length."""

    name: str
    N: int
    T: int
    D: int
    H: int
    O: int
    layers: int = 1
    last: bool = False  # the loss looks at the last step only
    batches: int = 1  # minibatches in the data that a whole epoch goes through
    bidirectional: bool = False  # each layer reads from both ends; its outputs are [forward, reverse]
    shortest: int | None = None  # rows have from so many steps to T, the rest is padding; None: every row has T

    @property
    def suffixes(self) -> list[list[str]]:
        """What follows W_xh, W_hh and b_h in a parameter's name: for every layer, of its one or two recurrences."""
        directions = ["", "_reverse"] if self.bidirectional else [""]
        return [[(f"_l{i}" if i else "") + direction for direction in directions] for i in range(self.layers)]

    @property
    def width(self) -> int:
        """Outputs of a recurrent layer: H from each direction."""
        return (1 + self.bidirectional) * self.H

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, layer in enumerate(self.suffixes):
            D = self.D if i == 0 else self.width
            for after in layer:
                shapes |= {
                    f"0.W_xh{after}": (self.H, D),
                    f"0.W_hh{after}": (self.H, self.H),
                    f"0.b_h{after}": (self.H,),
                }
        return shapes | {"1.W_hy": (self.O, self.width), "1.b_y": (self.O,)}

    def weights(self, dtype: str, seed: int = 0) -> Weights:
        """Glorot uniform matrices, and biases that are not 0, so that a wrong one shows."""
        rng = np.random.default_rng(seed)
        bounds = {name: (6 / sum(s)) ** 0.5 if len(s) == 2 else 0.1 for name, s in self.shapes().items()}
        return {name: rng.uniform(-b, b, self.shapes()[name]).astype(dtype) for name, b in bounds.items()}

    def data(self, dtype: str, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """x (batches·N, T, D) and targets (batches·N, T, O), or (batches·N, O) for the last step; N(0, 1).

        So is padding, in x and in targets: a side that reads it differs from the others.
        """
        rng = np.random.default_rng(seed)
        rows = self.batches * self.N
        shape = (rows, self.O) if self.last else (rows, self.T, self.O)
        return rng.normal(size=(rows, self.T, self.D)).astype(dtype), rng.normal(size=shape).astype(dtype)

    def lengths(self, seed: int = 2) -> np.ndarray | None:
        """Steps of each of the batches·N rows, uniform from `shortest` to T; None where every row has T."""
        if self.shortest is None:
            return None
        return np.random.default_rng(seed).integers(self.shortest, self.T, self.batches * self.N, endpoint=True)

    def flops(self, mode: str) -> int:
        """Multiplications and additions in the matrix products of the first minibatch, padding left out.

        ∂L/∂h is counted between steps and between layers, where the parameters' gradients need it; ∂L/∂x is not.
        tanh, the loss and the update of the parameters are not counted.
        """
        N, H, lengths = self.N, self.H, self.lengths()
        steps = N * self.T if lengths is None else int(lengths[:N].sum())  # of all rows
        outputs = 2 * (N if self.last else steps) * self.width * self.O
        forward, backward = outputs, 2 * outputs
        for i, layer in enumerate(self.suffixes):
            D = self.D if i == 0 else self.width
            forward += len(layer) * 2 * steps * H * (D + H)
            backward += len(layer) * 2 * steps * H * (D + H)  # weights
            backward += len(layer) * 2 * (steps - N) * H * H  # ∂L/∂h_t → ∂L/∂h_{t−1}
            backward += len(layer) * 2 * steps * H * D if i > 0 else 0  # to the layer below
        return forward if mode == "forward" else forward + backward


WORKLOADS = {
    w.name: w
    for w in (
        Workload("sine", 32, 50, 1, 32, 1, last=True, batches=24),
        Workload("minchar", 1, 25, 65, 100, 65, batches=24),
        Workload("char", 32, 50, 128, 128, 35, layers=2, last=True, batches=4),
        Workload("mid", 64, 100, 64, 256, 64),
        Workload("large", 64, 100, 256, 1024, 64),
        Workload("bidirectional", 32, 50, 64, 128, 35, bidirectional=True),
        Workload("ragged", 64, 100, 64, 128, 35, shortest=10),
    )
}
