# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's ORC unwind tables as DWARF call frame information.

Debian's kernel keeps no frame pointers: without this gdb could not name a
function's caller. ORC says for each address where the previous stack
pointer, and the caller's rbp, are to be found (asm/orc_types.h).
"""

import bisect
import struct

from .dwarf import sleb, uleb

(REG_UNDEFINED, REG_PREV_SP, REG_DX, REG_DI, REG_BP, REG_SP, REG_R10,
 REG_R13, REG_BP_INDIRECT, REG_SP_INDIRECT) = range(10)

# The numbers above are those of Linux 6; Linux 7 has others for the same.
NUMBERS_7 = {0: REG_UNDEFINED, 2: REG_DX, 3: REG_SP, 4: REG_BP, 5: REG_DI,
             6: REG_R10, 7: REG_R13, 8: REG_PREV_SP, 9: REG_SP_INDIRECT,
             10: REG_BP_INDIRECT}
SP_6, SP_7 = 5, 3

# The meaning of a row, after the two encodings are told apart.
UNDEFINED, CALL, REGS, REGS_PARTIAL = range(4)

RBP, RSP, RIP = 6, 7, 16
DIRECT = {REG_DX: 1, REG_DI: 5, REG_BP: RBP, REG_SP: RSP, REG_R10: 10,
          REG_R13: 13}

# DWARF register number -> offset in struct pt_regs (x86-64 ABI order).
PT_REGS = {15: 0, 14: 8, 13: 16, 12: 24, RBP: 32, 3: 40, 11: 48, 10: 56,
           9: 64, 8: 72, 0: 80, 2: 88, 1: 96, 4: 104, 5: 112, RIP: 128,
           RSP: 152}
IRET_FRAME = {RIP: 0, RSP: 24}
# Callee-saved registers ORC does not follow: unknown, not unchanged.
LOST = (3, 12, 13, 14, 15)

DATA_ALIGN = -8
(CFA_ADVANCE1, CFA_ADVANCE2, CFA_ADVANCE4, CFA_RESTORE, CFA_UNDEFINED,
 CFA_SAME, CFA_DEF, CFA_DEF_EXPR, CFA_EXPR, CFA_OFFSET_SF) \
    = 2, 3, 4, 6, 7, 8, 0x0c, 0x0f, 0x10, 0x11
OP_DEREF, OP_PLUS_CONST, OP_CONST_S, OP_PLUS, OP_BREG0 \
    = 0x06, 0x23, 0x11, 0x22, 0x70


class Layout:
    """How struct orc_entry is to be read.

    fields -- {name: (bit offset, bits)} as BTF gives it
    """

    def __init__(self, fields):
        self._at = {name: fields[name] for name in ('sp_reg', 'bp_reg',
                                                    'type')}
        # Linux 6.4 widened the type to tell "undefined" and "end of stack"
        # from a call; before, 0 meant a call.
        wide = fields['type'][1] == 3
        self._kinds = ({2: CALL, 3: REGS, 4: REGS_PARTIAL} if wide
                       else {0: CALL, 1: REGS, 2: REGS_PARTIAL})
        self._end = None if wide else fields.get('end')
        self._cache = {}
        self._numbers = None

    def learn(self, blob):
        """Tell from a table which register numbers are in use.

        On entry to a function the caller's frame is at rsp + 8, which no
        other register has: the most frequent number there is rsp's.
        """
        if self._numbers is not None:
            return
        at, bits = self._at['sp_reg']
        count = {SP_6: 0, SP_7: 0}
        for offset in range(0, len(blob) - 5, 6):
            value = int.from_bytes(blob[offset:offset + 6], 'little')
            reg = value >> at & (1 << bits) - 1
            if value & 0xffff == 8 and reg in count:
                count[reg] += 1
        self._numbers = (NUMBERS_7 if count[SP_7] > count[SP_6]
                         else {number: number for number in range(10)})

    def decode(self, raw):
        """(kind, sp register, sp offset, bp register, bp offset)."""
        found = self._cache.get(raw)
        if found is None:
            value = int.from_bytes(raw, 'little')

            def bits(where):
                return value >> where[0] & (1 << where[1]) - 1
            sp_offset, bp_offset = struct.unpack_from('<hh', raw)
            kind = self._kinds.get(bits(self._at['type']), UNDEFINED)
            sp_reg = bits(self._at['sp_reg'])
            bp_reg = bits(self._at['bp_reg'])
            if self._numbers is not None:
                sp_reg = self._numbers.get(sp_reg, REG_UNDEFINED)
                bp_reg = self._numbers.get(bp_reg, REG_UNDEFINED)
            if sp_reg == REG_UNDEFINED or self._end and bits(self._end):
                kind = UNDEFINED
            found = self._cache[raw] = (kind, sp_reg, sp_offset, bp_reg,
                                        bp_offset)
        return found


def _expr(*parts):
    body = b''.join(parts)
    return uleb(len(body)) + body


def _cfa(sp_reg, offset):
    """Instructions that set the CFA, or None for a register unknown here."""
    if sp_reg in (REG_SP, REG_BP) and offset >= 0:
        return bytes([CFA_DEF]) + uleb(DIRECT[sp_reg]) + uleb(offset)
    if sp_reg in DIRECT:
        # DX, DI, R10 and R13 hold the previous stack pointer itself.
        add = offset if sp_reg in (REG_SP, REG_BP) else 0
        return bytes([CFA_DEF_EXPR]) + _expr(
            bytes([OP_BREG0 + DIRECT[sp_reg]]), sleb(add))
    if sp_reg == REG_BP_INDIRECT:
        return bytes([CFA_DEF_EXPR]) + _expr(
            bytes([OP_BREG0 + RBP]), sleb(offset), bytes([OP_DEREF]))
    if sp_reg == REG_SP_INDIRECT:
        return bytes([CFA_DEF_EXPR]) + _expr(
            bytes([OP_BREG0 + RSP]), sleb(0), bytes([OP_DEREF, OP_CONST_S]),
            sleb(offset), bytes([OP_PLUS]))
    return None


def _at_cfa(reg, offset):
    return bytes([CFA_OFFSET_SF]) + uleb(reg) + sleb(offset // DATA_ALIGN)


def _bp_rule(kind, bp_reg, offset):
    if kind == REGS:
        return _at_cfa(RBP, PT_REGS[RBP])
    if bp_reg == REG_PREV_SP and offset % 8 == 0:
        return _at_cfa(RBP, offset)
    if bp_reg == REG_BP:
        return bytes([CFA_EXPR]) + uleb(RBP) + _expr(
            bytes([OP_BREG0 + RBP]), sleb(offset))
    return bytes([CFA_SAME]) + uleb(RBP)


def _ra_rules(kind):
    if kind == UNDEFINED:
        return bytes([CFA_UNDEFINED]) + uleb(RIP)
    if kind == CALL:
        # Back to the CIE's rules: return address below the CFA.
        return b''.join(bytes([CFA_RESTORE]) + uleb(reg)
                        for reg in PT_REGS if reg != RBP)
    saved = PT_REGS if kind == REGS else IRET_FRAME
    return b''.join(_at_cfa(reg, offset) for reg, offset in saved.items()
                    if reg != RBP)


def _row(entry):
    """(CFA, return address rules, rbp rule) of a decoded entry."""
    kind, sp_reg, sp_offset, bp_reg, bp_offset = entry
    cfa = _cfa(sp_reg, sp_offset) if kind != UNDEFINED else None
    if cfa is None:
        # gdb wants some CFA even where the walk ends.
        kind, cfa = UNDEFINED, bytes([CFA_DEF]) + uleb(RSP) + uleb(8)
    return cfa, kind, _bp_rule(kind, bp_reg, bp_offset)


def _advance(delta):
    if delta < 64:
        return bytes([0x40 | delta])
    if delta < 256:
        return bytes([CFA_ADVANCE1, delta])
    if delta < 65536:
        return bytes([CFA_ADVANCE2]) + struct.pack('<H', delta)
    return bytes([CFA_ADVANCE4]) + struct.pack('<I', delta)


def _cie(signal):
    body = bytearray(struct.pack('<IB', 0xffffffff, 4))
    body += b'zS\0' if signal else b'z\0'
    body += bytes([8, 0]) + uleb(1) + sleb(DATA_ALIGN) + uleb(RIP) + uleb(0)
    body += bytes([CFA_DEF]) + uleb(RSP) + uleb(8)
    body += bytes([0x80 | RIP]) + uleb(1)
    for reg in LOST:
        body += bytes([CFA_UNDEFINED]) + uleb(reg)
    return _padded(body)


def _padded(body):
    body = bytes(body) + bytes(-(len(body) + 4) % 8)
    return struct.pack('<I', len(body)) + body


def addresses(ip_blob, ip_addr):
    """Addresses of the rows: each is stored relative to its own place."""
    values = struct.unpack(f'<{len(ip_blob) // 4}i',
                           ip_blob[:len(ip_blob) // 4 * 4])
    return [ip_addr + 4 * n + value for n, value in enumerate(values)]


def debug_frame(functions, rows, blob, layout):
    """Contents of .debug_frame.

    functions -- [(address, size, plain)] to describe; a plain function is
                 never taken for an interrupt's entry
    rows      -- sorted addresses of the ORC entries, from addresses()
    blob      -- the entries themselves, six bytes each
    """
    cies = (_cie(False), _cie(True))
    out = [*cies]
    offsets = (0, len(cies[0]))
    count = min(len(rows), len(blob) // 6)
    layout.learn(blob)
    decode = _Rows(layout)
    for start, size, plain in functions:
        first = max(bisect.bisect_right(rows, start, 0, count) - 1, 0)
        last = bisect.bisect_left(rows, start + size, first, count)
        if first >= last:
            continue
        code, signal = _program(start, rows, blob, range(first, last),
                                decode)
        body = struct.pack('<IQQB', offsets[signal and not plain], start,
                           size, 0) + code
        out.append(_padded(body))
    return b''.join(out)


class _Rows:
    """ORC entries to CFI rows, remembered: there are few different ones."""

    def __init__(self, layout):
        self._layout = layout
        self._cache = {}

    def __call__(self, raw):
        """(CFA, kind, rbp rule, is it like a signal frame?)"""
        found = self._cache.get(raw)
        if found is None:
            entry = self._layout.decode(raw)
            # Interrupt entries: the frame above did not make a call, so its
            # pc must not be moved back into the call instruction. Stack
            # switches: only in signal frames does gdb accept that the stack
            # goes anywhere.
            signal = entry[0] in (REGS, REGS_PARTIAL) \
                or entry[1] == REG_SP_INDIRECT
            found = self._cache[raw] = (*_row(entry), signal)
        return found


def _program(start, rows, blob, span, decode):
    """(CFI instructions, signal frame?) for the ORC rows in `span`."""
    # The state the CIE sets up.
    now = (bytes([CFA_DEF]) + uleb(RSP) + uleb(8), CALL,
           bytes([CFA_SAME]) + uleb(RBP))
    at, code, signal = start, bytearray(), False
    for index in span:
        cfa, kind, rbp, special = decode(blob[6 * index:6 * index + 6])
        signal = signal or special
        if (cfa, kind, rbp) == now:
            continue
        where = max(rows[index], start)
        if where > at:
            code += _advance(where - at)
            at = where
        if cfa != now[0]:
            code += cfa
        if kind != now[1]:
            if CALL not in (now[1], kind):
                code += _ra_rules(CALL)
            code += _ra_rules(kind)
        if rbp != now[2] or kind != now[1]:
            code += rbp
        now = (cfa, kind, rbp)
    return code, signal
