"""Which backend computes: the choice, the trial of the numba backend, and what is said where it cannot compute."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import scratchrnn as sr
from scratchrnn import backends
from scratchrnn.backends.numba import compile as numba_compile
from scratchrnn.backends.numba import plan as numba_backend

# A process that asks for backends in every way, and computes with "auto". BEFORE runs first.
ASK = """
import contextlib, io, json, os, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    exec(os.environ["BEFORE"])
    import numpy as np
    import scratchrnn as sr
    from scratchrnn import backends, cli

    def outcome(ask):
        try:
            return ask()
        except Exception as error:
            return [type(error).__name__, str(error)]

    available = sr.available_backends()
    models = [sr.VanillaRNN(2, 5, 3, backend=backend) for backend in (None, "auto")]
    losses = [float(m.loss_and_grads(np.ones((4, 6, 2)), np.zeros((4, 6, 3))).loss) for m in models]
    found = dict(
        default=sr.get_backend(),
        available=available,
        models=[m.backend for m in models],
        finite=bool(np.isfinite(losses).all()),
        by_name=[
            outcome(lambda: sr.set_backend("numba")),
            outcome(lambda: sr.VanillaRNN(2, 5, 3, backend="numba").backend),
            outcome(lambda: sr.use_backend("numba").__enter__()),
        ],
        reason=backends.unavailable_because("numba"),
    )
    info = io.StringIO()
    with contextlib.redirect_stdout(info):
        cli.main(["info"])
found["info"] = dict(line.split(maxsplit=1) for line in info.getvalue().partition("backends")[2].strip().splitlines())
found["caught"] = [[w.category.__name__, str(w.message), w.filename] for w in caught]
print(json.dumps(found))
"""


def ask(before: str = "", **variables: str) -> dict[str, Any]:
    """What such a process finds."""
    env = {**os.environ, "BEFORE": before, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    env.pop(backends.ENVIRONMENT_VARIABLE, None)
    done = subprocess.run([sys.executable, "-c", ASK], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("scratchrnn: compiling") for line in done.stderr.splitlines()), done.stderr
    return json.loads(done.stdout)


TYPING_ERROR = """
from scratchrnn.backends.numba.compile import helper
from scratchrnn.backends.numba.kernels import linear
linear.multiply_rows = helper(lambda *arguments: arguments.nothing)  # which kernels call
"""
WRONG_NUMBERS = """
from scratchrnn.backends.numba import linear
linear.products = lambda y, *arguments: y.fill(1)
"""
LATER_NUMBA = "import numba.core.{module}; del numba.core.{module}.{name}"
CANNOT_COMPUTE = {
    "JIT disabled": ("", "RuntimeError", ["NUMBA_DISABLE_JIT", "unset it"]),
    "no numba": ("sys.modules['numba'] = None", "ImportError", ["does not import", "pip install numba"]),
    "stub": ("sys.path.insert(0, os.environ['STUB'])", "RuntimeError", ["numba 9.9", "pip install --upgrade"]),
    "no name to import": (
        LATER_NUMBA.format(module="registry", name="cpu_target"),
        "RuntimeError",
        ["ImportError: cannot import name 'cpu_target'", "pip install --upgrade"],
    ),
    "no name to compile with": (
        LATER_NUMBA.format(module="cgutils", name="get_or_insert_function"),
        "RuntimeError",
        ["get_or_insert_function", "pip install --upgrade"],
    ),
    "typing error": (TYPING_ERROR, "RuntimeError", ["TypingError"]),
    "wrong numbers": (WRONG_NUMBERS, "RuntimeError", ["came out wrong in float64"]),
}


@pytest.mark.parametrize("case", CANNOT_COMPUTE)
def test_where_numba_cannot_compute_numpy_does_with_one_warning(case: str, tmp_path: Path) -> None:
    """Asked for by name, it raises. `available_backends` and `scratchrnn info` say the same."""
    before, kind, words = CANNOT_COMPUTE[case]
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("__version__ = '9.9'\ndef njit(**options): return lambda f: f\n")
    variables = {"NUMBA_DISABLE_JIT": "1"} if case == "JIT disabled" else {"STUB": str(tmp_path)}
    # Code compiled by a whole Numba would be loaded, and a name that compiling needs not be missed.
    found = ask(before, NUMBA_CACHE_DIR=str(tmp_path / "cache"), **variables)
    reason = found["reason"]
    assert reason is not None and "\n" not in reason and all(word in reason for word in words), reason
    assert found["default"] == "numpy" and found["models"] == ["numpy", "numpy"] and found["finite"]
    assert found["available"] == ["numpy"] or found["available"] == ["numpy", "cupy"]
    assert found["by_name"] == [[kind, reason]] * 3
    ((category, message, file),) = found["caught"]
    assert category == "RuntimeWarning" and file == "<string>"  # the user's own line
    assert reason in message and 'set_backend("numpy")' in message and "SCRATCHRNN_BACKEND=numpy" in message
    assert found["info"]["numba"] == f"not available: {reason}"
    assert found["info"]["default"] == "numpy, because numba is not available"


def test_where_numba_computes_nothing_is_said() -> None:
    found = ask()
    assert found["default"] == "numba" and found["models"] == ["numba", "numba"] and found["finite"]
    assert "numba" in found["available"] and found["reason"] is None and found["caught"] == []
    assert found["by_name"][:2] == [None, "numba"]
    assert found["info"]["numba"] == "ready" and found["info"]["default"] == "numba"


@pytest.mark.parametrize(
    "before",
    [
        "import numba; numba.njit(lambda: 0)(); import numba.core.caching; del numba.core.caching.FunctionCache",
        "import numba.core.caching; del numba.core.caching.IndexDataCacheFile._load_index",
    ],
    ids=["no cache", "no index"],
)
def test_a_numba_whose_cache_has_other_parts_computes_without_one(before: str, tmp_path: Path) -> None:
    found = ask(before, NUMBA_CACHE_DIR=str(tmp_path))
    assert found["default"] == "numba" and found["models"] == ["numba", "numba"] and found["reason"] is None
    ((category, message, _),) = found["caught"]
    assert category == "RuntimeWarning" and message.startswith("the cache of compiled kernels does not work")


def test_a_numba_that_keeps_its_cache_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_compile, "_warned", False)
    monkeypatch.setattr(numba_compile, "njit", lambda **options: lambda function: SimpleNamespace(compile=function))
    with pytest.warns(RuntimeWarning, match="the cache of compiled kernels does not work .* keeps it elsewhere"):
        compiled = numba_compile.kernel(abs)
    assert compiled.compile(-1) == 1


def test_an_error_of_the_compiler_is_raised_and_leaves_the_cache(tmp_path: Path) -> None:
    """In a kernel that has compiled code on disk, for arguments of other types."""
    (tmp_path / "both.py").write_text(
        "from scratchrnn.backends.numba import compile as numba_compile\n"
        "def _double(a):\n"
        "    return a + a.nothing if a.ndim == 2 else a.size\n"
        "kernel = numba_compile.kernel(_double)\n"
    )
    code = """
import warnings, numpy as np, numba, both
warnings.simplefilter("error")
print(both.kernel(np.ones(3)))
try:
    both.kernel(np.ones((2, 2)))
except numba.core.errors.NumbaError as error:
    print(type(error).__name__)
"""
    cache = tmp_path / "cache"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]), "NUMBA_CACHE_DIR": str(cache)}
    files = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
        assert done.stdout.split() == ["3", "TypingError"], done.stderr
        files.append({file.name: file.stat().st_mtime_ns for file in cache.rglob("both.*")})
    assert len(files[0]) == 2 and files[0] == files[1]


def test_a_wrong_name_in_the_environment_is_said_to_come_from_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_default", None)
    monkeypatch.setenv(backends.ENVIRONMENT_VARIABLE, "nmba")
    for ask_for in (sr.get_backend, lambda: sr.VanillaRNN(2, 5, 3)):
        with pytest.raises(ValueError, match=r"no backend 'nmba' \(the environment variable SCRATCHRNN_BACKEND\)"):
            ask_for()
    with pytest.raises(ValueError, match="no backend 'jax'; choose one of numpy, numba, cupy, or auto"):
        sr.set_backend("jax")
    with pytest.raises(TypeError, match="backend is the name of one: numpy, numba, cupy, or auto; got int"):
        sr.VanillaRNN(2, 5, 3, backend=3)  # type: ignore[arg-type]


# What an interrupt (Ctrl-C) leaves behind.


def test_an_interrupt_leaves_no_backend_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it comes as soon as `use_backend` has set the variable."""
    chosen: list[str | None] = []

    class Variable:
        def get(self) -> str | None:
            return chosen[-1] if chosen else None

        def set(self, name: str | None) -> None:
            chosen.append(name)
            if len(chosen) == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(backends, "_override", Variable())
    with pytest.raises(KeyboardInterrupt), sr.use_backend("numpy"):
        pass
    assert chosen == ["numpy", None]


def test_an_interrupt_leaves_numbas_question_for_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it comes when numba.np.arraymath has been imported, without the question."""
    linalg, arraymath = SimpleNamespace(ensure_blas=lambda: "asked"), SimpleNamespace()
    asks = linalg.ensure_blas

    def import_module(name: str) -> Any:
        if name == "numba.np.arraymath":
            monkeypatch.setitem(sys.modules, name, arraymath)
            arraymath.ensure_blas = linalg.ensure_blas
            raise KeyboardInterrupt
        return linalg

    monkeypatch.setattr(numba_backend, "import_module", import_module)
    monkeypatch.setitem(sys.modules, "scipy", SimpleNamespace())
    monkeypatch.delitem(sys.modules, "numba.np.arraymath", raising=False)
    with pytest.raises(KeyboardInterrupt):
        numba_backend.import_numba()
    assert linalg.ensure_blas is asks and arraymath.ensure_blas is asks


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_the_garbage_collector_rests_while_kernels_compile(error: type[BaseException] | None, enabled: bool) -> None:
    """Afterwards it is as it was."""
    seen = []

    def compile_signature(signature: str) -> str:
        seen.append(gc.isenabled())
        if error is not None:
            raise error
        return signature

    was = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        try:
            assert numba_compile.without_collector(compile_signature)("float64") == "float64"
        except KeyboardInterrupt:
            assert error is not None
        seen.append(gc.isenabled())
    finally:
        gc.enable() if was else gc.disable()
    assert seen == [False, enabled]
