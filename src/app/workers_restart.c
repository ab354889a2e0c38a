// SPDX-License-Identifier: ISC
// The forwarding threads over a restart: what they leave, and what they were left.
#include "workers_internal.h"

#include "base/log.h"
#include "codec/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- what a daemon before this one has left

void worker_note_kept(struct worker *worker, const struct relay_event *event)
{
    struct workers_revival *revival = worker->revival;

    if (revival->paths == revival->path_room) {
        size_t room = revival->path_room ? 2 * revival->path_room : 64;
        struct kept_path *grown = reallocarray(revival->path, room, sizeof *grown);
        if (!grown)
            return;
        revival->path = grown;
        revival->path_room = room;
    }
    revival->path[revival->paths++] = (struct kept_path){event->call, event->path};
}

// What it has left and cannot be used is lost, and no reason not to start.
static void revive(struct worker *worker, const json_t *state)
{
    struct state_reader reader = state_read(state);
    const json_t *relay = state_object(&reader, "relay"), *turn = state_object(&reader, "turn");
    struct workers_revival *revival = worker->revival;
    usec_t now = usec_now();
    unsigned lost = 0;
    int known = reader.wrong ? -EPROTONOSUPPORT : 0;
    int r = known < 0 ? known : relay_restore(worker->relay, relay, now, &lost);

    if (r < 0)
        log_err("not all paths of the last daemon can be used: %s", strerror(-r));
    revival->paths_lost += lost;
    r = known;
    if (r == 0 && turn && worker->turn)
        r = turn_worker_restore(worker->turn, turn, now, &lost);
    if (r < 0)
        log_err("not all allocations of the last daemon can be used: %s", strerror(-r));
    worker_tick(worker, now);
}

void workers_revive(struct workers *workers, struct workers_revival *revival)
{
    if (!revival)
        return;
    for (unsigned i = 0; i < workers->count; i++) {
        struct worker *worker = &workers->worker[i];
        if (revival->states)
            revive(worker, json_array_get(revival->states, i));
        udp_inherit(worker->udp, NULL);
        worker->revival = NULL;
    }
}

// ---- what is left for the next

// An event may bring an order, and an order an event.
static void settle(struct workers *workers)
{
    for (int round = 0; round < 8; round++) {
        for (unsigned i = 0; i < workers->count; i++)
            mailbox_flush(workers->worker[i].orders);
        mailbox_flush(workers->events);
    }
}

void workers_freeze(struct workers *workers)
{
    for (unsigned i = 0; i < workers->count; i++)
        worker_stop(&workers->worker[i]);
    settle(workers);
}

static json_t *save_worker(struct worker *worker, usec_t now)
{
    json_t *state = state_new();

    state_put(state, "relay", relay_save(worker->relay, now));
    if (worker->turn)
        state_put(state, "turn", turn_worker_save(worker->turn, now));
    return state;
}

static int leave_sockets(struct worker *worker, struct handover *handover)
{
    int r = udp_leave(worker->udp, handover);

    return r == 0 && worker->turn ? turn_worker_leave(worker->turn, handover) : r;
}

json_t *workers_save(struct workers *workers, struct handover *handover, usec_t now)
{
    json_t *states = json_array();

    for (unsigned i = 0; i < workers->count; i++)
        mailbox_flush(workers->worker[i].orders); // the last ones of the signalling
    for (unsigned i = 0; i < workers->count && states; i++) {
        json_t *state = save_worker(&workers->worker[i], now);
        bool whole = state_complete(state) && leave_sockets(&workers->worker[i], handover) == 0;
        if (json_array_append_new(states, state) < 0 || !whole) {
            json_decref(states);
            states = NULL;
        }
    }
    return states;
}

void workers_disown(struct workers *workers)
{
    for (unsigned i = 0; i < workers->count; i++) {
        worker_stop(&workers->worker[i]);
        if (workers->worker[i].turn)
            turn_worker_disown(workers->worker[i].turn);
    }
}

int workers_thaw(struct workers *workers)
{
    int r = 0;

    for (unsigned i = 0; i < workers->count && r == 0; i++)
        r = worker_start(&workers->worker[i]);
    return r;
}
