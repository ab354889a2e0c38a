// SPDX-License-Identifier: ISC
// Namespace delegation (XEP-0355), as the managing entity: a server hands on what its users ask of
// it, or of their own bare JIDs, and passes our answer to them in its own name. Two versions of the
// namespace are in the field (ejabberd 23.01 speaks 1, Prosody's module 2); an answer has that of
// its question.
//
// Whoever is believed here could have credentials made in any user's name. So a question counts
// only in an envelope from the very domain that is served, about a user of this same domain.
#include "services.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>

bool is_server(const struct signal *signal, const char *jid)
{
    struct jid parts;

    return jid_parse(jid, &parts) == 0 && parts.local_len == 0 && parts.resource_len == 0 &&
           served(signal, jid);
}

static const struct xml *envelope_of(const struct xml *stanza)
{
    const struct xml *x = xml_child(stanza, "delegation", NS_DELEGATION_2);

    return x ? x : xml_child(stanza, "delegation", NS_DELEGATION_1);
}

// ---- what the server says, and asks, when it delegates

void delegation_message(struct signal *signal, const struct xml *message)
{
    const char *from = xml_attr(message, "from");
    const struct xml *x = envelope_of(message);

    if (!x || !is_server(signal, from))
        return;
    for (x = xml_child(x, "delegated", NULL); x; x = xml_next(x, "delegated", NULL)) {
        const char *ns = xml_attr(x, "namespace");

        if (ns && service_namespace(signal, ns)) {
            counter_add(signal->counters, COUNTER_DELEGATIONS, 1);
            log_info("%s delegates %s to us", from, ns);
        } else {
            log_warning("%s delegates %s to us, which is not answered here", from, ns ? ns : "");
        }
    }
}

// Section 7.2: nodes that tell which features go with a namespace, of the server and of its users.
static const char *node_namespace(const char *node)
{
    static const char *const prefixes[] = {NS_DELEGATION_2 "::", NS_DELEGATION_2 ":bare:",
                                           NS_DELEGATION_1 "::", NS_DELEGATION_1 ":bare:"};

    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (strncmp(node, prefixes[i], strlen(prefixes[i])) == 0)
            return node + strlen(prefixes[i]);
    }
    return NULL;
}

// No identity is told: the server would take it for one of its own.
struct xml *delegation_disco(struct signal *signal, const struct xml *iq, const char *node)
{
    const char *ns = node_namespace(node);
    struct xml *reply, *query, *feature;

    if (!ns || !service_namespace(signal, ns))
        return error_new(signal, iq, &condition_not_found, NULL);
    reply = reply_new(iq, "result");
    query = reply ? xml_add(reply, "query", NS_DISCO_INFO) : NULL;
    feature = query ? xml_add(query, "feature", NULL) : NULL;
    if (!feature || xml_set(query, "node", node) || xml_set(feature, "var", ns)) {
        xml_free(reply);
        return NULL;
    }
    return reply;
}

// ---- what it hands on

// A user of this server asks it, or his own account (RFC 6120 section 8.1.1.1: no 'to' is the
// same).
static bool asks_for_himself(const struct xml *iq, const char *server)
{
    const char *from = xml_attr(iq, "from"), *to = xml_attr(iq, "to");
    struct jid jid;

    return !to || (jid_parse(to, &jid) == 0 && jid.resource_len == 0 &&
                   (jid.local_len == 0 ? jid_domain_is(to, server) : jid_equal_bare(from, to)));
}

static struct xml *answer(struct signal *signal, const struct xml *iq, const char *server,
                          usec_t now)
{
    struct service_query query = {.now = now, .door = COUNTER_CREDENTIALS_DELEGATED};
    const char *type = xml_attr(iq, "type"), *from = xml_attr(iq, "from");

    if (!jid_domain_is(from, server)) {
        counter_add(signal->counters, COUNTER_CREDENTIALS_STRANGER, 1);
        return error_new(signal, iq, &condition_forbidden, NULL);
    }
    if (!type || strcmp(type, "get") != 0 || !asks_for_himself(iq, server))
        return error_new(signal, iq, &condition_unavailable, NULL);
    return service_answer(signal, iq, &query);
}

// RFC 6120 section 8.1.2.1: what the server says for an account comes from its bare JID. Some
// clients take jingleinfo from nobody else.
static int set_sender(struct xml *reply, const struct xml *iq)
{
    const char *from = xml_attr(iq, "from");
    char bare[JID_MAX];
    struct jid jid;

    if (xml_attr(iq, "to") || jid_parse(from, &jid) < 0)
        return 0;
    snprintf(bare, sizeof bare, "%.*s", (int)jid.bare_len, from);
    return xml_set(reply, "from", bare);
}

// An error goes in an envelope as well, and that is a result: ejabberd passes an outer error to the
// client under an id that the client does not know.
static struct xml *wrap(const struct xml *iq, const char *ns, struct xml *reply)
{
    struct xml *outer = reply_new(iq, "result");
    struct xml *delegation = outer ? xml_add(outer, "delegation", ns) : NULL;
    struct xml *forwarded = delegation ? xml_add(delegation, "forwarded", NS_FORWARD) : NULL;

    if (!forwarded) {
        xml_free(outer);
        xml_free(reply);
        return NULL;
    }
    xml_append(forwarded, reply);
    return outer;
}

void delegation_iq(struct signal *signal, const struct xml *iq, usec_t now)
{
    const char *from = xml_attr(iq, "from");
    const struct xml *envelope = envelope_of(iq);
    const struct xml *forwarded = xml_child(envelope, "forwarded", NS_FORWARD);
    const struct xml *inner = forwarded ? xml_child(forwarded, "iq", NS_CLIENT) : NULL;
    struct xml *reply;
    struct jid jid;

    if (!is_server(signal, from)) {
        counter_add(signal->counters, COUNTER_CREDENTIALS_UNTRUSTED, 1);
        reply_error(signal, iq, &condition_forbidden);
        return;
    }
    if (!inner || jid_parse(xml_attr(inner, "from"), &jid) < 0 || !xml_attr(inner, "id")) {
        reply_error(signal, iq, &condition_bad_request);
        return;
    }
    reply = answer(signal, inner, from, now);
    if (!reply || set_sender(reply, inner) < 0) {
        xml_free(reply);
        reply_error(signal, iq, &condition_constraint);
        return;
    }
    stanza_send(signal, wrap(iq, envelope->ns, reply));
}
