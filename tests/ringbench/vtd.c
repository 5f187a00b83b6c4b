/*
 * vring-bench: VT-d, with a mapping that stays or one for each request.
 *
 * Copyright (c) 2026 Vadis contributors
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>
#include "bench.h"

/* Registers of the unit that QEMU's q35 has (VT-d specification, chapter 10) */
#define VTD_BASE    0xfed90000u
#define REG_GCMD    0x18
#define REG_GSTS    0x1c
#define REG_RTADDR  0x20
#define REG_CCMD    0x28
#define REG_IQT     0x88
#define REG_IQA     0x90
#define REG_IOTLB   0xf8

#define CMD_TE      0x80000000u
#define CMD_SRTP    0x40000000u
#define CMD_QIE     0x04000000u
/* Of the upper halves: go, for everything */
#define CCMD_GLOBAL 0xa0000000u
#define IOTLB_GLOBAL 0x90000000u

#define PAGE        4096u
#define ENTRIES     512u
#define PTE_RW      3u
#define AW_39_BITS  1u
#define DOMAIN      1u

/* Invalidation queue (6.5.2): 2^(8 + size) descriptors of two words */
#define QUEUE_SIZE  2u
#define DESCRIPTORS (256u << QUEUE_SIZE)
#define INV_IOTLB   2u
#define INV_PAGE    (3u << 4)
#define INV_DRAIN   (3u << 6)
#define INV_WAIT    5u
#define WAIT_STATUS (1u << 5)
#define WAIT_ANSWERS 100000

static void write64(QTestClient *q, unsigned reg, uint64_t value)
{
    qtest_write(q, VTD_BASE + reg, 4, value);
    qtest_write(q, VTD_BASE + reg + 4, 4, value >> 32);
}

/* QEMU carries a command out before the write returns. */
static void command(QTestClient *q, uint32_t bit)
{
    uint32_t status = qtest_read(q, VTD_BASE + REG_GSTS, 4);

    qtest_write(q, VTD_BASE + REG_GCMD, 4, (status & CMD_TE) | bit);
    if (!(qtest_read(q, VTD_BASE + REG_GSTS, 4) & bit)) {
        bench_fail(BENCH_EXIT_UNSUPPORTED, "there is no VT-d: give QEMU "
                   "-device intel-iommu before the other devices");
    }
}

/* All of RAM one to one, in single pages */
static uint64_t page_tables(Vtd *vtd, GuestRam *ram)
{
    uint64_t top = guest_ram_alloc(ram, PAGE, PAGE);
    uint64_t middle = guest_ram_alloc(ram, PAGE, PAGE);
    unsigned tables = (ram->size + ENTRIES * PAGE - 1) / (ENTRIES * PAGE);
    uint64_t low = guest_ram_alloc(ram, (uint64_t)tables * PAGE, PAGE);

    *(uint64_t *)guest_ram_ptr(ram, top) = middle | PTE_RW;
    for (unsigned i = 0; i < tables; i++) {
        ((uint64_t *)guest_ram_ptr(ram, middle))[i] =
            (low + (uint64_t)i * PAGE) | PTE_RW;
    }
    vtd->entry = guest_ram_ptr(ram, low);
    vtd_map(vtd, 0, (uint64_t)tables * ENTRIES * PAGE);
    return top;
}

static void start_queue(Vtd *vtd, GuestRam *ram)
{
    uint64_t queue = guest_ram_alloc(ram, DESCRIPTORS * 16, PAGE);

    vtd->queue = guest_ram_ptr(ram, queue);
    vtd->status_at = guest_ram_alloc(ram, sizeof(*vtd->status), PAGE);
    vtd->status = guest_ram_ptr(ram, vtd->status_at);
    write64(vtd->q, REG_IQT, 0);
    write64(vtd->q, REG_IQA, queue | QUEUE_SIZE);
    command(vtd->q, CMD_QIE);
}

void vtd_map_all(Vtd *vtd, QTestClient *q, GuestRam *ram)
{
    uint64_t root = guest_ram_alloc(ram, PAGE, PAGE);
    uint64_t context = guest_ram_alloc(ram, PAGE, PAGE);
    uint64_t *entry = guest_ram_ptr(ram, context), top;

    *vtd = (Vtd) { .q = q };
    top = page_tables(vtd, ram);
    *(uint64_t *)guest_ram_ptr(ram, root) = context | 1;
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        entry[2 * devfn] = top | 1;
        entry[2 * devfn + 1] = AW_39_BITS | DOMAIN << 8;
    }
    write64(q, REG_RTADDR, root);
    command(q, CMD_SRTP);
    write64(q, REG_CCMD, (uint64_t)CCMD_GLOBAL << 32);
    write64(q, REG_IOTLB, (uint64_t)IOTLB_GLOBAL << 32);
    command(q, CMD_TE);
    start_queue(vtd, ram);
}

void vtd_map(Vtd *vtd, uint64_t gpa, uint64_t len)
{
    for (uint64_t page = gpa / PAGE; page <= (gpa + len - 1) / PAGE; page++) {
        __atomic_store_n(&vtd->entry[page], page * PAGE | PTE_RW,
                         __ATOMIC_RELEASE);
    }
}

static void put(Vtd *vtd, uint64_t low, uint64_t high)
{
    vtd->queue[2 * vtd->tail] = low;
    vtd->queue[2 * vtd->tail + 1] = high;
    vtd->tail = (vtd->tail + 1) % DESCRIPTORS;
    vtd->waiting++;
}

void vtd_unmap(Vtd *vtd, uint64_t gpa, uint64_t len)
{
    for (uint64_t page = gpa / PAGE; page <= (gpa + len - 1) / PAGE; page++) {
        /* One for vtd_sync(), and one stays free */
        if (vtd->waiting == DESCRIPTORS - 2) {
            vtd_sync(vtd);
        }
        __atomic_store_n(&vtd->entry[page], 0, __ATOMIC_RELEASE);
        put(vtd, INV_IOTLB | INV_PAGE | INV_DRAIN | DOMAIN << 16, page * PAGE);
    }
}

void vtd_sync(Vtd *vtd)
{
    vtd->stamp++;
    put(vtd, INV_WAIT | WAIT_STATUS | (uint64_t)vtd->stamp << 32,
        vtd->status_at);
    qtest_write(vtd->q, VTD_BASE + REG_IQT, 4, vtd->tail * 16);
    vtd->waiting = 0;
    /* As a rule it is there already; else the main loop gets its turn. */
    for (int i = 0; __atomic_load_n(vtd->status, __ATOMIC_ACQUIRE) !=
                    vtd->stamp; i++) {
        if (i == WAIT_ANSWERS) {
            bench_fail(BENCH_EXIT_DEVICE, "VT-d does not come to the end of "
                       "its invalidation queue");
        }
        qtest_read(vtd->q, VTD_BASE + REG_GSTS, 4);
    }
}
