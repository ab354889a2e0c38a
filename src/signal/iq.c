// SPDX-License-Identifier: ISC
// IQ in both directions: the table of namespaces that are answered, stanza errors, and our own
// requests with their ids and timers. An IQ that is passed on gets an id of ours, unguessable
// because some servers match results by id alone; its answer is sent to who asked, once.
#include "adhoc.h"
#include "services.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PENDING_MAX 65536

const struct condition condition_bad_request = {"modify", "bad-request", NULL, NULL};
const struct condition condition_unavailable = {"cancel", "service-unavailable", NULL, NULL};
const struct condition condition_forbidden = {"auth", "forbidden", NULL, NULL};
const struct condition condition_constraint = {"wait", "resource-constraint", NULL, NULL};
const struct condition condition_not_found = {"cancel", "item-not-found", NULL, NULL};
const struct condition condition_tie_break = {"cancel", "conflict", "tie-break", NULL};
const struct condition condition_out_of_order = {"wait", "unexpected-request", "out-of-order",
                                                 NULL};
const struct condition condition_unsupported = {"cancel", "feature-not-implemented", NULL, NULL};
const struct condition condition_unknown_session = {"cancel", "item-not-found", "unknown-session",
                                                    NULL};
const struct condition condition_no_answer = {"wait", "remote-server-timeout", NULL,
                                              "the other client did not answer"};

// One row per namespace that requests to the component, or to JIDs that stand for others, may have.
static const struct iq_row {
    const char *type, *name, *ns;
    void (*component)(struct signal *signal, const struct xml *iq, usec_t now);
    void (*proxied)(struct signal *signal, const struct xml *iq, usec_t now);
} iq_rows[] = {
    {"get", "query", NS_DISCO_INFO, disco_info, door_disco},
    {"get", "query", NS_DISCO_ITEMS, disco_items, disco_items},
    {"get", "ping", NS_PING, answer_ping, NULL},
    {"get", "query", NS_VERSION, answer_version, NULL},
    {"get", "query", NS_LAST, answer_last, NULL},
    {"set", "jingle", NS_JINGLE, NULL, session_jingle},
    {"get", "services", NS_EXTDISCO_2, service_iq, NULL},
    {"get", "services", NS_EXTDISCO_1, service_iq, NULL},
    {"get", "credentials", NS_EXTDISCO_2, service_iq, NULL},
    {"get", "credentials", NS_EXTDISCO_1, service_iq, NULL},
    {"get", "query", NS_JINGLEINFO, service_iq, NULL},
    {"get", "services", NS_JINGLENODES, service_iq, NULL},
    {"get", "turn", NS_JINGLENODES_TURN, service_iq, NULL},
    {"get", "channel", NS_JINGLENODES_CHANNEL, nodes_channel, NULL},
    {"set", "command", NS_COMMANDS, adhoc_command, NULL},
    {"set", "delegation", NS_DELEGATION_2, delegation_iq, NULL},
    {"set", "delegation", NS_DELEGATION_1, delegation_iq, NULL},
    {"set", "divert", NS_DIVERT, divert_iq, NULL},
    {"set", "gone", NS_DIVERT, divert_gone, NULL},
};

void stanza_send(struct signal *signal, struct xml *stanza)
{
    if (!stanza)
        return;
    if (signal->io.send(signal->io.ctx, stanza) == 0)
        counter_add(signal->counters, COUNTER_STANZAS_SENT, 1);
    xml_free(stanza);
}

struct xml *reply_new(const struct xml *iq, const char *type)
{
    const char *id = xml_attr(iq, "id");
    struct xml *reply = xml_new(iq->name, NS_CLIENT);

    if (!reply)
        return NULL;
    if (xml_set(reply, "from", xml_attr(iq, "to")) || xml_set(reply, "to", xml_attr(iq, "from")) ||
        xml_set(reply, "type", type) || xml_set(reply, "id", id)) {
        xml_free(reply);
        return NULL;
    }
    return reply;
}

void reply_result(struct signal *signal, const struct xml *iq)
{
    stanza_send(signal, reply_new(iq, "result"));
}

struct xml *error_new(struct signal *signal, const struct xml *stanza,
                      const struct condition *condition, const char *text)
{
    struct xml *reply, *error, *line;

    counter_add(signal->counters, COUNTER_STANZAS_REFUSED, 1);
    reply = reply_new(stanza, "error");
    error = reply ? xml_add(reply, "error", NULL) : NULL;
    if (!error || xml_set(error, "type", condition->type) ||
        !xml_add(error, condition->name, NS_STANZAS) ||
        (condition->jingle && !xml_add(error, condition->jingle, NS_JINGLE_ERRORS))) {
        xml_free(reply);
        return NULL;
    }
    line = text ? xml_add(error, "text", NS_STANZAS) : NULL;
    if (line)
        (void)xml_add_text(line, text, strlen(text));
    return reply;
}

void reply_error_text(struct signal *signal, const struct xml *stanza,
                      const struct condition *condition, const char *text)
{
    const char *type = xml_attr(stanza, "type");

    // RFC 6120 section 8.3.1: an error is never answered by an error.
    if (!type || (strcmp(type, "error") != 0 && strcmp(type, "result") != 0))
        stanza_send(signal, error_new(signal, stanza, condition, text));
}

void reply_error(struct signal *signal, const struct xml *stanza, const struct condition *condition)
{
    reply_error_text(signal, stanza, condition, condition->text);
}

void pending_free(struct signal *signal, struct pending *pending)
{
    timer_cancel(&signal->timers, &pending->timer);
    if (pending->id[0]) {
        map_remove(&signal->pending, &pending->node);
        signal->pending_count--;
    }
    free(pending->from);
    free(pending->reply_to);
    free(pending->reply_from);
    free(pending->reply_id);
    free(pending);
}

void pending_free_all(struct signal *signal)
{
    struct map_node *node;

    while ((node = map_each(&signal->pending, NULL)))
        pending_free(signal, container_of(node, struct pending, node));
}

// Some clients never answer (docs/INTEROP.md): what only tells is then taken as read; what asks for
// something gets an error.
bool iq_needs_answer(enum jingle_action action)
{
    return action == JINGLE_SESSION_INITIATE || action == JINGLE_CONTENT_ADD ||
           action == JINGLE_TRANSPORT_REPLACE || action == JINGLE_ACTION_COUNT;
}

// No answer is taken for a good one where it only tells, and where it could not be heard.
bool pending_was_taken(const struct pending *pending)
{
    return !iq_needs_answer(pending->action) ||
           (pending->restored && pending->action != JINGLE_ACTION_COUNT);
}

static void answer_in_stead(struct signal *signal, const struct pending *pending)
{
    const struct session *session = session_by_id(signal, pending->call);
    bool accepted =
        session && session->call.state == CALL_ACTIVE && pending->action == JINGLE_SESSION_INITIATE;
    struct xml *iq = xml_new("iq", NS_CLIENT); // as the request had it, so that it can be answered

    if (iq && !xml_set(iq, "from", pending->reply_to) && !xml_set(iq, "to", pending->reply_from) &&
        !xml_set(iq, "id", pending->reply_id)) {
        if (accepted || pending_was_taken(pending))
            reply_result(signal, iq);
        else
            reply_error(signal, iq, &condition_no_answer);
    }
    xml_free(iq);
}

static void pending_expired(struct timer *timer, void *ctx, usec_t now)
{
    struct signal *signal = ctx;
    struct pending *pending = container_of(timer, struct pending, timer);

    counter_add(signal->counters, COUNTER_STANZAS_TIMEOUT, 1);
    if (pending->kind == PENDING_FORWARDED)
        answer_in_stead(signal, pending);
    if (pending->kind == PENDING_PUSH)
        push_answered(signal, pending->from, NULL);
    session_answered(signal, pending, NULL, now);
    pending_free(signal, pending);
}

static int pending_fill(struct pending *pending, const struct xml *iq, const struct xml *original)
{
    pending->from = strdup(xml_attr(iq, "to"));
    if (!pending->from)
        return -1;
    if (!original)
        return 0;
    pending->reply_to = strdup(xml_attr(original, "from"));
    pending->reply_from = strdup(xml_attr(original, "to"));
    pending->reply_id = strdup(xml_attr(original, "id"));
    return pending->reply_to && pending->reply_from && pending->reply_id ? 0 : -1;
}

int pending_list(struct signal *signal, struct pending *pending, const char *id, usec_t due)
{
    pending->timer.fire = pending_expired;
    if (timer_arm(&signal->timers, &pending->timer, due) < 0 ||
        map_insert(&signal->pending, &pending->node, map_hash(&signal->pending, id, strlen(id))) <
            0)
        return -ENOMEM;
    snprintf(pending->id, sizeof pending->id, "%s", id);
    signal->pending_count++;
    return 0;
}

struct pending *iq_ask(struct signal *signal, struct xml *iq, enum pending_kind kind,
                       const struct xml *original, usec_t now)
{
    struct pending *pending =
        signal->pending_count < PENDING_MAX ? calloc(1, sizeof *pending) : NULL;
    char id[sizeof pending->id];
    uint64_t random;

    if (!pending || pending_fill(pending, iq, original) < 0)
        goto fail;
    pending->kind = kind;
    pending->action = JINGLE_ACTION_COUNT;
    signal->io.random(signal->io.ctx, &random, sizeof random);
    snprintf(id, sizeof id, "r%016" PRIx64, random);
    if (xml_set(iq, "id", id) ||
        pending_list(signal, pending, id, now + signal->config.answer_timeout) < 0)
        goto fail;
    stanza_send(signal, iq);
    return pending;

fail:
    if (pending)
        pending_free(signal, pending);
    xml_free(iq);
    return NULL;
}

static struct pending *pending_find(struct signal *signal, const char *id, const char *from)
{
    uint64_t hash = map_hash(&signal->pending, id, strlen(id));

    for (struct map_node *n = map_first(&signal->pending, hash); n; n = map_next(n)) {
        struct pending *pending = container_of(n, struct pending, node);

        if (strcmp(pending->id, id) == 0 && jid_equal(pending->from, from))
            return pending;
    }
    return NULL;
}

static void pass_answer(struct signal *signal, const struct pending *pending, const struct xml *iq)
{
    struct xml *answer = xml_clone(iq);

    if (!answer || xml_set(answer, "to", pending->reply_to) ||
        xml_set(answer, "from", pending->reply_from) || xml_set(answer, "id", pending->reply_id) ||
        rewrite_answer(signal, answer) < 0) {
        xml_free(answer);
        return;
    }
    stanza_send(signal, answer);
}

void iq_answer(struct signal *signal, const struct xml *iq, usec_t now)
{
    const char *id = xml_attr(iq, "id"), *from = xml_attr(iq, "from");
    struct pending *pending = id ? pending_find(signal, id, from) : NULL;

    if (!pending) {
        counter_add(signal->counters, COUNTER_STANZAS_LATE, 1);
        return;
    }
    if (pending->kind == PENDING_FORWARDED)
        pass_answer(signal, pending, iq);
    if (pending->kind == PENDING_PUSH)
        push_answered(signal, pending->from, iq);
    session_answered(signal, pending, iq, now);
    pending_free(signal, pending);
}

void iq_request(struct signal *signal, const struct xml *iq, usec_t now)
{
    const char *type = xml_attr(iq, "type");
    const struct xml *payload = xml_child(iq, NULL, NULL);
    struct jid to;
    size_t i;

    if (!xml_attr(iq, "id") || !payload) {
        counter_add(signal->counters, COUNTER_STANZAS_MALFORMED, 1);
        reply_error_text(signal, iq, &condition_bad_request, "an IQ needs an id and one payload");
        return;
    }
    if (jid_parse(xml_attr(iq, "to"), &to) < 0)
        return;
    for (i = 0; i < sizeof iq_rows / sizeof iq_rows[0]; i++) {
        const struct iq_row *row = &iq_rows[i];

        // The payload may stand beside others: old clients send two dialects in one IQ.
        if (strcmp(row->type, type) != 0 || !xml_child(iq, row->name, row->ns))
            continue;
        if (to.local_len == 0 && row->component)
            row->component(signal, iq, now);
        else if (to.local_len > 0 && row->proxied)
            row->proxied(signal, iq, now);
        else
            break;
        return;
    }
    counter_add(signal->counters, COUNTER_STANZAS_UNKNOWN, 1);
    reply_error(signal, iq, &condition_unavailable);
}
