"""The flow of gradients through time, as the backward pass itself saw it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._arrays import Array, namespace, side_by_side
from .._numerics import expected_underflow, row_norms


class LayerFlow(NamedTuple):
    """‖∂L/∂h_t‖ of one recurrent layer: the total derivative, through y_t and through every later step.

    per_sample (N, T) is N · ‖∂L/∂h_t[n]‖, the norm over hidden units for row n, freed of the 1/N of the batch mean.
    flushed (T,) counts the entries of ∂L/∂h_t below the smallest normal number of the dtype, which were set to 0.
    saturation (N, T) is the fraction of units of each row whose slope is (nearly) 0: |h| > 0.999 of tanh, h = 0 of
    relu; NaN where the row is over, None where they were not counted.
    """

    per_sample: Array
    flushed: Array
    saturation: Array = None

    def __repr__(self) -> str:
        return f"LayerFlow({_sizes(self)})"

    @property
    @expected_underflow
    def norms(self) -> Array:
        """(T,) float64: ‖∂L/∂h_t‖ over batch and hidden units. Of a mean loss it shrinks as 1/√N."""
        return row_norms(self.per_sample.T) / len(self.per_sample)

    @property
    def saturated(self) -> Array:
        """(T,) float64: the fraction of saturated units over the rows that are not over; NaN where all are.

        Raises ValueError where they were not counted.
        """
        if self.saturation is None:
            raise ValueError("saturated units were not counted; call loss_and_grads(…, saturation=True)")
        return mean_of_rows(self.saturation)


class Flow(NamedTuple):
    """Gradient flow of one backward pass; `layers` has one entry per recurrent layer, bottom to top.

    A layer with several levels or directions has an entry for each, in PyTorch's order (level by level, forward before
    reverse). `norms`, `per_sample` and `flushed` are those of the top recurrent layer, both directions together.
    """

    layers: tuple[LayerFlow, ...]
    directions: int = 1  # of the top recurrent layer, which has as many of the last entries

    def __repr__(self) -> str:
        return f"Flow(cells={len(self.layers)}, {_sizes(self.top)})"

    @property
    def top(self) -> LayerFlow:
        """The top recurrent layer: of two directions the root of the sum of squares, for h_t is both of them."""
        if self.directions == 1:
            return self.layers[-1]
        sides = self.layers[-self.directions :]
        side_by_side = namespace(sides[0].per_sample).concatenate(
            [side.per_sample[..., None] for side in sides], axis=2
        )
        saturation = None if sides[0].saturation is None else sum(side.saturation for side in sides) / len(sides)
        return LayerFlow(row_norms(side_by_side), sum(side.flushed for side in sides), saturation)

    @property
    def norms(self) -> Array:
        """(T,) float64: ‖∂L/∂h_t‖ of the top recurrent layer over batch and hidden units."""
        return self.top.norms

    @property
    def per_sample(self) -> Array:
        """(N, T) float64: N · ‖∂L/∂h_t[n]‖ of the top recurrent layer; does not shrink with the batch."""
        return self.top.per_sample

    @property
    def flushed(self) -> Array:
        """(T,) int: entries of ∂L/∂h_t set to 0 because they were subnormal."""
        return self.top.flushed

    @property
    def names(self) -> list[str]:
        """What the entries of `layers` are called, by level and direction."""
        return cell_names(len(self.layers), self.directions)

    @staticmethod
    def joined(parts: Sequence[Flow], order: Array | None) -> Flow:
        """Those of several groups of rows as one, rows in this order (None: as they are)."""

        def joined_layer(layers: Sequence[LayerFlow]) -> LayerFlow:
            saturation = [layer.saturation for layer in layers]
            return LayerFlow(
                side_by_side([layer.per_sample for layer in layers], 0, order),
                sum(layer.flushed for layer in layers),
                None if saturation[0] is None else side_by_side(saturation, 0, order),
            )

        of_cells = zip(*(part.layers for part in parts), strict=True)
        return Flow(tuple(joined_layer(layers) for layers in of_cells), parts[0].directions)

    def saturated_as(self, saturation: Sequence[Array]) -> Flow:
        """The same with the saturation (N, T) of every layer."""
        layers = tuple(layer._replace(saturation=own) for layer, own in zip(self.layers, saturation, strict=True))
        return self._replace(layers=layers)

    def plot(self, ax: Any = None) -> Any:
        """Draw ‖∂L/∂h_t‖ against the time step: median over the rows, with their range. Returns the matplotlib axes."""
        from ..plots import plot_flow

        return plot_flow(self, ax)


def _sizes(layer: LayerFlow) -> str:
    """How many rows and steps there are, and how large the gradient is at both ends."""
    N, T = layer.per_sample.shape
    first, last = float(layer.norms[0]), float(layer.norms[-1])
    return f"N={N}, T={T}, ‖∂L/∂h_t‖ {first:.3g} at t=0, {last:.3g} at t={T - 1}"


def cell_names(cells: int, directions: int, tensors: Iterable[str] = ()) -> list[str]:
    """What recurrent cells are called, bottom to top, by level and, where there are two, by direction.

    directions is that of the top level. Where the names of the model's tensors are at hand they say which levels below
    have two; else those are taken to have as many where that comes out even, and one where it does not.

    >>> cell_names(2, 1), cell_names(2, 2)
    (['level 0', 'level 1'], ['level 0 forward', 'level 0 reverse'])
    >>> cell_names(3, 2, ["W_hh", "1.W_hh", "1.W_hh_reverse", "2.W_hy"])
    ['level 0', 'level 1 forward', 'level 1 reverse']
    """
    own = [name for name in (tensor.rpartition(".")[2] for tensor in tensors) if name.startswith("W_hh")]
    reverse = [name.endswith("_reverse") for name in own]
    if len(reverse) != cells:
        paired = directions == 2 and cells % 2 == 0
        reverse = [i % 2 == 1 if paired else directions == 2 and i == cells - 1 for i in range(cells)]
    names, level = [], -1
    for i, back in enumerate(reverse):
        level += not back
        two = back or reverse[i + 1 : i + 2] == [True]
        names.append(f"level {level}" + (" reverse" if back else " forward" if two else ""))
    return names


def mean_of_rows(a: Array) -> Array:
    """(…, T): the mean over the rows of a (…, N, T), which is NaN where a row is over; NaN where all are."""
    xp = namespace(a)
    means = a.mean(axis=-2)
    if not xp.isnan(means).any():
        return means
    there = ~xp.isnan(a)
    counts = there.sum(axis=-2)
    return xp.where(counts > 0, xp.where(there, a, 0).sum(axis=-2) / xp.maximum(counts, 1), np.nan)
