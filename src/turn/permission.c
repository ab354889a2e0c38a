// SPDX-License-Identifier: ISC
// Permissions (RFC 8656 sections 9 and 10): the IP addresses whose datagrams reach the client, and
// to which it may send. An allocation has few, so they are a short array; those that have run out
// are ignored where they are found, and swept when room is needed.
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool addr_is_tunnel(const struct addr *addr)
{
    static const uint8_t six_to_four[] = {0x20, 0x02}, teredo[] = {0x20, 0x01, 0, 0};
    return addr->family == FAMILY_V6 && (memcmp(addr->ip, six_to_four, sizeof six_to_four) == 0 ||
                                         memcmp(addr->ip, teredo, sizeof teredo) == 0);
}

int peer_check(const struct request *r, const struct addr *peer)
{
    const struct relayed *port = &r->allocation->port[family_index(peer)];
    if (!relayed_live(port))
        return 443;
    // Section 21.4.
    if (addr_is_tunnel(peer))
        return 403;
    return r->turn->io.peer_allowed(r->turn->io.ctx, peer) ? 0 : 403;
}

static struct permission *find(const struct allocation *a, const struct addr *peer, usec_t now)
{
    for (unsigned i = 0; i < a->permissions; i++) {
        struct permission *p = &a->permission[i];
        if (p->family == peer->family && memcmp(p->ip, peer->ip, sizeof p->ip) == 0)
            return p->until > now ? p : NULL;
    }
    return NULL;
}

const struct permission *permission_find(const struct allocation *a, const struct addr *peer,
                                         usec_t now)
{
    return find(a, peer, now);
}

static void sweep(struct allocation *a, usec_t now)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < a->permissions; i++) {
        if (a->permission[i].until > now)
            a->permission[kept++] = a->permission[i];
    }
    a->permissions = (uint16_t)kept;
}

int permission_room(const struct turn *turn, struct allocation *a, unsigned more, usec_t now)
{
    sweep(a, now);
    unsigned want = a->permissions + more, size = a->permissions_size ? a->permissions_size : 1;
    if (want > turn->config->permissions_max || want > UINT16_MAX)
        return -ENOSPC;
    while (size < want)
        size *= 2;
    if (size == a->permissions_size)
        return 0;
    struct permission *permission = reallocarray(a->permission, size, sizeof *permission);
    if (!permission)
        return -ENOMEM;
    a->permission = permission;
    a->permissions_size = (uint16_t)(size > UINT16_MAX ? UINT16_MAX : size);
    return 0;
}

void permission_install(struct allocation *a, const struct addr *peer, usec_t now)
{
    struct permission *p = find(a, peer, now);
    if (!p) {
        p = &a->permission[a->permissions++];
        memcpy(p->ip, peer->ip, sizeof p->ip);
        p->family = peer->family;
    }
    p->until = now + PERMISSION_LIFE;
}

void permission_drop_family(struct allocation *a, enum family family)
{
    for (unsigned i = 0; i < a->permissions; i++) {
        if (a->permission[i].family == family)
            a->permission[i].until = 0;
    }
    sweep(a, 0);
}

// ---- CreatePermission ----

// Is the address among those of the request that come before 'end'?
static bool named_before(const struct request *r, const struct addr *peer, const uint8_t *end)
{
    struct stun_view view = stun_next(r->msg, STUN_XOR_PEER_ADDRESS, NULL);
    for (; view.data && view.data < end;
         view = stun_next(r->msg, STUN_XOR_PEER_ADDRESS, view.data)) {
        struct addr other;
        if (stun_view_addr(r->msg, STUN_XOR_PEER_ADDRESS, &view, &other) == 0 &&
            addr_equal_ip(&other, peer))
            return true;
    }
    return false;
}

// Checks every address, and makes room for the new ones. Returns 0 or a STUN error code.
static int check_peers(struct request *r)
{
    struct addr peer;
    unsigned fresh = 0, named = 0;
    struct stun_view view = stun_next(r->msg, STUN_XOR_PEER_ADDRESS, NULL);
    if (!view.data)
        return 400;
    for (; view.data; view = stun_next(r->msg, STUN_XOR_PEER_ADDRESS, view.data)) {
        // Each is looked for among the others: their number is to be one that we would ever take.
        if (++named > 2 * r->turn->config->permissions_max)
            return 508;
        if (stun_view_addr(r->msg, STUN_XOR_PEER_ADDRESS, &view, &peer) < 0)
            return 400;
        peer.port = 0; // section 10.2: "The port portion of each attribute is ignored"
        int code = peer_check(r, &peer);
        if (code != 0)
            return code;
        if (find(r->allocation, &peer, r->now) || named_before(r, &peer, view.data))
            continue;
        if (++fresh > r->turn->config->permissions_max)
            return 508;
    }
    return permission_room(r->turn, r->allocation, fresh, r->now) < 0 ? 508 : 0;
}

int handle_create_permission(struct request *r)
{
    struct addr peer;
    int code = check_peers(r);
    if (code != 0)
        return code;
    struct stun_view view = stun_next(r->msg, STUN_XOR_PEER_ADDRESS, NULL);
    for (; view.data; view = stun_next(r->msg, STUN_XOR_PEER_ADDRESS, view.data)) {
        if (stun_view_addr(r->msg, STUN_XOR_PEER_ADDRESS, &view, &peer) == 0)
            permission_install(r->allocation, &peer, r->now);
    }
    return 0;
}
