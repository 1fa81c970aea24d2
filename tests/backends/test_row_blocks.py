"""How the rows of a call are planned, run and put back in order."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import all_grads, difference, make_batch, make_model

import scratchrnn as sr
from scratchrnn.backends import resolve, row_blocks
from scratchrnn.backends.row_blocks import map_rows, max_rows, plan_forward, plan_with_gradients

T = 9
CALLS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "predict": lambda model, batch: model.predict(batch["x"], h0=batch["h0"], lengths=batch["lengths"]),
    "last": lambda model, batch: model.predict(batch["x"], "last", h0=batch["h0"], lengths=batch["lengths"]),
    "h": lambda model, batch: model.forward(batch["x"], batch["h0"], batch["lengths"]).h,
    "h_last": lambda model, batch: np.concatenate(
        [h.ravel() for h in model.forward(batch["x"], batch["h0"], batch["lengths"]).h_last]
    ),
    "loss": lambda model, batch: np.array(model.loss(**batch)),
}


def bounded(monkeypatch: pytest.MonkeyPatch, rows: int, model: Any) -> None:
    """Let so many rows run at a time where there are no gradients, and split them into as many blocks as there can
    be."""
    monkeypatch.setattr(row_blocks, "MAX_NUMBERS", rows * T * model.widest)
    monkeypatch.setattr("scratchrnn.backends.numba.plan.MIN_WORK", 1)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("architecture", ["vanilla", "bidirectional", "norm-dropout", "embedding"])
@pytest.mark.parametrize("name", CALLS)
def test_rows_that_run_in_parts_give_what_they_give_together(
    name: str, architecture: str, padded: bool, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(architecture, backend=backend)
    batch = make_batch(model, padded=padded, rows=43, time=T)
    batch.setdefault("lengths", None)
    if architecture == "vanilla":
        batch["h0"] = np.asarray(batch["h0"])
    bounded(monkeypatch, 1000, model)
    expected = CALLS[name](model, batch)
    for rows in (1, 5, 20):
        bounded(monkeypatch, rows, model)
        actual = CALLS[name](model, batch)
        assert actual.shape == expected.shape
        if backend == "numba" and name != "loss":
            assert np.array_equal(actual, expected)
        assert difference(actual, expected) < 1e-14


def test_no_group_has_more_rows_than_memory_is_allowed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """On numba whole tiles, since the few rows that fill no tile are computed in another way."""
    monkeypatch.setattr("scratchrnn.backends.numba.plan.MIN_WORK", 1)
    lengths = np.random.default_rng(0).integers(1, T + 1, size=300)
    for backend in (resolve("numpy"), resolve("numba")):
        params = sr.VanillaRNN(3, 16, 2, backend=backend.name).params
        for most in (1, 7, 20, 1000):
            monkeypatch.setattr(row_blocks, "MAX_NUMBERS", most * T * 16)
            assert max_rows(T, 16) == most
            for given in (None, lengths):
                plan = plan_forward(backend, params, T, 300, given, 1, 16)
                numbers = [np.arange(300)[group.rows] for group in plan.groups]
                assert max(map(len, numbers)) <= max(most, backend.tile) + backend.tile - 1
                everything = np.concatenate(numbers)
                assert np.array_equal(everything if plan.order is None else everything[plan.order], np.arange(300))


def test_memory_on_the_way_does_not_grow_with_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """`predict` and `loss` hold the states of some rows at a time, here 50 of 4,000."""
    model = sr.VanillaRNN(1, 64, 1, backend="numpy")
    x = np.random.default_rng(0).normal(size=(4000, 40, 1))
    monkeypatch.setattr(row_blocks, "MAX_NUMBERS", 50 * 40 * 64)
    states = 8 * 4000 * 40 * 64
    for call in (lambda: model.predict(x, "last"), lambda: model.loss(x, x[:, -1], steps="last"), lambda: model(x)):
        call()
        tracemalloc.start()
        call()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < states / 8, f"{peak / states:.2f} of what the states of all rows take"


def test_gradients_of_blocks_are_added_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """In groups or alone: the same bits; and each entry gets the rows of its own block."""
    monkeypatch.setattr("scratchrnn.backends.numba.plan.MIN_WORK", 1)
    model = make_model(backend="numba")
    batch = make_batch(model, rows=43, time=T)
    expected = model.loss_and_grads(**batch)
    plan = plan_with_gradients(model.device, model.params, T, 43, None, 1)
    assert plan.blocks > 2 and sum(len(group.blocks) for group in plan.groups) == plan.blocks
    monkeypatch.setattr(model.device, "group_blocks", lambda blocks, *_: [range(i, i + 1) for i in range(len(blocks))])
    alone = model.loss_and_grads(**batch)
    assert np.array_equal(alone.grads.vector, expected.grads.vector)
    for name, grad in all_grads(expected).items():
        assert np.array_equal(all_grads(alone)[name], grad), name


def test_results_come_back_in_the_order_of_the_rows() -> None:
    """Whatever the groups, and though the rows were sorted by length."""

    class Numbers(tuple):
        """The numbers of rows, as a result."""

        def detached(self) -> Any:
            return self

        @staticmethod
        def joined(parts: Any, order: Any) -> Any:
            together = np.concatenate([part[0] for part in parts])
            return Numbers([together if order is None else together[order]])

    backend = resolve("numpy")
    lengths = np.array([3, 1, 4, 1, 5, 9, 2, 6])
    sorted_rows = lengths.argsort(kind="stable")
    groups = [row_blocks.RowGroup(sorted_rows[:3], []), row_blocks.RowGroup(sorted_rows[3:], [])]
    plan = row_blocks.RowPlan(backend, groups, 2, sorted_rows.argsort())
    assert map_rows(plan, lambda rows, _: Numbers([np.arange(8)[rows]]))[0].tolist() == list(range(8))
