"""Saving, loading and going on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ARCHITECTURES, OF_TOKENS, make_batch, make_model

import scratchrnn as sr
from scratchrnn import checkpoint


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *OF_TOKENS])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_a_model_comes_back_bit_for_bit(architecture: str, dtype: str, loss: str, tmp_path: Path) -> None:
    model = make_model(architecture, dtype=dtype, loss=loss)
    sr.save(model, tmp_path / "new" / "model", extra={"vocabulary": list("añ中")})
    again = sr.load(tmp_path / "new" / "model", backend="numpy")
    assert type(again) is type(model) and again.layers == model.layers and again.loss_name == loss
    assert list(again.params) == list(model.params) and again.dtype == dtype
    assert (again.params.vector == model.params.vector).all()
    batch = make_batch(model)
    assert again.loss(**batch) == model.loss(**batch)
    assert checkpoint.read(tmp_path / "new" / "model").extra == {"vocabulary": list("añ中")}


def test_what_a_layer_was_asked_for_comes_back(tmp_path: Path) -> None:
    layers: list[Any] = [
        sr.Embedding(5, 4, init="normal(0.1)"),
        sr.LayerNorm(4, eps=1e-3),
        sr.Dropout(0.25),
        sr.RNN(4, 3, num_layers=2, bidirectional=True, nonlinearity="relu", dropout=0.5, init="spectral(0.9)"),
        sr.Linear(6, 2, init="he"),
    ]
    model = sr.SequenceModel(layers, backend="numpy")
    sr.save(model, tmp_path / "model.npz")
    assert sr.load(tmp_path / "model.npz", backend="numpy").layers == model.layers
    assert model.layers[3] == layers[3] and repr(model) == repr(sr.load(tmp_path / "model.npz", backend="numpy"))


def test_files_from_before_weight_decay_and_levels_are_read(tmp_path: Path) -> None:
    """Whatever a header does not name has the value that it had when there was no choice."""
    model = make_model()
    batch = make_batch(model)
    history = sr.fit(model, batch["x"], batch["target"], epochs=1, progress=False)
    sr.save(model, tmp_path / "model.npz", history=history)
    with np.load(tmp_path / "model.npz") as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    header["layers"][0] = {"type": "RNN", "input_size": 3, "hidden_size": 6, "init": "xavier"}
    del header["history"]["optimizer"]["weight_decay"]
    arrays["header"] = np.array(json.dumps(header))
    np.savez(tmp_path / "old.npz", **arrays)
    loaded = checkpoint.read(tmp_path / "old.npz", backend="numpy")
    assert loaded.model.layers == model.layers and loaded.history is not None
    assert loaded.history.optimizer == history.optimizer


@pytest.mark.parametrize(
    "optimizer", [sr.Adam(0.02, weight_decay=0.1), sr.SGD(0.1, momentum=0.5), sr.SGD(0.1)], ids=repr
)
def test_training_goes_on_from_a_file_as_if_it_had_never_stopped(optimizer: Any, tmp_path: Path) -> None:
    model = make_model()
    batch = make_batch(model, rows=21)
    arguments = {"x": batch["x"], "target": batch["target"], "batch_size": 8, "progress": False, "clip_norm": 0.1}
    history = sr.fit(model, **arguments, epochs=2, optimizer=optimizer)
    sr.save(model, tmp_path / "run.npz", history=history)
    loaded = checkpoint.read(tmp_path / "run.npz", backend="numpy")
    assert loaded.history is not None and repr(loaded.history) == repr(history)
    here = sr.fit(model, **arguments, epochs=2, resume=history)
    there = sr.fit(loaded.model, **arguments, epochs=2, resume=loaded.history)
    assert (model.params.vector == loaded.model.params.vector).all()
    for name in ("loss", "grad_norm", "clipped", "optimizer"):
        assert getattr(here, name) == getattr(there, name)
    assert (here.flow.norms == there.flow.norms).all() and here.flow.updates == there.flow.updates


def test_an_encoder_decoder_comes_back_and_goes_on(tmp_path: Path) -> None:
    encoder = sr.SequenceModel([sr.Embedding(5, 3), sr.RNN(3, 6, num_layers=2)], backend="numpy", dtype="float32")
    layers: list[Any] = [sr.RNN(4, 6, num_layers=2), sr.Linear(6, 3)]
    decoder = sr.SequenceModel(layers, loss="cross_entropy", backend="numpy", dtype="float32", seed=1)
    model: Any = sr.EncoderDecoder(encoder, decoder, 4)
    rng = np.random.default_rng(0)
    x, target = rng.integers(5, size=(9, 7)), rng.integers(3, size=(9, 4))
    history = sr.fit(model, x, target, epochs=2, progress=False)
    sr.save(model, tmp_path / "run.npz", history=history)
    again, kept, _ = checkpoint.read(tmp_path / "run.npz", backend="numpy")
    assert isinstance(again, sr.EncoderDecoder) and repr(again) == repr(model) and again.dtype == np.float32
    assert (again.write(x) == model.write(x)).all() and again.loss(x, target) == model.loss(x, target)
    for either, run in ((model, history), (again, kept)):
        sr.fit(either, x, target, epochs=2, resume=run, progress=False)
    assert (again.params.vector == model.params.vector).all()
    assert np.shares_memory(again.decoder.params.vector, again.params.vector)


def test_a_subclass_is_saved_as_what_it_extends(tmp_path: Path) -> None:
    class Mine(sr.VanillaRNN):
        """A user's own."""

    sr.save(Mine(2, 3, 1, backend="numpy"), tmp_path / "mine.npz")
    assert type(sr.load(tmp_path / "mine.npz")) is sr.VanillaRNN


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    model = make_model()
    path = tmp_path / "model.npz"
    sr.save(model, path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        sr.save(model, path, extra={"a": object()})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 not a zip"], ids=["empty", "text", "damaged"])
def test_other_files_are_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"some.npz is not a scratchrnn checkpoint, or is damaged"):
        sr.load(path)
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ValueError, match="not a scratchrnn checkpoint"):
        sr.load(path)
    for header in (
        "{}",
        '{"format": 1}',
        '{"format": 1, "model": "VanillaRNN", "loss": "mse", "layers": [{"type": "GRU"}]}',
    ):
        np.savez(path, header=header, vector=np.zeros(3))
        with pytest.raises(ValueError, match="not a scratchrnn checkpoint"):
            sr.load(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match="not a scratchrnn checkpoint"):
        sr.load(tmp_path / "array.npy")
    with pytest.raises(FileNotFoundError):
        sr.load(tmp_path / "absent.npz")


def test_a_newer_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    sr.save(make_model(), tmp_path / "new.npz")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="format 99; this version reads 1"):
        sr.load(tmp_path / "new.npz")


def test_layers_no_file_knows_are_refused(tmp_path: Path) -> None:
    class Other(sr.RNN):
        """A layer of a user's own."""

    with pytest.raises(TypeError, match="layers of type Other"):
        sr.save(sr.SequenceModel([Other(2, 3), sr.Linear(3, 1)], backend="numpy"), tmp_path / "x")
