"""No kernel reads or writes outside its arrays, which values alone do not always show.

A child process puts each array, given or made, right before a page of memory that nobody may touch, and then right
after one. One step too far ends the process. What a kernel makes starts out as NaN, so that nothing depends on numbers
that nobody wrote.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import mmap
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import name_of
from kernel_checks import KERNELS, assert_same, converted, with_all_steps
from shape_cases import CALLS, Case, Numbers, check_kernels

from scratchrnn.backends.numba import arrays, embedding, layer_norm, linear, losses, norms, products, rnn, steps
from scratchrnn.backends.numba import workspace as numba_workspace

WRAPPERS = [arrays, embedding, layer_norm, linear, losses, norms, products, rnn, steps]  # all that make arrays
HERE = Path(__file__).resolve().parent
EDGES = [1, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65]


class Guarded:
    """Makes arrays beside forbidden memory."""

    def __init__(self) -> None:
        self.at_end = True  # of the array, else at its beginning
        self._protect = ctypes.CDLL(None, use_errno=True).mprotect

    def empty(self, shape: Any, dtype: Any = float) -> np.ndarray:
        """An array full of NaN (integers: of a large number; bool: of True)."""
        dtype, shape = np.dtype(dtype), (shape,) if np.ndim(shape) == 0 else tuple(shape)
        size = math.prod(shape) * dtype.itemsize
        if not size:
            return np.empty(shape, dtype)
        page = mmap.PAGESIZE
        usable = -(-size // page) * page
        memory = mmap.mmap(-1, usable + page)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        failed = self._protect(ctypes.c_void_p(start + usable if self.at_end else start), page, 0)
        assert not failed, os.strerror(ctypes.get_errno())
        offset = usable - size if self.at_end else page
        array: np.ndarray = np.ndarray(shape, dtype, memory, offset)
        array.fill(np.nan if dtype.kind == "f" else 99)
        return array

    def copy(self, value: Any) -> Any:
        """A copy of arguments, however nested, with every array guarded."""
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(self.copy(v) for v in value))
        if isinstance(value, tuple):
            return tuple(self.copy(v) for v in value)
        if isinstance(value, dict):
            return {name: self.copy(v) for name, v in value.items()}
        if not isinstance(value, np.ndarray):
            return value
        array = self.empty(value.shape, value.dtype)
        array[...] = value
        return array

    def __enter__(self) -> None:
        """In place of a workspace, which hands out scratch memory within a block."""

    def __exit__(self, *_: object) -> None:
        pass

    def scratch(self, shape: Any, dtype: Any = float) -> np.ndarray:
        """As `empty`."""
        return self.empty(shape, dtype)

    def owns(self, array: np.ndarray) -> bool:
        """Whether a kernel may write over ∂L/∂h: both are tried."""
        return self.at_end


class GuardedNumpy:
    """numpy, as the modules of the kernels see it: what it makes is guarded."""

    def __init__(self, guarded: Guarded) -> None:
        self._guarded = guarded

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, shape: Any, dtype: Any = float) -> np.ndarray:
        return self._guarded.empty(shape, dtype)

    def zeros(self, shape: Any, dtype: Any = float) -> np.ndarray:
        array = self._guarded.empty(shape, dtype)
        array.fill(0)
        return array

    def array(self, a: Any, **options: Any) -> np.ndarray:
        return self._guarded.copy(np.array(a, **options))


def bounded_cases(count: int, dtype: str) -> list[Case]:
    """Sizes around those of registers, panels and tiles; always the same."""
    draw = random.Random(8)
    rows = [n for n in EDGES if n < 20]
    return [
        Case(
            N=draw.choice(rows),
            T=draw.choice(rows),
            D=draw.choice(EDGES),
            H=draw.choice(EDGES),
            O=draw.choice(EDGES),
            P=draw.choice(EDGES),
            dtype=dtype,
            tokens=draw.random() < 0.3,
            padded=draw.random() < 0.5,
            inputs=draw.random() < 0.7,
            masked=draw.random() < 0.5,
            relu=draw.random() < 0.3,
            seed=i,
        )
        for i in range(count)
    ]


def check_here(count: int) -> None:
    """What the child process runs."""
    guarded = Guarded()
    cases = [case for dtype in ("float32", "float64") for case in bounded_cases(count, dtype)]
    for case in cases:
        check_kernels(case)  # compiles, with numpy as it is
    with pytest.MonkeyPatch.context() as patch:
        for module in WRAPPERS:
            if hasattr(module, "np"):
                patch.setattr(module, "np", GuardedNumpy(guarded))
        patch.setattr(numba_workspace, "workspace", lambda: guarded)
        for case, guarded.at_end, text in itertools.product(cases, (True, False), KERNELS):
            args, options = converted(CALLS[text](Numbers(case)), case.dtype)
            print(name_of(text), case, "end" if guarded.at_end else "beginning", flush=True)
            beside = guarded.copy(args)
            actual = KERNELS[text](*beside, **guarded.copy(options))
            expected = text(*args, **options)
            if name_of(text) in ("rnn.backward", "recurrent.backward"):
                actual = with_all_steps(actual)
            tolerance = 1e-4 if case.dtype == "float32" else 1e-12  # the text is in the same dtype here
            assert_same(actual, expected, expected, tolerance, f"{name_of(text)} of {case}")
            if name_of(text).endswith("weight_grads"):
                assert_same(beside[-1], args[-1], args[-1], tolerance, f"{name_of(text)} of {case}")
    print("done")


@pytest.mark.skipif(os.name != "posix", reason="memory is protected by mprotect")
def test_no_kernel_reaches_outside_its_arrays() -> None:
    path = os.pathsep.join([*map(str, (HERE.parents[2], HERE.parents[1], HERE)), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", "import test_bounds; test_bounds.check_here(40)"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    last = done.stdout.splitlines()[-1:] or ["the first calls"]
    assert last == ["done"] and done.returncode == 0, f"it ended with {done.returncode} in {last[0]}: {done.stderr}"
