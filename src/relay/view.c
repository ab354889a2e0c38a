// SPDX-License-Identifier: ISC
// Snapshots: what an observer may know of a path, copied out of the structures.

#include "internal.h"

static void view_source(const struct leg *leg, unsigned index, struct source_view *ret_view)
{
    const struct source *source = &leg->source[index];

    *ret_view = (struct source_view){
        .addr = source->addr,
        .port_family = source->family == 0 ? FAMILY_V4 : FAMILY_V6,
        .selected = (int)index == leg->selected,
        .verified = source->verified,
        .last_seen = source->last_seen,
    };
}

static void view_quality(const struct rtp_quality *q, struct quality_view *ret_view)
{
    *ret_view = (struct quality_view){
        .ssrc = q->ssrc,
        .clock_rate = q->clock_rate,
        .received = q->received,
        .lost = rtp_quality_lost(q),
        .reordered = q->reordered,
        .duplicates = q->duplicates,
        .jitter = rtp_quality_jitter(q),
        .longest_gap = q->longest_gap,
    };
}

static void view_leg(const struct relay *relay, const struct leg *leg, struct leg_view *ret_view)
{
    struct leg_view *v = ret_view;

    for (unsigned f = 0; f < FAMILIES; f++) {
        if (!leg->port[f].open)
            continue;
        v->port[f] = relay->config.advertise[f];
        v->port[f].port = leg->port[f].number;
    }
    v->sources = leg->sources;
    for (unsigned i = 0; i < leg->sources; i++)
        view_source(leg, i, &v->source[i]);
    v->packets_in = leg->packets_in;
    v->bytes_in = leg->bytes_in;
    v->packets_out = leg->packets_out;
    v->bytes_out = leg->bytes_out;
    v->media_in = leg->media_in;
    v->refused = leg->refused;
    v->checks_in = leg->checks_in;
    v->first_check = leg->first_check;
    v->last_check = leg->last_check;
    v->first_media = leg->first_media;
    v->last_media = leg->last_media;
    v->rtt = leg->rtt;
    v->moves = leg->moves;
    v->offloaded = leg->offloaded != NULL;
    v->qualities = leg->qualities;
    for (unsigned i = 0; i < leg->qualities; i++)
        view_quality(&leg->quality[i], &v->quality[i]);
}

static void view_path(struct path *path, uint64_t token, usec_t now)
{
    const struct relay *relay = path->relay;
    struct path_view view = {
        .call = path->call->id, .path = path->id, .mode = path->mode, .opened = path->opened};
    struct relay_event event = {.kind = EVENT_SNAPSHOT,
                                .call = path->call->id,
                                .path = path->id,
                                .token = token,
                                .u.view = &view};
    struct leg leg[SIDE_COUNT];
    struct rtp_quality quality[SIDE_COUNT][PATH_SSRC_MAX];

    offload_figures(path, leg, quality, now);
    for (unsigned s = 0; s < SIDE_COUNT; s++)
        view_leg(relay, &leg[s], &view.leg[s]);
    relay->io.event(relay->ctx, &event);
}

void view_send(struct relay *relay, const struct order *order, usec_t now)
{
    struct relay_event end = {
        .kind = EVENT_SNAPSHOT_END, .call = order->call, .token = order->u.token};

    if (order->call == 0) {
        for (struct map_node *n = map_each(&relay->paths, NULL); n; n = map_each(&relay->paths, n))
            view_path(container_of(n, struct path, node), order->u.token, now);
    } else {
        const struct call_paths *call = call_find(relay, order->call);
        for (struct path *path = call ? call->first : NULL; path; path = path->call_next)
            view_path(path, order->u.token, now);
    }
    relay->io.event(relay->ctx, &end);
}
