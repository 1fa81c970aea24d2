"""Optimizers against PyTorch's for 50 updates, and their hyper-parameters."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from helpers import difference

import scratchrnn as sr
from scratchrnn.backends import resolve

UPDATES = 50
PAIRS: list[tuple[sr.optimizers.Optimizer, str, dict[str, Any]]] = [
    (sr.SGD(0.05), "SGD", {"lr": 0.05}),
    (sr.SGD(0.05, momentum=0.9), "SGD", {"lr": 0.05, "momentum": 0.9}),
    (sr.Adagrad(0.1), "Adagrad", {"lr": 0.1}),
    (sr.RMSProp(0.01, decay=0.95), "RMSprop", {"lr": 0.01, "alpha": 0.95}),
    (sr.Adam(0.02), "Adam", {"lr": 0.02}),
    (sr.Adam(0.02, 0.8, 0.99, 1e-3), "Adam", {"lr": 0.02, "betas": (0.8, 0.99), "eps": 1e-3}),
    (sr.Adam(0.02, weight_decay=0.3), "AdamW", {"lr": 0.02, "weight_decay": 0.3}),
    (sr.Adam(0.02, 0.8, 0.99, 1e-3, weight_decay=2.0), "AdamW",
     {"lr": 0.02, "betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 2.0}),
    (sr.SGD(0.05, weight_decay=0.3), "SGD", {"lr": 0.05, "weight_decay": 0.3}),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("ours", "theirs", "options"), PAIRS, ids=[repr(pair[0]) for pair in PAIRS])
def test_like_pytorch(
    ours: Any, theirs: str, options: dict[str, Any], dtype: str, backend: str, torch: ModuleType
) -> None:
    rng = np.random.default_rng(3)
    vector = rng.normal(size=37).astype(dtype)
    tensor = torch.tensor(vector.copy(), requires_grad=True)
    reference = getattr(torch.optim, theirs)([tensor], **options)
    moments, delta = ours.init(vector), np.full_like(vector, np.nan)
    for update in range(1, UPDATES + 1):
        grad = rng.normal(scale=10.0 ** rng.integers(-3, 2), size=37).astype(dtype)
        given = grad.copy()
        before = vector.copy()
        ours.step(delta, grad, moments, update, resolve(backend), vector)
        assert (grad == given).all() and (vector == before).all()  # they belong to the caller
        vector -= delta
        tensor.grad = torch.tensor(grad)
        reference.step()
        assert difference(vector, tensor.detach().numpy()) < (1e-13 if dtype == "float64" else 2e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "optimizer", [sr.SGD(0.1), sr.SGD(0.1, momentum=0.9), sr.Adagrad(0.1), sr.RMSProp(0.1), sr.Adam(0.1)], ids=repr
)
def test_weight_decay_is_decoupled(optimizer: Any, dtype: str, backend: str) -> None:
    """θ ← θ − η·λ·θ − δ, where δ and the averages are those without weight decay."""
    rng = np.random.default_rng(0)
    decaying = dataclasses.replace(optimizer, weight_decay=0.3)
    vector, grad = (rng.normal(size=37).astype(dtype) for _ in range(2))
    deltas, moments = [], []
    for rule in (optimizer, decaying):
        delta, kept = np.full_like(vector, np.nan), rule.init(vector)
        for update in (1, 2):
            rule.step(delta, grad, kept, update, resolve(backend), vector)
        deltas.append(delta)
        moments.append(kept)
    assert deltas[1].dtype == dtype
    assert difference(deltas[1], deltas[0] + 0.1 * 0.3 * vector) < (1e-6 if dtype == "float32" else 1e-15)
    assert all((moments[0][name] == moments[1][name]).all() for name in moments[0])


def test_fit_decays_every_parameter() -> None:
    """Where the gradient is 0, only the decay is left: each update is a factor 1 − η·λ."""
    model = sr.VanillaRNN(2, 4, 3, backend="numpy")
    model.params["b_h"], model.params["b_y"] = np.ones(4), np.ones(3)
    x = np.ones((4, 5, 2))
    expected = 0.95**3 * model.params.vector
    for _ in range(3):  # a target that the model already meets
        sr.fit(model, x, model(x), epochs=1, optimizer=sr.SGD(0.5, weight_decay=0.1), progress=False)
    np.testing.assert_allclose(model.params.vector, expected, rtol=1e-14)


def test_weight_decay_needs_the_parameters() -> None:
    vector = np.ones(3)
    with pytest.raises(TypeError, match="weight decay needs the parameters as well"):
        sr.SGD(0.1, weight_decay=0.1).step(vector.copy(), vector, {}, 1, resolve("numpy"))
    delta = vector.copy()
    sr.SGD(0.1).step(delta, vector, {}, 1, resolve("numpy"))
    assert (delta == 0.1).all()


def test_one_object_serves_many_runs() -> None:
    optimizer = sr.Adam(0.1)
    x, target = np.ones((4, 5, 2)), np.ones((4, 5, 3))
    runs = []
    for _ in range(2):
        model = sr.VanillaRNN(2, 4, 3, backend="numpy")
        runs.append(sr.fit(model, x, target, epochs=3, optimizer=optimizer, progress=False).loss)
    assert runs[0] == runs[1]
    with pytest.raises(AttributeError):
        optimizer.learning_rate = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sr.SGD(0.0), "SGD: learning_rate=0.0 is out of range"),
        (lambda: sr.SGD(-1.0), "learning_rate"),
        (lambda: sr.SGD(float("nan")), "learning_rate"),
        (lambda: sr.SGD(float("inf")), "learning_rate"),
        (lambda: sr.SGD(0.1, momentum=1.0), "momentum"),
        (lambda: sr.Adam(0.1, beta1=-0.1), "beta1"),
        (lambda: sr.Adam(0.1, beta2=1.0), "beta2"),
        (lambda: sr.RMSProp(0.1, decay=1.5), "decay"),
        (lambda: sr.Adagrad(0.1, eps=-1e-8), "eps"),
        (lambda: sr.Adam(0.1, weight_decay=-0.1), "Adam: weight_decay=-0.1 is out of range"),
        (lambda: sr.SGD(0.1, weight_decay=float("inf")), "weight_decay"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
