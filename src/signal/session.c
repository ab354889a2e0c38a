// SPDX-License-Identifier: ISC
// Jingle sessions through the addressed door: two legs with one sid, each under a constant full
// JID. Stanzas of a session are worked off one after the other, each when the paths that it needs
// are open, so that their order stays.
#include "internal.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SID_MAX   512
#define VIEWS_MAX 64

// ---- finding

static struct session *session_find(const struct signal *signal, const char *sid, const char *from,
                                    const char *to, enum side *ret_from)
{
    uint64_t hash = map_hash(&signal->sessions, sid, strlen(sid));

    for (struct map_node *n = map_first(&signal->sessions, hash); n; n = map_next(n)) {
        struct session *s = container_of(n, struct session, node);

        for (int side = 0; side < SIDE_COUNT && strcmp(s->sid, sid) == 0; side++) {
            if (jid_equal(s->party[side].jid, from) && jid_equal(s->party[!side].jid, to)) {
                *ret_from = (enum side)side;
                return s;
            }
        }
    }
    return NULL;
}

struct session *session_by_id(const struct signal *signal, uint64_t call)
{
    struct map_node *n = map_first(&signal->ids, map_hash(&signal->ids, &call, sizeof call));

    for (; n; n = map_next(n)) {
        struct session *session = container_of(n, struct session, id_node);

        if (session->call.id == call)
            return session;
    }
    return NULL;
}

// ---- beginning and end

static void queue_free(struct session *session)
{
    struct waiting *w;

    while ((w = STAILQ_FIRST(&session->queue))) {
        STAILQ_REMOVE_HEAD(&session->queue, link);
        xml_free(w->stanza);
        free(w);
    }
}

void session_free(struct session *session)
{
    struct signal *signal = session->signal;

    if (session->call.state != CALL_NONE && session->call.state != CALL_ENDED) {
        map_remove(&signal->sessions, &session->node);
        call_ended(&signal->calls, &session->call);
    }
    if (session->call.state == CALL_ENDED)
        map_remove(&signal->ids, &session->id_node);
    queue_free(session);
    contents_free(session);
    relation_release(signal, session->relation);
    for (int side = 0; side < SIDE_COUNT; side++) {
        free(session->party[side].jid);
        free(session->party[side].proxy);
    }
    free(session->view);
    free(session->end_reason);
    free(session->sid);
    free(session);
}

static struct session *session_new(struct signal *signal, const char *sid, const struct xml *iq,
                                   const char *responder)
{
    struct session *s = calloc(1, sizeof *s);
    char proxy[JID_MAX];

    if (!s)
        return NULL;
    s->signal = signal;
    TAILQ_INIT(&s->contents);
    STAILQ_INIT(&s->queue);
    if (proxy_jid(signal, xml_attr(iq, "from"), proxy) == 0)
        s->party[SIDE_INITIATOR].proxy = strdup(proxy);
    s->sid = strdup(sid);
    s->party[SIDE_INITIATOR].jid = strdup(xml_attr(iq, "from"));
    s->party[SIDE_RESPONDER].jid = strdup(responder);
    s->party[SIDE_RESPONDER].proxy = strdup(xml_attr(iq, "to"));
    s->relation = relation_take(signal, xml_attr(iq, "from"), responder);
    if (!s->sid || !s->relation || !s->party[0].jid || !s->party[0].proxy || !s->party[1].jid ||
        !s->party[1].proxy) {
        session_free(s);
        return NULL;
    }
    return s;
}

static enum call_refusal admit(struct signal *signal, struct session *session, usec_t now)
{
    const char *initiator = session->party[SIDE_INITIATOR].jid;
    bool proposed =
        proposal_find(signal, session->sid, initiator, session->party[SIDE_RESPONDER].jid) != NULL;
    enum call_refusal refusal;
    char user[JID_MAX];
    struct jid jid;
    uint64_t id;

    if (jid_parse(initiator, &jid) < 0)
        return CALL_REFUSED_MEMORY;
    snprintf(user, sizeof user, "%.*s", (int)jid.bare_len, initiator);
    signal->io.random(signal->io.ctx, &id, sizeof id);
    id = id >> 1 | 1; // never 0; the upper half of the numbers marks other snapshots than ours
    refusal = calls_open(&signal->calls, &session->call, id, user, proposed, now);
    if (refusal != CALL_ADMITTED)
        return refusal;
    if (map_insert(&signal->ids, &session->id_node, map_hash(&signal->ids, &id, sizeof id)) < 0) {
        call_ended(&signal->calls, &session->call);
        session->call.state = CALL_NONE;
        return CALL_REFUSED_MEMORY;
    }
    if (map_insert(&signal->sessions, &session->node,
                   map_hash(&signal->sessions, session->sid, strlen(session->sid))) < 0) {
        map_remove(&signal->ids, &session->id_node);
        call_ended(&signal->calls, &session->call);
        session->call.state = CALL_NONE;
        return CALL_REFUSED_MEMORY;
    }
    return CALL_ADMITTED;
}

void session_end(struct session *session, const char *reason, usec_t now)
{
    struct signal *signal = session->signal;
    struct order last = {
        .kind = ORDER_SNAPSHOT, .call = session->call.id, .u.token = session->call.id};
    struct waiting *w;

    if (session->call.state == CALL_ENDED)
        return;
    map_remove(&signal->sessions, &session->node);
    call_ended(&signal->calls, &session->call);
    session->ended = now;
    session->end_reason = strdup(reason);
    STAILQ_FOREACH(w, &session->queue, link)
    reply_error(signal, w->stanza, &condition_unknown_session);
    queue_free(session);
    // The last figures first, then the ports; the session goes when the figures have come.
    if (signal->io.order(signal->io.ctx, &last) < 0)
        session->orphan = signal->orphans = true; // no figures will come
    contents_close_paths(session);
}

static void send_terminate(struct session *session, enum side to, const char *reason, usec_t now)
{
    const char *initiator = to == SIDE_INITIATOR ? session->party[to].jid : session->party[0].proxy;
    struct xml *iq = xml_new("iq", NS_CLIENT), *jingle, *why;

    jingle = iq ? xml_add(iq, "jingle", NS_JINGLE) : NULL;
    why = jingle ? xml_add(jingle, "reason", NULL) : NULL;
    if (!why || !xml_add(why, reason, NULL) || xml_set(iq, "type", "set") ||
        xml_set(iq, "from", session->party[other(to)].proxy) ||
        xml_set(iq, "to", session->party[to].jid) ||
        xml_set(jingle, "action", "session-terminate") || xml_set(jingle, "sid", session->sid) ||
        xml_set(jingle, "initiator", initiator)) {
        xml_free(iq);
        return;
    }
    (void)iq_ask(session->signal, iq, PENDING_OWN, NULL, now);
}

void session_terminate(struct session *session, const char *reason, usec_t now)
{
    // While it is set up, the responder knows nothing and the initiator waits for an answer to its
    // IQ.
    if (session->call.state != CALL_SETUP) {
        send_terminate(session, SIDE_INITIATOR, reason, now);
        send_terminate(session, SIDE_RESPONDER, reason, now);
    }
    session_end(session, reason, now);
}

void session_expired(void *ctx, struct call *call, enum call_timeout timeout, usec_t now)
{
    struct session *session = container_of(call, struct session, call);

    (void)ctx;
    if (timeout == CALL_TIMEOUT_IDLE)
        contents_close_paths(session); // a direct path carries it; an ICE restart opens new ones
    else
        session_terminate(session, timeout == CALL_TIMEOUT_DURATION ? "expired" : "timeout", now);
}

// ---- one stanza

static void refuse(struct session *session, const struct waiting *w, enum jingle_action action,
                   int error, usec_t now)
{
    struct signal *signal = session->signal;
    enum call_refusal refusal = error == -EMFILE ? CALL_REFUSED_PORTS : CALL_REFUSED_MEMORY;

    if (error == -EBADMSG) {
        reply_error_text(
            signal, w->stanza, &condition_bad_request,
            "a content needs a name, a candidate an IP address and a port of 1..65535");
    } else if (error == -EMFILE || error == -ENOMEM) {
        calls_count_refusal(&signal->calls, refusal);
        log_warning("%s of %s refused: %s", jingle_action_name(action), session->party[w->from].jid,
                    call_refusal_text(refusal));
        reply_error_text(signal, w->stanza, &condition_constraint, call_refusal_text(refusal));
    } else {
        log_err("%s of %s refused: a relay port cannot be opened: %s", jingle_action_name(action),
                session->party[w->from].jid, strerror(-error));
        reply_error_text(signal, w->stanza, &condition_constraint, "a relay port cannot be opened");
    }
    contents_undo(session, session->serial);
    if (action == JINGLE_SESSION_INITIATE)
        session_end(session, "refused", now);
}

static const char *terminate_reason(const struct xml *jingle)
{
    const struct xml *reason = xml_child(jingle, "reason", NULL);
    const struct xml *condition = reason ? xml_child(reason, NULL, NULL) : NULL;

    return condition ? condition->name : "terminated";
}

static void forwarded(struct session *session, enum side from, enum jingle_action action,
                      const struct xml *jingle, usec_t now)
{
    struct calls *calls = &session->signal->calls;

    if (action == JINGLE_SESSION_INITIATE && session->call.state == CALL_SETUP)
        call_ringing(calls, &session->call, now);
    else if (action == JINGLE_SESSION_ACCEPT && session->call.state == CALL_RINGING &&
             from == SIDE_RESPONDER)
        call_accepted(calls, &session->call, now);
    else if (action == JINGLE_SESSION_TERMINATE)
        session_end(session, terminate_reason(jingle), now);
}

static void forward(struct session *session, const struct waiting *w, enum jingle_action action,
                    usec_t now)
{
    struct xml *jingle = xml_child(w->stanza, "jingle", NS_JINGLE), *copy, *repeat = NULL;
    unsigned dialect = session->party[other(w->from)].dialect;
    struct pending *pending;
    bool empty = false;

    contents_apply(session, w->from, action, jingle);
    copy = rewrite(session, w->from, action, w->stanza, &empty);
    if (empty) {
        xml_free(copy);
        reply_result(session->signal, w->stanza);
        return;
    }
    if (copy && action == JINGLE_TRANSPORT_INFO)
        split_info(session, other(w->from), copy, dialect, now);
    if (copy && dialect & DIALECT_NO_EARLY_CANDIDATES &&
        (action == JINGLE_SESSION_INITIATE || action == JINGLE_SESSION_ACCEPT))
        repeat = xml_clone(copy);
    pending = copy ? iq_ask(session->signal, copy, PENDING_FORWARDED, w->stanza, now) : NULL;
    if (!pending) {
        reply_error(session->signal, w->stanza, &condition_constraint);
        return;
    }
    pending->action = action;
    pending->call = session->call.id;
    pending->side = w->from;
    pending->serial = session->serial;
    if (repeat)
        repeat_candidates(session, other(w->from), repeat, now);
    xml_free(repeat);
    forwarded(session, w->from, action, jingle, now);
}

void session_work(struct session *session, usec_t now)
{
    struct waiting *w;

    while (session->call.state != CALL_ENDED && (w = STAILQ_FIRST(&session->queue))) {
        const struct xml *jingle = xml_child(w->stanza, "jingle", NS_JINGLE);
        enum jingle_action action = jingle_action(xml_attr(jingle, "action"));

        if (!w->prepared) {
            session->failure = contents_prepare(session, w->from, action, jingle);
            w->prepared = true;
        }
        if (session->failure == 0 && (session->opening > 0 || session->asking))
            return;
        STAILQ_REMOVE_HEAD(&session->queue, link);
        if (session->failure)
            refuse(session, w, action, session->failure, now);
        else
            forward(session, w, action, now);
        session->failure = 0;
        xml_free(w->stanza);
        free(w);
    }
}

static void enqueue(struct session *session, enum side from, const struct xml *iq, usec_t now)
{
    struct waiting *w = calloc(1, sizeof *w);

    if (w)
        w->stanza = xml_clone(iq);
    if (!w || !w->stanza) {
        free(w);
        reply_error(session->signal, iq, &condition_constraint);
        return;
    }
    w->from = from;
    STAILQ_INSERT_TAIL(&session->queue, w, link);
    session_work(session, now);
}

// The responder's disco#info, once, before it gets the offer: it tells which dialect is safe.
static void ask_dialect(struct session *session, usec_t now)
{
    struct signal *signal = session->signal;
    struct xml *iq = xml_new("iq", NS_CLIENT);
    struct pending *pending;

    if (!iq || !xml_add(iq, "query", NS_DISCO_INFO) || xml_set(iq, "type", "get") ||
        xml_set(iq, "from", session->party[SIDE_INITIATOR].proxy) ||
        xml_set(iq, "to", session->party[SIDE_RESPONDER].jid)) {
        xml_free(iq);
        return;
    }
    pending = iq_ask(signal, iq, PENDING_DIALECT, NULL, now);
    if (!pending)
        return;
    pending->call = session->call.id;
    (void)timer_arm(&signal->timers, &pending->timer, now + DIALECT_TIMEOUT);
    session->asking = true;
}

void session_dialect(struct signal *signal, uint64_t call, unsigned dialect, usec_t now)
{
    struct session *session = session_by_id(signal, call);

    if (!session || session->call.state == CALL_ENDED)
        return;
    session->party[SIDE_RESPONDER].dialect |= dialect;
    session->asking = false;
    session_work(session, now);
}

static void initiate(struct signal *signal, const struct xml *iq, const char *sid,
                     const char *responder, usec_t now)
{
    const struct xml *jingle = xml_child(iq, "jingle", NS_JINGLE);
    const char *from = xml_attr(iq, "from");
    enum call_refusal refusal;
    struct session *session;

    if (!served(signal, from)) {
        reply_error_text(signal, iq, &condition_forbidden,
                         "calls may be opened by users of the served domains only");
        return;
    }
    if (!xml_child(jingle, "content", NULL)) {
        reply_error_text(signal, iq, &condition_bad_request, "session-initiate needs a content");
        return;
    }
    session = session_new(signal, sid, iq, responder);
    refusal = session ? admit(signal, session, now) : CALL_REFUSED_MEMORY;
    if (refusal != CALL_ADMITTED) {
        log_warning("call of %s refused: %s", from, call_refusal_text(refusal));
        reply_error_text(signal, iq, &condition_constraint, call_refusal_text(refusal));
        if (session)
            session_free(session);
        return;
    }
    ask_dialect(session, now);
    enqueue(session, SIDE_INITIATOR, iq, now);
}

// What is wrong with a request whatever its session; NULL if nothing.
static const char *malformed(const struct signal *signal, const struct xml *jingle)
{
    const char *sid = xml_attr(jingle, "sid");

    if (jingle_action(xml_attr(jingle, "action")) == JINGLE_ACTION_COUNT)
        return "the action is none of XEP-0166 section 7.2";
    if (!sid || !*sid || strlen(sid) > SID_MAX)
        return "a sid of 1 to 512 bytes is needed";
    if (jingle_count_candidates(jingle) > signal->config.candidates_max)
        return "more candidates in one stanza than limits.stanza_candidates";
    return NULL;
}

void session_jingle(struct signal *signal, const struct xml *iq, usec_t now)
{
    const struct xml *jingle = xml_child(iq, "jingle", NS_JINGLE);
    const char *sid = xml_attr(jingle, "sid"), *wrong = malformed(signal, jingle);
    bool opens = jingle_action(xml_attr(jingle, "action")) == JINGLE_SESSION_INITIATE;
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
    if (session && opens)
        reply_error(signal, iq, &condition_conflict);
    else if (session)
        enqueue(session, from, iq, now);
    else if (!opens)
        reply_error(signal, iq, &condition_unknown_session);
    else if (jid.resource_len == 0)
        reply_error_text(signal, iq, &condition_unavailable,
                         "a session needs a full JID; to ring all devices propose it (XEP-0353)");
    else
        initiate(signal, iq, sid, to, now);
}

void session_answered(struct signal *signal, const struct pending *pending,
                      const struct xml *answer, usec_t now)
{
    struct session *session = pending->call ? session_by_id(signal, pending->call) : NULL;
    const char *type = answer ? xml_attr(answer, "type") : "error";

    if (pending->kind == PENDING_DIALECT) {
        session_dialect(signal, pending->call, 0, now);
        return;
    }
    if (!session || session->call.state == CALL_ENDED || strcmp(type, "error") != 0)
        return;
    if (pending->action == JINGLE_SESSION_INITIATE)
        session_end(session, answer ? "refused by the responder's client" : "no answer", now);
    else if (pending->action == JINGLE_TRANSPORT_REPLACE || pending->action == JINGLE_CONTENT_ADD)
        contents_undo(session, pending->serial);
}

// ---- events of the relay

static void last_figures(struct session *session, const struct path_view *view)
{
    struct path_view *grown;

    if (session->views == VIEWS_MAX)
        return;
    grown = realloc(session->view, (session->views + 1) * sizeof *grown);
    if (!grown)
        return;
    session->view = grown;
    session->view[session->views++] = *view;
}

static bool all_silent(const struct session *session)
{
    const struct content *content;

    TAILQ_FOREACH (content, &session->contents, link) {
        for (int i = 0; i < 2; i++) {
            const struct media_path *path = content->current->path[i];

            if (path && !path->silent)
                return false;
        }
    }
    return true;
}

static void path_event(struct signal *signal, struct media_path *path,
                       const struct relay_event *event, usec_t now)
{
    struct session *session = path->transport->session;

    switch (event->kind) {
    case EVENT_OPENED:
        memcpy(path->relay, event->u.opened, sizeof path->relay);
        path->opened = true;
        session->opening--;
        session_work(session, now);
        break;
    case EVENT_FAILED:
        session->failure = event->error;
        path_lost(signal, path);
        session_work(session, now);
        break;
    case EVENT_CHECKED:
    case EVENT_SELECTED:
        path->silent = false;
        break;
    case EVENT_MEDIA:
        path->silent = false;
        call_media_seen(&signal->calls, &session->call, now);
        break;
    case EVENT_SILENT:
        path->silent = true;
        if (all_silent(session))
            call_silent(&signal->calls, &session->call, now);
        break;
    default:
        break;
    }
}

void session_path_event(struct signal *signal, const struct relay_event *event, usec_t now)
{
    struct session *session;
    struct media_path *path;

    if (event->kind == EVENT_SNAPSHOT || event->kind == EVENT_SNAPSHOT_END) {
        session = session_by_id(signal, event->token);
        if (!session || session->call.state != CALL_ENDED)
            return;
        if (event->kind == EVENT_SNAPSHOT) {
            last_figures(session, event->u.view);
            return;
        }
        session_tell_ended(session, now);
        session_free(session);
        return;
    }
    path = media_path_find(signal, event->path);
    if (path)
        path_event(signal, path, event, now);
}
