// SPDX-License-Identifier: ISC
// TURN clients over DTLS (RFC 7350, RFC 6347): datagrams in, messages out, and the other way round.
// Without sockets: whoever owns the UDP listener hands in the datagrams whose first byte is 20 to
// 63 (RFC 7983), and sends what comes out.
//
// Nothing is kept for a source before it has returned the cookie, and the answer that carries the
// cookie is shorter than the hello it answers. After that a session costs memory, of which
// strangers get a bounded part for a bounded time.
//
// One struct dtls per worker thread. The clock of retransmissions is OpenSSL's own.
#pragma once

#include "base/addr.h"
#include "base/counter.h"
#include "base/usec.h"
#include "platform/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dtls;
struct dtls_session;

enum {
    DTLS_HEADROOM = 64, // writable bytes before every message received
    DTLS_TAILROOM = 4,  // and behind it
    DTLS_COOKIE_KEY = 32,
};

struct dtls_message {
    uint8_t *data;
    size_t len;
};

struct dtls_handler {
    void *ctx;
    // Sends a datagram from the listener that 'link' names. Must not call dtls_...() itself.
    void (*send)(void *ctx, void *link, const struct addr *to, const uint8_t *data, size_t len);
    // One message. May send on and close any session, this one too.
    void (*message)(void *ctx, struct dtls_session *session, struct dtls_message *message,
                    usec_t now);
    // The session is gone, whoever ended it, and 'session' with it. For those alone that had a
    // message. Called from dtls_recv() before anything else, dtls_tick() and dtls_free().
    void (*gone)(void *ctx, struct dtls_session *session, usec_t now);
};

struct dtls_config {
    struct tls *tls; // borrowed
    unsigned sessions_max;
    unsigned per_source_max; // from one IPv4 address, or one IPv6 /64; 0: any number
    unsigned half_open_max;  // not yet trusted; one more costs the oldest of them its place
    usec_t trust_time;       // for all from the cookie to dtls_trusted()
    usec_t idle_time;        // without a datagram from a trusted client
    uint8_t cookie_key[DTLS_COOKIE_KEY]; // random; the same for all workers
};

// Returns 0 or -ENOMEM. 'config' is copied.
int dtls_new(const struct dtls_config *config, const struct dtls_handler *handler,
             struct counters *counters, struct dtls **ret_dtls);
// Other limits of numbers from now on; sessions there are stay. Nothing else of 'config' is looked
// at. Returns 0 or -ENOMEM (then nothing changed).
int dtls_set_limits(struct dtls *dtls, const struct dtls_config *config);
void dtls_free(struct dtls *dtls); // ends all sessions

// A datagram from 'remote' to the listener 'local', which 'link' names to send().
void dtls_recv(struct dtls *dtls, void *link, const struct addr *remote, const struct addr *local,
               const uint8_t *data, size_t len, usec_t now);
// Is there a session between them? Its client has returned the cookie, so that it is there.
bool dtls_knows(const struct dtls *dtls, const struct addr *remote, const struct addr *local);
// Does what is due: retransmissions, deadlines, telling who is gone. Returns when to call again, or
// USEC_NEVER; any other call may bring that nearer.
usec_t dtls_tick(struct dtls *dtls, usec_t now);

const struct addr *dtls_remote(const struct dtls_session *session);
const struct addr *dtls_local(const struct dtls_session *session);
// Whatever its user wants to find again with it; NULL at first.
void dtls_set_user(struct dtls_session *session, void *user);
void *dtls_user(const struct dtls_session *session);

// The client has authenticated: from now on it may stay as long as it is not idle.
void dtls_trusted(struct dtls_session *session);
// What it was trusted for is over: it is a stranger again, as if it had come just now, and may cost
// the oldest of them its place.
void dtls_stranger(struct dtls_session *session, usec_t now);
// Sends one message as one datagram. Returns 0, -EPIPE (the session has ended, and is going to be
// gone) or -EMSGSIZE (longer than a record).
int dtls_send(struct dtls_session *session, const uint8_t *data, size_t len);
void dtls_close(struct dtls_session *session);
