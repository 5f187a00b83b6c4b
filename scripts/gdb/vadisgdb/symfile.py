# SPDX-License-Identifier: GPL-2.0-or-later
"""Symbol files for gdb made of what a kernel carries itself.

Names come from kallsyms, types and signatures from BTF, the way up the
stack from ORC. No debug package is needed, nor the kernel's source.
"""

import bisect
import re
from typing import NamedTuple

from . import btf, dwarf, elf, orc

# Below this are per-CPU offsets and constants, above it kernel and modules.
KERNEL_START = 0xffffffff80000000
TEXT_KINDS = 'tTwW'
LINE = re.compile(r'^([0-9a-fA-F]{8,16}) (\S) (\S+)(?:\s+\[(\S+)\])?$')
# A function longer than this is a hole after the last symbol of a section.
MAX_FUNCTION = 1 << 20


class BadSymbols(Exception):
    """The kallsyms text is unusable: str() says why."""


class Name(NamedTuple):
    """A line of kallsyms."""

    addr: int
    kind: str
    name: str

    @property
    def text(self):
        """Is it code?"""
        return self.kind in TEXT_KINDS


def useless(name):
    """Compiler labels and padding, which would hide a function's name."""
    return name.startswith(('__UNIQUE_ID_', '.L', '__pfx_', '__cfi_'))


def parse_kallsyms(text):
    """The kernel's own symbols (no modules) of /proc/kallsyms, sorted."""
    out = []
    zero = 0
    for line in text.splitlines():
        hit = LINE.match(line.strip())
        if not hit or hit[4]:
            continue
        addr = int(hit[1], 16)
        zero += addr == 0
        if addr >= KERNEL_START and hit[2] not in 'aA' \
                and not useless(hit[3]):
            out.append(Name(addr, hit[2], hit[3]))
    if not out:
        raise BadSymbols(
            'no usable line in the kernel\'s symbol list'
            + (': all addresses are 0, the guest hides them (boot with '
               'kernel.kptr_restrict=0)' if zero else ''))
    return sorted(out)


def measured(names, spans):
    """elf.Symbol for each name, sizes up to the next name or span's end."""
    addrs = sorted({name.addr for name in names})
    starts = sorted((addr, addr + size) for _, addr, size, _ in spans)
    out = []
    for name in names:
        after = bisect.bisect_right(addrs, name.addr)
        end = addrs[after] if after < len(addrs) else name.addr + 1
        place = bisect.bisect_right(starts, (name.addr, 1 << 65)) - 1
        if place >= 0 and name.addr < starts[place][1]:
            end = min(end, starts[place][1]) if after < len(addrs) \
                else starts[place][1]
        size = min(end - name.addr, MAX_FUNCTION)
        out.append(elf.Symbol(
            name.name, name.addr, size,
            elf.STT_FUNC if name.text else elf.STT_OBJECT,
            elf.STB_LOCAL if name.kind.islower() else elf.STB_GLOBAL))
    return out


def argument_span(code):
    """Bytes from a function's entry in which no argument register changed.

    code -- the first bytes of the function. Accepts what compilers emit
    before real work: endbr64, the ftrace call, pushes, rbp set-up.
    """
    at = 0
    while at < len(code):
        rest = code[at:]
        if rest.startswith(b'\xf3\x0f\x1e\xfa'):        # endbr64
            at += 4
        elif rest.startswith(b'\x0f\x1f\x44\x00\x00'):  # nop, 5 bytes
            at += 5
        elif rest.startswith(b'\x66\x90'):              # nop, 2 bytes
            at += 2
        elif rest.startswith(b'\xe8') and at <= 4 and len(rest) >= 5:
            at += 5                                     # call __fentry__
        elif 0x50 <= rest[0] <= 0x57:                   # push
            at += 1
        elif rest[0] == 0x41 and len(rest) > 1 and 0x50 <= rest[1] <= 0x57:
            at += 2                                     # push r8..r15
        elif rest.startswith((b'\x48\x89\xe5', b'\x4c\x8d\x54')):
            at += 3 if rest[1] == 0x89 else 5           # mov/lea of rsp
        else:
            break
    # The instruction at `at` has not run yet when the pc is there.
    return at + 1


class Kernel(NamedTuple):
    """A kernel image as far as symbol files need it."""

    sections: dict
    types: btf.Btf
    layout: orc.Layout
    problems: list


def open_kernel(image):
    """Read a vmlinux; what it lacks is listed in `problems`."""
    sections = elf.read_sections(image)
    problems, types, layout = [], None, None
    if '.BTF' in sections:
        try:
            types = btf.Btf(sections['.BTF'].data)
        except btf.BadBtf as exc:
            problems.append(f'no types: {exc}')
    else:
        problems.append('no types: the kernel has no .BTF section')
    fields = types.bitfields('orc_entry') if types else {}
    if {'sp_reg', 'bp_reg', 'type'} <= fields.keys():
        layout = orc.Layout(fields)
    else:
        problems.append('callers may be missing: no ORC layout known')
    return Kernel(sections, types, layout, problems)


def _functions(types, symbols, code):
    """Functions BTF knows and kallsyms places, for dwarf.Types."""
    protos = types.functions()
    places = {}
    for sym in symbols:
        if sym.kind == elf.STT_FUNC:
            places.setdefault(sym.name, []).append(sym)
    offsets = {types.name(item.name): item.name for _, item in types.own()
               if item.kind == btf.FUNC}
    for name, proto in sorted(protos.items()):
        found = places.get(name, ())
        # Two functions of one name: the signature is of either one.
        if len(found) == 1 and found[0].size:
            sym = found[0]
            yield (offsets[name], proto, sym.addr, sym.size,
                   argument_span(code(sym.addr, min(sym.size, 32))))


# Entries a user looks for by name; what called them is user space, so it
# does no harm to treat them as functions.
PLAIN = ('entry_', 'ret_from_fork')


def _frames(symbols, rows, blob, layout):
    spans = {}
    for sym in symbols:
        if sym.kind == elf.STT_FUNC and sym.size:
            spans[sym.addr] = (sym.addr, sym.size,
                               sym.name.startswith(PLAIN))
    return orc.debug_frame(sorted(spans.values()), rows, blob, layout)


def _code_reader(sections):
    exec_parts = [part for part in sections.values()
                  if part.flags & elf.SHF_EXEC and part.data]

    def code(addr, size):
        for part in exec_parts:
            if part.addr <= addr < part.addr + part.size:
                return part.data[addr - part.addr:addr - part.addr + size]
        return b''
    return code


def write_kernel(kernel, kallsyms, path):
    """Write the symbol file of a kernel to `path`."""
    spans = [(part.name, part.addr, part.size,
              bool(part.flags & elf.SHF_EXEC))
             for part in kernel.sections.values()
             if part.flags & elf.SHF_ALLOC and part.addr >= KERNEL_START
             and part.size]
    symbols = measured(parse_kallsyms(kallsyms), spans)
    debug = {}
    if kernel.types:
        debug = dwarf.Types(
            kernel.types,
            _functions(kernel.types, symbols,
                       _code_reader(kernel.sections)),
            dwarf.everything(kernel.types)).sections()
    if kernel.layout and '.orc_unwind_ip' in kernel.sections:
        ips = kernel.sections['.orc_unwind_ip']
        debug['.debug_frame'] = _frames(
            symbols, orc.addresses(ips.data, ips.addr),
            kernel.sections['.orc_unwind'].data, kernel.layout)
    elf.write(path, spans, symbols, debug)


class Module(NamedTuple):
    """A loaded module: everything read from the guest's memory.

    spans -- [(name, address, size, executable)]
    code  -- code(addr, size) -> bytes of the loaded module
    orc   -- (addresses of rows, entries) or None
    """

    name: str
    spans: list
    names: list
    types: btf.Btf
    code: object
    orc: tuple


def write_module(module, layout, path):
    """Write the symbol file of a loaded module to `path`."""
    symbols = measured(sorted(module.names), module.spans)
    debug = {}
    if module.types:
        functions = list(_functions(module.types, symbols, module.code))
        debug = dwarf.Types(
            module.types, functions, dwarf.module_closure(
                module.types, [item[1] for item in functions])).sections()
    if module.orc and layout:
        debug['.debug_frame'] = _frames(symbols, *module.orc, layout)
    elf.write(path, module.spans, symbols, debug)
