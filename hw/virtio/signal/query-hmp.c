/*
 * virtio-signal: the human monitor's view
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "monitor/hmp.h"
#include "qapi/error.h"
#include "qobject/qdict.h"
#include "monitor/monitor.h"
#include "qemu/timer.h"
#include "qapi/qapi-commands-virtio-signal.h"

static void print_device(Monitor *mon, const VirtioSignalInfo *info)
{
    monitor_printf(mon, "%s\n  node %u, %u of %u targets started, backlog %u, "
                   "lost %" PRIu64 ", malformed %" PRIu64 ", limited %"
                   PRIu64 ", yielded %" PRIu64 "\n", info->path,
                   info->node, info->targets_started, info->targets,
                   info->backlog, info->lost, info->malformed, info->limited,
                   info->yielded);
    if (info->polling) {
        monitor_printf(mon, "  polling: up to %u ns, %u targets, notified %"
                       PRIu64 ", avoided %" PRIu64 "\n",
                       info->polling->max_ns, info->polling->targets,
                       info->polling->notified, info->polling->avoided);
    }
    for (VirtioSignalClassList *c = info->classes; c; c = c->next) {
        monitor_printf(mon, "  %s: sent %" PRIu64 ", refused %" PRIu64
                       ", received %" PRIu64 ", coalesced %" PRIu64
                       ", dropped %" PRIu64 "\n", c->value->name,
                       c->value->sent, c->value->refused, c->value->received,
                       c->value->coalesced, c->value->dropped);
    }
    for (VirtioSignalPeerList *p = info->peers; p; p = p->next) {
        const VirtioSignalPeer *peer = p->value;

        monitor_printf(mon, "  node %u%s%s: %s, %u targets, outstanding %u",
                       peer->node, peer->link ? " by link " : "",
                       peer->link ?: "",
                       VirtioSignalPeerState_str(peer->state), peer->targets,
                       peer->outstanding);
        if (peer->link) {
            monitor_printf(mon, ", bad frames %" PRIu64 ", denied %" PRIu64
                           ", limited %" PRIu64, peer->bad_frames,
                           peer->denied, peer->limited);
        }
        if (peer->has_ping_ns) {
            monitor_printf(mon, ", ping %" PRId64 " us",
                           peer->ping_ns / SCALE_US);
        }
        monitor_printf(mon, "%s%s\n", peer->error ? ", last error: " : "",
                       peer->error ?: "");
    }
}

void hmp_virtio_signal(Monitor *mon, const QDict *qdict)
{
    VirtioSignalInfoList *list = qmp_x_query_virtio_signal(NULL);

    if (!list) {
        monitor_printf(mon, "No virtio-signal devices\n");
    }
    for (VirtioSignalInfoList *l = list; l; l = l->next) {
        print_device(mon, l->value);
    }
    qapi_free_VirtioSignalInfoList(list);
}

void hmp_virtio_signal_send(Monitor *mon, const QDict *qdict)
{
    int64_t target = qdict_get_try_int(qdict, "target", -1);
    int64_t signal = qdict_get_try_int(qdict, "signal", 0);
    g_autoptr(VirtioSignalSendResult) result = NULL;
    Error *err = NULL;
    int class_id;

    class_id = qapi_enum_parse(&VirtioSignalSendClass_lookup,
                               qdict_get_str(qdict, "class"), -1, &err);
    if (!err && (target < -1 || target > UINT16_MAX || signal < 0 ||
                 signal > UINT16_MAX)) {
        error_setg(&err, "targets and signals are numbers up to %u",
                   UINT16_MAX);
    }
    if (!err) {
        result = qmp_x_virtio_signal_send(qdict_get_str(qdict, "id"), class_id,
                                          target >= 0, target, true, signal,
                                          false, 0, &err);
    }
    if (result) {
        monitor_printf(mon, "%s%s\n", result->status,
                       result->coalesced ? ", merged" : "");
    }
    hmp_handle_error(mon, err);
}
