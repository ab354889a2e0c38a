// SPDX-License-Identifier: ISC
// A world for one TURN server, in which nothing happens by itself: relayed ports are table rows,
// what the server sends is kept in a list, time moves when the test says so. After every step the
// invariants of the server are asserted, and that its ports are those of the world.
//
// And clients for it, who compute their keys and their signatures apart from the server.
#pragma once

#include "codec/stun.h"
#include "lib/kernel.h"
#include "turn/turn.h"

#define TW_PORTS    4096
#define TW_LOG      64
#define TW_USERS    64
#define TW_CONNS    64
#define TW_WALL     1700000000 // seconds since 1970, when the world begins
#define TW_DATAGRAM 66000

struct tw_port {
    struct addr addr;
    void *owner;
    bool open, tcp;
};

struct tw_conn { // of a peer, RFC 6062
    struct tw_port *port;
    struct addr peer;
    uint32_t number;
    bool open, joined;
    struct turn_client client; // that it was joined to
    uint64_t group;            // of those that share a limit, once it is joined
    struct turn_bytes passed;  // that is told when the server drops it
};

struct tw_sent { // to a client
    struct turn_client client;
    size_t len;
    uint8_t data[2048];
};

struct tw {
    struct turn *turn;
    struct turn_config config;
    struct turn_secret secret[4];
    struct turn_user user[4];
    struct counters counters;
    usec_t now;
    uint64_t random; // state
    struct tw_port port[TW_PORTS];
    unsigned ports_used, ports_max;
    struct tw_conn conn[TW_CONNS];
    unsigned conns_used;
    struct tw_conn *last_conn;   // that connect() or accept() has made
    bool no_v4, no_v6;           // families that open() does not have
    struct tw_sent sent[TW_LOG]; // a ring
    unsigned sents;              // ever
    char charged[TW_USERS][768];
    unsigned charges[TW_USERS];
    unsigned per_user, total;        // quotas
    unsigned opens, sends, connects; // calls so far
    unsigned ends;                   // of allocations, told
    struct turn_bytes ended;         // the last one's
    // The k-th call fails, counted from 1; 0: none.
    unsigned fail_open, fail_send, fail_connect;
    struct kernel *kernel; // owned; NULL: the server forwards everything itself
    bool no_route;         // that the kernel could take
    struct addr denied;    // besides 10.0.0.0/8; port 0: all of its ports
    bool may_fail;         // allocations may, so requests need not succeed
    // Of the last message:
    enum turn_action action;
    struct turn_forward forward;
    struct turn_packet packet;
    struct stun_msg reply; // data NULL: there was none
    uint8_t buf[TW_DATAGRAM];
};

struct tw_client {
    struct turn_client at;
    const char *user, *password;
    bool plain;       // no credentials
    bool unprotected; // whose answers come without integrity
    bool sha256;      // PASSWORD-ALGORITHMS back, SHA-256, MESSAGE-INTEGRITY-SHA256
    bool userhash;    // USERHASH for USERNAME
    bool fingerprint; // with FINGERPRINT
    char realm[128], nonce[128];
    uint8_t algorithms[64];
    unsigned algorithms_len;
    uint32_t serial; // of transactions
    uint8_t out[TW_DATAGRAM];
    size_t out_len; // of the last request; 0: it could not be sent for want of a nonce
};

// Realm "example.org", secret "north-north-north", user "static" with "password"; quotas of 100.
struct tw *tw_new(void);       // not started, so that the test can change the configuration
void tw_start(struct tw *w);   // asserts success
void tw_offload(struct tw *w); // to a kernel; before the first message
int tw_try(struct tw *w);      // what turn_new() says
// The server is saved as text and freed, and its successor begins with that (turn_restart.c).
// Asserts that nothing is lost, and that it would leave the same again.
void tw_restart(struct tw *w);
struct turn_revival tw_revival(struct tw *w);
// From now on before each message and datagram, where nobody but clients of UDP is served, and no
// kernel helps.
void tw_restart_always(bool always);
void tw_restart_maybe(struct tw *w);
void tw_free(struct tw *w);              // asserts that all is closed and released
void tw_wait(struct tw *w, usec_t time); // ticking on the way
void tw_tick(struct tw *w);
void tw_check(struct tw *w);
uint64_t tw_counter(const struct tw *w, enum counter id);
unsigned tw_ports_open(const struct tw *w);
unsigned tw_charged(const struct tw *w, const char *identity);
struct turn_io tw_io(struct tw *w);
struct turn_tcp_io tw_tcp_io(struct tw *w);

// A TURN REST user "expiry:name" with its password; static storage of eight.
struct tw_client tw_client(struct tw *w, const char *ip, uint16_t port);
void tw_rest(struct tw_client *c, const char *secret, int64_t expiry, const char *identity);

// A request: begin, attributes, send. Returns 0 for success, an error code, -1 for no answer, -2
// for a message handed to another worker. A client that has no nonce yet asks for one first; the
// answer's integrity and transaction id are asserted.
struct writer tw_begin(struct tw_client *c, uint16_t method);
int tw_send(struct tw *w, struct tw_client *c, struct writer *out);
int tw_outcome(struct tw *w, struct tw_client *c); // of what was answered without being asked
int tw_again(struct tw *w, struct tw_client *c);   // the last request, byte for byte
void tw_learn(struct tw *w, struct tw_client *c);  // realm, nonce and algorithms of the last answer
// Any bytes; in a buffer that ends with them but for TURN_TAILROOM.
enum turn_action tw_raw(struct tw *w, const struct tw_client *c, const void *data, size_t len);
enum turn_action tw_peer(struct tw *w, const struct addr *relayed, const struct addr *from,
                         const void *data, size_t len);

int tw_allocate(struct tw *w, struct tw_client *c);
int tw_refresh(struct tw *w, struct tw_client *c, uint32_t lifetime);
int tw_permit(struct tw *w, struct tw_client *c, const char *ip);
int tw_bind(struct tw *w, struct tw_client *c, uint16_t number, const struct addr *peer);
enum turn_action tw_channel(struct tw *w, const struct tw_client *c, uint16_t number,
                            const void *data, size_t len);
enum turn_action tw_indicate(struct tw *w, struct tw_client *c, const struct addr *peer,
                             const void *data, size_t len);

// RFC 6062, with config.tcp_allocations (turn_peers.c). Like requests, but that tw_connect()
// returns -1 while it is under way; then tw_connected() makes the outcome that its client sees.
int tw_allocate_tcp(struct tw *w, struct tw_client *c);
int tw_connect(struct tw *w, struct tw_client *c, const struct addr *peer);
int tw_connected(struct tw *w, struct tw_client *c, struct tw_conn *conn, int error);
int tw_connection_bind(struct tw *w, struct tw_client *c, uint32_t number);
// NULL: refused. The client's ConnectionAttempt is the reply.
struct tw_conn *tw_accept(struct tw *w, const struct addr *relayed, const struct addr *peer);
void tw_ended(struct tw *w, struct tw_conn *conn, uint64_t bytes_in, uint64_t bytes_out);

struct addr tw_relayed(const struct tw *w, unsigned n); // the n-th of the last answer
struct addr tw_at(const char *ip, uint16_t port);
