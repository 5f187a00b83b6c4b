/*
 * Tests of virtio-crypto: sessions, and the defects of the device it replaces
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each test of "virtio-crypto" runs over a split and over a packed ring.
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "qemu/bswap.h"
#include "qemu/module.h"
#include "virtio-crypto-util.h"

#define HOTPLUG_SLOT 0x06

/* The padded layout, which the device before this one knows as well */
#define PADDED (1ull << VIRTIO_CRYPTO_F_REVISION_1)

static CryptoSession *rsa_wish(void)
{
    CryptoSession *s = g_new0(CryptoSession, 1);

    s->service = VIRTIO_CRYPTO_SERVICE_AKCIPHER;
    s->algo = VIRTIO_CRYPTO_AKCIPHER_RSA;
    s->key_type = VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_PUBLIC;
    crypto_add_hex(&s->key, RSA_PUBLIC);
    return s;
}

/* B1: a request of one service that names another's session */
static void test_foreign_session(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree CryptoSession *rsa = rsa_wish();
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    uint64_t aes_id, rsa_id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    aes_id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    g_assert_cmpuint(crypto_create(&t, rsa, &rsa_id), ==, VIRTIO_CRYPTO_OK);

    op->opcode = VIRTIO_CRYPTO_CIPHER_ENCRYPT;
    op->session = rsa_id;
    op->iv.len = op->src.len = op->out_len = 16;
    g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_INVSESS);

    memset(op, 0, sizeof(*op));
    op->opcode = VIRTIO_CRYPTO_AKCIPHER_ENCRYPT;
    op->session = aes_id;
    op->src.len = op->out_len = 128;
    g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_INVSESS);
    crypto_aes_check(&t, 0, aes_id);
    crypto_end(&t);
}

/* Sessions until the device has no more; returns how many */
static unsigned fill(CryptoTest *t, uint32_t refusal)
{
    g_autofree CryptoSession *s = g_new0(CryptoSession, 1);
    uint64_t id;
    unsigned n = 0;
    uint32_t status;

    s->service = VIRTIO_CRYPTO_SERVICE_CIPHER;
    s->algo = VIRTIO_CRYPTO_CIPHER_AES_CBC;
    s->op = VIRTIO_CRYPTO_OP_ENCRYPT;
    s->key.len = 16;
    while ((status = crypto_create(t, s, &id)) == VIRTIO_CRYPTO_OK) {
        g_assert_cmpuint(++n, <=, 2048);
    }
    g_assert_cmpuint(status, ==, refusal);
    g_assert_cmphex(id, ==, 0);
    return n;
}

/* B2: a reset gives all sessions back, and no id is valid after it */
static void test_reset_forgets(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    uint64_t before, after;
    unsigned n;
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    before = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    n = fill(&t, VIRTIO_CRYPTO_ERR);
    crypto_restart(&t);
    after = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    g_assert_cmphex(after, !=, before);
    crypto_aes_check(&t, 0, after);
    op->opcode = VIRTIO_CRYPTO_CIPHER_ENCRYPT;
    op->session = before;
    op->iv.len = op->src.len = op->out_len = 16;
    g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_INVSESS);
    g_assert_cmpuint(fill(&t, VIRTIO_CRYPTO_ERR), ==, n);
    crypto_end(&t);
}

static void test_max_sessions(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    g_assert_cmpuint(fill(&t, VIRTIO_CRYPTO_NOSPC), ==, 4);
    g_assert_cmpuint(crypto_destroy(&t, VIRTIO_CRYPTO_SERVICE_CIPHER, id), ==,
                     VIRTIO_CRYPTO_OK);
    /* the id is not used again */
    g_assert_cmphex(crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT), !=, id);
    g_assert_cmpuint(crypto_destroy(&t, VIRTIO_CRYPTO_SERVICE_CIPHER, id), ==,
                     VIRTIO_CRYPTO_ERR);
    crypto_end(&t);
}

static CryptoMessage *post_aes(CryptoTest *t, uint64_t id, size_t len)
{
    CryptoMessage *m = g_new0(CryptoMessage, 1);
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);

    op->opcode = VIRTIO_CRYPTO_CIPHER_ENCRYPT;
    op->session = id;
    op->iv.len = 16;
    op->src.len = op->out_len = len;
    crypto_build(t, op, m);
    crypto_post(t, t->data[0], m);
    return m;
}

/* At a byte per second a request of a kilobyte keeps the next ones waiting. */
#define HELD_BYTES 1024

/* B3: held back by throttling, then a session that is not there */
static void test_throttle_bad_session(void *obj, void *data,
                                      QGuestAllocator *alloc)
{
    CryptoMessage *m[3];
    uint64_t id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    crypto_backend_set(&t, "throttle-bps", 1);
    for (unsigned i = 0; i < ARRAY_SIZE(m); i++) {
        m[i] = post_aes(&t, i < 2 ? id : id + 1000, HELD_BYTES);
        crypto_kick(&t, t.data[0], m[i]);
    }
    crypto_wait(&t, t.data[0], m[0]);
    g_assert_cmpuint(m[0]->in.data[HELD_BYTES], ==, VIRTIO_CRYPTO_OK);
    /* not held back: nothing is asked of the backend */
    crypto_wait(&t, t.data[0], m[2]);
    g_assert_cmpuint(m[2]->in.data[HELD_BYTES], ==, VIRTIO_CRYPTO_INVSESS);
    crypto_backend_set(&t, "throttle-bps", 0);
    crypto_wait(&t, t.data[0], m[1]);
    g_assert_cmpuint(m[1]->in.data[HELD_BYTES], ==, VIRTIO_CRYPTO_OK);
    for (unsigned i = 0; i < ARRAY_SIZE(m); i++) {
        g_free(m[i]);
    }
    crypto_end(&t);
}

/* A session that is destroyed serves what was sent before */
static void test_destroy_in_flight(void *obj, void *data,
                                   QGuestAllocator *alloc)
{
    CryptoMessage *m[2];
    uint64_t id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    crypto_backend_set(&t, "throttle-bps", 1);
    for (unsigned i = 0; i < ARRAY_SIZE(m); i++) {
        m[i] = post_aes(&t, id, HELD_BYTES);
        crypto_kick(&t, t.data[0], m[i]);
    }
    crypto_wait(&t, t.data[0], m[0]);
    g_assert_cmpuint(crypto_destroy(&t, VIRTIO_CRYPTO_SERVICE_CIPHER, id), ==,
                     VIRTIO_CRYPTO_OK);
    crypto_backend_set(&t, "throttle-bps", 0);
    crypto_wait(&t, t.data[0], m[1]);
    g_assert_cmpuint(m[1]->in.data[HELD_BYTES], ==, VIRTIO_CRYPTO_OK);
    g_assert_cmpmem(m[0]->in.data, HELD_BYTES, m[1]->in.data, HELD_BYTES);
    g_free(m[0]);
    g_free(m[1]);
    crypto_end(&t);
}

/* B4: what throttling holds back ends with a reset */
static void test_throttle_reset(void *obj, void *data, QGuestAllocator *alloc)
{
    CryptoMessage *m[4];
    uint64_t id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    crypto_backend_set(&t, "throttle-bps", 1);
    for (unsigned i = 0; i < ARRAY_SIZE(m); i++) {
        m[i] = post_aes(&t, id, HELD_BYTES);
        crypto_kick(&t, t.data[0], m[i]);
    }
    crypto_wait(&t, t.data[0], m[0]);
    crypto_restart(&t);
    /* lets go of all that waits, at once */
    crypto_backend_set(&t, "throttle-bps", 0);
    g_assert_false(crypto_has_used(&t, t.data[0]));
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    crypto_aes_check(&t, 0, id);
    g_assert_false(crypto_is_broken(&t));
    for (unsigned i = 0; i < ARRAY_SIZE(m); i++) {
        g_free(m[i]);
    }
    crypto_end(&t);
}

/* B5: a key that is not there, of any length */
static void test_key_not_there(void *obj, void *data, QGuestAllocator *alloc)
{
    static const uint32_t lengths[] = { 1, 4096, 0x7fffffff, 0xffffffff };
    static const uint32_t opcodes[] = {
        VIRTIO_CRYPTO_CIPHER_CREATE_SESSION, VIRTIO_CRYPTO_MAC_CREATE_SESSION,
        VIRTIO_CRYPTO_AEAD_CREATE_SESSION,
        VIRTIO_CRYPTO_AKCIPHER_CREATE_SESSION,
    };
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    for (unsigned i = 0; i < ARRAY_SIZE(lengths) * ARRAY_SIZE(opcodes); i++) {
        g_autofree CryptoMessage *m = g_new0(CryptoMessage, 1);
        struct virtio_crypto_op_ctrl_req req = {};
        struct virtio_crypto_session_input input;
        uint32_t len = cpu_to_le32(lengths[i % ARRAY_SIZE(lengths)]);
        uint32_t opcode = opcodes[i / ARRAY_SIZE(lengths)];

        req.header.opcode = cpu_to_le32(opcode);
        switch (opcode) {
        case VIRTIO_CRYPTO_CIPHER_CREATE_SESSION:
            req.u.sym_create_session.u.cipher.para.algo =
                cpu_to_le32(VIRTIO_CRYPTO_CIPHER_AES_CBC);
            req.u.sym_create_session.u.cipher.para.keylen = len;
            req.u.sym_create_session.u.cipher.para.op =
                cpu_to_le32(VIRTIO_CRYPTO_OP_ENCRYPT);
            req.u.sym_create_session.op_type =
                cpu_to_le32(VIRTIO_CRYPTO_SYM_OP_CIPHER);
            break;
        case VIRTIO_CRYPTO_MAC_CREATE_SESSION:
            req.u.mac_create_session.para.algo =
                cpu_to_le32(VIRTIO_CRYPTO_MAC_HMAC_SHA1);
            req.u.mac_create_session.para.auth_key_len = len;
            break;
        case VIRTIO_CRYPTO_AEAD_CREATE_SESSION:
            req.u.aead_create_session.para.algo =
                cpu_to_le32(VIRTIO_CRYPTO_AEAD_GCM);
            req.u.aead_create_session.para.key_len = len;
            req.u.aead_create_session.para.op =
                cpu_to_le32(VIRTIO_CRYPTO_OP_ENCRYPT);
            break;
        default:
            req.u.akcipher_create_session.para.algo =
                cpu_to_le32(VIRTIO_CRYPTO_AKCIPHER_RSA);
            req.u.akcipher_create_session.para.keytype =
                cpu_to_le32(VIRTIO_CRYPTO_AKCIPHER_KEY_TYPE_PUBLIC);
            req.u.akcipher_create_session.para.keylen = len;
            break;
        }
        crypto_add(&m->out, &req, sizeof(req));
        m->in.len = sizeof(input);
        crypto_send(&t, t.ctrl, m);
        memcpy(&input, m->in.data, sizeof(input));
        g_assert_cmpuint(le32_to_cpu(input.status), ==, VIRTIO_CRYPTO_ERR);
        g_assert_false(crypto_is_broken(&t));
    }
    crypto_aes_check(&t, 0, crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT));
    crypto_end(&t);
}

/* B11: a session is destroyed as what it is, and used the way it was made */
static void test_session_type(void *obj, void *data, QGuestAllocator *alloc)
{
    g_autofree CryptoOp *op = g_new0(CryptoOp, 1);
    uint64_t id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, PADDED);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    for (uint32_t service = VIRTIO_CRYPTO_SERVICE_HASH;
         service <= VIRTIO_CRYPTO_SERVICE_AKCIPHER; service++) {
        g_assert_cmpuint(crypto_destroy(&t, service, id), ==,
                         VIRTIO_CRYPTO_ERR);
    }
    crypto_aes_check(&t, 0, id);

    op->opcode = VIRTIO_CRYPTO_CIPHER_DECRYPT;
    op->session = id;
    op->iv.len = op->src.len = op->out_len = 16;
    g_assert_cmpuint(crypto_do(&t, 0, op), ==, VIRTIO_CRYPTO_ERR);
    g_assert_cmpuint(crypto_destroy(&t, VIRTIO_CRYPTO_SERVICE_CIPHER, id), ==,
                     VIRTIO_CRYPTO_OK);
    crypto_end(&t);
}

static void test_queues(void *obj, void *data, QGuestAllocator *alloc)
{
    uint64_t id;
    CryptoTest t;

    crypto_start(&t, obj, alloc, 0);
    g_assert_cmpuint(t.num_queues, ==, 3);
    id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
    for (unsigned i = 0; i < 9; i++) {
        crypto_aes_check(&t, i % 3, id);
    }
    crypto_end(&t);
}

/* Pull the device with requests that throttling holds back; several times */
static void test_hotplug(void *obj, void *data, QGuestAllocator *alloc)
{
    QVirtioPCIDevice *first = obj;
    QPCIBus *bus = first->pdev->bus;
    QTestState *qts = bus->qts;
    QPCIAddress addr = { .devfn = QPCI_DEVFN(HOTPLUG_SLOT, 0) };

    if (bus->not_hotpluggable) {
        g_test_skip("this PCI bus does not support hot plug");
        return;
    }
    for (unsigned round = 0; round < 3; round++) {
        CryptoMessage *m[3];
        QVirtioPCIDevice *dev;
        QVirtioCrypto crypto;
        CryptoTest t;
        uint64_t id;

        qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', 'arguments':"
                                 " { 'qom-type': 'cryptodev-backend-builtin',"
                                 " 'id': 'plugged', 'throttle-bps': 1 } }");
        qtest_qmp_device_add(qts, "virtio-crypto-pci", "crypto1",
                             "{ 'addr': %s, 'cryptodev': 'plugged' }",
                             stringify(HOTPLUG_SLOT));
        dev = virtio_pci_new(bus, &addr);
        g_assert_nonnull(dev);
        qvirtio_pci_device_enable(dev);
        qvirtio_start_device(&dev->vdev);
        crypto.vdev = &dev->vdev;
        crypto_start(&t, &crypto, alloc, 0);
        id = crypto_aes_session(&t, VIRTIO_CRYPTO_OP_ENCRYPT);
        for (unsigned i = 0; i < ARRAY_SIZE(m); i++) {
            m[i] = post_aes(&t, id, HELD_BYTES);
            crypto_kick(&t, t.data[0], m[i]);
        }
        crypto_wait(&t, t.data[0], m[0]);

        qpci_unplug_acpi_device_test(qts, "crypto1", HOTPLUG_SLOT);
        /* refused while a device uses it */
        qtest_qmp_assert_success(qts, "{ 'execute': 'object-del',"
                                 " 'arguments': { 'id': 'plugged' } }");
        for (unsigned i = 0; i < ARRAY_SIZE(m); i++) {
            g_free(m[i]);
        }
        qvirtqueue_cleanup(t.dev->bus, t.data[0], alloc);
        qvirtqueue_cleanup(t.dev->bus, t.ctrl, alloc);
        qvirtio_pci_device_disable(dev);
        g_free(dev->pdev);
        g_free(dev);
    }
}

static void register_tests(void)
{
    QOSGraphTestOptions few = { .edge.extra_device_opts = "max-sessions=5" };
    QOSGraphTestOptions queues = {
        .edge.extra_device_opts = "cryptodev=many",
        .edge.after_cmd_line =
            "-object cryptodev-backend-builtin,id=many,queues=3",
    };

    qos_add_test("foreign-session", "virtio-crypto", test_foreign_session,
                 NULL);
    qos_add_test("reset-forgets", "virtio-crypto", test_reset_forgets, NULL);
    qos_add_test("max-sessions", "virtio-crypto", test_max_sessions, &few);
    qos_add_test("throttle/bad-session", "virtio-crypto",
                 test_throttle_bad_session, NULL);
    qos_add_test("throttle/destroy", "virtio-crypto", test_destroy_in_flight,
                 NULL);
    qos_add_test("throttle/reset", "virtio-crypto", test_throttle_reset, NULL);
    qos_add_test("key-not-there", "virtio-crypto", test_key_not_there, NULL);
    qos_add_test("session-type", "virtio-crypto", test_session_type, NULL);
    qos_add_test("queues", "virtio-crypto", test_queues, &queues);
    qos_add_test("hotplug", "virtio-crypto-pci", test_hotplug, NULL);
}

libqos_init(register_tests);
