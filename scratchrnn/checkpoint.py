"""Saving and loading: one .npz file with the flat vector, a JSON header, and the history where one was given.

The header names layers and sizes, never code: loading runs nothing from the file (no pickle).
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from . import optimizers
from .backends import resolve
from .backends.arrays import to_numpy
from .encoder_decoder import EncoderDecoder
from .history import FlowRecord, History
from .layers.dropout import Dropout
from .layers.embedding import Embedding
from .layers.layer_norm import LayerNorm
from .layers.linear import Linear
from .layers.stack import RNN
from .model import SequenceModel, VanillaRNN

FORMAT = 1
LAYERS: dict[str, Any] = {layer.__name__: layer for layer in (RNN, Linear, Embedding, Dropout, LayerNorm)}


class Checkpoint(NamedTuple):
    """What a file holds."""

    model: SequenceModel  # or an EncoderDecoder
    history: History | None
    extra: dict[str, Any]


def save(
    model: SequenceModel | EncoderDecoder,
    path: str | os.PathLike[str],
    *,
    history: History | None = None,
    extra: Any = None,
) -> None:
    """Write a model to a file, in one move: an older file there is replaced only by a complete new one.

    model : a SequenceModel, a VanillaRNN or an EncoderDecoder.
    history : lets training go on with `fit(resume=…)` after `scratchrnn.checkpoint.read`.
    extra : a dict of anything JSON can hold, such as a vocabulary; comes back from `read`.

    A subclass is saved as the library class it extends. Raises TypeError for layers or extras that no file can hold.
    """
    header: dict[str, Any] = {"format": FORMAT, **_describe(model), "extra": extra or {}}
    arrays = {"vector": to_numpy(model.params.vector)}
    if history is not None:
        header["history"], history_arrays = _pack(history)
        arrays.update(history_arrays)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            np.savez(file, header=np.array(json.dumps(header)), **arrays)  # type: ignore[arg-type]
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _describe(model: SequenceModel | EncoderDecoder) -> dict[str, Any]:
    """What a model is made of, for the header."""
    if isinstance(model, EncoderDecoder):
        parts = {"encoder": _describe(model.encoder), "decoder": _describe(model.decoder)}
        return {"model": "EncoderDecoder", **parts, "length": model.length}
    unknown = [type(layer).__name__ for layer in model.layers if type(layer).__name__ not in LAYERS]
    if unknown:
        raise TypeError(f"a checkpoint cannot hold layers of type {', '.join(unknown)}; it knows {', '.join(LAYERS)}")
    layers = [{"type": type(layer).__name__, **dataclasses.asdict(layer)} for layer in model.layers]  # type: ignore[call-overload]
    kind = VanillaRNN if isinstance(model, VanillaRNN) else SequenceModel
    return {"model": kind.__name__, "loss": model.loss_name, "layers": layers}


def load(path: str | os.PathLike[str], *, backend: str | None = None) -> SequenceModel:
    """The model in a file, on a backend (None: `get_backend()`), in the dtype in which it was saved.

    Raises OSError for a file that cannot be read and ValueError for one that is no checkpoint.
    """
    return read(path, backend=backend).model


def read(path: str | os.PathLike[str], *, backend: str | None = None) -> Checkpoint:
    """Everything in a file: model, history (None where none was saved) and extra. Raises as `load`."""
    resolve(backend)  # a backend that is missing is not the file's fault
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        if header["format"] == FORMAT:
            return _build(header, arrays, backend)
    except (KeyError, ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{os.fspath(path)} is not a scratchrnn checkpoint, or is damaged") from error
    raise ValueError(f"{os.fspath(path)} has checkpoint format {header['format']}; this version reads {FORMAT}")


def _build(header: dict[str, Any], arrays: dict[str, np.ndarray], backend: str | None) -> Checkpoint:
    vector = arrays["vector"]
    model = _make(header, backend, vector.dtype)
    model.params = model.params.like(resolve(model.backend).asarray(vector))
    history = _unpack(header["history"], arrays, model) if "history" in header else None
    return Checkpoint(model, history, header["extra"])


def _make(described: dict[str, Any], backend: str | None, dtype: np.dtype) -> SequenceModel:
    """A model as `_describe` says, with weights of its own."""
    if described["model"] == "EncoderDecoder":
        encoder, decoder = (_make(described[part], backend, dtype) for part in ("encoder", "decoder"))
        return cast(SequenceModel, EncoderDecoder(encoder, decoder, described["length"]))
    layers = [LAYERS[spec.pop("type")](**spec) for spec in described["layers"]]
    options: dict[str, Any] = {"loss": described["loss"], "backend": backend, "dtype": dtype}
    if described["model"] == "VanillaRNN":
        rnn, linear = layers
        return VanillaRNN(rnn.input_size, rnn.hidden_size, linear.output_size, init=rnn.init, **options)
    return SequenceModel(layers, **options)


def _pack(history: History) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A history as JSON and arrays."""
    optimizer = history.optimizer
    flow = history.flow
    header = {
        "optimizer": {"type": type(optimizer).__name__, **dataclasses.asdict(optimizer)},  # type: ignore[call-overload]
        "interrupted": history.interrupted,
        "rng": history.rng.bit_generator.state,
        "flow_every": flow.every,
        "moments": sorted(history.moments),
    }
    arrays = {name: np.array(getattr(history, name)) for name in ("loss", "val_loss", "grad_norm", "clipped")}
    arrays |= {f"flow_{name}": np.array(getattr(flow, name)) for name in ("updates", "batch_rows", "norms")}
    arrays |= {f"moment_{name}": to_numpy(vector) for name, vector in history.moments.items()}
    return header, arrays


def _unpack(header: dict[str, Any], arrays: dict[str, np.ndarray], model: SequenceModel) -> History:
    hyper = header["optimizer"]
    rng = np.random.default_rng()
    rng.bit_generator.state = header["rng"]
    flow = FlowRecord(every=header["flow_every"])
    for update, rows, norms in zip(*(arrays[f"flow_{n}"] for n in ("updates", "batch_rows", "norms")), strict=True):
        flow.keep(int(update), norms[~np.isnan(norms)], int(rows))
    return History(
        getattr(optimizers, hyper.pop("type"))(**hyper),
        **{name: arrays[name].tolist() for name in ("loss", "val_loss", "grad_norm", "clipped")},
        flow=flow,
        interrupted=header["interrupted"],
        moments={name: resolve(model.backend).asarray(arrays[f"moment_{name}"]) for name in header["moments"]},
        rng=rng,
    )
