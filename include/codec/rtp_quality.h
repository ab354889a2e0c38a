// SPDX-License-Identifier: ISC
// The receiver statistics of one RTP stream (RFC 3550 appendix A), as whoever forwards it can take
// them from sequence numbers, timestamps and arrivals. The daemon and the kernel's fast path count
// with this same code, so it is all inline, without floating point, signed division, loops of
// unknown length or anything of the C library.
#pragma once

#include "base/usec.h"

#include <stdbool.h>
#include <stdint.h>

// What the fixed header (RFC 3550 section 5.1) tells the statistics.
struct rtp_arrival {
    uint32_t ssrc, timestamp;
    uint16_t sequence;
};

// What one receiver would report of one SSRC. All counts are since the first packet.
struct rtp_quality {
    uint64_t received; // without duplicates
    uint64_t duplicates;
    uint64_t reordered;       // arrived after a higher sequence number
    uint64_t window;          // the last 64 sequence numbers seen, bit 0 = highest
    usec_t timestamp_arrival; // of the first packet that carried last_timestamp
    usec_t last_arrival;
    usec_t first_arrival; // with first_timestamp: where the stretch began from which the clock
                          // rate is guessed
    usec_t longest_gap;   // longest silence between two packets
    uint32_t ssrc;
    uint32_t cycles;     // of 65,536
    uint32_t base;       // extended sequence number of the first packet
    uint32_t clock_rate; // Hz; guessed from timestamps against arrival, 0 until it is sure
    uint32_t jitter16;   // RFC 3550 section 6.4.1, in 1/16 microsecond as in appendix A.8; 0 until
                         // the clock rate is known
    uint32_t last_timestamp;
    uint32_t first_timestamp;
    uint32_t clock_guess; // what the stretch before it said
    uint16_t highest;     // highest sequence number seen
    bool started;
};

// RFC 3550 appendix A.1: a step ahead of up to 3000 is loss, one back of up to 100 is reordering;
// everything else is a sender that began anew.
#define RTP_MAX_DROPOUT  3000
#define RTP_MAX_MISORDER 100

#define RTP_WINDOW_LEN 64

// The clock rate is guessed from stretches of at least this length; one of hours tells nothing, as
// timestamps may have wrapped.
#define RTP_GUESS_AFTER (2 * USEC_PER_SEC)
#define RTP_GUESS_UNTIL (10000 * USEC_PER_SEC)
#define RTP_GUESS_SLACK 3 // in percent

// A timestamp further off than this is a new clock, not a late packet.
#define RTP_CLOCK_STEP (5 * USEC_PER_SEC)

// ---- sequence numbers ----

static inline uint32_t rtp_quality_extended(const struct rtp_quality *q)
{
    return (q->cycles << 16) + q->highest;
}

static inline uint32_t rtp_quality_expected(const struct rtp_quality *q)
{
    return q->started ? rtp_quality_extended(q) - q->base + 1 : 0;
}

// Expected minus received; never negative.
static inline uint64_t rtp_quality_lost(const struct rtp_quality *q)
{
    uint32_t expected = rtp_quality_expected(q);

    return expected <= q->received ? 0 : expected - q->received;
}

static inline usec_t rtp_quality_jitter(const struct rtp_quality *q)
{
    return q->jitter16 / 16;
}

static inline void rtp_quality_begin(struct rtp_quality *q, const struct rtp_arrival *a, usec_t now)
{
    *q = (struct rtp_quality){
        .ssrc = a->ssrc,
        .started = true,
        .highest = a->sequence,
        .base = a->sequence,
        .received = 1,
        .window = 1,
        .last_timestamp = a->timestamp,
        .timestamp_arrival = now,
        .last_arrival = now,
        .first_arrival = now,
        .first_timestamp = a->timestamp,
    };
}

// The sender began anew: what was expected and received so far stands, and goes on from here.
static inline void rtp_quality_resync(struct rtp_quality *q, const struct rtp_arrival *a,
                                      usec_t now)
{
    uint32_t before = rtp_quality_expected(q);

    q->highest = a->sequence;
    q->base = rtp_quality_extended(q) - before;
    q->window = 1;
    q->received++;
    q->first_timestamp = q->last_timestamp = a->timestamp;
    q->first_arrival = q->timestamp_arrival = now;
}

static inline void rtp_quality_advance(struct rtp_quality *q, uint16_t sequence)
{
    uint16_t step = (uint16_t)(sequence - q->highest);

    if (sequence < q->highest)
        q->cycles++;
    q->highest = sequence;
    q->window = step < RTP_WINDOW_LEN ? q->window << step | 1 : 1;
    q->received++;
}

// A packet that is 'behind' the highest: a duplicate, or one that was overtaken.
static inline void rtp_quality_look_back(struct rtp_quality *q, unsigned behind)
{
    if (behind < RTP_WINDOW_LEN) {
        uint64_t bit = (uint64_t)1 << behind;
        if (q->window & bit) {
            q->duplicates++;
            return;
        }
        q->window |= bit;
    }
    q->received++;
    q->reordered++;
    uint32_t extended = rtp_quality_extended(q) - behind;
    if (extended - q->base > UINT32_MAX / 2)
        q->base = extended; // what came first was not the first that was sent
}

// ---- timestamps ----

static inline bool rtp_quality_fits(uint32_t rate, uint32_t ticks, usec_t elapsed)
{
    uint64_t shown = ticks * USEC_PER_SEC * 100, exact = rate * elapsed;

    return shown >= exact * (100 - RTP_GUESS_SLACK) && shown <= exact * (100 + RTP_GUESS_SLACK);
}

// The rate whose clock 'ticks' in 'elapsed' come closest to, or 0 if they come close to none.
static inline uint32_t rtp_quality_rate(uint32_t ticks, usec_t elapsed)
{
    static const uint32_t rates[] = {8000, 16000, 24000, 32000, 44100, 48000, 90000};

    for (unsigned i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        if (rtp_quality_fits(rates[i], ticks, elapsed))
            return rates[i];
    }
    return 0;
}

// Every stretch gives a guess. The first that fits a rate is taken; a stretch in which the sender
// paused may mislead, so two in succession that agree on another rate are believed later.
static inline void rtp_quality_guess(struct rtp_quality *q, uint32_t timestamp, usec_t now)
{
    usec_t elapsed = now - q->first_arrival;

    if (elapsed < RTP_GUESS_AFTER)
        return;
    uint32_t guess =
        elapsed > RTP_GUESS_UNTIL ? 0 : rtp_quality_rate(timestamp - q->first_timestamp, elapsed);
    if (guess != 0 && guess != q->clock_rate && (q->clock_rate == 0 || guess == q->clock_guess)) {
        q->clock_rate = guess;
        q->jitter16 = 0;
    }
    q->clock_guess = guess;
    q->first_arrival = now;
    q->first_timestamp = timestamp;
}

// Of a video frame only the first packet says something about the way: those after it carry the
// same timestamp, and B-frames an older one.
static inline void rtp_quality_timestamp(struct rtp_quality *q, uint32_t timestamp, usec_t now)
{
    uint32_t ticks = timestamp - q->last_timestamp;

    if (ticks == 0 || ticks > UINT32_MAX / 2)
        return;
    rtp_quality_guess(q, timestamp, now);
    if (q->clock_rate != 0) {
        usec_t sent = ticks * USEC_PER_SEC / q->clock_rate, passed = now - q->timestamp_arrival;
        usec_t off = passed > sent ? passed - sent : sent - passed;
        // RFC 3550 appendix A.8: s->jitter += d - ((s->jitter + 8) >> 4);
        if (off < RTP_CLOCK_STEP)
            q->jitter16 += (uint32_t)off - ((q->jitter16 + 8) >> 4);
    }
    q->last_timestamp = timestamp;
    q->timestamp_arrival = now;
}

// Counts one packet. A zeroed struct is one that has seen none; another SSRC begins anew.
static inline void rtp_quality_see(struct rtp_quality *q, const struct rtp_arrival *a, usec_t now)
{
    if (!q->started || q->ssrc != a->ssrc) {
        rtp_quality_begin(q, a, now);
        return;
    }
    if (now < q->last_arrival)
        now = q->last_arrival; // two processors at once
    if (now - q->last_arrival > q->longest_gap)
        q->longest_gap = now - q->last_arrival;
    q->last_arrival = now;

    uint16_t ahead = (uint16_t)(a->sequence - q->highest);
    uint16_t behind = (uint16_t)(q->highest - a->sequence);
    if (ahead > 0 && ahead <= RTP_MAX_DROPOUT) {
        rtp_quality_advance(q, a->sequence);
        rtp_quality_timestamp(q, a->timestamp, now);
    } else if (behind <= RTP_MAX_MISORDER) {
        rtp_quality_look_back(q, behind);
    } else {
        rtp_quality_resync(q, a, now);
    }
}

// Where the other's packets lie in q's numbering, when the two are near each other.
static inline void rtp_quality_span(struct rtp_quality *q, const struct rtp_quality *other,
                                    uint32_t highest)
{
    uint32_t first = highest + 1 - rtp_quality_expected(other);

    if (first - q->base > UINT32_MAX / 2)
        q->base = first;
}

// The figures of a stream of which 'q' saw a part, and 'other', counting from nothing, the rest.
// What was received and lost adds up; what came late or twice only as far as each could tell, and
// of jitter, gaps and clock stands what 'q' says.
static inline void rtp_quality_merge(struct rtp_quality *q, const struct rtp_quality *other)
{
    uint16_t ahead = (uint16_t)(other->highest - q->highest);
    uint16_t behind = (uint16_t)(q->highest - other->highest);

    if (!q->started) {
        *q = *other;
        return;
    }
    if (!other->started)
        return;
    if (ahead <= RTP_MAX_DROPOUT) {
        if (other->highest < q->highest)
            q->cycles++;
        q->highest = other->highest;
        q->window = (ahead < RTP_WINDOW_LEN ? q->window << ahead : 0) | other->window;
        rtp_quality_span(q, other, rtp_quality_extended(q));
    } else if (behind <= RTP_MAX_DROPOUT) {
        q->window |= behind < RTP_WINDOW_LEN ? other->window << behind : 0;
        rtp_quality_span(q, other, rtp_quality_extended(q) - behind);
    } else {
        q->base -= rtp_quality_expected(other); // two runs of which neither saw the other's
    }
    q->received += other->received;
    q->duplicates += other->duplicates;
    q->reordered += other->reordered;
    if (other->last_arrival > q->last_arrival)
        q->last_arrival = other->last_arrival;
}
