// SPDX-License-Identifier: ISC
// What a leg knows of its client, whatever the mode of the path: which addresses have proved
// themselves, which one of them is selected, and the forwarding between the selected ones with the
// figures that a relay can take from it.

#include "internal.h"

#include <errno.h>
#include <stdlib.h>

// --- sources -----------------------------------------------------------------------------------

int source_find(const struct leg *leg, const struct addr *addr, unsigned family)
{
    // The one that nearly every packet comes from.
    if (leg->selected >= 0) {
        const struct source *s = &leg->source[leg->selected];
        if (s->family == family && addr_equal(&s->addr, addr))
            return leg->selected;
    }
    for (int i = 0; i < leg->sources; i++)
        if (leg->source[i].family == family && addr_equal(&leg->source[i].addr, addr))
            return i;
    return -1;
}

// The proved, unselected source that has been silent longest, if that is long enough. When the
// selected one is silent, too, a newcomer is probably the client at its new address: then it is not
// kept waiting by a list full of its old ones.
static int stale_source(const struct leg *leg, usec_t now)
{
    bool lost = leg->selected >= 0 && now - leg->source[leg->selected].last_seen >= SILENT_AFTER;
    usec_t limit = lost ? SOURCE_STALE_LOST : SOURCE_STALE;
    int stale = -1;

    for (int i = 0; i < leg->sources; i++) {
        if (i == leg->selected || now - leg->source[i].last_seen <= limit)
            continue;
        if (stale < 0 || leg->source[i].last_seen < leg->source[stale].last_seen)
            stale = i;
    }
    return stale < 0 ? -ENOSPC : stale;
}

static int source_grow(struct leg *leg)
{
    uint8_t size = leg->source_size == 0 ? 1 : (uint8_t)(leg->source_size * 2);
    struct source *source = realloc(leg->source, size * sizeof(*source));

    if (!source)
        return -ENOMEM;
    leg->source = source;
    leg->source_size = size;
    return 0;
}

int leg_reserve(struct leg *leg)
{
    return leg->source_size > 0 ? 0 : source_grow(leg);
}

static int source_place(struct relay *relay, struct leg *leg, usec_t now)
{
    int index;

    if (leg->sources < PATH_SOURCES_MAX) {
        if (leg->sources == leg->source_size && source_grow(leg) < 0)
            return -ENOMEM;
        return leg->sources++;
    }
    offload_refresh(leg->port[0].path, now);
    index = stale_source(leg, now);
    if (index < 0)
        return index;
    if (leg->last_proved == index)
        leg->last_proved = -1;
    shared_unclaim(relay, leg->source[index].claim);
    leg->source[index].claim = NULL;
    return index;
}

int source_add(struct leg *leg, const struct addr *addr, unsigned family, usec_t now)
{
    struct relay *relay = leg->port[family].path->relay;
    struct claim *claim;
    int index = shared_claim(relay, &leg->port[family], addr, &claim);

    if (index == 0)
        index = source_place(relay, leg, now);
    if (index < 0) {
        shared_unclaim(relay, claim);
        return index;
    }
    leg->source[index] =
        (struct source){.addr = *addr, .claim = claim, .family = (uint8_t)family, .last_seen = now};
    return index;
}

void leg_select(struct path *path, enum side side, int index, usec_t now)
{
    struct leg *leg = &path->leg[side];
    struct source *source = &leg->source[index];

    offload_take(path, now);
    if (leg->selected < 0) {
        count(path->relay, COUNTER_LATCHES);
    } else {
        struct source *old = &leg->source[leg->selected];
        // The first source was verified on credit. Whoever captured a check that never came here
        // (clients also probe each other directly) could be it, but cannot answer.
        if (!old->answered)
            old->verified = false;
        count(path->relay, COUNTER_LATCHES_MOVED);
        leg->moves++;
    }
    leg->selected = (int8_t)index;
    source->verified = true;
    if (source->nomination > leg->nomination) {
        leg->nomination = source->nomination;
        ice_forget_previous(path, side, source);
    }
    path_event(path, EVENT_SELECTED, side, &source->addr);
    ice_hold_release(path, side, now);
}

bool leg_take(struct path *path, enum side side, const struct addr *addr, unsigned family,
              usec_t now)
{
    struct leg *leg = &path->leg[side];

    if (leg->sources == 0 && source_add(leg, addr, family, now) < 0)
        return false;
    offload_take(path, now);
    leg->source[0] = (struct source){.addr = *addr,
                                     .family = (uint8_t)family,
                                     .last_seen = now,
                                     .verified = true,
                                     .answered = true};
    leg_select(path, side, 0, now);
    return true;
}

void leg_heard(struct path *path, enum side side, int index, usec_t now)
{
    struct leg *leg = &path->leg[side];
    struct source *source = &leg->source[index];
    usec_t patience = SILENT_AFTER;

    source->last_seen = now;
    if (index == leg->selected || leg->selected < 0 || !source->verified)
        return;
    offload_refresh(path, now);
    const struct source *selected = &leg->source[leg->selected];
    if (path->google)
        patience = google_patience(path, side, index, now);
    if (selected->mute || now - selected->last_seen >= patience)
        leg_select(path, side, index, now);
}

// --- forwarding --------------------------------------------------------------------------------

enum verdict leg_drop(const struct recv *r, enum counter reason)
{
    count(r->path->relay, reason);
    r->leg->refused++;
    return VERDICT_DROP;
}

enum verdict leg_forward(const struct recv *r, const struct addr *to, unsigned family)
{
    size_t len = r->packet->len;

    if (!bucket_take(&r->path->call->bucket, len, r->now) &&
        !offload_yield(r->path->call, len, r->now))
        return leg_drop(r, COUNTER_DROP_BANDWIDTH);
    r->leg->packets_in++;
    r->leg->bytes_in += len;
    r->out->packets_out++;
    r->out->bytes_out += len;
    r->path->last_forward = r->now;
    r->ret_forward->socket = r->out->port[family].socket;
    r->ret_forward->to = *to;
    return VERDICT_FORWARD;
}

// The slot of this stream; a new one, or else the one that was heard of least recently.
static struct rtp_quality *quality_slot(struct leg *leg, uint32_t ssrc)
{
    struct rtp_quality *oldest = NULL;

    for (unsigned i = 0; i < leg->qualities; i++) {
        struct rtp_quality *q = &leg->quality[i];
        if (q->ssrc == ssrc)
            return q;
        if (!oldest || q->last_arrival < oldest->last_arrival)
            oldest = q;
    }
    if (leg->qualities < PATH_SSRC_MAX) {
        struct rtp_quality *grown =
            realloc(leg->quality, (leg->qualities + 1u) * sizeof(*leg->quality));
        if (grown) {
            leg->quality = grown;
            oldest = &leg->quality[leg->qualities++];
        }
    }
    if (oldest)
        *oldest = (struct rtp_quality){.ssrc = ssrc};
    return oldest;
}

static void rtp_seen(const struct recv *r)
{
    struct rtp_header header;
    struct rtp_quality *quality;

    r->leg->media_in++;
    r->leg->last_media = r->now;
    if (r->leg->media_in == 1)
        r->leg->first_media = r->now;
    if (rtp_decode(r->packet->data, r->packet->len, &header) < 0)
        return;
    const struct rtp_arrival arrival = rtp_arrival(&header);
    quality = quality_slot(r->leg, header.ssrc);
    if (quality)
        rtp_quality_see(quality, &arrival, r->now);
}

static void media_seen(const struct recv *r)
{
    if (r->kind == PACKET_RTP)
        rtp_seen(r);
    // XEP-0278 section 6.1.6: a channel lives on whatever passes.
    if (r->kind != PACKET_RTP && r->kind != PACKET_RTCP && r->kind != PACKET_DTLS &&
        r->path->mode != PATH_CHANNEL)
        return;
    if (!r->leg->media_told) {
        r->leg->media_told = true;
        path_event(r->path, EVENT_MEDIA, r->side, NULL);
    }
    if (r->path->silent) {
        r->path->silent = false;
        path_schedule(r->path);
    }
}

enum verdict leg_media(const struct recv *r)
{
    const struct source *to;
    enum verdict verdict;
    int from = source_find(r->leg, r->from, r->port->family);

    if (from < 0)
        return leg_drop(r, COUNTER_DROP_UNPROVED);
    leg_heard(r->path, r->side, from, r->now);
    if (from != r->leg->selected)
        return leg_drop(r, COUNTER_DROP_NOT_SELECTED);
    if (r->out->selected < 0)
        return leg_drop(r, COUNTER_DROP_PEER_UNKNOWN);
    to = &r->out->source[r->out->selected];
    // Whoever can forge a source address could else aim the media at anybody ("voice hammer", RFC
    // 8445 section 19.5.1). An honest sender has waited for an answer to its own check.
    if (!to->answered)
        return leg_drop(r, COUNTER_DROP_PEER_UNKNOWN);
    verdict = leg_forward(r, &to->addr, to->family);
    if (verdict == VERDICT_FORWARD) {
        media_seen(r);
        offload_consider(r);
    }
    return verdict;
}
