// SPDX-License-Identifier: ISC
// The signalling's successor takes the board over: what was saved goes through a text, as it does
// on a real restart, and the scripted relay goes on as if nothing had been.
#include "lib/board.h"

#include "../src/signal/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

char *board_save(struct board *b)
{
    json_t *state = signal_save(b->signal, b->now);
    char *text;

    assert_non_null(state);
    text = json_dumps(state, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(state);
    assert_non_null(text);
    return text;
}

// What the process counts as being there is counted anew; what has happened stays counted, so that
// tests may go on with it.
static void clear_gauges(struct counters *counters)
{
    for (int i = 0; i < COUNTER_COUNT; i++) {
        if (counter_rows[i].type == COUNTER_TYPE_GAUGE)
            counter_set(counters, (enum counter)i, 0);
    }
}

void board_replace(struct board *b)
{
    struct signal *old = b->signal;
    struct signal_io io = old->io;
    uint64_t random = b->random;

    assert_int_equal(signal_new(&old->config, &io, &b->counters, b->now, &b->signal), 0);
    signal_set_clock(b->signal, old->wall_minus_now);
    if (old->calls.draining)
        signal_drain(b->signal);
    b->signal->started = old->started;
    b->signal->calls.setup = old->calls.setup;
    b->signal->divert_times = old->divert_times;
    signal_free(old);
    clear_gauges(&b->counters);
    b->random = random; // so that the same happens as without a restart
}

int board_restore(struct board *b, const char *text, unsigned *ret_lost)
{
    json_t *state = json_loads(text, 0, NULL);
    int r;

    assert_non_null(state);
    r = signal_restore(b->signal, state, b->now, ret_lost);
    json_decref(state);
    return r;
}

void board_keep(struct board *b)
{
    struct kept_path kept[BOARD_PATHS];
    size_t count = 0;

    for (unsigned i = b->paths; i-- > 0;) {
        if (!b->path[i].closed)
            kept[count++] = (struct kept_path){b->path[i].open.call, b->path[i].open.path};
    }
    signal_keep_paths(b->signal, kept, count, b->now);
}

#define MANY 300 // of which the test makes some thousands, one by one

// A server that waits is given back what it has handed over, and calls that are over are told of
// before their figures have come: that is what tests notice.
bool board_may_restart(const struct board *b)
{
    const struct signal *s = b->signal;

    for (struct map_node *n = map_each(&s->sessions, NULL); n; n = map_each(&s->sessions, n)) {
        const struct session *session = container_of(n, struct session, node);

        if (session->diverted && session->waiting > 0)
            return false;
    }
    return b->snapshots == 0 && signal_unfinished(s) == signal_calls(s) &&
           s->proposals.count + s->pending.count + s->listeners.count + s->dialects.count < MANY;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// The lines of a text, sorted, without the commas at their ends: sessions come in no order.
static char *sorted_lines(const char *text)
{
    char *copy = strdup(text), *sorted = calloc(1, strlen(text) + 2), *at = sorted, *rest = copy;
    char **line = calloc(strlen(text) + 1, sizeof *line), *one;
    size_t lines = 0;

    assert_true(copy && sorted && line);
    while ((one = strtok_r(rest, "\n", &rest))) {
        size_t len = strlen(one);

        one[one[len - 1] == ',' ? len - 1 : len] = 0;
        line[lines++] = one;
    }
    qsort(line, lines, sizeof *line, by_text);
    for (size_t i = 0; i < lines; i++) {
        at = stpcpy(at, line[i]);
        *at++ = '\n';
    }
    free(line);
    free(copy);
    return sorted;
}

static void compare(const char *text, const char *again)
{
    char *a = sorted_lines(text), *b = sorted_lines(again);

    if (strcmp(a, b) != 0)
        fail_msg("saved %s\nand then %s", text, again);
    free(a);
    free(b);
}

void board_restart(struct board *b)
{
    unsigned calls = signal_calls(b->signal), lost = 1;
    char *text = board_save(b), *again;

    board_replace(b);
    assert_int_equal(board_restore(b, text, &lost), 0);
    assert_int_equal(lost, 0);
    board_keep(b);
    assert_true(signal_calls(b->signal) <= calls);
    (void)signal_tick(b->signal, b->now);
    // Whoever is restarted again leaves the same.
    again = board_save(b);
    b->signal->saved = false;
    compare(text, again);
    free(again);
    free(text);
}
