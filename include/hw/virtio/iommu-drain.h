/*
 * An IOMMU's unmap ends after the DMA it takes the memory from
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The IOMMU's half of docs/devel/virtio-iommu-drain.rst. While an IOMMU runs
 * a command, between iommu_drain_enter() and iommu_drain_leave(), each ledger
 * of DMA in flight that the command takes memory from takes a hold. With holds
 * left the IOMMU parks: it keeps the command's answer back. When the last one
 * is given up, from whatever thread, the main loop calls @resume.
 */

#ifndef HW_VIRTIO_IOMMU_DRAIN_H
#define HW_VIRTIO_IOMMU_DRAIN_H

#include "qemu/typedefs.h"
#include "qom/object.h"
#include "system/runstate.h"

typedef struct IommuDrainTicket IommuDrainTicket;

/**
 * IommuDrainOps: what an IOMMU does for those who take holds
 * @resume: nothing is held any more, go on with what was parked. Also called
 *          when the machine starts to run, which it does on the destination of
 *          a migration: a command that the state shows as not answered is
 *          answered or executed then. Context: main loop, BQL held, the machine
 *          is running
 * @walk: where DMA of the device of @mr to @iova goes by the tables as they are
 *        now, and false if nowhere. Records no fault. %NULL if invalidations
 *        are exactly of what was unmapped. Context: BQL held, in a command
 */
typedef struct IommuDrainOps {
    void (*resume)(void *opaque);
    bool (*walk)(IOMMUMemoryRegion *mr, uint64_t iova, bool write,
                 uint64_t *gpa);
} IommuDrainOps;

/**
 * IommuDrain: an IOMMU that may have to wait
 *
 * All of it belongs to the BQL; only the ticket's counts change without.
 *
 * @ticket: what holds refer to; a new one after a reset
 * @parked: a command's answer is kept back
 * @since: since when, in ns of QEMU_CLOCK_REALTIME
 * @drains: commands that were parked
 * @drain_ns: for how long, in sum
 * @work: what the commands since iommu_drain_enter() have cost, in a unit of
 *        the IOMMU's own
 */
typedef struct IommuDrain {
    const IommuDrainOps *ops;
    void *opaque;
    Object *owner;
    VMChangeStateEntry *vmstate;
    IommuDrainTicket *ticket;
    uint8_t parked;
    int64_t since;
    uint64_t drains;
    uint64_t drain_ns;
    unsigned work;
} IommuDrain;

/**
 * iommu_drain_init: and the properties x-iommu-drains, x-iommu-drain-ns and
 * x-iommu-drain-parked of @owner, for reading
 * @owner: the IOMMU; must call iommu_drain_fini() if it can go away
 * @opaque: for @ops
 */
void iommu_drain_init(IommuDrain *drain, Object *owner,
                      const IommuDrainOps *ops, void *opaque);
void iommu_drain_fini(IommuDrain *drain);

/** Forget what is held and parked: the IOMMU was reset. Context: BQL held */
void iommu_drain_reset(IommuDrain *drain);

/**
 * iommu_drain_enter: the IOMMU executes a command
 *
 * Returns: for iommu_drain_leave(). Context: BQL held
 */
IommuDrain *iommu_drain_enter(IommuDrain *drain);
void iommu_drain_leave(IommuDrain *previous);

/**
 * iommu_drain_park: does what was executed so far have to wait?
 *
 * Returns: true if something is held; then @resume will be called. What the
 * devices wrote before they gave up the last hold is visible after false.
 * Context: BQL held
 */
bool iommu_drain_park(IommuDrain *drain);

/**
 * iommu_drain_yield: park, whether or not something is held
 *
 * For an IOMMU that was given much to do: @resume is called when the main loop
 * has come round and nothing is held. Context: BQL held, in a command
 */
void iommu_drain_yield(IommuDrain *drain);

/**
 * iommu_drain_hold: keep the answer of the command that is being executed
 *
 * Returns: for iommu_drain_release(); %NULL if no command is being executed,
 * so that nobody could wait. Context: BQL held
 */
IommuDrainTicket *iommu_drain_hold(void);

/** Give up a hold. Context: any thread; takes no lock */
void iommu_drain_release(IommuDrainTicket *ticket);

/** The IOMMU whose command is being executed, or %NULL. Context: BQL held */
IommuDrain *iommu_drain_current(void);

#endif
