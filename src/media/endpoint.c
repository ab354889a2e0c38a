// SPDX-License-Identifier: ISC
// An endpoint as a whole: construction, who may say what, time. See media/endpoint.h.
#include "internal.h"

#include "codec/demux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONSENT (30 * USEC_PER_SEC) // RFC 7675 section 5.1

static int component_open(struct component *component)
{
    const struct media_terms *terms = &component->endpoint->terms;

    switch (terms->protection) {
    case MEDIA_DTLS:
        return handshake_open(component);
    case MEDIA_SDES:
        return protection_open(component, terms->sdes.suite, terms->sdes.ours, terms->sdes.theirs);
    case MEDIA_PLAIN:
        break;
    }
    component->keyed = true;
    return 0;
}

static bool makes_sense(const struct media_terms *terms)
{
    return terms->components >= 1 && terms->components <= MEDIA_COMPONENTS &&
           (!terms->ice || (terms->ours.pwd[0] && terms->theirs.pwd[0]));
}

int endpoint_new(const struct media_terms *terms, const struct endpoint_limits *limits,
                 const struct endpoint_io *io, struct media_identity *identity,
                 struct counters *counters, usec_t now, struct endpoint **ret_endpoint)
{
    struct endpoint *endpoint = makes_sense(terms) ? calloc(1, sizeof *endpoint) : NULL;
    int r = 0;

    if (!endpoint)
        return makes_sense(terms) ? -ENOMEM : -EINVAL;
    endpoint->terms = *terms;
    endpoint->limits = *limits;
    endpoint->io = *io;
    endpoint->identity = identity;
    endpoint->counters = counters;
    endpoint->began = endpoint->heard = now;
    endpoint->next_report = USEC_NEVER;
    bucket_init(&endpoint->checks, CHECKS_RATE, CHECKS_BURST, now);
    if (limits->bytes_per_second > 0)
        bucket_init(&endpoint->bucket, limits->bytes_per_second, limits->bytes_per_second, now);
    for (unsigned i = 0; i < terms->components && r == 0; i++) {
        struct component *component = &endpoint->component[i];
        component->endpoint = endpoint;
        component->number = i;
        component->selected = -1;
        component->resend = USEC_NEVER;
        r = component_open(component);
    }
    if (r < 0) {
        endpoint_free(endpoint);
        return r;
    }
    *ret_endpoint = endpoint;
    return 0;
}

void endpoint_free(struct endpoint *endpoint)
{
    if (!endpoint)
        return;
    for (unsigned i = 0; i < endpoint->terms.components; i++) {
        handshake_close(&endpoint->component[i]);
        protection_close(&endpoint->component[i]);
    }
    free(endpoint);
}

void endpoint_fail(struct endpoint *endpoint, enum endpoint_state why)
{
    if (endpoint->state <= ENDPOINT_RETURNING)
        endpoint->state = why;
}

struct source *selected_source(struct component *component)
{
    return component->selected >= 0 ? &component->source[component->selected] : NULL;
}

void send_selected(struct component *component, const uint8_t *data, size_t len)
{
    const struct source *to = selected_source(component);
    const struct endpoint_io *io = &component->endpoint->io;

    if (to)
        io->send(io->ctx, component->number, &to->addr, data, len);
}

void select_source(struct component *component, struct source *source, usec_t now)
{
    component->selected = (int)(source - component->source);
    if (component->ssl)
        handshake_begin(component, now);
}

// RFC 7675 section 5.1: who has not been heard of for so long gets no more, as soon as there is
// somebody else who has answered; when there is nobody, silence ends the call.
void see_source(struct component *component, struct source *source, usec_t now)
{
    const struct source *selected = selected_source(component);

    source->seen = now;
    if (source->state == SOURCE_ANSWERED && selected && selected->seen + CONSENT < now)
        select_source(component, source, now);
}

// Whether media and handshakes may come from there.
static bool accepts(struct component *component, const struct addr *from, const uint8_t *data,
                    size_t len, usec_t now)
{
    struct source *source;

    if (!component->endpoint->terms.ice)
        return raw_accepts(component, from, data, len, now);
    source = agent_source(component, from);
    if (!source || source->state != SOURCE_ANSWERED)
        return false;
    see_source(component, source, now);
    return true;
}

// Consistent RTP was enough to be taken for the client; where there are keys, only they tell.
static void on_forged(struct component *component)
{
    const struct endpoint *endpoint = component->endpoint;

    counter_add(endpoint->counters, COUNTER_ECHO_REFUSED, 1);
    if (!endpoint->terms.ice && endpoint->terms.protection == MEDIA_SDES &&
        endpoint->state == ENDPOINT_WAITING)
        component->selected = -1;
}

static void on_media(struct component *component, bool rtcp, uint8_t *data, size_t len, usec_t now)
{
    if (!protection_remove(component, rtcp, data, &len)) {
        on_forged(component);
        return;
    }
    component->endpoint->heard = now;
    if (rtcp)
        media_rtcp(component, data, len, now);
    else
        media_rtp(component, data, len, now);
}

void endpoint_recv(struct endpoint *endpoint, unsigned number, const struct addr *from,
                   uint8_t *data, size_t len, usec_t now)
{
    struct component *component = &endpoint->component[number];
    enum packet_kind kind = demux(data, len);

    if (number >= endpoint->terms.components || len > PACKET_MAX ||
        endpoint->state > ENDPOINT_RETURNING)
        return;
    if (kind == PACKET_STUN) {
        agent_recv(component, from, data, len, now);
    } else if (!accepts(component, from, data, len, now)) {
        counter_add(endpoint->counters, COUNTER_ECHO_REFUSED, 1);
    } else if (kind == PACKET_DTLS && component->ssl) {
        handshake_datagram(component, data, len, now);
    } else if (kind == PACKET_RTP || kind == PACKET_RTCP) {
        on_media(component, kind == PACKET_RTCP, data, len, now);
    }
}

static usec_t least(usec_t a, usec_t b)
{
    return a < b ? a : b;
}

usec_t endpoint_tick(struct endpoint *endpoint, usec_t now)
{
    const struct endpoint_limits *limits = &endpoint->limits;
    usec_t over = endpoint->state == ENDPOINT_WAITING ? endpoint->began + limits->setup
                                                      : endpoint->heard + limits->silence;

    if (over <= now)
        endpoint_fail(endpoint,
                      endpoint->state == ENDPOINT_WAITING ? ENDPOINT_NO_MEDIA : ENDPOINT_SILENT);
    if (endpoint->state > ENDPOINT_RETURNING)
        return USEC_NEVER;
    over = least(over, media_tick(endpoint, now));
    for (unsigned i = 0; i < endpoint->terms.components; i++) {
        struct component *component = &endpoint->component[i];
        over = least(over, agent_tick(component, now));
        if (component->ssl)
            over = least(over, handshake_tick(component, now));
    }
    return endpoint->state > ENDPOINT_RETURNING ? now : over;
}

enum endpoint_state endpoint_state(const struct endpoint *endpoint)
{
    return endpoint->state;
}

struct endpoint_figures endpoint_figures(const struct endpoint *endpoint)
{
    const struct component *component = &endpoint->component[0];
    struct endpoint_figures figures = {
        .packets = endpoint->packets,
        .bytes = endpoint->bytes,
        .connected = component->selected >= 0,
        .keyed = component->keyed,
    };

    for (unsigned i = 0; i < MEDIA_KINDS; i++) {
        const struct rtp_quality *q = &endpoint->stream[i].quality;
        figures.lost += rtp_quality_lost(q);
        if (rtp_quality_jitter(q) > figures.jitter)
            figures.jitter = rtp_quality_jitter(q);
    }
    return figures;
}
