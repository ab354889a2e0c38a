// SPDX-License-Identifier: ISC
// What is done with media: RTP goes back as it came but for its SSRC, which must be the endpoint's
// own (RFC 3550 section 8.2), and every few seconds a receiver report says how it arrived. A
// request for a key frame is handed on to whom it is about: the one who asks.
#include "internal.h"

#include "base/cursor.h"

#include <string.h>

#define REPORT_FIRST    USEC_PER_SEC
#define REPORT_INTERVAL (5 * USEC_PER_SEC) // RFC 3550 section 6.2
#define REPORT_LEAST    (USEC_PER_SEC / 2) // between two, whatever is asked for
#define CNAME           "echo"

enum { RTCP_SR = 200, RTCP_RR = 201, RTCP_SDES = 202, RTCP_PSFB = 206 };
enum { PSFB_PLI = 1, PSFB_FIR = 4 }; // RFC 4585 section 6.3.1, RFC 5104 section 4.3.1

// ---- RTP

// Another SSRC, and what goes back goes on as one stream.
static void switch_source(struct stream *stream, const struct rtp_header *header)
{
    if (stream->started) {
        stream->sequence_offset = (uint16_t)(stream->sequence + 1 - header->sequence);
        stream->timestamp_offset = stream->timestamp + 1 - header->timestamp;
        stream->ssrc_before = stream->ssrc_in;
    }
    stream->started = true;
    stream->ssrc_in = header->ssrc;
}

// True: it goes back under this sequence number and timestamp.
static bool follow(struct stream *stream, const struct rtp_header *header, usec_t now)
{
    const struct rtp_arrival arrival = rtp_arrival(header);

    if (stream->started && header->ssrc == stream->ssrc_before &&
        stream->ssrc_before != stream->ssrc_in)
        return false; // one that was overtaken by its successor
    if (!stream->started || header->ssrc != stream->ssrc_in)
        switch_source(stream, header);
    rtp_quality_see(&stream->quality, &arrival, now);
    uint16_t sequence = (uint16_t)(header->sequence + stream->sequence_offset);
    if ((int16_t)(sequence - stream->sequence) > 0 || stream->quality.received <= 1) {
        stream->sequence = sequence;
        stream->timestamp = header->timestamp + stream->timestamp_offset;
    }
    return true;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static void give_back(struct component *component, const struct stream *stream,
                      const struct rtp_header *header, const uint8_t *data, size_t len)
{
    struct endpoint *endpoint = component->endpoint;
    uint16_t sequence = (uint16_t)(header->sequence + stream->sequence_offset);
    uint8_t *out = endpoint->scratch;
    size_t out_len = len;

    memcpy(out, data, len);
    out[2] = (uint8_t)(sequence >> 8);
    out[3] = (uint8_t)sequence;
    put_u32(out + 4, header->timestamp + stream->timestamp_offset);
    put_u32(out + 8, endpoint->terms.ssrc[stream - endpoint->stream]);
    if (!protection_add(component, false, out, &out_len))
        return;
    send_selected(component, out, out_len);
    endpoint->packets++;
    endpoint->bytes += len;
    counter_add(endpoint->counters, COUNTER_ECHO_PACKETS, 1);
}

void media_rtp(struct component *component, const uint8_t *data, size_t len, usec_t now)
{
    struct endpoint *endpoint = component->endpoint;
    struct rtp_header header;
    unsigned kind;

    if (rtp_decode(data, len, &header) < 0)
        return;
    kind = endpoint->terms.kind[header.payload_type & 0x7f];
    if (kind == 0 || kind > MEDIA_KINDS)
        return;
    if (endpoint->limits.bytes_per_second > 0 && !bucket_take(&endpoint->bucket, len, now)) {
        counter_add(endpoint->counters, COUNTER_ECHO_LIMITED, 1);
        return;
    }
    struct stream *stream = &endpoint->stream[kind - 1];
    if (!follow(stream, &header, now))
        return;
    if (endpoint->state == ENDPOINT_WAITING) {
        endpoint->state = ENDPOINT_RETURNING;
        endpoint->next_report = now + REPORT_FIRST;
    }
    give_back(component, stream, &header, data, len);
}

// ---- RTCP: what they say

static void on_sender_report(struct endpoint *endpoint, struct reader *r, usec_t now)
{
    uint32_t ssrc = read_u32(r), high = read_u32(r), low = read_u32(r);

    for (unsigned i = 0; i < MEDIA_KINDS && !r->failed; i++) {
        struct stream *stream = &endpoint->stream[i];
        if (stream->started && stream->ssrc_in == ssrc) {
            stream->sr_middle = high << 16 | low >> 16;
            stream->sr_at = now;
        }
    }
}

static void on_feedback(struct endpoint *endpoint, struct reader *r, unsigned format)
{
    uint32_t about;

    (void)read_u32(r); // who asks
    about = read_u32(r);
    if (format == PSFB_FIR)
        about = read_u32(r); // RFC 5104 section 4.3.1.1: it stands in the entry
    for (unsigned i = 0; i < MEDIA_KINDS && !r->failed; i++) {
        if (endpoint->stream[i].started && endpoint->terms.ssrc[i] == about)
            endpoint->stream[i].picture_wanted = true;
    }
}

static bool picture_wanted(const struct endpoint *endpoint)
{
    bool wanted = false;

    for (unsigned i = 0; i < MEDIA_KINDS; i++)
        wanted |= endpoint->stream[i].picture_wanted;
    return wanted;
}

// Each request is answered by a report: requests without end are not.
static usec_t soonest_report(const struct endpoint *endpoint, usec_t now)
{
    usec_t again = endpoint->last_report ? endpoint->last_report + REPORT_LEAST : now;

    return again > now ? again : now;
}

void media_rtcp(struct component *component, const uint8_t *data, size_t len, usec_t now)
{
    struct endpoint *endpoint = component->endpoint;
    struct reader all = reader_over(data, len);

    while (reader_left(&all) >= 4) {
        unsigned first = read_u8(&all), type = read_u8(&all);
        struct reader r = read_block(&all, (size_t)4 * read_u16(&all));

        if (all.failed)
            return;
        if (type == RTCP_SR)
            on_sender_report(endpoint, &r, now);
        if (type == RTCP_PSFB && ((first & 0x1f) == PSFB_PLI || (first & 0x1f) == PSFB_FIR))
            on_feedback(endpoint, &r, first & 0x1f);
    }
    if (picture_wanted(endpoint) && endpoint->next_report != USEC_NEVER)
        endpoint->next_report = soonest_report(endpoint, now);
}

// ---- RTCP: what we say

// RFC 3550 section 6.4.1.
static void write_block(struct writer *w, struct stream *stream, usec_t now)
{
    const struct rtp_quality *q = &stream->quality;
    uint64_t expected = rtp_quality_expected(q) - stream->told_expected;
    uint64_t received = q->received - stream->told_received;
    uint64_t lost = expected > received ? expected - received : 0;
    uint64_t delay = stream->sr_middle ? (now - stream->sr_at) * 65536 / USEC_PER_SEC : 0;

    stream->told_expected = rtp_quality_expected(q);
    stream->told_received = q->received;
    write_u32(w, stream->ssrc_in);
    write_u8(w, expected ? (uint8_t)(lost * 255 / expected) : 0);
    write_u8(w, (uint8_t)(rtp_quality_lost(q) >> 16 & 0x7f));
    write_u16(w, (uint16_t)rtp_quality_lost(q));
    write_u32(w, rtp_quality_extended(q));
    write_u32(w, (uint32_t)(rtp_quality_jitter(q) * q->clock_rate / USEC_PER_SEC));
    write_u32(w, stream->sr_middle);
    write_u32(w, (uint32_t)delay);
}

static void write_name(struct writer *w, uint32_t ssrc)
{
    size_t place, pad = 4 - (2 + strlen(CNAME)) % 4; // at least one zero ends the list

    write_u8(w, 0x81);
    write_u8(w, RTCP_SDES);
    place = writer_used(w);
    write_u16(w, 0);
    write_u32(w, ssrc);
    write_u8(w, 1);
    write_u8(w, (uint8_t)strlen(CNAME));
    write_bytes(w, CNAME, strlen(CNAME));
    write_zeros(w, pad);
    if (!w->failed)
        w->start[place + 1] = (uint8_t)((writer_used(w) - place - 2) / 4);
}

static void write_picture_request(struct writer *w, uint32_t ours, uint32_t theirs)
{
    write_u8(w, 0x80 | PSFB_PLI);
    write_u8(w, RTCP_PSFB);
    write_u16(w, 2);
    write_u32(w, ours);
    write_u32(w, theirs);
}

// One compound packet for each kind of media, as each has an SSRC of its own.
static void report(struct endpoint *endpoint, unsigned kind, usec_t now)
{
    struct component *component = &endpoint->component[endpoint->terms.components - 1];
    struct stream *stream = &endpoint->stream[kind];
    struct writer w = writer_over(endpoint->scratch, 128);
    size_t len;

    write_u8(&w, 0x81);
    write_u8(&w, RTCP_RR);
    write_u16(&w, 7);
    write_u32(&w, endpoint->terms.ssrc[kind]);
    write_block(&w, stream, now);
    write_name(&w, endpoint->terms.ssrc[kind]);
    if (stream->picture_wanted)
        write_picture_request(&w, endpoint->terms.ssrc[kind], stream->ssrc_in);
    stream->picture_wanted = false;
    len = writer_used(&w);
    if (!w.failed && protection_add(component, true, endpoint->scratch, &len))
        send_selected(component, endpoint->scratch, len);
}

usec_t media_tick(struct endpoint *endpoint, usec_t now)
{
    uint16_t chance;

    if (endpoint->next_report > now)
        return endpoint->next_report;
    for (unsigned i = 0; i < MEDIA_KINDS; i++) {
        if (endpoint->stream[i].started)
            report(endpoint, i, now);
    }
    endpoint->last_report = now;
    // RFC 3550 section 6.2: between half and one and a half of it
    endpoint->io.random(endpoint->io.ctx, &chance, sizeof chance);
    endpoint->next_report = now + REPORT_INTERVAL / 2 + REPORT_INTERVAL * chance / 65536;
    return endpoint->next_report;
}
