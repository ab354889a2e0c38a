// SPDX-License-Identifier: ISC
// The switchboard; see board.h.
#include "lib/board.h"

#include "codec/jingle.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// ---- the world of the signalling

static int on_send(void *ctx, const struct xml *stanza)
{
    struct board *b = ctx;

    if (b->send_error || ++b->sends == b->fail_send)
        return b->send_error ? b->send_error : -ENOTCONN;
    if (b->sents < BOARD_SENT)
        b->sent[b->sents] = xml_clone(stanza);
    if (b->sents < BOARD_SENT && b->sent[b->sents])
        b->sents++;
    return 0;
}

static struct board_path *find_path(struct board *b, uint64_t id)
{
    for (unsigned i = 0; i < b->paths; i++) {
        if (b->path[i].open.path == id)
            return &b->path[i];
    }
    return NULL;
}

static void note_order(struct board_path *path, const struct order *order)
{
    enum side side = order->side;

    if (order->kind == ORDER_CLOSE) {
        assert_false(path->closed);
        path->closed = true;
    } else if (order->kind == ORDER_CREDENTIALS) {
        path->credentials[side]++;
        snprintf(path->ufrag[side], sizeof path->ufrag[side], "%.63s", order->u.credentials.ufrag);
        snprintf(path->pwd[side], sizeof path->pwd[side], "%.63s", order->u.credentials.pwd);
    } else if (order->kind == ORDER_PEER) {
        path->peers[side]++;
        path->peer[side] = order->u.peer;
    }
}

static int on_order(void *ctx, const struct order *order)
{
    struct board *b = ctx;
    struct board_path *path = find_path(b, order->path);

    if (b->order_error || ++b->orders == b->fail_order)
        return b->order_error ? b->order_error : -ENOMEM;
    if (order->kind == ORDER_OPEN) {
        assert_null(path);
        assert_true(b->paths < BOARD_PATHS);
        b->path[b->paths++].open = *order;
    } else if (order->kind == ORDER_SNAPSHOT) {
        assert_true(b->snapshots < 64);
        b->snapshot[b->snapshots++] = order->u.token;
    } else {
        assert_non_null(path);
        note_order(path, order);
    }
    return 0;
}

static void on_random(void *ctx, void *buf, size_t len)
{
    struct board *b = ctx;

    for (size_t i = 0; i < len; i++) {
        b->random = b->random * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)buf)[i] = (uint8_t)(b->random >> 56);
    }
}

static void on_ended(void *ctx, const struct call_report *report, usec_t now)
{
    struct board *b = ctx;

    b->ended++;
    b->ended_views = report->views;
    b->ended_report = *report;
    snprintf(b->ended_reason, sizeof b->ended_reason, "%s",
             report->end_reason ? report->end_reason : "");
}

// ---- life

struct signal_config board_config(void)
{
    static const char *const domains[] = {"example.org"};

    return (struct signal_config){
        .domain = "relay.example.org",
        .served = domains,
        .served_count = 1,
        .policy = POLICY_FALLBACK,
        .family_v4 = true,
        .candidates_max = 64,
        .answer_timeout = 15 * USEC_PER_SEC,
        .proposal_timeout = 180 * USEC_PER_SEC,
        .calls = {.calls = 100,
                  .calls_per_user = 50,
                  .new_calls_per_minute = 60,
                  .setup_timeout = 10 * USEC_PER_SEC,
                  .ring_timeout = 120 * USEC_PER_SEC,
                  .media_timeout = 30 * USEC_PER_SEC,
                  .idle_timeout = 300 * USEC_PER_SEC},
    };
}

struct board *board_try(const struct signal_config *config)
{
    struct signal_config usual = board_config();
    struct board *b = calloc(1, sizeof *b);
    struct signal_io io = {b, on_send, on_order, on_random, on_ended, NULL};

    if (!b)
        return NULL;
    b->now = 1000 * USEC_PER_SEC;
    b->random = 42;
    b->restarts = getenv("BOARD_RESTARTS") != NULL;
    if (signal_new(config ? config : &usual, &io, &b->counters, b->now, &b->signal) < 0) {
        free(b);
        return NULL;
    }
    return b;
}

struct board *board_new(const struct signal_config *config)
{
    struct board *b = board_try(config);

    assert_non_null(b);
    return b;
}

void board_drop(struct board *b)
{
    signal_free(b->signal);
    for (unsigned i = b->taken; i < b->sents; i++)
        xml_free(b->sent[i]);
    xml_free(b->last);
    free(b);
}

void board_free(struct board *b)
{
    assert_int_equal(signal_calls(b->signal), 0);
    assert_int_equal(signal_unfinished(b->signal), 0);
    assert_int_equal(board_open_paths(b), 0);
    assert_int_equal(board_counter(b, COUNTER_CALLS_SETUP), 0);
    assert_int_equal(board_counter(b, COUNTER_CALLS_RINGING), 0);
    assert_int_equal(board_counter(b, COUNTER_CALLS_ACTIVE), 0);
    board_drop(b);
}

// ---- calls of the signalling

static void enter(struct board *b)
{
    if (b->enter)
        b->enter();
}

static void leave(struct board *b)
{
    if (b->leave)
        b->leave();
}

static usec_t tick(struct board *b)
{
    usec_t next;

    enter(b);
    next = signal_tick(b->signal, b->now);
    leave(b);
    return next;
}

// After all that follows from what was done.
static void rest(struct board *b)
{
    board_settle(b);
    if (b->restarts && board_may_restart(b))
        board_restart(b);
}

void board_tick(struct board *b)
{
    tick(b);
    rest(b);
}

static void deliver(struct board *b, const struct xml *stanza)
{
    enter(b);
    signal_stanza(b->signal, stanza, b->now);
    leave(b);
    tick(b);
}

static void event(struct board *b, const struct relay_event *event)
{
    enter(b);
    signal_event(b->signal, event, b->now);
    leave(b);
    tick(b);
}

// ---- stanzas in

void board_put_xml(struct board *b, const struct xml *stanza)
{
    deliver(b, stanza);
    rest(b);
}

void board_put(struct board *b, const char *format, ...)
{
    va_list ap;
    struct xml *x;

    va_start(ap, format);
    x = parse_va(format, ap);
    va_end(ap);
    board_put_xml(b, x);
    xml_free(x);
}

void board_wait(struct board *b, usec_t time)
{
    usec_t end = b->now + time;

    for (;;) {
        usec_t next = tick(b);

        board_settle(b);
        if (next <= b->now)
            continue;
        if (next > end)
            break;
        b->now = next;
    }
    b->now = end;
    board_tick(b);
}

// ---- the relay and the clients answer

void board_opened(struct board *b, unsigned index)
{
    static const uint8_t v4[4] = {203, 0, 113, 1};
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    struct board_path *path = &b->path[index];
    struct relay_event e = {.kind = EVENT_OPENED, .call = path->open.call, .path = path->open.path};

    path->answered = true;
    for (unsigned side = 0; side < SIDE_COUNT; side++) {
        uint16_t port = (uint16_t)(40000 + b->port + 2 * index + side);

        if (path->open.u.open.family_v4[side])
            path->relay[side][0] = addr_v4(v4, port);
        if (path->open.u.open.family_v6[side])
            path->relay[side][1] = addr_v6(v6, port);
    }
    memcpy(e.u.opened, path->relay, sizeof e.u.opened);
    event(b, &e);
}

void board_failed(struct board *b, unsigned index, int error)
{
    struct board_path *path = &b->path[index];
    struct relay_event e = {
        .kind = EVENT_FAILED, .call = path->open.call, .path = path->open.path, .error = error};

    path->answered = path->closed = true;
    event(b, &e);
}

void board_event(struct board *b, unsigned index, enum event_kind kind)
{
    struct relay_event e = {
        .kind = kind, .call = b->path[index].open.call, .path = b->path[index].open.path};

    event(b, &e);
    rest(b);
}

static void answer_snapshot(struct board *b)
{
    uint64_t token = b->snapshot[0];
    struct relay_event e = {.kind = EVENT_SNAPSHOT, .call = token, .token = token};
    struct path_view view = {.call = token};

    memmove(b->snapshot, b->snapshot + 1, --b->snapshots * sizeof b->snapshot[0]);
    for (unsigned i = 0; i < b->paths; i++) {
        // The order came before the one that closed the path.
        if (b->path[i].open.call != token || !b->path[i].answered)
            continue;
        view.path = b->path[i].open.path;
        e.path = view.path;
        e.u.view = &view;
        event(b, &e);
    }
    e.kind = EVENT_SNAPSHOT_END;
    event(b, &e);
}

static bool answer_paths(struct board *b)
{
    for (unsigned i = 0; i < b->paths && !b->late; i++) {
        if (b->path[i].answered || b->path[i].closed)
            continue;
        if (b->fail)
            board_failed(b, i, b->fail);
        else
            board_opened(b, i);
        return true;
    }
    return false;
}

static bool answer_disco(struct board *b)
{
    for (unsigned i = b->taken; i < b->sents && !b->no_disco; i++) {
        struct xml *iq = b->sent[i], *result;
        const char *id = xml_attr(iq, "id");
        bool own = id && id[0] == 'r' && strlen(id) == 17; // not passed on for a client
        const char *to = xml_attr(iq, "to"), *name;

        if (!own || !xml_child(iq, "query", NS_DISCO_INFO) ||
            strcmp(xml_attr(iq, "type"), "get") != 0)
            continue;
        for (unsigned k = i + 1; k < b->sents; k++)
            b->sent[k - 1] = b->sent[k];
        b->sents--;
        name = b->client[strncmp(to, "alice", 5) != 0];
        result = parse("<iq type='result' from='%s' to='%s' id='%s'>"
                       "<query xmlns='%s'><identity category='client' type='pc' name='%s'/></query>"
                       "</iq>",
                       to, xml_attr(iq, "from"), id, NS_DISCO_INFO, name ? name : "Client");
        xml_free(iq);
        deliver(b, result);
        xml_free(result);
        return true;
    }
    return false;
}

void board_settle(struct board *b)
{
    bool more;

    do {
        more = answer_disco(b) || answer_paths(b);
        if (!more && b->snapshots > 0 && !b->mute) {
            answer_snapshot(b);
            more = true;
        }
    } while (more);
}

// ---- stanzas out

struct xml *board_peek(struct board *b)
{
    return b->taken < b->sents ? b->sent[b->taken] : NULL;
}

struct xml *board_take(struct board *b)
{
    if (b->taken == b->sents)
        fail_msg("nothing was sent");
    xml_free(b->last);
    b->last = b->sent[b->taken++];
    if (b->taken == b->sents)
        b->taken = b->sents = 0;
    return b->last;
}

void board_none(struct board *b)
{
    char *text = b->taken < b->sents ? text_of(b->sent[b->taken]) : NULL;

    if (text)
        fail_msg("sent unexpectedly: %s", text);
}

void board_clear(struct board *b)
{
    while (b->taken < b->sents)
        board_take(b);
}

static void fill_wildcards(struct xml *want, const struct xml *got)
{
    const struct xml *g = got->first;

    for (struct xml_attr *a = want->attrs; a; a = a->next) {
        const char *value = xml_attr(got, a->name);

        if (strcmp(a->value, "*") == 0 && value)
            assert_int_equal(xml_set_ns(want, a->ns, a->name, value), 0);
    }
    for (struct xml *w = want->first; w && g; w = w->next, g = g->next) {
        if (w->name && g->name)
            fill_wildcards(w, g);
    }
}

static void compare(struct xml *want, struct xml *got)
{
    fill_wildcards(want, got);
    if (!xml_equal(want, got)) {
        char *w = text_of(want), *g = text_of(got);

        fail_msg("\nexpected %s\n     got %s", w, g);
    }
    xml_free(want);
}

struct xml *board_expect(struct board *b, const char *format, ...)
{
    va_list ap;
    struct xml *want;

    va_start(ap, format);
    want = parse_va(format, ap);
    va_end(ap);
    compare(want, board_take(b));
    return b->last;
}

void board_expect_result(struct board *b, const char *to, const char *id)
{
    compare(parse("<iq type='result' from='*' to='%s' id='%s'/>", to, id), board_take(b));
}

void board_expect_error(struct board *b, const char *to, const char *id, const char *condition,
                        const char *jingle)
{
    struct xml *got = board_take(b), *error = xml_child(got, "error", NS_CLIENT);
    char *text = text_of(got);

    if (!error || strcmp(xml_attr(got, "type"), "error") != 0 || !xml_attr(error, "type") ||
        !xml_child(error, condition, NS_STANZAS) ||
        (jingle && !xml_child(error, jingle, NS_JINGLE_ERRORS)) ||
        (!jingle && xml_child(error, NULL, NS_JINGLE_ERRORS)))
        fail_msg("expected the error %s, got %s", condition, text);
    assert_string_equal(xml_attr(got, "to"), to);
    if (id)
        assert_string_equal(xml_attr(got, "id"), id);
    free(text);
}

void board_result(struct board *b)
{
    assert_non_null(b->last);
    board_put(b, "<iq type='result' from='%s' to='%s' id='%s'/>", xml_attr(b->last, "to"),
              xml_attr(b->last, "from"), xml_attr(b->last, "id"));
}

void board_answer_all(struct board *b)
{
    while (board_peek(b)) {
        const struct xml *got = board_take(b);
        const char *type = xml_attr(got, "type");

        if (strcmp(got->name, "iq") == 0 && (strcmp(type, "set") == 0 || strcmp(type, "get") == 0))
            board_result(b);
    }
}

void board_error(struct board *b, const char *condition)
{
    assert_non_null(b->last);
    board_put(b,
              "<iq type='error' from='%s' to='%s' id='%s'><error type='cancel'>"
              "<%s xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
              xml_attr(b->last, "to"), xml_attr(b->last, "from"), xml_attr(b->last, "id"),
              condition);
}

unsigned board_open_paths(const struct board *b)
{
    unsigned n = 0;

    for (unsigned i = 0; i < b->paths; i++)
        n += !b->path[i].closed;
    return n;
}

uint64_t board_counter(const struct board *b, enum counter id)
{
    return counter_get(&b->counters, id);
}
