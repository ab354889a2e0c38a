// SPDX-License-Identifier: ISC
// Room for calls; see capacity.h.
#include "capacity.h"

#include <string.h>

#define SMOOTHING     (2 * USEC_PER_SEC) // time constant of what is measured
#define LOAD_RISE     (1 * USEC_PER_SEC) // of the load
#define LOAD_FALL     (10 * USEC_PER_SEC)
#define PACKET_RISE   (10 * USEC_PER_SEC) // of the load by packets
#define PACKET_FALL   (60 * USEC_PER_SEC)
#define PACKETS       100                  // per second, of a call that is guessed
#define RECOVERY      (300 * USEC_PER_SEC) // the ceiling rises by the whole limit in so long
#define FULL_UNTIL    0.9                  // of the limit
#define AT_ONCE       0.5                  // of what is left of the load, by calls not measured
#define FIRST         256                  // calls, before any has been measured
#define LOSS          0.0005 // so much lost by queues is too much: half of what is bearable
#define BACK_OFF      0.9    // of the load at which it was lost
#define LEAST_CEILING 0.25   // of the limit; losses below are not the load's
#define GUESS_WEIGHT  8      // measured calls that outweigh the guess
#define ROUNDING      1e-6
#define SPARE         64 // descriptors that calls leave to the rest of the daemon

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

void capacity_set_limits(struct capacity *capacity, const struct capacity_limits *limits)
{
    uint64_t descriptors = capacity->limits.descriptors;
    double before = capacity->limits.load;

    capacity->limits = *limits;
    capacity->limits.descriptors = descriptors;
    // What losses have taken off the old limit they take off the new one.
    capacity->ceiling = before > 0 ? capacity->ceiling * (limits->load / before) : limits->load;
    for (int r = 0; r < CAPACITY_RESOURCES; r++)
        capacity->full[r] = false;
}

// ---- measuring

static double mean(double sum, double count, double guessed)
{
    return (sum + GUESS_WEIGHT * guessed) / (count + GUESS_WEIGHT);
}

static void smooth(double *value, double now, double weight)
{
    *value += (now - *value) * weight;
}

static double weight_of(usec_t span, usec_t constant)
{
    return (double)span / (double)(span + constant);
}

static void smooth_level(const struct capacity *c, struct capacity_level *level, double used,
                         double weight)
{
    smooth(&level->used, used, weight);
    for (int k = 0; k < CAPACITY_KINDS; k++)
        smooth(&level->measured[k], c->throughout[k], weight);
}

// Those that began to send in the course of a sample are seen in half of it, for want of knowledge:
// counted whole they would make all seem cheap. What they cost the next one tells.
static void see_throughout(struct capacity *c, const struct capacity_use *use)
{
    for (int k = 0; k < CAPACITY_KINDS; k++) {
        bool more = c->begun && use->measured[k] > c->measured[k];

        c->throughout[k] = more ? (c->measured[k] + use->measured[k]) / 2.0 : use->measured[k];
        c->measured[k] = use->measured[k];
    }
}

// Losses at some load say that the limit was set too high for this machine; at little load they are
// a burst's, or a stranger's who floods one socket, and refusing calls would not help.
static void adjust_ceiling(struct capacity *c, const struct capacity_sample *sample)
{
    double limit = c->limits.load;
    bool lost = (double)sample->missed > LOSS * (double)(sample->packets + sample->missed);

    if (lost && c->load.used > LEAST_CEILING * limit) {
        double lower = BACK_OFF * c->load.used;

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

// What the machine does without us is no call's cost. It is known while there is none. While there
// are some it can only become less: a load that falls although as many packets come was not theirs.
// If it were taken for theirs, a call would seem to cost the less for it, and too many would be let
// in; what others begin meanwhile counts as the calls', which errs on the safe side.
static void learn_background(struct capacity *c, const struct capacity_sample *sample,
                             const struct capacity_use *use, double load_weight)
{
    double guessed = guess[CAPACITY_CALL].load / c->limits.workers, each, most;

    smooth(&c->packets, (double)sample->packets * USEC_PER_SEC / (double)sample->span, load_weight);
    if (use->running[CAPACITY_CALL] + use->running[CAPACITY_ALLOCATION] == 0) {
        smooth(&c->background, sample->load, weight_of(sample->span, SMOOTHING));
        c->packet = guessed / PACKETS;
    }
    most = c->load.used - c->packet * c->packets;
    if (c->background > most)
        c->background = most > 0 ? most : 0;
    each = mean(c->load.used - c->background, c->packets / PACKETS, guessed) / PACKETS;
    smooth(&c->packet, each, weight_of(sample->span, each > c->packet ? PACKET_RISE : PACKET_FALL));
}

void capacity_measured(struct capacity *c, const struct capacity_sample *sample,
                       const struct capacity_use *use)
{
    double weight = weight_of(sample->span, SMOOTHING);
    bool rising = sample->load > c->load.used;
    double load_weight = weight_of(sample->span, rising ? LOAD_RISE : LOAD_FALL);

    if (sample->span == 0)
        return;
    // Calls of the daemon before this one are there from the beginning.
    if (!c->begun)
        load_weight = 1;
    see_throughout(c, use);
    smooth_level(c, &c->load, sample->load, load_weight);
    c->begun = true;
    learn_background(c, sample, use, load_weight);
    smooth_level(c, &c->bandwidth, (double)sample->bytes * USEC_PER_SEC / (double)sample->span,
                 weight);
    if (sample->packets > 0) {
        double turn = (double)sample->packets_of_turn / (double)sample->packets;

        smooth(&c->share[CAPACITY_ALLOCATION], turn < 1 ? turn : 1, weight);
        c->share[CAPACITY_CALL] = 1 - c->share[CAPACITY_ALLOCATION];
    }
    adjust_ceiling(c, sample);
}

// ---- deciding

static unsigned whole(double room)
{
    if (!(room > 0)) // also when it is no number
        return 0;
    return room < CAPACITY_UNBOUNDED ? (unsigned)room : CAPACITY_UNBOUNDED;
}

struct demand {
    double limit, used;
    double cost[CAPACITY_KINDS];
    double pending; // of those that have come since it was measured; below 0: more have gone
};

// 'used' is smoothed, and so is the count of those that it was measured of. Those that have come
// since add their mean, those that have gone take it away.
static struct demand demand_for(const struct capacity *c, enum capacity_resource resource,
                                const struct capacity_use *use)
{
    bool load = resource == CAPACITY_LOAD;
    const struct capacity_level *level = load ? &c->load : &c->bandwidth;
    struct demand d = {.limit = load ? c->ceiling : c->limits.bandwidth, .used = level->used};
    double of_ours = load ? level->used - c->background : level->used;

    for (int k = 0; k < CAPACITY_KINDS; k++) {
        double guessed = load ? guess[k].load / c->limits.workers : guess[k].bandwidth;

        d.cost[k] = mean(of_ours * c->share[k], level->measured[k], guessed);
        d.pending += d.cost[k] * ((double)use->running[k] - level->measured[k]);
    }
    return d;
}

static unsigned room_measured(struct capacity *c, enum capacity_resource resource,
                              enum capacity_kind kind, const struct capacity_use *use)
{
    struct demand d = demand_for(c, resource, use);
    double expected = d.used + d.pending;

    if (d.limit <= 0)
        return CAPACITY_UNBOUNDED;
    if (expected + d.cost[kind] > d.limit)
        c->full[resource] = true;
    else if (expected <= FULL_UNTIL * d.limit)
        c->full[resource] = false;
    return c->full[resource] ? 0 : whole((d.limit - expected) / d.cost[kind]);
}

// So many until more has been measured; one at least can always be tried.
static unsigned load_at_once(const struct capacity *c, enum capacity_kind kind,
                             const struct capacity_use *use)
{
    struct demand d = demand_for(c, CAPACITY_LOAD, use);
    double allowed = AT_ONCE * (d.limit - d.used);
    unsigned by_cost, by_count;

    if (d.limit <= 0)
        return CAPACITY_UNBOUNDED;
    if (allowed < d.cost[kind])
        allowed = d.cost[kind];
    by_cost = whole((allowed - d.pending) / d.cost[kind] + ROUNDING);
    if (kind != CAPACITY_CALL)
        return by_cost;
    by_count = whole(FIRST + 2 * c->throughout[kind] - use->running[kind]);
    return by_cost < by_count ? by_cost : by_count;
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
    room.now = load_at_once(c, kind, use);
    if (room.now > room.least)
        room.now = room.least;
    else if (room.now == 0 && room.least > 0)
        room.bound = CAPACITY_LOAD;
    return room;
}
