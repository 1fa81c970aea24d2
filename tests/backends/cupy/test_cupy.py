"""The cupy backend: the whole public surface on device arrays, with NumPy's results; what is said where it is missing.

Without a GPU the device arrays are those of `cupy_stand_in`, which is as strict as CuPy. Where CuPy and a GPU are, each
test that asks for `cupy` runs on them as well.
"""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import types
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cupy_stand_in
import numpy as np
import pytest
from helpers import (
    ARCHITECTURES,
    LENGTHS,
    LOSSES,
    OF_TOKENS,
    RANDOM,
    STEPS,
    O,
    T,
    all_grads,
    assert_close,
    difference,
    make_batch,
    make_model,
)

import scratchrnn as sr
from scratchrnn import _numerics, _validation, backends, checkpoint, losses, optimizers, parameters
from scratchrnn._arrays import to_numpy
from scratchrnn.cli.flow import decay
from scratchrnn.gradients import flow as flow_of
from scratchrnn.layers import embedding, layer_norm, recurrent, rnn
from scratchrnn.sampling import sample
from scratchrnn.tasks import characters
from scratchrnn.text import Vocabulary

OPTIMIZERS = [optimizers.SGD(0.05), optimizers.SGD(0.05, momentum=0.9), optimizers.Adagrad(0.05),
              optimizers.RMSProp(0.01), optimizers.Adam(0.01), optimizers.Adam(0.01, weight_decay=0.3)]  # fmt: skip


NO_GPU = backends.unavailable_because("cupy")


@pytest.fixture(params=["stand-in"] if NO_GPU else ["stand-in", "device"])
def cupy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module cupy: the stand-in for it, and the real one on a CUDA device."""
    if request.param == "stand-in":
        monkeypatch.setitem(sys.modules, "cupy", cupy_stand_in)
    forget_backends(monkeypatch)
    return sys.modules["cupy"]


def forget_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each backend be loaded anew, until the test is over."""
    monkeypatch.setattr(backends, "_loaded", {})
    monkeypatch.setattr(backends, "_failed", {})


def tolerance(cupy: Any, dtype: str = "float64") -> float:
    """The stand-in computes with NumPy; a device sums in another order."""
    if cupy is cupy_stand_in:
        return {"float64": 1e-14, "float32": 1e-6}[dtype]
    return {"float64": 1e-11, "float32": 1e-5}[dtype]


def on_device(cupy: Any, value: Any) -> Any:
    """NumPy arrays in a dict or tuple, or one array, as device arrays."""
    if isinstance(value, dict):
        return {name: on_device(cupy, v) for name, v in value.items()}
    if isinstance(value, tuple):
        return tuple(on_device(cupy, v) for v in value)
    return cupy.asarray(value) if isinstance(value, np.ndarray) else value


def on_host(cupy: Any, arrays: dict[str, Any]) -> dict[str, np.ndarray]:
    """Device arrays as NumPy arrays; nothing else will do."""
    for name, array in arrays.items():
        assert isinstance(array, cupy.ndarray), f"{name} is a {type(array)}"
    return {name: array.get() for name, array in arrays.items()}


def everything(result: Any) -> dict[str, Any]:
    """All arrays that `loss_and_grads` returns."""
    arrays = all_grads(result) | {"loss": result.loss if hasattr(result.loss, "shape") else np.array(result.loss)}
    for i, state in enumerate(result.h_last if isinstance(result.h_last, tuple) else (result.h_last,)):
        arrays[f"h_last[{i}]"] = state
    for i, seen in enumerate(result.flow.layers):
        arrays |= {f"norms[{i}]": seen.norms, f"per_sample[{i}]": seen.per_sample, f"flushed[{i}]": seen.flushed}
    return arrays


# The model computes what it computes on NumPy.


@pytest.mark.skipif(bool(NO_GPU), reason=f"only the stand-in for cupy is tested: {NO_GPU}")
def test_a_device_is_there() -> None:
    assert "cupy" in sr.available_backends()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *OF_TOKENS])
def test_loss_and_gradients(cupy: Any, architecture: str, loss: str, steps: str, padded: bool, dtype: str) -> None:
    options: dict[str, Any] = {"loss": loss, "dtype": dtype}
    model, other = make_model(architecture, **options), make_model(architecture, backend="cupy", **options)
    first = model.layers[0]
    for tokens in [False] * first.takes_vectors + [True] * first.takes_tokens:
        batch = make_batch(model, steps, padded=padded, tokens=tokens)
        expected = everything(model.loss_and_grads(**batch, inputs=not tokens))
        for given in (batch, on_device(cupy, batch)):
            r = other.loss_and_grads(**given, inputs=not tokens)
            assert r.loss.shape == () and float(r.loss) > 0
            actual = on_host(cupy, everything(r))
            assert {n: a.dtype for n, a in actual.items()} == {n: a.dtype for n, a in expected.items()}
            assert_close(actual, expected, tolerance(cupy, dtype))
            assert difference(other.loss(**given).get(), actual["loss"]) <= tolerance(cupy, dtype)


@pytest.mark.parametrize("architecture", ["vanilla", "deep-bidirectional", "embedding"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_omega_and_jacobians(cupy: Any, architecture: str, dtype: str) -> None:
    model = make_model(architecture, dtype=dtype)
    other = make_model(architecture, backend="cupy", dtype=dtype)
    batch = make_batch(model, padded=True)
    expected, device = sr.Omega(1.0).measure(model, **batch), sr.Omega(1.0).measure(other, **on_device(cupy, batch))
    assert device.value == pytest.approx(expected.value, rel=1e-5 if dtype == "float32" else 1e-11)
    assert_close(on_host(cupy, device.grads), expected.grads, tolerance(cupy, dtype))
    assert list(on_host(cupy, device.ratios)) == list(expected.ratios)
    seen = {name: batch[name] for name in ("x", "h0", "lengths")}
    ours, theirs = (
        sr.jacobian_spectrum(model, **seen, row=1),
        sr.jacobian_spectrum(other, **on_device(cupy, seen), row=1),
    )
    np.testing.assert_allclose(theirs.log10, ours.log10, atol=1e-4 if dtype == "float32" else 1e-9)
    optimizer: Any = optimizers.SGD(0.1)
    data = {name: batch[name] for name in ("x", "target", "steps", "lengths")}
    for each in (model, other):
        sr.fit(each, **data, epochs=2, optimizer=optimizer, regularizer=sr.Omega(0.1), progress=False)
    assert difference(to_numpy(other.params.vector), model.params.vector) < (1e-4 if dtype == "float32" else 1e-9)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("architecture", RANDOM)
def test_training_with_dropout(cupy: Any, architecture: str, steps: str, padded: bool) -> None:
    """The masks are drawn by NumPy: the same on a device."""
    model, other = make_model(architecture), make_model(architecture, backend="cupy")
    batch = make_batch(model, steps, padded=padded)
    expected, actual = (
        everything(m.loss_and_grads(**batch, inputs=batch["x"].ndim == 3, rng=np.random.default_rng(1)))
        for m in (model, other)
    )
    assert_close(on_host(cupy, actual), expected, 10 * tolerance(cupy))
    assert difference(other.loss(**batch).get(), expected["loss"]) > 1e-3


def test_one_step_at_a_time(cupy: Any) -> None:
    for architecture in ("vanilla", "deep", "embedding"):
        model, other = make_model(architecture), make_model(architecture, backend="cupy")
        batch = make_batch(model)
        state, device_state = batch["h0"], on_device(cupy, batch["h0"])
        for t in range(T):
            y_t, state = model.step(batch["x"][:, t], state)
            device_y_t, device_state = other.step(cupy.asarray(batch["x"][:, t]), device_state)
            assert difference(device_y_t.get(), y_t) <= tolerance(cupy)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("steps", STEPS)
def test_outputs(cupy: Any, steps: str, padded: bool) -> None:
    model, other = make_model(), make_model(backend="cupy")
    batch = make_batch(model, steps, padded=padded)
    del batch["target"]
    predicted = model.predict(**batch)
    outputs = model.forward(batch["x"], batch["h0"], batch["lengths"])._asdict()
    for given in (batch, on_device(cupy, batch)):
        actual = on_host(cupy, other.forward(given["x"], given["h0"], given["lengths"])._asdict())
        assert_close(actual, outputs, tolerance(cupy))
        assert_close(on_host(cupy, {"y": other.predict(**given)}), {"y": predicted}, tolerance(cupy))
        if not padded:
            assert_close(on_host(cupy, {"y": other(given["x"])}), {"y": model(batch["x"])}, tolerance(cupy))


def test_device_arrays_go_into_a_numpy_model(cupy: Any) -> None:
    model = make_model()
    for kind in STEPS:
        batch = make_batch(model, kind, padded=True)
        actual = everything(model.loss_and_grads(**on_device(cupy, batch), inputs=True))
        assert_close(actual, everything(model.loss_and_grads(**batch, inputs=True)), 0)


def test_moving_a_model(cupy: Any) -> None:
    model = make_model()
    batch, vector = make_batch(model), model.params.vector.copy()
    before = model.params["W_hh"]
    assert model.to("cupy") is model and model.backend == "cupy"
    assert isinstance(model.params["W_hh"], cupy.ndarray) and isinstance(before, np.ndarray)
    on_cupy = on_host(cupy, {"y": model(batch["x"])})
    assert np.array_equal(model.to("numpy").params.vector, vector)
    assert_close({"y": model(batch["x"])}, on_cupy, tolerance(cupy))
    model.to("cupy", "float32").to("numpy", "float64")
    assert np.array_equal(model.params.vector, vector.astype(np.float32))


def test_parameters_are_assigned_from_host_and_device(cupy: Any) -> None:
    model, other = make_model(), make_model(backend="cupy")
    W = np.arange(36.0).reshape(6, 6)
    for value in (W, W.tolist(), cupy.asarray(W), cupy.asarray(W.T).T, W.astype(np.int64)):
        other.params["W_hh"] = value
        assert np.array_equal(other.params["W_hh"].get(), W)
        other.params["W_hh"] = np.zeros((6, 6))
    assert not other.params.vector[18:54].get().any()  # the views are views of the vector
    model.params["b_y"] = other.params["b_y"]
    assert np.array_equal(model.params["b_y"], other.params["b_y"].get())
    with pytest.raises(ValueError, match=r"b_y has shape \(5,\), got an array of shape \(6,\)"):
        other.params["b_y"] = np.zeros(6)


def test_copies_and_pickles(cupy: Any) -> None:
    model = make_model(backend="cupy")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.backend == "cupy"
        assert np.array_equal(other.params.vector.get(), model.params.vector.get())
        other.params["b_y"] = np.full(O, 7.0)
        assert not (model.params["b_y"].get() == 7).any()
    assert "on cupy" in repr(model) and "95" in repr(model)


def test_norms_and_clipping(cupy: Any) -> None:
    for dtype in ("float64", "float32"):
        model, other = make_model(dtype=dtype), make_model(dtype=dtype, backend="cupy")
        batch = make_batch(model)
        host, device = model.loss_and_grads(**batch).grads, other.loss_and_grads(**batch).grads
        norm = sr.global_norm(host)
        assert sr.global_norm(device) == pytest.approx(norm, rel=tolerance(cupy, dtype))
        assert sr.global_norm(dict(device)) == pytest.approx(norm, rel=tolerance(cupy, dtype))
        assert sr.clip_by_global_norm(device, 0.1) == pytest.approx(norm, rel=tolerance(cupy, dtype))
        assert sr.global_norm(device) == pytest.approx(0.1, rel=1e-6)
        assert sr.clip_by_value(device, 0.01) and not sr.clip_by_value(device, 0.01)
        sr.clip_by_global_norm(host, 0.1)
        sr.clip_by_value(host, 0.01)
        assert difference(device.vector.get(), host.vector) <= tolerance(cupy, dtype)
        device.vector[3] = np.nan
        with pytest.raises(FloatingPointError, match="the gradient norm is nan"):
            sr.clip_by_global_norm(device, 0.1)
        sr.clip_by_value(device, 0.001)
        assert np.isnan(device.vector.get()).sum() == 1


# The door says the same on a device as on NumPy.


def mistakes(model: Any, batch: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Minibatches with one mistake each."""
    bad = {name: value.copy() for name, value in batch.items() if isinstance(value, np.ndarray)}
    bad["h0"][1, 2] = np.inf
    if model.loss_name == "mse":
        bad["x"][2, 3, 1], bad["target"][1, 2, 3] = np.nan, -np.inf
        yield batch | {"x": bad["x"][..., 0]}
    else:
        bad["x"][1, 2], bad["target"][3, 4] = -1, O
    for name, value in bad.items():
        yield batch | {name: value}
        yield batch | {name: value[:, :-1]}
    yield batch | {"steps": np.zeros(T, dtype=bool)}
    yield batch | {"steps": np.ones(T)}
    yield batch | {"lengths": LENGTHS + 2}
    yield batch | {"lengths": LENGTHS * 1.0}


@pytest.mark.parametrize("loss", LOSSES)
def test_the_door_says_the_same(cupy: Any, loss: str) -> None:
    model, other = make_model(loss=loss), make_model(loss=loss, backend="cupy")
    vector = other.params.vector.get()
    for batch in mistakes(model, make_batch(model, tokens=loss == "cross_entropy")):
        with pytest.raises((ValueError, TypeError, IndexError)) as expected:
            model.loss_and_grads(**batch)
        for given in (batch, on_device(cupy, batch)):
            with pytest.raises(expected.type) as said:
                other.loss_and_grads(**given)
            assert str(said.value) == str(expected.value)
    assert np.array_equal(other.params.vector.get(), vector)


# Training.


def training_set(model: Any, kind: str = "all", padded: bool = False) -> dict[str, Any]:
    batch = make_batch(model, kind, padded=padded, rows=10)
    del batch["h0"]
    return batch


def assert_same_run(cupy: Any, actual: sr.History, expected: sr.History, dtype: str = "float64") -> None:
    """Errors grow from update to update, by a factor that is not large in so few."""
    error = 1e3 * tolerance(cupy, dtype)
    assert actual.clipped == expected.clipped
    for name in ("loss", "val_loss", "grad_norm"):
        assert getattr(actual, name) == pytest.approx(getattr(expected, name), rel=error)
    assert (np.isnan(actual.flow.norms) == np.isnan(expected.flow.norms)).all()  # past the end of shorter pieces
    assert difference(np.nan_to_num(actual.flow.norms), np.nan_to_num(expected.flow.norms)) <= error


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_fit(cupy: Any, optimizer: Any, dtype: str) -> None:
    for loss, kind, padded in (("mse", "all", True), ("mse", "last", False), ("cross_entropy", "mask (N, T)", False)):
        model, other = make_model(loss=loss, dtype=dtype), make_model(loss=loss, dtype=dtype, backend="cupy")
        data = training_set(model, kind, padded)
        options: dict[str, Any] = {"epochs": 2, "batch_size": 4, "optimizer": optimizer}
        options |= {"clip_norm": 0.5, "clip_value": 0.1}
        expected = sr.fit(model, **data, validation=data, **options)
        for given in (data, on_device(cupy, data)):
            trained = copy.deepcopy(other)
            history = sr.fit(trained, **given, validation=given, **options)
            assert_same_run(cupy, history, expected, dtype)
            assert difference(trained.params.vector.get(), model.params.vector) <= 1e3 * tolerance(cupy, dtype)
            assert all(isinstance(moment, cupy.ndarray) for moment in history.moments.values())


@pytest.mark.parametrize("architecture", ["vanilla", "rnn-rnn-linear"])
@pytest.mark.parametrize("padded", [False, True], ids=["full", "lengths"])
def test_fit_in_pieces_with_the_state_carried_on(cupy: Any, architecture: str, padded: bool) -> None:
    model, other = make_model(architecture), make_model(architecture, backend="cupy")
    data = training_set(model, "mask (N, T)", padded)
    options: dict[str, Any] = {"epochs": 2, "batch_size": 4, "truncate": 3, "stateful": True}
    expected = sr.fit(model, **data, validation=data, **options)
    for given in (data, on_device(cupy, data)):
        trained = copy.deepcopy(other)
        assert_same_run(cupy, sr.fit(trained, **given, validation=given, **options), expected)
        assert difference(trained.params.vector.get(), model.params.vector) <= 1e3 * tolerance(cupy, "float64")


def test_early_stopping_restores_the_best_weights(cupy: Any) -> None:
    best = {}

    def remember(model: Any, history: sr.History) -> None:
        best[history.epochs] = model.params.vector.get()

    model, stopping = make_model(backend="cupy"), sr.EarlyStopping(patience=2)
    sr.fit(model, **training_set(model), epochs=6, optimizer=optimizers.SGD(3.0), callbacks=[stopping, remember])
    assert np.array_equal(to_numpy(model.params.vector), best[stopping.best_epoch])


def test_saved_on_a_device_resumed_on_another(cupy: Any, tmp_path: Path) -> None:
    model = make_model(backend="cupy")
    data = training_set(model)
    history = sr.fit(model, **data, epochs=2)
    sr.save(model, tmp_path / "model.npz", history=history)
    longer = sr.fit(copy.deepcopy(model), **data, epochs=2, resume=history)
    for backend in ("cupy", "numpy"):
        read = checkpoint.read(tmp_path / "model.npz", backend=backend)
        assert read.model.backend == backend
        assert np.array_equal(to_numpy(read.model.params.vector), model.params.vector.get())
        assert read.history is not None
        assert_same_run(cupy, sr.fit(read.model, **data, epochs=2, resume=read.history), longer)
    moved = copy.deepcopy(model).to("numpy")
    assert_same_run(cupy, sr.fit(moved, **data, epochs=2, resume=history), longer)


@pytest.mark.parametrize("learning_rate", [1e300, 1e308])
def test_not_finite(cupy: Any, learning_rate: float) -> None:
    said = []
    for backend in ("numpy", "cupy"):
        model = make_model(backend=backend)
        with pytest.raises(FloatingPointError) as error:
            sr.fit(model, **training_set(model), epochs=3, optimizer=optimizers.SGD(learning_rate))
        assert np.isfinite(to_numpy(model.params.vector)).all()
        said.append(str(error.value))
    assert said[0] == said[1]


# Checking and looking.


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("architecture", ["vanilla", "deep-bidirectional", "norm-dropout", "embedding"])
def test_check_gradients(cupy: Any, architecture: str, loss: str, dtype: str) -> None:
    model = make_model(architecture, loss=loss, dtype=dtype, backend="cupy")
    batch = make_batch(model, "mask (N, T)", padded=True)
    report = sr.check_gradients(model, **on_device(cupy, batch))
    assert report and f"{dtype} on cupy" in str(report), str(report)


def test_check_gradients_sees_a_wrong_gradient_on_the_device(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(backend="cupy")
    right = model.loss_and_grads

    def wrong(*args: Any, **options: Any) -> Any:
        r = right(*args, **options)
        r.grads["W_hh"][2, 3] *= -1
        return r

    monkeypatch.setattr(model, "loss_and_grads", wrong, raising=False)
    report = sr.check_gradients(model, **make_batch(model))
    assert not report and "W_hh[2, 3]" in str(report)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("architecture", ["vanilla", "deep-bidirectional", "norm-dropout", "embedding"])
def test_gradient_flow(cupy: Any, architecture: str, padded: bool) -> None:
    model, other = make_model(architecture), make_model(architecture, backend="cupy")
    batch = make_batch(model, padded=padded)
    expected = sr.gradient_flow(model, **batch, spectrum=False)
    actual = sr.gradient_flow(other, **batch, spectrum=False)
    error = tolerance(cupy)
    for name in ("saturated", "lag_map", "input_map"):
        np.testing.assert_allclose(getattr(actual, name), getattr(expected, name), rtol=1e3 * error)
    assert actual.grad_norms == pytest.approx(expected.grad_norms, rel=1e3 * error)
    assert type(actual.loss) is float


@pytest.mark.parametrize("padded", [False, True])
def test_fit_tracks_everything(cupy: Any, padded: bool) -> None:
    flows = []
    for backend in ("numpy", "cupy"):
        model = make_model("deep-bidirectional", backend=backend)
        flows.append(sr.fit(model, **training_set(model, padded=padded), epochs=2, batch_size=4, track="all").flow)
    error = 1e3 * tolerance(cupy)
    for name in ("layers", "spread", "saturated"):
        np.testing.assert_allclose(getattr(flows[1], name), getattr(flows[0], name), rtol=error)
    for name in ("grad_norms", "update_ratios"):
        for tensor, values in getattr(flows[0], name).items():
            np.testing.assert_allclose(getattr(flows[1], name)[tensor], values, rtol=error)


def test_text_is_scored_and_sampled(cupy: Any) -> None:
    vocabulary = Vocabulary("abcde")
    models = [sr.VanillaRNN(5, 8, 5, loss="cross_entropy", backend=backend) for backend in ("numpy", "cupy")]
    ids = vocabulary.encode("abcdeabdce" * 3)
    scores = [characters.metric(model, ids) for model in models]
    assert scores[1] == pytest.approx(scores[0], rel=tolerance(cupy))
    for mode in ("carried", "window"):
        texts = [sample(model, vocabulary, "abc", 12, mode=mode) for model in models]
        assert texts[0] == texts[1]


def test_flow_command(cupy: Any) -> None:
    options = {"batch_size": 3, "time": 9, "hidden_size": 6, "dtype": "float64", "seed": 0, "input_scale": 1.0}
    curves = [decay.lag_norms(0.9, Namespace(**options, backend=backend)) for backend in ("numpy", "cupy")]
    assert difference(curves[1], curves[0]) <= tolerance(cupy)


def test_flow_is_drawn(cupy: Any) -> None:
    from matplotlib.figure import Figure

    model = make_model(backend="cupy")
    axes = model.loss_and_grads(**make_batch(model)).flow.plot(Figure().subplots())
    assert axes.has_data()


# Where it is missing.

DRIVER = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
NO_DEVICE = "cudaErrorNoDevice: no CUDA-capable device is detected"
IMPORT_PAGE = "\n====\nFailed to import CuPy.\n\nOriginal error:\n  ImportError: libcudart.so.12: cannot open\n====\n"


def fake(error: Exception | None = None, ones: Any = None) -> Any:
    """A cupy that raises this error when asked for devices, or whose arrays are made by `ones`."""

    def device_count() -> int:
        if error is not None:
            raise error
        return 1

    runtime = types.SimpleNamespace(CUDARuntimeError=CudaError, getDeviceCount=device_count)
    return types.SimpleNamespace(__version__="14.2.0", cuda=types.SimpleNamespace(runtime=runtime), ones=ones)


class CudaError(RuntimeError):
    """As cupy.cuda.runtime.CUDARuntimeError."""


def raise_library_error(shape: Any) -> Any:
    raise OSError("libnvrtc.so.12: cannot open shared object file: No such file or directory")


@pytest.mark.parametrize(
    ("module", "kind", "words"),
    [
        (None, ImportError, ["needs the package cupy", "pip install 'scratchrnn[cuda12x]'", "scratchrnn[cuda13x]"]),
        (fake(CudaError(DRIVER)), RuntimeError, ["cupy 14.2.0 is installed", "driver", DRIVER, "nvidia-smi"]),
        (fake(CudaError(NO_DEVICE)), RuntimeError, ["cupy 14.2.0 is installed", "device", NO_DEVICE, "nvidia-smi"]),
        (fake(ones=raise_library_error), RuntimeError, ["cannot compute", "libnvrtc.so.12", "pip install"]),
    ],
    ids=["no package", "no driver", "no device", "no libraries"],
)
def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, module: Any, kind: Any, words: list[str]) -> None:
    monkeypatch.setitem(sys.modules, "cupy", module)  # None: an import raises ModuleNotFoundError
    forget_backends(monkeypatch)
    default = sr.get_backend()
    said = backends.unavailable_because("cupy")
    assert said is not None and "\n" not in said
    assert all(word in said for word in words), said
    for ask in (
        lambda: sr.set_backend("cupy"),
        lambda: sr.VanillaRNN(1, 2, 1, backend="cupy"),
        lambda: sr.VanillaRNN(1, 2, 1, backend="numpy").to("cupy"),
        lambda: sr.use_backend("cupy").__enter__(),
    ):
        with pytest.raises(kind) as error:
            ask()
        assert str(error.value) == said
    assert "cupy" not in sr.available_backends()
    assert sr.get_backend() == default


def test_a_cupy_that_does_not_import(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cupy.py").write_text(f"raise ImportError({IMPORT_PAGE!r})")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    forget_backends(monkeypatch)
    with pytest.raises(
        ImportError, match=r"does not import \(ImportError: libcudart.so.12: cannot open\): pip install"
    ):
        sr.set_backend("cupy")


def test_asking_what_is_available_is_silent() -> None:
    code = "import scratchrnn as sr; sr.available_backends()"
    for _ in range(2):  # the first may compile
        run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


# The stand-in is strict.


def host() -> np.ndarray:
    return np.ones(3)


SEEDED: dict[str, Any] = {
    "NumPy function": lambda xp, a: np.tanh(a),
    "NumPy reduction": lambda xp, a: np.sum(a),
    "np.concatenate": lambda xp, a: np.concatenate([a, a]),
    "np.asarray": lambda xp, a: np.asarray(a),
    "host array on the right": lambda xp, a: a + host(),
    "host array on the left": lambda xp, a: host() @ a,
    "host array compared": lambda xp, a: a < host(),
    "host array in place": lambda xp, a: a.__imul__(host()),
    "device array into host array": lambda xp, a: host().__setitem__(slice(None), a),
    "device array added to host array": lambda xp, a: host().__iadd__(a),
    "device index into host array": lambda xp, a: host()[xp.arange(2)],
    "host array into device slice": lambda xp, a: a.__setitem__(slice(None), host()),
    "host condition": lambda xp, a: xp.where(host() > 0, a, 0),
    "host array in where": lambda xp, a: xp.where(a > 0, a, host()),
    "host array in concatenate": lambda xp, a: xp.concatenate([a, host()]),
    "host out": lambda xp, a: xp.multiply(a, 2, out=host()),
    "host array contiguous": lambda xp, a: xp.ascontiguousarray(host()),
    "like a host array": lambda xp, a: xp.empty_like(host()),
    "range of a device number": lambda xp, a: range(xp.arange(3).max()),
    "a name that only NumPy has": lambda xp, a: xp.errstate(all="ignore"),
}


@pytest.mark.parametrize("mistake", SEEDED)
def test_mistakes_are_refused(cupy: Any, mistake: str) -> None:
    if cupy is not cupy_stand_in and mistake in (
        "NumPy function",
        "NumPy reduction",
        "np.concatenate",
        "like a host array",
    ):
        pytest.skip("CuPy takes such a call")
    with pytest.raises((TypeError, ValueError, AttributeError, IndexError)):
        SEEDED[mistake](cupy, cupy.ones(3))


@pytest.mark.parametrize(
    ("module", "architecture"),
    [(m, "vanilla") for m in (losses, parameters, _numerics, rnn, optimizers)]
    + [
        (recurrent, "bidirectional"),
        (layer_norm, "norm-dropout"),
        (embedding, "embedding"),
        (flow_of, "bidirectional"),
    ],
    ids=lambda m: getattr(m, "__name__", m),
)
def test_text_without_namespace_is_caught(monkeypatch: pytest.MonkeyPatch, module: Any, architecture: str) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy_stand_in)
    forget_backends(monkeypatch)
    model = make_model(architecture, backend="cupy")
    data = training_set(model, "mask (N, T)")
    monkeypatch.setattr(module, "namespace", lambda array: np)
    with pytest.raises((TypeError, ValueError)):
        sr.fit(model, **data, epochs=1)
        model.params["b_y"] = np.zeros(O)


def test_a_check_on_the_wrong_side_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", cupy_stand_in)
    forget_backends(monkeypatch)
    model = make_model(backend="cupy")
    monkeypatch.setattr(_validation, "_cast", lambda array, dtype, backend: np.asarray(array, dtype))
    with pytest.raises(TypeError):
        model(make_batch(model)["x"])


def test_silent_mistakes_are_refused_by_the_stand_in() -> None:
    a = cupy_stand_in.zeros(3)
    with pytest.raises(IndexError, match="out of bounds"):
        a[cupy_stand_in.asarray([5])]
    with pytest.raises(IndexError, match="which of them stays is undefined"):
        a[cupy_stand_in.asarray([1, 1])] = cupy_stand_in.arange(2)
    a[cupy_stand_in.asarray([1, 1])] = 2
    assert np.isnan(cupy_stand_in.empty(2).get()).all() and np.isnan(cupy_stand_in.empty_like(a).get()).all()
    assert (cupy_stand_in.empty(2, dtype=int).get() < -(2**62)).all()


def test_results_stay_on_the_device(cupy: Any) -> None:
    a = cupy.asarray(np.array([1.0, -2.0, 3.0], dtype=np.float32))
    for result in (a.sum(), a[1], a.max(), (a > 0).any(), cupy.abs(a).sum(), a.argmax(), a @ a):
        assert isinstance(result, cupy.ndarray) and result.shape == ()
    assert (float(a.sum()), int(a.argmax()), bool((a > 0).all()), a[1].item()) == (2.0, 2, False, -2.0)
    a[1] = a[0]
    assert a.get().tolist() == [1, 1, 3]


def test_numbers_are_promoted_as_numpy_2_does(cupy: Any) -> None:
    a = cupy.ones(2, dtype=np.float32)
    assert (a * 2.5).dtype == (a + np.float32(1)).dtype == cupy.where(a > 0, a, 0).dtype == np.float32
    assert (a * np.float64(2.5)).dtype == (np.float64(2.5) * a).dtype == np.float64
    a *= np.float64(2.5)  # in place the dtype stays
    assert a.dtype == np.float32 and a.get().tolist() == [2.5, 2.5]
    b = cupy.zeros(2, dtype=np.float32)
    cupy.add.at(b, cupy.asarray([0, 0]), cupy.asarray([1.0, 2.0]))
    assert b.get().tolist() == [3, 0]


def test_the_stand_in_has_only_names_of_cupy() -> None:
    real = pytest.importorskip("cupy", reason="cupy is not installed")
    own = {name for name in vars(cupy_stand_in) if not name.startswith("_")}
    assert own <= set(dir(real))
    assert set(vars(cupy_stand_in.ndarray)) - {"_host", "__getattr__"} <= set(dir(real.ndarray))
