// SPDX-License-Identifier: ISC
// One party of a simulated call: an ICE agent small enough to read at once that sends real STUN,
// or a plain RTP sender for raw-udp. It does no I/O: bytes in, bytes out through a function, and
// agent_tick() says when to call again.
#pragma once

#include "base/addr.h"
#include "base/usec.h"
#include "codec/stun.h"

#include <stdbool.h>

#define AGENT_PAIRS 8
#define AGENT_IDS   8

struct agent;

enum agent_packet { AGENT_CHECK, AGENT_ANSWER, AGENT_MEDIA };

typedef void agent_send_fn(void *ctx, struct agent *agent, unsigned iface, const struct addr *to,
                           enum agent_packet kind, const uint8_t *data, size_t len);

struct agent_config {
    bool raw; // no ICE: RTP to the first candidate
    bool controlling;
    const char *ufrag, *pwd;
    uint64_t seed;
    uint32_t ssrc;
    usec_t media_interval; // 0: no media
    agent_send_fn *send;
    void *ctx;
};

struct agent_id {
    uint8_t txid[STUN_TXID_LEN];
    bool nominates;
};

struct agent_pair {
    unsigned iface;
    struct addr remote;
    bool valid;                     // answered since the last restart
    usec_t next, sent, last_answer; // of checks
    struct agent_id id[AGENT_IDS];
    unsigned ids;      // so far
    uint8_t last[600]; // request, to be repeated as it was
    size_t last_len;
    bool answered; // the last one
};

struct agent {
    struct agent_config config;
    uint64_t random;
    char ufrag[2][64], pwd[2][64]; // own: current, previous
    char remote_ufrag[64], remote_pwd[64];
    bool remote_known;
    struct agent_pair pair[AGENT_PAIRS];
    unsigned pairs;
    int selected; // pair or -1
    int settled;  // controlling: pair whose nomination was answered since the last restart, or -1
    unsigned preferred; // interface
    usec_t next_media;
    uint16_t sequence;
    uint64_t media_sent, media_received, checks_received, refused;
    usec_t last_media; // received
};

struct agent *agent_new(const struct agent_config *config); // the caller frees with agent_free()
void agent_free(struct agent *agent);
// What the other side has signalled. Calling it again is a restart by the other side.
void agent_remote(struct agent *agent, const char *ufrag, const char *pwd, usec_t now);
// A remote candidate, reachable from this interface of ours.
void agent_candidate(struct agent *agent, unsigned iface, const struct addr *addr, usec_t now);
// An ICE restart of our own; the new names have to be signalled.
void agent_restart(struct agent *agent, const char *ufrag, const char *pwd, usec_t now);
void agent_input(struct agent *agent, unsigned iface, const struct addr *from, const uint8_t *data,
                 size_t len, usec_t now);
usec_t agent_tick(struct agent *agent, usec_t now);
