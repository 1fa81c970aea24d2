"""Optimizers against PyTorch's for 50 updates, and their hyper-parameters."""

from __future__ import annotations

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
]


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
        ours.step(delta, grad, moments, update, resolve(backend))
        assert (grad == given).all()  # the gradient belongs to the caller
        vector -= delta
        tensor.grad = torch.tensor(grad)
        reference.step()
        assert difference(vector, tensor.detach().numpy()) < (1e-13 if dtype == "float64" else 2e-6)


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
    ],
)
def test_hyper_parameters_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
