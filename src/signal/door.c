// SPDX-License-Identifier: ISC
// The addressed door: bob\40example.org@relay.example.org stands for bob@example.org. Call
// proposals (XEP-0353), presence and disco#info pass between the parties of a proposed or running
// call, and of nothing else; to everybody else such a JID shows the same face whoever is behind it.
#include "internal.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROPOSALS_MAX  65536
#define PROXY_RESOURCE "relay" // of the presence that we show before a call

bool served(const struct signal *signal, const char *jid)
{
    size_t i;

    for (i = 0; i < signal->config.served_count; i++) {
        if (jid_domain_is(jid, signal->config.served[i]))
            return true;
    }
    return false;
}

bool is_ours(const struct signal *signal, const char *jid)
{
    return jid_domain_is(jid, signal->config.domain);
}

int real_jid(const struct signal *signal, const char *jid, char buf[JID_MAX])
{
    if (jid_unwrap(jid, buf, JID_MAX) < 0 || is_ours(signal, buf))
        return -EINVAL; // a JID of ours behind a JID of ours would come back to us for ever
    return 0;
}

int proxy_jid(const struct signal *signal, const char *jid, char buf[JID_MAX])
{
    return jid_wrap(jid, signal->config.domain, buf, JID_MAX) < 0 ? -EINVAL : 0;
}

struct xml *readdress(const struct signal *signal, const struct xml *stanza)
{
    char from[JID_MAX], to[JID_MAX];
    struct xml *copy;

    if (real_jid(signal, xml_attr(stanza, "to"), to) < 0 ||
        proxy_jid(signal, xml_attr(stanza, "from"), from) < 0)
        return NULL;
    copy = xml_clone(stanza);
    if (copy && (xml_set(copy, "from", from) || xml_set(copy, "to", to))) {
        xml_free(copy);
        return NULL;
    }
    return copy;
}

static bool parties(const struct proposal *p, const char *a, const char *b)
{
    return (jid_equal_bare(p->initiator, a) && jid_equal_bare(p->responder, b)) ||
           (jid_equal_bare(p->initiator, b) && jid_equal_bare(p->responder, a));
}

struct proposal *proposal_find(const struct signal *signal, const char *id, const char *a,
                               const char *b)
{
    uint64_t hash = map_hash(&signal->proposals, id, strlen(id));

    for (struct map_node *n = map_first(&signal->proposals, hash); n; n = map_next(n)) {
        struct proposal *p = container_of(n, struct proposal, node);

        if (strcmp(p->id, id) == 0 && parties(p, a, b))
            return p;
    }
    return NULL;
}

// A pair of bare JIDs, in either order, has one hash.
static uint64_t pair_hash(const struct signal *signal, const char *a, const char *b)
{
    struct jid ja, jb;

    if (jid_parse(a, &ja) < 0 || jid_parse(b, &jb) < 0)
        return 0;
    return map_hash(&signal->relations, a, ja.bare_len) ^
           map_hash(&signal->relations, b, jb.bare_len);
}

static struct relation *relation_find(const struct signal *signal, const char *a, const char *b)
{
    struct map_node *n = map_first(&signal->relations, pair_hash(signal, a, b));

    for (; n; n = map_next(n)) {
        struct relation *r = container_of(n, struct relation, node);

        if ((jid_equal_bare(r->a, a) && jid_equal_bare(r->b, b)) ||
            (jid_equal_bare(r->a, b) && jid_equal_bare(r->b, a)))
            return r;
    }
    return NULL;
}

bool related(const struct signal *signal, const char *a, const char *b)
{
    return relation_find(signal, a, b) != NULL;
}

static void relation_free(struct relation *relation)
{
    free(relation->a);
    free(relation->b);
    free(relation);
}

struct relation *relation_take(struct signal *signal, const char *a, const char *b)
{
    struct relation *r = relation_find(signal, a, b);

    if (r) {
        r->users++;
        return r;
    }
    r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->users = 1;
    r->a = strdup(a);
    r->b = strdup(b);
    if (!r->a || !r->b || map_insert(&signal->relations, &r->node, pair_hash(signal, a, b)) < 0) {
        relation_free(r);
        return NULL;
    }
    return r;
}

void relation_release(struct signal *signal, struct relation *relation)
{
    if (!relation || --relation->users > 0)
        return;
    map_remove(&signal->relations, &relation->node);
    relation_free(relation);
}

void proposal_free(struct signal *signal, struct proposal *proposal)
{
    timer_cancel(&signal->timers, &proposal->timer);
    if (proposal->listed) {
        map_remove(&signal->proposals, &proposal->node);
        signal->proposal_count--;
    }
    relation_release(signal, proposal->relation);
    free(proposal->id);
    free(proposal->initiator);
    free(proposal->responder);
    free(proposal);
}

static void proposal_expired(struct timer *timer, void *ctx, usec_t now)
{
    (void)now;
    proposal_free(ctx, container_of(timer, struct proposal, timer));
}

static void proposal_touch(struct signal *signal, struct proposal *proposal, usec_t now)
{
    (void)timer_arm(&signal->timers, &proposal->timer, now + signal->config.proposal_timeout);
}

static struct proposal *proposal_new(struct signal *signal, const char *id, const char *initiator,
                                     const char *responder, usec_t now)
{
    struct proposal *p = signal->proposal_count < PROPOSALS_MAX ? calloc(1, sizeof *p) : NULL;
    struct jid jid;

    if (!p || jid_parse(responder, &jid) < 0)
        goto fail;
    p->timer.fire = proposal_expired;
    p->id = strdup(id);
    p->initiator = strdup(initiator);
    p->responder = strndup(responder, jid.bare_len);
    p->relation = relation_take(signal, initiator, responder);
    if (!p->id || !p->initiator || !p->responder || !p->relation ||
        timer_arm(&signal->timers, &p->timer, now + signal->config.proposal_timeout) ||
        map_insert(&signal->proposals, &p->node, map_hash(&signal->proposals, id, strlen(id))))
        goto fail;
    p->listed = true;
    signal->proposal_count++;
    return p;

fail:
    if (p)
        proposal_free(signal, p);
    return NULL;
}

// OMEMO devices are known by bare JID (clients check them against the JID they see): an offer to
// verify the call with them cannot be kept through a JID that stands for another.
static void strip_devices(struct xml *message)
{
    struct xml *jmi = xml_child(message, NULL, NS_JMI), *device;

    while (jmi && (device = xml_child(jmi, "device", NULL)))
        xml_free(device);
}

static struct proposal *propose(struct signal *signal, const struct xml *message, const char *id,
                                const char *from, const char *to, usec_t now)
{
    struct proposal *proposal;
    enum call_refusal refusal;
    char user[JID_MAX];
    struct jid jid;

    if (!served(signal, from) || jid_parse(from, &jid) < 0) {
        reply_error_text(signal, message, &condition_forbidden,
                         "calls may be opened by users of the served domains only");
        return NULL;
    }
    snprintf(user, sizeof user, "%.*s", (int)jid.bare_len, from);
    refusal = calls_take_turn(&signal->calls, user, now);
    if (refusal != CALL_ADMITTED) {
        log_warning("call proposal of %s refused: %s", user, call_refusal_text(refusal));
        reply_error_text(signal, message, &condition_constraint, call_refusal_text(refusal));
        return NULL;
    }
    proposal = proposal_new(signal, id, from, to, now);
    if (!proposal)
        reply_error(signal, message, &condition_constraint);
    return proposal;
}

void door_message(struct signal *signal, const struct xml *message, usec_t now)
{
    const char *from = xml_attr(message, "from"), *type = xml_attr(message, "type");
    struct xml *jmi = xml_child(message, NULL, NS_JMI), *copy;
    const char *id = jmi ? xml_attr(jmi, "id") : NULL;
    struct proposal *proposal;
    char to[JID_MAX];

    if (!id || real_jid(signal, xml_attr(message, "to"), to) < 0) {
        if (xml_child(message, "body", NULL))
            reply_error_text(signal, message, &condition_unavailable,
                             "this address takes calls only");
        return;
    }
    proposal = proposal_find(signal, id, from, to);
    if (!proposal && xml_is(jmi, "propose", NS_JMI) && !(type && strcmp(type, "error") == 0))
        proposal = propose(signal, message, id, from, to, now);
    if (!proposal)
        return;
    proposal_touch(signal, proposal, now);
    copy = readdress(signal, message);
    if (copy)
        strip_devices(copy);
    stanza_send(signal, copy);
}

static void show_presence(struct signal *signal, const struct xml *presence)
{
    char from[JID_MAX];
    struct jid to;

    if (jid_parse(xml_attr(presence, "to"), &to) < 0)
        return;
    if (snprintf(from, sizeof from, "%.*s/%s", (int)to.bare_len, xml_attr(presence, "to"),
                 PROXY_RESOURCE) < (int)sizeof from)
        stanza_send(signal, proxy_presence(from, xml_attr(presence, "from")));
}

static void grant_subscription(struct signal *signal, const struct xml *presence, const char *type)
{
    struct xml *reply = reply_new(presence, type);
    struct jid to;

    if (reply && jid_parse(xml_attr(reply, "to"), &to) == 0) {
        char bare[JID_MAX];

        snprintf(bare, sizeof bare, "%.*s", (int)to.bare_len, xml_attr(reply, "to"));
        if (xml_set(reply, "to", bare) == 0) {
            stanza_send(signal, reply);
            return;
        }
    }
    xml_free(reply);
}

void door_presence(struct signal *signal, const struct xml *presence, usec_t now)
{
    const char *from = xml_attr(presence, "from"), *type = xml_attr(presence, "type");
    char to[JID_MAX];

    (void)now;
    if (real_jid(signal, xml_attr(presence, "to"), to) < 0 || !served(signal, from))
        return;
    if (!type || strcmp(type, "unavailable") == 0) {
        if (related(signal, from, to))
            stanza_send(signal, readdress(signal, presence));
        else if (!type)
            show_presence(signal, presence);
    } else if (strcmp(type, "subscribe") == 0) {
        grant_subscription(signal, presence, "subscribed");
        show_presence(signal, presence);
    } else if (strcmp(type, "unsubscribe") == 0) {
        grant_subscription(signal, presence, "unsubscribed");
    } else if (strcmp(type, "probe") == 0) {
        show_presence(signal, presence);
    }
}

void door_disco(struct signal *signal, const struct xml *iq, usec_t now)
{
    const char *from = xml_attr(iq, "from");
    struct xml *copy;
    char to[JID_MAX];
    struct jid jid;

    if (real_jid(signal, xml_attr(iq, "to"), to) < 0) {
        reply_error(signal, iq, &condition_not_found);
        return;
    }
    if (jid_parse(to, &jid) < 0 || jid.resource_len == 0 ||
        strcmp(jid.resource, PROXY_RESOURCE) == 0 || !related(signal, from, to)) {
        disco_info(signal, iq, now);
        return;
    }
    copy = readdress(signal, iq);
    if (!copy || !iq_ask(signal, copy, PENDING_FORWARDED, iq, now))
        reply_error(signal, iq, &condition_constraint);
}
