/*
 * Properties that choose one of a few words
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VIRTIO_VIRTIO_ENUM_PROP_H
#define HW_VIRTIO_VIRTIO_ENUM_PROP_H

#include "hw/qdev-properties.h"
#include "hw/core/qdev-prop-internal.h"

/**
 * VIRTIO_ENUM_PROP - initializer of a PropertyInfo
 * @name: the type's name, a string
 * @table: QEnumLookup of the words; the property's field is an int
 * @words: what they mean, for "-device X,help", or NULL
 */
#define VIRTIO_ENUM_PROP(name, table, words) { \
    .type = (name), \
    .description = (words), \
    .enum_table = (table), \
    .get = qdev_propinfo_get_enum, \
    .set = qdev_propinfo_set_enum, \
    .set_default_value = qdev_propinfo_set_default_value_enum, \
}

#endif
