// SPDX-License-Identifier: ISC
// What the daemon finds out about itself and its XMPP server, for "jingle-relayctl doctor".
#include "daemon_internal.h"

#include "facts.h"

#include <errno.h>

static int on_ask(void *ctx, const struct xml *stanza)
{
    const struct daemon *d = ctx;

    return d->component ? component_send(d->component, stanza) : -ENOTCONN;
}

static struct facts_sources facts_of(struct daemon *d)
{
    return (struct facts_sources){
        .path = d->options->path,
        .config = d->config,
        .turn = d->turn,
        .fastpath = d->fastpath,
        .workers = workers_count(d->workers),
        .connected = counter_get(&d->counters, COUNTER_COMPONENT_UP) == 1,
    };
}

json_t *daemon_facts(void *daemon)
{
    const struct facts_sources sources = facts_of(daemon);

    return facts_json(&sources);
}

int daemon_start_facts(struct daemon *d)
{
    const struct questions_world world = {d->base, d->config, d, on_ask};

    return questions_new(&world, &d->questions);
}

void daemon_stop_facts(struct daemon *d)
{
    questions_free(d->questions);
    d->questions = NULL;
}
