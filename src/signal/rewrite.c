// SPDX-License-Identifier: ISC
// The rewriter: what a Jingle stanza becomes on its way. Through the addressed door JIDs change
// sides; the relay's candidates are added (or take the place of the peers' own), a few missing
// attributes are completed; everything else stays as it was sent.
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- JIDs

// Seen by the receiver: what names a real JID becomes one of ours, what names one of ours becomes
// real.
static int rewrite_jid(const struct signal *signal, struct xml *jingle, const char *attribute)
{
    const char *jid = xml_attr(jingle, attribute);
    char buf[JID_MAX];

    if (!jid || (is_ours(signal, jid) ? real_jid(signal, jid, buf) : proxy_jid(signal, jid, buf)))
        return 0;
    return xml_set(jingle, attribute, buf);
}

static int rewrite_jids(const struct signal *signal, struct xml *jingle)
{
    int r = rewrite_jid(signal, jingle, "initiator");

    return r ? r : rewrite_jid(signal, jingle, "responder");
}

// Some write the bare JID: the leg's is always the full one.
static int name_party(const struct session *session, enum side to, struct xml *jingle,
                      const char *attribute, enum side named)
{
    const struct party *party = &session->party[named];
    const char *jid = xml_attr(jingle, attribute);

    if (!jid || (!jid_equal_bare(jid, party->jid) && !jid_equal_bare(jid, party->proxy)))
        return 0;
    return xml_set(jingle, attribute, named == to ? party->jid : party->proxy);
}

// Old clients send a second dialect in the same IQ; it names the same parties.
static int readdress_parties(const struct session *session, enum side from, struct xml *iq)
{
    enum side to = other(from);
    struct xml *x = xml_child(iq, NULL, NULL);
    int r = 0;

    if (xml_set(iq, "from", session->party[from].proxy) ||
        xml_set(iq, "to", session->party[to].jid))
        return -1;

    for (; x && r == 0; x = xml_next(x, NULL, NULL)) {
        r = rewrite_jids(session->signal, x);
        r = r ? r : name_party(session, to, x, "initiator", SIDE_INITIATOR);
        r = r ? r : name_party(session, to, x, "responder", SIDE_RESPONDER);
    }
    return r;
}

// ---- hiding addresses

// But for the candidates of raw UDP: they are not taken out, ours take their place.
static bool is_replaced(const struct xml *x)
{
    return x->parent && strcmp(x->parent->name, "content") == 0 &&
           jingle_transport(x->parent) == x && jingle_transport_kind(x) == TRANSPORT_RAW;
}

// What is diverted a second time brings our candidates with it.
static bool is_own(const struct session *session, enum side to, const struct xml *candidate)
{
    struct addr addr;

    return session->diverted && jingle_candidate_addr(candidate, &addr) == 0 &&
           contents_own(session, to, &addr);
}

static void hide_addresses(const struct session *session, enum side to, struct xml *x)
{
    struct xml *child = xml_child(x, NULL, NULL), *next;

    for (; child; child = next) {
        next = xml_next(child, NULL, NULL);
        if (is_own(session, to, child))
            continue;
        if (jingle_tells_address(child))
            xml_free(child);
        else if (!is_replaced(child))
            hide_addresses(session, to, child);
    }
}

// Does the session in a second payload speak of the same transport?
static bool is_twin(const struct xml *x, const struct xml *jingle)
{
    const struct xml *content = jingle ? xml_child(jingle, "content", NULL) : NULL;

    return xml_is(x, "session", NS_GOOGLE_SESSION) &&
           (!jingle ||
            (content && jingle_transport_kind(jingle_transport(content)) == TRANSPORT_GOOGLE));
}

// relay-only: neither side learns the other's address, wherever a client may have written it.
static void hide(const struct session *session, enum side to, struct xml *iq)
{
    struct xml *jingle = jingle_element(iq);
    struct xml *x = xml_child(iq, NULL, NULL), *next;

    for (; x; x = next) {
        next = xml_next(x, NULL, NULL);
        if (x == jingle || is_twin(x, jingle))
            hide_addresses(session, to, x);
        else
            xml_free(x);
    }
}

// ---- ICE

static void keep_only(struct xml *x, const char *name)
{
    struct xml *child = xml_child(x, NULL, NULL), *next;

    for (; child; child = next) {
        next = xml_next(child, NULL, NULL);
        if (strcmp(child->name, name) != 0)
            xml_free(child);
    }
}

// Below every candidate of a client, relayed ones with a local preference of 0 included (RFC 8445
// section 5.1.2.1 gives those at least 254). IPv6 before IPv4, and no two alike.
static uint32_t candidate_priority(enum family family, unsigned component)
{
    return (family == FAMILY_V6 ? 2 : 0) + (3 - component);
}

// A stanza that is diverted a second time brings our candidates with it. Components may have one
// address.
static bool has_candidate(const struct xml *element, const struct addr *addr, unsigned component)
{
    const struct xml *c = xml_child(element, "candidate", NULL);
    struct addr other_addr;

    for (; c; c = xml_next(c, "candidate", NULL)) {
        if (jingle_candidate_addr(c, &other_addr) == 0 && addr_equal(&other_addr, addr) &&
            jingle_candidate_component(c) == component)
            return true;
    }
    return false;
}

static int offer_path(const struct media_path *path, enum side to, unsigned generation,
                      struct xml *element)
{
    for (int i = 0; i < 2; i++) {
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

        if (addr->family == FAMILY_NONE || has_candidate(element, addr, path->component))
            continue;
        // Calls have random numbers: another relay in the same call has other ids.
        snprintf(candidate.id, sizeof candidate.id, "relay%" PRIx32 "-%u%c%u",
                 (uint32_t)(path->call + path->id), path->component, i == 0 ? 'a' : 'b',
                 generation);
        if (jingle_add_candidate(element, &candidate) < 0)
            return -1;
    }
    return 0;
}

// A client's first generation is not always 0.
static unsigned generation_of(const struct xml *element, unsigned fallback)
{
    const struct xml *c = element ? xml_child(element, "candidate", NULL) : NULL;
    const char *text = c ? xml_attr(c, "generation") : NULL;
    char *end;
    unsigned long n = text ? strtoul(text, &end, 10) : 0;

    return text && *text && !*end && n < 1000 ? (unsigned)n : fallback;
}

// Our candidates go with the peer's credentials: into the first stanza that carries those.
static int offer_candidates(struct transport *transport, enum side to, unsigned generation,
                            struct xml *element)
{
    const struct credentials *creds = &transport->creds[other(to)];
    const char *ufrag = xml_attr(element, "ufrag");

    if (!creds->ufrag || !ufrag || strcmp(creds->ufrag, ufrag) != 0)
        return 0;
    if (transport->offered[to] == creds->generation + 1)
        return 0;
    for (int i = 0; i < 2; i++) {
        const struct media_path *path = transport->path[i];

        if (path && path->opened && offer_path(path, to, generation, element) < 0)
            return -1;
    }
    transport->offered[to] = creds->generation + 1;
    return 0;
}

// XEP-0176 section 5.3: "attributes MUST be included whenever sending one or more candidates".
static int complete_credentials(const struct credentials *creds, struct xml *element)
{
    const char *ufrag = xml_attr(element, "ufrag"), *pwd = xml_attr(element, "pwd");

    if (!creds->ufrag || (ufrag && (pwd || strcmp(ufrag, creds->ufrag) != 0)) ||
        (!ufrag && !xml_child(element, "candidate", NULL)))
        return 0;
    return xml_set(element, "ufrag", creds->ufrag) || xml_set(element, "pwd", creds->pwd) ? -1 : 0;
}

// The initiator tells which of the other's candidates it uses (XEP-0176 section 5.7); the other
// has never heard of ours.
static void drop_own_remote(const struct transport *transport, enum side from, struct xml *element)
{
    struct xml *c = xml_child(element, "remote-candidate", NULL), *next;
    struct addr addr;

    for (; c; c = next) {
        next = xml_next(c, "remote-candidate", NULL);
        if (jingle_candidate_addr(c, &addr) == 0 && transport_owns(transport, from, &addr))
            xml_free(c);
    }
}

// For clients that know of no restart, and of no generation but the first; others begin at 1.
static int reset_generations(struct xml *element)
{
    struct xml *c = xml_child(element, "candidate", NULL);

    while (c && xml_set(c, "generation", "0") == 0)
        c = xml_next(c, "candidate", NULL);
    return c ? -1 : 0;
}

static int rewrite_ice(struct session *session, struct transport *transport, enum side to,
                       unsigned generation, struct xml *element)
{
    const struct credentials *creds = &transport->creds[other(to)];
    struct xml *c;

    drop_own_remote(transport, other(to), element);
    for (c = xml_child(element, "candidate", NULL); c; c = xml_next(c, "candidate", NULL)) {
        if (jingle_complete_candidate(c, creds->generation) < 0)
            return -1;
    }
    if (complete_credentials(creds, element) < 0 ||
        offer_candidates(transport, to, generation, element) < 0)
        return -1;
    if (session->party[to].dialect & DIALECT_GENERATION_0 && reset_generations(element) < 0)
        return -1;
    if (session->party[to].dialect & DIALECT_PLAIN_TRANSPORT)
        keep_only(element, "candidate");
    return 0;
}

// ---- raw UDP

// Of the relay's two addresses, the one of the family that this side has shown to have.
static const struct addr *raw_address(const struct transport *transport, enum side to,
                                      unsigned component)
{
    const struct media_path *path =
        component == 1 || component == 2 ? transport->path[component - 1] : NULL;
    bool v6 = transport->peer[to][0].family == FAMILY_V6;

    if (!path)
        return NULL;
    if (path->relay[to][v6].family != FAMILY_NONE)
        return &path->relay[to][v6];
    return path->relay[to][!v6].family != FAMILY_NONE ? &path->relay[to][!v6] : NULL;
}

// XEP-0177 has one candidate per component and no checks: ours takes the place of the client's.
static int rewrite_raw(struct transport *transport, enum side to, struct xml *element)
{
    struct xml *c = xml_child(element, "candidate", NULL), *next;

    for (; c; c = next) {
        const struct addr *addr = raw_address(transport, to, jingle_candidate_component(c));
        char ip[ADDR_TEXT_MAX];

        next = xml_next(c, "candidate", NULL);
        if (!addr) {
            xml_free(c);
            continue;
        }
        if (xml_set(c, "ip", addr_format_ip(addr, ip)) || xml_setf(c, "port", "%u", addr->port) ||
            xml_set(c, "rel-addr", NULL) || xml_set(c, "rel-port", NULL))
            return -1;
    }
    return 0;
}

// ---- contents

// A transport that is not the content's, or of a kind that is not ours to change.
static int leave_transport(const struct session *session, enum side to, struct xml *transport)
{
    if (transport && session->signal->config.policy == POLICY_RELAY_ONLY)
        hide_addresses(session, to, transport);
    return 0;
}

static int rewrite_transport(struct session *session, struct transport *t, enum side to,
                             const struct xml *original, struct xml *transport)
{
    const struct credentials *creds = t ? &t->creds[other(to)] : NULL;

    if (!t || strcmp(t->ns, transport->ns) != 0)
        return leave_transport(session, to, transport);
    if (t->kind == TRANSPORT_ICE)
        return rewrite_ice(session, t, to, generation_of(original, creds->generation), transport);
    if (t->kind == TRANSPORT_RAW)
        return rewrite_raw(t, to, transport);
    if (t->kind == TRANSPORT_GOOGLE)
        return original ? google_offer(t, to, original, transport) : 0;
    return leave_transport(session, to, transport);
}

static int rewrite_content(struct session *session, enum side to, enum jingle_action action,
                           const struct xml *original, struct xml *element)
{
    struct content *content = content_find(session, element);
    struct xml *transport = jingle_transport(element);
    struct xml *description = xml_child(element, "description", NULL);
    struct transport *t;

    if (description && session->party[to].dialect & DIALECT_PLAIN_DESCRIPTION)
        keep_only(description, "payload-type");
    // Asterisk says that the responder made what the initiator made; some leave it out.
    if (content &&
        xml_set(element, "creator", content->creator == SIDE_INITIATOR ? "initiator" : "responder"))
        return -1;
    if (!content || !transport)
        return leave_transport(session, to, transport);
    t = content_transport(content, action, transport);
    // Of these a session has one each: when one is diverted again, the first answer may be lost.
    if (session->diverted && action != JINGLE_TRANSPORT_INFO)
        t->offered[to] = 0;
    return rewrite_transport(session, t, to, jingle_transport(original), transport);
}

// Is there anything but an empty transport? New credentials never stand alone: our candidates are
// with them.
static bool content_tells_nothing(const struct xml *element)
{
    const struct xml *transport = jingle_transport(element);

    return transport && !xml_child(transport, NULL, NULL) &&
           xml_child(element, NULL, NULL) == transport && !xml_next(transport, NULL, NULL);
}

// A transport-info whose candidates were all taken out.
static bool tells_nothing(const struct xml *jingle, const struct xml *original)
{
    struct xml *x = xml_child(jingle, "content", NULL);

    if (jingle_count_candidates(original) == 0)
        return false; // it was never about candidates
    while (x && content_tells_nothing(x))
        x = xml_next(x, "content", NULL);
    return !x;
}

static int rewrite_contents(struct session *session, enum side to, enum jingle_action action,
                            const struct xml *original, struct xml *jingle)
{
    struct xml *x = xml_child(jingle, "content", NULL), *o = xml_child(original, "content", NULL);
    int r = 0;

    for (; x && o && r == 0; x = xml_next(x, "content", NULL), o = xml_next(o, "content", NULL))
        r = rewrite_content(session, to, action, o, x);
    return r;
}

struct xml *rewrite(struct session *session, enum side from, enum jingle_action action,
                    const struct xml *iq, bool *ret_empty)
{
    bool hides = session->signal->config.policy == POLICY_RELAY_ONLY;
    const struct xml *original = jingle_element(iq);
    struct xml *copy = xml_clone(iq), *jingle;

    if (!copy)
        return NULL;
    jingle = jingle_element(copy);
    if (hides)
        hide(session, other(from), copy);
    if ((!session->diverted && readdress_parties(session, from, copy) < 0) ||
        rewrite_contents(session, other(from), action, original, jingle) < 0) {
        xml_free(copy);
        return NULL;
    }
    *ret_empty = hides && action == JINGLE_TRANSPORT_INFO && tells_nothing(jingle, original);
    return copy;
}

struct xml *rewrite_rest(const struct session *session, enum side from, const struct xml *iq)
{
    struct xml *copy = xml_clone(iq);

    if (copy && session->signal->config.policy == POLICY_RELAY_ONLY)
        hide(session, other(from), copy);
    return copy;
}

int rewrite_answer(const struct signal *signal, struct xml *answer)
{
    struct xml *jingle = jingle_element(answer);

    if (!jingle)
        return 0;
    // An error may quote what it answers; whoever hides addresses quotes nothing.
    if (signal->config.policy == POLICY_RELAY_ONLY) {
        xml_free(jingle);
        return 0;
    }
    return rewrite_jids(signal, jingle);
}
