// SPDX-License-Identifier: ISC
// Transports and their paths: what a transport element says, and which ports that needs. A
// transport lives as long as a content uses it; its paths are opened with its first offer, given
// back one by one or with it, and opened again by an ICE restart.
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int give_order(struct signal *signal, struct order *order, enum order_kind kind,
                      const struct media_path *path)
{
    order->kind = kind;
    order->call = path->call;
    order->path = path->id;
    return signal->io.order(signal->io.ctx, order);
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

// From here on no event finds it.
static void unlist(struct signal *signal, struct media_path *path)
{
    if (!path->opened)
        path->transport->session->opening--;
    path->transport->path[path->component - 1] = NULL;
    map_remove(&signal->paths, &path->node);
}

void media_path_lost(struct signal *signal, struct media_path *path)
{
    unlist(signal, path);
    free(path);
}

void transport_forget_paths(struct transport *transport)
{
    for (int i = 0; i < 2; i++) {
        if (transport && transport->path[i])
            media_path_lost(transport->session->signal, transport->path[i]);
    }
}

void transport_close_path(struct transport *transport, unsigned component)
{
    struct signal *signal = transport->session->signal;
    struct media_path *path = transport->path[component - 1];
    struct order close = {0};

    if (!path)
        return;
    unlist(signal, path);
    if (give_order(signal, &close, ORDER_CLOSE, path) == 0)
        free(path);
    else
        STAILQ_INSERT_TAIL(&signal->unclosed, path, link); // its ports must not be lost for ever
}

bool transport_close_rest(struct signal *signal)
{
    struct media_path *path;

    while ((path = STAILQ_FIRST(&signal->unclosed))) {
        struct order close = {0};

        if (give_order(signal, &close, ORDER_CLOSE, path) < 0)
            return false;
        STAILQ_REMOVE_HEAD(&signal->unclosed, link);
        free(path);
    }
    return true;
}

static void tell_credentials(struct transport *transport, struct media_path *path, enum side side)
{
    const struct credentials *creds = &transport->creds[side];
    struct order tell = {.side = side};

    if (!creds->ufrag)
        return;
    snprintf(tell.u.credentials.ufrag, sizeof tell.u.credentials.ufrag, "%s", creds->ufrag);
    snprintf(tell.u.credentials.pwd, sizeof tell.u.credentials.pwd, "%s", creds->pwd);
    (void)give_order(transport->session->signal, &tell, ORDER_CREDENTIALS, path);
}

// Google: each side's own name of our candidate, and of nobody else's.
static void tell_names(struct transport *transport, struct media_path *path)
{
    struct signal *signal = transport->session->signal;

    for (int side = 0; side < SIDE_COUNT; side++) {
        struct order tell = {.side = (enum side)side};

        google_invent_name(signal, path->name[side]);
        memcpy(tell.u.credentials.ufrag, path->name[side], sizeof path->name[side]);
        (void)give_order(signal, &tell, ORDER_CREDENTIALS, path);
    }
}

static bool same_names(const struct transport *a, const struct transport *b)
{
    for (int side = 0; side < SIDE_COUNT; side++) {
        const char *one = a->creds[side].ufrag, *other = b->creds[side].ufrag;

        if (one && other && strcmp(one, other) == 0)
            return true;
    }
    return false;
}

// A relay that has one port for all tells paths apart by their names. Clients that offer a bundle
// give all its contents the same ones, and some have but one pair for the session.
static bool names_are_taken(const struct transport *transport, unsigned component)
{
    const struct content *content;

    TAILQ_FOREACH (content, &transport->session->contents, link) {
        const struct transport *both[] = {content->current, content->pending};

        for (int i = 0; i < 2; i++) {
            if (both[i] && both[i] != transport && both[i]->path[component - 1] &&
                same_names(both[i], transport))
                return true;
        }
    }
    return false;
}

static struct order open_order(const struct transport *transport, unsigned component)
{
    const struct signal_config *config = &transport->session->signal->config;
    struct order open = {0};

    open.u.open.mode = transport->kind == TRANSPORT_RAW      ? PATH_RAW
                       : transport->kind == TRANSPORT_GOOGLE ? PATH_GOOGLE
                                                             : PATH_ICE;
    for (int side = 0; side < SIDE_COUNT; side++) {
        open.u.open.family_v4[side] = config->family_v4;
        open.u.open.family_v6[side] = config->family_v6;
    }
    if (component == 2 && transport->kind == TRANSPORT_RAW && transport->path[0])
        open.u.open.rtp_path = transport->path[0]->id;
    open.u.open.component = component;
    open.u.open.own_ports = names_are_taken(transport, component);
    open.u.open.bytes_per_second = config->bytes_per_second;
    return open;
}

static int order_path(struct media_path *path)
{
    struct transport *transport = path->transport;
    struct order open = open_order(transport, path->component);

    if (give_order(transport->session->signal, &open, ORDER_OPEN, path) < 0)
        return -ENOMEM;
    tell_credentials(transport, path, SIDE_INITIATOR);
    tell_credentials(transport, path, SIDE_RESPONDER);
    if (transport->kind == TRANSPORT_GOOGLE)
        tell_names(transport, path);
    return 0;
}

int media_path_list(struct media_path *path)
{
    struct transport *transport = path->transport;
    struct signal *signal = transport->session->signal;
    unsigned i = path->component - 1;

    if (map_insert(&signal->paths, &path->node,
                   map_hash(&signal->paths, &path->id, sizeof path->id))) {
        free(path);
        return -ENOMEM;
    }
    transport->path[i] = path;
    transport->path_id[i] = path->id;
    transport->session->opening += !path->opened;
    if (signal->last_id < path->id) // of a snapshot
        signal->last_id = path->id;
    return 0;
}

static int path_open(struct transport *transport, unsigned component)
{
    struct session *session = transport->session;
    struct signal *signal = session->signal;
    uint64_t last = transport->path_id[component - 1];
    struct media_path *path;

    if (transport->path[component - 1])
        return 0;
    path = calloc(1, sizeof *path);
    if (!path)
        return -ENOMEM;
    path->id = ++signal->last_id;
    path->call = session->call.id;
    path->transport = transport;
    path->component = component;
    if (media_path_list(path) < 0)
        return -ENOMEM;
    if (order_path(path) < 0) {
        media_path_lost(signal, path);
        transport->path_id[component - 1] = last;
        return -ENOMEM;
    }
    return 0;
}

// ---- life

struct transport *transport_new(struct session *session, const struct xml *element)
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

static void credentials_free(struct credentials *creds)
{
    free(creds->ufrag);
    free(creds->pwd);
    *creds = (struct credentials){0};
}

void transport_release(struct transport *transport)
{
    if (!transport || --transport->users > 0)
        return;
    transport_close_path(transport, 1);
    transport_close_path(transport, 2);
    for (int side = 0; side < SIDE_COUNT; side++) {
        credentials_free(&transport->creds[side]);
        credentials_free(&transport->before[side]);
        free(transport->seen[side]);
    }
    free(transport->ns);
    free(transport);
}

static void note_address(const struct xml *candidate, struct candidate_report *seen)
{
    const char *ip = xml_attr(candidate, "ip"), *port = xml_attr(candidate, "port");
    struct addr addr;

    if (!ip)
        ip = xml_attr(candidate, "address"); // Google's

    if (jingle_candidate_addr(candidate, &addr) == 0)
        addr_format(&addr, seen->address);
    else
        snprintf(seen->address, sizeof seen->address, "%s:%s", ip ? ip : "?", port ? port : "?");
}

// What is diverted again is told twice.
static bool was_noted(const struct transport *transport, enum side from,
                      const struct candidate_report *seen)
{
    for (unsigned i = 0; i < transport->seen_count[from]; i++) {
        const struct candidate_report *s = &transport->seen[from][i];
        if (strcmp(s->address, seen->address) == 0 && strcmp(s->type, seen->type) == 0)
            return true;
    }
    return false;
}

// Grows by one: most clients have a few. Without memory the candidate is missing in the report.
static void note_candidate(struct transport *transport, enum side from, const struct xml *c)
{
    const char *type = xml_attr(c, "type"), *protocol = xml_attr(c, "protocol");
    unsigned count = transport->seen_count[from];
    struct candidate_report seen = {0}, *grown;

    snprintf(seen.type, sizeof seen.type, "%s", type ? type : "host");
    snprintf(seen.protocol, sizeof seen.protocol, "%s", protocol ? protocol : "udp");
    note_address(c, &seen);
    if (was_noted(transport, from, &seen))
        return;
    grown = reallocarray(transport->seen[from], count + 1, sizeof seen);
    if (!grown)
        return;
    grown[count] = seen;
    transport->seen[from] = grown;
    transport->seen_count[from]++;
}

static void note_candidates(struct transport *transport, enum side from, const struct xml *element)
{
    struct xml *c = xml_child(element, "candidate", NULL);

    for (; c && transport->seen_count[from] < REPORT_CANDIDATES_MAX;
         c = xml_next(c, "candidate", NULL)) {
        struct addr addr;

        if (jingle_candidate_addr(c, &addr) < 0 || !transport_owns(transport, other(from), &addr))
            note_candidate(transport, from, c);
    }
}

// ---- ICE

static bool same_credentials(const struct credentials *creds, const char *ufrag, const char *pwd)
{
    return creds->ufrag && strcmp(creds->ufrag, ufrag) == 0 && strcmp(creds->pwd, pwd) == 0;
}

static void spread_credentials(struct transport *transport, enum side side)
{
    for (int i = 0; i < 2; i++) {
        if (transport->path[i])
            tell_credentials(transport, transport->path[i], side);
    }
}

// New values are an ICE restart (XEP-0176 section 5.9): a new generation on the same ports.
static int learn_credentials(struct transport *transport, enum side from, const struct xml *element,
                             bool *ret_restart)
{
    const char *ufrag = xml_attr(element, "ufrag"), *pwd = xml_attr(element, "pwd");
    struct credentials *creds = &transport->creds[from], fresh = {0};

    *ret_restart = false;
    if (!ufrag || !pwd || same_credentials(creds, ufrag, pwd))
        return 0; // some clients leave the password out of what they trickle
    if (transport->session->diverted && same_credentials(&transport->before[from], ufrag, pwd))
        return 0; // from before the restart, diverted again on its way
    if (strlen(ufrag) > ICE_UFRAG_MAX || strlen(pwd) > ICE_PWD_MAX)
        return -EBADMSG;
    fresh.ufrag = strdup(ufrag);
    fresh.pwd = strdup(pwd);
    if (!fresh.ufrag || !fresh.pwd) {
        credentials_free(&fresh);
        return -ENOMEM;
    }
    *ret_restart = creds->ufrag != NULL;
    fresh.generation = creds->generation + *ret_restart;
    credentials_free(&transport->before[from]);
    transport->before[from] = *creds;
    transport->restart[from] = *ret_restart ? transport->session->serial : 0;
    *creds = fresh;
    spread_credentials(transport, from);
    return 0;
}

void transport_undo(struct transport *transport, unsigned serial)
{
    for (int side = 0; side < SIDE_COUNT; side++) {
        if (!transport->before[side].ufrag || transport->restart[side] != serial)
            continue;
        credentials_free(&transport->creds[side]);
        transport->creds[side] = transport->before[side];
        transport->before[side] = (struct credentials){0};
        transport->offered[!side] = transport->creds[side].generation + 1;
        spread_credentials(transport, (enum side)side);
    }
}

static int learn_ice(struct transport *transport, enum side from, const struct xml *element,
                     unsigned components)
{
    bool restart;
    int r = learn_credentials(transport, from, element, &restart);

    // A new transport needs paths, and so does the restart of one whose paths were given back.
    if (r < 0 || (transport->known && !restart))
        return r;
    transport->known = true;
    for (unsigned c = 1; r == 0 && c <= components; c++)
        r = path_open(transport, c);
    return r;
}

// ---- raw UDP

static void expect_media(struct transport *transport, unsigned component)
{
    static const uint8_t unspecified[4];
    const struct media_path *path = transport->path[component - 1];

    for (int side = 0; path && side < SIDE_COUNT; side++) {
        struct order tell = {.side = (enum side)side};

        // Who has signalled nothing, as in XEP-0176 section 6, is learned from what it sends.
        tell.u.peer = transport->peer[side][component - 1];
        if (tell.u.peer.family == FAMILY_NONE)
            tell.u.peer = addr_v4(unspecified, 0);
        (void)give_order(transport->session->signal, &tell, ORDER_PEER, path);
    }
}

// Google: a client may not have checked before it was accepted.
void transport_expect_media(struct transport *transport)
{
    if (transport->kind != TRANSPORT_RAW && transport->kind != TRANSPORT_GOOGLE)
        return;
    expect_media(transport, 1);
    expect_media(transport, 2);
}

int media_path_reopen(struct media_path *path)
{
    const struct transport *transport = path->transport;
    bool live = transport->session->call.state == CALL_ACTIVE;
    int r = order_path(path);

    if (r == 0 &&
        (transport->kind == TRANSPORT_GOOGLE || (transport->kind == TRANSPORT_RAW && live)))
        expect_media(path->transport, path->component);
    return r;
}

// Component 1 first: the path of RTCP is tied to that of RTP.
static int learn_raw(struct transport *transport, enum side from, const struct xml *element)
{
    struct xml *c = xml_child(element, "candidate", NULL);
    int r = 0;

    for (; c; c = xml_next(c, "candidate", NULL)) {
        unsigned component = jingle_candidate_component(c);
        struct addr addr;

        if (component < 1 || component > 2 || jingle_candidate_addr(c, &addr) < 0)
            return -EBADMSG;
        if (!transport_owns(transport, other(from), &addr)) // diverted again, ours is in its place
            transport->peer[from][component - 1] = addr;
    }
    for (unsigned component = 1; r == 0 && component <= 2; component++) {
        if (transport->peer[from][component - 1].family != FAMILY_NONE)
            r = path_open(transport, component);
    }
    return r;
}

// ---- Google

// What it lists of other components, or over TCP, is not ours.
static int learn_google(struct transport *transport, enum side from, const struct xml *element)
{
    const struct xml *c = xml_child(element, "candidate", NULL);
    int r = 0;

    for (; c && r == 0; c = xml_next(c, "candidate", NULL)) {
        unsigned component = jingle_candidate_component(c);
        const char *protocol = xml_attr(c, "protocol");
        struct order tell = {.side = from};

        if (component < 1 || component > 2 || jingle_candidate_addr(c, &tell.u.peer) < 0 ||
            (protocol && strcmp(protocol, "udp") != 0) ||
            transport_owns(transport, other(from), &tell.u.peer))
            continue;
        r = path_open(transport, component);
        if (r == 0)
            (void)give_order(transport->session->signal, &tell, ORDER_PEER,
                             transport->path[component - 1]);
    }
    return r;
}

bool transport_owns(const struct transport *transport, enum side to, const struct addr *addr)
{
    for (int i = 0; i < 4; i++) {
        const struct media_path *path = transport->path[i / 2];

        if (path && path->opened && addr_equal(&path->relay[to][i % 2], addr))
            return true;
    }
    return false;
}

bool transport_said(const struct transport *transport, enum side from, const struct xml *element)
{
    const char *ufrag = xml_attr(element, "ufrag"), *pwd = xml_attr(element, "pwd");
    const struct xml *c = xml_child(element, "candidate", NULL);
    struct addr addr;

    if (strcmp(element->ns, transport->ns) != 0)
        return false;
    if (transport->kind == TRANSPORT_GOOGLE)
        return true; // there is one set of candidates, which grows
    if (transport->kind != TRANSPORT_RAW)
        return ufrag && pwd && same_credentials(&transport->creds[from], ufrag, pwd);
    for (; c; c = xml_next(c, "candidate", NULL)) {
        if (jingle_candidate_addr(c, &addr) < 0 ||
            (!transport_owns(transport, other(from), &addr) &&
             !addr_equal(&transport->peer[from][0], &addr) &&
             !addr_equal(&transport->peer[from][1], &addr)))
            return false;
    }
    return transport->path[0] || transport->path[1];
}

int transport_learn(struct transport *transport, enum side from, const struct xml *element,
                    unsigned components)
{
    if (strcmp(element->ns, transport->ns) != 0)
        return 0;
    note_candidates(transport, from, element);
    if (transport->kind == TRANSPORT_RAW)
        return learn_raw(transport, from, element);
    if (transport->kind == TRANSPORT_GOOGLE)
        return learn_google(transport, from, element);
    return transport->kind == TRANSPORT_ICE ? learn_ice(transport, from, element, components) : 0;
}
