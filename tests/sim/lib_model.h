// SPDX-License-Identifier: ISC
// An independent judgement of what may cross the wire. It knows which agent made which datagram, so
// it knows without any cryptography, and without asking the relay, which addresses have proved
// themselves to which leg. Nothing may be sent to another, nothing forwarded from another.
#pragma once

#include "sim/lib_net.h"

#define MODEL_PROVED 256
#define MODEL_SEEN   2048
#define MODEL_HEARD  64

struct model_seen { // a check that reached this leg
    uint8_t txid[STUN_TXID_LEN];
    struct addr from;
};

struct model_heard { // RTP at a raw leg
    struct addr from;
    unsigned packets;
};

// One leg; model_attach() makes it the 'user' of its sockets. Zeroed memory is a fresh one.
struct model_leg {
    struct model_leg *next[2]; // at the same shared socket, by family
    struct net *net;
    uint64_t path;
    enum side side;
    bool raw;
    const struct agent *agent; // the client
    struct addr proved[MODEL_PROVED];
    unsigned proveds;
    struct model_seen seen[MODEL_SEEN];
    unsigned seens;
    struct model_heard heard[MODEL_HEARD];
    unsigned heards;
};

bool model_is_proved(const struct model_leg *leg, const struct addr *addr);
void model_prove(struct model_leg *leg, const struct addr *addr); // e.g. signalled and public
// The leg uses this socket from now on, beside others where it is a shared one.
void model_attach(struct net_socket *socket, struct model_leg *leg);
void model_detach(struct net *net, const struct model_leg *leg); // from the shared ones
// What the hooks of the net must call.
void model_arrives(struct net *net, const struct net_socket *socket,
                   const struct net_flight *flight);
void model_leaves(struct net *net, const struct net_socket *socket, const struct addr *to,
                  const struct net_flight *cause, const struct net_socket *at);
