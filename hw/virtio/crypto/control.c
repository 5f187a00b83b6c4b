/*
 * virtio-crypto: the control queue
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/wipe.h"
#include "qemu/bswap.h"
#include "qemu/iov.h"
#include "state.h"
#include "trace.h"

static bool has_revision_1(VirtIOCryptoState *s)
{
    return virtio_vdev_has_feature(VIRTIO_DEVICE(s->dev),
                                   VIRTIO_CRYPTO_F_REVISION_1);
}

static uint32_t create(VirtIOCryptoState *s, const VirtQueueElement *elem,
                       VCryptoControl *ctrl, uint64_t *id)
{
    CryptoDevSessionSpec *spec = &ctrl->spec;
    size_t len = spec->key_len + spec->auth.key_len;
    g_autofree uint8_t *keys = g_malloc(len + 1);
    uint32_t status;

    iov_to_buf(elem->out_sg, elem->out_num, ctrl->key_at, keys, len);
    spec->key = keys;
    spec->auth.key = keys + spec->key_len;
    status = vcrypto_session_create(s, spec, ctrl->queue, id);
    qcrypto_wipe(keys, len);
    if (status == VIRTIO_CRYPTO_NOSPC && !has_revision_1(s)) {
        return VIRTIO_CRYPTO_ERR;
    }
    return status;
}

/*
 * Answers with the result that the opcode asks for; bytes of it that the
 * driver left no room for are not written, and a session it could not be told
 * of is not made.
 *
 * Returns: bytes written.
 */
static uint32_t handle(VirtIOCryptoState *s, const VirtQueueElement *elem)
{
    struct virtio_crypto_session_input input = {};
    size_t room = iov_size(elem->in_sg, elem->in_num);
    VCryptoControl ctrl;
    uint64_t id = 0;
    uint32_t status;
    uint8_t brief;

    status = vcrypto_parse_control(elem, has_revision_1(s), &s->offered,
                                   &ctrl);
    if (vcrypto_destroys(ctrl.opcode)) {
        if (status == VIRTIO_CRYPTO_OK &&
            !vcrypto_session_destroy(s, vcrypto_service(ctrl.opcode),
                                     ctrl.session_id)) {
            status = VIRTIO_CRYPTO_ERR;
        }
        trace_virtio_crypto_destroy(s->name, vcrypto_service(ctrl.opcode),
                                    ctrl.session_id, status);
    } else if (status == VIRTIO_CRYPTO_OK && room >= sizeof(input)) {
        status = create(s, elem, &ctrl, &id);
        trace_virtio_crypto_create(s->name, ctrl.spec.service, ctrl.spec.algo,
                                   status, id);
    } else {
        status = status ?: VIRTIO_CRYPTO_ERR;
        trace_virtio_crypto_control_bad(s->name, ctrl.opcode, status);
    }

    if (vcrypto_destroys(ctrl.opcode) || room < sizeof(input)) {
        brief = status;
        return iov_from_buf(elem->in_sg, elem->in_num, 0, &brief, 1);
    }
    stq_le_p(&input.session_id, id);
    stl_le_p(&input.status, status);
    return iov_from_buf(elem->in_sg, elem->in_num, 0, &input, sizeof(input));
}

static bool control_next(VCryptoQueue *q, uint64_t *bytes)
{
    g_autofree VirtQueueElement *elem =
        virtqueue_pop(q->vq, sizeof(VirtQueueElement));

    if (!elem) {
        return false;
    }
    if (!vcrypto_writes_ram(q, elem)) {
        virtqueue_detach_element(q->vq, elem, 0);
        return false;
    }
    virtqueue_push(q->vq, elem, handle(q->state, elem));
    q->completed = true;
    return true;
}

void vcrypto_control_bh(void *opaque)
{
    vcrypto_serve(opaque, control_next);
}
