// SPDX-License-Identifier: ISC
// A client of STUN and TURN that tries a server as a user's client would: a Binding, an allocation,
// and a packet that goes through the relayed address to itself and comes back. It blocks, and is
// bound in time: for tools, and for threads that may wait.
#pragma once

#include "base/addr.h"
#include "base/usec.h"

#include <stdbool.h>

enum turn_probe_transport { TURN_PROBE_UDP, TURN_PROBE_TCP, TURN_PROBE_TLS };

// In their order: a probe that fails says at which of them.
enum turn_probe_step {
    TURN_PROBE_CONNECT,   // a connection; over UDP a socket
    TURN_PROBE_HANDSHAKE, // TLS
    TURN_PROBE_BINDING,   // STUN
    TURN_PROBE_CHALLENGE, // realm and nonce
    TURN_PROBE_ALLOCATE,  // with the credential
    TURN_PROBE_CHANNEL,   // to the relayed address itself
    TURN_PROBE_ECHO,      // through it, and back
    TURN_PROBE_DONE,
};

struct turn_probe {    // what to try; all borrowed
    struct addr local; // family NONE: any
    struct addr server;
    enum turn_probe_transport transport;
    const char *name;     // that a certificate must be for; NULL: none is asked for
    const char *username; // NULL: STUN only
    const char *password;
    usec_t patience; // for each step
};

#define TURN_PROBE_REASON_MAX 160

struct turn_probe_result {
    enum turn_probe_step step;
    int error;     // -errno: -ETIMEDOUT, -ECONNREFUSED, -EPROTO (no sense), ...; 0
    unsigned code; // of STUN, where the server refused
    char reason[TURN_PROBE_REASON_MAX];
    struct addr mapped, relayed; // family NONE: not known
    usec_t round_trip;           // of the echo
    // Why a client that checks the certificate would not go on; "": it would. The probe does.
    char distrust[TURN_PROBE_REASON_MAX];
};

// True: every step went well.
bool turn_probe_run(const struct turn_probe *probe, struct turn_probe_result *ret_result);
// "UDP", "TCP", "TLS"
const char *turn_probe_transport_name(enum turn_probe_transport transport);
// What failed, in a few words: "no answer to STUN", "the credential is refused (401 ...)".
const char *turn_probe_explain(const struct turn_probe_result *result, char *text, size_t size);
