// SPDX-License-Identifier: ISC
// See kernel.h.
#include "lib/kernel.h"

#include "codec/demux.h"
#include "relay/offload_passes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void kernel_init(struct kernel *k, const usec_t *now)
{
    *k = (struct kernel){.now = now, .random = 1};
}

static bool unlucky(struct kernel *k, unsigned per_mille)
{
    if (per_mille == 0)
        return false;
    k->random = k->random * 6364136223846793005u + 1442695040888963407u;
    return (k->random >> 33) % 1000 < per_mille;
}

static struct kernel_flow *find(struct kernel *k, const struct addr *from, const struct addr *at,
                                uint16_t channel)
{
    for (unsigned i = 0; i < KERNEL_FLOWS; i++) {
        struct kernel_flow *f = &k->flow[i];
        if (f->used && f->flow.channel_in == channel && addr_equal(&f->flow.from, from) &&
            addr_equal(&f->flow.at, at))
            return f;
    }
    return NULL;
}

// ---- limits

static struct kernel_group *group_of(struct kernel *k, uint64_t id)
{
    for (unsigned i = 0; i < KERNEL_FLOWS; i++)
        if (k->group[i].flows > 0 && k->group[i].id == id)
            return &k->group[i];
    return NULL;
}

static void join(struct kernel *k, const struct offload_flow *flow)
{
    struct kernel_group *g = group_of(k, flow->group);
    uint64_t rate = flow->bytes_per_second, burst = rate / 8 > 65536 ? rate / 8 : 65536;

    for (unsigned i = 0; !g; i++) {
        if (k->group[i].flows > 0)
            continue;
        g = &k->group[i];
        *g = (struct kernel_group){.id = flow->group};
        bucket_init(&g->bucket, rate, burst, *k->now);
    }
    if (g->bucket.rate != rate)
        abort(); // flows of one group share the limit
    g->flows++;
}

// ---- for the core

static int put(void *ctx, const struct offload_flow *flow, const struct rtp_quality *quality,
               unsigned qualities)
{
    struct kernel *k = ctx;
    struct kernel_flow *f = find(k, &flow->from, &flow->at, flow->channel_in);

    if (++k->puts == k->fail_put || unlucky(k, k->refuse))
        return -EHOSTUNREACH;
    if (f) {
        f->flow = *flow;
        return 0;
    }
    f = k->flow;
    while (f < k->flow + KERNEL_FLOWS && f->used)
        f++;
    if (f == k->flow + KERNEL_FLOWS)
        return -ENOSPC;
    *f = (struct kernel_flow){.flow = *flow, .used = true};
    for (unsigned i = 0; i < qualities; i++)
        f->report.quality[f->report.qualities++] = quality[i];
    join(k, flow);
    k->flows++;
    return 0;
}

static int read_flow(void *ctx, const struct offload_flow *flow, struct offload_report *ret_report)
{
    struct kernel *k = ctx;
    const struct kernel_flow *f = find(k, &flow->from, &flow->at, flow->channel_in);

    k->reads++;
    if (!f)
        return -ENOENT;
    *ret_report = f->report;
    return 0;
}

static int take(void *ctx, const struct offload_flow *flow, struct offload_report *ret_report)
{
    struct kernel *k = ctx;
    struct kernel_flow *f = find(k, &flow->from, &flow->at, flow->channel_in);

    k->takes++;
    if (!f)
        return -ENOENT;
    *ret_report = f->report;
    group_of(k, f->flow.group)->flows--;
    f->used = false;
    k->flows--;
    return 0;
}

struct offload_io kernel_io(struct kernel *k)
{
    return (struct offload_io){k, put, read_flow, take};
}

// ---- packets

// The same place that the core would find for a stream.
static struct rtp_quality *place(struct offload_report *report, uint32_t ssrc)
{
    unsigned oldest = 0;

    for (unsigned i = 0; i < report->qualities; i++) {
        if (report->quality[i].ssrc == ssrc)
            return &report->quality[i];
        if (report->quality[i].last_arrival < report->quality[oldest].last_arrival)
            oldest = i;
    }
    if (report->qualities < OFFLOAD_SSRC_MAX)
        oldest = report->qualities++;
    report->quality[oldest] = (struct rtp_quality){.ssrc = ssrc};
    return &report->quality[oldest];
}

static void see_rtp(struct offload_report *report, const uint8_t *p, usec_t now)
{
    const struct rtp_arrival a = {
        .ssrc = (uint32_t)p[8] << 24 | (uint32_t)p[9] << 16 | (uint32_t)p[10] << 8 | p[11],
        .timestamp = (uint32_t)p[4] << 24 | (uint32_t)p[5] << 16 | (uint32_t)p[6] << 8 | p[7],
        .sequence = (uint16_t)(p[2] << 8 | p[3]),
    };

    report->media++;
    rtp_quality_see(place(report, a.ssrc), &a, now);
}

static void rewrite(const struct offload_flow *flow, struct kernel_packet *packet)
{
    size_t skip = flow->channel_in ? 4 : 0, put_on = flow->channel_out ? 4 : 0;
    size_t len = packet->len - skip;

    memmove(packet->buf + put_on, packet->data + skip, len);
    if (put_on) {
        packet->buf[0] = (uint8_t)(flow->channel_out >> 8);
        packet->buf[1] = (uint8_t)flow->channel_out;
        packet->buf[2] = (uint8_t)(len >> 8);
        packet->buf[3] = (uint8_t)len;
    }
    packet->data = packet->buf;
    packet->len = len + put_on;
    packet->from = flow->leave;
    packet->to = flow->to;
}

static struct kernel_flow *flow_of(struct kernel *k, const struct kernel_packet *packet)
{
    struct kernel_flow *f = NULL;

    if (packet->len >= 4 && packet->data[0] >= 0x40 && packet->data[0] <= 0x7f)
        f = find(k, &packet->from, &packet->to, (uint16_t)(packet->data[0] << 8 | packet->data[1]));
    return f ? f : find(k, &packet->from, &packet->to, 0);
}

enum kernel_verdict kernel_recv(struct kernel *k, struct kernel_packet *packet)
{
    struct kernel_flow *f = flow_of(k, packet);
    usec_t now = *k->now;

    if (!f || now >= f->flow.until || packet->len + 4 > sizeof packet->buf ||
        !offload_passes(f->flow.media, f->flow.channel_in, packet->data, packet->len) ||
        unlucky(k, k->pass_up))
        return KERNEL_PASSES;
    size_t len = packet->len - (f->flow.channel_in ? 4 : 0);
    if (!bucket_take(&group_of(k, f->flow.group)->bucket, len, now)) {
        f->report.limited++;
        return KERNEL_DROPS;
    }
    f->report.packets++;
    f->report.bytes += len;
    f->report.last = now;
    k->packets++;
    if (f->flow.media && !offload_is_rtcp(packet->data))
        see_rtp(&f->report, packet->data, now);
    rewrite(&f->flow, packet);
    return KERNEL_FORWARDS;
}
