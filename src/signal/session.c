// SPDX-License-Identifier: ISC
// Jingle sessions through the addressed door: two legs with one sid, each under a constant full
// JID. Here is their life: how they are found, opened and ended, what the relay reports of their
// paths, and what happens when time runs out.
#include "internal.h"

#include "base/log.h"
#include "base/log_kind.h"
#include "base/mask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- finding

// The parties are part of the key: sids are chosen by strangers.
static uint64_t session_hash(const struct signal *signal, const char *sid, const char *a,
                             const char *b)
{
    return map_hash(&signal->sessions, sid, strlen(sid)) ^ relation_hash(signal, a, b);
}

struct session *session_find(const struct signal *signal, enum call_door door, const char *sid,
                             const char *from, const char *to, enum side *ret_from)
{
    struct map_node *n = map_first(&signal->sessions, session_hash(signal, sid, from, to));

    for (; n; n = map_next(n)) {
        struct session *s = container_of(n, struct session, node);

        if (s->call.door != door || strcmp(s->sid, sid) != 0)
            continue;
        for (int side = 0; side < SIDE_COUNT; side++) {
            if (jid_equal(s->party[side].jid, from) && jid_equal(s->party[!side].jid, to)) {
                *ret_from = (enum side)side;
                return s;
            }
        }
    }
    return NULL;
}

bool session_exists(const struct signal *signal, const char *sid, const char *a, const char *b)
{
    struct map_node *n = map_first(&signal->sessions, session_hash(signal, sid, a, b));

    for (; n; n = map_next(n)) {
        const struct session *s = container_of(n, struct session, node);

        if (!s->diverted && strcmp(s->sid, sid) == 0 && relation_is(s->relation, a, b))
            return true;
    }
    return false;
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

// ---- beginning

static void queue_free(struct session *session)
{
    struct waiting *w;

    while ((w = STAILQ_FIRST(&session->queue))) {
        STAILQ_REMOVE_HEAD(&session->queue, link);
        waiting_free(w);
    }
    session->waiting = 0;
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
    timer_cancel(&signal->timers, &session->hold);
    timer_cancel(&signal->timers, &session->patience);
    queue_free(session);
    contents_free(session);
    relation_release(signal, session->relation);
    for (int side = 0; side < SIDE_COUNT; side++) {
        free(session->party[side].jid);
        free(session->party[side].proxy);
    }
    call_steps_free(&session->steps);
    free(session->view);
    free(session->end_reason);
    free(session->sid);
    free(session);
}

struct session *session_blank(struct signal *signal)
{
    struct session *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->signal = signal;
    TAILQ_INIT(&s->contents);
    STAILQ_INIT(&s->queue);
    return s;
}

static struct session *session_new(struct signal *signal, const struct session_opening *opening)
{
    const char *from = xml_attr(opening->iq, "from"), *to = xml_attr(opening->iq, "to");
    struct session *s = session_blank(signal);
    bool diverted = opening->door == DOOR_DIVERTED;
    char proxy[JID_MAX];

    if (!s)
        return NULL;
    s->diverted = diverted;
    if (diverted || proxy_jid(signal, from, proxy) == 0)
        s->party[SIDE_INITIATOR].proxy = strdup(diverted ? from : proxy);
    s->sid = strdup(opening->sid);
    s->party[SIDE_INITIATOR].jid = strdup(from);
    s->party[SIDE_RESPONDER].jid = strdup(opening->responder);
    s->party[SIDE_RESPONDER].proxy = strdup(to);
    if (!diverted)
        s->relation = relation_take(signal, from, opening->responder);
    if (!s->sid || (!diverted && !s->relation) || !s->party[0].jid || !s->party[0].proxy ||
        !s->party[1].jid || !s->party[1].proxy) {
        session_free(s);
        return NULL;
    }
    return s;
}

int session_list(struct session *session)
{
    struct signal *signal = session->signal;
    uint64_t id = session->call.id;

    if (map_insert(&signal->ids, &session->id_node, map_hash(&signal->ids, &id, sizeof id)) < 0)
        return -ENOMEM;
    if (map_insert(&signal->sessions, &session->node,
                   session_hash(signal, session->sid, session->party[SIDE_INITIATOR].jid,
                                session->party[SIDE_RESPONDER].jid)) < 0) {
        map_remove(&signal->ids, &session->id_node);
        return -ENOMEM;
    }
    return 0;
}

#define ACCOUNT_MAX (1 + JID_MAX)

// Who a call counts for: he who makes it, if he is one of ours. The calls of all others to one of
// ours count together, but not as his: strangers must not use up what he may open. No JID begins
// with the "/" of such an account. 0 or -EINVAL.
static int account_of(const struct session *session, char account[ACCOUNT_MAX])
{
    const char *initiator = session->party[SIDE_INITIATOR].jid;
    bool ours = served(session->signal, initiator);
    const char *whose = ours ? initiator : session->party[SIDE_RESPONDER].jid;
    struct jid jid;

    if (jid_parse(whose, &jid) < 0)
        return -EINVAL;
    snprintf(account, ACCOUNT_MAX, "%s%.*s", ours ? "" : "/", (int)jid.bare_len, whose);
    return 0;
}

void log_refusal(const char *what, const char *who, enum call_refusal refusal)
{
    struct mask mask;

    log_kind_write_at(
        LOG_CALL_REFUSED, call_refusal_is_common(refusal) ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
        NULL, 0, "%s of %s refused: %s", what, mask_jid(who, &mask), call_refusal_text(refusal));
}

static enum call_refusal admit(struct session *session, usec_t now)
{
    struct signal *signal = session->signal;
    const char *initiator = session->party[SIDE_INITIATOR].jid;
    struct proposal *proposal =
        session->diverted
            ? NULL
            : proposal_find(signal, session->sid, initiator, session->party[SIDE_RESPONDER].jid);
    // One proposal pays for one session of the one who proposed.
    bool paid = proposal && proposal->unused && jid_equal_bare(proposal->initiator, initiator);
    enum call_refusal refusal;
    char account[ACCOUNT_MAX];
    struct call_opening opening = {
        .door = session->diverted ? DOOR_DIVERTED : DOOR_ADDRESSED, .user = account, .paid = paid};

    if (account_of(session, account) < 0)
        return CALL_REFUSED_MEMORY;
    opening.id = call_id_new(signal);
    refusal = calls_open(&signal->calls, &session->call, &opening, now);
    if (refusal != CALL_ADMITTED)
        return refusal;
    if (session_list(session) < 0) {
        call_ended(&signal->calls, &session->call);
        session->call.state = CALL_NONE;
        calls_count_refusal(&signal->calls, CALL_REFUSED_MEMORY);
        return CALL_REFUSED_MEMORY;
    }
    if (paid)
        proposal->unused = false;
    return CALL_ADMITTED;
}

enum call_refusal session_open(struct signal *signal, const struct session_opening *opening,
                               usec_t now, struct session **ret_session)
{
    struct session *session = session_new(signal, opening);
    enum call_refusal refusal;

    if (!session) {
        calls_count_refusal(&signal->calls, CALL_REFUSED_MEMORY);
        return CALL_REFUSED_MEMORY;
    }
    refusal = admit(session, now);
    if (refusal == CALL_ADMITTED)
        *ret_session = session;
    else
        session_free(session);
    return refusal;
}

// ---- the relay's figures

// Asked for before paths are given back, so that what they saw is not lost.
static void ask_figures(struct session *session)
{
    struct signal *signal = session->signal;
    struct order last = {
        .kind = ORDER_SNAPSHOT, .call = session->call.id, .u.token = session->call.id};

    if (signal->io.order(signal->io.ctx, &last) == 0)
        session->figures++;
}

static void keep_figures(struct session *session, const struct path_view *view)
{
    struct path_view *grown;

    for (unsigned i = 0; i < session->views; i++) {
        if (session->view[i].path == view->path) {
            session->view[i] = *view;
            return;
        }
    }
    if (session->views == VIEWS_MAX)
        return;
    grown = realloc(session->view, (session->views + 1) * sizeof *grown);
    if (!grown)
        return;
    session->view = grown;
    session->view[session->views++] = *view;
}

static void figures_event(struct signal *signal, const struct relay_event *event, usec_t now)
{
    struct session *session = session_by_id(signal, event->token);

    if (!session || session->figures == 0)
        return;
    if (event->kind == EVENT_SNAPSHOT) {
        keep_figures(session, event->u.view);
        return;
    }
    if (--session->figures == 0 && session->call.state == CALL_ENDED) {
        session_tell_ended(session, now);
        session_free(session);
    }
}

// ---- end

void session_turn_back(struct session *session, const char *reason, usec_t now)
{
    const struct refusal offer = {&condition_constraint, reason,
                                  COUNTER_DIVERT_PASSED_SESSION_ENDED};
    const struct refusal rest = {&condition_unknown_session, NULL,
                                 COUNTER_DIVERT_PASSED_SESSION_ENDED};
    struct waiting *w;

    STAILQ_FOREACH(w, &session->queue, link)
    {
        waiting_refuse(session->signal, w, w->action == JINGLE_SESSION_INITIATE ? &offer : &rest,
                       now);
    }
    queue_free(session);
}

// What XEP-0353 section 3.7 has to say at the end may still come.
static void touch_proposal(struct session *session, usec_t now)
{
    const struct relation *relation = session->relation;
    struct proposal *proposal =
        relation ? proposal_find(session->signal, session->sid, relation->a, relation->b) : NULL;

    if (proposal)
        proposal_touch(session->signal, proposal, now);
}

void session_end(struct session *session, const char *reason, usec_t now)
{
    struct signal *signal = session->signal;

    if (session->call.state == CALL_ENDED)
        return;
    map_remove(&signal->sessions, &session->node);
    call_ended(&signal->calls, &session->call);
    timer_cancel(&signal->timers, &session->hold);
    timer_cancel(&signal->timers, &session->patience);
    session->ended = now;
    session->end_reason = strdup(reason);
    note_step(&session->steps, STEP_ENDED, SIDE_COUNT, now);
    session_turn_back(session, reason, now);
    touch_proposal(session, now);
    ask_figures(session);
    contents_close_paths(session);
    // Freed when its figures have come; if none will, soon.
    if (session->figures == 0)
        session->orphan = signal->orphans = true;
}

void session_tell(struct session *session, enum side to, const char *reason, usec_t now)
{
    const struct party *party = &session->party[to];
    const char *initiator = to == SIDE_INITIATOR ? party->jid : session->party[0].proxy;
    struct xml *iq = xml_new("iq", NS_CLIENT);
    struct xml *jingle = iq ? xml_add(iq, "jingle", NS_JINGLE) : NULL;
    struct xml *why = jingle ? xml_add(jingle, "reason", NULL) : NULL;

    if (!why || !xml_add(why, reason, NULL) || xml_set(iq, "type", "set") ||
        xml_set(iq, "from", session->party[other(to)].proxy) || xml_set(iq, "to", party->jid) ||
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
    if (session->call.state != CALL_SETUP && !session->diverted) {
        session_tell(session, SIDE_INITIATOR, reason, now);
        session_tell(session, SIDE_RESPONDER, reason, now);
    }
    session_end(session, reason, now);
}

// ---- time and media

void session_accepted(struct session *session, usec_t now)
{
    struct calls *calls = &session->signal->calls;

    call_accepted(calls, &session->call, now);
    if (contents_silent(session)) // it rang for longer than the relay calls silence
        call_silent(calls, &session->call, now);
}

// Nothing passes the relay. A direct path may carry the call, so that only the ports are given
// back; but then nobody notices when the clients vanish, and they are asked now and again.
static void go_direct(struct session *session, usec_t now)
{
    if (contents_have_paths(session)) {
        log_info("call %016" PRIx64 " needs no relay: its ports are given back", session->call.id);
        ask_figures(session);
        contents_close_paths(session);
        note_step(&session->steps, STEP_RETURNED, SIDE_COUNT, now);
    }
    (void)session_ask(session, SIDE_INITIATOR, PENDING_ALIVE, now);
    (void)session_ask(session, SIDE_RESPONDER, PENDING_ALIVE, now);
    call_silent(&session->signal->calls, &session->call, now);
    session_work(session, now); // a stanza may have waited for one of the paths
}

void session_expired(void *ctx, struct call *call, enum call_timeout timeout, usec_t now)
{
    struct session *session = container_of(call, struct session, call);
    bool silent = timeout == CALL_TIMEOUT_IDLE || timeout == CALL_TIMEOUT_MEDIA;

    (void)ctx;
    if (silent && contents_can_go_direct(session))
        go_direct(session, now);
    else
        session_terminate(session, timeout == CALL_TIMEOUT_DURATION ? "expired" : "timeout", now);
}

static void path_event(struct signal *signal, struct media_path *path,
                       const struct relay_event *event, usec_t now)
{
    struct session *session = path->transport->session;

    note_event(&session->steps, event, now);
    switch (event->kind) {
    case EVENT_OPENED:
        if (path->opened)
            break;
        memcpy(path->relay, event->u.opened, sizeof path->relay);
        path->opened = true;
        if (--session->opening == 0)
            note_step(&session->steps, STEP_PORTS, SIDE_COUNT, now);
        session_work(session, now);
        break;
    case EVENT_FAILED:
        if (!path->opened) // else it failed late, and the call goes on without it
            session->failure = event->error;
        media_path_lost(signal, path);
        session_work(session, now);
        break;
    case EVENT_MEDIA:
        path->silent = false;
        call_media_seen(&signal->calls, &session->call, now);
        break;
    case EVENT_SILENT:
        path->silent = true;
        if (contents_silent(session))
            call_silent(&signal->calls, &session->call, now);
        break;
    default:
        break;
    }
}

void session_event(struct signal *signal, const struct relay_event *event, usec_t now)
{
    struct media_path *path;

    if (event->kind == EVENT_SNAPSHOT || event->kind == EVENT_SNAPSHOT_END) {
        figures_event(signal, event, now);
        return;
    }
    path = media_path_find(signal, event->path);
    if (path)
        path_event(signal, path, event, now);
}
