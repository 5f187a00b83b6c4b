/*
 * The built-in crypto backend: algorithms of the standard and of the library
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "engine.h"

/* Indexed by the standard's number, plus 1 so that 0 means none */
static const uint8_t hash_algos[] = {
    [VIRTIO_CRYPTO_HASH_MD5] = QCRYPTO_DIGEST_ALGO_MD5 + 1,
    [VIRTIO_CRYPTO_HASH_SHA1] = QCRYPTO_DIGEST_ALGO_SHA1 + 1,
    [VIRTIO_CRYPTO_HASH_SHA_224] = QCRYPTO_DIGEST_ALGO_SHA224 + 1,
    [VIRTIO_CRYPTO_HASH_SHA_256] = QCRYPTO_DIGEST_ALGO_SHA256 + 1,
    [VIRTIO_CRYPTO_HASH_SHA_384] = QCRYPTO_DIGEST_ALGO_SHA384 + 1,
    [VIRTIO_CRYPTO_HASH_SHA_512] = QCRYPTO_DIGEST_ALGO_SHA512 + 1,
    [VIRTIO_CRYPTO_HASH_SHA3_224] = QCRYPTO_DIGEST_ALGO_SHA3_224 + 1,
    [VIRTIO_CRYPTO_HASH_SHA3_256] = QCRYPTO_DIGEST_ALGO_SHA3_256 + 1,
    [VIRTIO_CRYPTO_HASH_SHA3_384] = QCRYPTO_DIGEST_ALGO_SHA3_384 + 1,
    [VIRTIO_CRYPTO_HASH_SHA3_512] = QCRYPTO_DIGEST_ALGO_SHA3_512 + 1,
    [VIRTIO_CRYPTO_HASH_SHA3_SHAKE128] = QCRYPTO_DIGEST_ALGO_SHAKE128 + 1,
    [VIRTIO_CRYPTO_HASH_SHA3_SHAKE256] = QCRYPTO_DIGEST_ALGO_SHAKE256 + 1,
};

static const uint8_t mac_algos[] = {
    [VIRTIO_CRYPTO_MAC_HMAC_MD5] = QCRYPTO_MAC_ALGO_HMAC_MD5 + 1,
    [VIRTIO_CRYPTO_MAC_HMAC_SHA1] = QCRYPTO_MAC_ALGO_HMAC_SHA1 + 1,
    [VIRTIO_CRYPTO_MAC_HMAC_SHA_224] = QCRYPTO_MAC_ALGO_HMAC_SHA224 + 1,
    [VIRTIO_CRYPTO_MAC_HMAC_SHA_256] = QCRYPTO_MAC_ALGO_HMAC_SHA256 + 1,
    [VIRTIO_CRYPTO_MAC_HMAC_SHA_384] = QCRYPTO_MAC_ALGO_HMAC_SHA384 + 1,
    [VIRTIO_CRYPTO_MAC_HMAC_SHA_512] = QCRYPTO_MAC_ALGO_HMAC_SHA512 + 1,
    [VIRTIO_CRYPTO_MAC_CMAC_3DES] = QCRYPTO_MAC_ALGO_CMAC_3DES + 1,
    [VIRTIO_CRYPTO_MAC_CMAC_AES] = QCRYPTO_MAC_ALGO_CMAC_AES + 1,
};

static const uint8_t aead_algos[] = {
    [VIRTIO_CRYPTO_AEAD_GCM] = QCRYPTO_AEAD_ALGO_AES_GCM + 1,
    [VIRTIO_CRYPTO_AEAD_CCM] = QCRYPTO_AEAD_ALGO_AES_CCM + 1,
    [VIRTIO_CRYPTO_AEAD_CHACHA20_POLY1305] =
        QCRYPTO_AEAD_ALGO_CHACHA20_POLY1305 + 1,
};

bool cryptodev_hash_algo(uint32_t algo, QCryptoDigestAlgo *found)
{
    if (algo >= ARRAY_SIZE(hash_algos) || !hash_algos[algo]) {
        return false;
    }
    *found = hash_algos[algo] - 1;
    return qcrypto_digest_supports(*found);
}

bool cryptodev_mac_algo(uint32_t algo, QCryptoMacAlgo *found)
{
    if (algo >= ARRAY_SIZE(mac_algos) || !mac_algos[algo]) {
        return false;
    }
    *found = mac_algos[algo] - 1;
    return qcrypto_mac_supports(*found);
}

bool cryptodev_aead_algo(uint32_t algo, QCryptoAeadAlgo *found)
{
    if (algo >= ARRAY_SIZE(aead_algos) || !aead_algos[algo]) {
        return false;
    }
    *found = aead_algos[algo] - 1;
    return qcrypto_aead_supports(*found);
}

static bool aes_algo(uint32_t key_len, QCryptoCipherAlgo *found)
{
    switch (key_len) {
    case 0:
    case 16:
        *found = QCRYPTO_CIPHER_ALGO_AES_128;
        return true;
    case 24:
        *found = QCRYPTO_CIPHER_ALGO_AES_192;
        return true;
    case 32:
        *found = QCRYPTO_CIPHER_ALGO_AES_256;
        return true;
    default:
        return false;
    }
}

bool cryptodev_cipher_algo(uint32_t algo, uint32_t key_len,
                           QCryptoCipherAlgo *found, QCryptoCipherMode *mode)
{
    bool key_fits = true;

    switch (algo) {
    case VIRTIO_CRYPTO_CIPHER_AES_ECB:
    case VIRTIO_CRYPTO_CIPHER_DES_ECB:
    case VIRTIO_CRYPTO_CIPHER_3DES_ECB:
        *mode = QCRYPTO_CIPHER_MODE_ECB;
        break;
    case VIRTIO_CRYPTO_CIPHER_AES_CBC:
    case VIRTIO_CRYPTO_CIPHER_DES_CBC:
    case VIRTIO_CRYPTO_CIPHER_3DES_CBC:
        *mode = QCRYPTO_CIPHER_MODE_CBC;
        break;
    case VIRTIO_CRYPTO_CIPHER_AES_CTR:
    case VIRTIO_CRYPTO_CIPHER_3DES_CTR:
        *mode = QCRYPTO_CIPHER_MODE_CTR;
        break;
    case VIRTIO_CRYPTO_CIPHER_AES_XTS:
        *mode = QCRYPTO_CIPHER_MODE_XTS;
        break;
    default:
        return false;
    }
    switch (algo) {
    case VIRTIO_CRYPTO_CIPHER_DES_ECB:
    case VIRTIO_CRYPTO_CIPHER_DES_CBC:
        *found = QCRYPTO_CIPHER_ALGO_DES;
        key_fits = !key_len || key_len == 8;
        break;
    case VIRTIO_CRYPTO_CIPHER_3DES_ECB:
    case VIRTIO_CRYPTO_CIPHER_3DES_CBC:
    case VIRTIO_CRYPTO_CIPHER_3DES_CTR:
        *found = QCRYPTO_CIPHER_ALGO_3DES;
        key_fits = !key_len || key_len == 24;
        break;
    case VIRTIO_CRYPTO_CIPHER_AES_XTS:
        /* two keys; the standard's XTS has none of 192 bits */
        key_fits = !key_len || key_len == 32 || key_len == 64;
        key_fits = key_fits && aes_algo(key_len / 2, found);
        break;
    default:
        key_fits = aes_algo(key_len, found);
        break;
    }
    return key_fits && qcrypto_cipher_supports(*found, *mode);
}

void cryptodev_builtin_masks(CryptoDevBackendConf *conf)
{
    QCryptoAkCipherOptions rsa = {
        .alg = QCRYPTO_AK_CIPHER_ALGO_RSA,
        .u.rsa.padding_alg = QCRYPTO_RSA_PADDING_ALGO_RAW,
    };
    QCryptoCipherAlgo cipher;
    QCryptoCipherMode mode;
    QCryptoDigestAlgo digest;
    QCryptoMacAlgo mac;
    QCryptoAeadAlgo aead;
    uint64_t ciphers = 0, macs = 0;

    conf->hash_algo = 0;
    conf->aead_algo = 0;
    conf->akcipher_algo = 0;
    for (unsigned i = 0; i < 64; i++) {
        ciphers |= (uint64_t)cryptodev_cipher_algo(i, 0, &cipher, &mode) << i;
        macs |= (uint64_t)cryptodev_mac_algo(i, &mac) << i;
    }
    for (unsigned i = 0; i < 32; i++) {
        conf->hash_algo |= (uint32_t)cryptodev_hash_algo(i, &digest) << i;
        conf->aead_algo |= (uint32_t)cryptodev_aead_algo(i, &aead) << i;
    }
    if (qcrypto_akcipher_supports(&rsa)) {
        conf->akcipher_algo = 1u << VIRTIO_CRYPTO_AKCIPHER_RSA;
    }
    conf->cipher_algo_l = ciphers;
    conf->cipher_algo_h = ciphers >> 32;
    conf->mac_algo_l = macs;
    conf->mac_algo_h = macs >> 32;

    conf->crypto_services =
        (ciphers ? 1u << QCRYPTODEV_BACKEND_SERVICE_TYPE_CIPHER : 0) |
        (conf->hash_algo ? 1u << QCRYPTODEV_BACKEND_SERVICE_TYPE_HASH : 0) |
        (macs ? 1u << QCRYPTODEV_BACKEND_SERVICE_TYPE_MAC : 0) |
        (conf->aead_algo ? 1u << QCRYPTODEV_BACKEND_SERVICE_TYPE_AEAD : 0) |
        (conf->akcipher_algo ?
         1u << QCRYPTODEV_BACKEND_SERVICE_TYPE_AKCIPHER : 0);
}
