// SPDX-License-Identifier: ISC
// A simulated network on virtual time around one relay: agents behind symmetric NATs, datagrams
// that are lost, repeated, late and out of order by a seed, and a wire that can be watched. The
// relay is asserted to be in good order after every event.
#pragma once

#include "base/timer.h"
#include "lib/kernel.h"
#include "relay/relay.h"
#include "sim/lib_agent.h"

#define NET_SOCKETS     64
#define NET_SHARED_PORT 3478
#define NET_MAPPINGS    256
#define NET_AGENTS      16
#define NET_IFACES      2

// Who made a datagram: an agent, or with NULL the relay or a stranger. A copy that somebody has
// captured and sends again keeps it.
struct net_origin {
    struct agent *agent;
    enum agent_packet kind;
};

struct net_flight {
    struct timer timer;
    struct addr from, to;
    struct net_origin origin;
    size_t len;
    uint8_t data[];
};

struct net_socket {
    struct addr local;
    struct port *port; // NULL: closed
    bool shared;       // by all ICE paths; always open
    void *user;        // the test's, reset when the socket is bound
};

struct net_mapping { // of a symmetric NAT: one per destination, and only it may answer
    struct agent *agent;
    unsigned iface;
    struct addr dest, external;
};

struct net_fate {
    unsigned loss, repeat; // per mille
    usec_t delay, jitter;  // jitter reorders
};

struct net_agent {
    struct agent *agent;
    struct timer timer;
    unsigned roamed[NET_IFACES]; // counts NATs passed
};

// Whatever the kernel does, everything else happens alike: runs of one seed have equal traces.
enum net_offload { NET_OFFLOAD_NONE, NET_OFFLOAD_ALL, NET_OFFLOAD_SOME };

struct net;

struct net_hooks { // each may be NULL
    void *ctx;
    // A datagram is about to reach a port of the relay.
    void (*arrives)(void *ctx, struct net_socket *socket, const struct net_flight *flight);
    // The relay has sent one: because of 'cause', which came to 'at', or (NULL) on its own.
    void (*leaves)(void *ctx, struct net_socket *socket, const struct addr *to,
                   const struct net_flight *cause, struct net_socket *at, const uint8_t *data,
                   size_t len);
    void (*event)(void *ctx, const struct relay_event *event);
};

struct net {
    uint64_t seed, random;
    usec_t now;
    struct timers timers; // use net_arm()
    uint64_t armed;
    struct net_fate fate;
    struct net_hooks hooks;
    struct relay *relay;
    struct kernel *kernel; // owned; NULL: the relay forwards everything itself
    uint64_t trace;        // of all that the relay has sent and reported
    bool coarse;           // but what of a stream only he can tell who counts all of it
    struct relay_config config;
    // One of so many datagrams finds another relay than the one before, which has begun with what
    // that one left; 0: none. The trace does not tell.
    unsigned restarts;
    uint64_t restart_random, restarted;
    unsigned sends; // of the relay on its own
    bool tied;      // it had two timers at once; which is first, a successor may see otherwise
    const struct net_socket *left; // during a restart: the sockets that the relay has left open
    struct counters counters;
    struct timer relay_timer;
    struct net_socket socket[NET_SOCKETS];
    struct net_mapping mapping[NET_MAPPINGS];
    unsigned mappings;
    struct net_agent agent[NET_AGENTS];
    unsigned agents;
    uint16_t next_port;
};

struct net *net_new(uint64_t seed, const struct relay_config *config,
                    const struct net_hooks *hooks);
// Before the first order: what may the relay leave to a kernel?
void net_offload(struct net *net, enum net_offload how);
// ICE paths have one port in each family; before anything is opened.
void net_share(struct net *net, const struct relay_config *config);
void net_free(struct net *net); // with the relay; agents are their owners'
uint64_t net_random(struct net *net, uint64_t below);
void net_order(struct net *net, const struct order *order);
void net_run(struct net *net, usec_t until); // everything that happens before
// When it fires, it must look at net->now.
void net_arm(struct net *net, struct timer *timer, usec_t at);

// Agents send with net_agent_send as their function and the net as its ctx.
agent_send_fn net_agent_send;
void net_add_agent(struct net *net, struct agent *agent);
void net_remove_agent(struct net *net, struct agent *agent);
void net_touch_agent(struct net *net, struct agent *agent); // after changing it
// The client gets another address: what was sent to the old one is lost.
void net_roam(struct net *net, struct agent *agent, unsigned iface);
// Where the relay sees the agent, if it has sent there; else family NONE.
struct addr net_external(const struct net *net, const struct agent *agent, unsigned iface,
                         const struct addr *dest);

// A datagram from anywhere to anywhere; 'origin' NULL for strangers.
void net_send(struct net *net, const struct addr *from, const struct addr *to,
              const struct net_origin *origin, const void *data, size_t len);
struct net_socket *net_socket_at(struct net *net, const struct addr *local); // open, or NULL
// For lib_restart.c, which restarts the relay as net.restarts has it.
void net_maybe_restart(struct net *net);
void net_new_relay(struct net *net);
void net_check_relay(const struct net *net);
// Prints the seed and ends the program.
void net_fail(const struct net *net, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
