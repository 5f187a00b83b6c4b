# SPDX-License-Identifier: GPL-2.0-or-later
"""The ring decoders on hand-made memory: known rings, broken rings, noise."""

import random
import struct

import pytest

import gdbtest  # noqa: F401  (sets the import path)
from vadisgdb import report, ring, words

DESC, DRIVER, DEVICE, TABLE = 0x1000, 0x3000, 0x4000, 0x8000


class Memory:
    """Sparse guest memory that counts what is read from it."""

    def __init__(self, size=1 << 16):
        self.data = bytearray(size)
        self.reads = 0

    def read(self, addr, size):
        self.reads += 1
        if addr + size > len(self.data):
            raise ring.Unreadable(f'nothing is mapped at {addr:#x}')
        return self.data[addr:addr + size]

    def put(self, addr, fmt, *values):
        struct.pack_into('<' + fmt, self.data, addr, *values)

    def split_desc(self, table, slot, addr, length, flags, nxt=0):
        self.put(table + 16 * slot, 'QIHH', addr, length, flags, nxt)

    def packed_desc(self, table, slot, addr, length, ident, flags):
        self.put(table + 16 * slot, 'QIHH', addr, length, ident, flags)


def split_queue(**changes):
    values = {'num': 8, 'desc': DESC, 'driver': DRIVER, 'device': DEVICE,
              'event_idx': True, 'last_avail': 5, 'used_idx': 3, 'inuse': 2,
              'signalled_used': 3, 'signalled_used_valid': True,
              'notification': True, 'vector': 1}
    return ring.Queue(**{**values, **changes})


def packed_queue(**changes):
    return split_queue(**{'packed': True, 'last_avail_wrap': True,
                          'used_wrap': True, **changes})


AVAIL, USED = ring.PACKED_F_AVAIL, ring.PACKED_F_USED


def text(lines):
    return '\n'.join(lines)


# Split rings

def test_split_chain_follows_next_links_to_the_end():
    mem = Memory()
    mem.split_desc(DESC, 2, 0x100, 16, ring.F_NEXT, 7)
    mem.split_desc(DESC, 7, 0x200, 512, ring.F_NEXT | ring.F_WRITE, 0)
    mem.split_desc(DESC, 0, 0x300, 1, ring.F_WRITE)
    chain = ring.walk_chain(mem.read, split_queue(), 2)
    assert [desc.slot for desc in chain.descs] == [2, 7, 0]
    assert chain.ends == 'chain ends' and not chain.problems
    assert chain.lengths() == (16, 513)
    assert chain.descs[1].words() == 'device writes NEXT=0'


def test_split_indirect_table_is_followed_by_its_own_links():
    mem = Memory()
    mem.split_desc(DESC, 4, TABLE, 48, ring.F_INDIRECT)
    mem.split_desc(TABLE, 0, 0x100, 8, ring.F_NEXT, 2)
    mem.split_desc(TABLE, 2, 0x200, 4, ring.F_WRITE)
    chain = ring.walk_chain(mem.read, split_queue(), 4)
    assert [(desc.slot, desc.indirect) for desc in chain.descs] == \
        [(4, False), (0, True), (2, True)]
    assert chain.lengths() == (8, 4), 'the table itself is no data'


@pytest.mark.parametrize('slot, nxt, word', [
    (3, 3, 'loops back to 3'), (3, 8, 'links to 8, the ring has 8'),
    (3, 65535, 'links to 65535')])
def test_split_bad_links_are_named(slot, nxt, word):
    mem = Memory()
    mem.split_desc(DESC, slot, 0, 1, ring.F_NEXT, nxt)
    chain = ring.walk_chain(mem.read, split_queue(), slot)
    assert word in text(chain.problems)
    assert mem.reads <= 8


def test_split_indirect_loop_stops_at_the_first_repeat():
    mem = Memory()
    mem.split_desc(DESC, 0, TABLE, 32, ring.F_INDIRECT | ring.F_NEXT, 1)
    mem.split_desc(TABLE, 0, 0, 1, ring.F_NEXT, 1)
    mem.split_desc(TABLE, 1, 0, 1, ring.F_NEXT | ring.F_INDIRECT, 0)
    chain = ring.walk_chain(mem.read, split_queue(), 0)
    found = text(chain.problems)
    assert 'both INDIRECT and NEXT' in found
    assert 'INDIRECT itself' in found and 'loops back to 0' in found


def test_split_waiting_heads_wrap_at_65536_and_at_the_ring_size():
    mem = Memory()
    mem.put(DRIVER, 'HH', 0, 1)
    for entry, head in ((6, 4), (7, 2), (0, 6)):
        mem.put(DRIVER + 4 + 2 * entry, 'H', head)
    heads, problems = ring.waiting(mem.read, split_queue(last_avail=65534))
    assert heads == [4, 2, 6] and not problems


def test_split_avail_index_beyond_the_ring_is_a_problem():
    mem = Memory()
    mem.put(DRIVER, 'HH', 0, 100)
    heads, problems = ring.waiting(mem.read, split_queue())
    assert len(heads) == 8
    assert 'avail index 100 is 95 ahead of 5' in text(problems)


def test_split_report_has_every_index_and_both_event_areas():
    mem = Memory()
    mem.put(DRIVER, 'HH', 1, 6)
    mem.put(DRIVER + 4 + 2 * 8, 'H', 41)
    mem.put(DEVICE, 'HH', 0, 3)
    mem.put(DEVICE + 4 + 8 * 8, 'H', 42)
    out = text(report.queue_lines(mem.read, split_queue()))
    for want in ('split, 8 descriptors, event index on', 'next to pop     5',
                 'next to use     3', 'in flight       2',
                 'waiting         1 at descriptor 0',
                 'used_event 41: interrupt when index 41 is passed',
                 'avail_event 42: notify when index 42 is passed',
                 'last interrupt  at used index 3', 'MSI-X vector    1'):
        assert want in out, out


def test_split_flags_speak_only_without_event_index():
    mem = Memory()
    mem.put(DRIVER, 'HH', 1, 5)
    mem.put(DEVICE, 'HH', 0, 3)
    driver, device = ring.event_words(mem.read, split_queue(event_idx=False))
    assert driver.endswith('do not interrupt')
    assert device.endswith('notify for every buffer')


def test_legacy_big_endian_ring_is_read_in_its_own_order():
    mem = Memory()
    struct.pack_into('>QIHH', mem.data, DESC, 0x1234, 7, ring.F_WRITE, 0)
    chain = ring.walk_chain(mem.read, split_queue(byteorder='big'), 0)
    assert chain.descs[0].addr == 0x1234 and chain.lengths() == (0, 7)


# Packed rings

def test_packed_chain_runs_over_the_end_of_the_ring():
    mem = Memory()
    mem.packed_desc(DESC, 7, 0x100, 16, 9, ring.F_NEXT | AVAIL)
    mem.packed_desc(DESC, 0, 0x200, 4, 9, ring.F_WRITE | USED)
    chain = ring.walk_chain(mem.read, packed_queue(), 7)
    assert [desc.slot for desc in chain.descs] == [7, 0]
    assert chain.ends == 'chain ends'
    assert chain.descs[0].words() == \
        'device reads NEXT AVAIL=1 USED=0 id=9'


def test_packed_indirect_entries_need_no_next_flag():
    mem = Memory()
    mem.packed_desc(DESC, 1, TABLE, 32, 3, ring.F_INDIRECT | AVAIL)
    mem.packed_desc(TABLE, 0, 0x100, 8, 0, 0)
    mem.packed_desc(TABLE, 1, 0x200, 4, 0, ring.F_WRITE)
    chain = ring.walk_chain(mem.read, packed_queue(), 1)
    assert len(chain.descs) == 3 and chain.lengths() == (8, 4)


@pytest.mark.parametrize('wrap, flags, expected', [
    (True, AVAIL, True), (True, AVAIL | USED, False), (True, USED, False),
    (True, 0, False), (False, USED, True), (False, 0, False),
    (False, AVAIL | USED, False), (False, AVAIL, False)])
def test_packed_availability_needs_both_bits_to_fit_the_wrap(wrap, flags,
                                                             expected):
    desc = ring.Desc(0, 0, 0, flags, 0, True, False)
    assert ring.packed_available(desc, wrap) is expected


def test_packed_waiting_counts_chains_across_the_wrap():
    mem = Memory()
    mem.packed_desc(DESC, 6, 0, 1, 0, ring.F_NEXT | AVAIL)
    mem.packed_desc(DESC, 7, 0, 1, 0, AVAIL)
    mem.packed_desc(DESC, 0, 0, 1, 1, USED)
    mem.packed_desc(DESC, 1, 0, 1, 2, AVAIL)    # old lap: not available
    heads, problems = ring.waiting(mem.read, packed_queue(last_avail=6))
    assert heads == [6, 0] and not problems


def test_packed_ring_full_of_next_has_no_end():
    mem = Memory()
    for slot in range(8):
        mem.packed_desc(DESC, slot, 0, 1, 0, ring.F_NEXT | AVAIL)
    chain = ring.walk_chain(mem.read, packed_queue(), 0)
    assert len(chain.descs) == 8
    assert 'never ends' in text(chain.problems)
    _, problems = ring.waiting(mem.read, packed_queue(last_avail=0))
    assert 'no end' in text(problems)


@pytest.mark.parametrize('off_wrap, flags, expected', [
    (0, 0, 'ENABLE: interrupt for every buffer'),
    (0, 1, 'DISABLE: do not interrupt'),
    (0x8005, 2, 'DESC: interrupt when descriptor 5 with wrap counter 1 is '
                'reached'),
    (0x7fff, 2, 'descriptor 32767 with wrap counter 0 is reached (outside '
                'the ring of 8)'),
    (0, 3, 'reserved value 3'), (0, 0x11, 'reserved bits 0x10')])
def test_packed_event_area_in_words(off_wrap, flags, expected):
    assert expected in ring.packed_event_words(off_wrap, flags, 8, 'driver')


def test_packed_report_says_positions_with_wrap_counters():
    mem = Memory()
    mem.put(DRIVER, 'HH', 0x8004, 2)
    mem.put(DEVICE, 'HH', 0, 1)
    out = text(report.queue_lines(mem.read, packed_queue(
        last_avail=0, last_avail_wrap=False, used_idx=6)))
    for want in ('packed, 8 descriptors', 'next to pop     0, wrap counter 0',
                 'next to use     6, wrap counter 1',
                 'driver says     DESC: interrupt when descriptor 4 with '
                 'wrap counter 1', 'device says     DISABLE: do not notify'):
        assert want in out, out


# Queues that are none, or not wholly known

@pytest.mark.parametrize('num, word', [
    (0, 'size 0: not in use'), (3, 'not a power of two'),
    (1 << 31, 'garbage'), (32769, 'garbage')])
def test_impossible_sizes_are_reported_without_reading(num, word):
    mem = Memory()
    queue = split_queue(num=num)
    assert word in text(report.queue_lines(mem.read, queue))
    assert word in text(report.chain_lines(mem.read, queue, 0))
    assert mem.reads == 0


@pytest.mark.parametrize('head', [-1, 8, 1 << 40])
def test_a_head_outside_the_ring_is_refused(head):
    out = text(report.chain_lines(Memory().read, split_queue(), head))
    assert 'outside the ring of 8' in out


def test_unreadable_memory_is_a_sentence():
    queue = packed_queue(desc=1 << 40, driver=1 << 41, device=(1 << 64) - 2)
    mem = Memory()
    out = text(report.queue_lines(mem.read, queue)
               + report.chain_lines(mem.read, queue, 0))
    assert out.count('cannot read guest memory') == 4
    assert 'nothing is mapped at 0x10000000000' in out


def test_a_short_read_is_unreadable_not_a_crash():
    chain = ring.walk_chain(lambda addr, size: b'\0' * (size - 1),
                            split_queue(), 0)
    assert chain.ends == 'unreadable' and '15 could be read' in \
        text(chain.problems)


def test_fields_the_program_lacks_are_not_known():
    queue = packed_queue(last_avail=None, last_avail_wrap=None,
                         used_idx=None, used_wrap=None, inuse=None,
                         signalled_used=None, notification=None, vector=None,
                         notes=['no field "inuse"'])
    out = text(report.queue_lines(Memory().read, queue))
    assert out.count('not known') >= 5 and 'no field "inuse"' in out


def test_impossible_device_state_is_pointed_out():
    out = text(report.queue_lines(Memory().read, packed_queue(
        inuse=9, last_avail=8, used_idx=77)))
    assert '9 in flight in a ring of 8' in out
    assert 'next to pop is 8' in out and 'next to use is 77' in out


# Words

def test_status_is_told_in_the_order_drivers_set_it():
    assert words.status_words(0x0f) == ['ACKNOWLEDGE', 'DRIVER',
                                        'FEATURES_OK', 'DRIVER_OK']
    assert words.status_words(0) == ['RESET']
    assert words.status_words(0x40 | 0x20) == ['bit5', 'NEEDS_RESET']


def test_features_are_named_by_device_and_unknown_ones_numbered():
    bits = 1 << 34 | 1 << 29 | 1 << 9 | 1 << 3
    assert words.feature_words(bits, 2) == ['bit3', 'FLUSH', 'EVENT_IDX',
                                            'RING_PACKED']
    assert words.feature_words(1 << 9, 1) == ['GUEST_ECN']
    assert words.feature_words(1 << 47, 999) == ['bit47']


# Noise

def random_queue(rng):
    """A queue as a damaged process may show it."""
    def index():
        return rng.choice([None, 0, 7, rng.getrandbits(16)])

    def flag():
        return rng.choice([None, True, False])
    return ring.Queue(
        num=rng.choice([1, 2, 5, 8, 256, 1024, 32768, 0,
                        rng.getrandbits(32)]),
        desc=rng.choice([0x10, DESC, rng.getrandbits(64)]),
        driver=rng.choice([DRIVER, rng.getrandbits(64)]),
        device=rng.choice([DEVICE, rng.getrandbits(64)]),
        packed=rng.random() < .5, event_idx=rng.random() < .5,
        byteorder=rng.choice(['little', 'big']), last_avail=index(),
        last_avail_wrap=flag(), used_idx=index(), used_wrap=flag(),
        inuse=rng.choice([None, 0, rng.getrandbits(32)]),
        signalled_used=index(), signalled_used_valid=flag(),
        notification=flag(), vector=index())


@pytest.mark.parametrize('seed', range(8))
def test_noise_never_raises_and_never_runs_away(seed):
    rng = random.Random(seed)
    mem = Memory()
    for _ in range(150):
        mem.data[:] = rng.randbytes(len(mem.data))
        if rng.random() < .5:
            # Small numbers make links and flags hit more often.
            mem.data[:] = bytes(byte & 7 for byte in mem.data)
        queue = random_queue(rng)
        mem.reads = 0
        lines = report.queue_lines(mem.read, queue)
        lines += report.waiting_chain_lines(mem.read, queue)
        lines += report.chain_lines(mem.read, queue,
                                    rng.choice([0, 3, rng.getrandbits(16)]))
        assert len(lines) < 400, text(lines)
        assert mem.reads <= 6 * ring.MAX_RING + 4 * ring.MAX_INDIRECT
