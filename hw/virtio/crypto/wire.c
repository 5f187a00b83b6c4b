/*
 * virtio-crypto: requests as they stand in guest memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/iov.h"
#include "wire.h"

QEMU_BUILD_BUG_ON(sizeof(struct virtio_crypto_op_ctrl_req) !=
                  16 + VIRTIO_CRYPTO_CTRL_PADDED);
QEMU_BUILD_BUG_ON(sizeof(struct virtio_crypto_op_data_req) !=
                  24 + VIRTIO_CRYPTO_DATA_PADDED);
QEMU_BUILD_BUG_ON(sizeof(struct virtio_crypto_aead_flf) !=
                  VIRTIO_CRYPTO_DATA_AEAD);

#define OP(opcode) ((opcode) & 0xff)

bool vcrypto_creates(uint32_t opcode)
{
    switch (opcode) {
    case VIRTIO_CRYPTO_CIPHER_CREATE_SESSION:
    case VIRTIO_CRYPTO_HASH_CREATE_SESSION:
    case VIRTIO_CRYPTO_MAC_CREATE_SESSION:
    case VIRTIO_CRYPTO_AEAD_CREATE_SESSION:
    case VIRTIO_CRYPTO_AKCIPHER_CREATE_SESSION:
        return true;
    default:
        return false;
    }
}

bool vcrypto_destroys(uint32_t opcode)
{
    switch (opcode) {
    case VIRTIO_CRYPTO_CIPHER_DESTROY_SESSION:
    case VIRTIO_CRYPTO_HASH_DESTROY_SESSION:
    case VIRTIO_CRYPTO_MAC_DESTROY_SESSION:
    case VIRTIO_CRYPTO_AEAD_DESTROY_SESSION:
    case VIRTIO_CRYPTO_AKCIPHER_DESTROY_SESSION:
        return true;
    default:
        return false;
    }
}

/* Bytes of the fixed part; 0: no such request */
static size_t control_fixed(uint32_t opcode, bool revision_1)
{
    static const uint8_t exact[] = {
        [VIRTIO_CRYPTO_SERVICE_CIPHER] = VIRTIO_CRYPTO_CTRL_SYM,
        [VIRTIO_CRYPTO_SERVICE_HASH] = VIRTIO_CRYPTO_CTRL_HASH,
        [VIRTIO_CRYPTO_SERVICE_MAC] = VIRTIO_CRYPTO_CTRL_MAC,
        [VIRTIO_CRYPTO_SERVICE_AEAD] = VIRTIO_CRYPTO_CTRL_AEAD,
        [VIRTIO_CRYPTO_SERVICE_AKCIPHER] = VIRTIO_CRYPTO_CTRL_AKCIPHER,
    };

    if (vcrypto_destroys(opcode)) {
        return revision_1 ? VIRTIO_CRYPTO_CTRL_DESTROY
                          : VIRTIO_CRYPTO_CTRL_PADDED;
    }
    if (vcrypto_creates(opcode)) {
        return revision_1 ? exact[vcrypto_service(opcode)]
                          : VIRTIO_CRYPTO_CTRL_PADDED;
    }
    return 0;
}

static void
parse_cipher_para(const struct virtio_crypto_cipher_session_para *para,
                  CryptoDevSessionSpec *spec)
{
    spec->algo = ldl_le_p(&para->algo);
    spec->key_len = ldl_le_p(&para->keylen);
    spec->op = ldl_le_p(&para->op);
}

static uint32_t
parse_sym_create(const struct virtio_crypto_sym_create_session_req *req,
                 CryptoDevSessionSpec *spec)
{
    const struct virtio_crypto_alg_chain_session_para *chain =
        &req->u.chain.para;
    CryptoDevAuthSpec *auth = &spec->auth;

    switch (ldl_le_p(&req->op_type)) {
    case VIRTIO_CRYPTO_SYM_OP_CIPHER:
        parse_cipher_para(&req->u.cipher.para, spec);
        break;
    case VIRTIO_CRYPTO_SYM_OP_ALGORITHM_CHAINING:
        parse_cipher_para(&chain->cipher_param, spec);
        auth->order = ldl_le_p(&chain->alg_chain_order);
        auth->mode = ldl_le_p(&chain->hash_mode);
        switch (auth->mode) {
        case VIRTIO_CRYPTO_SYM_HASH_MODE_PLAIN:
            auth->algo = ldl_le_p(&chain->u.hash_param.algo);
            auth->result_len = ldl_le_p(&chain->u.hash_param.hash_result_len);
            break;
        case VIRTIO_CRYPTO_SYM_HASH_MODE_AUTH:
            auth->algo = ldl_le_p(&chain->u.mac_param.algo);
            auth->result_len = ldl_le_p(&chain->u.mac_param.hash_result_len);
            auth->key_len = ldl_le_p(&chain->u.mac_param.auth_key_len);
            break;
        default:
            return VIRTIO_CRYPTO_NOTSUPP;
        }
        if (!auth->order) {
            return VIRTIO_CRYPTO_ERR;
        }
        break;
    default:
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    return spec->op == VIRTIO_CRYPTO_OP_ENCRYPT ||
           spec->op == VIRTIO_CRYPTO_OP_DECRYPT ? VIRTIO_CRYPTO_OK
                                                : VIRTIO_CRYPTO_ERR;
}

static uint32_t parse_create(const struct virtio_crypto_op_ctrl_req *req,
                             CryptoDevSessionSpec *spec)
{
    switch (spec->service) {
    case VIRTIO_CRYPTO_SERVICE_CIPHER:
        return parse_sym_create(&req->u.sym_create_session, spec);
    case VIRTIO_CRYPTO_SERVICE_HASH: {
        const struct virtio_crypto_hash_session_para *para =
            &req->u.hash_create_session.para;

        spec->algo = ldl_le_p(&para->algo);
        spec->result_len = ldl_le_p(&para->hash_result_len);
        return VIRTIO_CRYPTO_OK;
    }
    case VIRTIO_CRYPTO_SERVICE_MAC: {
        const struct virtio_crypto_mac_session_para *para =
            &req->u.mac_create_session.para;

        spec->algo = ldl_le_p(&para->algo);
        spec->result_len = ldl_le_p(&para->hash_result_len);
        spec->key_len = ldl_le_p(&para->auth_key_len);
        return VIRTIO_CRYPTO_OK;
    }
    case VIRTIO_CRYPTO_SERVICE_AEAD: {
        const struct virtio_crypto_aead_session_para *para =
            &req->u.aead_create_session.para;

        spec->algo = ldl_le_p(&para->algo);
        spec->key_len = ldl_le_p(&para->key_len);
        spec->result_len = ldl_le_p(&para->hash_result_len);
        spec->op = ldl_le_p(&para->op);
        return spec->op == VIRTIO_CRYPTO_OP_ENCRYPT ||
               spec->op == VIRTIO_CRYPTO_OP_DECRYPT ? VIRTIO_CRYPTO_OK
                                                    : VIRTIO_CRYPTO_ERR;
    }
    default: {
        const struct virtio_crypto_akcipher_session_para *para =
            &req->u.akcipher_create_session.para;

        spec->algo = ldl_le_p(&para->algo);
        spec->key_type = ldl_le_p(&para->keytype);
        spec->key_len = ldl_le_p(&para->keylen);
        spec->rsa_padding = ldl_le_p(&para->u.rsa.padding_algo);
        spec->rsa_hash = ldl_le_p(&para->u.rsa.hash_algo);
        return VIRTIO_CRYPTO_OK;
    }
    }
}

static uint32_t key_limit(uint32_t service, const CryptoDevBackendConf *conf)
{
    switch (service) {
    case VIRTIO_CRYPTO_SERVICE_MAC:
        return conf->max_auth_key_len;
    case VIRTIO_CRYPTO_SERVICE_AKCIPHER:
        /* The configuration has no field: a private key of 4096 bits fits. */
        return 4096;
    default:
        return conf->max_cipher_key_len;
    }
}

uint32_t vcrypto_parse_control(const VirtQueueElement *elem, bool revision_1,
                               const CryptoDevBackendConf *conf,
                               VCryptoControl *ctrl)
{
    struct virtio_crypto_op_ctrl_req req = {};
    size_t header = sizeof(req.header), fixed;
    CryptoDevSessionSpec *spec = &ctrl->spec;
    uint32_t status;

    memset(ctrl, 0, sizeof(*ctrl));
    if (iov_to_buf(elem->out_sg, elem->out_num, 0, &req.header, header) !=
        header) {
        return VIRTIO_CRYPTO_ERR;
    }
    ctrl->opcode = ldl_le_p(&req.header.opcode);
    ctrl->queue = ldl_le_p(&req.header.queue_id);
    fixed = control_fixed(ctrl->opcode, revision_1);
    if (!fixed) {
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    if (iov_to_buf(elem->out_sg, elem->out_num, header, &req.u, fixed) !=
        fixed) {
        return VIRTIO_CRYPTO_ERR;
    }
    if (vcrypto_destroys(ctrl->opcode)) {
        ctrl->session_id = ldq_le_p(&req.u.destroy_session.session_id);
        return VIRTIO_CRYPTO_OK;
    }
    spec->service = vcrypto_service(ctrl->opcode);
    status = parse_create(&req, spec);
    if (status != VIRTIO_CRYPTO_OK) {
        return status;
    }
    ctrl->key_at = header + fixed;
    if (spec->key_len > key_limit(spec->service, conf) ||
        spec->auth.key_len > conf->max_auth_key_len ||
        (uint64_t)spec->key_len + spec->auth.key_len + ctrl->key_at >
        iov_size(elem->out_sg, elem->out_num)) {
        return VIRTIO_CRYPTO_ERR;
    }
    return VIRTIO_CRYPTO_OK;
}

/* Bytes of the fixed part; 0: no such request */
static size_t data_fixed(uint32_t opcode, bool revision_1)
{
    static const struct {
        uint8_t exact, operations;
    } services[] = {
        [VIRTIO_CRYPTO_SERVICE_CIPHER] = { VIRTIO_CRYPTO_DATA_SYM, 2 },
        [VIRTIO_CRYPTO_SERVICE_HASH] = { VIRTIO_CRYPTO_DATA_HASH, 1 },
        [VIRTIO_CRYPTO_SERVICE_MAC] = { VIRTIO_CRYPTO_DATA_MAC, 1 },
        [VIRTIO_CRYPTO_SERVICE_AEAD] = { VIRTIO_CRYPTO_DATA_AEAD, 2 },
        [VIRTIO_CRYPTO_SERVICE_AKCIPHER] = { VIRTIO_CRYPTO_DATA_AKCIPHER, 4 },
    };
    uint32_t service = vcrypto_service(opcode);

    if (service >= ARRAY_SIZE(services) ||
        OP(opcode) >= services[service].operations) {
        return 0;
    }
    return revision_1 ? services[service].exact : VIRTIO_CRYPTO_DATA_PADDED;
}

static uint32_t parse_sym_data(const struct virtio_crypto_sym_data_req *req,
                               CryptoDevBackendSymOpInfo *op)
{
    const struct virtio_crypto_cipher_para *cipher = &req->u.cipher.para;
    const struct virtio_crypto_alg_chain_data_para *chain = &req->u.chain.para;
    uint32_t type = ldl_le_p(&req->op_type);

    op->op_type = type;
    switch (type) {
    case VIRTIO_CRYPTO_SYM_OP_CIPHER:
        op->iv_len = ldl_le_p(&cipher->iv_len);
        op->src_len = ldl_le_p(&cipher->src_data_len);
        op->dst_len = ldl_le_p(&cipher->dst_data_len);
        return VIRTIO_CRYPTO_OK;
    case VIRTIO_CRYPTO_SYM_OP_ALGORITHM_CHAINING:
        op->iv_len = ldl_le_p(&chain->iv_len);
        op->src_len = ldl_le_p(&chain->src_data_len);
        op->dst_len = ldl_le_p(&chain->dst_data_len);
        op->cipher_start_src_offset =
            ldl_le_p(&chain->cipher_start_src_offset);
        op->len_to_cipher = ldl_le_p(&chain->len_to_cipher);
        op->hash_start_src_offset = ldl_le_p(&chain->hash_start_src_offset);
        op->len_to_hash = ldl_le_p(&chain->len_to_hash);
        op->aad_len = ldl_le_p(&chain->aad_len);
        op->digest_result_len = ldl_le_p(&chain->hash_result_len);
        return VIRTIO_CRYPTO_OK;
    default:
        return VIRTIO_CRYPTO_NOTSUPP;
    }
}

static uint32_t parse_lengths(const struct virtio_crypto_op_data_req *req,
                              VCryptoData *data)
{
    CryptoDevBackendSymOpInfo *op = data->op;

    switch (vcrypto_service(data->opcode)) {
    case VIRTIO_CRYPTO_SERVICE_CIPHER:
        return parse_sym_data(&req->u.sym_req, op);
    case VIRTIO_CRYPTO_SERVICE_HASH:
    case VIRTIO_CRYPTO_SERVICE_MAC:
        op->src_len = ldl_le_p(&req->u.hash_req.para.src_data_len);
        op->digest_result_len = ldl_le_p(&req->u.hash_req.para.hash_result_len);
        return VIRTIO_CRYPTO_OK;
    case VIRTIO_CRYPTO_SERVICE_AEAD: {
        const struct virtio_crypto_aead_flf *flf = (const void *)&req->u;

        op->iv_len = ldl_le_p(&flf->iv_len);
        op->aad_len = ldl_le_p(&flf->aad_len);
        op->src_len = ldl_le_p(&flf->src_data_len);
        op->dst_len = ldl_le_p(&flf->dst_data_len);
        data->tag_len = ldl_le_p(&flf->tag_len);
        return VIRTIO_CRYPTO_OK;
    }
    default:
        op->src_len = ldl_le_p(&req->u.akcipher_req.para.src_data_len);
        op->dst_len = ldl_le_p(&req->u.akcipher_req.para.dst_data_len);
        return VIRTIO_CRYPTO_OK;
    }
}

/* Where the readable parts lie and whether all parts are there */
static uint32_t locate(const VirtQueueElement *elem, size_t at,
                       uint64_t max_size, VCryptoData *data)
{
    CryptoDevBackendSymOpInfo *op = data->op;
    bool verify = data->opcode == VIRTIO_CRYPTO_AKCIPHER_VERIFY;
    uint64_t readable, writable;

    readable = (uint64_t)op->iv_len + op->src_len + op->aad_len;
    writable = (uint64_t)op->dst_len + op->digest_result_len;
    if (readable + writable > max_size) {
        return VIRTIO_CRYPTO_ERR;
    }
    if (verify) {
        readable += op->dst_len;
        writable = 0;
    }
    if (readable + at > iov_size(elem->out_sg, elem->out_num) ||
        writable + sizeof(struct virtio_crypto_inhdr) >
        iov_size(elem->in_sg, elem->in_num)) {
        return VIRTIO_CRYPTO_ERR;
    }
    data->iv_at = at;
    data->src_at = data->iv_at + op->iv_len;
    data->aad_at = data->src_at + op->src_len;
    data->dst_at = data->aad_at;
    return VIRTIO_CRYPTO_OK;
}

uint32_t vcrypto_parse_data(const VirtQueueElement *elem, bool revision_1,
                            uint64_t max_size, VCryptoData *data)
{
    struct virtio_crypto_op_data_req req = {};
    size_t header = sizeof(req.header), fixed;
    uint32_t status;

    if (iov_to_buf(elem->out_sg, elem->out_num, 0, &req.header, header) !=
        header) {
        return VIRTIO_CRYPTO_ERR;
    }
    data->opcode = ldl_le_p(&req.header.opcode);
    data->session_id = ldq_le_p(&req.header.session_id);
    fixed = data_fixed(data->opcode, revision_1);
    if (!fixed) {
        return VIRTIO_CRYPTO_NOTSUPP;
    }
    if (revision_1 && !(ldl_le_p(&req.header.flag) &
                        VIRTIO_CRYPTO_FLAG_SESSION_MODE)) {
        /* No stateless mode is offered. */
        return VIRTIO_CRYPTO_ERR;
    }
    if (iov_to_buf(elem->out_sg, elem->out_num, header, &req.u, fixed) !=
        fixed) {
        return VIRTIO_CRYPTO_ERR;
    }
    status = parse_lengths(&req, data);
    return status == VIRTIO_CRYPTO_OK ?
           locate(elem, header + fixed, max_size, data) : status;
}
