# SPDX-License-Identifier: GPL-2.0-or-later
"""Symbol files: BTF, kallsyms and ORC made by hand, read back by gdb."""

import random
import struct

import gdbtest
import pytest
from vadisgdb import btf, dwarf, elf, orc, symfile

TEXT = 0xffffffff81000000
DATA = 0xffffffff82000000


class BtfMaker:
    """Writes BTF; type numbers count up from `first`."""

    def __init__(self, first=1, str_base=0):
        self.types = b''
        self.strings = b'\0' if not str_base else b''
        self._base = str_base
        self.next = first

    def name(self, text):
        offset = self._base + len(self.strings)
        self.strings += text.encode() + b'\0'
        return offset if text else 0

    def add(self, kind, text, ref, extra=b'', vlen=0, kflag=0):
        name = self.name(text) if text else 0
        self.types += struct.pack('<III', name,
                                  kflag << 31 | kind << 24 | vlen,
                                  ref) + extra
        self.next += 1
        return self.next - 1

    def struct(self, text, size, members, kflag=0, kind=btf.STRUCT):
        extra = b''.join(struct.pack('<III', self.name(name), ref, where)
                         for name, ref, where in members)
        return self.add(kind, text, size, extra, len(members), kflag)

    def proto(self, result, params):
        extra = b''.join(struct.pack('<II', self.name(name) if name else 0,
                                     ref) for name, ref in params)
        return self.add(btf.FUNC_PROTO, '', result, extra, len(params))

    def blob(self):
        return struct.pack('<HBBIIIII', btf.MAGIC, 1, 0, 24, 0,
                           len(self.types), len(self.types),
                           len(self.strings)) + self.types + self.strings


def kernel_btf():
    """A kernel's worth of kinds: ints, bit fields, enums, functions."""
    out = BtfMaker()
    number = {}
    number['int'] = out.add(btf.INT, 'int', 4,
                            struct.pack('<I', 1 << 24 | 32))
    number['u8'] = out.add(btf.INT, 'unsigned char', 1, struct.pack('<I', 8))
    array = out.add(btf.ARRAY, '', 0,
                    struct.pack('<III', number['int'], number['int'], 3))
    ring = out.next
    pointer = ring + 1
    out.struct('ring', 24, [
        ('next', pointer, 0), ('sizes', array, 64), ('low', number['int'],
                                                     3 << 24 | 160),
        ('high', number['int'], 29 << 24 | 163)], kflag=1)
    out.add(btf.PTR, '', ring)
    number['ring'] = ring
    out.add(btf.ENUM, 'colour', 4, struct.pack(
        '<IiIi', out.name('RED'), 0, out.name('BLUE'), -5), 2, 1)
    out.add(btf.ENUM64, 'wide', 8, struct.pack(
        '<III', out.name('HUGE'), 1, 2), 1)
    out.add(btf.TYPEDEF, 'ring_t', out.add(btf.CONST, '', ring))
    out.add(btf.FWD, 'hidden', 0)
    proto = out.proto(number['int'], [('ring', pointer),
                                      ('count', number['int']), (None, 0)])
    out.add(btf.FUNC, 'start_ring', proto)
    out.struct('orc_entry', 6, [
        ('sp_offset', number['int'], 0), ('bp_offset', number['int'], 16),
        ('sp_reg', number['int'], 4 << 24 | 32),
        ('bp_reg', number['int'], 4 << 24 | 36),
        ('type', number['int'], 3 << 24 | 40)], kflag=1)
    return out.blob(), number


def kernel_image(path):
    """A vmlinux with code, BTF and an ORC table for start_ring."""
    blob, number = kernel_btf()
    # endbr64; ftrace's 5-byte nop; push rbx; mov ecx,1; ret
    code = bytes.fromhex('f30f1efa' '0f1f440000' '53' 'b901000000' 'c3')
    code = code.ljust(64, b'\xcc')
    rows = [(0, orc.REG_SP, 8), (10, orc.REG_SP, 16), (63, 0, 0)]
    ip_addr = DATA + 0x1000
    ips = b''.join(struct.pack('<i', TEXT + at - (ip_addr + 4 * n))
                   for n, (at, _, _) in enumerate(rows))
    entries = b''.join(struct.pack(
        '<hhH', off, 0, reg | (2 if reg else 0) << 8) for _, reg, off in rows)
    sections = {'.text': (TEXT, elf.SHF_ALLOC | elf.SHF_EXEC, code),
                '.data': (DATA, elf.SHF_ALLOC | elf.SHF_WRITE, bytes(64)),
                '.BTF': (DATA + 0x800, elf.SHF_ALLOC, blob),
                '.orc_unwind_ip': (ip_addr, elf.SHF_ALLOC, ips),
                '.orc_unwind': (ip_addr + 64, elf.SHF_ALLOC, entries)}
    elf._write_file(path, [(name, elf.SHT_PROGBITS, flags, addr, body,
                            len(body), 0, 0, 1, 0)
                           for name, (addr, flags, body) in sections.items()])
    return path.read_bytes(), number


KALLSYMS = f'''\
0000000000000000 A fixed_percpu_data
{TEXT:016x} T start_ring
{TEXT + 0x20:016x} t helper
{TEXT + 0x18:016x} t __pfx_helper
{DATA:016x} d the_ring
{DATA + 0x20:016x} D other\t[some_module]
'''


@pytest.fixture
def kernel(tmp_path):
    """(symfile.Kernel, path of its symbol file)"""
    image, _ = kernel_image(tmp_path / 'vmlinux')
    opened = symfile.open_kernel(image)
    assert not opened.problems
    path = tmp_path / 'vmlinux.debug'
    symfile.write_kernel(opened, KALLSYMS, path)
    return opened, path


def test_gdb_reads_types_as_btf_has_them(gdb, kernel):
    status, output = gdb([
        kernel[1], '-ex', 'ptype /o struct ring', '-ex', 'ptype enum colour',
        '-ex', 'p sizeof(ring_t)', '-ex', 'p /d HUGE', '-ex', 'whatis ring_t',
        '-ex', 'ptype struct hidden', '-ex', 'p (int)BLUE'])
    assert status == 0, output
    gdbtest.assert_lines(
        output, 'struct ring *next;', 'int sizes[3];', 'int low : 3;',
        'int high : 29;', 'RED, BLUE = -5', '= 24', '8589934593',
        'const struct ring', '= -5', 'No struct type named hidden')


def test_gdb_knows_functions_with_signature_and_data(gdb, kernel):
    status, output = gdb([
        kernel[1], '-ex', 'whatis start_ring', '-ex', 'info symbol helper',
        '-ex', 'info scope start_ring',
        '-ex', 'info address the_ring', '-ex', f'info symbol {TEXT + 0x1f:#x}'])
    assert status == 0, output
    gdbtest.assert_lines(
        output, 'type = int (struct ring *, int, ...)', 'helper in section',
        f'{DATA:#x}', 'start_ring + 31 in section', '$rdi', '$rsi')
    # Arguments are told up to the first instruction that may change one.
    gdbtest.assert_lines(output, f'Range {TEXT:#x}-{TEXT + 11:#x}')


def test_frames_follow_the_orc_rows(kernel):
    section = elf.read_sections(kernel[1].read_bytes())['.debug_frame']
    body = section.data
    # After the push the frame is one slot bigger: advance 10, CFA rsp+16.
    assert bytes([0x40 | 10, orc.CFA_DEF, orc.RSP, 16]) in body
    assert struct.pack('<QQ', TEXT, 0x20) in body


@pytest.mark.parametrize('fields, raw, expected', [
    # 6.4 and later: three bits of type, 2 is a call
    ({'sp_reg': (32, 4), 'bp_reg': (36, 4), 'type': (40, 3)},
     struct.pack('<hhH', 8, -16, 5 | 1 << 4 | 2 << 8),
     (orc.CALL, orc.REG_SP, 8, orc.REG_PREV_SP, -16)),
    ({'sp_reg': (32, 4), 'bp_reg': (36, 4), 'type': (40, 3)},
     struct.pack('<hhH', 0, 0, 5 | 1 << 8),
     (orc.UNDEFINED, orc.REG_SP, 0, 0, 0)),
    # before: two bits, 0 is a call, "end" apart
    ({'sp_reg': (32, 4), 'bp_reg': (36, 4), 'type': (40, 2),
      'end': (42, 1)}, struct.pack('<hhH', 16, 0, 4),
     (orc.CALL, orc.REG_BP, 16, 0, 0)),
    ({'sp_reg': (32, 4), 'bp_reg': (36, 4), 'type': (40, 2),
      'end': (42, 1)}, struct.pack('<hhH', 16, 0, 5 | 4 << 8),
     (orc.UNDEFINED, orc.REG_SP, 16, 0, 0))])
def test_both_orc_encodings_are_told_apart(fields, raw, expected):
    assert orc.Layout(fields).decode(raw) == expected


@pytest.mark.parametrize('rsp, prev', [(5, 1), (3, 8)])
def test_register_numbers_are_learned_from_the_table(rsp, prev):
    layout = orc.Layout({'sp_reg': (32, 4), 'bp_reg': (36, 4),
                         'type': (40, 3)})
    entry = struct.pack('<hhH', 8, 0, rsp | 2 << 8)
    pushed = struct.pack('<hhH', 16, -16, rsp | prev << 4 | 2 << 8)
    layout.learn(entry * 3 + pushed)
    assert layout.decode(entry) == (orc.CALL, orc.REG_SP, 8, 0, 0)
    assert layout.decode(pushed) == (orc.CALL, orc.REG_SP, 16,
                                     orc.REG_PREV_SP, -16)


def test_module_types_lean_on_the_kernels(gdb, kernel, tmp_path):
    opened, path = kernel
    base = opened.types
    more = BtfMaker(len(base.types), len(base.strings))
    ring = base.find('ring')
    pointer = more.add(btf.PTR, '', ring)
    own = more.struct('driver', 32, [('shared', pointer, 0),
                                     ('own', ring, 64)])
    more.add(btf.FUNC, 'probe', more.proto(0, [
        ('driver', more.add(btf.PTR, '', own))]))
    types = btf.Btf(more.blob(), base)
    spans = [('.text', TEXT + 0x100000, 64, True)]
    names = [symfile.Name(TEXT + 0x100000, 't', 'probe')]
    module = tmp_path / 'module.debug'
    symfile.write_module(symfile.Module(
        'module', spans, names, types, lambda addr, size: b'', None),
        opened.layout, module)
    status, output = gdb([
        path, '-ex', f'add-symbol-file {module}', '-ex', 'whatis probe',
        '-ex', 'ptype struct driver', '-ex', 'p sizeof(struct driver)',
        '-ex', 'p &((struct ring *)0)->sizes[1]'])
    assert status == 0, output
    gdbtest.assert_lines(output, 'type = void (struct driver *)',
                         'struct ring *shared;', '= 32', '0xc')


def test_kallsyms_without_addresses_say_what_to_do():
    with pytest.raises(symfile.BadSymbols, match='kptr_restrict'):
        symfile.parse_kallsyms('0000000000000000 T start_kernel\n')
    names = symfile.parse_kallsyms(KALLSYMS)
    assert [name.name for name in names] == ['start_ring', 'helper',
                                             'the_ring']


@pytest.mark.parametrize('code, span', [
    ('f30f1efa' '31c0', 5), ('31ff', 1), ('f30f1efa' 'e800000000' '4154' '53'
                                          '4889fb', 13), ('', 1)])
def test_arguments_are_trusted_only_through_the_prologue(code, span):
    assert symfile.argument_span(bytes.fromhex(code)) == span


@pytest.mark.parametrize('value', [0, 1, 63, 64, 127, 128, 300, 1 << 40])
def test_leb128_round_trip(value):
    def unsigned(data):
        return sum((byte & 0x7f) << 7 * n for n, byte in enumerate(data))
    assert unsigned(dwarf.uleb(value)) == value
    for signed in (value, -value):
        data = dwarf.sleb(signed)
        size = 7 * len(data)
        assert (unsigned(data) - signed) % (1 << size) == 0
        assert -(1 << size - 1) <= signed < 1 << size - 1


def test_damaged_kernels_are_refused_in_words():
    rng = random.Random(7)
    blob, _ = kernel_btf()
    for _ in range(300):
        bad = bytearray(blob)
        for _ in range(rng.randrange(1, 6)):
            bad[rng.randrange(len(bad))] = rng.getrandbits(8)
        bad = bytes(bad[:rng.randrange(len(bad))])
        try:
            btf.Btf(bad)
        except btf.BadBtf:
            pass
    with pytest.raises(btf.BadBtf, match='newer than this reader'):
        out = BtfMaker()
        out.add(31, 'future', 0)
        btf.Btf(out.blob())
    for text in (b'', b'\x7fELF', rng.randbytes(500),
                 b'\x7fELF\x02\x01' + rng.randbytes(500)):
        with pytest.raises(elf.NotElf):
            elf.read_sections(text)
