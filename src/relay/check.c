// SPDX-License-Identifier: ISC
// Every invariant of the structures, for tests to assert after each step. What is checked here is
// said nowhere else in one place: it is the definition of a relay in good order.

#include "internal.h"

#include <stdatomic.h>
#include <string.h>

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return #condition;                                                                     \
    } while (0)

static const char *check_pool(const struct pool *pool)
{
    unsigned states[3] = {0}, resting = 0;
    uint16_t index = pool->first;

    for (unsigned i = 0; i < pool->count; i++) {
        const struct pool_port *port = &pool->port[i];
        states[port->state]++;
        if (port->state == PORT_FREE)
            EXPECT(port->place < pool->free_count && pool->free[port->place] == i);
    }
    EXPECT(states[PORT_FREE] == pool->free_count);
    EXPECT(states[PORT_USED] == pool->used_count);
    EXPECT(states[PORT_QUARANTINED] == pool->quarantined_count);
    for (; resting < pool->quarantined_count; resting++) {
        EXPECT(pool->port[index].state == PORT_QUARANTINED);
        if (resting + 1 == pool->quarantined_count)
            EXPECT(index == pool->last);
        index = pool->port[index].next;
    }
    return NULL;
}

static const char *check_sources(const struct path *path, const struct leg *leg)
{
    EXPECT(leg->sources <= PATH_SOURCES_MAX && leg->sources <= leg->source_size);
    EXPECT(leg->selected >= -1 && leg->selected < leg->sources);
    EXPECT(leg->last_proved >= -1 && leg->last_proved < leg->sources);
    EXPECT(leg->nomination <= path->nominations);
    // No selected source unproved: it is in the list of proved ones, and verified.
    EXPECT(leg->selected < 0 || leg->source[leg->selected].verified);
    EXPECT(leg->sources == 0 || leg->selected >= 0);
    for (unsigned i = 0; i < leg->sources; i++) {
        const struct source *s = &leg->source[i];
        EXPECT(s->family < FAMILIES && leg->port[s->family].open);
        EXPECT(s->nomination <= path->nominations);
        EXPECT(s->verified || !s->answered);
        EXPECT(s->check_tries <= CHECK_TRIES);
        EXPECT(verify_deadline(s) == USEC_NEVER || path->mode == PATH_ICE ||
               path->mode == PATH_GOOGLE);
        EXPECT(s->addr.family == (s->family == 0 ? FAMILY_V4 : FAMILY_V6));
        for (unsigned k = 0; k < i; k++)
            EXPECT(leg->source[k].family != s->family ||
                   !addr_equal(&leg->source[k].addr, &s->addr));
    }
    return NULL;
}

static const char *check_leg(const struct path *path, enum side side)
{
    const struct leg *leg = &path->leg[side], *other = &path->leg[side_other(side)];
    unsigned open = 0;

    for (unsigned f = 0; f < FAMILIES; f++) {
        const struct port *port = &leg->port[f];
        EXPECT(port->path == path && port->side == side && port->family == f);
        if (!port->open)
            continue;
        open++;
        if (port->shared) {
            EXPECT(path->shared && port->number == path->relay->shared[f].number);
            EXPECT(port->socket == path->relay->shared[f].socket);
            continue;
        }
        const struct pool *pool = &path->relay->pool[f];
        EXPECT(port->index < pool->count);
        EXPECT(pool->port[port->index].state == PORT_USED);
        EXPECT(pool->port[port->index].number == port->number);
        if (port->next_kept) {
            EXPECT(path->mode == PATH_CHANNEL && path->rtp_path == 0 && port->number % 2 == 0);
            EXPECT(pool->port[port->index + 1].state == PORT_USED);
            EXPECT(pool->port[port->index + 1].number == port->number + 1);
        }
    }
    EXPECT(open > 0);
    // Held requests wait for a first source and for nothing else.
    EXPECT(!leg->held || (other->selected < 0 && leg->held->len <= HELD_MAX));
    EXPECT(!leg->credentials[1] || leg->credentials[0]);
    EXPECT(path->mode != PATH_ICE || leg->sources == 0 ||
           (leg->credentials[0] && other->credentials[0]));
    EXPECT(leg->ids.count <= leg->ids.size && leg->ids.next <= leg->ids.size);
    EXPECT(leg->ids.size <= IDS_MAX);
    EXPECT(leg->qualities <= PATH_SSRC_MAX);
    EXPECT((path->mode == PATH_RAW) == (leg->raw != NULL));
    EXPECT(!leg->raw || leg->sources <= 1);
    EXPECT(!leg->raw || leg->raw->candidates <= LEARN_SOURCES);
    return check_sources(path, leg);
}

static const char *check_trials(const struct path *path, enum side side)
{
    const struct channel *c = path->channel;

    EXPECT(c->trials[side] <= TRIAL_SOURCES);
    EXPECT(c->pair[side] < c->trials[side]);
    EXPECT(c->pair[side] < 0 || !c->trial[side][c->pair[side]].stranger);
    for (unsigned i = 0; i < c->trials[side]; i++) {
        const struct trial *t = &c->trial[side][i];
        EXPECT(t->family < FAMILIES && path->leg[side].port[t->family].open);
        EXPECT(t->addr.family == (t->family == 0 ? FAMILY_V4 : FAMILY_V6));
        for (unsigned k = 0; k < i; k++)
            EXPECT(c->trial[side][i].family != c->trial[side][k].family ||
                   !addr_equal(&c->trial[side][i].addr, &c->trial[side][k].addr));
    }
    return NULL;
}

// Whoever may send has the relay's name, and says its own.
static const char *check_google(const struct path *path)
{
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        const struct google_leg *g = &path->google->leg[s];
        const struct leg *leg = &path->leg[s];

        EXPECT(g->own_len <= GOOGLE_NAME_MAX && g->peers <= GOOGLE_PEERS_MAX);
        EXPECT(leg->sources == 0 || g->own_len > 0);
        EXPECT(!g->locked || (leg->selected >= 0 && leg->source[leg->selected].answered));
        EXPECT(!leg->held && !leg->credentials[0] && leg->last_proved == -1);
        for (unsigned i = 0; i < leg->sources; i++)
            EXPECT(g->source[i].name_len > 0 && g->source[i].name_len <= GOOGLE_NAME_MAX);
    }
    return NULL;
}

// Both legs of a channel are learned together, and to two sources that are not one; only the RTCP
// of senders without ICE is learned leg by leg.
static const char *check_channel(const struct path *path)
{
    const struct channel *c = path->channel;
    const struct leg *a = &path->leg[0], *b = &path->leg[1];
    const char *wrong = check_trials(path, SIDE_INITIATOR);

    if (!wrong)
        wrong = check_trials(path, SIDE_RESPONDER);
    if (wrong)
        return wrong;
    EXPECT(a->sources <= 1 && b->sources <= 1);
    EXPECT(a->sources == 0 || a->source[0].answered);
    EXPECT(b->sources == 0 || b->source[0].answered);
    if (path->rtp_path == 0)
        EXPECT(a->sources == (c->latch != LATCH_NONE) && b->sources == a->sources);
    else
        EXPECT(c->latch != LATCH_RTP);
    EXPECT(a->sources == 0 || b->sources == 0 || path->rtp_path != 0 ||
           !addr_equal(&a->source[0].addr, &b->source[0].addr));
    EXPECT((c->pair[0] < 0) == (c->pair[1] < 0));
    if (c->pair[0] >= 0)
        EXPECT(c->trial[0][c->pair[0]].names == c->trial[1][c->pair[1]].mirrored);
    EXPECT(c->latch != LATCH_CHECKS || c->pair[0] < 0);
    return NULL;
}

const char *path_check(const struct path *path)
{
    bool member = false;

    EXPECT(path->call);
    for (const struct path *p = path->call->first; p; p = p->call_next) {
        EXPECT(p->call == path->call);
        EXPECT(!p->call_next || p->call_next->call_prev == p);
        member = member || p == path;
    }
    EXPECT(member);
    EXPECT(path->transactions.count <= path->transactions.size);
    EXPECT(path->transactions.size <= TRANSACTIONS_MAX);
    // The timer never stands later than the deadline; packets may have moved that away from it.
    EXPECT(path_deadline(path) == USEC_NEVER ||
           (timer_armed(&path->timer) && path->timer.at <= path_deadline(path)));
    EXPECT((path->mode == PATH_CHANNEL) == (path->channel != NULL));
    EXPECT((path->mode == PATH_GOOGLE) == (path->google != NULL));
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        const char *wrong = check_leg(path, s);
        if (!wrong)
            wrong = offload_check(path, s);
        if (wrong)
            return wrong;
    }
    if (path->google)
        return check_google(path);
    return path->channel ? check_channel(path) : NULL;
}

static const char *check_totals(const struct relay *relay, const unsigned used[FAMILIES],
                                uint64_t offloaded)
{
    uint64_t sum_used = 0, sum_free = 0, sum_quarantined = 0;

    for (unsigned f = 0; f < FAMILIES; f++) {
        const struct pool *pool = &relay->pool[f];
        EXPECT(pool->used_count == used[f] + relay->lent[f]);
        EXPECT(pool->free_count + pool->used_count + pool->quarantined_count == pool->count);
        sum_used += pool->used_count;
        sum_free += pool->free_count;
        sum_quarantined += pool->quarantined_count;
    }
    EXPECT(counter_get(relay->counters, COUNTER_PORTS_USED) == sum_used);
    EXPECT(counter_get(relay->counters, COUNTER_PORTS_FREE) == sum_free);
    EXPECT(counter_get(relay->counters, COUNTER_PORTS_QUARANTINED) == sum_quarantined);
    EXPECT((sum_quarantined > 0) == timer_armed(&relay->quarantine));
    EXPECT(counter_get(relay->counters, COUNTER_PATHS_OPEN) == relay->path_count);
    EXPECT(relay->paths.count == relay->path_count);
    EXPECT(counter_get(relay->counters, COUNTER_OFFLOADED_PATHS) == offloaded);
    return NULL;
}

const char *relay_check(const struct relay *relay)
{
    unsigned used[FAMILIES] = {0};
    size_t calls = 0;
    uint64_t offloaded = 0;
    const char *wrong = NULL;

    for (struct map_node *n = map_each(&relay->paths, NULL); n; n = map_each(&relay->paths, n)) {
        const struct path *path = container_of(n, struct path, node);
        for (unsigned s = 0; s < SIDE_COUNT; s++)
            for (unsigned f = 0; f < FAMILIES; f++)
                used[f] += (unsigned)(path->leg[s].port[f].open && !path->leg[s].port[f].shared) +
                           path->leg[s].port[f].next_kept;
        wrong = path_check(path);
        if (wrong)
            return wrong;
        calls += path->call->first == path; // each call once
        offloaded += path->call->first == path ? path->call->offloaded : 0;
    }
    EXPECT(relay->calls.count == calls);
    for (unsigned f = 0; f < FAMILIES && !wrong; f++)
        wrong = check_pool(&relay->pool[f]);
    if (!wrong)
        wrong = shared_check(relay);
    return wrong ? wrong : check_totals(relay, used, offloaded);
}
