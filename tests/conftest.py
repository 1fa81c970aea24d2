"""Fixtures that any test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

# Before numpy: its matrices are small here, and threads that wait for one another on busy cores make tests ten times
# slower.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    """A source of random numbers that starts anew in every test."""
    return np.random.default_rng(20240501)


@pytest.fixture(params=["numpy", "numba"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend that computes on this machine's processor; `-k "not numba"` leaves the jitted one out."""
    return request.param


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch, on one thread. Where it is absent the test is skipped, or fails while SCRATCHRNN_REQUIRE_TORCH=1."""
    try:
        import torch
    except ImportError as error:
        if os.environ.get("SCRATCHRNN_REQUIRE_TORCH") == "1":
            pytest.fail(f"PyTorch does not import ({error}), and SCRATCHRNN_REQUIRE_TORCH=1 says that it must")
        pytest.skip("PyTorch is not installed: make torch")
    torch.set_num_threads(1)
    return torch


@pytest.fixture
def pyplot() -> Iterator[Any]:
    """pyplot on a backend without windows, left as it was found."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before = mpl.get_backend()
    plt.switch_backend("agg")
    yield plt
    plt.close("all")
    plt.switch_backend(before)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless chromium. Where it is absent the test is skipped, or fails while SCRATCHRNN_REQUIRE_CHROMIUM=1."""
    from browser import Browser, chromium

    program = chromium()
    if program is None:
        if os.environ.get("SCRATCHRNN_REQUIRE_CHROMIUM") == "1":
            pytest.fail("chromium is not installed, and SCRATCHRNN_REQUIRE_CHROMIUM=1 says that it must be")
        pytest.skip("chromium is not installed: apt-get install chromium")
    opened = Browser(program)
    yield opened
    opened.close()
