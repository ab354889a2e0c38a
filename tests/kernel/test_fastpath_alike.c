// SPDX-License-Identifier: ISC
// User space and kernel forward alike: the same 100,000 random packets of random flows go through
// sockets alone, and then through the kernel's program with the sockets behind it; every byte that
// leaves and every figure must be the same. (What may differ: IPv4's id and IPv6's flow label,
// which whoever sends chooses; and a UDP checksum that the sender left out stays out.)
#include "base/counter.h"
#include "codec/demux.h"
#include "codec/rtp.h"
#include "lib_flow.h"
#include "platform/udp.h"
#include "unit/random.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FLOWS = 48, PACKETS = 100000, BATCH = 200, STREAMS = 3, LARGEST = 1472 };

struct figures {
    uint64_t packets, bytes, media;
    struct rtp_quality quality[STREAMS];
};

struct pair { // a flow, and the sockets between which user space forwards it
    struct offload_flow flow;
    enum lab_place side; // where its packets come from
    struct udp_socket *in, *out;
    struct figures figures;
    bool clean; // the kernel sees all its RTP, so that the quality is exactly the same
    uint16_t sequence[STREAMS];
};

struct world {
    struct bench *bench;
    struct counters counters;
    struct udp *udp;
    struct pair pair[FLOWS];
    uint64_t seed;
    uint64_t left[PACKETS / BATCH]; // sums of what left, by batch
    uint64_t frames;
};

// ---- user space ----

static bool strip_channel(const struct offload_flow *flow, struct udp_datagram *d)
{
    size_t len;

    if (d->len < 4 || (d->data[0] << 8 | d->data[1]) != flow->channel_in)
        return false;
    len = (size_t)(d->data[2] << 8 | d->data[3]);
    if (len > d->len - 4)
        return false;
    d->data += 4;
    d->len = len;
    return true;
}

static void add_channel(uint16_t channel, struct udp_datagram *d)
{
    d->data -= 4;
    d->data[0] = (uint8_t)(channel >> 8);
    d->data[1] = (uint8_t)channel;
    d->data[2] = (uint8_t)(d->len >> 8);
    d->data[3] = (uint8_t)d->len;
    d->len += 4;
}

static void see_rtp(struct figures *figures, const struct udp_datagram *d, usec_t now)
{
    struct rtp_header header;

    figures->media++;
    if (rtp_decode(d->data, d->len, &header) < 0 || header.ssrc >= STREAMS)
        return;
    const struct rtp_arrival arrival = rtp_arrival(&header);
    rtp_quality_see(&figures->quality[header.ssrc], &arrival, now);
}

static struct udp_socket *forward(void *ctx, void *owner, struct udp_datagram *d,
                                  struct addr *ret_to, usec_t now)
{
    struct pair *pair = owner;
    const struct offload_flow *flow = &pair->flow;
    enum packet_kind kind = demux(d->data, d->len);

    if (!addr_equal(&d->from, &flow->from) || (flow->channel_in && !strip_channel(flow, d)))
        return NULL;
    if (flow->media && kind != PACKET_RTP && kind != PACKET_RTCP && kind != PACKET_DTLS)
        return NULL;
    pair->figures.packets++;
    pair->figures.bytes += d->len;
    if (flow->media && kind == PACKET_RTP)
        see_rtp(&pair->figures, d, now);
    if (flow->channel_out)
        add_channel(flow->channel_out, d);
    *ret_to = flow->to;
    return pair->out;
}

// ---- random flows ----

static struct addr side_addr(enum lab_place side, enum family family, bool peer, uint16_t port)
{
    char ip[32];

    snprintf(ip, sizeof ip, family == FAMILY_V4 ? "10.77.%d.%d" : "fd77:%d::%d",
             side == LAB_A ? 1 : 2, peer ? 9 : 1);
    return lab_addr(ip, port);
}

static void open_pair(struct world *w, unsigned i)
{
    static const struct udp_reader reader = {.datagram = forward};
    struct pair *pair = &w->pair[i];
    enum lab_place side = i % 2 ? LAB_A : LAB_B, other = i % 2 ? LAB_B : LAB_A;
    enum family in = random_next(&w->seed) % 2 ? FAMILY_V4 : FAMILY_V6;
    enum family out = random_next(&w->seed) % 2 ? FAMILY_V4 : FAMILY_V6;
    unsigned kind = i % 3; // media, from a TURN client, from a peer

    *pair = (struct pair){.side = side, .clean = i % 2};
    pair->flow = (struct offload_flow){
        .from = side_addr(side, in, true, (uint16_t)(5000 + i)),
        .at = side_addr(side, in, false, (uint16_t)(30000 + i)),
        .leave = side_addr(other, out, false, (uint16_t)(40000 + i)),
        .to = side_addr(other, out, true, (uint16_t)(6000 + i)),
        .media = kind == 0,
        .channel_in = kind == 1 ? (uint16_t)(0x4000 + i) : 0,
        .channel_out = kind == 2 || (kind == 1 && i % 4 == 0) ? (uint16_t)(0x4100 + i) : 0,
        .until = USEC_NEVER,
    };
    assert_int_equal(udp_open(w->udp, &pair->flow.at, &reader, pair, &pair->in), 0);
    assert_int_equal(udp_open(w->udp, &pair->flow.leave, &reader, pair, &pair->out), 0);
}

// ---- random packets ----

static void fill(struct world *w, struct datagram *d, size_t len)
{
    d->len = len;
    for (size_t i = 0; i < len; i++)
        d->payload[i] = (uint8_t)random_next(&w->seed);
}

static size_t some_len(struct world *w)
{
    switch (random_below(&w->seed, 4)) {
    case 0:
        return random_below(&w->seed, 24);
    case 1:
        return LARGEST - random_below(&w->seed, 40);
    default:
        return 20 + random_below(&w->seed, 300);
    }
}

// Mostly the next of its stream; or one is lost, comes late, or comes twice.
static void make_rtp(struct world *w, struct pair *pair, struct datagram *d)
{
    uint32_t stream = (uint32_t)random_below(&w->seed, STREAMS);
    uint16_t sequence = pair->sequence[stream];
    uint64_t fate = random_below(&w->seed, 20);

    fill(w, d, 16 + some_len(w) % (LARGEST - 16));
    if (fate < 17)
        pair->sequence[stream] = ++sequence;
    else if (fate == 17)
        pair->sequence[stream] = sequence = (uint16_t)(sequence + 2 + random_below(&w->seed, 5));
    else
        sequence = (uint16_t)(sequence - random_below(&w->seed, 10));
    d->payload[0] = 0x80;
    d->payload[1] &= 0x3f;
    d->payload[2] = (uint8_t)(sequence >> 8);
    d->payload[3] = (uint8_t)sequence;
    memset(d->payload + 8, 0, 3);
    d->payload[11] = (uint8_t)stream;
    uint64_t shape = random_below(&w->seed, pair->clean ? 2 : 4);
    if (shape == 1) { // an extension of one word
        d->payload[0] = 0x90;
        memcpy(d->payload + 12, "\xbe\xde\x00\x00", 4);
    } else if (shape > 1) { // CSRCs, or anything
        d->payload[0] = (uint8_t)(0x80 | random_below(&w->seed, 0x20));
    }
}

static void make_media(struct world *w, struct pair *pair, struct datagram *d)
{
    static const uint8_t first[] = {0x00, 0x01, 0x16, 0x14, 0x40, 0x4f, 0x10, 0xc0};
    uint64_t kind = random_below(&w->seed, 10);

    if (kind < 7) {
        make_rtp(w, pair, d);
    } else if (kind < 8) { // RTCP
        fill(w, d, 8 + random_below(&w->seed, 100));
        d->payload[0] = (uint8_t)(0x80 | (d->payload[0] & 0x3f));
        d->payload[1] = (uint8_t)(192 + d->payload[1] % 32);
    } else {
        fill(w, d, some_len(w));
        if (d->len > 0)
            d->payload[0] = first[random_below(&w->seed, sizeof first)];
        if (d->len >= 20 && random_next(&w->seed) % 2)
            memcpy(d->payload + 2, "\x00\x00\x21\x12\xa4\x42", 6);
        if (d->len == 0 && pair->clean)
            fill(w, d, 1);
    }
}

static void make_channel(struct world *w, struct pair *pair, struct datagram *d)
{
    uint64_t kind = random_below(&w->seed, 20);
    size_t len = some_len(w) % (LARGEST - 8);

    fill(w, d, 4 + len);
    d->payload[0] = (uint8_t)(pair->flow.channel_in >> 8);
    d->payload[1] = (uint8_t)pair->flow.channel_in;
    if (kind == 0) // padded
        d->len += random_below(&w->seed, 4);
    else if (kind == 1) // says too much
        len += 1 + random_below(&w->seed, 10);
    else if (kind == 2) // of another
        d->payload[1]++;
    else if (kind == 3) // none
        d->payload[0] = 0x80;
    d->payload[2] = (uint8_t)(len >> 8);
    d->payload[3] = (uint8_t)len;
}

static struct datagram make_packet(struct world *w, struct pair *pair)
{
    struct datagram d = {
        .from = pair->flow.from,
        .to = pair->flow.at,
        .tos = (uint8_t)random_next(&w->seed),
        .ttl = (uint8_t)(1 + random_below(&w->seed, 255)),
        .id = (uint16_t)random_next(&w->seed),
        .label = (uint32_t)random_below(&w->seed, 1 << 20),
        .dont_fragment = random_next(&w->seed) % 2,
        .no_checksum = random_below(&w->seed, 20) == 0,
    };

    if (d.from.family == FAMILY_V6)
        d.no_checksum = false;
    if (pair->flow.media) {
        make_media(w, pair, &d);
    } else if (pair->flow.channel_in) {
        make_channel(w, pair, &d);
    } else {
        fill(w, &d, some_len(w));
        if (d.len >= 4 && random_below(&w->seed, 4) == 0)
            d.payload[0] = (uint8_t)(64 + d.payload[0] % 16);
    }
    if (d.from.family == FAMILY_V6 && d.len > LARGEST - 20)
        d.len = LARGEST - 20;
    if (pair->clean) {
        d.no_checksum = false;
        d.len = d.len > 1400 ? 1400 : d.len;
    }
    if (random_below(&w->seed, 50) == 0)
        d.from.port ^= 0x1000; // of nobody
    return d;
}

// ---- frames that are not as they should be ----

static void sum_header(uint8_t *ip)
{
    uint32_t sum = 0;

    ip[10] = ip[11] = 0;
    for (int i = 0; i < (ip[0] & 0xf) * 4; i += 2)
        sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = ~(sum + (sum >> 16));
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
}

static void set_total(uint8_t *ip, size_t len)
{
    ip[2] = (uint8_t)(len >> 8);
    ip[3] = (uint8_t)len;
    sum_header(ip);
}

static void send_with_options(struct world *w, enum lab_place side, uint8_t *frame, size_t len)
{
    if (frame[12] == 8) { // IPv4: NOPs
        memmove(frame + 38, frame + 34, len - 34);
        memset(frame + 34, 1, 4);
        frame[14] = 0x46;
        set_total(frame + 14, len + 4 - 14);
        len += 4;
    } else { // IPv6: destination options, padding
        memmove(frame + 62, frame + 54, len - 54);
        memcpy(frame + 54, (uint8_t[]){17, 0, 1, 4, 0, 0, 0, 0}, 8);
        frame[20] = 60;
        len += 8;
        frame[18] = (uint8_t)((len - 54) >> 8);
        frame[19] = (uint8_t)(len - 54);
    }
    if (len <= 1514)
        lab_send(&w->bench->lab, side, frame, len);
}

static void send_fragments(struct world *w, enum lab_place side, uint8_t *frame, size_t len)
{
    size_t first = 24; // of what IP carries; a multiple of 8
    uint8_t second[1600];

    if (frame[12] != 8 || len < 34 + first + 1) {
        lab_send(&w->bench->lab, side, frame, len);
        return;
    }
    memcpy(second, frame, 34);
    memcpy(second + 34, frame + 34 + first, len - 34 - first);
    frame[20] = 0x20;
    frame[21] = 0;
    set_total(frame + 14, 20 + first);
    second[20] = 0;
    second[21] = (uint8_t)(first / 8);
    set_total(second + 14, len - 14 - first);
    lab_send(&w->bench->lab, side, frame, 34 + first);
    lab_send(&w->bench->lab, side, second, len - first);
}

static void send_packet(struct world *w, struct pair *pair, const struct datagram *d)
{
    uint8_t frame[1700] = {0};
    size_t len = lab_frame(pair->side, d, frame);
    uint64_t way = random_below(&w->seed, pair->clean ? 20 : 25);

    if (way == 0) {
        frame[24] ^= 1; // of IPv4: the sum of the header; of IPv6: the source
        lab_send(&w->bench->lab, pair->side, frame, len);
    } else if (way == 1 && len < 60) {
        memset(frame + len, 0xee, 60 - len); // padding
        lab_send(&w->bench->lab, pair->side, frame, 60);
    } else if (way >= 23) {
        send_with_options(w, pair->side, frame, len);
    } else if (way >= 21) {
        send_fragments(w, pair->side, frame, len);
    } else {
        lab_send(&w->bench->lab, pair->side, frame, len);
    }
}

// ---- what leaves ----

static uint64_t hash(const uint8_t *data, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u; // FNV-1a

    for (size_t i = 0; i < len; i++)
        h = (h ^ data[i]) * 0x100000001b3u;
    return h;
}

// Blanks what may differ; false when it is nobody's business.
static bool normalize(uint8_t *frame, size_t len)
{
    bool v4 = len >= 42 && frame[12] == 8 && frame[13] == 0, whole;
    bool v6 = len >= 62 && frame[12] == 0x86 && frame[13] == 0xdd;

    if ((v4 && frame[33] != 9) || (v6 && frame[53] != 9) || (!v4 && !v6))
        return false;
    if (v4) {
        whole = (frame[20] & 0x3f) == 0 && frame[21] == 0;
        memset(frame + 18, 0, 2);
        memset(frame + 24, 0, 2);
        if (whole)
            memset(frame + 40, 0, 2);
        return frame[23] == 17;
    }
    frame[15] &= 0xf0;
    memset(frame + 16, 0, 2);
    if (frame[20] == 44)
        memset(frame + 58, 0, 4);
    else
        memset(frame + 60, 0, 2);
    return frame[20] == 17 || frame[20] == 44;
}

static void collect(struct world *w, enum lab_place at, uint64_t *sum)
{
    static uint8_t frame[FRAME_MAX];
    size_t len;

    while ((len = lab_recv(&w->bench->lab, at, frame, sizeof frame, 0)) > 0) {
        if (!lab_sums_right(frame, len))
            fail_msg("a wrong checksum");
        if (!normalize(frame, len))
            continue;
        *sum += hash(frame, len);
        w->frames++;
    }
}

// Whatever was sent before has come to the sockets, and what they sent to the other end: all goes
// by the queue of one processor.
static void settle(struct world *w, uint64_t *sum)
{
    for (int i = 0; i < 3; i++) {
        lab_flush(&w->bench->lab);
        event_base_loop(w->bench->base, EVLOOP_NONBLOCK);
    }
    collect(w, LAB_A, sum);
    collect(w, LAB_B, sum);
}

// ---- the two runs ----

static struct world *run(struct bench *bench, bool fast, uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    w->bench = bench;
    w->seed = seed;
    assert_int_equal(udp_new(bench->base, NULL, NULL, &w->counters, &w->udp), 0);
    for (unsigned i = 0; i < FLOWS; i++)
        open_pair(w, i);
    for (unsigned i = 0; fast && i < FLOWS; i++)
        put(bench, &w->pair[i].flow);
    for (unsigned i = 0; i < PACKETS; i++) {
        struct pair *pair = &w->pair[random_below(&w->seed, FLOWS)];
        struct datagram d = make_packet(w, pair);
        send_packet(w, pair, &d);
        if (i % BATCH == BATCH - 1)
            settle(w, &w->left[i / BATCH]);
    }
    return w;
}

static void add_report(struct pair *pair, const struct offload_report *report)
{
    struct figures *f = &pair->figures;

    f->packets += report->packets;
    f->bytes += report->bytes;
    f->media += report->media;
    for (unsigned i = 0; i < report->qualities; i++)
        if (report->quality[i].ssrc < STREAMS)
            rtp_quality_merge(&f->quality[report->quality[i].ssrc], &report->quality[i]);
}

static void close_world(struct world *w)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        udp_close(w->pair[i].in);
        udp_close(w->pair[i].out);
    }
    udp_free(w->udp);
}

static void compare(const struct pair *slow, const struct pair *fast)
{
    assert_int_equal(slow->figures.packets, fast->figures.packets);
    assert_int_equal(slow->figures.bytes, fast->figures.bytes);
    assert_int_equal(slow->figures.media, fast->figures.media);
    for (unsigned i = 0; slow->clean && i < STREAMS; i++) {
        const struct rtp_quality *a = &slow->figures.quality[i], *b = &fast->figures.quality[i];
        assert_int_equal(a->received, b->received);
        assert_int_equal(a->duplicates, b->duplicates);
        assert_int_equal(a->reordered, b->reordered);
        assert_int_equal(rtp_quality_lost(a), rtp_quality_lost(b));
        assert_int_equal(a->highest, b->highest);
        assert_int_equal(a->cycles, b->cycles);
    }
}

static void test_both_forward_alike(void **state)
{
    struct bench *bench = *state;
    cpu_set_t one;
    uint64_t by_kernel = 0, seed = getenv("SEED") ? strtoull(getenv("SEED"), NULL, 0) : 20;

    CPU_ZERO(&one);
    CPU_SET(0, &one);
    (void)sched_setaffinity(0, sizeof one, &one);
    struct world *slow = run(bench, false, seed);
    close_world(slow);
    struct world *fast = run(bench, true, seed);
    for (unsigned i = 0; i < FLOWS; i++) {
        struct offload_report report = take(bench, &fast->pair[i].flow);
        by_kernel += report.packets;
        add_report(&fast->pair[i], &report);
    }
    close_world(fast);
    printf("seed %llu: %llu frames left, %llu packets by the kernel\n", (unsigned long long)seed,
           (unsigned long long)slow->frames, (unsigned long long)by_kernel);
    assert_int_equal(slow->frames, fast->frames);
    for (unsigned i = 0; i < PACKETS / BATCH; i++)
        if (slow->left[i] != fast->left[i])
            fail_msg("seed %llu: batch %u differs", (unsigned long long)seed, i);
    for (unsigned i = 0; i < FLOWS; i++)
        compare(&slow->pair[i], &fast->pair[i]);
    assert_true(by_kernel > PACKETS / 2);
    free(slow);
    free(fast);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_forward_alike),
    };
    return cmocka_run_group_tests(tests, open_bench, close_bench);
}
