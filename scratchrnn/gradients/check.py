"""Are the gradients right? Three references side by side, each with its own noise floor.

Every tensor (each parameter, h0, x) is tested along random directions v: the analytic ⟨g, v⟩ against

    finite differences   (L(θ + h·v) − L(θ − h·v)) / 2h of the float64 NumPy loss: independent of everything, accurate
    to
                         about 1e-9;
    complex step         Im L(θ + i·h·v) / h through the NumPy text with h = 1e-30: no subtraction, accurate to 1e-15;
    adjoint              ⟨∂L/∂y, J·v⟩ with J·v from the layers' `tangent` along the trajectory that the model stored:
    the
                         only one that survives chaos, and the only one that looks at float32 and device arrays
                         directly.

Errors are relative to the tensor's own norm and there is no absolute tolerance: it would pass a gradient of zero
wherever gradients vanish. What a method cannot resolve is called INCONCLUSIVE, never PASS: each has a noise floor,
measured by moving what it starts from in the last bit.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import passes
from ..backends.arrays import Array, to_numpy
from ..backends.numpy_backend import Backend
from ..parameters import Parameters
from ..passes import Batch
from .report import Comparison, Entry, GradientCheckError, GradientReport, TensorReport

FD_STEP = 2 * np.finfo(np.float64).eps ** (1 / 3)  # 1.2e-5, along a unit direction
CS_STEP = 1e-30
TOLERANCES = {
    np.dtype("float64"): {"finite differences": 1e-7, "complex step": 1e-12, "adjoint": 1e-12},
    np.dtype("float32"): {"finite differences": 1e-5, "complex step": 1e-5, "adjoint": 1e-5},
}
DIRECTIONS = 2  # random directions per tensor
ENTRIES = 8  # single entries looked at in a tensor that passes
BLOCK = 32  # entries that the search for a culprit ends with
SATURATED = 0.999
SAFETY = 4.0  # times what a last-bit change does


class Point(NamedTuple):
    """Where the loss is differentiated: every tensor as float64 NumPy, time-major. Also a direction to move in."""

    params: Parameters
    x: Array | None  # (T, N, D); None for integer tokens
    states: tuple[Array, ...]

    def tensor(self, name: str) -> Array:
        """A parameter by its name; "x"; "h0", or "h0[i]" for recurrent layer i."""
        if name in self.params:
            return self.params[name]
        return self.x if name == "x" else self.states[int(name.strip("h0[]") or 0)]

    def map(self, function: Callable[[Array], Array]) -> Point:
        """The function applied to every tensor."""
        x = None if self.x is None else function(self.x)
        return Point(self.params.like(function(self.params.vector)), x, tuple(function(s) for s in self.states))

    def plus(self, name: str, change: Array) -> Point:
        """A copy with one tensor changed, complex where the change is."""
        dtype = np.result_type(np.float64, change.dtype)
        moved = self.map(lambda a: a.astype(dtype))
        moved.tensor(name)[...] += change
        return moved


class Trajectory(NamedTuple):
    """What a forward pass left, as float64 NumPy: ∂L/∂y and the traces."""

    loss: float
    dy: Array
    traces: list[Any]

    def jittered(self, rng: np.random.Generator, eps: float) -> Trajectory:
        """The same with every stored number moved in its last bit."""
        return Trajectory(self.loss, self.dy, [_map_trace(t, lambda a: jitter(a, rng, eps)) for t in self.traces])


class Checker:
    """One model, one batch: the analytic gradients and the three ways of computing directional derivatives."""

    def __init__(
        self, model: Any, x: Any, target: Any, h0: Any, steps: Any, lengths: Any, rng: np.random.Generator
    ) -> None:
        self.rng = rng
        self.dtype = model.dtype
        self.eps = float(np.finfo(model.dtype).eps)
        self.reference = copy.deepcopy(model).to("numpy", "float64")
        target = to_numpy(target)
        if target.dtype.kind == "f":
            target = target.astype(model.dtype)
        self.arguments = {"target": target, "steps": steps, "lengths": lengths}
        batch = model._check_batch(x, target, None, steps, lengths)
        if h0 is None:
            states = tuple(rng.uniform(-0.5, 0.5, s.shape).astype(model.dtype) for s in batch.states)
            h0 = model._unpack_states(states)
        batch = model._check_batch(x, target, h0, steps, lengths)

        tokens = batch.x.ndim == 2
        result = model.loss_and_grads(x, target, h0=h0, steps=steps, lengths=lengths, inputs=not tokens)
        self.loss = float(result.loss)
        self.analytic = self._by_name(result, tokens)

        self.network = model._network
        self.batch = Batch(  # in float64, on NumPy
            _double(batch.x),
            tuple(_double(state) for state in batch.states),
            None if batch.lengths is None else to_numpy(batch.lengths),
            _double(batch.target),
            batch.counted.on(Backend()),
            batch.batch_rows,
        )
        vector = to_numpy(model.params.vector).astype(np.float64)
        self.point = Point(model.params.like(vector), None if tokens else self.batch.x, self.batch.states)

        self.stored = self._trajectory(model._backend, model.params, batch)
        self.stored_jittered = self.stored.jittered(rng, self.eps)
        self.text = self._text_trajectory(self.point)
        moved = self.point.map(lambda a: jitter(a, rng, self.eps))
        self.text_jittered = self._text_trajectory(moved).jittered(rng, self.eps)

    def finite_differences(self, name: str, v: Array) -> tuple[float, float]:
        """Directional derivative by central differences, and its noise: rounding of L, truncation, and conditioning."""
        size = max(1.0, float(np.sqrt(np.mean(self.point.tensor(name) ** 2))))
        h = FD_STEP * size / float(np.linalg.norm(v))

        def central(step: float) -> float:
            return (self._public_loss(name, step * v) - self._public_loss(name, -step * v)) / (2 * step)

        near, far = central(h), central(2 * h)
        rounding = 2 * np.finfo(np.float64).eps * abs(self.loss) / h
        truncation = abs(far - near)
        if truncation > 0.1 * abs(near) and truncation > 10 * rounding:
            truncation = np.inf  # the step leaves the range in which the loss is anything like linear: chaos
        return near, rounding + truncation + self._conditioning(name, v)

    def complex_step(self, name: str, v: Array) -> tuple[float, float]:
        """Directional derivative by the complex step, and its noise: conditioning, and underflow of the step itself."""
        params, x, states = self.point.plus(name, 1j * CS_STEP * v)
        batch = self.batch._replace(states=states, x=self.batch.x if x is None else x)
        loss, _, _ = passes.block_loss(self.network, Backend(), params, batch)
        return float(loss.imag) / CS_STEP, self._conditioning(name, v) + np.finfo(np.float64).tiny / CS_STEP

    def adjoint(self, name: str, v: Array) -> tuple[float, float]:
        """⟨∂L/∂y, J·v⟩ along the stored trajectory, and how far a last-bit change of that trajectory moves it."""
        value = self._along(self.stored, name, v)
        return value, SAFETY * abs(self._along(self.stored_jittered, name, v) - value)

    def _conditioning(self, name: str, v: Array) -> float:
        """How far the derivative moves when the point, and each state on the way, moves in its last bit.

        In chaos the trajectories part and this is as large as the derivative; under saturation 1 − h² has few digits.
        """
        return SAFETY * abs(self._along(self.text_jittered, name, v) - self._along(self.text, name, v))

    def _along(self, trajectory: Trajectory, name: str, v: Array) -> float:
        """The linearised loss in direction v."""
        direction = self.point.map(np.zeros_like).plus(name, v)
        moved = passes.tangent(self.network, self.point.params, trajectory.traces, self.batch.counted, *direction)
        return float((trajectory.dy * moved).sum())

    def _text_trajectory(self, point: Point) -> Trajectory:
        batch = self.batch._replace(states=point.states, x=self.batch.x if point.x is None else point.x)
        return self._trajectory(Backend(), point.params, batch)

    def _trajectory(self, backend: Backend, params: Parameters, batch: Batch) -> Trajectory:
        loss, dy, forward = passes.block_loss(self.network, backend, params, batch)
        return Trajectory(float(loss), _double(dy), [_map_trace(trace, _double) for trace in forward.traces])

    def _public_loss(self, name: str, change: Array) -> float:
        """`model.loss` of the float64 NumPy copy with one tensor moved."""
        point = self.point.plus(name, change)
        self.reference.params.vector[...] = point.params.vector
        x = self.batch.x if point.x is None else point.x
        h0 = self.reference._unpack_states(point.states)
        return float(self.reference.loss(x.swapaxes(0, 1), h0=h0, **self.arguments))

    def _by_name(self, result: Any, tokens: bool) -> dict[str, Array]:
        """Analytic gradients as float64 NumPy, time-major, under the names of the report."""
        named = dict(result.grads.items())
        if isinstance(result.grads_h0, tuple):
            named |= {f"h0[{i}]": grad for i, grad in enumerate(result.grads_h0)}
        else:
            named["h0"] = result.grads_h0
        if not tokens:
            named["x"] = result.grads_x.swapaxes(0, 1)
        return {name: _double(grad) for name, grad in named.items()}


def check_gradients(
    model: Any,
    x: Any,
    target: Any,
    *,
    h0: Any = None,
    steps: Any = "all",
    lengths: Any = None,
    tolerance: float | None = None,
    seed: int = 0,
    progress: bool = True,
    raise_exception: bool = False,
) -> GradientReport:
    """Check every gradient of a model on one batch against three references; print the report to read it.

    Analytic gradients come from the public `model.loss_and_grads` on the model's own backend and dtype. Random
    directions are tried first; in a tensor that fails, single entries are searched for the culprit.

    Parameters
    ----------
    x, target, steps, lengths : as `model.loss_and_grads`. Small sizes that differ from one another check best.
    h0 : None draws a non-zero state from U(−0.5, 0.5), since a zero state hides mistakes; the report says so.
    tolerance : of every method, relative to the norm of a tensor's gradient; None is 1e-12 in float64 (finite
    differences
        1e-7), 1e-5 in float32.
    seed : of the directions, and of h0.
    raise_exception : raise GradientCheckError, which carries the report, unless every tensor passes.

    Returns a report that is true when every tensor passes. A tensor passes when no method says FAIL and at least one
    says PASS; INCONCLUSIVE is said where a difference cannot be told from a method's noise.

    >>> from scratchrnn import VanillaRNN
    >>> rng = np.random.default_rng(0)
    >>> model = VanillaRNN(2, 4, 3, backend="numpy")
    >>> report = check_gradients(model, rng.normal(size=(2, 5, 2)), rng.normal(size=(2, 5, 3)))
    >>> bool(report)
    True
    """
    from tqdm import tqdm

    rng = np.random.default_rng(seed)
    checker = Checker(model, x, target, h0, steps, lengths, rng)
    tolerances = dict(TOLERANCES[model.dtype])
    if tolerance is not None:
        tolerances = dict.fromkeys(tolerances, tolerance)
    names = tqdm(checker.analytic, unit="tensor", delay=2, leave=False, disable=None if progress else True)
    hidden = [
        to_numpy(t.h[1:]) for t, layer in zip(checker.stored.traces, model.layers, strict=True) if layer.recurrent
    ]
    T, N = checker.batch.x.shape[:2]
    report = GradientReport(
        title=f"{type(model).__name__}, {model.dtype} on {model.backend}, loss {checker.loss:.6g}",
        sizes={"N": N, "T": T},
        h0_drawn=h0 is None,
        saturated=float(np.mean(np.concatenate([np.abs(h).reshape(-1) for h in hidden]) > SATURATED)),
        tolerances=tolerances,
        tensors=[_check_tensor(checker, name, tolerances) for name in names],
    )
    if raise_exception and not report:
        raise GradientCheckError(report)
    return report


def _check_tensor(checker: Checker, name: str, tolerances: dict[str, float]) -> TensorReport:
    grad = checker.analytic[name]
    expected = checker.point.tensor(name).shape
    if grad.shape != expected:
        raise ValueError(f"the gradient of {name} has shape {grad.shape}, expected {expected}")
    methods = {
        "finite differences": checker.finite_differences,
        "complex step": checker.complex_step,
        "adjoint": checker.adjoint,
    }
    norm = float(np.linalg.norm(grad))
    if not np.isfinite(norm):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(grad))[0])
        worst = Entry(where, float(grad[where]), float("nan"), "not finite")
        failed = {m: Comparison(float("inf"), 0.0, tolerances[m], "FAIL") for m in methods}
        return TensorReport(name, _batch_first(name, grad.shape), norm, failed, worst)

    directions = [checker.rng.normal(size=grad.shape) for _ in range(DIRECTIONS)]
    comparisons = {
        method: _compare(
            [(_dot(grad, v), *derivative(name, v), v) for v in directions], norm, tolerances[method], checker
        )
        for method, derivative in methods.items()
    }
    rank = {"FAIL": 0, "PASS": 1, "INCONCLUSIVE": 2}
    by = min(("complex step", "adjoint", "finite differences"), key=lambda m: rank[comparisons[m].verdict])
    worst = _worst_entry(checker, name, by, methods[by], failed=comparisons[by].verdict == "FAIL")
    return TensorReport(name, _batch_first(name, grad.shape), norm, comparisons, worst)


def _compare(
    tries: list[tuple[float, float, float, Array]], norm: float, tolerance: float, checker: Checker
) -> Comparison:
    """The verdict of one method on one tensor, from (analytic, reference, noise, direction) of each direction."""
    errors, floors, underflow = [0.0], [0.0], True
    for analytic, reference, noise, v in tries:
        smallest = SAFETY * float(np.finfo(checker.dtype).tiny) * float(np.linalg.norm(v))
        size = max(norm, abs(reference))
        if size + noise > smallest:
            underflow = False
            errors.append(abs(analytic - reference) / size if size else 0.0)
            floors.append((noise + smallest) / size if size else np.inf)
    error, floor = max(errors), max(floors)
    if error > tolerance + floor:
        verdict = "FAIL"
    else:
        verdict = "INCONCLUSIVE" if floor > tolerance else "PASS"
    return Comparison(error, floor, tolerance, verdict, "underflow" if underflow else "")


def _worst_entry(
    checker: Checker, name: str, method: str, derivative: Callable[..., tuple[float, float]], failed: bool
) -> Entry:
    """The entry with the largest difference among those looked at.

    In a tensor that fails, halving finds a block that holds a culprit: of two random directions, each confined to one
    half, the one with the larger difference wins. Then every entry of the block is looked at.
    """
    grad = checker.analytic[name]
    flat = np.arange(grad.size)
    if failed:
        while len(flat) > BLOCK:
            halves = np.array_split(flat, 2)
            flat = max(halves, key=lambda half: _difference(checker, name, derivative, _confined(checker, grad, half)))
    else:
        largest = int(np.argmax(np.abs(grad)))
        flat = np.unique([largest, *checker.rng.choice(grad.size, min(ENTRIES, grad.size) - 1, replace=False)])
    entries = []
    for i in flat:
        v = np.zeros(grad.size)
        v[i] = 1.0
        reference = derivative(name, v.reshape(grad.shape))[0]
        index = tuple(int(k) for k in np.unravel_index(i, grad.shape))
        entries.append(Entry(_batch_first(name, index), float(grad[index]), reference, method))
    return max(entries, key=lambda entry: abs(entry.analytic - entry.reference))


def _difference(checker: Checker, name: str, derivative: Callable[..., tuple[float, float]], v: Array) -> float:
    return abs(_dot(checker.analytic[name], v) - derivative(name, v)[0])


def _confined(checker: Checker, grad: Array, flat: Array) -> Array:
    v = np.zeros(grad.size)
    v[flat] = checker.rng.normal(size=len(flat))
    return v.reshape(grad.shape)


def jitter(array: Array, rng: np.random.Generator, eps: float) -> Array:
    """Every float moved up or down by a relative eps; other arrays as they are."""
    if array.dtype.kind != "f":
        return array
    return array * (1 + eps * rng.choice([-1.0, 1.0], array.shape))


def _batch_first(name: str, index: tuple[int, ...]) -> tuple[int, ...]:
    return (index[1], index[0], *index[2:]) if name == "x" else index


def _dot(a: Array, b: Array) -> float:
    return float((a * b).sum())


def _double(array: Array) -> Array:
    """float64 NumPy; masks and tokens keep their dtype."""
    array = to_numpy(array)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _map_trace(trace: Any, function: Callable[[Array], Array]) -> Any:
    return type(trace)(*(None if a is None else function(a) for a in trace))
