# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's own structures, read through gdb without calling into QEMU.

Only memory and debug information are used, so a core file serves as well
as a live process. Fields are looked up by name: when QEMU changes, the
command says which name is gone instead of failing with a traceback.
"""

import gdb

from . import ring, words

# Bounds of lists read from a process that may be in any condition.
MAX_LIST = 65536
MAX_DEPTH = 32
MAX_QUEUES = 1024
MAX_RANGES = 65536
ENDIAN_BIG = 2


class Trouble(Exception):
    """What stands in the way of an answer, in words for the user."""


def field(value, name):
    """value's field `name`, or Trouble naming what is missing where."""
    try:
        return value[name]
    except gdb.error as exc:
        raise Trouble(f'this QEMU has no field "{name}" in '
                      f'{value.type.strip_typedefs()} ({exc})') from exc


def optional(value, name, notes):
    """Like field(), but a missing field becomes None and a note."""
    try:
        return int(field(value, name))
    except Trouble as exc:
        notes.append(str(exc))
        return None


def lookup_type(name):
    """gdb type by name, with words on how to get debug information."""
    try:
        return gdb.lookup_type(name)
    except gdb.error as exc:
        raise Trouble(f'no debug information for "{name}": load a QEMU '
                      f'built with -g (./configure keeps it by default)'
                      ) from exc


def text(value, limit=256):
    """A C string of the process, or '' for NULL and unreadable ones."""
    if int(value) == 0:
        return ''
    try:
        data = bytes(gdb.selected_inferior().read_memory(int(value), 1))
        out = b''
        while data != b'\0' and len(out) < limit:
            out += data
            data = bytes(gdb.selected_inferior().read_memory(
                int(value) + len(out), 1))
    except gdb.MemoryError:
        return ''
    return out.decode('utf-8', 'replace')


def _list(first, link):
    """Follow a QTAILQ or QLIST from its first element, bounded."""
    seen = set()
    node = first
    while int(node) and int(node) not in seen and len(seen) < MAX_LIST:
        seen.add(int(node))
        yield node
        entry = field(node.dereference(), link)
        node = entry['tqe_next'] if _has(entry, 'tqe_next') \
            else field(entry, 'le_next')


def _has(value, name):
    try:
        value[name]
    except gdb.error:
        return False
    return True


def _type_names(obj):
    """QOM type names of an object, its own first, then its parents."""
    impl_type = lookup_type('struct TypeImpl').pointer()
    klass = field(obj, 'class')
    if int(klass) == 0:
        return
    impl = field(klass.dereference(), 'type').cast(impl_type)
    for _ in range(MAX_DEPTH):
        if int(impl) == 0:
            return
        impl_obj = impl.dereference()
        yield text(field(impl_obj, 'name'))
        impl = field(impl_obj, 'parent_type').cast(impl_type)


class Device:
    """One virtio device of the process."""

    def __init__(self, pointer, parent):
        vdev = pointer.cast(lookup_type('struct VirtIODevice').pointer())
        self.vdev = vdev.dereference()
        qdev = pointer.dereference()
        self.path = text(field(qdev, 'canonical_path'))
        # The name a user gave stands on the transport (virtio-blk-pci).
        self.id = text(field(qdev, 'id')) or \
            (text(field(parent, 'id')) if parent is not None else '')
        self.device_id = int(field(self.vdev, 'device_id'))
        self.name = (text(field(self.vdev, 'name'))
                     or words.device_name(self.device_id))
        self.status = int(field(self.vdev, 'status'))
        self.features = int(field(self.vdev, 'guest_features'))
        self.host_features = int(field(self.vdev, 'host_features'))

    def flags(self):
        """Words for conditions beyond the status byte."""
        out = []
        for name, word in (('broken', 'broken: needs a reset'),
                           ('disabled', 'disabled'),
                           ('vhost_started', 'vhost runs the rings: the '
                            'indices shown are those of the last stop')):
            if _has(self.vdev, name) and int(self.vdev[name]):
                out.append(word)
        return out

    def memory(self):
        """read(addr, size) in the device's own address space."""
        return GuestMemory(field(self.vdev, 'dma_as')).read

    def queue_count(self):
        """Queues the device was created with, used by the driver or not."""
        vq = field(self.vdev, 'vq')
        if int(vq) == 0:
            return 0
        for index in range(MAX_QUEUES):
            vring = field((vq + index).dereference(), 'vring')
            if int(field(vring, 'num_default')) == 0:
                return index
        return MAX_QUEUES

    def queue(self, index):
        """State of one queue as a ring.Queue."""
        count = self.queue_count()
        if not 0 <= index < count:
            have = f'0 to {count - 1}' if count else 'none'
            raise Trouble(f'{self.name} has no queue {index} (it has '
                          f'{have})')
        vq = (field(self.vdev, 'vq') + index).dereference()
        vring = field(vq, 'vring')
        notes = []
        out = ring.Queue(
            num=int(field(vring, 'num')), desc=int(field(vring, 'desc')),
            driver=int(field(vring, 'avail')),
            device=int(field(vring, 'used')), index=index,
            packed=bool(self.features & words.F_RING_PACKED),
            event_idx=bool(self.features & words.F_EVENT_IDX),
            byteorder=self._byteorder(), notes=notes)
        for attr, name in (('last_avail', 'last_avail_idx'),
                           ('last_avail_wrap', 'last_avail_wrap_counter'),
                           ('used_idx', 'used_idx'),
                           ('used_wrap', 'used_wrap_counter'),
                           ('inuse', 'inuse'),
                           ('signalled_used', 'signalled_used'),
                           ('signalled_used_valid', 'signalled_used_valid'),
                           ('notification', 'notification'),
                           ('vector', 'vector')):
            setattr(out, attr, optional(vq, name, notes))
        notes += self.flags()
        return out

    def _byteorder(self):
        if self.features & words.F_VERSION_1:
            return 'little'
        if _has(self.vdev, 'device_endian') \
                and int(self.vdev['device_endian']) == ENDIAN_BIG:
            return 'big'
        return 'little'


def _walk_bus(bus, depth, out):
    for child in _list(field(field(bus, 'children'), 'tqh_first'),
                       'sibling'):
        pointer = field(child.dereference(), 'child')
        if int(pointer) == 0:
            continue
        dev = pointer.dereference()
        if 'virtio-device' in _type_names(field(dev, 'parent_obj')):
            parent = field(bus, 'parent')
            out.append(Device(pointer, parent.dereference()
                              if int(parent) else None))
        if depth < MAX_DEPTH:
            for sub in _list(field(field(dev, 'child_bus'), 'lh_first'),
                             'sibling'):
                _walk_bus(sub.dereference(), depth + 1, out)


def devices():
    """All virtio devices, in bus order."""
    symbol = gdb.lookup_static_symbol('main_system_bus') \
        or gdb.lookup_global_symbol('main_system_bus')
    if symbol is None:
        raise Trouble('no symbol main_system_bus: load a QEMU binary with '
                      'debug information (gdb build/qemu-system-x86_64)')
    if not gdb.selected_inferior().pid:
        raise Trouble('QEMU is not running and no core file is loaded: '
                      'use "run", "start" or "core-file FILE"')
    bus = symbol.value()
    if int(bus) == 0:
        raise Trouble('QEMU has not created its devices yet: let it run a '
                      'little further')
    out = []
    _walk_bus(bus.dereference(), 0, out)
    # Buses list the newest child first; the order of creation reads better.
    out.reverse()
    return out


def find_device(spec):
    """Device by its number in the list, -device id, QOM path or name."""
    have = devices()
    if not have:
        raise Trouble('this machine has no virtio device')
    if spec.isdigit():
        if int(spec) < len(have):
            return have[int(spec)]
        raise Trouble(f'no device number {spec}: there are {len(have)}')
    hits = [dev for dev in have if spec in (dev.id, dev.path)] \
        or [dev for dev in have if dev.name == spec]
    if len(hits) == 1:
        return hits[0]
    names = ', '.join(f'{number} ({dev.id or dev.name})'
                      for number, dev in enumerate(have))
    why = 'several devices match' if hits else 'no device matches'
    raise Trouble(f'{why} "{spec}"; use one of: {names}')


class GuestMemory:
    """Reads guest physical memory through an AddressSpace's flat view."""

    def __init__(self, address_space):
        if int(address_space) == 0:
            raise Trouble('the device has no address space')
        view = field(address_space.dereference(), 'current_map')
        if int(view) == 0:
            raise Trouble('the address space has no flat view yet')
        view = view.dereference()
        self._ranges = []
        ranges = field(view, 'ranges')
        for number in range(min(int(field(view, 'nr')), MAX_RANGES)):
            item = (ranges + number).dereference()
            span = field(item, 'addr')
            start = _int128(field(span, 'start'))
            self._ranges.append(
                (start, start + _int128(field(span, 'size')), item))

    def read(self, addr, size):
        """Guest memory as bytes; ring.Unreadable says why not."""
        out = b''
        while len(out) < size:
            out += self._piece(addr + len(out), size - len(out))
        return out

    def _piece(self, addr, size):
        for start, end, item in self._ranges:
            if start <= addr < end:
                size = min(size, end - addr)
                host = self._host(item, addr) + addr - start
                try:
                    return bytes(gdb.selected_inferior().read_memory(
                        host, size))
                except gdb.MemoryError as exc:
                    raise ring.Unreadable(
                        f'{addr:#x} is guest RAM but not in this process '
                        f'image; a core without guest RAM?') from exc
        raise ring.Unreadable(f'nothing is mapped at guest address '
                              f'{addr:#x}')

    @staticmethod
    def _host(item, addr):
        region = field(item, 'mr')
        if int(region) == 0:
            raise ring.Unreadable(f'no memory region at {addr:#x}')
        region = region.dereference()
        name = text(field(region, 'name'))
        if _has(region, 'is_iommu') and int(region['is_iommu']):
            raise ring.Unreadable(
                f'{addr:#x} is an address behind the IOMMU "{name}", '
                f'which is not translated here')
        block = field(region, 'ram_block')
        if int(block) == 0:
            raise ring.Unreadable(f'{addr:#x} is not RAM but "{name}"')
        return int(field(block.dereference(), 'host')) \
            + int(field(item, 'offset_in_region'))


def _int128(value):
    # gdb before 14 cannot convert a 128-bit integer, so take its bytes.
    data = gdb.selected_inferior().read_memory(int(value.address), 16)
    return int.from_bytes(bytes(data), 'little')
