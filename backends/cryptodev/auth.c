/*
 * The built-in crypto backend: HASH, MAC and AEAD
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "engine.h"

uint32_t cryptodev_hash_setup(CryptoDevSession *session, uint32_t algo,
                              uint32_t result_len)
{
    size_t whole;

    if (!cryptodev_hash_algo(algo, &session->digest)) {
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    whole = qcrypto_digest_len(session->digest);
    if (whole && result_len > whole) {
        return VIRTIO_CRYPTO_ERR;
    }
    session->result_len = result_len;
    return VIRTIO_CRYPTO_OK;
}

uint32_t cryptodev_mac_setup(CryptoDevSession *session, uint32_t algo,
                             const uint8_t *key, uint32_t key_len,
                             uint32_t result_len)
{
    QCryptoMacAlgo found;

    if (!cryptodev_mac_algo(algo, &found)) {
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    if (result_len > qcrypto_mac_len(found)) {
        return VIRTIO_CRYPTO_ERR;
    }
    session->mac = qcrypto_mac_new(found, key, key_len, NULL);
    session->result_len = result_len;
    return session->mac ? VIRTIO_CRYPTO_OK : VIRTIO_CRYPTO_ERR;
}

uint32_t cryptodev_digest_run(CryptoDevSession *session,
                              const struct iovec *iov, unsigned niov,
                              uint8_t *out, uint32_t out_len)
{
    int ret;

    if (!out_len || (session->result_len && out_len != session->result_len)) {
        return VIRTIO_CRYPTO_ERR;
    }
    if (session->mac) {
        ret = qcrypto_mac_bytesv(session->mac, iov, niov, out, out_len, NULL);
    } else {
        ret = qcrypto_digest_bytesv(session->digest, iov, niov, out, out_len,
                                    NULL);
    }
    return ret < 0 ? VIRTIO_CRYPTO_ERR : VIRTIO_CRYPTO_OK;
}

uint32_t cryptodev_aead_setup(CryptoDevSession *session,
                              const CryptoDevSessionSpec *spec)
{
    if (!cryptodev_aead_algo(spec->algo, &session->aead_algo)) {
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    if (!qcrypto_aead_tag_len_valid(session->aead_algo, spec->result_len)) {
        return VIRTIO_CRYPTO_ERR;
    }
    session->result_len = spec->result_len;
    session->aead = qcrypto_aead_new(session->aead_algo, spec->key,
                                     spec->key_len, NULL);
    return session->aead ? VIRTIO_CRYPTO_OK : VIRTIO_CRYPTO_ERR;
}

/*
 * A GCM nonce of 16 bytes is the first counter block, J0 (5.9.7.4.7). The
 * library takes nonces only, so J0 must be one that a nonce of 12 bytes gives.
 */
static bool aead_nonce(const CryptoDevSession *session, const uint8_t *iv,
                       size_t *len)
{
    static const uint8_t first[] = { 0, 0, 0, 1 };

    if (session->aead_algo == QCRYPTO_AEAD_ALGO_AES_GCM && *len == 16) {
        *len = 12;
        return !memcmp(iv + 12, first, sizeof(first));
    }
    return true;
}

uint32_t cryptodev_aead_run(CryptoDevJob *job)
{
    CryptoDevSession *session = job->session;
    CryptoDevBackendSymOpInfo *op = &job->sym;
    size_t tag_len = session->result_len;
    QCryptoAeadText text = {
        .nonce = op->iv,
        .nonce_len = op->iv_len,
        .aad = op->aad_data,
        .aad_len = op->aad_len,
        .in = op->src,
        .out = op->dst,
        .tag_len = tag_len,
    };
    int ret;

    if (!aead_nonce(session, op->iv, &text.nonce_len)) {
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    if (session->encrypt) {
        if (op->dst_len < tag_len || op->dst_len - tag_len < op->src_len) {
            return VIRTIO_CRYPTO_ERR;
        }
        text.len = op->src_len;
        text.tag = op->dst + text.len;
        op->dst_len = text.len + tag_len;
        ret = qcrypto_aead_encrypt(session->aead, &text, NULL);
    } else {
        if (op->src_len < tag_len || op->dst_len < op->src_len - tag_len) {
            return VIRTIO_CRYPTO_ERR;
        }
        text.len = op->src_len - tag_len;
        text.tag = op->src + text.len;
        op->dst_len = text.len;
        ret = qcrypto_aead_decrypt(session->aead, &text, NULL);
    }
    if (ret == -EBADMSG) {
        return VIRTIO_CRYPTO_BADMSG;
    }
    return ret < 0 ? VIRTIO_CRYPTO_ERR : VIRTIO_CRYPTO_OK;
}
