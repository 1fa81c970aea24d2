"""What `fit(track=…)` keeps, that it is right, bounded, and changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import (
    ARCHITECTURES,
    OF_TOKENS,
    D,
    InBlocks,
    O,
    assert_same,
    difference,
    flow_of,
    make_batch,
    make_model,
)

import scratchrnn as sr
from scratchrnn import checkpoint, plots
from scratchrnn.training import flow_record as record
from scratchrnn.training.flow_record import MAX_FLOW_ROWS, FlowRecord, TensorNorms, spread

ROWS, TIME = 21, 9
TABLES = ("layers", "norms", "per_sample", "spread", "saturated", "log10", "zeros")
TENSORS = ("grad_norms", "update_ratios")


def arguments(model: Any, padded: bool = False, **options: Any) -> dict[str, Any]:
    """What fit needs, for three minibatches of 8, 8 and 5 rows an epoch."""
    batch = make_batch(model, rows=ROWS, time=TIME, padded=padded)
    kept = {name: batch[name] for name in ("x", "target", "lengths")}
    return {**kept, "batch_size": 8, "epochs": 2, "progress": False, **options}


def assert_records_same(actual: FlowRecord, expected: FlowRecord) -> None:
    """Row by row."""
    assert (actual.every, actual.directions, actual.names) == (expected.every, expected.directions, expected.names)
    assert (actual.updates, actual.batch_rows) == (expected.updates, expected.batch_rows)
    assert [row.size for row in actual.rows] == [row.size for row in expected.rows]
    for name in TABLES:
        assert_same(getattr(actual, name), getattr(expected, name))
    for name in TENSORS:
        assert_same(getattr(actual, name), getattr(expected, name))


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *OF_TOKENS])
@pytest.mark.parametrize("padded", [False, True])
def test_tracking_changes_no_bit_of_training(backend: str, architecture: str, padded: bool) -> None:
    weights, losses = [], []
    for track in (None, "norms", "all"):
        model = make_model(architecture, backend=backend)
        history = sr.fit(model, **arguments(model, padded), clip_norm=0.3, track=track)
        weights.append(model.params.vector)
        losses.append((history.loss, history.grad_norm, history.clipped))
        assert len(history.flow) == (6 if track else 0)
    assert_same(weights[1], weights[0])
    assert_same(weights[2], weights[0])
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("architecture", ["deep-bidirectional", "norm-dropout", "vanilla"])
@pytest.mark.parametrize("padded", [False, True])
def test_one_update_by_hand(backend: str, architecture: str, padded: bool) -> None:
    """Plain SGD on all rows at once: norms, spread, saturation, gradient norms and ratios from `loss_and_grads`."""
    model = make_model(architecture, backend=backend, radius=3.0)
    given = arguments(model, padded, batch_size=ROWS, epochs=1)
    seed = 3  # of fit, which shuffles rows and draws dropout
    rng = np.random.default_rng(seed)
    order = rng.permutation(ROWS)
    lengths = None if given["lengths"] is None else given["lengths"][order]
    before = model.params.copy()
    expected = model.loss_and_grads(
        given["x"][order], given["target"][order], lengths=lengths, rng=rng, saturation=True
    )

    rate, limit = 0.07, 0.01
    seen = sr.fit(model, **given, optimizer=sr.SGD(rate), clip_norm=limit, seed=seed, track="all").flow
    assert seen.updates == [1] and seen.batch_rows == [ROWS] and seen.names == tuple(model.params)
    inside = np.ones((ROWS, TIME), bool) if lengths is None else np.arange(TIME) < lengths[:, None]
    for i, layer in enumerate(expected.flow.layers):
        np.testing.assert_allclose(seen.layers[0, i], layer.norms, rtol=1e-14)
        np.testing.assert_allclose(seen.saturated[0, i], layer.saturated, rtol=1e-14)
        for t in range(TIME):
            rows = layer.per_sample[inside[:, t], t]
            three = [rows.min(), np.median(rows), rows.max()] if len(rows) else [np.nan] * 3
            np.testing.assert_allclose(seen.spread[0, :, i, t], three, rtol=1e-15)
    np.testing.assert_allclose(seen.norms[0], expected.flow.norms, rtol=1e-14)
    norm = sr.global_norm(expected.grads)
    assert norm > limit
    for name, grad in expected.grads.items():
        assert seen.grad_norms[name][0] == pytest.approx(np.linalg.norm(grad), rel=1e-13)
        change = np.linalg.norm(rate * grad * limit / norm) / np.linalg.norm(before[name])
        assert seen.update_ratios[name][0] == pytest.approx(change, rel=1e-10)
        moved = np.linalg.norm(model.params[name] - before[name]) / np.linalg.norm(before[name])
        assert seen.update_ratios[name][0] == pytest.approx(moved, rel=1e-6)


def test_the_ratio_of_weights_that_were_zero_is_infinite() -> None:
    model = sr.VanillaRNN(D, 4, O, backend="numpy")
    flow = sr.fit(model, **arguments(model, epochs=1), track="all").flow
    assert flow.update_ratios["b_h"][0] == np.inf and np.isfinite(flow.update_ratios["b_h"][1:]).all()
    assert all(np.isfinite(flow.update_ratios[name]).all() for name in ("W_xh", "W_hh", "W_hy"))


def test_blocks_of_rows_add_up() -> None:
    records = []
    for blocks in (False, True):
        model = make_model("deep-bidirectional", radius=3.0)
        if blocks:
            model.move(InBlocks(), None)
        records.append(sr.fit(model, **arguments(model, padded=True, epochs=1), track="all").flow)
    for name in TABLES:
        np.testing.assert_allclose(getattr(records[1], name), getattr(records[0], name), rtol=1e-9, atol=1e-9)
    for name in TENSORS:
        for tensor, values in getattr(records[0], name).items():
            np.testing.assert_allclose(getattr(records[1], name)[tensor], values, rtol=1e-9)


def test_zeros_are_kept_apart() -> None:
    flow = FlowRecord()
    flow.add(1, flow_of([0.0, 1e-300, 2.0]))
    np.testing.assert_allclose(flow.log10, [[[np.nan, -300, np.log10(2)]]])
    assert flow.zeros.tolist() == [[[True, False, False]]]
    flow.add(2, flow_of([1.0]))  # a shorter piece
    assert flow.zeros[1].tolist() == [[False, False, False]] and np.isnan(flow.log10[1, 0]).tolist() == [
        False,
        True,
        True,
    ]
    assert flow.grad_norms == {} and flow.spread.shape == (2, 3, 0, 0) and flow.saturated.shape == (2, 0, 0)


def test_spread_of_an_odd_and_an_even_number_of_rows() -> None:
    rng = np.random.default_rng(0)
    for rows in (1, 2, 5, 6):
        values = rng.random((3, 4, rows))
        for lengths in (None, rng.integers(1, 4, rows)):
            actual = spread(values, lengths)
            for t in range(4):
                alive = values[:, t, np.full(rows, True) if lengths is None else t < lengths]
                if alive.shape[1]:
                    expected = [alive.min(axis=1), np.median(alive, axis=1), alive.max(axis=1)]
                    np.testing.assert_allclose(actual[:, :, t], expected, rtol=1e-15)
                else:
                    assert np.isnan(actual[:, :, t]).all()


def all_of(update: int, T: int = 3) -> dict[str, Any]:
    """Arguments of add for one update in detail."""
    flow = flow_of(np.full(T, float(update)))
    flow = flow.saturated_as([np.full((4, T), update / 1e5)])
    tensors = TensorNorms(*np.array([[update, 1.0], [0.1, update / 4], [1.0, 0.5]]))  # ratios 0.1 and update / 2
    return {"flow": flow, "names": "ab", "tensors": tensors}


def test_memory_is_bounded_by_numbers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MAX_FLOW_NUMBERS", 1000)
    for T, least in ((3, 20), (50, 2), (600, 1)):
        flow = FlowRecord()
        for update in range(1, 500):
            flow.add(update, **all_of(update, T))
            assert sum(row.size for row in flow.rows) <= max(1000, flow.rows[0].size)
        assert len(flow) >= least and flow.updates[0] == 1
        assert set(np.diff(flow.updates)) <= {flow.every} and flow.updates[-1] > 500 - 2 * flow.every
        for name, values in (("spread", flow.spread[:, 1, 0, 0]), ("saturated", 1e5 * flow.saturated[:, 0, 0])):
            unit = 4**0.5 if name == "spread" else 1.0  # N · ‖∂L/∂h_t[n]‖ of four equal rows
            np.testing.assert_allclose(values, unit * np.array(flow.updates), rtol=1e-12)
        assert flow.grad_norms["a"].tolist() == flow.updates
        assert (2 * flow.update_ratios["b"]).tolist() == flow.updates


def test_a_record_that_begins_late_is_spaced_evenly_too() -> None:
    flow = FlowRecord()
    for update in range(8, 3000):
        flow.add(update, flow_of([float(update)]))
        assert len(flow) <= MAX_FLOW_ROWS
    assert set(np.diff(flow.updates)) == {flow.every}


@pytest.mark.parametrize("architecture", ["vanilla", "deep-bidirectional"])
def test_going_on_is_as_if_it_had_never_stopped(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory and from a file, while the record is being thinned."""
    monkeypatch.setattr(record, "MAX_FLOW_ROWS", 5)
    whole, parts = make_model(architecture), make_model(architecture)
    expected = sr.fit(whole, **arguments(whole, padded=True, epochs=7), track="all")
    first = sr.fit(parts, **arguments(parts, padded=True, epochs=3), track="all")
    sr.save(parts, tmp_path / "run.npz", history=first)
    loaded = checkpoint.read(tmp_path / "run.npz", backend="numpy")
    assert loaded.history is not None
    assert_records_same(loaded.history.flow, first.flow)
    rest = arguments(parts, padded=True, epochs=4)
    here = sr.fit(parts, **rest, track="all", resume=first)
    there = sr.fit(loaded.model, **rest, track="all", resume=loaded.history)
    assert_same(parts.params, whole.params)
    assert_same(loaded.model.params, whole.params)
    assert expected.flow.every == 8 and expected.flow.updates == [1, 9, 17]
    assert_records_same(here.flow, expected.flow)
    assert_records_same(there.flow, expected.flow)


def test_a_run_may_go_on_with_a_model_of_more_tensors() -> None:
    """Plain SGD has no averages that would refuse it."""
    small = sr.SequenceModel([sr.RNN(D, 4), sr.Linear(4, O)], backend="numpy")
    large = sr.SequenceModel([sr.RNN(D, 4), sr.LayerNorm(4), sr.Linear(4, O)], backend="numpy")
    history = None
    for model in (small, large):
        given = arguments(model, epochs=2) | {"optimizer": sr.SGD(1e-3), "batch_size": ROWS}
        history = sr.fit(model, **given, track="all", resume=history)
    assert history is not None and history.flow.layers.shape == (4, 1, TIME)
    assert np.isfinite(history.flow.saturated).all()


def test_a_run_may_change_what_it_tracks(tmp_path: Path) -> None:
    model = make_model()
    history = None
    for track in ("norms", "all", None, "norms"):
        history = sr.fit(model, **arguments(model, epochs=1), track=track, resume=history)
    assert history is not None and history.flow.updates == [1, 2, 3, 4, 5, 6, 10, 11, 12]
    known = [False] * 3 + [True] * 3 + [False] * 3
    assert (~np.isnan(history.flow.saturated).any(axis=(1, 2))).tolist() == known
    assert (~np.isnan(history.flow.spread).any(axis=(1, 2, 3))).tolist() == known
    assert (~np.isnan(history.flow.grad_norms["W_hh"])).tolist() == known
    sr.save(model, tmp_path / "model.npz", history=history)
    loaded = checkpoint.read(tmp_path / "model.npz").history
    assert loaded is not None
    assert_records_same(loaded.flow, history.flow)
    assert history.plot_gradients(plots.new_figure()).axes


def test_files_from_before_there_were_cells_are_read(tmp_path: Path) -> None:
    model = make_model("bidirectional")
    history = sr.fit(model, **arguments(model, epochs=1))
    norms = history.flow.norms
    sr.save(model, tmp_path / "model.npz", history=history)
    with np.load(tmp_path / "model.npz") as file:
        arrays = {name: file[name] for name in file.files}
    old = {name: array for name, array in arrays.items() if name not in ("flow_shapes", "flow_layers")}
    header = str(old.pop("header")).replace('"flow_directions": 2, "flow_names": [], ', "")
    assert "flow_names" not in header
    np.savez(tmp_path / "old.npz", header=header, flow_norms=norms, **old)
    loaded = checkpoint.read(tmp_path / "old.npz")
    assert loaded.history is not None
    assert_same(loaded.history.flow.norms, norms)
    went_on = sr.fit(loaded.model, **arguments(model, epochs=1), resume=loaded.history, track="all").flow
    assert difference(went_on.norms[:3], norms) < 1e-15 and np.isfinite(went_on.norms).all()
    assert np.isnan(went_on.layers[:3, 0]).all() and np.isfinite(went_on.layers[3:]).all()


def test_truncated_pieces_and_encoder_decoders(backend: str) -> None:
    model = make_model("deep", backend=backend)
    flow = sr.fit(model, **arguments(model, padded=True), truncate=4, track="all").flow
    assert flow.layers.shape[1:] == (3, 4) and flow.spread.shape[1:] == (3, 3, 4)
    assert np.isfinite(flow.saturated[0]).any()

    encoder = sr.SequenceModel([sr.RNN(5, 8)], backend=backend)
    decoder = sr.SequenceModel([sr.RNN(4, 8), sr.Linear(8, 3)], loss="cross_entropy", backend=backend)
    pair: Any = sr.EncoderDecoder(encoder, decoder, length=6)
    rng = np.random.default_rng(0)
    x, target, lengths = rng.integers(5, size=(7, 4)), rng.integers(3, size=(7, 6)), rng.integers(1, 5, 7)
    flow = sr.fit(pair, x, target, lengths=lengths, epochs=1, progress=False, track="all").flow
    assert flow.layers.shape == (1, 1, 10) and np.isfinite(flow.spread).all()  # a row that is over keeps its state
    assert tuple(flow.grad_norms) == tuple(pair.params)
    assert np.isfinite(flow.saturated[0, 0, [0, *range(4, 10)]]).all()


def test_an_override_must_take_what_everything_needs() -> None:
    class Plain(sr.VanillaRNN):
        def loss_and_grads(self, x: Any, target: Any, steps: Any, rng: Any) -> Any:  # type: ignore[override]
            return super().loss_and_grads(x, target, steps=steps, rng=rng)

    model = Plain(D, 4, O, backend="numpy")
    given = arguments(model)
    assert len(sr.fit(model, **given).flow) == 6
    with pytest.raises(TypeError, match="saturation"):
        sr.fit(model, **given, track="all")


def test_rows_are_the_same_whenever_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read after every update, or once at the end, when most of what was seen has been dropped unmade."""
    monkeypatch.setattr(record, "MAX_FLOW_ROWS", 6)
    flows = [make_model().loss_and_grads(**make_batch(make_model(), rows=2 + i % 2)).flow for i in range(2)]
    often, once = record.FlowRecord(), record.FlowRecord()
    for update in range(1, 60):
        for one in (often, once):
            one.add(update, flows[update % 2])
        assert len(often) <= 6
    made: list[int] = []
    rows_of = record.rows_of

    def counted(seen: Any) -> Any:
        made.append(len(seen))
        return rows_of(seen)

    monkeypatch.setattr(record, "rows_of", counted)
    assert once.updates == often.updates and once.every == often.every
    np.testing.assert_array_equal(once.layers, often.layers)
    assert once.batch_rows == often.batch_rows and sum(made) <= 6
