"""CuPy: the text on device arrays, eagerly."""

from __future__ import annotations

from types import ModuleType
from typing import Any, ClassVar

from .arrays import Array
from .numpy_backend import Backend

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
        """The array on the device, C-contiguous; copied only where needed."""
        return self._cupy.ascontiguousarray(self._cupy.asarray(array, dtype=dtype))


def probe() -> ModuleType:
    """Import cupy and make sure that it can compute; ImportError or RuntimeError says what is missing.

    CuPy imports without a driver and fails at the first array, so the driver and the device are asked for here.
    """
    try:
        import cupy
    except ImportError as error:
        raise ImportError(
            f"the cupy backend needs the package cupy, which does not import ({error}): {_INSTALL}"
        ) from error
    runtime = cupy.cuda.runtime
    try:
        devices = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        raise RuntimeError(
            f"cupy {cupy.__version__} is installed, but no usable CUDA driver or device: {error}"
        ) from error
    if devices == 0:
        raise RuntimeError(f"cupy {cupy.__version__} and a CUDA driver are installed, but there is no CUDA device")
    return cupy
