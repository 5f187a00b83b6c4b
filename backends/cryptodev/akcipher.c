/*
 * The built-in crypto backend: AKCIPHER, which is RSA
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/der.h"
#include "crypto/rsakey.h"
#include "crypto/wipe.h"
#include "engine.h"

/* The standard's hash of PKCS#1 signatures */
static bool rsa_hash(uint32_t hash, QCryptoHashAlgo *found)
{
    switch (hash) {
    case VIRTIO_CRYPTO_RSA_MD5:
        *found = QCRYPTO_HASH_ALGO_MD5;
        return true;
    case VIRTIO_CRYPTO_RSA_SHA1:
        *found = QCRYPTO_HASH_ALGO_SHA1;
        return true;
    case VIRTIO_CRYPTO_RSA_SHA224:
        *found = QCRYPTO_HASH_ALGO_SHA224;
        return true;
    case VIRTIO_CRYPTO_RSA_SHA256:
        *found = QCRYPTO_HASH_ALGO_SHA256;
        return true;
    case VIRTIO_CRYPTO_RSA_SHA384:
        *found = QCRYPTO_HASH_ALGO_SHA384;
        return true;
    case VIRTIO_CRYPTO_RSA_SHA512:
        *found = QCRYPTO_HASH_ALGO_SHA512;
        return true;
    default:
        return false;
    }
}

/* Bytes of a number without its leading zeros; 0: it is zero */
static size_t mpi_len(const QCryptoAkCipherMPI *mpi)
{
    size_t skip = 0;

    while (skip < mpi->len && !mpi->data[skip]) {
        skip++;
    }
    return mpi->len - skip;
}

static bool mpi_odd(const QCryptoAkCipherMPI *mpi)
{
    return mpi->len && (mpi->data[mpi->len - 1] & 1);
}

/*
 * The library takes any integers for a key. It divides by the modulus, and by
 * each factor less one; if that is zero it ends the process. And its time
 * grows with their lengths.
 *
 * Returns: bytes of the modulus; 0: not a key to work with
 */
static size_t rsa_check(QCryptoAkCipherKeyType type,
                        const QCryptoAkCipherRSAKey *key)
{
    const QCryptoAkCipherMPI *factors[] = { &key->p, &key->q };
    size_t len = mpi_len(&key->n);

    if (len < 512 / 8 || len > CRYPTODEV_RSA_MAX_BYTES || !mpi_odd(&key->n) ||
        !mpi_len(&key->e) || mpi_len(&key->e) > len) {
        return 0;
    }
    if (type == QCRYPTO_AK_CIPHER_KEY_TYPE_PUBLIC) {
        return len;
    }
    if (!mpi_len(&key->d) || mpi_len(&key->d) > len) {
        return 0;
    }
    /* Without factors, which are zero then, the exponent does it alone. */
    if (!mpi_len(&key->p) || !mpi_len(&key->q)) {
        return len;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(factors); i++) {
        if (!mpi_odd(factors[i]) || mpi_len(factors[i]) < 2 ||
            mpi_len(factors[i]) > len) {
            return 0;
        }
    }
    return len;
}

/*
 * A key's numbers are not negative, and drivers leave out the zero byte that
 * DER wants in front of a set top bit: Linux takes such keys and its self-test
 * has some. The library would take the number for a negative one.
 */
static void put_number(QCryptoEncodeContext *der, QCryptoAkCipherMPI *mpi)
{
    if (mpi->data[0] & 0x80) {
        mpi->data = g_realloc(mpi->data, mpi->len + 1);
        memmove(mpi->data + 1, mpi->data, mpi->len);
        mpi->data[0] = 0;
        mpi->len++;
    }
    qcrypto_der_encode_int(der, mpi->data, mpi->len);
}

static QCryptoAkCipher *rsa_new(const QCryptoAkCipherOptions *opts,
                                QCryptoAkCipherKeyType type,
                                QCryptoAkCipherRSAKey *key)
{
    static const uint8_t version;
    QCryptoAkCipherMPI *numbers[] = {
        &key->n, &key->e, &key->d, &key->p, &key->q, &key->dp, &key->dq,
        &key->u,
    };
    bool public = type == QCRYPTO_AK_CIPHER_KEY_TYPE_PUBLIC;
    QCryptoEncodeContext *der = qcrypto_der_encode_ctx_new();
    g_autofree uint8_t *buf = NULL;
    QCryptoAkCipher *akcipher;
    size_t len;

    qcrypto_der_encode_seq_begin(der);
    if (!public) {
        qcrypto_der_encode_int(der, &version, sizeof(version));
    }
    for (unsigned i = 0; i < (public ? 2 : ARRAY_SIZE(numbers)); i++) {
        put_number(der, numbers[i]);
    }
    qcrypto_der_encode_seq_end(der);
    len = qcrypto_der_encode_ctx_buffer_len(der);
    buf = g_malloc(len);
    qcrypto_der_encode_ctx_flush_and_free(der, buf);
    akcipher = qcrypto_akcipher_new(opts, type, buf, len, NULL);
    qcrypto_wipe(buf, len);
    return akcipher;
}

uint32_t cryptodev_akcipher_setup(CryptoDevSession *session,
                                  const CryptoDevSessionSpec *spec)
{
    QCryptoAkCipherOptions opts = { .alg = QCRYPTO_AK_CIPHER_ALGO_RSA };
    g_autoptr(QCryptoAkCipherRSAKey) key = NULL;
    QCryptoAkCipherKeyType type;

    if (spec->algo != VIRTIO_CRYPTO_AKCIPHER_RSA) {
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    switch (spec->key_type) {
    case VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_PUBLIC:
        type = QCRYPTO_AK_CIPHER_KEY_TYPE_PUBLIC;
        break;
    case VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_PRIVATE:
        type = QCRYPTO_AK_CIPHER_KEY_TYPE_PRIVATE;
        break;
    default:
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    switch (spec->rsa_padding) {
    case VIRTIO_CRYPTO_RSA_RAW_PADDING:
        opts.u.rsa.padding_alg = QCRYPTO_RSA_PADDING_ALGO_RAW;
        break;
    case VIRTIO_CRYPTO_RSA_PKCS1_PADDING:
        opts.u.rsa.padding_alg = QCRYPTO_RSA_PADDING_ALGO_PKCS1;
        /* Encryption and decryption do not look at the hash. */
        session->no_hash = spec->rsa_hash == VIRTIO_CRYPTO_RSA_NO_HASH;
        opts.u.rsa.hash_alg = QCRYPTO_HASH_ALGO_SHA256;
        if (!session->no_hash &&
            !rsa_hash(spec->rsa_hash, &opts.u.rsa.hash_alg)) {
            return VIRTIO_CRYPTO_NOTSUPP;
        }
        break;
    default:
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    if (!qcrypto_akcipher_supports(&opts)) {
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    session->raw = spec->rsa_padding == VIRTIO_CRYPTO_RSA_RAW_PADDING;
    key = qcrypto_akcipher_rsakey_parse(type, spec->key, spec->key_len, NULL);
    session->modulus_len = key ? rsa_check(type, key) : 0;
    if (!session->modulus_len) {
        return VIRTIO_CRYPTO_ERR;
    }
    session->akcipher = rsa_new(&opts, type, key);
    return session->akcipher ? VIRTIO_CRYPTO_OK : VIRTIO_CRYPTO_ERR;
}

uint32_t cryptodev_akcipher_run(CryptoDevJob *job)
{
    CryptoDevSession *session = job->session;
    CryptoDevBackendAsymOpInfo *op = &job->asym;
    size_t room = MIN(op->dst_len, session->modulus_len);
    int ret = -1;

    switch (job->op_code) {
    case VIRTIO_CRYPTO_AKCIPHER_ENCRYPT:
        /* A raw result is as long as the modulus, zeros in front (D20). */
        if (!session->raw || room == session->modulus_len) {
            ret = qcrypto_akcipher_encrypt(session->akcipher, op->src,
                                           op->src_len, op->dst, room, NULL);
        }
        break;
    case VIRTIO_CRYPTO_AKCIPHER_DECRYPT:
        if (!session->raw || room == session->modulus_len) {
            ret = qcrypto_akcipher_decrypt(session->akcipher, op->src,
                                           op->src_len, op->dst, room, NULL);
        }
        break;
    case VIRTIO_CRYPTO_AKCIPHER_SIGN:
        if (!session->raw && !session->no_hash) {
            ret = qcrypto_akcipher_sign(session->akcipher, op->src,
                                        op->src_len, op->dst, room, NULL);
        }
        break;
    case VIRTIO_CRYPTO_AKCIPHER_VERIFY:
        if (session->raw || session->no_hash) {
            break;
        }
        ret = qcrypto_akcipher_verify(session->akcipher, op->src, op->src_len,
                                      op->dst, op->dst_len, NULL);
        if (ret < 0) {
            return VIRTIO_CRYPTO_KEY_REJECTED;
        }
        op->dst_len = 0;
        return VIRTIO_CRYPTO_OK;
    default:
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    if (ret < 0) {
        return VIRTIO_CRYPTO_ERR;
    }
    op->dst_len = ret;
    return VIRTIO_CRYPTO_OK;
}
