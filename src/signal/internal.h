// SPDX-License-Identifier: ISC
// What the files of the signalling share. Ownership: struct signal owns sessions, proposals and
// pending IQs; a session owns its contents and the stanzas that wait; contents own transports
// together (a bundle shares one); a transport owns its paths.
#pragma once

#include "base/map.h"
#include "base/timer.h"
#include "codec/jid.h"
#include "codec/jingle.h"
#include "signal/signal.h"

#include <sys/queue.h>

// What may be written to a client (docs/INTEROP.md). The rewriter asks flags, never client names.
enum dialect {
    DIALECT_PLAIN_TRANSPORT = 1 << 0,     // every child of transport is taken for a candidate
    DIALECT_PLAIN_DESCRIPTION = 1 << 1,   // only payload types are understood in a description
    DIALECT_ONE_CONTENT = 1 << 2,         // one content per transport-info
    DIALECT_ONE_CANDIDATE = 1 << 3,       // only the first candidate of a stanza is read
    DIALECT_NO_EARLY_CANDIDATES = 1 << 4, // candidates in initiate and accept are not read
};

struct credentials {
    char *ufrag, *pwd;   // NULL until signalled
    unsigned generation; // 0, 1, ... with every ICE restart
};

struct media_path { // one component, as the relay serves it; owned by its transport
    uint64_t id;
    struct map_node node; // in signal.paths
    struct transport *transport;
    unsigned component;
    bool opened;
    bool silent;
    struct addr relay[SIDE_COUNT][2]; // [side that it faces][0 IPv4, 1 IPv6]
};

struct transport {
    unsigned users; // contents that use it
    struct session *session;
    char *ns;
    enum transport_kind kind;
    struct credentials creds[SIDE_COUNT];
    unsigned offered[SIDE_COUNT]; // generation + 1 in which that side was given our candidates
    bool known;                   // its first offer was taken in
    struct media_path *path[2];   // per component; NULL: not needed, released or failed
    struct candidate_report *seen[SIDE_COUNT];
    unsigned seen_count[SIDE_COUNT];
};

struct content {
    TAILQ_ENTRY(content) link;
    char *name;
    char *media;
    enum side creator;
    unsigned components;
    bool accepted;
    bool mux_offered;
    unsigned serial; // of the stanza that made it
    struct transport *current;
    struct transport *pending; // a transport-replace that waits for its answer
    unsigned pending_serial;   // of the stanza that asked for it
};

struct waiting { // a stanza that waits its turn
    STAILQ_ENTRY(waiting) link;
    enum side from;
    bool prepared;
    struct xml *stanza; // owned
};

struct party {
    char *jid;        // real full JID
    char *proxy;      // the full JID under which the other side knows it
    unsigned dialect; // enum dialect
};

struct session {
    struct call call;        // first: the registry of calls hands it back
    struct map_node node;    // in signal.sessions, by sid, while it runs
    struct map_node id_node; // in signal.ids, until its last figures have come
    struct signal *signal;
    struct relation *relation;
    char *sid;
    struct party party[SIDE_COUNT];
    TAILQ_HEAD(, content) contents;
    STAILQ_HEAD(, waiting) queue;
    unsigned opening; // paths whose answer is awaited
    bool asking;      // the responder's disco#info is awaited
    bool bundled;     // a BUNDLE group was accepted
    bool orphan;      // ended, and the relay could not be asked for its figures
    bool sending;     // the queue is being worked off
    int failure;      // of a path that was awaited
    unsigned serial;  // of stanzas prepared
    char *end_reason;
    usec_t ended;
    struct path_view *view; // the relay's last figures, of a session that ended
    unsigned views;
};

// Two bare JIDs that have calls or proposals between them; freed with the last of these.
struct relation {
    struct map_node node; // in signal.relations
    unsigned users;
    char *a, *b;
};

// A call announced by message (XEP-0353).
struct proposal {
    struct map_node node; // in signal.proposals, by id
    struct timer timer;
    struct relation *relation;
    char *id;
    char *initiator; // real full JID
    char *responder; // real bare JID
    bool listed;     // in signal.proposals
};

enum pending_kind {
    PENDING_FORWARDED, // the answer goes back to who asked
    PENDING_OWN,       // nobody waits for the answer
    PENDING_DIALECT,   // disco#info of the responder
};

#define DIALECT_TIMEOUT (500 * USEC_PER_MSEC) // how long an offer waits for that answer

struct pending {          // an IQ of ours that waits for its answer
    struct map_node node; // in signal.pending, by id
    struct timer timer;
    char id[24];
    enum pending_kind kind;
    char *from;                // real full JID that has to answer
    char *reply_to;            // forwarded: where the answer goes ...
    char *reply_from;          // ... in whose name ...
    char *reply_id;            // ... under which id
    enum jingle_action action; // JINGLE_ACTION_COUNT: no Jingle
    uint64_t call;             // 0: none
    enum side side;            // who sent the original
    unsigned serial;           // of the original
};

struct signal {
    struct signal_config config; // strings owned
    struct signal_io io;
    struct counters *counters;
    struct calls calls;
    struct timers timers;
    struct map sessions, proposals, pending, paths, relations;
    struct map ids; // running and ended sessions, by call id
    unsigned proposal_count, pending_count;
    bool orphans; // some ended session will get no last figures; signal_tick() frees it
    usec_t started;
    uint64_t last_id; // of paths
};

static inline enum side other(enum side side)
{
    return side == SIDE_INITIATOR ? SIDE_RESPONDER : SIDE_INITIATOR;
}

// ---- iq.c: answers, errors, IQs of our own

struct condition { // of a stanza error
    const char *type, *name;
    const char *jingle; // application condition of NS_JINGLE_ERRORS, or NULL
    const char *text;   // or NULL
};

extern const struct condition condition_bad_request, condition_unavailable, condition_forbidden,
    condition_constraint, condition_unknown_session, condition_no_answer, condition_not_found,
    condition_conflict;

void stanza_send(struct signal *signal, struct xml *stanza); // takes it; NULL (no memory) is fine
struct xml *reply_new(const struct xml *iq, const char *type);
void reply_result(struct signal *signal, const struct xml *iq);
void reply_error(struct signal *signal, const struct xml *stanza,
                 const struct condition *condition);
// Like condition, with a text of its own.
void reply_error_text(struct signal *signal, const struct xml *stanza,
                      const struct condition *condition, const char *text);
// Sends an IQ of ours ('iq' is taken, its id is set) and waits for its answer. Returns NULL when it
// could not be sent.
struct pending *iq_ask(struct signal *signal, struct xml *iq, enum pending_kind kind,
                       const struct xml *original, usec_t now);
void iq_answer(struct signal *signal, const struct xml *iq, usec_t now);
void pending_free_all(struct signal *signal);
void iq_request(struct signal *signal, const struct xml *iq, usec_t now);

// ---- disco.c

void disco_info(struct signal *signal, const struct xml *iq, usec_t now);
void disco_items(struct signal *signal, const struct xml *iq, usec_t now);
void answer_ping(struct signal *signal, const struct xml *iq, usec_t now);
void answer_version(struct signal *signal, const struct xml *iq, usec_t now);
void answer_last(struct signal *signal, const struct xml *iq, usec_t now);
// Presence of a JID that stands for another, with the capabilities that callers look for.
struct xml *proxy_presence(const char *from, const char *to);
unsigned dialect_of(const struct xml *disco_query);

// ---- door.c: the addressed door

bool served(const struct signal *signal, const char *jid);
bool is_ours(const struct signal *signal, const char *jid); // component domain
// Real JID behind ours and the other way round, in a buffer of JID_MAX. 0 or -EINVAL.
int real_jid(const struct signal *signal, const char *jid, char buf[JID_MAX]);
int proxy_jid(const struct signal *signal, const char *jid, char buf[JID_MAX]);
// A clone of the stanza from 'from' to one of our JIDs, as its receiver is to see it. NULL: no
// memory or no such JID.
struct xml *readdress(const struct signal *signal, const struct xml *stanza);
// Parties of one proposed or running call, by their bare JIDs.
bool related(const struct signal *signal, const char *a, const char *b);
struct relation *relation_take(struct signal *signal, const char *a,
                               const char *b);                           // NULL: no memory
void relation_release(struct signal *signal, struct relation *relation); // NULL is fine
struct proposal *proposal_find(const struct signal *signal, const char *id, const char *a,
                               const char *b);
void proposal_free(struct signal *signal, struct proposal *proposal);
void door_message(struct signal *signal, const struct xml *message, usec_t now);
void door_presence(struct signal *signal, const struct xml *presence, usec_t now);
void door_disco(struct signal *signal, const struct xml *iq, usec_t now);

// ---- session.c

void session_jingle(struct signal *signal, const struct xml *iq, usec_t now);
void session_answered(struct signal *signal, const struct pending *pending,
                      const struct xml *answer, usec_t now);
void session_dialect(struct signal *signal, uint64_t call, unsigned dialect, usec_t now);
void session_path_event(struct signal *signal, const struct relay_event *event, usec_t now);
void session_work(struct session *session, usec_t now); // the queue, as far as it goes
void session_end(struct session *session, const char *reason, usec_t now);
// session-terminate to both sides, then the end.
void session_terminate(struct session *session, const char *reason, usec_t now);
struct session *session_by_id(const struct signal *signal, uint64_t call);
void session_expired(void *ctx, struct call *call, enum call_timeout timeout, usec_t now);
void session_free(struct session *session);

// ---- report.c

#define REPORT_CONTENTS_MAX 32 // also the most contents that a session may have

void session_report(const struct session *session, struct content_report *content, unsigned max,
                    struct call_report *ret_report);
void session_tell_ended(const struct session *session, usec_t now);

// ---- contents.c: what a stanza says about contents and transports

// Takes in what the stanza offers: contents, credentials, addresses; opens paths. 0 or -errno.
int contents_prepare(struct session *session, enum side from, enum jingle_action action,
                     const struct xml *jingle);
// What an answer settles: accepted contents, mux, bundle, replaced transports, removals.
void contents_apply(struct session *session, enum side from, enum jingle_action action,
                    const struct xml *jingle);
// Takes back what the stanza with this serial had offered.
void contents_undo(struct session *session, unsigned serial);
void contents_free(struct session *session);
struct content *content_find(struct session *session, const struct xml *element);
// The transport that an element of this stanza speaks of: the pending one or the current.
struct transport *content_transport(struct content *content, const struct xml *transport);
// The bookkeeping of a path that the relay has opened or refused.
struct media_path *media_path_find(const struct signal *signal, uint64_t id);
void path_lost(struct signal *signal, struct media_path *path);
// Gives back every path of a call that does not need them.
void contents_close_paths(struct session *session);

// ---- rewrite.c: the stanza as the other side is to see it

// A copy of 'iq' for the other side, readdressed, with the relay's candidates. *ret_empty: nothing
// is left in it that the other side needs; answer it here. NULL: no memory.
struct xml *rewrite(struct session *session, enum side from, enum jingle_action action,
                    const struct xml *iq, bool *ret_empty);
void rewrite_jids(const struct signal *signal, struct xml *jingle);

// ---- split.c: one stanza as several, for clients that read only part of one

// Takes from 'iq' (a transport-info) what 'dialect' would overlook and sends it in IQs of its own.
void split_info(struct session *session, enum side to, struct xml *iq, unsigned dialect,
                usec_t now);
// Sends the candidates of 'iq' (a session-initiate or -accept that was sent) again, one by one.
void repeat_candidates(struct session *session, enum side to, const struct xml *iq, usec_t now);
