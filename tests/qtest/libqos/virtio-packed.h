/*
 * libqos packed virtqueue driver
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A virtqueue set up after VIRTIO_F_RING_PACKED was negotiated gets the
 * operations declared here, and the ordinary calls of libqos/virtio.h
 * (qvirtqueue_add(), qvirtqueue_kick(), qvirtqueue_get_buf(), ...) drive a
 * packed ring: a test written for the split ring runs on either.
 *
 * How the calls map onto the ring (virtio 1.3, section 2.8):
 *
 *  - qvirtqueue_add() writes one descriptor at the next ring position. All
 *    descriptors of one chain return the same token, which is the chain's
 *    buffer id. The chain ends with the add that passes next == false.
 *  - The head's flags are withheld until qvirtqueue_kick(token), so the device
 *    sees a chain whole or not at all. qvirtqueue_packed_publish() does the
 *    same without a notification, so that a test can batch.
 *  - The buffer id stands in the last descriptor only, as the standard says;
 *    the others carry an id that is no buffer's. Ids are recycled in an order
 *    that differs from ring order, so that a device that takes the id from the
 *    wrong place, or assumes that it equals the position, is found out.
 *  - qvirtqueue_get_buf() returns tokens and gives the descriptors back.
 *
 * The device is not trusted: every used descriptor must name a buffer that is
 * in flight, or the test fails at once.
 *
 * Why this does not share code with the device side or with the guest
 * library: a test driver that shared its ring code with what it tests would
 * share its misunderstandings too.
 */

#ifndef LIBQOS_VIRTIO_PACKED_H
#define LIBQOS_VIRTIO_PACKED_H

#include "virtio.h"

#define QVRING_PACKED_DESC_SIZE     16u

/* What a descriptor that is not the last of its chain carries as its id. */
#define QVRING_PACKED_NO_ID         0xbad1u

/**
 * QVRingPackedDesc: one descriptor of a packed ring or of a packed indirect
 * table, in host byte order (virtio 1.3, section 2.8.14).
 */
typedef struct QVRingPackedDesc {
    uint64_t addr;
    uint32_t len;
    uint16_t id;
    uint16_t flags;
} QVRingPackedDesc;

/**
 * QVRingPackedEvent: an event suppression structure in host byte order
 * (virtio 1.3, section 2.8.14). @flags is one of VRING_PACKED_EVENT_FLAG_*.
 */
typedef struct QVRingPackedEvent {
    uint16_t off;
    bool wrap;
    uint16_t flags;
} QVRingPackedEvent;

/**
 * qvirtqueue_packed_publish:
 * @id: the token of a chain that is complete and not yet published
 *
 * Make a chain available without notifying the device. Chains may be published
 * in any order; the device stops at the first that is not, so publishing the
 * first of a batch last shows the batch all at once.
 */
void qvirtqueue_packed_publish(QTestState *qts, QVirtQueue *vq, uint32_t id);

/**
 * qvirtqueue_packed_should_notify:
 * @id: the token of the chain published last, in ring order
 * @num_descs: how many descriptors, counted back from the end of that chain,
 *             were published since the device's event area was last looked at
 *
 * Returns: whether the device asked for a notification for any of these.
 */
bool qvirtqueue_packed_should_notify(QTestState *qts, QVirtQueue *vq,
                                     uint32_t id, unsigned num_descs);

/**
 * qvirtqueue_packed_set_event:
 *
 * Write the driver event suppression structure: the device reads it before it
 * sends an interrupt.
 */
void qvirtqueue_packed_set_event(QTestState *qts, QVirtQueue *vq,
                                 const QVRingPackedEvent *event);

/**
 * qvirtqueue_packed_get_device_event:
 *
 * Read the device event suppression structure: where the device wants to be
 * notified.
 */
void qvirtqueue_packed_get_device_event(QTestState *qts, QVirtQueue *vq,
                                        QVRingPackedEvent *event);

/**
 * qvirtqueue_packed_head:
 * @id: the token of a chain that is in flight or being built
 * @wrap: receives the wrap counter at the head; may be NULL
 *
 * Returns: the ring position of the chain's first descriptor.
 */
uint16_t qvirtqueue_packed_head(QVirtQueue *vq, uint32_t id, bool *wrap);

/** Read the descriptor at ring position @pos. */
void qvirtqueue_packed_read_desc(QTestState *qts, QVirtQueue *vq, uint16_t pos,
                                 QVRingPackedDesc *desc);

/**
 * qvirtqueue_packed_write_raw:
 *
 * Write any descriptor at ring position @pos, flags last, without telling the
 * bookkeeping. For tests of what a device does with a broken ring: after this
 * the queue is good for a reset only.
 */
void qvirtqueue_packed_write_raw(QTestState *qts, QVirtQueue *vq, uint16_t pos,
                                 const QVRingPackedDesc *desc);

/** The AVAIL and USED bits of an available descriptor for wrap counter @wrap */
uint16_t qvring_packed_avail_bits(bool wrap);

/**
 * qvring_packed_indirect_write:
 *
 * Write any entry into an indirect table at guest address @table.
 */
void qvring_packed_indirect_write(QTestState *qts, uint64_t table,
                                  unsigned entry, const QVRingPackedDesc *desc);

/**
 * qvirtqueue_packed_last_used_flags:
 *
 * Returns: the flags of the used descriptor that qvirtqueue_get_buf() consumed
 * last, as the device wrote them.
 */
uint16_t qvirtqueue_packed_last_used_flags(QVirtQueue *vq);

/**
 * qvirtqueue_packed_used_writes:
 *
 * Returns: how many used descriptors the device has written so far. With
 * VIRTIO_F_IN_ORDER this may be less than the number of buffers completed.
 */
uint64_t qvirtqueue_packed_used_writes(QVirtQueue *vq);

/**
 * qvirtqueue_packed_overlong:
 *
 * Returns: how many used descriptors reported more bytes than the buffer lets
 * the device write. Not an error of the ring, so it is counted, not asserted:
 * some devices add what they have read.
 */
uint64_t qvirtqueue_packed_overlong(QVirtQueue *vq);

#endif
