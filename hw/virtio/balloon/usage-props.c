/*
 * virtio-balloon page usage hints: properties
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/util.h"
#include "qapi/visitor.h"
#include "hw/virtio/virtio-enum-prop.h"
#include "usage-internal.h"

static const QEnumLookup free_lookup = {
    .array = (const char *const[]) { "off", "discard" },
    .size = 2,
};

static const QEnumLookup cold_lookup = {
    .array = (const char *const[]) { "off", "cold", "pageout" },
    .size = 3,
};

static const QEnumLookup hot_lookup = {
    .array = (const char *const[]) { "off", "willneed", "collapse" },
    .size = 3,
};

const PropertyInfo virtio_balloon_free_policy_info =
    VIRTIO_ENUM_PROP("VirtIOBalloonFreePolicy", &free_lookup, NULL);

const PropertyInfo virtio_balloon_cold_policy_info =
    VIRTIO_ENUM_PROP("VirtIOBalloonColdPolicy", &cold_lookup, NULL);

const PropertyInfo virtio_balloon_hot_policy_info =
    VIRTIO_ENUM_PROP("VirtIOBalloonHotPolicy", &hot_lookup, NULL);

static const char *const descriptions[][2] = {
    { "deflate-on-oom", "Offer to give memory back when the guest runs out "
                        "of it" },
    { "free-page-hint", "Offer to leave free pages out of migration; needs "
                        "iothread" },
    { "page-poison", "Offer to keep the pattern the guest fills free pages "
                     "with" },
    { "free-page-reporting", "Offer to take free pages from the guest" },
    { "qemu-4-0-config-size", "Old machines: configuration of QEMU 4.0's "
                              "size" },
    { "iothread", "IOThread that works for free-page-hint" },
    { "must-tell-host", "Ask the guest to take pages back only with leave; "
                        "lets large host pages be given back in parts" },
    { "page-usage", "Offer to hear how the guest uses its pages" },
    { "usage-free", "What to do with pages hinted as free: off or discard" },
    { "usage-cold", "What to do with pages hinted as cold: off, cold (first "
                    "to go when memory is short) or pageout (go now)" },
    { "usage-hot", "What to do with pages hinted as hot: off, willneed or "
                   "collapse (into huge pages)" },
    { "usage-max-ranges", "Most ranges of a page usage request, 1 to 1024" },
    { "usage-rate", "Most bytes per second to act on; 0 for no limit" },
    { "x-usage-shared", "Discard free pages also of memory that is in a file "
                        "or shared with other processes" },
};

void virtio_balloon_usage_class_init(ObjectClass *klass)
{
    for (size_t i = 0; i < ARRAY_SIZE(descriptions); i++) {
        object_class_property_set_description(klass, descriptions[i][0],
                                              descriptions[i][1]);
    }
}

static const char *const state_names[VIRTIO_BALLOON_USAGE_STATES] = {
    [VIRTIO_BALLOON_USAGE_STABLE] = "stable",
    [VIRTIO_BALLOON_USAGE_FREE] = "free",
    [VIRTIO_BALLOON_USAGE_COLD] = "cold",
    [VIRTIO_BALLOON_USAGE_HOT] = "hot",
};

static const char *const reason_names[VIRTIO_BALLOON_USAGE_REASONS] = {
    [VIRTIO_BALLOON_USAGE_R_RANGE] = "range",
    [VIRTIO_BALLOON_USAGE_R_NOT_RAM] = "not-ram",
    [VIRTIO_BALLOON_USAGE_R_STATE] = "state",
    [VIRTIO_BALLOON_USAGE_R_NOT_HELD] = "not-held",
    [VIRTIO_BALLOON_USAGE_R_SHARED] = "shared",
    [VIRTIO_BALLOON_USAGE_R_INHIBITED] = "inhibited",
    [VIRTIO_BALLOON_USAGE_R_BUSY] = "busy",
};

static bool visit_state(Visitor *v, const char *name, BalloonUsageCounters c,
                        Error **errp)
{
    bool ok;

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return false;
    }
    ok = visit_type_uint64(v, "ranges", &c.ranges, errp) &&
         visit_type_uint64(v, "bytes", &c.bytes, errp) &&
         visit_type_uint64(v, "acted", &c.acted, errp) &&
         visit_type_uint64(v, "calls", &c.calls, errp) &&
         visit_type_uint64(v, "failures", &c.failures, errp) &&
         visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    return ok;
}

static bool visit_rejects(Visitor *v, VirtIOBalloonUsage *u, Error **errp)
{
    bool ok = true;

    if (!visit_start_struct(v, "rejects", NULL, 0, errp)) {
        return false;
    }
    for (size_t i = 0; ok && i < ARRAY_SIZE(reason_names); i++) {
        uint64_t count = u->rejects[i];

        ok = !reason_names[i] ||
             visit_type_uint64(v, reason_names[i], &count, errp);
    }
    ok = ok && visit_check_struct(v, errp);
    visit_end_struct(v, NULL);
    return ok;
}

static void usage_get_stats(Object *obj, Visitor *v, const char *name,
                            void *opaque, Error **errp)
{
    VirtIOBalloonUsage u = VIRTIO_BALLOON(obj)->usage;
    bool ok;

    if (!visit_start_struct(v, name, NULL, 0, errp)) {
        return;
    }
    ok = visit_type_uint32(v, "cmd-id", &u.cmd_id, errp) &&
         visit_type_uint64(v, "requests", &u.requests, errp) &&
         visit_type_uint64(v, "malformed", &u.malformed, errp) &&
         visit_type_uint64(v, "stale", &u.stale, errp) &&
         visit_type_uint64(v, "unsupported", &u.unsupported, errp) &&
         visit_rejects(v, &u, errp);
    for (size_t i = 0; ok && i < ARRAY_SIZE(state_names); i++) {
        ok = !state_names[i] ||
             visit_state(v, state_names[i], u.states[i], errp);
    }
    if (ok) {
        visit_check_struct(v, errp);
    }
    visit_end_struct(v, NULL);
}

static bool usage_get_scan(Object *obj, Error **errp)
{
    return VIRTIO_BALLOON(obj)->usage.cmd_id >= VIRTIO_BALLOON_USAGE_CMD_FIRST;
}

static void usage_set_scan(Object *obj, bool value, Error **errp)
{
    balloon_usage_scan(VIRTIO_BALLOON(obj), value, errp);
}

void virtio_balloon_usage_instance_init(Object *obj)
{
    object_property_add(obj, "page-usage-stats", "page usage statistics",
                        usage_get_stats, NULL, NULL, NULL);
    object_property_set_description(obj, "page-usage-stats",
        "What the guest hinted and what became of it (read-only)");
    object_property_add_bool(obj, "page-usage-scan", usage_get_scan,
                             usage_set_scan);
    object_property_set_description(obj, "page-usage-scan",
        "Ask the guest for hints; off again when it is through");
}
