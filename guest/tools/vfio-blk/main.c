/*
 * vfio-blk: a user-space driver for virtio-blk, well-behaved or hostile
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "blk.h"

static const char usage[] =
"usage: vfio-blk PCI-ADDRESS [--blocks N] [--slow N] [--rounds N]\n"
"                [--hostile ATTACK]...\n"
"Drives a virtio-blk device that vfio-pci has, behind the machine's IOMMU.\n"
"It WRITES to the disk.\n"
"\n"
"  --blocks N         write N blocks of 16 KiB, then read and compare (64)\n"
"  --slow N           the disk is: attack when N reads have completed (0)\n"
"  --rounds N         make each attack so often (20)\n"
"  --hostile unmap    take the buffers away while the device reads into them\n"
"  --hostile remap    ... and map other memory at their IOVAs\n"
"  --hostile close    close everything while the device reads\n"
"  --hostile reset    reset the device while it reads, take the buffers away\n"
"\n"
"After each attack the device is reset, and data must be as it was.\n"
"Exit status: 0 all as it should be; 1 not, with one message.\n";

void fail(const char *fmt, ...)
{
    va_list ap;

    fputs("vfio-blk: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

static uint8_t pattern(uint64_t block, uint32_t i)
{
    return (block * 2654435761u + i * 40503u) >> 11;
}

/* A batch of blocks from @first: one request for each slot */
static void transfer(Blk *b, bool write, uint64_t first, unsigned count)
{
    unsigned errors;

    for (unsigned slot = 0; slot < count; slot++) {
        blk_submit(b, slot, write, (first + slot) * (BLK_DATA / BLK_SECTOR),
                   BLK_DATA);
    }
    blk_kick(b);
    if (!blk_settle(b, 0, &errors) || errors) {
        fail("%s of block %llu failed", write ? "a write" : "a read",
             (unsigned long long)first);
    }
}

static void write_blocks(Blk *b, uint64_t blocks)
{
    for (uint64_t first = 0; first < blocks; first += BLK_SLOTS) {
        unsigned count = blocks - first < BLK_SLOTS ? blocks - first :
                                                      BLK_SLOTS;

        for (uint64_t i = 0; i < (uint64_t)count * BLK_DATA; i++) {
            b->data[i] = pattern(first + i / BLK_DATA, i % BLK_DATA);
        }
        transfer(b, true, first, count);
    }
}

static void check_blocks(Blk *b, uint64_t blocks)
{
    for (uint64_t first = 0; first < blocks; first += BLK_SLOTS) {
        unsigned count = blocks - first < BLK_SLOTS ? blocks - first :
                                                      BLK_SLOTS;

        memset(b->data, 0, BLK_DATA_SIZE);
        transfer(b, false, first, count);
        for (uint64_t i = 0; i < (uint64_t)count * BLK_DATA; i++) {
            uint8_t want = pattern(first + i / BLK_DATA, i % BLK_DATA);

            if (b->data[i] != want) {
                fail("block %llu, byte %llu is 0x%02x, not 0x%02x",
                     (unsigned long long)(first + i / BLK_DATA),
                     (unsigned long long)(i % BLK_DATA), b->data[i], want);
            }
        }
    }
}

/* So many reads are waited for before an attack */
static unsigned completed_first;
static unsigned rounds = 20;

/* Reads into all slots, shown to the device and not waited for */
static void start_reads(Blk *b)
{
    unsigned errors;

    for (unsigned slot = 0; slot < BLK_SLOTS; slot++) {
        blk_submit(b, slot, false, slot * (BLK_DATA / BLK_SECTOR), BLK_DATA);
    }
    blk_kick(b);
    blk_settle(b, BLK_SLOTS - completed_first, &errors);
}

/* How many of @size bytes are not @byte */
static uint64_t changed(const uint8_t *mem, uint8_t byte, uint64_t size)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < size; i++) {
        n += mem[i] != byte;
    }
    return n;
}

/*
 * Take the buffers away during reads. What is written to the memory after
 * the unmap has returned is told, and is no failure of the program: see the
 * page on user-space drivers.
 */
static void attack_unmap(Blk *b, bool remap)
{
    uint64_t late = 0;
    unsigned errors;

    for (unsigned round = 0; round < rounds; round++) {
        uint8_t *old = b->data;

        start_reads(b);
        vfio_unmap(&b->vfio, BLK_DATA_IOVA, BLK_DATA_SIZE);
        memset(old, 0x5a, BLK_DATA_SIZE);
        if (remap) {
            b->data = mmap(NULL, BLK_DATA_SIZE, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
            if (b->data == MAP_FAILED) {
                fail("no memory");
            }
            vfio_map(&b->vfio, b->data, BLK_DATA_IOVA, BLK_DATA_SIZE);
        }
        blk_settle(b, 0, &errors);
        late += changed(old, 0x5a, BLK_DATA_SIZE);
        if (remap) {
            /* Requests made from now on must not find the old memory. */
            blk_restart(b);
            memset(old, 0x5a, BLK_DATA_SIZE);
            check_blocks(b, BLK_SLOTS);
            if (changed(old, 0x5a, BLK_DATA_SIZE)) {
                fail("a stale translation was used");
            }
            munmap(old, BLK_DATA_SIZE);
        } else {
            vfio_map(&b->vfio, b->data, BLK_DATA_IOVA, BLK_DATA_SIZE);
            blk_restart(b);
            check_blocks(b, BLK_SLOTS);
        }
    }
    printf("hostile %s: %u rounds, %llu bytes written after the unmap\n",
           remap ? "remap" : "unmap", rounds,
           (unsigned long long)late);
}

/* After a reset nothing is written to memory that was the device's. */
static void attack_reset(Blk *b)
{
    for (unsigned round = 0; round < rounds; round++) {
        start_reads(b);
        blk_stop(b);
        vfio_unmap(&b->vfio, BLK_DATA_IOVA, BLK_DATA_SIZE);
        memset(b->data, 0x5a, BLK_DATA_SIZE);
        if (changed(b->data, 0x5a, BLK_DATA_SIZE)) {
            fail("a device that was reset has written to memory");
        }
        vfio_map(&b->vfio, b->data, BLK_DATA_IOVA, BLK_DATA_SIZE);
        blk_restart(b);
        check_blocks(b, BLK_SLOTS);
    }
    printf("hostile reset: %u rounds\n", rounds);
}

static void attack_close(Blk *b, const char *bdf)
{
    for (unsigned round = 0; round < rounds; round++) {
        start_reads(b);
        blk_close(b);
        blk_open(b, bdf);
        check_blocks(b, BLK_SLOTS);
    }
    printf("hostile close: %u rounds\n", rounds);
}

int main(int argc, char **argv)
{
    const char *bdf = argc > 1 ? argv[1] : "--help";
    uint64_t blocks = 64;
    static Blk b;

    if (bdf[0] == '-') {
        fputs(usage, strcmp(bdf, "--help") ? stderr : stdout);
        return strcmp(bdf, "--help") != 0;
    }
    for (int i = 2; i < argc; i += 2) {
        bool known = i + 1 < argc &&
                     (!strcmp(argv[i], "--blocks") ||
                      !strcmp(argv[i], "--slow") ||
                      !strcmp(argv[i], "--rounds") ||
                      (!strcmp(argv[i], "--hostile") &&
                       (!strcmp(argv[i + 1], "unmap") ||
                        !strcmp(argv[i + 1], "remap") ||
                        !strcmp(argv[i + 1], "reset") ||
                        !strcmp(argv[i + 1], "close"))));

        if (!known) {
            fail("%s is not understood; try --help", argv[i]);
        }
        if (!strcmp(argv[i], "--blocks")) {
            blocks = strtoull(argv[i + 1], NULL, 0);
        } else if (!strcmp(argv[i], "--slow")) {
            completed_first = strtoul(argv[i + 1], NULL, 0);
        } else if (!strcmp(argv[i], "--rounds")) {
            rounds = strtoul(argv[i + 1], NULL, 0);
        }
    }

    if (completed_first >= BLK_SLOTS) {
        fail("--slow %u: less than %u", completed_first, BLK_SLOTS);
    }
    blk_open(&b, bdf);
    if (blocks < BLK_SLOTS || b.sectors / (BLK_DATA / BLK_SECTOR) < blocks) {
        fail("--blocks %llu: from %u to the %llu of the disk",
             (unsigned long long)blocks, BLK_SLOTS,
             (unsigned long long)b.sectors / (BLK_DATA / BLK_SECTOR));
    }
    write_blocks(&b, blocks);
    check_blocks(&b, blocks);
    printf("%llu KiB written and read back, %s ring, IOMMU group %d, "
           "features 0x%llx\n", (unsigned long long)blocks * BLK_DATA / 1024,
           b.vq.packed ? "packed" : "split", b.vfio.group_number,
           (unsigned long long)b.features);
    for (int i = 2; i < argc; i += 2) {
        if (!strcmp(argv[i], "--hostile")) {
            if (!strcmp(argv[i + 1], "close")) {
                attack_close(&b, bdf);
            } else if (!strcmp(argv[i + 1], "reset")) {
                attack_reset(&b);
            } else {
                attack_unmap(&b, !strcmp(argv[i + 1], "remap"));
            }
        }
    }
    check_blocks(&b, blocks);
    blk_close(&b);
    return 0;
}
