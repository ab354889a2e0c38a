// SPDX-License-Identifier: ISC
// The signalling: stanzas in, stanzas out, orders to the relay, events from it. It holds the IQ
// router, the addressed door (JIDs that stand for other JIDs, XEP-0106), the diverted one (a server
// hands over what its users send) and the Jingle sessions that pass through them. No sockets, no
// clock: a whole call runs inside a test.
#pragma once

#include "codec/xml.h"
#include "obs/report.h"
#include "relay/calls.h"
#include "relay/relay.h"

enum relay_policy {
    POLICY_FALLBACK,   // the relay's candidate is added, the peers' own stay
    POLICY_RELAY_ONLY, // the peers' own candidates are taken out: neither learns the other's
                       // address
};

// What clients are told of STUN and TURN (XEP-0215, XEP-0278, google:jingleinfo).
struct signal_service {
    const char *type;      // "stun", "stuns", "turn", "turns"
    const char *transport; // "udp", "tcp"
    const char *host;      // name or IP literal
    uint16_t port;
};

struct signal_services {
    const struct signal_service *item; // the most welcome first
    size_t count;                      // 0: TURN is off
    const char *secret;                // of the credentials given out (TURN REST)
    usec_t lifetime;                   // of a credential
};

struct signal_config {         // copied, strings too
    const char *domain;        // of the component
    const char *const *served; // domains whose users may open calls
    size_t served_count;
    enum relay_policy policy;
    bool family_v4, family_v6; // what the relay has
    unsigned candidates_max;   // in one stanza
    uint64_t bytes_per_second; // per call, both directions; 0 = no limit
    usec_t answer_timeout;     // for an IQ that was passed on
    usec_t proposal_timeout;   // XEP-0353: from the last message about it
    struct calls_limits calls;
    usec_t path_silence; // how long the relay waits before it reports silence
    struct signal_services services;
    const char *const *admins; // bare JIDs whose clients may give commands (XEP-0050)
    size_t admin_count;
    const char *const *contact; // URIs at which the operator is reached (XEP-0157)
    size_t contact_count;
};

struct signal_io {
    void *ctx;
    int (*send)(void *ctx, const struct xml *stanza); // borrowed; 0 or -errno
    // 0 or -ENOMEM. Events come later, by signal_event(), never from inside this call.
    int (*order)(void *ctx, const struct order *order);
    void (*random)(void *ctx, void *buf, size_t len);
    // A call is over and the relay has told its last figures.
    void (*ended)(void *ctx, const struct call_report *report, usec_t now);
    // Has the whole daemon room for one more call? CALL_ADMITTED, or why not. NULL: it always has.
    enum call_refusal (*room)(void *ctx, usec_t now);
};

struct signal;

int signal_new(const struct signal_config *config, const struct signal_io *io,
               struct counters *counters, usec_t now, struct signal **ret_signal);
void signal_free(struct signal *signal);

// The wall clock that credentials need (microseconds since 1970), as an offset to 'now'.
void signal_set_clock(struct signal *signal, int64_t wall_minus_now_usec);

void signal_stanza(struct signal *signal, const struct xml *stanza, usec_t now);
void signal_event(struct signal *signal, const struct relay_event *event, usec_t now);
usec_t signal_tick(struct signal *signal, usec_t now); // returns the next deadline

// Another configuration from now on: for what is said and opened from then on; calls that run stay.
// The domain and the families must not change. Clients that follow the credentials (XEP-0215
// section 3.2) are told when services or secret are others. Returns 0 or -ENOMEM (then nothing
// changed).
int signal_reconfigure(struct signal *signal, const struct signal_config *config, usec_t now);

// No new calls from now on; or again.
void signal_drain(struct signal *signal);
void signal_undrain(struct signal *signal);
// Ends a call, or all calls of a user (bare JID, in letters of either case; full: of that client),
// telling both sides the reason. False: there is no such call. Returns how many there were.
bool signal_kick_call(struct signal *signal, uint64_t call, const char *reason, usec_t now);
unsigned signal_kick_user(struct signal *signal, const char *user, const char *reason, usec_t now);
// Ends every call: session-terminate with this reason (XEP-0166 section 7.4) to both sides.
void signal_end_all(struct signal *signal, const char *reason, usec_t now);

// What administrators may ask for over XMPP: verbs, whose arguments are texts and whose answer is
// an object or an error for people.
#define SIGNAL_ARGUMENTS_MAX 2

struct signal_argument {
    const char *name, *help;
    const char *const *words; // what it may be, NULL at the end; NULL: anything
    bool required;
};

struct signal_verb {
    const char *name, *help;
    struct signal_argument argument[SIGNAL_ARGUMENTS_MAX]; // up to the first without a name
    // Its lists are shown as a table of these members ("initiator.jid"), NULL at the end. NULL: all
    // is shown, line by line.
    const char *const *columns;
    bool changes; // something; not only looks
};

struct signal_admin {               // copied; what it points to is borrowed
    const struct signal_verb *verb; // none is called like a namespace
    size_t verbs;
    void *ctx;
    // Answers by signal_admin_answer() with this token, once, from inside or later. 'arguments' is
    // borrowed; NULL: none.
    void (*run)(void *ctx, const struct signal_verb *verb, const json_t *arguments, uint64_t token);
    unsigned (*allocations)(void *ctx); // of TURN, now; NULL: nobody knows
};

// NULL: nobody's commands are taken any more, and none is answered.
void signal_set_admin(struct signal *signal, const struct signal_admin *admin);
// Either 'result' (borrowed, an object) or 'error' is not NULL. A token that is over is ignored.
void signal_admin_answer(struct signal *signal, uint64_t token, const json_t *result,
                         const char *error);
unsigned signal_calls(const struct signal *signal); // running
// Running ones, and those that ended but have not been given to io.ended yet.
unsigned signal_unfinished(const struct signal *signal);
const struct histogram *signal_setup_times(const struct signal *signal);
const struct histogram *signal_divert_times(const struct signal *signal);

// A restart that drops no call: all that a successor needs to go on with every session, channel and
// proposal, and with what was passed on and is not answered yet (codec/state.h). Requests of the
// diverted door that wait for their answer are given back unchanged first (DIVERT.md). A new
// reference, or NULL without memory. Neither a stanza nor an event may come afterwards; orders that
// were given until now must still reach the relay before it is saved.
//
// signal_restore() comes before the first stanza. A session that makes no sense is left out and
// counted. Afterwards signal_keep_paths() is told which paths the relay has still, before any other
// event: what nobody needs any more is closed, what was being opened is opened, and a call that was
// carried by a path that is lost is ended. Returns 0, -ENOMEM or -EPROTONOSUPPORT.
struct kept_path {
    uint64_t call, path;
};

json_t *signal_save(struct signal *signal, usec_t now);
int signal_restore(struct signal *signal, const json_t *state, usec_t now, unsigned *ret_lost);
void signal_keep_paths(struct signal *signal, const struct kept_path *kept, size_t count,
                       usec_t now);

// Gives every running call to 'each', without the relay's views. 'each' may not change anything
// here.
void signal_each_call(const struct signal *signal,
                      void (*each)(void *ctx, const struct call_report *report), void *ctx);
