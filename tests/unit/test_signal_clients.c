// SPDX-License-Identifier: ISC
// Real clients: the stanzas of tests/data/stanzas pass both ways without loss, and what is written
// to clients that read only part of a stanza is what they can read (docs/INTEROP.md).
#include "codec/jingle.h"
#include "lib/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ICE "urn:xmpp:jingle:transports:ice-udp:1"

// ---- samples

static const char *const samples[] = {
    "asterisk-session-initiate.xml",      "asterisk-session-accept.xml",
    "asterisk-transport-info.xml",        "asterisk-google-transport-info.xml",
    "conversations-session-initiate.xml", "conversations-session-accept.xml",
    "conversations-transport-info.xml",   "conversations-session-terminate.xml",
    "dino-session-initiate.xml",          "dino-transport-info.xml",
    "freeswitch-session-initiate.xml",    "gabble-v032-session-initiate.xml",
    "jitsi-session-initiate.xml",         "libjingle-hybrid-session-initiate.xml",
    "libjingle-transport-info.xml",       "miranda-session-initiate.xml",
    "miranda-transport-info.xml",         "monal-session-initiate.xml",
    "monal-transport-info.xml",           "pidgin-session-initiate.xml",
    "psi-session-initiate.xml",           "psi-ice0-transport-info.xml",
    "stanzajs-transport-info.xml",        "yate-v1-session-initiate.xml",
};

// Other dialects and other doors: refused with an error, or dropped, and nothing is kept.
static const char *const foreign[] = {
    "asterisk-google-v1-candidates.xml",   "coccinella-iax-session-initiate.xml",
    "coccinella-iax-transport-accept.xml", "freeswitch-candidates.xml",
    "gabble-gtalk3-initiate.xml",          "google-jingleinfo-get.xml",
    "jitsi-jinglenodes-channel-get.xml",   "gabble-gtalk3-candidates.xml",
    "kopete-session-initiate.xml",         "monal-extdisco-credentials.xml",
    "pidgin-google-initiate.xml",          "yate-v0-initiate.xml",
};

struct leg {
    const char *from, *to, *seen_from, *seen_to;
};

static const struct leg alice_to_bob = {ALICE, BOB_AS, ALICE_AS, BOB};
static const struct leg bob_to_alice = {BOB, ALICE_AS, BOB_AS, ALICE};

static void set(struct xml *x, const char *name, const char *value)
{
    assert_int_equal(xml_set(x, name, value), 0);
}

// The sample as this side of the leg sends it.
static struct xml *sample_on(const char *name, const struct leg *leg)
{
    struct xml *iq = sample(name), *x;

    set(iq, "from", leg->from);
    set(iq, "to", leg->to);
    for (x = xml_child(iq, NULL, NULL); x; x = xml_next(x, NULL, NULL)) {
        if (xml_attr(x, "initiator"))
            set(x, "initiator", ALICE);
        if (xml_attr(x, "responder"))
            set(x, "responder", leg->from[0] == 'a' ? BOB_AS : BOB);
    }
    return iq;
}

static void rename_parties(struct xml *iq, const struct leg *leg)
{
    bool from_alice = leg->from[0] == 'a';

    for (struct xml *x = xml_child(iq, NULL, NULL); x; x = xml_next(x, NULL, NULL)) {
        if (xml_attr(x, "initiator"))
            set(x, "initiator", from_alice ? ALICE_AS : ALICE);
        if (xml_attr(x, "responder"))
            set(x, "responder", from_alice ? BOB : BOB_AS);
    }
}

static void complete_transport(struct xml *transport, const char *pwd)
{
    struct xml *c = xml_child(transport, "candidate", NULL);

    if (jingle_transport_kind(transport) == TRANSPORT_RAW) {
        for (; c; c = xml_next(c, "candidate", NULL)) {
            set(c, "ip", "203.0.113.1");
            set(c, "port", "40001");
        }
        return;
    }
    if (jingle_transport_kind(transport) != TRANSPORT_ICE)
        return;
    if (xml_attr(transport, "ufrag") && !xml_attr(transport, "pwd"))
        set(transport, "pwd", pwd);
    for (; c; c = xml_next(c, "candidate", NULL))
        assert_int_equal(jingle_complete_candidate(c, 0), 0);
}

// What must arrive at the other side, but for our candidates.
static struct xml *expected(const struct xml *sent, const struct leg *leg, const char *pwd)
{
    struct xml *want = xml_clone(sent), *jingle = xml_child(want, "jingle", NS_JINGLE);

    set(want, "from", leg->seen_from);
    set(want, "to", leg->seen_to);
    rename_parties(want, leg);
    for (struct xml *c = xml_child(jingle, "content", NULL); c; c = xml_next(c, "content", NULL)) {
        set(c, "creator", "initiator");
        if (jingle_transport(c))
            complete_transport(jingle_transport(c), pwd);
    }
    return want;
}

static void remove_ours(struct xml *iq)
{
    struct xml *jingle = xml_child(iq, "jingle", NS_JINGLE);

    for (struct xml *x = xml_child(jingle, "content", NULL); x; x = xml_next(x, "content", NULL)) {
        struct xml *t = jingle_transport(x);
        struct xml *c = t ? xml_child(t, "candidate", NULL) : NULL, *next;

        for (; c; c = next) {
            const char *id = xml_attr(c, "id"), *address = xml_attr(c, "address");

            next = xml_next(c, "candidate", NULL);
            if ((id && strncmp(id, "relay", 5) == 0) ||
                (address && strcmp(address, "203.0.113.1") == 0)) // Google's
                xml_free(c);
        }
    }
}

static void check_arrival(struct board *b, const char *name, const struct xml *sent,
                          const struct leg *leg)
{
    struct xml *want = expected(sent, leg, "known"), *got = board_take(b);

    remove_ours(got);
    set(want, "id", xml_attr(got, "id"));
    if (!xml_equal(want, got))
        fail_msg("%s:\nwant %s\n got %s", name, text_of(want), text_of(got));
    xml_free(want);
}

// A session with this sid and contents, offered by Alice; 'accepted': and taken by Bob. Credentials
// are those of the sample, with the password that some leave out.
static void session_for(struct board *b, const struct xml *iq, const struct leg *leg)
{
    struct xml *offer = xml_clone(iq), *jingle = xml_child(offer, "jingle", NS_JINGLE), *t;

    set(offer, "from", ALICE);
    set(offer, "to", BOB_AS);
    set(jingle, "action", "session-initiate");
    if (!xml_child(jingle, "content", NULL))
        set(xml_add(jingle, "content", NULL), "name", "x");
    for (struct xml *c = xml_child(jingle, "content", NULL); c; c = xml_next(c, "content", NULL)) {
        set(c, "creator", "initiator");
        t = jingle_transport(c);
        while (t && xml_child(t, NULL, NULL))
            xml_free(xml_child(t, NULL, NULL));
        if (t && leg->from[0] == 'a' && xml_attr(t, "ufrag") && !xml_attr(t, "pwd"))
            set(t, "pwd", "known");
        if (t && leg->from[0] == 'b')
            set(t, "ufrag", "alices own");
    }
    board_put_xml(b, offer);
    xml_free(offer);
    board_take(b);
    board_result(b);
    board_clear(b);
}

// Bob's credentials, before his client trickles without the password.
static void know_bob(struct board *b, const struct xml *iq)
{
    struct xml *info = xml_clone(iq), *jingle = xml_child(info, "jingle", NS_JINGLE), *t;

    set(jingle, "action", "transport-info");
    for (struct xml *c = xml_child(jingle, "content", NULL); c; c = xml_next(c, "content", NULL)) {
        t = jingle_transport(c);
        while (t && xml_child(t, NULL, NULL))
            xml_free(xml_child(t, NULL, NULL));
        if (t && xml_attr(t, "ufrag") && !xml_attr(t, "pwd"))
            set(t, "pwd", "known");
    }
    board_put_xml(b, info);
    xml_free(info);
    board_clear(b);
}

static void pass(const char *name, const struct leg *leg)
{
    struct board *b = board_new(NULL);
    struct xml *iq = sample_on(name, leg);
    bool offers = strstr(name, "initiate") != NULL, accepts = strstr(name, "accept") != NULL;

    if (!offers)
        session_for(b, iq, leg);
    if (!offers && !accepts && leg == &bob_to_alice)
        know_bob(b, iq);
    board_put_xml(b, iq);
    check_arrival(b, name, iq, leg);
    board_result(b);
    board_expect_result(b, leg->from, xml_attr(iq, "id"));
    board_none(b);
    xml_free(iq);
    board_drop(b);
}

static void samples_pass_both_ways(void **state)
{
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        if (!strstr(samples[i], "session-accept"))
            pass(samples[i], &alice_to_bob);
        if (!strstr(samples[i], "initiate"))
            pass(samples[i], &bob_to_alice);
    }
}

static void foreign_dialects_hold_nothing(void **state)
{
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        struct board *b = board_new(NULL);
        struct xml *iq = sample_on(foreign[i], &alice_to_bob);

        board_put_xml(b, iq);
        board_expect_error(b, ALICE, xml_attr(iq, "id"), "service-unavailable", NULL);
        board_none(b);
        xml_free(iq);
        board_free(b);
    }
}

// ---- dialects

#define CONTENT(name, inner)                                                                       \
    "<content creator='initiator' name='" name "'><description "                                   \
    "xmlns='urn:xmpp:jingle:apps:rtp:1' media='" name "'><payload-type id='8'/><rtcp-mux/>"        \
    "</description><transport xmlns='" ICE "' ufrag='u" name "' pwd='p'><fingerprint "             \
    "xmlns='urn:xmpp:jingle:apps:dtls:0'>AA</fingerprint>" inner "</transport></content>"
#define INFO(name, inner)                                                                          \
    "<content creator='initiator' name='" name "'><transport xmlns='" ICE "' ufrag='u" name        \
    "' pwd='p'>" inner "</transport></content>"
#define CANDIDATE(id)                                                                              \
    "<candidate component='1' foundation='1' generation='0' id='" id "' ip='192.0.2.1' "           \
    "network='0' port='5' priority='9' protocol='udp' type='host'/>"

static struct board *with_clients(const char *alices, const char *bobs)
{
    struct board *b = board_new(NULL);

    b->client[SIDE_INITIATOR] = alices;
    b->client[SIDE_RESPONDER] = bobs;
    return b;
}

static void take_offer(struct board *b, const char *inner)
{
    alice(b, "i", "session-initiate", "%s", inner);
    board_take(b);
    assert_string_equal(xml_attr(b->last, "to"), BOB);
}

// What was sent as a transport-info: how many contents and candidates it has.
static void expect_info(struct board *b, const char *to, unsigned contents, const char *content,
                        unsigned candidates)
{
    struct xml *jingle = xml_child(board_take(b), "jingle", NS_JINGLE), *t;

    assert_string_equal(xml_attr(b->last, "to"), to);
    assert_string_equal(xml_attr(jingle, "action"), "transport-info");
    assert_string_equal(xml_attr(jingle, "sid"), "s1");
    assert_int_equal(count_children(jingle, "content"), contents);
    assert_string_equal(xml_attr(content_of(b->last, content), "creator"), "initiator");
    t = transport_of(b->last, content);
    assert_int_equal(count_children(t, "candidate"), candidates);
    assert_non_null(xml_attr(t, "ufrag"));
    assert_non_null(xml_attr(t, "pwd"));
}

static void other_clients_get_everything_at_once(void **state)
{
    struct board *b = with_clients("Gajim", "Conversations");

    take_offer(b, CONTENT("audio", CANDIDATE("1")) CONTENT("video", ""));
    assert_int_equal(count_children(transport_of(b->last, "audio"), "candidate"), 3);
    assert_non_null(xml_child(transport_of(b->last, "audio"), "fingerprint", NULL));
    board_result(b);
    board_clear(b);
    alice(b, "t", "transport-info", "%s",
          INFO("audio", CANDIDATE("2") CANDIDATE("3")) INFO("video", CANDIDATE("4")));
    expect_info(b, BOB, 2, "audio", 2);
    board_none(b);
    board_hang_up(b);
    board_free(b);
}

static void dino_reads_one_content(void **state)
{
    struct board *b = with_clients("Client", "Dino");

    take_offer(b, CONTENT("audio", "") CONTENT("video", ""));
    board_result(b);
    board_clear(b);
    alice(b, "t", "transport-info", "%s",
          INFO("audio", CANDIDATE("2") CANDIDATE("3")) INFO("video", "<gathering-complete/>"));
    expect_info(b, BOB, 1, "audio", 2);
    board_result(b);
    expect_info(b, BOB, 1, "video", 0);
    assert_non_null(xml_child(transport_of(b->last, "video"), "gathering-complete", NULL));
    board_result(b);
    board_expect_result(b, ALICE, "t"); // one request, one answer
    board_none(b);
    board_hang_up(b);
    board_free(b);
}

static void miranda_reads_one_candidate_and_none_in_offers(void **state)
{
    struct board *b = with_clients("Client", "Miranda NG");

    take_offer(b, CONTENT("audio", CANDIDATE("1")));
    board_result(b);
    expect_info(b, BOB, 1, "audio", 1);
    expect_info(b, BOB, 1, "audio", 1);
    assert_non_null(relay_candidate(transport_of(b->last, "audio"), 1, FAMILY_V4));
    expect_info(b, BOB, 1, "audio", 1);
    assert_non_null(relay_candidate(transport_of(b->last, "audio"), 2, FAMILY_V4));
    board_expect_result(b, ALICE, "i");
    alice(b, "t", "transport-info", "%s",
          INFO("audio", CANDIDATE("2") "<end/>" CANDIDATE("3") CANDIDATE("4")));
    expect_info(b, BOB, 1, "audio", 1);
    assert_non_null(xml_child(transport_of(b->last, "audio"), "end", NULL));
    assert_string_equal(
        xml_attr(xml_child(transport_of(b->last, "audio"), "candidate", NULL), "id"), "2");
    expect_info(b, BOB, 1, "audio", 1);
    expect_info(b, BOB, 1, "audio", 1);
    board_none(b);
    board_hang_up(b);
    board_free(b);
}

// Of two contents with two candidates each, every one in an IQ of its own.
static void both_kinds_of_splitting(void **state)
{
    struct board *b = with_clients("Client", "Miranda NG");
    unsigned audio = 0, video = 0;

    take_offer(b, CONTENT("audio", "") CONTENT("video", ""));
    board_result(b);
    board_clear(b);
    alice(b, "t", "transport-info", "%s",
          INFO("audio", CANDIDATE("1") CANDIDATE("2"))
              INFO("video", CANDIDATE("3") CANDIDATE("4")));
    while (board_peek(b)) {
        struct xml *jingle = xml_child(board_take(b), "jingle", NULL);
        const struct xml *content = xml_child(jingle, "content", NULL);

        assert_int_equal(count_children(jingle, "content"), 1);
        assert_int_equal(count_children(jingle_transport(content), "candidate"), 1);
        audio += strcmp(xml_attr(content, "name"), "audio") == 0;
        video += strcmp(xml_attr(content, "name"), "video") == 0;
    }
    assert_int_equal(audio, 2);
    assert_int_equal(video, 2);
    board_hang_up(b);
    board_free(b);
}

static void psi_and_asterisk_read_candidates_only(void **state)
{
    static const char *const clients[] = {"Psi+", "asterisk"};

    for (int i = 0; i < 2; i++) {
        struct board *b = with_clients("Client", clients[i]);
        struct xml *t, *d;

        take_offer(b, CONTENT("audio", CANDIDATE("1")));
        t = transport_of(b->last, "audio");
        assert_null(xml_child(t, "fingerprint", NULL));
        assert_int_equal(count_children(t, "candidate"), 3);
        d = xml_child(content_of(b->last, "audio"), "description", NULL);
        assert_int_equal(count_children(d, "payload-type"), 1);
        assert_int_equal(count_children(d, "rtcp-mux"), i == 0 ? 0 : 1);
        board_result(b);
        board_clear(b);
        board_hang_up(b);
        board_free(b);
    }
}

// The caller's client has a dialect, too.
static void callers_have_dialects(void **state)
{
    struct board *b = with_clients("Miranda NG", "Client");

    take_offer(b, CONTENT("audio", ""));
    board_result(b);
    board_clear(b);
    bob(b, "a", "session-accept", "%s", CONTENT("audio", CANDIDATE("1")));
    assert_string_equal(xml_attr(xml_child(board_take(b), "jingle", NULL), "action"),
                        "session-accept");
    for (int i = 0; i < 2; i++) // Bob's, and ours for the one component that is left
        expect_info(b, ALICE, 1, "audio", 1);
    bob(b, "t", "transport-info", "%s", INFO("audio", CANDIDATE("2") CANDIDATE("3")));
    expect_info(b, ALICE, 1, "audio", 1);
    expect_info(b, ALICE, 1, "audio", 1);
    board_none(b);
    board_hang_up(b);
    board_free(b);
}

static void the_offer_waits_only_a_little_for_the_disco(void **state)
{
    struct board *b = with_clients("Client", "Dino");
    char id[32];

    b->no_disco = true;
    alice(b, "i", "session-initiate", "%s", CONTENT("audio", "") CONTENT("video", ""));
    board_expect(b, "<iq type='get' from='" ALICE_AS "' to='" BOB "' id='*'>"
                    "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
    strcpy(id, xml_attr(b->last, "id"));
    board_expect(b, "<iq type='get' from='" BOB_AS "' to='" ALICE "' id='*'>"
                    "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>");
    board_wait(b, 500 * USEC_PER_MSEC - 1);
    board_none(b);
    board_wait(b, 1);
    assert_string_equal(xml_attr(xml_child(board_take(b), "jingle", NULL), "action"),
                        "session-initiate");
    board_result(b);
    board_clear(b);
    board_put(b,
              "<iq type='result' from='" BOB "' to='" ALICE_AS "' id='%s'><query "
              "xmlns='http://jabber.org/protocol/disco#info'><identity name='Dino'/></query></iq>",
              id); // late, but it still tells
    alice(b, "t", "transport-info", "%s",
          INFO("audio", CANDIDATE("2")) INFO("video", CANDIDATE("3")));
    expect_info(b, BOB, 1, "audio", 1);
    expect_info(b, BOB, 1, "video", 1);
    board_hang_up(b);
    board_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_pass_both_ways),
        cmocka_unit_test(foreign_dialects_hold_nothing),
        cmocka_unit_test(other_clients_get_everything_at_once),
        cmocka_unit_test(dino_reads_one_content),
        cmocka_unit_test(miranda_reads_one_candidate_and_none_in_offers),
        cmocka_unit_test(both_kinds_of_splitting),
        cmocka_unit_test(psi_and_asterisk_read_candidates_only),
        cmocka_unit_test(callers_have_dialects),
        cmocka_unit_test(the_offer_waits_only_a_little_for_the_disco),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
