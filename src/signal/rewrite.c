// SPDX-License-Identifier: ISC
// The rewriter: what a Jingle stanza becomes on its way through the addressed door. JIDs change
// sides, the relay's candidates are added (or take the place of the peers' own), a few missing
// attributes are completed; everything else stays as it was sent.
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Seen by the receiver: what names a real JID becomes one of ours, what names one of ours becomes
// real.
static void rewrite_jid(const struct signal *signal, struct xml *jingle, const char *attribute)
{
    const char *jid = xml_attr(jingle, attribute);
    char buf[JID_MAX];

    if (!jid)
        return;
    if ((is_ours(signal, jid) ? real_jid(signal, jid, buf) : proxy_jid(signal, jid, buf)) == 0)
        (void)xml_set(jingle, attribute, buf);
}

void rewrite_jids(const struct signal *signal, struct xml *jingle)
{
    rewrite_jid(signal, jingle, "initiator");
    rewrite_jid(signal, jingle, "responder");
}

static void remove_children(struct xml *x, const char *name)
{
    struct xml *child;

    while ((child = xml_child(x, name, NULL)))
        xml_free(child);
}

static void keep_only(struct xml *x, const char *name)
{
    struct xml *child = xml_child(x, NULL, NULL), *next;

    for (; child; child = next) {
        next = xml_next(child, NULL, NULL);
        if (strcmp(child->name, name) != 0)
            xml_free(child);
    }
}

// Type preference 0, below every candidate of a client, relayed ones too (RFC 8445 section
// 5.1.2.1); IPv6 just before IPv4. No two are equal.
static uint32_t candidate_priority(enum family family, unsigned component)
{
    return (family == FAMILY_V6 ? 1u << 8 : 0u) + (256 - component);
}

static int offer_path(const struct media_path *path, enum side to, unsigned generation,
                      struct xml *element)
{
    for (int i = 1; i >= 0; i--) {
        const struct addr *addr = &path->relay[to][i];
        struct jingle_candidate candidate = {
            .component = path->component,
            .generation = generation,
            // One per type, base and server (RFC 8445 section 5.1.1.3): ours differ by family only.
            .foundation = i == 0 ? 2830004U : 2830006U,
            .addr = *addr,
            .priority = candidate_priority((enum family)addr->family, path->component),
            .type = "relay",
        };

        if (addr->family == FAMILY_NONE)
            continue;
        snprintf(candidate.id, sizeof candidate.id, "relay%" PRIx64 "-%u%c%u", path->id & 0xffffff,
                 path->component, i == 0 ? 'a' : 'b', generation);
        if (jingle_add_candidate(element, &candidate) < 0)
            return -1;
    }
    return 0;
}

// Our candidates go with the peer's credentials: into the first stanza that carries those.
static int offer_candidates(struct transport *transport, enum side to, struct xml *element)
{
    const struct credentials *creds = &transport->creds[other(to)];
    const char *ufrag = xml_attr(element, "ufrag");

    if (!creds->ufrag || !ufrag || strcmp(creds->ufrag, ufrag) != 0)
        return 0;
    if (!xml_attr(element, "pwd") && xml_set(element, "pwd", creds->pwd) < 0)
        return -1;
    if (transport->offered[to] == creds->generation + 1)
        return 0;
    for (int i = 0; i < 2; i++) {
        const struct media_path *path = transport->path[i];

        if (path && path->opened && offer_path(path, to, creds->generation, element) < 0)
            return -1;
    }
    transport->offered[to] = creds->generation + 1;
    return 0;
}

static int rewrite_ice(struct session *session, struct transport *transport, enum side to,
                       struct xml *element)
{
    unsigned generation = transport->creds[other(to)].generation;
    struct xml *c;

    if (session->signal->config.policy == POLICY_RELAY_ONLY) {
        remove_children(element, "candidate");
        remove_children(element, "remote-candidate");
    }
    for (c = xml_child(element, "candidate", NULL); c; c = xml_next(c, "candidate", NULL)) {
        if (jingle_complete_candidate(c, generation) < 0)
            return -1;
    }
    if (session->party[to].dialect & DIALECT_PLAIN_TRANSPORT)
        keep_only(element, "candidate");
    return offer_candidates(transport, to, element);
}

// XEP-0177 has one candidate per component and no checks: ours takes the place of the client's.
static int rewrite_raw(struct transport *transport, enum side to, struct xml *element)
{
    struct xml *c = xml_child(element, "candidate", NULL), *next;

    for (; c; c = next) {
        unsigned component = jingle_candidate_component(c);
        const struct media_path *path =
            component == 1 || component == 2 ? transport->path[component - 1] : NULL;
        const struct addr *addr = path ? &path->relay[to][0] : NULL;
        char ip[ADDR_TEXT_MAX];

        next = xml_next(c, "candidate", NULL);
        if (addr && addr->family == FAMILY_NONE)
            addr = &path->relay[to][1];
        if (!addr || addr->family == FAMILY_NONE) {
            xml_free(c);
            continue;
        }
        if (xml_set(c, "ip", addr_format_ip(addr, ip)) || xml_setf(c, "port", "%u", addr->port) ||
            xml_set(c, "rel-addr", NULL) || xml_set(c, "rel-port", NULL))
            return -1;
    }
    return 0;
}

static int rewrite_content(struct session *session, enum side to, struct xml *element)
{
    struct content *content = content_find(session, element);
    struct xml *transport = jingle_transport(element);
    struct xml *description = xml_child(element, "description", NULL);
    struct transport *t;

    if (description && session->party[to].dialect & DIALECT_PLAIN_DESCRIPTION)
        keep_only(description, "payload-type");
    if (!content)
        return 0;
    // Asterisk says that the responder made what the initiator made.
    if (xml_attr(element, "creator") &&
        xml_set(element, "creator", content->creator == SIDE_INITIATOR ? "initiator" : "responder"))
        return -1;
    t = transport ? content_transport(content, transport) : NULL;
    if (!t || strcmp(t->ns, transport->ns) != 0)
        return 0;
    if (t->kind == TRANSPORT_ICE)
        return rewrite_ice(session, t, to, transport);
    return t->kind == TRANSPORT_RAW ? rewrite_raw(t, to, transport) : 0;
}

// A transport-info whose candidates were all taken out tells nothing, unless it restarts ICE or
// ends the gathering.
static bool tells_nothing(const struct xml *jingle, const struct xml *original)
{
    struct xml *x = xml_child(jingle, "content", NULL);

    if (jingle_count_candidates(original) == 0)
        return false;
    for (; x; x = xml_next(x, "content", NULL)) {
        struct xml *transport = jingle_transport(x);

        if (transport && xml_child(transport, NULL, NULL))
            return false;
    }
    return true;
}

struct xml *rewrite(struct session *session, enum side from, enum jingle_action action,
                    const struct xml *iq, bool *ret_empty)
{
    const struct party *to = &session->party[other(from)];
    struct xml *copy = xml_clone(iq), *jingle, *x;

    if (!copy)
        return NULL;
    jingle = xml_child(copy, "jingle", NS_JINGLE);
    if (xml_set(copy, "from", session->party[from].proxy) || xml_set(copy, "to", to->jid))
        goto fail;
    rewrite_jids(session->signal, jingle);
    for (x = xml_child(jingle, "content", NULL); x; x = xml_next(x, "content", NULL)) {
        if (rewrite_content(session, other(from), x) < 0)
            goto fail;
    }
    *ret_empty = action == JINGLE_TRANSPORT_INFO &&
                 session->signal->config.policy == POLICY_RELAY_ONLY &&
                 tells_nothing(jingle, xml_child(iq, "jingle", NS_JINGLE));
    return copy;

fail:
    xml_free(copy);
    return NULL;
}
