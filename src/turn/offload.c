// SPDX-License-Identifier: ISC
// What the kernel may forward without us: the ChannelData of clients that came by UDP, each
// direction of a channel by itself, after a few packets. Towards the peer its permission is the
// channel (RFC 8656 section 12.6), towards the client the permission too. The kernel stops by
// itself when the first of them runs out, or after a minute; the packet that comes here then shows
// whether there is more. Whatever ends them earlier, or moves the client, takes the flows back
// first.
//
// What the kernel has forwarded is added to the allocation's figures when somebody asks for them,
// once a minute, and at the end. Most of the allocation's rate is lent to it; when what remains
// does not suffice for what comes here, all is ours again for a while.
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

void turn_set_offload(struct turn *turn, const struct turn_offload *offload)
{
    turn->offload = *offload;
}

static usec_t earlier(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

static usec_t allowed_until(const struct allocation *a, const struct channel *channel, enum way way,
                            usec_t now)
{
    const struct permission *permission = permission_find(a, &channel->peer, now);
    usec_t until = earlier(channel->until, a->port[family_index(&channel->peer)].expires);
    if (way == TO_CLIENT)
        until = earlier(until, permission ? permission->until : 0);
    return earlier(until, now + OFFLOAD_LEASE);
}

// Returns 0 or -errno.
static int flow_of(const struct turn *turn, const struct allocation *a,
                   const struct channel *channel, enum way way, struct offload_flow *ret_flow)
{
    struct turn_route route;
    const struct relayed *port = &a->port[family_index(&channel->peer)];
    const struct addr *client = &a->at.client.remote;
    int r =
        turn->offload.route(turn->offload.ctx, &a->at.client, port->handle, &channel->peer, &route);
    if (r < 0)
        return r;
    *ret_flow = (struct offload_flow){.group = a->group, .bytes_per_second = a->loan.rate};
    ret_flow->from = way == TO_PEER ? *client : route.peer;
    ret_flow->at = way == TO_PEER ? route.listener : route.relayed;
    ret_flow->leave = way == TO_PEER ? route.relayed : route.listener;
    ret_flow->to = way == TO_PEER ? route.peer : *client;
    ret_flow->channel_in = way == TO_PEER ? channel->number : 0;
    ret_flow->channel_out = way == TO_PEER ? 0 : channel->number;
    return 0;
}

// ---- figures ----

// What is new in the report since it was last counted.
static void count_report(const struct turn *turn, struct allocation *a, struct offloaded *o,
                         enum way way, const struct offload_report *report)
{
    uint64_t packets = report->packets - o->packets;
    uint64_t bytes = report->bytes - o->bytes;
    *(way == TO_PEER ? &a->packets_out : &a->packets_in) += packets;
    *(way == TO_PEER ? &a->bytes_out : &a->bytes_in) += bytes;
    counter_add(turn->counters,
                way == TO_PEER ? COUNTER_TURN_TO_PEER_PACKETS : COUNTER_TURN_TO_CLIENT_PACKETS,
                packets);
    counter_add(turn->counters, COUNTER_TURN_BY_KERNEL_PACKETS, packets);
    counter_add(turn->counters,
                way == TO_PEER ? COUNTER_TURN_TO_PEER_BYTES : COUNTER_TURN_TO_CLIENT_BYTES, bytes);
    counter_add(turn->counters, COUNTER_TURN_DROP_BANDWIDTH, report->limited - o->limited);
    o->packets = report->packets;
    o->bytes = report->bytes;
    o->limited = report->limited;
}

void turn_offload_count(const struct turn *turn, struct allocation *a)
{
    const struct offload_io *io = &turn->offload.io;
    struct offload_report report;
    for (unsigned i = 0; i < a->channels && a->offloaded > 0; i++) {
        for (unsigned way = 0; way < WAYS; way++) {
            struct offloaded *o = a->channel[i].offloaded[way];
            if (o && io->read(io->ctx, &o->flow, &report) == 0)
                count_report(turn, a, o, way, &report);
        }
    }
}

// ---- giving and taking ----

static void join(struct turn *turn, struct allocation *a, usec_t now)
{
    if (a->offloaded++ > 0)
        return;
    if (a->group == 0)
        turn->io.random(turn->io.ctx, &a->group, sizeof a->group);
    a->loan_used = 0;
    bucket_lend(&a->bucket, &a->loan, now);
}

static void leave(struct allocation *a, uint64_t used, usec_t now)
{
    a->loan_used += used;
    if (--a->offloaded == 0)
        bucket_join(&a->bucket, &a->loan, a->loan_used, now);
}

static int put(struct turn *turn, struct allocation *a, const struct channel *channel, enum way way,
               struct offload_flow *flow, usec_t now)
{
    int r = flow_of(turn, a, channel, way, flow);
    flow->until = allowed_until(a, channel, way, now);
    return r < 0 ? r : turn->offload.io.put(turn->offload.io.ctx, flow, NULL, 0);
}

static void give(struct turn *turn, struct allocation *a, struct channel *channel, enum way way,
                 usec_t now)
{
    struct offloaded *o = calloc(1, sizeof *o);
    join(turn, a, now);
    int r = o ? put(turn, a, channel, way, &o->flow, now) : -ENOMEM;
    if (r < 0) {
        free(o);
        leave(a, 0, now);
        a->offload_next = now + OFFLOAD_PAUSE;
        if (r != -EOPNOTSUPP)
            count(turn, COUNTER_OFFLOAD_REFUSED_TURN);
        return;
    }
    channel->offloaded[way] = o;
    counter_add(turn->counters, COUNTER_OFFLOADED_TURN, 1);
}

static void take(struct turn *turn, struct allocation *a, struct channel *channel, enum way way,
                 usec_t now)
{
    struct offloaded *o = channel->offloaded[way];
    struct offload_report report = {0};
    channel->streak[way] = 0;
    if (!o)
        return;
    channel->offloaded[way] = NULL;
    if (turn->offload.io.take(turn->offload.io.ctx, &o->flow, &report) == 0)
        count_report(turn, a, o, way, &report);
    counter_add(turn->counters, COUNTER_OFFLOADED_TURN, (uint64_t)-1);
    leave(a, report.bytes, now);
    free(o);
}

// The kernel's time is over, or the packet is one of those that it leaves to us.
static void renew(struct turn *turn, struct allocation *a, struct channel *channel, enum way way,
                  usec_t now)
{
    struct offload_flow flow;
    if (now < channel->offloaded[way]->flow.until)
        return;
    turn_offload_count(turn, a); // what is counted of all lags behind by no more than that
    if (put(turn, a, channel, way, &flow, now) < 0) {
        take(turn, a, channel, way, now);
        a->offload_next = now + OFFLOAD_PAUSE;
        count(turn, COUNTER_OFFLOAD_REFUSED_TURN);
        return;
    }
    channel->offloaded[way]->flow = flow;
}

void turn_offload_consider(struct turn *turn, struct allocation *a, const struct channel *forwarded,
                           enum way way, usec_t now)
{
    struct channel *channel = &a->channel[forwarded - a->channel];
    if (!turn->offload.io.put || a->at.client.transport != TURN_UDP)
        return;
    if (channel->offloaded[way]) {
        renew(turn, a, channel, way, now);
        return;
    }
    if (channel->streak[way] < OFFLOAD_AFTER)
        channel->streak[way]++;
    if (channel->streak[way] == OFFLOAD_AFTER && now >= a->offload_next)
        give(turn, a, channel, way, now);
}

void turn_offload_take_channel(struct turn *turn, struct allocation *a, struct channel *channel,
                               usec_t now)
{
    take(turn, a, channel, TO_PEER, now);
    take(turn, a, channel, TO_CLIENT, now);
}

void turn_offload_take(struct turn *turn, struct allocation *a, usec_t now, usec_t pause)
{
    if (a->offloaded > 0)
        a->offload_next = now + pause;
    for (unsigned i = 0; i < a->channels; i++)
        turn_offload_take_channel(turn, a, &a->channel[i], now);
}

bool turn_offload_yield(struct turn *turn, struct allocation *a, size_t len, usec_t now)
{
    if (a->offloaded == 0)
        return false;
    turn_offload_take(turn, a, now, OFFLOAD_PAUSE_RATE);
    return bucket_take(&a->bucket, len, now);
}

// ---- invariants ----

static const char *check_way(const struct turn *turn, const struct allocation *a,
                             const struct channel *channel, enum way way)
{
    struct offload_flow now;
    const struct offload_flow *flow = &channel->offloaded[way]->flow;
    if (!a->at.linked || a->at.client.transport != TURN_UDP || a->tcp)
        return "offloaded without a client at a UDP port";
    if (!relayed_live(&a->port[family_index(&channel->peer)]))
        return "offloaded through a port that is closed";
    if (flow->until > channel->until || flow->until > a->port[family_index(&channel->peer)].expires)
        return "offloaded for longer than the channel or its port live";
    if (flow_of(turn, a, channel, way, &now) < 0)
        return NULL; // the way is closed since
    if (!addr_equal(&now.from, &flow->from) || !addr_equal(&now.at, &flow->at) ||
        !addr_equal(&now.leave, &flow->leave) || !addr_equal(&now.to, &flow->to) ||
        now.channel_in != flow->channel_in || now.channel_out != flow->channel_out)
        return "offloaded between others";
    return NULL;
}

const char *turn_offload_check(const struct turn *turn, const struct allocation *a)
{
    const char *wrong = NULL;
    unsigned n = 0;
    for (unsigned i = 0; i < a->channels; i++) {
        for (unsigned way = 0; way < WAYS && !wrong; way++) {
            if (!a->channel[i].offloaded[way])
                continue;
            wrong = check_way(turn, a, &a->channel[i], way);
            n++;
        }
    }
    if (!wrong && n != a->offloaded)
        wrong = "the offloaded directions of an allocation do not add up";
    return wrong;
}
