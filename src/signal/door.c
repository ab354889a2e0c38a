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

// OMEMO devices are known by bare JID (clients check them against the JID they see): an offer to
// verify the call with them cannot be kept through a JID that stands for another.
static void strip_devices(struct xml *message)
{
    struct xml *jmi = xml_child(message, NULL, NS_JMI), *device;

    while (jmi && (device = xml_child(jmi, "device", NULL)))
        xml_free(device);
}

// Every proposal takes a turn, repeated ones too.
static struct proposal *propose(struct signal *signal, const struct xml *message, const char *id,
                                const char *to, usec_t now)
{
    const char *from = xml_attr(message, "from");
    struct proposal *proposal = proposal_find(signal, id, from, to);
    enum call_refusal refusal;
    char user[JID_MAX];
    struct jid jid;

    if (!served(signal, from) || jid_parse(from, &jid) < 0 || jid.local_len == 0) {
        reply_error_text(signal, message, &condition_forbidden,
                         "calls may be opened by users of the served domains only");
        return NULL;
    }
    snprintf(user, sizeof user, "%.*s", (int)jid.bare_len, from);
    refusal = calls_take_turn(&signal->calls, user, now);
    if (refusal != CALL_ADMITTED) {
        log_refusal("call proposal", user, refusal);
        reply_error_text(signal, message, &condition_constraint, call_refusal_text(refusal));
        return NULL;
    }
    if (!proposal)
        proposal = proposal_new(signal, id, from, to, now);
    if (!proposal)
        reply_error(signal, message, &condition_constraint);
    return proposal;
}

static void pass_message(struct signal *signal, const struct xml *message)
{
    struct xml *copy = readdress(signal, message);

    if (copy)
        strip_devices(copy);
    stanza_send(signal, copy);
}

void door_message(struct signal *signal, const struct xml *message, usec_t now)
{
    const char *from = xml_attr(message, "from"), *type = xml_attr(message, "type");
    bool error = type && strcmp(type, "error") == 0;
    struct xml *jmi = xml_child(message, NULL, NS_JMI);
    const char *id = jmi ? xml_attr(jmi, "id") : NULL;
    struct proposal *proposal;
    char to[JID_MAX];

    if (!id || real_jid(signal, xml_attr(message, "to"), to) < 0) {
        if (xml_child(message, "body", NULL))
            reply_error_text(signal, message, &condition_unavailable,
                             "this address takes calls only");
        return;
    }
    if (xml_is(jmi, "propose", NS_JMI) && !error)
        proposal = propose(signal, message, id, to, now);
    else
        proposal = proposal_find(signal, id, from, to);
    if (!proposal)
        return;
    proposal_touch(signal, proposal, now);
    pass_message(signal, message);
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

static int make_bare(struct xml *stanza, const char *attribute)
{
    const char *text = xml_attr(stanza, attribute);
    char bare[JID_MAX];
    struct jid jid;

    if (jid_parse(text, &jid) < 0)
        return -1;
    snprintf(bare, sizeof bare, "%.*s", (int)jid.bare_len, text);
    return xml_set(stanza, attribute, bare);
}

// RFC 6121 section 3: subscriptions are between bare JIDs.
static void answer_subscription(struct signal *signal, const struct xml *presence, const char *type)
{
    struct xml *reply = reply_new(presence, type);

    if (!reply || make_bare(reply, "from") || make_bare(reply, "to"))
        xml_free(reply);
    else
        stanza_send(signal, reply);
}

// To everybody else of the served domains, the face of an address that takes calls.
void show_face(struct signal *signal, const struct xml *presence, const char *type)
{
    if (strcmp(type, "unsubscribe") == 0) {
        answer_subscription(signal, presence, "unsubscribed");
        return;
    }
    if (strcmp(type, "subscribe") == 0)
        answer_subscription(signal, presence, "subscribed");
    if (strcmp(type, "subscribe") == 0 || strcmp(type, "probe") == 0 || !*type)
        show_presence(signal, presence);
}

void door_presence(struct signal *signal, const struct xml *presence, usec_t now)
{
    const char *from = xml_attr(presence, "from"), *type = xml_attr(presence, "type");
    bool plain = !type || strcmp(type, "unavailable") == 0;
    char to[JID_MAX];

    (void)now;
    if (real_jid(signal, xml_attr(presence, "to"), to) < 0)
        return;
    if (plain && related(signal, from, to))
        stanza_send(signal, readdress(signal, presence));
    else if (served(signal, from))
        show_face(signal, presence, type ? type : "");
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
