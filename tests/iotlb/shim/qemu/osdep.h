/*
 * What the IOTLB needs of QEMU's osdep.h, for builds without QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SHIM_QEMU_OSDEP_H
#define SHIM_QEMU_OSDEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <glib.h>

#endif
