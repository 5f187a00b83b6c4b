# SPDX-License-Identifier: GPL-2.0-or-later
"""BTF types and function signatures as DWARF 5, so that gdb reads them.

The two formats describe C types almost one to one. All entries have sizes
known beforehand, so one pass places them and a second one writes them.
"""

import struct

from . import btf

# (tag, has children) and attribute numbers as the DWARF standard has them.
TAG_ARRAY, TAG_ENUM, TAG_PARAM, TAG_MEMBER = 0x01, 0x04, 0x05, 0x0d
TAG_POINTER, TAG_CU, TAG_STRUCT, TAG_FUNC_TYPE = 0x0f, 0x11, 0x13, 0x15
TAG_TYPEDEF, TAG_UNION, TAG_VARARGS, TAG_SUBRANGE = 0x16, 0x17, 0x18, 0x21
TAG_BASE, TAG_CONST, TAG_ENUMERATOR = 0x24, 0x26, 0x28
TAG_SUBPROGRAM, TAG_VOLATILE, TAG_RESTRICT = 0x2e, 0x35, 0x37
AT_LOCATION, AT_NAME, AT_SIZE, AT_LOW_PC = 0x02, 0x03, 0x0b, 0x11
AT_BIT_SIZE, AT_HIGH_PC, AT_LANGUAGE, AT_VALUE = 0x0d, 0x12, 0x13, 0x1c
AT_PROTOTYPED, AT_COUNT, AT_MEMBER_AT, AT_DECLARATION = 0x27, 0x37, 0x38, 0x3c
AT_ENCODING, AT_EXTERNAL, AT_TYPE, AT_BIT_AT = 0x3e, 0x3f, 0x49, 0x6b
FORM_ADDR, FORM_DATA4, FORM_DATA8, FORM_DATA1 = 0x01, 0x06, 0x07, 0x0b
FORM_STRP, FORM_REF4, FORM_SEC_OFFSET = 0x0e, 0x13, 0x17
FORM_FLAG_PRESENT, FORM_SDATA8 = 0x19, 0x07
LANG_C11 = 0x1d
ATE_BOOL, ATE_FLOAT, ATE_SIGNED, ATE_SCHAR, ATE_UNSIGNED, ATE_UCHAR \
    = 2, 4, 5, 6, 7, 8
LLE_END, LLE_START_LENGTH = 0, 8

PACK = {FORM_ADDR: 'Q', FORM_DATA1: 'B', FORM_DATA4: 'I', FORM_DATA8: 'Q',
        FORM_STRP: 'I', FORM_REF4: 'I', FORM_SEC_OFFSET: 'I'}

# Where the first six integer arguments are on entry (DWARF numbers of rdi,
# rsi, rdx, rcx, r8, r9).
ARG_REGS = (5, 4, 1, 2, 8, 9)

SIMPLE = {btf.PTR: TAG_POINTER, btf.TYPEDEF: TAG_TYPEDEF,
          btf.VOLATILE: TAG_VOLATILE, btf.CONST: TAG_CONST,
          btf.RESTRICT: TAG_RESTRICT}


def uleb(value):
    """Unsigned LEB128."""
    out = bytearray()
    while True:
        byte = value & 0x7f
        value >>= 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def sleb(value):
    """Signed LEB128."""
    out = bytearray()
    while True:
        byte = value & 0x7f
        value >>= 7
        if value == (-1 if byte & 0x40 else 0):
            out.append(byte)
            return bytes(out)
        out.append(byte | 0x80)


class Abbrevs:
    """Abbreviation table, filled as shapes of entries turn up."""

    def __init__(self):
        self._codes = {}

    def get(self, tag, children, attrs):
        """(code, struct.Struct of code and attributes) for a shape."""
        key = (tag, children, attrs)
        found = self._codes.get(key)
        if found is None:
            code = len(self._codes) + 1
            assert code < 128, 'codes are written as one byte'
            fmt = '<B' + ''.join(PACK.get(form, '') for _, form in attrs)
            found = self._codes[key] = (code, struct.Struct(fmt))
        return found

    def section(self):
        """Contents of .debug_abbrev."""
        out = bytearray()
        for (tag, children, attrs), (code, _) in self._codes.items():
            out += uleb(code) + uleb(tag) + bytes([children])
            for attr, form in attrs:
                out += uleb(attr) + uleb(form)
            out += b'\0\0'
        return bytes(out + b'\0')


class Types:
    """Turns a Btf and a function table into debug sections.

    info      -- the Btf
    functions -- iterable of (name offset, proto number, address, size,
                 bytes from the entry in which arguments are in registers)
    full      -- numbers of the types to write out; structs left out of it
                 but referred to become declarations, which gdb completes
                 from another symbol file
    """

    def __init__(self, info, functions, full):
        self.btf = info
        self.abbrevs = Abbrevs()
        self.loclists = bytearray()
        self.functions = list(functions)
        self.order = sorted(full)
        self.full = full
        self.offsets = {}

    def sections(self):
        """{section name: bytes} for elf.write()."""
        cu = self._die(TAG_CU, True, (AT_LANGUAGE, FORM_DATA1, LANG_C11),
                       (AT_NAME, FORM_STRP, 0))
        at = 12 + len(cu)
        # The same entries twice: first for their sizes, then with offsets.
        for number in self.order:
            size = len(self._entry(number))
            if size:
                self.offsets[number] = at
                at += size
        body = [cu] + [self._entry(number) for number in self.order]
        self.loclists += struct.pack('<IHBBI', 0, 5, 8, 0, 0)
        body += [self._function(*item) for item in self.functions]
        body.append(b'\0')
        data = b''.join(body)
        self.loclists[0:4] = struct.pack('<I', len(self.loclists) - 4)
        return {'.debug_info': struct.pack('<IHBBI', len(data) + 8, 5, 1, 8,
                                           0) + data,
                '.debug_abbrev': self.abbrevs.section(),
                '.debug_str': self.btf.strings,
                '.debug_loclists': bytes(self.loclists)}

    def _die(self, tag, children, *attrs):
        shape = tuple((attr, form) for attr, form, _ in attrs)
        code, packer = self.abbrevs.get(tag, children, shape)
        return packer.pack(code, *(value for _, form, value in attrs
                                   if form != FORM_FLAG_PRESENT))

    def _strip(self, number):
        """Skip what C does not know: type tags."""
        for _ in range(64):
            item = self.btf.types[number] \
                if number < len(self.btf.types) else self.btf.types[0]
            if item.kind != btf.TYPE_TAG:
                return number
            number = item.ref
        return 0

    def _ref(self, number):
        """The AT_TYPE attribute, none for void or a type left out."""
        number = self._strip(number)
        if number == 0:
            return ()
        if number not in self.full:
            return ()
        return ((AT_TYPE, FORM_REF4, self.offsets.get(number, 0)),)

    def _named(self, name):
        return ((AT_NAME, FORM_STRP, name),) if name else ()

    def _entry(self, number):
        item = self.btf.types[number]
        kind = item.kind
        if kind in SIMPLE:
            size = ((AT_SIZE, FORM_DATA1, 8),) if kind == btf.PTR else ()
            return self._die(SIMPLE[kind], False, *self._named(item.name),
                             *size, *self._ref(item.ref))
        if kind in (btf.STRUCT, btf.UNION):
            return self._struct(number, item)
        if kind == btf.FWD:
            return self._die(TAG_UNION if item.kflag else TAG_STRUCT, False,
                             *self._named(item.name),
                             (AT_DECLARATION, FORM_FLAG_PRESENT, None))
        if kind in (btf.INT, btf.FLOAT):
            return self._base(item)
        if kind in (btf.ENUM, btf.ENUM64):
            return self._enum(item)
        if kind == btf.ARRAY:
            return self._array(item)
        if kind == btf.FUNC_PROTO:
            return self._proto(item)
        return b''

    def _base(self, item):
        if item.kind == btf.FLOAT:
            encoding = ATE_FLOAT
        else:
            flags = item.extra[3]
            if flags & btf.INT_BOOL:
                encoding = ATE_BOOL
            elif flags & btf.INT_SIGNED:
                encoding = ATE_SCHAR if item.ref == 1 else ATE_SIGNED
            else:
                encoding = ATE_UCHAR if item.ref == 1 else ATE_UNSIGNED
        return self._die(TAG_BASE, False, *self._named(item.name),
                         (AT_SIZE, FORM_DATA1, item.ref),
                         (AT_ENCODING, FORM_DATA1, encoding))

    def _struct(self, number, item):
        tag = TAG_UNION if item.kind == btf.UNION else TAG_STRUCT
        if self.full[number] == 'declare':
            return self._die(tag, False, *self._named(item.name),
                             (AT_DECLARATION, FORM_FLAG_PRESENT, None))
        out = [self._die(tag, True, *self._named(item.name),
                         (AT_SIZE, FORM_DATA4, item.ref))]
        for name, ref, offset, bits in item.members():
            where = ((AT_BIT_SIZE, FORM_DATA1, bits),
                     (AT_BIT_AT, FORM_DATA4, offset)) if bits \
                else ((AT_MEMBER_AT, FORM_DATA4, offset // 8),)
            out.append(self._die(TAG_MEMBER, False, *self._named(name),
                                 *self._ref(ref), *where))
        out.append(b'\0')
        return b''.join(out)

    def _enum(self, item):
        out = [self._die(TAG_ENUM, True, *self._named(item.name),
                         (AT_SIZE, FORM_DATA1, item.ref))]
        for entry in item.items():
            value = entry[1]
            if item.kind == btf.ENUM64:
                value |= entry[2] << 32
            out.append(self._die(TAG_ENUMERATOR, False,
                                 *self._named(entry[0]),
                                 (AT_VALUE, FORM_DATA8,
                                  value & (1 << 64) - 1)))
        out.append(b'\0')
        return b''.join(out)

    def _array(self, item):
        element, _, count = item.array()
        return (self._die(TAG_ARRAY, True, *self._ref(element))
                + self._die(TAG_SUBRANGE, False,
                            (AT_COUNT, FORM_DATA4, count)) + b'\0')

    def _proto(self, item):
        out = [self._die(TAG_FUNC_TYPE, True,
                         (AT_PROTOTYPED, FORM_FLAG_PRESENT, None),
                         *self._ref(item.ref))]
        for name, ref in item.items():
            if name == 0 and ref == 0:
                out.append(self._die(TAG_VARARGS, False))
            else:
                out.append(self._die(TAG_PARAM, False, *self._ref(ref)))
        out.append(b'\0')
        return b''.join(out)

    def _in_register(self, number):
        """Does a value of this type travel in one integer register?"""
        for _ in range(64):
            item = self.btf.types[number]
            if item.kind in (btf.TYPEDEF, btf.CONST, btf.VOLATILE,
                             btf.RESTRICT, btf.TYPE_TAG):
                number = item.ref
                continue
            return item.kind in (btf.PTR, btf.ENUM, btf.ENUM64) or \
                item.kind == btf.INT and item.ref <= 8
        return False

    def _function(self, name, proto, addr, size, valid):
        item = self.btf.types[proto]
        out = [self._die(TAG_SUBPROGRAM, True, *self._named(name),
                         (AT_LOW_PC, FORM_ADDR, addr),
                         (AT_HIGH_PC, FORM_DATA8, size),
                         (AT_EXTERNAL, FORM_FLAG_PRESENT, None),
                         (AT_PROTOTYPED, FORM_FLAG_PRESENT, None),
                         *self._ref(item.ref))]
        regs = list(ARG_REGS)
        for arg, ref in item.items():
            if arg == 0 and ref == 0:
                out.append(self._die(TAG_VARARGS, False))
                continue
            where = ()
            if regs and self._in_register(ref):
                if valid:
                    where = ((AT_LOCATION, FORM_SEC_OFFSET,
                              self._location(addr, valid, regs[0])),)
                regs.pop(0)
            else:
                # A struct by value takes a number of registers that the
                # calling convention derives from its fields; the arguments
                # after it are left unknown rather than wrong.
                regs = []
            out.append(self._die(TAG_PARAM, False, *self._named(arg),
                                 *self._ref(ref), *where))
        out.append(b'\0')
        return b''.join(out)

    def _location(self, addr, valid, reg):
        at = len(self.loclists)
        self.loclists += (bytes([LLE_START_LENGTH]) + struct.pack('<Q', addr)
                          + uleb(valid) + bytes([1, 0x50 + reg, LLE_END]))
        return at


def everything(info):
    """The `full` argument of Types for a kernel: all its types."""
    return {number: 'define' for number, item in enumerate(info.types)
            if number and item.kind not in (btf.FUNC, btf.VAR, btf.DATASEC,
                                            btf.DECL_TAG, btf.TYPE_TAG)}


def module_closure(info, protos):
    """The `full` argument for a module.

    Its own types are defined, and what they contain by value; structs of
    the kernel that are only pointed to are declared.
    """
    full = {}
    seen = set()
    work = [(number, True) for number, item in info.own()
            if item.kind not in (btf.FUNC, btf.VAR, btf.DATASEC,
                                 btf.DECL_TAG)]
    work += [(number, True) for number in protos]
    while work:
        number, by_value = work.pop()
        if number == 0 or (number, by_value) in seen:
            continue
        seen.add((number, by_value))
        item = info.types[number]
        compound = item.kind in (btf.STRUCT, btf.UNION)
        define = (by_value or number >= info.first or not item.name
                  or not compound)
        if item.kind != btf.TYPE_TAG and full.get(number) != 'define':
            full[number] = 'define' if define else 'declare'
        if not define:
            continue
        if compound:
            work += [(ref, True) for _, ref, _, _ in item.members()]
        elif item.kind == btf.FUNC_PROTO:
            work.append((item.ref, False))
            work += [(ref, False) for _, ref in item.items()]
        elif item.kind == btf.ARRAY:
            work.append((item.array()[0], by_value))
        elif item.kind in (btf.PTR, btf.TYPEDEF, btf.CONST, btf.VOLATILE,
                           btf.RESTRICT, btf.TYPE_TAG):
            work.append((item.ref, by_value and item.kind != btf.PTR))
    return full
