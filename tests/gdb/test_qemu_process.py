# SPDX-License-Identifier: GPL-2.0-or-later
"""The vadis commands on a real QEMU with rings whose every index is known.

QEMU is started by gdb, never attached to. The test drives a virtio-blk
device over qtest: five requests the device answers at once, two reads that
a slow disk keeps in flight for an hour, and one that is made available but
not announced. Then QEMU runs into a breakpoint and gdb answers.
"""

import json
import re
import socket
import subprocess
import threading

import gdbtest
import pytest
from qtestpci import QTest, VirtioPci
from vadis import paths

SIZE = 16
DESC, DRIVER, DEVICE = 0x100000, 0x101000, 0x102000
HEADER, DATA, STATUS_BYTE, TABLE = 0x110000, 0x111000, 0x112000, 0x113000
F_NEXT, F_WRITE, F_INDIRECT = 1, 2, 4
AVAIL, USED = 1 << 7, 1 << 15
BLK_IN, BLK_UNKNOWN = 0, 99
FEATURES = 1 << 32 | 1 << 29 | 1 << 28          # VERSION_1, events, indirect
PACKED = 1 << 34
# Nothing in a test of seconds will ever see such a read complete.
HOUR_NS = 3600 * 10 ** 9
# Of one answer; only a hang takes that long.
DEADLINE = 30
STOP_AT = 'qmp_query_name'


class Session:
    """gdb with a QEMU under it, and the sockets to drive that QEMU."""

    def __init__(self, qemu, private_dir):
        self._qemu = qemu
        self._dir = private_dir
        self._listening = [self._listen('qtest'), self._listen('qmp')]
        self._connected = []

    def _listen(self, name):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(self._dir / name))
        sock.listen(1)
        sock.settimeout(DEADLINE)
        return sock

    def _arguments(self):
        return [
            self._qemu, *paths.firmware_args(self._qemu), '-M', 'q35',
            '-m', '64M', '-nodefaults', '-display', 'none',
            '-accel', 'qtest',
            '-qtest', f'unix:{self._dir}/qtest', '-qtest-log', '/dev/null',
            '-qmp', f'unix:{self._dir}/qmp',
            '-blockdev', f'null-co,node-name=slow,latency-ns={HOUR_NS}',
            # Without a geometry QEMU reads one from the slow disk.
            '-device', 'virtio-blk-pci,drive=slow,id=disk0,addr=4,'
                       'cyls=1,heads=1,secs=1,'
                       'packed=on,ioeventfd=off,queue-size=16,num-queues=1',
            '-device', 'virtio-rng-pci,addr=5']

    def run(self, drive, commands):
        """Drive QEMU with drive(device), then run gdb commands on it."""
        argv = ['gdb', '-nx', '-q', '-batch', '-iex',
                'set debuginfod enabled off', '-x',
                str(gdbtest.SCRIPTS / 'vadis-gdb.py'),
                '-ex', f'break {STOP_AT}', '-ex', 'run']
        argv += [word for line in commands for word in ('-ex', line)]
        argv += ['-ex', 'kill', '--args', *map(str, self._arguments())]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as gdb:
            output = []
            reader = threading.Thread(
                target=lambda: output.append(gdb.stdout.read()))
            reader.start()
            failure = None
            try:
                self._drive(drive)
                gdb.wait(120)
            except (OSError, AssertionError,
                    subprocess.TimeoutExpired) as exc:
                failure = exc
            finally:
                # Ending gdb ends the QEMU it started.
                if gdb.poll() is None:
                    gdb.terminate()
                reader.join()
                for sock in self._listening + self._connected:
                    sock.close()
        assert failure is None, f'{failure!r}; gdb printed:\n{output[0]}'
        gdbtest.assert_no_traceback(output[0])
        return output[0]

    def _drive(self, drive):
        for sock in self._listening:
            self._connected.append(sock.accept()[0])
            self._connected[-1].settimeout(DEADLINE)
        drive(VirtioPci(QTest(self._connected[0]), 4))
        # Both stay open until gdb is done: QEMU drops a monitor's unread
        # command with its connection.
        qmp = self._connected[1].makefile('rw', encoding='utf-8')
        qmp.readline()
        for name in ('qmp_capabilities', 'query-name'):
            qmp.write(json.dumps({'execute': name}) + '\n')
            qmp.flush()
            if name == 'qmp_capabilities':
                assert 'return' in json.loads(qmp.readline())


def request(qtest, kind):
    """A block request header; it stays the same for all requests."""
    qtest.put(HEADER + 16 * kind % 4096, 'IIQ', kind, 0, 0)
    return HEADER + 16 * kind % 4096


def drive_packed(dev):
    """The scene of this file on a packed ring of 16."""
    qtest = dev.qtest
    dev.negotiate(FEATURES | PACKED)
    qtest.put(DRIVER, 'HH', 1 << 15 | 12, 2)        # interrupt at 12
    dev.queue(SIZE, DESC, DRIVER, DEVICE)

    def desc(slot, addr, length, flags, wrap=True):
        flags |= AVAIL if wrap else USED
        qtest.put(DESC + 16 * slot, 'QIHH', addr, length, slot, flags)

    bad, read = request(qtest, BLK_UNKNOWN), request(qtest, BLK_IN)
    for slot in range(0, 10, 2):
        desc(slot + 1, STATUS_BYTE, 1, F_WRITE)
        desc(slot, bad, 16, F_NEXT)
        dev.kick()
    for slot in (10, 13):
        desc(slot + 2, STATUS_BYTE, 1, F_WRITE)
        desc(slot + 1, DATA, 512, F_NEXT | F_WRITE)
        desc(slot, read, 16, F_NEXT)
        dev.kick()
    for slot, (addr, length, flags) in enumerate(
            ((read, 16, 0), (DATA, 1024, F_WRITE),
             (STATUS_BYTE, 1, F_WRITE))):
        qtest.put(TABLE + 16 * slot, 'QIHH', addr, length, 0, flags)
    desc(0, TABLE, 48, F_INDIRECT, wrap=False)


# Slots 10..15 hold the two reads; 0 the indirect one of the second lap.
PACKED_STATE = (
    'packed, 16 descriptors, event index on',
    'next to pop     0, wrap counter 0', 'next to use     10, wrap counter 1',
    'in flight       6 descriptors', 'waiting         1 at descriptor 0',
    'driver says     DESC: interrupt when descriptor 12 with wrap counter 1',
    'device says     DESC: notify when descriptor 0 with wrap counter 0')


def drive_split(dev):
    """The same scene on a split ring of 16."""
    qtest = dev.qtest
    dev.negotiate(FEATURES)
    qtest.put(DRIVER + 4 + 2 * SIZE, 'H', 6)        # interrupt at 6
    dev.queue(SIZE, DESC, DRIVER, DEVICE)

    def desc(slot, addr, length, flags, nxt=0):
        qtest.put(DESC + 16 * slot, 'QIHH', addr, length, flags, nxt)

    def offer(entry, head, kick=True):
        qtest.put(DRIVER + 4 + 2 * entry, 'H', head)
        qtest.put(DRIVER + 2, 'H', entry + 1)
        if kick:
            dev.kick()

    bad, read = request(qtest, BLK_UNKNOWN), request(qtest, BLK_IN)
    desc(0, bad, 16, F_NEXT, 1)
    desc(1, STATUS_BYTE, 1, F_WRITE)
    for entry in range(5):
        offer(entry, 0)
    for entry, head in ((5, 2), (6, 8)):
        desc(head, read, 16, F_NEXT, head + 1)
        desc(head + 1, DATA, 512, F_NEXT | F_WRITE, head + 2)
        desc(head + 2, STATUS_BYTE, 1, F_WRITE)
        offer(entry, head)
    for slot, (addr, length, flags) in enumerate(
            ((read, 16, F_NEXT), (DATA, 1024, F_NEXT | F_WRITE),
             (STATUS_BYTE, 1, F_WRITE))):
        qtest.put(TABLE + 16 * slot, 'QIHH', addr, length, flags, slot + 1)
    desc(13, TABLE, 48, F_INDIRECT)
    offer(7, 13, kick=False)


SPLIT_STATE = (
    'split, 16 descriptors, event index on', 'next to pop     7',
    'next to use     5', 'in flight       2 chains',
    'waiting         1 at descriptor 13', 'available ring  at 0x101000',
    'avail index 8, flags 0x0; used_event 6: interrupt when index 6',
    'used index 5, flags 0x0; avail_event 7: notify when index 7')

SCENES = {'packed': (drive_packed, PACKED_STATE, 10, 0),
          'split': (drive_split, SPLIT_STATE, 2, 13)}


@pytest.mark.parametrize('layout', SCENES)
def test_commands_give_the_known_state_live_and_in_a_core(
        gdb, qemu, private_dir, layout):
    drive, state, in_flight_head, waiting_head = SCENES[layout]
    core = private_dir / 'core'
    output = Session(qemu, private_dir).run(drive, [
        'vadis devices', 'vadis features disk0', 'vadis vq disk0 0',
        'vadis chain disk0 0', f'vadis chain disk0 0 {in_flight_head}',
        f'generate-core-file {core}'])
    gdbtest.assert_lines(
        output, 'virtio-blk id disk0',
        '/machine/peripheral/disk0/virtio-backend',
        'status          0x0f ACKNOWLEDGE DRIVER FEATURES_OK DRIVER_OK',
        'virtio-rng', 'offered', 'negotiated', *state,
        # the chain that waits: an indirect table of three
        f'chain at descriptor {waiting_head}: 4 descriptors',
        '48 bytes  device reads INDIRECT', '1024 bytes  device writes',
        '16 bytes the device reads, 1025 it writes',
        # one in flight: header, data, status
        f'chain at descriptor {in_flight_head}: 3 descriptors, chain ends',
        '16 bytes the device reads, 513 it writes')
    negotiated = output.split('negotiated', 1)[1].split('not taken')[0]
    assert ('RING_PACKED' in negotiated) == (layout == 'packed'), output
    assert 'problem' not in output, output

    status, again = gdb(['-x', gdbtest.SCRIPTS / 'vadis-gdb.py', qemu, core,
                         '-ex', 'vadis devices', '-ex', 'vadis vq disk0',
                         '-ex', 'vadis chain disk0 0'])
    gdbtest.assert_no_traceback(again)
    assert status == 0, again
    gdbtest.assert_lines(again, 'virtio-blk id disk0', *state,
                         '1024 bytes  device writes')


def drive_garbage(dev):
    """A running ring whose memory a guest then fills with nonsense."""
    dev.negotiate(FEATURES)
    dev.queue(SIZE, DESC, DRIVER, DEVICE)
    # Self-links, indirect tables in device registers, absurd indices.
    for slot in range(SIZE):
        dev.qtest.put(DESC + 16 * slot, 'QIHH', 0xfee00000, 0xffffffff,
                      F_NEXT | F_INDIRECT * (slot & 1) | 0xff00, slot)
    dev.qtest.write(DRIVER, b'\xee' * 64)
    dev.qtest.write(DEVICE, b'\xdd' * 256)


def test_nonsense_in_a_live_ring_is_answered_in_words(qemu, private_dir):
    chains = [f'vadis chain disk0 0 {head}' for head in (0, 1, 15, 16)]
    output = Session(qemu, private_dir).run(
        drive_garbage, ['vadis vq disk0 0', 'vadis chain disk0 0', *chains])
    gdbtest.assert_lines(
        output, 'avail index 61166 is 61166 ahead of 0',
        'descriptor 0 loops back to 0', 'reserved flags 0xff00',
        'both INDIRECT and NEXT', 'head 16 is outside the ring of 16')
    # An indirect table in device registers is no RAM: said, not read.
    assert re.search('cannot read guest memory: 0xfee.* is not RAM|'
                     'cannot read guest memory: nothing is mapped', output), \
        output


def test_mistakes_get_one_line_each(gdb, qemu):
    status, output = gdb([
        '-x', gdbtest.SCRIPTS / 'vadis-gdb.py', qemu, '-ex', 'vadis devices',
        '-ex', 'vadis vq', '-ex', 'vadis chain 0 x', '-ex', 'vadis help',
        '-ex', 'vadis'])
    gdbtest.assert_no_traceback(output)
    gdbtest.assert_lines(output, 'QEMU is not running and no core file',
                         'usage: vadis vq DEV [N]')
    assert output.count('vadis chain DEV N [HEAD]') == 2, output
    assert status == 0, 'help was the last command'


def test_wrong_names_list_the_right_ones(qemu, private_dir):
    output = Session(qemu, private_dir).run(
        lambda dev: None,
        ['vadis vq nosuch', 'vadis vq 9', 'vadis vq disk0 7',
         'vadis vq disk0 x', 'vadis chain disk0 0', 'vadis vq disk0'])
    gdbtest.assert_lines(
        output, 'no device matches "nosuch"; use one of:',
        'no device number 9', 'virtio-blk has no queue 7 (it has 0 to 0)',
        'the queue must be a number, not "x"', 'no descriptor area yet',
        'none of its 1 queues is set up')


def test_a_queue_structure_that_changed_is_named_not_a_crash(
        qemu, private_dir):
    output = Session(qemu, private_dir).run(drive_split, [
        'python import vadisgdb.state as s; real = s.field',
        'python s.field = lambda v, n: real(v, n + "_gone" '
        'if n == "inuse" else n)', 'vadis vq disk0 0'])
    gdbtest.assert_lines(output, 'in flight       not known',
                         'has no field "inuse_gone" in', 'next to pop     7')
