// SPDX-License-Identifier: ISC
// See turn_link.h. From the top: 8 bits for the worker, 24 for the place, 32 for the serial.
#include "turn_link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CONNS_MAX (1u << 24)

static_assert(sizeof(uintptr_t) >= 8, "a link packs three numbers into a pointer");

void turn_links_free(struct turn_links *links)
{
    free(links->conn);
    links->conn = NULL;
    links->conns = links->first_free = 0;
}

void *turn_link_listener(unsigned number)
{
    return (void *)(uintptr_t)(number + 1);
}

unsigned turn_link_listener_number(const void *link)
{
    return (unsigned)(uintptr_t)link - 1;
}

unsigned turn_link_worker(const void *link)
{
    return (unsigned)((uintptr_t)link >> 56);
}

struct turn_conn *turn_link_conn(const struct turn_links *links, const void *link)
{
    uint32_t place = (uint32_t)((uintptr_t)link >> 32) & (CONNS_MAX - 1);
    uint32_t serial = (uint32_t)(uintptr_t)link;
    bool own = turn_link_worker(link) == links->worker && place < links->conns;
    struct turn_conn *conn = own ? &links->conn[place] : NULL;

    return conn && conn->conn && conn->serial == serial ? conn : NULL;
}

static int grow(struct turn_links *links)
{
    uint32_t size = links->conns ? 2 * links->conns : 16;
    struct turn_conn *grown = size <= CONNS_MAX ? realloc(links->conn, size * sizeof *grown) : NULL;

    if (!grown)
        return -ENOMEM;
    for (uint32_t i = links->conns; i < size; i++)
        grown[i] = (struct turn_conn){.serial = 1, .next_free = i + 1};
    links->conn = grown;
    links->first_free = links->conns;
    links->conns = size;
    return 0;
}

void *turn_link_add(struct turn_links *links, void *conn, enum turn_transport transport)
{
    uint32_t place;

    if (links->first_free == links->conns && grow(links) < 0)
        return NULL;
    place = links->first_free;
    links->first_free = links->conn[place].next_free;
    links->conn[place].conn = conn;
    links->conn[place].trusted = false;
    links->conn[place].transport = transport;
    return (void *)((uintptr_t)links->worker << 56 | (uintptr_t)place << 32 |
                    links->conn[place].serial);
}

void turn_link_remove(struct turn_links *links, const void *link)
{
    struct turn_conn *conn = turn_link_conn(links, link);

    if (!conn)
        return;
    conn->conn = NULL;
    conn->serial++;
    conn->next_free = links->first_free;
    links->first_free = (uint32_t)(conn - links->conn);
}
