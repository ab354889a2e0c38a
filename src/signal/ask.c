// SPDX-License-Identifier: ISC
// What clients say of themselves (disco#info): what may be written to them, and whether they are
// still there. Of diverted sessions the component asks in its own name, and only users of the
// served domains: strangers' servers may not even reach it. Then a server waits while the offer
// does, so that what a client has said is remembered.
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HOLD_TIMEOUT  (500 * USEC_PER_MSEC) // how long an offer waits for the disco#info
#define HOLD_DIVERTED (250 * USEC_PER_MSEC) // the same, while a server waits
#define REMEMBERED    ((usec_t)3600 * USEC_PER_SEC)
#define ENTRIES_MAX   10000

// ---- what is remembered

struct dialect_entry { // owned by signal.dialects
    struct map_node node;
    TAILQ_ENTRY(dialect_entry) link; // in signal.dialect_list
    usec_t until;
    unsigned dialect;
    size_t len;
    char jid[]; // full
};

static void entry_free(struct signal *signal, struct dialect_entry *entry)
{
    map_remove(&signal->dialects, &entry->node);
    TAILQ_REMOVE(&signal->dialect_list, entry, link);
    free(entry);
}

static struct dialect_entry *entry_find(const struct signal *signal, const char *jid)
{
    size_t len = strlen(jid);
    struct map_node *n = map_first(&signal->dialects, map_hash(&signal->dialects, jid, len));

    for (; n; n = map_next(n)) {
        struct dialect_entry *entry = container_of(n, struct dialect_entry, node);

        if (entry->len == len && memcmp(entry->jid, jid, len) == 0)
            return entry;
    }
    return NULL;
}

static void remember_until(struct signal *signal, const char *jid, unsigned dialect, usec_t until)
{
    size_t len = strlen(jid);
    struct dialect_entry *entry;

    dialect_forget(signal, jid);
    if (signal->dialects.count >= ENTRIES_MAX)
        entry_free(signal, TAILQ_FIRST(&signal->dialect_list));
    entry = calloc(1, sizeof *entry + len + 1);
    if (!entry)
        return;
    entry->until = until;
    entry->dialect = dialect;
    entry->len = len;
    memcpy(entry->jid, jid, len);
    if (map_insert(&signal->dialects, &entry->node, map_hash(&signal->dialects, jid, len)) < 0) {
        free(entry);
        return;
    }
    TAILQ_INSERT_TAIL(&signal->dialect_list, entry, link);
}

static void remember(struct signal *signal, const char *jid, unsigned dialect, usec_t now)
{
    remember_until(signal, jid, dialect, now + REMEMBERED);
}

void dialect_forget(struct signal *signal, const char *jid)
{
    struct dialect_entry *entry = entry_find(signal, jid);

    if (entry)
        entry_free(signal, entry);
}

void dialects_free_all(struct signal *signal)
{
    while (!TAILQ_EMPTY(&signal->dialect_list))
        entry_free(signal, TAILQ_FIRST(&signal->dialect_list));
}

void dialects_save(const struct signal *signal, json_t *state)
{
    const struct dialect_entry *entry;

    TAILQ_FOREACH (entry, &signal->dialect_list, link) {
        json_t *object = state_new();

        state_put_text(object, "jid", entry->jid);
        state_put_u64(object, "dialect", entry->dialect);
        state_put_u64(object, "until", entry->until);
        state_append(state, "dialects", object);
    }
}

int dialect_restore(const struct restore *restore, const json_t *object)
{
    struct state_reader reader = state_read(object);
    const char *jid = state_text(&reader, "jid", JID_MAX - 1);
    unsigned dialect = (unsigned)state_u64(&reader, "dialect", UINT32_MAX);
    usec_t until = state_u64(&reader, "until", USEC_NEVER);

    if (reader.wrong || !jid)
        return -EBADMSG;
    remember_until(restore->signal, jid, dialect, until);
    return 0;
}

// ---- asking

bool session_ask(struct session *session, enum side side, enum pending_kind kind, usec_t now)
{
    const struct party *party = &session->party[side];
    const char *from =
        session->diverted ? session->signal->config.domain : session->party[other(side)].proxy;
    struct pending *pending;
    struct xml *iq;

    if (session->diverted && !served(session->signal, party->jid))
        return false;
    iq = xml_new("iq", NS_CLIENT);
    if (!iq || !xml_add(iq, "query", NS_DISCO_INFO) || xml_set(iq, "type", "get") ||
        xml_set(iq, "from", from) || xml_set(iq, "to", party->jid)) {
        xml_free(iq);
        return false;
    }
    pending = iq_ask(session->signal, iq, kind, NULL, now);
    if (!pending)
        return false;
    pending->call = session->call.id;
    pending->side = side;
    return true;
}

static void hold_ended(struct session *session, usec_t now)
{
    session->asking = false;
    session_work(session, now);
}

static void hold_expired(struct timer *timer, void *ctx, usec_t now)
{
    struct session *session = container_of(timer, struct session, hold);

    // Who does not answer is not waited for a second time.
    if (session->diverted)
        remember(ctx, session->party[SIDE_RESPONDER].jid, 0, now);
    hold_ended(session, now);
}

static bool ask_dialect(struct session *session, enum side side, usec_t now)
{
    struct party *party = &session->party[side];
    const struct dialect_entry *entry =
        session->diverted ? entry_find(session->signal, party->jid) : NULL;

    if (!entry || entry->until <= now)
        return session_ask(session, side, PENDING_DIALECT, now);
    party->dialect = entry->dialect;
    return false;
}

int session_hold(struct session *session, usec_t until)
{
    int r;

    session->hold.fire = hold_expired;
    r = timer_arm(&session->signal->timers, &session->hold, until);
    session->asking = r == 0;
    return r;
}

// What may be written to whom: the responder is asked before it gets the offer, which waits a
// little for the answer.
void session_ask_dialects(struct session *session, usec_t now)
{
    usec_t patience = session->diverted ? HOLD_DIVERTED : HOLD_TIMEOUT;
    bool asked = ask_dialect(session, SIDE_RESPONDER, now);

    (void)ask_dialect(session, SIDE_INITIATOR, now);
    if (asked)
        (void)session_hold(session, now + patience);
}

void session_learn_dialect(struct session *session, enum side side, const struct xml *answer,
                           usec_t now)
{
    const struct xml *query = answer ? xml_child(answer, "query", NS_DISCO_INFO) : NULL;
    struct party *party = &session->party[side];

    if (query) {
        party->dialect |= dialect_of(query);
        if (session->diverted)
            remember(session->signal, party->jid, party->dialect, now);
    }
    if (side != SIDE_RESPONDER || !session->asking)
        return;
    timer_cancel(&session->signal->timers, &session->hold);
    hold_ended(session, now);
}

// The server answers for a client that is gone (RFC 6121 section 8.5.3.2.3) with one of these; a
// client that is there answers with a result, or is slow.
bool answer_says_gone(const struct xml *answer)
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
