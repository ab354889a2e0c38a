// SPDX-License-Identifier: ISC
// PROXY protocol headers, both versions: what they say, how far may be read, and what is none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/platform/proxy_header.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define ADDRS4    "\xc6\x33\x64\x07\xcb\x00\x71\x09\xc0\x01\x01\xbb"
#define ADDRS6                                                                                     \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"                                                   \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09\xc0\x02\x14\xe5"
#define BYTES(literal) (literal), sizeof(literal) - 1

// Reads as a connection does: no further than is wanted. The header must end exactly where its
// bytes do.
static int parse(const char *data, size_t size, struct proxy_header *ret_header)
{
    size_t len = 0, want = 0;
    int r;
    while ((r = proxy_header_parse((const uint8_t *)data, len, ret_header, &want)) == -EAGAIN) {
        assert_true(want > 0);
        if (len + want > size)
            return -EAGAIN;
        len += want;
    }
    if (r == 0)
        assert_int_equal(len, size);
    return r;
}

static void headers_that_tell(void **state)
{
    static const struct {
        const char *data;
        size_t len;
        const char *remote, *local;
    } row[] = {
        {BYTES("PROXY TCP4 198.51.100.7 203.0.113.9 49153 443\r\n"), "198.51.100.7:49153",
         "203.0.113.9:443"},
        {BYTES("PROXY TCP4 1.1.1.1 2.2.2.2 0 1\r\n"), "1.1.1.1:0", "2.2.2.2:1"},
        {BYTES("PROXY TCP6 2001:db8::7 2001:db8::9 49154 5349\r\n"), "[2001:db8::7]:49154",
         "[2001:db8::9]:5349"},
        {BYTES("PROXY TCP6 ::ffff:198.51.100.7 ::ffff:203.0.113.9 1 2\r\n"), "198.51.100.7:1",
         "203.0.113.9:2"},
        {BYTES(SIGNATURE "\x21\x11\x00\x0c" ADDRS4), "198.51.100.7:49153", "203.0.113.9:443"},
        {BYTES(SIGNATURE "\x21\x11\x00\x10" ADDRS4 "\x04\x00\x01\x00"), "198.51.100.7:49153",
         "203.0.113.9:443"},
        {BYTES(SIGNATURE "\x21\x21\x00\x24" ADDRS6), "[2001:db8::7]:49154", "[2001:db8::9]:5349"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct proxy_header header;
        char text[ADDR_TEXT_MAX];
        assert_int_equal(parse(row[i].data, row[i].len, &header), 0);
        assert_string_equal(addr_format(&header.remote, text), row[i].remote);
        assert_string_equal(addr_format(&header.local, text), row[i].local);
        // No beginning of it is taken for the whole.
        for (size_t len = 0; len < row[i].len; len++)
            assert_int_equal(parse(row[i].data, len, &header), -EAGAIN);
    }
}

static void headers_that_tell_nothing(void **state)
{
    static const struct {
        const char *data;
        size_t len;
    } row[] = {
        {BYTES("PROXY UNKNOWN\r\n")},
        {BYTES("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n")},
        {BYTES(SIGNATURE "\x20\x00\x00\x00")},             // LOCAL
        {BYTES(SIGNATURE "\x20\x11\x00\x0c" ADDRS4)},      // LOCAL, whatever follows
        {BYTES(SIGNATURE "\x21\x00\x00\x03\x04\x00\x00")}, // UNSPEC
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct proxy_header header;
        assert_int_equal(parse(row[i].data, row[i].len, &header), 0);
        assert_int_equal(header.remote.family, FAMILY_NONE);
    }
}

static void what_is_no_header(void **state)
{
    static const struct {
        const char *data;
        size_t len;
    } row[] = {
        {BYTES("GET / HTTP/1")},
        {BYTES("PROXY TCP4 \r\n..")},
        {BYTES("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n.........")},
        {BYTES("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n")},
        {BYTES("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n")},
        {BYTES("PROXY TCP4 1.1.1.1  2.2.2.2 1 2\r\n")},
        {BYTES("PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n")},
        {BYTES("PROXY TCP4 1.1.1.1 2.2.2.2 1 -2\r\n")},
        {BYTES("PROXY TCP4 1.1.1.1 2.2.2.2 1 000002\r\n")},
        {BYTES("PROXY TCP4 2001:db8::7 2001:db8::9 1 2\r\n")},
        {BYTES("PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n")},
        {BYTES("PROXY TCP4 11111111111111111111111111111111111111111111111 2.2.2.2 1 2\r\n")},
        {BYTES(
            "PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaa")},
        {BYTES("\r\n\r\n\0\r\nQUIX\n")},
        {BYTES(SIGNATURE "\x11\x11\x00\x0c" ADDRS4)}, // version 1
        {BYTES(SIGNATURE "\x22\x11\x00\x0c" ADDRS4)}, // an unknown command
        {BYTES(SIGNATURE "\x21\x12\x00\x0c" ADDRS4)}, // UDP
        {BYTES(SIGNATURE "\x21\x11\x00\x0b" ADDRS4)}, // too short for two addresses
        {BYTES(SIGNATURE "\x21\x21\x00\x0c" ADDRS4)}, // as IPv6
        {BYTES(SIGNATURE "\x21\x11\x03\xf1" ADDRS4)}, // longer than there is room
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct proxy_header header;
        if (parse(row[i].data, row[i].len, &header) != -EBADMSG)
            fail_msg("row %zu was taken", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_that_tell),
        cmocka_unit_test(headers_that_tell_nothing),
        cmocka_unit_test(what_is_no_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
