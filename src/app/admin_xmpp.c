// SPDX-License-Identifier: ISC
// See admin_xmpp.h.
#include "admin_xmpp.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

_Static_assert(VERB_ARGUMENTS_MAX <= SIGNAL_ARGUMENTS_MAX, "all arguments have their place");

struct asked { // a verb whose answer is awaited
    LIST_ENTRY(asked) link;
    struct admin_xmpp *admin;
    uint64_t token;
};

struct admin_xmpp {
    struct admin_xmpp_parts parts;
    struct signal_verb *verb; // owned
    LIST_HEAD(, asked) asked; // owned
};

static void on_answer(void *ctx, json_t *result, const char *error)
{
    struct asked *asked = ctx;

    signal_admin_answer(asked->admin->parts.signal, asked->token, result, error);
    json_decref(result);
    LIST_REMOVE(asked, link);
    free(asked);
}

static void on_run(void *ctx, const struct signal_verb *verb, const json_t *arguments,
                   uint64_t token)
{
    struct admin_xmpp *admin = ctx;
    struct asked *asked = calloc(1, sizeof *asked);

    if (!asked) {
        signal_admin_answer(admin->parts.signal, token, NULL, "out of memory");
        return;
    }
    asked->admin = admin;
    asked->token = token;
    LIST_INSERT_HEAD(&admin->asked, asked, link);
    verbs_run(admin->parts.verbs, verb_find(verb->name), arguments,
              (struct verb_reply){asked, on_answer});
}

static unsigned on_allocations(void *ctx)
{
    const struct admin_xmpp *admin = ctx;

    return admin->parts.allocations(admin->parts.ctx);
}

static struct signal_verb told(const struct verb *verb)
{
    struct signal_verb row = {
        .name = verb->name, .help = verb->help, .columns = verb->columns, .changes = verb->changes};

    for (int i = 0; i < VERB_ARGUMENTS_MAX; i++)
        row.argument[i] =
            (struct signal_argument){verb->argument[i].name, verb->argument[i].help,
                                     verb->argument[i].words, verb->argument[i].required};
    return row;
}

int admin_xmpp_new(const struct admin_xmpp_parts *parts, struct admin_xmpp **ret_admin)
{
    struct admin_xmpp *admin = calloc(1, sizeof *admin);
    struct signal_admin table = {.ctx = admin, .run = on_run, .allocations = on_allocations};

    if (admin)
        admin->verb = calloc(verb_count, sizeof *admin->verb);
    if (!admin || !admin->verb) {
        free(admin);
        return -ENOMEM;
    }
    admin->parts = *parts;
    LIST_INIT(&admin->asked);
    for (size_t i = 0; i < verb_count; i++) {
        if (!verb_rows[i].local)
            admin->verb[table.verbs++] = told(&verb_rows[i]);
    }
    table.verb = admin->verb;
    signal_set_admin(parts->signal, &table);
    *ret_admin = admin;
    return 0;
}

void admin_xmpp_free(struct admin_xmpp *admin)
{
    struct asked *asked;

    if (!admin)
        return;
    signal_set_admin(admin->parts.signal, NULL);
    while ((asked = LIST_FIRST(&admin->asked))) {
        LIST_REMOVE(asked, link);
        free(asked);
    }
    free(admin->verb);
    free(admin);
}
