// SPDX-License-Identifier: ISC
// RTP headers, and what follows from their sequence of arrivals.
#include "codec/rtp.h"

#include "base/cursor.h"

#include <errno.h>
#include <math.h>

// RFC 3550 appendix A.1: a step ahead of up to 3000 is loss, one back of up to 100 is reordering;
// everything else is a sender that began anew.
#define MAX_DROPOUT  3000
#define MAX_MISORDER 100

#define WINDOW_LEN 64

// The clock rate is guessed from stretches of at least this length.
#define GUESS_AFTER (2 * USEC_PER_SEC)
#define GUESS_SLACK 0.03

// A timestamp further off than this is a new clock, not a late packet.
#define CLOCK_STEP (5.0 * (double)USEC_PER_SEC)

int rtp_decode(const uint8_t *data, size_t len, struct rtp_header *ret_header)
{
    struct reader r = reader_over(data, len);
    uint8_t first = read_u8(&r);
    uint8_t second = read_u8(&r);
    struct rtp_header header = {
        .payload_type = second & 0x7f,
        .marker = second >> 7,
        .sequence = read_u16(&r),
    };
    header.timestamp = read_u32(&r);
    header.ssrc = read_u32(&r);
    read_bytes(&r, 4u * (first & 0xf)); // CSRCs
    if (first & 0x10) {                 // header extension, RFC 3550 section 5.3.1
        read_u16(&r);
        uint16_t words = read_u16(&r);
        read_bytes(&r, 4u * words);
    }
    if (r.failed || first >> 6 != 2)
        return -EBADMSG;
    header.header_len = len - reader_left(&r);
    *ret_header = header;
    return 0;
}

int rtcp_sender(const uint8_t *data, size_t len, uint32_t *ret_ssrc)
{
    struct reader r = reader_over(data, len);
    uint8_t first = read_u8(&r);
    uint8_t type = read_u8(&r);
    uint16_t words = read_u16(&r); // of 32 bits, less one
    struct reader body = read_block(&r, 4u * words);
    uint32_t ssrc = read_u32(&body);
    if (body.failed || first >> 6 != 2 || type < 192 || type > 223)
        return -EBADMSG;
    *ret_ssrc = ssrc;
    return 0;
}

// ---- sequence numbers ----

static uint32_t extended_highest(const struct rtp_quality *q)
{
    return (q->cycles << 16) + q->highest;
}

static uint32_t expected(const struct rtp_quality *q)
{
    return extended_highest(q) - q->base + 1;
}

static void begin(struct rtp_quality *q, const struct rtp_header *header, usec_t now)
{
    *q = (struct rtp_quality){
        .ssrc = header->ssrc,
        .started = true,
        .highest = header->sequence,
        .base = header->sequence,
        .received = 1,
        .window = 1,
        .last_timestamp = header->timestamp,
        .timestamp_arrival = now,
        .last_arrival = now,
        .first_arrival = now,
        .first_timestamp = header->timestamp,
    };
}

// The sender began anew: what was expected and received so far stands, and goes on from here.
static void resync(struct rtp_quality *q, const struct rtp_header *header, usec_t now)
{
    uint32_t before = expected(q);
    q->highest = header->sequence;
    q->base = extended_highest(q) - before;
    q->window = 1;
    q->received++;
    q->first_timestamp = q->last_timestamp = header->timestamp;
    q->first_arrival = q->timestamp_arrival = now;
}

static void advance(struct rtp_quality *q, uint16_t sequence)
{
    uint16_t step = (uint16_t)(sequence - q->highest);
    if (sequence < q->highest)
        q->cycles++;
    q->highest = sequence;
    q->window = step < WINDOW_LEN ? q->window << step | 1 : 1;
    q->received++;
}

// A packet that is 'behind' the highest: a duplicate, or one that was overtaken.
static void look_back(struct rtp_quality *q, unsigned behind)
{
    if (behind < WINDOW_LEN) {
        uint64_t bit = (uint64_t)1 << behind;
        if (q->window & bit) {
            q->duplicates++;
            return;
        }
        q->window |= bit;
    }
    q->received++;
    q->reordered++;
    uint32_t extended = extended_highest(q) - behind;
    if ((int32_t)(extended - q->base) < 0)
        q->base = extended; // what came first was not the first that was sent
}

// ---- timestamps ----

// The rate whose clock 'ticks' in 'elapsed' come closest to, or 0 if they come close to none.
static uint32_t nearest_rate(uint32_t ticks, usec_t elapsed)
{
    static const uint32_t rates[] = {8000, 16000, 24000, 32000, 44100, 48000, 90000};
    double slope = (double)ticks * (double)USEC_PER_SEC / (double)elapsed;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        if (fabs(slope / rates[i] - 1) <= GUESS_SLACK)
            return rates[i];
    }
    return 0;
}

// Every stretch gives a guess. The first that fits a rate is taken; a stretch in which the sender
// paused may mislead, so two in succession that agree on another rate are believed later.
static void guess_clock(struct rtp_quality *q, uint32_t timestamp, usec_t now)
{
    usec_t elapsed = now - q->first_arrival;
    if (elapsed < GUESS_AFTER)
        return;
    uint32_t guess = nearest_rate(timestamp - q->first_timestamp, elapsed);
    if (guess != 0 && guess != q->clock_rate && (q->clock_rate == 0 || guess == q->clock_guess)) {
        q->clock_rate = guess;
        q->jitter_usec = 0;
    }
    q->clock_guess = guess;
    q->first_arrival = now;
    q->first_timestamp = timestamp;
}

// Of a video frame only the first packet says something about the way: those after it carry the
// same timestamp, and B-frames an older one.
static void see_timestamp(struct rtp_quality *q, uint32_t timestamp, usec_t now)
{
    int32_t ticks = (int32_t)(timestamp - q->last_timestamp);
    if (ticks <= 0)
        return;
    guess_clock(q, timestamp, now);
    if (q->clock_rate != 0) {
        // RFC 3550 section 6.4.1: J(i) = J(i-1) + (|D(i-1,i)| - J(i-1)) / 16
        double sent = (double)ticks * (double)USEC_PER_SEC / q->clock_rate;
        double off = fabs((double)(now - q->timestamp_arrival) - sent);
        if (off < CLOCK_STEP)
            q->jitter_usec += (off - q->jitter_usec) / 16;
    }
    q->last_timestamp = timestamp;
    q->timestamp_arrival = now;
}

void rtp_quality_see(struct rtp_quality *q, const struct rtp_header *header, usec_t now)
{
    if (!q->started || q->ssrc != header->ssrc) {
        begin(q, header, now);
        return;
    }
    if (now - q->last_arrival > q->longest_gap)
        q->longest_gap = now - q->last_arrival;
    q->last_arrival = now;

    uint16_t ahead = (uint16_t)(header->sequence - q->highest);
    uint16_t behind = (uint16_t)(q->highest - header->sequence);
    if (ahead > 0 && ahead <= MAX_DROPOUT) {
        advance(q, header->sequence);
        see_timestamp(q, header->timestamp, now);
    } else if (behind <= MAX_MISORDER) {
        look_back(q, behind);
    } else {
        resync(q, header, now);
    }
}

uint64_t rtp_quality_lost(const struct rtp_quality *q)
{
    if (!q->started || expected(q) <= q->received)
        return 0;
    return expected(q) - q->received;
}
