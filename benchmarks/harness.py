"""Fair timing: turns taken round and round in one process, medians and minima, and what machine it was.

Nothing here imports NumPy or a peer, so that a child process can set its threads before they load.
"""

from __future__ import annotations

import datetime
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PACKAGES = ("scratchrnn", "numpy", "numba", "torch", "jax", "keras", "tensorflow", "tensorflow-cpu")
LONG = 0.05  # seconds; a call this long hardly notices what the side before it left in the caches
TURN = 0.04  # seconds that a turn of short calls is to last

Turn = Callable[[int], list[float]]  # makes so many calls, returns the seconds of each


def timed(call: Callable[[], object], count: int) -> list[float]:
    """Seconds of each of `count` calls. A short call is made once more, first and untimed, to fill the caches."""

    def once() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    first = once()
    if first > LONG:
        return [first, *(once() for _ in range(count - 1))]
    return [once() for _ in range(count)]


def interleave(
    turns: Mapping[str, Turn], *, seconds: float, least: int = 5, most: int = 200
) -> dict[str, dict[str, float]]:
    """Let the sides take turns, round after round, for about so many seconds and at least `least` rounds.

    Returns, for each side, the median and the minimum over all its calls, in seconds; how many calls that was; and the
    processor time per wall time of its turns, which is the number of cores it kept busy. The garbage collector is off.
    A turn begins when the threads of the side before are at rest.
    """
    for turn in turns.values():
        turn(1)  # compiles, where there is something to compile
    calls = {name: calls_per_turn(turn) for name, turn in turns.items()}
    samples: dict[str, list[float]] = {name: [] for name in turns}
    busy: dict[str, list[float]] = {name: [] for name in turns}
    gc.collect()
    gc.disable()
    try:
        start, rounds = time.perf_counter(), 0
        while rounds < least or (rounds < most and time.perf_counter() - start < seconds):
            for name, turn in turns.items():
                rest()
                wall, processor = time.perf_counter(), time.process_time()
                samples[name] += turn(calls[name])
                busy[name].append((time.process_time() - processor) / (time.perf_counter() - wall))
            rounds += 1
    finally:
        gc.enable()
    return {
        name: {
            "median": statistics.median(s),
            "min": min(s),
            "calls": len(s),
            "cores": round(statistics.median(busy[name]), 2),
        }
        for name, s in samples.items()
    }


def calls_per_turn(turn: Turn) -> int:
    """How many calls fill a turn, from the seconds of one."""
    return max(1, min(50, int(TURN / max(turn(1)[-1], 1e-6))))


def rest(at_most: float = 0.25) -> float:
    """Sleep until this process uses no processor time, and say for how long, in seconds.

    Thread pools spin before they sleep, OpenBLAS's for 100 ms as measured: on two cores that would halve the speed of
    the next side. The system counts the time of running threads in ticks of some milliseconds, so a look takes longer.
    """
    start = time.perf_counter()
    while (began := time.perf_counter()) - start < at_most:
        used = time.process_time()
        time.sleep(0.012)
        if time.process_time() - used < 0.1 * (time.perf_counter() - began):
            break
    return time.perf_counter() - start


def environment(threads: int) -> dict[str, str]:
    """The environment of a child process whose libraries are to use so many threads."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM", "NUMBA")
    env = {**os.environ, **{f"{name}_NUM_THREADS": str(threads) for name in names}}
    # These force OpenBLAS to the kernels of another, often an older, processor; a peak measured so would be too low.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        env.pop(name, None)
    env["NPROC"] = str(threads)  # size of XLA's thread pool
    if threads == 1:
        env["XLA_FLAGS"] = f"{env.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    return env | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "PYTHONUTF8": "1"}


def child(module: str, options: dict[str, Any], threads: int) -> Any:
    """Run `module.measure(**options, threads=threads)` in a process of its own and return what it returns.

    Its standard error, where libraries log all kinds of things, is kept back; RuntimeError gives the last line of it.
    """
    code = (
        "import importlib, json, pathlib, sys; module, options, answer = sys.argv[1:]; "
        "result = importlib.import_module(module).measure(**json.loads(options)); "
        "pathlib.Path(answer).write_text(json.dumps(result))"
    )
    with tempfile.TemporaryDirectory() as folder:
        answer, log = Path(folder) / "answer.json", Path(folder) / "log"
        command = [sys.executable, "-c", code, module, json.dumps({**options, "threads": threads}), str(answer)]
        with log.open("w") as stderr:
            done = subprocess.run(command, cwd=ROOT, env=environment(threads), stderr=stderr)
        if done.returncode:
            reason = last_line(log.read_text(errors="replace"), done.returncode)
            raise RuntimeError(f"{module} with {threads} thread(s): {reason}")
        return json.loads(answer.read_text())


def last_line(log: str, code: int) -> str:
    """Why a process failed: the last line of its standard error, or its exit code."""
    return (log.strip().splitlines() or [f"exit code {code}"])[-1]


def progress(total: int) -> Any:
    """A bar on standard output, where that is a terminal."""
    from tqdm import tqdm

    return tqdm(total=total, file=sys.stdout, disable=None, leave=False, dynamic_ncols=True)


def machine() -> dict[str, Any]:
    """Date, processor, load and versions, for the head of a result."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "processor": processor(),
        "cores": cores(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,  # before anything was measured
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def cores() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Its name, and what of it a vector program cares about, where the system says so."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = fields.get("flags", "").split()
    width = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "")
    return ", ".join(part for part in (fields.get("model name", platform.machine()), width) if part)


def save(result: dict[str, Any], path: Path) -> None:
    """As JSON that reads well and differs little from one run to the next."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
