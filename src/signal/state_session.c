// SPDX-License-Identifier: ISC
// A Jingle session in a snapshot: its parties, what waits in its queue, its contents.
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SERIAL_MAX UINT32_MAX

// ---- saving

static void party_save(const struct party *party, json_t *object)
{
    json_t *p = state_new();

    state_put_text(p, "jid", party->jid);
    state_put_text(p, "proxy", party->proxy);
    state_put_u64(p, "dialect", party->dialect);
    state_append(object, "parties", p);
}

static void waiting_save(const struct waiting *w, json_t *object)
{
    json_t *waiting = state_new();

    state_put_u64(waiting, "from", w->from);
    state_put_bool(waiting, "prepared", w->prepared);
    state_put_u64(waiting, "since", w->since);
    state_put_xml(waiting, "stanza", w->stanza);
    state_append(object, "queue", waiting);
}

void session_save(const struct session *session, json_t *signal)
{
    const struct waiting *w;
    json_t *object = state_new();

    call_save(&session->call, object);
    state_put_text(object, "sid", session->sid);
    for (int side = 0; side < SIDE_COUNT; side++)
        party_save(&session->party[side], object);
    state_put_u64(object, "hold", session->asking ? state_deadline(&session->hold) : 0);
    state_put_bool(object, "met", session->met);
    state_put_bool(object, "bundled", session->bundled);
    state_put_u64(object, "serial", session->serial);
    contents_save(session, object);
    STAILQ_FOREACH(w, &session->queue, link)
    waiting_save(w, object);
    views_save(session->view, session->views, object);
    state_append(signal, "sessions", object);
}

// ---- restoring

static int party_restore(const json_t *object, struct party *party)
{
    struct state_reader reader = state_read(object);
    struct state_texts texts = {&reader, 0};

    party->jid = state_jid(&texts, "jid");
    party->proxy = state_jid(&texts, "proxy");
    party->dialect = (unsigned)state_u64(&reader, "dialect", UINT32_MAX);
    if (texts.error)
        return texts.error;
    return reader.wrong ? -EBADMSG : 0;
}

// Google's session alone is diverted, and no such stanza is ever left in a queue.
static int read_waiting(struct waiting *w, const json_t *object)
{
    struct state_reader reader = state_read(object);
    int r = state_xml(&reader, "stanza", &w->stanza);
    const struct xml *jingle = w->stanza ? jingle_element(w->stanza) : NULL;

    w->from = (enum side)state_u64(&reader, "from", SIDE_RESPONDER);
    w->prepared = state_bool(&reader, "prepared");
    w->since = state_u64(&reader, "since", USEC_NEVER);
    w->action = jingle_action(jingle ? xml_attr(jingle, "action") : NULL);
    if (r < 0)
        return r;
    return reader.wrong || !state_is_request(w->stanza) || w->action == JINGLE_ACTION_COUNT
               ? -EBADMSG
               : 0;
}

static int queue_restore(struct session *session, const json_t *list)
{
    const json_t *object;
    size_t i;
    int r = 0;

    if (json_array_size(list) > WAITING_MAX)
        return -EBADMSG;
    json_array_foreach(list, i, object)
    {
        struct waiting *w = calloc(1, sizeof *w);

        if (!w)
            return -ENOMEM;
        STAILQ_INSERT_TAIL(&session->queue, w, link);
        session->waiting++;
        r = read_waiting(w, object);
        // Only the first has had its turn.
        if (r == 0 && w->prepared && i > 0)
            r = -EBADMSG;
        if (r < 0)
            break;
    }
    return r;
}

static int read_session(struct session *session, struct state_reader *reader)
{
    struct state_texts texts = {reader, 0};
    const json_t *parties = state_array(reader, "parties");
    int r = 0;

    session->sid = state_need(&texts, "sid", SID_MAX);
    session->met = state_bool(reader, "met");
    session->bundled = state_bool(reader, "bundled");
    session->serial = (unsigned)state_u64(reader, "serial", SERIAL_MAX);
    for (size_t side = 0; r == 0 && side < SIDE_COUNT; side++)
        r = party_restore(json_array_get(parties, side), &session->party[side]);
    if (r == 0)
        r = texts.error;
    if (r == 0)
        r = contents_restore(session, reader);
    if (r == 0)
        r = queue_restore(session, state_array(reader, "queue"));
    if (r == 0)
        r = views_restore(reader, VIEWS_MAX, &session->view, &session->views);
    return r == 0 && reader->wrong ? -EBADMSG : r;
}

static bool is_taken(const struct session *session, enum call_door door)
{
    const struct signal *signal = session->signal;
    enum side side;

    return session_by_id(signal, session->call.id) || channel_by_id(signal, session->call.id) ||
           session_find(signal, door, session->sid, session->party[0].jid, session->party[1].jid,
                        &side);
}

// What a server has diverted never waits in a queue that is saved.
static bool is_possible(const struct session *session)
{
    enum call_door door = session->call.door;

    return door != DOOR_CHANNEL && !(session->diverted && session->waiting > 0) &&
           !is_taken(session, door);
}

// From here on it is one of the running ones, or its call counts no more.
static int enter(struct session *session)
{
    struct signal *signal = session->signal;
    int r = 0;

    session->diverted = session->call.door == DOOR_DIVERTED;
    if (!session->diverted)
        session->relation = relation_take(signal, session->party[0].jid, session->party[1].jid);
    if (!session->diverted && !session->relation)
        r = -ENOMEM;
    else if (!is_possible(session))
        r = -EBADMSG;
    else
        r = session_list(session);
    if (r < 0) {
        call_ended(&signal->calls, &session->call);
        session->call.state = CALL_NONE;
    }
    return r;
}

// Nothing of it is known to anybody yet, and the relay is told nothing.
static void leave_out(struct session *session)
{
    struct content *content;

    TAILQ_FOREACH (content, &session->contents, link) {
        transport_forget_paths(content->current);
        transport_forget_paths(content->pending);
    }
    session_free(session);
}

int session_restore(const struct restore *restore, const json_t *object)
{
    struct state_reader reader = state_read(object);
    struct session *session = session_blank(restore->signal);
    usec_t hold = state_u64(&reader, "hold", USEC_NEVER);
    int r;

    if (!session)
        return -ENOMEM;
    session->call.id = state_u64(&reader, "id", UINT64_MAX >> 1);
    r = reader.wrong ? -EBADMSG : read_session(session, &reader);
    if (r == 0)
        r = call_restore(&restore->signal->calls, &session->call, &reader, restore->pause);
    if (r == 0)
        r = enter(session);
    if (r == 0 && hold > 0)
        r = session_hold(session, state_put_off(restore, hold));
    if (r < 0)
        leave_out(session);
    return r;
}
