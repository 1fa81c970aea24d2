"""tanh and exp, as vectors in the product's epilogue and as single numbers in loops."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .ir import Lanes


class Exponential(NamedTuple):
    """How eʸ is taken apart in one dtype."""

    ln2_high: float  # ln 2 in two parts: n · ln2_high is exact
    ln2_low: float
    round: float  # added to a small number, it rounds it to an integer and leaves that in the lowest bits
    terms: int  # of the Taylor series of eʳ − 1, for |r| ≤ ½ ln 2
    shift: int  # where the exponent of a number begins


EXPONENTIAL = {
    4: Exponential(0.693359375, -2.1219444005469057e-4, 1.5 * 2.0**23, 7, 23),
    8: Exponential(0.6931471803691238, 1.9082149292705877e-10, 1.5 * 2.0**52, 13, 52),
}


def write_tanh(lanes: Lanes, x: ir.Value) -> ir.Value:
    """tanh |x| = (e − 1) / (e + 1) with e = e²ˣ, and from ½ on 1 − 2 / (e + 1), with the sign of x.

    The second form is exact but for its last rounding where tanh comes near 1, as it must be: 1 − h² magnifies what is
    wrong with h there. Below ½ the first form is off by less than 3 units in the last place.
    """
    b = lanes.builder
    size = lanes.at_most(lanes.magnitude(x), 10.0 if lanes.size == 4 else 20.0)  # tanh has reached 1 before
    power, fraction = write_exp_minus_1(lanes, b.fadd(size, size))
    gained = lanes.multiply_add(power, fraction, b.fsub(power, lanes.constant(1.0)))  # e²ˣ − 1, accurate near 0
    near = b.fcmp_ordered("<", size, lanes.constant(0.5))
    above = b.select(near, gained, lanes.constant(-2.0))
    quotient = b.fdiv(above, b.fadd(gained, lanes.constant(2.0)))
    base = b.select(near, lanes.constant(0.0), lanes.constant(1.0))
    return lanes.call("copysign", [b.fadd(base, quotient), x])


def write_exp_minus_1(lanes: Lanes, y: ir.Value) -> tuple[ir.Value, ir.Value]:
    """2ⁿ and eʳ − 1 with y = n · ln 2 + r, so that eʸ = 2ⁿ + 2ⁿ (eʳ − 1). For y whose eʸ is a normal number."""
    b = lanes.builder
    how = EXPONENTIAL[lanes.size]
    shifted = lanes.multiply_add(y, lanes.constant(1 / math.log(2)), lanes.constant(how.round))
    n = b.fsub(shifted, lanes.constant(how.round))
    r = lanes.multiply_add(n, lanes.constant(-how.ln2_high), y)
    r = lanes.multiply_add(n, lanes.constant(-how.ln2_low), r)
    tail = lanes.polynomial(r, [1 / math.factorial(k) for k in range(2, how.terms + 1)])
    fraction = lanes.multiply_add(b.fmul(r, r), tail, r)
    integers = lanes.of_type(lanes.integer)
    exponent = b.shl(b.bitcast(shifted, integers), lanes.constant(how.shift, lanes.integer))
    power = b.bitcast(b.add(exponent, b.bitcast(lanes.constant(1.0), integers)), lanes.type)
    return power, fraction


def _exp_code(typing_context: Any, y: Any) -> Any:
    """eʸ in float64 to about one unit in the last place; 0 below −708. A loop around it runs in vectors."""

    def write(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        one = Lanes(builder, 8, 1)
        lowest = one.constant(-708.0)
        below = builder.fcmp_ordered("<", args[0], lowest)
        power, fraction = write_exp_minus_1(one, one.at_most(builder.select(below, lowest, args[0]), 709.0))
        return builder.select(below, one.constant(0.0), one.multiply_add(power, fraction, power))

    return types.float64(types.float64), write


exp: Any = intrinsic(_exp_code)


def _tanh_code(typing_context: Any, x: Any) -> Any:
    """tanh x as the product's epilogue has it, of one number. For kernels that add in the order written."""

    def write(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        return write_tanh(Lanes(builder, x.bitwidth // 8, 1), args[0])

    return x(x), write


tanh: Any = intrinsic(_tanh_code)
