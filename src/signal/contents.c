// SPDX-License-Identifier: ISC
// The contents of a session: what stanzas offer and speak of. The contents of a bundle share one
// transport (XEP-0338); a transport-replace gives a content a second one until it is answered
// (XEP-0166 section 7.2.15).
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- finding

static enum side creator_of(const struct xml *element)
{
    const char *creator = xml_attr(element, "creator"); // XEP-0166 section 7.3: default initiator

    return creator && strcmp(creator, "responder") == 0 ? SIDE_RESPONDER : SIDE_INITIATOR;
}

static bool has_transport(const struct content *content, const struct xml *transport)
{
    return strcmp(content->current->ns, transport->ns) == 0 ||
           (content->pending && strcmp(content->pending->ns, transport->ns) == 0);
}

// By name and creator; but Asterisk names the wrong creator and old Gabble none. Contents of one
// name are alternatives (XEP-0166 section 7.3) that differ by their transport.
struct content *content_find(struct session *session, const struct xml *element)
{
    const char *name = xml_attr(element, "name");
    const struct xml *transport = jingle_transport(element);
    struct content *content, *best = NULL;
    int best_score = -1;

    TAILQ_FOREACH (content, &session->contents, link) {
        int score;

        if (!name || strcmp(content->name, name) != 0)
            continue;
        score = (content->creator == creator_of(element) ? 2 : 0) +
                (transport && has_transport(content, transport) ? 1 : 0);
        if (score > best_score) {
            best_score = score;
            best = content;
        }
    }
    return best;
}

// An offer that repeats an earlier one.
static struct content *find_offered(struct session *session, enum side from,
                                    const struct xml *element)
{
    enum side creator = xml_attr(element, "creator") ? creator_of(element) : from;
    const struct xml *transport = jingle_transport(element);
    struct content *content;

    TAILQ_FOREACH (content, &session->contents, link) {
        if (content->creator == creator && strcmp(content->name, xml_attr(element, "name")) == 0 &&
            (!transport || has_transport(content, transport)))
            return content;
    }
    return NULL;
}

struct transport *content_transport(struct content *content, enum jingle_action action,
                                    const struct xml *transport)
{
    const char *ufrag = transport ? xml_attr(transport, "ufrag") : NULL;
    const struct transport *current = content->current;

    if (!content->pending || !transport || strcmp(content->pending->ns, transport->ns) != 0)
        return content->current;
    if (action == JINGLE_TRANSPORT_REPLACE || action == JINGLE_TRANSPORT_ACCEPT)
        return content->pending;
    // Both may be ICE: the credentials tell which is meant.
    if (ufrag && strcmp(current->ns, transport->ns) == 0) {
        for (int side = 0; side < SIDE_COUNT; side++) {
            if (current->creds[side].ufrag && strcmp(current->creds[side].ufrag, ufrag) == 0)
                return content->current;
        }
    }
    return content->pending;
}

bool bundle_has(const struct xml *jingle, const char *name)
{
    struct xml *group = xml_child(jingle, "group", NS_GROUPING);

    for (; group; group = xml_next(group, "group", NS_GROUPING)) {
        const char *semantics = xml_attr(group, "semantics");
        struct xml *x = xml_child(group, "content", NULL);

        for (; x && semantics && strcmp(semantics, "BUNDLE") == 0;
             x = xml_next(x, "content", NULL)) {
            const char *member = xml_attr(x, "name");

            if (member && strcmp(member, name) == 0)
                return true;
        }
    }
    return false;
}

// ---- life

void content_drop(struct session *session, struct content *content)
{
    TAILQ_REMOVE(&session->contents, content, link);
    transport_release(content->current);
    transport_release(content->pending);
    free(content->name);
    free(content->media);
    free(content);
}

void contents_free(struct session *session)
{
    struct content *content;

    while ((content = TAILQ_FIRST(&session->contents)))
        content_drop(session, content);
}

static struct content *content_new(struct session *session, enum side from,
                                   const struct xml *element)
{
    const struct xml *description = xml_child(element, "description", NULL);
    const char *name = xml_attr(element, "name");
    const char *media = description ? xml_attr(description, "media") : NULL;
    const char *disposition = xml_attr(element, "disposition");
    struct content *content = calloc(1, sizeof *content);

    if (!content)
        return NULL;
    content->name = strdup(name);
    content->media = strdup(media ? media : description ? description->ns : "");
    content->current = transport_new(session, jingle_transport(element));
    content->creator = xml_attr(element, "creator") ? creator_of(element) : from;
    content->early = disposition && strcmp(disposition, "session") != 0;
    content->components = jingle_components(element);
    content->mux_offered = jingle_has_mux(element);
    content->bundle_offered = bundle_has(element->parent, name);
    content->serial = session->serial;
    TAILQ_INSERT_TAIL(&session->contents, content, link);
    if (!content->name || !content->media || !content->current) {
        content_drop(session, content);
        return NULL;
    }
    return content;
}

static unsigned contents_count(const struct session *session)
{
    const struct content *content;
    unsigned count = 0;

    TAILQ_FOREACH (content, &session->contents, link)
        count++;
    return count;
}

// ---- what a stanza offers

// XEP-0166 section 7.2.16: of two that cross, the initiator's holds. A second one of the same side
// takes the place of its first.
static int prepare_replace(struct session *session, struct content *content, enum side from,
                           const struct xml *element)
{
    struct transport *fresh;

    if (content->pending && content->pending_by == SIDE_INITIATOR && from == SIDE_RESPONDER)
        return -EALREADY;
    if (session->diverted && content->pending && content->pending_by == from &&
        transport_said(content->pending, from, jingle_transport(element)))
        return 0; // the same stanza, diverted again
    fresh = transport_new(session, jingle_transport(element));
    if (!fresh)
        return -ENOMEM;
    transport_release(content->pending);
    content->pending = fresh;
    content->pending_by = from;
    content->pending_serial = session->serial;
    return 0;
}

// XEP-0166 section 7.3: the name is REQUIRED.
static int check_element(const struct session *session, const struct xml *element)
{
    const struct xml *transport = jingle_transport(element);

    if (!xml_attr(element, "name"))
        return -EBADMSG;
    // What cannot be relayed would tell the other's address.
    if (session->signal->config.policy == POLICY_RELAY_ONLY &&
        jingle_transport_kind(transport) == TRANSPORT_OTHER)
        return -EPROTONOSUPPORT;
    return 0;
}

static int prepare_content(struct session *session, enum side from, enum jingle_action action,
                           const struct xml *element)
{
    bool offers = action == JINGLE_SESSION_INITIATE || action == JINGLE_CONTENT_ADD;
    const struct xml *transport = jingle_transport(element);
    struct content *content;
    int r = check_element(session, element);

    if (r < 0)
        return r;
    content = offers ? find_offered(session, from, element) : content_find(session, element);
    if (offers && !content) {
        if (contents_count(session) == REPORT_CONTENTS_MAX)
            return -E2BIG;
        content = content_new(session, from, element);
        if (!content)
            return -ENOMEM;
    }
    if (!content || !transport)
        return 0;
    if (action == JINGLE_TRANSPORT_REPLACE)
        r = prepare_replace(session, content, from, element);
    if (r == 0)
        r = transport_learn(content_transport(content, action, transport), from, transport,
                            content->components);
    return r;
}

int contents_prepare(struct session *session, enum side from, enum jingle_action action,
                     const struct xml *jingle)
{
    struct xml *x = xml_child(jingle, "content", NULL);
    int r = 0;

    session->serial++;
    for (; x && r == 0; x = xml_next(x, "content", NULL))
        r = prepare_content(session, from, action, x);
    return r;
}

void contents_undo(struct session *session, unsigned serial)
{
    struct content *content, *next;

    for (content = TAILQ_FIRST(&session->contents); content; content = next) {
        next = TAILQ_NEXT(content, link);
        if (content->pending && content->pending_serial == serial) {
            transport_release(content->pending);
            content->pending = NULL;
        }
        transport_undo(content->current, serial);
        if (content->pending)
            transport_undo(content->pending, serial);
        if (content->serial == serial && !content->accepted)
            content_drop(session, content);
    }
}

// ---- their paths together

static bool has_path(const struct transport *transport)
{
    return transport->path[0] || transport->path[1];
}

bool contents_have_paths(const struct session *session)
{
    const struct content *content;

    TAILQ_FOREACH (content, &session->contents, link) {
        if (has_path(content->current) || (content->pending && has_path(content->pending)))
            return true;
    }
    return false;
}

bool contents_own(const struct session *session, enum side to, const struct addr *addr)
{
    const struct content *content;

    TAILQ_FOREACH (content, &session->contents, link) {
        if (transport_owns(content->current, to, addr) ||
            (content->pending && transport_owns(content->pending, to, addr)))
            return true;
    }
    return false;
}

bool contents_silent(const struct session *session)
{
    const struct content *content;

    TAILQ_FOREACH (content, &session->contents, link) {
        for (int i = 0; i < 2; i++) {
            const struct media_path *path = content->current->path[i];

            if (path && !path->silent)
                return false;
        }
    }
    return true;
}

bool contents_can_go_direct(const struct session *session)
{
    const struct content *content;

    if (session->signal->config.policy == POLICY_RELAY_ONLY)
        return false;
    TAILQ_FOREACH (content, &session->contents, link) {
        if (content->current->kind == TRANSPORT_RAW)
            return false;
    }
    return true;
}

void contents_close_paths(struct session *session)
{
    struct content *content;

    TAILQ_FOREACH (content, &session->contents, link) {
        for (unsigned c = 1; c <= 2; c++) {
            transport_close_path(content->current, c);
            if (content->pending)
                transport_close_path(content->pending, c);
        }
    }
}
