/*
 * What the virtio-crypto tests share: a driver of every service
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Only the generic calls of libqos are used, so each test runs over a split
 * and over a packed ring. Lengths are in bytes; memory stays the caller's.
 */

#ifndef QTEST_VIRTIO_CRYPTO_UTIL_H
#define QTEST_VIRTIO_CRYPTO_UTIL_H

#include "libqos/qgraph.h"
#include "libqos/virtio-crypto.h"
#include "libqos/virtio-packed.h"
#include "standard-headers/linux/virtio_crypto.h"
#include "standard-headers/linux/virtio_crypto_services.h"
#include "virtio-crypto-vectors.h"

#define CRYPTO_QUEUES_MAX 8
#define CRYPTO_BUFFER_MAX 4096

/* What a writable buffer holds until the device writes to it */
#define CRYPTO_UNTOUCHED 0xa5

/** CryptoTest: a started device and its queues */
typedef struct CryptoTest {
    QTestState *qts;
    QVirtioPCIDevice *pci;
    QVirtioDevice *dev;
    QGuestAllocator *alloc;
    uint64_t refuse;            /* features not to accept */
    bool revision_1;
    unsigned num_queues;        /* data queues */
    QVirtQueue *data[CRYPTO_QUEUES_MAX];
    QVirtQueue *ctrl;
    unsigned cut;               /* bytes per descriptor; 0: all in one */
    bool indirect;
} CryptoTest;

/** CryptoBytes: a piece of memory */
typedef struct CryptoBytes {
    uint8_t data[CRYPTO_BUFFER_MAX];
    size_t len;
} CryptoBytes;

/** CryptoMessage: one request and, later, its answer; @in_len of @in */
typedef struct CryptoMessage {
    CryptoBytes out, in;
    uint32_t used;              /* used length */
    uint64_t out_at, in_at;     /* guest memory */
    uint32_t token;
} CryptoMessage;

/** Negotiate all but @refuse, set up the queues, DRIVER_OK */
void crypto_start(CryptoTest *t, void *obj, QGuestAllocator *alloc,
                  uint64_t refuse);

/** Reset the device, forget the queues and start over */
void crypto_restart(CryptoTest *t);

/** Reset the device and free the queues */
void crypto_end(CryptoTest *t);

/** Append to @bytes: memory, or what hexadecimal digits say */
void crypto_add(CryptoBytes *bytes, const void *data, size_t len);
void crypto_add_hex(CryptoBytes *bytes, const char *hex);

/** Move @at past the tag and length of a DER item: bytes of its content */
size_t crypto_der_enter(const CryptoBytes *der, size_t *at);

/** Place a message in guest memory and in @vq, visible with crypto_kick() */
void crypto_post(CryptoTest *t, QVirtQueue *vq, CryptoMessage *m);
void crypto_kick(CryptoTest *t, QVirtQueue *vq, CryptoMessage *m);

/** Wait for the answer; fails when another message is answered */
void crypto_wait(CryptoTest *t, QVirtQueue *vq, CryptoMessage *m);

/** The three in turn */
void crypto_send(CryptoTest *t, QVirtQueue *vq, CryptoMessage *m);

/** Whether @vq has a used buffer */
bool crypto_has_used(CryptoTest *t, QVirtQueue *vq);

/**
 * CryptoSession: what to ask a session for; a chain when @order is not 0
 * @op: VIRTIO_CRYPTO_OP_*
 */
typedef struct CryptoSession {
    uint32_t service, algo, op, result_len;
    CryptoBytes key;
    uint32_t order, mode, auth_algo;
    CryptoBytes auth_key;
    uint32_t key_type, rsa_padding, rsa_hash;
} CryptoSession;

/** Create a session: the status, and its id in @id */
uint32_t crypto_create(CryptoTest *t, const CryptoSession *s, uint64_t *id);

/** Destroy a session as one of @service: the status */
uint8_t crypto_destroy(CryptoTest *t, uint32_t service, uint64_t id);

/**
 * CryptoOp: one operation
 * @out_len: bytes of dst; @digest_len: bytes of a digest after it
 * @result: dst and digest, as the device wrote them
 */
typedef struct CryptoOp {
    uint32_t opcode;
    uint64_t session;
    CryptoBytes iv, aad, src, more;
    uint32_t out_len, digest_len, tag_len;
    bool chain;
    uint32_t cipher_at, cipher_len, hash_at, hash_len;
    CryptoBytes result;
    uint32_t used;
} CryptoOp;

/** Build the request of an operation */
void crypto_build(CryptoTest *t, const CryptoOp *op, CryptoMessage *m);

/** Do an operation on data queue @n: the status */
uint8_t crypto_do(CryptoTest *t, unsigned n, CryptoOp *op);

/** An AES-128-CBC session and NIST's vector through it; fails unless right */
uint64_t crypto_aes_session(CryptoTest *t, uint32_t op);
void crypto_aes_check(CryptoTest *t, unsigned n, uint64_t id);

/** The session for a known answer; the caller frees it */
CryptoSession *crypto_vector_session(const CryptoVector *v, bool decrypt);

/** Fill in all of @op but its session; what must come out goes to @want */
void crypto_vector_op(const CryptoVector *v, bool decrypt, CryptoOp *op,
                      CryptoBytes *want);

/** Set a number property of the backend by QMP */
void crypto_backend_set(CryptoTest *t, const char *property, uint64_t value);

/** Whether the device asks for a reset */
bool crypto_is_broken(CryptoTest *t);

#endif
