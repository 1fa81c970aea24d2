"""The report of `scratchrnn flow`: one file that a browser shows whole, at any width, without asking for anything."""

from __future__ import annotations

import base64
import io
import re
import sys
from argparse import Namespace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratchrnn as sr
from scratchrnn import cli
from scratchrnn.checkpoint import save
from scratchrnn.cli.flow import data as flow_data
from scratchrnn.cli.flow import remedies
from scratchrnn.cli.flow import report as flow_report
from scratchrnn.cli.flow.decay import RADIUS, decay_rows

NETWORK = ["--time", "12", "--hidden-size", "5", "--batch-size", "3", "--radii", "0.5", "2"]
SMALL = [*NETWORK, "--runs", "2", "--backend", "numpy", "--quiet"]
VOID = {"meta", "link", "img", "br"}


@pytest.fixture(scope="module")
def small_remedies() -> Any:
    """Remedies trained for a moment, on short sequences."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"N": 40, "T": 6, "HIDDEN": 4, "EPOCHS": 1}.items():
            patch.setattr(remedies, name, value)
        yield


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, small_remedies: None) -> Path:
    """flow.html of a small network."""
    out = tmp_path_factory.mktemp("flow")
    assert cli.main(["flow", *SMALL, "--out", str(out)]) == 0
    return out / "flow.html"


class Page(HTMLParser):
    """Tags, attributes and text; fails where tags do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_report_holds_everything_itself(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert len(text) < 2_000_000
    page = Page(text)
    assert page.all("html") == [{"lang": "en"}]
    assert not page.all("script") and not re.search(r"\son\w+=|url\(|@import|https?:", text)
    images = page.all("img")
    assert len(images) == 9
    for image in images:
        assert len(image["alt"]) > 30
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/png;base64" and base64.b64decode(data).startswith(b"\x89PNG")
    assert all(link["href"] == "data:," for link in page.all("link"))
    assert "$" not in page.text


def test_report_says_what_was_measured(report: Path) -> None:
    page = Page(report.read_text(encoding="utf-8"))
    for part in (
        "What was measured",
        "untrained networks with 5 units, spectral radii 0.5, 2; 3 sequences of 12 steps of noise",
        f"a new VanillaRNN(1, 5, 1), Whh of spectral radius {RADIUS:g}, untrained",
        "backend numpy, float64, seed 0",
        "ht = tanh(Whh·ht−1 + Wxh·xt + bh)",
        "greatest singular value of ∂ht/∂ht−12",
        "condition number",
        *(remedy.name.replace("_", "") for remedy in remedies.REMEDIES),
        "Made by scratchrnn",
    ):
        assert part in page.text, part


@pytest.mark.parametrize(("width", "media"), [(1280, ""), (400, ""), (700, "print")])
def test_a_browser_shows_it(report: Path, browser: Any, width: int, media: str) -> None:
    browser.open(report, width, media=media)
    pictures = browser.value(
        "[...document.images].map(i => [i.complete, i.naturalWidth, i.getBoundingClientRect().right])"
    )
    assert len(pictures) == 9
    for complete, natural, right in pictures:
        assert complete and natural > 500 and right <= width
    assert browser.value("document.documentElement.scrollWidth") == width
    outside = "[...document.querySelectorAll('p, figcaption, h1, h2, dd, .table, .equation')].filter("
    assert browser.value(outside + "e => e.getBoundingClientRect().right > innerWidth).length") == 0
    assert browser.complaints() == []
    assert browser.requests() == [report.resolve().as_uri()]


def test_pictures_are_not_blank_in_the_browser(report: Path, browser: Any) -> None:
    import matplotlib.image

    browser.open(report, 1280)
    pixels = matplotlib.image.imread(io.BytesIO(browser.screenshot()))[..., :3]
    boxes = browser.value(
        "[...document.images].map(i => i.getBoundingClientRect())"
        ".map(r => [r.top + scrollY, r.bottom + scrollY, r.left, r.right])"
    )
    for top, bottom, left, right in np.round(boxes).astype(int):
        assert (pixels[top + 2 : bottom - 2, left + 2 : right - 2].min(axis=2) < 0.9).mean() > 0.01


def test_colours_follow_the_reader(report: Path, browser: Any) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        browser.open(report, 800, scheme=scheme)
        for what in ("backgroundColor", "color"):
            colour = browser.value(f"getComputedStyle(document.body).{what}")
            shades[scheme, what] = np.mean([int(number) for number in re.findall(r"\d+", colour)[:3]])
    assert shades["light", "backgroundColor"] - shades["light", "color"] > 150
    assert shades["dark", "color"] - shades["dark", "backgroundColor"] > 150


def test_the_browser_sees_what_is_wrong(tmp_path: Path, browser: Any) -> None:
    """The tests above can fail: a broken picture, a wide line, a load from elsewhere, an error in a script."""
    page = tmp_path / "wrong.html"
    page.write_text(
        '<img src="data:image/png;base64,AAAA"><p style="width: 3000px">wide</p><script>nothing.here()</script>'
        '<img src="http://127.0.0.1:9/none.png">'
    )
    browser.open(page, 400)
    assert browser.value("document.images[0].naturalWidth") == 0
    assert browser.value("document.documentElement.scrollWidth") > 400
    assert "http://127.0.0.1:9/none.png" in browser.requests()
    assert len(browser.complaints()) >= 2


def subject_of(model: Any, path: Path, extra: dict[str, Any], **changed: Any) -> flow_data.Subject:
    save(model, path, extra=extra)
    given = {
        "batch_size": 3,
        "time": 9,
        "input_scale": 0.5,
        "seed": 0,
        "file": None,
        "encoding": None,
        "drop_unknown": False,
        "backend": "numpy",
        "dtype": "float64",
    }
    return flow_data.subject(Namespace(**given | {"model": path, "spectral_radius": None} | changed))


def test_a_saved_model_reads_the_data_of_its_task(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    wave = subject_of(sr.VanillaRNN(1, 4, 1), path, {"task": "sine", "window": 7})
    assert (wave.x.shape, wave.target.shape, wave.steps) == ((3, 7, 1), (3, 1), "last")
    np.testing.assert_array_equal(wave.x[0, 1:], wave.x[1, :-1])  # windows of one wave
    assert "sine" in wave.about

    vocabulary = sr.Vocabulary("abc")
    text = tmp_path / "abc.txt"
    text.write_text("abcabcaab")
    model = sr.VanillaRNN(3, 4, 3, loss="cross_entropy")
    read = subject_of(model, path, {"task": "text", "vocabulary": vocabulary.to_list()}, file=text, time=5)
    assert [vocabulary.decode(row) for row in read.x] == ["abcab", "bcabc", "abcaa"]
    assert [vocabulary.decode(row) for row in read.target] == ["bcabc", "cabca", "bcaab"]
    # A file of an older version holds no text, and the chapter has more characters.
    with pytest.raises(ValueError, match="does not know 29 of the characters .* name that with --file, or"):
        subject_of(model, path, {"task": "text", "vocabulary": vocabulary.to_list()})

    tokens = sr.SequenceModel([sr.Embedding(6, 2), sr.RNN(2, 4), sr.Linear(4, 3)], loss="cross_entropy")
    other = subject_of(tokens, path, {})
    assert other.x.shape == other.target.shape == (3, 9) and other.x.dtype.kind == "i" and other.x.max() < 6
    with pytest.raises(ValueError, match="--file is what a text model reads"):
        subject_of(tokens, path, {}, file=text)


@pytest.mark.parametrize("task", ["temporal-order", "adding", "pairs", "xor-one-way", "tunes", "poems", "chapter"])
def test_tasks_whose_data_needs_no_package_have_it(task: str, tmp_path: Path) -> None:
    """Inputs and targets fit the model that the task trains, and the loss counts what its training counted."""
    shapes = {
        "temporal-order": ((3, 30), (3,), "last", 6, 4),
        "adding": ((3, 20, 2), (3, 1), "last", 2, 1),
        "pairs": ((3, 20), (3, 20), "all", 2, 4),
        "xor-one-way": ((3, 20), (3, 20), "all", 2, 2),
        "chapter": ((3, 50), (3,), "last", None, None),
        "tunes": (None, None, "all", None, None),
        "poems": (None, None, None, None, None),
    }
    x, target, steps, D, O = shapes[task]
    size = 300 if D is None else D
    model = sr.VanillaRNN(size, 4, O or size, loss="mse" if task == "adding" else "cross_entropy", backend="numpy")
    vocabulary = {"vocabulary": list("abc")} if task in ("poems", "chapter") else {}
    seen = subject_of(model, tmp_path / "model.npz", {"task": task, **vocabulary})
    assert not seen.noise and "noise" not in seen.data
    assert x is None or (seen.x.shape, seen.target.shape) == (x, target)
    if steps is None:
        assert seen.steps.shape == seen.x.shape and not seen.steps.all() and "its training counted" in seen.counted
    else:
        assert seen.steps == steps
    assert (seen.lengths is not None) == (task == "tunes")


def test_a_task_whose_package_is_missing_is_measured_on_noise_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    layers: list[Any] = [sr.RNN(8, 4), sr.Linear(4, 10)]
    model = sr.SequenceModel(layers, loss="cross_entropy", backend="numpy")
    path = tmp_path / "model.npz"
    seen = subject_of(model, path, {"task": "digits"})
    assert seen.noise and seen.steps == "last" and (seen.x.shape, seen.target.shape) == ((3, 8, 8), (3,))
    assert cli.main(["flow", *NETWORK, "--quiet", "--model", str(path), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "no data of this task here: measured on noise" in printed
    for said in ("ρ of W_hh", "‖W_hh‖₂", "σ₁ at lag 8", "per step", "saturated units", "papers --help"):
        assert said in printed
    assert not (tmp_path / "remedies.png").exists()  # a saved model has none, unless they are asked for
    assert "no data of this task here" in (tmp_path / "flow.html").read_text(encoding="utf-8")


def test_overflow_is_told_from_zero() -> None:
    rows = decay_rows({0.1: np.array([1.0, 0.1, 0.0, 0.0]), 50.0: np.array([1.0, 4.0, np.nan, np.inf])})
    assert rows[1][-3:] == ["1.0e-01", "0", "× 0.100"]
    assert rows[2][-3:] == ["4.0e+00", "overflow", "× 4.000"]


def test_a_report_of_a_saved_model(tmp_path: Path, small_remedies: None) -> None:
    path = tmp_path / "a & <b>.npz"
    layers: list[Any] = [sr.Embedding(6, 2), sr.RNN(2, 4, bidirectional=True), sr.Linear(8, 3)]
    save(sr.SequenceModel(layers, loss="cross_entropy"), path)
    assert cli.main(["flow", *SMALL, "--model", str(path), "--out", str(tmp_path)]) == 0
    page = Page((tmp_path / "flow.html").read_text(encoding="utf-8"))
    assert "the model in a & <b>.npz, task unknown" in page.text  # escaped, and back
    assert "Eigenvalues of 1.Whh." in page.text  # of the direction whose bound and spectrum are shown


def test_options_that_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    for given, said in (
        (["--model", "x.npz", "--spectral-radius", "2"], "--spectral-radius is for a new network"),
        (["--file", "x.txt"], "--file is what a saved text model reads"),
    ):
        assert cli.main(["flow", *given]) == 2
        assert said in capsys.readouterr().err


def test_symbols_and_numbers() -> None:
    assert flow_report.symbols("<W_hh> ρ^lag") == "&lt;W<sub>hh</sub>&gt; ρ<sup>lag</sup>"
    assert flow_report.symbols("model_path b_y") == "model_path b<sub>y</sub>"
    for value, said in ((0.0, "1"), (4.5, "3.16e+04"), (5.0, "1.00·10^5"), (-20000.5, "10^−20000.5"), (np.inf, "∞")):
        assert flow_report.power_of_ten(value) == said


def test_remedies_are_compared_on_equal_terms(small_remedies: None) -> None:
    count = 0

    def done() -> None:
        nonlocal count
        count += 1

    outcomes = remedies.compare(1.2, 2, seed=3, backend="numpy", dtype="float64", done=done)
    assert count == 2 * len(remedies.REMEDIES) == sum(map(len, outcomes.values()))
    plain, clipped = outcomes["none"], outcomes["clip the norm at 1"]
    for one, other in zip(plain, clipped, strict=True):
        np.testing.assert_array_equal(one.at_first, other.at_first)  # the same network, the same sequences
        assert not np.array_equal(one.at_first, outcomes["orthogonal W_hh"][0].at_first)
    assert not np.array_equal(plain[0].at_first, plain[1].at_first)
    rows = flow_report.remedy_rows(outcomes)
    assert [row[0] for row in rows[1:]] == list(outcomes) and all(len(row) == len(rows[0]) for row in rows)


def test_a_remedy_that_ends_in_infinity_is_told(small_remedies: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remedies, "REMEDIES", (remedies.Remedy("none", rate=1e300),))
    outcomes = remedies.compare(1.2, 2, seed=0, backend="numpy", dtype="float32")
    assert [run.stopped for run in outcomes["none"]] == [True, True]
    assert flow_report.remedy_rows(outcomes)[1][-1] == "2"
