// SPDX-License-Identifier: ISC
// A world for one relay, in which nothing happens by itself: sockets are table rows, what the relay
// sends and reports is kept in lists, time moves when the test says so. After every step the
// invariants of the relay are asserted.
#pragma once

#include "lib/kernel.h"
#include "relay/relay.h"

#define WORLD_SOCKETS 512
#define WORLD_LOG     512

struct world_socket {
    struct addr local;
    struct port *port; // NULL: closed
    bool shared;       // world_share()
};

struct world_sent {
    struct addr from, to; // from: the relay's port
    uint8_t data[2048];
    size_t len;
    uint8_t tos;
};

struct world {
    struct relay *relay;
    struct counters counters;
    usec_t now;
    uint64_t random; // state; two worlds with equal states act alike
    struct world_socket socket[WORLD_SOCKETS];
    unsigned sockets; // rows ever used
    struct world_sent sent[WORLD_LOG];
    unsigned sents;
    struct relay_event event[WORLD_LOG];
    unsigned events;
    struct path_view view; // of the last snapshot
    unsigned busy;         // so many next bindings answer -EADDRINUSE
    int bind_error;        // what every other binding answers, if not 0
    int send_error;
    unsigned binds, sends;         // calls so far
    unsigned fail_bind, fail_send; // the k-th call fails, counted from 1; 0: none
    struct kernel kernel;
    bool offloads; // to the kernel
    struct relay_config config;
};

// What became of a datagram.
struct outcome {
    enum verdict verdict;
    struct addr from, to; // with VERDICT_FORWARD
    bool by_kernel;
};

struct relay_config world_config(void); // 203.0.113.1 and 2001:db8::1, ports 40000 to 40099
// Asserts success. The caller frees with world_free(), which asserts that all sockets were closed.
struct world *world_new(const struct relay_config *config);
struct world *world_try(const struct relay_config *config); // NULL without memory
void world_free(struct world *w);
// One port in each family for all ICE paths, 3478.
void world_share(struct world *w);
void world_offload(struct world *w); // before the first order

// The relay is saved as text and freed, and its successor begins with that. Asserts that nothing is
// lost, and that it would leave the same again.
void world_restart(struct world *w);
// From now on before each datagram and each order, of all worlds without a kernel.
void world_restart_always(bool always);

struct addr at(const char *ip, uint16_t port);
void world_wait(struct world *w, usec_t time); // ticking on the way
void world_tick(struct world *w);
void world_check(const struct world *w); // the invariants

// Orders. Opening asserts the answer; ports are found by the advertised address in the answer.
struct relay_event world_open(struct world *w, uint64_t call, uint64_t path, enum path_mode mode);
struct relay_event world_order(struct world *w, const struct order *order); // last event of it
void world_credentials(struct world *w, uint64_t path, enum side side, const char *ufrag,
                       const char *pwd);
void world_peer(struct world *w, uint64_t path, enum side side, struct addr peer);
void world_close(struct world *w, uint64_t path);
const struct path_view *world_view(struct world *w, uint64_t call);
unsigned world_count(const struct world *w, enum event_kind kind); // events so far
uint64_t world_counter(const struct world *w, enum counter id);

// A datagram from 'from' reaches the relay's port 'to' (advertised address).
struct outcome world_recv(struct world *w, struct addr to, struct addr from, const void *data,
                          size_t len);

// --- messages ----------------------------------------------------------------------------------

struct check {
    const char *to, *from; // ufrags
    const char *pwd;       // the receiver's; NULL: no MESSAGE-INTEGRITY
    const char *id;        // any text; its start is the transaction id
    unsigned component;    // 0: of component 1
    bool nominate;
    bool controlled;
    uint64_t tie_breaker;
};

size_t build_check(uint8_t *buf, size_t size, const struct check *check);
size_t build_answer(uint8_t *buf, size_t size, const uint8_t *request, const struct addr *mapped,
                    const char *pwd);
size_t build_error(uint8_t *buf, size_t size, const uint8_t *request, unsigned code,
                   const char *pwd);
size_t build_rtp(uint8_t *buf, uint32_t ssrc, uint16_t sequence, size_t payload);
size_t build_rtcp(uint8_t *buf, uint32_t ssrc);
