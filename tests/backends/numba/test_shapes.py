"""Kernels against the reference, and the network on Numba against NumPy, on shapes that hypothesis draws.

`make shapes` draws a few thousand, other ones each time; a plain run of the tests draws a few dozen, always the same.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st
from kernel_checks import KERNELS
from shape_cases import CALLS, Case, check_kernels, check_network

LONG = int(os.environ.get("SCRATCHRNN_SHAPES", 0))  # cases per test that `make shapes` asks for
SEED = int(os.environ.get("SCRATCHRNN_SEED") or random.SystemRandom().randrange(1 << 32))

# Beside, at and past the lanes of a register, the columns of a panel and the rows of a tile; else anything.
EDGES = [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65]
SIZE = st.one_of(st.sampled_from(EDGES), st.integers(1, 70))
ROWS = st.one_of(st.sampled_from([n for n in EDGES if n < 40]), st.integers(1, 40))
TIME = st.one_of(st.sampled_from([1, 2, 7, 8, 9, 16, 17]), st.integers(1, 33))  # up to 1320 rows in sums taken by 256
FLAG = st.booleans()

CASES = st.builds(
    Case,
    N=ROWS,
    T=TIME,
    D=SIZE,
    H=SIZE,
    O=SIZE,
    P=st.one_of(SIZE, st.integers(1, 3000)),
    dtype=st.sampled_from(["float32", "float64"]),
    tokens=FLAG,
    padded=FLAG,
    inputs=FLAG,
    masked=FLAG,
    start=FLAG,
    relu=FLAG,
    seed=st.integers(0, 999),
)


def cases(short: int) -> Callable[[Any], Any]:
    """Settings of a test: so many cases that are always the same, or LONG ones that begin from a printed seed."""
    # No deadline: the first case compiles. No database: what failed is found again by its seed.
    choice = settings(
        max_examples=LONG or short,
        derandomize=not LONG,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: choice(seed(SEED)(test) if LONG else test)


class Count:
    """How many cases a test ran, and one line about it for whoever asked for the long form."""

    def __init__(self, what: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.what = what
        self.capsys = capsys
        self.cases = 0

    def __enter__(self) -> Count:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not LONG:
            return
        verdict = f"{self.what}: {self.cases:,} random shapes" if kind is None else f"not so: {self.what}"
        with self.capsys.disabled():
            print(f"\n{verdict} (again with SCRATCHRNN_SEED={SEED})")
        assert kind is not None or self.cases >= LONG


def test_every_kernel_is_called() -> None:
    assert set(CALLS) == set(KERNELS)


def test_kernels_agree_with_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    @cases(short=150)
    @given(case=CASES)
    @example(Case(N=1, T=1, D=1, H=1, O=1))
    @example(Case(N=3, T=5, D=4, H=37, O=2, relu=True, padded=True))
    @example(Case(N=37, T=31, D=7, H=33, O=9, padded=True, masked=True))  # several times 256 rows in a sum
    def check(case: Case) -> None:
        check_kernels(case)
        count.cases += 1

    with Count(f"the {len(KERNELS)} kernels agree with the reference implementation", capsys) as count:
        check()


def test_the_network_agrees_with_numpy(capsys: pytest.CaptureFixture[str]) -> None:
    @cases(short=150)
    @given(case=CASES, loss=st.sampled_from(["mse", "cross_entropy"]), steps=st.sampled_from(["all", "last", "mask"]))
    @example(Case(N=40, T=9, D=3, H=17, O=2, padded=True, masked=True), "mse", "mask")  # five blocks of rows
    def check(case: Case, loss: str, steps: str) -> None:
        check_network(case, loss, steps)
        count.cases += 1

    with Count("loss_and_grads on numba agrees with numpy", capsys) as count:
        check()
