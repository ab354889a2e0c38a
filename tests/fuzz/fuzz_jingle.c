// SPDX-License-Identifier: ISC
// The signalling as a whole: the input is a sequence of lines separated by NUL. A line is a stanza
// (in jabber:client unless it says otherwise) or, after '!', what happens meanwhile: the relay
// opens or refuses a path, media come or stop, a client answers, time passes. The first byte is the
// configuration. Whatever happens, every path that was opened is closed in the end.
#include "signal/signal.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATHS_MAX 512
#define ASKED_MAX 256
#define LINES_MAX 200

struct path {
    struct order open;
    bool answered, closed;
};

struct world {
    struct signal *signal;
    struct counters counters;
    usec_t now;
    uint64_t random;
    struct path path[PATHS_MAX];
    unsigned paths;
    struct xml *asked[ASKED_MAX]; // IQs that clients have not answered; owned
    unsigned askeds;
    uint64_t snapshot[ASKED_MAX];
    unsigned snapshots;
};

static void must(bool condition)
{
    if (!condition)
        abort();
}

static int on_send(void *ctx, const struct xml *stanza)
{
    struct world *w = ctx;
    const char *type = xml_attr(stanza, "type");
    struct buf text = {0};

    must(xml_attr(stanza, "from") && xml_attr(stanza, "to"));
    xml_write(stanza, "jabber:client", &text);
    must(!text.failed);
    buf_free(&text);
    if (strcmp(stanza->name, "iq") == 0 && w->askeds < ASKED_MAX &&
        (strcmp(type, "set") == 0 || strcmp(type, "get") == 0))
        w->asked[w->askeds++] = xml_clone(stanza);
    return 0;
}

static struct path *path_of(struct world *w, uint64_t id)
{
    for (unsigned i = 0; i < w->paths; i++) {
        if (w->path[i].open.path == id)
            return &w->path[i];
    }
    return NULL;
}

static int on_order(void *ctx, const struct order *order)
{
    struct world *w = ctx;
    struct path *path = path_of(w, order->path);

    if (order->kind == ORDER_SNAPSHOT) {
        if (w->snapshots == ASKED_MAX)
            return -ENOMEM;
        w->snapshot[w->snapshots++] = order->u.token;
    } else if (order->kind == ORDER_OPEN) {
        must(!path);
        if (w->paths == PATHS_MAX)
            return -ENOMEM;
        w->path[w->paths++].open = *order;
    } else {
        must(path && !path->closed);
        path->closed = order->kind == ORDER_CLOSE;
    }
    return 0;
}

static void on_random(void *ctx, void *buf, size_t len)
{
    struct world *w = ctx;

    for (size_t i = 0; i < len; i++) {
        w->random = w->random * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)buf)[i] = (uint8_t)(w->random >> 56);
    }
}

static void on_ended(void *ctx, const struct call_report *report, usec_t now)
{
    struct world *w = ctx;

    must(now == w->now && report->state == CALL_ENDED && report->jid[0] && report->jid[1]);
}

static void event(struct world *w, const struct path *path, enum event_kind kind)
{
    static const uint8_t ip[4] = {203, 0, 113, 1};
    struct relay_event e = {.kind = kind,
                            .call = path->open.call,
                            .path = path->open.path,
                            .error = kind == EVENT_FAILED ? -EMFILE : 0};

    if (kind == EVENT_OPENED)
        e.u.opened[0][0] = e.u.opened[1][0] = addr_v4(ip, 40000);
    signal_event(w->signal, &e, w->now);
}

static void answer_opening(struct world *w, bool opens)
{
    for (unsigned i = 0; i < w->paths; i++) {
        struct path *path = &w->path[i];

        if (path->answered)
            continue;
        path->answered = true;
        path->closed |= !opens;
        event(w, path, opens ? EVENT_OPENED : EVENT_FAILED);
        return;
    }
}

static void answer_openings(struct world *w, bool opens)
{
    for (unsigned i = 0; i < 64; i++)
        answer_opening(w, opens);
}

static void tell_all(struct world *w, enum event_kind kind)
{
    for (unsigned i = 0; i < w->paths; i++) {
        if (!w->path[i].closed)
            event(w, &w->path[i], kind);
    }
}

static void answer_snapshots(struct world *w)
{
    while (w->snapshots > 0) {
        uint64_t token = w->snapshot[--w->snapshots];
        struct path_view view = {.call = token};
        struct relay_event e = {.kind = EVENT_SNAPSHOT, .token = token};

        e.u.view = &view;
        signal_event(w->signal, &e, w->now);
        e.kind = EVENT_SNAPSHOT_END;
        signal_event(w->signal, &e, w->now);
    }
}

static void answer(struct world *w, const char *type, const char *inner)
{
    static const struct xml_limits limits = {4096, 16, 64};
    struct xml *asked = w->askeds > 0 ? w->asked[0] : NULL, *reply;

    for (unsigned i = 1; i < w->askeds; i++)
        w->asked[i - 1] = w->asked[i];
    if (!asked) {
        w->askeds -= w->askeds > 0; // there was no memory to keep it
        return;
    }
    w->askeds--;
    must(xml_parse(inner, strlen(inner), &limits, &reply) == 0);
    must(!xml_set(reply, "type", type) && !xml_set(reply, "id", xml_attr(asked, "id")) &&
         !xml_set(reply, "from", xml_attr(asked, "to")) &&
         !xml_set(reply, "to", xml_attr(asked, "from")));
    signal_stanza(w->signal, reply, w->now);
    xml_free(reply);
    xml_free(asked);
}

static void happen(struct world *w, char what)
{
    static const char *const clients[] = {"Dino", "Miranda", "Psi", "Asterisk"};

    switch (what) {
    case 'o':
        answer_openings(w, true);
        break;
    case 'p':
        answer_opening(w, true);
        break;
    case 'f':
        answer_opening(w, false);
        break;
    case 'm':
        tell_all(w, EVENT_MEDIA);
        break;
    case 's':
        tell_all(w, EVENT_SILENT);
        break;
    case 'x':
        answer_snapshots(w);
        break;
    case 'r':
        answer(w, "result", "<iq xmlns='jabber:client'/>");
        break;
    case 'e':
        answer(w, "error",
               "<iq xmlns='jabber:client'><error><service-unavailable "
               "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
        break;
    case 'd': {
        struct buf text = {0};

        buf_printf(&text,
                   "<iq xmlns='jabber:client'><query xmlns='http://jabber.org/protocol/disco#info'>"
                   "<identity name='%s'/></query></iq>",
                   clients[w->random >> 40 & 3]);
        answer(w, "result", text.data);
        buf_free(&text);
        break;
    }
    case 't':
        w->now += USEC_PER_SEC;
        break;
    case 'T':
        w->now += 400 * USEC_PER_SEC;
        break;
    case 'g':
        signal_end_all(w->signal, "gone", w->now);
        break;
    default:
        break;
    }
}

static void line(struct world *w, const char *text, size_t len)
{
    static const struct xml_limits limits = {65536, 32, 1000};
    struct xml *stanza;

    if (len > 1 && text[0] == '!') {
        happen(w, text[1]);
        return;
    }
    if (xml_parse(text, len, &limits, &stanza) < 0)
        return;
    if (stanza->ns[0] == 0)
        stanza->ns = "jabber:client";
    signal_stanza(w->signal, stanza, w->now);
    xml_free(stanza);
}

static void finish(struct world *w)
{
    signal_free(w->signal);
    for (unsigned i = 0; i < w->paths; i++)
        must(w->path[i].closed);
    for (unsigned i = 0; i < w->askeds; i++)
        xml_free(w->asked[i]);
    free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const domains[] = {"example.org"};
    static const struct signal_service items[] = {{"stun", "udp", "relay.example.org", 3478},
                                                  {"turn", "udp", "relay.example.org", 3478},
                                                  {"turns", "tcp", "2001:db8::1", 5349}};
    struct world *w = calloc(1, sizeof *w);
    struct signal_io io = {w, on_send, on_order, on_random, on_ended, NULL};
    struct signal_config config = {.domain = "relay.example.org",
                                   .served = domains,
                                   .served_count = 1,
                                   .family_v4 = true,
                                   .candidates_max = 16,
                                   .answer_timeout = 15 * USEC_PER_SEC,
                                   .proposal_timeout = 60 * USEC_PER_SEC,
                                   .calls = {.calls = 20,
                                             .calls_per_user = 10,
                                             .setup_timeout = 10 * USEC_PER_SEC,
                                             .ring_timeout = 60 * USEC_PER_SEC,
                                             .media_timeout = 30 * USEC_PER_SEC,
                                             .idle_timeout = 60 * USEC_PER_SEC,
                                             .duration = 4000 * USEC_PER_SEC}};
    size_t start = 1;

    must(w != NULL);
    config.policy = size > 0 && data[0] & 1 ? POLICY_RELAY_ONLY : POLICY_FALLBACK;
    config.family_v6 = size > 0 && data[0] & 2;
    if (size > 0 && data[0] & 4)
        config.services = (struct signal_services){items, 3, "a secret of at least 128 bits",
                                                   1000 * USEC_PER_SEC};
    must(signal_new(&config, &io, &w->counters, 0, &w->signal) == 0);
    for (unsigned lines = 0; start < size && lines < LINES_MAX; lines++) {
        const uint8_t *end = memchr(data + start, 0, size - start);
        size_t len = end ? (size_t)(end - data) - start : size - start;

        line(w, (const char *)data + start, len);
        (void)signal_tick(w->signal, w->now);
        start += len + 1;
    }
    finish(w);
    return 0;
}
