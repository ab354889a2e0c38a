// SPDX-License-Identifier: ISC
// The predicate that core and kernel share, against what the codecs say of the same bytes.
#include "codec/demux.h"
#include "codec/rtp.h"
#include "random.h"
#include "relay/offload_passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool media(const void *data, size_t len)
{
    return offload_passes(true, 0, data, len);
}

static void test_rtp_and_rtcp_pass(void **state)
{
    static const uint8_t rtp[12] = {0x80, 0x60}, rtcp[8] = {0x80, 200};
    static const uint8_t csrcs[20] = {0x82, 0x60};
    static const uint8_t extension[20] = {0x90, [14] = 0, 1};

    assert_true(media(rtp, sizeof rtp));
    assert_false(media(rtp, sizeof rtp - 1));
    assert_true(media(rtcp, sizeof rtcp));
    assert_false(media(rtcp, sizeof rtcp - 1));
    assert_true(media(csrcs, sizeof csrcs));
    assert_false(media(csrcs, sizeof csrcs - 1));
    assert_true(media(extension, sizeof extension));
    assert_false(media(extension, sizeof extension - 1));
    assert_false(media(extension, 12));
}

static void test_nothing_else_is_media(void **state)
{
    static const uint8_t stun[20] = {0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    static const uint8_t dtls[13] = {22, 0xfe, 0xff};
    static const uint8_t channel[16] = {0x40, 0x00, 0x00, 0x0c, 0x80};

    assert_false(media(stun, sizeof stun));
    assert_false(media(dtls, sizeof dtls));
    assert_false(media(channel, sizeof channel));
    assert_false(media("", 0));
}

static void test_only_exact_data_of_the_channel_passes(void **state)
{
    static const uint8_t data[12] = {0x40, 0x01, 0x00, 0x08};

    assert_true(offload_passes(false, 0x4001, data, 12));
    assert_false(offload_passes(false, 0x4002, data, 12));
    assert_false(offload_passes(false, 0x4001, data, 11));
    assert_false(offload_passes(false, 0x4001, data, 13));
    assert_false(offload_passes(false, 0x4001, data, 3));
}

static void test_a_peer_may_send_anything(void **state)
{
    assert_true(offload_passes(false, 0, (const uint8_t *)"", 0));
    assert_true(offload_passes(false, 0, (const uint8_t *)"\x00\x01", 2));
}

// Whatever passes is to the codecs what the kernel takes it for; and of RTP without CSRCs before an
// extension all that they accept passes.
static void test_agrees_with_the_codecs(void **state)
{
    uint64_t seed = 5;
    unsigned passed = 0, refused = 0;

    for (unsigned i = 0; i < 200000; i++) {
        uint8_t data[96];
        size_t len = random_next(&seed) % sizeof data;
        for (size_t k = 0; k < sizeof data; k++)
            data[k] = (uint8_t)random_next(&seed);
        if (i % 2)
            data[0] = (uint8_t)(0x80 | (data[0] & 0x1f));
        if (i % 4 == 1)
            data[0] &= 0xf0;
        data[14] = 0;
        data[15] &= 0x1f;
        struct rtp_header header;
        enum packet_kind kind = demux(data, len);
        bool is_media =
            kind == PACKET_RTCP || (kind == PACKET_RTP && rtp_decode(data, len, &header) == 0);
        bool too_deep = kind == PACKET_RTP && (data[0] & 0xf) && (data[0] & 0x10);
        assert_int_equal(media(data, len), is_media && !too_deep);
        passed += is_media;
        refused += !is_media;
    }
    assert_in_range(passed, 20000, 180000);
    assert_in_range(refused, 20000, 180000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rtp_and_rtcp_pass),
        cmocka_unit_test(test_nothing_else_is_media),
        cmocka_unit_test(test_only_exact_data_of_the_channel_passes),
        cmocka_unit_test(test_a_peer_may_send_anything),
        cmocka_unit_test(test_agrees_with_the_codecs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
