// SPDX-License-Identifier: ISC
// A server that diverts, for the switchboard: what it hands over, and what it checks of the answers
// (docs/DIVERT.md). See board.h.
#include "lib/board.h"

#include "codec/jingle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void board_divert_xml(struct board *b, const char *server, const struct xml *stanza)
{
    struct xml *iq = parse("<iq type='set' id='d1' from='%s' to='relay.example.org'><divert "
                           "xmlns='urn:xmpp:jingle-relayd:divert:1'><forwarded "
                           "xmlns='urn:xmpp:forward:0'/></divert></iq>",
                           server);
    struct xml *copy = xml_clone(stanza);

    assert_non_null(copy);
    xml_append(xml_child(xml_child(iq, "divert", NULL), "forwarded", NULL), copy);
    board_put_xml(b, iq);
    xml_free(iq);
}

void board_divert(struct board *b, const char *server, const char *format, ...)
{
    va_list ap;
    struct xml *stanza;

    va_start(ap, format);
    stanza = parse_va(format, ap);
    va_end(ap);
    board_divert_xml(b, server, stanza);
    xml_free(stanza);
}

void divert(struct board *b, const char *from, const char *to, const char *action,
            const char *format, ...)
{
    va_list ap;
    char *inner;

    va_start(ap, format);
    assert_true(vasprintf(&inner, format, ap) >= 0);
    va_end(ap);
    board_divert(b, "example.org",
                 "<iq type='set' from='%s' to='%s' id='j1'><jingle xmlns='urn:xmpp:jingle:1' "
                 "action='%s' sid='s1'>%s</jingle></iq>",
                 from, to, action, inner);
    free(inner);
}

// The element of the answer, which is the only thing in it.
static struct xml *take_answer(struct board *b)
{
    struct xml *iq = board_take(b), *divert = xml_child(iq, "divert", NS_DIVERT);

    assert_string_equal(xml_attr(iq, "from"), "relay.example.org");
    assert_string_equal(xml_attr(iq, "type"), "result");
    assert_string_equal(xml_attr(iq, "id"), "d1");
    assert_non_null(divert);
    assert_ptr_equal(iq->first, iq->last);
    return divert;
}

void board_expect_passed(struct board *b)
{
    struct xml *divert = take_answer(b), *pass = xml_child(divert, "pass", NS_DIVERT);
    char *text = text_of(b->last);

    if (!pass || pass->next || pass->prev)
        fail_msg("should pass: %s", text);
    free(text);
}

static struct xml *inside(struct xml *forwarded)
{
    struct xml *iq = xml_child(forwarded, "iq", NS_CLIENT);

    assert_non_null(iq);
    assert_ptr_equal(forwarded->first, forwarded->last);
    return iq;
}

struct xml *board_sent_on(struct board *b)
{
    struct xml *divert = take_answer(b), *x = divert->first;
    char *text = text_of(b->last);

    if (!xml_is(x, "forwarded", NS_FORWARD))
        fail_msg("should be sent on: %s", text);
    free(text);
    for (; x; x = x->next)
        assert_string_equal(xml_attr(inside(x), "type"), "set");
    return inside(divert->first);
}

struct xml *board_answered(struct board *b)
{
    struct xml *divert = take_answer(b);

    assert_true(xml_is(divert->first, "answered", NS_DIVERT));
    assert_true(xml_is(divert->last, "forwarded", NS_FORWARD));
    return inside(divert->last);
}
