// SPDX-License-Identifier: ISC
// Raw paths (XEP-0177): there are no credentials, so the signalling must say who may send. A
// signalled address that is public is the source, and within the learning window only another
// port of the same host may replace it, once (a symmetric NAT gives every destination another
// port). A signalled address that is private says only that a NAT is in between: the first source
// that sends consistent RTP within the window is taken. Then the leg is locked until new
// signalling.
//
// The path of component 2 learns from its RTP path: RTCP from the host that sends the RTP.

#include "internal.h"

static uint8_t family_index(const struct addr *addr)
{
    return addr->family == FAMILY_V6 ? 1 : 0;
}

void raw_peer(struct path *path, enum side side, const struct addr *peer, usec_t now)
{
    struct leg *leg = &path->leg[side];
    struct raw *raw = leg->raw;
    bool public = relay_may_send_unproved(path->relay, peer) && leg->port[family_index(peer)].open;

    if (peer->family == FAMILY_NONE || (addr_equal(peer, &raw->peer) && leg->selected >= 0))
        return; // nothing new
    offload_take(path, now);
    *raw = (struct raw){.peer = *peer,
                        .pinned = public,
                        .window_end = now + path->relay->config.limits.learning_window};
    if (public && (leg->selected < 0 || !addr_equal(&leg->source[0].addr, peer)))
        leg_take(path, side, peer, family_index(peer), now);
}

// When all places are taken, the one with the fewest packets goes, and of equal ones each in its
// turn: a few packets of strangers must not keep the client out, and after its second packet only
// somebody who sends as consistently can.
static struct candidate *candidate_place(struct raw *raw)
{
    unsigned least;

    if (raw->candidates < LEARN_SOURCES)
        return &raw->candidate[raw->candidates++];
    least = raw->turn;
    for (unsigned i = 1; i < LEARN_SOURCES; i++) {
        unsigned at = (raw->turn + i) % LEARN_SOURCES;
        if (raw->candidate[at].packets < raw->candidate[least].packets)
            least = at;
    }
    raw->turn = (least + 1) % LEARN_SOURCES;
    return &raw->candidate[least];
}

static struct candidate *candidate_of(struct raw *raw, const struct recv *r)
{
    for (unsigned i = 0; i < raw->candidates; i++)
        if (raw->candidate[i].family == r->port->family &&
            addr_equal(&raw->candidate[i].addr, r->from))
            return &raw->candidate[i];
    struct candidate *c = candidate_place(raw);
    *c = (struct candidate){.addr = *r->from, .family = r->port->family};
    return c;
}

// One more RTP packet of a source on trial. True when it has shown enough: one SSRC, and sequence
// numbers that advance.
static bool consistent(struct raw *raw, const struct recv *r)
{
    struct candidate *c = candidate_of(raw, r);
    struct rtp_header header;

    if (rtp_decode(r->packet->data, r->packet->len, &header) < 0)
        return false;
    uint16_t step = (uint16_t)(header.sequence - c->sequence);
    if (c->packets > 0 && header.ssrc == c->ssrc && step >= 1 && step <= LEARN_STEP_MAX)
        c->packets++;
    else
        c->packets = 1;
    c->ssrc = header.ssrc;
    c->sequence = header.sequence;
    return c->packets >= LEARN_PACKETS;
}

static enum verdict learn_rtp(const struct recv *r, bool selected)
{
    struct raw *raw = r->leg->raw;

    if (r->now >= raw->window_end || r->kind != PACKET_RTP || relay_owns(r->path->relay, r->from) ||
        (raw->pinned && !addr_equal_ip(r->from, &raw->peer)))
        return selected ? leg_media(r) : leg_drop(r, COUNTER_DROP_UNPROVED);
    if (consistent(raw, r)) {
        selected = selected || leg_take(r->path, r->side, r->from, r->port->family, r->now);
        raw->locked = selected;
    }
    return selected ? leg_media(r) : leg_drop(r, COUNTER_DROP_INCONSISTENT);
}

static enum verdict learn_rtcp(const struct recv *r, bool selected)
{
    const struct path *rtp = path_find(r->path->relay, r->path->rtp_path);
    const struct leg *leg = rtp ? &rtp->leg[r->side] : NULL;

    if (r->kind == PACKET_RTCP && leg && leg->selected >= 0 &&
        addr_equal_ip(&leg->source[leg->selected].addr, r->from) &&
        !relay_owns(r->path->relay, r->from)) {
        selected = selected || leg_take(r->path, r->side, r->from, r->port->family, r->now);
        r->leg->raw->locked = selected;
    }
    return selected ? leg_media(r) : leg_drop(r, COUNTER_DROP_UNPROVED);
}

enum verdict raw_recv(const struct recv *r)
{
    bool selected = source_find(r->leg, r->from, r->port->family) >= 0;

    if (r->leg->raw->locked)
        return selected ? leg_media(r) : leg_drop(r, COUNTER_DROP_UNPROVED);
    return r->path->rtp_path != 0 ? learn_rtcp(r, selected) : learn_rtp(r, selected);
}
