/*
 * Message authentication codes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QCRYPTO_MAC_H
#define QCRYPTO_MAC_H

typedef struct QCryptoMac QCryptoMac;

typedef enum QCryptoMacAlgo {
    QCRYPTO_MAC_ALGO_HMAC_MD5,      /* RFC 2104 */
    QCRYPTO_MAC_ALGO_HMAC_SHA1,
    QCRYPTO_MAC_ALGO_HMAC_SHA224,
    QCRYPTO_MAC_ALGO_HMAC_SHA256,
    QCRYPTO_MAC_ALGO_HMAC_SHA384,
    QCRYPTO_MAC_ALGO_HMAC_SHA512,
    QCRYPTO_MAC_ALGO_CMAC_3DES,     /* NIST SP 800-38B */
    QCRYPTO_MAC_ALGO_CMAC_AES,
    QCRYPTO_MAC_ALGO__MAX,
} QCryptoMacAlgo;

/* No algorithm above gives more bytes */
#define QCRYPTO_MAC_MAX_LEN 64

/** Whether the library can do @alg, asked at run time */
bool qcrypto_mac_supports(QCryptoMacAlgo alg);

/** Bytes of a whole code of @alg */
size_t qcrypto_mac_len(QCryptoMacAlgo alg);

/**
 * qcrypto_mac_new:
 * @key: @key_len bytes, copied; HMAC takes any length, CMAC that of a key of
 *       the cipher
 *
 * Returns: a context for qcrypto_mac_free(), or NULL with @errp set. A
 * context is for one thread at a time.
 */
QCryptoMac *qcrypto_mac_new(QCryptoMacAlgo alg, const uint8_t *key,
                            size_t key_len, Error **errp);

/** Free @mac, NULL allowed; the library clears its key */
void qcrypto_mac_free(QCryptoMac *mac);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(QCryptoMac, qcrypto_mac_free)

/**
 * qcrypto_mac_bytesv:
 * @iov: @niov pieces of the message
 * @out: room for @out_len bytes
 * @out_len: bytes of the code to give, from its start
 *
 * Returns: 0, or -1 with @errp set. The context is ready for the next message
 * either way.
 */
int qcrypto_mac_bytesv(QCryptoMac *mac, const struct iovec *iov, size_t niov,
                       uint8_t *out, size_t out_len, Error **errp);

#endif
