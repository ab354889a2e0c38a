// SPDX-License-Identifier: ISC
// What the files of the relay core share: the structures behind include/relay/relay.h and the few
// functions by which the parts call each other. Nothing outside src/relay/ includes this.
//
// Ownership is a tree: a relay owns pools, calls and paths; a path owns two legs and the table of
// checks in flight; a leg owns its ports, sources, ids, credentials and held copy. A call borrows
// its paths and dies with the last of them.
//
// Lists that most paths never need, or need short, are allocated on first use and grow; everything
// that refers into them is an index.
#pragma once

#include "base/bucket.h"
#include "base/map.h"
#include "base/timer.h"
#include "codec/stun.h"
#include "relay/relay.h"

#define FAMILIES 2 // index 0 IPv4, 1 IPv6

// Every timeout and size of the core that is not configured.
#define CHECK_INTERVAL    (250 * USEC_PER_MSEC) // at most one check of our own per source
#define CHECK_TRIES       3
#define SILENT_AFTER      (300 * USEC_PER_MSEC) // a selected source may then be replaced (rule c)
#define SOURCE_STALE      (30 * USEC_PER_SEC)   // a proved source may then give up its place
#define SOURCE_STALE_LOST (2 * USEC_PER_SEC)    // the same, while the selected one is silent
#define HELD_LIFE         (2 * USEC_PER_SEC)    // of a check whose receiver is not known yet
#define HELD_MAX          600
#define TRANSACTION_LIFE  (10 * USEC_PER_SEC) // RFC 8489 section 6.2.1 gives up well before
#define TRANSACTIONS_MAX  64
#define IDS_MIN           16
#define IDS_MAX           4096
#define BIND_TRIES        16
#define LEARN_PACKETS     3
#define LEARN_STEP_MAX    64 // how far a sequence number may advance between two packets
#define LEARN_SOURCES     4
#define GOOGLE_PEERS_MAX  8            // signalled addresses of a leg
#define OFFLOAD_AFTER     5            // packets of a direction
#define OFFLOAD_PAUSE     USEC_PER_SEC // before it is tried again
#define OFFLOAD_PAUSE_RATE                                                                         \
    (10 * USEC_PER_SEC) // the same, when too much of the rate was needed here

// Channels: channel.c says what they are for.
#define TRIAL_SOURCES    8                     // on trial, per leg
#define TRIAL_CHECKS     2                     // requests that a source on trial must have sent
#define TRIAL_LIFE       (5 * USEC_PER_SEC)    // of what it has shown by requests
#define TRIAL_PAUSE      (500 * USEC_PER_MSEC) // and by RTP
#define PAIR_LIFE        (500 * USEC_PER_MSEC) // a pair that has not answered may then be replaced
#define CONTEST_LENGTH   (500 * USEC_PER_MSEC) // between senders of RTP
#define CHANNEL_DESERTED (2 * USEC_PER_SEC)    // latched by RTP, and both sides silent for so long

// --- ports.c: which numbers are free -----------------------------------------------------------

enum port_state { PORT_FREE, PORT_USED, PORT_QUARANTINED };

struct pool_port {
    usec_t until;    // quarantined: free again
    uint16_t number; // the UDP port
    uint16_t place;  // free: index in pool.free; quarantined: the one released before this
    uint16_t next;   // quarantined: the one released after this
    uint8_t state;   // enum port_state
    bool lent;       // to somebody who is no path
};

// The ports of one bound address that belong to this worker. Every operation is O(1).
struct pool {
    struct pool_port *port; // by rising number
    uint16_t *free;         // indices of the free ports, in random order
    unsigned count, free_count, used_count, quarantined_count;
    uint16_t first, last; // quarantine, oldest first; valid while quarantined_count > 0
};

int pool_init(struct pool *pool, uint16_t min, uint16_t max, unsigned share, unsigned shares);
void pool_free(struct pool *pool);
// Returns 0 or -EMFILE. 'random' chooses among the free ones.
int pool_take(struct pool *pool, uint64_t random, uint16_t *ret_index);
// The same with a condition; a pair is the index and the one behind it. O(free ports) at worst.
int pool_take_parity(struct pool *pool, enum port_parity parity, uint64_t random,
                     uint16_t *ret_index);
uint16_t pool_index(const struct pool *pool, uint16_t number); // of a number that is in the pool
// This very number, free or resting. Returns 0, -EADDRINUSE, or -ENOENT: it is not in the pool.
int pool_take_number(struct pool *pool, uint16_t number, uint16_t *ret_index);
void pool_quarantine(struct pool *pool, uint16_t index, usec_t until); // of a used port
// Frees what has served its time. Returns when the next one will have, or USEC_NEVER.
usec_t pool_expire(struct pool *pool, usec_t now);

struct port {
    struct path *path; // owner
    void *socket;      // from io.bind; NULL with open == false
    uint16_t index;    // in the pool of its family
    uint16_t number;
    uint8_t side;
    uint8_t family; // index
    bool open;
    bool shared;    // the relay's; of no pool
    bool next_kept; // channel: the next number is kept for component 2
};

// --- ids.c: transaction ids that have been used ------------------------------------------------

// A ring of the last ids, oldest overwritten. Looked up by a linear scan over 8-byte words: at its
// longest that costs about what the HMAC of the same request does, and needs no index.
struct ids {
    uint64_t *id;     // keyed hash of the 96 bits
    uint32_t *source; // keyed hash of the address that it came from
    uint16_t size, count, next;
};

#define IDS_IGNORED 24 // low bits

enum id_seen { ID_NEW, ID_SAME_SOURCE, ID_OTHER_SOURCE };

void ids_free(struct ids *ids);
enum id_seen ids_look(const struct ids *ids, uint64_t id, uint32_t source);
// Returns 0, or -ENOMEM when not even the first ring could be had.
int ids_add(struct ids *ids, uint64_t id, uint32_t source);

// --- transactions.c: checks that were forwarded and not answered yet ---------------------------

struct transaction {
    usec_t sent;
    struct addr from, to;
    uint32_t nomination; // 0: the request did not nominate
    uint8_t txid[STUN_TXID_LEN];
    uint8_t side; // that asked
    uint8_t from_family, to_family;
    bool resent; // its round trip is not measurable (Karn's rule)
};

struct transactions {
    struct transaction *item;
    uint16_t size, count;
};

void transactions_free(struct transactions *table);
// Remembers a copy, as a resending if the same was sent before. Forgets the oldest when full;
// without memory it forgets this one, and the answer will find no way back.
void transactions_add(struct transactions *table, const struct transaction *t);
struct transaction *transactions_find(struct transactions *table, const uint8_t *txid,
                                      enum side asked, const struct addr *to, unsigned to_family,
                                      usec_t now);

// --- legs --------------------------------------------------------------------------------------

struct credentials {
    struct map_node node; // in relay.names, if listed
    struct path *path;    // owner
    uint8_t side;
    bool listed;
    uint16_t ufrag_len, pwd_len;
    char text[]; // ufrag, pwd
};

// An address that has proved itself. 'verified': it may be selected. The first source of a leg is
// verified for as long as it stays selected; 'answered' it becomes by showing that it can answer
// an id that it has not chosen, and keeps it.
struct source {
    usec_t last_seen;
    usec_t nominated_at;  // of 'nomination'
    usec_t check_started; // our own check: first sending of the last one
    usec_t check_next;    // not before: next sending, or giving up
    struct addr addr;
    struct claim *claim;    // owned; at a shared port only
    uint32_t nomination;    // number of its last nominating request in the path; 0: none
    uint32_t generation[2]; // of the credentials in its last check: own, other side's
    uint8_t check_id[STUN_TXID_LEN];
    uint8_t check_tries; // sent so far; 0: none in flight
    uint8_t family;      // index of the port that it uses
    bool verified, answered;
    bool check_open;   // an answer to check_id is still welcome
    bool check_wanted; // another one is to start at check_next
    bool mute;         // was asked and did not answer
};

// A request that waits for the other leg's first source.
struct held {
    usec_t until;
    struct addr from;
    uint32_t nomination;
    uint16_t len;
    uint8_t from_family, tos;
    uint8_t data[];
};

struct candidate { // raw: a source on trial
    struct addr addr;
    uint32_t ssrc;
    uint16_t sequence;
    uint8_t family, packets;
};

struct raw {
    struct addr peer;  // signalled
    usec_t window_end; // learning is possible before
    bool pinned;       // 'peer' is a destination: only its IP may win
    bool locked;
    struct candidate candidate[LEARN_SOURCES];
    unsigned candidates, turn; // turn: where the next one to give up its place is looked for
};

struct trial { // channel: a source that may be a client's
    struct addr addr;
    uint64_t names, mirrored; // keyed hashes of its USERNAME, and of the one that answers to it
    usec_t last_check, last_rtp;
    uint32_t ssrc;
    uint16_t sequence;
    uint16_t run;    // consistent RTP packets without a pause
    uint16_t scored; // of them in the present contest
    uint8_t checks;  // requests with these names
    uint8_t family;
    bool entered;  // was sending RTP when the contest began
    bool stranger; // has tried both legs: nobody's client
};

enum latch { LATCH_NONE, LATCH_RTP, LATCH_CHECKS };

struct channel { // owned by a path of PATH_CHANNEL
    struct trial trial[SIDE_COUNT][TRIAL_SOURCES];
    uint8_t trials[SIDE_COUNT];
    uint8_t turn[SIDE_COUNT];   // where the next one to give up its place is looked for
    int8_t pair[SIDE_COUNT];    // trials whose names mirror each other, being tried; -1: none
    bool answered[SIDE_COUNT];  // this side of the pair has answered a request of the other
    usec_t paired;              // since when the pair is tried
    usec_t contest;             // end of the contest between senders of RTP; 0: none
    enum latch latch;           // how both legs got their source
    uint64_t names[SIDE_COUNT]; // LATCH_CHECKS: of the two sources
};

struct google_source {
    bool trusted; // signalled, or the first that was selected and has answered
    uint8_t name_len;
    uint8_t name[GOOGLE_NAME_MAX]; // what its client calls it, from its last check
};

struct google_leg {
    uint8_t own[GOOGLE_NAME_MAX]; // the name of the relay's candidate towards this client
    uint8_t own_len;
    bool locked;                        // only signalled addresses may enter
    bool settled;                       // was locked before,
    unsigned moves;                     // last after so many moves of the leg
    usec_t window_end;                  // others may, before
    struct addr peer[GOOGLE_PEERS_MAX]; // signalled
    uint8_t peers, turn;                // turn: the next place, the oldest when all are taken
    struct google_source source[PATH_SOURCES_MAX]; // of the same index as in the leg
};

struct google { // owned by a path of PATH_GOOGLE
    struct google_leg leg[SIDE_COUNT];
};

enum role { ROLE_UNKNOWN, ROLE_CONTROLLING, ROLE_CONTROLLED };

// What arrives at a leg and is forwarded by the kernel. What it has left to us since is counted in
// the leg as ever, its streams from nothing (offload.c).
struct offloaded {
    struct offload_flow flow;
    usec_t since;
};

struct leg {
    struct port port[FAMILIES];
    struct source *source;
    uint8_t sources, source_size;
    int8_t selected, last_proved; // index of source, or -1
    uint8_t role;                 // enum role, of the client, as in its last check
    bool checked, media_told;     // events already sent
    uint8_t qualities;
    uint8_t streak; // RTP and RTCP forwarded since anything changed, up to OFFLOAD_AFTER
    uint64_t tie_breaker;
    uint32_t nomination;                // number of the nomination in force; 0: none yet
    uint32_t generation;                // of credentials[0]
    struct credentials *credentials[2]; // current, previous
    struct ids ids;
    struct held *held; // on its way to the other leg
    struct raw *raw;   // PATH_RAW only
    struct rtp_quality *quality;
    struct offloaded *offloaded; // NULL: it is not
    usec_t offload_next;         // not before
    uint64_t packets_in, bytes_in, packets_out, bytes_out, media_in, refused, checks_in;
    usec_t first_check, last_check, first_media, last_media, rtt;
    unsigned moves;
};

struct path {
    struct map_node node; // in relay.paths
    struct timer timer;
    struct relay *relay;
    struct call_paths *call;
    struct path *call_next, *call_prev;
    uint64_t id, rtp_path;
    usec_t opened, last_forward;
    enum path_mode mode;
    uint32_t nominations; // nominating requests so far
    bool shared;          // uses the shared ports, where there are any
    uint8_t component;
    bool silent; // EVENT_SILENT was sent and no media has come since
    struct transactions transactions;
    struct channel *channel; // PATH_CHANNEL only
    struct google *google;   // PATH_GOOGLE only
    struct leg leg[SIDE_COUNT];
};

// A source of a path at a shared port: what comes from its address is that path's if it holds the
// address. Of all claims to one address exactly one does, and leads the list of them.
struct claim {
    struct map_node node; // in relay.claims, if it holds
    struct claim *next;
    struct port *port;
    struct addr addr;
    bool holds;
};

struct shared_port {
    void *socket; // borrowed; NULL: none
    uint16_t number;
};

// What the paths of one call share on this worker.
struct call_paths {
    struct map_node node; // in relay.calls
    uint64_t id;
    uint64_t rate; // in bytes per second; 0: no limit
    struct bucket bucket;
    struct bucket_loan loan; // to the kernel, while any direction is offloaded
    uint64_t loan_used;      // by those that were taken back
    unsigned offloaded;      // directions
    struct path *first;
};

struct relay {
    struct relay_config config;
    struct relay_io io;
    struct offload_io offload; // zeros: none
    void *ctx;
    struct counters *counters;
    struct pool pool[FAMILIES];
    struct map paths, calls; // the key of 'paths' serves for every keyed hash
    struct timers timers;
    struct timer quarantine;
    unsigned path_count;
    unsigned lent[FAMILIES]; // ports used by others
    struct shared_port shared[FAMILIES];
    struct map names, claims; // of paths at shared ports
};

static inline enum side side_other(enum side side)
{
    return side == SIDE_INITIATOR ? SIDE_RESPONDER : SIDE_INITIATOR;
}

static inline void count(struct relay *relay, enum counter id)
{
    counter_add(relay->counters, id, 1);
}

// --- relay.c -----------------------------------------------------------------------------------

void relay_ports_changed(struct relay *relay, usec_t now); // gauges and the quarantine timer
uint64_t relay_random(struct relay *relay);
void relay_tell_opened(const struct path *path); // EVENT_OPENED
// One of the relay's own transport addresses, bound or advertised.
bool relay_owns(const struct relay *relay, const struct addr *addr);
bool relay_is_host(const struct relay *relay, const struct addr *addr); // whatever the port
// May be a destination although nothing but signalling or a source address speaks for it.
bool relay_may_send_unproved(const struct relay *relay, const struct addr *addr);

// --- shared.c: which path a datagram at a shared port belongs to ---------------------------------

int shared_list(struct path *path, enum side side, struct credentials *c); // 0 or -ENOMEM
void credentials_free(struct credentials *c);                              // unlists; NULL is fine
// A source that is about to be; NULL in ret_claim where the port is not shared. 0, -ENOMEM, or
// -ENOSPC: too many paths claim the address.
int shared_claim(struct relay *relay, struct port *port, const struct addr *addr,
                 struct claim **ret_claim);
void shared_unclaim(struct relay *relay, struct claim *claim); // NULL is fine
// This source has just shown that it is one, or that it can answer.
void shared_contend(struct path *path, enum side side, struct source *source, usec_t now);
void shared_hold(struct relay *relay, struct claim *claim); // it holds its address from now on
const char *shared_check(const struct relay *relay);        // NULL or what is wrong

// --- path.c: life and deadlines ----------------------------------------------------------------

// The ports that a path had before a restart.
struct path_ports {
    uint16_t number[SIDE_COUNT][FAMILIES];
    bool next_kept[SIDE_COUNT][FAMILIES];
};

// Returns 0 or the error of EVENT_FAILED, with nothing left behind.
int path_open(struct relay *relay, const struct order *order, usec_t now, struct path **ret_path);
// The same with these ports, whatever the limits.
int path_reopen(struct relay *relay, const struct order *order, const struct path_ports *ports,
                usec_t now, struct path **ret_path);
void path_close(struct path *path, usec_t now);
struct path *path_find(const struct relay *relay, uint64_t id);
struct call_paths *call_find(const struct relay *relay, uint64_t id);
void path_event(struct path *path, enum event_kind kind, enum side side, const struct addr *addr);
usec_t path_deadline(const struct path *path);
void path_schedule(struct path *path); // after anything that may have brought the deadline forward

// --- leg.c: sources and forwarding, the same for every mode ------------------------------------

struct recv { // one datagram on its way through the core
    struct path *path;
    struct leg *leg; // where it arrived
    struct leg *out; // the other one
    enum side side;  // of leg
    const struct port *port;
    const struct addr *from;
    const struct packet *packet;
    enum packet_kind kind;
    struct forward *ret_forward;
    usec_t now;
};

int source_find(const struct leg *leg, const struct addr *addr, unsigned family); // or -1
// A place for a new source. Returns its index, -ENOSPC (all places taken by live ones) or -ENOMEM.
int source_add(struct leg *leg, const struct addr *addr, unsigned family, usec_t now);
// Makes it the only source of the leg, selected; for modes without checks. Returns false only
// without memory, when the leg had no source yet.
bool leg_take(struct path *path, enum side side, const struct addr *addr, unsigned family,
              usec_t now);
int leg_reserve(struct leg *leg); // leg_take() cannot fail then; 0 or -ENOMEM
void leg_select(struct path *path, enum side side, int index, usec_t now);
// An acceptable packet came from this source; rule (c) may select it.
void leg_heard(struct path *path, enum side side, int index, usec_t now);
enum verdict leg_drop(const struct recv *r, enum counter reason);
enum verdict leg_forward(const struct recv *r, const struct addr *to, unsigned family);
// Everything but checks: from the selected source of one leg to that of the other.
enum verdict leg_media(const struct recv *r);

// --- ice.c, verify.c, raw.c, channel.c, google.c, view.c
// ------------------------------------------------------------

enum verdict ice_recv(const struct recv *r);
uint32_t source_hash(const struct relay *relay, const struct addr *addr);
int ice_credentials(struct path *path, const struct order *order); // 0 or -ENOMEM
// Listed where the path shares ports; NULL without memory.
struct credentials *credentials_new(struct path *path, enum side side, const void *ufrag,
                                    size_t ufrag_len, const void *pwd, size_t pwd_len);
void ice_hold_release(struct path *path, enum side side, usec_t now); // 'side' has a source now
void ice_hold_expire(struct path *path, enum side side, usec_t now);
// The credentials of a generation that still live, else the current ones; NULL before any.
const struct credentials *ice_generation(const struct leg *leg, uint32_t generation);
// Under which of the living passwords of this side is the message authentic?
bool ice_authentic(const struct leg *leg, const struct stun_msg *msg);
// Previous credentials have no use once a nomination is in force under both current ones.
void ice_forget_previous(struct path *path, enum side side, const struct source *source);

void verify_start(struct path *path, enum side side, struct source *source, usec_t now);
void verify_run(struct path *path, enum side side, struct source *source, usec_t now);
usec_t verify_deadline(const struct source *source);
bool verify_is_own_id(const struct relay *relay, const uint8_t txid[STUN_TXID_LEN]);
// NULL msg: the path's answers are not protected.
enum verdict verify_answer(const struct recv *r, const uint8_t *txid, const struct stun_msg *msg);

enum verdict raw_recv(const struct recv *r);
void raw_peer(struct path *path, enum side side, const struct addr *peer, usec_t now);

int channel_prepare(struct path *path); // 0 or -ENOMEM
enum verdict channel_recv(const struct recv *r);

int google_prepare(struct path *path); // 0 or -ENOMEM
enum verdict google_recv(const struct recv *r);
void google_name(struct path *path, const struct order *order);
void google_peer(struct path *path, enum side side, const struct addr *peer, usec_t now);
// How long the selected source must have been silent before this one takes over.
usec_t google_patience(const struct path *path, enum side side, int index, usec_t now);
// After what may have selected a source, or shown that it answers.
void google_settle(struct path *path, enum side side);
// That check. Returns its length, or -ENOSPC.
int google_compose(const struct path *path, enum side side, const struct source *source,
                   uint8_t *buf, size_t size);

void view_send(struct relay *relay, const struct order *order, usec_t now);

// --- check.c -----------------------------------------------------------------------------------

const char *path_check(const struct path *path); // its part of relay_check()

// --- offload.c: what the kernel forwards -------------------------------------------------------

// A packet was forwarded: the kernel may do so from now on, if nothing is left to settle.
void offload_consider(const struct recv *r);
// Both directions are the core's again. Before anything changes that their permission rests on.
void offload_take(struct path *path, usec_t now);
void offload_take_call(struct call_paths *call, usec_t now, usec_t pause);
// Brings last_forward, and last_seen of the selected sources, up to what the kernel knows.
void offload_refresh(struct path *path, usec_t now);
// The core's part of the rate has been used up: true if 'len' bytes fit when the call is whole.
bool offload_yield(struct call_paths *call, size_t len, usec_t now);
// Copies of both legs with what the kernel has counted; their streams are in 'quality'.
void offload_figures(struct path *path, struct leg ret_leg[SIDE_COUNT],
                     struct rtp_quality quality[SIDE_COUNT][PATH_SSRC_MAX], usec_t now);
const char *offload_check(const struct path *path, enum side side); // NULL or what is wrong
