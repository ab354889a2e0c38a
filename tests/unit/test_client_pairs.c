// SPDX-License-Identifier: ISC
// Every ordered pair of clients in a call, through both doors: what each says is rewritten, and
// what the other receives must be to its liking (lib_clients.h). From it the matrix of
// docs/INTEROP.md follows; run with UPDATE_DOCS=1 to write it anew.
#include "codec/jingle.h"
#include "lib/board.h"
#include "lib_clients.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SAID_MAX 32

struct talk { // one call
    struct board *b;
    enum door {
        SERVER,
        SERVERS, // of both ends, one after the other
        COMPONENT,
        NONE, // what is said is what is heard
    } door;
    enum mode mode;
    const struct client *who[SIDE_COUNT];
    struct ear ear[SIDE_COUNT];
    struct said {
        struct addr addr;
        unsigned component;
    } said[SIDE_COUNT][SAID_MAX]; // what each must have heard in the end
    unsigned said_count[SIDE_COUNT];
    struct xml *offer; // as the callee has received it
    char problem[1024];
};

// Of several, the first.
static void __attribute__((format(printf, 2, 3))) problem(struct talk *t, const char *format, ...)
{
    va_list ap;

    if (t->problem[0])
        return;
    va_start(ap, format);
    vsnprintf(t->problem, sizeof t->problem, format, ap);
    va_end(ap);
}

// ---- the doors

static void arrives(struct talk *t, enum side to, const struct xml *iq)
{
    bool had_fault = t->ear[to].fault[0];

    ear_hear(&t->ear[to], iq);
    if (!t->offer)
        t->offer = xml_clone(iq);
    if (!had_fault && t->ear[to].fault[0]) {
        char *text = text_of(iq);

        problem(t, "%s: %s", t->ear[to].fault, text);
        free(text);
    }
}

// docs/DIVERT.md section 3; 'times': by so many servers, one after the other.
static void through_servers(struct talk *t, unsigned times, enum side to, const struct xml *iq)
{
    struct xml *divert, *x;

    if (times == 0) {
        arrives(t, to, iq);
        return;
    }
    board_divert_xml(t->b, "example.org", iq);
    divert = xml_clone(xml_child(board_take(t->b), "divert", NS_DIVERT));
    assert_non_null(divert);
    board_none(t->b);
    assert_null(xml_child(divert, "answered", NULL));
    if (xml_child(divert, "pass", NULL))
        through_servers(t, times - 1, to, iq);
    for (x = xml_child(divert, "forwarded", NULL); x; x = xml_next(x, "forwarded", NULL))
        through_servers(t, times - 1, to, xml_child(x, "iq", NULL));
    xml_free(divert);
}

static void swap_parties(struct xml *iq, enum side from)
{
    struct xml *x = xml_child(iq, NULL, NULL);

    assert_int_equal(xml_set(iq, "to", from == SIDE_INITIATOR ? BOB_AS : ALICE_AS), 0);
    for (; x; x = xml_next(x, NULL, NULL)) {
        if (from == SIDE_RESPONDER && xml_attr(x, "initiator"))
            assert_int_equal(xml_set(x, "initiator", ALICE_AS), 0);
        if (from == SIDE_INITIATOR && xml_attr(x, "responder"))
            assert_int_equal(xml_set(x, "responder", BOB_AS), 0);
    }
}

static void through_the_component(struct talk *t, enum side to, const struct xml *iq)
{
    struct xml *copy = xml_clone(iq);
    const char *receiver = to == SIDE_INITIATOR ? ALICE : BOB;

    swap_parties(copy, to == SIDE_RESPONDER ? SIDE_INITIATOR : SIDE_RESPONDER);
    board_put_xml(t->b, copy);
    xml_free(copy);
    while (board_peek(t->b)) {
        const struct xml *got = board_take(t->b);
        const char *type = xml_attr(got, "type");

        if (strcmp(type, "error") == 0) {
            problem(t, "the component answers an error");
        } else if (strcmp(type, "set") == 0 && strcmp(xml_attr(got, "to"), receiver) == 0) {
            arrives(t, to, got);
            board_result(t->b);
        }
    }
}

// ---- the call

static void note_said(struct talk *t, enum side from, const struct xml *iq)
{
    const struct ear *ear = &t->ear[from == SIDE_INITIATOR ? SIDE_RESPONDER : SIDE_INITIATOR];
    const struct xml *transport = NULL, *c;

    while ((transport = mode_transport(t->mode, mode_payload(t->mode, iq), transport))) {
        for (c = xml_child(transport, "candidate", NULL); c; c = xml_next(c, "candidate", NULL)) {
            struct said *said = &t->said[from][t->said_count[from]];

            if (mode_candidate_addr(t->mode, c, &said->addr) < 0 ||
                !ear_could_use(ear, &said->addr, xml_attr(c, "protocol")))
                continue;
            said->component = mode_component(t->mode, c);
            assert_true(++t->said_count[from] < SAID_MAX);
        }
    }
}

static void say(struct talk *t, enum side from, const struct xml *iq)
{
    enum side to = from == SIDE_INITIATOR ? SIDE_RESPONDER : SIDE_INITIATOR;

    note_said(t, from, iq);
    if (t->door == SERVER || t->door == SERVERS)
        through_servers(t, t->door == SERVER ? 1 : 2, to, iq);
    else if (t->door == COMPONENT)
        through_the_component(t, to, iq);
    else
        arrives(t, to, iq);
}

// What it trickles after this.
static void say_more(struct talk *t, enum side from, const struct xml *before)
{
    struct xml *iq = client_trickle(t->who[from], t->mode, from == SIDE_RESPONDER, before);

    if (iq)
        say(t, from, iq);
    xml_free(iq);
}

static void converse(struct talk *t)
{
    const struct client *caller = t->who[SIDE_INITIATOR], *callee = t->who[SIDE_RESPONDER];

    struct xml *offer = client_offer(caller, callee, t->mode), *answer;

    say(t, SIDE_INITIATOR, offer);
    if (t->offer) {
        say_more(t, SIDE_INITIATOR, offer);
        answer = client_answer(callee, t->mode, t->offer);
        say(t, SIDE_RESPONDER, answer);
        say_more(t, SIDE_RESPONDER, answer);
        xml_free(answer);
    }
    xml_free(offer);
}

// ---- what came of it

static bool is_relay(const struct addr *addr)
{
    char text[ADDR_TEXT_MAX];

    return strcmp(addr_format_ip(addr, text), "203.0.113.1") == 0;
}

static bool hears_relay(const struct ear *ear, unsigned component)
{
    for (unsigned i = 0; i < ear->heard_count; i++) {
        if (ear->heard[i].component == component && is_relay(&ear->heard[i].addr))
            return true;
    }
    return false;
}

// Is the relay to be heard in this mode, beside the others' candidates or in their place?
static bool by_ice(enum mode mode)
{
    return mode == MODE_ICE || mode == MODE_ICE0;
}

static bool by_raw(enum mode mode)
{
    return mode == MODE_RAW || mode == MODE_TMP;
}

static bool by_google(enum mode mode)
{
    return mode == MODE_P2P || mode == MODE_GOOGLE || mode == MODE_V015;
}

static bool is_ours(enum mode mode)
{
    return by_ice(mode) || by_raw(mode) || by_google(mode);
}

// Neither side can be sure of rtcp-mux before the answer.
static bool needs_rtcp(const struct talk *t)
{
    const struct client *a = t->who[0], *b = t->who[1];

    return by_ice(t->mode) && (a->habits | b->habits) & HABIT_NO_MUX &&
           !((a->demands | b->demands) & DEMAND_COMPONENT_1);
}

// What one of them has heard.
static void judge(struct talk *t, enum side to)
{
    const struct ear *ear = &t->ear[to];
    const char *name = t->who[to]->name, *other = t->who[!to]->name;
    char text[ADDR_TEXT_MAX];

    for (unsigned i = 0; i < t->said_count[!to] && !by_raw(t->mode); i++) {
        const struct said *said = &t->said[!to][i];

        if (!ear_has(ear, &said->addr, said->component))
            problem(t, "%s cannot use %s:%u of %s", name, addr_format_ip(&said->addr, text),
                    said->addr.port, other);
    }
    if (t->door == NONE)
        return;
    if (is_ours(t->mode) && !hears_relay(ear, 1))
        problem(t, "%s has no relay", name);
    if (needs_rtcp(t) && !hears_relay(ear, 2))
        problem(t, "%s has no relay for RTCP", name);
}

// NULL: they talk, or why they cannot. The problem in 't' is empty when all went well.
static const char *call(struct talk *t, enum door door, const struct client *caller,
                        const struct client *callee)
{
    const char *why;

    *t = (struct talk){.door = door, .who = {caller, callee}};
    why = client_meet(caller, callee, &t->mode);
    if (why)
        return why;
    for (int side = 0; side < SIDE_COUNT; side++)
        t->ear[side] = (struct ear){.client = t->who[side], .mode = t->mode};
    t->b = board_new(NULL);
    t->b->client[SIDE_INITIATOR] = caller->identity;
    t->b->client[SIDE_RESPONDER] = callee->identity;
    converse(t);
    judge(t, SIDE_INITIATOR);
    judge(t, SIDE_RESPONDER);
    xml_free(t->offer);
    board_drop(t->b);
    return NULL;
}

// One letter: '+' the relay is offered to both; '=' they can talk, but not by the relay; 'x' so
// they say, but one refuses what the other writes, which the relay does not mend in this transport;
// or why they cannot. '!' is a failure, and is printed.
static char result(const struct client *caller, const struct client *callee)
{
    struct talk t;
    const char *why = call(&t, SERVER, caller, callee);

    if (why)
        return *why;
    if (t.problem[0] && is_ours(t.mode)) {
        print_error("%s -> %s: %s\n", caller->name, callee->name, t.problem);
        return '!';
    }
    if (t.problem[0])
        return 'x';
    return hears_relay(&t.ear[0], 1) && hears_relay(&t.ear[1], 1) ? '+' : '=';
}

// ---- the matrix

#define BEGIN "<!-- matrix: written by tests/unit/test_client_pairs.c -->\n"
#define END   "<!-- end of matrix -->"
#define GAJIM "Gajim (calls switched on)"

// Pairs that a scenario of tests/e2e lets call each other with the clients themselves.
static bool is_run(const struct client *caller, const struct client *callee)
{
    static const char *const pairs[][2] = {
        {"Dino", "Dino"},  {"Dino", GAJIM},       {"Dino", "stanza.js"},
        {GAJIM, "Dino"},   {GAJIM, GAJIM},        {"Pidgin", "Dino"},
        {"Pidgin", GAJIM}, {"stanza.js", "Dino"}, {"stanza.js", "stanza.js"},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (strcmp(caller->name, pairs[i][0]) == 0 && strcmp(callee->name, pairs[i][1]) == 0)
            return true;
    }
    return false;
}

static unsigned write_matrix(struct buf *out)
{
    unsigned failures = 0;

    buf_puts(out, "| | caller \\ callee |");
    for (unsigned i = 0; i < client_count; i++)
        buf_printf(out, " %u |", i + 1);
    buf_puts(out, "\n|--:|---|");
    for (unsigned i = 0; i < client_count; i++)
        buf_puts(out, ":-:|");
    buf_puts(out, "\n");
    for (unsigned i = 0; i < client_count; i++) {
        buf_printf(out, "| %u | %s |", i + 1, clients[i].name);
        for (unsigned k = 0; k < client_count; k++) {
            char letter = result(&clients[i], &clients[k]);

            failures += letter == '!';
            buf_printf(out, is_run(&clients[i], &clients[k]) ? " **%c** |" : " %c |", letter);
        }
        buf_puts(out, "\n");
    }
    return failures;
}

static char *read_doc(char path[512])
{
    const char *data = getenv("TEST_DATA");
    char *text = calloc(1, 1 << 20);
    FILE *f;

    snprintf(path, 512, "%s/../../docs/INTEROP.md", data ? data : "tests/data");
    f = fopen(path, "r");
    if (!f)
        fail_msg("%s cannot be read", path);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static void check_doc(const struct buf *matrix)
{
    char path[512], *text = read_doc(path), *from = strstr(text, BEGIN), *to;
    FILE *f;

    assert_non_null(from);
    from += strlen(BEGIN);
    to = strstr(from, END);
    assert_non_null(to);
    if (getenv("UPDATE_DOCS")) {
        f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "%.*s%s%s", (int)(from - text), text, matrix->data, to);
        fclose(f);
    } else if ((size_t)(to - from) != matrix->len || memcmp(from, matrix->data, matrix->len) != 0) {
        fail_msg("docs/INTEROP.md has another matrix; run this with UPDATE_DOCS=1:\n%s",
                 matrix->data);
    }
    free(text);
}

static void every_pair_that_can_talk_does(void **state)
{
    struct buf matrix = {0};
    unsigned failures = write_matrix(&matrix);

    assert_false(matrix.failed);
    assert_int_equal(failures, 0);
    check_doc(&matrix);
    buf_free(&matrix);
}

// The component asks for and rewrites what the server would; but of what is no jingle:1.
static void the_addressed_door_suits_them_too(void **state)
{
    for (unsigned i = 0; i < client_count * client_count; i++) {
        const struct client *caller = &clients[i / client_count];
        const struct client *callee = &clients[i % client_count];
        struct talk t;
        enum mode mode;

        if (client_meet(caller, callee, &mode) ||
            (!by_ice(mode) && mode != MODE_RAW && mode != MODE_P2P))
            continue;
        call(&t, COMPONENT, caller, callee);
        if (t.problem[0])
            fail_msg("%s -> %s: %s", caller->name, callee->name, t.problem);
        assert_true(hears_relay(&t.ear[0], 1) && hears_relay(&t.ear[1], 1));
    }
}

// Section 6: both ends' servers hand the same stanzas to the same relay.
static void twice_is_harmless(void **state)
{
    for (unsigned i = 0; i < client_count * client_count; i++) {
        const struct client *caller = &clients[i / client_count];
        const struct client *callee = &clients[i % client_count];
        struct talk once, twice;

        if (call(&once, SERVER, caller, callee))
            continue;
        call(&twice, SERVERS, caller, callee);
        if (strcmp(once.problem, twice.problem) != 0)
            fail_msg("%s -> %s: %s", caller->name, callee->name, twice.problem);
        for (int side = 0; side < SIDE_COUNT; side++)
            assert_int_equal(once.ear[side].heard_count, twice.ear[side].heard_count);
    }
}

// ---- the receivers find what they are there for

static const struct client *named(const char *name)
{
    unsigned i = 0;

    while (i < client_count && strncmp(clients[i].name, name, strlen(name)) != 0)
        i++;
    assert_true(i < client_count);
    return &clients[i];
}

// Without anybody who rewrites; a few could do without.
static void some_need_a_go_between(void **state)
{
    static const struct {
        const char *caller, *callee, *problem;
    } rows[] = {
        {"Conversations", "Dino", ""},
        {"Dino", "Psi", "<rtp-hdrext/> in a description"},
        {"Dino", "Asterisk", "<fingerprint/> in a transport"},
        {"Pidgin", "Asterisk", "a content of another creator"},
        {"Gajim", "Asterisk", "a content of another creator"},
        {"Miranda", "Dino", "Miranda NG cannot use 192.168.1.20:"},
        {"Pidgin", "Jitsi", "Jitsi cannot use 192.168.8.8:42000"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct talk t;

        assert_null(call(&t, NONE, named(rows[i].caller), named(rows[i].callee)));
        if (rows[i].problem[0] ? !strstr(t.problem, rows[i].problem) : t.problem[0] != 0)
            fail_msg("%s -> %s: %s", rows[i].caller, rows[i].callee, t.problem);
    }
}

#define GOOD                                                                                       \
    "component='1' foundation='1' generation='0' id='1' ip='192.0.2.1' network='0' port='5' "      \
    "priority='1' protocol='udp' type='host'"
#define INFO(jingle)    "<jingle xmlns='urn:xmpp:jingle:1' sid='s1' action='transport-info'>" jingle
#define HEAD            "<content creator='initiator' name='0'><transport xmlns='" NS_ICE_UDP "'"
#define TAIL            "</transport></content>"
#define ONE(attributes) INFO(HEAD " ufrag='u' pwd='p'><candidate " attributes "/>" TAIL "</jingle>")
#define OFFER(inner)                                                                               \
    "<jingle xmlns='urn:xmpp:jingle:1' sid='s1' action='session-initiate'>"                        \
    "<content creator='initiator' name='0'><description xmlns='" NS_RTP "' media='audio'>"         \
    "<payload-type id='8'/></description><transport xmlns='" NS_ICE_UDP "'>" inner TAIL            \
    "</jingle>"
#define GOOGLE(attributes)                                                                         \
    INFO("<content creator='initiator' name='0'><transport "                                       \
         "xmlns='http://www.google.com/transport/p2p'><candidate " attributes "/>" TAIL            \
         "</jingle>")

static void receivers_find_fault(void **state)
{
    static const struct {
        const char *client, *inner, *fault; // "": no fault, but nothing usable; NULL: all is well
    } rows[] = {
        {"Asterisk", ONE(GOOD), NULL},
        {"Asterisk",
         ONE("component='1' foundation='1' generation='0' ip='192.0.2.1' port='5' "
             "priority='1' protocol='udp' type='host'"),
         "a candidate lacks id"},
        {"Asterisk", INFO(HEAD "><trickle/>" TAIL "</jingle>"), "<trickle/>"},
        {"Conversations", INFO(HEAD "><candidate " GOOD "/>" TAIL "</jingle>"), "without ufrag"},
        {"Conversations",
         INFO("<content creator='initiator' name='two words'><transport xmlns='" NS_ICE_UDP
              "'/></content></jingle>"),
         "two words"},
        {"Conversations", OFFER(""), "no fingerprint"},
        {"Siskin",
         OFFER("<fingerprint xmlns='" NS_DTLS "' hash='sha-256' setup='active'>AA"
               "</fingerprint>"),
         "setup is active in an offer"},
        {"Psi", OFFER("<fingerprint xmlns='" NS_DTLS "'/>"), "<fingerprint/> in a transport"},
        {"Dino", INFO(HEAD "/></content>" HEAD "/></content></jingle>"), "2 contents"},
        {"Dino", ONE("component='1' foundation='1' ip='192.0.2.1' port='5' priority='1' type='x'"),
         "type"},
        {"Gabble (",
         ONE("component='1' foundation='1' generation='0' id='1' ip='192.0.2.1' "
             "port='5' priority='1' protocol='udp' type='host'"),
         ""},
        {"Gabble (", INFO(HEAD " ufrag='u'><candidate " GOOD "/>" TAIL "</jingle>"), "without pwd"},
        {"Gajim",
         ONE("component='1' foundation='1' ip='192.0.2.1' port='x' priority='1' "
             "protocol='udp'"),
         "a number"},
        {"Jitsi",
         ONE("component='1' foundation='1' generation='1' id='1' ip='192.0.2.1' "
             "network='0' port='5' priority='1' protocol='udp' type='host'"),
         ""},
        {"Miranda", INFO(HEAD "><candidate/><candidate " GOOD "/>" TAIL "</jingle>"),
         "without ufrag"},
        {"Monal",
         ONE("component='1' foundation='1' ip='192.0.2.1' port='5' priority='1' "
             "protocol='udp' type='host'"),
         "a candidate lacks generation"},
        {"Pidgin",
         ONE("component='1' foundation='1' generation='0' ip='192.0.2.1' network='0' "
             "port='5' priority='1' protocol='udp' type='host'"),
         ""},
        {"Psi", ONE("component='1' ip='192.0.2.1' port='5'"), "a candidate lacks type"},
        {"Siskin", ONE("component='1' foundation='one' ip='192.0.2.1' port='5' protocol='udp'"),
         ""},
        {"Yate",
         ONE("component='1' foundation='1' generation='0' ip='192.0.2.1' port='5' "
             "priority='1' protocol='udp' type='host'"),
         "a candidate lacks network"},
        {"libjingle",
         GOOGLE("name='rtp' address='192.0.2.1' port='5' username='seventeen_letters' "
                "protocol='udp' generation='0'"),
         "a username"},
        {"FreeSWITCH",
         GOOGLE("name='rtp' address='10.1.1.1' port='5' username='u' password='p' "
                "protocol='udp' generation='0' type='relay'"),
         ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ear ear = {.client = named(rows[i].client)};
        struct xml *iq =
            parse("<iq type='set' from='" ALICE "' to='" BOB "'>%s</iq>", rows[i].inner);
        const char *fault = rows[i].fault;

        ear.mode = strstr(rows[i].inner, "google") ? MODE_P2P : MODE_ICE;
        ear_hear(&ear, iq);
        if (fault && fault[0] ? !strstr(ear.fault, fault) : ear.fault[0] != 0)
            fail_msg("%s, row %zu: %s", rows[i].client, i, ear.fault);
        if (fault && !fault[0])
            assert_int_equal(ear.heard_count, 0);
        xml_free(iq);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_that_can_talk_does),
        cmocka_unit_test(the_addressed_door_suits_them_too),
        cmocka_unit_test(twice_is_harmless),
        cmocka_unit_test(some_need_a_go_between),
        cmocka_unit_test(receivers_find_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
