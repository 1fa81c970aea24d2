"""Models: every architecture × loss × choice of steps × backend × dtype against the complex step and naive loops."""

from __future__ import annotations

import copy
import pickle
import threading
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from helpers import (
    ARCHITECTURES,
    BIDIRECTIONAL,
    LENGTHS,
    LOSSES,
    OF_TOKENS,
    STEPS,
    D,
    H,
    InBlocks,
    N,
    O,
    T,
    all_grads,
    as_states,
    assert_close,
    assert_same,
    complex_step,
    difference,
    make_batch,
    make_model,
    naive_forward,
    naive_loss,
    one_hot,
    reference,
    reference_grads,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import scratchrnn as sr
from scratchrnn import network as passes
from scratchrnn.backends import resolve
from scratchrnn.layers import rnn

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}

architectures = pytest.mark.parametrize("architecture", ARCHITECTURES)
losses = pytest.mark.parametrize("loss", LOSSES)
all_steps = pytest.mark.parametrize("steps", STEPS)
padding = pytest.mark.parametrize("padded", [False, True], ids=["full", "lengths"])
dtypes = pytest.mark.parametrize("dtype", TOLERANCE)


# Gradients.


@architectures
@losses
@all_steps
@padding
@dtypes
def test_loss_and_gradients(architecture: str, loss: str, steps: str, padded: bool, dtype: str, backend: str) -> None:
    model = make_model(architecture, loss=loss, backend=backend, dtype=dtype)
    batch = make_batch(model, steps, padded=padded)
    r = model.loss_and_grads(**batch, inputs=True)
    assert_close(all_grads(r), reference(architecture, loss, steps, padded), TOLERANCE[dtype])
    assert {array.dtype for array in all_grads(r).values()} == {np.dtype(dtype)}
    assert isinstance(r.loss, float)
    expected = naive_loss(make_model(architecture, loss=loss), batch)
    assert r.loss == pytest.approx(expected, rel=TOLERANCE[dtype] / 10)
    assert model.loss(**batch) == r.loss


@losses
@all_steps
@padding
@dtypes
def test_many_rows(loss: str, steps: str, padded: bool, dtype: str, backend: str) -> None:
    """More rows than one block: whatever a backend cuts, the gradients are those of the whole batch."""
    batch = make_batch(make_model(loss=loss), steps, padded=padded, rows=21)
    expected = make_model(loss=loss).loss_and_grads(**batch, inputs=True)
    r = make_model(loss=loss, backend=backend, dtype=dtype).loss_and_grads(**batch, inputs=True)
    assert_close(all_grads(r), all_grads(expected), TOLERANCE[dtype])
    assert r.loss == pytest.approx(expected.loss, rel=TOLERANCE[dtype])
    np.testing.assert_allclose(r.flow.per_sample, expected.flow.per_sample, rtol=10 * TOLERANCE[dtype])
    assert difference(r.h_last, expected.h_last) < TOLERANCE[dtype]


@architectures
@losses
@all_steps
@padding
def test_blocks_of_rows(architecture: str, loss: str, steps: str, padded: bool) -> None:
    """A batch in blocks is the batch, also where nothing counts in a block."""
    model = make_model(architecture, loss=loss)
    batch = make_batch(model, steps, padded=padded)
    whole, whole_loss = model.loss_and_grads(**batch, inputs=True), model.loss(**batch)
    model.move(InBlocks(), None)
    assert model.loss(**batch) == pytest.approx(whole_loss, rel=1e-14)
    r = model.loss_and_grads(**batch, inputs=True)
    assert r.loss == pytest.approx(whole.loss, rel=1e-14)
    assert_close(all_grads(r), all_grads(whole), 1e-14)
    for actual, expected in zip(as_states(r.h_last), as_states(whole.h_last), strict=True):
        assert difference(actual, expected) < 1e-14
    for layer, expected in zip(r.flow.layers, whole.flow.layers, strict=True):
        assert difference(layer.per_sample, expected.per_sample) < 1e-14
        assert layer.flushed.tolist() == expected.flushed.tolist()


@architectures
@all_steps
@padding
def test_tangent_is_the_complex_step(architecture: str, steps: str, padded: bool) -> None:
    """How the counted outputs move when everything moves at once."""
    model = make_model(architecture)
    batch = model.check_batch(**make_batch(model, steps, padded=padded))
    rng, net = np.random.default_rng(1), model.network_of(resolve("numpy"))
    moved_vector, moved_x, *moved_states = (
        rng.normal(size=array.shape) for array in (model.params.vector, batch.x, *batch.states)
    )

    def outputs(i: complex) -> Any:
        params = model.params.like(model.params.vector + i * moved_vector)
        states = tuple(state + i * moved for state, moved in zip(batch.states, moved_states, strict=True))
        return passes.run(net, params, batch.x + i * moved_x, states, batch.lengths, batch.selection)

    dy = passes.tangent(
        net,
        model.params,
        outputs(0).traces,
        batch.selection,
        model.params.like(moved_vector),
        moved_x,
        tuple(moved_states),
    )
    assert difference(dy, outputs(1e-30j).y.imag / 1e-30) < 1e-13


@cache
def long_reference(radius: float, loss: str, steps: str, time: int) -> dict[str, np.ndarray]:
    model = make_model(loss=loss, radius=radius)
    return reference_grads(model, make_batch(model, steps, rows=2, time=time))


@pytest.mark.parametrize("time", [50, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("radius", [0.5, 1.0, 1.5])
@losses
@pytest.mark.parametrize("steps", ["all", "last"])
@dtypes
def test_long_sequences(time: int, radius: float, loss: str, steps: str, dtype: str, backend: str) -> None:
    """Inputs N(0, 1), as everywhere here: with smaller ones a radius of 1.5 is chaotic, and float32 drifts away."""
    model = make_model(loss=loss, radius=radius, backend=backend, dtype=dtype)
    grads = all_grads(model.loss_and_grads(**make_batch(model, steps, rows=2, time=time), inputs=True))
    expected = dict(long_reference(radius, loss, steps, time))
    for name, gradient in list(expected.items()):
        if np.linalg.norm(gradient) < np.finfo(dtype).tiny:
            print(f"{name}: underflow, ‖g‖ = {np.linalg.norm(gradient):.1e} is below the range of {dtype}")
            assert not grads.pop(name).any()
            del expected[name]
    worst = assert_close(grads, expected, TOLERANCE[dtype])
    print(f"T = {time}, ρ = {radius}, {loss}, {steps}, {dtype} on {backend}: {worst:.1e}")


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    sizes=st.tuples(*[st.integers(1, 5)] * 5),
    loss=st.sampled_from(LOSSES),
    steps=st.sampled_from(["all", "last"]),
    seed=st.integers(0, 1000),
)
def test_any_sizes(sizes: tuple[int, ...], loss: str, steps: str, seed: int) -> None:
    """One-to-one, one row, one unit, one class: the smallest sizes are no special case."""
    rows, time, *features = sizes
    model = sr.VanillaRNN(*features, loss=loss, backend="numpy", seed=seed)
    batch = make_batch(model, steps, rows=rows, time=time, seed=seed)
    r = model.loss_and_grads(**batch, inputs=True)
    assert r.loss == pytest.approx(naive_loss(model, batch), rel=1e-13)
    for name, expected in reference_grads(model, batch).items():
        np.testing.assert_allclose(all_grads(r)[name], expected, rtol=1e-11, atol=1e-15)


@losses
@padding
def test_tokens_are_one_hot_vectors(loss: str, padded: bool, backend: str) -> None:
    model = make_model(loss=loss, backend=backend)
    batch = make_batch(model, padded=padded, tokens=True)
    r = model.loss_and_grads(**batch)
    assert r.grads_x is None
    assert r.loss == pytest.approx(naive_loss(model, batch), rel=1e-13)
    assert_close(all_grads(r), reference_grads(model, batch), 1e-12)
    vectors = {**batch, "x": one_hot(batch["x"], D)}
    assert_close(all_grads(r), all_grads(model.loss_and_grads(**vectors)), 1e-12)
    for kind in ("int8", "uint16", "int32", "uint64"):
        if not padded:
            assert model.loss(**{**batch, "x": batch["x"].astype(kind)}) == r.loss


@losses
@all_steps
@padding
@dtypes
@pytest.mark.parametrize("architecture", OF_TOKENS)
def test_embeddings(architecture: str, loss: str, steps: str, padded: bool, dtype: str, backend: str) -> None:
    model = make_model(architecture, loss=loss, backend=backend, dtype=dtype)
    batch = make_batch(model, steps, padded=padded)
    r = model.loss_and_grads(**batch)
    assert_close(all_grads(r), reference(architecture, loss, steps, padded), TOLERANCE[dtype])
    assert r.loss == pytest.approx(naive_loss(make_model(architecture, loss=loss), batch), rel=TOLERANCE[dtype] / 10)
    assert r.grads_x is None and model.loss(**batch) == r.loss
    with pytest.raises(TypeError, match="integer tokens have no gradient"):
        model.loss_and_grads(**batch, inputs=True)


def test_an_embedding_is_a_linear_layer_of_one_hot_vectors(backend: str) -> None:
    model = make_model("embedding", backend=backend)
    batch = make_batch(model, padded=True)
    other = sr.SequenceModel([sr.Linear(D, 4), *model.layers[1:]], backend=backend)
    for name, array in model.params.items():
        other.params["0.W_hy" if name == "0.E" else name] = array.T if name == "0.E" else array
    other.params["0.b_y"] = np.zeros(4)
    r = model.loss_and_grads(**batch)
    expected = other.loss_and_grads(**batch | {"x": one_hot(batch["x"], D)})
    assert r.loss == pytest.approx(expected.loss, rel=1e-14)
    assert difference(r.grads["0.E"], expected.grads["0.W_hy"].T) < 1e-14


@architectures
@losses
def test_padding_is_the_same_as_rows_by_themselves(architecture: str, loss: str, backend: str) -> None:
    """The loss of a padded batch is the mean over counted steps of what each row gives alone, cut to its length."""
    model = make_model(architecture, loss=loss, backend=backend)
    batch = make_batch(model, padded=True)
    r = model.loss_and_grads(**batch)
    total, grads = 0.0, np.zeros_like(model.params.vector)
    for n, length in enumerate(LENGTHS):
        row = {key: batch[key][n : n + 1] for key in ("x", "target")}
        states = tuple(state[..., n : n + 1, :] for state in as_states(batch["h0"]))
        h0 = states if isinstance(batch["h0"], tuple) else states[0]
        alone = model.loss_and_grads(row["x"][:, :length], row["target"][:, :length], h0=h0)
        total += alone.loss * length
        grads += alone.grads.vector * length
        for padded, by_itself in zip(as_states(r.h_last), as_states(alone.h_last), strict=True):
            np.testing.assert_allclose(padded[..., n, :], by_itself[..., 0, :], rtol=1e-12)
        for padded, by_itself in zip(as_states(r.grads_h0), as_states(alone.grads_h0), strict=True):
            g = by_itself[..., 0, :] * length
            np.testing.assert_allclose(padded[..., n, :] * LENGTHS.sum(), g, rtol=1e-10, atol=1e-16)
    assert r.loss == pytest.approx(total / LENGTHS.sum(), rel=1e-13)
    assert difference(r.grads.vector, grads / LENGTHS.sum()) < 1e-12


@losses
def test_equivalent_ways_to_say_which_steps_count(loss: str, backend: str) -> None:
    model = make_model(loss=loss, backend=backend)
    batch = make_batch(model)
    everything = model.loss_and_grads(**batch)
    for steps in (np.ones(T, bool), np.ones((N, T), bool), [True] * T):
        assert_same(model.loss_and_grads(**{**batch, "steps": steps}), everything)
    for full in (np.full(N, T), [T] * N, np.full(N, T, np.uint8)):
        assert_same(model.loss_and_grads(**{**batch, "lengths": full}), everything)
    last = model.loss_and_grads(**{**batch, "steps": "last", "target": batch["target"][:, -1]})
    assert_same(model.loss_and_grads(**{**batch, "steps": np.arange(T) == T - 1}), last)


# Values and states.


@padding
@pytest.mark.parametrize(
    ("architecture", "tokens"),
    [(name, False) for name in ARCHITECTURES]
    + [(name, True) for name in ("vanilla", "rnn-rnn-linear", "deep", "bidirectional", *OF_TOKENS)],
)
def test_forward(architecture: str, padded: bool, tokens: bool, backend: str) -> None:
    model = make_model(architecture, backend=backend)
    batch = make_batch(model, padded=padded, tokens=tokens)
    out = model.forward(batch["x"], batch["h0"], batch["lengths"])
    y, h, h_last = naive_forward(model, batch)
    assert difference(out.y, y) < 1e-13
    assert difference(out.h, h) < 1e-13
    assert isinstance(out.h_last, tuple) == (architecture != "vanilla")
    for actual, expected in zip(as_states(out.h_last), h_last, strict=True):
        assert difference(actual, expected) < 1e-13
    top = as_states(out.h_last)[-1]
    cells = top.reshape(-1, *top.shape[-2:])
    if out.h.shape[2] == top.shape[-1]:
        np.testing.assert_array_equal(out.h[:, -1], cells[-1])
    else:  # both directions: the forward one ends at the last step, the reverse one at the first
        np.testing.assert_array_equal(out.h[:, -1, : top.shape[-1]], cells[-2])
        np.testing.assert_array_equal(out.h[:, 0, top.shape[-1] :], cells[-1])
    r = model.loss_and_grads(**batch)
    assert_same(as_states(r.h_last), as_states(out.h_last))


def test_calling_a_model_is_its_forward_from_zero(backend: str) -> None:
    for architecture in ARCHITECTURES:
        model = make_model(architecture, backend=backend)
        batch = make_batch(model)
        y = model(batch["x"])
        assert y.shape == (N, T, O)
        np.testing.assert_array_equal(y, model.forward(batch["x"]).y)
        zeros = tuple(np.zeros_like(state) for state in as_states(batch["h0"]))
        np.testing.assert_array_equal(y, model.forward(batch["x"], zeros[0] if architecture == "vanilla" else zeros).y)


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name not in BIDIRECTIONAL])
def test_two_halves_with_the_state_carried_are_one_run(architecture: str, backend: str) -> None:
    model = make_model(architecture, backend=backend)
    batch = make_batch(model)
    x, h0 = batch["x"], batch["h0"]
    whole, first = model.forward(x, h0), model.forward(x[:, :3], h0)
    second = model.forward(x[:, 3:], first.h_last)
    assert difference(np.concatenate([first.y, second.y], axis=1), whole.y) < 1e-14
    assert difference(np.concatenate([first.h, second.h], axis=1), whole.h) < 1e-14
    for actual, expected in zip(as_states(second.h_last), as_states(whole.h_last), strict=True):
        assert difference(actual, expected) < 1e-14


def test_gradients_of_two_halves_are_those_of_one_run(backend: str) -> None:
    """The loss stands in the second half; its ∂L/∂h0 is what the first half's backward starts from."""
    model = make_model(backend=backend)
    batch = make_batch(model)
    x, h0, target = batch["x"], batch["h0"], batch["target"]
    counted = np.arange(T) >= 3
    whole = model.loss_and_grads(x, target, h0=h0, steps=counted, inputs=True)
    carried = model.forward(x[:, :3], h0).h_last
    second = model.loss_and_grads(x[:, 3:], target[:, 3:], h0=carried, inputs=True)
    assert second.loss == pytest.approx(whole.loss, rel=1e-14)

    early = np.ascontiguousarray(x[:, :3].swapaxes(0, 1))
    _, _, trace = rnn.forward(model.params, early, h0)
    dx: Any
    dx, dh0, da, flow = rnn.backward(model.params, np.zeros((3, N, H)), trace, second.grads_h0)
    grads = {symbol: np.zeros_like(model.params[symbol]) for symbol in sr.RNN.cell.symbols}
    rnn.weight_grads(da, trace, slice(0, N), grads)
    for symbol, gradient in second.grads.items():
        assert difference(gradient + grads.get(symbol, 0), whole.grads[symbol]) < 1e-12
    assert difference(dh0, whole.grads_h0) < 1e-12
    assert difference(np.concatenate([dx.swapaxes(0, 1), second.grads_x], axis=1), whole.grads_x) < 1e-12
    assert (
        difference(np.concatenate([N * flow.row_norms.T, second.flow.per_sample], axis=1), whole.flow.per_sample)
        < 1e-12
    )


@architectures
@padding
def test_predict_gives_the_chosen_outputs(architecture: str, padded: bool, backend: str) -> None:
    model = make_model(architecture, backend=backend)
    batch = make_batch(model, padded=padded)
    x, options = batch["x"], {"h0": batch["h0"], "lengths": batch["lengths"]}
    y = model.forward(x, batch["h0"], batch["lengths"]).y
    ends = LENGTHS if padded else np.full(N, T)
    some, entries = (make_batch(model, steps)["steps"] for steps in ("mask (T,)", "mask (N, T)"))
    inside = entries & (np.arange(T) < ends[:, None])
    for steps, expected in [
        ("all", y),
        ("last", y[np.arange(N), ends - 1]),
        (some, y[:, some]),
        (entries, y[inside]),
        (np.ones((N, T), bool), y[np.arange(T) < ends[:, None]]),
    ]:
        actual = model.predict(x, steps, **options)
        assert difference(actual, expected) < 1e-14
    np.testing.assert_array_equal(model.predict(x, **options), model.predict(x, "all", **options))


# The flow.


@losses
@pytest.mark.parametrize("steps", ["all", "last"])
def test_flow_is_the_derivative_by_each_state(loss: str, steps: str, backend: str) -> None:
    """∂L/∂h_t by the complex step, with the network from step t on written out here."""
    model = make_model(loss=loss, backend=backend)
    batch = make_batch(model, steps)
    x, target, p = batch["x"], batch["target"], model.params
    h = model.forward(x, batch["h0"]).h
    r = model.loss_and_grads(**batch)

    def entry(t: int, h_t: Any) -> Any:
        y = h_t @ p["W_hy"].T + p["b_y"]
        at_t = target if steps == "last" else target[:, t]
        if loss == "mse":
            return ((y - at_t) ** 2).mean(axis=1).sum()
        return (np.log(np.exp(y).sum(axis=1)) - y[np.arange(N), at_t]).sum()

    def from_here(t: int, h_t: Any) -> Any:
        counted = [entry(t, h_t)]
        for s in range(t + 1, T):
            h_t = np.tanh(h_t @ p["W_hh"].T + x[:, s] @ p["W_xh"].T + p["b_h"])
            counted.append(entry(s, h_t))
        return counted[-1] / N if steps == "last" else sum(counted) / (N * T)

    for t in range(T):
        dh = complex_step(partial(from_here, t), h[:, t])
        assert r.flow.norms[t] == pytest.approx(np.linalg.norm(dh), rel=1e-12)
        np.testing.assert_allclose(r.flow.per_sample[:, t], N * np.linalg.norm(dh, axis=1), rtol=1e-12)
    assert r.flow.norms.shape == (T,)
    assert r.flow.norms.dtype == r.flow.per_sample.dtype == np.float64
    assert r.flow.flushed.tolist() == [0] * T


@dtypes
def test_flow_of_every_recurrent_layer(dtype: str, backend: str) -> None:
    model = make_model("rnn-rnn-linear", backend=backend, dtype=dtype)
    flow = model.loss_and_grads(**make_batch(model)).flow
    assert len(flow.layers) == 2
    assert flow.layers[-1] is flow.layers[1]
    np.testing.assert_array_equal(flow.norms, flow.layers[1].norms)
    np.testing.assert_array_equal(flow.per_sample, flow.layers[1].per_sample)
    np.testing.assert_array_equal(flow.flushed, flow.layers[1].flushed)
    for layer in flow.layers:
        assert layer.norms.dtype == np.float64
        np.testing.assert_allclose(N * layer.norms, np.sqrt((layer.per_sample**2).sum(axis=0)), rtol=1e-14)
    assert flow.layers[0].norms.all()
    model.params["1.W_xh"] = np.zeros((H, 8))  # now nothing reaches the lower layer
    flow = model.loss_and_grads(**make_batch(model)).flow
    assert not flow.layers[0].norms.any()
    assert flow.layers[1].norms.all()


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_flow_of_levels_is_that_of_layers(dropout: float, backend: str) -> None:
    """Two levels of one layer are two layers, bit for bit: outputs, states, gradients, flow; in training as well."""
    levels = sr.SequenceModel([sr.RNN(D, H, num_layers=2, dropout=dropout), sr.Linear(H, O)], backend=backend)
    between = [sr.Dropout(dropout)] if dropout else []
    layers = sr.SequenceModel([sr.RNN(D, H), *between, sr.RNN(H, H), sr.Linear(H, O)], backend=backend)
    layers.params.vector[:] = levels.params.vector
    batch = make_batch(levels, padded=True)
    (h0,) = batch["h0"]
    r = levels.loss_and_grads(**batch, inputs=True, rng=np.random.default_rng(1))
    batch["h0"] = (h0[0], h0[1])
    expected = layers.loss_and_grads(**batch, inputs=True, rng=np.random.default_rng(1))
    assert r.loss == expected.loss and len(r.flow.layers) == 2 and r.flow.directions == 1
    assert_same(r.grads.vector, expected.grads.vector)
    assert_same(r.grads_x, expected.grads_x)
    assert_same((*r.grads_h0[0], *r.h_last[0]), (*expected.grads_h0, *expected.h_last))
    for a, b in zip(r.flow.layers, expected.flow.layers, strict=True):
        assert_same(tuple(a), tuple(b))


@dtypes
def test_flow_of_two_directions(dtype: str, backend: str) -> None:
    """An entry for each; the top layer's is the root of the sum of their squares."""
    model = make_model("norm-dropout", backend=backend, dtype=dtype)
    flow = model.loss_and_grads(**make_batch(model)).flow
    assert len(flow.layers) == 3 and flow.directions == 2
    _, forward, reverse = flow.layers
    for name in ("norms", "per_sample"):
        expected = np.hypot(getattr(forward, name), getattr(reverse, name))
        np.testing.assert_allclose(getattr(flow, name), expected, rtol=1e-14)
    assert flow.flushed.tolist() == (forward.flushed + reverse.flushed).tolist()
    np.testing.assert_allclose(N * flow.norms, np.sqrt((flow.per_sample**2).sum(axis=0)), rtol=1e-14)
    assert "cells=3" in repr(flow)
    sizes = f"N={N}, T={T}, ‖∂L/∂h_t‖ {forward.norms[0]:.3g} at t=0, {forward.norms[-1]:.3g} at t={T - 1}"
    assert repr(forward) == f"LayerFlow({sizes})"
    model = make_model("deep-bidirectional", backend=backend, dtype=dtype)
    flow = model.loss_and_grads(**make_batch(model)).flow
    assert len(flow.layers) == 5 and flow.directions == 1
    assert_same(flow.norms, flow.layers[-1].norms)


def test_per_sample_flow_does_not_shrink_with_the_batch() -> None:
    model = make_model()
    batch = make_batch(model)
    twice = {key: np.concatenate([batch[key]] * 2) for key in ("x", "target", "h0")}
    once, doubled = model.loss_and_grads(**batch).flow, model.loss_and_grads(**twice).flow
    np.testing.assert_allclose(doubled.per_sample, np.concatenate([once.per_sample] * 2), rtol=1e-13)
    np.testing.assert_allclose(doubled.norms, once.norms / np.sqrt(2), rtol=1e-13)


# What may be handed in, and what comes back.


def test_inputs_in_any_form(backend: str) -> None:
    model = make_model(backend=backend)
    batch = make_batch(model)
    expected = model.loss_and_grads(**batch, inputs=True)
    x = batch["x"]
    reversed_twice = x[:, ::-1].copy()[:, ::-1]
    read_only = x.copy()
    read_only.flags.writeable = False
    time_major = np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1)
    swapped = x.astype(x.dtype.newbyteorder())
    for form in (np.asfortranarray(x), reversed_twice, read_only, time_major, swapped, x.tolist()):
        assert_same(model.loss_and_grads(**{**batch, "x": form}, inputs=True), expected)
    lists = {key: batch[key].tolist() for key in ("x", "target", "h0")}
    assert_same(model.loss_and_grads(**lists, inputs=True), expected)
    whole = np.rint(x)
    assert model.loss(**{**batch, "x": whole.astype(int)}) == model.loss(**{**batch, "x": whole})
    assert model.loss(**{**batch, "x": x > 0}) == model.loss(**{**batch, "x": (x > 0) * 1.0})


@architectures
def test_arguments_are_left_as_they_were(architecture: str, backend: str) -> None:
    model = make_model(architecture, backend=backend)
    for padded in (False, True):
        batch = make_batch(model, "mask (N, T)", padded=padded)
        batch["x"] = np.ascontiguousarray(batch["x"].swapaxes(0, 1)).swapaxes(0, 1)  # the form that is not copied
        before, weights = copy.deepcopy(batch), model.params.vector.tobytes()
        model.loss_and_grads(**batch, inputs=True)
        model.forward(batch["x"], batch["h0"], batch["lengths"])
        assert_same(batch, before)
        assert model.params.vector.tobytes() == weights


def test_results_belong_to_the_caller(backend: str) -> None:
    model = make_model(backend=backend)
    batch, other = make_batch(model), make_batch(model, seed=1)
    r, out = model.loss_and_grads(**batch, inputs=True), model.forward(batch["x"])
    kept = copy.deepcopy((r, out))
    model.loss_and_grads(**other, inputs=True)
    model.forward(other["x"])
    assert_same((r, out), kept)
    weights = model.params.vector.tobytes()
    for array in (r.grads.vector, r.grads_h0, r.grads_x, r.h_last, out.y, out.h):
        array[...] = np.nan
    assert model.params.vector.tobytes() == weights
    assert_same(model.loss_and_grads(**batch, inputs=True), kept[0])


def test_grads_have_the_type_of_params(backend: str) -> None:
    model = make_model("rnn-rnn-linear", backend=backend)
    grads = model.loss_and_grads(**make_batch(model)).grads
    assert isinstance(grads, sr.Parameters)
    assert grads.shapes == model.params.shapes
    assert list(grads) == ["0.W_xh", "0.W_hh", "0.b_h", "1.W_xh", "1.W_hh", "1.b_h", "2.W_hy", "2.b_y"]
    assert list(make_model(backend=backend).params) == ["W_xh", "W_hh", "b_h", "W_hy", "b_y"]


def test_two_threads_at_once(backend: str) -> None:
    """A model holds nothing but its parameters: calls from several threads give, bit for bit, what one gives alone."""
    model = make_model("rnn-rnn-linear", backend=backend)
    batches = [make_batch(model, rows=20, time=30, seed=seed) for seed in range(4)]
    expected = [model.loss_and_grads(**batch, inputs=True) for batch in batches]
    start, wrong = threading.Barrier(4), []

    def work(k: int) -> None:
        start.wait()
        for _ in range(10):
            try:
                assert_same(model.loss_and_grads(**batches[k], inputs=True), expected[k])
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]


# A model as an object.


def test_same_seed_same_weights_on_every_backend_and_dtype(backend: str) -> None:
    for architecture, make in ARCHITECTURES.items():
        weights = make(backend="numpy", seed=5).params.vector
        np.testing.assert_array_equal(make(backend=backend, seed=5).params.vector, weights)
        single = make(backend=backend, seed=5, dtype="float32").params.vector
        np.testing.assert_array_equal(single, weights.astype(np.float32))
        assert (make(backend=backend, seed=6).params.vector != weights).any(), architecture
        assert make(backend=backend, seed=5).backend == backend


def test_to_moves_in_place(backend: str) -> None:
    model = make_model("linear-rnn-linear", backend="numpy")
    batch, earlier, weights = make_batch(model), model.params, model.params.vector.copy()
    expected = model.loss_and_grads(**batch, inputs=True)
    assert model.to(backend) is model
    assert (model.backend, model.dtype) == (backend, np.float64)
    np.testing.assert_array_equal(model.params.vector, weights)
    assert_close(all_grads(model.loss_and_grads(**batch, inputs=True)), all_grads(expected), 1e-12)

    assert model.to(None, "float32") is model
    assert (model.backend, model.dtype) == (backend, np.float32)
    np.testing.assert_array_equal(model.params.vector, weights.astype(np.float32))
    assert_close(all_grads(model.loss_and_grads(**batch, inputs=True)), all_grads(expected), 1e-5)
    assert model.params.shapes == earlier.shapes
    assert model.to("numpy").dtype == np.float32
    np.testing.assert_array_equal(earlier.vector, weights)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@architectures
def test_copies_are_independent(copied: Any, architecture: str, backend: str) -> None:
    model = make_model(architecture, backend=backend, dtype="float32", loss="cross_entropy")
    batch = make_batch(model)
    expected = model.loss_and_grads(**batch, inputs=True)
    other = copied(model)
    assert type(other) is type(model)
    assert (other.backend, other.dtype, repr(other)) == (model.backend, model.dtype, repr(model))
    assert_same(other.loss_and_grads(**batch, inputs=True), expected)
    other.params.vector[:] = 0
    assert not any(array.any() for array in other.params.values())  # still views of its own vector
    assert_same(model.loss_and_grads(**batch, inputs=True), expected)


def test_print() -> None:
    assert str(sr.VanillaRNN(3, 6, 5, backend="numpy")) == (
        "VanillaRNN · loss mse · float64 on numpy\n"
        "  layer          output     parameter  shape   count\n"
        "  RNN(3 → 6)     (N, T, 6)  W_xh       (6, 3)     18\n"
        "                            W_hh       (6, 6)     36\n"
        "                            b_h        (6,)        6\n"
        "  Linear(6 → 5)  (N, T, 5)  W_hy       (5, 6)     30\n"
        "                            b_y        (5,)        5\n"
        "  total, all of them trained                      95"
    )
    text = str(make_model("rnn-rnn-linear", loss="cross_entropy", dtype="float32"))
    assert text.startswith("SequenceModel · loss cross_entropy · float32 on numpy\n")
    assert "1.W_hh     (6, 6)" in text
    assert text == make_model("rnn-rnn-linear", loss="cross_entropy", dtype="float32").summary()
    big = str(sr.VanillaRNN(1000, 2000, 10, backend="numpy", dtype="float32"))
    assert "2,000,000" in big and big.splitlines()[-1].endswith("6,022,010")


def test_sizes_are_readable() -> None:
    model = make_model()
    assert (model.input_size, model.hidden_size, model.output_size) == (D, H, O)
    model = make_model("linear-rnn-linear")
    assert (model.input_size, model.output_size) == (D, O)


def test_weights_are_assigned_in_place() -> None:
    model = make_model()
    W = model.params["W_hh"]
    model.params["W_hh"] = np.eye(H)
    np.testing.assert_array_equal(W, np.eye(H))
    np.testing.assert_array_equal(model.params.vector[H * D : H * D + H * H], np.eye(H).reshape(-1))
