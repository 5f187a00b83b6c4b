/*
 * The property that chooses a queue engine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "engine.h"
#include "qapi/util.h"
#include "hw/core/qdev-prop-internal.h"

static const char *const names[] = {
    [VIRTIO_RING_AUTO] = "auto",
    [VIRTIO_RING_STOCK] = "stock",
};

static const QEnumLookup lookup = {
    .array = names,
    .size = ARRAY_SIZE(names),
};

const PropertyInfo qdev_prop_virtio_ring = {
    .type = "VirtIORingChoice",
    .description = "auto (Vadis's queue engine where it can) or stock "
                   "(upstream's code)",
    .enum_table = &lookup,
    .get = qdev_propinfo_get_enum,
    .set = qdev_propinfo_set_enum,
    .set_default_value = qdev_propinfo_set_default_value_enum,
};
