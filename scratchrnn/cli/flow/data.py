"""The network that `scratchrnn flow` measures in full, and the batch it is measured on."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ...checkpoint import read
from ...model import SequenceModel
from ...tasks import characters
from ...text import Vocabulary, read_text
from .decay import RADIUS, network
from .tasks import LAST, TASKS, of_task


class Subject(NamedTuple):
    """What is measured, on what."""

    model: SequenceModel
    x: Any
    target: Any
    steps: Any  # the outputs that count, as `loss_and_grads` takes them
    about: str  # what it is, in words
    data: str  # what it reads, in words
    lengths: Any = None
    noise: bool = False  # whether it is a saved model on noise, for want of data of its task

    @property
    def counted(self) -> str:
        """The outputs that count, in words."""
        if not isinstance(self.steps, str):
            return "the steps that its training counted"
        return {"all": "every step", "last": "the last step only"}[self.steps]


def subject(arguments: Namespace) -> Subject:
    """The saved model on data of its task, or a new network on noise.

    Raises what `read` and `read_text` raise, TypeError for what is no SequenceModel, and ValueError for a text with
    characters that the model does not know, or with too few that it knows.
    """
    rng = np.random.default_rng(arguments.seed)
    N, T = arguments.batch_size, arguments.time
    if arguments.model is None:
        radius = arguments.spectral_radius or RADIUS
        new = network(radius, arguments)
        about = f"a new VanillaRNN(1, {arguments.hidden_size}, 1), W_hh of spectral radius {radius:g}, untrained"
        return Subject(new, *_noise(new, N, T, arguments.input_scale, rng), "all", about, _words(N, T, arguments))
    checkpoint = read(arguments.model, backend=arguments.backend)
    model, extra = checkpoint.model.to(None, arguments.dtype), checkpoint.extra
    if not isinstance(model, SequenceModel):
        raise TypeError(f"{arguments.model} holds an {type(model).__name__}; scratchrnn flow measures a SequenceModel")
    about = f"the model in {arguments.model.name}, task {extra.get('task', 'unknown')}"
    if arguments.file is not None and "vocabulary" not in extra:
        raise ValueError(f"--file is what a text model reads, and {arguments.model} holds none")
    if "vocabulary" in extra and (arguments.file is not None or extra.get("task") not in TASKS):
        ids, read_what = _text(arguments, extra)
        T = min(T, len(ids) - 1)
        starts = np.linspace(0, len(ids) - 1 - T, N).astype(int)[:, None] + np.arange(T)
        said = f"{N} windows of {T} characters of {read_what}"
        return Subject(model, ids[starts], ids[starts + 1], "all", about, said)
    try:
        given = of_task(extra, N, arguments.seed)
    except ImportError:  # of the package that the data comes with
        given = None
    if given is not None:
        x, target, steps, lengths, said = given
        return Subject(model, x, target, steps, about, f"{len(x)} {said}", lengths)
    last = extra.get("task") in LAST
    T = LAST[extra["task"]] if last else T
    x, target = _noise(model, N, T, arguments.input_scale, rng)
    said = _words(N, T, arguments)
    return Subject(model, x, target[:, -1] if last else target, "last" if last else "all", about, said, noise=True)


def _text(arguments: Namespace, extra: Mapping[str, Any]) -> tuple[np.ndarray, str]:
    """The ids (n,) of what a text model reads, and what that is, in words."""
    vocabulary = Vocabulary.from_list(extra["vocabulary"])
    if arguments.file is not None:
        text, what = read_text(arguments.file, arguments.encoding or "utf-8"), str(arguments.file)
        advice = "name a text of its characters"
    elif "excerpt" in extra:
        text, what, advice = extra["excerpt"], "the text that it was trained on", "name a text with --file"
    else:
        text, what = read_text(characters.CHAPTER), "the chapter’s text"
        advice = "it was trained on another text than the chapter's: name that with --file"
    try:
        ids = vocabulary.encode(text, unknown="drop" if arguments.drop_unknown else "error")
    except ValueError:
        unknown = "".join(sorted(set(text).difference(vocabulary.characters)))
        some = unknown if len(unknown) <= 20 else unknown[:19] + "…"
        raise ValueError(
            f"the model in {arguments.model} does not know {len(unknown)} of the characters of {what} ({some!r}); "
            f"{advice}, or leave unknown characters out with --drop-unknown"
        ) from None
    dropped = len(text) - len(ids)
    if len(ids) < 2:
        raise ValueError(
            f"{what} has {len(ids)} characters that the model in {arguments.model} knows ({dropped} others are left "
            f"out), and predicting the next one takes at least 2; {advice}"
        )
    return ids, f"{what} ({dropped:,} unknown characters left out)" if dropped else what


def _words(N: int, T: int, arguments: Namespace) -> str:
    return f"{N} sequences of {T} steps of noise N(0, {arguments.input_scale:g}²), random targets"


def _noise(model: SequenceModel, N: int, T: int, scale: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Inputs without meaning, tokens where the model reads them, and targets that fit."""
    size, O = model.input_size, model.output_size
    x = rng.integers(size, size=(N, T)) if not model.layers[0].takes_vectors else rng.normal(0, scale, (N, T, size))
    return x, rng.integers(O, size=(N, T)) if model.loss_name == "cross_entropy" else rng.normal(size=(N, T, O))
