/*
 * What "info virtio-iotlb" says
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/qapi-commands-virtio-ring.h"

void hmp_virtio_iotlb(Monitor *mon, const QDict *qdict)
{
    VirtioIotlbInfoList *list = qmp_x_query_virtio_iotlb(NULL);

    if (!list) {
        monitor_printf(mon, "No virtio device that may be behind an IOMMU\n");
    }
    for (VirtioIotlbInfoList *l = list; l; l = l->next) {
        const VirtioIotlbInfo *i = l->value;

        monitor_printf(mon, "%s: %s, %u entries\n", i->path,
                       !i->iommus ? "behind no IOMMU" :
                       i->usable ? "in use" : "the IOMMU does not notify",
                       i->entries);
        monitor_printf(mon, "  look-ups:      %" PRIu64 " hits, %" PRIu64
                       " misses\n", i->hits, i->misses);
        monitor_printf(mon, "  translations:  %" PRIu64 ", %" PRIu64
                       " faults, %" PRIu64 " not plain memory\n",
                       i->translations, i->faults, i->slow);
        monitor_printf(mon, "  requests:      %" PRIu64 " refused\n",
                       i->refused);
        monitor_printf(mon, "  fills:         %" PRIu64 ", %" PRIu64
                       " dropped\n", i->fills, i->fills_dropped);
        monitor_printf(mon, "  invalidations: %" PRIu64 ", %" PRIu64
                       " entries, %" PRIu64 " waits\n", i->invalidations,
                       i->cleared, i->waits);
    }
    qapi_free_VirtioIotlbInfoList(list);
}
