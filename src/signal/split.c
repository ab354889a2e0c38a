// SPDX-License-Identifier: ISC
// Some clients read only the first content, or only the first candidate, of a stanza, or none of
// the candidates that come with the offer (docs/INTEROP.md): what they would overlook is sent to
// them in IQs of its own, one content and one candidate each, which every client understands.
#include "internal.h"

#include <string.h>

static int copy_attribute(struct xml *to, const struct xml *from, const char *name)
{
    const char *value = xml_attr(from, name);

    return value ? xml_set(to, name, value) : 0;
}

// An empty transport-info for one content of 'jingle'; returns its transport element.
static struct xml *info_new(const struct session *session, enum side to, const struct xml *jingle,
                            const struct xml *content, struct xml **ret_iq)
{
    const struct xml *original = jingle_transport(content);
    struct xml *iq = xml_new("iq", NS_CLIENT), *j, *c, *t;

    j = iq ? xml_add(iq, "jingle", NS_JINGLE) : NULL;
    c = j ? xml_add(j, "content", NULL) : NULL;
    t = c ? xml_add(c, "transport", original->ns) : NULL;
    if (!t || xml_set(iq, "type", "set") || xml_set(iq, "from", session->party[other(to)].proxy) ||
        xml_set(iq, "to", session->party[to].jid) || xml_set(j, "action", "transport-info") ||
        copy_attribute(j, jingle, "sid") || copy_attribute(j, jingle, "initiator") ||
        copy_attribute(j, jingle, "responder") || copy_attribute(c, content, "creator") ||
        copy_attribute(c, content, "name") || copy_attribute(t, original, "ufrag") ||
        copy_attribute(t, original, "pwd")) {
        xml_free(iq);
        return NULL;
    }
    *ret_iq = iq;
    return t;
}

static void send_candidate(struct session *session, enum side to, const struct xml *jingle,
                           const struct xml *content, struct xml *candidate, usec_t now)
{
    struct xml *iq, *transport = info_new(session, to, jingle, content, &iq);

    if (!transport) {
        xml_free(candidate);
        return;
    }
    xml_append(transport, candidate);
    (void)iq_ask(session->signal, iq, PENDING_OWN, NULL, now);
}

static void move_candidates(struct session *session, enum side to, const struct xml *jingle,
                            const struct xml *content, unsigned keep, usec_t now)
{
    struct xml *transport = jingle_transport(content);
    struct xml *c = transport ? xml_child(transport, "candidate", NULL) : NULL, *next;

    for (; c; c = next) {
        next = xml_next(c, "candidate", NULL);
        if (keep > 0) {
            keep--;
            continue;
        }
        xml_detach(c);
        send_candidate(session, to, jingle, content, c, now);
    }
}

void split_info(struct session *session, enum side to, struct xml *iq, unsigned dialect, usec_t now)
{
    struct xml *jingle = xml_child(iq, "jingle", NS_JINGLE);
    struct xml *content = xml_child(jingle, "content", NULL), *next;

    if (!content)
        return;
    if (dialect & DIALECT_ONE_CANDIDATE)
        move_candidates(session, to, jingle, content, 1, now);
    for (content = xml_next(content, "content", NULL); content; content = next) {
        next = xml_next(content, "content", NULL);
        if (!(dialect & (DIALECT_ONE_CANDIDATE | DIALECT_ONE_CONTENT)))
            continue;
        move_candidates(session, to, jingle, content, 0, now);
        xml_free(content);
    }
}

void repeat_candidates(struct session *session, enum side to, const struct xml *iq, usec_t now)
{
    const struct xml *jingle = xml_child(iq, "jingle", NS_JINGLE);
    struct xml *content = xml_child(jingle, "content", NULL);

    for (; content; content = xml_next(content, "content", NULL)) {
        struct xml *transport = jingle_transport(content);
        struct xml *c = transport ? xml_child(transport, "candidate", NULL) : NULL;

        for (; c; c = xml_next(c, "candidate", NULL)) {
            struct xml *copy = xml_clone(c);

            if (copy)
                send_candidate(session, to, jingle, content, copy, now);
        }
    }
}
