"""Copies and assignments keep the link between a model's parameters and the vector that holds them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ARCHITECTURES, OF_TOKENS, make_batch, make_model

import scratchrnn as sr

COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "copy of a copy": lambda thing: copy.deepcopy(pickle.loads(pickle.dumps(copy.deepcopy(thing)))),
}


def translator(seed: int = 0, backend: str = "numpy") -> Any:
    encoder = sr.SequenceModel([sr.Embedding(6, 4), sr.RNN(4, 5)], backend=backend, seed=seed)
    decoder = sr.SequenceModel([sr.RNN(4, 5), sr.Linear(5, 3)], loss="cross_entropy", backend=backend, seed=seed + 1)
    return sr.EncoderDecoder(encoder, decoder, length=7)


def pairs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(6, size=(4, 8)), rng.integers(3, size=(4, 7))


def trained(model: Any, **options: Any) -> list[float]:
    return sr.fit(model, *pairs(), epochs=20, progress=False, **options).loss


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_of_an_encoder_decoder_trains_like_the_original(copied: Any, tmp_path: Path, backend: str) -> None:
    original = translator(backend=backend)
    before = original.params.vector.copy()
    other = copied(original)
    losses = trained(other)
    assert losses[-1] < 0.8 * losses[0]
    assert (original.params.vector == before).all()
    assert trained(original) == losses and original.params == other.params
    assert other.loss(*pairs()) == original.loss(*pairs())
    sr.save(other, tmp_path / "model.npz")  # what is saved is what it computes with
    assert sr.load(tmp_path / "model.npz", backend=backend).loss(*pairs()) == other.loss(*pairs())


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *OF_TOKENS])
def test_a_copy_of_a_model_trains_like_the_original(architecture: str, copied: Any) -> None:
    original = make_model(architecture)
    other = copied(original)
    batch = make_batch(original)
    for model in (original, other):
        sr.fit(model, batch["x"], batch["target"], epochs=3, batch_size=3, progress=False)
    assert other.params == original.params and not np.shares_memory(other.params.vector, original.params.vector)
    assert other.loss(**batch) == original.loss(**batch)


def test_a_shallow_copy_of_an_encoder_decoder_leaves_the_original_whole() -> None:
    original, expected = translator(), translator()
    shared = copy.copy(original)
    assert shared.params is original.params
    assert trained(original) == trained(expected)
    assert shared.loss(*pairs()) == original.loss(*pairs()) == expected.loss(*pairs())


def test_an_encoder_decoder_and_its_parts_stay_together_in_one_copy() -> None:
    model = translator()
    other, encoder, decoder = copy.deepcopy([model, model.encoder, model.decoder])
    assert other.encoder is encoder and other.decoder is decoder
    trained(other)
    size = encoder.params.vector.size
    assert (encoder.params.vector == other.params.vector[:size]).all()
    assert (decoder.params.vector == other.params.vector[size:]).all()


def test_a_model_is_part_of_one_encoder_decoder_only() -> None:
    model = translator()
    spare = translator()
    for encoder, decoder, which in (
        (model.encoder, copy.deepcopy(spare.decoder), "encoder"),
        (copy.deepcopy(spare.encoder), model.decoder, "decoder"),
    ):
        with pytest.raises(ValueError, match=rf"this {which} is already part of an EncoderDecoder.*copy.deepcopy"):
            sr.EncoderDecoder(encoder, decoder, 7)
    again = sr.EncoderDecoder(copy.deepcopy(model.encoder), copy.deepcopy(model.decoder), 7)  # the advice
    assert trained(again) == trained(model)
    both = sr.SequenceModel([sr.RNN(4, 5), sr.Linear(5, 3)], loss="cross_entropy", backend="numpy")
    with pytest.raises(ValueError, match="must be two models, got the same one twice"):
        sr.EncoderDecoder(both, both, 7)


def test_parameters_of_a_part_are_assigned_into_the_whole() -> None:
    model, other = translator(), translator(seed=5)
    model.encoder.params = other.encoder.params
    model.decoder.params = dict(other.decoder.params)  # any mapping with these names
    assert model.params == other.params and model.loss(*pairs()) == other.loss(*pairs())
    assert not np.shares_memory(model.params.vector, other.params.vector)
    assert trained(model) == trained(other)
    model.params = translator(seed=9).params
    assert model.encoder.params == translator(seed=9).encoder.params


def test_a_part_is_moved_with_the_whole() -> None:
    model = translator()
    with pytest.raises(ValueError, match="is a part of an EncoderDecoder"):
        model.encoder.to("numpy", "float32")
    assert model.to(None, "float32").encoder.dtype == model.decoder.dtype == model.params.vector.dtype == np.float32
    with pytest.raises(ValueError, match="fortran"):
        model.to("fortran")
    with pytest.raises(AttributeError):
        model.encoder = translator().encoder
    losses = trained(model)
    assert losses[-1] < 0.95 * losses[0]


def test_assigning_the_vector_copies_into_it(backend: str) -> None:
    model, expected = make_model(backend=backend), make_model(backend=backend)
    batch = make_batch(model)
    memory, gradient = model.params.vector, model.loss_and_grads(**batch).grads.vector
    model.params.vector = model.params.vector - 0.05 * gradient
    expected.params.vector[:] -= 0.05 * gradient
    assert model.params.vector is memory and model.params == expected.params
    model.params.vector -= 0.05 * gradient  # assigns the vector to itself
    expected.params.vector[:] -= 0.05 * gradient
    assert (model.params["W_hh"] == expected.params["W_hh"]).all() and model.params == expected.params
    data: dict[str, Any] = {"epochs": 3, "batch_size": 3, "progress": False}
    for each in (model, expected):
        sr.fit(each, batch["x"], batch["target"], **data)
    assert model.params == expected.params and model.loss(**batch) == expected.loss(**batch)


def test_what_does_not_fit_the_vector_is_refused() -> None:
    model = make_model()
    before = model.params.vector.copy()
    with pytest.raises(
        ValueError, match=r"the vector of these parameters has shape \(.*\), got an array of shape \(3,"
    ):
        model.params.vector = np.zeros(3)
    with pytest.raises(TypeError, match="holds real numbers, got an array of complex128"):
        model.params.vector = np.zeros(before.size, complex)
    with pytest.raises(ValueError, match="missing or unknown: W_hh"):
        model.params = {name: array for name, array in model.params.items() if name != "W_hh"}
    shapes = {name: np.full(array.shape, 9.0) for name, array in model.params.items()} | {"b_y": np.zeros(1)}
    with pytest.raises(ValueError, match="b_y has shape"):
        model.params = shapes
    with pytest.raises(TypeError, match="params must be Parameters or a mapping of arrays, got ndarray"):
        model.params = before
    assert (model.params.vector == before).all()


def test_a_copy_of_parameters_has_memory_of_its_own() -> None:
    params = make_model().params
    for copied in (copy.copy(params), copy.deepcopy(params), pickle.loads(pickle.dumps(params)), params.copy()):
        assert copied == params and not np.shares_memory(copied.vector, params.vector)
        copied["b_h"] = 3.0 + copied["b_h"]
        assert copied != params and (copied.vector != params.vector).sum() == copied["b_h"].size


def test_parameters_take_the_values_of_any_real_dtype() -> None:
    model = make_model(dtype="float32")
    model.params.vector = np.arange(model.params.vector.size)
    assert model.params.vector.dtype == np.float32 and model.params["W_xh"][0, 1] == 1


def test_a_history_is_copied_with_all_it_needs() -> None:
    model = make_model("deep")
    batch = make_batch(model)
    data = {"x": batch["x"], "target": batch["target"], "batch_size": 3, "progress": False}
    whole = copy.deepcopy(model)
    first = sr.fit(model, **data, epochs=2)
    for copied in (copy.deepcopy, COPIES["pickle"]):
        other = copied(model)
        second = sr.fit(other, **data, epochs=2, resume=copied(first))
        expected = copy.deepcopy(whole)
        assert second.loss == sr.fit(expected, **data, epochs=4).loss and other.params == expected.params


class Trainer:
    """A user's object that holds a model beside its parameters, and trains by hand."""

    def __init__(self, model: Any) -> None:
        self.params, self.model = model.params, model
        self.part = model.encoder.params

    def step(self) -> float:
        result = self.model.loss_and_grads(*pairs())
        self.params.vector -= 0.5 * result.grads.vector
        return result.loss


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_parameters_held_beside_an_encoder_decoder_stay_its_own_in_a_copy(copied: Any) -> None:
    original = Trainer(translator())
    other = copied(original)
    losses = [original.step() for _ in range(4)]
    assert [other.step() for _ in range(4)] == losses and losses[-1] < losses[0]
    assert other.params is other.model.params and other.part is other.model.encoder.params
    assert (other.part.vector == other.params.vector[: other.part.vector.size]).all()
