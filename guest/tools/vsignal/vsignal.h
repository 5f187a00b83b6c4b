/*
 * vsignal: what its files share
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VSIGNAL_H
#define VSIGNAL_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include "vsignal_abi.h"

/* common.c */
extern int device;              /* the open device */
extern cpu_set_t usable;        /* CPUs that the program may run on */

/* Say why, and exit with status 2. */
void die(const char *format, ...)
    __attribute__((noreturn, format(printf, 1, 2)));

unsigned long long number(const char *text, unsigned long long max);
uint16_t node(const char *text);
unsigned class_number(const char *text);
const char *class_name(unsigned class_id);
unsigned state_number(const char *text);
const char *state_name(unsigned state);
void print_classes(uint32_t bits);

/* Have the process on one CPU only. */
void run_on(unsigned cpu);

struct virtio_signal_config info(void);

/* The nodes from @first on, as many as there is room for. */
void get_peers(struct vsignal_peers *peers, unsigned first);

/* Empty @send; the request in it. */
struct virtio_signal_req *request(struct vsignal_send *send);

/* The CPU that the process runs on as a src_target */
uint16_t own_target(void);

void set_target(struct virtio_signal_req *req, const char *text);

/* Send; the reply's status. */
unsigned submit(struct vsignal_send *send);

/* Print a reply, and a hint where it is a refusal; the exit status. */
int show_reply(const struct virtio_signal_reply *reply);

/*
 * Read an event; false if none comes in @seconds, 0 for no limit. Blocks in
 * read(), which is where the driver polls.
 */
bool next_record(struct vsignal_record *record, unsigned seconds);

/* talk.c */
int cmd_info(int argc, char **argv);
int cmd_peers(int argc, char **argv);
int cmd_send(int argc, char **argv);
int cmd_listen(int argc, char **argv);
int cmd_echo(int argc, char **argv);
int cmd_ping(int argc, char **argv);
int cmd_wait(int argc, char **argv);
int cmd_accept(int argc, char **argv);

/* stress.c */
int cmd_cross(int argc, char **argv);
int cmd_storm(int argc, char **argv);

#endif
