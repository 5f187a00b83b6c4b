/*
 * virtio-crypto: what linux/virtio_crypto.h does not have of the standard
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Virtio 1.3, section 5.9. All fields are little endian.
 */

#ifndef LINUX_VIRTIO_CRYPTO_SERVICES_H
#define LINUX_VIRTIO_CRYPTO_SERVICES_H

#include "standard-headers/linux/types.h"

/* Feature bits (5.9.3) */
#define VIRTIO_CRYPTO_F_REVISION_1              0
#define VIRTIO_CRYPTO_F_CIPHER_STATELESS_MODE   1
#define VIRTIO_CRYPTO_F_HASH_STATELESS_MODE     2
#define VIRTIO_CRYPTO_F_MAC_STATELESS_MODE      3
#define VIRTIO_CRYPTO_F_AEAD_STATELESS_MODE     4
#define VIRTIO_CRYPTO_F_AKCIPHER_STATELESS_MODE 5

/* Bits of virtio_crypto_op_header.flag */
#define VIRTIO_CRYPTO_FLAG_SESSION_MODE         1

/*
 * Bytes between a request's header and its variable part: padded to one size
 * without VIRTIO_CRYPTO_F_REVISION_1, by service with it (5.9.7.2, 5.9.7.4).
 */
#define VIRTIO_CRYPTO_CTRL_PADDED               56
#define VIRTIO_CRYPTO_CTRL_SYM                  56
#define VIRTIO_CRYPTO_CTRL_HASH                 8
#define VIRTIO_CRYPTO_CTRL_MAC                  16
#define VIRTIO_CRYPTO_CTRL_AEAD                 24
#define VIRTIO_CRYPTO_CTRL_AKCIPHER             56
#define VIRTIO_CRYPTO_CTRL_DESTROY              8
#define VIRTIO_CRYPTO_DATA_PADDED               48
#define VIRTIO_CRYPTO_DATA_SYM                  48
#define VIRTIO_CRYPTO_DATA_HASH                 8
#define VIRTIO_CRYPTO_DATA_MAC                  8
#define VIRTIO_CRYPTO_DATA_AEAD                 24
#define VIRTIO_CRYPTO_DATA_AKCIPHER             8

/* Fixed part of an AEAD data request (5.9.7.4.7) */
struct virtio_crypto_aead_flf {
    uint32_t iv_len;
    uint32_t aad_len;
    uint32_t src_data_len;
    uint32_t dst_data_len;
    uint32_t tag_len;       /* 0: that of the session */
    uint32_t reserved;
};

#endif
