// SPDX-License-Identifier: ISC
// What the files of the TURN server share: the structures behind include/turn/turn.h and the few
// functions by which the parts call each other. Nothing outside src/turn/ includes this.
//
// Ownership is a tree: a turn owns allocations, reservations and guests; an allocation owns its
// relayed ports, permissions, channels and what mobility needs. They are found by what arrives:
// by 5-tuple, by ticket, by token.
//
// An allocation that ends is unlinked at once and doomed: its ports are closed and its memory is
// freed by the next turn_tick(), because a burst may still hold both.
#pragma once

#include "base/bucket.h"
#include "base/map.h"
#include "base/timer.h"
#include "codec/hmac.h"
#include "codec/stun.h"
#include "turn/credential.h"
#include "turn/turn.h"

#include <openssl/evp.h>
#include <sys/queue.h>

#define FAMILIES 2 // index 0 IPv4, 1 IPv6

// Every timeout and size of the server that is not configured.
#define PERMISSION_LIFE    (300 * USEC_PER_SEC) // RFC 8656 section 9
#define CHANNEL_LIFE       (600 * USEC_PER_SEC) // section 12
#define RESERVATION_LIFE   (30 * USEC_PER_SEC)  // section 7.2
#define CONNECT_TIME       (30 * USEC_PER_SEC)  // RFC 6062 section 5.2
#define CONNECTION_WAIT    (30 * USEC_PER_SEC)  // for ConnectionBind, sections 5.2 and 5.3
#define TICKET_LIFE        (30 * USEC_PER_SEC)  // of a ticket that was used, RFC 8016 section 3.2.2
#define CHANNEL_MIN        0x4000               // section 12
#define CHANNEL_MAX        0x7fff               // RFC 5766 section 11: its clients go beyond 0x4fff
#define REPLY_MAX          1024 // the longest answer: software and ticket, each with its bounds
#define REALM_MAX          127
#define SOFTWARE_MAX       127
#define USERNAME_MAX       763 // RFC 8489 section 14.3
#define NONCE_MAX          24
#define TICKET_LEN         28
#define OFFLOAD_AFTER      5                   // packets of one direction of a channel
#define OFFLOAD_LEASE      (60 * USEC_PER_SEC) // then the core looks at the channel again
#define OFFLOAD_PAUSE      USEC_PER_SEC        // before another attempt
#define OFFLOAD_PAUSE_RATE (10 * USEC_PER_SEC) // when too much of the rate was needed here
#define WORKERS_MAX        256

// --- hash.c: keys ------------------------------------------------------------------------------

enum { MD5_LEN = 16, SHA256_LEN = 32 };

// Algorithms looked up once; each worker has its own.
struct hashes {
    EVP_MD *md5, *sha256;
    EVP_MD_CTX *digest;
};

struct part { // of what is hashed
    const void *data;
    size_t len;
};

struct key { // RFC 8489 sections 9.2.2 and 18.5.1: MD5 or SHA-256, told apart by length
    uint8_t bytes[SHA256_LEN];
    uint8_t len;
};

int hashes_init(struct hashes *hashes); // 0, -ENOMEM, -EINVAL without MD5
void hashes_free(struct hashes *hashes);
// Return 0 or -ENOMEM.
int hash_key(struct hashes *hashes, bool sha256, struct part user, const char *realm,
             struct part password, struct key *ret_key);
int hash_userhash(struct hashes *hashes, const char *user, const char *realm,
                  uint8_t ret_hash[SHA256_LEN]);

// --- credential.c ------------------------------------------------------------------------------

// The password of TURN REST. Returns 0 or -ENOMEM.
int rest_password(const char *secret, struct part username,
                  char ret_password[TURN_REST_PASSWORD_SIZE]);

// --- nonce.c -----------------------------------------------------------------------------------

size_t nonce_write(struct turn *turn, const struct turn_client *client, usec_t now,
                   char ret_nonce[NONCE_MAX]);
bool nonce_valid(struct turn *turn, const struct turn_client *client, const struct stun_view *nonce,
                 usec_t now);
// Does it say that password algorithms were offered with it (RFC 8489 section 9.2.4)?
bool nonce_offers_algorithms(const struct stun_view *nonce);

// --- limit.c: answers to unverified sources, per prefix ----------------------------------------

struct limit_slot {
    uint64_t prefix;  // keyed hash
    uint32_t tokens;  // thousandths of an answer
    uint32_t last_ms; // wraps
};

struct limiter {
    struct limit_slot *slot; // sets of LIMIT_WAYS
};

int limiter_init(struct limiter *limiter);
void limiter_free(struct limiter *limiter);
bool limiter_take(struct turn *turn, const struct addr *source, usec_t now);

// --- where clients are -------------------------------------------------------------------------

enum binding_kind {
    BIND_ALLOCATION, // struct allocation.at
    BIND_ARRIVING,   // struct mobility.next: announced by ticket, has not sent data yet
    BIND_GUEST,      // struct guest.at: lives on another worker
};

// A 5-tuple in turn.clients.
struct binding {
    struct map_node node;
    struct turn_client client;
    uint8_t kind;
    bool linked;
};

struct permission {
    usec_t until;
    uint8_t ip[16];
    uint8_t family;
};

// The two directions of a channel.
enum way { TO_PEER, TO_CLIENT, WAYS };

// A direction that the kernel forwards.
struct offloaded {
    struct offload_flow flow;
    uint64_t packets, bytes, limited; // what of its figures has been counted here by now
};

struct channel {
    usec_t until;
    struct addr peer;
    uint16_t number;
    uint8_t streak[WAYS]; // packets since anything changed, up to OFFLOAD_AFTER
    struct offloaded *offloaded[WAYS];
};

// A request that is answered later.
struct asked {
    uint16_t method;
    bool sha256, fingerprint;
    struct key key;
    uint8_t txid[STUN_TXID_LEN];
};

enum peer_conn_state {
    PEER_CONNECTING,
    PEER_WAITING, // for ConnectionBind
    PEER_JOINED,
};

struct peer_conn {        // RFC 6062; owned by its allocation
    struct map_node node; // in turn.peer_conns
    struct peer_conn *next;
    struct allocation *allocation;
    struct timer timer; // not armed once it is joined
    void *handle;
    struct addr peer;
    uint32_t number;
    uint8_t state;
    struct asked connect; // while connecting
};

struct relayed {
    void *handle;
    usec_t expires;
    struct addr addr;
    bool open;
    bool closing; // by the next tick
};

struct ticket {
    struct map_node node; // in turn.tickets
    struct mobility *owner;
    usec_t until; // of the old one; USEC_NEVER: the one that is good for moving; 0: not linked
    uint8_t bytes[TICKET_LEN];
};

// RFC 8016; only allocations whose client asked for a ticket have one.
struct mobility {
    struct allocation *allocation;
    struct binding next;
    struct ticket ticket[2]; // the current one, and the one before
    unsigned current;
};

struct allocation {
    struct binding at;  // not linked: its mobile client is away
    struct timer timer; // armed for the earliest expiry of its ports
    struct relayed port[FAMILIES];
    struct permission *permission;
    struct channel *channel;
    uint16_t permissions, permissions_size, channels, channels_size;
    struct mobility *mobility;
    struct peer_conn *peer_conn; // a list
    unsigned peer_conns;
    struct allocation *next_doomed;
    bool doomed, dead;
    bool tcp;              // its ports are for TCP
    bool saved;            // if turn.left, it goes on elsewhere
    uint16_t partial;      // code of ADDRESS-ERROR-CODE, if one family of two was refused
    uint16_t username_len; // username, NUL, then for a bare expiry the address and NUL
    uint16_t identity_at;  // in username
    struct bucket bucket;
    struct bucket_loan loan; // to the kernel, while it has anything
    uint64_t loan_used;      // by what was taken back
    uint64_t group;          // the name of what its flows and connections may pass; 0: none yet
    unsigned offloaded;      // directions
    usec_t offload_next;     // not before
    usec_t opened;
    uint64_t packets_in, bytes_in, packets_out, bytes_out;
    uint64_t token;              // of the port reserved beside; 0: none
    uint8_t txid[STUN_TXID_LEN]; // of the Allocate request
    struct key key;
    char username[];
};

struct reservation {      // a port that waits for its allocation
    struct map_node node; // by token
    struct timer timer;
    struct turn_port port;
    uint64_t token;
    bool linked;
    char identity[]; // who is charged
};

struct guest {
    struct binding at;
    TAILQ_ENTRY(guest) entry; // in turn.guest_queue
    struct timer timer;
    usec_t seen; // its last message, which was
    unsigned worker;
    uint32_t serial;
};
TAILQ_HEAD(guest_queue, guest);

struct user_key {
    uint8_t userhash[SHA256_LEN];
    struct key md5, sha256;
};

struct turn {
    const struct turn_config *config;
    struct turn_io io;
    struct turn_offload offload; // zeros: none
    struct counters *counters;
    struct hashes hashes;
    struct user_key *user_key; // one for each config.user
    struct map clients;        // bindings by 5-tuple
    struct map tickets;        // mobility by ticket
    struct map reservations;
    struct map peer_conns; // by number
    struct timers timers;
    struct allocation *doomed;
    struct limiter limiter;
    int64_t wall_minus_now;
    uint64_t data_serial; // of Data indications
    uint32_t handed_over; // messages
    unsigned allocations, charges, guests;
    struct guest_queue guest_queue; // who has been silent longest first
    usec_t now;                     // of the latest tick, or the beginning
    bool left;                      // saved since then
};

// --- allocation.c ------------------------------------------------------------------------------

struct binding *binding_find(const struct turn *turn, const struct turn_client *client);
int binding_link(struct turn *turn, struct binding *binding, const struct turn_client *client,
                 enum binding_kind kind); // 0 or -ENOMEM
void binding_unlink(struct turn *turn, struct binding *binding);
bool client_equal(const struct turn_client *a, const struct turn_client *b);
struct allocation *binding_allocation(struct binding *binding); // NULL for a guest's

enum end_cause { END_CLIENT, END_EXPIRED, END_GONE, END_SERVER };

// Links a new allocation without ports. NULL without memory.
struct allocation *allocation_new(struct turn *turn, const struct turn_client *client,
                                  struct part username, struct part identity, usec_t now);
void allocation_free(struct turn *turn, struct allocation *a); // never had a port
void allocation_add_port(struct allocation *a, const struct turn_port *port, usec_t expires);
int allocation_arm(struct turn *turn, struct allocation *a); // 0 or -ENOMEM
// Gives up one port, or with the last one the allocation. Closing waits for the next tick.
void allocation_drop_port(struct turn *turn, struct allocation *a, unsigned family,
                          enum end_cause cause, usec_t now);
void allocation_end(struct turn *turn, struct allocation *a, enum end_cause cause, usec_t now);
void allocation_bury(struct turn *turn);               // closes and frees what is doomed
usec_t allocation_expires(const struct allocation *a); // of the port that goes first
const char *allocation_identity(const struct allocation *a);
// The next one after a node (view.c): those that have a client, and those whose mobile client is
// away. NULL: there are no more.
struct turn_view allocation_view(const struct turn *turn, struct allocation *a, usec_t now);
struct allocation *allocation_by_client(const struct turn *turn, struct map_node **node);
struct allocation *allocation_by_ticket(const struct turn *turn, struct map_node **node);
unsigned family_index(const struct addr *addr);

static inline bool relayed_live(const struct relayed *port)
{
    return port->open && !port->closing;
}

// --- request.c: one request, from its arrival to its answer ------------------------------------

enum { HANDED_OVER = -1, NO_ANSWER = -2 }; // besides 0 and STUN error codes

struct request {
    struct turn *turn;
    const struct turn_client *client;
    struct turn_forward *forward;
    const struct method *method;
    const struct stun_msg *msg;
    usec_t now;
    struct binding *binding;       // of the 5-tuple; NULL: nobody lives there
    struct allocation *allocation; // that the request is about
    bool authenticated;
    bool sha256;            // the answer is protected by MESSAGE-INTEGRITY-SHA256
    struct peer_conn *join; // with which the answer joins the connection that it came on
    struct key key;         // with which it was authenticated
    struct part username;   // the same
    struct part identity;
    char address[ADDR_TEXT_MAX + 4]; // the identity of those who have no other
    struct writer reply;
    uint8_t buf[REPLY_MAX];
};

// RFC 8489 section 6.3: a handler returns 0 when it has written the answer's attributes.
struct method {
    uint16_t number;
    const char *name;
    enum counter counter;
    bool authenticated, needs_allocation, says_software;
    bool tcp;            // only with TCP allocations
    enum stun_attr sign; // no request of this method is without it; STUN_ATTR_COUNT: there is none
    int (*handle)(struct request *request);
};

enum turn_action request_serve(struct turn *turn, const struct turn_client *client,
                               struct binding *binding, const struct stun_msg *msg,
                               struct turn_forward *ret_forward, usec_t now);
bool request_same_user(const struct request *request, const struct allocation *a);
// The lifetime that a request asks for, as RFC 8656 section 7.2 rounds it.
usec_t request_lifetime(const struct request *request);

// Of a request whose handler returned NO_ANSWER, for request_answer_later().
void request_keep(const struct request *request, struct asked *ret_asked);
// With CONNECTION-ID 'number' if code is 0.
void request_answer_later(struct turn *turn, const struct turn_client *client,
                          const struct asked *asked, int code, uint32_t number, usec_t now);

int handle_binding(struct request *request);
int handle_allocate(struct request *request);
int handle_refresh(struct request *request);
int handle_create_permission(struct request *request);
int handle_channel_bind(struct request *request);
int handle_connect(struct request *request);
int handle_connection_bind(struct request *request);

// An RFC 3489 Binding request. Returns false if it is none.
bool old_binding(struct turn *turn, const struct turn_client *client,
                 const struct turn_packet *packet, bool known, usec_t now);

// --- auth.c ------------------------------------------------------------------------------------

extern const uint8_t auth_algorithms[8];
int auth_users(struct turn *turn, const struct turn_config *config, struct user_key **ret_keys);
int auth_request(struct request *request); // 0, a STUN error code, or NO_ANSWER

// --- error.c -----------------------------------------------------------------------------------

void error_write(struct request *request, int code); // begins the answer anew
enum counter error_counter(int code);

// --- permission.c, channel.c -------------------------------------------------------------------

// Teredo or 6to4, which RFC 8656 section 21.4 wants refused.
bool addr_is_tunnel(const struct addr *addr);
// 0, 443 or 403 for an address that a client wants for a peer.
int peer_check(const struct request *request, const struct addr *peer);
const struct permission *permission_find(const struct allocation *a, const struct addr *peer,
                                         usec_t now);
// Makes room for more permissions than there are. Returns 0, -ENOSPC or -ENOMEM.
int permission_room(const struct turn *turn, struct allocation *a, unsigned more, usec_t now);
// Refreshes the permission, or adds one where there is room.
void permission_install(struct allocation *a, const struct addr *peer, usec_t now);
const struct channel *channel_by_peer(const struct allocation *a, const struct addr *peer,
                                      usec_t now);
const struct channel *channel_by_number(const struct allocation *a, uint16_t number, usec_t now);
void permission_drop_family(struct allocation *a, enum family family);
void channel_drop_family(struct turn *turn, struct allocation *a, enum family family, usec_t now);

// --- offload.c: what the kernel forwards ---------------------------------------------------------

// A packet of the channel was forwarded: the kernel may do so from now on.
void turn_offload_consider(struct turn *turn, struct allocation *a, const struct channel *channel,
                           enum way way, usec_t now);
// All of it is the core's again. Before anything changes that its permission rests on.
void turn_offload_take(struct turn *turn, struct allocation *a, usec_t now, usec_t pause);
void turn_offload_take_channel(struct turn *turn, struct allocation *a, struct channel *channel,
                               usec_t now);
// The core's part of the rate has been used up: true if 'len' bytes fit when all is the core's.
bool turn_offload_yield(struct turn *turn, struct allocation *a, size_t len, usec_t now);
// Brings the allocation's figures up to what the kernel knows.
void turn_offload_count(const struct turn *turn, struct allocation *a);
const char *turn_offload_check(const struct turn *turn, const struct allocation *a);

// --- data.c ------------------------------------------------------------------------------------

enum turn_action data_from_channel(struct turn *turn, struct binding *binding,
                                   struct turn_packet *packet, struct turn_forward *ret_forward,
                                   usec_t now);
enum turn_action data_from_indication(struct turn *turn, struct binding *binding,
                                      const struct stun_msg *msg, struct turn_packet *packet,
                                      struct turn_forward *ret_forward, usec_t now);

// --- peer_conn.c: connections of TCP allocations -------------------------------------------------

// Whose connection this is; NULL: nobody's.
struct allocation *peer_conn_allocation(const struct turn *turn, uint32_t number);
void peer_conn_drop_family(struct turn *turn, struct allocation *a, enum family family);
void peer_conn_drop_all(struct turn *turn, struct allocation *a);
// The answer that joins it to this client's connection.
void peer_conn_join(struct turn *turn, struct peer_conn *conn, const struct turn_client *client,
                    const uint8_t *answer, size_t len);

// --- reserve.c ---------------------------------------------------------------------------------

struct reservation *reservation_find(const struct turn *turn, uint64_t token);
struct reservation *reservation_new(const char *identity); // NULL without memory
// The port is reserved from now on. Returns 0 or -ENOMEM (then nothing happened).
int reservation_arm(struct turn *turn, struct reservation *r, usec_t now);
int reservation_arm_as(struct turn *turn, struct reservation *r, uint64_t token, usec_t until);
// Unlinks it; its port is the caller's.
void reservation_free(struct turn *turn, struct reservation *r, bool release);
unsigned token_worker(uint64_t token);

// --- mobility.c --------------------------------------------------------------------------------

int mobility_new(struct turn *turn, struct allocation *a); // 0 or -ENOMEM
// With tickets from before a restart: the current one, and the one before until then (0: none).
int mobility_again(struct turn *turn, struct allocation *a, const uint8_t current[TICKET_LEN],
                   const uint8_t before[TICKET_LEN], usec_t until);
const uint8_t *mobility_ticket(const struct allocation *a); // NULL: it is not mobile
void mobility_free(struct turn *turn, struct allocation *a);
// What a request's ticket stands for; NULL if it is unknown.
struct allocation *mobility_find(const struct turn *turn, const struct stun_view *ticket,
                                 usec_t now);
// May the request move this allocation here? 0, HANDED_OVER or an error code.
int mobility_check(struct request *request);
int mobility_announce(struct request *request); // 0 or 508
// The client has sent data from its new address, or lost the old one.
void mobility_arrive(struct turn *turn, struct allocation *a, usec_t now);

// --- guest.c -----------------------------------------------------------------------------------

int guest_hand_over(struct request *request, unsigned worker); // HANDED_OVER or 508
int guest_again(struct turn *turn, const struct turn_client *client, unsigned worker,
                usec_t now); // after a restart; 0 or -ENOMEM
// A message of a guest, which goes where 'ret_forward' says.
void guest_seen(struct turn *turn, struct binding *binding, struct turn_forward *ret_forward,
                usec_t now);
void guest_free(struct turn *turn, struct binding *binding);
unsigned guest_worker(const struct binding *binding);
uint32_t guest_serial(const struct binding *binding); // of its last message

// --- turn.c ------------------------------------------------------------------------------------

static inline void count(struct turn *turn, enum counter id)
{
    counter_add(turn->counters, id, 1);
}

// Drops and counts.
enum turn_action drop(struct turn *turn, enum counter reason);
// To a client; an error costs this message.
void send_to_client(struct turn *turn, const struct turn_client *client, const uint8_t *data,
                    size_t len);
