// SPDX-License-Identifier: ISC
// The hash table against a model: an array that says of each key whether it is in. And SipHash
// against the published values for the key 00 01 .. 0f and the messages "", 00, 00 01, ...
#include "base/map.h"
#include "random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void siphash_vectors(void **state)
{
    static const struct {
        size_t len;
        uint64_t hash;
    } vectors[] = {
        {0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd},  {7, 0xab0200f58b01d137},
        {8, 0x93f5f5799a932462}, {15, 0xa129ca6149be45e5}, {63, 0x958a324ceb064572},
    };
    uint8_t message[64];
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)i;
    struct map map;
    map_init(&map, key);
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        assert_true(map_hash(&map, message, vectors[i].len) == vectors[i].hash);
    map_free(&map);
}

static void two_views_have_a_boundary(void **state)
{
    struct map map;
    map_init(&map, key);
    uint64_t h = map_hash2(&map, "ab", 2, "c", 1);
    assert_true(h == map_hash2(&map, "abX", 2, "cY", 1));
    assert_true(h != map_hash2(&map, "a", 1, "bc", 2));
    assert_true(h != map_hash2(&map, "abc", 3, "", 0));
    assert_true(h != map_hash2(&map, "", 0, "abc", 3));
    struct map other;
    map_init(&other, (const uint8_t *)"another key 1234");
    assert_true(h != map_hash2(&other, "ab", 2, "c", 1));
}

struct thing {
    struct map_node node;
    unsigned key;
    bool in;
    unsigned met;
};

#define THINGS 5000

// Only 64 hashes are special: many things share them, so that chains of equal hashes occur.
static uint64_t thing_hash(const struct map *map, unsigned k)
{
    unsigned source = k % 4 == 0 ? k % 64 : k;
    return map_hash(map, &source, sizeof source);
}

static struct thing *find(const struct map *map, unsigned k)
{
    for (struct map_node *n = map_first(map, thing_hash(map, k)); n; n = map_next(n)) {
        struct thing *t = container_of(n, struct thing, node);
        if (t->key == k)
            return t;
    }
    return NULL;
}

static void check_all(const struct map *map, struct thing *things)
{
    size_t count = 0, met = 0;
    for (unsigned k = 0; k < THINGS; k++) {
        things[k].met = 0;
        count += things[k].in;
        assert_ptr_equal(find(map, k), things[k].in ? &things[k] : NULL);
    }
    assert_int_equal(map->count, count);
    for (struct map_node *n = map_each(map, NULL); n; n = map_each(map, n)) {
        container_of(n, struct thing, node)->met++;
        met++;
    }
    assert_int_equal(met, count);
    for (unsigned k = 0; k < THINGS; k++)
        assert_int_equal(things[k].met, things[k].in);
    assert_true(map->size == 0 || map->size >= 16);
    assert_true(map->count <= map->size);
    assert_true(map->size <= 16 || map->count >= map->size / 8);
}

static void toggle(struct map *map, struct thing *t)
{
    if (t->in)
        map_remove(map, &t->node);
    else
        assert_int_equal(map_insert(map, &t->node, thing_hash(map, t->key)), 0);
    t->in = !t->in;
}

static void behaves_like_the_model(void **state)
{
    struct thing *things = calloc(THINGS, sizeof *things);
    uint64_t seed = 7;
    struct map map;
    map_init(&map, key);
    assert_null(map_first(&map, 0));
    assert_null(map_each(&map, NULL));
    for (unsigned k = 0; k < THINGS; k++)
        things[k].key = k;
    // Fills and empties three times, by random steps.
    for (int round = 0; round < 60; round++) {
        bool filling = round % 20 < 10;
        for (int step = 0; step < 1500; step++) {
            struct thing *t = &things[random_below(&seed, THINGS)];
            if (t->in != filling || random_below(&seed, 10) == 0)
                toggle(&map, t);
        }
        check_all(&map, things);
    }
    for (unsigned k = 0; k < THINGS; k++) {
        if (things[k].in)
            toggle(&map, &things[k]);
    }
    assert_int_equal(map.count, 0);
    assert_int_equal(map.size, 16);
    map_free(&map);
    map_free(NULL);
    free(things);
}

static void grows_at_load_one(void **state)
{
    struct thing things[65] = {0};
    struct map map;
    map_init(&map, key);
    for (size_t k = 0; k < 65; k++) {
        assert_int_equal(map_insert(&map, &things[k].node, k), 0);
        assert_int_equal(map.size, k < 16 ? 16 : k < 32 ? 32 : k < 64 ? 64 : 128);
    }
    map_free(&map);
}

// A walk that removes what it has passed meets each node once, although the table halves under it.
static void walks_while_removing(void **state)
{
    for (uint64_t seed = 1; seed < 50; seed++) {
        uint64_t random = seed;
        struct thing *things = calloc(THINGS, sizeof *things);
        struct map map;
        map_init(&map, key);
        for (unsigned k = 0; k < THINGS; k++)
            assert_int_equal(map_insert(&map, &things[k].node, thing_hash(&map, k)), 0);
        unsigned kept = 0;
        struct map_node *n = map_each(&map, NULL), *next;
        for (; n; n = next) {
            next = map_each(&map, n);
            container_of(n, struct thing, node)->met++;
            if (random_below(&random, 20) != 0)
                map_remove(&map, n);
            else
                kept++;
        }
        for (unsigned k = 0; k < THINGS; k++) {
            if (things[k].met != 1)
                fail_msg("seed %d: %u met %u times", (int)seed, k, things[k].met);
        }
        assert_int_equal(map.count, kept);
        map_free(&map);
        free(things);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_vectors),        cmocka_unit_test(two_views_have_a_boundary),
        cmocka_unit_test(behaves_like_the_model), cmocka_unit_test(grows_at_load_one),
        cmocka_unit_test(walks_while_removing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
