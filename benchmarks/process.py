"""Benchmark 2: whole processes, from the start of the interpreter to its end.

The chapter's sine in scratchrnn, with the cache of compiled kernels empty (cold) and filled (warm), and the same
program in PyTorch; the chapter's character model, warm, in both; what each side's import alone costs; and the peak
memory while training the workload `large`.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import harness

PROGRAMS = Path(__file__).parent / "programs"
WELL_TRAINED = 1e-2  # the loss above which a program has not done its work: the sine's test MSE, nats per character
TITLES = {
    "import_scratchrnn": "import only, scratchrnn",
    "import_pytorch": "import only, PyTorch",
    "cold": "sine, scratchrnn, cold (compiles)",
    "warm": "sine, scratchrnn, warm",
    "sine_pytorch": "sine, PyTorch",
    "sine_pytorch_chapter": "sine, PyTorch as in the chapter",
    "chapter_scratchrnn": "characters, scratchrnn, warm",
    "chapter_pytorch": "characters, PyTorch",
}


def run(*, quick: bool) -> dict[str, Any]:
    """Measure; returns what `results/process.json` holds."""
    with_torch = importlib.util.find_spec("torch") is not None
    keys = [key for key in TITLES if with_torch or "pytorch" not in key]
    if quick:
        keys = [key for key in keys if key != "sine_pytorch_chapter" and not key.startswith("chapter")]
    rounds = 1 if quick else 3
    result: dict[str, Any] = {"benchmark": "process", "quick": quick, **harness.machine()}
    seconds: dict[str, list[float]] = {key: [] for key in keys}
    with tempfile.TemporaryDirectory() as cache, harness.progress(rounds * len(keys)) as bar:
        for name in ("sine_scratchrnn", "chapter_scratchrnn")[: 1 if quick else 2]:  # fills the cache
            program(name, cache)
        for _ in range(rounds):
            for key in keys:
                bar.set_description(TITLES[key])
                seconds[key].append(cold() if key == "cold" else program(key.replace("warm", "sine_scratchrnn"), cache))
                bar.update()
        memory = {}
        for name in ("scratchrnn", "PyTorch") if with_torch else ("scratchrnn",):
            before, after = map(float, output(f"memory_{name.lower()}", cache).split())
            memory[name] = {"before": round(before), "peak": round(after)}
    times = {key: {"median": statistics.median(s), "min": min(s), "calls": len(s)} for key, s in seconds.items()}
    return {**result, "seconds": times, "memory": memory}


def cold() -> float:
    """Seconds of the sine with an empty cache of its own."""
    with tempfile.TemporaryDirectory() as cache:
        return program("sine_scratchrnn", cache)


def program(name: str, cache: str) -> float:
    """Wall time of a program in seconds; raises RuntimeError where a network was not trained well."""
    start = time.perf_counter()
    said = output(name, cache)
    seconds = time.perf_counter() - start
    if not name.startswith("import") and not float(said) < WELL_TRAINED:
        raise RuntimeError(f"{name} ends with a loss of {said.strip()}, which is not below {WELL_TRAINED}")
    return seconds


def output(name: str, cache: str) -> str:
    """Run a program and return what it prints."""
    env = harness.environment(harness.cores()) | {"NUMBA_CACHE_DIR": cache, "PYTHONPATH": str(harness.ROOT)}
    done = subprocess.run([sys.executable, PROGRAMS / f"{name}.py"], env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout


def peak_memory() -> float:
    """The most memory this process has had resident, in MiB.

    Linux's own record, because ru_maxrss also counts the process that started this one.
    """
    if os.path.exists("/proc/self/status"):
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def ratio(result: dict[str, Any], key: str) -> float | None:
    """Wall time of the faster PyTorch program over ours, cold or warm; None without PyTorch."""
    theirs = [times["median"] for name, times in result["seconds"].items() if name.startswith("sine_pytorch")]
    return min(theirs) / result["seconds"][key]["median"] if theirs else None


def table(result: dict[str, Any]) -> str:
    """Wall times in seconds and memory in MiB."""
    lines = ["whole processes: median s"]
    for key, times in result["seconds"].items():
        factor = ratio(result, key) if key in ("cold", "warm") else None
        if key == "chapter_scratchrnn" and "chapter_pytorch" in result["seconds"]:
            factor = result["seconds"]["chapter_pytorch"]["median"] / times["median"]
        compared = f"   PyTorch's best is {factor:.2f} ×" if factor else ""
        lines.append(f"  {TITLES[key]:<34}{times['median']:>8.2f}{compared}")
    lines.append("\npeak memory while training large: MiB (before training)")
    lines += [f"  {name:<34}{m['peak']:>8} ({m['before']})" for name, m in result["memory"].items()]
    return "\n".join(lines)
