/*
 * The built-in crypto backend: CIPHER, alone and in a chain
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "engine.h"

static uint32_t chain_setup(CryptoDevSession *session,
                            const CryptoDevAuthSpec *auth)
{
    if (auth->order != VIRTIO_CRYPTO_SYM_ALG_CHAIN_ORDER_HASH_THEN_CIPHER &&
        auth->order != VIRTIO_CRYPTO_SYM_ALG_CHAIN_ORDER_CIPHER_THEN_HASH) {
        return VIRTIO_CRYPTO_ERR;
    }
    session->chain_order = auth->order;
    switch (auth->mode) {
    case VIRTIO_CRYPTO_SYM_HASH_MODE_PLAIN:
        return cryptodev_hash_setup(session, auth->algo, auth->result_len);
    case VIRTIO_CRYPTO_SYM_HASH_MODE_AUTH:
        return cryptodev_mac_setup(session, auth->algo, auth->key,
                                   auth->key_len, auth->result_len);
    default:
        return VIRTIO_CRYPTO_NOTSUPP;
    }
}

uint32_t cryptodev_cipher_setup(CryptoDevSession *session,
                                const CryptoDevSessionSpec *spec)
{
    QCryptoCipherAlgo algo;
    QCryptoCipherMode mode;

    if (!cryptodev_cipher_algo(spec->algo, 0, &algo, &mode)) {
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    if (!spec->key_len ||
        !cryptodev_cipher_algo(spec->algo, spec->key_len, &algo, &mode)) {
        return VIRTIO_CRYPTO_ERR;
    }
    session->cipher = qcrypto_cipher_new(algo, mode, spec->key, spec->key_len,
                                         NULL);
    if (!session->cipher) {
        return VIRTIO_CRYPTO_ERR;
    }
    session->iv_len = qcrypto_cipher_get_iv_len(algo, mode);
    session->block_len = qcrypto_cipher_get_block_len(algo);
    session->stream = mode == QCRYPTO_CIPHER_MODE_CTR;
    return spec->auth.order || spec->auth.mode ?
           chain_setup(session, &spec->auth) : VIRTIO_CRYPTO_OK;
}

/*
 * The layer below wants whole blocks. CTR does not need them: the last block
 * goes through one of its own.
 */
static int cipher_text(CryptoDevSession *session, const uint8_t *from,
                       uint8_t *to, size_t len)
{
    int (*run)(QCryptoCipher *, const void *, void *, size_t, Error **) =
        session->encrypt ? qcrypto_cipher_encrypt : qcrypto_cipher_decrypt;
    size_t rest = len % session->block_len;
    uint8_t block[16] = {};
    int ret = 0;

    if (rest && !session->stream) {
        return -1;
    }
    if (len - rest) {
        ret = run(session->cipher, from, to, len - rest, NULL);
    }
    if (rest && !ret) {
        assert(session->block_len <= sizeof(block));
        memcpy(block, from + len - rest, rest);
        ret = run(session->cipher, block, block, session->block_len, NULL);
        memcpy(to + len - rest, block, rest);
    }
    return ret;
}

static bool window_fits(uint32_t offset, uint32_t len, uint32_t total)
{
    return offset <= total && len <= total - offset;
}

static uint32_t chain_digest(CryptoDevJob *job, uint8_t *text)
{
    CryptoDevBackendSymOpInfo *op = &job->sym;
    struct iovec iov[] = {
        { .iov_base = op->aad_data, .iov_len = op->aad_len },
        { .iov_base = text + op->hash_start_src_offset,
          .iov_len = op->len_to_hash },
    };

    return cryptodev_digest_run(job->session, iov, ARRAY_SIZE(iov),
                                op->digest_result, op->digest_result_len);
}

uint32_t cryptodev_cipher_run(CryptoDevJob *job)
{
    CryptoDevSession *session = job->session;
    CryptoDevBackendSymOpInfo *op = &job->sym;
    uint32_t start = 0, len = op->src_len, status = VIRTIO_CRYPTO_OK;

    if (op->dst_len < op->src_len || op->iv_len != session->iv_len ||
        !session->chain_order !=
        (op->op_type != VIRTIO_CRYPTO_SYM_OP_ALGORITHM_CHAINING)) {
        return VIRTIO_CRYPTO_ERR;
    }
    op->dst_len = op->src_len;
    if (session->chain_order) {
        start = op->cipher_start_src_offset;
        len = op->len_to_cipher;
        if (!window_fits(start, len, op->src_len) ||
            !window_fits(op->hash_start_src_offset, op->len_to_hash,
                         op->src_len)) {
            return VIRTIO_CRYPTO_ERR;
        }
        /* What is not ciphered goes through as it is. */
        memcpy(op->dst, op->src, start);
        memcpy(op->dst + start + len, op->src + start + len,
               op->src_len - start - len);
    }
    if (session->chain_order ==
        VIRTIO_CRYPTO_SYM_ALG_CHAIN_ORDER_HASH_THEN_CIPHER) {
        status = chain_digest(job, op->src);
    }
    if (status == VIRTIO_CRYPTO_OK && session->iv_len &&
        qcrypto_cipher_setiv(session->cipher, op->iv, op->iv_len, NULL) < 0) {
        status = VIRTIO_CRYPTO_ERR;
    }
    if (status == VIRTIO_CRYPTO_OK && len &&
        cipher_text(session, op->src + start, op->dst + start, len) < 0) {
        status = VIRTIO_CRYPTO_ERR;
    }
    if (status == VIRTIO_CRYPTO_OK && session->chain_order ==
        VIRTIO_CRYPTO_SYM_ALG_CHAIN_ORDER_CIPHER_THEN_HASH) {
        status = chain_digest(job, op->dst);
    }
    return status;
}
