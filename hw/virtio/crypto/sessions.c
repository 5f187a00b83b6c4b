/*
 * virtio-crypto: sessions
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "state.h"

VCryptoSession *vcrypto_session_find(VirtIOCryptoState *s, uint64_t id)
{
    return g_hash_table_lookup(s->sessions, &id);
}

VCryptoSession *vcrypto_session_ref(VCryptoSession *session)
{
    session->refs++;
    return session;
}

void vcrypto_session_unref(VCryptoSession *session)
{
    if (--session->refs) {
        return;
    }
    if (session->impl) {
        CRYPTODEV_SERVICES_GET_CLASS(session->backend)
            ->session_free(session->impl);
    } else {
        cryptodev_backend_close_session(session->backend, session->backend_id,
                                        session->queue, NULL, NULL);
    }
    object_unref(session->backend);
    g_free(session);
}

static bool bit_set(uint32_t low, uint32_t high, uint32_t bit)
{
    uint64_t mask = low | (uint64_t)high << 32;

    return bit < 64 && (mask >> bit & 1);
}

static bool mac_offered(const CryptoDevBackendConf *c, uint32_t algo)
{
    return bit_set(c->mac_algo_l, c->mac_algo_h, algo);
}

/* Only what the configuration space shows is served. */
static bool is_offered(const CryptoDevBackendConf *c,
                       const CryptoDevSessionSpec *spec)
{
    const CryptoDevAuthSpec *auth = &spec->auth;

    switch (spec->service) {
    case VIRTIO_CRYPTO_SERVICE_CIPHER:
        return bit_set(c->cipher_algo_l, c->cipher_algo_h, spec->algo) &&
               (!auth->mode ||
                (auth->mode == VIRTIO_CRYPTO_SYM_HASH_MODE_PLAIN ?
                 bit_set(c->hash_algo, 0, auth->algo) :
                 mac_offered(c, auth->algo)));
    case VIRTIO_CRYPTO_SERVICE_HASH:
        return bit_set(c->hash_algo, 0, spec->algo);
    case VIRTIO_CRYPTO_SERVICE_MAC:
        return mac_offered(c, spec->algo);
    case VIRTIO_CRYPTO_SERVICE_AEAD:
        return bit_set(c->aead_algo, 0, spec->algo);
    default:
        return bit_set(c->akcipher_algo, 0, spec->algo);
    }
}

/* What no mask of the configuration space tells of */
static bool is_weak(const CryptoDevSessionSpec *spec)
{
    return spec->service == VIRTIO_CRYPTO_SERVICE_AKCIPHER &&
           spec->rsa_padding == VIRTIO_CRYPTO_RSA_PKCS1_PADDING &&
           spec->rsa_hash == VIRTIO_CRYPTO_RSA_MD5;
}

static void store_status(void *opaque, int ret)
{
    *(int *)opaque = ret;
}

/* Backends without CryptoDevServicesClass; all answer at once */
static uint32_t create_in_backend(CryptoDevBackend *backend,
                                  const CryptoDevSessionSpec *spec,
                                  VCryptoSession *session)
{
    CryptoDevBackendSessionInfo info = {};
    int status = -VIRTIO_CRYPTO_ERR, ret;

    switch (spec->service) {
    case VIRTIO_CRYPTO_SERVICE_CIPHER:
        info.op_code = VIRTIO_CRYPTO_CIPHER_CREATE_SESSION;
        info.u.sym_sess_info = (CryptoDevBackendSymSessionInfo) {
            .cipher_alg = spec->algo,
            .key_len = spec->key_len,
            .cipher_key = spec->key,
            .direction = spec->op,
            .op_type = spec->auth.mode
                ? VIRTIO_CRYPTO_SYM_OP_ALGORITHM_CHAINING
                : VIRTIO_CRYPTO_SYM_OP_CIPHER,
            .hash_alg = spec->auth.algo,
            .hash_result_len = spec->auth.result_len,
            .auth_key_len = spec->auth.key_len,
            .auth_key = spec->auth.key,
            .hash_mode = spec->auth.mode,
            .alg_chain_order = spec->auth.order,
        };
        break;
    case VIRTIO_CRYPTO_SERVICE_AKCIPHER:
        info.op_code = VIRTIO_CRYPTO_AKCIPHER_CREATE_SESSION;
        info.u.asym_sess_info = (CryptoDevBackendAsymSessionInfo) {
            .algo = spec->algo,
            .keytype = spec->key_type,
            .keylen = spec->key_len,
            .key = spec->key,
            .u.rsa.padding_algo = spec->rsa_padding,
            .u.rsa.hash_algo = spec->rsa_hash,
        };
        break;
    default:
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    ret = cryptodev_backend_create_session(backend, &info, session->queue,
                                           store_status, &status);
    session->backend_id = info.session_id;
    return vcrypto_backend_status(ret < 0 ? ret : status);
}

uint32_t vcrypto_session_create(VirtIOCryptoState *s,
                                const CryptoDevSessionSpec *spec,
                                uint32_t queue, uint64_t *id)
{
    CryptoDevBackend *backend = s->dev->cryptodev;
    VCryptoSession *session;
    uint32_t status;

    if (s->services && (!is_offered(&s->offered, spec) ||
                        (is_weak(spec) && !s->dev->conf.weak_algorithms))) {
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    if (!s->services && queue >= s->dev->max_queues) {
        return VIRTIO_CRYPTO_ERR;
    }
    if (g_hash_table_size(s->sessions) >= s->dev->conf.max_sessions) {
        return VIRTIO_CRYPTO_NOSPC;
    }
    session = g_new0(VCryptoSession, 1);
    session->refs = 1;
    session->service = spec->service;
    session->op = spec->op;
    session->tag_len = spec->result_len;
    session->queue = queue;
    session->backend = backend;
    status = s->services ?
             s->services->session_new(backend, spec, &session->impl) :
             create_in_backend(backend, spec, session);
    if (status != VIRTIO_CRYPTO_OK) {
        g_free(session);
        return status;
    }
    object_ref(backend);
    session->id = vcrypto_is_vhost(s->dev) ? session->backend_id
                                           : ++s->last_id;
    g_hash_table_replace(s->sessions, &session->id, session);
    *id = session->id;
    return VIRTIO_CRYPTO_OK;
}

bool vcrypto_session_destroy(VirtIOCryptoState *s, uint32_t service,
                             uint64_t id)
{
    VCryptoSession *session = vcrypto_session_find(s, id);

    if (!session || session->service != service) {
        return false;
    }
    g_hash_table_remove(s->sessions, &id);
    return true;
}
