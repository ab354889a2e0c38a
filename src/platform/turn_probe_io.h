// SPDX-License-Identifier: ISC
// The transports of turn_probe.c: packets over UDP, and framed over TCP and TLS (RFC 8489 section
// 6.2.2, RFC 8656 section 12.5). Everything blocks, for a bounded time.
#pragma once

#include "platform/turn_probe.h"

#include <openssl/ssl.h>
#include <stddef.h>

#define TURN_PROBE_PACKET_MAX 2048

struct turn_probe_io {
    int fd; // -1: none
    bool stream;
    SSL_CTX *context; // owned, both; NULL: no TLS
    SSL *ssl;
};

// Returns 0 or -errno, as the others below.
int turn_probe_open(struct turn_probe_io *io, const struct turn_probe *probe);
// 'distrust' and 'reason' have room for TURN_PROBE_REASON_MAX.
int turn_probe_secure(struct turn_probe_io *io, const char *name, char *distrust, char *reason);
int turn_probe_send(struct turn_probe_io *io, const void *data, size_t len);
// The next packet. Returns its length or -errno: -ETIMEDOUT at 'until'.
int turn_probe_receive(struct turn_probe_io *io, void *buf, size_t size, usec_t until,
                       usec_t (*now)(void));
void turn_probe_close(struct turn_probe_io *io);
