// SPDX-License-Identifier: ISC
// RTP headers at every length, and the receiver statistics on streams made to measure: loss,
// wrap-around, duplicates, reordering, restarts, clock rates, jitter, gaps.
#include "codec/rtp.h"
#include "random.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t full[] = {
    0x92,                               // version 2, extension, two CSRCs
    0xef,                               // marker, payload type 111
    0x12, 0x34,                         // sequence number
    0xde, 0xca, 0xfb, 0xad,             // timestamp
    0xca, 0xfe, 0xba, 0xbe,             // SSRC
    0,    0,    0,    1,    0, 0, 0, 2, // CSRCs
    0xbe, 0xde, 0x00, 0x01,             // extension, one word
    0x10, 0xff, 0x00, 0x00,             //
    0x55,                               // payload
};

static void decodes_a_header(void **state)
{
    struct rtp_header h;
    assert_int_equal(rtp_decode(full, sizeof full, &h), 0);
    assert_int_equal(h.payload_type, 111);
    assert_true(h.marker);
    assert_int_equal(h.sequence, 0x1234);
    assert_int_equal(h.timestamp, 0xdecafbad);
    assert_int_equal(h.ssrc, 0xcafebabe);
    assert_int_equal(h.header_len, 28);

    static const uint8_t plain[12] = {0x80, 0x00, 0xff, 0xff};
    assert_int_equal(rtp_decode(plain, sizeof plain, &h), 0);
    assert_int_equal(h.header_len, 12);
    assert_int_equal(h.sequence, 65535);
    assert_false(h.marker);
}

static void refuses_short_headers(void **state)
{
    struct rtp_header h = {.ssrc = 7};
    for (size_t len = 0; len < 28; len++) {
        uint8_t *exact = malloc(len ? len : 1); // so that ASan sees one byte too many
        memcpy(exact, full, len);
        assert_int_equal(rtp_decode(exact, len, &h), -EBADMSG);
        assert_int_equal(h.ssrc, 7);
        free(exact);
    }
    uint8_t wrong[sizeof full];
    for (int version = 0; version < 4; version++) {
        memcpy(wrong, full, sizeof full);
        wrong[0] = (uint8_t)(0x12 | version << 6);
        assert_int_equal(rtp_decode(wrong, sizeof wrong, &h), version == 2 ? 0 : -EBADMSG);
    }
    memcpy(wrong, full, sizeof full);
    wrong[22] = 0xff; // an extension of 65,281 words
    assert_int_equal(rtp_decode(wrong, sizeof wrong, &h), -EBADMSG);
}

static void reads_the_rtcp_sender(void **state)
{
    uint8_t report[] = {
        0x80, 0xc9,             // receiver report without blocks
        0x00, 0x01,             // two words, less one
        0xca, 0xfe, 0xba, 0xbe, // SSRC
    };
    uint32_t ssrc = 0;
    assert_int_equal(rtcp_sender(report, sizeof report, &ssrc), 0);
    assert_int_equal(ssrc, 0xcafebabe);
    for (size_t len = 0; len < sizeof report; len++)
        assert_int_equal(rtcp_sender(report, len, &ssrc), -EBADMSG);
    report[3] = 2; // longer than the datagram
    assert_int_equal(rtcp_sender(report, sizeof report, &ssrc), -EBADMSG);
    report[3] = 0; // no room for an SSRC
    assert_int_equal(rtcp_sender(report, sizeof report, &ssrc), -EBADMSG);
    report[3] = 1;
    report[0] = 0x40;
    assert_int_equal(rtcp_sender(report, sizeof report, &ssrc), -EBADMSG);
    report[0] = 0x80;
    for (unsigned type = 0; type < 256; type++) {
        report[1] = (uint8_t)type;
        assert_int_equal(rtcp_sender(report, sizeof report, &ssrc),
                         type >= 192 && type <= 223 ? 0 : -EBADMSG);
    }
}

// ---- sequence numbers ----

static void see(struct rtp_quality *q, unsigned sequence)
{
    struct rtp_arrival h = {.ssrc = 1, .sequence = (uint16_t)sequence};
    rtp_quality_see(q, &h, q->last_arrival + 20000);
}

static void see_range(struct rtp_quality *q, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        see(q, first + i);
}

static void counts_loss(void **state)
{
    struct rtp_quality q = {0};
    assert_true(rtp_quality_lost(&q) == 0);
    see_range(&q, 100, 10);
    assert_true(rtp_quality_lost(&q) == 0);
    see(&q, 115); // 110 to 114 are missing
    assert_true(rtp_quality_lost(&q) == 5);
    see(&q, 112);
    assert_true(rtp_quality_lost(&q) == 4);
    assert_true(q.reordered == 1);
    assert_true(q.received == 12);
    assert_int_equal(q.highest, 115);
}

static void wraps_around(void **state)
{
    struct rtp_quality q = {0};
    see_range(&q, 65530, 20);
    assert_int_equal(q.highest, 13);
    assert_int_equal(q.cycles, 1);
    assert_true(rtp_quality_lost(&q) == 0);
    see_range(&q, 65550, 3 * 65536);
    assert_int_equal(q.cycles, 4);
    assert_true(rtp_quality_lost(&q) == 0);
    assert_true(q.received == 20 + 3 * 65536);
    see(&q, 65550 + 10); // a jump over the wrap is tested by the model below
    assert_true(rtp_quality_lost(&q) == 10);
}

static void late_over_the_wrap(void **state)
{
    struct rtp_quality q = {0};
    see_range(&q, 65530, 5); // .. 65534
    see(&q, 1);
    assert_int_equal(q.cycles, 1);
    assert_true(rtp_quality_lost(&q) == 2);
    see(&q, 65535);
    see(&q, 0);
    assert_int_equal(q.cycles, 1);
    assert_int_equal(q.highest, 1);
    assert_true(rtp_quality_lost(&q) == 0);
    assert_true(q.reordered == 2);
}

static void counts_duplicates(void **state)
{
    struct rtp_quality q = {0};
    see(&q, 5);
    see(&q, 5);
    assert_true(q.duplicates == 1 && q.received == 1);
    see_range(&q, 6, 63);
    see(&q, 5); // 63 behind: still inside the window
    assert_true(q.duplicates == 2);
    see(&q, 68);
    assert_true(q.duplicates == 3);
    see_range(&q, 69, 5);
    see(&q, 73);
    assert_true(q.duplicates == 4);
    assert_true(q.received == 69);
    assert_true(rtp_quality_lost(&q) == 0);
}

static void a_step_beyond_the_window_empties_it(void **state)
{
    for (unsigned step = 62; step <= 66; step++) {
        struct rtp_quality q = {0};
        see_range(&q, 100, 64);
        see(&q, 163 + step);
        for (unsigned i = 1; i < step; i++)
            see(&q, 163 + i);
        assert_true(q.duplicates == 0);
        assert_true(rtp_quality_lost(&q) == 0);
    }
}

static void the_first_was_overtaken(void **state)
{
    struct rtp_quality q = {0};
    see(&q, 0);
    see(&q, 65535);
    see(&q, 65533);
    assert_true(q.received == 3);
    assert_true(q.reordered == 2);
    assert_true(rtp_quality_lost(&q) == 1); // 65534
    assert_int_equal(q.highest, 0);
}

static void steps_and_jumps(void **state)
{
    struct rtp_quality q = {0};
    see(&q, 1000);
    see(&q, 4000); // 3000 ahead: loss
    assert_true(rtp_quality_lost(&q) == 2999);
    see(&q, 3900); // 100 behind: late
    assert_true(rtp_quality_lost(&q) == 2998);
    assert_int_equal(q.highest, 4000);
    see(&q, 7001); // 3001 ahead: begun anew
    assert_int_equal(q.highest, 7001);
    assert_true(rtp_quality_lost(&q) == 2998);
    see(&q, 6900); // 101 behind: begun anew
    assert_int_equal(q.highest, 6900);
    assert_true(rtp_quality_lost(&q) == 2998);
    see_range(&q, 6901, 50);
    assert_true(rtp_quality_lost(&q) == 2998);
    see(&q, 6952);
    assert_true(rtp_quality_lost(&q) == 2999);
    assert_true(q.received == 56);
}

static void another_ssrc_begins_anew(void **state)
{
    struct rtp_quality q = {0};
    see_range(&q, 1, 10);
    struct rtp_arrival h = {.ssrc = 2, .sequence = 40000};
    rtp_quality_see(&q, &h, q.last_arrival + 1);
    assert_int_equal(q.ssrc, 2);
    assert_true(q.received == 1);
    assert_true(rtp_quality_lost(&q) == 0);
}

// A random stream with loss, duplicates and reordering of a few packets; the truth is known.
static void behaves_like_the_model(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint64_t random = seed, duplicates = 0, dropped = 0;
        struct rtp_quality q = {0};
        unsigned start = (unsigned)random_below(&random, 65536), n = 3000;
        see(&q, start);
        for (unsigned i = 1; i < n; i++) {
            unsigned block = i % 10; // 5 6 7 8 arrive as 8 7 6 5
            unsigned s = start + (block >= 5 && block <= 8 ? i / 10 * 10 + (13 - block) : i);
            if (i + 10 < n && random_below(&random, 20) == 0) {
                dropped++;
                continue;
            }
            see(&q, s);
            if (random_below(&random, 20) == 0) {
                see(&q, s);
                duplicates++;
            }
        }
        if (q.duplicates != duplicates || rtp_quality_lost(&q) != dropped ||
            q.received != n - dropped)
            fail_msg("seed %d", (int)seed);
        assert_true(q.reordered > 0);
    }
}

// ---- timestamps ----

struct stream {
    uint32_t rate;
    unsigned interval_msec;
    unsigned packets_per_frame;
    unsigned jitter_usec; // each frame is late by 0 or by this, in turn
};

static void play(struct rtp_quality *q, const struct stream *s, unsigned frames)
{
    struct rtp_arrival h = {.ssrc = 9, .sequence = 65000, .timestamp = 0xfffff000};
    for (unsigned frame = 0; frame < frames; frame++) {
        usec_t now = 5000000 + (usec_t)frame * s->interval_msec * 1000;
        now += frame % 2 * s->jitter_usec;
        h.timestamp = 0xfffff000 + (uint32_t)((uint64_t)frame * s->interval_msec * s->rate / 1000);
        for (unsigned p = 0; p < s->packets_per_frame; p++) {
            rtp_quality_see(q, &h, now + p * 300);
            h.sequence++;
        }
    }
}

static void guesses_every_clock_rate(void **state)
{
    static const uint32_t rates[] = {8000, 16000, 24000, 32000, 44100, 48000, 90000};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct stream s = {rates[i], 20, 1, 15000};
        struct rtp_quality q = {0};
        play(&q, &s, 98);
        assert_int_equal(q.clock_rate, 0); // not yet two seconds
        q = (struct rtp_quality){0};
        play(&q, &s, 105);
        assert_int_equal(q.clock_rate, rates[i]);
    }
    struct stream odd = {12345, 20, 1, 0};
    struct rtp_quality q = {0};
    play(&q, &odd, 1000);
    assert_int_equal(q.clock_rate, 0);
    assert_true(q.jitter16 == 0);
}

static void measures_jitter(void **state)
{
    struct stream steady = {48000, 20, 1, 0}, shaky = {48000, 20, 1, 8000};
    struct rtp_quality q = {0};
    play(&q, &steady, 1000);
    assert_true(rtp_quality_jitter(&q) < 1);
    q = (struct rtp_quality){0};
    play(&q, &shaky, 1000); // |D| is 8 ms each time
    assert_in_range(rtp_quality_jitter(&q), 8000 - 10, 8000 + 10);
}

// Packets of one frame share a timestamp and follow each other; that is not jitter.
static void video_frames_are_not_jitter(void **state)
{
    struct stream video = {90000, 40, 12, 0};
    struct rtp_quality q = {0};
    play(&q, &video, 500);
    assert_int_equal(q.clock_rate, 90000);
    assert_true(rtp_quality_jitter(&q) < 1);
    assert_true(rtp_quality_lost(&q) == 0);
    video.jitter_usec = 5000;
    q = (struct rtp_quality){0};
    play(&q, &video, 500);
    assert_in_range(rtp_quality_jitter(&q), 5000 - 100, 5000 + 100);
}

// A sender whose clock steps (a new track in the same sequence) does not spoil the figure.
static void a_clock_step_is_not_jitter(void **state)
{
    struct stream steady = {8000, 20, 1, 0};
    struct rtp_quality q = {0};
    play(&q, &steady, 200);
    struct rtp_arrival h = {.ssrc = 9, .sequence = (uint16_t)(q.highest + 1)};
    h.timestamp = q.last_timestamp + 8000 * 3600;
    rtp_quality_see(&q, &h, q.last_arrival + 20000);
    assert_true(rtp_quality_jitter(&q) < 1);
    h.sequence++;
    h.timestamp += 160;
    rtp_quality_see(&q, &h, q.last_arrival + 20000);
    assert_true(rtp_quality_jitter(&q) < 1);
}

// A stretch that fits no rate, or by chance a wrong one, does not decide for ever.
static void guesses_again(void **state)
{
    static const uint32_t first_steps[] = {7, 160, 450, 1600, 100000};
    for (size_t k = 0; k < sizeof first_steps / sizeof first_steps[0]; k++) {
        for (int change = 50; change < 450; change += 7) {
            struct rtp_quality q = {0};
            struct rtp_arrival h = {.ssrc = 3};
            usec_t now = 0;
            for (int i = 0; i < 1000; i++) {
                now += 20000;
                h.sequence++;
                h.timestamp += i < change ? first_steps[k] : 960;
                rtp_quality_see(&q, &h, now);
            }
            assert_int_equal(q.clock_rate, 48000);
            assert_true(rtp_quality_jitter(&q) < 1);
        }
    }
}

// One stretch with a stall in it fits 44.1 kHz; the clock that was known stays.
static void one_stall_does_not_change_the_clock(void **state)
{
    struct rtp_quality q = {0};
    struct rtp_arrival h = {.ssrc = 3};
    usec_t now = 0;
    for (int i = 0; i < 1000; i++) {
        now += i == 450 ? 190000 : 20000;
        h.sequence++;
        h.timestamp += 960;
        rtp_quality_see(&q, &h, now);
        assert_int_equal(q.clock_rate, now < 2020000 ? 0 : 48000);
    }
}

static void finds_the_longest_gap(void **state)
{
    struct rtp_quality q = {0};
    struct rtp_arrival h = {.ssrc = 3};
    static const usec_t at[] = {1000000, 1020000, 3520000, 3540000, 4000000, 4000000};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        h.sequence++;
        rtp_quality_see(&q, &h, at[i]);
    }
    assert_true(q.longest_gap == 2500000);
}

// ---- two counters of one stream ----

// Packets are shared out at random, one count beginning with what was there before; together they
// say what one counter would have said.
static void merges_into_what_one_would_say(void **state)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t random = seed;
        struct rtp_quality whole = {0}, q, other = {0};
        unsigned share = (unsigned)random_below(&random, 21);
        struct rtp_arrival a = {.ssrc = 1, .sequence = (uint16_t)random_below(&random, 65536)};
        usec_t now = 1000000;

        for (unsigned i = 0; i < 100; i++, a.sequence++)
            rtp_quality_see(&whole, &a, now += 20000);
        q = whole;
        for (unsigned i = 0; i < 2500; i++) {
            a.sequence++;
            if (random_below(&random, 30) == 0)
                continue; // lost
            rtp_quality_see(&whole, &a, now += 20000);
            rtp_quality_see(random_below(&random, 20) < share ? &other : &q, &a, now);
        }
        rtp_quality_merge(&q, &other);
        if (q.received != whole.received || q.highest != whole.highest ||
            rtp_quality_lost(&q) != rtp_quality_lost(&whole) || q.cycles != whole.cycles ||
            q.last_arrival != whole.last_arrival)
            fail_msg("seed %d", (int)seed);
    }
}

// The part that was seen elsewhere came before, or is another run of the same sender.
static void merges_what_is_not_near(void **state)
{
    struct rtp_quality q = {0}, early = {0}, far = {0}, nothing = {0};

    see_range(&q, 1000, 10);
    see_range(&early, 990, 5); // 995 to 999 are lost
    rtp_quality_merge(&q, &early);
    assert_true(q.received == 15 && rtp_quality_lost(&q) == 5);
    assert_int_equal(q.highest, 1009);

    see_range(&far, 30000, 10);
    see(&far, 30011); // one is lost
    rtp_quality_merge(&q, &far);
    assert_true(q.received == 26 && rtp_quality_lost(&q) == 6);
    see_range(&q, 1010, 10);
    assert_true(q.received == 36 && rtp_quality_lost(&q) == 6);

    rtp_quality_merge(&q, &nothing);
    assert_true(q.received == 36);
    rtp_quality_merge(&nothing, &q);
    assert_true(nothing.received == 36 && rtp_quality_lost(&nothing) == 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_a_header),
        cmocka_unit_test(refuses_short_headers),
        cmocka_unit_test(reads_the_rtcp_sender),
        cmocka_unit_test(counts_loss),
        cmocka_unit_test(wraps_around),
        cmocka_unit_test(late_over_the_wrap),
        cmocka_unit_test(counts_duplicates),
        cmocka_unit_test(a_step_beyond_the_window_empties_it),
        cmocka_unit_test(the_first_was_overtaken),
        cmocka_unit_test(steps_and_jumps),
        cmocka_unit_test(another_ssrc_begins_anew),
        cmocka_unit_test(behaves_like_the_model),
        cmocka_unit_test(guesses_every_clock_rate),
        cmocka_unit_test(measures_jitter),
        cmocka_unit_test(video_frames_are_not_jitter),
        cmocka_unit_test(a_clock_step_is_not_jitter),
        cmocka_unit_test(guesses_again),
        cmocka_unit_test(one_stall_does_not_change_the_clock),
        cmocka_unit_test(finds_the_longest_gap),
        cmocka_unit_test(merges_into_what_one_would_say),
        cmocka_unit_test(merges_what_is_not_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
