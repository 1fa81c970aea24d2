"""Benchmark 4: learning a text beside PyTorch, in turn, until a given time: `python -m benchmarks.language FILE`.

Two character models of one size start from the same weights and are trained on the same minibatches: embedding, two
recurrent layers, dropout, Adam along half a cosine, gradient clipping, the text in parallel streams whose states are
carried. PyTorch gets so many seconds at least (the epoch in which they pass is its last), ours a share of them at most
(the last epoch that fits); they take turns epoch by epoch, and only training counts. Each one's learning rate falls
over its own time. A third model, ours, gets `--alone` seconds by itself. The last tenth
of the text is held out and scored in bits per character, the state carried from its first character to its last.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import scratchrnn as sr
from scratchrnn.tasks.characters import Characters, data, metric
from scratchrnn.text import streams
from scratchrnn.training.history import History

from . import harness

EMBEDDING, HIDDEN, LAYERS, DROPOUT = 64, 384, 2, 0.25
ROWS, STEPS = 64, 64  # streams, and steps between updates
RATE, CLIP = 0.002, 1.0


def rate(part: float) -> float:
    """Learning rate when that part of the time is over: half a cosine, from RATE to a twentieth of it."""
    return RATE * (0.05 + 0.95 * (1 + math.cos(math.pi * min(part, 1.0))) / 2)


class Ours:
    """scratchrnn."""

    name = "scratchrnn"

    def __init__(self, text: Characters, seed: int = 0) -> None:
        V = len(text.vocabulary)
        recurrent = sr.RNN(EMBEDDING, HIDDEN, num_layers=LAYERS, dropout=DROPOUT, init="orthogonal")
        layers: list[Any] = [sr.Embedding(V, EMBEDDING), recurrent, sr.Dropout(DROPOUT), sr.Linear(HIDDEN, V)]
        self.model = sr.SequenceModel(layers, loss="cross_entropy", dtype="float32", seed=seed)
        self.x, self.target = streams(text.train, ROWS)
        self.history: History | None = None

    def epoch(self, learning_rate: float) -> None:
        """One pass over the text."""
        self.history = sr.fit(
            self.model,
            self.x,
            self.target,
            epochs=1,
            batch_size=ROWS,
            optimizer=sr.Adam(learning_rate),
            clip_norm=CLIP,
            truncate=STEPS,
            stateful=True,
            progress=False,
            resume=self.history,
        )

    def held_out_loss(self, ids: np.ndarray) -> float:
        """Nats per character, in one run over all of them."""
        return metric(self.model, ids)


class PyTorch:
    """The same network and the same updates in PyTorch, as its users write them."""

    name = "PyTorch"

    def __init__(self, text: Characters, like: sr.SequenceModel) -> None:
        import torch

        self.torch = torch
        V = len(text.vocabulary)
        self.embedding = torch.nn.Embedding(V, EMBEDDING)
        self.rnn = torch.nn.RNN(EMBEDDING, HIDDEN, num_layers=LAYERS, dropout=DROPOUT)
        self.dropout, self.out = torch.nn.Dropout(DROPOUT), torch.nn.Linear(HIDDEN, V)
        modules = [self.embedding, self.rnn, self.dropout, self.out]
        self.modules = torch.nn.ModuleList(modules)
        with torch.no_grad():
            self.embedding.weight.copy_(torch.from_numpy(like.params["0.E"]))
            for i in range(LAYERS):
                suffix = f"_l{i}" if i else ""
                for ours, theirs in (("W_xh", "weight_ih"), ("W_hh", "weight_hh"), ("b_h", "bias_ih")):
                    getattr(self.rnn, f"{theirs}_l{i}").copy_(torch.from_numpy(like.params[f"1.{ours}{suffix}"]))
                getattr(self.rnn, f"bias_hh_l{i}").zero_()
            self.out.weight.copy_(torch.from_numpy(like.params["3.W_hy"]))
            self.out.bias.copy_(torch.from_numpy(like.params["3.b_y"]))
        x, target = streams(text.train, ROWS)
        self.x, self.target = (torch.from_numpy(a.T.astype(np.int64).copy()) for a in (x, target))  # time-major
        self.optimizer = torch.optim.Adam(self.modules.parameters(), RATE, fused=True)

    def epoch(self, learning_rate: float) -> None:
        """One pass over the text."""
        torch = self.torch
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.modules.train()
        state = None
        for start in range(0, len(self.x), STEPS):
            x, target = self.x[start : start + STEPS], self.target[start : start + STEPS]
            self.optimizer.zero_grad()
            h, state = self.rnn(self.embedding(x), state)
            y = self.out(self.dropout(h))
            torch.nn.functional.cross_entropy(y.flatten(0, 1), target.flatten()).backward()
            torch.nn.utils.clip_grad_norm_(self.modules.parameters(), CLIP)
            self.optimizer.step()
            state = state.detach()

    def held_out_loss(self, ids: np.ndarray) -> float:
        """Nats per character, in one run over all of them."""
        torch = self.torch
        self.modules.eval()
        ids = torch.from_numpy(ids.astype(np.int64))
        loss, state = 0.0, None
        with torch.no_grad():
            for start in range(0, len(ids) - 1, 1 << 13):
                following = ids[start + 1 : start + 1 + (1 << 13)]
                h, state = self.rnn(self.embedding(ids[start : start + len(following), None]), state)
                y = self.out(h[:, 0]).double()
                loss += float(torch.nn.functional.cross_entropy(y, following, reduction="sum"))
        return loss / (len(ids) - 1)


class Run:
    """The training of one side: whole epochs, for at least or for at most its time."""

    def __init__(self, side: Any, seconds: float, *, at_least: bool = False) -> None:
        self.side, self.seconds, self.at_least = side, seconds, at_least
        self.spent, self.epochs, self.longest = 0.0, 0, 0.0

    def turns(self) -> Iterator[None]:
        """An epoch at a time, until the time is over or, where it is a limit, until another epoch would pass it."""
        while not self.epochs or self.spent + (0 if self.at_least else self.longest) < self.seconds:
            start = time.perf_counter()
            self.side.epoch(rate((self.spent + self.longest / 2) / self.seconds))
            took = time.perf_counter() - start
            self.spent, self.epochs, self.longest = self.spent + took, self.epochs + 1, max(self.longest, took)
            yield

    def score(self, ids: np.ndarray) -> dict[str, Any]:
        """What it came to."""
        bits = self.side.held_out_loss(ids) / math.log(2)
        spent = {"seconds": round(self.spent, 1), "epochs": self.epochs}
        return {"side": self.side.name, "given": self.seconds, **spent, "bits": round(bits, 4)}


def in_turn(*runs: Run) -> None:
    """Let the runs take turns: whoever has spent least of its time goes next."""
    waiting = {run: run.turns() for run in runs}
    while waiting:
        run = min(waiting, key=lambda run: run.spent / run.seconds)
        if next(waiting[run], StopIteration) is StopIteration:
            del waiting[run]
        else:
            harness.rest()
            print(f"  {run.side.name:<12} epoch {run.epochs:>3} {run.spent:>7.1f} s of {run.seconds:.0f}", flush=True)


def run(file: Path, *, seconds: float, share: float, alone: float) -> dict[str, Any]:
    """Measure; returns what `results/language.json` holds."""
    text = data(file)
    warm_up = Ours(text)
    warm_up.x, warm_up.target = warm_up.x[:, : 2 * STEPS], warm_up.target[:, : 2 * STEPS]
    warm_up.epoch(RATE)  # compiles
    size = {"train": len(text.train), "held_out": len(text.held_out), "characters": len(text.vocabulary)}
    result: dict[str, Any] = {"benchmark": "language", **harness.machine(), "text": size, "runs": []}
    if seconds:
        import torch

        torch.set_num_threads(harness.cores())
        ours = Ours(text)
        runs = [Run(PyTorch(text, ours.model), seconds, at_least=True), Run(ours, share * seconds)]
        in_turn(*runs)
        result["runs"] += [one.score(text.held_out) for one in runs]
    if alone:
        single = Run(Ours(text), alone)
        in_turn(single)
        result["runs"].append(single.score(text.held_out))
    return result


def table(result: dict[str, Any]) -> str:
    """Seconds of training, epochs, and held-out bits per character."""
    size = result["text"]
    lines = [f"{size['train']:,} characters to train on, {size['held_out']:,} held out, {size['characters']} kinds"]
    lines.append(f"  {'':<12}{'training s':>12}{'epochs':>8}{'held-out bits per character':>30}")
    for r in result["runs"]:
        lines.append(f"  {r['side']:<12}{r['seconds']:>12.1f}{r['epochs']:>8}{r['bits']:>30.4f}")
    return "\n".join(lines)


def main() -> None:
    """Train, print, save."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.language", description=__doc__)
    parser.add_argument("file", type=Path, help="a UTF-8 text, about 1 MB")
    parser.add_argument("--seconds", type=float, default=300.0, help="of training that PyTorch gets; 0: none")
    parser.add_argument("--share", type=float, default=0.7, help="of it that ours gets")
    parser.add_argument("--alone", type=float, default=600.0, help="seconds that ours gets by itself; 0: none")
    parser.add_argument("--out", type=Path, default=harness.ROOT / "bench-output", help="folder for the JSON")
    arguments = parser.parse_args()
    result = run(arguments.file, seconds=arguments.seconds, share=arguments.share, alone=arguments.alone)
    print(table(result))
    harness.save(result, arguments.out / "language.json")


if __name__ == "__main__":
    main()
