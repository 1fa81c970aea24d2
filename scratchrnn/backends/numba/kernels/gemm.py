"""The matrix product that nearly all the time of a network goes into, with what follows each product.

The operation is a product whose result is put through something cheap: h_t = tanh(b + W_xh · x_t + W_hh · h_{t−1})
forward, ∂L/∂a_t = (∂L/∂h-part_t + W_hhᵀ · ∂L/∂a_{t+1}) ⊙ (1 − h_t²) backward. This file writes it once, in LLVM IR
(`ir.py`), for the very processor it runs on (`cpu.py`), and the loops of the layers call it. Its arguments stand in
`product.py`, its epilogues in `epilogue.py` and `tanh.py`, the copying of its weights in `pack.py`.

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
its terms, and gradients must not depend on which thread took which block.

**Two sources.** The product is really C = epilogue(start + A1 · W1 + A2 · W2). Forward, the sources are x_t with W_xh
and h_{t−1} with W_hh, so the projection of the inputs is never written to memory and read back, and the start is the
bias. Backward, there is one source, ∂L/∂a_{t+1} with W_hh, and the start is ∂L/∂h from the layers above.

**Epilogue.** While a tile is still in registers it gets its tanh, or, going back, has its subnormal numbers set to 0
and counted, its squares added up for the norm, and is multiplied by 1 − h².

Product and packing are compiled once per dtype, not into every kernel: kernels receive their addresses. `fastmath` is
off here.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ...._arrays import Array
from ..compile import STRICT, kernel
from . import cpu
from .epilogue import finish
from .ir import INT, POINTER, Lanes, counting, new_function, number, prefetch
from .pack import write_pack
from .product import POINTERS, Product, Source


def write_product(module: ir.Module, size: int) -> ir.Function:
    """C = epilogue(start + A1 · W1 + A2 · W2), panel by panel, tile by tile.

    Where the same weights are used step after step, every second step takes the panels from the last to the first: what
    the step before read last is still in the cache.
    """
    edge = write_edge(module, size)
    function, b = new_function(module, "product", size, len(Product._fields))
    lanes = Lanes(b, size, cpu.LANE_BYTES // size)
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
    """One panel, of which so many registers of a row have columns: whole tiles, then the few rows left one by one."""
    b = lanes.builder
    rest = b.srem(p.M, number(cpu.TILE_ROWS))
    rest = b.select(b.icmp_signed("<", rest, number(cpu.FEW_ROWS)), rest, number(0))
    tiled = b.sub(p.M, rest)
    with counting(b, tiled, cpu.TILE_ROWS) as i:
        write_tile(lanes, p, edge, i, j, sources, registers, cpu.TILE_ROWS, 1)
    with counting(b, p.M, start=tiled) as i:
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
    lanes = Lanes(b, size, cpu.LANE_BYTES // size)
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


def _written_code(typing_context: Any, like: Any) -> Any:
    """Write the product and the packing for the dtype of an array; their addresses."""
    size = like.dtype.bitwidth // 8

    def write(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> ir.Value:
        functions = [write_function(builder.module, size) for write_function in (write_product, write_pack)]
        return context.make_tuple(builder, signature.return_type, [builder.ptrtoint(f, INT) for f in functions])

    return types.UniTuple(types.int64, 2)(like), write


_written: Any = intrinsic(_written_code)


def _addresses(like: Array) -> tuple[int, int]:
    """The product and the packing for the dtype of an array, compiled once for all kernels."""
    return _written(like)


addresses = kernel(_addresses, **STRICT)
