/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The agent's loop: frames from the host, output to it, signals, devices. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

static struct buf rx;
static int port = -1;
static bool port_up;

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

enum { POLL_SIGNAL, POLL_PORT, POLL_UEVENT, POLL_COMMANDS };
#define POLL_MAX (POLL_COMMANDS + 3 * 64)

/* What to wait for, in the order serve_commands() looks at the answers. */
static nfds_t fill_pollset(struct pollfd *p, int sigfd, int uevents)
{
    nfds_t n = POLL_COMMANDS;
    struct command *c;

    p[POLL_SIGNAL] = (struct pollfd) { sigfd, POLLIN, 0 };
    p[POLL_PORT] = (struct pollfd) {
        port_up ? port : -1, POLLIN | (tx.len ? POLLOUT : 0), 0
    };
    p[POLL_UEVENT] = (struct pollfd) { uevents, POLLIN, 0 };
    for (c = commands; c && n + 3 <= POLL_MAX; c = c->next) {
        bool room = tx.len < OUT_HIGH;

        p[n++] = (struct pollfd) { c->input.len ? c->in : -1, POLLOUT, 0 };
        p[n++] = (struct pollfd) { room ? c->out : -1, POLLIN, 0 };
        p[n++] = (struct pollfd) { room ? c->err : -1, POLLIN, 0 };
    }
    return n;
}

static void serve_commands(struct pollfd *p, nfds_t n)
{
    struct command *c;
    nfds_t i = POLL_COMMANDS;

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
}

static void serve_port(short revents)
{
    if (revents & POLLOUT) {
        write_port();
    }
    if (revents & POLLIN) {
        read_port();
    }
    if (revents & POLLHUP) {
        port_up = false;
    }
}

/* The signals busybox's poweroff, halt and reboot send to process 1. */
static void serve_signal(int sigfd)
{
    struct signalfd_siginfo si;

    while (read(sigfd, &si, sizeof(si)) == sizeof(si)) {
        switch (si.ssi_signo) {
        case SIGIO:
            port_up = true;
            break;
        case SIGUSR1:
        case SIGUSR2:
            leave(RB_POWER_OFF);
        case SIGTERM:
            leave(RB_AUTOBOOT);
        }
    }
}

static void serve(int sigfd, int uevents, const struct config *config)
{
    struct pollfd p[POLL_MAX];

    for (;;) {
        nfds_t n = fill_pollset(p, sigfd, uevents);

        if (poll(p, n, -1) < 0) {
            continue;
        }
        serve_commands(p, n);
        serve_port(p[POLL_PORT].revents);
        if (p[POLL_SIGNAL].revents) {
            serve_signal(sigfd);
        }
        if (p[POLL_UEVENT].revents) {
            handle_uevents(uevents, config->autoload);
        }
        reap();
        finish_commands();
    }
}

/* A shell on the console, for a guest that was started by hand. */
static void __attribute__((noreturn)) console_shell(int sigfd)
{
    static char *argv[] = { "/bin/sh", "-i", NULL };
    static char *env[] = { "HOME=/root", "TERM=linux",
                           "PATH=/run/vadis/power:/usr/sbin:/usr/bin:/sbin:"
                           "/bin:/run/vadis/bin", NULL };
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
    for (;;) {
        struct pollfd p = { sigfd, POLLIN, 0 };
        pid_t ended;

        while ((ended = waitpid(-1, NULL, WNOHANG)) > 0) {
            if (ended == pid) {
                leave(RB_POWER_OFF);
            }
        }
        poll(&p, 1, -1);
        serve_signal(sigfd);
    }
}

/*
 * Wait for the port: the host names it in a message the driver handles some
 * time after the device is found, and an event follows each step.
 */
static void wait_port(int uevents)
{
    while ((port = open_port()) < 0) {
        struct pollfd p = { uevents, POLLIN, 0 };
        char event[UEVENT_MAX];
        size_t len;

        poll(&p, 1, -1);
        while (next_uevent(uevents, event, sizeof(event), &len)) {
            continue;
        }
    }
    /* SIGIO tells when the host comes back after it went away. */
    fcntl(port, F_SETOWN, getpid());
    fcntl(port, F_SETFL, O_NONBLOCK | O_ASYNC);
    port_up = true;
}

static int block_signals(void)
{
    static const int used[] = { SIGCHLD, SIGIO, SIGUSR1, SIGUSR2, SIGTERM };
    sigset_t set;
    size_t i;
    int fd;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    for (i = 0; i < sizeof(used) / sizeof(used[0]); i++) {
        sigaddset(&set, used[i]);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) {
        die("signalfd");
    }
    return fd;
}

int main(void)
{
    struct config config = { false };
    int sigfd, uevents;

    build_system(&config);
    /* Blocked before the port is opened, or its first SIGIO would kill us. */
    sigfd = block_signals();
    if (config.console) {
        console_shell(sigfd);
    }
    uevents = open_uevents();
    wait_port(uevents);
    frame('H', 0, "boot", 4);
    serve(sigfd, uevents, &config);
}
