/*
 * Authenticated encryption by libgcrypt
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/aead.h"
#include "crypto/wipe.h"
#include "qapi/error.h"
#include <gcrypt.h>

struct QCryptoAead {
    QCryptoAeadAlgo alg;
    gcry_cipher_hd_t handle;
};

static int aead_mode(QCryptoAeadAlgo alg)
{
    switch (alg) {
    case QCRYPTO_AEAD_ALGO_AES_GCM:
        return GCRY_CIPHER_MODE_GCM;
    case QCRYPTO_AEAD_ALGO_AES_CCM:
        return GCRY_CIPHER_MODE_CCM;
    case QCRYPTO_AEAD_ALGO_CHACHA20_POLY1305:
        return GCRY_CIPHER_MODE_POLY1305;
    }
    return GCRY_CIPHER_MODE_NONE;
}

static int aead_cipher(QCryptoAeadAlgo alg, size_t key_len)
{
    if (alg == QCRYPTO_AEAD_ALGO_CHACHA20_POLY1305) {
        return key_len == 32 ? GCRY_CIPHER_CHACHA20 : GCRY_CIPHER_NONE;
    }
    switch (key_len) {
    case 16:
        return GCRY_CIPHER_AES128;
    case 24:
        return GCRY_CIPHER_AES192;
    case 32:
        return GCRY_CIPHER_AES256;
    default:
        return GCRY_CIPHER_NONE;
    }
}

bool qcrypto_aead_supports(QCryptoAeadAlgo alg)
{
    gcry_cipher_hd_t handle;

    /* The library has no question for a mode other than to open it. */
    if (gcry_cipher_open(&handle, aead_cipher(alg, 32), aead_mode(alg), 0)) {
        return false;
    }
    gcry_cipher_close(handle);
    return true;
}

bool qcrypto_aead_tag_len_valid(QCryptoAeadAlgo alg, size_t len)
{
    switch (alg) {
    case QCRYPTO_AEAD_ALGO_AES_GCM:
        return len == 4 || len == 8 || (len >= 12 && len <= 16);
    case QCRYPTO_AEAD_ALGO_AES_CCM:
        return len >= 4 && len <= 16 && !(len & 1);
    case QCRYPTO_AEAD_ALGO_CHACHA20_POLY1305:
        return len == 16;
    }
    return false;
}

static bool aead_nonce_len_valid(QCryptoAeadAlgo alg, size_t len)
{
    switch (alg) {
    case QCRYPTO_AEAD_ALGO_AES_GCM:
        return len > 0;
    case QCRYPTO_AEAD_ALGO_AES_CCM:
        return len >= 7 && len <= 13;
    case QCRYPTO_AEAD_ALGO_CHACHA20_POLY1305:
        return len == 12;
    }
    return false;
}

QCryptoAead *qcrypto_aead_new(QCryptoAeadAlgo alg, const uint8_t *key,
                              size_t key_len, Error **errp)
{
    int cipher = aead_cipher(alg, key_len);
    QCryptoAead *aead;
    gcry_error_t err;

    if (cipher == GCRY_CIPHER_NONE) {
        error_setg(errp, "AEAD key has %zu bytes", key_len);
        return NULL;
    }
    aead = g_new0(QCryptoAead, 1);
    aead->alg = alg;
    err = gcry_cipher_open(&aead->handle, cipher, aead_mode(alg), 0);
    if (!err) {
        err = gcry_cipher_setkey(aead->handle, key, key_len);
    }
    if (err) {
        error_setg(errp, "Cannot set up AEAD: %s", gcry_strerror(err));
        qcrypto_aead_free(aead);
        return NULL;
    }
    return aead;
}

void qcrypto_aead_free(QCryptoAead *aead)
{
    if (aead) {
        gcry_cipher_close(aead->handle);
        g_free(aead);
    }
}

/* Everything before the text itself; @len without the tag */
static gcry_error_t aead_begin(QCryptoAead *aead, const QCryptoAeadText *text)
{
    gcry_error_t err;

    gcry_cipher_reset(aead->handle);
    err = gcry_cipher_setiv(aead->handle, text->nonce, text->nonce_len);
    if (!err && aead->alg == QCRYPTO_AEAD_ALGO_AES_CCM) {
        uint64_t lengths[] = { text->len, text->aad_len, text->tag_len };

        err = gcry_cipher_ctl(aead->handle, GCRYCTL_SET_CCM_LENGTHS, lengths,
                              sizeof(lengths));
    }
    if (!err && text->aad_len) {
        err = gcry_cipher_authenticate(aead->handle, text->aad,
                                       text->aad_len);
    }
    if (!err) {
        err = gcry_cipher_final(aead->handle);
    }
    return err;
}

static bool aead_check(QCryptoAead *aead, const QCryptoAeadText *text,
                       Error **errp)
{
    if (!aead_nonce_len_valid(aead->alg, text->nonce_len)) {
        error_setg(errp, "AEAD nonce has %zu bytes", text->nonce_len);
        return false;
    }
    if (!qcrypto_aead_tag_len_valid(aead->alg, text->tag_len)) {
        error_setg(errp, "AEAD tag has %zu bytes", text->tag_len);
        return false;
    }
    return true;
}

int qcrypto_aead_encrypt(QCryptoAead *aead, const QCryptoAeadText *text,
                         Error **errp)
{
    gcry_error_t err;

    if (!aead_check(aead, text, errp)) {
        return -EINVAL;
    }
    err = aead_begin(aead, text);
    if (!err && text->len) {
        err = gcry_cipher_encrypt(aead->handle, text->out, text->len,
                                  text->in, text->len);
    }
    if (!err) {
        err = gcry_cipher_gettag(aead->handle, text->tag, text->tag_len);
    }
    if (err) {
        error_setg(errp, "Cannot encrypt: %s", gcry_strerror(err));
        return -EINVAL;
    }
    return 0;
}

int qcrypto_aead_decrypt(QCryptoAead *aead, const QCryptoAeadText *text,
                         Error **errp)
{
    gcry_error_t err;

    if (!aead_check(aead, text, errp)) {
        return -EINVAL;
    }
    err = aead_begin(aead, text);
    if (!err && text->len) {
        err = gcry_cipher_decrypt(aead->handle, text->out, text->len,
                                  text->in, text->len);
    }
    if (!err) {
        /* compares in constant time */
        err = gcry_cipher_checktag(aead->handle, text->tag, text->tag_len);
    }
    if (!err) {
        return 0;
    }
    qcrypto_wipe(text->out, text->len);
    if (gcry_err_code(err) == GPG_ERR_CHECKSUM) {
        return -EBADMSG;
    }
    error_setg(errp, "Cannot decrypt: %s", gcry_strerror(err));
    return -EINVAL;
}
