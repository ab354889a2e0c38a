// SPDX-License-Identifier: ISC
// See lib_office.h.
#include "sim/lib_office.h"

#include "sim/lib_host.h"

#include "../src/signal/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum item_kind { ITEM_STANZA_IN, ITEM_STANZA_OUT, ITEM_STANZA_HOST, ITEM_ORDER, ITEM_EVENT };

struct item { // something under way; its own owner
    struct timer timer;
    struct office *office;
    enum item_kind kind;
    unsigned user;
    struct xml *stanza;
    struct path_view *view;
    union {
        struct order order;
        struct relay_event event;
    } u;
};

uint64_t office_random(struct office *o, uint64_t below)
{
    return net_random(o->net, below);
}

// ---- the books

// Closing and refusing take time on their way: the signalling's paths are those that it has
// ordered and not given back, the relay's those that are open.
static void compare_books(const struct office *o)
{
    const struct counters *c = &o->net->counters;
    const struct signal *s = o->signal;
    uint64_t calls = counter_get(&o->counters, COUNTER_CALLS_SETUP) +
                     counter_get(&o->counters, COUNTER_CALLS_RINGING) +
                     counter_get(&o->counters, COUNTER_CALLS_ACTIVE) +
                     counter_get(&o->counters, COUNTER_DIVERTED_SETUP) +
                     counter_get(&o->counters, COUNTER_DIVERTED_RINGING) +
                     counter_get(&o->counters, COUNTER_DIVERTED_ACTIVE);

    if (s->paths.count != o->known)
        net_fail(o->net, "the signalling knows %zu paths, not %u", s->paths.count, o->known);
    if (counter_get(c, COUNTER_PATHS_OPEN) != o->open)
        net_fail(o->net, "the relay has other paths open than were ordered");
    if (counter_get(c, COUNTER_PORTS_USED) != o->ports)
        net_fail(o->net, "ports in use and paths differ");
    if (o->under_way == 0 && o->known != o->open)
        net_fail(o->net, "%u paths known, %u open", o->known, o->open);
    if (calls != signal_calls(s) || calls != s->sessions.count || s->ids.count < calls)
        net_fail(o->net, "%" PRIu64 " calls by state, %u counted, %zu sessions", calls,
                 signal_calls(s), s->sessions.count);
    if (s->pending.count != s->pending_count || s->proposals.count != s->proposal_count)
        net_fail(o->net, "pending IQs or proposals are counted wrong");
}

static void after_signal(struct office *o)
{
    usec_t next = signal_tick(o->signal, o->net->now);

    if (next == USEC_NEVER)
        timer_cancel(&o->net->timers, &o->tick);
    else
        net_arm(o->net, &o->tick, next);
    compare_books(o);
}

static void tick_due(struct timer *timer, void *ctx, usec_t now)
{
    (void)ctx;
    (void)now;
    after_signal(container_of(timer, struct office, tick));
}

// ---- what is under way

static void item_due(struct timer *timer, void *ctx, usec_t now);

// Nothing of one lane overtakes.
static struct item *item_new(struct office *o, enum item_kind kind, usec_t *lane, usec_t delay)
{
    struct item *item = calloc(1, sizeof *item);

    if (!item)
        abort();
    item->office = o;
    item->kind = kind;
    item->timer.fire = item_due;
    *lane = o->net->now + delay > *lane ? o->net->now + delay : *lane + 1;
    net_arm(o->net, &item->timer, *lane);
    o->under_way++;
    return item;
}

static struct office_path *path_of(struct office *o, uint64_t id)
{
    for (unsigned i = o->paths; i-- > 0;) {
        if (o->path[i].id == id)
            return &o->path[i];
    }
    net_fail(o->net, "a path that nobody has ordered");
}

static void give_order(struct office *o, const struct order *order)
{
    struct office_path *path = order->kind == ORDER_CLOSE ? path_of(o, order->path) : NULL;

    if (path) {
        o->open -= path->open;
        o->ports -= path->ports;
        path->ports = 0;
        path->open = false;
    }
    net_order(o->net, order);
    if (path) {
        for (unsigned s = 0; s < SIDE_COUNT && path->leg; s++)
            model_detach(o->net, &path->leg[s]);
        free(path->leg);
        path->leg = NULL;
    }
}

static void give_event(struct office *o, struct relay_event *event)
{
    if (event->kind == EVENT_FAILED) {
        struct office_path *path = path_of(o, event->path);

        o->known -= path->known;
        path->known = false;
    }
    signal_event(o->signal, event, o->net->now);
    after_signal(o);
}

static void note_answer(struct office *o, const struct xml *stanza)
{
    const char *id = xml_attr(stanza, "id"), *type = xml_attr(stanza, "type");

    if (strcmp(stanza->name, "iq") != 0 || (strcmp(type, "result") && strcmp(type, "error")))
        return;
    for (unsigned i = 0; i < o->askeds; i++) {
        if (strcmp(o->asked[i], id) != 0)
            continue;
        memcpy(o->asked[i], o->asked[--o->askeds], sizeof o->asked[0]);
        o->answered++;
        o->errors += strcmp(type, "error") == 0;
        return;
    }
    net_fail(o->net, "an answer to %s, which nobody asked or which was answered before", id);
}

static void stanza_in(struct office *o, struct item *item)
{
    if (o->host && !jid_domain_is(xml_attr(item->stanza, "to"), "relay.example.org")) {
        host_stanza(o->host, item->stanza);
        item->stanza = NULL;
        return;
    }
    signal_stanza(o->signal, item->stanza, o->net->now);
    after_signal(o);
}

static void item_due(struct timer *timer, void *ctx, usec_t now)
{
    struct item *item = container_of(timer, struct item, timer);
    struct office *o = item->office;

    (void)ctx;
    (void)now;
    o->under_way--;
    switch (item->kind) {
    case ITEM_STANZA_IN:
        stanza_in(o, item);
        break;
    case ITEM_STANZA_HOST:
        host_answer(o->host, item->stanza);
        break;
    case ITEM_STANZA_OUT:
        note_answer(o, item->stanza);
        o->hooks.stanza(o->hooks.ctx, item->user, item->stanza);
        break;
    case ITEM_ORDER:
        give_order(o, &item->u.order);
        break;
    case ITEM_EVENT:
        give_event(o, &item->u.event);
        break;
    }
    xml_free(item->stanza);
    free(item->view);
    free(item);
}

// ---- the world of the signalling

void office_deliver(struct office *o, struct xml *stanza)
{
    const char *to = xml_attr(stanza, "to");
    unsigned user = to[0] == 'u' ? (unsigned)(to[1] - '0') : OFFICE_USERS;
    struct item *item;

    if (user >= OFFICE_USERS || !jid_domain_is(to, "example.org"))
        net_fail(o->net, "sent to %s", to);
    // A stanza takes longer than an order: the relay knows credentials before clients use them.
    item = item_new(o, ITEM_STANZA_OUT, &o->lane_out[user],
                    (10 + office_random(o, 70)) * USEC_PER_MSEC);
    item->user = user;
    item->stanza = stanza;
}

void office_to_relay(struct office *o, struct xml *stanza)
{
    item_new(o, ITEM_STANZA_IN, &o->lane_relay, office_random(o, 5) * USEC_PER_MSEC)->stanza =
        stanza;
}

static int on_send(void *ctx, const struct xml *stanza)
{
    struct office *o = ctx;
    const char *to = xml_attr(stanza, "to"), *from = xml_attr(stanza, "from");
    struct xml *copy = xml_clone(stanza);

    if (!copy)
        abort();
    if (!jid_domain_is(from, "relay.example.org"))
        net_fail(o->net, "sent from %s", from);
    if (o->host && strcmp(to, "example.org") == 0)
        item_new(o, ITEM_STANZA_HOST, &o->lane_host, office_random(o, 5) * USEC_PER_MSEC)->stanza =
            copy;
    else
        office_deliver(o, copy);
    return 0;
}

static int on_order(void *ctx, const struct order *order)
{
    struct office *o = ctx;
    struct item *item;

    if (order->kind == ORDER_OPEN) {
        if (o->paths == OFFICE_PATHS)
            net_fail(o->net, "too many paths");
        o->path[o->paths++] =
            (struct office_path){.id = order->path, .call = order->call, .known = true};
        o->known++;
    } else if (order->kind == ORDER_CLOSE) {
        struct office_path *path = path_of(o, order->path);

        if (!path->known)
            net_fail(o->net, "closed twice");
        path->known = false;
        o->known--;
    }
    item = item_new(o, ITEM_ORDER, &o->lane_order, office_random(o, 10) * USEC_PER_MSEC);
    item->u.order = *order;
    return 0;
}

static void on_random(void *ctx, void *buf, size_t len)
{
    struct office *o = ctx;

    for (size_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)office_random(o, 256);
}

static void on_ended(void *ctx, const struct call_report *report, usec_t now)
{
    struct office *o = ctx;

    if (report->state != CALL_ENDED || report->ended > now || !report->end_reason)
        net_fail(o->net, "a call ended that has not");
    o->ended++;
}

// ---- the world of the relay

static void relay_arrives(void *ctx, struct net_socket *socket, const struct net_flight *flight)
{
    struct office *o = ctx;

    model_arrives(o->net, socket, flight);
}

static void relay_leaves(void *ctx, struct net_socket *socket, const struct addr *to,
                         const struct net_flight *cause, struct net_socket *at, const uint8_t *data,
                         size_t len)
{
    struct office *o = ctx;

    (void)data;
    (void)len;
    model_leaves(o->net, socket, to, cause, at);
}

static void path_opened(struct office *o, const struct relay_event *event)
{
    struct office_path *path = path_of(o, event->path);
    const struct session *session;

    path->open = true;
    o->open++;
    path->leg = calloc(SIDE_COUNT, sizeof *path->leg);
    if (!path->leg)
        abort();
    for (unsigned s = 0; s < SIDE_COUNT; s++) {
        path->leg[s].net = o->net;
        path->leg[s].path = path->id;
        path->leg[s].side = s;
        for (unsigned f = 0; f < 2; f++) {
            struct net_socket *socket = net_socket_at(o->net, &event->u.opened[s][f]);
            if ((socket != NULL) != (f < o->families))
                net_fail(o->net, "a path has other families than the relay");
            if (!socket)
                continue;
            model_attach(socket, &path->leg[s]);
            path->ports += !socket->shared;
        }
    }
    o->ports += path->ports;
    session = session_by_id(o->signal, path->call);
    if (session)
        o->hooks.opened(o->hooks.ctx, session->sid, path);
}

static void relay_says(void *ctx, const struct relay_event *event)
{
    struct office *o = ctx;
    struct item *item =
        item_new(o, ITEM_EVENT, &o->lane_event, office_random(o, 30) * USEC_PER_MSEC);

    item->u.event = *event;
    if (event->kind == EVENT_OPENED)
        path_opened(o, event);
    if (event->kind == EVENT_SNAPSHOT) {
        item->view = malloc(sizeof *item->view);
        if (!item->view)
            abort();
        *item->view = *event->u.view;
        item->u.event.u.view = item->view;
    }
}

// ---- life

struct office *office_new(uint64_t seed, bool diverts, const struct signal_config *config,
                          const struct relay_config *relay, const struct office_hooks *hooks)
{
    struct office *o = calloc(1, sizeof *o);
    const struct net_hooks net_hooks = {o, relay_arrives, relay_leaves, relay_says};
    const struct signal_io io = {o, on_send, on_order, on_random, on_ended, NULL};

    if (!o)
        abort();
    o->hooks = *hooks;
    o->families = config->family_v4 + config->family_v6;
    o->tick.fire = tick_due;
    o->net = net_new(seed, relay, &net_hooks);
    if (diverts)
        o->host = host_new(o);
    if (signal_new(config, &io, &o->counters, o->net->now, &o->signal) < 0)
        abort();
    return o;
}

void office_free(struct office *o)
{
    const struct signal *s = o->signal;

    if (o->known || o->open || o->under_way || counter_get(&o->net->counters, COUNTER_PORTS_USED))
        net_fail(o->net, "paths are left");
    if (s->sessions.count || s->ids.count || s->pending.count || s->proposals.count ||
        s->paths.count || s->relations.count || s->calls.users.count || s->timers.count ||
        s->calls.timers.count)
        net_fail(o->net, "sessions, proposals, users or timers are left");
    if (o->askeds)
        net_fail(o->net, "%s was never answered", o->asked[0]);
    timer_cancel(&o->net->timers, &o->tick);
    host_free(o->host);
    signal_free(o->signal);
    net_free(o->net);
    free(o);
}

void office_send(struct office *o, unsigned user, const char *text)
{
    static const struct xml_limits limits = {65536, 32, 2000};
    struct item *item;
    struct xml *stanza;
    const char *type;

    if (!text || !*text)
        return;
    if (xml_parse(text, strlen(text), &limits, &stanza) < 0)
        net_fail(o->net, "not well-formed: %s", text);
    type = xml_attr(stanza, "type");
    if (strcmp(stanza->name, "iq") == 0 && (strcmp(type, "set") == 0 || strcmp(type, "get") == 0)) {
        if (o->askeds == OFFICE_ASKED)
            net_fail(o->net, "too many requests without an answer");
        snprintf(o->asked[o->askeds++], sizeof o->asked[0], "%s", xml_attr(stanza, "id"));
    }
    item = item_new(o, ITEM_STANZA_IN, &o->lane_in[user], office_random(o, 80) * USEC_PER_MSEC);
    item->stanza = stanza;
}

void office_run(struct office *o, usec_t time)
{
    net_run(o->net, o->net->now + time);
}

// ---- a restart

// What is there now is counted anew by the successor.
static void clear_gauges(struct counters *counters)
{
    for (int i = 0; i < COUNTER_COUNT; i++) {
        if (counter_rows[i].type == COUNTER_TYPE_GAUGE)
            counter_set(counters, (enum counter)i, 0);
    }
}

static void keep_paths(struct office *o)
{
    struct kept_path *kept = calloc(o->paths + 1, sizeof *kept);
    size_t count = 0;

    if (!kept)
        abort();
    for (unsigned i = 0; i < o->paths; i++) {
        if (o->path[i].known)
            kept[count++] = (struct kept_path){o->path[i].call, o->path[i].id};
    }
    signal_keep_paths(o->signal, kept, count, o->net->now);
    free(kept);
}

void office_restart(struct office *o)
{
    struct signal *old = o->signal;
    struct signal_io io = old->io;
    json_t *state = signal_save(old, o->net->now);
    char *text = json_dumps(state, 0);
    unsigned lost = 1, calls = signal_calls(old);

    json_decref(state);
    if (signal_new(&old->config, &io, &o->counters, o->net->now, &o->signal) < 0 || !text)
        abort();
    signal_free(old);
    clear_gauges(&o->counters);
    state = json_loads(text, 0, NULL);
    if (signal_restore(o->signal, state, o->net->now, &lost) < 0 || lost > 0 ||
        signal_calls(o->signal) != calls)
        net_fail(o->net, "%u of %u calls are lost: %s", lost, calls, text);
    json_decref(state);
    free(text);
    keep_paths(o);
    o->restarts++;
    after_signal(o);
}
