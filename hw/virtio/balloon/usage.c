/*
 * virtio-balloon page usage hints: the queue
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rules are in docs/specs/virtio-balloon-usage.rst. Everything in a
 * request comes from the guest: it is copied once, into memory of a fixed
 * size, before anything is looked at. A request is answered before the next
 * one is taken, so reset, unplug and migration find nothing in flight.
 */

#include "qemu/osdep.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/virtio/virtio-access.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qemu/iov.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "usage-internal.h"
#include "trace.h"

/* A pass that did this much gives way to the rest of the main loop. */
#define PASS_REQUESTS 16
#define PASS_BYTES (1 * GiB)

#define QUEUE_SIZE 64

static bool usage_offered(const VirtIOBalloon *s)
{
    return virtio_has_feature(s->host_features, VIRTIO_BALLOON_F_PAGE_USAGE);
}

static void usage_set_cmd_id(VirtIOBalloon *s, uint32_t cmd_id)
{
    if (s->usage.cmd_id != cmd_id) {
        s->usage.cmd_id = cmd_id;
        trace_balloon_usage_scan(cmd_id);
        virtio_notify_config(VIRTIO_DEVICE(s));
    }
}

/* Copy the ranges; false if there are not as many bytes as there should be */
static bool usage_copy_ranges(BalloonUsageBatch *b, const VirtQueueElement *e,
                              unsigned count)
{
    size_t head = sizeof(struct virtio_balloon_usage_hdr);
    size_t size = count * sizeof(*b->ranges);

    if (iov_size(e->out_sg, e->out_num) != head + size ||
        iov_to_buf(e->out_sg, e->out_num, head, b->ranges, size) != size) {
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        b->ranges[i].gpa = le64_to_cpu(b->ranges[i].gpa);
        b->ranges[i].pages = le32_to_cpu(b->ranges[i].pages);
        b->ranges[i].node = le16_to_cpu(b->ranges[i].node);
    }
    b->count = count;
    return true;
}

/* Returns the number of bytes the host was told about */
static uint64_t usage_hint(VirtIOBalloon *s, BalloonUsageBatch *b,
                           struct virtio_balloon_usage_reply *reply)
{
    uint64_t acted;

    balloon_usage_check_ranges(s, b);
    for (unsigned i = 0; i < b->count; i++) {
        const struct virtio_balloon_usage_range *r = &b->ranges[i];
        BalloonUsageCounters *c;

        if (!b->reasons[i]) {
            c = &s->usage.states[r->state];
            c->ranges++;
            c->bytes += (uint64_t)r->pages << VIRTIO_BALLOON_USAGE_SHIFT;
            reply->accepted++;
        } else if (reply->rejected == VIRTIO_BALLOON_USAGE_NONE) {
            reply->rejected = i;
            reply->reason = b->reasons[i];
        }
    }
    balloon_usage_resolve(b);
    acted = balloon_usage_act(s, b);
    reply->acted = MIN(acted >> VIRTIO_BALLOON_USAGE_SHIFT, UINT32_MAX);
    return acted;
}

/* Fill in @reply, in host byte order; returns bytes the host was told about */
static uint64_t usage_answer(VirtIOBalloon *s, const VirtQueueElement *e,
                             struct virtio_balloon_usage_reply *reply)
{
    VirtIOBalloonUsage *u = &s->usage;
    struct virtio_balloon_usage_hdr hdr;
    uint32_t cmd_id;
    unsigned count;
    uint64_t acted;

    u->requests++;
    if (iov_to_buf(e->out_sg, e->out_num, 0, &hdr, sizeof(hdr)) !=
        sizeof(hdr)) {
        goto malformed;
    }
    if (hdr.type != VIRTIO_BALLOON_USAGE_HINT) {
        u->unsupported++;
        reply->status = VIRTIO_BALLOON_USAGE_UNSUPPORTED;
        return 0;
    }
    count = le16_to_cpu(hdr.count);
    cmd_id = le32_to_cpu(hdr.cmd_id);
    if ((hdr.flags & ~(VIRTIO_BALLOON_USAGE_LAST |
                       VIRTIO_BALLOON_USAGE_HELD)) ||
        hdr.reserved || count > u->max_ranges ||
        (!count && !(hdr.flags & VIRTIO_BALLOON_USAGE_LAST)) ||
        cmd_id == VIRTIO_BALLOON_USAGE_CMD_DONE ||
        !usage_copy_ranges(u->batch, e, count)) {
        goto malformed;
    }
    if (cmd_id != VIRTIO_BALLOON_USAGE_CMD_STOP && cmd_id != u->cmd_id) {
        u->stale++;
        reply->status = VIRTIO_BALLOON_USAGE_STALE;
        return 0;
    }

    u->batch->held = hdr.flags & VIRTIO_BALLOON_USAGE_HELD;
    acted = usage_hint(s, u->batch, reply);
    if ((hdr.flags & VIRTIO_BALLOON_USAGE_LAST) &&
        cmd_id != VIRTIO_BALLOON_USAGE_CMD_STOP) {
        usage_set_cmd_id(s, VIRTIO_BALLOON_USAGE_CMD_DONE);
    }
    trace_balloon_usage_request(reply->status, count, cmd_id, reply->accepted,
                                reply->acted);
    return acted;

malformed:
    u->malformed++;
    reply->status = VIRTIO_BALLOON_USAGE_MALFORMED;
    return 0;
}

/*
 * The reply has to go to RAM: writing it to registers, our own for instance,
 * would run their effects in the middle of the request.
 */
static bool usage_can_reply(const VirtQueueElement *e)
{
    return virtqueue_element_is_ram(e) &&
           iov_size(e->in_sg, e->in_num) >=
           sizeof(struct virtio_balloon_usage_reply);
}

/* Returns false after breaking the device */
static bool usage_serve(VirtIOBalloon *s, VirtQueueElement *e, uint64_t *acted)
{
    struct virtio_balloon_usage_reply reply = {
        .rejected = VIRTIO_BALLOON_USAGE_NONE,
    };

    if (!usage_can_reply(e)) {
        virtio_error(VIRTIO_DEVICE(s), "virtio-balloon: usage request %u has "
                     "no %zu writable bytes in RAM for the reply", e->index,
                     sizeof(reply));
        virtqueue_detach_element(s->usage.vq, e, 0);
        return false;
    }
    *acted += usage_answer(s, e, &reply);
    reply.accepted = cpu_to_le32(reply.accepted);
    reply.rejected = cpu_to_le32(reply.rejected);
    reply.acted = cpu_to_le32(reply.acted);
    iov_from_buf(e->in_sg, e->in_num, 0, &reply, sizeof(reply));
    virtqueue_push(s->usage.vq, e, sizeof(reply));
    return true;
}

static void usage_pass(VirtIOBalloon *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    VirtIOBalloonUsage *u = &s->usage;
    uint64_t acted = 0;
    unsigned n = 0;

    while (n < PASS_REQUESTS && acted < PASS_BYTES) {
        g_autofree VirtQueueElement *e = virtqueue_pop(u->vq, sizeof(*e));

        if (!e || !usage_serve(s, e, &acted)) {
            break;
        }
        n++;
    }
    if (n) {
        virtio_notify(vdev, u->vq);
    }
    if (!virtio_queue_empty(u->vq) && !vdev->broken && n) {
        trace_balloon_usage_pause(n);
        qemu_bh_schedule(u->bh);
    }
}

static void usage_handle_output(VirtIODevice *vdev, VirtQueue *vq)
{
    if (!virtio_vdev_has_feature(vdev, VIRTIO_BALLOON_F_PAGE_USAGE)) {
        virtio_error(vdev, "virtio-balloon: the usage queue was used without "
                     "VIRTIO_BALLOON_F_PAGE_USAGE");
        return;
    }
    usage_pass(VIRTIO_BALLOON(vdev));
}

static void usage_bh(void *opaque)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(opaque);

    /* If the VM stopped, virtio_balloon_usage_resume() starts over. */
    if (vdev->vm_running && (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK) &&
        virtio_vdev_has_feature(vdev, VIRTIO_BALLOON_F_PAGE_USAGE)) {
        usage_pass(opaque);
    }
}

void virtio_balloon_usage_resume(VirtIOBalloon *s, uint8_t status)
{
    if (s->usage.vq && VIRTIO_DEVICE(s)->vm_running &&
        (status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        qemu_bh_schedule(s->usage.bh);
    }
}

size_t virtio_balloon_usage_config_size(const VirtIOBalloon *s)
{
    return usage_offered(s) ? sizeof(struct virtio_balloon_usage_config) : 0;
}

void virtio_balloon_usage_get_config(VirtIOBalloon *s, uint8_t *config)
{
    const VirtIOBalloonUsage *u = &s->usage;
    struct virtio_balloon_usage_config c = {};
    uint32_t states = 1u << VIRTIO_BALLOON_USAGE_STABLE;

    if (!u->vq) {
        return;
    }
    for (unsigned i = 0; i < VIRTIO_BALLOON_USAGE_STATES; i++) {
        states |= balloon_usage_acts(s, i) ? 1u << i : 0;
    }
    if (!balloon_usage_may_discard(s)) {
        states &= ~(1u << VIRTIO_BALLOON_USAGE_FREE);
    }
    c.states = cpu_to_le32(states);
    c.cmd_id = cpu_to_le32(u->cmd_id);
    c.granule = cpu_to_le32(MIN(qemu_ram_pagesize_largest(), 1u << 31));
    c.max_ranges = cpu_to_le16(u->max_ranges);
    c.vq_index = cpu_to_le16(virtio_get_queue_index(u->vq));
    memcpy(config + VIRTIO_BALLOON_USAGE_CONFIG, &c, sizeof(c));
}

bool virtio_balloon_usage_check(VirtIOBalloon *s, Error **errp)
{
    if (!s->usage.max_ranges ||
        s->usage.max_ranges > BALLOON_USAGE_RANGES_MAX) {
        error_setg(errp, "usage-max-ranges is %u, it must be between 1 and %d",
                   s->usage.max_ranges, BALLOON_USAGE_RANGES_MAX);
        return false;
    }
    if (s->usage.rate && (s->usage.rate < 1 * MiB ||
                          s->usage.rate > 1 * PiB)) {
        error_setg(errp, "usage-rate is %" PRIu64 " bytes per second, it must "
                   "be 0 or between 1 MiB and 1 PiB", s->usage.rate);
        return false;
    }
    return true;
}

void virtio_balloon_usage_realize(VirtIOBalloon *s)
{
    VirtIOBalloonUsage *u = &s->usage;

    if (!usage_offered(s)) {
        return;
    }
    u->vq = virtio_add_queue(VIRTIO_DEVICE(s), QUEUE_SIZE,
                             usage_handle_output);
    u->bh = virtio_bh_new_guarded(DEVICE(s), usage_bh, s);
    u->batch = balloon_usage_batch_new(u->max_ranges);
    u->budget = u->rate;
    u->budget_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    u->last_scan = VIRTIO_BALLOON_USAGE_CMD_FIRST - 1;
}

void virtio_balloon_usage_unrealize(VirtIOBalloon *s)
{
    VirtIOBalloonUsage *u = &s->usage;

    if (u->vq) {
        qemu_bh_delete(u->bh);
        virtio_delete_queue(u->vq);
        g_clear_pointer(&u->batch, balloon_usage_batch_free);
        u->vq = NULL;
    }
}

void virtio_balloon_usage_reset(VirtIOBalloon *s)
{
    if (s->usage.vq) {
        qemu_bh_cancel(s->usage.bh);
        s->usage.cmd_id = VIRTIO_BALLOON_USAGE_CMD_STOP;
    }
}

bool balloon_usage_scan(VirtIOBalloon *s, bool start, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    VirtIOBalloonUsage *u = &s->usage;

    if (!virtio_vdev_has_feature(vdev, VIRTIO_BALLOON_F_PAGE_USAGE) ||
        !(vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        error_setg(errp, "no driver in the guest gives page usage hints");
        return false;
    }
    if (!start) {
        usage_set_cmd_id(s, VIRTIO_BALLOON_USAGE_CMD_STOP);
        return true;
    }
    /* Numbers do not come again before all others were used. */
    u->last_scan = u->last_scan == UINT32_MAX ? VIRTIO_BALLOON_USAGE_CMD_FIRST :
                                                u->last_scan + 1;
    usage_set_cmd_id(s, u->last_scan);
    return true;
}

static bool usage_needed(void *opaque)
{
    return usage_offered(opaque);
}

/* The ring's state is saved by the core; counters and budget start anew. */
const VMStateDescription vmstate_virtio_balloon_usage = {
    .name = "virtio-balloon-device/page-usage",
    .version_id = 1,
    .minimum_version_id = 1,
    .needed = usage_needed,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT16_EQUAL(usage.max_ranges, VirtIOBalloon,
                             "Give usage-max-ranges the same value on both "
                             "sides"),
        VMSTATE_UINT32(usage.cmd_id, VirtIOBalloon),
        VMSTATE_UINT32(usage.last_scan, VirtIOBalloon),
        VMSTATE_END_OF_LIST()
    },
};
