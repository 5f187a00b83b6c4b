# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio-pci driver in a few verbs, over QEMU's qtest socket.

Only what Python tests need: find a device, negotiate, give it one queue.
Ring contents are written by the tests themselves, byte by byte, so that
they know every index.
"""

import struct

VENDOR_VIRTIO = 0x1af4
CAP_VENDOR, CFG_COMMON, CFG_NOTIFY = 9, 1, 2
BAR_AT = 0xe0000000

# Offsets in the common configuration structure.
DEVICE_FEATURE_SELECT, DEVICE_FEATURE = 0, 4
DRIVER_FEATURE_SELECT, DRIVER_FEATURE = 8, 12
STATUS, QUEUE_SELECT, QUEUE_SIZE = 20, 22, 24
QUEUE_ENABLE, QUEUE_NOTIFY_OFF = 28, 30
QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE = 32, 40, 48


class QTest:
    """QEMU's end of a qtest connection: memory and port accesses."""

    def __init__(self, connection):
        self._file = connection.makefile('rw', encoding='ascii',
                                         newline='\n')

    def command(self, text):
        """Send one command; the words of its answer after OK."""
        self._file.write(text + '\n')
        self._file.flush()
        return self.answer(text)

    def answer(self, text='a command'):
        """Wait for the answer to a command sent; its words after OK."""
        while True:
            answer = self._file.readline()
            assert answer, f'QEMU ended during "{text}"'
            if not answer.startswith('IRQ'):
                break
        words = answer.split()
        assert words[0] == 'OK', f'"{text}": {answer}'
        return words[1:]

    def write(self, addr, data):
        """Write bytes to guest memory."""
        self.command(f'write {addr:#x} {len(data)} 0x{bytes(data).hex()}')

    def put(self, addr, fmt, *values):
        """Write little-endian numbers to guest memory."""
        self.write(addr, struct.pack('<' + fmt, *values))

    def get(self, addr, fmt):
        """Read little-endian numbers from guest memory."""
        size = struct.calcsize('<' + fmt)
        text = self.command(f'read {addr:#x} {size}')[0]
        return struct.unpack('<' + fmt, bytes.fromhex(text[2:]))

    def store(self, size, addr, value):
        """Write a device register of `size` bytes."""
        self.command(f'write{"bwlq"[size.bit_length() - 1]} {addr:#x} '
                     f'{value:#x}')

    def load(self, size, addr):
        """Read a device register of `size` bytes."""
        return int(self.command(
            f'read{"bwlq"[size.bit_length() - 1]} {addr:#x}')[0], 0)


class VirtioPci:
    """One modern virtio-pci device at a slot of bus 0."""

    def __init__(self, qtest, slot, bar_at=BAR_AT):
        self.qtest = qtest
        self._slot = slot
        assert self._config(0) & 0xffff == VENDOR_VIRTIO
        caps = self._capabilities()
        bar = caps[CFG_COMMON][0]
        # With modern-pio-notify there is a second one, a port.
        notify = {cap[0]: cap for cap in self._notify_caps}
        self.port_bar = next((n for n in notify if n != bar), None)
        register = 0x10 + 4 * bar
        self._set_config(register, bar_at)
        self._set_config(register + 4, 0)
        self._set_config(4, self._config(4) | 6)     # memory, bus master
        self.common = bar_at + caps[CFG_COMMON][1]
        self._notify = bar_at + notify[bar][1]
        self._multiplier = notify[bar][2]

    def _select(self, offset):
        self.qtest.command(f'outl 0xcf8 '
                           f'{0x80000000 | self._slot << 11 | offset:#x}')

    def _config(self, offset):
        self._select(offset)
        return int(self.qtest.command('inl 0xcfc')[0], 0)

    def _set_config(self, offset, value):
        self._select(offset)
        self.qtest.command(f'outl 0xcfc {value:#x}')

    def _capabilities(self):
        """{kind: (BAR, offset in it)}; the first of each kind"""
        out, self._notify_caps = {}, []
        at = self._config(0x34) & 0xfc
        while at:
            head = self._config(at)
            kind = head >> 24
            if head & 0xff == CAP_VENDOR:
                cap = self._config(at + 4) & 0xff, self._config(at + 8)
                if kind == CFG_NOTIFY:
                    self._notify_caps.append((*cap, self._config(at + 16)))
                out.setdefault(kind, cap)
            at = head >> 8 & 0xfc
        return out

    def negotiate(self, features):
        """Reset, then accept exactly `features`."""
        load, store = self.qtest.load, self.qtest.store
        store(1, self.common + STATUS, 0)
        store(1, self.common + STATUS, 3)
        for half in (0, 1):
            part = features >> 32 * half & 0xffffffff
            store(4, self.common + DEVICE_FEATURE_SELECT, half)
            offered = load(4, self.common + DEVICE_FEATURE)
            assert not part & ~offered, 'the device lacks a feature'
            store(4, self.common + DRIVER_FEATURE_SELECT, half)
            store(4, self.common + DRIVER_FEATURE, part)
        store(1, self.common + STATUS, 11)
        assert load(1, self.common + STATUS) == 11

    def queue(self, size, desc, driver, device, number=0):
        """Set up a queue and let the device go."""
        store = self.qtest.store
        store(2, self.common + QUEUE_SELECT, number)
        store(2, self.common + QUEUE_SIZE, size)
        for register, addr in ((QUEUE_DESC, desc), (QUEUE_DRIVER, driver),
                               (QUEUE_DEVICE, device)):
            store(4, self.common + register, addr & 0xffffffff)
            store(4, self.common + register + 4, addr >> 32)
        store(2, self.common + QUEUE_ENABLE, 1)
        store(1, self.common + STATUS, 15)

    def notify_addr(self, number=0):
        """Address of the register that notifies a queue."""
        self.qtest.store(2, self.common + QUEUE_SELECT, number)
        offset = self.qtest.load(2, self.common + QUEUE_NOTIFY_OFF)
        return self._notify + offset * self._multiplier

    def map_port(self, port):
        """Give the port of modern-pio-notify an address."""
        self._set_config(0x10 + 4 * self.port_bar, port)
        self._set_config(4, self._config(4) | 1)     # ports

    def kick(self):
        """Notify queue 0; returns when the device has looked at it."""
        self.qtest.store(2, self.notify_addr(), 0)
