"""Every kernel, and the whole network, on any shape: what the tests of random shapes and of other processors share.

The numbers are made so that nothing cancels. A sum whose terms cancel by chance has few correct digits in float32,
which says nothing about who added it up; over thousands of shapes with one row or one unit that chance becomes a
certainty. Here every input, unit and output has a sign of its own, and every entry of an array is a positive number
times the signs of the axes it lies on. W_hh[i, j] · h[j] then has the sign of unit i for every j, and so has every term
of every sum, forward and backward, though about half of all numbers are negative.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from helpers import all_grads, difference, name_of
from kernel_checks import KERNELS, STACKED_BACKWARD, STACKED_FORWARD, STACKED_SUMS, assert_kernel, converted, unwritten

import scratchrnn as sr
from scratchrnn import _numerics, _steps, losses, optimizers
from scratchrnn.backends.numba import plan as numba_backend
from scratchrnn.backends.numba.threads import pool
from scratchrnn.gradients import clip
from scratchrnn.layers import embedding, layer_norm, linear, rnn

TOLERANCE = {"float32": 1e-5, "float64": 1e-13}


class Case(NamedTuple):
    """A problem, small enough to print when it fails."""

    N: int
    T: int
    D: int
    H: int
    O: int
    P: int = 1  # length of the vectors that the norm and the optimizers get
    dtype: str = "float64"
    tokens: bool = False  # integer x
    padded: bool = False  # rows of different lengths
    inputs: bool = True  # the gradient of the input is asked for
    masked: bool = False  # the loss counts some entries only
    start: bool = True  # h0 and dstate are not 0
    relu: bool = False  # in place of tanh
    seed: int = 0


class Numbers:
    """Arrays of a case by the letters of their axes: new("TNH") is (T, N, H)."""

    def __init__(self, case: Case) -> None:
        self.sizes = case._asdict()
        self.rng = np.random.default_rng(case.seed)
        self.signs = {axis: self.rng.choice([-1.0, 1.0], self.sizes[axis]) for axis in "DHOP"}
        if case.tokens:
            self.signs["D"][:] = 1  # a token stands for an input of 1

    def __call__(self, axes: str, scale: float = 1.0) -> Any:
        """Between a quarter and all of the scale, times the signs; numbers that float32 holds."""
        shape = [self.sizes[axis] for axis in axes]
        array = self.rng.uniform(scale / 4, scale, shape)
        for i, axis in enumerate(axes):
            if axis in self.signs:
                array *= self.signs[axis].reshape([-1 if j == i else 1 for j in range(len(axes))])
        return array.astype(np.float32).astype(np.float64)

    def recurrent(self) -> dict[str, Any]:
        """Parameters of a recurrent layer. Small enough that units stay clear of ±1, where 1 − h² loses digits."""
        D, H = self.sizes["D"], self.sizes["H"]
        return {"W_xh": self("HD", 0.5 / D), "W_hh": self("HH", 0.7 / H), "b_h": self("H", 0.2)}

    def stacked(self) -> dict[str, Any]:
        """Parameters of two recurrent layers in both directions."""
        params: dict[str, Any] = {}
        for level in ("", "_l1"):
            for side in ("", "_reverse"):
                cell = self.recurrent()
                if level:
                    cell["W_xh"] = np.concatenate([self("HH", 0.25 / self.sizes["H"]) for _ in range(2)], axis=1)
                params |= {f"{symbol}{level}{side}": array for symbol, array in cell.items()}
        return params

    def output(self) -> dict[str, Any]:
        """Parameters of a linear layer."""
        return {"W_hy": self("OH", 1 / self.sizes["H"]), "b_y": self("O")}

    def x(self) -> Any:
        """Inputs, or tokens."""
        T, N = self.sizes["T"], self.sizes["N"]
        return self.rng.integers(self.sizes["D"], size=(T, N)) if self.sizes["tokens"] else self("TND")

    def state(self) -> Any:
        """A state, or what is handed back to one."""
        return self("NH") * self.sizes["start"]

    def nonlinearity(self) -> dict[str, Any]:
        """Which it is, as an option."""
        return {"nonlinearity": "relu" if self.sizes["relu"] else "tanh"}

    def lengths(self) -> Any:
        """Of every row, or None."""
        return self.rng.integers(1, self.sizes["T"] + 1, size=self.sizes["N"]) if self.sizes["padded"] else None

    def mask(self) -> Any:
        """About half of the entries (T, N), at least one; or None."""
        if not self.sizes["masked"]:
            return None
        mask = self.rng.random((self.sizes["T"], self.sizes["N"])) < 0.5
        mask[self.rng.integers(len(mask)), 0] = True
        return mask


# One call of each kernel: arguments, keyword arguments.

Call = tuple[tuple[Any, ...], dict[str, Any]]


def rnn_forward(new: Numbers) -> Call:
    return (new.recurrent(), new.x(), new.state()), {"lengths": new.lengths(), **new.nonlinearity()}


def rnn_backward(new: Numbers) -> Call:
    params, options = new.recurrent(), new.nonlinearity()
    _, _, trace = rnn.forward(params, new.x(), new.state(), lengths=new.lengths(), **options)
    return (params, new("TNH"), rounded(trace), new.state()), {"inputs": new.sizes["inputs"], **options}


STACK = {"num_layers": 2, "bidirectional": True}


def stack_forward(new: Numbers) -> Call:
    states = np.stack([new.state() for _ in range(4)])
    return (new.stacked(), new.x(), states), {"lengths": new.lengths(), **new.nonlinearity(), **STACK}


def stack_backward(new: Numbers) -> Call:
    (params, x, states), options = stack_forward(new)
    _, _, trace = STACKED_FORWARD(params, x, states, **options)
    del options["lengths"]
    dy = np.concatenate([new("TNH"), new("TNH")], axis=2)
    dstates = np.stack([new.state() for _ in range(4)])
    return (params, dy, rounded(trace), dstates), {"inputs": new.sizes["inputs"], **options}


def rounded(trace: Any) -> Any:
    """A trace of numbers that float32 holds."""
    return converted(converted(trace, np.float32), np.float64)


def features(new: Numbers) -> Any:
    """Vectors for a layer norm. It subtracts means, so signs do not help; with five features or more enough is left."""
    shape = new.sizes["T"], new.sizes["N"], new.sizes["H"] + 4
    return new.rng.normal(size=shape).astype(np.float32).astype(np.float64)


def layer_norm_forward(new: Numbers) -> Call:
    x = features(new)
    return ({"gamma": x[0, 0], "beta": x[-1, -1]}, x, None), {"eps": 1e-3}


def layer_norm_backward(new: Numbers) -> Call:
    (params, x, _), options = layer_norm_forward(new)
    _, _, trace = layer_norm.forward(params, x, None, **options)
    return (params, features(new), rounded(trace), None), {"inputs": new.sizes["inputs"], **options}


def half(new: Numbers) -> slice:
    """The rows of a block: some of them."""
    N = new.sizes["N"]
    start = int(new.rng.integers(N))
    return slice(start, int(new.rng.integers(start, N)) + 1)


def rnn_weight_grads(new: Numbers) -> Call:
    params, options = new.recurrent(), new.nonlinearity()
    _, _, trace = rnn.forward(params, new.x(), new.state(), lengths=new.lengths(), **options)
    return (new("TNH"), rounded(trace), half(new), unwritten(params)), {}


def stack_weight_grads(new: Numbers) -> Call:
    (params, x, states), options = stack_forward(new)
    _, _, trace = STACKED_FORWARD(params, x, states, **options)
    da = tuple(new("TNH") for _ in trace.cells)
    return (da, rounded(trace), half(new), unwritten(params)), {"bidirectional": True}


def linear_weight_grads(new: Numbers) -> Call:
    return (new("TNO"), linear.Trace(new("TNH")), half(new), unwritten(new.output())), {}


def layer_norm_weight_grads(new: Numbers) -> Call:
    (params, x, _), options = layer_norm_forward(new)
    _, _, trace = layer_norm.forward(params, x, None, **options)
    positive = np.abs(features(new))
    trace = rounded(trace)._replace(x_hat=positive)
    return (np.abs(features(new)), trace, half(new), unwritten(params)), {}


def embedding_weight_grads(new: Numbers) -> Call:
    tokens = new.rng.integers(new.sizes["D"], size=(new.sizes["T"], new.sizes["N"]))
    return (new("TNH"), embedding.Trace(tokens), half(new), unwritten({"E": new("DH")})), {}


def scatter(new: Numbers) -> Call:
    T, N = new.sizes["T"], new.sizes["N"]
    last, each = slice(T - 1, T), (new.rng.integers(T, size=N), np.arange(N))
    return (new("NH")[None], last if new.sizes["start"] else each, T, None), {}


def saturated(new: Numbers) -> Call:
    """States that are saturated, not so, or 0, each as good as a third of them."""
    h = new("TNH")
    h = np.sign(h) * new.rng.choice([1.0, 0.5, 0.0], size=h.shape)
    mask = new.mask()
    trace = rnn.Trace(None, np.concatenate([h[:1], h]), None if mask is None else mask[:, :, None])
    return (trace,), new.nonlinearity()


def linear_forward(new: Numbers) -> Call:
    return (new.output(), new("TNH"), None), {}


def linear_backward(new: Numbers) -> Call:
    return (new.output(), new("TNO"), linear.Trace(new("TNH")), None), {"inputs": new.sizes["inputs"]}


def mse(new: Numbers) -> Call:
    target, mask = -new("TNO"), new.mask()
    if mask is not None:
        target[~mask] = np.nan
    return (new("TNO"), target, 2 * mask_count(new, mask), mask), {}


def softmax_cross_entropy(new: Numbers) -> Call:
    mask = new.mask()
    target = new.rng.integers(new.sizes["O"], size=(new.sizes["T"], new.sizes["N"]))
    if mask is not None:
        target[~mask] = -99
    return (new("TNO", 5), target, 2 * mask_count(new, mask), mask), {}


def mask_count(new: Numbers, mask: Any) -> int:
    return new.sizes["T"] * new.sizes["N"] if mask is None else int(mask.sum())


def all_finite(new: Numbers) -> Call:
    array = new("TNH")
    if new.rng.random() < 0.5:
        array.reshape(-1)[new.rng.integers(array.size)] = new.rng.choice([np.nan, np.inf, -np.inf])
    return (array,), {}


def vector_norm(new: Numbers) -> Call:
    return (new("P"),), {}


def part_norms(new: Numbers) -> Call:
    vector = new("P")
    return (vector, np.unique([*new.rng.integers(1, vector.size + 1, 3), vector.size])), {}


def shrink(new: Numbers) -> Call:
    return (new("P"), 5.0, 3.0), {}


def subtract(new: Numbers) -> Call:
    return (new("P"), -new("P")), {}


def step_of(optimizer: Any) -> Callable[[Numbers], Call]:
    """One update, some time into a training."""

    def call(new: Numbers) -> Call:
        moments = {name: new("P") if name == "m" else np.abs(new("P")) for name in optimizer.init(np.zeros(1))}
        return (np.full(new.sizes["P"], np.nan), new("P"), moments, int(new.rng.integers(1, 50))), optimizer._hyper()

    return call


CALLS: dict[Any, Callable[[Numbers], Call]] = {
    rnn.forward: rnn_forward,
    rnn.backward: rnn_backward,
    STACKED_FORWARD: stack_forward,
    STACKED_BACKWARD: stack_backward,
    STACKED_SUMS: stack_weight_grads,
    rnn.weight_grads: rnn_weight_grads,
    rnn.saturated: saturated,
    embedding.weight_grads: embedding_weight_grads,
    layer_norm.forward: layer_norm_forward,
    layer_norm.backward: layer_norm_backward,
    layer_norm.weight_grads: layer_norm_weight_grads,
    linear.forward: linear_forward,
    linear.backward: linear_backward,
    linear.weight_grads: linear_weight_grads,
    _steps.scatter: scatter,
    losses.mse: mse,
    losses.softmax_cross_entropy: softmax_cross_entropy,
    _numerics.all_finite: all_finite,
    clip.vector_norm: vector_norm,
    clip.part_norms: part_norms,
    clip.shrink: shrink,
    optimizers.subtract: subtract,
    optimizers.sgd: step_of(optimizers.SGD(0.1, momentum=0.7)),
    optimizers.adagrad: step_of(optimizers.Adagrad(0.3, eps=1e-3)),
    optimizers.rmsprop: step_of(optimizers.RMSProp(0.3, decay=0.8, eps=1e-3)),
    optimizers.adam: step_of(optimizers.Adam(0.3, beta1=0.8, beta2=0.95, eps=1e-3)),
}


def check_kernels(case: Case) -> None:
    """Every kernel agrees with the reference implementation."""
    for text in KERNELS:
        args, options = CALLS[text](Numbers(case))
        where = f"{name_of(text)} on {case}"
        assert_kernel(text, args, options, np.dtype(case.dtype), TOLERANCE[case.dtype], where)


# The whole network.


def check_network(case: Case, loss: str, steps: str) -> None:
    """`loss_and_grads` on Numba, its rows cut into as many blocks as there can be, agrees with the text in float64.

    And to the bit with itself, whether blocks run as one or by themselves.
    """
    new = Numbers(case)
    batch = make_batch(new, case, loss, steps)
    params = new.recurrent() | new.output()
    results = []
    for backend, dtype in (("numba", case.dtype), ("numpy", "float64")):
        model = sr.VanillaRNN(case.D, case.H, case.O, loss=loss, backend=backend, dtype=dtype)
        for name, array in params.items():
            model.params[name] = array
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(numba_backend, "MIN_WORK", 1)
            patch.setattr(numba_backend, "MAX_GROUP_ROWS", case.N)
            patch.setattr(pool, "size", 1)
            results.append(model.loss_and_grads(**batch, inputs=case.inputs and not case.tokens))
            if backend == "numba":
                patch.setattr(numba_backend, "MAX_GROUP_ROWS", 1)
                alone = all_results(model.loss_and_grads(**batch, inputs=case.inputs and not case.tokens))
    actual, expected = results
    for name, array in all_results(actual).items():
        assert np.array_equal(array, alone[name]), f"{name} of {case}, {loss}, {steps}: other bits, block by block"
    tolerance = TOLERANCE[case.dtype]
    assert math.isclose(actual.loss, expected.loss, rel_tol=tolerance), f"loss of {case}, {loss}, {steps}"
    tensors, references = all_results(actual), all_results(expected)
    assert list(tensors) == list(references)
    for name, reference in references.items():
        error = difference(tensors[name], reference)
        assert error <= tolerance, f"{name} of {case}, {loss}, {steps}: off by {error}"


def all_results(result: Any) -> dict[str, Any]:
    """Every array that `loss_and_grads` returned, by name."""
    return all_grads(result) | {"h_last": result.h_last, "per_sample": result.flow.per_sample}


def make_batch(new: Numbers, case: Case, loss: str, steps: str) -> dict[str, Any]:
    """Arguments of `loss_and_grads`. Targets lie where outputs move away from, so that errors have the outputs' signs.

    The derivative of the cross-entropy is negative at the target and positive elsewhere, so there the same output is
    the target of all rows.
    """
    x, lengths, mask = new.x().swapaxes(0, 1), new.lengths(), new.mask()
    if lengths is not None:
        for n, length in enumerate(lengths):
            x[n, length:] = -99 if case.tokens else np.nan
    axes = "NO" if steps == "last" else "NTO"
    if loss == "cross_entropy":
        chosen = int(new.rng.integers(case.O))
        new.signs["O"][:] = 1
        new.signs["O"][chosen] = -1
        target = np.full([new.sizes[axis] for axis in axes[:-1]], chosen)
    else:
        target = -new(axes)
    counted: Any = steps
    if steps == "mask":
        counted = np.ones((case.N, case.T), dtype=bool) if mask is None else mask.T.copy()
        counted[0, 0] = True  # the one step that every row is sure to have
    return {"x": x, "target": target, "h0": new.state() if case.start else None, "steps": counted, "lengths": lengths}
