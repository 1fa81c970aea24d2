"""The door: every kind of bad input, at every public entry, is refused in words and leaves the model as it was."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import ARCHITECTURES, D, H, N, O, T, make_batch, make_model

import scratchrnn as sr
from scratchrnn import network as passes

Batch = dict[str, Any]
Case = tuple[str, dict[str, Any], type[Exception], str]

ENTRIES: dict[str, Callable[[Any, Batch], Any]] = {
    "call": lambda model, b: model(b["x"]),
    "forward": lambda model, b: model.forward(b["x"], b["h0"], b["lengths"]),
    "predict": lambda model, b: model.predict(b["x"], b["steps"], h0=b["h0"], lengths=b["lengths"]),
    "loss": lambda model, b: model.loss(**b),
    "loss_and_grads": lambda model, b: model.loss_and_grads(**b),
    "check": lambda model, b: sr.check_gradients(model, **b, progress=False),
    "fit": lambda model, b: fit(model, {key: b[key] for key in ("x", "target", "steps", "lengths")}),
    "validation": lambda model, b: fit(
        model, make_batch(model), {k: b[k] for k in ("x", "target", "steps", "lengths")}
    ),
}


WITH_TARGET = ("loss", "loss_and_grads", "check", "fit", "validation")


def fit(model: Any, batch: Batch, validation: Any = None) -> Any:
    """Train for one epoch."""
    data = {key: value for key, value in batch.items() if key != "h0"}
    return sr.fit(model, **data, validation=validation, epochs=1, batch_size=3, progress=False)


def refused(entry: str, model: Any, batch: Batch, error: type[Exception], text: str) -> None:
    """The call raises exactly this error with this text, and neither the model nor the arguments have changed."""
    before = model.params, model.params.vector.tobytes(), repr(model)
    kept = {key: np.copy(value) for key, value in batch.items() if isinstance(value, np.ndarray)}
    with pytest.raises(error, match=re.escape(text)) as caught:
        ENTRIES[entry](model, batch)
    assert type(caught.value) is error
    assert model.params is before[0]
    assert (model.params.vector.tobytes(), repr(model)) == before[1:]
    for key, value in kept.items():
        np.testing.assert_array_equal(batch[key], value)


def with_entry(array: Any, index: Any, value: Any) -> Any:
    """The array with one entry replaced."""
    array = np.array(array)
    array[index] = value
    return array


def cases(*table: Case) -> Any:
    """Parametrise by (what is wrong, the arguments that are replaced, error, text)."""
    return pytest.mark.parametrize(
        ("changes", "error", "text"), [case[1:] for case in table], ids=[c[0] for c in table]
    )


def entries(*names: str) -> Any:
    return pytest.mark.parametrize("entry", names)


X = np.random.default_rng(0).normal(size=(N, T, D))
TOKENS = np.random.default_rng(0).integers(D, size=(N, T))
EXPECTED = f"expected x of shape (N, T, {D}), or integer tokens (N, T), got "
TOKENS_HINT = "; for tokens pass x.astype(int)"


@entries(*ENTRIES)
@cases(
    ("no axis of features", {"x": X[..., 0]}, ValueError, EXPECTED + f"float64 of shape ({N}, {T})"),
    ("bool without features", {"x": X[..., 0] > 0}, ValueError, EXPECTED + f"bool of shape ({N}, {T}){TOKENS_HINT}"),
    ("one axis", {"x": X[0, 0]}, ValueError, EXPECTED + f"float64 of shape ({D},)"),
    ("tokens of one row", {"x": TOKENS[0]}, ValueError, EXPECTED + f"int64 of shape ({T},)"),
    ("a number", {"x": 1.0}, ValueError, EXPECTED + "float64 of shape ()"),
    ("four axes", {"x": X[None]}, ValueError, EXPECTED + f"float64 of shape (1, {N}, {T}, {D})"),
    (
        "too many features",
        {"x": np.zeros((N, T, 5))},
        ValueError,
        f"x has 5 features, but this model expects {D} (x.shape = ({N}, {T}, 5), expected (N, T, {D}))",
    ),
    (
        "time and features swapped",
        {"x": X.swapaxes(1, 2)},
        ValueError,
        f"x has {T} features, but this model expects {D}",
    ),
    ("no features", {"x": X[..., :0]}, ValueError, f"x has 0 features, but this model expects {D}"),
    ("no rows", {"x": X[:0]}, ValueError, f"x has 0 sequences of {T} steps; there must be at least one of each"),
    ("no steps", {"x": X[:, :0]}, ValueError, f"x has {N} sequences of 0 steps; there must be at least one of each"),
    ("tokens of no rows", {"x": TOKENS[:0]}, ValueError, f"x has 0 sequences of {T} steps"),
    ("tokens of no steps", {"x": TOKENS[:, :0]}, ValueError, f"x has {N} sequences of 0 steps"),
    ("complex", {"x": X + 0j}, TypeError, "x must be an array of real numbers, got complex128"),
    ("words", {"x": [["a", "b"]]}, TypeError, "x must be an array of real numbers, got <U1"),
    ("dates", {"x": np.zeros((N, T, D), "M8[D]")}, TypeError, "x must be an array of real numbers, got datetime64[D]"),
    ("nothing", {"x": None}, TypeError, "x must be an array of real numbers, got object"),
    (
        "rows of different lengths",
        {"x": [[1, 2], [3]]},
        ValueError,
        "x must be one array, but its rows differ in shape",
    ),
    (
        "NaN",
        {"x": with_entry(X, (2, 3, 1), np.nan)},
        ValueError,
        "x[2, 3, 1] is nan in float64; every input must be finite",
    ),
    ("infinity", {"x": with_entry(X, (3, 6, 0), -np.inf)}, ValueError, "x[3, 6, 0] is -inf in float64"),
    (
        "token too large",
        {"x": with_entry(TOKENS, (1, 4), D)},
        IndexError,
        f"token {D} at x[1, 4] is outside 0 … {D - 1}",
    ),
    ("negative token", {"x": with_entry(TOKENS, (0, 6), -1)}, IndexError, "token -1 at x[0, 6] is outside 0 … 2"),
    (
        "token beyond int64",
        {"x": with_entry(TOKENS.astype(np.uint64), (3, 0), 2**63)},
        IndexError,
        "token 9223372036854775808 at x[3, 0] is outside 0 … 2",
    ),
)
def test_inputs(entry: str, changes: Batch, error: type[Exception], text: str, backend: str) -> None:
    model = make_model(backend=backend)
    batch = make_batch(model)
    if entry in ("call", "forward"):
        batch.update(h0=None)
    refused(entry, model, {**batch, **changes}, error, text)


@entries(*ENTRIES)
def test_inputs_beyond_the_range_of_float32(entry: str) -> None:
    model = make_model(dtype="float32")
    batch = make_batch(model)
    batch["x"] = with_entry(batch["x"], (1, 2, 0), 1e300)
    refused(entry, model, batch, ValueError, "x[1, 2, 0] is inf in float32; every input must be finite")


@entries(*ENTRIES)
def test_tokens_for_a_layer_that_takes_none(entry: str) -> None:
    model = make_model("linear-rnn-linear")
    batch = {**make_batch(model), "x": TOKENS}
    text = f"the first layer takes no integer tokens; expected x of shape (N, T, {D}), got ({N}, {T})"
    refused(entry, model, batch, ValueError, text)
    text = f"expected x of shape (N, T, {D}), got float64 of shape ({N}, {T})"
    refused(entry, model, {**batch, "x": TOKENS * 1.0}, ValueError, text)


@entries(*ENTRIES)
@cases(
    ("vectors", {"x": X}, TypeError, f"takes nothing but integer tokens (N, T), got float64 of shape ({N}, {T}, {D})"),
    ("floats", {"x": TOKENS * 1.0}, TypeError, f"got float64 of shape ({N}, {T}){TOKENS_HINT}"),
    ("bool", {"x": TOKENS > 0}, TypeError, f"got bool of shape ({N}, {T})"),
    ("one-hot integers", {"x": np.eye(D, dtype=int)[TOKENS]}, ValueError, f"got int64 of shape ({N}, {T}, {D})"),
    ("one row", {"x": TOKENS[0]}, ValueError, f"got int64 of shape ({T},)"),
    ("too large", {"x": with_entry(TOKENS, (1, 4), D)}, IndexError, f"token {D} at x[1, 4] is outside 0 … {D - 1}"),
    ("negative", {"x": with_entry(TOKENS, (0, 6), -1)}, IndexError, "token -1 at x[0, 6] is outside 0 … 2"),
)
def test_tokens_for_an_embedding(
    entry: str, changes: Batch, error: type[Exception], text: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("embedding", backend=backend)
    batch = make_batch(model)
    if entry in ("call", "forward"):
        batch.update(h0=None)
    monkeypatch.setattr(passes, "run", None)  # refused before anything is computed
    refused(entry, model, {**batch, **changes}, error, text)


@entries("forward", "predict", *WITH_TARGET)
@cases(
    ("float", {"lengths": np.full(N, 3.0)}, TypeError, "lengths must be integers, got float64"),
    ("bool", {"lengths": np.full(N, True)}, TypeError, "lengths must be integers, got bool"),
    ("words", {"lengths": ["a"] * N}, TypeError, "lengths must be an array of real numbers, got <U1"),
    ("too few", {"lengths": [3, 3]}, ValueError, f"expected lengths of shape (N,) = ({N},), got (2,)"),
    ("a number", {"lengths": 3}, ValueError, f"expected lengths of shape (N,) = ({N},), got ()"),
    ("two axes", {"lengths": np.full((N, 1), 3)}, ValueError, f"expected lengths of shape (N,) = ({N},), got ({N}, 1)"),
    ("zero", {"lengths": [3, 0, 3, 3]}, ValueError, f"lengths[1] is 0, but each row has between 1 and T = {T} steps"),
    ("negative", {"lengths": [3, 3, 3, -2]}, ValueError, f"lengths[3] is -2, but each row has between 1 and T = {T}"),
    ("beyond T", {"lengths": [T + 1, 3, 3, 3]}, ValueError, f"lengths[0] is {T + 1}, but each row has between 1 and T"),
    (
        "NaN before the end",
        {"lengths": [2, 5, 7, 7], "x": with_entry(with_entry(X, (0, 2), np.nan), (1, 4, 2), np.nan)},
        ValueError,
        "x[1, 4, 2] is nan",
    ),
)
def test_lengths(entry: str, changes: Batch, error: type[Exception], text: str, backend: str) -> None:
    model = make_model(backend=backend)
    refused(entry, model, {**make_batch(model), **changes}, error, text)


H0 = np.random.default_rng(1).normal(size=(N, H))


@entries("forward", "predict", "loss", "loss_and_grads", "check")
@cases(
    ("without rows", {"h0": H0[0]}, ValueError, f"expected h0 of shape (N, H) = ({N}, {H}), got ({H},)"),
    ("one row for all", {"h0": H0[:1]}, ValueError, f"expected h0 of shape (N, H) = ({N}, {H}), got (1, {H})"),
    (
        "an axis for layers",
        {"h0": H0[None]},
        ValueError,
        f"expected h0 of shape (N, H) = ({N}, {H}), got (1, {N}, {H})",
    ),
    ("transposed", {"h0": H0.T}, ValueError, f"expected h0 of shape (N, H) = ({N}, {H}), got ({H}, {N})"),
    (
        "NaN",
        {"h0": with_entry(H0, (2, 5), np.nan)},
        ValueError,
        "h0[2, 5] is nan in float64; every state must be finite",
    ),
    ("infinity", {"h0": with_entry(H0, (0, 1), np.inf)}, ValueError, "h0[0, 1] is inf in float64"),
    ("complex", {"h0": H0 + 0j}, TypeError, "h0 must be an array of real numbers, got complex128"),
    ("words", {"h0": "zeros"}, TypeError, "h0 must be an array of real numbers, got <U5"),
)
def test_first_states(entry: str, changes: Batch, error: type[Exception], text: str, backend: str) -> None:
    model = make_model(backend=backend)
    refused(entry, model, {**make_batch(model), **changes}, error, text)


@entries("forward", "predict", "loss", "loss_and_grads", "check")
@cases(
    ("an array", {"h0": H0}, TypeError, "h0 must be a tuple with one state per recurrent layer, got ndarray"),
    ("one state", {"h0": (np.zeros((N, 8)),)}, ValueError, "this model has 2 recurrent layers, h0 has 1 states"),
    (
        "wrong order",
        {"h0": (H0, np.zeros((N, 8)))},
        ValueError,
        f"expected h0 of shape (N, H) = ({N}, 8), got ({N}, {H})",
    ),
)
def test_first_states_of_several_layers(entry: str, changes: Batch, error: type[Exception], text: str) -> None:
    model = make_model("rnn-rnn-linear")
    refused(entry, model, {**make_batch(model), **changes}, error, text)


NOT_KNOWN = 'is not known; use "all", "last" or a boolean mask (T,) or (N, T)'
NOT_BOOLEAN = 'steps must be "all", "last" or a boolean mask, got an array of '
SHAPES = f"a steps mask has shape (T,) = ({T},) or (N, T) = ({N}, {T}), got "


@entries("predict", *WITH_TARGET)
@cases(
    ("unknown word", {"steps": "first"}, ValueError, "steps='first' " + NOT_KNOWN),
    ("positions", {"steps": [0, 3]}, TypeError, NOT_BOOLEAN + "int64"),
    ("zeros and ones", {"steps": np.ones(T)}, TypeError, NOT_BOOLEAN + "float64"),
    ("nothing", {"steps": None}, TypeError, NOT_BOOLEAN + "object"),
    ("short", {"steps": np.ones(T - 1, bool)}, ValueError, SHAPES + f"({T - 1},)"),
    ("by row alone", {"steps": np.ones(N, bool)}, ValueError, SHAPES + f"({N},)"),
    ("transposed", {"steps": np.ones((T, N), bool)}, ValueError, SHAPES + f"({T}, {N})"),
    ("with features", {"steps": np.ones((N, T, O), bool)}, ValueError, SHAPES + f"({N}, {T}, {O})"),
    ("no step", {"steps": np.zeros(T, bool)}, ValueError, "no step counts: the mask is False everywhere"),
    ("no entry", {"steps": np.zeros((N, T), bool)}, ValueError, "no step counts: the mask is False everywhere"),
    (
        "none within the lengths",
        {"steps": np.arange(T) > 3, "lengths": [4, 1, 2, 3]},
        ValueError,
        "no step counts: the mask is False everywhere within the lengths",
    ),
)
def test_steps(entry: str, changes: Batch, error: type[Exception], text: str, backend: str) -> None:
    model = make_model(backend=backend)
    refused(entry, model, {**make_batch(model), **changes}, error, text)


Y = np.random.default_rng(2).normal(size=(N, T, O))
SHAPE = f"expected a target of shape (N, T, O) = ({N}, {T}, {O}) with "
LAST = f'expected a target of shape (N, O) = ({N}, {O}) with steps="last", got '


@entries(*WITH_TARGET)
@cases(
    ("no outputs axis", {"target": Y[..., 0]}, ValueError, SHAPE + f'steps="all", got ({N}, {T})'),
    ("one output for all", {"target": Y[..., :1]}, ValueError, SHAPE + f'steps="all", got ({N}, {T}, 1)'),
    ("one row for all", {"target": Y[:1]}, ValueError, SHAPE + f'steps="all", got (1, {T}, {O})'),
    ("one step for all", {"target": Y[:, :1]}, ValueError, SHAPE + f'steps="all", got ({N}, 1, {O})'),
    ("a number", {"target": 0.0}, ValueError, SHAPE + 'steps="all", got ()'),
    ("last step only", {"target": Y[:, -1]}, ValueError, SHAPE + f'steps="all", got ({N}, {O})'),
    ("all steps for the last", {"target": Y, "steps": "last"}, ValueError, LAST + f"({N}, {T}, {O})"),
    ("an axis of one step", {"target": Y[:, -1:], "steps": "last"}, ValueError, LAST + f"({N}, 1, {O})"),
    (
        "chosen steps only",
        {"target": Y[:, :2], "steps": np.arange(T) < 2},
        ValueError,
        SHAPE + f"a steps mask, got ({N}, 2, {O})",
    ),
    ("complex", {"target": Y + 0j}, TypeError, "target must be an array of real numbers, got complex128"),
    ("ragged", {"target": [[1, 2], [3]]}, ValueError, "target must be one array, but its rows differ in shape"),
    (
        "NaN",
        {"target": with_entry(Y, (1, 4, 2), np.nan)},
        ValueError,
        "target[1, 4, 2] is nan in float64; every counted target must be finite",
    ),
    ("infinity", {"target": with_entry(Y, (3, 0, 0), np.inf)}, ValueError, "target[3, 0, 0] is inf in float64"),
    (
        "NaN at a chosen step",
        {"target": with_entry(Y, (2, [1, 5], 3), np.nan), "steps": np.isin(np.arange(T), [0, 3, 5])},
        ValueError,
        "target[2, 5, 3] is nan",
    ),
    (
        "NaN at a chosen entry",
        {"target": with_entry(Y, ([0, 2], 5, 3), np.nan), "steps": np.eye(N, T, 3, dtype=bool)},
        ValueError,
        "target[2, 5, 3] is nan",
    ),
    (
        "NaN within the lengths",
        {"target": with_entry(Y, ([0, 2], 5, 3), np.nan), "lengths": [5, 5, 6, 5]},
        ValueError,
        "target[2, 5, 3] is nan",
    ),
    (
        "NaN at the last step",
        {"target": with_entry(Y[:, 0], (2, 3), np.nan), "steps": "last"},
        ValueError,
        "target[2, 3] is",
    ),
    (
        "NaN at the last of several lengths",
        {"target": with_entry(Y[:, 0], (2, 3), np.nan), "steps": "last", "lengths": [1, 2, 3, 4]},
        ValueError,
        "target[2, 3] is nan",
    ),
)
def test_targets(entry: str, changes: Batch, error: type[Exception], text: str, backend: str) -> None:
    model = make_model(backend=backend)
    refused(entry, model, {**make_batch(model), **changes}, error, text)


@entries(*WITH_TARGET)
def test_a_target_that_lacks_its_axis_of_one(entry: str) -> None:
    model = sr.VanillaRNN(D, H, 1, backend="numpy")
    batch = make_batch(model)
    for steps, target in (("all", batch["target"][..., 0]), ("last", batch["target"][:, 0, 0])):
        refused(
            entry,
            model,
            {**batch, "steps": steps, "target": target},
            ValueError,
            "; for one output pass target[..., None]",
        )


@entries(*WITH_TARGET)
def test_no_target(entry: str) -> None:
    model = make_model()
    text = "target must be an array of real numbers, got object"
    if entry in ("fit", "validation"):  # which can take batches from a source, and says so
        text = "fit needs a target beside x, unless x is a batch source with a gather method"
    refused(entry, model, {**make_batch(model), "target": None}, TypeError, text)


@entries(*WITH_TARGET)
def test_a_target_beyond_the_range_of_float32(entry: str) -> None:
    model = make_model(dtype="float32")
    batch = {**make_batch(model), "target": with_entry(Y, (0, 1, 2), -1e40)}
    refused(entry, model, batch, ValueError, "target[0, 1, 2] is -inf in float32; every counted target must be finite")


CLASSES = np.random.default_rng(3).integers(O, size=(N, T))
CLASS_SHAPE = f"expected a target of shape (N, T) = ({N}, {T}) with "
OUTSIDE = f"outside the classes 0 … {O - 1}"


@entries(*WITH_TARGET)
@cases(
    ("float", {"target": CLASSES * 1.0}, TypeError, "cross_entropy needs integer class numbers as target, got float64"),
    ("bool", {"target": CLASSES > 0}, TypeError, "cross_entropy needs integer class numbers as target, got bool"),
    ("one-hot", {"target": np.eye(O)[CLASSES]}, TypeError, "cross_entropy needs integer class numbers as target, got"),
    (
        "integer one-hot",
        {"target": np.eye(O, dtype=int)[CLASSES]},
        ValueError,
        CLASS_SHAPE + f'steps="all", got ({N}, {T}, {O})',
    ),
    ("an axis of one", {"target": CLASSES[..., None]}, ValueError, CLASS_SHAPE + f'steps="all", got ({N}, {T}, 1)'),
    ("one row for all", {"target": CLASSES[:1]}, ValueError, CLASS_SHAPE + f'steps="all", got (1, {T})'),
    ("last step only", {"target": CLASSES[:, 0]}, ValueError, CLASS_SHAPE + f'steps="all", got ({N},)'),
    (
        "all steps for the last",
        {"target": CLASSES, "steps": "last"},
        ValueError,
        f'expected a target of shape (N,) = ({N},) with steps="last", got ({N}, {T})',
    ),
    ("too large", {"target": with_entry(CLASSES, (1, 4), O)}, IndexError, f"target[1, 4] is {O}, {OUTSIDE}"),
    ("negative", {"target": with_entry(CLASSES, (2, 0), -1)}, IndexError, f"target[2, 0] is -1, {OUTSIDE}"),
    (
        "beyond int64",
        {"target": with_entry(CLASSES.astype(np.uint64), (0, 0), 2**63)},
        IndexError,
        f"target[0, 0] is 9223372036854775808, {OUTSIDE}",
    ),
    (
        "too large at a chosen step",
        {"target": with_entry(CLASSES, (2, [1, 5]), 99), "steps": np.isin(np.arange(T), [0, 3, 5])},
        IndexError,
        f"target[2, 5] is 99, {OUTSIDE}",
    ),
    (
        "too large within the lengths",
        {"target": with_entry(CLASSES, ([0, 2], 5), 99), "lengths": [5, 5, 6, 5]},
        IndexError,
        f"target[2, 5] is 99, {OUTSIDE}",
    ),
    (
        "too large at the last step",
        {"target": with_entry(CLASSES[:, 0], 3, 99), "steps": "last"},
        IndexError,
        f"target[3] is 99, {OUTSIDE}",
    ),
)
def test_class_targets(entry: str, changes: Batch, error: type[Exception], text: str, backend: str) -> None:
    model = make_model(loss="cross_entropy", backend=backend)
    refused(entry, model, {**make_batch(model), **changes}, error, text)


def test_tokens_have_no_gradient() -> None:
    model = make_model()
    batch = make_batch(model, tokens=True)
    with pytest.raises(TypeError, match=r"integer tokens have no gradient; call with inputs=False, or pass one-hot x"):
        model.loss_and_grads(**batch, inputs=True)


# Making and moving models.


@pytest.mark.parametrize(
    ("layers", "options", "error", "text"),
    [
        ([sr.RNN(3, 6), sr.Linear(5, 2)], {}, ValueError, "layer 0 gives 6 features, but layer 1 expects 5"),
        (
            [sr.RNN(3, 6), sr.RNN(6, 4), sr.Linear(6, 2)],
            {},
            ValueError,
            "layer 1 gives 4 features, but layer 2 expects 6",
        ),
        ([sr.Linear(3, 2)], {}, ValueError, "a SequenceModel needs at least one recurrent layer"),
        (
            [sr.RNN(3, 6), sr.Embedding(6, 2)],
            {},
            ValueError,
            "layer 1 is Embedding(input_size=6, output_size=2, init='normal(1)'), which takes integer tokens",
        ),
        ([sr.RNN(3, 6, bidirectional=True), sr.Linear(6, 2)], {}, ValueError, "layer 0 gives 12 features, but layer 1"),
        ([sr.RNN(3, 6), sr.LayerNorm(5)], {}, ValueError, "layer 0 gives 6 features, but layer 1 expects 5"),
        ([], {}, ValueError, "a SequenceModel needs at least one recurrent layer"),
        ([sr.RNN(3, 6)], {"loss": "l1"}, ValueError, "loss='l1' is not known; choose one of mse, cross_entropy"),
        ([sr.RNN(3, 6)], {"dtype": "float16"}, ValueError, 'dtype must be "float64" or "float32", got float16'),
        ([sr.RNN(3, 6)], {"dtype": int}, ValueError, 'dtype must be "float64" or "float32", got int64'),
        ([sr.RNN(3, 6)], {"backend": "jax"}, ValueError, "no backend 'jax'; choose one of numpy, numba, cupy, or auto"),
    ],
)
def test_impossible_models(layers: Any, options: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        sr.SequenceModel(layers, **options)


def test_impossible_sizes_and_rules() -> None:
    for sizes, error, text in [
        ((0, 4, 2), ValueError, "input_size must be at least 1, got 0"),
        ((3, -4, 2), ValueError, "hidden_size must be at least 1, got -4"),
        ((3, 4, 0), ValueError, "output_size must be at least 1, got 0"),
        ((3, 4.0, 2), TypeError, "hidden_size must be an integer, got 4.0"),
        (("3", 4, 2), TypeError, "input_size must be an integer, got '3'"),
    ]:
        with pytest.raises(error, match=re.escape(text)):
            sr.VanillaRNN(*sizes, backend="numpy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="init='zeros' is not known; choose one of xavier, he"):
        sr.VanillaRNN(3, 4, 2, init="zeros", backend="numpy")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(("jax",), "no backend 'jax'"), ((None, "float16"), "dtype must be"), (("jax", "float32"), "no backend")],
)
def test_a_move_that_is_refused_moves_nothing(arguments: Any, text: str) -> None:
    for architecture in ARCHITECTURES:
        model = make_model(architecture)
        params, before = model.params, model.params.vector.tobytes()
        with pytest.raises(ValueError, match=text):
            model.to(*arguments)
        assert model.params is params
        assert (model.backend, model.dtype, model.params.vector.tobytes()) == ("numpy", np.float64, before)


def test_weights_of_another_shape_are_refused() -> None:
    model = make_model()
    before = model.params.vector.tobytes()
    for name, value, error, text in [
        ("W_hh", np.zeros((H, D)), ValueError, f"W_hh has shape ({H}, {H}), got an array of shape ({H}, {D})"),
        ("b_h", 0.0, ValueError, f"b_h has shape ({H},), got an array of shape ()"),
        ("W_yh", np.zeros((H, H)), KeyError, "no parameter 'W_yh'; there are W_xh, W_hh, b_h, W_hy, b_y"),
    ]:
        with pytest.raises(error, match=re.escape(text)):
            model.params[name] = value
    assert model.params.vector.tobytes() == before


# The switch.


def test_unknown_backends_change_nothing() -> None:
    before = sr.get_backend()
    for attempt in (lambda: sr.set_backend("jax"), lambda: sr.use_backend("jax").__enter__()):
        with pytest.raises(ValueError, match=r"no backend 'jax'; choose one of numpy, numba, cupy, or auto"):
            attempt()
    assert sr.get_backend() == before


@pytest.mark.parametrize(
    ("n", "error", "text"),
    [
        (0, ValueError, "the number of threads must be at least 1, got 0"),
        (-2, ValueError, "the number of threads must be at least 1, got -2"),
        (2.0, TypeError, "the number of threads must be an integer, got 2.0"),
        ("2", TypeError, "the number of threads must be an integer, got '2'"),
        (True, TypeError, "the number of threads must be an integer, got True"),
    ],
)
def test_impossible_numbers_of_threads(n: Any, error: type[Exception], text: str) -> None:
    before = sr.get_num_threads()
    with pytest.raises(error, match=re.escape(text)):
        sr.set_num_threads(n)
    assert sr.get_num_threads() == before
