"""Saving and loading: one .npz file with the flat vector, a JSON header, and the history where one was given.

The header names layers and sizes, never code: loading runs nothing from the file (no pickle).
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from ._arrays import to_numpy
from ._files import replacing
from .backends import resolve
from .encoder_decoder import EncoderDecoder
from .layers.dropout import Dropout
from .layers.embedding import Embedding
from .layers.layer_norm import LayerNorm
from .layers.linear import Linear
from .layers.rnn import RNN
from .model import SequenceModel, VanillaRNN
from .optimizers import SGD, Adagrad, Adam, RMSProp
from .training.flow_record import Details, FlowRecord, FlowRow
from .training.history import CallbackState, History

FORMAT = 1
# What a file may name, and so all that reading one can build.
LAYERS: dict[str, Any] = {layer.__name__: layer for layer in (RNN, Linear, Embedding, Dropout, LayerNorm)}
OPTIMIZERS: dict[str, Any] = {rule.__name__: rule for rule in (SGD, Adagrad, RMSProp, Adam)}
BIT_GENERATORS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937, np.random.Philox, np.random.SFC64)
}
File = str | os.PathLike[str] | BinaryIO
DAMAGED = (
    *(KeyError, ValueError, TypeError, EOFError, AttributeError, RuntimeError),
    *(zlib.error, zipfile.BadZipFile),
)


class Checkpoint(NamedTuple):
    """What a file holds."""

    model: SequenceModel  # or an EncoderDecoder
    history: History | None
    extra: dict[str, Any]


def save(
    model: SequenceModel | EncoderDecoder,
    path: File,
    *,
    history: History | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a model to a file, in one move: an older file there is replaced only by a complete new one.

    model : a SequenceModel, a VanillaRNN or an EncoderDecoder.
    path : where to; missing folders are made, "~" is the home folder. Or a binary file object, which is written to.
    history : lets training go on with `fit(resume=…)` after `scratchrnn.checkpoint.read`.
    extra : a dict of anything JSON can hold, such as a vocabulary; comes back from `read`. NumPy's numbers become
        Python's, tuples lists.

    A subclass of a model is saved as the library class it extends. Raises TypeError, before anything is written, for
    what no file can hold: layers and optimizers of other classes than the library's, callback states and extras.
    Raises OSError where the file cannot be written.
    """
    if not isinstance(model, (SequenceModel, EncoderDecoder)):
        swapped = isinstance(path, (SequenceModel, EncoderDecoder))
        hint = "; the model comes first: save(model, path)" if swapped else ""
        raise TypeError(
            f"save takes a SequenceModel, a VanillaRNN or an EncoderDecoder, got {type(model).__name__}{hint}"
        )
    if not isinstance(path, (str, os.PathLike)) and (not hasattr(path, "write") or isinstance(path, io.TextIOBase)):
        raise TypeError(f"path must be the name of a file or a binary file object, got {type(path).__name__}")
    header: dict[str, Any] = {"format": FORMAT, **_describe(model), "extra": _plain("extra", extra or {})}
    arrays = {"vector": to_numpy(model.params.vector)}
    if history is not None:
        header["history"], history_arrays = _pack(history)
        arrays.update(history_arrays)
    text = np.array(json.dumps(header))
    if isinstance(path, (str, os.PathLike)):
        with replacing(path) as file:
            np.savez(file, header=text, **arrays)  # type: ignore[arg-type]
    else:
        np.savez(path, header=text, **arrays)  # type: ignore[arg-type]


def _describe(model: SequenceModel | EncoderDecoder) -> dict[str, Any]:
    """What a model is made of, for the header."""
    if isinstance(model, EncoderDecoder):
        parts = {"encoder": _describe(model.encoder), "decoder": _describe(model.decoder)}
        return {"model": "EncoderDecoder", **parts, "length": model.length}
    layers = [{"type": _known(layer, "layer", LAYERS), **dataclasses.asdict(layer)} for layer in model.layers]  # type: ignore[call-overload]
    kind = VanillaRNN if isinstance(model, VanillaRNN) else SequenceModel
    if kind is VanillaRNN and [type(layer) for layer in model.layers] != [RNN, Linear]:
        raise TypeError(
            f"a checkpoint cannot hold a {type(model).__name__}: a VanillaRNN has one RNN and one Linear, this has "
            f"{', '.join(type(layer).__name__ for layer in model.layers)}; make it a SequenceModel"
        )
    return {"model": kind.__name__, "loss": model.loss_name, "layers": layers}


def _known(thing: Any, what: str, known: Mapping[str, Any]) -> str:
    """The name under which a file holds a layer or an optimizer; TypeError for one that reading could not build."""
    name = type(thing).__name__
    if known.get(name) is not type(thing):
        raise TypeError(
            f"a checkpoint cannot hold {what}s of type {name} ({type(thing).__module__}.{type(thing).__qualname__}); "
            f"it knows {', '.join(known)}"
        )
    return name


def _plain(where: str, value: Any) -> Any:
    """A value as JSON holds it and gives it back; TypeError that names what it cannot hold."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"a checkpoint cannot hold {where}: its keys must be strings, got {key!r}")
        return {str(key): _plain(f"{where}[{key!r}]", item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(f"{where}[{i}]", item) for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise TypeError(
            f"a checkpoint cannot hold {where}: a {type(value).__name__} is not JSON serializable; numbers, strings, "
            "lists and dicts are"
        )
    return value


def load(path: File, *, backend: str | None = None) -> SequenceModel:
    """The model in a file, on a backend (None: `get_backend()`), in the dtype in which it was saved.

    path : its name, or a binary file object that holds one checkpoint and nothing after it. Only the model is built.

    Raises OSError for a file that cannot be read and ValueError for one that is no checkpoint.
    """

    def model(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> SequenceModel:
        return _model(header, arrays, backend)

    return _open(path, backend, model)


def read(path: File, *, backend: str | None = None) -> Checkpoint:
    """Everything in a file: model, history (None where none was saved) and extra. Raises as `load`."""

    def everything(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Checkpoint:
        arrays = dict(arrays)  # each is read from the file once
        model = _model(header, arrays, backend)
        history = _unpack(header["history"], arrays, model) if "history" in header else None
        return Checkpoint(model, history, header["extra"])

    return _open(path, backend, everything)


def _open(path: File, backend: str | None, build: Callable[[dict[str, Any], Mapping[str, np.ndarray]], Any]) -> Any:
    """What `build` makes of the header and the arrays in a file, which are read when they are asked for."""
    resolve(backend)  # a backend that is missing is not the file's fault
    if isinstance(path, (str, os.PathLike)):
        name = os.fspath(path)
        stream: BinaryIO = open(os.path.expanduser(path), "rb")  # noqa: SIM115
    elif hasattr(path, "read"):
        name = str(getattr(path, "name", type(path).__name__))
        stream = path if getattr(path, "seekable", bool)() else io.BytesIO(path.read())
    else:
        raise TypeError(f"path must be the name of a file or a binary file object, got {type(path).__name__}")
    try:
        with np.load(stream, allow_pickle=False) as arrays:
            header = json.loads(str(arrays["header"]))
            if header["format"] == FORMAT:
                return build(header, arrays)
    except DAMAGED as error:
        raise ValueError(f"{name} is not a scratchrnn checkpoint, or is damaged") from error
    finally:
        if stream is not path:
            stream.close()
    raise ValueError(f"{name} has checkpoint format {header['format']}; this version reads {FORMAT}")


def _model(header: dict[str, Any], arrays: Mapping[str, np.ndarray], backend: str | None) -> SequenceModel:
    vector = arrays["vector"]
    model = _make(header, backend, vector.dtype)
    model.params.vector = vector
    return model


def _make(described: dict[str, Any], backend: str | None, dtype: np.dtype) -> SequenceModel:
    """A model as `_describe` says, with weights of its own."""
    if described["model"] == "EncoderDecoder":
        encoder, decoder = (_make(described[part], backend, dtype) for part in ("encoder", "decoder"))
        return cast(SequenceModel, EncoderDecoder(encoder, decoder, described["length"]))
    layers = [LAYERS[spec.pop("type")](**spec) for spec in described["layers"]]
    options: dict[str, Any] = {"loss": described["loss"], "backend": backend, "dtype": dtype}
    if described["model"] == "VanillaRNN":
        rnn, linear = layers
        vanilla = VanillaRNN.__new__(
            VanillaRNN
        )  # its own __init__ has no word for every layer that a subclass may have
        SequenceModel.__init__(vanilla, [rnn, linear], **options)
        return vanilla
    return SequenceModel(layers, **options)


def _pack(history: History) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A history as JSON and arrays."""
    optimizer = history.optimizer
    flow = history.flow
    header = {
        "optimizer": {"type": _known(optimizer, "optimizer", OPTIMIZERS), **dataclasses.asdict(optimizer)},  # type: ignore[call-overload]
        "interrupted": history.interrupted,
        "rng": _pack_rng(history.rng),
        "flow_every": flow.every,
        "flow_directions": flow.directions,
        "flow_names": flow.names,
        "moments": sorted(history.moments),
    }
    arrays = {name: np.array(getattr(history, name)) for name in ("loss", "val_loss", "grad_norm", "clipped")}
    arrays |= _pack_flow(flow)
    arrays |= {f"moment_{name}": to_numpy(vector) for name, vector in history.moments.items()}
    header["callbacks"] = [
        _pack_state(f"callback_{i}", callback, arrays) for i, callback in enumerate(history.callbacks)
    ]
    return header, arrays


def _pack_rng(rng: np.random.Generator) -> dict[str, Any]:
    """The state of a generator; some kinds keep arrays in theirs."""
    _known(rng.bit_generator, "random number generator", BIT_GENERATORS)
    return json.loads(json.dumps(rng.bit_generator.state, default=np.ndarray.tolist))


def _pack_state(prefix: str, callback: CallbackState, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """A callback's state, its arrays among those of the file."""
    where, plain, own = f"the state of the callback {callback.type}", {}, []
    for name, value in callback.state.items():
        if hasattr(value, "ndim"):
            array = arrays[f"{prefix}_{name}"] = to_numpy(value)
            if array.dtype.hasobject:
                raise TypeError(f"a checkpoint cannot hold {where}: {name!r} is an array of objects")
            own.append(name)
        else:
            plain[name] = value
    return {
        "type": callback.type,
        "arguments": _plain(where, callback.arguments),
        "state": _plain(where, plain),
        "arrays": own,
    }


def _unpack_state(prefix: str, packed: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> CallbackState:
    state = packed["state"] | {name: arrays[f"{prefix}_{name}"] for name in packed["arrays"]}
    return CallbackState(packed["type"], packed["arguments"], state)


def _unpack(header: dict[str, Any], arrays: Mapping[str, np.ndarray], model: SequenceModel) -> History:
    hyper = header["optimizer"]
    rng = np.random.Generator(BIT_GENERATORS[header["rng"]["bit_generator"]]())
    rng.bit_generator.state = header["rng"]
    callbacks = enumerate(header.get("callbacks", ()))  # older files have none
    return History(
        OPTIMIZERS[hyper.pop("type")](**hyper),
        **{name: arrays[name].tolist() for name in ("loss", "val_loss", "grad_norm", "clipped")},
        flow=_unpack_flow(header, arrays),
        interrupted=header["interrupted"],
        moments={name: resolve(model.backend).asarray(arrays[f"moment_{name}"]) for name in header["moments"]},
        rng=rng,
        callbacks=[_unpack_state(f"callback_{i}", packed, arrays) for i, packed in callbacks],
    )


def _pack_flow(flow: FlowRecord) -> dict[str, np.ndarray]:
    """Tables of its rows, and how much of each row is not filling."""
    closely = [row.details is not None for row in flow.rows]
    arrays: dict[str, Any] = {
        "updates": flow.updates,
        "batch_rows": flow.batch_rows,
        "shapes": [(*row.norms.shape, close) for row, close in zip(flow.rows, closely, strict=True)],
        "layers": flow.layers,
    }
    if any(closely):
        arrays |= {"spread": flow.spread, "saturated": flow.saturated}
        arrays |= {
            name: np.stack(list(getattr(flow, name).values()), axis=1) for name in ("grad_norms", "update_ratios")
        }
    return {f"flow_{name}": np.array(array) for name, array in arrays.items()}


def _unpack_flow(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> FlowRecord:
    """The record as it was. A file from before there were tables of all cells has norms of the top layer alone."""
    if "flow_shapes" not in arrays:
        old = zip(*(arrays[f"flow_{name}"] for name in ("updates", "batch_rows", "norms")), strict=True)
        of_top = [FlowRow(int(update), int(N), norms[None, ~np.isnan(norms)]) for update, N, norms in old]
        return FlowRecord(of_top, header["flow_every"])
    rows = []
    for i, (cells, T, closely) in enumerate(arrays["flow_shapes"]):
        own = (..., slice(arrays["flow_layers"].shape[1] - cells, None), slice(0, T))
        details = None
        if closely:
            tables = (arrays[f"flow_{name}"][i][own] for name in ("spread", "saturated"))
            details = Details(*tables, *(arrays[f"flow_{name}"][i] for name in ("grad_norms", "update_ratios")))
        update, N = int(arrays["flow_updates"][i]), int(arrays["flow_batch_rows"][i])
        rows.append(FlowRow(update, N, arrays["flow_layers"][i][own], details))
    return FlowRecord(rows, header["flow_every"], header["flow_directions"], header["flow_names"])
