"""The command line, as its users meet it: mostly as a process of its own, with warnings as errors."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratchrnn as sr
from scratchrnn import cli
from scratchrnn.checkpoint import read
from scratchrnn.commands import flow, output, tasks
from scratchrnn.tasks import task
from scratchrnn.tasks.task import Task, Trained
from scratchrnn.text import Vocabulary

COMMANDS = [
    [],
    ["demo"],
    ["train"],
    ["train", "sine"],
    ["train", "text"],
    ["train", "tunes-blank"],
    ["train", "pairs"],
    ["sample"],
    ["check"],
    ["flow"],
    ["tasks"],
    ["papers"],
    ["bench"],
    ["info"],
]
# One BLAS thread: where other processes keep the cores busy, two wait for each other.
QUIET = {"PYTHONUTF8": "1", "SCRATCHRNN_BACKEND": "numpy", "OPENBLAS_NUM_THREADS": "1"}
PNG = b"\x89PNG\r\n\x1a\n"


def run(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """`scratchrnn …` in a process of its own, on NumPy where nothing else is said."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "scratchrnn", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=cwd,
        timeout=120,
        env={**os.environ, **QUIET, **environment},
    )


def assert_pictures(folder: Path, *names: str) -> None:
    for name in names:
        assert (folder / name).read_bytes().startswith(PNG), name
        assert (folder / name).stat().st_size > 10_000, name


def assert_error(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """One line on standard error that names the program, and nothing else there."""
    assert done.returncode == code
    assert done.stderr.startswith("scratchrnn: error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that was trained, a little, on the chapter's text."""
    out = tmp_path_factory.mktemp("text")
    done = run("train", "text", "--epochs", "2", "--hidden-size", "24", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert_pictures(out, "loss.png", "gradients.png")
    assert "200 characters of 31 kinds; knowing nothing costs ln 31 = 3.434" in done.stdout
    assert "it writes on from" in done.stdout
    following = done.stdout.partition("\nnext\n")[2]
    assert f'sample --model {out / "model.npz"} --prompt "To"' in following
    assert f"flow --model {out / 'model.npz'}" in following
    return out


def test_train_text_tells_the_held_out_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "poem.txt"
    file.write_text("床前明月光，疑是地上霜。" * 60, encoding="utf-8")
    arguments = ["--file", str(file), "--hidden-size", "8", "--epochs", "2", "--backend", "numpy", "--quiet"]
    assert cli.main(["train", "text", *arguments, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    found = re.search(r"held-out loss +([\d.]+) bits per character \(([\d.]+) nats\), over 72\n", said)
    assert found is not None
    bits, nats = map(float, found.groups())
    assert bits == pytest.approx(nats / np.log(2), abs=2e-3) and 0 < nats < 5
    assert "648 characters of 12 kinds" in said


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_teaches(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: scratchrnn")
    assert command == [] or command == ["train"] or "scratchrnn" in said.partition("options:")[2]  # examples
    assert "(default: None)" not in said
    assert "(default: False)" not in said
    assert max(map(len, said.splitlines())) <= 120


def test_without_a_command_it_prints_help() -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert "start here:" in done.stdout
    for command in ("demo", "train", "sample", "check", "flow", "info"):
        assert command in done.stdout


def test_it_says_how_it_can_be_called_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    for called, again in (("/a/scratchrnn/__main__.py", "python -m scratchrnn"), ("bin/scratchrnn", "bin/scratchrnn")):
        monkeypatch.setattr(sys, "argv", [called])
        assert output.program() == again


def test_version() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("scratchrnn 0.")


def test_starting_up_loads_neither_numba_nor_matplotlib_nor_cupy() -> None:
    heavy = "{'numba', 'matplotlib', 'cupy', 'tqdm'}"
    code = f"import sys; from scratchrnn import cli; cli.parser(); print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["bogus"], "invalid choice: 'bogus'"),
        (["train"], "required: TASK"),
        (["sample"], "required: --prompt"),
        (["demo", "--epochs", "0"], "--epochs: expected an integer of at least 1, got '0'"),
        (["demo", "--epochs", "1.5"], "got '1.5'"),
        (["train", "sine", "--clip-norm", "0"], "--clip-norm: expected a number above 0, got '0'"),
        (["train", "sine", "--learning-rate", "nan"], "expected a number above 0, got 'nan'"),
        (["train", "sine", "--momentum", "0.9"], "--momentum is for --optimizer sgd, not adam"),
        (["train", "sine", "--back", "numpy"], "--back"),  # no abbreviations
        (["flow", "--radii", "-1"], "--radii: expected a number of at least 0"),
        (["sample", "--prompt", "x", "--temperature", "-1"], "--temperature: expected a number of at least 0"),
        (["sample", "--prompt", "x", "--top-k", "0"], "--top-k: expected an integer of at least 1, got '0'"),
        (["check", "--model", "x.npz", "--hidden-size", "3"], "--hidden-size is for a new network"),
        (["tasks", "sudoku"], "invalid choice: 'sudoku'"),
        (["papers", "gazette"], "invalid choice: 'gazette'"),
        (["papers", "--seeds", "0"], "--seeds: expected an integer of at least 1, got '0'"),
        (["train", "digits", "--hidden-size", "3"], "--hidden-size"),
        (["--versio"], "--versio (did you mean --version?); see scratchrnn --help"),
        (["train", "adding", "--lr", "1"], "unrecognized arguments: --lr 1; see scratchrnn train adding --help"),
        (["flow", "--modle=x"], "--modle=x (did you mean --model?); see scratchrnn flow --help"),
        (["papers", "--hlp"], "--hlp (did you mean --help?); see scratchrnn papers --help"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("scratchrnn: error: ")
    assert said.err.count("\n") == 1
    assert part in said.err
    assert said.err.endswith("--help\n")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["sample", "--model", "nowhere.npz", "--prompt", "x"], ["there is no nowhere.npz; make one with"]),
        (["check", "--model", "setup.cfg"], ["setup.cfg", "not a scratchrnn checkpoint"]),
        (["train", "text", "--file", "nowhere.txt", "--out", "out"], ["no file", "nowhere.txt"]),
        (["train", "sine", "--window", "5000", "--out", "out"], ["windows of 5000"]),
        (["train", "sine", "--out", "setup.cfg"], ["setup.cfg: File exists, and is no folder; --out names a folder"]),
        (["flow", "--out", "setup.cfg/deeper"], ["setup.cfg/deeper", "--out names a folder"]),
        (["train", "text", "--file", "setup.cfg", "--out", "out"], ["at least 51, or shorter windows"]),
    ],
)
def test_what_cannot_be_done_is_one_line_and_code_1(
    arguments: list[str],
    parts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "setup.cfg").write_text("no model")
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("scratchrnn: error: ")
    assert said.count("\n") == 1
    for part in parts:
        assert part in said


def test_traceback_is_shown_when_asked_for(tmp_path: Path) -> None:
    arguments = ("sample", "--prompt", "x", "--model", str(tmp_path / "nowhere.npz"))
    assert_error(run(*arguments), 1, "nowhere.npz")
    done = run("--traceback", *arguments)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_missing_backend_says_what_to_install() -> None:
    if "cupy" in sr.available_backends():
        pytest.skip("cupy works here")
    assert_error(run("check", "--backend", "cupy"), 1, "cupy")


def test_an_unknown_backend_in_the_environment() -> None:
    assert_error(run("check", SCRATCHRNN_BACKEND="abacus"), 1, "abacus", "numpy")
    done = run("info", SCRATCHRNN_BACKEND="abacus")
    assert done.returncode == 0
    assert "none: no backend 'abacus'" in done.stdout


def test_demo(tmp_path: Path) -> None:
    done = run("demo", "--epochs", "2", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    out = tmp_path / "demo-output"
    assert_pictures(out, "data.png", "loss.png", "gradients.png")
    model, history, extra = read(out / "model.npz", backend="numpy")
    assert history is not None
    assert history.epochs == 2
    assert extra == {"task": "sine", "window": 50}
    assert model.params["W_hh"].shape == (32, 32)
    for part in ("PASS: 7 tensors", "2 epochs, 48 updates", "test MSE", "written to demo-output/", "next"):
        assert part in done.stdout


def test_demo_fails_where_a_gradient_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_gradients(monkeypatch)
    assert cli.main(["demo", "--epochs", "1", "--quiet", "--backend", "numpy", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "FAIL: 7 tensors" in said
    assert "(sign flipped)" in said


def test_check_passes() -> None:
    done = run("check", "--hidden-size", "4", "--steps", "last", "--spectral-radius", "1.5", "--loss", "cross_entropy")
    assert (done.returncode, done.stderr) == (0, "")
    assert "PASS: 7 PASS of 7 tensors" in done.stdout
    assert "complex step" in done.stdout


def break_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flip the sign of one gradient in the public `loss_and_grads`."""
    honest = sr.SequenceModel.loss_and_grads

    def flipped(*arguments, **options):
        result = honest(*arguments, **options)
        result.grads["W_hh"] *= -1
        return result

    monkeypatch.setattr(sr.SequenceModel, "loss_and_grads", flipped)


def test_check_fails_where_a_gradient_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    break_gradients(monkeypatch)
    assert cli.main(["check", "--backend", "numpy"]) == 1
    said = capsys.readouterr().out
    assert "FAIL: 6 PASS, 1 FAIL of 7 tensors" in said
    assert "(sign flipped)" in said


def test_check_of_a_saved_text_model(text_model: Path) -> None:
    done = run("check", "--model", str(text_model / "model.npz"), "--dtype", "float64")
    assert (done.returncode, done.stderr) == (0, "")
    assert "PASS: 6 PASS of 6 tensors" in done.stdout  # tokens have no gradient


@pytest.mark.parametrize("mode", ["carried", "window"])
def test_sample_writes_on(text_model: Path, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sample", "--model", str(text_model / "model.npz"), "--prompt", "To be", "--length", "20"]
    said = []
    for seed in ("0", "0", "1"):
        assert cli.main([*arguments, "--mode", mode, "--backend", "numpy", "--seed", seed]) == 0
        said.append(capsys.readouterr().out)
    first, again, other = said
    assert first.startswith("To be")
    assert len(first) == len("To be") + 20 + 1
    assert first == again
    assert first != other


def test_sample_takes_the_likeliest(text_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["sample", "--model", str(text_model / "model.npz"), "--prompt", "To be", "--length", "20"]
    said = []
    for choice in (["--temperature", "0"], ["--top-k", "1"], ["--top-k", "3"]):
        assert cli.main([*arguments, *choice, "--backend", "numpy", "--seed", "5"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def test_sample_refusals(text_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(text_model / "model.npz")
    assert cli.main(["sample", "--model", model, "--prompt", "Zebra"]) == 1
    assert "'Z' (U+005A) at position 0" in capsys.readouterr().err
    sr.save(sr.VanillaRNN(1, 2, 1, backend="numpy"), tmp_path / "plain.npz")
    assert cli.main(["sample", "--model", str(tmp_path / "plain.npz"), "--prompt", "x"]) == 1
    assert "holds no text model" in capsys.readouterr().err


def test_train_sine_options_reach_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--hidden-size 5 --window 7 --epochs 1 --batch-size 100 --optimizer sgd --learning-rate 0.02"
    options += " --momentum 0.9 --clip-norm 0.01 --dtype float32 --seed 3 --threads 1 --backend numpy"
    threads = sr.get_num_threads()
    try:
        assert cli.main(["train", "sine", "--out", str(tmp_path), *options.split()]) == 0
        assert sr.get_num_threads() == 1
    finally:
        sr.set_num_threads(threads)
    model, history, extra = read(tmp_path / "model.npz", backend="numpy")
    assert model.params["W_hh"].shape == (5, 5)
    assert model.dtype == np.float32
    assert history is not None
    assert history.optimizer == sr.SGD(0.02, momentum=0.9)
    assert history.updates == 8
    assert all(history.clipped)
    assert extra["window"] == 7
    said = capsys.readouterr().out
    assert "clipped in 8 updates" in said and f"flow --model {tmp_path / 'model.npz'}" in said.partition("\nnext\n")[2]
    assert_pictures(tmp_path, "data.png", "loss.png", "gradients.png")


def test_training_that_blows_up_is_code_1_and_leaves_the_picture_of_it(tmp_path: Path) -> None:
    options = ("--optimizer", "sgd", "--learning-rate", "1e200", "--epochs", "1", "--hidden-size", "4")
    done = run("train", "sine", "--out", str(tmp_path), *options)
    assert_error(done, 1, "update 2", "clip_norm")
    assert_pictures(tmp_path, "gradients.png")
    assert not (tmp_path / "model.npz").exists()


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for a child process")
def test_ctrl_c_keeps_what_was_learned(tmp_path: Path) -> None:
    """Interrupted later and later, until training had begun: how long that takes, the machine decides."""
    for patience in (0.5, 2.0, 8.0, 32.0):
        out = tmp_path / str(patience)
        command = [sys.executable, "-m", "scratchrnn", "train", "sine", "--epochs", "100000", "--out", str(out)]
        process = subprocess.Popen(
            [*command, "--backend", "numpy"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        deadline = time.monotonic() + 60
        while not out.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(patience)  # the folder is made just before training begins
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=60)
        assert process.returncode == 130, error
        assert "Traceback" not in error
        if "interrupted after update" in error:
            break
    assert "interrupted after update" in error and "written to" in said
    assert read(out / "model.npz", backend="numpy").history is not None


def test_ctrl_c_anywhere_else(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(flow, "lag_norms", interrupted)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    assert cli.main(["flow"]) == 130
    assert capsys.readouterr().err == "scratchrnn: interrupted\n"


def test_flow(tmp_path: Path) -> None:
    done = run("flow", "--radii", "0.5", "2", "--time", "40", "--input-scale", "0.01", "--runs", "0", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert_pictures(tmp_path / "flow-output", "flow.png", "network.png")
    assert (tmp_path / "flow-output" / "flow.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    rows = [line.split() for line in done.stdout.splitlines() if line.strip().startswith(("0.5", "2"))]
    vanishing, exploding = (float(row[-1]) for row in rows)
    assert vanishing == pytest.approx(0.5, abs=0.05)
    assert 1 < exploding < 2


def test_flow_table_where_float32_ends() -> None:
    said = flow.table({0.1: np.array([1.0, 1e-30, 0.0, 0.0]), 0.0: np.zeros(4)})
    assert said.splitlines()[-2].split() == ["0.1", "1.0e+00", "1.0e-30", "0", "×", "0.000"]
    assert said.splitlines()[-1].split()[-1] == "–"


def test_info_explains_what_is_missing() -> None:
    done = run("info")
    assert (done.returncode, done.stderr) == (0, "")
    for part in ("python", "numpy", "numba", "matplotlib", "cores", "threads", "default"):
        assert part in done.stdout
    if "cupy" not in sr.available_backends():
        (line,) = (line for line in done.stdout.splitlines() if "cupy" in line and "not available" in line)
        assert "cupy" in line.partition("not available: ")[2]
    assert "numpy (from SCRATCHRNN_BACKEND)" in done.stdout


def test_a_terminal_without_the_symbols() -> None:
    done = run("flow", "--help", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="needs a shell with head")
def test_a_reader_that_has_enough() -> None:
    command = f"{sys.executable} -u -m scratchrnn info | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.stdout == "versions\n"
    assert done.stderr == ""


def test_train_a_task(tmp_path: Path) -> None:
    done = run("train", "tunes", "--epochs", "3", "--seed", "1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    out = tmp_path / "tunes-output"
    assert_pictures(out, "loss.png", "gradients.png")
    model, history, extra = read(out / "model.npz", backend="numpy")
    assert history is not None and history.epochs == 3 and model.dtype == np.float32
    assert extra["task"] == "tunes" and len(extra["notes"]) == model.output_size - 1
    for part in (
        "3 epochs, 3 updates",
        "tunes exact, of 8",
        "goal for every seed: = 8",
        "茉莉花, from G4:2",
        "\nnext\n",
    ):
        assert part in done.stdout


def test_train_an_encoder_decoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "dates", "--epochs", "1", "--backend", "numpy", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "validation part, exact" in said and "(goal for the median over seeds: ≥ 0.99)" in said
    assert "\nnext\n" in said and "flow --model" not in said  # which measures no EncoderDecoder
    model, history, extra = read(tmp_path / "model.npz", backend="numpy")
    assert isinstance(model, sr.EncoderDecoder) and history is not None and history.epochs == 1
    source, iso = (Vocabulary.from_list(extra[name]) for name in ("source", "iso"))
    (written,) = model.write(source.encode("17.11.87")[None])
    assert len(iso.decode(written)) == 10
    assert cli.main(["check", "--model", str(tmp_path / "model.npz")]) == 1
    assert "holds an EncoderDecoder; check takes a SequenceModel" in capsys.readouterr().err


def test_check_of_a_saved_model_of_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sr.save(sr.SequenceModel([sr.Embedding(5, 3), sr.RNN(3, 4), sr.Linear(4, 2)]), tmp_path / "model.npz")
    assert cli.main(["check", "--model", str(tmp_path / "model.npz"), "--backend", "numpy"]) == 0
    assert "PASS" in capsys.readouterr().out


def test_a_text_task_can_be_sampled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "chapter", "--epochs", "1", "--backend", "numpy", "--out", str(tmp_path)]) == 0
    model = str(tmp_path / "model.npz")
    capsys.readouterr()
    assert cli.main(["sample", "--model", model, "--prompt", "To be", "--mode", "window", "--length", "9"]) == 0
    assert len(capsys.readouterr().out) == len("To be") + 9 + 1


def test_the_table_of_tasks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[dict[str, Any]] = []

    def train(**settings: Any) -> Trained:
        asked.append(settings)
        seed = settings["seed"]
        return Trained({}, sr.History(sr.Adam()), [0.9, 0.7, 0.98][seed], {"beside it": seed / 10})

    high, low = (Task("kind", "about", "share", bar, train) for bar in ((0.89, 1), (0.95, 1)))
    monkeypatch.setattr(tasks, "TASKS", {"high": high, "low": low})
    assert cli.main(["tasks", "--backend", "numpy"]) == 1
    head, first, second, *_, last = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["task", "metric", "median"]
    assert first.split()[:8] == ["high", "share", "0.9", "0.7", "…", "0.98", "≥", "0.89"] and "missed" not in first
    assert second.split()[0] == "low" and second.endswith("missed")
    assert last.split() == ["low", "beside", "it", "0.1"]
    assert [settings["seed"] for settings in asked] == [0, 1, 2] * 2
    assert all(settings["backend"] == "numpy" and settings["progress"] is False for settings in asked)
    assert cli.main(["tasks", "high", "--seeds", "1"]) == 0
    assert len(asked) == 7


def test_the_table_asks_for_all_packages_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(task, "PACKAGES", {"no_such_module": "Nothing", "nor_this": "Nil"})
    trained = Task("kind", "about", "share", (0, 1), lambda **_: Trained({}, sr.History(sr.Adam()), 1.0))
    table = {
        "one": trained,
        "two": trained._replace(needs="nor_this"),
        "three": trained._replace(needs="no_such_module"),
    }
    monkeypatch.setattr(tasks, "TASKS", table)
    assert cli.main(["tasks"]) == 1
    said = capsys.readouterr()
    assert said.out == "" and "not installed: Nil, Nothing; pip install" in said.err
    assert cli.main(["tasks", "one"]) == 0


def test_ctrl_c_ends_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stopped = Trained({}, sr.History(sr.Adam(), interrupted=True), 0.0)
    monkeypatch.setattr(tasks, "TASKS", {"one": Task("kind", "about", "share", (0, 1), lambda **_: stopped)})
    assert cli.main(["tasks"]) == 130
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.slow
def test_the_whole_demo(tmp_path: Path) -> None:
    start = time.perf_counter()
    done = run("demo", cwd=tmp_path, SCRATCHRNN_BACKEND="auto")
    print(f"demo: {time.perf_counter() - start:.1f} s\n{done.stdout}")
    assert done.returncode == 0, done.stderr
    assert_pictures(tmp_path / "demo-output", "data.png", "loss.png", "gradients.png")
    model, history, _ = read(tmp_path / "demo-output" / "model.npz", backend="numpy")
    assert history is not None
    assert np.median(history.val_loss[-20:]) < 1e-4
