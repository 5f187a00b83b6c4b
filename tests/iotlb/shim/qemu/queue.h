/*
 * QEMU's lists are BSD's, by other names
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SHIM_QEMU_QUEUE_H
#define SHIM_QEMU_QUEUE_H

#include <sys/queue.h>

#define QLIST_HEAD          LIST_HEAD
#define QLIST_ENTRY         LIST_ENTRY
#define QLIST_INSERT_HEAD   LIST_INSERT_HEAD
#define QLIST_REMOVE        LIST_REMOVE
#define QLIST_FOREACH       LIST_FOREACH

#endif
