/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * page-usage: give page usage hints to a virtio-balloon, from user space
 *
 * usage: page-usage PCI_ADDRESS KEEP_MIB FREE_MIB
 *
 * Takes the balloon from the kernel, allocates and fills two pieces of memory
 * and does what lines on standard input say:
 *
 *   cold    hint the first piece as cold
 *   free    hint the second piece as free, with HELD: this program neither
 *           reads nor writes it until the reply is there
 *   check   compare the first piece with what was written to it
 *   quit    reset the device and end
 *
 * Each is answered by one line. The wire format is in
 * docs/specs/virtio-balloon-usage.rst.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/virtio_config.h>

#include "../../../include/standard-headers/linux/virtio_balloon_usage.h"
#include "virtio-uio.h"

/* Where things are in the huge page shared with the device */
#define QUEUE_AT   0
#define REPLY_AT   (256u << 10)
#define REQUEST_AT (512u << 10)

typedef struct virtio_balloon_usage_hdr Header;
typedef struct virtio_balloon_usage_range Range;
typedef struct virtio_balloon_usage_reply Reply;
typedef volatile struct virtio_balloon_usage_config UsageConfig; /* registers */

typedef struct Hinter {
    VirtioUio dev;
    UioQueue queue;
    Huge shared;
    unsigned max_ranges;
} Hinter;

/* What became of the hints of one command */
typedef struct Total {
    unsigned runs, requests, accepted;
    unsigned long pages;
} Total;

static void send_ranges(Hinter *h, unsigned count, uint8_t flags, Total *total)
{
    Header *hdr = (Header *)(h->shared.host + REQUEST_AT);
    const Reply *reply = (Reply *)(h->shared.host + REPLY_AT);
    VdrvSeg out = {
        .addr = h->shared.gpa[0] + REQUEST_AT,
        .len = sizeof(*hdr) + count * sizeof(Range),
    };
    VdrvSeg in = { .addr = h->shared.gpa[0] + REPLY_AT, .len = sizeof(Reply) };
    uint32_t len;

    memset(hdr, 0, sizeof(*hdr));
    hdr->type = VIRTIO_BALLOON_USAGE_HINT;
    hdr->flags = flags;
    hdr->count = VDRV_LE16(count);
    len = uio_request(&h->queue, out, in);
    if (len != sizeof(Reply)) {
        fail("the reply has %u bytes, status %u", len, reply->status);
    }
    if (reply->status != VIRTIO_BALLOON_USAGE_OK) {
        fail("the request was answered with status %u", reply->status);
    }
    if (VDRV_LE32(reply->accepted) != count) {
        fail("range %u of %u was rejected, reason %u",
             VDRV_LE32(reply->rejected), count, reply->reason);
    }
    total->requests++;
    total->accepted += VDRV_LE32(reply->accepted);
    total->pages += VDRV_LE32(reply->acted);
}

/* Hint all of @m, neighbouring pages in one range */
static void hint(Hinter *h, const Huge *m, uint8_t state, const char *name)
{
    uint8_t flags = state == VIRTIO_BALLOON_USAGE_FREE ?
                    VIRTIO_BALLOON_USAGE_HELD : 0;
    Range *ranges = (Range *)(h->shared.host + REQUEST_AT + sizeof(Header));
    Total total = { 0 };
    unsigned count = 0;

    for (unsigned i = 0; i < m->pages;) {
        uint64_t start = m->gpa[i], end = start;

        while (i < m->pages && m->gpa[i] == end) {
            end += HUGE_PAGE;
            i++;
        }
        ranges[count++] = (Range) {
            .gpa = VDRV_LE64(start),
            .pages = VDRV_LE32((uint32_t)((end - start) >>
                                          VIRTIO_BALLOON_USAGE_SHIFT)),
            .state = state,
        };
        total.runs++;
        if (count == h->max_ranges || i == m->pages) {
            send_ranges(h, count, flags, &total);
            count = 0;
        }
    }
    printf("%s %u runs %u requests %lu pages\n", name, total.runs,
           total.requests, total.pages);
}

static uint64_t word(uint64_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15u;
}

static void fill(const Huge *m)
{
    uint64_t *p = (uint64_t *)m->host;
    uint64_t n = (uint64_t)m->pages * HUGE_PAGE / sizeof(*p);

    for (uint64_t i = 0; i < n; i++) {
        p[i] = word(i);
    }
}

static void check(const Huge *m)
{
    const uint64_t *p = (uint64_t *)m->host;
    uint64_t n = (uint64_t)m->pages * HUGE_PAGE / sizeof(*p), sum = 0;

    for (uint64_t i = 0; i < n; i++) {
        if (p[i] != word(i)) {
            fail("word %llu of the kept memory is wrong",
                 (unsigned long long)i);
        }
        sum = (sum ^ p[i]) * 0x100000001b3u;
    }
    printf("check %016llx\n", (unsigned long long)sum);
}

static void start(Hinter *h, const char *address)
{
    const UsageConfig *config;

    huge_alloc(&h->shared, 1);
    uio_open(&h->dev, address, 1ull << VIRTIO_F_VERSION_1 |
             1ull << VIRTIO_BALLOON_F_PAGE_USAGE, VDRV_F_PACKED);
    config = (UsageConfig *)(h->dev.config + VIRTIO_BALLOON_USAGE_CONFIG);
    h->max_ranges = VDRV_LE16(config->max_ranges);
    if (!h->max_ranges) {
        fail("the device takes no ranges");
    }
    uio_queue(&h->queue, &h->dev, VDRV_LE16(config->vq_index), &h->shared,
              QUEUE_AT);
    uio_driver_ok(&h->dev);
}

int main(int argc, char **argv)
{
    unsigned keep_pages, free_pages;
    Huge keep, give;
    char line[32];
    Hinter h;

    keep_pages = argc == 4 ? atoi(argv[2]) / 2 : 0;
    free_pages = argc == 4 ? atoi(argv[3]) / 2 : 0;
    if (!keep_pages || !free_pages) {
        fail("usage: page-usage PCI_ADDRESS KEEP_MIB FREE_MIB");
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    huge_reserve(keep_pages + free_pages + 1);
    huge_alloc(&keep, keep_pages);
    huge_alloc(&give, free_pages);
    fill(&keep);
    fill(&give);
    start(&h, argv[1]);
    printf("ready %llx\n", (unsigned long long)h.dev.features);

    while (fgets(line, sizeof(line), stdin) && strcmp(line, "quit\n")) {
        if (!strcmp(line, "cold\n")) {
            hint(&h, &keep, VIRTIO_BALLOON_USAGE_COLD, "cold");
        } else if (!strcmp(line, "free\n")) {
            hint(&h, &give, VIRTIO_BALLOON_USAGE_FREE, "free");
        } else if (!strcmp(line, "check\n")) {
            check(&keep);
        } else {
            fail("unknown command '%s'", strtok(line, "\n"));
        }
    }
    uio_reset(&h.dev);
    return 0;
}
