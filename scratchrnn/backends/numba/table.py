"""Which kernel stands for which function of the reference implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ... import _numerics
from ... import losses as reference_losses
from ... import optimizers as reference_optimizers
from ...gradients import clip
from ...gradients import saturation as reference_saturation
from ...layers import embedding as reference_embedding
from ...layers import layer_norm as reference_layer_norm
from ...layers import linear as reference_linear
from ...layers import rnn as reference_rnn
from . import embedding, layer_norm, linear, losses, norms, optimizers, rnn, saturation

KERNELS: dict[Callable[..., Any], Callable[..., Any]] = {
    reference_rnn.forward: rnn.forward,
    reference_rnn.backward: rnn.backward,
    reference_rnn.stacked_forward: rnn.stacked_forward,
    reference_rnn.stacked_backward: rnn.stacked_backward,
    reference_linear.forward: linear.forward,
    reference_linear.backward: linear.backward,
    reference_embedding.backward: embedding.backward,
    reference_layer_norm.forward: layer_norm.forward,
    reference_layer_norm.backward: layer_norm.backward,
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
    reference_saturation.saturated: saturation.saturated,
}

# Backward functions whose kernels take `out`, as `Blocks` says.
FILLS: frozenset[Callable[..., Any]] = frozenset(
    {
        reference_rnn.backward,
        reference_rnn.stacked_backward,
        reference_linear.backward,
        reference_embedding.backward,
        reference_layer_norm.backward,
    }
)
