"""The report of a gradient check, as data and as the table a person reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

METHODS = {
    "finite differences": "central, float64 NumPy, step 1.2e-05 · max(1, rms) on a unit vector",
    "complex step": "through the NumPy text, step 1e-30",
    "adjoint": "tangent along the trajectory that the model stored",
}


class Comparison(NamedTuple):
    """One method on one tensor. `error` and `floor` (the method's noise) are relative to the norm of the gradient."""

    error: float
    floor: float
    tolerance: float
    verdict: str  # "PASS", "FAIL" or "INCONCLUSIVE"
    note: str = ""


class Entry(NamedTuple):
    """One entry of one tensor, by both ways."""

    at: tuple[int, ...]
    analytic: float
    reference: float
    method: str

    @property
    def ratio(self) -> float:
        """analytic / reference; 1 is right, NaN is 0/0."""
        if self.reference == 0:
            return float("nan") if self.analytic == 0 else float("inf")
        return self.analytic / self.reference


@dataclass(frozen=True)
class TensorReport:
    """All methods on one tensor."""

    name: str
    shape: tuple[int, ...]
    norm: float
    comparisons: dict[str, Comparison]
    worst: Entry

    @property
    def verdict(self) -> str:
        """FAIL where any method says so, else PASS where any says so, else INCONCLUSIVE."""
        verdicts = [c.verdict for c in self.comparisons.values()]
        return next((v for v in ("FAIL", "PASS") if v in verdicts), "INCONCLUSIVE")

    @property
    def note(self) -> str:
        """What else to know: "underflow" (below the range of the dtype, compared as zero); "exactly 0"; "kink" (a relu
        switches within the step of finite differences)."""
        return next((c.note for c in self.comparisons.values() if c.note), "")


@dataclass(frozen=True)
class GradientReport:
    """The outcome of `check_gradients`: true when every tensor passes; `print` it to read it."""

    title: str
    sizes: dict[str, int]
    h0_drawn: bool
    saturated: float  # fraction of hidden states beyond ±0.999
    tolerances: dict[str, float]
    tensors: list[TensorReport]

    def __bool__(self) -> bool:
        return self.verdict == "PASS"

    def __getitem__(self, name: str) -> TensorReport:
        """The tensor of that name: a parameter, "h0" or "x"."""
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(f"no tensor {name!r} in the report; there are {', '.join(t.name for t in self.tensors)}")

    @property
    def verdict(self) -> str:
        """FAIL where any tensor fails, INCONCLUSIVE where any is, else PASS."""
        verdicts = [tensor.verdict for tensor in self.tensors]
        return next((v for v in ("FAIL", "INCONCLUSIVE") if v in verdicts), "PASS")

    def __str__(self) -> str:
        return "\n".join([*self._head(), *self._table(), "", *self._entries(), "", *self._methods(), "", self._end()])

    __repr__ = __str__

    def _head(self) -> list[str]:
        sizes = ", ".join(f"{letter} = {size}" for letter, size in self.sizes.items())
        h0 = "h0 drawn from U(−0.5, 0.5)" if self.h0_drawn else "h0 as given"
        return [
            f"Gradient check: {self.title}",
            f"{sizes}, {h0}, {self.saturated:.1%} of h saturated (beyond ±0.999)",
            "",
        ]

    def _table(self) -> list[str]:
        width = max(len(t.name) for t in self.tensors) + 1
        head = f"{'tensor':<{width}} {'shape':<13} {'norm':>8}  " + "  ".join(f"{m:<20}" for m in METHODS) + "  verdict"
        rows = [head, "─" * len(head)]
        for t in self.tensors:
            cells = "  ".join(f"{c.error:7.1e} {c.verdict:<12}" for c in t.comparisons.values())
            note = f" ({t.note})" if t.note else ""
            rows.append(f"{t.name:<{width}} {t.shape!s:<13} {t.norm:8.1e}  {cells}  {t.verdict}{note}")
        return [row.rstrip() for row in rows]

    def _entries(self) -> list[str]:
        names = ["worst entry looked at", *(f"{t.name}[{', '.join(map(str, t.worst.at))}]" for t in self.tensors)]
        width = max(map(len, names))
        rows = [f"{names[0]:<{width}} {'analytic':>22} {'reference':>22} {'ratio':>13}  by"]
        for name, t in zip(names[1:], self.tensors, strict=True):
            e = t.worst
            hint = _hint(e.ratio, self.sizes) if t.verdict == "FAIL" else ""
            rows.append(
                f"{name:<{width}} {e.analytic:>22.15e} {e.reference:>22.15e} {e.ratio:>13.10f}  {e.method}{hint}"
            )
        return rows

    def _methods(self) -> list[str]:
        rows = [f"{'method':<18} {'tolerance':>9} {'noise floor':>12}"]
        for method, how in METHODS.items():
            floor = max(t.comparisons[method].floor for t in self.tensors)
            rows.append(f"{method:<18} {self.tolerances[method]:>9.0e} {'≤ ' + format(floor, '.0e'):>12}  {how}")
        return rows

    def _end(self) -> str:
        counts = {v: sum(t.verdict == v for t in self.tensors) for v in ("PASS", "FAIL", "INCONCLUSIVE")}
        said = ", ".join(f"{n} {v}" for v, n in counts.items() if n)
        advice = {
            "PASS": "every gradient agrees",
            "FAIL": "start with the first tensor that fails and its worst entry",
            "INCONCLUSIVE": "no method could tell; gradients this small or this chaotic need shorter sequences",
        }
        return f"{self.verdict}: {said} of {len(self.tensors)} tensors; {advice[self.verdict]}"


class GradientCheckError(AssertionError):
    """Raised by `check_gradients(raise_exception=True)`; `report` says what failed."""

    def __init__(self, report: GradientReport) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return f"\n{self.report}"


def _hint(ratio: float, sizes: dict[str, int]) -> str:
    """What a telling ratio usually means."""
    known = {"gradient is zero": 0.0, "sign flipped": -1.0, "a factor of 2": 2.0, "a factor of 1/2": 0.5}
    known |= {f"a factor of {letter}": float(size) for letter, size in sizes.items()}
    known |= {f"a factor of 1/{letter}": 1 / size for letter, size in sizes.items()}
    return next((f"  ({what})" for what, value in known.items() if abs(ratio - value) < 1e-6), "")
