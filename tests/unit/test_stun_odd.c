// SPDX-License-Identifier: ISC
// STUN messages that nobody honest sends: lengths out of bounds, attributes outside their message,
// after MESSAGE-INTEGRITY, twice, unknown, or with values that make no sense.
#include "codec/stun.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const char password[] = "VOkJxbRl1RmTxUk/WvJxBt";
#define KEY password, sizeof password - 1

static const uint8_t txid[STUN_TXID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

// A message with one attribute of 'len' zeros; returns its length.
static size_t make_raw(uint8_t *buf, size_t size, uint16_t type, uint16_t len)
{
    struct writer w = stun_begin(buf, size, STUN_REQUEST, STUN_BINDING, txid);
    write_u16(&w, type);
    write_u16(&w, len);
    write_zeros(&w, (len + 3u) & ~3u);
    assert_int_equal(w.failed, false);
    return (size_t)stun_finish(&w, NULL, 0, false);
}

static void lengths_outside_the_row_are_refused(void **state)
{
    static uint8_t buf[66000];
    static const uint8_t zeros[UINT16_MAX];
    struct stun_msg msg;
    for (enum stun_attr attr = 0; attr < STUN_ATTR_COUNT; attr++) {
        const struct stun_attr_row *row = &stun_attr_rows[attr];
        size_t len = make_raw(buf, sizeof buf, row->type, (uint16_t)(row->max + 1));
        assert_int_equal(stun_decode(buf, len, &msg), -EBADMSG);
        struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
        stun_put_bytes(&w, attr, zeros, row->max + 1u);
        assert_int_equal(stun_finish(&w, NULL, 0, false), -ENOSPC);
        if (row->min == 0)
            continue;
        len = make_raw(buf, sizeof buf, row->type, (uint16_t)(row->min - 1));
        assert_int_equal(stun_decode(buf, len, &msg), -EBADMSG);
        w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
        stun_put_bytes(&w, attr, zeros, row->min - 1u);
        assert_int_equal(stun_finish(&w, NULL, 0, false), -ENOSPC);
    }
}

static void header_rules(void **state)
{
    uint8_t buf[STUN_HEADER_LEN + 4];
    struct stun_msg msg;
    size_t len = make_raw(buf, sizeof buf, 0x8070, 0);
    assert_int_equal(stun_decode(buf, len, &msg), 0);
    buf[4] ^= 1; // the cookie
    assert_int_equal(stun_decode(buf, len, &msg), -EBADMSG);
    buf[4] ^= 1;
    for (int bit = 0x40; bit <= 0x80; bit *= 2) { // the two zero bits
        buf[0] ^= (uint8_t)bit;
        assert_int_equal(stun_decode(buf, len, &msg), -EBADMSG);
        buf[0] ^= (uint8_t)bit;
    }
    for (uint8_t body = 1; body <= 8; body++) {
        buf[3] = body;
        assert_int_equal(stun_decode(buf, len, &msg), body == 4 ? 0 : -EBADMSG);
    }
    assert_int_equal(stun_decode(NULL, 0, &msg), -EBADMSG);
}

static void attributes_stay_inside_the_message(void **state)
{
    uint8_t buf[64];
    struct stun_msg msg;
    size_t len = make_raw(buf, sizeof buf, 0x8070, 8);
    for (unsigned claim = 0; claim <= 0xffff; claim++) {
        buf[22] = (uint8_t)(claim >> 8);
        buf[23] = (uint8_t)claim;
        int rc = stun_decode(buf, len, &msg);
        // Shorter ones leave zeros, which read as an attribute 0x0000 or the rest of one.
        assert_int_equal(rc, claim <= 8 ? 0 : -EBADMSG);
    }
}

static void after_integrity_only_fingerprint(void **state)
{
    uint8_t buf[256];
    struct stun_msg msg;
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
    assert_int_equal(stun_finish(&w, KEY, false), 44);
    stun_put_flag(&w, STUN_USE_CANDIDATE); // not covered, must not count
    stun_put_bytes(&w, STUN_USERNAME, "a:b", 3);
    write_u32(&w, 0x7fff0000); // an unknown attribute that would have to be understood
    int len = stun_finish(&w, NULL, 0, true);
    assert_true(len > 0);
    assert_int_equal(stun_decode(buf, (size_t)len, &msg), 0);
    assert_false(stun_has(&msg, STUN_USE_CANDIDATE));
    assert_false(stun_has(&msg, STUN_USERNAME));
    assert_true(stun_has(&msg, STUN_FINGERPRINT));
    assert_int_equal(msg.unknown_count, 0);
    assert_true(stun_check_integrity(&msg, KEY)); // as section 14.5 wants the length counted
}

// CRC-32 bit by bit, to make messages that are wrong in nothing but their order.
static uint32_t crc32_of(const uint8_t *data, size_t len)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len * 8; i++) {
        uint32_t bit = (crc ^ (uint32_t)data[i / 8] >> i % 8) & 1;
        crc = crc >> 1 ^ (bit ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void fingerprint_must_be_last(void **state)
{
    for (uint8_t behind = 0; behind <= 4; behind += 4) {
        uint8_t buf[64];
        struct stun_msg msg;
        struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
        buf[3] = 8 + behind;
        stun_put_u32(&w, STUN_FINGERPRINT, crc32_of(buf, STUN_HEADER_LEN) ^ 0x5354554e);
        write_u32(&w, 0x80700000);
        assert_int_equal(stun_decode(buf, 28u + behind, &msg), behind ? -EBADMSG : 0);
    }
}

static void an_empty_key_proves_nothing(void **state)
{
    uint8_t buf[64];
    struct stun_msg msg;
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
    int len = stun_finish(&w, "", 0, false);
    assert_int_equal(len, 44);
    assert_int_equal(stun_decode(buf, (size_t)len, &msg), 0);
    assert_true(stun_has(&msg, STUN_MESSAGE_INTEGRITY));
    assert_false(stun_check_integrity(&msg, "", 0));
}

static void the_first_of_two_counts(void **state)
{
    uint8_t buf[64];
    struct stun_msg msg;
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
    stun_put_u32(&w, STUN_PRIORITY, 1);
    stun_put_u32(&w, STUN_PRIORITY, 2);
    int len = stun_finish(&w, NULL, 0, false);
    assert_int_equal(stun_decode(buf, (size_t)len, &msg), 0);
    assert_int_equal(stun_u32(&msg, STUN_PRIORITY), 1);
}

static void unknown_attributes(void **state)
{
    uint8_t buf[256];
    struct stun_msg msg;
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, txid);
    write_u32(&w, 0x80700000u);
    write_u32(&w, 0xffff0000u);
    for (uint32_t i = 0; i < 12; i++) {
        write_u32(&w, (0x7ff0 + i) << 16);
        write_u32(&w, (0x7ff0 + i) << 16); // twice; named once
    }
    int len = stun_finish(&w, NULL, 0, false);
    assert_int_equal(stun_decode(buf, (size_t)len, &msg), 0);
    assert_int_equal(msg.unknown_count, 8); // as many as there is room for
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(msg.unknown[i], 0x7ff0 + i);
}

static void odd_addresses(void **state)
{
    static const struct {
        uint8_t family;
        uint16_t len;
        int rc;
    } cases[] = {
        {1, 8, 0},        {2, 20, 0},        {1, 20, -EBADMSG}, {2, 8, -EBADMSG},
        {0, 8, -EBADMSG}, {3, 20, -EBADMSG}, {1, 12, -EBADMSG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t buf[64];
        struct stun_msg msg;
        struct addr addr;
        size_t len = make_raw(buf, sizeof buf, 0x0001, cases[i].len);
        buf[25] = cases[i].family;
        assert_int_equal(stun_decode(buf, len, &msg), 0);
        assert_int_equal(stun_addr(&msg, STUN_MAPPED_ADDRESS, &addr), cases[i].rc);
    }
}

static void error_codes(void **state)
{
    static const struct {
        uint8_t hundreds, rest;
        unsigned code;
    } cases[] = {
        {3, 0, 300}, {4, 87, 487}, {6, 99, 699}, {0xfc, 1, 401}, {2, 99, 0}, {7, 0, 0}, {4, 100, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t buf[64];
        struct stun_msg msg;
        size_t len = make_raw(buf, sizeof buf, 0x0009, 4);
        buf[26] = cases[i].hundreds; // its upper five bits are reserved
        buf[27] = cases[i].rest;
        assert_int_equal(stun_decode(buf, len, &msg), 0);
        assert_int_equal(stun_error_code(&msg), cases[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_outside_the_row_are_refused),
        cmocka_unit_test(header_rules),
        cmocka_unit_test(attributes_stay_inside_the_message),
        cmocka_unit_test(after_integrity_only_fingerprint),
        cmocka_unit_test(fingerprint_must_be_last),
        cmocka_unit_test(an_empty_key_proves_nothing),
        cmocka_unit_test(the_first_of_two_counts),
        cmocka_unit_test(unknown_attributes),
        cmocka_unit_test(odd_addresses),
        cmocka_unit_test(error_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
