/*
 * What hw/virtio/iommu/ledger.c needs of QEMU's threads, without QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SHIM_QEMU_THREAD_H
#define SHIM_QEMU_THREAD_H

#include <pthread.h>

typedef pthread_mutex_t QemuMutex;

static inline void qemu_mutex_init(QemuMutex *mutex)
{
    pthread_mutex_init(mutex, NULL);
}

static inline void qemu_mutex_destroy(QemuMutex *mutex)
{
    pthread_mutex_destroy(mutex);
}

#endif
