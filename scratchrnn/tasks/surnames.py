"""Many-to-one (多对一), text classification: which language is a surname from?

The surnames are those that the package Faker brings for its locales: real ones, in ten languages with Latin letters.
A name that is in several of the lists is in none here, since it has no one answer; then every language keeps 340
names, of which 50 are the test part and 50 the validation part, the same ones whatever the seed. Names are in lower
case, with their accents, one integer per letter; the last letter of each is the step that answers. The metric is the
share of names whose language is recognised.

(The package `names` has English names only, by frequency and sex: nothing to tell languages apart by.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..layers.base import Layer
from ..layers.dropout import Dropout
from ..layers.embedding import Embedding
from ..layers.linear import Linear
from ..layers.rnn import RNN
from ..model import SequenceModel
from ..optimizers import Adam
from ..sequences import pad
from ..text import Vocabulary
from ..training.callbacks import CosineDecay
from ..training.fit import fit
from .task import Part, Trained, accuracy, need

LOCALES = {
    "Croatian": "hr_HR",
    "Dutch": "nl_NL",
    "English": "en_GB",
    "Estonian": "et_EE",
    "Finnish": "fi_FI",
    "French": "fr_FR",
    "German": "de_DE",
    "Italian": "it_IT",
    "Spanish": "es_ES",
    "Swedish": "sv_SE",
}
NAMES = 340  # of every language
HELD_OUT = 50  # of every language, for the validation part and again for the test part


class Surnames(NamedTuple):
    """Three parts that share no name: x integer (N, T), target the place of the language in LOCALES."""

    vocabulary: Vocabulary
    train: Part
    validation: Part
    test: Part


def data() -> Surnames:
    """The names; raises ImportError where Faker is not installed."""
    lists = []
    for locale in LOCALES.values():
        provider = need(f"faker.providers.person.{locale}").Provider
        lists.append({surname.lower() for surname in provider.last_names})
    rng = np.random.default_rng(0)
    chosen = []
    for i, names in enumerate(lists):
        elsewhere = set().union(*lists[:i], *lists[i + 1 :])
        chosen.append(rng.permutation(sorted(names - elsewhere))[:NAMES].tolist())
    vocabulary = Vocabulary("".join(name for names in chosen for name in names))

    def part(rows: slice) -> Part:
        x, lengths = pad([vocabulary.encode(name) for language in chosen for name in language[rows]])
        return Part(x, np.repeat(np.arange(len(chosen)), [len(language[rows]) for language in chosen]), lengths)

    cuts = slice(2 * HELD_OUT, None), slice(HELD_OUT, 2 * HELD_OUT), slice(HELD_OUT)
    return Surnames(vocabulary, *(part(rows) for rows in cuts))


def letter_pairs(learn: Part, test: Part, letters: int) -> float:
    """The same share for naive Bayes on pairs of neighbouring letters, each end of a name counted as a letter.

    log p(language | name) = Σ_pairs log p(pair | language) + const., with one added to every count
    """
    counts = np.ones((len(LOCALES), (letters + 1) ** 2))
    for pairs, language in zip(_pairs(learn, letters), learn.target, strict=True):
        np.add.at(counts[language], pairs, 1)
    log_p = np.log(counts / counts.sum(axis=1, keepdims=True))
    guesses = [log_p[:, pairs].sum(axis=1).argmax() for pairs in _pairs(test, letters)]
    return float((np.array(guesses) == test.target).mean())


def _pairs(part: Part, letters: int) -> list[np.ndarray]:
    """Neighbouring letters of each name as one number each; `letters` itself is the end of a name."""
    padded = [np.pad(row[:n], 1, constant_values=letters) for row, n in zip(part.x, part.lengths, strict=True)]
    return [name[:-1] * (letters + 1) + name[1:] for name in padded]


def train(
    *, epochs: int = 30, seed: int = 0, backend: str | None = None, dtype: str = "float32", progress: bool = True
) -> Trained:
    """An embedding of 32, one recurrent layer of 128, dropout on both."""
    surnames = data()
    V = len(surnames.vocabulary)
    layers: list[Layer] = [Embedding(V, 32), Dropout(0.3), RNN(32, 128), Dropout(0.5), Linear(128, len(LOCALES))]
    model = SequenceModel(layers, loss="cross_entropy", backend=backend, dtype=dtype, seed=seed)
    history = fit(
        model,
        surnames.train.x,
        surnames.train.target,
        lengths=surnames.train.lengths,
        steps="last",
        epochs=epochs,
        optimizer=Adam(0.002),
        clip_norm=1.0,
        validation=surnames.validation._asdict(),
        seed=seed,
        progress=progress,
        callbacks=[CosineDecay(epochs)],
    )
    beside = {
        "validation accuracy": accuracy(model, surnames.validation),
        "naive Bayes on pairs of letters": letter_pairs(surnames.train, surnames.test, V),
    }
    extra = {"letters": surnames.vocabulary.to_list(), "languages": list(LOCALES)}
    return Trained({"model": model}, history, accuracy(model, surnames.test), beside, extra=extra)
