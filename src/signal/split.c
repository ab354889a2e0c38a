// SPDX-License-Identifier: ISC
// Some clients read only the first content, or only the first candidate, of a stanza, or none of
// the candidates that come with the offer (docs/INTEROP.md): what they would overlook is sent to
// them in IQs of its own, one content and one candidate each, which every client understands.
#include "internal.h"

#include <errno.h>
#include <string.h>

// The element and its attributes, without what is in it, at the end of 'parent' (NULL: alone).
static struct xml *shell(const struct xml *x, struct xml *parent)
{
    struct xml *copy = xml_new(x->name, x->ns);

    for (const struct xml_attr *a = x->attrs; copy && a; a = a->next) {
        if (xml_set_ns(copy, a->ns, a->name, a->value)) {
            xml_free(copy);
            return NULL;
        }
    }
    if (copy && parent)
        xml_append(parent, copy);
    return copy;
}

// An IQ like 'iq' whose jingle element, a transport-info, is empty; below 'rest'. Returns the
// jingle element.
static struct xml *info_new(const struct xml *iq, struct xml *rest)
{
    struct xml *copy = shell(iq, rest);
    struct xml *jingle = copy ? shell(jingle_element(iq), copy) : NULL;

    if (!jingle || xml_set(jingle, "action", jingle_action_name(JINGLE_TRANSPORT_INFO))) {
        xml_free(copy);
        return NULL;
    }
    return jingle;
}

// A candidate of 'content', in an IQ of its own. The candidate is taken.
static int send_alone(const struct xml *iq, const struct xml *content, struct xml *candidate,
                      struct xml *rest)
{
    struct xml *jingle = candidate ? info_new(iq, rest) : NULL;
    struct xml *c = jingle ? shell(content, jingle) : NULL;
    struct xml *transport = c ? shell(jingle_transport(content), c) : NULL;

    if (!transport) {
        xml_free(candidate);
        if (jingle)
            xml_free(jingle->parent);
        return -ENOMEM;
    }
    xml_append(transport, candidate);
    return 0;
}

// All but the first content move out, whole.
static int split_contents(struct xml *iq, struct xml *rest)
{
    struct xml *content = xml_child(jingle_element(iq), "content", NULL), *next;

    for (content = content ? xml_next(content, "content", NULL) : NULL; content; content = next) {
        struct xml *jingle = info_new(iq, rest);

        next = xml_next(content, "content", NULL);
        if (!jingle)
            return -ENOMEM;
        xml_detach(content);
        xml_append(jingle, content);
    }
    return 0;
}

// All but the first candidate move out.
static int split_candidates(struct xml *iq, struct xml *rest)
{
    struct xml *content = xml_child(jingle_element(iq), "content", NULL);
    struct xml *transport = content ? jingle_transport(content) : NULL;
    struct xml *c = transport ? xml_child(transport, "candidate", NULL) : NULL, *next;
    int r = 0;

    for (c = c ? xml_next(c, "candidate", NULL) : NULL; c && r == 0; c = next) {
        next = xml_next(c, "candidate", NULL);
        xml_detach(c);
        r = send_alone(iq, content, c, rest);
    }
    return r;
}

int split_info(struct xml *iq, unsigned dialect, struct xml *rest)
{
    int r = split_contents(iq, rest);
    struct xml *last = rest->last, *x = iq, *next;

    if (!(dialect & DIALECT_ONE_CANDIDATE))
        return r;
    while (r == 0 && x) { // the stanza, and those that its other contents have become
        next = x == iq ? rest->first : x == last ? NULL : x->next;
        r = split_candidates(x, rest);
        x = last ? next : NULL;
    }
    return r;
}

int split_repeat(const struct xml *iq, struct xml *rest)
{
    struct xml *content = xml_child(jingle_element(iq), "content", NULL);
    int r = 0;

    for (; content && r == 0; content = xml_next(content, "content", NULL)) {
        struct xml *transport = jingle_transport(content);
        struct xml *c = transport ? xml_child(transport, "candidate", NULL) : NULL;

        for (; c && r == 0; c = xml_next(c, "candidate", NULL))
            r = send_alone(iq, content, xml_clone(c), rest);
    }
    return r;
}

// Does it bring one of the relay's candidates?
static bool has_own(const struct session *session, enum side to, const struct xml *iq)
{
    const struct xml *content = xml_child(jingle_element(iq), "content", NULL);
    struct addr addr;

    for (; content; content = xml_next(content, "content", NULL)) {
        const struct xml *transport = jingle_transport(content);
        const struct xml *c = transport ? xml_child(transport, "candidate", NULL) : NULL;

        for (; c; c = xml_next(c, "candidate", NULL)) {
            if (jingle_candidate_addr(c, &addr) == 0 && contents_own(session, to, &addr))
                return true;
        }
    }
    return false;
}

void split_bound(const struct session *session, enum side to, struct xml *rest, unsigned max)
{
    struct xml *iq, *prev;
    unsigned count = 0;

    for (iq = rest->first; iq; iq = iq->next)
        count++;
    for (iq = rest->last; iq && count > max; iq = prev) {
        prev = iq->prev;
        if (has_own(session, to, iq))
            continue;
        xml_free(iq);
        count--;
    }
    for (; count > max; count--) // nothing but ours is left
        xml_free(rest->last);
}
