"""Persistent worker threads that share the blocks of one call with the thread that made it.

The caller offers its blocks and starts on them at once; workers that wake up in time take blocks off its hands. Blocks
are claimed one by one and each result goes to its block's place, so neither the number of threads nor their timing is
visible in what comes back. Threads help only where the work lets go of the interpreter lock, as compiled kernels do.

Nothing here can deadlock on itself: whoever calls `map` claims blocks until none is left, and then waits only for
blocks that another thread is already running, so a call from inside a block, or with every worker busy, is merely less
parallel.
"""

from __future__ import annotations

import atexit
import contextvars
import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Job:
    """The blocks of one call: which are claimed, which are done, what went wrong."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self._function = function
        self._items = items
        self._lock = threading.Lock()
        self._claimed = 0
        self._running = 0
        self._idle = threading.Event()  # set while no block is running
        self._context = contextvars.copy_context()  # np.errstate and the like hold in the workers too
        self.results: list[Any] = [None] * len(items)
        self.errors: dict[int, BaseException] = {}

    def work(self) -> None:
        """Run blocks until none is left to claim; after an error no further block is started."""
        while True:
            with self._lock:
                i = self._claimed
                if i == len(self._items) or self.errors:
                    return
                self._claimed += 1
                self._running += 1
                self._idle.clear()
            try:
                self.results[i] = self._function(self._items[i])
            except BaseException as error:
                with self._lock:
                    self.errors[i] = error
            finally:
                with self._lock:
                    self._running -= 1
                    if not self._running:
                        self._idle.set()

    def help(self) -> None:
        """`work` in a worker, under the caller's context variables."""
        self._context.copy().run(self.work)

    def wait(self) -> None:
        """Until no block is running any more. For the caller, once `work` is through: nothing is claimed after that."""
        self._idle.wait()


class Pool:
    """Up to `size` threads, the caller's among them, to map a function over blocks."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._closed = False
        self._start_over()
        atexit.register(self._close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_over)

    def resize(self, size: int) -> None:
        """Let `size` threads work from the next call on."""
        with self._lock:
            self.size = size
            for _ in range(len(self._workers) - (size - 1)):
                self._workers.pop()
                self._jobs.put(None)

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """[function(item) for item in items], results in order.

        An exception in a block is raised here, that of the first block where there are several; blocks not yet started
        are then left out, and none is running any more.
        """
        helpers = min(self.size, len(items)) - 1
        if helpers < 1:
            return [function(item) for item in items]
        job = Job(function, items)
        with self._lock:
            helpers = min(helpers, self._hire(helpers))
            cores = spread(self._workers) if helpers == len(self._workers) else None
            for _ in range(helpers):
                self._jobs.put(job)
        try:
            job.work()
            job.wait()
        finally:
            if cores is not None:
                os.sched_setaffinity(0, cores)
        if job.errors:
            raise job.errors[min(job.errors)]
        return job.results

    def _hire(self, helpers: int) -> int:
        """Start workers up to that number; how many there are, which is fewer where no thread can be started."""
        while len(self._workers) < helpers and not self._closed:
            worker = threading.Thread(target=_serve, args=(self._jobs,), name="scratchrnn worker", daemon=True)
            try:
                worker.start()
            except RuntimeError:  # the interpreter is shutting down, or the system refuses
                break
            self._workers.append(worker)
        return len(self._workers)

    def _start_over(self) -> None:
        """No workers, and a lock that nobody holds: the state at first, and in a forked child, which has no threads."""
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._workers: list[threading.Thread] = []

    def _close(self) -> None:
        """Send the workers home before the interpreter goes; later calls run in the caller's thread alone."""
        with self._lock:
            self._closed = True
            workers, self._workers = self._workers, []
            for _ in workers:
                self._jobs.put(None)
        for worker in workers:
            worker.join(timeout=1.0)  # a block abandoned by Ctrl-C may still be running; never hang on it


def _serve(jobs: SimpleQueue[Job | None]) -> None:
    """A worker's life: help with one job after another until sent home."""
    while True:
        job = jobs.get()
        if job is None:
            return
        job.help()
        del job  # a waiting worker keeps no arrays alive


def spread(workers: Sequence[threading.Thread]) -> set[int] | None:
    """Where these workers and the calling thread are as many as the cores: a core for each of them, for one job.

    A scheduler may wake a worker on the very core whose thread woke it and leave it there for some milliseconds, which
    is a whole job: measured, two threads then took as long as one. Returns the cores that the caller may run on, for it
    to have them back after the job; None where nothing was done.
    """
    if _current_core is None:
        return None
    cores = os.sched_getaffinity(0)
    here = _current_core()
    if here not in cores or len(cores) != len(workers) + 1:
        return None
    try:
        for worker, core in zip(workers, sorted(cores - {here}), strict=True):
            if worker.native_id is not None:
                os.sched_setaffinity(worker.native_id, {core})
        os.sched_setaffinity(0, {here})
    except OSError:  # a system that forbids it keeps its own order
        return None
    return cores


def _find_current_core() -> Callable[[], int] | None:
    """The C library's sched_getcpu, where threads can be bound to cores."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        return ctypes.CDLL(None).sched_getcpu
    except (OSError, AttributeError):
        return None


_current_core = _find_current_core()


def usable_cores() -> int:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


pool = Pool(usable_cores())
