/*
 * libqos: ring formats beside the split virtqueue
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Included by virtio.h. A QVirtQueue whose @ops is NULL is a split ring and
 * runs the code in virtio.c; any other ring format brings its own operations.
 */

#ifndef LIBQOS_VIRTIO_RING_OPS_H
#define LIBQOS_VIRTIO_RING_OPS_H

/**
 * QVirtQueueOps: what a ring format implements. Each member is called by the
 * public function of virtio.h with the same name, with the same arguments and
 * meaning.
 */
typedef struct QVirtQueueOps {
    uint32_t (*add)(QTestState *qts, QVirtQueue *vq, uint64_t data,
                    uint32_t len, bool write, bool next);
    uint32_t (*add_indirect)(QTestState *qts, QVirtQueue *vq,
                             QVRingIndirectDesc *indirect);
    void (*kick)(QTestState *qts, QVirtioDevice *d, QVirtQueue *vq,
                 uint32_t token);
    bool (*get_buf)(QTestState *qts, QVirtQueue *vq, uint32_t *token,
                    uint32_t *len);
    void (*set_used_event)(QTestState *qts, QVirtQueue *vq, uint16_t idx);
    /* Called by qvirtqueue_cleanup() before the ring's memory is freed. */
    void (*cleanup)(QVirtQueue *vq);
} QVirtQueueOps;

/** Whether the driver of @d has accepted VIRTIO_F_RING_PACKED */
bool qvirtio_is_packed(QVirtioDevice *d);

/**
 * qvring_init_ops:
 * @addr: guest memory of at least qvring_size() bytes for the ring
 *
 * Lay out the ring at @addr and attach its operations if the features that
 * were accepted call for another format than the split ring.
 *
 * Returns: false if @vq is to be a split ring, which virtio.c then lays out.
 */
bool qvring_init_ops(QTestState *qts, QVirtQueue *vq, uint64_t addr);

/** Whether @size is a legal queue size for the negotiated ring format */
bool qvring_size_valid(QVirtioDevice *d, uint32_t size);

/** qvring_indirect_desc_setup() for a table of packed descriptors */
QVRingIndirectDesc *qvring_packed_indirect_setup(QTestState *qts,
                                                 QGuestAllocator *alloc,
                                                 uint16_t elem);

/** qvring_indirect_desc_add() for a table of packed descriptors */
void qvring_packed_indirect_add(QTestState *qts, QVRingIndirectDesc *indirect,
                                uint64_t data, uint32_t len, bool write);

/**
 * qvirtqueue_notify_data:
 *
 * Returns: the 32-bit notification of @vq for VIRTIO_F_NOTIFICATION_DATA
 * (virtio 1.3, section 2.9): queue index, next available position, wrap.
 */
uint32_t qvirtqueue_notify_data(QTestState *qts, QVirtQueue *vq);

#endif
