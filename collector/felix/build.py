"""The version of Calico that its program was built as.

Nothing on a node names it: neither Felix's environment nor a file in its image. But Go keeps the flags of the
linker in each program, and Calico's build hands its version over by one of them (LDFLAGS in lib.Makefile).
"""

from __future__ import annotations

import pathlib
import re
import struct
from typing import BinaryIO

_SECTION = b".go.buildinfo"
_FLAG = re.compile(rb"buildinfo\.(?:Git)?Version=([\w.+-]+)")
_LARGEST = 1 << 20
_MAGIC = b"\x7fELF\x02\x01"  # ELFCLASS64, ELFDATA2LSB
_HEADER = struct.Struct("<40xQ10xHHH")  # Elf64_Ehdr: e_shoff, e_shentsize, e_shnum, e_shstrndx
_PLACE = struct.Struct("<I20xQQ24x")  # Elf64_Shdr: sh_name, sh_offset, sh_size


def version(program: pathlib.Path) -> str:
    """The version, as ``v3.31.0``; empty where the program does not tell, or may not be read."""
    try:
        with program.open("rb") as opened:
            found = _FLAG.search(_section(opened))
    except (OSError, struct.error, IndexError):
        return ""
    return found[1].decode() if found else ""


def _section(opened: BinaryIO) -> bytes:
    """What Go has written of the build; a program is too large to be looked through for it."""
    head = opened.read(_HEADER.size)
    if not head.startswith(_MAGIC):
        return b""
    start, size, count, names_at = _HEADER.unpack(head)
    opened.seek(start)
    table = opened.read(size * count)
    places = [_PLACE.unpack_from(table, size * one) for one in range(count)]
    _, at, length = places[names_at]
    names = _read(opened, at, length)
    for name, at, length in places:
        if names[name:].startswith(_SECTION + b"\0"):
            return _read(opened, at, length)
    return b""


def _read(opened: BinaryIO, at: int, length: int) -> bytes:
    opened.seek(at)
    return opened.read(min(length, _LARGEST))
