# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio-pci driver in a few verbs, over QEMU's qtest socket.

Only what Python tests need: find a device, negotiate, give it queues, and
have it interrupt by messages.
Ring contents are written by the tests themselves, byte by byte, so that
they know every index.
"""

import struct

VENDOR_VIRTIO = 0x1af4
CAP_VENDOR, CFG_COMMON, CFG_NOTIFY = 9, 1, 2
CAP_MSIX, MSIX_ENABLE = 0x11, 1 << 31
BAR_AT = 0xe0000000

# Offsets in the common configuration structure.
DEVICE_FEATURE_SELECT, DEVICE_FEATURE = 0, 4
DRIVER_FEATURE_SELECT, DRIVER_FEATURE = 8, 12
STATUS, QUEUE_SELECT, QUEUE_SIZE = 20, 22, 24
QUEUE_VECTOR, QUEUE_ENABLE, QUEUE_NOTIFY_OFF = 26, 28, 30
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

    def commands(self, texts):
        """Send many at once, which QEMU takes in order; wait for them all."""
        self._file.write(''.join(text + '\n' for text in texts))
        self._file.flush()
        for text in texts:
            self.answer(text)

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


class PciFunction:
    """One function of a device at a slot of bus 0."""

    def __init__(self, qtest, slot, function=0):
        self.qtest = qtest
        self._at = 0x80000000 | slot << 11 | function << 8

    def _select(self, offset):
        self.qtest.command(f'outl 0xcf8 {self._at | offset:#x}')

    def config(self, offset):
        """Four bytes of its configuration space."""
        self._select(offset)
        return int(self.qtest.command('inl 0xcfc')[0], 0)

    def set_config(self, offset, value):
        """Write four bytes of its configuration space."""
        self._select(offset)
        self.qtest.command(f'outl 0xcfc {value:#x}')

    def enable(self):
        """Let it answer to its memory BARs, and be a bus master."""
        self.set_config(4, self.config(4) | 6)

    def capabilities(self):
        """Offset and first word of each."""
        at = self.config(0x34) & 0xfc
        while at:
            head = self.config(at)
            yield at, head
            at = head >> 8 & 0xfc

    def msix(self, bar_at, addr):
        """Enable MSI-X: vector n writes 32 + n to `addr` + 4 * n.

        `bar_at` becomes the address of the BAR that has the table.
        """
        at = next(at for at, head in self.capabilities()
                  if head & 0xff == CAP_MSIX)
        where = self.config(at + 4)
        self.set_config(0x10 + 4 * (where & 7), bar_at)
        self.enable()
        table = bar_at + (where & ~7)
        for n in range((self.config(at) >> 16 & 0x7ff) + 1):
            for i, word in enumerate((addr + 4 * n, 0, 32 + n, 0)):
                self.qtest.store(4, table + 16 * n + 4 * i, word)
        self.set_config(at, self.config(at) | MSIX_ENABLE)


class VirtioPci(PciFunction):
    """One modern virtio-pci device at a slot of bus 0."""

    def __init__(self, qtest, slot, bar_at=BAR_AT, function=0):
        super().__init__(qtest, slot, function)
        assert self.config(0) & 0xffff == VENDOR_VIRTIO
        caps = self._virtio_capabilities()
        bar = caps[CFG_COMMON][0]
        # With modern-pio-notify there is a second one, a port.
        notify = {cap[0]: cap for cap in self._notify_caps}
        self.port_bar = next((n for n in notify if n != bar), None)
        register = 0x10 + 4 * bar
        self.set_config(register, bar_at)
        self.set_config(register + 4, 0)
        self.enable()
        self.common = bar_at + caps[CFG_COMMON][1]
        self._notify = bar_at + notify[bar][1]
        self._multiplier = notify[bar][2]

    def _virtio_capabilities(self):
        """{kind: (BAR, offset in it)}; the first of each kind"""
        out, self._notify_caps = {}, []
        for at, head in self.capabilities():
            kind = head >> 24
            if head & 0xff == CAP_VENDOR:
                cap = self.config(at + 4) & 0xff, self.config(at + 8)
                if kind == CFG_NOTIFY:
                    self._notify_caps.append((*cap, self.config(at + 16)))
                out.setdefault(kind, cap)
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

    def queue(self, size, desc, driver, device, number=0, vector=0xffff):
        """Set up a queue and let the device go."""
        store = self.qtest.store
        store(2, self.common + QUEUE_SELECT, number)
        store(2, self.common + QUEUE_SIZE, size)
        store(2, self.common + QUEUE_VECTOR, vector)
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
        self.set_config(0x10 + 4 * self.port_bar, port)
        self.set_config(4, self.config(4) | 1)     # ports

    def kick(self):
        """Notify queue 0; returns when the device has looked at it."""
        self.qtest.store(2, self.notify_addr(), 0)
