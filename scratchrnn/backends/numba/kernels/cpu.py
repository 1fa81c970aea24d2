"""What the kernels need to know about the processor that Numba compiles for."""

from __future__ import annotations

from llvmlite import binding
from numba.core import config
from numba.core.registry import cpu_target


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
TILE_ROWS = 6 if LANE_BYTES < 64 and binding.get_process_triple().startswith("x86") else 8
FEW_ROWS = 4  # fewer rows than this are taken one by one
NARROW = 8  # columns, or those of a panel if it has fewer: below that a sum of outer products is taken transposed
DEPTH = 256  # terms of a long sum in use at a time
GEMM_ROWS = 64 // TILE_ROWS * TILE_ROWS  # in use at a time: whole tiles, so that the few left over are the last of all
