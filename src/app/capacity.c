// SPDX-License-Identifier: ISC
// Room for calls; see capacity.h.
#include "capacity.h"

#include <string.h>

#define SMOOTHING     (2 * USEC_PER_SEC)   // time constant of what is measured
#define RECOVERY      (300 * USEC_PER_SEC) // the ceiling rises by the whole limit in so long
#define FULL_UNTIL    0.9                  // of the limit
#define LOSS          0.001                // so much lost by sockets is too much
#define BACK_OFF      0.9                  // of the load at which it was lost
#define LEAST_CEILING 0.25                 // of the limit; losses below are not the load's
#define GUESS_WEIGHT  8                    // measured calls that outweigh the guess
#define SPARE         64                   // descriptors that calls leave to the rest of the daemon

// What one costs, as long as it is not known. A call is audio both ways, a hundred packets a
// second; of a client's allocations at most one carries so much.
static const struct {
    double load; // share of a worker's time
    double bandwidth;
    double ports, descriptors;
} guess[CAPACITY_KINDS] = {
    [CAPACITY_CALL] = {0.0005, 20000, 0, 0}, // its ports depend on the configuration
    [CAPACITY_ALLOCATION] = {0.00005, 2000, 1, 2},
};

const char *capacity_resource_name(enum capacity_resource resource)
{
    static const char *const names[] = {"number", "load", "bandwidth", "ports", "descriptors"};

    return resource < CAPACITY_RESOURCES ? names[resource] : "none";
}

void capacity_init(struct capacity *capacity, const struct capacity_limits *limits)
{
    memset(capacity, 0, sizeof *capacity);
    capacity->limits = *limits;
    capacity->ceiling = limits->load;
    capacity->share[CAPACITY_CALL] = 1;
}

// ---- measuring

static void smooth(double *value, double now, double weight)
{
    *value += (now - *value) * weight;
}

// Losses at some load say that the limit was set too high for this machine; at little load they are
// a burst's, or a stranger's who floods one socket, and refusing calls would not help.
static void adjust_ceiling(struct capacity *c, const struct capacity_sample *sample)
{
    double limit = c->limits.load;
    bool lost = (double)sample->missed > LOSS * (double)(sample->packets + sample->missed);

    if (lost && sample->load > LEAST_CEILING * limit) {
        double lower = BACK_OFF * sample->load;

        if (lower < c->ceiling)
            c->ceiling = lower;
    } else {
        c->ceiling += limit * (double)sample->span / RECOVERY;
    }
    if (c->ceiling > limit)
        c->ceiling = limit;
    if (c->ceiling < LEAST_CEILING * limit)
        c->ceiling = LEAST_CEILING * limit;
}

void capacity_measured(struct capacity *c, const struct capacity_sample *sample,
                       const struct capacity_use *use)
{
    double span = (double)sample->span, weight = span / (span + SMOOTHING);

    if (sample->span == 0)
        return;
    smooth(&c->load, sample->load, weight);
    smooth(&c->bandwidth, (double)sample->bytes * USEC_PER_SEC / span, weight);
    for (int k = 0; k < CAPACITY_KINDS; k++)
        smooth(&c->measured[k], use->measured[k], weight);
    if (sample->packets > 0) {
        double turn = (double)sample->packets_of_turn / (double)sample->packets;

        smooth(&c->share[CAPACITY_ALLOCATION], turn < 1 ? turn : 1, weight);
        c->share[CAPACITY_CALL] = 1 - c->share[CAPACITY_ALLOCATION];
    }
    adjust_ceiling(c, sample);
}

// ---- deciding

static double mean(double sum, double count, double guessed)
{
    return (sum + GUESS_WEIGHT * guessed) / (count + GUESS_WEIGHT);
}

static unsigned whole(double room)
{
    if (!(room > 0)) // also when it is no number
        return 0;
    return room < CAPACITY_UNBOUNDED ? (unsigned)room : CAPACITY_UNBOUNDED;
}

// Of what is measured: 'used' is smoothed, and so is the count of those that it was measured of.
// Those that have come since add their mean, those that have gone take it away.
static unsigned room_measured(struct capacity *c, enum capacity_resource resource,
                              enum capacity_kind kind, const struct capacity_use *use)
{
    bool load = resource == CAPACITY_LOAD;
    double limit = load ? c->ceiling : c->limits.bandwidth;
    double used = load ? c->load : c->bandwidth, expected = used, cost[CAPACITY_KINDS];

    if (limit <= 0)
        return CAPACITY_UNBOUNDED;
    for (int k = 0; k < CAPACITY_KINDS; k++) {
        double guessed = load ? guess[k].load / c->limits.workers : guess[k].bandwidth;

        cost[k] = mean(used * c->share[k], c->measured[k], guessed);
        expected += cost[k] * ((double)use->running[k] - c->measured[k]);
    }
    if (expected + cost[kind] > limit)
        c->full[resource] = true;
    else if (expected <= FULL_UNTIL * limit)
        c->full[resource] = false;
    return c->full[resource] ? 0 : whole((limit - expected) / cost[kind]);
}

static double ports_cost(const struct capacity *c, enum capacity_kind kind,
                         const struct capacity_use *use)
{
    double of_turn = guess[CAPACITY_ALLOCATION].ports * use->running[CAPACITY_ALLOCATION];
    double of_calls = (double)use->ports_used - of_turn;

    if (kind == CAPACITY_ALLOCATION)
        return guess[CAPACITY_ALLOCATION].ports;
    return mean(of_calls > 0 ? of_calls : 0, use->running[CAPACITY_CALL], c->limits.ports_per_call);
}

static unsigned room_of(struct capacity *c, enum capacity_resource resource,
                        enum capacity_kind kind, const struct capacity_use *use)
{
    unsigned most = c->limits.number[kind];
    double ports = ports_cost(c, kind, use), descriptors;

    switch (resource) {
    case CAPACITY_NUMBER:
        return most ? whole((double)most - use->running[kind]) : CAPACITY_UNBOUNDED;
    case CAPACITY_LOAD:
    case CAPACITY_BANDWIDTH:
        return room_measured(c, resource, kind, use);
    case CAPACITY_PORTS:
        return ports > 0 ? whole((double)use->ports_free / ports) : CAPACITY_UNBOUNDED;
    case CAPACITY_DESCRIPTORS: // one per port; an allocation's client may have a connection
        descriptors = kind == CAPACITY_CALL ? ports : guess[kind].descriptors;
        return descriptors > 0
                   ? whole(((double)c->limits.descriptors - SPARE - (double)use->descriptors) /
                           descriptors)
                   : CAPACITY_UNBOUNDED;
    case CAPACITY_RESOURCES:
        break;
    }
    return 0;
}

struct capacity_room capacity_room(struct capacity *c, enum capacity_kind kind,
                                   const struct capacity_use *use)
{
    struct capacity_room room = {.least = CAPACITY_UNBOUNDED, .bound = CAPACITY_RESOURCES};

    for (int r = 0; r < CAPACITY_RESOURCES; r++) {
        room.of[r] = room_of(c, (enum capacity_resource)r, kind, use);
        if (room.of[r] < room.least) {
            room.least = room.of[r];
            room.bound = (enum capacity_resource)r;
        }
    }
    return room;
}
