// SPDX-License-Identifier: ISC
// THE CORE: ports, paths, latching, forwarding. One struct relay per worker, no globals, no locks,
// no I/O: time is an argument, sockets and randomness are a table of functions, and a whole call
// runs inside a test on virtual time. It knows neither XMPP nor threads.
//
// A path is one component of one content of a call: two legs, each with a port per address family.
// What an authorised source of leg A sends to a port of leg A leaves from a port of leg B for the
// selected source of leg B, unchanged.
//
// The invariant (checked by relay_check()): nothing is sent to an address that has not proved
// itself, and nothing is forwarded from one that has not.
//
// Orders come in by relay_order(), events go out by io.event. Opening a path is asynchronous by
// contract: the answer is always an event, sometimes later, and may be a failure.
#pragma once

#include "base/addr.h"
#include "base/counter.h"
#include "base/usec.h"
#include "codec/demux.h"
#include "codec/rtp.h"
#include "relay/offload.h"

#include <jansson.h>
#include <stdbool.h>

#define PATH_SOURCES_MAX 8   // proved sources per leg
#define PATH_SSRC_MAX    4   // streams whose quality is followed per leg
#define ICE_UFRAG_MAX    256 // RFC 8445 section 5.3
#define ICE_PWD_MAX      256
#define GOOGLE_NAME_MAX  64 // libjingle's have 16

enum side { SIDE_INITIATOR = 0, SIDE_RESPONDER = 1, SIDE_COUNT = 2 };

enum path_mode {
    PATH_ICE,     // sources prove themselves by connectivity checks (RFC 8445 section 7.3)
    PATH_RAW,     // XEP-0177: the signalled address, or the first consistent RTP source
    PATH_CHANNEL, // XEP-0278: nothing is signalled; two sources that fit each other (channel.c)
    PATH_GOOGLE,  // Google's transport: checks by name, without a password (google.c)
};

enum order_kind {
    ORDER_OPEN,        // answered by EVENT_OPENED or EVENT_FAILED
    ORDER_CREDENTIALS, // ICE: what 'side' says its ufrag and pwd are; new values start a new
                       // generation. Google: ufrag is the name that the relay's candidate has
                       // towards 'side', of at most GOOGLE_NAME_MAX bytes; known to nobody else
    ORDER_PEER,        // raw: the address that 'side' signalled; opens its learning window.
                       // Google: one of several (port 0: none); opens the windows of both sides,
                       // and a new one lets another source of 'side' in
    ORDER_CLOSE,       // no event; unknown paths are ignored
    ORDER_SNAPSHOT, // answered by one EVENT_SNAPSHOT per path of the call, then EVENT_SNAPSHOT_END;
                    // call 0: every path
};

struct order {
    enum order_kind kind;
    uint64_t call;
    uint64_t path; // chosen by the caller, unique in the process
    enum side side;
    union {
        struct {
            enum path_mode mode;
            bool family_v4[SIDE_COUNT]; // families wanted per side; at least one per side
            bool family_v6[SIDE_COUNT];
            // Raw and channel, component 2: the path of component 1 of the same call, else 0. Of a
            // channel, component 1 gets even ports and component 2 the ones behind them.
            uint64_t rtp_path;
            uint64_t bytes_per_second; // for the whole call, both directions; 0 = no limit
            // ICE, where ports are shared (relay_share()): its component, and whether it is to have
            // ports of its own all the same. Another path of the call with the same names at both
            // sides and the same component must.
            unsigned component;
            bool own_ports;
        } open;
        struct {
            char ufrag[ICE_UFRAG_MAX + 1];
            char pwd[ICE_PWD_MAX + 1];
        } credentials;
        struct addr peer;
        uint64_t token; // of a snapshot: returned with its events
    } u;
};

struct quality_view {
    uint32_t ssrc;
    uint32_t clock_rate; // Hz, guessed; 0: not known
    uint64_t received, lost, reordered, duplicates;
    usec_t jitter, longest_gap;
};

struct source_view {
    struct addr addr;
    enum family port_family; // the relay port that it uses
    bool selected, verified; // verified: answered a check of the relay's own, or was the first
    usec_t last_seen;
};

struct leg_view {
    struct addr port[2]; // advertised; [0] IPv4, [1] IPv6; family NONE if not opened
    struct source_view source[PATH_SOURCES_MAX];
    unsigned sources;
    uint64_t packets_in, bytes_in; // accepted from the client; 'refused' ones are not among them
    uint64_t packets_out, bytes_out;
    uint64_t media_in;  // of packets_in: RTP
    uint64_t refused;   // datagrams not forwarded, whatever the reason
    uint64_t checks_in; // authentic Binding requests
    usec_t first_check, last_check, first_media, last_media; // 0: never
    usec_t rtt;     // relay to client and back, from the last check that passed; 0: unknown
    unsigned moves; // selected source changed after the first selection
    bool offloaded; // the kernel forwards what arrives here; the figures include its own
    struct quality_view quality[PATH_SSRC_MAX];
    unsigned qualities;
};

struct path_view {
    uint64_t call, path;
    enum path_mode mode;
    usec_t opened;
    struct leg_view leg[SIDE_COUNT];
};

enum event_kind {
    EVENT_OPENED,   // u.opened: what to advertise to each side
    EVENT_FAILED,   // error: -EMFILE no port is left, -ENOMEM, or what bind said
    EVENT_CHECKED,  // the first authentic check of 'side'
    EVENT_SELECTED, // u.addr is the selected source of 'side' now
    EVENT_MEDIA,    // the first RTP, RTCP or DTLS forwarded from 'side' (channel: the first packet
                    // of any kind once it is latched); and again after a silence that was reported
    EVENT_SILENT,   // the path forwarded nothing for limits.silence
    EVENT_SNAPSHOT, // u.view, valid during the call only
    EVENT_SNAPSHOT_END,
};

struct relay_event {
    enum event_kind kind;
    uint64_t call, path;
    enum side side;
    int error;
    uint64_t token;
    union {
        struct addr opened[SIDE_COUNT][2]; // [side][0 IPv4, 1 IPv6]; advertised addresses
        struct addr addr;
        const struct path_view *view;
    } u;
};

struct port; // one bound socket of a leg; opaque, stable until io.unbind

// The world. 'ctx' is what relay_new() got.
struct relay_io {
    // Binds a UDP socket and hands what arrives there to relay_recv() with 'port'.
    // Returns 0 or -errno (-EADDRINUSE: another port is tried).
    int (*bind)(void *ctx, const struct addr *local, struct port *port, void **ret_socket);
    void (*unbind)(void *ctx, void *socket);
    // Queues a datagram; 'data' must be copied or sent before this returns. Used for what is not an
    // answer to the packet in hand. Returns 0 or -errno; an error costs that datagram only.
    int (*send)(void *ctx, void *socket, const struct addr *to, const uint8_t *data, size_t len,
                uint8_t tos);
    void (*event)(void *ctx, const struct relay_event *event); // must not call back into the relay
    void (*random)(void *ctx, void *buf, size_t len);
};

struct relay_limits {
    usec_t quarantine;      // a released port is not given out again for so long
    usec_t silence;         // EVENT_SILENT after so long without a forwarded packet; 0 = never
    usec_t learning_window; // raw: how long a first source may present itself after ORDER_PEER
    unsigned paths;         // most paths open at once; 0 = no limit
};

struct relay_config {
    struct addr bind[2];         // [0] IPv4, [1] IPv6; family NONE: the relay has no such address
    struct addr advertise[2];    // what clients are told; equal to bind but for a 1:1 NAT
    uint16_t port_min, port_max; // inclusive
    unsigned share, shares;      // this worker uses ports with (port / 2) % shares == share
    struct prefix_list
        allow; // special-purpose ranges that may be destinations all the same; borrowed
    struct relay_limits limits;
};

struct relay; // owns paths, which own legs, which own ports

// Returns 0, -ENOMEM, or -EINVAL (no address, empty port range). io and config are copied; allow's
// items are borrowed.
int relay_new(const struct relay_config *config, const struct relay_io *io, void *ctx,
              struct counters *counters, struct relay **ret_relay);
void relay_free(struct relay *relay); // unbinds every port; no events

// Who forwards established flows without the core; before the first order. Copied.
void relay_set_offload(struct relay *relay, const struct offload_io *offload);

// Other limits and destinations from now on; 'allow's items are borrowed. Paths that are open keep
// their learning windows; ports that rest are kept for as long as was meant when they were
// released.
void relay_set_limits(struct relay *relay, const struct relay_limits *limits,
                      const struct prefix_list *allow);

// Takes an order. Errors reach the caller as events.
void relay_order(struct relay *relay, const struct order *order, usec_t now);

struct packet {
    uint8_t *data;
    size_t len;
    uint8_t tos; // DSCP and ECN as received; leaves with the packet
};

enum verdict {
    VERDICT_FORWARD,   // send the datagram from 'out' to 'to'
    VERDICT_CONSUME,   // it was for the relay itself
    VERDICT_DROP,      // counted by reason
    VERDICT_ELSEWHERE, // of a shared port: of no path; whoever shares it may look at it
};

struct forward {
    void *socket; // from io.bind
    struct addr to;
};

// Decides about one datagram that arrived at 'port' from 'from'. 'ret_forward' is written only with
// VERDICT_FORWARD. Never frees a port, so a burst may hold several.
enum verdict relay_recv(struct relay *relay, struct port *port, const struct addr *from,
                        const struct packet *packet, struct forward *ret_forward, usec_t now);

// From now on ICE paths use this one port, bound to config.bind of the family, instead of ports of
// their own; several relays may not share it. Before the first order.
void relay_share(struct relay *relay, enum family family, uint16_t port, void *socket);

// The same for a datagram that arrived at the shared port of its family. It belongs to the path
// that its USERNAME names, whose check it answers, or whose source it comes from (shared.c).
enum verdict relay_recv_shared(struct relay *relay, const struct addr *from,
                               const struct packet *packet, struct forward *ret_forward,
                               usec_t now);

// Numbers of the same pool for others who bind sockets of their own (TURN), so that two users never
// get one port. They count as used until they are taken back, and rest in quarantine then.
enum port_parity {
    PORT_ANY,
    PORT_EVEN,
    PORT_PAIR, // an even port and the next one
};

struct lent_port {
    struct addr bind, advertise; // the same number; not 'bind' where a 1:1 NAT is in between
};

// 'ret_port' has two places with PORT_PAIR. Returns 0, -EMFILE (none is free) or -EAFNOSUPPORT (the
// relay has no address of this family). Who finds the number taken by another program takes it
// back and borrows another.
int relay_lend(struct relay *relay, enum family family, enum port_parity parity,
               struct lent_port *ret_port, usec_t now);
void relay_take_back(struct relay *relay, const struct lent_port *port, usec_t now);
// After a restart: this very number again. Returns 0, -EADDRINUSE, -ENOENT (not one of this
// relay's) or -EAFNOSUPPORT.
int relay_lend_again(struct relay *relay, enum family family, uint16_t number,
                     struct lent_port *ret_port, usec_t now);

// A restart that drops no call. relay_save() says all that a successor needs to go on with every
// path (codec/state.h): credentials, proved and selected sources, ids that may not prove anything
// again, learning windows, figures, ports in quarantine. What the kernel forwards is taken back
// first. A new reference, or NULL without memory; nothing may arrive afterwards.
//
// relay_restore() comes before the first order, into a relay of the same share of the ports: each
// port is bound anew by io.bind, which may hand out the socket that was left open. A path whose
// ports cannot be had, or that makes no sense, is left out, counted in ret_lost, and no event tells
// of it; those that live on are told by EVENT_OPENED, whatever is returned: 0, -ENOMEM (there was
// none for some of the lost), or -EPROTONOSUPPORT (another version; then nothing was restored). The
// time between the two counts for nobody's silence. Ports that were lent rest like those that were
// given back, but for relay_lend_again().
json_t *relay_save(struct relay *relay, usec_t now);
int relay_restore(struct relay *relay, const json_t *state, usec_t now, unsigned *ret_lost);

// What follows from the passing of time. Returns when to call again, or USEC_NEVER.
usec_t relay_tick(struct relay *relay, usec_t now);

// Asserts every invariant of the structures (tests call it after each step): ports in use equal the
// ports of paths; no selected source unproved; pools add up. Returns NULL or what is wrong.
const char *relay_check(const struct relay *relay);
