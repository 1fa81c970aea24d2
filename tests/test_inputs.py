"""What goes in as an array, what is refused, and whether the advice of a message leads on when it is followed."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import D, H, N, O, T, make_batch, make_model

import scratchrnn as sr
from scratchrnn._arrays import as_array
from scratchrnn.text import Windows, streams

rng = np.random.default_rng(0)
X = rng.normal(size=(N, T, D))
TOKENS = rng.integers(D, size=(N, T))
Y = rng.normal(size=(N, T, O))
CLASSES = rng.integers(O, size=(N, T))
H0 = rng.normal(size=(N, H))


# Advice. Each case is a call that is refused, and the expression that the message should give. The test takes the
# expression out of the message, evaluates it, and calls again, until the call is accepted.

NAMES = re.compile(r"\b(x_t|x|target|h0|lengths|steps)\b(\[\d\])?")


def follow(message: str, arguments: dict[str, Any]) -> str:
    """Change the arguments as the message advises; returns the expression."""
    scope = {**arguments, "np": np, "sr": sr}
    if said := re.search(r"say steps=(.+)$", message):
        arguments["steps"] = eval(said[1], scope)
        return said[1]
    if padding := re.search(r"pad them: (x, lengths = .+)$", message):
        exec(padding[1], scope)
        arguments |= {"x": scope["x"], "lengths": scope["lengths"]}
        return padding[1]
    advised = re.search(r"pass (.+?)(, or another value)?$", message)
    assert advised, f"no advice in {message!r}"
    expression = advised[1]
    named = NAMES.search(expression)
    assert named, expression
    name, entry = named[1], named[2]
    if entry and isinstance(arguments[name], tuple):
        states = list(arguments[name])
        states[int(entry[1:-1])] = eval(expression, scope)
        arguments[name] = tuple(states)
    else:
        arguments[name] = eval(expression, scope)
    return expression


def one_feature(**options: Any) -> Any:
    return sr.VanillaRNN(1, H, 1, backend="numpy", **options)


def vanilla(**options: Any) -> Any:
    return make_model(**options)


def classes() -> Any:
    return make_model(loss="cross_entropy")


def linear_first() -> Any:
    return make_model("linear-rnn-linear")


def embedding() -> Any:
    return make_model("embedding")


def two_layers() -> Any:
    return make_model("rnn-rnn-linear")


def one_layer() -> Any:
    return sr.SequenceModel([sr.RNN(D, H), sr.Linear(H, O)], backend="numpy")


ADVICE: list[tuple[Callable[[], Any], str, dict[str, Any], list[str]]] = [
    # Inputs.
    (vanilla, "predict", {"x": np.zeros((50, D))}, ["x[None]"]),
    (vanilla, "predict", {"x": X[0].T}, ["x.T[None]"]),
    (vanilla, "predict", {"x": X[0, 0]}, ["x[None, None]"]),
    (vanilla, "predict", {"x": X.swapaxes(1, 2)}, ["x.swapaxes(1, 2)"]),
    (vanilla, "predict", {"x": X[None]}, ["x[0]"]),
    (vanilla, "predict", {"x": TOKENS * 1.0}, ["x.astype(int)"]),
    (vanilla, "predict", {"x": TOKENS > 0}, ["x.astype(int)"]),
    (vanilla, "predict", {"x": TOKENS[0]}, ["x[None]"]),
    (vanilla, "predict", {"x": TOKENS[..., None]}, ["x[..., 0]"]),
    (vanilla, "predict", {"x": TOKENS[..., None] * 1.0}, ["x[..., 0].astype(int)"]),
    (vanilla, "predict", {"x": [[1, 2], [0]]}, ["x, lengths = sr.pad(x)"]),
    (vanilla, "predict", {"x": [[[0.5, 1, 2]], np.ones((5, 3))]}, ["x, lengths = sr.pad(x)"]),
    (vanilla, "predict", {"x": X[0].tolist()}, ["sr.to_numpy(x)[None]"]),
    (vanilla, "predict", {"x": np.ma.array(X)}, ["x.filled(0)"]),
    (vanilla, "predict", {"x": X.astype(object)}, ["sr.to_numpy(x).astype(float)"]),
    (one_feature, "predict", {"x": X[..., 0]}, ["x[..., None]"]),
    (one_feature, "predict", {"x": X[0, :, :1]}, ["x[None]"]),
    (one_feature, "predict", {"x": X[0, :, 0]}, ["x[None, :, None]"]),
    (one_feature, "predict", {"x": [0.5, 0.25, 1.0]}, ["sr.to_numpy(x)[None, :, None]"]),
    (one_feature, "predict", {"x": np.arange(2 * T).reshape(2, T)}, ["x[..., None]"]),
    (vanilla, "predict", {"x": np.arange(T * D).reshape(T, D)}, ["x[None]"]),
    (linear_first, "predict", {"x": TOKENS}, ["np.eye(3)[x]"]),
    (linear_first, "predict", {"x": np.arange(T * D).reshape(T, D)}, ["x[None]"]),
    (embedding, "predict", {"x": TOKENS * 1.0}, ["x.astype(int)"]),
    (embedding, "predict", {"x": TOKENS[0]}, ["x[None]"]),
    (embedding, "predict", {"x": TOKENS[0] * 1.0}, ["x.astype(int)[None]"]),
    (embedding, "predict", {"x": np.eye(D)[TOKENS]}, ["x.argmax(-1)"]),
    (embedding, "predict", {"x": np.eye(D, dtype=int)[TOKENS].tolist()}, ["sr.to_numpy(x).argmax(-1)"]),
    # A step of a stream.
    (vanilla, "step", {"x_t": X[0, 0]}, ["x_t[None]"]),
    (vanilla, "step", {"x_t": X[:, :1]}, ["x_t[:, 0]"]),
    (vanilla, "step", {"x_t": 2}, ["sr.to_numpy(x_t)[None]"]),
    (vanilla, "step", {"x_t": TOKENS[:, 0] * 1.0}, ["x_t.astype(int)"]),
    (one_feature, "step", {"x_t": X[:, 0, 0]}, ["x_t[..., None]"]),
    (one_feature, "step", {"x_t": 0.5}, ["sr.to_numpy(x_t)[None, None]"]),
    (linear_first, "step", {"x_t": TOKENS[:, 0]}, ["np.eye(3)[x_t]"]),
    (embedding, "step", {"x_t": np.eye(D)[TOKENS[:, 0]]}, ["x_t.argmax(-1)"]),
    # First states.
    (vanilla, "predict", {"x": X[:1], "h0": H0[0]}, ["h0[None]"]),
    (vanilla, "predict", {"x": X, "h0": H0[0]}, [f"np.broadcast_to(h0, ({N}, {H}))"]),
    (vanilla, "predict", {"x": X, "h0": H0[:1]}, [f"np.broadcast_to(h0, ({N}, {H}))"]),
    (vanilla, "predict", {"x": X, "h0": (H0,)}, ["sr.to_numpy(h0)[0]"]),
    (vanilla, "predict", {"x": X, "h0": H0.T}, ["h0.T"]),
    (vanilla, "predict", {"x": X, "h0": np.ma.array(H0)}, ["h0.filled(0)"]),
    (one_layer, "predict", {"x": X, "h0": H0}, ["(h0,)"]),
    (two_layers, "predict", {"x": X, "h0": (np.zeros((N, 8)), H0[0])}, [f"np.broadcast_to(h0[1], ({N}, {H}))"]),
    (two_layers, "predict", {"x": X, "h0": (np.zeros((N, 8)), np.ma.array(H0))}, ["h0[1].filled(0)"]),
    # Lengths.
    (vanilla, "predict", {"x": X, "lengths": np.full(N, 3.0)}, ["lengths.astype(int)"]),
    (vanilla, "predict", {"x": X, "lengths": [3.0] * N}, ["sr.to_numpy(lengths).astype(int)"]),
    (vanilla, "predict", {"x": X, "lengths": 3}, [f"np.full({N}, sr.to_numpy(lengths))"]),
    (vanilla, "predict", {"x": X, "lengths": np.full((N, 1), 3)}, ["lengths[:, 0]"]),
    (vanilla, "predict", {"x": X, "lengths": np.arange(T) < np.array([[3], [1], [7], [5]])}, ["lengths.sum(-1)"]),
    # Steps.
    (vanilla, "predict", {"x": X, "steps": [0, 3]}, [f"np.isin(np.arange({T}), sr.to_numpy(steps))"]),
    (vanilla, "predict", {"x": X, "steps": np.eye(N, T)}, ["steps.astype(bool)"]),
    (vanilla, "predict", {"x": X, "steps": np.ones((T, N), bool)}, ["steps.T"]),
    (vanilla, "predict", {"x": X, "steps": np.ones((N, T, 1), bool)}, ["steps[..., 0]"]),
    (vanilla, "predict", {"x": X, "steps": None}, ['"all"']),
    (vanilla, "predict", {"x": X, "steps": np.ma.array(np.ones(T, bool))}, ["steps.filled(0)"]),
    # Targets.
    (vanilla, "loss", {"x": X, "target": Y[:, -1]}, ['"last"']),
    (vanilla, "loss", {"x": X, "target": Y, "steps": "last"}, ["target[:, -1]"]),
    (vanilla, "loss", {"x": X[0], "target": Y[0]}, ["x[None]", "target[None]"]),
    (vanilla, "loss", {"x": X, "target": np.where(Y > 1, np.nan, Y)}, ["np.isfinite(target).all(-1)"]),
    (vanilla, "loss", {"x": X, "target": np.ma.array(Y)}, ["target.filled(0)"]),
    (one_feature, "loss", {"x": X[..., :1], "target": Y[..., 0]}, ["target[..., None]"]),
    (
        one_feature,
        "loss",
        {"x": X[..., 0], "target": Y[:, 0, 0], "steps": "last"},
        ["x[..., None]", "target[..., None]"],
    ),
    (one_feature, "loss", {"x": X[0, :, 0], "target": Y[0, :, 0]}, ["x[None, :, None]", "target[None, :, None]"]),
    (classes, "loss", {"x": X, "target": np.eye(O)[CLASSES]}, ["target.argmax(-1)"]),
    (classes, "loss", {"x": X, "target": np.eye(O, dtype=int)[CLASSES]}, ["target.argmax(-1)"]),
    (classes, "loss", {"x": X, "target": CLASSES * 1.0}, ["target.astype(int)"]),
    (classes, "loss", {"x": X, "target": CLASSES[..., None]}, ["target[..., 0]"]),
    (classes, "loss", {"x": X, "target": CLASSES[..., None] * 1.0}, ["target[..., 0].astype(int)"]),
    (classes, "loss", {"x": X, "target": CLASSES[:, -1]}, ['"last"']),
    (classes, "loss", {"x": X, "target": CLASSES, "steps": "last"}, ["target[:, -1]"]),
    (classes, "loss", {"x": X, "target": CLASSES * 1.0, "steps": "last"}, ["target[:, -1].astype(int)"]),
    (classes, "loss", {"x": X[0], "target": CLASSES[0]}, ["x[None]", "target[None]"]),
    (classes, "loss", {"x": X, "target": np.where(CLASSES > 2, -100, CLASSES)}, ["target >= 0"]),
    (classes, "loss", {"x": X, "target": np.where(CLASSES > 2, -1, CLASSES).tolist()}, ["sr.to_numpy(target) >= 0"]),
]


@pytest.mark.parametrize(
    ("make", "entry", "arguments", "expressions"), ADVICE, ids=[str(i) for i in range(len(ADVICE))]
)
def test_advice_leads_on(make: Any, entry: str, arguments: dict[str, Any], expressions: list[str]) -> None:
    model, arguments, followed = make(), dict(arguments), []
    for _ in range(len(expressions)):
        with pytest.raises((TypeError, ValueError, IndexError)) as caught:
            getattr(model, entry)(**arguments)
        followed.append(follow(str(caught.value), arguments))
    assert followed == expressions
    getattr(model, entry)(**arguments)


def test_an_advised_sequence_is_the_right_one() -> None:
    """A series of 50 steps is one sequence of 50 steps, not 50 sequences."""
    model, x = make_model(), np.random.default_rng(1).normal(size=(50, D))
    with pytest.raises(ValueError, match=re.escape("for one sequence pass x[None]")):
        model.predict(x, "all")
    assert model.predict(x[None], "all").shape == (1, 50, O)


@pytest.mark.parametrize("x", [X[..., 0], X[..., :2], X[None, None], np.zeros((0, 3))], ids=["2", "D", "axes", "empty"])
def test_no_advice_where_none_would_help(x: Any) -> None:
    for architecture in ("vanilla", "linear-rnn-linear", "embedding"):
        with pytest.raises((TypeError, ValueError)) as caught:
            make_model(architecture)(x)
        assert "pass" not in str(caught.value)


def test_gradients_of_tokens() -> None:
    """One-hot floats are advised to a model that takes them, and not to one that does not."""
    model = make_model()
    batch = make_batch(model, tokens=True)
    with pytest.raises(TypeError) as caught:
        model.loss_and_grads(**batch, inputs=True)
    x = eval(str(caught.value).rpartition(": ")[2], {"np": np, "x": batch["x"]})
    assert model.loss_and_grads(**{**batch, "x": x}, inputs=True).grads_x.shape == (N, T, D)

    model = make_model("embedding")
    with pytest.raises(TypeError) as caught:
        model.loss_and_grads(**make_batch(model), inputs=True)
    assert str(caught.value) == "integer tokens have no gradient; call with inputs=False"


FIT: dict[str, Any] = {"epochs": 1, "batch_size": 3, "progress": False}


@pytest.mark.parametrize(
    ("arguments", "text", "change"),
    [
        ({"truncate": 3, "steps": "last", "target": Y[:, -1]}, 'use steps="all"', {"steps": "all", "target": Y}),
        ({"truncate": 3, "steps": "last", "target": Y[:, -1]}, "or no truncate", {"truncate": None}),
        ({"stateful": True}, "truncate=K", {"truncate": 3}),
        ({"optimizer": "adam"}, "Adam(1e-3)", {"optimizer": sr.Adam(1e-3)}),
        ({"regularizer": 0.1}, "Omega(0.1)", {"regularizer": sr.Omega(0.1)}),
    ],
)  # fmt: skip
def test_advice_of_fit(arguments: dict[str, Any], text: str, change: dict[str, Any]) -> None:
    given: dict[str, Any] = {"x": X, "target": Y, **FIT, **arguments}
    with pytest.raises((TypeError, ValueError), match=re.escape(text)):
        sr.fit(make_model(), **given)
    sr.fit(make_model(), **{**given, **change})


def test_advice_of_sampling_and_text() -> None:
    vocabulary = sr.Vocabulary("to be")
    V = len(vocabulary)
    both = sr.SequenceModel([sr.RNN(V, H, bidirectional=True), sr.Linear(2 * H, V)], backend="numpy")
    with pytest.raises(ValueError, match='use mode="window"'):
        sr.sample(both, vocabulary, "to", 3)
    assert len(sr.sample(both, vocabulary, "to", 3, mode="window")) == 5
    with pytest.raises(ValueError, match='window is for mode="window"'):
        sr.sample(sr.VanillaRNN(V, H, V), vocabulary, "to", 3, window=2)
    with pytest.raises(ValueError, match="it needs at least 4, or fewer rows"):
        streams(np.arange(3), 3)
    assert streams(np.arange(4), 3)[0].shape == (3, 1) and streams(np.arange(3), 2)[0].shape == (2, 1)
    with pytest.raises(ValueError, match="it needs at least 4, or shorter windows"):
        Windows(np.arange(3), 3)
    assert len(Windows(np.arange(4), 3)) == len(Windows(np.arange(3), 2)) == 1
    with pytest.raises(TypeError, match=re.escape("pass vocabulary.encode(text)")):
        Windows("to be or not", 3)
    assert len(Windows(vocabulary.encode("to be"), 3)) == 1


def encoder_decoder() -> Any:
    encoder = sr.SequenceModel([sr.RNN(D, H)], backend="numpy")
    decoder = sr.SequenceModel([sr.RNN(O + 1, H), sr.Linear(H, O)], loss="cross_entropy", backend="numpy")
    return sr.EncoderDecoder(encoder, decoder, T)


def test_advice_about_an_encoder_decoder() -> None:
    model = encoder_decoder()
    with pytest.raises(TypeError, match="with x=model.shifted") as caught:
        sr.gradient_flow(model, X, CLASSES)
    x, h0 = re.findall(r"x=(.+) and h0=(.+)$", str(caught.value))[0]
    scope = {"model": model, "x": X, "target": CLASSES}
    flow = sr.gradient_flow(model.decoder, eval(x, scope), CLASSES, h0=eval(h0, scope), progress=False)
    assert flow.loss == pytest.approx(model.loss(X, CLASSES), rel=1e-12)
    with pytest.raises(TypeError, match="check model.encoder and model.decoder"):
        sr.check_gradients(model, X, CLASSES)
    assert sr.check_gradients(model.decoder, model.shifted(CLASSES), CLASSES, progress=False)
    with pytest.raises(TypeError, match="of an EncoderDecoder pass its encoder or its decoder"):
        sr.jacobian_spectrum(model, X)
    assert sr.jacobian_spectrum(model.encoder, X).log10.shape == (T + 1, H)
    for target, expression in (
        (CLASSES * 1.0, "target.astype(int)"),
        ((CLASSES * 1.0).tolist(), "sr.to_numpy(target)."),
    ):
        arguments = {"x": X, "target": target}
        with pytest.raises(TypeError, match="the target must be integer symbols, got float64") as caught:
            model.loss(**arguments)
        assert follow(str(caught.value), arguments).startswith(expression)
        model.loss(**arguments)
    with pytest.raises(TypeError) as caught:
        model.loss(X, CLASSES + 0.5)
    assert "pass" not in str(caught.value)
    with pytest.raises(ValueError, match=r"pass copy.deepcopy\(encoder\)"):
        sr.EncoderDecoder(model.encoder, encoder_decoder().decoder, T)
    parts = copy.deepcopy(model.encoder), copy.deepcopy(model.decoder)
    assert sr.EncoderDecoder(*parts, T).loss(X, CLASSES) == model.loss(X, CLASSES)


def test_advice_about_calls() -> None:
    model, batch = make_model(), make_batch(make_model())
    with pytest.raises(ValueError, match="saturation=True"):
        _ = model.loss_and_grads(**batch).flow.layers[0].saturated
    assert model.loss_and_grads(**batch, saturation=True).flow.layers[0].saturated.shape == (T,)
    with pytest.raises(ValueError, match="at least one recurrent layer, such as RNN"):
        sr.SequenceModel([sr.Linear(D, O)])
    with pytest.raises(TypeError, match=r"rng must be a generator such as np.random.default_rng\(0\)"):
        model.loss_and_grads(**batch, rng=0)
    assert model.loss_and_grads(**batch, rng=np.random.default_rng(0)).loss > 0
    with pytest.raises(TypeError, match=re.escape('pass model.params["W_hh"]')):
        sr.lyapunov_spectrum(model)
    assert len(sr.lyapunov_spectrum(model.params["W_hh"], steps=20).exponents) == H


# Arrays with a meaning of their own.


def masked(array: Any) -> Any:
    return np.ma.array(array)


ENTRIES: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "forward": lambda model, b: model.forward(b["x"], b["h0"], b["lengths"]),
    "predict": lambda model, b: model.predict(b["x"], b["steps"], h0=b["h0"], lengths=b["lengths"]),
    "loss": lambda model, b: model.loss(**b),
    "loss_and_grads": lambda model, b: model.loss_and_grads(**b),
    "check_gradients": lambda model, b: sr.check_gradients(model, **b, progress=False),
    "gradient_flow": lambda model, b: sr.gradient_flow(model, **b, progress=False),
    "omega": lambda model, b: sr.Omega(1.0).measure(model, **b),
    "fit": lambda model, b: sr.fit(model, **{k: v for k, v in b.items() if k != "h0"}, **FIT),
    "validation": lambda model, b: sr.fit(
        model, X, Y, validation={k: v for k, v in b.items() if k != "h0"}, **FIT
    ),
}  # fmt: skip


UNUSED = {
    *(("forward", name) for name in ("target", "steps")),
    *(("predict", "target"), ("fit", "h0"), ("validation", "h0")),
}
TAKEN = [(e, name) for e in ENTRIES for name in ("x", "target", "h0", "lengths", "steps") if (e, name) not in UNUSED]


@pytest.mark.parametrize("mask", [False, True], ids=["no mask", "mask"])
@pytest.mark.parametrize(("entry", "name"), TAKEN)
def test_masked_arrays_are_refused(entry: str, name: str, mask: bool) -> None:
    model = make_model()
    batch = {**make_batch(model, "mask (N, T)"), "lengths": np.array([5, 7, 4, 6])}
    batch[name] = np.ma.array(batch[name])
    if mask:
        batch[name].flat[1] = np.ma.masked
    before = model.params.vector.tobytes()
    with pytest.raises(TypeError, match=rf"^{name} is a masked array, .*pass {name}.filled\(0\)"):
        ENTRIES[entry](model, batch)
    assert model.params.vector.tobytes() == before


def test_masks_are_found_in_lists_and_elsewhere() -> None:
    model, text = make_model(), "is a masked array"
    row = np.ma.array(X[0], mask=X[0] > 1)
    for call in (
        lambda: model([row] * N),
        lambda: model([[[0.5, np.ma.masked, 1.0]]]),
        lambda: model.params.__setitem__("b_h", np.ma.zeros(H)),
        lambda: setattr(model.params, "vector", np.ma.array(model.params.vector)),
        lambda: model.step(masked(X[:, 0])),
        lambda: sr.jacobian_spectrum(model, masked(X)),
        lambda: sr.lyapunov_spectrum(masked(np.eye(3))),
        lambda: sr.lyapunov_spectrum(np.eye(3), masked(np.zeros(3))),
        lambda: sr.lyapunov_spectrum(np.eye(3), h0=masked(np.zeros(3))),
        lambda: sr.lyapunov_spectrum(np.eye(3), steps=5, discard=0, drive=masked(np.zeros((5, 3)))),
        lambda: sr.fixed_points(masked(np.eye(3))),
        lambda: sr.clip_by_global_norm(masked(np.ones(3)), 1.0),
        lambda: sr.clip_by_value({"W": masked(np.ones(3))}, 1.0),
        lambda: sr.global_norm([masked(np.ones(3))]),
        lambda: sr.to_numpy(masked(np.ones(3))),
        lambda: sr.Vocabulary("ab").decode(masked([0, 1])),
        lambda: streams(masked(np.arange(9)), 2),
        lambda: Windows(masked(np.arange(9)), 2),
        lambda: sr.pad([masked(np.arange(9.0))]),
        lambda: sr.windows(masked(np.arange(9.0)), 2),
    ):
        with pytest.raises(TypeError, match=text):
            call()


class Quantity(np.ndarray):
    """An array with a unit, as those of astropy and unyt: its arithmetic is its own."""

    def __array_ufunc__(self, *arguments: Any, **options: Any) -> Any:
        raise AssertionError("a unit was used")


class Labelled(np.ndarray):
    """An array that only carries something more."""


def test_arrays_with_units_are_refused_and_other_subclasses_are_read(tmp_path: Path) -> None:
    model = make_model()
    expected = model(X)
    with pytest.raises(TypeError, match=r"x is a Quantity, .*; pass x.view\(np.ndarray\)"):
        model(X.view(Quantity))
    mapped = np.memmap(tmp_path / "x", X.dtype, "w+", shape=X.shape)
    mapped[...] = X
    record = X.view(np.recarray)
    for x in (X.view(Quantity).view(np.ndarray), X.view(Labelled), mapped, record, X.astype(">f8"), X.tolist()):
        np.testing.assert_array_equal(model(x), expected)
        assert type(model(x)) is np.ndarray
    h0 = np.random.default_rng(3).normal(size=(N, H))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # NumPy's, of matrices
        matrix, sequence = np.matrix(h0), np.matrix(X[0])
    np.testing.assert_array_equal(model.forward(X, matrix).y, model.forward(X, h0).y)
    with pytest.raises(ValueError, match=re.escape("for one sequence pass sr.to_numpy(x)[None]")):
        model(sequence)
    assert model(sr.to_numpy(sequence)[None]).shape == (1, T, O)
    structured = np.zeros((N, T, D), [("a", float)])
    with pytest.raises(TypeError, match="x must be an array of real numbers, got "):
        model(structured)


# Arrays of other libraries.


class Foreign:
    """Something that NumPy reads as an array, and that has a gather, as a PyTorch tensor has, and a params."""

    params: Any = {}

    def __init__(self, array: Any) -> None:
        self._array = np.array(array)
        self._array.flags.writeable = False

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._array if dtype is None else self._array.astype(dtype)

    def __len__(self) -> int:
        return len(self._array)

    def gather(self, *arguments: Any) -> Any:
        raise AssertionError("an array was taken for a batch source")


def results(model: Any, convert: Callable[[Any], Any], tables: bool) -> list[Any]:
    """What a model makes of arrays that are converted. tables: those alone that have one or two axes."""
    own: Callable[[Any], Any] = np.asarray if tables else convert
    lengths, mask = convert(np.array([5, 7, 4, 6])), convert(np.eye(N, T, 2) > 0)
    target = np.random.default_rng(4).normal(size=(N, O))
    h0 = convert(H0)
    r = model.loss_and_grads(own(X), convert(target), h0, "last", lengths)
    model.params["W_hh"] = convert(np.random.default_rng(5).normal(size=(H, H)))
    model.params["b_h"] = convert(np.random.default_rng(5).normal(size=H))
    history = sr.fit(
        model, convert(TOKENS), convert(target), steps="last", lengths=lengths, **FIT,
        validation={"x": convert(TOKENS), "target": own(Y), "steps": mask, "lengths": None},
    )  # fmt: skip
    sr.fit(model, own(X), convert(target), steps="last", validation=(own(X), convert(target)), **FIT)
    W = model.params["W_hh"]
    return [
        r.loss, r.grads.vector, r.grads_h0, history.loss, history.val_loss, model.params.vector,
        model.predict(own(X), mask, h0=h0), model.step(convert(X[:, 0]), h0)[0],
        model.predict([convert(row) for row in X], "all"),
        sr.lyapunov_spectrum(convert(W), convert(np.zeros(H)), steps=20, discard=1).exponents,
        [point.h for point in sr.fixed_points(convert(W), starts=3)],
        sr.global_norm(convert(W)), sr.to_numpy(convert(W)),
        streams(convert(np.arange(9)), 2)[0], Windows(convert(np.arange(9)), 3).gather(np.arange(2))[0],
        sr.Vocabulary("abc").decode(convert(np.array([2, 0]))) == "ca",
        *sr.pad([convert(X[0]), convert(X[1, :2])]), *sr.windows(convert(X[0]), 3),
    ]  # fmt: skip


def same(convert: Callable[[Any], Any], backend: str, tables: bool = False) -> None:
    expected = results(make_model(backend=backend), np.asarray, tables)
    got = results(make_model(backend=backend), convert, tables)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12 if tables else 0)  # columns of a table may lie side by side


def test_anything_that_numpy_reads_goes_in(backend: str) -> None:
    same(Foreign, backend)


@pytest.mark.parametrize("gradient", [False, True], ids=["values", "requires_grad"])
def test_torch_tensors_go_in(torch: Any, gradient: bool, backend: str) -> None:
    def tensor(array: Any) -> Any:
        converted = torch.tensor(np.asarray(array))
        return converted.requires_grad_() if gradient and converted.is_floating_point() else converted

    same(tensor, backend)


def frame(library: Any, array: Any) -> Any:
    """A frame of an array with two axes, a series of one with one."""
    array = np.asarray(array)
    if array.ndim == 1:
        return library.Series(array)
    return library.DataFrame({f"column {i}": column for i, column in enumerate(array.T)})


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_frames_and_series_go_in(name: str, backend: str) -> None:
    library = pytest.importorskip(name, reason=f"{name} is not installed: pip install {name}")
    same(lambda array: frame(library, array), backend, tables=True)


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_frames_that_hold_no_numbers_are_refused(name: str) -> None:
    library = pytest.importorskip(name, reason=f"{name} is not installed: pip install {name}")
    model = make_model()
    cities = library.DataFrame({"a": [0.5] * N, "city": ["Ulm", "Bonn", "Kiel", "Trier"]})
    with pytest.raises(
        TypeError, match=re.escape("h0 must be an array of real numbers, got object: h0[0, 1] is 'Ulm'")
    ):
        model.forward(X, cities)
    gaps = library.DataFrame({f"h{i}": [0.5, None, 1.0, 2.0] for i in range(H)})
    with pytest.raises(ValueError, match=re.escape("h0[1, 0] is nan")):
        model.forward(X, gaps)
    series = frame(library, X[0])
    with pytest.raises(ValueError, match=re.escape("for one sequence pass sr.to_numpy(x)[None]")):
        model.predict(series)
    assert model.predict(sr.to_numpy(series)[None], "last").shape == (1, O)


def test_what_torch_does_not_give_away_is_refused(torch: Any) -> None:
    model = make_model()
    x = torch.tensor(X)
    for value, text in [
        (x.to("meta"), r"x is a tensor on the device meta; pass x.cpu\(\)"),
        (x.to_sparse(), "x is a Tensor, which NumPy cannot read as an array: .*to_dense"),
        (x[..., 0], r"got float64 of shape \(4, 7\)$"),
    ]:
        with pytest.raises((TypeError, ValueError), match=text):
            model(value)
    with pytest.raises(ValueError, match=re.escape("for one sequence pass sr.to_numpy(x)[None]")):
        model(x[0].requires_grad_())
    data = torch.utils.data.TensorDataset(x, torch.tensor(Y))
    with pytest.raises(
        TypeError, match=re.escape("x must be an array, got a TensorDataset; pass its arrays: x, target")
    ):
        sr.fit(model, data, torch.tensor(Y), **FIT)
    with pytest.raises(TypeError, match=re.escape("pass its arrays: x, target = x.tensors")):
        sr.fit(model, data, **FIT)
    sr.fit(model, *data.tensors, **FIT)
    with pytest.raises(TypeError, match="x must be an array, got a DataLoader"):
        sr.fit(model, torch.utils.data.DataLoader(data), **FIT)
    weights = [torch.nn.Parameter(torch.ones(3))]
    with pytest.raises(TypeError, match="optimizer must be an object such as Adam"):
        sr.fit(model, X, Y, optimizer=torch.optim.Adam(weights), **FIT)
    gradient = torch.full((4,), 3.0)
    with pytest.raises(TypeError, match="gradients must be arrays of floats, got Tensor"):
        sr.clip_by_global_norm(gradient, 1.0)
    assert sr.clip_by_global_norm(sr.to_numpy(gradient), 1.0) == 6
    assert gradient.norm().item() == pytest.approx(1.0)


# Batch sources.


class Lists:
    """A batch source that gives lists."""

    def __len__(self) -> int:
        return N

    def gather(self, rows: np.ndarray) -> Any:
        return X[rows].tolist(), Y[rows].tolist()


class Gives(Lists):
    """A batch source that gives what it is told to."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def gather(self, rows: np.ndarray) -> Any:
        return self.given


def test_a_source_of_lists_trains_as_arrays_do() -> None:
    for truncate in (None, 3):
        first, second = make_model(), make_model()
        history = sr.fit(first, Lists(), truncate=truncate, **FIT)
        assert history.loss == sr.fit(second, X, Y, truncate=truncate, **FIT).loss
        assert first.params == second.params


@pytest.mark.parametrize(
    ("source", "error", "text"),
    [
        (Gives(X), TypeError, "gather of Gives must return x and target, got ndarray"),
        (Gives((X, Y, 0)), TypeError, "gather of Gives must return x and target, got tuple"),
        (Gives((np.ma.array(X), Y)), TypeError, "gather of Gives: x is a masked array"),
        (Gives((X, [["a"]])), TypeError, "gather of Gives: target must be an array of real numbers"),
        (Gives((0.5, Y)), ValueError, "gather of Gives gave x of shape ()"),
        (Windows, TypeError, "expected an object, got the class Windows; make one: Windows(…)"),
        (type("Endless", (), {"gather": Lists.gather})(), TypeError, "but Endless has no __len__"),
    ],
)
def test_sources_that_give_something_else_are_refused(source: Any, error: type[Exception], text: str) -> None:
    model = make_model()
    before = model.params.vector.tobytes()
    for truncate in (None, 3):
        with pytest.raises(error, match=re.escape(text)):
            sr.fit(model, source, truncate=truncate, **FIT)
    assert model.params.vector.tobytes() == before


# Arguments of the wrong kind, and in the wrong order.


def models() -> dict[str, Any]:
    vocabulary = sr.Vocabulary("to be")
    V = len(vocabulary)
    writer = sr.VanillaRNN(V, H, V, loss="cross_entropy", backend="numpy")
    return {"model": make_model(), "vocabulary": vocabulary, "writer": writer}


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("sr.save('m.npz', model)", "the model comes first: save(model, path)"),
        ("sr.save(model, model)", "path must be the name of a file or a binary file object, got VanillaRNN"),
        ("sr.save(X, 'm.npz')", "got ndarray"),
        ("sr.load(model)", "path must be the name of a file or a binary file object, got VanillaRNN"),
        ("sr.fit(X, Y, model, epochs=1)", "fit takes the model first: fit(model, x, target, epochs=…)"),
        ("sr.fit(X, model, Y, epochs=1)", "fit takes the model first"),
        ("sr.fit(X, Y, epochs=1)", "fit trains a SequenceModel, a VanillaRNN or an EncoderDecoder, got ndarray"),
        ("sr.fit(sr.VanillaRNN, X, Y, epochs=1)", "fit takes a model, got the class VanillaRNN"),
        ("sr.fit(model, {'a': X}, Y, epochs=1)", "x must be an array, got a dict"),
        ("sr.fit(model, X, Y, epochs=1, optimizer=0.1)", "optimizer must be an object such as Adam(1e-3), got 0.1"),
        ("sr.sample(vocabulary, writer, 'to', 3)", "sample takes the model first: sample(model, vocabulary, prompt"),
        ("sr.sample(writer, 'to', vocabulary, 3)", "takes a Vocabulary, got str; make one: Vocabulary(text)"),
        ("sr.sample(3, vocabulary, 'to', 3)", "takes a SequenceModel or VanillaRNN, got int"),
        ("sr.check_gradients(X, Y, model)", "check_gradients takes the model first"),
        ("sr.check_gradients(X, Y, X)", "got ndarray"),
        ("sr.gradient_flow(X, Y, model)", "gradient_flow takes the model first"),
        ("sr.jacobian_spectrum(X, model)", "jacobian_spectrum takes the model first: jacobian_spectrum(model, x)"),
        ("sr.jacobian_spectrum(sr.VanillaRNN, X)", "got the class VanillaRNN; make one: VanillaRNN(…)"),
        ("sr.lyapunov_spectrum(model)", 'pass model.params["W_hh"]'),
        ("sr.fixed_points(model)", 'pass model.params["W_hh"]'),
        ("sr.fixed_points('W_hh')", "W_hh must be an array of real numbers, got <U4"),
        ("sr.Omega(0.1).measure(X, Y, model)", "got ndarray"),
        (
            "sr.EncoderDecoder(sr.RNN(3, 4), sr.RNN(3, 4), 5)",
            "the encoder must be a SequenceModel, got RNN; wrap layers",
        ),
        ("sr.EncoderDecoder(model, [sr.RNN(3, 4)], 5)", "the decoder must be a SequenceModel, got list"),
        ("sr.EncoderDecoder(sr.SequenceModel, model, 5)", "got the class SequenceModel"),
        ("sr.SequenceModel(sr.RNN(3, 4))", "SequenceModel takes a list of layers"),
        ("sr.SequenceModel([model])", "a layer is an object such as RNN(4, 16)"),
        ("sr.Adam('0.1')", "learning_rate must be a number, got '0.1'"),
        ("sr.SGD([0.1])", "learning_rate must be a number, got [0.1]"),
        ("streams('to be', 2)", "got the text itself; pass vocabulary.encode(text)"),
        ("Windows({1, 2}, 1)", "ids must be an array, got a set"),
        ("model([X, [None]])", "x must be one array, but its rows differ in shape"),
    ],
)
def test_arguments_of_the_wrong_kind_are_named(call: str, text: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    scope = {"sr": sr, "X": X, "Y": Y, "streams": streams, "Windows": Windows, **models()}
    with pytest.raises((TypeError, ValueError)) as caught:
        eval(call, scope)
    assert text in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_windows_over_a_list() -> None:
    x, target = Windows([4, 1, 3, 0, 2], 2).gather(np.array([1]))
    assert x.tolist() == [[3, 0]] and target.tolist() == [[0, 2]]
    for ids in (np.zeros((2, 3), int), np.zeros(9)):
        with pytest.raises(ValueError, match="expected integer ids of shape"):
            Windows(ids, 2)


def test_memory_is_shared_with_what_numpy_can_read() -> None:
    array = np.zeros((2, 3))
    assert as_array("x", array) is array and sr.to_numpy(array) is array
    foreign = Foreign(array)
    assert np.shares_memory(sr.to_numpy(foreign), foreign._array)


def test_tensors_of_half_the_digits_go_in(torch: Any) -> None:
    assert sr.to_numpy(torch.tensor([[0.5, -3.0]], dtype=torch.bfloat16)).tolist() == [[0.5, -3.0]]
