"""What every layer offers: a specification beside pure functions, and the table that a network computes with.

A layer is a specification (sizes and initialisation, no arrays) beside four pure functions at module level:

    forward(params, x, state, *, lengths=None)           → y, state, trace
    backward(params, dy, trace, dstate, *, inputs=True)  → dx, dstate0, da, flow
    weight_grads(da, trace, rows, out)                   → None
    tangent(params, trace, dparams, dx, dstate)          → dy, dstate

`params` maps the layer's own symbols to arrays, `trace` is what forward leaves for backward, and nothing is remembered
anywhere else. `inputs=False` says that dx is not needed. `da` are the error signals, ∂L/∂a of every step, for a layer
without a recurrence its ∂L/∂y; `weight_grads` adds them up over all steps of some rows and writes the gradients into
the arrays of `out`, which have the symbols and shapes of `params`. So who needs no gradients of parameters does not ask
for them. A layer without a state takes and returns None. A state is an array, or a NamedTuple of arrays.

What else these functions need (a nonlinearity, a number of layers) stands in the specification's `options` and is
passed to forward, backward and tangent. A layer that is random in training has a method

    draw_mask(rng, steps, rows, dtype) → mask

which is called once for all rows of a minibatch; forward gets the mask of its rows, or no `mask` at all, which is
evaluation. Rows are the last axis but one of a mask, and of a state. Where a layer is made of several cells, its flow
and its trace have a tuple `cells` with one entry for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import numpy as np

from ..parameters import Shape

Function = Callable[..., Any]
Kernel = Callable[[Function], Function]  # a function of the reference implementation → what computes it


class LayerFunctions(NamedTuple):
    """What a network needs of a layer: functions with their options in place, and whether it has a state."""

    forward: Function
    backward: Function
    weight_grads: Function
    tangent: Function
    saturated: Function | None = None  # of a recurrent layer: trace → (T, N) of every cell
    recurrent: bool = False
    draw_mask: Function | None = None


class Layer:
    """The specification of a layer. A subclass names its functions, its sizes and its parameters."""

    recurrent: ClassVar[bool] = False  # has a state, and its steps depend on one another
    mixes_time: ClassVar[bool] = False  # without a state: each step sees others, but none waits for another
    takes_tokens: ClassVar[bool] = False  # accepts integer input (T, N)
    takes_vectors: ClassVar[bool] = True  # accepts input (T, N, D)

    forward: ClassVar[Function]
    backward: ClassVar[Function]
    weight_grads: ClassVar[Function]
    tangent: ClassVar[Function]
    draw_mask: Function | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """What the functions need besides arrays."""
        return {}

    if TYPE_CHECKING:  # at run time a dataclass would take it for the default of its field

        @property
        def input_size(self) -> int: ...

        @property
        def output_size(self) -> int: ...

    @property
    def directions(self) -> int:
        """2 where the layer reads a sequence from its end too, else 1."""
        return 1

    def shapes(self) -> dict[str, Shape]:
        """Parameter shapes by symbol, in the order in which they are stored and drawn."""
        return {}

    def initial(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Initial parameters."""
        return {}

    def functions(self, kernel: Kernel) -> LayerFunctions:
        """This layer's functions, or the kernels that stand for them."""
        options = self.options
        forward, backward, tangent = (
            partial(kernel(function), **options) if options else kernel(function)
            for function in (self.forward, self.backward, self.tangent)
        )
        return LayerFunctions(forward, backward, kernel(self.weight_grads), tangent, draw_mask=self.draw_mask)


def sized(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers; one that goes by its neighbour gets its size from the one before, at the bottom from the next."""
    waiting = [getattr(layer, "size", "its own") is None for layer in layers]
    if all(waiting):
        return tuple(layers)
    size = layers[waiting.index(False)].input_size
    result: list[Any] = []
    for layer, waits in zip(layers, waiting, strict=True):
        result.append(cast(Any, layer).sized(size) if waits else layer)
        size = result[-1].output_size
    return tuple(result)


def checked(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers of a model, with their sizes; TypeError or ValueError where they do not make one."""
    layers = tuple(layers)
    needed = ("functions", "shapes", "initial")
    strangers = [a for a in layers if isinstance(a, type) or not all(hasattr(a, name) for name in needed)]
    if strangers:
        shown = repr(strangers[0]).partition("\n")[0]  # a model is a table
        raise TypeError(f"a layer is an object such as RNN(4, 16) or Linear(16, 2), got {shown}")
    layers = sized(layers)
    if not any(layer.recurrent for layer in layers):
        raise ValueError("a SequenceModel needs at least one recurrent layer, such as RNN(input_size, hidden_size)")
    for i, layer in enumerate(layers):
        if i and not layer.takes_vectors:
            raise ValueError(f"layer {i} is {layer}, which takes integer tokens: it must be the first layer")
    for i, (below, above) in enumerate(zip(layers, layers[1:], strict=False)):
        if below.output_size != above.input_size:
            raise ValueError(
                f"layer {i} gives {below.output_size} features, but layer {i + 1} expects {above.input_size}"
            )
    return layers
