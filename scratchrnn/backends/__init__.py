"""The switch between backends: NumPy (the text itself), Numba (jitted twins) and CuPy (device arrays)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache

from ..checks import integer
from .numpy_backend import Backend

NAMES = ("numpy", "numba", "cupy")
ENVIRONMENT_VARIABLE = "SCRATCHRNN_BACKEND"

_default: str | None = None  # set_backend's choice
_override: ContextVar[str | None] = ContextVar("scratchrnn_backend", default=None)  # use_backend's, per thread


def get_backend() -> str:
    """Name of the backend that a model made now would get: "numpy", "numba" or "cupy".

    The choice is that of `use_backend`, else `set_backend`, else the environment variable SCRATCHRNN_BACKEND, else
    "auto": numba where it imports, numpy otherwise.
    """
    return resolve(None).name


def set_backend(name: str) -> None:
    """Choose the backend of models made from now on; a model made earlier keeps its own.

    Raises ValueError for an unknown name, ImportError or RuntimeError when the backend is not available here.
    """
    global _default
    resolve(name)
    _default = name


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[str]:
    """Within the block, models are made on this backend: `with sr.use_backend("numpy"): …`. Raises as `set_backend`."""
    backend = resolve(name)
    token = _override.set(name)
    try:
        yield backend.name
    finally:
        _override.reset(token)


def available_backends() -> tuple[str, ...]:
    """Names of the backends that work on this machine."""
    return tuple(name for name in NAMES if unavailable_because(name) is None)


def unavailable_because(name: str) -> str | None:
    """Why a backend does not work here, in one sentence that says what to install; None when it works."""
    try:
        _load(name)
    except (ImportError, RuntimeError) as error:
        return str(error)
    return None


def set_num_threads(n: int) -> None:
    """Let the numba backend run row blocks on up to n threads, the caller's among them. Results do not depend on n."""
    from .threads import pool

    pool.resize(integer("the number of threads", n))


def get_num_threads() -> int:
    """How many threads the numba backend may use; at first, the cores this process may run on."""
    from .threads import pool

    return pool.size


def resolve(name: str | None) -> Backend:
    """The backend of that name; None is the default of the moment, "auto" numba where it imports, else numpy."""
    if name is None:
        name = _override.get() or _default or os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
    if name == "auto":
        name = "numba" if unavailable_because("numba") is None else "numpy"
    if name not in NAMES:
        raise ValueError(f"no backend {name!r}; choose one of {', '.join(NAMES)}, or auto")
    return _load(name)


@cache
def _load(name: str) -> Backend:
    if name == "numba":
        from .numba_backend import NumbaBackend

        return NumbaBackend()
    if name == "cupy":
        from .cupy_backend import CupyBackend

        return CupyBackend()
    return Backend()
