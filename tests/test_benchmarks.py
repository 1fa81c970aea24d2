"""The benchmarks at tiny sizes: sides agree or nothing is timed, turns alternate, tables say what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratchrnn as sr
from benchmarks import __main__ as command
from benchmarks import before_after, charts, harness, process, readme_table, scaling, separate, sides, steps, tracking
from benchmarks.sides import MODULES, OURS
from benchmarks.workloads import WORKLOADS, Workload
from scratchrnn import cli
from scratchrnn.cli import bench

ROOT = Path(__file__).parent.parent
TINY = [
    Workload("last", 3, 4, 2, 5, 3, last=True, batches=2),
    Workload("all", 3, 4, 2, 5, 3),
    Workload("two layers", 8, 3, 5, 6, 2, layers=2, last=True, batches=2),
    Workload("both directions", 3, 4, 2, 5, 3, bidirectional=True, batches=2),
    Workload("ragged", 4, 6, 2, 5, 3, shortest=2, batches=2),
    Workload("everything", 4, 6, 2, 5, 3, layers=2, bidirectional=True, shortest=1, batches=2),
]


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    """Put back what loading a side sets."""
    before = sr.get_num_threads()
    yield
    sr.set_num_threads(before)


def load(name: str) -> Any:
    """A side on one thread, or a skip that says what is missing."""
    found, missing = sides.load(1, [name])
    if name in missing:
        pytest.skip(f"{name} is not installed ({missing[name]}): make bench")
    return found[name]


@pytest.mark.filterwarnings("ignore")  # the peers' own
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("dtype", steps.TOLERANCE)
@pytest.mark.parametrize("workload", TINY, ids=lambda w: w.name)
def test_sides_agree_and_train(name: str, workload: Workload, dtype: str) -> None:
    side = load(name)(workload, dtype)
    steps.check_agreement(workload, dtype, {name: side})
    assert np.shape(side.forward())[-1] == workload.O
    assert len(side.epochs(2)) == 2


@pytest.mark.parametrize("workload", [w._replace(batches=1) for w in TINY], ids=lambda w: w.name)
def test_the_loop_updates_as_fit_does(workload: Workload) -> None:
    """Gather, clip and Adam: the same weights after four updates on one minibatch."""
    ours, loop = load(OURS)(workload, "float64"), load("NumPy loop")(workload, "float64")
    ours.epochs(3)  # and one more, which is not timed
    for _ in range(4):
        loop.epoch()
    for name, array in loop.p.items():
        np.testing.assert_allclose(ours.model.params[name], array, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("change", ["loss", "gradient", "sign", "NaN", "missing", "shape"])
def test_a_side_that_differs_is_not_timed(change: str) -> None:
    class Wrong(load("NumPy loop")):  # type: ignore[misc]
        def result(self) -> Any:
            loss, grads = super().grads()
            if change == "loss":
                loss *= 1.001
            elif change == "gradient":
                grads["0.W_hh"][0, 0] *= 1.01
            elif change == "sign":
                grads["1.b_y"] *= -1
            elif change == "NaN":
                loss = float("nan")
            elif change == "missing":
                del grads["0.b_h"]
            else:
                grads["0.W_xh"] = grads["0.W_xh"].T
            return loss, grads

    workload = TINY[0]
    right = load("NumPy loop")(workload, "float32")
    with pytest.raises(steps.DisagreementError, match="Wrong on last in float32: .*nothing was timed"):
        steps.check_agreement(workload, "float32", {"right": right, "Wrong": Wrong(workload, "float32")})


def test_a_failing_child_gives_its_last_line() -> None:
    with pytest.raises(RuntimeError, match=r"benchmarks.steps with 1 thread\(s\): KeyError: 'no such'"):
        harness.child("benchmarks.steps", {"quick": True, "names": ["no such"], "only": [OURS]}, 1)


def test_turns_alternate() -> None:
    order: list[str] = []

    def turn(name: str, seconds: float) -> harness.Turn:
        def run(count: int) -> list[float]:
            order.append(name)
            return [seconds] * count

        return run

    times = harness.interleave({"a": turn("a", 1.0), "b": turn("b", 0.01)}, seconds=0, least=3)
    assert order == ["a", "b", "a", "b", *"ababab"]  # warm-up, calibration, three rounds
    assert (times["a"]["calls"], times["b"]["calls"]) == (3, 12)  # as many calls as fill a turn
    assert (times["a"]["median"], times["b"]["min"]) == (1.0, 0.01)


def test_a_short_call_is_warmed_and_a_long_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    assert len(harness.timed(lambda: calls.append(0), 3)) == 3
    assert len(calls) == 4
    monkeypatch.setattr(harness, "LONG", -1.0)
    assert len(harness.timed(lambda: calls.append(0), 3)) == 3
    assert len(calls) == 7


def test_rest_waits_for_threads_that_still_work() -> None:
    end = time.perf_counter() + 0.05

    def spin() -> None:
        while time.perf_counter() < end:
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    assert harness.rest() > 0.02
    thread.join()
    assert harness.rest(at_most=0.0) < 0.1


def test_children_get_their_threads_and_their_own_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    env = harness.environment(1)
    assert env["OMP_NUM_THREADS"] == env["OPENBLAS_NUM_THREADS"] == "1"
    assert "multi_thread_eigen=false" in env["XLA_FLAGS"]
    assert "OPENBLAS_CORETYPE" not in env
    assert harness.environment(2)["OMP_NUM_THREADS"] == "2"


def test_operations_are_counted() -> None:
    """By hand for N = 1, T = 2, D = 3, H = 5, O = 7, loss on both steps."""
    w = Workload("w", 1, 2, 3, 5, 7)
    forward = 2 * 2 * (5 * 3 + 5 * 5 + 7 * 5)
    backward = 2 * (2 * 7 * 5 + 2 * 7 * 5 + 2 * 5 * 3 + 2 * 5 * 5 + 1 * 5 * 5)  # W_hy, ∂L/∂h, W_xh, W_hh, one step back
    assert (w.flops("forward"), w.flops("grads")) == (forward, forward + backward)
    assert WORKLOADS["sine"].flops("grads") == pytest.approx(10e6, rel=0.02)


def test_operations_of_two_directions_and_of_padding() -> None:
    """A second direction doubles all but the steps, and above it D; padding costs nothing."""
    one, both = Workload("w", 2, 4, 3, 5, 7), Workload("w", 2, 4, 3, 5, 7, bidirectional=True)
    assert [both.flops(mode) for mode in steps.MODES] == [2 * one.flops(mode) for mode in steps.MODES]
    two = both._replace(layers=2)
    above = 2 * 8 * (2 * 5) * (10 + 5)  # 8 steps of all rows, 2·H outputs of 2·H + H sources
    assert two.flops("forward") - both.flops("forward") == above
    assert two.flops("grads") - both.flops("grads") == 2 * above + 2 * 6 * 10 * 5 + 2 * 8 * 10 * 10

    ragged = one._replace(shortest=1, batches=3)
    lengths = ragged.lengths()
    assert lengths is not None and lengths.shape == (6,) and lengths.min() >= 1 and lengths.max() <= 4
    assert sum(lengths[:2]) < 8, "else the next line says nothing"
    assert ragged.flops("forward") == sum(lengths[:2]) * one.flops("forward") // 8
    assert WORKLOADS["ragged"].flops("forward") == pytest.approx(
        0.58 * WORKLOADS["ragged"]._replace(shortest=None).flops("forward"), rel=0.01
    )


def test_slope() -> None:
    assert scaling.slope([[size, 3e-6 * size**1.5] for size in (16, 32, 64, 128)]) == pytest.approx(1.5)


def test_process_ratio_takes_the_faster_peer() -> None:
    times = {"cold": 4.0, "warm": 1.0, "sine_pytorch": 6.0, "sine_pytorch_chapter": 8.0}
    result = {"seconds": {key: {"median": seconds} for key, seconds in times.items()}}
    assert (process.ratio(result, "warm"), process.ratio(result, "cold")) == (6.0, 1.5)
    assert process.ratio({"seconds": {"warm": {"median": 1.0}}}, "warm") is None


def test_peak_memory_grows_with_what_is_held() -> None:
    before = process.peak_memory()
    held = np.ones(64 * 2**17)  # 64 MiB
    assert process.peak_memory() > 1
    assert process.peak_memory() >= before and held.all()


def results(load: float = 0.1) -> tuple[dict[str, Any], dict[str, Any]]:
    """Made-up results: 1 ms for us and 2, 3, 4, 5 for the others, on every workload."""
    runs = [
        {"workload": name, "dtype": dtype, "threads": threads, "mode": mode, "flops": 10**7, "peak": 2e10}
        | {"sides": {side: {"median": 1e-3 * (i + 1)} for i, side in enumerate(MODULES)}}
        for threads in (1, 2)
        for name in WORKLOADS
        for dtype in steps.TOLERANCE
        for mode in steps.MODES
    ]
    versions = dict.fromkeys([*harness.PACKAGES, "python"], "1.2")
    head = {"processor": "Abacus", "cores": 2, "date": "2024-05-01", "load": load, "quick": False, "versions": versions}
    seconds = {key: {"median": 6.0 if "pytorch" in key else 1.0} for key in process.TITLES}
    memory = {OURS: {"before": 100, "peak": 200}, "PyTorch": {"before": 300, "peak": 400}}
    return {**head, "missing": {}, "blas": None, "runs": runs}, {**head, "seconds": seconds, "memory": memory}


def test_readme_section_says_what_was_measured() -> None:
    section = readme_table.section(*results())
    assert "Measured on 2024-05-01 on Abacus, 2 cores, beside PyTorch 1.2, JAX 1.2, Keras 1.2, NumPy 1.2" in section
    assert "| mid (N 64, T 100, D 64, H 256, O 64) | 1 / 1 | 2 / 2 | 3 / 3 | 4 / 4 | 5 / 5 | 50% / 50% |" in section
    assert "| bidirectional (N 32, T 50, D 64, H 128, O 35) | 1 / 1 |" in section
    assert "| ragged (N 64, T 10–100, D 64, H 128, O 35) | 1 / 1 |" in section
    assert "| large | 2.00 / 2.00 |" in section
    assert "6.0 times as long" in section
    assert "rough" not in section
    assert "Other work was running" in readme_table.section(*results(load=3.0))


def test_readme_section_goes_between_its_marks() -> None:
    readme = f"before\n{readme_table.BEGIN}\nold\n{readme_table.END}\nafter\n"
    once = readme_table.put(readme, "new")
    assert once.startswith("before\n") and once.endswith("\nafter\n") and "new" in once and "old" not in once
    assert readme_table.put(once, "new") == once
    with pytest.raises(ValueError, match="lacks the lines"):
        readme_table.put("no marks", "new")


def test_readme_has_the_committed_results() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    steps_result, process_result = (
        json.loads((readme_table.RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in ("steps", "process")
    )
    assert readme_table.put(readme, readme_table.section(steps_result, process_result)) == readme
    assert (readme_table.RESULTS / "steps.png").exists()


def test_tables_and_charts_of_a_run(tmp_path: Path) -> None:
    steps_result, process_result = results()
    steps_result["missing"] = {"Other": "No module named 'other'"}
    table = steps.table(steps_result)
    assert "whole update, 2 threads: median ms" in table and "2.00 ×" in table and "50%" in table
    assert "without Other: No module named 'other'" in table
    assert "PyTorch's best is 6.00 ×" in process.table(process_result)

    points = {OURS: {letter: [[size, 1e-4 * size] for size in sizes] for letter, sizes in scaling.SIZES.items()}}
    slopes = {OURS: dict.fromkeys(scaling.SIZES, 1.0)}
    head = {key: steps_result[key] for key in ("processor", "cores", "date")}
    grown = {**head, "base": scaling.BASE._asdict(), "points": points, "slopes": slopes}
    assert "T=64" in scaling.table(grown) and "slope 1.00" in scaling.table(grown)
    for name, result in (("steps", steps_result), ("scaling", grown)):
        command.draw(name, result, tmp_path)
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_without_peers_ours_stands_alone() -> None:
    run = results()[0]["runs"][0]
    alone = run | {"sides": {OURS: run["sides"][OURS]}}
    for one in (alone, alone | {"separate": alone["sides"]}):
        assert steps.lowest_ratio(one) is None
        assert "–" in steps.table({**results()[0], "runs": [one]})


def test_compare_runs_every_mode() -> None:
    workload = TINY[1]
    runs = steps.compare(workload, "float32", 1, {OURS: load(OURS)(workload, "float32")}, seconds=0.0, size=64)
    assert [run["mode"] for run in runs] == list(steps.MODES)
    assert all(run["peak"] > 0 and run["sides"][OURS]["median"] > 0 for run in runs)


def test_separate_processes_take_turns_and_every_round_starts_with_the_next() -> None:
    asked: list[str] = []

    class Process:
        def __init__(self, name: str, seconds: list[float]) -> None:
            self.name, self.seconds = name, iter(seconds)

        def ask(self, method: str, **arguments: Any) -> Any:
            asked.append(self.name)
            if method == "warm_up":
                return assert_mode(arguments)
            shortest = next(self.seconds)
            return {"seconds": [shortest, 2 * shortest, 9 * shortest], "cores": 1.0}

    def assert_mode(arguments: dict[str, Any]) -> None:
        assert arguments == {"mode": "grads"}

    processes = [Process("a", [1.0, 5.0, 2.0, 3.0]), Process("b", [0.1] * 4), Process("c", [0.2] * 4)]
    times = separate.take_turns(processes, "grads", 4)
    assert "".join(asked) == "abc" + "abc" + "bca" + "cab" + "abc"
    assert times["a"] == {"median": 5.0, "min": 1.0, "calls": 12, "cores": 1.0, "rounds": 4}  # of 2, 10, 4, 6


def test_each_side_is_measured_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real processes, side by side; the run gets their times beside those of the first way."""
    monkeypatch.setenv("SCRATCHRNN_BACKEND", "numpy")
    started: list[Any] = []

    class Recorded(separate.SideProcess):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            started.append(self.process)

    monkeypatch.setattr(separate, "SideProcess", Recorded)
    both = {OURS: {"median": 1.0}, "NumPy loop": {"median": 2.0}}
    modes = ("forward", "update")
    runs: list[dict[str, Any]] = [
        {"workload": "last", "dtype": dtype, "mode": mode, "sides": both} for dtype in steps.TOLERANCE for mode in modes
    ]
    steps.measure_separately(runs, threads=1, rounds=2, workloads={"last": TINY[0]})
    assert len({process.pid for process in started}) == 2
    assert all(process.poll() is not None for process in started), "none is left behind"
    for run in runs:
        assert run["sides"] is both
        assert list(run["separate"]) == list(both)
        assert all(times["rounds"] == 2 and times["median"] >= times["min"] > 0 for times in run["separate"].values())


def test_a_side_that_differs_in_its_own_process_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends with the error, and its last line is given."""
    served = steps.Separate("NumPy loop", 1)
    monkeypatch.setitem(steps.TOLERANCE, "float32", -1.0)
    with pytest.raises(steps.DisagreementError, match="NumPy loop on last in float32: .*nothing was timed"):
        served.prepare(list(TINY[0]), "float32")
    with separate.SideProcess("benchmarks.steps", "NumPy loop", 1) as process:
        with pytest.raises(RuntimeError, match=r"NumPy loop in a process of its own, with 1 thread\(s\): .*no such"):
            process.ask("prepare", workload=list(TINY[0]), dtype="no such")
        with pytest.raises(RuntimeError, match="no such"):  # nor does asking again wait for ever
            process.ask("take_turn")


def test_run_measures_both_ways_or_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: list[int] = []

    def child(module: str, options: dict[str, Any], threads: int) -> dict[str, Any]:
        return {"missing": {}, "blas": None, "runs": [{"threads": threads}]}

    def measure_separately(runs: list[dict[str, Any]], **options: int) -> None:
        rounds.append(options["rounds"])
        runs[0]["separate"] = options["threads"]

    monkeypatch.setattr(harness, "child", child)
    monkeypatch.setattr(steps, "measure_separately", measure_separately)
    result = steps.run(quick=False, threads=[1, 2])
    assert result["runs"] == [{"threads": 1, "separate": 1}, {"threads": 2, "separate": 2}]
    steps.run(quick=True, threads=[1])
    steps.run(quick=True, threads=[1], rounds=7)
    assert steps.run(quick=False, threads=[1], rounds=0)["runs"] == [{"threads": 1}]
    assert rounds == [steps.ROUNDS[False], steps.ROUNDS[False], steps.ROUNDS[True], 7]


def test_rounds_cannot_be_negative(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        command.main(["steps", "--rounds", "-1", "--out", str(tmp_path)])
    assert "--rounds must be at least 0" in capsys.readouterr().err


def with_second_way(result: dict[str, Any], ours: float) -> dict[str, Any]:
    """Made-up results with a second way, in which the peers take as long as in the first and we `ours` seconds."""
    runs = [run | {"separate": run["sides"] | {OURS: {"median": ours}}} for run in result["runs"]]
    return {**result, "runs": runs}


@pytest.mark.parametrize("ours, lowest", [(0.8e-3, "2.00"), (1.6e-3, "1.25")], ids=["first way", "second way"])
def test_the_lower_ratio_of_the_two_ways_is_reported(ours: float, lowest: str) -> None:
    """Of each peer, in the tables and in the chart, whichever way it comes from; the times in ms stay the first's."""
    one_way, process_result = results()
    result = with_second_way(one_way, ours)
    run = result["runs"][0]
    factor = min(1.0, 1e-3 / ours)
    expected = {name: (i + 1) * factor for i, name in enumerate(MODULES) if name != OURS}
    assert {name: steps.ratio(run, name) for name in expected} == pytest.approx(expected)
    assert steps.ratio(run, OURS) == 1
    assert f"{steps.lowest_ratio(run):.2f}" == lowest

    table = steps.table(result)
    assert f"{lowest} ×" in table and f"2 ({lowest})" in table and f"5 ({5 * factor:.2f})" in table
    assert "the lower of two ways" in table and "one way only" not in table
    section = readme_table.section(result, process_result)
    assert f"| large | {lowest} / {lowest} |" in section
    assert "| mid (N 64, T 100, D 64, H 256, O 64) | 1 / 1 | 2 / 2 | 3 / 3 | 4 / 4 | 5 / 5 | 50% / 50% |" in section
    assert "in two ways" in section and "A ratio is the lower of the two ways." in section

    figure = charts.steps(result)
    points = [line for line in figure.axes[0].lines if line.get_marker() != "None"]
    drawn = np.unique([np.asarray(line.get_xdata()) for line in points])
    assert drawn == pytest.approx([1.0, *sorted(expected.values())])
    assert "the lower of two ways" in figure.get_supxlabel()


def test_the_lower_ratio_is_chosen_for_each_peer() -> None:
    """One peer is faster in the first way, the other in the second; the best peer need not be the same."""
    first = {OURS: {"median": 1.0}, "PyTorch": {"median": 2.0}, "JAX": {"median": 4.0}}
    second = {OURS: {"median": 2.0}, "PyTorch": {"median": 5.0}, "JAX": {"median": 3.0}}
    run = {"sides": first, "separate": second}
    assert (steps.ratio(run, "PyTorch"), steps.ratio(run, "JAX")) == (2.0, 1.5)
    assert steps.lowest_ratio(run) == 1.5


def test_records_of_one_way_are_shown_as_they_are() -> None:
    result, process_result = results()
    table = steps.table(result)
    assert "measured in one way only" in table and "2 (2.00)" in table and "lower" not in table
    section = readme_table.section(result, process_result)
    assert "in one way only: all sides in one process, in turns." in section and "lower" not in section
    assert "lower of two" not in charts.steps(result).get_supxlabel()

    partly = with_second_way(result, 1e-3)
    del partly["runs"][-1]["separate"]  # a table with such a run must not claim two ways of all
    assert "one way only" in steps.table(partly)


def test_tracking_compares_with_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "WORKLOADS", {name: TINY[0]._replace(batches=2) for name in tracking.NAMES})
    monkeypatch.setattr(tracking, "SECONDS", {True: 0.0})
    result = tracking.measure(quick=True, threads=1)
    assert [run["workload"] for run in result["runs"]] == list(tracking.NAMES)
    assert all(set(run["times"]) == {"None", "norms", "all"} for run in result["runs"])

    times = {"None": {"median": 2.0, "min": 1.0}, "norms": {"median": 2.02, "min": 1.0}}
    times["all"] = {"median": 2.08, "min": 1.05}
    ratios = tracking.ratios(times)
    assert ratios == {"norms": {"median": 1.01, "min": 1.0}, "all": {"median": 1.04, "min": 1.05}}
    head = {"processor": "Abacus", "cores": 2, "date": "2024-05-01"}
    table = tracking.table({**head, "runs": [{"workload": "char", "times": times, "ratios": ratios}]})
    assert "+1.0%" in table and "+4.0%" in table and "+5.0%" in table and "limits: norms 2%, all 5%" in table


def test_paired_turns_take_every_order_as_often() -> None:
    order: list[str] = []
    seconds = iter(map(float, range(18)))

    def turn(name: str) -> Any:
        def take() -> float:
            order.append(name)
            return next(seconds)

        return take

    measured = before_after.paired({name: turn(name) for name in "abc"}, rounds=6)
    rounds = {tuple(order[i : i + 3]) for i in range(0, 18, 3)}
    assert len(rounds) == 6 and all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert sorted(sum(measured.values(), [])) == list(range(18))
    assert all(values[i] // 3 == i for values in measured.values() for i in range(6))


def test_a_turn_lasts_long_enough_to_be_timed() -> None:
    counts: list[int] = []

    def take_turn(count: int) -> list[float]:
        counts.append(count)
        time.sleep(0.001)
        return [*range(count - 1), 9.0]

    assert before_after.long_enough(take_turn)() > 1.0  # the median of many
    assert counts[:2] == [1, 1] and 5 < counts[2] <= 40


def test_copies_of_the_package_stand_side_by_side(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each has its own modules and its own threads, and computes the same."""
    monkeypatch.setenv("SCRATCHRNN_BACKEND", "numpy")
    monkeypatch.setattr(before_after, "WORKLOADS", {w.name: w for w in TINY[:2]})
    monkeypatch.setattr(before_after, "TURN", 0.0)
    copies = before_after.copy_packages(ROOT, ROOT, tmp_path)
    loaded = set(sys.modules)
    try:
        result = before_after.measure(copies=copies, names=["last", "all"], dtype="float64", rounds=2, threads=3)
        pools = {
            sys.modules[f"scratchrnn_{name}.backends.numba.threads"].pool
            for name in ("before", "after", "before_again")
        }
        assert len(pools) == 3 and {pool.size for pool in pools} == {3}
        assert sys.modules["scratchrnn_before.model"].__file__ == str(Path(copies["before"]) / "model.py")
    finally:
        for name in set(sys.modules) - loaded:
            if name.startswith("scratchrnn_"):
                del sys.modules[name]
    assert set(result["backends"].values()) == {"numpy"}
    assert [(run["workload"], run["mode"]) for run in result["runs"]] == [
        (name, mode) for name in ("last", "all") for mode in steps.MODES
    ]
    assert all(run["seconds"] > 0 and run["ratio"] > 0 and run["identical"] > 0 for run in result["runs"])


def test_a_slower_workload_is_marked_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ratios = {"sine": 1.02, "mid": 1.04}

    def child(module: str, options: dict[str, Any], threads: int) -> dict[str, Any]:
        assert module == "benchmarks.before_after" and options["rounds"] == 40
        runs = [
            {"workload": name, "mode": "grads", "seconds": 2e-3, "ratio": ratios[name], "identical": 0.99}
            for name in options["names"]
        ]
        return {
            "dtype": "float32",
            "threads": threads,
            "rounds": 40,
            "backends": {"before": "numba", "after": "numba"},
        } | {"runs": runs}

    monkeypatch.setattr(harness, "child", child)
    assert before_after.main([str(ROOT), "--workloads", "sine"]) == 0
    assert "0 above 1.03" in capsys.readouterr().out
    assert before_after.main([str(ROOT), "--workloads", "sine", "mid", "--threads", "1", "2"]) == 1
    said = capsys.readouterr().out
    assert "float32, 2 threads, numba: medians of 40 rounds" in said and "2 above 1.03" in said
    lines = [line for line in said.splitlines() if line.startswith("  mid")]
    assert len(lines) == 2 and all("1.040            0.990  slower" in line for line in lines)
    assert not any("slower" in line for line in said.splitlines() if line.startswith("  sine"))


def test_before_and_after_need_a_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leave:
        before_after.main([str(tmp_path)])
    assert leave.value.code == 2
    assert "is no checkout: it has no scratchrnn/__init__.py" in capsys.readouterr().err


def test_command_needs_a_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    assert cli.main(["bench"]) == 1
    assert capsys.readouterr().err.startswith("scratchrnn: error: the benchmarks are not part of the installed package")


def test_command_names_what_it_knows(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "speed"]) == 2
    assert "no benchmark 'speed'; choose from steps, process, scaling, tracking" in capsys.readouterr().err
    assert tuple(command.BENCHMARKS) == bench.NAMES


def test_command_hands_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        started.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", run)
    assert cli.main(["bench", "scaling", "--quick", "--out", str(tmp_path)]) == 3
    assert started == [[sys.executable, "-m", "benchmarks", "scaling", "--quick", "--out", str(tmp_path)]]
