// SPDX-License-Identifier: ISC
// Room for calls on machines that are offered more than they can carry, on virtual time: what they
// carry stays below the limit, and what calls lose that were admitted before stays small.
#include "capacity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND USEC_PER_SEC

static const struct capacity_limits plenty = {
    .number = {0, 0}, .load = 0.8, .descriptors = 1000000, .workers = 1, .ports_per_call = 2};

// What is in use, with so many ports free that they bound nothing.
static struct capacity_use use_of(unsigned calls, unsigned measured)
{
    return (struct capacity_use){.running = {calls, 0},
                                 .measured = {measured, 0},
                                 .ports_used = 2u * calls,
                                 .ports_free = 10 * CAPACITY_UNBOUNDED};
}

static struct capacity_room room(struct capacity *c, const struct capacity_use *use)
{
    return capacity_room(c, CAPACITY_CALL, use);
}

// ---- a machine

struct machine {
    struct capacity capacity;
    double cost;          // of a call that sends, of a worker's time
    unsigned ringing[10]; // by the tenths of a second until they send
    unsigned sending;
    unsigned refused, turns; // from refusing to admitting and back
    bool refusing;
};

static struct capacity_use use_of_machine(const struct machine *m)
{
    unsigned ringing = 0;

    for (int i = 0; i < 10; i++)
        ringing += m->ringing[i];
    return use_of(m->sending + ringing, m->sending);
}

static void offer(struct machine *m, int when)
{
    struct capacity_use use = use_of_machine(m);
    unsigned now = room(&m->capacity, &use).now;

    m->refused += now == 0;
    if (m->refusing ? now > use.running[CAPACITY_CALL] / 20 : now == 0) { // as it is logged
        m->turns++;
        m->refusing = !m->refusing;
    }
    if (now > 0)
        m->ringing[when % 10]++;
}

// A tenth of a second; 'noise' is what the load swings by.
static void pass(struct machine *m, int tenth, double noise)
{
    double load = m->cost * m->sending * (tenth % 2 ? 1 + noise : 1 - noise);
    const struct capacity_sample sample = {.span = SECOND / 10,
                                           .load = load < 1 ? load : 1,
                                           .packets = 10u * m->sending,
                                           .missed = load > 1 ? m->sending : 0};
    struct capacity_use use = use_of_machine(m);

    capacity_measured(&m->capacity, &sample, &use);
    m->sending += m->ringing[tenth % 10];
    m->ringing[tenth % 10] = 0;
}

// Calls come so fast that within a minute they are twice what it can carry, and end after another.
static void twice_the_load_stays_below(void **state)
{
    static const double costs[] = {0.02, 0.002, 0.0005, 0.0001};

    for (size_t i = 0; i < sizeof costs / sizeof costs[0]; i++) {
        struct machine m = {.cost = costs[i]};
        unsigned carries = (unsigned)(1 / costs[i]);
        double offered = 0;

        capacity_init(&m.capacity, &plenty);
        for (int tenth = 0; tenth < 1800; tenth++) {
            for (offered += carries / 300.0; offered >= 1; offered--)
                offer(&m, tenth);
            if (tenth > 600) { // as many end, of those that were taken
                unsigned end = (unsigned)((m.sending + 600) / 1200.0);
                m.sending -= end < m.sending ? end : m.sending;
            }
            pass(&m, tenth, 0.05);
            assert_true(m.cost * m.sending < 0.95);
        }
        assert_true(m.refused > 0);
        assert_true(m.cost * m.sending > 0.55);
        assert_in_range(m.turns, 1, 100); // of thousands of calls
    }
}

// ---- a machine that loses a little long before it is full, and calls that do not end

struct steps {
    struct capacity capacity;
    double cost, noise;
    unsigned running, sending;
    double sent, lost;
};

// A quarter of a second of media, or of silence.
static void steps_pass(struct steps *m, bool media)
{
    double load = media ? m->cost * m->sending * (1 + m->noise) : 0;
    double packets = media ? 40.0 * m->sending : 0, above = load > 0.5 ? load - 0.5 : 0;
    double lost = load > 1 ? 1 - 1 / load : 0.02 * above * above;
    const struct capacity_sample sample = {.span = SECOND / 4,
                                           .load = load < 1 ? load : 1,
                                           .packets = (uint64_t)(packets * (1 - lost)),
                                           .missed = (uint64_t)(packets * lost)};
    struct capacity_use use = use_of(m->running, m->sending);

    capacity_measured(&m->capacity, &sample, &use);
    m->noise = -m->noise;
    m->sent += packets;
    m->lost += packets * lost;
}

// As tests/bench/overload does it: a second of media, then a quarter more are offered while it goes
// on, a pause until those send, too; until four times as many were offered as it carries.
static void steps_take(struct steps *m)
{
    unsigned more = m->sending / 4 > 50 ? m->sending / 4 : 50;

    for (int quarter = 0; quarter < 12; quarter++) {
        steps_pass(m, true);
        if (quarter < 4 || quarter >= 8)
            continue;
        for (unsigned i = 0; i < more / 4; i++) {
            struct capacity_use use = use_of(m->running, m->sending);

            m->running += room(&m->capacity, &use).now > 0;
        }
    }
    for (int quarter = 0; quarter < 8; quarter++)
        steps_pass(m, false);
    m->sending = m->running;
}

static void running_calls_lose_less_than_one_in_a_thousand(void **state)
{
    static const double costs[] = {0.003, 0.001, 0.0004};

    for (size_t i = 0; i < sizeof costs / sizeof costs[0]; i++) {
        struct steps m = {.cost = costs[i], .noise = 0.05};

        capacity_init(&m.capacity, &plenty);
        for (int step = 0; step < 60; step++)
            steps_take(&m);
        assert_true(m.lost < 0.001 * m.sent);
        assert_true(m.cost * m.sending > 0.5);
        assert_true(m.cost * m.sending < 0.8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twice_the_load_stays_below),
        cmocka_unit_test(running_calls_lose_less_than_one_in_a_thousand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
