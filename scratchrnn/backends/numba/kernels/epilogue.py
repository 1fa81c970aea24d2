"""What a tile goes through while it is still in registers: the start is added, then tanh, relu or their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import cgutils

from .ir import INT, Lanes, count_true, number, wide_sum
from .product import RELU, RELU_DERIVATIVE, SCALE_DOWN, SCALE_UP, TANH, TANH_DERIVATIVE, Product
from .tanh import write_tanh


def finish(
    lanes: Lanes, p: Product, row: list[Any], column: list[Any], masks: list[Any], total: list[list[Any]]
) -> None:
    """Add what the sums start from, apply the epilogue, and write the rows: total[r][v] holds register v of row[r]."""
    b = lanes.builder
    places = [(r, v) for r in range(len(row)) for v in range(len(masks))]
    with b.if_then(cgutils.is_not_null(b, p.start)):
        for r, v in places:
            start = lanes.load(lanes.at(p.start, b.mul(row[r], p.start_row), column[v]), masks[v])
            b.store(b.fadd(b.load(total[r][v], typ=lanes.type), start), total[r][v])
    with b.if_then(b.icmp_signed("==", p.epilogue, number(TANH))):
        for r, v in places:
            b.store(write_tanh(lanes, b.load(total[r][v], typ=lanes.type)), total[r][v])
    with b.if_then(b.icmp_signed("==", p.epilogue, number(RELU))):
        zero = lanes.constant(0.0)
        for r, v in places:
            value = b.load(total[r][v], typ=lanes.type)
            b.store(b.select(b.fcmp_ordered("<=", value, zero), zero, value), total[r][v])  # NaN stays
    with b.if_then(b.icmp_signed(">=", p.epilogue, number(TANH_DERIVATIVE))):
        write_derivative(lanes, p, row, column, masks, total)
    for r, v in places:
        target = lanes.at(p.C, b.mul(row[r], p.C_row), column[v])
        lanes.store(b.load(total[r][v], typ=lanes.type), target, masks[v])


def write_derivative(
    lanes: Lanes, p: Product, row: list[Any], column: list[Any], masks: list[Any], total: list[list[Any]]
) -> None:
    """∂L/∂a = ∂L/∂h ⊙ (1 − h²), or for relu ⊙ (h > 0).

    Small entries of ∂L/∂h are set to 0 and counted, its squares summed for the norm.
    """
    b = lanes.builder
    is_relu = b.icmp_signed("==", p.epilogue, number(RELU_DERIVATIVE))
    zero, one, tiny = (lanes.constant(c) for c in (0.0, 1.0, float(np.finfo(f"f{lanes.size}").tiny)))
    wide = Lanes(b, 8, lanes.count)
    scales = [1.0] if lanes.size == 4 else [SCALE_UP, SCALE_DOWN]
    sums, subnormals_flushed = [], number(0)
    for r in range(len(row)):
        squares = [wide.constant(0.0) for _ in scales]
        count = number(0)
        for v in range(len(masks)):
            dh = b.load(total[r][v], typ=lanes.type)
            if masks[v] is not None:
                dh = b.select(masks[v], dh, zero)
            small = b.fcmp_ordered("<", lanes.magnitude(dh), tiny)  # NaN is not small
            subnormal = b.and_(small, b.fcmp_ordered("!=", dh, zero))
            count = b.add(count, count_true(b, subnormal, lanes.count))
            dh = b.select(small, zero, dh)

            d = dh if lanes.size == 8 else b.fpext(dh, wide.type)  # no square of a float32 overflows in float64
            for s, scale in enumerate(scales):
                scaled = d if scale == 1.0 else b.fmul(d, wide.constant(scale))
                squares[s] = wide.multiply_add(scaled, scaled, squares[s])

            h = lanes.load(lanes.at(p.h, b.mul(row[r], p.h_row), column[v]), masks[v])
            step = b.select(b.fcmp_ordered(">", h, zero), one, zero)
            activation_grad = b.select(is_relu, step, lanes.multiply_add(b.fneg(h), h, one))
            b.store(b.fmul(dh, activation_grad), total[r][v])
        sums.append([wide_sum(wide, square) for square in squares])
        once = count if r == 0 else b.select(b.icmp_signed("!=", row[r], row[r - 1]), count, number(0))
        subnormals_flushed = b.add(subnormals_flushed, once)

    # All sums are read before one is written: a row that stands in for missing ones must not be added twice.
    for s, target in enumerate([p.squares, p.large][: len(scales)]):
        addresses = [wide.at(target, x) for x in row]
        new = [b.fadd(wide.load_scalar(address), sums[r][s]) for r, address in enumerate(addresses)]
        for value, address in zip(new, addresses, strict=True):
            b.store(value, address)
    with b.if_then(b.icmp_signed("!=", subnormals_flushed, number(0)), likely=False):
        b.store(b.add(b.load(p.subnormals_flushed, typ=INT), subnormals_flushed), p.subnormals_flushed)
