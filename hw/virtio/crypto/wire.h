/*
 * virtio-crypto: requests as they stand in guest memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The functions here copy the fixed part of a request once, and say where in
 * the request its variable parts lie. Offsets count the readable bytes of the
 * whole request. Everything returned has been checked against the number of
 * bytes there are, in 64 bits; nothing has been allocated.
 */

#ifndef HW_VIRTIO_CRYPTO_WIRE_H
#define HW_VIRTIO_CRYPTO_WIRE_H

#include "hw/virtio/virtio.h"
#include "standard-headers/linux/virtio_crypto.h"
#include "standard-headers/linux/virtio_crypto_services.h"
#include "system/cryptodev-services.h"

/** A request's opcode is its service and an operation of that service */
static inline uint32_t vcrypto_service(uint32_t opcode)
{
    return opcode >> 8;
}

/**
 * VCryptoControl: a control request (virtio 1.3, 5.9.7.2)
 * @opcode: VIRTIO_CRYPTO_*_CREATE_SESSION or _DESTROY_SESSION
 * @queue: data queue the session is for; backends of several queues ask
 * @spec: of a create request; its keys are not set
 * @key_at: where the key begins; that of a chain's other half follows it
 * @session_id: of a destroy request
 */
typedef struct VCryptoControl {
    uint32_t opcode;
    uint32_t queue;
    CryptoDevSessionSpec spec;
    size_t key_at;
    uint64_t session_id;
} VCryptoControl;

/**
 * vcrypto_parse_control:
 * @elem: the request, of which only the readable part is looked at
 * @revision_1: whether VIRTIO_CRYPTO_F_REVISION_1 was negotiated
 * @conf: limits of the lengths of keys
 * @ctrl: filled in
 *
 * Returns: VIRTIO_CRYPTO_OK, or the status to answer with.
 */
uint32_t vcrypto_parse_control(const VirtQueueElement *elem, bool revision_1,
                               const CryptoDevBackendConf *conf,
                               VCryptoControl *ctrl);

/** Whether @opcode creates or destroys a session of a known service */
bool vcrypto_creates(uint32_t opcode);
bool vcrypto_destroys(uint32_t opcode);

/**
 * VCryptoData: a data request (virtio 1.3, 5.9.7.4)
 * @opcode: VIRTIO_CRYPTO_<service>_<operation>
 * @session_id: from the header
 * @op: lengths and, of a chain, windows, pointers not set. Of AKCIPHER only
 *      src_len and dst_len count.
 * @tag_len: of AEAD, 0 for that of the session
 * @iv_at, @aad_at, @src_at: where those parts begin
 * @dst_at: of AKCIPHER verify, where the digest begins
 */
typedef struct VCryptoData {
    uint32_t opcode;
    uint64_t session_id;
    CryptoDevBackendSymOpInfo *op;
    uint32_t tag_len;
    size_t iv_at, aad_at, src_at, dst_at;
} VCryptoData;

/**
 * vcrypto_parse_data:
 * @elem: the request
 * @revision_1: whether VIRTIO_CRYPTO_F_REVISION_1 was negotiated
 * @max_size: bytes that all parts together may have
 * @data: filled in; @data->op is the caller's, zeroed
 *
 * Returns: VIRTIO_CRYPTO_OK, or the status to answer with.
 */
uint32_t vcrypto_parse_data(const VirtQueueElement *elem, bool revision_1,
                            uint64_t max_size, VCryptoData *data);

#endif
