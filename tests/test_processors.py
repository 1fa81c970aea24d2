"""The kernels as other processors get them: older ones imitated on this one, and 64-bit Arm as far as a compiler shows.

NUMBA_CPU_NAME makes Numba compile for another processor than the one it runs on; "haswell" stands for AVX2 without
AVX-512, "generic" for the least that any x86-64 or 64-bit Arm has. Each imitation is a child process with a cache of
its own, because a process has one width of register throughout.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite import binding, ir
from shape_cases import Case, check_network, check_twins

from scratchrnn.backends import numba_twins

HERE = Path(__file__).resolve().parent

x86 = pytest.mark.skipif(
    not binding.get_process_triple().startswith(("x86_64", "amd64")), reason="haswell is an x86 processor"
)
FEATURES = dict(binding.get_host_cpu_features())

# Of odd sizes around the lanes of every width, two times 256 rows in a sum, few and many rows.
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
            check_twins(case)
            check_network(case, "cross_entropy" if case.tokens else "mse", "mask" if case.masked else "all")
    print("bytes:", numba_twins.LANE_BYTES, "rows:", numba_twins.ROWS)


def imitate(tmp_path: Path, dtypes: list[str], **variables: str) -> tuple[int, int]:
    """Run the cases as another processor; the bytes of a register and the rows of a tile there."""
    path = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
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
    assert numba_twins.LANE_BYTES == expected_bytes(*features)


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
    assert imitate(tmp_path, ["float32", "float64"]) == (numba_twins.LANE_BYTES, numba_twins.ROWS)


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


# 64-bit Arm, which is not here to run.

ARM = "aarch64-unknown-linux-gnu"


def arm_target() -> binding.Target:
    """LLVM's compiler for 64-bit Arm, where llvmlite has it."""
    try:
        binding.initialize_all_targets()
        binding.initialize_all_asmprinters()
        return binding.Target.from_triple(ARM)
    except RuntimeError as error:
        pytest.skip(f"this llvmlite cannot compile for 64-bit Arm: {error}")


@pytest.mark.parametrize("size", [4, 8])
def test_product_and_packing_compile_for_64_bit_arm(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Arm's registers, 32 of 16 bytes, they become machine code whose sums run in vector multiply-adds.

    It is not run. What is shown: LLVM can translate all that is written; a tile keeps its sums in registers; and no
    function is called that is not among those written.
    """
    target = arm_target()
    monkeypatch.setattr(numba_twins, "LANE_BYTES", 16)
    monkeypatch.setattr(numba_twins, "ROWS", 8)
    module = ir.Module()
    module.triple = ARM
    for write in (numba_twins.write_product, numba_twins.write_pack):
        write(module, size).linkage = "external"  # else nobody needs them
    compiled = binding.parse_assembly(str(module))
    compiled.verify()
    machine = target.create_target_machine(cpu="generic", opt=3, reloc="pic")
    options = binding.create_pipeline_tuning_options(speed_level=3)
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(compiled, passes)

    elf = machine.emit_object(compiled)
    assert elf[:4] == b"\x7fELF" and int.from_bytes(elf[18:20], "little") == 183  # AArch64

    text = machine.emit_assembly(compiled)
    lanes = {4: "4s", 8: "2d"}[size]
    inner = max(loops(text), key=lambda loop: len(re.findall(rf"\tfmla\tv\d+\.{lanes}", loop)))
    assert len(re.findall(rf"\tfmla\tv\d+\.{lanes}", inner)) >= 16, inner  # 8 rows by 2 registers
    assert not re.search(r"\tst[rp]\t", inner), inner  # the sums stay where they are
    called = set(re.findall(r"\tbl\t(\S+)", text))
    assert all(name.startswith("scratchrnn_") for name in called), called


def loops(text: str) -> list[str]:
    """The innermost loops of assembly text: from a label to a branch back to it, with no other label between."""
    found = []
    for block in re.split(r"(?m)^(?=\.L\w+:)", text):
        label = block.partition(":")[0]
        if re.search(rf"\tb\.\w+\t{re.escape(label)}$|\tcbn?z\t\w+, {re.escape(label)}$", block, re.M):
            found.append(block)
    return found
