/*
 * virtio-signal: control queue
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "bus.h"
#include "ctrl.h"
#include "deliver.h"
#include "trace.h"

/* List nodes from @first on; returns the bytes written. */
static size_t ctrl_peers(VirtIOSignal *s, VirtQueueElement *elem,
                         uint16_t first, struct virtio_signal_ctrl_reply *rep)
{
    size_t room = iov_size(elem->in_sg, elem->in_num);
    size_t at = sizeof(*rep);
    SignalWalk walk = { };
    SignalPort *port;
    uint32_t more = 0;
    uint16_t count = 0;

    while (s->conf.bus &&
           (port = signal_bus_next(s->conf.bus, s->conf.node, &walk))) {
        struct virtio_signal_peer peer = {
            .node = cpu_to_le16(port->node),
            .state = cpu_to_le16(port->state),
            .num_targets = cpu_to_le16(port->num_targets),
            .accepts = cpu_to_le32(port->accepts),
        };

        if (port->node < first) {
            continue;
        }
        if (room - at < sizeof(peer)) {
            more++;
            continue;
        }
        at += iov_from_buf(elem->in_sg, elem->in_num, at, &peer, sizeof(peer));
        count++;
    }
    rep->count = cpu_to_le16(count);
    rep->more = cpu_to_le32(more);
    return at;
}

static uint16_t ctrl_accept(VirtIOSignal *s, uint16_t target, uint32_t classes)
{
    uint32_t known = SIGNAL_CLASSES_EVENT | SIGNAL_CLASSES_DEVICE;

    if (virtio_vdev_has_feature(VIRTIO_DEVICE(s), VIRTIO_SIGNAL_F_NMI)) {
        known |= SIGNAL_BIT(NMI);
    }
    if (classes & ~known) {
        return VIRTIO_SIGNAL_S_INVAL;
    }
    if (target >= s->conf.targets) {
        return VIRTIO_SIGNAL_S_NO_TARGET;
    }
    s->targets[target].accept = classes;
    return VIRTIO_SIGNAL_S_OK;
}

static uint16_t ctrl_poll(VirtIOSignal *s, uint16_t target, uint32_t ns)
{
    if (!virtio_vdev_has_feature(VIRTIO_DEVICE(s), VIRTIO_SIGNAL_F_POLL)) {
        return VIRTIO_SIGNAL_S_UNSUPP;
    }
    if (target >= s->conf.targets) {
        return VIRTIO_SIGNAL_S_NO_TARGET;
    }
    if (ns > s->poll_ns_max) {
        return VIRTIO_SIGNAL_S_PERM;
    }
    s->targets[target].poll_ns = ns;
    return VIRTIO_SIGNAL_S_OK;
}

/* Returns the bytes written. */
static size_t ctrl_command(VirtIOSignal *s, VirtQueueElement *elem)
{
    struct virtio_signal_ctrl cmd = { };
    struct virtio_signal_ctrl_reply rep = { };
    size_t written = sizeof(rep);
    uint16_t status = VIRTIO_SIGNAL_S_INVAL;
    uint16_t arg;
    uint32_t value;

    if (iov_size(elem->in_sg, elem->in_num) < sizeof(rep)) {
        s->malformed++;
        return 0;
    }
    if (iov_size(elem->out_sg, elem->out_num) == sizeof(cmd)) {
        iov_to_buf(elem->out_sg, elem->out_num, 0, &cmd, sizeof(cmd));
        arg = le16_to_cpu(cmd.arg);
        value = le32_to_cpu(cmd.value);
        switch (le16_to_cpu(cmd.command)) {
        case VIRTIO_SIGNAL_CTRL_PEERS:
            if (!value) {
                written = ctrl_peers(s, elem, arg, &rep);
                status = VIRTIO_SIGNAL_S_OK;
            }
            break;
        case VIRTIO_SIGNAL_CTRL_ACCEPT:
            status = ctrl_accept(s, arg, value);
            break;
        case VIRTIO_SIGNAL_CTRL_POLL:
            status = ctrl_poll(s, arg, value);
            break;
        default:
            status = VIRTIO_SIGNAL_S_UNSUPP;
        }
        trace_virtio_signal_ctrl(s->name, le16_to_cpu(cmd.command), arg, value,
                                 status);
    }
    s->malformed += status == VIRTIO_SIGNAL_S_INVAL;
    rep.status = cpu_to_le16(status);
    iov_from_buf(elem->in_sg, elem->in_num, 0, &rep, sizeof(rep));
    return written;
}

void signal_ctrl_serve(VirtIOSignal *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    /* As many as the queue holds; then the rest of the loop has its turn. */
    int max = virtio_queue_get_num(vdev, VIRTIO_SIGNAL_CTRLQ);

    if (!vdev->vm_running || vdev->broken ||
        !(vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        return;
    }
    /* An interrupt may unplug the device. */
    while (max-- > 0 && DEVICE(s)->realized) {
        VirtQueueElement *elem = virtqueue_pop(s->ctrlq, sizeof(*elem));
        bool ram;

        if (!elem) {
            return;
        }
        ram = virtqueue_element_is_ram(elem);
        if (ram) {
            virtqueue_push(s->ctrlq, elem, ctrl_command(s, elem));
            virtio_notify(vdev, s->ctrlq);
        } else {
            virtio_error(vdev, "%s: a control command has a writable buffer "
                         "outside of RAM", s->name);
            virtqueue_detach_element(s->ctrlq, elem, 0);
        }
        g_free(elem);
        if (!ram) {
            return;
        }
    }
    if (DEVICE(s)->realized) {
        qemu_bh_schedule(s->bh);
    }
}
