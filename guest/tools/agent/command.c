/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of the host: start, feed, forward, report. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"

#define RUN_PTY 1u

struct command *commands;

struct command *find_command(uint32_t id)
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

void exec_command(const char *cwd, char **argv, char **envp)
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

void start_command(uint32_t id, uint8_t *data, size_t len)
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

void feed_input(struct command *c)
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
bool drain(struct command *c, int *fd, char type)
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
void finish_commands(void)
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

void reap(void)
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
