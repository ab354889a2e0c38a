// SPDX-License-Identifier: ISC
// What STUN needs for TURN: SHA-256 integrity against the vector of RFC 8489 appendix B.1 as
// erratum 6268 corrects it, attributes that may stand several times, and lengths that a server
// must answer rather than ignore.
#include "codec/stun.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t txid[STUN_TXID_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};

// clang-format off
static const uint8_t vector[] = {
    0x00, 0x01, // Binding request
    0x00, 0x90, // length 144
    0x21, 0x12, 0xa4, 0x42, // magic cookie
    0x78, 0xad, 0x34, 0x33, 0xc6, 0xad, 0x72, 0xc0, 0x29, 0xda, 0x41, 0x2e, // transaction id
    0x00, 0x1e, 0x00, 0x20, // USERHASH, 32 bytes
    0x4a, 0x3c, 0xf3, 0x8f, 0xef, 0x69, 0x92, 0xbd, 0xa9, 0x52, 0xc6, 0x78, //
    0x04, 0x17, 0xda, 0x0f, 0x24, 0x81, 0x94, 0x15, 0x56, 0x9e, 0x60, 0xb2, //
    0x05, 0xc4, 0x6e, 0x41, 0x40, 0x7f, 0x17, 0x04, //
    0x00, 0x15, 0x00, 0x29, // NONCE, 41 bytes
    0x6f, 0x62, 0x4d, 0x61, 0x74, 0x4a, 0x6f, 0x73, 0x32, // "obMatJos2"
    0x41, 0x41, 0x41, 0x43, // "AAAC"
    0x66, 0x2f, 0x2f, 0x34, 0x39, 0x39, 0x6b, 0x39, 0x35, 0x34, 0x64, 0x36, // "f//499k954d6"
    0x4f, 0x4c, 0x33, 0x34, 0x6f, 0x4c, 0x39, 0x46, 0x53, 0x54, 0x76, 0x79, // "OL34oL9FSTvy"
    0x36, 0x34, 0x73, 0x41, // "64sA"
    0x00, 0x00, 0x00, // padding
    0x00, 0x14, 0x00, 0x0b, // REALM, 11 bytes
    0x65, 0x78, 0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x6f, 0x72, 0x67, 0x00, // "example.org"
    0x00, 0x1d, 0x00, 0x04, // PASSWORD-ALGORITHM, 4 bytes
    0x00, 0x02, 0x00, 0x00, // SHA-256, no parameters
    0x00, 0x1c, 0x00, 0x20, // MESSAGE-INTEGRITY-SHA256, 32 bytes
    0xb5, 0xc7, 0xbf, 0x00, 0x5b, 0x6c, 0x52, 0xa2, 0x1c, 0x51, 0xc5, 0xe8, //
    0x92, 0xf8, 0x19, 0x24, 0x13, 0x62, 0x96, 0xcb, 0x92, 0x7c, 0x43, 0x14, //
    0x93, 0x09, 0x27, 0x8c, 0xc6, 0x51, 0x8e, 0x65, //
};

static const uint8_t key[32] = { // SHA-256 of user, "example.org" and "TheMatrIX", with colons
    0xdd, 0x29, 0x5a, 0x61, 0x3b, 0x90, 0x58, 0xc3, 0xc2, 0x3d, 0x6d, 0xc7, 0x16, 0x5b, 0xda, 0x07, //
    0x23, 0x04, 0xd9, 0x89, 0xc9, 0xd0, 0xaf, 0x3a, 0x8c, 0x7e, 0x18, 0x4b, 0x4f, 0x9b, 0xb4, 0xa1, //
};
// clang-format on

static void rfc8489_b1(void **state)
{
    struct stun_msg msg;
    assert_int_equal(stun_decode(vector, sizeof vector, &msg), 0);
    assert_int_equal(msg.unknown_count, 0);
    assert_int_equal(msg.attr[STUN_USERHASH].len, 32);
    assert_int_equal(stun_u32(&msg, STUN_PASSWORD_ALGORITHM), 0x00020000);
    assert_int_equal(msg.sha256_at, sizeof vector - 36);
    assert_true(stun_check_sha256(&msg, key, sizeof key));
    assert_false(stun_check_sha256(&msg, key, 16));
    assert_false(stun_check_sha256(&msg, key, 0));
    assert_false(stun_check_integrity(&msg, key, sizeof key));
    uint8_t copy[sizeof vector];
    for (size_t bit = STUN_HEADER_LEN * 8; bit < sizeof vector * 8; bit++) {
        memcpy(copy, vector, sizeof copy);
        copy[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        if (stun_decode(copy, sizeof copy, &msg) == 0 && stun_check_sha256(&msg, key, sizeof key))
            fail_msg("bit %zu turned over and MESSAGE-INTEGRITY-SHA256 holds", bit);
    }
}

// The vector, written by us, byte for byte.
static void writes_the_vector(void **state)
{
    uint8_t buf[256];
    struct stun_msg msg;
    assert_int_equal(stun_decode(vector, sizeof vector, &msg), 0);
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, msg.txid);
    static const enum stun_attr order[] = {STUN_USERHASH, STUN_NONCE, STUN_REALM,
                                           STUN_PASSWORD_ALGORITHM};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        stun_put_bytes(&w, order[i], msg.attr[order[i]].data, msg.attr[order[i]].len);
    stun_put_sha256(&w, key, sizeof key);
    assert_int_equal(stun_finish(&w, NULL, 0, false), sizeof vector);
    assert_memory_equal(buf, vector, sizeof vector);
}

static void a_truncated_sha256_proves_nothing(void **state)
{
    uint8_t buf[256];
    struct stun_msg msg;
    memcpy(buf, vector, sizeof vector);
    for (uint8_t len = 16; len < 32; len += 4) {
        buf[3] = (uint8_t)(0x90 - (32 - len));
        buf[sizeof vector - 33] = len;
        assert_int_equal(stun_decode(buf, sizeof vector, &msg), 0);
        assert_false(stun_check_sha256(&msg, key, sizeof key));
    }
}

// RFC 8489 sections 14.5 to 14.7: MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256, FINGERPRINT, and
// nothing else behind the first of them.
static void both_integrities_and_what_follows(void **state)
{
    uint8_t buf[256];
    struct stun_msg msg;
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_REFRESH, txid);
    stun_put_u32(&w, STUN_LIFETIME, 600);
    assert_true(stun_finish(&w, "key", 3, false) > 0);
    stun_put_u32(&w, STUN_CHANNEL_NUMBER, 0x40000000); // between the two
    stun_put_sha256(&w, "key", 3);
    stun_put_u32(&w, STUN_LIFETIME, 0);
    stun_put_u32(&w, STUN_REQUESTED_TRANSPORT, 17u << 24); // behind both
    write_u32(&w, 0x7fff0000);
    int len = stun_finish(&w, NULL, 0, true);
    assert_true(len > 0);
    assert_int_equal(stun_decode(buf, (size_t)len, &msg), 0);
    assert_true(stun_check_integrity(&msg, "key", 3));
    assert_true(stun_check_sha256(&msg, "key", 3));
    assert_true(stun_has(&msg, STUN_FINGERPRINT));
    assert_int_equal(stun_u32(&msg, STUN_LIFETIME), 600);
    assert_false(stun_has(&msg, STUN_CHANNEL_NUMBER));
    assert_false(stun_has(&msg, STUN_REQUESTED_TRANSPORT));
    assert_int_equal(msg.unknown_count, 0);
    // Behind the second alone MESSAGE-INTEGRITY does not count either.
    w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_REFRESH, txid);
    stun_put_sha256(&w, "key", 3);
    len = stun_finish(&w, "key", 3, false);
    assert_int_equal(stun_decode(buf, (size_t)len, &msg), 0);
    assert_true(stun_has(&msg, STUN_INTEGRITY_SHA256));
    assert_false(stun_has(&msg, STUN_MESSAGE_INTEGRITY));
}

static void several_peer_addresses(void **state)
{
    uint8_t buf[256];
    struct stun_msg msg;
    struct addr addr;
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_CREATE_PERMISSION, txid);
    for (uint8_t i = 1; i <= 3; i++) {
        addr = addr_v4((const uint8_t[]){192, 0, 2, i}, i);
        stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, &addr);
        stun_put_bytes(&w, STUN_SOFTWARE, "odd", i);
    }
    assert_true(stun_finish(&w, "key", 3, false) > 0);
    stun_put_addr(&w, STUN_XOR_PEER_ADDRESS, &addr); // not covered
    int len = stun_finish(&w, NULL, 0, false);
    assert_int_equal(stun_decode(buf, (size_t)len, &msg), 0);
    struct stun_view view = {0};
    for (uint8_t i = 1; i <= 3; i++) {
        view = stun_next(&msg, STUN_XOR_PEER_ADDRESS, view.data);
        assert_non_null(view.data);
        assert_int_equal(stun_view_addr(&msg, STUN_XOR_PEER_ADDRESS, &view, &addr), 0);
        assert_int_equal(addr.port, i);
    }
    assert_null(stun_next(&msg, STUN_XOR_PEER_ADDRESS, view.data).data);
    assert_null(stun_next(&msg, STUN_DATA, NULL).data);
}

static void parsing_notes_what_decoding_refuses(void **state)
{
    uint8_t buf[64];
    struct stun_msg msg;
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_ALLOCATE, txid);
    write_u32(&w, 0x00190003); // REQUESTED-TRANSPORT of three bytes
    write_u32(&w, 0x11000000);
    stun_put_u32(&w, STUN_LIFETIME, 600);
    int len = stun_finish(&w, NULL, 0, false);
    assert_int_equal(stun_decode(buf, (size_t)len, &msg), -EBADMSG);
    assert_int_equal(stun_parse(buf, (size_t)len, &msg), 0);
    assert_true(msg.malformed);
    assert_false(stun_has(&msg, STUN_REQUESTED_TRANSPORT));
    assert_int_equal(stun_u32(&msg, STUN_LIFETIME), 600);
    assert_int_equal(stun_parse(buf, 20, &msg), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc8489_b1),
        cmocka_unit_test(writes_the_vector),
        cmocka_unit_test(a_truncated_sha256_proves_nothing),
        cmocka_unit_test(both_integrities_and_what_follows),
        cmocka_unit_test(several_peer_addresses),
        cmocka_unit_test(parsing_notes_what_decoding_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
