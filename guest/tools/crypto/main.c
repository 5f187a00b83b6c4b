/*
 * vadis-crypto: a user-space driver of virtio-crypto's hash and AEAD services
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * usage: vadis-crypto /sys/bus/pci/devices/ADDRESS <JOBS
 *
 * A job is a line; bytes are hexadecimal, "-" is none:
 *
 *   hash ALGORITHM RESULT-LENGTH TEXT
 *   aead ALGORITHM encrypt|decrypt TAG-LENGTH KEY NONCE AAD TEXT
 *
 * Its answer is a line: the status and the result, both as the device gave
 * them. The first line of the output is the features that were accepted.
 */
#include <endian.h>
#include <linux/virtio_crypto.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "device.h"

#define F_REVISION_1 (1ull << 0)
#define FLAG_SESSION 1
#define CTRL_HASH 8         /* bytes of the fixed parts, with REVISION_1 */
#define CTRL_AEAD 24
#define CTRL_DESTROY 8
#define DATA_HASH 8
#define DATA_AEAD 24

typedef struct Driver {
    Device dev;
    DeviceQueue data, ctrl;
    size_t len;             /* bytes of the request being built */
} Driver;

static void put(Driver *d, DeviceQueue *q, const void *bytes, size_t len)
{
    if (d->len + len > DEVICE_PAGE) {
        die("a request has more than %d bytes", DEVICE_PAGE);
    }
    memcpy((uint8_t *)q->out + d->len, bytes, len);
    d->len += len;
}

static void put32(Driver *d, DeviceQueue *q, uint32_t value)
{
    value = htole32(value);
    put(d, q, &value, sizeof(value));
}

/* In place: the result is never longer than its digits */
static size_t unhex(char *text)
{
    size_t len = 0;

    if (!strcmp(text, "-")) {
        return 0;
    }
    for (char *p = text; *p; p += 2) {
        unsigned byte;

        if (sscanf(p, "%2x", &byte) != 1 || !p[1]) {
            die("'%s' is not hexadecimal", text);
        }
        text[len++] = byte;
    }
    return len;
}

static uint64_t create(Driver *d, uint32_t *status)
{
    struct virtio_crypto_session_input *input = d->ctrl.in;
    uint32_t used = device_send(&d->ctrl, d->len, sizeof(*input));

    d->len = 0;
    if (used != sizeof(*input)) {
        die("a create request was answered with %u bytes", used);
    }
    *status = le32toh(input->status);
    return le64toh(input->session_id);
}

static void destroy(Driver *d, uint32_t opcode, uint64_t id)
{
    put32(d, &d->ctrl, opcode);
    put(d, &d->ctrl, (uint32_t[3]) {}, 12);
    id = htole64(id);
    put(d, &d->ctrl, &id, CTRL_DESTROY);
    device_send(&d->ctrl, d->len, 1);
    d->len = 0;
    if (*(uint8_t *)d->ctrl.in != VIRTIO_CRYPTO_OK) {
        die("a session cannot be destroyed");
    }
}

static void control_header(Driver *d, uint32_t opcode, uint32_t algo)
{
    put32(d, &d->ctrl, opcode);
    put32(d, &d->ctrl, algo);
    put32(d, &d->ctrl, 0);
    put32(d, &d->ctrl, 0);
}

static void data_header(Driver *d, uint32_t opcode, uint32_t algo, uint64_t id)
{
    put32(d, &d->data, opcode);
    put32(d, &d->data, algo);
    id = htole64(id);
    put(d, &d->data, &id, sizeof(id));
    put32(d, &d->data, FLAG_SESSION);
    put32(d, &d->data, 0);
}

/* Send what was built and print the answer of @len bytes */
static void answer(Driver *d, uint32_t len)
{
    const uint8_t *in = d->data.in;
    uint32_t used;

    if (len + 1 > DEVICE_PAGE) {
        die("a result has more than %d bytes", DEVICE_PAGE - 1);
    }
    used = device_send(&d->data, d->len, len + 1);
    d->len = 0;
    printf("%u %s", in[len], used > 1 ? "" : "-");
    for (uint32_t i = 0; i + 1 < used; i++) {
        printf("%02x", in[i]);
    }
    printf("\n");
}

static void job_hash(Driver *d, char *words[])
{
    uint32_t algo = atoi(words[1]), len = atoi(words[2]), status;
    size_t text_len = unhex(words[3]);
    uint64_t id;

    control_header(d, VIRTIO_CRYPTO_HASH_CREATE_SESSION, algo);
    put32(d, &d->ctrl, algo);
    put32(d, &d->ctrl, len);
    id = create(d, &status);
    if (status != VIRTIO_CRYPTO_OK) {
        printf("%u -\n", status);
        return;
    }
    data_header(d, VIRTIO_CRYPTO_HASH, algo, id);
    put32(d, &d->data, text_len);
    put32(d, &d->data, len);
    put(d, &d->data, words[3], text_len);
    answer(d, len);
    destroy(d, VIRTIO_CRYPTO_HASH_DESTROY_SESSION, id);
}

static void job_aead(Driver *d, char *words[])
{
    int decrypt = !strcmp(words[2], "decrypt");
    uint32_t algo = atoi(words[1]), tag_len = atoi(words[3]), status, len;
    size_t key_len = unhex(words[4]), nonce_len = unhex(words[5]);
    size_t aad_len = unhex(words[6]), text_len = unhex(words[7]);
    uint64_t id;

    control_header(d, VIRTIO_CRYPTO_AEAD_CREATE_SESSION, algo);
    put32(d, &d->ctrl, algo);
    put32(d, &d->ctrl, key_len);
    put32(d, &d->ctrl, tag_len);
    put32(d, &d->ctrl, aad_len);
    put32(d, &d->ctrl, decrypt ? VIRTIO_CRYPTO_OP_DECRYPT
                               : VIRTIO_CRYPTO_OP_ENCRYPT);
    put32(d, &d->ctrl, 0);
    put(d, &d->ctrl, words[4], key_len);
    id = create(d, &status);
    if (status != VIRTIO_CRYPTO_OK) {
        printf("%u -\n", status);
        return;
    }
    if (decrypt && text_len < tag_len) {
        die("a text of %zu bytes has no tag of %u", text_len, tag_len);
    }
    len = decrypt ? text_len - tag_len : text_len + tag_len;
    data_header(d, decrypt ? VIRTIO_CRYPTO_AEAD_DECRYPT
                           : VIRTIO_CRYPTO_AEAD_ENCRYPT, algo, id);
    put32(d, &d->data, nonce_len);
    put32(d, &d->data, aad_len);
    put32(d, &d->data, text_len);
    put32(d, &d->data, len);
    put32(d, &d->data, tag_len);
    put32(d, &d->data, 0);
    put(d, &d->data, words[5], nonce_len);
    put(d, &d->data, words[7], text_len);
    put(d, &d->data, words[6], aad_len);
    answer(d, len);
    destroy(d, VIRTIO_CRYPTO_AEAD_DESTROY_SESSION, id);
}

static void jobs(Driver *d)
{
    static char line[64 * 1024];

    while (fgets(line, sizeof(line), stdin)) {
        char *words[9], *rest = line;
        unsigned n = 0;

        while (n < 9 && (words[n] = strtok_r(rest, "\n ", &rest))) {
            n++;
        }
        if (n == 4 && !strcmp(words[0], "hash")) {
            job_hash(d, words);
        } else if (n == 8 && !strcmp(words[0], "aead")) {
            job_aead(d, words);
        } else {
            die("a job has %u words", n);
        }
    }
}

int main(int argc, char **argv)
{
    static Driver d;
    uint32_t queues;

    if (argc != 2) {
        fprintf(stderr, "usage: vadis-crypto SYSFS-DIRECTORY <JOBS\n");
        return 2;
    }
    device_open(&d.dev, argv[1], F_REVISION_1 | VDRV_F_PACKED |
                VDRV_F_EVENT_IDX);
    if (!(d.dev.features & F_REVISION_1)) {
        die("the device does not offer VIRTIO_CRYPTO_F_REVISION_1");
    }
    queues = *(Register32 *)
        (d.dev.config + offsetof(struct virtio_crypto_config, max_dataqueues));
    device_queue(&d.dev, &d.data, 0);
    device_queue(&d.dev, &d.ctrl, le32toh(queues));
    device_ready(&d.dev);
    printf("0x%llx\n", (unsigned long long)d.dev.features);
    jobs(&d);
    device_close(&d.dev);
    return 0;
}
