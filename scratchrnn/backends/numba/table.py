"""Which kernel stands for which function of the reference implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import _numerics, _steps
from ... import losses as reference_losses
from ... import optimizers as reference_optimizers
from ...gradients import clip
from ...layers import embedding as reference_embedding
from ...layers import layer_norm as reference_layer_norm
from ...layers import linear as reference_linear
from ...layers import rnn as reference_rnn
from . import embedding, layer_norm, linear, losses, norms, optimizers, rnn, steps

KERNELS: dict[Callable[..., Any], Callable[..., Any]] = {
    reference_rnn.forward: rnn.forward,
    reference_rnn.backward: rnn.backward,
    reference_rnn.weight_grads: rnn.weight_grads,
    reference_rnn.saturated: rnn.saturated,
    reference_linear.forward: linear.forward,
    reference_linear.backward: linear.backward,
    reference_linear.weight_grads: linear.weight_grads,
    reference_embedding.weight_grads: embedding.weight_grads,
    reference_layer_norm.forward: layer_norm.forward,
    reference_layer_norm.backward: layer_norm.backward,
    reference_layer_norm.weight_grads: layer_norm.weight_grads,
    _steps.scatter: steps.scatter,
    reference_losses.mse: losses.mse,
    reference_losses.softmax_cross_entropy: losses.softmax_cross_entropy,
    clip.vector_norm: norms.vector_norm,
    clip.part_norms: norms.part_norms,
    clip.shrink: norms.shrink,
    _numerics.all_finite: norms.all_finite,
    reference_optimizers.subtract: optimizers.subtract,
    reference_optimizers.sgd: optimizers.sgd,
    reference_optimizers.adagrad: optimizers.adagrad,
    reference_optimizers.rmsprop: optimizers.rmsprop,
    reference_optimizers.adam: optimizers.adam,
}
