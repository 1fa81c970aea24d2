"""The recurrence: the chapter's hidden state, forward and backward through time.

    h_t = tanh(W_hh · h_{t−1} + W_xh · x_t + b_h)      or relu in place of tanh

Letters used throughout: N rows in the batch, T time steps, D input features, H hidden units. Arrays are time-major.
`h` has T + 1 steps: `h[0]` is the state before the first input, `h[t + 1]` the state after x_t (the chapter's h_t).

Its four main functions: `forward` leaves a Trace; `backward` turns ∂L/∂h into the error signals ∂L/∂a of every
step from that trace alone, because tanh′(a) = 1 − tanh²(a) = 1 − h²; `weight_grads` adds these up into the gradients of
the parameters; `tangent` is the forward pass linearised around the trace, which the adjoint test of `check_gradients`
compares with `backward`. They run as they stand on NumPy arrays, on CuPy arrays, and (forward) on complex numbers for
the complex-step check. The numba backend, which is the default, computes with compiled kernels instead: to try a change
to this reference implementation, select the NumPy backend with `use_backend("numpy")` or `--backend numpy`.

The class `RNN` is the specification: sizes, options and initial weights. It may ask for several cells, on top of one
another and in both directions; `recurrent.py` runs these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .._arguments import boolean, integer, normalize, probability
from .._arrays import Array, namespace
from .._numerics import row_norms
from ..parameters import Shape
from .initializers import check_init
from .recurrent import Cell, RecurrentLayer

SATURATED = 0.999  # |h| above it: a slope 1 − h² below 0.002


class Trace(NamedTuple):
    """What forward hands to backward."""

    x: Array  # (T, N, D), or integer tokens (T, N)
    h: Array  # (T + 1, N, H)
    valid: Array | None  # (T, N, 1) bool: False past the end of a row; None when every row is T long


class Flow(NamedTuple):
    """What backward saw: the total derivative ∂L/∂h_t, through y_t and through every later step."""

    row_norms: Array  # (T, N) float64: ‖∂L/∂h_t[n]‖ over hidden units
    flushed: Array  # (T,) int: entries of ∂L/∂h_t below the smallest normal number, set to exactly 0


def forward(
    params: Mapping[str, Array],
    x: Array,
    state: Array,
    *,
    lengths: Array | None = None,
    nonlinearity: str = "tanh",
) -> tuple[Array, Array, Trace]:
    """h_t = tanh(a_t + W_hh · h_{t−1}) with a_t = W_xh · x_t + b_h, for t = 0 … T − 1.

    x (T, N, D) or integer (T, N); state (N, H); lengths (N,). Returns h_0 … h_{T−1} as (T, N, H), the last state (N, H)
    and the trace. A row whose length is over keeps its state.
    """
    T, N = x.shape[:2]
    a = project(params["W_xh"], x) + params["b_h"]  # (T, N, H)
    xp = namespace(a)
    valid = None if lengths is None else xp.arange(T)[:, None, None] < lengths[:, None]
    W_hh = params["W_hh"]

    h = xp.empty_like(a, shape=(T + 1, N, W_hh.shape[0]))
    h[0] = state
    for t in range(T):
        h[t + 1] = keep(valid, t, activate(a[t] + h[t] @ W_hh.T, nonlinearity), h[t])  # (N, H)
    return h[1:], h[T], Trace(x, h, valid)


def backward(
    params: Mapping[str, Array],
    dy: Array,
    trace: Trace,
    dstate: Array,
    *,
    inputs: bool = True,
    nonlinearity: str = "tanh",
) -> tuple[Array | None, Array, Array, Flow]:
    """Backpropagation through time. With δ_t = ∂L/∂h_t and a_t the argument of tanh:

        δ_t     = dy_t + W_hhᵀ · ∂L/∂a_{t+1}          (for the last step, dstate takes the place of the W_hh term)
        ∂L/∂a_t = δ_t ⊙ (1 − h_t²)
        ∂L/∂x_t = W_xhᵀ · ∂L/∂a_t            ∂L/∂h0 = W_hhᵀ · ∂L/∂a_0

    Where a row is over, ∂L/∂a_t is 0 and δ_t goes on to t − 1 as it is. dy (T, N, H) is ∂L/∂h as the layers above see
    it, dstate (N, H) the same of the last state alone. Returns dx (None
    for integer x or inputs=False), ∂L/∂h0 (N, H), the error signals ∂L/∂a (T, N, H), and the flow.
    """
    x, h, valid = trace
    T = len(dy)
    xp = namespace(h)
    W_xh, W_hh = params["W_xh"], params["W_hh"]

    dh = xp.empty_like(dy)  # (T, N, H): δ_t
    da = xp.empty_like(dy)  # (T, N, H): ∂L/∂a_t
    flushed = xp.empty(T, dtype=int)
    dh_next = dstate
    for t in reversed(range(T)):
        dh[t], flushed[t] = flush_subnormals(dy[t] + dh_next)
        da[t] = keep(valid, t, dh[t] * activation_grad(h[t + 1], nonlinearity), 0)
        dh_next = keep(valid, t, da[t] @ W_hh, dh[t])
    dx = da @ W_xh if inputs and x.ndim == 3 else None
    return dx, dh_next, da, Flow(row_norms(dh), flushed)


def weight_grads(da: Array, trace: Trace, rows: slice, out: Mapping[str, Array]) -> None:
    """The gradients of the parameters: sums of the error signals over all steps of some rows, written into `out`.

    ∂L/∂W_hh = Σ_t ∂L/∂a_t · h_{t−1}ᵀ      ∂L/∂W_xh = Σ_t ∂L/∂a_t · x_tᵀ      ∂L/∂b_h = Σ_t ∂L/∂a_t
    """
    H = da.shape[2]
    x, h = trace.x[:, rows], trace.h[:-1, rows]
    da = da[:, rows].reshape(-1, H)  # every step of every row: (T·N, H)
    project_grad(da, x, out["W_xh"])
    out["W_hh"][...] = da.T @ h.reshape(-1, H)
    out["b_h"][...] = da.sum(axis=0)


def tangent(
    params: Mapping[str, Array],
    trace: Trace,
    dparams: Mapping[str, Array],
    dx: Array | None,
    dstate: Array,
    *,
    nonlinearity: str = "tanh",
) -> tuple[Array, Array]:
    """The linearised forward pass: how h moves when the parameters, the input and the first state move.

        ȧ_t = Ẇ_xh · x_t + W_xh · ẋ_t + ḃ_h + Ẇ_hh · h_{t−1} + W_hh · ḣ_{t−1}      ḣ_t = (1 − h_t²) ⊙ ȧ_t

    dx is None for integer x. Returns ḣ_0 … ḣ_{T−1} as (T, N, H) and ḣ_{T−1}.
    """
    x, h, valid = trace
    xp = namespace(h)
    W_hh, dW_hh = params["W_hh"], dparams["W_hh"]
    da = project(dparams["W_xh"], x) + dparams["b_h"]  # (T, N, H)
    if dx is not None:
        da = da + dx @ params["W_xh"].T

    dh = xp.empty_like(h)
    dh[0] = dstate
    for t in range(len(x)):
        moved = activation_grad(h[t + 1], nonlinearity) * (da[t] + h[t] @ dW_hh.T + dh[t] @ W_hh.T)
        dh[t + 1] = keep(valid, t, moved, dh[t])
    return dh[1:], dh[-1]


def saturated(trace: Trace, *, nonlinearity: str = "tanh") -> Array:
    """(T, N) float64: the fraction of units of each row that are saturated, |h| > 0.999 of tanh and h = 0 of relu.

    There the slope is (nearly) 0, and (almost) nothing comes back through a unit. NaN where a row is over.
    """
    h, xp = trace.h[1:], namespace(trace.h)
    fractions = ((xp.abs(h) > SATURATED) if nonlinearity == "tanh" else (h == 0)).mean(axis=2)
    return fractions if trace.valid is None else xp.where(trace.valid[..., 0], fractions, np.nan)


def states(trace: Trace) -> Array:
    """(T + 1, N, H): h before the first step and after each."""
    return trace.h


def step_jacobians(params: Mapping[str, Array], trace: Trace, *, nonlinearity: str = "tanh") -> tuple[Array, Array]:
    """∂h_t/∂h_{t−1} = diag(φ′(a_t)) · W_hh of every step, as its two factors: φ′(a_t) (T, N, H), and W_hh (H, H)."""
    return activation_grad(trace.h[1:], nonlinearity), params["W_hh"]


def keep(valid: Array | None, t: int, new: Array, old: Any) -> Array:
    """`new` in the rows that still run at step t, `old` in those that are over. valid (T, N, 1); None: all run."""
    return new if valid is None else namespace(new).where(valid[t], new, old)


def activate(a: Array, nonlinearity: str) -> Array:
    """tanh a; or relu a = max(0, a), which leaves a NaN as it is."""
    xp = namespace(a)
    return xp.tanh(a) if nonlinearity == "tanh" else xp.where(a.real <= 0, 0, a)


def activation_grad(h: Array, nonlinearity: str) -> Array:
    """∂h/∂a in terms of h itself: 1 − h² for h = tanh a; 1 where h > 0, else 0, for h = relu a."""
    return 1 - h**2 if nonlinearity == "tanh" else (h > 0).astype(h.dtype)


def project(W_xh: Array, x: Array) -> Array:
    """W_xh · x_t for all steps; for a token i, W_xh · onehot(i) is column i of W_xh."""
    return W_xh.T[x] if x.ndim == 2 else x @ W_xh.T


def project_grad(da: Array, x: Array, dW_xh: Array) -> None:
    """∂L/∂W_xh = Σ ∂L/∂a_t · x_tᵀ, written into dW_xh; a token adds its ∂L/∂a_t to its column. da is (T·N, H)."""
    if x.ndim == 3:
        dW_xh[...] = da.T @ x.reshape(-1, x.shape[2])
        return
    xp = namespace(dW_xh)
    columns = xp.zeros_like(dW_xh, shape=dW_xh.shape[::-1])  # (D, H)
    xp.add.at(columns, x.reshape(-1), da)
    dW_xh[...] = columns.T


def flush_subnormals(dh: Array) -> tuple[Array, Array]:
    """dh with entries below the smallest normal number set to 0, and how many there were.

    A decaying derivative would otherwise stick at a few subnormals, and a plot would show a floor that is not there.
    """
    xp = namespace(dh)
    tiny = (dh != 0) & (xp.abs(dh) < np.finfo(dh.dtype).tiny)
    return xp.where(tiny, 0, dh), tiny.sum()


@dataclass(frozen=True)
class RNN(RecurrentLayer):
    """A plain recurrent layer: h_t = tanh(W_hh · h_{t−1} + W_xh · x_t + b_h).

    Parameters
    ----------
    input_size : D. Integer tokens (N, T) stand for one-hot vectors of that size.
    hidden_size : H.
    num_layers : that many on top of one another, each reading the states of the one below.
    bidirectional : beside each, another that reads the sequence from its end; outputs are [forward, reverse], 2·H wide.
    nonlinearity : "tanh", or "relu" for h_t = max(0, …).
    dropout : probability with which, in training, an output of a lower layer is not seen by the next (`Dropout`).
    init : rule for the weight matrices; biases start at 0. "xavier" is Glorot uniform, "he" N(0, 2 / inputs),
        "normal(std)" N(0, std²). "orthogonal", "identity" (with relu: the IRNN) and "spectral(radius)" are for W_hh;
        the other matrices are then "xavier".

    The model's parameters are W_xh (H, D), W_hh (H, H), b_h (H,); further cells add "_reverse", "_l1", "_l1_reverse", …
    to these names. Input (N, T, D), output h (N, T, H). The state is (N, H), but (num_layers · directions, N, H), as in
    PyTorch, where there is more than one cell. Raises ValueError or TypeError that says what was expected.
    Source: chapter, 循环神经网络(RNN) and 双向RNN(Bi-RNN); Schuster and Paliwal 1997 for both directions.

    >>> list(RNN(3, 4, bidirectional=True).shapes())
    ['W_xh', 'W_hh', 'b_h', 'W_xh_reverse', 'W_hh_reverse', 'b_h_reverse']
    """

    input_size: int
    hidden_size: int
    num_layers: int = field(default=1, kw_only=True)
    bidirectional: bool = field(default=False, kw_only=True)
    nonlinearity: str = field(default="tanh", kw_only=True)
    dropout: float = field(default=0.0, kw_only=True)
    init: str = field(default="xavier", kw_only=True)

    cell = Cell(forward, backward, weight_grads, tangent, saturated, states, step_jacobians, ("W_xh", "W_hh", "b_h"))

    def __post_init__(self) -> None:
        normalize(self, input_size=integer, hidden_size=integer, num_layers=integer, bidirectional=boolean)
        normalize(self, dropout=probability)
        if self.nonlinearity not in ("tanh", "relu"):
            raise ValueError(f'nonlinearity={self.nonlinearity!r} is not known; choose "tanh" or "relu"')
        if self.dropout and self.num_layers == 1:
            raise ValueError(
                f"dropout={self.dropout} acts between the layers of an RNN, and num_layers=1 has none between; "
                f"put Dropout({self.dropout}) after it"
            )
        check_init(self.init)

    @property
    def options(self) -> Mapping[str, Any]:
        """What the cell's functions need besides arrays."""
        return {"nonlinearity": self.nonlinearity}

    def cell_shapes(self, input_size: int) -> dict[str, Shape]:
        """W_xh (H, D), W_hh (H, H) and b_h (H,)."""
        H = self.hidden_size
        return {"W_xh": (H, input_size), "W_hh": (H, H), "b_h": (H,)}
