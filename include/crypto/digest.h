/*
 * Message digests, with SHA-3 and its output functions
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * crypto/hash.h names its algorithms by a QAPI enumeration and allocates each
 * result; here are those that it lacks, in one call, with the length of the
 * result chosen by the caller.
 */

#ifndef QCRYPTO_DIGEST_H
#define QCRYPTO_DIGEST_H

typedef enum QCryptoDigestAlgo {
    QCRYPTO_DIGEST_ALGO_MD5,
    QCRYPTO_DIGEST_ALGO_SHA1,
    QCRYPTO_DIGEST_ALGO_SHA224,
    QCRYPTO_DIGEST_ALGO_SHA256,
    QCRYPTO_DIGEST_ALGO_SHA384,
    QCRYPTO_DIGEST_ALGO_SHA512,
    QCRYPTO_DIGEST_ALGO_SHA3_224,
    QCRYPTO_DIGEST_ALGO_SHA3_256,
    QCRYPTO_DIGEST_ALGO_SHA3_384,
    QCRYPTO_DIGEST_ALGO_SHA3_512,
    QCRYPTO_DIGEST_ALGO_SHAKE128,
    QCRYPTO_DIGEST_ALGO_SHAKE256,
    QCRYPTO_DIGEST_ALGO__MAX,
} QCryptoDigestAlgo;

/** Whether the library can do @alg, asked at run time */
bool qcrypto_digest_supports(QCryptoDigestAlgo alg);

/** Bytes of a whole digest; 0 for SHAKE, which gives as many as are asked */
size_t qcrypto_digest_len(QCryptoDigestAlgo alg);

/**
 * qcrypto_digest_bytesv:
 * @iov: @niov pieces of the message
 * @out: room for @out_len bytes
 * @out_len: bytes of the digest to give, from its start
 *
 * Context: any thread.
 *
 * Returns: 0, or -1 with @errp set when @alg is not supported or @out_len is
 * more than the digest has.
 */
int qcrypto_digest_bytesv(QCryptoDigestAlgo alg, const struct iovec *iov,
                          size_t niov, uint8_t *out, size_t out_len,
                          Error **errp);

#endif
