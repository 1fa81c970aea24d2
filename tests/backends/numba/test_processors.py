"""The kernels as other processors get them: older ones imitated on this one, and 64-bit Arm in an emulator.

NUMBA_CPU_NAME makes Numba compile for another processor than the one it runs on; "haswell" stands for AVX2 without
AVX-512, "generic" for the least that any x86-64 or 64-bit Arm has. Each imitation is a child process with a cache of
its own, because a process has one width of register throughout.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from arm_emulator import Emulator
from llvmlite import binding, ir
from shape_cases import Case, check_kernels, check_network

from scratchrnn.backends.numba.kernels import cpu
from scratchrnn.backends.numba.kernels import product as epilogues
from scratchrnn.backends.numba.kernels.gemm import write_product
from scratchrnn.backends.numba.kernels.pack import write_pack

HERE = Path(__file__).resolve().parent

x86 = pytest.mark.skipif(
    not binding.get_process_triple().startswith(("x86_64", "amd64")), reason="haswell is an x86 processor"
)
FEATURES = dict(binding.get_host_cpu_features())

# Of odd sizes around the lanes of every width, two times 256 rows in a sum, few and many rows, two tiles of them.
SHAPES = [
    (1, 1, 1, 1, 1),
    (1, 9, 65, 33, 2),
    (2, 3, 1, 2, 1),
    (3, 2, 5, 31, 7),
    (4, 7, 3, 6, 5),
    (5, 1, 8, 16, 9),
    (6, 5, 7, 17, 3),
    (7, 4, 9, 1, 3),
    (9, 3, 4, 4, 4),
    (11, 25, 2, 9, 63),
    (13, 2, 33, 65, 1),
    (19, 31, 6, 15, 8),
    (26, 10, 4, 7, 2),
    (12, 11, 3, 33, 7),
]


def odd_cases(dtype: str) -> list[Case]:
    """Two for each shape."""
    pairs = [(dict(tokens=True, masked=True), dict(padded=True)), (dict(padded=True, tokens=True), dict(inputs=False))]
    return [
        Case(*shape, P=9 * i + 1, dtype=dtype, seed=i, **options)
        for i, shape in enumerate(SHAPES)
        for options in pairs[i % 2]
    ]


def check_here(*dtypes: str) -> None:
    """What a child process runs: all cases, then a line with the width that was chosen."""
    for dtype in dtypes:
        for case in odd_cases(dtype):
            check_kernels(case)
            check_network(case, "cross_entropy" if case.tokens else "mse", "mask" if case.masked else "all")
    print("bytes:", cpu.LANE_BYTES, "rows:", cpu.TILE_ROWS)


def imitate(tmp_path: Path, dtypes: list[str], **variables: str) -> tuple[int, int]:
    """Run the cases as another processor; the bytes of a register and the rows of a tile there."""
    path = os.pathsep.join([*map(str, (HERE.parents[2], HERE.parents[1], HERE)), os.environ.get("PYTHONPATH", "")])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_CPU_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import test_processors; test_processors.check_here(*{dtypes})"],
        env={**kept, "PYTHONPATH": path, "NUMBA_CACHE_DIR": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"bytes: (\d+) rows: (\d+)\n", done.stdout)
    assert found, done.stdout
    return int(found[1]), int(found[2])


def expected_bytes(*features: str) -> int:
    """The widest register among some features of a processor."""
    return 64 if "avx512f" in features else 32 if "avx2" in features else 16


def test_this_processor_gets_its_own_width() -> None:
    features = [name for name, has in FEATURES.items() if has]
    if "NUMBA_CPU_NAME" in os.environ or "NUMBA_CPU_FEATURES" in os.environ:
        pytest.skip("these tests imitate another processor themselves")
    assert cpu.LANE_BYTES == expected_bytes(*features)


# In short, one dtype each; the rest is slow.


@x86
def test_haswell(tmp_path: Path) -> None:
    expected = 32 if FEATURES.get("avx2") else 16
    assert imitate(tmp_path, ["float32"], NUMBA_CPU_NAME="haswell") == (expected, 6)


def test_generic(tmp_path: Path) -> None:
    rows = 6 if binding.get_process_triple().startswith("x86") else 8
    assert imitate(tmp_path, ["float64"], NUMBA_CPU_NAME="generic") == (16, rows)


@pytest.mark.slow
def test_this_processor_in_full(tmp_path: Path) -> None:
    assert imitate(tmp_path, ["float32", "float64"]) == (cpu.LANE_BYTES, cpu.TILE_ROWS)


@x86
@pytest.mark.slow
@pytest.mark.skipif(not FEATURES.get("avx2"), reason="this processor is older than haswell")
def test_haswell_in_full(tmp_path: Path) -> None:
    """With haswell's name Numba still uses instructions that only this processor has; here those are taken away too."""
    newer = re.compile("avx512|avx10|amx|evex|egpr|gfni|vaes|vpclmulqdq")
    features = ",".join(f"{'+' if has and not newer.match(name) else '-'}{name}" for name, has in FEATURES.items())
    variables = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": features}
    assert imitate(tmp_path, ["float32", "float64"], **variables) == (32, 6)


@pytest.mark.slow
def test_generic_in_full(tmp_path: Path) -> None:
    assert imitate(tmp_path, ["float32", "float64"], NUMBA_CPU_NAME="generic")[0] == 16


# 64-bit Arm, which is not here: its code is looked at, and run in an emulator.

ARM = "aarch64-unknown-linux-gnu"
SCALED = epilogues.SCALE_DOWN**2  # what the squares of float64 numbers are multiplied by in the sum of large ones


@pytest.fixture
def arm_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arm's registers: 32, of 16 bytes."""
    monkeypatch.setattr(cpu, "LANE_BYTES", 16)
    monkeypatch.setattr(cpu, "TILE_ROWS", 8)


def compile_for_arm(size: int) -> tuple[bytes, str]:
    """Product and packing for numbers of that many bytes: an object file, and the same as assembly text."""
    try:
        binding.initialize_all_targets()
        binding.initialize_all_asmprinters()
        target = binding.Target.from_triple(ARM)
    except RuntimeError as error:
        pytest.skip(f"this llvmlite cannot compile for 64-bit Arm: {error}")
    module = ir.Module()
    module.triple = ARM
    for write in (write_product, write_pack):
        write(module, size).linkage = "external"  # else nobody needs them
    compiled = binding.parse_assembly(str(module))
    compiled.verify()
    machine = target.create_target_machine(cpu="generic", opt=3, reloc="static", codemodel="small")
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(compiled, passes)
    return machine.emit_object(compiled), machine.emit_assembly(compiled)


@pytest.mark.usefixtures("arm_lanes")
@pytest.mark.parametrize("size", [4, 8])
def test_product_and_packing_compile_for_64_bit_arm(size: int) -> None:
    """All that is written can be translated; a tile keeps its sums in registers and adds to them by vector
    multiply-adds; and no function is called that is not among those written.
    """
    elf, text = compile_for_arm(size)
    assert elf[:4] == b"\x7fELF" and int.from_bytes(elf[18:20], "little") == 183  # AArch64
    multiply_add = {4: r"\tfmla\tv\d+\.4s", 8: r"\tfmla\tv\d+\.2d"}[size]
    inner = max(loops(text), key=lambda loop: len(re.findall(multiply_add, loop)))
    assert len(re.findall(multiply_add, inner)) >= 16, inner  # 8 rows by 2 registers
    assert not re.search(r"\tst[rp]\t", inner), inner  # the sums stay where they are
    called = set(re.findall(r"\tbl\t(\S+)", text))
    assert all(name.startswith("scratchrnn_") for name in called), called


def loops(text: str) -> list[str]:
    """The innermost loops of assembly text: from a label to a branch back to it, with no other label between."""
    found = []
    for block in re.split(r"(?m)^(?=\.L\w+:)", text):
        label = re.escape(block.partition(":")[0])
        if re.search(rf"\tb\.\w+\t{label}$|\tcbn?z\t\w+, {label}$", block, re.M):
            found.append(block)
    return found


@pytest.mark.usefixtures("arm_lanes")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_product_and_packing_run_on_64_bit_arm(dtype: str, rng: np.random.Generator) -> None:
    """In an emulator, on shapes around its lanes: every epilogue, both ways of packing, nothing written beside C."""
    pytest.importorskip("unicorn", reason="needs the package unicorn, which emulates Arm")
    size = np.dtype(dtype).itemsize
    arm = Emulator(compile_for_arm(size)[0])
    product, pack = (f"scratchrnn_{name}_float{8 * size}" for name in ("product", "pack"))
    width = 32 // size

    def new(*shape: int) -> np.ndarray:
        return rng.uniform(-0.9, 0.9, shape).astype(dtype)

    def panels(B: np.ndarray, row: int, step: int, K: int, J: int) -> int:
        target = arm.put(np.full(-(-J // width) * width * K, np.nan, dtype))
        some = K // 2 if step == 1 else 0  # in two parts where rows are whole
        if some:
            arm.call(pack, target, arm.put(B[:some]), row, step, some, J, K)
        arm.call(pack, target + some * width * B.itemsize, arm.put(B[some:]), row, step, K - some, J, K)
        return target

    for case, (M, J) in enumerate(itertools.product((1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 17), (1, 2, 3, 4, 5, 8, 9, 17))):
        epilogue, K1, K2 = case % 5, (0, 1, 3, 4, 9, 6, 2)[case % 7], (1, 2, 5, 8)[case % 4]
        A1, A2, W1, W2, start, h = new(M, K1), new(M, K2), new(J, K1), new(K2, J), new(M, J), new(M, J)
        C = np.full((M + 1, J), 7, dtype)
        arm.clear()
        at_C, sums, large, flushed = arm.put(C), arm.put(np.zeros(M)), arm.put(np.zeros(M)), arm.put(np.zeros(1, int))
        transposed, straight = panels(W1, 1, K1, K1, J) if K1 else 0, panels(W2, J, 1, K2, J)
        first, second = (arm.put(A1), K1, 1, K1, transposed), (arm.put(A2), K2, 1, K2, straight)
        slope = (arm.put(h), J, sums, large, flushed)
        arm.call(product, at_C, J, M, J, arm.put(start), J, *first, *second, case % 3 % 2, epilogue, *slope)

        total = start.astype(float) + A1.astype(float) @ W1.T + A2.astype(float) @ W2
        expected = {
            epilogues.NOTHING: total,
            epilogues.TANH: np.tanh(total),
            epilogues.RELU: np.maximum(total, 0),
            epilogues.TANH_DERIVATIVE: total * (1 - h.astype(float) ** 2),
            epilogues.RELU_DERIVATIVE: total * (h > 0),
        }[epilogue]
        tolerance = 100 * np.finfo(dtype).eps
        where = f"M, J, K1, K2 = {M, J, K1, K2}, epilogue {epilogue}"
        assert np.abs(arm.get(at_C, C)[:M] - expected).max() <= tolerance, where
        assert (arm.get(at_C, C)[M] == 7).all(), where
        if epilogue in epilogues.DERIVATIVE.values():
            squares = arm.get(sums, np.zeros(M)) if size == 4 else arm.get(large, np.zeros(M)) / SCALED
            np.testing.assert_allclose(squares, (total**2).sum(axis=1), rtol=10 * tolerance, err_msg=where)
