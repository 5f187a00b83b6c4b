/*
 * Message authentication codes by libgcrypt
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/mac.h"
#include "crypto/wipe.h"
#include "qapi/error.h"
#include <gcrypt.h>

struct QCryptoMac {
    QCryptoMacAlgo alg;
    gcry_mac_hd_t handle;
};

static const int mac_algos[QCRYPTO_MAC_ALGO__MAX] = {
    [QCRYPTO_MAC_ALGO_HMAC_MD5] = GCRY_MAC_HMAC_MD5,
    [QCRYPTO_MAC_ALGO_HMAC_SHA1] = GCRY_MAC_HMAC_SHA1,
    [QCRYPTO_MAC_ALGO_HMAC_SHA224] = GCRY_MAC_HMAC_SHA224,
    [QCRYPTO_MAC_ALGO_HMAC_SHA256] = GCRY_MAC_HMAC_SHA256,
    [QCRYPTO_MAC_ALGO_HMAC_SHA384] = GCRY_MAC_HMAC_SHA384,
    [QCRYPTO_MAC_ALGO_HMAC_SHA512] = GCRY_MAC_HMAC_SHA512,
    [QCRYPTO_MAC_ALGO_CMAC_3DES] = GCRY_MAC_CMAC_3DES,
    [QCRYPTO_MAC_ALGO_CMAC_AES] = GCRY_MAC_CMAC_AES,
};

bool qcrypto_mac_supports(QCryptoMacAlgo alg)
{
    return alg < QCRYPTO_MAC_ALGO__MAX && !gcry_mac_test_algo(mac_algos[alg]);
}

size_t qcrypto_mac_len(QCryptoMacAlgo alg)
{
    return gcry_mac_get_algo_maclen(mac_algos[alg]);
}

QCryptoMac *qcrypto_mac_new(QCryptoMacAlgo alg, const uint8_t *key,
                            size_t key_len, Error **errp)
{
    QCryptoMac *mac = g_new0(QCryptoMac, 1);
    gcry_error_t err;

    mac->alg = alg;
    err = gcry_mac_open(&mac->handle, mac_algos[alg], 0, NULL);
    if (!err) {
        err = gcry_mac_setkey(mac->handle, key, key_len);
    }
    if (err) {
        error_setg(errp, "Cannot set up MAC: %s", gcry_strerror(err));
        qcrypto_mac_free(mac);
        return NULL;
    }
    return mac;
}

void qcrypto_mac_free(QCryptoMac *mac)
{
    if (mac) {
        gcry_mac_close(mac->handle);
        g_free(mac);
    }
}

int qcrypto_mac_bytesv(QCryptoMac *mac, const struct iovec *iov, size_t niov,
                       uint8_t *out, size_t out_len, Error **errp)
{
    uint8_t whole[QCRYPTO_MAC_MAX_LEN];
    size_t len = qcrypto_mac_len(mac->alg);
    gcry_error_t err = 0;

    if (out_len > len) {
        error_setg(errp, "%zu bytes asked of a MAC of %zu", out_len, len);
        return -1;
    }
    for (size_t i = 0; i < niov && !err; i++) {
        err = gcry_mac_write(mac->handle, iov[i].iov_base, iov[i].iov_len);
    }
    if (!err) {
        err = gcry_mac_read(mac->handle, whole, &len);
    }
    gcry_mac_reset(mac->handle);
    if (err) {
        error_setg(errp, "Cannot compute MAC: %s", gcry_strerror(err));
        return -1;
    }
    memcpy(out, whole, out_len);
    qcrypto_wipe(whole, sizeof(whole));
    return 0;
}
