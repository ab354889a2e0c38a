// SPDX-License-Identifier: ISC
// Offers of real clients, as tests/data/stanzas has them, through the diverted door: what each gets
// of the relay, and that nothing is lost of what it says, in whatever spelling.
#include "codec/jingle.h"
#include "lib/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum gets {
    CANDIDATES, // the relay's, beside its own
    REPLACED,   // raw UDP: the relay's in the place of its own
    NOTHING,    // not yet: its credentials, or its candidates, come later
    NO_RELAY,   // a transport that is not ours
};

static const struct row {
    const char *name;
    enum gets gets;
} rows[] = {
    {"asterisk-session-initiate.xml", NOTHING},
    {"coccinella-iax-session-initiate.xml", NO_RELAY},
    {"conversations-session-initiate.xml", CANDIDATES},
    {"dino-session-initiate.xml", CANDIDATES},
    {"freeswitch-session-initiate.xml", NOTHING},
    {"gabble-gtalk3-initiate.xml", NOTHING},
    {"gabble-v032-session-initiate.xml", CANDIDATES},
    {"jitsi-session-initiate.xml", CANDIDATES},
    {"kopete-session-initiate.xml", REPLACED},
    {"libjingle-hybrid-session-initiate.xml", NOTHING},
    {"miranda-session-initiate.xml", CANDIDATES},
    {"monal-session-initiate.xml", CANDIDATES},
    {"pidgin-google-initiate.xml", NOTHING},
    {"pidgin-session-initiate.xml", CANDIDATES},
    {"psi-session-initiate.xml", CANDIDATES},
    {"yate-v0-initiate.xml", NOTHING},
    {"yate-v1-session-initiate.xml", REPLACED},
};

static struct xml *sample_of_alice(const char *name)
{
    struct xml *iq = sample(name);

    assert_int_equal(xml_set(iq, "from", ALICE) | xml_set(iq, "to", BOB), 0);
    if (!xml_attr(iq, "id"))
        assert_int_equal(xml_set(iq, "id", "x"), 0);
    return iq;
}

static bool is_relays(const struct xml *candidate)
{
    const char *ip = xml_attr(candidate, "ip");

    return ip && strcmp(ip, "203.0.113.1") == 0;
}

static unsigned count_ours(const struct xml *iq)
{
    const struct xml *content = xml_child(jingle_element(iq), "content", NULL);
    unsigned n = 0;

    for (; content; content = xml_next(content, "content", NULL)) {
        const struct xml *transport = jingle_transport(content);
        const struct xml *c = transport ? xml_child(transport, "candidate", NULL) : NULL;

        for (; c; c = xml_next(c, "candidate", NULL))
            n += is_relays(c);
    }
    return n;
}

// Everything of 'said' is in 'got': elements, attributes and text; but the address of a raw
// candidate.
static void assert_within(const struct xml *said, const struct xml *got, bool raw)
{
    const struct xml *g = got->first;

    assert_string_equal(said->name, got->name);
    assert_string_equal(said->ns, got->ns);
    for (const struct xml_attr *a = said->attrs; a; a = a->next) {
        bool address = strcmp(a->name, "ip") == 0 || strcmp(a->name, "port") == 0;

        // A foundation that is no number becomes one; some name the wrong creator.
        if ((raw && address) || a->ns || strcmp(a->name, "foundation") == 0)
            continue;
        assert_non_null(xml_attr(got, a->name));
        assert_string_equal(xml_attr(got, a->name), a->value);
    }
    for (const struct xml *s = said->first; s; s = s->next) {
        if (!s->name)
            continue; // white space of the sample
        while (g && (!g->name || strcmp(g->name, s->name) != 0))
            g = g->next;
        assert_non_null(g);
        assert_within(s, g, raw);
        g = g->next;
    }
}

static void put(struct board *b, const struct row *row)
{
    struct xml *offer = sample_of_alice(row->name), *iq;

    board_divert_xml(b, "example.org", offer);
    if (row->gets == NO_RELAY) {
        board_expect_passed(b);
        assert_int_equal(board_counter(b, COUNTER_DIVERT_PASSED_TRANSPORT), 1);
        assert_int_equal(b->paths, 0);
    } else if (row->gets == NOTHING &&
               xml_child(xml_child(board_peek(b), NULL, NULL), "pass", NULL)) {
        board_expect_passed(b);
        assert_int_equal(signal_calls(b->signal), 1);
    } else {
        iq = board_sent_on(b);
        assert_within(offer, iq, row->gets == REPLACED);
        if ((count_ours(iq) > 0) != (row->gets != NOTHING))
            fail_msg("%s: %u candidates of the relay", row->name, count_ours(iq));
    }
    board_none(b);
    xml_free(offer);
}

static void every_offer(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct board *b = board_new(NULL);

        print_message("%s\n", rows[i].name);
        put(b, &rows[i]);
        board_put(b, "<iq type='set' id='g' from='example.org' to='relay.example.org'>"
                     "<gone xmlns='urn:xmpp:jingle-relayd:divert:1' jid='" ALICE "'/></iq>");
        board_expect_result(b, "example.org", "g");
        board_free(b);
    }
}

// The spelling of Kopete, answered in the same.
static void provisional_namespaces(void **state)
{
    static const char content[] =
        "<content creator='initiator' name='0'><description "
        "xmlns='urn:xmpp:tmp:jingle:apps:rtp:0' media='audio'/><transport "
        "xmlns='urn:xmpp:tmp:jingle:transports:%s' %s>%s</transport></content>";
    static const struct {
        const char *ns, *transport, *attributes, *candidate;
        unsigned paths;
    } spellings[] = {
        {"urn:xmpp:tmp:jingle:0", "raw-udp:0", "",
         "<candidate component='1' id='1' ip='192.0.2.1' port='9000'/>", 1},
        {"urn:xmpp:tmp:jingle", "ice-udp", "ufrag='u' pwd='p'", "", 2},
        {"http://jabber.org/protocol/jingle", "ice-udp:0", "ufrag='u' pwd='p'", "", 2},
    };

    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        static const char *const actions[] = {"session-initiate", "session-accept"};
        struct board *b = board_new(NULL);

        for (int a = 0; a < 2; a++) {
            struct buf inner = {0};

            buf_printf(&inner, content, spellings[i].transport, spellings[i].attributes,
                       spellings[i].candidate);
            board_divert(b, "example.org",
                         "<iq type='set' id='x' from='%s' to='%s'><jingle xmlns='%s' action='%s' "
                         "sid='s'>%s</jingle></iq>",
                         a ? BOB : ALICE, a ? ALICE : BOB, spellings[i].ns, actions[a], inner.data);
            assert_int_equal(count_ours(board_sent_on(b)), spellings[i].paths);
            buf_free(&inner);
        }
        assert_int_equal(board_counter(b, COUNTER_DIVERTED_ACTIVE), 1);
        board_divert(b, "example.org",
                     "<iq type='set' id='x' from='" ALICE "' to='" BOB
                     "'><jingle xmlns='%s' action='session-terminate' sid='s'/></iq>",
                     spellings[i].ns);
        board_expect_passed(b);
        board_free(b);
    }
}

// An ICE offer with a second dialect beside it: that one is left alone, unless it tells addresses.
static void two_dialects_in_one(void **state)
{
    static const char offer[] =
        "<iq type='set' id='x' from='" ALICE "' to='" BOB
        "'><jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'>"
        "<content creator='initiator' name='0'><transport "
        "xmlns='urn:xmpp:jingle:transports:ice:0' ufrag='u' pwd='p'/></content></jingle>"
        "<session xmlns='http://www.google.com/session' type='initiate' id='s' "
        "initiator='" ALICE "'><candidate address='192.0.2.1'/></session></iq>";

    for (int hides = 0; hides < 2; hides++) {
        struct signal_config config = board_config();
        struct board *b;
        const struct xml *iq;

        config.policy = hides ? POLICY_RELAY_ONLY : POLICY_FALLBACK;
        b = board_new(&config);
        board_divert(b, "example.org", "%s", offer);
        iq = board_sent_on(b);
        assert_int_equal(count_ours(iq), 1);
        assert_true(!xml_child(iq, "session", NULL) == (hides == 1));
        board_divert(b, "example.org",
                     "<iq type='set' id='x' from='" ALICE "' to='" BOB
                     "'><jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s'/>"
                     "</iq>");
        board_expect_passed(b);
        board_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_offer),
        cmocka_unit_test(provisional_namespaces),
        cmocka_unit_test(two_dialects_in_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
