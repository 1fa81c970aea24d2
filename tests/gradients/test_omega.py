"""Pascanu's regulariser: its gradient, its terms, and what it does to a network that forgets."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from helpers import BIDIRECTIONAL, STEPS, assert_close, complex_step, difference, make_batch, make_model, one_hot

import scratchrnn as sr
from scratchrnn.gradients.omega import omega

MODELS = ("vanilla", "relu", "rnn-rnn-linear", "deep", "embedding", "deep-bidirectional", "norm-dropout")


def one_cell(rng: np.random.Generator, T: int = 7, N: int = 3, H: int = 5) -> tuple[Any, Any, Any]:
    """W_hh, ∂L/∂a and ‖∂L/∂h‖, with a step that no gradient reaches in one row."""
    W_hh, dh = rng.normal(size=(H, H)), rng.normal(size=(T, N, H)) * 10.0 ** rng.integers(-30, 30, (T, N, 1))
    dh[4, 1] = 0
    da = dh * rng.uniform(0, 1, dh.shape)
    return W_hh, da, np.linalg.norm(dh, axis=2)


def test_gradient_is_that_of_the_complex_step(rng: np.random.Generator) -> None:
    W_hh, da, norms = one_cell(rng)
    _, grad, _ = omega(W_hh, da, norms)
    assert difference(grad, complex_step(lambda W: omega(W, da, norms)[0], W_hh)) < 1e-13


def test_value_is_the_sum_over_steps_of_the_mean_over_rows(rng: np.random.Generator) -> None:
    W_hh, da, norms = one_cell(rng)
    T, N, _ = da.shape
    ratios = np.full((T, N), np.nan)
    total = 0.0
    for t in range(T):
        for n in range(N):
            if (t, n) != (4, 1):
                ratios[t, n] = np.linalg.norm(W_hh.T @ da[t, n]) / norms[t, n]
                total += (ratios[t, n] - 1) ** 2 / N
    value, _, rho = omega(W_hh, da, norms)
    assert value == pytest.approx(total, rel=1e-13)
    np.testing.assert_allclose(rho, ratios, rtol=1e-13)


def test_nothing_is_left_of_a_gradient_that_dead_units_stop(rng: np.random.Generator) -> None:
    W_hh, da, norms = one_cell(rng)
    value, grad, rho = omega(W_hh, 0 * da, norms)
    assert value == pytest.approx((norms > 0).sum() / 3) and not grad.any()
    assert (rho[norms > 0] == 0).all()


def test_an_orthogonal_linear_cell_costs_nothing(rng: np.random.Generator) -> None:
    Q, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    dh = rng.normal(size=(6, 2, 5))
    value, grad, _ = omega(Q, dh, np.linalg.norm(dh, axis=2))
    assert value < 1e-28 and np.abs(grad).max() < 1e-13


class Watched:
    """The same network in PyTorch, every state kept: each cell's h_t (T + 1 of them, (N, H)), in its own time."""

    def __init__(self, torch: Any, model: Any, batch: Any) -> None:
        self.torch = torch
        self.params = {name: torch.tensor(np.array(a)).requires_grad_() for name, a in model.params.items()}
        self.cells: dict[str, tuple[list[Any], str]] = {}
        self.lengths = batch["lengths"]
        x = torch.tensor(np.nan_to_num(batch["x"]) if batch["x"].dtype.kind == "f" else np.maximum(batch["x"], 0))
        states = list(batch["h0"] if isinstance(batch["h0"], tuple) else (batch["h0"],))
        for i, layer in enumerate(model.layers):
            p = {symbol: self.params[name] for symbol, name in model.network.symbols[i]}
            if isinstance(layer, sr.Embedding):
                x = p["E"][x]
            elif isinstance(layer, sr.LayerNorm):
                x = torch.nn.functional.layer_norm(x, x.shape[2:], p["gamma"], p["beta"], layer.eps)
            elif isinstance(layer, sr.Linear):
                x = x @ p["W_hy"].T + p["b_y"]
            elif isinstance(layer, sr.RNN):
                first = torch.tensor(states.pop(0)).reshape(layer.cells, len(x), layer.hidden_size)
                names = dict(model.network.symbols[i])
                for level in range(layer.num_layers):
                    R = 1 + layer.bidirectional
                    sides = [self.cell(layer, p, names, level, r, x, first[R * level + r]) for r in range(R)]
                    x = torch.cat(sides, dim=2)
        self.y = x

    def cell(self, layer: Any, p: Any, names: Any, level: int, reverse: int, x: Any, h: Any) -> Any:
        torch, T = self.torch, x.shape[1]
        after = (f"_l{level}" if level else "") + "_reverse" * reverse
        x = self.turned(x) if reverse else x
        states = [h.requires_grad_()]
        for t in range(T):
            a = x[:, t] @ p["W_xh" + after].T + p["b_h" + after] + states[-1] @ p["W_hh" + after].T
            h = torch.tanh(a) if layer.nonlinearity == "tanh" else torch.relu(a)
            if self.lengths is not None:
                h = torch.where(torch.tensor(t < self.lengths)[:, None], h, states[-1])
            states.append(h)
        self.cells[names["W_hh" + after]] = states, layer.nonlinearity
        out = torch.stack(states[1:], dim=1)
        return self.turned(out) if reverse else out

    def turned(self, x: Any) -> Any:
        """Time turned around in each row."""
        if self.lengths is None:
            return x.flip(1)
        rows = [self.torch.cat([row[:K].flip(0), row[K:]]) for row, K in zip(x, self.lengths, strict=True)]
        return self.torch.stack(rows)


def loss_by_pytorch(torch: Any, model: Any, batch: Any, y: Any) -> Any:
    """The mean squared error of the counted entries."""
    N, T = y.shape[:2]
    if isinstance(batch["steps"], str) and batch["steps"] == "last":
        last = np.full(N, T - 1) if batch["lengths"] is None else batch["lengths"] - 1
        return ((y[np.arange(N), last] - torch.tensor(batch["target"])) ** 2).mean()
    counted = np.broadcast_to(True if isinstance(batch["steps"], str) else batch["steps"], (N, T)).copy()
    if batch["lengths"] is not None:
        counted &= np.arange(T) < batch["lengths"][:, None]
    return ((y[counted] - torch.tensor(batch["target"])[counted]) ** 2).mean()


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("padded", [False, True])
def test_agrees_with_autograd(torch: ModuleType, backend: str, architecture: str, steps: str, padded: bool) -> None:
    model = make_model(architecture, radius=1.2, backend=backend)
    batch = make_batch(model, steps, padded=padded)
    watched = Watched(torch, model, batch)
    loss = loss_by_pytorch(torch, model, batch, watched.y)
    measured = sr.Omega(1.0).measure(model, **batch)
    assert list(measured.grads) == [name for name in model.params if "W_hh" in name]
    assert set(measured.grads) == set(watched.cells)
    total = 0.0
    for name, (states, nonlinearity) in watched.cells.items():
        dh = torch.stack(torch.autograd.grad(loss, states[1:], retain_graph=True), dim=1)  # (N, T, H)
        h, W_hh = torch.stack(states[1:], dim=1).detach(), watched.params[name].detach().requires_grad_()
        slope = 1 - h**2 if nonlinearity == "tanh" else (h > 0).double()
        reached = dh.norm(dim=2) > 0
        if padded:
            reached &= torch.tensor(np.arange(dh.shape[1]) < batch["lengths"][:, None])
        ratio = ((dh * slope)[reached] @ W_hh).norm(dim=1) / dh[reached].norm(dim=1)
        value = ((ratio - 1) ** 2).sum() / len(dh)
        (grad,) = torch.autograd.grad(value, W_hh)
        total += value.item()
        ours = measured.ratios[name]
        assert ours.shape == reached.shape and (np.isfinite(ours) == reached.numpy()).all()
        np.testing.assert_allclose(ours[reached.numpy()], ratio.detach(), rtol=1e-10)
        assert difference(measured.grads[name], grad.numpy()) < 1e-12
    assert measured.value == pytest.approx(total, rel=1e-12)


def test_fit_adds_it_to_the_gradient(backend: str) -> None:
    model = make_model("rnn-rnn-linear", backend=backend)
    batch = make_batch(model, padded=True)
    batch = {name: batch[name] for name in ("x", "target", "steps", "lengths")}
    expected = model.loss_and_grads(**batch).grads
    for name, grad in sr.Omega(1.0).measure(model, **batch).grads.items():
        expected[name] += 0.25 * grad
    before = model.params.vector.copy()
    x, target = batch.pop("x"), batch.pop("target")
    options = {"optimizer": sr.SGD(0.5), "progress": False, **batch}
    history = sr.fit(model, x, target, epochs=1, regularizer=sr.Omega(0.25), **options)
    np.testing.assert_allclose(model.params.vector, before - 0.5 * expected.vector, rtol=1e-11, atol=1e-14)
    assert history.grad_norm[0] == pytest.approx(sr.global_norm(expected), rel=1e-12)


def test_tokens_are_one_hot_vectors(backend: str) -> None:
    model = make_model("deep", backend=backend)
    batch = make_batch(model, tokens=True)
    ours = sr.Omega(1.0).measure(model, **batch)
    theirs = sr.Omega(1.0).measure(model, **(batch | {"x": one_hot(batch["x"], model.input_size)}))
    assert ours.value == pytest.approx(theirs.value, rel=1e-12)
    assert_close(ours.grads, theirs.grads, 1e-12)


def test_float32_keeps_its_dtype(backend: str) -> None:
    model = make_model("vanilla", backend=backend, dtype="float32")
    batch = make_batch(model)
    single = sr.Omega(1.0).measure(model, **batch)
    assert single.grads["W_hh"].dtype == np.float32
    double = sr.Omega(1.0).measure(model.to(None, "float64"), **batch)
    assert difference(single.grads["W_hh"], double.grads["W_hh"]) < 1e-5


def test_it_brings_the_ratio_of_a_forgetful_network_towards_1(rng: np.random.Generator) -> None:
    x = rng.normal(size=(20, 25, 2))
    batch: dict[str, Any] = {"x": x, "target": x[:, 0, :1], "steps": "last"}  # the first input, asked for at the end
    kept, far, value = {}, {}, {}
    for weight in (0.0, 0.5):
        model = sr.VanillaRNN(2, 12, 1, init="spectral(0.4)", seed=3)
        options: dict[str, Any] = {"optimizer": sr.SGD(0.02), "clip_norm": 1.0, "regularizer": sr.Omega(weight)}
        sr.fit(model, **batch, epochs=60, progress=False, **options)
        measured = sr.Omega(weight).measure(model, **batch)
        norms = model.loss_and_grads(**batch).flow.norms
        kept[weight], value[weight] = norms[0] / norms[-1], measured.value
        far[weight] = abs(np.nanmean(measured.ratios["W_hh"]) - 1)
    assert far[0.5] < 0.3 < 0.6 < far[0.0]
    assert value[0.5] < 0.3 * value[0.0]
    assert kept[0.0] < 1e-9 and kept[0.5] > 1e-3


def test_what_is_printed_is_one_line() -> None:
    model = make_model("vanilla")
    measured = sr.Omega(1.0).measure(model, **make_batch(model))
    least, greatest = np.nanmin(measured.ratios["W_hh"]), np.nanmax(measured.ratios["W_hh"])
    assert repr(measured) == f"OmegaValue(Ω = {measured.value:.4g}, W_hh: ρ {least:.3g} … {greatest:.3g})"
    dead = measured._replace(ratios={"W_hh": np.full((3, 7), np.nan)})
    assert repr(dead).endswith(", W_hh: no gradient arrives)")


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="weight"):
        sr.Omega(-1.0)
    strength: Any = 0.1
    with pytest.raises(TypeError, match="regularizer must be"):
        sr.fit(sr.VanillaRNN(1, 2, 1), np.zeros((2, 5, 1)), np.zeros((2, 5, 1)), epochs=1, regularizer=strength)
    encoder = sr.SequenceModel([sr.RNN(5, 8)])
    decoder = sr.SequenceModel([sr.RNN(4, 8), sr.Linear(8, 3)], loss="cross_entropy")
    model: Any = sr.EncoderDecoder(encoder, decoder, length=6)
    with pytest.raises(TypeError, match="EncoderDecoder"):
        sr.fit(model, np.zeros((2, 4), int), np.zeros((2, 6), int), epochs=1, regularizer=sr.Omega(1.0))
    assert set(BIDIRECTIONAL) & set(MODELS)
