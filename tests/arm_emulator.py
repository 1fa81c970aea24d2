"""Runs compiled functions for 64-bit Arm on any machine: loads an object file into the emulator Unicorn.

It knows what the object files of these tests have in them, code and constants, and the kinds of relocation by which
code finds constants; anything else is an error.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

STACK, RETURN, HEAP = 0x800000, 0x8F0000, 0x1000000
CALL_LIMIT = 60_000_000  # microseconds
UNITS = {285: 2, 286: 3, 299: 4}  # LDST32, LDST64 and LDST128_ABS_LO12_NC: log2 of the bytes loaded


class Section(NamedTuple):
    """A section header of an ELF file."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


class Emulator:
    """A processor with some functions in its memory, and arrays beside them. Raises ImportError without Unicorn."""

    def __init__(self, elf: bytes) -> None:
        import unicorn
        from unicorn import arm64_const

        self._registers = arm64_const
        self._machine = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
        enabled = self._machine.reg_read(arm64_const.UC_ARM64_REG_CPACR_EL1) | 3 << 20
        self._machine.reg_write(arm64_const.UC_ARM64_REG_CPACR_EL1, enabled)  # vector registers may be used
        for start, size in ((STACK, 1 << 20), (HEAP, 1 << 24)):
            self._machine.mem_map(start, size)
        self.functions = self._load(elf)
        self.clear()

    def _load(self, elf: bytes) -> dict[str, int]:
        """Code and constants to their places; the functions' addresses by name."""
        (table,) = struct.unpack_from("<Q", elf, 40)
        (count,) = struct.unpack_from("<H", elf, 60)
        sections = [Section(*struct.unpack_from("<IIQQQQIIQQ", elf, table + 64 * i)) for i in range(count)]
        in_memory = [i for i, section in enumerate(sections) if section.flags & 2]
        address = {number: (place + 1) << 16 for place, number in enumerate(in_memory)}
        memory = {i: bytearray(elf[sections[i].offset :][: sections[i].size]) for i in in_memory}
        (symbols_section,) = (section for section in sections if section.kind == 2)
        names = elf[sections[symbols_section.link].offset :]
        symbols = [struct.unpack_from("<IBBHQQ", elf, at) for at in entries(symbols_section)]
        for section in sections:
            for at in entries(section) if section.kind == 4 else ():
                offset, info, addend = struct.unpack_from("<QQq", elf, at)
                symbol = symbols[info >> 32]
                target = address[symbol[3]] + symbol[4] + addend
                relocate(memory[section.info], offset, address[section.info] + offset, target, info & 0xFFFFFFFF)
        for i, content in memory.items():
            self._machine.mem_map(address[i], 1 << 16)
            self._machine.mem_write(address[i], bytes(content))
        functions = [symbol for symbol in symbols if symbol[1] & 15 == 2]
        return {names[s[0] :].partition(b"\0")[0].decode(): address[s[3]] + s[4] for s in functions}

    def clear(self) -> None:
        """Forget all arrays."""
        self._free = HEAP

    def put(self, array: np.ndarray) -> int:
        """Copy an array into the memory; its address."""
        address = self._free
        self._machine.mem_write(address, array.tobytes())
        self._free += (array.nbytes + 127) // 64 * 64
        return address

    def get(self, address: int, like: np.ndarray) -> np.ndarray:
        """The array at an address, with the shape and dtype of another."""
        return np.frombuffer(bytes(self._machine.mem_read(address, like.nbytes)), like.dtype).reshape(like.shape)

    def call(self, name: str, *args: int) -> None:
        """Call a function with integers: eight in registers, the rest on the stack."""
        stack = STACK + (1 << 19)
        for i, value in enumerate(args[:8]):
            self._machine.reg_write(self._registers.UC_ARM64_REG_X0 + i, value)
        self._machine.mem_write(stack, struct.pack(f"<{len(args[8:])}q", *args[8:]))
        self._machine.reg_write(self._registers.UC_ARM64_REG_SP, stack)
        self._machine.reg_write(self._registers.UC_ARM64_REG_X30, RETURN)
        self._machine.emu_start(self.functions[name], RETURN, timeout=CALL_LIMIT)
        assert self._machine.reg_read(self._registers.UC_ARM64_REG_PC) == RETURN, f"{name} does not return"


def entries(section: Section) -> range:
    """Where the entries of a table begin."""
    return range(section.offset, section.offset + section.size, section.entry)


def relocate(code: bytearray, offset: int, here: int, target: int, kind: int) -> None:
    """Write an address into the instruction that needs it."""
    (instruction,) = struct.unpack_from("<I", code, offset)
    if kind == 275:  # ADR_PREL_PG_HI21: how many pages from here
        pages = (target >> 12) - (here >> 12)
        instruction |= (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5
    elif kind in UNITS:
        instruction |= (target & 0xFFF) >> UNITS[kind] << 10  # where in the page, in units of what is loaded
    else:
        raise NotImplementedError(f"relocation {kind}")
    struct.pack_into("<I", code, offset, instruction)
