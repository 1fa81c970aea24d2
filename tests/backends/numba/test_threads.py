"""The pool of worker threads: order, errors, nesting, resizing, fork, exit; and models that run on it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from helpers import ARCHITECTURES, OF_TOKENS, as_states, interrupted_at, make_batch, make_model

import scratchrnn as sr
from scratchrnn import network as passes
from scratchrnn.backends import get_num_threads, row_blocks
from scratchrnn.backends.numba import plan as numba_backend
from scratchrnn.backends.numba import products as numba_products
from scratchrnn.backends.numba import threads
from scratchrnn.backends.numba.kernels.cpu import TILE_ROWS
from scratchrnn.backends.numba.threads import Pool, usable_cores


@pytest.fixture(params=[1, 2, 3])
def pool(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """A pool of one, two or three threads."""
    pool = Pool(request.param)
    yield pool
    pool._close()


@pytest.fixture(autouse=True)
def restore_number_of_threads() -> Iterator[None]:
    n = get_num_threads()
    yield
    sr.set_num_threads(n)


@pytest.fixture(autouse=True)
def every_block_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches are cut as large ones are."""
    monkeypatch.setattr(numba_backend, "MIN_WORK", 1)


def test_results_come_in_order(pool: Pool) -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.01 if i == 0 else 0)
        return i * i

    for n in (0, 1, 2, 7):
        assert pool.map(slow_first, range(n)) == [i * i for i in range(n)]


def test_blocks_run_on_several_threads_the_caller_among_them() -> None:
    pool = Pool(3)
    meeting = threading.Barrier(3)  # passes only when three threads are inside at once

    def meet(i: int) -> int:
        meeting.wait(timeout=10)
        return threading.get_ident()

    for _ in range(3):
        threads = pool.map(meet, range(3))
        assert len(set(threads)) == 3 and threading.get_ident() in threads
    assert len(pool._workers) == 2
    pool._close()
    assert pool.map(lambda i: threading.get_ident(), range(3)) == [threading.get_ident()] * 3


def test_a_pool_of_one_starts_no_thread() -> None:
    pool = Pool(1)
    before = threading.active_count()
    assert pool.map(lambda i: threading.get_ident(), range(4)) == [threading.get_ident()] * 4
    assert threading.active_count() == before


def test_the_first_error_comes_through_and_stops_the_rest(pool: Pool) -> None:
    started = []

    def fail(i: int) -> None:
        started.append(i)
        time.sleep(0.005)
        raise ValueError(f"block {i}")

    with pytest.raises(ValueError, match="block 0"):
        pool.map(fail, range(50))
    assert len(started) <= pool.size
    assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]  # the pool is as good as before


def test_an_interrupt_comes_through(pool: Pool) -> None:
    def interrupt(i: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pool.map(interrupt, range(4))


def test_an_interrupt_comes_before_the_error_of_a_block() -> None:
    """In whichever of two blocks that run at once it was raised."""
    for interrupted in (0, 1):
        meeting = threading.Barrier(2)

        def fail(i: int, interrupted: int = interrupted, meeting: threading.Barrier = meeting) -> None:
            meeting.wait(timeout=10)
            raise KeyboardInterrupt if i == interrupted else ValueError

        pool = Pool(2)
        with pytest.raises(KeyboardInterrupt):
            pool.map(fail, range(2))
        pool._close()


@contextmanager
def interrupted_every(seconds: float, repeats: bool = True) -> Iterator[None]:
    """Raise KeyboardInterrupt in the main thread as Ctrl-C does, once or again and again."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds if repeats else 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


timers = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")


@timers
@pytest.mark.parametrize("caller_works", [True, False], ids=["in a block", "waiting"])
def test_no_block_runs_after_an_interrupt(caller_works: bool) -> None:
    """The interrupt comes while the caller is in a block of its own, or waits for a worker; a second one follows."""
    pool = Pool(2)
    meeting = threading.Barrier(2)
    caller = threading.get_ident()
    running, started = set(), []

    def block(i: int) -> None:
        started.append(i)
        running.add(i)
        try:
            if i < 2:
                meeting.wait(timeout=10)
            for _ in range(900 if threading.get_ident() != caller or caller_works else 0):
                time.sleep(0.001)
        finally:
            running.remove(i)

    with pytest.raises(KeyboardInterrupt), interrupted_every(0.3):
        try:
            pool.map(block, range(2 if not caller_works else 9))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    assert not running and sorted(started) == [0, 1]
    time.sleep(0.05)
    assert len(started) == 2
    assert pool.map(abs, [-1, -2, -3]) == [1, 2, 3]
    pool._close()


def test_an_interrupt_anywhere_in_a_call_leaves_no_block_running() -> None:
    """Before every bytecode of the caller in threads.py. The pool goes on as if nothing had been."""
    pool, running = Pool(2), set()
    meeting = threading.Barrier(2)

    def block(i: int) -> None:
        running.add(i)
        try:
            time.sleep(0.0005)
        finally:
            running.remove(i)

    pool.map(lambda i: meeting.wait(timeout=10), range(2))
    n, interrupted = 0, True
    while interrupted:
        interrupted = interrupted_at(n, lambda: pool.map(block, range(2)), set(), threads.__file__)
        assert not running, n
        if n % 20 == 0:
            pool.map(lambda i: meeting.wait(timeout=10), range(2))
            assert len(pool._workers) == 1 and pool._workers[0].is_alive() and not pool._unfinished
        n += 1
    assert n > 200
    pool._close()


@pytest.mark.parametrize("opens", [False, True], ids=["map", "workspace"])
def test_after_repeated_interrupts_the_next_call_waits(opens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each interrupt comes where `map` is about to wait for a worker: the next call of this thread waits instead."""
    pool, meeting = Pool(2), threading.Barrier(2)
    backend = numba_backend.NumbaBackend()
    monkeypatch.setattr(numba_backend, "pool", pool)
    caller, ended = threading.get_ident(), []

    def block(i: int) -> None:
        meeting.wait(timeout=10)
        if threading.get_ident() != caller:
            time.sleep(0.2)
            ended.append(i)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pool, "_end", interrupted)
        pool.map(block, range(2))
    assert not ended
    if opens:
        with backend.workspace():
            assert len(ended) == 1
    else:
        pool.map(abs, [1])
    assert len(ended) == 1 and not pool._unfinished
    assert pool.map(lambda i: pool.map(abs, [-i, -i]), range(3)) == [[0, 0], [1, 1], [2, 2]]  # nested calls do not wait
    pool._close()


@timers
def test_an_interrupt_while_a_worker_starts_leaves_no_unlisted_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    pool, before = Pool(2), threading.active_count()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(threading.Thread, "start", interrupted)
        pool.map(abs, range(4))
    for _ in range(200):
        if threading.active_count() == before:
            break
        time.sleep(0.01)
    assert threading.active_count() == before and not pool._workers
    assert pool.map(abs, range(4)) == list(range(4)) and len(pool._workers) == 1
    pool._close()


@pytest.fixture
def two_cores() -> Iterator[set[int]]:
    """Two cores that this thread may use, and no others."""
    if not hasattr(os, "sched_setaffinity") or usable_cores() < 2:
        pytest.skip("needs two cores, and a system that binds threads to them")
    before = os.sched_getaffinity(0)
    cores = set(sorted(before)[:2])
    os.sched_setaffinity(0, cores)
    yield cores
    os.sched_setaffinity(0, before)


def cores_of_two_blocks(pool: Pool) -> dict[bool, set[int]]:
    """What the caller (True) and a worker may run on while both of them run a block."""
    meeting = threading.Barrier(2)
    caller = threading.get_ident()

    def block(i: int) -> tuple[bool, set[int]]:
        meeting.wait(timeout=10)
        return threading.get_ident() == caller, os.sched_getaffinity(0)

    return dict(pool.map(block, range(2)))


def wait_until_free(pool: Pool, cores: set[int]) -> None:
    """Until the worker has given itself these cores back, which it does after the job."""
    (worker,) = pool._workers
    assert worker.native_id is not None
    for _ in range(200):
        if os.sched_getaffinity(worker.native_id) == cores:
            return
        time.sleep(0.01)
    raise AssertionError(f"the worker is still bound to {os.sched_getaffinity(worker.native_id)}")


def test_a_worker_has_a_core_of_its_own_during_a_job(two_cores: set[int]) -> None:
    """The caller keeps all of its cores: an interrupt can leave none of it behind. The worker gets them back."""
    pool = Pool(2)
    for _ in range(20):
        cores = cores_of_two_blocks(pool)
        assert cores[True] == two_cores
        assert len(cores[False]) == 1 and cores[False] < two_cores
        assert os.sched_getaffinity(0) == two_cores
    wait_until_free(pool, two_cores)
    pool._close()


def test_workers_follow_a_process_that_is_given_other_cores(two_cores: set[int]) -> None:
    pool = Pool(2)
    cores_of_two_blocks(pool)
    first = {min(two_cores)}
    os.sched_setaffinity(0, first)
    assert cores_of_two_blocks(pool) == {True: first, False: first}
    os.sched_setaffinity(0, two_cores)
    assert len(cores_of_two_blocks(pool)[False]) == 1
    wait_until_free(pool, two_cores)
    pool.resize(3)  # more threads than cores: none is bound
    assert cores_of_two_blocks(pool)[True] == two_cores
    pool._close()


def cores_of_workers(pool: Pool) -> list[set[int]]:
    """What each worker may run on."""
    return [os.sched_getaffinity(worker.native_id or 0) for worker in pool._workers]


def test_a_job_that_was_not_offered_leaves_no_worker_bound(
    two_cores: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt right after the workers are bound: they are free once the next call begins, however small it is."""
    bind = threads.bind

    def interrupted(*args: Any) -> None:
        bind(*args)
        raise KeyboardInterrupt

    pool = Pool(2)
    cores_of_two_blocks(pool)
    for items in ([-1], [-1, -2]):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(threads, "bind", interrupted)
            pool.map(abs, range(2))
        pool.map(lambda i: None, items)
        wait_until_free(pool, two_cores)
    pool._close()


def test_a_worker_that_never_comes_to_a_job_is_bound_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker takes both of its places in the queue. The cores of this system do not matter: they are listed."""
    cores = {0, 1, 2}
    allowed: dict[int, set[int]] = {}

    def allow(thread: int, to: set[int]) -> None:
        allowed[thread or threading.get_native_id()] = set(to)

    monkeypatch.setattr(os, "sched_setaffinity", allow, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: cores, raising=False)
    monkeypatch.setattr(threads, "_current_core", lambda: 0)
    pool, busy, released = Pool(3), threading.Event(), threading.Event()
    meeting = threading.Barrier(3)
    pool.map(lambda i: meeting.wait(timeout=10), range(3))

    def wait(i: int) -> None:
        busy.set()
        released.wait(timeout=10)

    elsewhere = threads.Job(wait, [0])
    pool._jobs.put(elsewhere)  # as another caller's
    assert busy.wait(timeout=10)
    pool.map(lambda i: time.sleep(0.01), range(9))
    assert len(allowed) == 2
    pool.map(abs, [1])
    assert all(of_worker == cores for of_worker in allowed.values())
    released.set()
    pool._close()


def test_nested_use_ends(pool: Pool) -> None:
    def inner(i: int) -> int:
        time.sleep(0.001)
        return i

    assert pool.map(lambda i: sum(pool.map(inner, range(i))), range(6)) == [0, 0, 1, 3, 6, 10]


def test_many_callers_share_the_workers(pool: Pool) -> None:
    results: dict[int, list[int]] = {}

    def call(k: int) -> None:
        for _ in range(30):
            results[k] = pool.map(lambda i: i + k, range(5))

    callers = [threading.Thread(target=call, args=(k,)) for k in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=30)
    assert results == {k: [i + k for i in range(5)] for k in range(4)}


def test_resizing_lets_workers_go() -> None:
    pool = Pool(4)
    before = threading.active_count()
    meeting = threading.Barrier(4)
    pool.map(lambda i: meeting.wait(timeout=10), range(4))
    assert threading.active_count() == before + 3
    pool.resize(2)
    for _ in range(200):
        if threading.active_count() == before + 1:
            break
        time.sleep(0.01)
    assert threading.active_count() == before + 1
    assert pool.map(abs, range(9)) == list(range(9))
    pool._close()


def test_the_worker_that_stops_is_the_one_that_is_struck_off() -> None:
    """The last one listed is busy while the pool gets smaller, so the first one stops."""
    pool, meeting, released = Pool(3), threading.Barrier(3), threading.Event()

    def block(i: int) -> None:
        meeting.wait(timeout=10)
        if threading.current_thread() is last:
            released.wait(timeout=10)

    last: threading.Thread | None = None
    pool.map(block, range(3))
    first, last = pool._workers
    caller = threading.Thread(target=pool.map, args=(block, range(3)))
    caller.start()
    time.sleep(0.1)  # the first worker is idle again, the last one busy
    pool.resize(2)
    for _ in range(200):
        if not first.is_alive():
            break
        time.sleep(0.01)
    assert pool._workers == [last] and last.is_alive() and not first.is_alive()
    released.set()
    caller.join(timeout=10)
    pool._close()


def test_a_pool_that_grows_again_keeps_its_workers() -> None:
    pool, meeting = Pool(3), threading.Barrier(3)
    for _ in range(20):
        pool.map(lambda i: meeting.wait(timeout=10), range(3))
        pool.resize(1)
        pool.resize(3)
    pool.map(lambda i: meeting.wait(timeout=10), range(3))
    assert len(pool._workers) == 2 and all(worker.is_alive() for worker in pool._workers)
    pool._close()


def test_without_threads_the_caller_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the interpreter is shutting down, or the system has no thread left to give."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert Pool(3).map(lambda i: threading.get_ident(), range(4)) == [threading.get_ident()] * 4


def test_numpy_error_handling_of_the_caller_holds_in_the_workers() -> None:
    pool = Pool(3)
    meeting = threading.Barrier(3)

    def divide(i: int) -> Any:
        meeting.wait(timeout=10)
        return np.float64(1) / np.float64(0)

    with np.errstate(divide="ignore"):
        assert pool.map(divide, range(3)) == [np.inf] * 3
    pool._close()


def test_the_default_size_is_what_this_process_may_use() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


# Models on the pool.


def problem(dtype: str = "float32") -> tuple[Any, dict[str, Any]]:
    """A network with 40 rows: several blocks, once every piece of work is worth one (`every_block_is_worth_it`)."""
    rng = np.random.default_rng(3)
    model = sr.VanillaRNN(3, 16, 2, backend="numba", dtype=dtype)
    return model, {"x": rng.normal(size=(40, 30, 3)), "target": rng.normal(size=(40, 30, 2)), "inputs": True}


def bits(result: Any) -> list[bytes]:
    """Everything that `loss_and_grads` returned, to the bit."""
    arrays = [result.grads.vector, result.grads_h0, result.grads_x, result.h_last, result.flow.per_sample]
    return [np.float64(result.loss).tobytes(), *(array.tobytes() for array in arrays)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_are_bit_identical_for_any_number_of_threads(dtype: str) -> None:
    model, batch = problem(dtype)
    results = []
    assert len(numba_backend.NumbaBackend().split_rows(40, model.params.vector.size * 40 * 30)) == 40 // TILE_ROWS
    for n in (1, 2, 3):
        sr.set_num_threads(n)
        assert get_num_threads() == n
        results += [bits(model.loss_and_grads(**batch)) for _ in range(5)]
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [16, 43])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *OF_TOKENS])
def test_results_are_bit_identical_however_many_blocks_run_as_one(
    architecture: str, rows: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a long call is made in parts."""
    model = make_model(architecture, backend="numba", dtype=dtype, loss="cross_entropy" if rows == 43 else "mse")
    batch = make_batch(model, rows=rows, time=9)
    results = []
    for threads_, together, patience in (
        (1, 8, 1 << 31),
        (1, 64, 1 << 31),
        (2, 64, 1 << 31),
        (3, 16, 1),
        (1, 64, 1),
    ):
        sr.set_num_threads(threads_)
        monkeypatch.setattr(numba_backend, "MAX_GROUP_ROWS", together)
        monkeypatch.setattr(numba_products, "MAX_OPS_PER_CALL", patience)
        dense = batch["x"].ndim == 3
        r = model.loss_and_grads(**batch, inputs=dense, rng=np.random.default_rng(1), saturation=True)
        found = [np.array(r.loss), r.grads.vector, *as_states(r.grads_h0), *as_states(r.h_last)]
        found += [r.grads_x] * dense
        for flow in r.flow.layers:
            found += [flow.per_sample, flow.flushed, flow.saturation]
        out = model.forward(batch["x"], batch["h0"])
        results.append([array.tobytes() for array in (*found, out.y, out.h, np.array(model.loss(**batch)))])
    assert all(result == results[0] for result in results)


def test_a_thread_goes_through_the_layers_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of its blocks; in `loss_and_grads`, `loss` and `forward`."""
    model, batch = problem()
    rows = []
    run = passes.run

    def seen(*args: Any, **options: Any) -> Any:
        rows.append(args[2].shape[1])
        return run(*args, **options)

    monkeypatch.setattr(passes, "run", seen)
    monkeypatch.setattr(numba_backend, "MAX_GROUP_ROWS", 40)
    for n in (1, 2):
        sr.set_num_threads(n)
        rows.clear()
        model.loss_and_grads(**batch)
        model.loss(batch["x"], batch["target"])
        model.forward(batch["x"])
        assert len(rows) == 3 * n and sum(rows) == 3 * 40


def test_what_is_returned_outlives_the_next_pass() -> None:
    model, batch = problem()
    for n in (1, 2):
        sr.set_num_threads(n)
        first = model.loss_and_grads(**batch)
        before = bits(first)
        model.loss_and_grads(**{name: -a if isinstance(a, np.ndarray) else a for name, a in batch.items()})
        assert bits(first) == before


@pytest.mark.parametrize(("size", "blocks", "alone"), [(1001, 7, 64), (1000, 3, 700), (3, 7, 1), (5, 1, 1 << 19)])
def test_gradients_are_added_up_in_the_order_of_the_blocks(
    size: int, blocks: int, alone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_blocks, "MIN_PARALLEL_SUM", alone)
    total, *others = np.random.default_rng(0).normal(size=(1 + blocks, size)).astype(np.float32)
    expected = total.copy()
    for other in others:
        expected += other
    row_blocks.add_up(numba_backend.NumbaBackend(), total, np.array(others))
    assert np.array_equal(total, expected)


def test_two_python_threads_at_once_get_the_same_bits() -> None:
    model, batch = problem()
    sr.set_num_threads(3)
    expected = bits(model.loss_and_grads(**batch))
    same: list[bool] = []

    def call() -> None:
        same.extend(bits(model.loss_and_grads(**batch)) == expected for _ in range(20))

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert same == [True] * 40


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_computes_the_same() -> None:
    """The child has none of the parent's workers; it must start its own."""
    model, batch = problem()
    sr.set_num_threads(3)
    expected = bits(model.loss_and_grads(**batch))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads beside fork, as it should
        child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if bits(model.loss_and_grads(**batch)) == expected else 2
            workers = threads.pool._workers
            status += 0 if workers and all(worker.is_alive() for worker in workers) else 4
        finally:
            os._exit(status)
    for _ in range(600):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.05)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0
    assert bits(model.loss_and_grads(**batch)) == expected


EXIT = """
import atexit, numpy as np, scratchrnn as sr
from scratchrnn.backends.numba import plan as numba_backend
numba_backend.MIN_WORK = 1
sr.set_num_threads(3)
model = sr.VanillaRNN(3, 8, 2, backend="numba", dtype="float32")
batch = np.zeros((24, 5, 3)), np.zeros((24, 5, 2))
def last():
    print("at exit", model.loss(*batch) >= 0)
{register}
print("before", model.loss_and_grads(*batch).loss >= 0)
"""


@pytest.mark.parametrize("register", ["", "atexit.register(last)"])
def test_the_interpreter_exits_cleanly(register: str) -> None:
    """Also when a model is used by a function that runs at exit."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXIT.format(register=register)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == ["before True", *(["at exit True"] if register else [])]
    assert not done.stderr or done.stderr.startswith("scratchrnn: compiling")


# Interrupts. In a process of its own: the timer may strike anywhere.

INTERRUPTS = """
import gc, json, os, random, signal, subprocess, sys, threading, time
import numpy as np
import scratchrnn as sr
from scratchrnn.backends.numba import plan as numba_backend
from scratchrnn.backends.numba.threads import pool
from scratchrnn.backends.numba.workspace import workspace

numba_backend.MIN_WORK = 1
sr.set_num_threads(2)
rng = np.random.default_rng(3)
model = sr.VanillaRNN(3, 16, 2, backend="numba", dtype="float32")
batch = {"x": rng.normal(size=(40, 30, 3)), "target": rng.normal(size=(40, 30, 2)), "inputs": True}
expected = model.loss_and_grads(**batch)
if sys.argv[1] == "0":  # a fresh process, to compare with
    print(bytes(expected.grads.vector).hex() + bytes(expected.grads_x).hex())
    sys.exit()
of_fresh_process = subprocess.run([sys.executable, *sys.orig_argv[1:-1], "0"], capture_output=True, text=True).stdout
workers = list(pool._workers)

CORES = "sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []"

def cores():
    return eval(CORES)

def interrupt(*_):
    left[0] -= 1
    if left[0] >= 0:
        raise KeyboardInterrupt

def same():
    r = model.loss_and_grads(**batch)
    return bool(np.array_equal(r.grads.vector, expected.grads.vector) and np.array_equal(r.grads_x, expected.grads_x))

def check_pool(i):  # all workers live, may run on all cores and take a job at once; no workspace is open
    if workspace().is_open:
        faults.append(f"workspace of the caller open after interrupt {i}")
    pool.map(abs, [i])
    if pool._workers != workers or not all(w.is_alive() for w in workers):
        faults.append(f"another worker after interrupt {i}")
    if hasattr(os, "sched_getaffinity") and any(sorted(os.sched_getaffinity(w.native_id)) != before for w in workers):
        faults.append(f"a worker bound after interrupt {i}")
    meeting = threading.Barrier(2)

    def take(k):
        meeting.wait(timeout=5)
        return threading.get_ident(), workspace().is_open

    try:
        taken = dict(pool.map(take, range(2)))
    except threading.BrokenBarrierError:
        faults.append(f"no worker free after interrupt {i}")
    else:
        if any(taken.values()):
            faults.append(f"workspace open after interrupt {i}")
    if pool._unfinished or pool._lock._is_owned():
        faults.append(f"a job not over after interrupt {i}")

signal.signal(signal.SIGALRM, interrupt)
before, faults, rest, left = cores(), [], random.Random(5), [0]
for i in range(int(sys.argv[1])):
    left = [2]  # the second interrupt may come while the first one is handled
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, rest.uniform(0.001, 0.005), 0.001)
            while True:
                model.loss_and_grads(**batch)
        except KeyboardInterrupt:
            left[0] = 0
    except KeyboardInterrupt:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    if cores() != before:
        faults.append(f"cores {cores()} after interrupt {i}")
        os.sched_setaffinity(0, before)
    if not gc.isenabled():
        faults.append(f"no garbage collector after interrupt {i}")
        gc.enable()
    check_pool(i)
    if i % 20 == 0 and not same():
        faults.append(f"another result after interrupt {i}")
signal.signal(signal.SIGALRM, signal.SIG_IGN)
child = [sys.executable, "-c", f"import json, os; print(json.dumps({CORES}))"]
cores_of_child = json.loads(subprocess.run(child, capture_output=True, text=True, check=True).stdout)
same_bits = bytes(expected.grads.vector).hex() + bytes(expected.grads_x).hex() == of_fresh_process.strip()
print(json.dumps([before, cores_of_child, same() and same_bits, faults[:20], len(faults)]))
"""


@timers
def test_interrupts_leave_nothing_behind() -> None:
    """SCRATCHRNN_INTERRUPTS sets how many there are."""
    interrupts = os.environ.get("SCRATCHRNN_INTERRUPTS", "400")
    done = subprocess.run([sys.executable, "-c", INTERRUPTS, interrupts], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    before, cores_of_child, same, faults, count = json.loads(done.stdout)
    assert (count, faults) == (0, [])
    assert cores_of_child == before and same
