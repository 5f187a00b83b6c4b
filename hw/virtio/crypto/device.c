/*
 * virtio-crypto: the device
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/random.h"
#include "hw/qdev-properties.h"
#include "hw/virtio/virtio-bus.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "state.h"
#include "standard-headers/linux/virtio_ids.h"
#include "trace.h"

#define QUEUE_SIZE 1024
#define SESSIONS_MAX (64 * 1024)
#define SIZE_DEFAULT (1 * MiB)

/* Algorithms that are broken, off unless weak-algorithms is set */
#define WEAK_CIPHERS (1u << VIRTIO_CRYPTO_CIPHER_ARC4 | \
                      1u << VIRTIO_CRYPTO_CIPHER_DES_ECB | \
                      1u << VIRTIO_CRYPTO_CIPHER_DES_CBC)
#define WEAK_HASHES (1u << VIRTIO_CRYPTO_HASH_MD5)
#define WEAK_MACS (1u << VIRTIO_CRYPTO_MAC_HMAC_MD5)

/* Of a driver's kick; the work is done from the main loop */
static void vcrypto_handle_output(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtIOCryptoState *s = VIRTIO_CRYPTO(vdev)->state;

    qemu_bh_schedule(s->queues[virtio_get_queue_index(vq)].bh);
}

static uint64_t vcrypto_get_features(VirtIODevice *vdev, uint64_t features,
                                     Error **errp)
{
    /* A vhost-user peer reads requests itself and knows the padded form. */
    if (VIRTIO_CRYPTO(vdev)->state->services) {
        virtio_add_feature(&features, VIRTIO_CRYPTO_F_REVISION_1);
    }
    return features;
}

static void vcrypto_update_ready(VirtIOCrypto *dev)
{
    dev->status &= ~VIRTIO_CRYPTO_S_HW_READY;
    if (cryptodev_backend_is_ready(dev->cryptodev)) {
        dev->status |= VIRTIO_CRYPTO_S_HW_READY;
    }
}

static void vcrypto_reset(VirtIODevice *vdev)
{
    VirtIOCrypto *dev = VIRTIO_CRYPTO(vdev);
    VirtIOCryptoState *s = dev->state;

    for (unsigned i = 0; i <= dev->max_queues; i++) {
        qemu_bh_cancel(s->queues[i].bh);
    }
    vcrypto_drop(s, NULL);
    trace_virtio_crypto_reset(s->name, g_hash_table_size(s->sessions));
    g_hash_table_remove_all(s->sessions);
    vcrypto_update_ready(dev);
}

static void vcrypto_queue_reset(VirtIODevice *vdev, uint32_t n)
{
    VirtIOCryptoState *s = VIRTIO_CRYPTO(vdev)->state;

    if (n <= s->dev->max_queues) {
        qemu_bh_cancel(s->queues[n].bh);
        vcrypto_drop(s, s->queues[n].vq);
    }
}

static void vcrypto_set_status(VirtIODevice *vdev, uint8_t status)
{
    VirtIOCrypto *dev = VIRTIO_CRYPTO(vdev);

    vcrypto_vhost_status(dev, status);
    /* A pass that gave way before the VM stopped has left requests behind. */
    if (vdev->vm_running && (status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        for (unsigned i = 0; i <= dev->max_queues; i++) {
            qemu_bh_schedule(dev->state->queues[i].bh);
        }
    }
}

static void vcrypto_get_config(VirtIODevice *vdev, uint8_t *data)
{
    VirtIOCrypto *dev = VIRTIO_CRYPTO(vdev);
    const CryptoDevBackendConf *conf = &dev->state->offered;
    struct virtio_crypto_config config = {
        .status = cpu_to_le32(dev->status),
        .max_dataqueues = cpu_to_le32(dev->max_queues),
        .crypto_services = cpu_to_le32(conf->crypto_services),
        .cipher_algo_l = cpu_to_le32(conf->cipher_algo_l),
        .cipher_algo_h = cpu_to_le32(conf->cipher_algo_h),
        .hash_algo = cpu_to_le32(conf->hash_algo),
        .mac_algo_l = cpu_to_le32(conf->mac_algo_l),
        .mac_algo_h = cpu_to_le32(conf->mac_algo_h),
        .aead_algo = cpu_to_le32(conf->aead_algo),
        .max_cipher_key_len = cpu_to_le32(conf->max_cipher_key_len),
        .max_auth_key_len = cpu_to_le32(conf->max_auth_key_len),
        .akcipher_algo = cpu_to_le32(conf->akcipher_algo),
        .max_size = cpu_to_le64(conf->max_size),
    };

    memcpy(data, &config, dev->config_size);
}

/* What the driver is shown: a service exists if it has an algorithm. */
static void vcrypto_offer(VirtIOCryptoState *s)
{
    CryptoDevBackendConf *conf = &s->offered;
    uint32_t mask[VIRTIO_CRYPTO_SERVICE_AKCIPHER + 1];

    *conf = s->dev->cryptodev->conf;
    if (!conf->max_size) {
        /* cryptodev-backend-lkcf does not say */
        conf->max_size = SIZE_DEFAULT;
    }
    if (!s->services) {
        /* Backends that claim these have no way to be asked for them. */
        conf->hash_algo = 0;
        conf->mac_algo_l = 0;
        conf->mac_algo_h = 0;
        conf->aead_algo = 0;
    } else if (!s->dev->conf.weak_algorithms) {
        conf->cipher_algo_l &= ~WEAK_CIPHERS;
        conf->hash_algo &= ~WEAK_HASHES;
        conf->mac_algo_l &= ~WEAK_MACS;
    }
    mask[VIRTIO_CRYPTO_SERVICE_CIPHER] =
        conf->cipher_algo_l | conf->cipher_algo_h;
    mask[VIRTIO_CRYPTO_SERVICE_HASH] = conf->hash_algo;
    mask[VIRTIO_CRYPTO_SERVICE_MAC] = conf->mac_algo_l | conf->mac_algo_h;
    mask[VIRTIO_CRYPTO_SERVICE_AEAD] = conf->aead_algo;
    mask[VIRTIO_CRYPTO_SERVICE_AKCIPHER] = conf->akcipher_algo;
    conf->crypto_services = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(mask); i++) {
        conf->crypto_services |= (uint32_t)!!mask[i] << i;
    }
}

static bool vcrypto_check_conf(VirtIOCrypto *dev, Error **errp)
{
    CryptoDevBackend *backend = dev->conf.cryptodev;

    if (!backend) {
        error_setg(errp, "cryptodev is not set; give it the id of a "
                   "cryptodev-backend-* object");
        return false;
    }
    if (cryptodev_backend_is_used(backend)) {
        error_setg(errp, "cryptodev '%s' already serves another device",
                   object_get_canonical_path_component(OBJECT(backend)));
        return false;
    }
    if (!backend->conf.peers.queues ||
        backend->conf.peers.queues > MAX_CRYPTO_QUEUE_NUM) {
        error_setg(errp, "cryptodev has %" PRIu32 " queues, it must have 1 "
                   "to %d", backend->conf.peers.queues, MAX_CRYPTO_QUEUE_NUM);
        return false;
    }
    if (object_dynamic_cast(OBJECT(backend), "cryptodev-vhost-user") &&
        backend->conf.peers.queues > 1) {
        error_setg(errp, "the peer of cryptodev-vhost-user serves one queue; "
                   "set its queues=1");
        return false;
    }
    if (!dev->conf.max_sessions || dev->conf.max_sessions > SESSIONS_MAX) {
        error_setg(errp, "max-sessions is %" PRIu32 ", it must be between 1 "
                   "and %d", dev->conf.max_sessions, SESSIONS_MAX);
        return false;
    }
    return true;
}

static void vcrypto_realize(DeviceState *qdev, Error **errp)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(qdev);
    VirtIOCrypto *dev = VIRTIO_CRYPTO(qdev);
    DeviceState *transport = qdev_get_parent_bus(qdev)->parent;
    VirtIOCryptoState *s;
    uint32_t first_id;

    if (!vcrypto_check_conf(dev, errp) ||
        qcrypto_random_bytes(&first_id, sizeof(first_id), errp) < 0) {
        return;
    }
    dev->cryptodev = dev->conf.cryptodev;
    dev->max_queues = dev->cryptodev->conf.peers.queues;

    s = dev->state = g_new0(VirtIOCryptoState, 1);
    s->dev = dev;
    s->name = g_strdup(transport->id ?: object_get_typename(OBJECT(qdev)));
    if (object_dynamic_cast(OBJECT(dev->cryptodev), TYPE_CRYPTODEV_SERVICES)) {
        s->services = CRYPTODEV_SERVICES_GET_CLASS(dev->cryptodev);
    }
    s->sessions = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
        (GDestroyNotify)vcrypto_session_unref);
    /* The high half never comes back to 0 or to an earlier value. */
    s->last_id = (uint64_t)first_id << 16 | 1ull << 48;
    QTAILQ_INIT(&s->running);

    virtio_init(vdev, VIRTIO_ID_CRYPTO, dev->config_size);
    s->queues = g_new0(VCryptoQueue, dev->max_queues + 1);
    for (unsigned i = 0; i <= dev->max_queues; i++) {
        VCryptoQueue *q = &s->queues[i];

        q->state = s;
        QTAILQ_INIT(&q->finished);
        q->vq = virtio_add_queue(vdev, QUEUE_SIZE, vcrypto_handle_output);
        q->bh = virtio_bh_new_guarded(qdev, i < dev->max_queues ?
                                      vcrypto_data_bh : vcrypto_control_bh,
                                      q);
    }
    dev->ctrl_vq = s->queues[dev->max_queues].vq;
    vcrypto_offer(s);
    vcrypto_update_ready(dev);
    cryptodev_backend_set_used(dev->cryptodev, true);
}

static void vcrypto_unrealize(DeviceState *qdev)
{
    VirtIOCrypto *dev = VIRTIO_CRYPTO(qdev);
    VirtIOCryptoState *s = dev->state;

    vcrypto_vhost_status(dev, 0);
    vcrypto_drop(s, NULL);
    g_hash_table_unref(s->sessions);
    for (unsigned i = 0; i <= dev->max_queues; i++) {
        qemu_bh_delete(s->queues[i].bh);
        virtio_delete_queue(s->queues[i].vq);
    }
    virtio_cleanup(VIRTIO_DEVICE(qdev));
    cryptodev_backend_set_used(dev->cryptodev, false);
    g_free(s->queues);
    g_free(s->name);
    g_clear_pointer(&dev->state, g_free);
}

static const VMStateDescription vmstate_vcrypto = {
    .name = "virtio-crypto",
    .unmigratable = 1,
    .minimum_version_id = 1,
    .version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_VIRTIO_DEVICE,
        VMSTATE_END_OF_LIST()
    },
};

static const Property vcrypto_properties[] = {
    DEFINE_PROP_LINK("cryptodev", VirtIOCrypto, conf.cryptodev,
                     TYPE_CRYPTODEV_BACKEND, CryptoDevBackend *),
    DEFINE_PROP_UINT32("max-sessions", VirtIOCrypto, conf.max_sessions, 1024),
    DEFINE_PROP_BOOL("weak-algorithms", VirtIOCrypto, conf.weak_algorithms,
                     false),
};

static const char *const vcrypto_descriptions[][2] = {
    { "cryptodev", "ID of the cryptodev-backend-* object that computes" },
    { "max-sessions", "Most sessions a driver may have, 1 to 65536" },
    { "weak-algorithms", "Also offer DES and MD5, which are broken" },
};

static void vcrypto_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    VirtioDeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);

    device_class_set_props(dc, vcrypto_properties);
    for (size_t i = 0; i < ARRAY_SIZE(vcrypto_descriptions); i++) {
        object_class_property_set_description(klass,
                                              vcrypto_descriptions[i][0],
                                              vcrypto_descriptions[i][1]);
    }
    dc->desc = "Virtio crypto accelerator";
    dc->vmsd = &vmstate_vcrypto;
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    vdc->realize = vcrypto_realize;
    vdc->unrealize = vcrypto_unrealize;
    vdc->get_features = vcrypto_get_features;
    vdc->get_config = vcrypto_get_config;
    vdc->set_status = vcrypto_set_status;
    vdc->reset = vcrypto_reset;
    vdc->queue_reset = vcrypto_queue_reset;
    vcrypto_vhost_class_init(vdc);
}

static void vcrypto_instance_init(Object *obj)
{
    VIRTIO_CRYPTO(obj)->config_size = sizeof(struct virtio_crypto_config);
}

static const TypeInfo vcrypto_info = {
    .name = TYPE_VIRTIO_CRYPTO,
    .parent = TYPE_VIRTIO_DEVICE,
    .instance_size = sizeof(VirtIOCrypto),
    .instance_init = vcrypto_instance_init,
    .class_init = vcrypto_class_init,
};

static void vcrypto_register_types(void)
{
    type_register_static(&vcrypto_info);
}

type_init(vcrypto_register_types)
