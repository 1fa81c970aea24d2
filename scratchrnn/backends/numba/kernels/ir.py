"""Writing LLVM IR: what the product, the packing and tanh are written with.

LLVM IR is the language between compilers and processors: typed instructions on as many named values as one likes, which
LLVM assigns to registers and translates for the processor at hand. The functions called `write_…` run once, at compile
time; they *write* instructions, one per call of `builder`, and a Python loop around such a call writes a copy per turn.
`counting` writes a loop that runs at run time. Variables are memory cells (`alloca`) that LLVM turns
into registers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

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
