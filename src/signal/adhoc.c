// SPDX-License-Identifier: ISC
// Commands of administrators over XMPP (XEP-0050): the verbs that app has told, for whoever is in
// the list. A verb with arguments takes two stages: a form, and its answer; a verb without, or
// whose first stage brings the form filled in, one.
//
// A session's name is a number and a keyed hash of it and the client: nobody can invent one, and
// one that is over is told from one that never was without being remembered.
#include "adhoc.h"

#include "base/log.h"
#include "base/mask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct adhoc_session {
    LIST_ENTRY(adhoc_session) link; // in signal.adhoc
    struct timer timer;
    struct signal *signal;
    const struct signal_verb *verb; // the table's
    uint64_t number;
    char *client;   // full JID
    struct xml *iq; // that waits for the verb's answer, without its content; NULL: the form is
                    // waited for
};

// ---- who

bool adhoc_is_admin(const struct signal *signal, const char *jid)
{
    struct jid parts;

    if (!signal->admin.run || jid_parse(jid, &parts) < 0 || parts.local_len == 0 ||
        parts.resource_len == 0 || !served(signal, jid))
        return false;
    for (size_t i = 0; i < signal->config.admin_count; i++) {
        if (jid_equal_bare(signal->config.admins[i], jid))
            return true;
    }
    return false;
}

// ---- errors

static void refuse(struct signal *signal, const struct xml *iq, const struct condition *condition,
                   const char *special, const char *text)
{
    struct xml *reply = error_new(signal, iq, condition, text);

    if (reply && special && !xml_add(xml_child(reply, "error", NULL), special, NS_COMMANDS)) {
        xml_free(reply);
        return;
    }
    stanza_send(signal, reply);
}

static void refuse_bad(struct signal *signal, const struct xml *iq, const char *special,
                       const char *text)
{
    refuse(signal, iq, &condition_bad_request, special, text);
}

// Section 4.4, table 4: unknown words are malformed, known ones at the wrong time are bad.
static void refuse_action(struct signal *signal, const struct xml *iq, const char *action)
{
    static const char *const known[] = {"execute", "cancel", "prev", "next", "complete"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(action, known[i]) == 0) {
            refuse_bad(signal, iq, "bad-action", "this is not possible at this stage");
            return;
        }
    }
    refuse_bad(signal, iq, "malformed-action", "there is no such action");
}

// ---- sessions

static uint64_t session_hash(const struct signal *signal, uint64_t number, const char *client)
{
    return map_hash2(&signal->pending, &number, sizeof number, client, strlen(client));
}

static void session_drop(struct adhoc_session *s)
{
    struct signal *signal = s->signal;

    timer_cancel(&signal->timers, &s->timer);
    LIST_REMOVE(s, link);
    signal->adhoc_count--;
    xml_free(s->iq);
    free(s->client);
    free(s);
}

void adhoc_free_all(struct signal *signal)
{
    while (LIST_FIRST(&signal->adhoc))
        session_drop(LIST_FIRST(&signal->adhoc));
}

static bool has_room(const struct signal *signal, const char *client)
{
    const struct adhoc_session *s;
    unsigned own = 0;

    LIST_FOREACH (s, &signal->adhoc, link)
        own += jid_equal(s->client, client);
    return signal->adhoc_count < ADHOC_SESSIONS_MAX && own < ADHOC_SESSIONS_PER_JID;
}

static void session_expire(struct timer *timer, void *ctx, usec_t now)
{
    struct adhoc_session *s = container_of(timer, struct adhoc_session, timer);

    (void)ctx;
    (void)now;
    if (s->iq)
        signal_admin_answer(s->signal, s->number, NULL, "no answer has come in time");
    else
        session_drop(s);
}

static int session_wait(struct adhoc_session *s, usec_t until)
{
    s->timer.fire = session_expire;
    return timer_arm(&s->signal->timers, &s->timer, until);
}

// NULL: no memory.
static struct adhoc_session *session_new(struct signal *signal, const struct signal_verb *verb,
                                         const char *client, usec_t now)
{
    struct adhoc_session *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->signal = signal;
    s->verb = verb;
    s->number = ++signal->adhoc_last;
    s->client = strdup(client);
    LIST_INSERT_HEAD(&signal->adhoc, s, link);
    signal->adhoc_count++;
    if (!s->client || session_wait(s, now + ADHOC_FORM_SECONDS * USEC_PER_SEC) < 0) {
        session_drop(s);
        return NULL;
    }
    return s;
}

static struct adhoc_session *session_by_number(const struct signal *signal, uint64_t number)
{
    struct adhoc_session *s;

    LIST_FOREACH (s, &signal->adhoc, link) {
        if (s->number == number)
            break;
    }
    return s;
}

// ---- answers

// Returns the whole stanza and the command in it. NULL: no memory.
static struct xml *command_reply(const struct adhoc_session *s, const struct xml *iq,
                                 const char *status, struct xml **ret_command)
{
    struct xml *reply = reply_new(iq, "result");
    struct xml *command = reply ? xml_add(reply, "command", NS_COMMANDS) : NULL;

    if (!command || xml_set(command, "node", s->verb->name) ||
        xml_setf(command, "sessionid", "%" PRIx64 "-%016" PRIx64, s->number,
                 session_hash(s->signal, s->number, s->client)) ||
        xml_set(command, "status", status)) {
        xml_free(reply);
        return NULL;
    }
    *ret_command = command;
    return reply;
}

static int add_actions(struct xml *command)
{
    struct xml *actions = xml_add(command, "actions", NULL);

    return !actions || xml_set(actions, "execute", "complete") ||
                   !xml_add(actions, "complete", NULL)
               ? -ENOMEM
               : 0;
}

static void send_question(struct adhoc_session *s, const struct xml *iq)
{
    struct xml *command, *reply = command_reply(s, iq, "executing", &command);

    if (!reply || add_actions(command) < 0 || adhoc_add_question(command, s->verb) < 0) {
        xml_free(reply);
        refuse(s->signal, iq, &condition_constraint, NULL, NULL);
        session_drop(s);
        return;
    }
    stanza_send(s->signal, reply);
}

static int add_outcome(struct xml *command, const struct signal_verb *verb, const json_t *result,
                       const char *error)
{
    int r = 0;

    // Section 3.4: notes stand before the form that they speak of.
    if (error)
        return adhoc_add_note(command, "error", "%s", error);
    if (verb->changes)
        r = adhoc_add_note(command, "info", "%s: done", verb->name);
    return r < 0 ? r : adhoc_add_result(command, verb, result);
}

void signal_admin_answer(struct signal *signal, uint64_t token, const json_t *result,
                         const char *error)
{
    struct adhoc_session *s = session_by_number(signal, token);
    struct xml *reply, *command;

    if (!s || !s->iq)
        return;
    counter_add(signal->counters, error ? COUNTER_ADMIN_FAILED : COUNTER_ADMIN_DONE, 1);
    reply = command_reply(s, s->iq, "completed", &command);
    if (!reply || add_outcome(command, s->verb, result, error) < 0) {
        xml_free(reply);
        reply = error_new(signal, s->iq, &condition_constraint, NULL);
    }
    stanza_send(signal, reply);
    session_drop(s);
}

// ---- stages

// As the request had it, so that it can be answered.
static struct xml *envelope(const struct xml *iq)
{
    struct xml *copy = xml_new("iq", NS_CLIENT);

    if (!copy || xml_set(copy, "from", xml_attr(iq, "from")) ||
        xml_set(copy, "to", xml_attr(iq, "to")) || xml_set(copy, "id", xml_attr(iq, "id"))) {
        xml_free(copy);
        return NULL;
    }
    return copy;
}

// The session may be gone afterwards.
static void run(struct adhoc_session *s, const struct xml *iq, const json_t *arguments, usec_t now)
{
    struct signal *signal = s->signal;
    struct mask mask;

    s->iq = envelope(iq);
    if (!s->iq || session_wait(s, now + ADHOC_ANSWER_SECONDS * USEC_PER_SEC) < 0) {
        refuse(signal, iq, &condition_constraint, NULL, NULL);
        session_drop(s);
        return;
    }
    if (s->verb->changes)
        log_notice("%s is asked for over XMPP by %s", s->verb->name, mask_jid(s->client, &mask));
    signal->admin.run(signal->admin.ctx, s->verb, arguments, s->number);
}

static void run_form(struct adhoc_session *s, const struct xml *iq, const struct xml *form,
                     usec_t now)
{
    json_t *arguments;
    int r = adhoc_read(form, s->verb, &arguments);

    if (r == 0) {
        run(s, iq, arguments, now);
        json_decref(arguments);
    } else if (r == -EINVAL) { // he may try again
        refuse_bad(s->signal, iq, "bad-payload", "the form is missing, or a value in it");
    } else {
        refuse(s->signal, iq, &condition_constraint, NULL, NULL);
    }
}

static void begin(struct signal *signal, const struct xml *iq, const struct signal_verb *verb,
                  usec_t now)
{
    const struct xml *command = xml_child(iq, "command", NS_COMMANDS);
    const struct xml *form = xml_child(command, "x", NS_DATA);
    const char *client = xml_attr(iq, "from"), *action = xml_attr(command, "action");
    struct adhoc_session *s;
    json_t *arguments = NULL;

    if (action && strcmp(action, "execute") != 0) {
        refuse_action(signal, iq, action);
        return;
    }
    if (verb->argument[0].name && form && adhoc_read(form, verb, &arguments) < 0) {
        refuse_bad(signal, iq, "bad-payload", "a value in the form is missing");
        return;
    }
    s = has_room(signal, client) ? session_new(signal, verb, client, now) : NULL;
    if (!s) {
        counter_add(signal->counters, COUNTER_ADMIN_LIMIT, 1);
        refuse(signal, iq, &condition_constraint, NULL, "too many commands are under way");
    } else if (verb->argument[0].name && !form) {
        send_question(s, iq);
    } else {
        run(s, iq, arguments, now);
    }
    json_decref(arguments);
}

// NULL: refused.
static struct adhoc_session *find(struct signal *signal, const struct xml *iq,
                                  const struct signal_verb *verb, const char *name)
{
    static const struct condition not_allowed = {"cancel", "not-allowed", NULL, NULL};
    const char *client = xml_attr(iq, "from");
    char *end;
    uint64_t number = strtoull(name, &end, 16), hash = 0;
    struct adhoc_session *s;

    if (*end == '-')
        hash = strtoull(end + 1, &end, 16);
    if (*end || hash != session_hash(signal, number, client)) {
        refuse_bad(signal, iq, "bad-sessionid", "there never was such a session");
        return NULL;
    }
    s = session_by_number(signal, number);
    if (s && s->verb == verb)
        return s;
    if (s)
        refuse_bad(signal, iq, "bad-sessionid", "the session is another command's");
    else
        refuse(signal, iq, &not_allowed, "session-expired", "the session is over");
    return NULL;
}

static void go_on(struct adhoc_session *s, const struct xml *iq, usec_t now)
{
    struct xml *answer, *command = xml_child(iq, "command", NS_COMMANDS);
    const struct xml *form = xml_child(command, "x", NS_DATA);
    const char *type = form ? xml_attr(form, "type") : NULL, *action = xml_attr(command, "action");

    if (!action)
        action = type && strcmp(type, "cancel") == 0 ? "cancel" : "execute";
    bool cancel = strcmp(action, "cancel") == 0;
    if (s->iq || // the verb runs already
        (!cancel && strcmp(action, "execute") != 0 && strcmp(action, "complete") != 0)) {
        refuse_action(s->signal, iq, action);
    } else if (cancel) {
        answer = command_reply(s, iq, "canceled", &command);
        stanza_send(s->signal, answer);
        session_drop(s);
    } else {
        run_form(s, iq, form, now);
    }
}

static const struct signal_verb *verb_by_name(const struct signal *signal, const char *name)
{
    for (size_t i = 0; name && i < signal->admin.verbs; i++) {
        if (strcmp(signal->admin.verb[i].name, name) == 0)
            return &signal->admin.verb[i];
    }
    return NULL;
}

void adhoc_command(struct signal *signal, const struct xml *iq, usec_t now)
{
    const struct xml *command = xml_child(iq, "command", NS_COMMANDS);
    const char *name = xml_attr(command, "sessionid");
    const struct signal_verb *verb = verb_by_name(signal, xml_attr(command, "node"));
    struct adhoc_session *s;

    if (!adhoc_is_admin(signal, xml_attr(iq, "from"))) {
        counter_add(signal->counters, COUNTER_ADMIN_FORBIDDEN, 1);
        reply_error(signal, iq, &condition_forbidden);
        return;
    }
    if (!verb) {
        reply_error(signal, iq, &condition_not_found);
        return;
    }
    if (!name) {
        begin(signal, iq, verb, now);
        return;
    }
    s = find(signal, iq, verb, name);
    if (s)
        go_on(s, iq, now);
}

void signal_set_admin(struct signal *signal, const struct signal_admin *admin)
{
    adhoc_free_all(signal);
    signal->admin = admin ? *admin : (struct signal_admin){0};
}
