/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest agent: the init of every guest.
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
 *     P power off, B reboot                U a device event, as the kernel
 *                                            tells it: strings with NULs
 *
 * R's strings end in NUL: working directory, number of arguments, the
 * arguments, then the environment. The host keeps at most STDIN_WINDOW bytes
 * of input outstanding for a command; K gives room back.
 */
#ifndef VADIS_AGENT_H
#define VADIS_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEADER       12             /* bytes before a frame's payload */
#define FRAME_MAX    (1u << 20)
#define STDIN_WINDOW (1u << 16)
#define OUT_HIGH     (1u << 18)     /* stop reading commands' output here */
#define CHUNK        (1u << 15)

#define UEVENT_MAX   4096

struct buf {
    uint8_t *p;
    size_t len, cap;
};

/* One command the host started and has not been told the end of. */
struct command {
    struct command *next;
    uint32_t id;
    int pid;
    int in, out, err;               /* our ends; -1 once closed */
    bool pty, in_eof, exited;
    int status;
    struct buf input;
};

/* What /vadis.conf asks for beyond mounting and loading. */
struct config {
    bool console;                   /* a shell on the console, no agent */
    bool autoload;                  /* modprobe what is plugged in later */
};

/* wire.c: buffers, frames, complaints */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void die(const char *what) __attribute__((noreturn));
void leave(int how) __attribute__((noreturn));
void buf_add(struct buf *b, const void *data, size_t len);
void buf_drop(struct buf *b, size_t len);
uint32_t get32(const uint8_t *p);
void frame(char type, uint32_t id, const void *data, uint32_t len);
void frame32(char type, uint32_t id, uint32_t value);
extern struct buf tx;               /* frames on their way to the host */

/* system.c: mounts, modules, devices */
void build_system(struct config *config);
int open_uevents(void);
int open_port(void);
bool next_uevent(int fd, char *event, size_t cap, size_t *len);
void handle_uevents(int fd, bool autoload);

/* command.c: the host's commands */
extern struct command *commands;
struct command *find_command(uint32_t id);
void start_command(uint32_t id, uint8_t *data, size_t len);
void feed_input(struct command *c);
bool drain(struct command *c, int *fd, char type);
void finish_commands(void);
void reap(void);
void exec_command(const char *cwd, char **argv, char **envp)
    __attribute__((noreturn));

#endif
