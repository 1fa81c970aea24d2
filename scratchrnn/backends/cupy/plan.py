"""CuPy: the text on device arrays, eagerly."""

from __future__ import annotations

from types import ModuleType
from typing import Any, ClassVar

from ..._arrays import Array
from ..base import Backend

_INSTALL = "pip install 'scratchrnn[cuda12x]' for a CUDA 12 driver, 'scratchrnn[cuda13x]' for CUDA 13"


class CupyBackend(Backend):
    """Arrays live on the current CUDA device."""

    name: ClassVar[str] = "cupy"

    def __init__(self) -> None:
        self._cupy = probe()

    @property
    def xp(self) -> ModuleType:
        """The array module."""
        return self._cupy

    def asarray(self, array: Any, dtype: Any = None) -> Array:
        """The array on the device; copied only where needed, as it lies in memory."""
        return self._cupy.asarray(array, dtype=dtype)


def probe() -> ModuleType:
    """Import cupy and make sure that it can compute; ImportError or RuntimeError says what is missing.

    CuPy imports without a driver, and finds a device without the libraries that it compiles and multiplies with, so one
    small product is computed here.
    """
    try:
        import cupy
    except ModuleNotFoundError as error:
        raise ImportError(f"the cupy backend needs the package cupy ({error}): {_INSTALL}") from error
    except ImportError as error:
        raise ImportError(
            f"the package cupy is installed, but does not import ({_brief(error)}): {_INSTALL}"
        ) from error

    found = f"cupy {cupy.__version__} is installed, but"
    try:
        cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(
            f"{found} finds no CUDA driver and device that it can use ({_brief(error)}): nvidia-smi must list a device "
            f"and a CUDA version that suits the package; {_INSTALL}"
        ) from error
    try:
        float((cupy.ones((2, 2)) @ cupy.ones((2, 2))).sum())
    except Exception as error:  # whatever a library that is missing, too old or out of memory raises
        raise RuntimeError(
            f"{found} cannot compute on the CUDA device ({type(error).__name__}: {_brief(error)}); the CUDA libraries "
            f"come with {_INSTALL}"
        ) from error
    return cupy


def _brief(error: Exception) -> str:
    """What an error says, in one line: CuPy's import error is a page that ends with the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" =")]
    return lines[-1] if lines else type(error).__name__
