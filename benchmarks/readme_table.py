"""README's performance section, made from the results: `python -m benchmarks.readme_table` writes it in place."""

from __future__ import annotations

import json
import sys
from typing import Any

from .harness import ROOT
from .process import ratio
from .sides import OURS
from .steps import MODES, lowest_ratio, measured_both_ways
from .workloads import WORKLOADS

RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
BEGIN = "<!-- begin of what benchmarks/readme_table.py makes from benchmarks/results -->"
END = "<!-- end of what benchmarks/readme_table.py makes -->"
PEERS = {"PyTorch": "torch", "JAX": "jax", "Keras": "keras", "NumPy loop": "numpy"}


def section(steps: dict[str, Any], process: dict[str, Any]) -> str:
    """The text between the marker comments."""
    parts = [head(steps), milliseconds(steps, "grads", "float32"), factors(steps), whole_processes(process)]
    return "\n\n".join(parts)


def head(steps: dict[str, Any]) -> str:
    """When, where, with what."""
    versions = steps["versions"]
    peers = [f"{'NumPy' if name == 'NumPy loop' else name} {versions[package]}" for name, package in PEERS.items()]
    text = f"Measured on {steps['date']} on {steps['processor']}, {steps['cores']} cores, beside {', '.join(peers)};\n"
    if measured_both_ways(steps):
        text += "in two ways: all sides in one process, in turns (the times in ms), and each in a process of its own.\n"
        text += "A ratio is the lower of the two ways. Yours: `make bench`."
    else:
        text += "in one way only: all sides in one process, in turns. Yours: `make bench`."
    if (steps["load"] or 0) > 0.5 * steps["cores"]:
        text += f"\n**Other work was running on that machine (load {steps['load']}): these figures are rough.**"
    return text


def milliseconds(steps: dict[str, Any], mode: str, dtype: str) -> str:
    """Medians of one mode on every side, our share of the peak; cells hold one figure for each number of threads."""
    threads = all_threads(steps)
    rows = [[f"{MODES[mode]}, {dtype}, ms", *[OURS, *PEERS], "share of the peak"]]
    for name in all_workloads(steps):
        runs = [find(steps, name, dtype, count, mode) for count in threads]
        cells = [slash(three_digits(1e3 * run["sides"][side]["median"]) for run in runs) for side in (OURS, *PEERS)]
        share = slash(f"{run['flops'] / run['sides'][OURS]['median'] / run['peak']:.0%}" for run in runs)
        rows.append([f"{name} ({sizes(name)})", *cells, share])
    counts = slash(str(count) for count in threads)
    note = f"Cells: {counts} threads. Peak: OpenBLAS's product of two 2048 × 2048 matrices on as many threads."
    return f"{markdown(rows)}\n\n{note}"


def factors(steps: dict[str, Any]) -> str:
    """The best peer's median over ours, the lower of the two ways, for every mode and precision."""
    threads = all_threads(steps)
    columns = [(mode, dtype) for dtype in ("float32", "float64") for mode in MODES]
    rows = [["best peer's time over ours", *(f"{MODES[mode]}, {dtype}" for mode, dtype in columns)]]
    for name in all_workloads(steps):
        row = [name]
        for mode, dtype in columns:
            ratios = [lowest_ratio(find(steps, name, dtype, count, mode)) for count in threads]
            row.append(slash("–" if ratio is None else f"{ratio:.2f}" for ratio in ratios))
        rows.append(row)
    return markdown(rows)


def whole_processes(process: dict[str, Any]) -> str:
    """The chapter's programs, and memory."""
    seconds, memory = process["seconds"], process["memory"]
    ours, peer = (seconds[f"chapter_{side}"]["median"] for side in ("scratchrnn", "pytorch"))
    theirs = min(seconds[key]["median"] for key in ("sine_pytorch", "sine_pytorch_chapter"))
    return (
        f"The chapter's sine as a whole program, import included: {seconds['warm']['median']:.2f} s "
        f"({seconds['cold']['median']:.2f} s the first time, which compiles),\n"
        f"PyTorch {theirs:.2f} s: {ratio(process, 'warm'):.1f} times as long ({ratio(process, 'cold'):.1f} times).\n"
        f"Its character model, 200 epochs: {ours:.1f} s, PyTorch {peer:.1f} s, {peer / ours:.1f} times as long.\n"
        f"Peak memory while training `large`: {memory[OURS]['peak']} MiB, PyTorch {memory['PyTorch']['peak']} MiB.\n\n"
        "![Time over that of scratchrnn, every side and workload](benchmarks/results/steps.png)"
    )


def sizes(name: str) -> str:
    """Sizes of a workload, as in its table row."""
    w = WORKLOADS[name]
    steps = w.T if w.shortest is None else f"{w.shortest}–{w.T}"
    text = f"N {w.N}, T {steps}, D {w.D}, H {w.H}, O {w.O}"
    return f"{text}, {w.layers} layers" if w.layers > 1 else text


def all_workloads(steps: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(run["workload"] for run in steps["runs"]))


def all_threads(steps: dict[str, Any]) -> list[int]:
    return sorted({run["threads"] for run in steps["runs"]})


def find(steps: dict[str, Any], *key: Any) -> dict[str, Any]:
    """The run with this workload, dtype, number of threads and mode."""
    names = ("workload", "dtype", "threads", "mode")
    return next(run for run in steps["runs"] if tuple(run[name] for name in names) == key)


def three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def slash(parts: Any) -> str:
    return " / ".join(parts)


def markdown(rows: list[list[str]]) -> str:
    """A table whose first row is its head; numbers to the right."""
    rule = ["---"] + ["--:"] * (len(rows[0]) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def put(readme: str, text: str) -> str:
    """README with the text between the marker comments; ValueError where it has none."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md lacks the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def main() -> int:
    """Write README.md anew from the results."""
    steps, process = (json.loads((RESULTS / f"{name}.json").read_text("utf-8")) for name in ("steps", "process"))
    missing = [name for name in PEERS if name in steps["missing"]]
    if steps["quick"] or process["quick"] or missing:
        print("README gets the results of a whole run with every peer, not a quick or a partial one", file=sys.stderr)
        return 1
    README.write_text(put(README.read_text("utf-8"), section(steps, process)), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
