// SPDX-License-Identifier: ISC
// Calls that are over; see ended.h. What is told of one whole is kept as text, which is a tenth of
// the memory.
#include "ended.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

struct ended {
    TAILQ_ENTRY(ended) link;
    uint64_t id, serial;
    usec_t at;
    enum call_health health;
    json_t *line; // owned
    char *whole;  // owned
};

struct ended_calls {
    TAILQ_HEAD(ended_list_head, ended) calls; // the latest first
    unsigned count;
    uint64_t serial;
};

int ended_new(struct ended_calls **ret_ended)
{
    struct ended_calls *ended = calloc(1, sizeof *ended);

    if (!ended)
        return -ENOMEM;
    TAILQ_INIT(&ended->calls);
    *ret_ended = ended;
    return 0;
}

static void drop(struct ended_calls *ended, struct ended *call)
{
    TAILQ_REMOVE(&ended->calls, call, link);
    ended->count--;
    json_decref(call->line);
    free(call->whole);
    free(call);
}

void ended_free(struct ended_calls *ended)
{
    struct ended *call;

    if (!ended)
        return;
    while ((call = TAILQ_FIRST(&ended->calls)))
        drop(ended, call);
    free(ended);
}

static bool is_old(const struct ended *call, usec_t now)
{
    return call->at + ENDED_TIME < now;
}

// The oldest that went well, or else the oldest.
static struct ended *least_wanted(const struct ended_calls *ended)
{
    struct ended *call;

    TAILQ_FOREACH_REVERSE(call, &ended->calls, ended_list_head, link)
    {
        if (call->health != HEALTH_BAD)
            return call;
    }
    return TAILQ_LAST(&ended->calls, ended_list_head);
}

void ended_add(struct ended_calls *ended, uint64_t id, enum call_health health, json_t *line,
               json_t *whole, usec_t now)
{
    struct ended *call = calloc(1, sizeof *call), *last;
    char *text = whole ? json_dumps(whole, JSON_COMPACT) : NULL;

    json_decref(whole);
    if (!call || !text || !line) {
        json_decref(line);
        free(text);
        free(call);
        return;
    }
    while ((last = TAILQ_LAST(&ended->calls, ended_list_head)) && is_old(last, now))
        drop(ended, last);
    if (ended->count >= ENDED_MAX)
        drop(ended, least_wanted(ended));
    *call = (struct ended){.id = id,
                           .serial = ++ended->serial,
                           .at = now,
                           .health = health,
                           .line = line,
                           .whole = text};
    TAILQ_INSERT_HEAD(&ended->calls, call, link);
    ended->count++;
}

json_t *ended_find(const struct ended_calls *ended, uint64_t id, usec_t now)
{
    const struct ended *call;

    TAILQ_FOREACH (call, &ended->calls, link) {
        if (call->id == id && !is_old(call, now))
            return json_loads(call->whole, 0, NULL);
    }
    return NULL;
}

json_t *ended_list(const struct ended_calls *ended, uint64_t after, usec_t now)
{
    json_t *list = json_array();
    const struct ended *call;

    TAILQ_FOREACH (call, &ended->calls, link) {
        if (call->serial <= after || is_old(call, now))
            break;
        json_array_append(list, call->line);
    }
    return list;
}

uint64_t ended_serial(const struct ended_calls *ended)
{
    return ended->serial;
}
