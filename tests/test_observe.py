"""Lag map, input map and the rest of `gradient_flow`, beside brute force by PyTorch's autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import (
    ARCHITECTURES,
    LOSSES,
    OF_TOKENS,
    STEPS,
    as_states,
    counted_entries,
    make_batch,
    make_model,
    one_hot,
)

import scratchrnn as sr
from scratchrnn import gradient_flow

ALL = [*ARCHITECTURES, *OF_TOKENS]


class Brute:
    """The network written out in PyTorch, step by step, every state and every input a tensor of its own."""

    def __init__(self, torch: Any, model: Any, batch: dict[str, Any]) -> None:
        self.torch, self.model, self.batch = torch, model, batch
        rows, time = batch["x"].shape[:2]
        self.lengths = np.full(rows, time) if batch["lengths"] is None else batch["lengths"]
        inside = np.arange(time) < self.lengths[:, None]
        x: Any = batch["x"]
        if x.ndim == 2:
            x = one_hot(np.where(inside, x, 0), model.input_size)
        x = np.where(inside[..., None], x, 0.0)
        if not model.layers[0].takes_vectors:
            x = x @ model.params["0.E"]
        self.x = [torch.tensor(x[:, t], requires_grad=True) for t in range(time)]
        self.h: list[Any] = []  # of the top recurrent layer: of every step the states of its directions
        states, y = list(as_states(batch["h0"])), list(self.x)
        for i, layer in enumerate(model.layers):
            p = {symbol: torch.tensor(array) for symbol, array in model._network.own(i, model.params).items()}
            y = self.layer(layer, p, y, states)
        self.y = y

    def layer(self, layer: Any, p: dict[str, Any], y: list[Any], states: list[Any]) -> list[Any]:
        """Outputs of every step."""
        torch = self.torch
        if isinstance(layer, sr.Linear):
            return [a @ p["W_hy"].T + p["b_y"] for a in y]
        if isinstance(layer, sr.LayerNorm):
            return [torch.nn.functional.layer_norm(a, a.shape[1:], p["gamma"], p["beta"], layer.eps) for a in y]
        if not isinstance(layer, sr.RNN):
            return y
        act = torch.tanh if layer.nonlinearity == "tanh" else torch.relu
        state = states.pop(0)
        first = iter(torch.tensor(state.reshape(-1, *state.shape[-2:])))
        for level in range(layer.num_layers):
            sides = []
            for reverse in range(1 + layer.bidirectional):
                after = (f"_l{level}" if level else "") + "_reverse" * reverse
                h, at = next(first), {}
                for t in range(len(y))[:: -1 if reverse else 1]:
                    new = act(h @ p["W_hh" + after].T + y[t] @ p["W_xh" + after].T + p["b_h" + after])
                    h = at[t] = torch.where(torch.tensor(t < self.lengths)[:, None], new, h)
                sides.append(at)
            self.h = [[side[t] for side in sides] for t in range(len(y))]
            y = [torch.cat(parts, 1) for parts in self.h]
        return y

    def pulled(self, value: Any, leaves: list[Any]) -> np.ndarray:
        """∂value/∂(each leaf) (leaves, N, features); rows are independent, so value may be a sum over rows."""
        grads = self.torch.autograd.grad(value, leaves, retain_graph=True, allow_unused=True)
        return np.array([np.zeros(a.shape) if g is None else g.numpy() for a, g in zip(leaves, grads, strict=True)])

    def lag_map(self) -> np.ndarray:
        """[t, k], zeros where nothing comes back."""
        torch, (rows, time) = self.torch, self.batch["x"].shape[:2]
        counted = np.zeros((rows, time), bool)
        counted[tuple(zip(*counted_entries(self.batch, rows, time), strict=True))] = True
        result = np.full((time, time), np.nan)
        last = isinstance(self.batch["steps"], str) and self.batch["steps"] == "last"
        for t in range(time):
            n = np.flatnonzero(counted[:, t])
            if not len(n):
                continue
            target = torch.tensor(self.batch["target"][n] if last else self.batch["target"][n, t])
            if self.model.loss_name == "mse":
                loss = ((self.y[t][n] - target) ** 2).mean(1).sum()
            else:
                loss = torch.nn.functional.cross_entropy(self.y[t][n], target, reduction="sum")
            leaves = [side for k in range(time) for side in self.h[k]]
            grads = self.pulled(loss, leaves)
            grads = grads.reshape(time, -1, *grads.shape[1:]).swapaxes(1, 2).reshape(time, rows, -1)
            for k in range(time):
                both = counted[:, t] & (k < self.lengths)
                if both.any():
                    result[t, k] = np.sqrt((grads[k, both] ** 2).sum(1).mean())
        return result

    def input_map(self) -> np.ndarray:
        """[t, k], zeros where nothing comes back."""
        time = len(self.x)
        squares = np.zeros((time, time, len(self.lengths)))
        for t in range(time):
            for o in range(self.model.output_size):
                squares[t] += (self.pulled(self.y[t][:, o].sum(), self.x) ** 2).sum(2)
        result = np.full((time, time), np.nan)
        for t in range(time):
            for k in range(time):
                both = (t < self.lengths) & (k < self.lengths)
                if both.any():
                    result[t, k] = np.sqrt(squares[t, k, both].mean())
        return result


def assert_map(actual: Any, expected: np.ndarray, causal: bool, tolerance: float = 1e-10) -> None:
    """Every entry within the tolerance of its own size; NaN for k > t of a causal one, else where expected."""
    if causal:
        upper = np.triu(np.ones(actual.shape, bool), 1)
        assert np.isnan(actual[upper]).all()
        assert not np.nan_to_num(expected[upper]).any()
        expected = np.where(upper, np.nan, expected)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=0)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("architecture", ALL)
def test_maps_are_those_of_autograd(torch: Any, backend: str, architecture: str, padded: bool) -> None:
    for loss, steps in zip(LOSSES * 2, STEPS, strict=True):
        model = make_model(architecture, loss=loss, radius=1.3)
        batch = make_batch(model, steps, padded=padded)
        brute = Brute(torch, model, batch)
        model.to(backend)
        seen = gradient_flow(model, **batch, spectrum=False, progress=False)
        recurrent = [layer for layer in model.layers if layer.recurrent]
        assert_map(seen.lag_map, brute.lag_map(), causal=not recurrent[-1].bidirectional)
        if steps == "all":
            assert_map(seen.input_map, brute.input_map(), not any(layer.bidirectional for layer in recurrent))
