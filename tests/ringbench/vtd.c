/*
 * vring-bench: VT-d with a mapping that stays.
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
#define REG_IOTLB   0xf8

#define CMD_TE      0x80000000u
#define CMD_SRTP    0x40000000u
/* Of the upper halves: go, for everything */
#define CCMD_GLOBAL 0xa0000000u
#define IOTLB_GLOBAL 0x90000000u

#define PAGE        4096u
#define ENTRIES     512u
#define PTE_RW      3u
#define AW_39_BITS  1u
#define DOMAIN      1u

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
static uint64_t page_tables(GuestRam *ram)
{
    uint64_t top = guest_ram_alloc(ram, PAGE, PAGE);
    uint64_t middle = guest_ram_alloc(ram, PAGE, PAGE);
    unsigned tables = (ram->size + ENTRIES * PAGE - 1) / (ENTRIES * PAGE);

    *(uint64_t *)guest_ram_ptr(ram, top) = middle | PTE_RW;
    for (unsigned i = 0; i < tables; i++) {
        uint64_t low = guest_ram_alloc(ram, PAGE, PAGE);
        uint64_t *entry = guest_ram_ptr(ram, low);

        ((uint64_t *)guest_ram_ptr(ram, middle))[i] = low | PTE_RW;
        for (unsigned j = 0; j < ENTRIES; j++) {
            entry[j] = ((uint64_t)i * ENTRIES + j) * PAGE | PTE_RW;
        }
    }
    return top;
}

void vtd_map_all(QTestClient *q, GuestRam *ram)
{
    uint64_t root = guest_ram_alloc(ram, PAGE, PAGE);
    uint64_t context = guest_ram_alloc(ram, PAGE, PAGE);
    uint64_t top = page_tables(ram);
    uint64_t *entry = guest_ram_ptr(ram, context);

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
}
