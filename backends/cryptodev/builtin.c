/*
 * The built-in crypto backend
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Computes with QEMU's crypto layer in the thread that serves the device.
 * Sessions belong to the device; nothing outlives a job or a session here.
 */

#include "qemu/osdep.h"
#include "engine.h"
#include "qapi/error.h"
#include "qemu/module.h"
#include "qemu/units.h"

#define TYPE_CRYPTODEV_BACKEND_BUILTIN "cryptodev-backend-builtin"
OBJECT_DECLARE_SIMPLE_TYPE(CryptoDevBackendBuiltin, CRYPTODEV_BACKEND_BUILTIN)

struct CryptoDevBackendBuiltin {
    CryptoDevBackend parent_obj;
};

#define MAX_CIPHER_KEY_LEN 64
#define MAX_AUTH_KEY_LEN 512
#define MAX_SIZE (1 * MiB)

static void builtin_init(CryptoDevBackend *backend, Error **errp)
{
    CryptoDevBackendConf *conf = &backend->conf;

    if (conf->peers.queues > MAX_CRYPTO_QUEUE_NUM) {
        error_setg(errp, "queues is %" PRIu32 ", it must be between 1 and %d",
                   conf->peers.queues, MAX_CRYPTO_QUEUE_NUM);
        /* cleanup looks at that many */
        conf->peers.queues = 0;
        return;
    }
    for (unsigned i = 0; i < conf->peers.queues; i++) {
        CryptoDevBackendClient *cc = cryptodev_backend_new_client();

        cc->info_str = g_strdup_printf("cryptodev-builtin%u", i);
        cc->queue_index = i;
        cc->type = QCRYPTODEV_BACKEND_TYPE_BUILTIN;
        conf->peers.ccs[i] = cc;
    }
    cryptodev_builtin_masks(conf);
    conf->max_cipher_key_len = MAX_CIPHER_KEY_LEN;
    conf->max_auth_key_len = MAX_AUTH_KEY_LEN;
    conf->max_size = MAX_SIZE;
    cryptodev_backend_set_ready(backend, true);
}

static void builtin_cleanup(CryptoDevBackend *backend, Error **errp)
{
    CryptoDevBackendPeers *peers = &backend->conf.peers;

    for (unsigned i = 0; i < MIN(peers->queues, MAX_CRYPTO_QUEUE_NUM); i++) {
        if (peers->ccs[i]) {
            cryptodev_backend_free_client(peers->ccs[i]);
            peers->ccs[i] = NULL;
        }
    }
    cryptodev_backend_set_ready(backend, false);
}

/* What the libraries allocated for a session clears its keys as it goes. */
static void builtin_session_free(CryptoDevSession *session)
{
    qcrypto_cipher_free(session->cipher);
    qcrypto_mac_free(session->mac);
    qcrypto_aead_free(session->aead);
    if (session->akcipher) {
        qcrypto_akcipher_free(session->akcipher);
    }
    g_free(session);
}

static uint32_t builtin_session_new(CryptoDevBackend *backend,
                                    const CryptoDevSessionSpec *spec,
                                    CryptoDevSession **session)
{
    CryptoDevSession *new = g_new0(CryptoDevSession, 1);
    uint32_t status = VIRTIO_CRYPTO_NOTSUPP;

    new->service = spec->service;
    new->encrypt = spec->op == VIRTIO_CRYPTO_OP_ENCRYPT;
    switch (spec->service) {
    case VIRTIO_CRYPTO_SERVICE_CIPHER:
        status = cryptodev_cipher_setup(new, spec);
        break;
    case VIRTIO_CRYPTO_SERVICE_HASH:
        status = cryptodev_hash_setup(new, spec->algo, spec->result_len);
        break;
    case VIRTIO_CRYPTO_SERVICE_MAC:
        status = cryptodev_mac_setup(new, spec->algo, spec->key,
                                     spec->key_len, spec->result_len);
        break;
    case VIRTIO_CRYPTO_SERVICE_AEAD:
        status = cryptodev_aead_setup(new, spec);
        break;
    case VIRTIO_CRYPTO_SERVICE_AKCIPHER:
        status = cryptodev_akcipher_setup(new, spec);
        break;
    }
    if (status == VIRTIO_CRYPTO_OK) {
        *session = new;
    } else {
        builtin_session_free(new);
    }
    return status;
}

static uint32_t builtin_run(CryptoDevJob *job)
{
    CryptoDevBackendSymOpInfo *op = &job->sym;
    struct iovec message = { .iov_base = op->src, .iov_len = op->src_len };

    switch (job->session->service) {
    case VIRTIO_CRYPTO_SERVICE_CIPHER:
        return cryptodev_cipher_run(job);
    case VIRTIO_CRYPTO_SERVICE_HASH:
    case VIRTIO_CRYPTO_SERVICE_MAC:
        return cryptodev_digest_run(job->session, &message, 1,
                                    op->digest_result, op->digest_result_len);
    case VIRTIO_CRYPTO_SERVICE_AEAD:
        return cryptodev_aead_run(job);
    case VIRTIO_CRYPTO_SERVICE_AKCIPHER:
        return cryptodev_akcipher_run(job);
    default:
        return VIRTIO_CRYPTO_NOTSUPP;
    }
}

static int builtin_do_op(CryptoDevBackend *backend,
                         CryptoDevBackendOpInfo *info)
{
    CryptoDevJob *job = container_of(info, CryptoDevJob, info);

    info->cb(info->opaque, -(int)builtin_run(job));
    return 0;
}

static void builtin_class_init(ObjectClass *klass, void *data)
{
    CryptoDevBackendClass *bc = CRYPTODEV_BACKEND_CLASS(klass);
    CryptoDevServicesClass *sc = CRYPTODEV_SERVICES_CLASS(klass);

    bc->init = builtin_init;
    bc->cleanup = builtin_cleanup;
    bc->do_op = builtin_do_op;
    sc->session_new = builtin_session_new;
    sc->session_free = builtin_session_free;
}

static const TypeInfo builtin_types[] = {
    {
        .name = TYPE_CRYPTODEV_SERVICES,
        .parent = TYPE_INTERFACE,
        .class_size = sizeof(CryptoDevServicesClass),
    },
    {
        .name = TYPE_CRYPTODEV_BACKEND_BUILTIN,
        .parent = TYPE_CRYPTODEV_BACKEND,
        .instance_size = sizeof(CryptoDevBackendBuiltin),
        .class_init = builtin_class_init,
        .interfaces = (InterfaceInfo[]) {
            { TYPE_CRYPTODEV_SERVICES },
            { }
        },
    },
};

DEFINE_TYPES(builtin_types)
