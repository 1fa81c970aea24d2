"""Jitted twins: the same arguments and the same results as the text, as fast as the machine allows.

Nearly all the time of a recurrent network goes into one operation, a matrix product whose result is put through
something cheap: h_t = tanh(b + W_xh · x_t + W_hh · h_{t−1}) forward, ∂L/∂a_t = (∂L/∂h-part_t + W_hhᵀ · ∂L/∂a_{t+1}) ⊙
(1 − h_t²) backward. This file writes that operation once, for the very processor it runs on, and builds every twin from
it. It has four parts: what is known about the processor; a *product* and a *packing*, written in LLVM IR; kernels,
ordinary loops that Numba compiles, which call the two; and the twins, Python functions that prepare arrays and wrap
what comes out in the text's own NamedTuples. `TWINS` at the end says which twin stands for which text.

**Lanes.** A processor's vector register holds several numbers, its lanes (16 of float32 with AVX-512, 8 with AVX2, 4
with SSE or NEON), and one instruction multiplies all of them by another register and adds a third. That instruction is
the machine's speed; the art is to keep it fed. Each of its operands must come from memory unless it is already in a
register, and memory delivers far fewer numbers per cycle than the arithmetic could use.

**The tile.** So the result C = A · W is computed in tiles of 8 rows by two registers of columns (8 × 32 float32
numbers). The 16 registers of a tile hold its sums from the first term to the last. For each k, two registers are loaded
from row k of W and eight single numbers from column k of A, each copied into all lanes; these ten loads feed sixteen
multiply-adds. A processor with half the registers takes 6 rows. Missing rows at the bottom are computed as copies of
the last row; that costs less than a second version of the code; fewer than four are taken one by one, with four partial
sums each, because one row alone would wait for its own previous sum. Missing columns at the right are masked: lanes
that do not exist are neither read nor written.

**Packing.** In W, row k + 1 of a tile's columns lies a whole matrix row after row k. Before it is used, W is therefore
copied into *panels*: two registers wide, as long as W is deep, in exactly the order in which tiles read them, so that a
panel streams through the cache like a tape. Each weight is copied once per call and used for every row at every step.
The forward pass needs Wᵀ in this form and gets it by transposing square blocks in registers. Gradients of weights,
∂L/∂Wᵀ = Σ ∂L/∂a_t · x_tᵀ, are the same product with the sum running over the rows of all steps; there both factors are
packed, 256 rows at a time, so that what is in use fits the second-level cache. A sum covers the rows of one block of
the minibatch, also where several blocks are computed at once: a sum of floating-point numbers depends on the order of
its terms, and gradients shall not depend on which thread took which block.

**Two sources.** The product is really C = epilogue(start + A1 · W1 + A2 · W2). Forward, the sources are x_t with W_xh
and h_{t−1} with W_hh, so the projection of the inputs is never written to memory and read back, and the start is the
bias. Backward, there is one source, ∂L/∂a_{t+1} with W_hh, and the start is ∂L/∂h from the layers above.

**Epilogue.** While a tile is still in registers it gets its tanh, or, going back, has its subnormal numbers set to 0
and counted, its squares added up for the norm, and is multiplied by 1 − h².

**LLVM IR** is the language between compilers and processors: typed instructions on as many named values as one likes,
which LLVM assigns to registers and translates for the processor at hand. The functions called `write_…` run once, at
compile time; they *write* instructions, one per call of `builder`, and a Python loop around such a call writes a copy
per turn. A loop that shall happen at run time is written with `counting`. Variables are memory cells (`alloca`) that
LLVM turns into registers. Product and packing are compiled once per dtype, not into every kernel: kernels receive their
addresses.

All of it lives in one file, because Numba's cache on disk notices a change of the file whose kernel it is asked for,
and of no other. `fastmath` is off where IR is written by hand, and elsewhere allows sums in any order but nothing that
assumes there is no NaN or inf: both must come through.
"""

from __future__ import annotations

import gc
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import njit as typed_njit
from numba import types
from numba.core import cgutils, config
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from ... import losses, optimizers
from ..._arrays import Array
from ...gradients import clip
from ...layers import linear, rnn
from ..base import Blocks
from .workspace import room

njit: Any = typed_njit  # whose published types leave some options out


# The processor


def lane_bytes() -> int:
    """Bytes in one vector register of the processor that Numba compiles for.

    A processor named by hand (NUMBA_CPU_NAME) stands for an older one, though Numba leaves it this one's features.
    """
    features = cpu_target.target_context.codegen()._get_host_cpu_features().split(",")
    if "+avx512f" in features and getattr(config, "CPU_NAME", None) in (None, binding.get_host_cpu_name()):
        return 64
    return 32 if "+avx2" in features else 16  # 16: SSE and NEON, and what LLVM puts together by itself elsewhere


LANE_BYTES = lane_bytes()
# Rows of a tile: with two registers each, what the register file holds: 32 registers, or 16 on x86 before AVX-512.
ROWS = 6 if LANE_BYTES < 64 and binding.get_process_triple().startswith("x86") else 8
NARROW = 8  # columns, or those of a panel if it has fewer: below that a sum of outer products is taken transposed
FEW = 4  # fewer rows than this are taken one by one
DEPTH = 256  # terms of a long sum in use at a time
BLOCK = 64 // ROWS * ROWS  # rows in use at a time: whole tiles, so that the few left over are always the last of all
PATIENCE = 1 << 31  # multiplications in one call of a kernel, which Ctrl-C waits for: half a second on a slow processor


# Writing LLVM IR

INT = ir.IntType(64)
POINTER = ir.PointerType()


def number(i: int) -> ir.Constant:
    """An integer constant."""
    return ir.Constant(INT, i)


class Lanes:
    """Writes instructions on vectors of `count` numbers of `size` bytes; with count = 1, on single numbers."""

    def __init__(self, builder: ir.IRBuilder, size: int, count: int) -> None:
        self.builder = builder
        self.size = size
        self.count = count
        self.element = ir.FloatType() if size == 4 else ir.DoubleType()
        self.integer = ir.IntType(8 * size)
        self.type = self.of_type(self.element)

    def of_type(self, element: ir.Type) -> ir.Type:
        """As many lanes of another type."""
        return element if self.count == 1 else ir.VectorType(element, self.count)

    def constant(self, x: float, element: ir.Type | None = None) -> ir.Constant:
        """The number x in every lane."""
        if element is None and self.size == 4:
            x = float(np.float32(x))
        return ir.Constant(self.of_type(element or self.element), x if self.count == 1 else [x] * self.count)

    def splat(self, scalar: ir.Value) -> ir.Value:
        """A scalar in every lane."""
        if self.count == 1:
            return scalar
        nothing = ir.Constant(self.of_type(scalar.type), ir.Undefined)
        index = ir.IntType(32)
        one = self.builder.insert_element(nothing, scalar, ir.Constant(index, 0))
        return self.builder.shuffle_vector(one, nothing, self.constant(0, index))

    def at(self, base: ir.Value, *offsets: ir.Value) -> ir.Value:
        """The address that many elements (the sum of the offsets) after base."""
        total = offsets[0]
        for offset in offsets[1:]:
            total = self.builder.add(total, offset)
        return self.builder.gep(base, [total], source_etype=self.element)

    def first(self, lanes: ir.Value) -> ir.Value:
        """A mask: True in the first `lanes` lanes."""
        numbers = ir.Constant(ir.VectorType(INT, self.count), list(range(self.count)))
        return self.builder.icmp_signed("<", numbers, self.splat(lanes))

    def load_scalar(self, address: ir.Value) -> ir.Value:
        """The one number at an address."""
        return self.builder.load(address, typ=self.element, align=self.size)

    def load(self, address: ir.Value, mask: ir.Value | None = None) -> ir.Value:
        """The vector at an address; where the mask is False memory is not touched and the lane is 0."""
        if mask is None:
            return self.builder.load(address, typ=self.type, align=self.size)
        align = ir.Constant(ir.IntType(32), self.size)
        return self.call("masked.load", [address, align, mask, self.constant(0.0)], self.type, ".p0")

    def store(self, vector: ir.Value, address: ir.Value, mask: ir.Value | None = None) -> None:
        """Write a vector, only the lanes where the mask is True."""
        if mask is None:
            self.builder.store(vector, address, align=self.size)
        else:
            align = ir.Constant(ir.IntType(32), self.size)
            self.call("masked.store", [vector, address, align, mask], ir.VoidType(), ".p0")

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """a · b + c, in one instruction where the processor has it."""
        return self.call("fmuladd", [a, b, c])

    def magnitude(self, a: ir.Value) -> ir.Value:
        """|a|."""
        return self.call("fabs", [a])

    def polynomial(self, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
        """Σ c_i · xⁱ by Horner's rule."""
        value: ir.Value = self.constant(coefficients[-1])
        for c in reversed(coefficients[:-1]):
            value = self.multiply_add(value, x, self.constant(c))
        return value

    def at_most(self, a: ir.Value, limit: float) -> ir.Value:
        """min(a, limit). NaN stays: no comparison with it is true."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, self.constant(limit)), self.constant(limit), a)

    def call(self, name: str, args: list[ir.Value], result: ir.Type | None = None, suffix: str = "") -> ir.Value:
        """Call the LLVM intrinsic of that name for this type."""
        lanes = "" if self.count == 1 else f"v{self.count}"
        kind = ir.FunctionType(result or self.type, [a.type for a in args])
        full_name = f"llvm.{name}.{lanes}f{8 * self.size}{suffix}"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, full_name), args)


@contextmanager
def counting(builder: ir.IRBuilder, stop: ir.Value, step: int = 1, start: ir.Value | None = None) -> Iterator[ir.Value]:
    """for i in range(start, stop, step).

    LLVM may not unroll it: the bodies are long enough as they are written, and the code around an unrolled loop, for
    what is left over, was measured to cost a tile of 33 terms a sixth of its time.
    """
    with cgutils.for_range_slice(builder, start or number(0), stop, number(step), INT) as (i, _):
        yield i
        last = builder.block
    module = builder.module
    hint = module.add_metadata([module.add_metadata(["llvm.loop.unroll.disable"])])
    if hint not in hint.operands:
        hint.operands = (hint, *hint.operands)  # hints to a loop begin with themselves
    last.terminator.set_metadata("llvm.loop", hint)


def prefetch(builder: ir.IRBuilder, address: ir.Value) -> None:
    """Ask for the memory at an address, to have it in the second-level cache. Harmless where there is none."""
    flag = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [POINTER, flag, flag, flag])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    read, level, data = (ir.Constant(flag, i) for i in (0, 2, 1))
    builder.call(function, [address, read, level, data])


def new_function(module: ir.Module, name: str, size: int, arguments: int) -> tuple[ir.Function, ir.IRBuilder]:
    """An empty function of that many integers, for numbers of `size` bytes. Never inlined: one copy is enough."""
    kind = ir.FunctionType(ir.VoidType(), [INT] * arguments)
    function = ir.Function(module, kind, name=f"scratchrnn_{name}_float{8 * size}")
    function.linkage = "internal"
    function.attributes.add("noinline")
    return function, ir.IRBuilder(function.append_basic_block())


# tanh and exp


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


# The product

NOTHING, TANH, RELU, TANH_DERIVATIVE, RELU_DERIVATIVE = range(5)  # epilogues


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
    flushed: ir.Value  # a counter of entries set to 0


class Source(NamedTuple):
    """One of the two sources of a product, as one panel sees it."""

    A: ir.Value
    A_row: ir.Value
    A_step: ir.Value
    K: ir.Value
    W: ir.Value


POINTERS = ("C", "start", "A1", "W1", "A2", "W2", "h", "squares", "large", "flushed")

# Squares of float64 numbers over- and underflow. Two sums of scaled squares cover all magnitudes between them: entries
# up to 2⁻¹¹ count in the first, larger ones in the second, up to norms of 2¹⁰⁰⁰.
SCALE_UP, SCALE_DOWN = 2.0**517, 2.0**-494


def write_product(module: ir.Module, size: int) -> ir.Function:
    """C = epilogue(start + A1 · W1 + A2 · W2), panel by panel, tile by tile.

    Where the same weights are used step after step, every second step takes the panels from the last to the first: what
    the step before read last is still in the cache.
    """
    edge = write_edge(module, size)
    function, b = new_function(module, "product", size, len(Product._fields))
    lanes = Lanes(b, size, LANE_BYTES // size)
    p = with_pointers(b, Product(*function.args))
    V = lanes.count

    last = b.sub(b.sub(p.J, number(1)), b.srem(b.sub(p.J, number(1)), number(2 * V)))
    back = b.icmp_signed("!=", p.back, number(0))
    with counting(b, p.J, 2 * V) as distance:
        j = b.select(back, b.sub(last, distance), distance)
        left = b.sub(p.J, j)
        sources = [
            Source(p.A1, p.A1_row, p.A1_step, p.K1, lanes.at(p.W1, b.mul(j, p.K1))),
            Source(p.A2, p.A2_row, p.A2_step, p.K2, lanes.at(p.W2, b.mul(j, p.K2))),
        ]
        with b.if_else(b.icmp_signed(">", left, number(V)), likely=True) as (two, one):
            with two:
                write_rows(lanes, p, edge, j, sources, 2)
            with one:
                write_rows(lanes, p, edge, j, sources, 1)
    b.ret_void()
    return function


def write_rows(lanes: Lanes, p: Product, edge: ir.Function, j: ir.Value, sources: list[Source], registers: int) -> None:
    """One panel, of which so many registers of a row have columns: tiles of ROWS rows, the last few rows one by one."""
    b = lanes.builder
    few = b.srem(p.M, number(ROWS))
    few = b.select(b.icmp_signed("<", few, number(FEW)), few, number(0))
    many = b.sub(p.M, few)
    with counting(b, many, ROWS) as i:
        write_tile(lanes, p, edge, i, j, sources, registers, ROWS, 1)
    with counting(b, p.M, start=many) as i:
        write_tile(lanes, p, edge, i, j, sources, registers, 1, 4)


def write_tile(
    lanes: Lanes,
    p: Product,
    edge: ir.Function,
    i: ir.Value,
    j: ir.Value,
    sources: list[Source],
    registers: int,
    rows: int,
    sums: int,
) -> None:
    """Rows i … i + rows − 1 of one panel. Where fewer rows are left, the last one is computed again in their place.

    With sums > 1 every entry is a sum of that many partial sums, which a processor can work on side by side: for a
    single row, as nothing else is.
    """
    b = lanes.builder
    last = b.sub(p.M, number(1))
    row = [i] + [b.add(i, number(r)) for r in range(1, rows)]
    row = [i] + [b.select(b.icmp_signed("<", x, last), x, last) for x in row[1:]]
    column = [b.add(j, number(v * lanes.count)) for v in range(registers)]
    places = [(r, v) for r in range(rows) for v in range(registers)]

    # Variables; LLVM turns them into registers.
    total = {(s, *place): cgutils.alloca_once(b, lanes.type) for s in range(sums) for place in places}
    for variable in total.values():
        b.store(lanes.constant(0.0), variable)

    def multiply(source: Source, start_of_row: list[ir.Value], ahead: ir.Value, k: ir.Value, s: int) -> None:
        """Entry k of every row of A times row k of the panel, added to the sums number s."""
        line = lanes.at(source.W, b.mul(k, number(2 * lanes.count)))
        w = [lanes.load(lanes.at(line, number(v * lanes.count))) for v in range(registers)]
        if rows > 1:
            prefetch(b, lanes.at(ahead, b.mul(k, number(rows))))  # the next tile, where rows are contiguous
        for r in range(rows):
            a = lanes.splat(lanes.load_scalar(lanes.at(start_of_row[r], b.mul(k, source.A_step))))
            for v in range(registers):
                variable = total[s, r, v]
                b.store(lanes.multiply_add(a, w[v], b.load(variable, typ=lanes.type)), variable)

    with counting(b, number(2)) as which:
        is_first = b.icmp_signed("==", which, number(0))
        source = Source(*(b.select(is_first, *pair) for pair in zip(*sources, strict=True)))
        start_of_row = [lanes.at(source.A, b.mul(x, source.A_row)) for x in row]
        ahead = lanes.at(source.A, b.mul(b.add(i, number(rows)), source.A_row))
        whole = b.sub(source.K, b.srem(source.K, number(sums)))
        if sums > 1:
            with counting(b, whole, sums) as k:
                for s in range(sums):
                    multiply(source, start_of_row, ahead, b.add(k, number(s)), s)
        with counting(b, source.K, start=whole if sums > 1 else None) as k:
            multiply(source, start_of_row, ahead, k, 0)

    for r, v in places:
        value = b.load(total[0, r, v], typ=lanes.type)
        for s in range(1, sums):
            value = b.fadd(value, b.load(total[s, r, v], typ=lanes.type))
        b.store(value, total[0, r, v])
    inside = b.icmp_signed(">=", b.sub(p.J, j), number(2 * lanes.count))
    if registers == 2 and rows > 1:
        with b.if_else(inside, likely=True) as (whole, partial):
            with whole:
                finish(lanes, p, row, column, [None, None], [[total[0, r, v] for v in range(2)] for r in range(rows)])
            with partial:
                write_at_edge(lanes, p, edge, i, j, rows, total)
    else:
        write_at_edge(lanes, p, edge, i, j, rows, total)


def write_at_edge(
    lanes: Lanes, p: Product, edge: ir.Function, i: ir.Value, j: ir.Value, rows: int, total: dict[Any, Any]
) -> None:
    """Finish a tile of which some columns do not exist, or a single row, by a loop over its rows.

    That is slower, but one copy of it serves all kinds of tiles.
    """
    b = lanes.builder
    table = cgutils.alloca_once(b, lanes.type, size=2 * rows)
    for (s, r, v), variable in total.items():
        if s == 0:
            b.store(b.load(variable, typ=lanes.type), cgutils.gep_inbounds(b, table, 2 * r + v))
    left = b.sub(p.M, i)
    existing = b.select(b.icmp_signed("<", left, number(rows)), left, number(rows))
    integers = [b.ptrtoint(field, INT) if isinstance(field.type, ir.PointerType) else field for field in p]
    b.call(edge, [*integers, b.ptrtoint(table, INT), existing, i, j])


def write_edge(module: ir.Module, size: int) -> ir.Function:
    """`finish` for some rows of one panel whose sums lie in a table, two registers per row."""
    function, b = new_function(module, "edge", size, len(Product._fields) + 4)
    lanes = Lanes(b, size, LANE_BYTES // size)
    V = lanes.count
    p = with_pointers(b, Product(*function.args[:-4]))
    table, rows, i, j = function.args[-4:]
    table = b.inttoptr(table, POINTER)
    left = b.sub(p.J, j)
    masks = [lanes.first(left), lanes.first(b.sub(left, number(V)))]
    with counting(b, rows) as r:
        values = [lanes.at(table, b.mul(r, number(2 * V)), number(v * V)) for v in range(2)]
        finish(lanes, p, [b.add(i, r)], [j, b.add(j, number(V))], masks, [values])
    b.ret_void()
    return function


def with_pointers(b: ir.IRBuilder, p: Product) -> Product:
    """Addresses as pointers."""
    return p._replace(**{name: b.inttoptr(getattr(p, name), POINTER) for name in POINTERS})


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
    sums, flushed = [], number(0)
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
            slope = b.select(is_relu, step, lanes.multiply_add(b.fneg(h), h, one))
            b.store(b.fmul(dh, slope), total[r][v])
        sums.append([wide_sum(wide, square) for square in squares])
        once = count if r == 0 else b.select(b.icmp_signed("!=", row[r], row[r - 1]), count, number(0))
        flushed = b.add(flushed, once)

    # All sums are read before one is written: a row that stands in for missing ones must not be added twice.
    for s, target in enumerate([p.squares, p.large][: len(scales)]):
        addresses = [wide.at(target, x) for x in row]
        new = [b.fadd(wide.load_scalar(address), sums[r][s]) for r, address in enumerate(addresses)]
        for value, address in zip(new, addresses, strict=True):
            b.store(value, address)
    with b.if_then(b.icmp_signed("!=", flushed, number(0)), likely=False):
        b.store(b.add(b.load(p.flushed, typ=INT), flushed), p.flushed)


def count_true(b: ir.IRBuilder, mask: ir.Value, lanes: int) -> ir.Value:
    """How many lanes of a mask are True."""
    bits = ir.IntType(lanes)
    return b.zext(b.ctpop(b.bitcast(mask, bits)), INT)


def wide_sum(wide: Lanes, a: ir.Value) -> ir.Value:
    """The sum over all float64 lanes, pairwise."""
    name = f"llvm.vector.reduce.fadd.v{wide.count}f64"
    kind = ir.FunctionType(wide.element, [wide.element, wide.type])
    function = cgutils.get_or_insert_function(wide.builder.module, kind, name)
    zero = ir.Constant(wide.element, 0.0)
    return wide.builder.call(function, [zero, a], fastmath=("reassoc",))  # any order of adding will do


def write_pack(module: ir.Module, size: int) -> ir.Function:
    """Copy B (K, J), entry (k, j) at B + k · row + j · step, into panels. row or step is 1.

    The panels are `depth` rows deep, and `panels` is the address of the row of the first panel that takes row 0 of B.
    """
    function, b = new_function(module, "pack", size, 7)
    lanes = Lanes(b, size, LANE_BYTES // size)
    panels, B, row, step, K, J, depth = function.args
    panels, B = b.inttoptr(panels, POINTER), b.inttoptr(B, POINTER)
    V = lanes.count

    def place(j: ir.Value) -> ir.Value:
        inside = b.srem(j, number(2 * V))
        return lanes.at(panels, b.mul(b.sub(j, inside), depth), inside)

    with b.if_else(b.icmp_signed("==", step, number(1))) as (straight, transposed):
        with straight:
            rest = b.srem(J, number(V))
            whole = b.sub(J, rest)
            existing = lanes.first(rest)
            with counting(b, K) as k:  # along the rows, as they lie in memory
                source = lanes.at(B, b.mul(k, row))
                line = b.mul(k, number(2 * V))
                with counting(b, whole, V) as j:
                    lanes.store(lanes.load(lanes.at(source, j)), lanes.at(place(j), line))
                with b.if_then(b.icmp_signed("!=", rest, number(0))):
                    lanes.store(lanes.load(lanes.at(source, whole), existing), lanes.at(place(whole), line))
        with transposed, counting(b, J, V) as j:
            write_transposed(lanes, place(j), lanes.at(B, b.mul(j, step)), step, K, b.sub(J, j))
    b.ret_void()
    return function


def write_transposed(
    lanes: Lanes, target: ir.Value, source: ir.Value, step: ir.Value, K: ir.Value, left: ir.Value
) -> None:
    """One register's width of a panel from rows of the source, square block by square block.

    Where fewer rows are left, the last one stands in for them; the last block reaches back over the one before.
    """
    b = lanes.builder
    V = lanes.count
    last = b.sub(left, number(1))
    numbers = [b.select(b.icmp_signed("<", number(r), last), number(r), last) for r in range(V)]
    starts = [lanes.at(source, b.mul(r, step)) for r in numbers]
    with b.if_else(b.icmp_signed(">=", K, number(V)), likely=True) as (blocks, short):
        with blocks, counting(b, K, V) as k:
            last_block = b.sub(K, number(V))
            k = b.select(b.icmp_signed("<", k, last_block), k, last_block)
            block = transpose(lanes, [lanes.load(lanes.at(start, k)) for start in starts])
            for c, line in enumerate(block):
                lanes.store(line, lanes.at(target, b.mul(b.add(k, number(c)), number(2 * V))))
        with short, counting(b, K) as k:
            for r in range(V):
                value = lanes.load_scalar(lanes.at(starts[r], k))
                b.store(value, lanes.at(target, b.mul(k, number(2 * V)), number(r)), align=lanes.size)


def transpose(lanes: Lanes, block: list[ir.Value]) -> list[ir.Value]:
    """A square block of registers, transposed: the off-diagonal quarters change places, then those of each quarter …"""
    V = lanes.count
    distance = V // 2
    while distance:
        keep = [lane if not lane & distance else V + lane - distance for lane in range(V)]
        swap = [lane + distance if not lane & distance else V + lane for lane in range(V)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), V), mask) for mask in (keep, swap)]
        for r in range(V):
            if not r & distance:
                pair = block[r], block[r + distance]
                block[r], block[r + distance] = (lanes.builder.shuffle_vector(*pair, mask) for mask in masks)
        distance //= 2
    return block


# From Numba to the compiled functions


def _written_code(typing_context: Any, like: Any) -> Any:
    """Write the product and the packing for the dtype of an array; their addresses."""
    size = like.dtype.bitwidth // 8

    def write(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        functions = [write_function(builder.module, size) for write_function in (write_product, write_pack)]
        return context.make_tuple(builder, signature.return_type, [builder.ptrtoint(f, INT) for f in functions])

    return types.UniTuple(types.int64, 2)(like), write


_written: Any = intrinsic(_written_code)


def _at_code(typing_context: Any, array: Any, offset: Any) -> Any:
    """The address of an entry of a contiguous array, by its number.

    An address keeps no array alive: take it only of arrays that the kernel was given.
    """

    def write(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        data = context.make_array(array)(context, builder, args[0]).data
        index = context.cast(builder, args[1], offset, types.int64)
        return builder.ptrtoint(builder.gep(data, [index]), INT)

    return types.int64(array, offset), write


at: Any = intrinsic(_at_code)


def _call_code(typing_context: Any, address: Any, arguments: Any) -> Any:
    """Call the function at an address with the integers in a tuple of tuples."""

    def flatten(context: Any, builder: ir.IRBuilder, kind: Any, value: ir.Value) -> list[ir.Value]:
        if not isinstance(kind, types.BaseTuple):
            return [context.cast(builder, value, kind, types.int64)]
        kinds: Any = kind
        parts = [flatten(context, builder, k, builder.extract_value(value, i)) for i, k in enumerate(kinds)]
        return [integer for part in parts for integer in part]

    def write(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        integers = flatten(context, builder, arguments, args[1])
        kind = ir.FunctionType(ir.VoidType(), [INT] * len(integers))
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), integers)
        return context.get_dummy_value()

    return types.void(address, arguments), write


call: Any = intrinsic(_call_code)


# Compiling

STRICT: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
OPTIONS: dict[str, Any] = {**STRICT, "fastmath": {"contract", "reassoc", "nsz"}}  # sums in any order; NaN and inf stay


def kernel(function: Callable[..., Any], **options: Any) -> Any:
    """The function as Numba compiles it when it is called, with a `KernelCache` on disk.

    What goes wrong while it compiles is raised as it is; only the cache's own faults cost no more than a warning.
    """
    compiled = njit(**options)(function)
    if hasattr(compiled, "_cache"):
        compiled._cache = KernelCache(function)
    else:
        _warn_uncached(AttributeError("this version of Numba keeps it elsewhere"))
    compiled.compile = without_collector(compiled.compile)
    return compiled


def without_collector(compile_signature: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same function, during which the garbage collector rests.

    A compiler makes objects by the million, and looking through them again and again was measured to take a tenth of
    its time.
    """

    def compile_for(signature: Any) -> Any:
        enabled = gc.isenabled()
        try:
            gc.disable()
            return compile_signature(signature)
        finally:  # also after an interrupt
            if enabled:
                gc.enable()

    return compile_for


class KernelCache:
    """Numba's cache on disk for one kernel, in the two functions that Numba calls. Whatever fails here costs a warning.

    A damaged file can raise anything, so all that is raised while one is read or written is a fault of the cache. The
    kernel is then compiled, and a damaged file replaced. There may be no place for a cache at all, or a version of
    Numba whose cache has other parts.

    Numba writes an index that is up to date before the code that goes with it: where the second fails, or another
    process looks in between, the index names the file of the old code, which would pass for new. So old code is removed
    first.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._disk: Any = None
        try:
            disk = import_module("numba.core.caching").FunctionCache(function)
            self._index = Path(disk._cache_file._index_path)
            load_index = disk._cache_file._load_index
        except Exception as error:
            _warn_uncached(error)
            return
        self._disk = disk
        with suppress(Exception):  # an index that is damaged, or of another Numba
            if load_index():
                return
        self._remove()

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled code for these types of arguments; None, and one line on stderr, if it must be compiled."""
        target.refresh()
        loaded = None
        if self._disk is not None:
            try:
                loaded = self._disk.load_overload(signature, target)
                if loaded is not None and tuple(loaded.signature.args) != tuple(getattr(signature, "args", signature)):
                    loaded = None  # two processes gave one name to two files; saving overwrites this one alone
            except Exception as error:
                _warn_uncached(error)
                self._remove()
                loaded = None
        if loaded is None:
            announce(getattr(signature, "args", signature))
        return loaded

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Write compiled code, for other processes."""
        if self._disk is None:
            return
        try:
            self._disk.save_overload(signature, compiled)
        except Exception as error:
            _warn_uncached(error)
            self._remove()

    def _remove(self) -> None:
        """Remove the files of this kernel."""
        with suppress(OSError):
            for file in [self._index, *self._index.parent.glob(f"{self._index.stem}.*.nbc")]:
                file.unlink(missing_ok=True)


_warned = False


def _warn_uncached(error: Exception) -> None:
    """Say once per process that the cache does not work."""
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(
            f"the cache of compiled kernels does not work ({type(error).__name__}: {error}); "
            "scratchrnn compiles them anew. If this comes back, NUMBA_CACHE_DIR can name another place for the cache.",
            RuntimeWarning,
            stacklevel=2,
        )


_announced: set[str] = set()  # dtypes


def announce(argument_types: Iterable[Any]) -> None:
    """Say on stderr, once for each dtype, that kernels are being compiled: the first call takes seconds."""
    floats = {str(t.dtype) for t in argument_types if str(getattr(t, "dtype", "")).startswith("float")}
    dtype = min(floats, default="")  # sums are float64 beside float32 arrays
    if not dtype or dtype in _announced:
        return
    _announced.add(dtype)
    message = f"scratchrnn: compiling Numba kernels for {dtype} that are not cached yet (later runs load them) …"
    with suppress(OSError, ValueError):  # stderr is closed, or lacks the ellipsis
        print(message, file=sys.stderr, flush=True)


# For functions that kernels call: compiled into them, and cached with them.
helper = njit(**STRICT, no_cpython_wrapper=True)
sum_helper = njit(**OPTIONS, no_cpython_wrapper=True)


# Kernels. `functions` holds the addresses of product and pack, `width` is the number of columns of a panel, `work` is
# scratch memory that starts on a register boundary. A matrix product reads A row by row, and B as panels. What only
# some networks need (tokens, valid, mask) is None for the others: Numba then compiles nothing of it, which took a tenth
# off their time to compile; a network that needs both compiles a kernel twice. Where one compiled kernel shall serve
# both, what is not there is an empty array.

UNUSED = (0, 0, 0, 0, 0)
PLAIN = (0, NOTHING, 0, 0, 0, 0, 0)


def _addresses(like: Array) -> tuple[int, int]:
    """The product and the packing for the dtype of an array, compiled once for all kernels."""
    return _written(like)


@helper
def _rows(functions: Any, C: int, A: int, M: int, K: int, W: Any, bias: int, panels: int, size: int) -> None:
    """C = A · W, plus a bias where there is one (else 0). A (M, K) and C (M, J) are contiguous.

    W is a tuple: J, and the address of W (K, J) with the distances from row to row and from column to column. A number
    has `size` bytes.
    """
    product, pack = functions
    J, weights, row, step = W
    call(pack, (panels, weights, row, step, K, J, K))
    for i in range(0, M, BLOCK):
        source = (A + i * K * size, K, 1, K, panels)
        call(product, ((C + i * J * size, J, min(BLOCK, M - i), J), (bias, 0), source, UNUSED, PLAIN))


@helper
def _pack_rows(pack: int, panels: int, B: int, J: int, block: Any, k: int, depth: int, shape: Any) -> None:
    """Pack rows k … k + depth − 1 of a block of rows through time: of B (T, N, J), rows first … first + count − 1.

    block: N, first, count; shape: width of a panel, bytes of a number, and what `Dtype.narrow` is.
    """
    N, first, count = block
    width, size = shape[:2]
    if count == N:
        call(pack, (panels, B + k * J * size, J, 1, depth, J, depth))
        return
    done = 0
    while done < depth:
        t, n = (k + done) // count, (k + done) % count
        some = min(count - n, depth - done)
        source = B + (t * N + first + n) * J * size
        call(pack, (panels + done * width * size, source, J, 1, some, J, depth))
        done += some


@helper
def _add_outer(
    functions: Any, C: int, V: int, M: int, B: int, J: int, block: Any, k: int, depth: int, of_B: int, shape: Any
) -> None:
    """C += Aᵀ · B over rows k … k + depth − 1 of a block (C = … if k is 0), from A in panels V and B (T, N, J).

    With fewer columns in B than are narrow, Cᵀ += Bᵀ · A instead, which leaves no lanes idle. block and shape as in
    `_pack_rows`.
    """
    product, pack = functions
    width, size, narrow = shape
    N, first, count = block
    few = J < narrow
    as_it_lies = count == N and (few or J == width)  # where a panel is as wide, B is its own
    W, step = B + k * J * size, J
    if not as_it_lies:
        _pack_rows(pack, of_B, B, J, block, k, depth, shape)
        W, step = of_B, width
    if few:
        start = 0 if k == 0 else C
        call(product, ((C, M, J, M), (start, M), (W, 1, step, depth, V), UNUSED, PLAIN))
        return
    for i in range(0, M, width):
        c = C + i * J * size
        start = 0 if k == 0 else c
        source = (V + i * depth * size, 1, width, depth, W)
        call(product, ((c, J, min(width, M - i), J), (start, J), source, UNUSED, PLAIN))


def _gradients(
    functions: Any,
    db: Array,
    dW: Array,
    dW_xh: Array,
    da: Array,
    h: Array,
    x: Array,
    work: Array,
    width: int,
    narrow: int,
    first: int,
    count: int,
    begin: int,
    end: int,
) -> None:
    """db = Σ ∂L/∂a, dW = Σ ∂L/∂a · hᵀ and dW_xh = Σ ∂L/∂a · xᵀ over rows first … first + count − 1 of all steps.

    With K = T·count such rows one call does begin … end − 1 of them, and adds to what calls for earlier ones left in
    db, dW and dW_xh. The sum is the same, bit for bit, whatever other rows there are.

    da (T, N, M), db (M,), dW (M, J1), dW_xh (M, J2), each transposed where it has fewer columns than are narrow; h (…,
    N, J1) and x (…, N, J2) have T steps or more; dW_xh and x may be empty. Some rows of da are packed once and serve
    all three sums; db is a row of ones times them.
    """
    product, pack = functions
    N, M = da.shape[1:]
    J1, J2, size = h.shape[2], x.shape[2], work.itemsize
    columns = (M + width - 1) // width * width
    of_A, of_B = at(work, width), at(work, width + DEPTH * columns)
    block, shape = (N, first, count), (width, size, narrow)
    work[0] = 1
    for k in range(begin, end, DEPTH):
        depth = min(DEPTH, end - k)
        V = at(da, k * M)
        if M != width or count != N:  # else A is its own panel
            _pack_rows(pack, of_A, at(da, 0), M, block, k, depth, shape)
            V = of_A
        start = at(db, 0) if k else 0
        call(product, ((at(db, 0), M, 1, M), (start, M), (at(work, 0), 0, 0, depth, V), UNUSED, PLAIN))
        for second in range(2 if J2 else 1):  # one call in a loop: it is compiled into this kernel only once
            C, B, J = (at(dW_xh, 0), at(x, 0), J2) if second else (at(dW, 0), at(h, 0), J1)
            _add_outer(functions, C, V, M, B, J, block, k, depth, of_B, shape)


def _scatter(columns: Array, tokens: Array, rows: Array, first: int, end: int) -> None:
    """Add rows first … end − 1 of each step to the column (stored as a row) of their tokens.

    columns (D, H), tokens (T, N), rows (T, N, H).
    """
    columns[:] = 0
    for t in range(tokens.shape[0]):
        for n in range(first, end):
            for j in range(columns.shape[1]):
                columns[tokens[t, n], j] += rows[t, n, j]


def _outputs(functions: Any, y: Array, h: Array, W: Array, b: Array, work: Array, begin: int, end: int) -> None:
    """y = h · Wᵀ + b for rows begin … end − 1 of all steps; without a b (an empty one), y = h · W.

    y (T, N, O), h (T, N, H), W (O, H), or (H, O) without a b.
    """
    O, H = y.shape[2], h.shape[2]
    of_W, bias = (O, at(W, 0), np.int64(1), H), at(b, 0)
    if not b.size:
        of_W, bias = (O, at(W, 0), O, np.int64(1)), np.int64(0)
    size = np.int64(y.itemsize)
    _rows(functions, at(y, begin * O), at(h, begin * H), end - begin, H, of_W, bias, at(work, 0), size)


def _states(
    functions: Any,
    h: Array,
    x: Array,
    tokens: Array | None,
    W_xh: Array,
    W_hh: Array,
    b_h: Array,
    valid: Array | None,
    work: Array,
    width: int,
    activation: int,
    begin: int,
    end: int,
) -> None:
    """h_t = tanh(W_xh · x_t + b_h + W_hh · h_{t−1}) for t = begin … end − 1, one two-source product per step.

    h (T + 1, N, H): the state before is given. x (T, N, D), empty where tokens (T, N) are given, which otherwise are
    None; valid (T, N), or None.
    """
    product, pack = functions
    N, H = h.shape[1], h.shape[2]
    D = W_xh.shape[1]
    columns = (H + width - 1) // width * width
    recurrent, projection, start = at(work, 0), at(work, columns * H), columns * H
    call(pack, (recurrent, at(W_hh, 0), 1, H, H, H, H))
    if tokens is None:
        ahead = N < FEW  # so few rows are best served with W_hh alone in the first-level cache
        call(pack, (projection, at(W_xh, 0), 1, D, D, H, D))
        if ahead:
            source = (at(x, begin * N * D), D, 1, D, projection)
            rows = (end - begin) * N
            call(product, ((at(h, (begin + 1) * N * H), H, rows, H), (at(b_h, 0), 0), source, UNUSED, PLAIN))
    for t in range(begin, end):
        if tokens is None:
            first = (at(x, t * N * D), D, D, projection)
            start_from = (at(b_h, 0), 0)
            if ahead:
                first = (0, 0, 0, 0)
                start_from = (at(h, (t + 1) * N * H), H)
        else:
            for n in range(N):
                token = tokens[t, n]
                for j in range(H):
                    work[start + n * H + j] = W_xh[j, token] + b_h[j]
            first = (0, 0, 0, 0)
            start_from = (at(work, start), H)
        source = (first[0], first[1], 1, first[2], first[3])
        second = (at(h, t * N * H), H, 1, H, recurrent)
        last = (t % 2, activation, 0, 0, 0, 0, 0)
        call(product, ((at(h, (t + 1) * N * H), H, N, H), start_from, source, second, last))
        if valid is not None:
            for n in range(N):
                if not valid[t, n]:
                    for j in range(H):
                        h[t + 1, n, j] = h[t, n, j]


@sum_helper
def _dot(a: Array, b: Array) -> float:
    """Σ a·b of two rows."""
    total = a[0] * b[0]
    for k in range(1, len(a)):
        total += a[k] * b[k]
    return total


def _few_states(
    h: Array, x: Array, tokens: Array | None, W_xh: Array, W_hh: Array, b_h: Array, activation: int
) -> None:
    """`_states` for very few rows and steps, as a stream has them: packing would cost more than it saves."""
    for t in range(h.shape[0] - 1):
        for n in range(h.shape[1]):
            for j in range(h.shape[2]):
                a = b_h[j] + _dot(W_hh[j], h[t, n])
                if tokens is None:
                    a += _dot(W_xh[j], x[t, n])
                else:
                    a += W_xh[j, tokens[t, n]]
                h[t + 1, n, j] = tanh(a) if activation == TANH else a * 0 if a <= 0 else a


def _few_outputs(y: Array, h: Array, W: Array, b: Array) -> None:
    """`_outputs` for very few rows."""
    for t in range(h.shape[0]):
        for n in range(h.shape[1]):
            for j in range(W.shape[0]):
                y[t, n, j] = b[j] + _dot(W[j], h[t, n])


def _through_time(
    functions: Any,
    da: Array,
    carried: Array,
    squares: Array,
    row_norms: Array,
    flushed: Array,
    dy: Array,
    dstate: Array,
    h: Array,
    W_hh: Array,
    valid: Array | None,
    work: Array,
    width: int,
    tiny: float,
    derivative: int,
    first: int,
    end: int,
) -> None:
    """∂L/∂a_t for t = end − 1 … first. dstate (N, H) is what step `end`, or whoever takes the last state, hands back.

    carried (N, H), which may be dstate itself, is in the end what step `first` hands back to the one before, and on the
    way what rows that are over hand back. da and dy (T, N, H), which may be one array, dy also (1, N, H) where all
    steps have the same; h (T + 1, N, H), valid as in `_states`, squares (1 or 2, N) is scratch. row_norms (T, N) and
    flushed (T,) become ‖∂L/∂h_t[n]‖ and how many entries were set to 0. tiny is the smallest normal number.
    """
    product, pack = functions
    N, H = h.shape[1], h.shape[2]
    step, moving = N * H, np.int64(dy.shape[0] > 1)
    start, panels = at(work, 0), at(work, (step + width - 1) // width * width)
    for n in range(N):
        for i in range(H):
            work[n * H + i] = dy[(end - 1) * moving, n, i] + dstate[n, i]
    call(pack, (panels, at(W_hh, 0), H, 1, H, H, H))
    for t in range(end - 1, first - 1, -1):
        begin, K = at(dy, t * moving * step), H
        if t == end - 1:  # what is handed back is given, not a product
            begin, K = start, 0
        elif valid is not None:  # so it is for rows that end here
            for n in range(N):
                if not valid[t + 1, n]:
                    begin = start
            for n in range(N):
                if begin != start:
                    break
                for i in range(H):
                    dh = dy[t * moving, n, i]
                    work[n * H + i] = dh if valid[t + 1, n] else dh + carried[n, i]
        source = (at(da, (t + 1) * step), H, 1, K, panels)
        sums = (at(squares, 0), at(squares, (squares.shape[0] - 1) * N))
        for s in range(squares.shape[0]):
            for n in range(N):
                squares[s, n] = 0
        flushed[t] = 0
        slope = (t % 2, derivative, at(h, (t + 1) * step), H, sums, at(flushed, t))
        call(product, ((at(da, t * step), H, N, H), (begin, H), source, UNUSED, slope))
        for n in range(N):
            if squares.shape[0] == 1:
                row_norms[t, n] = np.sqrt(squares[0, n])
            elif squares[1, n] < 2.0**-1000:
                row_norms[t, n] = np.sqrt(squares[0, n]) / SCALE_UP
            else:
                row_norms[t, n] = np.sqrt(squares[1, n]) / SCALE_DOWN
        if valid is not None:
            for n in range(N):
                if not valid[t, n]:  # the step is not there: ∂L/∂h_t goes back as it is
                    for i in range(H):
                        dh = work[n * H + i]
                        carried[n, i] = dh if abs(dh) >= tiny or dh != dh else dh * 0
                        da[t, n, i] = 0
    if valid is None:
        source = (at(da, first * step), H, 1, H, panels)
        call(product, ((at(carried, 0), H, N, H), (0, 0), source, UNUSED, PLAIN))
    else:
        for n in range(N):
            if valid[first, n]:
                source = (at(da, first * step + n * H), H, 1, H, panels)
                call(product, ((at(carried, n * H), H, 1, H), (0, 0), source, UNUSED, PLAIN))


def _mse(dy: Array, losses: Array, y: Array, target: Array, mask: Array | None, outputs: int) -> None:
    """Σ (y − ŷ)² / outputs of every row over its counted steps; dy = 2 (y − ŷ) / outputs, 0 at the others.

    dy, y and target (K, N, O); losses (N,); mask (K, N), or None.
    """
    K, N, O = y.shape
    for n in range(N):
        losses[n] = 0
    scale = y.dtype.type(2 / outputs)
    for k in range(K):
        for n in range(N):
            if mask is not None and not mask[k, n]:
                for o in range(O):
                    dy[k, n, o] = 0
                continue
            total = 0.0
            for o in range(O):
                error = y[k, n, o] - target[k, n, o]
                total += np.float64(error) * np.float64(error)
                dy[k, n, o] = error * scale
            losses[n] += total
    for n in range(N):
        losses[n] /= outputs


def _cross_entropy(dy: Array, losses: Array, y: Array, target: Array, mask: Array | None, count: int, e: Array) -> None:
    """Σ (log Σ_o exp y_o − y_target) / count of every row over its counted steps, and ∂L/∂y.

    dy = (softmax(y) − onehot) / count, 0 at steps that do not count. dy, y (K, N, O); losses (N,); target (K, N); mask
    (K, N), or None; e (O,) float64 is scratch.
    """
    K, N, O = y.shape
    for n in range(N):
        losses[n] = 0
    for k in range(K):
        for n in range(N):
            if mask is not None and not mask[k, n]:
                for o in range(O):
                    dy[k, n, o] = 0
                continue
            c, largest = target[k, n], y[k, n, 0]
            for o in range(O):
                largest = y[k, n, o] if y[k, n, o] > largest else largest
            for o in range(O):
                e[o] = exp(np.float64(y[k, n, o]) - np.float64(largest))
            normaliser = 0.0
            for o in range(O):
                normaliser += e[o]
            losses[n] += np.log(normaliser) - (np.float64(y[k, n, c]) - np.float64(largest))
            share = 1.0 / (normaliser * count)
            for o in range(O):
                dy[k, n, o] = e[o] * share
            dy[k, n, c] = (e[c] / normaliser - 1.0) / count  # in float64: near 1 − 1 float32 has few digits
    for n in range(N):
        losses[n] /= count


def _norm(a: Array) -> float:
    """√(Σ a²) in float64, scaled by the largest entry first where the squares over- or underflow. a (M,)."""
    total = 0.0
    for i in range(a.size):
        total += np.float64(a[i]) * np.float64(a[i])
    if 1e-280 < total < 1e280:
        return np.sqrt(total)
    largest = 0.0
    for i in range(a.size):
        size = abs(np.float64(a[i]))
        largest = size if size > largest else largest  # a NaN is left to the sum below
    scale = largest if 0 < largest < np.inf else 1.0
    total = 0.0
    for i in range(a.size):
        scaled = np.float64(a[i]) / scale
        total += scaled * scaled
    return scale * np.sqrt(total)


norm_helper = sum_helper(_norm)


def _part_norms(norms: Array, a: Array, ends: Array) -> None:
    """`_norm` of every part of a, each before its end."""
    begin = 0
    for i in range(len(ends)):
        norms[i] = norm_helper(a[begin : ends[i]])
        begin = ends[i]


def _scale(a: Array, factor: float) -> None:
    """a ← factor · a, the product taken in float64."""
    for i in range(a.size):
        a[i] = factor * np.float64(a[i])


def _subtract(vector: Array, delta: Array, largest: float) -> bool:
    """vector ← vector − delta where no |δ| is above the largest finite number; whether that was so."""
    finite = True
    for i in range(delta.size):
        finite &= abs(delta[i]) <= largest
    if finite:
        for i in range(delta.size):
            vector[i] -= delta[i]
    return finite


# The steps of the optimizers take the place of the gradient in its own array: with an array each, a loop would have to
# be sure that they do not overlap before it may run in vectors. Numbers come in float64 and are rounded here.


def _momentum(g: Array, m: Array, momentum: float, rate: float) -> None:
    """m ← μ·m + g;  g ← η·m."""
    F = g.dtype.type
    momentum, rate = F(momentum), F(rate)
    for i in range(g.size):
        m[i] = momentum * m[i] + g[i]
        g[i] = rate * m[i]


def _rescaled(g: Array, v: Array, keep: float, add: float, rate: float, eps: float) -> None:
    """v ← keep · v + add · g²;  g ← η·g / (√v + ε)."""
    F = g.dtype.type
    keep, add, rate, eps = F(keep), F(add), F(rate), F(eps)
    for i in range(g.size):
        v[i] = keep * v[i] + add * (g[i] * g[i])
        g[i] = rate * g[i] / (np.sqrt(v[i]) + eps)


def _adam(g: Array, m: Array, v: Array, beta1: float, beta2: float, rate: float, scale: float, eps: float) -> None:
    """m ← β₁·m + (1 − β₁)·g;  v ← β₂·v + (1 − β₂)·g²;  g ← η·m / (scale · √v + ε)."""
    F = g.dtype.type
    keep_m, add_m, keep_v, add_v = F(beta1), F(1 - beta1), F(beta2), F(1 - beta2)
    rate, scale, eps = F(rate), F(scale), F(eps)
    for i in range(g.size):
        m[i] = keep_m * m[i] + add_m * g[i]
        v[i] = keep_v * v[i] + add_v * (g[i] * g[i])
        g[i] = rate * m[i] / (scale * np.sqrt(v[i]) + eps)


addresses = kernel(_addresses, **STRICT)
scatter = kernel(_scatter, **STRICT)
states = kernel(_states, **STRICT)
few_states = kernel(_few_states, **STRICT)
outputs = kernel(_outputs, **STRICT)
few_outputs = kernel(_few_outputs, **STRICT)
through_time = kernel(_through_time, **STRICT)
gradients = kernel(_gradients, **STRICT)
mse_of_rows = kernel(_mse, **OPTIONS)
cross_entropy_of_rows = kernel(_cross_entropy, **STRICT)
whole_norm = kernel(_norm, **OPTIONS)
norms_of_parts = kernel(_part_norms, **OPTIONS)
scale = kernel(_scale, **OPTIONS)
subtract_step = kernel(_subtract, **OPTIONS)
momentum_step = kernel(_momentum, **OPTIONS)
rescaled_step = kernel(_rescaled, **OPTIONS)
adam_step = kernel(_adam, **OPTIONS)


# Twins

ACTIVATION = {"tanh": TANH, "relu": RELU}
DERIVATIVE = {"tanh": TANH_DERIVATIVE, "relu": RELU_DERIVATIVE}
DOUBLE, INTEGER = np.dtype(np.float64), np.dtype(int)


class Dtype:
    """What the kernels need for one dtype: compiled functions, the width of a panel, empty arrays."""

    def __init__(self, dtype: np.dtype) -> None:
        self.functions = addresses(np.empty(0, dtype))
        self.width = 2 * LANE_BYTES // dtype.itemsize
        self.narrow = min(NARROW, self.width)  # columns: with fewer, and more than one, a sum is left transposed
        self.tiny = dtype.type(np.finfo(dtype).tiny)
        self.largest = np.finfo(dtype).max
        self.none1 = np.empty(0, dtype)
        self.none2 = np.empty((0, 0), dtype)
        self.none3 = np.empty((0, 0, 0), dtype)

    def columns(self, n: int) -> int:
        """Columns of as many panels as n columns need."""
        return -(-n // self.width) * self.width


_dtypes: dict[np.dtype, Dtype] = {}


def of_dtype(dtype: np.dtype) -> Dtype:
    """What the kernels need for that dtype."""
    try:
        return _dtypes[dtype]
    except KeyError:
        return _dtypes.setdefault(dtype, Dtype(dtype))


@cache
def for_states(kind: Dtype, N: int, D: int, H: int) -> tuple[int]:
    """Entries of scratch memory that `_states` needs, as a shape."""
    return (kind.columns(H) * (H + D) + N * H,)


@cache
def for_outputs(kind: Dtype, O: int, H: int) -> tuple[int]:
    """Entries that `_outputs` needs."""
    return (kind.columns(O) * H,)


@cache
def for_gradients(kind: Dtype, M: int, J: int, N: int) -> tuple[int]:
    """Entries that `_through_time`, `_gradients` and `_outputs` need on the way back through a layer.

    It has M outputs and at most J inputs; N rows through time, or N = 0.
    """
    through_time = kind.columns(N * M) + kind.columns(M) * M if N else 0
    sums = kind.width + (kind.columns(M) + kind.columns(J)) * DEPTH
    return (max(through_time, sums, kind.columns(J) * M),)


def spans(count: int, work: int, step: int = 1) -> list[tuple[int, int]]:
    """range(count) in parts (begin, end) that take no longer than PATIENCE; work: multiplications for one of them."""
    if count * work <= PATIENCE:
        return [(0, count)]
    span = max(1, PATIENCE // (work * step)) * step
    return [(i, min(i + span, count)) for i in range(0, count, span)]


def ready(a: Array) -> Array:
    """The array as the kernels were compiled for: contiguous, aligned and writeable; a copy where it is not."""
    return a if a.flags.carray else np.array(a, order="C")


def new_gradients(params: Mapping[str, Array], N: int, dtype: np.dtype) -> Blocks:
    """Arrays for the gradients of all N rows."""
    return [(slice(0, N), {symbol: np.empty(array.shape, dtype) for symbol, array in params.items()})]


def rnn_forward(
    params: Mapping[str, Array],
    x: Array,
    state: Array,
    *,
    lengths: Array | None = None,
    nonlinearity: str = "tanh",
) -> tuple[Array, Array, rnn.Trace]:
    """Twin of `layers.rnn.forward`."""
    W_xh, W_hh, b_h = ready(params["W_xh"]), ready(params["W_hh"]), ready(params["b_h"])
    x = ready(x)
    T, N = x.shape[:2]
    H, D = W_xh.shape
    kind = of_dtype(W_hh.dtype)
    here = room()
    h = here.empty((T + 1, N, H), W_hh.dtype)
    h[0] = state
    valid = None if lengths is None else np.arange(T)[:, None, None] < lengths[:, None]
    mask = None if valid is None else valid.reshape(T, N)
    dense, tokens = (x, None) if x.ndim == 3 else (kind.none3, x)
    activation = ACTIVATION[nonlinearity]
    if T * N < FEW and valid is None:
        few_states(h, dense, tokens, W_xh, W_hh, b_h, activation)
    else:
        work = here.empty(for_states(kind, N, D, H), W_hh.dtype)
        longest = T if lengths is None else int(lengths.max())
        for begin, end in spans(longest, N * H * (H + D)):
            states(kind.functions, h, dense, tokens, W_xh, W_hh, b_h, mask, work, kind.width, activation, begin, end)
        if longest < T:
            h[longest + 1 :] = h[longest]  # every row is over
    return h[1:], h[T], rnn.Trace(x, h, valid)


def rnn_backward(
    params: Mapping[str, Array],
    dy: Array,
    trace: rnn.Trace,
    dstate: Array,
    *,
    inputs: bool = True,
    nonlinearity: str = "tanh",
    out: Blocks | None = None,
) -> tuple[Array | None, Array, Mapping[str, Array], rnn.Flow]:
    """Twin of `layers.rnn.backward`, with `out` as in `Blocks`.

    ∂L/∂a takes the place of a dy that lies in the room, as a layer above made it: nobody looks at that again.
    """
    x, h, valid = trace
    W_xh, W_hh = ready(params["W_xh"]), ready(params["W_hh"])
    T, N, H = dy.shape
    D = W_xh.shape[1]
    dtype = h.dtype
    kind = of_dtype(dtype)
    here = room()
    dense = x.ndim == 3
    out = out or new_gradients(params, N, dtype)
    carried = np.empty((N, H), dtype)
    row_norms, flushed = np.empty((T, N)), np.empty(T, INTEGER)
    squares = here.empty((1 if dtype.itemsize == 4 else 2, N), DOUBLE)
    dx = here.empty(x.shape, dtype) if inputs and dense else None
    work = here.empty(for_gradients(kind, H, max(D, H), N), dtype)
    steps = T if valid is None else int(valid.any(axis=1).sum())  # of the longest row
    if steps < T and (dstate.any() or dy[steps:].any()):
        steps = T  # something comes back from where all rows are over
    dstate = ready(dstate)
    if not dy.strides[0]:  # all steps have the same
        dy, da = ready(dy[:1]), here.empty((T, N, H), dtype)
    else:
        as_given, dy = dy, ready(dy)
        ours = dy is not as_given or here.holds(dy)  # a copy, or spent
        da = dy if ours else here.empty((T, N, H), dtype)
    mask = None if valid is None else ready(valid.reshape(T, N))
    seen = da, carried, squares, row_norms, flushed
    given = h, W_hh, mask, work, kind.width, kind.tiny, DERIVATIVE[nonlinearity]
    for first, end in reversed(spans(steps, N * H * H)):
        through_time(kind.functions, *seen, dy, dstate if end == steps else carried, *given, first, end)
    if steps < T:
        for zero in (row_norms, flushed) if dx is None else (row_norms, flushed, dx):
            zero[steps:] = 0
        da = da[:steps]
    dense_x = x if dense else kind.none3
    columns = kind.none2 if dense else here.empty((D, H), dtype)
    for rows, own in out:
        block_sums(own["b_h"], own["W_hh"], own["W_xh"] if dense else kind.none2, da, h, dense_x, work, rows)
        if not dense:
            scatter(columns, x[:steps], da, rows.start, rows.stop)
            own["W_xh"][...] = columns.T
    if dx is not None:
        products(dx, da, W_xh, kind.none1, work)
    return dx, carried, out[0][1], rnn.Flow(row_norms, flushed)


def block_sums(db: Array, dW: Array, dW_xh: Array, da: Array, h: Array, x: Array, work: Array, rows: slice) -> None:
    """`_gradients` of a block of rows; those that it leaves transposed are turned."""
    kind = of_dtype(da.dtype)
    T, _, M = da.shape
    first, count = rows.start, rows.stop - rows.start
    results = [dW, dW_xh]
    turned = [i for i in (0, 1) if 1 < results[i].shape[1] < kind.narrow]
    for i in turned:
        results[i] = room().empty(results[i].shape[::-1], da.dtype)
    for span in spans(T * count, M * (h.shape[2] + x.shape[2]), DEPTH):
        gradients(kind.functions, db, *results, da, h, x, work, kind.width, kind.narrow, first, count, *span)
    for i in turned:
        (dW, dW_xh)[i][...] = results[i].T


def linear_forward(
    params: Mapping[str, Array], h: Array, state: None, *, lengths: Array | None = None
) -> tuple[Array, None, linear.Trace]:
    """Twin of `layers.linear.forward`."""
    W_hy = ready(params["W_hy"])
    O, H = W_hy.shape
    dtype = W_hy.dtype
    kind = of_dtype(dtype)
    here = room()
    h = ready(h)
    y = here.empty((*h.shape[:2], O), dtype)
    b_y = ready(params["b_y"])
    if y.size < FEW * O:
        few_outputs(y, h, W_hy, b_y)
    else:
        products(y, h, W_hy, b_y, here.empty(for_outputs(kind, O, H), dtype))
    return y, None, linear.Trace(h)


def products(y: Array, h: Array, W: Array, b: Array, work: Array) -> None:
    """`_outputs` for all rows of all steps of h."""
    kind = of_dtype(y.dtype)
    T, N, H = h.shape
    for span in spans(T * N, y.shape[2] * H, BLOCK):
        outputs(kind.functions, y, h, W, b, work, *span)


def linear_backward(
    params: Mapping[str, Array],
    dy: Array,
    trace: linear.Trace,
    dstate: None,
    *,
    inputs: bool = True,
    out: Blocks | None = None,
) -> tuple[Array | None, None, Mapping[str, Array], None]:
    """Twin of `layers.linear.backward`, with `out` as in `Blocks`."""
    W_hy, h, dy = ready(params["W_hy"]), trace.h, ready(dy)
    O, H = W_hy.shape
    dtype = W_hy.dtype
    kind = of_dtype(dtype)
    here = room()
    out = out or new_gradients(params, dy.shape[1], dtype)
    work = here.empty(for_gradients(kind, O, H, 0), dtype)
    for rows, own in out:
        block_sums(own["b_y"], own["W_hy"], kind.none2, dy, h, kind.none3, work, rows)
    dh = here.empty(h.shape, dtype) if inputs else None
    if dh is not None:
        products(dh, dy, W_hy, kind.none1, work)
    return dh, None, out[0][1], None


def mse(y: Array, target: Array, count: int, mask: Array | None = None) -> tuple[Array, Array]:
    """Twin of `losses.mse`."""
    here = room()
    dy, of_rows = here.empty(y.shape, y.dtype), np.empty(y.shape[1])
    mse_of_rows(dy, of_rows, ready(y), ready(target), None if mask is None else ready(mask), count * y.shape[2])
    return of_rows, dy


def softmax_cross_entropy(y: Array, target: Array, count: int, mask: Array | None = None) -> tuple[Array, Array]:
    """Twin of `losses.softmax_cross_entropy`."""
    here = room()
    dy, of_rows = here.empty(y.shape, y.dtype), np.empty(y.shape[1])
    counted = None if mask is None else ready(mask)
    cross_entropy_of_rows(dy, of_rows, ready(y), ready(target), counted, count, here.empty(y.shape[2:], DOUBLE))
    return of_rows, dy


def vector_norm(vector: Array) -> Any:
    """Twin of `gradients.clip.vector_norm`."""
    return np.float64(whole_norm(ready(vector)))


def part_norms(vector: Array, ends: Array) -> Array:
    """Twin of `gradients.clip.part_norms`."""
    norms = np.empty(len(ends))
    norms_of_parts(norms, ready(vector), ends)
    return norms


def shrink(array: Array, norm: float, max_norm: float) -> bool:
    """Twin of `gradients.clip.shrink`."""
    if not norm > max_norm:
        return False
    if not array.flags.carray:
        return clip.shrink(array, norm, max_norm)
    scale(array.reshape(-1), max_norm / norm)
    return True


def subtract(vector: Array, delta: Array) -> bool:
    """Twin of `optimizers.subtract`."""
    return subtract_step(vector, delta, of_dtype(delta.dtype).largest)


def in_place(delta: Array, grad: Array) -> Array:
    """delta, filled with the gradient that the step will replace."""
    if delta is not grad:
        delta[...] = grad
    return delta


def sgd(
    delta: Array, grad: Array, moments: optimizers.Moments, step: int, learning_rate: float, momentum: float
) -> None:
    """Twin of `optimizers.sgd`."""
    if momentum:
        momentum_step(in_place(delta, grad), moments["m"], momentum, learning_rate)
    else:
        with np.errstate(under="ignore"):
            np.multiply(grad, grad.dtype.type(learning_rate), out=delta)


def adagrad(
    delta: Array, grad: Array, moments: optimizers.Moments, step: int, learning_rate: float, eps: float
) -> None:
    """Twin of `optimizers.adagrad`."""
    rescaled_step(in_place(delta, grad), moments["v"], 1.0, 1.0, learning_rate, eps)


def rmsprop(
    delta: Array, grad: Array, moments: optimizers.Moments, step: int, learning_rate: float, decay: float, eps: float
) -> None:
    """Twin of `optimizers.rmsprop`."""
    rescaled_step(in_place(delta, grad), moments["v"], decay, 1 - decay, learning_rate, eps)


def adam(
    delta: Array,
    grad: Array,
    moments: optimizers.Moments,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> None:
    """Twin of `optimizers.adam`."""
    rate, scale = learning_rate / (1 - beta1**step), (1 - beta2**step) ** -0.5
    adam_step(in_place(delta, grad), moments["m"], moments["v"], beta1, beta2, rate, scale, eps)


def check(dtype: np.dtype) -> None:
    """Compute a small product as a linear layer does. Raises RuntimeError where it comes out wrong.

    The kernels that it compiles are those that every model begins with.
    """
    W, b = np.arange(15, dtype=dtype).reshape(5, 3), np.arange(5, dtype=dtype)
    h = np.arange(24, dtype=dtype).reshape(2, 4, 3)
    y = linear_forward({"W_hy": W, "b_y": b}, h, None)[0]
    if not np.array_equal(y, h @ W.T + b):
        raise RuntimeError(f"a product of small integers came out wrong in {dtype}")


TWINS: dict[Callable[..., Any], Callable[..., Any]] = {
    rnn.forward: rnn_forward,
    rnn.backward: rnn_backward,
    linear.forward: linear_forward,
    linear.backward: linear_backward,
    losses.mse: mse,
    losses.softmax_cross_entropy: softmax_cross_entropy,
    clip.vector_norm: vector_norm,
    clip.part_norms: part_norms,
    clip.shrink: shrink,
    optimizers.subtract: subtract,
    optimizers.sgd: sgd,
    optimizers.adagrad: adagrad,
    optimizers.rmsprop: rmsprop,
    optimizers.adam: adam,
}

FILLS: frozenset[Callable[..., Any]] = frozenset(
    {rnn.backward, linear.backward}
)  # whose twins take `out`, as `Blocks` says
