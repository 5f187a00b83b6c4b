/*
 * What hw/virtio/iommu/ledger.c needs of QEMU's locks, without QEMU
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SHIM_QEMU_LOCKABLE_H
#define SHIM_QEMU_LOCKABLE_H

#include "qemu/thread.h"

static inline QemuMutex *shim_lock(QemuMutex *mutex)
{
    pthread_mutex_lock(mutex);
    return mutex;
}

static inline void shim_unlock(QemuMutex **mutex)
{
    if (*mutex) {
        pthread_mutex_unlock(*mutex);
    }
}

#define SHIM_LOCKED __attribute__((cleanup(shim_unlock), unused)) QemuMutex *

#define QEMU_LOCK_GUARD(mutex) SHIM_LOCKED shim_guard = shim_lock(mutex)

#define WITH_QEMU_LOCK_GUARD(mutex) \
    for (SHIM_LOCKED shim_guard = shim_lock(mutex); shim_guard; \
         shim_unlock(&shim_guard), shim_guard = NULL)

#endif
