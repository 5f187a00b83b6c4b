/*
 * virtio-crypto: serving a queue
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "state.h"

/* A pass that did this much gives way to the rest of the event loop. */
#define PASS_REQUESTS 256
#define PASS_BYTES (4 * MiB)

bool vcrypto_may_serve(VirtIOCryptoState *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s->dev);

    return vdev->vm_running && (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK);
}

bool vcrypto_writes_ram(VCryptoQueue *q, const VirtQueueElement *elem)
{
    if (!virtqueue_element_is_ram(elem)) {
        virtio_error(VIRTIO_DEVICE(q->state->dev), "%s: queue %u: request %u "
                     "has a writable buffer outside of RAM", q->state->name,
                     virtio_get_queue_index(q->vq), elem->index);
        return false;
    }
    return true;
}

/* A session can be made and destroyed whatever data requests wait for. */
static bool held_up(VCryptoQueue *q)
{
    VirtIOCryptoState *s = q->state;

    return s->staged >= VCRYPTO_STAGED_MAX && q->vq != s->dev->ctrl_vq;
}

void vcrypto_serve(VCryptoQueue *q, VCryptoNext *next)
{
    VirtIOCryptoState *s = q->state;
    unsigned requests = 0, before;
    uint64_t bytes = 0;
    bool first = true, over, more, again;

    if (!vcrypto_may_serve(s)) {
        return;
    }
    q->serving = true;
    do {
        before = requests;
        virtio_queue_set_notification(q->vq, 0);
        do {
            over = requests >= PASS_REQUESTS || bytes >= PASS_BYTES ||
                   held_up(q);
        } while (!over && next(q, &bytes) && ++requests);
        virtio_queue_set_notification(q->vq, 1);
        /*
         * What came while notifications were off brings no kick. A ring that
         * is not empty and gives out nothing is left alone.
         */
        more = !virtio_queue_empty(q->vq);
        again = more && !over && (requests > before || first);
        first = false;
    } while (again);
    q->serving = false;
    if (q->completed) {
        q->completed = false;
        virtio_notify(VIRTIO_DEVICE(s->dev), q->vq);
    }
    if (more && over && !held_up(q)) {
        qemu_bh_schedule(q->bh);
    }
}
