// SPDX-License-Identifier: ISC
// Raw UDP (XEP-0177) has no credentials. A host that was signalled by a public address is the only
// one that may send, from any port, as a NAT may have changed that; one that is private says only
// that a NAT is in between. The first source that sends consistent RTP is taken, for ever. RTCP on
// the second component comes from the host that sends the RTP.
#include "internal.h"

static bool is_host(const struct component *component, const struct addr *from)
{
    const struct addr *peer = &component->endpoint->terms.peer[component->number];

    return peer->family == FAMILY_NONE || addr_is_special(peer) || addr_equal_ip(peer, from);
}

static bool consistent(struct component *c, const struct addr *from, const uint8_t *data,
                       size_t len)
{
    struct rtp_header header;

    if (rtp_decode(data, len, &header) < 0)
        return false;
    uint16_t step = (uint16_t)(header.sequence - c->trial_sequence);
    if (addr_equal(&c->trial, from) && header.ssrc == c->trial_ssrc && step >= 1 && step <= 10)
        c->trial_packets++;
    else
        c->trial_packets = 1;
    c->trial = *from;
    c->trial_ssrc = header.ssrc;
    c->trial_sequence = header.sequence;
    return c->trial_packets >= LEARN_PACKETS;
}

static void take(struct component *component, const struct addr *from, usec_t now)
{
    component->sources = 1;
    component->source[0] = (struct source){
        .addr = *from, .state = SOURCE_ANSWERED, .next_check = USEC_NEVER, .seen = now};
    select_source(component, &component->source[0], now);
}

bool raw_accepts(struct component *component, const struct addr *from, const uint8_t *data,
                 size_t len, usec_t now)
{
    struct component *rtp = &component->endpoint->component[0];

    if (component->selected < 0 && component->number == 0 && is_host(component, from) &&
        consistent(component, from, data, len))
        take(component, from, now);
    if (component->selected < 0 && component->number > 0 && rtp->selected >= 0 &&
        addr_equal_ip(&rtp->source[0].addr, from))
        take(component, from, now);
    return component->selected >= 0 && addr_equal(&component->source[0].addr, from);
}
