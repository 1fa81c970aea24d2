"""scratchrnn, through its public calls and with batch-first arrays, as its users have them."""

from __future__ import annotations

import time

import scratchrnn as sr
from scratchrnn.model import LossAndGrads

from ..workloads import Weights, Workload
from . import CLIP, LEARNING_RATE

set_threads = sr.set_num_threads


class Side:
    """The default backend."""

    def __init__(self, workload: Workload, dtype: str) -> None:
        self.workload = workload
        sizes = [workload.D] + [workload.H] * workload.layers
        layers = [sr.RNN(i, o) for i, o in zip(sizes, sizes[1:], strict=False)]
        self.model = sr.SequenceModel([*layers, sr.Linear(workload.H, workload.O)], dtype=dtype)
        for name, array in workload.weights(dtype).items():
            self.model.params[name] = array
        self.steps = "last" if workload.last else "all"
        self.x, self.target = workload.data(dtype)
        self.first = self.x[: workload.N], self.target[: workload.N]

    def forward(self) -> object:
        return self.model.predict(self.first[0], self.steps)

    def grads(self) -> LossAndGrads:
        return self.model.loss_and_grads(*self.first, steps=self.steps)

    def result(self) -> tuple[float, Weights]:
        result = self.grads()
        return result.loss, dict(result.grads)

    def epochs(self, count: int) -> list[float]:
        """By the clock at the ends of epochs of `fit`; one more epoch runs first, so that its checks are not timed."""
        ends: list[float] = []
        sr.fit(
            self.model,
            self.x,
            self.target,
            epochs=count + 1,
            batch_size=self.workload.N,
            optimizer=sr.Adam(LEARNING_RATE),
            clip_norm=CLIP,
            steps=self.steps,
            progress=False,
            callbacks=[lambda model, history: ends.append(time.perf_counter())],
        )
        return [end - start for start, end in zip(ends, ends[1:], strict=False)]
