// SPDX-License-Identifier: ISC
// Connections per source; see source.h.
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct source {
    struct map_node node;
    struct addr addr;
    unsigned count; // never 0
};

void sources_init(struct sources *sources, unsigned max)
{
    uint8_t key[16];
    if (getrandom(key, sizeof key, 0) != sizeof key)
        abort(); // so few bytes are never interrupted or short (getrandom(2))
    map_init(&sources->map, key);
    sources->max = max;
}

void sources_free(struct sources *sources)
{
    map_free(&sources->map);
}

static struct source *find(const struct sources *sources, const struct addr *addr, uint64_t hash)
{
    for (struct map_node *n = map_first(&sources->map, hash); n; n = map_next(n)) {
        struct source *source = container_of(n, struct source, node);
        if (addr_equal_ip(&source->addr, addr))
            return source;
    }
    return NULL;
}

int sources_charge(struct sources *sources, const struct addr *addr, struct source **ret_source)
{
    struct addr key = *addr;
    if (key.family == FAMILY_V6)
        memset(key.ip + 8, 0, 8);
    uint64_t hash = map_hash(&sources->map, key.ip, sizeof key.ip);
    struct source *source = find(sources, &key, hash);
    if (source && sources->max && source->count >= sources->max)
        return -EUSERS;
    if (!source) {
        source = calloc(1, sizeof *source);
        if (!source || map_insert(&sources->map, &source->node, hash) < 0) {
            free(source);
            return -ENOMEM;
        }
        source->addr = key;
    }
    source->count++;
    *ret_source = source;
    return 0;
}

void sources_release(struct sources *sources, struct source *source)
{
    if (!source || --source->count > 0)
        return;
    map_remove(&sources->map, &source->node);
    free(source);
}
