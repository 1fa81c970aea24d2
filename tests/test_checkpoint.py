"""Saving, loading and going on."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

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


# Numbers of every kind.

SCALARS: dict[str, Any] = {
    "int64": np.int64,
    "int32": np.int32,
    "uint8": np.uint8,
    "0-d array": np.array,
}


@pytest.mark.parametrize("integer", SCALARS.values(), ids=SCALARS)
def test_models_made_with_numbers_of_numpy_are_saved(integer: Any, tmp_path: Path) -> None:
    p, eps, both = np.float32(0.25), np.float64(1e-4), cast(Any, np.True_)
    layers: list[Any] = [
        sr.Embedding(integer(5), integer(4)),
        sr.RNN(integer(4), integer(3), num_layers=integer(2), bidirectional=both, dropout=p),
        sr.LayerNorm(integer(6), eps=eps),
        sr.Dropout(p, size=integer(6)),
        sr.Linear(integer(6), integer(7)),
    ]
    for model in (
        sr.SequenceModel(layers, loss="cross_entropy", backend="numpy"),
        sr.VanillaRNN(integer(3), integer(4), integer(2), backend="numpy"),
    ):
        sr.save(model, tmp_path / "model.npz")
        again = sr.load(tmp_path / "model.npz", backend="numpy")
        assert again.layers == model.layers and again.params == model.params
        for layer in model.layers:
            assert {type(value) for value in vars(layer).values()} <= {int, float, bool, str}


OPTIMIZERS: dict[str, Any] = {
    "Adam": lambda number: sr.Adam(number(0.01), beta1=number(0.8), weight_decay=number(0.5)),
    "SGD": lambda number: sr.SGD(number(0.01), momentum=number(0.5)),
    "RMSProp": lambda number: sr.RMSProp(number(0.01), decay=number(0.5)),
    "Adagrad": lambda number: sr.Adagrad(number(0.01)),
}


@pytest.mark.parametrize("number", [np.float32, np.float64, np.array], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_optimizers_made_with_numbers_of_numpy_are_saved(optimizer: Any, number: Any, tmp_path: Path) -> None:
    model, rule = make_model(), optimizer(number)
    assert {type(value) for value in vars(rule).values()} == {float}
    batch = make_batch(model)
    options = {"clip_norm": np.float32(1), "batch_size": np.int64(3), "seed": np.int64(2)}
    history = sr.fit(model, batch["x"], batch["target"], epochs=np.int8(2), optimizer=rule, progress=False, **options)
    sr.save(model, tmp_path / "model.npz", history=history)
    again = checkpoint.read(tmp_path / "model.npz", backend="numpy").history
    assert again is not None and again.optimizer == rule and again.grad_norm == history.grad_norm


def test_an_encoder_decoder_of_a_numpy_length_is_saved(tmp_path: Path) -> None:
    encoder = sr.SequenceModel([sr.RNN(6, 5)], backend="numpy")
    decoder = sr.SequenceModel([sr.RNN(4, 5), sr.Linear(5, 3)], loss="cross_entropy", backend="numpy")
    sr.save(sr.EncoderDecoder(encoder, decoder, np.int64(7)), tmp_path / "model.npz")
    again: Any = sr.load(tmp_path / "model.npz", backend="numpy")
    assert type(again.length) is int and again.length == 7


def test_extras_hold_numbers_of_numpy(tmp_path: Path) -> None:
    extra = {"size": np.int64(3), "rate": np.float32(0.5), "on": np.True_, "pair": (1, np.int8(2)), "in": {"a": None}}
    sr.save(make_model(), tmp_path / "model.npz", extra=extra)
    found = checkpoint.read(tmp_path / "model.npz").extra
    assert found == {"size": 3, "rate": 0.5, "on": True, "pair": [1, 2], "in": {"a": None}}
    assert type(found["on"]) is bool and type(found["size"]) is int


# What reading could not build is refused before anything is written.


@dataclass(frozen=True)
class Halved(sr.SGD):
    """A user's own optimizer."""

    def step(self, delta: Any, *args: Any, **options: Any) -> None:
        super().step(delta, *args, **options)
        delta *= 0.5


@dataclass(frozen=True)
class Linear(sr.Linear):
    """A user's own layer, with the name of one of the library's."""


class Adam(sr.Adam):
    """Likewise an optimizer."""


def own_generator() -> Any:
    class Own(np.random.PCG64):
        pass

    return np.random.Generator(Own(1))


def history_of(model: Any, **options: Any) -> sr.History:
    batch = make_batch(model)
    return sr.fit(model, batch["x"], batch["target"], epochs=1, progress=False, **options)


class Remembers(sr.Callback):
    """A callback with a state that is its argument."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def state_dict(self) -> dict[str, Any]:
        return self.state


UNSAVED: dict[str, Any] = {
    "optimizer": ({"optimizer": Halved()}, {}, r"optimizers of type Halved .*; it knows SGD, Adagrad, RMSProp, Adam"),
    "name of an optimizer": ({"optimizer": Adam()}, {}, rf"optimizers of type Adam \({__name__}.Adam\); it knows"),
    "random numbers": ({"seed": own_generator()}, {}, "random number generators of type Own .*; it knows PCG64"),
    "state of a callback": ({"callbacks": [Remembers({"a": object()})]}, {}, "state of the callback .*Remembers"),
    "array of objects": ({"callbacks": [Remembers({"a": np.array([None])})]}, {}, "'a' is an array of objects"),
    "extra": (None, {"extra": {"a": {"b": {1, 2}}}}, r"cannot hold extra\['a'\]\['b'\]: a set is not JSON"),
    "key of an extra": (None, {"extra": {1: "a"}}, "extra: its keys must be strings, got 1"),
}


@pytest.mark.parametrize("trained, options, message", UNSAVED.values(), ids=UNSAVED)
def test_what_no_file_can_hold_is_refused_by_name(trained: Any, options: Any, message: str, tmp_path: Path) -> None:
    model = make_model()
    sr.save(model, tmp_path / "model.npz")
    before = (tmp_path / "model.npz").read_bytes()
    if trained is not None:
        options = {"history": history_of(model, **trained)}
    with pytest.raises(TypeError, match=message):
        sr.save(model, tmp_path / "model.npz", **options)
    assert (tmp_path / "model.npz").read_bytes() == before and os.listdir(tmp_path) == ["model.npz"]
    if trained is not None:
        sr.save(model, tmp_path / "alone.npz")  # the advice: the model alone
        assert sr.load(tmp_path / "alone.npz", backend="numpy").params == model.params


def test_layers_of_other_classes_are_refused_whatever_their_name(tmp_path: Path) -> None:
    model = sr.SequenceModel([sr.RNN(3, 4), Linear(4, 2)], backend="numpy")
    with pytest.raises(
        TypeError, match=r"layers of type Linear .*; it knows RNN, Linear, Embedding, Dropout, LayerNorm"
    ):
        sr.save(model, tmp_path / "model.npz")

    class Deeper(sr.VanillaRNN):
        def __init__(self) -> None:
            sr.SequenceModel.__init__(self, [sr.RNN(3, 4), sr.Dropout(0.5), sr.Linear(4, 2)], backend="numpy")

        def _prefixes(self) -> tuple[str, ...]:
            return ("", "", "")

    with pytest.raises(TypeError, match="cannot hold a Deeper: a VanillaRNN has one RNN and one Linear"):
        sr.save(Deeper(), tmp_path / "model.npz")
    assert not os.listdir(tmp_path)


def test_a_subclass_of_vanilla_keeps_its_layers(tmp_path: Path) -> None:
    class Rectified(sr.VanillaRNN):
        def __init__(self) -> None:
            layers: list[Any] = [sr.RNN(3, 4, nonlinearity="relu", init="he"), sr.Linear(4, 2, init="normal(0.1)")]
            sr.SequenceModel.__init__(self, layers, backend="numpy")

    model = Rectified()
    sr.save(model, tmp_path / "model.npz")
    again = sr.load(tmp_path / "model.npz", backend="numpy")
    assert type(again) is sr.VanillaRNN and again.layers == model.layers
    batch = make_batch(model)
    assert again.loss(**batch) == model.loss(**batch)


def test_load_builds_no_history(tmp_path: Path) -> None:
    """A history that this version cannot build does not lose the model."""
    model = make_model()
    sr.save(model, tmp_path / "model.npz", history=history_of(model))
    with np.load(tmp_path / "model.npz") as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    for name in ("Halved", "field", "np"):  # the last two are attributes of the module of the optimizers
        header["history"]["optimizer"]["type"] = name
        np.savez(tmp_path / "changed.npz", **arrays | {"header": np.array(json.dumps(header))})
        assert sr.load(tmp_path / "changed.npz", backend="numpy").params == model.params
        with pytest.raises(ValueError, match="is damaged"):
            checkpoint.read(tmp_path / "changed.npz", backend="numpy")
    del arrays["moment_m"], arrays["grad_norm"]
    np.savez(tmp_path / "changed.npz", **arrays)
    assert sr.load(tmp_path / "changed.npz", backend="numpy").params == model.params


@pytest.mark.parametrize("kind", list(checkpoint.BIT_GENERATORS))
def test_random_numbers_of_every_kind_go_on(kind: str, tmp_path: Path) -> None:
    model = make_model("deep")
    batch = make_batch(model)
    data = {"x": batch["x"], "target": batch["target"], "batch_size": 3, "progress": False}

    def seed() -> Any:
        return np.random.Generator(checkpoint.BIT_GENERATORS[kind](3))

    expected = make_model("deep")
    sr.fit(expected, **data, epochs=3, seed=seed())
    history = sr.fit(model, **data, epochs=2, seed=seed())
    sr.save(model, tmp_path / "model.npz", history=history)
    again, history_again, _ = checkpoint.read(tmp_path / "model.npz", backend="numpy")
    sr.fit(again, **data, epochs=1, resume=history_again)
    assert again.params == expected.params


# The file itself.


def test_a_file_that_is_replaced_is_never_half_there(tmp_path: Path) -> None:
    """Two processes save to one path while this one loads it: every save and every load succeeds."""
    path = tmp_path / "model.npz"
    sr.save(make_model(), path)
    script = (
        "import sys, scratchrnn as sr\n"
        "model = sr.VanillaRNN(3, 6, 5, backend='numpy', seed=int(sys.argv[2]))\n"
        "for _ in range(60): sr.save(model, sys.argv[1])\n"
    )
    savers = [subprocess.Popen([sys.executable, "-c", script, str(path), str(seed)]) for seed in (1, 2)]
    loads = 0
    while any(saver.poll() is None for saver in savers):
        sr.load(path, backend="numpy")
        loads += 1
    assert [saver.returncode for saver in savers] == [0, 0] and loads > 10
    assert os.listdir(tmp_path) == ["model.npz"]


def test_the_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    model = make_model()
    sr.save(model, "~/models/x.npz")
    assert (tmp_path / "home" / "models" / "x.npz").exists() and not (tmp_path / "~").exists()
    assert sr.load("~/models/x.npz", backend="numpy").params == model.params
    sr.save(model, "~no-such-user.npz")  # a plain name
    assert sr.load("~no-such-user.npz", backend="numpy").params == model.params


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    sr.save(model, tmp_path / "model.npz")
    before = (tmp_path / "model.npz").read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        sr.save(model, tmp_path / "model.npz")
    assert (tmp_path / "model.npz").read_bytes() == before and os.listdir(tmp_path) == ["model.npz"]


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.npz").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder, not a file"):
        sr.save(make_model(), tmp_path / "model.npz")


@pytest.mark.skipif(os.name != "posix", reason="permissions and links are those of POSIX")
def test_permissions_and_links_stay(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        sr.save(make_model(), tmp_path / "new.npz")
    finally:
        os.umask(umask)
    assert (tmp_path / "new.npz").stat().st_mode & 0o777 == 0o640
    (tmp_path / "new.npz").chmod(0o604)
    (tmp_path / "link.npz").symlink_to(tmp_path / "new.npz")
    sr.save(make_model("relu"), tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink() and (tmp_path / "new.npz").stat().st_mode & 0o777 == 0o604
    assert sr.load(tmp_path / "new.npz", backend="numpy").layers == make_model("relu").layers


class Stream(io.RawIOBase):
    """A file object that cannot be rewound, as a pipe or a download."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        return self.data.read(size)

    def write(self, data: Any) -> int:
        return self.data.write(data)


def test_file_objects(tmp_path: Path) -> None:
    model = make_model()
    history = history_of(model)
    memory, stream = io.BytesIO(), Stream()
    targets: list[Any] = [memory, stream]
    for target in targets:
        sr.save(model, target, history=history, extra={"a": 1})
    with open(tmp_path / "model.npz", "wb") as file:
        sr.save(model, file, history=history, extra={"a": 1})
    memory.seek(0)
    with open(tmp_path / "model.npz", "rb") as file:
        sources: list[Any] = [memory, Stream(stream.data.getvalue()), file]
        for source in sources:
            again, history_again, extra = checkpoint.read(source, backend="numpy")
            assert again.params == model.params and extra == {"a": 1}
            assert history_again is not None and history_again.loss == history.loss
    memory.seek(0)
    assert sr.load(memory, backend="numpy").params == model.params and not memory.closed
    with open(tmp_path / "model.txt", "w") as text, pytest.raises(TypeError, match="a binary file object, got TextIO"):
        sr.save(model, cast(Any, text))
    only_read: Any = SimpleNamespace(read=io.BytesIO(memory.getvalue()).read)
    assert sr.load(only_read, backend="numpy").params == model.params
    with pytest.raises(ValueError, match="BytesIO is not a scratchrnn checkpoint, or is damaged"):
        sr.load(io.BytesIO(b"something else"), backend="numpy")


@pytest.mark.parametrize("name", ["sequence", "vanilla", "encoder_decoder"])
def test_files_of_format_1_go_on_as_they_did(name: str) -> None:
    """Written by the first version that had format 1; no later change may break them."""
    folder = Path(__file__).parent / "data" / "format_1"
    model, history, extra = checkpoint.read(folder / f"{name}.npz", backend="numpy")
    with np.load(folder / "expected.npz") as expected:
        x, target, lengths = expected[f"{name}_x"], expected[f"{name}_target"], expected["lengths"]
        given: dict[str, Any] = {"lengths": lengths} if name == "sequence" else {}
        tolerance = 1e-5 if name == "vanilla" else 1e-12  # float32, float64
        assert model.loss(x, target, **given) == pytest.approx(expected[f"{name}_loss"], rel=tolerance)
        assert sr.load(folder / f"{name}.npz", backend="numpy").params == model.params
        assert history is not None and history.callbacks == []
        if name == "sequence":
            assert extra == {"vocabulary": list("abñ中z")} and len(model.layers) == 5
            given |= {"validation": {"x": x, "target": target, "lengths": lengths}, "clip_norm": 0.5, "track": "all"}
            assert set(history.flow.grad_norms) == set(model.params)
        rows = 2 if name == "vanilla" else 3
        after = sr.fit(model, x, target, epochs=1, batch_size=rows, resume=history, progress=False, **given)
        assert after.loss == pytest.approx(expected[f"{name}_history"], rel=tolerance)
        np.testing.assert_allclose(model.params.vector, expected[f"{name}_after"], rtol=tolerance, atol=tolerance)
