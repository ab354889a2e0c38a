// SPDX-License-Identifier: ISC
// The words of Jingle: actions, transports, multiplexing, candidates as they are read, completed
// and written.
#include "codec/jingle.h"

#include "lib/board.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void actions_have_names(void **state)
{
    for (int i = 0; i < JINGLE_ACTION_COUNT; i++)
        assert_int_equal(jingle_action(jingle_action_name((enum jingle_action)i)), i);
    assert_int_equal(JINGLE_ACTION_COUNT, 15); // XEP-0166 section 7.2
    assert_int_equal(jingle_action("session-initiate"), JINGLE_SESSION_INITIATE);
    assert_int_equal(jingle_action("session-initiate "), JINGLE_ACTION_COUNT);
    assert_int_equal(jingle_action("content-replace"), JINGLE_ACTION_COUNT);
    assert_int_equal(jingle_action(""), JINGLE_ACTION_COUNT);
    assert_int_equal(jingle_action(NULL), JINGLE_ACTION_COUNT);
    assert_string_equal(jingle_action_name(JINGLE_ACTION_COUNT), "unknown");
}

static void transports_have_kinds(void **state)
{
    static const struct {
        const char *ns;
        enum transport_kind kind;
    } rows[] = {
        {"urn:xmpp:jingle:transports:ice-udp:1", TRANSPORT_ICE},
        {"urn:xmpp:jingle:transports:ice:0", TRANSPORT_ICE},
        {"urn:xmpp:jingle:transports:raw-udp:1", TRANSPORT_RAW},
        {"urn:xmpp:jingle:transports:ice-udp:0", TRANSPORT_OTHER},
        {"http://www.google.com/transport/p2p", TRANSPORT_GOOGLE},
        {"http://www.google.com/transport/raw-udp", TRANSPORT_OTHER},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct xml *content = parse("<content><transport xmlns='%s'/></content>", rows[i].ns);

        assert_int_equal(jingle_transport_kind(jingle_transport(content)), rows[i].kind);
        xml_free(content);
    }
    assert_int_equal(jingle_transport_kind(NULL), TRANSPORT_NONE);
}

static void components_and_mux_are_read(void **state)
{
    struct xml *rtp = parse("<content><description xmlns='urn:xmpp:jingle:apps:rtp:1'/></content>");
    struct xml *muxed = parse("<content><description xmlns='urn:xmpp:jingle:apps:rtp:1'>"
                              "<rtcp-mux/></description></content>");
    // As Jitsi writes it.
    struct xml *jitsi =
        parse("<content><description xmlns='urn:xmpp:jingle:apps:rtp:1'/><transport "
              "xmlns='urn:xmpp:jingle:transports:ice-udp:1'><rtcp-mux/></transport>"
              "</content>");
    struct xml *file = parse("<content><description xmlns='urn:xmpp:jingle:apps:file-transfer:5'>"
                             "<rtcp-mux/></description></content>");

    assert_int_equal(jingle_components(rtp), 2);
    assert_false(jingle_has_mux(rtp));
    assert_int_equal(jingle_components(muxed), 2); // until both have said so
    assert_true(jingle_has_mux(muxed));
    assert_true(jingle_has_mux(jitsi));
    assert_int_equal(jingle_components(file), 1);
    assert_false(jingle_has_mux(file));
    xml_free(rtp);
    xml_free(muxed);
    xml_free(jitsi);
    xml_free(file);
}

static void candidates_are_counted_over_all_contents(void **state)
{
    struct xml *jingle =
        parse("<jingle><content><transport xmlns='x'><candidate/><candidate/><other/></transport>"
              "</content><content/><content><transport xmlns='y'><candidate/></transport></content>"
              "</jingle>");

    assert_int_equal(jingle_count_candidates(jingle), 3);
    xml_free(jingle);
}

static void addresses_are_read(void **state)
{
    static const struct {
        const char *attributes;
        const char *text; // NULL: refused
    } rows[] = {
        {"ip='192.0.2.1' port='5000'", "192.0.2.1:5000"},
        {"ip='2001:db8::7' port='1'", "[2001:db8::7]:1"},
        {"ip='192.0.2.1' port='65535'", "192.0.2.1:65535"},
        {"ip='192.0.2.1' port='65536'", NULL},
        {"ip='192.0.2.1' port='70000'", NULL},
        {"ip='192.0.2.1' port='0'", NULL},
        {"ip='192.0.2.1' port='-1'", NULL},
        {"ip='192.0.2.1' port='5 '", NULL},
        {"ip='192.0.2.1' port=''", NULL},
        {"ip='192.0.2.1' port='99999999999999999999'", NULL},
        {"ip='192.0.2.1'", NULL},
        {"port='5000'", NULL},
        {"ip='5f0c.local' port='5000'", NULL},
        {"ip='' port='5000'", NULL},
        {"ip='fe80::1%%eth0' port='5000'", NULL},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct xml *c = parse("<candidate %s/>", rows[i].attributes);
        struct addr addr = {0};
        char text[ADDR_TEXT_MAX];

        if (rows[i].text) {
            assert_int_equal(jingle_candidate_addr(c, &addr), 0);
            assert_string_equal(addr_format(&addr, text), rows[i].text);
        } else {
            assert_int_equal(jingle_candidate_addr(c, &addr), -EINVAL);
            assert_int_equal(addr.family, FAMILY_NONE);
        }
        xml_free(c);
    }
}

static void components_are_read(void **state)
{
    static const struct {
        const char *text;
        unsigned component;
    } rows[] = {{"1", 1}, {"2", 2},   {"256", 256}, {"257", 0},
                {"0", 0}, {"one", 0}, {"", 0},      {"4294967297", 0}};
    struct xml *none = parse("<candidate/>");

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct xml *c = parse("<candidate component='%s'/>", rows[i].text);

        assert_int_equal(jingle_candidate_component(c), rows[i].component);
        xml_free(c);
    }
    assert_int_equal(jingle_candidate_component(none), 1);
    xml_free(none);
}

// The shape that every ICE-UDP client accepts (docs/INTEROP.md): these attributes and no others.
static void our_candidate_is_the_safe_one(void **state)
{
    static const uint8_t ip[4] = {203, 0, 113, 9};
    struct jingle_candidate candidate = {.component = 2,
                                         .generation = 3,
                                         .foundation = 4294967295U,
                                         .addr = addr_v4(ip, 40001),
                                         .priority = 255,
                                         .type = "relay",
                                         .id = "relay1"};
    struct xml *transport = parse("<transport xmlns='t'/>");
    struct xml *want = parse("<transport xmlns='t'><candidate component='2' "
                             "foundation='4294967295' generation='3' id='relay1' ip='203.0.113.9' "
                             "network='0' port='40001' priority='255' protocol='udp' "
                             "type='relay'/></transport>");

    assert_int_equal(jingle_add_candidate(transport, &candidate), 0);
    assert_true(xml_equal(transport, want));
    xml_free(transport);
    xml_free(want);
}

static void complete(const char *before, const char *after)
{
    struct xml *c = parse("<candidate %s/>", before), *want = parse("<candidate %s/>", after);

    assert_int_equal(jingle_complete_candidate(c, 4), 0);
    for (struct xml_attr *a = want->attrs; a; a = a->next) {
        if (strcmp(a->value, "*") == 0)
            assert_int_equal(xml_set(want, a->name, xml_attr(c, a->name)), 0);
    }
    if (!xml_equal(c, want))
        fail_msg("%s became %s", before, text_of(c));
    xml_free(c);
    xml_free(want);
}

static void missing_attributes_are_written(void **state)
{
    // Whole: nothing changes.
    complete("component='1' foundation='7' generation='0' id='x' ip='192.0.2.1' network='1' "
             "port='1' priority='5' protocol='udp' type='srflx' rel-addr='10.0.0.1' rel-port='9'",
             "component='1' foundation='7' generation='0' id='x' ip='192.0.2.1' network='1' "
             "port='1' priority='5' protocol='udp' type='srflx' rel-addr='10.0.0.1' rel-port='9'");
    // Miranda, stanza.js
    complete("type='host' protocol='udp' ip='192.168.6.6' port='50000' priority='2015363327' "
             "foundation='1' component='1'",
             "type='host' protocol='udp' ip='192.168.6.6' port='50000' priority='2015363327' "
             "foundation='1' component='1' id='*' generation='4' network='0'");
    // Monal's rel_port
    complete("component='1' foundation='7' generation='0' id='x' ip='192.0.2.1' network='1' "
             "port='1' priority='5' protocol='udp' type='srflx' rel-addr='10.0.0.1' rel_port='9'",
             "component='1' foundation='7' generation='0' id='x' ip='192.0.2.1' network='1' "
             "port='1' priority='5' protocol='udp' type='srflx' rel-addr='10.0.0.1' rel_port='9' "
             "rel-port='9'");
    // Almost nothing
    complete("ip='192.0.2.1' port='1'",
             "ip='192.0.2.1' port='1' component='1' foundation='*' generation='4' id='*' "
             "network='0' priority='2130706431' protocol='udp' type='host'");
}

static void foundations_become_numbers(void **state)
{
    static const char *const odd[] = {"abc+/1", "12345678901", "jingle/1", ""};
    struct xml *a = parse("<candidate foundation='relay1' ip='192.0.2.1' port='1'/>");
    struct xml *b = parse("<candidate foundation='relay1' ip='192.0.2.2' port='2'/>");

    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct xml *c = parse("<candidate foundation='%s' ip='192.0.2.1' port='1'/>", odd[i]);
        const char *foundation;

        assert_int_equal(jingle_complete_candidate(c, 0), 0);
        foundation = xml_attr(c, "foundation");
        assert_in_range(strlen(foundation), 1, 10);
        assert_int_equal(strspn(foundation, "0123456789"), strlen(foundation));
        xml_free(c);
    }
    // Equal ones stay equal, ids do not become equal (RFC 8445 section 5.1.1.3).
    assert_int_equal(jingle_complete_candidate(a, 0), 0);
    assert_int_equal(jingle_complete_candidate(b, 0), 0);
    assert_string_equal(xml_attr(a, "foundation"), xml_attr(b, "foundation"));
    assert_string_not_equal(xml_attr(a, "id"), xml_attr(b, "id"));
    xml_free(a);
    xml_free(b);
}

static void what_tells_an_address_is_known(void **state)
{
    static const char *const tells[] = {
        "<candidate/>",
        "<remote-candidate/>",
        "<x ip='192.0.2.1'/>",
        "<x address='a'/>",
        "<x host='b'/>",
        "<x rel-addr='c'/>",
        "<p:candidate xmlns:p='urn:other'/>",
    };
    static const char *const does_not[] = {
        "<fingerprint hash='sha-256'/>",
        "<rtcp-mux/>",
        "<x port='1' id='2'/>",
        "<gathering-complete/>",
    };

    for (size_t i = 0; i < sizeof tells / sizeof tells[0]; i++) {
        struct xml *x = parse("%s", tells[i]);

        assert_true(jingle_tells_address(x));
        xml_free(x);
    }
    for (size_t i = 0; i < sizeof does_not / sizeof does_not[0]; i++) {
        struct xml *x = parse("%s", does_not[i]);

        assert_false(jingle_tells_address(x));
        xml_free(x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actions_have_names),
        cmocka_unit_test(transports_have_kinds),
        cmocka_unit_test(components_and_mux_are_read),
        cmocka_unit_test(candidates_are_counted_over_all_contents),
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(components_are_read),
        cmocka_unit_test(our_candidate_is_the_safe_one),
        cmocka_unit_test(missing_attributes_are_written),
        cmocka_unit_test(foundations_become_numbers),
        cmocka_unit_test(what_tells_an_address_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
