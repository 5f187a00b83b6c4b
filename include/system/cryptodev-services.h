/*
 * Crypto backends that serve every service of virtio-crypto in this process
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * CryptoDevBackendClass names a session by a number and knows ciphers and RSA
 * only. A backend that also implements this interface is given whole sessions
 * and jobs. Jobs still go through cryptodev_backend_crypto_operation(), so
 * throttling and statistics apply; the backend's do_op gets the CryptoDevJob
 * that holds the CryptoDevBackendOpInfo, always answers through its callback
 * and returns 0.
 */

#ifndef CRYPTODEV_SERVICES_H
#define CRYPTODEV_SERVICES_H

#include "qom/object.h"
#include "system/cryptodev.h"

#define TYPE_CRYPTODEV_SERVICES "cryptodev-services"
typedef struct CryptoDevServicesClass CryptoDevServicesClass;
DECLARE_CLASS_CHECKERS(CryptoDevServicesClass, CRYPTODEV_SERVICES,
                       TYPE_CRYPTODEV_SERVICES)

/** What a backend keeps for a session; opaque to the device */
typedef struct CryptoDevSession CryptoDevSession;

/**
 * CryptoDevAuthSpec: the hash half of a chain (virtio 1.3, 5.9.7.2.1)
 * @order: VIRTIO_CRYPTO_SYM_ALG_CHAIN_ORDER_*, 0 when there is no chain
 * @mode: VIRTIO_CRYPTO_SYM_HASH_MODE_*
 * @algo: hash or MAC algorithm, by @mode
 * @key: @key_len bytes of a MAC's key
 * @result_len: bytes of the result
 */
typedef struct CryptoDevAuthSpec {
    uint32_t order;
    uint32_t mode;
    uint32_t algo;
    uint8_t *key;
    uint32_t key_len;
    uint32_t result_len;
} CryptoDevAuthSpec;

/**
 * CryptoDevSessionSpec: what a driver asks for in a create request
 * @service: VIRTIO_CRYPTO_SERVICE_*
 * @algo: algorithm of the service
 * @op: VIRTIO_CRYPTO_OP_*, of CIPHER and AEAD
 * @key: @key_len bytes; of a MAC the authentication key
 * @result_len: bytes of a digest, MAC or tag
 * @auth: the other half of a chain
 * @key_type: VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_*
 * @rsa_padding, @rsa_hash: VIRTIO_CRYPTO_RSA_*
 *
 * Values come from the guest; only the lengths have been checked, against
 * max_cipher_key_len and max_auth_key_len. Keys belong to the caller.
 */
typedef struct CryptoDevSessionSpec {
    uint32_t service;
    uint32_t algo;
    uint32_t op;
    uint8_t *key;
    uint32_t key_len;
    uint32_t result_len;
    CryptoDevAuthSpec auth;
    uint32_t key_type;
    uint32_t rsa_padding;
    uint32_t rsa_hash;
} CryptoDevSessionSpec;

/**
 * CryptoDevJob: one operation
 * @info: link in the backend's queue and callback. Its algtype and op_code say
 *        what to account the job as: everything but RSA counts as symmetric,
 *        hashes and MACs as encryption.
 * @session: kept alive by the device until the callback has run
 * @op_code: VIRTIO_CRYPTO_<service>_<operation>, of the session's service
 * @asym: operands of AKCIPHER; dst_len is room before and length after
 * @sym: operands of all others. dst_len is room before and length after; an
 *       AEAD's tag is part of src and dst. Last: it ends in a flexible array.
 *
 * Operands are the device's memory, never the guest's.
 */
typedef struct CryptoDevJob {
    CryptoDevBackendOpInfo info;
    CryptoDevSession *session;
    uint32_t op_code;
    CryptoDevBackendAsymOpInfo asym;
    CryptoDevBackendSymOpInfo sym;
} CryptoDevJob;

struct CryptoDevServicesClass {
    InterfaceClass parent_class;

    /*
     * Make a session. Context: BQL held.
     * Returns: VIRTIO_CRYPTO_OK with *session set, to be given back to
     * session_free, or another status of the standard.
     */
    uint32_t (*session_new)(CryptoDevBackend *backend,
                            const CryptoDevSessionSpec *spec,
                            CryptoDevSession **session);

    /* Forget a session and clear its keys. Context: BQL held, no job left. */
    void (*session_free)(CryptoDevSession *session);
};

#endif
