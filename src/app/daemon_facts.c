// SPDX-License-Identifier: ISC
// What the daemon finds out about itself and its XMPP server, for "jingle-relayctl doctor".
#include "daemon_internal.h"

#include "facts.h"

#include <errno.h>

#define BUSY     0.5                  // of a worker's time
#define STARTING (120 * USEC_PER_SEC) // the XMPP server may be starting as well

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

// A test costs little, but more than nothing.
static bool on_busy(void *ctx)
{
    const struct daemon *d = ctx;

    bool connected = counter_get(&d->counters, COUNTER_COMPONENT_UP) == 1;
    usec_t now = usec_now();

    if (!connected && now - d->started < STARTING)
        return true;
    return atomic_load(&d->draining) || admission_view(d->admission, now).load > BUSY;
}

static int start_selftest(struct daemon *d)
{
    const struct selftest_world world = {
        .base = d->base,
        .config = d->config,
        .questions = d->questions,
        .counters = &d->counters,
        .clock = d->clock,
        .ctx = d,
        .facts = daemon_facts,
        .busy = on_busy,
    };

    return selftest_new(&world, &d->selftest);
}

int daemon_start_facts(struct daemon *d)
{
    const struct questions_world world = {d->base, d->config, d, on_ask};
    int r = questions_new(&world, &d->questions);

    return r == 0 ? start_selftest(d) : r;
}

void daemon_stop_facts(struct daemon *d)
{
    selftest_free(d->selftest);
    d->selftest = NULL;
    questions_free(d->questions);
    d->questions = NULL;
}
