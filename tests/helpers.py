"""What the tests share: models, minibatches, a naive network and reference gradients.

The naive network is written from the chapter's equations, one row, one step and one unit at a time, and shares no code
with the package. Reference gradients come from the complex step: L(θ + i·h·e) = L(θ) + i·h·∂L/∂θ_e + O(h²), which loses
no digits to a difference, so that h = 1e-30 gives ∂L/∂θ_e to the last bits.
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from types import CodeType, FrameType
from typing import Any

import numpy as np

import scratchrnn as sr
from scratchrnn import network
from scratchrnn.backends.base import Backend
from scratchrnn.gradients.flow import Flow, LayerFlow

# Distinct sizes, at least five steps, several rows: a transposed or truncated gradient cannot hide.
N, T, D, H, O = 4, 7, 3, 6, 5
STEPS = ("all", "last", "mask (T,)", "mask (N, T)")
LOSSES = ("mse", "cross_entropy")
LENGTHS = np.array([5, 7, 1, 6])

ARCHITECTURES: dict[str, Callable[..., sr.SequenceModel]] = {
    "vanilla": lambda **options: sr.VanillaRNN(D, H, O, **options),
    "rnn-rnn-linear": lambda **options: sr.SequenceModel([sr.RNN(D, 8), sr.RNN(8, H), sr.Linear(H, O)], **options),
    "linear-rnn-linear": lambda **options: sr.SequenceModel(
        [sr.Linear(D, 8), sr.RNN(8, H), sr.Linear(H, O)], **options
    ),
    "rnn-rnn-rnn": lambda **options: sr.SequenceModel([sr.RNN(D, 8), sr.RNN(8, H), sr.RNN(H, O)], **options),
    "relu": lambda **options: sr.SequenceModel([sr.RNN(D, H, nonlinearity="relu"), sr.Linear(H, O)], **options),
    "deep": lambda **options: sr.SequenceModel([sr.RNN(D, H, num_layers=3, dropout=0.3), sr.Linear(H, O)], **options),
    "bidirectional": lambda **options: sr.SequenceModel(
        [sr.RNN(D, H, bidirectional=True), sr.Linear(2 * H, O)], **options
    ),
    "deep-bidirectional": lambda **options: sr.SequenceModel(
        [sr.RNN(D, 4, num_layers=2, bidirectional=True, dropout=0.4), sr.RNN(8, H), sr.Linear(H, O)], **options
    ),
    "norm-dropout": lambda **options: sr.SequenceModel(
        [
            sr.Linear(D, 7),
            sr.LayerNorm(7),
            sr.Dropout(0.2),
            sr.RNN(7, 8),
            sr.LayerNorm(8),
            sr.Dropout(0.3),
            sr.RNN(8, H, bidirectional=True, nonlinearity="relu"),
            sr.Dropout(0.4),
            sr.LayerNorm(2 * H),
            sr.Linear(2 * H, O),
        ],
        **options,
    ),  # fmt: skip
}
# Those that read integer tokens alone.
OF_TOKENS: dict[str, Callable[..., sr.SequenceModel]] = {
    "embedding": lambda **options: sr.SequenceModel(
        [sr.Embedding(D, 4), sr.Dropout(0.3), sr.RNN(4, H, num_layers=2), sr.Linear(H, O)], **options
    ),
    "embedding-bidirectional": lambda **options: sr.SequenceModel(
        [sr.Embedding(D, 4), sr.LayerNorm(4), sr.RNN(4, H, bidirectional=True), sr.Linear(2 * H, O)], **options
    ),
}
BIDIRECTIONAL = ("bidirectional", "deep-bidirectional", "norm-dropout")
RANDOM = ("deep", "deep-bidirectional", "norm-dropout", "embedding")  # have dropout


class InBlocks(Backend):
    """NumPy that cuts every batch into uneven blocks of rows, and runs the last block first."""

    def split_rows(self, rows: int, work: int) -> list[slice]:
        return [slice(0, 1), slice(1, rows - 1), slice(rows - 1, rows)]

    def map(self, function: Any, items: Any) -> list[Any]:
        return [function(item) for item in reversed(items)][::-1]


def make_model(
    architecture: str = "vanilla", *, radius: float | None = None, backend: str = "numpy", **options: Any
) -> Any:
    """A model with biases that are not 0, and with W_hh of the given spectral radius in every recurrent layer."""
    model = (ARCHITECTURES | OF_TOKENS)[architecture](backend=backend, **options)
    rng = np.random.default_rng(7)
    for name, array in model.params.items():
        if array.ndim == 1:
            model.params[name] = rng.normal(float(name.endswith("gamma")), 0.3, array.shape)
    if radius is not None:
        set_radius(model, radius)
    return model


def set_radius(model: sr.SequenceModel, radius: float) -> None:
    """Scale every W_hh to the given spectral radius."""
    for name, W in model.params.items():
        if name.endswith("W_hh"):
            model.params[name] = W * (radius / np.abs(np.linalg.eigvals(W)).max())


def make_batch(
    model: sr.SequenceModel,
    steps: str = "all",
    *,
    padded: bool = False,
    tokens: bool = False,
    rows: int = N,
    time: int = T,
    seed: int = 0,
) -> dict[str, Any]:
    """Arguments of `loss_and_grads`: N(0, 1) inputs, h0 that is not 0, and garbage wherever nothing may be read."""
    rng = np.random.default_rng(seed)
    O = model.output_size
    x: Any = rng.normal(size=(rows, time, model.input_size))
    tokens |= not model.layers[0].takes_vectors
    if tokens:
        x = rng.integers(model.input_size, size=(rows, time))
    states = tuple(rng.normal(0, 0.5, layer.state_shape(rows)) for layer in model.recurrent_layers)
    batch = {"x": x, "h0": states[0] if isinstance(model, sr.VanillaRNN) else states, "steps": steps, "lengths": None}
    if padded:
        batch["lengths"] = LENGTHS if (rows, time) == (N, T) else rng.integers(1, time + 1, size=rows)
        for n, length in enumerate(batch["lengths"]):
            x[n, length:] = -99 if tokens else np.nan
    if steps == "mask (T,)":
        batch["steps"] = np.isin(np.arange(time) % 5, [0, 2])
    if steps == "mask (N, T)":
        batch["steps"] = rng.random((rows, time)) < 0.4
        batch["steps"][:, 1] = False  # a step that no row counts
        batch["steps"][:, 4] = np.arange(rows) % 2 == 1

    shape = (rows,) if steps == "last" else (rows, time)
    if model.loss_name == "cross_entropy":
        batch["target"] = rng.integers(O, size=shape)
        garbage: Any = -99
    else:
        batch["target"] = rng.normal(size=(*shape, O))
        garbage = np.nan
    if steps != "last":
        counted = np.zeros((rows, time), dtype=bool)
        counted[tuple(zip(*counted_entries(batch, rows, time), strict=True))] = True
        batch["target"][~counted] = garbage
    return batch


def counted_entries(batch: Mapping[str, Any], rows: int, time: int) -> Iterator[tuple[int, int]]:
    """The (n, t) that a minibatch counts, read off its `steps` and `lengths` one by one."""
    steps, lengths = batch["steps"], batch["lengths"]
    for n in range(rows):
        end = time if lengths is None else lengths[n]
        for t in range(end):
            if isinstance(steps, str):
                counts = steps == "all" or t == end - 1
            else:
                counts = steps[t] if np.ndim(steps) == 1 else steps[n, t]
            if counts:
                yield n, t


# The naive network.


def naive_step(W_xh: Any, W_hh: Any, b_h: Any, x_t: Any, h: Any, nonlinearity: str = "tanh") -> list[float]:
    """h_t = tanh(W_hh · h_{t−1} + W_xh · x_t + b_h), or relu, unit by unit."""
    a = [
        sum(W_hh[i][j] * h[j] for j in range(len(h))) + sum(W_xh[i][d] * x_t[d] for d in range(len(x_t))) + b_h[i]
        for i in range(len(b_h))
    ]
    return [math.tanh(a_i) if nonlinearity == "tanh" else max(0.0, a_i) for a_i in a]


def naive_output(W_hy: Any, b_y: Any, h: Any) -> list[float]:
    """y_t = W_hy · h_t + b_y, output by output."""
    return [sum(W_hy[o][j] * h[j] for j in range(len(h))) + b_y[o] for o in range(len(b_y))]


def naive_norm(gamma: Any, beta: Any, x: Any, eps: float) -> list[float]:
    """Mean 0 and variance 1 over the features, then scaled and shifted."""
    mean = math.fsum(x) / len(x)
    variance = math.fsum((x_i - mean) ** 2 for x_i in x) / len(x)
    return [gamma[i] * (x[i] - mean) / math.sqrt(variance + eps) + beta[i] for i in range(len(x))]


def naive_direction(
    params: Any, after: str, steps: list[int], x: Any, h: Any, nonlinearity: str
) -> tuple[dict[int, Any], Any]:
    """One recurrence over one row, its steps in the order given. Returns h by step, and the last state."""
    at = {}
    for t in steps:
        h = naive_step(params["W_xh" + after], params["W_hh" + after], params["b_h" + after], x[t], h, nonlinearity)
        at[t] = h
    return at, h


def naive_row(layer: sr.RNN, params: Any, x: Any, states: Any, length: int, noise: Any) -> tuple[Any, list[Any]]:
    """One row through a recurrent layer. When it is over, each direction gives its last state. y and last states."""
    last: list[Any] = []
    for level in range(layer.num_layers):
        if level and noise is not None:
            x = [[x_i * m_i for x_i, m_i in zip(x[t], noise[level - 1][t], strict=True)] for t in range(len(x))]
        sides = []
        for reverse in range(1 + layer.bidirectional):
            after = (f"_l{level}" if level else "") + "_reverse" * reverse
            steps = list(range(length))[:: -1 if reverse else 1]
            at, h = naive_direction(params, after, steps, x, states[len(last)], layer.nonlinearity)
            sides.append([at.get(t, h) for t in range(len(x))])
            last.append(h)
        x = [sum(parts, []) for parts in zip(*sides, strict=True)]
    return x, last


def naive_layer(
    layer: Any, params: Mapping[str, Any], x: Any, state: Any, lengths: Any, noise: Any = None
) -> tuple[Any, Any]:
    """One layer over batch-first x (N, T, …), its noise time-major. Returns y and the last state."""
    p = {symbol: array.tolist() for symbol, array in params.items()}
    if isinstance(layer, sr.RNN):
        cells = state.reshape(-1, *state.shape[-2:])  # (cells, N, H)
        rows = [
            naive_row(
                layer,
                p,
                x[n].tolist(),
                cells[:, n].tolist(),
                x.shape[1] if lengths is None else lengths[n],
                None if noise is None else noise[:, :, n].tolist(),
            )
            for n in range(len(x))
        ]
        return np.array([y for y, _ in rows]), np.array([last for _, last in rows]).swapaxes(0, 1).reshape(state.shape)
    if isinstance(layer, sr.Dropout):
        return x if noise is None else x * noise.swapaxes(0, 1), None
    if isinstance(layer, sr.Embedding):
        return np.array([[p["E"][token] for token in row] for row in x]), None
    if isinstance(layer, sr.LayerNorm):
        return np.array([[naive_norm(p["gamma"], p["beta"], x_t, layer.eps) for x_t in row] for row in x]), None
    return np.array([[naive_output(p["W_hy"], p["b_y"], x_t) for x_t in row] for row in x]), None


def naive_forward(model: sr.SequenceModel, batch: Mapping[str, Any]) -> tuple[Any, Any, list[Any]]:
    """Outputs y (N, T, O), states h (N, T, H) of the top recurrent layer, and the last states."""
    y = batch["x"]
    if y.ndim == 2:
        y = one_hot(y, model.input_size) if model.layers[0].takes_vectors else np.maximum(y, 0)
    states = list(as_states(batch["h0"]))
    h, h_last = None, []
    for i, layer in enumerate(model.layers):
        own = model.network.own(i, model.params)
        y, state = naive_layer(layer, own, y, states.pop(0) if layer.recurrent else None, batch["lengths"])
        if layer.recurrent:
            h = y
            h_last.append(state)
    return y, h, h_last


def naive_loss(model: sr.SequenceModel, batch: Mapping[str, Any]) -> float:
    """The mean of L_nt over the counted (n, t)."""
    y, _, _ = naive_forward(model, batch)
    losses = []
    for n, t in counted_entries(batch, *y.shape[:2]):
        target = (
            batch["target"][n]
            if isinstance(batch["steps"], str) and batch["steps"] == "last"
            else batch["target"][n, t]
        )
        losses.append(naive_entry(model.loss_name, y[n, t].tolist(), target.tolist()))
    return math.fsum(losses) / len(losses)


def naive_entry(loss: str, y: list[float], target: Any) -> float:
    """L_nt of one row at one step, in plain floating-point numbers."""
    if loss == "mse":
        return math.fsum((y[o] - target[o]) ** 2 for o in range(len(y))) / len(y)
    top = max(y)
    return math.log(math.fsum(math.exp(v - top) for v in y)) + top - y[target]


def one_hot(x: Any, D: int) -> Any:
    """Tokens (N, T) as vectors (N, T, D); NaN for the garbage in padding."""
    return np.where((x < 0)[..., None], np.nan, np.eye(D)[np.maximum(x, 0)])


def as_states(h0: Any) -> tuple[Any, ...]:
    """States as a tuple with one entry per recurrent layer, also those of a VanillaRNN."""
    return h0 if isinstance(h0, tuple) else (h0,)


# Reference gradients.


def complex_step(function: Callable[[Any], Any], array: Any, entries: Any = None, step: float = 1e-30) -> np.ndarray:
    """∂f/∂a for every entry of a (or the given flat entries), where f takes a complex128 array to a number."""
    z = array.astype(np.complex128)
    entries = range(z.size) if entries is None else entries
    gradient = np.zeros(len(entries))
    for k, e in enumerate(entries):
        z.flat[e] += 1j * step
        gradient[k] = np.imag(function(z)) / step
        z.flat[e] = array.flat[e]
    return gradient.reshape(array.shape) if len(entries) == z.size else gradient


def reference_grads(model: sr.SequenceModel, batch: Mapping[str, Any], inputs: bool = True) -> dict[str, np.ndarray]:
    """Gradients of every parameter, h0 and x by the complex step through the NumPy text, entry by entry.

    The model may live on any backend and in any dtype; a float64 copy on NumPy stands in for it.
    """
    model = copy.deepcopy(model).to("numpy", "float64")
    prepared = model.check_batch(**batch)
    vector = model.params.vector.astype(np.complex128)
    x = prepared.x.astype(np.complex128) if prepared.x.ndim == 3 else prepared.x
    states = tuple(state.astype(np.complex128) for state in prepared.states)

    def loss(vector: Any = vector, x: Any = x, states: Any = states) -> complex:
        moved = prepared._replace(x=x, states=states)
        return network.with_loss(model.network, model.params.like(vector), moved)[0].sum()

    def loss_by_state(below: Any, above: Any, state: Any) -> complex:
        return loss(states=(*below, state, *above))

    grads = dict(model.params.like(complex_step(lambda v: loss(vector=v), model.params.vector)))
    for i, state in enumerate(prepared.states):
        below, above = states[:i], states[i + 1 :]
        grads[f"h0[{i}]"] = complex_step(partial(loss_by_state, below, above), state)
    if inputs and prepared.x.ndim == 3:
        grads["x"] = complex_step(lambda x: loss(x=x), prepared.x).swapaxes(0, 1)
    return grads


@cache
def reference(architecture: str, loss: str, steps: str, padded: bool) -> dict[str, np.ndarray]:
    """`reference_grads` of the standard model on the standard minibatch, computed once."""
    model = make_model(architecture, loss=loss)
    return reference_grads(model, make_batch(model, steps, padded=padded))


def all_grads(result: Any) -> dict[str, np.ndarray]:
    """What `loss_and_grads` returned, under the names of `reference_grads`."""
    grads = dict(result.grads)
    grads |= {f"h0[{i}]": state for i, state in enumerate(as_states(result.grads_h0))}
    return grads if result.grads_x is None else grads | {"x": result.grads_x}


def difference(actual: Any, expected: Any) -> float:
    """‖actual − expected‖ / ‖expected‖ over all entries; 0 where both are 0, inf where only one is."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    scale = np.abs(expected).max(initial=0)
    if scale == 0:
        return 0.0 if not actual.any() else math.inf
    error = np.linalg.norm((actual - expected.astype(np.float64)) / scale) / np.linalg.norm(expected / scale)
    return float(error) if math.isfinite(error) else math.inf


def assert_close(actual: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float) -> float:
    """Every tensor is within the tolerance of its reference, normwise; returns the largest difference."""
    assert list(actual) == list(expected)
    errors = {name: difference(actual[name], expected[name]) for name in expected}
    wrong = {name: error for name, error in errors.items() if not error <= tolerance}
    assert not wrong, f"normwise difference above {tolerance}: {wrong}"
    return max(errors.values())


def assert_same(actual: Any, expected: Any) -> None:
    """Equal entry by entry, through tuples and mappings; Python numbers and words likewise."""
    if isinstance(expected, sr.Parameters):
        actual, expected = actual.vector, expected.vector
    if isinstance(expected, dict):
        assert list(actual) == list(expected)
        actual, expected = tuple(actual.values()), tuple(expected.values())
    if isinstance(expected, tuple):
        for a, e in zip(actual, expected, strict=True):
            assert_same(a, e)
    else:
        np.testing.assert_array_equal(actual, expected)


def flow_of(norms: Any, rows: int = 4) -> Flow:
    """A flow of one layer with these ‖∂L/∂h_t‖, the same in every row."""
    per_sample = np.tile(np.asarray(norms, dtype=float) * np.sqrt(rows), (rows, 1))
    return Flow((LayerFlow(per_sample, np.zeros(len(norms), int)),))


def name_of(function: Any) -> str:
    """layer.function, also of one that is given its cell's functions."""
    function = getattr(function, "func", function)
    return f"{function.__module__.rpartition('.')[2]}.{function.__name__}"


def interrupted_at(n: int, function: Callable[[], Any], code: set[CodeType], path: str) -> bool:
    """Call a function, with a KeyboardInterrupt before the n-th bytecode run by this code or by code of this file.

    Returns whether it came. Python itself lets interrupts in at fewer places, at others in each version.
    """
    left = n

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if frame.f_code not in code and frame.f_code.co_filename != path:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    try:
        sys.settrace(trace)
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False
