/*
 * virtio-crypto: data queues served by a vhost-user peer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "state.h"
#include "system/cryptodev-vhost.h"

static CryptoDevBackendVhost *first_vhost(VirtIOCrypto *dev)
{
    CryptoDevBackend *backend = dev->cryptodev;

    return backend ? cryptodev_get_vhost(backend->conf.peers.ccs[0], backend, 0)
                   : NULL;
}

bool vcrypto_is_vhost(VirtIOCrypto *dev)
{
    return first_vhost(dev);
}

void vcrypto_vhost_status(VirtIOCrypto *dev, uint8_t status)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    /* The peer is given one queue, whatever the backend has. */
    const int queues = 1;
    bool run = (status & VIRTIO_CONFIG_S_DRIVER_OK) && vdev->vm_running &&
               (dev->status & VIRTIO_CRYPTO_S_HW_READY);

    if (!vcrypto_is_vhost(dev)) {
        /* A peer that went away has been stopped; the next one starts anew. */
        dev->vhost_started = 0;
        return;
    }
    if (run == !!dev->vhost_started) {
        return;
    }
    if (!run) {
        cryptodev_vhost_stop(vdev, queues);
        dev->vhost_started = 0;
        return;
    }
    /* Looked at while the peer is being started */
    dev->vhost_started = 1;
    if (cryptodev_vhost_start(vdev, queues) < 0) {
        dev->vhost_started = 0;
        error_report("%s: the vhost-user peer cannot be started; data "
                     "requests will be answered with NOTSUPP",
                     dev->state->name);
    }
}

static void vhost_mask(VirtIODevice *vdev, int index, bool mask)
{
    VirtIOCrypto *dev = VIRTIO_CRYPTO(vdev);

    /* Configuration changes do not come from the peer. */
    if (index != VIRTIO_CONFIG_IRQ_IDX && dev->vhost_started) {
        cryptodev_vhost_virtqueue_mask(vdev, index, index, mask);
    }
}

static bool vhost_pending(VirtIODevice *vdev, int index)
{
    VirtIOCrypto *dev = VIRTIO_CRYPTO(vdev);

    return index != VIRTIO_CONFIG_IRQ_IDX && dev->vhost_started &&
           cryptodev_vhost_virtqueue_pending(vdev, index, index);
}

static struct vhost_dev *vhost_get(VirtIODevice *vdev)
{
    CryptoDevBackendVhost *vhost = first_vhost(VIRTIO_CRYPTO(vdev));

    return vhost ? &vhost->dev : NULL;
}

void vcrypto_vhost_class_init(VirtioDeviceClass *vdc)
{
    vdc->guest_notifier_mask = vhost_mask;
    vdc->guest_notifier_pending = vhost_pending;
    vdc->get_vhost = vhost_get;
}
