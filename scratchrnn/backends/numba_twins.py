"""Jitted twins: the same arguments and the same results as the text, computed by kernels that Numba compiles.

Upper half, the *kernels*: plain loops over arrays, handed to Numba. Lower half, the *twins*: Python functions that
prepare arrays for the kernels and wrap what comes out in the text's own NamedTuples. `TWINS` at the end says which twin
stands for which text, and one test compares every entry with its text.

Everything expensive is a matrix product, so there is one product, `_multiply_add`: C += A · B. It keeps the *columns*
innermost, where memory is contiguous, and takes two rows of A and four of B at a time: of the sixteen numbers that meet
in each column, eight stay in registers while the loop runs along the columns, so each of the six loads and two stores
serves two multiplications or more, and the compiler turns the loop into vector instructions by itself. The rows of B
are cut into *panels* of 256 columns, each stored contiguously, because rows a power of two apart fall on the same lines
of the first-level cache and push each other out. A matrix of up to 256 columns is its own single panel, uncopied.

The recurrence works in place. The projections of all inputs are written to where the states will be; step t then
multiplies, adds and applies tanh there, and no array of pre-activations exists beside `h`.

All kernels and their helpers live in this one file: Numba's cache on disk notices a change of the file whose kernel it
is asked for, and of no other. Constants inside kernels are of the array's dtype: a float64 constant would turn float32
arithmetic into float64. `fastmath` allows products and sums to be fused and reordered, but not the flags that assume
there is no NaN or inf: both must come through.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numba import njit
from numba.core import event

from .. import losses, optimizers
from ..gradients import clip
from ..layers import linear, rnn
from .arrays import Array

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
PANEL = 256  # columns of B that lie together
DEPTH = 256  # rows of B in use at a time: with PANEL, what fits the second-level cache
ONE = np.int64(1)  # a literal 1 would be a type of its own, and compile again


# Compiling


class Kernel:
    """A compiled kernel whose cache on disk may fail at no more cost than a warning.

    Numba finds out at decoration that there is no place for a cache, and at the first call that a cached file cannot be
    read or written; neither is a reason not to compute.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        try:
            self._compiled = njit(cache=True, **OPTIONS)(function)
        except RuntimeError as error:
            _warn_uncached(error)
            self._compiled = njit(**OPTIONS)(function)

    def __call__(self, *args: Any) -> Any:
        try:
            return self._compiled(*args)
        except Exception as error:  # a damaged cache file can raise anything; a kernel itself raises nothing
            return self._again(error, args)

    def _again(self, error: Exception, args: tuple[Any, ...]) -> Any:
        _warn_uncached(error)
        try:
            return self._compiled(*args)  # compiled by now, where only the writing failed
        except Exception:
            self._compiled = njit(**OPTIONS)(self._function)
            return self._compiled(*args)


_warned = False


def _warn_uncached(error: Exception) -> None:
    """Say once per process that the cache does not work."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"the cache of compiled kernels does not work ({type(error).__name__}: {error}); "
            "scratchrnn compiles them anew in each process. NUMBA_CACHE_DIR names another place for it.",
            RuntimeWarning,
            stacklevel=2,
        )


class Announcement(event.Listener):
    """Says on stderr that kernels are being compiled: one line per dtype, and none when the cache had them."""

    def __init__(self) -> None:
        self._announced: set[str] = set()

    def on_start(self, started: Any) -> None:
        if started.data["dispatcher"].py_func.__module__ != __name__:
            return  # someone else's function
        floats = {str(t.dtype) for t in started.data["args"] if str(getattr(t, "dtype", "")).startswith("float")}
        dtype = min(floats, default="")  # sums are float64 beside float32 arrays
        if dtype not in self._announced:
            self._announced.add(dtype)
            message = f"scratchrnn: compiling the Numba kernels for {dtype} (once; cached for the next run) …"
            print(message, file=sys.stderr, flush=True)

    def on_end(self, ended: Any) -> None:
        pass


event.register("numba:compile", Announcement())

helper = njit(**OPTIONS)  # for functions that kernels call: compiled into them, and cached with them


# Kernels


@helper
def _two_rows(c0: Array, c1: Array, a0: Array, a1: Array, step: int, B: Array) -> None:
    """c0 += a0 · B and c1 += a1 · B. c0, c1 (J,); B (K·J,) row by row; number k of a row of A is a0[k · step]."""
    J = c0.size
    K = B.size // J
    for k in range(0, K - 3, 4):
        b0, b1 = B[k * J : (k + 1) * J], B[(k + 1) * J : (k + 2) * J]
        b2, b3 = B[(k + 2) * J : (k + 3) * J], B[(k + 3) * J : (k + 4) * J]
        i = k * step
        a00, a01, a02, a03 = a0[i], a0[i + step], a0[i + 2 * step], a0[i + 3 * step]
        a10, a11, a12, a13 = a1[i], a1[i + step], a1[i + 2 * step], a1[i + 3 * step]
        for j in range(J):
            c0[j] += a00 * b0[j] + a01 * b1[j] + a02 * b2[j] + a03 * b3[j]
            c1[j] += a10 * b0[j] + a11 * b1[j] + a12 * b2[j] + a13 * b3[j]
    for k in range(K - K % 4, K):
        b0, a00, a10 = B[k * J : (k + 1) * J], a0[k * step], a1[k * step]
        for j in range(J):
            c0[j] += a00 * b0[j]
            c1[j] += a10 * b0[j]


@helper
def _one_row(c0: Array, a0: Array, step: int, B: Array) -> None:
    """c0 += a0 · B."""
    J = c0.size
    K = B.size // J
    for k in range(0, K - 3, 4):
        b0, b1 = B[k * J : (k + 1) * J], B[(k + 1) * J : (k + 2) * J]
        b2, b3 = B[(k + 2) * J : (k + 3) * J], B[(k + 3) * J : (k + 4) * J]
        i = k * step
        a00, a01, a02, a03 = a0[i], a0[i + step], a0[i + 2 * step], a0[i + 3 * step]
        for j in range(J):
            c0[j] += a00 * b0[j] + a01 * b1[j] + a02 * b2[j] + a03 * b3[j]
    for k in range(K - K % 4, K):
        b0, a00 = B[k * J : (k + 1) * J], a0[k * step]
        for j in range(J):
            c0[j] += a00 * b0[j]


@helper
def _multiply_add(C: Array, A: Array, row: int, step: int, B: Array) -> None:
    """C += A · B. C (M, J); A (M, K) flat, with A[i, k] at A[i · row + k · step]; B (K, J) as panels."""
    M, J = C.shape
    K = B.size // J
    for j in range(0, J, PANEL):
        width = min(PANEL, J - j)
        for k in range(0, K, DEPTH):
            depth = min(DEPTH, K - k)
            tile = B[j * K + k * width : j * K + (k + depth) * width]
            for i in range(0, M - 1, 2):
                start = i * row + k * step
                _two_rows(C[i, j : j + width], C[i + 1, j : j + width], A[start:], A[start + row :], step, tile)
            if M % 2:
                _one_row(C[M - 1, j : j + width], A[(M - 1) * row + k * step :], step, tile)


@helper
def _tanh(a: Array) -> None:
    """a ← tanh(a) in place, to about 6 units in the last place. a (M,).

    Lambert's continued fraction tanh y = y / (1 + y²/(3 + y²/(5 + …))), cut after six levels, is a ratio p / q of
    polynomials with whole coefficients. Starting from y = a / 16, four times tanh 2y = 2pq / (p² + q²) leads to a.
    Doubling never enlarges a relative error, and takes away what the cut leaves at the larger y: there tanh a is nearly
    ±1, whatever tanh y is. Where the nearest number is ±1 the result is exactly that, so that 1 − h² is 0 there, as in
    the text. There are no branches, so the loop runs in vectors. Comparisons with NaN are false, so it passes.
    """
    F = a.dtype.type
    limit = F(19.1) if a.itemsize == 8 else F(9.02)
    one, two, sixteenth = F(1), F(2), F(1 / 16)
    p1, p2 = F(1260 / 10395), F(21 / 10395)
    q1, q2, q3 = F(4725 / 10395), F(210 / 10395), F(1 / 10395)
    for i in range(a.size):
        x = a[i]
        x = limit if x > limit else x
        x = -limit if x < -limit else x
        y = x * sixteenth
        s = y * y
        p = y * (one + s * (p1 + s * p2))
        q = one + s * (q1 + s * (q2 + s * q3))
        p, q = two * p * q, p * p + q * q
        p, q = two * p * q, p * p + q * q
        p, q = two * p * q, p * p + q * q
        p, q = two * p * q, p * p + q * q
        h = p / q
        h = one if (h > one) | (x >= limit) else h  # rounding may step over 1
        a[i] = -one if (h < -one) | (x <= -limit) else h


@helper
def _norm(a: Array) -> float:
    """√(Σ a²) in float64, scaled by the largest entry first where the squares over- or underflow. a (M,)."""
    total = 0.0
    for i in range(a.size):
        total += np.float64(a[i]) * np.float64(a[i])
    if 1e-280 < total < 1e280:
        return np.sqrt(total)
    largest = 0.0
    for i in range(a.size):
        size = abs(np.float64(a[i]))
        largest = size if size > largest else largest  # a NaN is left to the sum below
    scale = largest if 0 < largest < np.inf else 1.0
    total = 0.0
    for i in range(a.size):
        scaled = np.float64(a[i]) / scale
        total += scaled * scaled
    return scale * np.sqrt(total)


def _affine(Y: Array, X: Array, W: Array, b: Array) -> None:
    """Y = X · W + b for every row. Y (M, J), X (M, K), W (K, J) as panels, b (J,)."""
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = b[j]
    _multiply_add(Y, X.reshape(-1), X.shape[1], ONE, W)


def _product(C: Array, A: Array, row: int, step: int, B: Array) -> None:
    """C = A · B. Arguments as `_multiply_add`: with row and step exchanged, a stored matrix is taken transposed."""
    C[:] = 0
    _multiply_add(C, A, row, step, B)


def _column_sums(s: Array, A: Array) -> None:
    """s = Σ over the rows of A, in float64. s (J,), A (K, J)."""
    s[:] = 0
    for k in range(A.shape[0]):
        for j in range(A.shape[1]):
            s[j] += A[k, j]


def _scatter(columns: Array, tokens: Array, rows: Array) -> None:
    """Add each row to the column (stored as a row) of its token. columns (D, H), tokens (M,), rows (M, H)."""
    columns[:] = 0
    for i in range(tokens.size):
        d = tokens[i]
        for j in range(rows.shape[1]):
            columns[d, j] += rows[i, j]


def _states(h: Array, W: Array, valid: Array) -> None:
    """h_t = tanh(a_t + W_hh · h_{t−1}), in place. h (T + 1, N, H): h[0] is the first state, h[t + 1] holds a_t.

    W is W_hhᵀ as panels; valid (T, N), or (0, 0) where every row is T long.
    """
    for t in range(h.shape[0] - 1):
        _multiply_add(h[t + 1], h[t].reshape(-1), h.shape[2], ONE, W)
        _tanh(h[t + 1].reshape(-1))
        if valid.size:
            for n in range(valid.shape[1]):
                if not valid[t, n]:
                    for j in range(h.shape[2]):  # a slice assignment would compile NumPy's broadcasting too
                        h[t + 1, n, j] = h[t, n, j]


def _through_time(
    da: Array,
    carried: Array,
    row_norms: Array,
    flushed: Array,
    dy: Array,
    h: Array,
    W: Array,
    valid: Array,
    tiny: float,
) -> None:
    """∂L/∂a_t for all t, from the last step to the first.

    carried (N, H) is what later steps hand back: ∂L/∂h_{T−1} at first, ∂L/∂h0 in the end. da, dy (T, N, H);
    h (T + 1, N, H); W is W_hh as panels; valid as in `_states`; row_norms (T, N); flushed (T,); tiny is the smallest
    normal number of the dtype.
    """
    T, N, H = dy.shape
    zero, one = h.dtype.type(0), h.dtype.type(1)
    for t in range(T - 1, -1, -1):
        flushed[t] = 0
        for n in range(N):
            above, d, a, state = dy[t, n], carried[n], da[t, n], h[t + 1, n]
            subnormal = 0
            for j in range(H):
                total = above[j] + d[j]
                small = (total != zero) & (abs(total) < tiny)
                subnormal += small
                total = zero if small else total
                d[j] = total  # ∂L/∂h_t
                a[j] = total * (one - state[j] * state[j])
            flushed[t] += subnormal
            row_norms[t, n] = _norm(d)
            if valid.size and not valid[t, n]:
                a[:] = 0  # the step is not there: ∂L/∂h_t goes back as it is
            else:
                d[:] = 0
        _multiply_add(carried, da[t].reshape(-1), H, ONE, W)


def _mse(dy: Array, y: Array, target: Array, mask: Array, scale: float) -> float:
    """Σ (y − ŷ)² over the counted rows; dy = scale · (y − ŷ), 0 in the others. All (M, O); mask (M,), or (0,)."""
    total = 0.0
    for i in range(y.shape[0]):
        if mask.size and not mask[i]:
            dy[i] = 0
            continue
        for o in range(y.shape[1]):
            error = y[i, o] - target[i, o]
            total += np.float64(error) * np.float64(error)
            dy[i, o] = error * scale
    return total


def _cross_entropy(dy: Array, y: Array, target: Array, mask: Array, count: int) -> float:
    """Σ (log Σ_o exp y_o − y_target) over the counted rows; dy = (softmax(y) − onehot) / count, 0 in the others.

    dy, y (M, O); target (M,); mask (M,), or (0,).
    """
    total = 0.0
    for i in range(y.shape[0]):
        if mask.size and not mask[i]:
            dy[i] = 0
            continue
        largest = y[i, 0]
        for o in range(y.shape[1]):
            largest = y[i, o] if y[i, o] > largest else largest
        normaliser = 0.0
        for o in range(y.shape[1]):
            e = np.exp(np.float64(y[i, o]) - np.float64(largest))
            normaliser += e
            dy[i, o] = e
        z = np.float64(y[i, target[i]]) - np.float64(largest)
        total += np.log(normaliser) - z
        for o in range(y.shape[1]):
            dy[i, o] = np.float64(dy[i, o]) / normaliser / count
        dy[i, target[i]] = (np.exp(z) / normaliser - 1.0) / count  # in float64: near 1 − 1 float32 has few digits
    return total


def _whole_norm(a: Array) -> float:
    """‖a‖ of one vector."""
    return _norm(a)


def _momentum(delta: Array, grad: Array, m: Array, momentum: float, rate: float) -> None:
    """m ← μ·m + g;  δ = η·m. All vectors (M,), here and below."""
    for i in range(grad.size):
        m[i] = momentum * m[i] + grad[i]
        delta[i] = rate * m[i]


def _rescaled(delta: Array, grad: Array, v: Array, keep: float, take: float, rate: float, eps: float) -> None:
    """v ← keep·v + take·g²;  δ = η·g / (√v + ε)."""
    for i in range(grad.size):
        v[i] = keep * v[i] + take * (grad[i] * grad[i])
        delta[i] = rate * grad[i] / (np.sqrt(v[i]) + eps)


def _adam(
    delta: Array,
    grad: Array,
    m: Array,
    v: Array,
    keep_m: float,
    take_m: float,
    keep_v: float,
    take_v: float,
    rate: float,
    correction: float,
    eps: float,
) -> None:
    """m ← keep_m·m + take_m·g;  v ← keep_v·v + take_v·g²;  δ = rate·m / (√(v / correction) + ε)."""
    for i in range(grad.size):
        m[i] = keep_m * m[i] + take_m * grad[i]
        v[i] = keep_v * v[i] + take_v * (grad[i] * grad[i])
        delta[i] = rate * m[i] / (np.sqrt(v[i] / correction) + eps)


affine = Kernel(_affine)
product = Kernel(_product)
column_sums = Kernel(_column_sums)
scatter = Kernel(_scatter)
states = Kernel(_states)
through_time = Kernel(_through_time)
mse_sum = Kernel(_mse)
cross_entropy_sum = Kernel(_cross_entropy)
whole_norm = Kernel(_whole_norm)
momentum_step = Kernel(_momentum)
rescaled_step = Kernel(_rescaled)
adam_step = Kernel(_adam)


# Twins


def ready(a: Array) -> Array:
    """The array as the kernels were compiled for: contiguous, aligned and writeable; a copy where it is not."""
    return a if a.flags.carray else np.array(a, order="C")


def panels(B: Array) -> Array:
    """B (K, J) in the order in which `_multiply_add` reads it: 256 columns at a time, row by row, as a flat array."""
    if B.shape[1] <= PANEL:
        return ready(B).reshape(-1)
    return np.concatenate([B[:, j : j + PANEL].reshape(-1) for j in range(0, B.shape[1], PANEL)])


def rows_of(a: Array) -> Array:
    """Every step of every row: (T, N, H) → (T·N, H)."""
    return a.reshape(-1, a.shape[2])


def product_of(A: Array, B: Array) -> Array:
    """A · B. A (M, K), B (K, J)."""
    C = np.empty((A.shape[0], B.shape[1]), A.dtype)
    product(C, A.reshape(-1), A.shape[1], 1, panels(B))
    return C


def transposed_product_of(A: Array, B: Array) -> Array:
    """Aᵀ · B, a sum over all rows. A (K, M), B (K, J)."""
    C = np.empty((A.shape[1], B.shape[1]), A.dtype)
    product(C, A.reshape(-1), 1, A.shape[1], panels(B))
    return C


def sum_of_rows(A: Array) -> Array:
    """Σ over the rows, accumulated in float64. A (K, J)."""
    s = np.empty(A.shape[1])
    column_sums(s, A)
    return s.astype(A.dtype)


ALL_VALID = np.zeros((0, 0), dtype=bool)
ALL_COUNT = np.zeros(0, dtype=bool)
TINY = {np.dtype(dtype): np.finfo(dtype).tiny for dtype in (np.float32, np.float64)}


def rnn_forward(
    params: Mapping[str, Array],
    x: Array,
    state: Array,
    *,
    lengths: Array | None = None,
    rng: np.random.Generator | None = None,
) -> tuple[Array, Array, rnn.Trace]:
    """Twin of `layers.rnn.forward`."""
    W_xh, W_hh, b_h = params["W_xh"], params["W_hh"], params["b_h"]
    x = ready(x)
    T, N = x.shape[:2]
    h = np.empty((T + 1, N, len(W_hh)), W_hh.dtype)
    h[0] = state
    if x.ndim == 2:
        np.take(np.ascontiguousarray(W_xh.T), x, axis=0, out=h[1:], mode="clip")  # "raise" would copy; all are in range
        h[1:] += b_h
    else:
        affine(rows_of(h[1:]), rows_of(x), panels(W_xh.T), ready(b_h))
    valid = None if lengths is None else np.arange(T)[:, None, None] < lengths[:, None]
    states(h, panels(W_hh.T), ALL_VALID if valid is None else valid.reshape(T, N))
    return h[1:], h[T], rnn.Trace(x, h, valid)


def rnn_backward(
    params: Mapping[str, Array], dy: Array, trace: rnn.Trace, dstate: Array, *, inputs: bool = True
) -> tuple[Array | None, Array, dict[str, Array], rnn.Flow]:
    """Twin of `layers.rnn.backward`."""
    x, h, valid = trace
    W_xh, W_hh = params["W_xh"], params["W_hh"]
    T, N, H = dy.shape
    dtype = h.dtype
    da = np.empty((T, N, H), dtype)
    carried = np.array(dstate, order="C")
    row_norms = np.empty((T, N))
    flushed = np.empty(T, dtype=int)
    mask = ALL_VALID if valid is None else ready(valid.reshape(T, N))
    through_time(da, carried, row_norms, flushed, ready(dy), h, panels(W_hh), mask, TINY[dtype])

    rows = rows_of(da)
    if x.ndim == 2:
        columns = np.empty((W_xh.shape[1], H), dtype)
        scatter(columns, x.reshape(-1), rows)
    else:
        columns = transposed_product_of(rows_of(x), rows)  # (∂L/∂W_xh)ᵀ: the inner loop runs along H, D may be 1
    grads = {"W_xh": columns.T, "W_hh": transposed_product_of(rows, rows_of(h[:-1])), "b_h": sum_of_rows(rows)}
    dx = product_of(rows, W_xh).reshape(x.shape) if inputs and x.ndim == 3 else None
    return dx, carried, grads, rnn.Flow(row_norms, flushed)


def linear_forward(
    params: Mapping[str, Array],
    h: Array,
    state: None,
    *,
    lengths: Array | None = None,
    rng: np.random.Generator | None = None,
) -> tuple[Array, None, linear.Trace]:
    """Twin of `layers.linear.forward`."""
    W_hy = params["W_hy"]
    h = ready(h)
    y = np.empty((*h.shape[:2], len(W_hy)), W_hy.dtype)
    affine(rows_of(y), rows_of(h), panels(W_hy.T), ready(params["b_y"]))
    return y, None, linear.Trace(h)


def linear_backward(
    params: Mapping[str, Array], dy: Array, trace: linear.Trace, dstate: None, *, inputs: bool = True
) -> tuple[Array | None, None, dict[str, Array], None]:
    """Twin of `layers.linear.backward`."""
    W_hy, h = params["W_hy"], trace.h
    rows = rows_of(ready(dy))
    grads = {"W_hy": transposed_product_of(rows, rows_of(h)), "b_y": sum_of_rows(rows)}
    return product_of(rows, W_hy).reshape(h.shape) if inputs else None, None, grads, None


def mse(y: Array, target: Array, count: int, mask: Array | None = None) -> tuple[Any, Array]:
    """Twin of `losses.mse`."""
    outputs = count * y.shape[2]
    dy = np.empty(y.shape, y.dtype)
    counted = ALL_COUNT if mask is None else ready(mask).reshape(-1)
    total = mse_sum(rows_of(dy), rows_of(ready(y)), rows_of(ready(target)), counted, y.dtype.type(2 / outputs))
    return np.float64(total / outputs), dy


def softmax_cross_entropy(y: Array, target: Array, count: int, mask: Array | None = None) -> tuple[Any, Array]:
    """Twin of `losses.softmax_cross_entropy`."""
    dy = np.empty(y.shape, y.dtype)
    counted = ALL_COUNT if mask is None else ready(mask).reshape(-1)
    total = cross_entropy_sum(rows_of(dy), rows_of(ready(y)), ready(target).reshape(-1), counted, count)
    return np.float64(total / count), dy


def vector_norm(vector: Array) -> Any:
    """Twin of `gradients.clip.vector_norm`."""
    return np.float64(whole_norm(ready(vector)))


def sgd(
    delta: Array, grad: Array, moments: optimizers.Moments, step: int, learning_rate: float, momentum: float
) -> None:
    """Twin of `optimizers.sgd`."""
    F = grad.dtype.type
    if momentum:
        momentum_step(delta, ready(grad), moments["m"], F(momentum), F(learning_rate))
    else:
        np.multiply(grad, F(learning_rate), out=delta)


def adagrad(
    delta: Array, grad: Array, moments: optimizers.Moments, step: int, learning_rate: float, eps: float
) -> None:
    """Twin of `optimizers.adagrad`."""
    F = grad.dtype.type
    rescaled_step(delta, ready(grad), moments["v"], F(1), F(1), F(learning_rate), F(eps))


def rmsprop(
    delta: Array, grad: Array, moments: optimizers.Moments, step: int, learning_rate: float, decay: float, eps: float
) -> None:
    """Twin of `optimizers.rmsprop`."""
    F = grad.dtype.type
    rescaled_step(delta, ready(grad), moments["v"], F(decay), F(1 - decay), F(learning_rate), F(eps))


def adam(
    delta: Array,
    grad: Array,
    moments: optimizers.Moments,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """Twin of `optimizers.adam`."""
    F = grad.dtype.type
    rate, correction = learning_rate / (1 - beta1**step), 1 - beta2**step
    decays = F(beta1), F(1 - beta1), F(beta2), F(1 - beta2)
    adam_step(delta, ready(grad), moments["m"], moments["v"], *decays, F(rate), F(correction), F(eps))


TWINS: dict[Callable[..., Any], Callable[..., Any]] = {
    rnn.forward: rnn_forward,
    rnn.backward: rnn_backward,
    linear.forward: linear_forward,
    linear.backward: linear_backward,
    losses.mse: mse,
    losses.softmax_cross_entropy: softmax_cross_entropy,
    clip.vector_norm: vector_norm,
    optimizers.sgd: sgd,
    optimizers.adagrad: adagrad,
    optimizers.rmsprop: rmsprop,
    optimizers.adam: adam,
}
