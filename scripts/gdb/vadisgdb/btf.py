# SPDX-License-Identifier: GPL-2.0-or-later
"""Reader for BTF, the type information every Debian kernel carries.

The format is described in the kernel's Documentation/bpf/btf.rst. A module's
BTF continues the numbering of types and strings of its base, the kernel.
"""

import struct

from . import elf

MAGIC = 0xeb9f
(VOID, INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST,
 RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG,
 ENUM64) = range(20)

HEADER = struct.Struct('<HBBIIIII')
TYPE = struct.Struct('<III')
# Bytes after the common part: fixed ones, and per element of vlen.
FIXED = {INT: 4, ARRAY: 12, VAR: 4, DECL_TAG: 4}
PER_ITEM = {STRUCT: 12, UNION: 12, ENUM: 8, FUNC_PROTO: 8, DATASEC: 12,
            ENUM64: 12}

MODIFIERS = (TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG)
MAX_CHAIN = 64

INT_SIGNED, INT_CHAR, INT_BOOL = 1, 2, 4


class BadBtf(Exception):
    """The blob is not BTF, or of a kind this reader does not know."""


class Type:
    """One type: kind, name offset, size or referred type, and its items."""

    __slots__ = ('kind', 'name', 'ref', 'vlen', 'kflag', 'extra')

    def __init__(self, kind, name, ref, vlen, kflag, extra):
        self.kind = kind
        self.name = name        # offset in the string table, 0 = none
        self.ref = ref          # byte size, or number of another type
        self.vlen = vlen
        self.kflag = kflag
        self.extra = extra      # what follows the common part, unparsed

    def items(self):
        """Members, parameters or enumerators as tuples of numbers."""
        if self.kind in (ENUM,):
            return struct.iter_unpack('<Ii' if self.kflag else '<II',
                                      self.extra)
        if self.kind == FUNC_PROTO:
            return struct.iter_unpack('<II', self.extra)
        return struct.iter_unpack('<III', self.extra)

    def members(self):
        """(name, type, bit offset, bitfield size or 0) of a struct."""
        for name, ref, offset in self.items():
            if self.kflag:
                yield name, ref, offset & 0xffffff, offset >> 24
            else:
                yield name, ref, offset, 0

    def array(self):
        """(element type, index type, number of elements) of an array."""
        return struct.unpack('<III', self.extra)


class Btf:
    """Parsed BTF; numbers below `first` belong to the base."""

    def __init__(self, blob, base=None):
        if len(blob) < HEADER.size:
            raise BadBtf('too short for BTF')
        magic, version, _, hdr_len, type_off, type_len, str_off, str_len \
            = HEADER.unpack_from(blob)
        if magic != MAGIC or version != 1:
            raise BadBtf(f'magic {magic:#x} version {version}: not BTF')
        start = hdr_len + str_off
        self.base = base
        own = blob[start:start + str_len]
        self.str_base = len(base.strings) if base else 0
        self.strings = (base.strings if base else b'') + own
        self.types = list(base.types) if base else [
            Type(VOID, 0, 0, 0, 0, b'')]
        self.first = len(self.types)
        self._parse(blob[hdr_len + type_off:hdr_len + type_off + type_len])
        self._check()

    def _parse(self, data):
        at, end = 0, len(data)
        while at < end:
            if at + TYPE.size > end:
                raise BadBtf(f'type {len(self.types)} is cut short')
            name, info, ref = TYPE.unpack_from(data, at)
            kind, vlen = info >> 24 & 31, info & 0xffff
            if not INT <= kind <= ENUM64:
                raise BadBtf(f'type {len(self.types)} has kind {kind}, '
                             f'newer than this reader')
            size = FIXED.get(kind, 0) + PER_ITEM.get(kind, 0) * vlen
            at += TYPE.size
            if at + size > end:
                raise BadBtf(f'type {len(self.types)} is cut short')
            self.types.append(Type(kind, name, ref, vlen, info >> 31,
                                   data[at:at + size]))
            at += size

    def _refs(self, item):
        """Numbers of the types a type refers to."""
        if item.kind in MODIFIERS + (PTR, FUNC, VAR, DECL_TAG):
            return (item.ref,)
        if item.kind == ARRAY:
            return item.array()[:1]
        if item.kind in (STRUCT, UNION):
            return [member[1] for member in item.members()]
        if item.kind == FUNC_PROTO:
            return [item.ref] + [ref for _, ref in item.items()]
        return ()

    def _check(self):
        """A module's BTF comes from a guest: no bad or endless references."""
        count = len(self.types)
        for number, item in self.own():
            if any(ref >= count for ref in self._refs(item)):
                raise BadBtf(f'type {number} refers to a type that is none')
            if item.kind == FUNC \
                    and self.types[item.ref].kind != FUNC_PROTO:
                raise BadBtf(f'function {number} has no prototype')
            steps = 0
            while item.kind in MODIFIERS:
                item = self.types[item.ref]
                steps += 1
                if steps > MAX_CHAIN:
                    raise BadBtf(f'type {number} never gets to the point')

    def name(self, offset):
        """The string at an offset of the (combined) string table."""
        return elf.cstring(self.strings, offset)

    def own(self):
        """(number, type) of the types that are not the base's."""
        return enumerate(self.types[self.first:], self.first)

    def functions(self):
        """{name: number of its FUNC_PROTO}; ambiguous names left out."""
        out, twice = {}, set()
        for _, item in self.own():
            if item.kind == FUNC:
                name = self.name(item.name)
                if name in out and out[name] != item.ref:
                    twice.add(name)
                out[name] = item.ref
        for name in twice:
            del out[name]
        return out

    def find(self, name, kind=STRUCT):
        """Number of the first type of that name and kind, or None."""
        for number, item in enumerate(self.types):
            if item.kind == kind and item.name \
                    and self.name(item.name) == name:
                return number
        return None

    def bitfields(self, struct_name):
        """{member: (bit offset, bits)} of a struct, {} if there is none.

        Members that are no bit fields have their type's size in bits.
        """
        number = self.find(struct_name)
        if number is None:
            return {}
        out = {}
        for name, ref, offset, bits in self.types[number].members():
            out[self.name(name)] = (offset, bits or 8 * self._size(ref))
        return out

    def _size(self, number):
        item = self.types[number]
        while item.kind in MODIFIERS:       # _check() saw that they end
            item = self.types[item.ref]
        return 8 if item.kind == PTR else item.ref
