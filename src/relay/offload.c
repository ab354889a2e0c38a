// SPDX-License-Identifier: ISC
// What the kernel may forward without us. A direction of a path becomes the kernel's after a few
// packets, when nothing is left to settle: from the selected source of one leg, which has answered,
// to that of the other, which has answered, too. It is taken back before one of the two changes,
// before learning begins again, and when the path falls silent, so that the kernel never forwards
// what we would not. What it leaves to us (checks, DTLS, what it cannot rewrite) comes here as
// ever.
//
// Figures: a leg counts what we forward, the kernel the rest, and whoever asks gets the sum. The
// streams go over to the kernel with all they have; what of them still comes here is counted from
// nothing and merged (rtp_quality_merge()): received and lost add up, what came late or twice is
// known only as far as either could tell, and jitter is the kernel's. Nobody asks without need: the
// kernel is read for a snapshot, before a path counts as silent, and before a source does that
// another one wants to replace.
//
// The rate of a call holds in total: most of it is lent to the kernel, and when what remains does
// not suffice for what comes here, all of the call is ours again for a while.

#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(((struct offload_report *)NULL)->quality) ==
                  PATH_SSRC_MAX * sizeof(struct rtp_quality),
              "a leg's streams fit into a report");

void relay_set_offload(struct relay *relay, const struct offload_io *offload)
{
    relay->offload = *offload;
}

// --- what may be -------------------------------------------------------------------------------

static const struct source *selected(const struct leg *leg)
{
    return leg->selected < 0 ? NULL : &leg->source[leg->selected];
}

static bool has_answered(const struct leg *leg)
{
    return leg->selected >= 0 && selected(leg)->answered;
}

// Nothing under way can select another source, or let one in.
static bool is_settled(const struct path *path, const struct leg *leg, usec_t now)
{
    for (unsigned i = 0; i < leg->sources; i++)
        if (verify_deadline(&leg->source[i]) != USEC_NEVER)
            return false;
    // RTCP of a raw path may come from another port than the one that was signalled.
    return !leg->raw || leg->raw->locked || (path->rtp_path == 0 && now >= leg->raw->window_end);
}

// At a shared port another path may hold the address.
static bool is_ours(const struct leg *leg)
{
    return !selected(leg)->claim || selected(leg)->claim->holds;
}

static bool may_offload(const struct path *path, enum side side, usec_t now)
{
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        if (!has_answered(&path->leg[s]) || !is_settled(path, &path->leg[s], now))
            return false;
    return is_ours(&path->leg[side]);
}

static struct addr bound(const struct path *path, const struct leg *leg, unsigned family)
{
    struct addr addr = path->relay->config.bind[family];

    addr.port = leg->port[family].number;
    return addr;
}

static struct offload_flow flow_of(const struct path *path, enum side side)
{
    const struct leg *leg = &path->leg[side], *out = &path->leg[side_other(side)];
    const struct source *from = selected(leg), *to = selected(out);

    return (struct offload_flow){
        .from = from->addr,
        .at = bound(path, leg, from->family),
        .leave = bound(path, out, to->family),
        .to = to->addr,
        .media = true,
        .until = USEC_NEVER,
        .group = path->call->id,
        .bytes_per_second = path->call->loan.rate,
    };
}

// --- figures -----------------------------------------------------------------------------------

// The kernel's clock is read later than ours.
static usec_t not_after(usec_t time, usec_t now)
{
    return time < now ? time : now;
}

static void note_last(struct path *path, enum side side, const struct offload_report *report,
                      usec_t now)
{
    struct leg *leg = &path->leg[side];
    usec_t last = not_after(report->last, now);

    if (leg->selected >= 0 && leg->source[leg->selected].last_seen < last)
        leg->source[leg->selected].last_seen = last;
    if (path->last_forward < last)
        path->last_forward = last;
}

static void add_figures(struct leg *leg, struct leg *out, const struct offload_report *report,
                        usec_t since, usec_t now)
{
    leg->packets_in += report->packets;
    leg->bytes_in += report->bytes;
    leg->media_in += report->media;
    leg->refused += report->limited;
    out->packets_out += report->packets;
    out->bytes_out += report->bytes;
    for (unsigned i = 0; i < report->qualities; i++)
        if (leg->last_media < report->quality[i].last_arrival)
            leg->last_media = not_after(report->quality[i].last_arrival, now);
    if (leg->first_media == 0 && report->media > 0)
        leg->first_media = since; // only RTCP had passed before
}

// Where there are more streams than places, those that were heard of last have them.
static void keep_latest(struct rtp_quality quality[PATH_SSRC_MAX], const struct rtp_quality *q)
{
    unsigned oldest = 0;

    for (unsigned i = 1; i < PATH_SSRC_MAX; i++)
        if (quality[i].last_arrival < quality[oldest].last_arrival)
            oldest = i;
    if (quality[oldest].last_arrival < q->last_arrival)
        quality[oldest] = *q;
}

static unsigned merge_streams(const struct leg *leg, const struct offload_report *report,
                              struct rtp_quality ret_quality[PATH_SSRC_MAX])
{
    unsigned n = report->qualities;

    memcpy(ret_quality, report->quality, n * sizeof(*ret_quality));
    for (unsigned i = 0; i < leg->qualities; i++) {
        const struct rtp_quality *q = &leg->quality[i];
        unsigned at = 0;
        while (at < n && ret_quality[at].ssrc != q->ssrc)
            at++;
        if (at < n)
            rtp_quality_merge(&ret_quality[at], q);
        else if (n < PATH_SSRC_MAX)
            ret_quality[n++] = *q;
        else
            keep_latest(ret_quality, q);
    }
    return n;
}

// Without memory the streams that have come meanwhile are not known any more.
static void take_streams(struct leg *leg, const struct offload_report *report)
{
    struct rtp_quality quality[PATH_SSRC_MAX], *grown;
    unsigned n = merge_streams(leg, report, quality);

    if (n == 0)
        return;
    grown = realloc(leg->quality, n * sizeof(*quality));
    if (!grown)
        n = leg->qualities < n ? leg->qualities : n;
    else
        leg->quality = grown;
    if (n > 0)
        memcpy(leg->quality, quality, n * sizeof(*quality));
    leg->qualities = (uint8_t)n;
}

void offload_refresh(struct path *path, usec_t now)
{
    const struct offload_io *io = &path->relay->offload;
    struct offload_report report;

    for (unsigned s = 0; s < SIDE_COUNT; s++)
        if (path->leg[s].offloaded &&
            io->read(io->ctx, &path->leg[s].offloaded->flow, &report) == 0)
            note_last(path, s, &report, now);
}

void offload_figures(struct path *path, struct leg ret_leg[SIDE_COUNT],
                     struct rtp_quality quality[SIDE_COUNT][PATH_SSRC_MAX], usec_t now)
{
    const struct offload_io *io = &path->relay->offload;
    struct offload_report report;

    memcpy(ret_leg, path->leg, sizeof(path->leg));
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        const struct offloaded *o = path->leg[s].offloaded;
        if (!o || io->read(io->ctx, &o->flow, &report) < 0)
            continue;
        note_last(path, s, &report, now);
        add_figures(&ret_leg[s], &ret_leg[side_other(s)], &report, o->since, now);
        ret_leg[s].qualities = (uint8_t)merge_streams(&path->leg[s], &report, quality[s]);
        ret_leg[s].quality = quality[s];
    }
}

// --- giving and taking -------------------------------------------------------------------------

static void join_call(struct call_paths *call, usec_t now)
{
    if (call->offloaded++ > 0)
        return;
    call->loan_used = 0;
    bucket_lend(&call->bucket, &call->loan, now);
}

static void leave_call(struct call_paths *call, uint64_t used, usec_t now)
{
    call->loan_used += used;
    if (--call->offloaded == 0)
        bucket_join(&call->bucket, &call->loan, call->loan_used, now);
}

static void give(struct path *path, enum side side, usec_t now)
{
    struct relay *relay = path->relay;
    struct leg *leg = &path->leg[side];
    struct offloaded *o = malloc(sizeof(*o));
    int err = -ENOMEM;

    join_call(path->call, now);
    if (o) {
        *o = (struct offloaded){.flow = flow_of(path, side), .since = now};
        err = relay->offload.put(relay->offload.ctx, &o->flow, leg->quality, leg->qualities);
    }
    if (err < 0) {
        free(o);
        leave_call(path->call, 0, now);
        leg->offload_next = now + OFFLOAD_PAUSE;
        if (err != -EOPNOTSUPP)
            count(relay, COUNTER_OFFLOAD_REFUSED_PATHS);
        return;
    }
    leg->offloaded = o;
    leg->qualities = 0; // they are the kernel's now
    counter_add(relay->counters, COUNTER_OFFLOADED_PATHS, 1);
}

void offload_consider(const struct recv *r)
{
    struct leg *leg = r->leg;

    if (!r->path->relay->offload.put || leg->offloaded ||
        (r->kind != PACKET_RTP && r->kind != PACKET_RTCP))
        return;
    if (leg->streak < OFFLOAD_AFTER)
        leg->streak++;
    if (leg->streak == OFFLOAD_AFTER && r->now >= leg->offload_next &&
        may_offload(r->path, r->side, r->now))
        give(r->path, r->side, r->now);
}

static void take(struct path *path, enum side side, usec_t now, usec_t pause)
{
    struct relay *relay = path->relay;
    struct leg *leg = &path->leg[side];
    struct offloaded *o = leg->offloaded;
    struct offload_report report = {0};

    leg->streak = 0;
    if (!o)
        return;
    leg->offloaded = NULL;
    leg->offload_next = now + pause;
    if (relay->offload.take(relay->offload.ctx, &o->flow, &report) == 0) {
        note_last(path, side, &report, now);
        add_figures(leg, &path->leg[side_other(side)], &report, o->since, now);
        take_streams(leg, &report);
        counter_add(relay->counters, COUNTER_DROP_BANDWIDTH, report.limited);
    }
    counter_add(relay->counters, COUNTER_OFFLOADED_PATHS, (uint64_t)-1);
    leave_call(path->call, report.bytes, now);
    free(o);
}

// With RTP goes its RTCP, which may have been let in for its sake.
void offload_take(struct path *path, usec_t now)
{
    for (struct path *p = path->call->first; p; p = p->call_next)
        for (unsigned s = 0; s < SIDE_COUNT && (p == path || p->rtp_path == path->id); s++)
            take(p, s, now, OFFLOAD_PAUSE);
}

void offload_take_call(struct call_paths *call, usec_t now, usec_t pause)
{
    for (struct path *path = call->first; path; path = path->call_next)
        for (unsigned s = 0; s < SIDE_COUNT; s++)
            take(path, s, now, pause);
}

bool offload_yield(struct call_paths *call, size_t len, usec_t now)
{
    if (call->offloaded == 0)
        return false;
    offload_take_call(call, now, OFFLOAD_PAUSE_RATE);
    return bucket_take(&call->bucket, len, now);
}

// --- invariants --------------------------------------------------------------------------------

static bool same_way(const struct offload_flow *a, const struct offload_flow *b)
{
    return addr_equal(&a->from, &b->from) && addr_equal(&a->at, &b->at) &&
           addr_equal(&a->leave, &b->leave) && addr_equal(&a->to, &b->to) && a->media == b->media &&
           a->group == b->group && a->bytes_per_second == b->bytes_per_second;
}

// To a channel's component 2, RTCP may have been let in for the sake of its RTP.
static bool is_latched(const struct path *path)
{
    const struct path *rtp = path->rtp_path ? path_find(path->relay, path->rtp_path) : NULL;

    return !path->channel || path->channel->latch != LATCH_NONE ||
           (rtp && rtp->channel->latch == LATCH_RTP);
}

const char *offload_check(const struct path *path, enum side side)
{
    const struct leg *leg = &path->leg[side];
    unsigned n = 0;

    for (const struct path *p = path->call->first; p; p = p->call_next)
        for (unsigned s = 0; s < SIDE_COUNT; s++)
            n += p->leg[s].offloaded != NULL;
    if (n != path->call->offloaded)
        return "the offloaded directions of a call do not add up";
    if (path->call->bucket.rate != path->call->rate - (n > 0 ? path->call->loan.rate : 0))
        return "the rate of a call is not whole";
    if (!leg->offloaded)
        return NULL;
    if (!has_answered(leg) || !has_answered(&path->leg[side_other(side)]))
        return "offloaded between sources that have not answered";
    if (!is_latched(path))
        return "offloaded on a channel that has let nobody in";
    if (!is_ours(leg))
        return "offloaded from an address that another path holds";
    const struct offload_flow now = flow_of(path, side);
    return same_way(&now, &leg->offloaded->flow) ? NULL : "offloaded between other sources";
}
