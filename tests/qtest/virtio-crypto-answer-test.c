/*
 * Tests of virtio-crypto: known answers of every service
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each test of "virtio-crypto" runs over a split and over a packed ring.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/module.h"
#include "virtio-crypto-util.h"

static void vector_check(CryptoTest *t, const CryptoVector *v, bool decrypt)
{
    g_autofree CryptoSession *s = crypto_vector_session(v, decrypt);
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    CryptoBytes want = {};
    uint32_t status;

    g_test_message("%s, %s, %u bytes per descriptor", v->name,
                   decrypt ? "back" : "forth", t->cut);
    status = crypto_create(t, s, &op->session);
    g_assert_cmpuint(status, ==, VIRTIO_CRYPTO_OK);
    crypto_vector_op(v, decrypt, op, &want);
    g_assert_cmpuint(crypto_do(t, 0, op), ==, VIRTIO_CRYPTO_OK);
    g_assert_cmpmem(op->result.data, op->result.len, want.data, want.len);
    g_assert_cmpuint(op->used, ==, want.len + 1);

    if (decrypt && v->service == VIRTIO_CRYPTO_SERVICE_AEAD) {
        /* a tag that is wrong in its last bit: no byte of the text */
        op->src.data[op->src.len - 1] ^= 1;
        g_assert_cmpuint(crypto_do(t, 0, op), ==, VIRTIO_CRYPTO_BADMSG);
        for (size_t i = 0; i < op->result.len; i++) {
            g_assert_cmphex(op->result.data[i], ==, 0);
        }
    }
    g_assert_cmpuint(crypto_destroy(t, v->service, op->session), ==,
                     VIRTIO_CRYPTO_OK);
}

static void vectors_check(CryptoTest *t)
{
    for (size_t i = 0; i < ARRAY_SIZE(crypto_vectors); i++) {
        const CryptoVector *v = &crypto_vectors[i];

        vector_check(t, v, false);
        if (v->service == VIRTIO_CRYPTO_SERVICE_CIPHER ||
            v->service == VIRTIO_CRYPTO_SERVICE_AEAD) {
            vector_check(t, v, true);
        }
    }
}

static void test_answers(void *obj, void *data, QGuestAllocator *alloc)
{
    static const unsigned cuts[] = { 0, 1, 13 };
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
        t.cut = cuts[i];
        vectors_check(&t);
    }
    crypto_end(&t);
}

static void test_answers_indirect(void *obj, void *data,
                                  QGuestAllocator *alloc)
{
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    t.indirect = true;
    t.cut = 11;
    vectors_check(&t);
    crypto_end(&t);
}

/* The padded layout of drivers that do not accept REVISION_1 */
static void test_answers_padded(void *obj, void *data, QGuestAllocator *alloc)
{
    CryptoTest t;

    crypto_start(&t, obj, alloc, 1ull << VIRTIO_CRYPTO_F_REVISION_1);
    g_assert_false(t.revision_1);
    vectors_check(&t);
    crypto_end(&t);
}

static uint32_t rsa_create(CryptoTest *t, bool private_key, uint32_t padding,
                           uint32_t hash, uint64_t *id)
{
    g_autofree CryptoSession *s = g_new0(CryptoSession, 1);

    s->service = VIRTIO_CRYPTO_SERVICE_AKCIPHER;
    s->algo = VIRTIO_CRYPTO_AKCIPHER_RSA;
    s->key_type = private_key ? VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_PRIVATE
                              : VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_PUBLIC;
    s->rsa_padding = padding;
    s->rsa_hash = hash;
    crypto_add_hex(&s->key, private_key ? RSA_PRIVATE : RSA_PUBLIC);
    return crypto_create(t, s, id);
}

static uint64_t rsa_session(CryptoTest *t, bool private_key, uint32_t padding,
                            uint32_t hash)
{
    uint64_t id;

    g_assert_cmpuint(rsa_create(t, private_key, padding, hash, &id), ==,
                     VIRTIO_CRYPTO_OK);
    return id;
}

static void rsa_check(CryptoTest *t, uint64_t id, uint32_t opcode,
                      const char *src, const char *result)
{
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    CryptoBytes want = {};

    op->opcode = opcode;
    op->session = id;
    crypto_add_hex(&op->src, src);
    crypto_add_hex(&want, result);
    /* more room than the result needs: the used length says how much it is */
    op->out_len = 200;
    g_assert_cmpuint(crypto_do(t, 0, op), ==, VIRTIO_CRYPTO_OK);
    g_assert_cmpuint(op->used, ==, want.len + 1);
    g_assert_cmpmem(op->result.data, want.len, want.data, want.len);
}

static void test_rsa(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    uint64_t raw_public, raw_private, sign, verify;
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    raw_public = rsa_session(&t, false, VIRTIO_CRYPTO_RSA_RAW_PADDING, 0);
    raw_private = rsa_session(&t, true, VIRTIO_CRYPTO_RSA_RAW_PADDING, 0);
    sign = rsa_session(&t, true, VIRTIO_CRYPTO_RSA_PKCS1_PADDING,
                       VIRTIO_CRYPTO_RSA_SHA256);
    verify = rsa_session(&t, false, VIRTIO_CRYPTO_RSA_PKCS1_PADDING,
                         VIRTIO_CRYPTO_RSA_SHA256);

    rsa_check(&t, raw_public, VIRTIO_CRYPTO_AKCIPHER_ENCRYPT, RSA_RAW_PLAIN,
              RSA_RAW_CIPHER);
    /* the plaintext begins with a zero, which is part of the result */
    rsa_check(&t, raw_private, VIRTIO_CRYPTO_AKCIPHER_DECRYPT, RSA_RAW_CIPHER,
              RSA_RAW_PLAIN);
    rsa_check(&t, sign, VIRTIO_CRYPTO_AKCIPHER_SIGN, RSA_DIGEST,
              RSA_SIGNATURE);

    op->opcode = VIRTIO_CRYPTO_AKCIPHER_VERIFY;
    op->session = verify;
    crypto_add_hex(&op->src, RSA_SIGNATURE);
    crypto_add_hex(&op->more, RSA_DIGEST);
    g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_OK);
    op->more.data[0] ^= 1;
    g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_KEY_REJECTED);

    /* no signatures without padding */
    op->opcode = VIRTIO_CRYPTO_AKCIPHER_SIGN;
    op->session = raw_private;
    op->more.len = 0;
    op->out_len = 128;
    g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_ERR);
    crypto_end(&t);
}

/* Take the zero bytes off that DER wants in front of a set top bit. */
static unsigned der_strip(CryptoBytes *der)
{
    size_t at = 0, len;
    unsigned stripped = 0;

    crypto_der_enter(der, &at);
    for (size_t start = at; at < der->len; at += len) {
        len = crypto_der_enter(der, &at);
        if (len > 1 && !der->data[at]) {
            der->len--;
            len--;
            memmove(der->data + at, der->data + at + 1, der->len - at);
            der->data[at - 1]--;
            der->data[start - 1]--;
            stripped++;
        }
    }
    return stripped;
}

#define BYTES_8(hex) hex hex hex hex hex hex hex hex
#define BYTES_64(hex) BYTES_8(BYTES_8(hex))

/* Integers with their top bit set, as in the keys of Linux's self-test */
/* 5.9: only signatures need a hash; a session may do without */
static void test_rsa_no_hash(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    uint64_t public_id, private_id;
    char cipher[2 * 128 + 1] = "";
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    public_id = rsa_session(&t, false, VIRTIO_CRYPTO_RSA_PKCS1_PADDING,
                            VIRTIO_CRYPTO_RSA_NO_HASH);
    private_id = rsa_session(&t, true, VIRTIO_CRYPTO_RSA_PKCS1_PADDING,
                             VIRTIO_CRYPTO_RSA_NO_HASH);
    op->opcode = VIRTIO_CRYPTO_AKCIPHER_ENCRYPT;
    op->session = public_id;
    crypto_add_hex(&op->src, "0123456789abcdef");
    op->out_len = 128;
    g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_OK);
    g_assert_cmpuint(op->used, ==, 128 + 1);
    for (unsigned i = 0; i < 128; i++) {
        sprintf(cipher + 2 * i, "%02x", op->result.data[i]);
    }
    rsa_check(&t, private_id, VIRTIO_CRYPTO_AKCIPHER_DECRYPT, cipher,
              "0123456789abcdef");
    op->opcode = VIRTIO_CRYPTO_AKCIPHER_SIGN;
    op->session = private_id;
    g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_ERR);
    crypto_end(&t);
}

static void test_rsa_unsigned(void *obj, void *data, QGuestAllocator *alloc)
{
    static const struct {
        uint32_t type, opcode;
        const char *key, *src, *result;
        unsigned zeros;
    } cases[] = {
        { VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_PUBLIC,
          VIRTIO_CRYPTO_AKCIPHER_ENCRYPT, RSA_PUBLIC, RSA_RAW_PLAIN,
          RSA_RAW_CIPHER, 1 },
        { VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_PRIVATE,
          VIRTIO_CRYPTO_AKCIPHER_DECRYPT, RSA_PRIVATE, RSA_RAW_CIPHER,
          RSA_RAW_PLAIN, 3 },
        /* a modulus that would be one byte if it were negative; 2^3 is 8 */
        { VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_PUBLIC,
          VIRTIO_CRYPTO_AKCIPHER_ENCRYPT,
          "3047024200ff" BYTES_64("ff") "020103", "02", BYTES_64("00") "08",
          1 },
    };
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        g_autofree CryptoSession *s = g_new0(CryptoSession, 1);
        uint64_t id;

        s->service = VIRTIO_CRYPTO_SERVICE_AKCIPHER;
        s->algo = VIRTIO_CRYPTO_AKCIPHER_RSA;
        s->key_type = cases[i].type;
        crypto_add_hex(&s->key, cases[i].key);
        g_assert_cmpuint(der_strip(&s->key), ==, cases[i].zeros);
        g_assert_cmpuint(crypto_create(&t, s, &id), ==, VIRTIO_CRYPTO_OK);
        rsa_check(&t, id, cases[i].opcode, cases[i].src, cases[i].result);
    }
    crypto_end(&t);
}

/* What is not whole blocks is an error of the request alone */
static void test_part_of_block(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    op->session = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    op->opcode = VIRTIO_CRYPTO_CIPHER_ENCRYPT;
    op->iv.len = 16;
    op->src.len = op->out_len = 17;
    g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_ERR);
    g_assert_cmpuint(op->used, ==, 1);
    crypto_aes_check(&t, 0, op->session);
    crypto_end(&t);
}

static uint64_t chain_session(CryptoTest *t, uint32_t op, uint32_t order)
{
    g_autofree CryptoSession *s = g_new0(CryptoSession, 1);
    uint64_t id;

    s->service = VIRTIO_CRYPTO_SERVICE_CIPHER;
    s->algo = VIRTIO_CRYPTO_CIPHER_AES_CBC;
    s->op = op;
    s->order = order;
    s->mode = VIRTIO_CRYPTO_SYM_HASH_MODE_AUTH;
    s->auth_algo = VIRTIO_CRYPTO_MAC_HMAC_SHA1;
    s->result_len = 12;
    crypto_add_hex(&s->key, "2b7e151628aed2a6abf7158809cf4f3c");
    crypto_add_hex(&s->auth_key, "4a656665");
    g_assert_cmpuint(crypto_create(t, s, &id), ==, VIRTIO_CRYPTO_OK);
    return id;
}

/* The MAC of a message by the MAC service, which has known answers */
static void mac_of(CryptoTest *t, const uint8_t *text, size_t len,
                   CryptoBytes *mac)
{
    g_autofree CryptoSession *s = g_new0(CryptoSession, 1);
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);

    s->service = VIRTIO_CRYPTO_SERVICE_MAC;
    s->algo = VIRTIO_CRYPTO_MAC_HMAC_SHA1;
    s->result_len = 12;
    crypto_add_hex(&s->key, "4a656665");
    g_assert_cmpuint(crypto_create(t, s, &op->session), ==, VIRTIO_CRYPTO_OK);
    op->opcode = VIRTIO_CRYPTO_MAC;
    op->digest_len = 12;
    crypto_add(&op->src, text, len);
    g_assert_cmpuint(crypto_do(t, 0, op), ==, VIRTIO_CRYPTO_OK);
    crypto_add(mac, op->result.data, 12);
    g_assert_cmpuint(crypto_destroy(t, s->service, op->session), ==,
                     VIRTIO_CRYPTO_OK);
}

/*
 * NIST's CBC vector between 8 bytes in front and 5 behind that only pass; the
 * MAC covers the 8 bytes and the window, plain or encrypted by the order.
 */
static void chain_check(CryptoTest *t, bool decrypt, uint32_t order)
{
    static const char plain[] =
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";
    static const char cipher[] =
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2";
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    CryptoBytes want = {};
    const CryptoBytes *hashed;

    op->opcode = decrypt ? VIRTIO_CRYPTO_CIPHER_DECRYPT
                         : VIRTIO_CRYPTO_CIPHER_ENCRYPT;
    op->session = chain_session(t, decrypt ? VIRTIO_CRYPTO_OP_DECRYPT
                                           : VIRTIO_CRYPTO_OP_ENCRYPT, order);
    op->chain = true;
    crypto_add_hex(&op->iv, "000102030405060708090a0b0c0d0e0f");
    crypto_add_hex(&op->src, "1122334455667788");
    crypto_add_hex(&op->src, decrypt ? cipher : plain);
    crypto_add_hex(&op->src, "99aabbccdd");
    crypto_add_hex(&want, "1122334455667788");
    crypto_add_hex(&want, decrypt ? plain : cipher);
    crypto_add_hex(&want, "99aabbccdd");
    op->out_len = op->src.len;
    op->digest_len = 12;
    op->cipher_at = 8;
    op->cipher_len = 32;
    op->hash_len = 40;
    hashed = order == VIRTIO_CRYPTO_SYM_ALG_CHAIN_ORDER_HASH_THEN_CIPHER ?
             &op->src : &want;
    mac_of(t, hashed->data, 40, &want);

    g_assert_cmpuint(crypto_do(t, 0, op), ==, VIRTIO_CRYPTO_OK);
    g_assert_cmpmem(op->result.data, op->result.len, want.data, want.len);
    g_assert_cmpuint(op->used, ==, want.len + 1);
}

static void test_chain(void *obj, void *data, QGuestAllocator *alloc)
{
    static const unsigned cuts[] = { 0, 1, 7 };
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
        t.cut = cuts[i];
        for (unsigned order = 1; order <= 2; order++) {
            chain_check(&t, false, order);
            chain_check(&t, true, order);
        }
    }
    crypto_end(&t);
}

/* 5.9.4: what the masks say is what sessions can be had of */
static void test_masks(void *obj, void *data, QGuestAllocator *alloc)
{
    static const size_t fields[] = {
        [VIRTIO_CRYPTO_SERVICE_CIPHER] =
            offsetof(struct virtio_crypto_config, cipher_algo_l),
        [VIRTIO_CRYPTO_SERVICE_HASH] =
            offsetof(struct virtio_crypto_config, hash_algo),
        [VIRTIO_CRYPTO_SERVICE_MAC] =
            offsetof(struct virtio_crypto_config, mac_algo_l),
        [VIRTIO_CRYPTO_SERVICE_AEAD] =
            offsetof(struct virtio_crypto_config, aead_algo),
    };
    static const uint8_t key_lengths[] = { 0, 8, 16, 24, 32, 64 };
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    g_assert_cmphex(qvirtio_config_readl(t.dev,
        offsetof(struct virtio_crypto_config, crypto_services)), ==, 0x1f);
    g_assert_cmphex(qvirtio_config_readl(t.dev,
        offsetof(struct virtio_crypto_config, status)), ==,
        VIRTIO_CRYPTO_S_HW_READY);
    for (unsigned service = 0; service < ARRAY_SIZE(fields); service++) {
        uint32_t mask = qvirtio_config_readl(t.dev, fields[service]);

        for (unsigned algo = 0; algo < 32; algo++) {
            g_autofree CryptoSession *s = g_new0(CryptoSession, 1);
            bool made = false;
            uint64_t id;

            s->service = service;
            s->algo = algo;
            s->op = VIRTIO_CRYPTO_OP_ENCRYPT;
            s->result_len = service == VIRTIO_CRYPTO_SERVICE_CIPHER ? 0 :
                            service == VIRTIO_CRYPTO_SERVICE_AEAD ? 16 : 8;
            for (size_t i = 0; i < sizeof(key_lengths) && !made; i++) {
                s->key.len = key_lengths[i];
                for (size_t j = 0; j < s->key.len; j++) {
                    s->key.data[j] = j + 1;
                }
                made = crypto_create(&t, s, &id) == VIRTIO_CRYPTO_OK;
            }
            g_assert_cmpuint(made, ==, mask >> algo & 1);
            if (made) {
                g_assert_cmpuint(crypto_destroy(&t, service, id), ==,
                                 VIRTIO_CRYPTO_OK);
            }
        }
    }
    crypto_end(&t);
}

static void test_weak(void *obj, void *data, QGuestAllocator *alloc)
{
    static const CryptoVector md5 = {
        .service = VIRTIO_CRYPTO_SERVICE_HASH,
        .algo = VIRTIO_CRYPTO_HASH_MD5,
        .name = "MD5, RFC 1321",
        .key = "", .iv = "", .aad = "", .text = "616263",
        .result = "900150983cd24fb0d6963f7d28e17f72",
    };
    uint64_t rsa;
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    if (data) {
        vector_check(&t, &md5, false);
    } else {
        g_autofree CryptoSession *s = crypto_vector_session(&md5, false);
        uint64_t id;

        g_assert_cmpuint(crypto_create(&t, s, &id), ==,
                         VIRTIO_CRYPTO_NOTSUPP);
    }
    g_assert_cmpuint(rsa_create(&t, true, VIRTIO_CRYPTO_RSA_PKCS1_PADDING,
                                VIRTIO_CRYPTO_RSA_MD5, &rsa), ==,
                     data ? VIRTIO_CRYPTO_OK : VIRTIO_CRYPTO_NOTSUPP);
    crypto_end(&t);
}

static void register_tests(void)
{
    QOSGraphTestOptions weak = {
        .edge.extra_device_opts = "weak-algorithms=on",
        .arg = (void *)"weak",
    };

    qos_add_test("answers/direct", "virtio-crypto", test_answers, NULL);
    qos_add_test("answers/indirect", "virtio-crypto", test_answers_indirect,
                 NULL);
    qos_add_test("answers/padded", "virtio-crypto", test_answers_padded, NULL);
    qos_add_test("rsa/known", "virtio-crypto", test_rsa, NULL);
    qos_add_test("rsa/no-hash", "virtio-crypto", test_rsa_no_hash, NULL);
    qos_add_test("rsa/unsigned", "virtio-crypto", test_rsa_unsigned, NULL);
    qos_add_test("part-of-block", "virtio-crypto", test_part_of_block, NULL);
    qos_add_test("chain", "virtio-crypto", test_chain, NULL);
    qos_add_test("masks", "virtio-crypto", test_masks, NULL);
    qos_add_test("weak/off", "virtio-crypto", test_weak, NULL);
    qos_add_test("weak/on", "virtio-crypto", test_weak, &weak);
}

libqos_init(register_tests);
