// SPDX-License-Identifier: ISC
// How many answers longer than their request unverified UDP sources get: a token bucket for each
// /24 and /56, in a table of fixed size. Within a set of four the one unused for longest gives way;
// to push its victim's bucket out, an attacker who does not know the hash needs about as many
// prefixes as there are slots, and nobody honest is refused because of other prefixes.
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_SETS 1024 // of LIMIT_WAYS: 64 KiB
#define LIMIT_WAYS 4

int limiter_init(struct limiter *limiter)
{
    limiter->slot = calloc((size_t)LIMIT_SETS * LIMIT_WAYS, sizeof *limiter->slot);
    return limiter->slot ? 0 : -ENOMEM;
}

void limiter_free(struct limiter *limiter)
{
    free(limiter->slot);
    limiter->slot = NULL;
}

static struct limit_slot *find_slot(struct limiter *limiter, uint64_t prefix, uint32_t now_ms,
                                    uint32_t full)
{
    struct limit_slot *set = &limiter->slot[(prefix >> 1) % LIMIT_SETS * LIMIT_WAYS], *oldest = set;
    for (unsigned i = 0; i < LIMIT_WAYS; i++) {
        if (set[i].prefix == prefix)
            return &set[i];
        if (now_ms - set[i].last_ms > now_ms - oldest->last_ms)
            oldest = &set[i];
    }
    *oldest = (struct limit_slot){.prefix = prefix, .tokens = full, .last_ms = now_ms};
    return oldest;
}

static void refill(struct limit_slot *slot, uint32_t now_ms, uint32_t rate, uint32_t full)
{
    // A rate per second is one in thousandths per millisecond.
    uint64_t more = (uint64_t)(now_ms - slot->last_ms) * rate;
    slot->tokens =
        more >= full || slot->tokens + more >= full ? full : (uint32_t)(slot->tokens + more);
    slot->last_ms = now_ms;
}

bool limiter_take(struct turn *turn, const struct addr *source, usec_t now)
{
    uint32_t rate = turn->config->answers_per_second, burst = turn->config->answers_burst;
    if (rate == 0)
        return true;
    uint32_t full = burst < 1 ? 1000 : burst > 1000000 ? 1000000000 : burst * 1000;
    uint32_t now_ms = (uint32_t)(now / USEC_PER_MSEC);
    size_t len = source->family == FAMILY_V4 ? 3 : 7; // 24 or 56 bits
    // 0 is the prefix of slots that were never used.
    uint64_t prefix = map_hash(&turn->clients, source->ip, len) | 1;
    struct limit_slot *slot = find_slot(&turn->limiter, prefix, now_ms, full);
    refill(slot, now_ms, rate, full);
    if (slot->tokens < 1000)
        return false;
    slot->tokens -= 1000;
    return true;
}
