"""Saving and loading: one .npz file with the flat vector, a JSON header, and the history where one was given.

The header names layers and sizes, never code: loading runs nothing from the file (no pickle).
"""

from __future__ import annotations

import dataclasses
import json
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import optimizers
from .backends import resolve
from .backends.arrays import to_numpy
from .gradients.record import Details, FlowRecord, FlowRow
from .history import History
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

    model: SequenceModel
    history: History | None
    extra: dict[str, Any]


def save(
    model: SequenceModel, path: str | os.PathLike[str], *, history: History | None = None, extra: Any = None
) -> None:
    """Write a model to a file, in one move: an older file there is replaced only by a complete new one.

    history : lets training go on with `fit(resume=…)` after `scratchrnn.checkpoint.read`.
    extra : a dict of anything JSON can hold, such as a vocabulary; comes back from `read`.

    A subclass is saved as the library class it extends. Raises TypeError for layers or extras that no file can hold.
    """
    kind = VanillaRNN if isinstance(model, VanillaRNN) else SequenceModel
    unknown = [type(layer).__name__ for layer in model.layers if type(layer).__name__ not in LAYERS]
    if unknown:
        raise TypeError(f"a checkpoint cannot hold layers of type {', '.join(unknown)}; it knows {', '.join(LAYERS)}")
    header: dict[str, Any] = {
        "format": FORMAT,
        "model": kind.__name__,
        "loss": model.loss_name,
        "layers": [{"type": type(layer).__name__, **dataclasses.asdict(layer)} for layer in model.layers],  # type: ignore[call-overload]
        "extra": extra or {},
    }
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
    layers = [LAYERS[spec.pop("type")](**spec) for spec in header["layers"]]
    options: dict[str, Any] = {"loss": header["loss"], "backend": backend, "dtype": vector.dtype}
    if header["model"] == "VanillaRNN":
        rnn, linear = layers
        model: SequenceModel = VanillaRNN(rnn.input_size, rnn.hidden_size, linear.output_size, init=rnn.init, **options)
    else:
        model = SequenceModel(layers, **options)
    model.params = model.params.like(resolve(model.backend).asarray(vector))
    history = _unpack(header["history"], arrays, model) if "history" in header else None
    return Checkpoint(model, history, header["extra"])


def _pack(history: History) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A history as JSON and arrays."""
    optimizer = history.optimizer
    flow = history.flow
    header = {
        "optimizer": {"type": type(optimizer).__name__, **dataclasses.asdict(optimizer)},  # type: ignore[call-overload]
        "interrupted": history.interrupted,
        "rng": history.rng.bit_generator.state,
        "flow_every": flow.every,
        "flow_directions": flow.directions,
        "flow_names": flow.names,
        "moments": sorted(history.moments),
    }
    arrays = {name: np.array(getattr(history, name)) for name in ("loss", "val_loss", "grad_norm", "clipped")}
    arrays |= _pack_flow(flow)
    arrays |= {f"moment_{name}": to_numpy(vector) for name, vector in history.moments.items()}
    return header, arrays


def _unpack(header: dict[str, Any], arrays: dict[str, np.ndarray], model: SequenceModel) -> History:
    hyper = header["optimizer"]
    rng = np.random.default_rng()
    rng.bit_generator.state = header["rng"]
    return History(
        getattr(optimizers, hyper.pop("type"))(**hyper),
        **{name: arrays[name].tolist() for name in ("loss", "val_loss", "grad_norm", "clipped")},
        flow=_unpack_flow(header, arrays),
        interrupted=header["interrupted"],
        moments={name: resolve(model.backend).asarray(arrays[f"moment_{name}"]) for name in header["moments"]},
        rng=rng,
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


def _unpack_flow(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> FlowRecord:
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
