// SPDX-License-Identifier: ISC
// A restart of the signalling: calls that are saved at any step of their lives go on with the same
// stanzas; what the relay has lost in the meantime; snapshots of another kind than ours. (Most
// tests of the signalling are run once more with BOARD_RESTARTS, too.)
#include "codec/jingle.h"
#include "lib/board.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEC    USEC_PER_SEC
#define ICE    "urn:xmpp:jingle:transports:ice-udp:1"
#define RAW    "urn:xmpp:jingle:transports:raw-udp:1"
#define GOOGLE "http://www.google.com/transport/p2p"
#define NODES  "http://jabber.org/protocol/jinglenodes#channel"
#define CONTENT(creator, name, ufrag)                                                              \
    "<content creator='" creator "' name='" name                                                   \
    "'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>"                            \
    "<transport xmlns='" ICE "' ufrag='" ufrag "' pwd='p'><candidate ip='192.0.2.1' port='5'/>"    \
    "</transport></content>"
#define AUDIO CONTENT("initiator", "0", "ua")
#define RAW_CONTENT                                                                                \
    "<content creator='initiator' name='0'><transport xmlns='" RAW                                 \
    "'><candidate component='1' ip='192.0.2.1' port='5000'/></transport></content>"
#define GOOGLE_CONTENT                                                                             \
    "<content creator='initiator' name='0'><description xmlns='urn:xmpp:jingle:apps:rtp:1' "       \
    "media='audio'/><transport xmlns='" GOOGLE "'><candidate name='rtp' address='192.0.2.1' "      \
    "port='5' username='u' protocol='udp'/></transport></content>"

// ---- a call step by step, with all that is sent

struct play {
    struct board *b;
    struct buf sent; // what was sent, in order
};

typedef void (*step_fn)(struct play *p);

static void answer_all(struct play *p)
{
    struct board *b = p->b;

    while (board_peek(b)) {
        const struct xml *got = board_take(b);
        const char *type = xml_attr(got, "type");

        xml_write(got, NS_CLIENT, &p->sent);
        buf_puts(&p->sent, "\n");
        if (strcmp(got->name, "iq") == 0 && (strcmp(type, "set") == 0 || strcmp(type, "get") == 0))
            board_result(b);
    }
}

// Ports open at last.
static void open_all(struct play *p)
{
    for (unsigned i = 0; i < p->b->paths; i++) {
        if (!p->b->path[i].answered && !p->b->path[i].closed)
            board_opened(p->b, i);
    }
}

static void propose(struct play *p)
{
    board_put(p->b, "<message from='" ALICE "' to='bob\\40example.org@relay.example.org'>"
                    "<propose xmlns='urn:xmpp:jingle-message:0' id='s1'/></message>");
}

static void proceed(struct play *p)
{
    board_put(p->b, "<message from='" BOB "' to='" ALICE_AS
                    "'><proceed xmlns='urn:xmpp:jingle-message:0' id='s1'/></message>");
}

static void offer(struct play *p)
{
    p->b->late = true;
    alice(p->b, "i", "session-initiate", AUDIO);
}

static void trickle(struct play *p)
{
    alice(p->b, "t", "transport-info", AUDIO);
}

static void accept(struct play *p)
{
    bob(p->b, "a", "session-accept", CONTENT("initiator", "0", "ub"));
}

static void media(struct play *p)
{
    board_event(p->b, 0, EVENT_MEDIA);
}

static void restart_ice(struct play *p)
{
    alice(p->b, "r", "transport-info", CONTENT("initiator", "0", "ua2"));
}

static void restart_back(struct play *p)
{
    bob(p->b, "rb", "transport-info", CONTENT("initiator", "0", "ub2"));
}

static void replace(struct play *p)
{
    alice(p->b, "rep", "transport-replace", RAW_CONTENT);
}

static void replace_accept(struct play *p)
{
    bob(p->b, "ra", "transport-accept", RAW_CONTENT);
}

static void add(struct play *p)
{
    bob(p->b, "add", "content-add", CONTENT("responder", "v", "v"));
}

static void add_accept(struct play *p)
{
    alice(p->b, "acc", "content-accept", CONTENT("responder", "v", "w"));
}

static void bye(struct play *p)
{
    bob(p->b, "bye", "session-terminate", "<reason><success/></reason>");
}

static const step_fn addressed[] = {
    propose,    proceed,        answer_all,   offer,      trickle,    open_all, answer_all,
    open_all,   answer_all,     accept,       open_all,   answer_all, media,    restart_ice,
    open_all,   answer_all,     restart_back, open_all,   answer_all, replace,  open_all,
    answer_all, replace_accept, open_all,     answer_all, add,        open_all, answer_all,
    add_accept, open_all,       answer_all,   bye,        answer_all,
};

static void google_offer(struct play *p)
{
    p->b->late = true;
    alice(p->b, "i", "session-initiate", GOOGLE_CONTENT);
}

static void google_accept(struct play *p)
{
    bob(p->b, "a", "session-accept", GOOGLE_CONTENT);
}

static const step_fn google[] = {google_offer, open_all,   answer_all, google_accept,
                                 open_all,     answer_all, bye,        answer_all};

static void divert_offer(struct play *p)
{
    divert(p->b, ALICE, BOB, "session-initiate", AUDIO);
}

static void divert_trickle(struct play *p)
{
    divert(p->b, ALICE, BOB, "transport-info", AUDIO);
}

static void divert_accept(struct play *p)
{
    divert(p->b, BOB, ALICE, "session-accept", CONTENT("initiator", "0", "ub"));
}

static void divert_restart(struct play *p)
{
    divert(p->b, ALICE, BOB, "transport-info", CONTENT("initiator", "0", "ua2"));
}

static void divert_replace(struct play *p)
{
    divert(p->b, ALICE, BOB, "transport-replace", RAW_CONTENT);
}

static void divert_replace_accept(struct play *p)
{
    divert(p->b, BOB, ALICE, "transport-accept", RAW_CONTENT);
}

static void divert_bye(struct play *p)
{
    divert(p->b, BOB, ALICE, "session-terminate", "<reason><success/></reason>");
}

static const step_fn diverted[] = {
    divert_offer,   divert_trickle,        divert_accept, divert_restart, divert_trickle,
    divert_replace, divert_replace_accept, media,         divert_bye,     answer_all};

static void ask_channel(struct play *p)
{
    p->b->late = true;
    board_put(p->b,
              "<iq type='get' from='" ALICE "' to='relay.example.org' id='q'><channel xmlns='" NODES
              "' protocol='udp'/></iq>");
}

static void fall_silent(struct play *p)
{
    board_event(p->b, 0, EVENT_SILENT);
    board_event(p->b, 1, EVENT_SILENT);
    board_wait(p->b, 40 * SEC);
}

static const step_fn channel[] = {ask_channel, open_all, media, fall_silent, answer_all};

static char *play(const step_fn *step, size_t steps, size_t restart)
{
    struct play p = {.b = board_new(NULL)};
    char *text;

    p.b->restarts = false;
    for (size_t i = 0; i < steps; i++) {
        if (i == restart)
            board_restart(p.b);
        step[i](&p);
    }
    p.b->late = false;
    board_settle(p.b);
    answer_all(&p);
    board_wait(p.b, 400 * SEC);
    answer_all(&p);
    assert_int_equal(p.b->ended, 1);
    board_free(p.b);
    text = buf_take(&p.sent);
    assert_non_null(text);
    return text;
}

static void play_all(const step_fn *step, size_t steps)
{
    char *usual = play(step, steps, steps);

    for (size_t i = 0; i < steps; i++) {
        char *other = play(step, steps, i);

        if (strcmp(usual, other) != 0)
            fail_msg("restarted before step %zu:\n%s\nwithout:\n%s", i, other, usual);
        free(other);
    }
    free(usual);
}

static void an_addressed_call_at_every_step(void **state)
{
    play_all(addressed, sizeof addressed / sizeof addressed[0]);
}

static void a_diverted_call_at_every_step(void **state)
{
    play_all(diverted, sizeof diverted / sizeof diverted[0]);
}

static void googles_transport_at_every_step(void **state)
{
    play_all(google, sizeof google / sizeof google[0]);
}

static void a_channel_at_every_step(void **state)
{
    play_all(channel, sizeof channel / sizeof channel[0]);
}

// ---- what the relay has lost

// The successor's relay has only the first 'count' of these paths.
static void restart_with(struct board *b, const struct kept_path *kept, size_t count)
{
    char *text = board_save(b);
    unsigned lost = 1;

    board_replace(b);
    assert_int_equal(board_restore(b, text, &lost), 0);
    assert_int_equal(lost, 0);
    signal_keep_paths(b->signal, kept, count, b->now);
    free(text);
}

static struct board *active_call(void)
{
    struct board *b = board_new(NULL);

    b->restarts = false;
    board_offer(b);
    board_accept(b);
    return b;
}

static void lose_all(struct board *b)
{
    for (unsigned i = 0; i < b->paths; i++)
        b->path[i].closed = true;
    restart_with(b, NULL, 0);
}

static void a_call_that_was_carried_ends_with_its_path(void **state)
{
    struct board *b = active_call();
    const struct xml *jingle;

    board_event(b, 0, EVENT_MEDIA);
    lose_all(b);
    for (int i = 0; i < 2; i++) {
        jingle = xml_child(board_take(b), "jingle", NS_JINGLE);
        assert_string_equal(xml_attr(jingle, "action"), "session-terminate");
        assert_non_null(xml_child(xml_child(jingle, "reason", NULL), "connectivity-error", NULL));
        board_result(b);
    }
    board_settle(b);
    assert_string_equal(b->ended_reason, "connectivity-error");
    board_free(b);
}

static void a_call_that_was_not_carried_goes_on(void **state)
{
    struct board *b = active_call();

    lose_all(b);
    board_none(b);
    assert_int_equal(signal_calls(b->signal), 1);
    restart_ice(&(struct play){.b = b}); // and has ports again when it wants some
    board_answer_all(b);
    assert_true(board_open_paths(b) > 0);
    board_hang_up(b);
    board_free(b);
}

static void what_nobody_needs_is_closed(void **state)
{
    struct board *b = active_call();
    struct kept_path kept[BOARD_PATHS + 1];
    size_t count = 0;

    b->path[b->paths++].open = (struct order){.call = 77, .path = 7777};
    for (unsigned i = b->paths; i-- > 0;)
        kept[count++] = (struct kept_path){b->path[i].open.call, b->path[i].open.path};
    restart_with(b, kept, count);
    assert_true(b->path[b->paths - 1].closed);
    assert_false(b->path[0].closed);
    board_none(b);
    board_hang_up(b);
    board_free(b);
}

// The order had not reached the relay: it is given again, with all that belongs to it.
static void what_was_being_opened_is_opened(void **state)
{
    struct board *b = board_new(NULL);

    b->restarts = false;
    b->late = true;
    alice(b, "i", "session-initiate", AUDIO);
    board_none(b);
    assert_int_equal(b->path[0].credentials[SIDE_INITIATOR], 1);
    b->paths = 0;
    memset(b->path, 0, sizeof b->path);
    restart_with(b, NULL, 0);
    assert_true(b->paths > 0);
    assert_string_equal(b->path[0].ufrag[SIDE_INITIATOR], "ua");
    b->late = false;
    board_settle(b);
    board_take(b);
    assert_non_null(
        relay_candidate(transport_of(b->last, "0"), 1, FAMILY_V4)); // the offer, at last
    board_result(b);
    board_expect_result(b, ALICE, "i");
    bye(&(struct play){.b = b});
    board_answer_all(b);
    board_free(b);
}

static void a_channel_ends_with_its_paths(void **state)
{
    struct board *b = board_new(NULL);

    b->restarts = false;
    ask_channel(&(struct play){.b = b});
    b->late = false;
    board_settle(b);
    board_take(b);
    lose_all(b);
    board_settle(b);
    assert_string_equal(b->ended_reason, "failed");
    board_free(b);
}

// ---- time, answers, quotas

static void deadlines_are_put_off(void **state)
{
    struct board *b = board_new(NULL);
    unsigned lost;
    char *text;

    b->restarts = false;
    alice(b, "i", "session-initiate", AUDIO);
    board_take(b);
    board_wait(b, 10 * SEC);
    text = board_save(b);
    b->now += 600 * SEC;
    board_replace(b);
    assert_int_equal(board_restore(b, text, &lost), 0);
    free(text);
    board_keep(b);
    board_wait(b, 4 * SEC);
    board_none(b);
    board_result(b); // under the id from before the restart
    board_expect_result(b, ALICE, "i");
    board_wait(b, 90 * SEC); // it goes on ringing
    board_none(b);
    board_wait(b, 30 * SEC);
    assert_string_equal(b->ended_reason, "timeout");
    board_answer_all(b);
    board_wait(b, 20 * SEC);
    board_free(b);
}

// It may have come while nobody was there: who has answered does not say it again.
static void an_answer_that_was_missed_is_a_good_one(void **state)
{
    struct board *b = board_new(NULL);

    b->restarts = false;
    alice(b, "i", "session-initiate", AUDIO);
    board_take(b);
    board_restart(b);
    board_wait(b, 15 * SEC);
    board_expect_result(b, ALICE, "i");
    board_none(b);
    accept(&(struct play){.b = b});
    assert_string_equal(xml_attr(board_take(b), "to"), ALICE);
    board_answer_all(b);
    board_result(b);
    board_clear(b);
    board_hang_up(b);
    board_wait(b, 20 * SEC);
    board_answer_all(b);
    board_free(b);
}

static void quotas_go_on(void **state)
{
    struct signal_config config = board_config();
    struct board *b;

    config.calls.new_calls_per_minute = 2;
    config.calls.calls_per_user = 2;
    b = board_new(&config);
    b->restarts = false;
    board_offer(b);
    board_restart(b);
    assert_int_equal(board_counter(b, COUNTER_CALLS_RINGING), 1);
    board_put(b, "<message from='" ALICE "' to='carol\\40example.org@relay.example.org'>"
                 "<propose xmlns='urn:xmpp:jingle-message:0' id='s7'/></message>");
    assert_string_equal(board_take(b)->name, "message");
    board_restart(b);
    board_put(b, "<message from='" ALICE "' to='carol\\40example.org@relay.example.org'>"
                 "<propose xmlns='urn:xmpp:jingle-message:0' id='s8'/></message>");
    assert_string_equal(xml_attr(board_take(b), "type"), "error");
    assert_int_equal(board_counter(b, COUNTER_CALLS_REFUSED_RATE), 1);
    board_hang_up(b);
    board_wait(b, 400 * SEC);
    board_answer_all(b);
    board_free(b);
}

static void servers_and_reports_do_not_wait_for_a_successor(void **state)
{
    struct board *b = board_new(NULL);
    char *text;

    b->restarts = false;
    b->late = b->mute = true;
    divert(b, ALICE, BOB, "session-initiate", AUDIO);
    board_none(b);
    alice(b, "i", "session-initiate", AUDIO);
    alice(b, "x", "session-terminate", "<reason><cancel/></reason>");
    board_expect_result(b, ALICE, "x");
    board_expect_error(b, ALICE, "i", "resource-constraint", NULL);
    assert_int_equal(b->ended, 0);
    text = board_save(b);
    board_expect_passed(b);
    assert_int_equal(b->ended, 1);
    assert_int_equal(signal_calls(b->signal), 1); // what the server has passed rings
    // Ports are the successor's: the end of this one closes none.
    assert_int_equal(board_open_paths(b), b->paths - 2);
    board_drop(b);
    free(text);
}

// ---- snapshots of another kind

static char *read_golden(void)
{
    const char *data = getenv("TEST_DATA");
    char path[512], *text = calloc(1, 1 << 16);
    FILE *file;

    snprintf(path, sizeof path, "%s/state/signal-1.json", data ? data : "tests/data");
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
    fclose(file);
    return text;
}

static struct signal_config with_turn(void)
{
    static const struct signal_service items[] = {{"turn", "udp", "relay.example.org", 3478}};
    struct signal_config config = board_config();

    config.services =
        (struct signal_services){items, 1, "a secret of at least 128 bits", 3600 * SEC};
    return config;
}

// What the golden snapshot was written from, and what it becomes: a call that is replacing its
// transport while a candidate waits, a diverted one, a channel, a proposal, a client that follows
// the credentials.
static struct board *golden_board(void)
{
    struct signal_config config = with_turn();
    struct board *b = board_new(&config);
    struct play p = {.b = b};

    b->restarts = false;
    board_put(b, "<presence from='" ALICE "' to='relay.example.org'/>");
    board_put(b, "<iq type='get' id='q' from='" ALICE "' to='relay.example.org'>"
                 "<services xmlns='urn:xmpp:extdisco:2'/></iq>");
    propose(&p);
    board_answer_all(b);
    board_offer(b);
    board_accept(b);
    divert_offer(&p);
    board_clear(b);
    ask_channel(&p);
    b->late = false;
    board_settle(b);
    board_clear(b);
    b->late = true;
    replace(&p);
    alice(b, "t2", "transport-info", RAW_CONTENT);
    board_none(b);
    return b;
}

static void the_paths_of(struct board *b, const json_t *list)
{
    struct relay_event e = {.kind = EVENT_OPENED};
    const json_t *object, *transport, *path;
    size_t i, j, k;

    json_array_foreach(list, i, object)
    {
        e.call = (uint64_t)json_integer_value(json_object_get(object, "id"));
        json_array_foreach(json_object_get(object, "transports"), j, transport)
        {
            json_array_foreach(json_object_get(transport, "paths"), k, path)
            {
                struct board_path *p = &b->path[b->paths++];

                e.path = (uint64_t)json_integer_value(json_object_get(path, "id"));
                p->open = (struct order){.call = e.call, .path = e.path};
                p->open.u.open.family_v4[0] = p->open.u.open.family_v4[1] = true;
                p->answered = json_is_true(json_object_get(path, "opened"));
            }
        }
        json_array_foreach(json_object_get(object, "paths"), k, path)
        {
            e.path = (uint64_t)json_integer_value(json_object_get(path, "id"));
            b->path[b->paths] = (struct board_path){.answered = true};
            b->path[b->paths++].open = (struct order){.call = e.call, .path = e.path};
        }
    }
}

static struct board *restored(const char *text, unsigned *ret_lost)
{
    struct signal_config config = with_turn();
    struct board *b = board_new(&config);
    json_t *state = json_loads(text, 0, NULL);

    b->restarts = false;
    b->late = true;
    the_paths_of(b, json_object_get(state, "sessions"));
    the_paths_of(b, json_object_get(state, "channels"));
    assert_int_equal(signal_restore(b->signal, state, b->now, ret_lost), 0);
    json_decref(state);
    board_keep(b);
    return b;
}

static void a_snapshot_of_version_1(void **state)
{
    char *text = read_golden();
    unsigned lost = 1;
    struct board *b = restored(text, &lost);

    free(text);
    assert_int_equal(lost, 0);
    assert_int_equal(signal_calls(b->signal), 3);
    assert_int_equal(board_counter(b, COUNTER_CALLS_ACTIVE), 1);
    assert_int_equal(board_counter(b, COUNTER_DIVERTED_RINGING), 1);
    assert_int_equal(board_counter(b, COUNTER_CHANNELS_RINGING), 1);
    assert_int_equal(board_counter(b, COUNTER_PUSH_LISTENERS), 1);
    board_none(b);
    b->late = false;
    board_settle(b); // the ports of the new transport
    assert_string_equal(xml_attr(xml_child(board_take(b), "jingle", NULL), "action"),
                        "transport-replace");
    board_result(b);
    assert_string_equal(xml_attr(xml_child(board_take(b), "jingle", NULL), "action"),
                        "transport-info");
    board_answer_all(b);
    proceed(&(struct play){.b = b});
    assert_string_equal(board_take(b)->name, "message");
    board_hang_up(b);
    divert_bye(&(struct play){.b = b});
    board_wait(b, 3000 * SEC); // the channel has its end, and new credentials come
    board_answer_all(b);
    board_free(b);
}

static void unknown_members_are_passed_over(void **state)
{
    char *text = read_golden();
    json_t *snapshot = json_loads(text, 0, NULL), *session;
    unsigned lost = 1;
    struct board *b;

    session = json_array_get(json_object_get(snapshot, "sessions"), 0);
    json_object_set_new(snapshot, "of_the_next_version", json_array());
    json_object_set_new(session, "of_the_next_version", json_true());
    json_object_set_new(json_array_get(json_object_get(session, "contents"), 0), "more",
                        json_integer(5));
    free(text);
    text = json_dumps(snapshot, 0);
    json_decref(snapshot);
    b = restored(text, &lost);
    free(text);
    assert_int_equal(lost, 0);
    assert_int_equal(signal_calls(b->signal), 3);
    board_drop(b);
}

static void another_version_is_refused(void **state)
{
    struct board *b = board_new(NULL);
    unsigned lost = 5;

    assert_int_equal(board_restore(b, "{\"v\": 3, \"sessions\": []}", &lost), -EPROTONOSUPPORT);
    assert_int_equal(board_restore(b, "[]", &lost), -EPROTONOSUPPORT);
    assert_int_equal(lost, 5);
    board_free(b);
}

// Every member of every object in turn becomes what it cannot be.
static unsigned spoil(json_t *value, unsigned *countdown, json_t *with)
{
    const char *key;
    json_t *item;
    size_t i;
    void *next;

    if (json_is_array(value)) {
        json_array_foreach(value, i, item)
        {
            if (spoil(item, countdown, with))
                return 1;
        }
        return 0;
    }
    json_object_foreach_safe(value, next, key, item)
    {
        if (*countdown == 0) {
            json_object_set(value, key, with);
            return 1;
        }
        --*countdown;
        if (spoil(item, countdown, with))
            return 1;
    }
    return 0;
}

static void nonsense_is_left_out(void **state)
{
    char *text = read_golden();
    json_t *with[] = {json_integer(-1), json_string("\xc3\xa9<x"), json_object(), json_array()};

    for (unsigned k = 0, more = 1; more; k++) {
        for (int w = 0; w < 4; w++) {
            struct signal_config config = with_turn();
            struct board *b = board_new(&config);
            json_t *snapshot = json_loads(text, 0, NULL);
            unsigned countdown = k, lost = 0;

            more = spoil(snapshot, &countdown, with[w]);
            if (signal_restore(b->signal, snapshot, b->now, &lost) == 0) {
                signal_keep_paths(b->signal, NULL, 0, b->now);
                assert_true(signal_calls(b->signal) <= 3);
            }
            board_drop(b);
            json_decref(snapshot);
        }
    }
    for (int w = 0; w < 4; w++)
        json_decref(with[w]);
    free(text);
}

static void one_bad_session_costs_no_other(void **state)
{
    char *text = read_golden();
    json_t *snapshot = json_loads(text, 0, NULL), *session;
    unsigned lost = 0;
    struct board *b;

    session = json_array_get(json_object_get(snapshot, "sessions"), 0);
    json_object_set_new(session, "sid", json_integer(1));
    free(text);
    text = json_dumps(snapshot, 0);
    b = restored(text, &lost);
    free(text);
    json_decref(snapshot);
    assert_int_equal(lost, 1);
    assert_int_equal(signal_calls(b->signal), 2);
    board_drop(b);
}

// To be run by hand when there is a new version: its golden snapshot.
static void write_golden(void)
{
    struct board *b = golden_board();
    char *text = board_save(b);

    puts(text);
    free(text);
    board_drop(b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_addressed_call_at_every_step),
        cmocka_unit_test(a_diverted_call_at_every_step),
        cmocka_unit_test(googles_transport_at_every_step),
        cmocka_unit_test(a_channel_at_every_step),
        cmocka_unit_test(a_call_that_was_carried_ends_with_its_path),
        cmocka_unit_test(a_call_that_was_not_carried_goes_on),
        cmocka_unit_test(what_nobody_needs_is_closed),
        cmocka_unit_test(what_was_being_opened_is_opened),
        cmocka_unit_test(a_channel_ends_with_its_paths),
        cmocka_unit_test(deadlines_are_put_off),
        cmocka_unit_test(an_answer_that_was_missed_is_a_good_one),
        cmocka_unit_test(quotas_go_on),
        cmocka_unit_test(servers_and_reports_do_not_wait_for_a_successor),
        cmocka_unit_test(a_snapshot_of_version_1),
        cmocka_unit_test(unknown_members_are_passed_over),
        cmocka_unit_test(another_version_is_refused),
        cmocka_unit_test(nonsense_is_left_out),
        cmocka_unit_test(one_bad_session_costs_no_other),
    };

    if (getenv("WRITE_GOLDEN")) {
        write_golden();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
