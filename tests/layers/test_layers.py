"""Every layer: forward against the chapter's equations, backward and tangent against the complex step."""

from __future__ import annotations

import copy
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import LENGTHS, D, H, N, O, T, assert_close, assert_same, complex_step, difference, naive_layer

import scratchrnn as sr
from scratchrnn._numerics import reverse_time
from scratchrnn.layers import dropout, rnn
from scratchrnn.layers.rnn import flush_subnormals

LAYERS: dict[str, Any] = {  # the quick ones first
    "linear": sr.Linear(H, O),
    "embedding": sr.Embedding(D, H),
    "layer_norm": sr.LayerNorm(H),
    "layer_norm eps": sr.LayerNorm(H, eps=0.5),
    "dropout": sr.Dropout(0.3, size=H),
    "no dropout": sr.Dropout(0, size=H),
    "rnn": sr.RNN(D, H),
    "relu": sr.RNN(D, H, nonlinearity="relu"),
    "bidirectional": sr.RNN(D, H, bidirectional=True),
    "deep": sr.RNN(D, H, num_layers=3),
    "deep dropout": sr.RNN(D, 4, num_layers=4, dropout=0.3),
    "deep bidirectional": sr.RNN(D, H, num_layers=2, bidirectional=True),
    "deep bidirectional relu dropout": sr.RNN(D, 4, num_layers=3, bidirectional=True, nonlinearity="relu", dropout=0.3),
}
RECURRENT = [name for name, layer in LAYERS.items() if layer.recurrent]


class Problem:
    """A layer with random parameters, inputs, and derivatives and directions of everything; all time-major."""

    def __init__(self, name: str, padded: bool = False, tokens: bool = False, dtype: Any = np.float64) -> None:
        self.layer = LAYERS[name]
        rng = np.random.default_rng(3)

        def normal(*shape: int, scale: float = 1.0) -> Any:
            return rng.normal(0, scale, shape).astype(dtype)

        shapes = self.layer.shapes()
        self.params = {symbol: normal(*shape, scale=0.4) for symbol, shape in shapes.items()}
        self.x = normal(T, N, self.layer.input_size)
        tokens |= not self.layer.takes_vectors
        if tokens:
            self.x = rng.integers(self.layer.input_size, size=(T, N))
        self.lengths = LENGTHS if padded else None
        states: list[Any] = [None] * 3
        if self.layer.recurrent:
            states = [normal(*self.layer.state_shape(N)) for _ in range(3)]
        self.state, self.dstate, self.moved_state = states
        self.dy = normal(T, N, self.layer.output_size)
        self.moved_params = {symbol: normal(*shape) for symbol, shape in shapes.items()}
        self.moved_x: Any = None if tokens else normal(T, N, self.layer.input_size)
        self.noise = self.layer.draw_mask(rng, T, N, dtype) if self.layer.draw_mask else None

    @property
    def functions(self) -> Any:
        """Those of the layer, its options in place."""
        return self.layer.functions(lambda function: function)

    def forward(self, params: Any = None, x: Any = None, state: Any = None) -> Any:
        """The layer's forward with some arguments replaced."""
        params = self.params if params is None else params
        x, state = self.x if x is None else x, self.state if state is None else state
        drawn = {} if self.noise is None else {"mask": self.noise}
        return self.functions.forward(params, x, state, lengths=self.lengths, **drawn)

    def backward(self, trace: Any = None, **inputs: Any) -> Any:
        """The layer's backward after its forward, with the gradients of the parameters for the error signals."""
        trace = self.forward()[2] if trace is None else trace
        dx, dstate, da, flow = self.functions.backward(self.params, self.dy, trace, self.dstate, **inputs)
        grads = {symbol: np.full_like(array, np.nan) for symbol, array in self.params.items()}
        self.functions.weight_grads(da, trace, slice(0, N), grads)
        return dx, dstate, grads, flow

    def tangent(self, params: Any = None, x: Any = None, state: Any = None) -> Any:
        """The layer's tangent along its forward, with everything moved or what is given."""
        params = self.moved_params if params is None else params
        x, state = self.moved_x if x is None else x, self.moved_state if state is None else state
        return self.functions.tangent(self.params, self.forward()[2], params, x, state)

    def complex(self) -> Any:
        """The same problem in complex numbers."""
        other = copy.copy(self)
        other.params = {symbol: array.astype(complex) for symbol, array in self.params.items()}
        other.x = self.x if self.x.ndim == 2 else self.x.astype(complex)
        other.state = None if self.state is None else self.state.astype(complex)
        return other

    def functional(self, **replaced: Any) -> Any:
        """Σ dy·y + Σ dstate·state, whose gradients are what backward computes."""
        y, state, _ = self.forward(**replaced)
        return (self.dy * y).sum() + (0 if state is None else (self.dstate * state).sum())


PROBLEMS = [(name, padded, False) for name in LAYERS for padded in (False, True)]
PROBLEMS += [(name, padded, True) for name in RECURRENT for padded in (False, True)]


@pytest.fixture(params=PROBLEMS, ids=lambda p: p[0] + " lengths" * p[1] + " tokens" * p[2])
def problem(request: pytest.FixtureRequest) -> Problem:
    return Problem(*request.param)


def test_forward_is_the_naive_rewrite(problem: Problem) -> None:
    y, state, _ = problem.forward()
    x = np.eye(D)[problem.x] if problem.x.ndim == 2 and problem.layer.takes_vectors else problem.x
    naive_y, naive_state = naive_layer(
        problem.layer, problem.params, x.swapaxes(0, 1), problem.state, problem.lengths, problem.noise
    )
    assert difference(y.swapaxes(0, 1), naive_y) < 1e-14
    if problem.state is not None:
        assert difference(state, naive_state) < 1e-14


def test_backward_is_the_complex_step(problem: Problem) -> None:
    dx, dstate, grads, _ = problem.backward()
    z = problem.complex()

    def functional_of_param(symbol: str, array: Any) -> Any:
        return z.functional(params={**z.params, symbol: array})

    expected = {
        symbol: complex_step(partial(functional_of_param, symbol), array) for symbol, array in problem.params.items()
    }
    actual = dict(grads)
    if problem.x.ndim == 3:
        expected["x"], actual["x"] = complex_step(lambda x: z.functional(x=x), problem.x), dx
    else:
        assert dx is None
    if problem.state is not None:
        expected["state"], actual["state"] = complex_step(lambda s: z.functional(state=s), problem.state), dstate
    assert_close(actual, expected, 1e-14)


def test_tangent_is_the_complex_step(problem: Problem) -> None:
    dy, dstate = problem.tangent()
    i = 1e-30j
    y, state, _ = problem.forward(
        params={symbol: array + i * problem.moved_params[symbol] for symbol, array in problem.params.items()},
        x=problem.x if problem.moved_x is None else problem.x + i * problem.moved_x,
        state=None if problem.state is None else problem.state + i * problem.moved_state,
    )
    assert difference(dy, y.imag / 1e-30) < 1e-14
    if problem.state is not None:
        assert difference(dstate, state.imag / 1e-30) < 1e-14


@pytest.mark.parametrize("moved", ["all", "params", "x", "state"])
def test_backward_is_the_adjoint_of_tangent(problem: Problem, moved: str) -> None:
    """⟨dL, J·v⟩ = ⟨Jᵀ·dL, v⟩, also along the parameters, the input or the state alone."""
    dx, dstate, grads, _ = problem.backward()
    tangent_of = {
        name: array if moved in ("all", "params") else 0 * array for name, array in problem.moved_params.items()
    }
    moved_x, moved_state = problem.moved_x, problem.moved_state
    if moved_x is not None and moved not in ("all", "x"):
        moved_x = 0 * moved_x
    if moved_state is not None and moved not in ("all", "state"):
        moved_state = 0 * moved_state
    y_moved, state_moved = problem.tangent(tangent_of, moved_x, moved_state)

    down = [(problem.dy * y_moved).sum()]
    up = [(grads[symbol] * tangent_of[symbol]).sum() for symbol in grads]
    if problem.state is not None:
        down.append((problem.dstate * state_moved).sum())
        up.append((dstate * moved_state).sum())
    if moved_x is not None:
        up.append((dx * moved_x).sum())
    assert sum(down) == pytest.approx(sum(up), rel=1e-12, abs=1e-13)


def test_without_inputs_only_dx_is_missing(problem: Problem) -> None:
    dx, dstate, grads, flow = problem.backward()
    none, dstate_only, grads_only, flow_only = problem.backward(inputs=False)
    assert none is None
    assert_same((dstate, grads, flow), (dstate_only, grads_only, flow_only))


def test_a_layer_may_run_again_before_its_backward(problem: Problem) -> None:
    once = problem.backward()
    _, _, trace = problem.forward()
    problem.forward(x=problem.x[::-1].copy())
    assert_same(problem.backward(trace), once)


@pytest.mark.parametrize("name", LAYERS)
def test_float32_stays_float32(name: str) -> None:
    double, single = Problem(name), Problem(name, dtype=np.float32)
    for expected, actual in [
        (double.forward()[:2], single.forward()[:2]),
        (double.backward()[:2], single.backward()[:2]),
        (tuple(double.backward()[2].values()), tuple(single.backward()[2].values())),
        (double.tangent(), single.tangent()),
    ]:
        for e, a in zip(expected, actual, strict=True):
            if e is not None:
                assert a.dtype == np.float32
                assert difference(a, e) < 1e-5


def test_arguments_are_left_as_they_were(problem: Problem) -> None:
    before = copy.deepcopy(vars(problem))
    problem.forward()
    problem.backward()
    problem.tangent()
    assert_same(vars(problem), before)


# The recurrent layer.


@pytest.mark.parametrize("padded", [False, True], ids=["full", "lengths"])
@pytest.mark.parametrize("name", RECURRENT)
def test_tokens_are_one_hot_vectors(name: str, padded: bool) -> None:
    tokens = Problem(name, padded, tokens=True)
    one_hot = Problem(name, padded, tokens=True)
    one_hot.x = np.eye(D)[tokens.x]
    assert len(np.unique(tokens.x)) < tokens.x.size  # some token comes more than once
    assert_same(tokens.forward()[:2], one_hot.forward()[:2])
    _, dstate, grads, flow = tokens.backward()
    _, dstate_1, grads_1, flow_1 = one_hot.backward()
    assert_close({**grads, "state": dstate}, {**grads_1, "state": dstate_1}, 1e-15)
    assert_same(flow, flow_1)
    assert difference(tokens.tangent()[0], one_hot.tangent()[0]) < 1e-15


def test_a_row_that_is_over_keeps_its_state_and_reads_nothing() -> None:
    problem = Problem("rnn", padded=True)
    over = np.arange(T)[:, None] >= LENGTHS
    y, state, _ = problem.forward()
    dx, dstate, grads, flow = problem.backward()
    for n, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(y[length:, n], np.tile(y[length - 1, n], (T - length, 1)))
        np.testing.assert_array_equal(state[n], y[length - 1, n])
        # ∂L/∂h of a frozen state is that of the state after it plus its own: nothing decays.
        frozen = problem.dstate[n] + np.cumsum(problem.dy[::-1, n], axis=0)[::-1]
        np.testing.assert_allclose(flow.row_norms[length - 1 :, n], np.linalg.norm(frozen[length - 1 :], axis=1))
    assert not dx[over].any()

    problem.x[over] = 1e6
    assert_same(problem.forward()[:2], (y, state))
    assert_same(problem.backward(), (dx, dstate, grads, flow))
    problem.x[over] = np.nan
    assert_same(problem.forward()[:2], (y, state))


@pytest.mark.parametrize("name", RECURRENT)
def test_what_is_past_the_end_of_a_row_is_never_read(name: str) -> None:
    problem = Problem(name, padded=True)
    over = np.arange(T)[:, None] >= LENGTHS
    y, state, _ = problem.forward()
    result = problem.backward()
    assert not result[0][over].any()
    problem.x[over] = 1e6
    assert_same(problem.forward()[:2], (y, state))
    assert_same(problem.backward(), result)
    problem.x[over] = np.nan
    assert_same(problem.forward()[:2], (y, state))


@pytest.mark.parametrize("name", RECURRENT)
def test_a_row_of_full_length_with_shorter_ones_is_itself(name: str) -> None:
    """Turning a row around reaches its own end only: row 1, which is T long, does not see how long the others are."""
    padded, plain = Problem(name, padded=True), Problem(name)
    plain.noise = padded.noise
    assert LENGTHS[1] == T
    assert_same(padded.forward()[0][:, 1], plain.forward()[0][:, 1])
    assert_same(padded.forward()[1][..., 1, :], plain.forward()[1][..., 1, :])
    assert_same(padded.backward()[0][:, 1], plain.backward()[0][:, 1])


@pytest.mark.parametrize("name", RECURRENT)
def test_lengths_of_all_steps_change_nothing(name: str) -> None:
    plain, padded = Problem(name), Problem(name)
    padded.lengths = np.full(N, T)
    assert_same(plain.forward()[:2], padded.forward()[:2])
    assert_same(plain.backward(), padded.backward())


@pytest.mark.parametrize("padded", [False, True], ids=["full", "lengths"])
def test_flow_is_the_derivative_by_each_state(padded: bool) -> None:
    """‖∂L/∂h_t‖, where L as a function of h_t is run from step t on."""
    problem = Problem("rnn", padded)
    flow = problem.backward()[3]
    assert flow.row_norms.dtype == np.float64
    assert not flow.flushed.any()
    h, z = problem.forward()[0], problem.complex()
    for t in range(T):

        def from_here(h_t: Any, t: int = t) -> Any:
            total, state = (problem.dy[t] * h_t).sum(), h_t
            if t + 1 < T:
                lengths = None if problem.lengths is None else problem.lengths - (t + 1)
                y, state, _ = problem.functions.forward(z.params, z.x[t + 1 :], h_t, lengths=lengths)
                total = total + (problem.dy[t + 1 :] * y).sum()
            return total + (problem.dstate * state).sum()

        expected = np.linalg.norm(complex_step(from_here, h[t]), axis=1)
        np.testing.assert_allclose(flow.row_norms[t], expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormal_derivatives_become_zero_and_are_counted(dtype: Any) -> None:
    tiny = np.finfo(dtype).tiny
    dh = np.array([[tiny, -tiny, tiny / 2, -tiny / 4, 0.0], [1.0, np.nan, np.inf, -0.0, tiny * 2]], dtype)
    flushed, count = flush_subnormals(dh)
    assert flushed.dtype == dtype
    np.testing.assert_array_equal(flushed, [[tiny, -tiny, 0, 0, 0], [1, np.nan, np.inf, 0, tiny * 2]])
    assert count == 2


def test_a_vanishing_derivative_ends_at_zero() -> None:
    """With W_hh = 2⁻²⁶⁰ · 1 the derivative shrinks by that factor per step and passes the smallest normal number."""
    problem = Problem("rnn")
    problem.params = {"W_xh": np.zeros((H, D)), "W_hh": 2.0**-260 * np.eye(H), "b_h": np.zeros(H)}
    problem.state = np.zeros((N, H))
    problem.dy = np.zeros((T, N, H))
    problem.dstate = np.ones((N, H))
    _, dstate, _, flow = problem.backward()
    norms = [np.sqrt(H) * 2.0 ** (-260 * k) for k in range(4)] + [0.0] * (T - 4)
    np.testing.assert_allclose(flow.row_norms, np.array(norms)[::-1, None] * np.ones(N), rtol=1e-15)
    assert flow.flushed.tolist() == [0, 0, N * H, 0, 0, 0, 0]
    assert not dstate.any()


# Several cells.


def test_time_is_turned_within_each_row(rng: np.random.Generator) -> None:
    a = rng.normal(size=(T, N, 2))
    assert_same(reverse_time(a, None), a[::-1])
    turned = reverse_time(a, LENGTHS)
    for n, length in enumerate(LENGTHS):
        assert_same(turned[:, n], np.concatenate([a[:length, n][::-1], a[length:, n]]))
    assert_same(reverse_time(turned, LENGTHS), a)


@pytest.mark.parametrize("padded", [False, True], ids=["full", "lengths"])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_flow_of_a_stack_is_that_of_its_cells(nonlinearity: str, padded: bool) -> None:
    """Two directions written out as single recurrences, the reverse one over rows turned around."""
    problem = Problem("bidirectional", padded)
    problem.layer = sr.RNN(D, H, bidirectional=True, nonlinearity=nonlinearity)
    _, _, _, flow = problem.backward()
    rows = LENGTHS if padded else np.full(N, T)
    for i, after in enumerate(("", "_reverse")):
        own = {symbol: problem.params[symbol + after] for symbol in ("W_xh", "W_hh", "b_h")}
        x, dy = problem.x, problem.dy[:, :, i * H : (i + 1) * H]
        if i:
            x, dy = reverse_time(x, rows), reverse_time(dy, rows)
        _, _, trace = rnn.forward(own, x, problem.state[i], lengths=problem.lengths, nonlinearity=nonlinearity)
        seen = rnn.backward(own, dy, trace, problem.dstate[i], nonlinearity=nonlinearity)[3]
        assert_same(flow.cells[i].row_norms, reverse_time(seen.row_norms, rows) if i else seen.row_norms)
    assert len(flow.cells) == 2


def test_what_a_reverse_cell_flushed_stands_at_its_step() -> None:
    """As `test_a_vanishing_derivative_ends_at_zero`, from the other end."""
    problem = Problem("bidirectional")
    problem.params = {s: np.zeros_like(a) for s, a in problem.params.items()}
    problem.params["W_hh_reverse"] = 2.0**-260 * np.eye(H)
    problem.state, problem.dy = np.zeros((2, N, H)), np.zeros((T, N, 2 * H))
    problem.dstate = np.ones((2, N, H))
    forward, reverse = problem.backward()[3].cells
    assert reverse.flushed.tolist() == [0, 0, 0, 0, N * H, 0, 0] and not forward.flushed.any()
    assert (reverse.row_norms > 0).all(axis=1).tolist() == [True] * 4 + [False] * 3


def test_relu_leaves_what_is_not_a_number() -> None:
    a = np.array([-1.0, -0.0, 0.0, 2.0, np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(rnn.activate(a, "relu"), [0, 0, 0, 2, np.nan, np.inf, 0])
    np.testing.assert_array_equal(rnn.activation_grad(np.array([0.0, 2.0]), "relu"), [0, 1])
    stepped = rnn.activate(np.array([-1.0, 0.0, 2.0]) + 1e-30j, "relu")  # on the kink both say that the slope is 0
    np.testing.assert_array_equal(stepped.imag, [0, 0, 1e-30])


# Layers without parameters, or without a state.


def test_dropout_draws_zeros_and_what_makes_up_for_them() -> None:
    for p in (0.1, 0.5, 0.9):
        layer = sr.Dropout(p, size=50)
        noise = layer.draw_mask(np.random.default_rng(0), 100, 20, np.float64)
        assert noise is not None and noise.shape == (100, 20, 50)
        np.testing.assert_allclose(np.unique(noise), [0, 1 / (1 - p)], rtol=1e-15)
        assert (noise == 0).mean() == pytest.approx(p, abs=0.005) and noise.mean() == pytest.approx(1, abs=0.02)
        single = layer.draw_mask(np.random.default_rng(0), 100, 20, np.float32)
        assert single is not None and single.dtype == np.float32
        assert_same(single == 0, noise == 0)
        assert not (noise == layer.draw_mask(np.random.default_rng(1), 100, 20, np.float64)).all()
    assert sr.Dropout(0, size=5).draw_mask(np.random.default_rng(0), 3, 2, np.float64) is None
    assert sr.RNN(3, 4, num_layers=2).draw_mask(np.random.default_rng(0), 3, 2, np.float64) is None
    noise = sr.RNN(3, 4, num_layers=3, bidirectional=True, dropout=0.5).draw_mask(
        np.random.default_rng(0), 6, 5, np.float32
    )
    assert noise is not None and noise.shape == (2, 6, 5, 8) and noise.dtype == np.float32


def test_dropout_leaves_out_with_probability_p_exactly() -> None:
    """Numbers from [0, 1) are below p with probability p; p itself is not below."""
    fixed: Any = SimpleNamespace(random=lambda shape, dtype: np.array([0.0, 0.25, 0.5, 0.75], dtype))
    assert dropout.draw(fixed, (4,), 0.5, np.float64).tolist() == [0, 0, 2, 2]


def test_without_noise_dropout_is_the_identity() -> None:
    problem = Problem("dropout")
    problem.noise = None
    assert problem.forward()[0] is problem.x and problem.backward()[0] is problem.dy
    assert problem.tangent()[0] is problem.moved_x


def test_layer_norm_gives_mean_zero_and_variance_one() -> None:
    problem = Problem("layer_norm")
    problem.params = problem.layer.initial(np.random.default_rng(0))
    problem.x = 1e4 + 1e3 * problem.x
    y = problem.forward()[0]
    np.testing.assert_allclose(y.mean(axis=2), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=2), 1, rtol=1e-9)
    problem.x[2] = 7.0  # all features alike
    assert not problem.forward()[0][2].any()


# Specifications.


def test_initial_weights_are_glorot_uniform_and_biases_zero() -> None:
    layer = sr.RNN(30, 50)
    initial = layer.initial(np.random.default_rng(0))
    assert {symbol: array.shape for symbol, array in initial.items()} == layer.shapes()
    assert not initial["b_h"].any()
    for symbol, limit in [("W_xh", np.sqrt(6 / 80)), ("W_hh", np.sqrt(6 / 100))]:
        assert 0.95 * limit < np.abs(initial[symbol]).max() <= limit
        assert initial[symbol].std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
        assert abs(initial[symbol].mean()) < 0.1 * limit


@pytest.mark.parametrize("make", [sr.RNN, sr.Linear])
def test_impossible_layers_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="init='zeros' is not known; choose one of xavier"):
        make(3, 4, init="zeros")
    with pytest.raises(ValueError, match="input_size must be at least 1, got 0"):
        make(0, 4)
    with pytest.raises(ValueError, match="must be at least 1, got -2"):
        make(3, -2)
    with pytest.raises(TypeError, match="must be an integer, got 2.5"):
        make(3, 2.5)
    with pytest.raises(TypeError, match="must be an integer, got True"):
        make(True, 4)
