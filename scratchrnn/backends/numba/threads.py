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
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from types import FrameType
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Job:
    """The blocks of one call: which are claimed, what came out, what went wrong.

    An interrupt (Ctrl-C) is raised by a signal handler, which Python runs in the main thread alone. It may so end the
    caller's part of a job at any point, but never a worker's. So what the caller waits for is recorded by workers only,
    and they share no lock that an interrupted caller could keep: Python 3.10 may leave a `with` and not release it.
    Operations of a deque and a list are atomic.
    """

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self._function = function
        self._items = items
        self._unclaimed = deque(range(len(items)))
        self._helpers: list[threading.Lock] = []  # one for each worker on the job, which holds it until it leaves
        self._context = contextvars.copy_context()  # np.errstate and the like hold in the workers too
        self.bound: set[threading.Thread] = set()  # workers that run on one core each until the job is over
        self.results: list[Any] = [None] * len(items)
        self.errors: dict[int, BaseException] = {}

    def work(self) -> None:
        """Run blocks until none is left to claim; after an error no further block is started."""
        while not self.errors:
            try:
                i = self._unclaimed.popleft()
            except IndexError:
                return
            try:
                self.results[i] = self._function(self._items[i])
            except BaseException as error:
                self.errors[i] = error

    def help(self) -> None:
        """`work` in a worker, under the caller's context variables. It is on the list before it claims a block."""
        working = threading.Lock()
        working.acquire()
        self._helpers.append(working)
        try:
            if self._unclaimed:
                self._context.copy().run(self.work)
        finally:
            self._helpers.remove(working)
            working.release()

    def finish(self) -> None:
        """Start no further block, and wait for those that are running. An interrupt is raised after that."""
        interrupt = None
        while True:
            try:
                self._unclaimed.clear()
                while self._helpers:
                    for working in list(self._helpers):
                        working.acquire()  # and kept: its worker has left
                break
            except BaseException as error:
                interrupt = error
        if interrupt is not None:
            raise interrupt

    def first_error(self) -> BaseException:
        """What to raise: an interrupt if there was one, otherwise the error of the first block that failed."""
        return min(self.errors.items(), key=lambda item: (isinstance(item[1], Exception), item[0]))[1]


class Pool:
    """Up to `size` threads, the caller's among them, to map a function over blocks."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._closed = False
        self._cores: set[int]  # that the last caller could run on
        self._binding: Job | None  # the last job that workers were bound for, until all of them are free
        self._unfinished: dict[Job, tuple[int, FrameType]]  # thread of the caller, and its call of `map`
        self._start_over()
        atexit.register(self._close)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._start_over)

    def resize(self, size: int) -> None:
        """Let `size` threads work from the next call on. Workers that are too many stop when they are idle."""
        try:
            with self._lock:
                self.size = size
                for _ in range(len(self._workers) - (size - 1)):
                    self._jobs.put(None)
        finally:
            self._release_lock()

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """[function(item) for item in items], results in order.

        An exception in a block is raised here, that of the first block where there are several. Whether `map` returns
        or raises, also an interrupt: no block is running any more, and none is started later. Several interrupts within
        microseconds can break that; then `settle` waits, when the same thread calls `map` or opens a workspace.
        """
        self.settle()
        helpers = min(self.size, len(items)) - 1
        if helpers < 1:
            self._unbind_idle()
            return [function(item) for item in items]
        job = Job(function, items)
        try:
            try:
                self._unfinished[job] = threading.get_ident(), sys._getframe()
                with self._lock:
                    self._offer(job, helpers)
                job.work()
            finally:
                self._end(job)
        finally:
            self._end(job)  # again, for an interrupt that comes just before the one above begins
        if job.errors:
            raise job.first_error()
        return job.results

    def settle(self) -> None:
        """Wait for blocks of this thread's earlier calls, where interrupts ended those too early."""
        if self._unfinished:
            for job, (thread, frame) in list(self._unfinished.items()):
                if thread == threading.get_ident() and not is_running(frame):
                    self._end(job)

    def _end(self, job: Job) -> None:
        """Let go of the lock where an interrupt left it held, and wait for what is running."""
        self._release_lock()
        job.finish()
        self._unfinished.pop(job, None)

    def _release_lock(self) -> None:
        while self._lock._is_owned():
            self._lock.release()

    def _unbind_idle(self) -> None:
        """Unbind workers whose job is over, where they did not come to it."""
        job = self._binding
        if job is not None and job not in self._unfinished:
            self._unbind(job)
            self._binding = None

    def _unbind(self, job: Job) -> None:
        """Let the workers that were bound for a job run on all cores again."""
        for worker in list(job.bound):
            try:
                os.sched_setaffinity(worker.native_id or 0, self._cores)
            except OSError:
                pass  # the system forbids it, and forbade to bind the worker
            job.bound.discard(worker)

    def _offer(self, job: Job, helpers: int) -> None:
        """Hand the job to that many workers, or to as many as there are."""
        helpers = min(helpers, self._hire(helpers))
        if _current_core is not None:
            cores = os.sched_getaffinity(0)
            apart = separate_cores(len(self._workers), cores) if helpers == len(self._workers) else None
            if apart is not None:
                self._cores = cores
                job.bound.update(self._workers)
                self._binding = job  # before they are bound: an interrupt may keep the job from being offered
                bind(self._workers, apart)
            else:
                self._unbind_idle()
                if cores != self._cores and threading.current_thread() not in self._workers:  # itself perhaps bound
                    bind(self._workers, [cores] * len(self._workers))  # follow a process that was given other cores
                    self._cores = cores
        for _ in range(helpers):
            self._jobs.put(job)

    def _hire(self, helpers: int) -> int:
        """Start workers up to that number; how many there are, which is fewer where no thread can be started."""
        while len(self._workers) < helpers and not self._closed:
            worker = threading.Thread(target=self._serve, args=(self._jobs,), name="scratchrnn worker", daemon=True)
            try:
                worker.start()
            except RuntimeError:  # the interpreter is shutting down, or the system refuses
                break
            self._workers.append(worker)
        return len(self._workers)

    def _serve(self, jobs: SimpleQueue[Job | None]) -> None:
        """Worker loop: help with one job after another. `None` wakes a worker to see whether it is one too many.

        Whoever leaves a job unbinds all workers that were bound for it: no block is unclaimed by then, and some workers
        may never come to the job, if others take their places in the queue.
        """
        with self._lock:  # held by the caller that starts this thread; an interrupt may keep it from listing the thread
            pass
        worker = threading.current_thread()
        try:
            while self._is_wanted(worker):
                job = jobs.get()
                if job is not None:
                    job.help()
                    self._unbind(job)
                del job  # a waiting worker keeps no arrays alive
        finally:
            self._strike_off(worker)

    def _is_wanted(self, worker: threading.Thread) -> bool:
        """Whether a worker goes on. If there are too many, it removes itself from the list."""
        if len(self._workers) >= self.size:
            with self._lock:
                if len(self._workers) >= self.size:
                    self._strike_off(worker)
        return worker in self._workers

    def _strike_off(self, worker: threading.Thread) -> None:
        """Take a worker that stops off all lists. The system may give its number to another thread."""
        with suppress(ValueError):
            self._workers.remove(worker)
        if self._binding is not None:
            self._binding.bound.discard(worker)

    def _start_over(self) -> None:
        """No workers, and a free lock: the state at first, and in a forked child, which has no threads."""
        self._lock: Any = threading.RLock()  # whose `_is_owned` is in no published types
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._workers: list[threading.Thread] = []
        self._cores = set()
        self._binding = None
        self._unfinished = {}

    def _close(self) -> None:
        """Send the workers home before the interpreter goes; later calls run in the caller's thread alone."""
        with self._lock:
            self._closed = True
            workers, self._workers = self._workers, []
            for _ in workers:
                self._jobs.put(None)
        for worker in workers:
            worker.join(timeout=1.0)  # a daemon thread's block may still be running; never hang on it


def separate_cores(workers: int, cores: set[int]) -> list[set[int]] | None:
    """A core for each worker, where these workers and the calling thread are as many as the cores; otherwise None.

    A scheduler may wake a worker on the very core whose thread woke it and leave it there for some milliseconds, which
    is a whole job: measured, two threads then took as long as one. So each worker is bound to a core for one job, none
    of them to the one that the caller is running on. The caller itself is left alone: an interrupt could keep it from
    undoing what was done to it, and every process that it starts would inherit that.
    """
    if len(cores) != workers + 1 or _current_core is None:
        return None
    current = _current_core()
    if current not in cores:
        return None
    return [{core} for core in sorted(cores - {current})]


def bind(workers: Sequence[threading.Thread], cores: Sequence[set[int]]) -> None:
    """Let each worker run on these cores only. A system that forbids it keeps its own order."""
    for worker, allowed in zip(workers, cores, strict=True):
        with suppress(OSError):
            if worker.native_id is not None:
                os.sched_setaffinity(worker.native_id, allowed)


def is_running(frame: FrameType) -> bool:
    """Whether the calling thread is still inside this call of a function. Nothing that it closes itself is as sure: an
    interrupt may come before anything is closed."""
    current: FrameType | None = sys._getframe(1)
    while current is not frame:
        if current is None:
            return False
        current = current.f_back
    return True


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
