/*
 * Runs the virtio tests of qos-test once more, over packed virtqueues
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every virtio device is created with packed=on. The test drivers accept the
 * feature because it is offered, and libqos/virtio.c then uses the packed
 * ring, so tests that were written for the split ring cover the packed one.
 *
 * Left out are the tests that choose their ring themselves, by name or by a
 * device virtio-X-packed-pci beside virtio-X-pci, those whose
 * device side is a vhost-user process that knows only the split ring, and
 * those that do nothing.
 */

#include "qemu/osdep.h"

#define QEMU_VAR    "QTEST_QEMU_BINARY"

static char *qos_test;

/* Does @list have a virtio-X-packed-pci for the virtio-X-pci of @test? */
static bool has_packed_twin(const char *list, const char *test)
{
    const char *device = strstr(test, "/virtio-");
    const char *end = device ? strstr(device, "-pci/") : NULL;
    g_autofree char *twin = end ? g_strdup_printf(
        "%.*s-packed-pci/", (int)(end - device), device) : NULL;

    return twin && strstr(list, twin);
}

static bool is_wanted(const char *list, const char *test)
{
    return g_str_has_prefix(test, "/") && strstr(test, "/virtio-") &&
           !strstr(test, "/packed/") && !strstr(test, "-packed-pci/") &&
           !has_packed_twin(list, test) && !strstr(test, "/vhost-user") &&
           !g_str_has_suffix(test, "/nop");
}

/* One test of qos-test, in a process of its own */
static void run_one(gconstpointer path)
{
    char *args[] = {
        qos_test, (char *)"--tap", (char *)"-p", (char *)path,
        (char *)"-m", (char *)(g_test_slow() ? "slow" : "quick"), NULL,
    };
    g_autofree char *out = NULL;
    g_autofree char *err = NULL;
    GError *error = NULL;
    char *skip;
    int status;

    g_spawn_sync(NULL, args, NULL, 0, NULL, NULL, &out, &err, &status, &error);
    g_assert_no_error(error);
    if (status || !strstr(out, "\nok 1 ")) {
        g_test_message("%s -p %s: wait status 0x%x", qos_test,
                       (const char *)path, status);
        g_test_message("%s", out);
        g_test_message("%s", err);
        g_test_fail();
        return;
    }
    skip = strstr(out, "# SKIP ");
    if (skip) {
        skip += strlen("# SKIP ");
        skip[strcspn(skip, "\n")] = '\0';
        g_test_skip(skip);
    }
}

/*
 * libqtest gives the variable to a shell and reads the architecture off its
 * end, so the emulator's name has to come last.
 */
static void set_packed_emulator(const char *qemu)
{
    g_autofree char *command =
        g_strdup_printf("sh -c 'exec \"$0\" -global virtio-device.packed=on "
                        "\"$@\"' %s", qemu);

    g_setenv(QEMU_VAR, command, true);
}

int main(int argc, char **argv)
{
    g_autofree char *dir = g_path_get_dirname(argv[0]);
    g_autofree char *list = NULL;
    g_auto(GStrv) lines = NULL;
    const char *qemu = g_getenv(QEMU_VAR);
    char *args[] = { NULL, (char *)"-l", NULL };
    GError *error = NULL;
    unsigned i, wanted = 0;

    g_test_init(&argc, &argv, NULL);
    /*
     * By this variable newer GLib tells a test program started by another one
     * to indent its TAP. (It also writes the list of tests as comments.)
     */
    g_unsetenv("G_TEST_ROOT_PROCESS");
    if (!qemu) {
        g_printerr("set " QEMU_VAR " to the emulator to test\n");
        return 1;
    }
    set_packed_emulator(qemu);

    qos_test = g_build_filename(dir, "qos-test", NULL);
    args[0] = qos_test;
    if (!g_spawn_sync(NULL, args, NULL, 0, NULL, NULL, &list, NULL, NULL,
                      &error)) {
        g_printerr("cannot list the tests of %s: %s\n"
                   "It is a target of its own: build it first.\n", qos_test,
                   error->message);
        return 1;
    }
    lines = g_strsplit(list, "\n", -1);
    for (i = 0; lines[i]; i++) {
        const char *test = lines[i] + strspn(lines[i], "# ");

        if (is_wanted(list, test)) {
            g_test_add_data_func(test, test, run_one);
            wanted++;
        }
    }
    if (!wanted) {
        g_printerr("%s lists no virtio tests; it said:\n%s\n", qos_test, list);
        return 1;
    }
    return g_test_run();
}
