"""The loop that counts saturated units."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...._arrays import Array
from ..compile import OPTIONS, kernel


def _saturated(fractions: Array, h: Array, valid: Array | None, tanh: bool, limit: Any) -> None:
    """The fraction of saturated units of every row, NaN where a row is over (valid None: none is).

    h (M, H), fractions (M,); limit is a number of the dtype of h.
    """
    M, H = h.shape
    for i in range(M):
        count = np.int32(0)
        if tanh:
            for j in range(H):
                count += np.int32(abs(h[i, j]) > limit)
        else:
            for j in range(H):
                count += np.int32(h[i, j] == 0)
        fractions[i] = count / H
        if valid is not None and not valid[i]:
            fractions[i] = np.nan


# Too short to be worth waiting for the lock afterwards.
saturated_of_rows = kernel(_saturated, **OPTIONS | {"nogil": False})
