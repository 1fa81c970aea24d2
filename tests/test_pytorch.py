"""Values and gradients beside those of PyTorch, layer by layer the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import (
    ARCHITECTURES,
    LOSSES,
    OF_TOKENS,
    STEPS,
    N,
    T,
    all_grads,
    as_states,
    assert_close,
    counted_entries,
    difference,
    make_batch,
    make_model,
    one_hot,
)

import scratchrnn as sr

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


class Twin:
    """The same network of torch.nn modules with the same weights; PyTorch's second bias b_hh is 0."""

    def __init__(self, torch: Any, model: Any) -> None:
        self.torch, self.model = torch, model
        self.leaves: dict[str, Any] = {}  # under our names
        self.modules = []
        for i, layer in enumerate(model.layers):
            module, names = self.module(layer)
            assert set(names) == set(layer.shapes())
            for symbol, parameter in model.network.symbols[i]:
                leaf = getattr(module, names[symbol])
                leaf.data.copy_(self.tensor(model.params[parameter]))
                self.leaves[parameter] = leaf
            self.modules.append(module)

    def module(self, layer: Any) -> tuple[Any, dict[str, str]]:
        """PyTorch's module, in evaluation, and its names for our symbols."""
        nn, dtype = self.torch.nn, getattr(self.torch, str(self.model.dtype))
        if isinstance(layer, sr.RNN):
            module = nn.RNN(
                layer.input_size,
                layer.hidden_size,
                layer.num_layers,
                layer.nonlinearity,
                batch_first=True,
                bidirectional=layer.bidirectional,
                dtype=dtype,
            )
            names: dict[str, str] = {}
            for level in range(layer.num_layers):
                for reverse in ("", "_reverse")[: 1 + layer.bidirectional]:
                    ours, theirs = (f"_l{level}" if level else "") + reverse, f"l{level}{reverse}"
                    names |= {f"W_xh{ours}": f"weight_ih_{theirs}", f"W_hh{ours}": f"weight_hh_{theirs}"}
                    names[f"b_h{ours}"] = f"bias_ih_{theirs}"
                    nn.init.zeros_(getattr(module, f"bias_hh_{theirs}"))
            return module, names
        if isinstance(layer, sr.Embedding):
            return nn.Embedding(layer.input_size, layer.output_size, dtype=dtype), {"E": "weight"}
        if isinstance(layer, sr.LayerNorm):
            return nn.LayerNorm(layer.size, dtype=dtype), {"gamma": "weight", "beta": "bias"}
        if isinstance(layer, sr.Dropout):
            return nn.Dropout(layer.p).eval(), {}
        return nn.Linear(layer.input_size, layer.output_size, dtype=dtype), {"W_hy": "weight", "b_y": "bias"}

    def tensor(self, array: Any) -> Any:
        """A tensor in the model's dtype that shares nothing with the array."""
        return self.torch.tensor(np.array(array, self.model.dtype))

    def forward(self, x: Any, states: Any, lengths: Any) -> tuple[Any, list[Any]]:
        """y (N, T, O) and the last states; rows with lengths go through as packed sequences."""
        rnn = self.torch.nn.utils.rnn
        last: list[Any] = []
        for module in self.modules:
            if not isinstance(module, self.torch.nn.RNN):
                x = module(x)
                continue
            state = states[len(last)]
            single = state.ndim == 2
            state = state[None] if single else state
            if lengths is None:
                x, end = module(x, state)
            else:
                packed = rnn.pack_padded_sequence(x, self.torch.tensor(lengths), batch_first=True, enforce_sorted=False)
                out, end = module(packed, state)
                x, _ = rnn.pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])
            last.append(end[0] if single else end)
        return x, last

    def loss_and_grads(self, batch: dict[str, Any]) -> tuple[float, dict[str, Any], list[Any]]:
        """Loss, gradients under our names, and last states."""
        x = batch["x"]
        if not self.model.layers[0].takes_vectors:
            x = self.torch.tensor(np.maximum(x, 0))
        else:
            x = x if x.ndim == 3 else one_hot(x, self.model.input_size)
            x = self.tensor(np.nan_to_num(x)).requires_grad_()
        states = [self.tensor(state).requires_grad_() for state in as_states(batch["h0"])]
        y, last = self.forward(x, states, batch["lengths"])
        loss = self.loss(y, batch)
        loss.backward()
        leaves = {**self.leaves, **{f"h0[{i}]": state for i, state in enumerate(states)}, "x": x}
        grads = {name: leaf.grad.numpy() for name, leaf in leaves.items() if leaf.requires_grad}
        return loss.item(), grads, [state.detach().numpy() for state in last]

    def loss(self, y: Any, batch: dict[str, Any]) -> Any:
        """PyTorch's loss of the counted entries."""
        n, t = (list(index) for index in zip(*counted_entries(batch, *y.shape[:2]), strict=True))
        last = isinstance(batch["steps"], str) and batch["steps"] == "last"
        target = batch["target"] if last else batch["target"][n, t]
        if self.model.loss_name == "mse":
            return self.torch.nn.functional.mse_loss(y[n, t], self.tensor(target))
        return self.torch.nn.functional.cross_entropy(y[n, t], self.torch.tensor(target))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("padded", [False, True], ids=["full", "packed"])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_loss_gradients_and_states(
    torch: Any, architecture: str, loss: str, steps: str, padded: bool, dtype: str, backend: str
) -> None:
    model = make_model(architecture, loss=loss, dtype=dtype, backend=backend)
    batch = make_batch(model, steps, padded=padded)
    r = model.loss_and_grads(**batch, inputs=True)
    expected, grads, last = Twin(torch, model).loss_and_grads(batch)
    assert r.loss == pytest.approx(expected, rel=TOLERANCE[dtype])
    assert_close(all_grads(r), grads, TOLERANCE[dtype])
    for actual, state in zip(as_states(r.h_last), last, strict=True):
        assert difference(actual, state) < TOLERANCE[dtype]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("padded", [False, True], ids=["full", "packed"])
@pytest.mark.parametrize("architecture", ["rnn-rnn-linear", "deep-bidirectional", *OF_TOKENS])
def test_tokens(torch: Any, architecture: str, loss: str, padded: bool, backend: str) -> None:
    model = make_model(architecture, loss=loss, backend=backend)
    batch = make_batch(model, tokens=True, padded=padded)
    r = model.loss_and_grads(**batch)
    expected, grads, _ = Twin(torch, model).loss_and_grads(batch)
    grads.pop("x", None)
    assert r.loss == pytest.approx(expected, rel=1e-13)
    assert_close(all_grads(r), grads, 1e-12)


@pytest.mark.parametrize("radius", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("steps", ["all", "last"])
def test_two_hundred_steps(torch: Any, radius: float, loss: str, steps: str, backend: str) -> None:
    model = make_model(loss=loss, radius=radius, backend=backend)
    batch = make_batch(model, steps, time=200)
    r = model.loss_and_grads(**batch, inputs=True)
    expected, grads, _ = Twin(torch, model).loss_and_grads(batch)
    assert r.loss == pytest.approx(expected, rel=1e-12)
    worst = assert_close(all_grads(r), grads, 1e-12)
    print(f"PyTorch, T = 200, ρ = {radius}, {loss}, {steps}, float64 on {backend}: {worst:.1e}")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("padded", [False, True], ids=["full", "packed"])
def test_outputs(torch: Any, architecture: str, padded: bool, backend: str) -> None:
    model = make_model(architecture, backend=backend)
    batch = make_batch(model, padded=padded)
    twin = Twin(torch, model)
    states = [twin.tensor(state) for state in as_states(batch["h0"])]
    y, _ = twin.forward(twin.tensor(np.nan_to_num(batch["x"])), states, batch["lengths"])
    out = model.forward(batch["x"], batch["h0"], batch["lengths"])
    n, t = zip(*counted_entries(batch, N, T), strict=True)
    assert difference(out.y[n, t], y.detach().numpy()[n, t]) < 1e-14


@pytest.mark.parametrize("steps", ["all", "last"])
@pytest.mark.parametrize("loss", LOSSES)
def test_flow_of_every_layer(torch: Any, loss: str, steps: str, backend: str) -> None:
    """∂L/∂h_t as PyTorch's autograd retains it, when the steps are written out as a loop."""
    model = make_model("rnn-rnn-linear", loss=loss, backend=backend)
    batch = make_batch(model, steps)
    twin = Twin(torch, model)
    h = [twin.tensor(state) for state in batch["h0"]]
    kept: list[list[Any]] = [[], []]
    outputs = []
    for t in range(T):
        below = twin.tensor(batch["x"][:, t])
        for i in range(2):
            W_xh, W_hh, b_h = (twin.leaves[f"{i}.{symbol}"] for symbol in ("W_xh", "W_hh", "b_h"))
            h[i] = below = torch.tanh(h[i] @ W_hh.T + below @ W_xh.T + b_h)
            below.retain_grad()
            kept[i].append(below)
        outputs.append(twin.modules[2](below))
    twin.loss(torch.stack(outputs, dim=1), batch).backward()
    flow = model.loss_and_grads(**batch).flow
    for i in range(2):
        dh = np.stack([tensor.grad.numpy() for tensor in kept[i]])  # (T, N, H)
        np.testing.assert_allclose(flow.layers[i].norms, np.linalg.norm(dh, axis=(1, 2)), rtol=1e-12)
        np.testing.assert_allclose(flow.layers[i].per_sample, N * np.linalg.norm(dh, axis=2).T, rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("padded", [False, True], ids=["full", "lengths"])
def test_flow_of_both_directions(torch: Any, loss: str, padded: bool, backend: str) -> None:
    """∂L/∂h_t of two bidirectional levels, written out as loops, row by row over the steps that each row has."""
    model = sr.SequenceModel(
        [sr.RNN(3, 4, num_layers=2, bidirectional=True), sr.Linear(8, 5)], loss=loss, backend=backend
    )
    batch = make_batch(model, padded=padded)
    twin = Twin(torch, model)
    lengths = batch["lengths"] if padded else np.full(N, T)
    x, (h0,) = np.nan_to_num(batch["x"]), batch["h0"]
    kept: list[dict[tuple[int, int], Any]] = [{} for _ in range(4)]
    y = torch.zeros(N, T, 5, dtype=torch.float64)
    for n in range(N):
        below = {t: twin.tensor(x[n, t]) for t in range(lengths[n])}
        for level in range(2):
            for reverse in range(2):
                after = ("_l1" if level else "") + "_reverse" * reverse
                W_xh, W_hh, b_h = (twin.leaves[f"0.{symbol}{after}"] for symbol in ("W_xh", "W_hh", "b_h"))
                h = twin.tensor(h0[2 * level + reverse, n])
                for t in list(range(lengths[n]))[:: -1 if reverse else 1]:
                    h = torch.tanh(W_hh @ h + W_xh @ below[t] + b_h)
                    h.retain_grad()
                    kept[2 * level + reverse][n, t] = h
            below = {t: torch.cat([kept[2 * level][n, t], kept[2 * level + 1][n, t]]) for t in range(lengths[n])}
        for t, h in below.items():
            y[n, t] = twin.modules[1](h)
    twin.loss(y, batch).backward()
    flow = model.loss_and_grads(**batch).flow
    assert len(flow.layers) == 4
    both = np.zeros((N, T))
    for i, cell in enumerate(kept):
        for (n, t), h in cell.items():
            norm = np.linalg.norm(h.grad.numpy())
            assert flow.layers[i].per_sample[n, t] == pytest.approx(N * norm, rel=1e-12)
            both[n, t] += norm**2 if i > 1 else 0
    inside = np.arange(T) < lengths[:, None]
    np.testing.assert_allclose(flow.per_sample[inside], N * np.sqrt(both)[inside], rtol=1e-12)


@pytest.mark.parametrize(("required", "summary"), [("0", "1 skipped"), ("1", "1 error")])
def test_without_pytorch_these_tests_skip_unless_it_is_required(required: str, summary: str) -> None:
    """In a process of its own where `import torch` fails."""
    node = f"{__file__}::test_tokens[numpy-rnn-rnn-linear-full-mse]"
    code = (
        f"import sys, pytest; sys.modules['torch'] = None; sys.exit(pytest.main(['-p', 'no:cacheprovider', {node!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "SCRATCHRNN_REQUIRE_TORCH": required},
        capture_output=True,
        text=True,
    )
    assert done.returncode == int(required)
    assert summary in done.stdout.splitlines()[-1]
    assert "PyTorch" in done.stdout


def test_clipping_is_pytorchs_for_ordinary_norms(torch: Any) -> None:
    """PyTorch divides by ‖g‖ + 1e-6 where we divide by ‖g‖."""
    model = make_model()
    grads = model.loss_and_grads(**make_batch(model)).grads
    leaves = [torch.nn.Parameter(torch.zeros(array.shape, dtype=torch.float64)) for array in grads.values()]
    for leaf, array in zip(leaves, grads.values(), strict=True):
        leaf.grad = torch.tensor(np.array(array))
    theirs = torch.nn.utils.clip_grad_norm_(leaves, 0.01)
    assert sr.clip_by_global_norm(grads, 0.01) == pytest.approx(theirs.item(), rel=1e-14)
    for leaf, array in zip(leaves, grads.values(), strict=True):
        np.testing.assert_allclose(array, leaf.grad.numpy(), rtol=1e-4)
