/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vadis guest agent: the init of every test guest.
 *
 * It is the only program the initramfs needs. As process 1 it loads the
 * modules named in /vadis.conf, builds the root (the host's root over 9p
 * under an overlay, or the initramfs itself), opens the virtio-serial port
 * "vadis.agent" and then serves commands from the host over it. Keeping the
 * commands off the console means kernel messages never mix with output, and
 * one static program starts in a fraction of the time a shell script takes
 * under emulation.
 *
 * Frames, both directions, little endian:
 *
 *     u8 type, u8 zero[3], u32 id, u32 length, then length bytes
 *
 *   host to guest                        guest to host
 *     R run (u32 flags, strings)           H hello (answer to H, or boot)
 *     I standard input, empty = EOF        O, E standard output, error
 *     S signal (u32)                       K input consumed (u32 bytes)
 *     W window size (u16 rows, cols)       X ended (u32 wait status)
 *     H hello, payload is echoed
 *     P power off, B reboot
 *
 * R's strings end in NUL: working directory, number of arguments, the
 * arguments, then the environment. The host keeps at most STDIN_WINDOW bytes
 * of input outstanding for a command; K gives room back.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define PORT_NAME    "vadis.agent"
#define FRAME_MAX    (1u << 20)
#define STDIN_WINDOW (1u << 16)
#define OUT_HIGH     (1u << 18)     /* stop reading commands' output here */
#define CHUNK        (1u << 15)
#define HEADER       12

#define RUN_PTY      1u

struct buf {
    uint8_t *p;
    size_t len, cap;
};

/* One command the host started and has not been told the end of. */
struct command {
    struct command *next;
    uint32_t id;
    pid_t pid;
    int in, out, err;               /* our ends; -1 once closed */
    bool pty, in_eof, exited;
    int status;
    struct buf input;
};

static struct command *commands;
static struct buf rx, tx;
static int port = -1;
static bool port_up;

static void say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fputs("vadis-agent: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

/* Nothing can be saved without a root or a port; the host sees both lines. */
static void __attribute__((noreturn)) die(const char *what)
{
    say("fatal: %s: %s", what, strerror(errno));
    sync();
    reboot(RB_POWER_OFF);
    for (;;) {
        pause();
    }
}

static void buf_add(struct buf *b, const void *data, size_t len)
{
    if (b->len + len > b->cap) {
        b->cap = (b->len + len) * 2;
        b->p = realloc(b->p, b->cap);
        if (!b->p) {
            die("out of memory");
        }
    }
    memcpy(b->p + b->len, data, len);
    b->len += len;
}

static void buf_drop(struct buf *b, size_t len)
{
    b->len -= len;
    memmove(b->p, b->p + len, b->len);
}

static void put32(uint8_t *p, uint32_t v)
{
    p[0] = v;
    p[1] = v >> 8;
    p[2] = v >> 16;
    p[3] = v >> 24;
}

static uint32_t get32(const uint8_t *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static void frame(char type, uint32_t id, const void *data, uint32_t len)
{
    uint8_t head[HEADER] = { type };

    put32(head + 4, id);
    put32(head + 8, len);
    buf_add(&tx, head, sizeof(head));
    buf_add(&tx, data, len);
}

static void frame32(char type, uint32_t id, uint32_t value)
{
    uint8_t v[4];

    put32(v, value);
    frame(type, id, v, sizeof(v));
}

/* -- building the system ------------------------------------------------- */

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

/* One line of /vadis.conf: a word, then fields separated by tabs. */
static void configure(char *line)
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
    } else if (field[0][0]) {
        say("vadis.conf: unknown word '%s'", field[0]);
    }
}

static void read_conf(void)
{
    FILE *f = fopen("/vadis.conf", "re");
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
        configure(line);
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

static void build_system(void)
{
    try_mount("proc", "/proc", "proc", 0, NULL);
    try_mount("sys", "/sys", "sysfs", 0, NULL);
    try_mount("dev", "/dev", "devtmpfs", MS_NOSUID, "mode=755");
    read_conf();
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

/* -- the port ------------------------------------------------------------ */

/* There is no udev to make /dev/virtio-ports: ask sysfs for the name. */
static bool open_port(void)
{
    DIR *d = opendir("/sys/class/virtio-ports");
    struct dirent *e;

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
    if (port < 0) {
        return false;
    }
    /* SIGIO tells when the host comes back after it went away. */
    fcntl(port, F_SETOWN, getpid());
    fcntl(port, F_SETFL, O_NONBLOCK | O_ASYNC);
    port_up = true;
    return true;
}

/* -- commands ------------------------------------------------------------ */

static struct command *find_command(uint32_t id)
{
    struct command *c = commands;

    while (c && c->id != id) {
        c = c->next;
    }
    return c;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void __attribute__((noreturn))
exec_command(const char *cwd, char **argv, char **envp)
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (chdir(cwd) && chdir("/")) {
        _exit(126);
    }
    environ = envp;
    execvp(argv[0], argv);
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

static pid_t spawn_pipes(struct command *c, const char *cwd, char **argv,
                         char **envp)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
    pid_t pid = -1;

    if (!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC) &&
        !pipe2(err, O_CLOEXEC)) {
        pid = fork();
    }
    if (pid == 0) {
        setsid();
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        exec_command(cwd, argv, envp);
    }
    close_fd(&in[0]);
    close_fd(&out[1]);
    close_fd(&err[1]);
    c->in = in[1];
    c->out = out[0];
    c->err = err[0];
    return pid;
}

static pid_t spawn_pty(struct command *c, const char *cwd, char **argv,
                       char **envp)
{
    pid_t pid = forkpty(&c->out, NULL, NULL, NULL);

    if (pid == 0) {
        exec_command(cwd, argv, envp);
    }
    if (pid > 0) {
        c->in = fcntl(c->out, F_DUPFD_CLOEXEC, 0);
        fcntl(c->out, F_SETFD, FD_CLOEXEC);
    }
    return pid;
}

/* Split the strings of an R frame; false if they are not as promised. */
static bool parse_run(char *p, size_t len, char **cwd, char ***argv,
                      char ***envp)
{
    char *end = p + len, **v;
    size_t strings = 0, i = 0;
    long argc;
    char *q;

    if (!len || end[-1]) {
        return false;
    }
    for (q = p; q < end; q++) {
        strings += !*q;
    }
    *cwd = p;
    p += strlen(p) + 1;
    if (strings < 3) {
        return false;
    }
    argc = strtol(p, NULL, 10);
    p += strlen(p) + 1;
    strings -= 2;
    if (argc < 1 || (size_t)argc > strings) {
        return false;
    }
    v = calloc(strings + 2, sizeof(*v));
    if (!v) {
        return false;
    }
    *argv = v;
    for (q = p; q < end; q += strlen(q) + 1) {
        if (i == (size_t)argc) {
            i++;                    /* the NULL that ends argv */
        }
        v[i++] = q;
    }
    *envp = v + argc + 1;
    return true;
}

static void start_command(uint32_t id, uint8_t *data, size_t len)
{
    struct command *c = calloc(1, sizeof(*c));
    char *cwd, **argv = NULL, **envp;
    uint32_t flags = len >= 4 ? get32(data) : 0;

    if (!c || len < 4 || find_command(id) ||
        !parse_run((char *)data + 4, len - 4, &cwd, &argv, &envp)) {
        static const char bad[] = "vadis-agent: malformed request\n";

        frame('E', id, bad, sizeof(bad) - 1);
        frame32('X', id, 126 << 8);
        free(c);
        return;
    }
    c->id = id;
    c->in = c->out = c->err = -1;
    c->pty = flags & RUN_PTY;
    c->pid = c->pty ? spawn_pty(c, cwd, argv, envp)
                    : spawn_pipes(c, cwd, argv, envp);
    free(argv);
    if (c->pid < 0) {
        const char *why = strerror(errno);

        frame('E', id, why, strlen(why));
        c->exited = true;
        c->status = 126 << 8;
    }
    fcntl(c->in, F_SETFL, O_NONBLOCK);
    fcntl(c->out, F_SETFL, O_NONBLOCK);
    fcntl(c->err, F_SETFL, O_NONBLOCK);
    c->next = commands;
    commands = c;
}

static void feed_input(struct command *c)
{
    ssize_t n;

    if (c->in >= 0 && c->input.len) {
        n = write(c->in, c->input.p, c->input.len);
        if (n > 0) {
            buf_drop(&c->input, n);
            frame32('K', c->id, n);
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            close_fd(&c->in);       /* nobody reads it any more */
        }
    }
    if (c->in < 0 && c->input.len) {
        frame32('K', c->id, c->input.len);
        c->input.len = 0;
    }
    if (c->in_eof && !c->input.len && c->in >= 0) {
        if (c->pty) {
            /* A terminal has no half close: send its end-of-file key. */
            if (write(c->in, "\4", 1) == 1) {
                c->in_eof = false;
            }
        } else {
            close_fd(&c->in);
        }
    }
}

/* Forward what is there. Returns false when there is no more for now. */
static bool drain(struct command *c, int *fd, char type)
{
    uint8_t chunk[CHUNK];
    ssize_t n;

    if (*fd < 0 || tx.len >= OUT_HIGH) {
        return false;
    }
    n = read(*fd, chunk, sizeof(chunk));
    if (n > 0) {
        frame(type, c->id, chunk, n);
        return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        close_fd(fd);
    }
    return false;
}

/*
 * Tell the end of a command once its output is forwarded. A daemon it left
 * behind may hold the pipes open for ever, so what counts is the exit, not
 * the end of file.
 */
static void finish_commands(void)
{
    struct command **pc = &commands;

    while (*pc) {
        struct command *c = *pc;

        if (c->exited) {
            while (drain(c, &c->out, 'O') || drain(c, &c->err, 'E')) {
                continue;
            }
        }
        if (!c->exited || tx.len >= OUT_HIGH) {
            pc = &c->next;
            continue;
        }
        frame32('X', c->id, c->status);
        close_fd(&c->in);
        close_fd(&c->out);
        close_fd(&c->err);
        *pc = c->next;
        free(c->input.p);
        free(c);
    }
}

static void reap(void)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct command *c;

        for (c = commands; c; c = c->next) {
            if (c->pid == pid) {
                c->exited = true;
                c->status = status;
            }
        }
    }
}

/* -- frames from the host ------------------------------------------------ */

static void __attribute__((noreturn)) leave(int how)
{
    sync();
    reboot(how);
    die("reboot");
}

static void handle_frame(char type, uint32_t id, uint8_t *data, uint32_t len)
{
    struct command *c = find_command(id);

    switch (type) {
    case 'H':
        frame('H', id, data, len);
        break;
    case 'R':
        start_command(id, data, len);
        break;
    case 'P':
        leave(RB_POWER_OFF);
    case 'B':
        leave(RB_AUTOBOOT);
    case 'I':
        if (c && c->input.len + len <= STDIN_WINDOW) {
            buf_add(&c->input, data, len);
            c->in_eof |= !len;
            feed_input(c);
        }
        break;
    case 'S':
        if (c && len == 4 && !c->exited) {
            kill(-c->pid, get32(data));
        }
        break;
    case 'W':
        if (c && c->pty && len == 4) {
            struct winsize ws = {
                .ws_row = data[0] | data[1] << 8,
                .ws_col = data[2] | data[3] << 8,
            };
            ioctl(c->out, TIOCSWINSZ, &ws);
        }
        break;
    default:
        say("unknown frame type %d", type);
    }
}

static void read_port(void)
{
    uint8_t chunk[CHUNK];
    ssize_t n = read(port, chunk, sizeof(chunk));

    if (n <= 0) {
        return;
    }
    buf_add(&rx, chunk, n);
    while (rx.len >= HEADER) {
        uint32_t len = get32(rx.p + 8);

        if (len > FRAME_MAX) {
            say("frame of %u bytes refused", len);
            rx.len = 0;
            return;
        }
        if (rx.len < HEADER + len) {
            return;
        }
        handle_frame(rx.p[0], get32(rx.p + 4), rx.p + HEADER, len);
        buf_drop(&rx, HEADER + len);
    }
}

static void write_port(void)
{
    ssize_t n = write(port, tx.p, tx.len < CHUNK ? tx.len : CHUNK);

    if (n > 0) {
        buf_drop(&tx, n);
    }
}

/* -- the loop ------------------------------------------------------------ */

/* What to wait for, in the order serve_once() looks at the answers. */
static nfds_t fill_pollset(struct pollfd *p, nfds_t max, int sigfd)
{
    nfds_t n = 0;
    struct command *c;

    p[n++] = (struct pollfd) { sigfd, POLLIN, 0 };
    p[n++] = (struct pollfd) { port_up ? port : -1,
                               POLLIN | (tx.len ? POLLOUT : 0), 0 };
    for (c = commands; c && n + 3 <= max; c = c->next) {
        bool room = tx.len < OUT_HIGH;

        p[n++] = (struct pollfd) { c->input.len ? c->in : -1, POLLOUT, 0 };
        p[n++] = (struct pollfd) { room ? c->out : -1, POLLIN, 0 };
        p[n++] = (struct pollfd) { room ? c->err : -1, POLLIN, 0 };
    }
    return n;
}

static void serve_once(int sigfd)
{
    struct pollfd p[2 + 3 * 64];
    nfds_t i = 2, n = fill_pollset(p, sizeof(p) / sizeof(p[0]), sigfd);
    struct command *c;

    if (poll(p, n, -1) < 0) {
        return;
    }
    for (c = commands; c && i + 3 <= n; c = c->next, i += 3) {
        if (p[i].revents) {
            feed_input(c);
        }
        if (p[i + 1].revents) {
            drain(c, &c->out, 'O');
        }
        if (p[i + 2].revents) {
            drain(c, &c->err, 'E');
        }
    }
    if (p[1].revents & POLLOUT) {
        write_port();
    }
    if (p[1].revents & POLLIN) {
        read_port();
    }
    if (p[1].revents & POLLHUP) {
        port_up = false;
    }
    if (p[0].revents) {
        struct signalfd_siginfo si;

        while (read(sigfd, &si, sizeof(si)) == sizeof(si)) {
            port_up |= si.ssi_signo == SIGIO;
        }
    }
    reap();
    finish_commands();
}

/* A shell on the console, for a guest that was started by hand. */
static void console_shell(void)
{
    static char *argv[] = { "/bin/sh", "-i", NULL };
    static char *env[] = { "HOME=/root", "TERM=linux",
                           "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    pid_t pid = fork();

    if (pid == 0) {
        int fd;

        setsid();
        fd = open("/dev/ttyS0", O_RDWR);
        ioctl(fd, TIOCSCTTY, 1);
        dup2(fd, 0);
        dup2(fd, 1);
        dup2(fd, 2);
        exec_command("/", argv, env);
    }
    waitpid(pid, NULL, 0);
    leave(RB_POWER_OFF);
}

int main(void)
{
    sigset_t set;
    int sigfd;

    build_system();
    if (!open_port()) {
        console_shell();
    }
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGIO);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigfd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (sigfd < 0) {
        die("signalfd");
    }
    frame('H', 0, "boot", 4);
    for (;;) {
        serve_once(sigfd);
    }
}
