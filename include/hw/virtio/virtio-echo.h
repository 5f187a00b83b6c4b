/*
 * virtio-echo: a test device that returns what it is sent
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_VIRTIO_ECHO_H
#define HW_VIRTIO_VIRTIO_ECHO_H

#include "hw/virtio/virtio.h"
#include "hw/virtio/virtio-dataplane.h"
#include "qemu/stats64.h"
#include "qom/object.h"
#include "standard-headers/linux/virtio_echo.h"
#include "system/iothread.h"

#define TYPE_VIRTIO_ECHO "virtio-echo-device"
OBJECT_DECLARE_TYPE(VirtIOEcho, VirtIOEchoClass, VIRTIO_ECHO)

#define VIRTIO_ECHO_QUEUES_MAX 256
#define VIRTIO_ECHO_REQUEST_MAX (16 * MiB)

struct VirtIOEchoClass {
    VirtioDeviceClass parent_class;

    /* the main loop's handlers, used while there is no IOThread */
    int (*parent_start_ioeventfd)(VirtIODevice *vdev);
    void (*parent_stop_ioeventfd)(VirtIODevice *vdev);
};

/* What the user sets; constant once the device is realized */
typedef struct VirtIOEchoConf {
    uint16_t num_queues;
    uint16_t batch;
    int order;              /* VIRTIO_ECHO_ORDER_* */
    uint32_t max_request;   /* bytes */
    uint64_t seed;
    IOThread *iothread;
} VirtIOEchoConf;

typedef struct VirtIOEchoRequest VirtIOEchoRequest;

/* One queue; touched only by the thread that serves it at the time */
typedef struct VirtIOEchoQueue {
    VirtIOEcho *echo;
    VirtQueue *vq;
    QEMUBH *bh;                 /* continues a pass in the main loop */
    uint64_t rng;               /* state of the shuffle */
    bool busy;                  /* a pass is on the stack */
    VirtIOEchoRequest **held;   /* conf.batch entries */
} VirtIOEchoQueue;

struct VirtIOEcho {
    VirtIODevice parent_obj;

    VirtIOEchoConf conf;
    char *name;                 /* for trace events and messages */
    VirtIOEchoQueue *queues;    /* conf.num_queues entries */
    VirtIODataplane dataplane;
    Stat64 requests;            /* completed since realize */
    Stat64 bytes;               /* echoed since realize */
};

#endif
