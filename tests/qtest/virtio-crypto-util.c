/*
 * What the virtio-crypto tests share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/bswap.h"
#include "qobject/qdict.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_ring.h"
#include "virtio-crypto-util.h"

#define TIMEOUT_US (60 * G_USEC_PER_SEC)

static void crypto_configure(CryptoTest *t)
{
    uint64_t features = qvirtio_get_features(t->dev) &
                        ~(QVIRTIO_F_BAD_FEATURE | t->refuse);

    qvirtio_set_features(t->dev, features);
    t->revision_1 = features & (1ull << VIRTIO_CRYPTO_F_REVISION_1);
    t->num_queues = qvirtio_config_readl(t->dev,
        offsetof(struct virtio_crypto_config, max_dataqueues));
    g_assert_cmpuint(t->num_queues, >=, 1);
    g_assert_cmpuint(t->num_queues, <=, CRYPTO_QUEUES_MAX);
    for (unsigned i = 0; i < t->num_queues; i++) {
        t->data[i] = qvirtqueue_setup(t->dev, t->alloc, i);
    }
    t->ctrl = qvirtqueue_setup(t->dev, t->alloc, t->num_queues);
    qvirtio_set_driver_ok(t->dev);
}

void crypto_start(CryptoTest *t, void *obj, QGuestAllocator *alloc,
                  uint64_t refuse)
{
    QVirtioCrypto *crypto = obj;

    *t = (CryptoTest) {
        .dev = crypto->vdev,
        .pci = container_of(crypto->vdev, QVirtioPCIDevice, vdev),
        .alloc = alloc,
        .refuse = refuse,
    };
    t->qts = t->pci->pdev->bus->qts;
    crypto_configure(t);
}

void crypto_end(CryptoTest *t)
{
    qvirtio_reset(t->dev);
    for (unsigned i = 0; i < t->num_queues; i++) {
        qvirtqueue_cleanup(t->dev->bus, t->data[i], t->alloc);
    }
    qvirtqueue_cleanup(t->dev->bus, t->ctrl, t->alloc);
    t->num_queues = 0;
}

void crypto_restart(CryptoTest *t)
{
    crypto_end(t);
    qvirtio_start_device(t->dev);
    crypto_configure(t);
}

void crypto_add(CryptoBytes *bytes, const void *data, size_t len)
{
    g_assert_cmpuint(bytes->len + len, <=, CRYPTO_BUFFER_MAX);
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

void crypto_add_hex(CryptoBytes *bytes, const char *hex)
{
    for (; *hex; hex += 2) {
        uint8_t byte = g_ascii_xdigit_value(hex[0]) << 4 |
                       g_ascii_xdigit_value(hex[1]);

        crypto_add(bytes, &byte, 1);
    }
}

size_t crypto_der_enter(const CryptoBytes *der, size_t *at)
{
    const uint8_t *d = der->data + *at + 1;
    unsigned bytes = *d & 0x80 ? *d & 0x7f : 0;
    size_t len = bytes ? 0 : *d;

    for (unsigned i = 1; i <= bytes; i++) {
        len = len << 8 | d[i];
    }
    *at += 2 + bytes;
    g_assert_cmpuint(*at + len, <=, der->len);
    return len;
}

static unsigned crypto_pieces(CryptoTest *t, size_t len)
{
    return t->cut ? DIV_ROUND_UP(len, t->cut) : !!len;
}

/* Descriptors of both parts, in @table or in the ring */
static uint32_t crypto_describe(CryptoTest *t, QVirtQueue *vq,
                                CryptoMessage *m, QVRingIndirectDesc *table)
{
    const uint64_t at[] = { m->out_at, m->in_at };
    const size_t len[] = { m->out.len, m->in.len };
    unsigned left = crypto_pieces(t, len[0]) + crypto_pieces(t, len[1]);
    uint32_t first = UINT32_MAX;

    for (unsigned part = 0; part < 2; part++) {
        for (size_t done = 0; done < len[part];) {
            size_t n = MIN(len[part] - done, t->cut ?: len[part]);

            left--;
            if (table) {
                qvring_indirect_desc_add(t->dev, t->qts, table,
                                         at[part] + done, n, part);
            } else {
                uint32_t token = qvirtqueue_add(t->qts, vq, at[part] + done,
                                                n, part, left);

                first = first == UINT32_MAX ? token : first;
            }
            done += n;
        }
    }
    return first;
}

void crypto_post(CryptoTest *t, QVirtQueue *vq, CryptoMessage *m)
{
    m->out_at = guest_alloc(t->alloc, m->out.len + 1);
    m->in_at = guest_alloc(t->alloc, m->in.len + 1);
    qtest_memwrite(t->qts, m->out_at, m->out.data, m->out.len);
    qtest_memset(t->qts, m->in_at, CRYPTO_UNTOUCHED, m->in.len + 1);
    if (t->indirect) {
        unsigned count = crypto_pieces(t, m->out.len) +
                         crypto_pieces(t, m->in.len);
        g_autofree QVRingIndirectDesc *table =
            qvring_indirect_desc_setup(t->qts, t->dev, t->alloc, count);

        crypto_describe(t, vq, m, table);
        m->token = qvirtqueue_add_indirect(t->qts, vq, table);
    } else {
        m->token = crypto_describe(t, vq, m, NULL);
    }
}

void crypto_kick(CryptoTest *t, QVirtQueue *vq, CryptoMessage *m)
{
    qvirtqueue_kick(t->qts, t->dev, vq, m->token);
}

bool crypto_has_used(CryptoTest *t, QVirtQueue *vq)
{
    uint32_t token, len;

    return qvirtqueue_get_buf(t->qts, vq, &token, &len);
}

void crypto_wait(CryptoTest *t, QVirtQueue *vq, CryptoMessage *m)
{
    gint64 end = g_get_monotonic_time() + TIMEOUT_US;
    uint32_t token;

    while (!qvirtqueue_get_buf(t->qts, vq, &token, &m->used)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
    g_assert_cmpuint(token, ==, m->token);
    qtest_memread(t->qts, m->in_at, m->in.data, m->in.len);
    g_assert_cmphex(qtest_readb(t->qts, m->in_at + m->in.len), ==,
                    CRYPTO_UNTOUCHED);
    guest_free(t->alloc, m->out_at);
    guest_free(t->alloc, m->in_at);
}

void crypto_send(CryptoTest *t, QVirtQueue *vq, CryptoMessage *m)
{
    crypto_post(t, vq, m);
    crypto_kick(t, vq, m);
    crypto_wait(t, vq, m);
    if (!qvirtio_is_packed(t->dev)) {
        qvirtqueue_reset_pool(vq);
    }
}

/* Exact sizes with REVISION_1, one size without */
static size_t fixed_size(CryptoTest *t, const size_t exact[], uint32_t service,
                         size_t padded)
{
    return t->revision_1 ? exact[service] : padded;
}

static void build_chain(const CryptoSession *s,
                        struct virtio_crypto_alg_chain_session_para *chain)
{
    chain->alg_chain_order = cpu_to_le32(s->order);
    chain->hash_mode = cpu_to_le32(s->mode);
    chain->cipher_param.algo = cpu_to_le32(s->algo);
    chain->cipher_param.keylen = cpu_to_le32(s->key.len);
    chain->cipher_param.op = cpu_to_le32(s->op);
    chain->u.mac_param.algo = cpu_to_le32(s->auth_algo);
    chain->u.mac_param.hash_result_len = cpu_to_le32(s->result_len);
    if (s->mode == VIRTIO_CRYPTO_SYM_HASH_MODE_AUTH) {
        chain->u.mac_param.auth_key_len = cpu_to_le32(s->auth_key.len);
    }
}

static void build_create(const CryptoSession *s,
                         struct virtio_crypto_op_ctrl_req *req)
{
    uint32_t algo = cpu_to_le32(s->algo);
    uint32_t key_len = cpu_to_le32(s->key.len);
    uint32_t result_len = cpu_to_le32(s->result_len);

    switch (s->service) {
    case VIRTIO_CRYPTO_SERVICE_CIPHER:
        if (s->order) {
            req->u.sym_create_session.op_type =
                cpu_to_le32(VIRTIO_CRYPTO_SYM_OP_ALGORITHM_CHAINING);
            build_chain(s, &req->u.sym_create_session.u.chain.para);
            break;
        }
        req->u.sym_create_session.op_type =
            cpu_to_le32(VIRTIO_CRYPTO_SYM_OP_CIPHER);
        req->u.sym_create_session.u.cipher.para.algo = algo;
        req->u.sym_create_session.u.cipher.para.keylen = key_len;
        req->u.sym_create_session.u.cipher.para.op = cpu_to_le32(s->op);
        break;
    case VIRTIO_CRYPTO_SERVICE_HASH:
        req->u.hash_create_session.para.algo = algo;
        req->u.hash_create_session.para.hash_result_len = result_len;
        break;
    case VIRTIO_CRYPTO_SERVICE_MAC:
        req->u.mac_create_session.para.algo = algo;
        req->u.mac_create_session.para.hash_result_len = result_len;
        req->u.mac_create_session.para.auth_key_len = key_len;
        break;
    case VIRTIO_CRYPTO_SERVICE_AEAD:
        req->u.aead_create_session.para.algo = algo;
        req->u.aead_create_session.para.key_len = key_len;
        req->u.aead_create_session.para.hash_result_len = result_len;
        req->u.aead_create_session.para.op = cpu_to_le32(s->op);
        break;
    default:
        req->u.akcipher_create_session.para.algo = algo;
        req->u.akcipher_create_session.para.keytype = cpu_to_le32(s->key_type);
        req->u.akcipher_create_session.para.keylen = key_len;
        req->u.akcipher_create_session.para.u.rsa.padding_algo =
            cpu_to_le32(s->rsa_padding);
        req->u.akcipher_create_session.para.u.rsa.hash_algo =
            cpu_to_le32(s->rsa_hash);
        break;
    }
}

uint32_t crypto_create(CryptoTest *t, const CryptoSession *s, uint64_t *id)
{
    static const size_t exact[] = {
        VIRTIO_CRYPTO_CTRL_SYM, VIRTIO_CRYPTO_CTRL_HASH,
        VIRTIO_CRYPTO_CTRL_MAC, VIRTIO_CRYPTO_CTRL_AEAD,
        VIRTIO_CRYPTO_CTRL_AKCIPHER,
    };
    bool rsa = s->service == VIRTIO_CRYPTO_SERVICE_AKCIPHER;
    struct virtio_crypto_op_ctrl_req req = {};
    struct virtio_crypto_session_input input;
    g_autofree CryptoMessage *m = g_new0(CryptoMessage, 1);

    req.header.opcode = cpu_to_le32(VIRTIO_CRYPTO_OPCODE(s->service,
                                                         rsa ? 4 : 2));
    req.header.algo = cpu_to_le32(s->algo);
    build_create(s, &req);
    crypto_add(&m->out, &req, sizeof(req.header) +
               fixed_size(t, exact, s->service, VIRTIO_CRYPTO_CTRL_PADDED));
    crypto_add(&m->out, s->key.data, s->key.len);
    crypto_add(&m->out, s->auth_key.data, s->auth_key.len);
    m->in.len = sizeof(input);
    crypto_send(t, t->ctrl, m);
    g_assert_cmpuint(m->used, ==, sizeof(input));
    memcpy(&input, m->in.data, sizeof(input));
    *id = le64_to_cpu(input.session_id);
    return le32_to_cpu(input.status);
}

uint8_t crypto_destroy(CryptoTest *t, uint32_t service, uint64_t id)
{
    bool rsa = service == VIRTIO_CRYPTO_SERVICE_AKCIPHER;
    struct virtio_crypto_op_ctrl_req req = {};
    g_autofree CryptoMessage *m = g_new0(CryptoMessage, 1);

    req.header.opcode = cpu_to_le32(VIRTIO_CRYPTO_OPCODE(service,
                                                         rsa ? 5 : 3));
    req.u.destroy_session.session_id = cpu_to_le64(id);
    crypto_add(&m->out, &req, sizeof(req.header) +
               (t->revision_1 ? VIRTIO_CRYPTO_CTRL_DESTROY
                              : VIRTIO_CRYPTO_CTRL_PADDED));
    m->in.len = 1;
    crypto_send(t, t->ctrl, m);
    g_assert_cmpuint(m->used, ==, 1);
    return m->in.data[0];
}

static void build_sym(const CryptoOp *op,
                      struct virtio_crypto_sym_data_req *req)
{
    struct virtio_crypto_alg_chain_data_para *chain = &req->u.chain.para;

    /* the first three fields of both are the same */
    chain->iv_len = cpu_to_le32(op->iv.len);
    chain->src_data_len = cpu_to_le32(op->src.len);
    chain->dst_data_len = cpu_to_le32(op->out_len);
    req->op_type = cpu_to_le32(VIRTIO_CRYPTO_SYM_OP_CIPHER);
    if (op->chain) {
        req->op_type = cpu_to_le32(VIRTIO_CRYPTO_SYM_OP_ALGORITHM_CHAINING);
        chain->cipher_start_src_offset = cpu_to_le32(op->cipher_at);
        chain->len_to_cipher = cpu_to_le32(op->cipher_len);
        chain->hash_start_src_offset = cpu_to_le32(op->hash_at);
        chain->len_to_hash = cpu_to_le32(op->hash_len);
        chain->aad_len = cpu_to_le32(op->aad.len);
        chain->hash_result_len = cpu_to_le32(op->digest_len);
    }
}

void crypto_build(CryptoTest *t, const CryptoOp *op, CryptoMessage *m)
{
    static const size_t exact[] = {
        VIRTIO_CRYPTO_DATA_SYM, VIRTIO_CRYPTO_DATA_HASH,
        VIRTIO_CRYPTO_DATA_MAC, VIRTIO_CRYPTO_DATA_AEAD,
        VIRTIO_CRYPTO_DATA_AKCIPHER,
    };
    uint32_t service = op->opcode >> 8;
    struct virtio_crypto_op_data_req req = {};
    bool verify = op->opcode == VIRTIO_CRYPTO_AKCIPHER_VERIFY;

    req.header.opcode = cpu_to_le32(op->opcode);
    req.header.session_id = cpu_to_le64(op->session);
    req.header.flag = cpu_to_le32(VIRTIO_CRYPTO_FLAG_SESSION_MODE);
    switch (service) {
    case VIRTIO_CRYPTO_SERVICE_CIPHER:
        build_sym(op, &req.u.sym_req);
        break;
    case VIRTIO_CRYPTO_SERVICE_HASH:
    case VIRTIO_CRYPTO_SERVICE_MAC:
        req.u.hash_req.para.src_data_len = cpu_to_le32(op->src.len);
        req.u.hash_req.para.hash_result_len = cpu_to_le32(op->digest_len);
        break;
    case VIRTIO_CRYPTO_SERVICE_AEAD: {
        struct virtio_crypto_aead_flf *flf = (void *)&req.u;

        flf->iv_len = cpu_to_le32(op->iv.len);
        flf->aad_len = cpu_to_le32(op->aad.len);
        flf->src_data_len = cpu_to_le32(op->src.len);
        flf->dst_data_len = cpu_to_le32(op->out_len);
        flf->tag_len = cpu_to_le32(op->tag_len);
        break;
    }
    default:
        req.u.akcipher_req.para.src_data_len = cpu_to_le32(op->src.len);
        req.u.akcipher_req.para.dst_data_len =
            cpu_to_le32(verify ? op->more.len : op->out_len);
        break;
    }
    crypto_add(&m->out, &req, sizeof(req.header) +
               fixed_size(t, exact, service, VIRTIO_CRYPTO_DATA_PADDED));
    crypto_add(&m->out, op->iv.data, op->iv.len);
    crypto_add(&m->out, op->src.data, op->src.len);
    crypto_add(&m->out, op->aad.data, op->aad.len);
    crypto_add(&m->out, op->more.data, op->more.len);
    m->in.len = op->out_len + op->digest_len + 1;
}

uint8_t crypto_do(CryptoTest *t, unsigned n, CryptoOp *op)
{
    g_autofree CryptoMessage *m = g_new0(CryptoMessage, 1);

    crypto_build(t, op, m);
    crypto_send(t, t->data[n], m);
    op->result.len = 0;
    crypto_add(&op->result, m->in.data, m->in.len - 1);
    op->used = m->used;
    return m->in.data[m->in.len - 1];
}

uint64_t crypto_aes_session(CryptoTest *t, uint32_t op)
{
    g_autofree CryptoSession *s = g_new0(CryptoSession, 1);
    uint64_t id;

    s->service = VIRTIO_CRYPTO_SERVICE_CIPHER;
    s->algo = VIRTIO_CRYPTO_CIPHER_AES_CBC;
    s->op = op;
    crypto_add_hex(&s->key, "2b7e151628aed2a6abf7158809cf4f3c");
    g_assert_cmpuint(crypto_create(t, s, &id), ==, VIRTIO_CRYPTO_OK);
    return id;
}

void crypto_aes_check(CryptoTest *t, unsigned n, uint64_t id)
{
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    CryptoBytes want = {};

    op->opcode = VIRTIO_CRYPTO_CIPHER_ENCRYPT;
    op->session = id;
    crypto_add_hex(&op->iv, "000102030405060708090a0b0c0d0e0f");
    crypto_add_hex(&op->src, "6bc1bee22e409f96e93d7e117393172a");
    op->out_len = op->src.len;
    crypto_add_hex(&want, "7649abac8119b246cee98e9b12e9197d");
    g_assert_cmpuint(crypto_do(t, n, op), ==, VIRTIO_CRYPTO_OK);
    g_assert_cmpmem(op->result.data, op->result.len, want.data, want.len);
}

CryptoSession *crypto_vector_session(const CryptoVector *v, bool decrypt)
{
    CryptoSession *s = g_new0(CryptoSession, 1);

    s->service = v->service;
    s->algo = v->algo;
    s->op = decrypt ? VIRTIO_CRYPTO_OP_DECRYPT : VIRTIO_CRYPTO_OP_ENCRYPT;
    crypto_add_hex(&s->key, v->key);
    if (v->service != VIRTIO_CRYPTO_SERVICE_CIPHER) {
        s->result_len = strlen(v->result) / 2;
    }
    if (v->service == VIRTIO_CRYPTO_SERVICE_AEAD) {
        s->result_len -= strlen(v->text) / 2;
    }
    return s;
}

void crypto_vector_op(const CryptoVector *v, bool decrypt, CryptoOp *op,
                      CryptoBytes *want)
{
    op->opcode = VIRTIO_CRYPTO_OPCODE(v->service, decrypt);
    crypto_add_hex(&op->iv, v->iv);
    crypto_add_hex(&op->aad, v->aad);
    crypto_add_hex(&op->src, decrypt ? v->result : v->text);
    crypto_add_hex(want, decrypt ? v->text : v->result);
    if (v->service == VIRTIO_CRYPTO_SERVICE_HASH ||
        v->service == VIRTIO_CRYPTO_SERVICE_MAC) {
        op->digest_len = want->len;
    } else {
        op->out_len = want->len;
    }
}

void crypto_backend_set(CryptoTest *t, const char *property, uint64_t value)
{
    qtest_qmp_assert_success(t->qts, "{ 'execute': 'qom-set', 'arguments': {"
                             " 'path': %s, 'property': %s, 'value': %u } }",
                             QVIRTIO_CRYPTO_BACKEND, property,
                             (unsigned)value);
}

bool crypto_is_broken(CryptoTest *t)
{
    return t->dev->bus->get_status(t->dev) & VIRTIO_CONFIG_S_NEEDS_RESET;
}
