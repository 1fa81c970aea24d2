"""Lag map, input map and the rest of `gradient_flow`, beside brute force by PyTorch's autograd."""

from __future__ import annotations

import dataclasses
import sys
import tracemalloc
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import (
    ARCHITECTURES,
    LOSSES,
    OF_TOKENS,
    STEPS,
    D,
    H,
    InBlocks,
    N,
    O,
    T,
    as_states,
    assert_same,
    counted_entries,
    make_batch,
    make_model,
    one_hot,
)

import scratchrnn as sr
from scratchrnn import gradient_flow
from scratchrnn import network as passes
from scratchrnn.backends import resolve
from scratchrnn.gradients import maps
from scratchrnn.gradients.flow import mean_of_rows
from scratchrnn.layers import rnn
from scratchrnn.plots.maps import lag_ratios

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
            p = {symbol: torch.tensor(array) for symbol, array in model.network.own(i, model.params).items()}
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


def at_step(batch: dict[str, Any], t: int) -> np.ndarray:
    """What counts at step t alone, as a mask (N, T)."""
    rows, time = batch["x"].shape[:2]
    mask = np.zeros((rows, time), bool)
    for n, k in counted_entries(batch, rows, time):
        mask[n, k] = k == t
    return mask


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("architecture", ALL)
def test_lag_map_is_the_flow_of_the_loss_of_one_step(architecture: str, padded: bool) -> None:
    """L of step t alone is the mean of L_nt over the rows that count there."""
    for steps in ("all", "mask (T,)", "mask (N, T)"):
        model = make_model(architecture)
        batch = make_batch(model, steps, padded=padded)
        seen = gradient_flow(model, **batch, input_map=False, spectrum=False)
        assert seen.input_map is None and seen.lag_map is not None and seen.lag_map.dtype == np.float64
        lengths = np.full(N, T) if batch["lengths"] is None else batch["lengths"]
        expected = np.full((T, T), np.nan)
        for t in range(T):
            mask = at_step(batch, t)
            if not mask.any():
                continue
            flow = model.loss_and_grads(**{**batch, "steps": mask}).flow
            counts = mask[:, t]
            of_row = flow.per_sample * counts.sum() / N
            for k in range(T):
                if both := (counts & (k < lengths)).sum():
                    expected[t, k] = np.sqrt((of_row[:, k] ** 2).sum() / both)
        both_ways = [layer.bidirectional for layer in model.layers if layer.recurrent][-1]
        assert_map(seen.lag_map, expected, causal=not both_ways, tolerance=1e-12)


def complex_map(model: Any, batch: dict[str, Any]) -> np.ndarray:
    """‖∂y_t/∂x_k‖ by the complex step in every entry of x_k, tokens as one-hot vectors, zeros for k > t."""
    net = model.network_of(resolve("numpy"))
    prepared = model.check_batch(**batch)
    x, params, first = prepared.x, model.params, 0
    if x.ndim == 2 and model.layers[0].takes_vectors:
        x = np.eye(model.input_size)[x]
    elif x.ndim == 2:
        x, first = params["0.E"][x], 1
    net = net._replace(layers=net.layers[first:], symbols=net.symbols[first:])
    inside = np.ones(x.shape[:2], bool) if prepared.lengths is None else np.arange(T)[:, None] < prepared.lengths
    result = np.full((T, T), np.nan)
    for k in range(T):
        squares = np.zeros((T, N))
        for d in range(x.shape[2]):
            moved = x.astype(complex)
            moved[k, :, d] += 1e-30j
            states = tuple(state.astype(complex) for state in prepared.states)
            y = passes.run(net, params, moved, states, prepared.lengths).y
            squares += ((y.imag / 1e-30) ** 2).sum(axis=2)
        for t in range(T):
            if (both := inside[t] & inside[k]).any():
                result[t, k] = np.sqrt(squares[t, both].mean())
    return result


MORE: dict[str, Any] = {
    "more outputs than units": lambda: sr.VanillaRNN(D, 2, O, backend="numpy"),
    "more outputs than units, normalised": lambda: sr.SequenceModel(
        [sr.RNN(D, 2, bidirectional=True), sr.LayerNorm(4), sr.Linear(4, 9)], backend="numpy"
    ),
    "no layer above": lambda: sr.SequenceModel([sr.RNN(D, H, num_layers=2)], backend="numpy"),
}


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("architecture", [*ALL, *MORE])
def test_input_map_is_that_of_the_complex_step(architecture: str, padded: bool) -> None:
    model = MORE[architecture]() if architecture in MORE else make_model(architecture)
    causal = not any(layer.directions == 2 for layer in model.layers)
    for tokens in (False, True) if model.layers[0].takes_tokens else (False,):
        batch = make_batch(model, padded=padded, tokens=tokens)
        seen = gradient_flow(model, **batch, lag_map=False, spectrum=False)
        assert seen.lag_map is None and seen.input_map is not None and seen.input_map.dtype == np.float64
        assert_map(seen.input_map, complex_map(model, batch), causal, tolerance=1e-12)


@pytest.mark.parametrize("architecture", ["deep", "deep-bidirectional", "embedding"])
def test_small_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch, architecture: str) -> None:
    model = make_model(architecture)
    batch = make_batch(model, "mask (N, T)", padded=True)
    whole = gradient_flow(model, **batch, spectrum=False)
    parts = []
    below = maps.Walk.below

    def watched(self: Any, steps: Any, seeds: Any, inputs: bool) -> Any:
        parts.append(seeds.shape[:2])
        return below(self, steps, seeds, inputs)

    monkeypatch.setattr(maps.Walk, "below", watched)
    for numbers in (1, 3000):
        parts.clear()
        monkeypatch.setattr(maps, "NUMBERS", numbers)
        seen = gradient_flow(model, **batch, spectrum=False)
        np.testing.assert_allclose(seen.lag_map, whole.lag_map, rtol=1e-13)  # type: ignore[arg-type]
        np.testing.assert_allclose(seen.input_map, whole.input_map, rtol=1e-13)  # type: ignore[arg-type]
        assert max(parts) == (1, 1) if numbers == 1 else max(parts) > (1, 1)


def test_blocks_of_rows_have_as_many_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row has T · 2 · ((6 + 3) + (6 + 6) + (5 + 6)) = T · 64 entries: in and out of every matrix, down and up."""
    model = sr.VanillaRNN(3, 6, 5, backend="numpy")
    batch = model.check_batch(**make_batch(model, rows=5))
    for numbers, sizes in (
        (1, [1, 1, 1, 1, 1]),
        (2 * 64 * T - 1, [1, 1, 1, 1, 1]),
        (2 * 64 * T, [2, 2, 1]),
        (4 * 64 * T, [4, 1]),
        (5 * 64 * T, [5]),
        (1 << 22, [5]),
    ):
        monkeypatch.setattr(maps, "NUMBERS", numbers)
        assert [walk.batch.x.shape[1] for walk in maps._walks(model, batch)] == sizes
        assert maps.blocks(model, batch) == len(sizes)


@pytest.mark.parametrize(("units", "seeds"), [(3, 3), (8, 5)])
def test_no_more_seeds_than_units_or_outputs(monkeypatch: pytest.MonkeyPatch, units: int, seeds: int) -> None:
    model = sr.VanillaRNN(D, units, 5, backend="numpy")
    J = np.random.default_rng(0).normal(size=(5, N, units))
    short = maps._shortened(J)
    assert short.shape == (seeds, N, units)
    assert (short is J) == (units > 5)  # nothing is decomposed for nothing
    after = np.random.default_rng(1).normal(size=(units, D))
    for n in range(N):
        assert np.linalg.norm(short[:, n] @ after) == pytest.approx(np.linalg.norm(J[:, n] @ after), rel=1e-13)
    seen, below = [], maps.Walk.below

    def watched(self: Any, steps: Any, seeds: Any, inputs: bool) -> Any:
        seen.append(len(seeds))
        return below(self, steps, seeds, inputs)

    monkeypatch.setattr(maps.Walk, "below", watched)
    gradient_flow(model, **make_batch(model), lag_map=False, spectrum=False)
    assert set(seen) == {seeds}


def test_traces_are_cut_in_time_and_copied_in_rows() -> None:
    for shape in ((T, N), (T, N, D)):
        a = np.arange(np.prod(shape)).reshape(shape)
        assert_same(maps._until(a, -2), a[: T - 2])
        assert_same(maps._until(a, 0), a)
        assert_same(maps._copies(a, 3), np.concatenate([a, a, a], axis=1))
    lengths = np.array([5, 7, 1, 6])
    assert_same(maps._until(lengths, -2), lengths)
    assert_same(maps._copies(lengths, 2), np.array([5, 7, 1, 6, 5, 7, 1, 6]))


def test_many_outputs_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their unit matrix alone, for every row, would be larger than what is in use at a time."""
    model = sr.SequenceModel([sr.RNN(D, 3), sr.LayerNorm(3), sr.Linear(3, 50)], backend="numpy")
    batch = make_batch(model, padded=True)
    whole = gradient_flow(model, **batch, lag_map=False, spectrum=False)
    sizes, above = [], maps.Walk.above

    def watched(self: Any, steps: Any, dy: Any) -> Any:
        sizes.append(dy.size)
        return above(self, steps, dy)

    monkeypatch.setattr(maps, "NUMBERS", 1500)
    monkeypatch.setattr(maps.Walk, "above", watched)
    parts = gradient_flow(model, **batch, lag_map=False, spectrum=False)
    assert max(sizes) <= 1500 < 50 * 50
    np.testing.assert_allclose(parts.input_map, whole.input_map, rtol=1e-13)  # type: ignore[arg-type]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows and more outputs take no more memory than the tables of seeds of one step."""
    monkeypatch.setattr(maps, "NUMBERS", 1 << 14)
    most = []
    for rows in (8, 40):
        model = sr.VanillaRNN(3, 16, 6, backend="numpy")
        batch = make_batch(model, rows=rows, time=12)
        prepared = model.check_batch(**batch)
        tracemalloc.start()
        maps.lag_map(model, prepared, lambda: None)
        maps.input_map(model, prepared, lambda: None)
        most.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert most[1] < 2 * most[0] < 30 * 8 * (1 << 14)


def test_nothing_underflows_that_has_a_logarithm(backend: str) -> None:
    """W_hh = 1e-8·I and h = 0: going back, every step multiplies by 1e-8 exactly, down to 1e-240 after 30."""
    model = sr.VanillaRNN(2, 3, 1, backend=backend)
    model.params.vector[:] = 0
    model.params["W_hh"], model.params["W_hy"], model.params["W_xh"] = 1e-8 * np.eye(3), np.ones((1, 3)), np.eye(3, 2)
    seen = gradient_flow(model, np.zeros((2, 31, 2)), np.ones((2, 31, 1)), spectrum=False)
    lags = np.arange(31)[:, None] - np.arange(31)
    with np.errstate(under="ignore"):
        of_one = np.where(lags >= 0, 1e-8 ** np.maximum(lags, 0).astype(float), np.nan)
    np.testing.assert_allclose(seen.lag_map, 2 * np.sqrt(3) * of_one, rtol=1e-12)  # type: ignore[arg-type]
    np.testing.assert_allclose(seen.input_map, np.sqrt(2) * of_one, rtol=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", ["vanilla", "deep-bidirectional", "embedding"])
def test_float32_on_every_backend(backend: str, architecture: str) -> None:
    model = make_model(architecture, dtype="float32")
    batch = make_batch(model, padded=True)
    exact = gradient_flow(make_model(architecture, dtype="float32").to("numpy", "float64"), **batch, spectrum=False)
    seen = gradient_flow(model.to(backend), **batch, spectrum=False)
    np.testing.assert_allclose(seen.lag_map, exact.lag_map, rtol=1e-4)  # type: ignore[arg-type]
    np.testing.assert_allclose(seen.input_map, exact.input_map, rtol=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("architecture", ["deep", "norm-dropout", "deep-bidirectional", "embedding-bidirectional"])
def test_the_rest_is_what_loss_and_grads_says(backend: str, architecture: str, padded: bool) -> None:
    model = make_model(architecture, backend=backend, radius=3.0)
    for name in model.params:
        model.params[name] *= 4.0
    batch = make_batch(model, padded=padded)
    seen = gradient_flow(model, **batch, lag_map=False, input_map=False, spectrum=False)
    result = model.loss_and_grads(**batch)
    assert seen.loss == result.loss
    assert seen.lag_map is None and seen.input_map is None and seen.spectrum is None
    assert_same(tuple(seen.flow._replace(layers=())), tuple(result.flow._replace(layers=())))
    for layer, expected in zip(seen.layers, result.flow.layers, strict=True):
        assert_same((layer.per_sample, layer.flushed), (expected.per_sample, expected.flushed))
    assert_same((seen.norms, seen.per_sample, seen.flushed), tuple(getattr(result.flow, n) for n in OF_FLOW))
    assert list(seen.grad_norms) == list(model.params)
    for name, norm in seen.grad_norms.items():
        assert norm == pytest.approx(np.linalg.norm(result.grads[name]), rel=1e-13)
    counted = count_saturated(model, batch)
    assert 0.05 < np.nanmean(counted) < 0.95 and not (counted[0] == counted[0, ::-1]).all()
    np.testing.assert_allclose(seen.saturated, counted, rtol=1e-14)


OF_FLOW = ("norms", "per_sample", "flushed")


def count_saturated(model: Any, batch: dict[str, Any]) -> np.ndarray:
    """(cells, T): units of every recurrent cell counted one by one, off outputs of the layers themselves."""
    prepared = model.check_batch(**batch)
    lengths = np.full(N, T) if prepared.lengths is None else prepared.lengths
    y, states, fractions = prepared.x, list(prepared.states), []
    for i, layer in enumerate(model.layers):
        own = dict(model.network.own(i, model.params))
        if not layer.recurrent:
            y = layer.forward(own, y, None, lengths=prepared.lengths)[0]
            continue
        cells = states.pop(0).reshape(-1, N, layer.hidden_size)
        for level in range(layer.num_layers):  # level by level, so that the states of each are seen
            one = dataclasses.replace(layer, input_size=y.shape[-1], num_layers=1, dropout=0.0)
            directions = 1 + layer.bidirectional
            level_own = {name: own[stack_name(name, level)] for name in one.shapes()}
            state = cells[directions * level : directions * (level + 1)]
            state = state if directions == 2 else state[0]
            y = one.functions(lambda function: function).forward(level_own, y, state, lengths=prepared.lengths)[0]
            for side in np.split(y, directions, axis=2):
                flat = np.abs(side) > 0.999 if layer.nonlinearity == "tanh" else side == 0
                row = [flat[t, t < lengths].mean() if (t < lengths).any() else np.nan for t in range(T)]
                fractions.append(row)
    return np.array(fractions)


def stack_name(name: str, level: int) -> str:
    """W_xh_reverse of level 1 is W_xh_l1_reverse."""
    symbol, _, reverse = name.partition("_reverse")
    return symbol + (f"_l{level}" if level else "") + name[len(symbol) :]


def test_saturation_adds_up_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model("deep-bidirectional", radius=3.0)
    batch = make_batch(model, padded=True)
    whole = model.loss_and_grads(**batch, saturation=True).flow
    model.move(InBlocks(), None)
    blocks = model.loss_and_grads(**batch, saturation=True).flow
    for ours, expected in zip(blocks.layers, whole.layers, strict=True):
        assert_same(ours.saturation, expected.saturation)
    assert whole.top.saturated.shape == (T,)
    with pytest.raises(ValueError, match="saturated units were not counted; call loss_and_grads"):
        model.loss_and_grads(**batch).flow.top.saturated  # noqa: B018


def test_the_mean_over_rows_leaves_out_those_that_are_over() -> None:
    a = np.array([[1.0, 0.5, 0.25, np.nan], [0.0, np.nan, np.nan, np.nan], [0.5, 0.75, np.nan, np.nan]])
    np.testing.assert_array_equal(mean_of_rows(a), [0.5, 0.625, 0.25, np.nan])
    np.testing.assert_array_equal(mean_of_rows(np.stack([a, a[::-1]])), [[0.5, 0.625, 0.25, np.nan]] * 2)
    np.testing.assert_array_equal(mean_of_rows(a[:, :1]), [0.5])


def test_saturation_of_both_directions_is_that_of_all_units() -> None:
    model = make_model("bidirectional", radius=3.0)
    flow = model.loss_and_grads(**make_batch(model), saturation=True).flow
    forward, reverse = flow.layers
    np.testing.assert_allclose(flow.top.saturated, (forward.saturated + reverse.saturated) / 2, rtol=1e-15)


def test_the_spectrum_is_that_of_the_first_row(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    more: list[Any] = []

    def jacobian_spectrum(model: Any, x: Any, *, h0: Any, lengths: Any, cell: int, progress: bool) -> str:
        asked.append((model, x, h0, lengths))
        more.append((cell, progress))
        return "the spectrum"

    monkeypatch.setitem(
        sys.modules, "scratchrnn.gradients.jacobians.spectrum", SimpleNamespace(jacobian_spectrum=jacobian_spectrum)
    )
    model = make_model()
    batch = make_batch(model, padded=True)
    seen: Any = gradient_flow(model, **batch, lag_map=False, input_map=False)
    assert seen.spectrum == "the spectrum" and repr(seen).endswith(", spectrum)")
    assert asked[0][0] is model and asked[0][1] is batch["x"]
    assert asked[0][2] is batch["h0"] and asked[0][3] is batch["lengths"]
    gradient_flow(make_model("bidirectional"), **make_batch(make_model("bidirectional")), progress=False)
    assert more == [(-1, True), (-2, False)]


@pytest.mark.parametrize("architecture", ["vanilla", "deep", "bidirectional", "deep-bidirectional"])
@pytest.mark.parametrize("padded", [False, True])
def test_no_ratio_of_the_lag_map_is_above_the_bound(architecture: str, padded: bool) -> None:
    """The bound of the spectrum is drawn beside the decay, so both must belong to the same W_hh."""
    model = make_model(architecture)
    cells = [name for name in model.params if "W_hh" in name]
    for i, name in enumerate(cells):
        model.params[name] *= (0.5, 0.1)[i % 2] if model.layers[0].bidirectional else 0.5
    seen = gradient_flow(model, **make_batch(model, padded=padded), input_map=False)
    assert seen.lag_map is not None and seen.spectrum is not None
    ratios = lag_ratios(seen.lag_map)
    bound = (seen.spectrum.gamma * seen.spectrum.norm) ** np.arange(T)
    assert np.isfinite(ratios).sum() > T and (np.nan_to_num(ratios) <= bound * (1 + 1e-12)).all()


def test_what_has_no_single_way_back_is_refused() -> None:
    encoder = sr.SequenceModel([sr.RNN(5, 8)], backend="numpy")
    decoder = sr.SequenceModel([sr.RNN(4, 8), sr.Linear(8, 3)], loss="cross_entropy", backend="numpy")
    model: Any = sr.EncoderDecoder(encoder, decoder, length=6)
    x, target = np.zeros((2, 4), int), np.zeros((2, 6), int)
    with pytest.raises(TypeError, match="got EncoderDecoder; of an EncoderDecoder pass its decoder"):
        gradient_flow(model, x, target)
    h0 = model.encoder.forward(x).h_last  # what the message says works
    assert gradient_flow(model.decoder, model.shifted(target), target, h0=h0, spectrum=False).saturated.shape == (1, 6)


def test_it_is_quiet_and_leaves_the_model_alone(capsys: pytest.CaptureFixture[str]) -> None:
    model = make_model()
    before = model.params.vector.copy()
    seen = gradient_flow(model, **make_batch(model), spectrum=False)
    assert (model.params.vector == before).all() and repr(seen).startswith("GradientFlow(loss ")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    with pytest.raises(ValueError, match="x has 9 features"):
        gradient_flow(model, np.zeros((N, T, 9)), np.zeros((N, T, O)))


def test_saturated_is_above_0_999_of_tanh_and_0_of_relu() -> None:
    h = np.array([[[0.999, -0.999, 0.9991, -0.9991, 0.0], [0.0, 0.1, -0.0, 1e-300, 0.999]]])
    h = np.concatenate([np.ones_like(h), h])  # before the first step there is nothing to count
    assert rnn.saturated(rnn.Trace(None, h, None)).tolist() == [[0.4, 0.0]]
    assert rnn.saturated(rnn.Trace(None, h, None), nonlinearity="relu").tolist() == [[0.2, 0.4]]
    valid = np.array([[[True], [False]]])
    np.testing.assert_array_equal(rnn.saturated(rnn.Trace(None, h, valid)), [[0.4, np.nan]])
