// SPDX-License-Identifier: ISC
// Refresh (RFC 8656 section 8.2; with a ticket RFC 8016 section 3.2.2): a new lifetime for one or
// both relayed addresses, or their end, or a new address of their client.
#include "internal.h"

// Which relayed addresses it is about. Returns 0 or 443.
static int read_family(const struct request *r, bool about[FAMILIES])
{
    const struct allocation *a = r->allocation;
    bool named = stun_has(r->msg, STUN_REQUESTED_ADDRESS_FAMILY);
    unsigned family = stun_u32(r->msg, STUN_REQUESTED_ADDRESS_FAMILY) >> 24;
    bool any = false;
    for (unsigned i = 0; i < FAMILIES; i++) {
        about[i] = relayed_live(&a->port[i]) && (!named || family == i + 1);
        any |= about[i];
    }
    return any ? 0 : 443;
}

static void set_lifetime(struct request *r, const bool about[FAMILIES], usec_t lifetime)
{
    struct allocation *a = r->allocation;
    for (unsigned i = 0; i < FAMILIES; i++) {
        if (!about[i])
            continue;
        if (lifetime > 0 && r->now + lifetime < a->port[i].expires)
            turn_offload_take(r->turn, a, r->now, OFFLOAD_PAUSE); // they were to run until then
        if (lifetime > 0)
            a->port[i].expires = r->now + lifetime;
        else
            allocation_drop_port(r->turn, a, i, END_CLIENT, r->now);
    }
    if (!a->dead)
        (void)allocation_arm(r->turn, a); // it is armed, so that this cannot fail
}

int handle_refresh(struct request *r)
{
    bool about[FAMILIES];
    bool ticket = stun_has(r->msg, STUN_MOBILITY_TICKET);
    int code = ticket ? mobility_check(r) : 0;
    if (code == 0)
        code = read_family(r, about);
    if (code != 0)
        return code;
    bool end = stun_has(r->msg, STUN_LIFETIME) && stun_u32(r->msg, STUN_LIFETIME) == 0;
    usec_t lifetime = end ? 0 : request_lifetime(r);
    if (ticket && !end && (code = mobility_announce(r)) != 0)
        return code;
    set_lifetime(r, about, lifetime);
    stun_put_u32(&r->reply, STUN_LIFETIME, (uint32_t)(lifetime / USEC_PER_SEC));
    if (ticket && !end)
        stun_put_bytes(&r->reply, STUN_MOBILITY_TICKET, mobility_ticket(r->allocation), TICKET_LEN);
    return 0;
}
