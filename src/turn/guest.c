// SPDX-License-Identifier: ISC
// Clients whose allocation lives on another worker. The kernel chooses a worker by the 5-tuple, but
// a mobile client that comes back from another address (RFC 8016), or one that brings the token of
// a reserved port, belongs to the worker that has the ports. Who has authenticated and shows such a
// ticket or token becomes a guest here: what it sends is handed over, until it has been silent for
// longer than any allocation lives without a Refresh, or that worker has nothing of it.
//
// Guests are bounded apart from allocations: whoever moves often, and leaves a guest behind each
// time, keeps nobody from allocating. When there are too many, who has been silent longest is
// forgotten, if that is so long that his permissions are over, even where the kernel forwards for
// him. But for those with a connection: its end is told to that worker, and how many connections
// there are is limited elsewhere.
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

#define GUEST_SILENT (600 * USEC_PER_SEC) // a client that is there refreshes something before

static void timer_fired(struct timer *timer, void *ctx, usec_t now)
{
    (void)now;
    guest_free(ctx, &container_of(timer, struct guest, timer)->at);
}

unsigned guest_worker(const struct binding *binding)
{
    return ((const struct guest *)(const void *)binding)->worker;
}

uint32_t guest_serial(const struct binding *binding)
{
    return ((const struct guest *)(const void *)binding)->serial;
}

static struct guest *guest_new(struct turn *turn, const struct turn_client *client, unsigned worker,
                               usec_t now)
{
    struct guest *guest = calloc(1, sizeof *guest);
    if (!guest)
        return NULL;
    guest->timer.fire = timer_fired;
    guest->worker = worker;
    if (timer_arm(&turn->timers, &guest->timer, now + turn->config->max_lifetime) < 0 ||
        binding_link(turn, &guest->at, client, BIND_GUEST) < 0) {
        timer_cancel(&turn->timers, &guest->timer);
        free(guest);
        return NULL;
    }
    turn->guests++;
    guest->seen = now;
    TAILQ_INSERT_TAIL(&turn->guest_queue, guest, entry);
    return guest;
}

int guest_again(struct turn *turn, const struct turn_client *client, unsigned worker, usec_t now)
{
    return guest_new(turn, client, worker, now) ? 0 : -ENOMEM;
}

// Returns whether somebody could be forgotten.
static bool forget_one(struct turn *turn, usec_t now)
{
    struct guest *guest;
    TAILQ_FOREACH (guest, &turn->guest_queue, entry) {
        if (now - guest->seen < GUEST_SILENT)
            return false;
        if (guest->at.client.transport == TURN_UDP) {
            guest_free(turn, &guest->at);
            return true;
        }
    }
    return false;
}

int guest_hand_over(struct request *r, unsigned worker)
{
    struct turn *turn = r->turn;
    if (turn->guests >= turn->config->allocations_max && !forget_one(turn, r->now))
        return 508;
    struct guest *guest = guest_new(turn, r->client, worker, r->now);
    if (!guest)
        return 508;
    guest_seen(turn, &guest->at, r->forward, r->now);
    return HANDED_OVER;
}

void guest_seen(struct turn *turn, struct binding *binding, struct turn_forward *ret_forward,
                usec_t now)
{
    struct guest *guest = container_of(binding, struct guest, at);
    // Armed, so that it cannot fail.
    (void)timer_arm(&turn->timers, &guest->timer, now + turn->config->max_lifetime);
    guest->seen = now;
    TAILQ_REMOVE(&turn->guest_queue, guest, entry);
    TAILQ_INSERT_TAIL(&turn->guest_queue, guest, entry);
    guest->serial = ++turn->handed_over;
    ret_forward->worker = guest->worker;
    ret_forward->serial = guest->serial;
    ret_forward->pause = false;
}

void guest_free(struct turn *turn, struct binding *binding)
{
    struct guest *guest = container_of(binding, struct guest, at);
    timer_cancel(&turn->timers, &guest->timer);
    binding_unlink(turn, binding);
    TAILQ_REMOVE(&turn->guest_queue, guest, entry);
    turn->guests--;
    free(guest);
}
