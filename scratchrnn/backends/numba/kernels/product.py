"""The arguments of the compiled product, which `gemm.py` writes and loops call."""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

# Epilogues: what a sum goes through before it is written.
NOTHING, TANH, RELU, TANH_DERIVATIVE, RELU_DERIVATIVE = range(5)
ACTIVATION = {"tanh": TANH, "relu": RELU}
DERIVATIVE = {"tanh": TANH_DERIVATIVE, "relu": RELU_DERIVATIVE}

# Squares of float64 numbers over- and underflow. Two sums of scaled squares cover all magnitudes between them: entries
# up to 2⁻¹¹ count in the first, larger ones in the second, up to norms of 2¹⁰⁰⁰.
SCALE_UP, SCALE_DOWN = 2.0**517, 2.0**-494

# For calls from loops: no second source; no epilogue, panels from the first to the last.
UNUSED = (0, 0, 0, 0, 0)
PLAIN = (0, NOTHING, 0, 0, 0, 0, 0)


class Product(NamedTuple):
    """The arguments of the compiled product. Distances count elements; a pointer may be 0 where it is not needed."""

    C: ir.Value  # result: row i starts at C + i · C_row
    C_row: ir.Value
    M: ir.Value  # rows
    J: ir.Value  # columns
    start: ir.Value  # what the sums start from, a matrix with rows start_row apart (0: one row for all); none: 0
    start_row: ir.Value
    A1: ir.Value  # first source: entry (i, k) lies at A1 + i · A1_row + k · A1_step, k = 0 … K1 − 1
    A1_row: ir.Value
    A1_step: ir.Value
    K1: ir.Value
    W1: ir.Value  # panels of its weights
    A2: ir.Value  # second source
    A2_row: ir.Value
    A2_step: ir.Value
    K2: ir.Value
    W2: ir.Value
    back: ir.Value  # not 0: panels from the last to the first
    epilogue: ir.Value  # what follows is for the derivatives
    h: ir.Value  # h_t, rows h_row apart
    h_row: ir.Value
    squares: ir.Value  # float64, one per row: Σ of squares is added here (float64: of small entries, scaled up)
    large: ir.Value  # float64 only: Σ of squares scaled down
    subnormals_flushed: ir.Value  # a counter of entries set to 0


POINTERS = ("C", "start", "A1", "W1", "A2", "W2", "h", "squares", "large", "subnormals_flushed")


class Source(NamedTuple):
    """One of the two sources of a product, as one panel sees it."""

    A: ir.Value
    A_row: ir.Value
    A_step: ir.Value
    K: ir.Value
    W: ir.Value
