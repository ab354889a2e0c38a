// SPDX-License-Identifier: ISC
// New credentials for clients that hold old ones (XEP-0215 section 3.2). Who has asked the
// component for services and has shared presence with it gets, at three quarters of the lifetime,
// an IQ with what is new. Presence is the XEP's condition ("MUST NOT push updates ... unless it has
// presence information"), and of use: the server itself tells when a client goes (RFC 6121
// section 4.6.3).
//
// Answers that were delegated are not followed by pushes: a push would have to come from the user's
// server, and XEP-0355 lets us speak in its name only in answers. Such clients ask again, as they
// do when they start a call.
//
// A listener is a client of which presence or a question is known. Their number is bounded, also
// per user; one that goes, refuses a push or does not answer it is forgotten.
#include "services.h"
#include "state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PUSH_APART (10 * USEC_PER_MSEC) // between two clients, when all are told

enum { LISTENERS_MAX = 4096, LISTENERS_PER_USER = 8 };

struct listener {         // owned by struct signal
    struct map_node node; // in signal.listeners, by bare JID
    struct timer timer;   // when its credentials are due
    char *jid;            // full
    size_t bare_len;
    char *ns;   // of its question; NULL: it has not asked
    char *type; // that it asked for; NULL: any
    bool present;
};

static uint64_t hash_of(const struct signal *signal, const char *jid, size_t bare_len)
{
    return map_hash(&signal->listeners, jid, bare_len);
}

static struct listener *find(const struct signal *signal, const char *text, const struct jid *jid,
                             unsigned *ret_of_user)
{
    struct map_node *n = map_first(&signal->listeners, hash_of(signal, text, jid->bare_len));

    for (*ret_of_user = 0; n; n = map_next(n)) {
        struct listener *l = container_of(n, struct listener, node);

        if (l->bare_len != jid->bare_len || memcmp(l->jid, text, l->bare_len) != 0)
            continue;
        if (strcmp(l->jid, text) == 0)
            return l;
        ++*ret_of_user;
    }
    return NULL;
}

static void count(struct signal *signal)
{
    counter_set(signal->counters, COUNTER_PUSH_LISTENERS, signal->listeners.count);
}

static void forget(struct signal *signal, struct listener *l)
{
    timer_cancel(&signal->timers, &l->timer);
    map_remove(&signal->listeners, &l->node);
    count(signal);
    free(l->jid);
    free(l->ns);
    free(l->type);
    free(l);
}

void push_free_all(struct signal *signal)
{
    struct map_node *node;

    while ((node = map_each(&signal->listeners, NULL)))
        forget(signal, container_of(node, struct listener, node));
}

// ---- the push

static struct xml *push_new(struct signal *signal, const struct listener *l, usec_t now)
{
    const struct signal_services *services = &signal->config.services;
    struct service_query query = {.now = now, .door = COUNTER_CREDENTIALS_PUSHED};
    struct xml *iq = xml_new("iq", NS_CLIENT);
    struct xml *list = iq ? xml_add(iq, "services", l->ns) : NULL;
    int rc = !list || xml_set(iq, "type", "set") || xml_set(iq, "from", signal->config.domain) ||
             xml_set(iq, "to", l->jid) || xml_set(list, "type", l->type);

    memcpy(query.user, l->jid, l->bare_len);
    for (size_t i = 0; rc == 0 && i < services->count; i++) {
        const struct signal_service *service = &services->item[i];

        if (service_needs_credential(service) && (!l->type || strcmp(l->type, service->type) == 0))
            rc = extdisco_add(signal, &query, list, service, "modify");
    }
    if (rc == 0)
        return iq;
    xml_free(iq);
    return NULL;
}

static usec_t due(const struct signal *signal, usec_t now)
{
    return now + signal->config.services.lifetime / 4 * 3;
}

static void fire(struct timer *timer, void *ctx, usec_t now)
{
    struct signal *signal = ctx;
    struct listener *l = container_of(timer, struct listener, timer);
    struct xml *iq = l->present ? push_new(signal, l, now) : NULL;

    if (!iq || !iq_ask(signal, iq, PENDING_PUSH, NULL, now) ||
        timer_arm(&signal->timers, &l->timer, due(signal, now)) < 0)
        forget(signal, l);
}

void push_all(struct signal *signal, usec_t now)
{
    usec_t at = now;

    for (struct map_node *n = map_each(&signal->listeners, NULL);
         n && signal->config.services.count > 0; n = map_each(&signal->listeners, n)) {
        struct listener *l = container_of(n, struct listener, node);

        if (!l->ns)
            continue;
        at += PUSH_APART;
        (void)timer_arm(&signal->timers, &l->timer, at); // without memory it stays as it was
    }
}

void push_answered(struct signal *signal, const char *jid, const struct xml *answer)
{
    const char *type = answer ? xml_attr(answer, "type") : "error";
    struct listener *l;
    struct jid parts;
    unsigned of_user;

    if (strcmp(type, "error") != 0)
        return;
    counter_add(signal->counters, COUNTER_PUSH_FAILED, 1);
    l = jid_parse(jid, &parts) == 0 ? find(signal, jid, &parts, &of_user) : NULL;
    if (l)
        forget(signal, l);
}

// ---- who listens

static struct listener *listener_new(struct signal *signal, const char *jid, size_t bare_len)
{
    struct listener *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->jid = strdup(jid);
    l->bare_len = bare_len;
    l->timer.fire = fire;
    if (!l->jid || map_insert(&signal->listeners, &l->node, hash_of(signal, jid, bare_len)) < 0) {
        free(l->jid);
        free(l);
        return NULL;
    }
    count(signal);
    return l;
}

// NULL: there is none, and none may be made.
static struct listener *listener_of(struct signal *signal, const char *jid)
{
    struct jid parts;
    struct listener *l;
    unsigned of_user;

    if (jid_parse(jid, &parts) < 0 || parts.local_len == 0 || parts.resource_len == 0)
        return NULL;
    l = find(signal, jid, &parts, &of_user);
    if (l)
        return l;
    if (signal->listeners.count >= LISTENERS_MAX || of_user >= LISTENERS_PER_USER) {
        counter_add(signal->counters, COUNTER_PUSH_NO_ROOM, 1);
        return NULL;
    }
    return listener_new(signal, jid, parts.bare_len);
}

static int note_question(struct listener *l, const struct xml *services)
{
    const char *type = xml_attr(services, "type");
    char *new_ns = strdup(services->ns), *new_type = type ? strdup(type) : NULL;

    if (!new_ns || (type && !new_type)) {
        free(new_ns);
        free(new_type);
        return -1;
    }
    free(l->ns);
    free(l->type);
    l->ns = new_ns;
    l->type = new_type;
    return 0;
}

void push_asked(struct signal *signal, const struct xml *iq, const struct xml *services, usec_t now)
{
    struct listener *l = listener_of(signal, xml_attr(iq, "from"));

    if (l && (note_question(l, services) < 0 ||
              timer_arm(&signal->timers, &l->timer, due(signal, now)) < 0))
        forget(signal, l);
}

void push_presence(struct signal *signal, const struct xml *presence)
{
    const char *from = xml_attr(presence, "from"), *type = xml_attr(presence, "type");
    bool gone = type && (strcmp(type, "unavailable") == 0 || strcmp(type, "error") == 0);
    struct listener *l;
    struct jid parts;
    unsigned of_user;

    if (!signal->config.services.count || !served(signal, from) || (type && !gone))
        return;
    if (!gone) {
        l = listener_of(signal, from);
        if (l)
            l->present = true;
        return;
    }
    l = jid_parse(from, &parts) == 0 ? find(signal, from, &parts, &of_user) : NULL;
    if (l)
        forget(signal, l);
}

// ---- a restart

void listeners_save(const struct signal *signal, json_t *state)
{
    for (struct map_node *n = map_each(&signal->listeners, NULL); n;
         n = map_each(&signal->listeners, n)) {
        const struct listener *l = container_of(n, struct listener, node);
        json_t *object = state_new();

        state_put_text(object, "jid", l->jid);
        state_put_text(object, "namespace", l->ns);
        state_put_text(object, "type", l->type);
        state_put_bool(object, "present", l->present);
        state_put_u64(object, "due", state_deadline(&l->timer));
        state_append(state, "listeners", object);
    }
}

// Credentials grow old whoever is there.
int listener_restore(const struct restore *restore, const json_t *object)
{
    struct state_reader reader = state_read(object);
    struct signal *signal = restore->signal;
    struct state_texts texts = {&reader, 0};
    char *jid = state_jid(&texts, "jid"), *ns = state_copy(&texts, "namespace", STATE_TEXT_MAX);
    char *type = state_copy(&texts, "type", STATE_TEXT_MAX);
    bool present = state_bool(&reader, "present");
    usec_t due = state_u64(&reader, "due", USEC_NEVER);
    struct listener *l;
    int r = texts.error;

    if (r == 0 && (reader.wrong || (due > 0 && !ns)))
        r = -EBADMSG;
    l = r == 0 ? listener_of(signal, jid) : NULL;
    if (l) {
        l->present = present;
        free(l->ns);
        free(l->type);
        l->ns = ns;
        l->type = type;
        if (due > 0 && timer_arm(&signal->timers, &l->timer, due) < 0)
            forget(signal, l);
    } else {
        free(ns);
        free(type);
    }
    free(jid);
    return r;
}
