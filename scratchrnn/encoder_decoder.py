"""One sequence to another (异步多对多): an encoder reads one, a decoder writes the other from its last state.

    h^enc_T = encoder(x_0 … x_{T−1})          h^dec_0 = h^enc_T          y_t = decoder(h^dec_t, ŷ_{t−1})

Both are SequenceModels. The decoder reads the symbol before the one that it is to write: in training the true one
(teacher forcing), on its own the one that it just wrote; before the first stands a symbol that nothing else stands for.
All that passes between the two is a state, so going back ∂L/∂h0 of the decoder is where the encoder's backward pass
begins. Source: Sutskever, Vinyals and Le 2014.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _hints, network
from ._arguments import integer
from ._arrays import Array, as_array, namespace, to_numpy
from ._numerics import any_magnitude
from .backends import resolve
from .backends.row_blocks import map_rows, plan_with_gradients
from .gradients.flow import Flow, LayerFlow
from .model import LossAndGrads, Outputs, SequenceModel
from .network import Batch, Gradients
from .parameters import Parameters, assign


class EncoderDecoder:
    """An encoder and a decoder, trained as one by `fit`.

    Parameters
    ----------
    encoder : a SequenceModel; its outputs are not used, its last states are.
    decoder : a SequenceModel under "cross_entropy" with V outputs and V + 1 input symbols: those that it writes, and V,
        which stands before the first. Its states have the shapes of the encoder's.
    length : symbols that it writes.

    `params` holds the parameters of both, "encoder.…" and "decoder.…", in one vector of which the two models' own are
    views. So a model can be part of one EncoderDecoder only; `copy.deepcopy(model)` is free for another. Raises
    ValueError where the two do not fit together, or one of them is part of another EncoderDecoder.

    >>> from scratchrnn import RNN, Linear
    >>> encoder = SequenceModel([RNN(5, 8)], backend="numpy")
    >>> decoder = SequenceModel([RNN(4, 8), Linear(8, 3)], loss="cross_entropy", backend="numpy")
    >>> EncoderDecoder(encoder, decoder, length=6).write(np.array([[0, 4, 2, 1]])).shape
    (1, 6)
    """

    def __init__(self, encoder: SequenceModel, decoder: SequenceModel, length: int) -> None:
        self._encoder, self._decoder, self.length = encoder, decoder, integer("length", length)
        self._check_parts()
        self._join()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what a copy or a pickle holds: there every array is one of its own, and is made a view again."""
        self.__dict__.update(state)
        if self.encoder.params.whole is not self._params:
            self._share()

    def __call__(self, x: Any) -> Array:
        """Outputs of every step as it writes: x (N, T, D), or integer tokens (N, T), → y (N, length, V)."""
        return self.forward(x).y

    @any_magnitude
    def forward(self, x: Any, h0: Any = None, lengths: Any = None) -> Outputs:
        """Read x, with `lengths` where its rows are padded, then write step by step, each time the likeliest symbol.

        Returns `y` (N, length, V) and the decoder's states: `h` (N, length, H) and `h_last`.
        """
        state = self.encoder.forward(x, h0, lengths).h_last
        symbols = np.full((len(x), 1), self.decoder.output_size)
        y, h = [], []
        for _ in range(self.length):
            out = self.decoder.forward(symbols, state)
            state, symbols = out.h_last, to_numpy(out.y).argmax(axis=2)
            y.append(out.y)
            h.append(out.h)
        xp = namespace(y[0])
        return Outputs(xp.concatenate(y, axis=1), xp.concatenate(h, axis=1), state)

    def write(self, x: Any, lengths: Any = None) -> np.ndarray:
        """The sequences that it makes of x: integer symbols (N, length)."""
        return to_numpy(self.forward(x, None, lengths).y).argmax(axis=2)

    @any_magnitude
    def loss(self, x: Any, target: Any, h0: Any = None, steps: Any = "all", lengths: Any = None) -> Any:
        """The loss alone, as `loss_and_grads` computes it."""
        state = self.encoder.forward(x, h0, lengths).h_last
        return self.decoder.loss(self._taught(x, target), target, state, steps)

    @any_magnitude
    def loss_and_grads(
        self,
        x: Any,
        target: Any,
        h0: Any = None,
        steps: Any = "all",
        lengths: Any = None,
        rng: np.random.Generator | None = None,
        saturation: bool = False,
    ) -> LossAndGrads:
        """The loss of the decoder under teacher forcing, and its gradients through decoder and encoder.

        Parameters
        ----------
        x, h0, lengths : what the encoder reads, as `SequenceModel.loss_and_grads`.
        target : integers (N, length): what the decoder is to write, and reads a step later.
        steps : "all", or a boolean mask (length,) or (N, length): which steps of the target count. The decoder reads
            the others too: they stand for themselves, or are V, a symbol that says nothing.
        rng : source of randomness for layers that have any in training; None is evaluation.
        saturation : also count saturated units, as there.

        Returns what `SequenceModel.loss_and_grads` does; `flow` runs over the T steps of x and then over those of the
        target.
        """
        encoder, decoder = self.encoder, self.decoder
        source, states, inside, every = encoder.check_inputs(x, h0, lengths)
        T, N = source.shape[:2]
        reading = Batch(source, states, inside, source, every.map(self.device.asarray), N)
        writing = decoder.check_batch(self._taught(x, target), target, None, steps, None)
        if rng is not None:
            reading, writing = (
                batch._replace(masks=network.draw_masks(model.network, batch, rng, self.dtype, self.device.asarray))
                for model, batch in ((encoder, reading), (decoder, writing))
            )
        directions = max(encoder.network.directions, decoder.network.directions)
        plan = plan_with_gradients(self.device, self.params, T + self.length, N, inside, directions)
        grads = self.params.like(namespace(self.params.vector).empty_like(self.params.vector))

        def run(rows: Any, entries: Any) -> Gradients:
            return self._gradients(reading.select(rows), writing.select(rows), entries, saturation)

        result = map_rows(plan, run, grads)
        return LossAndGrads(
            network.total(result.of_rows),
            grads,
            encoder.unpack_states(result.grads_h0),
            None,
            decoder.unpack_states(result.h_last),
            result.flow,
        )

    def _gradients(self, reading: Batch, writing: Batch, entries: Any, saturation: bool) -> Gradients:
        """Loss and gradients of some rows: forward through encoder and decoder, and back through both."""
        encoder, decoder = self.encoder, self.decoder
        size = encoder.params.vector.size
        parts = [
            ((rows, encoder.params.like(grads.vector[:size])), (rows, decoder.params.like(grads.vector[size:])))
            for rows, grads in entries
        ]
        contiguous = namespace(reading.x).ascontiguousarray(reading.x)
        read = network.run(
            encoder.network, encoder.params, contiguous, reading.states, reading.lengths, masks=reading.masks
        )
        of_rows, dy, written = network.with_loss(decoder.network, decoder.params, writing._replace(states=read.h_last))
        of_decoder = network.backward(
            decoder.network,
            decoder.params,
            written,
            dy,
            entries=[part for _, part in parts],
            batch_rows=writing.batch_rows,
            selection=writing.selection,
        )
        of_encoder = network.backward(
            encoder.network,
            encoder.params,
            read,
            network.zeros_like(read.y),
            entries=[part for part, _ in parts],
            batch_rows=reading.batch_rows,
            dstates=of_decoder.dstates0,
        )
        flows = of_encoder.flow, of_decoder.flow
        if saturation:
            flows = (
                flows[0].saturated_as(network.saturated(encoder.network, read.traces)),
                flows[1].saturated_as(network.saturated(decoder.network, written.traces)),
            )
        layers = tuple(_in_a_row(*both) for both in zip(flows[0].layers, flows[1].layers, strict=True))
        return Gradients(of_rows, of_encoder.dstates0, None, written.h_last, Flow(layers, decoder.network.directions))

    def shifted(self, target: Any) -> np.ndarray:
        """What the decoder reads while it is taught to write `target` (N, length): the symbol before each.

        Raises ValueError, TypeError or IndexError for what is no such target.
        """
        value, target, V = target, to_numpy(as_array("target", target)), self.decoder.output_size
        if target.ndim != 2 or target.shape[1] != self.length:
            raise ValueError(f"expected a target of shape (N, {self.length}), got {target.shape}")
        if target.dtype.kind not in "iu":
            to_integers = [_hints.Hint("", "{}.astype(int)", _hints.integers)]
            hint = _hints.advice("target", value, target, to_integers, lambda target: True)
            raise TypeError(f"the target must be integer symbols, got {target.dtype}{hint}")
        wrong = (target < 0) | (target > V)
        if wrong.any():
            n, t = np.argwhere(wrong)[0].tolist()
            raise IndexError(f"target[{n}, {t}] is {target[n, t]}, outside the symbols 0 … {V - 1} (or {V} for none)")
        target = target.astype(np.int64, copy=False)  # V need not fit the dtype of the target, and would wrap around
        return np.pad(target[:, :-1], ((0, 0), (1, 0)), constant_values=V)

    def to(self, backend: str | None, dtype: Any = None) -> EncoderDecoder:
        """Move the parameters, as `SequenceModel.to`."""
        target = self.device if backend is None else resolve(backend)
        for part in (self.encoder, self.decoder):
            part.move(target, dtype)
        self._join()
        return self

    @property
    def encoder(self) -> SequenceModel:
        """The model that reads."""
        return self._encoder

    @property
    def decoder(self) -> SequenceModel:
        """The model that writes."""
        return self._decoder

    @property
    def params(self) -> Parameters:
        """Parameters of both, views of one vector. Assignment copies into it, as that of `SequenceModel.params`."""
        return self._params

    @params.setter
    def params(self, params: Parameters) -> None:
        assign(self._params, params)

    @property
    def layers(self) -> tuple[Any, ...]:
        """The encoder's, then the decoder's."""
        return (*self.encoder.layers, *self.decoder.layers)

    @property
    def backend(self) -> str:
        """Name of the backend that both compute on."""
        return self.encoder.backend

    @property
    def dtype(self) -> np.dtype:
        """dtype of the parameters."""
        return self.encoder.dtype

    @property
    def device(self) -> Any:
        """The backend of both."""
        return self.encoder.device

    @property
    def widest(self) -> int:
        """Features of the widest layer."""
        return max(self.encoder.widest, self.decoder.widest)

    def summary(self) -> str:
        """The tables that `print(model)` shows, as `SequenceModel.summary`."""
        return f"EncoderDecoder that writes {self.length} symbols\nencoder: {self.encoder}\ndecoder: {self.decoder}"

    def __repr__(self) -> str:
        return self.summary()

    def check_batch(self, x: Any, target: Any, h0: Any, steps: Any, lengths: Any) -> Batch:
        """What `fit` asks before it begins: x as the encoder takes it, the rest as the decoder does."""
        source, states, inside, _ = self.encoder.check_inputs(x, h0, lengths)
        batch = self.decoder.check_batch(self._taught(x, target), target, None, steps, None)
        return batch._replace(x=source, states=states, lengths=inside)

    def _taught(self, x: Any, target: Any) -> np.ndarray:
        """`shifted`, for the rows of an x that has passed the _validation."""
        shifted = self.shifted(target)
        if len(shifted) != len(x):
            raise ValueError(f"x has {len(x)} rows, but target has {len(shifted)}")
        return shifted

    def _join(self) -> None:
        """Put the parameters of both into one new vector, of which theirs become views."""
        parts = {"encoder.": self.encoder, "decoder.": self.decoder}
        shapes = {
            f"{prefix}{name}": shape for prefix, part in parts.items() for name, shape in part.params.shapes.items()
        }
        vectors = [part.params.vector for part in parts.values()]
        self._params = Parameters(shapes, namespace(vectors[0]).concatenate(vectors))
        self._share()

    def _share(self) -> None:
        """Make the parameters of both parts views of the whole vector. The objects stay: others may hold them."""
        start = 0
        for part in (self.encoder, self.decoder):
            start = part.params.become_part(self._params, start)

    def _check_parts(self) -> None:
        encoder, decoder = self.encoder, self.decoder
        for what, part in (("encoder", encoder), ("decoder", decoder)):
            if not isinstance(part, SequenceModel):
                got = f"the class {part.__name__}" if isinstance(part, type) else type(part).__name__
                raise TypeError(f"the {what} must be a SequenceModel, got {got}; wrap layers: SequenceModel([…])")
        taken = [what for what, part in (("encoder", encoder), ("decoder", decoder)) if part.params.whole is not None]
        if taken:
            raise ValueError(
                f"this {taken[0]} is already part of an EncoderDecoder, whose parameters it shares; make a new one, or "
                f"pass copy.deepcopy({taken[0]})"
            )
        if encoder is decoder:
            raise ValueError("encoder and decoder must be two models, got the same one twice; make a second one")
        if (encoder.backend, encoder.dtype) != (decoder.backend, decoder.dtype):
            raise ValueError(
                f"the encoder is {encoder.dtype} on {encoder.backend}, the decoder {decoder.dtype} on {decoder.backend}"
            )
        if decoder.loss_name != "cross_entropy":
            raise ValueError(f'a decoder writes symbols: its loss is "cross_entropy", not "{decoder.loss_name}"')
        if decoder.input_size != decoder.output_size + 1:
            raise ValueError(
                f"the decoder writes {decoder.output_size} symbols, so it reads {decoder.output_size + 1}, one of them "
                f"before the first; this one reads {decoder.input_size}"
            )
        shapes = [[layer.state_shape(1) for layer in model.recurrent_layers] for model in (encoder, decoder)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"states of one row are {shapes[0]} in the encoder, but {shapes[1]} in the decoder")


def _in_a_row(first: LayerFlow, then: LayerFlow) -> LayerFlow:
    """The flow of one layer after that of another, in time."""
    xp = namespace(first.per_sample)
    return LayerFlow(
        xp.concatenate([first.per_sample, then.per_sample], axis=1),
        xp.concatenate([first.flushed, then.flushed]),
        None if first.saturation is None else xp.concatenate([first.saturation, then.saturation], axis=1),
    )
