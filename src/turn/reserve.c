// SPDX-License-Identifier: ISC
// Ports reserved by EVEN-PORT with R = 1, for the allocation that brings their token within half a
// minute (RFC 8656 section 7.2). One counts against its owner's quota like an allocation, so that
// reserving is no way to take ports that allocating would not give.
//
// A token is the number of the worker that has the port, and 56 random bits.
#include "internal.h"

#include <stdlib.h>
#include <string.h>

unsigned token_worker(uint64_t token)
{
    return (unsigned)(token >> 56);
}

struct reservation *reservation_find(const struct turn *turn, uint64_t token)
{
    struct map_node *node = map_first(&turn->reservations, token);
    for (; node; node = map_next(node)) {
        struct reservation *r = container_of(node, struct reservation, node);
        if (r->token == token)
            return r;
    }
    return NULL;
}

static void timer_fired(struct timer *timer, void *ctx, usec_t now)
{
    (void)now;
    struct turn *turn = ctx;
    struct reservation *r = container_of(timer, struct reservation, timer);
    turn->io.close(turn->io.ctx, r->port.handle);
    reservation_free(turn, r, true);
}

struct reservation *reservation_new(const char *identity)
{
    size_t size = strlen(identity) + 1;
    struct reservation *r = calloc(1, sizeof *r + size);
    if (!r)
        return NULL;
    memcpy(r->identity, identity, size);
    r->timer.fire = timer_fired;
    return r;
}

int reservation_arm(struct turn *turn, struct reservation *r, usec_t now)
{
    uint64_t token;
    do {
        turn->io.random(turn->io.ctx, &token, sizeof token);
        token = (token & UINT64_MAX >> 8) | (uint64_t)turn->config->worker << 56;
    } while (token == 0 || reservation_find(turn, token));
    return reservation_arm_as(turn, r, token, now + RESERVATION_LIFE);
}

int reservation_arm_as(struct turn *turn, struct reservation *r, uint64_t token, usec_t until)
{
    r->token = token;
    int rc = timer_arm(&turn->timers, &r->timer, until);
    if (rc < 0)
        return rc;
    rc = map_insert(&turn->reservations, &r->node, r->token);
    r->linked = rc == 0;
    return rc;
}

void reservation_free(struct turn *turn, struct reservation *r, bool release)
{
    timer_cancel(&turn->timers, &r->timer);
    if (r->linked)
        map_remove(&turn->reservations, &r->node);
    if (release) {
        turn->io.release(turn->io.ctx, r->identity);
        turn->charges--;
    }
    free(r);
}
