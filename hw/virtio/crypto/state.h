/*
 * virtio-crypto: what the files of the device share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests are copied in, handed to the backend and copied out; the backend
 * never sees guest memory, so what the guest does to its buffers meanwhile
 * changes nothing. A request that is wrong is answered with a status and
 * nothing else happens. Only a request whose writable part is not RAM breaks
 * the device, as a broken ring does: completing it would run another device's
 * code in the middle of this one's.
 *
 * Everything here runs under the BQL. A request's memory is owned by the
 * request from pop to completion; a session is kept by the table and by each
 * request that uses it.
 */

#ifndef HW_VIRTIO_CRYPTO_STATE_H
#define HW_VIRTIO_CRYPTO_STATE_H

#include "hw/virtio/virtio-crypto.h"
#include "qemu/units.h"
#include "system/cryptodev-services.h"
#include "wire.h"

typedef struct VirtIOCryptoState VirtIOCryptoState;
typedef struct VCryptoRequest VCryptoRequest;

/**
 * VCryptoSession: what a driver's session id stands for
 * @id: never used again, also not after a reset, except that with vhost-user
 *      it is the peer's, which reads the ids from the ring itself
 * @refs: the table's and one of each request
 * @service: VIRTIO_CRYPTO_SERVICE_*
 * @op: VIRTIO_CRYPTO_OP_*, of CIPHER and AEAD
 * @tag_len: bytes, of AEAD
 * @backend: referenced
 * @impl: of a backend with CryptoDevServicesClass, else NULL
 * @backend_id, @queue: of a backend without
 */
typedef struct VCryptoSession {
    uint64_t id;
    unsigned refs;
    uint32_t service;
    uint32_t op;
    uint32_t tag_len;
    CryptoDevBackend *backend;
    CryptoDevSession *impl;
    uint64_t backend_id;
    uint32_t queue;
} VCryptoSession;

/* A queue, data or control */
typedef struct VCryptoQueue {
    VirtIOCryptoState *state;
    VirtQueue *vq;
    QEMUBH *bh;
    QTAILQ_HEAD(, VCryptoRequest) finished; /* by the backend, not answered */
    bool serving;           /* a pass is on the stack */
    bool completed;         /* something to notify of at its end */
} VCryptoQueue;

struct VirtIOCryptoState {
    VirtIOCrypto *dev;
    char *name;                     /* for trace events and messages */
    const CryptoDevServicesClass *services; /* NULL: an older backend */
    CryptoDevBackendConf offered;   /* masks the driver sees, and limits */
    VCryptoQueue *queues;           /* data queues, then the control queue */
    GHashTable *sessions;           /* by id; values own a reference */
    uint64_t last_id;
    QTAILQ_HEAD(, VCryptoRequest) running;
    uint64_t staged;                /* bytes held by requests until answered */
};

/** The standard's status of what a backend answered; ERR if it is none */
static inline uint32_t vcrypto_backend_status(int ret)
{
    return ret <= 0 && ret >= -VIRTIO_CRYPTO_KEY_REJECTED ? -ret
                                                          : VIRTIO_CRYPTO_ERR;
}

/* sessions.c */

/** Find a session; NULL: none. The reference stays the table's. */
VCryptoSession *vcrypto_session_find(VirtIOCryptoState *s, uint64_t id);

/**
 * vcrypto_session_create:
 * @spec: as parsed, with its keys
 * @queue: data queue that the driver wants it for
 * @id: set on success
 *
 * Returns: VIRTIO_CRYPTO_OK or the status to answer with.
 */
uint32_t vcrypto_session_create(VirtIOCryptoState *s,
                                const CryptoDevSessionSpec *spec,
                                uint32_t queue, uint64_t *id);

/** Take a session out of the table; false: none of that service */
bool vcrypto_session_destroy(VirtIOCryptoState *s, uint32_t service,
                             uint64_t id);

/** Take and give back a reference; the last one clears the keys */
VCryptoSession *vcrypto_session_ref(VCryptoSession *session);
void vcrypto_session_unref(VCryptoSession *session);

/* control.c, data.c: bottom halves of the queues, opaque is a VCryptoQueue */
void vcrypto_control_bh(void *opaque);
void vcrypto_data_bh(void *opaque);

/**
 * vcrypto_drop:
 * @vq: queue to forget the requests of; NULL: all
 *
 * Before a reset or unplug: requests that wait in the backend are freed, ones
 * that a backend's thread works on are freed when it is done and reach neither
 * the ring nor guest memory any more.
 */
void vcrypto_drop(VirtIOCryptoState *s, VirtQueue *vq);

/* queue.c */

/* Bytes of data requests that are held at a time; more stay in the ring */
#define VCRYPTO_STAGED_MAX (16 * MiB)

/* What a pass counts an RSA operation as, in bytes: tens of milliseconds */
#define VCRYPTO_RSA_WORK (2 * MiB)

/* Pop and start a request; *bytes grows by its work. False: none came out. */
typedef bool VCryptoNext(VCryptoQueue *q, uint64_t *bytes);

/**
 * vcrypto_serve:
 *
 * Serve @q until it is empty or much has been done, then notify once, also of
 * what was completed before the call.
 *
 * Context: a bottom half that is guarded against re-entry: the notification
 * may be a write to this very device.
 */
void vcrypto_serve(VCryptoQueue *q, VCryptoNext *next);

/** Whether requests may be taken and answered: driver there, VM running */
bool vcrypto_may_serve(VirtIOCryptoState *s);

/** Whether all the writable part of a request is RAM; else breaks the device */
bool vcrypto_writes_ram(VCryptoQueue *q, const VirtQueueElement *elem);

/* vhost.c */
void vcrypto_vhost_class_init(VirtioDeviceClass *vdc);
void vcrypto_vhost_status(VirtIOCrypto *dev, uint8_t status);

/** Whether requests are served by a vhost-user peer */
bool vcrypto_is_vhost(VirtIOCrypto *dev);

#endif
