// SPDX-License-Identifier: ISC
// Mobility (RFC 8016): a client that shows its ticket from another address keeps its allocation.
// The old address stays good until the client sends data from the new one, so that a client may
// make before it breaks. The charge stays with the allocation, and at most one new address waits.
//
// A ticket says nothing: 16 random bytes under which the allocation is found, and an HMAC over them
// and the number of its worker, which tells a ticket that has lived (437) from one that was never
// ours (400), and finds the worker without naming it.
#include "internal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define HANDLE_LEN 16
#define MAC_LEN    (TICKET_LEN - HANDLE_LEN)

static bool sign(struct turn *turn, const uint8_t handle[HANDLE_LEN], unsigned worker,
                 uint8_t ret_mac[MAC_LEN])
{
    uint8_t number = (uint8_t)worker, mac[SHA256_LEN];
    const struct turn_config *config = turn->config;
    const struct hmac_part parts[] = {{"ticket", 6}, {&number, 1}, {handle, HANDLE_LEN}};
    if (hmac_sum(HMAC_SHA256, config->nonce_key, sizeof config->nonce_key, parts, 3, mac) < 0)
        return false;
    memcpy(ret_mac, mac, MAC_LEN);
    return true;
}

// Returns the worker that made it, or -1.
static int ticket_worker(struct turn *turn, const struct stun_view *view)
{
    uint8_t mac[MAC_LEN];
    unsigned workers = turn->config->workers ? turn->config->workers : 1;
    if (view->len != TICKET_LEN)
        return -1;
    for (unsigned i = 0; i < workers; i++) {
        unsigned worker = (turn->config->worker + i) % workers;
        if (sign(turn, view->data, worker, mac) &&
            CRYPTO_memcmp(mac, view->data + HANDLE_LEN, MAC_LEN) == 0)
            return (int)worker;
    }
    return -1;
}

static int ticket_insert(struct turn *turn, struct ticket *ticket, usec_t until)
{
    uint64_t hash = map_hash(&turn->tickets, ticket->bytes, TICKET_LEN);
    int rc = map_insert(&turn->tickets, &ticket->node, hash);
    if (rc == 0)
        ticket->until = until;
    return rc;
}

static int ticket_link(struct turn *turn, struct ticket *ticket)
{
    // coturn's client keeps a ticket as a string: a NUL in it would be its end.
    do {
        turn->io.random(turn->io.ctx, ticket->bytes, HANDLE_LEN);
        if (!sign(turn, ticket->bytes, turn->config->worker, ticket->bytes + HANDLE_LEN))
            return -ENOMEM;
    } while (memchr(ticket->bytes, 0, TICKET_LEN));
    return ticket_insert(turn, ticket, USEC_NEVER);
}

static void ticket_unlink(struct turn *turn, struct ticket *ticket)
{
    if (ticket->until)
        map_remove(&turn->tickets, &ticket->node);
    ticket->until = 0;
}

static struct ticket *ticket_find(const struct turn *turn, const struct stun_view *view, usec_t now)
{
    if (view->len != TICKET_LEN)
        return NULL;
    uint64_t hash = map_hash(&turn->tickets, view->data, TICKET_LEN);
    for (struct map_node *node = map_first(&turn->tickets, hash); node; node = map_next(node)) {
        struct ticket *ticket = container_of(node, struct ticket, node);
        if (CRYPTO_memcmp(ticket->bytes, view->data, TICKET_LEN) == 0)
            return ticket->until > now ? ticket : NULL;
    }
    return NULL;
}

static struct mobility *mobility_of(struct allocation *a)
{
    struct mobility *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->ticket[0].owner = m->ticket[1].owner = m;
    m->allocation = a;
    a->mobility = m;
    return m;
}

int mobility_new(struct turn *turn, struct allocation *a)
{
    struct mobility *m = mobility_of(a);
    int rc = m ? ticket_link(turn, &m->ticket[0]) : -ENOMEM;
    if (rc < 0)
        mobility_free(turn, a);
    return rc;
}

int mobility_again(struct turn *turn, struct allocation *a, const uint8_t current[TICKET_LEN],
                   const uint8_t before[TICKET_LEN], usec_t until)
{
    struct mobility *m = mobility_of(a);
    if (!m)
        return -ENOMEM;
    memcpy(m->ticket[0].bytes, current, TICKET_LEN);
    memcpy(m->ticket[1].bytes, before, TICKET_LEN);
    int rc = ticket_insert(turn, &m->ticket[0], USEC_NEVER);
    if (rc == 0 && until > 0)
        rc = ticket_insert(turn, &m->ticket[1], until);
    if (rc < 0)
        mobility_free(turn, a);
    return rc;
}

void mobility_free(struct turn *turn, struct allocation *a)
{
    struct mobility *m = a->mobility;
    if (!m)
        return;
    ticket_unlink(turn, &m->ticket[0]);
    ticket_unlink(turn, &m->ticket[1]);
    binding_unlink(turn, &m->next);
    free(m);
    a->mobility = NULL;
}

const uint8_t *mobility_ticket(const struct allocation *a)
{
    return a->mobility ? a->mobility->ticket[a->mobility->current].bytes : NULL;
}

struct allocation *mobility_find(const struct turn *turn, const struct stun_view *view, usec_t now)
{
    struct ticket *ticket = ticket_find(turn, view, now);
    return ticket ? ticket->owner->allocation : NULL;
}

static bool lives_at(const struct binding *binding, const struct turn_client *client)
{
    return binding->linked && client_equal(&binding->client, client);
}

// RFC 8016 section 3.2.2: "The old ticket can only be used for the purposes of retransmission",
// so it is good only where the new one has been sent to.
static bool is_repeated(const struct request *r, const struct ticket *ticket)
{
    const struct mobility *m = ticket->owner;
    return ticket != &m->ticket[m->current] &&
           (lives_at(&m->next, r->client) || lives_at(&m->allocation->at, r->client));
}

int mobility_check(struct request *r)
{
    struct turn *turn = r->turn;
    const struct stun_view *view = &r->msg->attr[STUN_MOBILITY_TICKET];
    if (!turn->config->mobility)
        return 405;
    int worker = ticket_worker(turn, view);
    if (worker < 0)
        return 400;
    if ((unsigned)worker != turn->config->worker)
        return r->binding ? 437 : guest_hand_over(r, (unsigned)worker);
    const struct ticket *ticket = ticket_find(turn, view, r->now);
    if (!ticket)
        return 437;
    if (is_repeated(r, ticket))
        return 0;
    const struct mobility *m = ticket->owner;
    // "If the source IP address and port ... is the same as the stored 5-tuple allocation, then the
    // TURN server rejects the request with a 400 (Bad Request) error."
    if (ticket != &m->ticket[m->current] || lives_at(&m->next, r->client) ||
        lives_at(&m->allocation->at, r->client))
        return 400;
    return r->binding ? 437 : 0;
}

int mobility_announce(struct request *r)
{
    struct turn *turn = r->turn;
    struct allocation *a = r->allocation;
    struct mobility *m = a->mobility;
    const struct ticket *shown = ticket_find(turn, &r->msg->attr[STUN_MOBILITY_TICKET], r->now);
    if (!shown || is_repeated(r, shown))
        return 0;
    struct ticket *next = &m->ticket[!m->current];
    ticket_unlink(turn, next);
    if (ticket_link(turn, next) < 0)
        return 508;
    binding_unlink(turn, &m->next);
    if (binding_link(turn, &m->next, r->client, BIND_ARRIVING) < 0) {
        ticket_unlink(turn, next);
        return 508;
    }
    m->ticket[m->current].until = r->now + TICKET_LIFE;
    m->current = !m->current;
    // Nobody sends from the old address any more: there is nothing to wait for.
    if (!a->at.linked)
        mobility_arrive(turn, a, r->now);
    return 0;
}

void mobility_arrive(struct turn *turn, struct allocation *a, usec_t now)
{
    struct turn_client client = a->mobility->next.client;
    turn_offload_take(turn, a, now, OFFLOAD_PAUSE);
    binding_unlink(turn, &a->mobility->next);
    binding_unlink(turn, &a->at);
    // The map has had two entries a moment ago, so that this cannot fail.
    (void)binding_link(turn, &a->at, &client, BIND_ALLOCATION);
}
