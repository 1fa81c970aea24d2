"""The recurrence: the chapter's hidden state, forward and backward through time.

    h_t = tanh(W_hh · h_{t−1} + W_xh · x_t + b_h)      or relu in place of tanh

Letters used throughout: N rows in the batch, T time steps, D input features, H hidden units. Arrays are time-major.
`h` has T + 1 steps: `h[0]` is the state before the first input, `h[t + 1]` the state after x_t (the chapter's h_t).

Three functions share this screen. `forward` leaves a Trace; `backward` turns ∂L/∂h into every gradient from that trace
alone, because tanh′(a) = 1 − tanh²(a) = 1 − h²; `tangent` is the forward pass linearised around the trace, which the
adjoint test of `check_gradients` sets against `backward`. They run as they stand on NumPy arrays, on CuPy arrays, and
(forward) on complex numbers for the complex-step check. The numba backend, which is the default, computes with jitted
twins of them: whoever changes this text to see what happens runs it with `use_backend("numpy")` or `--backend numpy`.

The specification, `RNN`, may ask for several such layers, and for both directions: `recurrent.py` makes those of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .._arguments import boolean, integer, normalize, probability
from .._arrays import Array, namespace
from .._numerics import row_norms
from ..parameters import Shape
from . import dropout, recurrent
from .initializers import check_init
from .initializers import draw as draw_initial
from .recurrent import suffix


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
        h[t + 1] = activate(a[t] + h[t] @ W_hh.T, nonlinearity)  # (N, H)
        if valid is not None:
            h[t + 1] = xp.where(valid[t], h[t + 1], h[t])
    return h[1:], h[T], Trace(x, h, valid)


def backward(
    params: Mapping[str, Array],
    dy: Array,
    trace: Trace,
    dstate: Array,
    *,
    inputs: bool = True,
    nonlinearity: str = "tanh",
) -> tuple[Array | None, Array, dict[str, Array], Flow]:
    """Backpropagation through time. With δ_t = ∂L/∂h_t and a_t the argument of tanh:

        δ_t     = ∂L/∂y-part_t + W_hhᵀ · ∂L/∂a_{t+1}          (the last step starts from dstate)
        ∂L/∂a_t = δ_t ⊙ (1 − h_t²)
        ∂L/∂W_hh = Σ_t ∂L/∂a_t · h_{t−1}ᵀ    ∂L/∂W_xh = Σ_t ∂L/∂a_t · x_tᵀ    ∂L/∂b_h = Σ_t ∂L/∂a_t
        ∂L/∂x_t = W_xhᵀ · ∂L/∂a_t            ∂L/∂h0 = W_hhᵀ · ∂L/∂a_0

    dy (T, N, H) is ∂L/∂h as the layers above see it, dstate (N, H) as whoever takes the last state sees it. Returns dx
    (None for integer x or inputs=False), ∂L/∂h0 (N, H), the gradients by name, and the flow.
    """
    x, h, valid = trace
    T, H = len(dy), h.shape[2]
    xp = namespace(h)
    W_xh, W_hh = params["W_xh"], params["W_hh"]

    dh = xp.empty_like(dy)  # (T, N, H): δ_t
    da = xp.empty_like(dy)  # (T, N, H): ∂L/∂a_t
    flushed = xp.empty(T, dtype=int)
    carried = dstate
    for t in reversed(range(T)):
        dh[t], flushed[t] = flush_subnormals(dy[t] + carried)
        da[t] = dh[t] * slope(h[t + 1], nonlinearity)
        if valid is not None:
            da[t] = xp.where(valid[t], da[t], 0)
        carried = da[t] @ W_hh
        if valid is not None:
            carried = xp.where(valid[t], carried, dh[t])

    rows = da.reshape(-1, H)  # every step of every row: (T·N, H)
    grads = {
        "W_xh": project_grad(rows, x, W_xh),
        "W_hh": rows.T @ h[:-1].reshape(-1, H),
        "b_h": rows.sum(axis=0),
    }
    dx = da @ W_xh if inputs and x.ndim == 3 else None
    return dx, carried, grads, Flow(row_norms(dh), flushed)


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
        dh[t + 1] = slope(h[t + 1], nonlinearity) * (da[t] + h[t] @ dW_hh.T + dh[t] @ W_hh.T)
        if valid is not None:
            dh[t + 1] = xp.where(valid[t], dh[t + 1], dh[t])
    return dh[1:], dh[-1]


def activate(a: Array, nonlinearity: str) -> Array:
    """tanh a; or relu a = max(0, a), which leaves a NaN as it is."""
    xp = namespace(a)
    return xp.tanh(a) if nonlinearity == "tanh" else xp.where(a.real <= 0, 0, a)


def slope(h: Array, nonlinearity: str) -> Array:
    """∂h/∂a in terms of h itself: 1 − h² for h = tanh a; 1 where h > 0, else 0, for h = relu a."""
    return 1 - h**2 if nonlinearity == "tanh" else (h > 0).astype(h.dtype)


def project(W_xh: Array, x: Array) -> Array:
    """W_xh · x_t for all steps; for a token i, W_xh · onehot(i) is column i of W_xh."""
    return W_xh.T[x] if x.ndim == 2 else x @ W_xh.T


def project_grad(rows: Array, x: Array, W_xh: Array) -> Array:
    """∂L/∂W_xh = Σ ∂L/∂a_t · x_tᵀ; a token adds its ∂L/∂a_t to its column. rows is ∂L/∂a as (T·N, H)."""
    if x.ndim == 3:
        return rows.T @ x.reshape(-1, x.shape[2])
    xp = namespace(W_xh)
    columns = xp.zeros_like(W_xh, shape=W_xh.shape[::-1])  # (D, H)
    xp.add.at(columns, x.reshape(-1), rows)
    return columns.T


def flush_subnormals(dh: Array) -> tuple[Array, Array]:
    """dh with entries below the smallest normal number set to 0, and how many there were.

    A decaying derivative would otherwise stick at a few subnormals, and a plot would show a floor that is not there.
    """
    xp = namespace(dh)
    tiny = (dh != 0) & (xp.abs(dh) < np.finfo(dh.dtype).tiny)
    return xp.where(tiny, 0, dh), tiny.sum()


stacked_forward = partial(recurrent.forward, recurrence=forward)
stacked_backward = partial(recurrent.backward, recurrence=backward)
stacked_tangent = partial(recurrent.tangent, recurrence=tangent)


@dataclass(frozen=True)
class RNN:
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

    recurrent = True
    takes_tokens = True
    takes_vectors = True

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
    def cells(self) -> int:
        """Number of recurrences: levels times directions."""
        return self.num_layers * (1 + self.bidirectional)

    @property
    def forward(self) -> Callable[..., Any]:
        """That of one cell, or of all of them."""
        return forward if self.cells == 1 else stacked_forward

    @property
    def backward(self) -> Callable[..., Any]:
        """As `forward`."""
        return backward if self.cells == 1 else stacked_backward

    @property
    def tangent(self) -> Callable[..., Any]:
        """As `forward`."""
        return tangent if self.cells == 1 else stacked_tangent

    @property
    def options(self) -> Mapping[str, Any]:
        """What these functions need besides arrays."""
        options: dict[str, Any] = {"nonlinearity": self.nonlinearity}
        if self.cells > 1:
            options |= {"num_layers": self.num_layers, "bidirectional": self.bidirectional}
        return options

    @property
    def output_size(self) -> int:
        """H, or 2·H with both directions."""
        return self.hidden_size * (1 + self.bidirectional)

    def shapes(self) -> dict[str, Shape]:
        """Parameter shapes by symbol, in the order in which they are stored and drawn."""
        H = self.hidden_size
        shapes: dict[str, Shape] = {}
        for i in range(self.cells):
            D = self.input_size if i < 1 + self.bidirectional else self.output_size
            after = suffix(i, self.bidirectional)
            shapes |= {f"W_xh{after}": (H, D), f"W_hh{after}": (H, H), f"b_h{after}": (H,)}
        return shapes

    def initial(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Initial parameters."""
        return draw_initial(rng, self.shapes(), self.init)

    def state_shape(self, rows: int) -> Shape:
        """Shape of the state of a batch of `rows` rows."""
        return (rows, self.hidden_size) if self.cells == 1 else (self.cells, rows, self.hidden_size)

    def draw(self, rng: np.random.Generator, steps: int, rows: int, dtype: Any) -> np.ndarray | None:
        """What dropout between the levels leaves out of a pass over so many steps and rows: (L − 1, T, N, R·H)."""
        if not self.dropout:
            return None
        return dropout.draw(rng, (self.num_layers - 1, steps, rows, self.output_size), self.dropout, dtype)
