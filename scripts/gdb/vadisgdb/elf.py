# SPDX-License-Identifier: GPL-2.0-or-later
"""Just enough ELF: read a 64-bit little-endian kernel, write symbol files."""

import struct
from typing import NamedTuple

EHDR = struct.Struct('<16sHHIQQQIHHHHHH')
SHDR = struct.Struct('<IIQQQQIIQQ')
SYM = struct.Struct('<IBBHQQ')
MACHINE_X86_64 = 62
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOBITS = 1, 2, 3, 8
SHF_WRITE, SHF_ALLOC, SHF_EXEC = 1, 2, 4
SHN_ABS = 0xfff1
STT_OBJECT, STT_FUNC = 1, 2
STB_LOCAL, STB_GLOBAL = 0, 1


class NotElf(Exception):
    """The file is not an ELF file this reader understands."""


class Section(NamedTuple):
    """A section header with its data (empty for NOBITS)."""

    name: str
    kind: int
    flags: int
    addr: int
    size: int
    data: bytes


class Symbol(NamedTuple):
    """A symbol to write: `kind` is STT_FUNC or STT_OBJECT."""

    name: str
    addr: int
    size: int
    kind: int
    bind: int = STB_GLOBAL


def cstring(blob, offset):
    """The NUL-terminated string at an offset of a string table."""
    end = blob.find(b'\0', offset)
    return blob[offset:end if end >= 0 else None].decode('utf-8', 'replace')


def read_sections(data):
    """All sections of an ELF image by name (the first of equal names)."""
    if len(data) < EHDR.size or data[:6] != b'\x7fELF\x02\x01':
        raise NotElf('not a 64-bit little-endian ELF file')
    head = EHDR.unpack_from(data)
    shoff, shentsize, shnum, shstrndx = head[6], head[11], head[12], head[13]
    if not shnum or shentsize != SHDR.size \
            or shoff + shnum * SHDR.size > len(data):
        raise NotElf('no usable section table')
    raw = [SHDR.unpack_from(data, shoff + n * SHDR.size)
           for n in range(shnum)]
    if shstrndx >= shnum:
        raise NotElf('no section names')
    names = data[raw[shstrndx][4]:raw[shstrndx][4] + raw[shstrndx][5]]
    out = {}
    for name, kind, flags, addr, offset, size, *_ in raw:
        body = b'' if kind == SHT_NOBITS else data[offset:offset + size]
        section = Section(cstring(names, name), kind, flags, addr, size,
                          body)
        out.setdefault(section.name, section)
    return out


def write(path, spans, symbols, debug):
    """Write an ELF file that carries symbols and debug sections only.

    spans   -- [(name, address, size, executable)]: the address ranges the
               symbols live in, written without contents
    symbols -- iterable of Symbol
    debug   -- {section name: bytes}
    """
    sections = [(name, SHT_NOBITS,
                 SHF_ALLOC | (SHF_EXEC if code else SHF_WRITE),
                 addr, b'', size, 0, 0, 16, 0)
                for name, addr, size, code in spans]
    strtab = bytearray(b'\0')
    # Local symbols must come first; sh_info is the first global's number.
    ordered = sorted(symbols, key=lambda sym: sym.bind)
    first_global = 1 + sum(sym.bind == STB_LOCAL for sym in ordered)
    table = bytearray(SYM.size)
    for sym in ordered:
        index = SHN_ABS
        for number, (_, addr, size, _code) in enumerate(spans):
            if addr <= sym.addr < addr + size:
                index = number + 1
                break
        table += SYM.pack(len(strtab), sym.bind << 4 | sym.kind, 0, index,
                          sym.addr, sym.size)
        strtab += sym.name.encode() + b'\0'
    for name, body in debug.items():
        sections.append((name, SHT_PROGBITS, 0, 0, body, len(body), 0, 0,
                         1, 0))
    strtab_index = len(sections) + 2
    sections.append(('.symtab', SHT_SYMTAB, 0, 0, bytes(table), len(table),
                     strtab_index, first_global, 8, SYM.size))
    sections.append(('.strtab', SHT_STRTAB, 0, 0, bytes(strtab),
                     len(strtab), 0, 0, 1, 0))
    _write_file(path, sections)


def _write_file(path, sections):
    names = bytearray(b'\0')
    offset = EHDR.size
    headers = [bytes(SHDR.size)]
    bodies = []
    for name, kind, flags, addr, body, size, link, info, align, ent \
            in sections + [('.shstrtab', SHT_STRTAB, 0, 0, None, 0,
                            0, 0, 1, 0)]:
        name_at = len(names)
        names += name.encode() + b'\0'
        if body is None:
            body = bytes(names)
            size = len(body)
        headers.append(SHDR.pack(name_at, kind, flags, addr, offset, size,
                                 link, info, align, ent))
        bodies.append(body)
        offset += len(body)
    # ET_EXEC: the addresses are final, gdb must not relocate anything.
    ehdr = EHDR.pack(b'\x7fELF\x02\x01\x01'.ljust(16, b'\0'), 2,
                     MACHINE_X86_64, 1, 0, 0, offset, 0, EHDR.size, 0, 0,
                     SHDR.size, len(headers), len(headers) - 1)
    with open(path, 'wb') as out:
        out.write(ehdr)
        for body in bodies:
            out.write(body)
        for header in headers:
            out.write(header)
