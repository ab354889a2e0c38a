// SPDX-License-Identifier: ISC
// The test partner's part in the signalling: who may call it, the life of its calls, and what it
// shows of itself. What is in an offer and its answer is echo_answer.c's.
#include "echo.h"

#include "base/log.h"
#include "base/mask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ECHO_LOCAL    "echo"
#define ECHO_RESOURCE "relay" // of the presence that it shows; the same as door.c's

#define LAST_WORD (5 * USEC_PER_SEC) // for a worker to say what there was

bool echo_is(const struct signal *signal, const struct jid *jid)
{
    return signal->echo && jid->local_len == strlen(ECHO_LOCAL) &&
           memcmp(jid->local, ECHO_LOCAL, strlen(ECHO_LOCAL)) == 0;
}

int signal_set_echo(struct signal *signal, const struct echo_config *config,
                    const struct echo_io *io)
{
    struct echo *echo = calloc(1, sizeof *echo);
    uint8_t key[16];

    if (!echo)
        return -ENOMEM;
    echo->fingerprint = strdup(config->fingerprint);
    if (!echo->fingerprint) {
        free(echo);
        return -ENOMEM;
    }
    echo->io = *io;
    echo->calls_max = config->calls;
    echo->duration = config->duration;
    signal->io.random(signal->io.ctx, key, sizeof key);
    map_init(&echo->calls, key);
    signal->echo = echo;
    return 0;
}

unsigned signal_echo_calls(const struct signal *signal)
{
    return signal->echo ? (unsigned)signal->echo->calls.count : 0;
}

// ---- calls

static struct echo_call *find(const struct signal *signal, const char *sid, const char *from)
{
    const struct map *calls = &signal->echo->calls;
    struct map_node *n = sid ? map_first(calls, map_hash(calls, sid, strlen(sid))) : NULL;

    for (; n; n = map_next(n)) {
        struct echo_call *call = container_of(n, struct echo_call, node);
        if (!call->over && strcmp(call->sid, sid) == 0 && jid_equal(call->from, from))
            return call;
    }
    return NULL;
}

static void call_free(struct echo_call *call)
{
    timer_cancel(&call->signal->timers, &call->timer);
    xml_free(call->offer);
    free(call->sid);
    free(call->from);
    free(call->to);
    free(call);
}

static void drop(struct echo_call *call)
{
    struct signal *signal = call->signal;

    map_remove(&signal->echo->calls, &call->node);
    counter_set(signal->counters, COUNTER_ECHO_CALLS, signal->echo->calls.count);
    call_free(call);
}

// Over, and every worker's figures have come.
static void finish(struct echo_call *call, usec_t now)
{
    usec_t length = call->accepted ? now - call->accepted : 0;
    struct mask mask;

    for (unsigned i = 0; i < ECHO_LEGS; i++)
        if (call->leg[i].id && !call->leg[i].ended)
            return;
    log_info("test call of %s ended (%s) after %" PRIu64 " s: %" PRIu64
             " packets returned, %" PRIu64 " lost on the way here, jitter %" PRIu64 " ms",
             mask_jid(call->from, &mask), call->reason ? call->reason : "?", length / USEC_PER_SEC,
             call->packets, call->lost, call->jitter / USEC_PER_MSEC);
    drop(call);
}

static void close_legs(struct echo_call *call)
{
    const struct echo_io *io = &call->signal->echo->io;

    for (unsigned i = 0; i < ECHO_LEGS; i++) {
        struct echo_leg *leg = &call->leg[i];
        if (leg->id && !leg->ended && io->close(io->ctx, leg->id) < 0)
            leg->ended = true; // its own limits end it
    }
}

// Nothing will come of these any more.
static void give_up_legs(struct echo_call *call, unsigned first)
{
    for (unsigned i = first; i < ECHO_LEGS; i++)
        call->leg[i].ended = true;
}

static void end(struct echo_call *call, const char *reason, usec_t now)
{
    if (call->over)
        return;
    call->over = true;
    call->reason = reason;
    // It has been armed ever since the call began, so there is room.
    (void)timer_arm(&call->signal->timers, &call->timer, now + LAST_WORD);
    close_legs(call);
    finish(call, now);
}

// A request of ours in this call; its answer matters only for session-accept.
static struct xml *request(struct echo_call *call, const char *action, char id[24])
{
    struct xml *iq = xml_new("iq", NS_CLIENT);
    struct xml *jingle = iq ? xml_add(iq, "jingle", NS_JINGLE) : NULL;
    uint64_t random;

    call->signal->io.random(call->signal->io.ctx, &random, sizeof random);
    snprintf(id, 24, "e%016" PRIx64, random);
    if (!jingle || xml_set(iq, "from", call->to) || xml_set(iq, "to", call->from) ||
        xml_set(iq, "type", "set") || xml_set(iq, "id", id) || xml_set(jingle, "action", action) ||
        xml_set(jingle, "sid", call->sid)) {
        xml_free(iq);
        return NULL;
    }
    return iq;
}

static void terminate(struct echo_call *call, const char *reason, usec_t now)
{
    char id[24];
    struct xml *iq = request(call, "session-terminate", id);
    struct xml *x = iq ? xml_add(xml_child(iq, "jingle", NULL), "reason", NULL) : NULL;

    if (x && xml_add(x, reason, NULL))
        stanza_send(call->signal, iq);
    else
        xml_free(iq);
    end(call, reason, now);
}

static void on_time(struct timer *timer, void *ctx, usec_t now)
{
    struct echo_call *call = container_of(timer, struct echo_call, timer);

    (void)ctx;
    if (!call->over) {
        terminate(call, "success", now);
        return;
    }
    // The worker had no memory to say so. A line is not to be taken for ever.
    give_up_legs(call, 0);
    finish(call, now);
}

static struct echo_call *call_new(struct signal *signal, const struct xml *iq, const char *sid,
                                  usec_t now)
{
    struct echo *echo = signal->echo;
    struct echo_call *call = calloc(1, sizeof *call);

    if (!call)
        return NULL;
    call->signal = signal;
    call->timer.fire = on_time;
    call->sid = strdup(sid);
    call->from = strdup(xml_attr(iq, "from"));
    call->to = strdup(xml_attr(iq, "to"));
    call->offer = xml_clone(xml_child(iq, "jingle", NS_JINGLE));
    if (!call->sid || !call->from || !call->to || !call->offer ||
        timer_arm(&signal->timers, &call->timer, now + echo->duration) < 0 ||
        map_insert(&echo->calls, &call->node, map_hash(&echo->calls, sid, strlen(sid))) < 0) {
        call_free(call);
        return NULL;
    }
    counter_set(signal->counters, COUNTER_ECHO_CALLS, echo->calls.count);
    return call;
}

// ---- who may call

static bool has_enough(const struct signal *signal, const char *user)
{
    const struct map *calls = &signal->echo->calls;
    unsigned limit = signal->calls.limits.calls_per_user, count = 0;

    for (struct map_node *n = map_each(calls, NULL); n; n = map_each(calls, n)) {
        const struct echo_call *call = container_of(n, struct echo_call, node);
        count += !call->over && jid_is_of(call->from, user);
    }
    return limit > 0 && count >= limit;
}

// NULL: he may.
static const char *refusal_of(struct signal *signal, const char *from, usec_t now)
{
    enum call_refusal refusal;
    char user[JID_MAX];
    struct jid jid;

    if (jid_parse(from, &jid) < 0 || jid.resource_len == 0)
        return "calls come from full JIDs";
    snprintf(user, sizeof user, "%.*s", (int)jid.bare_len, from);
    if (signal->echo->calls.count >= signal->echo->calls_max)
        return "all lines of the test partner are busy";
    if (signal->calls.draining)
        return "no new calls are taken";
    if (has_enough(signal, user)) {
        calls_count_refusal(&signal->calls, CALL_REFUSED_PER_USER);
        return call_refusal_text(CALL_REFUSED_PER_USER);
    }
    refusal = calls_take_turn(&signal->calls, user, now);
    if (refusal == CALL_ADMITTED && signal->io.room)
        refusal = signal->io.room(signal->io.ctx, now);
    return refusal == CALL_ADMITTED ? NULL : call_refusal_text(refusal);
}

static void open_legs(struct echo_call *call, usec_t now)
{
    const struct echo_io *io = &call->signal->echo->io;

    for (unsigned i = 0; i < ECHO_LEGS; i++) {
        struct echo_leg *leg = &call->leg[i];
        if (leg->id && io->open(io->ctx, leg->id, &leg->terms) < 0) {
            give_up_legs(call, i);
            terminate(call, "failed-transport", now);
            return;
        }
    }
}

static void on_initiate(struct signal *signal, const struct xml *iq, const char *sid, usec_t now)
{
    const char *from = xml_attr(iq, "from"), *why = refusal_of(signal, from, now);
    struct echo_call *call = why ? NULL : call_new(signal, iq, sid, now);

    if (!call) {
        counter_add(signal->counters, COUNTER_ECHO_TURNED_AWAY, 1);
        reply_error_text(signal, iq, &condition_constraint, why ? why : "no memory");
        return;
    }
    counter_add(signal->counters, COUNTER_ECHO_TAKEN, 1);
    reply_result(signal, iq);
    why = echo_understand(call);
    if (!why) {
        open_legs(call, now);
        return;
    }
    give_up_legs(call, 0); // they were never opened
    terminate(call, why, now);
}

static void accept_call(struct echo_call *call, usec_t now)
{
    struct xml *iq = request(call, "session-accept", call->accept_id);
    struct xml *jingle = iq ? xml_child(iq, "jingle", NULL) : NULL;

    if (!iq || xml_set(jingle, "responder", call->to) || echo_answer(call, jingle) < 0) {
        xml_free(iq);
        terminate(call, "general-error", now);
        return;
    }
    call->accepted = now;
    xml_free(call->offer);
    call->offer = NULL;
    (void)timer_arm(&call->signal->timers, &call->timer, now + call->signal->echo->duration);
    stanza_send(call->signal, iq);
}

// ---- what the endpoints say

static struct echo_leg *leg_by_id(const struct signal *signal, uint64_t id,
                                  struct echo_call **ret_call)
{
    const struct map *calls = &signal->echo->calls;

    for (struct map_node *n = map_each(calls, NULL); n; n = map_each(calls, n)) {
        struct echo_call *call = container_of(n, struct echo_call, node);
        for (unsigned i = 0; i < ECHO_LEGS; i++) {
            if (call->leg[i].id == id) {
                *ret_call = call;
                return &call->leg[i];
            }
        }
    }
    return NULL;
}

static void on_opened(struct echo_call *call, struct echo_leg *leg, const struct echo_event *event,
                      usec_t now)
{
    memcpy(leg->addr, event->addr, sizeof leg->addr);
    leg->opened = true;
    for (unsigned i = 0; i < ECHO_LEGS; i++)
        if (call->leg[i].id && !call->leg[i].opened)
            return;
    if (!call->over && call->offer)
        accept_call(call, now);
}

static void on_ended(struct echo_call *call, struct echo_leg *leg, const struct echo_event *event,
                     usec_t now)
{
    leg->ended = true;
    call->packets += event->packets;
    call->lost += event->lost;
    if (event->jitter > call->jitter)
        call->jitter = event->jitter;
    if (call->over)
        finish(call, now);
    else
        terminate(call, event->reason ? event->reason : "general-error", now);
}

void signal_echo_event(struct signal *signal, const struct echo_event *event, usec_t now)
{
    struct echo_call *call;
    struct echo_leg *leg = signal->echo ? leg_by_id(signal, event->id, &call) : NULL;

    if (leg && event->kind == ECHO_OPENED)
        on_opened(call, leg, event, now);
    if (leg && event->kind == ECHO_ENDED)
        on_ended(call, leg, event, now);
}

unsigned echo_end(struct signal *signal, const char *user, const char *reason, usec_t now)
{
    struct map_node *node, *next;
    unsigned ended = 0;

    for (node = signal->echo ? map_each(&signal->echo->calls, NULL) : NULL; node; node = next) {
        struct echo_call *call = container_of(node, struct echo_call, node);

        next = map_each(&signal->echo->calls, node);
        if (call->over || (user && !jid_is_of(call->from, user)))
            continue;
        terminate(call, reason, now);
        ended++;
    }
    return ended;
}

void echo_free(struct signal *signal)
{
    struct map_node *node;

    if (!signal->echo)
        return;
    while ((node = map_each(&signal->echo->calls, NULL)))
        drop(container_of(node, struct echo_call, node));
    map_free(&signal->echo->calls);
    free(signal->echo->fingerprint);
    free(signal->echo);
    signal->echo = NULL;
}

// ---- stanzas

// There is nothing to change in a test: XEP-0166 section 7.2.2 and 7.2.14 know how to say so.
static void decline(struct echo_call *call, const char *action, const struct xml *asked)
{
    char id[24];
    struct xml *iq = request(call, action, id);

    for (struct xml *c = xml_child(asked, "content", NULL); c && iq;
         c = xml_next(c, "content", NULL)) {
        struct xml *copy = xml_clone(c);
        if (copy)
            xml_append(xml_child(iq, "jingle", NULL), copy);
    }
    stanza_send(call->signal, iq);
}

static void on_jingle(struct signal *signal, const struct xml *iq, usec_t now)
{
    const struct xml *jingle = xml_child(iq, "jingle", NS_JINGLE);
    const char *from = xml_attr(iq, "from"), *sid = xml_attr(jingle, "sid");
    enum jingle_action action = jingle_action(xml_attr(jingle, "action"));
    struct echo_call *call = find(signal, sid, from);

    if (!sid || !*sid || strlen(sid) > SID_MAX || action == JINGLE_ACTION_COUNT) {
        reply_error(signal, iq, &condition_bad_request);
        return;
    }
    if (action == JINGLE_SESSION_INITIATE && !call) {
        on_initiate(signal, iq, sid, now);
        return;
    }
    if (!call) {
        reply_error(signal, iq, &condition_unknown_session);
        return;
    }
    if (action == JINGLE_SESSION_INITIATE) {
        reply_error(signal, iq, &condition_out_of_order);
        return;
    }
    reply_result(signal, iq);
    if (action == JINGLE_SESSION_TERMINATE)
        end(call, "success", now);
    if (action == JINGLE_CONTENT_ADD)
        decline(call, "content-reject", jingle);
    if (action == JINGLE_TRANSPORT_REPLACE)
        decline(call, "transport-reject", jingle);
}

static void on_answer(struct signal *signal, const struct xml *iq, const char *type, usec_t now)
{
    const char *id = xml_attr(iq, "id");
    const struct map *calls = &signal->echo->calls;

    if (strcmp(type, "error") != 0 || !id)
        return;
    for (struct map_node *n = map_each(calls, NULL); n; n = map_each(calls, n)) {
        struct echo_call *call = container_of(n, struct echo_call, node);
        if (strcmp(call->accept_id, id) == 0 && jid_equal(call->from, xml_attr(iq, "from"))) {
            end(call, "failed-application", now);
            return;
        }
    }
}

// A bare JID looks like a user's account (RFC 6121; XEP-0030 section 3.1), its resource like a
// client that takes calls.
static void on_disco(struct signal *signal, const struct xml *iq, const struct jid *to, usec_t now)
{
    struct xml *reply, *query, *identity, *feature;

    if (to->resource_len > 0) {
        disco_info(signal, iq, now);
        return;
    }
    reply = reply_new(iq, "result");
    query = reply ? xml_add(reply, "query", NS_DISCO_INFO) : NULL;
    identity = query ? xml_add(query, "identity", NULL) : NULL;
    feature = identity ? xml_add(query, "feature", NULL) : NULL;
    if (!feature || xml_set(identity, "category", "account") ||
        xml_set(identity, "type", "registered") || xml_set(identity, "name", "Echo test") ||
        xml_set(feature, "var", NS_DISCO_INFO)) {
        xml_free(reply);
        return;
    }
    stanza_send(signal, reply);
}

static void on_iq(struct signal *signal, const struct xml *iq, const struct jid *to, usec_t now)
{
    const char *type = xml_attr(iq, "type");

    counter_add(signal->counters, COUNTER_STANZAS_IQ, 1);
    if (type && (strcmp(type, "result") == 0 || strcmp(type, "error") == 0))
        on_answer(signal, iq, type, now);
    else if (!served(signal, xml_attr(iq, "from")))
        reply_error_text(signal, iq, &condition_forbidden,
                         "the test partner is for users of the served domains only");
    else if (xml_child(iq, "jingle", NS_JINGLE))
        on_jingle(signal, iq, now);
    else if (xml_child(iq, "query", NS_DISCO_INFO))
        on_disco(signal, iq, to, now);
    else if (xml_child(iq, "query", NS_DISCO_ITEMS))
        disco_items(signal, iq, now);
    else if (xml_child(iq, "ping", NS_PING))
        answer_ping(signal, iq, now);
    else
        reply_error(signal, iq, &condition_unavailable);
}

// XEP-0353 section 3: it takes every call at once; the session itself is refused when it must be.
static void on_message(struct signal *signal, const struct xml *message, const struct jid *to,
                       usec_t now)
{
    const struct xml *propose = xml_child(message, "propose", NS_JMI);
    const char *from = xml_attr(message, "from"), *id = propose ? xml_attr(propose, "id") : NULL;
    char own[JID_MAX];
    struct xml *reply, *x;

    counter_add(signal->counters, COUNTER_STANZAS_MESSAGE, 1);
    if (!id || !served(signal, from)) {
        door_message(signal, message, now);
        return;
    }
    snprintf(own, sizeof own, "%.*s/%s", (int)to->bare_len, xml_attr(message, "to"), ECHO_RESOURCE);
    reply = xml_new("message", NS_CLIENT);
    x = reply ? xml_add(reply, "proceed", NS_JMI) : NULL;
    if (!x || xml_set(x, "id", id) || xml_set(reply, "from", own) || xml_set(reply, "to", from) ||
        xml_set(reply, "type", "chat")) {
        xml_free(reply);
        return;
    }
    stanza_send(signal, reply);
}

void echo_stanza(struct signal *signal, const struct xml *stanza, const struct jid *to, usec_t now)
{
    const char *type = xml_attr(stanza, "type");

    if (xml_is(stanza, "iq", NS_CLIENT)) {
        on_iq(signal, stanza, to, now);
    } else if (xml_is(stanza, "message", NS_CLIENT)) {
        on_message(signal, stanza, to, now);
    } else if (xml_is(stanza, "presence", NS_CLIENT)) {
        counter_add(signal->counters, COUNTER_STANZAS_PRESENCE, 1);
        if (served(signal, xml_attr(stanza, "from")))
            show_face(signal, stanza, type ? type : "");
    } else {
        counter_add(signal->counters, COUNTER_STANZAS_MALFORMED, 1);
    }
}
