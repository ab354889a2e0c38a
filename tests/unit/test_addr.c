// SPDX-License-Identifier: ISC
// Addresses: text and back, prefixes against a bit-by-bit model, and the special-purpose table by
// the first and last address of every block and their neighbours.
#include "base/addr.h"
#include "random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct addr ip(const char *text)
{
    struct addr addr;
    if (addr_parse_ip(text, 0, &addr) < 0)
        fail_msg("not an address: %s", text);
    return addr;
}

static void parses_and_formats(void **state)
{
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"198.51.100.1", "198.51.100.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"2001:db8::1", "2001:db8::1"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"::", "::"},
        {"::1", "::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::ffff:c000:201", "192.0.2.1"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct addr addr = ip(cases[i].in), again;
        char text[ADDR_TEXT_MAX];
        assert_string_equal(addr_format_ip(&addr, text), cases[i].out);
        again = ip(text);
        assert_true(addr_equal(&addr, &again));
    }
}

static void refuses_what_is_no_literal(void **state)
{
    static const char *const bad[] = {
        "",         "1.2.3",      "1.2.3.4.5",   "1.2.3.256",     "01.2.3.4",          "1.2.3.4 ",
        " 1.2.3.4", "1.2.3.4:5",  "[::1]",       "::1%lo",        "fe80::1%1",         "localhost",
        "0x7f.1",   "2130706433", ":::",         "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::g",
        "::1::",    "12345::",    "example.org", "abcd.local",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct addr addr = {.port = 77};
        assert_int_equal(addr_parse_ip(bad[i], 5, &addr), -EINVAL);
        assert_int_equal(addr.port, 77);
    }
}

static void formats_with_port(void **state)
{
    char text[ADDR_TEXT_MAX];
    struct addr addr = ip("198.51.100.1");
    addr.port = 5000;
    assert_string_equal(addr_format(&addr, text), "198.51.100.1:5000");
    addr = ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    addr.port = 65535;
    assert_string_equal(addr_format(&addr, text),
                        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    addr = (struct addr){0};
    assert_string_equal(addr_format(&addr, text), "-");
    assert_string_equal(addr_format_ip(&addr, text), "-");
}

static void one_host_has_one_spelling(void **state)
{
    const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
    struct addr a = addr_v6(mapped, 9), b = addr_v4(mapped + 12, 9);
    assert_int_equal(a.family, FAMILY_V4);
    assert_true(addr_equal(&a, &b));
    b.port = 10;
    assert_false(addr_equal(&a, &b));
    assert_true(addr_equal_ip(&a, &b));
    struct addr v6 = ip("c000:201::"), v4 = ip("192.0.2.1");
    assert_false(addr_equal_ip(&v6, &v4)); // same first bytes, other family
}

static void parses_prefixes(void **state)
{
    static const struct {
        const char *in;
        const char *net;
        int bits;
    } good[] = {
        {"192.0.2.0/24", "192.0.2.0", 24},         {"192.0.2.7", "192.0.2.7", 32},
        {"192.0.2.7/32", "192.0.2.7", 32},         {"0.0.0.0/0", "0.0.0.0", 0},
        {"128.0.0.0/1", "128.0.0.0", 1},           {"2001:db8::/32", "2001:db8::", 32},
        {"2001:db8::1", "2001:db8::1", 128},       {"::/0", "::", 0},
        {"::ffff:192.0.2.0/120", "192.0.2.0", 24}, {"::ffff:192.0.2.1", "192.0.2.1", 32},
        {"::ffff:0:0/96", "0.0.0.0", 0},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct prefix prefix;
        char text[ADDR_TEXT_MAX];
        assert_int_equal(prefix_parse(good[i].in, &prefix), 0);
        assert_string_equal(addr_format_ip(&prefix.net, text), good[i].net);
        assert_int_equal(prefix.bits, good[i].bits);
    }
    static const char *const bad[] = {
        "",
        "/",
        "/24",
        "192.0.2.0/",
        "192.0.2.0/33",
        "192.0.2.1/24",
        "192.0.2.0/024",
        "192.0.2.0/ 24",
        "192.0.2.0/+24",
        "192.0.2.0/-1",
        "192.0.2.0/24x",
        "192.0.2.0/24/24",
        "::/129",
        "::1/127",
        "2001:db8::/4294967328",
        "::ffff:1.2.3.4/95",
        "::ffff:0:0/80",
        "192.0.2.1/0",
        "example.org/24",
        "11111111111111111111111111111111111111111111111111111111111111/8",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct prefix prefix = {.bits = 99};
        if (prefix_parse(bad[i], &prefix) != -EINVAL)
            fail_msg("taken for a prefix: %s", bad[i]);
        assert_int_equal(prefix.bits, 99);
    }
}

static int bit(const struct addr *addr, unsigned i)
{
    return addr->ip[i / 8] >> (7 - i % 8) & 1;
}

static bool match_model(const struct prefix *prefix, const struct addr *addr)
{
    if (prefix->net.family != addr->family)
        return false;
    for (unsigned i = 0; i < prefix->bits; i++) {
        if (bit(&prefix->net, i) != bit(addr, i))
            return false;
    }
    return true;
}

static struct addr random_addr(uint64_t *seed)
{
    struct addr addr = {.family = random_next(seed) & 1 ? FAMILY_V4 : FAMILY_V6};
    for (int i = 0; i < (addr.family == FAMILY_V4 ? 4 : 16); i++)
        addr.ip[i] = (uint8_t)random_next(seed);
    return addr;
}

static void matches_like_the_model(void **state)
{
    uint64_t seed = 1;
    int hits = 0;
    for (int round = 0; round < 100000; round++) {
        struct prefix prefix = {.net = random_addr(&seed)};
        unsigned all = prefix.net.family == FAMILY_V4 ? 32 : 128;
        prefix.bits = (uint8_t)random_below(&seed, all + 1);
        // Differ from the prefix in one bit, mostly, so that each outcome is near.
        struct addr addr = random_next(&seed) % 8 ? prefix.net : random_addr(&seed);
        unsigned flip = (unsigned)random_below(&seed, all);
        addr.ip[flip / 8] ^= (uint8_t)(0x80 >> flip % 8);
        bool want = match_model(&prefix, &addr);
        hits += want;
        if (prefix_match(&prefix, &addr) != want)
            fail_msg("round %d: %u bits, bit %u differs", round, prefix.bits, flip);
    }
    assert_in_range(hits, 20000, 80000);
    struct prefix none = {0};
    struct addr nobody = {0};
    assert_false(prefix_match(&none, &nobody));
}

static void lists(void **state)
{
    struct prefix_list list = {0};
    struct prefix prefix;
    struct addr inside = ip("10.1.2.3"), outside = ip("11.0.0.0"), six = ip("fd00::1");
    assert_false(prefix_list_match(&list, &inside));
    assert_int_equal(prefix_parse("10.0.0.0/8", &prefix), 0);
    assert_int_equal(prefix_list_add(&list, &prefix), 0);
    assert_int_equal(prefix_parse("fd00::/8", &prefix), 0);
    assert_int_equal(prefix_list_add(&list, &prefix), 0);
    assert_int_equal(list.count, 2);
    assert_true(prefix_list_match(&list, &inside));
    assert_true(prefix_list_match(&list, &six));
    assert_false(prefix_list_match(&list, &outside));
    prefix_list_clear(&list);
    assert_null(list.item);
    assert_false(prefix_list_match(&list, &inside));
    prefix_list_clear(&list);
    prefix_list_clear(NULL);
}

// clang-format off
static const char *const special[] = {
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255",
    "127.0.0.0", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254",
    "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.9", "192.0.0.255",
    "192.0.2.0", "192.0.2.255", "192.31.196.0", "192.31.196.255", "192.52.193.0",
    "192.52.193.255", "192.88.99.0", "192.88.99.255", "192.168.0.0", "192.168.255.255",
    "192.175.48.0", "192.175.48.255", "198.18.0.0", "198.19.255.255", "198.51.100.0",
    "198.51.100.255", "203.0.113.0", "203.0.113.255", "224.0.0.0", "239.255.255.255", "240.0.0.0",
    "255.255.255.255",
    // IPv6
    "::", "::1", "::2", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b::1:0:0",
    "::ffff:0:808:808", "1::", "100::1", "100:0:0:1::1", "200::", "400::", "1fff:ffff::",
    "2001::1", "2001:0:53aa:64c:0:f227:3f57:fe10", "2001:2::1", "2001:10::",
    "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::",
    "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8000::1", "3fff::", "3fff:fff:ffff::",
    "4000::", "5f00::1", "7fff::1", "8000::", "bfff::", "c000::", "dfff::", "e000::", "efff::",
    "f000::", "f7ff::", "f800::", "fbff::", "fc00::", "fd12:3456::1", "fdff::", "fe00::",
    "fe80::1", "febf::", "fec0::1", "feff::", "ff00::", "ff02::1", "ff0e::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    // wrapped
    "::ffff:127.0.0.1", "::127.0.0.1", "::10.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::192.168.1.1",
    "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101:ffff::1",
    "2002:a9fe:a9fe::",
};
// clang-format on

static void special_addresses(void **state)
{
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++) {
        struct addr addr = ip(special[i]);
        if (!addr_is_special(&addr))
            fail_msg("not special: %s", special[i]);
    }
    struct addr none = {0};
    assert_true(addr_is_special(&none));
    // A mapped address that some code built by hand.
    struct addr mapped = {.ip = {[10] = 0xff, [11] = 0xff, 127, 0, 0, 1}, .family = FAMILY_V6};
    assert_true(addr_is_special(&mapped));
    memcpy(mapped.ip + 12, (const uint8_t[]){8, 8, 8, 8}, 4);
    assert_false(addr_is_special(&mapped));
}

// clang-format off
static const char *const ordinary[] = {
    "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0",
    "191.255.255.255", "192.0.1.0", "192.0.3.0", "192.31.195.255", "192.31.197.0",
    "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0", "192.167.255.255",
    "192.169.0.0", "192.175.47.255", "192.175.49.0", "198.17.255.255", "198.20.0.0",
    "198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "8.8.8.8",
    // IPv6
    "2000::", "2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "2003::1",
    "2606:4700:4700::1111", "2620:4f:7fff:ffff::", "2620:4f:8001::", "2a00:1450:4001::1",
    "3ffe:ffff:ffff:ffff::", "3fff:1000::",
    // wrapped
    "::8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
};
// clang-format on

static void public_addresses(void **state)
{
    for (size_t i = 0; i < sizeof ordinary / sizeof ordinary[0]; i++) {
        struct addr addr = ip(ordinary[i]);
        if (addr_is_special(&addr))
            fail_msg("special: %s", ordinary[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_and_formats),
        cmocka_unit_test(refuses_what_is_no_literal),
        cmocka_unit_test(formats_with_port),
        cmocka_unit_test(one_host_has_one_spelling),
        cmocka_unit_test(parses_prefixes),
        cmocka_unit_test(matches_like_the_model),
        cmocka_unit_test(lists),
        cmocka_unit_test(special_addresses),
        cmocka_unit_test(public_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
