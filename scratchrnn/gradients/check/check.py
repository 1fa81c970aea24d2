"""Are the gradients right? Three references side by side, each with its own noise floor.

Every tensor (each parameter, h0, x) is tested along random directions v: the analytic ⟨g, v⟩ against

    finite differences   (L(θ + h·v) − L(θ − h·v)) / 2h of the float64 NumPy loss: independent of everything,
                         accurate to about 1e-9;
    complex step         Im L(θ + i·h·v) / h through the NumPy text with h = 1e-30: no subtraction, accurate to 1e-15;
    adjoint              ⟨∂L/∂y, J·v⟩ with J·v from the layers' `tangent` along the trajectory that the model stored:
                         the only one that survives chaos, and that looks at float32 and device arrays directly.

Errors are relative to the tensor's own norm and there is no absolute tolerance: it would pass a gradient of zero
wherever gradients vanish. What a method cannot resolve is called INCONCLUSIVE, never PASS: each has a noise floor,
measured by moving what it starts from in the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ... import _hints
from ..._arguments import above_zero
from ..._arrays import Array, to_numpy
from ..._numerics import any_magnitude
from ..._progress import progress_bar
from ...layers.rnn import SATURATED
from ...model import SequenceModel
from .references import SAFETY, Checker, cell_states
from .report import Comparison, Entry, GradientCheckError, GradientReport, TensorReport

TOLERANCES = {
    np.dtype("float64"): {"finite differences": 1e-7, "complex step": 1e-12, "adjoint": 1e-12},
    np.dtype("float32"): {"finite differences": 1e-5, "complex step": 1e-5, "adjoint": 1e-5},
}
CHAOS = 0.1  # noise, relative to the gradient, above which a method has no digit left: one more sample may double it
DIRECTIONS = 2  # random directions per tensor
ENTRIES = 8  # single entries looked at in a tensor that passes
BLOCK = 32  # entries that the search for a culprit ends with


@any_magnitude
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
    tolerance : of every method, relative to the norm of a tensor's gradient. None is 1e-12 in float64, 1e-7 there for
        finite differences, and 1e-5 in float32.
    seed : of the directions, and of h0.
    raise_exception : raise GradientCheckError, which carries the report, unless every tensor passes.

    Returns a report that is true when every tensor passes. A tensor passes when no method says FAIL and at least one
    says PASS; INCONCLUSIVE is said where a difference cannot be told from a method's noise. Raises TypeError for an
    `EncoderDecoder`, whose two halves are models that can be checked each by itself.

    >>> from scratchrnn import VanillaRNN
    >>> rng = np.random.default_rng(0)
    >>> model = VanillaRNN(2, 4, 3, backend="numpy")
    >>> report = check_gradients(model, rng.normal(size=(2, 5, 2)), rng.normal(size=(2, 5, 3)))
    >>> bool(report)
    True
    """
    _hints.check_order("check_gradients(model, x, target)", model, [x, target], SequenceModel)
    if not isinstance(model, SequenceModel):
        raise TypeError(
            f"check_gradients checks a SequenceModel or a VanillaRNN, got {type(model).__name__}; of an EncoderDecoder "
            "check model.encoder and model.decoder"
        )
    rng = np.random.default_rng(seed)
    checker = Checker(model, x, target, h0, steps, lengths, rng)
    tolerances = dict(TOLERANCES[model.dtype])
    if tolerance is not None:
        tolerances = dict.fromkeys(tolerances, above_zero("tolerance", tolerance))
    names = progress_bar(checker.analytic, unit="tensor", delay=2, leave=False, show=progress)
    hidden = [
        np.abs(to_numpy(states[1:])).reshape(-1)
        for layer, states in cell_states(model.layers, checker.stored.traces)
        if layer.options.get("nonlinearity") == "tanh"
    ]
    T, N = checker.batch.x.shape[:2]
    report = GradientReport(
        title=f"{type(model).__name__}, {model.dtype} on {model.backend}, loss {checker.loss:.6g}",
        sizes={"N": N, "T": T},
        h0_drawn=h0 is None,
        saturated=float(np.mean(np.concatenate(hidden) > SATURATED)) if hidden else 0.0,
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
    methods: dict[str, Callable[..., tuple[Any, ...]]] = {
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
    if name == "x":  # gradients vanish inside it: the early steps need a look, and a scale, of their own
        directions += [_at_step(directions[0], t) for t in (0, len(grad) // 2)]
    comparisons = {
        method: _compare([Try(grad, v, *derivative(name, v)) for v in directions], tolerances[method], checker)
        for method, derivative in methods.items()
    }
    rank = {"FAIL": 0, "PASS": 1, "INCONCLUSIVE": 2}
    by = min(("complex step", "adjoint", "finite differences"), key=lambda m: rank[comparisons[m].verdict])
    worst = _worst_entry(checker, name, by, methods[by], failed=comparisons[by].verdict == "FAIL")
    return TensorReport(name, _batch_first(name, grad.shape), norm, comparisons, worst)


class Try(NamedTuple):
    """One method in one direction."""

    grad: Array
    v: Array
    reference: float
    noise: float
    note: str = ""

    @property
    def analytic(self) -> float:
        """⟨g, v⟩."""
        return _dot(self.grad, self.v)

    @property
    def size(self) -> float:
        """What errors are relative to: the norm of the gradient where the direction moves it."""
        return max(float(np.linalg.norm(self.grad[self.v != 0])), abs(self.reference))


def _compare(tries: list[Try], tolerance: float, checker: Checker) -> Comparison:
    """The verdict of one method on one tensor."""
    errors, floors, notes = [0.0], [0.0], []
    for t in tries:
        smallest = SAFETY * float(np.finfo(checker.dtype).tiny) * float(np.linalg.norm(t.v))
        if t.size + t.noise <= smallest:
            notes.append("underflow" if t.size else "exactly 0")
            continue
        notes.append(t.note)
        errors.append(abs(t.analytic - t.reference) / t.size if t.size else 0.0)
        floors.append(SAFETY * checker.eps + (t.noise + smallest) / t.size if t.size else np.inf)
    error, floor = max(errors), max(floors)
    if floor > CHAOS:
        floor = np.inf
    if error > tolerance + floor:
        verdict = "FAIL"
    else:
        verdict = "INCONCLUSIVE" if floor > tolerance else "PASS"
    note = "kink" if "kink" in notes else notes[0] if len(set(notes)) == 1 else ""
    return Comparison(error, floor, tolerance, verdict, note)


def _worst_entry(
    checker: Checker, name: str, method: str, derivative: Callable[..., tuple[Any, ...]], failed: bool
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


def _difference(checker: Checker, name: str, derivative: Callable[..., tuple[Any, ...]], v: Array) -> float:
    return abs(_dot(checker.analytic[name], v) - derivative(name, v)[0])


def _confined(checker: Checker, grad: Array, flat: Array) -> Array:
    v = np.zeros(grad.size)
    v[flat] = checker.rng.normal(size=len(flat))
    return v.reshape(grad.shape)


def _at_step(v: Array, t: int) -> Array:
    """A direction in x confined to one time step."""
    confined = np.zeros_like(v)
    confined[t] = v[t]
    return confined


def _batch_first(name: str, index: tuple[int, ...]) -> tuple[int, ...]:
    return (index[1], index[0], *index[2:]) if name == "x" else index


def _dot(a: Array, b: Array) -> float:
    return float((a * b).sum())
