"""Models: layers in a row and a loss, run forward and backward for blocks of rows.

`SequenceModel` is any composition; `VanillaRNN` is the chapter's network, one RNN and one Linear, under the chapter's
five bare symbols. The last state and ∂L/∂h0 of a SequenceModel are tuples with one entry per recurrent layer, those of
a VanillaRNN a single array.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from . import _validation, network
from ._arrays import Array, to_numpy
from ._numerics import any_magnitude
from ._steps import StepSelection, select_steps
from ._summary import table
from .backends import resolve
from .backends.base import Backend
from .backends.row_blocks import RowPlan, map_rows, plan_forward, plan_with_gradients
from .gradients.flow import Flow
from .layers.base import Layer, checked
from .layers.linear import Linear
from .layers.recurrent import RecurrentLayer
from .layers.rnn import RNN
from .losses import LOSSES
from .network import Batch, Forward, Gradients, Loss, Network, States
from .parameters import Parameters, Symbols, assign


class Outputs(NamedTuple):
    """What `model.forward` returns."""

    y: Array  # (N, T, O)
    h: Array  # (N, T, H): states of the top recurrent layer after x[:, t]; of both directions (N, T, 2·H)
    h_last: Any  # (N, H): the state to carry on with; a tuple of them for a SequenceModel


class LossAndGrads(NamedTuple):
    """What `model.loss_and_grads` returns."""

    loss: Any  # float; a 0-d array on a device
    grads: Parameters  # ∂L/∂θ, like model.params
    grads_h0: Any  # ∂L/∂h0, like h0
    grads_x: Any  # ∂L/∂x (N, T, D) with inputs=True, else None
    h_last: Any  # the state after the last step
    flow: Flow  # ‖∂L/∂h_t‖ at every step


class SequenceModel:
    """Layers in a row under one loss.

    Parameters
    ----------
    layers : specifications such as `RNN(4, 16)` and `Linear(16, 2)`; each input size is the output size before it.
        `Embedding`, `RNN`, `LayerNorm`, `Dropout` and `Linear` in any order, an `Embedding` first, at least one `RNN`.
    loss : "mse" (mean squared error) or "cross_entropy" (softmax of the outputs, integer targets).
    backend : "numpy", "numba", "cupy" or "auto"; None takes `get_backend()`.
    dtype : "float64" or "float32".
    seed : of the initial weights; the same seed gives the same weights on every backend.

    Parameters are named "<position>.<symbol>": `model.params["0.W_hh"]`, `model.params["1.b_y"]`.
    Raises ValueError where sizes do not fit together, and what `set_backend` raises for a backend that is missing.

    >>> model = SequenceModel([RNN(3, 8), Linear(8, 2)], backend="numpy")
    >>> model(np.zeros((4, 10, 3))).shape
    (4, 10, 2)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        loss: str = "mse",
        backend: str | None = None,
        dtype: Any = "float64",
        seed: int = 0,
    ) -> None:
        if not isinstance(layers, Iterable):
            raise TypeError("SequenceModel takes a list of layers, and options by name: SequenceModel([RNN(4, 16)], …)")
        self.layers: tuple[Layer, ...] = checked(layers)
        self._recurrent = tuple(cast(RecurrentLayer, layer) for layer in self.layers if layer.recurrent)
        self.widest = max(layer.output_size for layer in self.layers)  # features: memory for a step of a row goes by it
        self.loss_name = loss
        if loss not in LOSSES:
            raise ValueError(f"loss={loss!r} is not known; choose one of {', '.join(LOSSES)}")
        symbols = self._symbols()
        self._backend = resolve(backend, _float_dtype(dtype))
        self._network = Network.of(self.layers, symbols, loss, self._backend.kernel)
        rng = np.random.default_rng(seed)
        initial = {
            name: array
            for own, layer in zip(symbols, self.layers, strict=True)
            for (_, name), array in zip(own, layer.initial(rng).values(), strict=True)
        }
        vector = np.concatenate([array.reshape(-1) for array in initial.values()])
        shapes = {name: array.shape for name, array in initial.items()}
        self._params = Parameters(shapes, self._backend.asarray(vector, _float_dtype(dtype)))

    def __call__(self, x: Any) -> Array:
        """Outputs of every step from a zero state: x (N, T, D), or integer tokens (N, T), → y (N, T, O)."""
        return self.predict(x)

    def forward(self, x: Any, h0: Any = None, lengths: Any = None) -> Outputs:
        """Run the network over whole sequences.

        x (N, T, D) or integer tokens (N, T); h0 the state before the first step (None: zeros); lengths (N,) of rows
        padded to T, each of which keeps its state once it is over. Returns `y` (N, T, O), `h` (N, T, H) and `h_last`.
        Raises ValueError, TypeError or IndexError that says what was expected and what came.
        """
        x, states, lengths, selection = self.check_inputs(x, h0, lengths)
        forward = self._forward(x, states, lengths, selection.map(self._backend.asarray), hidden=True)
        return Outputs(forward.y.swapaxes(0, 1), forward.h.swapaxes(0, 1), self.unpack_states(forward.h_last))

    def predict(self, x: Any, steps: Any = "all", *, h0: Any = None, lengths: Any = None) -> Array:
        """Outputs of the chosen steps: "all" → (N, T, O); "last" → (N, O); a mask (T,) → (N, its steps, O); a mask
        (N, T) → (number of counted entries, O), row by row. With lengths, "last" is step lengths[n] − 1 of row n.

        A model that was trained with steps="last" answers with steps="last"."""
        x, states, lengths, selection = self.check_inputs(x, h0, lengths, steps)
        selection = selection.map(self._backend.asarray)
        y = self._forward(x, states, lengths, selection, hidden=False).y.swapaxes(0, 1)  # (N, K, O)
        if isinstance(steps, str):
            return y[:, 0] if steps == "last" else y
        if to_numpy(steps).ndim == 1:
            return y
        return y.reshape(-1, self.output_size) if selection.mask is None else y[selection.mask.T]

    def step(self, x_t: Any, state: Any = None) -> tuple[Array, Any]:
        """One time step of a stream: x_t (N, D), or integer tokens (N,), → outputs y_t (N, O) and the state after it.

        state is what an earlier call returned (or `forward` as h_last); None is the zero state, for the first step.
        Step by step the outputs are those of `forward` for the whole sequence. Raises ValueError for a model with a
        bidirectional layer, and what `forward` raises.

        >>> model = VanillaRNN(3, 4, 2, backend="numpy")
        >>> state = None
        >>> for x_t in np.zeros((5, 1, 3)):
        ...     y_t, state = model.step(x_t, state)
        >>> y_t.shape, state.shape
        ((1, 2), (1, 4))
        """
        for i, layer in enumerate(self.layers):
            if layer.directions == 2:
                raise ValueError(
                    f"layer {i} is bidirectional: it reads a sequence from its end, which a stream does not have; "
                    "call forward with whole sequences"
                )
        x = _validation.one_step(x_t, self.input_size, self.layers[0].takes_tokens, self.layers[0].takes_vectors)
        out = self.forward(x, state)
        return out.y[:, 0], out.h_last

    def loss(self, x: Any, target: Any, h0: Any = None, steps: Any = "all", lengths: Any = None) -> Any:
        """The loss alone, as `loss_and_grads` computes it."""
        return self.loss_and_last(x, target, h0, steps, lengths)[0]

    def loss_and_grads(
        self,
        x: Any,
        target: Any,
        h0: Any = None,
        steps: Any = "all",
        lengths: Any = None,
        inputs: bool = False,
        rng: np.random.Generator | None = None,
        saturation: bool = False,
    ) -> LossAndGrads:
        """The loss and its gradients by backpropagation through time.

            L = (1/count) · Σ L_nt over the counted (n, t)

        Parameters
        ----------
        x : (N, T, D), or integer tokens (N, T) that stand for one-hot vectors.
        target : (N, T, O) for "mse", integer (N, T) for "cross_entropy"; (N, O) or (N,) with steps="last".
        h0 : state before the first step, (N, H); None is zeros.
        steps : "all", "last", or a boolean mask (T,) or (N, T) of what counts; targets elsewhere are never read.
        lengths : (N,) integers, the true length of each padded row.
        inputs : also compute ∂L/∂x.
        rng : source of randomness for layers that have any in training; None is evaluation.
        saturation : also count saturated units, for `flow.layers[i].saturated`.

        Returns `loss`, `grads` (like `params`), `grads_h0`, `grads_x`, `h_last`, and `flow` with norms[t] = ‖∂L/∂h_t‖.
        Raises ValueError, TypeError or IndexError that says what was expected and what came.
        """
        batch = self.check_batch(x, target, h0, steps, lengths)
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a generator such as np.random.default_rng(0), or None, got {rng!r}")
        if inputs and batch.x.ndim == 2:
            or_floats = f", or pass one-hot x as floats: np.eye({self.input_size})[x]" * self.layers[0].takes_vectors
            raise TypeError(f"integer tokens have no gradient; call with inputs=False{or_floats}")
        result, grads = self._gradients(batch, inputs, rng, saturation)
        return LossAndGrads(
            network.total(result.of_rows),
            grads,
            self.unpack_states(result.grads_h0),
            None if result.grads_x is None else result.grads_x.swapaxes(0, 1),
            self.unpack_states(result.h_last),
            result.flow,
        )

    def to(self, backend: str | None, dtype: Any = None) -> SequenceModel:
        """Move the parameters to a backend (None: keep it), and to a dtype where one is given. Returns the model.

        Arrays taken from `params` earlier no longer belong to it. Raises ValueError for one half of an
        `EncoderDecoder`, which moves both.
        """
        if self.params.whole is not None:
            raise ValueError("this model is a part of an EncoderDecoder; call to(…) of that, which moves both parts")
        self.move(self._backend if backend is None else resolve(backend), dtype)
        return self

    @property
    def params(self) -> Parameters:
        """The parameters by name, views of one vector. Assignment copies the numbers of parameters of the same names
        and shapes into it; so an optimizer, or an `EncoderDecoder` that this model is part of, sees them too."""
        return self._params

    @params.setter
    def params(self, params: Parameters) -> None:
        assign(self._params, params)

    @property
    def backend(self) -> str:
        """Name of the backend that the model computes on."""
        return self._backend.name

    @property
    def dtype(self) -> np.dtype:
        """dtype of the parameters and of everything computed from them."""
        return self.params.vector.dtype

    @property
    def input_size(self) -> int:
        """D."""
        return self.layers[0].input_size

    @property
    def output_size(self) -> int:
        """O."""
        return self.layers[-1].output_size

    def summary(self) -> str:
        """The table that `print(model)` shows: each layer, what it gives, its parameters and how many numbers they are.

        Every parameter is trained, so there is one total.
        """
        title = f"{type(self).__name__} · loss {self.loss_name} · {self.dtype} on {self.backend}"
        parameters = [self._network.own(i, self.params) for i in range(len(self.layers))]
        return table(title, self.layers, self._prefixes(), parameters)

    def __repr__(self) -> str:
        return self.summary()

    # The inner surface: what training, analysis and the tests of this package use. Users need none of it, and it may
    # change from release to release.

    @property
    def network(self) -> Network:
        """The layers' functions as this model computes them: those of its backend."""
        return self._network

    @property
    def device(self) -> Backend:
        """The backend itself: where arrays live, and how rows run."""
        return self._backend

    @property
    def recurrent_layers(self) -> tuple[RecurrentLayer, ...]:
        """The layers with a state, bottom to top."""
        return self._recurrent

    @property
    def symbols(self) -> tuple[Symbols, ...]:
        """For every layer its own symbols, each with the name that the parameter has in this model."""
        return self._network.symbols

    def network_of(self, backend: Backend) -> Network:
        """The same network as another backend computes it."""
        return Network.of(self.layers, self.symbols, self.loss_name, backend.kernel)

    def check_inputs(
        self, x: Any, h0: Any, lengths: Any, steps: Any = "all"
    ) -> tuple[Array, States, Array | None, StepSelection]:
        """What `forward` was given, after validation: x, states and lengths where the model computes, time-major and in
        its dtype; the selected steps in main memory."""
        backend, dtype = self._backend, self.dtype
        first = self.layers[0]
        x, lengths = _validation.sequences(
            x, lengths, self.input_size, first.takes_tokens, dtype, backend, first.takes_vectors
        )
        T, N = x.shape[:2]
        packed = self.pack_states(h0)
        states = [
            _validation.state(h, layer.state_shape(N), dtype, backend, None if packed[0] is h0 else i)
            for i, (h, layer) in enumerate(zip(packed, self._recurrent, strict=True))
        ]
        selection = select_steps(steps, T, N, lengths)
        return x, tuple(states), None if lengths is None else backend.asarray(lengths), selection

    def check_batch(self, x: Any, target: Any, h0: Any, steps: Any, lengths: Any) -> Batch:
        """What `loss` was given, after validation."""
        x, states, lengths, selection = self.check_inputs(x, h0, lengths, steps)
        T, N = x.shape[:2]
        target = _validation.targets(
            target, self.loss_name, steps, selection, N, T, self.output_size, self.dtype, self._backend
        )
        return Batch(x, states, lengths, target, selection.map(self._backend.asarray), N)

    def pack_states(self, h0: Any) -> Sequence[Any]:
        """The user's h0 as one entry per recurrent layer."""
        if h0 is None:
            return [None] * len(self._recurrent)
        if not isinstance(h0, (tuple, list)):
            hint = "; pass (h0,)" if len(self._recurrent) == 1 else ""
            raise TypeError(f"h0 must be a tuple with one state per recurrent layer, got {type(h0).__name__}{hint}")
        if len(h0) != len(self._recurrent):
            raise ValueError(f"this model has {len(self._recurrent)} recurrent layers, h0 has {len(h0)} states")
        return h0

    def unpack_states(self, states: States) -> Any:
        """States as the user sees them."""
        return states

    def loss_and_last(
        self, x: Any, target: Any, h0: Any = None, steps: Any = "all", lengths: Any = None
    ) -> tuple[Any, Any]:
        """The loss alone, and the state after the last step."""
        batch = self.check_batch(x, target, h0, steps, lengths)
        result = self._loss(batch)
        return network.total(result.of_rows), self.unpack_states(result.h_last)

    def move(self, backend: Backend, dtype: Any) -> None:
        """Put the parameters where a backend computes, in a dtype (None: theirs)."""
        vector = backend.asarray(self.params.vector, self.dtype if dtype is None else _float_dtype(dtype))
        self._backend, self._params, self._network = backend, self.params.like(vector), self.network_of(backend)

    @any_magnitude
    def _forward(
        self, x: Array, states: States, lengths: Array | None, selection: StepSelection, *, hidden: bool
    ) -> Forward:
        """Forward through all layers, group of rows by group of rows; states only where `hidden` asks for them."""
        net, params = self._network, self.params
        batch = Batch(x, states, lengths, x, selection, x.shape[1])  # without a target; x stands in its place

        def run(rows: Any, _: Any) -> Forward:
            part = batch.select(rows)
            contiguous = self._backend.xp.ascontiguousarray(part.x)
            result = network.run(net, params, contiguous, part.states, part.lengths, part.selection)
            return result if hidden else Forward(result.y, None, (), [])

        return map_rows(self._plan_forward(x, lengths), run)

    @any_magnitude
    def _loss(self, batch: Batch) -> Loss:
        """The loss of every row, group of rows by group of rows."""
        net, params = self._network, self.params
        plan = self._plan_forward(batch.x, batch.lengths)
        return map_rows(plan, lambda rows, _: network.loss(net, params, batch.select(rows)))

    @any_magnitude
    def _gradients(
        self, batch: Batch, inputs: bool, rng: np.random.Generator | None, saturation: bool
    ) -> tuple[Gradients, Parameters]:
        """Loss and gradients of the rows of a batch, and the gradients of the parameters."""
        net, params = self._network, self.params
        if rng is not None and any(layer.draw_mask for layer in net.layers):
            batch = batch._replace(masks=network.draw_masks(net, batch, rng, self.dtype, self._backend.asarray))
        T, N = batch.x.shape[:2]
        plan = plan_with_gradients(self._backend, params, T, N, batch.lengths, net.directions)
        grads = params.like(self._backend.xp.empty_like(params.vector))

        def run(rows: Any, entries: Any) -> Gradients:
            return network.loss_and_grads(net, params, batch.select(rows), entries, inputs, saturation)

        return map_rows(plan, run, grads), grads

    def _plan_forward(self, x: Array, lengths: Array | None) -> RowPlan:
        T, N = x.shape[:2]
        return plan_forward(self._backend, self.params, T, N, lengths, self._network.directions, self.widest)

    def _symbols(self) -> tuple[Symbols, ...]:
        """For every layer its own symbols, each with the name that the parameter has in this model."""
        return tuple(
            tuple((symbol, prefix + symbol) for symbol in layer.shapes())
            for prefix, layer in zip(self._prefixes(), self.layers, strict=True)
        )

    def _prefixes(self) -> tuple[str, ...]:
        """What stands before each layer's symbols in the names of its parameters."""
        return tuple(f"{i}." for i in range(len(self.layers)))


class VanillaRNN(SequenceModel):
    """The chapter's network.

        h_t = tanh(W_hh · h_{t−1} + W_xh · x_t + b_h)      y_t = W_hy · h_t + b_y      L = (1/T) · Σ_t L_t

    Parameters are `model.params["W_xh"]` (H, D), `"W_hh"` (H, H), `"b_h"` (H,), `"W_hy"` (O, H) and `"b_y"` (O,).
    States are (N, H) arrays. Arguments as `SequenceModel`; `init` names the rule for the weight matrices, as `RNN`
    explains ("xavier": Glorot uniform).

    >>> model = VanillaRNN(1, 4, 1, backend="numpy")
    >>> r = model.loss_and_grads(np.ones((2, 5, 1)), np.zeros((2, 5, 1)))
    >>> r.grads["W_hh"].shape, r.flow.norms.shape
    ((4, 4), (5,))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        loss: str = "mse",
        backend: str | None = None,
        dtype: Any = "float64",
        seed: int = 0,
        init: str = "xavier",
    ) -> None:
        layers: list[Layer] = [RNN(input_size, hidden_size, init=init), Linear(hidden_size, output_size, init=init)]
        super().__init__(layers, loss=loss, backend=backend, dtype=dtype, seed=seed)

    @property
    def hidden_size(self) -> int:
        """H."""
        return self.layers[0].output_size

    def _prefixes(self) -> tuple[str, ...]:
        return ("", "")

    def pack_states(self, h0: Any) -> Sequence[Any]:
        return [h0]

    def unpack_states(self, states: States) -> Any:
        return states[0]


def _float_dtype(dtype: Any) -> np.dtype:
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f'dtype must be "float64" or "float32", got {dtype}')
    return dtype
