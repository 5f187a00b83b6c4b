/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes a system of an initramfs: modules, mounts, device events. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"

#define PORT_NAME "vadis.agent"
#define PCI_DEVICES "/sys/bus/pci/devices"
#define PCI_VENDOR_VIRTIO 0x1af4
#define PCI_VIRTIO_FIRST 0x1000
#define PCI_VIRTIO_LAST 0x107f
#define DEFERRED_MS 60000               /* without any event */

static void make_dirs(const char *path)
{
    char part[PATH_MAX];
    size_t i;

    for (i = 1; path[i] && i < sizeof(part) - 1; i++) {
        if (path[i] == '/') {
            memcpy(part, path, i);
            part[i] = 0;
            mkdir(part, 0755);
        }
    }
    mkdir(path, 0755);
}

static void try_mount(const char *src, const char *dir, const char *type,
                      unsigned long flags, const char *data)
{
    make_dirs(dir);
    if (mount(src, dir, type, flags, data)) {
        say("cannot mount %s on %s: %s", src, dir, strerror(errno));
    }
}

static void load_module(const char *path, const char *params)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || syscall(SYS_finit_module, fd, params, 0)) {
        if (errno != EEXIST) {
            say("cannot load %s: %s", path, strerror(errno));
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

/*
 * Leave the initramfs for the root mounted on /newroot. The initramfs stays
 * reachable as /run/vadis: it holds busybox and whatever files a test added.
 */
static void switch_root(void)
{
    try_mount("run", "/newroot/run", "tmpfs", MS_NOSUID | MS_NODEV,
              "mode=755");
    make_dirs("/newroot/run/vadis");
    if (mount("/", "/newroot/run/vadis", NULL, MS_BIND, NULL)) {
        say("cannot keep the initramfs: %s", strerror(errno));
    }
    mount("/dev", "/newroot/dev", NULL, MS_MOVE, NULL);
    mount("/proc", "/newroot/proc", NULL, MS_MOVE, NULL);
    mount("/sys", "/newroot/sys", NULL, MS_MOVE, NULL);
    if (chdir("/newroot") || mount(".", "/", NULL, MS_MOVE, NULL) ||
        chroot(".") || chdir("/")) {
        die("switch to the new root");
    }
}

static void mount_root(const char *tag, const char *options)
{
    make_dirs("/lower");
    make_dirs("/upper");
    make_dirs("/newroot");
    if (mount(tag, "/lower", "9p", MS_RDONLY, options)) {
        die("mount the host's root over 9p");
    }
    if (mount("upper", "/upper", "tmpfs", 0, "mode=755") ||
        mkdir("/upper/d", 0755) || mkdir("/upper/w", 0755)) {
        die("mount a tmpfs over the host's root");
    }
    if (mount("root", "/newroot", "overlay", 0,
              "lowerdir=/lower,upperdir=/upper/d,workdir=/upper/w")) {
        die("mount an overlay over the host's root");
    }
    switch_root();
}

/* A number in a file of a PCI device in sysfs; 0 if it cannot be read */
static unsigned pci_number(const char *device, const char *file)
{
    char path[PATH_MAX];
    unsigned value = 0;
    FILE *f;

    snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", device, file);
    f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%x", &value) != 1) {
            value = 0;
        }
        fclose(f);
    }
    return value;
}

static bool is_unbound_virtio(const char *device)
{
    unsigned id = pci_number(device, "device");
    char path[PATH_MAX];

    snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver", device);
    return pci_number(device, "vendor") == PCI_VENDOR_VIRTIO &&
           id >= PCI_VIRTIO_FIRST && id <= PCI_VIRTIO_LAST &&
           access(path, F_OK);
}

static bool any_unbound_virtio(void)
{
    DIR *d = opendir(PCI_DEVICES);
    struct dirent *e;
    bool found = false;

    while (d && !found && (e = readdir(d))) {
        found = e->d_name[0] != '.' && is_unbound_virtio(e->d_name);
    }
    if (d) {
        closedir(d);
    }
    return found;
}

/*
 * The kernel puts off the devices behind a virtio-iommu until that has its
 * driver, and then binds them in a thread of its own.
 */
static void wait_deferred(void)
{
    struct pollfd p = { -1, POLLIN, 0 };

    if (access("/sys/bus/virtio/drivers/virtio_iommu", F_OK)) {
        return;
    }
    p.fd = open_uevents();
    while (any_unbound_virtio()) {
        char event[UEVENT_MAX];
        size_t len;

        if (poll(&p, 1, DEFERRED_MS) == 0) {
            say("a virtio device has no driver");
            break;
        }
        while (next_uevent(p.fd, event, sizeof(event), &len)) {
            continue;
        }
    }
    close(p.fd);
}

/* One line of /vadis.conf: a word, then fields separated by tabs. */
static void configure(struct config *config, char *line)
{
    char *field[4] = { "", "", "", "" };
    int n = 0;

    while (n < 4 && line) {
        field[n++] = strsep(&line, "\t");
    }
    if (!strcmp(field[0], "module")) {
        load_module(field[1], field[2]);
    } else if (!strcmp(field[0], "root")) {
        mount_root(field[1], field[2]);
    } else if (!strcmp(field[0], "9p")) {
        try_mount(field[1], field[2], "9p", 0, field[3]);
    } else if (!strcmp(field[0], "bind")) {
        try_mount(field[1], field[2], NULL, MS_BIND, NULL);
    } else if (!strcmp(field[0], "hostname")) {
        if (sethostname(field[1], strlen(field[1]))) {
            say("cannot set the host name");
        }
    } else if (!strcmp(field[0], "console")) {
        config->console = true;
    } else if (!strcmp(field[0], "autoload")) {
        config->autoload = true;
    } else if (field[0][0]) {
        say("vadis.conf: unknown word '%s'", field[0]);
    }
}

static void read_conf(struct config *config)
{
    FILE *f = fopen("/vadis.conf", "re");
    bool loaded = false;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    if (!f) {
        die("open /vadis.conf");
    }
    while ((len = getline(&line, &cap, f)) > 0) {
        if (line[len - 1] == '\n') {
            line[len - 1] = 0;
        }
        /* Modules come first. */
        if (!loaded && strncmp(line, "module\t", strlen("module\t"))) {
            loaded = true;
            wait_deferred();
        }
        configure(config, line);
    }
    free(line);
    fclose(f);
}

static void loopback_up(void)
{
    struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        ioctl(fd, SIOCSIFFLAGS, &ifr);
        close(fd);
    }
}

void build_system(struct config *config)
{
    try_mount("proc", "/proc", "proc", 0, NULL);
    try_mount("sys", "/sys", "sysfs", 0, NULL);
    try_mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=755");
    read_conf(config);
    try_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
              "gid=5,mode=620,ptmxmode=666");
    try_mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, NULL);
    if (symlink("/proc/self/fd", "/dev/fd") ||
        symlink("/proc/self/fd/0", "/dev/stdin") ||
        symlink("/proc/self/fd/1", "/dev/stdout") ||
        symlink("/proc/self/fd/2", "/dev/stderr")) {
        say("cannot make /dev/fd: %s", strerror(errno));
    }
    try_mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
    loopback_up();
}

/* -- devices ------------------------------------------------------------- */

/* The kernel's messages about devices that come and go. */
int open_uevents(void)
{
    struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = 1 };
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    NETLINK_KOBJECT_UEVENT);

    if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
        die("listen for device events");
    }
    return fd;
}

static void modprobe(const char *alias)
{
    char *argv[] = { "modprobe", "-q", "-b", (char *)alias, NULL };
    char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/run/vadis/bin",
                    NULL };

    if (fork() == 0) {
        exec_command("/", argv, env);
    }
}

/*
 * Read the next event, "action@path" and VAR=value strings, each ended by a
 * NUL; false when there is none.
 */
bool next_uevent(int fd, char *event, size_t cap, size_t *len)
{
    ssize_t n = recv(fd, event, cap - 1, 0);

    if (n <= 0) {
        return false;
    }
    event[n] = 0;
    *len = n;
    return true;
}

/*
 * Tell the host, whose tests wait for drivers to bind, and do what udev would
 * do for a device plugged in later: load its driver.
 */
void handle_uevents(int fd, bool autoload)
{
    char event[UEVENT_MAX];
    size_t len;

    while (next_uevent(fd, event, sizeof(event), &len)) {
        char *p;

        if (tx.len < OUT_HIGH) {
            frame('U', 0, event, len);
        }
        if (!autoload || strncmp(event, "add@", 4)) {
            continue;
        }
        for (p = event; p < event + len; p += strlen(p) + 1) {
            if (!strncmp(p, "MODALIAS=", 9)) {
                modprobe(p + 9);
            }
        }
    }
}

/*
 * The agent's port, or -1 while it is not there. Nobody makes
 * /dev/virtio-ports here, so the name is looked up in sysfs.
 */
int open_port(void)
{
    DIR *d = opendir("/sys/class/virtio-ports");
    struct dirent *e;
    int port = -1;

    while (d && port < 0 && (e = readdir(d))) {
        char path[PATH_MAX], name[64] = "";
        FILE *f;

        snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name",
                 e->d_name);
        f = e->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (!f) {
            continue;
        }
        if (fgets(name, sizeof(name), f) &&
            !strcmp(name, PORT_NAME "\n")) {
            snprintf(path, sizeof(path), "/dev/%s", e->d_name);
            port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        }
        fclose(f);
    }
    if (d) {
        closedir(d);
    }
    return port;
}
