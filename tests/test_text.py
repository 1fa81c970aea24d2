"""Text: files, vocabularies, windows, and writing on from a prompt."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scratchrnn as sr
from scratchrnn import text as text_module
from scratchrnn.sampling import draw, sample
from scratchrnn.text import Vocabulary, Windows, read_text, streams

LETTERS = Vocabulary("abcdefgh ")


def make_model(backend: str = "numpy", dtype: str = "float64", hidden: int = 12) -> Any:
    """A random model of LETTERS, with outputs large enough to prefer some characters to others."""
    V = len(LETTERS)
    model = sr.VanillaRNN(V, hidden, V, loss="cross_entropy", backend=backend, dtype=dtype, seed=3)
    model.params["W_xh"] = 3 * model.params["W_xh"]
    model.params["W_hy"] = 4 * model.params["W_hy"]
    return model


# Files.


def test_read_text_drops_the_byte_order_mark_and_unifies_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes("\ufeff床前明月光\r\n疑是\r地上霜\n🌙".encode())
    assert read_text(file) == read_text(str(file)) == "床前明月光\n疑是\n地上霜\n🌙"


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, FileNotFoundError, "there is no file"),
        (b"", ValueError, "is empty"),
        (b"\xef\xbb\xbf", ValueError, "is empty"),
        (b"abc\xff\xfe", ValueError, "not UTF-8: byte 0xFF at position 3"),
        ("日本".encode("utf-16-be"), ValueError, "not UTF-8: byte 0xE5 at position 1"),
        ("€".encode()[:2], ValueError, "at position 0"),
    ],
)
def test_read_text_says_what_is_wrong(
    tmp_path: Path, content: bytes | None, error: type[Exception], message: str
) -> None:
    file = tmp_path / "text.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        read_text(file)
    assert "text.txt" in str(caught.value) and "\n" not in str(caught.value)


def test_read_text_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder"):
        read_text(tmp_path)


@pytest.mark.parametrize("encoding", ["gb18030", "GBK", "utf-16", "utf-16-le", "utf-8-sig", "UTF8"])
def test_read_text_in_another_encoding(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "poem.txt"
    file.write_bytes("床前明月光，\r\n疑是地上霜。".encode(encoding))
    assert read_text(file, encoding) == read_text(file, encoding=encoding) == "床前明月光，\n疑是地上霜。"


@pytest.mark.parametrize(
    ("saved", "read", "message"),
    [
        ("gb18030", "utf-8", 'is not UTF-8: byte 0xB4 at position 0 .* encoding="gb18030".*--encoding'),
        ("utf-16", "utf-8", 'is not UTF-8: byte 0xFF at position 0 .* such as encoding="utf-16" '),
        ("utf-8", "gb18030", "is not GB18030: byte 0x.. at position .*--encoding"),
        ("utf-8", "ascii", "is not ASCII: byte 0xE5 at position 0 "),
        ("utf-8", "klingon", "there is no text encoding 'klingon'; Python knows utf-8, gb18030"),
        ("utf-8", "base64", "there is no text encoding 'base64'"),
        ("utf-8", "utf-8\0", "there is no text encoding 'utf-8.x00'"),
    ],
)
def test_a_wrong_encoding_is_named_with_what_to_do(tmp_path: Path, saved: str, read: str, message: str) -> None:
    file = tmp_path / "poem.txt"
    file.write_bytes("床前明月光".encode(saved))
    with pytest.raises(ValueError, match=message) as caught:
        read_text(file, read)
    assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match="encoding must be a string"):
        read_text(file, 8)  # type: ignore[arg-type]


def test_read_text_finds_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.txt").write_text("abc")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert read_text("~/text.txt") == "abc"


# Vocabularies.


@given(st.text(min_size=1))
def test_vocabulary_numbers_the_sorted_characters(text: str) -> None:
    vocabulary = Vocabulary(text)
    characters = sorted(set(text))
    place = {character: i for i, character in enumerate(characters)}
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64
    assert ids.tolist() == [place[character] for character in text]
    assert vocabulary.decode(ids) == text
    assert vocabulary.to_list() == characters
    assert len(vocabulary) == len(characters)


@given(st.text(min_size=1), st.text(min_size=1))
def test_vocabularies_are_equal_when_their_characters_are(one: str, other: str) -> None:
    assert Vocabulary(one) == Vocabulary(one[::-1] * 2)
    assert hash(Vocabulary(one)) == hash(Vocabulary(one[::-1] * 2))
    assert (Vocabulary(one) == Vocabulary(other)) == (set(one) == set(other))
    assert Vocabulary(one) != one


@given(st.text(min_size=1))
def test_vocabulary_survives_json(text: str) -> None:
    listed = json.loads(json.dumps(Vocabulary(text).to_list()))
    assert Vocabulary.from_list(listed) == Vocabulary(text)


@given(st.text(min_size=1), st.text())
def test_encode_names_the_first_unknown_character(known: str, text: str) -> None:
    vocabulary = Vocabulary(known)
    unknown = [i for i, character in enumerate(text) if character not in known]
    if not unknown:
        assert vocabulary.decode(vocabulary.encode(text)) == text
        return
    with pytest.raises(ValueError) as caught:
        vocabulary.encode(text)
    character = text[unknown[0]]
    assert f"{character!r} (U+{ord(character):04X}) at position {unknown[0]} " in str(caught.value)
    assert "leave it out, or train on a text that has it" in str(caught.value)


def test_a_lone_surrogate_is_a_character_like_any_other() -> None:
    vocabulary = Vocabulary("a\ud800")
    assert vocabulary.decode(vocabulary.encode("\ud800a")) == "\ud800a"


def test_encode_works_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "BLOCK", 4)
    for n in range(13):
        text = ("hegfdcba" * 2)[:n]
        assert LETTERS.decode(LETTERS.encode(text)) == text
    with pytest.raises(ValueError, match=r"'é' \(U\+00E9\) at position 6 "):
        LETTERS.encode("abcdefég")


@pytest.mark.parametrize(("size", "dtype"), [(1, "u1"), (256, "u1"), (257, "u2"), (65536, "u2"), (65537, "u4")])
def test_dtype_is_the_smallest_that_holds_every_id(size: int, dtype: str) -> None:
    characters = "".join(chr(0x10000 + i) for i in range(size))
    vocabulary = Vocabulary(characters)
    assert vocabulary.dtype == np.dtype(dtype)
    ids = vocabulary.encode(characters, vocabulary.dtype)
    assert ids.dtype == vocabulary.dtype and ids[-1] == size - 1
    assert vocabulary.decode(ids) == characters


@pytest.mark.parametrize("dtype", ["u1", "i1", bool, "f2", "f4", "f8", "c16", object, "U1", "M8[s]", None])
def test_ids_are_never_squeezed_into_a_dtype_that_does_not_hold_them(dtype: Any) -> None:
    """As uint8, character 256 came back as character 0; as float16, the last of 65,536 as infinity."""
    text = "".join(chr(0x4E00 + i) for i in range(400))
    vocabulary = Vocabulary(text)
    with pytest.raises(ValueError, match="does not hold the ids 0 … 399 .* pass vocabulary.dtype, which is uint16"):
        vocabulary.encode(text, dtype)
    for wide in ("u2", "i2", ">i2", "u8", "i8", int):
        ids = vocabulary.encode(text, wide)
        assert ids.dtype == np.dtype(wide) and ids.tolist() == list(range(400))


@given(st.text(min_size=1), st.text())
def test_unknown_characters_are_dropped_on_request(known: str, text: str) -> None:
    vocabulary = Vocabulary(known)
    ids = vocabulary.encode(text, vocabulary.dtype, unknown="drop")
    assert ids.dtype == vocabulary.dtype
    assert vocabulary.decode(ids) == "".join(character for character in text if character in known)


def test_unknown_characters_are_dropped_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "BLOCK", 4)
    ids = LETTERS.encode("1a23456b7c890d", unknown="drop")
    assert LETTERS.decode(ids) == "abcd" and ids.base is None  # holds no memory for what was left out
    assert len(LETTERS.encode("123456789", unknown="drop")) == 0


def test_encoding_costs_the_ids_and_one_block() -> None:
    text = "to be or not to be, " * 200_000  # 16 blocks
    vocabulary = Vocabulary(text)
    tracemalloc.start()
    ids = vocabulary.encode(text, np.uint8)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < ids.nbytes + 32 * text_module.BLOCK


def test_what_a_vocabulary_says_of_itself() -> None:
    assert repr(LETTERS) == "Vocabulary(9 characters: ' abcdefgh')"
    assert "a" in LETTERS and "z" not in LETTERS and "ab" not in LETTERS and "" not in LETTERS and 3 not in LETTERS
    assert repr(Vocabulary("".join(map(chr, range(100, 200))))).count("…") == 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Vocabulary(""), ValueError, "at least one character"),
        (lambda: Vocabulary(["a"]), TypeError, "made from a string, got list"),  # type: ignore[arg-type]
        (lambda: Vocabulary.from_list(["b", "a"]), ValueError, "sorted"),
        (lambda: Vocabulary.from_list(["a", "a"]), ValueError, "distinct"),
        (lambda: Vocabulary.from_list(["ab"]), ValueError, "single"),
        (lambda: Vocabulary.from_list([]), ValueError, "at least one character"),
        (lambda: LETTERS.encode(3), TypeError, "expected a string to encode, got int"),  # type: ignore[arg-type]
        (lambda: LETTERS.encode("a", unknown="skip"), ValueError, 'unknown must be "error" or "drop", got \'skip\''),  # type: ignore[arg-type]
        (lambda: LETTERS.decode([0, 9]), IndexError, r"id 9 at position 1 is outside 0 … 8"),
        (lambda: LETTERS.decode([0, 1, -1]), IndexError, r"id -1 at position 2"),
        (lambda: LETTERS.decode([0.0]), TypeError, "ids must be integers, got float64"),
        (lambda: LETTERS.decode([[0]]), ValueError, r"shape \(n,\), got \(1, 1\)"),
    ],
)
def test_vocabulary_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# Windows.


@given(st.integers(2, 60), st.integers(1, 20), st.integers(1, 25))
def test_windows_are_slices_of_the_text_and_the_same_one_on(n: int, T: int, stride: int) -> None:
    ids = np.arange(n, dtype=np.uint8)
    if n <= T:
        with pytest.raises(ValueError, match=f"at least {T + 1}"):
            Windows(ids, T, stride)
        return
    windows = Windows(ids, T, stride)
    starts = list(range(0, n - T, stride))
    assert len(windows) == len(starts)
    rows = np.arange(len(windows))[::-1]
    x, target = windows.gather(rows)
    assert x.tolist() == [list(range(starts[i], starts[i] + T)) for i in rows]
    assert target.tolist() == [list(range(starts[i] + 1, starts[i] + T + 1)) for i in rows]


def test_the_numbers_of_windows_may_be_of_a_narrow_type() -> None:
    ids = np.arange(400)
    for dtype in (np.uint8, np.int8, np.uint64):
        x, _ = Windows(ids, 5, 20).gather(np.array([2, 15], dtype))  # 15 · 20 does not fit a byte
        assert x[:, 0].tolist() == [40, 300]


def test_windows_side_by_side_cover_the_text_once() -> None:
    ids = np.arange(103)
    x, target = Windows(ids, 10).gather(np.arange(10))
    assert x.reshape(-1).tolist() == list(range(100))
    assert target.reshape(-1).tolist() == list(range(1, 101))


def test_windows_cost_no_copy_of_the_text() -> None:
    ids = np.zeros(4_000_000, dtype=np.uint8)
    tracemalloc.start()
    windows = Windows(ids, 50)
    x, target = windows.gather(np.arange(32))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert windows.ids is ids
    assert peak < 100_000
    assert x.dtype == target.dtype == np.uint8 and x.shape == target.shape == (32, 50)
    assert x.swapaxes(0, 1).flags.c_contiguous and np.shares_memory(x, target)  # what fit turns to without a copy


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((10,), ValueError, "a text of 10 characters is too short for windows of 10 .* at least 11"),
        ((0,), ValueError, "seq_length must be at least 1, got 0"),
        ((2.0,), TypeError, "seq_length must be an integer, got 2.0"),
        ((2, 0), ValueError, "stride must be at least 1, got 0"),
    ],
)
def test_windows_errors(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Windows(np.arange(10), *arguments)


def test_fit_trains_on_windows() -> None:
    text = "abcdefgh " * 60
    model = make_model()
    history = sr.fit(model, Windows(LETTERS.encode(text, np.uint8), 20), epochs=15, batch_size=8, progress=False)
    assert history.updates == 15 * 4
    assert history.loss[-1] < 0.3 < history.loss[0]


# Streams.


@given(st.integers(0, 60), st.integers(1, 12))
def test_streams_are_stretches_of_the_text_and_the_same_one_on(n: int, rows: int) -> None:
    ids = np.arange(n, dtype=np.uint8)
    if n < rows + 1:
        with pytest.raises(ValueError, match=f"a text of {n} characters is too short for {rows} .* least {rows + 1}"):
            streams(ids, rows)
        return
    x, target = streams(ids, rows)
    T = (n - 1) // rows
    assert x.tolist() == [list(range(i * T, i * T + T)) for i in range(rows)]
    assert target.tolist() == [list(range(i * T + 1, i * T + T + 1)) for i in range(rows)]
    assert x.dtype == target.dtype == np.uint8
    assert np.shares_memory(x, ids) and np.shares_memory(target, ids)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros((2, 3), int), 2), ValueError, r"expected integer ids of shape \(n,\), got int64 of shape \(2, 3\)"),
        ((np.zeros(9), 2), ValueError, "expected integer ids .* got float64"),
        ((np.arange(9), 0), ValueError, "rows must be at least 1, got 0"),
        ((np.arange(9), 1.5), TypeError, "rows must be an integer"),
    ],
)
def test_streams_errors(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        streams(*arguments)


def test_fit_streams_a_text_and_remembers_across_pieces() -> None:
    """The character after a run of five depends on the one before it: pieces of 4 learn it where the state goes on."""
    rng = np.random.default_rng(0)
    text = "".join(c + "     " + c.upper() for c in rng.choice(["a", "b"], 600))
    vocabulary = Vocabulary(text)
    x, target = streams(vocabulary.encode(text, vocabulary.dtype), 10)
    last = {}
    for stateful in (False, True):
        V = len(vocabulary)
        model = sr.VanillaRNN(V, 16, V, loss="cross_entropy", backend="numpy", seed=1)
        options: dict[str, Any] = {"batch_size": 10, "truncate": 7, "stateful": stateful, "clip_norm": 1.0}
        history = sr.fit(model, x[:, 3:], target[:, 3:], epochs=15, **options, progress=False)
        last[stateful] = history.loss[-1]
    assert last[True] < last[False] - 0.05


# Writing on from a prompt.


def chapter_generate(model: Any, seed_text: str, length: int, temperature: float, seed: int) -> str:
    """The chapter's generate_text, line by line, with the draw spelled out."""
    rng = np.random.default_rng(seed)
    generated = seed_text
    for _ in range(length):
        y = model(np.array([[LETTERS.characters.index(c) for c in seed_text]]))[0, -1] / temperature
        p = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
        u, i = rng.random(), 0
        while u >= p[i]:
            u, i = u - p[i], i + 1
        generated += LETTERS.characters[i]
        seed_text = seed_text[1:] + LETTERS.characters[i]
    return generated


def test_window_mode_is_the_chapters(backend: str) -> None:
    text = sample(make_model(backend), LETTERS, "bad cafe", 120, temperature=0.8, mode="window", seed=5)
    assert text == chapter_generate(make_model(), "bad cafe", 120, 0.8, 5)


def test_carried_mode_sees_the_whole_past(backend: str) -> None:
    """A window that never loses a character reads, each time anew, what the carried state has read once."""
    model = make_model(backend)
    carried = sample(model, LETTERS, "bad cafe", 120, seed=1)
    assert carried == sample(model, LETTERS, "bad cafe", 120, mode="window", window=128, seed=1)
    assert carried != sample(model, LETTERS, "bad cafe", 120, mode="window", window=2, seed=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_first_character_is_the_same_in_both_modes(backend: str, dtype: str) -> None:
    model = make_model(backend, dtype)
    for seed in range(20):
        first = {sample(model, LETTERS, "dad", 1, mode=mode, seed=seed) for mode in ("carried", "window")}
        assert len(first) == 1


def test_same_seed_same_text_and_other_seed_other_text(backend: str) -> None:
    model = make_model(backend)
    text = sample(model, LETTERS, "a", 60, seed=7)
    assert text == sample(model, LETTERS, "a", 60, seed=7) == sample(make_model(), LETTERS, "a", 60, seed=7)
    assert text.startswith("a") and len(text) == 61
    assert text != sample(model, LETTERS, "a", 60, seed=8)
    assert sample(model, LETTERS, "head", 0) == "head"


def test_a_generator_goes_on_where_it_was() -> None:
    model, rng = make_model(), np.random.default_rng(2)
    first, second = (sample(model, LETTERS, "a", 40, seed=rng) for _ in range(2))
    assert first == sample(model, LETTERS, "a", 40, seed=2) != second


@pytest.mark.parametrize("temperature", [1e-3, 1e-300, 5e-324, 0, 0.0, np.float32(0), np.int64(0)])
def test_a_low_temperature_takes_the_likeliest(temperature: float) -> None:
    model, ids = make_model(), LETTERS.encode("cab").tolist()
    for _ in range(40):
        ids.append(int(model(np.array([ids]))[0, -1].argmax()))
    greedy = LETTERS.decode(ids)
    assert sample(model, LETTERS, "cab", 40, temperature=temperature) == greedy
    assert sample(model, LETTERS, "cab", 40, temperature=temperature, top_k=2) == greedy
    assert sample(model, LETTERS, "cab", 40, top_k=1) == greedy
    windows = [sample(model, LETTERS, "cab", 40, mode="window", window=50, top_k=k, seed=k) for k in (1, 1000)]
    assert windows == [greedy, sample(model, LETTERS, "cab", 40, seed=1000)]


def test_greedy_uses_no_random_number_and_takes_the_first_of_equals(rng: np.random.Generator) -> None:
    before = rng.bit_generator.state
    assert draw(np.array([1.0, 3.0, 2.0, 3.0]), 0, rng) == 1
    assert rng.bit_generator.state == before


@pytest.mark.parametrize("top_k", [1, 2, 3, 4, 6, 7])
def test_top_k_draws_follow_the_softmax_of_the_likeliest(top_k: int, rng: np.random.Generator) -> None:
    y = np.array([0.3, 1.5, -0.4, 1.5, 0.3, 0.3])  # in order of preference 1 3 0 4 5 2
    kept = [1, 3, 0, 4, 5, 2][:top_k]
    p = np.zeros(6)
    p[kept] = np.exp(y[kept] / 0.7) / np.exp(y[kept] / 0.7).sum()
    counts = np.bincount([draw(y, 0.7, rng, top_k) for _ in range(20_000)], minlength=6)
    assert (np.abs(counts - 20_000 * p) <= 5 * np.sqrt(20_000 * p * (1 - p)) + (p > 0)).all()


@pytest.mark.parametrize(("temperature", "scale"), [(1.0, 1.0), (0.5, 2.0), (2.0, 3.0), (1e300, 1e4)])
def test_draws_follow_the_softmax(temperature: float, scale: float, rng: np.random.Generator) -> None:
    y = scale * rng.normal(size=6)
    p = np.exp((y - y.max()) / temperature)
    p /= p.sum()
    counts = np.bincount([draw(y, temperature, rng) for _ in range(20_000)], minlength=6)
    # Each count is binomial; five standard deviations.
    assert (np.abs(counts - 20_000 * p) <= 5 * np.sqrt(20_000 * p * (1 - p)) + 1).all()


def test_what_cannot_be_is_never_drawn(rng: np.random.Generator) -> None:
    y = np.array([-1e4, 1e4, -1e4, 1e4, -1e4], dtype=np.float32)
    assert {draw(y, 1.0, rng) for _ in range(200)} == {1, 3}

    class Extreme:
        def __init__(self, u: float) -> None:
            self.random = lambda: u

    for u, drawn in ((0.0, 1), (np.nextafter(1, 0), 3)):
        assert draw(y, 1.0, Extreme(u)) == drawn  # type: ignore[arg-type]


def test_layers_of_any_number_write_on_too() -> None:
    V = len(LETTERS)
    model = sr.SequenceModel(
        [sr.RNN(V, 8), sr.RNN(8, 8), sr.Linear(8, V)], loss="cross_entropy", backend="numpy", seed=1
    )
    carried = sample(model, LETTERS, "cab", 30)
    assert carried == sample(model, LETTERS, "cab", 30, mode="window", window=40)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"prompt": ""}, ValueError, "the prompt is empty"),
        ({"prompt": 3}, TypeError, "the prompt must be a string, got int"),
        ({"prompt": "abZ"}, ValueError, r"'Z' \(U\+005A\) at position 2 "),
        ({"length": -1}, ValueError, "length must be at least 0, got -1"),
        ({"length": 2.5}, TypeError, "length must be an integer"),
        ({"length": True}, TypeError, "length must be an integer"),
        ({"temperature": -1e-9}, ValueError, "temperature must be at least 0 and finite, got -1e-09"),
        ({"temperature": -1.0}, ValueError, "temperature must be at least 0 and finite"),
        ({"temperature": np.nan}, ValueError, "temperature must be at least 0 and finite"),
        ({"temperature": np.inf}, ValueError, "temperature must be at least 0 and finite"),
        ({"temperature": "hot"}, TypeError, "temperature must be a number of at least 0, got 'hot'"),
        ({"temperature": True}, TypeError, "temperature must be a number of at least 0, got True"),
        ({"top_k": 0}, ValueError, "top_k must be at least 1, got 0"),
        ({"top_k": 2.0}, TypeError, "top_k must be an integer, got 2.0"),
        ({"mode": "greedy"}, ValueError, 'mode must be "carried" or "window"'),
        ({"window": 3}, ValueError, 'window is for mode="window"'),
        ({"mode": "window", "window": 0}, ValueError, "window must be at least 1, got 0"),
        ({"vocabulary": Vocabulary("ab")}, ValueError, "vocabulary has 2 characters, .* takes 9 and gives 9"),
    ],
)
def test_sample_errors(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"vocabulary": LETTERS, "prompt": "ab", "length": 3} | arguments
    with pytest.raises(error, match=message):
        sample(make_model(), **given)


def test_a_model_of_both_directions_writes_on_from_windows_alone() -> None:
    V = len(LETTERS)
    model = sr.SequenceModel([sr.RNN(V, 8, bidirectional=True), sr.Linear(16, V)], backend="numpy")
    with pytest.raises(ValueError, match='no state to carry on; use mode="window"'):
        sample(model, LETTERS, "cab", 3)
    written = sample(model, LETTERS, "cab", 3, mode="window", temperature=0)
    assert written[3] == LETTERS.decode(model.predict(LETTERS.encode("cab")[None], steps="last").argmax(axis=1))


def test_sample_from_a_model_that_is_not_finite() -> None:
    model = make_model()
    model.params["b_y"] = np.full(len(LETTERS), np.nan)
    with pytest.raises(ValueError, match="outputs are not finite"):
        sample(model, LETTERS, "ab", 3)
