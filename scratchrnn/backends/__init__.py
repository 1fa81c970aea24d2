"""The switch between backends: NumPy (the reference implementation), Numba (kernels) and CuPy (device arrays)."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from .._arguments import integer
from .base import Backend

NAMES = ("numpy", "numba", "cupy")
ENVIRONMENT_VARIABLE = "SCRATCHRNN_BACKEND"

_default: str | None = None  # set_backend's choice
_override: ContextVar[str | None] = ContextVar("scratchrnn_backend", default=None)  # use_backend's, per thread


def get_backend() -> str:
    """Name of the backend that a model made now would get: "numpy", "numba" or "cupy".

    The choice is that of `use_backend`, else `set_backend`, else the environment variable SCRATCHRNN_BACKEND, else
    "auto": numba where it can compute, otherwise numpy, with one warning that names the reason.
    """
    return resolve(None).name


def set_backend(name: str) -> None:
    """Choose the backend of models made from now on; a model made earlier keeps its own.

    Raises ValueError for an unknown name, ImportError or RuntimeError when the backend cannot compute here.
    """
    global _default
    resolve(name)
    _default = name


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[str]:
    """Within the block, models are made on this backend: `with sr.use_backend("numpy"): …`. Raises as `set_backend`."""
    backend = resolve(name)
    before = _override.get()
    try:
        _override.set(name)
        yield backend.name
    finally:
        _override.set(before)


def available_backends() -> tuple[str, ...]:
    """Names of the backends that work on this machine."""
    return tuple(name for name in NAMES if unavailable_because(name) is None)


def unavailable_because(name: str) -> str | None:
    """Why a backend does not work here, in one sentence that says what to install; None when it works."""
    return _problem(name)


def set_num_threads(n: int) -> None:
    """Let the numba backend run row blocks on up to n threads, the caller's among them. Results do not depend on n."""
    from .numba.threads import pool

    pool.resize(integer("the number of threads", n))


def get_num_threads() -> int:
    """How many threads the numba backend may use; at first, the cores this process may run on."""
    from .numba.threads import pool

    return pool.size


def resolve(name: str | None, dtype: Any = None) -> Backend:
    """The backend of that name; None is the default of the moment, "auto" numba where it can compute, else numpy.

    Whether numba can compute is found out once, by a small product in this dtype (None: float64). Its kernels are those
    that a model in this dtype begins with.
    """
    variable = ""
    if name is None:
        name = _override.get() or _default
        if name is None and os.environ.get(ENVIRONMENT_VARIABLE):
            name, variable = os.environ[ENVIRONMENT_VARIABLE], f" (the environment variable {ENVIRONMENT_VARIABLE})"
        name = name or "auto"
    if not isinstance(name, str):
        raise TypeError(f"backend is the name of one: {', '.join(NAMES)}, or auto; got {type(name).__name__}")
    if name == "auto":
        return _automatic(dtype)
    if name not in NAMES:
        raise ValueError(f"no backend {name!r}{variable}; choose one of {', '.join(NAMES)}, or auto")
    return _load(name, dtype)


_loaded: dict[str, Backend] = {}
_failed: dict[str, tuple[type[Exception], str]] = {}
_warned = False


def _load(name: str, dtype: Any = None) -> Backend:
    """The backend of that name, made once. Raises ImportError or RuntimeError where it cannot compute."""
    if name not in _loaded:
        if name in _failed:
            kind, message = _failed[name]
            raise kind(message)
        try:
            backend = _make(name, dtype)
            backend.origin = resolve, (name,)
            _loaded[name] = backend
        except (ImportError, RuntimeError) as error:
            if name == "numba":  # it may have taken seconds to find out, and would be asked of every model
                _failed[name] = type(error), str(error)
            raise
    return _loaded[name]


def _make(name: str, dtype: Any) -> Backend:
    """A backend by its name. numba and cupy are imported here alone, since they import layers, which import this."""
    if name == "numba":
        return importlib.import_module(f"{__name__}.numba.plan").NumbaBackend(dtype)
    if name == "cupy":
        return importlib.import_module(f"{__name__}.cupy.plan").CupyBackend()
    return Backend()


def _problem(name: str, dtype: Any = None) -> str | None:
    try:
        _load(name, dtype)
    except (ImportError, RuntimeError) as error:
        return str(error)
    return None


def _automatic(dtype: Any) -> Backend:
    """numba where it can compute, otherwise numpy, with one warning in the life of the process."""
    global _warned
    reason = _problem("numba", dtype)
    if reason is None:
        return _load("numba")
    if not _warned:
        _warned = True
        warnings.warn(
            f"models compute with NumPy, which is slower, because {reason}. To choose NumPy without this warning: "
            f'scratchrnn.set_backend("numpy"), or {ENVIRONMENT_VARIABLE}=numpy in the environment',
            RuntimeWarning,
            stacklevel=_frames_of_package(),
        )
    return _load("numpy")


def _frames_of_package() -> int:
    """How many calls away the user's own code is, for a warning to name its line: the `stacklevel` in our caller."""
    package = __name__.partition(".")[0]
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level
