"""Asynchronous many-to-many (异步多对多): dates as people write them → ISO 8601.

    "17 November 1987"   "Nov 17, 1987"   "17.11.87"   "1987年11月17日"   →   "1987-11-17"

All 36,525 days from 1950 to 2049, so that two digits name a year. 2,000 days are the test part and 500 the validation
part, each of these days in all four forms; training takes 10,000 of the pairs of all other days. So no day of the test
part is seen in training in any form. The metric is the share of dates written without a wrong character by the decoder
on its own.
"""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple, cast

import numpy as np

from ..encoder_decoder import EncoderDecoder
from ..layers.linear import Linear
from ..layers.rnn import RNN
from ..model import SequenceModel
from ..optimizers import Adam
from ..sequences import pad
from ..text import Vocabulary
from ..training.callbacks import CosineDecay
from ..training.fit import fit
from .task import Trained, split

FIRST, LAST = datetime.date(1950, 1, 1), datetime.date(2049, 12, 31)
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
LENGTH = len("1950-01-01")


class Part(NamedTuple):
    """Pairs: a date as it is written, and in ISO form."""

    x: np.ndarray  # (N, T) int, zeros past the end of each row
    lengths: np.ndarray  # (N,)
    target: np.ndarray  # (N, 10) int
    days: np.ndarray  # (N,): which day it is, from 0


class Dates(NamedTuple):
    """Three parts that share no day."""

    source: Vocabulary
    iso: Vocabulary
    train: Part
    validation: Part
    test: Part


def forms(day: datetime.date) -> tuple[str, str, str, str]:
    """The four ways in which a day is written.

    >>> forms(datetime.date(1987, 3, 5))
    ('5 March 1987', 'Mar 5, 1987', '05.03.87', '1987年3月5日')
    """
    year, month, name = day.year, day.month, MONTHS[day.month - 1]
    return (
        f"{day.day} {name} {year}",
        f"{name[:3]} {day.day}, {year}",
        f"{day.day:02}.{month:02}.{year % 100:02}",
        f"{year}年{month}月{day.day}日",
    )


def data(pairs: int = 10_000) -> Dates:
    """The dates; the same parts whatever the seed."""
    days = [FIRST + datetime.timedelta(i) for i in range((LAST - FIRST).days + 1)]
    written = [forms(day) for day in days]
    source = Vocabulary("".join(form for four in written for form in four))
    iso = Vocabulary("0123456789-")

    def part(chosen: np.ndarray) -> Part:
        """chosen: 4 · day + form."""
        x, lengths = pad([source.encode(written[i // 4][i % 4]) for i in chosen])
        target = iso.encode("".join(days[i // 4].isoformat() for i in chosen)).reshape(-1, LENGTH)
        return Part(x, lengths, target, chosen // 4)

    train, validation, test = split(len(days), 500, 2000)
    in_all_forms = [(4 * part[:, None] + np.arange(4)).reshape(-1) for part in (train, validation, test)]
    in_all_forms[0] = np.random.default_rng(1).permutation(in_all_forms[0])[:pairs]
    return Dates(source, iso, *(part(chosen) for chosen in in_all_forms))


def metric(model: EncoderDecoder, part: Part) -> float:
    """The share of dates that it writes exactly, on its own."""
    return float((model.write(part.x, part.lengths) == part.target).all(axis=1).mean())


def train(
    *, epochs: int = 60, seed: int = 0, backend: str | None = None, dtype: str = "float32", progress: bool = True
) -> Trained:
    """One recurrent layer of 128 reads, another writes; Adam 0.002, 128 pairs in an update."""
    dates = data()
    V = len(dates.iso)
    place: dict[str, Any] = {"backend": backend, "dtype": dtype}
    model = EncoderDecoder(
        SequenceModel([RNN(len(dates.source), 128)], seed=2 * seed, **place),
        SequenceModel([RNN(V + 1, 128), Linear(128, V)], loss="cross_entropy", seed=2 * seed + 1, **place),
        LENGTH,
    )
    network = cast(SequenceModel, model)  # it has all that `fit` asks of one
    history = fit(
        network,
        dates.train.x,
        dates.train.target,
        lengths=dates.train.lengths,
        epochs=epochs,
        batch_size=128,
        optimizer=Adam(0.002),
        clip_norm=1.0,
        seed=seed,
        progress=progress,
        callbacks=[CosineDecay(epochs)],
    )
    beside = {"validation part, exact": metric(model, dates.validation)}
    test = dates.test
    answers = model.write(test.x[:8], test.lengths[:8])
    examples = tuple(
        (dates.source.decode(x[:length]), dates.iso.decode(answer))
        for x, length, answer in zip(test.x, test.lengths, answers, strict=False)
    )
    extra = {"source": dates.source.to_list(), "iso": dates.iso.to_list()}
    return Trained({"model": network}, history, metric(model, test), beside, examples, extra)
