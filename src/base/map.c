// SPDX-License-Identifier: ISC
// The intrusive hash table: chains under heads, doubled when there are as many nodes as heads and
// halved when seven eighths are unused.
//
// A head is chosen by the high bits of the mixed hash. Halving then joins two neighbouring chains
// in their order, so that a walk with map_each() which removes what it has passed meets every
// other node exactly once, whatever the table does meanwhile. Both happen in place: halving cannot
// fail, and a table that cannot double only gets slower.
#include "base/map.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAP_SIZE_MIN 16

// ---- SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", section 2) ----

struct sip {
    uint64_t v0, v1, v2, v3;
    uint64_t word; // bytes that do not fill a word yet, little-endian
    uint64_t total;
};

static uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 = rotl(s->v2, 32);
}

static void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

static uint64_t load_le64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static struct sip sip_begin(const uint8_t key[16])
{
    uint64_t k0 = load_le64(key), k1 = load_le64(key + 8);
    return (struct sip){
        .v0 = k0 ^ 0x736f6d6570736575u, // "somepseudorandomlygeneratedbytes"
        .v1 = k1 ^ 0x646f72616e646f6du,
        .v2 = k0 ^ 0x6c7967656e657261u,
        .v3 = k1 ^ 0x7465646279746573u,
    };
}

static void sip_bytes(struct sip *s, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++) {
        s->word |= (uint64_t)p[i] << (s->total % 8 * 8);
        if (++s->total % 8 == 0) {
            sip_word(s, s->word);
            s->word = 0;
        }
    }
}

static uint64_t sip_end(struct sip *s)
{
    sip_word(s, s->word | s->total << 56);
    s->v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t map_hash(const struct map *map, const void *data, size_t len)
{
    struct sip s = sip_begin(map->key);
    sip_bytes(&s, data, len);
    return sip_end(&s);
}

uint64_t map_hash2(const struct map *map, const void *a, size_t a_len, const void *b, size_t b_len)
{
    struct sip s = sip_begin(map->key);
    // The length of the first is the boundary; the total length is in SipHash's last word.
    uint8_t boundary[8];
    for (int i = 0; i < 8; i++)
        boundary[i] = (uint8_t)((uint64_t)a_len >> (8 * i));
    sip_bytes(&s, boundary, sizeof boundary);
    sip_bytes(&s, a, a_len);
    sip_bytes(&s, b, b_len);
    return sip_end(&s);
}

// ---- the table ----

static size_t head_of(uint64_t hash, size_t size)
{
    // Multiplying by 2^64 / phi spreads also hashes that a caller made from small integers.
    uint64_t mixed = hash * 0x9e3779b97f4a7c15u;
    return (size_t)(mixed >> (64 - __builtin_ctzll(size)));
}

void map_init(struct map *map, const uint8_t key[16])
{
    *map = (struct map){0};
    memcpy(map->key, key, sizeof map->key);
}

void map_free(struct map *map)
{
    if (!map)
        return;
    free(map->bucket);
    map->bucket = NULL;
    map->size = map->count = 0;
}

static int map_make_buckets(struct map *map)
{
    map->bucket = calloc(MAP_SIZE_MIN, sizeof(struct map_node *));
    if (!map->bucket)
        return -1;
    map->size = MAP_SIZE_MIN;
    return 0;
}

// Chain i splits into chains 2i and 2i+1; from the last to the first, none is overwritten before
// it was read.
static void map_double(struct map *map)
{
    size_t size = map->size;
    struct map_node **bucket = reallocarray(map->bucket, size * 2, sizeof(struct map_node *));
    if (!bucket)
        return;
    for (size_t i = size; i-- > 0;) {
        struct map_node *node = bucket[i], *next;
        bucket[2 * i] = bucket[2 * i + 1] = NULL;
        struct map_node **tail[2] = {&bucket[2 * i], &bucket[2 * i + 1]};
        for (; node; node = next) {
            next = node->next;
            node->next = NULL;
            size_t half = head_of(node->hash, size * 2) & 1;
            *tail[half] = node;
            tail[half] = &node->next;
        }
    }
    map->bucket = bucket;
    map->size = size * 2;
}

static void map_halve(struct map *map)
{
    size_t size = map->size / 2;
    for (size_t i = 0; i < size; i++) {
        struct map_node *head = map->bucket[2 * i];
        struct map_node **end = &head;
        while (*end)
            end = &(*end)->next;
        *end = map->bucket[2 * i + 1];
        map->bucket[i] = head;
    }
    map->size = size;
    // Giving memory back may fail; the longer array then simply stays.
    struct map_node **bucket = reallocarray(map->bucket, size, sizeof(struct map_node *));
    if (bucket)
        map->bucket = bucket;
}

int map_insert(struct map *map, struct map_node *node, uint64_t hash)
{
    if (!map->bucket && map_make_buckets(map) < 0)
        return -ENOMEM;
    if (map->count >= map->size)
        map_double(map);
    struct map_node **head = &map->bucket[head_of(hash, map->size)];
    node->hash = hash;
    node->next = *head;
    *head = node;
    map->count++;
    return 0;
}

void map_remove(struct map *map, struct map_node *node)
{
    struct map_node **link = &map->bucket[head_of(node->hash, map->size)];
    while (*link != node) {
        assert(*link);
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = NULL;
    map->count--;
    if (map->size > MAP_SIZE_MIN && map->count < map->size / 8)
        map_halve(map);
}

static struct map_node *same_hash(struct map_node *node, uint64_t hash)
{
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct map_node *map_first(const struct map *map, uint64_t hash)
{
    if (!map->bucket)
        return NULL;
    return same_hash(map->bucket[head_of(hash, map->size)], hash);
}

struct map_node *map_next(const struct map_node *node)
{
    return same_hash(node->next, node->hash);
}

struct map_node *map_each(const struct map *map, const struct map_node *after)
{
    size_t i = 0;
    if (after) {
        if (after->next)
            return after->next;
        i = head_of(after->hash, map->size) + 1;
    }
    for (; i < map->size; i++) {
        if (map->bucket[i])
            return map->bucket[i];
    }
    return NULL;
}
