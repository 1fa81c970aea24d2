"""The encoder–decoder: its gradient against equations written out anew, PyTorch, and what it writes on its own."""

from __future__ import annotations

import copy
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from helpers import difference

import scratchrnn as sr
from scratchrnn.encoder_decoder import EncoderDecoder

H, V, LENGTH = 6, 3, 5
X = np.array([[4, 0, 2, 2, 1, 3, 0], [1, 1, 0, 3, 0, 0, 0]])
LENGTHS = np.array([7, 4])
TARGET = np.array([[0, 2, 1, 1, 0], [2, 2, 0, 1, 2]])


def build(backend: str = "numpy", **options: Any) -> EncoderDecoder:
    encoder = sr.SequenceModel([sr.RNN(5, H, **options)], backend=backend, seed=1)
    wide = H * (1 + options.get("bidirectional", False))
    decoder_layers: list[Any] = [sr.RNN(V + 1, H, **options), sr.Linear(wide, V)]
    decoder = sr.SequenceModel(decoder_layers, loss="cross_entropy", backend=backend, seed=2)
    model = EncoderDecoder(encoder, decoder, LENGTH)
    model.params.vector[:] += np.random.default_rng(3).normal(0, 0.3, model.params.vector.size)
    return model


def written_out(p: dict[str, np.ndarray], h0: np.ndarray) -> Any:
    """The loss by the equations, row by row, for real or complex parameters."""
    total: Any = 0
    for x, n, target, h in zip(X, LENGTHS, TARGET, h0, strict=True):
        for token in x[:n]:
            h = np.tanh(
                p["encoder.0.W_hh"] @ h + p["encoder.0.W_xh"][:, token] + p["encoder.0.b_h"],
            )
        for before, token in zip([V, *target[:-1]], target, strict=True):
            h = np.tanh(p["decoder.0.W_hh"] @ h + p["decoder.0.W_xh"][:, before] + p["decoder.0.b_h"])
            y = p["decoder.1.W_hy"] @ h + p["decoder.1.b_y"]
            total += np.log(np.exp(y).sum()) - y[token]
    return total / TARGET.size


def test_gradients_against_the_complex_step(backend: str, rng: np.random.Generator) -> None:
    model, h0 = build(backend), rng.normal(0, 0.5, (2, H))
    result = model.loss_and_grads(X, TARGET, (h0,), lengths=LENGTHS)
    assert result.loss == pytest.approx(written_out(dict(model.params), h0), rel=1e-12)
    assert result.loss == pytest.approx(model.loss(X, TARGET, (h0,), lengths=LENGTHS), rel=1e-12)

    vector = model.params.vector
    exact = np.empty_like(vector)
    for i in range(vector.size):
        moved = vector.astype(complex)
        moved[i] += 1e-30j
        exact[i] = written_out(dict(model.params.like(moved)), h0).imag / 1e-30
    for name, grad in model.params.like(exact).items():
        assert np.linalg.norm(result.grads[name] - grad) <= 1e-12 * np.linalg.norm(grad), name
    for i in np.ndindex(h0.shape):
        moved = h0.astype(complex)
        moved[i] += 1e-30j
        assert result.grads_h0[0][i] == pytest.approx(written_out(dict(model.params), moved).imag / 1e-30, rel=1e-11)


def test_gradients_against_pytorch(torch: ModuleType) -> None:
    model = build()
    result = model.loss_and_grads(X[:1], TARGET[:1])
    own = dict(model.params)

    def cell(side: str, inputs: int) -> Any:
        rnn = torch.nn.RNN(inputs, H, batch_first=True, dtype=torch.float64)
        values = [own[f"{side}.0.{symbol}"] for symbol in ("W_xh", "W_hh", "b_h")]
        for parameter, value in zip(rnn.parameters(), [*values, np.zeros(H)], strict=True):
            parameter.data = torch.tensor(value)
        return rnn

    def onehot(ids: np.ndarray, size: int) -> Any:
        return torch.nn.functional.one_hot(torch.tensor(ids), size).double()

    encoder, decoder = cell("encoder", 5), cell("decoder", V + 1)
    W_hy, b_y = (torch.tensor(own[f"decoder.1.{symbol}"], requires_grad=True) for symbol in ("W_hy", "b_y"))
    h, _ = decoder(onehot(model.shifted(TARGET[:1]), V + 1), encoder(onehot(X[:1], 5))[1])
    loss = torch.nn.functional.cross_entropy((h @ W_hy.T + b_y)[0], torch.tensor(TARGET[0]))
    loss.backward()
    assert result.loss == pytest.approx(loss.item(), rel=1e-12)
    expected = {"decoder.1.W_hy": W_hy.grad, "decoder.1.b_y": b_y.grad}
    for side, rnn in (("encoder", encoder), ("decoder", decoder)):
        for symbol, parameter in zip(("W_xh", "W_hh", "b_h"), rnn.parameters(), strict=False):
            expected[f"{side}.0.{symbol}"] = parameter.grad
    for name, grad in expected.items():
        np.testing.assert_allclose(result.grads[name], grad.numpy(), rtol=0, atol=1e-14, err_msg=name)


def test_two_levels_hand_over_two_states(backend: str, rng: np.random.Generator) -> None:
    """Against central differences in a random direction, with steps that do not count."""
    model = build(backend, num_layers=2)
    steps = np.array([True, True, False, True, False])
    grads = model.loss_and_grads(X, TARGET, steps=steps, lengths=LENGTHS).grads
    direction, start = rng.normal(size=grads.vector.size), model.params.vector.copy()
    losses = []
    for sign in (1, -1):
        model.params.vector[:] = start + sign * 1e-6 * direction
        losses.append(model.loss(X, TARGET, steps=steps, lengths=LENGTHS))
    model.params.vector[:] = start
    assert grads.vector @ direction == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-7)
    flow = model.loss_and_grads(X, TARGET, steps=steps, lengths=LENGTHS).flow
    top = model.decoder.loss_and_grads(
        model.shifted(TARGET), TARGET, model.encoder.forward(X, None, LENGTHS).h_last, steps
    ).grads_h0[0][1]
    np.testing.assert_allclose(flow.per_sample[:, 6], 2 * np.linalg.norm(top, axis=1), rtol=1e-12)
    assert (np.abs(grads["encoder.0.W_hh"]).max() > 0) and (np.abs(grads["encoder.0.W_hh_l1"]).max() > 0)


def test_the_flow_runs_over_both_sequences() -> None:
    model = build()
    result = model.loss_and_grads(X, TARGET, lengths=LENGTHS)
    assert result.flow.per_sample.shape == (2, X.shape[1] + LENGTH)
    # A row that is over keeps its state: what reaches the encoder's end is what left the decoder's start.
    decoder = model.decoder.loss_and_grads(
        model.shifted(TARGET), TARGET, model.encoder.forward(X, None, LENGTHS).h_last
    )
    np.testing.assert_allclose(
        result.flow.per_sample[:, 6], 2 * np.linalg.norm(decoder.grads_h0[0], axis=1), rtol=1e-12
    )
    np.testing.assert_array_equal(result.flow.per_sample[:, 7:], decoder.flow.per_sample)
    np.testing.assert_array_equal(result.flow.per_sample[1, 3:6], result.flow.per_sample[1, 6])


def test_saturation_runs_over_both_sequences() -> None:
    model = build()
    model.params.vector[:] *= 8  # some units are flat
    flow = model.loss_and_grads(X, TARGET, lengths=LENGTHS, saturation=True).flow
    first = model.encoder.forward(X, None, LENGTHS).h_last
    then = model.decoder.loss_and_grads(model.shifted(TARGET), TARGET, first, saturation=True).flow
    assert flow.top.saturation.shape == (2, X.shape[1] + LENGTH)
    np.testing.assert_array_equal(flow.top.saturation[:, X.shape[1] :], then.top.saturation)
    for row, (x, n) in enumerate(zip(X, LENGTHS, strict=True)):
        for t in range(n):  # alone, and as if it ended at t
            h = model.encoder.forward(x[None, : t + 1], None).h_last[0]
            assert flow.top.saturation[row, t] == (np.abs(h) > 0.999).mean()
        assert np.isnan(flow.top.saturation[row, n : X.shape[1]]).all()
    assert 0.05 < np.nanmean(flow.top.saturation) < 0.95
    without = model.loss_and_grads(X, TARGET, lengths=LENGTHS).flow
    np.testing.assert_array_equal(flow.per_sample, without.per_sample)
    np.testing.assert_array_equal(flow.flushed, without.flushed)


def test_several_layers(backend: str, rng: np.random.Generator) -> None:
    """Two recurrent layers on an embedding: parameters and h0 against central differences, and whose flow is whose."""
    encoder = sr.SequenceModel([sr.Embedding(5, 4), sr.RNN(4, H), sr.RNN(H, H)], backend=backend, seed=1)
    layers: list[Any] = [sr.RNN(V + 1, H), sr.RNN(H, H), sr.Linear(H, V)]
    decoder = sr.SequenceModel(layers, loss="cross_entropy", backend=backend, seed=2)
    model, h0 = EncoderDecoder(encoder, decoder, LENGTH), tuple(rng.normal(0, 0.5, (2, 2, H)))
    result = model.loss_and_grads(X, TARGET, h0, lengths=LENGTHS)

    def slope(array: np.ndarray, at: Any) -> float:
        """∂L/∂array[at], the array being one that the model reads."""
        kept, losses = array[at], []
        for moved in (kept + 1e-6, kept - 1e-6):
            array[at] = moved
            losses.append(model.loss(X, TARGET, h0, lengths=LENGTHS))
        array[at] = kept
        return (losses[0] - losses[1]) / 2e-6

    for name, grad in result.grads.items():
        at = np.unravel_index(np.abs(grad).argmax(), grad.shape)
        assert grad[at] == pytest.approx(slope(model.params[name], at), rel=1e-7), name
    for state, grad in zip(h0, result.grads_h0, strict=True):
        assert grad[1, 2] == pytest.approx(slope(state, (1, 2)), rel=1e-6)

    handed = decoder.loss_and_grads(model.shifted(TARGET), TARGET, encoder.forward(X, h0, LENGTHS).h_last)
    for flow, then, grad in zip(result.flow.layers, handed.flow.layers, handed.grads_h0, strict=True):
        np.testing.assert_array_equal(flow.per_sample[:, 7:], then.per_sample)
        expected = 2 * np.linalg.norm(grad, axis=1)
        if grad is handed.grads_h0[-1]:  # what leaves the upper one reaches the lower as well
            np.testing.assert_allclose(flow.per_sample[:, 6], expected, rtol=1e-12)
        else:
            assert flow.per_sample[0, 6] != pytest.approx(expected[0], rel=1e-3)


def test_dropout_draws_from_the_rng() -> None:
    model = build(num_layers=2, dropout=0.5)
    losses = [model.loss_and_grads(X, TARGET, rng=np.random.default_rng(seed)).loss for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert model.loss_and_grads(X, TARGET).loss == model.loss(X, TARGET) != losses[0]


def test_it_writes_what_it_finds_likeliest(backend: str) -> None:
    """Taught its own answer, it finds each symbol of it likeliest."""
    model = build(backend)
    answer = model.write(X, LENGTHS)
    assert answer.shape == (2, LENGTH)
    state = model.encoder.forward(X, None, LENGTHS).h_last
    taught = model.decoder.forward(model.shifted(answer), state)
    np.testing.assert_array_equal(taught.y.argmax(axis=2), answer)
    out = model.forward(X, None, LENGTHS)
    np.testing.assert_allclose(out.y, taught.y, rtol=0, atol=1e-13)
    np.testing.assert_allclose(out.h, taught.h, rtol=0, atol=1e-13)
    np.testing.assert_allclose(out.h_last[0], taught.h_last[0], rtol=0, atol=1e-13)
    # What stands past the end of a row is not read.
    other = X.copy()
    other[1, 4:] = 3
    np.testing.assert_array_equal(model.write(other, LENGTHS), answer)
    np.testing.assert_array_equal(model(X), model.forward(X).y)


def test_it_writes_a_single_symbol() -> None:
    whole = build()
    single = EncoderDecoder(copy.deepcopy(whole.encoder), copy.deepcopy(whole.decoder), 1)
    np.testing.assert_array_equal(single(X), whole(X)[:, :1])
    np.testing.assert_array_equal(single.write(X, LENGTHS), whole.write(X, LENGTHS)[:, :1])


def test_it_learns_to_reverse(backend: str, rng: np.random.Generator) -> None:
    x = rng.integers(0, 3, (300, 5))
    encoder = sr.SequenceModel([sr.RNN(5, 32)], backend=backend)
    decoder = sr.SequenceModel([sr.RNN(4, 32), sr.Linear(32, 3)], loss="cross_entropy", backend=backend)
    model: Any = EncoderDecoder(encoder, decoder, 5)
    history = sr.fit(
        model, x[:250], x[:250, ::-1], epochs=60, validation=(x[250:], x[250:, ::-1]), clip_norm=1.0, progress=False
    )
    assert history.val_loss[-1] < 0.1 * history.val_loss[0]
    assert (model.write(x[250:]) == x[250:, ::-1]).all(axis=1).mean() > 0.9


def test_one_vector_holds_all_parameters() -> None:
    model = build()
    assert list(model.params)[:4] == ["encoder.0.W_xh", "encoder.0.W_hh", "encoder.0.b_h", "decoder.0.W_xh"]
    model.params.vector[:] = 0
    assert not model.encoder.params.vector.any() and not model.decoder.params["1.W_hy"].any()
    model.to("numpy", "float32").params["decoder.1.b_y"] = [1, 2, 3]
    assert model.dtype == np.float32 and model.backend == "numpy"
    assert model.decoder.params["1.b_y"].tolist() == [1, 2, 3]
    assert "writes 5 symbols" in repr(model) == model.summary() and "W_hy" in repr(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "mse"}, 'its loss is "cross_entropy", not "mse"'),
        ({"symbols": V}, "writes 3 symbols, so it reads 4, one of them before the first; this one reads 3"),
        ({"hidden": H + 1}, r"states of one row are \[\(1, 6\)\] in the encoder, but \[\(1, 7\)\] in the decoder"),
        ({"dtype": "float32"}, "the encoder is float64 on numpy, the decoder float32 on numpy"),
    ],
)
def test_what_does_not_fit_together(change: dict[str, Any], message: str) -> None:
    given = {"loss": "cross_entropy", "symbols": V + 1, "hidden": H, "dtype": "float64", **change}
    layers: list[Any] = [sr.RNN(given["symbols"], given["hidden"]), sr.Linear(given["hidden"], V)]
    decoder = sr.SequenceModel(layers, loss=given["loss"], dtype=given["dtype"], backend="numpy")
    with pytest.raises(ValueError, match=message):
        EncoderDecoder(sr.SequenceModel([sr.RNN(5, H)], backend="numpy"), decoder, LENGTH)


def test_a_target_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a target of shape \(N, 5\), got \(2, 4\)"):
        build().loss_and_grads(X, TARGET[:, :4])
    with pytest.raises(ValueError, match=r"expected a target of shape"):
        sr.fit(build(), X, TARGET[:, :4], epochs=1)  # type: ignore[arg-type]


def test_a_target_that_is_none_is_refused() -> None:
    """The message speaks of the target, not of what the decoder makes of it."""
    for target, error, message in [
        (TARGET.astype(float), TypeError, r"must be integer symbols, got float64; pass target.astype\(int\)"),
        (TARGET + 2, IndexError, r"target\[0, 1\] is 4, outside the symbols 0 … 2"),
        (TARGET - 1, IndexError, r"target\[0, 0\] is -1, outside the symbols 0 … 2"),
        (TARGET + 1, IndexError, r"target\[1, 0\] is 3, outside the classes 0 … 2"),
        (TARGET[:1], ValueError, "x has 2 rows, but target has 1"),
    ]:
        for call in (build().loss, build().loss_and_grads, build().check_batch):
            arguments = (None, "all", None) if call.__name__ == "check_batch" else ()
            with pytest.raises(error, match=message):
                call(X, target, *arguments)


def test_what_does_not_count_may_be_no_symbol() -> None:
    """Sequences of unequal length: after its end a row may hold V, or anything else that is a symbol."""
    steps, target = np.arange(LENGTH) < np.array([[LENGTH], [3]]), TARGET.copy()
    results = []
    for padding in (V, 0, 2):
        target[1, 3:] = padding
        results.append(build().loss_and_grads(X, target, steps=steps))
    for r in results[1:]:
        assert r.loss == results[0].loss
        np.testing.assert_array_equal(r.grads.vector, results[0].grads.vector)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=["one", "stack"])
def test_float32_is_float64_rounded(backend: str, options: dict[str, Any]) -> None:
    model = build(backend, **options)
    expected = model.loss_and_grads(X, TARGET, lengths=LENGTHS)
    r = model.to(backend, "float32").loss_and_grads(X, TARGET, lengths=LENGTHS)
    assert r.grads.vector.dtype == r.grads_h0[0].dtype == np.float32
    assert r.loss == pytest.approx(expected.loss, rel=1e-5)
    for name, grad in expected.grads.items():
        assert np.linalg.norm(r.grads[name] - grad) <= 1e-5 * np.linalg.norm(grad), name


def test_training_that_blows_up_says_where() -> None:
    model: Any = build()
    model.params["decoder.1.b_y"] = [1e200, 0, 0]
    with pytest.raises(sr.NonFiniteError, match="update 2: the loss is inf; the largest output"):
        sr.fit(model, X, TARGET, epochs=3, optimizer=sr.SGD(1e308), progress=False)


def test_the_start_symbol_does_not_wrap_around_in_the_dtype_of_the_target() -> None:
    """As uint8, symbol 256 before the first was symbol 0."""
    symbols = 256
    encoder = sr.SequenceModel([sr.RNN(3, 4)], backend="numpy", seed=1)
    layers: list[Any] = [sr.Embedding(symbols + 1, 2), sr.RNN(2, 4), sr.Linear(4, symbols)]
    decoder = sr.SequenceModel(layers, loss="cross_entropy", backend="numpy", seed=2)
    model = EncoderDecoder(encoder, decoder, 6)
    x, target = np.array([[0, 1, 2, 1, 0], [2, 2, 1, 0, 1]]), np.arange(100, 256, 13).reshape(2, 6)
    assert model.shifted(target.astype(np.uint8)).tolist() == model.shifted(target).tolist()
    assert model.shifted(target.astype(np.uint8))[:, 0].tolist() == [256, 256]
    assert model.loss(x, target.astype(np.uint8)) == model.loss(x, target)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_are_bit_identical_for_any_number_of_threads(
    dtype: str, padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows go through encoder and decoder in blocks, on as many threads as there are."""
    monkeypatch.setattr("scratchrnn.backends.numba.plan.MIN_WORK", 1)
    rng = np.random.default_rng(2)
    N, T, D, H = 43, 9, 5, 8
    x, target = rng.normal(size=(N, T, D)), rng.integers(V, size=(N, LENGTH))
    lengths = rng.integers(1, T + 1, size=N) if padded else None
    options: dict[str, Any] = {"dtype": dtype, "seed": 3}
    results: list[Any] = []
    before = sr.get_num_threads()
    for backend, threads in (("numpy", 1), ("numba", 1), ("numba", 2), ("numba", 3)):
        encoder = sr.SequenceModel([sr.RNN(D, H, num_layers=2)], backend=backend, **options)
        layers = [sr.RNN(V + 1, H, num_layers=2, dropout=0.2), sr.Linear(H, V)]
        decoder = sr.SequenceModel(layers, loss="cross_entropy", backend=backend, **options)
        model = sr.EncoderDecoder(encoder, decoder, LENGTH)
        sr.set_num_threads(threads)
        try:
            r = model.loss_and_grads(x, target, lengths=lengths, rng=np.random.default_rng(1), saturation=True)
        finally:
            sr.set_num_threads(before)
        flows = [array for flow in r.flow.layers for array in (flow.per_sample, flow.saturation)]
        results.append([np.array(r.loss), r.grads.vector, *r.grads_h0, *r.h_last, *flows])
    numpy, *numba = results
    for one in numba:
        assert [a.tobytes() for a in one] == [a.tobytes() for a in numba[0]]
    for actual, expected in zip(numba[0], numpy, strict=True):
        assert difference(np.nan_to_num(actual), np.nan_to_num(expected)) < (1e-5 if dtype == "float32" else 1e-13)
