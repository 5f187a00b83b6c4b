# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtqueue decoders over a read function, for gdb, QMP dumps and tests.

Every function takes `read(addr, size) -> bytes`, which raises Unreadable
when the memory cannot be had. What is read was written by a guest and may
be anything: each walk is bounded, and what makes no sense is reported in
words beside the raw numbers, never raised.

See "Split Virtqueues" and "Packed Virtqueues" in the virtio standard.
"""

import struct
from dataclasses import dataclass, field
from typing import List, NamedTuple, Optional

F_NEXT = 1
F_WRITE = 2
F_INDIRECT = 4
PACKED_F_AVAIL = 1 << 7
PACKED_F_USED = 1 << 15

# The standard's largest ring. A bigger number is garbage, not a ring.
MAX_RING = 32768
# How much one command prints or follows, whatever the guest claims.
MAX_SHOWN = 128
MAX_INDIRECT = 1024

DESC_SIZE = 16


class Unreadable(Exception):
    """Guest memory that could not be read: str() says where and why."""


@dataclass
class Queue:
    """Where a ring is and where the device stands in it.

    A field is None when the program looked at does not keep it; decoders
    then say "not known" instead of guessing.
    """

    num: int                            # ring size in descriptors
    desc: int = 0                       # guest addresses of the three areas
    driver: int = 0
    device: int = 0
    packed: bool = False
    event_idx: bool = False
    byteorder: str = 'little'
    index: int = 0
    last_avail: Optional[int] = None    # next descriptor or entry to pop
    last_avail_wrap: Optional[bool] = None
    used_idx: Optional[int] = None      # next used entry to write
    used_wrap: Optional[bool] = None
    inuse: Optional[int] = None         # popped and not yet returned
    signalled_used: Optional[int] = None
    signalled_used_valid: Optional[bool] = None
    notification: Optional[bool] = None
    vector: Optional[int] = None
    notes: List[str] = field(default_factory=list)


class Desc(NamedTuple):
    """One descriptor as read, `slot` being its place in its table."""

    slot: int
    addr: int
    length: int
    flags: int
    next_or_id: int
    packed: bool
    indirect: bool          # it sits in an indirect table

    def words(self):
        """Flags in words; the packed AVAIL and USED bits included."""
        out = ['device writes' if self.flags & F_WRITE else 'device reads']
        known = F_NEXT | F_WRITE | F_INDIRECT
        if self.flags & F_INDIRECT:
            out.append('INDIRECT')
        if self.flags & F_NEXT:
            if self.packed:
                out.append('NEXT')
            else:
                out.append(f'NEXT={self.next_or_id}')
        if self.packed and not self.indirect:
            known |= PACKED_F_AVAIL | PACKED_F_USED
            out.append(f'AVAIL={int(bool(self.flags & PACKED_F_AVAIL))}')
            out.append(f'USED={int(bool(self.flags & PACKED_F_USED))}')
            out.append(f'id={self.next_or_id}')
        rest = self.flags & ~known
        if rest:
            out.append(f'reserved flags {rest:#x}')
        return ' '.join(out)


@dataclass
class Chain:
    """A walked chain; `ends` says in words why the walk stopped."""

    head: int
    descs: List[Desc] = field(default_factory=list)
    ends: str = ''
    problems: List[str] = field(default_factory=list)

    def lengths(self):
        """(bytes the device reads, bytes it writes), tables left out."""
        reads = writes = 0
        for desc in self.descs:
            if desc.flags & F_INDIRECT and not desc.indirect:
                continue
            if desc.flags & F_WRITE:
                writes += desc.length
            else:
                reads += desc.length
        return reads, writes


def _u16(read, addr, order):
    return int.from_bytes(_exact(read, addr, 2), order)


def _exact(read, addr, size):
    data = bytes(read(addr & (1 << 64) - 1, size))
    if len(data) != size:
        raise Unreadable(f'{size} bytes at {addr:#x}: only {len(data)} '
                         f'could be read')
    return data


def ring_problem(queue):
    """Why this ring cannot be walked at all, or None."""
    if queue.num == 0:
        return 'the queue has size 0: not in use'
    if not 0 < queue.num <= MAX_RING:
        return (f'size {queue.num} is no ring size (1 to {MAX_RING}): '
                f'the queue structure holds garbage')
    if not queue.packed and queue.num & (queue.num - 1):
        return f'size {queue.num} is not a power of two, a split ring must be'
    if queue.desc == 0:
        return 'no descriptor area yet: the driver has not set the queue up'
    return None


def read_desc(read, queue, table, slot, indirect=False):
    """Read descriptor `slot` of the table at guest address `table`."""
    data = _exact(read, table + DESC_SIZE * slot, DESC_SIZE)
    mark = '<' if queue.byteorder == 'little' else '>'
    if queue.packed:
        addr, length, ident, flags = struct.unpack(mark + 'QIHH', data)
        return Desc(slot, addr, length, flags, ident, True, indirect)
    addr, length, flags, nxt = struct.unpack(mark + 'QIHH', data)
    return Desc(slot, addr, length, flags, nxt, False, indirect)


def packed_available(desc, wrap):
    """Is a packed descriptor available to a device whose counter is wrap?"""
    avail = bool(desc.flags & PACKED_F_AVAIL)
    used = bool(desc.flags & PACKED_F_USED)
    return avail == bool(wrap) and used != bool(wrap)


def _walk_indirect(read, queue, chain, table_desc):
    """Append the entries of an indirect table to the chain."""
    if table_desc.flags & F_NEXT and not queue.packed:
        chain.problems.append(
            f'descriptor {table_desc.slot} has both INDIRECT and NEXT')
    if table_desc.length == 0 or table_desc.length % DESC_SIZE:
        chain.problems.append(
            f'indirect table of {table_desc.length} bytes: not a whole '
            f'number of {DESC_SIZE}-byte descriptors')
    count = table_desc.length // DESC_SIZE
    seen = set()
    slot = 0
    while slot < count and len(seen) < min(count, MAX_INDIRECT):
        seen.add(slot)
        desc = read_desc(read, queue, table_desc.addr, slot, True)
        chain.descs.append(desc)
        if desc.flags & F_INDIRECT:
            chain.problems.append(
                f'indirect entry {slot} is INDIRECT itself')
        if queue.packed:
            # Packed tables have no links: every entry belongs to them.
            slot += 1
            continue
        if not desc.flags & F_NEXT:
            return 'indirect table ends'
        if desc.next_or_id >= count:
            chain.problems.append(
                f'indirect entry {slot} links to {desc.next_or_id}, the '
                f'table has {count}')
            return 'bad link'
        if desc.next_or_id in seen:
            chain.problems.append(
                f'indirect entry {slot} loops back to {desc.next_or_id}')
            return 'loop'
        slot = desc.next_or_id
    if len(seen) >= MAX_INDIRECT and count > MAX_INDIRECT:
        chain.problems.append(
            f'indirect table claims {count} entries, stopped after '
            f'{MAX_INDIRECT}')
    return 'indirect table ends'


def _walk_split(read, queue, chain):
    seen = set()
    slot = chain.head
    while True:
        seen.add(slot)
        desc = read_desc(read, queue, queue.desc, slot)
        chain.descs.append(desc)
        if desc.flags & F_INDIRECT:
            return _walk_indirect(read, queue, chain, desc)
        if not desc.flags & F_NEXT:
            return 'chain ends'
        if desc.next_or_id >= queue.num:
            chain.problems.append(
                f'descriptor {slot} links to {desc.next_or_id}, the ring '
                f'has {queue.num}')
            return 'bad link'
        if desc.next_or_id in seen:
            chain.problems.append(
                f'descriptor {slot} loops back to {desc.next_or_id}')
            return 'loop'
        slot = desc.next_or_id


def _walk_packed(read, queue, chain):
    for step in range(queue.num):
        slot = (chain.head + step) % queue.num
        desc = read_desc(read, queue, queue.desc, slot)
        chain.descs.append(desc)
        if desc.flags & F_INDIRECT:
            ends = _walk_indirect(read, queue, chain, desc)
            if not desc.flags & F_NEXT:
                return ends
            chain.problems.append(
                f'descriptor {slot} has both INDIRECT and NEXT')
            return ends
        if not desc.flags & F_NEXT:
            return 'chain ends'
    chain.problems.append(
        f'NEXT is set on all {queue.num} descriptors: the chain never ends')
    return 'loop'


def walk_chain(read, queue, head):
    """Follow the chain that starts at descriptor `head`; never raises.

    At most one ring of descriptors plus one indirect table is read.
    """
    chain = Chain(head)
    problem = ring_problem(queue)
    if problem is None and not 0 <= head < queue.num:
        problem = f'head {head} is outside the ring of {queue.num}'
    if problem:
        chain.ends = 'not walked'
        chain.problems.append(problem)
        return chain
    try:
        walk = _walk_packed if queue.packed else _walk_split
        chain.ends = walk(read, queue, chain)
    except Unreadable as exc:
        chain.ends = 'unreadable'
        chain.problems.append(f'cannot read guest memory: {exc}')
    return chain


def waiting(read, queue):
    """Heads the driver made available and the device has not popped.

    Returns (list of descriptor slots of heads, list of problems).
    """
    problem = ring_problem(queue)
    if problem:
        return [], [problem]
    if queue.last_avail is None:
        return [], ['the next index to pop is not known']
    try:
        if queue.packed:
            return _waiting_packed(read, queue)
        return _waiting_split(read, queue)
    except Unreadable as exc:
        return [], [f'cannot read guest memory: {exc}']


def _waiting_split(read, queue):
    order = queue.byteorder
    idx = _u16(read, queue.driver + 2, order)
    count = (idx - queue.last_avail) & 0xffff
    problems = []
    if count > queue.num:
        problems.append(
            f'avail index {idx} is {count} ahead of {queue.last_avail}, '
            f'the ring holds {queue.num}')
        count = queue.num
    heads = []
    for step in range(count):
        entry = (queue.last_avail + step) % queue.num
        head = _u16(read, queue.driver + 4 + 2 * entry, order)
        if head >= queue.num:
            problems.append(f'avail entry {entry} names descriptor {head}, '
                            f'the ring has {queue.num}')
        heads.append(head)
    return heads, problems


def _waiting_packed(read, queue):
    slot, wrap = queue.last_avail, queue.last_avail_wrap
    if wrap is None:
        return [], ['the wrap counter is not known']
    if slot >= queue.num:
        return [], [f'next index {slot} is outside the ring of {queue.num}']
    heads = []
    fresh = True
    for _ in range(queue.num):
        desc = read_desc(read, queue, queue.desc, slot)
        # Only a chain's first descriptor promises the rest: the driver
        # publishes it last, so members need no check of their own.
        if fresh and not packed_available(desc, wrap):
            break
        if fresh:
            heads.append(slot)
        fresh = not desc.flags & F_NEXT
        slot += 1
        if slot == queue.num:
            slot, wrap = 0, not wrap
    problems = []
    if not fresh:
        problems.append('the last available chain fills the ring and has '
                        'no end')
    return heads, problems


def packed_event_words(off_wrap, flags, num, who):
    """A packed event suppression structure in words.

    who -- 'driver' for the area the driver writes (it asks for
    interrupts) or 'device' for the one the device writes.
    """
    verb = 'interrupt' if who == 'driver' else 'notify'
    mode = flags & 3
    offset, wrap = off_wrap & 0x7fff, off_wrap >> 15
    if mode == 0:
        text = f'ENABLE: {verb} for every buffer'
    elif mode == 1:
        text = f'DISABLE: do not {verb}'
    elif mode == 2:
        text = (f'DESC: {verb} when descriptor {offset} with wrap counter '
                f'{wrap} is reached')
        if offset >= num:
            text += f' (outside the ring of {num})'
    else:
        text = 'reserved value 3'
    if flags & ~3:
        text += f' (reserved bits {flags & ~3:#x})'
    return text


def event_words(read, queue):
    """(driver area, device area) in words; never raises."""
    problem = ring_problem(queue)
    if problem:
        return problem, problem
    words = []
    for who in ('driver', 'device'):
        try:
            if queue.packed:
                words.append(_packed_event(read, queue, who))
            else:
                words.append(_split_event(read, queue, who))
        except Unreadable as exc:
            words.append(f'cannot read guest memory: {exc}')
    return tuple(words)


def _packed_event(read, queue, who):
    area = queue.driver if who == 'driver' else queue.device
    off_wrap = _u16(read, area, queue.byteorder)
    flags = _u16(read, area + 2, queue.byteorder)
    text = packed_event_words(off_wrap, flags, queue.num, who)
    if flags & 3 == 2 and not queue.event_idx:
        text += ' (but EVENT_IDX was not negotiated)'
    return text


def _split_event(read, queue, who):
    order = queue.byteorder
    if who == 'driver':
        flags = _u16(read, queue.driver, order)
        idx = _u16(read, queue.driver + 2, order)
        event = queue.driver + 4 + 2 * queue.num
        verb, name, index = 'interrupt', 'used_event', 'avail'
    else:
        flags = _u16(read, queue.device, order)
        idx = _u16(read, queue.device + 2, order)
        event = queue.device + 4 + 8 * queue.num
        verb, name, index = 'notify', 'avail_event', 'used'
    text = f'{index} index {idx}, flags {flags:#x}; '
    if queue.event_idx:
        value = _u16(read, event, order)
        text += f'{name} {value}: {verb} when index {value} is passed'
    elif flags & 1:
        text += f'do not {verb}'
    else:
        text += f'{verb} for every buffer'
    return text
