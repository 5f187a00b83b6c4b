/*
 * vring-bench: the modern virtio-pci transport, set up over qtest.
 *
 * Copyright (c) 2026 Vadis contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>
#include <string.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include "../../include/standard-headers/linux/virtio_labels.h"
#include "bench.h"

#define PCI_CONFIG_ADDRESS 0xcf8
#define PCI_CONFIG_DATA 0xcfc
#define PCI_BARS 6

/*
 * No firmware ran, so the BARs are ours to place: each slot gets its own
 * window in the PCI hole, which on q35 spans this whole range.
 */
#define MMIO_BASE 0xe0000000u
#define MMIO_PER_SLOT 0x00800000u

#define STATUS_FAILURE \
    (VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)

static uint32_t config_read32(VirtioPci *d, unsigned offset)
{
    qtest_out32(d->q, PCI_CONFIG_ADDRESS,
                0x80000000u | d->slot << 11 | (offset & ~3u));
    return qtest_in32(d->q, PCI_CONFIG_DATA);
}

static void config_write32(VirtioPci *d, unsigned offset, uint32_t value)
{
    qtest_out32(d->q, PCI_CONFIG_ADDRESS,
                0x80000000u | d->slot << 11 | (offset & ~3u));
    qtest_out32(d->q, PCI_CONFIG_DATA, value);
}

static unsigned config_read8(VirtioPci *d, unsigned offset)
{
    return config_read32(d, offset) >> (offset & 3) * 8 & 0xff;
}

static unsigned config_read16(VirtioPci *d, unsigned offset)
{
    return config_read32(d, offset) >> (offset & 2) * 8 & 0xffff;
}

/* Size and place every memory BAR; addr[] gets their addresses. */
static void map_bars(VirtioPci *d, uint64_t *addr)
{
    uint32_t next = MMIO_BASE + d->slot * MMIO_PER_SLOT;

    for (int i = 0; i < PCI_BARS; i++) {
        unsigned reg = PCI_BASE_ADDRESS_0 + 4 * i;
        uint32_t size;
        bool wide;

        addr[i] = 0;
        config_write32(d, reg, ~0u);
        size = config_read32(d, reg);
        if (!size || (size & PCI_BASE_ADDRESS_SPACE_IO)) {
            continue;
        }
        wide = (size & PCI_BASE_ADDRESS_MEM_TYPE_MASK) ==
               PCI_BASE_ADDRESS_MEM_TYPE_64;
        size = ~(size & ~0xfu) + 1;
        next = (next + size - 1) & ~(size - 1);
        if (next + size > MMIO_BASE + (d->slot + 1) * MMIO_PER_SLOT) {
            bench_fail(BENCH_EXIT_DEVICE, "BAR %d of slot %u has %u bytes, "
                       "more than this program places", i, d->slot, size);
        }
        config_write32(d, reg, next);
        addr[i] = next;
        next += size;
        if (wide) {
            config_write32(d, reg + 4, 0);
            i++;
            addr[i] = 0;
        }
    }
}

/* Where a virtio capability says its registers are. */
static uint64_t capability_address(VirtioPci *d, unsigned cap,
                                   const uint64_t *bars)
{
    unsigned bar = config_read8(d, cap + VIRTIO_PCI_CAP_BAR);

    if (bar >= PCI_BARS || !bars[bar]) {
        bench_fail(BENCH_EXIT_DEVICE, "a virtio capability of slot %u names "
                   "BAR %u, which is no memory BAR", d->slot, bar);
    }
    return bars[bar] + config_read32(d, cap + VIRTIO_PCI_CAP_OFFSET);
}

#define LABELS(field) offsetof(struct virtio_pci_labels_cap, field)

/* A vendor's data: is it the format that we know? */
static void vendor_capability(VirtioPci *d, unsigned cap)
{
    if (config_read16(d, cap + LABELS(vendor_id)) == VIRTIO_LABELS_VENDOR_ID &&
        config_read16(d, cap + LABELS(version)) == VIRTIO_LABELS_VERSION &&
        config_read32(d, cap + LABELS(magic)) == VIRTIO_LABELS_MAGIC) {
        d->labels_cap = cap;
    }
}

void virtio_pci_accept_labels(VirtioPci *d)
{
    unsigned at = d->labels_cap + LABELS(accepted);

    if (!d->labels_cap) {
        bench_fail(BENCH_EXIT_UNSUPPORTED, "slot %u does not offer batch "
                   "labels; give the device x-batch-labels=on", d->slot);
    }
    config_write32(d, at, VIRTIO_LABELS_BATCH);
    if (config_read32(d, at) != VIRTIO_LABELS_BATCH) {
        bench_fail(BENCH_EXIT_DEVICE, "slot %u offers batch labels and does "
                   "not take them", d->slot);
    }
}

static void virtio_capability(VirtioPci *d, unsigned cap, const uint64_t *bars)
{
    switch (config_read8(d, cap + VIRTIO_PCI_CAP_CFG_TYPE)) {
    case VIRTIO_PCI_CAP_COMMON_CFG:
        d->common = capability_address(d, cap, bars);
        break;
    case VIRTIO_PCI_CAP_NOTIFY_CFG:
        d->notify = capability_address(d, cap, bars);
        d->notify_multiplier =
            config_read32(d, cap + VIRTIO_PCI_NOTIFY_CAP_MULT);
        break;
    case VIRTIO_PCI_CAP_DEVICE_CFG:
        d->device_cfg = capability_address(d, cap, bars);
        break;
    case VIRTIO_LABELS_CFG_TYPE:
        vendor_capability(d, cap);
        break;
    default:
        break;
    }
}

static void msix_capability(VirtioPci *d, unsigned cap, const uint64_t *bars)
{
    uint32_t table = config_read32(d, cap + PCI_MSIX_TABLE);
    unsigned bar = table & PCI_MSIX_TABLE_BIR;

    if (bar < PCI_BARS && bars[bar]) {
        d->msix_table = bars[bar] + (table & PCI_MSIX_TABLE_OFFSET);
        config_write32(d, cap, config_read32(d, cap) |
                       (uint32_t)PCI_MSIX_FLAGS_ENABLE << 16);
    }
}

static void walk_capabilities(VirtioPci *d, const uint64_t *bars)
{
    unsigned cap = config_read8(d, PCI_CAPABILITY_LIST) & ~3u;

    /* A configuration space holds at most 48 capabilities: no endless list. */
    for (int i = 0; cap && i < 48; i++) {
        switch (config_read8(d, cap)) {
        case PCI_CAP_ID_VNDR:
            virtio_capability(d, cap, bars);
            break;
        case PCI_CAP_ID_MSIX:
            msix_capability(d, cap, bars);
            break;
        default:
            break;
        }
        cap = config_read8(d, cap + PCI_CAP_LIST_NEXT) & ~3u;
    }
    if (!d->common || !d->notify) {
        bench_fail(BENCH_EXIT_DEVICE, "slot %u has no modern virtio registers; "
                   "use disable-legacy=on", d->slot);
    }
}

static uint32_t common_read(VirtioPci *d, unsigned reg, int bytes)
{
    return qtest_read(d->q, d->common + reg, bytes);
}

static void common_write(VirtioPci *d, unsigned reg, int bytes, uint32_t value)
{
    qtest_write(d->q, d->common + reg, bytes, value);
}

static void common_write64(VirtioPci *d, unsigned reg, uint64_t value)
{
    common_write(d, reg, 4, value);
    common_write(d, reg + 4, 4, value >> 32);
}

uint8_t virtio_pci_status(VirtioPci *d)
{
    return common_read(d, VIRTIO_PCI_COMMON_STATUS, 1);
}

void virtio_pci_reset(VirtioPci *d)
{
    common_write(d, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    /*
     * A device may take its time (virtio 1.2, 2.4.1); each read is a round
     * trip through QEMU's main loop, which is what a reset needs to go on.
     */
    for (int i = 0; virtio_pci_status(d); i++) {
        if (i == 100000) {
            bench_fail(BENCH_EXIT_DEVICE, "slot %u does not come out of "
                       "reset: status 0x%x", d->slot, virtio_pci_status(d));
        }
    }
}

void virtio_pci_open(VirtioPci *d, QTestClient *q, unsigned slot,
                     unsigned virtio_id)
{
    uint64_t bars[PCI_BARS];
    uint32_t id;

    memset(d, 0, sizeof(*d));
    d->q = q;
    d->slot = slot;
    id = config_read32(d, PCI_VENDOR_ID);
    d->device_id = (id >> 16) - 0x1040;
    if ((id & 0xffff) != 0x1af4 || d->device_id != virtio_id) {
        bench_fail(BENCH_EXIT_USAGE, "slot %u holds PCI device %04x:%04x, not "
                   "a modern virtio device of ID %u; check addr= and "
                   "disable-legacy=on", slot, id & 0xffff, id >> 16, virtio_id);
    }
    map_bars(d, bars);
    config_write32(d, PCI_COMMAND,
                   (config_read16(d, PCI_COMMAND)) |
                   PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    walk_capabilities(d, bars);

    virtio_pci_reset(d);
    common_write(d, VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    common_write(d, VIRTIO_PCI_COMMON_STATUS, 1,
                 VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    for (unsigned half = 0; half < 2; half++) {
        common_write(d, VIRTIO_PCI_COMMON_DFSELECT, 4, half);
        d->offered |= (uint64_t)common_read(d, VIRTIO_PCI_COMMON_DF, 4) <<
                      32 * half;
    }
}

void virtio_pci_negotiate(VirtioPci *d, uint64_t features)
{
    uint64_t missing = features & ~d->offered;

    if (missing) {
        bench_fail(BENCH_EXIT_UNSUPPORTED, "slot %u does not offer feature "
                   "bits 0x%" PRIx64 " (offered: 0x%" PRIx64 "); give the "
                   "device packed=on,in_order=on", d->slot, missing,
                   d->offered);
    }
    for (unsigned half = 0; half < 2; half++) {
        common_write(d, VIRTIO_PCI_COMMON_GFSELECT, 4, half);
        common_write(d, VIRTIO_PCI_COMMON_GF, 4, features >> 32 * half);
    }
    common_write(d, VIRTIO_PCI_COMMON_STATUS, 1,
                 VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                 VIRTIO_CONFIG_S_FEATURES_OK);
    if (!(virtio_pci_status(d) & VIRTIO_CONFIG_S_FEATURES_OK)) {
        bench_fail(BENCH_EXIT_DEVICE, "slot %u refused features 0x%" PRIx64,
                   d->slot, features);
    }
    d->negotiated = features;
}

void virtio_pci_select(VirtioPci *d, unsigned vq)
{
    common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, 2, vq);
}

unsigned virtio_pci_queue_max(VirtioPci *d, unsigned vq)
{
    virtio_pci_select(d, vq);
    return common_read(d, VIRTIO_PCI_COMMON_Q_SIZE, 2);
}

uint64_t virtio_pci_queue_setup(VirtioPci *d, unsigned vq, unsigned size,
                                uint64_t desc, uint64_t driver,
                                uint64_t device, uint64_t msi_addr,
                                uint32_t msi_data)
{
    unsigned max = virtio_pci_queue_max(d, vq);
    uint32_t off;

    if (max < size) {
        bench_fail(BENCH_EXIT_UNSUPPORTED, "queue %u of slot %u has at most %u "
                   "entries, not %u", vq, d->slot, max, size);
    }
    common_write(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, size);
    common_write64(d, VIRTIO_PCI_COMMON_Q_DESCLO, desc);
    common_write64(d, VIRTIO_PCI_COMMON_Q_AVAILLO, driver);
    common_write64(d, VIRTIO_PCI_COMMON_Q_USEDLO, device);
    if (msi_addr && d->msix_table) {
        uint64_t entry = d->msix_table + vq * PCI_MSIX_ENTRY_SIZE;

        qtest_write(d->q, entry + PCI_MSIX_ENTRY_LOWER_ADDR, 4, msi_addr);
        qtest_write(d->q, entry + PCI_MSIX_ENTRY_UPPER_ADDR, 4, msi_addr >> 32);
        qtest_write(d->q, entry + PCI_MSIX_ENTRY_DATA, 4, msi_data);
        qtest_write(d->q, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
        common_write(d, VIRTIO_PCI_COMMON_Q_MSIX, 2, vq);
        if (common_read(d, VIRTIO_PCI_COMMON_Q_MSIX, 2) != vq) {
            bench_fail(BENCH_EXIT_DEVICE, "slot %u has no MSI-X vector for "
                       "queue %u; give the device vectors=%u or more", d->slot,
                       vq, vq + 1);
        }
    }
    common_write(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
    off = common_read(d, VIRTIO_PCI_COMMON_Q_NOFF, 2);
    return d->notify + (uint64_t)off * d->notify_multiplier;
}

void virtio_pci_driver_ok(VirtioPci *d)
{
    uint8_t status = virtio_pci_status(d) | VIRTIO_CONFIG_S_DRIVER_OK;

    common_write(d, VIRTIO_PCI_COMMON_STATUS, 1, status);
    status = virtio_pci_status(d);
    if ((status & STATUS_FAILURE) || !(status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        bench_fail(BENCH_EXIT_DEVICE, "slot %u did not start: status 0x%x",
                   d->slot, status);
    }
}
