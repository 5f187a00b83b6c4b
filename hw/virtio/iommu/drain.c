/*
 * An IOMMU's unmap ends after the DMA it takes the memory from
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "block/aio.h"
#include "hw/virtio/iommu-drain.h"
#include "trace.h"

/**
 * IommuDrainTicket: holds on one IOMMU between two of its resets
 * @drain: %NULL after the reset; under the BQL
 * @refs: the drain's, and one for each hold
 * @pending: holds
 */
struct IommuDrainTicket {
    IommuDrain *drain;
    unsigned refs;
    unsigned pending;
};

/* Whose command is being executed; under the BQL */
static IommuDrain *current;

static void ticket_unref(IommuDrainTicket *t)
{
    if (qatomic_fetch_dec(&t->refs) == 1) {
        g_free(t);
    }
}

static bool drain_pending(IommuDrain *drain)
{
    return drain->ticket && qatomic_load_acquire(&drain->ticket->pending);
}

static void drain_resume(IommuDrain *drain)
{
    if (drain_pending(drain)) {
        return;
    }
    if (drain->parked) {
        int64_t ns = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) - drain->since;

        drain->parked = false;
        drain->drain_ns += ns;
        trace_iommu_drain_resume(object_get_typename(drain->owner), ns);
    }
    drain->ops->resume(drain->opaque);
}

/* The last hold was given up; what is parked by now may hold something else. */
static void drain_ended(void *opaque)
{
    IommuDrainTicket *t = opaque;

    /* A machine that is stopped keeps its state until it runs again. */
    if (t->drain && t->drain->parked && runstate_is_running()) {
        drain_resume(t->drain);
    }
    ticket_unref(t);
}

static void drain_vm_change(void *opaque, bool running, RunState state)
{
    if (running) {
        drain_resume(opaque);
    }
}

void iommu_drain_init(IommuDrain *drain, Object *owner,
                      const IommuDrainOps *ops, void *opaque)
{
    *drain = (IommuDrain) { .ops = ops, .opaque = opaque, .owner = owner };
    drain->vmstate = qemu_add_vm_change_state_handler(drain_vm_change, drain);
    object_property_add_uint64_ptr(owner, "x-iommu-drains", &drain->drains,
                                   OBJ_PROP_FLAG_READ);
    object_property_add_uint64_ptr(owner, "x-iommu-drain-ns", &drain->drain_ns,
                                   OBJ_PROP_FLAG_READ);
    object_property_add_uint8_ptr(owner, "x-iommu-drain-parked",
                                  &drain->parked, OBJ_PROP_FLAG_READ);
}

void iommu_drain_fini(IommuDrain *drain)
{
    iommu_drain_reset(drain);
    qemu_del_vm_change_state_handler(drain->vmstate);
    object_property_del(drain->owner, "x-iommu-drains");
    object_property_del(drain->owner, "x-iommu-drain-ns");
    object_property_del(drain->owner, "x-iommu-drain-parked");
}

void iommu_drain_reset(IommuDrain *drain)
{
    if (drain->ticket) {
        drain->ticket->drain = NULL;
        ticket_unref(drain->ticket);
        drain->ticket = NULL;
    }
    drain->parked = false;
}

IommuDrain *iommu_drain_enter(IommuDrain *drain)
{
    IommuDrain *previous = current;

    assert(bql_locked());
    drain->work = 0;
    current = drain;
    return previous;
}

void iommu_drain_leave(IommuDrain *previous)
{
    current = previous;
}

bool iommu_drain_park(IommuDrain *drain)
{
    if (!drain_pending(drain)) {
        return false;
    }
    if (!drain->parked) {
        drain->parked = true;
        drain->since = qemu_clock_get_ns(QEMU_CLOCK_REALTIME);
        drain->drains++;
        trace_iommu_drain_park(object_get_typename(drain->owner),
                               qatomic_read(&drain->ticket->pending));
    }
    return true;
}

IommuDrainTicket *iommu_drain_hold(void)
{
    IommuDrainTicket *t;

    if (!current) {
        return NULL;
    }
    if (!current->ticket) {
        current->ticket = g_new(IommuDrainTicket, 1);
        *current->ticket = (IommuDrainTicket) { .drain = current, .refs = 1 };
    }
    t = current->ticket;
    qatomic_inc(&t->refs);
    qatomic_inc(&t->pending);
    return t;
}

void iommu_drain_release(IommuDrainTicket *t)
{
    if (qatomic_fetch_dec(&t->pending) == 1) {
        /*
         * Not in QEMU's own AioContext, which is polled while someone waits for
         * a device, deep in other work: commands are for the main loop.
         */
        aio_bh_schedule_oneshot(iohandler_get_aio_context(), drain_ended, t);
    } else {
        ticket_unref(t);
    }
}

void iommu_drain_yield(IommuDrain *drain)
{
    IommuDrainTicket *t = iommu_drain_hold();

    iommu_drain_park(drain);
    iommu_drain_release(t);
}

IommuDrain *iommu_drain_current(void)
{
    return current;
}
