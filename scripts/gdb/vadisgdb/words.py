# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtio's numbers as words: feature bits, status bits, device names.

The names are those of the virtio standard without their VIRTIO_*_F_ prefix.
Nothing here depends on gdb.
"""

STATUS = {
    0: 'ACKNOWLEDGE',
    1: 'DRIVER',
    2: 'DRIVER_OK',
    3: 'FEATURES_OK',
    4: 'SUSPEND',
    6: 'NEEDS_RESET',
    7: 'FAILED',
}

TRANSPORT_FEATURES = {
    24: 'NOTIFY_ON_EMPTY',
    27: 'ANY_LAYOUT',
    28: 'INDIRECT_DESC',
    29: 'EVENT_IDX',
    # QEMU's trap for old drivers that acknowledge whatever is offered.
    30: 'BAD_FEATURE',
    32: 'VERSION_1',
    33: 'ACCESS_PLATFORM',
    34: 'RING_PACKED',
    35: 'IN_ORDER',
    36: 'ORDER_PLATFORM',
    37: 'SR_IOV',
    38: 'NOTIFICATION_DATA',
    39: 'NOTIF_CONFIG_DATA',
    40: 'RING_RESET',
    41: 'ADMIN_VQ',
}

DEVICE_NAMES = {
    1: 'virtio-net', 2: 'virtio-blk', 3: 'virtio-serial', 4: 'virtio-rng',
    5: 'virtio-balloon', 8: 'virtio-scsi', 9: 'virtio-9p', 16: 'virtio-gpu',
    18: 'virtio-input', 19: 'virtio-vsock', 20: 'virtio-crypto',
    21: 'virtio-signal', 23: 'virtio-iommu', 24: 'virtio-mem',
    25: 'virtio-sound', 26: 'virtio-fs', 27: 'virtio-pmem',
    32: 'virtio-scmi', 34: 'virtio-i2c', 40: 'virtio-bt', 41: 'virtio-gpio',
    61: 'vhost-pci', 63: 'virtio-echo',
}

_NET = {
    0: 'CSUM', 1: 'GUEST_CSUM', 2: 'CTRL_GUEST_OFFLOADS', 3: 'MTU', 5: 'MAC',
    6: 'GSO', 7: 'GUEST_TSO4', 8: 'GUEST_TSO6', 9: 'GUEST_ECN',
    10: 'GUEST_UFO', 11: 'HOST_TSO4', 12: 'HOST_TSO6', 13: 'HOST_ECN',
    14: 'HOST_UFO', 15: 'MRG_RXBUF', 16: 'STATUS', 17: 'CTRL_VQ',
    18: 'CTRL_RX', 19: 'CTRL_VLAN', 20: 'CTRL_RX_EXTRA',
    21: 'GUEST_ANNOUNCE', 22: 'MQ', 23: 'CTRL_MAC_ADDR',
    50: 'DEVICE_STATS', 51: 'HASH_TUNNEL', 52: 'VQ_NOTF_COAL',
    53: 'NOTF_COAL', 54: 'GUEST_USO4', 55: 'GUEST_USO6', 56: 'HOST_USO',
    57: 'HASH_REPORT', 59: 'GUEST_HDRLEN', 60: 'RSS', 61: 'RSC_EXT',
    62: 'STANDBY', 63: 'SPEED_DUPLEX',
}

_BLK = {
    0: 'BARRIER', 1: 'SIZE_MAX', 2: 'SEG_MAX', 4: 'GEOMETRY', 5: 'RO',
    6: 'BLK_SIZE', 7: 'SCSI', 9: 'FLUSH', 10: 'TOPOLOGY',
    11: 'CONFIG_WCE', 12: 'MQ', 13: 'DISCARD', 14: 'WRITE_ZEROES',
    15: 'LIFETIME', 16: 'SECURE_ERASE', 17: 'ZONED',
}

DEVICE_FEATURES = {
    1: _NET,
    2: _BLK,
    3: {0: 'SIZE', 1: 'MULTIPORT', 2: 'EMERG_WRITE'},
    5: {0: 'MUST_TELL_HOST', 1: 'STATS_VQ', 2: 'DEFLATE_ON_OOM',
        3: 'FREE_PAGE_HINT', 4: 'PAGE_POISON', 5: 'REPORTING',
        58: 'PAGE_USAGE', 59: 'PAGE_PROTECT'},
    8: {0: 'INOUT', 1: 'HOTPLUG', 2: 'CHANGE', 3: 'T10_PI'},
    9: {0: 'MOUNT_TAG'},
    16: {0: 'VIRGL', 1: 'EDID', 2: 'RESOURCE_UUID', 3: 'RESOURCE_BLOB',
         4: 'CONTEXT_INIT'},
    19: {0: 'STREAM', 1: 'SEQPACKET', 2: 'NO_IMPLIED_STREAM'},
    20: {0: 'REVISION_1', 1: 'CIPHER_STATELESS_MODE',
         2: 'HASH_STATELESS_MODE', 3: 'MAC_STATELESS_MODE',
         4: 'AEAD_STATELESS_MODE', 5: 'AKCIPHER_STATELESS_MODE'},
    21: {0: 'MASK', 1: 'REMOTE', 3: 'LIFECYCLE', 7: 'MQ_SEND'},
    23: {0: 'INPUT_RANGE', 1: 'DOMAIN_RANGE', 2: 'MAP_UNMAP', 3: 'BYPASS',
         4: 'PROBE', 5: 'MMIO', 6: 'BYPASS_CONFIG'},
    24: {0: 'ACPI_PXM', 1: 'UNPLUGGED_INACCESSIBLE',
         2: 'PERSISTENT_SUSPEND'},
    25: {0: 'CTLS'},
    26: {0: 'NOTIFICATION'},
    27: {0: 'SHMEM_REGION'},
    32: {0: 'P2A_CHANNELS', 1: 'SHARED_MEMORY'},
    34: {0: 'ZERO_LENGTH_REQUEST'},
    40: {0: 'VND_HCI', 1: 'MSFT_EXT', 2: 'AOSP_EXT', 3: 'CONFIG_V2'},
    41: {0: 'IRQ'},
}

F_EVENT_IDX = 1 << 29
F_VERSION_1 = 1 << 32
F_RING_PACKED = 1 << 34


def _bits(value):
    return [bit for bit in range(value.bit_length()) if value >> bit & 1]


def status_words(status):
    """Status byte to words, in the order a driver sets the bits."""
    if not status:
        return ['RESET']
    order = {0: 0, 1: 1, 3: 2, 2: 3}
    bits = sorted(_bits(status), key=lambda bit: order.get(bit, bit))
    return [STATUS.get(bit, f'bit{bit}') for bit in bits]


def feature_words(features, device_id):
    """Feature bits to names; a bit nobody named prints as bitN."""
    own = DEVICE_FEATURES.get(device_id, {})
    # Legacy block and net bits overlap no transport bit, so order is free;
    # the device's own meaning wins should a standard ever reuse one.
    return [own.get(bit) or TRANSPORT_FEATURES.get(bit) or f'bit{bit}'
            for bit in _bits(features)]


def device_name(device_id):
    """Name of a virtio device ID, or a word saying that it has none."""
    return DEVICE_NAMES.get(device_id, f'virtio-device-{device_id}')
