// SPDX-License-Identifier: ISC
// The rows, and how they are asked; see verbs.h.
#include "verbs.h"

#include "inquiry.h"
#include "questions.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define ERROR_MAX 2048 // a configuration may have many mistakes

struct waiting { // for an inquiry, or for answers of the XMPP server
    LIST_ENTRY(waiting) link;
    struct verbs *verbs;
    struct verb_reply reply;
};

struct verbs {
    struct verbs_world world;
    LIST_HEAD(, waiting) waiting; // owned
};

// ---- answers

// What was asked may be quoted in it, cut inside a character; and JSON takes nothing but UTF-8.
static void make_utf8(char *text)
{
    json_t *right = json_string(text);

    for (char *p = text; !right && *p; p++) {
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    }
    json_decref(right);
}

void verb_fail(struct verb_reply reply, const char *format, ...)
{
    char text[ERROR_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_utf8(text);
    reply.done(reply.ctx, NULL, text);
}

void verb_answer(struct verb_reply reply, json_t *result)
{
    reply.done(reply.ctx, result, result ? NULL : "out of memory");
}

static struct waiting *wait_for(struct verbs *verbs, struct verb_reply reply)
{
    struct waiting *waiting = calloc(1, sizeof *waiting);

    if (!waiting) {
        verb_answer(reply, NULL);
        return NULL;
    }
    waiting->verbs = verbs;
    waiting->reply = reply;
    LIST_INSERT_HEAD(&verbs->waiting, waiting, link);
    return waiting;
}

static void on_inquired(void *ctx, json_t *json, bool found)
{
    struct waiting *waiting = ctx;
    struct verb_reply reply = waiting->reply;

    LIST_REMOVE(waiting, link);
    free(waiting);
    if (found)
        verb_answer(reply, json);
    else
        verb_fail(reply, "there is no such call; the running ones and the last that ended are in "
                         "the list of calls");
}

// ---- the verbs

static const char *argument(const json_t *arguments, const char *name)
{
    return json_string_value(json_object_get(arguments, name));
}

static void run_status(struct verbs *verbs, const json_t *arguments, struct verb_reply reply)
{
    (void)arguments;
    verb_answer(reply, verbs->world.status(verbs->world.ctx));
}

static void run_calls(struct verbs *verbs, const json_t *arguments, struct verb_reply reply)
{
    struct waiting *waiting = wait_for(verbs, reply);

    (void)arguments;
    if (waiting)
        inquiry_calls(verbs->world.inquiry, on_inquired, waiting);
}

static void run_call(struct verbs *verbs, const json_t *arguments, struct verb_reply reply)
{
    const char *id = argument(arguments, "id");
    struct waiting *waiting;
    uint64_t call;

    if (!inquiry_call_id(id, &call)) {
        verb_fail(reply, "\"%.64s\" is no id of a call: expected up to 16 hexadecimal digits", id);
        return;
    }
    waiting = wait_for(verbs, reply);
    if (waiting)
        inquiry_call(verbs->world.inquiry, call, on_inquired, waiting);
}

static void run_allocations(struct verbs *verbs, const json_t *arguments, struct verb_reply reply)
{
    struct waiting *waiting = wait_for(verbs, reply);

    (void)arguments;
    if (waiting)
        inquiry_allocations(verbs->world.inquiry, on_inquired, waiting);
}

static void on_answers(void *ctx, json_t *answers)
{
    struct waiting *waiting = ctx;
    const struct verbs_world *world = &waiting->verbs->world;
    struct verb_reply reply = waiting->reply;
    json_t *facts = world->facts(world->ctx);

    LIST_REMOVE(waiting, link);
    free(waiting);
    if (facts && answers)
        json_object_set(facts, "server", answers);
    json_decref(answers);
    verb_answer(reply, facts);
}

static void run_facts(struct verbs *verbs, const json_t *arguments, struct verb_reply reply)
{
    struct waiting *waiting = wait_for(verbs, reply);

    (void)arguments;
    if (waiting &&
        (!verbs->world.questions || questions_ask(verbs->world.questions, on_answers, waiting) < 0))
        on_answers(waiting, NULL);
}

static void run_kick(struct verbs *verbs, const json_t *arguments, struct verb_reply reply)
{
    const char *target = argument(arguments, "target");
    uint64_t call = 0;

    if (strchr(target, '@'))
        verbs->world.kick(verbs->world.ctx, 0, target, reply);
    else if (inquiry_call_id(target, &call) && call != 0)
        verbs->world.kick(verbs->world.ctx, call, NULL, reply);
    else
        verb_fail(reply,
                  "\"%.256s\" is neither the id of a call (up to 16 hexadecimal digits) nor a user "
                  "(alice@example.org)",
                  target);
}

static void run_drain(struct verbs *verbs, const json_t *arguments, struct verb_reply reply)
{
    const char *mode = argument(arguments, "mode");

    verbs->world.drain(verbs->world.ctx, mode ? mode : "on", reply);
}

static void run_reload(struct verbs *verbs, const json_t *arguments, struct verb_reply reply)
{
    (void)arguments;
    verbs->world.reload(verbs->world.ctx, reply);
}

static void run_secrets(struct verbs *verbs, const json_t *arguments, struct verb_reply reply)
{
    (void)arguments; // there is one action
    verbs->world.rotate(verbs->world.ctx, reply);
}

static const char *const drain_modes[] = {"on", "stay", "off", NULL};
static const char *const secrets_actions[] = {"rotate", NULL};
static const char *const call_columns[] = {
    "id", "state", "initiator.jid", "responder.jid", "opened", "verdict", NULL};
static const char *const allocation_columns[] = {"identity", "client",    "transport",
                                                 "opened",   "expires_s", NULL};

const struct verb verb_rows[] = {
    {.name = "status", .help = "Show how the relay is doing.", .run = run_status},
    {.name = "calls",
     .help = "List running calls and the last that ended.",
     .columns = call_columns,
     .run = run_calls},
    {.name = "call",
     .help = "Tell the story of one call.",
     .argument = {{"id", "The call's id, as the list has it.", NULL, true}},
     .run = run_call},
    {.name = "allocations",
     .help = "List TURN allocations.",
     .columns = allocation_columns,
     .run = run_allocations},
    {.name = "kick",
     .help = "End a call, or all calls and TURN allocations of a user.",
     .argument = {{"target", "A call's id, or a user: alice@example.org.", NULL, true}},
     .changes = true,
     .run = run_kick},
    {.name = "drain",
     .help = "Take no new calls and end when the last one has; or take them again.",
     .argument = {{"mode",
                   "\"on\" (if left out): end after the last call; \"stay\": go on running; "
                   "\"off\": take calls again.",
                   drain_modes, false}},
     .changes = true,
     .run = run_drain},
    {.name = "reload",
     .help = "Read the configuration again and apply it without touching a call.",
     .changes = true,
     .run = run_reload},
    {.name = "secrets",
     .help = "Make a new secret for TURN credentials; the old one is accepted for a while.",
     .argument = {{"action", "\"rotate\".", secrets_actions, true}},
     .changes = true,
     .local = true,
     .run = run_secrets},
    {.name = "facts",
     .help = "Tell what \"jingle-relayctl doctor\" needs to know, and ask the XMPP server.",
     .local = true,
     .run = run_facts},
    {.name = "hand-over",
     .help = "Give sockets and state to a successor, who asks for it by itself, and end.",
     .changes = true,
     .local = true,
     .takes_connection = true},
};

const size_t verb_count = sizeof verb_rows / sizeof verb_rows[0];

const struct verb *verb_find(const char *name)
{
    for (size_t i = 0; name && i < verb_count; i++) {
        if (strcmp(verb_rows[i].name, name) == 0)
            return &verb_rows[i];
    }
    return NULL;
}

// ---- asking

static const struct verb_argument *find_argument(const struct verb *verb, const char *name)
{
    for (size_t i = 0; i < VERB_ARGUMENTS_MAX && verb->argument[i].name; i++) {
        if (strcmp(verb->argument[i].name, name) == 0)
            return &verb->argument[i];
    }
    return NULL;
}

static bool word_ok(const struct verb_argument *row, const char *text)
{
    for (size_t i = 0; row->words && row->words[i]; i++) {
        if (strcmp(row->words[i], text) == 0)
            return true;
    }
    return !row->words;
}

// True if all are right; else the reply is given.
static bool check_given(const struct verb *verb, const json_t *arguments, struct verb_reply reply)
{
    union { // jansson iterates over what it may change
        const json_t *borrowed;
        json_t *object;
    } args = {arguments};
    const char *name;
    json_t *value;

    json_object_foreach(args.object, name, value)
    {
        const struct verb_argument *row = find_argument(verb, name);

        if (!row) {
            verb_fail(reply, "%s has no argument \"%.64s\"", verb->name, name);
            return false;
        }
        if (!json_is_string(value)) {
            verb_fail(reply, "%s: %s: expected a text", verb->name, name);
            return false;
        }
        if (!word_ok(row, json_string_value(value))) {
            verb_fail(reply, "%s: %s = \"%.64s\": expected %s", verb->name, name,
                      json_string_value(value), row->help);
            return false;
        }
    }
    return true;
}

static bool check_missing(const struct verb *verb, const json_t *arguments, struct verb_reply reply)
{
    for (size_t i = 0; i < VERB_ARGUMENTS_MAX && verb->argument[i].name; i++) {
        const struct verb_argument *row = &verb->argument[i];

        if (row->required && !argument(arguments, row->name)) {
            verb_fail(reply, "%s needs the argument \"%s\": %s", verb->name, row->name, row->help);
            return false;
        }
    }
    return true;
}

// Whether the world has what the row needs.
static bool can(const struct verbs_world *world, const struct verb *verb)
{
    const struct {
        void (*run)(struct verbs *verbs, const json_t *arguments, struct verb_reply reply);
        bool there;
    } needs[] = {
        {run_status, world->status != NULL},  {run_kick, world->kick != NULL},
        {run_drain, world->drain != NULL},    {run_reload, world->reload != NULL},
        {run_secrets, world->rotate != NULL}, {run_facts, world->facts != NULL},
    };

    for (size_t i = 0; i < sizeof needs / sizeof needs[0]; i++) {
        if (needs[i].run == verb->run)
            return needs[i].there;
    }
    return true;
}

void verbs_run(struct verbs *verbs, const struct verb *verb, const json_t *arguments,
               struct verb_reply reply)
{
    if (arguments && !json_is_object(arguments))
        verb_fail(reply, "%s: expected the arguments as an object of texts", verb->name);
    else if (!can(&verbs->world, verb))
        verb_fail(reply, "%s: this daemon cannot do that", verb->name);
    else if (check_given(verb, arguments, reply) && check_missing(verb, arguments, reply))
        verb->run(verbs, arguments, reply);
}

// ---- life

int verbs_new(const struct verbs_world *world, struct verbs **ret_verbs)
{
    struct verbs *verbs = calloc(1, sizeof *verbs);

    if (!verbs)
        return -ENOMEM;
    verbs->world = *world;
    LIST_INIT(&verbs->waiting);
    *ret_verbs = verbs;
    return 0;
}

void verbs_free(struct verbs *verbs)
{
    struct waiting *waiting;

    if (!verbs)
        return;
    if (verbs->world.inquiry)
        inquiry_cancel(verbs->world.inquiry, on_inquired);
    if (verbs->world.questions)
        questions_cancel(verbs->world.questions, on_answers);
    while ((waiting = LIST_FIRST(&verbs->waiting))) {
        LIST_REMOVE(waiting, link);
        free(waiting);
    }
    free(verbs);
}

const struct verbs_world *verbs_world(const struct verbs *verbs)
{
    return &verbs->world;
}
