/*
 * Fuzz targets of virtio-echo and virtio-signal: rings and registers
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The input is a sequence of actions on a device that was started properly:
 * ring memory is written with whatever the input says, the doorbell is rung,
 * registers are written. Descriptors point into a small window most of the
 * time, so that chains are often good enough to be served; one action offers a
 * request that virtio-signal may understand. Run it with
 *
 *   qemu-fuzz-x86_64 --fuzz-target=virtio-echo-fuzz
 *
 * or -echo-packed-fuzz, -signal-fuzz, -signal-packed-fuzz, from a build
 * configured with --enable-fuzzing and clang; see
 * docs/devel/testing/fuzzing.rst.
 */

#include "qemu/osdep.h"

#include "fuzz.h"
#include "qos_fuzz.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_pci.h"
#include "standard-headers/linux/virtio_ring.h"
#include "standard-headers/linux/virtio_signal.h"
#include "tests/qtest/libqos/virtio-echo.h"
#include "tests/qtest/libqos/virtio-signal.h"
#include "tests/qtest/libqtest.h"

#define WINDOW_SIZE 0x4000
#define QUEUES_MAX 8

typedef enum ActionKind {
    WRITE_RING,         /* any bytes anywhere in a ring's memory */
    WRITE_DESC,         /* a descriptor that points into the window */
    WRITE_REQUEST,      /* two descriptors, and a request of virtio-signal */
    WRITE_DATA,         /* bytes in the window, where indirect tables are */
    OFFER,              /* split: put a head into the available ring */
    KICK,
    WRITE_REGISTER,
    NUM_KINDS,
} ActionKind;

typedef struct QEMU_PACKED Action {
    uint8_t kind;
    uint8_t queue;
    uint16_t where;
    uint16_t flags;
    uint16_t value;
    uint8_t length;
} Action;

typedef struct Fuzz {
    QTestState *qts;
    QVirtioPCIDevice *pci;
    QVirtQueue *vq[QUEUES_MAX];
    unsigned queues;
    uint64_t window;
} Fuzz;

static void fuzz_start(Fuzz *f, QTestState *qts)
{
    /* Both devices' objects begin so. */
    QVirtioPCIDevice *pci = fuzz_qos_obj;
    QVirtioDevice *dev = &pci->vdev;

    QEMU_BUILD_BUG_ON(offsetof(QVirtioEchoPCI, pci_vdev) ||
                      offsetof(QVirtioSignalPCI, pci_vdev));
    f->qts = qts;
    f->pci = pci;
    qvirtio_start_device(dev);
    qvirtio_set_features(dev, qvirtio_get_features(dev) &
                              ~QVIRTIO_F_BAD_FEATURE);
    f->queues = dev->device_type == VIRTIO_ID_SIGNAL ? 6 : 2;
    for (unsigned i = 0; i < f->queues; i++) {
        f->vq[i] = qvirtqueue_setup(dev, fuzz_qos_alloc, i);
    }
    f->window = guest_alloc(fuzz_qos_alloc, WINDOW_SIZE);
    qvirtio_set_driver_ok(dev);
}

static void fuzz_write_desc(Fuzz *f, QVirtQueue *vq, const Action *a)
{
    uint64_t desc = vq->desc + 16 * (a->where % vq->size);

    /* the same layout in both ring formats but for the last four bytes */
    qtest_writeq(f->qts, desc, f->window + a->value % WINDOW_SIZE);
    qtest_writel(f->qts, desc + 8, a->length * 16);
    qtest_writew(f->qts, desc + 12, a->flags);
    qtest_writew(f->qts, desc + 14, a->flags >> 8);
}

static void fuzz_write_request(Fuzz *f, QVirtQueue *vq, const Action *a)
{
    bool packed = f->pci->vdev.features & (1ull << VIRTIO_F_RING_PACKED);
    uint16_t avail = !packed ? 0 :
                     a->length & 1 ? 1 << VRING_PACKED_DESC_F_AVAIL
                                   : 1 << VRING_PACKED_DESC_F_USED;
    unsigned at = a->where % (vq->size - 1);
    uint64_t req = f->window + 64 * (a->value % (WINDOW_SIZE / 64));
    uint64_t desc = vq->desc + 16 * at;

    qtest_writew(f->qts, req, a->flags % (VIRTIO_SIGNAL_CLASS_COUNT + 1));
    qtest_writew(f->qts, req + 4, a->flags >> 4 & 1);
    qtest_writew(f->qts, req + 6, (a->flags >> 5) % 5);
    qtest_writew(f->qts, req + 8, (a->flags >> 8) % 5);
    qtest_writew(f->qts, req + 14, (a->flags >> 11) % 5);
    qtest_writeq(f->qts, desc, req);
    qtest_writel(f->qts, desc + 8, sizeof(struct virtio_signal_req));
    qtest_writeq(f->qts, desc + 16, req + 48);
    qtest_writel(f->qts, desc + 24, sizeof(struct virtio_signal_reply));
    qtest_writew(f->qts, desc + (packed ? 30 : 28), avail | VRING_DESC_F_WRITE);
    qtest_writew(f->qts, desc + (packed ? 14 : 12), avail | VRING_DESC_F_NEXT);
    if (!packed) {
        qtest_writew(f->qts, desc + 14, at + 1);
    }
}

static void fuzz_offer(Fuzz *f, QVirtQueue *vq, const Action *a)
{
    uint16_t idx = qtest_readw(f->qts, vq->avail + 2);

    qtest_writew(f->qts, vq->avail + 4 + 2 * (idx % vq->size),
                 a->where % vq->size);
    qtest_writew(f->qts, vq->avail + 2, idx + 1);
}

static void fuzz_action(Fuzz *f, const Action *a, const uint8_t *data)
{
    QVirtQueue *vq = f->vq[a->queue % f->queues];
    uint64_t ring_size = qvring_size(vq->size, vq->align);

    switch (a->kind % NUM_KINDS) {
    case WRITE_RING:
        qtest_memwrite(f->qts, vq->desc + a->where % ring_size, data,
                       MIN(a->length, ring_size - a->where % ring_size));
        break;
    case WRITE_DESC:
        fuzz_write_desc(f, vq, a);
        break;
    case WRITE_REQUEST:
        fuzz_write_request(f, vq, a);
        break;
    case WRITE_DATA:
        qtest_memwrite(f->qts, f->window + a->where % (WINDOW_SIZE - 256),
                       data, a->length);
        break;
    case OFFER:
        fuzz_offer(f, vq, a);
        break;
    case KICK:
        vq->vdev->bus->virtqueue_kick(vq->vdev, vq);
        break;
    case WRITE_REGISTER:
        qpci_io_writew(f->pci->pdev, f->pci->bar, f->pci->common_cfg_offset +
                       a->where % sizeof(struct virtio_pci_common_cfg),
                       a->value);
        break;
    }
}

static void virtio_queue_fuzz(QTestState *qts, const unsigned char *data,
                              size_t size)
{
    Fuzz f = {};

    fuzz_start(&f, qts);
    while (size >= sizeof(Action)) {
        Action a;

        memcpy(&a, data, sizeof(a));
        data += sizeof(a);
        size -= sizeof(a);
        a.length = MIN(a.length, size);
        fuzz_action(&f, &a, data);
        if (a.kind % NUM_KINDS == WRITE_RING ||
            a.kind % NUM_KINDS == WRITE_DATA) {
            data += a.length;
            size -= a.length;
        }
    }
    flush_events(qts);

    /* Only the device was touched: no need to reset the whole PC */
    qvirtio_reset(&f.pci->vdev);
    for (unsigned i = 0; i < f.queues; i++) {
        qvirtqueue_cleanup(f.vq[i]->vdev->bus, f.vq[i], fuzz_qos_alloc);
    }
    guest_free(fuzz_qos_alloc, f.window);
}

static void virtio_queue_pre_fuzz(QTestState *qts)
{
    qos_init_path(qts);
}

static void add_target(const char *name, const char *description,
                       const char *node, const char *options)
{
    FuzzTarget target = {
        .name = name,
        .description = description,
        .pre_fuzz = virtio_queue_pre_fuzz,
        .fuzz = virtio_queue_fuzz,
    };
    QOSGraphTestOptions opts = {
        .edge.extra_device_opts = options,
    };

    fuzz_add_qos_target(&target, node, &opts);
}

static void register_virtio_queue_fuzz_targets(void)
{
    add_target("virtio-echo-fuzz",
               "Hostile split rings and registers of virtio-echo",
               QVIRTIO_ECHO_PCI, "num-queues=2,batch=3");
    add_target("virtio-echo-packed-fuzz",
               "Hostile packed rings and registers of virtio-echo",
               QVIRTIO_ECHO_PACKED_PCI, "num-queues=2,batch=3");
    add_target("virtio-signal-fuzz",
               "Hostile split rings and registers of virtio-signal",
               QVIRTIO_SIGNAL_PCI, "backlog=4,poll=on");
    add_target("virtio-signal-packed-fuzz",
               "Hostile packed rings and registers of virtio-signal",
               QVIRTIO_SIGNAL_PACKED_PCI, "backlog=4,poll=on");
}

fuzz_target_init(register_virtio_queue_fuzz_targets);
