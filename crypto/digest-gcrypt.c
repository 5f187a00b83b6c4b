/*
 * Message digests by libgcrypt
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/digest.h"
#include "qapi/error.h"
#include <gcrypt.h>

static const int digest_algos[QCRYPTO_DIGEST_ALGO__MAX] = {
    [QCRYPTO_DIGEST_ALGO_MD5] = GCRY_MD_MD5,
    [QCRYPTO_DIGEST_ALGO_SHA1] = GCRY_MD_SHA1,
    [QCRYPTO_DIGEST_ALGO_SHA224] = GCRY_MD_SHA224,
    [QCRYPTO_DIGEST_ALGO_SHA256] = GCRY_MD_SHA256,
    [QCRYPTO_DIGEST_ALGO_SHA384] = GCRY_MD_SHA384,
    [QCRYPTO_DIGEST_ALGO_SHA512] = GCRY_MD_SHA512,
    [QCRYPTO_DIGEST_ALGO_SHA3_224] = GCRY_MD_SHA3_224,
    [QCRYPTO_DIGEST_ALGO_SHA3_256] = GCRY_MD_SHA3_256,
    [QCRYPTO_DIGEST_ALGO_SHA3_384] = GCRY_MD_SHA3_384,
    [QCRYPTO_DIGEST_ALGO_SHA3_512] = GCRY_MD_SHA3_512,
    [QCRYPTO_DIGEST_ALGO_SHAKE128] = GCRY_MD_SHAKE128,
    [QCRYPTO_DIGEST_ALGO_SHAKE256] = GCRY_MD_SHAKE256,
};

bool qcrypto_digest_supports(QCryptoDigestAlgo alg)
{
    return alg < QCRYPTO_DIGEST_ALGO__MAX &&
           !gcry_md_test_algo(digest_algos[alg]);
}

size_t qcrypto_digest_len(QCryptoDigestAlgo alg)
{
    if (alg == QCRYPTO_DIGEST_ALGO_SHAKE128 ||
        alg == QCRYPTO_DIGEST_ALGO_SHAKE256) {
        return 0;
    }
    return gcry_md_get_algo_dlen(digest_algos[alg]);
}

int qcrypto_digest_bytesv(QCryptoDigestAlgo alg, const struct iovec *iov,
                          size_t niov, uint8_t *out, size_t out_len,
                          Error **errp)
{
    size_t whole = qcrypto_digest_len(alg);
    gcry_md_hd_t handle;
    gcry_error_t err;

    if (whole && out_len > whole) {
        error_setg(errp, "%zu bytes asked of a digest of %zu", out_len, whole);
        return -1;
    }
    err = gcry_md_open(&handle, digest_algos[alg], 0);
    if (err) {
        error_setg(errp, "Cannot set up digest: %s", gcry_strerror(err));
        return -1;
    }
    for (size_t i = 0; i < niov; i++) {
        gcry_md_write(handle, iov[i].iov_base, iov[i].iov_len);
    }
    if (whole) {
        memcpy(out, gcry_md_read(handle, 0), out_len);
    } else {
        err = gcry_md_extract(handle, 0, out, out_len);
    }
    gcry_md_close(handle);
    if (err) {
        error_setg(errp, "Cannot read digest: %s", gcry_strerror(err));
        return -1;
    }
    return 0;
}
