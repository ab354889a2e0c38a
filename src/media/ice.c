// SPDX-License-Identifier: ISC
// The endpoint's side of ICE (RFC 8445): always controlled, and never the first to speak. It
// answers authentic checks, sends a check of its own in return (section 7.3.1.4), and takes a
// source when that was answered: the nominated one, or until there is one the first.
#include "internal.h"

#include <stdio.h>
#include <string.h>

#define CHECK_FIRST (50 * USEC_PER_MSEC) // to the second one; doubled each time

struct source *agent_source(struct component *component, const struct addr *from)
{
    for (unsigned i = 0; i < component->sources; i++)
        if (addr_equal(&component->source[i].addr, from))
            return &component->source[i];
    return NULL;
}

static struct source *place(struct component *component)
{
    unsigned oldest = component->selected == 0 ? 1 : 0;

    if (component->sources < SOURCES_MAX)
        return &component->source[component->sources++];
    for (unsigned i = 0; i < SOURCES_MAX; i++)
        if ((int)i != component->selected &&
            component->source[i].seen < component->source[oldest].seen)
            oldest = i;
    return &component->source[oldest];
}

// ---- checks of our own, to who has shown the credentials

static void send_check(struct component *component, struct source *source, usec_t now)
{
    const struct media_terms *terms = &component->endpoint->terms;
    char username[sizeof terms->theirs.ufrag + sizeof terms->ours.ufrag];
    uint8_t buf[1024];
    struct writer w = stun_begin(buf, sizeof buf, STUN_REQUEST, STUN_BINDING, source->txid);
    int len;

    snprintf(username, sizeof username, "%s:%s", terms->theirs.ufrag, terms->ours.ufrag);
    stun_put_bytes(&w, STUN_USERNAME, username, strlen(username));
    // What a peer-reflexive candidate would have (RFC 8445 section 7.1.1)
    stun_put_u32(&w, STUN_PRIORITY, 110u << 24 | 0xffff00u | (255 - component->number));
    stun_put_u64(&w, STUN_ICE_CONTROLLED, 0);
    len = stun_finish(&w, terms->theirs.pwd, strlen(terms->theirs.pwd), true);
    source->next_check =
        ++source->checks < CHECKS_MAX ? now + (CHECK_FIRST << (source->checks - 1)) : USEC_NEVER;
    if (len > 0)
        component->endpoint->io.send(component->endpoint->io.ctx, component->number, &source->addr,
                                     buf, (size_t)len);
}

// The transaction stays the same: who is far away answers when the client has long asked again.
static void begin_checks(struct component *component, struct source *source, usec_t now)
{
    source->checks = 0;
    send_check(component, source, now);
}

usec_t agent_tick(struct component *component, usec_t now)
{
    usec_t next = USEC_NEVER;

    for (unsigned i = 0; i < component->sources; i++) {
        struct source *source = &component->source[i];
        if (source->next_check <= now)
            send_check(component, source, now);
        if (source->next_check < next)
            next = source->next_check;
    }
    return next;
}

// ---- what comes

static void answer(struct component *component, const struct addr *to, const struct stun_msg *msg,
                   bool conflict)
{
    const struct media_terms *terms = &component->endpoint->terms;
    uint8_t buf[128];
    struct writer w =
        stun_begin(buf, sizeof buf, conflict ? STUN_ERROR : STUN_SUCCESS, STUN_BINDING, msg->txid);
    int len;

    if (conflict)
        stun_put_error(&w, 487, "Role Conflict");
    else
        stun_put_addr(&w, STUN_XOR_MAPPED_ADDRESS, to);
    len = stun_finish(&w, terms->ours.pwd, strlen(terms->ours.pwd), true);
    if (len > 0)
        component->endpoint->io.send(component->endpoint->io.ctx, component->number, to, buf,
                                     (size_t)len);
}

static bool is_for_us(const struct component *component, const struct stun_msg *msg)
{
    const struct media_terms *terms = &component->endpoint->terms;
    char username[sizeof terms->theirs.ufrag + sizeof terms->ours.ufrag];
    int len = snprintf(username, sizeof username, "%s:%s", terms->ours.ufrag, terms->theirs.ufrag);

    return msg->attr[STUN_USERNAME].data && msg->attr[STUN_USERNAME].len == (size_t)len &&
           memcmp(msg->attr[STUN_USERNAME].data, username, (size_t)len) == 0 &&
           stun_check_integrity(msg, terms->ours.pwd, strlen(terms->ours.pwd));
}

static struct source *new_source(struct component *component, const struct addr *from)
{
    const struct endpoint_io *io = &component->endpoint->io;
    struct source *source = place(component);

    *source = (struct source){.addr = *from, .next_check = USEC_NEVER};
    io->random(io->ctx, source->txid, sizeof source->txid);
    return source;
}

static void on_request(struct component *component, const struct addr *from,
                       const struct stun_msg *msg, usec_t now)
{
    struct source *source;

    // To who has not proved himself nothing is sent, not even an error.
    if (!is_for_us(component, msg)) {
        counter_add(component->endpoint->counters, COUNTER_ECHO_REFUSED, 1);
        return;
    }
    if (!bucket_take(&component->endpoint->checks, 1, now)) {
        counter_add(component->endpoint->counters, COUNTER_ECHO_LIMITED, 1);
        return;
    }
    // RFC 8445 section 7.3.1.1: our tie-breaker is the least there is.
    if (stun_has(msg, STUN_ICE_CONTROLLED)) {
        answer(component, from, msg, true);
        return;
    }
    source = agent_source(component, from);
    if (!source)
        source = new_source(component, from);
    see_source(component, source, now);
    component->endpoint->heard = now;
    answer(component, from, msg, false);
    source->nominated |= stun_has(msg, STUN_USE_CANDIDATE);
    if (source->state == SOURCE_ANSWERED && stun_has(msg, STUN_USE_CANDIDATE))
        select_source(component, source, now);
    else if (source->state == SOURCE_PROVED && source->next_check == USEC_NEVER)
        begin_checks(component, source, now);
}

static void on_success(struct component *component, const struct addr *from,
                       const struct stun_msg *msg, usec_t now)
{
    const struct media_terms *terms = &component->endpoint->terms;
    struct source *source = agent_source(component, from);

    if (!source || source->state == SOURCE_ANSWERED ||
        memcmp(source->txid, msg->txid, STUN_TXID_LEN) != 0 ||
        !stun_check_integrity(msg, terms->theirs.pwd, strlen(terms->theirs.pwd))) {
        counter_add(component->endpoint->counters, COUNTER_ECHO_REFUSED, 1);
        return;
    }
    source->state = SOURCE_ANSWERED;
    source->next_check = USEC_NEVER;
    if (source->nominated || component->selected < 0)
        select_source(component, source, now);
}

void agent_recv(struct component *component, const struct addr *from, const uint8_t *data,
                size_t len, usec_t now)
{
    struct stun_msg msg;

    if (!component->endpoint->terms.ice || stun_decode(data, len, &msg) < 0 ||
        msg.method != STUN_BINDING)
        return;
    if (msg.class == STUN_REQUEST)
        on_request(component, from, &msg, now);
    else if (msg.class == STUN_SUCCESS)
        on_success(component, from, &msg, now);
}
