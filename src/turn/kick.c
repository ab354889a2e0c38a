// SPDX-License-Identifier: ISC
// An administrator ends the allocations of a user.
#include "internal.h"

#include <string.h>
#include <strings.h>

// Letters of either case are one in a JID only, which has an "@": other names of turn.users_file
// may differ in nothing else.
static bool is_of(const struct allocation *a, const char *identity)
{
    const char *own = allocation_identity(a);

    return strchr(own, '@') ? strcasecmp(own, identity) == 0 : strcmp(own, identity) == 0;
}

static struct allocation *find_of(struct turn *turn, const char *identity)
{
    for (struct map_node *n = map_each(&turn->clients, NULL); n; n = map_each(&turn->clients, n)) {
        struct binding *binding = container_of(n, struct binding, node);

        if (binding->kind != BIND_GUEST && is_of(binding_allocation(binding), identity))
            return binding_allocation(binding);
    }
    // Mobile clients that are away.
    for (struct map_node *n = map_each(&turn->tickets, NULL); n; n = map_each(&turn->tickets, n)) {
        struct allocation *a = container_of(n, struct ticket, node)->owner->allocation;

        if (is_of(a, identity))
            return a;
    }
    return NULL;
}

unsigned turn_end_user(struct turn *turn, const char *identity, usec_t now)
{
    struct allocation *a;
    unsigned ended = 0;

    for (; (a = find_of(turn, identity)); ended++)
        allocation_end(turn, a, END_SERVER, now);
    return ended;
}
