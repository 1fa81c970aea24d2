"""The command line, as its users meet it: mostly as a process of its own, with warnings as errors."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratchrnn as sr
from benchmarks import __main__ as benchmark
from scratchrnn import cli
from scratchrnn.checkpoint import read
from scratchrnn.cli import output, papers, tasks
from scratchrnn.cli.flow import command as flow
from scratchrnn.cli.flow import decay
from scratchrnn.tasks import characters, sine, task
from scratchrnn.tasks.table import TASKS
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


def test_it_says_how_it_can_be_called_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my bin").mkdir()
    (tmp_path / "my bin" / "scratchrnn").touch()
    monkeypatch.chdir(tmp_path)
    python = Path(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python.parent / "the python"))
    for found, called, again in (
        ({}, "my bin/scratchrnn", "'my bin/scratchrnn'"),
        ({}, "/a/scratchrnn/__main__.py", f"'{python.parent}/the python' -m scratchrnn"),
        ({}, "-c", f"'{python.parent}/the python' -m scratchrnn"),
        ({"python": str(python)}, "/a/scratchrnn/__main__.py", "python -m scratchrnn"),
        ({"python": "/of/another/python"}, "/a/__main__.py", f"'{python.parent}/the python' -m scratchrnn"),
        ({"scratchrnn": str(tmp_path / "my bin" / "scratchrnn")}, "my bin/scratchrnn", "scratchrnn"),
        ({"scratchrnn": "/of/another/scratchrnn"}, "my bin/scratchrnn", "'my bin/scratchrnn'"),
    ):
        monkeypatch.setattr("shutil.which", found.get)
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
        (["sample"], "one of the arguments --prompt --prompt-file is required"),
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
        (["sample", "--prompt", "x", "--prompt-file", "y"], "not allowed with argument --prompt"),
        (["sample", "--prompt", "x", "--encoding", "utf-8"], "--encoding is for --prompt-file, which is not given"),
        (["train", "text", "--encoding", "gbk"], "--encoding is for --file, which is not given"),
        (["train", "text", "--file", "x", "--encoding", "klingon"], "--encoding: there is no text encoding 'klingon'"),
        (["flow", "--model", "x.npz", "--encoding", "gbk"], "--encoding is for --file, which is not given"),
        (["train", "sine", "--out", ""], "--out: expected a path, got ''"),
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
        (["train", "text", "--file", "gbk.txt", "--out", "out"], ["gbk.txt", "not UTF-8", "--encoding", "gb18030"]),
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
    (tmp_path / "gbk.txt").write_bytes("床前明月光".encode("gbk"))
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


def test_ctrl_c_anywhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(flow, "lag_norms", interrupted)
    assert cli.main(["flow", "--out", str(tmp_path)]) == 130
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
    said = decay.table({0.1: np.array([1.0, 1e-30, 0.0, 0.0]), 0.0: np.zeros(4)})
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


# What is written, and when.

WRITERS = {  # command lines that end soon, and the files that they write
    "demo --epochs 1": ["data.png", "loss.png", "gradients.png", "model.npz"],
    "train sine --epochs 1 --hidden-size 3": ["data.png", "loss.png", "gradients.png", "model.npz"],
    "train text --epochs 1 --hidden-size 3": ["loss.png", "gradients.png", "model.npz"],
    "train tunes --epochs 1": ["loss.png", "gradients.png", "model.npz"],
    "flow --radii 0.5 --time 5 --hidden-size 3 --batch-size 2 --runs 0": ["flow.png", "network.png", "flow.html"],
    "papers decay wall --quick": ["decay.png", "wall.png"],
}


def arguments_of(line: str, out: Path | str) -> list[str]:
    """A command line of WRITERS, on NumPy and without a progress bar."""
    command = line.split()
    return [*command, *([] if command[0] == "papers" else ["--backend", "numpy"]), "--quiet", "--out", str(out)]


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test where a command begins its work."""

    def work(*_: Any, epochs: int = 1, **__: Any) -> Any:
        pytest.fail("the work began before it was known that its results can be written")

    for module, name in (
        *((sine, "train"), (characters, "train"), (flow, "lag_norms"), (subprocess, "run")),
        (benchmark, "save"),
    ):
        monkeypatch.setattr(module, name, work)
    monkeypatch.setitem(TASKS, "tunes", TASKS["tunes"]._replace(train=work))
    monkeypatch.setitem(papers.PAPERS, "decay", papers.Paper(work))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that cannot be written to")
@pytest.mark.parametrize("line", [*WRITERS, "bench scaling"])
def test_a_folder_that_cannot_be_written_to_is_found_before_the_work(
    line: str, no_work: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is there, so that making it does not fail."""
    command = arguments_of(line, "/proc/self") if line in WRITERS else [*line.split(), "--out", "/proc/self"]
    assert cli.main(command) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("scratchrnn: error: /proc/self cannot be written to: ")
    assert said.err.endswith("; choose another folder with --out\n")


@pytest.mark.parametrize("line", WRITERS)
def test_a_folder_in_the_place_of_a_file_is_found_before_the_work(
    line: str, no_work: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in WRITERS[line]:
        (tmp_path / name).mkdir()
        assert cli.main(arguments_of(line, tmp_path)) == 1
        assert f"{tmp_path / name} is a folder, but a file of that name is to be written" in capsys.readouterr().err
        assert [file.name for file in tmp_path.iterdir()] == [name]  # the file written for trial is gone
        (tmp_path / name).rmdir()


@pytest.fixture
def no_pictures(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Text is set with LaTeX, which is not found."""
    import matplotlib as mpl

    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
    with mpl.rc_context({"text.usetex": True}):
        yield


@pytest.mark.parametrize("line", WRITERS)
def test_a_picture_that_fails_costs_a_warning(
    line: str, no_pictures: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments_of(line, tmp_path)) == 0
    said = capsys.readouterr()
    pictures = {name for name in WRITERS[line] if name.endswith(".png")}
    others = set(WRITERS[line]) - pictures
    assert {file.name for file in tmp_path.iterdir()} == others
    *_, printed = said.out.rpartition("\nwritten to ")
    assert all(name in printed for name in others) and not any(name in printed for name in pictures)
    assert said.err.count("\n") == said.err.count("scratchrnn: warning: ")
    for name in pictures:
        assert re.search(rf"^scratchrnn: warning: {tmp_path / name} is not drawn: .*latex", said.err, re.MULTILINE)
    if "model.npz" in others:
        assert read(tmp_path / "model.npz", backend="numpy").history is not None
    if "flow.html" in others:
        page = (tmp_path / "flow.html").read_text(encoding="utf-8")
        assert page.count("This picture could not be drawn.") == said.err.count(" of flow.html is not drawn: ") == 8
        assert "<img" not in page and page.rstrip().endswith("</html>")
    if line.startswith("papers"):
        assert "✓" in said.out


def test_pictures_of_an_earlier_run_are_told_from_those_that_failed(
    no_pictures: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loss.png").write_bytes(b"of an earlier run")
    assert cli.main(arguments_of("train tunes --epochs 1", tmp_path)) == 0
    assert re.search(
        r"loss.png is not drawn: .*; the file of that name is of an earlier run\n", capsys.readouterr().err
    )
    assert (tmp_path / "loss.png").read_bytes() == b"of an earlier run"


def test_training_that_blows_up_says_so_after_a_picture_that_fails(
    no_pictures: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "train sine --optimizer sgd --learning-rate 1e200 --epochs 1 --hidden-size 4"
    assert cli.main(arguments_of(line, tmp_path)) == 1
    warning, error = capsys.readouterr().err.splitlines()[-2:]
    assert "gradients.png is not drawn" in warning and error.startswith("scratchrnn: error: ") and "clip_norm" in error


def test_a_setting_of_matplotlib_that_fails_costs_no_model(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    environment = {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "PATH": str(tmp_path)}
    done = run("train", "tunes", "--epochs", "1", cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch("(scratchrnn: warning: .*png is not drawn: .*latex.*\n){2}", done.stderr)
    assert read(tmp_path / "tunes-output" / "model.npz", backend="numpy").model is not None


def test_ctrl_c_while_the_held_out_text_is_measured_keeps_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(characters, "metric", interrupted)
    (tmp_path / "text.txt").write_text("床前明月光，疑是地上霜。" * 60, encoding="utf-8")
    line = f"train text --epochs 1 --hidden-size 3 --file {tmp_path / 'text.txt'}"
    assert cli.main(arguments_of(line, tmp_path)) == 130
    assert "held-out loss" not in capsys.readouterr().out
    assert read(tmp_path / "model.npz", backend="numpy").history is not None


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
def test_a_reader_that_has_enough_costs_no_model(tmp_path: Path) -> None:
    command = (
        f"{shlex.quote(sys.executable)} -u -m scratchrnn train tunes --epochs 1 --out {shlex.quote(str(tmp_path))}"
    )
    done = subprocess.run(
        ["sh", "-c", f"{command} | true"], env={**os.environ, **QUIET}, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert read(tmp_path / "model.npz", backend="numpy").history is not None


def test_a_chart_that_fails_does_not_end_the_benchmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Fast:
        __doc__ = "A benchmark: nothing is measured."
        run = staticmethod(lambda quick: {"quick": quick})
        table = staticmethod(lambda result: "a table")

    def fail(*_: Any) -> None:
        raise RuntimeError("no LaTeX")

    monkeypatch.setattr(benchmark, "BENCHMARKS", {"process": Fast(), "scaling": Fast()})
    monkeypatch.setattr(benchmark, "draw", fail)
    assert benchmark.main(["--out", str(tmp_path)]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"process.json", "scaling.json"}
    assert "warning: scaling.png is not drawn: no LaTeX" in capsys.readouterr().err


def test_a_benchmark_that_a_signal_ends_has_the_exit_code_of_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, str]] = []

    def ended(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        started.append(env)
        return subprocess.CompletedProcess(command, -9)

    monkeypatch.setattr(subprocess, "run", ended)
    assert cli.main(["bench", "scaling", "--out", str(tmp_path)]) == 137
    assert started[0]["MPLBACKEND"] == "agg"


def test_ctrl_c_keeps_the_other_scores_of_finished_tasks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done, stopped = (
        Trained({}, sr.History(sr.Adam(), interrupted=interrupted), 1.0, {"a baseline": 0.25})
        for interrupted in (False, True)
    )
    table = {
        name: Task("kind", "about", "share", (0, 1), lambda result=result, **_: result)
        for name, result in (("one", done), ("two", stopped))
    }
    monkeypatch.setattr(tasks, "TASKS", table)
    assert cli.main(["tasks", "--seeds", "1"]) == 130
    assert re.search("beside .*\none +a baseline +0.25\n", capsys.readouterr().out)


# Hints.


def hints(printed: str) -> list[list[str]]:
    """The commands under "next", as a shell reads them."""
    lines = printed.partition("\nnext\n")[2].splitlines()
    return [shlex.split(re.split(" {2,}", line.strip())[0]) for line in lines]


def follow(command: list[str], folder: Path, backend: str = "auto") -> str:
    """Run a hint as it is printed; what it prints itself."""
    path = os.pathsep.join([str(Path(sr.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, **QUIET, "PYTHONPATH": path, "PYTHONWARNINGS": "error"}
    environment["SCRATCHRNN_BACKEND"] = backend
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=300
    )
    errors = [line for line in done.stderr.splitlines() if "compiling Numba kernels" not in line]
    assert (done.returncode, errors) == (0, []), command
    return done.stdout


POEM = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\n"


@pytest.mark.parametrize(("encoding", "options"), [("utf-8", []), ("gb18030", ["--encoding", "gb18030"])])
def test_the_hints_after_training_on_a_chinese_text(tmp_path: Path, encoding: str, options: list[str]) -> None:
    """The folders have spaces in their names, and the file has what matplotlib takes for a formula."""
    file = tmp_path / "我的 texts" / "中文 $x$_y$.txt"
    file.parent.mkdir()
    file.write_bytes((POEM * 40).encode(encoding))
    size = ["--epochs", "1", "--hidden-size", "6", "--quiet", "--out", "an out"]
    done = run("train", "text", "--file", str(file.relative_to(tmp_path)), *options, *size, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    sampling, flowing = hints(done.stdout)
    assert sampling[-5:] == ["sample", "--model", "an out/model.npz", "--prompt", "床前明月光"]
    read_file = ["--file", "我的 texts/中文 $x$_y$.txt", *options]
    assert flowing[-3 - len(read_file) :] == ["flow", "--model", "an out/model.npz", *read_file]
    assert follow(sampling, tmp_path).startswith("床前明月光")
    printed = follow(flowing, tmp_path)
    assert f"16 windows of 100 characters of {read_file[1]};" in printed
    assert_pictures(tmp_path / "flow-output", "flow.png", "network.png")
    (papers_help,) = hints(printed)
    assert papers_help[-2:] == ["papers", "--help"]
    assert "usage: scratchrnn papers" in follow(papers_help, tmp_path)


def test_flow_without_a_file_reads_what_the_model_was_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("poem.txt").write_text(POEM * 100, encoding="utf-8")
    assert cli.main(arguments_of("train text --epochs 1 --hidden-size 3 --file poem.txt", "out")) == 0
    extra = read("out/model.npz", backend="numpy").extra
    assert extra["excerpt"] == (POEM * 100)[:2000]
    Path("poem.txt").unlink()
    capsys.readouterr()
    line = "flow --model out/model.npz --radii 0.5 --time 5 --hidden-size 3 --batch-size 2"
    assert cli.main(arguments_of(line, "flow")) == 0
    assert "on 2 windows of 5 characters of the text that it was trained on;" in capsys.readouterr().out


@pytest.mark.slow
def test_the_hints_of_flow_and_demo(tmp_path: Path) -> None:
    """In the order in which they are printed. What is followed runs with its defaults."""
    done = run("flow", "--runs", "0", "--time", "20", "--radii", "0.5", "--hidden-size", "8", cwd=tmp_path)
    demo, flow_of_model = hints(done.stdout)
    *commands, (equations, *_) = hints(follow(demo, tmp_path))
    assert (tmp_path / equations).is_file()
    assert "the model in model.npz, task sine" in follow(flow_of_model, tmp_path)
    last = [command[-1] for command in commands]
    assert last == ["flow", "text", "--help"]  # of which the first is where this began
    follow(commands[2], tmp_path)
    for following in hints(follow(commands[1], tmp_path)):
        follow(following, tmp_path)


@pytest.mark.slow
def test_the_hints_of_training_on_sine_and_a_task(tmp_path: Path) -> None:
    done = run("train", "sine", "--epochs", "2", cwd=tmp_path)
    for command in hints(done.stdout):
        assert "task sine" in follow(command, tmp_path)
    done = run("train", "tunes", "--epochs", "2", "--out=-out", cwd=tmp_path)
    flowing, table = hints(done.stdout)
    assert flowing[-2:] == ["--model", "./-out/model.npz"] and table[-2:] == ["tasks", "tunes"]
    assert "on 8 tunes" in follow(flowing, tmp_path)
    assert "\ntunes " in follow(table, tmp_path)


# Texts and prompts in files.


def test_a_prompt_from_a_file(text_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["sample", "--model", str(text_model / "model.npz"), "--length", "9", "--backend", "numpy"]
    assert cli.main([*model, "--prompt", "To be,\nor"]) == 0
    expected = capsys.readouterr().out
    for encoding, more in (("utf-8", []), ("utf-16", ["--encoding", "utf-16"])):
        (tmp_path / "prompt.txt").write_bytes("To be,\r\nor\r\n".encode(encoding))
        assert cli.main([*model, "--prompt-file", str(tmp_path / "prompt.txt"), *more]) == 0
        assert capsys.readouterr().out == expected
    for content, said in ((b"", "is empty"), (b"\n", "the prompt is empty"), ("é".encode("latin-1"), "--encoding")):
        (tmp_path / "prompt.txt").write_bytes(content)
        assert cli.main([*model, "--prompt-file", str(tmp_path / "prompt.txt")]) == 1
        assert said in capsys.readouterr().err


def test_sample_leaves_out_what_the_model_does_not_know(text_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["sample", "--model", str(text_model / "model.npz"), "--length", "9", "--backend", "numpy"]
    assert cli.main([*model, "--prompt", "To be"]) == 0
    expected = capsys.readouterr().out
    assert cli.main([*model, "--prompt", "床To 前be"]) == 1
    assert "--drop-unknown" in capsys.readouterr().err
    assert cli.main([*model, "--prompt", "床To 前be", "--drop-unknown"]) == 0
    said = capsys.readouterr()
    assert said.out == expected and said.err == "scratchrnn: left out 2 of 7 characters of the prompt\n"
    assert cli.main([*model, "--prompt", "床前", "--drop-unknown"]) == 1
    assert "knows none of the 2 characters of the prompt; it knows" in capsys.readouterr().err


def test_flow_leaves_out_what_the_model_does_not_know(
    text_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes("Whéther ’tis nobler in the mind to suffer".encode("utf-16"))
    line = f"flow --model {text_model / 'model.npz'} --file {text} --encoding utf-16"
    command = [*arguments_of(f"{line} --radii 0.5 --time 5 --hidden-size 3 --batch-size 2", tmp_path)]
    assert cli.main(command) == 1
    error = capsys.readouterr().err
    assert "does not know 2 of the characters of" in error and "('é’'); name a text" in error
    assert "--drop-unknown" in error
    assert cli.main([*command, "--drop-unknown"]) == 0
    assert f"characters of {text} (2 unknown characters left out);" in capsys.readouterr().out
    text.write_bytes("床前明月光a".encode("utf-16"))
    assert cli.main([*command, "--drop-unknown"]) == 1
    assert "has 1 characters that the model in" in capsys.readouterr().err


# What a process inherits, and how it is installed.


@pytest.mark.parametrize("inherited", ["module://matplotlib_inline.backend_inline", "module://not.installed", "none"])
def test_commands_draw_without_the_backend_of_a_notebook(tmp_path: Path, inherited: str) -> None:
    done = run("train", "tunes", "--epochs", "1", cwd=tmp_path, MPLBACKEND=inherited)
    assert (done.returncode, done.stderr) == (0, "")
    assert_pictures(tmp_path / "tunes-output", "loss.png", "gradients.png")


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("info", 0),
        ("--version", 0),
        ("flow --help", 0),
        ("bogus", 2),
        ("sample --model nowhere.npz --prompt x", 1),
        ("train tunes --epochs 1", 0),
    ],
)
def test_closed_streams(tmp_path: Path, arguments: str, code: int, closed: str) -> None:
    command = f"{shlex.quote(sys.executable)} -W error -m scratchrnn {arguments} {closed}"
    environment = {**os.environ, **QUIET}
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    if code and "2>&-" in closed:
        assert done.stdout == done.stderr == ""  # an error is no output
    elif code:
        assert done.stderr.startswith("scratchrnn: error: ") and done.stderr.count("\n") == 1
    if arguments.startswith("train"):
        assert read(tmp_path / "tunes-output" / "model.npz", backend="numpy").history is not None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_full_disk_behind_standard_output_is_one_line(buffered: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "scratchrnn", "info"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **QUIET, "PYTHONUNBUFFERED": buffered},
        )
    assert_error(done, 1, "No space left on device")


def test_the_process_of_a_caller_is_left_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that calls `main` with arguments keeps its backend of matplotlib and its closed streams."""
    monkeypatch.setenv("MPLBACKEND", "module://of.the.caller")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        patch.setattr(sys, "stderr", None)
        assert cli.main(["--version"]) == 0
        assert cli.main(["bogus"]) == 2
        assert sys.stdout is sys.stderr is None
    assert os.environ["MPLBACKEND"] == "module://of.the.caller"


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The package inside a zip file, which is all that there is of it."""
    package = Path(sr.__file__).parent
    path = tmp_path_factory.mktemp("zip") / "scratchrnn.zip"
    with zipfile.ZipFile(path, "w") as file:
        for source in package.rglob("*"):
            if source.suffix in (".py", ".txt", ".html"):
                file.write(source, source.relative_to(package.parent))
    return str(path)


def test_the_package_runs_from_a_zip_file(zipped: str, tmp_path: Path) -> None:
    def from_zip(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            cwd=tmp_path,
            env={**os.environ, **QUIET, "PYTHONPATH": zipped},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done

    code = "import scratchrnn; from scratchrnn.tasks import poems, chapter, characters; "
    code += "print(scratchrnn.__file__, len(poems.data().pairs), len(chapter.data()[1]), len(characters.data().train))"
    place, *counts = from_zip("-c", code).stdout.split()
    assert place.startswith(zipped) and counts == ["260", "150", "200"]
    done = from_zip("-m", "scratchrnn", "train", "chapter", "--epochs", "1")
    flowing, _ = hints(done.stdout)
    assert flowing[-3:] == ["flow", "--model", "chapter-output/model.npz"]
    size = "--radii 0.5 --time 5 --hidden-size 3 --batch-size 2".split()
    from_zip("-m", "scratchrnn", *flowing[-3:], *size)
    page = (tmp_path / "flow-output" / "flow.html").read_text(encoding="utf-8")
    assert "windows of 50 characters of the chapter’s text" in page and page.count("<img") > 5


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
