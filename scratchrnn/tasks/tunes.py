"""One-to-many (一对多): a whole tune from its first note.

Eight folk tunes, each moved to a first note of its own. A note is a pitch with a duration and stands for one integer;
0 is no note. The network is given the first note and says the tune, note by note, then 0: the tune is over. It is
trained, and heard, in one of two ways:

    feedback    x = note_0, note_1, note_2, …      while playing, each output is the next input
    blank       x = note_0, 0, 0, …                the state alone knows how far the tune is

In both the target of step t is note_{t+1}. A tune is learned by heart: there is nothing to generalise to, so there is
no test part, and the score counts the tunes that come back without one mistake in pitch, duration or end.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from .._arrays import to_numpy
from ..layers.linear import Linear
from ..layers.rnn import RNN
from ..model import SequenceModel
from ..optimizers import Adam
from ..sequences import pad
from ..training.callbacks import CosineDecay
from ..training.fit import fit
from .task import Trained

# As in ABC notation with L:1/8. C … B is the octave from middle C, c … b the one above, a comma the one below; the
# number is the duration in eighths. All are public domain and without sharps or flats when written in C.
TUNES = {
    "Frère Jacques": """
        C2 D2 E2 C2 | C2 D2 E2 C2 | E2 F2 G4 | E2 F2 G4 | G A G F E2 C2 | G A G F E2 C2 | C2 G,2 C4 | C2 G,2 C4""",
    "Ah ! vous dirai-je, maman": """
        C2 C2 G2 G2 | A2 A2 G4 | F2 F2 E2 E2 | D2 D2 C4 | G2 G2 F2 F2 | E2 E2 D4 | G2 G2 F2 F2 | E2 E2 D4 |
        C2 C2 G2 G2 | A2 A2 G4 | F2 F2 E2 E2 | D2 D2 C4""",
    "Au clair de la lune": """
        C2 C2 C2 D2 | E4 D4 | C2 E2 D2 D2 | C8 | C2 C2 C2 D2 | E4 D4 | C2 E2 D2 D2 | C8 |
        D2 D2 D2 D2 | A,4 A,4 | D2 C2 B,2 A,2 | G,8 | C2 C2 C2 D2 | E4 D4 | C2 E2 D2 D2 | C8""",
    "An die Freude": """
        E2 E2 F2 G2 | G2 F2 E2 D2 | C2 C2 D2 E2 | E3 D D4 | E2 E2 F2 G2 | G2 F2 E2 D2 | C2 C2 D2 E2 | D3 C C4 |
        D2 D2 E2 C2 | D2 E F E2 C2 | D2 E F E2 D2 | C2 D2 G,4 | E2 E2 F2 G2 | G2 F2 E2 D2 | C2 C2 D2 E2 | D3 C C4""",
    "Mary had a little lamb": """
        E3 D C2 D2 | E2 E2 E4 | D2 D2 D4 | E2 G2 G4 | E3 D C2 D2 | E2 E2 E2 E2 | D2 D2 E2 D2 | C8""",
    "London Bridge": """
        G3 A G2 F2 | E2 F2 G4 | D2 E2 F4 | E2 F2 G4 | G3 A G2 F2 | E2 F2 G4 | D4 G4 | E2 C6""",
    "Hänschen klein": """
        G2 E2 E4 | F2 D2 D4 | C2 D2 E2 F2 | G2 G2 G4 | G2 E2 E4 | F2 D2 D4 | C2 E2 G2 G2 | C8 |
        D2 D2 D2 D2 | D2 E2 F4 | E2 E2 E2 E2 | E2 F2 G4 | G2 E2 E4 | F2 D2 D4 | C2 E2 G2 G2 | C8""",
    "茉莉花": """
        E2 E G A c c A | G2 G A G4 | E2 E G A c c A | G2 G A G4 | G2 G2 G2 E G | A2 A2 G4 | E2 D E G2 E D | C2 C D C4 |
        E D C E D3 E | G2 A c G4 | D2 E G D E C A, | G,4 A,2 C2 | D3 E C D C A, | G,8""",
}
SCALE = dict(zip("CDEFGAB", (0, 2, 4, 5, 7, 9, 11), strict=True))
NAMES = "C C♯ D D♯ E F F♯ G G♯ A A♯ B".split()
FIRST = 60  # middle C: the first note of the first tune; each tune after it begins a semitone higher

Note = tuple[int, int]  # MIDI pitch, duration in eighths


class Tunes(NamedTuple):
    """The tunes as integers. A note with number i is notes[i − 1]; 0 is none."""

    notes: list[Note]
    x: np.ndarray  # (8, T) int: note t of each tune, then zeros
    target: np.ndarray  # (8, T) int: note t + 1, 0 at the end and after it
    lengths: np.ndarray  # (8,): notes of each tune


def read(abc: str) -> list[Note]:
    """The notes of a tune as it is written above.

    >>> read("C2 c | A,3")
    [(60, 2), (72, 1), (57, 3)]
    """
    notes = []
    for word in abc.replace("|", " ").split():
        parts = re.fullmatch(r"([A-Ga-g])(,?)(\d*)", word)
        if parts is None:
            raise ValueError(f"{word!r} is not a note such as C, c2 or A,4")
        letter, low, eighths = parts.groups()
        pitch = FIRST + SCALE[letter.upper()] + 12 * letter.islower() - 12 * bool(low)
        notes.append((pitch, int(eighths or 1)))
    return notes


def name(note: Note) -> str:
    """A note for people: pitch, octave and duration in eighths.

    >>> name((61, 2))
    'C♯4:2'
    """
    pitch, eighths = note
    return f"{NAMES[pitch % 12]}{pitch // 12 - 1}:{eighths}"


def data() -> Tunes:
    """The tunes, tune i moved so that it begins i semitones above middle C."""
    tunes = []
    for i, abc in enumerate(TUNES.values()):
        tune = read(abc)
        tunes.append([(pitch - tune[0][0] + FIRST + i, eighths) for pitch, eighths in tune])
    notes = sorted({note for tune in tunes for note in tune})
    number = {note: i + 1 for i, note in enumerate(notes)}
    x, lengths = pad([np.array([number[note] for note in tune]) for tune in tunes])
    return Tunes(notes, x, np.pad(x[:, 1:], ((0, 0), (0, 1))), lengths)


def blank(x: np.ndarray) -> np.ndarray:
    """The first note of each row, then nothing."""
    return np.where(np.arange(x.shape[1]) == 0, x, 0)


def play(model: SequenceModel, first: int, feedback: bool, limit: int = 200) -> list[int]:
    """The tune that the network makes of one note: greedy, up to the 0 that ends it, at most `limit` notes."""
    tune, state = [int(first)], None
    while len(tune) < limit:
        given = tune[-1] if feedback or len(tune) == 1 else 0
        out = model.forward(np.array([[given]]), state)
        state, note = out.h_last, int(to_numpy(out.y[0, 0]).argmax())
        if note == 0:
            break
        tune.append(note)
    return tune


def metric(model: SequenceModel, tunes: Tunes, feedback: bool) -> float:
    """How many of the tunes come back exactly from their first note alone."""
    return float(sum(_played(model, tunes, feedback)))


def _played(model: SequenceModel, tunes: Tunes, feedback: bool) -> list[bool]:
    rows = zip(tunes.x, tunes.lengths, strict=True)
    return [play(model, row[0], feedback) == row[:length].tolist() for row, length in rows]


def train(
    *,
    feedback: bool = True,
    epochs: int = 400,
    seed: int = 0,
    backend: str | None = None,
    dtype: str = "float32",
    progress: bool = True,
) -> Trained:
    """One recurrent layer of 64 under a softmax over all notes; Adam 0.005, all eight tunes in every update.

    With blank inputs every note hangs on all steps before it, and it takes about 1,000 epochs.
    """
    tunes = data()
    V = len(tunes.notes) + 1
    model = SequenceModel([RNN(V, 64), Linear(64, V)], loss="cross_entropy", backend=backend, dtype=dtype, seed=seed)
    history = fit(
        model,
        tunes.x if feedback else blank(tunes.x),
        tunes.target,
        lengths=tunes.lengths,
        epochs=epochs,
        batch_size=len(tunes.x),
        optimizer=Adam(0.005),
        clip_norm=1.0,
        seed=seed,
        progress=progress,
        callbacks=[CosineDecay(epochs)],
    )
    played = _played(model, tunes, feedback)
    examples = tuple(
        (f"{title}, from {name(tunes.notes[row[0] - 1])}", "exact" if exact else "not exact")
        for title, row, exact in zip(TUNES, tunes.x, played, strict=True)
    )
    return Trained({"model": model}, history, float(sum(played)), examples=examples, extra={"notes": tunes.notes})
