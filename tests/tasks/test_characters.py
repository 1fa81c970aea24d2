"""The character task: the chapter's text, the split, the held-out loss, and training."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scratchrnn as sr
from scratchrnn.sampling import sample
from scratchrnn.tasks import characters
from scratchrnn.text import Vocabulary, Windows, read_text

CHAPTER = (
    "\nTo be, or not to be, that is the question:\n"
    "Whether 'tis nobler in the mind to suffer\n"
    "The slings and arrows of outrageous fortune,\n"
    "Or to take arms against a sea of troubles,\n"
    "And by opposing end them.\n"
)


def write(folder: Path, text: str) -> Path:
    file = folder / "text.txt"
    file.write_bytes(text.encode())
    return file


def test_the_chapters_text_is_the_chapters() -> None:
    assert read_text(characters.CHAPTER) == CHAPTER
    vocabulary, train, held_out = characters.data()
    assert len(vocabulary) == 31
    assert vocabulary.decode(train) == CHAPTER and len(held_out) == 0
    assert len(Windows(train, 50, stride=1)) == 150


def test_the_last_tenth_is_held_out(tmp_path: Path) -> None:
    text = "".join(chr(0x4E00 + i) for i in range(2000))
    vocabulary, train, held_out = characters.data(write(tmp_path, text))
    assert vocabulary == Vocabulary(text)  # also of what only the held-out part has
    assert vocabulary.decode(train) == text[:1800] and vocabulary.decode(held_out) == text[1800:]
    assert train.dtype == held_out.dtype == np.uint16
    assert np.shares_memory(train, held_out.base)  # one array of ids

    assert len(characters.data(write(tmp_path, text), held_out=0.25).held_out) == 500
    assert len(characters.data(write(tmp_path, text), held_out=0).held_out) == 0


@pytest.mark.parametrize(("length", "held_out"), [(510, 0), (511, 51)])
def test_nothing_is_held_out_of_a_text_whose_tenth_fills_no_window(tmp_path: Path, length: int, held_out: int) -> None:
    assert len(characters.data(write(tmp_path, "ab" * 255 + "c" * (length - 510))).held_out) == held_out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"held_out": 1.0}, "held_out is a fraction .* below 1, got 1.0"),
        ({"held_out": -0.1}, "held_out is a fraction"),
        ({"held_out": math.nan}, "held_out is a fraction"),
        ({"held_out": 0.01}, "is one: no next character"),
        ({"held_out": 0.5}, "a text of 50 characters is too short for windows of 50"),
        ({"seq_length": 100}, "a text of 100 characters is too short for windows of 100"),
    ],
)
def test_data_errors(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        characters.data(write(tmp_path, "ab" * 50), **arguments)


@pytest.mark.parametrize("chunk", [1, 7 * 31, 10**6])
def test_the_held_out_loss_is_that_of_one_run(chunk: int, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 1, 7 and more characters than there are; 199 predictions."""
    monkeypatch.setattr(characters, "CHUNK", chunk)
    ids = characters.data().train
    model = sr.VanillaRNN(31, 16, 31, loss="cross_entropy", backend=backend, seed=1)
    model.params["W_hh"] = 3 * model.params["W_hh"]  # the state matters
    straight = model.loss(ids[None, :-1], ids[None, 1:])
    assert characters.metric(model, ids) == pytest.approx(straight, rel=1e-12)
    assert straight != pytest.approx(model.loss(ids[:-1, None], ids[1:, None]), rel=1e-3)


def test_the_held_out_loss_takes_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The widest array here is the states': 64 units for 2 characters."""
    monkeypatch.setattr(characters, "CHUNK", 1 << 14)
    model = sr.VanillaRNN(2, 64, 2, loss="cross_entropy", backend="numpy")
    peaks = []
    for n in (2_000, 8_000):
        ids = np.zeros(n, dtype=np.uint8)
        tracemalloc.start()
        characters.metric(model, ids)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 8 * 8 * (1 << 14)
    assert peaks[1] < 1.1 * peaks[0]


def test_the_metric_needs_two_characters() -> None:
    model = sr.VanillaRNN(31, 4, 31, loss="cross_entropy", backend="numpy")
    with pytest.raises(ValueError, match="at least 2 characters, got 1"):
        characters.metric(model, np.array([3]))


def test_it_learns_the_chapters_text_by_heart() -> None:
    trained = characters.train(hidden_size=64, epochs=60, backend="numba", progress=False)
    assert trained.history.updates == 60 * 5
    assert trained.history.loss[-1] < 0.15
    assert trained.held_out_loss is None and trained.held_out_bits is None
    recited = sample(trained.model, trained.vocabulary, CHAPTER[:12], 188, temperature=0.1)
    assert recited == CHAPTER
    again = sample(trained.model, trained.vocabulary, CHAPTER[:50], 150, temperature=0.1, mode="window")
    assert again == CHAPTER


def test_train_reports_a_held_out_loss(tmp_path: Path, backend: str) -> None:
    file = write(tmp_path, "to be or not to be, " * 100 + "that is it: ")  # "h", "a", "s", "i" and ":" at the end only
    trained = characters.train(file, hidden_size=16, epochs=2, backend=backend, dtype="float64", progress=False)
    model, history, data, loss = trained
    assert loss is not None and trained.held_out_bits == pytest.approx(loss / math.log(2))
    assert loss == characters.metric(model, data.held_out)
    assert len(history.val_loss) == 2 and history.val_loss[-1] == pytest.approx(loss, rel=0.3)

    # What the training part lacks is never an input there: its column of W_xh is as it was drawn.
    initial = sr.VanillaRNN(len(data.vocabulary), 16, len(data.vocabulary), seed=0, backend="numpy").params["W_xh"]
    untouched = {
        c for i, c in enumerate(data.vocabulary.characters) if (model.params["W_xh"][:, i] == initial[:, i]).all()
    }
    assert untouched == set("hasi:")


def test_a_deeper_network_with_dropout() -> None:
    trained = characters.train(
        hidden_size=12, num_layers=2, dropout=0.3, seq_length=20, epochs=2, backend="numpy", progress=False
    )
    recurrent, dropout, _ = trained.model.layers
    assert isinstance(recurrent, sr.RNN) and (recurrent.num_layers, recurrent.dropout) == (2, 0.3)
    assert dropout == sr.Dropout(0.3, size=12)
    assert trained.history.loss[1] < trained.history.loss[0]
    single = characters.network(9, 5, 1, 0.2, loss="cross_entropy", backend="numpy")
    assert [type(layer).__name__ for layer in single.layers] == ["RNN", "Dropout", "Linear"]
    assert isinstance(characters.network(9, 5, 1, 0.0, loss="cross_entropy", backend="numpy"), sr.VanillaRNN)


def test_same_seed_same_weights(tmp_path: Path, backend: str) -> None:
    file = write(tmp_path, "the quick brown fox jumps over the lazy dog; " * 30)
    runs = [
        characters.train(file, hidden_size=8, epochs=1, seed=seed, backend=backend, progress=False).model.params.vector
        for seed in (0, 0, 1)
    ]
    assert (runs[0] == runs[1]).all() and not (runs[0] == runs[2]).any()


def test_the_number_of_epochs_follows_the_length_of_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def fit(model: Any, windows: Windows, **arguments: Any) -> sr.History:
        asked.update(arguments, windows=len(windows), stride=windows.stride)
        return sr.History(arguments["optimizer"])

    monkeypatch.setattr(characters, "fit", fit)
    monkeypatch.setattr(characters, "metric", lambda model, ids: 0.0)
    for length, epochs, stride, windows in [
        (200, 200, 1, 150),  # the chapter's length: learned by heart
        (3_000, 20, 20, 133),
        (100_000, 20, 50, 1799),
        (1_000_000, 6, 50, 17999),
        (10_000_000, 1, 50, 179999),
    ]:
        characters.train(write(tmp_path, "ab" * (length // 2)), backend="numpy")
        assert (asked["epochs"], asked["stride"], asked["windows"]) == (epochs, stride, windows)
    characters.train(write(tmp_path, "ab" * 50), seq_length=99, backend="numpy")
    assert (asked["stride"], asked["windows"]) == (1, 1)


def test_train_ends_when_its_time_is_over() -> None:
    assert characters.train(seconds=1e-9, hidden_size=8, backend="numpy", progress=False).history.epochs == 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory of a process from /proc")
def test_one_megabyte_stays_in_bounded_memory(tmp_path: Path) -> None:
    """All defaults but two epochs, on a text of words that follow one another, in a process of its own."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlcumwfgypbvk"))
    words = ["".join(rng.choice(letters, rng.integers(1, 8))) for _ in range(300)]
    following = rng.integers(300, size=(300, 3))
    word, text = 0, []
    for choice in rng.integers(3, size=220_000):
        word = following[word, choice]
        text.append(words[word])
    file = write(tmp_path, " ".join(text)[:1_000_000])
    # Not getrusage: what it tells of a new process begins with the peak of the one it was forked from.
    program = """
import sys
from scratchrnn.tasks.characters import train
trained = train(sys.argv[1], epochs=2, progress=False)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(trained.held_out_loss, peak)
"""
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True)
    loss, peak = map(float, done.stdout.split())
    # About 4.4 letters and a space to a word, one of three words each time: ln 3 / 5.4 = 0.2 nats at best.
    assert loss < 0.8
    assert peak < 600_000  # kB
