// SPDX-License-Identifier: ISC
// What answers settle: which contents there are, which of them share a transport, which components
// and paths are needed no more.
#include "internal.h"

#include <string.h>

// ---- bundles (RFC 9143 over XEP-0338)

static bool can_bundle(const struct content *content)
{
    return content->accepted && content->current->kind == TRANSPORT_ICE;
}

static void share(struct content *content, struct transport *transport)
{
    if (content->current == transport)
        return;
    transport->users++;
    transport_release(content->current);
    content->current = transport;
}

// RFC 9143 section 9.3: a bundle is multiplexed.
static void join(struct content *content, struct content *base)
{
    share(content, base->current);
    base->components = content->components = 1;
}

// The answer says who is in the bundle; its first member's transport is the one that stays (RFC
// 9143 section 7.3.1). What the offer did not have in a bundle is not.
static void settle_group(struct session *session, const struct xml *group)
{
    const char *semantics = xml_attr(group, "semantics");
    struct xml *x = xml_child(group, "content", NULL);
    struct content *content, *base = NULL;

    for (; x && semantics && strcmp(semantics, "BUNDLE") == 0; x = xml_next(x, "content", NULL)) {
        const char *name = xml_attr(x, "name");

        TAILQ_FOREACH (content, &session->contents, link) {
            if (!name || strcmp(content->name, name) != 0 || !content->bundle_offered ||
                !can_bundle(content))
                continue;
            session->bundled = true;
            if (base && base != content)
                join(content, base);
            base = base ? base : content;
        }
    }
}

static bool same_ufrags(const struct transport *a, const struct transport *b)
{
    for (int side = 0; side < SIDE_COUNT; side++) {
        const char *ua = a->creds[side].ufrag, *ub = b->creds[side].ufrag;

        if (!ua || !ub || strcmp(ua, ub) != 0)
            return false;
    }
    return true;
}

// A content added to a bundle comes with the bundle's credentials; not all clients repeat the
// group.
static void settle_added(struct session *session)
{
    struct content *content, *base;

    TAILQ_FOREACH (content, &session->contents, link) {
        TAILQ_FOREACH (base, &session->contents, link) {
            if (base == content || content->serial == 1)
                break;
            if (can_bundle(base) && can_bundle(content) && base->current != content->current &&
                same_ufrags(base->current, content->current))
                join(content, base);
        }
    }
}

static void settle_bundles(struct session *session, const struct xml *jingle)
{
    struct xml *group = xml_child(jingle, "group", NS_GROUPING);

    for (; group; group = xml_next(group, "group", NS_GROUPING))
        settle_group(session, group);
    if (session->bundled)
        settle_added(session);
}

// ---- acceptance

static void drop_unaccepted(struct session *session)
{
    struct content *content, *next;

    for (content = TAILQ_FIRST(&session->contents); content; content = next) {
        next = TAILQ_NEXT(content, link);
        if (!content->accepted && !content->early && content->serial == 1)
            content_drop(session, content); // offered at first, and not taken
    }
}

static void accept_contents(struct session *session, const struct xml *jingle)
{
    struct content *content;
    struct xml *x = xml_child(jingle, "content", NULL);

    for (; x; x = xml_next(x, "content", NULL)) {
        content = content_find(session, x);
        if (!content)
            continue;
        content->accepted = true;
        // XEP-0167 section 4: both must say so.
        if (content->mux_offered && jingle_has_mux(x) && content->current->kind == TRANSPORT_ICE)
            content->components = 1;
    }
    settle_bundles(session, jingle);
    TAILQ_FOREACH (content, &session->contents, link) {
        if (content->accepted && content->components == 1)
            transport_close_path(content->current, 2);
    }
}

// Who receives media has said so: raw addresses are of use from now on, not while it rings.
static void expect_media(struct session *session)
{
    struct content *content;

    TAILQ_FOREACH (content, &session->contents, link) {
        if (content->accepted)
            transport_expect_media(content->current);
    }
}

static void settle_replace(struct content *content, enum side from, bool accepted,
                           const struct xml *element)
{
    const struct xml *transport = jingle_transport(element);

    if (!content->pending || content->pending_by == from)
        return;
    if (!accepted) {
        transport_release(content->pending);
    } else if (transport && strcmp(transport->ns, content->pending->ns) == 0) {
        transport_release(content->current);
        content->current = content->pending;
    } else {
        return; // it accepts one that was withdrawn by a later one
    }
    content->pending = NULL;
}

static void settle_content(struct session *session, enum side from, enum jingle_action action,
                           const struct xml *element)
{
    struct content *content = content_find(session, element);

    if (!content)
        return;
    switch (action) {
    case JINGLE_CONTENT_REMOVE:
        content_drop(session, content);
        break;
    case JINGLE_CONTENT_REJECT:
        if (!content->accepted)
            content_drop(session, content);
        break;
    case JINGLE_TRANSPORT_ACCEPT:
    case JINGLE_TRANSPORT_REJECT:
        settle_replace(content, from, action == JINGLE_TRANSPORT_ACCEPT, element);
        break;
    default:
        break;
    }
}

void contents_settle(struct session *session, enum side from, enum jingle_action action,
                     const struct xml *jingle)
{
    bool accepts = action == JINGLE_SESSION_ACCEPT || action == JINGLE_CONTENT_ACCEPT;
    bool live = action == JINGLE_SESSION_ACCEPT || session->call.state == CALL_ACTIVE;
    struct xml *x = xml_child(jingle, "content", NULL);

    if (accepts)
        accept_contents(session, jingle);
    if (action == JINGLE_SESSION_ACCEPT)
        drop_unaccepted(session);
    for (; x && !accepts; x = xml_next(x, "content", NULL))
        settle_content(session, from, action, x);
    if (live && (accepts || action == JINGLE_TRANSPORT_ACCEPT || action == JINGLE_TRANSPORT_INFO))
        expect_media(session);
}
