"""Gradients that vanish are the subject: no public function warns or raises because a number underflows.

Each entry runs twice on a network whose gradients vanish, or whose units are saturated: with NumPy's settings as they
are, and where every floating-point error raises. Both runs must give the same bits. A network that explodes gives inf
and NaN, likewise without an error from inside.
"""

from __future__ import annotations

import copy
import dataclasses
import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from helpers import ARCHITECTURES, OF_TOKENS, H, N, O, make_batch, make_model
from matplotlib.figure import Figure

import scratchrnn as sr
from scratchrnn import plots
from scratchrnn.backends import resolve
from scratchrnn.gradients.jacobians.products import product_spectrum

STEPS = 120  # 0.001^120 is far below the smallest float64
PLACES = (("numpy", "float32"), ("numpy", "float64"), ("numba", "float32"))
STATES = ("vanishing", "saturated")


def network(state: str, architecture: str = "vanilla", *, radius: float = 1e-3, **options: Any) -> Any:
    """A model in which gradients vanish: by W_hh of that spectral radius, or by units at ±1, with slopes of 0."""
    model = make_model(architecture, **options)
    for name, W in model.params.items():
        if "W_hh" in name:
            model.params[name] = W * (radius / np.abs(np.linalg.eigvals(W)).max())
        elif state == "saturated" and "W_xh" in name:
            model.params[name] = W * 9.0
    return model


def long_batch(model: Any, steps: str = "last", *, padded: bool = False, small: float = 1.0) -> dict[str, Any]:
    """120 steps with the loss on the last one; `small` scales x, h0 and the target."""
    batch = make_batch(model, steps, padded=padded, time=STEPS)
    if small != 1.0:
        batch["h0"] = batch["h0"] * small
        for name in ("x", "target"):
            batch[name] = batch[name] * small if batch[name].dtype.kind == "f" else batch[name]
    return batch


def same_where_every_error_raises(compute: Callable[[], Any]) -> None:
    """`compute` gives the same bits twice; the second time every floating-point error raises, as every warning does."""
    expected = leaves(compute())
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        result = compute()
    found = leaves(result)
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def leaves(value: Any) -> list[np.ndarray]:
    """All numbers in a result, however nested."""
    if value is None or isinstance(value, (str, bytes, np.random.Generator, Figure)):
        return []
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return leaves([getattr(value, field.name) for field in dataclasses.fields(value)])
    if isinstance(value, sr.SequenceModel | sr.EncoderDecoder):
        return [value.params.vector]
    if isinstance(value, sr.Parameters | Mapping):
        return leaves(list(dict(value).values()))
    if isinstance(value, (list, tuple)):
        return [leaf for entry in value for leaf in leaves(entry)]
    return [np.asarray(value)]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("backend", "dtype"), PLACES)
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *OF_TOKENS])
def test_gradients_of_every_layer_may_underflow(architecture: str, backend: str, dtype: str, state: str) -> None:
    loss = "mse" if backend == "numba" or "deep" in architecture else "cross_entropy"
    model = network(state, architecture, loss=loss, backend=backend, dtype=dtype)
    batch = long_batch(model)
    inputs = model.layers[0].takes_vectors

    def compute() -> Any:
        rng = np.random.default_rng(3)  # of dropout
        result = model.loss_and_grads(**batch, inputs=inputs, saturation=True, rng=rng)
        return result, result.flow.norms, [layer.norms for layer in result.flow.layers], repr(result.flow)

    same_where_every_error_raises(compute)


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("steps", ["all", "last", "mask (T,)", "mask (N, T)"])
@pytest.mark.parametrize(("backend", "dtype"), PLACES)
def test_gradients_may_underflow_whatever_the_loss_counts(backend: str, dtype: str, steps: str, padded: bool) -> None:
    """Inputs, states and targets are themselves near the smallest number of the dtype."""
    model = network("vanishing", backend=backend, dtype=dtype)
    small = float(np.finfo(dtype).tiny) ** 0.5
    batch = long_batch(model, steps, padded=padded, small=small)
    assert np.abs(np.nan_to_num(batch["x"])).max() > 0
    same_where_every_error_raises(lambda: model.loss_and_grads(**batch, inputs=True))


@pytest.mark.parametrize(("backend", "dtype"), PLACES)
@pytest.mark.parametrize("name", ["call", "forward", "predict", "step", "loss"])
def test_outputs_may_underflow(name: str, backend: str, dtype: str) -> None:
    """A state without input decays as 0.001^t, out of the range of its dtype."""
    model = network("vanishing", backend=backend, dtype=dtype)
    model.params.vector[...] = 1e-3 * model.params.vector
    for bias in ("b_h", "b_y"):
        model.params[bias] = np.zeros_like(model.params[bias])
    x, h0, target = np.zeros((N, STEPS, 3)), np.full((N, H), 1e-30), np.zeros((N, O))

    def stream() -> list[Any]:
        state, outputs = h0, []
        for _ in range(30):
            y, state = model.step(x[:, 0], state)
            outputs.append(y)
        return outputs

    calls: dict[str, Callable[[], Any]] = {
        "call": lambda: model(np.full((N, STEPS, 3), 1e-35)),
        "forward": lambda: model.forward(x, h0),
        "predict": lambda: model.predict(x, "all", h0=h0),
        "step": stream,
        "loss": lambda: model.loss(x, target, h0, "last"),
    }
    same_where_every_error_raises(calls[name])


OPTIMIZERS = (
    sr.SGD(0.01),
    sr.Adam(0.001, weight_decay=0.1),
    sr.SGD(0.01, momentum=0.9),
    sr.Adagrad(0.01),
    sr.RMSProp(0.001),
    sr.Adam(0.001),
)


@pytest.mark.parametrize(("backend", "dtype"), PLACES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS[:3], ids=str)
def test_training_may_underflow(optimizer: Any, backend: str, dtype: str) -> None:
    def compute() -> Any:
        model = network("vanishing", backend=backend, dtype=dtype)
        batch = long_batch(model)
        history = sr.fit(
            model,
            batch["x"],
            batch["target"],
            steps="last",
            epochs=2,
            batch_size=3,
            optimizer=optimizer,
            clip_norm=1e-20,
            clip_value=1e-22,
            regularizer=sr.Omega(0.01),
            validation=(batch["x"], batch["target"]),
            track="all",
            progress=False,
        )
        flow = history.flow
        tables = flow.norms, flow.per_sample, flow.layers, flow.spread, flow.saturated, flow.update_ratios, flow.log10
        return model, history.loss, history.val_loss, history.grad_norm, tables, flow.grad_norms

    same_where_every_error_raises(compute)


@pytest.mark.parametrize(("backend", "dtype"), PLACES)
def test_training_in_chunks_may_underflow(backend: str, dtype: str) -> None:
    def compute() -> Any:
        model = network("vanishing", backend=backend, dtype=dtype)
        batch = long_batch(model, "all")
        data = (batch["x"], batch["target"])
        options: dict[str, Any] = {"truncate": 90, "stateful": True, "batch_size": N, "progress": False}
        history = sr.fit(model, *data, epochs=1, validation=data, **options)
        history = sr.fit(model, *data, epochs=1, resume=history, **options)
        return model, history.loss, history.flow.norms

    same_where_every_error_raises(compute)


def flow_of(state: str, architecture: str, time: int, **options: Any) -> Any:
    model = network(state, architecture, radius=1e-4, **options)
    batch = make_batch(model, "last", time=time)
    return sr.gradient_flow(model, **batch, progress=False)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("architecture", ["vanilla", "relu", "bidirectional", "norm-dropout", "embedding"])
@pytest.mark.parametrize(("backend", "dtype"), PLACES)
def test_gradient_flow_may_underflow(backend: str, dtype: str, architecture: str, state: str) -> None:
    def compute() -> Any:
        seen = flow_of(state, architecture, 85, backend=backend, dtype=dtype)
        spectrum = seen.spectrum
        return seen, seen.norms, seen.per_sample, repr(seen), spectrum.log10_condition, spectrum.log10_bound

    same_where_every_error_raises(compute)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("backend", "dtype"), PLACES)
def test_a_gradient_check_may_underflow(backend: str, dtype: str, state: str) -> None:
    model = network(state, backend=backend, dtype=dtype)

    def compute() -> Any:
        report = sr.check_gradients(model, **long_batch(model) | {"h0": None}, progress=False)
        assert report.verdict != "FAIL", report
        return str(report), [(t.norm, list(t.comparisons.values())) for t in report.tensors]

    same_where_every_error_raises(compute)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("backend", "dtype"), PLACES)
@pytest.mark.parametrize("name", ["jacobian_spectrum", "Omega", "save", "copy", "to", "assignment"])
def test_what_is_done_with_a_model_may_underflow(name: str, backend: str, dtype: str, state: str) -> None:
    model = network(state, backend=backend, dtype=dtype)
    batch = long_batch(model)
    tiny = np.random.default_rng(0).normal(size=model.params.vector.size) * 1e-40

    def saved() -> Any:
        model = network(state, backend=backend, dtype=dtype)
        model.params.vector = tiny
        file = io.BytesIO()
        sr.save(model, file)
        file.seek(0)
        return sr.load(file)

    def moved() -> Any:
        moved = network(state, backend=backend).to(backend, "float64")
        moved.params.vector[...] = tiny
        return moved.to(backend, "float32"), moved.to("numpy", "float64")

    def assigned() -> Any:
        assigned = network(state, backend=backend, dtype=dtype)
        assigned.params.vector = tiny
        for name, array in assigned.params.items():
            assigned.params[name] = np.full(array.shape, 1e-300)
        return assigned

    calls: dict[str, Callable[[], Any]] = {
        "jacobian_spectrum": lambda: sr.jacobian_spectrum(model, batch["x"], h0=batch["h0"], progress=False),
        "Omega": lambda: sr.Omega(0.1).measure(model, **batch),
        "save": saved,
        "copy": lambda: copy.deepcopy(model),
        "to": moved,
        "assignment": assigned,
    }
    same_where_every_error_raises(calls[name])


W_HH = np.random.default_rng(5).normal(size=(7, 7))
ANALYSES: dict[str, Callable[[], Any]] = {
    "lyapunov, decaying": lambda: sr.lyapunov_spectrum(0.01 * W_HH, steps=300, discard=200, progress=False),
    "lyapunov, tiny": lambda: sr.lyapunov_spectrum(1e-200 * W_HH, steps=9, discard=2, progress=False),
    "lyapunov, saturated": lambda: sr.lyapunov_spectrum(60 * W_HH, steps=30, discard=20, progress=False),
    "lyapunov, relu": lambda: sr.lyapunov_spectrum(
        0.01 * W_HH, np.full(7, 1e-300), steps=200, discard=100, nonlinearity="relu", progress=False
    ),
    "fixed points": lambda: sr.fixed_points(0.3 * W_HH, starts=9, progress=False),
    "fixed points, tiny": lambda: sr.fixed_points(1e-200 * W_HH, 1e-200 * W_HH[0], starts=9, progress=False),
    "fixed points, saturated": lambda: sr.fixed_points(60 * W_HH, W_HH[0], starts=9, progress=False),
    "products": lambda: list(product_spectrum(np.full((40, 7), 1e-200), W_HH)),
    "products, slopes of 0": lambda: list(product_spectrum(np.tile([0.0, 1e-300, 1, 1, 1, 1, 1], (40, 1)), W_HH)),
}


@pytest.mark.parametrize("name", ANALYSES)
def test_an_analysis_of_a_map_may_underflow(name: str) -> None:
    same_where_every_error_raises(ANALYSES[name])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1e-30, 1e-200, 1e-310])
def test_norms_and_clipping_may_underflow(dtype: str, scale: float) -> None:
    values = (np.random.default_rng(0).normal(size=(4, 9)) * scale).astype(dtype)

    def compute() -> Any:
        g = {"W": values.copy(), "b": values[0].copy()}
        norm = sr.global_norm(g)
        before = sr.clip_by_global_norm(g, max(norm / 3, 5e-324))
        changed = sr.clip_by_value(g, scale)
        return norm, before, changed, sr.clip_by_value(g, 1e-300), g

    same_where_every_error_raises(compute)


@pytest.mark.parametrize(("backend", "dtype"), PLACES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_a_step_of_an_optimizer_may_underflow(optimizer: Any, backend: str, dtype: str) -> None:
    g = (np.random.default_rng(0).normal(size=50) * 10.0 ** np.linspace(-320, 0, 50)).astype(dtype)

    def compute() -> Any:
        vector, delta = np.ones(50, dtype), np.empty(50, dtype)
        moments = optimizer.init(vector)
        for step in range(1, 4):
            optimizer.step(delta, g, moments, step, resolve(backend), vector)
        return delta, moments

    same_where_every_error_raises(compute)


@pytest.mark.parametrize(("backend", "dtype"), PLACES)
def test_a_sample_may_underflow(backend: str, dtype: str) -> None:
    vocabulary = sr.Vocabulary("abcde")
    model = sr.VanillaRNN(5, 4, 5, loss="cross_entropy", backend=backend, dtype=dtype)
    model.params["W_hy"] = 400 * model.params["W_hy"]

    def compute() -> Any:
        text = sr.sample(model, vocabulary, "ab", length=30, temperature=0.05, seed=1)
        return [ord(character) for character in text]

    same_where_every_error_raises(compute)


@pytest.mark.parametrize(("backend", "dtype"), PLACES)
def test_an_encoder_decoder_may_underflow(backend: str, dtype: str) -> None:
    def make() -> Any:
        options: dict[str, Any] = {"backend": backend, "dtype": dtype}
        encoder = sr.SequenceModel([sr.RNN(5, 8)], **options)
        decoder = sr.SequenceModel([sr.RNN(4, 8), sr.Linear(8, 3)], loss="cross_entropy", **options)
        model = sr.EncoderDecoder(encoder, decoder, length=6)
        for name, W in model.params.items():
            if "W_hh" in name:
                model.params[name] = W * (1e-3 / np.abs(np.linalg.eigvals(W)).max())
            if name.endswith("W_hy"):
                model.params[name] = 300 * W
        return model

    rng = np.random.default_rng(0)
    x, target = rng.integers(5, size=(N, STEPS)), rng.integers(3, size=(N, 6))

    def compute() -> Any:
        model = make()
        result = model.loss_and_grads(x, target, saturation=True)
        written = model.forward(x), model.write(x), model.loss(x, target)
        history = sr.fit(model, x, target, epochs=1, progress=False)
        return result, written, result.flow.norms, history.loss, model

    same_where_every_error_raises(compute)


def history_of(state: str) -> sr.History:
    model = network(state)
    batch = long_batch(model)
    return sr.fit(model, batch["x"], batch["target"], steps="last", epochs=3, batch_size=2, track="all", progress=False)


DECAY = 10.0 ** np.linspace(0, -322, 70)  # down to subnormal numbers

PICTURES: dict[str, Callable[[Figure], Any]] = {
    "flow": lambda fig: (lambda model: model.loss_and_grads(**long_batch(model)).flow.plot(fig.subplots()))(
        network("vanishing")
    ),
    "gradient flow": lambda fig: flow_of("vanishing", "vanilla", 90).plot(fig),
    "gradient flow, saturated": lambda fig: flow_of("saturated", "vanilla", 30).plot(fig),
    "gradient flow, both directions": lambda fig: flow_of("vanishing", "bidirectional", 30).plot(fig),
    "spectrum": lambda fig: flow_of("vanishing", "vanilla", 90).spectrum.plot(fig.subplots()),
    "loss": lambda fig: history_of("vanishing").plot(fig.subplots()),
    "gradients": lambda fig: history_of("vanishing").plot_gradients(fig, clip_norm=1e-300),
    "gradients, saturated": lambda fig: history_of("saturated").plot_gradients(fig),
    "lyapunov": lambda fig: ANALYSES["lyapunov, decaying"]().plot(fig.subplots()),
    "decay": lambda fig: plots.plot_decay({0.1: DECAY, 2.0: 1 / DECAY[:40]}, fig.subplots()),
    "lag decay": lambda fig: plots.plot_lag_decay(flow_of("vanishing", "vanilla", 90).lag_map, fig.subplots()),
    "eigenvalues": lambda fig: plots.plot_eigenvalues(1e-300 * W_HH, fig.subplots()),
    "surface": lambda fig: plots.plot_surface(
        np.linspace(0, 1, 9), np.linspace(0, 1, 7), DECAY[:63].reshape(7, 9), fig.subplots()
    ),
    "prediction": lambda fig: plots.plot_prediction(np.full(9, 1e-310), np.full(9, 2e-310), fig),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_may_underflow(name: str) -> None:
    """Also while matplotlib draws it."""

    def compute() -> Any:
        fig = plots.new_figure(8, 6)
        PICTURES[name](fig)
        file = io.BytesIO()
        fig.savefig(file, format="png", dpi=50)
        return list(file.getvalue()[-9000:])

    same_where_every_error_raises(compute)


def exploding(backend: str, dtype: str) -> sr.SequenceModel:
    """A relu network whose states leave the range of their dtype."""
    model = sr.SequenceModel([sr.RNN(3, H, nonlinearity="relu"), sr.Linear(H, O)], backend=backend, dtype=dtype)
    model.params["0.W_hh"] = np.full((H, H), 1e30)
    model.params["0.b_h"] = np.ones(H)
    return model


EXPLODING: dict[str, Callable[[Any, Any, Any], Any]] = {
    "forward": lambda model, x, target: model.forward(x).h,
    "predict": lambda model, x, target: model.predict(x, "all"),
    "loss": lambda model, x, target: model.loss(x, target),
    "loss_and_grads": lambda model, x, target: model.loss_and_grads(x, target).grads.vector,
    "flow": lambda model, x, target: model.loss_and_grads(x, target).flow.norms,
    "gradient_flow": lambda model, x, target: (
        sr.gradient_flow(model, x, target, spectrum=False, progress=False).lag_map
    ),
    "Omega": lambda model, x, target: sr.Omega(0.1).measure(model, x, target).value,
}


@pytest.mark.parametrize(("backend", "dtype"), PLACES)
@pytest.mark.parametrize("name", EXPLODING)
def test_a_network_that_explodes_gives_inf_or_nan_on_every_backend(name: str, backend: str, dtype: str) -> None:
    """Without a warning, and where errors raise too: nothing raises from the middle of a pass."""
    model = exploding(backend, dtype)
    x, target = np.ones((N, 20, 3)), np.zeros((N, 20, O))

    def compute() -> Any:
        return EXPLODING[name](model, x, target)

    same_where_every_error_raises(compute)
    assert not np.isfinite(compute()).all()


def test_the_settings_of_the_caller_come_back() -> None:
    model = network("vanishing", backend="numpy")
    with np.errstate(all="raise"):
        model.loss_and_grads(**long_batch(model))
        assert set(np.geterr().values()) == {"raise"}
        with pytest.raises(ValueError, match="x has"):
            model.forward(np.zeros((1, 2, 9)))
        assert set(np.geterr().values()) == {"raise"}
        with pytest.raises(FloatingPointError):
            np.float64(1e-300) * np.float64(1e-300)
