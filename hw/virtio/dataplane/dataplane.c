/*
 * Serving the queues of a virtio device from an IOThread
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "block/aio-wait.h"
#include "exec/memory.h"
#include "hw/virtio/virtio-bus.h"
#include "hw/virtio/virtio-dataplane.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"

static VirtioBusState *dataplane_bus(VirtIODataplane *dp)
{
    return VIRTIO_BUS(qdev_get_parent_bus(DEVICE(dp->vdev)));
}

static AioContext *dataplane_context(VirtIODataplane *dp)
{
    return iothread_get_aio_context(dp->iothread);
}

bool virtio_dataplane_init(VirtIODataplane *dp, VirtIODevice *vdev,
                           unsigned num_queues, IOThread *iothread,
                           Error **errp)
{
    VirtioBusClass *k;

    dp->vdev = vdev;
    dp->num_queues = num_queues;
    if (!iothread) {
        return true;
    }

    k = VIRTIO_BUS_GET_CLASS(dataplane_bus(dp));
    if (!k->set_guest_notifiers || !k->ioeventfd_assign) {
        error_setg(errp, "iothread is set, but this transport cannot notify "
                   "an IOThread");
        error_append_hint(errp, "Remove iothread, or use the -pci device\n");
        return false;
    }
    if (!virtio_device_ioeventfd_enabled(vdev)) {
        error_setg(errp, "iothread is set, but ioeventfd is off");
        error_append_hint(errp, "Set ioeventfd to on, or remove iothread\n");
        return false;
    }

    dp->iothread = iothread;
    object_ref(OBJECT(iothread));
    return true;
}

void virtio_dataplane_cleanup(VirtIODataplane *dp)
{
    assert(!dp->started);
    if (dp->iothread) {
        object_unref(OBJECT(dp->iothread));
        dp->iothread = NULL;
    }
}

/* Release the host notifiers of the first @count queues */
static void dataplane_release_host_notifiers(VirtIODataplane *dp,
                                             unsigned count)
{
    VirtioBusState *bus = dataplane_bus(dp);

    for (unsigned i = 0; i < count; i++) {
        virtio_bus_set_host_notifier(bus, i, false);
    }
    /* The file descriptors must outlive the transaction that drops them. */
    memory_region_transaction_commit();
    for (unsigned i = 0; i < count; i++) {
        virtio_bus_cleanup_host_notifier(bus, i);
    }
}

int virtio_dataplane_start(VirtIODataplane *dp)
{
    VirtioBusState *bus = dataplane_bus(dp);
    VirtioBusClass *k = VIRTIO_BUS_GET_CLASS(bus);
    DeviceState *transport = BUS(bus)->parent;
    int r;

    if (dp->started) {
        return 0;
    }

    r = k->set_guest_notifiers(transport, dp->num_queues, true);
    if (r < 0) {
        error_report("%s: cannot set up interrupts for the IOThread: %s; "
                     "serving the queues from the main loop",
                     dp->vdev->name, strerror(-r));
        return r;
    }

    /* One transaction: each commit walks all ioeventfds of the machine. */
    memory_region_transaction_begin();
    for (unsigned i = 0; i < dp->num_queues; i++) {
        r = virtio_bus_set_host_notifier(bus, i, true);
        if (r < 0) {
            error_report("%s: cannot set up ioeventfd of queue %u: %s; "
                         "serving the queues from the main loop",
                         dp->vdev->name, i, strerror(-r));
            dataplane_release_host_notifiers(dp, i);
            k->set_guest_notifiers(transport, dp->num_queues, false);
            return r;
        }
    }
    memory_region_transaction_commit();

    dp->started = true;
    /*
     * The IOThread must see started, or its handler would take the BQL way.
     * Pairs with the barrier in aio_notify_accept(), which runs before any
     * handler attached below.
     */
    smp_wmb();

    for (unsigned i = 0; i < dp->num_queues; i++) {
        virtio_dataplane_queue_start(dp, i);
    }
    return 0;
}

void virtio_dataplane_stop(VirtIODataplane *dp)
{
    VirtioBusState *bus = dataplane_bus(dp);
    VirtioBusClass *k = VIRTIO_BUS_GET_CLASS(bus);

    if (!dp->started) {
        return;
    }

    for (unsigned i = 0; i < dp->num_queues; i++) {
        virtio_dataplane_queue_stop(dp, i);
    }
    dp->started = false;

    /* From here on handlers run in this thread, for kicks that were missed. */
    memory_region_transaction_begin();
    dataplane_release_host_notifiers(dp, dp->num_queues);
    k->set_guest_notifiers(BUS(bus)->parent, dp->num_queues, false);
}

/* A wait for the IOThread to let go of a queue */
typedef struct Detach {
    VirtQueue *vq;
    QemuEvent done;
} Detach;

static void dataplane_detach(VirtQueue *vq)
{
    virtio_queue_aio_detach_host_notifier(vq, qemu_get_current_aio_context());
}

/* Context: the IOThread */
static void dataplane_detach_bh(void *opaque)
{
    Detach *detach = opaque;

    dataplane_detach(detach->vq);
    qemu_event_set(&detach->done);
}

void virtio_dataplane_queue_stop(VirtIODataplane *dp, unsigned n)
{
    VirtQueue *vq;

    if (!dp->started || n >= dp->num_queues) {
        return;
    }

    vq = virtio_get_queue(dp->vdev, n);
    if (in_aio_context_home_thread(dataplane_context(dp))) {
        /*
         * A handler is on this very stack and cannot be waited for: only a
         * device that lets DMA reach its own registers gets here. Such a
         * device must bear that its queue goes away at any access to a
         * buffer; see virtqueue_element_is_ram() for the way out.
         */
        dataplane_detach(vq);
    } else {
        Detach detach = { .vq = vq };

        /*
         * Not aio_wait_bh_oneshot(): that runs other bottom halves, and one
         * of another device may write to this device's registers by DMA and
         * so stop or start the queues under our feet. It also insists on the
         * main loop, while such a write may come from any IOThread.
         */
        qemu_event_init(&detach.done, false);
        aio_bh_schedule_oneshot(dataplane_context(dp), dataplane_detach_bh,
                                &detach);
        qemu_event_wait(&detach.done);
        qemu_event_destroy(&detach.done);
    }
}

void virtio_dataplane_queue_start(VirtIODataplane *dp, unsigned n)
{
    if (!dp->started || n >= dp->num_queues) {
        return;
    }
    virtio_queue_aio_attach_host_notifier(virtio_get_queue(dp->vdev, n),
                                          dataplane_context(dp));
}

void virtio_dataplane_notify(VirtIODataplane *dp, VirtQueue *vq)
{
    if (dp->started) {
        virtio_notify_irqfd(dp->vdev, vq);
    } else {
        virtio_notify(dp->vdev, vq);
    }
}

bool virtio_dataplane_again(VirtIODataplane *dp, VirtQueue *vq)
{
    if (!dp->started) {
        return false;
    }
    event_notifier_set(virtio_queue_get_host_notifier(vq));
    return true;
}
