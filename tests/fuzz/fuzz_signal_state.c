// SPDX-License-Identifier: ISC
// A snapshot of the signalling that may be anything: the input is its text. Whatever is taken from
// it lives: the relay has every second path, clients speak, time passes; it can be saved and taken
// by another successor, whole; and in the end no call is left and no path is closed twice.
#include "codec/jingle.h"
#include "signal/signal.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATHS_MAX 512

struct path {
    uint64_t call, id;
    bool answered, closed;
};

struct world {
    struct counters counters;
    usec_t now;
    uint64_t random;
    struct path path[PATHS_MAX]; // that were ordered
    unsigned paths;
    uint64_t snapshot[PATHS_MAX];
    unsigned snapshots;
};

static void must(bool condition)
{
    if (!condition)
        abort();
}

static int on_send(void *ctx, const struct xml *stanza)
{
    struct buf text = {0};

    (void)ctx;
    must(xml_attr(stanza, "to") != NULL);
    xml_write(stanza, "jabber:client", &text);
    must(!text.failed);
    buf_free(&text);
    return 0;
}

static int on_order(void *ctx, const struct order *order)
{
    struct world *w = ctx;

    if (order->kind == ORDER_SNAPSHOT) {
        if (w->snapshots == PATHS_MAX)
            return -ENOMEM;
        w->snapshot[w->snapshots++] = order->u.token;
    } else if (order->kind == ORDER_OPEN) {
        if (w->paths == PATHS_MAX)
            return -ENOMEM;
        w->path[w->paths++] = (struct path){order->call, order->path, false, false};
    }
    for (unsigned i = 0; i < w->paths && order->kind == ORDER_CLOSE; i++) {
        if (w->path[i].id != order->path || w->path[i].call != order->call)
            continue;
        must(!w->path[i].closed);
        w->path[i].closed = true;
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
    (void)ctx;
    must(report->state == CALL_ENDED && report->end_reason && call_verdict(report, now) >= 0);
}

static struct signal *signal_of(struct world *w)
{
    static const char *const domains[] = {"example.org"};
    static const struct signal_service items[] = {{"turn", "udp", "relay.example.org", 3478}};
    const struct signal_io io = {w, on_send, on_order, on_random, on_ended, NULL};
    const struct signal_config config = {
        .domain = "relay.example.org",
        .served = domains,
        .served_count = 1,
        .family_v4 = true,
        .candidates_max = 16,
        .answer_timeout = 15 * USEC_PER_SEC,
        .proposal_timeout = 60 * USEC_PER_SEC,
        .calls = {.media_timeout = 30 * USEC_PER_SEC, .idle_timeout = 300 * USEC_PER_SEC},
        .services = {items, 1, "a secret of at least 128 bits", 3600 * USEC_PER_SEC},
    };
    struct signal *signal;

    memset(&w->counters, 0, sizeof w->counters);
    must(signal_new(&config, &io, &w->counters, w->now, &signal) == 0);
    return signal;
}

// Every second path of the snapshot, and one that is in none.
static void keep(struct signal *signal, const json_t *state, usec_t now)
{
    struct kept_path kept[64] = {{77, 7777}};
    const json_t *session, *transport, *path;
    size_t count = 1, i, j, k, number = 0;

    json_array_foreach(json_object_get(state, "sessions"), i, session)
    {
        uint64_t call = (uint64_t)json_integer_value(json_object_get(session, "id"));

        json_array_foreach(json_object_get(session, "transports"), j, transport)
        {
            json_array_foreach(json_object_get(transport, "paths"), k, path)
            {
                if (count < 64 && ++number % 2)
                    kept[count++] = (struct kept_path){
                        call, (uint64_t)json_integer_value(json_object_get(path, "id"))};
            }
        }
    }
    signal_keep_paths(signal, kept, count, now);
}

static void open_paths(struct world *w, struct signal *signal)
{
    static const uint8_t ip[4] = {203, 0, 113, 1};

    for (unsigned i = 0; i < w->paths; i++) {
        struct relay_event e = {
            .kind = EVENT_OPENED, .call = w->path[i].call, .path = w->path[i].id};

        if (w->path[i].answered || w->path[i].closed)
            continue;
        w->path[i].answered = true;
        for (unsigned side = 0; side < SIDE_COUNT; side++)
            e.u.opened[side][0] = addr_v4(ip, (uint16_t)(40000 + 2 * i + side));
        signal_event(signal, &e, w->now);
    }
    while (w->snapshots > 0) {
        struct relay_event e = {.kind = EVENT_SNAPSHOT_END, .token = w->snapshot[--w->snapshots]};

        signal_event(signal, &e, w->now);
    }
}

// As the snapshots of the corpus have them: session s1 of Alice and Bob.
static void speak(struct world *w, struct signal *signal)
{
    static const char *const text[] = {
        "<iq xmlns='jabber:client' type='set' id='x' from='alice@example.org/a' "
        "to='bob\\40example.org@relay.example.org/b'><jingle xmlns='urn:xmpp:jingle:1' "
        "action='transport-info' sid='s1'><content creator='initiator' name='0'><transport "
        "xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='new' pwd='p'/></content></jingle>"
        "</iq>",
        "<iq xmlns='jabber:client' type='set' id='x' from='bob@example.org/b' "
        "to='alice\\40example.org@relay.example.org/a'><jingle xmlns='urn:xmpp:jingle:1' "
        "action='session-accept' sid='s1'><content creator='initiator' name='0'><transport "
        "xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='b' pwd='p'/></content></jingle></iq>",
        "<iq xmlns='jabber:client' type='set' id='x' from='bob@example.org/b' "
        "to='alice\\40example.org@relay.example.org/a'><jingle xmlns='urn:xmpp:jingle:1' "
        "action='content-remove' sid='s1'><content creator='initiator' name='0'/></jingle></iq>"};
    static const struct xml_limits limits = {65536, 32, 2000};

    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) {
        struct xml *stanza;

        must(xml_parse(text[i], strlen(text[i]), &limits, &stanza) == 0);
        signal_stanza(signal, stanza, w->now);
        xml_free(stanza);
        open_paths(w, signal);
    }
}

static void wait(struct world *w, struct signal *signal, usec_t time)
{
    usec_t end = w->now + time;

    for (unsigned i = 0; i < 1000; i++) {
        usec_t next = signal_tick(signal, w->now);

        open_paths(w, signal);
        if (next > end)
            break;
        w->now = next > w->now ? next : w->now;
    }
    w->now = end;
}

// Returns the successor: what was taken once is taken again.
static struct signal *succeed(struct world *w, struct signal *signal)
{
    unsigned lost = 1, calls;
    struct signal *next;
    json_t *state = signal_save(signal, w->now);

    must(state != NULL);
    calls = signal_calls(signal);
    signal_free(signal);
    next = signal_of(w);
    must(signal_restore(next, state, w->now, &lost) == 0 && lost == 0);
    must(signal_calls(next) == calls);
    json_decref(state);
    return next;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *w = calloc(1, sizeof *w);
    json_t *state = json_loadb((const char *)data, size, 0, NULL);
    struct signal *signal;
    unsigned lost;

    must(w != NULL);
    w->now = 2000 * USEC_PER_SEC;
    signal = signal_of(w);
    if (state && signal_restore(signal, state, w->now, &lost) == 0) {
        signal = succeed(w, signal);
        keep(signal, state, w->now);
        open_paths(w, signal);
        speak(w, signal);
        wait(w, signal, 20 * USEC_PER_SEC);
        signal = succeed(w, signal);
        wait(w, signal, 600 * USEC_PER_SEC);
        signal_end_all(signal, "gone", w->now);
        wait(w, signal, 600 * USEC_PER_SEC);
        must(signal_calls(signal) == 0);
    }
    signal_free(signal);
    json_decref(state);
    free(w);
    return 0;
}
