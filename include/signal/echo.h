// SPDX-License-Identifier: ISC
// The test partner: echo@DOMAIN answers a call and returns what it hears, so that a user can try
// his network from any client. Here is its signalling; media are somebody else's
// (media/endpoint.h), who is told by a table of functions and tells by signal_echo_event().
#pragma once

#include "base/usec.h"
#include "codec/media_terms.h"
#include "signal/signal.h"

struct echo_io {
    void *ctx;
    // Opens ports under these terms: answered by ECHO_OPENED or ECHO_ENDED, never from inside this
    // call. 'terms' is borrowed. 0 or -ENOMEM.
    int (*open)(void *ctx, uint64_t id, const struct media_terms *terms);
    int (*close)(void *ctx, uint64_t id); // answered by ECHO_ENDED. 0 or -ENOMEM.
};

struct echo_config {
    const char *fingerprint; // SHA-256 of the certificate for DTLS, "AB:CD:..."; copied
    unsigned calls;          // at once
    usec_t duration;         // of a call, from its acceptance
};

enum echo_event_kind {
    ECHO_OPENED, // 'addr' is what clients are to be told
    ECHO_MEDIA,  // the first packet went back
    ECHO_ENDED,  // by itself, or after close(); 'reason', and what there was
};

struct echo_event {
    enum echo_event_kind kind;
    uint64_t id;
    struct addr addr[MEDIA_COMPONENTS][2]; // [component][0 IPv4, 1 IPv6]
    const char *reason;                    // static, of XEP-0166 section 7.4; NULL: was closed
    uint64_t packets, lost;
    usec_t jitter;
};

// From now on there is a test partner. Before the first stanza. Returns 0 or -ENOMEM.
int signal_set_echo(struct signal *signal, const struct echo_config *config,
                    const struct echo_io *io);
void signal_echo_event(struct signal *signal, const struct echo_event *event, usec_t now);
unsigned signal_echo_calls(const struct signal *signal);
