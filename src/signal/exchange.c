// SPDX-License-Identifier: ISC
// Stanzas through a session. They are worked off one after the other, each when the paths that it
// needs are open, so that their order stays; what the initiator trickles waits until the responder
// has met the session, because some clients refuse it before. Only the end waits for nothing.
#include "internal.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SID_MAX      512
#define WAITING_MAX  64                    // stanzas of one session
#define HOLD_TIMEOUT (500 * USEC_PER_MSEC) // how long an offer waits for the disco#info

// ---- asking the clients

void session_ask(struct session *session, enum side side, enum pending_kind kind, usec_t now)
{
    struct xml *iq = xml_new("iq", NS_CLIENT);
    struct pending *pending;

    if (!iq || !xml_add(iq, "query", NS_DISCO_INFO) || xml_set(iq, "type", "get") ||
        xml_set(iq, "from", session->party[other(side)].proxy) ||
        xml_set(iq, "to", session->party[side].jid)) {
        xml_free(iq);
        return;
    }
    pending = iq_ask(session->signal, iq, kind, NULL, now);
    if (!pending)
        return;
    pending->call = session->call.id;
    pending->side = side;
}

static void hold_expired(struct timer *timer, void *ctx, usec_t now)
{
    struct session *session = container_of(timer, struct session, hold);

    (void)ctx;
    session->asking = false;
    session_work(session, now);
}

// What may be written to whom: the responder is asked before it gets the offer, which waits a
// little for the answer.
static void ask_dialects(struct session *session, usec_t now)
{
    session_ask(session, SIDE_RESPONDER, PENDING_DIALECT, now);
    session_ask(session, SIDE_INITIATOR, PENDING_DIALECT, now);
    session->hold.fire = hold_expired;
    session->asking = timer_arm(&session->signal->timers, &session->hold, now + HOLD_TIMEOUT) == 0;
}

static void learn_dialect(struct session *session, enum side side, const struct xml *answer,
                          usec_t now)
{
    const struct xml *query = answer ? xml_child(answer, "query", NS_DISCO_INFO) : NULL;

    if (query)
        session->party[side].dialect |= dialect_of(query);
    if (side != SIDE_RESPONDER || !session->asking)
        return;
    session->asking = false;
    timer_cancel(&session->signal->timers, &session->hold);
    session_work(session, now);
}

// The server answers for a client that is gone (RFC 6121 section 8.5.3.2.3) with one of these; a
// client that is there answers with a result, or is slow.
static bool says_gone(const struct xml *answer)
{
    static const char *const conditions[] = {"service-unavailable", "recipient-unavailable",
                                             "item-not-found", "gone", "remote-server-not-found"};
    const struct xml *error = answer ? xml_child(answer, "error", NULL) : NULL;

    for (size_t i = 0; error && i < sizeof conditions / sizeof conditions[0]; i++) {
        if (xml_child(error, conditions[i], NS_STANZAS))
            return true;
    }
    return false;
}

// ---- refusing

static const struct refusal {
    int error;
    const struct condition *condition;
    const char *text;
} refusals[] = {
    {-EBADMSG, &condition_bad_request,
     "a content needs a name, credentials have at most 256 bytes, a raw candidate needs an IP "
     "address, a port of 1..65535 and component 1 or 2"},
    {-E2BIG, &condition_constraint, "more contents than a session may have"},
    {-EPROTONOSUPPORT, &condition_unsupported,
     "the relay hides addresses, and cannot carry this transport"},
    {-EALREADY, &condition_tie_break, "the initiator has asked for a replacement at the same time"},
};

// Neither the client's fault nor its request's: the relay has no path for it.
static void refuse_for_relay(struct session *session, const struct waiting *w, int error)
{
    bool memory = error == -ENOMEM, ports = error == -EMFILE;
    enum call_refusal refusal = memory ? CALL_REFUSED_MEMORY : CALL_REFUSED_PORTS;
    const char *text =
        memory || ports ? call_refusal_text(refusal) : "a relay port cannot be opened";

    calls_count_refusal(&session->signal->calls, refusal);
    log_warning("%s of %s refused: %s (%s)", jingle_action_name(w->action),
                session->party[w->from].jid, text, strerror(-error));
    reply_error_text(session->signal, w->stanza, &condition_constraint, text);
}

static void refuse(struct session *session, const struct waiting *w, int error, usec_t now)
{
    const struct refusal *found = NULL;

    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (refusals[i].error == error)
            found = &refusals[i];
    }
    if (found)
        reply_error_text(session->signal, w->stanza, found->condition, found->text);
    else
        refuse_for_relay(session, w, error);
    contents_undo(session, session->serial);
    if (w->action == JINGLE_SESSION_INITIATE)
        session_end(session, "refused", now);
}

// XEP-0166 section 10: "The request cannot occur at this point in the state machine".
static bool out_of_order(const struct session *session, enum side from, enum jingle_action action)
{
    if (action == JINGLE_SESSION_INITIATE)
        return session->serial > 0;
    if (action == JINGLE_SESSION_ACCEPT)
        return from != SIDE_RESPONDER || session->call.state != CALL_RINGING;
    return false;
}

// ---- passing on

static const char *terminate_reason(const struct xml *jingle)
{
    const struct xml *reason = xml_child(jingle, "reason", NULL);
    const struct xml *condition = reason ? xml_child(reason, NULL, NULL) : NULL;

    return condition ? condition->name : "terminated";
}

// What has passed moves the call.
static void forwarded(struct session *session, const struct waiting *w, usec_t now)
{
    if (w->action == JINGLE_SESSION_INITIATE)
        call_ringing(&session->signal->calls, &session->call, now);
    else if (w->action == JINGLE_SESSION_ACCEPT)
        session_accepted(session, now);
    else if (w->action == JINGLE_SESSION_TERMINATE)
        session_end(session, terminate_reason(xml_child(w->stanza, "jingle", NS_JINGLE)), now);
}

// What the receiver would overlook in 'iq', as IQs of their own below a parent; NULL if nothing.
static struct xml *overlooked(struct xml *iq, unsigned dialect, enum jingle_action action)
{
    bool offers = action == JINGLE_SESSION_INITIATE || action == JINGLE_SESSION_ACCEPT;
    unsigned limits = offers ? DIALECT_NO_EARLY_CANDIDATES
                      : action == JINGLE_TRANSPORT_INFO
                          ? DIALECT_ONE_CONTENT | DIALECT_ONE_CANDIDATE
                          : 0;
    struct xml *rest = dialect & limits ? xml_new("rest", NS_CLIENT) : NULL;
    int r = 0;

    if (rest)
        r = offers ? split_repeat(iq, rest) : split_info(iq, dialect, rest);
    if (r < 0)
        log_warning("memory is exhausted: a client does not get all candidates");
    return rest;
}

static void send_rest(struct session *session, struct xml *rest, usec_t now)
{
    struct xml *iq;

    while (rest && (iq = xml_child(rest, NULL, NULL))) {
        xml_detach(iq);
        (void)iq_ask(session->signal, iq, PENDING_OWN, NULL, now);
    }
    xml_free(rest);
}

static bool pass_on(struct session *session, const struct waiting *w, struct xml *copy, usec_t now)
{
    unsigned dialect = session->party[other(w->from)].dialect;
    struct xml *rest = overlooked(copy, dialect, w->action);
    struct pending *pending = iq_ask(session->signal, copy, PENDING_FORWARDED, w->stanza, now);

    if (!pending) {
        xml_free(rest);
        return false;
    }
    pending->action = w->action;
    pending->call = session->call.id;
    pending->side = w->from;
    pending->serial = session->serial;
    send_rest(session, rest, now);
    return true;
}

static void forward(struct session *session, const struct waiting *w, usec_t now)
{
    const struct xml *jingle = xml_child(w->stanza, "jingle", NS_JINGLE);
    bool empty = false;
    struct xml *copy;

    contents_settle(session, w->from, w->action, jingle);
    copy = rewrite(session, w->from, w->action, w->stanza, &empty);
    if (copy && empty) {
        xml_free(copy);
        reply_result(session->signal, w->stanza);
        return;
    }
    if (copy && pass_on(session, w, copy, now)) {
        forwarded(session, w, now);
        return;
    }
    reply_error(session->signal, w->stanza, &condition_constraint);
    contents_undo(session, session->serial);
    if (w->action == JINGLE_SESSION_INITIATE || w->action == JINGLE_SESSION_TERMINATE)
        session_end(session, "memory is exhausted", now);
}

// ---- the queue

static void prepare(struct session *session, struct waiting *w)
{
    const struct xml *jingle = xml_child(w->stanza, "jingle", NS_JINGLE);

    session->failure = contents_prepare(session, w->from, w->action, jingle);
    w->prepared = true;
}

static struct waiting *next_waiting(struct session *session)
{
    struct waiting *w;

    while ((w = STAILQ_FIRST(&session->queue)) && !w->prepared &&
           out_of_order(session, w->from, w->action)) {
        reply_error(session->signal, w->stanza, &condition_out_of_order);
        STAILQ_REMOVE_HEAD(&session->queue, link);
        session->waiting--;
        xml_free(w->stanza);
        free(w);
    }
    return w;
}

void session_work(struct session *session, usec_t now)
{
    struct waiting *w;

    while (session->call.state != CALL_ENDED && (w = next_waiting(session))) {
        if (!w->prepared && w->action != JINGLE_SESSION_INITIATE && !session->met)
            return;
        if (!w->prepared)
            prepare(session, w);
        if (session->failure == 0 && (session->opening > 0 || session->asking))
            return;
        STAILQ_REMOVE_HEAD(&session->queue, link);
        session->waiting--;
        if (session->failure)
            refuse(session, w, session->failure, now);
        else
            forward(session, w, now);
        session->failure = 0;
        xml_free(w->stanza);
        free(w);
    }
}

static void enqueue(struct session *session, enum side from, enum jingle_action action,
                    const struct xml *iq, usec_t now)
{
    struct waiting *w = session->waiting < WAITING_MAX ? calloc(1, sizeof *w) : NULL;

    if (w)
        w->stanza = xml_clone(iq);
    if (!w || !w->stanza) {
        free(w);
        reply_error(session->signal, iq, &condition_constraint);
        if (action == JINGLE_SESSION_INITIATE)
            session_end(session, "memory is exhausted", now);
        return;
    }
    w->from = from;
    w->action = action;
    session->met |= from == SIDE_RESPONDER;
    STAILQ_INSERT_TAIL(&session->queue, w, link);
    session->waiting++;
    session_work(session, now);
}

// "As soon as an entity sends a session-terminate action, it MUST consider the session to be in the
// ENDED state" (XEP-0166 section 6.7): it overtakes what waits.
static void terminate(struct session *session, enum side from, const struct xml *iq, usec_t now)
{
    struct waiting w = {.from = from, .action = JINGLE_SESSION_TERMINATE};

    if (session->call.state == CALL_SETUP) { // the responder knows nothing of it
        reply_result(session->signal, iq);
        session_end(session, terminate_reason(xml_child(iq, "jingle", NS_JINGLE)), now);
        return;
    }
    w.stanza = xml_clone(iq);
    if (w.stanza) {
        forward(session, &w, now);
        xml_free(w.stanza);
        return;
    }
    reply_error(session->signal, iq, &condition_constraint);
    session_end(session, "memory is exhausted", now);
}

// ---- requests

static void initiate(struct signal *signal, const struct xml *iq, const char *sid,
                     const char *responder, usec_t now)
{
    const char *from = xml_attr(iq, "from");
    enum call_refusal refusal;
    struct session *session;

    if (!served(signal, from)) {
        reply_error_text(signal, iq, &condition_forbidden,
                         "calls may be opened by users of the served domains only");
        return;
    }
    refusal = session_open(signal, sid, iq, responder, now, &session);
    if (refusal != CALL_ADMITTED) {
        log_warning("call of %s refused: %s", from, call_refusal_text(refusal));
        reply_error_text(signal, iq, &condition_constraint, call_refusal_text(refusal));
        return;
    }
    ask_dialects(session, now);
    enqueue(session, SIDE_INITIATOR, JINGLE_SESSION_INITIATE, iq, now);
}

// What is wrong with a request whatever its session; NULL if nothing.
static const char *malformed(const struct signal *signal, const struct xml *jingle,
                             enum jingle_action action)
{
    const char *sid = xml_attr(jingle, "sid");

    if (action == JINGLE_ACTION_COUNT)
        return "the action is none of XEP-0166 section 7.2";
    if (!sid || !*sid || strlen(sid) > SID_MAX)
        return "a sid of 1 to 512 bytes is needed";
    if (jingle_count_candidates(jingle) > signal->config.candidates_max)
        return "more candidates in one stanza than limits.stanza_candidates";
    if ((action == JINGLE_SESSION_INITIATE || action == JINGLE_SESSION_ACCEPT) &&
        !xml_child(jingle, "content", NULL))
        return "an offer or its acceptance needs a content";
    return NULL;
}

// A request for a session that exists.
static void request(struct session *session, enum side from, enum jingle_action action,
                    const struct xml *iq, usec_t now)
{
    struct signal *signal = session->signal;

    if (from == SIDE_RESPONDER && session->call.state == CALL_SETUP)
        reply_error(signal, iq, // it cannot know of the session yet: it guessed the sid, or calls
                    action == JINGLE_SESSION_INITIATE ? &condition_tie_break
                                                      : &condition_unknown_session);
    else if (from == SIDE_RESPONDER && action == JINGLE_SESSION_INITIATE)
        reply_error(signal, iq, &condition_tie_break);
    else if (action == JINGLE_SESSION_TERMINATE)
        terminate(session, from, iq, now);
    else
        enqueue(session, from, action, iq, now);
}

void session_jingle(struct signal *signal, const struct xml *iq, usec_t now)
{
    const struct xml *jingle = xml_child(iq, "jingle", NS_JINGLE);
    enum jingle_action action = jingle_action(xml_attr(jingle, "action"));
    const char *sid = xml_attr(jingle, "sid"), *wrong = malformed(signal, jingle, action);
    struct session *session;
    char to[JID_MAX];
    enum side from;
    struct jid jid;

    if (wrong) {
        counter_add(signal->counters, COUNTER_STANZAS_MALFORMED, 1);
        reply_error_text(signal, iq, &condition_bad_request, wrong);
        return;
    }
    if (real_jid(signal, xml_attr(iq, "to"), to) < 0 || jid_parse(to, &jid) < 0) {
        reply_error(signal, iq, &condition_not_found);
        return;
    }
    session = session_find(signal, sid, xml_attr(iq, "from"), to, &from);
    if (session)
        request(session, from, action, iq, now);
    else if (action != JINGLE_SESSION_INITIATE)
        reply_error(signal, iq, &condition_unknown_session);
    else if (jid.resource_len == 0)
        reply_error_text(signal, iq, &condition_unavailable,
                         "a session needs a full JID; to ring all devices propose it (XEP-0353)");
    else
        initiate(signal, iq, sid, to, now);
}

// ---- answers

static void offer_answered(struct session *session, const struct xml *answer, bool refused,
                           usec_t now)
{
    session->met = true;
    if (!refused) {
        session_work(session, now);
        return;
    }
    if (!answer) // it may ring all the same
        session_tell(session, SIDE_RESPONDER, "timeout", now);
    session_end(session, answer ? "refused by the responder's client" : "no answer", now);
}

void session_answered(struct signal *signal, const struct pending *pending,
                      const struct xml *answer, usec_t now)
{
    struct session *session = pending->call ? session_by_id(signal, pending->call) : NULL;
    const char *type = answer ? xml_attr(answer, "type") : "error";
    bool refused = strcmp(type, "error") == 0;

    if (!session || session->call.state == CALL_ENDED)
        return;
    if (pending->kind == PENDING_DIALECT) {
        learn_dialect(session, pending->side, answer, now);
    } else if (pending->kind == PENDING_ALIVE) {
        if (says_gone(answer))
            session_terminate(session, "gone", now);
    } else if (pending->action == JINGLE_SESSION_INITIATE && session->call.state == CALL_RINGING) {
        offer_answered(session, answer, refused, now);
    } else if (refused && pending->action != JINGLE_ACTION_COUNT &&
               (answer || iq_needs_answer(pending->action))) {
        contents_undo(session, pending->serial);
        session_work(session, now); // a stanza may have waited for one of the paths
    }
}
