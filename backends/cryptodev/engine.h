/*
 * The built-in crypto backend: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each service has a setup function, which turns a driver's wish into a
 * session, and a run function, which does one job. Both return a status of
 * the standard, VIRTIO_CRYPTO_*, and take everything in the specification and
 * the job for hostile. Context: BQL held.
 */

#ifndef BACKENDS_CRYPTODEV_ENGINE_H
#define BACKENDS_CRYPTODEV_ENGINE_H

#include "crypto/aead.h"
#include "crypto/akcipher.h"
#include "crypto/cipher.h"
#include "crypto/digest.h"
#include "crypto/mac.h"
#include "standard-headers/linux/virtio_crypto.h"
#include "system/cryptodev-services.h"

/* A limit on the work of one job, of which RSA's grows with the key's cube */
#define CRYPTODEV_RSA_MAX_BYTES (4096 / 8)

struct CryptoDevSession {
    uint32_t service;
    bool encrypt;
    uint32_t result_len;        /* bytes of a digest, MAC or tag */

    QCryptoCipher *cipher;
    size_t iv_len, block_len;
    bool stream;                /* any length, not only whole blocks */
    uint32_t chain_order;       /* 0: no chain */

    QCryptoMac *mac;            /* of MAC, or of a chain */
    QCryptoDigestAlgo digest;   /* of HASH, or of a chain */

    QCryptoAead *aead;
    QCryptoAeadAlgo aead_algo;

    QCryptoAkCipher *akcipher;
    size_t modulus_len;         /* bytes */
    bool raw;                   /* RSA without padding */
    bool no_hash;               /* RSA that cannot sign or verify */
};

/** Fill the service and algorithm masks of @conf with what the libraries do */
void cryptodev_builtin_masks(CryptoDevBackendConf *conf);

/** The library's name of a hash algorithm of the standard; false: none */
bool cryptodev_hash_algo(uint32_t algo, QCryptoDigestAlgo *found);

/** The library's name of a MAC algorithm of the standard; false: none */
bool cryptodev_mac_algo(uint32_t algo, QCryptoMacAlgo *found);

/** The library's name of an AEAD algorithm of the standard; false: none */
bool cryptodev_aead_algo(uint32_t algo, QCryptoAeadAlgo *found);

/**
 * The library's name of a cipher of the standard; false: none
 * @key_len: bytes; 0 asks whether any key length will do
 */
bool cryptodev_cipher_algo(uint32_t algo, uint32_t key_len,
                           QCryptoCipherAlgo *found, QCryptoCipherMode *mode);

uint32_t cryptodev_cipher_setup(CryptoDevSession *session,
                                const CryptoDevSessionSpec *spec);
uint32_t cryptodev_hash_setup(CryptoDevSession *session, uint32_t algo,
                              uint32_t result_len);
uint32_t cryptodev_mac_setup(CryptoDevSession *session, uint32_t algo,
                             const uint8_t *key, uint32_t key_len,
                             uint32_t result_len);
uint32_t cryptodev_aead_setup(CryptoDevSession *session,
                              const CryptoDevSessionSpec *spec);
uint32_t cryptodev_akcipher_setup(CryptoDevSession *session,
                                  const CryptoDevSessionSpec *spec);

uint32_t cryptodev_cipher_run(CryptoDevJob *job);
uint32_t cryptodev_aead_run(CryptoDevJob *job);
uint32_t cryptodev_akcipher_run(CryptoDevJob *job);

/**
 * cryptodev_digest_run: a hash or a MAC
 * @iov: @niov pieces of the message
 * @out: room for @out_len bytes
 * @out_len: bytes asked for; 0 is refused
 */
uint32_t cryptodev_digest_run(CryptoDevSession *session,
                              const struct iovec *iov, unsigned niov,
                              uint8_t *out, uint32_t out_len);

#endif
