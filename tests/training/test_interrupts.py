"""Ctrl-C at any moment: what `fit` leaves are weights, averages and a history after the same update."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from helpers import make_batch, make_model

import scratchrnn as sr
from scratchrnn.training.interrupts import Interrupts

INTERRUPTS = int(os.environ.get("SCRATCHRNN_INTERRUPTS", "200"))  # of each kind of call; make interrupts asks for 2,000

posix = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
# An interrupt may fall into a destructor or a callback of the garbage collector (Hypothesis has one). Python prints it
# there and goes on: to the call under test it never came.
anywhere = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def raising(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


@contextmanager
def handler_of(number: int, handler: Any) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def interrupted_after(seconds: float, function: Any) -> Any:
    """What a call returned before the alarm, else KeyboardInterrupt as it came out of it."""
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return function()
    except KeyboardInterrupt as error:
        return error
    finally:
        while True:  # the alarm may ring in here too
            try:
                signal.setitimer(signal.ITIMER_REAL, 0)
                break
            except KeyboardInterrupt:
                continue


def problem(dropout: bool) -> tuple[Any, dict[str, Any]]:
    layers: list[Any] = [sr.RNN(3, 24), sr.Dropout(0.3 if dropout else 0.0), sr.Linear(24, 5)]
    model = sr.SequenceModel(layers, backend="numba", seed=4)
    rng = np.random.default_rng(1)
    x, target = rng.normal(size=(96, 40, 3)), rng.normal(size=(96, 40, 5))
    options: dict[str, Any] = {"batch_size": 32, "epochs": 3, "optimizer": sr.Adam(0.01), "clip_norm": 0.5}
    return model, {"x": x, "target": target, "progress": False, "track": "all", **options}


@posix
@anywhere
@pytest.mark.slow
@pytest.mark.parametrize("dropout", [False, True])
def test_an_interrupted_fit_leaves_a_whole_number_of_updates(
    dropout: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The states after every update of an undisturbed run are known; that of an interrupted one is among them."""
    monkeypatch.setattr("scratchrnn.backends.numba.plan.MIN_WORK", 1)  # two threads share every minibatch
    model, arguments = problem(dropout)
    start = model.params.vector.copy()
    known: list[tuple[Any, ...]] = []

    class Watched(sr.Adam):
        def step(self, *args: Any, **options: Any) -> None:
            super().step(*args, **options)
            known.append(tuple(copy.deepcopy(args[2]).values()))

    weights, draws = [start], []

    class Model(sr.SequenceModel):
        def loss_and_grads(self, *args: Any, **options: Any) -> Any:
            draws.append(options["rng"].bit_generator.state)
            weights.append(self.params.vector.copy())
            return super().loss_and_grads(*args, **options)

    reference = Model(model.layers, backend="numba", seed=4)
    sr.fit(copy.deepcopy(model), **arguments)  # compiles
    begun = time.perf_counter()
    whole = sr.fit(reference, **arguments | {"optimizer": Watched(0.01)})
    seconds = time.perf_counter() - begun
    weights = [*weights[2:], reference.params.vector.copy()]  # after update 1, 2, …
    draws = [*draws[1:], whole.rng.bit_generator.state]

    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    handlers = signal.getsignal(signal.SIGINT)
    rng, ends = np.random.default_rng(0), []
    with handler_of(signal.SIGALRM, raising):
        for _ in range(INTERRUPTS):
            model.params.vector = start
            history = interrupted_after(rng.uniform(0, seconds), lambda: sr.fit(model, **arguments))
            assert signal.getsignal(signal.SIGALRM) is raising and signal.getsignal(signal.SIGINT) is handlers
            if cores is not None:
                assert os.sched_getaffinity(0) == cores
            if isinstance(history, KeyboardInterrupt):  # before training began, or after it was over
                assert any((model.params.vector == w).all() for w in (start, weights[-1]))
                continue
            n = history.updates
            ends.append(n)
            assert len(history.clipped) == n and history.flow.updates == list(range(1, n + 1))
            assert history.epochs in (n // 3, n // 3 - 1) and history.grad_norm == whole.grad_norm[:n]
            assert (model.params.vector == (weights[n - 1] if n else start)).all()
            if n:
                assert all((a == b).all() for a, b in zip(history.moments.values(), known[n - 1], strict=True))
                if n % 3 and dropout:  # a new epoch has drawn its order by then
                    assert history.rng.bit_generator.state == draws[n - 1]
    assert len(set(ends)) > 3, f"interrupts came at too few different updates: {sorted(set(ends))}"


@posix
@anywhere
@pytest.mark.slow
def test_gradients_after_interrupts_are_those_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scratchrnn.backends.numba.plan.MIN_WORK", 1)
    model, arguments = problem(False)
    batch = {name: arguments[name] for name in ("x", "target")}
    expected = model.loss_and_grads(**batch).grads
    begun = time.perf_counter()
    model.loss_and_grads(**batch)
    seconds = time.perf_counter() - begun
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    rng, raised = np.random.default_rng(0), 0
    with handler_of(signal.SIGALRM, raising):
        for _ in range(INTERRUPTS):
            result = interrupted_after(rng.uniform(0, 1.2 * seconds), lambda: model.loss_and_grads(**batch))
            raised += isinstance(result, KeyboardInterrupt)
            if cores is not None:
                assert os.sched_getaffinity(0) == cores
            assert model.loss_and_grads(**batch).grads == expected
    assert raised > INTERRUPTS // 10
    if cores is not None:
        script = "import os; print(sorted(os.sched_getaffinity(0)))"
        told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        assert told.strip() == str(sorted(cores))


def test_an_interrupted_run_goes_on_as_if_nothing_had_been_begun() -> None:
    """Interrupted between the averages and the weights, in an optimizer of the user's own: nothing is half done."""
    model, arguments = problem(True)
    expected = copy.deepcopy(model)
    interrupted: list[int] = []

    class Interrupting(sr.Adam):
        def step(self, *args: Any, **options: Any) -> None:
            super().step(*args, **options)
            if args[3] == 5:
                interrupted.append(args[3])
                signal.raise_signal(signal.SIGINT)

    history = sr.fit(model, **arguments | {"optimizer": Interrupting(0.01)})
    assert interrupted == [5] and history.interrupted and history.updates == 5
    seen: list[Any] = []

    class Watched(sr.Adam):
        def step(self, *args: Any, **options: Any) -> None:
            if args[3] == 6:
                seen.append((expected.params.vector.copy(), {name: m.copy() for name, m in args[2].items()}))
            super().step(*args, **options)

    sr.fit(expected, **arguments | {"optimizer": Watched(0.01)})
    weights, moments = seen[0]
    assert (model.params.vector == weights).all()
    assert all((history.moments[name] == m).all() for name, m in moments.items())


def test_random_numbers_of_an_update_that_was_not_made_are_taken_back() -> None:
    model = make_model("deep")
    batch = make_batch(model)
    states: list[Any] = []

    class Stopped(type(model)):  # type: ignore[misc]
        def loss_and_grads(self, *args: Any, **options: Any) -> Any:
            states.append(options["rng"].bit_generator.state)
            result = super().loss_and_grads(*args, **options)
            if len(states) == 3:
                raise KeyboardInterrupt
            return result

    model.__class__ = Stopped
    data = {"x": batch["x"], "target": batch["target"], "batch_size": 1, "progress": False}
    history = sr.fit(model, **data, epochs=1)
    assert history.interrupted and history.updates == 2
    assert history.rng.bit_generator.state == states[2]


def test_handlers_wait_for_the_end_of_a_section() -> None:
    seen: list[str] = []

    def noting(number: int, frame: Any) -> None:
        seen.append("handled")

    with handler_of(signal.SIGINT, noting), Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        assert seen == ["handled"]
        interrupts.hold()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        seen.append("section")
        interrupts.release()
        assert seen == ["handled", "section", "handled", "handled"]
        with Interrupts() as inner:  # as in a callback that trains a model
            inner.hold()
            signal.raise_signal(signal.SIGINT)
            assert len(seen) == 4
            inner.release()
            assert len(seen) == 5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_held_interrupt_comes_out_at_the_end() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        interrupts.hold()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_somebody_sets_meanwhile_stays() -> None:
    def other(number: int, frame: Any) -> None:
        """Does nothing."""

    before = signal.getsignal(signal.SIGINT)
    try:
        with Interrupts():
            signal.signal(signal.SIGINT, other)
        assert signal.getsignal(signal.SIGINT) is other
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_in_another_thread_leaves_handlers_alone() -> None:
    model = make_model()
    batch = make_batch(model)
    seen: list[Any] = []

    def train() -> None:
        watch = [lambda *_: seen.append(signal.getsignal(signal.SIGINT))]
        sr.fit(model, batch["x"], batch["target"], epochs=2, progress=False, callbacks=watch)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler] * 2


def test_every_handler_that_waits_runs_though_one_raises() -> None:
    seen: list[int] = []

    def noting(number: int, frame: Any) -> None:
        seen.append(number)

    with handler_of(signal.SIGTERM, noting), pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        interrupts.hold()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert seen == [signal.SIGTERM]


def test_a_step_that_is_not_finite_is_said_though_ctrl_c_came() -> None:
    model, arguments = problem(False)

    class Interrupting(sr.SGD):
        def step(self, delta: Any, *args: Any, **options: Any) -> None:
            signal.raise_signal(signal.SIGINT)
            delta[:] = np.nan

    with pytest.raises(sr.NonFiniteError, match="the step of .* is not finite"):
        sr.fit(model, **arguments | {"optimizer": Interrupting(0.01)})
