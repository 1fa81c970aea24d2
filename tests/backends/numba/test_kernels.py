"""Numba: every kernel against the reference, the whole model against NumPy, and what the kernels promise besides."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers import (
    ARCHITECTURES,
    OF_TOKENS,
    all_grads,
    as_states,
    difference,
    make_batch,
    make_model,
    name_of,
    set_radius,
)
from kernel_checks import (
    KERNELS,
    STACKED_BACKWARD,
    STACKED_FORWARD,
    STACKED_SUMS,
    assert_kernel,
    assert_same,
    converted,
    unwritten,
)

import scratchrnn as sr
from scratchrnn import _numerics, _steps, losses, optimizers
from scratchrnn.backends import resolve
from scratchrnn.backends.numba import plan as numba_backend
from scratchrnn.backends.numba import products as numba_products
from scratchrnn.backends.numba import rnn as numba_rnn
from scratchrnn.backends.numba import workspace as numba_workspace
from scratchrnn.backends.numba.kernels.cpu import DEPTH, LANE_BYTES, TILE_ROWS
from scratchrnn.backends.numba.plan import NumbaBackend
from scratchrnn.backends.numba.table import KERNELS as TABLE
from scratchrnn.backends.numba.threads import pool
from scratchrnn.backends.numba.workspace import LIMIT, Workspace
from scratchrnn.backends.row_blocks import plan_with_gradients
from scratchrnn.gradients import clip
from scratchrnn.layers import embedding, layer_norm, linear, rnn

DTYPES: list[Any] = [np.dtype(np.float32), np.dtype(np.float64)]
TOLERANCE = {DTYPES[0]: 1e-5, DTYPES[1]: 1e-13}  # one call, normwise, against the text in float64

# (N, T, D, H, O): distinct; smallest; odd; more columns than a panel; more rows in the sums than a tile; few rows.
SHAPES = [(4, 7, 3, 6, 5), (1, 1, 1, 1, 1), (1, 9, 65, 33, 2), (3, 2, 5, 300, 7), (11, 25, 2, 9, 260), (5, 4, 9, 1, 3)]
SHAPES += [(1, 2, 70, 41, 9), (3, 1, 5, 37, 4)]

Case = tuple[str, tuple[Any, ...], dict[str, Any]]  # what it is, arguments, keyword arguments


class Arrays:
    """Arrays of one dtype from one source of randomness; float32 numbers, so that every dtype holds the same."""

    def __init__(self, dtype: np.dtype) -> None:
        self.rng = np.random.default_rng(5)
        self.dtype = dtype

    def __call__(self, *shape: int, scale: float = 1.0) -> Any:
        return self.rng.normal(0, scale, shape).astype(np.float32).astype(self.dtype)


def rnn_problems(new: Arrays) -> Iterator[tuple[str, dict[str, Any], Any, Any, Any]]:
    """What it is, parameters, x, first state, lengths."""
    for N, T, D, H, _ in SHAPES:
        params = {"W_xh": new(H, D, scale=0.5), "W_hh": new(H, H, scale=H**-0.5), "b_h": new(H, scale=0.5)}
        inputs = {"x": new(T, N, D), "tokens": new.rng.integers(D, size=(T, N))}
        for name, x in inputs.items():
            for lengths in (None, new.rng.integers(1, T + 1, size=N)):
                yield f"{name} {(N, T, D, H)} lengths={lengths}", params, x, new(N, H, scale=0.5), lengths


def rnn_forward_cases(new: Arrays) -> Iterator[Case]:
    for name, params, x, state, lengths in rnn_problems(new):
        yield name, (params, x, state), {"lengths": lengths}
        yield f"{name}, relu", (params, x, state), {"lengths": lengths, "nonlinearity": "relu"}
        yield f"{name}, zero state", (params, x, np.zeros_like(state)), {"lengths": lengths}


def rnn_backward_cases(new: Arrays) -> Iterator[Case]:
    for name, params, x, state, lengths in rnn_problems(new):
        _, _, trace = rnn.forward(params, x, state, lengths=lengths)
        dy = new(*trace.h[1:].shape)
        for inputs in (True, False):
            yield f"{name} inputs={inputs}", (params, dy, trace, new(*state.shape)), {"inputs": inputs}
        _, _, relu = rnn.forward(params, x, state, lengths=lengths, nonlinearity="relu")
        yield f"{name}, relu", (params, dy, relu, new(*state.shape)), {"nonlinearity": "relu"}
        yield f"{name}, zero dstate", (params, dy, trace, np.zeros_like(state)), {}
        yield f"{name}, dstate alone", (params, np.zeros_like(dy), trace, new(*state.shape)), {}


def stack_problems(new: Arrays) -> Iterator[tuple[str, dict[str, Any], Any, Any, dict[str, Any], dict[str, Any]]]:
    """What it is, parameters, x, first states, options of forward alone, and options of all."""
    for N, T, D, H, _ in SHAPES[:3]:
        for levels, bidirectional in ((2, False), (1, True), (3, True)):
            layer = sr.RNN(D, H, num_layers=levels, bidirectional=bidirectional)
            options = {**layer.options, "num_layers": levels, "bidirectional": bidirectional}
            params = {symbol: new(*shape, scale=0.5 * H**-0.5) for symbol, shape in layer.shapes().items()}
            for name, x in {"x": new(T, N, D), "tokens": new.rng.integers(D, size=(T, N))}.items():
                for lengths in (None, new.rng.integers(1, T + 1, size=N)):
                    state = new(*layer.state_shape(N), scale=0.5)
                    mask = new.rng.integers(3, size=(levels - 1, T, N, layer.output_size)).astype(new.dtype)
                    where = f"{name} {(N, T, D, H)} {levels} levels, bidirectional={bidirectional}, lengths={lengths}"
                    for drawn in ({}, {"mask": mask}) if levels > 1 else ({},):
                        yield where, params, x, state, {"lengths": lengths, **drawn}, options


def stack_forward_cases(new: Arrays) -> Iterator[Case]:
    for name, params, x, state, given, options in stack_problems(new):
        yield name, (params, x, state), given | options


def stack_backward_cases(new: Arrays) -> Iterator[Case]:
    for name, params, x, state, given, options in stack_problems(new):
        y, _, trace = STACKED_FORWARD(params, x, state, **given, **options)
        for inputs in (True, False):
            yield (
                f"{name} inputs={inputs}",
                (params, new(*y.shape), trace, new(*state.shape)),
                {"inputs": inputs} | options,
            )


def some_rows(N: int) -> Iterator[slice]:
    """All rows, and where there are several the first and the last half."""
    yield slice(0, N)
    if N > 1:
        yield slice(0, N // 2)
        yield slice(N // 2, N)


def rnn_weight_grads_cases(new: Arrays) -> Iterator[Case]:
    for name, params, x, state, lengths in rnn_problems(new):
        _, _, trace = rnn.forward(params, x, state, lengths=lengths)
        for rows in some_rows(x.shape[1]):
            yield f"{name} {rows}", (new(*trace.h[1:].shape), trace, rows, unwritten(params)), {}


def stack_weight_grads_cases(new: Arrays) -> Iterator[Case]:
    for name, params, x, state, given, options in stack_problems(new):
        _, _, trace = STACKED_FORWARD(params, x, state, **given, **options)
        da = tuple(new(*cell.h[1:].shape) for cell in trace.cells)
        one_way = {"bidirectional": options["bidirectional"]}
        for rows in some_rows(x.shape[1]):
            yield f"{name} {rows}", (da, trace, rows, unwritten(params)), one_way


def linear_weight_grads_cases(new: Arrays) -> Iterator[Case]:
    for N, T, _, H, O in SHAPES:
        for rows in some_rows(N):
            out = unwritten({"W_hy": new(O, H), "b_y": new(O)})
            yield f"{(N, T, H, O)} {rows}", (new(T, N, O), linear.Trace(new(T, N, H)), rows, out), {}


def layer_norm_weight_grads_cases(new: Arrays) -> Iterator[Case]:
    for name, params, x, options in layer_norm_problems(new):
        _, _, trace = layer_norm.forward(params, x, None, **options)
        for rows in some_rows(x.shape[1]):
            yield f"{name} {rows}", (new(*x.shape), trace, rows, unwritten(params)), {}


def scatter_cases(new: Arrays) -> Iterator[Case]:
    for N, T, _, H, _ in SHAPES:
        some = np.flatnonzero(new.rng.random(T) < 0.6)
        for index in (slice(T - 1, T), some, (new.rng.integers(T, size=N), np.arange(N))):
            K = len(some) if index is some else 1
            yield f"{(N, T, H)} {index}", (new(K, N, H), index, T, None), {}


def embedding_weight_grads_cases(new: Arrays) -> Iterator[Case]:
    for N, T, V, F, _ in SHAPES:
        x = new.rng.integers(V, size=(T, N))
        for rows in some_rows(N):
            out = {"E": np.full((V, F), np.nan, new.dtype)}
            yield f"{(N, T, V, F)} {rows}", (new(T, N, F), embedding.Trace(x), rows, out), {}
            view = new(N, T, F).swapaxes(0, 1)
            yield f"a view {(N, T, V, F)} {rows}", (view, embedding.Trace(x.copy("F")), rows, dict(out)), {}


def layer_norm_problems(new: Arrays) -> Iterator[tuple[str, dict[str, Any], Any, dict[str, Any]]]:
    """What it is, parameters, x, options."""
    for N, T, _, F, _ in SHAPES:
        params = {"gamma": new(F), "beta": new(F)}
        yield f"{(N, T, F)}", params, new(T, N, F), {}
        yield f"{(N, T, F)} eps", params, new(T, N, F), {"eps": 0.3}
        yield f"a view {(N, T, F)}", params, new(N, T, F).swapaxes(0, 1), {}
        yield f"all alike {(N, T, F)}", params, new(T, N, 1) + np.zeros(F, new.dtype), {}


def layer_norm_forward_cases(new: Arrays) -> Iterator[Case]:
    for name, params, x, options in layer_norm_problems(new):
        yield name, (params, x, None), options


def layer_norm_backward_cases(new: Arrays) -> Iterator[Case]:
    for name, params, x, options in layer_norm_problems(new):
        if x.shape[2] > 1 and "alike" not in name:  # where x̂ is 0 but for rounding, ∂L/∂x is that of rounding
            _, _, trace = layer_norm.forward(params, x, None, **options)
            for inputs in (True, False):
                given = params, new(*x.shape), trace, None
                yield f"{name} inputs={inputs}", given, {"inputs": inputs} | options


def linear_forward_cases(new: Arrays) -> Iterator[Case]:
    for N, T, _, H, O in SHAPES:
        params = {"W_hy": new(O, H), "b_y": new(O)}
        yield f"{(N, T, H, O)}", (params, new(T, N, H), None), {}
        yield f"a view {(N, T, H, O)}", (params, new(N, T, H).swapaxes(0, 1), None), {}


def linear_backward_cases(new: Arrays) -> Iterator[Case]:
    for N, T, _, H, O in SHAPES:
        params = {"W_hy": new(O, H), "b_y": new(O)}
        for inputs in (True, False):
            trace = linear.Trace(new(T, N, H))
            yield f"{(N, T, H, O)} inputs={inputs}", (params, new(T, N, O), trace, None), {"inputs": inputs}


def masks(new: Arrays, T: int, N: int) -> Iterator[tuple[str, Any]]:
    """No mask; one step of each row; half of the entries; half, cut from a wider mask."""
    yield "all", None
    yield "one step a row", np.arange(T)[:, None] == new.rng.integers(T, size=N)
    wide = new.rng.random((T, 2 * N + 1)) < 0.5
    yield "half", wide[:, :N].copy()
    yield "half, a view", wide[:, 1 : N + 1]


def mse_cases(new: Arrays) -> Iterator[Case]:
    for N, T, _, _, O in SHAPES:
        for name, mask in masks(new, T, N):
            target = new(T, N, O)
            if mask is not None:
                target[~mask] = np.nan
            yield f"{(N, T, O)} {name}", (new(T, N, O), target, 3 * N * T, mask), {}


def cross_entropy_cases(new: Arrays) -> Iterator[Case]:
    for N, T, _, _, O in SHAPES:
        for name, mask in masks(new, T, N):
            for scale in (1.0, 1e4):
                target = new.rng.integers(O, size=(T, N))
                if mask is not None:
                    target[~mask] = -99
                yield f"{(N, T, O)} {name} × {scale}", (new(T, N, O, scale=scale), target, 3 * N * T, mask), {}


def vector_norm_cases(new: Arrays) -> Iterator[Case]:
    scales = (1e-30, 1e30) if new.dtype == np.float32 else (1e-300, 1e-158, 1e155, 1e300)  # squares in part or all lost
    small, large = scales[0], scales[-1]
    for size in (1, 7, 1000):
        for scale in (1.0, *scales):
            yield f"{size} × {scale}", (new(size) * new.dtype.type(scale),), {}
    yield "one large", (np.array([small, large, small], new.dtype),), {}
    yield "zeros", (np.zeros(5, new.dtype),), {}
    yield "subnormal", (np.full(3, np.finfo(new.dtype).smallest_subnormal, new.dtype),), {}
    yield "nan", (np.array([1, np.nan, 2], new.dtype),), {}
    yield "inf", (np.array([1, -np.inf, 2], new.dtype),), {}


def part_norms_cases(new: Arrays) -> Iterator[Case]:
    for size in (1, 7, 1000):
        ends = np.unique(new.rng.integers(1, size + 1, 5))
        yield f"parts of {size}", (new(size), np.unique([*ends, size])), {}
    scale = 2.0**100 if new.dtype == np.float32 else 2.0**1000
    vector = np.array([3 / scale, 4 / scale, 0, 0, 0, scale, np.nan, 3, np.inf, 4], new.dtype)
    yield "each of its own scale", (vector, np.array([2, 5, 6, 7, 8, 9, 10])), {}


def shrink_cases(new: Arrays) -> Iterator[Case]:
    tiny = new.dtype.type(1e-30)
    for size in (1, 7, 1000):
        yield f"{size} above", (new(size), 5.0, 3.0), {}
        yield f"{size} below", (new(size), 3.0, 3.0), {}
    yield "a ratio that float32 cannot hold", (np.full(5, 1 / tiny, new.dtype), 1e30, 1e-10), {}
    yield "a view", (new(6, 9)[:, 2:5], 5.0, 3.0), {}
    yield "nan", (np.array([1, np.nan, 2], new.dtype), 5.0, 3.0), {}


def subtract_cases(new: Arrays) -> Iterator[Case]:
    for size in (1, 7, 1000):
        yield f"{size}", (new(size), new(size)), {}
    for wrong in (np.nan, np.inf, -np.inf):
        for place in (0, 40, 99):
            delta = new(100)
            delta[place] = wrong
            yield f"{wrong} at {place}", (new(100), delta), {}
    yield "the largest number", (new(9), np.full(9, np.finfo(new.dtype).max, new.dtype)), {}


def saturated_cases(new: Arrays) -> Iterator[Case]:
    for N, T, _, H, _ in SHAPES:
        edges = np.array([0.9989, -0.9989, 0.9991, -0.9991, 1.0, -1.0, 0.0, -0.0, 0.5, np.nan])
        h = new.rng.choice(edges, (T + 1, N, H)).astype(np.float32).astype(new.dtype)
        valid = np.arange(T)[:, None, None] < new.rng.integers(1, T + 1, (N, 1))
        for mask in (None, valid):
            for nonlinearity in ("tanh", "relu"):
                where = f"{(T, N, H)} {nonlinearity}, {'padded' if mask is valid else 'whole'}"
                yield where, (rnn.Trace(None, h, mask),), {"nonlinearity": nonlinearity}
                yield f"a view {where}", (rnn.Trace(None, h[:, ::-1], mask),), {"nonlinearity": nonlinearity}


def all_finite_cases(new: Arrays) -> Iterator[Case]:
    for shape in ((1,), (7, 5), (4, 9, 33)):
        yield f"{shape}", (new(*shape),), {}
        for wrong in (np.nan, np.inf, -np.inf, np.finfo(new.dtype).max):
            for place in {0, np.prod(shape) // 2, np.prod(shape) - 1}:
                a = new(*shape)
                a.reshape(-1)[place] = wrong
                yield f"{wrong} at {place} of {shape}", (a,), {}
                yield f"turned: {wrong} at {place} of {shape}", (a.swapaxes(0, -1),), {}
    largest = np.full((3, 4), np.finfo(new.dtype).max, new.dtype)
    yield "whose norm is beyond float64", (largest,), {}
    yield "and one is NaN", (np.where(np.eye(3, 4) * np.arange(4) == 2, np.nan, largest).astype(new.dtype),), {}
    holed = np.full((6, 8), np.nan, new.dtype)
    holed[::2, 1:5] = new(3, 4)
    yield "between what is not finite", (holed[::2, 1:5],), {}
    yield "and one more", (holed[::2, 1:6],), {}


def optimizer_cases(optimizer: Any) -> Callable[[Arrays], Iterator[Case]]:
    def cases(new: Arrays) -> Iterator[Case]:
        for size in (1, 7, 100):
            moments = {name: np.abs(new(size)) for name in optimizer.init(np.zeros(size))}
            for step in (1, 2, 1000):
                args = np.full(size, np.nan, new.dtype), new(size), moments, step
                yield f"{size} step {step}", args, optimizer._hyper()

    return cases


def sgd_cases(new: Arrays) -> Iterator[Case]:
    for optimizer in (optimizers.SGD(0.1), optimizers.SGD(0.1, momentum=0.7)):
        yield from optimizer_cases(optimizer)(new)


CASES: dict[Any, Callable[[Arrays], Iterator[Case]]] = {
    rnn.forward: rnn_forward_cases,
    rnn.backward: rnn_backward_cases,
    STACKED_FORWARD: stack_forward_cases,
    STACKED_BACKWARD: stack_backward_cases,
    STACKED_SUMS: stack_weight_grads_cases,
    rnn.weight_grads: rnn_weight_grads_cases,
    rnn.saturated: saturated_cases,
    embedding.weight_grads: embedding_weight_grads_cases,
    layer_norm.forward: layer_norm_forward_cases,
    layer_norm.backward: layer_norm_backward_cases,
    layer_norm.weight_grads: layer_norm_weight_grads_cases,
    linear.forward: linear_forward_cases,
    linear.backward: linear_backward_cases,
    linear.weight_grads: linear_weight_grads_cases,
    _steps.scatter: scatter_cases,
    losses.mse: mse_cases,
    losses.softmax_cross_entropy: cross_entropy_cases,
    _numerics.all_finite: all_finite_cases,
    clip.vector_norm: vector_norm_cases,
    clip.part_norms: part_norms_cases,
    clip.shrink: shrink_cases,
    optimizers.subtract: subtract_cases,
    optimizers.sgd: sgd_cases,
    optimizers.adagrad: optimizer_cases(optimizers.Adagrad(0.3, eps=1e-3)),
    optimizers.rmsprop: optimizer_cases(optimizers.RMSProp(0.3, decay=0.8, eps=1e-3)),
    optimizers.adam: optimizer_cases(optimizers.Adam(0.3, beta1=0.8, beta2=0.95, eps=1e-3)),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("text", KERNELS, ids=name_of)
def test_a_kernel_computes_what_the_reference_does(text: Callable[..., Any], dtype: np.dtype) -> None:
    for name, args, options in CASES[text](Arrays(dtype)):
        assert_kernel(text, args, options, dtype, TOLERANCE[dtype], name)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "text",
    [rnn.forward, rnn.backward, rnn.weight_grads, linear.forward, linear.backward, linear.weight_grads],
    ids=name_of,
)
def test_long_work_is_done_in_parts(text: Callable[..., Any], dtype: np.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that Ctrl-C never waits long: the same, however small the parts. (Single rows are summed in another order.)"""
    whole = [KERNELS[text](*args, **options) for _, args, options in CASES[text](Arrays(dtype))]
    parts = []
    spans = numba_products.spans

    def recorded(*of: int) -> Any:
        parts.append(spans(*of))
        return parts[-1]

    monkeypatch.setattr(numba_products, "MAX_OPS_PER_CALL", 1)
    for module in (numba_products, numba_rnn):
        monkeypatch.setattr(module, "spans", recorded)
    for expected, (name, args, options) in zip(whole, CASES[text](Arrays(dtype)), strict=True):
        assert_same(KERNELS[text](*args, **options), expected, expected, TOLERANCE[dtype], name)
    assert max(map(len, parts)) >= 2


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize(
    "optimizer",
    [optimizers.SGD(), optimizers.SGD(momentum=0.7), optimizers.Adagrad(), optimizers.RMSProp(), optimizers.Adam()],
    ids=str,
)
def test_a_step_may_take_the_place_of_the_gradient(optimizer: Any, backend: str) -> None:
    new = Arrays(DTYPES[1])
    grad, moments = new(100), {name: np.abs(new(100)) for name in optimizer.init(np.zeros(100))}
    delta, in_place = np.full(100, np.nan), grad.copy()
    optimizer.step(delta, grad, {name: m.copy() for name, m in moments.items()}, 3, resolve(backend))
    optimizer.step(in_place, in_place, moments, 3, resolve(backend))
    assert np.isfinite(delta).all() and np.array_equal(delta, in_place)


# The whole model.


def both(dtype: str, radius: float, hidden: int = 24, loss: str = "mse") -> tuple[Any, Any]:
    """The same network on Numba, in the dtype, and on NumPy in float64; float32 weights, so that both hold the same."""
    models = []
    for backend, dt in (("numba", dtype), ("numpy", "float64")):
        model = sr.VanillaRNN(5, hidden, 3, loss=loss, backend=backend, dtype=dt, seed=4)
        model.params.vector[:] = np.random.default_rng(1).normal(0, 0.4, model.params.vector.size)
        set_radius(model, radius)
        model.params.vector[:] = model.params.vector.astype(np.float32)
        models.append(model)
    return models[0], models[1]


@pytest.mark.parametrize("steps", ["all", "last"])
@pytest.mark.parametrize("radius", [0.5, 1.0, 1.5])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_long_sequences_agree_with_numpy(dtype: str, tolerance: float, radius: float, steps: str) -> None:
    """T = 200. A tensor that float32 cannot hold is compared as zero.

    In float32 this is one of the kinder batches: for ∂L/∂h0 at radius 1.5 others lie beyond 1e-5, see the next test.
    """
    numba, numpy = both(dtype, radius)
    batch = make_batch(numpy, steps, rows=20, time=200, seed=4)
    for name in ("x", "h0", "target"):
        batch[name] = batch[name].astype(np.float32)
    actual = numba.loss_and_grads(**batch, inputs=True)
    expected = numpy.loss_and_grads(**batch, inputs=True)
    assert actual.loss == pytest.approx(expected.loss, rel=tolerance)
    tensors = {**all_grads(actual), "h_last": actual.h_last, "per_sample": actual.flow.per_sample}
    for name, reference in {
        **all_grads(expected),
        "h_last": expected.h_last,
        "per_sample": expected.flow.per_sample,
    }.items():
        if np.abs(reference).max() < np.finfo(dtype).tiny:
            reference = np.zeros_like(reference)
        error = difference(tensors[name], reference)
        assert error <= tolerance, f"{name}: off by {error}"


def test_float32_over_several_batches() -> None:
    """∂L/∂h0 at radius 1.5 is a product of 200 factors, and how far float32 is off there is chance of the batch.

    No float32 keeps every batch below 1e-5: of forty, Numba's were off by 5.9e-6 in the median and 1.3e-5 at most, the
    text's own by 7.4e-6 and 7.8e-5. So Numba is held to what the text does, and its median to 1e-5.
    """
    numba, exact = both("float32", 1.5)
    text = sr.VanillaRNN(5, 24, 3, backend="numpy", dtype="float32")
    text.params.vector[:] = numba.params.vector
    errors: dict[Any, list[float]] = {numba: [], text: []}
    for seed in range(40):
        batch = make_batch(exact, "last", rows=20, time=200, seed=seed)
        for name in ("x", "h0", "target"):
            batch[name] = batch[name].astype(np.float32)
        reference = exact.loss_and_grads(**batch).grads_h0
        for model, errors_of_model in errors.items():
            errors_of_model.append(difference(model.loss_and_grads(**batch).grads_h0, reference))
    assert np.median(errors[numba]) <= 1e-5
    assert max(errors[numba]) <= max(1e-5, *errors[text])


def test_tanh() -> None:
    """Within 3 units in the last place everywhere, and within 1.2 from 0.8 on, where 1 − h² magnifies what is wrong."""
    rng = np.random.default_rng(0)
    for dtype in DTYPES:
        for low, high, units in ((-8, -0.1, 3.0), (-0.1, 2, 1.2)):
            a = (10 ** rng.uniform(low, high, (500, 64)) * rng.choice([-1, 1], (500, 64))).astype(dtype)
            params = {"W_xh": np.eye(64, dtype=dtype), "W_hh": np.zeros((64, 64), dtype), "b_h": np.zeros(64, dtype)}
            h, _, _ = KERNELS[rnn.forward](params, a[None], np.zeros_like(a))
            exact = np.tanh(a.astype(np.longdouble))
            off = np.abs(h[0] - exact) / np.spacing(np.abs(exact).astype(dtype))
            assert off.max() <= units, f"{dtype}: {float(off.max())} units for |a| in 10^{low} … 10^{high}"


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("steps", ["all", "last", "mask (T,)", "mask (N, T)"])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *OF_TOKENS])
def test_blocks_of_rows_of_every_layer_agree_with_numpy(
    architecture: str, steps: str, padded: bool, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba_backend, "MIN_WORK", 1)
    numba, numpy = (make_model(architecture, loss=loss, backend=backend) for backend in ("numba", "numpy"))
    batch = make_batch(numpy, steps, padded=padded, rows=26, time=9)
    inputs = batch["x"].ndim == 3
    actual, expected = (model.loss_and_grads(**batch, inputs=inputs) for model in (numba, numpy))
    assert actual.loss == pytest.approx(expected.loss, rel=1e-13)
    for name, reference in all_grads(expected).items():
        assert difference(all_grads(actual)[name], reference) <= 1e-12, name
    assert len(actual.flow.layers) == len(expected.flow.layers)
    for seen, reference in zip(actual.flow.layers, expected.flow.layers, strict=True):
        assert difference(seen.per_sample, reference.per_sample) <= 1e-12
        assert np.array_equal(seen.flushed, reference.flushed)
    assert difference(actual.flow.norms, expected.flow.norms) <= 1e-12
    for state, reference in zip(as_states(actual.h_last), as_states(expected.h_last), strict=True):
        assert difference(state, reference) <= 1e-13


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("steps", ["all", "last", "mask (T,)", "mask (N, T)"])
def test_blocks_of_rows_agree_with_numpy(steps: str, padded: bool, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_backend, "MIN_WORK", 1)
    numba, numpy = both("float64", 0.9, hidden=6, loss=loss)
    batch = make_batch(numpy, steps, padded=padded, rows=26, time=9)
    assert len(NumbaBackend().split_rows(26, numpy.params.vector.size * 26 * 9)) == 26 // TILE_ROWS > 2
    actual = numba.loss_and_grads(**batch, inputs=True)
    expected = numpy.loss_and_grads(**batch, inputs=True)
    assert actual.loss == pytest.approx(expected.loss, rel=1e-14)
    for name, reference in all_grads(expected).items():
        assert difference(all_grads(actual)[name], reference) <= 1e-13, name
    assert difference(actual.flow.norms, expected.flow.norms) <= 1e-13
    assert np.array_equal(actual.flow.flushed, expected.flow.flushed)


def test_blocks_are_cut_by_shape() -> None:
    cut, enough = NumbaBackend().split_rows, numba_backend.MIN_WORK
    for rows in range(1, 300):
        blocks = cut(rows, 100 * enough)
        sizes = [block.stop - block.start for block in blocks]
        assert sum(sizes) == rows and blocks[0].start == 0
        assert all(before.stop == after.start for before, after in zip(blocks, blocks[1:], strict=False))
        assert len(blocks) == max(1, min(8, rows // TILE_ROWS)) and max(sizes) - min(sizes) <= TILE_ROWS
        assert all(block.start % TILE_ROWS == 0 for block in blocks) and sizes[-1] - sizes[0] < TILE_ROWS
    assert [len(cut(64, work)) for work in (1, enough, 2 * enough - 1, 2 * enough, 3 * enough)] == [1, 1, 1, 2, 3]


def together(rows: int, weights: int, threads: int, monkeypatch: pytest.MonkeyPatch, row: int = 1) -> list[int]:
    """How many rows run as one, each time."""
    monkeypatch.setattr(pool, "size", threads)
    backend = NumbaBackend()
    blocks = backend.split_rows(rows, 8 * numba_backend.MIN_WORK)
    runs = backend.group_blocks(blocks, weights, row)
    assert [i for run in runs for i in run] == list(range(len(blocks)))
    return [blocks[run[-1]].stop - blocks[run[0]].start for run in runs]


def test_a_thread_runs_its_blocks_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many, near = numba_backend.L2_BYTES, numba_backend.L2_BYTES + 1, numba_backend.L3_BYTES
    R = TILE_ROWS
    assert together(4 * R, few, 1, monkeypatch) == [4 * R]
    assert together(4 * R, few, 2, monkeypatch) == [2 * R] * 2
    assert together(4 * R, few, 4, monkeypatch) == together(4 * R, few, 9, monkeypatch) == [R] * 4
    assert together(8 * R, few, 1, monkeypatch, row=near // (4 * R)) == [4 * R] * 2
    assert together(8 * R, few, 2, monkeypatch, row=near // (4 * R)) == [4 * R] * 2
    assert together(8 * R, few, 2, monkeypatch, row=near // (2 * R)) == [2 * R] * 4
    assert together(8 * R, many, 1, monkeypatch, row=near // (2 * R)) == [8 * R]
    assert together(16 * R, many, 1, monkeypatch) == [8 * R] * 2
    assert together(512 * R, many, 3, monkeypatch) == [64 * R] * 8
    assert together(4 * R - 1, few, 2, monkeypatch) == [2 * R, 2 * R - 1]
    in_turns = [5 * R, 3 * R, 2 * R] * 2  # 10 tiles for each of the two
    assert together(20 * R, few, 2, monkeypatch, row=near // (4 * R)) == in_turns
    assert together(8 * R, many, 1, monkeypatch, row=LIMIT // (2 * R)) == [2 * R] * 4
    assert together(8 * R, many, 1, monkeypatch, row=2 * LIMIT) == [R] * 8


@pytest.mark.parametrize("bidirectional", [False, True])
def test_what_a_row_leaves_behind(bidirectional: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = sr.SequenceModel([sr.RNN(3, 8, bidirectional=bidirectional), sr.Linear(8 + 8 * bidirectional, 2)])
    seen = []

    def alone(blocks: list[slice], weights: int, row: int) -> list[range]:
        seen.append((weights, row))
        return [range(i, i + 1) for i in range(len(blocks))]

    monkeypatch.setattr(model.device, "group_blocks", alone)
    monkeypatch.setattr(model.device, "split_rows", lambda rows, work: [slice(0, 4), slice(4, 8)])
    plan_with_gradients(model.device, model.params, 5, 8, None, model.network.directions)
    numbers = 2 * 3 * 5 * (16 + 2) if bidirectional else 3 * 5 * (8 + 2)  # states, ∂L/∂h, ∂L/∂a; copies besides
    assert seen == [(8 * model.params.vector.size, 8 * numbers)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sizes", ["odd", "a panel", "least", "several panels"])
@pytest.mark.parametrize("of_tokens", [False, True])
@pytest.mark.parametrize("text", [f for f in TABLE if f.__name__ == "weight_grads"], ids=name_of)
def test_a_block_of_rows_has_the_same_gradients_beside_others(
    text: Callable[..., Any], of_tokens: bool, sizes: str, dtype: np.dtype
) -> None:
    """To the bit, with other blocks or alone: sums of more and of fewer rows than are packed at once."""
    width = 2 * LANE_BYTES // dtype.itemsize
    D, H = {"odd": (3, 40), "a panel": (width, width), "least": (1, 5), "several panels": (2 * width + 1, 3 * width)}[
        sizes
    ]
    N, T = 3 * TILE_ROWS + 5, 2 * DEPTH // TILE_ROWS + 3
    blocks = [slice(0, TILE_ROWS), slice(TILE_ROWS, 2 * TILE_ROWS), slice(2 * TILE_ROWS, N)]
    new = Arrays(dtype)
    layer = name_of(text).partition(".")[0]
    params: dict[str, Any] = {
        "rnn": {"W_xh": new(H, D), "W_hh": new(H, H, scale=H**-0.5), "b_h": new(H)},
        "linear": {"W_hy": new(H, D), "b_y": new(H)},
        "layer_norm": {"gamma": new(H), "beta": new(H)},
        "embedding": {"E": new(D, H)},
    }[layer]
    h, x, deviation = np.tanh(new(T + 1, N, H)), new(T, N, D), 1 + new(T, N, 1) ** 2
    tokens = new.rng.integers(D, size=(T, N))
    da, dstate = new(T, N, H), new(N, H)

    def own(a: Any, rows: slice) -> Any:
        return np.ascontiguousarray(a[:, rows])

    def trace_of(rows: slice) -> Any:
        """The trace of these rows by themselves."""
        return {
            "rnn": rnn.Trace(own(tokens if of_tokens else x, rows), own(h, rows), None),
            "linear": linear.Trace(own(x, rows)),
            "layer_norm": layer_norm.Trace(own(h, rows)[1:], own(deviation, rows)),
            "embedding": embedding.Trace(own(tokens, rows)),
        }[layer]

    def back(rows: slice) -> Any:
        """∂L/∂x and the error signals of these rows by themselves."""
        backward = TABLE.get({"rnn": rnn, "linear": linear, "layer_norm": layer_norm}.get(layer, embedding).backward)
        if backward is None:
            return None, own(da, rows)
        state = dstate[rows] if layer == "rnn" else None
        return backward(params, own(da, rows), trace_of(rows), state)[::2]

    dx, signals = back(slice(0, N))
    for rows in blocks:
        beside, alone = unwritten(params), unwritten(params)
        dx_alone, signals_alone = back(rows)
        KERNELS[text](signals, trace_of(slice(0, N)), rows, beside)
        KERNELS[text](signals_alone, trace_of(rows), slice(0, rows.stop - rows.start), alone)
        assert all(np.isfinite(array).all() for array in alone.values())
        assert_same(beside, alone, alone, 0.0, f"rows {rows}")
        assert np.array_equal(signals[:, rows], signals_alone)
        if dx is not None:
            assert np.array_equal(dx[:, rows], dx_alone)


# What the kernels promise besides.


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tanh_is_accurate_to_a_few_units_in_the_last_place(dtype: np.dtype) -> None:
    magnitudes = np.concatenate([np.linspace(0, 25, 30001), np.logspace(-12, 1.3, 30001)]).astype(dtype)
    a = np.concatenate([magnitudes, -magnitudes])
    expected = np.tanh(a.astype(np.longdouble))
    h = tanh_of(a)
    units = np.abs(h - expected) / np.spacing(np.abs(expected).astype(dtype)).astype(np.longdouble)
    assert units.max() < 3
    assert np.abs(h).max() == 1
    special = np.array([np.nan, np.inf, -np.inf, 0.0, 800.0], dtype)
    assert np.array_equal(tanh_of(special), np.array([np.nan, 1, -1, 0, 1], dtype), equal_nan=True)


def tanh_of(a: np.ndarray) -> np.ndarray:
    """tanh as the recurrence computes it: one step of one unit with W_xh = 1 and nothing else."""
    one, nothing = np.ones((1, 1), a.dtype), np.zeros((1, 1), a.dtype)
    params = {"W_xh": one, "W_hh": nothing, "b_h": nothing[0]}
    return KERNELS[rnn.forward](params, a[None, :, None], np.zeros((len(a), 1), a.dtype))[0].reshape(-1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_comes_through(dtype: np.dtype, bad: float) -> None:
    """One bad input of one row reaches the loss and every later state of that row, and no other row."""
    N, T, D, H, O = 5, 6, 3, 17, 2
    new = Arrays(dtype)
    params = {"W_xh": new(H, D), "W_hh": new(H, H, scale=0.3), "b_h": new(H)}
    out = {"W_hy": new(O, H), "b_y": new(O)}
    x = new(T, N, D)
    x[2, 3, 1] = bad
    h, _, trace = KERNELS[rnn.forward](params, x, new(N, H))
    with np.errstate(all="ignore"):
        text, _, _ = rnn.forward(params, x, trace.h[0])
    assert np.array_equal(np.isnan(h), np.isnan(text))
    assert np.isnan(h[2:, 3]).all() == np.isnan(bad) and np.isfinite(np.delete(h, 3, axis=1)).all()

    y = new(T, N, O)
    y[2, 3, 1] = bad
    losses_at = {
        losses.mse: new(T, N, O),
        losses.softmax_cross_entropy: np.zeros((T, N), dtype=int),
    }
    for text_loss, target in losses_at.items():
        with np.errstate(all="ignore"):
            expected, _ = text_loss(y, target, N * T)
        shares, dy = KERNELS[text_loss](y, target, N * T)
        assert np.isfinite(np.delete(shares, 3)).all()
        if np.isfinite(expected[3]):
            assert shares == pytest.approx(expected, rel=1e-5)
        else:
            assert not np.isfinite(shares[3])
        assert np.isfinite(np.delete(dy, 3, axis=1)).all()
        if np.isnan(bad):
            assert np.isnan(shares[3])
    dy = new(T, N, O)
    dy[2, 3, 1] = bad
    dh, _, signals, _ = KERNELS[linear.backward](out, dy, linear.Trace(h), None)
    grads = unwritten(out)
    KERNELS[linear.weight_grads](signals, linear.Trace(h), slice(0, N), grads)
    assert not np.isfinite(dh[2, 3]).any() and not np.isfinite(grads["b_y"][1])
    dx, dstate, da, flow = KERNELS[rnn.backward](params, np.where(np.isnan(dh), bad, dh), trace, new(N, H))
    grads = unwritten(params)
    KERNELS[rnn.weight_grads](da, trace, slice(0, N), grads)
    assert not np.isfinite(flow.row_norms[2, 3]) and np.isfinite(np.delete(flow.row_norms, 3, axis=1)).all()
    assert not np.isfinite(dstate[3]).any() and not np.isfinite(grads["W_hh"]).any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rows", [2, 12])
def test_what_is_not_finite_comes_through_a_relu(dtype: np.dtype, rows: int) -> None:
    new = Arrays(dtype)
    params = {"W_xh": new(17, 3), "W_hh": new(17, 17), "b_h": new(17)}
    x = new(6, rows, 3)
    x[1, 0, 1], x[2, 1, 0] = np.nan, np.inf
    with np.errstate(all="ignore"):
        text, _, _ = rnn.forward(params, x, new(rows, 17) * 0, nonlinearity="relu")
    h, _, _ = KERNELS[rnn.forward](params, x, new(rows, 17) * 0, nonlinearity="relu")
    assert np.isnan(h[1:, 0]).all() and np.array_equal(np.isnan(h), np.isnan(text))
    assert np.array_equal(np.isinf(h), np.isinf(text)) and np.isfinite(h[:, 2:]).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_subnormal_derivatives_are_flushed_and_counted(dtype: np.dtype) -> None:
    """A decay by exactly a half at each step: after the smallest normal number nothing is left, as in the text."""
    N, T, H = 3, 12, 5
    params = {"W_xh": np.zeros((H, 1), dtype), "W_hh": np.eye(H, dtype=dtype) / 2, "b_h": np.zeros(H, dtype)}
    x, tiny = np.zeros((T, N, 1), dtype), np.finfo(dtype).tiny
    _, _, trace = rnn.forward(params, x, np.zeros((N, H), dtype))
    dstate = tiny * np.array([[1, 2, 4, 8, 0]] * N, dtype) * np.array([[1], [4], [16]], dtype)
    dy = np.zeros((T, N, H), dtype)
    text = rnn.backward(params, dy, trace, dstate)
    actual = KERNELS[rnn.backward](params, dy, trace, dstate)
    assert text[3].flushed.sum() == 4 * N  # each entry that is not 0 crosses the line once
    assert np.array_equal(actual[3].flushed, text[3].flushed)
    assert np.array_equal(actual[3].row_norms > 0, text[3].row_norms > 0)
    assert np.array_equal(actual[1], text[1]) and not actual[1].any()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_derivative_may_be_one_array_for_all_steps(dtype: np.dtype) -> None:
    """Rows of memory that every step shares give the same bits as an array over all steps."""
    new = Arrays(dtype)
    for name, params, x, state, lengths in rnn_problems(new):
        _, _, trace = KERNELS[rnn.forward](params, x, state, lengths=lengths)
        dstate, shape = new(*state.shape), trace.h[1:].shape
        for shared in (new(*state.shape), dtype.type(0), dtype.type(0.5)):
            dy = np.broadcast_to(shared, shape)
            expected = KERNELS[rnn.backward](params, dy.copy(order="C"), trace, dstate)
            actual = KERNELS[rnn.backward](params, dy, trace, dstate)
            assert_same(actual, expected, expected, 0.0, name)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("text", [rnn.backward, STACKED_BACKWARD], ids=name_of)
@pytest.mark.parametrize("patience", [numba_products.MAX_OPS_PER_CALL, 1], ids=["in one", "in parts"])
def test_in_a_workspace_the_derivative_is_overwritten(
    text: Callable[..., Any], patience: int, dtype: np.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """∂L/∂a takes the place of a ∂L/∂h that is workspace memory, with the same bits as where that is left alone."""
    kernel, here = KERNELS[text], Workspace()
    monkeypatch.setattr(numba_workspace, "workspace", lambda: here)
    monkeypatch.setattr(numba_products, "MAX_OPS_PER_CALL", patience)
    with here:
        here.empty((1 << 20,), dtype)
    for name, args, options in CASES[text](Arrays(dtype)):
        params, dy, trace, dstate = converted(args, dtype)
        expected = kernel(params, dy, trace, dstate, **options)
        with here:
            given = here.empty(dy.shape, dtype)
            given[...] = dy
            actual = copy.deepcopy(kernel(params, given, trace, dstate, **options))
            spent = not np.array_equal(given, dy)
        assert_same(actual, expected, expected, 0.0, name)
        assert spent or text is STACKED_BACKWARD or dy.size == 1  # a stack copies the halves of two directions


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_last_step_alone_is_a_mask_of_it(backend: str, num_layers: int, bidirectional: bool) -> None:
    """steps="last" hands its derivative to the last state, where that is the last step's; a mask goes the long way."""
    new = Arrays(np.dtype(float))
    rnn_layer = sr.RNN(3, 6, num_layers=num_layers, bidirectional=bidirectional)
    model = sr.SequenceModel([rnn_layer, sr.Linear(rnn_layer.output_size, 2)], backend=backend)
    x, target, h0 = new(5, 7, 3), new(5, 7, 2), (new(*rnn_layer.state_shape(5)),)
    for h in (None, h0):
        actual = model.loss_and_grads(x, target[:, -1], h, "last", inputs=True)
        expected = model.loss_and_grads(x, target, h, np.arange(7) == 6, inputs=True)
        assert actual.loss == expected.loss
        for a, b in (
            (actual.grads.vector, expected.grads.vector),
            (actual.grads_h0[0], expected.grads_h0[0]),
            (actual.grads_x, expected.grads_x),
            (actual.flow.per_sample, expected.flow.per_sample),
        ):
            assert a.any() and np.array_equal(a, b)


def test_layout_and_flags_compile_nothing_new(rng: np.random.Generator) -> None:
    """Transposed views, column slices and read-only arrays give the same bits from the same compiled kernels."""
    numba, _ = both("float64", 1.0)
    x, h0, target = rng.normal(size=(6, 7, 5)), rng.normal(size=(6, 24)), rng.normal(size=(6, 7, 3))
    expected = numba.loss_and_grads(x, target, h0=h0)
    modules = [m for name, m in sys.modules.items() if name.startswith("scratchrnn.backends.numba.kernels.")]
    kernels = [k for module in modules for k in vars(module).values() if hasattr(k, "signatures")]
    compiled = [len(kernel.signatures) for kernel in kernels]
    assert sum(compiled) > 5

    def awkward(a: np.ndarray) -> np.ndarray:
        a = np.asfortranarray(np.repeat(a, 2, axis=-1))[..., ::2]
        a.flags.writeable = False
        return a

    def time_major(a: np.ndarray) -> np.ndarray:
        a = np.ascontiguousarray(a.swapaxes(0, 1))
        a.flags.writeable = False
        return a.swapaxes(0, 1)

    for change in (awkward, time_major):
        actual = numba.loss_and_grads(change(x), change(target), h0=awkward(h0))
        assert np.array_equal(actual.grads.vector, expected.grads.vector)
    assert [len(kernel.signatures) for kernel in kernels] == compiled
