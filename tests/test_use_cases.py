"""What users do with the package from end to end, beside a plain loop, PyTorch or a known result."""

from __future__ import annotations

import os
import threading
import time
import warnings
from typing import Any

import numpy as np
import pytest

import scratchrnn as sr
from scratchrnn import plots
from scratchrnn.backends.numba import plan as numba_backend
from scratchrnn.tasks import sine

# A trained flip-flop: Sussillo and Barak 2013, "Opening the black box".


def flip_flop(rng: np.random.Generator, rows: int, time: int) -> tuple[np.ndarray, np.ndarray]:
    """Pulses ±1 on two channels, and the last pulse of each channel, which the network is to remember."""
    x = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=(rows, time, 2))
    x[:, 0] = rng.choice([-1.0, 1.0], size=(rows, 2))
    target = np.zeros_like(x)
    memory = np.zeros((rows, 2))
    for t in range(time):
        memory = np.where(x[:, t] != 0, x[:, t], memory)
        target[:, t] = memory
    return x, target


@pytest.mark.slow
def test_a_trained_flip_flop_has_nine_fixed_points() -> None:
    """Four stable points, one for each memory; between them four saddles and, amid these, a repeller."""
    x, target = flip_flop(np.random.default_rng(1), rows=256, time=40)
    model = sr.VanillaRNN(2, 8, 2, seed=1)
    for rate, epochs in ((0.01, 120), (0.002, 60)):
        history = sr.fit(model, x, target, epochs=epochs, optimizer=sr.Adam(rate), clip_norm=1.0, progress=False)
    assert history.loss[-1] < 1e-3

    W_hy, b_y = model.params["W_hy"], model.params["b_y"]
    points = sr.fixed_points(model.params["W_hh"], model.params["b_h"], starts=200, progress=False)
    unstable_directions = sorted(int((np.abs(point.eigenvalues) > 1).sum()) for point in points)
    assert unstable_directions == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    memories = sorted(tuple(W_hy @ point.h + b_y) for point in points if point.stable)
    np.testing.assert_allclose(memories, [(-1, -1), (-1, 1), (1, -1), (1, 1)], atol=0.1)


# min-char-rnn: https://gist.github.com/karpathy/d4dee566867f8291f086

TEXT = "the quick brown fox jumps over the lazy dog, and the dog barks at the brown fox. " * 4
CHUNK, LIMIT, RATE, EPS = 25, 5.0, 0.1, 1e-8


def min_char_rnn(weights: dict[str, np.ndarray], ids: np.ndarray, updates: int) -> tuple[list[float], list[float]]:
    """Train in place as the gist does: the *sum* of the losses of 25 characters, each entry of its gradient clipped to
    ±5, Adagrad, and the state carried from chunk to chunk. Returns losses and gradient norms before clipping.

    ε stands beside the root, as in the paper and in `Adagrad`; in the gist it is inside.
    """
    W_xh, W_hh, b_h, W_hy, b_y = (weights[name] for name in ("W_xh", "W_hh", "b_h", "W_hy", "b_y"))
    memory = {name: np.zeros_like(W) for name, W in weights.items()}
    h_before = np.zeros(len(b_h))
    losses, norms = [], []
    for start in range(0, updates * CHUNK, CHUNK):
        inputs, targets = ids[start : start + CHUNK], ids[start + 1 : start + CHUNK + 1]
        xs, hs, ps = {}, {-1: h_before}, {}
        loss = 0.0
        for t in range(CHUNK):
            xs[t] = np.zeros(W_xh.shape[1])
            xs[t][inputs[t]] = 1
            hs[t] = np.tanh(W_xh @ xs[t] + W_hh @ hs[t - 1] + b_h)
            y = W_hy @ hs[t] + b_y
            ps[t] = np.exp(y) / np.sum(np.exp(y))
            loss += -np.log(ps[t][targets[t]])
        grads = {name: np.zeros_like(W) for name, W in weights.items()}
        dh_next = np.zeros_like(h_before)
        for t in reversed(range(CHUNK)):
            dy = ps[t].copy()
            dy[targets[t]] -= 1
            grads["W_hy"] += np.outer(dy, hs[t])
            grads["b_y"] += dy
            da = (1 - hs[t] * hs[t]) * (W_hy.T @ dy + dh_next)
            grads["b_h"] += da
            grads["W_xh"] += np.outer(da, xs[t])
            grads["W_hh"] += np.outer(da, hs[t - 1])
            dh_next = W_hh.T @ da
        losses.append(loss)
        norms.append(float(np.sqrt(sum((g**2).sum() for g in grads.values()))))
        for name, g in grads.items():
            np.clip(g, -LIMIT, LIMIT, out=g)
            memory[name] += g * g
            weights[name] -= RATE * g / (np.sqrt(memory[name]) + EPS)
        h_before = hs[CHUNK - 1]
    return losses, norms


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_ten_updates_of_fit_are_those_of_min_char_rnn(backend: str) -> None:
    """Of the mean of K losses the gradient is 1/K of that of the sum: so the limit is 5/K, and Adagrad, whose step does
    not depend on the scale of the gradients, has ε/K."""
    updates = 10
    vocabulary = sr.Vocabulary(TEXT)
    ids = vocabulary.encode(TEXT)[: updates * CHUNK + 1]
    V = len(vocabulary)
    model = sr.VanillaRNN(V, 17, V, loss="cross_entropy", backend=backend)
    rng = np.random.default_rng(0)
    for name, W in model.params.items():
        model.params[name] = rng.normal(0, 0.3, W.shape)  # large enough for gradients beyond the limit
    weights = {name: W.copy() for name, W in model.params.items()}

    losses, norms = min_char_rnn(weights, ids, updates)
    history = sr.fit(
        model,
        ids[None, :-1],
        ids[None, 1:],
        epochs=1,
        batch_size=1,
        truncate=CHUNK,
        stateful=True,
        optimizer=sr.Adagrad(RATE, eps=EPS / CHUNK),
        clip_value=LIMIT / CHUNK,
        progress=False,
    )
    assert history.updates == updates and any(history.clipped)
    assert history.loss[0] == pytest.approx(sum(losses) / (updates * CHUNK), rel=1e-10)
    np.testing.assert_allclose(np.array(history.grad_norm) * CHUNK, norms, rtol=1e-10)
    for name, W in weights.items():
        np.testing.assert_allclose(model.params[name], W, rtol=0, atol=1e-10, err_msg=name)


# Padded rows beside PyTorch's packed ones.


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_three_bidirectional_levels_with_layer_norm_are_those_of_packed_sequences(torch: Any, backend: str) -> None:
    N, T, D, O = 5, 11, 3, 2
    sizes = (4, 7, 6)
    lengths = np.array([6, 11, 1, 9, 4])  # unsorted
    layers: list[Any] = []
    for size_in, size in zip((D, *(2 * size for size in sizes)), sizes, strict=False):
        layers += [sr.RNN(size_in, size, bidirectional=True), sr.LayerNorm(2 * size)]
    model = sr.SequenceModel([*layers, sr.Linear(2 * sizes[-1], O)], backend=backend)
    rng = np.random.default_rng(3)
    model.params.vector[...] = rng.normal(0.1, 0.4, model.params.vector.size)
    x, target = rng.normal(size=(N, T, D)), rng.normal(size=(N, T, O))
    inside = np.arange(T) < lengths[:, None]
    x[~inside] = target[~inside] = np.nan

    nn, pack, unpack = torch.nn, torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
    names = {"W_xh": "weight_ih_l0", "W_hh": "weight_hh_l0", "b_h": "bias_ih_l0"}
    names |= {"gamma": "weight", "beta": "bias", "W_hy": "weight", "b_y": "bias"}
    leaves = {}
    x_leaf = torch.tensor(x, requires_grad=True)
    y = x_leaf
    for i, layer in enumerate(model.layers):
        if isinstance(layer, sr.RNN):
            module = nn.RNN(
                layer.input_size, layer.hidden_size, batch_first=True, bidirectional=True, dtype=torch.float64
            )
        elif isinstance(layer, sr.LayerNorm):
            module = nn.LayerNorm(layer.size, dtype=torch.float64)
        else:
            module = nn.Linear(layer.input_size, layer.output_size, dtype=torch.float64)
        for symbol in layer.shapes():
            plain, reverse = symbol.removesuffix("_reverse"), "_reverse" * symbol.endswith("_reverse")
            leaf = leaves[f"{i}.{symbol}"] = getattr(module, names[plain] + reverse)
            leaf.data.copy_(torch.tensor(model.params[f"{i}.{symbol}"]))
        if isinstance(layer, sr.RNN):
            module.bias_hh_l0.data.zero_()
            module.bias_hh_l0_reverse.data.zero_()
            packed = pack(y, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
            y, _ = unpack(module(packed)[0], batch_first=True, total_length=T)
        else:
            y = module(y)
    counted = torch.tensor(inside)
    loss = ((y - torch.tensor(target))[counted] ** 2).mean()
    loss.backward()

    result = model.loss_and_grads(x, target, lengths=lengths, inputs=True)
    assert float(result.loss) == pytest.approx(loss.item(), rel=1e-14)
    outputs = model.forward(x, lengths=lengths).y
    assert_within(outputs[inside], y.detach().numpy()[inside], "y")
    assert set(leaves) == set(result.grads)
    for name, leaf in leaves.items():
        assert_within(result.grads[name], leaf.grad.numpy(), name)
    assert_within(result.grads_x[inside], x_leaf.grad.numpy()[inside], "x")
    assert not result.grads_x[~inside].any()


def assert_within(actual: np.ndarray, expected: np.ndarray, name: str, tolerance: float = 1e-14) -> None:
    """No entry differs by more than the tolerance times the largest entry, or times 1 where all are smaller."""
    np.testing.assert_allclose(
        actual, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max()), err_msg=name
    )


# Processes.


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_ten_children_forked_while_another_thread_trains_compute_and_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_backend, "MIN_WORK", 1)  # several blocks of rows, so that both threads take part
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=(64, 30, 3)), rng.normal(size=(64, 30, 2))
    model, other = sr.VanillaRNN(3, 32, 2), sr.VanillaRNN(3, 32, 2, seed=1)
    expected = model.loss(x, target)
    threads_before = sr.get_num_threads()
    sr.set_num_threads(2)
    ends = threading.Event()

    def train() -> None:
        history = None
        while not ends.is_set():
            history = sr.fit(other, x, target, epochs=1, progress=False, resume=history)

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        children = []
        for _ in range(10):
            time.sleep(0.02)  # so that a fork meets the trainer at another point each time
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads beside fork
                child = os.fork()
            if child == 0:
                status = 1
                try:
                    status = 0 if model.loss(x, target) == expected else 2
                finally:
                    os._exit(status)
            children.append(child)
        end = time.monotonic() + 60
        assert [exit_code(child, end) for child in children] == [0] * 10
    finally:
        ends.set()
        trainer.join()
        sr.set_num_threads(threads_before)


def exit_code(child: int, end: float) -> int | str:
    """What a child exits with; "hangs" where it has to be ended because it still runs at that time."""
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            break
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return "hangs"


# Degenerate runs. pytest turns every warning into an error.


def tokens_of_one_character() -> tuple[sr.SequenceModel, np.ndarray, np.ndarray]:
    ids = sr.Vocabulary("a").encode("a" * 13)
    return sr.VanillaRNN(1, 4, 1, loss="cross_entropy"), ids[None, :-1], ids[None, 1:]


DEGENERATE = {
    "a series of zeros": lambda: (sr.VanillaRNN(3, 5, 2), np.zeros((4, 9, 3)), np.zeros((4, 9, 2))),
    "a text of one character": tokens_of_one_character,
    "all sizes 1": lambda: (sr.VanillaRNN(1, 1, 1), np.full((1, 1, 1), 0.5), np.ones((1, 1, 1))),
    "one step": lambda: (sr.VanillaRNN(3, 5, 2), np.ones((4, 1, 3)), np.ones((4, 1, 2))),
    "relu units that are all dead": lambda: (dead(), np.ones((4, 9, 3)), np.ones((4, 9, 2))),
}


def dead() -> sr.SequenceModel:
    model = sr.SequenceModel([sr.RNN(3, 5, nonlinearity="relu"), sr.Linear(5, 2)])
    model.params["0.b_h"] = np.full(5, -99.0)
    return model


@pytest.mark.parametrize("name", DEGENERATE)
def test_a_degenerate_run_goes_through_without_a_warning(name: str) -> None:
    """Training, what it records, gradients through time, and every picture, drawn to the end."""
    model, x, target = DEGENERATE[name]()
    with np.errstate(all="warn", under="ignore"):  # as NumPy does by default
        history = sr.fit(
            model, x, target, epochs=2, batch_size=3, validation=(x, target), clip_norm=1.0, track="all", progress=False
        )
        seen: Any = sr.gradient_flow(model, x, target, progress=False)
        W_hh = next(W for name, W in model.params.items() if name.endswith("W_hh"))
        b_h = next(b for name, b in model.params.items() if name.endswith("b_h"))
        lyapunov = sr.lyapunov_spectrum(W_hh, b_h, steps=20, discard=5, progress=False)
        assert sr.fixed_points(W_hh, b_h, starts=5, progress=False) or name == "relu units that are all dead"

        def draw(picture: Any, *, axes: bool) -> None:
            fig = plots.new_figure()
            picture(fig.subplots() if axes else fig)
            fig.canvas.draw()

        draw(history.plot, axes=True)
        draw(history.plot_gradients, axes=False)
        draw(seen.plot, axes=False)
        draw(seen.flow.plot, axes=True)
        draw(seen.spectrum.plot, axes=True)
        draw(lyapunov.plot, axes=True)
        draw(lambda ax: plots.plot_lag_map(seen.lag_map, ax), axes=True)
        draw(lambda ax: plots.plot_input_map(seen.input_map, ax), axes=True)
        draw(lambda ax: plots.plot_lag_decay(seen.lag_map, ax), axes=True)
        draw(lambda ax: plots.plot_saturated(seen.saturated, ax), axes=True)
        draw(lambda ax: plots.plot_tensor_norms(seen.grad_norms, ax), axes=True)
        draw(lambda ax: plots.plot_eigenvalues(W_hh, ax), axes=True)
        assert all(np.isfinite(history.loss)) and np.isfinite(seen.loss)
        assert repr(history) and repr(history.flow) and repr(seen) and repr(lyapunov)


# The chapter's sine.


@pytest.mark.slow
def test_the_sine_that_is_fed_back_keeps_its_amplitude_for_400_steps() -> None:
    """A series of its own predictions, written from a carried state and from the last 50 points."""
    data = sine.data()
    following = np.concatenate([data.x[:, 1:], data.target[:, None]], axis=1)
    model = sr.VanillaRNN(1, 32, 1)
    for rate, epochs in ((0.01, 30), (0.001, 20)):
        sr.fit(model, data.x, following, epochs=epochs, optimizer=sr.Adam(rate), clip_norm=1.0, progress=False)

    start = data.wave[500:550]
    read = model.forward(start[None, :, None])
    y, state = read.y[:, -1], read.h_last
    carried = []
    for _ in range(400):
        carried.append(float(y[0, 0]))
        y, state = model.step(y, state)
    series = start.tolist()
    for _ in range(400):
        series.append(float(model.predict(np.array(series[-50:])[None, :, None], "last")[0, 0]))

    for written in (np.array(carried), np.array(series[50:])):
        for part in written.reshape(5, 80):  # a period has 63 steps
            assert 0.9 < part.max() < 1.1 and -1.1 < part.min() < -0.9
