"""The flow of gradients over a whole training run, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from .._arrays import to_numpy
from .._numerics import expected_underflow, row_norms
from ..gradients.flow import Flow, LayerFlow, mean_of_rows

MAX_FLOW_ROWS = 512
MAX_FLOW_NUMBERS = 1 << 22  # 32 MiB
MAX_SEEN_NUMBERS = 1 << 22  # of updates that are not yet made into rows
AT_ONCE = 16  # updates that are made into rows together


class Details(NamedTuple):
    """What track="all" sees of one update besides the norms."""

    spread: np.ndarray  # (3, cells, T): least, median and largest N · ‖∂L/∂h_t[n]‖ over the rows
    saturated: np.ndarray  # (cells, T)
    grad_norms: np.ndarray  # (tensors,): before clipping
    update_ratios: np.ndarray  # (tensors,): ‖Δθ‖ / ‖θ‖


class FlowRow(NamedTuple):
    """One update."""

    update: int  # its number, from 1
    batch_rows: int  # N of that minibatch
    norms: np.ndarray  # (cells, T)
    details: Details | None = None

    @property
    def size(self) -> int:
        """Numbers in it."""
        return self.norms.size + sum(array.size for array in self.details or ())


class TensorNorms(NamedTuple):
    """‖·‖ of every tensor in one update; three arrays (tensors,)."""

    grads: np.ndarray  # before clipping
    steps: np.ndarray  # Δθ
    weights: np.ndarray  # θ before the update


class Seen(NamedTuple):
    """What an update leaves, before it is made into a row."""

    update: int
    layers: tuple[LayerFlow, ...]
    lengths: Any
    tensors: TensorNorms | None

    @property
    def kind(self) -> tuple[Any, ...]:
        """What it must have in common with others to be made into rows together with them."""
        tensors = None if self.tensors is None else len(self.tensors.grads)
        return self.layers[0].per_sample.shape, len(self.layers), self.lengths is None, tensors


@expected_underflow
def rows_of(seen: Sequence[Seen]) -> list[FlowRow]:
    """Norms, and where tensors were looked at, everything. The updates are of one kind."""
    per_sample = np.array([[to_numpy(layer.per_sample).T for layer in one.layers] for one in seen])  # (…, cells, T, N)
    N = per_sample.shape[-1]
    norms = row_norms(per_sample) / N
    details: Iterable[Details | None] = [None] * len(seen)
    if seen[0].tensors is not None:
        lengths = None if seen[0].lengths is None else np.array([to_numpy(one.lengths) for one in seen])
        saturation = np.array([[to_numpy(layer.saturation) for layer in one.layers] for one in seen])
        grads, steps, weights = np.array([one.tensors for one in seen]).swapaxes(0, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = steps / weights
        every = zip(spread(per_sample, lengths), mean_of_rows(saturation), grads, ratios, strict=True)
        details = [Details(*(array.copy() for array in one)) for one in every]
    rows = zip(seen, norms, details, strict=True)
    return [FlowRow(one.update, N, own.copy(), detail) for one, own, detail in rows]  # copies: a view would keep all


class FlowRecord:
    """‖∂L/∂h_t‖ over time steps and updates, and what else was tracked, thinned evenly to a bounded size.

    A record has at most MAX_FLOW_ROWS rows, and fewer where those would hold more than MAX_FLOW_NUMBERS numbers. When
    the room runs out every second row is dropped and twice as many updates are skipped from then on, so that the rows
    kept are always evenly spaced over the whole run. A cell is one recurrence: a level or a direction of a recurrent
    layer; cells are numbered from bottom to top, forward before reverse. Tables have NaN past the end of shorter
    sequences, and where a row was recorded without what they show.
    """

    def __init__(
        self, rows: Sequence[FlowRow] = (), every: int = 1, directions: int = 1, names: Sequence[str] = ()
    ) -> None:
        self.directions = directions  # of the top recurrent layer, which has as many of the last cells
        self.names = tuple(names)  # of the tensors
        self._rows = list(rows)
        self._size = sum(row.size for row in self._rows)
        self._every = every
        self._seen: list[Seen] = []  # made into rows when somebody asks: those that are thinned out never are

    @property
    def rows(self) -> list[FlowRow]:
        """Every update that is kept."""
        self._settle()
        return self._rows

    @property
    def every(self) -> int:
        """One update in so many has a row."""
        self._settle()
        return self._every

    def wants(self, update: int) -> bool:
        """Whether this update would get a row."""
        return (update - 1) % self._every == 0

    def add(
        self,
        update: int,
        flow: Flow,
        *,
        lengths: Any = None,
        names: Iterable[str] = (),
        tensors: TensorNorms | None = None,
    ) -> None:
        """Record one update, or pass over it; in detail where the norms of the tensors of those names are given.

        lengths (N,) says where rows are over: what lies behind takes no part in least, median and largest.
        """
        if not self.wants(update):
            return
        self.directions = flow.directions
        if tensors is not None:
            self.names = tuple(names)
        while self._seen and self.wants(update) and len(self._rows) + len(self._seen) >= MAX_FLOW_ROWS:
            self._thin()
        if not self.wants(update):
            return
        self._seen.append(Seen(update, flow.layers, lengths, tensors))
        if len(self._seen) * sum(2 * layer.per_sample.size for layer in flow.layers) > MAX_SEEN_NUMBERS:
            self._settle()

    def _thin(self) -> None:
        """Drop every second update."""
        self._every *= 2
        self._rows = [kept for kept in self._rows if self.wants(kept.update)]
        self._seen = [kept for kept in self._seen if self.wants(kept.update)]
        self._size = sum(kept.size for kept in self._rows)

    def _settle(self) -> None:
        """Make rows of what was seen."""
        while self._seen:
            together, self._seen = self._seen[:AT_ONCE], self._seen[AT_ONCE:]
            for _, alike in groupby(together, lambda one: one.kind):
                for row in rows_of(list(alike)):
                    self._keep(row)

    def _keep(self, row: FlowRow) -> None:
        """Append a row where one belongs, and make room for it first."""
        while (
            self._rows
            and self.wants(row.update)
            and (len(self._rows) >= MAX_FLOW_ROWS or self._size + row.size > MAX_FLOW_NUMBERS)
        ):
            self._thin()
        if self.wants(row.update):
            self._rows.append(row)
            self._size += row.size

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"FlowRecord({len(self)} updates × {self.norms.shape[1]} time steps, every {self.every})"

    @property
    def updates(self) -> list[int]:
        """Number of the update, from 1, that each row belongs to."""
        return [row.update for row in self.rows]

    @property
    def batch_rows(self) -> list[int]:
        """N of each minibatch."""
        return [row.batch_rows for row in self.rows]

    @property
    def norms(self) -> np.ndarray:
        """(rows, T) float64: ‖∂L/∂h_t‖ of the top recurrent layer, both directions together."""
        top = [row.norms[-self.directions :] for row in self.rows]
        return table([row_norms(sides.T)[None] for sides in top], 2).sum(axis=1)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.norms if dtype is None else self.norms.astype(dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.norms[index]

    @property
    def per_sample(self) -> np.ndarray:
        """(rows, T): √N · ‖∂L/∂h_t‖, the root mean square over rows of N · ‖∂L/∂h_t[n]‖.

        The norm of a mean loss's gradient shrinks as 1/√N; this does not, so minibatches of different size compare.
        """
        return self.norms * np.sqrt(np.array(self.batch_rows, dtype=float))[:, None]

    @property
    def layers(self) -> np.ndarray:
        """(rows, cells, T) float64: ‖∂L/∂h_t‖ of every recurrent cell."""
        return table([row.norms for row in self.rows], 2)

    @property
    def log10(self) -> np.ndarray:
        """(rows, cells, T): log10 ‖∂L/∂h_t‖, NaN where it is exactly 0: `zeros` says where."""
        layers = self.layers
        return np.log10(np.where(layers > 0, layers, np.nan))

    @property
    def zeros(self) -> np.ndarray:
        """(rows, cells, T) bool: where ‖∂L/∂h_t‖ is exactly 0."""
        return self.layers == 0

    @property
    def spread(self) -> np.ndarray:
        """(rows, 3, cells, T): least, median and largest N · ‖∂L/∂h_t[n]‖ over the rows of the minibatch."""
        nothing = np.empty((3, 0, 0))
        return table([row.details.spread if row.details else nothing for row in self.rows], 3)

    @property
    def saturated(self) -> np.ndarray:
        """(rows, cells, T): fraction of units whose slope is (nearly) 0, |h| > 0.999 of tanh and h = 0 of relu."""
        nothing = np.empty((0, 0))
        return table([row.details.saturated if row.details else nothing for row in self.rows], 2)

    @property
    def grad_norms(self) -> dict[str, np.ndarray]:
        """For each tensor (rows,): ‖∂L/∂θ‖ before clipping."""
        return self._of_tensors("grad_norms")

    @property
    def update_ratios(self) -> dict[str, np.ndarray]:
        """For each tensor (rows,): ‖Δθ‖ / ‖θ‖, what the update changes of what it found.

        inf where that was 0, NaN where it stays 0.
        """
        return self._of_tensors("update_ratios")

    def _of_tensors(self, which: str) -> dict[str, np.ndarray]:
        nothing = np.full(len(self.names), np.nan)
        columns = [getattr(row.details, which) if row.details else nothing for row in self.rows]
        return {name: np.array([column[i] for column in columns]) for i, name in enumerate(self.names)}


def spread(per_sample: np.ndarray, lengths: Any = None) -> np.ndarray:
    """(…, 3, cells, T): least, median and largest over the rows of (…, cells, T, N) that are not over.

    lengths is (…, N). NaN where all rows are over.
    """
    T, N = per_sample.shape[-2:]
    if lengths is None:
        ordered = np.sort(per_sample, axis=-1)
        median = (ordered[..., (N - 1) // 2] + ordered[..., N // 2]) / 2
        return np.stack([ordered[..., 0], median, ordered[..., -1]], axis=-3)
    inside = np.arange(T)[:, None] < to_numpy(lengths)[..., None, None, :]  # (…, 1, T, N)
    ordered = np.sort(np.where(inside, per_sample, np.nan), axis=-1)  # NaN last
    last = np.broadcast_to(np.maximum(inside.sum(axis=-1) - 1, 0), ordered.shape[:-1])

    def at(i: np.ndarray) -> np.ndarray:
        return np.take_along_axis(ordered, i[..., None], axis=-1)[..., 0]

    return np.stack([ordered[..., 0], (at(last // 2) + at((last + 1) // 2)) / 2, at(last)], axis=-3)


def table(arrays: Sequence[np.ndarray], axes: int) -> np.ndarray:
    """Arrays (…, cells, T) of so many axes as one, with NaN where one has fewer steps, or fewer cells at the bottom."""
    shape = np.max([array.shape for array in arrays], axis=0, initial=0) if arrays else np.zeros(axes, int)
    result = np.full((len(arrays), *shape), np.nan)
    for row, array in zip(result, arrays, strict=True):
        *_, cells, T = array.shape
        row[..., shape[-2] - cells :, :T] = array
    return result
