/*
 * virtio-crypto: the data queues
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/wipe.h"
#include "qemu/iov.h"
#include "state.h"
#include "trace.h"

/**
 * VCryptoRequest: a data request from pop to completion
 * @elem: first, as virtqueue_pop() wants it
 * @queue: NULL once the request has been dropped
 * @staging: copies of all parts, @staging_len bytes, cleared when freed
 * @room: what the driver says dst holds; a digest follows it
 * @status: what the backend answered, while the request is in queue->finished
 * @job: last, as it ends in a flexible array
 */
struct VCryptoRequest {
    VirtQueueElement elem;
    VCryptoQueue *queue;
    VCryptoSession *session;
    uint8_t *staging;
    size_t staging_len;
    uint32_t room;
    uint32_t opcode;
    uint8_t status;
    uint64_t session_id;
    QTAILQ_ENTRY(VCryptoRequest) next;
    CryptoDevJob job;
};

/* Frees all but what the ring keeps of the request. */
static void request_free(VCryptoRequest *req)
{
    qcrypto_wipe(req->staging, req->staging_len);
    g_free(req->staging);
    if (req->session) {
        vcrypto_session_unref(req->session);
    }
    g_free(req);
}

/*
 * Copies results to the guest: dst, a digest after what the driver calls dst,
 * and the status into the last byte.
 *
 * Returns: the used length, one more than the bytes of the result.
 */
static uint32_t request_answer(VCryptoRequest *req, uint8_t status)
{
    const VirtQueueElement *elem = &req->elem;
    size_t size = iov_size(elem->in_sg, elem->in_num);
    CryptoDevBackendSymOpInfo *op = &req->job.sym;
    uint32_t len = 0;

    if (!size) {
        /* no room even to say so */
        return 0;
    }
    if (vcrypto_service(req->opcode) == VIRTIO_CRYPTO_SERVICE_AKCIPHER) {
        CryptoDevBackendAsymOpInfo *asym = &req->job.asym;

        if (status == VIRTIO_CRYPTO_OK &&
            req->opcode != VIRTIO_CRYPTO_AKCIPHER_VERIFY) {
            len = MIN(asym->dst_len, req->room);
            iov_from_buf(elem->in_sg, elem->in_num, 0, asym->dst, len);
        }
    } else if (status == VIRTIO_CRYPTO_OK) {
        iov_from_buf(elem->in_sg, elem->in_num, 0, op->dst, op->dst_len);
        iov_from_buf(elem->in_sg, elem->in_num, req->room, op->digest_result,
                     op->digest_result_len);
        len = op->dst_len == req->room ? req->room + op->digest_result_len
                                       : op->dst_len;
    } else if (status == VIRTIO_CRYPTO_BADMSG) {
        /* Nothing that was in dst may pass for a plaintext. */
        iov_memset(elem->in_sg, elem->in_num, 0, 0, req->room);
        len = req->room;
    }
    iov_from_buf(elem->in_sg, elem->in_num, size - 1, &status, 1);
    return len + 1;
}

/* Context: a pass of the queue */
static void request_complete(VCryptoRequest *req, uint8_t status)
{
    VCryptoQueue *q = req->queue;
    uint32_t used = request_answer(req, status);

    trace_virtio_crypto_request(q->state->name, virtio_get_queue_index(q->vq),
                                req->opcode, req->session_id, status, used);
    virtqueue_push(q->vq, &req->elem, used);
    request_free(req);
    q->completed = true;
}

/* Requests that stayed in the rings may have room now. */
static void unstage(VirtIOCryptoState *s, size_t len)
{
    bool was_full = s->staged >= VCRYPTO_STAGED_MAX;

    s->staged -= len;
    if (was_full && s->staged < VCRYPTO_STAGED_MAX) {
        for (unsigned i = 0; i < s->dev->max_queues; i++) {
            qemu_bh_schedule(s->queues[i].bh);
        }
    }
}

/*
 * Context: BQL. From the pass that popped the request, or later from the
 * backend. The backend may be amid a list of requests and a notification can
 * reset this device, which empties that list; and the VM may have stopped. So
 * a late request is answered in a pass.
 */
static void request_done(void *opaque, int ret)
{
    VCryptoRequest *req = opaque;
    VCryptoQueue *q = req->queue;

    if (!q) {
        /* dropped while a thread of the backend was at it */
        request_free(req);
        return;
    }
    req->status = vcrypto_backend_status(ret);
    QTAILQ_REMOVE(&q->state->running, req, next);
    if (q->serving) {
        unstage(q->state, req->staging_len);
        request_complete(req, req->status);
    } else {
        QTAILQ_INSERT_TAIL(&q->finished, req, next);
        qemu_bh_schedule(q->bh);
    }
}

static void answer_finished(VCryptoQueue *q)
{
    VCryptoRequest *req;

    while ((req = QTAILQ_FIRST(&q->finished))) {
        QTAILQ_REMOVE(&q->finished, req, next);
        unstage(q->state, req->staging_len);
        request_complete(req, req->status);
    }
}

/* Copy a part of the request; it has been checked to be there. */
static uint8_t *stage(VCryptoRequest *req, uint8_t **at, size_t from,
                      size_t len)
{
    uint8_t *part = *at;

    iov_to_buf(req->elem.out_sg, req->elem.out_num, from, part, len);
    *at += len;
    return part;
}

static bool request_stage(VCryptoRequest *req, const VCryptoData *data)
{
    CryptoDevBackendSymOpInfo *op = &req->job.sym;
    uint8_t *at;

    req->room = op->dst_len;
    req->staging_len = (size_t)op->iv_len + op->src_len + op->aad_len +
                       op->dst_len + op->digest_result_len;
    at = req->staging = g_try_malloc(req->staging_len + 1);
    if (!at) {
        req->staging_len = 0;
        return false;
    }
    op->iv = stage(req, &at, data->iv_at, op->iv_len);
    op->src = stage(req, &at, data->src_at, op->src_len);
    op->aad_data = stage(req, &at, data->aad_at, op->aad_len);
    op->dst = at;
    op->digest_result = at + op->dst_len;
    if (data->opcode == VIRTIO_CRYPTO_AKCIPHER_VERIFY) {
        stage(req, &at, data->dst_at, op->dst_len);
    }
    return true;
}

/* What throttling and statistics know the job as */
static void request_account(VCryptoRequest *req)
{
    CryptoDevBackendOpInfo *info = &req->job.info;

    if (req->session->service == VIRTIO_CRYPTO_SERVICE_AKCIPHER) {
        CryptoDevBackendSymOpInfo *op = &req->job.sym;

        req->job.asym = (CryptoDevBackendAsymOpInfo) {
            .src = op->src,
            .src_len = op->src_len,
            .dst = op->dst,
            .dst_len = op->dst_len,
        };
        info->algtype = QCRYPTODEV_BACKEND_ALGO_TYPE_ASYM;
        info->op_code = req->opcode;
        info->u.asym_op_info = &req->job.asym;
    } else {
        info->algtype = QCRYPTODEV_BACKEND_ALGO_TYPE_SYM;
        info->op_code = req->session->op == VIRTIO_CRYPTO_OP_DECRYPT ?
                        VIRTIO_CRYPTO_CIPHER_DECRYPT :
                        VIRTIO_CRYPTO_CIPHER_ENCRYPT;
        info->u.sym_op_info = &req->job.sym;
    }
}

/* Whether the session is one for this request */
static uint32_t request_check(VirtIOCryptoState *s, const VCryptoData *data,
                              VCryptoSession *session)
{
    static const uint8_t directions[] = {
        VIRTIO_CRYPTO_OP_ENCRYPT, VIRTIO_CRYPTO_OP_DECRYPT
    };
    CryptoDevBackendClass *bc =
        CRYPTODEV_BACKEND_GET_CLASS(s->dev->cryptodev);
    uint32_t service = vcrypto_service(data->opcode);

    if (!session || session->service != service) {
        return VIRTIO_CRYPTO_INVSESS;
    }
    if (!bc->do_op) {
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    if ((service == VIRTIO_CRYPTO_SERVICE_CIPHER ||
         service == VIRTIO_CRYPTO_SERVICE_AEAD) &&
        session->op != directions[data->opcode & 1]) {
        return VIRTIO_CRYPTO_ERR;
    }
    if (data->tag_len && data->tag_len != session->tag_len) {
        return VIRTIO_CRYPTO_ERR;
    }
    return VIRTIO_CRYPTO_OK;
}

/* Start the request, or answer it. Returns: bytes it has staged. */
static uint64_t request_start(VCryptoRequest *req)
{
    VCryptoQueue *q = req->queue;
    VirtIOCryptoState *s = q->state;
    VirtIODevice *vdev = VIRTIO_DEVICE(s->dev);
    VCryptoData data = { .op = &req->job.sym };
    CryptoDevBackendOpInfo *info = &req->job.info;
    VCryptoSession *session;
    uint64_t bytes;
    uint32_t status;
    int ret;

    status = vcrypto_parse_data(&req->elem,
        virtio_vdev_has_feature(vdev, VIRTIO_CRYPTO_F_REVISION_1),
        s->offered.max_size, &data);
    req->opcode = data.opcode;
    req->session_id = data.session_id;
    session = vcrypto_session_find(s, data.session_id);
    if (status == VIRTIO_CRYPTO_OK) {
        status = request_check(s, &data, session);
    }
    if (status == VIRTIO_CRYPTO_OK && !request_stage(req, &data)) {
        status = VIRTIO_CRYPTO_ERR;
    }
    if (status != VIRTIO_CRYPTO_OK) {
        request_complete(req, status);
        return 0;
    }
    req->session = vcrypto_session_ref(session);
    req->job.session = session->impl;
    req->job.op_code = data.opcode;
    request_account(req);
    info->queue_index = virtio_get_queue_index(q->vq);
    info->session_id = session->backend_id;
    info->cb = request_done;
    info->opaque = req;

    bytes = req->staging_len;
    s->staged += bytes;
    if (session->service == VIRTIO_CRYPTO_SERVICE_AKCIPHER) {
        bytes += VCRYPTO_RSA_WORK;
    }
    QTAILQ_INSERT_TAIL(&s->running, req, next);
    ret = cryptodev_backend_crypto_operation(s->dev->cryptodev, info);
    if (ret < 0) {
        request_done(req, ret);
    }
    return bytes;
}

static bool data_next(VCryptoQueue *q, uint64_t *bytes)
{
    VCryptoRequest *req = virtqueue_pop(q->vq, sizeof(*req));

    if (!req) {
        return false;
    }
    memset((void *)req + sizeof(req->elem), 0,
           sizeof(*req) - sizeof(req->elem));
    req->queue = q;
    if (!vcrypto_writes_ram(q, &req->elem)) {
        virtqueue_detach_element(q->vq, &req->elem, 0);
        g_free(req);
        return false;
    }
    *bytes += request_start(req);
    return true;
}

void vcrypto_data_bh(void *opaque)
{
    VCryptoQueue *q = opaque;

    /* A vhost-user peer has the data queues, and only them. */
    if (!q->state->dev->vhost_started && vcrypto_may_serve(q->state)) {
        answer_finished(q);
        vcrypto_serve(q, data_next);
    }
}

/* The request is in no list any more */
static void request_drop(VCryptoRequest *req, bool running)
{
    VCryptoQueue *q = req->queue;

    trace_virtio_crypto_drop(q->state->name, virtio_get_queue_index(q->vq),
                             running);
    unstage(q->state, req->staging_len);
    virtqueue_detach_element(q->vq, &req->elem, 0);
    req->queue = NULL;
    if (!running) {
        request_free(req);
    }
}

void vcrypto_drop(VirtIOCryptoState *s, VirtQueue *vq)
{
    CryptoDevBackend *backend = s->dev->cryptodev;
    CryptoDevBackendOpInfo *info, *next_info;
    VCryptoRequest *req, *next;

    /* A backend serves one device, so all that waits is this device's. */
    QTAILQ_FOREACH_SAFE(info, &backend->opinfos, next, next_info) {
        req = container_of(info, VCryptoRequest, job.info);
        if (!vq || req->queue->vq == vq) {
            QTAILQ_REMOVE(&backend->opinfos, info, next);
            QTAILQ_REMOVE(&s->running, req, next);
            request_drop(req, false);
        }
    }
    QTAILQ_FOREACH_SAFE(req, &s->running, next, next) {
        if (!vq || req->queue->vq == vq) {
            QTAILQ_REMOVE(&s->running, req, next);
            request_drop(req, true);
        }
    }
    for (unsigned i = 0; i < s->dev->max_queues; i++) {
        VCryptoQueue *q = &s->queues[i];

        while ((!vq || q->vq == vq) && (req = QTAILQ_FIRST(&q->finished))) {
            QTAILQ_REMOVE(&q->finished, req, next);
            request_drop(req, false);
        }
    }
}
