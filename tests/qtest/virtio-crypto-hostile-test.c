/*
 * Tests of virtio-crypto: drivers that lie
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A request that is wrong fails alone: the device answers it, goes on and
 * needs no reset. Each test of "virtio-crypto" runs over a split and over a
 * packed ring.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "virtio-crypto-util.h"

#define PADDED (1ull << VIRTIO_CRYPTO_F_REVISION_1)
#define MAX_SESSIONS 1024       /* the property's default */
#define HEADER sizeof(struct virtio_crypto_op_header)

/* A right request, for tests to spoil */
static CryptoMessage *good_request(CryptoTest *t, uint64_t id)
{
    CryptoMessage *m = g_new0(CryptoMessage, 1);
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);

    op->opcode = VIRTIO_CRYPTO_CIPHER_ENCRYPT;
    op->session = id;
    op->iv.len = 16;
    op->src.len = op->out_len = 32;
    crypto_build(t, op, m);
    return m;
}

static uint8_t send_status(CryptoTest *t, CryptoMessage *m)
{
    crypto_send(t, t->data[0], m);
    g_assert_cmpuint(m->used, >=, 1);
    g_assert_false(crypto_is_broken(t));
    return m->in.data[m->in.len - 1];
}

static void put32(CryptoMessage *m, size_t at, uint32_t value)
{
    stl_le_p(m->out.data + at, value);
}

/* B10: lengths of a cipher request that cannot be */
static void test_lengths(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint32_t lengths[][3] = {
        /* iv, src, dst */
        { 16, 32, 16 }, { 16, 33, 32 }, { 16, 32, 0 }, { 0, 32, 32 },
        { 15, 32, 32 }, { 17, 32, 32 }, { 16, 0x7fffffff, 32 },
        { 16, 32, 0x7fffffff }, { 0xffffffff, 32, 32 },
        { 0xfffffff0, 0x20, 0x20 }, { 16, 0xfffffff0, 0xfffffff0 },
        { 0xffffffff, 0xffffffff, 0xffffffff }, { 16, 0x100000, 0x100000 },
        { 16, 64, 64 },
    };
    uint64_t id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        g_autofree CryptoMessage *m = good_request(&t, id);

        for (unsigned field = 0; field < 3; field++) {
            put32(m, HEADER + 4 * field, lengths[i][field]);
        }
        g_assert_cmpuint(send_status(&t, m), ==, VIRTIO_CRYPTO_ERR);
        g_assert_cmpuint(m->used, ==, 1);
        /* nothing but the status was written */
        for (size_t j = 0; j + 1 < m->in.len; j++) {
            g_assert_cmphex(m->in.data[j], ==, CRYPTO_UNTOUCHED);
        }
    }
    crypto_aes_check(&t, 0, id);
    crypto_end(&t);
}

/* B10: every length of a request short of a whole one, in odd pieces */
static void test_short(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    t.cut = 5;
    for (size_t len = 1; len <= 120; len++) {
        g_autofree CryptoMessage *m = good_request(&t, id);
        bool whole = len == m->out.len;

        g_assert_cmpuint(len, <=, m->out.len);
        m->out.len = len;
        g_assert_cmpuint(send_status(&t, m), ==,
                         whole ? VIRTIO_CRYPTO_OK : VIRTIO_CRYPTO_ERR);
    }
    crypto_end(&t);
}

/* B10: no room for the status, or for more than the status */
static void test_no_room(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    for (size_t room = 0; room <= 33; room++) {
        g_autofree CryptoMessage *m = good_request(&t, id);

        m->in.len = room;
        crypto_send(&t, t.data[0], m);
        g_assert_cmpuint(m->used, ==, !room ? 0 : room == 33 ? 33 : 1);
        if (room) {
            g_assert_cmpuint(m->in.data[room - 1], ==, room == 33 ?
                             VIRTIO_CRYPTO_OK : VIRTIO_CRYPTO_ERR);
        }
    }
    /*
     * The same of the control queue. A session nobody is told of is not made:
     * else the device would be out of sessions in the end.
     */
    for (unsigned i = 0; i <= MAX_SESSIONS; i++) {
        size_t room = i % sizeof(struct virtio_crypto_session_input);
        g_autofree CryptoMessage *m = g_new0(CryptoMessage, 1);
        struct virtio_crypto_op_ctrl_req req = {};

        req.header.opcode = cpu_to_le32(VIRTIO_CRYPTO_HASH_CREATE_SESSION);
        req.u.hash_create_session.para.algo =
            cpu_to_le32(VIRTIO_CRYPTO_HASH_SHA_256);
        crypto_add(&m->out, &req, sizeof(req));
        m->in.len = room;
        crypto_send(&t, t.ctrl, m);
        g_assert_cmpuint(m->used, ==, !!room);
    }
    g_assert_false(crypto_is_broken(&t));
    crypto_aes_check(&t, 0, id);
    crypto_aes_check(&t, 0, crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT));
    crypto_end(&t);
}

/* Opcodes that are none, on either queue */
static void test_opcodes(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint32_t opcodes[] = {
        0x2, 0x3, 0xff, 0x101, 0x201, 0x302, 0x404, 0x500, 0x501, 0xffff,
        0x10000, 0xffffffff,
    };
    uint64_t id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
        g_autofree CryptoMessage *m = good_request(&t, id);

        put32(m, 0, opcodes[i]);
        g_assert_cmpuint(send_status(&t, m), ==, VIRTIO_CRYPTO_NOTSUPP);
    }
    for (uint32_t opcode = 0; opcode < 0x600; opcode++) {
        g_autofree CryptoMessage *m = g_new0(CryptoMessage, 1);
        struct virtio_crypto_op_ctrl_req req = {};

        req.header.opcode = cpu_to_le32(opcode);
        crypto_add(&m->out, &req, sizeof(req));
        m->in.len = sizeof(struct virtio_crypto_session_input);
        crypto_send(&t, t.ctrl, m);
        g_assert_cmpuint(m->used, >=, 1);
    }
    g_assert_false(crypto_is_broken(&t));
    crypto_aes_check(&t, 0, id);
    crypto_end(&t);
}

/* Windows of a chain that leave the source, also by wrapping round */
static void test_chain_windows(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint32_t windows[][2] = {
        { 33, 0 }, { 32, 16 }, { 0, 48 }, { 16, 32 }, { 0xfffffff0, 32 },
        { 16, 0xfffffff0 }, { 0xffffffff, 0xffffffff }, { 0, 0xffffffff },
    };
    g_autofree CryptoSession *s = g_new0(CryptoSession, 1);
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    s->service = VIRTIO_CRYPTO_SERVICE_CIPHER;
    s->algo = VIRTIO_CRYPTO_CIPHER_AES_CBC;
    s->op = VIRTIO_CRYPTO_OP_ENCRYPT;
    s->order = VIRTIO_CRYPTO_SYM_ALG_CHAIN_ORDER_CIPHER_THEN_HASH;
    s->mode = VIRTIO_CRYPTO_SYM_HASH_MODE_AUTH;
    s->auth_algo = VIRTIO_CRYPTO_MAC_HMAC_SHA_256;
    s->key.len = s->auth_key.len = 16;
    g_assert_cmpuint(crypto_create(&t, s, &op->session), ==,
                     VIRTIO_CRYPTO_OK);
    op->opcode = VIRTIO_CRYPTO_CIPHER_ENCRYPT;
    op->chain = true;
    op->iv.len = 16;
    op->src.len = op->out_len = op->digest_len = 32;
    for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
        op->cipher_at = windows[i][0];
        op->cipher_len = windows[i][1];
        op->hash_at = op->hash_len = 0;
        g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_ERR);
        op->hash_at = windows[i][0];
        op->hash_len = windows[i][1];
        op->cipher_at = op->cipher_len = 0;
        g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_ERR);
    }
    op->hash_at = 32;
    op->hash_len = 0;
    g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_OK);
    crypto_end(&t);
}

/* RSA keys that are none; libgcrypt ends the process for some of them */
static void test_rsa_keys(void *obj, void *data, QGuestAllocator *alloc)
{
    CryptoBytes good = {};
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    crypto_add_hex(&good, data ? RSA_PRIVATE : RSA_PUBLIC);
    for (size_t i = 0; i <= good.len; i++) {
        g_autofree CryptoSession *s = g_new0(CryptoSession, 1);
        g_autofree CryptoOp *op = g_new0(CryptoOp, 1);

        s->service = VIRTIO_CRYPTO_SERVICE_AKCIPHER;
        s->algo = VIRTIO_CRYPTO_AKCIPHER_RSA;
        s->key_type = data ? VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_PRIVATE
                           : VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_PUBLIC;
        /* a byte changed, or all from there on zero, which is zero moduli */
        s->key = good;
        if (i < good.len) {
            s->key.data[i] ^= 0xff;
        }
        if (i % 2) {
            memset(s->key.data + i, 0, MIN(good.len - i, 128));
        }
        if (crypto_create(&t, s, &op->session) != VIRTIO_CRYPTO_OK) {
            continue;
        }
        op->opcode = data ? VIRTIO_CRYPTO_AKCIPHER_DECRYPT
                          : VIRTIO_CRYPTO_AKCIPHER_ENCRYPT;
        op->src.len = op->out_len = 128;
        op->src.data[127] = 2;
        crypto_do(&t, 0, op);
        g_assert_cmpuint(crypto_destroy(&t, s->service, op->session), ==,
                         VIRTIO_CRYPTO_OK);
    }
    crypto_aes_check(&t, 0, crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT));
    crypto_end(&t);
}

/* Set the @n-th integer of a DER sequence of integers */
static void der_set(CryptoBytes *der, unsigned n, uint8_t value)
{
    size_t at = 0, len = 0;

    /* the 0th is the sequence itself */
    for (unsigned i = 0; i <= n; i++) {
        at += i > 1 ? len : 0;
        len = crypto_der_enter(der, &at);
    }
    memset(der->data + at, 0, len);
    der->data[at + len - 1] = value;
}

/*
 * libgcrypt divides by the modulus and by each factor less one, and ends the
 * process when that is zero. A key without factors, all zero, is a good one.
 */
static void test_rsa_numbers(void *obj, void *data, QGuestAllocator *alloc)
{
    /* after the version: n, e, d, p, q, dp, dq, u */
    static const struct {
        unsigned number, value;
        bool good;
    } keys[] = {
        { 5, 1 }, { 6, 1 }, { 5, 2 }, { 6, 2 }, { 2, 0 }, { 2, 1 }, { 3, 0 },
        { 4, 0 }, { 5, 0, true }, { 6, 0, true }, { 9, 0, true },
    };
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        g_autofree CryptoSession *s = g_new0(CryptoSession, 1);
        g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
        CryptoBytes want = {};
        bool made;

        s->service = VIRTIO_CRYPTO_SERVICE_AKCIPHER;
        s->algo = VIRTIO_CRYPTO_AKCIPHER_RSA;
        s->key_type = VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_PRIVATE;
        crypto_add_hex(&s->key, RSA_PRIVATE);
        der_set(&s->key, keys[i].number, keys[i].value);
        made = crypto_create(&t, s, &op->session) == VIRTIO_CRYPTO_OK;
        if (made) {
            op->opcode = VIRTIO_CRYPTO_AKCIPHER_DECRYPT;
            crypto_add_hex(&op->src, RSA_RAW_CIPHER);
            crypto_add_hex(&want, RSA_RAW_PLAIN);
            op->out_len = want.len;
            g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_OK);
            g_assert_cmpmem(op->result.data, op->result.len, want.data,
                            want.len);
        }
        g_assert_cmpuint(made, ==, keys[i].good);
    }
    crypto_aes_check(&t, 0, crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT));
    crypto_end(&t);
}

/*
 * A result that would be written to a register breaks the device, as a ring
 * violation does; a reset brings it back.
 */
static void test_not_ram(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree CryptoMessage *m = NULL;
    uint64_t id;
    uint32_t token;
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    m = good_request(&t, id);
    m->out_at = guest_alloc(alloc, m->out.len);
    qtest_memwrite(t.qts, m->out_at, m->out.data, m->out.len);
    token = qvirtqueue_add(t.qts, t.data[0], m->out_at, m->out.len, false,
                           true);
    qvirtqueue_add(t.qts, t.data[0], t.pci->bar.addr, m->in.len, true, false);
    qvirtqueue_kick(t.qts, t.dev, t.data[0], token);
    while (!crypto_is_broken(&t)) {
        g_assert_false(crypto_has_used(&t, t.data[0]));
    }
    crypto_restart(&t);
    crypto_aes_check(&t, 0, crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT));
    crypto_end(&t);
}

static bool two_ways(const CryptoVector *v)
{
    return v->service == VIRTIO_CRYPTO_SERVICE_CIPHER ||
           v->service == VIRTIO_CRYPTO_SERVICE_AEAD;
}

/* A session for each known answer, every other one for the way back */
static void all_sessions(CryptoTest *t, uint64_t ids[])
{
    for (size_t i = 0; i < ARRAY_SIZE(crypto_vectors); i++) {
        const CryptoVector *v = &crypto_vectors[i];
        g_autofree CryptoSession *s =
            crypto_vector_session(v, i % 2 && two_ways(v));

        g_assert_cmpuint(crypto_create(t, s, &ids[i]), ==, VIRTIO_CRYPTO_OK);
    }
}

static uint32_t odd_number(GRand *rand)
{
    static const uint32_t numbers[] = {
        0, 1, 8, 12, 15, 16, 17, 32, 48, 64, 0x100, 0xfffff, 0x100000,
        0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff,
    };

    return g_rand_boolean(rand) ?
           numbers[g_rand_int_range(rand, 0, ARRAY_SIZE(numbers))] :
           g_rand_int_range(rand, 0, 512);
}

/* The request of a known answer with up to three of its numbers changed */
static void spoiled_request(CryptoTest *t, GRand *rand, const uint64_t ids[],
                            CryptoMessage *m)
{
    unsigned i = g_rand_int_range(rand, 0, ARRAY_SIZE(crypto_vectors));
    const CryptoVector *v = &crypto_vectors[i];
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    unsigned changes = g_rand_int_range(rand, 0, 4);
    CryptoBytes want = {};

    crypto_vector_op(v, i % 2 && two_ways(v), op, &want);
    op->session = ids[i];
    crypto_build(t, op, m);
    while (changes--) {
        put32(m, 4 * g_rand_int_range(rand, 0, MIN(m->out.len, 72) / 4),
              odd_number(rand));
    }
    if (!g_rand_int_range(rand, 0, 4)) {
        m->in.len = g_rand_int_range(rand, 0, 300);
    }
}

/* A message of numbers, with an opcode of the control queue in front */
static void chance_request(GRand *rand, CryptoMessage *m)
{
    static const uint32_t opcodes[] = { 0x2, 0x102, 0x202, 0x302, 0x404, 3 };

    m->out.len = g_rand_int_range(rand, 1, 600);
    m->in.len = g_rand_int_range(rand, 0, 40);
    for (size_t at = 0; at + 4 <= m->out.len; at += 4) {
        put32(m, at, odd_number(rand));
    }
    put32(m, 0, opcodes[g_rand_int_range(rand, 0, ARRAY_SIZE(opcodes))]);
}

/* A thousand requests made by chance, the same ones each time */
static void test_chance(void *obj, void *data, QGuestAllocator *alloc)
{
    const unsigned count = 1000;
    g_autoptr(GRand) rand = g_rand_new_with_seed(8);
    uint64_t ids[ARRAY_SIZE(crypto_vectors)];
    unsigned served = 0;
    CryptoTest t;

    crypto_start(&t, obj, alloc, data ? 0 : PADDED);
    all_sessions(&t, ids);
    for (unsigned i = 0; i < count; i++) {
        g_autofree CryptoMessage *m = g_new0(CryptoMessage, 1);
        bool ctrl = i % 5 == 0;

        if (ctrl) {
            chance_request(rand, m);
        } else {
            spoiled_request(&t, rand, ids, m);
        }
        t.cut = g_rand_int_range(rand, 0, 3) * 7;
        crypto_send(&t, ctrl ? t.ctrl : t.data[0], m);
        g_assert_cmpuint(m->used, <=, m->in.len);
        served += !ctrl && m->in.len && !m->in.data[m->in.len - 1];
    }
    g_test_message("%u of %u were served", served, count);
    g_assert_cmpuint(served, >, count / 10);
    g_assert_cmpuint(served, <, count / 2);
    g_assert_false(crypto_is_broken(&t));
    t.cut = 0;
    crypto_restart(&t);
    crypto_aes_check(&t, 0, crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT));
    crypto_end(&t);
}

static void register_tests(void)
{
    QOSGraphTestOptions alt = { .arg = (void *)"other" };

    qos_add_test("hostile/lengths", "virtio-crypto", test_lengths, NULL);
    qos_add_test("hostile/short", "virtio-crypto", test_short, NULL);
    qos_add_test("hostile/no-room", "virtio-crypto", test_no_room, NULL);
    qos_add_test("hostile/opcodes", "virtio-crypto", test_opcodes, NULL);
    qos_add_test("hostile/chain-windows", "virtio-crypto", test_chain_windows,
                 NULL);
    qos_add_test("hostile/rsa-keys/public", "virtio-crypto", test_rsa_keys,
                 NULL);
    qos_add_test("hostile/rsa-keys/private", "virtio-crypto", test_rsa_keys,
                 &alt);
    qos_add_test("hostile/rsa-numbers", "virtio-crypto", test_rsa_numbers,
                 NULL);
    qos_add_test("hostile/not-ram", "virtio-crypto", test_not_ram, NULL);
    qos_add_test("hostile/chance/padded", "virtio-crypto", test_chance, NULL);
    qos_add_test("hostile/chance/exact", "virtio-crypto", test_chance, &alt);
}

libqos_init(register_tests);
