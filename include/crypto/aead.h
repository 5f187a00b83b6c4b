/*
 * Authenticated encryption with associated data
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QCRYPTO_AEAD_H
#define QCRYPTO_AEAD_H

typedef struct QCryptoAead QCryptoAead;

typedef enum QCryptoAeadAlgo {
    QCRYPTO_AEAD_ALGO_AES_GCM,              /* NIST SP 800-38D */
    QCRYPTO_AEAD_ALGO_AES_CCM,              /* NIST SP 800-38C */
    QCRYPTO_AEAD_ALGO_CHACHA20_POLY1305,    /* RFC 8439 */
} QCryptoAeadAlgo;

/**
 * QCryptoAeadText: one message
 * @nonce: @nonce_len bytes; CCM takes 7 to 13, ChaCha20-Poly1305 12
 * @aad: @aad_len bytes that are authenticated and not encrypted
 * @in: @len bytes to encrypt or decrypt
 * @out: room for @len bytes; either @in itself or not overlapping it
 * @tag: @tag_len bytes, written by encryption and read by decryption
 *
 * Lengths are in bytes; all memory stays the caller's.
 */
typedef struct QCryptoAeadText {
    const uint8_t *nonce;
    size_t nonce_len;
    const uint8_t *aad;
    size_t aad_len;
    const uint8_t *in;
    uint8_t *out;
    size_t len;
    uint8_t *tag;
    size_t tag_len;
} QCryptoAeadText;

/** Whether the library can do @alg, asked at run time */
bool qcrypto_aead_supports(QCryptoAeadAlgo alg);

/**
 * qcrypto_aead_new:
 * @alg: the algorithm
 * @key: @key_len bytes, copied; AES takes 16, 24 or 32, ChaCha20 32
 * @errp: set on failure
 *
 * Returns: a context for qcrypto_aead_free(), or NULL. A context is for one
 * thread at a time.
 */
QCryptoAead *qcrypto_aead_new(QCryptoAeadAlgo alg, const uint8_t *key,
                              size_t key_len, Error **errp);

/** Free @aead, NULL allowed; the library clears its key schedule */
void qcrypto_aead_free(QCryptoAead *aead);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(QCryptoAead, qcrypto_aead_free)

/** Whether @alg can make tags of @len bytes */
bool qcrypto_aead_tag_len_valid(QCryptoAeadAlgo alg, size_t len);

/**
 * qcrypto_aead_encrypt:
 *
 * Returns: 0, or -EINVAL with @errp set when the library refuses the nonce or
 * a length; @text->out is undefined then.
 */
int qcrypto_aead_encrypt(QCryptoAead *aead, const QCryptoAeadText *text,
                         Error **errp);

/**
 * qcrypto_aead_decrypt:
 *
 * The tag is compared in constant time. Unless 0 is returned, @text->out has
 * been cleared.
 *
 * Returns: 0, -EBADMSG (@errp not set) when the tag is wrong, -EINVAL with
 * @errp set when the library refuses the nonce or a length.
 */
int qcrypto_aead_decrypt(QCryptoAead *aead, const QCryptoAeadText *text,
                         Error **errp);

#endif
