// SPDX-License-Identifier: ISC
// Restarts in the world of turn_world.h: a server that leaves its state as text, and the one that
// begins with it.
#include "lib/turn_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FIRST_PORT 49152 // turn_world.c: a row for each number

static int reopen(void *ctx, const struct addr *relayed, bool tcp, void *owner,
                  struct turn_port *ret_port)
{
    struct tw *w = ctx;
    unsigned i = relayed->port - FIRST_PORT;
    if (++w->opens == w->fail_open)
        return -EACCES;
    if (tcp || i >= w->ports_max || w->port[i].open)
        return -EADDRINUSE;
    w->port[i] = (struct tw_port){.addr = *relayed, .owner = owner, .open = true};
    w->ports_used++;
    *ret_port = (struct turn_port){.handle = &w->port[i], .relayed = *relayed};
    return 0;
}

static void *listener(void *ctx, const struct addr *local)
{
    return local->port == 3478 ? ctx : NULL;
}

struct turn_revival tw_revival(struct tw *w)
{
    return (struct turn_revival){.ctx = w, .reopen = reopen, .link = listener};
}

static json_t *through_text(json_t *state)
{
    assert_non_null(state);
    char *text = json_dumps(state, JSON_COMPACT);
    json_decref(state);
    state = json_loads(text, 0, NULL);
    assert_non_null(state);
    free(text);
    return state;
}

// The order of allocations means nothing.
static void by_name(json_t *state)
{
    static const char *const lists[] = {"allocations", "guests", "reservations"};
    json_t *item;
    size_t k;
    for (unsigned i = 0; i < sizeof lists / sizeof *lists; i++) {
        json_t *named = json_object();
        json_array_foreach(json_object_get(state, lists[i]), k, item)
        {
            char *name = json_dumps(item, JSON_COMPACT | JSON_SORT_KEYS);
            json_object_set(named, name, item);
            free(name);
        }
        json_object_set_new(state, lists[i], named);
    }
}

static void successor(struct tw *w)
{
    turn_free(w->turn);
    assert_int_equal(tw_try(w), 0);
    if (!w->kernel)
        return;
    free(w->kernel);
    tw_offload(w);
}

void tw_restart(struct tw *w)
{
    unsigned lost = 1, fail_open = w->fail_open, opens = w->opens;
    turn_tick(w->turn, w->now); // what has ended is closed
    json_t *state = through_text(turn_save(w->turn, w->now));
    w->fail_open = 0;
    successor(w);
    const struct turn_revival revival = tw_revival(w);
    assert_int_equal(turn_restore(w->turn, state, &revival, w->now, &lost), 0);
    assert_int_equal(lost, 0);
    w->fail_open = fail_open;
    w->opens = opens;
    tw_check(w);
    json_t *again = through_text(turn_save(w->turn, w->now));
    by_name(state);
    by_name(again);
    assert_true(json_equal(state, again));
    json_decref(state);
    json_decref(again);
}

// ---- always ----

static bool restarts;

void tw_restart_always(bool always)
{
    restarts = always;
}

static void look(void *ctx, const struct turn_view *view)
{
    bool *streams = ctx;
    *streams = *streams || (view->client.link && view->client.transport != TURN_UDP);
}

void tw_restart_maybe(struct tw *w)
{
    bool streams = false;
    if (!restarts || w->kernel)
        return;
    turn_list(w->turn, look, &streams, w->now);
    if (!streams)
        tw_restart(w);
}
