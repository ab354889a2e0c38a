// SPDX-License-Identifier: ISC
// Stanzas through a session. They are worked off one after the other, each when the paths that it
// needs are open, so that their order stays; what the initiator trickles waits until the responder
// has met the session, because some clients refuse it before. Only the end waits for nothing.
//
// A stanza that a server has diverted takes the same way, but is given back to the server instead
// of being sent. Its answer never comes by here, so that what has passed is taken for accepted; and
// what is refused passes as it was: a call must not fail because of its relay.
#include "internal.h"

#include "base/log_kind.h"
#include "base/mask.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE (1500 * USEC_PER_MSEC) // of servers that wait for what they have diverted

// ---- refusing

static const struct {
    int error;
    struct refusal refusal;
} refusals[] = {
    {-EBADMSG,
     {&condition_bad_request,
      "a content needs a name, credentials have at most 256 bytes, a raw candidate needs an IP "
      "address, a port of 1..65535 and component 1 or 2",
      COUNTER_DIVERT_PASSED_MALFORMED}},
    {-E2BIG,
     {&condition_constraint, "more contents than a session may have", COUNTER_DIVERT_PASSED_LIMIT}},
    {-EPROTONOSUPPORT,
     {&condition_unsupported, "the relay hides addresses, and cannot carry this transport",
      COUNTER_DIVERT_PASSED_TRANSPORT}},
    {-EALREADY,
     {&condition_tie_break, "the initiator has asked for a replacement at the same time",
      COUNTER_DIVERT_PASSED_OUT_OF_ORDER}},
};

const struct refusal refusal_unknown_session = {&condition_unknown_session, NULL,
                                                COUNTER_DIVERT_PASSED_UNKNOWN_SESSION};
static const struct refusal refusal_tie_break = {&condition_tie_break, NULL,
                                                 COUNTER_DIVERT_PASSED_OUT_OF_ORDER};
static const struct refusal refusal_out_of_order = {&condition_out_of_order, NULL,
                                                    COUNTER_DIVERT_PASSED_OUT_OF_ORDER};
static const struct refusal refusal_memory = {&condition_constraint, NULL,
                                              COUNTER_DIVERT_PASSED_MEMORY};
static const struct refusal refusal_late = {&condition_constraint, "the relay was too slow",
                                            COUNTER_DIVERT_PASSED_LATE};
static const struct refusal refusal_queue = {&condition_constraint, NULL,
                                             COUNTER_DIVERT_PASSED_LIMIT};

void waiting_refuse(struct signal *signal, const struct waiting *w, const struct refusal *refusal,
                    usec_t now)
{
    if (w->envelope)
        divert_refuse(signal, w, refusal, now);
    else
        reply_error_text(signal, w->stanza, refusal->condition,
                         refusal->text ? refusal->text : refusal->condition->text);
}

// Neither the client's fault nor its request's: the relay has no path for it.
static void refuse_for_relay(struct session *session, const struct waiting *w, int error,
                             usec_t now)
{
    bool memory = error == -ENOMEM, ports = error == -EMFILE;
    enum call_refusal refusal = memory ? CALL_REFUSED_MEMORY : CALL_REFUSED_PORTS;
    const char *text =
        memory || ports ? call_refusal_text(refusal) : "a relay port cannot be opened";
    struct refusal told = {&condition_constraint, text,
                           memory ? COUNTER_DIVERT_PASSED_MEMORY : COUNTER_DIVERT_PASSED_PORTS};

    struct mask mask;

    calls_count_refusal(&session->signal->calls, refusal);
    log_kind(LOG_CALL_REFUSED, "%s of %s refused: %s (%s)", jingle_action_name(w->action),
             mask_jid(session->party[w->from].jid, &mask), text, strerror(-error));
    waiting_refuse(session->signal, w, &told, now);
}

static void refuse(struct session *session, const struct waiting *w, int error, usec_t now)
{
    const struct refusal *found = NULL;

    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (refusals[i].error == error)
            found = &refusals[i].refusal;
    }
    if (found)
        waiting_refuse(session->signal, w, found, now);
    else
        refuse_for_relay(session, w, error, now);
    contents_undo(session, session->serial);
    note_step(&session->steps, STEP_REFUSED, SIDE_COUNT, now);
    if (session->call.state == CALL_SETUP)
        session_end(session, "refused", now);
}

// XEP-0166 section 10: "The request cannot occur at this point in the state machine". What has been
// diverted before may come again.
static bool out_of_order(const struct session *session, const struct waiting *w)
{
    enum call_state state = session->call.state;

    if (w->action == JINGLE_SESSION_INITIATE)
        return session->serial > 0 && !session->diverted;
    if (w->action == JINGLE_SESSION_ACCEPT)
        return w->from != SIDE_RESPONDER ||
               (state != CALL_RINGING && !(session->diverted && state == CALL_ACTIVE));
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
    note_stanza(&session->steps, w->from, w->action, now);
    if (w->action == JINGLE_SESSION_INITIATE && session->call.state == CALL_SETUP)
        call_ringing(&session->signal->calls, &session->call, now);
    else if (w->action == JINGLE_SESSION_ACCEPT && session->call.state == CALL_RINGING)
        session_accepted(session, now);
    else if (w->action == JINGLE_SESSION_TERMINATE)
        session_end(session, terminate_reason(waiting_jingle(w)), now);
}

// What the receiver would overlook in 'iq', as IQs of their own below a parent; NULL if nothing.
static struct xml *overlooked(struct xml *iq, unsigned dialect, enum jingle_action action)
{
    bool offers = action == JINGLE_SESSION_INITIATE || action == JINGLE_SESSION_ACCEPT;
    unsigned limits = offers ? DIALECT_NO_EARLY_CANDIDATES
                      : action == JINGLE_TRANSPORT_INFO
                          ? DIALECT_ONE_CONTENT | DIALECT_ONE_CANDIDATE
                          : 0;
    bool splits = dialect & limits && jingle_element(iq);
    struct xml *rest = splits ? xml_new("rest", NS_CLIENT) : NULL;
    int r = 0;

    if (rest)
        r = offers ? split_repeat(iq, rest) : split_info(iq, dialect, rest);
    if (r < 0)
        log_kind(LOG_NO_MEMORY, "memory is exhausted: a client does not get all candidates");
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
    struct pending *pending;

    if (w->envelope) {
        if (rest)
            split_bound(session, other(w->from), rest, SENT_ON_MAX - 1);
        divert_send_on(session->signal, w, copy, rest, now);
        return true;
    }
    pending = iq_ask(session->signal, copy, PENDING_FORWARDED, w->stanza, now);
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

// Nothing in it is for the other side.
static void answer_empty(struct session *session, const struct waiting *w, usec_t now)
{
    if (w->envelope)
        divert_answer(session->signal, w, reply_new(w->stanza, "result"), now);
    else
        reply_result(session->signal, w->stanza);
}

static void forward(struct session *session, const struct waiting *w, usec_t now)
{
    const struct xml *jingle = waiting_jingle(w);
    bool empty = false;
    struct xml *copy;

    contents_settle(session, w->from, w->action, jingle);
    copy = w->jingle ? google_rewrite(session, w, &empty)
                     : rewrite(session, w->from, w->action, w->stanza, &empty);
    if (copy && empty) {
        xml_free(copy);
        answer_empty(session, w, now);
        return;
    }
    if (copy && pass_on(session, w, copy, now)) {
        forwarded(session, w, now);
        return;
    }
    waiting_refuse(session->signal, w, &refusal_memory, now);
    contents_undo(session, session->serial);
    if (session->call.state == CALL_SETUP || w->action == JINGLE_SESSION_TERMINATE)
        session_end(session, "memory is exhausted", now);
}

// ---- the queue

void waiting_free(struct waiting *w)
{
    if (!w)
        return;
    xml_free(w->stanza);
    xml_free(w->jingle);
    xml_free(w->envelope);
    free(w);
}

static void prepare(struct session *session, struct waiting *w)
{
    const struct xml *jingle = waiting_jingle(w);

    session->failure = contents_prepare(session, w->from, w->action, jingle);
    w->prepared = true;
}

static struct waiting *next_waiting(struct session *session, usec_t now)
{
    struct waiting *w;

    while ((w = STAILQ_FIRST(&session->queue)) && !w->prepared && out_of_order(session, w)) {
        waiting_refuse(session->signal, w, &refusal_out_of_order, now);
        STAILQ_REMOVE_HEAD(&session->queue, link);
        session->waiting--;
        waiting_free(w);
    }
    return w;
}

void session_work(struct session *session, usec_t now)
{
    struct waiting *w;

    while (session->call.state != CALL_ENDED && (w = next_waiting(session, now))) {
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
        waiting_free(w);
    }
}

// The server would soon give up: the stanza passes without us. What we would have added goes with a
// later one, if there is one.
static void pass_late(struct session *session, struct waiting *w, usec_t now)
{
    bool offer = session->call.state == CALL_SETUP;

    if (!w->prepared)
        prepare(session, w);
    if (session->failure)
        contents_undo(session, session->serial);
    session->failure = 0;
    contents_settle(session, w->from, w->action, waiting_jingle(w));
    waiting_refuse(session->signal, w, &refusal_late, now);
    if (offer && session->signal->config.policy == POLICY_RELAY_ONLY)
        session_end(session, "refused", now); // it did not pass
    else
        forwarded(session, w, now);
}

// Of what waits, whatever came until then.
static void give_back_from(struct session *session, usec_t until, usec_t now)
{
    struct waiting *w;

    while ((w = STAILQ_FIRST(&session->queue)) && w->since <= until) {
        STAILQ_REMOVE_HEAD(&session->queue, link);
        session->waiting--;
        pass_late(session, w, now);
        waiting_free(w);
    }
}

void session_give_back(struct session *session, usec_t now)
{
    if (!session->diverted)
        return;
    give_back_from(session, now, now);
    timer_cancel(&session->signal->timers, &session->patience);
}

static void watch(struct session *session);

static void patience_ended(struct timer *timer, void *ctx, usec_t now)
{
    struct session *session = container_of(timer, struct session, patience);

    (void)ctx;
    give_back_from(session, now - PATIENCE, now);
    session_work(session, now);
    watch(session);
}

// Over the server that has diverted the stanza whose turn it is.
static void watch(struct session *session)
{
    const struct waiting *w = session->diverted ? STAILQ_FIRST(&session->queue) : NULL;
    struct timers *timers = &session->signal->timers;

    session->patience.fire = patience_ended;
    if (!w)
        timer_cancel(timers, &session->patience);
    else if (timer_arm(timers, &session->patience, w->since + PATIENCE) < 0)
        log_kind(LOG_NO_MEMORY, "memory is exhausted: a server may wait for too long");
}

static struct waiting *waiting_clone(const struct waiting *borrowed)
{
    struct waiting *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    *w = *borrowed;
    w->stanza = xml_clone(borrowed->stanza);
    w->jingle = borrowed->jingle ? xml_clone(borrowed->jingle) : NULL;
    w->envelope = borrowed->envelope ? xml_clone(borrowed->envelope) : NULL;
    if (!w->stanza || (borrowed->jingle && !w->jingle) || (borrowed->envelope && !w->envelope)) {
        waiting_free(w);
        return NULL;
    }
    return w;
}

static void enqueue(struct session *session, const struct waiting *borrowed, usec_t now)
{
    bool room = session->waiting < WAITING_MAX;
    struct waiting *w = room ? waiting_clone(borrowed) : NULL;

    if (!w) {
        waiting_refuse(session->signal, borrowed, room ? &refusal_memory : &refusal_queue, now);
        if (session->call.state == CALL_SETUP && session->waiting == 0)
            session_end(session, "memory is exhausted", now);
        return;
    }
    session->met |= w->from == SIDE_RESPONDER;
    STAILQ_INSERT_TAIL(&session->queue, w, link);
    session->waiting++;
    session_work(session, now);
    watch(session);
}

// "As soon as an entity sends a session-terminate action, it MUST consider the session to be in the
// ENDED state" (XEP-0166 section 6.7): it overtakes what waits.
static void terminate(struct session *session, const struct waiting *w, usec_t now)
{
    const char *reason = terminate_reason(waiting_jingle(w));

    if (session->diverted) {
        session_turn_back(session, reason, now); // what the server holds must leave before the end
        forward(session, w, now);
    } else if (session->call.state == CALL_SETUP) { // the responder knows nothing of it
        reply_result(session->signal, w->stanza);
        session_end(session, reason, now);
    } else {
        forward(session, w, now);
    }
}

// ---- requests

static void initiate(struct signal *signal, const struct waiting *w, const char *responder,
                     usec_t now)
{
    const char *from = xml_attr(w->stanza, "from");
    const struct xml *jingle = waiting_jingle(w);
    struct session_opening opening = {w->envelope ? DOOR_DIVERTED : DOOR_ADDRESSED,
                                      xml_attr(jingle, "sid"), w->stanza, responder};
    struct session *session;
    enum call_refusal refusal = session_open(signal, &opening, now, &session);

    if (refusal != CALL_ADMITTED) {
        const struct refusal told = {&condition_constraint, call_refusal_text(refusal),
                                     refusal == CALL_REFUSED_MEMORY ? COUNTER_DIVERT_PASSED_MEMORY
                                                                    : COUNTER_DIVERT_PASSED_LIMIT};

        log_refusal("call", from, refusal);
        waiting_refuse(signal, w, &told, now);
        return;
    }
    session->met = session->diverted; // the server keeps the order
    session_ask_dialects(session, now);
    enqueue(session, w, now);
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
static void request(struct session *session, const struct waiting *w, usec_t now)
{
    struct signal *signal = session->signal;
    bool responder = w->from == SIDE_RESPONDER;

    // The responder cannot know of the session yet: it guessed the sid, or calls.
    if (responder && session->call.state == CALL_SETUP && w->action != JINGLE_SESSION_INITIATE)
        waiting_refuse(signal, w, &refusal_unknown_session, now);
    else if (responder && w->action == JINGLE_SESSION_INITIATE)
        waiting_refuse(signal, w, &refusal_tie_break, now);
    else if (w->action == JINGLE_SESSION_TERMINATE)
        terminate(session, w, now);
    else
        enqueue(session, w, now);
}

void session_jingle(struct signal *signal, const struct xml *iq, usec_t now)
{
    const struct xml *jingle = jingle_element(iq);
    struct waiting w = {.action = jingle_action(xml_attr(jingle, "action")),
                        .stanza = (struct xml *)(uintptr_t)iq};
    const char *from = xml_attr(iq, "from"), *wrong = malformed(signal, jingle, w.action);
    struct session *session;
    char to[JID_MAX];
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
    session = session_find(signal, DOOR_ADDRESSED, xml_attr(jingle, "sid"), from, to, &w.from);
    if (session)
        request(session, &w, now);
    else if (w.action != JINGLE_SESSION_INITIATE)
        reply_error(signal, iq, &condition_unknown_session);
    else if (jid.resource_len == 0)
        reply_error_text(signal, iq, &condition_unavailable,
                         "a session needs a full JID; to ring all devices propose it (XEP-0353)");
    else if (!served(signal, from))
        reply_error_text(signal, iq, &condition_forbidden,
                         "calls may be opened by users of the served domains only");
    else
        initiate(signal, &w, to, now);
}

// A call that offers nothing but transports that are not ours needs no session.
static bool can_be_relayed(const struct xml *jingle)
{
    const struct xml *x = xml_child(jingle, "content", NULL);

    for (; x; x = xml_next(x, "content", NULL)) {
        enum transport_kind kind = jingle_transport_kind(jingle_transport(x));

        if (kind != TRANSPORT_NONE && kind != TRANSPORT_OTHER)
            return true;
    }
    return false;
}

// What it says in Jingle, or in Google's session; translated then, under the names that the session
// has for its contents.
static const struct xml *understand(struct signal *signal, struct waiting *w,
                                    struct session **ret_session)
{
    const struct xml *google = jingle_google_session(w->stanza);
    const struct xml *said = google ? google : jingle_element(w->stanza);
    const char *sid = xml_attr(said, google ? "id" : "sid");

    *ret_session = sid ? session_find(signal, DOOR_DIVERTED, sid, xml_attr(w->stanza, "from"),
                                      xml_attr(w->stanza, "to"), &w->from)
                       : NULL;
    if (google)
        w->jingle = google_translate(*ret_session, w->stanza);
    return google ? w->jingle : said;
}

void session_diverted(struct signal *signal, struct waiting *w, usec_t now)
{
    static const struct refusal no_transport = {
        &condition_unsupported, "the relay hides addresses, and cannot carry this transport",
        COUNTER_DIVERT_PASSED_TRANSPORT};
    struct session *session;
    const struct xml *jingle = understand(signal, w, &session);
    const char *wrong;

    if (!jingle) {
        waiting_refuse(signal, w, &refusal_memory, now);
        return;
    }
    w->action = jingle_action(xml_attr(jingle, "action"));
    wrong = malformed(signal, jingle, w->action);
    if (wrong) {
        const struct refusal told = {&condition_bad_request, wrong,
                                     COUNTER_DIVERT_PASSED_MALFORMED};

        waiting_refuse(signal, w, &told, now);
        return;
    }
    if (session)
        request(session, w, now);
    else if (w->action != JINGLE_SESSION_INITIATE)
        waiting_refuse(signal, w, &refusal_unknown_session, now);
    else if (!can_be_relayed(jingle))
        waiting_refuse(signal, w, &no_transport, now);
    else
        initiate(signal, w, xml_attr(w->stanza, "to"), now);
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
    const char *type = answer ? xml_attr(answer, "type") : NULL;
    bool refused = answer ? strcmp(type, "error") == 0 : !pending_was_taken(pending);

    if (!session || session->call.state == CALL_ENDED)
        return;
    if (pending->kind == PENDING_DIALECT) {
        session_learn_dialect(session, pending->side, answer, now);
    } else if (pending->kind == PENDING_ALIVE) {
        if (answer_says_gone(answer))
            session_terminate(session, "gone", now);
    } else if (pending->action == JINGLE_SESSION_INITIATE && session->call.state == CALL_RINGING) {
        offer_answered(session, answer, refused, now);
    } else if (refused && pending->action != JINGLE_ACTION_COUNT) {
        contents_undo(session, pending->serial);
        session_work(session, now); // a stanza may have waited for one of the paths
    }
}
