/*
 * The ring engine's functions inside of virtio.c
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Included by virtio.c after struct VirtQueue; the functions are in
 * glue.c.inc, at its end. Each does what the public function of the same name
 * promises, for a queue of which ring_on() is true.
 */

#ifndef HW_VIRTIO_RING_GLUE_H
#define HW_VIRTIO_RING_GLUE_H

/* ring_pos of an element that the engine did not take */
#define VIRTQUEUE_NO_POS UINT16_MAX

static inline bool ring_on(const VirtQueue *vq)
{
    return vq->engine && vq->engine->on;
}

/* Is anything to be taken from the queue? See ring_failed() */
static inline bool ring_serves(const VirtRingEngine *e)
{
    return likely(!qatomic_read(&e->paused));
}

/* Note where the ring is in @caches, which nobody else sees yet */
static void ring_prepare(VirtQueue *vq, VRingMemoryRegionCaches *caches);
/* Decide whether the engine serves @vq, whose rings were set just now */
static void ring_attach(VirtQueue *vq);
/*
 * State was loaded, with elements in flight perhaps; -EINVAL if it does not
 * fit the rings. Context: RCU read lock
 */
static int ring_loaded(VirtIODevice *vdev);
static const VMStateDescription vmstate_virtio_ring_in_order;
static const VMStateDescription vmstate_virtio_labels;
/* The queue was reset; nothing of it is in flight that will be pushed */
static void ring_detach(VirtQueue *vq);
static void ring_free(VirtQueue *vq);

static void *ring_pop(VirtQueue *vq, size_t sz);
static unsigned int ring_drop_all(VirtQueue *vq);
static void ring_unpop(VirtQueue *vq, unsigned chains, unsigned ndescs);
static void ring_fill(VirtQueue *vq, const VirtQueueElement *elem,
                      unsigned int len, unsigned int idx);
static void ring_flush(VirtQueue *vq, unsigned int count);
static void ring_push(VirtQueue *vq, const VirtQueueElement *elem,
                      unsigned int len);
static void ring_set_notification(VirtQueue *vq, int enable);
static int ring_empty(VirtQueue *vq);
static bool ring_poll(VirtQueue *vq, unsigned shadow_idx);
static int ring_get_avail_bytes(VirtQueue *vq, unsigned int *in_bytes,
                                unsigned int *out_bytes,
                                unsigned max_in_bytes, unsigned max_out_bytes);
static bool ring_should_notify(VirtQueue *vq);
/*
 * The event loop, which polls, has served @vq @turns times in a row: is there
 * more? Context: the queue's thread
 */
static bool ring_linger(VirtQueue *vq, unsigned turns);

/*
 * Wait until what the thread of @vq has pushed is published and the driver was
 * notified of it. Context: the queue's thread; or BQL held, which the thread
 * never waits for in between
 */
static void ring_settle(VirtQueue *vq);

/*
 * Enable notifications of a queue that will be kicked next, from a thread that
 * need not be the queue's: that may be in the ring to complete requests. It
 * asks the driver for them when it is kicked. Context: BQL held
 */
static void ring_expect_kick(VirtQueue *vq);

/* Ask the driver for notifications, if ring_expect_kick() left that to do */
static void ring_ask_notification(VirtQueue *vq);

/* The driver has notified the device of @vq. Context: the queue's thread */
static inline void ring_kicked(VirtQueue *vq)
{
    if (vq->engine) {
        vq->engine->counters.kicks++;
        ring_ask_notification(vq);
    }
}

/* For the monitor; the caller frees what is returned. Context: BQL held */
static VirtQueueEngine *ring_query(VirtQueue *vq);
static VirtioQueueElement *ring_query_element(VirtQueue *vq, bool has_index,
                                              uint16_t index, Error **errp);

/*
 * Let go of the memory of an element, also after the queue's engine is gone.
 * Returns false if the element's memory was not mapped by the engine.
 */
static bool ring_unmap(VirtQueue *vq, const VirtQueueElement *elem,
                       unsigned int len);

#endif
