// SPDX-License-Identifier: ISC
// STUN against the vectors of RFC 5769 (recomputed; padding in the first two is not zero, so
// values are compared, not bytes written again), and against itself over every attribute row. What
// must be refused or ignored is in test_stun_odd.c.
#include "codec/stun.h"
#include "random.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// clang-format off
static const uint8_t request[] = {
    0x00, 0x01, // Binding request
    0x00, 0x58, // length 88
    0x21, 0x12, 0xa4, 0x42, // magic cookie
    0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, // transaction id
    0x80, 0x22, 0x00, 0x10, // SOFTWARE, 16 bytes
    0x53, 0x54, 0x55, 0x4e, 0x20, 0x74, 0x65, 0x73, 0x74, 0x20, 0x63, 0x6c, // "STUN test cl"
    0x69, 0x65, 0x6e, 0x74, // "ient"
    0x00, 0x24, 0x00, 0x04, // PRIORITY, 4 bytes
    0x6e, 0x00, 0x01, 0xff, //
    0x80, 0x29, 0x00, 0x08, // ICE-CONTROLLED, 8 bytes
    0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36, //
    0x00, 0x06, 0x00, 0x09, // USERNAME, 9 bytes
    0x65, 0x76, 0x74, 0x6a, 0x3a, 0x68, 0x36, 0x76, 0x59, // "evtj:h6vY"
    0x20, 0x20, 0x20, // padding
    0x00, 0x08, 0x00, 0x14, // MESSAGE-INTEGRITY, 20 bytes
    0x9a, 0xea, 0xa7, 0x0c, 0xbf, 0xd8, 0xcb, 0x56, 0x78, 0x1e, 0xf2, 0xb5, //
    0xb2, 0xd3, 0xf2, 0x49, 0xc1, 0xb5, 0x71, 0xa2, //
    0x80, 0x28, 0x00, 0x04, // FINGERPRINT, 4 bytes
    0xe5, 0x7a, 0x3b, 0xcf, //
};

static const uint8_t response_v4[] = {
    0x01, 0x01, // Binding success response
    0x00, 0x3c, // length 60
    0x21, 0x12, 0xa4, 0x42, // magic cookie
    0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, // transaction id
    0x80, 0x22, 0x00, 0x0b, // SOFTWARE, 11 bytes
    0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, // "test vector"
    0x20, // padding
    0x00, 0x20, 0x00, 0x08, // XOR-MAPPED-ADDRESS, 8 bytes
    0x00, 0x01, // family
    0xa1, 0x47, // port, mixed
    0xe1, 0x12, 0xa6, 0x43, // address, mixed
    0x00, 0x08, 0x00, 0x14, // MESSAGE-INTEGRITY, 20 bytes
    0x2b, 0x91, 0xf5, 0x99, 0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9, //
    0x2a, 0xf9, 0xba, 0x53, 0xf0, 0x6b, 0xe7, 0xd7, //
    0x80, 0x28, 0x00, 0x04, // FINGERPRINT, 4 bytes
    0xc0, 0x7d, 0x4c, 0x96, //
};

static const uint8_t response_v6[] = {
    0x01, 0x01, // Binding success response
    0x00, 0x48, // length 72
    0x21, 0x12, 0xa4, 0x42, // magic cookie
    0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae, // transaction id
    0x80, 0x22, 0x00, 0x0b, // SOFTWARE, 11 bytes
    0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, 0x74, 0x6f, 0x72, // "test vector"
    0x20, // padding
    0x00, 0x20, 0x00, 0x14, // XOR-MAPPED-ADDRESS, 20 bytes
    0x00, 0x02, // family
    0xa1, 0x47, // port, mixed
    0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, // address, mixed
    0xbe, 0xd2, 0xb9, 0xd9, //
    0x00, 0x08, 0x00, 0x14, // MESSAGE-INTEGRITY, 20 bytes
    0xa3, 0x82, 0x95, 0x4e, 0x4b, 0xe6, 0x7b, 0xf1, 0x17, 0x84, 0xc9, 0x7c, //
    0x82, 0x92, 0xc2, 0x75, 0xbf, 0xe3, 0xed, 0x41, //
    0x80, 0x28, 0x00, 0x04, // FINGERPRINT, 4 bytes
    0xc8, 0xfb, 0x0b, 0x4c, //
};

static const uint8_t long_term[] = {
    0x00, 0x01, // Binding request
    0x00, 0x60, // length 96
    0x21, 0x12, 0xa4, 0x42, // magic cookie
    0x78, 0xad, 0x34, 0x33, 0xc6, 0xad, 0x72, 0xc0, 0x29, 0xda, 0x41, 0x2e, // transaction id
    0x00, 0x06, 0x00, 0x12, // USERNAME, 18 bytes
    0xe3, 0x83, 0x9e, 0xe3, 0x83, 0x88, 0xe3, 0x83, 0xaa, 0xe3, 0x83, 0x83, //
    0xe3, 0x82, 0xaf, 0xe3, 0x82, 0xb9, //
    0x00, 0x00, // padding
    0x00, 0x15, 0x00, 0x1c, // NONCE, 28 bytes
    0x66, 0x2f, 0x2f, 0x34, 0x39, 0x39, 0x6b, 0x39, 0x35, 0x34, 0x64, 0x36, // "f//499k954d6"
    0x4f, 0x4c, 0x33, 0x34, 0x6f, 0x4c, 0x39, 0x46, 0x53, 0x54, 0x76, 0x79, // "OL34oL9FSTvy"
    0x36, 0x34, 0x73, 0x41, // "64sA"
    0x00, 0x14, 0x00, 0x0b, // REALM, 11 bytes
    0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x6f, 0x72, 0x67, // "example.org"
    0x00, // padding
    0x00, 0x08, 0x00, 0x14, // MESSAGE-INTEGRITY, 20 bytes
    0xf6, 0x70, 0x24, 0x65, 0x6d, 0xd6, 0x4a, 0x3e, 0x02, 0xb8, 0xe0, 0x71, //
    0x2e, 0x85, 0xc9, 0xa2, 0x8c, 0xa8, 0x96, 0x66, //
};

// clang-format on

static const char password[] = "VOkJxbRl1RmTxUk/WvJxBt"; // of the first three
#define KEY password, sizeof password - 1

static const uint8_t txid[STUN_TXID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static void text_is(const struct stun_msg *msg, enum stun_attr attr, const char *text)
{
    assert_int_equal(msg->attr[attr].len, strlen(text));
    assert_memory_equal(msg->attr[attr].data, text, strlen(text));
}

static void addr_is(const struct stun_msg *msg, enum stun_attr attr, const char *text)
{
    struct addr addr;
    char buf[ADDR_TEXT_MAX];
    assert_int_equal(stun_addr(msg, attr, &addr), 0);
    assert_string_equal(addr_format(&addr, buf), text);
}

static void rfc5769_request(void **state)
{
    struct stun_msg msg;
    assert_int_equal(stun_decode(request, sizeof request, &msg), 0);
    assert_int_equal(msg.class, STUN_REQUEST);
    assert_int_equal(msg.method, STUN_BINDING);
    assert_int_equal(msg.len, sizeof request);
    assert_ptr_equal(msg.data, request);
    assert_ptr_equal(msg.txid, request + 8);
    text_is(&msg, STUN_SOFTWARE, "STUN test client");
    text_is(&msg, STUN_USERNAME, "evtj:h6vY");
    assert_int_equal(stun_u32(&msg, STUN_PRIORITY), 0x6e0001ff);
    assert_true(stun_u64(&msg, STUN_ICE_CONTROLLED) == 0x932ff9b151263b36);
    assert_true(stun_has(&msg, STUN_FINGERPRINT));
    assert_false(stun_has(&msg, STUN_USE_CANDIDATE));
    assert_false(stun_has(&msg, STUN_ICE_CONTROLLING));
    assert_int_equal(stun_u32(&msg, STUN_ERROR_CODE), 0);
    assert_true(stun_u64(&msg, STUN_ICE_CONTROLLING) == 0);
    assert_int_equal(stun_error_code(&msg), 0);
    assert_int_equal(msg.integrity_at, sizeof request - 32);
    assert_int_equal(msg.fingerprint_at, sizeof request - 8);
    assert_int_equal(msg.unknown_count, 0);
    assert_true(stun_check_integrity(&msg, KEY));
    assert_false(stun_check_integrity(&msg, password, sizeof password - 2));
    assert_false(stun_check_integrity(&msg, "", 0));
}

static void rfc5769_responses(void **state)
{
    struct stun_msg msg;
    assert_int_equal(stun_decode(response_v4, sizeof response_v4, &msg), 0);
    assert_int_equal(msg.class, STUN_SUCCESS);
    text_is(&msg, STUN_SOFTWARE, "test vector");
    addr_is(&msg, STUN_XOR_MAPPED_ADDRESS, "192.0.2.1:32853");
    assert_true(stun_check_integrity(&msg, KEY));

    assert_int_equal(stun_decode(response_v6, sizeof response_v6, &msg), 0);
    addr_is(&msg, STUN_XOR_MAPPED_ADDRESS, "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
    assert_true(stun_check_integrity(&msg, KEY));
    struct addr addr;
    assert_int_equal(stun_addr(&msg, STUN_MAPPED_ADDRESS, &addr), -ENOENT);
}

// Section 2.4: long-term credentials, no FINGERPRINT.
static void rfc5769_long_term(void **state)
{
    static const uint8_t key[16] = {
        // MD5 of the user, "example.org" and "TheMatrIX", with colons
        0xe8, 0xca, 0x7a, 0xd5, 0x9d, 0x5e, 0xb0, 0x51, //
        0x8e, 0x31, 0x29, 0x11, 0xd2, 0xda, 0xb2, 0xa9,
    };
    struct stun_msg msg;
    assert_int_equal(stun_decode(long_term, sizeof long_term, &msg), 0);
    assert_int_equal(msg.fingerprint_at, 0);
    text_is(&msg, STUN_REALM, "example.org");
    text_is(&msg, STUN_NONCE, "f//499k954d6OL34oL9FSTvy64sA");
    assert_int_equal(msg.unknown_count, 0);
    assert_true(stun_check_integrity(&msg, key, sizeof key));
}

// Any one bit of a protected message that is turned over must show.
static void every_bit_counts(void **state)
{
    uint8_t copy[sizeof request];
    for (size_t bit = 0; bit < sizeof request * 8; bit++) {
        struct stun_msg msg;
        memcpy(copy, request, sizeof copy);
        copy[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        // (One bit of the length cuts FINGERPRINT off; then there is none.)
        if (stun_decode(copy, sizeof copy, &msg) == 0 && stun_has(&msg, STUN_FINGERPRINT))
            fail_msg("bit %zu turned over and FINGERPRINT holds", bit);
    }
    // Without FINGERPRINT it is MESSAGE-INTEGRITY that must notice.
    size_t len = sizeof request - 8;
    for (size_t bit = 0; bit < len * 8; bit++) {
        struct stun_msg msg;
        memcpy(copy, request, len);
        copy[3] = (uint8_t)(len - STUN_HEADER_LEN);
        copy[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        if (stun_decode(copy, len, &msg) == 0 && stun_check_integrity(&msg, KEY))
            fail_msg("bit %zu turned over and MESSAGE-INTEGRITY holds", bit);
    }
}

static void every_truncation_is_refused(void **state)
{
    for (size_t len = 0; len < sizeof request; len++) {
        uint8_t *exact = malloc(len ? len : 1); // so that ASan sees one byte too many
        struct stun_msg msg;
        memcpy(exact, request, len);
        assert_int_equal(stun_decode(exact, len, &msg), -EBADMSG);
        free(exact);
    }
    // More bytes than the header says are not ours.
    uint8_t longer[sizeof request + 3] = {0};
    struct stun_msg msg;
    memcpy(longer, request, sizeof request);
    assert_int_equal(stun_decode(longer, sizeof longer, &msg), 0);
    assert_int_equal(msg.len, sizeof request);
}

// ---- writing ----

static void classes_and_methods(void **state)
{
    static const struct {
        enum stun_class class;
        uint16_t method;
        uint16_t type;
    } known[] = {
        {STUN_REQUEST, 0x001, 0x0001},    {STUN_SUCCESS, 0x001, 0x0101},
        {STUN_ERROR, 0x001, 0x0111},      {STUN_INDICATION, 0x001, 0x0011},
        {STUN_INDICATION, 0x006, 0x0016}, {STUN_ERROR, 0x00a, 0x011a},
        {STUN_REQUEST, 0xfff, 0x3eef},    {STUN_ERROR, 0xfff, 0x3fff},
    };
    uint8_t buf[64];
    struct stun_msg msg;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct writer w = stun_begin(buf, sizeof buf, known[i].class, known[i].method, txid);
        assert_int_equal(stun_finish(&w, NULL, 0, false), STUN_HEADER_LEN);
        assert_int_equal(buf[0] << 8 | buf[1], known[i].type);
    }
    for (unsigned method = 0; method <= 0xfff; method++) {
        for (int class = 0; class < 4; class ++) {
            struct writer w =
                stun_begin(buf, sizeof buf, (enum stun_class) class, (uint16_t)method, txid);
            int len = stun_finish(&w, NULL, 0, false);
            assert_int_equal(stun_decode(buf, (size_t)len, &msg), 0);
            assert_int_equal(msg.method, method);
            assert_int_equal(msg.class, class);
            assert_memory_equal(msg.txid, txid, sizeof txid);
        }
    }
}

// A value for each row, in all the lengths it may have at its bounds.
static void put_row(struct writer *w, enum stun_attr attr, uint16_t len)
{
    static const uint8_t filler[UINT16_MAX] = "some bytes";
    static char reason[1024];
    struct addr addr = {.port = 0xabcd, .family = len == 8 ? FAMILY_V4 : FAMILY_V6};
    switch (stun_attr_rows[attr].value) {
    case STUN_VALUE_NONE:
        stun_put_flag(w, attr);
        break;
    case STUN_VALUE_U32:
        stun_put_u32(w, attr, 0xfedcba98);
        break;
    case STUN_VALUE_U64:
        stun_put_u64(w, attr, 0xfedcba9876543210);
        break;
    case STUN_VALUE_ADDR:
    case STUN_VALUE_XOR_ADDR:
        memcpy(addr.ip, filler, len == 8 ? 4 : 16);
        stun_put_addr(w, attr, &addr);
        break;
    case STUN_VALUE_ERROR:
        memset(reason, 'r', len - 4u);
        reason[len - 4] = '\0';
        stun_put_error(w, 487, reason);
        break;
    case STUN_VALUE_TEXT:
    case STUN_VALUE_BYTES:
    case STUN_VALUE_U16_LIST:
        stun_put_bytes(w, attr, filler, len);
    }
}

static void check_row(const struct stun_msg *msg, enum stun_attr attr)
{
    const struct stun_attr_row *row = &stun_attr_rows[attr];
    struct addr addr;
    assert_true(stun_has(msg, attr));
    if (row->value == STUN_VALUE_U32)
        assert_int_equal(stun_u32(msg, attr), 0xfedcba98);
    if (row->value == STUN_VALUE_U64)
        assert_true(stun_u64(msg, attr) == 0xfedcba9876543210);
    if (row->value == STUN_VALUE_ERROR)
        assert_int_equal(stun_error_code(msg), 487);
    if (row->value == STUN_VALUE_ADDR || row->value == STUN_VALUE_XOR_ADDR) {
        assert_int_equal(stun_addr(msg, attr, &addr), 0);
        assert_int_equal(addr.port, 0xabcd);
        assert_memory_equal(addr.ip, "some", 4);
        assert_int_equal(addr.family, msg->attr[attr].len == 8 ? FAMILY_V4 : FAMILY_V6);
    }
}

static void round_trip_over_all_rows(void **state)
{
    static uint8_t buf[66000];
    struct stun_msg msg;
    for (enum stun_attr attr = 0; attr < STUN_ATTR_COUNT; attr++) {
        const struct stun_attr_row *row = &stun_attr_rows[attr];
        const uint16_t lens[] = {row->min, row->max};
        if (attr == STUN_FINGERPRINT) // its value must be right; see the vectors
            continue;
        for (size_t i = 0; i < 2; i++) {
            struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
            put_row(&w, attr, lens[i]);
            int len = stun_finish(&w, NULL, 0, true);
            if (len < 0 || stun_decode(buf, (size_t)len, &msg) < 0)
                fail_msg("%s with %u bytes", row->name, lens[i]);
            assert_int_equal(msg.attr[attr].len, lens[i]);
            check_row(&msg, attr);
        }
    }
}

static void rows_are_sound(void **state)
{
    for (enum stun_attr a = 0; a < STUN_ATTR_COUNT; a++) {
        assert_non_null(stun_attr_rows[a].name);
        assert_true(stun_attr_rows[a].min <= stun_attr_rows[a].max);
        for (enum stun_attr b = 0; b < a; b++)
            assert_int_not_equal(stun_attr_rows[a].type, stun_attr_rows[b].type);
    }
}

// The fuzzer's dictionary has a token for each row.
static void the_dictionary_is_complete(void **state)
{
    const char *data = getenv("TEST_DATA");
    char path[4096], line[256];
    snprintf(path, sizeof path, "%s/../fuzz/stun.dict", data ? data : "tests/data");
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot open %s", path);
    bool found[STUN_ATTR_COUNT] = {false};
    while (fgets(line, sizeof line, file)) {
        for (enum stun_attr attr = 0; attr < STUN_ATTR_COUNT; attr++) {
            char want[64];
            const struct stun_attr_row *row = &stun_attr_rows[attr];
            snprintf(want, sizeof want, "%s=\"\\x%02x\\x%02x", row->name, row->type >> 8,
                     row->type & 0xffu);
            found[attr] |= strncmp(line, want, strlen(want)) == 0;
        }
    }
    fclose(file);
    for (enum stun_attr attr = 0; attr < STUN_ATTR_COUNT; attr++) {
        if (!found[attr])
            fail_msg("%s is not in %s", stun_attr_rows[attr].name, path);
    }
}

static int write_check(uint8_t *buf, size_t size)
{
    struct addr addr = addr_v4((const uint8_t[]){192, 0, 2, 1}, 32853);
    struct writer w = stun_begin(buf, size, STUN_REQUEST, STUN_BINDING, txid);
    stun_put_bytes(&w, STUN_USERNAME, "evtj:h6vY", 9);
    stun_put_u32(&w, STUN_PRIORITY, 0x6e0001ff);
    stun_put_u64(&w, STUN_ICE_CONTROLLING, 1);
    stun_put_flag(&w, STUN_USE_CANDIDATE);
    stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, &addr);
    stun_put_error(&w, 400, "no");
    return stun_finish(&w, KEY, true);
}

static void written_messages_verify(void **state)
{
    uint8_t buf[256];
    struct stun_msg msg;
    int len = write_check(buf, sizeof buf);
    assert_true(len > 0);
    assert_int_equal(stun_decode(buf, (size_t)len, &msg), 0);
    assert_true(stun_has(&msg, STUN_FINGERPRINT));
    assert_true(stun_check_integrity(&msg, KEY));
    assert_false(stun_check_integrity(&msg, "wrong", 5));
    addr_is(&msg, STUN_XOR_MAPPED_ADDRESS, "192.0.2.1:32853");
    buf[STUN_HEADER_LEN + 4] ^= 1;
    assert_int_equal(stun_decode(buf, (size_t)len, &msg), -EBADMSG);
}

// The IPv4 response, written by us, is the RFC's byte for byte.
static void writes_the_vector(void **state)
{
    uint8_t buf[128];
    struct stun_msg msg;
    assert_int_equal(stun_decode(response_v4, sizeof response_v4, &msg), 0);
    struct writer w = stun_begin(buf, sizeof buf, STUN_SUCCESS, STUN_BINDING, msg.txid);
    struct addr addr;
    assert_int_equal(stun_addr(&msg, STUN_XOR_MAPPED_ADDRESS, &addr), 0);
    stun_put_bytes(&w, STUN_SOFTWARE, "test vector", 11);
    w.start[writer_used(&w) - 1] = ' '; // the vector's padding
    stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, &addr);
    assert_int_equal(stun_finish(&w, KEY, true), sizeof response_v4);
    assert_memory_equal(buf, response_v4, sizeof response_v4);
}

static void short_buffers_never_overflow(void **state)
{
    uint8_t whole[256];
    int len = write_check(whole, sizeof whole);
    for (size_t size = 0; size < (size_t)len; size++) {
        uint8_t *exact = malloc(size ? size : 1);
        assert_int_equal(write_check(exact, size), -ENOSPC);
        free(exact);
    }
    uint8_t *exact = malloc((size_t)len);
    assert_int_equal(write_check(exact, (size_t)len), len);
    assert_memory_equal(exact, whole, (size_t)len);
    free(exact);
}

static void refuses_values_that_cannot_be_written(void **state)
{
    uint8_t buf[64];
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
    stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, &(struct addr){0});
    assert_int_equal(stun_finish(&w, NULL, 0, false), -ENOSPC);
    static const unsigned codes[] = {0, 299, 700};
    for (size_t i = 0; i < 3; i++) {
        w = stun_begin(buf, sizeof buf, STUN_ERROR, STUN_BINDING, txid);
        stun_put_error(&w, codes[i], "");
        assert_int_equal(stun_finish(&w, NULL, 0, false), -ENOSPC);
    }
    static const uint8_t filler[700];
    static uint8_t huge[80000]; // longer than the length field can say
    w = stun_begin(huge, sizeof huge, STUN_REQUEST, STUN_BINDING, txid);
    for (int i = 0; i < 100; i++)
        stun_put_bytes(&w, STUN_SOFTWARE, filler, sizeof filler);
    assert_int_equal(stun_finish(&w, KEY, true), -ENOSPC);
}

static void *check_many(void *arg)
{
    struct stun_msg msg;
    size_t good = 0;
    if (stun_decode(request, sizeof request, &msg) == 0) {
        for (int i = 0; i < 200; i++)
            good += stun_check_integrity(&msg, KEY) && !stun_check_integrity(&msg, "no", 2);
    }
    *(size_t *)arg = good;
    return NULL;
}

// Each thread has an HMAC context of its own, which ends with it.
static void threads(void **state)
{
    pthread_t thread[8];
    size_t good[8] = {0};
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, check_many, &good[i]), 0);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(good[i], 200);
    }
}

static bool is_checksum(enum stun_attr attr)
{
    return attr == STUN_MESSAGE_INTEGRITY || attr == STUN_INTEGRITY_SHA256 ||
           attr == STUN_FINGERPRINT;
}

// Random attributes in random order, written, read and compared.
static void random_messages(void **state)
{
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        uint64_t random = seed;
        uint8_t buf[2048];
        bool put[STUN_ATTR_COUNT] = {false};
        struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
        for (int n = (int)random_below(&random, 8); n > 0; n--) {
            enum stun_attr attr = (enum stun_attr)random_below(&random, STUN_ATTR_COUNT);
            const struct stun_attr_row *row = &stun_attr_rows[attr];
            if (is_checksum(attr) || put[attr])
                continue;
            put[attr] = true;
            unsigned span = row->max - row->min > 40 ? 40 : (unsigned)(row->max - row->min);
            put_row(&w, attr,
                    span == 12 ? (n & 1 ? 8 : 20)
                               : (uint16_t)(row->min + random_below(&random, span + 1)));
        }
        int len = stun_finish(&w, KEY, random_next(&random) & 1);
        struct stun_msg msg;
        if (len < 0 || stun_decode(buf, (size_t)len, &msg) < 0 || !stun_check_integrity(&msg, KEY))
            fail_msg("seed %d", (int)seed);
        for (enum stun_attr attr = 0; attr < STUN_ATTR_COUNT; attr++) {
            if (is_checksum(attr))
                continue;
            assert_int_equal(stun_has(&msg, attr), put[attr]);
            if (put[attr])
                check_row(&msg, attr);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc5769_request),
        cmocka_unit_test(rfc5769_responses),
        cmocka_unit_test(rfc5769_long_term),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(classes_and_methods),
        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(round_trip_over_all_rows),
        cmocka_unit_test(the_dictionary_is_complete),
        cmocka_unit_test(written_messages_verify),
        cmocka_unit_test(writes_the_vector),
        cmocka_unit_test(short_buffers_never_overflow),
        cmocka_unit_test(refuses_values_that_cannot_be_written),
        cmocka_unit_test(threads),
        cmocka_unit_test(random_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
