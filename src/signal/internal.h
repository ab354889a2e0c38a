// SPDX-License-Identifier: ISC
// What the files of the signalling share. Ownership: struct signal owns sessions, proposals and
// pending IQs; a session owns its contents and the stanzas that wait; contents own transports
// together (a bundle shares one); a transport owns its paths.
#pragma once

#include "base/histogram.h"
#include "base/map.h"
#include "base/timer.h"
#include "codec/jid.h"
#include "codec/jingle.h"
#include "signal/signal.h"

#include <sys/queue.h>

#define GOOGLE_NAME_SIZE 17 // of a candidate's name and its NUL

#define RETRY_DELAY USEC_PER_SEC // for orders that the relay could not be given

// Of one session.
#define SID_MAX     512 // bytes
#define WAITING_MAX 64  // stanzas
#define VIEWS_MAX   64  // of paths

// What may be written to a client (docs/INTEROP.md). The rewriter asks flags, never client names.
enum dialect {
    DIALECT_PLAIN_TRANSPORT = 1 << 0,     // every child of transport is taken for a candidate
    DIALECT_PLAIN_DESCRIPTION = 1 << 1,   // only payload types are understood in a description
    DIALECT_ONE_CONTENT = 1 << 2,         // one content per transport-info
    DIALECT_ONE_CANDIDATE = 1 << 3,       // only the first candidate of a stanza is read
    DIALECT_NO_EARLY_CANDIDATES = 1 << 4, // candidates in initiate and accept are not read
    DIALECT_GENERATION_0 = 1 << 5,        // candidates of another generation are not read
};

struct credentials {
    char *ufrag, *pwd;   // NULL until signalled
    unsigned generation; // 0, 1, ... with every ICE restart
};

struct media_path { // one component, as the relay serves it; owned by its transport
    uint64_t id;
    struct map_node node; // in signal.paths
    struct transport *transport;
    STAILQ_ENTRY(media_path) link; // in signal.unclosed
    uint64_t call;
    unsigned component;
    bool opened;
    bool silent;
    struct addr relay[SIDE_COUNT][2];        // [side that it faces][0 IPv4, 1 IPv6]
    char name[SIDE_COUNT][GOOGLE_NAME_SIZE]; // Google: of our candidate, by the side it faces
};

struct transport {
    unsigned users; // contents that use it
    struct session *session;
    char *ns;
    enum transport_kind kind;
    struct credentials creds[SIDE_COUNT];  // what each side says of itself
    struct credentials before[SIDE_COUNT]; // and said before its last restart
    unsigned restart[SIDE_COUNT];          // serial of the stanza with that restart
    // Generation + 1 of the other's credentials to which our candidates were added.
    unsigned offered[SIDE_COUNT];
    struct addr peer[SIDE_COUNT][2]; // raw: what each side signalled, per component
    bool known;                      // its first offer was taken in
    struct media_path *path[2];      // per component; NULL: not needed, released or failed
    uint64_t path_id[2];             // the last that there was
    struct candidate_report *seen[SIDE_COUNT];
    unsigned seen_count[SIDE_COUNT];
};

struct content {
    TAILQ_ENTRY(content) link;
    char *name;
    char *media;
    enum side creator; // as its first stanza says; some clients always say the same
    unsigned components;
    bool accepted;
    bool early; // not what session-accept accepts (XEP-0166 section 7.2.8)
    bool mux_offered, bundle_offered;
    unsigned serial; // of the stanza that made it
    struct transport *current;
    struct transport *pending; // a transport-replace that waits for its answer
    enum side pending_by;
    unsigned pending_serial; // of the stanza that asked for it
};

struct waiting { // a stanza that waits its turn
    STAILQ_ENTRY(waiting) link;
    enum side from;
    enum jingle_action action;
    bool prepared;
    struct xml *stanza;   // owned
    struct xml *jingle;   // Google's session alone: what it says, translated; owned
    struct xml *envelope; // of the server that has diverted it, empty; owned. NULL: nobody has
    usec_t since;         // when it came
};

struct party {
    char *jid;        // real full JID
    char *proxy;      // the full JID under which the other side knows it
    unsigned dialect; // enum dialect
};

struct session {
    struct call call;        // first: the registry of calls hands it back
    struct map_node node;    // in signal.sessions, by sid and parties, while it runs
    struct map_node id_node; // in signal.ids, until its last figures have come
    struct signal *signal;
    bool diverted;             // servers hand its stanzas over; nothing is readdressed
    struct relation *relation; // NULL: diverted
    char *sid;
    struct party party[SIDE_COUNT];
    TAILQ_HEAD(, content) contents;
    STAILQ_HEAD(, waiting) queue;
    unsigned waiting;      // stanzas in the queue
    struct timer hold;     // ends 'asking'
    bool asking;           // the responder's disco#info is awaited
    struct timer patience; // of the server that waits for an answer
    unsigned opening;      // paths whose answer is awaited
    int failure;           // of the stanza that is at its turn, or of a path that it needs
    bool met;              // the responder knows the session: it has answered the offer, or spoken
    bool bundled;          // a BUNDLE group was accepted
    unsigned serial;       // of stanzas prepared
    char *end_reason;
    usec_t ended;
    struct path_view *view; // the relay's last figures of paths that were given back
    unsigned views;
    unsigned figures; // snapshots that were asked for and have not ended
    struct call_steps steps;
    bool orphan; // ended, and the relay could not be asked
    bool cut;    // a path that carried it was lost in a restart
};

// Two bare JIDs that have calls or proposals between them; freed with the last of these.
struct relation {
    struct map_node node; // in signal.relations
    unsigned users;
    char *a, *b;
};

// A call announced by message (XEP-0353).
struct proposal {
    struct map_node node; // in signal.proposals, by id and parties
    struct timer timer;
    struct relation *relation;
    char *id;
    char *initiator; // real full JID
    char *responder; // real bare JID
    bool unused;     // its turn has not been spent on a session
    bool listed;     // in signal.proposals
};

enum pending_kind {
    PENDING_FORWARDED, // the answer goes back to who asked
    PENDING_OWN,       // nobody waits for the answer
    PENDING_DIALECT,   // disco#info: what may be written to this client
    PENDING_ALIVE,     // disco#info: is it still there
    PENDING_PUSH,      // new credentials
};

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
    enum side side;            // forwarded: who sent the original; else: who is asked
    unsigned serial;           // of the original
    bool restored; // the answer may have come while nobody was there; then no answer is a good one
};

struct dialect_entry; // of one full JID
struct adhoc_session; // of a command

struct signal {
    struct signal_config config; // strings owned
    struct signal_io io;
    struct counters *counters;
    struct calls calls;
    struct signal_admin admin;        // zeros: nobody gives commands
    LIST_HEAD(, adhoc_session) adhoc; // commands under way; see adhoc.c
    unsigned adhoc_count;
    uint64_t adhoc_last; // number
    struct timers timers;
    struct map sessions, proposals, pending, paths, relations;
    struct map ids;                     // running and ended sessions, by call id
    struct map channels;                // running and ended ones, by call id
    struct map listeners;               // clients that get new credentials; see push.c
    STAILQ_HEAD(, media_path) unclosed; // given back, but the relay could not be told
    unsigned proposal_count, pending_count;
    bool orphans;  // some ended session will get no last figures; signal_tick() frees it
    bool stranded; // the same of a channel, or its ports could not be given back
    usec_t started;
    int64_t wall_minus_now; // what credentials count by
    struct histogram divert_times;
    struct map dialects;                      // of clients that were asked; see ask.c
    TAILQ_HEAD(, dialect_entry) dialect_list; // the oldest first
    uint64_t last_id;                         // of paths
    struct echo *echo;                        // the test partner; NULL: there is none
    bool saved;                               // the paths are the successor's: none is closed
};

// One line per call refused, which few read where the daemon has said that it refuses all.
void log_refusal(const char *what, const char *who, enum call_refusal refusal);

// Never 0; the upper half of the numbers marks other snapshots than those of calls.
static inline uint64_t call_id_new(struct signal *signal)
{
    uint64_t id;

    signal->io.random(signal->io.ctx, &id, sizeof id);
    return id >> 1 | 1;
}

// The Jingle element of a stanza, or its translation.
static inline const struct xml *waiting_jingle(const struct waiting *w)
{
    return w->jingle ? w->jingle : jingle_element(w->stanza);
}

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
    condition_tie_break, condition_out_of_order, condition_unsupported;

void stanza_send(struct signal *signal, struct xml *stanza); // takes it; NULL (no memory) is fine
struct xml *reply_new(const struct xml *iq, const char *type);
void reply_result(struct signal *signal, const struct xml *iq);
void reply_error(struct signal *signal, const struct xml *stanza,
                 const struct condition *condition);
// The error that answers 'stanza', for who sends it himself; counted. NULL: no memory.
struct xml *error_new(struct signal *signal, const struct xml *stanza,
                      const struct condition *condition, const char *text);
// Like condition, with a text of its own.
void reply_error_text(struct signal *signal, const struct xml *stanza,
                      const struct condition *condition, const char *text);
// Sends an IQ of ours ('iq' is taken, its id is set) and waits for its answer. Returns NULL when it
// could not be sent.
struct pending *iq_ask(struct signal *signal, struct xml *iq, enum pending_kind kind,
                       const struct xml *original, usec_t now);
// What a client that does not answer must be told of; everything else may be taken as read.
bool iq_needs_answer(enum jingle_action action);
void iq_answer(struct signal *signal, const struct xml *iq, usec_t now);
void pending_free(struct signal *signal, struct pending *pending); // also one on no list
// Waits for its answer until then. 0 or -ENOMEM.
int pending_list(struct signal *signal, struct pending *pending, const char *id, usec_t due);
// No answer has come. Is that as good as one?
bool pending_was_taken(const struct pending *pending);
void pending_free_all(struct signal *signal);
void iq_request(struct signal *signal, const struct xml *iq, usec_t now);

// ---- disco.c: what we say of ourselves, and what clients say

void disco_info(struct signal *signal, const struct xml *iq, usec_t now);
void disco_items(struct signal *signal, const struct xml *iq, usec_t now);
void answer_ping(struct signal *signal, const struct xml *iq, usec_t now);
void answer_version(struct signal *signal, const struct xml *iq, usec_t now);
void answer_last(struct signal *signal, const struct xml *iq, usec_t now);
// Presence of a JID that stands for another, with the capabilities that callers look for.
struct xml *proxy_presence(const char *from, const char *to);
unsigned dialect_of(const struct xml *disco_query);

// ---- services.c: STUN and TURN servers, for clients that ask (more in services.h)

void service_iq(struct signal *signal, const struct xml *iq, usec_t now);

// ---- delegation.c: the same, asked of a server that hands it on

// A served domain itself, who speaks for its users.
bool is_server(const struct signal *signal, const char *jid);
void delegation_iq(struct signal *signal, const struct xml *iq, usec_t now);
void delegation_message(struct signal *signal, const struct xml *message);
// Answers a disco#info about one of our nodes, be it with an error.
struct xml *delegation_disco(struct signal *signal, const struct xml *iq, const char *node);

// ---- push.c: new credentials before the old ones expire

// The answer to this question, which came straight to the component, had credentials.
void push_asked(struct signal *signal, const struct xml *iq, const struct xml *services,
                usec_t now);
void push_presence(struct signal *signal, const struct xml *presence); // to the component
// NULL answer: none came in time.
void push_answered(struct signal *signal, const char *jid, const struct xml *answer);
// The services are others: whoever listens is told now, a few at a time.
void push_all(struct signal *signal, usec_t now);
void push_free_all(struct signal *signal);

// ---- relation.c: who has to do with whom

// Of two JIDs, their resources aside, in either order.
uint64_t relation_hash(const struct signal *signal, const char *a, const char *b);
// Parties of one proposed or running call, by their bare JIDs.
bool related(const struct signal *signal, const char *a, const char *b);
bool relation_is(const struct relation *relation, const char *a, const char *b);
struct relation *relation_take(struct signal *signal, const char *a,
                               const char *b);                           // NULL: no memory
void relation_release(struct signal *signal, struct relation *relation); // NULL is fine
struct proposal *proposal_find(const struct signal *signal, const char *id, const char *a,
                               const char *b);
// NULL: too many of them, or no memory.
struct proposal *proposal_new(struct signal *signal, const char *id, const char *initiator,
                              const char *responder, usec_t now);
void proposal_touch(struct signal *signal, struct proposal *proposal, usec_t now);
void proposal_until(struct signal *signal, struct proposal *proposal, usec_t due);
void proposal_free(struct signal *signal, struct proposal *proposal);

// ---- door.c: the addressed door

bool served(const struct signal *signal, const char *jid);
bool is_ours(const struct signal *signal, const char *jid); // component domain
// Real JID behind ours and the other way round, in a buffer of JID_MAX. 0 or -EINVAL.
int real_jid(const struct signal *signal, const char *jid, char buf[JID_MAX]);
int proxy_jid(const struct signal *signal, const char *jid, char buf[JID_MAX]);
// A clone of the stanza from 'from' to one of our JIDs, as its receiver is to see it. NULL: no
// memory or no such JID.
struct xml *readdress(const struct signal *signal, const struct xml *stanza);
void door_message(struct signal *signal, const struct xml *message, usec_t now);
void door_presence(struct signal *signal, const struct xml *presence, usec_t now);
void door_disco(struct signal *signal, const struct xml *iq, usec_t now);
// The answer to presence of this type ("" for none) that an address which takes calls gives.
void show_face(struct signal *signal, const struct xml *presence, const char *type);

// ---- echo.c: the test partner (more in echo.h)

// Whether 'user' means this full JID: a bare JID means all its clients.
bool jid_is_of(const char *jid, const char *user);
bool echo_is(const struct signal *signal, const struct jid *jid);
void echo_stanza(struct signal *signal, const struct xml *stanza, const struct jid *to, usec_t now);
// All calls, or those of a user (jid_is_of()). Returns how many.
unsigned echo_end(struct signal *signal, const char *user, const char *reason, usec_t now);
void echo_free(struct signal *signal);

// ---- session.c: the life of sessions

struct session *session_by_id(const struct signal *signal, uint64_t call);
// By the real full JIDs of who speaks and who is spoken to.
struct session *session_find(const struct signal *signal, enum call_door door, const char *sid,
                             const char *from, const char *to, enum side *ret_from);
// Some session of these bare JIDs has this sid.
bool session_exists(const struct signal *signal, const char *sid, const char *a, const char *b);
struct session_opening {
    enum call_door door;
    const char *sid;
    const struct xml *iq;  // the session-initiate
    const char *responder; // real full JID
};

// Opens one for a session-initiate; the refusal is counted.
enum call_refusal session_open(struct signal *signal, const struct session_opening *opening,
                               usec_t now, struct session **ret_session);
// One without parties and contents, and its place among the running ones. 0 or -ENOMEM.
struct session *session_blank(struct signal *signal); // NULL: no memory
int session_list(struct session *session);
// Answers what waits, because of this.
void session_turn_back(struct session *session, const char *reason, usec_t now);
void session_end(struct session *session, const char *reason, usec_t now);
void session_tell(struct session *session, enum side to, const char *reason, usec_t now);
// session-terminate to both sides, then the end. A diverted session ends in silence: nobody may
// speak in the names of its parties.
void session_terminate(struct session *session, const char *reason, usec_t now);
void session_accepted(struct session *session, usec_t now);
void session_expired(void *ctx, struct call *call, enum call_timeout timeout, usec_t now);
void session_event(struct signal *signal, const struct relay_event *event, usec_t now);
void session_free(struct session *session);

// ---- exchange.c: stanzas through a session

struct refusal { // why a stanza goes no further
    const struct condition *condition;
    const char *text;    // or NULL: the condition's
    enum counter passed; // counts it when it was diverted, and passes all the same
};

extern const struct refusal refusal_unknown_session;

void session_jingle(struct signal *signal, const struct xml *iq, usec_t now);
// A stanza that a server has diverted; side and action are found out here. Borrowed.
void session_diverted(struct signal *signal, struct waiting *w, usec_t now);
// Answers a stanza with the refusal. What was diverted passes as it is, if it may.
void waiting_refuse(struct signal *signal, const struct waiting *w, const struct refusal *refusal,
                    usec_t now);
void waiting_free(struct waiting *w);
void session_work(struct session *session, usec_t now);      // the queue, as far as it goes
void session_give_back(struct session *session, usec_t now); // to the server that has diverted it
// NULL answer: none came in time.
void session_answered(struct signal *signal, const struct pending *pending,
                      const struct xml *answer, usec_t now);

// ---- ask.c: what the clients say of themselves

// A disco#info to one side, in the name of the other; of a diverted session, in the component's,
// and to users of served domains only. False: it was not sent.
bool session_ask(struct session *session, enum side side, enum pending_kind kind, usec_t now);
void session_ask_dialects(struct session *session, usec_t now);
int session_hold(struct session *session, usec_t until); // the offer; 0 or -ENOMEM
void session_learn_dialect(struct session *session, enum side side, const struct xml *answer,
                           usec_t now);
bool answer_says_gone(const struct xml *answer); // NULL is fine
void dialect_forget(struct signal *signal, const char *jid);
void dialects_free_all(struct signal *signal);

// ---- divert.c: what servers hand over, and what they get back (docs/DIVERT.md)

#define SENT_ON_MAX 128 // stanzas in the place of one

void divert_iq(struct signal *signal, const struct xml *iq, usec_t now);
void divert_gone(struct signal *signal, const struct xml *iq, usec_t now);
// Each answers the server's request for 'w'. What is taken may be NULL when memory is out: then
// nothing is answered, and the server lets the stanza pass when its patience ends.
// 'copy', and what stands below 'rest' (or NULL), go in the place of the original; both taken.
void divert_send_on(struct signal *signal, const struct waiting *w, struct xml *copy,
                    struct xml *rest, usec_t now);
void divert_answer(struct signal *signal, const struct waiting *w, struct xml *reply, usec_t now);
void divert_refuse(struct signal *signal, const struct waiting *w, const struct refusal *refusal,
                   usec_t now);

// ---- channel.c: the life of channels (XEP-0278)

struct channel {
    struct call call;     // first: the registry of calls hands it back
    struct map_node node; // in signal.channels, by call id, until its last figures have come
    struct signal *signal;
    struct xml *request; // owned, until it is answered
    char *requester;     // full JID
    char id[20];         // as the client knows it
    uint64_t path[2];    // of RTP and RTCP
    bool open[2];        // the relay was told to open it, and not to close it
    bool ready[2], silent[2];
    struct addr port[SIDE_COUNT]; // of RTP, as the requester and the other party are told them
    usec_t answered, ended;       // 0: not yet
    const char *end_reason;
    struct path_view view[2]; // the relay's last figures
    unsigned views;
    struct call_steps steps;
    bool figures; // were asked for and have not come
};

struct channel *channel_by_id(const struct signal *signal, uint64_t call);
// Opens one for the request, which is answered when its ports are open, or refused.
void channel_open(struct signal *signal, const struct xml *request, usec_t now);
void channel_end(struct channel *channel, const char *reason, usec_t now);
void channel_expired(struct channel *channel, enum call_timeout timeout, usec_t now);
void channel_event(struct channel *channel, const struct relay_event *event, usec_t now);
void channel_free(struct channel *channel);
int channel_list(struct channel *channel); // 0 or -ENOMEM
// It has ended: tells so, with the figures that have come.
void channel_finish(struct channel *channel, usec_t now);
void channel_path_lost(struct channel *channel, int component, usec_t now);
// Tells the relay what it could not be told. False: it still cannot be.
bool channels_close_rest(struct signal *signal, usec_t now);
void channel_report(const struct channel *channel, struct content_report *content,
                    struct call_report *ret_report);

// ---- nodes.c: what XEP-0278 asks for

// Services and TURN credentials are asked of services.c.
void nodes_channel(struct signal *signal, const struct xml *iq, usec_t now);
// The answer to a request for a channel: its ports, or why there are none.
void nodes_opened(const struct channel *channel);
void nodes_failed(const struct channel *channel, const char *text);

// ---- report.c

#define REPORT_CONTENTS_MAX 32 // also the most contents that a session may have

void session_report(const struct session *session, struct content_report *content, unsigned max,
                    struct call_report *ret_report);
void session_tell_ended(const struct session *session, usec_t now);
// What happened, for people; at most CALL_STEPS_MAX of it is kept. SIDE_COUNT: the relay did it.
void note_step(struct call_steps *steps, enum call_step_kind kind, enum side side, usec_t now);
void note_stanza(struct call_steps *steps, enum side side, enum jingle_action action, usec_t now);
void note_event(struct call_steps *steps, const struct relay_event *event, usec_t now);

// ---- transport.c: transports and their paths

struct transport *transport_new(struct session *session, const struct xml *element); // or NULL
void transport_release(struct transport *transport); // NULL is fine; closes the paths of the last
// Takes in what a transport element says: credentials, raw addresses; opens the paths that it
// needs. 0 or -errno.
int transport_learn(struct transport *transport, enum side from, const struct xml *element,
                    unsigned components);
// Takes back the restart that came with this stanza.
void transport_undo(struct transport *transport, unsigned serial);
// Raw: from now on media are expected, from where the sides have signalled.
void transport_expect_media(struct transport *transport);
void transport_close_path(struct transport *transport, unsigned component);
// Tells the relay what it could not be told. False: it still cannot be.
bool transport_close_rest(struct signal *signal);
struct media_path *media_path_find(const struct signal *signal, uint64_t id);
void media_path_lost(struct signal *signal, struct media_path *path); // closed or refused
// It is complete: makes it known. 0 or -ENOMEM, and then it is freed.
int media_path_list(struct media_path *path);
int media_path_reopen(struct media_path *path); // the order has got lost; 0 or -ENOMEM
// Without a word to the relay. NULL is fine.
void transport_forget_paths(struct transport *transport);
// Is this one of the relay's addresses that this side is offered?
bool transport_owns(const struct transport *transport, enum side to, const struct addr *addr);
// Has this side said the same before?
bool transport_said(const struct transport *transport, enum side from, const struct xml *element);

// ---- contents.c: the contents of a session

// Takes in what the stanza offers: contents, credentials, addresses; opens paths. 0, -EBADMSG
// (malformed), -E2BIG (too many contents), -EPROTONOSUPPORT (a transport that the policy cannot
// carry), -EALREADY (crosses the initiator's own of the same kind), -ENOMEM.
int contents_prepare(struct session *session, enum side from, enum jingle_action action,
                     const struct xml *jingle);
// Takes back what the stanza with this serial had offered.
void contents_undo(struct session *session, unsigned serial);
void contents_free(struct session *session);
void content_drop(struct session *session, struct content *content);
struct content *content_find(struct session *session, const struct xml *element);
// The transport that an element of such a stanza speaks of: the pending one or the current.
struct transport *content_transport(struct content *content, enum jingle_action action,
                                    const struct xml *transport);
bool contents_have_paths(const struct session *session);
// Is this one of the relay's addresses that this side is offered?
bool contents_own(const struct session *session, enum side to, const struct addr *addr);
bool contents_silent(const struct session *session); // no path carries anything
// ICE may have found a direct path: the paths can be given back, and a restart opens new ones.
bool contents_can_go_direct(const struct session *session);
void contents_close_paths(struct session *session);
// Is this content in a BUNDLE group of the stanza?
bool bundle_has(const struct xml *jingle, const char *name);

// ---- settle.c

// What an answer settles: accepted contents, mux, bundle, replaced transports, removals.
void contents_settle(struct session *session, enum side from, enum jingle_action action,
                     const struct xml *jingle);

// ---- rewrite.c: the stanza as the other side is to see it

// A copy of 'iq' for the other side, readdressed, with the relay's candidates. *ret_empty: nothing
// is left in it that the other side needs; answer it here. NULL: no memory.
struct xml *rewrite(struct session *session, enum side from, enum jingle_action action,
                    const struct xml *iq, bool *ret_empty);
// The answer to a Jingle IQ of the other side, in place. 0 or -ENOMEM.
int rewrite_answer(const struct signal *signal, struct xml *answer);

// A copy without what is not to be told, which is all that Google's session needs beside its
// candidates: it is diverted only. NULL: no memory.
struct xml *rewrite_rest(const struct session *session, enum side from, const struct xml *iq);

// ---- google.c: Google's transport and session

void google_invent_name(struct signal *signal, char name[GOOGLE_NAME_SIZE]);
// NULL: no such IQ, or no memory. The session may be NULL: it is to be opened.
struct xml *google_translate(const struct session *session, const struct xml *iq);
// rewrite() for an IQ that was translated.
struct xml *google_rewrite(struct session *session, const struct waiting *w, bool *ret_empty);
// Our candidates, into the element, where the original has some. 0 or -1: no memory.
int google_offer(const struct transport *transport, enum side to, const struct xml *original,
                 struct xml *element);

// ---- split.c: one stanza as several, for clients that read only part of one

// Moves from 'iq' into IQs of their own, below 'rest', what 'dialect' would overlook.
int split_info(struct xml *iq, unsigned dialect, struct xml *rest);
// The candidates of 'iq' (a session-initiate or -accept) again, one by one, below 'rest'.
int split_repeat(const struct xml *iq, struct xml *rest);
// Leaves at most 'max' of the IQs below 'rest': without the last of those that bring none of the
// relay's own candidates for this side.
void split_bound(const struct session *session, enum side to, struct xml *rest, unsigned max);
