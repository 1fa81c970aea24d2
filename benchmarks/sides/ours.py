"""scratchrnn, through its public calls and with batch-first arrays, as its users have them."""

from __future__ import annotations

import time
from typing import Any

import scratchrnn as sr
from scratchrnn.model import LossAndGrads

from ..workloads import Weights, Workload
from . import CLIP, LEARNING_RATE

set_threads = sr.set_num_threads


class Side:
    """The default backend; `track` is what epochs record, `package` another copy of scratchrnn."""

    def __init__(self, workload: Workload, dtype: str, track: str | None = "norms", package: Any = sr) -> None:
        w = self.workload = workload
        self.track = track
        self.package = package
        rnn = package.RNN(w.D, w.H, num_layers=w.layers, bidirectional=w.bidirectional)
        self.model = package.SequenceModel([rnn, package.Linear(w.width, w.O)], dtype=dtype)
        for name, array in w.weights(dtype).items():
            self.model.params[name] = array
        self.steps = "last" if w.last else "all"
        self.x, self.target = w.data(dtype)
        self.lengths = w.lengths()
        self.first = self.x[: w.N], self.target[: w.N]
        self.first_lengths = None if self.lengths is None else self.lengths[: w.N]

    def forward(self) -> object:
        return self.model.predict(self.first[0], self.steps, lengths=self.first_lengths)

    def grads(self) -> LossAndGrads:
        return self.model.loss_and_grads(*self.first, steps=self.steps, lengths=self.first_lengths)

    def result(self) -> tuple[float, Weights]:
        result = self.grads()
        return result.loss, dict(result.grads)

    def epochs(self, count: int) -> list[float]:
        """By the clock at the ends of epochs of `fit`; one more epoch runs first, so that its checks are not timed."""
        ends: list[float] = []
        self.package.fit(
            self.model,
            self.x,
            self.target,
            epochs=count + 1,
            batch_size=self.workload.N,
            optimizer=self.package.Adam(LEARNING_RATE),
            clip_norm=CLIP,
            steps=self.steps,
            lengths=self.lengths,
            progress=False,
            track=self.track,
            callbacks=[lambda model, history: ends.append(time.perf_counter())],
        )
        return [end - start for start, end in zip(ends, ends[1:], strict=False)]
