/*
 * AEAD, digests and MACs of a build without libgcrypt: none
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/aead.h"
#include "crypto/digest.h"
#include "crypto/mac.h"
#include "qapi/error.h"

bool qcrypto_aead_supports(QCryptoAeadAlgo alg)
{
    return false;
}

bool qcrypto_aead_tag_len_valid(QCryptoAeadAlgo alg, size_t len)
{
    return false;
}

QCryptoAead *qcrypto_aead_new(QCryptoAeadAlgo alg, const uint8_t *key,
                              size_t key_len, Error **errp)
{
    error_setg(errp, "AEAD needs a build with libgcrypt");
    return NULL;
}

void qcrypto_aead_free(QCryptoAead *aead)
{
}

int qcrypto_aead_encrypt(QCryptoAead *aead, const QCryptoAeadText *text,
                         Error **errp)
{
    error_setg(errp, "AEAD needs a build with libgcrypt");
    return -EINVAL;
}

int qcrypto_aead_decrypt(QCryptoAead *aead, const QCryptoAeadText *text,
                         Error **errp)
{
    error_setg(errp, "AEAD needs a build with libgcrypt");
    return -EINVAL;
}

bool qcrypto_digest_supports(QCryptoDigestAlgo alg)
{
    return false;
}

size_t qcrypto_digest_len(QCryptoDigestAlgo alg)
{
    return 0;
}

int qcrypto_digest_bytesv(QCryptoDigestAlgo alg, const struct iovec *iov,
                          size_t niov, uint8_t *out, size_t out_len,
                          Error **errp)
{
    error_setg(errp, "Digests need a build with libgcrypt");
    return -1;
}

bool qcrypto_mac_supports(QCryptoMacAlgo alg)
{
    return false;
}

size_t qcrypto_mac_len(QCryptoMacAlgo alg)
{
    return 0;
}

QCryptoMac *qcrypto_mac_new(QCryptoMacAlgo alg, const uint8_t *key,
                            size_t key_len, Error **errp)
{
    error_setg(errp, "MACs need a build with libgcrypt");
    return NULL;
}

void qcrypto_mac_free(QCryptoMac *mac)
{
}

int qcrypto_mac_bytesv(QCryptoMac *mac, const struct iovec *iov, size_t niov,
                       uint8_t *out, size_t out_len, Error **errp)
{
    error_setg(errp, "MACs need a build with libgcrypt");
    return -1;
}
