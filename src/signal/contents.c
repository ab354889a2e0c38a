// SPDX-License-Identifier: ISC
// Contents and transports of a session: what stanzas offer, accept, replace and remove, and which
// paths that needs. A transport lives as long as a content uses it: the contents of a bundle share
// one (XEP-0338), a transport-replace gives a content a second one until it is answered (XEP-0166
// section 7.2.14: the old one lives on if the new one is rejected).
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int order(struct session *session, struct order *order, enum order_kind kind, uint64_t path)
{
    order->kind = kind;
    order->call = session->call.id;
    order->path = path;
    return session->signal->io.order(session->signal->io.ctx, order);
}

// ---- paths

struct media_path *media_path_find(const struct signal *signal, uint64_t id)
{
    struct map_node *n = map_first(&signal->paths, map_hash(&signal->paths, &id, sizeof id));

    for (; n; n = map_next(n)) {
        struct media_path *path = container_of(n, struct media_path, node);

        if (path->id == id)
            return path;
    }
    return NULL;
}

void path_lost(struct signal *signal, struct media_path *path)
{
    if (!path->opened)
        path->transport->session->opening--;
    path->transport->path[path->component - 1] = NULL;
    map_remove(&signal->paths, &path->node);
    free(path);
}

static void path_close(struct transport *transport, unsigned component)
{
    struct media_path *path = transport->path[component - 1];
    struct order close = {0};

    if (!path)
        return;
    (void)order(transport->session, &close, ORDER_CLOSE, path->id);
    path_lost(transport->session->signal, path);
}

static void tell_credentials(struct transport *transport, struct media_path *path, enum side side)
{
    const struct credentials *creds = &transport->creds[side];
    struct order tell = {.side = side};

    if (!creds->ufrag)
        return;
    snprintf(tell.u.credentials.ufrag, sizeof tell.u.credentials.ufrag, "%s", creds->ufrag);
    snprintf(tell.u.credentials.pwd, sizeof tell.u.credentials.pwd, "%s", creds->pwd);
    (void)order(transport->session, &tell, ORDER_CREDENTIALS, path->id);
}

static int path_open(struct transport *transport, unsigned component)
{
    struct session *session = transport->session;
    struct signal *signal = session->signal;
    struct order open = {0};
    struct media_path *path;

    if (transport->path[component - 1])
        return 0;
    path = calloc(1, sizeof *path);
    if (!path)
        return -ENOMEM;
    path->id = ++signal->last_id;
    path->transport = transport;
    path->component = component;
    if (map_insert(&signal->paths, &path->node,
                   map_hash(&signal->paths, &path->id, sizeof path->id)))
        goto fail;
    open.u.open.mode = transport->kind == TRANSPORT_RAW ? PATH_RAW : PATH_ICE;
    for (int side = 0; side < SIDE_COUNT; side++) {
        open.u.open.family_v4[side] = signal->config.family_v4;
        open.u.open.family_v6[side] = signal->config.family_v6;
    }
    if (component == 2 && transport->kind == TRANSPORT_RAW && transport->path[0])
        open.u.open.rtp_path = transport->path[0]->id;
    open.u.open.bytes_per_second = signal->config.bytes_per_second;
    if (order(session, &open, ORDER_OPEN, path->id) < 0) {
        map_remove(&signal->paths, &path->node);
        goto fail;
    }
    transport->path[component - 1] = path;
    session->opening++;
    tell_credentials(transport, path, SIDE_INITIATOR);
    tell_credentials(transport, path, SIDE_RESPONDER);
    return 0;

fail:
    free(path);
    return -ENOMEM;
}

// ---- transports

static struct transport *transport_new(struct session *session, const struct xml *element)
{
    struct transport *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->users = 1;
    t->session = session;
    t->kind = jingle_transport_kind(element);
    t->ns = strdup(element ? element->ns : "");
    if (!t->ns) {
        free(t);
        return NULL;
    }
    return t;
}

static void transport_release(struct transport *transport)
{
    if (!transport || --transport->users > 0)
        return;
    path_close(transport, 1);
    path_close(transport, 2);
    for (int side = 0; side < SIDE_COUNT; side++) {
        free(transport->creds[side].ufrag);
        free(transport->creds[side].pwd);
        free(transport->seen[side]);
    }
    free(transport->ns);
    free(transport);
}

static void note_candidates(struct transport *transport, enum side from, const struct xml *element)
{
    struct xml *c = xml_child(element, "candidate", NULL);

    if (c && !transport->seen[from])
        transport->seen[from] = calloc(REPORT_CANDIDATES_MAX, sizeof **transport->seen);
    for (; c && transport->seen[from] && transport->seen_count[from] < REPORT_CANDIDATES_MAX;
         c = xml_next(c, "candidate", NULL)) {
        struct candidate_report *seen = &transport->seen[from][transport->seen_count[from]++];
        const char *type = xml_attr(c, "type"), *protocol = xml_attr(c, "protocol");
        const char *ip = xml_attr(c, "ip"), *port = xml_attr(c, "port");

        snprintf(seen->type, sizeof seen->type, "%s", type ? type : "host");
        snprintf(seen->protocol, sizeof seen->protocol, "%s", protocol ? protocol : "udp");
        snprintf(seen->address, sizeof seen->address, "%s port %s", ip ? ip : "?",
                 port ? port : "?");
    }
}

// New values are an ICE restart (XEP-0176 section 5.6): a new generation on the same ports.
static int learn_credentials(struct transport *transport, enum side from, const struct xml *element)
{
    const char *ufrag = xml_attr(element, "ufrag"), *pwd = xml_attr(element, "pwd");
    struct credentials *creds = &transport->creds[from];
    char *new_ufrag, *new_pwd;

    if (!ufrag || !pwd)
        return 0; // some clients leave the password out of what they trickle
    if (strlen(ufrag) > ICE_UFRAG_MAX || strlen(pwd) > ICE_PWD_MAX)
        return -EBADMSG;
    if (creds->ufrag && strcmp(creds->ufrag, ufrag) == 0 && strcmp(creds->pwd, pwd) == 0)
        return 0;
    new_ufrag = strdup(ufrag);
    new_pwd = strdup(pwd);
    if (!new_ufrag || !new_pwd) {
        free(new_ufrag);
        free(new_pwd);
        return -ENOMEM;
    }
    creds->generation += creds->ufrag != NULL;
    free(creds->ufrag);
    free(creds->pwd);
    creds->ufrag = new_ufrag;
    creds->pwd = new_pwd;
    for (int i = 0; i < 2; i++) {
        if (transport->path[i])
            tell_credentials(transport, transport->path[i], from);
    }
    return 0;
}

static int learn_raw_addresses(struct transport *transport, enum side from,
                               const struct xml *element)
{
    struct xml *c = xml_child(element, "candidate", NULL);

    for (; c; c = xml_next(c, "candidate", NULL)) {
        unsigned component = jingle_candidate_component(c);
        struct order peer = {.side = from};
        int r;

        if (component < 1 || component > 2 || jingle_candidate_addr(c, &peer.u.peer) < 0)
            return -EBADMSG;
        r = path_open(transport, component);
        if (r < 0)
            return r;
        (void)order(transport->session, &peer, ORDER_PEER, transport->path[component - 1]->id);
    }
    return 0;
}

static int learn(struct content *content, struct transport *transport, enum side from,
                 const struct xml *element)
{
    bool restart, open = transport->path[0] || transport->path[1];
    unsigned generation = transport->creds[from].generation;
    int r = 0;

    if (strcmp(element->ns, transport->ns) != 0)
        return 0;
    note_candidates(transport, from, element);
    if (transport->kind == TRANSPORT_RAW)
        return learn_raw_addresses(transport, from, element);
    if (transport->kind != TRANSPORT_ICE)
        return 0;
    r = learn_credentials(transport, from, element);
    restart = transport->creds[from].generation != generation;
    // A new transport needs paths, and so does the restart of one whose paths were given back.
    for (unsigned c = 1; r == 0 && c <= content->components; c++) {
        if (!open && (restart || !transport->known))
            r = path_open(transport, c);
    }
    transport->known = true;
    return r;
}

// ---- contents

struct content *content_find(struct session *session, const struct xml *element)
{
    const char *name = xml_attr(element, "name"), *creator = xml_attr(element, "creator");
    struct content *content, *by_name = NULL;

    TAILQ_FOREACH (content, &session->contents, link) {
        enum side side =
            creator && strcmp(creator, "responder") == 0 ? SIDE_RESPONDER : SIDE_INITIATOR;

        if (!name || strcmp(content->name, name) != 0)
            continue;
        if (content->creator == side)
            return content;
        by_name = content; // Asterisk names the wrong creator, old Gabble none
    }
    return by_name;
}

struct transport *content_transport(struct content *content, const struct xml *transport)
{
    const char *ufrag = transport ? xml_attr(transport, "ufrag") : NULL;
    const struct transport *current = content->current;

    if (!content->pending || !transport || strcmp(content->pending->ns, transport->ns) != 0)
        return content->current;
    if (ufrag && strcmp(current->ns, transport->ns) == 0) {
        for (int side = 0; side < SIDE_COUNT; side++) {
            if (current->creds[side].ufrag && strcmp(current->creds[side].ufrag, ufrag) == 0)
                return content->current;
        }
    }
    return content->pending;
}

static void content_drop(struct session *session, struct content *content)
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
    const char *name = xml_attr(element, "name"), *creator = xml_attr(element, "creator");
    const char *media = description ? xml_attr(description, "media") : NULL;
    struct content *content = calloc(1, sizeof *content);

    if (!content)
        return NULL;
    content->name = strdup(name);
    content->media = strdup(media ? media : description ? description->ns : "");
    content->current = transport_new(session, jingle_transport(element));
    content->creator = from;
    if (creator)
        content->creator = strcmp(creator, "responder") == 0 ? SIDE_RESPONDER : SIDE_INITIATOR;
    content->components = jingle_components(element);
    content->mux_offered = jingle_has_mux(element);
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

static int prepare_replace(struct session *session, struct content *content,
                           const struct xml *element)
{
    if (!content || content->pending)
        return content ? -EBADMSG : 0;
    content->pending = transport_new(session, jingle_transport(element));
    content->pending_serial = session->serial;
    return content->pending ? 0 : -ENOMEM;
}

int contents_prepare(struct session *session, enum side from, enum jingle_action action,
                     const struct xml *jingle)
{
    struct xml *x = xml_child(jingle, "content", NULL);
    bool offers = action == JINGLE_SESSION_INITIATE || action == JINGLE_CONTENT_ADD;

    session->serial++;
    for (; x; x = xml_next(x, "content", NULL)) {
        const struct xml *transport = jingle_transport(x);
        struct content *content = content_find(session, x);
        int r = 0;

        if (!xml_attr(x, "name"))
            return -EBADMSG;
        if (offers && !content) {
            content = contents_count(session) < REPORT_CONTENTS_MAX ? content_new(session, from, x)
                                                                    : NULL;
            if (!content)
                return contents_count(session) < REPORT_CONTENTS_MAX ? -ENOMEM : -EBADMSG;
        }
        if (action == JINGLE_TRANSPORT_REPLACE)
            r = prepare_replace(session, content, x);
        if (r == 0 && content && transport)
            r = learn(content, content_transport(content, transport), from, transport);
        if (r < 0)
            return r;
    }
    return 0;
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
        if (content->serial == serial)
            content_drop(session, content);
    }
}

void contents_close_paths(struct session *session)
{
    struct content *content;

    TAILQ_FOREACH (content, &session->contents, link) {
        for (unsigned c = 1; c <= 2; c++) {
            path_close(content->current, c);
            if (content->pending)
                path_close(content->pending, c);
        }
    }
}

// ---- what an answer settles

static bool in_bundle(const struct xml *jingle, const char *name)
{
    struct xml *group = xml_child(jingle, "group", NS_GROUPING);

    for (; group; group = xml_next(group, "group", NS_GROUPING)) {
        const char *semantics = xml_attr(group, "semantics");
        struct xml *x = xml_child(group, "content", NULL);

        if (!semantics || strcmp(semantics, "BUNDLE") != 0)
            continue;
        for (; x; x = xml_next(x, "content", NULL)) {
            const char *member = xml_attr(x, "name");

            if (member && strcmp(member, name) == 0)
                return true;
        }
    }
    return false;
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

// The transport that this content shares from now on: that of the first content of the bundle.
static struct transport *bundle_base(struct session *session, const struct content *content,
                                     const struct xml *jingle)
{
    struct content *base;

    TAILQ_FOREACH (base, &session->contents, link) {
        if (base == content)
            return NULL;
        if (!base->accepted || base->current->kind != TRANSPORT_ICE)
            continue;
        if (in_bundle(jingle, content->name) && in_bundle(jingle, base->name))
            return base->current;
        // A content added to a bundle comes with the bundle's credentials.
        if (session->bundled && same_ufrags(base->current, content->current))
            return base->current;
    }
    return NULL;
}

static void accept_content(struct session *session, struct content *content,
                           const struct xml *element, const struct xml *jingle)
{
    struct transport *base;

    content->accepted = true;
    if (content->current->kind != TRANSPORT_ICE)
        return;
    base = bundle_base(session, content, jingle);
    if (base && base != content->current) {
        session->bundled = true;
        base->users++;
        transport_release(content->current);
        content->current = base;
    }
    // RFC 9143 section 9.3: a bundle is multiplexed. XEP-0167 section 7: else both must say so.
    if (base || (content->mux_offered && jingle_has_mux(element))) {
        content->components = 1;
        path_close(content->current, 2);
    }
}

static void accept_contents(struct session *session, const struct xml *jingle, bool whole_session)
{
    struct content *content, *next;
    struct xml *x = xml_child(jingle, "content", NULL);

    for (; x; x = xml_next(x, "content", NULL)) {
        content = content_find(session, x);
        if (content)
            accept_content(session, content, x, jingle);
    }
    for (content = TAILQ_FIRST(&session->contents); content && whole_session; content = next) {
        next = TAILQ_NEXT(content, link);
        if (!content->accepted && content->serial == 1) // offered at first, and not taken
            content_drop(session, content);
    }
}

static void settle_replace(struct content *content, bool accepted)
{
    if (!content->pending)
        return;
    if (accepted) {
        transport_release(content->current);
        content->current = content->pending;
    } else {
        transport_release(content->pending);
    }
    content->pending = NULL;
}

void contents_apply(struct session *session, enum side from, enum jingle_action action,
                    const struct xml *jingle)
{
    struct xml *x = xml_child(jingle, "content", NULL);

    (void)from;
    if (action == JINGLE_SESSION_ACCEPT || action == JINGLE_CONTENT_ACCEPT) {
        accept_contents(session, jingle, action == JINGLE_SESSION_ACCEPT);
        return;
    }
    for (; x; x = xml_next(x, "content", NULL)) {
        struct content *content = content_find(session, x);

        if (!content)
            continue;
        if (action == JINGLE_CONTENT_REMOVE || action == JINGLE_CONTENT_REJECT)
            content_drop(session, content);
        else if (action == JINGLE_TRANSPORT_ACCEPT || action == JINGLE_TRANSPORT_REJECT)
            settle_replace(content, action == JINGLE_TRANSPORT_ACCEPT);
    }
}
