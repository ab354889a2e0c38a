// SPDX-License-Identifier: ISC
// Values of a snapshot, there and back; what is missing, what is wrong, and other versions.
#include "codec/state_field.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void values_come_back(void **state)
{
    const struct addr six = addr_v6((const uint8_t[16]){0x20, 1, 0xd, 0xb8, [15] = 1}, 5000);
    json_t *object = state_new(), *inner = state_new();
    uint8_t bytes[4];

    state_put_u64(object, "id", UINT64_MAX);
    state_put_bool(object, "yes", true);
    state_put_text(object, "name", "Zo\xc3\xab");
    state_put_text(object, "none", NULL);
    state_put_bytes(object, "key", "\x00\x7f\xff", 3);
    state_put_addr(object, "at", &six);
    state_put(object, "list", json_array());
    state_put(object, "in", inner);
    assert_true(state_complete(object));

    char *text = json_dumps(object, 0);
    json_decref(object);
    object = json_loads(text, 0, NULL);
    free(text);
    struct state_reader r = state_read(object);
    assert_true(state_u64(&r, "id", UINT64_MAX) == UINT64_MAX);
    assert_true(state_bool(&r, "yes"));
    assert_string_equal(state_text(&r, "name", 5), "Zo\xc3\xab");
    assert_null(state_text(&r, "none", 5));
    assert_int_equal(state_bytes(&r, "key", bytes, sizeof bytes), 3);
    assert_memory_equal(bytes, "\x00\x7f\xff", 3);
    struct addr at = state_addr(&r, "at");
    assert_true(addr_equal(&at, &six));
    assert_non_null(state_array(&r, "list"));
    assert_non_null(state_object(&r, "in"));
    assert_null(r.wrong);
    json_decref(object);
}

static void what_is_missing_is_zero(void **state)
{
    json_t *object = state_new();
    struct state_reader r = state_read(object);
    uint8_t byte;

    assert_true(state_u64(&r, "id", 10) == 0);
    assert_false(state_bool(&r, "yes"));
    assert_int_equal(state_bytes(&r, "key", &byte, 1), 0);
    assert_int_equal(state_addr(&r, "at").family, FAMILY_NONE);
    assert_null(state_array(&r, "list"));
    assert_null(r.wrong);
    json_decref(object);
}

static const char *wrong_in(const char *text)
{
    json_t *object = json_loads(text, 0, NULL);
    struct state_reader r = state_read(object);
    uint8_t bytes[2];

    assert_non_null(object);
    state_u64(&r, "id", 10);
    state_bool(&r, "yes");
    state_text(&r, "name", 3);
    state_bytes(&r, "key", bytes, sizeof bytes);
    state_addr(&r, "at");
    state_array(&r, "list");
    json_decref(object);
    return r.wrong;
}

static void what_is_wrong_is_named(void **state)
{
    assert_string_equal(wrong_in("{\"v\":1,\"id\":11}"), "id");
    assert_string_equal(wrong_in("{\"v\":1,\"id\":-1}"), "id");
    assert_string_equal(wrong_in("{\"v\":1,\"id\":\"1\"}"), "id");
    assert_string_equal(wrong_in("{\"v\":1,\"yes\":1}"), "yes");
    assert_string_equal(wrong_in("{\"v\":1,\"name\":\"abcd\"}"), "name");
    assert_string_equal(wrong_in("{\"v\":1,\"key\":\"001122\"}"), "key");
    assert_string_equal(wrong_in("{\"v\":1,\"key\":\"0g\"}"), "key");
    assert_string_equal(wrong_in("{\"v\":1,\"at\":[\"192.0.2.1\",65536]}"), "at");
    assert_string_equal(wrong_in("{\"v\":1,\"at\":[\"example.org\",1]}"), "at");
    assert_string_equal(wrong_in("{\"v\":1,\"list\":{}}"), "list");
    assert_null(wrong_in("{\"v\":1,\"id\":10,\"name\":\"abc\",\"key\":\"0011\",\"later\":[]}"));
}

static void other_versions_are_refused(void **state)
{
    assert_string_equal(wrong_in("{\"id\":1}"), "v");
    assert_string_equal(wrong_in("{\"v\":0}"), "v");
    assert_string_equal(wrong_in("{\"v\":2}"), "v");
    assert_string_equal(wrong_in("[]"), "v");
    assert_string_equal(state_read(NULL).wrong, "v");
}

static void what_was_lost_is_told(void **state)
{
    json_t *object = state_new(), *inner = state_new();

    state_put(inner, "text", json_string("\xff")); // not UTF-8: NULL
    assert_false(state_complete(inner));
    state_put_u64(inner, "more", 1);
    assert_false(state_complete(inner));
    state_put(object, "in", inner);
    state_put_u64(object, "more", 1);
    assert_false(state_complete(object));
    assert_false(state_complete(NULL));
    json_decref(object);
}

struct thing {
    uint8_t small;
    uint32_t number;
    uint64_t great;
    bool yes;
    int8_t index, no_index;
    struct addr addr;
    uint8_t id[3];
    usec_t past, live, until, never;
};

#define THING(member, kind, max)                                                                   \
    {                                                                                              \
#member, offsetof(struct thing, member), kind, max                                         \
    }

static const struct state_field thing_fields[] = {
    THING(small, STATE_U8, 9),  THING(number, STATE_U32, 0),   THING(great, STATE_U64, 0),
    THING(yes, STATE_BOOL, 0),  THING(index, STATE_INDEX, 4),  THING(no_index, STATE_INDEX, 4),
    THING(addr, STATE_ADDR, 0), THING(id, STATE_BYTES, 3),     THING(past, STATE_PAST, 0),
    THING(live, STATE_LIVE, 0), THING(until, STATE_UNTIL, 50), THING(never, STATE_PAST, 0),
};

#define THINGS (sizeof thing_fields / sizeof *thing_fields)

static void a_struct_comes_back(void **state)
{
    const struct thing thing = {.small = 9,
                                .number = UINT32_MAX,
                                .great = UINT64_MAX,
                                .yes = true,
                                .index = 3,
                                .no_index = -1,
                                .addr = addr_v4((const uint8_t[4]){192, 0, 2, 1}, 7),
                                .id = "abc",
                                .past = 90,
                                .live = 95,
                                .until = 120};
    struct state_clock clock = state_clock(100, 110);
    json_t *object = state_new();
    struct thing back = {.never = 5};

    state_put_fields(object, thing_fields, THINGS, &thing);
    assert_null(json_object_get(object, "never"));
    struct state_reader r = state_read(object);
    state_get_fields(&r, thing_fields, THINGS, &clock, &back);
    assert_null(r.wrong);
    assert_int_equal(back.small, 9);
    assert_true(back.number == UINT32_MAX && back.great == UINT64_MAX && back.yes);
    assert_true(back.index == 3 && back.no_index == -1);
    assert_true(addr_equal(&back.addr, &thing.addr));
    assert_memory_equal(back.id, "abc", 3);
    assert_true(back.past == 90 && back.live == 105 && back.until == 130 && back.never == 0);
    json_decref(object);
}

static void times_stay_possible(void **state)
{
    const struct state_clock clock = state_clock(200, 110); // from the future
    json_t *object = json_loads("{\"v\":1,\"past\":500,\"live\":500,\"until\":-1}", 0, NULL);
    struct state_reader r = state_read(object);
    struct thing back;

    assert_int_equal(clock.pause, 0);
    state_get_fields(&r, thing_fields, THINGS, &clock, &back);
    assert_null(r.wrong);
    assert_true(back.past == 110 && back.live == 110 && back.until == 160);
    json_decref(object);
}

static const char *wrong_field(const char *text)
{
    const struct state_clock clock = state_clock(1, 1);
    json_t *object = json_loads(text, 0, NULL);
    struct state_reader r = state_read(object);
    struct thing back;

    assert_non_null(object);
    state_get_fields(&r, thing_fields, THINGS, &clock, &back);
    json_decref(object);
    return r.wrong;
}

static void fields_out_of_range(void **state)
{
    assert_string_equal(wrong_field("{\"v\":1,\"small\":10}"), "small");
    assert_string_equal(wrong_field("{\"v\":1,\"number\":4294967296}"), "number");
    assert_string_equal(wrong_field("{\"v\":1,\"index\":5}"), "index");
    assert_string_equal(wrong_field("{\"v\":1,\"id\":\"0011\"}"), "id");
    assert_string_equal(wrong_field("{\"v\":1,\"live\":\"1\"}"), "live");
}

static void items_are_appended(void **state)
{
    json_t *object = state_new(), *broken = state_new();

    state_append(object, "list", json_integer(1));
    state_append(object, "list", state_new());
    assert_int_equal(json_array_size(json_object_get(object, "list")), 2);
    assert_true(state_complete(object));
    state_put(broken, "lost", NULL);
    state_append(object, "list", broken);
    assert_false(state_complete(object));
    state_append(object, "list", json_integer(1));
    assert_false(state_complete(object));
    json_decref(object);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_back),       cmocka_unit_test(what_is_missing_is_zero),
        cmocka_unit_test(what_is_wrong_is_named), cmocka_unit_test(other_versions_are_refused),
        cmocka_unit_test(what_was_lost_is_told),  cmocka_unit_test(a_struct_comes_back),
        cmocka_unit_test(times_stay_possible),    cmocka_unit_test(fields_out_of_range),
        cmocka_unit_test(items_are_appended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
