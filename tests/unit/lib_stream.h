// SPDX-License-Identifier: ISC
// A stream server in the test's own loop, with limits small enough to be met, and clients of plain
// sockets.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "platform/stream.h"
#include "platform/udp.h"

enum {
    CONNECTIONS_MAX = 12,
    PER_SOURCE_MAX = 4,
    HALF_OPEN_MAX = 6,
    LONG_TIME = 30 * 1000000, // microseconds; all limits of time, unless the test sets another
    SHORT_TIME = 300000,
    QUEUE_BYTES = 80000,
    MESSAGES_KEPT = 64,
};

struct kept_message {
    uint8_t *data;
    size_t len;
};

struct fixture {
    struct event_base *base;
    struct counters counters;
    struct streams *streams;
    struct streams_config config;
    struct addr addr;         // where it listens
    struct stream_conn *last; // that had a message
    unsigned messages, gone;
    struct kept_message message[MESSAGES_KEPT];
    bool scribble; // writes all over the room around each message
    bool echo;
    bool close_in_message;
    int after_close;                                           // what sending says then
    void (*hook)(struct fixture *f, struct stream_conn *conn); // at every message; NULL: none
    void (*gone_hook)(struct fixture *f, struct stream_conn *conn);
    void *user; // the hooks'
};

int stream_setup(void **state);
int stream_teardown(void **state);
// Begins anew with f->config, on a free port of 'ip'.
void stream_restart(struct fixture *f, const char *ip);
void listen_somewhere(struct fixture *f, const char *ip);

void turn_loop(struct fixture *f);
// Runs the loop until *value is 'count', for ten seconds at most.
void pump(struct fixture *f, const unsigned *value, unsigned count);
uint64_t count_of(struct fixture *f, enum counter id);
void assert_message(struct fixture *f, unsigned index, const void *data, size_t len);

int client_connect(struct fixture *f);
int client_connect_slow(struct fixture *f);           // with a small receive buffer
int client_connect_from(struct fixture *f, int host); // from 127.0.1.host
uint16_t client_port(int fd);
uint16_t local_port(int fd);
void client_put(int fd, const void *data, size_t len);
void client_try_put(int fd, const void *data, size_t len); // whatever becomes of it
void client_get(struct fixture *f, int fd, void *data, size_t len);
void client_expect(struct fixture *f, int fd, const void *data, size_t len);
void assert_closed(struct fixture *f, int fd);
// Sends 'count' more ChannelData of 'len' bytes that hold numbers beginning with 'from'. Returns
// count.
uint32_t fill_more(struct fixture *f, struct stream_conn *conn, size_t len, uint32_t from,
                   uint32_t count);
