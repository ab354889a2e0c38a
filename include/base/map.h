// SPDX-License-Identifier: ISC
// An intrusive hash table. The caller embeds a struct map_node, gives its hash on insertion and
// compares keys itself while walking the nodes of one hash. The table owns only its buckets.
//
//     for (struct map_node *n = map_first(&m, hash); n; n = map_next(n)) {
//         struct thing *t = container_of(n, struct thing, node); if (same key) ...
//     }
//
// map_hash() is SipHash-2-4 under the key of the table, so that names chosen by strangers cannot
// be made to collide.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **bucket; // 'size' heads, a power of two; NULL before the first insertion
    size_t size;
    size_t count;
    uint8_t key[16];
};

void map_init(struct map *map, const uint8_t key[16]);
void map_free(struct map *map); // the nodes are the caller's
uint64_t map_hash(const struct map *map, const void *data, size_t len);
// Two views hashed as one key, with an unambiguous boundary.
uint64_t map_hash2(const struct map *map, const void *a, size_t a_len, const void *b, size_t b_len);
// Returns 0 or -ENOMEM (only when the table has no buckets yet; a table that cannot grow goes on).
int map_insert(struct map *map, struct map_node *node, uint64_t hash);
void map_remove(struct map *map, struct map_node *node); // the node must be in the table
struct map_node *map_first(const struct map *map, uint64_t hash);
struct map_node *map_next(const struct map_node *node); // the next node of the same hash
// All nodes, in no order: start with NULL. The node just returned may be removed and freed only
// after the following one was fetched.
struct map_node *map_each(const struct map *map, const struct map_node *after);
