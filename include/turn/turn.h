// SPDX-License-Identifier: ISC
// The STUN/TURN server (RFC 8489, 8656; clients of 5389 and 5766 too): messages in, messages out,
// relayed ports from the world. One struct turn per worker, without sockets, clock or locks; what
// workers share (quotas) comes in through a table of functions.
//
// Nothing is stored for a source that has not authenticated: nonces are an HMAC over its address
// and their expiry (RFC 8489 section 9.2). Towards an unverified UDP source no answer is longer
// than its request where interoperability allows it; what is longer is limited per prefix.
//
// Ports are closed by turn_tick() and turn_free() alone, so that a burst may hold several: call
// turn_tick() after each burst. What a worker gets from a client that lives on another one it
// gives back to be handed over (TURN_TO_WORKER).
//
// TCP allocations (RFC 6062) have connections to peers. The core decides which may be, and which
// connection of a client belongs to which of a peer; the world joins the two, and passes their
// bytes on without the core.
#pragma once

#include "base/addr.h"
#include "base/counter.h"
#include "base/usec.h"
#include "relay/relay.h"

#include <jansson.h>
#include <stdbool.h>

enum turn_transport { TURN_UDP, TURN_TCP, TURN_TLS, TURN_DTLS };

// Where a message came from, and where its answer goes: the client's 5-tuple (RFC 8656 section 5).
struct turn_client {
    void *link; // the listening socket, or the connection; kept, and given back with what is sent
    enum turn_transport transport;
    struct addr remote, local; // local: as the client addressed it, never a wildcard
};

struct turn_port { // a relayed transport address; opaque handle of the world
    void *handle;
    struct addr relayed; // as told to clients
};

enum turn_refusal { TURN_GRANTED, TURN_REFUSED_USER, TURN_REFUSED_TOTAL };

struct turn_bytes {
    uint64_t in, out; // from peers; to peers
};

// The world's part of TCP allocations. A connection of a peer has a number, which is unique over
// all workers, and an opaque handle of the world.
struct turn_tcp_io {
    void *ctx;
    // A relayed port that accepts connections, each of which goes to turn_peer_accepted() with
    // 'owner'. Returns as open() does.
    int (*listen)(void *ctx, enum family family, void *owner, struct turn_port *ret_port);
    void (*close)(void *ctx, void *handle); // 'owner' is not to be used any more
    // Begins to connect from this relayed port; turn_peer_connected() says how it went, not from
    // inside this call. Returns 0 or -errno.
    int (*connect)(void *ctx, void *handle, const struct addr *peer, uint32_t number,
                   void **ret_conn);
    // Sends 'answer' to the client, and from then on what one side sends to the other: also what
    // the peer has sent before. When either ends: turn_peer_ended(). Limits are the world's, and of
    // the connections of one group together: they are one allocation's, and no other one's, on
    // whatever worker.
    void (*join)(void *ctx, void *conn, const struct turn_client *client, uint64_t group,
                 const uint8_t *answer, size_t len);
    // Ends it, joined or not, and forgets it; once for each connection, whoever ended it. Returns
    // what it has passed, unless turn_peer_ended() has said so, or it was joined on another worker:
    // what that one has passed by then is missing in the allocation's figures.
    struct turn_bytes (*drop)(void *ctx, void *conn);
};

struct turn_view;

struct turn_io {
    void *ctx;
    // Relayed ports (EVEN-PORT with R = 0: PORT_EVEN; with R = 1: PORT_PAIR); what arrives there
    // goes to turn_peer_recv() with 'owner'. The second of a pair has the owner NULL: what arrives
    // there is dropped until set_owner(). Returns 0, -EMFILE (no port is free), -EAFNOSUPPORT or
    // -errno.
    int (*open)(void *ctx, enum family family, enum port_parity parity, void *owner,
                struct turn_port ret_port[2]);
    void (*set_owner)(void *ctx, void *handle, void *owner); // a reserved port finds its allocation
    void (*close)(void *ctx, void *handle);                  // 'owner' is not to be used any more
    // A whole message to a client: a datagram, or a frame on a stream. An error costs it alone.
    int (*send_client)(void *ctx, const struct turn_client *client, const uint8_t *data,
                       size_t len);
    void (*random)(void *ctx, void *buf, size_t len);
    // May this address be a peer? Special-purpose ranges, our own listeners and hosts are refused;
    // live relayed addresses of this daemon are allowed. Port 0: may any port of this IP?
    bool (*peer_allowed)(void *ctx, const struct addr *peer);
    // Quotas over all workers, by identity: the part of the username that stays the same (bare
    // JID), or the client's IP address for a username that is a bare expiry.
    enum turn_refusal (*charge)(void *ctx, const char *identity);
    void (*release)(void *ctx, const char *identity);
    struct turn_tcp_io tcp; // zeros: no TCP allocations
    // An allocation has ended, for this reason: its last figures, borrowed. NULL: nobody cares.
    void (*ended)(void *ctx, const struct turn_view *view, const char *reason, usec_t now);
};

struct turn_secret { // of TURN REST; several for rotation
    const char *text;
    usec_t until; // not from then on; 0: for ever
};

struct turn_user { // a static long-term credential
    const char *name, *password;
};

// Who forwards the channels of UDP clients without the core, and by which addresses.
struct turn_route {
    struct addr listener, relayed; // as they are bound
    struct addr peer;              // as it is reached, and sends
};

struct turn_offload {
    struct offload_io io;
    void *ctx; // of route()
    // Returns 0, or -EHOSTUNREACH for a way that only the daemon can go.
    int (*route)(void *ctx, const struct turn_client *client, void *handle, const struct addr *peer,
                 struct turn_route *ret_route);
};

struct turn_config {   // borrowed; immutable while it is used
    const char *realm; // 1 to 127 bytes; every byte is in every challenge
    const struct turn_secret *secret;
    unsigned secrets;
    const struct turn_user *user;
    unsigned users;
    const char *software;  // SOFTWARE for those who have authenticated; NULL: none
    uint8_t nonce_key[32]; // the same on all workers
    usec_t nonce_lifetime; // then 438 and a new one; at most 36 hours
    usec_t expiry_grace; // requests for a running allocation are taken so long after its credential
                         // expired
    usec_t default_lifetime, max_lifetime;  // RFC 8656 section 7.2: 600 s, 3,600 s
    unsigned permissions_max, channels_max; // per allocation
    unsigned connections_max;               // to peers, of one TCP allocation
    unsigned allocations_max;               // on this worker
    uint64_t bytes_per_second;              // per allocation, both directions; 0 = no limit
    // To unverified UDP sources of one /24 or /56, only answers that are longer than their request.
    unsigned answers_per_second, answers_burst; // 0 = no limit
    unsigned worker, workers; // this one's number, and how many there are (at most 256)
    bool modern;   // offer the password algorithms of RFC 8489 (24 bytes more in each challenge)
    bool old_stun; // answer RFC 3489 Binding requests without magic cookie
    bool mobility; // RFC 8016
    bool tcp_allocations; // RFC 6062
};

struct turn;

// Returns 0, -ENOMEM or -EINVAL. io is copied.
int turn_new(const struct turn_config *config, const struct turn_io *io, struct counters *counters,
             struct turn **ret_turn);
void turn_free(struct turn *turn); // closes every relayed port

// Before the first message; copied.
void turn_set_offload(struct turn *turn, const struct turn_offload *offload);

// Another configuration from now on; allocations stay, and stay with the key they were made with.
// The nonce key, worker and workers must not change. Returns 0, -ENOMEM or -EINVAL (then nothing
// changed).
int turn_set_config(struct turn *turn, const struct turn_config *config);

// Ends every allocation of this identity, in letters of either case if it is a JID. Returns how
// many there were; turn_tick() is due.
unsigned turn_end_user(struct turn *turn, const char *identity, usec_t now);

// The wall clock that TURN REST needs (microseconds since 1970), as an offset to 'now'.
void turn_set_clock(struct turn *turn, int64_t wall_minus_now_usec);

enum turn_action {
    TURN_CONSUME,   // answered, or dropped and counted
    TURN_TO_PEER,   // send 'data' from 'handle' to 'to'
    TURN_TO_CLIENT, // send 'data' to 'client'
    TURN_TO_WORKER, // hand message and client to turn_client_recv() of 'worker', which may answer
                    // by the client's link at any time
};

enum {
    TURN_HEADROOM = 48, // a Data indication before its data: 20 + 24 (IPv6 peer) + 4
    TURN_TAILROOM = 3,  // padding
};

struct turn_packet {
    uint8_t *data; // narrowed (to a peer) or extended within the room (to a client), in place; with
                   // TURN_HEADROOM writable bytes before it and TURN_TAILROOM behind
    size_t len;
    bool dont_fragment; // written with TURN_TO_PEER
};

struct turn_forward {
    void *handle;
    struct addr to;
    struct turn_client client;
    unsigned worker;
    uint32_t serial; // with TURN_TO_WORKER: of this message, for turn_client_back()
    // With TURN_TO_WORKER: the client's connection may be about to become one with a peer's, so
    // nothing more may be taken from it for a message before its answer has come.
    bool pause;
};

// One message or ChannelData frame of a client.
enum turn_action turn_client_recv(struct turn *turn, const struct turn_client *client,
                                  struct turn_packet *packet, struct turn_forward *ret_forward,
                                  usec_t now);
// One datagram at a relayed port; 'owner' is what open() or set_owner() was given.
enum turn_action turn_peer_recv(struct turn *turn, void *owner, void *handle,
                                const struct addr *from, struct turn_packet *packet,
                                struct turn_forward *ret_forward, usec_t now);
// An ICMP error about a datagram from this port to 'peer' (RFC 8656 section 11.5); its port may be
// 0. info: the MTU where the type has one.
void turn_peer_icmp(struct turn *turn, void *owner, const struct addr *peer, uint8_t type,
                    uint8_t code, uint32_t info, usec_t now);
// A connection to the relayed port of 'owner' was accepted. Returns its number, or 0: not wanted,
// and there will be no drop().
uint32_t turn_peer_accepted(struct turn *turn, void *owner, void *handle, void *conn,
                            const struct addr *peer, usec_t now);
// What became of connect(): 0 or -errno. Numbers that are known no more are ignored, here and
// below.
void turn_peer_connected(struct turn *turn, uint32_t number, int error, usec_t now);
// The connection has ended, or could not be joined.
void turn_peer_ended(struct turn *turn, uint32_t number, uint64_t bytes_in, uint64_t bytes_out,
                     usec_t now);
// The worker whose connection this is.
unsigned turn_peer_worker(uint32_t number);

// A connection is gone: its allocation ends, unless it is mobile. Returns the worker that must be
// told as well, or this one's own number.
unsigned turn_client_gone(struct turn *turn, const struct turn_client *client, usec_t now);
// The worker that this client was handed over to has nothing of it: what it sends is for this one
// again, unless more than this message has been handed over meanwhile. Returns whether it is.
bool turn_client_back(struct turn *turn, const struct turn_client *client, uint32_t serial);
// The worker that this client was handed over to, and the serial of its last message. False: it is
// no guest.
bool turn_client_host(const struct turn *turn, const struct turn_client *client,
                      unsigned *ret_worker, uint32_t *ret_serial);
// Whether the client has an allocation here or, handed over, on another worker: a connection that
// has none for long is not worth keeping.
bool turn_client_known(const struct turn *turn, const struct turn_client *client);

struct turn_view { // one allocation, as it stands
    const char *username, *identity;
    struct turn_client client; // link NULL: waits for its mobile client
    struct addr relayed[2];    // [0] IPv4, [1] IPv6; family NONE: it has none
    bool tcp; // RFC 6062: its packets are those of connections that have ended, and not counted
    usec_t opened, expires;
    unsigned permissions, channels, connections;
    unsigned offloaded; // directions of channels that the kernel forwards
    uint64_t packets_in, bytes_in, packets_out, bytes_out; // from peers; to peers
};
// Asks the kernel for what it has forwarded, if it forwards anything.
void turn_list(const struct turn *turn, void (*each)(void *ctx, const struct turn_view *view),
               void *ctx, usec_t now);

// A restart that ends no allocation of a UDP client: turn_save() says what a successor needs to go
// on (codec/state.h): allocations with permissions, channels and reservations, and their keys. What
// the kernel forwards is taken back first. A new reference, or NULL without memory; nothing may
// arrive afterwards. Clients of connections (TCP, TLS, DTLS) are left out, but for mobile ones,
// which wait for theirs to come again (RFC 8016).
//
// turn_restore() comes before the first message, with the same nonce key, worker and workers.
// 'reopen' binds a relayed port again, as it was, and may hand out the socket that was left open;
// an allocation without its ports is left out and counted. Returns 0, -ENOMEM (there was none for
// some of the lost; the others live) or -EPROTONOSUPPORT (another version; nothing was restored).
struct turn_revival {
    void *ctx;
    int (*reopen)(void *ctx, const struct addr *relayed, bool tcp, void *owner,
                  struct turn_port *ret_port);
    void *(*link)(void *ctx, const struct addr *local); // of the listener at this address, or NULL
};
json_t *turn_save(struct turn *turn, usec_t now);
int turn_restore(struct turn *turn, const json_t *state, const struct turn_revival *revival,
                 usec_t now, unsigned *ret_lost);
// What it has goes on elsewhere: it ends here in silence, until the next turn_tick(). Needs no
// memory.
void turn_disown(struct turn *turn);

// What follows from the passing of time, and closing the ports of ended allocations. Returns when
// to call again, or USEC_NEVER.
usec_t turn_tick(struct turn *turn, usec_t now);
// Invariants, for tests. NULL or what is wrong.
const char *turn_check(const struct turn *turn);
