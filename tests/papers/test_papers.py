"""Results of papers: each measured, and what measures it compared with another way of finding the number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratchrnn as sr
from scratchrnn import cli, plots
from scratchrnn.cli import papers
from scratchrnn.papers import adding, bifurcation, decay, temporal_order
from scratchrnn.papers.result import Result, table
from scratchrnn.papers.temporal_order import SETTINGS, Run, Setting
from scratchrnn.plots import papers as pictures

PNG = b"\x89PNG\r\n\x1a\n"


def assert_ok(results: list[Result], count: int, widest: float) -> None:
    print("\n" + table(results))
    assert len(results) == count
    assert all(result.ok for result in results), table(results)
    assert max(result.tolerance for result in results) <= widest


def test_within_the_tolerance_and_nothing_else() -> None:
    result = Result("name", "setting", -2.0, -2.5, 0.5)
    assert result.ok and not result._replace(tolerance=0.49).ok and not result._replace(ours=-2.51).ok
    assert not result._replace(ours=math.nan).ok and not result._replace(ours=2.0).ok


# Decay.


def test_decay() -> None:
    results = decay.results(decay.measure(quick=True, progress=False))
    assert_ok(results, 4, widest=0.02)
    assert [result.published for result in results] == [math.log(g) for g in (0.5, 0.9, 1.1, 1.5)]


def test_near_zero_the_norms_are_those_of_a_power_of_the_matrix() -> None:
    g, units, lags = 1.3, 7, 11
    model = sr.VanillaRNN(1, units, 1, init=f"normal({g / math.sqrt(units)})", seed=4, backend="numpy")
    v = model.params["W_hy"][0]
    expected = [np.linalg.norm(np.linalg.matrix_power(model.params["W_hh"].T, k) @ v) for k in range(lags + 1)]
    curve = decay.log_norms(g, 4, units=units, lags=lags)
    assert curve.shape == (lags + 1,)
    # The factor 2·(y − 1) of the loss is not 2 to the last digit, since y is only nearly 0.
    np.testing.assert_allclose(curve, np.log(expected) + math.log(2), atol=1e-4)
    np.testing.assert_allclose(np.diff(curve), np.diff(np.log(expected)), atol=1e-9)


def test_the_slope_of_a_line() -> None:
    assert decay.slope(3 - 0.25 * np.arange(6)) == pytest.approx(-0.25)


# Bifurcation.


def test_bifurcation() -> None:
    results = bifurcation.results(bifurcation.measure(quick=True, progress=False))
    assert_ok(results, 2, widest=1e-3)
    np.testing.assert_allclose([result.published for result in results], [-2.65561, -2.34439], atol=5e-6)


def test_at_a_saddle_node_the_slope_is_one() -> None:
    for w in (4.5, 5.0, 9.0):
        for b in bifurcation.saddle_nodes(w):
            x = np.linspace(-12, 12, 2_000_001)
            at, slope = bifurcation.fixed_points(x, w)
            near = np.abs(slope - 1) < 1e-5
            assert np.abs(at[near] - b).min() < 1e-9
    with pytest.raises(ValueError, match="only where w > 4, got w = 4"):
        bifurcation.saddle_nodes(4.0)


def test_a_sweep_of_another_weight() -> None:
    b = np.linspace(-3.5, -2.5, 2001)
    swept = bifurcation.sweep(6.0, b)
    np.testing.assert_allclose(bifurcation.bounds(swept), bifurcation.saddle_nodes(6.0), atol=5e-4)
    for x in (swept.low, swept.high):  # all of them fixed points, none that repels
        at, slope = bifurcation.fixed_points(x, 6.0)
        settled = np.abs(at - b) < 1e-9
        assert settled.mean() > 0.99 and (slope[settled] <= 1.001).all()
    assert all(math.isnan(bound) for bound in bifurcation.bounds(bifurcation.sweep(3.0, b)))


# Adding.


def test_answering_the_mean_of_a_sum() -> None:
    results = adding.results(adding.Scores(adding.baseline(), {}))
    assert_ok(results, 1, widest=1e-3)
    assert results[0].published == 1 / 6
    setting = adding.FULL[1]._replace(epochs=3)
    trained = adding.results(adding.Scores(1 / 6, {setting: 1 / 6000}))[1]
    assert trained == (
        "adding: error of a trained network",
        "T = 50, 750 updates",
        8e-4,
        1 / 6000,
        2e-3,
        "1/1000 of that",
    )


@pytest.mark.slow
def test_adding() -> None:
    results = adding.results(adding.measure(quick=True, progress=False))
    assert_ok(results, 2, widest=0.005)
    assert results[1].ours < 1 / 6 / 30


# Temporal order.


@pytest.mark.parametrize(("solved", "runs"), [(0, 10), (4, 10), (10, 10), (1, 3)])
def test_wilsons_interval_solves_its_equation(solved: int, runs: int) -> None:
    """Its ends p are where the share lies 1.96 standard deviations √(p(1 − p)/n) away."""
    for p in temporal_order.wilson(solved, runs):
        if 1e-9 < p < 1 - 1e-9:
            assert abs(solved / runs - p) == pytest.approx(1.96 * math.sqrt(p * (1 - p) / runs), rel=1e-9)
        else:
            assert p == pytest.approx(solved / runs, abs=1e-9)


def made_up(setting: Setting, seed: int, solved: bool) -> Run:
    norms = [10.0 ** -(i % 3) for i in range(4)]
    return Run(setting, seed, solved, 1000, "" if solved else "exploded", norms, norms, norms, [1e-9, 1e-4, 0.1])


def test_shares_of_runs(tmp_path: Path) -> None:
    runs = [made_up(setting, seed, seed < 3) for setting in SETTINGS[:2] for seed in range(4)]
    none, clipped = temporal_order.results(runs)
    assert (none.published, none.ours, none.ok) == (0.4, 0.75, True)
    assert (clipped.published, clipped.ours) == (0.8, 0.75)
    assert none.setting == "L = 30, std 0.1, rate 0.01, no clipping" and "clipping at 1" in clipped.setting
    assert none.note == "3 of 4, 95 % in [0.30, 0.95]; a plain loop: 4 of 10; median 1,000 updates"
    temporal_order.save(runs, tmp_path / "runs.json")
    assert temporal_order.read(tmp_path / "runs.json") == runs
    assert [*temporal_order.by_setting(runs)] == list(SETTINGS[:2])


def test_the_settings_are_those_of_the_table() -> None:
    assert [(s.length, s.std, s.rate, s.updates, s.clip_norm) for s in SETTINGS] == [
        (length, std, rate, updates, clip)
        for length, std, rate, updates in ((30, 0.1, 0.01, 40_000), (30, 0.1, 0.05, 15_000), (50, 0.14, 0.05, 15_000))
        for clip in (None, 1.0)
    ]


def test_a_run_records_what_happened() -> None:
    setting = Setting(20, 0.1, 0.01, 500, 1.0, (1, 1), 0.0)
    run = temporal_order.one_run(setting, 3)
    assert (run.setting, run.seed, run.solved, run.updates, run.ended_by) == (setting, 3, False, 500, "")
    assert len(run.loss) == len(run.median_norm) == len(run.largest_norm) == 2 and len(run.flow) == 20
    assert run.loss[0] == pytest.approx(math.log(4), abs=0.05)
    assert all(0 < median <= most for median, most in zip(run.median_norm, run.largest_norm, strict=True))
    assert all(norm > 0 for norm in run.flow)
    assert temporal_order.one_run(setting, 3) == run != temporal_order.one_run(setting, 4)


def test_a_run_that_explodes_has_failed() -> None:
    run = temporal_order.one_run(Setting(12, 0.1, 3e38, 500, None, (0, 1), 0.0), 0)
    assert not run.solved and run.updates < 500 and "not finite" in run.ended_by


def test_runs_of_several_processes_are_those_of_one() -> None:
    settings = [Setting(12, 0.1, 0.01, 250, clip, (0, 1), 0.0) for clip in (None, 0.01)]
    runs = temporal_order.study(settings, 2, progress=False)
    assert runs == [temporal_order.one_run(setting, seed) for setting in settings for seed in range(2)]
    assert runs[0] != runs[2]._replace(setting=settings[0])  # clipping changes something


@pytest.mark.slow
def test_temporal_order() -> None:
    results = temporal_order.results(temporal_order.measure(quick=True, progress=False))
    assert_ok(results, 2, widest=0.2)


# Pictures, and the command.


def test_the_picture_of_temporal_order(tmp_path: Path) -> None:
    runs = [made_up(setting, seed, seed < 3) for setting in SETTINGS for seed in range(4)]
    runs[0] = runs[0]._replace(updates=0, loss=[], median_norm=[], largest_norm=[], flow=[0.0, 0.0, 0.1])
    files = temporal_order.draw(runs, tmp_path) | temporal_order.keep(runs, tmp_path)
    assert set(files) == {"temporal-order.png", "temporal-order.json"}
    assert (tmp_path / "temporal-order.png").read_bytes().startswith(PNG)
    figure: Any = pictures.plot_temporal_order(temporal_order.with_intervals(runs[:4]), plots.new_figure())
    assert len(figure.axes) == 4 and [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["none\n3 of 4"]


def test_papers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["papers", "wall", "bifurcation", "decay", "--out", str(tmp_path), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert said.count("✓") == 11 and "✗" not in said
    for name in ("wall.png", "bifurcation.png", "decay.png"):
        assert (tmp_path / name).read_bytes().startswith(PNG) and name in said


def test_a_result_out_of_tolerance_is_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def measure(quick: bool, progress: bool, **more: Any) -> list[Result]:
        asked.append((quick, progress, more))
        return [Result("one", "here", 1.0, 1.2, 0.1)]

    monkeypatch.setattr(papers, "PAPERS", {"bad": papers.Paper(measure), "seeded": papers.Paper(measure, seeds=True)})
    assert cli.main(["papers", "--quick", "--seeds", "7", "--out", str(tmp_path)]) == 1
    assert asked == [(True, True, {}), (True, True, {"seeds": 7})]
    assert capsys.readouterr().out.count("✗ one") == 2
    assert cli.main(["papers", "bad", "bad", "--quiet", "--out", str(tmp_path)]) == 1
    assert asked[2:] == [(False, False, {})]


def test_ctrl_c_keeps_the_results_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(quick: bool, progress: bool) -> list[Result]:
        raise KeyboardInterrupt

    done = papers.Paper(lambda quick, progress: [Result("one", "here", 1.0, 1.0, 0.1)])
    monkeypatch.setattr(papers, "PAPERS", {"done": done, "not": papers.Paper(interrupted)})
    assert cli.main(["papers", "--out", str(tmp_path)]) == 130
    assert "✓ one" in capsys.readouterr().out
