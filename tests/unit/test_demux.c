// SPDX-License-Identifier: ISC
// Demultiplexing: the first byte over its whole range, each kind at its shortest length and
// one byte below, and that every datagram has exactly one kind.
#include "codec/demux.h"
#include "random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t stun[] = {
    0x00, 0x01,             // Binding request
    0x00, 0x00,             // no attributes
    0x21, 0x12, 0xa4, 0x42, // magic cookie
    1,    2,    3,    4,    5, 6, 7, 8, 9, 10, 11, 12,
};

// RFC 7983 section 7, figure 3, written as a table of ranges.
static enum packet_kind by_first_byte(unsigned first)
{
    static const struct {
        unsigned low, high;
        enum packet_kind kind;
    } ranges[] = {
        {0, 3, PACKET_STUN},   {16, 19, PACKET_UNKNOWN}, // ZRTP
        {20, 63, PACKET_DTLS}, {64, 79, PACKET_CHANNEL}, {128, 191, PACKET_RTP},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (first >= ranges[i].low && first <= ranges[i].high)
            return ranges[i].kind;
    }
    return PACKET_UNKNOWN;
}

static void first_byte(void **state)
{
    uint8_t packet[100];
    for (unsigned first = 0; first < 256; first++) {
        memset(packet, 0, sizeof packet);
        memcpy(packet, stun, sizeof stun);
        packet[0] = (uint8_t)first;
        assert_int_equal(demux(packet, sizeof packet), by_first_byte(first));
    }
}

static void second_byte_of_rtp(void **state)
{
    for (unsigned first = 128; first <= 191; first++) {
        for (unsigned second = 0; second < 256; second++) {
            uint8_t packet[12] = {(uint8_t)first, (uint8_t)second};
            enum packet_kind want = second >= 192 && second <= 223 ? PACKET_RTCP : PACKET_RTP;
            assert_int_equal(demux(packet, sizeof packet), want);
        }
    }
}

static void shortest_lengths(void **state)
{
    static const struct {
        uint8_t first, second;
        size_t min;
        enum packet_kind kind;
    } cases[] = {
        {0, 1, 20, PACKET_STUN},    {22, 254, 13, PACKET_DTLS}, {64, 0, 4, PACKET_CHANNEL},
        {128, 111, 12, PACKET_RTP}, {128, 200, 8, PACKET_RTCP},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t len = 0; len <= 30; len++) {
            uint8_t *exact = calloc(len ? len : 1, 1); // so that ASan sees one byte too many
            memcpy(exact, stun, len < sizeof stun ? len : sizeof stun);
            if (len > 0)
                exact[0] = cases[i].first;
            if (len > 1)
                exact[1] = cases[i].second;
            assert_int_equal(demux(exact, len),
                             len < cases[i].min ? PACKET_UNKNOWN : cases[i].kind);
            free(exact);
        }
    }
    assert_int_equal(demux(NULL, 0), PACKET_UNKNOWN);
}

static void stun_needs_cookie_and_length(void **state)
{
    uint8_t packet[24] = {0};
    memcpy(packet, stun, sizeof stun);
    packet[3] = 4;
    assert_int_equal(demux(packet, 24), PACKET_STUN);
    assert_int_equal(demux(packet, 23), PACKET_UNKNOWN); // the length field says more
    for (size_t i = 4; i < 8; i++) {
        packet[i] ^= 1;
        assert_int_equal(demux(packet, 24), PACKET_UNKNOWN);
        packet[i] ^= 1;
    }
}

static void names(void **state)
{
    static const char *const want[] = {"stun", "dtls", "channel", "rtp", "rtcp", "unknown"};
    for (int kind = PACKET_STUN; kind <= PACKET_UNKNOWN; kind++)
        assert_string_equal(packet_kind_name((enum packet_kind)kind), want[kind]);
}

// Every datagram has exactly one kind, and the minimum length that goes with it.
static void total(void **state)
{
    static const size_t min[] = {20, 13, 4, 12, 8, 0};
    uint64_t seed = 5;
    unsigned met[PACKET_UNKNOWN + 1] = {0};
    for (int round = 0; round < 200000; round++) {
        uint8_t packet[40];
        size_t len = (size_t)random_below(&seed, sizeof packet + 1);
        memcpy(packet, stun, sizeof stun);
        for (size_t i = random_below(&seed, 24); i < sizeof packet; i++)
            packet[i] = (uint8_t)random_next(&seed);
        enum packet_kind kind = demux(packet, len);
        assert_in_range(kind, PACKET_STUN, PACKET_UNKNOWN);
        assert_true(len >= min[kind]);
        met[kind]++;
    }
    for (int kind = PACKET_STUN; kind <= PACKET_UNKNOWN; kind++)
        assert_true(met[kind] > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_byte),
        cmocka_unit_test(second_byte_of_rtp),
        cmocka_unit_test(shortest_lengths),
        cmocka_unit_test(stun_needs_cookie_and_length),
        cmocka_unit_test(names),
        cmocka_unit_test(total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
