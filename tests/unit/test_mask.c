// SPDX-License-Identifier: ISC
// Names and addresses as they are shown: nothing changes while masking is off; while it is on the
// same is the same, what differs differs, and nothing clear is left but what may be.
#include "base/mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key[16] = "a key of 16 byte", other[16] = "another of those";

static int on(void **state)
{
    (void)state;
    mask_set_key(key);
    mask_set(true);
    return 0;
}

static int off(void **state)
{
    (void)state;
    mask_set(false);
    return 0;
}

static void nothing_changes_while_it_is_off(void **state)
{
    static const char jid[] = "alice@example.org/a";
    const struct addr addr = {.ip = {192, 0, 2, 1}, .port = 5000, .family = FAMILY_V4};
    struct mask mask;

    (void)state;
    mask_set(false);
    assert_ptr_equal(mask_jid(jid, &mask), jid);
    assert_ptr_equal(mask_user(jid, &mask), jid);
    assert_ptr_equal(mask_host(jid, &mask), jid);
    assert_string_equal(mask_addr(&addr, &mask), "192.0.2.1:5000");
    assert_null(mask_jid(NULL, &mask));
    assert_null(mask_user(NULL, &mask));
    assert_null(mask_host(NULL, &mask));
}

// What stays clear before and behind the forms; "*" is a form of ten digits.
static void assert_like(const char *text, const char *pattern)
{
    const char *at = text;

    for (const char *p = pattern; *p; p++) {
        if (*p == '*') {
            if (strspn(at, "0123456789abcdef") < 10)
                fail_msg("%s is not like %s", text, pattern);
            at += 10;
        } else if (*at++ != *p) {
            fail_msg("%s is not like %s", text, pattern);
        }
    }
    assert_string_equal(at, "");
}

static void only_what_may_be_stays_clear(void **state)
{
    static const char *const jids[][2] = {
        {"alice@example.org/phone", "u-*@example.org/r-*"},
        {"alice@example.org", "u-*@example.org"},
        {"bob\\40example.org@relay.example.org/b", "u-*@relay.example.org/r-*"},
        {"example.org", "example.org"},
        {"example.org/x@y", "example.org/r-*"},
        {"alice@example.org/a/b@c", "u-*@example.org/r-*"},
        {"", ""},
    };
    static const char *const users[][2] = {
        {"1732350000:alice@example.org", "1732350000:u-*@example.org"},
        {"alice@example.org", "u-*@example.org"},
        {"carol", "u-*"},
        {"1732350000:carol", "1732350000:u-*"},
        {"1732350000", "1732350000"},
        {"203.0.113.7", "ip4-special-*"},
        {"2001:db8:5::/64", "ip6-special-*/64"},
    };
    static const char *const hosts[][2] = {
        {"192.168.1.20:5000", "ip4-private-*:5000"},
        {"8.8.8.8:1", "ip4-global-*:1"},
        {"[fe80::1]:9", "ip6-link-*:9"},
        {"2a00:1450::1", "ip6-global-*"},
        {"127.0.0.1", "ip4-loopback-*"},
        {"100.64.0.1:2", "ip4-shared-*:2"},
        {"a1b2.local:5000", "host-*:5000"},
        {"alices-phone", "host-*"},
    };
    struct mask mask;

    (void)state;
    for (size_t i = 0; i < sizeof jids / sizeof jids[0]; i++)
        assert_like(mask_jid(jids[i][0], &mask), jids[i][1]);
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++)
        assert_like(mask_user(users[i][0], &mask), users[i][1]);
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++)
        assert_like(mask_host(hosts[i][0], &mask), hosts[i][1]);
}

static void the_same_is_the_same_everywhere(void **state)
{
    const struct addr addr = {.ip = {192, 168, 1, 20}, .port = 5000, .family = FAMILY_V4};
    struct mask a, b;

    (void)state;
    assert_string_equal(mask_addr(&addr, &a), mask_host("192.168.1.20:5000", &b));
    assert_string_equal(mask_jid("alice@example.org", &a), mask_user("alice@example.org", &b));
    // One can see that two clients are one user's.
    mask_jid("alice@example.org/a", &a);
    mask_jid("alice@example.org/b", &b);
    assert_memory_equal(a.text, b.text, sizeof "u-0123456789@example.org" - 1);
    assert_string_not_equal(a.text, b.text);
    mask_jid("alice@example.net/a", &b);
    assert_memory_not_equal(a.text, b.text, sizeof "u-0123456789" - 1);
}

static void another_key_gives_other_forms(void **state)
{
    struct mask a, b;

    (void)state;
    mask_jid("alice@example.org", &a);
    mask_set_key(other);
    assert_string_not_equal(a.text, mask_jid("alice@example.org", &b));
    mask_set_key(key);
    assert_string_equal(a.text, mask_jid("alice@example.org", &b));
}

static void the_longest_have_room(void **state)
{
    char jid[3100];
    struct mask mask;

    (void)state;
    memset(jid, 'x', sizeof jid);
    jid[1023] = '@';
    jid[2047] = '/';
    jid[3071] = '\0';
    assert_true(strlen(mask_jid(jid, &mask)) < MASK_MAX);
    assert_null(strstr(mask.text, "xxxx@"));
    memset(jid, '1', 3000);
    jid[3000] = ':';
    assert_true(strlen(mask_user(jid, &mask)) < MASK_MAX);
    assert_true(strlen(mask_host(jid, &mask)) < MASK_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, on, off)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_changes_while_it_is_off), TEST(only_what_may_be_stays_clear),
        TEST(the_same_is_the_same_everywhere), TEST(another_key_gives_other_forms),
        TEST(the_longest_have_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
