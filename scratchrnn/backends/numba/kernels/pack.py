"""Packing: a matrix copied into panels, in exactly the order in which the tiles of `gemm.py` read it."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from ..compile import helper
from . import cpu
from .ir import POINTER, Lanes, call, counting, new_function, number


def write_pack(module: ir.Module, size: int) -> ir.Function:
    """Copy B (K, J), entry (k, j) at B + k · row + j · step, into panels. row or step is 1.

    The panels are `depth` rows deep, and `panels` is the address of the row of the first panel that takes row 0 of B.
    """
    function, b = new_function(module, "pack", size, 7)
    lanes = Lanes(b, size, cpu.LANE_BYTES // size)
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


@helper
def pack_rows(pack: int, panels: int, B: int, J: int, block: Any, k: int, depth: int, shape: Any) -> None:
    """Pack rows k … k + depth − 1 of a block of rows through time: of B (T, N, J), rows first … first + count − 1.

    block: N, first, count; shape: width of a panel, bytes of a number, and `Dtype.narrow`.
    """
    N, first, count = block
    width, size = shape[:2]
    if count == N:
        call(pack, (panels, B + k * J * size, J, 1, depth, J, depth))
        return
    done = 0
    while done < depth:
        t, n = (k + done) // count, (k + done) % count
        length = min(count - n, depth - done)
        source = B + (t * N + first + n) * J * size
        call(pack, (panels + done * width * size, source, J, 1, length, J, depth))
        done += length
