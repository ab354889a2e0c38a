// SPDX-License-Identifier: ISC
// Who has to do with whom: pairs of users with a proposed or running call between them, and the
// proposals themselves (XEP-0353). Everything that is passed on outside a Jingle session is passed
// on because of an entry here.
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define PROPOSALS_MAX 65536

uint64_t relation_hash(const struct signal *signal, const char *a, const char *b)
{
    struct jid ja, jb;

    if (jid_parse(a, &ja) < 0 || jid_parse(b, &jb) < 0)
        return 0;
    return map_hash(&signal->relations, a, ja.bare_len) ^
           map_hash(&signal->relations, b, jb.bare_len);
}

static bool is_pair(const char *a, const char *b, const char *x, const char *y)
{
    return (jid_equal_bare(a, x) && jid_equal_bare(b, y)) ||
           (jid_equal_bare(a, y) && jid_equal_bare(b, x));
}

bool relation_is(const struct relation *relation, const char *a, const char *b)
{
    return is_pair(relation->a, relation->b, a, b);
}

static struct relation *relation_find(const struct signal *signal, const char *a, const char *b)
{
    struct map_node *n = map_first(&signal->relations, relation_hash(signal, a, b));

    for (; n; n = map_next(n)) {
        struct relation *r = container_of(n, struct relation, node);

        if (relation_is(r, a, b))
            return r;
    }
    return NULL;
}

bool related(const struct signal *signal, const char *a, const char *b)
{
    return relation_find(signal, a, b) != NULL;
}

static void relation_free(struct relation *relation)
{
    free(relation->a);
    free(relation->b);
    free(relation);
}

struct relation *relation_take(struct signal *signal, const char *a, const char *b)
{
    struct relation *r = relation_find(signal, a, b);

    if (r) {
        r->users++;
        return r;
    }
    r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->users = 1;
    r->a = strdup(a);
    r->b = strdup(b);
    if (!r->a || !r->b ||
        map_insert(&signal->relations, &r->node, relation_hash(signal, a, b)) < 0) {
        relation_free(r);
        return NULL;
    }
    return r;
}

void relation_release(struct signal *signal, struct relation *relation)
{
    if (!relation || --relation->users > 0)
        return;
    map_remove(&signal->relations, &relation->node);
    relation_free(relation);
}

// ---- proposals

static uint64_t proposal_hash(const struct signal *signal, const char *id, const char *a,
                              const char *b)
{
    return map_hash(&signal->proposals, id, strlen(id)) ^ relation_hash(signal, a, b);
}

struct proposal *proposal_find(const struct signal *signal, const char *id, const char *a,
                               const char *b)
{
    struct map_node *n = map_first(&signal->proposals, proposal_hash(signal, id, a, b));

    for (; n; n = map_next(n)) {
        struct proposal *p = container_of(n, struct proposal, node);

        if (strcmp(p->id, id) == 0 && is_pair(p->initiator, p->responder, a, b))
            return p;
    }
    return NULL;
}

void proposal_free(struct signal *signal, struct proposal *proposal)
{
    timer_cancel(&signal->timers, &proposal->timer);
    if (proposal->listed) {
        map_remove(&signal->proposals, &proposal->node);
        signal->proposal_count--;
    }
    relation_release(signal, proposal->relation);
    free(proposal->id);
    free(proposal->initiator);
    free(proposal->responder);
    free(proposal);
}

// A session lives longer than its proposal, and is followed by one more message about it.
static void proposal_expired(struct timer *timer, void *ctx, usec_t now)
{
    struct proposal *proposal = container_of(timer, struct proposal, timer);
    struct signal *signal = ctx;

    if (session_exists(signal, proposal->id, proposal->initiator, proposal->responder))
        proposal_touch(signal, proposal, now);
    else
        proposal_free(signal, proposal);
}

void proposal_until(struct signal *signal, struct proposal *proposal, usec_t due)
{
    // Its place in the heap is its own, or was just given up: cannot fail.
    (void)timer_arm(&signal->timers, &proposal->timer, due);
}

void proposal_touch(struct signal *signal, struct proposal *proposal, usec_t now)
{
    proposal_until(signal, proposal, now + signal->config.proposal_timeout);
}

struct proposal *proposal_new(struct signal *signal, const char *id, const char *initiator,
                              const char *responder, usec_t now)
{
    struct proposal *p = signal->proposal_count < PROPOSALS_MAX ? calloc(1, sizeof *p) : NULL;
    struct jid jid;

    if (!p)
        return NULL;
    p->timer.fire = proposal_expired;
    p->unused = true;
    p->id = strdup(id);
    p->initiator = strdup(initiator);
    p->responder = jid_parse(responder, &jid) < 0 ? NULL : strndup(responder, jid.bare_len);
    p->relation = relation_take(signal, initiator, responder);
    if (!p->id || !p->initiator || !p->responder || !p->relation ||
        timer_arm(&signal->timers, &p->timer, now + signal->config.proposal_timeout) ||
        map_insert(&signal->proposals, &p->node, proposal_hash(signal, id, initiator, responder))) {
        proposal_free(signal, p);
        return NULL;
    }
    p->listed = true;
    signal->proposal_count++;
    return p;
}
