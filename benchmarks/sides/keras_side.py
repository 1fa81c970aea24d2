"""Keras on TensorFlow: SimpleRNN, Bidirectional and Dense, every pass one tf.function. Unequal lengths are a mask.

How it is compiled follows the width, as measured here: below 128 units XLA (`jit_compile`) is fastest; from there on
TensorFlow's own operators with the time loop unrolled; from 512 on unrolling only costs compile time, because the
products inside a step outweigh the loop.
"""

from __future__ import annotations

import os
from functools import partial

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf

from ..harness import timed
from ..workloads import Weights, Workload
from . import CLIP, LEARNING_RATE


def set_threads(threads: int) -> None:
    """Within an operation and between operations."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


class Side:
    """Batch-first, as Keras has it."""

    def __init__(self, workload: Workload, dtype: str) -> None:
        w = self.workload = workload
        layers = [
            keras.layers.SimpleRNN(
                w.H, return_sequences=not w.last or i + 1 < w.layers, unroll=128 <= w.H < 512, dtype=dtype
            )
            for i in range(w.layers)
        ]
        if w.bidirectional:
            layers = [keras.layers.Bidirectional(layer, dtype=dtype) for layer in layers]
        dense = keras.layers.Dense(w.O, dtype=dtype)
        self.model = keras.Sequential([keras.Input((w.T, w.D), w.N, dtype), *layers, dense])
        p = workload.weights(dtype)
        for layer, suffixes in zip(layers, w.suffixes, strict=True):
            layer.set_weights([p[f"0.{symbol}{after}"].T for after in suffixes for symbol in ("W_xh", "W_hh", "b_h")])
        dense.set_weights([p["1.W_hy"].T, p["1.b_y"]])
        self.optimizer = keras.optimizers.Adam(LEARNING_RATE, global_clipnorm=CLIP)
        self.optimizer.build(self.model.trainable_variables)
        self.x, self.target = (tf.constant(array) for array in workload.data(dtype))
        lengths = w.lengths()
        self.mask = None if lengths is None else tf.sequence_mask(lengths, w.T)  # (rows, T)
        self.first = [None if a is None else tf.identity(a[: w.N]) for a in (self.x, self.target, self.mask)]
        self.rng = np.random.default_rng(0)
        compiled = partial(tf.function, jit_compile=w.H < 128)
        self._outputs = compiled(lambda x, mask: self.model(x, training=False, mask=mask))
        self._grads = compiled(self._loss_and_grads)
        self._update = compiled(self._whole_update)

    def _loss_and_grads(
        self, x: tf.Tensor, target: tf.Tensor, mask: tf.Tensor | None
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            error = (self.model(x, training=True, mask=mask) - target) ** 2
            if mask is None:
                loss = tf.reduce_mean(error)
            else:
                weight = tf.cast(mask, error.dtype)
                loss = tf.reduce_sum(tf.reduce_mean(error, axis=2) * weight) / tf.reduce_sum(weight)
        return loss, tape.gradient(loss, [v.value for v in self.model.trainable_variables])

    def _whole_update(self, rows: tf.Tensor) -> tf.Tensor:
        loss, grads = self._loss_and_grads(
            tf.gather(self.x, rows),
            tf.gather(self.target, rows),
            None if self.mask is None else tf.gather(self.mask, rows),
        )
        self.optimizer.apply(grads, self.model.trainable_variables)
        return loss

    def forward(self) -> object:
        return self._outputs(self.first[0], self.first[2]).numpy()

    def grads(self) -> tuple[tf.Tensor, list[tf.Tensor]]:
        loss, grads = self._grads(*self.first)
        loss.numpy()
        return loss, grads

    def result(self) -> tuple[float, Weights]:
        loss, grads = self.grads()
        arrays = [g.numpy() for g in grads]
        return float(loss), {name: a.T for name, a in zip(self.workload.shapes(), arrays, strict=True)}

    def epoch(self) -> None:
        order = self.rng.permutation(len(self.x)).astype(np.int32)
        for start in range(0, len(order), self.workload.N):
            loss = self._update(tf.constant(order[start : start + self.workload.N]))
        loss.numpy()

    def epochs(self, count: int) -> list[float]:
        return timed(self.epoch, count)
