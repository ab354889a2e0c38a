// SPDX-License-Identifier: ISC
// A side of a call that the relay is itself: it answers connectivity checks, agrees on keys, and
// returns the media that come. No sockets and no clock: datagrams go in, datagrams come out.
//
// Who may send, and where to anything is sent (docs/ARCHITECTURE.md, "the invariant"):
// - ICE: a source is proved by a check under this endpoint's own random credentials. Nothing but
//   the answer, and a check in return, goes there until it has answered that check; so neither a
//   captured check nor a forged source address makes it a destination of media.
// - Raw UDP: the first source of consistent RTP, of the signalled host if that is public.
#pragma once

#include "base/counter.h"
#include "base/usec.h"
#include "codec/media_terms.h"

#include <stddef.h>

// The certificate of all endpoints, made anew with every start of the daemon. Shared by threads.
struct media_identity;
#define MEDIA_FINGERPRINT_TEXT 96 // of SHA-256, with its NUL

int media_identity_new(struct media_identity **ret_identity); // 0 or -ENOMEM
void media_identity_free(struct media_identity *identity);    // after all endpoints
const char *media_identity_fingerprint(const struct media_identity *identity); // "AB:CD:..."

struct endpoint;

struct endpoint_io {
    void *ctx;
    // Sends one datagram from the port of this component (0 or 1) and of to's family.
    void (*send)(void *ctx, unsigned component, const struct addr *to, const uint8_t *data,
                 size_t len);
    void (*random)(void *ctx, void *buf, size_t len);
};

struct endpoint_limits {
    usec_t setup;              // from the beginning to the first media
    usec_t silence;            // without a packet that was accepted
    uint64_t bytes_per_second; // that are returned; 0: no limit
};

enum endpoint_state {
    ENDPOINT_WAITING,   // no media have come
    ENDPOINT_RETURNING, // media go back
    ENDPOINT_NO_MEDIA,  // over: limits.setup
    ENDPOINT_SILENT,    // over: limits.silence
    ENDPOINT_INSECURE,  // over: not their certificate, or DTLS has failed
};

struct endpoint_figures {
    uint64_t packets, bytes; // RTP returned
    uint64_t lost;           // on the way to the endpoint
    usec_t jitter;
    bool connected; // ICE: a source was selected
    bool keyed;     // media can be read: there are keys, or none are needed
};

// Returns 0, -ENOMEM or -EINVAL (terms that make no sense). 'identity' is borrowed, the rest is
// copied.
int endpoint_new(const struct media_terms *terms, const struct endpoint_limits *limits,
                 const struct endpoint_io *io, struct media_identity *identity,
                 struct counters *counters, usec_t now, struct endpoint **ret_endpoint);
void endpoint_free(struct endpoint *endpoint);

// One datagram that arrived at the port of this component. It is changed in place.
void endpoint_recv(struct endpoint *endpoint, unsigned component, const struct addr *from,
                   uint8_t *data, size_t len, usec_t now);
// Does what is due. Returns when to call again; what is received may bring that nearer.
usec_t endpoint_tick(struct endpoint *endpoint, usec_t now);

enum endpoint_state endpoint_state(const struct endpoint *endpoint);
struct endpoint_figures endpoint_figures(const struct endpoint *endpoint);
