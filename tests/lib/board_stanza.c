// SPDX-License-Identifier: ISC
// Stanzas for the switchboard: written as text, read from the samples, looked into; and the usual
// call. See board.h.
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

// ---- text

// A root without xmlns is in jabber:client, as in a component's stream.
static struct xml *parse_text(const char *text)
{
    static const struct xml_limits limits = {1 << 20, 64, 20000};
    const char *name_end = text + strcspn(text, " />");
    const char *root_end = strchr(text, '>');
    const char *xmlns = strstr(text, "xmlns");
    struct xml *x = NULL;
    char *whole;

    if (text[0] != '<' || text[1] == '?' || (xmlns && xmlns < root_end)) {
        assert_int_equal(xml_parse(text, strlen(text), &limits, &x), 0);
        return x;
    }
    assert_true(asprintf(&whole, "%.*s xmlns='jabber:client'%s", (int)(name_end - text), text,
                         name_end) > 0);
    if (xml_parse(whole, strlen(whole), &limits, &x) != 0)
        fail_msg("not well-formed: %s", whole);
    free(whole);
    return x;
}

__attribute__((format(printf, 1, 0))) struct xml *parse_va(const char *format, va_list ap)
{
    char *text;
    struct xml *x;

    assert_true(vasprintf(&text, format, ap) >= 0);
    x = parse_text(text);
    free(text);
    return x;
}

struct xml *parse(const char *format, ...)
{
    va_list ap;
    struct xml *x;

    va_start(ap, format);
    x = parse_va(format, ap);
    va_end(ap);
    return x;
}

struct xml *sample(const char *name)
{
    const char *dir = getenv("TEST_DATA");
    char path[512], text[16384];
    struct xml *x;
    size_t len;
    FILE *f;

    snprintf(path, sizeof path, "%s/stanzas/%s", dir ? dir : "tests/data", name);
    f = fopen(path, "r");
    if (!f)
        fail_msg("%s cannot be read", path);
    len = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[len] = 0;
    x = parse_text(text);
    // In files of components and without xmlns, the stanza is in another namespace than in ours.
    x->ns = "jabber:client";
    return x;
}

char *text_of(const struct xml *x)
{
    struct buf buf = {0};

    xml_write(x, "jabber:client", &buf);
    return buf_take(&buf);
}

// ---- calls

__attribute__((format(printf, 6, 0))) static void jingle(struct board *b, const char *from,
                                                         const char *to, const char *id,
                                                         const char *action, const char *format,
                                                         va_list ap)
{
    char *inner;

    assert_true(vasprintf(&inner, format, ap) >= 0);
    board_put(b,
              "<iq type='set' from='%s' to='%s' id='%s'><jingle xmlns='urn:xmpp:jingle:1' "
              "action='%s' sid='s1'>%s</jingle></iq>",
              from, to, id, action, inner);
    free(inner);
}

void alice(struct board *b, const char *id, const char *action, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    jingle(b, ALICE, BOB_AS, id, action, format, ap);
    va_end(ap);
}

void bob(struct board *b, const char *id, const char *action, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    jingle(b, BOB, ALICE_AS, id, action, format, ap);
    va_end(ap);
}

struct xml *content_of(const struct xml *iq, const char *name)
{
    struct xml *j = xml_child(iq, "jingle", NS_JINGLE);
    struct xml *c = j ? xml_child(j, "content", NULL) : NULL;

    while (c && strcmp(xml_attr(c, "name"), name) != 0)
        c = xml_next(c, "content", NULL);
    assert_non_null(c);
    return c;
}

struct xml *transport_of(const struct xml *iq, const char *name)
{
    struct xml *transport = jingle_transport(content_of(iq, name));

    assert_non_null(transport);
    return transport;
}

struct xml *relay_candidate(const struct xml *transport, unsigned component, enum family family)
{
    struct xml *c = xml_child(transport, "candidate", NULL);
    const char *ip = family == FAMILY_V6 ? "2001:db8::1" : "203.0.113.1";

    for (; c; c = xml_next(c, "candidate", NULL)) {
        if (strcmp(xml_attr(c, "ip"), ip) == 0 && jingle_candidate_component(c) == component)
            return c;
    }
    return NULL;
}

unsigned count_children(const struct xml *x, const char *name)
{
    unsigned n = 0;

    for (const struct xml *c = xml_child(x, name, NULL); c; c = xml_next(c, name, NULL))
        n++;
    return n;
}

#define AUDIO                                                                                      \
    "<content creator='initiator' name='0'><description xmlns='urn:xmpp:jingle:apps:rtp:1' "       \
    "media='audio'><payload-type id='8'/></description><transport "                                \
    "xmlns='urn:xmpp:jingle:transports:ice-udp:1' ufrag='%s' pwd='%s'/></content>"

void board_offer(struct board *b)
{
    alice(b, "i1", "session-initiate", AUDIO, "aliceufrag", "alicepassword");
    board_take(b);
    board_result(b);
    board_expect_result(b, ALICE, "i1");
}

void board_accept(struct board *b)
{
    bob(b, "a1", "session-accept", AUDIO, "bobufrag", "bobpassword");
    board_take(b);
    board_result(b);
    board_expect_result(b, BOB, "a1");
}

void board_hang_up(struct board *b)
{
    board_clear(b);
    alice(b, "bye", "session-terminate", "<reason><success/></reason>");
    board_take(b);
    assert_string_equal(xml_attr(b->last, "to"), BOB);
    board_result(b);
    board_expect_result(b, ALICE, "bye");
}
