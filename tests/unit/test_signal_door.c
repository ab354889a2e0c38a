// SPDX-License-Identifier: ISC
// The addressed door before a call: escaped addresses, proposals (XEP-0353), presence with
// capabilities, disco#info, and that nobody learns anything by trying.
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
#include <openssl/evp.h>

#define BOB_BARE_AS "bob\\40example.org@relay.example.org"
#define CAROL       "carol@example.net/c"
#define CAROL_AS    "carol\\40example.net@relay.example.org/c"
#define GHOST_AS    "ghost\\40example.org@relay.example.org"
#define PROPOSE(id)                                                                                \
    "<propose xmlns='urn:xmpp:jingle-message:0' id='" id "'>"                                      \
    "<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/></propose>"
#define DISCO "<query xmlns='http://jabber.org/protocol/disco#info'/>"

static void propose(struct board *b, const char *from, const char *to, const char *id)
{
    board_put(b,
              "<message type='chat' id='m' from='%s' to='%s'>"
              "<propose xmlns='urn:xmpp:jingle-message:0' id='%s'/></message>",
              from, to, id);
}

static void proposal_of_alice(struct board *b, const char *id)
{
    propose(b, ALICE, BOB_BARE_AS, id);
    board_take(b);
}

// What was proposed is forgotten in the end.
static void forget(struct board *b)
{
    board_clear(b);
    board_wait(b, 3600 * USEC_PER_SEC);
    board_none(b);
    board_free(b);
}

// ---- proposals

static void a_proposal_rings_at_the_bare_address(void **state)
{
    struct board *b = board_new(NULL);

    board_put(
        b,
        "<message type='chat' id='m1' from='" ALICE "' to='" BOB_BARE_AS "'>" PROPOSE(
            "c1") "<store xmlns='urn:xmpp:hints'/><x xmlns='urn:unknown' a='1'>text</x></message>");
    board_expect(b,
                 "<message type='chat' id='m1' from='" ALICE_AS "' to='bob@example.org'>" PROPOSE(
                     "c1") "<store xmlns='urn:xmpp:hints'/><x xmlns='urn:unknown' "
                           "a='1'>text</x></message>");
    forget(b);
}

static void the_answers_come_from_one_full_address(void **state)
{
    static const char *const answers[] = {"ringing", "proceed", "reject", "accept", "finish"};
    struct board *b = board_new(NULL);

    proposal_of_alice(b, "c1");
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        board_put(b,
                  "<message type='chat' id='m' from='" BOB "' to='" ALICE_AS
                  "'><%s xmlns='urn:xmpp:jingle-message:0' id='c1'/></message>",
                  answers[i]);
        board_expect(b,
                     "<message type='chat' id='m' from='" BOB_AS "' to='" ALICE
                     "'><%s xmlns='urn:xmpp:jingle-message:0' id='c1'/></message>",
                     answers[i]);
    }
    board_put(b, "<message from='" ALICE "' to='" BOB_BARE_AS
                 "'><retract xmlns='urn:xmpp:jingle-message:0' id='c1'/></message>");
    board_expect(b, "<message from='" ALICE_AS "' to='bob@example.org'>"
                    "<retract xmlns='urn:xmpp:jingle-message:0' id='c1'/></message>");
    forget(b);
}

// Verification by OMEMO is bound to the bare address, which is another one here.
static void devices_are_taken_out(void **state)
{
    struct board *b = board_new(NULL);

    proposal_of_alice(b, "c1");
    board_put(b, "<message from='" BOB "' to='" ALICE_AS
                 "'><proceed xmlns='urn:xmpp:jingle-message:0' id='c1'><device "
                 "xmlns='http://gultsch.de/xmpp/drafts/omemo/dlts-srtp-verification' id='5'/><kept "
                 "xmlns='urn:k'/></proceed></message>");
    board_expect(b, "<message from='" BOB_AS "' to='" ALICE
                    "'><proceed xmlns='urn:xmpp:jingle-message:0' id='c1'><kept "
                    "xmlns='urn:k'/></proceed></message>");
    forget(b);
}

static void samples_of_proposals_pass(void **state)
{
    struct board *b = board_new(NULL);
    struct xml *propose = sample("conversations-propose.xml"), *want = xml_clone(propose);

    assert_int_equal(xml_set(propose, "to", BOB_BARE_AS), 0);
    board_put_xml(b, propose);
    assert_int_equal(
        xml_set(want, "from", "alice\\40example.org@relay.example.org/Conversations.abcd"), 0);
    assert_int_equal(xml_set(want, "to", "bob@example.org"), 0);
    assert_true(xml_equal(board_take(b), want));
    xml_free(propose);
    xml_free(want);
    forget(b);
}

static void messages_of_no_proposal_go_nowhere(void **state)
{
    struct board *b = board_new(NULL);

    proposal_of_alice(b, "c1");
    board_put(b, "<message from='" BOB "' to='" ALICE_AS
                 "'><proceed xmlns='urn:xmpp:jingle-message:0' id='c2'/></message>");
    board_put(b, "<message from='" CAROL "' to='" ALICE_AS
                 "'><proceed xmlns='urn:xmpp:jingle-message:0' id='c1'/></message>");
    board_put(b, "<message from='" BOB "' to='" ALICE_AS
                 "'><proceed xmlns='urn:xmpp:jingle-message:0'/></message>");
    board_put(b, "<message from='" ALICE "' to='relay.example.org'>" PROPOSE("c3") "</message>");
    board_put(b, "<message from='" ALICE
                 "' to='nobody@relay.example.org'>" PROPOSE("c3") "</message>");
    board_put(b, "<message from='" ALICE "' to='" BOB_BARE_AS "'><x xmlns='u'/></message>");
    board_none(b);
    board_put(b,
              "<message id='t' from='" ALICE "' to='" BOB_BARE_AS "'><body>hello</body></message>");
    board_expect_error(b, ALICE, "t", "service-unavailable", NULL);
    forget(b);
}

static void only_served_domains_propose(void **state)
{
    struct board *b = board_new(NULL);

    propose(b, CAROL, BOB_BARE_AS, "c1");
    board_expect_error(b, CAROL, "m", "forbidden", NULL);
    // But they may be called, and answer.
    propose(b, ALICE, "carol\\40example.net@relay.example.org", "c2");
    board_take(b);
    assert_string_equal(xml_attr(b->last, "to"), "carol@example.net");
    board_put(b, "<message from='" CAROL "' to='" ALICE_AS
                 "'><proceed xmlns='urn:xmpp:jingle-message:0' id='c2'/></message>");
    board_take(b);
    assert_string_equal(xml_attr(b->last, "from"), CAROL_AS);
    // A proposal does not turn the other way round.
    propose(b, CAROL, ALICE_AS, "c2");
    board_expect_error(b, CAROL, "m", "forbidden", NULL);
    forget(b);
}

static void proposals_take_turns(void **state)
{
    struct signal_config config = board_config();
    struct board *b;

    config.calls.new_calls_per_minute = 2;
    b = board_new(&config);
    proposal_of_alice(b, "c1");
    proposal_of_alice(b, "c1"); // again: a turn all the same
    propose(b, ALICE, BOB_BARE_AS, "c2");
    board_expect_error(b, ALICE, "m", "resource-constraint", NULL);
    propose(b, BOB, ALICE_AS, "c3"); // everybody has turns of their own
    board_take(b);
    assert_string_equal(xml_attr(b->last, "to"), ALICE);
    signal_drain(b->signal);
    propose(b, BOB, ALICE_AS, "c4");
    board_expect_error(b, BOB, "m", "resource-constraint", NULL);
    forget(b);
}

static void proposals_are_limited_in_all(void **state)
{
    struct signal_config config = board_config();
    struct board *b;
    char id[16];

    config.calls.new_calls_per_minute = 0;
    b = board_new(&config);
    for (int i = 0; i < 65536; i++) {
        snprintf(id, sizeof id, "p%d", i);
        proposal_of_alice(b, id);
    }
    propose(b, ALICE, BOB_BARE_AS, "one too many");
    board_expect_error(b, ALICE, "m", "resource-constraint", NULL);
    board_wait(b, 181 * USEC_PER_SEC);
    proposal_of_alice(b, "p0"); // the others are forgotten
    forget(b);
}

static void a_proposal_pays_for_one_call(void **state)
{
    struct signal_config config = board_config();
    struct board *b;

    config.calls.new_calls_per_minute = 1;
    b = board_new(&config);
    proposal_of_alice(b, "s1");
    board_offer(b); // sid = id
    board_hang_up(b);
    alice(b, "i2", "session-initiate", "<content name='0' creator='initiator'/>");
    board_expect_error(b, ALICE, "i2", "resource-constraint", NULL);
    forget(b);
}

static void nor_for_a_call_of_the_other(void **state)
{
    struct signal_config config = board_config();
    struct board *b;

    config.calls.new_calls_per_minute = 1;
    b = board_new(&config);
    proposal_of_alice(b, "s1");
    propose(b, BOB, ALICE_AS, "x");
    board_take(b);
    bob(b, "i", "session-initiate", "<content name='0' creator='initiator'/>");
    board_expect_error(b, BOB, "i", "resource-constraint", NULL);
    forget(b);
}

// XEP-0353 section 3.7: when the call is over, both say so by message.
static void the_last_message_comes_after_a_long_call(void **state)
{
    struct board *b = board_new(NULL);

    proposal_of_alice(b, "s1");
    board_offer(b);
    board_accept(b);
    board_wait(b, (20 * 180 - 1) * USEC_PER_SEC); // it would be forgotten a second later
    board_hang_up(b);
    board_wait(b, 60 * USEC_PER_SEC);
    board_put(b, "<message from='" ALICE "' to='" BOB_AS
                 "'><finish xmlns='urn:xmpp:jingle-message:0' id='s1'/></message>");
    board_take(b);
    assert_string_equal(xml_attr(b->last, "to"), BOB);
    forget(b);
}

// ---- addresses

static void addresses_are_escaped(void **state)
{
    static const struct {
        const char *from, *as, *to, *real;
    } rows[] = {
        {"d'artagnan@example.org/x", NULL, BOB_BARE_AS, NULL}, // no such local part
        {"d\\27artagnan@example.org/a b", "d\\5c27artagnan\\40example.org@relay.example.org/a b",
         "o\\5c26o\\40example.org@relay.example.org", "o\\26o@example.org"},
        {"alice@example.org", "alice\\40example.org@relay.example.org", BOB_AS "/sub", BOB "/sub"},
    };
    struct board *b = board_new(NULL);

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct xml *m = parse("<message>" PROPOSE("c1") "</message>");

        assert_int_equal(xml_set(m, "from", rows[i].from), 0);
        assert_int_equal(xml_set(m, "to", rows[i].to), 0);
        board_put_xml(b, m);
        xml_free(m);
        if (!rows[i].as) {
            board_none(b);
            continue;
        }
        board_take(b);
        assert_string_equal(xml_attr(b->last, "from"), rows[i].as);
        assert_string_equal(xml_attr(b->last, "to"), rows[i].real);
    }
    forget(b);
}

// A JID of ours behind a JID of ours would come back to us for ever.
static void no_loops(void **state)
{
    struct board *b = board_new(NULL);

    propose(b, ALICE, "x\\40relay.example.org@relay.example.org", "c1");
    propose(b, ALICE, "bob\\5c40example.org\\40relay.example.org@relay.example.org", "c1");
    board_none(b);
    board_put(b, "<iq type='get' id='q' from='" ALICE "' to='x\\40relay.example.org@"
                 "relay.example.org/r'>" DISCO "</iq>");
    board_expect_error(b, ALICE, "q", "item-not-found", NULL);
    forget(b);
}

// ---- presence

static void presence_from(struct board *b, const char *from, const char *to, const char *type)
{
    if (type)
        board_put(b, "<presence from='%s' to='%s' type='%s'/>", from, to, type);
    else
        board_put(b, "<presence from='%s' to='%s'><show>dnd</show></presence>", from, to);
}

static const char *caps_of(const struct xml *presence)
{
    const struct xml *c = xml_child(presence, "c", NS_CAPS);

    assert_string_equal(presence->name, "presence");
    assert_non_null(c);
    assert_string_equal(xml_attr(c, "hash"), "sha-1");
    return xml_attr(c, "ver");
}

static void subscriptions_are_granted_and_shown(void **state)
{
    struct board *b = board_new(NULL);

    presence_from(b, "alice@example.org", BOB_BARE_AS, "subscribe");
    board_expect(b, "<presence from='" BOB_BARE_AS "' to='alice@example.org' type='subscribed'/>");
    caps_of(board_take(b));
    assert_string_equal(xml_attr(b->last, "from"), BOB_BARE_AS "/relay");
    assert_string_equal(xml_attr(b->last, "to"), "alice@example.org");
    assert_null(xml_attr(b->last, "type"));
    presence_from(b, ALICE, BOB_BARE_AS, "probe");
    caps_of(board_take(b));
    presence_from(b, ALICE, BOB_BARE_AS, NULL);
    caps_of(board_take(b));
    presence_from(b, "alice@example.org", BOB_BARE_AS, "unsubscribe");
    board_expect(b,
                 "<presence from='" BOB_BARE_AS "' to='alice@example.org' type='unsubscribed'/>");
    presence_from(b, ALICE, BOB_BARE_AS, "unavailable");
    presence_from(b, ALICE, BOB_BARE_AS, "subscribed");
    presence_from(b, ALICE, "relay.example.org", "subscribe");
    presence_from(b, CAROL, BOB_BARE_AS, "subscribe");
    presence_from(b, CAROL, BOB_BARE_AS, NULL);
    board_none(b);
    forget(b);
}

static void presence_passes_between_parties_of_a_call(void **state)
{
    struct board *b = board_new(NULL);

    propose(b, ALICE, "carol\\40example.net@relay.example.org", "c1");
    board_clear(b);
    presence_from(b, ALICE, CAROL_AS, NULL);
    board_expect(b, "<presence from='" ALICE_AS "' to='" CAROL "'><show>dnd</show></presence>");
    presence_from(b, CAROL, ALICE_AS, NULL); // she is of no served domain, but in the call
    board_expect(b, "<presence from='" CAROL_AS "' to='" ALICE "'><show>dnd</show></presence>");
    presence_from(b, CAROL, ALICE_AS, "unavailable");
    board_expect(b, "<presence from='" CAROL_AS "' to='" ALICE "' type='unavailable'/>");
    presence_from(b, CAROL, BOB_AS, NULL);
    board_none(b);
    forget(b);
}

// ---- disco

static struct xml *ask(struct board *b, const char *from, const char *to)
{
    board_put(b, "<iq type='get' id='q' from='%s' to='%s'>" DISCO "</iq>", from, to);
    return board_take(b);
}

// XEP-0115 section 5.1, from the answer as a client sees it.
static void verification_string(const struct xml *query, char *ret_text, size_t size)
{
    const struct xml *identity = xml_child(query, "identity", NULL);
    const char *name = xml_attr(identity, "name");
    const char *previous = "";
    size_t len = (size_t)snprintf(ret_text, size, "%s/%s//%s<", xml_attr(identity, "category"),
                                  xml_attr(identity, "type"), name ? name : "");

    assert_null(xml_next(identity, "identity", NULL));
    for (const struct xml *f = xml_child(query, "feature", NULL); f;
         f = xml_next(f, "feature", NULL)) {
        assert_true(strcmp(previous, xml_attr(f, "var")) < 0); // sorted by octets
        previous = xml_attr(f, "var");
        len += (size_t)snprintf(ret_text + len, size - len, "%s<", previous);
    }
    assert_true(len < size);
}

static void the_capabilities_hash_is_that_of_the_answer(void **state)
{
    struct board *b = board_new(NULL);
    unsigned char digest[EVP_MAX_MD_SIZE], base64[64];
    char text[4096], ver[64], node[128];
    unsigned len;

    presence_from(b, ALICE, BOB_BARE_AS, "probe");
    snprintf(ver, sizeof ver, "%s", caps_of(board_take(b)));
    snprintf(node, sizeof node, "%s#%s", xml_attr(xml_child(b->last, "c", NS_CAPS), "node"), ver);
    board_put(b,
              "<iq type='get' id='q' from='" ALICE "' to='" BOB_BARE_AS "/relay'><query "
              "xmlns='http://jabber.org/protocol/disco#info' node='%s'/></iq>",
              node);
    assert_string_equal(xml_attr(xml_child(board_take(b), "query", NULL), "node"), node);
    verification_string(xml_child(b->last, "query", NS_DISCO_INFO), text, sizeof text);
    assert_true(EVP_Digest(text, strlen(text), digest, &len, EVP_sha1(), NULL));
    EVP_EncodeBlock(base64, digest, (int)len);
    assert_string_equal((char *)base64, ver);
    forget(b);
}

static bool announces(const struct xml *iq, const char *feature)
{
    const struct xml *query = xml_child(iq, "query", NS_DISCO_INFO);

    for (const struct xml *f = xml_child(query, "feature", NULL); f;
         f = xml_next(f, "feature", NULL)) {
        if (strcmp(xml_attr(f, "var"), feature) == 0)
            return true;
    }
    return false;
}

// clients.md section 3: what each client looks for, and what would change the dialect.
static void callers_find_what_they_look_for(void **state)
{
    static const char *const features[] = {"urn:xmpp:jingle:1",
                                           "urn:xmpp:jingle:transports:ice-udp:1",
                                           "urn:xmpp:jingle:apps:rtp:1",
                                           "urn:xmpp:jingle:apps:rtp:audio",
                                           "urn:xmpp:jingle:apps:rtp:video",
                                           "urn:xmpp:jingle:apps:dtls:0",
                                           "urn:xmpp:jingle-message:0",
                                           "http://jabber.org/protocol/disco#info",
                                           "http://jabber.org/protocol/caps"};
    static const char *const never[] = {"urn:xmpp:jingle:transports:raw-udp:1",
                                        "urn:xmpp:jingle:transports:ice:0",
                                        "http://www.google.com/transport/p2p", "urn:ietf:rfc:3264"};
    struct board *b = board_new(NULL);

    ask(b, ALICE, BOB_AS);
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
        assert_true(announces(b->last, features[i]));
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
        assert_false(announces(b->last, never[i]));
    forget(b);
}

static char *face(struct board *b, const char *from, const char *to)
{
    struct xml *reply = ask(b, from, to);

    assert_string_equal(xml_attr(reply, "from"), to);
    assert_int_equal(xml_set(reply, "from", "x"), 0);
    return text_of(reply);
}

static void nobody_learns_who_exists(void **state)
{
    struct board *b = board_new(NULL);
    char *bob = face(b, ALICE, BOB_AS), *ghost = face(b, ALICE, GHOST_AS "/b");
    char *bare = face(b, ALICE, GHOST_AS);

    assert_string_equal(bob, ghost);
    assert_string_equal(bob, bare);
    free(ghost);
    proposal_of_alice(b, "c1"); // to Bob: nothing changes for the ghost, nor for Carol
    ghost = face(b, ALICE, GHOST_AS "/b");
    assert_string_equal(bob, ghost);
    free(ghost);
    ghost = face(b, "dave@example.org/d", BOB_AS);
    assert_non_null(ghost);
    free(ghost);
    free(bare);
    free(bob);
    forget(b);
}

static void disco_passes_between_parties_of_a_call(void **state)
{
    struct board *b = board_new(NULL);

    b->no_disco = true;
    proposal_of_alice(b, "c1");
    board_put(b, "<iq type='get' id='q' from='" ALICE "' to='" BOB_AS "'>" DISCO "</iq>");
    board_expect(b, "<iq type='get' id='*' from='" ALICE_AS "' to='" BOB "'>" DISCO "</iq>");
    board_put(b,
              "<iq type='result' id='%s' from='" BOB "' to='" ALICE_AS
              "'><query xmlns='http://jabber.org/protocol/disco#info'><feature var='x'/></query>"
              "</iq>",
              xml_attr(b->last, "id"));
    board_expect(b, "<iq type='result' id='q' from='" BOB_AS "' to='" ALICE
                    "'><query xmlns='http://jabber.org/protocol/disco#info'><feature var='x'/>"
                    "</query></iq>");
    // The face that is shown before a call, and the bare address, remain ours.
    assert_true(announces(ask(b, ALICE, BOB_BARE_AS "/relay"), "urn:xmpp:jingle:1"));
    assert_true(announces(ask(b, ALICE, BOB_BARE_AS), "urn:xmpp:jingle:1"));
    // Nobody answers.
    board_put(b, "<iq type='get' id='q2' from='" BOB "' to='" ALICE_AS "'>" DISCO "</iq>");
    board_take(b);
    board_wait(b, 15 * USEC_PER_SEC);
    board_expect_error(b, BOB, "q2", "remote-server-timeout", NULL);
    // Forgotten: our own face again.
    board_wait(b, 200 * USEC_PER_SEC);
    assert_true(announces(ask(b, ALICE, BOB_AS), "urn:xmpp:jingle:1"));
    forget(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proposal_rings_at_the_bare_address),
        cmocka_unit_test(the_answers_come_from_one_full_address),
        cmocka_unit_test(devices_are_taken_out),
        cmocka_unit_test(samples_of_proposals_pass),
        cmocka_unit_test(messages_of_no_proposal_go_nowhere),
        cmocka_unit_test(only_served_domains_propose),
        cmocka_unit_test(proposals_take_turns),
        cmocka_unit_test(proposals_are_limited_in_all),
        cmocka_unit_test(a_proposal_pays_for_one_call),
        cmocka_unit_test(nor_for_a_call_of_the_other),
        cmocka_unit_test(the_last_message_comes_after_a_long_call),
        cmocka_unit_test(addresses_are_escaped),
        cmocka_unit_test(no_loops),
        cmocka_unit_test(subscriptions_are_granted_and_shown),
        cmocka_unit_test(presence_passes_between_parties_of_a_call),
        cmocka_unit_test(the_capabilities_hash_is_that_of_the_answer),
        cmocka_unit_test(callers_find_what_they_look_for),
        cmocka_unit_test(nobody_learns_who_exists),
        cmocka_unit_test(disco_passes_between_parties_of_a_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
