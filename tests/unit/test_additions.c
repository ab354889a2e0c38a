// SPDX-License-Identifier: ISC
// Additions for a server that diverts (docs/DIVERT.md section 3): put in their places they give the
// stanza that is sent to others; what is more than an addition is sent whole.
#include "../../src/signal/additions.h"
#include "codec/jingle.h"
#include "lib/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CONTENT(name)                                                                              \
    "<content creator='initiator' name='" name "'>\n"                                              \
    "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/> "                             \
    "<transport xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='u' pwd='p'>"                   \
    "<candidate component='1' foundation='1' generation='0' id='h' ip='192.0.2.1' network='0' "    \
    "port='5000' priority='2130706431' protocol='udp' type='host'/>\n</transport></content>"
#define OFFER                                                                                      \
    "<iq xmlns='jabber:client' type='set' from='" ALICE "' to='" BOB "' id='j1'>"                  \
    "<jingle xmlns='urn:xmpp:jingle:1' sid='s1' action='session-initiate'>" CONTENT("0")           \
        CONTENT("1") "</jingle></iq>"
#define END                                                                                        \
    "<iq xmlns='jabber:client' type='set' from='" ALICE "' to='" BOB "' id='j2'>"                  \
    "<jingle xmlns='urn:xmpp:jingle:1' sid='s1' action='session-terminate'/></iq>"

static void ask(struct board *b, const char *how, const char *stanza)
{
    board_put(b,
              "<iq type='set' id='d1' from='example.org' to='relay.example.org'><divert "
              "xmlns='urn:xmpp:jingle-relayd:divert:1'%s><forwarded xmlns='urn:xmpp:forward:0'>%s"
              "</forwarded></divert></iq>",
              how, stanza);
}

static struct xml *element_at(struct xml *x, const char *place)
{
    char *end;

    for (; *place; place = *end ? end + 1 : end) {
        unsigned long n = strtoul(place, &end, 10);

        for (x = xml_child(x, NULL, NULL); n > 1; n--)
            x = xml_next(x, NULL, NULL);
        assert_non_null(x);
    }
    return x;
}

// As a server does.
static void add_to(struct xml *stanza, const struct xml *divert)
{
    const struct xml *add, *child;

    for (add = divert->first; add; add = add->next) {
        assert_string_equal(add->name, "add");
        assert_non_null(add->first);
        for (child = add->first; child; child = child->next)
            xml_append(element_at(stanza, xml_attr(add, "to")), xml_clone(child));
    }
}

static void it_comes_to_the_same(void **state)
{
    struct board *one = board_new(NULL), *other = board_new(NULL);
    struct xml *whole, *stanza = parse(OFFER);
    const struct xml *divert;

    (void)state;
    ask(one, "", OFFER);
    whole = board_sent_on(one);
    ask(other, " additions='true'", OFFER);
    divert = xml_child(board_take(other), "divert", NULL);
    assert_int_equal(count_children(divert, "add"), 2); // one per transport
    assert_string_equal(xml_attr(xml_child(divert, "add", NULL), "to"), "1.1.2");
    add_to(stanza, divert);
    assert_non_null(relay_candidate(transport_of(stanza, "1"), 1, FAMILY_V4));
    assert_true(xml_equal(stanza, whole));
    xml_free(stanza);
    for (int i = 0; i < 2; i++) {
        ask(i ? other : one, "", END);
        board_expect_passed(i ? other : one);
        board_free(i ? other : one);
    }
}

static void only_additions_are_taken_for_such(void **state)
{
    static const struct {
        const char *from, *to;
        bool suffice;
    } rows[] = {
        {"<iq><j><c/></j></iq>", "<iq><j><c/></j></iq>", true},
        {"<iq><j><c/></j></iq>", "<iq><j><c/><c/><d/></j></iq>", true},
        {"<iq><j> <c/>\n</j></iq>", "<iq><j> <c/>\n<d/></j></iq>", true},
        {"<iq><j><c/></j></iq>", "<iq><j><c><d/></c><c><d/></c></j></iq>", true},
        {"<iq><j><c/></j></iq>", "<iq><j><c/></j><j/></iq>", false}, // beside the session
        {"<iq><j><c/></j></iq>", "<iq><j><d/><c/></j></iq>", false},
        {"<iq><j><c/></j></iq>", "<iq><j><d/></j></iq>", false},
        {"<iq><j><c/></j></iq>", "<iq><j/></iq>", false},
        {"<iq><j><c/></j></iq>", "<iq><j><c/>text</j></iq>", false},
        {"<iq><j>old<c/></j></iq>", "<iq><j>new<c/></j></iq>", false},
        {"<iq><j><c/></j></iq>", "<iq><j><c a='1'/></j></iq>", false},
        {"<iq><j><c a='1'/></j></iq>", "<iq><j><c a='2'/><d/></j></iq>", false},
        {"<iq><j><c a='1'/></j></iq>", "<iq><j><c/></j></iq>", false},
        {"<iq><j><c/></j></iq>", "<iq><j><c xmlns='other'/></j></iq>", false},
        {"<iq><j>text</j></iq>", "<iq><j><text/></j></iq>", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct xml *from = parse("%s", rows[i].from), *to = parse("%s", rows[i].to);

        if (additions_suffice(from, to) != rows[i].suffice)
            fail_msg("%s, %s", rows[i].from, rows[i].to);
        xml_free(from);
        xml_free(to);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_to_the_same),
        cmocka_unit_test(only_additions_are_taken_for_such),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
