"""What the plots need of the objects they draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from ..gradients.flow import Flow


class JacobianSpectrumLike(Protocol):
    """Singular values of ∂h_t/∂h_{t−lag}, as a `JacobianSpectrum` has them."""

    @property
    def log10(self) -> np.ndarray: ...  # (K + 1, H)

    @property
    def log10_bound(self) -> np.ndarray: ...  # (K + 1,)

    @property
    def radius(self) -> float: ...

    @property
    def norm(self) -> float: ...

    @property
    def gamma(self) -> float: ...


class GradientFlowLike(Protocol):
    """The gradients of one batch, as a `GradientFlow` has them."""

    @property
    def about(self) -> str: ...

    @property
    def flow(self) -> Flow: ...

    @property
    def cells(self) -> Sequence[str]: ...

    @property
    def grad_norms(self) -> Mapping[str, float]: ...

    @property
    def saturated(self) -> np.ndarray: ...  # (cells, T)

    @property
    def lag_map(self) -> np.ndarray | None: ...  # (T, T)

    @property
    def input_map(self) -> np.ndarray | None: ...  # (T, T)

    @property
    def spectrum(self) -> JacobianSpectrumLike | None: ...


class FlowRecordLike(Protocol):
    """The gradients of a training run, one row per recorded update, as a `FlowRecord` has them."""

    def __len__(self) -> int: ...

    @property
    def updates(self) -> Sequence[int]: ...  # (rows,)

    @property
    def batch_rows(self) -> Sequence[int]: ...  # (rows,)

    @property
    def directions(self) -> int: ...

    @property
    def names(self) -> Sequence[str]: ...  # of the tensors

    @property
    def per_sample(self) -> np.ndarray: ...  # (rows, T)

    @property
    def layers(self) -> np.ndarray: ...  # (rows, cells, T)

    @property
    def saturated(self) -> np.ndarray: ...  # (rows, cells, T)

    @property
    def grad_norms(self) -> Mapping[str, np.ndarray]: ...  # each (rows,)

    @property
    def update_ratios(self) -> Mapping[str, np.ndarray]: ...  # each (rows,)


class HistoryLike(Protocol):
    """A training run, as a `History` has it."""

    @property
    def loss(self) -> Sequence[float]: ...

    @property
    def val_loss(self) -> Sequence[float]: ...

    @property
    def grad_norm(self) -> Sequence[float]: ...

    @property
    def clipped(self) -> Sequence[bool]: ...

    @property
    def flow(self) -> FlowRecordLike: ...


class SurfaceLike(Protocol):
    """An error over a grid of w and b, and the norm of its gradient."""

    @property
    def w(self) -> np.ndarray: ...  # (I,)

    @property
    def b(self) -> np.ndarray: ...  # (J,)

    @property
    def error(self) -> np.ndarray: ...  # (I, J)

    @property
    def norm(self) -> np.ndarray: ...  # (I, J)


class SweepLike(Protocol):
    """The last states of one unit for every b, from two initial states."""

    @property
    def w(self) -> float: ...

    @property
    def b(self) -> np.ndarray: ...  # (K,)

    @property
    def low(self) -> np.ndarray: ...  # (K,)

    @property
    def high(self) -> np.ndarray: ...  # (K,)


class SettingLike(Protocol):
    """The settings that several runs of temporal order share."""

    @property
    def length(self) -> int: ...

    @property
    def std(self) -> float: ...

    @property
    def rate(self) -> float: ...

    @property
    def updates(self) -> int: ...

    @property
    def clip_norm(self) -> float | None: ...

    @property
    def seen(self) -> tuple[int, int]: ...


class RunLike(Protocol):
    """One run of temporal order: whether it solved the task, and its norms."""

    @property
    def solved(self) -> bool: ...

    @property
    def updates(self) -> int: ...

    @property
    def largest_norm(self) -> Sequence[float]: ...

    @property
    def flow(self) -> Sequence[float]: ...  # (T,)
