// SPDX-License-Identifier: ISC
// Which interfaces are served: those that carry one of the relay's addresses; and all, where one
// of these is on no Ethernet interface (on "lo", as routed to this host) or is the wildcard, as
// packets to it may come from anywhere.
#include "fastpath_served.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int served_init(struct served *served, const struct addr *local, unsigned locals)
{
    *served = (struct served){0};
    served->local = calloc(locals ? locals : 1, sizeof *local);
    if (!served->local)
        return -ENOMEM;
    memcpy(served->local, local, locals * sizeof *local);
    served->locals = locals;
    return 0;
}

void served_free(struct served *served)
{
    for (unsigned i = 0; i < served->count; i++)
        close(served->link[i].fd);
    free(served->link);
    free(served->local);
    *served = (struct served){0};
}

// ---- which are wanted ----

struct search {
    const struct served *served;
    const struct net_links *links;
    bool *wanted; // by place in 'links'
    bool *placed; // by place in served->local: an Ethernet interface carries it
};

static void see_address(void *ctx, int ifindex, const struct addr *addr)
{
    struct search *search = ctx;
    const struct net_link *link = net_link_find(search->links, ifindex);

    if (!link || !link->ethernet)
        return;
    for (unsigned i = 0; i < search->served->locals; i++) {
        if (addr_equal_ip(&search->served->local[i], addr)) {
            search->placed[i] = true;
            search->wanted[link - search->links->item] = true;
        }
    }
}

static int choose(struct search *search, int fd)
{
    bool all = false;
    int rc = net_addresses(fd, see_address, search);

    for (unsigned i = 0; i < search->served->locals; i++)
        all = all || !search->placed[i];
    for (unsigned i = 0; i < search->links->count; i++)
        if (search->links->item[i].ethernet && all)
            search->wanted[i] = true;
    return rc;
}

// ---- links ----

static struct served_link *served_find(const struct served *served, int ifindex)
{
    for (unsigned i = 0; i < served->count; i++)
        if (served->link[i].ifindex == ifindex)
            return &served->link[i];
    return NULL;
}

static void attach(struct served *served, const struct fast_kernel *kernel, int ifindex)
{
    struct served_link *grown, *link = served_find(served, ifindex);
    int fd;

    if (link) {
        link->wanted = true;
        return;
    }
    grown = realloc(served->link, (served->count + 1) * sizeof *grown);
    if (!grown)
        return;
    served->link = grown;
    fd = fast_kernel_attach(kernel, ifindex);
    if (fd >= 0)
        grown[served->count++] = (struct served_link){.ifindex = ifindex, .fd = fd, .wanted = true};
}

static void detach_unwanted(struct served *served)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < served->count; i++) {
        if (served->link[i].wanted)
            served->link[kept++] = served->link[i];
        else
            close(served->link[i].fd);
    }
    served->count = kept;
}

int served_refresh(struct served *served, const struct fast_kernel *kernel, int fd,
                   const struct net_links *links)
{
    bool *flags = calloc(links->count + served->locals + 1, sizeof *flags);
    struct search search = {
        .served = served, .links = links, .wanted = flags, .placed = flags + links->count};
    int rc;

    if (!flags)
        return -ENOMEM;
    rc = choose(&search, fd);
    if (rc == 0) {
        for (unsigned i = 0; i < served->count; i++)
            served->link[i].wanted = false;
        for (unsigned i = 0; i < links->count; i++)
            if (search.wanted[i])
                attach(served, kernel, links->item[i].ifindex);
        detach_unwanted(served);
    }
    free(flags);
    return rc;
}
