"""Compiling kernels: the options, the cache on disk, and what is said about both.

Numba's cache notices a change of the file whose kernel it is asked for, and of no other. Kernels here call helpers in
other files and the product in `kernels/gemm.py`, so the stamp of every kernel covers all files of kernels/ and this
one: after a change of any of them, all kernels compile anew.
"""

from __future__ import annotations

import gc
import hashlib
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from numba import njit as typed_njit

njit: Any = typed_njit  # whose published types leave some options out

STRICT: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
# Sums in any order, but nothing that assumes there is no NaN or inf: both must come through.
OPTIONS: dict[str, Any] = {**STRICT, "fastmath": {"contract", "reassoc", "nsz"}}

# For functions that kernels call: compiled into them, and cached with them.
helper = njit(**STRICT, no_cpython_wrapper=True)
sum_helper = njit(**OPTIONS, no_cpython_wrapper=True)


def kernel(function: Callable[..., Any], **options: Any) -> Any:
    """The function as Numba compiles it when it is called, with a `KernelCache` on disk.

    What goes wrong while it compiles is raised as it is; only the cache's own faults cost no more than a warning.
    """
    compiled = njit(**options)(function)
    if hasattr(compiled, "_cache"):
        compiled._cache = KernelCache(function)
    else:
        _warn_uncached(AttributeError("this version of Numba keeps it elsewhere"))
    compiled.compile = without_collector(compiled.compile)
    return compiled


def without_collector(compile_signature: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same function, during which the garbage collector rests.

    A compiler makes objects by the million, and looking through them again and again was measured to take a tenth of
    its time.
    """

    def compile_for(signature: Any) -> Any:
        enabled = gc.isenabled()
        try:
            gc.disable()
            return compile_signature(signature)
        finally:  # also after an interrupt
            if enabled:
                gc.enable()

    return compile_for


@cache
def sources_digest() -> str:
    """A digest of everything that compiled code depends on: the files of kernels/ and this one.

    They are read through the package's loader, because the package may lie in a zip file.
    Raises FileNotFoundError if there are no sources, only bytecode.
    """
    package = files(__package__)
    sources = {entry.name: entry for entry in package.joinpath("kernels").iterdir() if entry.name.endswith(".py")}
    if not sources:
        raise FileNotFoundError("the kernels have no source files")
    digest = hashlib.sha256(package.joinpath(f"{__name__.rpartition('.')[2]}.py").read_bytes())
    for name in sorted(sources):
        digest.update(f"\n{name}\n".encode() + sources[name].read_bytes())
    return digest.hexdigest()


def disk_cache(function: Callable[..., Any]) -> Any:
    """Numba's cache on disk for a function, with a stamp that covers all files of kernels/.

    Raises whatever the private parts of Numba raise if another version names or builds them differently.
    """
    caching = import_module("numba.core.caching")
    disk = caching.FunctionCache(function)
    stamp = disk._impl.locator.get_source_stamp(), sources_digest()
    disk._cache_file = caching.IndexDataCacheFile(disk.cache_path, disk._impl.filename_base, stamp)
    return disk


class KernelCache:
    """Numba's cache on disk for one kernel, in the two functions that Numba calls. Whatever fails here costs a warning.

    A damaged file can raise anything, so all that is raised while one is read or written is a fault of the cache. The
    kernel is then compiled, and a damaged file replaced. There may be no place for a cache at all, or a version of
    Numba whose cache has other parts.

    Numba writes an index that is up to date before the code that goes with it: where the second fails, or another
    process looks in between, the index names the file of the old code, which would pass for new. So old code is removed
    first.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._disk: Any = None
        try:
            disk = disk_cache(function)
            self._index = Path(disk._cache_file._index_path)
            load_index = disk._cache_file._load_index
        except Exception as error:
            _warn_uncached(error)
            return
        self._disk = disk
        with suppress(Exception):  # an index that is damaged, or of another Numba
            if load_index():
                return
        self._remove()

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled code for these types of arguments; None, and one line on stderr, if it must be compiled."""
        target.refresh()
        loaded = None
        if self._disk is not None:
            try:
                loaded = self._disk.load_overload(signature, target)
                if loaded is not None and tuple(loaded.signature.args) != tuple(getattr(signature, "args", signature)):
                    loaded = None  # two processes gave one name to two files; saving overwrites this one alone
            except Exception as error:
                _warn_uncached(error)
                self._remove()
                loaded = None
        if loaded is None:
            announce(getattr(signature, "args", signature))
        return loaded

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Write compiled code, for other processes."""
        if self._disk is None:
            return
        try:
            self._disk.save_overload(signature, compiled)
        except Exception as error:
            _warn_uncached(error)
            self._remove()

    def _remove(self) -> None:
        """Remove the files of this kernel."""
        with suppress(OSError):
            for file in [self._index, *self._index.parent.glob(f"{self._index.stem}.*.nbc")]:
                file.unlink(missing_ok=True)


_warned = False


def _warn_uncached(error: Exception) -> None:
    """Say once per process that the cache does not work."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"the cache of compiled kernels does not work ({type(error).__name__}: {error}); "
            "scratchrnn compiles them anew. If this comes back, NUMBA_CACHE_DIR can name another place for the cache.",
            RuntimeWarning,
            stacklevel=2,
        )


_announced: set[str] = set()  # dtypes


def announce(argument_types: Iterable[Any]) -> None:
    """Say on stderr, once for each dtype, that kernels are being compiled: the first call takes seconds."""
    floats = {str(t.dtype) for t in argument_types if str(getattr(t, "dtype", "")).startswith("float")}
    dtype = min(floats, default="")  # sums are float64 beside float32 arrays
    if not dtype or dtype in _announced:
        return
    _announced.add(dtype)
    message = f"scratchrnn: compiling Numba kernels for {dtype} that are not cached yet (later runs load them) …"
    with suppress(OSError, ValueError):  # stderr is closed, or lacks the ellipsis
        print(message, file=sys.stderr, flush=True)
