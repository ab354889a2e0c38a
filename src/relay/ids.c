// SPDX-License-Identifier: ISC
// Which transaction ids have come to a leg, and from where. An id of an honest check belongs to
// one sender: from the same source it is a retransmission, from another one somebody has captured
// it. The ring starts small, because most paths see a few dozen checks, and grows to cover hours
// of consent checks.

#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void ids_free(struct ids *ids)
{
    free(ids->id);
    free(ids->source);
    *ids = (struct ids){0};
}

// 40 bits of a keyed hash tell 4,096 ids apart well enough, and a snapshot has no more of them.
static bool id_same(uint64_t a, uint64_t b)
{
    return (a ^ b) >> IDS_IGNORED == 0;
}

enum id_seen ids_look(const struct ids *ids, uint64_t id, uint32_t source)
{
    for (unsigned i = 0; i < ids->count; i++)
        if (id_same(ids->id[i], id))
            return ids->source[i] == source ? ID_SAME_SOURCE : ID_OTHER_SOURCE;
    return ID_NEW;
}

// Both arrays grow or neither does: if the second cannot, the first keeps spare room unused.
static int grow(struct ids *ids)
{
    uint16_t size = ids->size == 0 ? IDS_MIN : (uint16_t)(ids->size * 2);
    uint64_t *id;
    uint32_t *source;

    if (size > IDS_MAX)
        return -ENOSPC;
    id = realloc(ids->id, size * sizeof(*id));
    if (!id)
        return -ENOMEM;
    ids->id = id;
    source = realloc(ids->source, size * sizeof(*source));
    if (!source)
        return -ENOMEM;
    ids->source = source;
    ids->size = size;
    // The ring is grown only when it is full and about to wrap for the first time, or again after
    // a growth that failed; entries from 'next' on are then the oldest, and 'count' appends.
    ids->next = ids->count;
    return 0;
}

int ids_add(struct ids *ids, uint64_t id, uint32_t source)
{
    if (ids->count == ids->size && grow(ids) == -ENOMEM && ids->size == 0)
        return -ENOMEM;
    if (ids->next == ids->size)
        ids->next = 0;
    ids->id[ids->next] = id;
    ids->source[ids->next] = source;
    ids->next++;
    if (ids->count < ids->size)
        ids->count++;
    return 0;
}
