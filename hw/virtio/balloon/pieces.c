/*
 * virtio-balloon: parts of large host pages
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/virtio/virtio-balloon-usage.h"
#include "qemu/bitmap.h"
#include "standard-headers/linux/virtio_balloon.h"
#include "trace.h"

static void pieces_forget(RAMBlockNotifier *n, void *host, size_t size,
                          size_t max_size)
{
    BalloonPieces *p = container_of(n, BalloonPieces, notifier);

    g_hash_table_remove(p->blocks, host);
}

void balloon_pieces_init(BalloonPieces *p)
{
    p->blocks = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    p->notifier.ram_block_removed = pieces_forget;
    p->notifier.ram_block_resized = pieces_forget;
    ram_block_notifier_add(&p->notifier);
}

void balloon_pieces_cleanup(BalloonPieces *p)
{
    ram_block_notifier_remove(&p->notifier);
    g_clear_pointer(&p->blocks, g_hash_table_destroy);
}

void balloon_pieces_clear(BalloonPieces *p)
{
    g_hash_table_remove_all(p->blocks);
}

void balloon_pieces_acknowledge(BalloonPieces *p, VirtIODevice *vdev)
{
    if (balloon_pieces_any(p) &&
        !virtio_vdev_has_feature(vdev, VIRTIO_BALLOON_F_MUST_TELL_HOST)) {
        balloon_pieces_clear(p);
    }
}

bool balloon_pieces_any(const BalloonPieces *p)
{
    return g_hash_table_size(p->blocks);
}

void balloon_pieces_inflate(BalloonPieces *p, RAMBlock *rb, ram_addr_t offset)
{
    unsigned long pieces = rb->page_size >> VIRTIO_BALLOON_USAGE_SHIFT;
    unsigned long piece = offset >> VIRTIO_BALLOON_USAGE_SHIFT;
    unsigned long first = QEMU_ALIGN_DOWN(piece, pieces);
    unsigned long *map = g_hash_table_lookup(p->blocks, rb->host);

    if (!map) {
        map = bitmap_new(rb->max_length >> VIRTIO_BALLOON_USAGE_SHIFT);
        g_hash_table_insert(p->blocks, rb->host, map);
    }
    if (test_and_set_bit(piece, map) ||
        find_next_zero_bit(map, first + pieces, first) < first + pieces) {
        return;
    }
    /*
     * The bits stay, for they say what is in the balloon: a part that leaves
     * and comes back makes the page whole again. An error has been reported
     * and costs memory only.
     */
    trace_balloon_pieces_discard(rb->idstr, QEMU_ALIGN_DOWN(offset,
                                                            rb->page_size),
                                 rb->page_size);
    ram_block_discard_range(rb, QEMU_ALIGN_DOWN(offset, rb->page_size),
                            rb->page_size);
}

void balloon_pieces_deflate(BalloonPieces *p, MemoryRegion *mr,
                            ram_addr_t offset)
{
    unsigned long *map = g_hash_table_lookup(p->blocks, mr->ram_block->host);

    if (map) {
        clear_bit(offset >> VIRTIO_BALLOON_USAGE_SHIFT, map);
    }
}
