// SPDX-License-Identifier: ISC
// The pool of one bound address: which port numbers are free, used, or resting after use so that
// stragglers of one call do not arrive in the next. A free port is taken at random (a guess at the
// next one is worth nothing), in constant time: the free ones stand at the front of an array, the
// resting ones in a first-in first-out list.
//
// A worker owns whole pairs (2n, 2n + 1), so that a later user who needs an even port and its
// neighbour can still find both in one pool.

#include "internal.h"

#include <errno.h>
#include <stdlib.h>

static bool in_share(unsigned port, unsigned share, unsigned shares)
{
    return port / 2 % shares == share;
}

int pool_init(struct pool *pool, uint16_t min, uint16_t max, unsigned share, unsigned shares)
{
    unsigned n = 0;

    *pool = (struct pool){0};
    for (unsigned p = min; p <= max; p++)
        n += in_share(p, share, shares);
    if (n == 0)
        return -EINVAL;
    pool->port = calloc(n, sizeof(*pool->port));
    pool->free = calloc(n, sizeof(*pool->free));
    if (!pool->port || !pool->free) {
        pool_free(pool);
        return -ENOMEM;
    }
    for (unsigned p = min; p <= max; p++) {
        if (!in_share(p, share, shares))
            continue;
        uint16_t i = (uint16_t)pool->count++;
        pool->port[i] = (struct pool_port){.number = (uint16_t)p, .place = i};
        pool->free[i] = i;
    }
    pool->free_count = pool->count;
    return 0;
}

void pool_free(struct pool *pool)
{
    free(pool->port);
    free(pool->free);
    *pool = (struct pool){0};
}

static uint16_t take_place(struct pool *pool, uint16_t place)
{
    uint16_t index = pool->free[place];
    uint16_t moved = pool->free[--pool->free_count];

    pool->free[place] = moved;
    pool->port[moved].place = place;
    pool->port[index].state = PORT_USED;
    pool->used_count++;
    return index;
}

int pool_take(struct pool *pool, uint64_t random, uint16_t *ret_index)
{
    if (pool->free_count == 0)
        return -EMFILE;
    *ret_index = take_place(pool, (uint16_t)(random % pool->free_count));
    return 0;
}

static bool begins_pair(const struct pool *pool, uint16_t index)
{
    return pool->port[index].number % 2 == 0 && index + 1u < pool->count &&
           pool->port[index + 1].number == pool->port[index].number + 1 &&
           pool->port[index + 1].state == PORT_FREE;
}

int pool_take_parity(struct pool *pool, enum port_parity parity, uint64_t random,
                     uint16_t *ret_index)
{
    for (unsigned i = 0; i < pool->free_count; i++) {
        uint16_t place = (uint16_t)((random + i) % pool->free_count);
        uint16_t index = pool->free[place];
        bool fits = parity == PORT_PAIR   ? begins_pair(pool, index)
                    : parity == PORT_EVEN ? pool->port[index].number % 2 == 0
                                          : true;

        if (!fits)
            continue;
        *ret_index = take_place(pool, place);
        if (parity == PORT_PAIR)
            take_place(pool, pool->port[index + 1].place);
        return 0;
    }
    return -EMFILE;
}

uint16_t pool_index(const struct pool *pool, uint16_t number)
{
    unsigned low = 0, high = pool->count;

    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (pool->port[middle].number <= number)
            low = middle;
        else
            high = middle;
    }
    return (uint16_t)low;
}

// Out of the middle of the resting ones.
static void wake(struct pool *pool, uint16_t index)
{
    const struct pool_port *port = &pool->port[index];

    if (index == pool->first)
        pool->first = port->next;
    else
        pool->port[port->place].next = port->next;
    if (index == pool->last)
        pool->last = port->place;
    else
        pool->port[port->next].place = port->place;
    pool->port[index].state = PORT_USED;
    pool->quarantined_count--;
    pool->used_count++;
}

int pool_take_number(struct pool *pool, uint16_t number, uint16_t *ret_index)
{
    uint16_t index = pool_index(pool, number);

    if (pool->count == 0 || pool->port[index].number != number)
        return -ENOENT;
    switch ((enum port_state)pool->port[index].state) {
    case PORT_USED:
        return -EADDRINUSE;
    case PORT_FREE:
        take_place(pool, pool->port[index].place);
        break;
    case PORT_QUARANTINED:
        wake(pool, index);
        break;
    }
    *ret_index = index;
    return 0;
}

void pool_quarantine(struct pool *pool, uint16_t index, usec_t until)
{
    struct pool_port *port = &pool->port[index];

    port->state = PORT_QUARANTINED;
    port->until = until;
    port->place = pool->last;
    if (pool->quarantined_count++ == 0)
        pool->first = index;
    else
        pool->port[pool->last].next = index;
    pool->last = index;
    pool->used_count--;
}

usec_t pool_expire(struct pool *pool, usec_t now)
{
    while (pool->quarantined_count > 0) {
        uint16_t index = pool->first;
        struct pool_port *port = &pool->port[index];
        if (port->until > now)
            return port->until;
        pool->first = port->next;
        pool->quarantined_count--;
        port->state = PORT_FREE;
        port->place = (uint16_t)pool->free_count;
        pool->free[pool->free_count++] = index;
    }
    return USEC_NEVER;
}
